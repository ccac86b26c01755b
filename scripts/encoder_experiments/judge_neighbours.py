"""Judge descriptors that take in those of the neighbouring tiles of the grid, less those of single tiles.

    judge_neighbours.py TILES.npz VIEWS ARCHIVE.npz [ARCHIVE.npz ...] [--readout views|neighbourhoods|none]

All are made by neighbours.py. The candidates are those of encoders-tried.md. `--readout views` is that of tissue-views,
`neighbourhoods` that of tissue-whitened, and `none` are centred features. Besides judge.py's measures it prints what nearby tiles
of another label do (Set.own_slide), the same for queries at a border and for the third that is least like its neighbours, and
each kind's P@5 and P@20 after ten marks beside what a perfect search has.
"""

import argparse
import pathlib
from functools import partial

import numpy as np

from context import size_of
from judge import Judge, pooled
from readout import Readouts, view_moments

SHARED_EDGE = slice(1, 5)  # of a tile's eight neighbours, those that share an edge with it
WEIGHTS = (0.25, 0.5, 1.0, 2.0)  # of the neighbours beside the tile
SOFTNESS, ALIKE = 0.5, 0.3  # of cosines between a tile and its neighbours
BESIDE_UM = 340.0  # a tile's diagonal neighbour on the grid is 317 µm away


def scaled(rows):
    """Return rows scaled to length 1; rows of zeros stay."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def mean_of(near, is_tissue):
    """Return the mean of the neighbours that are tissue, zeros where there is none."""
    return near.sum(1) / is_tissue.sum(1, keepdims=True).clip(1)


class Tiles:
    """What blends need of tiles: the features of each and of its eight neighbours, zeros where there is no tissue."""

    def __init__(self, features, is_tissue):
        self.features, self.is_tissue = features.astype(np.float64), is_tissue

    def codes(self, readout):
        """Return the descriptors of single tiles, [N, 9, width]."""
        matrix, mean = readout
        return np.float32(scaled((self.features - mean) @ matrix.T) * self.is_tissue[..., None])

    def joint(self, which):
        """Return a tile's own features and the mean of some neighbours' beside them; its own where it has none."""
        own, near = self.features[..., 0, :], self.features[..., which, :]
        count = self.is_tissue[..., which].sum(-1)[..., None]
        return np.concatenate([own, np.where(count, near.sum(-2) / count.clip(1), own)], -1)


def four(codes, is_tissue, weight):
    return codes[:, 0] + weight * mean_of(codes[:, SHARED_EDGE], is_tissue[:, SHARED_EDGE])


def eight(codes, is_tissue, weight):
    return codes[:, 0] + weight * mean_of(codes[:, 1:], is_tissue[:, 1:])


def cosines(codes):
    return np.einsum("nd,nkd->nk", codes[:, 0], codes[:, 1:])


def soft(codes, is_tissue, weight):
    factors = np.exp((cosines(codes) - 1) / SOFTNESS)
    return codes[:, 0] + weight * mean_of(codes[:, 1:] * factors[..., None], is_tissue[:, 1:])


def alike(codes, is_tissue, weight):
    chosen = cosines(codes) > ALIKE
    return codes[:, 0] + weight * mean_of(codes[:, 1:] * chosen[..., None], is_tissue[:, 1:])


def beside(codes, is_tissue, weight):
    near = mean_of(codes[:, 1:], is_tissue[:, 1:])
    near = np.where(near.any(1, keepdims=True), near, codes[:, 0])
    return np.concatenate([codes[:, 0], np.sqrt(weight) * scaled(near)], 1)


BLENDS = {"four": four, "eight": eight, "soft": soft, "alike": alike, "beside": beside}
JOINT = {"readout of eight": slice(1, 9), "readout of four": SHARED_EDGE}


def of_group(found, rows):
    return {name: np.where(rows, values, np.nan) for name, values in found.items()}


class Set:
    """The labelled tiles of a file, and what they find in other patients with each candidate's descriptors."""

    def __init__(self, path):
        file = np.load(path)
        self.judge = Judge(file["label"], file["patient"])
        self.tiles = Tiles(file["labelled"], file["labelled_is_tissue"])
        self.slide, self.middle_um = file["slide"], file["middle_um"]

    def measured(self, descriptors):
        """Return each measure of each query; `descriptors` gives those of all tiles for the patient that asks."""
        judge, found = self.judge, {}
        for patient in judge.patients:
            rows = np.where(judge.patient[judge.queries] == patient)[0]
            x, queries = descriptors(patient), judge.queries[rows]
            answers = {**judge.search(x, queries, patient), **self.own_slide(x, queries, patient)}
            for name, values in answers.items():
                found.setdefault(name, np.full(len(judge.queries), np.nan))[rows] = values
        return found

    def groups(self, descriptors):
        """Return the groups of queries that are reported; `descriptors` gives those of single tiles and of their neighbours."""
        judge, like = self.judge, np.full(len(self.judge.queries), np.nan)
        label, middle = judge.label, self.middle_um
        for patient in judge.patients:
            rows = np.where(judge.patient[judge.queries] == patient)[0]
            codes = descriptors(patient, whole=True)[judge.queries[rows]]
            like[rows] = cosines(codes).sum(1) / self.tiles.is_tissue[judge.queries[rows], 1:].sum(1).clip(1)
        border = ~self.tiles.is_tissue[judge.queries].all(1)
        for row, query in enumerate(judge.queries):
            near = (self.slide == self.slide[query]) & (np.linalg.norm(middle - middle[query], axis=1) < BESIDE_UM)
            border[row] |= (label[near] != label[query]).any()
        return {
            "all queries": np.ones(len(like), bool),
            "at a border": border,
            "unlike neighbours": like <= np.quantile(like, 1 / 3),
        }

    def by_kind(self, found):
        """Yield each kind with the number of right answers (fewest and most of a patient), what a perfect search has after ten
        marks, and P@5 and P@20 after ten marks."""
        judge = self.judge
        right = judge.label[None] == judge.label[judge.queries][:, None]
        right &= judge.patient[None] != judge.patient[judge.queries][:, None]
        answers = right.sum(1)
        values = {"perfect": ((answers - 10) / 20).clip(0, 1), "P@5": found["P@5"], "10 marks": found["10 marks"]}
        for kind in judge.kinds:
            rows = judge.label[judge.queries] == kind
            means = [judge.draws(np.where(rows, of, np.nan))[0] for of in values.values()]
            yield kind, f"{answers[rows].min()}-{answers[rows].max()} | " + " | ".join(f"{mean:.3f}" for mean in means)
        many = answers >= 50
        means = [judge.draws(of)[0] for of in values.values()]
        yield "mean", " | ".join(f"{mean:.3f}" for mean in means)
        if many.any():
            means = [judge.draws(np.where(many, of, np.nan))[0] for of in values.values()]
            yield "mean of those with 50", " | ".join(f"{mean:.3f}" for mean in means)

    def own_slide(self, x, queries, patient, near_um=700.0, apart_um=480.0):
        """Return, of queries with a tile of another label nearer than 0.7 mm, the share of those tiles that is more similar than
        the fifth best of the right answers of other patients; and P@5 among the own slide's labelled tiles farther than
        0.48 mm."""
        label, found = self.judge.label, {"intruders": [], "own slide": []}
        for query in queries:
            score = x @ x[query]
            distance = np.linalg.norm(self.middle_um - self.middle_um[query], axis=1)
            here, right = self.slide == self.slide[query], label == label[query]
            intruders = here & ~right & (distance < near_um)
            answers = np.sort(score[right & (self.judge.patient != patient)])
            known = intruders.any() and len(answers) >= 5
            found["intruders"].append((score[intruders] > answers[-5]).mean() if known else np.nan)
            pool = np.where(here & (distance > apart_um))[0]
            known = intruders.any() and right[pool].sum() >= 5
            found["own slide"].append(right[pool[np.argsort(-score[pool])[:5]]].mean() if known else np.nan)
        return found


def candidates(views, tiles, kind):
    """Yield each candidate's name and weight with a function from a set's tiles and a patient to descriptors; the first is that
    of single tiles. All share the readout of single tiles but for those with one of their own."""
    readouts, tissue = Readouts(tiles), Tiles(tiles["tissue"], tiles["is_tissue"])

    def fitted(tissue, views):
        if kind == "none":
            return lambda _: (np.eye(tissue.shape[1]), tissue.mean(0))
        return readouts.fitted(tissue, view_moments(views) if kind == "views" else None)

    single, known = fitted(tissue.features[:, 0], views.features[..., 0, :]), {}

    def codes(set_, patient):
        patient = patient if patient in readouts.owner else None
        if (id(set_), patient) not in known:
            known[id(set_), patient] = set_.codes(single(patient))
        return known[id(set_), patient]

    def single_tiles(set_, patient, whole=False):
        return codes(set_, patient) if whole else codes(set_, patient)[:, 0]

    yield "single", 0.0, single_tiles
    for name, blend in BLENDS.items():
        for weight in WEIGHTS:

            def blended(set_, patient, blend=blend, weight=weight):
                return scaled(blend(codes(set_, patient), set_.is_tissue, weight))

            yield name, weight, blended
    if kind == "none":
        return
    for name, which in JOINT.items():
        joint, own = tissue.joint(which), views.joint(which)
        width = joint.shape[1] // 2
        halves = slice(0, width), slice(width, None)
        divisor = np.repeat([size_of(joint[:, half], own[..., half], readouts) for half in halves], width)
        readout = fitted(joint / divisor, own / divisor)

        def of_tiles(set_, patient, which=which, divisor=divisor, readout=readout):
            matrix, mean = readout(patient)
            return np.float32(scaled((set_.joint(which) / divisor - mean) @ matrix.T))

        yield name, 1.0, of_tiles


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=pathlib.Path)
    parser.add_argument("views", type=pathlib.Path)
    parser.add_argument("archives", nargs="+", type=pathlib.Path)
    parser.add_argument("--readout", choices=["views", "neighbourhoods", "none"], default="views")
    args = parser.parse_args()
    tiles = np.load(args.tiles)
    parts = [np.load(path) for path in sorted(args.views.glob("*.npz"))]
    views = Tiles(*(np.concatenate([part[name] for part in parts]) for name in ("features", "is_tissue")))
    sets = {path.stem: Set(path) for path in (args.tiles, *args.archives)}
    pairs = {name: (set_.judge, None) for name, set_ in sets.items()}
    base = groups = None
    for name, weight, descriptors in candidates(views, tiles, args.readout):
        found = {key: set_.measured(partial(descriptors, set_.tiles)) for key, set_ in sets.items()}
        if base is None:
            base, groups = found, {key: set_.groups(partial(descriptors, set_.tiles)) for key, set_ in sets.items()}
            print("measures |", " | ".join(base[args.tiles.stem]))
        for group in next(iter(groups.values())):
            chosen = {key: of_group(found[key], groups[key][group]) for key in sets}
            less = {key: of_group(base[key], groups[key][group]) for key in sets} if found is not base else None
            for key, set_ in sets.items():
                line = set_.judge.report(chosen[key], less and less[key])
                print(f"{name} {weight} | {group} | {key}, {groups[key][group].sum()} |", line)
            if less:
                print(f"{name} {weight} | {group} | all |", pooled(pairs, chosen, less), flush=True)
        for key, set_ in sets.items():
            for kind, text in set_.by_kind(found[key]):
                print(f"{name} {weight} | {key} | {kind} |", text, flush=True)


if __name__ == "__main__":
    main()
