# Each target makes the environment it needs by itself: Python 3.11+ and an ordinary pip are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread a process: workers are processes, and two OpenMP threads in each of two busy processes are ruinous.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
# On machines without a GPU this cap chooses the small CPU build of torch; with one: make TORCH=torch ...
TORCH ?= torch>=2.9,<2.14

.PHONY: btc test soak gpu check bench clean

btc: $(VENV)/.core
	$(BIN)/python -m ensemble_forecast search --study btc
	$(BIN)/python -m ensemble_forecast stack --study btc
	$(BIN)/python -m ensemble_forecast evaluate --study btc
	$(BIN)/python -m ensemble_forecast report --study btc

test: check
	$(THREADS) $(BIN)/python -m pytest -q -n 2 --dist worksteal

# What needs more than Python: Chromium, for the report, and PostgreSQL, for searches that share a study; the tests start a server of their own.
# apt wants to be root; with both installed otherwise it is not called.
soak: $(VENV)/.dev
	command -v chromium || (apt-get update && apt-get install -y --no-install-recommends chromium)
	command -v initdb || ls /usr/lib/postgresql/*/bin/initdb || (apt-get update && apt-get install -y --no-install-recommends postgresql)
	$(THREADS) $(BIN)/python -m pytest -q -m soak

# On a machine with a GPU and the torch for it: make TORCH=torch gpu
gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -q -rs -m gpu
	$(BIN)/python tests/benchmarks/gpu.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/start_up.py
	$(BIN)/python tests/benchmarks/door.py
	$(BIN)/python tests/benchmarks/bitcoin_run.py
	$(BIN)/python tests/benchmarks/kill_nine.py
	$(BIN)/python tests/benchmarks/budgets.py
	$(BIN)/python tests/benchmarks/many_series.py
	$(BIN)/python tests/benchmarks/net_speed.py
	$(BIN)/python tests/benchmarks/net_memory.py
	$(BIN)/python tests/benchmarks/features.py
	$(BIN)/python tests/benchmarks/verdict_power.py
	$(BIN)/python tests/benchmarks/depth_presets.py
	$(BIN)/python tests/benchmarks/depth_memory.py
	$(BIN)/python tests/benchmarks/depth_plan.py
	$(BIN)/python tests/benchmarks/depth_diagnosis.py
	$(BIN)/python tests/benchmarks/service.py

$(VENV)/.core: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install -q -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
