"""Vectors that come and go, in front of an immutable index.

The index is built once and answers for most vectors. What is added afterwards waits in a small exact index beside it; what is
removed is filtered out of its answers. Once the newcomers or the removed are too many, everything is built anew: the cost of that
is spread over the changes that made it necessary, so that n additions cost O(n) vectors built in all, times a constant.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _vicinal
from ._arrays import float_rows, id_array, integers_or_mask
from ._changing import LAST_ID, NO_IDS, Changing, Content
from ._errors import InvalidArgument
from ._functions import DEFAULT_SPEC, Path, Vectors, build, checked_dim, checked_seed, checked_threads, open, reconstruct
from ._hits import MergedHits, merge
from ._rows import Rows
from ._vicinal import Hits, Index
from ._writer import Writer

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


class Collection(Changing):
    """An index whose content changes: `add`, `upsert`, `remove`, `search`, `save`.

    Safe to use from many threads: a search answers from the state before or after a change, never from in between. A call that
    raises has changed nothing.
    """

    _noun = "collection"

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
        if metric not in _METRICS:
            raise InvalidArgument(f"metric is {metric!r}, expected one of {', '.join(_METRICS)}")
        self._dim, self._metric, self._calibrate = checked_dim(dim), metric, bool(calibrate)
        self._seed, self._threads = checked_seed(seed), checked_threads(threads)
        self._spec = _vicinal.canonical_spec(spec)
        self._lock = threading.RLock()
        self._base: Index | None = None
        self._base_ids = NO_IDS
        self._alive = np.empty(0, dtype=np.bool_)
        self._removed = 0
        self._recent = Rows(self._dim)
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
            recent = np.array([name in self._recent for name in names.tolist()], dtype=np.bool_)
            rows = [self._row(name) for name in names[~recent].tolist()]
            for name, row in zip(names[~recent].tolist(), rows):
                if row is None:
                    raise InvalidArgument(f"id {name} is not in the collection")
            out[recent] = self._recent.get(names[recent].tolist())
            if self._base is not None and rows:
                out[~recent] = reconstruct(self._base, np.array(rows, dtype=np.int64))
        return out

    # Changes

    def add(self, vectors: Vectors, ids: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
        """Adds vectors, (n, dim) or one of (dim,), under new ids: those given, or the next free ones. Returns the ids."""
        rows = self._checked_rows(vectors)
        with self._lock:
            names = self._free_ids(len(rows)) if ids is None else self._checked_ids(ids, rows)
            for name in names.tolist():
                if name in self:
                    raise InvalidArgument(f"id {name} is in the collection already (upsert replaces)")
            self._change(NO_IDS, names, rows)
        return names

    def upsert(self, vectors: Vectors, ids: npt.ArrayLike) -> None:
        """Adds vectors under `ids`, in place of what had these ids."""
        rows = self._checked_rows(vectors)
        with self._lock:
            self._change(NO_IDS, self._checked_ids(ids, rows), rows)

    def remove(self, ids: npt.ArrayLike) -> int:
        """Removes what has these ids; returns how many there were. Unknown ids are not an error."""
        names = np.unique(id_array(ids, "ids"))
        with self._lock:
            return self._change(names, NO_IDS, np.empty((0, self._dim), dtype=np.float32))

    def clear(self) -> None:
        """Removes everything; ids that were given out are not given out again."""
        with self._lock:
            self._set_base(None, NO_IDS)
            self._recent = Rows(self._dim)

    def writer(self) -> Writer:
        """Collects changes and makes them all at once: `with collection.writer() as w: w.add(...)`."""
        return Writer(self)

    def optimize(self, *, progress: Any = False) -> None:
        """Builds the index anew over everything there is. Happens by itself when it is due."""
        with self._lock:
            if self._removed or len(self._recent):
                self._rebuild(self._alive, NO_IDS, np.empty((0, self._dim), dtype=np.float32), NO_IDS, progress)

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
            # Exact, so that any recall and effort will do; given for them to be checked.
            found = state.recent.search(rows, k, recall=recall, effort=effort, filter=rule, **options)
            parts.append((found, state.recent_ids))
        if not parts:
            # The arguments are checked as ever.
            _rule(filter, NO_IDS, None)
            nobody = build(np.ones((1, self._dim), dtype=np.float32), "flat", metric=self._metric, threads=1, progress=False)
            parts.append((nobody.search(rows, k, recall=recall, effort=effort, filter=NO_IDS, **options), np.zeros(1, np.int64)))
        return merge(parts, 1 if rows.ndim == 1 else len(rows), k, rows.ndim == 1)

    def to_index(self) -> Index:
        """An immutable index of what there is now."""
        with self._lock:
            self.optimize()
            if self._base is None:
                raise InvalidArgument("the collection is empty, an index needs at least one vector")
            return self._base._with_ids(self._base_ids)

    def save(self, path: Path) -> None:
        """Writes a `.vcn` file that vicinal.open and Collection.open read."""
        self.to_index().save(path)

    @classmethod
    def open(cls, path: Path, *, mmap: bool = False, threads: int | None = None) -> Collection:
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
            state["_recent"] = self._recent.copy()
        del state["_lock"], state["_snapshot"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock(), _snapshot=None)

    # Inside, with the lock held

    def _row(self, name: int) -> int | None:
        """The row of the base that has this id and is alive."""
        if not 0 <= name <= LAST_ID:
            return None
        row = int(np.searchsorted(self._base_ids, name))
        if row < len(self._base_ids) and self._base_ids[row] == name and self._alive[row]:
            return row
        return None

    def _alive_rows(self, names: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows of the base that have one of these ids and are not removed."""
        rows = np.searchsorted(self._base_ids, names)
        inside = rows < len(self._base_ids)
        rows, names = rows[inside], names[inside]
        rows = rows[self._base_ids[rows] == names]
        return np.asarray(rows[self._alive[rows]], dtype=np.int64)

    def _change(self, gone: npt.NDArray[np.int64], names: npt.NDArray[np.int64], rows: Content) -> int:
        """Takes `gone` away and puts `rows` under `names`, which are not among them; returns how many of `gone` there were. What
        may fail, building anew above all, comes before the first change."""
        assert isinstance(rows, np.ndarray)
        masked = self._alive_rows(np.concatenate([gone, names]))
        gone_recent = [name for name in gone.tolist() if name in self._recent]
        count = len(self._alive_rows(gone)) + len(gone_recent)
        if not count and not len(names):
            return 0
        alive = self._alive
        if len(masked):
            alive = alive.copy()  # a snapshot may be looking at the old one
            alive[masked] = False
        removed = self._removed + len(masked)
        fresh = sum(name not in self._recent for name in names.tolist())
        recent = len(self._recent) - len(gone_recent) + fresh
        next_id = max(self._next_id, int(names.max()) + 1) if len(names) else self._next_id
        if recent > max(_FEW, _SHARE * len(self._base_ids)) or removed > max(_FEW, len(self._base_ids) // 2):
            self._rebuild(alive, names, rows, gone, False)
        else:
            self._recent.drop(gone_recent)
            self._recent.put(names.tolist(), rows)
            self._alive, self._removed, self._snapshot = alive, removed, None
        self._next_id = next_id
        return count

    def _rebuild(
        self,
        alive: npt.NDArray[np.bool_],
        names: npt.NDArray[np.int64],
        rows: npt.NDArray[np.float32],
        gone: npt.NDArray[np.int64],
        progress: Any,
    ) -> None:
        """A new base: the rows of the old one that are `alive`, the recent ones but for `gone` and `names`, and `rows`."""
        recent_ids, recent = self._recent.sorted()
        kept = ~np.isin(recent_ids, np.concatenate([gone, names]))
        ids, vectors = [recent_ids[kept], names], [recent[kept], rows]
        if self._base is not None:
            base_rows = np.flatnonzero(alive)
            ids.append(self._base_ids[base_rows])
            vectors.append(reconstruct(self._base, base_rows))
        all_ids = np.concatenate(ids)
        order = np.argsort(all_ids)
        base = None
        if len(all_ids):
            base = build(
                np.concatenate(vectors)[order], self._spec, metric=self._metric, seed=self._seed, threads=self._threads,
                calibrate=self._calibrate, progress=progress,
            )
        self._set_base(base, all_ids[order])
        self._recent = Rows(self._dim)

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
    array = integers_or_mask(given, "filter ids")
    if array.dtype == np.bool_:
        if array.ndim != 1:
            raise InvalidArgument(f"the filter mask has shape {array.shape}, expected one dimension")
        mask = np.zeros(len(names), dtype=np.bool_)
        inside = names < len(array)
        mask[inside] = array[names[inside]]
    else:
        mask = np.isin(names, id_array(array, "filter ids"))
    return mask if alive is None else mask & alive
