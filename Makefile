# Every build cache lives here, outside the checkout, so that a fresh clone on a warm machine is quick.
export TIDEMARK_CACHE ?= $(HOME)/.cache/tidemark
export CARGO_TARGET_DIR ?= $(TIDEMARK_CACHE)/target
