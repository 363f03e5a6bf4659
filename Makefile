# Every build cache lives here, outside the checkout, so that a fresh clone on a warm machine is quick.
export TIDEMARK_CACHE ?= $(HOME)/.cache/tidemark
export CARGO_TARGET_DIR ?= $(TIDEMARK_CACHE)/target
_ := $(shell scripts/own-caches)

CLUSTER := e2e/cluster
export NODES ?= 2

.PHONY: cluster-programs cluster-up cluster-down cluster-env images

cluster-programs: ## Build Kubernetes, etcd, CoreDNS and helm from their Go modules (first time only)
	@$(CLUSTER)/build-programs >/dev/null

cluster-up: ## Bring up a real Kubernetes of NODES nodes (default 2) on this machine, as root
	@$(CLUSTER)/up

cluster-down: ## Take it down; nothing of it is left
	@$(CLUSTER)/down

cluster-env: ## Print the shell variables that select it, for eval
	@$(CLUSTER)/env

images: ## Build the images and load them into the local cluster's nodes if it is up
	@$(CLUSTER)/packages && $(CLUSTER)/build-images && $(CLUSTER)/load-images --if-up

.PHONY: help demo test test-full fuzz lint bench bench-follower bench-operator crds kustomize advisories
.DEFAULT_GOAL := help

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: cluster-up images ## Show on a real cluster how a lagging follower leaves the Service and returns
	@cargo run --quiet -p tidemark-e2e -- demo

test: ## Run every check and test; prints the time of each stage
	@scripts/test

test-full: ## The same, with half a million crashes of the store, 5000 simulated fleets, every change of the judge, the oldest Kubernetes, half an hour of chaos and the images built twice
	@TIDEMARK_ANEW=1 TIDEMARK_IMAGES=twice TIDEMARK_CRASH_REOPENINGS=500000 TIDEMARK_SIMULATION_SEEDS=0..5000 TIDEMARK_MUTANTS=all TIDEMARK_STORIES=all TIDEMARK_CHAOS_SECONDS=600 scripts/test

fuzz: ## Try FUZZ_CASES (default 20000) hostile inputs on each decoder of outside bytes
	@PROPTEST_CASES=$(or $(FUZZ_CASES),20000) cargo test --quiet -p tidemark-store -p tidemark-follower --features tidemark-follower/miden --lib fuzz

lint: ## Check formatting, lints, docs and licences
	@scripts/lint

bench: ## Measure; prints a line a figure and writes target/bench.json
	@rm -f target/bench.json
	@$(MAKE) --no-print-directory bench-follower bench-operator cluster-up images
	@cargo run --quiet -p tidemark-e2e -- bench

bench-follower: ## Measure only what needs no cluster; FIGURES="NAME…" names the figures
	@cargo build --quiet --release -p tidemark-follower -p tidemark-bench --features tidemark-bench/miden
	@$(CARGO_TARGET_DIR)/release/tidemark-bench run $(FIGURES)

bench-operator: cluster-programs ## Measure what the operator costs, on a real API server with scripted followers; FIGURES as above
	@cargo build --quiet --release -p tidemark-operator -p tidemark-e2e
	@$(CARGO_TARGET_DIR)/release/tidemark-e2e bench-operator $(FIGURES)

crds: ## Write anew what is made from the Rust types: crds/, docs/api.md, and what the charts have of it
	@scripts/crds

kustomize: ## Write deploy/kustomize anew from the chart and crds/
	@scripts/kustomize --write

advisories: ## Check dependencies against the advisory database, which is fetched from the network
	@$(TIDEMARK_CACHE)/tools/cargo-deny-*/bin/cargo-deny check advisories
