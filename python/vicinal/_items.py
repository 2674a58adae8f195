"""Documents of several vectors on their way into an index that changes."""

from __future__ import annotations

from typing import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ._errors import InvalidArgument


class DocumentRows:
    """Rows of all documents and where each begins; as many as there are documents, which it gives one by one."""

    def __init__(self, rows: npt.NDArray[np.float32], offsets: npt.NDArray[np.uint64]) -> None:
        self.rows = rows
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[npt.NDArray[np.float32]]:
        for begin, end in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist()):
            yield self.rows[begin:end]

    def copy(self) -> DocumentRows:
        return DocumentRows(self.rows.copy(), self.offsets)

    def check(self, dim: int, noun: str) -> None:
        """Raises InvalidArgument for another dimension, offsets that are none of these rows, and values that are not finite."""
        if self.rows.shape[1] != dim:
            raise InvalidArgument(f"vectors have {self.rows.shape[1]} columns, the {noun} has dimension {dim}")
        offsets = self.offsets.tolist()
        if offsets[0] != 0 or offsets[-1] != len(self.rows):
            raise InvalidArgument(
                f"vectors offsets begin at row {offsets[0]} and end at row {offsets[-1]}, expected 0 and {len(self.rows)}"
            )
        falling = next((i for i in range(1, len(offsets)) if offsets[i] < offsets[i - 1]), None)
        if falling is not None:
            raise InvalidArgument(f"vectors offsets must ascend: offset {falling} is {offsets[falling]} after {offsets[falling - 1]}")
        bad = np.argwhere(~np.isfinite(self.rows))
        if len(bad):
            row, column = bad[0]
            item = int(np.searchsorted(self.offsets, row, side="right")) - 1
            raise InvalidArgument(
                f"vectors item {item} vector {row - offsets[item]} (row {row}) column {column} is {self.rows[row, column]}, "
                "expected a finite number"
            )


def gathered(documents: Sequence[npt.NDArray[np.float32]], dim: int) -> DocumentRows:
    """One after the other."""
    offsets = np.zeros(len(documents) + 1, dtype=np.uint64)
    np.cumsum([len(one) for one in documents], out=offsets[1:])
    rows = np.concatenate([np.empty((0, dim), dtype=np.float32), *documents])
    return DocumentRows(rows, offsets)
