# The two commands that matter: `make run` opens the window on a demonstration, `make test` runs every test.
# Both do all set-up. CUDA=1 or CUDA=0 chooses the build of libtorch; without it the machine decides.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
DEMO := target/demo
SLIDES := assets/slides

.PHONY: run test interop demo bench setup lint deny fuzz sanitize torture dist dist-test

run: setup
	cargo build --release --bin histokin
	mkdir -p $(DEMO)/project
	test -e $(DEMO)/project/project.toml || cp assets/demonstration.toml $(DEMO)/project/project.toml
	target/release/histokin --project $(DEMO)/project $(SLIDES)

test: setup
	@rm -f target/skipped-tests.txt
	cargo test --workspace --no-fail-fast; status=$$?; scripts/skipped_tests.sh; exit $$status

# What h5py, numpy and pyarrow say of the files that are exported: they are fetched into target/, where the test finds them.
interop: setup
	test -x target/python/bin/pip || python3 -m venv target/python
	target/python/bin/pip install --quiet h5py numpy pyarrow
	cargo test --test it interchange::

# Kill the program at random moments of its work, KILLS times in all, looking at all it keeps after each; then hand
# it broken files by the thousand. The figures stand at the end of each part.
# Then a monkey plays with the window, and slides are opened and taken away: nothing may end it, or make it grow.
KILLS := 240
ACTIONS := 100000
OPENED := 1000
torture: setup
	HISTOKIN_TORTURE_KILLS=$(KILLS) cargo test --test it torture:: -- --nocapture --test-threads 1
	scripts/torture_input.sh
	HISTOKIN_TORTURE_ACTIONS=$(ACTIONS) HISTOKIN_TORTURE_SLIDES=$(OPENED) \
		cargo test --test it monkey:: -- --nocapture --test-threads 1

# The main job without a screen: embed the demonstration slides, ask, keep pictures and the answer.
demo: setup
	cargo build --release --bin histokin
	scripts/demo.sh target/release/histokin $(SLIDES) $(DEMO)

bench: setup
	cargo bench --package histokin

setup:
	@scripts/setup.sh

# A minute for each parser; SECONDS_EACH=… for longer.
fuzz: setup
	scripts/fuzz.sh

# The core's unit tests, watched for memory that is read or written wrongly.
sanitize: setup
	scripts/sanitize.sh

# A folder, and a tar.gz of it, that run on a bare Debian 12 or Ubuntu 24.04.
dist: setup
	scripts/dist.py

# The package in an empty root, without screen and network.
dist-test:
	scripts/dist_test.sh

# Licences, known holes, withdrawn versions and sources of all dependencies.
deny:
	cargo deny --all-features check

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo check --package histokin --no-default-features
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace
	scripts/walls.sh
