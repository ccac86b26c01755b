# Main targets: `make run` opens the window with a demonstration, `make test` runs all tests. Both run the set-up first.
# CUDA=1 or CUDA=0 selects the build of libtorch; by default it depends on whether there is an NVIDIA driver.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
DEMO := target/demo
SLIDES := assets/slides

.PHONY: run test interop demo bench setup lint deny strings fuzz sanitize torture dist dist-test \
	windows windows-check windows-test

run: setup
	cargo build --release --bin histokin
	mkdir -p $(DEMO)/project
	test -e $(DEMO)/project/project.toml || cp assets/demonstration.toml $(DEMO)/project/project.toml
	target/release/histokin --project $(DEMO)/project $(SLIDES)

test: setup
	@rm -f target/skipped-tests.txt
	cargo test --workspace --no-fail-fast; status=$$?; scripts/skipped_tests.sh; exit $$status

# Reads exported files with h5py, numpy, onnxruntime and pyarrow, which are installed in target/, where the tests find them.
interop: setup
	test -x target/python/bin/pip || python3 -m venv target/python
	target/python/bin/pip install --quiet h5py numpy onnxruntime pyarrow
	cargo test --test it -- interchange:: engines::

# Kills the program at random times, KILLS times in total, and checks its files after each; then opens thousands of
# broken files. Each part prints its results at the end.
# Then performs ACTIONS random actions in the window and opens and removes OPENED slides: the program must neither crash
# nor use more and more memory.
KILLS := 240
windows-test: KILLS := 24
ACTIONS := 100000
OPENED := 1000
torture: setup
	HISTOKIN_TORTURE_KILLS=$(KILLS) cargo test --test it torture:: -- --nocapture --test-threads 1
	scripts/torture_input.sh
	HISTOKIN_TORTURE_ACTIONS=$(ACTIONS) HISTOKIN_TORTURE_SLIDES=$(OPENED) \
		cargo test --test it monkey:: -- --nocapture --test-threads 1

# Without a display: embeds the demonstration slides, runs a query, and writes images and the answer.
demo: setup
	cargo build --release --bin histokin
	scripts/demo.sh target/release/histokin $(SLIDES) $(DEMO)

bench: setup
	cargo bench --package histokin

setup:
	@scripts/setup.sh

# Fuzzes each parser for a minute; set SECONDS_EACH for longer.
fuzz: setup
	scripts/fuzz.sh

# Runs the core's unit tests under AddressSanitizer.
sanitize: setup
	scripts/sanitize.sh

# Makes packages (a folder, a tar.gz of it and a .deb) that run on a minimal Debian 12 or Ubuntu 24.04, with and without
# libtorch. PACKAGES=histokin or PACKAGES=histokin-viewer makes one of them.
PACKAGES :=
dist: setup
	scripts/dist.py $(PACKAGES)

# Tests the packages in an empty root, without display and network.
dist-test:
	scripts/dist_test.sh

# Cross-builds the program for Windows on Debian 12: a folder and an installer in target/windows/. PROFILE=dev builds faster.
windows: setup
	scripts/windows/build.sh

# Checks only that the program compiles for Windows.
windows-check: setup
	scripts/windows/check.sh

# Runs the program for Windows under Wine, and compares it with the one for Linux. CHECKS selects some of the checks; KILLS
# is the number of kills.
windows-test: windows
	cargo build --release --bin histokin
	scripts/windows/toolchain.sh --wine
	KILLS=$(KILLS) scripts/windows/wine_test.py target/windows/histokin-*-x86_64-windows target/release/histokin $(CHECKS)

# Lists every string that users read, for translators: a catalogue (gettext's POT) for each area.
strings:
	scripts/strings.py target/strings

# Checks licences, known vulnerabilities, yanked versions and sources of all dependencies.
deny:
	cargo deny --all-features check

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo check --workspace --no-default-features --features ort
	cargo check --package histokin --no-default-features --features gui,ort
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace
	scripts/walls.sh
