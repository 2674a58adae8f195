"""What the tests of documents of several vectors share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Items = tuple[Floats, Ints]
DIM = 24


def make(count: int, least: int, most: int, seed: int) -> Items:
    """Vectors of length 1 around topics, of which a document has a few."""
    rng = np.random.default_rng(seed)
    topics = np.random.default_rng(99).standard_normal((30, DIM))
    lengths = rng.integers(least, most + 1, size=count)
    chosen = np.concatenate([rng.choice(rng.choice(30, 4), n) for n in lengths]).astype(int)
    rows = topics[chosen] + 0.5 * rng.standard_normal((lengths.sum(), DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), np.concatenate([[0], np.cumsum(lengths)])


def parts(items: Items) -> list[Floats]:
    return list(np.split(items[0], items[1][1:-1]))
