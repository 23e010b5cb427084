# The developer's commands.  `make demo` and `make test` need nothing but Python with venv, and make.
#
# PYTHON makes the virtual environment VENV; INSTALL says what goes into it (`.` for a plain
# install instead of an editable one).

PYTHON  ?= python3
VENV    ?= .venv
INSTALL ?= --editable .
BIN      = $(abspath $(VENV))/bin
PIP      = $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST   = $(BIN)/python -P -m pytest
JOBS    ?= auto
DEMO     = build/demo

.PHONY: setup test test-all lint types demo check bench man compatibility torture corpus clean

setup: $(VENV)/.dev

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(INSTALL)
	touch $@

# The dev group is read here because `pip install --group` needs pip 25.1.
$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install $$($(BIN)/python -c 'import tomllib; \
	  print(*(r.replace(" ", "") for r in tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"]))')
	touch $@

test: setup
	$(PYTEST) -n $(JOBS) -m "not slow"

test-all: setup
	$(PYTEST) -n $(JOBS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test man
	$(PYTEST) -n $(JOBS) -m slow

demo: $(VENV)/.installed
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	$(BIN)/pyprocmail -m FOLDERS=$(abspath $(DEMO)) examples/rules.rc < examples/inbox.mbox
	$(BIN)/python examples/count.py $(DEMO)

bench: setup
	$(BIN)/python tests/bench/run.py $(FILE)

man:
	@if command -v mandoc > /dev/null; then mandoc -T lint -W warning man/*.[1-8]; \
	  else echo "mandoc is not installed: the pages of man/ are not checked"; fi

compatibility: setup
	cd tests && $(BIN)/python compatibility.py

torture: setup
	$(PYTEST) -n $(JOBS) -m slow

corpus: setup
	$(BIN)/python tests/corpus/compare.py $(FILE)

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
