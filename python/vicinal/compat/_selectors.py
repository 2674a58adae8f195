"""Selectors and search parameters of faiss: which ids a search may return, and with what effort."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]


def id_vector(given: Any, name: str) -> Ids:
    array = np.asarray(given)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1:
        raise AssertionError(f"{name} has shape {array.shape}, expected one dimension")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} is {array.dtype.name}, expected integers")
    return array.astype(np.int64)


class IDSelector:
    """What the selectors have in common: `is_member(id)`."""

    def _mask(self, ids: Ids) -> Mask:
        """Which of `ids` are selected."""
        raise NotImplementedError

    def is_member(self, id: int) -> bool:
        return bool(self._mask(np.array([operator.index(id)], dtype=np.int64))[0])


class IDSelectorAll(IDSelector):
    def _mask(self, ids: Ids) -> Mask:
        return np.ones(len(ids), dtype=np.bool_)


class IDSelectorRange(IDSelector):
    """imin <= id < imax."""

    def __init__(self, imin: int, imax: int, assume_sorted: bool = False) -> None:
        self.imin, self.imax, self.assume_sorted = operator.index(imin), operator.index(imax), assume_sorted

    def _mask(self, ids: Ids) -> Mask:
        return (ids >= self.imin) & (ids < self.imax)


class IDSelectorArray(IDSelector):
    """The ids given."""

    def __init__(self, ids: Any) -> None:
        self._ids = id_vector(ids, "ids")

    def _mask(self, ids: Ids) -> Mask:
        return np.isin(ids, self._ids)


class IDSelectorBatch(IDSelectorArray):
    """The ids given: in faiss a hash table, where IDSelectorArray is a scan."""

    def __init__(self, indices: Any) -> None:
        super().__init__(indices)


class IDSelectorBitmap(IDSelector):
    """Bit `id % 8` of byte `id // 8`; ids beyond the end are not selected."""

    def __init__(self, bitmap: Any) -> None:
        if not isinstance(bitmap, np.ndarray):
            raise ValueError("input not a numpy array")
        if bitmap.dtype != np.uint8 or bitmap.ndim != 1:
            raise TypeError(f"the bitmap is {bitmap.dtype.name} of shape {bitmap.shape}, expected uint8 of one dimension")
        self._bits = np.unpackbits(bitmap, bitorder="little").astype(np.bool_)

    def _mask(self, ids: Ids) -> Mask:
        inside = (ids >= 0) & (ids < len(self._bits))
        selected = np.zeros(len(ids), dtype=np.bool_)
        selected[inside] = self._bits[ids[inside]]
        return selected


class IDSelectorNot(IDSelector):
    def __init__(self, sel: IDSelector) -> None:
        self._sel = sel

    def _mask(self, ids: Ids) -> Mask:
        return ~self._sel._mask(ids)


class _Pair(IDSelector):
    def __init__(self, lhs: IDSelector, rhs: IDSelector) -> None:
        self._lhs, self._rhs = lhs, rhs


class IDSelectorAnd(_Pair):
    def _mask(self, ids: Ids) -> Mask:
        return self._lhs._mask(ids) & self._rhs._mask(ids)


class IDSelectorOr(_Pair):
    def _mask(self, ids: Ids) -> Mask:
        return self._lhs._mask(ids) | self._rhs._mask(ids)


class IDSelectorXOr(_Pair):
    def _mask(self, ids: Ids) -> Mask:
        return self._lhs._mask(ids) ^ self._rhs._mask(ids)


class SearchParameters:
    """What a search is given besides the queries: `sel`, who may be returned."""

    __slots__ = ("sel",)

    def __init__(self, **values: Any) -> None:
        self.sel: IDSelector | None = None
        self._take(values)

    def _take(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if not hasattr(self, name):
                raise AssertionError(f"{type(self).__name__} has no {name!r}")
            setattr(self, name, value)


class SearchParametersHNSW(SearchParameters):
    """And `efSearch`, which takes the place of the index's own."""

    __slots__ = ("efSearch", "bounded_queue", "check_relative_distance")

    def __init__(self, **values: Any) -> None:
        super().__init__()
        self.efSearch, self.bounded_queue, self.check_relative_distance = 16, True, True
        self._take(values)
