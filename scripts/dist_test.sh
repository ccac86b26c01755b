#!/usr/bin/env bash
# Tries the newest archive and Debian package of each kind in an empty root with only the C and C++ libraries: embeds and
# searches there without network and display. With ROOT_OF=debootstrap, a minimal Debian 12 is used instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints the newest file of a pattern, if there is one.
newest() { { ls -t "$@" 2>/dev/null || true; } | head -1; }

# Makes the root in $1.
make_root() {
    if [ "${ROOT_OF:-pieces}" = debootstrap ]; then
        debootstrap --variant=minbase bookworm "$1" >/dev/null
    else
        mkdir -p "$1/lib64" "$1/lib/x86_64-linux-gnu" "$1/bin" "$1/etc" "$1/var/lib/dpkg"/{info,updates}
        touch "$1/var/lib/dpkg/status"
        cp -L /lib64/ld-linux-x86-64.so.2 "$1/lib64/"
        for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libgcc_s.so.1 libstdc++.so.6; do
            cp -L "/lib/x86_64-linux-gnu/$library" "$1/lib/x86_64-linux-gnu/" 2>/dev/null ||
                cp -L "/usr/lib/x86_64-linux-gnu/$library" "$1/lib/x86_64-linux-gnu/"
        done
    fi
    mkdir -p "$1"/{proc,dev,tmp,opt,home,slides}
    cp assets/slides/*.svs assets/slides/*.tif "$1/slides/"
    touch "$1/dev/null" "$1/dev/urandom"
}

# Runs a command in the root $1, in separate namespaces for network (n), processes (p) and mounts (m).
inside() {
    # shellcheck disable=SC2016
    unshare -rmpnf sh -c '
        root=$1; shift
        chroot=$(PATH=$PATH:/usr/sbin:/sbin; command -v chroot)
        mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
        mount --bind /dev/null "$root/dev/null"
        mount --bind /dev/urandom "$root/dev/urandom"
        exec env -i HOME=/home PATH=/bin:/usr/bin LC_ALL=C.UTF-8 "$chroot" "$root" "$@"
    ' sh "$@"
}

# Runs dpkg on the root $1. What the package needs was put there without dpkg.
package_manager() {
    local root=$1; shift
    if ! unshare -r env PATH="$PATH:/usr/sbin:/sbin" dpkg --root="$root" --force-depends --force-not-root "$@" \
        >/dev/null 2>"$work/dpkg"; then
        cat "$work/dpkg" >&2
        exit 1
    fi
}

# Checks the answers of an embedding and a search: the engine, and the matches.
check() {
    python3 - "$@" <<'PYTHON'
import json
import sys

embedded, answer, device = json.load(open(sys.argv[1])), json.load(open(sys.argv[2])), sys.argv[3]
assert embedded["device"] == device, embedded["device"]
matches = answer["matches"]
assert answer["exact"] and len(matches) == 5, answer
assert all(match["distance"] > 0 for match in matches), answer
print(f"  on {device}: 5 of {answer['searched']} tiles found, the nearest at {matches[0]['distance']:.4f}")
PYTHON
}

# Checks that every link and image of the documents in the folder $1 leads to a file there.
check_links() {
    python3 - "$1" <<'PYTHON'
import re
import sys
from pathlib import Path

documents = list(Path(sys.argv[1]).rglob("*.md"))
assert documents, "the package has no documents"
for document in documents:
    for target in re.findall(r"\]\(([^()\s#]+)[^()\s]*\)", document.read_text(encoding="utf-8")):
        assert "://" in target or (document.parent / target).exists(), f"{document}: {target} is not in the package"
PYTHON
}

# Tries the program $3, whose files lie in the folder $4, in the root $1; $2 is the package's name.
try_out() {
    local root=$1 name=$2 program=$3 folder=$4 engine device message needed
    inside "$root" "$program" --version
    inside "$root" "$program" info /slides/CMU-1-Small-Region.svs --deidentified >/dev/null
    local engines=(automatic)
    [ "$name" = histokin ] && engines+=(torch)
    for engine in "${engines[@]}"; do
        device="CPU (ONNX Runtime)"
        [ "$engine" = torch ] && device=CPU
        inside "$root" "$program" embed "/home/$engine" /slides --json --engine "$engine" >"$work/embedded.json"
        inside "$root" "$program" query "/home/$engine" --slide CMU-1-Small-Region --at 1000,1500 -k 5 --scope others --json \
            >"$work/answer.json"
        check "$work/embedded.json" "$work/answer.json" "$device"
    done
    # Without a display, the window must fail with a message about it.
    if message=$(inside "$root" "$program" /slides 2>&1); then
        echo "a window opened without a display" >&2
        exit 1
    fi
    case $message in
        *DISPLAY*) ;;
        *) echo "$message" >&2; exit 1 ;;
    esac
    check_links "$root$folder"
    for needed in histokin.txt crates.txt openslide onnxruntime weights; do
        test -e "$root$folder/licences/$needed"
    done
    if [ "$name" = histokin ]; then
        test -e "$root$folder/licences/libtorch"
        if grep -qF --binary-files=text "$PWD/" "$root$folder/lib/libhistokin_torch.so"; then
            echo "note: libhistokin_torch.so still contains the path of the build folder"
        fi
    fi
}

if ! unshare -rmpnf true 2>/dev/null; then
    echo "skipped: this machine does not permit the namespaces in which packages are tested"
    exit 0
fi
tried=0
for name in histokin histokin-viewer; do
    archive=$(newest target/dist/"$name"-[0-9]*.tar.gz)
    if [ -n "$archive" ]; then
        echo "$archive"
        make_root "$work/archive"
        tar -xzf "$archive" -C "$work/archive/opt" --no-same-owner
        mv "$work"/archive/opt/histokin-* "$work/archive/opt/histokin"
        try_out "$work/archive" "$name" /opt/histokin/histokin /opt/histokin
        rm -rf "$work/archive"
        tried=$((tried + 1))
    fi
    package=$(newest target/dist/"$name"_*.deb)
    if [ -n "$package" ]; then
        echo "$package"
        make_root "$work/package"
        package_manager "$work/package" --install "$package"
        for file in bin/histokin share/applications/histokin.desktop share/mime/packages/histokin.xml \
            share/icons/hicolor/scalable/apps/histokin.svg "share/doc/$name/copyright"; do
            test -e "$work/package/usr/$file" || { echo "/usr/$file is missing" >&2; exit 1; }
        done
        try_out "$work/package" "$name" /usr/bin/histokin /usr/lib/histokin
        package_manager "$work/package" --purge "$name"
        left=$(find "$work/package" -path '*/usr/*' -iname '*histokin*')
        [ -z "$left" ] || { echo "left after removal: $left" >&2; exit 1; }
        rm -rf "$work/package"
        tried=$((tried + 1))
    fi
done
if [ "$tried" = 0 ]; then
    echo "there is no package; make one with: make dist" >&2
    exit 1
fi
echo "$tried packages work in an empty root"
