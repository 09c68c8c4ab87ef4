# What there is to run. `make help` lists it; `.ci/run` is `make check` and `make test`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help check crds-current test control-plane bench soak model crds

CARGO ?= cargo

# Where the programs of the cluster tests are linked to; the tests read the variable.
export POSTLINK_CONTROL_PLANE_BIN := $(CURDIR)/target/control-plane/bin

# Run the ignored tests whose names begin a word with $(2), of the test binaries $(1), optimised and one at a
# time. A filter that matches nothing must not look like success.
define ignored_tests
$(CARGO) test --release $(1) -- --ignored --list $(2) | grep ': test$$' \
	|| { echo "no ignored test is called $(2)…" >&2; exit 1; }
$(CARGO) test --release $(1) -- --ignored --nocapture --test-threads=1 $(2)
endef

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

check: crds-current ## Formatting, lints, documentation, generated files: all that needs no server
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

# crds/ is generated and committed; a difference means that somebody forgot `make crds`.
crds-current:
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
		$(CARGO) run -q -- crds --out "$$fresh"; \
		diff -r crds "$$fresh" || { echo "crds/ is not what the code says; run \`make crds\`" >&2; exit 1; }

test: control-plane ## All layers with small budgets, at most 20 minutes once built
	$(CARGO) test --no-fail-fast

control-plane: ## Build the real control plane, kubectl, Helm and Flux once, into a cache in the home folder
	tests/cluster/build-tools $(POSTLINK_CONTROL_PLANE_BIN)

bench: control-plane ## Measure on the real control plane (POSTLINK_BENCH_OBJECTS=n)
	$(call ignored_tests,--test cluster,bench_)

soak: control-plane ## The large numbers: ignored tests called soak_…
	$(call ignored_tests,--test embedded --test cluster,soak_)

model: ## The model check with larger bounds: all its ignored tests
	$(call ignored_tests,--test model,)

crds: ## Write crds/ anew from the code
	$(CARGO) run -q -- crds --out crds
