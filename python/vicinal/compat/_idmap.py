"""Ids of one's own for the indexes of faiss, whose ids are row numbers."""

from __future__ import annotations

import operator
from typing import Any, Callable

import numpy as np

from ._indexes import Answers, Floats, Index, RowIndex
from ._selectors import Ids, Mask, SearchParameters, id_vector


class IndexIDMap(Index):
    """Ids of one's own for another index, which must be empty. An id may be given to several vectors."""

    index: RowIndex

    def __init__(self, index: Index) -> None:
        if not isinstance(index, RowIndex):
            raise RuntimeError(f"IDMap over {type(index).__name__} is not supported, expected IndexFlat or IndexHNSWFlat")
        if index.ntotal:
            raise RuntimeError(f"index must be empty on input, it holds {index.ntotal} vectors")
        super().__init__(index.d, index.metric_type)
        self.index = index
        self._ids = np.empty(0, dtype=np.int64)

    @property
    def id_map(self) -> Ids:
        """A copy: the id of every row."""
        return self._ids.copy()

    @property
    def ntotal(self) -> int:
        return len(self._ids)

    def add(self, x: Any) -> None:
        raise RuntimeError("add does not make sense with IndexIDMap, use add_with_ids")

    def add_with_ids(self, x: Any, ids: Any) -> None:
        rows, names = self._matrix(x), id_vector(ids, "ids")
        if len(names) != len(rows):
            raise AssertionError(f"not same nb of vectors as ids: {len(rows)} vectors, {len(names)} ids")
        self.index.add(rows)
        self._ids = np.concatenate([self._ids, names])

    def reset(self) -> None:
        self.index.reset()
        self._ids = np.empty(0, dtype=np.int64)

    def _remove(self, chosen: Callable[[Ids], Mask]) -> int:
        gone = chosen(self._ids)
        count = self.index._remove(lambda rows: gone)
        self._ids = self._ids[~gone]
        return count

    def merge_from(self, otherIndex: Index, add_id: int = 0) -> None:
        self.check_compatible_for_merge(otherIndex)
        assert isinstance(otherIndex, IndexIDMap)
        ids = otherIndex.id_map + operator.index(add_id)
        self.index.merge_from(otherIndex.index)
        self._ids = np.concatenate([self._ids, ids])
        otherIndex.reset()

    def _found(self, rows: Floats, k: int, params: SearchParameters | None) -> Answers:
        mask = params.sel._mask(self._ids) if params is not None and params.sel is not None else None
        distances, found = self.index._search(rows, k, self.index._effort(k, params), mask)
        if not self.ntotal:
            return distances, found
        return distances, np.where(found < 0, np.int64(-1), self._ids[found])

    def _vectors(self, keys: Ids) -> Floats:
        raise self._refuse("reconstruct")

    def __repr__(self) -> str:
        return f"<faiss.{type(self).__name__} over {self.index!r}>"


class IndexIDMap2(IndexIDMap):
    """And back from an id to its vector: the one added last."""

    _reverse: tuple[Ids, dict[int, int]] | None = None

    @property
    def rev_map(self) -> dict[int, int]:
        """The last row of every id."""
        if self._reverse is None or self._reverse[0] is not self._ids:  # a change makes a new array
            self._reverse = self._ids, {name: row for row, name in enumerate(self._ids.tolist())}
        return self._reverse[1]

    def _vectors(self, keys: Ids) -> Floats:
        row_of = self.rev_map
        unknown = [key for key in keys.tolist() if key not in row_of]
        if unknown:
            raise RuntimeError(f"key {unknown[0]} not found")
        return self.index._vectors(np.array([row_of[key] for key in keys.tolist()], dtype=np.int64))
