# One target for each thing that CI checks. Targets that need Python first make a virtual environment in VENV and
# install the package there, editable; Rust sources that changed are compiled again.

VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SOURCES := pyproject.toml Cargo.toml Cargo.lock $(shell find rust -name Cargo.toml -o -path '*/src/*' -type f)

.DEFAULT_GOAL := help
.PHONY: help setup check check-rust check-python format test test-rust test-python bench bench-smoke docs \
        docs-rust docs-python example stubs gallery published clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

setup: $(READY)  ## virtual environment with the package and all tools

check: check-rust check-python  ## formatting, lints, types, stubs

check-rust:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

check-python: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benches
	$(BIN)/python -m mypy.stubtest scalinglaws._core
	$(BIN)/python tools/write_ids.py --check
	$(BIN)/python tools/gallery.py --check

stubs: $(READY)  ## tell type checkers the ids of the catalogue
	$(BIN)/python tools/write_ids.py

gallery: $(READY)  ## write docs/laws.md and its plots from the catalogue
	$(BIN)/python tools/gallery.py

published: $(READY)  ## fit the measured runs again and write docs/published.md
	$(BIN)/python tools/published.py

format: $(READY)  ## rewrite sources in the project's style
	cargo fmt --all
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

test: test-rust test-python  ## all tests

test-rust:
	cargo test --workspace

test-python: $(READY)
	$(BIN)/python -m pytest

bench: $(READY)  ## benchmarks against scipy and NumPy programs, some minutes
	$(BIN)/python -m benches.run

bench-smoke: $(READY)  ## every benchmark once, as a test of its answers
	$(BIN)/python -m benches.run --smoke

docs: docs-rust docs-python  ## Rust documentation; run every Python example

docs-rust:
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

docs-python: $(READY)
	$(BIN)/python -m pytest -q tests/test_doctests.py
	$(BIN)/python docs/run_examples.py README.md docs/*.md

example: $(READY)  ## fit the shipped runs
	$(BIN)/scalinglaws fit examples/tiny_lm/runs.csv --law chinchilla --columns L=loss --loss huber:1e-3

clean:  ## remove the environment, build output and caches
	rm -rf $(VENV) target .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f python/scalinglaws/_core*.so
