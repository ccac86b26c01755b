"""Pass views of the archive's fields through the frozen blocks and keep their outputs.

    archive_views.py FIELDS OUT WEIGHTS.safetensors [--first 14]

Each field gives two plain tiles of 112 px, mostly less than 0.5 mm apart, and two varied ones of each: moved by up to
20 µm, 0.8 to 1.2 times as large, flipped, turned, and with the amounts of haematoxylin, eosin and the rest scaled by up
to 35 %. OUT gets one file per section with `maps`, [fields, 6, channels, 7, 7] 16-bit numbers: the outputs of the block
before `--first`. Blocks from `--first` on can then be trained in minutes on a processor, because most of the network
has been computed once.
"""

import argparse
import pathlib
import zlib

import numpy as np
import torch

import backbone

MOST, EDGE = 24, 112
# Optical densities of haematoxylin, eosin and the rest (Ruifrok and Johnston 2001).
STAINS = torch.nn.functional.normalize(torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]]))


def restained(tiles, rng, scale=0.35, shift=0.04):
    """Return tiles, [N, height, width, 3] bytes, with other amounts of each stain."""
    density = -torch.log((tiles.float() + 1) / 256).flatten(1, 2)
    factors = torch.as_tensor(rng.uniform(1 - scale, 1 + scale, (len(tiles), 3))).float()
    shifts = torch.as_tensor(rng.uniform(-shift, shift, (len(tiles), 1, 3))).float()
    change = torch.linalg.inv(STAINS) @ torch.diag_embed(factors) @ STAINS
    return (torch.exp(-(density @ change + shifts @ STAINS)) * 255).clamp(0, 255).reshape(tiles.shape)


def crop(field, x, y, edge):
    """Return a square of a field as a tile, [112, 112, 3]."""
    part = torch.as_tensor(field[y : y + edge, x : x + edge]).permute(2, 0, 1)[None].float()
    part = torch.nn.functional.interpolate(part, size=EDGE, mode="bilinear", antialias=edge > EDGE)
    return part[0].permute(1, 2, 0)


def varied(field, x, y, rng):
    edge = int(rng.uniform(0.8, 1.2) * EDGE)
    moved = np.array([x, y]) + EDGE // 2 - edge // 2 + rng.integers(-10, 11, 2)
    tile = crop(field, *np.clip(moved, 0, len(field) - edge), edge)
    for axis in (0, 1):
        tile = tile.flip(axis) if rng.random() < 0.5 else tile
    return tile.transpose(0, 1) if rng.random() < 0.5 else tile


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("--first", type=int, default=14)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    features = backbone.load(args.weights)
    for path in sorted(args.fields.glob("*.npz")):
        out = args.out / path.name
        if out.exists():
            continue
        rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
        fields = np.load(path)["img"]
        plain, others = [], []
        for field in fields[rng.permutation(len(fields))[:MOST]]:
            places = two_places(field, rng)
            if len(places) == 2:
                plain.append([crop(field, x, y, EDGE) for x, y in places])
                others.append([varied(field, x, y, rng) for x, y in places for _ in range(2)])
        if not plain:
            continue
        maps = []
        for one, two in zip(plain, others):
            tiles = torch.cat([torch.stack(one), restained(torch.stack(two), rng)])
            maps.append(backbone.frozen(features, tiles, args.first).half().numpy())
        part = out.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, maps=np.stack(maps))
        part.rename(out)
        print(path.stem, len(maps), flush=True)


if __name__ == "__main__":
    main()
