"""What one configuration reached on one task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scoring import Rows, Scores, ndcg, recall
from .tasks import Task


@dataclass(frozen=True)
class Result:
    """grid: "paper", "vicinal" or "reference". key: the name in any dimension, "pca(d/2) | e4m3 | flat"; label: with its numbers.
    stored, scanned: bytes a vector, all of them and those that every query reads. ndcg: by query, where there are judgements.
    recall: by query, of the 10 exact cosine neighbours."""

    task: str
    grid: str
    key: str
    label: str
    stored: float
    scanned: float
    ndcg: Scores | None
    recall: Scores

    @property
    def quality(self) -> float:
        """nDCG@10, or recall@10 where nobody judged."""
        return float(np.mean(self.recall if self.ndcg is None else self.ndcg))


@dataclass(frozen=True)
class Missing:
    """A configuration that this build of the library does not have."""

    task: str
    key: str
    reason: str


def result_of(task: Task, grid: str, key: str, label: str, stored: float, scanned: float, found: Rows, truth: Rows) -> Result:
    judged = None if task.relevant is None else ndcg(found, task.relevant)
    return Result(task.name, grid, key, label, stored, scanned, judged, recall(found, truth))
