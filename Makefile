# Two commands suffice: `make demo` and `make test`. Each sets up .venv first, if that is not done yet.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check docs bench peers fuzz soak screenshots lock
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
PEERS_PIP := .venv-peers/bin/python -m pip --disable-pip-version-check --no-input --quiet
TORCH := $(shell sed -n 's/^torch==//p' requirements.lock)
# the environment is complete if it was made from exactly these files
WANTED := $(shell cat requirements.lock data-wheels.txt pyproject.toml | sha256sum | cut -c1-16)
READY := .venv/.ready-$(WANTED)
SWIFT_READY := .venv-swift/.ready-$(shell sha256sum < tests/integration/swift-requirements.txt | cut -c1-16)
DOCS_READY := .venv-docs/.ready-$(shell sha256sum < docs/generate/requirements.txt | cut -c1-16)
PEERS_READY := .venv-peers/.ready-$(shell (echo $(TORCH); cat benchmarks/peers-requirements.txt) | sha256sum | cut -c1-16)

help: ## list what can be asked for
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(READY) ## make .venv with everything in it (a second time: nothing)
	@echo "setup: .venv is complete"

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; } \
	  || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@[ -x $(BIN)/pip ] || { rm -rf .venv; $(PYTHON) -m venv .venv; }
	@echo "setup: PyTorch $(TORCH)"
	@$(PIP) install --no-deps 'torch==$(TORCH)+cpu' 2>/dev/null || $(PIP) install 'torch==$(TORCH)'
	@echo "setup: everything else"
	@$(PIP) install --no-deps --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@rm -f .venv/.ready-* && touch $@

demo: $(READY) ## prune a real 135M-parameter model through the HTTP API (KEEP=1 leaves the service running)
	@KEEP='$(KEEP)' $(BIN)/python -m service.demo

# OpenStack Swift, an S3 server for the tests, has requirements of its own and gets an environment of its own.
$(SWIFT_READY): $(READY)
	@echo "setup: Swift, the tests' S3 server"
	@rm -rf .venv-swift; $(PYTHON) -m venv .venv-swift
	@.venv-swift/bin/python -m pip --disable-pip-version-check --no-input --quiet install --no-deps --requirement tests/integration/swift-requirements.txt
	@touch $@

# The tests of the dashboard drive a real browser, Debian's Chromium; none is fetched from elsewhere.
CHROMIUM := $(or $(DSNOT_CHROMIUM),/usr/bin/chromium)

# JOBS is the number of processes at once: by default two per core, as far as memory allows.
test: $(READY) $(SWIFT_READY) $(CHROMIUM) ## run all tests (SIZE=full: repeat the expensive ones more often; JOBS=1: in one process)
	@SIZE='$(SIZE)' $(BIN)/pytest --numprocesses $(patsubst 1,0,$(or $(JOBS),auto))

$(CHROMIUM):
	@if [ '$@' = /usr/bin/chromium ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "setup: Chromium, for the tests of the dashboard"; export DEBIAN_FRONTEND=noninteractive; \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core >/dev/null || true; \
	fi
	@[ -x '$@' ] || echo "Without Chromium at $@ the tests of the dashboard are skipped; on Debian: apt-get install chromium, or name another with DSNOT_CHROMIUM=/path" >&2

lint: $(READY) ## check format, style, types and who imports whom
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test docs ## lint, test, and build the documentation

# 110 MB of tools, which nothing but the site needs, in an environment of their own.
docs: $(READY) $(DOCS_READY) ## build the documentation in service/help_site, strictly; the service serves it at /help
	@$(BIN)/python -m docs.generate
	@.venv-docs/bin/python -m zensical build --strict --clean

$(DOCS_READY):
	@echo "setup: the documentation's tools"
	@rm -rf .venv-docs; $(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip --disable-pip-version-check --no-input --quiet install --no-deps --requirement docs/generate/requirements.txt
	@touch $@

bench: $(READY) ## list what can be measured, and how
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python -m "benchmarks.$$(basename $$script .py)" --help | sed -n '1,6p'; echo; done

# llmcompressor wants older libraries than ours and gets an environment of its own, with the PyTorch that ours has.
peers: $(PEERS_READY) ## make .venv-peers with llmcompressor, which benchmarks/speed.py measures beside ours
	@echo "peers: .venv-peers is complete"

$(PEERS_READY):
	@rm -rf .venv-peers; $(PYTHON) -m venv .venv-peers
	@echo "peers: PyTorch $(TORCH)"
	@$(PEERS_PIP) install --no-deps 'torch==$(TORCH)+cpu' 2>/dev/null || $(PEERS_PIP) install 'torch==$(TORCH)'
	@echo "peers: llmcompressor"
	@$(PEERS_PIP) install --no-deps --requirement benchmarks/peers-requirements.txt
	@touch $@

fuzz: $(READY) ## made-up requests by the OpenAPI document, for FUZZ_SECONDS (600) from FUZZ_SEED on
	@seed=$${FUZZ_SEED:-$$RANDOM}; echo "fuzz: FUZZ_SEED=$$seed"; FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_SEED=$$seed $(BIN)/pytest -q tests/integration/test_fuzz.py

soak: $(READY) $(SWIFT_READY) ## half an hour of random faults under 200 small jobs
	@$(BIN)/python -m tests.faults.soak

screenshots: $(READY) $(CHROMIUM) ## take the dashboard's pictures for the README anew, of real jobs
	@$(BIN)/python -m tests.browser.screenshots

# The CPU build of PyTorch is resolved, so that no GPU libraries get into the lock; the build itself is not pinned.
lock: $(READY) ## pin the newest versions that fit pyproject.toml in requirements.lock
	@[ -x .venv-lock/bin/uv ] || { $(PYTHON) -m venv .venv-lock; .venv-lock/bin/pip --disable-pip-version-check --quiet install uv; }
	@links=$$($(BIN)/pip config get global.find-links 2>/dev/null || true); links=$${PIP_FIND_LINKS:-$$links}; \
	  if [ -n "$$links" ]; then export UV_FIND_LINKS="$${links// /,}"; else export UV_TORCH_BACKEND=cpu; fi; \
	  echo 'torch==$(TORCH)+cpu' | .venv-lock/bin/uv pip compile --quiet --no-header --no-annotate --all-extras --python-version 3.11 \
	    --constraint - pyproject.toml | sed 's/+cpu$$//' > .venv-lock/requirements.lock
	@sed -n 's/^\([^#][^ ]*\).*/\1/p' data-wheels.txt >> .venv-lock/requirements.lock
	@mv .venv-lock/requirements.lock requirements.lock
	@echo "lock: $$(grep -c == requirements.lock) packages; run: make check"
