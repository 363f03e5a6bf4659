# shellcheck shell=bash
# Owns one node: containerd, kubelet and kube-proxy in the node's network namespace, with its cgroup and CNI.

start_runtime() {
  local dir
  dir=$(node_dir "$1")
  mkdir -p "$dir"/{cni/net.d,kubelet,podlogs,volume-plugins}
  make_node_cgroup "$1"
  render containerd.toml "DIR=$dir" "SOCKET=$(node_socket "$1")" "PAUSE=$PAUSE_IMAGE" >"$dir/containerd.toml"
  render cni.conflist "DIR=$dir" "PODS=$(node_pod_range "$1")" >"$dir/cni/net.d/10-bridge.conflist"
  start_daemon "containerd-$1" "$1" containerd --config "$dir/containerd.toml"
}

# A kubelet that finds no containerd ends, so it starts when that one answers.
start_node() {
  local dir socket
  dir=$(node_dir "$1") socket=$(node_socket "$1")
  wait_for "$START_TIMEOUT" "containerd-$1" "containerd answers" ctr --address "$socket" version
  run_kubeadm kubeconfig kubelet --kubeconfig-dir "$dir" --node-name "node-$1"
  render kubelet.yaml "NODE=$1" "DIR=$dir" "SOCKET=$socket" "DNS=$DNS_IP" >"$dir/kubelet.yaml"
  render kube-proxy.yaml "NODE=$1" "PODS=$POD_RANGE" >"$dir/kube-proxy.yaml"
  start_flagged "kubelet-$1" "$1" kubelet "DIR=$dir" "NODE=$1" "IP=$(node_ip "$1")"
  start_daemon "kube-proxy-$1" "$1" kube-proxy --config "$dir/kube-proxy.yaml"
}

# Ready, and free of the taints that the controllers lift some moments later.
node_ready() {
  [ "$(admin get node "node-$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints}')" = True ]
}

wait_for_node() {
  wait_for "$START_TIMEOUT" "kubelet-$1" "node-$1 is Ready" node_ready "$1"
}
