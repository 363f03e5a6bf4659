# shellcheck shell=bash
# Owns the filling in of templates: @NAME@ is replaced by the value of NAME=value.

# render TEMPLATE NAME=VALUE…: prints the template; a placeholder that is left over is an error.
render() {
  local text pair
  text=$(<"$TEMPLATES_DIR/$1")
  for pair in "STATE=$STATE_DIR" "${@:2}"; do
    text=${text//"@${pair%%=*}@"/"${pair#*=}"}
  done
  if [[ $text =~ @[A-Z_]+@ ]]; then die "template $1: no value for ${BASH_REMATCH[0]}"; fi
  printf '%s\n' "$text"
}

# render_flags ARRAY TEMPLATE NAME=VALUE…: one flag a line into ARRAY; lines that start with # are comments.
render_flags() {
  local -n flags_out=$1
  local text
  text=$(render "${@:2}")
  mapfile -t flags_out < <(grep -v '^ *#' <<<"$text")
}
