#!/usr/bin/env bash
# Which crates may stand on what, where Cargo alone would let them stand on more. Says what is let in, and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0

# All that a crate of ours needs when it runs, a name a line.
below() { cargo tree --package "$1" --edges normal --prefix none --format '{p}' | cut -d ' ' -f 1 | sort -u; }

# forbid CRATE PATTERN…: none of the names that match is below it.
forbid() {
    local crate=$1 names pattern found
    shift
    names=$(below "$crate")
    for pattern in "$@"; do
        found=$(grep -E "^($pattern)$" <<<"$names" | paste -sd ' ') || continue
        echo "$crate: must not need $found" >&2
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

# Who names libtorch: nobody but these.
users=$(cargo tree --workspace --edges normal --invert tch --depth 1 --prefix none --format '{p}' | cut -d ' ' -f 1 |
    grep -v '^tch$' | sort -u | paste -sd ' ')
if [ "$users" != 'histokin-encoder histokin-training' ]; then
    echo "tch is used by: $users; it belongs to histokin-encoder and histokin-training" >&2
    failed=1
fi
[ "$failed" -eq 0 ] && echo "walls: all stand"
exit "$failed"
