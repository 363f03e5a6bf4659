# shellcheck shell=bash
# Owns the question whether the cluster that is there is the one that is asked for, and well.

# Whatever changes this makes another cluster: the number of nodes, the programs, the base images, these files.
wanted_settings() {
  echo "nodes $NODES"
  echo "programs $(programs_dir)"
  echo "definition $(cat "$CLUSTER_DIR"/lib/*.sh "$CLUSTER_DIR"/templates/* "$BASE_LIST" | sha256sum)"
}

nodes_ready() {
  local ready
  ready=$(admin get nodes -o 'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
  [ "$(grep -cx True <<<"$ready")" = "$1" ]
}

# The node names of the cluster's settings file count, so that `env` and tests need not be told NODES.
is_healthy() {
  [ -f "$STATE_READY" ] && [ -z "$(dead_daemons)" ] && nodes_ready "$(sed -n 's/^nodes //p' "$STATE_READY")"
} 2>/dev/null

is_as_wanted() {
  [ -f "$STATE_READY" ] && [ "$(cat "$STATE_READY")" = "$(wanted_settings)" ]
}
