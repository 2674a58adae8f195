"""The flat and HNSW indexes of faiss over Vicinal: `from vicinal.compat import faiss`.

What differs:

* A graph is built when it is due, and answers of a few thousand vectors are exact; a selector never costs results.
* A call that raises has changed nothing. NaN and infinities are errors. Lists are taken where arrays are.
* Metrics are METRIC_L2 and METRIC_INNER_PRODUCT. Pointers of SWIG are arrays.
* Files are `.vcn` files, which `vicinal.open` reads; those of faiss are not read. Rows of an IndexIDMap are in order of id there.
"""

from __future__ import annotations

import copy
import operator
import os
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from .._collection import Collection
from .._errors import CorruptFile
from .._functions import build, reconstruct
from .._vicinal import Index as _Stored
from . import _files
from ._graph import graph_parameters
from ._idmap import IndexIDMap, IndexIDMap2
from ._indexes import (
    HNSW, METRIC_INNER_PRODUCT, METRIC_L2, METRICS, Index, IndexFlat, IndexFlatIP, IndexFlatL2, IndexHNSWFlat, RowIndex,
    omp_get_max_threads, omp_set_num_threads,
)
from ._selectors import (
    IDSelector, IDSelectorAll, IDSelectorAnd, IDSelectorArray, IDSelectorBatch, IDSelectorBitmap, IDSelectorNot, IDSelectorOr,
    IDSelectorRange, IDSelectorXOr, SearchParameters, SearchParametersHNSW,
)

__all__ = [
    "HNSW", "IDSelector", "IDSelectorAll", "IDSelectorAnd", "IDSelectorArray", "IDSelectorBatch", "IDSelectorBitmap",
    "IDSelectorNot", "IDSelectorOr", "IDSelectorRange", "IDSelectorXOr", "IO_FLAG_MMAP", "IO_FLAG_READ_ONLY", "Index",
    "IndexFlat", "IndexFlatIP", "IndexFlatL2", "IndexHNSWFlat", "IndexIDMap", "IndexIDMap2", "METRIC_INNER_PRODUCT",
    "METRIC_L2", "ParameterSpace", "SearchParameters", "SearchParametersHNSW", "clone_index", "deserialize_index",
    "downcast_index", "index_factory", "normalize_L2", "omp_get_max_threads", "omp_set_num_threads", "read_index",
    "rev_swig_ptr", "serialize_index", "vector_to_array", "write_index",
]

IO_FLAG_READ_ONLY = 2
IO_FLAG_MMAP = 1684996104  # as in faiss, where it contains other flags

_EF_SEARCH = HNSW(0).efSearch
_FLAT = {METRIC_L2: IndexFlatL2, METRIC_INNER_PRODUCT: IndexFlatIP}
_FACTORY = re.compile(r"(?:(IDMap2?),)?(?:(Flat)|HNSW(\d*)(?:,Flat)?)(?:,(IDMap2?))?")


def index_factory(d: int, description: str, metric: int = METRIC_L2) -> Index:
    """"Flat", "HNSW32" or "HNSW32,Flat"; with "IDMap" or "IDMap2" before or after."""
    found = _FACTORY.fullmatch(description)
    if found is None or (found[1] and found[4]):
        raise RuntimeError(
            f"could not parse index string {description!r}, expected Flat or HNSW<M>, with IDMap or IDMap2 before or after "
            "(vicinal.build has more: see vicinal.explain)"
        )
    index: Index = IndexFlat(d, metric) if found[2] else IndexHNSWFlat(d, int(found[3] or 32), metric)
    mapped = found[1] or found[4]
    if mapped is None:
        return index
    return IndexIDMap(index) if mapped == "IDMap" else IndexIDMap2(index)


def downcast_index(index: Index) -> Index:
    return index


def clone_index(index: Index) -> Index:
    return copy.deepcopy(index)


class ParameterSpace:
    """Parameters by name: efSearch, efConstruction."""

    def set_index_parameter(self, index: Index, name: str, value: float) -> None:
        inner = index.index if isinstance(index, IndexIDMap) else index
        if not isinstance(inner, IndexHNSWFlat) or name not in ("efSearch", "efConstruction"):
            raise RuntimeError(f"could not set parameter {name} of {index!r}, expected efSearch or efConstruction of a graph")
        setattr(inner.hnsw, name, int(value))


def normalize_L2(x: npt.NDArray[np.float32]) -> None:
    """Divides the rows by their lengths, in place; zeros stay zeros."""
    if x.ndim != 2:
        raise IndexError(f"x has shape {x.shape}, expected (n, d)")
    if x.dtype != np.float32:
        raise TypeError(f"x is {x.dtype.name}, expected float32: it is changed in place")
    if not x.flags.c_contiguous:
        raise ValueError("array is not C-contiguous")
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x /= np.where(lengths > 0, lengths, np.float32(1))


def vector_to_array(v: Any) -> npt.NDArray[Any]:
    """A copy of what is a std::vector in faiss."""
    return np.array(v)


def rev_swig_ptr(ptr: Any, n: int) -> npt.NDArray[Any]:
    """The first n values of what is a pointer in faiss."""
    return np.asarray(ptr).reshape(-1)[:n]


# Files


def _class_of(stored: _Stored, notes: _files.Notes) -> str:
    """The class that a file without a note on its class is read as."""
    if stored.ids is not None or "ids" in notes:
        return "IndexIDMap2"
    if graph_parameters(stored.spec) is not None:
        return "IndexHNSWFlat"
    return _FLAT[METRIC_L2 if stored.metric == "l2" else METRIC_INNER_PRODUCT].__name__


def _stored(index: Index) -> tuple[_Stored | None, _files.Notes]:
    """As a file holds it: rows under their ids, and notes on what does not follow from that."""
    inner = index.index if isinstance(index, IndexIDMap) else index
    if not isinstance(inner, RowIndex):
        raise RuntimeError(f"{type(index).__name__} cannot be written")
    notes: _files.Notes = {}
    graph = [inner.hnsw.M, inner.hnsw.efConstruction, inner.hnsw.efSearch] if isinstance(inner, IndexHNSWFlat) else None
    if not inner.ntotal:
        notes.update({"class": type(index).__name__, "d": index.d, "metric": METRICS[index.metric_type], "hnsw": graph})
        return None, notes
    stored = inner._items.to_index()._with_ids()
    if isinstance(index, IndexIDMap):
        ids = index.id_map
        if ids.min() < 0 or len(np.unique(ids)) < len(ids):
            notes["ids"] = ids.tolist()  # not what a file can hold, so that its ids are row numbers
        elif np.all(ids[1:] > ids[:-1]):
            stored = stored._with_ids(ids)
        else:
            stored = build(
                reconstruct(stored), stored.spec, metric=stored.metric, ids=ids, seed=stored.seed,
                threads=omp_get_max_threads(), calibrate=False, progress=False,
            )
    if type(index) is not IndexFlat and type(index).__name__ != _class_of(stored, notes):
        notes["class"] = type(index).__name__
    if graph is not None and graph != [*(graph_parameters(stored.spec) or ()), _EF_SEARCH]:
        notes["hnsw"] = graph
    return stored, notes


def _restored(stored: _Stored | None, notes: _files.Notes, source: str) -> Index:
    with _files.checked(source):
        return _assembled(stored, notes, source)


def _assembled(stored: _Stored | None, notes: _files.Notes, source: str) -> Index:
    known = {kind.__name__ for kind in (IndexFlat, IndexFlatL2, IndexFlatIP, IndexHNSWFlat, IndexIDMap, IndexIDMap2)}
    name = notes.get("class", "" if stored is None else _class_of(stored, notes))
    if name not in known:
        raise RuntimeError(f"{source} holds a {name!r}, expected one of {', '.join(sorted(known))}")
    d, metric = (notes["d"], notes["metric"]) if stored is None else (stored.dim, stored.metric)
    if metric not in METRICS.values():
        raise RuntimeError(f"{source} has metric {metric}, expected l2 or ip: normalize_L2 and the inner product give cosines")
    kind = METRIC_L2 if metric == "l2" else METRIC_INNER_PRODUCT
    graph = notes.get("hnsw")
    if stored is not None and graph is None and graph_parameters(stored.spec) is not None:
        graph = [*(graph_parameters(stored.spec) or ()), _EF_SEARCH]
    inner: RowIndex = _FLAT[kind](d)
    if graph is not None:
        m, ef_construction, ef_search = (operator.index(value) for value in graph)
        inner = IndexHNSWFlat(d, m, kind)
        inner.hnsw = HNSW(m, ef_construction, ef_search)
    elif name == "IndexFlat":
        inner = IndexFlat(d, kind)
    mapped = {"IndexIDMap": IndexIDMap, "IndexIDMap2": IndexIDMap2}.get(name)
    if mapped is None:
        if stored is not None:
            inner._items = Collection.from_index(stored)
        return inner
    index = mapped(inner)
    if stored is not None:
        inner._items = Collection.from_index(stored._with_ids())
        ids = notes.get("ids", np.arange(len(stored)) if stored.ids is None else stored.ids)
        index._ids = np.array(ids, dtype=np.int64)
        if len(index._ids) != len(stored):
            raise RuntimeError(f"{source} holds {len(stored)} vectors, its notes {len(index._ids)} ids")
    return index


def write_index(index: Index, fname: str | os.PathLike[str], io_flags: int = 0) -> None:
    """A `.vcn` file, with notes beside it where the format has no room (efSearch, the class)."""
    try:
        _files.write(fname, *_stored(index))
    except OSError as error:
        raise RuntimeError(f"could not open {os.fspath(fname)} for writing: {error}") from error


def read_index(fname: str | os.PathLike[str], io_flags: int = 0) -> Index:
    """A `.vcn` file, of this module or of vicinal.build. IO_FLAG_MMAP maps it."""
    try:
        stored, notes = _files.read(fname, mmap=io_flags & IO_FLAG_MMAP == IO_FLAG_MMAP)
    except CorruptFile as error:
        raise RuntimeError(f"{error} (a file of faiss itself cannot be read)") from error
    except OSError as error:
        raise RuntimeError(f"could not open {os.fspath(fname)} for reading: {error}") from error
    return _restored(stored, notes, os.fspath(fname))


def serialize_index(index: Index, io_flags: int = 0) -> npt.NDArray[np.uint8]:
    return np.frombuffer(_files.pack(*_stored(index)), dtype=np.uint8).copy()


def deserialize_index(data: npt.NDArray[np.uint8] | bytes, io_flags: int = 0) -> Index:
    try:
        stored, notes = _files.unpack(data if isinstance(data, bytes) else np.asarray(data, dtype=np.uint8).tobytes())
    except CorruptFile as error:
        raise RuntimeError(str(error)) from error
    return _restored(stored, notes, "what was serialized")
