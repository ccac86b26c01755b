"""Features of tiles and of their neighbours on the program's grid, for judge_neighbours.py.

    neighbours.py views LIST.csv MIRRORS FIELDS OUT WEIGHTS.safetensors
    neighbours.py archive LIST.csv MIRRORS FIELDS LABELS.csv OUT.npz WEIGHTS.safetensors
    neighbours.py tiles OUT.npz WEIGHTS.safetensors SLIDES.csv LABELS.csv [SLIDES.csv LABELS.csv ...]

Each writes MobileNetV2's features of a tile and of the eight tiles around it, [..., 9, 256], the tile itself first, then those
that share an edge with it; and, [..., 9], which of them are at least half tissue. Features of the others are 0. `views` takes
the places of finer_views.py, at 1 µm/px, and draws the same views; a varied view's neighbours are moved, scaled, turned and
stained like it. `archive` takes the labelled places of held-out sections, FIELDS being theirs; `tiles` the tiles of
judged_tiles.py, at 2 µm/px.
"""

import argparse
import copy
import csv
import pathlib

import numpy as np
import pyvips

import judged_tiles
import networks
from archive_views import drawn, restained, stain_scale, turned
from context import TISSUE, squares
from finer_views import FINER, SIZE, sections

MARGIN = 320  # px of 1 µm around a field: a varied view may be 298 px wide, and its neighbours lie around it
PLACES = [(0, 0), (0, -1), (-1, 0), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)]  # columns and rows, the tile first


def nine(tile, around, left, top, edge):
    """Return a tile and its eight neighbours; left and top are the tile's in `around`."""
    corners = [(left + column * edge, top + row * edge) for column, row in PLACES[1:]]
    return [tile, *(around[y : y + edge, x : x + edge] for x, y in corners)]


def tissue_of(tiles):
    """Return which tiles are at least half tissue; the first always counts."""
    return np.array([True, *(judged_tiles.share_of_tissue(tile) >= 0.5 for tile in tiles[1:])])


def features_of(network, tiles, is_tissue):
    """Return the features of tiles, [N, edge, edge, 3], and zeros where there is no tissue."""
    found = network(np.array([tile for tile, some in zip(tiles, is_tissue) if some]))
    out = np.zeros((len(tiles), found.shape[-1]), np.float32)
    out[is_tissue] = found
    return out


def plain(network, field, around, place):
    left, top = (at * FINER for at in place)
    tiles = nine(field[top : top + SIZE, left : left + SIZE], around, left + MARGIN, top + MARGIN, SIZE)
    is_tissue = tissue_of(tiles)
    return features_of(network, tiles, is_tissue), is_tissue


def varied(network, field, around, place, number, rng):
    left, top, edge, turns, flipped = drawn(field, *(at * FINER for at in place), rng, SIZE)
    tiles = nine(field[top : top + edge, left : left + edge], around, left + MARGIN, top + MARGIN, edge)
    is_tissue = tissue_of(tiles)
    before, found = copy.deepcopy(rng), []
    for at, tile in enumerate(tiles):
        # All get the same stains, and the tile itself leaves `rng` as finer_views.py does.
        draws = rng if at == 0 else copy.deepcopy(before)
        found.append(restained(turned(tile, turns, flipped, SIZE), draws, stain_scale(number)) if is_tissue[at] else None)
    return features_of(network, found, is_tissue), is_tissue


def write(out, **values):
    part = out.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **{name: np.array(value) for name, value in values.items()})
    part.rename(out)


def make_views(args):
    args.out.mkdir(parents=True, exist_ok=True)
    network = networks.mobilenet(args.weights)
    for name, out, rng, corners, level, scale in sections(args.list, args.mirrors, args.fields, args.out, args.most):
        found = []
        for corner, places in corners:
            field, around = squares(level, scale, corner, MARGIN)
            for place in places:
                found.append(plain(network, field, around, place))
                found += [varied(network, field, around, place, number, rng) for number in range(args.varied)]
        if found:
            shape = len(corners), 2, 1 + args.varied
            features, is_tissue = (np.array(part) for part in zip(*found))
            write(out, features=features.reshape(*shape, *features.shape[1:]), is_tissue=is_tissue.reshape(*shape, -1))
            print(name, len(corners), flush=True)


def make_archive(args):
    with args.labels.open(newline="") as file:
        labelled = list(csv.DictReader(file))
    network, found = networks.mobilenet(args.weights), {}
    for name, _, _, corners, level, scale in sections(args.list, args.mirrors, args.fields, args.out, args.most):
        wanted = {(int(row["field"]), int(row["place"])) for row in labelled if row["slide"] == name}
        for number in sorted({field for field, _ in wanted}):
            corner, places = corners[number]
            field, around = squares(level, scale, corner, MARGIN)
            for at, place in enumerate(places):
                if (number, at) in wanted:
                    middle_um = (np.array(corner) + place) * 2.0 + SIZE / 2
                    found[name, number, at] = *plain(network, field, around, place), middle_um
        print(name, len(wanted), flush=True)
    rows = [found[row["slide"], int(row["field"]), int(row["place"])] for row in labelled]
    features, is_tissue, middles = zip(*rows)
    columns = {key: [row[key] for row in labelled] for key in ("label", "patient", "slide")}
    write(args.out, labelled=features, labelled_is_tissue=is_tissue, middle_um=middles, **columns)


class Section:
    """A section at hand: the features of its tiles, each computed once."""

    def __init__(self, slide, folder, network):
        self.pixels = pyvips.Image.new_from_file(str(folder / slide["file"])).numpy()[..., :3]
        self.edge, self.mpp, self.network, self.known = judged_tiles.edge_of(slide), float(slide["mpp"]), network, {}
        # Labelled tiles may end beyond the slide, and their neighbours begin there.
        self.margin = 2 * self.edge
        self.around = np.pad(self.pixels, ((self.margin,) * 2, (self.margin,) * 2, (0, 0)), constant_values=255)

    def tile(self, x, y):
        if (x, y) not in self.known:
            left, top = x + self.margin, y + self.margin
            pixels = self.around[top : top + self.edge, left : left + self.edge]
            is_tissue = judged_tiles.share_of_tissue(pixels) >= 0.5
            self.known[x, y] = self.network(judged_tiles.sized(pixels)[None])[0], is_tissue
        return self.known[x, y]

    def nine(self, corners):
        """Yield the features of the tile at each corner and of its neighbours, and which of them are tissue."""
        for x, y in corners:
            found = [self.tile(x + column * self.edge, y + row * self.edge) for column, row in PLACES]
            is_tissue = np.array([True, *(some for _, some in found[1:])])
            yield np.array([values for values, _ in found]) * is_tissue[:, None], is_tissue

    def middle_um(self, corner):
        return [(at + self.edge / 2) * self.mpp for at in corner]


def make_tiles(args):
    names = ["labelled", "labelled_is_tissue", "label", "patient", "slide", "middle_um", "tissue", "is_tissue", *TISSUE]
    out, network = {name: [] for name in names}, networks.mobilenet(args.weights)
    for slides, labels in zip(args.tables[::2], args.tables[1::2], strict=True):
        labelled = judged_tiles.rows(labels)
        for slide in judged_tiles.rows(slides):
            section = Section(slide, slides.parent, network)
            mine = [tile for tile in labelled if tile["slide"] == slide["slide"]]
            corners = list(judged_tiles.labelled_corners(mine, slide))
            for tile, corner, (features, is_tissue) in zip(mine, corners, section.nine(corners), strict=True):
                out["labelled"].append(features)
                out["labelled_is_tissue"].append(is_tissue)
                out["middle_um"].append(section.middle_um(corner))
                for name in ("label", "patient", "slide"):
                    out[name].append(tile[name])
            corners = judged_tiles.tissue_corners(section.pixels, slide)
            for corner, (features, is_tissue) in zip(corners, section.nine(corners), strict=True):
                out["tissue"].append(features)
                out["is_tissue"].append(is_tissue)
                judged_tiles.add_tissue(out, slide, *corner)
            print(slide["slide"], len(mine), len(corners), flush=True)
    write(args.out, **out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run, paths, most in (
        ("views", make_views, ["list", "mirrors", "fields", "out", "weights"], 12),
        ("archive", make_archive, ["list", "mirrors", "fields", "labels", "out", "weights"], 48),
        ("tiles", make_tiles, ["out", "weights"], None),
    ):
        command = commands.add_parser(name)
        for path in paths:
            command.add_argument(path, type=pathlib.Path)
        if name == "tiles":
            command.add_argument("tables", nargs="+", type=pathlib.Path)
        command.set_defaults(run=run, most=most, varied=3)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
