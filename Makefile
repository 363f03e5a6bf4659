# Every build cache lives here, outside the checkout, so that a fresh clone on a warm machine is quick.
export TIDEMARK_CACHE ?= $(HOME)/.cache/tidemark
export CARGO_TARGET_DIR ?= $(TIDEMARK_CACHE)/target

CLUSTER := e2e/cluster
export NODES ?= 2

.PHONY: cluster-programs cluster-up cluster-down cluster-env images

cluster-programs: ## Build Kubernetes, etcd, CoreDNS and helm from their Go modules (first time only)
	@$(CLUSTER)/build-programs >/dev/null

cluster-up: ## Bring up a real Kubernetes of NODES nodes (default 2) on this machine, as root
	@$(CLUSTER)/up

cluster-down: ## Take it down; nothing of it is left
	@$(CLUSTER)/down

cluster-env: ## Print the shell variables that select it: eval "$$(make -s cluster-env)"
	@$(CLUSTER)/env

images: ## Build the images and load them into the local cluster's nodes if it is up
	@$(CLUSTER)/packages && $(CLUSTER)/build-images && $(CLUSTER)/load-images --if-up
