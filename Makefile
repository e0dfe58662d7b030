# `make demo` and `make test` set up what they need in .venv; nothing else has to be installed but Python >= 3.11.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test check format clean

demo: .venv/demo-ready
	$(BIN)/llm-tiers demo
	$(BIN)/python examples/graph.py

test: .venv/test-ready
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/test-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/demo-ready: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[agents,plot]'
	touch $@

.venv/test-ready: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[all,test,lint]'
	touch $@
