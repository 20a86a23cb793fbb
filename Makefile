# Two commands are enough: `make reproduce` and `make test`. `make help` lists the others.
PYTHON  ?= python3
PROFILE ?= laptop
STUDY   ?=
JOBS    ?=
# A Dask scheduler that runs every sweep, e.g. SCHEDULER=tcp://HOST:8786.
SCHEDULER ?=
# More for pip, e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for torch's CPU build.
PIP_ARGS ?=
PYTEST_ARGS ?=

VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
REPORT := $(PY) -m redlib.report
CHOICE := --profile $(PROFILE) $(if $(STUDY),--study $(STUDY)) $(ARGS)
RUN    := $(if $(JOBS),--jobs $(JOBS)) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

# Any letter in a path or a notebook, whatever the locale.
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help env lab smoke reproduce study confirm report status compare new-study test lint types bench clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nSettings: PROFILE=smoke|laptop|mnist|paper  STUDY=01_double_descent  JOBS=1  SCHEDULER=tcp://HOST:8786  PYTHON=python3  PIP_ARGS=\n'

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install $(PIP_ARGS) -c constraints.txt -e '.[dev,sparse,structured,dask]'
	$(PY) -m redlib.training.precompile
	env $$($(PY) -m redlib.evidence.instructions) $(PY) -m redlib.training.precompile
	touch $@

env: $(STAMP)  ## create .venv with the pinned packages

lab: $(STAMP)  ## open the notebooks in JupyterLab
	@$(REPORT) pair || true
	$(PY) -m jupyterlab notebooks

smoke: $(STAMP)  ## run every notebook on tiny settings: does it work at all? (3 minutes, no evidence)
	$(REPORT) smoke $(if $(STUDY),--study $(STUDY)) $(RUN) $(ARGS)

reproduce: $(STAMP)  ## run every notebook (PROFILE=laptop, STUDY=all): results/, figures/, reports/
	$(REPORT) reproduce $(CHOICE) $(RUN)

study: $(STAMP)  ## run one notebook: make study STUDY=01_double_descent
	@test -n "$(STUDY)" || { echo 'say which: make study STUDY=01_double_descent'; exit 2; }
	$(REPORT) study $(CHOICE) $(RUN)

confirm: $(STAMP)  ## judge every claim again on fresh seeds (10-19): results/<profile>/confirmation.jsonl
	$(REPORT) confirm $(CHOICE) $(RUN)

report: $(STAMP)  ## rebuild the HTML and the README's tables from the notebooks already run
	$(REPORT) report $(CHOICE)

status: $(STAMP)  ## say which results are up to date, which are stale, and why
	$(REPORT) status $(if $(STUDY),--study $(STUDY)) $(ARGS)

compare: $(STAMP)  ## list what this run changed against the committed results
	$(REPORT) compare $(CHOICE)

new-study: $(STAMP)  ## write the skeleton of a study that runs: make new-study NAME=10_my_study
	@test -n "$(NAME)" || { echo 'say how it is called: make new-study NAME=10_my_study'; exit 2; }
	$(REPORT) new-study $(NAME)

test: $(STAMP)  ## run the whole test suite, smoke notebooks included
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP)  ## check style (ruff); ARGS=--fix mends what it can
	$(PY) -m ruff check $(ARGS) .

types: $(STAMP)  ## check the types of redlib/ (mypy)
	$(PY) -m mypy

bench: $(STAMP)  ## measure speed against named baselines, write benchmarks/results.json and the README's table
	$(PY) -m benchmarks
	$(REPORT) readme

clean:  ## remove what was made in build/, except the store of computed runs (ARGS=--all: that too)
	@if [ -x $(PY) ]; then $(REPORT) clean $(ARGS); else echo 'nothing was made here yet: there is no .venv'; fi
