"""The kernels of float8 and of bytes beside NumKong's and SimSIMD's, one thread: nanoseconds a pair of vectors.

    pip install numkong simsimd ml_dtypes
    python bench/python/peers_kernels.py [build/release/bin/vicinal_bench]

Records fill the same 256 KiB, within a core's own cache, on both sides, and are scored in order. Peers are called as their documentation
recommends for many vectors: one call of cdist for all pairs, and NumKong's dots_packed, a matrix product over records that were repacked
before (with AMX where the machine has it, which is why 64 queries cost so little there). Ours is one prepared query a call, 32 records
at a time, from vicinal_bench, which checks every kernel against the plain one; the peers' answers are checked here. Rounds of both sides
alternate and the least time of each counts, so that a busy machine spoils both alike; for figures to quote, run it on a quiet one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import ml_dtypes
import numkong
import numpy as np
import simsimd

DIMS = (384, 768, 1536)
CACHE_BYTES = 256 << 10
QUERIES = 64
ROUNDS = 5
CALLS = 20
OURS = {"e4m3": "whole_e4m3", "i8": "bytes"}

Times = dict[str, float]


def least_time(call: Callable[[], object], pairs: int) -> float:
    """Nanoseconds a pair, the best of CALLS calls."""
    best = float("inf")
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best / pairs * 1e9


def require_close(found: object, expected: np.ndarray, what: str) -> None:
    error = np.abs(np.asarray(found, dtype=np.float64) - expected).max() / np.abs(expected).max()
    if not error < 1e-5:
        raise SystemExit(f"{what}: off by {error} of the largest product")


def float8_peers(dim: int, generator: np.random.Generator) -> dict[str, tuple[Callable[[], object], int]]:
    rows = CACHE_BYTES // dim
    base = (generator.standard_normal((rows, dim)) * 40).astype(ml_dtypes.float8_e4m3fn)
    queries = base[:QUERIES].copy()
    exact = queries.astype(np.float64) @ base.astype(np.float64).T
    raw, asked = base.view(np.uint8), queries.view(np.uint8)
    tensor = numkong.from_pointer(base.ctypes.data, base.shape, "e4m3", owner=base)
    many = numkong.from_pointer(queries.ctypes.data, queries.shape, "e4m3", owner=queries)
    one = numkong.from_pointer(queries.ctypes.data, (1, dim), "e4m3", owner=queries)
    packed = numkong.dots_pack(tensor, dtype="e4m3")
    require_close(numkong.cdist(asked, raw, "dot", dtype="e4m3"), exact, "numkong cdist")
    require_close(numkong.dots_packed(many, packed), exact, "numkong dots_packed")
    return {
        "numkong cdist, 1 query": (lambda: numkong.cdist(asked[:1], raw, "dot", dtype="e4m3"), rows),
        f"numkong cdist, {QUERIES} queries": (lambda: numkong.cdist(asked, raw, "dot", dtype="e4m3"), QUERIES * rows),
        "numkong dots_packed, 1 query": (lambda: numkong.dots_packed(one, packed), rows),
        f"numkong dots_packed, {QUERIES} queries": (lambda: numkong.dots_packed(many, packed), QUERIES * rows),
    }


def byte_peers(dim: int, generator: np.random.Generator) -> dict[str, tuple[Callable[[], object], int]]:
    rows = CACHE_BYTES // dim
    base = generator.integers(-127, 128, (rows, dim)).astype(np.int8)
    queries = base[:QUERIES].copy()
    exact = queries.astype(np.float64) @ base.astype(np.float64).T
    peers: dict[str, tuple[Callable[[], object], int]] = {}
    for module in (simsimd, numkong):
        name = module.__name__.lower()
        require_close(module.cdist(queries, base, "dot"), exact, f"{name} cdist")
        peers[f"{name} cdist, 1 query"] = (lambda module=module: module.cdist(queries[:1], base, "dot"), rows)
        peers[f"{name} cdist, {QUERIES} queries"] = (lambda module=module: module.cdist(queries, base, "dot"), QUERIES * rows)
    return peers


def ours(binary: str) -> dict[tuple[str, int], float]:
    """Nanoseconds a pair of the best instruction set, by codec and dimension."""
    pattern = f"^cache_scan/({'|'.join(OURS.values())})/.*/({'|'.join(map(str, DIMS))})/"
    command = [binary, f"--benchmark_filter={pattern}", "--benchmark_format=json"]
    report = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    best_set = report["context"]["kernels in use"]
    found = {}
    for row in report["benchmarks"]:
        if "error_message" in row:
            raise SystemExit(f"{row['name']}: {row['error_message']}")
        _, kernel, instructions, dim, *_ = row["name"].split("/")
        if instructions == best_set:
            codec = next(codec for codec, name in OURS.items() if name == kernel)
            found[codec, int(dim)] = 1e9 / row["items_per_second"]
    return found


def main() -> None:
    binary = sys.argv[1] if len(sys.argv) > 1 else "build/release/bin/vicinal_bench"
    generator = np.random.default_rng(1)
    peers = {("e4m3", dim): float8_peers(dim, generator) for dim in DIMS} | {("i8", dim): byte_peers(dim, generator) for dim in DIMS}
    times: dict[tuple[str, int], Times] = {key: {} for key in peers}
    for _ in range(ROUNDS):
        for key, nanoseconds in ours(binary).items():
            times[key]["vicinal"] = min(times[key].get("vicinal", float("inf")), nanoseconds)
        for key, calls in peers.items():
            for name, (call, pairs) in calls.items():
                times[key][name] = min(times[key].get(name, float("inf")), least_time(call, pairs))
    print(f"numkong {numkong.__version__}, simsimd {simsimd.__version__}; the least of {ROUNDS} rounds, nanoseconds a pair")
    for (codec, dim), row in times.items():
        for name, nanoseconds in row.items():
            print(f"{codec:5} {dim:5}  {name:32} {nanoseconds:8.2f} {nanoseconds / row['vicinal']:6.2f} x")


if __name__ == "__main__":
    main()
