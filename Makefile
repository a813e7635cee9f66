# Nearline. `make demo` and `make test` need Python 3.11 or newer, and nothing else; they set up .venv themselves.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LOCK   := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test lint bench lock clean

help:  ## Show this list.
	@echo "make demo              a simulated shop: import, train, serve, and watch a click change a list"
	@echo "make demo DATA=folder  the same with MovieLens 100K or 1M, or a CSV or Parquet file of your own"
	@echo "make demo ENGINE=kafka the shop on Kafka and Redis, with a server and a stream worker (needs Java and Maven)"
	@echo "make demo PORT=9000    on another port (these go together)"
	@echo "make test              lint, format, types, layers and all tests"
	@echo "make lint              the same without the tests"
	@echo "make bench             the benchmarks"
	@echo "make lock              resolve requirements/*.txt again, from pyproject.toml"
	@echo "make clean             remove .venv, caches and the demo's data"

setup: $(READY)  ## Set up .venv.

# uv installs in seconds what takes pip more than a minute; where it does not run, pip does it.
# Done again only where what is to be installed changed. Kernels are compiled here, so that nothing waits for them later.
$(READY): requirements/setup.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Nearline needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/setup.txt \
		&& $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt \
		|| $(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/nearline warm
	@touch $@

demo: $(READY)
	@$(if $(ENGINE),$(BIN)/python -m engines.demo $(ENGINE),$(BIN)/nearline demo) $(if $(DATA),--data "$(DATA)") $(if $(PORT),--port $(PORT))

lint: $(READY)
	@echo "== ruff check";          $(BIN)/ruff check .
	@echo "== ruff format --check"; $(BIN)/ruff format --check .
	@echo "== mypy";                $(BIN)/mypy
	@echo "== lint-imports";        $(BIN)/lint-imports

test: lint
	@echo "== pytest";              $(BIN)/python -m pytest

bench: $(READY)
	@$(BIN)/python -m benchmarks

lock:
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade uv
	@$(LOCK) pyproject.toml --output-file requirements/base.txt
	@$(LOCK) pyproject.toml --extra dev --output-file requirements/dev.txt
	@echo uv | $(LOCK) - --no-annotate --output-file requirements/setup.txt

clean:
	rm -rf $(VENV) demo-data dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
