"""Measure how fast other libraries read the same tiles of a slide, one after the other on one thread.

Called by benches/slides.rs with the arguments FILE EDGE; standard input has a line `x y` for each tile. Prints one line of
JSON with tiles per second of processor time for each library that reads the file.
"""

import json
import os
import sys
import time

# tifffile would otherwise decode with several threads.
os.environ["TIFFFILE_NUM_THREADS"] = "1"
import fastslide
import numpy as np
import openslide
import tifffile

file, edge = sys.argv[1], int(sys.argv[2])
tiles = [tuple(map(int, line.split())) for line in sys.stdin]


def openslide_reader():
    slide = openslide.OpenSlide(file)
    return lambda x, y: np.asarray(slide.read_region((x, y), 0, (edge, edge)))


def fastslide_reader():
    slide = fastslide.FastSlide.from_file_path(file)
    return lambda x, y: np.asarray(slide.read_region((x, y), 0, (edge, edge)).numpy())


def tifffile_reader():
    # It reads whole tiles of the file only.
    tiff = tifffile.TiffFile(file)
    page = tiff.pages[0]
    if (page.tilelength, page.tilewidth) != (edge, edge):
        raise ValueError("other tiles")
    columns = -(-page.imagewidth // edge)

    def read(x, y):
        index = y // edge * columns + x // edge
        tiff.filehandle.seek(page.dataoffsets[index])
        data = tiff.filehandle.read(page.databytecounts[index])
        return page.decode(data, index, jpegtables=page.jpegtables)[0]

    return read


results = {}
for name, reader in (("openslide", openslide_reader), ("fastslide", fastslide_reader), ("tifffile", tifffile_reader)):
    try:
        read = reader()
        read(*tiles[0])
        started = time.process_time()
        for x, y in tiles:
            read(x, y)
        results[name] = len(tiles) / (time.process_time() - started)
    except Exception as error:
        print(f"{name}: {error}", file=sys.stderr)
print(json.dumps(results))
