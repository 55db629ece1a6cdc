# polyfuse: `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test test-slow check docs dist bench clean

setup: $(STAMP)

# torch and the rest in one pip call: apart, another package may pull another torch
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing polyfuse into .venv (a few minutes the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch -e ".[dev]"
	@touch $@

demo: setup
	@$(BIN)/polyfuse demo

# compiled files are kept, for tests start many processes
test: setup
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-slow: setup
	@$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py
	$(BIN)/python scripts/file_tree.py --check
	$(BIN)/python scripts/rooms.py --check
	$(BIN)/mkdocs build --strict --quiet

docs: setup
	@$(BIN)/mkdocs build --strict
	@echo "open build/site/index.html"

dist: setup
	@$(BIN)/python -m build --no-isolation

bench: setup
	@$(BIN)/python benchmarks/foundation.py
	@$(BIN)/python benchmarks/defaults.py
	@$(BIN)/python benchmarks/search.py
	@$(BIN)/python benchmarks/alignment.py
	@$(BIN)/python benchmarks/generation_speed.py
	@$(BIN)/python benchmarks/structure.py
	@$(BIN)/python benchmarks/deploy.py

clean:
	rm -rf .venv demo-output build dist
