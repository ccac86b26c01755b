#!/usr/bin/env python3
"""Make a folder of the program for Windows in target/windows/: dist.py BUILT FEATURES.

BUILT is cargo's folder of the built programs, FEATURES the features that they were built with.
"""

import shutil
import subprocess
import sys
from pathlib import Path

# Before this folder, in which this file has the same name.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import dist

WHEELS = ("windows/openslide", "windows/onnxruntime")
# Libraries of the compiler for Windows that C++ code in a program may need; whichever it needs are copied.
COMPILER = *sorted(Path("/usr/lib/gcc/x86_64-w64-mingw32").glob("*-posix")), Path("/usr/x86_64-w64-mingw32/lib")


def imported(file):
    """Return the names of the DLLs that a program or DLL loads at its start."""
    command = ["x86_64-w64-mingw32-objdump", "--private-headers", file]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line.split(":")[1].strip() for line in text.splitlines() if line.strip().startswith("DLL Name:")}


def copy_compiler_libraries(folder):
    """Copy the compiler's libraries that the programs in `folder` need and that are not there."""
    waiting = list(folder.glob("*.exe"))
    while waiting:
        for name in imported(waiting.pop()):
            found = next((place / name for place in COMPILER if (place / name).is_file()), None)
            if found and not (folder / name).exists():
                shutil.copy(found, folder)
                waiting.append(folder / name)


def main():
    built, features = Path(sys.argv[1]), sys.argv[2]
    folder = dist.ROOT / "target/windows" / f"histokin-{dist.version()}-x86_64-windows"
    # Earlier versions, too: the installer and the test find the folder and the installer by their names' endings.
    for earlier in folder.parent.glob("histokin-*-x86_64-windows"):
        shutil.rmtree(earlier)
    for earlier in folder.parent.glob("histokin-*-x86_64-windows-setup.exe"):
        earlier.unlink()
    folder.mkdir(parents=True)
    for program in ("histokin.exe", "histokin-window.exe"):
        if (built / program).exists():
            shutil.copy(built / program, folder)
            subprocess.run(["x86_64-w64-mingw32-strip", "--strip-debug", folder / program], check=True)
    for wheel in WHEELS:
        for library in (dist.ROOT / "third_party" / wheel / "bin").glob("*.dll"):
            shutil.copy(library, folder)
    copy_compiler_libraries(folder)
    dist.gather_files(folder)
    arguments = ("--no-default-features", "--features", features)
    dist.gather_licences(folder / "licences", WHEELS, "x86_64-pc-windows-gnu", arguments)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder.relative_to(dist.ROOT)}: {size / 2**20:.0f} MiB")


main()
