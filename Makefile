# Longhaul: what is typed to build, test and measure it. Continuous integration runs `make test` and nothing else.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:

.PHONY: help
help: ## Say what can be made.
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' Makefile | expand -t 14

.PHONY: test
test: install fmt length lint doc deny unit it real fuzz ## Install what is needed and run everything that must pass.
	@# What others publish is no reason for this tree to fail: it is told here, and `make advisories` fails.
	@$(MAKE) --no-print-directory advisories || echo "advisories: see above; this alone does not fail the tests"

.PHONY: install
install: ## Install what the tests need and is not there yet.
	.ci/install

.PHONY: fmt
fmt: ## Is everything formatted?
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo fmt --manifest-path tests/servers/consulrs/Cargo.toml --check

.PHONY: length
length: ## Is no source file too long?
	.ci/length

.PHONY: lint
lint: ## Clippy, with warnings denied.
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: doc
doc: ## Build the documentation, with warnings and broken links denied.
	RUSTDOCFLAGS="-D warnings -D rustdoc::broken_intra_doc_links" cargo doc --workspace --no-deps --quiet

.PHONY: deny
deny: ## Is every dependency allowed (.deny.toml)?
	cargo deny check bans licenses sources

.PHONY: advisories
advisories: ## Has a dependency a known vulnerability? Passes, and says so, when the database cannot be reached.
	@if timeout 120 cargo deny fetch db >/dev/null 2>&1; \
	then cargo deny --offline check advisories; \
	else echo "advisories: not checked, the RustSec database cannot be reached"; fi

.PHONY: unit
unit: ## Tests inside the crates, and the examples of the documentation.
	cargo test --workspace --no-fail-fast --lib --bins
	cargo test --workspace --doc

.PHONY: it
it: ## Tests of whole programs: the router over real sockets, the examples, this repository's documents.
	cargo test --workspace --no-fail-fast --test '*' -- --skip real_clients:: --skip plain_real:: --skip browser:: --skip signalr:: --skip socketio:: --skip protocols::

.PHONY: real
real: ## Clients, servers and a browser that others wrote, through the router.
	cargo test --test it -- real_clients:: plain_real:: browser:: signalr:: socketio:: protocols::

.PHONY: fuzz
fuzz: ## A minute of fuzzing, shared by all targets.
	tests/fuzz/run 60

.PHONY: scale
scale: ## The tests with many sessions again, with 9,000 on a release build.
	tests/scale

target := $(or $(CARGO_TARGET_DIR),target)
guided := $(target)/guided/longhaul

.PHONY: release
release: $(guided) ## Build the program for use, guided by what it does at work: target/guided/longhaul; twenty minutes.

$(guided): Cargo.toml Cargo.lock $(shell find src discovery/src) discovery/Cargo.toml bench/release bench/src/practice.rs bench/src/plan.rs
	bench/release

# What is measured: what the caller names, or what is meant for use, or, where that cannot be made, the plain build.
measured := $(target)/measured

.PHONY: measured
measured:
	@mkdir -p $(target)
	@if [ -n "$${LONGHAUL-}" ]; then \
	    [ -x "$$LONGHAUL" ] || { echo "bench: LONGHAUL=$$LONGHAUL is no program"; exit 2; }; \
	    echo "$$LONGHAUL" >$(measured); \
	elif $(MAKE) --no-print-directory release; then \
	    echo $(guided) >$(measured); \
	else \
	    echo "bench: THERE IS NO GUIDED BUILD, as said above; the plain one is measured"; \
	    cargo build --release --package longhaul; \
	    echo $(target)/release/longhaul >$(measured); \
	fi

.PHONY: bench
bench: measured ## Longhaul and its peers, every row, and its discovery on real registries; half an hour once built.
	bench/install-peers
	LONGHAUL=$$(<$(measured)) cargo run --release --quiet --package longhaul-bench
	cargo run --release --quiet --package longhaul-bench -- discovery

.PHONY: bench-quick
bench-quick: measured ## The rows that matter most; under two minutes once built.
	bench/install-peers nginx haproxy envoy
	LONGHAUL=$$(<$(measured)) cargo run --release --quiet --package longhaul-bench -- --quick
