# shellcheck shell=bash
# Owns what the scripts print: progress to stderr with the seconds since the start, results to stdout.

say() { printf '[%3d s] %s\n' "$SECONDS" "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# indent_tail LINES FILE: the end of a log, so that an error shows its cause.
indent_tail() {
  [ -f "$2" ] || return 0
  echo "last lines of $2:" >&2
  tail -n "$1" "$2" | sed 's/^/  | /' >&2
}
