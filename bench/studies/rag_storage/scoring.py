"""Exact cosine search, nDCG and recall by query, and intervals for differences of their means."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

K = 10
RESAMPLES = 10_000
_BLOCK = 128  # queries that are scored at once


def unit(rows: Floats) -> Floats:
    """Rows of length 1. Rows of zeros, or with a value that is no number, become zeros: they are like nothing."""
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        usable = np.isfinite(lengths) & (lengths > 0)
        return np.where(usable, rows / np.where(usable, lengths, 1), 0).astype(np.float32)


def nearest(documents: Floats, queries: Floats, k: int = K) -> Rows:
    """(queries, k) rows of the documents with the largest inner product, ties to the smaller row. Blocks of
    queries run side by side."""
    spare = min(len(documents), k + 54)

    def of_block(first: int) -> Rows:
        scores = queries[first : first + _BLOCK] @ documents.T
        candidates = np.argpartition(scores, len(documents) - spare, axis=1)[:, -spare:]
        values = np.take_along_axis(scores, candidates, axis=1)
        order = np.lexsort((candidates, -values), axis=1)[:, :k]
        return np.take_along_axis(candidates, order, axis=1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(of_block, range(0, len(queries), _BLOCK))))


def cosine_nearest(documents: Floats, queries: Floats, k: int = K) -> Rows:
    return nearest(unit(documents), unit(queries), k)


def ndcg(found: Rows, relevant: Sequence[Mapping[int, float]], k: int = K) -> Scores:
    """nDCG@k of each query, gains as judged and discounted by log2(rank + 1), as trec_eval and MTEB have it."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    scores = np.zeros(len(found))
    for query, (rows, gains) in enumerate(zip(found[:, :k], relevant)):
        gained = np.array([gains.get(int(row), 0.0) for row in rows])
        ideal = np.sort(np.array(list(gains.values()), dtype=np.float64))[::-1][:k]
        best = float(ideal @ discounts[: len(ideal)])
        scores[query] = gained @ discounts[: len(gained)] / best if best > 0 else 0.0
    return scores


def recall(found: Rows, truth: Rows) -> Scores:
    """Of each query, the share of `truth` that was found."""
    return np.array([len(np.intersect1d(one, other)) / len(other) for one, other in zip(found, truth)])


@dataclass(frozen=True)
class Interval:
    """A difference in percent of the uncompressed quality, and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@lru_cache(maxsize=8)
def _draws(size: int, stream: int, resamples: int) -> npt.NDArray[np.uint8]:
    """How often each of `size` queries is drawn, (resamples, size); always the same, so that claims can be compared."""
    generator = np.random.default_rng([stream, size])
    return generator.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.uint8)


def difference(one: Sequence[Scores], other: Sequence[Scores], whole: Sequence[Scores], resamples: int = RESAMPLES) -> Interval:
    """100 (mean of one - mean of other) / mean of whole, where a mean is taken over the queries of each task, then over tasks.

    Paired bootstrap: the queries of a task are drawn anew, the same draw for all three; percentiles 2.5 and 97.5.
    """
    above, below = np.zeros(resamples), np.zeros(resamples)
    for stream, (a, b, c) in enumerate(zip(one, other, whole)):
        weights = _draws(len(a), stream, resamples) / len(a)
        above += weights @ (a - b)
        below += weights @ c
    value = sum(float(np.mean(a - b)) for a, b in zip(one, other)) / sum(float(np.mean(c)) for c in whole)
    low, high = np.percentile(100 * above / below, [2.5, 97.5])
    return Interval(100 * value, float(low), float(high))
