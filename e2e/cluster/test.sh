#!/usr/bin/env bash
# Tests the local cluster itself. It takes down the one that is up, and leaves none.
# `test.sh GROUP…` runs some groups of: bad_input running images lifecycle.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/all.sh"
. "$here/test/check.sh"
. "$here/test/running.sh"
. "$here/test/lifecycle.sh"

test_bad_input() {
  check "numbers of nodes that make no sense are refused" bad_numbers_are_refused
  check "a folder that is not ours is neither used nor removed" foreign_folder_is_refused
  check "a daemon that fails is named, with its log" failing_daemon_is_shown
}

test_running() {
  check "two nodes come up" comes_up
  check "pods start with dynamic volumes" apply_fixtures
  check "volumes are writable without root" volumes_are_writable
  check "pods are on both nodes" pods_are_on_both_nodes
  check "names resolve in pods" names_resolve
  check "a Service reaches pods on both nodes" service_reaches_both_nodes
  check "the host reaches a Service" host_reaches_the_service
  check "logs are readable" logs_are_readable
  check "helm works" helm_works
  check "faults can be injected into one pod" faults_are_injected
  check "pod-netns names a pod that is not there" pod_netns_names_what_is_missing
  check "a pod that is made anew keeps its volume" restarted_pods_keep_their_volume
}

test_images() {
  check "a cluster is up for the images" comes_up
  check "our images are built" "$here/build-images"
  check "they are loaded into the nodes" "$here/load-images"
  check "they run without root" images_run_as_nobody
  check "names resolve in an image from scratch" images_resolve_names
  check "what did not change is not built again" images_are_not_built_twice
}

test_lifecycle() {
  local file
  check "a cluster is up" comes_up
  check "with pods" apply_fixtures
  check "a second up changes nothing" second_up_changes_nothing
  check "a second cluster beside it is refused" second_cluster_is_refused
  check "down leaves nothing, with pods running" goes_down
  check "down again is no error" goes_down
  for file in kubeadm.yaml run/etcd.pid run/containerd-1.pid run/kubelet-1.pid run/coredns.pid; do
    check "up killed at $file, then down" killed_up_goes_down "$file"
  done
  check "up killed half-way, then up" killed_up_comes_up run/kubelet-2.pid
  check "up after one kubelet died" up_replaces_a_dead_cluster kubelet-2.pid
  check "up after all daemons died" all_daemons_die
  check "down killed half-way, then down" killed_down_goes_down
  check "up whose lock holder was killed, then down" orphaned_up_goes_down
  check "two nodes come up again" comes_up
  check "a pid that was used again is not killed" strangers_live
  check "nothing is left at the end" is_clean
}

main() {
  local group
  for group in "$@"; do declare -F "test_$group" >/dev/null || die "no group of tests is called $group"; done
  check_settings
  "$here/packages"
  PATH=$("$here/build-programs"):$PATH
  export KUBECONFIG=$KUBECONFIG_FILE
  "$here/down"
  untouched=$(machine)
  for group in "$@"; do "test_$group"; done
  "$here/down"
  summary
}

[ $# -gt 0 ] || set -- bad_input running images lifecycle
main "$@"
