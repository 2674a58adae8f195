"""Which compression to take under a memory limit: measured, not assumed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Iterable, Literal, Sequence, Union

from . import _vicinal
from ._arrays import whole_number
from ._errors import InvalidArgument, WrongType
from ._functions import Path, Progress, Vectors, checked_seed, checked_threads
from ._progress import ProgressBar

Judgements = Union[Path, Iterable[Sequence[float]]]


@dataclass(frozen=True)
class ExploredPoint:
    """One way to store the vectors, measured on all of them."""

    spec: str  #: what `vicinal.build` takes
    recall: float
    recall_interval: tuple[float, float]  #: 95 %, by the bootstrap over queries
    bytes: int  #: with graph and side factors, as measured
    planned_bytes: int  #: at `plan_for` rows
    rerank: float | None  #: depth of the rerank stage, a multiple of k
    effort: int | None  #: of a graph's search: the smallest at which it is as good as it gets
    floor_effort: int | None  #: the smallest effort that reaches the floor
    ndcg: float | None  #: when there are judgements
    ndcg_interval: tuple[float, float] | None
    predicted_error: float  #: root mean square of a distance, from a sample
    measured_error: float
    micros_per_query: float
    graph: bool
    on_front: bool  #: nothing else of its kind is both smaller and better
    tied_with_best: bool  #: within the noise of the best under the budget
    growth: dict[str, Any] | None  #: recalls by rows, and the line through their losses


def _point(found: dict[str, Any] | None) -> ExploredPoint | None:
    if found is None:
        return None
    interval = found.get("ndcg_interval")
    names = ("spec", "recall", "bytes", "planned_bytes", "rerank", "effort", "floor_effort", "predicted_error", "measured_error",
             "micros_per_query", "graph", "on_front", "tied_with_best", "growth")
    return ExploredPoint(
        recall_interval=tuple(found["recall_interval"]), ndcg=found.get("ndcg"),
        ndcg_interval=None if interval is None else tuple(interval), **{name: found[name] for name in names},
    )


class Exploration:
    """What `vicinal.explore` found. Prints as its tables."""

    def __init__(self, text: str, table: str, picture: str) -> None:
        self._json: dict[str, Any] = json.loads(text)
        self._table = table
        self._picture = picture
        self.points: tuple[ExploredPoint, ...] = tuple(
            point for point in map(_point, self._json["points"]) if point is not None
        )

    @property
    def recommended(self) -> ExploredPoint | None:
        """The best under the budget and above the floor, of those tied with it the smallest; None when there is none."""
        return _point(self._json["recommended"])

    @property
    def nearest(self) -> ExploredPoint | None:
        """When nothing is recommended: the best under the budget, or the smallest when nothing fits."""
        return _point(self._json["nearest"])

    @property
    def decision(self) -> str:
        """Why, in words."""
        text: str = self._json["decision"]
        return text

    def table(self) -> str:
        """The front, its growth and the decision, as `vicinal explore` prints them."""
        return self._table

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured, as `vicinal explore -o` writes it."""
        copy: dict[str, Any] = json.loads(json.dumps(self._json))
        return copy

    def plot(self, path: Path) -> None:
        """Writes the picture of quality against memory, an SVG file."""
        if not os.fsdecode(path).endswith(".svg"):
            raise InvalidArgument(f"path is {os.fsdecode(path)!r}, expected one that ends with .svg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._picture)

    def _repr_svg_(self) -> str:
        return self._picture

    def __str__(self) -> str:
        return self._table

    def __repr__(self) -> str:
        best = self.recommended
        return f"<vicinal.Exploration of {len(self.points)} points, {'nothing' if best is None else best.spec} recommended>"


def _judgement_lines(qrels: Iterable[Sequence[float]]) -> str:
    lines = []
    for row in qrels:
        try:
            query, document, relevance = row
        except (TypeError, ValueError):
            raise InvalidArgument(f"qrels hold {row!r}, expected (query row, base row, relevance)") from None
        lines.append(f"{query} {document} {relevance}\n")
    return "".join(lines)


def _words(value: object) -> str | None:
    return None if value is None else str(value)


def explore(
    base: Vectors,
    queries: Vectors,
    *,
    metric: str,
    budget: int | str | None = None,
    floor: float | str | None = None,
    qrels: Judgements | None = None,
    k: int = 10,
    plan_for: int | str | None = None,
    index: Literal["hnsw", "flat"] = "hnsw",
    training_queries: Vectors | None = None,
    paper: bool = False,
    seed: int = 1,
    threads: int | None = None,
    progress: Progress = None,
) -> Exploration:
    """Measures which compression to take under a memory limit.

    Parameters
    ----------
    base : (n, dim) float32
    queries : (m, dim) float32
        Real ones: some hundred are enough, and the intervals say how sure their answer is.
    metric : "l2", "ip" or "cosine"
    budget : int or str, optional
        Bytes the index may take: 200 * 2**20 or "200MiB". Counted are codes, factors, graph and rerank rows.
    floor : float or str, optional
        The recall to be reached, 0.95 or "recall@10=.95"; "ndcg@10=.6" with judgements.
    qrels : path or (query row, base row, relevance) triples, optional
        Relevance judgements: nDCG@k is measured as well.
    k : int
    plan_for : int or str, optional
        Rows the budget is meant for, 50_000_000 or "50M": memory is scaled and recall extrapolated, which is said.
    index : "hnsw" or "flat"
        What is to search the codes.
    training_queries : (t, dim) float32, optional
        Others, from which `qpca` learns; without them it is not tried, since of queries that it has learned by heart it tells too
        good a recall. `vicinal.build` then wants them as `calibration_queries`.
    paper : bool
        The grid of arXiv 2505.00105 instead, its claims against what is measured.
    seed, threads, progress
        As for `vicinal.build`.

    Interrupting it (Ctrl-C) stops it.
    """
    if index not in ("hnsw", "flat"):
        raise InvalidArgument(f"index is {index!r}, expected 'hnsw' or 'flat'")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise WrongType(f"progress is {progress!r}, expected a bool, None or a function of (phase, done, total)")
    arguments: dict[str, Any] = {
        "training_queries": training_queries,
        "metric": metric,
        "k": whole_number(k, "k", 1, 2**20, "1 to 2^20"),
        "budget": _words(budget),
        "floor": _words(floor),
        "qrels": None,
        "qrels_path": None,
        "plan_for": _words(plan_for),
        "graph": index == "hnsw",
        "paper": bool(paper),
        "seed": checked_seed(seed),
        "threads": checked_threads(threads),
    }
    if isinstance(qrels, (str, bytes, os.PathLike)):
        arguments["qrels_path"] = qrels
    elif qrels is not None:
        arguments["qrels"] = _judgement_lines(qrels)
    if callable(progress):
        return Exploration(*_vicinal.explore(base, queries, progress=progress, **arguments))
    with ProgressBar(progress) as bar:
        return Exploration(*_vicinal.explore(base, queries, progress=bar if bar.visible else None, **arguments))

