# Every target sets up what it needs. People and CI use the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
DEMO := demo

.PHONY: help setup demo test check clean

help:
	@echo "make demo    set up everything, train on the embedded market, end with a table and a report"
	@echo "make test    set up everything and run the tests"
	@echo "make check   lint, formatting, types, direction of imports"
	@echo "make clean   remove the environment and what the demo made"

setup: $(VENV)/ready

# torch comes first and with its pin: any other request for it would pull gigabytes of CUDA libraries.
$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,fast,track,tune,graph,peers,ray,serve]'
	@touch $@

demo: setup
	@rm -rf $(DEMO)
	@$(BIN)/mamdr data synthetic --out $(DEMO)/market
	@for name in alternate dn mamdr; do \
		$(BIN)/mamdr train recipes/demo-$$name.toml --data $(DEMO)/market --out $(DEMO)/$$name --set train.seed=$(SEED) || exit 1; \
	done
	@$(BIN)/mamdr report $(DEMO)/alternate $(DEMO)/dn $(DEMO)/mamdr --baseline alternate --out $(DEMO)/report.html

test: setup
	@$(BIN)/python -m pytest -n 2 $(TESTS)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/unit/test_import_direction.py

clean:
	rm -rf $(VENV) $(DEMO) build .pytest_cache .mypy_cache .ruff_cache
