# Everything sets itself up on a machine with Python 3.11 or newer, pip and make.
# `make demo` and `make test` are all a newcomer needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := demo
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header pyproject.toml

export MPLBACKEND ?= Agg

.PHONY: help demo test check lint types imports bench networks docs-figures lock clean

help:                ## this list
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/core.stamp    ## a hysteresis run on two specimens: figure, table, uid
	$(BIN)/twinscope demo --data $(DEMO) --specimen procedural
	$(BIN)/twinscope demo --data $(DEMO) --specimen micrograph

test: export OMP_NUM_THREADS ?= 1
test: export OPENBLAS_NUM_THREADS ?= 1
test: export TF_NUM_INTRAOP_THREADS ?= 1
test: export TF_NUM_INTEROP_THREADS ?= 1
test: $(VENV)/dev.stamp     ## all tests, in two processes
	$(BIN)/python -m pytest -n 2

check: lint types imports test   ## what CI runs

lint: $(VENV)/dev.stamp     ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp    ## pyright
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(VENV)/dev.stamp  ## the arrows between the rooms
	$(BIN)/lint-imports

bench: $(VENV)/bench.stamp  ## the benchmarks, side by side with their peers
	$(BIN)/python -m benchmarks

networks: $(VENV)/networks.stamp  ## the tables of note 155, can be resumed; OPTIONS=--evening hours, --quick minutes
	$(BIN)/python -m benchmarks.networks $(OPTIONS)

docs-figures: $(VENV)/dev.stamp  ## the figures of the intermodulation paper, from runs in a catalog
	$(BIN)/python -m benchmarks.paper_figures

lock: $(VENV)/dev.stamp     ## pin the dependencies anew (locks/*.txt, for every platform)
	$(COMPILE) locks/build.in -o locks/core.txt
	$(COMPILE) --extra dev -c locks/core.txt -o locks/dev.txt
	$(COMPILE) --extra bench -c locks/core.txt -o locks/bench.txt
	$(COMPILE) --extra networks -c locks/core.txt -o locks/networks.txt

clean:               ## remove the environment and what the demo made
	rm -rf $(VENV) $(DEMO) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: $(VENV)/bin/python pyproject.toml locks/core.txt
	$(PIP) install --quiet --require-hashes -r locks/core.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp locks/dev.txt locks/readers.txt
	$(PIP) install --quiet --require-hashes -r locks/dev.txt
	$(PIP) install --quiet --require-hashes --no-deps -r locks/readers.txt
	@touch $@

$(VENV)/bench.stamp: $(VENV)/core.stamp locks/bench.txt locks/peers.txt locks/readers.txt
	$(PIP) install --quiet --require-hashes -r locks/bench.txt
	$(PIP) install --quiet --require-hashes --no-deps -r locks/peers.txt -r locks/readers.txt
	@touch $@

$(VENV)/networks.stamp: $(VENV)/core.stamp locks/networks.txt
	$(PIP) install --quiet --require-hashes -r locks/networks.txt
	@touch $@
