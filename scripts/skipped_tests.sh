#!/usr/bin/env bash
# Tests that skipped in the last run of `make test`, and why: tests/it/support/mod.rs notes them.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
notes=target/skipped-tests.txt
[ -s "$notes" ] || { echo "no test was skipped"; exit 0; }
sort -u "$notes"
echo "$(sort -u "$notes" | wc -l) tests were skipped or shortened, for the reasons above"
