# The commands of the project; `make` alone lists them. Build trees: build/<preset> (CMakePresets.json).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help deps configure build python python-test python-lock test demo demo-compress bench format format-check tidy install clean docs-check \
  sanitize bench-graph study-rag-storage study-hnsw-order study-muvera study-limit
.NOTPARALLEL:

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
# The interpreter of build/venv. Debian's own by default: another python3 on the path may lack the headers that deps installs.
PYTHON ?= /usr/bin/python3
venv = build/venv/bin
# CMake runs again only when it must: Ninja re-runs it when a CMakeLists.txt changed.
configure = test -f build/$(1)/build.ninja || cmake --preset $(1) >build/$(1).configure.log || { cat build/$(1).configure.log; exit 1; }
# Says how long the rest of the recipe line took.
phase = phase() { local start=$$SECONDS; "$$@"; echo "== $(1): $$((SECONDS - start)) s"; }; phase
sources = $(shell find core quant encode index multitenant tools bench python tests -name '*.[ch]pp')

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing (deps/debian.txt)
	@deps/install.sh

configure:
	@mkdir -p build
	@$(call configure,release)

build: deps configure ## the release build; the command is build/release/bin/vicinal
	@cmake --build build/release -j $(JOBS) --target bin/vicinal bin/vicinal_demo

test: ## everything that CI runs: builds, all tests, packaging, style, sanitizers
	@$(call phase,dependencies) deps/install.sh
	@mkdir -p build
	@$(call phase,release configure) bash -c '$(call configure,release)'
	@$(call phase,release build) cmake --build build/release -j $(JOBS)
	@$(call phase,headers compile alone) cmake --build build/release -j $(JOBS) --target all_verify_interface_header_sets
	@$(call phase,release tests) ctest --preset release -j $(JOBS)
	@$(call phase,python) $(MAKE) python-test
	@$(call phase,clang-format) $(MAKE) format-check
	@$(call phase,clang-tidy) $(MAKE) tidy
	@$(MAKE) sanitize

# The environment holds exactly what the lock names, by hash; a change of the lock makes it anew.
build/venv/lock.txt: python/requirements/test.txt python/requirements/uv.txt python/requirements/build-constraints.txt
	@mkdir -p build && rm -rf build/venv && $(PYTHON) -m venv build/venv
	@$(venv)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r python/requirements/uv.txt
	@VIRTUAL_ENV=build/venv $(venv)/uv pip install --quiet --require-hashes -r python/requirements/test.txt \
	  --build-constraints python/requirements/build-constraints.txt
	@cp python/requirements/test.txt $@

python: deps build/venv/lock.txt ## the wheel (build/wheel/) and build/venv, which holds it and what its tests need
	@rm -rf build/wheel && mkdir -p build/wheel
	@$(venv)/python -m pip wheel . --no-deps --no-build-isolation --disable-pip-version-check --quiet -w build/wheel/plain
	@PATH="$(CURDIR)/$(venv):$$PATH" $(venv)/auditwheel repair --plat auto -w build/wheel build/wheel/plain/*.whl \
	  >build/wheel/auditwheel.log 2>&1 || { cat build/wheel/auditwheel.log; exit 1; }
	@$(venv)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall build/wheel/*.whl
	@ls -lh build/wheel/*.whl | awk '{ print $$9 ", " $$5 }'

python-test: python ## tests of the Python package, and its guide in an environment with nothing but the wheel
	@$(venv)/python -m pytest -q tests/python
	@tests/python/empty_environment.sh $(PYTHON) build/wheel/*.whl

python-lock: ## resolve python/requirements/test.in anew
	@cd python/requirements && ../../$(venv)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 \
	  test.in -o test.txt

sanitize: deps ## tests under clang's address, undefined-behaviour and thread sanitizers
	@mkdir -p build
	@$(call configure,asan)
	@$(call phase,asan+ubsan build) cmake --build build/asan -j $(JOBS)
	@$(call phase,asan+ubsan tests) ctest --preset asan -j $(JOBS)
	@$(call configure,tsan)
	@$(call phase,tsan build) cmake --build build/tsan -j $(JOBS) --target concurrency_tests
	@$(call phase,tsan tests) ctest --preset tsan -j $(JOBS)

demo: build ## build, then measure on real images and draw recall against speed
	@build/release/bin/vicinal_demo

scifact = bench/data/scifact
demo-compress: build ## build, then measure which compression judged real embeddings bear, planned for ten million
	@build/release/bin/vicinal explore $(scifact)/documents.npy --metric cosine --queries $(scifact)/claims.npy \
	  --training-queries $(scifact)/training-claims.npy --qrels $(scifact)/judgements.txt \
	  --plan-for 10M --budget 4GiB --floor ndcg@10=.645 -o vicinal-compress.json --plot vicinal-compress.svg

bench: build ## the micro benchmarks of the kernels
	@cmake --build build/release -j $(JOBS) --target bin/vicinal_bench
	@build/release/bin/vicinal_bench

BENCH ?= $(scifact)/documents.npy $(scifact)/claims.npy ip
bench-graph: python ## graph indexes beside hnswlib, FAISS and SymphonyQG (bench/python/graph.py); BENCH="base.npy queries.npy ip"
	@VIRTUAL_ENV=build/venv $(venv)/uv pip install --quiet rabitqlib==0.7.1
	@cd bench/python && ../../$(venv)/python graph.py $(abspath $(filter %.npy,$(BENCH))) $(filter-out %.npy,$(BENCH))

# What the studies measure on, unless the environment says; each one's README.md says what it looks for there.
study-%: export VICINAL_DATA ?= $(wildcard ../shared/data)

study-rag-storage: python ## quality against storage of embeddings (bench/studies/rag_storage); VICINAL_DATA=folder
	@PYTHONPATH=bench/studies $(venv)/python -m rag_storage

study-hnsw-order: python ## recall of graphs by order of insertion and intrinsic dimension (bench/studies/hnsw_order); VICINAL_DATA=folder
	@PYTHONPATH=bench/studies $(venv)/python -m hnsw_order

study-muvera: python ## candidates by one vector a document instead of many (bench/studies/muvera); VICINAL_DATA=folder
	@PYTHONPATH=bench/studies $(venv)/python -m muvera

study-limit: python ## what one vector a text cannot tell apart, on LIMIT and without texts (bench/studies/limit); VICINAL_DATA=folder
	@PYTHONPATH=bench/studies $(venv)/python -m limit

format: ## clang-format over all C++ sources
	@clang-format -i $(sources)

format-check: ## fails when clang-format would change something
	@clang-format --dry-run -Werror $(sources)

tidy: build ## clang-tidy over the library and the command
	@run-clang-tidy -quiet -extra-arg=-Wno-unknown-warning-option -j $(JOBS) -p build/release '^$(CURDIR)/(core|quant|encode|index|multitenant|tools)/[a-z0-9_]+\.cpp$$' >build/tidy.log 2>&1 \
	  || { grep -E 'warning:|error:|note:' build/tidy.log; exit 1; }

docs-check: build ## run every command and compile every code block of README.md and docs/
	@ctest --test-dir build/release -L docs --output-on-failure --no-tests=error

install: build ## install under PREFIX (default /usr/local)
	@cmake --install build/release --prefix $(PREFIX)

clean: ## remove build/
	@rm -rf build
