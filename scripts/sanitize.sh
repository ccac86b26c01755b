#!/usr/bin/env bash
# Runs the unit tests of the core under AddressSanitizer, which checks memory accesses of the modules with unsafe code
# (mapped files, SIMD, processes and signals) and of the C libraries. Arguments select tests by name.
# Tests that load libtorch are excluded, because libtorch cannot be loaded into an instrumented program.
# RUSTC_BOOTSTRAP makes a stable toolchain accept the nightly option.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}"
# Memory that is kept until exit is not of interest here; `make torture` detects growing memory.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}
cargo test --workspace --exclude histokin-encoder --exclude histokin-training --exclude histokin-archive --lib \
    --no-default-features --features torch --target x86_64-unknown-linux-gnu --target-dir target/sanitize -- "$@"
