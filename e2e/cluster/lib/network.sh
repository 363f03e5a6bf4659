# shellcheck shell=bash
# Owns the bridge, the namespaces and the routes; must not touch a firewall or a range outside CLUSTER_RANGE.
# The bridge's alias names the state folder that it belongs to: it is the first link made and the last removed.

NAMESPACES=/run/netns

bridge_owner() { ip -d link show "$BRIDGE" 2>/dev/null | sed -n 's/^ *alias //p'; }

network_is_ours() {
  local owner
  owner=$(bridge_owner)
  [ -z "$owner" ] || [ "$owner" = "$STATE_DIR" ]
}

check_network_is_ours() {
  network_is_ours ||
    die "another local cluster is up: take it down with TIDEMARK_E2E_STATE=$(bridge_owner) make cluster-down"
}

make_network() {
  local node
  keep_namespaces_folder
  make_bridge
  for node in $(seq "$NODES"); do make_node_network "$node"; done
  ip route add "$SERVICE_RANGE" via "$CONTROL_PLANE_IP"
  for node in $(seq "$NODES"); do route_to_peers "$node"; done
}

# What `ip netns add` mounts for all namespaces with names is ours if nobody had it mounted before.
keep_namespaces_folder() { mountpoint -q "$NAMESPACES" || touch "$STATE_DIR/mounted-namespaces"; }

make_bridge() {
  ip link add "$BRIDGE" type bridge
  ip link set "$BRIDGE" alias "$STATE_DIR" up
  ip addr add "$HOST_IP/24" dev "$BRIDGE"
}

make_node_network() {
  local namespace link address
  namespace=$(node_namespace "$1") link=$(node_link "$1") address=$(node_ip "$1")
  ip netns add "$namespace"
  ip link add "$link" type veth peer name eth0 netns "$namespace"
  ip link set "$link" master "$BRIDGE" up
  ip -n "$namespace" addr add "$address/24" dev eth0
  ip -n "$namespace" link set eth0 up
  ip -n "$namespace" link set lo up
  ip -n "$namespace" route add default via "$HOST_IP"
  ip route add "$(node_pod_range "$1")" via "$address"
  ip netns exec "$namespace" sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}

route_to_peers() {
  local peer
  for peer in $(seq "$NODES"); do
    [ "$peer" = "$1" ] || ip -n "$(node_namespace "$1")" route add "$(node_pod_range "$peer")" via "$(node_ip "$peer")"
  done
}

network_namespaces() { ip netns list | awk '$1 ~ /^tidemark-[0-9]+$/ {print $1}'; }
network_links() { ip -o link show | grep -oE ': tidemark[0-9]+[@:]' | tr -d ' :@' || true; }
network_routes() { ip route show root "$CLUSTER_RANGE"; }

network_processes() {
  local namespace
  for namespace in $(network_namespaces); do ip netns pids "$namespace"; done
}

# The bridge goes last, so that a removal that was cut short still knows whose network it is.
remove_network() {
  local namespace link
  for namespace in $(network_namespaces); do ip netns del "$namespace"; done
  remove_namespaces_folder
  for link in $(network_links | grep -vxF "$BRIDGE"); do ip link del "$link" 2>/dev/null || true; done
  if ip link show "$BRIDGE" >/dev/null 2>&1; then ip link del "$BRIDGE"; fi
}

# If others have put namespaces there since, it is theirs.
remove_namespaces_folder() {
  [ -e "$STATE_DIR/mounted-namespaces" ] && [ -z "$(ls -A "$NAMESPACES" 2>/dev/null)" ] || return 0
  if mountpoint -q "$NAMESPACES"; then umount "$NAMESPACES"; fi
  if [ -d "$NAMESPACES" ]; then rmdir "$NAMESPACES"; fi
}
