# Everything a newcomer needs: `make demo` for the answer, `make test` for the proof, `make bench` for the speed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
export OMP_WAIT_POLICY = PASSIVE
export OMP_NUM_THREADS = 1

.PHONY: install demo deploy-demo test lint types unit bench lock clean

install: $(STAMPS)/install

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)

$(STAMPS)/requirements: requirements.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/install: pyproject.toml $(STAMPS)/requirements
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/fedjtt sweep --config experiments/configs/demo.toml --out demo

# Four hosts, a server, TLS and node keys on this machine; the hospitals' data from FEDJTT_DATA, or a stand-in.
deploy-demo: install
	$(BIN)/python -m experiments.deploy.demo --out deploy-demo

test: lint types unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: install
	$(BIN)/python -m experiments.benchmarks

# Exact versions with hashes, for every platform that the packages support; no host names.
lock: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
		--no-header --extra test --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) demo deploy-demo *.egg-info .mypy_cache .ruff_cache .pytest_cache
