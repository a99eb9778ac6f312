# The tasks of the project. On a fresh machine with Python 3.11 or newer and make, `make demo` and `make test`
# do all the set-up themselves: a virtual environment in .venv with the locked packages.

# Where to look for an interpreter, best known first; `make PYTHON=/path/to/python3.12 …` takes that one.
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3
VENV ?= .venv
# Test processes; each has databases of its own.
JOBS ?= 2
# More for pytest: `make test PYTEST="-k lease --maxfail=1"` (a part of the tests cannot reach the coverage).
PYTEST ?=
# For bench-peers: which rows and peers (with commas; all), how often, how large. FRESH=1 does not go on where an
# interrupted run ended, TUNE=1 only tries the peers' settings.
ROWS ?=
PEERS ?=
ROUNDS ?= 3
SCALE ?= 1
# More for the lock: `make lock LOCK=--upgrade` takes the newest versions.
LOCK ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet $(LOCK)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test model chaos steady growth lint format bench bench-peers docs lock wheel clean

help: ## tell what there is (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make .venv with the locked packages and the project, editable

demo: setup ## play a failure's whole life on an embedded PostgreSQL
	$(BIN)/retryd demo

test: setup ## run all tests, with branch coverage of at least 90 %
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses=$(JOBS) --dist=worksteal $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

model: setup ## check the protocol with Spin, and that it finds out each wrong one
	$(BIN)/python tests/model/check.py

chaos: setup ## play eight faults on real processes; CHAOS_SEED=… repeats a run
	$(BIN)/python -m tests.chaos

steady: setup ## run at a constant backlog, 30 short days in MINUTES=10, and tell whether anything grows
	$(BIN)/python -m tests.steady $(if $(MINUTES),--minutes $(MINUTES))

lint: setup ## check format, style, types, layers, SQL and spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint sql
	$(BIN)/codespell
	$(BIN)/hadolint Dockerfile

format: setup ## format the code and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## measure retryd beside the floor, on one server in one run
	$(BIN)/python -m benchmarks

docs: setup ## make the pages of docs/ as a site in build/site, with those that the code writes
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench-peers: setup ## measure retryd, the floor and other queues in turn; ROWS=, PEERS=, ROUNDS=, SCALE= choose
	$(BIN)/python -m benchmarks.peers --rows "$(ROWS)" --peers "$(PEERS)" --rounds $(ROUNDS) --scale $(SCALE) \
		$(if $(FRESH),--fresh) $(if $(TUNE),--tune)

growth: setup ## measure retryd beside 10,000 to 10,000,000 retries that wait; ROWS=10000,100000 chooses
	$(BIN)/python -m benchmarks.growth $(if $(ROWS),--rows $(ROWS))

lock: setup ## write requirements/*.txt anew from pyproject.toml
	$(COMPILE) --extra server --extra http --extra speed --extra otel --output-file requirements/run.txt
	$(COMPILE) --all-extras --group dev --constraint requirements/run.txt --output-file requirements/dev.txt

wheel: setup ## build wheel and sdist in dist/, and try what they make in an empty environment
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(BIN)/python -m pytest tests/package $(PYTEST)

clean: ## remove all that was made here, .venv too
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests migrations benchmarks docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The packages: made from nothing whenever the lock changes, so that nothing of an older lock stays.
$(VENV)/.packages: requirements/dev.txt
	@for python in $(PYTHON); do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "installing into $(VENV) with $$($$python --version)"; \
			exec $$python -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "retryd needs Python 3.11 or newer with venv and ensurepip; looked at: $(PYTHON)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# The project itself: its commands and metadata; the code is read from src/ as it stands.
$(VENV)/.installed: $(VENV)/.packages pyproject.toml
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
