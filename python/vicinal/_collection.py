"""Vectors that come and go, in front of an immutable index.

The index is built once and answers for most vectors. What is added afterwards waits in a small exact index beside it; what is
removed is filtered out of its answers. Once the newcomers or the removed are too many, everything is built anew: the cost of that
is spread over the changes that made it necessary, so that n additions cost O(n) vectors built in all, times a constant.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Iterable

import numpy as np
import numpy.typing as npt

from . import _vicinal
from ._arrays import float_rows, id_array
from ._errors import InvalidArgument
from ._functions import DEFAULT_SPEC, Vectors, build, open, reconstruct
from ._hits import MergedHits, merge
from ._vicinal import Hits, Index

# The exact part may grow to this many vectors, or to this share of the index, before all is built anew.
_FEW = 2000
_SHARE = 0.25

_METRICS = ("l2", "ip", "cosine")


@dataclass(frozen=True)
class _Snapshot:
    """What a search reads: never changed once made."""

    base: Index | None  # ids are row numbers
    base_ids: npt.NDArray[np.int64]  # ascending: the id of every row of the base
    alive: npt.NDArray[np.bool_] | None  # rows of the base that are not removed; None: all
    recent: Index | None  # exact, ids are row numbers of recent_ids
    recent_ids: npt.NDArray[np.int64]  # ascending


class _Rows:
    """Vectors under ids, appended and overwritten in place."""

    def __init__(self, dim: int) -> None:
        self._values = np.empty((0, dim), dtype=np.float32)
        self._row_of: dict[int, int] = {}
        self._id_of: list[int] = []

    def __len__(self) -> int:
        return len(self._id_of)

    def __contains__(self, name: int) -> bool:
        return name in self._row_of

    def put(self, names: Iterable[int], vectors: npt.NDArray[np.float32]) -> None:
        needed = len(self._id_of) + len(vectors)
        if needed > len(self._values):
            grown = np.empty((max(needed, 2 * len(self._values), 16), self._values.shape[1]), dtype=np.float32)
            grown[: len(self._id_of)] = self._values[: len(self._id_of)]
            self._values = grown
        for name, vector in zip(names, vectors):
            row = self._row_of.get(name)
            if row is None:
                row = self._row_of[name] = len(self._id_of)
                self._id_of.append(name)
            self._values[row] = vector

    def drop(self, name: int) -> None:
        """The last row takes the place of the one that goes."""
        row = self._row_of.pop(name)
        last_id = self._id_of.pop()
        if last_id != name:
            last = self._row_of[last_id]
            self._values[row] = self._values[last]
            self._id_of[row] = last_id
            self._row_of[last_id] = row

    def get(self, name: int) -> npt.NDArray[np.float32]:
        return self._values[self._row_of[name]]

    def sorted(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        ids = np.array(self._id_of, dtype=np.int64)
        order = np.argsort(ids)
        return ids[order], self._values[order]


class Collection:
    """An index whose content changes: `add`, `upsert`, `remove`, `search`, `save`.

    Safe to use from many threads: a search answers from the state before or after a change, never from in between. A call that
    raises has changed nothing.
    """

    def __init__(
        self,
        dim: int,
        spec: str = DEFAULT_SPEC,
        *,
        metric: str,
        seed: int = 1,
        threads: int | None = None,
        calibrate: bool = True,
    ) -> None:
        """`dim` values a vector, `spec` as for `vicinal.build`. `threads` and `calibrate` are for the builds."""
        if dim < 1:
            raise InvalidArgument(f"dim is {dim}, expected at least 1")
        if metric not in _METRICS:
            raise InvalidArgument(f"metric is {metric!r}, expected one of {', '.join(_METRICS)}")
        self._dim, self._metric, self._seed, self._threads, self._calibrate = int(dim), metric, seed, threads, calibrate
        self._spec = _vicinal.canonical_spec(spec)
        self._lock = threading.RLock()
        self._base: Index | None = None
        self._base_ids = np.empty(0, dtype=np.int64)
        self._alive = np.empty(0, dtype=np.bool_)
        self._removed = 0
        self._recent = _Rows(self._dim)
        self._next_id = 0
        self._snapshot: _Snapshot | None = None

    # What there is

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def metric(self) -> str:
        return self._metric

    @property
    def spec(self) -> str:
        return self._spec

    @property
    def nbytes(self) -> int:
        """Bytes of memory, without what ids and bookkeeping of recent vectors take."""
        with self._lock:
            base = 0 if self._base is None else self._base.nbytes
            return base + self._base_ids.nbytes + self._alive.nbytes + len(self._recent) * self._dim * 4

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ascending."""
        with self._lock:
            recent, _ = self._recent.sorted()
            return np.sort(np.concatenate([self._base_ids[self._alive], recent]))

    def __len__(self) -> int:
        with self._lock:
            return len(self._base_ids) - self._removed + len(self._recent)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, (int, np.integer)):
            return False
        with self._lock:
            return int(name) in self._recent or self._row(int(name)) is not None

    def __repr__(self) -> str:
        return f"<vicinal.Collection {len(self):,} x {self._dim}, {self._metric}, {self._spec}, {self.nbytes / 2**20:.1f} MiB>"

    def get(self, ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The vectors of `ids`: as given while they are recent, as the index holds them later (vicinal.reconstruct)."""
        names = id_array(ids, "ids")
        out = np.empty((len(names), self._dim), dtype=np.float32)
        with self._lock:
            self._require_known(names)
            rows = [(i, self._row(int(name))) for i, name in enumerate(names) if int(name) not in self._recent]
            if rows and self._base is not None:
                out[[i for i, _ in rows]] = reconstruct(self._base, np.array([row for _, row in rows], dtype=np.int64))
            for i, name in enumerate(names):
                if int(name) in self._recent:
                    out[i] = self._recent.get(int(name))
        return out

    # Changes

    def add(self, vectors: Vectors, ids: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
        """Adds vectors, (n, dim) or one of (dim,), under new ids: those given, or the next free ones. Returns the ids."""
        rows = self._checked(vectors)
        with self._lock:
            names = np.arange(self._next_id, self._next_id + len(rows), dtype=np.int64) if ids is None else self._checked_ids(ids, rows)
            known = [int(name) for name in names if int(name) in self]
            if known:
                raise InvalidArgument(f"id {known[0]} is in the collection already (upsert replaces)")
            self._put(names, rows)
        return names

    def upsert(self, vectors: Vectors, ids: npt.ArrayLike) -> None:
        """Adds vectors under `ids`, in place of what had these ids."""
        rows = self._checked(vectors)
        with self._lock:
            names = self._checked_ids(ids, rows)
            self._drop_from_base(names)
            self._put(names, rows)

    def remove(self, ids: npt.ArrayLike) -> int:
        """Removes what has these ids; returns how many there were. Unknown ids are not an error."""
        names = np.unique(id_array(ids, "ids"))
        with self._lock:
            count = self._drop_from_base(names)
            for name in names.tolist():
                if name in self._recent:
                    self._recent.drop(name)
                    count += 1
            if count:
                self._snapshot = None
                if self._removed > max(_FEW, len(self._base_ids) // 2):
                    self.optimize()
            return count

    def clear(self) -> None:
        """Removes everything; ids that were given out are not given out again."""
        with self._lock:
            self._set_base(None, np.empty(0, dtype=np.int64))
            self._recent = _Rows(self._dim)

    def writer(self) -> Writer:
        """Collects changes and makes them all at once: `with collection.writer() as w: w.add(...)`."""
        return Writer(self)

    def optimize(self, *, progress: Any = False) -> None:
        """Builds the index anew over everything there is. Happens by itself when it is due."""
        with self._lock:
            names, rows = self._everything()
            if not len(names):
                self.clear()
                return
            if self._removed == 0 and len(self._recent) == 0:
                return
            base = build(
                rows, self._spec, metric=self._metric, seed=self._seed, threads=self._threads,
                calibrate=self._calibrate, progress=progress,
            )
            self._set_base(base, names)
            self._recent = _Rows(self._dim)

    # Search and files

    def search(
        self,
        queries: Vectors,
        k: int = 10,
        *,
        recall: float | None = None,
        effort: int | None = None,
        filter: Any = None,
        threads: int | None = None,
        timeout: float | None = None,
        max_distances: int | None = None,
    ) -> Hits | MergedHits:
        """As Index.search. A mask is by id here: mask[id] tells whether `id` may be returned, ids beyond its end may not."""
        state = self._state()
        rows = float_rows(queries, "queries", True)
        options: dict[str, Any] = {"threads": threads, "timeout": timeout, "max_distances": max_distances}
        parts = []
        if state.base is not None:
            rule = _rule(filter, state.base_ids, state.alive)
            parts.append((state.base.search(rows, k, recall=recall, effort=effort, filter=rule, **options), state.base_ids))
        if state.recent is not None:
            rule = _rule(filter, state.recent_ids, None)
            parts.append((state.recent.search(rows, k, filter=rule, **options), state.recent_ids))
        if not parts:
            width = rows.shape[-1]
            if width != self._dim:
                raise InvalidArgument(f"queries have {width} columns, the index has dimension {self._dim}")
        return merge(parts, 1 if rows.ndim == 1 else len(rows), k, rows.ndim == 1)

    def to_index(self) -> Index:
        """An immutable index of what there is now."""
        with self._lock:
            self.optimize()
            if self._base is None:
                raise InvalidArgument("the collection is empty, an index needs at least one vector")
            return self._base._with_ids(self._base_ids)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a `.vcn` file that vicinal.open and Collection.open read."""
        self.to_index().save(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, mmap: bool = False, threads: int | None = None) -> Collection:
        """Goes on from a saved index. What has been compressed stays as precise as it is in the file."""
        return cls.from_index(open(path, mmap=mmap), threads=threads)

    @classmethod
    def from_index(cls, index: Index, *, threads: int | None = None) -> Collection:
        """Goes on from an index, which stays as it is."""
        calibrated = index.calibration is not None
        collection = cls(index.dim, index.spec, metric=index.metric, seed=index.seed, threads=threads, calibrate=calibrated)
        names = np.arange(len(index), dtype=np.int64) if index.ids is None else np.array(index.ids)
        collection._set_base(index._with_ids(), names)
        collection._next_id = int(names[-1]) + 1
        return collection

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = self.__dict__.copy()
        del state["_lock"], state["_snapshot"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock(), _snapshot=None)

    # Inside, with the lock held

    def _checked(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        rows = np.atleast_2d(float_rows(vectors, "vectors", True))
        if rows.shape[1] != self._dim:
            raise InvalidArgument(f"vectors have {rows.shape[1]} columns, the collection has dimension {self._dim}")
        bad = np.argwhere(~np.isfinite(rows))
        if len(bad):
            row, column = bad[0]
            raise InvalidArgument(f"vectors row {row} column {column} is {rows[row, column]}")
        return rows

    def _checked_ids(self, ids: npt.ArrayLike, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        names = np.atleast_1d(id_array([ids] if np.ndim(ids) == 0 else ids, "ids"))
        if len(names) != len(rows):
            raise InvalidArgument(f"{len(names)} ids for {len(rows)} vectors, expected one each")
        if len(names) and names.min() < 0:
            raise InvalidArgument(f"id {names.min()} is negative")
        unique, counts = np.unique(names, return_counts=True)
        if len(unique) != len(names):
            raise InvalidArgument(f"id {unique[counts > 1][0]} is given twice, expected unique ids")
        return names

    def _row(self, name: int) -> int | None:
        """The row of the base that has this id and is alive."""
        row = int(np.searchsorted(self._base_ids, name))
        if row < len(self._base_ids) and self._base_ids[row] == name and self._alive[row]:
            return row
        return None

    def _require_known(self, names: npt.NDArray[np.int64]) -> None:
        for name in names.tolist():
            if name not in self:
                raise InvalidArgument(f"id {name} is not in the collection")

    def _drop_from_base(self, names: npt.NDArray[np.int64]) -> int:
        rows = np.searchsorted(self._base_ids, names)
        inside = rows < len(self._base_ids)
        rows = rows[inside][self._base_ids[rows[inside]] == names[inside]] if inside.any() else rows[:0]
        rows = rows[self._alive[rows]]
        if len(rows):
            self._alive = self._alive.copy()  # a snapshot may be looking at it
            self._alive[rows] = False
            self._removed += len(rows)
            self._snapshot = None
        return len(rows)

    def _put(self, names: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> None:
        if not len(names):
            return
        self._recent.put(names.tolist(), rows)
        self._next_id = max(self._next_id, int(names.max()) + 1)
        self._snapshot = None
        if len(self._recent) > max(_FEW, _SHARE * len(self._base_ids)):
            self.optimize()

    def _everything(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Ids ascending, and their vectors."""
        recent_ids, recent = self._recent.sorted()
        if self._base is None:
            return recent_ids, recent
        rows = np.flatnonzero(self._alive)
        names = np.concatenate([self._base_ids[rows], recent_ids])
        vectors = np.concatenate([reconstruct(self._base, rows), recent])
        order = np.argsort(names)
        return names[order], vectors[order]

    def _set_base(self, base: Index | None, names: npt.NDArray[np.int64]) -> None:
        self._base, self._base_ids = base, names
        self._alive, self._removed = np.ones(len(names), dtype=np.bool_), 0
        self._snapshot = None

    def _state(self) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is not None:
            return snapshot
        with self._lock:
            if self._snapshot is None:
                names, rows = self._recent.sorted()
                recent = None
                if len(names):
                    recent = build(rows, "flat", metric=self._metric, threads=1, calibrate=False, progress=False)
                alive = self._alive if self._removed else None
                self._snapshot = _Snapshot(self._base, self._base_ids, alive, recent, names)
            return self._snapshot


def _rule(given: Any, names: npt.NDArray[np.int64], alive: npt.NDArray[np.bool_] | None) -> Any:
    """A filter by id as one by row."""
    if given is None:
        return alive
    if callable(given):
        def passes(row: int) -> bool:
            return (alive is None or bool(alive[row])) and given(int(names[row]))
        return passes
    array = np.asarray(given)
    if array.dtype == np.bool_:
        if array.ndim != 1:
            raise InvalidArgument(f"the filter mask has shape {array.shape}, expected one dimension")
        mask = np.zeros(len(names), dtype=np.bool_)
        inside = names < len(array)
        mask[inside] = array[names[inside]]
    else:
        mask = np.isin(names, id_array(given, "filter ids"))
    return mask if alive is None else mask & alive


class Writer:
    """Changes to a Collection that take effect together, at `flush` or at the end of the `with` block; an exception there drops
    those that were not flushed. Later changes of an id replace earlier ones."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._changes: dict[int, npt.NDArray[np.float32] | None] = {}

    def add(self, vectors: Vectors, ids: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
        """As Collection.add."""
        target = self._collection
        rows = target._checked(vectors)
        with target._lock:
            if ids is None:
                first = max([target._next_id, *(name + 1 for name in self._changes)])
                names = np.arange(first, first + len(rows), dtype=np.int64)
            else:
                names = target._checked_ids(ids, rows)
            for name in names.tolist():
                pending = self._changes.get(name)
                if pending is not None or (name not in self._changes and name in target):
                    raise InvalidArgument(f"id {name} is in the collection already (upsert replaces)")
        self._record(names, rows)
        return names

    def upsert(self, vectors: Vectors, ids: npt.ArrayLike) -> None:
        """As Collection.upsert."""
        rows = self._collection._checked(vectors)
        self._record(self._collection._checked_ids(ids, rows), rows)

    def remove(self, ids: npt.ArrayLike) -> None:
        """As Collection.remove."""
        for name in id_array(ids, "ids").tolist():
            self._changes[name] = None

    def flush(self) -> None:
        """Makes the changes so far, all at once."""
        added = {name: row for name, row in self._changes.items() if row is not None}
        gone = [name for name, row in self._changes.items() if row is None]
        with self._collection._lock:
            if gone:
                self._collection.remove(gone)
            if added:
                self._collection.upsert(np.stack(list(added.values())), list(added))
        self._changes = {}

    def _record(self, names: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> None:
        for name, row in zip(names.tolist(), rows):
            self._changes[name] = row.copy()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()
        else:
            self._changes = {}
