# Every target makes what it needs; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow bench lint format constraints clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY) ## generate rooms, train a small three-exit detector, find where it may stop early (minutes)
	run=$$($(BIN)/python experiments/train.py experiment=demo | tail -n 1) && \
	  $(BIN)/python experiments/evaluate.py run="$$run" && \
	  $(BIN)/python experiments/tune.py run="$$run"

# Two processes with a thread each; the tests of a file share what they have made, so they stay together.
test: lint ## lint, types, import contracts, fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# One process: they start several themselves, and kill some at moments that they count out.
test-slow: $(READY) ## tests that take minutes: kills, two processes, wheels, overfitting
	$(BIN)/python -m pytest -m slow

bench: $(READY) ## exact AP against pycocotools, post-processing against torchvision, judging a set, a tiny cascade on every engine
	$(BIN)/python -m tests.benchmarks.bench_mixture
	$(BIN)/python -m tests.benchmarks.bench_decoding
	$(BIN)/python -m tests.benchmarks.bench_evaluation
	run=$$($(BIN)/python experiments/train.py experiment=debug_rooms | tail -n 1) && \
	  $(BIN)/python experiments/tune.py run="$$run" family=certainty pictures=0 > /dev/null && \
	  $(BIN)/python experiments/benchmark.py run="$$run" 'backends=[torch,onnxruntime,openvino]' 'batch_sizes=[8]'

lint: $(READY) ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(READY) ## renew the pinned versions
	$(BIN)/uv pip compile pyproject.toml --extra dev --no-header --no-emit-index-url --no-emit-find-links --no-annotate --output-file constraints.txt

clean: ## remove the environment, caches and generated data (not runs)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
