"""Read the tiles that judge.py needs: labelled ones, and up to 240 of tissue per section for fitting the readout.

    judged_tiles.py WEIGHTS.safetensors OUT.npz SLIDES.csv LABELS.csv [SLIDES.csv LABELS.csv ...]

OUT gets the tiles' outputs of block 13, as archive_views.py keeps them. SLIDES.csv: slide, file (relative to it), mpp,
patient. LABELS.csv: slide, x, y, width, height in level-0 px, label, patient. Tiles are 224 µm wide, 112 px at 2 µm/px;
those of coarser sections are enlarged.
"""

import csv
import pathlib
import sys

import numpy as np
import pyvips
from PIL import Image

import backbone

WIDTH_UM, EDGE, MOST = 224, 112, 240


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def sized(pixels):
    return np.asarray(Image.fromarray(pixels).resize((EDGE, EDGE), Image.LANCZOS))


def share_of_tissue(pixels):
    values = pixels[::4, ::4].astype(np.int16)
    return ((values.max(-1) - values.min(-1) > 18) & (values.mean(-1) < 235)).mean()


def edge_of(slide):
    """Return the edge of a tile in px of the slide."""
    return round(WIDTH_UM / float(slide["mpp"]))


def labelled_corners(tiles, slide):
    half = edge_of(slide) // 2
    for tile in tiles:
        yield int(tile["x"]) + int(tile["width"]) // 2 - half, int(tile["y"]) + int(tile["height"]) // 2 - half


def tissue_corners(pixels, slide):
    """Return up to MOST corners of tiles with tissue on half of them, from a grid."""
    edge = edge_of(slide)
    grid = [
        (left, top)
        for top in range(0, pixels.shape[0] - edge + 1, edge)
        for left in range(0, pixels.shape[1] - edge + 1, edge)
        if share_of_tissue(pixels[top : top + edge, left : left + edge]) >= 0.5
    ]
    return [grid[at] for at in np.random.default_rng(0).permutation(len(grid))[:MOST]]


def add_tissue(out, slide, left, top):
    """Note where a tile of tissue is from."""
    mpp, edge = float(slide["mpp"]), edge_of(slide)
    out["tissue_slide"].append(slide["slide"])
    out["tissue_patient"].append(slide["patient"])
    out["tissue_um"].append(((left + edge / 2) * mpp, (top + edge / 2) * mpp))


def main():
    if len(sys.argv) < 5 or not len(sys.argv) % 2:
        sys.exit(__doc__)
    paths = [pathlib.Path(argument) for argument in sys.argv[1:]]
    names = ["labelled", "label", "patient", "tissue", "tissue_slide", "tissue_patient", "tissue_um"]
    out = {name: [] for name in names}
    network = backbone.load(paths[0])
    for slides, labels in zip(paths[2::2], paths[3::2]):
        labelled = rows(labels)
        for slide in rows(slides):
            image = pyvips.Image.new_from_file(str(slides.parent / slide["file"]))
            pixels = image.numpy()[..., :3]
            mine = [tile for tile in labelled if tile["slide"] == slide["slide"]]
            edge = edge_of(slide)
            for tile, (left, top) in zip(mine, labelled_corners(mine, slide)):
                out["labelled"].append(sized(pixels[top : top + edge, left : left + edge]))
                out["label"].append(tile["label"])
                out["patient"].append(tile["patient"])
            for left, top in tissue_corners(pixels, slide):
                out["tissue"].append(sized(pixels[top : top + edge, left : left + edge]))
                add_tissue(out, slide, left, top)
    out = {name: np.array(values) for name, values in out.items()}
    for name in ("labelled", "tissue"):
        out[name] = backbone.frozen(network, out[name], backbone.FIRST)
    np.savez(paths[1], **out)
    print(len(out["labelled"]), "labelled tiles,", len(out["tissue"]), "of tissue")


if __name__ == "__main__":
    main()
