"""Local intrinsic dimension (LID) of points, by maximum likelihood from the distances of their nearest neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import vicinal

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

NEIGHBOURS = 100
_FEWEST = 10  # distances that an estimate is made from; with fewer it is 0
_BLOCK = 512  # rows whose neighbours are subtracted at once


def maximum_likelihood(distances: npt.NDArray[np.floating]) -> Doubles:
    """LID of each row of `distances`, those of a point's nearest neighbours in ascending order: of Levina & Bickel 2004, and Amsaleg
    et al. 2015, with the mean over the k - 1 logarithms that are not zero by construction.

    In a ball of even density the expectation is (k - 1) / (k - 2) times the dimension. Distances of 0 are left out: a copy of a
    point says nothing of what is around it. Distances, not their squares, which would halve the estimate.
    """
    r = np.asarray(distances, dtype=np.float64)
    used = r > 0
    furthest = r[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(used, np.log(r / furthest), 0.0).sum(axis=1)
        estimates = -(used.sum(axis=1) - 1) / logarithms
    return np.where((used.sum(axis=1) >= _FEWEST) & (logarithms < 0), estimates, 0.0)


def distances_to(base: Floats, points: Floats, rows: Rows) -> Doubles:
    """(points, k) Euclidean distances of each point to its `rows` of the base, in float64: differences, so that near neighbours
    keep their digits. Row -1 is nobody, infinitely far."""
    found = np.empty(rows.shape)
    for first in range(0, len(points), _BLOCK):
        part = slice(first, first + _BLOCK)
        difference = base[rows[part]].astype(np.float64) - points[part, None, :]
        found[part] = np.sqrt(np.einsum("pkd,pkd->pk", difference, difference))
    found[rows < 0] = np.inf
    return found


def nearest(base: Floats, points: Floats, k: int) -> tuple[Rows, Doubles]:
    """The k exact nearest rows of the base to each point, and their distances, ascending."""
    rows = vicinal.exact(base, points, k, metric="l2").ids
    distances = distances_to(base, points, rows)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)


def of_points(base: Floats, points: Floats, k: int = NEIGHBOURS) -> Doubles:
    """LID of points that are not in the base, by their neighbours in it."""
    return maximum_likelihood(nearest(base, points, min(k, len(base)))[1])


def of_rows(base: Floats, k: int = NEIGHBOURS) -> Doubles:
    """LID of each row of the base, by its neighbours among the others."""
    rows, distances = nearest(base, base, min(k + 1, len(base)))
    itself = rows == np.arange(len(base))[:, None]
    # With more copies than neighbours a row may not be in its own list; then the last is left out in its place.
    itself[~itself.any(axis=1), -1] = True
    return maximum_likelihood(distances[~itself].reshape(len(base), -1))
