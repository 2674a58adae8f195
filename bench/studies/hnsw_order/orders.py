"""The orders in which rows are inserted. An order is a permutation: order[i] is the row that comes i-th."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .lid import Doubles, Rows

RANDOM, ASCENDING, DESCENDING, CATEGORY = "random", "LID ascending", "LID descending", "category"


def shuffled(count: int, seed: int) -> Rows:
    return np.random.default_rng(seed).permutation(count).astype(np.int64)


def by_lid(lid: Doubles, descending: bool = False) -> Rows:
    """Rows of equal LID keep their order."""
    return np.argsort(-lid if descending else lid, kind="stable").astype(np.int64)


def by_category(categories: npt.NDArray[np.int64], seed: int) -> Rows:
    """One category after the other, the categories and the rows of each in random order."""
    generator = np.random.default_rng(seed)
    turn = generator.permutation(int(categories.max()) + 1)
    return np.lexsort((generator.permutation(len(categories)), turn[categories])).astype(np.int64)


def all_of(lid: Doubles, categories: npt.NDArray[np.int64] | None, seeds: int) -> list[tuple[str, int, Rows]]:
    """(name, seed, order) of every order that is measured; those by chance once a seed, the others with seed 0."""
    found = [(RANDOM, seed, shuffled(len(lid), seed)) for seed in range(seeds)]
    found += [(ASCENDING, 0, by_lid(lid)), (DESCENDING, 0, by_lid(lid, descending=True))]
    if categories is not None:
        found += [(CATEGORY, seed, by_category(categories, seed)) for seed in range(seeds)]
    return found
