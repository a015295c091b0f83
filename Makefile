# Two commands: `make repro` and `make test`. `make help` lists the others.
#
#   V=1                 the libraries' own messages, too
#   PYTHON=python3.12   the interpreter that makes .venv
#   TORCH_INDEX=URL     where to take torch from, such as an index of CPU-only builds; everything else comes from pip's default
#   PIP_FLAGS=…         further options of `pip install`
#   PORT=5000           port of `make ui`

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 5000
PIP_FLAGS ?=
TORCH_INDEX ?=

ifdef V
export PIPELINE_VERBOSE := 1
PIP_QUIET :=
else
PIP_QUIET := --quiet
endif

# Nothing phones home.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
export DVC_NO_ANALYTICS := 1
export ITERATIVE_DO_NOT_TRACK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What the recipes call is found in .venv first, `dvc` and the stages' `python` included.
export PATH := $(CURDIR)/$(BIN):$(PATH)

STAMP := $(VENV)/.installed
STAMP_EXTRAS := $(VENV)/.installed-extras
STAMP_DEV := $(VENV)/.installed-dev

.PHONY: help repro test lint audit compare compare-full ablate bench ui lock install extras clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

repro: $(STAMP) ## run the pipeline: sample, label, train, evaluate, compare, publish
	@$(BIN)/python -m pipeline repro

test: $(STAMP_DEV) chromium lint ## style, types and tests
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(STAMP_DEV)
	$(BIN)/ruff check .
	$(BIN)/mypy

audit: $(STAMP_DEV) ## hold the locked versions against the database of known vulnerabilities
	@$(BIN)/python requirements/audit.py $(ARGS)

compare: $(STAMP) ## every peer on one protocol: an hour on two cores
	@$(BIN)/python -m pipeline compare $(ARGS)

compare-full: $(STAMP) ## three seeds, the image recipe to its end, then the ablation: a night
	@$(BIN)/python -m pipeline compare --config peers_full $(ARGS)
	@$(BIN)/python -m pipeline ablate

ablate: $(STAMP) ## what each choice of StyleAE is worth, as DVC experiments
	@$(BIN)/python -m pipeline ablate $(ARGS)

bench: $(STAMP) ## the benchmarks in their short form, a few minutes
	@$(BIN)/python -m benchmarks --short $(ARGS)

ui: $(STAMP) ## MLflow on http://127.0.0.1:5000, with the runs, pictures and models
	@mkdir -p mlflow
	@echo "MLflow: http://127.0.0.1:$(PORT) (Ctrl-C stops it)"
	@# The job runner of MLflow's evaluation features would be more processes and nothing to see.
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false exec $(BIN)/mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 \
	    --backend-store-uri sqlite:///mlflow/mlflow.db --artifacts-destination mlflow/artifacts \
	    $(if $(V),,--uvicorn-opts "--log-level warning")

install: $(STAMP) ## .venv with the locked versions

extras: $(STAMP_EXTRAS) ## what reads ONNX, Hugging Face, timm and CLIP classifiers

lock: $(STAMP_DEV) ## write requirements/*.txt from the versions that are installed
	$(BIN)/python requirements/lock.py

clean: ## remove .venv and scratch; data, models and the MLflow store stay
	rm -rf $(VENV) .work .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: expected Python 3.11 or 3.12, got no $(PYTHON): install it, or name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
	    { echo "error: expected Python 3.11 or 3.12, got $$($(PYTHON) --version): name another with PYTHON=" >&2; exit 1; }
	@echo "▸ .venv"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "error: expected Python's venv module to work: install the system's python3-venv package" >&2; exit 1; }

$(STAMP): requirements/lock.txt | $(BIN)/python
	@echo "▸ installing the locked packages into .venv (minutes the first time)"
	@$(if $(TORCH_INDEX),$(BIN)/pip install $(PIP_QUIET) $(PIP_FLAGS) --index-url "$(TORCH_INDEX)" $$(grep '^torch==' $<))
	@$(BIN)/pip install $(PIP_QUIET) $(PIP_FLAGS) -r $<
	@touch $@

# torchvision must fit torch exactly: taken from the same place.
$(STAMP_EXTRAS): requirements/lock-extras.txt $(STAMP)
	@echo "▸ installing the readers of other classifiers into .venv"
	@$(if $(TORCH_INDEX),$(BIN)/pip install $(PIP_QUIET) $(PIP_FLAGS) --index-url "$(TORCH_INDEX)" $$(grep '^torchvision==' $<))
	@$(BIN)/pip install $(PIP_QUIET) $(PIP_FLAGS) -r $<
	@touch $@

$(STAMP_DEV): requirements/lock-dev.txt requirements/lock-cluster.txt $(STAMP_EXTRAS)
	@echo "▸ installing the development tools into .venv"
	@$(BIN)/pip install $(PIP_QUIET) $(PIP_FLAGS) -r $<
	@touch $@

# The browser test drives a real Chromium; the system's package manager knows the libraries that it needs.
.PHONY: chromium
chromium:
	@if ! command -v chromium chromium-browser google-chrome >/dev/null; then \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	    if command -v apt-get >/dev/null && { [ -z "$$sudo" ] || $$sudo true 2>/dev/null; }; then \
	        echo "▸ installing Chromium for the browser test"; \
	        $$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq; \
	        $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	    else \
	        echo "error: expected Chromium for the browser test, got none: install the system's chromium package" >&2; exit 1; \
	    fi; \
	fi
