# `make` alone lists the targets. `make run` and `make test` need only python3 (with venv), make and a package index.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help venv run demo test sim check format bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config/sample.yml

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

venv: $(VENV)/installed ## make .venv with the versions of constraints.txt

run: venv ## run netmon here, without root, on config/sample.yml
	exec $(BIN)/netmon run -c $(CONFIG)

test: venv ## run all tests; ARGS='-k name' goes to pytest
	tests/tools.sh
	PYTHON=$(BIN)/python tests/run.sh $(ARGS)

sim: venv ## simulate disasters against the core of failover, one of them large; ARGS='--seeds 1000 --from 0'
	$(BIN)/python -m tests.sim --large 1 $(ARGS)

check: venv ## lint, format, types, purity
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict netmon $(wildcard loadtest)
	$(BIN)/python -m pytest -q tests/unit/test_project.py

format: venv ## let ruff format the code and sort the imports
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

demo: venv ## play an earthquake and a cut duct over four gateways in network namespaces; a minute, with or without root
	$(BIN)/python -m loadtest.demo $(ARGS)

bench: $(VENV)/installed-bench ## measure the figures, then compare with the peers; a quarter of an hour, see docs/benchmarks.md
	tests/tools.sh
	status=0; $(BIN)/python -m loadtest bench $(ARGS) || status=$$?; $(BIN)/python -m loadtest compare || status=$$?; exit $$status

clean: ## remove what make and the tests made; keeps var/, where the journal is
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'netmon needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'Python has no venv here. Type this, then make again:  sudo apt-get install -y python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@
