"""Share of the exact ten nearest that are among N candidates."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Sequence

import numpy as np
import numpy.typing as npt

import vicinal

from .sets import Items, Set

K = 10
COUNTS = (10, 15, 25, 35, 50, 75, 100, 150, 200, 300, 500)
WANTED = (0.8, 0.9, 0.95)
# By name: the first stage of a spec.
RECIPES = {
    "paper": {2560: "muvera(paper, reps=20, bits=4, dim=8)", 5120: "muvera(paper, reps=20, bits=5, dim=8)",
              10240: "muvera(paper, reps=20, bits=5, dim=16)"},
    "paper, projected": {2560: "muvera(paper, reps=40, bits=5, projection=identity, final=2560)",
                         10240: "muvera(paper, reps=40, bits=5, projection=identity, final=10240)"},
    "vicinal": {1280: "muvera(reps=20, bits=3, dim=8)", 2560: "muvera(reps=40, bits=3, dim=8)", 5120: "muvera(reps=40, bits=4, dim=8)",
                10240: "muvera(reps=40, bits=4, dim=16)"},
    "vicinal, learned": {256: "head(dim=256)", 512: "head(dim=512)", 1024: "head(dim=1024)"},
}
# Codes of the encodings of 2,560 values that candidates are found by, all compared.
CODES = ("f32", "i8", "i4", "b1", "pq(d/8)", "pca(512) | i8")


@dataclass
class Curve:
    set: str
    recipe: str
    dim: int
    codes: str
    recall: dict[int, list[float]] = field(default_factory=dict)  # by candidates, of every seed

    def mean(self, candidates: int) -> float:
        return statistics.mean(self.recall[candidates])

    def needed(self, wanted: float) -> int | None:
        """The fewest candidates measured that give the recall."""
        return next((count for count in sorted(self.recall) if self.mean(count) >= wanted), None)


def counts_for(size: int) -> list[int]:
    return [count for count in COUNTS if count < size]


def exact(given: Set) -> vicinal.Hits:
    return vicinal.build(given.documents, "maxsim(f32)", metric="ip").search(given.queries, k=K)


def curve(given: Set, truth: vicinal.Hits, recipe: str, dim: int, codes: str, seeds: int) -> Curve:
    found = Curve(given.name, recipe, dim, codes)
    for seed in range(1, seeds + 1):
        spec = f"{RECIPES[recipe][dim]} | {codes} | flat | maxsim(f32)"
        index = vicinal.build(given.documents, spec, metric="ip", seed=seed, calibrate=False)
        for count in counts_for(given.size):
            hits = index.search(given.queries, k=K, effort=count)
            found.recall.setdefault(count, []).append(vicinal.recall(hits.ids, truth.ids))
    return found


def single_vectors(given: Set, truth: vicinal.Hits, most: int = 1000) -> Curve:
    """The heuristic that MUVERA is compared with: every vector of the query finds vectors, whose documents are candidates, those of the nearest
    vectors first."""
    rows, offsets = given.documents
    document_of = np.repeat(np.arange(given.size), np.diff(offsets))
    tokens = vicinal.build(rows, "flat", metric="ip").search(given.queries[0], k=min(most, len(rows)))
    found = Curve(given.name, "single vectors", rows.shape[1], "f32")
    for query in range(len(given.queries[1]) - 1):
        own = slice(given.queries[1][query], given.queries[1][query + 1])
        # By rank, all query vectors alike.
        ranked = document_of[tokens.ids[own].T.ravel()]
        order = ranked[np.sort(np.unique(ranked, return_index=True)[1])]
        for count in counts_for(given.size):
            share = len(np.intersect1d(order[:count], truth.ids[query])) / K
            found.recall.setdefault(count, []).append(share)
    found.recall = {count: [float(np.mean(values))] for count, values in found.recall.items()}
    return found


@dataclass(frozen=True)
class Pipeline:
    set: str
    spec: str
    recall: float
    scored: float  # documents a query
    seconds: float  # a query, one thread
    bytes: int  # a document


def timed(index: vicinal.Index, queries: Items, rounds: int, **how: float) -> tuple[vicinal.Hits, float]:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        hits = index.search(queries, k=K, threads=1, **how)
        times.append(time.perf_counter() - start)
    return hits, statistics.median(times) / (len(queries[1]) - 1)


def pipelines(given: Set, truth: vicinal.Hits, specs: Sequence[str], wanted: float, rounds: int = 3) -> list[Pipeline]:
    """The scan in f32 and what finds `wanted` of its answers: the fewest candidates that do, one thread."""
    results = []
    for spec in specs:
        index = vicinal.build(given.documents, spec, metric="ip", calibrate=False)
        efforts: list[dict[str, int]] = [{"effort": count} for count in (*counts_for(given.size), given.size)]
        if spec.startswith("maxsim"):
            efforts = [{}]
        for how in efforts:
            hits, seconds = timed(index, given.queries, rounds, **how)
            recall = vicinal.recall(hits.ids, truth.ids)
            if recall >= wanted or how is efforts[-1]:
                scored = hits.stats["reranked"] / (len(given.queries[1]) - 1) if how else given.size
                results.append(Pipeline(given.name, index.spec, recall, scored, seconds, index.nbytes // given.size))
                break
    return results


def spread(values: npt.ArrayLike) -> str:
    array = np.asarray(values)
    return f"{array.mean():.3f} ± {array.std(ddof=1):.3f}" if len(array) > 1 else f"{array.mean():.3f}"
