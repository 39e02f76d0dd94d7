# `make demo` and `make test` create .venv and install what they use; no other set-up is needed.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# Two OpenMP threads on two busy cores are slower than one.
export OMP_NUM_THREADS ?= 1
# Without bytecode files, which images for containers switch off, each of the hundreds of processes compiles its imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast lint docs notebooks clean footage

# Remove the environment after a failed step, so that a second try starts clean.
$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("make: $(PYTHON) is Python %d.%d and 3.11 or newer is needed; name one: make PYTHON=python3.11" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(PY) -m pip install --quiet --upgrade pip uv || { rm -rf $(VENV); exit 1; }

$(VENV)/.train: $(PY) setup.cfg pyproject.toml
	$(PY) -m uv pip install --quiet --python $(PY) --editable '.[train,explore]'
	touch $@

$(VENV)/.dev: $(PY) setup.cfg pyproject.toml
	$(PY) -m uv pip install --quiet --python $(PY) --editable '.[all,dev]'
	touch $@ $(VENV)/.train

demo: $(VENV)/.train ## draw the sample, train on it, score, report
	$(PY) -m microg4m_hf demo

test: $(VENV)/.dev lint ## everything that CI runs
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=20

test-fast: $(VENV)/.dev ## the tests that start no other process and take less than ten seconds, with all their cases
	$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not processes'

lint: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

notebooks: $(VENV)/.dev ## run the notebooks and store their outputs (ten minutes)
	$(PY) -m docs.scripts.notebooks

docs: $(VENV)/.dev ## build the documentation into site/
	$(PY) -m docs.scripts.site

clean:
	rm -rf $(VENV) .venvs build demo_output site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

footage: $(VENV)/.dev ## download real films for the tests of `microg4m curate`
	$(PY) -m tests.support.footage
