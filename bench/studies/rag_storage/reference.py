"""What the library could do or does, part by part, by NumPy in float32: an oracle, and what a part costs by itself.

Projections: documents centred, queries not, nothing cast.
The inner product of a unit query q with a document x is <q, mean> + <q, x - mean>, and the first term is the same for all
documents: centring the documents alone changes no ranking. Centring both sides, as grid A does, compares something else.

Float8 with a factor a vector: documents in float8 and queries not, as the library has it, but decoded documents divided by their
length, which rounding has changed.
"""

from __future__ import annotations

from typing import Any, Iterator

import ml_dtypes
import numpy as np

from .projections import moments, principal, query_aware
from .results import Result, result_of
from .scoring import Floats, Rows, nearest, unit
from .tasks import Fold, Task

KEPT = (100, 75, 50, 25)  # percent of the dimensions
FLOAT8 = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "e3m4": ml_dtypes.float8_e3m4}


def through_float8(rows: Floats, dtype: Any) -> Floats:
    """Rounded to float8 times the smallest power of two at which every value is in range."""
    largest = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    scale = np.float32(2.0 ** np.ceil(np.log2(float(np.abs(rows).max()) / largest)))
    return np.asarray((rows / scale).astype(dtype).astype(np.float32) * scale)


def folds_of(task: Task) -> list[Fold]:
    """Where no queries are there to learn from, the documents stand in for them."""
    return list(task.folds) or [Fold(task.documents, np.arange(len(task.queries)))]


def grid(task: Task, truth: Rows) -> Iterator[Result]:
    documents, queries = unit(task.documents), unit(task.queries)
    of = moments(documents)
    centred = documents - of.mean.astype(np.float32)
    basis = principal(of).astype(np.float32)
    folds = [(query_aware(of, moments(unit(fold.training))), fold.asked) for fold in folds_of(task)]

    def measured(name: str, kept: int, found: Rows) -> Result:
        label = f"{name} {kept} %, f32"
        size = 4.0 * round(task.dim * kept / 100)
        return result_of(task, "reference", label, label, size, size, found, truth)

    for kept in KEPT:
        rows = slice(round(task.dim * kept / 100))
        yield measured("PCA", kept, nearest(centred @ basis[rows].T, queries @ basis[rows].T))
        found = np.empty((len(queries), truth.shape[1]), dtype=np.int64)
        for (query_map, document_map), asked in folds:
            of_documents, of_queries = document_map[rows].astype(np.float32), query_map[rows].astype(np.float32)
            found[asked] = nearest(centred @ of_documents.T, queries[asked] @ of_queries.T)
        yield measured("query-aware PCA", kept, found)
        yield measured("first values", kept, nearest(unit(documents[:, rows]), queries[:, rows]))
    for codec, dtype in FLOAT8.items():
        label = f"{codec}, of length 1 again"
        size = task.dim + 4.0
        found = nearest(unit(through_float8(documents, dtype)), queries)
        yield result_of(task, "reference", label, label, size, size, found, truth)
