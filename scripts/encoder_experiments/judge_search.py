"""Judge other ways to search the descriptors of tissue-views, less the plain search for the most similar tiles.

    judge_search.py WEIGHTS.safetensors JUDGED.npz VIEWS [--archive HELD_OUT LABELS.csv] ...

The arguments are those of judge.py. Neighbours are of other patients, and may be tiles without a label: 2,000 of the tissue in
JUDGED.npz, or all plain tiles of the sections in LABELS.csv. The ways, fixed before any was judged:

- hubs: a tile's similarity to the query, less λ times its mean similarity to its `count` nearest neighbours, so that tiles that
  are similar to everything come later (Conneau et al. 2018, CSLS, with λ for 1/2 of twice the cosine);
- expanded: the query and `weight` times the mean of its `count` best answers ask (Chum et al. 2007);
- both sides: every tile is expanded by its neighbours like this, and so is the query.

After marks, the hubs' part counts in proportion to the length of the direction that asks.
"""

import argparse
import pathlib

import numpy as np

import backbone
from judge import Judge, archive_tiles, features_of_views, pooled
from readout import Readouts, descriptors, view_moments

HUBS = [(count, share) for count in (10, 50) for share in (0.5, 1.0)]
EXPANDED = [(count, weight) for count in (3, 5, 10, 20) for weight in (0.5, 1.0)]
BOTH_SIDES = [(3, 0.5), (5, 0.5), (5, 1.0)]
UNLABELLED = 2000


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def mean_of_best(x, score, count):
    """Return the mean of the `count` rows of x with the highest score, for each row of scores."""
    return x[np.argpartition(-score, count, 1)[:, :count]].mean(1)


def ways(x, owner, queries, patient):
    """Yield each way's name, the vectors that ask, those of the tiles, and what is taken off the tiles' similarities."""
    own, nothing = x[queries], np.zeros(len(x), np.float32)
    yield "plain", own, x, nothing
    others = np.where(owner[:, None] == owner[None], -np.inf, x @ x.T)
    for count, share in HUBS:
        yield f"hubs, {count}, {share}", own, x, share * np.sort(others, 1)[:, -count:].mean(1)
    answers = np.where(owner[None] == patient, -np.inf, own @ x.T)
    for count, weight in EXPANDED:
        yield f"expanded, {count}, {weight}", unit(own + weight * mean_of_best(x, answers, count)), x, nothing
    hubs = 0.5 * np.sort(others, 1)[:, -10:].mean(1)
    yield "expanded, 5, 1.0, less hubs", unit(own + mean_of_best(x, answers - hubs, 5)), x, hubs
    for count, weight in BOTH_SIDES:
        smooth = unit(x + weight * mean_of_best(x, others, count))
        yield f"both sides, {count}, {weight}", smooth[queries], smooth, nothing


def measured(judge, labelled, unlabelled, owner, readout):
    """Return each measure of each query for each way."""
    found, whose = {}, np.concatenate([judge.patient, owner])
    for patient in judge.patients:
        rows = np.where(judge.patient[judge.queries] == patient)[0]
        queries, x = judge.queries[rows], descriptors(readout(patient), np.concatenate([labelled, unlabelled]))
        for name, own, tiles, less in ways(x, whose, queries, patient):
            count = len(labelled)
            for measure, values in judge.search(tiles[:count], queries, patient, own, less[:count]).items():
                of_way = found.setdefault(name, {})
                of_way.setdefault(measure, np.full(len(judge.queries), np.nan))[rows] = values
    return found


def plain_tiles(blocks, views, slides):
    """Return the features of all plain tiles of the slides, and the slide of each."""
    parts = []
    for name in slides:
        maps = np.load(views / f"{name}.npz")["maps"][:, :, 0]
        parts.append(backbone.pooled(blocks, maps.reshape(-1, *maps.shape[2:])))
    return np.concatenate(parts), np.repeat(slides, [len(part) for part in parts])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("judged", type=pathlib.Path)
    parser.add_argument("views", type=pathlib.Path)
    pair = ("HELD_OUT", "LABELS.csv")
    parser.add_argument("--archive", nargs=2, action="append", type=pathlib.Path, metavar=pair, default=[])
    args = parser.parse_args()
    judged, blocks = np.load(args.judged), backbone.load(args.weights)[backbone.FIRST :]
    tissue = backbone.pooled(blocks, judged["tissue"])
    readout = Readouts(judged).fitted(tissue, view_moments(features_of_views(blocks, args.views)))
    judge, some = Judge(judged["label"], judged["patient"]), np.random.default_rng(3).permutation(len(tissue))[:UNLABELLED]
    labelled = backbone.pooled(blocks, judged["labelled"])
    sets = {"judged": (judge, measured(judge, labelled, tissue[some], judged["tissue_patient"][some], readout))}
    for views, labels in args.archive:
        judge, maps = archive_tiles(views, labels)
        rows = np.genfromtxt(labels, delimiter=",", names=True, dtype=None, encoding="utf-8")
        patient_of = dict(zip(rows["slide"], rows["patient"]))
        tiles, slides = plain_tiles(blocks, views, sorted(patient_of))
        owner = np.array([patient_of[slide] for slide in slides])
        sets[labels.stem] = (judge, measured(judge, backbone.pooled(blocks, maps), tiles, owner, readout))
    base = {name: found["plain"] for name, (_, found) in sets.items()}
    print("measures |", " | ".join(base["judged"]))
    for way in next(iter(sets.values()))[1]:
        for name, (judge, found) in sets.items():
            print(f"{way} | {name} |", judge.report(found[way], base[name] if way != "plain" else None))
        if way != "plain":
            print(f"{way} | all |", pooled(sets, {name: found[way] for name, (_, found) in sets.items()}, base), flush=True)


if __name__ == "__main__":
    main()
