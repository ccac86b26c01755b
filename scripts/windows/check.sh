#!/usr/bin/env bash
# Checks that the program and its libraries compile for Windows, without building them.
#
#   scripts/windows/check.sh             installs what it needs, then checks
#   scripts/windows/check.sh --prepare   only installs and downloads what it needs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/windows/toolchain.sh
source scripts/windows/env.sh
windows_cargo fetch --locked
[[ ${1:-} == --prepare ]] ||
  windows_cargo check --package histokin --bins --no-default-features --features gui,archive,ort,windows-launcher
