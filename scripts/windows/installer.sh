#!/usr/bin/env bash
# Makes an installer (NSIS) of the program's folder for Windows: installer.sh FOLDER. It lies beside the folder.
set -euo pipefail
folder=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
output=$folder-setup.exe
makensis -V2 -INPUTCHARSET UTF8 "-DVERSION=$version" "-DFOLDER=$folder" "-DOUTPUT=$output" packaging/windows/histokin.nsi
echo "$output: $(du -m "$output" | cut -f1) MiB"
