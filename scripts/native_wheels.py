"""Libraries for Windows and macOS from wheels with pinned hashes, into the folders that the build expects.

Used by scripts/windows/msvc.py and scripts/macos/package.py; scripts/setup.sh does the same on Linux. It uses only the
standard library.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THIRD_PARTY = ROOT / "third_party"


def download(pins, platforms, wheels):
    """Download the wheels that a file lists into a folder, for any of the platforms."""
    named = [argument for platform in (*platforms, "any") for argument in ("--platform", platform)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
                    "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311",
                    "--abi", "abi3", "--abi", "none", *named, "--require-hashes", "-r", pins, "-d", wheels], check=True)


def unpack(component, wheels, out):
    own = ROOT / f"scripts/unpack_{component}.py"
    script = own if own.is_file() else ROOT / "scripts/unpack_wheels.py"
    subprocess.run([sys.executable, script, component, wheels, out], check=True)


def libtorch(wheels, out, is_library):
    """Unpack libtorch's headers, and those files of its library folder of which `is_library` is true."""
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                parts = name.split("/")
                is_header = name.startswith("torch/include/") and not name.endswith("/")
                if is_header or name.startswith("torch/lib/") and len(parts) == 3 and is_library(parts[-1]):
                    target = out / "/".join(parts[1:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
                elif ".dist-info/" in name and parts[-1].upper().startswith(("LICENSE", "NOTICE")):
                    (out / "licenses").mkdir(parents=True, exist_ok=True)
                    (out / "licenses" / "-".join(parts[1:])).write_bytes(archive.read(name))
    (out / "build-version").write_text("2.13.0\n")  # read by torch-sys


def set_up(components, platforms):
    """Bring each component there that is not: (folder, list of wheels, function of the wheels' and the new folder)."""
    for folder, pins, unpacked_by in components:
        pins = ROOT / "scripts/wheels" / pins
        stamp = pins.read_text()
        if (folder / ".complete").is_file() and (folder / ".complete").read_text() == stamp:
            continue
        print(f"fetching {folder.name} ...", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            wheels, out = Path(temporary) / "wheels", Path(temporary) / "out"
            download(pins, platforms, wheels)
            unpacked_by(wheels, out)
            (out / ".complete").write_text(stamp)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.move(out, folder)
