# Every target sets up what it needs itself (scripts/setup.sh); a second run starts at once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PYTHON ?=

python := .venv/bin/python
OUT ?= out/demo
JOBS ?= 2

.PHONY: help demo test check format bench docs lock clean setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: ## the whole story on the sample county, into out/demo
	@scripts/setup.sh python fonts
	@.venv/bin/taotu demo --out "$(OUT)"
	@echo "Results are in $(OUT)"

test: ## all tests
	@scripts/setup.sh python fonts browser mdb postgis
	@$(python) -m pytest -n $(JOBS) $(ARGS)

check: setup ## linter, formatter and type checker
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy
	@.venv/bin/shellcheck scripts/setup.sh .ci/run

format: setup ## mend what the linter and the formatter can mend themselves
	@$(python) -m ruff check --fix .
	@$(python) -m ruff format .

bench: setup ## overlay and pipeline beside geopandas.overlay on the same data
	@$(python) -m benchmarks.overlay
	@$(python) -m benchmarks.pipeline

docs: ## HTML documentation, into docs/_build
	@scripts/setup.sh python fonts
	@$(python) docs/dictionary.py
	@rm -rf docs/_autosummary
	@$(python) -m sphinx --quiet --fail-on-warning --keep-going -b html docs docs/_build
	@echo "Open docs/_build/index.html"

# Hashes of every file a platform may need, and no addresses: where packages come from is each
# machine's own setting. uv lives in a throwaway environment, as nothing else here needs it.
lock: setup ## remake requirements.lock from pyproject.toml (UPGRADE=1: newest versions)
	@tool=$$(mktemp -d); trap 'rm -rf "$$tool"' EXIT; \
	$(python) -m venv "$$tool"; \
	"$$tool/bin/python" -m pip --disable-pip-version-check --quiet install uv; \
	"$$tool/bin/uv" pip compile pyproject.toml --universal --python-version 3.11 --all-extras \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  $(if $(UPGRADE),--upgrade) --quiet --output-file requirements.lock >/dev/null

# .venv stays: an office without a network could not make it again.
clean: ## remove results, caches and built documentation
	rm -rf out build dist docs/_build docs/_autosummary *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

setup:
	@scripts/setup.sh python
