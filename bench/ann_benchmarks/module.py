"""Vicinal for ann-benchmarks (https://github.com/erikbern/ann-benchmarks).

Copy module.py, config.yml and Dockerfile to its ann_benchmarks/algorithms/vicinal/, with a wheel of Vicinal beside them (the
Dockerfile says how). runner.py runs the same configuration here, without Docker.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import vicinal

try:
    from ..base.module import BaseANN  # type: ignore[import-not-found,misc,unused-ignore]
except ImportError:

    class BaseANN:  # type: ignore[no-redef]
        """Stands for the base class of ann-benchmarks outside of it."""


_METRICS = {"euclidean": "l2", "angular": "cosine"}


class Vicinal(BaseANN):  # type: ignore[misc,unused-ignore]
    """An index that a spec string describes; the query argument is its effort."""

    def __init__(self, metric: str, spec: str) -> None:
        if metric not in _METRICS:
            raise ValueError(f"metric is {metric!r}, expected one of {', '.join(_METRICS)}")
        self._metric, self._spec = _METRICS[metric], spec
        self._index: vicinal.Index | None = None
        self._effort: int | None = None
        self._answers: list[vicinal.Hits] = []
        self._batch: vicinal.Hits | None = None
        self.name = f"Vicinal({spec})"

    def fit(self, X: npt.NDArray[Any]) -> None:
        """X: (n, dim)."""
        base = np.ascontiguousarray(X, dtype=np.float32)
        # Efforts are given, not aimed at: no calibration.
        self._index = vicinal.build(base, self._spec, metric=self._metric, calibrate=False, progress=False)

    def set_query_arguments(self, effort: int) -> None:
        self._effort = int(effort)
        self._answers, self._batch = [], None
        self.name = f"Vicinal({self._spec}, effort={effort})"

    def query(self, q: npt.NDArray[Any], n: int) -> npt.NDArray[np.int64]:
        """q: (dim,). Row numbers of at most n neighbours, nearest first."""
        hits = self._fitted().search(np.asarray(q, dtype=np.float32), n, effort=self._effort, threads=1)
        self._answers.append(hits)  # what it cost is counted later, not while the clock runs
        return hits.ids[: hits.counts]

    def batch_query(self, X: npt.NDArray[Any], n: int) -> None:
        """X: (queries, dim). On every core."""
        self._batch = self._fitted().search(np.ascontiguousarray(X, dtype=np.float32), n, effort=self._effort)
        self._answers.append(self._batch)

    def get_batch_results(self) -> list[npt.NDArray[np.int64]]:
        if self._batch is None:
            raise RuntimeError("there are no results: batch_query comes first")
        return [ids[:count] for ids, count in zip(self._batch.ids, np.atleast_1d(self._batch.counts))]

    def get_additional(self) -> dict[str, Any]:
        """Distances computed since the query arguments were set, over all runs."""
        return {"dist_comps": sum(int(hits.stats["distances"]) for hits in self._answers)}

    def get_memory_usage(self) -> float:
        """Of the index, in kilobytes; 0 before fit()."""
        return 0.0 if self._index is None else self._index.nbytes / 1024

    def done(self) -> None:
        self._index, self._answers, self._batch = None, [], None

    def __str__(self) -> str:
        return self.name

    def _fitted(self) -> vicinal.Index:
        if self._index is None:
            raise RuntimeError("there is no index: fit comes first")
        return self._index
