"""Searches with a filter beside the peers': queries a second of one thread and recall@10, by the share of rows that pass.

    python bench/python/filters.py base.npy queries.npy ip|l2 [--shares .001,.01,.1,.5] [--rounds 5] [--markdown file]

Two kinds of filter for each share: `random` passes rows by chance, `region` the rows nearest to one of them, so that most queries are far from all
that passes. Every index answers the same queries in one call, at each of its efforts in turn, one index after the other, round by round;
medians count. Before anything is timed an answer is checked: nothing that fails the filter, and as many results as there are matches or
k. A speed at a recall is that of the fastest effort that recalls as much, or lies on the line (logarithms of speed) between the efforts around it.

What takes more than 2 ms a query at some effort is measured there on the first --slow-queries queries, once.

faiss takes a bitmap (SearchParametersHNSW with an IDSelectorBitmap), as ours does. hnswlib's Python package takes a function that it calls for
what may enter its results, with the GIL held; docs/benchmarks.md has what its search does with a filter in C++.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from graph import OURS, is_installed, load, machine, speed_at

K, THREADS = 10, 2
EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256)
TARGETS = (0.95, 0.98, 0.99, 0.999)
SLOW = 0.002  # seconds
Search = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


def build_ours(base: np.ndarray, metric: str, spec: str) -> Search:
    import vicinal

    index = vicinal.build(base, spec, metric=metric, threads=THREADS, progress=False, calibrate=False)
    return lambda queries, effort, mask: index.search(queries, k=K, effort=effort, filter=mask, threads=1).ids


def build_hnswlib(base: np.ndarray, metric: str) -> Search:
    import hnswlib

    index = hnswlib.Index(space=metric, dim=base.shape[1])
    index.init_index(max_elements=len(base), ef_construction=200, M=24)
    index.add_items(base, num_threads=THREADS)

    def search(queries: np.ndarray, effort: int, mask: np.ndarray) -> np.ndarray:
        index.set_ef(effort)
        return index.knn_query(queries, k=K, num_threads=1, filter=lambda i: bool(mask[i]))[0]

    return search


def build_faiss(base: np.ndarray, metric: str) -> Search:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexHNSWFlat(base.shape[1], 48, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(base)
    faiss.omp_set_num_threads(1)

    def search(queries: np.ndarray, effort: int, mask: np.ndarray) -> np.ndarray:
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        return index.search(queries, K, params=faiss.SearchParametersHNSW(sel=selector, efSearch=effort))[1]

    return search


@dataclass
class Contestant:
    name: str
    search: Search
    complete: bool = True  # promises k results where there are as many matches
    recall: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, list[float]] = field(default_factory=dict)  # a query
    slow: set[int] = field(default_factory=set)  # efforts at which a part of the queries must do

    def points(self) -> list[tuple[float, float]]:
        return sorted((self.recall[e], 1 / statistics.median(times)) for e, times in self.seconds.items())


def masks(base: np.ndarray, share: float, metric: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    count = max(1, round(share * len(base)))
    centre = base[77]
    distances = -(base @ centre) if metric == "ip" else np.square(base - centre).sum(1)
    chosen = {"random": rng.permutation(len(base))[:count], "region": np.argsort(distances, kind="stable")[:count]}
    result = {}
    for name, rows in chosen.items():
        result[name] = np.zeros(len(base), dtype=bool)
        result[name][rows] = True
    return result


def distances_to(base: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    products = queries @ base.T
    return -products if metric == "ip" else np.square(base).sum(1) - 2 * products


def check(contestant: Contestant, ids: np.ndarray, mask: np.ndarray) -> None:
    found = ids[ids >= 0]
    if not mask[found].all():
        raise RuntimeError(f"{contestant.name} returned what its filter refuses")
    if contestant.complete and ((ids >= 0).sum(axis=1) != min(K, mask.sum())).any():
        raise RuntimeError(f"{contestant.name} returned fewer results than there are")


def measure(contestants: list[Contestant], queries: np.ndarray, distances: np.ndarray, mask: np.ndarray, rounds: int, slow_queries: int) -> None:
    most = min(K, int(mask.sum()))
    furthest = np.partition(distances[:, mask], most - 1, axis=1)[:, most - 1] + 1e-5
    for contestant in contestants:
        contestant.recall, contestant.seconds, contestant.slow = {}, {}, set()
    for round_number in range(rounds):
        for effort in EFFORTS:
            for contestant in contestants:
                try:
                    if round_number == 0:
                        start = time.perf_counter()
                        contestant.search(queries[:5], effort, mask)
                        if (time.perf_counter() - start) / 5 > SLOW:
                            contestant.slow.add(effort)
                    elif effort in contestant.slow:
                        continue
                    some = queries[:slow_queries] if effort in contestant.slow else queries
                    start = time.perf_counter()
                    ids = np.asarray(contestant.search(some, effort, mask), dtype=np.int64)
                except RuntimeError as error:  # hnswlib, where it found fewer than k
                    print(f"{contestant.name}, effort {effort}: {error}", file=sys.stderr)
                    continue
                seconds = time.perf_counter() - start
                contestant.seconds.setdefault(effort, []).append(seconds / len(some))
                if effort in contestant.recall:
                    continue
                check(contestant, ids, mask)
                rows = np.arange(len(some))[:, None]
                hits = (distances[rows, np.maximum(ids, 0)] <= furthest[: len(some), None]) & (ids >= 0)
                contestant.recall[effort] = float(hits.sum()) / (most * len(some))


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("metric", choices=("ip", "l2"))
    parser.add_argument("--shares", default=".001,.01,.1,.5")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-queries", type=int, default=100)
    parser.add_argument("--markdown", type=Path, help="appends the table")
    arguments = parser.parse_args()
    base, queries = load(arguments.base), load(arguments.queries)
    contestants = [Contestant(name, build_ours(base, arguments.metric, spec)) for name, spec in OURS.items()]
    if is_installed("faiss-cpu"):
        contestants.append(Contestant("faiss HNSW48,Flat", build_faiss(base, arguments.metric), complete=False))
    if is_installed("hnswlib"):
        contestants.append(Contestant("hnswlib M=24, a function", build_hnswlib(base, arguments.metric)))
    distances = distances_to(base, queries, arguments.metric)
    rows = [["filter", "", *(f"@{target:g}" for target in TARGETS), "most"]]
    for share in (float(s) for s in arguments.shares.split(",")):
        for kind, mask in masks(base, share, arguments.metric).items():
            measure(contestants, queries, distances, mask, arguments.rounds, arguments.slow_queries)
            for contestant in contestants:
                points = contestant.points()
                speeds = [number(speed_at(points, target)) for target in TARGETS]
                rows.append([f"{kind} {share:.1%}", contestant.name, *speeds, f"{points[-1][0]:.4f}" if points else "-"])
    print(f"{arguments.base.name}: {len(base):,} x {base.shape[1]}, {arguments.metric}, {len(queries):,} queries, recall@{K}, one thread\n{machine()}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))))
    if arguments.markdown:
        ruled = [rows[0], ["---", "---"] + ["---:"] * (len(rows[0]) - 2), *rows[1:]]
        with arguments.markdown.open("a") as file:
            file.write("\n".join("| " + " | ".join(row) + " |" for row in ruled) + f"\n\n{machine()}.\n")


if __name__ == "__main__":
    main()
