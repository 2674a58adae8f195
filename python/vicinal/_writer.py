"""Changes to a collection that take effect together."""

from __future__ import annotations

from types import TracebackType

import numpy as np
import numpy.typing as npt

from ._arrays import id_array
from ._changing import Changing, Content, Items
from ._errors import InvalidArgument

class Writer:
    """Changes to a Collection or a LiveIndex that take effect together, at `flush` or at the end of the `with` block; an exception there drops
    those that were not flushed. Later changes of an id replace earlier ones."""

    def __init__(self, collection: Changing) -> None:
        self._collection = collection
        self._changes: dict[int, npt.NDArray[np.float32] | None] = {}
        self._next_id = 0

    def add(self, vectors: Items, ids: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
        """As Collection.add."""
        target = self._collection
        rows = target._checked(vectors)
        with target._lock:
            if ids is None:
                names = target._free_ids(len(rows), self._next_id)
            else:
                names = target._checked_ids(ids, rows)
            for name in names.tolist():
                pending = self._changes.get(name)
                if pending is not None or (name not in self._changes and name in target):
                    raise InvalidArgument(f"id {name} is in the {target._noun} already (upsert replaces)")
        self._record(names, rows)
        return names

    def upsert(self, vectors: Items, ids: npt.ArrayLike) -> None:
        """As Collection.upsert."""
        rows = self._collection._checked(vectors)
        self._record(self._collection._checked_ids(ids, rows), rows)

    def remove(self, ids: npt.ArrayLike) -> None:
        """As Collection.remove."""
        self._changes.update(dict.fromkeys(id_array(ids, "ids").tolist()))

    def flush(self) -> None:
        """Makes the changes so far, all at once."""
        added = {name: row for name, row in self._changes.items() if row is not None}
        gone = [name for name, row in self._changes.items() if row is None]
        rows = self._collection._gathered(list(added.values()))
        with self._collection._lock:
            self._collection._change(np.array(gone, dtype=np.int64), np.array(list(added), dtype=np.int64), rows)
        self._changes = {}

    def _record(self, names: npt.NDArray[np.int64], rows: Content) -> None:
        if len(names):
            self._next_id = max(self._next_id, int(names.max()) + 1)
        self._changes.update(zip(names.tolist(), rows.copy()))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()
        else:
            self._changes = {}
