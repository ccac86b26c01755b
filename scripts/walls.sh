#!/usr/bin/env bash
# Checks which dependencies each crate may have. Prints forbidden dependencies and fails if there are any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0

# Lists all runtime dependencies of a crate, one name per line.
dependencies() { cargo tree --package "$1" --edges normal --prefix none --format '{p}' | cut -d ' ' -f 1 | sort -u; }

# forbid CRATE PATTERN…: the crate must not depend on matching names.
forbid() {
    local crate=$1 names pattern found
    shift
    names=$(dependencies "$crate")
    for pattern in "$@"; do
        found=$(grep -E "^($pattern)$" <<<"$names" | paste -sd ' ') || continue
        echo "$crate: must not depend on $found" >&2
        failed=1
    done
}

screen='egui.*|eframe|wgpu.*|rfd|winit'
torch='tch|torch-sys'
database='postgres.*|tokio-postgres.*|pgvector'
forbid histokin-core "$screen" "$torch" "$database" 'clap.*'
for crate in encoder project evaluation training session; do
    forbid "histokin-$crate" "$screen" "$database" 'clap.*'
done
forbid histokin-archive "$screen" 'clap.*'

# Only these crates may use libtorch.
users=$(cargo tree --workspace --edges normal --invert tch --depth 1 --prefix none --format '{p}' | cut -d ' ' -f 1 |
    grep -v '^tch$' | sort -u | paste -sd ' ')
if [ "$users" != 'histokin-encoder histokin-training' ]; then
    echo "tch is used by: $users; only histokin-encoder and histokin-training may use it" >&2
    failed=1
fi

# Without the feature `torch`, nothing is linked to libtorch.
without_torch=$(cargo tree --workspace --no-default-features --features gui,archive,ort --edges normal,build --prefix none \
    --format '{p}')
if grep -qE "^($torch) " <<<"$without_torch"; then
    echo "tch is used without the feature torch" >&2
    failed=1
fi
[ "$failed" -eq 0 ] && echo "walls: no forbidden dependencies"
exit "$failed"
