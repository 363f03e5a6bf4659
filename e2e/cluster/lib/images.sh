# shellcheck shell=bash
# Owns the making of an image from a folder, and the lists that say which archive holds which image.
# An archive's name carries a hash of what is in it, so one that exists is never made again.

# Lines "IMAGE ARCHIVE": what every cluster needs, and what is tested in it.
BASE_LIST=$IMAGES_DIR/base.list
PROGRAMS_LIST=$IMAGES_DIR/programs.list
# The same for tests: shell assignments.
IMAGES_ENV=$IMAGES_DIR/images.env

# A hash of the names, modes and bytes below a folder and of the recipe, alike on every machine.
root_key() {
  { tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . && cat "$CLUSTER_DIR/images/Containerfile"; } |
    sha256sum | cut -c1-16
}

# new_root FOLDER: the files that every image has.
new_root() {
  mkdir -p "$1/etc" "$1/tmp"
  cp "$CLUSTER_DIR"/images/etc/* "$1/etc/"
  chmod 1777 "$1/tmp"
}

# add_program FOLDER PROGRAM: the program and every library that it is linked with, at the paths the loader looks at.
add_program() {
  local library
  install -D -m 755 "$2" "$1/usr/local/bin/$(basename "$2")"
  for library in $(ldd "$2" 2>/dev/null | grep -oE '/[^ ]+'); do
    install -D -m 755 "$library" "$1$library"
  done
}

# write_archive IMAGE ENTRYPOINT CONTEXT ARCHIVE: CONTEXT/root as an image, without a registry or a daemon.
write_archive() {
  local store=$3/store partial=$4.$$
  sed "s|@ENTRYPOINT@|$2|" "$CLUSTER_DIR/images/Containerfile" >"$3/Containerfile"
  {
    in_store "$store" build --isolation chroot --timestamp 0 --tag "$1" --file "$3/Containerfile" "$3" &&
      in_store "$store" push "$1" "oci-archive:$partial:$1"
  } >"$3/log" 2>&1 || { indent_tail 15 "$3/log"; die "cannot write the image $1 to $4"; }
  mv "$partial" "$4"
}

in_store() {
  buildah --root "$1/root" --runroot "$1/run" --storage-driver vfs "${@:2}"
}

# ensure_image LIST NAME TAG ENTRYPOINT CONTEXT: TAG "key" stands for the hash of the content.
ensure_image() {
  local key image archive
  key=$(root_key "$5/root")
  image=tidemark.local/$2:${3/#key/$key}
  archive=$IMAGES_DIR/$2-$key.tar
  touch --no-create "$archive"
  if [ ! -f "$archive" ]; then
    write_archive "$image" "$4" "$5" "$archive"
    say "built $image ($(du -h "$archive" | cut -f1))"
  fi
  echo "$image $archive" >>"$1"
}

# What no build has used for a week, and what builds that were killed left.
prune_archives() {
  find "$IMAGES_DIR" -maxdepth 1 -name '*.tar*' -mtime +7 -delete
  find "$IMAGES_DIR" -maxdepth 1 -name 'work.*' -mtime +0 -exec rm -rf {} +
}
