"""Vectors under labels, with room for a number of them: what both classes of hnswlib share."""

from __future__ import annotations

import copy
import operator
import os
import threading
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from .._collection import Collection
from .._errors import CorruptFile, IoError
from .._hits import MergedHits
from .._vicinal import Hits, Index
from . import _files
from ._graph import effort

Filter = Callable[[int], bool]
Answers = tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]

_SPACES = ("l2", "ip", "cosine")
_LABEL_MOST = 2**63 - 1


def whole(value: Any, name: str, least: int | None = 0) -> int:
    number = operator.index(value)
    if least is not None and number < least:
        raise TypeError(f"{name} is {number}, expected at least {least}")
    return number


def label_array(given: Any, rows: int) -> npt.NDArray[np.int64]:
    array = np.asarray(given)
    if array.ndim > 1:
        raise RuntimeError(f"The input label has {array.ndim} dimensions, expected one")
    array = array.reshape(-1)
    if len(array) != rows:
        raise RuntimeError(f"The input label shape {len(array)} does not match the input data vector shape {rows}")
    if len(array) and (array.min() < 0 or array.max() > _LABEL_MOST):
        bad = array.min() if array.min() < 0 else array.max()
        raise OverflowError(f"label {bad} is out of bounds, expected 0 to 2^63 - 1")
    return array.astype(np.int64)


class Labelled:
    """A collection with a capacity and numbers for vectors that come without a label."""

    def __init__(self, space: str, dim: int) -> None:
        if space not in _SPACES:
            raise RuntimeError(f"Space name must be one of l2, ip, or cosine. Got {space!r}.")
        self._space, self._dim = space, whole(dim, "dim")
        self._threads = os.cpu_count() or 1
        self._capacity = 0
        self._next_label = 0
        self._items: Collection | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<hnswlib.{type(self).__name__}(space='{self._space}', dim={self._dim})>"

    @property
    def num_threads(self) -> int:
        """For searches and builds; 0 and less: every core."""
        return self._threads

    @num_threads.setter
    def num_threads(self, num_threads: int) -> None:
        self._threads = whole(num_threads, "num_threads", None)

    def set_num_threads(self, num_threads: int) -> None:
        self.num_threads = num_threads

    def get_max_elements(self) -> int:
        return self._capacity

    def _pool(self, num_threads: int) -> int | None:
        given = whole(num_threads, "num_threads", None)
        chosen = given if given > 0 else self._threads
        return chosen if chosen > 0 else None

    def _require(self) -> Collection:
        if self._items is None:
            raise RuntimeError("The index is not initiated: call init_index or load_index first.")
        return self._items

    def _begin(self, spec: str, max_elements: int, seed: int = 1) -> None:
        if self._items is not None:
            raise RuntimeError("The index is already initiated.")
        capacity = whole(max_elements, "max_elements")
        self._items = Collection(self._dim, spec, metric=self._space, seed=seed, calibrate=False)
        self._capacity = capacity

    def _rows(self, data: Any) -> npt.NDArray[np.float32]:
        rows = np.asarray(data, dtype=np.float32)
        if rows.ndim not in (1, 2):
            raise RuntimeError(
                f"Input vector data wrong shape. Number of dimensions {rows.ndim}. Data must be a 1D or 2D array."
            )
        rows = np.atleast_2d(rows)
        if rows.shape[1] != self._dim:
            raise RuntimeError(f"Wrong dimensionality of the vectors: {rows.shape[1]} columns, expected {self._dim}")
        return np.ascontiguousarray(rows)

    def _labelled(self, data: Any, ids: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], int]:
        """Labels, each once (the last vector given for it), their vectors, and how many were given."""
        rows = self._rows(data)
        if ids is None:
            labels = np.arange(self._next_label, self._next_label + len(rows), dtype=np.int64)
        else:
            labels = label_array(ids, len(rows))
        _, from_the_end = np.unique(labels[::-1], return_index=True)
        kept = np.sort(len(labels) - 1 - from_the_end)
        return labels[kept], rows[kept], len(rows)

    def _search(self, data: Any, k: int, num_threads: int, filter: Filter | None, ef: int | None) -> Answers:
        items, rows, wanted = self._require(), self._rows(data), whole(k, "k")
        if wanted == 0 or len(rows) == 0:
            shape = (len(rows), wanted)
            return np.empty(shape, dtype=np.uint64), np.empty(shape, dtype=np.float32)
        found: Hits | MergedHits | None = None
        if wanted <= len(items):
            chosen = None if ef is None else effort(ef, wanted)
            found = items.search(rows, wanted, effort=chosen, filter=filter, threads=self._pool(num_threads))
        if found is None or bool(np.any(np.asarray(found.counts) < wanted)):
            raise RuntimeError(
                "Cannot return the results in a contiguous 2D array. Probably ef or M is too small: "
                f"fewer than k = {wanted} of {len(items)} vectors may be returned"
            )
        offset = np.float32(1 if self._space == "ip" else 0)
        return np.asarray(found.ids).astype(np.uint64), np.asarray(found.distances) + offset

    def _normalised(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._space != "cosine":
            return rows
        lengths = np.linalg.norm(rows, axis=1, keepdims=True) + np.float32(1e-30)
        scaled: npt.NDArray[np.float32] = rows / lengths
        return scaled

    def _read(self, path: str, spec: str) -> tuple[Collection, _files.Notes]:
        """What a file holds, and the notes on it; `spec` is for one without vectors."""
        try:
            index, notes = _files.read(path)
        except CorruptFile as error:
            raise RuntimeError(f"{error} (a file of hnswlib itself cannot be read)") from error
        except (IoError, OSError) as error:
            raise RuntimeError(f"Cannot open file: {error}") from error
        space, dim = (notes.get("space"), notes.get("dim")) if index is None else (index.metric, index.dim)
        if (space, dim) != (self._space, self._dim):
            raise RuntimeError(f"{path} holds space {space!r} with dim {dim}, expected {self._space!r} with dim {self._dim}")
        if index is not None:
            return Collection.from_index(index), notes
        with _files.checked(path):
            spec, seed = str(notes.get("spec", spec)), whole(notes.get("seed", 1), "seed")
            return Collection(self._dim, spec, metric=self._space, seed=seed, calibrate=False), notes

    def _index(self) -> Index | None:
        """As a file holds it; None: there are no vectors."""
        items = self._require()
        items._threads = self._pool(-1)
        return items.to_index() if len(items) else None

    def _notes(self, count: int) -> _files.Notes:
        """`count` is what the file will be known to hold."""
        notes: _files.Notes = {} if self._capacity == count else {"max_elements": self._capacity}
        items = self._require()
        if not len(items):
            notes.update(space=self._space, dim=self._dim, spec=items.spec, seed=items._seed)
        return notes

    def __getstate__(self) -> tuple[dict[str, Any]]:
        with self._lock:
            state = self.__dict__.copy()
            del state["_lock"]
            return (copy.deepcopy(state),)  # a copy of this one lives on by itself

    def __setstate__(self, state: tuple[dict[str, Any]]) -> None:
        self.__dict__.update(copy.deepcopy(state[0]), _lock=threading.RLock())
