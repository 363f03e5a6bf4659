# shellcheck shell=bash
# Owns the kernel's settings that a kubelet changes for the whole machine: kept before the first start, put back at the end.

KUBELET_SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

keep_kernel_settings() { sysctl "${KUBELET_SYSCTLS[@]}" >"$STATE_DIR/sysctls"; }

restore_kernel_settings() {
  if [ -f "$STATE_DIR/sysctls" ]; then sysctl -q -p "$STATE_DIR/sysctls" || true; fi
}

# Built in or loaded already on many machines, so a failure here proves nothing.
load_modules() { modprobe -qa overlay br_netfilter 2>/dev/null || true; }
