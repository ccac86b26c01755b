#!/usr/bin/env python3
"""Cut the second demonstration slide out of the first.

    python3 -m venv .venv-vips && .venv-vips/bin/pip install pyvips pyvips-binary
    .venv-vips/bin/python scripts/make_demo_slide.py

Reads assets/slides/CMU-1-Small-Region.svs and writes CMU-1-Small-Region-rotated-cut.tif to the same folder: a part of
the same tissue, rotated by 90 degrees, as a pyramidal tiled JPEG TIFF whose resolution tags state the same 0.499 µm per
pixel.
"""

import os
import pathlib

import pyvips

MPP = 0.499  # µm per pixel of the original
LEFT, TOP, WIDTH, HEIGHT = 380, 1180, 1500, 1780  # level-0 pixels of the original

slides = pathlib.Path(__file__).resolve().parent.parent / "assets" / "slides"
target = slides / "CMU-1-Small-Region-rotated-cut.tif"
unfinished = target.with_suffix(".part.tif")

original = pyvips.Image.new_from_file(str(slides / "CMU-1-Small-Region.svs"))
cut = original.crop(LEFT, TOP, WIDTH, HEIGHT)
cut = (cut.flatten(background=255) if cut.hasalpha() else cut).rot90()
cut = cut.copy(xres=1000 / MPP, yres=1000 / MPP)  # pixels per millimetre
cut.tiffsave(
    str(unfinished),
    tile=True,
    tile_width=256,
    tile_height=256,
    pyramid=True,
    compression="jpeg",
    Q=85,
    resunit="cm",
    keep="none",
)
os.replace(unfinished, target)
print(f"{target}: {target.stat().st_size} bytes, {cut.width} × {cut.height} px")
