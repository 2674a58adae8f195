"""What a collection and a live index have in common: how ids and vectors of a change are checked."""

from __future__ import annotations

import threading
from typing import Sequence, Union

import numpy as np
import numpy.typing as npt

from ._arrays import float_rows, id_array, integers_or_mask
from ._errors import InvalidArgument
from ._items import DocumentRows

NO_IDS = np.empty(0, dtype=np.int64)
LAST_ID = int(np.iinfo(np.int64).max)
# Vectors, one an item, or several: as given, and as checked.
Items = Union[npt.ArrayLike, "tuple[npt.ArrayLike, npt.ArrayLike]"]
Content = Union["npt.NDArray[np.float32]", DocumentRows]


class Changing:
    """Something whose content changes by ids. A Writer needs no more of it."""

    _noun: str
    _lock: threading.RLock
    _next_id: int

    @property
    def dim(self) -> int:
        raise NotImplementedError

    def __contains__(self, name: object) -> bool:
        raise NotImplementedError

    def _change(self, gone: npt.NDArray[np.int64], names: npt.NDArray[np.int64], rows: Content) -> int:
        """Takes `gone` away and puts `rows` under `names`, at once; returns how many of `gone` there were."""
        raise NotImplementedError

    def _checked(self, vectors: Items) -> Content:
        return self._checked_rows(vectors)  # type: ignore[arg-type]

    def _gathered(self, items: Sequence[npt.NDArray[np.float32]]) -> Content:
        """Items of a Content as one."""
        return np.stack(items) if items else np.empty((0, self.dim), dtype=np.float32)

    def _checked_rows(self, vectors: npt.ArrayLike) -> npt.NDArray[np.float32]:
        rows = np.atleast_2d(float_rows(vectors, "vectors", True))
        if rows.shape[1] != self.dim:
            raise InvalidArgument(f"vectors have {rows.shape[1]} columns, the {self._noun} has dimension {self.dim}")
        bad = np.argwhere(~np.isfinite(rows))
        if len(bad):
            row, column = bad[0]
            raise InvalidArgument(f"vectors row {row} column {column} is {rows[row, column]}, expected a finite number")
        return rows

    def _checked_ids(self, ids: npt.ArrayLike, rows: Content) -> npt.NDArray[np.int64]:
        names = id_array(np.atleast_1d(integers_or_mask(ids, "ids")), "ids")
        if len(names) != len(rows):
            raise InvalidArgument(f"{len(names)} ids for {len(rows)} vectors, expected one each")
        if len(names) and names.min() < 0:
            raise InvalidArgument(f"id {names.min()} is negative, expected 0 or more")
        unique, counts = np.unique(names, return_counts=True)
        if len(unique) != len(names):
            raise InvalidArgument(f"id {unique[counts > 1][0]} is given twice, expected unique ids")
        return names

    def _free_ids(self, count: int, least: int = 0) -> npt.NDArray[np.int64]:
        first = max(self._next_id, least)
        if first + count - 1 > LAST_ID:
            raise InvalidArgument(f"no {count} ids are left above {first - 1}, expected ids to be given")
        return first + np.arange(count, dtype=np.int64) if count else NO_IDS
