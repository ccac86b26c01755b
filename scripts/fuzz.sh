#!/usr/bin/env bash
# Fuzzes every target, or those given as arguments, for SECONDS_EACH seconds (60), and prints the number of inputs.
# Without cargo-fuzz the inputs are valid files with random changes.
# SANITIZER=address also checks memory accesses; it needs a nightly toolchain or RUSTC_BOOTSTRAP=1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${SECONDS_EACH:-60}
sanitizer=${SANITIZER:-none}
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing (cargo install cargo-fuzz): changing files at random instead" >&2
    [ $# -gt 0 ] || set -- ""
    HISTOKIN_FUZZ_SECONDS=$seconds exec cargo test --test it -- "${@/#/mutated_files::}" --nocapture
fi
[ "$sanitizer" = none ] || export RUSTC_BOOTSTRAP=1
# Valid files to start from, created again for each run. Of the results only failing inputs are kept.
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
