# Sourced: reading an OCI archive.

digest() { tar -xOf "$1" index.json | jq --raw-output '.manifests[0].digest'; }
blob() { tar -xOf "$1" "blobs/${2/://}"; } # ARCHIVE DIGEST
manifest() { blob "$1" "$(digest "$1")"; }
config() { blob "$1" "$(manifest "$1" | jq --raw-output .config.digest)"; }

unpack() { # ARCHIVE FOLDER
  local layer
  for layer in $(manifest "$1" | jq --raw-output '.layers[].digest'); do blob "$1" "$layer" | tar -C "$2" -xzpf -; done
}
