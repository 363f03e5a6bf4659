# shellcheck shell=bash
# Owns what a cluster has beside the control plane: DNS and dynamic volumes.

start_addons() {
  render addons.yaml "DNS=$DNS_IP" "IP=$CONTROL_PLANE_IP" >"$STATE_DIR/addons.yaml"
  super_admin apply --server-side -f "$STATE_DIR/addons.yaml" >>"$STATE_DIR/log/addons.log" 2>&1 || {
    indent_tail 15 "$STATE_DIR/log/addons.log"
    die "the API server refused $STATE_DIR/addons.yaml"
  }
  start_dns
  start_provisioner
}

start_dns() {
  render Corefile >"$STATE_DIR/Corefile"
  start_daemon coredns 1 coredns -conf "$STATE_DIR/Corefile"
}

start_provisioner() {
  mkdir -p "$STATE_DIR/volumes"
  render local-path.json >"$STATE_DIR/local-path.json"
  render helper-pod.yaml "BUSYBOX=$BUSYBOX_IMAGE" >"$STATE_DIR/helper-pod.yaml"
  start_flagged local-path-provisioner 1 local-path-provisioner "BUSYBOX=$BUSYBOX_IMAGE"
}

dns_answers() { answers_ok 1 8181 /ready; }

# Without its default account a namespace takes no pods.
wait_for_addons() {
  wait_for "$START_TIMEOUT" kube-controller-manager "the default service account is there" admin get serviceaccount default
  wait_for "$START_TIMEOUT" coredns "CoreDNS is ready" dns_answers
}
