# shellcheck shell=bash
# Owns the cgroups of the pods: /tidemark/node-N in every hierarchy of cgroup v1, or in the one of v2.

CGROUP_MOUNT=/sys/fs/cgroup

cgroup_is_v2() { [ -f "$CGROUP_MOUNT/cgroup.controllers" ]; }

cgroup_hierarchies() {
  if cgroup_is_v2; then echo "$CGROUP_MOUNT"; else find "$CGROUP_MOUNT" -mindepth 1 -maxdepth 1 -type d; fi
}

cgroup_roots() {
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    if [ -d "$hierarchy/tidemark" ]; then echo "$hierarchy/tidemark"; fi
  done
}

make_node_cgroup() {
  local hierarchy part
  for hierarchy in $(cgroup_hierarchies); do
    for part in tidemark "tidemark/node-$1"; do
      mkdir -p "$hierarchy/$part"
      inherit_controllers "$hierarchy" "$hierarchy/$part"
    done
  done
}

# A new cpuset of v1 has no cpus and no memory until they are copied down; v2 hands controllers down on request.
inherit_controllers() {
  local file
  if cgroup_is_v2; then
    sed 's/[^ ]*/+&/g' "$1/cgroup.controllers" >"$(dirname "$2")/cgroup.subtree_control"
  elif [ -f "$1/cpuset.cpus" ]; then
    for file in cpuset.cpus cpuset.mems; do cat "$1/$file" >"$2/$file"; done
  fi
}

cgroup_processes() {
  local root
  for root in $(cgroup_roots); do find "$root" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done | sort -un
}

# A cgroup whose last process was just killed stays busy for some milliseconds.
remove_cgroups() {
  local deadline=$((SECONDS + 10)) root
  while [ -n "$(cgroup_roots)" ] && [ "$SECONDS" -lt "$deadline" ]; do
    for root in $(cgroup_roots); do find "$root" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
  done
}
