# `make` alone lists the targets.
VENV    ?= .venv
PYTHON  ?= python3
PROFILE ?= laptop
BIN      = $(VENV)/bin
READY    = $(VENV)/.ready
BENCH    = $(VENV)-bench
PORT    ?= 8888

.DEFAULT_GOAL = help
.PHONY: help env book epub smoke course test lint lab bench lock clean

help: ## list the targets
	@echo "make TARGET [PROFILE=laptop|smoke|paper] [PYTHON=python3] [VENV=.venv]"; echo
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

env: $(READY) ## create the environment in .venv

# The stamp is removed first and written last: an interrupted install is done again.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, but \`$(PYTHON)\` is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Name another one: make env PYTHON=python3.12" >&2; exit 1; }
	@rm -f $@
	$(PYTHON) -m venv $(VENV)
	@echo "installing the locked environment into $(VENV) (about 2 minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

book: $(READY) ## run what is missing and build the book into _build/html
	@$(BIN)/taskspaces book --profile $(PROFILE)

epub: book ## the same book as one file for electronic readers: _build/task-spaces.epub
	@$(BIN)/taskspaces epub

smoke: ## the same book with tiny models, in about two minutes
	@$(MAKE) --no-print-directory book PROFILE=smoke

course: $(READY) ## the book, and archives to teach with: editions, labs, slides, handouts
	@$(BIN)/taskspaces course --profile $(PROFILE)

# The tests read one smoke book that is built here, with a store of its own.
test: $(READY) ## build the smoke book and course once, then run the tests on them
	TASKSPACES_STORE=$(CURDIR)/_build/test/store \
	  $(BIN)/taskspaces course --profile smoke --out _build/test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(READY) ## check the style of the code
	$(BIN)/ruff check .

lab: $(READY) ## open the chapters as notebooks in JupyterLab
	JUPYTER_CONFIG_PATH=$(CURDIR)/scripts/jupyter \
	  $(BIN)/jupyter lab --port $(PORT) --LabApp.default_url=/lab/tree/notebooks

# The peers live beside the locked environment, not in it: they see its packages through a .pth
# file and may bring others, but none of its versions changes.
$(BENCH)/.ready: $(READY) pyproject.toml
	@rm -f $@
	$(BIN)/python -m venv $(BENCH)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/locked.pth
	@echo "installing the peers into $(BENCH) (about a minute)"
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint requirements.txt --editable '.[bench]'
	@touch $@

bench: $(BENCH)/.ready ## measure speed and memory against published peers [PART=scoring]
	$(BENCH)/bin/python -m tests.bench $(addprefix --part ,$(PART))

lock: ## remake requirements.txt from pyproject.toml (see scripts/lock.sh)
	PYTHON=$(PYTHON) scripts/lock.sh

clean: ## remove what was built; what was computed stays in .taskspaces
	rm -rf _build
