"""Graph indexes beside their peers': queries a second of one thread at equal recall, what building them takes, and their memory.

    make bench-graph                                   on the vectors that are part of the repository
    make bench-graph BENCH="base.npy queries.npy ip"   on others, and with further options of this script:
    python bench/python/graph.py base.npy queries.npy ip|l2 [--only name,name] [--spec 'spec'] [--rounds 7] [--json file] [--markdown file]

Every index is built in a process of its own, one after the other, by two threads, and stays there. In every round each answers the same
queries at each of its efforts, in turn, so that noise of the machine falls on all alike; medians count. Rows at the distance of the tenth
neighbour count as found. A speed at a recall is that of the fastest effort that recalls as much, or lies on the line (logarithms of speed)
between the efforts around it. Memory is what the process grew by while building. Of ours the table also has the mean number of bytes that a
query reads at recall .95. A peer that is not installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

K, THREADS = 10, 2
EFFORTS = (10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
TARGETS = (0.9, 0.95, 0.99, 0.999)
OURS = {
    "fused": "i8 | hnsw(layout=fused)",
    "fused+i8": "i8 | hnsw(layout=fused) | rerank(+i8, 2x)",
    "plain": "i8 | hnsw(m=16, alpha=1.2)",
    "plain+i8": "i8 | hnsw(m=16, alpha=1.2) | rerank(+i8, 2x)",
}
Search = Callable[[np.ndarray, int], np.ndarray]


def build_ours(base: np.ndarray, metric: str, spec: str) -> Search:
    import vicinal

    index = vicinal.build(base, spec, metric=metric, threads=THREADS, progress=False)
    return lambda queries, effort: index.search(queries, k=K, effort=effort, threads=1)


def build_hnswlib(base: np.ndarray, metric: str, links: int) -> Search:
    import hnswlib

    index = hnswlib.Index(space=metric, dim=base.shape[1])
    index.init_index(max_elements=len(base), ef_construction=200, M=links)
    index.add_items(base, num_threads=THREADS)

    def search(queries: np.ndarray, effort: int) -> np.ndarray:
        index.set_ef(effort)
        return index.knn_query(queries, k=K, num_threads=1)[0]

    return search


def build_faiss(base: np.ndarray, metric: str, links: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexHNSWFlat(base.shape[1], links, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(base)
    faiss.omp_set_num_threads(1)

    def search(queries: np.ndarray, effort: int) -> np.ndarray:
        index.hnsw.efSearch = effort
        return index.search(queries, K)[1]

    return search


def build_symqg(base: np.ndarray, metric: str, degree: int) -> Search:
    import rabitqlib

    index = rabitqlib.SymqgIndex(base.shape[1], degree, metric, quantization_bits=0)
    index.build(base, 400, THREADS)

    def search(queries: np.ndarray, effort: int) -> np.ndarray:
        first, second = index.search(queries, K, effort, 1)[:2]
        return first if np.issubdtype(first.dtype, np.integer) else second

    return search


# What builds an index, with what, and the package that it takes.
Maker = tuple[Callable[[np.ndarray, str, Any], Search], Any, str]
PEERS: dict[str, Maker] = {
    "hnswlib M=24": (build_hnswlib, 24, "hnswlib"),
    "faiss HNSW48,Flat": (build_faiss, 48, "faiss-cpu"),
    "SymqgIndex 32": (build_symqg, 32, "rabitqlib"),
    "SymqgIndex 64": (build_symqg, 64, "rabitqlib"),
}


def resident_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def load(path: Path) -> np.ndarray:
    return np.ascontiguousarray(np.load(path), dtype=np.float32)


def serve(maker: Maker, pipe: Connection, base_path: Path, queries_path: Path, metric: str) -> None:
    """In a process of its own: builds, says what it cost, then answers at every effort that is sent."""
    try:
        base, queries = load(base_path), load(queries_path)
        before, start = resident_mib(), time.perf_counter()
        build, argument, _ = maker
        search = build(base, metric, argument)
        pipe.send((time.perf_counter() - start, resident_mib() - before))
        while (effort := pipe.recv()) is not None:
            start = time.perf_counter()
            found = search(queries, effort)
            seconds = time.perf_counter() - start
            ids = getattr(found, "ids", found)
            read = found.stats["bytes"] / len(queries) if ids is not found else math.nan
            pipe.send((np.asarray(ids, dtype=np.int64), seconds, read))
    except Exception as error:  # said by the parent
        pipe.send(f"{type(error).__name__}: {str(error).splitlines()[-1]}")


@dataclass
class Contestant:
    name: str
    build_seconds: float = 0.0
    mib: float = 0.0
    recall: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, list[float]] = field(default_factory=dict)
    bytes_read: dict[int, float] = field(default_factory=dict)

    def points(self, queries: int) -> list[tuple[float, float, float]]:
        """(recall, queries a second, bytes a query), ascending."""
        return sorted((self.recall[e], queries / statistics.median(times), self.bytes_read[e]) for e, times in self.seconds.items())


def speed_at(points: list[tuple[float, float, float]], target: float, what: int = 1) -> float:
    """Of the fastest point at a recall or above it, or between its neighbours when that is faster. NaN when it is not reached."""
    above = [p for p in points if p[0] >= target]
    if not above:
        return math.nan
    best = max(above, key=lambda p: p[1])
    below = [p for p in points if p[0] < target]
    value = best[what]
    if below:
        low, high = below[-1], above[0]
        share = (target - low[0]) / (high[0] - low[0])
        between = low[what] ** (1 - share) * high[what] ** share
        if low[1] ** (1 - share) * high[1] ** share > best[1]:
            value = between
    return value


def measure(chosen: dict[str, Maker], base_path: Path, queries_path: Path, metric: str, rounds: int) -> list[Contestant]:
    from scan import furthest_neighbours, recall_of

    base, queries = load(base_path), load(queries_path)
    furthest = furthest_neighbours(base, queries, metric)
    context = multiprocessing.get_context("spawn")
    running: list[tuple[Contestant, Any]] = []
    for name, maker in chosen.items():
        pipe, child = context.Pipe()
        context.Process(target=serve, args=(maker, child, base_path, queries_path, metric), daemon=True).start()
        answer = pipe.recv()
        if isinstance(answer, str):
            print(f"{name}: {answer}", file=sys.stderr)
            continue
        print(f"{name}: built in {answer[0]:.1f} s, {answer[1]:.0f} MiB", file=sys.stderr)
        running.append((Contestant(name, *answer), pipe))
    for _ in range(rounds):
        for effort in EFFORTS:
            for contestant, pipe in running:
                pipe.send(effort)
                answer = pipe.recv()
                if isinstance(answer, str):
                    raise RuntimeError(f"{contestant.name}, effort {effort}: {answer}")
                ids, seconds, read = answer
                contestant.seconds.setdefault(effort, []).append(seconds)
                contestant.bytes_read[effort] = read
                if effort not in contestant.recall:
                    contestant.recall[effort] = recall_of(base, queries, ids, furthest, metric)
    for _, pipe in running:
        pipe.send(None)
    return [contestant for contestant, _ in running]


def machine() -> str:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    versions = [f"{package} {importlib.metadata.version(package)}" for package in sorted({p for _, _, p in PEERS.values()}) if is_installed(package)]
    return f"{model}, {platform.system()}, Python {platform.python_version()}, {', '.join(versions)}, {time.strftime('%Y-%m-%d')}"


def is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def table(contestants: list[Contestant], queries: int) -> list[list[str]]:
    def number(value: float, digits: int = 0) -> str:
        return "-" if math.isnan(value) else f"{value:,.{digits}f}"

    rows = [["", *(f"@{target:g}" for target in TARGETS), "most", "build s", "MiB", "KiB read"]]
    for contestant in contestants:
        points = contestant.points(queries)
        speeds = [number(speed_at(points, target)) for target in TARGETS]
        read = speed_at(points, 0.95, what=2) / 1024
        rows.append([contestant.name, *speeds, f"{points[-1][0]:.4f}", f"{contestant.build_seconds:.1f}", number(contestant.mib), number(read)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("metric", choices=("ip", "l2"))
    parser.add_argument("--only", default="", help="names of the table, with commas between")
    parser.add_argument("--spec", action="append", default=[], help="a further index of ours")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, help="appends the table")
    arguments = parser.parse_args()
    base, queries = (np.load(path, mmap_mode="r") for path in (arguments.base, arguments.queries))
    chosen: dict[str, Maker] = {name: (build_ours, spec, "vicinal") for name, spec in [*OURS.items(), *((s, s) for s in arguments.spec)]}
    for name, maker in PEERS.items():
        if is_installed(maker[2]):
            chosen[name] = maker
        else:
            print(f"{name} is left out: {maker[2]} is not installed", file=sys.stderr)
    if arguments.only:
        wanted = arguments.only.split(",") + arguments.spec
        chosen = {name: maker for name, maker in chosen.items() if name in wanted}
    contestants = measure(chosen, arguments.base, arguments.queries, arguments.metric, arguments.rounds)
    title = f"{arguments.base.name}: {len(base):,} x {base.shape[1]}, {arguments.metric}, {len(queries):,} queries, recall@{K}, one thread"
    rows = table(contestants, len(queries))
    print(f"{title}\n{machine()}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))))
    if arguments.markdown:
        ruled = [rows[0], ["---"] + ["---:"] * (len(rows[0]) - 1), *rows[1:]]
        lines = ["", title, "", *("| " + " | ".join(row) + " |" for row in ruled), "", f"{machine()}.", ""]
        with arguments.markdown.open("a") as file:
            file.write("\n".join(lines))
    if arguments.json:
        curves = {c.name: {"build_seconds": c.build_seconds, "mib": c.mib, "points": c.points(len(queries))} for c in contestants}
        arguments.json.write_text(json.dumps({"title": title, "machine": machine(), "indexes": curves}, indent=1))


if __name__ == "__main__":
    main()
