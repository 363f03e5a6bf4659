# shellcheck shell=bash
# Owns the list of everything a cluster leaves on the machine, each kind by a function that prints one a line.

mounts() {
  awk -v dir="$STATE_DIR/" '{ gsub(/\\040/, " ", $2); if (index($2, dir) == 1) print $2 }' /proc/mounts | sort -r
}

# Links that kubelets put beside other runtimes' logs; they point into our state folder.
log_links() {
  find /var/log/containers -maxdepth 1 -type l -lname "$STATE_DIR/*" 2>/dev/null || true
}

# What the CNI library keeps of a pod names the pod's network namespace, which is in our state folder.
cni_results() {
  grep -rlF "\"$STATE_DIR/" /var/lib/cni/results 2>/dev/null || true
}

# The sockets that containerd's shims were reached at: a shim that is killed leaves its own.
shim_sockets() {
  find "$STATE_DIR"/node-*/containerd/state -name address -type f -exec sed -n 's|^unix://||p' {} + 2>/dev/null || true
}

state_folder() { if [ -e "$STATE_DIR" ]; then echo "$STATE_DIR"; fi; }

# What has the same name in every cluster is ours only if the bridge is.
shared_leftovers() {
  network_is_ours || return 0
  cgroup_processes | sed 's/^/process in a pod cgroup /'
  cgroup_roots | sed 's/^/cgroup /'
  network_namespaces | sed 's/^/namespace /'
  network_links | sed 's/^/link /'
  network_routes | sed 's/^/route /'
}

leftovers() {
  members | sed 's/^/process /'
  mounts | sed 's/^/mount /'
  shared_leftovers
  log_links | sed 's/^/log link /'
  cni_results | sed 's/^/CNI result /'
  state_folder | sed 's/^/folder /'
}
