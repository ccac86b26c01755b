#!/usr/bin/env bash
# Installs what building for Windows (x86_64-pc-windows-gnu) needs on Debian 12, beside scripts/setup.sh:
#
#   scripts/windows/toolchain.sh          compiler, standard library's source, OpenSlide and ONNX Runtime for Windows
#   scripts/windows/toolchain.sh --wine   also what running the result needs: Wine, and two DLLs that its version lacks
#
# Each step is skipped if it is already done. Writes only to third_party/windows/, apart from system packages (as root
# or through sudo). Where rustup has installed the target's standard library, that one is used, and no other compiler is
# fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly place=third_party/windows target=x86_64-pc-windows-gnu
[[ $(uname -sm) == "Linux x86_64" ]] || { echo "building for Windows supports Linux on x86-64" >&2; exit 1; }
command -v apt-get >/dev/null || {
  echo "building for Windows takes its compilers from Debian packages, and there is no apt-get here" >&2
  exit 1
}
mkdir -p "$place"

# Installs the system packages that are missing.
system_packages() {
  local missing=() package as_root=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -eq 0 ]] && return 0
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || { echo "missing system packages: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  for package in "${missing[@]}"; do
    apt-cache show "$package" >/dev/null 2>&1 || {
      echo "the package $package is not in this system's package sources (Debian 12 has it)" >&2
      exit 1
    }
  done
  echo "installing system packages: ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Runs a step whose result is a folder: $1 names it, $2 what it was made from, and the rest is a command that gets a new
# folder to fill. The folder appears only when it is complete.
folder() {
  local name=$1 stamp=$2
  shift 2
  [[ -f $place/$name/.complete && $(<"$place/$name/.complete") == "$stamp" ]] && return 0
  echo "making $place/$name ..."
  local new; new=$(mktemp -d "$place/.$name.XXXXXX")
  chmod 755 "$new"
  "$@" "$new"
  echo "$stamp" > "$new/.complete"
  rm -rf "${place:?}/$name"
  mv "$new" "$place/$name"
}

# Debian's rustc-web, whose source package holds the standard library: it is built for Windows with the program. It is
# unpacked only, so that the system's own Rust stays as it is.
rust() {
  local out debs library object
  out=$(realpath "$1")
  debs=$(mktemp -d)
  local packages=(rustc-web rust-web-src)
  packages+=($(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances rustc-web 2>/dev/null | grep -E '^(libstd-rust-web|libllvm)' | sort -u))
  (cd "$debs" && apt-get download -qq "${packages[@]}" 2>/dev/null) || {
    echo "not to be had from this system's package sources: ${packages[*]}" >&2
    echo "Debian 12 has them among its security updates; or install the target with: rustup target add $target" >&2
    exit 1
  }
  for package in "$debs"/*.deb; do dpkg -x "$package" "$out"; done
  rm -rf "$debs"
  # The target's start-up objects, which a build of the standard library does not make.
  library=$(readlink -f "$out/usr/lib/rustlib/src/rust/library")
  mkdir -p "$out/usr/lib/rustlib/$target/lib"
  for object in rsbegin rsend; do
    RUSTC_BOOTSTRAP=1 LD_LIBRARY_PATH=$out/usr/lib/x86_64-linux-gnu "$out/usr/bin/rustc" --target "$target" \
      --crate-type lib --emit obj -o "$out/usr/lib/rustlib/$target/lib/$object.o" "$library/rtstartup/$object.rs"
  done
}

# Programs of the GNU compiler for Windows, under names that cargo's crates look for. Cargo lets the libraries of the
# unpacked Rust be found first, which the system's own programs must not use.
wrappers() {
  local out=$1 tool
  for tool in gcc g++ ar dlltool windres ranlib; do
    local real=x86_64-w64-mingw32-$tool
    [[ $tool == g* ]] && real+=-posix
    printf '#!/bin/sh\nunset LD_LIBRARY_PATH\nexec /usr/bin/%s "$@"\n' "$real" > "$out/x86_64-w64-mingw32-$tool"
    chmod 755 "$out/x86_64-w64-mingw32-$tool"
  done
}

# Downloads the wheels of one component for Windows, checks their pinned hashes, and unpacks their DLLs.
wheel() {
  local name=$1 out=$2 wheels
  wheels=$(mktemp -d)
  python3 -m pip --disable-pip-version-check download --quiet --no-cache-dir --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none --platform win_amd64 \
    --require-hashes -r "scripts/wheels/windows/$name.txt" -d "$wheels" || {
    echo "the wheels listed in scripts/wheels/windows/$name.txt are not to be had" >&2
    exit 1
  }
  python3 scripts/unpack_wheels.py windows "$wheels" "$out"
  rm -rf "$wheels"
}

# The DLL with what linking needs: an import library, the header and a pkg-config file.
openslide() {
  local out=$1
  wheel openslide "$out"
  mkdir -p "$out/lib/pkgconfig" "$out/include/openslide"
  gendef - "$out/bin/libopenslide-1.dll" > "$out/lib/openslide.def" 2>/dev/null
  x86_64-w64-mingw32-dlltool --input-def "$out/lib/openslide.def" --dllname libopenslide-1.dll \
    --output-lib "$out/lib/libopenslide.dll.a"
  cp scripts/openslide/openslide.h "$out/include/openslide/"
  cp scripts/openslide/openslide.pc "$out/lib/pkgconfig/"
}

# DLLs that Windows has or brings, and Debian 12's Wine lacks. They are for Wine only.
wine_dlls() {
  local out=$1
  cp /usr/x86_64-w64-mingw32/lib/zlib1.dll "$out/"
  x86_64-w64-mingw32-gcc-posix -shared -O2 -o "$out/bcryptprimitives.dll" scripts/windows/process_prng.c -ladvapi32
}

system_packages g++-mingw-w64-x86-64-posix mingw-w64-tools nsis cmake nasm pkg-config
own=$(rustc --print target-libdir --target "$target" 2>/dev/null || true)
if ! compgen -G "$own/libstd-*.rlib" >/dev/null; then
  folder rust "$(apt-cache policy rustc-web rust-web-src | grep Candidate | paste -sd ' ')" rust
fi
folder bin "$(cksum < "${BASH_SOURCE[0]}")" wrappers
folder openslide "$(cat scripts/wheels/windows/openslide.txt scripts/unpack_wheels.py scripts/openslide/* | cksum)" openslide
folder onnxruntime "$(cat scripts/wheels/windows/onnxruntime.txt scripts/unpack_wheels.py | cksum)" wheel onnxruntime
if [[ ${1:-} == --wine ]]; then
  system_packages wine64 libz-mingw-w64 xvfb imagemagick
  folder wine "$(cksum < scripts/windows/process_prng.c)" wine_dlls
fi
