# Three commands matter: `make demo` shows the whole system, `make serve` keeps it running, `make test` proves it. Each installs what it needs.
SHELL := /bin/bash
# Recipes with pipes say it themselves: make 3.81, which macOS has, knows no .SHELLFLAGS.
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# A first build gains nothing from incremental compilation, which takes almost half as long again for our own crates.
# Once cargo was used here by itself, `make` does as it does, so that nothing is built twice.
export CARGO_INCREMENTAL ?= $(if $(wildcard target/debug/incremental),1,0)
VENV := .venv
# Crates without IO, and what must not be in their dependency trees.
PURE := deflate protocol calls ingestion export config tracking
PURE_TESTS := $(addprefix -p ,$(PURE))
IMPURE := tokio|hyper|reqwest|http|axum|aws-.*|aws_.*|lambda.*|s3s|rustls|mio|socket2
# What is deployed, and what must not be in it: stand-ins, tests, and a clock that tests can stop.
PRODUCTION := ingester exporter receiver
TESTING := standins|stories|guard|local|s3s|proptest|insta|tempfile
# Credentials of people belong to the command line.
PERSONAL := aws-sdk-sso|aws-sdk-ssooidc|aws-sdk-signin|aws-sdk-cloudformation
# Tools of fixed versions lie under names that have the version, so that another version is another file to make.
DENY_VERSION := 0.20.2
SAM_VERSION := 1.170.0
CFN_LINT_VERSION := 1.58.0
MOTO_VERSION := 5.2.5
CARGO_LAMBDA_VERSION := 1.9.2
DENY := target/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
LINTERS := $(VENV)/sam-$(SAM_VERSION)-cfn-lint-$(CFN_LINT_VERSION)-moto-$(MOTO_VERSION)
BUILDERS := $(VENV)/cargo-lambda-$(CARGO_LAMBDA_VERSION)

# For the commands that deploy: zig is found through the first python3, and SAM must be the one of the same environment.
DEPLOYING := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" SAM_CLI_TELEMETRY=0
ARCHITECTURE ?= x86_64
FUNCTION ?= ingester

.PHONY: help demo serve test test-browser test-package test-fast test-long test-stalled test-clients fuzz check python fmt clippy doc purity deny advisories template bench-all bench-guard \
  bench-renew bench bench-peers bench-memory bench-docs bench-build clean build deploy package invoke destroy

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## The whole system on this machine, told as a story; its buckets stay under demo/
	$(CARGO) run --quiet --locked -p local --bin segment-s3 -- demo

serve: ## The whole system on this machine until Ctrl-C, with a page; its state stays under local/
	$(CARGO) run --quiet --locked -p local --bin segment-s3 -- serve

# The stories wait more than they compute, so more of them run at once than there are cores.
test: export RUST_TEST_THREADS ?= 4
test: ## Unit and property tests, then the stories over the real binaries
	$(CARGO) test --locked --workspace --tests
	$(CARGO) test --locked --workspace --doc

# Chromium of the system, so that npm fetches no browser.
CHROMIUM ?= $(firstword $(wildcard /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome))
test-browser: tests/browser/node_modules ## The page of `make serve` in headless Chromium; needs Node.js and Chromium
	@[ -x '$(CHROMIUM)' ] || { \
	  echo 'the tests of the page need Chromium (Debian, Ubuntu: apt-get install chromium), or CHROMIUM=PATH' >&2; exit 1; }
	$(CARGO) test --quiet --locked --workspace --test cli --no-run
	cd tests/browser && CHROMIUM='$(CHROMIUM)' npm test

tests/browser/node_modules: tests/browser/package-lock.json
	@command -v npm >/dev/null || { \
	  echo 'the tests of the page need Node.js with npm (Debian, Ubuntu: apt-get install nodejs npm)' >&2; exit 1; }
	cd tests/browser && npm ci --silent --no-audit --no-fund
	touch $@

test-fast: ## The tests of the pure crates: no server, no process
	$(CARGO) test --locked $(PURE_TESTS)

test-long: ## The stories of chance with many more seeds and kills (SEEDS, KILLS)
	KILLS=$${KILLS:-2000} SEEDS=$${SEEDS:-200} $(CARGO) test --locked --workspace --test stories -- \
	  resume:: faults::
	SEEDS=$${SEEDS:-2000} $(CARGO) test --locked --workspace --test stories -- seeds::

test-stalled: export RUST_TEST_THREADS ?= 6
test-stalled: ## The stories, while one process after another is stopped for up to STALL_MS (2000), as on a busy machine
	$(CARGO) test --locked --workspace --test stories --no-run
	tests/stalled.sh $(CARGO) test --locked --workspace --test stories

PROFILE ?= quick
test-package: $(BUILDERS) ## Packages the functions with PROFILE and tests the package: glibc, sizes, checksums, template, each event
	$(DEPLOYING) tests/package.sh $(ARCHITECTURE) $(PROFILE)

test-clients: ## Sends calls with real Segment libraries to the receiver, one in a headless Chromium; needs node, npm and the network
	$(CARGO) build --locked --workspace --bins
	tests/clients/run.sh

FUZZ_SECONDS ?= 300
fuzz: ## Fuzzes the reading of CSV, mappings, documents, events, requests and compressing, for FUZZ_SECONDS each; needs a nightly compiler and cargo-fuzz
	fuzz/seed.sh
	cd fuzz && cargo +nightly fuzz run reading -- -max_total_time=$(FUZZ_SECONDS)
	cd fuzz && cargo +nightly fuzz run mapping -- -max_total_time=$(FUZZ_SECONDS)
	cd fuzz && cargo +nightly fuzz run documents -- -max_total_time=$(FUZZ_SECONDS)
	cd fuzz && cargo +nightly fuzz run events -- -max_total_time=$(FUZZ_SECONDS)
	cd fuzz && cargo +nightly fuzz run requests -- -max_total_time=$(FUZZ_SECONDS)
	cd fuzz && cargo +nightly fuzz run deflate -- -max_total_time=$(FUZZ_SECONDS)

check: python fmt clippy doc purity template deny ## Formatting, lints, docs, purity, the template, dependency policy

fmt: ## Formatting
	$(CARGO) fmt --all --check

clippy: ## Lints, warnings denied
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc: ## Documentation of our crates, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

purity: ## The pure crates carry no runtime, no HTTP and no AWS; what is deployed carries no stand-in and no sign-in of people
	@set -euo pipefail; for crate in $(PURE); do \
	  tree=$$($(CARGO) tree --locked -p $$crate -e normal --prefix none --format '{p}' | awk '{print $$1}' | sort -u); \
	  if bad=$$(grep -xE '$(IMPURE)' <<<"$$tree"); then echo "$$crate is not pure: $$bad" >&2; exit 1; fi; \
	  echo "$$crate is pure"; \
	done; \
	for crate in $(PRODUCTION) ''; do \
	  name=$${crate:-a build for Lambda}; \
	  tree=$$($(CARGO) tree --locked $${crate:+-p $$crate} -e normal,build --prefix none --format '{p} {f}'); \
	  if bad=$$(awk '{print $$1}' <<<"$$tree" | sort -u | grep -xE '$(TESTING)'); then \
	    echo "$$name carries tests: $$bad" >&2; exit 1; fi; \
	  if bad=$$(awk '{print $$1}' <<<"$$tree" | sort -u | grep -xE '$(PERSONAL)'); then \
	    echo "$$name carries the credentials of people: $$bad" >&2; exit 1; fi; \
	  if bad=$$(grep -E '^tokio .*test-util' <<<"$$tree"); then \
	    echo "$$name carries a clock for tests: $$bad" >&2; exit 1; fi; \
	  echo "$$name carries no stand-in and no credentials of people"; \
	done

template: $(LINTERS) ## The templates: lints, and each way to deploy translated, evaluated and created in moto
	$(VENV)/bin/cfn-lint template.yaml deploy/*.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-west-2 $(VENV)/bin/sam validate --lint
	cd tests/template && ../../$(VENV)/bin/python -B -W ignore -m unittest --buffer

$(LINTERS): | python
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check \
	  aws-sam-cli==$(SAM_VERSION) cfn-lint==$(CFN_LINT_VERSION) \
	  'moto[awslambda,cloudformation,cloudwatch,events,iam,logs,s3,sns,sqs]==$(MOTO_VERSION)'
	rm -f $(VENV)/sam-*
	touch $@

# Said before minutes of other checks have gone by.
python:
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'the checks of the template need Python 3 with venv (Debian, Ubuntu: apt-get install python3-venv)' >&2; \
	  exit 1; \
	}

deny: $(DENY) ## Licences, bans and sources of dependencies
	$(DENY) --all-features check licenses bans sources

advisories: $(DENY) ## Known vulnerabilities of dependencies; needs the network
	$(DENY) --all-features check advisories

# Rows, rounds and more: make bench BENCH='--rows 100k,1M,10M --events 1000000 --runs 5'.
BENCH ?=
bench: bench-build ## Speed, memory, requests and sizes of the three functions as released; Linux, Python 3
	python3 -B bench/run.py bench $(BENCH)

bench-peers: bench-build ## Ingester and exporter beside other programs, in the same rounds; needs Node.js, pigz, igzip and the network
	@for tool in npm pigz igzip; do command -v $$tool >/dev/null || { \
	  echo "the comparison needs $$tool (Debian, Ubuntu: apt-get install nodejs npm pigz isal)" >&2; exit 1; }; done
	python3 -B bench/run.py peers $(BENCH)

bench-memory: bench-build ## Ingester and exporter with the CPU time and the memory of small functions; needs root, cgroups and iproute2
	python3 -B bench/run.py memory $(BENCH)

bench-all: bench bench-peers bench-memory bench-docs ## All of them, and the tables of docs/performance.md

bench-docs: ## Keeps the last results in bench/results/, and writes the tables of docs/performance.md
	python3 -B bench/run.py docs

# The functions with the features that are deployed and for the processors that cargo-lambda compiles for, then the server.
bench-build: export RUSTFLAGS = -C target-cpu=$(if $(filter aarch64 arm64,$(shell uname -m)),neoverse-n1,haswell)
bench-build:
	$(CARGO) build --release --locked --bin ingester --bin exporter --bin receiver
	$(CARGO) build --release --locked -p local -p measure --bin segment-s3 --bin measure

bench-guard: ## Instructions of the work on fixed input: more than 5 % more than bench/counts.txt fails
	bench/guard.sh

bench-renew: ## Writes bench/counts.txt anew
	bench/guard.sh renew

$(DENY):
	$(CARGO) install --quiet --locked --root target/tools/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)

build: $(BUILDERS) ## Ingester, exporter and receiver for Lambda, for ARCHITECTURE=x86_64 or arm64
	$(DEPLOYING) deploy/build.sh $(ARCHITECTURE)

deploy: $(BUILDERS) ## Builds and deploys the stack; the first time it asks what it needs
	$(DEPLOYING) deploy/deploy.sh

package: $(BUILDERS) ## Zips of ingester, exporter and receiver, and a template under release/ that deploy without Rust, for ARCHITECTURE
	$(DEPLOYING) deploy/package.sh $(ARCHITECTURE)

invoke: $(BUILDERS) ## FUNCTION with EVENT=events/s3_manual.json: on this machine, or in the stack STACK
	$(DEPLOYING) deploy/invoke.sh $(FUNCTION) $(EVENT)

destroy: $(LINTERS) ## Deletes the stack. Buckets and logs stay, and it says how to remove them
	$(DEPLOYING) deploy/destroy.sh

$(BUILDERS): $(LINTERS)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check cargo-lambda==$(CARGO_LAMBDA_VERSION)
	rm -f $(VENV)/cargo-lambda-*
	touch $@

clean: ## Everything that was built or shown
	rm -rf target demo local tests/browser/node_modules release .aws-sam $(VENV)
