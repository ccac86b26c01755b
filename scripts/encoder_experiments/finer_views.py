"""Make the views of archive_views.py at 1 µm/px, from the same places: tiles of 224 px.

    finer_views.py LIST.csv MIRRORS FIELDS OUT WEIGHTS.safetensors [--fields 12] [--varied 3] [--halves]

FIELDS is made by archive_fields.py; its sections are read again from MIRRORS. OUT gets what archive_views.py writes, but
maps of 14 × 14. judge.py and train.py take them as they are. With `--halves` it also gets two magnifications of each view in
112 px, [fields, 2, 1 + varied, 7, 7, 96]: `centre`, its middle 112 µm at 1 µm/px, and `coarse`, all of it at 2 µm/px. Run
again to continue.
"""

import csv
import math
import zlib

import numpy as np
from PIL import Image

import backbone
from archive_fields import EDGE, MPP, Level, Mirror
from archive_views import arguments, chosen_places, keep, plain, varied

FINER = 2  # pixels of a finer tile per pixel of a tile
SIZE = 224


def finer(level, scale, corner):
    """Return the field at a corner in px of 2 µm, [720, 720, 3]."""
    x, y = (round(at * FINER * scale) for at in corner)
    edge = round(EDGE * FINER * scale)
    region = Image.fromarray(level.region(x, y, edge, edge))
    level.tiles.clear()
    return np.asarray(region.resize((EDGE * FINER, EDGE * FINER), Image.LANCZOS))


def views(field, place, count, rng):
    x, y = (at * FINER for at in place)
    return [plain(field, x, y, SIZE), *(varied(field, x, y, number, rng, SIZE) for number in range(count))]


def halves(tiles):
    """Return the middle of tiles, [..., 224, 224, 3], and the tiles themselves at half the magnification, both as 112 px."""
    half = SIZE // 2
    coarse = [Image.fromarray(tile).resize((half, half), Image.LANCZOS) for tile in tiles.reshape(-1, SIZE, SIZE, 3)]
    middle = slice(half // 2, half // 2 + half)
    return tiles[..., middle, middle, :], np.array(coarse).reshape(*tiles.shape[:-3], half, half, 3)


def sections(listed, mirrors, fields, out, most):
    """Yield each section of LIST that is at hand and not yet done: its name, the file to write, its random numbers, the corners
    of up to `most` fields with the places in each, and the level and its scale with which fields are read."""
    with listed.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = f"{row['slide']}.npz"
        mirror = mirrors / f"pathologyatlas+{row['repo']}" / "repo"
        if (out / name).exists() or not (fields / name).exists() or not mirror.is_dir():
            continue
        coarse = np.load(fields / name)
        rng = np.random.default_rng(zlib.crc32(row["slide"].encode()))
        # Places are drawn in all fields first, so that the views of a field do not depend on --fields.
        chosen = chosen_places(coarse["img"], len(coarse["img"]), rng)[:most]
        full_mpp = float(row["level_max_mpp"])
        below = max(0, math.floor(math.log2(MPP / FINER / full_mpp) + 1e-6))
        scale = MPP / FINER / (full_mpp * 2**below)
        with Mirror(mirror) as opened:
            level = Level(opened, row["folder"], below)
            corners = [(coarse["xy"][number], places) for number, places in chosen]
            yield row["slide"], out / name, rng, corners, level, scale


def main():
    flags = [("halves", "keep two magnifications of each view in half as many pixels as well")]
    args = arguments(__doc__, ["list", "mirrors", "fields", "out", "weights"], most=12, count=3, flags=flags)
    network = backbone.load(args.weights)
    for _, out, rng, corners, level, scale in sections(args.list, args.mirrors, args.fields, args.out, args.most):
        fields = [(finer(level, scale, corner), places) for corner, places in corners]
        tiles = [[views(field, place, args.count, rng) for place in places] for field, places in fields]
        if tiles:
            kept = {"maps": np.array(tiles)}
            if args.halves:
                kept["centre"], kept["coarse"] = halves(kept["maps"])
            keep(out, network, **kept)


if __name__ == "__main__":
    main()
