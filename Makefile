# Earnest: every target sets up .venv by itself when it is missing or older than pyproject.toml.
# The tools themselves: .venv/bin/earnest --help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EARNEST := $(BIN)/earnest
# The first Python on the path that fits; name another with `make PYTHON=/path/to/python3 ...`.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.10
FITS := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
MODEL ?= okay_nabu
# The registry's torch for Linux brings gigabytes for graphics cards; this index has it without.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Tests wait for sockets and serial lines for much of their time: two processes a core.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(2 * (os.cpu_count() or 1))")

need_board = test -n "$(BOARD)" || { \
	echo "error: no board given: make $@ BOARD=..." >&2; \
	echo "hint: docs/boards.md has their names" >&2; \
	exit 2; }

.DEFAULT_GOAL := help
.PHONY: help setup setup-train demo test test-home-assistant claims lint format models convert simulate bench evaluate \
	flash install provision release clean system-tools

help: ## List the targets.
	@echo "Earnest - two commands do everything: make demo, make test"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | \
		while IFS='	' read -r name words; do printf '  make %-20s %s\n' "$$name" "$$words"; done

setup: $(STAMP) ## Make .venv with all that this platform has.

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { \
		echo "error: no Python from 3.10 to 3.13 on the path" >&2; \
		echo "hint: install one (sudo apt-get install python3 python3-venv), or make PYTHON=..." >&2; \
		exit 2; }
	@$(PYTHON) -c '$(FITS)' || { \
		echo "error: $$($(PYTHON) --version) does not fit, 3.10 to 3.13 is needed" >&2; \
		echo "hint: make PYTHON=/path/to/another/python3" >&2; exit 2; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version), a minute or two the first time"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "error: this Python cannot make a virtual environment" >&2; \
		echo "hint: sudo apt-get install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

setup-train: $(STAMP) ## Add to .venv what `earnest train` needs (250 MB to download).
	@index="--extra-index-url $(TORCH_INDEX)"; \
	$(BIN)/python -c 'from urllib.request import urlopen as open; open("$(TORCH_INDEX)/torch/", timeout=10)' \
		2>/dev/null || { index=; \
		echo "note: cannot reach $(TORCH_INDEX); taking torch from wherever pip finds it"; }; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$index -e '.[train]'

demo: $(STAMP) ## Make speech, run the firmware on it, draw build/demo.png (a minute).
	@$(EARNEST) demo $(ARGS)

test: $(STAMP) system-tools ## Run all tests, two processes a core.
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# By hand, not in CI: it needs root, 3 GB and minutes.
test-home-assistant: $(STAMP) ## Try a conversation through a real Home Assistant.
	@$(BIN)/python -m tests.home_assistant

claims: $(STAMP) ## Run the test of each claim; print claim, test, figure.
	@$(BIN)/python -m tests.project.claims $(ARGS)

lint: $(STAMP) ## Check style and types.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP) ## Format the code.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

models: $(STAMP) ## List the available wake-word models.
	@$(EARNEST) models $(ARGS)

convert: $(STAMP) ## Convert a model: make convert MODEL=hey_jarvis
	@$(EARNEST) convert $(MODEL) $(ARGS)

simulate: $(STAMP) ## Simulate a recording: make simulate AUDIO=a.wav MODEL=alexa
	@test -n "$(AUDIO)" || { echo "error: no recording given: make simulate AUDIO=a.wav" >&2; exit 2; }
	@$(EARNEST) simulate $(AUDIO) --model $(MODEL) $(ARGS)

bench: $(STAMP) system-tools ## Count the instructions of the chip's code.
	@$(EARNEST) bench $(ARGS)

evaluate: $(STAMP) ## Measure false rejects and accepts: make evaluate POSITIVE=dir NEGATIVE=dir
	@test -n "$(POSITIVE)$(NEGATIVE)" || { \
		echo "error: no recordings given: make evaluate POSITIVE=dir NEGATIVE=dir" >&2; exit 2; }
	@$(EARNEST) evaluate $(if $(POSITIVE),--positive $(POSITIVE)) \
		$(if $(NEGATIVE),--negative $(NEGATIVE)) --model $(MODEL) $(ARGS)

flash: $(STAMP) ## Write MicroPython to a board: make flash BOARD=... PORT=...
	@$(need_board)
	@$(EARNEST) flash --board $(BOARD) $(if $(PORT),--port $(PORT)) $(ARGS)

install: $(STAMP) ## Install the firmware: make install BOARD=... PORT=...
	@$(need_board)
	@$(EARNEST) install --board $(BOARD) $(if $(PORT),--port $(PORT)) $(ARGS)

provision: $(STAMP) ## Set Wi-Fi, receiver and consent: make provision PORT=...
	@$(EARNEST) provision $(if $(PORT),--port $(PORT)) $(ARGS)

release: $(STAMP) ## Build the engine for mip and the models, for other projects.
	@$(BIN)/python -m host_tools.release $(ARGS)

clean: ## Remove build files; keep .venv.
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find firmware host_tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Names what is missing and goes on: the tests that need it are skipped.
system-tools:
	@command -v qemu-xtensa >/dev/null || { \
		echo "note: qemu-xtensa is missing, so the chip's machine code cannot run here"; \
		echo "      install it: sudo apt-get install qemu-user"; }
	@command -v valgrind >/dev/null || { \
		echo "note: valgrind is missing, so the Python around the kernels is not counted"; \
		echo "      install it: sudo apt-get install valgrind"; }
