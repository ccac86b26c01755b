#!/usr/bin/env bash
# The unit tests of the core, watched by AddressSanitizer: what the small modules of unsafe code (mapped files, SIMD,
# processes and signals) and the C libraries read and write must be theirs. Tests may be chosen by name.
# Left out are the tests that load libtorch: its library cannot be loaded into a watched program.
# A stable toolchain is told to take the switch that nightly ones have.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}"
# What the program keeps until its end is no leak of this kind; `make torture` looks at what grows.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}
cargo test --workspace --exclude histokin-encoder --exclude histokin-training --exclude histokin-archive --lib \
    --no-default-features --target x86_64-unknown-linux-gnu --target-dir target/sanitize -- "$@"
