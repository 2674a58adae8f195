"""Vectors under ids, in memory, that come and go."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import Sequence

import numpy as np
import numpy.typing as npt


class Rows:
    """Vectors under ids. `put` and `drop` happen whole or not at all, even when a signal handler raises in the middle: what a row
    holds counts from the moment it stands in the dict, and one call of C code changes that."""

    def __init__(self, dim: int) -> None:
        self._values = np.empty((0, dim), dtype=np.float32)
        self._row_of: dict[int, int] = {}
        self._used = 0  # rows beyond were never given out
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, name: int) -> bool:
        return name in self._row_of

    def put(self, names: Sequence[int], vectors: npt.NDArray[np.float32]) -> None:
        """New vectors never overwrite rows that count: those they replace are free afterwards."""
        reused = self._free[max(0, len(self._free) - len(names)) :]
        first = self._used
        rows = [*reused, *range(first, first + len(names) - len(reused))]
        needed = first + len(names) - len(reused)
        if needed > len(self._values):
            grown = np.empty((max(needed, 2 * len(self._values), 16), self._values.shape[1]), dtype=np.float32)
            grown[:first] = self._values[:first]
            self._values = grown
        self._values[rows] = vectors
        replaced = [self._row_of[name] for name in names if name in self._row_of]
        del self._free[len(self._free) - len(reused) :]
        self._used = needed
        self._row_of.update(zip(names, rows))
        self._free += replaced

    def drop(self, names: Sequence[int]) -> None:
        """`names` are here, each once."""
        rows = [self._row_of[name] for name in names]
        deque(map(self._row_of.pop, names, repeat(None)), maxlen=0)
        self._free += rows

    def get(self, names: Sequence[int]) -> npt.NDArray[np.float32]:
        """(names, dim), a copy."""
        return self._values[[self._row_of[name] for name in names]]

    def sorted(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Ids ascending, and their vectors: copies."""
        count = len(self._row_of)
        ids = np.fromiter(self._row_of.keys(), dtype=np.int64, count=count)
        rows = np.fromiter(self._row_of.values(), dtype=np.int64, count=count)
        order = np.argsort(ids)
        return ids[order], self._values[rows[order]]

    def copy(self) -> Rows:
        twin = Rows(self._values.shape[1])
        ids, values = self.sorted()
        twin.put(ids.tolist(), values)
        return twin
