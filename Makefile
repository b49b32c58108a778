# The commands of a checkout. Each one installs what it needs (tools/setup), prints a few lines, and
# keeps its full output in build/logs/. The build itself is CMake's: see CMakePresets.json.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build test check bench fuzz clean
MAKEFLAGS += --no-print-directory

# $(value ...) keeps a dollar sign in a prompt from being read as a variable.
export PELTON_PROMPT := $(value PROMPT)
export PELTON_MODEL := $(value MODEL)
export PELTON_ARGS := $(value ARGS)

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  make run PROMPT="..." answers once; MODEL=path and ARGS="--threads 2" go to pelton'
	@echo '  make test STAGES="release isa" runs some stages of the test only (tools/test lists them)'

run:  ## build, fetch the default model, and serve it (or answer PROMPT="...")
	@tools/setup build python
	@tools/build release pelton
	@tools/run

build:  ## build the release: build/release/pelton
	@tools/setup build python
	@tools/build release pelton
	@echo build/release/pelton

test:  ## every test: release, each instruction set, sanitizers, g++, short fuzzing
	@tools/setup test python
	@tools/test $(STAGES)

check:  ## format, layers, sizes, banned constructs, lint
	@tools/setup check python
	@tools/check

bench:  ## measure Pelton beside its peers on this machine
	@tools/setup bench python
	@tools/build release pelton
	@bench/peers/run

fuzz:  ## a longer run of every fuzz target (FUZZ_SECONDS=60 each)
	@tools/setup test python
	@FUZZ_RUNS=-1 FUZZ_SECONDS=$${FUZZ_SECONDS:-60} tools/test fuzz

clean:  ## remove the build folder; the model cache stays
	@rm -rf build
