#!/usr/bin/env python3
"""Make the icons of the window, of Windows and of macOS from packaging/histokin.svg. Needs rsvg-convert (librsvg2-bin)."""

import struct
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WINDOW = 256
WINDOWS = (16, 24, 32, 48, 64, 256)
# Apple's names of pictures by their sides in pixels; those for displays with two pixels per point are named apart.
MACOS = (("ic11", 32), ("ic12", 64), ("ic07", 128), ("ic13", 256), ("ic08", 256), ("ic14", 512), ("ic09", 512), ("ic10", 1024))


def drawn(size):
    command = ["rsvg-convert", "--width", str(size), "--height", str(size), ROOT / "packaging/histokin.svg"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def windows():
    pictures = [drawn(size) for size in WINDOWS]
    head, at = struct.pack("<3H", 0, 1, len(WINDOWS)), 6 + 16 * len(WINDOWS)
    for size, picture in zip(WINDOWS, pictures):
        # A side of 256 is written as 0.
        head += struct.pack("<4B2H2I", size % 256, size % 256, 0, 0, 1, 32, len(picture), at)
        at += len(picture)
    return head + b"".join(pictures)


def macos():
    pictures = [(name.encode(), drawn(size)) for name, size in MACOS]
    parts = b"".join(name + struct.pack(">I", 8 + len(picture)) + picture for name, picture in pictures)
    return b"icns" + struct.pack(">I", 8 + len(parts)) + parts


def main():
    (ROOT / "assets/icon.png").write_bytes(drawn(WINDOW))
    (ROOT / "packaging/windows/histokin.ico").write_bytes(windows())
    (ROOT / "packaging/macos/histokin.icns").write_bytes(macos())


main()
