#!/usr/bin/env bash
# Tests the program with thousands of broken files and prints the results at the end.
# The variables below set the numbers of files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HISTOKIN_BROKEN_SLIDES=${HISTOKIN_BROKEN_SLIDES:-300}
export HISTOKIN_BROKEN_FILES=${HISTOKIN_BROKEN_FILES:-2000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --test it -- --include-ignored --nocapture --test-threads=1 broken_slides:: broken_files:: 2>&1 | tee "$log" |
    grep -E "^(test |broken |@|thread |assertion)" || true
grep -E "^(broken )" "$log"
grep -q "^test result: ok" "$log"
