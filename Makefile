PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install run test check docs bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## create .venv and install the package with the tested versions

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "Python 3.11 to 3.13 is required, but $(PYTHON) is $$($(PYTHON) --version 2>&1); run make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "creating $(VENV): about 2 GB, one or two minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: install  ## run the main job: YouTube spam, ten recorded programs, five seeds (ARGS="dataset=sms" to change it)
	$(BIN)/python -m alchemist_exp.run $(ARGS)

# Three processes on two cores, because tests also wait: for Slurm, for servers, for processes that they kill.
test: install  ## run the tests
	$(BIN)/python -m pytest -q -n 3 --dist worksteal $(ARGS)

check: install  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## build the documentation site into build/site; it needs no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html, or serve the site, with its search, by: $(BIN)/mkdocs serve"

bench: install  ## measure speed, as ratios against named peers in the same run
	$(BIN)/python -m bench $(ARGS)

clean:  ## remove the environment and the caches, never the outputs
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
