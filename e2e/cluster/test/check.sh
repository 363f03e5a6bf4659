# shellcheck shell=bash
# Owns counting: each check is one command that must succeed, run in a shell of its own that stops at the first failure.

passed=0 failed=0

check() { # WHAT FUNCTION ARGS…
  local start=$SECONDS output status
  # Not in a condition: there, bash would let a function go on after a failure.
  set +e
  output=$(set -e; "${@:2}" 2>&1 </dev/null)
  status=$?
  set -e
  if [ "$status" = 0 ]; then
    passed=$((passed + 1))
    printf 'ok      %s (%d s)\n' "$1" $((SECONDS - start))
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n%s\n' "$1" "$(sed 's/^/        /' <<<"$output")"
  fi
}

summary() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

# until_true SECONDS COMMAND…: waits for a condition, and fails when it does not come.
until_true() {
  local deadline=$((SECONDS + $1))
  until "${@:2}" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "not within $1 s: ${*:2}"; return 1; }
    sleep 0.05
  done
}

equal() { # WHAT GOT WANTED
  [ "$2" = "$3" ] || { printf '%s differs:\n%s\n' "$1" "$(diff <(echo "$3") <(echo "$2"))"; return 1; }
}

contains() { # TEXT PART
  [[ $1 == *"$2"* ]] || { printf 'no "%s" in: %s\n' "$2" "$1"; return 1; }
}

# fails_with PART COMMAND…: COMMAND must fail, and its message must say PART.
fails_with() {
  local output
  if output=$("${@:2}" 2>&1); then echo "did not fail: ${*:2}"; return 1; fi
  contains "$output" "$1"
}
