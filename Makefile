# sentinel-sim. `make run` and `make test` each work alone on a fresh machine.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
TOPOLOGY ?= topologies/chile-usa.yaml
# Further words for the program of the target: make run ARGS="--quick".
ARGS ?=

.PHONY: help setup run test test-stock-kernel lint bench train notebooks docs clean protos

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install everything (Debian 12+, Ubuntu 24.04+; root or sudo); quick when done
	@scripts/setup.sh

run: setup ## Emulate $(TOPOLOGY) and print the table; ARGS="--quick" for a first look
	@$(BIN)/sentinel-sim run $(TOPOLOGY) $(ARGS)

test: setup ## All tests; those in tests/lab need root
	@bash -c 'source scripts/packages.sh && install_browser'
	@$(BIN)/python -m pytest $(ARGS)

test-stock-kernel: setup ## Boot a stock Debian kernel in QEMU and test the netem backend in it
	@mkdir -p build/stock-kernel  # what takes a minute in the guest takes a second here:
	@MPLCONFIGDIR=build/stock-kernel/matplotlib $(BIN)/python -c 'import matplotlib.font_manager'
	@scripts/stock-kernel.sh --time-limit 1200 -- scripts/stock-kernel-checks.sh $(ARGS)

lint: setup ## Style, types and the direction of imports
	@echo "ruff"; $(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "mypy"; $(BIN)/mypy
	@echo "import-linter"; $(BIN)/lint-imports

bench: setup ## What the emulation carries on this host (a few minutes; needs root)
	@bash -c 'source scripts/packages.sh && install_packages iperf3'
	@$(BIN)/python benchmarks/emulation.py $(ARGS)

train: setup ## Fit the predictor's network anew and write its weights (three minutes)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m sentinel_bpf.training.train $(ARGS)

notebooks: setup ## Run the notebooks; executed copies, with figures, in build/notebooks
	@$(BIN)/python scripts/notebooks.py $(ARGS)

docs: setup ## Build the documentation with executed notebooks: build/site/index.html
	@$(BIN)/python scripts/docs.py $(ARGS)

protos: setup ## Generate the protobuf modules anew (they are committed)
	@cd protos && PATH="$(CURDIR)/$(BIN):$$PATH" python -m grpc_tools.protoc -I . \
		--python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. \
		sentinel_proto/v1/*.proto

clean: ## Remove what dead runs left on this host, and build files; never results
	@if [ -x $(BIN)/sentinel-sim ]; then $(BIN)/sentinel-sim clean; fi
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 -r rm -rf
