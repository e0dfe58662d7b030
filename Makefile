# `make demo` and `make test` set up what they need in .venv; nothing else has to be installed but Python >= 3.11.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test test-lowest faults hour audit check docs format clean

demo: .venv/demo-ready
	$(BIN)/llm-tiers demo
	$(BIN)/python examples/graph.py

# Tests start many Pythons, and each would compile all that it imports where the environment forbids to keep bytecode.
test test-lowest: export PYTHONDONTWRITEBYTECODE :=
# There is a worker for every core, so threads of numpy would only wait for each other.
test test-lowest: export OPENBLAS_NUM_THREADS := 1
test: export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/bytecode
test-lowest: export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv-lowest/bytecode

test: .venv/test-ready
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# The oldest version of each direct dependency that pyproject.toml allows, in a virtual environment of its own.
test-lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[all,test]'
	.venv-lowest/bin/python -m pytest --numprocesses auto --dist worksteal tests/with_langchain tests/with_llamaindex

# What becomes of a call when a tier fails: every cell of the matrix, printed; `make test` asks a part of them.
# Then 40 kills of processes that share a history: none may lose an acknowledged record.
faults: .venv/test-ready
	$(BIN)/python tests/faults/fault_matrix.py
	$(BIN)/python tests/faults/history_kills.py

# Mixed traffic through both frameworks, with memory, threads, descriptors and latency over time: a minute, or more.
MINUTES ?= 1
hour: .venv/test-ready
	$(BIN)/python benchmarks/hour.py --minutes $(MINUTES)

# Known vulnerabilities of what is installed; where the advisory service does not answer in time it says so and passes.
SECONDS ?= 30
audit: .venv/test-ready
	$(BIN)/python benchmarks/audit.py --seconds $(SECONDS)

check: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site of docs/, in site/. A link or an anchor that leads nowhere, or a docstring that cannot be read, is an error.
docs: .venv/docs-ready
	$(BIN)/mkdocs build --strict

format: .venv/test-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-lowest .mypy_cache .pytest_cache .ruff_cache .hypothesis dist site

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/demo-ready: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[agents,plot]'
	touch $@

.venv/test-ready: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[all,test,lint]'
	touch $@

.venv/docs-ready: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[docs]'
	touch $@
