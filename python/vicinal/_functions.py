"""Build, open, measure."""

from __future__ import annotations

import os
from typing import Any, Callable, Union

import numpy as np
import numpy.typing as npt

from . import _vicinal
from ._arrays import id_array, id_matrix
from ._errors import InvalidArgument
from ._progress import ProgressBar
from ._vicinal import Hits, Index

Vectors = npt.ArrayLike
Progress = Union[bool, None, Callable[[str, int, int], object]]

DEFAULT_SPEC = "i8 | hnsw | rerank(f16, 3x)"


def build(
    base: Vectors,
    spec: str = DEFAULT_SPEC,
    *,
    metric: str,
    ids: npt.ArrayLike | None = None,
    seed: int = 1,
    threads: int | None = None,
    calibrate: bool = True,
    calibration_queries: Vectors | None = None,
    progress: Progress = None,
) -> Index:
    """Builds an index.

    Parameters
    ----------
    base : (n, dim) float32
        Read where they lie when rows are contiguous; float16, bfloat16, uint8 and int8 are converted.
    spec : str
        What to build: ``codec | index | rerank``; `vicinal.explain` tells what a spec means.
    metric : "l2", "ip" or "cosine"
    ids : (n,) integers, optional
        Unique and not negative; default: row numbers.
    seed : int
        Data, spec and seed decide the result; the number of threads does not.
    threads : int, optional
        Default: every core this process may use.
    calibrate : bool
        Measure recall by effort afterwards, so that searches can ask for a recall.
    calibration_queries : (m, dim) float32, optional
        What to measure on; default: rows of the base, searched for as if they were not in it.
    progress : bool or callable, optional
        None shows a bar on a terminal and in a notebook, True on any output, False never; or progress(phase, done, total).

    Interrupting it (Ctrl-C) stops it and leaves nothing behind.
    """
    if not 0 <= seed < 2**64:
        raise InvalidArgument(f"seed is {seed}, expected 0 to 2^64 - 1")
    if threads is not None and not 1 <= threads <= 65535:
        raise InvalidArgument(f"threads is {threads}, expected 1 to 65535")
    given_ids = None if ids is None else id_array(ids, "ids")
    arguments: dict[str, Any] = {
        "metric": metric,
        "ids": given_ids,
        "seed": seed,
        "threads": threads,
        "calibrate": calibrate,
        "calibration_queries": calibration_queries,
    }
    if callable(progress):
        return _vicinal.build(base, spec, progress=progress, **arguments)
    with ProgressBar(progress) as bar:
        return _vicinal.build(base, spec, progress=bar if bar.visible else None, **arguments)


def open(path: str | os.PathLike[str], *, mmap: bool = False) -> Index:
    """Opens a `.vcn` file. `mmap` maps it instead of reading it: quick, and the pages are shared between processes, but bytes are
    not compared with their checksums (`vicinal.verify` does)."""
    return _vicinal.open(path, mmap=mmap)


def verify(path: str | os.PathLike[str]) -> None:
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
    if wanted < 1:
        raise InvalidArgument(f"k is {wanted}, expected at least 1")
    return _vicinal.recall(found_ids, true_ids, wanted)


def explain(spec: str, dim: int) -> str:
    """What a spec string says, in words: every stage, every parameter, bytes a vector of `dim` values."""
    if dim < 1:
        raise InvalidArgument(f"dim is {dim}, expected at least 1")
    return _vicinal.explain_spec(spec, dim)


def reconstruct(index: Index, ids: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
    """The vectors of `ids` (default: all, in order of id) as the index holds them: rerank rows where it has some, else decoded
    codes; exact for f32."""
    return index._reconstruct(None if ids is None else id_array(ids, "ids"))
