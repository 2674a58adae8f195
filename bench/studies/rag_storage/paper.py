"""Grid A, as the paper did it: both sides are reduced, cast, cast back to float32 and compared by cosine.

The procedure is that of the authors' published code (arXiv 2505.00105): PCA that subtracts the mean of the vectors it was fitted
on from queries and documents alike; casts of ml_dtypes without any scale; "int8" of sentence-transformers, where the codes
themselves are compared; "binary" of zeros and ones. Every step but PCA's fit and int8's ranges is free of data.
"""

from __future__ import annotations

from typing import Callable, Iterator

import ml_dtypes
import numpy as np
import numpy.typing as npt

from .projections import moments, principal
from .results import Result, result_of
from .scoring import Rows, cosine_nearest
from .tasks import Task

Floats = npt.NDArray[np.float32]
Cast = Callable[[Floats], Floats]

KEPT = (100, 75, 50, 25)  # percent of the dimensions


def uint8_codes(rows: Floats, calibration: Floats, clip: bool) -> npt.NDArray[np.uint8]:
    """sentence-transformers' uint8: 255 steps from the calibration set's least to its largest value, per dimension, truncated.

    Until July 2026 it did not clip: a value outside of the range was wrapped around, modulo 256.
    """
    least, largest = calibration.min(axis=0), calibration.max(axis=0)
    steps = (largest - least) / np.float32(255)
    scaled = (rows - least) / np.where(steps > 0, steps, np.float32(1))
    if clip:
        return np.asarray(np.clip(scaled, 0, 255), dtype=np.uint8)
    return np.asarray(np.trunc(scaled).astype(np.int64) & 255, dtype=np.uint8)


def zeros_and_ones(rows: Floats) -> Floats:
    return (rows > 0).astype(np.float32)


def _through(dtype: npt.DTypeLike) -> Cast:
    def cast(rows: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return rows.astype(dtype).astype(np.float32)

    return cast


# Name, bits a value, cast.
FLOATS: list[tuple[str, int, Cast]] = [
    ("f32", 32, _through(np.float32)),
    ("f16", 16, _through(np.float16)),
    ("bf16", 16, _through(ml_dtypes.bfloat16)),
    ("e4m3fn", 8, _through(ml_dtypes.float8_e4m3fn)),
    ("e5m2", 8, _through(ml_dtypes.float8_e5m2)),
    ("binary {0,1}", 1, zeros_and_ones),
]


def casts(calibration: Floats) -> list[tuple[str, int, Cast]]:
    def codes(clip: bool) -> Cast:
        return lambda rows: uint8_codes(rows, calibration, clip).astype(np.float32)

    return [*FLOATS[:-1], ("int8 clipped", 8, codes(True)), ("int8 wrapped", 8, codes(False)), FLOATS[-1]]


def name_of(cast: str, kept: int | None, inside: bool) -> str:
    if kept is None:
        return cast
    return f"PCA {kept} % {'in' if inside else 'out of'} domain, {cast}"


def grid(task: Task, truth: Rows) -> Iterator[Result]:
    """Every cast, without PCA and after PCA. int8's ranges are out of domain where there is such a set, as in the paper."""

    def measured(name: str, bits: int, cast: Cast, documents: Floats, queries: Floats) -> Result:
        size = documents.shape[1] * bits / 8
        return result_of(task, "paper", name, name, size, size, cosine_nearest(cast(documents), cast(queries)), truth)

    outside = task.documents if task.out_of_domain is None else task.out_of_domain
    for name, bits, cast in casts(outside):
        yield measured(name, bits, cast, task.documents, task.queries)
    fits = [("in", task.documents)] + ([] if task.out_of_domain is None else [("out", task.out_of_domain)])
    for place, fitted in fits:
        of = moments(fitted)
        mean, basis = of.mean.astype(np.float32), principal(of).astype(np.float32)
        three = (task.documents, task.queries, outside)
        sides: list[Floats] = [np.asarray((side - mean) @ basis.T, dtype=np.float32) for side in three]
        for kept in KEPT:
            documents, queries, calibration = (side[:, : round(task.dim * kept / 100)] for side in sides)
            for name, bits, cast in casts(calibration):
                yield measured(name_of(name, kept, place == "in"), bits, cast, documents, queries)
