"""Features of several networks and two widths of a tile together; their readout, and how it does.

    context.py views LIST.csv MIRRORS FIELDS OUT WEIGHTS [--fields 12] [--varied 3]
    context.py tiles OUT.npz WEIGHTS SLIDES.csv LABELS.csv [SLIDES.csv LABELS.csv ...]
    context.py model TILES.npz VIEWS OUT [--parts 0 1 2 3] [--archive VIEWS LABELS.csv] ...

The parts are MobileNetV2 of a tile of 224 µm, MobileNetV2 of the 448 µm around its middle, and EfficientNet-Lite1 and
EfficientNet-Lite2 of the tile of 224 µm, all as 224 px. WEIGHTS is a folder with mobilenet_v2, efficientnet_lite1 and efficientnet_lite2
.safetensors. `views` takes the places of finer_views.py, at 1 µm/px, and draws the same views; `tiles` those of
judged_tiles.py, of coarser slides, enlarged as a model's `crops` are, and white beyond the slide. `model` divides each part by how much neighbours and
views differ in it, fits the readout of make_model.py and writes OUT/head.safetensors, for features that are not divided. With
`--archive` it also judges as judge.py does, less the readout of the first part.
"""

import argparse
import copy
import pathlib

import numpy as np
import pyvips
from PIL import Image
from safetensors.numpy import save_file

import judged_tiles
import networks
from archive_fields import EDGE
from archive_views import drawn, restained, stain_scale, turned
from finer_views import FINER, SIZE, sections
from judge import Judge, archive_tiles, pooled
from readout import Readouts, moments, sums, view_moments

MARGIN = 200  # px of 1 µm around a field for wide views: more than a varied view is wider
WIDTHS = (256, 256, 304, 328)
TISSUE = ["tissue_slide", "tissue_patient", "tissue_um"]


def features_of(weights):
    """Return a function that gives the features of all parts from tiles and their wide views."""
    mobilenet = networks.mobilenet(weights / "mobilenet_v2.safetensors")
    lites = [networks.lite(weights / f"efficientnet_lite{number}.safetensors") for number in (1, 2)]

    def features(tiles, wide):
        parts = [mobilenet(tiles), mobilenet(wide), *(lite(tiles) for lite in lites)]
        return np.concatenate(parts, -1)

    return features


def scaled(pixels, edge):
    return np.asarray(Image.fromarray(pixels).resize((edge, edge), Image.LANCZOS))


def enlarged(pixels):
    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.BILINEAR))


def squares(level, scale, corner, wider=MARGIN):
    """Return the field at a corner in px of 2 µm, [720, 720, 3], and the same with `wider` px around it."""
    x, y = (round(at * FINER * scale) for at in corner)
    edge, margin = round(EDGE * FINER * scale), round(wider * scale)
    field = scaled(level.region(x, y, edge, edge), EDGE * FINER)
    around = level.region(x - margin, y - margin, edge + 2 * margin, edge + 2 * margin)
    level.tiles.clear()
    return field, scaled(around, EDGE * FINER + 2 * wider)


def around_middle(pixels, left, top, edge):
    """Return the square twice as wide as one in a field, from the field with MARGIN around it; less where it ends."""
    x, y = left + edge // 2 + MARGIN, top + edge // 2 + MARGIN
    return pixels[max(0, y - edge) : y + edge, max(0, x - edge) : x + edge]


def views(field, around, place, count, rng):
    """Return the plain and the varied views of a place, each with its wide one."""
    left, top = (at * FINER for at in place)
    found = [(field[top : top + SIZE, left : left + SIZE], scaled(around_middle(around, left, top, SIZE), SIZE))]
    for number in range(count):
        x, y, edge, turns, flipped = drawn(field, left, top, rng, SIZE)
        pair = field[y : y + edge, x : x + edge], around_middle(around, x, y, edge)
        # Both get the same stains.
        again = copy.deepcopy(rng)
        found.append([
            restained(turned(pixels, turns, flipped, SIZE), draws, stain_scale(number))
            for pixels, draws in zip(pair, (rng, again))
        ])
    return found


def make_views(args):
    args.out.mkdir(parents=True, exist_ok=True)
    features = features_of(args.weights)
    for name, out, rng, corners, level, scale in sections(
        args.list, args.mirrors, args.fields_folder, args.out, args.fields
    ):
        found = []
        for corner, places in corners:
            field, around = squares(level, scale, corner)
            pairs = [views(field, around, place, args.varied, rng) for place in places]
            tiles = np.array(pairs).swapaxes(0, 2)  # narrow and wide, views, places
            found.append(features(*tiles.swapaxes(1, 2)))
        if found:
            part = out.with_suffix(".part")
            with part.open("wb") as file:
                np.savez(file, features=np.array(found))
            part.rename(out)
            print(name, len(found), flush=True)


def make_tiles(args):
    out = {name: [] for name in ["labelled", "label", "patient", "tissue", *TISSUE]}
    features = features_of(args.weights)
    for slides, labels in zip(args.tables[::2], args.tables[1::2], strict=True):
        labelled = judged_tiles.rows(labels)
        for slide in judged_tiles.rows(slides):
            image = pyvips.Image.new_from_file(str(slides.parent / slide["file"]))
            pixels, edge = image.numpy()[..., :3], judged_tiles.edge_of(slide)
            margins = (edge // 2, edge // 2)
            around = np.pad(pixels, (margins, margins, (0, 0)), constant_values=255)

            def kept(corners, pixels=pixels, around=around, edge=edge):
                tiles = [enlarged(judged_tiles.sized(pixels[y : y + edge, x : x + edge])) for x, y in corners]
                wide = [scaled(around[y : y + 2 * edge, x : x + 2 * edge], SIZE) for x, y in corners]
                return list(features(np.array(tiles), np.array(wide))) if corners else []

            mine = [tile for tile in labelled if tile["slide"] == slide["slide"]]
            out["labelled"] += kept(list(judged_tiles.labelled_corners(mine, slide)))
            out["label"] += [tile["label"] for tile in mine]
            out["patient"] += [tile["patient"] for tile in mine]
            corners = judged_tiles.tissue_corners(pixels, slide)
            out["tissue"] += kept(corners)
            for left, top in corners:
                judged_tiles.add_tissue(out, slide, left, top)
            print(slide["slide"], len(mine), len(corners), flush=True)
    np.savez(args.out, **{name: np.array(values) for name, values in out.items()})


def size_of(tissue, archive, readouts):
    """Return how much neighbours and views differ: the root of the trace of the mean of their covariances."""
    parts = [sums(tissue[readouts.slide == slide], *pairs) for slide, pairs in readouts.pairs.items()]
    within, _, _ = moments(parts)
    return np.sqrt(np.trace((within + view_moments(archive)[0]) / 2))


def make_model(args):
    args.out.mkdir(parents=True, exist_ok=True)
    tiles = np.load(args.tiles)
    readouts, archive = Readouts(tiles), [np.load(path)["features"] for path in sorted(args.views.glob("*.npz"))]
    archive, tissue = np.concatenate(archive), tiles["tissue"]
    edges = np.cumsum([0, *WIDTHS])
    chosen = [np.arange(edges[part], edges[part + 1]) for part in args.parts]

    def fitted(parts):
        """Return the parts' columns, what they are divided by, and the readouts of the quotients."""
        sizes = [size_of(tissue[:, part], archive[..., part], readouts) for part in parts]
        columns, divisor = np.concatenate(parts), np.repeat(sizes, [len(part) for part in parts])
        some = view_moments(archive[..., columns] / divisor)
        return columns, divisor, readouts.fitted(tissue[:, columns].astype(np.float64) / divisor, some)

    columns, divisor, readout = fitted(chosen)
    matrix, mean = readout(None)
    largest = np.abs(matrix).argmax(1)[:, None]
    matrix = matrix * np.sign(np.take_along_axis(matrix, largest, 1))
    head = {"head.weight": np.float32(matrix / divisor), "head.bias": np.float32(-matrix @ mean)}
    save_file(head, args.out / "head.safetensors")
    if not args.archive:
        return
    sets = {"judged": (Judge(tiles["label"], tiles["patient"]), tiles["labelled"])}
    sets.update({labels.stem: archive_tiles(folder, labels, "features") for folder, labels in args.archive})

    def measured(columns, divisor, readout):
        return {name: judge.measure(x[:, columns] / divisor, readout) for name, (judge, x) in sets.items()}

    base, found = measured(*fitted([np.arange(WIDTHS[0])])), measured(columns, divisor, readout)
    for name, (judge, _) in sets.items():
        print(f"{name}:", judge.report(found[name]))
        print(f"{name}, less the first part:", judge.report(found[name], base[name]), flush=True)
    print("all sets, less the first part:", pooled(sets, found, base))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("views")
    for name in ("list", "mirrors", "fields_folder", "out", "weights"):
        command.add_argument(name, type=pathlib.Path)
    command.add_argument("--fields", type=int, default=12, help="fields per section")
    command.add_argument("--varied", type=int, default=3, help="varied views of each place")
    command.set_defaults(run=make_views)
    command = commands.add_parser("tiles")
    for name in ("out", "weights"):
        command.add_argument(name, type=pathlib.Path)
    command.add_argument("tables", nargs="+", type=pathlib.Path)
    command.set_defaults(run=make_tiles)
    command = commands.add_parser("model")
    for name in ("tiles", "views", "out"):
        command.add_argument(name, type=pathlib.Path)
    command.add_argument("--parts", nargs="+", type=int, choices=range(len(WIDTHS)), default=[0, 1, 2, 3])
    pair = ("VIEWS", "LABELS")
    command.add_argument("--archive", nargs=2, action="append", type=pathlib.Path, metavar=pair, default=[])
    command.set_defaults(run=make_model)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
