# `make` lists the targets. Every target works in a fresh clone: it creates the environment .venv if there is none.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
RECOLLECT := $(BIN)/recollect
# The first suitable one of these creates the environment. You can choose one: make INTERPRETER=python3.12 demo
INTERPRETER := python3.13 python3.12 python3.11 python3 python
READY := $(VENV)/.ready
UNFINISHED := $(VENV)/.unfinished
PIP := $(PYTHON) -m pip -qq --disable-pip-version-check --no-input

export PYTHONUTF8 := 1
# The tests start hundreds of programs, each of which would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(READY) ## Fill a database from source code and search it: make demo SOURCE=path
	@$(RECOLLECT) demo $${SOURCE:+--source "$$SOURCE"}

.PHONY: test
test: $(READY) ## Run the tests; make test ARGS="-k embedding" selects some
	@$(PYTHON) -m pytest --quiet --numprocesses logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder $(ARGS)

.PHONY: test-quick
test-quick: $(READY) ## Run the unit tests, and the contract on the fakes: no server, under a minute
	@$(PYTHON) -m pytest --quiet --numprocesses logical --maxprocesses 4 --dist loadscope \
	  -k "not postgres" tests/unit tests/contract $(ARGS)

.PHONY: test-lowest
test-lowest: $(READY) ## Run them with the lowest versions that pyproject.toml allows, in a temporary environment
	@$(PYTHON) -m tests.lowest $(ARGS)

.PHONY: test-pythons
test-pythons: $(READY) ## Run `make demo` and `make test` on every Python of this machine; ARGS="3.12 3.13" chooses
	@$(PYTHON) -m tests.pythons $(ARGS)

.PHONY: soak
soak: $(READY) ## Compare the fake with PostgreSQL for 300,000 random steps: make soak steps=1000000
	@STATEFUL_STEPS=$${steps:-300000} STATEFUL_SEED=$${seed:-$$(date +%s)} $(PYTHON) -m pytest --quiet -rP \
	  --override-ini faulthandler_timeout=0 --numprocesses logical --maxprocesses 4 tests/stateful/test_stateful.py

.PHONY: faults
faults: $(READY) ## Inject every fault, and write the results into docs/explanation/guarantees.md; ten minutes
	@$(PYTHON) -m tests.faults $(ARGS)

.PHONY: check
check: $(READY) ## Check lint, types, shell scripts, and that the migrations equal the entities
	@$(PYTHON) -m ruff check --quiet
	@$(PYTHON) -m ruff format --check --quiet
	@$(MAKE) --no-print-directory --jobs 2 check-mypy check-pyright # each takes a minute or two of one core
	@$(BIN)/shellcheck deploy/azure.sh .ci/run
	@$(PYTHON) -m pip check --quiet --disable-pip-version-check
	@$(PYTHON) -c 'import yaml; yaml.safe_load(open("docker-compose.yml"))'
	@$(RECOLLECT) db check --embedded

.PHONY: check-mypy
check-mypy: $(READY) ## Check types with mypy
	@$(PYTHON) -m mypy --no-error-summary

.PHONY: check-pyright
check-pyright: $(READY) ## Check types with pyright
	@$(PYTHON) -m pyright --warnings --project pyproject.toml --pythonpath $(PYTHON)

.PHONY: docs
docs: $(READY) ## Write the reference pages that are generated from the code
	@$(PYTHON) -m tests.docs.reference

.PHONY: fmt
fmt: $(READY) ## Format the code, and apply the fixes of the linter
	@$(PYTHON) -m ruff check --quiet --fix-only
	@$(PYTHON) -m ruff format --quiet

.PHONY: db-up
db-up: $(READY) ## Start PostgreSQL, in Docker or embedded
	@$(RECOLLECT) db up

.PHONY: db-down
db-down: $(READY) ## Stop it; the data stays
	@$(RECOLLECT) db down

.PHONY: db-url
db-url: $(READY) ## Print its DATABASE_URL
	@$(RECOLLECT) db url

.PHONY: db-reset
db-reset: $(READY) ## Delete everything in it and migrate again; make db-reset yes=1 does not ask
	@$(RECOLLECT) db reset $${yes:+--yes}

.PHONY: migrate
migrate: $(READY) ## Migrate the database to the newest revision
	@$(RECOLLECT) db migrate

.PHONY: rollback
rollback: $(READY) ## Undo the newest revision; make rollback yes=1 does not ask
	@$(RECOLLECT) db rollback $${yes:+--yes}

.PHONY: revision
revision: $(READY) ## Write a revision for changed entities: make revision m="Add a column"
	@if [ -z "$$m" ]; then echo 'make revision m="what it changes"' >&2; exit 2; fi; $(RECOLLECT) db revision -m "$$m"

.PHONY: bench
bench: $(READY) ## Measure everything, the driver and other libraries, and write docs/explanation/performance.md
	@$(PYTHON) -m bench.search --json docs/explanation/measured/search.json
	@$(PYTHON) -m bench.tenants --json docs/explanation/measured/tenants.json || true
	@$(PYTHON) -m bench.tenants --postgres 16 --recall --json docs/explanation/measured/tenants_16.json || true
	@$(PYTHON) -m bench.units --json docs/explanation/measured/units.json || true
	@$(PYTHON) -m bench --peers --json docs/explanation/measured/performance.json || true
	@$(PYTHON) -m bench.page
	@$(PYTHON) -m bench.judging

.PHONY: bench-quick
bench-quick: $(READY) ## Measure less, and of the others only the driver
	@$(PYTHON) -m bench.units --quick
	@$(PYTHON) -m bench.tenants --quick
	@$(PYTHON) -m bench --quick

.PHONY: growth
growth: $(READY) ## Compare the cost of every operation at two sizes; make growth full=1 adds 500,000 rows
	@$(PYTHON) -m bench.growth $${full:+--full --json docs/explanation/measured/growth.json}
	@if [ -n "$$full" ]; then $(PYTHON) -m bench.growth.page; fi

.PHONY: growth-long
growth-long: $(READY) ## Measure replaced rows, 12 minutes of load, changes of many rows, and a migration; 40 minutes
	@for part in replacement mixed bounded upgrade; do \
	  $(PYTHON) -m bench.growth.$$part --json docs/explanation/measured/growth_$$part.json || true; done
	@$(PYTHON) -m bench.growth.page

.PHONY: lock
lock: $(READY) ## Pin the newest versions that pyproject.toml allows, and those of the benchmark's peers
	@$(PYTHON) -m uv pip compile --quiet --upgrade --universal --fork-strategy fewest --extra dev \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements/dev.txt pyproject.toml
	@$(PYTHON) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements/peers.txt requirements/peers.in

.PHONY: clean
clean: ## Delete the environment and every cache; databases stay
	@rm -rf $(VENV) .venv-peers build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# UNFINISHED exists from before the first file of the environment until after the last. An interrupted installation starts again
# from nothing; a changed pin or pyproject.toml only updates the environment.
$(READY): requirements/dev.txt pyproject.toml
	@if [ -e $(UNFINISHED) ] || ! $(PYTHON) -c '' 2>/dev/null; then rm -rf $(VENV); fi
	@rm -f $(READY); mkdir -p $(VENV); touch $(UNFINISHED)
	@chosen=; if [ ! -e $(PYTHON) ]; then \
	  for python in $(INTERPRETER); do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then chosen=$$python; break; fi; \
	  done; \
	  if [ -z "$$chosen" ]; then \
	    echo 'make: install Python 3.11 or newer with its venv module (on Debian: python3 and python3-venv)' >&2; exit 1; \
	  fi; \
	  echo "creating $(VENV) with $$($$chosen --version)" >&2; \
	  $$chosen -m venv $(VENV) || exit 1; \
	fi
	@$(PIP) install --requirement requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@rm $(UNFINISHED); touch $(READY)
