#!/usr/bin/env bash
# Builds the program for Windows on Debian 12: a folder in target/windows/, and an installer beside it. PROFILE selects
# cargo's profile.
#
# Encoders run through ONNX Runtime there: libtorch for Windows can only be linked by Microsoft's compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/windows/toolchain.sh
source scripts/windows/env.sh
profile=${PROFILE:-release}
features=${FEATURES:-gui,archive,ort,windows-launcher}
windows_cargo build --profile "$profile" --bins --no-default-features --features "$features"
scripts/windows/dist.py "$windows_built/$windows_target/${profile/#dev/debug}" "$features"
scripts/windows/installer.sh target/windows/histokin-*-x86_64-windows
