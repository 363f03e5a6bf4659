# shellcheck shell=bash
# Owns where the built programs are, and the key that tells one build of them from another.

BUILD_FLAGS=(-trimpath)
# Every Kubernetes program reports the version that these flags give it.
VERSION_PACKAGES=(k8s.io/component-base/version k8s.io/client-go/pkg/version)

# choose_module NAME: one of the Go modules here, which are apart since each needs other versions of the same libraries.
choose_module() {
  PROGRAMS_MODULE=$1
  PROGRAMS_SOURCE=$CLUSTER_DIR/$1
  PROGRAMS_VERSION=$KUBERNETES_VERSION
  # Names that the program kube is called by, and modules whose custom resource definitions are wanted too.
  KUBE_NAMES=() DEFINITION_MODULES=()
  case $1 in
    programs) # the local cluster's, and Helm
      KUBE_NAMES=(kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet kubectl)
      PROGRAM_PACKAGES=(
        kube=./kube
        coredns=./coredns
        etcd=go.etcd.io/etcd/server/v3
        helm=helm.sh/helm/v3/cmd/helm
        helm-docs=github.com/norwoodj/helm-docs/cmd/helm-docs
        kubeadm=k8s.io/kubernetes/cmd/kubeadm
        local-path-provisioner=github.com/rancher/local-path-provisioner
      )
      ;;
    health) # tells how GitOps engines read an object
      PROGRAM_PACKAGES=(health=.)
      ;;
    oldest) # the API server of the oldest Kubernetes that is supported
      PROGRAMS_VERSION=$OLDEST_KUBERNETES_VERSION
      PROGRAM_PACKAGES=(kube-apiserver=k8s.io/kubernetes/cmd/kube-apiserver)
      ;;
    flux) # a GitOps engine
      PROGRAM_PACKAGES=(kustomize-controller=github.com/fluxcd/kustomize-controller)
      DEFINITION_MODULES=(github.com/fluxcd/kustomize-controller@v1.7.3 github.com/fluxcd/source-controller@v1.7.2)
      ;;
    *) die "there are no programs named $1: choose programs, health, oldest or flux" ;;
  esac
}

choose_module programs

program_ldflags() {
  local package minor=${PROGRAMS_VERSION#*.}
  printf -- '-s -w'
  for package in "${VERSION_PACKAGES[@]}"; do
    printf -- ' -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s' \
      "$package" "$PROGRAMS_VERSION" "$package" "$package" "${minor%.*}"
  done
}

programs_key() {
  (
    cd "$PROGRAMS_SOURCE" || exit
    shopt -s nullglob
    { go env GOVERSION GOARCH && echo "${BUILD_FLAGS[@]}" && program_ldflags && cat go.mod go.sum ./*.go ./*/*.go &&
      printf '%s' "${DEFINITION_MODULES[*]}"; } | sha256sum | cut -c1-16
  )
}

programs_dir() { echo "$CACHE_DIR/$PROGRAMS_MODULE/$(programs_key)"; }
