"""hnswlib 0.8 over Vicinal: `from vicinal.compat import hnswlib`.

The same class, the same conventions: labels are uint64, distances are squared for 'l2', 1 - <a, b> for 'ip', 1 - cos for
'cosine'. What differs:

* Below a few thousand vectors, answers are exact; a filter never costs results. The graph is built when it is
  due, not with every addition.
* A call that raises has changed nothing; hnswlib adds what fits before it says that the capacity is exceeded.
* NaN and infinities, queries of another dimension, a file of another space and use before `init_index` are errors.
* `BFIndex` raises where fewer than k vectors may be returned, and normalises queries for 'cosine'.
* Labels go up to 2^63 - 1. Files are `.vcn` files; those of hnswlib are not read.
"""

from __future__ import annotations

from typing import Any, Union

import numpy as np
import numpy.typing as npt

from . import _files
from ._graph import graph_parameters, graph_spec
from ._labelled import Answers, Filter, Labelled, label_array, whole

__all__ = ["BFIndex", "Index"]


class Index(Labelled):
    """`hnswlib.Index`: a graph over vectors that come and, marked as deleted, go."""

    def __init__(
        self,
        space: Union[str, dict[str, Any], Index, None] = None,
        dim: int | None = None,
        *,
        params: dict[str, Any] | None = None,
        index: Index | None = None,
    ) -> None:
        """Index(space, dim); Index(params) of a state; Index(index), a copy."""
        source = params if params is not None else index if index is not None else space
        if isinstance(source, Index):
            self.__setstate__(source.__getstate__())
            return
        if isinstance(source, dict):
            self.__setstate__((source,))
            return
        if source is None or dim is None:
            raise TypeError("Index expects space and dim")
        super().__init__(source, dim)
        self._ef = 10
        self._m = 0
        self._ef_construction = 0
        self._replaceable = False
        # Marked as deleted: out of the collection, kept until somebody wants them back.
        self._dead: dict[int, npt.NDArray[np.float32]] = {}

    # What there is

    @property
    def space(self) -> str:
        return self._space

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def M(self) -> int:
        return self._m

    @property
    def ef_construction(self) -> int:
        return self._ef_construction

    @property
    def max_elements(self) -> int:
        return self._capacity

    @property
    def element_count(self) -> int:
        """Those marked as deleted are counted."""
        return 0 if self._items is None else len(self._items) + len(self._dead)

    @property
    def ef(self) -> int:
        return self._ef

    @ef.setter
    def ef(self, ef: int) -> None:
        self._ef = whole(ef, "ef")

    def set_ef(self, ef: int) -> None:
        self.ef = ef

    def get_current_count(self) -> int:
        return self.element_count

    def get_ids_list(self) -> list[int]:
        """Those marked as deleted are among them."""
        with self._lock:
            living: list[int] = self._require().ids.tolist()
            return living + list(self._dead)

    def get_items(self, ids: Any = None, return_type: str = "numpy") -> Any:
        """The vectors of `ids`: (n, dim) float32, or a list of lists; for 'cosine', of length one."""
        if return_type not in ("numpy", "list"):
            raise ValueError(f'return_type should be "numpy" or "list", got {return_type!r}')
        wanted = np.asarray([] if ids is None else ids)
        if wanted.ndim == 0:
            raise ValueError("get_items accepts a list of indices and returns a list of vectors")
        if wanted.size == 0:
            return np.empty(0, dtype=np.float32) if return_type == "numpy" else []
        labels = label_array(wanted.reshape(-1), wanted.size)
        with self._lock:
            items = self._require()
            for label in labels.tolist():
                if label not in items:
                    raise RuntimeError(f"Label not found: {label}")
            rows = self._normalised(items.get(labels))
        return rows if return_type == "numpy" else rows.tolist()

    # Changes

    def init_index(
        self,
        max_elements: int,
        M: int = 16,
        ef_construction: int = 200,
        random_seed: int = 100,
        allow_replace_deleted: bool = False,
    ) -> None:
        m = whole(M, "M")
        built_with = max(whole(ef_construction, "ef_construction"), m)
        with self._lock:
            self._begin(graph_spec(m, built_with), max_elements, whole(random_seed, "random_seed"))
            self._m, self._ef_construction, self._replaceable = m, built_with, bool(allow_replace_deleted)

    def add_items(self, data: Any, ids: Any = None, num_threads: int = -1, replace_deleted: bool = False) -> None:
        """Adds vectors, (n, dim) or (dim,), under `ids` or the next numbers; a label that is there gets a new vector.
        `replace_deleted`: new labels take the places of vectors marked as deleted, which are lost then."""
        with self._lock:
            items = self._require()
            if replace_deleted and not self._replaceable:
                raise RuntimeError("Replacement of deleted elements is disabled in constructor")
            labels, rows, given = self._labelled(data, ids)
            names = labels.tolist()
            revived = [label for label in names if label in self._dead]
            if revived and self._replaceable and not replace_deleted:
                raise RuntimeError(
                    "Can't use addPoint to update deleted elements if replacement of deleted elements is enabled."
                )
            new = sum(1 for label in names if label not in items) - len(revived)
            kept = set(revived)
            replaced = [label for label in self._dead if label not in kept][:new] if replace_deleted else []
            if self.element_count + new - len(replaced) > self._capacity:
                raise RuntimeError(
                    f"The number of elements exceeds the specified limit: {self.element_count} and {new} new ones, "
                    f"max_elements is {self._capacity}"
                )
            items._threads = self._pool(num_threads)
            items.upsert(rows, labels)
            for label in revived + replaced:
                del self._dead[label]
            self._next_label += given

    def mark_deleted(self, label: int) -> None:
        name = whole(label, "label")
        with self._lock:
            items = self._require()
            if name in self._dead:
                raise RuntimeError("The requested to delete element is already deleted")
            if name not in items:
                raise RuntimeError(f"Label not found: {name}")
            vector = items.get([name])[0]
            items.remove([name])
            self._dead[name] = vector

    def unmark_deleted(self, label: int) -> None:
        name = whole(label, "label")
        with self._lock:
            items = self._require()
            if name not in self._dead:
                if name in items:
                    raise RuntimeError("The requested to undelete element is not deleted")
                raise RuntimeError(f"Label not found: {name}")
            items.add(self._dead[name], [name])
            del self._dead[name]

    def resize_index(self, new_size: int) -> None:
        with self._lock:
            self._require()
            size = whole(new_size, "new_size")
            if size < self.element_count:
                raise RuntimeError(
                    f"Cannot resize, max element is less than the current number of elements: {size} < {self.element_count}"
                )
            self._capacity = size

    # Search and files

    def knn_query(self, data: Any, k: int = 1, num_threads: int = -1, filter: Filter | None = None) -> Answers:
        """Labels (n, k) uint64 and distances (n, k) float32, nearest first."""
        return self._search(data, k, num_threads, filter, self._ef)

    def save_index(self, path_to_index: str) -> None:
        with self._lock:
            _files.write(path_to_index, self._index(), self._all_notes())

    def load_index(self, path_to_index: str, max_elements: int = 0, allow_replace_deleted: bool = False) -> None:
        with self._lock:
            wanted = whole(max_elements, "max_elements")
            items, notes = self._read(path_to_index, graph_spec(16, 200))
            with _files.checked(path_to_index):
                labels = [whole(label, "label") for label in notes.get("deleted", [])]
                dead = dict(zip(labels, _files.decode_rows(notes.get("deleted_vectors", ""), len(labels), self._dim)))
                if len(dead) != len(labels) or any(label in items for label in labels):
                    raise ValueError("a label is there twice")
                m, ef_construction = notes.get("graph") or graph_parameters(items.spec) or (0, 0)
                count = len(items) + len(dead)
                capacity = max(count, whole(notes.get("max_elements", count), "max_elements"))
            self._items, self._dead = items, dead
            self._m, self._ef_construction, self._replaceable = m, ef_construction, bool(allow_replace_deleted)
            self._next_label = count
            self._capacity = wanted if wanted >= count and wanted else capacity

    def index_file_size(self) -> int:
        """Bytes of the file that save_index writes."""
        with self._lock:
            return _files.size(self._index(), self._all_notes())

    def _all_notes(self) -> _files.Notes:
        notes = self._notes(self.element_count)
        if self._dead:
            notes["deleted"] = list(self._dead)
            notes["deleted_vectors"] = _files.encode_rows(np.stack(list(self._dead.values())))
        if graph_parameters(self._require().spec) not in (None, (self._m, self._ef_construction)):
            notes["graph"] = [self._m, self._ef_construction]
        return notes


class BFIndex(Labelled):
    """`hnswlib.BFIndex`: every vector is compared."""

    def init_index(self, max_elements: int) -> None:
        with self._lock:
            self._begin("f32 | flat", max_elements)

    def get_current_count(self) -> int:
        return 0 if self._items is None else len(self._items)

    def add_items(self, data: Any, ids: Any = None) -> None:
        with self._lock:
            items = self._require()
            labels, rows, given = self._labelled(data, ids)
            new = sum(1 for label in labels.tolist() if label not in items)
            if len(items) + new > self._capacity:
                raise RuntimeError(
                    f"The number of elements exceeds the specified limit: {len(items)} and {new} new ones, "
                    f"max_elements is {self._capacity}"
                )
            items.upsert(rows, labels)
            self._next_label += given

    def delete_vector(self, label: int) -> None:
        """An unknown label is not an error."""
        self._require().remove([whole(label, "label")])

    def knn_query(self, data: Any, k: int = 1, num_threads: int = -1, filter: Filter | None = None) -> Answers:
        """Labels (n, k) uint64 and distances (n, k) float32, nearest first."""
        return self._search(data, k, num_threads, filter, None)

    def save_index(self, path_to_index: str) -> None:
        with self._lock:
            _files.write(path_to_index, self._index(), self._notes(self.get_current_count()))

    def load_index(self, path_to_index: str, max_elements: int = 0) -> None:
        with self._lock:
            wanted = whole(max_elements, "max_elements")
            items, notes = self._read(path_to_index, "f32 | flat")
            count = len(items)
            with _files.checked(path_to_index):
                capacity = max(count, whole(notes.get("max_elements", count), "max_elements"))
            self._items, self._next_label = items, count
            self._capacity = wanted if wanted >= count and wanted else capacity
