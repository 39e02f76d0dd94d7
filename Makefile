# `make demo` and `make test` are all a newcomer needs; both create .venv and install what they use.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# Two OpenMP threads on two busy cores are slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint clean

$(PY):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip uv

$(VENV)/.base: $(PY) setup.cfg pyproject.toml
	$(PY) -m uv pip install --quiet --python $(PY) --editable .
	touch $@

$(VENV)/.dev: $(PY) setup.cfg pyproject.toml
	$(PY) -m uv pip install --quiet --python $(PY) --editable '.[all,dev]'
	touch $@ $(VENV)/.base

demo: $(VENV)/.base ## make the sample, load it, look at it
	$(PY) -m microg4m_hf demo

test: $(VENV)/.dev lint ## everything that CI runs
	$(PY) -m pytest -n 2

lint: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean:
	rm -rf $(VENV) .venvs build demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis
