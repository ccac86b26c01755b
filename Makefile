# The two commands that matter: `make run` opens the window on a demonstration, `make test` runs every test.
# Both do all set-up. CUDA=1 or CUDA=0 chooses the build of libtorch; without it the machine decides.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
DEMO := target/demo
SLIDES := assets/slides

.PHONY: run test torture interop demo bench setup lint

run: setup
	cargo build --release --bin histokin
	mkdir -p $(DEMO)/project
	test -e $(DEMO)/project/project.toml || cp assets/demonstration.toml $(DEMO)/project/project.toml
	target/release/histokin --project $(DEMO)/project $(SLIDES)

test: setup
	cargo test --no-fail-fast

# What h5py, numpy and pyarrow say of the files that are exported: they are fetched into target/, where the test finds them.
interop: setup
	test -x target/python/bin/pip || python3 -m venv target/python
	target/python/bin/pip install --quiet h5py numpy pyarrow
	cargo test --test it interchange::
# Kill the program at random moments of its work, and look at all it keeps after each: KILLS times in all.
KILLS := 240
torture: setup
	HISTOKIN_TORTURE_KILLS=$(KILLS) cargo test --test it torture:: -- --nocapture --test-threads 1

# The main job without a screen: embed the demonstration slides, ask, keep pictures and the answer.
demo: setup
	cargo build --release --bin histokin
	scripts/demo.sh target/release/histokin $(SLIDES) $(DEMO)

bench: setup
	cargo bench

setup:
	@scripts/setup.sh

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo check --no-default-features
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
