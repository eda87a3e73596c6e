# make run | test | docs | pictures | fuzz | faults | machines | lint | types | bench | clean. Each makes .venv where it
# is missing and installs what it needs; once that is done, nothing is installed again until pyproject.toml changes.

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: run test docs pictures fuzz faults machines lint types bench clean
.DEFAULT_GOAL := run

# Checks, builds, trains and evaluates one design: make run ARGS="block=dilated".
# Without CIFAR-10 at hand it trains on the embedded set and says so.
run: $(VENV)/installed
	$(PY) -m archsearch.run $(ARGS)

# Everything that must hold before a commit: make test ARGS="-k margins" for a part of the tests.
test: lint types
	$(PY) -m pytest -n 2 $(ARGS)

# The generated pages of docs/reference, and all of docs/ as a site in build/site: open build/site/index.html.
docs: $(VENV)/installed-docs
	$(PY) docs/tools
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

# 50 000 malformed and odd inputs, of which none may end in a traceback, a hang or a wrong number; the failing ones are
# kept in outputs/fuzz: make fuzz ARGS="--inputs 2000 --seed 7 --only yaml".
fuzz: $(VENV)/installed-dev
	$(PY) tests/fuzz/fuzz.py $(ARGS)

# Searches on two hosts (network namespaces), on SLURM and on Ray; each is skipped, with the reason, where it cannot run.
machines: $(VENV)/installed-dev
	ARCHSEARCH_SLOW=1 $(PY) -m pytest tests/machines $(ARGS)

lint: $(VENV)/installed-dev
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: $(VENV)/installed-dev
	$(PY) -m pyright

# The long form of tests/faults: 200 kills, signals, and faults of disks, files and servers; half an hour. As root, to
# mount small disks. Its tables go to outputs/faults.md: make faults ARGS="--kills 20 --environment server".
faults: $(VENV)/installed-dev
	$(PY) tests/faults/run_all.py $(ARGS)

# Every benchmark in turn, with its tables, into outputs/benchmarks.md: make bench ARGS="--root DIR --only startup accuracy".
bench: $(VENV)/installed
	$(PY) benchmarks $(ARGS)

# The pictures of README and docs, into docs/images.
pictures: $(VENV)/installed
	$(PY) benchmarks/pictures.py --out docs/images --report $(ARGS)

clean:
	rm -rf $(VENV) build dist .hypothesis .pytest_cache .ruff_cache
	find archsearch hydra_plugins tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "archsearch needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: pyproject.toml | $(PY)
	@echo "Installing archsearch into $(VENV): once, a few minutes, about 5 GB (torch with its GPU libraries)"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	@touch $@
