# Two commands matter: `make demo` shows the whole system, `make test` proves it. Each installs what it needs.
SHELL := /bin/bash
# Recipes with pipes say it themselves: make 3.81, which macOS has, knows no .SHELLFLAGS.
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
VENV := .venv
# Crates without IO, and what must not be in their dependency trees.
PURE := protocol calls ingestion export
IMPURE := tokio|hyper|reqwest|http|axum|aws-.*|aws_.*|lambda.*|s3s|rustls|mio|socket2
# Tools of fixed versions lie under names that have the version, so that another version is another file to make.
DENY_VERSION := 0.20.2
SAM_VERSION := 1.170.0
CFN_LINT_VERSION := 1.58.0
DENY := target/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
LINTERS := $(VENV)/sam-$(SAM_VERSION)-cfn-lint-$(CFN_LINT_VERSION)

.PHONY: help demo test check python fmt clippy doc purity deny template clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## The whole system on this machine, told as a story; its buckets stay under demo/
	$(CARGO) run --quiet --locked -p local --bin segment-s3 -- demo

test: ## Unit and property tests, then the stories over the real binaries
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) test --locked --workspace

check: python fmt clippy doc purity template deny ## Formatting, lints, docs, purity, the template, dependency policy

fmt: ## Formatting
	$(CARGO) fmt --all --check

clippy: ## Lints, warnings denied
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc: ## Documentation of our crates, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

purity: ## The pure crates carry no runtime, no HTTP and no AWS
	@set -euo pipefail; for crate in $(PURE); do \
	  tree=$$($(CARGO) tree --locked -p $$crate -e normal --prefix none --format '{p}' | awk '{print $$1}' | sort -u); \
	  if bad=$$(grep -xE '$(IMPURE)' <<<"$$tree"); then echo "$$crate is not pure: $$bad" >&2; exit 1; fi; \
	  echo "$$crate is pure"; \
	done

template: $(LINTERS) ## The template, as CloudFormation and SAM see it
	$(VENV)/bin/cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-west-2 $(VENV)/bin/sam validate --lint

$(LINTERS): | python
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check \
	  aws-sam-cli==$(SAM_VERSION) cfn-lint==$(CFN_LINT_VERSION)
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

$(DENY):
	$(CARGO) install --quiet --locked --root target/tools/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)

clean: ## Everything that was built or shown
	rm -rf target demo $(VENV)
