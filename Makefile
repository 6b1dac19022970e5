# Everything a checkout needs: `make demo` and `make test` set the rest up by themselves with plain Python and pip.
# Another interpreter: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LIST := build/files
KERNEL_TESTS := $(wildcard tests/test_backend.py tests/test_lstm.py tests/test_sincnet.py tests/test_convpool.py \
	tests/test_camplusplus_kernels.py tests/test_dense_tdnn.py tests/test_metal_kernels.py tests/test_metal_types.py \
	tests/test_launches.py tests/test_segmentation.py tests/test_carried_state.py tests/test_embedding.py)

LONG := slow or network or browser or audio
ALONE := alone or browser or audio
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) '*' 3 / 2)

.PHONY: demo test test-quick bench bench-quick lint metal-tests metal-check clean FORCE

demo: $(STAMP)
	@$(BIN)/turnstream demo

# Of the long tests first those that only compute, several at once, then those in which something has to happen in time.
test: lint test-quick
	$(BIN)/python -m pytest -m "(slow or network) and not ($(ALONE))" -n $(WORKERS) --dist loadfile
	$(BIN)/python -m pytest -m "($(LONG)) and ($(ALONE))"

# The tests that need neither network, browser nor microphone and do not take long: for every change. In three processes
# for two cores, since many tests wait for clocks; each computes in one thread.
test-quick: $(STAMP)
	NUMBA_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m "not ($(LONG))" -n $(WORKERS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every benchmark, one after another, for hours: results, summary and pictures. Options: make bench BENCH='--only engine'
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

# A representative part in under 5 minutes.
bench-quick: $(STAMP)
	$(BIN)/python -m benchmarks --quick $(BENCH)

# On a Mac: the tests of kernels and networks with a missing Metal device counted as a failure.
metal-tests: $(STAMP)
	REQUIRE_METAL=1 $(BIN)/python -m pytest $(KERNEL_TESTS)

# And the kernel benchmark's table.
metal-check: metal-tests
	REQUIRE_METAL=1 $(BIN)/python -m pytest benchmarks/bench_kernels.py -s

# Installed strictly, so that type checkers follow the one import name into the three folders; a file that is new or
# gone changes the list, and the list is part of the stamp.
$(LIST): FORCE
	@mkdir -p build && find stream kernels clients -type f -not -path '*/__pycache__/*' | sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

FORCE:

$(STAMP): pyproject.toml $(LIST)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "turnstream needs Python 3.11 or newer, got %d.%d: run make PYTHON=python3.12 (or the one you have)" % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "this Python cannot make virtual environments: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@echo 'setting up $(VENV) (once, a minute or two)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --config-settings editable_mode=strict
	@touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
