# The short names.  `make` alone prints them.
#
# SPDX-License-Identifier: GPL-2.0-or-later
.PHONY: help all deps deps-quiet qemu check-fast check sim lease-race demo bench bench-busy fuzz drift soak soak-report hooks-diff clean

BUILD = build
PYTHON = /usr/bin/python3
CYCLES ?= 1
ROUNDS ?= 3
MINUTES ?= 10
N ?= 20
SECONDS ?= 600
SEEDS ?= 100000
GENERATIONS ?= 10000

help:
	@echo 'QEMU-FT: a virtual machine that survives the loss of its host.'
	@echo
	@echo '  make demo         a protected pair, a kill, and what the client saw'
	@echo '  make demo CYCLES=20   the same 20 times, with the distribution'
	@echo '  make demo LEASE=iscsi   disk and lease on LUNs of an iSCSI target, shared'
	@echo '  make qemu         get QEMU and build the fork: $(BUILD)/qemu/qemu-system-x86_64'
	@echo '  make check-fast   tests of the protocol, without QEMU: under a minute'
	@echo '  make check        every test'
	@echo '  make sim SEEDS=1000000   the protocol in simulated worlds; 100000 without SEEDS'
	@echo '  make lease-race GENERATIONS=10000   claimers race for leases on real targets'
	@echo '  make fuzz SECONDS=600   fuzzes what a peer, a lease and a log can hold'
	@echo '  make bench        what protection costs; writes docs/performance.md'
	@echo '  make bench-busy   false takeovers while all cores are busy, MINUTES=10'
	@echo '  make drift        the guest'"'"'s clock against the host'"'"'s, MINUTES=10'
	@echo '  make soak         lives of a guest, recorded and replayed, N=20; SEED=n; PARALLEL=k'
	@echo '  make soak-report  what all of them came to'
	@echo '  make hooks-diff   what the fork inserts into QEMU, as a diff'
	@echo '  make deps         install the Debian packages that are needed'
	@echo '  make clean        remove $(BUILD); what was downloaded stays'
	@echo
	@echo './configure --help: another QEMU 10.0.x, another build directory.'
	@echo 'JOBS=N limits how many compilers run at a time.'

all: qemu

deps:
	@sh hooks/deps.sh

# Installs only when something is missing, and then says so.
deps-quiet:
	@sh hooks/deps.sh --check >/dev/null || sh hooks/deps.sh

qemu: deps-quiet
	@$(PYTHON) hooks/build.py --build-dir=$(BUILD)

check-fast: deps-quiet
	@$(PYTHON) tests/run --build-dir=$(BUILD) fast

check: qemu
	@$(PYTHON) tests/run --build-dir=$(BUILD)

sim: deps-quiet
	@$(PYTHON) hooks/build.py --build-dir=$(BUILD) --parts
	@$(PYTHON) tests/sim/run --seeds=$(SEEDS) --first=$(or $(SEED),1) \
	--program=$(abspath $(BUILD))/fast/tests/sim/ft-sim

lease-race: deps-quiet
	@$(PYTHON) hooks/build.py --build-dir=$(BUILD) --parts
	@FT_BUILD=$(abspath $(BUILD)) FT_RACE_GENERATIONS=$(GENERATIONS) \
	FT_RACE_SEED=$(or $(SEED),0) $(PYTHON) tests/unittest-tap.py \
	tests/functional/test_lease_race.py

demo: qemu
	@CYCLES=$(CYCLES) LEASE=$(LEASE) FT_BUILD=$(abspath $(BUILD)) \
	FT_SWITCH=$(abspath $(BUILD))/fast/tools/ft-switch/ft-switch \
	$(PYTHON) tests/demo/run

bench: qemu
	@ROUNDS=$(ROUNDS) FT_BUILD=$(abspath $(BUILD)) \
	FT_SWITCH=$(abspath $(BUILD))/fast/tools/ft-switch/ft-switch \
	$(PYTHON) tests/bench/run --write

bench-busy: qemu
	@FT_BUILD=$(abspath $(BUILD)) \
	FT_SWITCH=$(abspath $(BUILD))/fast/tools/ft-switch/ft-switch \
	$(PYTHON) tests/bench/run --rows busy --minutes $(MINUTES)

drift: qemu
	@MINUTES=$(MINUTES) FT_BUILD=$(abspath $(BUILD)) \
	FT_SWITCH=$(abspath $(BUILD))/fast/tools/ft-switch/ft-switch \
	$(PYTHON) tests/drift/run

soak: qemu
	@N=$(N) SEED=$(SEED) PARALLEL=$(PARALLEL) FT_BUILD=$(abspath $(BUILD)) \
	FT_SWITCH=$(abspath $(BUILD))/fast/tools/ft-switch/ft-switch \
	$(PYTHON) tests/soak/run

soak-report:
	@$(PYTHON) tests/soak/run --report

fuzz: qemu
	@$(PYTHON) tests/fuzz/run --build-dir=$(BUILD) --seconds=$(SECONDS)

hooks-diff:
	@$(PYTHON) configure --build-dir=$(BUILD) --again >/dev/null
	@$(PYTHON) hooks/hooks.py diff --source $(BUILD)/src

clean:
	rm -rf $(BUILD)
