#!/usr/bin/env bash
# Unpacks the package into an empty root with only the C and C++ libraries, and embeds and searches there without network
# and display. With ROOT_OF=debootstrap, a minimal Debian 12 is used instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
archive=$(ls -t target/dist/histokin-*.tar.gz 2>/dev/null | head -1 || true)
if [ -z "$archive" ]; then
    echo "there is no package; make one with: make dist" >&2
    exit 1
fi
if ! unshare -rmpnf true 2>/dev/null; then
    echo "skipped: this machine does not permit the namespaces in which the package is tested"
    exit 0
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
if [ "${ROOT_OF:-pieces}" = debootstrap ]; then
    debootstrap --variant=minbase bookworm "$root" >/dev/null
else
    mkdir -p "$root/lib64" "$root/lib/x86_64-linux-gnu" "$root/bin" "$root/etc"
    cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
    for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libgcc_s.so.1 libstdc++.so.6; do
        cp -L "/lib/x86_64-linux-gnu/$library" "$root/lib/x86_64-linux-gnu/" 2>/dev/null ||
            cp -L "/usr/lib/x86_64-linux-gnu/$library" "$root/lib/x86_64-linux-gnu/"
    done
fi
mkdir -p "$root"/{proc,dev,tmp,opt,home,slides}
tar -xzf "$archive" -C "$root/opt" --no-same-owner
mv "$root"/opt/histokin-* "$root/opt/histokin"
cp assets/slides/*.svs assets/slides/*.tif "$root/slides/"
touch "$root/dev/null" "$root/dev/urandom"

# Separate namespaces for network (n), processes (p) and mounts (m).
inside() {
    # shellcheck disable=SC2016
    unshare -rmpnf sh -c '
        root=$1; shift
        chroot=$(PATH=$PATH:/usr/sbin:/sbin; command -v chroot)
        mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
        mount --bind /dev/null "$root/dev/null"
        mount --bind /dev/urandom "$root/dev/urandom"
        exec env -i HOME=/home PATH=/bin LC_ALL=C.UTF-8 "$chroot" "$root" "$@"
    ' sh "$root" "$@"
}

histokin=/opt/histokin/histokin
inside "$histokin" --version
inside "$histokin" info /slides/CMU-1-Small-Region.svs --deidentified
inside "$histokin" embed /home/project /slides --json >"$root/embedded.json"
inside "$histokin" query /home/project --slide CMU-1-Small-Region --at 1000,1500 -k 5 --scope others --json >"$root/answer.json"
python3 - "$root/answer.json" <<'PYTHON'
import json
import sys

answer = json.load(open(sys.argv[1]))
matches = answer["matches"]
assert answer["exact"] and len(matches) == 5, answer
assert all(match["distance"] > 0 for match in matches), answer
print(f"5 of {answer['searched']} tiles found, the nearest at {matches[0]['distance']:.4f}")
PYTHON
# Without a display, the window must fail with a message about it.
if message=$(inside "$histokin" /slides 2>&1); then
    echo "a window opened without a display" >&2
    exit 1
fi
case $message in
    *DISPLAY*) ;;
    *) echo "$message" >&2; exit 1 ;;
esac
for needed in histokin.txt crates.txt openslide libtorch weights; do
    test -e "$root/opt/histokin/licences/$needed"
done
if grep -rlF --binary-files=text "$PWD/" "$root/opt/histokin/lib/libhistokin_torch.so" >/dev/null; then
    echo "note: libhistokin_torch.so still contains the path of the build folder"
fi
echo "the package works in an empty root"
