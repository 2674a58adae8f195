"""What the scripts of the compat tests work on: vectors, exact answers, indexes of either library."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

KINDS = ["Flat", "HNSW16", "IDMap,Flat", "IDMap2,HNSW16"]


def vectors(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def true_distances(space: str, queries: np.ndarray, base: np.ndarray) -> np.ndarray:
    q, b = queries.astype(np.float64), base.astype(np.float64)
    if space == "l2":
        return np.asarray(((q[:, None] - b[None]) ** 2).sum(-1))
    if space == "cosine":
        q, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, b))
    return np.asarray(1 - q @ b.T)


def filled(lib: Any, n: int = 50, space: str = "l2", capacity: int = 100, **options: Any) -> Any:
    index = lib.Index(space=space, dim=8)
    index.init_index(max_elements=capacity, **options)
    index.add_items(vectors(n))
    return index


def scores(metric: int, queries: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Distances, or negated inner products."""
    q, b = queries.astype(np.float64), base.astype(np.float64)
    return np.asarray(-(q @ b.T) if metric == 0 else ((q[:, None] - b[None]) ** 2).sum(-1))


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist())]))


def made(lib: Any, kind: str, n: int = 50, metric: int = 1) -> Any:
    index = lib.index_factory(8, kind, metric)
    if kind.startswith("IDMap"):
        index.add_with_ids(vectors(n), 1000 + np.arange(n))
    else:
        index.add(vectors(n))
    return index


# As written after `faiss.`, and what they select.
SELECTORS: dict[str, Callable[[int], bool]] = {
    "IDSelectorAll()": lambda i: True,
    "IDSelectorRange(3, 20)": lambda i: 3 <= i < 20,
    "IDSelectorRange(imin=3, imax=20)": lambda i: 3 <= i < 20,
    "IDSelectorBatch([4, 9, 30, 31, 99])": lambda i: i in (4, 9, 30, 31),
    "IDSelectorArray(np.array([4, 9, 30, 31, 99]))": lambda i: i in (4, 9, 30, 31),
    "IDSelectorBitmap(np.array([24, 255, 1], dtype=np.uint8))": lambda i: i in (3, 4, 16) or 8 <= i < 16,
    "IDSelectorNot(faiss.IDSelectorRange(3, 20))": lambda i: not 3 <= i < 20,
    "IDSelectorAnd(faiss.IDSelectorRange(3, 20), faiss.IDSelectorRange(10, 40))": lambda i: 10 <= i < 20,
    "IDSelectorOr(faiss.IDSelectorRange(3, 20), faiss.IDSelectorRange(10, 40))": lambda i: 3 <= i < 40,
    "IDSelectorXOr(faiss.IDSelectorRange(3, 20), faiss.IDSelectorRange(10, 40))": lambda i: 3 <= i < 10 or 20 <= i < 40,
}
