"""Scans of documents of many vectors, one query at a time: milliseconds, and what is found of the exact ten, beside NumPy's exact MaxSim.

    python bench/python/documents.py tokens [--documents 100000] [--rounds 3] [--threads 2] [--markdown file]

`tokens` is a folder with doc_tokens.npy (rows x dim), doc_offsets.npy (n + 1) and query_tokens.npy (queries x tokens x dim). Every document of the
benchmark has 80 vectors: 60 of one real document, drawn with repetition where it has fewer, 20 of any, each turned a little; so there are as
many documents as are asked for, of which none equals another. NumPy multiplies by OpenBLAS with as many threads, a slice of documents at a
time that its cache holds. Contestants take turns, query by query; the truth is Vicinal's scan in f32, checked against NumPy's first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

K, TOKENS, SLICE = 10, 80, 200
SPECS = (
    "maxsim(f32)",
    "maxsim(i8)",
    "scan(i4, carve=0.7) | maxsim(i8, 5x)",
    "scan(i4, carve=0.7) | maxsim(f16, 10x)",
)
Search = Callable[[np.ndarray], np.ndarray]


def documents_like(rows: np.ndarray, offsets: np.ndarray, count: int) -> np.ndarray:
    """count * TOKENS unit rows."""
    random = np.random.default_rng(5)
    made = np.empty((count, TOKENS, rows.shape[1]), np.float32)
    for document in made:
        one = random.integers(len(offsets) - 1)
        begin, end = int(offsets[one]), int(offsets[one + 1])
        document[:20] = rows[random.integers(len(rows), size=20)]
        document[20:] = rows[random.choice(np.arange(begin, end), TOKENS - 20, replace=end - begin < TOKENS - 20)]
        document += random.standard_normal(document.shape, np.float32) * np.float32(0.03)
    flat = made.reshape(-1, rows.shape[1])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return flat


def numpy_search(rows: np.ndarray) -> Search:
    def search(query: np.ndarray) -> np.ndarray:
        scores = np.empty(len(rows) // TOKENS, np.float32)
        for first in range(0, len(scores), SLICE):
            part = rows[first * TOKENS : (first + SLICE) * TOKENS] @ query.T
            scores[first : first + SLICE] = part.reshape(-1, TOKENS, len(query)).max(axis=1).sum(axis=1)
        best = np.argpartition(-scores, K)[:K]
        ids: np.ndarray = best[np.argsort(-scores[best], kind="stable")]
        return ids

    return search


def vicinal_search(rows: np.ndarray, offsets: np.ndarray, spec: str, threads: int) -> Search:
    import vicinal

    index = vicinal.build((rows, offsets), spec, metric="ip", threads=threads, progress=False, calibrate=False)

    def search(query: np.ndarray) -> np.ndarray:
        ends = np.array([0, len(query)], np.uint64)
        ids: np.ndarray = index.search((query, ends), k=K, threads=threads).ids[0]
        return ids

    return search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != str(options.threads):
        os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)  # read when NumPy is loaded
        os.execv(sys.executable, [sys.executable, *sys.argv])
    real, ends, queries = (np.load(options.tokens / f"{name}.npy") for name in ("doc_tokens", "doc_offsets", "query_tokens"))
    queries = queries.astype(np.float32)
    rows = documents_like(real.astype(np.float32), ends, options.documents)
    offsets = np.arange(options.documents + 1, dtype=np.uint64) * TOKENS
    contestants: dict[str, Search] = {"NumPy, exact": numpy_search(rows)}
    contestants |= {spec: vicinal_search(rows, offsets, spec, options.threads) for spec in SPECS}
    truth = [set(contestants["maxsim(f32)"](query)) for query in queries]
    for query, found in zip(queries[:3], truth, strict=False):
        if len(found & set(contestants["NumPy, exact"](query))) < K - 1:
            sys.exit("the scan in f32 does not find what NumPy finds")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    found_of = dict.fromkeys(contestants, 0)
    for turn in range(options.rounds):
        for query, expected in zip(queries, truth, strict=True):
            for name, search in contestants.items():
                if turn > 0 and name == "NumPy, exact":
                    continue  # once is enough of what takes so long
                start = time.perf_counter()
                ids = search(query)
                seconds[name].append(time.perf_counter() - start)
                found_of[name] += len(expected & set(ids))
    lines = ["| | median, ms | 99th of a hundred, ms | recall@10 |", "| --- | ---: | ---: | ---: |"]
    for name, times in seconds.items():
        milliseconds = sorted(1e3 * t for t in times)
        last = milliseconds[int(0.99 * (len(milliseconds) - 1))]
        recall = found_of[name] / (K * len(times))
        shown = name if name.startswith("NumPy") else "`" + name.replace("|", "\\|") + "`"
        lines.append(f"| {shown} | {statistics.median(milliseconds):.1f} | {last:.1f} | {recall:.3f} |")
    text = "\n".join(lines)
    print(f"{options.documents:,} documents of {TOKENS} vectors, {options.threads} threads\n{text}")
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
