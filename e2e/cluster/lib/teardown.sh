# shellcheck shell=bash
# Owns the removal of a cluster, whole or half up. Every step finds what it removes by itself, so that any may be repeated.

DEVICE_PLUGINS=/var/lib/kubelet/device-plugins

stop_processes() {
  kill_all members
  kill_all cgroup_processes
  kill_all network_processes
}

remove_mounts() {
  mounts | tr '\n' '\0' | xargs -0 -r -n1 umount -l
}

remove_files() {
  shim_sockets | xargs -r rm -f
  log_links | xargs -r rm -f
  cni_results | xargs -r rm -f
  remove_kubelet_sockets
  rmdir /var/lib/cni/results /var/lib/cni /var/log/containers /run/containerd/s /run/containerd 2>/dev/null || true
}

# Kubelets have this path built in; a socket that is still listened on is another kubelet's.
remove_kubelet_sockets() {
  if ! ss -xlH src "unix:$DEVICE_PLUGINS/kubelet.sock" | grep . >/dev/null; then rm -f "$DEVICE_PLUGINS/kubelet.sock"; fi
  rmdir "$DEVICE_PLUGINS" "${DEVICE_PLUGINS%/*}" 2>/dev/null || true
}

check_state_is_ours() {
  [ -f "$STATE_MARK" ] || [ -z "$(ls -A "$STATE_DIR" 2>/dev/null)" ] ||
    die "$STATE_DIR is not empty and not ours: give another folder in TIDEMARK_E2E_STATE"
}

# Only a folder that bears our mark, and never into anything that is still mounted below it.
remove_state() {
  [ -e "$STATE_DIR" ] || return 0
  check_state_is_ours
  [ -z "$(mounts)" ] || die "still mounted below $STATE_DIR: $(mounts | sed -n 1p)"
  find "$STATE_DIR" -mindepth 1 -maxdepth 1 ! -path "$STATE_MARK" -exec rm -rf --one-file-system {} +
  rm -rf --one-file-system "$STATE_DIR"
}

take_down() {
  check_state_is_ours
  check_network_is_ours
  stop_processes
  remove_mounts
  remove_network
  remove_cgroups
  remove_files
  restore_kernel_settings
  remove_state
}
