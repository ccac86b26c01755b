#!/usr/bin/env python3
"""Make packaging/windows/histokin.ico from packaging/histokin.svg. Needs rsvg-convert (librsvg2-bin)."""

import struct
import subprocess
from pathlib import Path

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
SIZES = (16, 24, 32, 48, 64, 256)


def drawn(size):
    command = ["rsvg-convert", "--width", str(size), "--height", str(size), PACKAGING / "histokin.svg"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def main():
    pictures = [drawn(size) for size in SIZES]
    head, at = struct.pack("<3H", 0, 1, len(SIZES)), 6 + 16 * len(SIZES)
    for size, picture in zip(SIZES, pictures):
        # A side of 256 is written as 0.
        head += struct.pack("<4B2H2I", size % 256, size % 256, 0, 0, 1, 32, len(picture), at)
        at += len(picture)
    (PACKAGING / "windows/histokin.ico").write_bytes(head + b"".join(pictures))


main()
