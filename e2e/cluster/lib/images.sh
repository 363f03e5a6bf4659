# shellcheck shell=bash
# Owns the making of an image from a folder, and the lists that say which archive holds which image.
# An archive's name carries a hash of what is in it, so one that exists is never made again.

. "$REPO_DIR/images/files.sh"

# Lines "IMAGE ARCHIVE": what every cluster needs, and what is tested in it.
BASE_LIST=$IMAGES_DIR/base.list
PROGRAMS_LIST=$IMAGES_DIR/programs.list
# The same for tests: shell assignments.
IMAGES_ENV=$IMAGES_DIR/images.env

# root_key FOLDER RECIPE…: a hash of the names, modes and bytes below a folder and of the recipe, alike on every
# machine.
root_key() {
  { tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . && printf '%s\n' "${@:2}"; } |
    sha256sum | cut -c1-16
}

# write_archive IMAGE ARCHIVE WORK FLAGS…: the image that `buildah build FLAGS…` makes, without a registry or a daemon.
write_archive() {
  local store=$3/store partial=$2.$$
  {
    in_store "$store" build --isolation chroot --timestamp 0 --identity-label=false --tag "$1" "${@:4}" &&
      in_store "$store" push "$1" "oci-archive:$partial:$1"
  } >"$3/log" 2>&1 || { indent_tail 15 "$3/log"; die "cannot write the image $1 to $2"; }
  mv "$partial" "$2"
}

in_store() {
  buildah --root "$1/root" --runroot "$1/run" --storage-driver vfs "${@:2}"
}

# ensure_image LIST NAME TAG KEY WORK FLAGS…: TAG "key" stands for the hash of the content.
ensure_image() {
  local image=tidemark.local/$2:${3/#key/$4} archive=$IMAGES_DIR/$2-$4.tar
  touch --no-create "$archive"
  if [ ! -f "$archive" ]; then
    write_archive "$image" "$archive" "$5" "${@:6}"
    say "built $image ($(du -h "$archive" | cut -f1))"
  fi
  echo "$image $archive" >>"$1"
}

# ensure_plain_image LIST NAME TAG ENTRYPOINT CONTEXT: CONTEXT/root as an image.
ensure_plain_image() {
  local recipe
  recipe=$(sed "s|@ENTRYPOINT@|$4|" "$CLUSTER_DIR/images/Containerfile")
  echo "$recipe" >"$5/Containerfile"
  ensure_image "$1" "$2" "$3" "$(root_key "$5/root" "$recipe")" "$5" --file "$5/Containerfile" "$5"
}

# ensure_program_image LIST PROGRAM WORK: the last stages of the Containerfile that everybody builds from, which find in
# WORK/images what its first stage would have made.
ensure_program_image() {
  local recipe=$REPO_DIR/images/Containerfile revision empty=$3/empty
  revision=$(revision)
  mkdir -p "$empty"
  ensure_image "$1" "$2" key "$(root_key "$3/images/$2" "$(cat "$recipe")" "$revision")" "$3" \
    --file "$recipe" --target "$2" --build-arg "REVISION=$revision" --build-context "assembled=$3" "$empty"
}

# The commit that is built, and whether something was changed since.
revision() {
  local changed=
  if ! git -C "$REPO_DIR" rev-parse HEAD >/dev/null 2>&1; then echo unknown; return; fi
  if [ -n "$(git -C "$REPO_DIR" status --porcelain)" ]; then changed=-changed; fi
  echo "$(git -C "$REPO_DIR" rev-parse HEAD)$changed"
}

# What no build has used for a week, and what builds that were killed left.
prune_archives() {
  find "$IMAGES_DIR" -maxdepth 1 -name '*.tar*' -mtime +7 -delete
  find "$IMAGES_DIR" -maxdepth 1 -name 'work.*' -mtime +0 -exec rm -rf {} +
}
