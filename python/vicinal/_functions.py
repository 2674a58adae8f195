"""Build, open, measure."""

from __future__ import annotations

import os
from typing import Any, Callable, Union

import numpy as np
import numpy.typing as npt

from . import _vicinal
from ._arrays import id_array, id_matrix, whole_number
from ._errors import InvalidArgument, WrongType
from ._progress import ProgressBar
from ._vicinal import Hits, Index

Vectors = npt.ArrayLike
Items = Union[npt.ArrayLike, "tuple[npt.ArrayLike, npt.ArrayLike]"]
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Progress = Union[bool, None, Callable[[str, int, int], object]]

DEFAULT_SPEC = "i8 | hnsw | rerank(f16, 3x)"


def checked_seed(seed: int) -> int:
    return whole_number(seed, "seed", 0, 2**64 - 1, "0 to 2^64 - 1")


def checked_threads(threads: int | None) -> int | None:
    return None if threads is None else whole_number(threads, "threads", 1, 65535)


def checked_dim(dim: int) -> int:
    return whole_number(dim, "dim", 1, 2**31 - 1)


def popularity_array(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise WrongType(f"popularity is an array of shape {array.shape} and type {array.dtype}, expected one number a row")
    if not array.size:
        raise InvalidArgument("popularity is empty, expected one number a row")
    # What is too large for float32 becomes infinite, which the build refuses with its row.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def build(
    base: Items,
    spec: str = DEFAULT_SPEC,
    *,
    metric: str,
    ids: npt.ArrayLike | None = None,
    seed: int = 1,
    threads: int | None = None,
    calibrate: bool = True,
    calibration_queries: Items | None = None,
    popularity: npt.ArrayLike | None = None,
    progress: Progress = None,
) -> Index:
    """Builds an index.

    Parameters
    ----------
    base : (n, dim) float32, or (rows, offsets)
        Read where they lie when rows are contiguous; float16, bfloat16, uint8 and int8 are converted. Documents of several vectors are
        a tuple: document i is rows[offsets[i] : offsets[i + 1]], and the spec ends in ``maxsim``.
    spec : str
        What to build: ``dedup | projection | codec | index | rerank``, or ``pool | muvera | ... | maxsim``; `vicinal.explain` tells what a spec
        means.
    metric : "l2", "ip" or "cosine"
    ids : (n,) integers, optional
        Unique and not negative; default: row numbers.
    seed : int
        Data, spec and seed decide the result; the number of threads does not.
    threads : int, optional
        Default: every core this process may use.
    calibrate : bool
        Measure recall by effort afterwards, so that searches can ask for a recall.
    calibration_queries : (m, dim) float32 or (rows, offsets), optional
        What to measure on; default: rows of the base, searched for as if they were not in it. A spec with ``qpca`` also learns from
        them.
    popularity : (n,) numbers, optional
        How often each row is wanted, 0 or more: what a spec with ``tiers`` goes by.
    progress : bool or callable, optional
        None shows a bar on a terminal and in a notebook, True on any output, False never; or progress(phase, done, total).

    Interrupting it (Ctrl-C) stops it and leaves nothing behind.
    """
    seed, threads = checked_seed(seed), checked_threads(threads)
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise WrongType(f"progress is {progress!r}, expected a bool, None or a function of (phase, done, total)")
    given_ids = None if ids is None else id_array(ids, "ids")
    if given_ids is not None and not len(given_ids):
        raise InvalidArgument("ids are empty, expected one a row")
    arguments: dict[str, Any] = {
        "metric": metric,
        "ids": given_ids,
        "seed": seed,
        "threads": threads,
        "calibrate": calibrate,
        "calibration_queries": calibration_queries,
        "popularity": None if popularity is None else popularity_array(popularity),
    }
    if callable(progress):
        return _vicinal.build(base, spec, progress=progress, **arguments)
    with ProgressBar(progress) as bar:
        return _vicinal.build(base, spec, progress=bar if bar.visible else None, **arguments)


def open(path: Path, *, mmap: bool = False) -> Index:
    """Opens a `.vcn` file. `mmap` maps it instead of reading it: quick, and the pages are shared between processes, but bytes are
    not compared with their checksums (`vicinal.verify` does)."""
    return _vicinal.open(path, mmap=mmap)


def verify(path: Path) -> None:
    """Checks bounds, checksums and structure of a `.vcn` file; raises CorruptFile saying what is wrong."""
    _vicinal.verify(path)


def exact(base: Vectors, queries: Vectors, k: int = 10, *, metric: str, threads: int | None = None) -> Hits:
    """The true k nearest of every query, by comparing it with every vector."""
    return build(base, "flat", metric=metric, threads=threads, calibrate=False, progress=False).search(queries, k, threads=threads)


def recall(found: npt.ArrayLike, truth: npt.ArrayLike, k: int | None = None) -> float:
    """recall@k: the mean share of the true k nearest that were found.

    Parameters
    ----------
    found, truth : (queries, >= k) integers
        Ids by rank; -1 is nobody. One dimension is one query.
    k : int, optional
        Default: the columns of `found`.
    """
    found_ids, true_ids = id_matrix(found, "found"), id_matrix(truth, "truth")
    wanted = found_ids.shape[1] if k is None else k
    return _vicinal.recall(found_ids, true_ids, whole_number(wanted, "k", 1, 2**63 - 1, "at least 1"))


def explain(spec: str, dim: int) -> str:
    """What a spec string says, in words: every stage, every parameter, bytes a vector of `dim` values."""
    return _vicinal.explain_spec(spec, checked_dim(dim))


def reconstruct(index: Index, ids: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
    """The vectors of `ids` (default: all, in order of id) as the index holds them: rerank rows where it has some, else decoded
    codes; exact for f32."""
    if not isinstance(index, Index):
        raise WrongType(f"index is a {type(index).__name__}, expected a vicinal.Index")
    return index._reconstruct(None if ids is None else id_array(ids, "ids"))
