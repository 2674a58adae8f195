"""The share of the two documents of a query that are among the first k."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator, Sequence

import numpy as np
import numpy.typing as npt

import vicinal
from muvera.measure import RECIPES

from .lexical import BM25
from .sets import Set

KS = (2, 10, 20, 100)
# Recipe and values, as muvera/measure.py has them.
ENCODINGS = (("paper", 2560), ("paper", 10240), ("vicinal", 1280), ("vicinal", 2560), ("vicinal", 10240), ("vicinal, learned", 1024))
# "The paper" alone is LIMIT's here.
_NAMES = {"paper": "MUVERA's paper"}
RERANKED = (100, 500)
SINGLE, MANY, WORDS = "one vector", "token vectors, MaxSim", "BM25"


@dataclass
class Row:
    set: str
    method: str
    bytes: float | None = None  # a document
    recall: dict[int, list[float]] = field(default_factory=dict)  # by k, of every seed

    def mean(self, k: int) -> float:
        return float(np.mean(self.recall[k]))


def depths(size: int) -> list[int]:
    """Of all documents, anything is among the first."""
    return [k for k in KS if k < size]


def recall(ids: npt.ArrayLike, relevant: npt.NDArray[np.int64], k: int) -> float:
    """ids: a query a row, best first."""
    first = np.asarray(ids)[:, :k]
    if first.shape[1] < k:
        raise ValueError(f"{first.shape[1]} ids a query, expected at least {k}")
    return float((first[:, :, None] == relevant[:, None, :]).any(axis=1).mean())


def _of_ids(given: Set, method: str, ids: npt.ArrayLike, nbytes: float | None) -> Row:
    return Row(given.name, method, nbytes, {k: [recall(ids, given.relevant, k)] for k in depths(given.size)})


def lexical(given: Set) -> Row:
    return _of_ids(given, WORDS, BM25(given.documents).search(given.queries, max(depths(given.size))), None)


def _searched(given: Set, method: str, spec: str, documents: Any, queries: Any, threads: int) -> Row:
    index = vicinal.build(documents, spec, metric="ip", calibrate=False, threads=threads)
    ids = index.search(queries, k=max(depths(given.size)), threads=threads).ids
    return _of_ids(given, method, ids, index.nbytes / given.size)


def single(given: Set, threads: int) -> Row:
    assert given.vectors is not None
    return _searched(given, SINGLE, "flat", *given.vectors, threads)


def many(given: Set, threads: int) -> Row:
    assert given.tokens is not None
    return _searched(given, MANY, "maxsim(f32)", *given.tokens, threads)


def encoded(given: Set, recipe: str, dim: int, seeds: int, threads: int) -> list[Row]:
    """Documents by their encodings alone, and candidates by these that MaxSim orders. The encodings' first k are had as k candidates, whose order
    does not matter to what is among them."""
    assert given.tokens is not None
    documents, queries = given.tokens
    name = f"{_NAMES.get(recipe, recipe)}, {dim:,}"
    alone = Row(given.name, name)
    again = {count: Row(given.name, f"{name}, {count} by MaxSim") for count in RERANKED if count < given.size}
    for seed in range(1, seeds + 1):
        spec = f"{RECIPES[recipe][dim]} | f32 | flat | maxsim(f32)"
        index = vicinal.build(documents, spec, metric="ip", seed=seed, calibrate=False, threads=threads)
        for k in depths(given.size):
            ids = index.search(queries, k=k, effort=k, threads=threads).ids
            alone.recall.setdefault(k, []).append(recall(ids, given.relevant, k))
        for count, row in again.items():
            deep = [k for k in depths(given.size) if k <= count]
            ids = index.search(queries, k=max(deep), effort=count, threads=threads).ids
            for k in deep:
                row.recall.setdefault(k, []).append(recall(ids, given.relevant, k))
    # What is kept besides the tokens is the encoding.
    alone.bytes = 4.0 * dim
    return [alone, *again.values()]


def methods(given: Set, seeds: int, threads: int, encodings: Sequence[tuple[str, int]] = ENCODINGS) -> Iterator[Row]:
    yield lexical(given)
    if given.vectors is not None:
        yield single(given, threads)
    if given.tokens is not None:
        yield many(given, threads)
        for recipe, dim in encodings:
            yield from encoded(given, recipe, dim, seeds, threads)
