"""Judge features of tiles by retrieval across patients, each patient left out of the readout's fit.

    judge.py TILES.npz FEATURES.npz [BASE.npz]

TILES.npz is made by judged_tiles.py. FEATURES.npz holds `labelled` and `tissue`, one row of features per tile. With a
BASE, the paired differences from it are printed as well.

The readout is that of `fit-model --neighbourhoods`: half-whitened by the covariance of differences between tiles of a
slide nearer than 0.5 mm, shrunk by a tenth, then 128 principal components, of unit length.
"""

import sys

import numpy as np

KINDS = ["adipose", "exocrine_pancreas", "mucosa", "smooth_muscle", "stroma", "tumour"]
MARKS = (5, 10, 20)
DRAWS = 4000


def sums(features, one, two):
    """Return what a slide adds to the fit; `one` and `two` are the indices of its pairs of neighbours."""
    x = features.astype(np.float64)
    difference = x[one] - x[two]
    return [difference.T @ difference, len(one), x.T @ x, x.sum(0), len(x)]


def fit(parts, width=128, shrinkage=0.1):
    """Return the readout's matrix and the mean of all tiles, from the sums of several slides."""
    within, pairs, square, total, count = (sum(part[k] for part in parts) for k in range(5))
    size = len(within)
    within = within / (2 * pairs)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / size * np.eye(size)
    values, vectors = np.linalg.eigh(within)
    half = (vectors * values**-0.25) @ vectors.T
    mean = total / count
    _, vectors = np.linalg.eigh(half @ (square / count - np.outer(mean, mean)) @ half)
    return vectors[:, ::-1][:, :width].T @ half, mean


def descriptors(readout, features):
    matrix, mean = readout
    y = ((features - mean) @ matrix.T).astype(np.float32)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


def neighbours(middles_um, limit_um=500.0):
    distance = np.linalg.norm(middles_um[:, None] - middles_um[None], axis=-1)
    return np.where(np.triu(distance < limit_um, 1))


class Judge:
    """Class P@1, P@5, mAP and P@20 after marks; only tiles of other patients answer."""

    def __init__(self, tiles, most=40, seed=0):
        self.label, self.patient = tiles["label"], tiles["patient"]
        self.slide, self.owner = tiles["tissue_slide"], tiles["tissue_patient"]
        self.pairs = {s: neighbours(tiles["tissue_um"][self.slide == s]) for s in np.unique(self.slide)}
        rng, chosen, self.cells = np.random.default_rng(seed), [], []
        for patient in np.unique(self.patient):
            for kind in KINDS:
                of_kind = self.label == kind
                found = np.where(of_kind & (self.patient == patient))[0]
                # One tile says nothing, and a kind of one patient has no answer.
                if len(found) > 1 and len(np.unique(self.patient[of_kind])) > 1:
                    self.cells.append((kind, patient))
                    chosen += [(tile, len(self.cells) - 1) for tile in sorted(rng.permutation(found)[:most])]
        self.queries, self.cell = np.array(chosen).T
        self.patients = sorted({patient for _, patient in self.cells})
        self.weights = self.draw()

    def draw(self):
        """Return how often each cell's patient is drawn, [1 + DRAWS, cells]; the first row is the estimate."""
        rng, count = np.random.default_rng(1), len(self.patients)
        draws = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(DRAWS)]
        counts = np.stack([np.ones(count, int), *draws]).astype(float)
        return counts[:, [self.patients.index(patient) for _, patient in self.cells]]

    def measure(self, labelled, tissue):
        """Return each measure of each query."""
        parts = {s: sums(tissue[self.slide == s], *pairs) for s, pairs in self.pairs.items()}
        owner = {s: self.owner[self.slide == s][0] for s in parts}
        names = ["P@1", "P@5", "mAP", *(f"{marks} marks" for marks in MARKS), "other patients"]
        found = {name: np.full(len(self.queries), np.nan) for name in names}
        for patient in self.patients:
            readout = fit([part for s, part in parts.items() if owner[s] != patient])
            rows = np.where(self.patient[self.queries] == patient)[0]
            for name, values in self.search(descriptors(readout, labelled), self.queries[rows], patient).items():
                found[name][rows] = values
        return found

    def search(self, x, queries, patient):
        own, pool = x[queries], self.patient != patient
        x, whose, right = x[pool], self.patient[pool], self.label[pool][None] == self.label[queries][:, None]
        score = own @ x.T
        hits = np.take_along_axis(right, np.argsort(-score, 1), 1)
        precision = np.cumsum(hits, 1) / np.arange(1, len(x) + 1)
        found = {"P@1": hits[:, 0], "P@5": hits[:, :5].mean(1), "mAP": (precision * hits).sum(1) / hits.sum(1)}
        marked = np.zeros_like(right)
        for marks in range(5, max(MARKS) + 1, 5):
            np.put_along_axis(marked, best(score, marked, 5), True, 1)
            good, bad = marked & right, marked & ~right
            mean = (own + good @ x) / (1 + good.sum(1, keepdims=True))
            score = (mean - 0.5 * (bad @ x) / bad.sum(1, keepdims=True).clip(1)) @ x.T
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

    def draws(self, values):
        """Return the mean over kinds of the means over patients, for the estimate and every draw."""
        means = np.full(len(self.cells), np.nan)
        for cell in range(len(self.cells)):
            of_cell = values[self.cell == cell]
            if not np.isnan(of_cell).all():
                means[cell] = np.nanmean(of_cell)
        known = ~np.isnan(means)
        kind = np.array([[k == name for k, _ in self.cells] for name in KINDS], float)
        weights = self.weights * known
        with np.errstate(invalid="ignore"):
            return np.nanmean((weights @ (kind * np.where(known, means, 0)).T) / (weights @ kind.T), 1)

    def report(self, found, base=None):
        for name, values in found.items():
            draws = self.draws(values) - (self.draws(base[name]) if base else 0)
            low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
            sign = "+" if base else ""
            print(f"{name:15} {draws[0]:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]")


def best(score, left_out, count):
    return np.argsort(np.where(left_out, np.inf, -score), 1)[:, :count]


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    judge = Judge(np.load(sys.argv[1]))
    found = []
    for path in sys.argv[2:]:
        file = np.load(path)
        found.append(judge.measure(file["labelled"].astype(np.float32), file["tissue"].astype(np.float32)))
    judge.report(found[0])
    if len(found) == 2:
        print("less the base:")
        judge.report(found[0], found[1])


if __name__ == "__main__":
    main()
