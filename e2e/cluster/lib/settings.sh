# shellcheck shell=bash
# Owns the names, addresses and paths of the local cluster; must not run anything but the path arithmetic below.

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPO_DIR=$(cd "$CLUSTER_DIR/../.." && pwd)
TEMPLATES_DIR=$CLUSTER_DIR/templates

CACHE_DIR=${TIDEMARK_CACHE:-$HOME/.cache/tidemark}
IMAGES_DIR=$CACHE_DIR/images
STATE_DIR=$(realpath -m "${TIDEMARK_E2E_STATE:-/var/lib/tidemark-e2e}")
NODES=${NODES:-2}

# Held while a script makes or removes a cluster, of which a machine has one at a time.
STATE_LOCK=/run/lock/tidemark-e2e.lock
# The file that says that a folder is a state folder of ours, and may be removed as a whole.
STATE_MARK=$STATE_DIR/.tidemark-e2e
# The settings of a cluster that came up completely; absent in one that is half up.
STATE_READY=$STATE_DIR/ready
KUBECONFIG_FILE=$STATE_DIR/admin.conf

# Everything lives in 198.18.0.0/15, which RFC 2544 keeps for tests: no private range of the host is touched.
CLUSTER_RANGE=198.18.0.0/15
POD_RANGE=198.18.0.0/17
SERVICE_RANGE=198.18.128.0/20
DNS_IP=198.18.128.10
HOST_IP=198.19.255.1
CONTROL_PLANE_IP=198.19.255.2
# One /20 of the pod range for each node.
MAX_NODES=8

BRIDGE=tidemark0
KUBERNETES_VERSION=v1.34.4
# What the chart asks for at least.
OLDEST_KUBERNETES_VERSION=v1.33.0
PAUSE_IMAGE=tidemark.local/pause:1
BUSYBOX_IMAGE=tidemark.local/busybox:1

# Read in the environment of a process, this tells that the cluster of that state folder started it.
MEMBER_VARIABLE=TIDEMARK_E2E_MEMBER

# An ambient cluster is never meant: every client below names its own.
unset KUBECONFIG

# Nor may a proxy of the environment catch the cluster's addresses; Go's clients understand ranges.
export NO_PROXY="$CLUSTER_RANGE,127.0.0.0/8,localhost${NO_PROXY:+,$NO_PROXY}"
export no_proxy=$NO_PROXY

node_names() { seq -f 'tidemark-%g' "$NODES"; }
node_ip() { echo "198.19.255.$(($1 + 1))"; }
node_pod_range() { echo "198.18.$((($1 - 1) * 16)).0/20"; }
node_dir() { echo "$STATE_DIR/node-$1"; }
node_namespace() { echo "tidemark-$1"; }
node_link() { echo "tidemark$1"; }
node_socket() { echo "$STATE_DIR/node-$1/containerd.sock"; }

# The nodes of the cluster that is up, whatever NODES says.
running_nodes() {
  local dir
  for dir in "$STATE_DIR"/node-*; do
    if [ -d "$dir" ]; then echo "${dir##*-}"; fi
  done
}

check_settings() {
  [[ $NODES =~ ^[1-9][0-9]*$ ]] && [ "$NODES" -le "$MAX_NODES" ] ||
    die "NODES=$NODES is not a number of nodes: give one from 1 to $MAX_NODES"
  [ "$(id -u)" = 0 ] ||
    die "the local cluster makes network namespaces, mounts and cgroups: run this as root"
}
