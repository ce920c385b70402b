# Boxship's commands. Each works from a fresh clone as root, with only git, make and python3 on the machine.
# What a target needs is installed by tools/setup.sh, which does nothing when everything is there.

SHELL := /bin/bash
BIN := .venv/bin
TESTS ?= tests
# Processes that share the tests, file by file, each with a daemon of its own; 0: all in one.
PROCESSES ?= 3
# What was compiled is kept beside the sources, also where the environment says otherwise: the tests start many programs.
COMPILED := env -u PYTHONDONTWRITEBYTECODE
# The stock client lies in build/ where the machine has none of its own.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:$(CURDIR)/build/docker/usr/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test compiled test-slow fresh v2 lint format types bench bench-cluster bench-workloads bench-peers install uninstall clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing; leaves .venv/bin/boxship and .venv/bin/boxshipd
	@tools/setup.sh

demo: setup ## show the engine at work on this machine, and clean up to zero
	@tools/demo.sh

test: setup lint ## lint, types and the tests (below 15 minutes on 2 processors)
	@$(MAKE) --no-print-directory -j2 types compiled
	@tools/docker-client.sh
	@tools/registry-peers.sh
	@tools/compose-peers.sh
	@tools/cluster-peers.sh
	@$(COMPILED) tools/tests.sh $(PROCESSES) $(TESTS)

compiled: setup # what pytest makes of the test files, once for all processes; mypy needs one processor only
	@$(COMPILED) $(BIN)/python -m pytest --collect-only -q $(TESTS) >/dev/null 2>&1 </dev/null || true

test-slow: setup ## the long scenarios as well
	@tools/docker-client.sh
	@tools/registry-peers.sh
	@tools/compose-peers.sh --current
	@tools/cluster-peers.sh
	@$(BIN)/python -m pytest --alone -m slow $(TESTS) </dev/null

fresh: ## does a clone work on a fresh Debian? (FRESH="demo test")
	@tools/fresh-machine.sh $(FRESH)

v2: ## the engine on a host with pure cgroup v2: a guest in QEMU (needs qemu-system-x86)
	@tools/guest-v2.sh

lint: setup ## ruff: rules and format
	@$(BIN)/ruff check src tests bench
	@$(BIN)/ruff format --check src tests bench

format: setup ## let ruff rewrite the sources
	@$(BIN)/ruff check --fix src tests bench
	@$(BIN)/ruff format src tests bench

types: setup ## mypy, strict
	@$(BIN)/mypy

bench: setup ## measure this engine beside Docker and Podman, where they are installed, and then the Kubernetes API
	@tools/docker-client.sh
	@$(BIN)/python -m bench $(BENCH) </dev/null
	@tools/cluster-peers.sh
	@$(BIN)/python -m bench.cluster $(BENCH_CLUSTER) </dev/null
	@$(BIN)/python -m bench.workloads $(BENCH_WORKLOADS) </dev/null
	@$(BIN)/python -m bench.cluster.services </dev/null
	@for nodes in 100 1000 5000; do $(BIN)/boxship simulate --quiet --nodes $$nodes --pods $$((nodes * 2)); done
	@$(BIN)/boxship simulate --quiet --nodes 5000 --pods 50000 --kind plain

bench-cluster: setup ## measure the Kubernetes API on SQLite and etcd
	@tools/cluster-peers.sh
	@$(BIN)/python -m bench.cluster $(BENCH_CLUSTER) </dev/null

bench-workloads: setup ## measure pods: deployments, single pods, a rolling update under load, memory; connections through services
	@$(BIN)/python -m bench.workloads $(BENCH_WORKLOADS) </dev/null
	@$(BIN)/python -m bench.cluster.services </dev/null
	@for nodes in 100 1000 5000; do $(BIN)/boxship simulate --quiet --nodes $$nodes --pods $$((nodes * 2)); done
	@$(BIN)/boxship simulate --quiet --nodes 5000 --pods 50000 --kind plain

bench-peers: setup ## install Docker and Podman for `make bench`, without starting them
	@tools/bench-peers.sh

install: ## install the daemon, the client, the systemd unit and the completion (PREFIX, DESTDIR)
	@tools/install.sh install

uninstall: ## take back what `make install` put there; the data root stays
	@tools/install.sh uninstall

clean: ## remove the virtual environment, build/ and all caches
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
