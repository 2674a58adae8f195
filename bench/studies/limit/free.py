"""Vectors without texts: how many documents may there be that queries' vectors of d values still tell apart two by two?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Pairs = npt.NDArray[np.int64]

LEARNING_RATE, TEMPERATURE = 0.01, 0.1  # of the paper's code
# What counts as above: far more than the rounding of a sum of products of unit vectors.
LEAST_MARGIN = 1e-9
CHECK = 25  # steps from one look at the margins to the next


def all_pairs(documents: int) -> Pairs:
    """documents (documents - 1) / 2 rows of two."""
    return np.stack(np.triu_indices(documents, 1), axis=1)


def products(queries: Doubles, documents: Doubles) -> Doubles:
    """Queries x vectors of one x documents x vectors of one; both are items x vectors x values."""
    flat = queries.reshape(-1, queries.shape[2]) @ documents.reshape(-1, documents.shape[2]).T
    return flat.reshape(*queries.shape[:2], *documents.shape[:2])


def scores(queries: Doubles, documents: Doubles) -> Doubles:
    """MaxSim, queries x documents; with one vector each, the inner product."""
    return np.asarray(products(queries, documents).max(axis=3).sum(axis=1))


def margins(found: Doubles, pairs: Pairs) -> Doubles:
    """Of every query: by how much the lower of its two documents is above the highest other."""
    rows = np.arange(len(pairs))
    wanted = np.minimum(found[rows, pairs[:, 0]], found[rows, pairs[:, 1]])
    others = found.copy()
    others[rows[:, None], pairs] = -np.inf
    return np.asarray(wanted - others.max(axis=1))


def unit(vectors: Doubles) -> Doubles:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


@dataclass
class _Adam:
    """Kingma and Ba, 2015, with their constants; what it moves is put back to length 1."""

    value: Doubles

    def __post_init__(self) -> None:
        self.mean, self.square, self.steps = np.zeros_like(self.value), np.zeros_like(self.value), 0

    def step(self, gradient: Doubles) -> None:
        self.steps += 1
        self.mean += 0.1 * (gradient - self.mean)
        self.square += 0.001 * (gradient * gradient - self.square)
        mean, square = self.mean / (1 - 0.9**self.steps), self.square / (1 - 0.999**self.steps)
        self.value = unit(self.value - LEARNING_RATE * mean / (np.sqrt(square) + 1e-8))


def gradients(queries: Doubles, documents: Doubles, pairs: Pairs, temperature: float) -> tuple[float, Doubles, Doubles]:
    """The paper's loss, InfoNCE with all documents in every row, and what it says of queries and of documents."""
    single = products(queries, documents)
    best = single.max(axis=3)
    logits = best.sum(axis=1) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    sums = weights.sum(axis=1, keepdims=True)
    rows = np.arange(len(pairs))[:, None]
    loss = float((np.log(sums) - logits[rows, pairs]).mean())
    weights /= sums
    weights[rows, pairs] -= 0.5
    weights /= temperature * len(pairs)
    if single.shape[1] == single.shape[3] == 1:
        flat = weights
    else:
        # Only the vector of a document that a query's vector likes best has a say.
        flat = np.where(single == best[..., None], weights[:, None, :, None], 0.0).reshape(single.shape[0] * single.shape[1], -1)
    of_queries = (flat @ documents.reshape(-1, documents.shape[2])).reshape(queries.shape)
    of_documents = (flat.T @ queries.reshape(-1, queries.shape[2])).reshape(documents.shape)
    return loss, of_queries, of_documents


@dataclass(frozen=True)
class Found:
    documents: Doubles  # documents x vectors of one x values
    queries: Doubles  # a query for every pair, as all_pairs has them
    margin: float  # the smallest
    steps: int
    start: int  # which of the random starts


def optimise(documents: int, dim: int, vectors: int = 1, coldest: float = TEMPERATURE, seed: int = 1, starts: int = 3, steps: int = 4000) -> Found | None:
    """Vectors of documents and of a query for every pair of them, `vectors` of dim / vectors values each of length 1, such that all queries'
    two are above all others; None says that no start found any, and not that there are none. The temperature falls to `coldest`."""
    if dim % vectors:
        raise ValueError(f"{dim} values make no {vectors} vectors, expected a multiple")
    pairs = all_pairs(documents)
    cooling = (coldest / TEMPERATURE) ** (1 / steps)
    for start in range(starts):
        rng = np.random.default_rng([seed, dim, vectors, documents, start])
        of_queries, of_documents = (_Adam(unit(rng.standard_normal((count, vectors, dim // vectors)))) for count in (len(pairs), documents))
        for step in range(1, steps + 1):
            temperature = TEMPERATURE * cooling**step
            _, down_queries, down_documents = gradients(of_queries.value, of_documents.value, pairs, temperature)
            of_queries.step(down_queries)
            of_documents.step(down_documents)
            if step % CHECK == 0 or step == steps:
                margin = float(margins(scores(of_queries.value, of_documents.value), pairs).min())
                if margin > LEAST_MARGIN:
                    return Found(of_documents.value, of_queries.value, margin, step, start)
    return None


@dataclass
class Search:
    """The most documents that were found for a dimension, and every number that was tried."""

    name: str
    dim: int
    vectors: int
    coldest: float
    best: int = 2  # any two are all there are
    margin: float = float("inf")
    tried: dict[int, bool] = field(default_factory=dict)

    @property
    def not_found(self) -> int:
        """The least that failed."""
        return min(count for count, found in self.tried.items() if not found)


def largest(name: str, dim: int, vectors: int, coldest: float, start: int, starts: int, steps: int) -> Search:
    """From `start` in steps that double until one fails, down in the same way if `start` does, then by halves between: what can be done for n
    can be done for fewer."""
    search = Search(name, dim, vectors, coldest)

    def tries(count: int) -> bool:
        found = optimise(count, dim, vectors, coldest, starts=starts, steps=steps)
        search.tried[count] = found is not None
        if found is not None and count > search.best:
            # Anew, from nothing but the vectors.
            search.best, search.margin = count, float(margins(scores(found.queries, found.documents), all_pairs(count)).min())
        return found is not None

    low, step, high = search.best, 1, max(start, 3)
    if tries(high):
        while search.tried[high]:
            low, high, step = high, high + step, 2 * step
            tries(high)
    else:
        while high > low + 1:
            lower = max(high - step, low + 1)
            if tries(lower):
                low = lower
                break
            high, step = lower, 2 * step
    while high > low + 1:
        middle = (low + high) // 2
        if tries(middle):
            low = middle
        else:
            high = middle
    return search


def cyclic(documents: int) -> tuple[Doubles, Doubles]:
    """Any number of documents in four values, the vertices of a cyclic polytope (Gale, 1963; for retrieval: Wang et al., arXiv 2601.20844):
    document i is at the angle t_i of a trigonometric moment curve, and the query for i and j scores a constant less
    (1 - cos(t - t_i)) (1 - cos(t - t_j)), but for a factor."""
    angles = 2 * np.pi * np.arange(documents) / documents
    first, second = angles[all_pairs(documents)].T
    curve = np.stack([np.cos(angles), np.sin(angles), np.cos(2 * angles), np.sin(2 * angles)], axis=1)
    queries = np.stack([
        np.cos(first) + np.cos(second), np.sin(first) + np.sin(second), -np.cos(first + second) / 2, -np.sin(first + second) / 2,
    ], axis=1)
    return unit(curve)[:, None], unit(queries)[:, None]


@dataclass(frozen=True)
class Construction:
    documents: int
    margin: float
    right: dict[str, float]  # by type of the vectors: the share of queries whose two are above all others


def constructions(counts: Sequence[int], block: int = 4096) -> list[Construction]:
    """How far apart scores are in the cyclic polytope, and how many queries survive vectors of fewer bits; scores are always of doubles."""
    results = []
    for count in counts:
        documents, queries = cyclic(count)
        pairs = all_pairs(count)
        least, right = float("inf"), {name: 0 for name in ("float64", "float32", "float16")}
        for begin in range(0, len(pairs), block):
            own = slice(begin, begin + block)
            for name in right:
                rounded = [vectors.astype(name).astype(np.float64) for vectors in (queries[own], documents)]
                found = margins(scores(*rounded), pairs[own])
                right[name] += int((found > 0).sum())
                least = min(least, float(found.min())) if name == "float64" else least
        results.append(Construction(count, least, {name: hits / len(pairs) for name, hits in right.items()}))
    return results
