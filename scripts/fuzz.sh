#!/usr/bin/env bash
# Fuzz every target for SECONDS_EACH seconds (60 unless told) and say how many inputs were tried; targets may be named.
# SANITIZER=address watches memory as well, with a nightly toolchain or RUSTC_BOOTSTRAP=1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${SECONDS_EACH:-60}
sanitizer=${SANITIZER:-none}
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing; get it by: cargo install cargo-fuzz" >&2
    exit 1
fi
[ "$sanitizer" = none ] || export RUSTC_BOOTSTRAP=1
# Good files to begin from, made anew each time; nothing that fuzzing finds is kept but its findings.
scripts/fuzz_seeds.py fuzz/corpus
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
cargo fuzz build --sanitizer "$sanitizer"
total=0
failed=0
for target in "${targets[@]}"; do
    log=$(mktemp)
    if cargo fuzz run --sanitizer "$sanitizer" "$target" -- -max_total_time="$seconds" -rss_limit_mb=3000 \
        -max_len=65536 -timeout=20 -print_final_stats=1 >"$log" 2>&1; then
        executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        total=$((total + executions))
        echo "$target: $executions inputs, no finding"
    else
        failed=$((failed + 1))
        echo "$target: a finding"
        grep -E "panicked|ERROR|SUMMARY|Test unit written|artifact" -A2 "$log" | head -20
    fi
    rm -f "$log"
done
echo "fuzzing: $total inputs tried, $failed targets with findings"
[ "$failed" -eq 0 ]
