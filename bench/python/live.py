"""An index that changes, beside hnswlib: inserts and replacements a second, recall afterwards, and searches while a writer is at work.

    python bench/python/live.py base.npy queries.npy ip|l2 [--spec 'spec'] [--batch 1000] [--seconds 5] [--rows n]

Two threads insert every vector, in batches, and then replace every one by itself, so that the content stays and only the graph is made anew. Recall@10
is measured at one effort after each, and of a fresh build. Then one thread searches for some seconds alone, and as long beside a writer
that replaces vectors one by one. hnswlib replaces by adding under the same label, which moves the element in its graph.
Rows at the distance of the tenth neighbour count as found.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

K, THREADS, EFFORT = 10, 2, 64


@dataclass
class Contestant:
    name: str
    put: Callable[[np.ndarray, np.ndarray, int], Any]  # vectors, ids, threads
    search: Callable[[np.ndarray], np.ndarray]  # ids, by one thread


def ours(base: np.ndarray, metric: str, spec: str) -> Contestant:
    import vicinal

    index = vicinal.LiveIndex(base.shape[1], spec, metric=metric, threads=THREADS)
    return Contestant(
        f"LiveIndex {index.spec}",
        lambda rows, ids, threads: index.upsert(rows, ids),
        lambda queries: index.search(queries, k=K, effort=EFFORT, threads=1).ids,
    )


def theirs(base: np.ndarray, metric: str) -> Contestant:
    import hnswlib

    index = hnswlib.Index(space=metric, dim=base.shape[1])
    index.init_index(max_elements=len(base), ef_construction=200, M=24)
    index.set_ef(EFFORT)
    return Contestant(
        f"hnswlib {importlib.metadata.version('hnswlib')} M=24, efc=200",
        lambda rows, ids, threads: index.add_items(rows, ids, num_threads=threads),
        lambda queries: index.knn_query(queries, k=K, num_threads=1)[0],
    )


def recall(found: np.ndarray, base: np.ndarray, queries: np.ndarray, metric: str, worst: np.ndarray) -> float:
    rows = base[found]
    if metric == "ip":
        distances = -np.einsum("qkd,qd->qk", rows, queries)
    else:
        distances = ((rows - queries[:, None, :]) ** 2).sum(axis=2)
    return float((distances <= worst[:, None] + 1e-5 * np.abs(worst[:, None])).mean())


def put_all(contestant: Contestant, base: np.ndarray, batch: int) -> float:
    ids = np.arange(len(base))
    start = time.perf_counter()
    for first in range(0, len(base), batch):
        contestant.put(base[first : first + batch], ids[first : first + batch], THREADS)
    return len(base) / (time.perf_counter() - start)


def throughput(contestant: Contestant, queries: np.ndarray, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        contestant.search(queries[count % len(queries)][None])
        count += 1
    return count / (time.perf_counter() - start)


def with_writer(contestant: Contestant, base: np.ndarray, queries: np.ndarray, seconds: float) -> tuple[float, float]:
    stop, written = threading.Event(), [0]

    def write() -> None:
        while not stop.is_set():
            row = written[0] % len(base)
            contestant.put(base[row : row + 1], np.array([row]), 1)
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    speed = throughput(contestant, queries, seconds)
    stop.set()
    writer.join()
    return speed, written[0] / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("queries")
    parser.add_argument("metric", choices=["ip", "l2"])
    parser.add_argument("--spec", default="i8 | hnsw(m=16, efc=100, alpha=1.2)")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rows", type=int)
    arguments = parser.parse_args()
    import vicinal

    base = np.ascontiguousarray(np.load(arguments.base)[: arguments.rows], dtype=np.float32)
    queries = np.ascontiguousarray(np.load(arguments.queries), dtype=np.float32)
    worst = vicinal.exact(base, queries, k=K, metric=arguments.metric).distances[:, K - 1]
    print(f"{len(base):,} x {base.shape[1]}, {arguments.metric}, {platform.processor() or platform.machine()}, kernels {vicinal._vicinal.kernels()}")
    print("| index | inserts/s | recall | replacements/s | recall after | searches/s | with a writer | its replacements/s |")
    print("|---|---|---|---|---|---|---|---|")
    makers: list[Callable[[], Contestant]] = [lambda: ours(base, arguments.metric, arguments.spec)]
    try:
        import hnswlib  # noqa: F401

        makers.append(lambda: theirs(base, arguments.metric))
    except ImportError:
        print("hnswlib is not installed")
    for maker in makers:
        contestant = maker()
        inserts = put_all(contestant, base, arguments.batch)
        fresh = recall(contestant.search(queries), base, queries, arguments.metric, worst)
        replacements = put_all(contestant, base, arguments.batch)
        after = recall(contestant.search(queries), base, queries, arguments.metric, worst)
        alone = throughput(contestant, queries, arguments.seconds)
        beside, written = with_writer(contestant, base, queries, arguments.seconds)
        print(
            f"| {contestant.name} | {inserts:,.0f} | {fresh:.4f} | {replacements:,.0f} | {after:.4f} "
            f"| {alone:,.0f} | {beside:,.0f} | {written:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
