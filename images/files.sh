# Sourced: what is shipped, and what the root of an image is made of besides the program.

# shellcheck disable=SC2034  # for those who source this
PROGRAMS=(tidemark-operator tidemark-follower)
# shellcheck disable=SC2034
FEATURES=tidemark-follower/miden
IMAGES_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# new_root FOLDER: the files that every image has. Modes are given, for they would depend on the umask.
new_root() {
  local file
  install -d -m 755 "$1" "$1/etc"
  install -d -m 1777 "$1/tmp"
  for file in "$IMAGES_SOURCE"/etc/*; do install -m 644 "$file" "$1/etc/"; done
}

# add_program FOLDER PROGRAM: the program and every library that it is linked with, at the paths the loader looks at.
add_program() {
  local library
  install -D -m 755 "$2" "$1/usr/local/bin/$(basename "$2")"
  for library in $(libraries "$2"); do install -D -m 755 "$library" "$1$library"; done
}

libraries() { # PROGRAM
  ldd "$1" 2>/dev/null | grep -oE '/[^ ]+'
}

# add_authorities FOLDER: whom a program that is told of no authority of its own trusts. Those of the package and none
# that somebody added to this machine.
add_authorities() {
  install -d -m 755 "$1/etc/ssl" "$1/etc/ssl/certs"
  cat /usr/share/ca-certificates/mozilla/*.crt >"$1/etc/ssl/certs/ca-certificates.crt"
  chmod 644 "$1/etc/ssl/certs/ca-certificates.crt"
}

# packages_of FILE…: the Debian packages that own the files, once each. The database knows some by the path without /usr.
packages_of() {
  local file owner
  for file in "$@"; do
    owner=$({ dpkg-query --search "$file" "$(realpath "$file")" "/usr$file" "${file#/usr}" 2>/dev/null || true; } |
      sed -n '1s/:* [^ ]*$//p')
    if [ -z "$owner" ]; then
      echo "no Debian package owns $file" >&2
      return 1
    fi
    echo "$owner"
  done | sort -u
}

# compiled PROGRAM…: the crates that cargo compiles into them when they are built together, a name and a version a line.
compiled() {
  local features=()
  if [[ " $* " == *" ${FEATURES%/*} "* ]]; then features=(--features "$FEATURES"); fi
  cargo tree --locked --edges normal --target "$(rustc -vV | sed -n 's/^host: //p')" --prefix none --format '{p}' \
    "${features[@]}" "${@/#/--package=}" | sed -n 's/^\([^ ]*\) v\([^ ]*\).*/\1 \2/p' | sort -u
}
