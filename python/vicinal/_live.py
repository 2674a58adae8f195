"""An index that changes while it is searched, with a log that keeps its changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Sequence

import numpy as np
import numpy.typing as npt

from ._arrays import float_rows, id_array, integers_or_mask, rows_and_offsets, whole_number
from ._changing import LAST_ID, NO_IDS, Changing, Content, Items
from ._errors import InvalidArgument
from ._functions import Path, Vectors, checked_dim, checked_seed, checked_threads
from ._items import DocumentRows, gathered
from ._vicinal import Hits, Index, RangeHits, _LiveIndex
from ._writer import Writer

LIVE_SPEC = "i8 | hnsw(m=16, efc=100, alpha=1.2) | rerank(f16, 3x)"

_METRICS = ("l2", "ip", "cosine")


class LiveIndex(Changing):
    """A graph whose content changes: `add`, `upsert`, `remove`, `search`, `freeze`.

    Safe to use from many threads: searches take no lock and see the content as it was when they began, changes wait for each other
    and are seen whole. A call that raises has changed nothing. The spec is codec | hnsw | rerank, over f32, f16, bf16, float8, i8 or i4.
    Of documents of several vectors it is muvera | codec | hnsw | maxsim (or head for muvera), or maxsim alone, each after pool if wanted; what is added then is a tuple (rows, offsets).

    With a path, a change is on disk before it is seen: in `<path>.log`, which `compact` folds into the file, and `open` makes again.
    """

    _noun = "index"

    def __init__(
        self,
        dim: int,
        spec: str = LIVE_SPEC,
        *,
        metric: str,
        path: Path | None = None,
        seed: int = 1,
        threads: int | None = None,
    ) -> None:
        """An empty index of `dim` values a vector, in memory, or with a file at `path`, where none may be yet."""
        if metric not in _METRICS:
            raise InvalidArgument(f"metric is {metric!r}, expected one of {', '.join(_METRICS)}")
        own = _LiveIndex.create(path, dim=checked_dim(dim), spec=spec, metric=metric, seed=checked_seed(seed))
        self._set(own, threads)

    def _set(self, own: _LiveIndex, threads: int | None) -> None:
        self._own = own
        self._threads = checked_threads(threads)
        self._lock = threading.RLock()
        ids = own.ids()
        self._next_id = int(ids[-1]) + 1 if len(ids) else 0

    @classmethod
    def open(cls, path: Path, *, threads: int | None = None) -> LiveIndex:
        """Opens a file that an index or a live index was saved to, and its log. One process at a time may have it open so."""
        index = cls.__new__(cls)
        index._set(_LiveIndex.open(path, checked_threads(threads)), threads)
        return index

    @classmethod
    def from_index(cls, index: Index, *, threads: int | None = None) -> LiveIndex:
        """Goes on from an index, in memory; that stays as it is."""
        live = cls.__new__(cls)
        live._set(_LiveIndex.from_index(index), threads)
        return live

    # What there is

    @property
    def dim(self) -> int:
        return self._own.dim

    @property
    def metric(self) -> str:
        return self._own.metric

    @property
    def spec(self) -> str:
        return self._own.spec

    @property
    def seed(self) -> int:
        return self._own.seed

    @property
    def nbytes(self) -> int:
        """Bytes of memory, with what is reserved for growth."""
        return self._own.nbytes

    @property
    def log_bytes(self) -> int:
        """Bytes of the log, which grows until the next `compact`; 0 without a file."""
        return self._own.log_bytes

    @property
    def retired(self) -> int:
        """Vectors that were removed and are still a way through the graph."""
        return self._own.retired

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ascending."""
        return self._own.ids()

    def __len__(self) -> int:
        return len(self._own)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, (int, np.integer)) and 0 <= int(name) <= LAST_ID and int(name) in self._own

    def __repr__(self) -> str:
        return f"<vicinal.LiveIndex {len(self):,} x {self.dim}, {self.metric}, {self.spec}, {self.nbytes / 2**20:.1f} MiB>"

    def get(self, ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The vectors of `ids`, as the index holds them."""
        return self._own.reconstruct(id_array(np.atleast_1d(integers_or_mask(ids, "ids")), "ids"))

    def close(self) -> None:
        """Lets go of the file, so that it can be opened again; searches go on, changes are refused. Without a file there is nothing to close."""
        self._own.close()

    def __enter__(self) -> LiveIndex:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Changes

    def add(self, vectors: Items, ids: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
        """Adds vectors, (n, dim) or one of (dim,), or documents (rows, offsets), under new ids: those given, or the next free ones. Returns the ids."""
        rows = self._checked(vectors)
        with self._lock:
            names = self._free_ids(len(rows)) if ids is None else self._checked_ids(ids, rows)
            self._apply(rows, names, NO_IDS, True)
            self._note(names)
        return names

    def upsert(self, vectors: Items, ids: npt.ArrayLike) -> None:
        """Adds vectors under `ids`, in place of what had these ids."""
        rows = self._checked(vectors)
        self._change(NO_IDS, self._checked_ids(ids, rows), rows)

    def remove(self, ids: npt.ArrayLike) -> int:
        """Removes what has these ids; returns how many there were. Unknown ids are not an error."""
        names = np.unique(id_array(np.atleast_1d(integers_or_mask(ids, "ids")), "ids"))
        return self._change(names, NO_IDS, self._gathered([]))

    def writer(self) -> Writer:
        """Collects changes and makes them all at once: `with index.writer() as w: w.add(...)`. What `w.flush()` returned from is on disk."""
        return Writer(self)

    def consolidate(self, nodes: int | None = None) -> bool:
        """Leads links around what was removed, at up to `nodes` nodes or all; True when nothing is left to do. Changes do this in passing."""
        return self._own.consolidate(2**63 if nodes is None else whole_number(nodes, "nodes", 1, 2**63), self._threads)

    # Search and files

    def search(
        self,
        queries: Items,
        k: int = 10,
        *,
        recall: float | None = None,
        effort: int | None = None,
        filter: Any = None,
        threads: int | None = None,
        timeout: float | None = None,
        max_distances: int | None = None,
    ) -> Hits:
        """As Index.search. A mask is by id: mask[id] tells whether `id` may be returned, ids beyond its end may not. `recall` needs a
        calibration: that of the index this one goes on from, or of the last `compact`."""
        return self._own.search(
            queries, k, recall=recall, effort=effort, filter=filter, threads=threads, timeout=timeout, max_distances=max_distances
        )

    def search_iter(
        self,
        query: Vectors,
        k: int = 10,
        *,
        recall: float | None = None,
        effort: int | None = None,
        filter: Any = None,
    ) -> Iterator[Hits]:
        """As Index.search_iter, but every now and then it searches again, for twice as many; each page is of the content of its moment."""
        return self._own.search_iter(query, k, recall=recall, effort=effort, filter=filter)

    def search_range(
        self,
        queries: Vectors,
        radius: float,
        *,
        recall: float | None = None,
        effort: int | None = None,
        filter: Any = None,
        threads: int | None = None,
        timeout: float | None = None,
        max_distances: int | None = None,
    ) -> RangeHits:
        """As Index.search_range."""
        return self._own.search_range(
            queries, radius, recall=recall, effort=effort, filter=filter, threads=threads, timeout=timeout, max_distances=max_distances
        )

    def freeze(self, *, layout: str | None = None, calibrate: bool = True) -> Index:
        """An immutable index of what there is now; `layout` "fused" is the fastest, "plain" the smallest, None as the spec says."""
        return self._own.freeze(bool(calibrate), layout, self._threads)

    def save(self, path: Path) -> None:
        """Writes a `.vcn` file that vicinal.open and LiveIndex.open read. `compact` is for the index's own file."""
        self.freeze().save(path)

    def compact(self, *, calibrate: bool = True) -> None:
        """Writes the index's file anew and begins a new log. Searches go on, changes wait."""
        self._own.compact(bool(calibrate), self._threads)

    # Inside

    @property
    def _of_documents(self) -> bool:
        return "maxsim(" in self.spec

    def _checked(self, vectors: Items) -> Content:
        parts = rows_and_offsets(vectors, "vectors") if isinstance(vectors, tuple) and len(vectors) == 2 else None
        if not self._of_documents:
            if parts is not None:
                raise InvalidArgument(f"vectors have offsets, so items are of several vectors, for which {self.spec} has no maxsim stage")
            return self._checked_rows(vectors)  # type: ignore[arg-type]
        if parts is None:
            raise InvalidArgument(f"vectors have no offsets, expected some: {self.spec} is of documents of several vectors")
        documents = DocumentRows(float_rows(parts[0], "vectors", False), parts[1])
        documents.check(self.dim, self._noun)
        return documents

    def _gathered(self, items: Sequence[npt.NDArray[np.float32]]) -> Content:
        return gathered(items, self.dim) if self._of_documents else super()._gathered(items)

    def _apply(self, rows: Content, names: npt.NDArray[np.int64], gone: npt.NDArray[np.int64], must_be_new: bool) -> int:
        items: Items = (rows.rows, rows.offsets) if isinstance(rows, DocumentRows) else rows
        return self._own.apply(items, names, gone, must_be_new, self._threads)

    def _note(self, names: npt.NDArray[np.int64]) -> None:
        if len(names):
            self._next_id = max(self._next_id, int(names.max()) + 1)

    def _change(self, gone: npt.NDArray[np.int64], names: npt.NDArray[np.int64], rows: Content) -> int:
        with self._lock:
            count = self._apply(rows, names, gone, False)
            self._note(names)
        return count
