# Sourced: makes `windows_cargo COMMAND …` run cargo for Windows with what scripts/windows/toolchain.sh installed.
windows_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
windows_place=$windows_root/third_party/windows
windows_target=x86_64-pc-windows-gnu
# Cargo's folder of what it builds for Windows; apart from that of other builds, whose compiler is another one.
windows_built=${WINDOWS_TARGET_DIR:-$windows_root/target/windows/build}

windows_cargo() (
  cd "$windows_root"
  export PATH=$windows_place/bin:$PATH CARGO_TARGET_DIR=$windows_built
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
  export CC_x86_64_pc_windows_gnu=x86_64-w64-mingw32-gcc CXX_x86_64_pc_windows_gnu=x86_64-w64-mingw32-g++
  export AR_x86_64_pc_windows_gnu=x86_64-w64-mingw32-ar RC_x86_64_pc_windows_gnu=x86_64-w64-mingw32-windres
  export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_PATH=$windows_place/openslide/lib/pkgconfig
  export LIBCLANG_PATH=${LIBCLANG_PATH:-$windows_root/third_party/libclang}
  local command=$1 std=()
  shift
  if [[ -d $windows_place/rust ]]; then
    # The standard library is built with the program, which cargo allows unstable compilers only.
    export RUSTC=$windows_place/rust/usr/bin/rustc RUSTC_BOOTSTRAP=1
    export LD_LIBRARY_PATH=$windows_place/rust/usr/lib/x86_64-linux-gnu
    std=(-Zbuild-std=std,panic_unwind)
  fi
  cargo "$command" "${std[@]}" --target "$windows_target" "$@"
)
