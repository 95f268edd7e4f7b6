# Everything here needs rustup, make and a C compiler, and brings the rest. CARGO_TARGET_DIR is respected.

# Everything is built with --workspace: features are then the same in each call, and no dependency is built twice.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
# Modules are built into a folder of their own, where the build scripts build them too.
GUESTS := $(TARGET)/guests
AS_GUEST := --target wasm32-wasip2 --profile guest --target-dir $(GUESTS)
MODULES := $(patsubst guest-modules/%/Cargo.toml,--package hookbox-%,$(wildcard guest-modules/*/Cargo.toml))
BENCHES := isolation guests hooks noisy rest lists telemetry noisy_hooks pipeline
BENCH :=
FAULTS :=
# What is measured is compiled as it would be shipped, but for link-time optimisation; the rest keeps its builds short. The
# program is built with the benches: alone it has other features of its dependencies, and the host would be compiled twice.
MEASURED := $(foreach part,dev dev.package.hookbox dev.package.hookbox-tests,--config 'profile.$(part).opt-level=3') --workspace

.PHONY: help demo test bench faults guests fmt wasm-target test-servers python-tools kit-tools browser-tools

help: ## say what each of these does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: wasm-target ## show Hookbox at work, without a broker or a database server; ends by itself
	cargo build --workspace --bin hookbox
	$(TARGET)/debug/hookbox demo

test: wasm-target test-servers python-tools kit-tools browser-tools ## check format and lints and run every test, on a private broker
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy $(MODULES) --package hookbox-bad-modules --features hookbox-bad-modules/modules --lib --examples $(AS_GUEST) -- -D warnings
	cargo test --workspace

bench: wasm-target test-servers kit-tools ## measure against the floor, on a private broker; BENCH="--messages 20000" for less
	cargo build $(MEASURED) --bin hookbox $(BENCHES:%=--bench %)
	for bench in $(filter-out pipeline,$(BENCHES)); do cargo bench $(MEASURED) --profile dev --bench $$bench || exit 1; done
	cargo bench $(MEASURED) --profile dev --bench pipeline -- $(BENCH)

faults: wasm-target test-servers kit-tools ## pull every plug under load, and print what was lost; FAULTS="--short" for a tenth of the load
	cargo bench $(MEASURED) --profile dev --bench faults -- $(FAULTS)

guests: wasm-target ## build the modules alone, for WebAssembly
	cd guest-modules && cargo build $(MODULES) $(AS_GUEST)

fmt: ## format all Rust
	cargo fmt --all

wasm-target: ## bring the target that modules are built for, when it is missing
	@.ci/wasm-target

test-servers: ## install RabbitMQ and PostgreSQL from the system's packages, when they are missing (root or sudo)
	@.ci/test-servers

python-tools: ## install schemathesis into the target folder, with pip, when it is missing
	@.ci/python-tools $(TARGET)/python

kit-tools: ## install Node.js with npm and Python's venv from the system's packages, when they are missing (root or sudo)
	@.ci/kit-tools

browser-tools: ## install Chromium, and what drives it in tests into the target folder, when they are missing (root or sudo)
	@.ci/browser-tools $(TARGET)/browser
