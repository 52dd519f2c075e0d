# Two commands matter: `make lab` opens the course, `make test` runs everything that CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# CPU only? PyTorch's "Get started" page names the address of its small CPU wheels: make lab TORCH_INDEX=<that address>
TORCH_INDEX ?=
NB_TIMEOUT ?= 180
# Jupyter refuses to run as root (in a container, say) unless it is told to
LAB_OPTIONS ?= $(if $(filter 0,$(shell id -u 2>/dev/null)),--allow-root)
# of Voilà, such as --no-browser or --port=9000
DEMO_OPTIONS ?=
WORKERS ?= $(shell $(PYTHON) -c "import os; print(max(1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())))")

.PHONY: help lab demo test test-browser bench notebooks lint format student clean
.DEFAULT_GOAL := help

help:  ## List what make can do
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
ifneq ($(TORCH_INDEX),)
	$(BIN)/python -m pip install torch torchvision --index-url $(TORCH_INDEX)
endif

$(VENV)/.lab: pyproject.toml | $(BIN)/python
	@echo "Installing the course (a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "Installing the course and what its tests need (a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet -e ".[test]"
	@touch $@

lab: $(VENV)/.lab  ## Install the course and open it in JupyterLab
	$(BIN)/python -m jupyter lab $(LAB_OPTIONS) notebooks/00_start_here.ipynb

demo: $(VENV)/.lab  ## Serve the web demo: classify, caption, ask
	$(BIN)/python -m pip install --quiet -e ".[demo]"
	$(BIN)/python -m lessons_lib.show.demo $(DEMO_OPTIONS)

test: $(VENV)/.test  ## Install and run everything that CI runs; pytest's summary comes last
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest tests notebooks -n $(WORKERS) --dist loadscope \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=$(NB_TIMEOUT) -m "not browser"

test-browser: $(VENV)/.test  ## Drive the widgets in a real JupyterLab (needs chromium)
	$(BIN)/python -m pip install --quiet -e ".[browser]"
	$(BIN)/python -m pytest tests -m browser

bench: $(VENV)/.test  ## Time and memory against other libraries, and of rendering (about eleven minutes)
	$(BIN)/python tests/benchmarks/bench.py --json build/bench.json

notebooks: $(VENV)/.test  ## Execute every notebook and store its text and pictures
	$(BIN)/python -m lessons_lib.authoring execute notebooks/*.ipynb

student: $(VENV)/.test  ## Write the students' copies (solutions removed) to build/student
	$(BIN)/python -m lessons_lib.authoring student notebooks/*.ipynb --out build/student

lint: $(VENV)/.test  ## Check the style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(VENV)/.test  ## Mend the style
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean:  ## Remove the virtual environment and everything that was built
	rm -rf $(VENV) build *.egg-info
