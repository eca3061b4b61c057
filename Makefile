# The only door: people and CI use the same targets. `make` alone prints help.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

CARGO_COMPONENT_VERSION := 0.21.1
CARGO_DENY_VERSION := 0.20.2
TOOLS := $(CURDIR)/.tools
export PATH := $(TOOLS)/bin:$(PATH)

# Every folder of guests/ but the SDK and the examples is a policy.
GUESTS := $(filter-out sdk examples,$(notdir $(patsubst %/,%,$(wildcard guests/*/))))
POLICIES := $(CURDIR)/target/policies
TIDEPOOL := cargo run --quiet -p tidepool-cli --
EXAMPLE ?= examples/basic.yaml

# Panic messages name source files; without this a policy's digest would depend on where it was built. The sources of
# the standard library are named as they are where rustup has not installed them.
CARGO_HOME_DIR := $(or $(CARGO_HOME),$(HOME)/.cargo)
RUST_SOURCES = $(shell rustc --print sysroot)/lib/rustlib/src/rust
RUST_COMMIT = $(shell rustc -vV | sed -n 's/^commit-hash: //p')
GUEST_FLAGS = --remap-path-prefix=$(CARGO_HOME_DIR)=/cargo --remap-path-prefix=$(CURDIR)=/tidepool \
  --remap-path-prefix=$(RUST_SOURCES)=/rustc/$(RUST_COMMIT)

# Copies guests into a folder, each at once, and only what changed: a running host watches the folder.
install = mkdir -p $(1); for guest in $(2); do \
  cmp -s target/wasm32-unknown-unknown/guest/policy_$$guest.wasm $(1)/$$guest.wasm \
  || { install -m 644 target/wasm32-unknown-unknown/guest/policy_$$guest.wasm $(1)/.$$guest.part && mv $(1)/.$$guest.part $(1)/$$guest.wasm; }; done

.PHONY: help
help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: guests ## A TiDB cluster on an embedded Kubernetes: EXAMPLE=examples/basic.yaml
	cargo build --workspace --bins
	target/debug/tidepool demo --policy-dir $(POLICIES) -f $(EXAMPLE)

.PHONY: test
test: guests ## All tests
	cargo build --workspace --bins --examples
	TIDEPOOL_POLICIES=$(POLICIES) cargo test --workspace --no-fail-fast
	python3 tests/tools/test_tools.py
	tests/objects/run
	$(MAKE) --no-print-directory conformance

.PHONY: conformance
conformance: guests ## How close the embedded control plane is to a real one: the score, with its floor
	cargo build --workspace --bins
	tests/conformance/run

.PHONY: check
check: tools-deny ## Format, lints, licences and advisories, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny --log-level error check bans licenses sources
	@# The list of advisories comes over the network; without one the rest is checked all the same.
	if cargo deny --log-level error fetch db; then cargo deny --log-level error check advisories; \
	  else echo "advisories: not checked, the database cannot be reached"; fi
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	tests/fresh

.PHONY: bench
bench: guests ## Benchmarks, with a table of figures and goals at the end
	cargo build --profile bench -p tidepool-cli -p tidepool-tests
	TIDEPOOL_POLICIES=$(POLICIES) cargo bench -p tidepool-cli -p tidepool-tests --bench figures

.PHONY: golden
golden: guests ## Write the expected transcripts and vectors anew; read the diff
	UPDATE_GOLDEN=1 TIDEPOOL_POLICIES=$(POLICIES) cargo test --workspace

.PHONY: guests
guests: tools ## The policies as WebAssembly components, in target/policies
	env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="$(GUEST_FLAGS)" \
	  cargo component build --quiet --target wasm32-unknown-unknown --profile guest $(GUESTS:%=-p policy-%) -p policy-hostile
	@$(call install,$(POLICIES),$(GUESTS))
	@$(call install,$(POLICIES)-for-tests,hostile)

.PHONY: tools
tools: ## What the build needs: the WebAssembly target and cargo-component
	@rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
	@[ "$$(cargo component --version 2>/dev/null)" = "cargo-component-component $(CARGO_COMPONENT_VERSION)" ] \
	  || CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-component --version $(CARGO_COMPONENT_VERSION) --locked --debug --root $(TOOLS)

.PHONY: tools-deny
tools-deny:
	@[ "$$(cargo deny --version 2>/dev/null)" = "cargo-deny $(CARGO_DENY_VERSION)" ] \
	  || CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --debug --root $(TOOLS)

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
	rm -rf $(TOOLS)
