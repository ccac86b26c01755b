#!/usr/bin/env bash
# Checks that all crates and their unit tests compile for Windows, without building them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/windows/toolchain.sh
source scripts/windows/env.sh
windows_cargo check --workspace --exclude histokin-training --no-default-features --features gui,archive,ort,windows-launcher
