"""Grid B, as Vicinal does it: spec strings, documents in codes and queries as they are."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Iterator

import numpy as np
import vicinal

from .reference import folds_of
from .results import Missing, Result, result_of
from .scoring import K, Floats, Rows
from .tasks import Task

CODECS = ("f32", "f16", "bf16", "e4m3", "e5m2", "e3m4", "i8", "i4", "b2", "b1")
FINER = ("rerank(e4m3, 3x)", "rerank(e3m4, 3x)", "rerank(f16, 3x)")
PROJECTIONS = ("pca", "qpca", "truncate")
PRODUCTS = ("pq(d/8)", "opq(d/8)", "pq(d/2)", "opq(d/2)")
LEVELS = ("i4 | flat | rerank(+i4, 3x)", "b1 | flat | rerank(+i8, 10x)")


def specs() -> list[str]:
    """In any dimension: d/2 and d/4 stand for half and a quarter of it."""
    found = [f"{codec} | flat" for codec in CODECS]
    found += [f"{codec} | flat | rerank(f16, 3x)" for codec in ("e4m3", "e5m2", "e3m4", "i8")]
    found += [f"i4 | flat | {finer}" for finer in FINER]
    found += [f"{codec} | flat | {finer.replace('3x', '10x')}" for codec in ("b2", "b1") for finer in FINER]
    found += [f"{codec}(norm=off) | flat" for codec in ("e4m3", "e5m2", "e3m4")]
    found += [f"{codec} | flat" for codec in PRODUCTS]
    found += LEVELS
    for projection in PROJECTIONS:
        for kept in ("d/2", "d/4"):
            found += [f"{projection}({kept}) | {codec} | flat" for codec in ("f32", "e4m3", "i8", "i4", "b2")]
            found += [f"{projection}({kept}) | {codec} | flat | rerank(e4m3, 3x)" for codec in ("i8", "i4")]
    return found


def in_dimension(spec: str, dim: int) -> str:
    return re.sub(r"d/(\d)", lambda part: str(dim // int(part.group(1))), spec)


def _build(documents: Floats, spec: str, training: Floats | None) -> vicinal.Index:
    """training: queries that qpca learns from; nothing else does."""
    return vicinal.build(documents, spec, metric="cosine", calibrate=False, calibration_queries=training, progress=False)


@lru_cache(maxsize=None)
def bytes_a_vector(spec: str, dim: int) -> float:
    """What one vector more takes, whatever it is: means and matrices, which an index holds once, are left out."""
    small, large = 200, 400
    rows = np.random.default_rng(0).standard_normal((large, dim), dtype=np.float32)
    sizes = [_build(rows[:count], spec, rows).nbytes for count in (small, large)]
    return (sizes[1] - sizes[0]) / (large - small)


def measure(task: Task, key: str, truth: Rows) -> Result | Missing:
    """key: a spec of specs()."""
    spec = in_dimension(key, task.dim)
    folds = folds_of(task) if key.startswith("qpca") else []
    found = np.empty((len(task.queries), K), dtype=np.int64)
    try:
        if not folds:
            found = _build(task.documents, spec, None).search(task.queries, K).ids
        for fold in folds:
            found[fold.asked] = _build(task.documents, spec, fold.training).search(task.queries[fold.asked], K).ids
        stored = bytes_a_vector(spec, task.dim)
        scanned = bytes_a_vector(re.sub(r" *\| *rerank.*", "", spec), task.dim)
    except vicinal.SpecError as error:
        return Missing(task.name, key, str(error).splitlines()[0])
    return result_of(task, "vicinal", key, spec, stored, scanned, found, truth)


def grid(task: Task, truth: Rows) -> Iterator[Result | Missing]:
    for key in specs():
        yield measure(task, key, truth)
