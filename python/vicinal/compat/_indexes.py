"""The index classes of faiss over Vicinal's Collection."""

from __future__ import annotations

import copy
import operator
import os
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from .._collection import Collection
from .._functions import build, reconstruct
from ._graph import effort, graph_spec
from ._selectors import IDSelector, IDSelectorArray, Ids, Mask, SearchParameters, SearchParametersHNSW, id_vector

Floats = npt.NDArray[np.float32]
Answers = tuple[Floats, Ids]

METRIC_INNER_PRODUCT, METRIC_L2 = 0, 1
METRICS = {METRIC_INNER_PRODUCT: "ip", METRIC_L2: "l2"}

_FARTHEST = np.finfo(np.float32).max
_FIELDS = ("d", "metric_type", "hnsw", "index")
_PAIRS_AT_ONCE = 4_000_000  # of a query and a vector, in a range search

_threads = os.cpu_count() or 1


def omp_get_max_threads() -> int:
    return _threads


def omp_set_num_threads(num_threads: int) -> None:
    """For searches and builds of every index; 0: one."""
    global _threads
    _threads = max(1, operator.index(num_threads))


def _positive(k: Any) -> int:
    number = operator.index(k)
    if number < 1:
        raise AssertionError(f"k is {number}, expected at least 1")
    return number


def _filled(given: Any, values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The caller's own array, if one was given, with the values in it."""
    if given is None:
        return values
    if given.shape != values.shape:
        raise AssertionError(f"{name} has shape {given.shape}, expected {values.shape}")
    if given.dtype != values.dtype:
        raise TypeError(f"{name} is {given.dtype.name}, expected {values.dtype.name}")
    given[...] = values
    return np.asarray(given)


class Index:
    """What every index does. Distances come first and the nearest first; for the inner product, the largest. Where there are
    fewer than k, ids are -1 and distances the largest or least float32."""

    metric_arg = 0.0
    is_trained = True
    verbose = False
    d: int
    metric_type: int

    def __init__(self, d: int, metric: int) -> None:
        if metric not in METRICS:
            raise RuntimeError(f"metric {metric} is not supported, expected METRIC_L2 (1) or METRIC_INNER_PRODUCT (0)")
        self.d, self.metric_type = operator.index(d), operator.index(metric)

    @property
    def ntotal(self) -> int:
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        # Setting what does not exist is an error in faiss: index.efSearch is meant for index.hnsw.efSearch.
        if not (name.startswith("_") or name in _FIELDS or hasattr(self, name)):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'.")
        super().__setattr__(name, value)

    def _refuse(self, what: str) -> RuntimeError:
        return RuntimeError(f"{what} not implemented for this type of index: {type(self).__name__}")

    def _matrix(self, x: Any) -> Floats:
        rows = np.asarray(x)
        if rows.ndim != 2:
            raise ValueError(f"x has shape {rows.shape}, expected (n, {self.d})")
        if rows.shape[1] != self.d:
            raise AssertionError(f"x has {rows.shape[1]} columns, the index has dimension {self.d}")
        return np.ascontiguousarray(rows, dtype=np.float32)

    def train(self, x: Any) -> None:
        """Nothing is learned."""
        self._matrix(x)

    def add(self, x: Any) -> None:
        raise NotImplementedError

    def add_with_ids(self, x: Any, ids: Any) -> None:
        raise self._refuse("add_with_ids")

    def remove_ids(self, x: Any) -> int:
        """Removes what a selector selects, or an array of ids names; returns how many there were."""
        return self._remove((x if isinstance(x, IDSelector) else IDSelectorArray(x))._mask)

    def _remove(self, chosen: Callable[[Ids], Mask]) -> int:
        """`chosen` says of ids, one a row, which are to go."""
        raise self._refuse("remove_ids")

    def reset(self) -> None:
        raise NotImplementedError

    def _found(self, rows: Floats, k: int, params: SearchParameters | None) -> Answers:
        raise NotImplementedError

    def search(self, x: Any, k: int, *, params: SearchParameters | None = None, D: Any = None, I: Any = None) -> Answers:
        """The k nearest of every query: distances (n, k) float32 and ids (n, k) int64; into D and I where they are given."""
        distances, ids = self._found(self._matrix(x), _positive(k), params)
        return _filled(D, distances, "D"), _filled(I, ids, "I")

    def assign(self, x: Any, k: int, labels: Any = None) -> Ids:
        """Ids only."""
        return _filled(labels, self.search(x, k)[1], "labels")

    def search_and_reconstruct(
        self, x: Any, k: int, *, params: SearchParameters | None = None, D: Any = None, I: Any = None, R: Any = None
    ) -> tuple[Floats, Ids, Floats]:
        """And the vectors found, (n, k, d); NaN where there are fewer than k."""
        distances, ids = self.search(x, k, params=params, D=D, I=I)
        vectors = np.full((*ids.shape, self.d), np.nan, dtype=np.float32)
        if (ids >= 0).any():
            vectors[ids >= 0] = self.reconstruct_batch(ids[ids >= 0])
        return distances, ids, _filled(R, vectors, "R")

    def range_search(
        self, x: Any, thresh: float, *, params: SearchParameters | None = None
    ) -> tuple[npt.NDArray[np.uint64], Floats, Ids]:
        """Everything nearer than `thresh` (for the inner product: larger), by id: query i's is `lims[i]` to `lims[i + 1]`."""
        rows = self._matrix(x)
        sizes, distances, ids = [np.zeros(1, dtype=np.uint64)], [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        step = max(1, _PAIRS_AT_ONCE // max(1, self.ntotal))
        for begin in range(0, len(rows), step):
            batch = rows[begin : begin + step]
            k = min(64, max(1, self.ntotal))
            while True:
                found = self._found(batch, k, params)
                inside = (found[1] >= 0) & (found[0] < thresh if self.metric_type == METRIC_L2 else found[0] > thresh)
                if k >= self.ntotal or not inside[:, -1].any():
                    break
                k = min(4 * k, self.ntotal)
            order = np.argsort(np.where(inside, found[1], np.iinfo(np.int64).max), axis=1)
            inside = np.take_along_axis(inside, order, 1)
            sizes.append(inside.sum(axis=1).astype(np.uint64))
            distances.append(np.take_along_axis(found[0], order, 1)[inside])
            ids.append(np.take_along_axis(found[1], order, 1)[inside])
        return np.cumsum(np.concatenate(sizes), dtype=np.uint64), np.concatenate(distances), np.concatenate(ids)

    def _vectors(self, keys: Ids) -> Floats:
        raise NotImplementedError

    def reconstruct(self, key: int, x: Any = None) -> Floats:
        """The vector of an id, (d,)."""
        return _filled(x, self._vectors(np.array([operator.index(key)], dtype=np.int64))[0], "x")

    def reconstruct_batch(self, key: Any, x: Any = None) -> Floats:
        return _filled(x, self._vectors(id_vector(key, "key")), "x")

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Floats:
        """The vectors of ids n0 to n0 + ni; ni = -1: to the end."""
        count = self.ntotal - n0 if ni == -1 else ni
        if count < 0 or n0 < 0 or n0 + count > self.ntotal:
            raise RuntimeError(f"ids {n0} to {n0 + count} are asked for, expected 0 to {self.ntotal}")
        return _filled(x, self._vectors(np.arange(n0, n0 + count, dtype=np.int64)), "x")

    def check_compatible_for_merge(self, otherIndex: Index) -> None:
        if type(otherIndex) is not type(self) or otherIndex.d != self.d or otherIndex.metric_type != self.metric_type:
            raise RuntimeError(f"an index of another type, dimension or metric cannot be merged: {otherIndex!r} into {self!r}")

    def merge_from(self, otherIndex: Index, add_id: int = 0) -> None:
        """Takes the vectors of another index, which is empty then."""
        raise self._refuse("merge_from")

    def __copy__(self) -> Index:
        return copy.deepcopy(self)


class RowIndex(Index):
    """An index whose ids are row numbers."""

    def __init__(self, d: int, metric: int) -> None:
        super().__init__(d, metric)
        self._items = self._collection()

    def _spec(self) -> str:
        raise NotImplementedError

    def _collection(self) -> Collection:
        return Collection(self.d, self._spec(), metric=METRICS[self.metric_type], calibrate=False)

    def _effort(self, k: int, params: SearchParameters | None) -> int | None:
        return None

    @property
    def ntotal(self) -> int:
        return len(self._items)

    def add(self, x: Any) -> None:
        rows = self._matrix(x)
        if not len(self._items):
            self._items = self._collection()
        self._items._threads = _threads
        self._items.add(rows, np.arange(self.ntotal, self.ntotal + len(rows), dtype=np.int64))

    def reset(self) -> None:
        self._items = self._collection()

    def _found(self, rows: Floats, k: int, params: SearchParameters | None) -> Answers:
        mask = None
        if params is not None and params.sel is not None:
            mask = params.sel._mask(np.arange(self.ntotal, dtype=np.int64))
        return self._search(rows, k, self._effort(k, params), mask)

    def _search(self, rows: Floats, k: int, ef: int | None, mask: Mask | None) -> Answers:
        worst = _FARTHEST if self.metric_type == METRIC_L2 else -_FARTHEST
        distances = np.full((len(rows), k), worst, dtype=np.float32)
        ids = np.full((len(rows), k), -1, dtype=np.int64)
        there = min(k, self.ntotal)
        if there and len(rows):
            hits = self._items.search(rows, there, effort=ef, filter=mask, threads=_threads)
            ids[:, :there] = hits.ids
            near = np.asarray(hits.distances) if self.metric_type == METRIC_L2 else -np.asarray(hits.distances)
            distances[:, :there] = np.where(ids[:, :there] < 0, worst, near)
        return distances, ids

    def _vectors(self, keys: Ids) -> Floats:
        bad = keys[(keys < 0) | (keys >= self.ntotal)]
        if len(bad):
            raise RuntimeError(f"key {bad[0]} is asked for, expected 0 to {self.ntotal - 1}")
        return self._items.get(keys)

    def _everything(self) -> Floats:
        if not self.ntotal:
            return np.empty((0, self.d), dtype=np.float32)
        return reconstruct(self._items.to_index())

    def __repr__(self) -> str:
        return f"<faiss.{type(self).__name__} {self.ntotal:,} x {self.d}, {METRICS[self.metric_type]}>"


class IndexFlat(RowIndex):
    """Every vector is compared."""

    def __init__(self, d: int, metric: int = METRIC_L2) -> None:
        super().__init__(d, metric)

    def _spec(self) -> str:
        return "f32 | flat"

    @property
    def code_size(self) -> int:
        return 4 * self.d

    @property
    def codes(self) -> npt.NDArray[np.uint8]:
        """A copy of the vectors as bytes: faiss.vector_to_array(index.codes)."""
        return self.get_xb().view(np.uint8)

    def get_xb(self) -> Floats:
        """A copy of the vectors, one after the other: faiss.rev_swig_ptr(index.get_xb(), n)."""
        return self._everything().reshape(-1)

    def _remove(self, chosen: Callable[[Ids], Mask]) -> int:
        """Those behind what is removed move up."""
        gone = chosen(np.arange(self.ntotal, dtype=np.int64))
        if gone.any():
            kept = self._everything()[~gone]
            self._items = self._collection()
            if len(kept):
                metric = METRICS[self.metric_type]
                index = build(kept, self._spec(), metric=metric, threads=_threads, calibrate=False, progress=False)
                self._items = Collection.from_index(index)
        return int(gone.sum())

    def merge_from(self, otherIndex: Index, add_id: int = 0) -> None:
        self.check_compatible_for_merge(otherIndex)
        if add_id != 0:
            raise RuntimeError(f"add_id is {add_id}, expected 0: ids are row numbers")
        self.add(otherIndex.reconstruct_n())
        otherIndex.reset()


class IndexFlatL2(IndexFlat):
    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_L2)


class IndexFlatIP(IndexFlat):
    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_INNER_PRODUCT)


@dataclass(slots=True)
class HNSW:
    """The parameters of a graph. efConstruction is read when vectors are added to an empty index."""

    M: int
    efConstruction: int = 40
    efSearch: int = 16

    def nb_neighbors(self, layer_no: int) -> int:
        return self.M if layer_no else 2 * self.M


class IndexHNSWFlat(RowIndex):
    """A graph. It is built when it is due: below a few thousand vectors, answers are exact."""

    hnsw: HNSW

    def __init__(self, d: int, M: int, metric: int = METRIC_L2) -> None:
        self.hnsw = HNSW(operator.index(M))
        super().__init__(d, metric)

    def _spec(self) -> str:
        return graph_spec(self.hnsw.M, self.hnsw.efConstruction)

    def _effort(self, k: int, params: SearchParameters | None) -> int | None:
        return effort(params.efSearch if isinstance(params, SearchParametersHNSW) else self.hnsw.efSearch, k)
