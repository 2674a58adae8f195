"""Exhaustive scans of small codes beside FAISS's: recall, bytes a vector and time a query and vector, one thread, interleaved.

    pip install faiss-cpu==1.15.1
    python bench/python/scan.py base.npy queries.npy ip|l2 [batch] [--only name;name]

Every round each index answers the same queries, in turn, in batches (default: one query at a time); medians count. Rows at the distance
of the tenth neighbour count as found. For each of FAISS's indexes the fastest of ours that recalls at least as much is named. FAISS's product
quantisers get as many 4-bit codes as there are dimensions, a half and a quarter of it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import faiss
import numpy as np

import vicinal

ROUNDS, K = 9, 10
Search = Callable[[np.ndarray], np.ndarray]


def ours(base: np.ndarray, spec: str, metric: str) -> tuple[Search, float]:
    index = vicinal.build(base, spec, metric=metric, progress=False)
    return lambda queries: index.search(queries, K, threads=1).ids, index.nbytes / len(base)


def theirs(base: np.ndarray, factory: str, metric: str) -> tuple[Search, float]:
    faiss.omp_set_num_threads(2)
    kind = faiss.METRIC_INNER_PRODUCT if metric == "ip" else faiss.METRIC_L2
    index = faiss.index_factory(base.shape[1], factory, kind)
    index.train(base)
    index.add(base)
    faiss.omp_set_num_threads(1)
    return lambda queries: index.search(queries, K)[1], len(faiss.serialize_index(index)) / len(base)


def distances(base: np.ndarray, queries: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    found = base[rows].astype(np.float64)
    return -(found * queries[:, None]).sum(2) if metric == "ip" else ((found - queries[:, None]) ** 2).sum(2)


def furthest_neighbours(base: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    """The distance of each query's exact tenth neighbour, a column."""
    return distances(base, queries, vicinal.exact(base, queries, K, metric=metric).ids[:, -1:], metric)


def recall_of(base: np.ndarray, queries: np.ndarray, rows: np.ndarray, furthest: np.ndarray, metric: str) -> float:
    return float((distances(base, queries, rows, metric) <= furthest + 1e-6 * np.abs(furthest)).mean())


def main() -> None:
    base, queries, metric = np.load(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]
    rest = sys.argv[4:]
    only = rest[rest.index("--only") + 1].split(";") if "--only" in rest else None
    batch = int(rest[0]) if rest and rest[0].isdigit() else 1
    dim = base.shape[1]
    peers = [f"PQ{dim}x4fs", f"PQ{dim // 2}x4fs", f"PQ{dim // 4}x4fs", "RaBitQfs", f"RR{dim},RaBitQfs", "SQ4"]
    # Codes of bits lie in words of 64 dimensions.
    kept = sorted({max(1, round(dim * eighths / 8 / 64)) * 64 for eighths in (7, 6, 5, 4, 3)})
    specs = [f"{before}{codec} | flat" for before in ("", *(f"pca({d}) | " for d in kept if d < dim)) for codec in ("i4", "b2", "b1")]
    specs += [f"{codec}({dim // share}, bits=4) | flat" for codec in ("pq", "opq") for share in (2, 4)]
    contestants: dict[str, tuple[Search, float]] = {}
    for name in [*peers, *specs]:
        if only and name not in only:
            continue
        try:
            contestants[name] = theirs(base, name, metric) if name in peers else ours(base, name, metric)
        except RuntimeError as error:
            print(f"{name}: {str(error).splitlines()[-1]}", file=sys.stderr)
    furthest = furthest_neighbours(base, queries, metric)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    recall = {name: recall_of(base, queries, search(queries), furthest, metric) for name, (search, _) in contestants.items()}
    for _ in range(ROUNDS):
        for name, (search, _) in contestants.items():
            start = time.perf_counter()
            for first in range(0, len(queries), batch):
                search(queries[first : first + batch])
            times[name].append((time.perf_counter() - start) / len(queries) / len(base) * 1e9)
    nanoseconds = {name: statistics.median(values) for name, values in times.items()}
    print(f"{len(base)} x {dim}, {metric}, {len(queries)} queries in batches of {batch}, one thread")
    for name, (_, size) in sorted(contestants.items(), key=lambda item: recall[item[0]]):
        line = f"{name:24} recall@10 {recall[name]:.4f}  {size:6.0f} bytes  {nanoseconds[name]:6.2f} ns"
        if name in peers:
            able = [spec for spec in specs if spec in recall and recall[spec] >= recall[name]]
            if able:
                best = min(able, key=lambda spec: nanoseconds[spec])
                line += f"  {nanoseconds[name] / nanoseconds[best]:.2f} x {best}"
        print(line)


if __name__ == "__main__":
    main()
