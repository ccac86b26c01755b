"""Cut fields of tissue, 360 × 360 px at 2 µm/px, from mirrors of the Pathology Atlas's repositories.

    archive_fields.py LIST.csv MIRRORS OUT [--leave-out PATIENT ...]

LIST.csv names the sections: slide, patient, repo, folder (of the Deep Zoom image in the repository) and level_max_mpp
(µm per pixel at full resolution). MIRRORS holds `pathologyatlas+<repo>/repo`, git directories. Only the tiles of a
section that the fields need are read, so that a section takes seconds. OUT gets one file per section with `img`,
[N, 360, 360, 3] bytes, and `xy`, the corners in px. Run again to continue.
"""

import argparse
import csv
import io
import math
import pathlib
import re
import subprocess

import numpy as np
from PIL import Image

EDGE, MPP, MOST = 360, 2.0, 48
# Step between fields in px and least share of tissue; the second pair is tried on sections with few fields.
GRIDS = [(336, 0.5), (168, 0.22)]


class Mirror:
    """A git directory; one process reads all of its blobs."""

    def __init__(self, path):
        self.command = ["git", "-c", "core.quotepath=off", "-c", "safe.directory=*", "--git-dir", str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.reader = subprocess.Popen([*self.command, "cat-file", "--batch"], **pipes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.communicate()

    def blob(self, name):
        self.reader.stdin.write(f"{name}\n".encode())
        self.reader.stdin.flush()
        head = self.reader.stdout.readline().split()
        if len(head) != 3:
            raise FileNotFoundError(f"{name} is not in {self.command[-1]}")
        data = self.reader.stdout.read(int(head[2]))
        self.reader.stdout.read(1)
        return data

    def files(self, folder):
        listing = subprocess.run([*self.command, "ls-tree", "HEAD", folder], check=True, capture_output=True)
        return listing.stdout.decode().splitlines()


class Level:
    """One level of a Deep Zoom image in a repository."""

    def __init__(self, mirror, folder, below):
        self.mirror = mirror
        text = mirror.blob(f"HEAD:{folder}.dzi").decode()
        keys = ("Width", "Height", "TileSize", "Overlap")
        width, height, self.edge, self.overlap = (int(re.search(rf'\b{key}=["\']?(\d+)', text)[1]) for key in keys)
        self.full = width, height
        self.width, self.height = math.ceil(width / 2**below), math.ceil(height / 2**below)
        number = math.ceil(math.log2(max(width, height))) - below
        self.blobs, self.tiles = {}, {}
        for line in mirror.files(f"{folder}_files/{number}/"):
            place = re.search(r"/(\d+)_(\d+)\.(?:jpe?g|png)$", line)
            if place:
                self.blobs[int(place[1]), int(place[2])] = line.split()[2]

    def tile(self, column, row):
        if (column, row) not in self.tiles:
            blob = self.blobs.get((column, row))
            pixels = np.full((0, 0, 3), 255, np.uint8)
            if blob:
                pixels = np.asarray(Image.open(io.BytesIO(self.mirror.blob(blob))).convert("RGB"))
                pixels = pixels[self.overlap if row else 0 :, self.overlap if column else 0 :]
            self.tiles[column, row] = pixels[: self.edge, : self.edge]
        return self.tiles[column, row]

    def region(self, x, y, width, height):
        """Return a part of the level; white where there is no tile."""
        out = np.full((height, width, 3), 255, np.uint8)
        for column in range(max(0, x // self.edge), (x + width - 1) // self.edge + 1):
            for row in range(max(0, y // self.edge), (y + height - 1) // self.edge + 1):
                tile = self.tile(column, row)
                left, top = column * self.edge, row * self.edge
                x0, x1 = max(x, left), min(x + width, left + tile.shape[1])
                y0, y1 = max(y, top), min(y + height, top + tile.shape[0])
                if x1 > x0 and y1 > y0:
                    out[y0 - y : y1 - y, x0 - x : x1 - x] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        return out


def is_tissue(pixels):
    """Return a mask of coloured pixels that are neither nearly white nor black."""
    values = pixels.astype(np.int16)
    coloured = values.max(-1) - values.min(-1) > 18
    return coloured & (values.mean(-1) < 235) & (values.max(-1) > 40)


def places(mask, mask_mpp, width, height, step, share):
    found = []
    for y in range(0, height - EDGE + 1, step):
        for x in range(0, width - EDGE + 1, step):
            (top, bottom), (left, right) = (
                (int(at * MPP / mask_mpp), int((at + EDGE) * MPP / mask_mpp)) for at in (y, x)
            )
            part = mask[top:bottom, left:right]
            if part.size and part.mean() >= share:
                found.append((x, y))
    return found


def fields(mirror, row):
    full_mpp = float(row["level_max_mpp"])
    below = max(0, round(math.log2(24 / full_mpp)))
    coarse = Level(mirror, row["folder"], below)
    mask = is_tissue(coarse.region(0, 0, coarse.width, coarse.height))
    below_fine = max(0, math.floor(math.log2(MPP / full_mpp) + 1e-6))
    fine = Level(mirror, row["folder"], below_fine)
    scale = MPP / (full_mpp * 2**below_fine)
    width, height = (int(pixels * full_mpp / MPP) for pixels in fine.full)
    for step, share in GRIDS:
        found = places(mask, full_mpp * 2**below, width, height, step, share)
        if len(found) >= 6:
            break
    rng = np.random.default_rng(int(row["patient"][1:]))
    chosen = [found[at] for at in sorted(rng.permutation(len(found))[:MOST])]
    edge = round(EDGE * scale)
    images = []
    for x, y in chosen:
        region = Image.fromarray(fine.region(round(x * scale), round(y * scale), edge, edge))
        images.append(np.asarray(region.resize((EDGE, EDGE), Image.LANCZOS)))
    return images, chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=pathlib.Path)
    parser.add_argument("mirrors", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--leave-out", nargs="+", default=[])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with args.list.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        out = args.out / f"{row['slide']}.npz"
        mirror = args.mirrors / f"pathologyatlas+{row['repo']}" / "repo"
        if row["patient"] in args.leave_out or out.exists() or not mirror.is_dir():
            continue
        with Mirror(mirror) as opened:
            images, corners = fields(opened, row)
        if images:
            part = out.with_suffix(".part")
            with part.open("wb") as file:
                np.savez(file, img=np.stack(images), xy=np.array(corners))
            part.rename(out)
        print(row["slide"], len(images), flush=True)


if __name__ == "__main__":
    main()
