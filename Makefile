# Everything here needs a Python of 3.10 or later and nothing else: the virtual environment is made on the first call.
#
#   make demo                        train, evaluate and run a small detector on generated scenes
#   make test                        the default tests; `make test-slow` the slow ones
#   make demo PYTHON=python3.12      another interpreter
#   make setup PIP_ARGS="..."        further arguments of `pip install`, for instance another index for torch

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
PYTEST_ARGS ?= -n auto --maxprocesses 4
DEMO_OUTPUT ?= demo

BIN := $(VENV)/bin

.PHONY: help setup tools lock demo test test-slow lint format packaged clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "error: no '$(PYTHON)' on the PATH; install Python 3.10 or later, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 10) or sys.exit("error: $(PYTHON) is Python %d.%d; this package needs 3.10 or later: make PYTHON=/path/to/python3.12" % sys.version_info[:2])'
	@"$(PYTHON)" -m venv "$(VENV)" || { rm -rf "$(VENV)"; echo "error: $(PYTHON) could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# The stamps say that the packages of pyproject.toml are in; they are renewed whenever it changes.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_ARGS) -e ".[train]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_ARGS) -e ".[dev]"
	@touch $@ $(VENV)/.installed

setup: $(VENV)/.installed-dev

# The tools of .ci/run in the versions of the lock file, before `setup`, which leaves them as they are.
tools: | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_ARGS) --require-hashes -r .ci/tools.txt

# The lock file anew: the newest versions of what .ci/tools.in lists.
lock: | $(BIN)/python
	$(BIN)/python tools/lock.py

demo: $(VENV)/.installed
	$(BIN)/centernet demo --output "$(DEMO_OUTPUT)"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The packaged models as ONNX graphs, anew: after their weights or the exporter have changed.
packaged: $(VENV)/.installed-dev
	$(BIN)/python tools/packaged_graph.py

clean:
	rm -rf "$(VENV)" build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
