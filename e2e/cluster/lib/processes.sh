# shellcheck shell=bash
# Owns the daemons of the cluster: how they start, how they are told from everybody else's, how they end.
# A process is a member if its environment names our state folder, so a number that was used again is never hit.

is_member() {
  grep -qzxF "$MEMBER_VARIABLE=$STATE_DIR" "/proc/$1/environ" 2>/dev/null
}

parent_of() { awk '/^PPid:/ {print $2}' "/proc/$1/status" 2>/dev/null || echo 0; }

# PID and its ancestors, one a line.
lineage() {
  local pid=$1
  while [ "${pid:-0}" -gt 1 ]; do
    echo "$pid"
    pid=$(parent_of "$pid")
  done
}

# Those of the listed that neither started this script nor were started by it, and still live.
without_own() {
  local pid family
  family=$(lineage $$)
  while read -r pid; do
    if grep -qxF "$pid" <<<"$family" || lineage "$pid" | grep -xF $$ >/dev/null; then continue; fi
    if [ -e "/proc/$pid" ]; then echo "$pid"; fi
  done
}

# Every live process that the cluster started, containers' own excepted: those are found by their cgroup.
members() {
  { grep -lzxF "$MEMBER_VARIABLE=$STATE_DIR" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3 | without_own
}

close_inherited() {
  local fd
  for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    if [ "$fd" -gt 2 ]; then eval "exec $fd>&-" 2>/dev/null || true; fi
  done
}

# start_daemon NAME NODE PROGRAM ARGS…: in that node's network, in a session of its own, with a log and a pid file; what it
# is called with is kept, so that one that was killed can be started again as it was.
# nsenter, not `ip netns exec`: the latter mounts /sys anew and the cgroup mounts are gone.
start_daemon() {
  local name=$1 node=$2
  printf '%s\0' "${@:2}" >"$STATE_DIR/run/$name.args"
  (
    close_inherited
    exec env -C "$STATE_DIR" "$MEMBER_VARIABLE=$STATE_DIR" \
      nsenter "--net=$NAMESPACES/$(node_namespace "$node")" -- setsid "${@:3}"
  ) >>"$STATE_DIR/log/$name.log" 2>&1 </dev/null &
  echo $! >"$STATE_DIR/run/$name.pid"
  # Until it is another program than this one it names nothing, and would be taken for one that has ended.
  while kill -0 $! 2>/dev/null && ! is_member $!; do sleep 0.01; done
}

start_daemon_again() { # NAME
  local args
  mapfile -d '' -t args <"$STATE_DIR/run/$1.args"
  start_daemon "$1" "${args[@]}"
}

daemon_alive() {
  local pid
  pid=$(cat "$STATE_DIR/run/$1.pid" 2>/dev/null) && is_member "$pid"
}

# With SIGKILL, and gone when this returns.
kill_daemon() { # NAME
  local pid
  pid=$(cat "$STATE_DIR/run/$1.pid")
  kill -KILL "$pid"
  while is_member "$pid"; do sleep 0.01; done
}

# The names of daemons that were started and run no more.
dead_daemons() {
  local file name
  for file in "$STATE_DIR"/run/*.pid; do
    name=$(basename "$file" .pid)
    daemon_alive "$name" || echo "$name"
  done
}

check_daemons_live() {
  local dead
  dead=$(dead_daemons | sed -n 1p)
  [ -z "$dead" ] || daemon_failed "$dead" "ended by itself"
}

# answers_ok NODE PORT PATH: whether what listens on that node's loopback answers 200.
answers_ok() {
  nsenter "--net=$NAMESPACES/$(node_namespace "$1")" -- bash -c "exec 3<>/dev/tcp/127.0.0.1/$2 &&
    printf 'GET $3 HTTP/1.0\r\n\r\n' >&3 && grep -q ' 200 ' <&3"
}

# wait_for SECONDS DAEMON WHAT COMMAND…: until COMMAND succeeds; ends at once when the daemon did.
wait_for() {
  local deadline=$((SECONDS + $1)) daemon=$2 what=$3
  until "${@:4}" >/dev/null 2>&1; do
    if ! daemon_alive "$daemon"; then daemon_failed "$daemon" "ended before $what"; fi
    if [ "$SECONDS" -ge "$deadline" ]; then daemon_failed "$daemon" "$what: not within $1 s"; fi
    sleep 0.1
  done
}

daemon_failed() {
  indent_tail 15 "$STATE_DIR/log/$1.log"
  die "$1: $2; its whole log is $STATE_DIR/log/$1.log"
}

# kill_all COMMAND…: ends every process that COMMAND lists until it lists none.
kill_all() {
  local deadline=$((SECONDS + 20)) pids
  while pids=$("$@") && [ -n "$pids" ]; do
    [ "$SECONDS" -lt "$deadline" ] || die "processes that do not end: $(xargs <<<"$pids")"
    xargs kill -KILL <<<"$pids" 2>/dev/null || true
    sleep 0.1
  done
}
