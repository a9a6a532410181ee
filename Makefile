# Short names for what scripts/test does; `make` alone is what to run before a commit.
BIN = .venv/bin

.PHONY: all lint types test cover docs traces demo clean

all: lint types test

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

test:
	$(BIN)/python -m pytest -m "not full and not interop"

cover:
	$(BIN)/coverage run -m pytest -q -m "not full" tests/sipstack tests/translators
	$(BIN)/coverage report --omit 'sipstack/net/*' --fail-under 100

# Rewrite the pages that are drawn from the code.
docs:
	$(BIN)/python scripts/draw_states.py

# Rewrite the golden ladders under tests/traces; read the diff before you commit it.
traces:
	UPDATE_TRACES=1 $(BIN)/python -m pytest -q tests/gateway/lab/test_ladder.py

demo:
	scripts/demo

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov build dist
