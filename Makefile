# Every target does its own set-up in one .venv, once: a second run is quick, and an edit of csrc rebuilds.
# The Python to use: make PYTHON=python3.12 test

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install -q --disable-pip-version-check
SOURCES := $(wildcard csrc/*.c csrc/isa/*.c)
BUILT_FROM := $(SOURCES) $(wildcard csrc/*.h csrc/*.inc csrc/*/*.h) setup.py pyproject.toml pyscratch/_build.py
STRICT := -Wall -Wextra -Wdouble-promotion -Werror
# make demo ARGS=--quick, make test ARGS="-x -k poisson", make bench ARGS=--quick
ARGS ?=

.PHONY: all build size demo test neon bench peers accuracy catalogue lint lint-c clean help
.DELETE_ON_ERROR:

all: build size  ## build the C kernels, print build time and code size
	@echo "done; 'make help' lists what else there is"

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed 's/:.*  ## /:/' | sed 's/^\([a-z-]*\):/\1      /; s/^\(.\{7\}\) */make \1 /'

build: $(VENV)/built  ## build the C kernels and install the package, editable, in .venv

demo: $(VENV)/with-demo  ## train every head on real data in C and in NumPy: one table, pictures in out/
	@$(RUN) -m bench.demo $(ARGS)

test: $(VENV)/with-test  ## run the test suite
	@$(RUN) -m pytest $$($(RUN) -c 'import xdist; print("-n auto")' 2>/dev/null) $(ARGS)

neon: $(VENV)/with-test  ## the kernel tests on arm64 under qemu-user, where it and a cross compiler are installed
	@$(RUN) tests/neon.py $(ARGS)

bench: $(VENV)/built  ## time every head and Dense against the reference and the peers that are here
	@$(RUN) -m bench.run $(ARGS)

peers: $(VENV)/with-peers bench  ## the same after fetching PyTorch, JAX and scikit-learn

accuracy: $(VENV)/with-test  ## measure every head in ULP against as many digits as it takes: docs/accuracy.md
	@$(RUN) -m bench.accuracy $(ARGS)

catalogue: $(VENV)/with-demo  ## write the page of the families, docs/catalogue.md, and its pictures
	@$(RUN) -m bench.catalogue $(ARGS)

size: $(VENV)/built  ## print the code size of each object and of the wheel
	@$(RUN) bench/size.py

lint: $(VENV)/built lint-c  ## ruff, the C sources under strict warnings with each compiler here, code size
	@$(RUN) -c 'import ruff' 2>/dev/null || $(PIP) 'pyscratch[lint]' || echo 'ruff cannot be fetched: only the C was checked'
	@! $(RUN) -c 'import ruff' 2>/dev/null || $(RUN) -m ruff check .
	@$(RUN) bench/size.py --strict

lint-c: $(VENV)/built
	@sources=$$($(RUN) -c 'from pyscratch._build import sources; print(*sources())') && \
	for compiler in gcc clang; do \
	  if command -v $$compiler >/dev/null; then \
	    echo "$$compiler: $(STRICT)"; \
	    flags=$$(CC=$$compiler $(RUN) -c 'from pyscratch._build import flags; print(*flags())') || exit 1; \
	    printf '%s\n' $$sources | xargs -P 2 -n 1 $$compiler $$flags $(STRICT) -Icsrc -c -o /dev/null || exit 1; \
	  else echo "$$compiler: not installed, skipped"; fi; \
	done

clean:  ## remove everything that make made
	rm -rf $(VENV) build dist out *.egg-info pyscratch/_lib.* .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- set-up: each file is the mark that a step is done ----

# Says in one line what is missing and how to get it.
define CHECK
import importlib.util, os, shutil, sys, sysconfig
def need(there, remedy):
    there or sys.exit("pyscratch: " + remedy)
need(sys.version_info >= (3, 10), "Python 3.10 or newer is needed, %s is %d.%d: make PYTHON=python3.12" % (sys.executable, *sys.version_info[:2]))
need(all(map(importlib.util.find_spec, ("venv", "ensurepip"))), "this Python lacks venv: apt install python3-venv (Debian, Ubuntu)")
need(os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")), "Python.h is missing: apt install python3-dev (Debian, Ubuntu) or dnf install python3-devel (Fedora)")
compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
need(shutil.which(compiler), "no C compiler (%s): apt install gcc (Debian, Ubuntu), dnf install gcc (Fedora), xcode-select --install (macOS), or make CC=clang" % compiler)
endef
export CHECK

$(VENV)/base:
	@command -v $(PYTHON) >/dev/null || { echo 'pyscratch: no $(PYTHON): apt install python3 python3-venv python3-dev (Debian, Ubuntu), or make PYTHON=/path/to/python'; exit 1; }
	@$(PYTHON) -c "$$CHECK"
	@echo 'making $(VENV) with' $$($(PYTHON) --version)
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) 'setuptools>=77' wheel 'cffi>=1.16' numpy
	@touch $@

$(VENV)/built: $(VENV)/base $(BUILT_FROM)
	@echo 'building the C kernels'
	@start=$$(date +%s) && $(PIP) --no-build-isolation -e . && echo "built in $$(($$(date +%s) - start)) s"
	@touch $@

# pyscratch itself is installed by now: this fetches what an extra adds.
$(VENV)/with-%: pyproject.toml $(VENV)/base | $(VENV)/built
	@echo 'fetching what make $* needs'
	@$(PIP) 'pyscratch[$*]'
	@touch $@
