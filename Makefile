# The developer's commands.  `make demo` and `make test` need nothing but Python with venv, and make.
#
# PYTHON makes the virtual environment VENV; INSTALL says what goes into it (`.` for a plain
# install instead of an editable one).

PYTHON  ?= python3
VENV    ?= .venv
INSTALL ?= --editable .
BIN      = $(if $(filter /%,$(VENV)),,$(CURDIR)/)$(VENV)/bin
PIP      = "$(BIN)/python" -m pip --disable-pip-version-check --quiet
PYTEST   = "$(BIN)/python" -P -m pytest
JOBS    ?= auto
DEMO     = build/demo

.PHONY: setup test test-all test-integration lint types demo check bench bench-milter bench-gateway bench-lmtp man docs compatibility checks modules torture mutants corpus clean

setup: $(VENV)/.dev

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv "$(VENV)"
	$(PIP) install $(INSTALL)
	touch $@

# A group is read here because `pip install --group` needs pip 25.1.
GROUP    = $(PIP) install $$("$(BIN)/python" -c 'import sys, tomllib; \
  print(*(r.replace(" ", "") for r in tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"][sys.argv[1]]))'

$(VENV)/.dev: $(VENV)/.installed
	$(GROUP) dev)
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(GROUP) docs)
	touch $@

test: setup
	$(PYTEST) -n $(JOBS) -m "not slow and not torture and not integration"

test-all: setup
	$(PYTEST) -n $(JOBS) -m "not torture and not integration"

lint: setup
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .

types: setup
	"$(BIN)/mypy"

# Real mail servers, each in a machine of its own; only root can make these.
test-integration: setup
	"$(BIN)/python" tests/integration/run.py $(SERVERS)

check: lint types test man docs test-integration
	$(PYTEST) -n $(JOBS) -m slow

demo: $(VENV)/.installed
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	"$(BIN)/pyprocmail" -m FOLDERS="$(CURDIR)/$(DEMO)" examples/rules.rc < examples/inbox.mbox
	"$(BIN)/python" examples/count.py $(DEMO)

# It writes the tables of docs/PERFORMANCE.md; PARTS=start,rules measures only these.
bench: setup
	"$(BIN)/python" tests/bench/run.py --write $(if $(PARTS),--parts $(PARTS)) $(FILE)

# PYMILTER is a Python that has pymilter; without it the milter is measured alone.
bench-milter: setup
	"$(BIN)/python" tests/bench/milters.py $(PYMILTER)

# As root: Dovecot's packages are unpacked for it.
bench-lmtp: setup
	"$(BIN)/python" tests/bench/lmtp.py

bench-gateway: setup
	"$(BIN)/python" tests/bench/gateways.py

man:
	@if command -v mandoc > /dev/null; then mandoc -T lint -W warning man/*.[1-8]; \
	  else echo "mandoc is not installed: the pages of man/ are not checked"; fi

# The documentation as a site, in build/site.
docs: $(VENV)/.docs
	@if command -v mandoc > /dev/null; then "$(BIN)/python" -P docs/assemble.py build; \
	  else echo "mandoc is not installed: the site is not built"; fi

# docs/MODULES.md, from the docstrings of the modules.
modules: setup
	"$(BIN)/python" docs/modules.py

# docs/CHECKS.md and pyprocmail-checks(7), from the docstrings of the checks.
checks: setup
	"$(BIN)/python" tests/check_cases.py

compatibility: setup
	cd tests && "$(BIN)/python" compatibility.py

torture: setup
	$(PYTEST) -n $(JOBS) -m "slow or torture"

# Each fault of tests/mutants.toml in a copy of the package: a test has to notice it.
mutants: setup
	$(PYTEST) -n $(JOBS) tests/test_mutants.py

corpus: setup
	"$(BIN)/python" tests/corpus/compare.py $(FILE)

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
