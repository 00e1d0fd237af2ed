# Every command here does its own set-up. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
# How pip installs: exactly what the lock files name, by hash.
PIP := $(BIN)/pip --quiet --disable-pip-version-check install
TEST_POSTGRESQL := .make/postgresql
JUDGES := clients s3fs swift
# The rooms whose tests are quick; `make test` runs all of them.
QUICK := $(addprefix tests/,house doors protocol chunks tenants upkeep links world)

.DEFAULT_GOAL := help
.PHONY: help up demo test judges lint quick check bench sim format lock reference clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

up: .make/run ## Start a local cloud here: coordinator, gateway and 16 nodes (Ctrl-C stops it, data stays)
	@$(BIN)/holdfast up $(ARGS)

demo: .make/run ## Store a directory, kill nodes, corrupt bytes, read all of it back
	@$(BIN)/holdfast demo $(ARGS)

test: .make/judges/ready ## Run every test, on SQLite and on a PostgreSQL server started for it
	@$(WITH_POSTGRESQL) $(BIN)/python -m pytest -n 2 $(ARGS)

judges: .make/judges/ready ## Run real S3 programs and other people's S3 suites against a real cloud
	@$(WITH_POSTGRESQL) $(BIN)/python -m pytest -n 2 tests/judges $(ARGS)

lint: .make/dev ## Lint, format, types and walls
	@$(BIN)/ruff check && $(BIN)/ruff format --check
	@$(BIN)/lint-imports >.make/walls.log || { cat .make/walls.log; exit 1; }
	@$(BIN)/mypy

quick: lint ## lint and the quickest tests: under 30 s, before each commit
	@HOLDFAST_TEST_WITHOUT_POSTGRESQL=1 $(BIN)/python -m pytest -n 2 -m 'not slow and not postgresql' $(QUICK) $(ARGS)

check: lint test ## lint, then every test

bench: .make/judges/ready ## Measure; prints tables, writes bench/results/latest.json, compares with bench/baseline.json
	@$(BIN)/python -m bench $(ARGS)

sim: .make/dev ## Replay one simulated history: make sim SEED=n
	@$(BIN)/python -m tests.simulation --seed $(SEED) $(ARGS)

format: .make/dev ## Format the code
	@$(BIN)/ruff check --fix-only -q && $(BIN)/ruff format -q

lock: .make/dev ## Resolve dependencies anew into the lock files
	@for set in "requirements.lock" "requirements-dev.lock --extra dev"; do \
	  $(BIN)/uv pip compile pyproject.toml --extra build --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o $$set; done
	@for judge in $(JUDGES); do \
	  $(BIN)/uv pip compile requirements-judges-$$judge.in --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements-judges-$$judge.lock; done

reference: .make/dev ## Generate docs/reference from the code
	@$(BIN)/python -m scripts.reference

clean: ## Remove the environment and caches; never data
	rm -rf $(VENV) .make .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/ready:
	@scripts/packages run
	@echo "Making a Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

WITH_POSTGRESQL = url=$$(scripts/postgresql start $(TEST_POSTGRESQL) --fast) || exit 1; \
	trap 'scripts/postgresql stop $(TEST_POSTGRESQL)' EXIT; \
	HOLDFAST_TEST_POSTGRESQL=$$url

LINK := $(PIP) --no-deps --no-build-isolation --editable .

.make/run: $(VENV)/ready requirements.lock
	@mkdir -p .make
	@echo "Installing what Holdfast needs (a minute the first time)"
	@$(PIP) --require-hashes -r requirements.lock
	@$(LINK)
	@touch $@

.make/dev: $(VENV)/ready requirements-dev.lock
	@mkdir -p .make
	@scripts/packages test
	@echo "Installing what the tests and tools need (a minute the first time)"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(LINK)
	@touch $@ .make/run

.make/judges/ready: .make/dev scripts/judges $(JUDGES:%=requirements-judges-%.lock)
	@scripts/judges
	@touch $@
