# `make` alone lists what there is. Everything runs in .venv, which builds itself and is kept until
# requirements/dev.txt, pyproject.toml or the script that makes it changes.

PYTHON_BIN := .venv/bin/python
SOAK_SECONDS ?= 3600
RUN := $(PYTHON_BIN) -m
READY := .venv/.ready
# Two workers are what the checks are timed for; more cores take more: `make test WORKERS=8`.
WORKERS ?= 2
TEST := $(RUN) pytest -n $(WORKERS) --dist worksteal
# What .ci/run runs at a larger size in steps of its own; `make test LATER=yes` leaves these to them.
KILL_TESTS := tests/crash/test_kill.py tests/crash/test_kill_points.py tests/crash/test_power_cut.py
HOSTILE_TESTS := tests/fuzz
# Tests start hundreds of processes: modules are compiled once, not by each of them (a quarter of their time).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format types layers tree proto proto-check buf \
	bench bench-short crash crash-short fuzz fuzz-short soak soak-short proof lock clean ci venv

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(READY): requirements/dev.txt pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh .venv requirements/dev.txt
	@touch $@

venv: $(READY) ## Build .venv, which every other target does by itself

demo: $(READY) ## Watch the real service learn a simulated shop (at most two minutes)
	$(PYTHON_BIN) -m offer_optimizer demo

test: $(READY) ## Run every test at its short size (at most five minutes on two cores)
	$(TEST) $(if $(LATER),$(addprefix --ignore=,$(KILL_TESTS) $(HOSTILE_TESTS)))

lint: $(READY) ## Check style and formatting
	$(RUN) ruff check
	$(RUN) ruff format --check

format: $(READY) ## Format the code and mend what lint can mend
	$(RUN) ruff check --fix-only --quiet
	$(RUN) ruff format

types: $(READY) ## Check types, strictly
	$(RUN) mypy

layers: $(READY) ## Check that imports point one way
	.venv/bin/lint-imports

tree: $(READY) ## Check the files themselves: no registry host, no path of a machine, no huge module
	$(PYTHON_BIN) tools/check_tree.py

proto: $(READY) ## Generate the Python code of proto/
	$(PYTHON_BIN) tools/generate_protos.py

proto-check: $(READY) ## Check that the generated code is the code of proto/
	$(PYTHON_BIN) tools/generate_protos.py --check

buf: $(READY) ## Lint proto/, and compare it with main for breaking changes
	.venv/bin/buf lint
	@if git rev-parse --quiet --verify main:proto >/dev/null 2>&1; \
	then echo ".venv/bin/buf breaking --against '.git#branch=main'"; .venv/bin/buf breaking --against '.git#branch=main'; \
	else echo "no proto/ on a branch main here: nothing to compare with"; fi

bench-short: $(READY) ## Run the benchmarks briefly, against the floor of the same run
	$(RUN) benchmarks --short

bench: $(READY) ## Run the benchmarks in full and write results/
	$(RUN) benchmarks

crash: $(READY) ## Kill, cut the power, damage files and fail the disk, in full (an hour)
	$(RUN) pytest --size proof tests/crash tests/unit/store/test_power_cut.py

crash-short: $(READY) ## Kill processes for a while: the size of a continuous check (`make test` runs the rest briefly)
	$(TEST) --size ci $(KILL_TESTS)

fuzz-short: $(READY) ## Send hostile messages for a while: the size of a continuous check
	$(TEST) --size ci $(HOSTILE_TESTS)

fuzz: $(READY) ## Send a million hostile messages to the whole service, in process (a quarter of an hour)
	$(TEST) --size proof $(HOSTILE_TESTS)

soak-short: $(READY) ## Run the real service under load for half a minute: the size of a continuous check
	$(RUN) benchmarks.soak 28

soak: $(READY) ## Run the real service under load for an hour, and see that nothing grows (SOAK_SECONDS=300: shorter)
	$(RUN) benchmarks.soak $(SOAK_SECONDS)

proof: $(READY) ## Run every check at its full size and write results/proof.md (an hour or more)
	$(PYTHON_BIN) tools/proof.py

lock: $(READY) ## Pin and hash what is installed; `make lock UPGRADE=--upgrade` takes the newest
	UV=.venv/bin/uv sh tools/lock_requirements.sh $(UPGRADE)

ci: ## Run what continuous integration runs
	bash .ci/run

clean: ## Remove .venv and every cache
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -prune -exec rm -rf {} +
