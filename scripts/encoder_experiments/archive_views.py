"""Pass views of the archive's fields through the frozen blocks and keep their outputs.

    archive_views.py FIELDS OUT WEIGHTS.safetensors [--fields 48] [--varied 4]

Each field gives two plain tiles of 112 px, mostly less than 0.5 mm apart, and `--varied` varied ones of each: moved by
up to 20 µm, 0.75 to 1.33 times as large, flipped, turned, and with the amounts of haematoxylin, eosin and the rest
scaled by up to 35 % (every second one by up to 60 %). OUT gets one file per section with `maps`,
[fields, places = 2, 1 + varied, 7, 7, 96] 16-bit numbers: the outputs of block 13, the plain view first. Blocks 14 to 16
can then be trained in minutes on a processor, because most of the network has been computed once.
"""

import argparse
import pathlib
import zlib

import numpy as np
from PIL import Image

import backbone

EDGE = 112
# Optical densities of haematoxylin, eosin and the rest (Ruifrok and Johnston 2001).
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)


def restained(tile, rng, scale, shift=0.04):
    """Return a tile with other amounts of each stain."""
    density = -np.log((tile.astype(np.float32) + 1) / 256)
    factors = np.diag(rng.uniform(1 - scale, 1 + scale, 3))
    change = (np.linalg.inv(STAINS) @ factors @ STAINS).astype(np.float32)
    moved = density @ change + (rng.uniform(-shift, shift, 3) @ STAINS).astype(np.float32)
    return np.clip(np.exp(-moved) * 256 - 1, 0, 255).astype(np.uint8)


def drawn(field, x, y, rng, size=EDGE):
    """Draw a varied view of a tile of a field: return its corner, its edge, how often it is turned, and whether flipped."""
    edge, most = int(size * np.exp(rng.uniform(-1, 1) * np.log(4 / 3))), 10 * size // EDGE
    moved = np.array([x, y]) + size // 2 - edge // 2 + rng.integers(-most, most + 1, 2)
    left, top = np.clip(moved, 0, len(field) - edge)
    return left, top, edge, rng.integers(4), rng.random() < 0.5


def turned(pixels, turns, flipped, size=EDGE):
    """Scale a square to a view's size and turn it."""
    tile = np.rot90(np.asarray(Image.fromarray(pixels).resize((size, size), Image.BICUBIC)), turns)
    return tile[::-1] if flipped else tile


def stain_scale(number):
    return 0.6 if number % 2 else 0.35


def varied(field, x, y, number, rng, size=EDGE):
    left, top, edge, turns, flipped = drawn(field, x, y, rng, size)
    tile = turned(field[top : top + edge, left : left + edge], turns, flipped, size)
    return restained(tile, rng, stain_scale(number))


def two_places(field, rng):
    """Return two places at least 120 µm apart with tissue on half of the tile, or fewer where there are none."""
    values = field.astype(np.int16)
    tissue = (values.max(-1) - values.min(-1) > 18) & (values.mean(-1) < 235)
    found = []
    for _ in range(200):
        x, y = rng.integers(8, len(field) - EDGE - 8, 2)
        apart = not found or np.hypot(x - found[0][0], y - found[0][1]) > 60
        if apart and tissue[y : y + EDGE, x : x + EDGE].mean() >= 0.5:
            found.append((x, y))
        if len(found) == 2:
            break
    return found


def chosen_places(fields, most, rng):
    """Return fields with two places each, in random order, as pairs of a field's number and its places."""
    found = [(number, two_places(fields[number], rng)) for number in rng.permutation(len(fields))[:most]]
    return [(number, places) for number, places in found if len(places) == 2]


def plain(field, x, y, size=EDGE):
    return field[y : y + size, x : x + size]


def views(fields, most, count, rng):
    """Return [fields, 2, 1 + count, 112, 112, 3] bytes."""

    def of_place(field, x, y):
        return [plain(field, x, y), *(varied(field, x, y, number, rng) for number in range(count))]

    chosen = chosen_places(fields, most, rng)
    return np.array([[of_place(fields[number], *place) for place in places] for number, places in chosen])


def keep(out, network, **views):
    """Write the outputs of block 13 for views, [fields, 2, views, edge, edge, 3], by their names."""
    kept = {}
    for name, tiles in views.items():
        found = backbone.frozen(network, tiles.reshape(-1, *tiles.shape[3:]), backbone.FIRST)
        kept[name] = found.reshape(*tiles.shape[:3], *found.shape[1:])
    part = out.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **kept)
    part.rename(out)
    print(out.stem, len(tiles), flush=True)


def arguments(description, paths, most, count, flags=()):
    """Return the paths, the numbers of fields and varied views, and the flags, pairs of a name and a help text, of a command
    line; `out` is made."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in paths:
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--fields", dest="most", type=int, default=most, help="fields per section")
    parser.add_argument("--varied", dest="count", type=int, default=count, help="varied views of each place")
    for name, text in flags:
        parser.add_argument(f"--{name}", action="store_true", help=text)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def main():
    args = arguments(__doc__, ["fields", "out", "weights"], most=48, count=4)
    network = backbone.load(args.weights)
    for path in sorted(args.fields.glob("*.npz")):
        out = args.out / path.name
        if out.exists():
            continue
        rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
        tiles = views(np.load(path)["img"], args.most, args.count, rng)
        if len(tiles):
            keep(out, network, maps=tiles)


if __name__ == "__main__":
    main()
