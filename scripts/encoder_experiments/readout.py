"""Linear readouts of pooled features, fitted without labels: 128 numbers, to be scaled to length 1.

`fit` is that of `fit-model --neighbourhoods`. `fit_with_views` knows views of a tile as well: what differs between them
(colours, size, direction, place) tells no tissues apart, and is taken out together with what differs between neighbours.
"""

import numpy as np


def sums(features, one, two):
    """Return what a slide adds to the fit; `one` and `two` are the indices of its pairs of neighbours."""
    x = features.astype(np.float64)
    difference = x[one] - x[two]
    return [difference.T @ difference, len(one), x.T @ x, x.sum(0), len(x)]


def moments(parts):
    """Return the covariance within neighbourhoods, that of all tiles, and their mean, from the sums of several slides."""
    within, pairs, square, total, count = (sum(part[k] for part in parts) for k in range(5))
    mean = total / count
    return within / (2 * pairs), square / count - np.outer(mean, mean), mean


def shrunk(covariance, shrinkage):
    """Return a covariance moved towards equal variance in all directions."""
    size = len(covariance)
    return (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size)


def components(within, covariance, width, power):
    """Return the first principal components after multiplying features by a power of a covariance."""
    values, vectors = np.linalg.eigh(within)
    whitening = (vectors * values**power) @ vectors.T
    _, vectors = np.linalg.eigh(whitening @ covariance @ whitening)
    return vectors[:, ::-1][:, :width].T @ whitening


def fit(parts, width=128, shrinkage=0.1, power=-0.25):
    """Return the readout's matrix and the mean of all tiles, from the sums of several slides."""
    within, covariance, mean = moments(parts)
    return components(shrunk(within, shrinkage), covariance, width, power), mean


def view_moments(features):
    """Return four moments of an archive from features of views, [fields, 2 places, views, width], the plain one first.

    The covariance between the two places of a field, that between the plain and the varied views of a place, that of all
    plain views, and their mean.
    """
    x = features.astype(np.float64)
    near = x[:, 0, 0] - x[:, 1, 0]
    varied = (x[:, :, 1:] - x[:, :, :1]).reshape(-1, x.shape[-1])
    plain = x[:, :, 0].reshape(-1, x.shape[-1])
    mean = plain.mean(0)
    return (
        near.T @ near / (2 * len(near)),
        varied.T @ varied / (2 * len(varied)),
        plain.T @ plain / len(plain) - np.outer(mean, mean),
        mean,
    )


def fit_with_views(parts, archive, width=128, shrinkage=0.1, power=-0.5):
    """Return the readout's matrix and the mean of all tiles; `archive` is what view_moments gave.

    Slides and archive count the same; so do neighbours and views. With the power of -1/2, what differs between
    neighbours and views has the same variance in all directions.
    """
    within, covariance, mean = moments(parts)
    near, varied, covariance_there, mean_there = archive
    within = (within + near) / 2
    within = within + varied * np.trace(within) / np.trace(varied)
    apart = (mean - mean_there) / 2
    covariance = (covariance + covariance_there) / 2 + np.outer(apart, apart)
    return components(shrunk(within, shrinkage), covariance, width, power), (mean + mean_there) / 2


def descriptors(readout, features):
    matrix, mean = readout
    y = ((features - mean) @ matrix.T).astype(np.float32)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


def neighbours(middles_um, limit_um=500.0):
    distance = np.linalg.norm(middles_um[:, None] - middles_um[None], axis=-1)
    return np.where(np.triu(distance < limit_um, 1))


class Readouts:
    """Fits readouts on the tissue of some patients, and on views of an archive where they are given."""

    def __init__(self, judged):
        self.slide, self.owner = judged["tissue_slide"], judged["tissue_patient"]
        self.pairs = {s: neighbours(judged["tissue_um"][self.slide == s]) for s in np.unique(self.slide)}

    def fitted(self, tissue, archive=None):
        """Return a function that gives the readout for a patient, fitted on the others."""
        parts = {s: sums(tissue[self.slide == s], *pairs) for s, pairs in self.pairs.items()}
        owner = {s: self.owner[self.slide == s][0] for s in parts}
        found = {}

        def readout(patient):
            key = patient if patient in owner.values() else None
            if key not in found:
                others = [part for s, part in parts.items() if owner[s] != patient]
                found[key] = fit_with_views(others, archive) if archive else fit(others)
            return found[key]

        return readout
