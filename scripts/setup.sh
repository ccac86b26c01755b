#!/usr/bin/env bash
# Installs everything that a fresh Debian 12 or Ubuntu machine needs to build and run histokin.
#
#   scripts/setup.sh            system packages, OpenSlide, libclang, libtorch, ONNX Runtime, ImageNet weights,
#                               PostgreSQL for tests
#   CUDA=1 scripts/setup.sh     use the CUDA build of libtorch on any machine
#   CUDA=0 scripts/setup.sh     use the CPU build, even with an NVIDIA driver
#
# Each step is skipped if it is already done, so that a second run takes well under a second.
# Writes only to third_party/ and models/weights/, apart from system packages (as root or through sudo).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ $(uname -sm) == "Linux x86_64" ]] || {
  echo "set-up supports Linux on x86-64; this is $(uname -sm)." >&2
  echo "For macOS and Windows there are scripts/macos/package.py and scripts/windows/msvc.py, which were never run." >&2
  exit 1
}

system_packages() {
  local wanted=(
    g++ make cmake nasm pkg-config python3 python3-pip          # build; nasm: libjpeg-turbo's SIMD code
    libvulkan1 mesa-vulkan-drivers libegl1 libgl1-mesa-dri      # drawing
    libxkbcommon0 libxkbcommon-x11-0 libx11-6 libx11-xcb1 libxcursor1 libxi6 libxcb-xkb1 libwayland-client0
    xvfb xauth                                                  # tests of the window
  )
  # Only for Debian and its derivatives; elsewhere the compiler and the loader report what is missing.
  command -v dpkg-query >/dev/null || return 0
  local missing=() installed
  installed=" $(dpkg-query -W -f='${db:Status-Abbrev}:${Package} ' "${wanted[@]}" 2>/dev/null || true)"
  for package in "${wanted[@]}"; do
    [[ $installed == *"ii :$package "* ]] || missing+=("$package")
  done
  # A python3 with pip from another source is sufficient.
  if python3 -m pip --version >/dev/null 2>&1; then
    missing=($(printf '%s\n' "${missing[@]}" | grep -vx -e python3 -e python3-pip || true))
  fi
  [[ ${#missing[@]} -eq 0 ]] && return 0
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo)
    elif command -v sudo >/dev/null && [[ -t 0 ]]; then
      as_root=(sudo)
    else
      echo "missing system packages: ${missing[*]}" >&2
      echo "install them with:  apt-get install ${missing[*]}" >&2
      exit 1
    fi
  fi
  echo "installing system packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

rust_toolchain() {
  command -v cargo >/dev/null && return 0
  [[ -x $HOME/.cargo/bin/cargo ]] && return 0
  echo "Rust is missing: install it with rustup (https://rustup.rs), then run this again." >&2
  exit 1
}

# Downloads the wheels of one component, checks their pinned hashes, and unpacks them into third_party/<folder> with the
# component's own script or scripts/unpack_wheels.py. The folder appears only when it is complete.
component() (
  local name=$1 folder=third_party/$2 pins=scripts/wheels/$1.txt unpack=scripts/unpack_$1.py
  [[ -f $unpack ]] || unpack=scripts/unpack_wheels.py
  local stamp; stamp="$name $(cksum < "$pins") $(cksum < "$unpack")"
  [[ -f $folder/.complete && $(<"$folder/.complete") == "$stamp" ]] && return 0
  echo "fetching $name ..."
  mkdir -p third_party
  local tmp; tmp=$(mktemp -d third_party/.unpack.XXXXXX)
  trap 'rm -rf "$tmp"' EXIT
  # A fixed platform, independent of the Python that runs pip: only the libraries inside the wheels are used.
  local target=(--only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none --platform any)
  local v; for v in $(seq 28 -1 5); do target+=(--platform "manylinux_2_${v}_x86_64"); done
  target+=(--platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64)
  python3 -m pip --disable-pip-version-check download --quiet --no-cache-dir --no-deps \
    "${target[@]}" --require-hashes -r "$pins" -d "$tmp/wheels"
  python3 "$unpack" "$name" "$tmp/wheels" "$tmp/out"
  echo "$stamp" > "$tmp/out/.complete"
  rm -rf "$folder"
  mv "$tmp/out" "$folder"
  echo "$name is in $folder ($(du -sh "$folder" | cut -f1))"
)

system_packages
rust_toolchain
component openslide openslide
component libclang libclang
component weights ../models/weights
component postgres postgres # a server for the archive's tests
component onnxruntime onnxruntime
flavour=cpu
if [[ ${CUDA:-auto} == 1 || ( ${CUDA:-auto} == auto && -e /proc/driver/nvidia/version ) ]]; then flavour=cuda; fi
component "libtorch-$flavour" libtorch
