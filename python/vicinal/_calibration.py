"""Recall by effort, as measured when an index was built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """The recall@k that each effort gave, measured on `queries` queries: rows of the base searched for as if they were not in it,
    or the caller's own (`given_queries`)."""

    k: int
    queries: int
    given_queries: bool
    efforts: tuple[int, ...]
    recalls: tuple[float, ...]
