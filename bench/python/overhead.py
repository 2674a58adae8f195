"""What a search costs through Python over the same search in C++, interleaved: single queries and batches; and the import.

    python bench/python/overhead.py [base.npy queries.npy]      default: generated clustered vectors
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import numpy as np

import vicinal

ROUNDS = 21
K, EFFORT = 10, 32


def generated(rows: int, queries: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((256, dim), dtype=np.float32)
    points = centres[generator.integers(0, 256, rows + queries)] + 0.6 * generator.standard_normal((rows + queries, dim), dtype=np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points[:rows], points[rows:]


def one_by_one(index: vicinal.Index, queries: np.ndarray) -> float:
    rows = list(queries)
    start = time.perf_counter()
    for row in rows:
        index.search(row, K, effort=EFFORT, threads=1)
    return time.perf_counter() - start


def batch(index: vicinal.Index, queries: np.ndarray) -> float:
    start = time.perf_counter()
    index.search(queries, K, effort=EFFORT, threads=1)
    return time.perf_counter() - start


def import_seconds(statement: str) -> float:
    code = f"import time; s = time.perf_counter(); {statement}; print(time.perf_counter() - s)"
    return statistics.median(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(ROUNDS))


def main() -> None:
    base, queries = (np.load(path) for path in sys.argv[1:3]) if len(sys.argv) == 3 else generated(50_000, 1000, 128)
    index = vicinal.build(base, "i8 | hnsw(m=24, efc=200)", metric="ip", calibrate=False)
    for name, run in (("one by one", one_by_one), ("batch", batch)):
        python, cpp = [], []
        for _ in range(ROUNDS):
            python.append(run(index, queries))
            cpp.append(index._time_searches(queries, K, EFFORT, name == "one by one"))
        difference = statistics.median(p - c for p, c in zip(python, cpp)) / len(queries) * 1e6
        share = statistics.median(p / c for p, c in zip(python, cpp)) - 1
        print(f"{name:<11} C++ {statistics.median(cpp) / len(queries) * 1e6:7.2f} us a query, Python +{difference:.2f} us ({share:+.1%})")
    whole, numpy = import_seconds("import vicinal"), import_seconds("import numpy")
    print(f"import      {whole * 1000:.0f} ms, of which numpy {numpy * 1000:.0f} ms")


if __name__ == "__main__":
    main()
