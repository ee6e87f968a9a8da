# Every target sets up what it needs by itself: no root, no Docker, no uv on the machine.
# A second call installs nothing. `make PYTHON=python3.12 …` picks the interpreter of a fresh .venv.

PYTHON ?= python3
VENV := .venv
LOCK := dev
BIN := $(VENV)/bin
JOBS ?= 4
READY := $(VENV)/.ready

.PHONY: demo up test test-fast coverage lint chaos proofs bench bench-gpu judge gallery lock clean
.DEFAULT_GOAL := demo

## Paint one picture through the whole system: make demo [CONTENT=photo.jpg STYLE=painting.jpg]
demo: $(READY)
	@$(BIN)/atelier demo $(if $(CONTENT),"$(CONTENT)" "$(STYLE)")

## Start the whole system on this machine, until Ctrl-C
up: $(READY)
	@$(BIN)/atelier up

## Run every test, by JOBS processes; make test ARGS="-k images" runs some
test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

## Run the tests of single modules that start no process and load no TensorFlow: seconds
test-fast: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) -m "not process and not slow" --ignore tests/unit/worker/engine tests/unit $(ARGS)

## Run every test in one process, and list the lines and branches that none reaches; half as long again
coverage: $(READY)
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report --skip-covered --show-missing

## Check format, style, types and who imports whom
lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## Kill and freeze real processes at length and judge what is left: about an hour; make chaos ARGS="-k storm" runs some
chaos: $(READY)
	CHAOS=long $(BIN)/python -m pytest tests/chaos -s --timeout=7200 $(ARGS)

## Try the whole API against its description, and thousands of damaged bodies, at length
proofs: $(READY)
	CONFORMANCE=long HOSTILE=long $(BIN)/python -m pytest tests/conformance tests/integration/api/http/test_malformed_bodies.py \
		-s --timeout=7200 $(ARGS)

## Measure every speed that is promised
bench: $(READY)
	$(BIN)/python -m tests.benchmarks

## Measure the engine on this machine's NVIDIA GPU, for eight minutes at most, by an environment of its own
bench-gpu:
	@$(MAKE) --no-print-directory VENV=.venv-gpu LOCK=gpu .venv-gpu/.ready
	.venv-gpu/bin/python -m tests.benchmarks.gpu $(ARGS)

## Paint pairs of photograph and painting, and judge how like both the pictures are; make judge ARGS=--sizes at four sizes
judge: $(READY)
	$(BIN)/python -m tests.judge $(ARGS)

## Paint what docs/gallery.md shows, and write it; make gallery ARGS=--help lists other programs, and faces for trials
gallery: $(READY)
	$(BIN)/python -m tests.judge.gallery $(ARGS)

## Write the locks anew from pyproject.toml
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-emit-index-url \
	--python-version 3.11 --custom-compile-command "make lock" --output-file
lock: $(READY)
	$(COMPILE) requirements/dev.txt --extra cpu --group dev
	$(COMPILE) requirements/cpu.txt --extra cpu --group build --constraint requirements/dev.txt
	$(COMPILE) requirements/gpu.txt --extra gpu --group build --constraint requirements/dev.txt
	$(COMPILE) requirements/api.txt --group build --constraint requirements/dev.txt

clean:
	rm -rf $(VENV) .venv-gpu demo build *.egg-info api/client/build api/client/*.egg-info

$(READY): pyproject.toml requirements/$(LOCK).txt requirements/uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): say make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -I shared/machines.py
	@echo "Setting up $(VENV); this happens once …"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
		-r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --only-binary :all: \
		--require-hashes -r requirements/$(LOCK).txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
