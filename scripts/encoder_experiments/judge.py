"""Judge trained blocks by retrieval across patients, beside ImageNet's.

    judge.py WEIGHTS.safetensors JUDGED.npz [BLOCKS.safetensors ...] [--shares 1.0 ...] [--archive VIEWS LABELS.csv] ...

JUDGED.npz is made by judged_tiles.py, BLOCKS.safetensors by train.py; several of them are runs of one recipe with other
random numbers, and their mean is reported. `--shares` are those of the trained weights in a mean with ImageNet's
(Wortsman et al. 2022, WiSE-FT). With `--archive`, labelled plain tiles of the archive ask as well, of patients whom
training must have left out: LABELS.csv has slide, patient, field and place (numbers in VIEWS), label.

The readout is that of `fit-model --neighbourhoods`: half-whitened by the covariance of differences between tiles of a
slide nearer than 0.5 mm, shrunk by a tenth, then 128 principal components, of unit length. It is fitted on the tissue of
the sections in JUDGED.npz, but for the patient that asks. With `--views`, the readout of the trained blocks is fitted on
these views as well (readout.py); without BLOCKS, that of ImageNet's. With `--mean`, the mean of the weights of all BLOCKS
is judged as one network. `--less` compares with the readout of ImageNet's network that is fitted on the same views, which is
that of tissue-views, or with the mean of the weights of some blocks, read in the same way. "All sets" is the mean over all
patients of each patient's mean difference over its kinds, its interval from resampling patients.
"""

import argparse
import csv
import pathlib

import numpy as np

import backbone
from readout import Readouts, descriptors, view_moments

MARKS = (5, 10, 20)
DRAWS = 4000


class Judge:
    """P@1, P@5, mAP and P@20 after marks of tiles' labels; only tiles of other patients answer."""

    def __init__(self, label, patient, most=40, seed=0):
        self.label, self.patient = label, patient
        rng, chosen, self.cells = np.random.default_rng(seed), [], []
        for name in np.unique(patient):
            for kind in np.unique(label):
                of_kind = label == kind
                found = np.where(of_kind & (patient == name))[0]
                # One tile says nothing, and a kind of one patient has no answer.
                if len(found) > 1 and len(np.unique(patient[of_kind])) > 1:
                    self.cells.append((kind, name))
                    chosen += [(tile, len(self.cells) - 1) for tile in sorted(rng.permutation(found)[:most])]
        self.queries, self.cell = np.array(chosen).T
        self.patients = sorted({name for _, name in self.cells})
        self.kinds = sorted({kind for kind, _ in self.cells})
        self.weights = self.draw()

    def draw(self):
        """Return how often each cell's patient is drawn, [1 + DRAWS, cells]; the first row is the estimate."""
        rng, count = np.random.default_rng(1), len(self.patients)
        draws = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(DRAWS)]
        counts = np.stack([np.ones(count, int), *draws]).astype(float)
        return counts[:, [self.patients.index(name) for _, name in self.cells]]

    def measure(self, features, readout):
        """Return each measure of each query."""
        names = ["P@1", "P@5", "mAP", *(f"{marks} marks" for marks in MARKS), "other patients"]
        found = {name: np.full(len(self.queries), np.nan) for name in names}
        for patient in self.patients:
            rows = np.where(self.patient[self.queries] == patient)[0]
            answers = self.search(descriptors(readout(patient), features), self.queries[rows], patient)
            for name, values in answers.items():
                found[name][rows] = values
        return found

    def search(self, x, queries, patient, own=None, less=0.0):
        """Return each measure of some queries of a patient. `own` are the vectors that ask, if they are not the queries' in
        `x`; `less` is taken off each tile's similarity, after marks in proportion to the length of the direction that asks."""
        own, pool = x[queries] if own is None else own, self.patient != patient
        x, whose, right = x[pool], self.patient[pool], self.label[pool][None] == self.label[queries][:, None]
        less = np.broadcast_to(less, pool.shape)[pool]
        score = own @ x.T - less
        hits = np.take_along_axis(right, np.argsort(-score, 1), 1)
        precision = np.cumsum(hits, 1) / np.arange(1, len(x) + 1)
        found = {"P@1": hits[:, 0], "P@5": hits[:, :5].mean(1), "mAP": (precision * hits).sum(1) / hits.sum(1)}
        marked = np.zeros_like(right)
        for marks in range(5, max(MARKS) + 1, 5):
            np.put_along_axis(marked, best(score, marked, 5), True, 1)
            good, bad = marked & right, marked & ~right
            mean = (own + good @ x) / (1 + good.sum(1, keepdims=True))
            asking = mean - 0.5 * (bad @ x) / bad.sum(1, keepdims=True).clip(1)
            score = asking @ x.T - less * np.linalg.norm(asking, axis=1, keepdims=True)
            if marks in MARKS:
                answers = np.take_along_axis(right, best(score, marked, 20), 1)
                found[f"{marks} marks"] = answers.mean(1)
            if marks == 10:
                known = np.stack([np.isin(whose, whose[row]) for row in marked])
                # Without a right answer among them, other patients say nothing.
                some = (right & ~known).any(1)
                answers = np.take_along_axis(right, best(score, known, 20), 1).mean(1)
                found["other patients"] = np.where(some, answers, np.nan)
        return found

    def cell_means(self, values):
        means = np.full(len(self.cells), np.nan)
        for cell in range(len(self.cells)):
            of_cell = values[self.cell == cell]
            if not np.isnan(of_cell).all():
                means[cell] = np.nanmean(of_cell)
        return means

    def draws(self, values):
        """Return the mean over kinds of the means over patients, for the estimate and every draw."""
        means = self.cell_means(values)
        known = ~np.isnan(means)
        kind = np.array([[k == name for k, _ in self.cells] for name in self.kinds], float)
        weights = self.weights * known
        with np.errstate(invalid="ignore"):
            return np.nanmean((weights @ (kind * np.where(known, means, 0)).T) / (weights @ kind.T), 1)

    def by_patient(self, values):
        """Return the mean over kinds of each patient, for patients with an answer."""
        means = self.cell_means(values)
        owner = np.array([name for _, name in self.cells])
        known = ~np.isnan(means)
        return [means[known & (owner == name)].mean() for name in self.patients if (known & (owner == name)).any()]

    def report(self, found, base=None):
        """Return a line for a table: each measure with its interval, or its difference from the base's."""
        texts = []
        for name, values in found.items():
            draws = self.draws(values) - (self.draws(base[name]) if base else 0)
            low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
            sign = "+" if base else ""
            texts.append(f"{draws[0]:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]")
        return " | ".join(texts)


def pooled(sets, found, base):
    """Return a line with each measure's mean difference over the patients of all sets, with its interval."""
    texts, rng = [], np.random.default_rng(2)
    for measure in next(iter(base.values())):
        by_set = [judge.by_patient(found[s][measure] - base[s][measure]) for s, (judge, _) in sets.items()]
        values = np.concatenate(by_set)
        draws = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
        low, high = np.percentile(draws, [2.5, 97.5])
        texts.append(f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
    return " | ".join(texts)


def features_of_views(blocks, folder):
    """Return the pooled features of all sections' views, [fields, 2, views, width]."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        maps = np.load(path)["maps"]
        features = backbone.pooled(blocks, maps.reshape(-1, *maps.shape[3:]))
        parts.append(features.reshape(*maps.shape[:3], -1))
    return np.concatenate(parts)


def best(score, left_out, count):
    """Return the indices of the best answers of each row, in order."""
    score = np.where(left_out, np.inf, -score)
    some = np.argpartition(score, count, 1)[:, :count]
    return np.take_along_axis(some, np.argsort(np.take_along_axis(score, some, 1), 1), 1)


def archive_tiles(views, labels, values="maps"):
    """Return the judge of labelled plain tiles of the archive, and what the views have of the tiles: their outputs of block 13,
    or `values`."""
    with labels.open(newline="") as file:
        rows = list(csv.DictReader(file))
    plain = {name: np.load(views / f"{name}.npz")[values][:, :, 0] for name in {row["slide"] for row in rows}}
    found = np.stack([plain[row["slide"]][int(row["field"]), int(row["place"])] for row in rows])
    return Judge(*(np.array([row[key] for row in rows]) for key in ("label", "patient"))), found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("judged", type=pathlib.Path)
    parser.add_argument("blocks", nargs="*", type=pathlib.Path)
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0])
    parser.add_argument("--mean", action="store_true", help="judge the mean of the BLOCKS as one network")
    parser.add_argument("--views", type=pathlib.Path, help="fit the readout on the views in this folder as well")
    less = "compare with the mean of these blocks, without any with ImageNet's, read out with the views"
    parser.add_argument("--less", nargs="*", type=pathlib.Path, metavar="BLOCKS", help=less)
    pair = ("VIEWS", "LABELS")
    parser.add_argument("--archive", nargs=2, action="append", type=pathlib.Path, metavar=pair, default=[])
    args = parser.parse_args()
    if args.less is not None and not args.views:
        parser.error("--less needs --views")
    judged = np.load(args.judged)
    readouts, tissue = Readouts(judged), judged["tissue"]
    sets = {"judged": (Judge(judged["label"], judged["patient"]), judged["labelled"])}
    sets.update({labels.stem: archive_tiles(views, labels) for views, labels in args.archive})
    start = backbone.load(args.weights)[backbone.FIRST :]

    def averaged(paths):
        return backbone.mean([backbone.load_blocks(path, start) for path in paths]) if paths else start

    def measured(blocks, views=None):
        archive = view_moments(features_of_views(blocks, views)) if views else None
        fitted = readouts.fitted(backbone.pooled(blocks, tissue), archive)
        return {name: judge.measure(backbone.pooled(blocks, maps), fitted) for name, (judge, maps) in sets.items()}

    base = measured(start) if args.less is None else measured(averaged(args.less), args.views)
    what = "the mean of " + ", ".join(map(str, args.less)) if args.less else "ImageNet"
    for name, (judge, _) in sets.items():
        print(f"{name}: {len(judge.queries)} queries of {len(judge.patients)} patients:", ", ".join(judge.kinds))
        print(" | ".join(base[name]))
        print(what, judge.report(base[name]), flush=True)
    trained = [averaged(args.blocks)] if args.mean and args.blocks else [averaged([path]) for path in args.blocks]
    if args.views and not trained:
        trained, args.shares = [start], [0.0]
    for share in args.shares if trained else []:
        runs = [measured(backbone.mixed(start, blocks, share), args.views) for blocks in trained]
        found = {name: {key: np.mean([run[name][key] for run in runs], 0) for key in base[name]} for name in sets}
        for name, (judge, _) in sets.items():
            print(f"{name}, share {share}:", judge.report(found[name]))
            print(f"{name}, share {share}, less {what}:", judge.report(found[name], base[name]), flush=True)
        print(f"all sets, share {share}, less {what}:", pooled(sets, found, base), flush=True)


if __name__ == "__main__":
    main()
