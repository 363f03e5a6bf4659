# shellcheck shell=bash
# Owns the control plane on node 1: certificates, etcd, API server, controllers, scheduler.

START_TIMEOUT=60

admin() { kubectl --kubeconfig "$KUBECONFIG_FILE" --request-timeout 5s "$@"; }
super_admin() { kubectl --kubeconfig "$STATE_DIR/super-admin.conf" --request-timeout 5s "$@"; }

make_certificates() {
  render kubeadm.yaml "IP=$CONTROL_PLANE_IP" "VERSION=$KUBERNETES_VERSION" \
    "PODS=$POD_RANGE" "SERVICES=$SERVICE_RANGE" >"$STATE_DIR/kubeadm.yaml"
  run_kubeadm certs all
  run_kubeadm kubeconfig all --kubeconfig-dir "$STATE_DIR"
}

run_kubeadm() { # PHASE ARGS…
  if ! kubeadm init phase "$@" --config "$STATE_DIR/kubeadm.yaml" >>"$STATE_DIR/log/kubeadm.log" 2>&1; then
    indent_tail 15 "$STATE_DIR/log/kubeadm.log"
    die "kubeadm init phase $1 failed"
  fi
}

# start_flagged NAME NODE PROGRAM TEMPLATE-VALUE…: a daemon whose flags are a template.
start_flagged() {
  local flags
  render_flags flags "$3.flags" "${@:4}"
  start_daemon "$1" "$2" "$3" "${flags[@]}"
}

start_control_plane() {
  start_flagged etcd 1 etcd
  render audit.yaml >"$STATE_DIR/audit.yaml"
  start_flagged kube-apiserver 1 kube-apiserver "IP=$CONTROL_PLANE_IP" "SERVICES=$SERVICE_RANGE"
}

finish_control_plane() {
  wait_for "$START_TIMEOUT" kube-apiserver "the API server is ready" super_admin get --raw /readyz
  say "API server ready"
  start_flagged kube-controller-manager 1 kube-controller-manager "SERVICES=$SERVICE_RANGE"
  start_flagged kube-scheduler 1 kube-scheduler
}
