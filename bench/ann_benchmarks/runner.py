"""Runs every argument combination of a config.yml as ann-benchmarks does, and prints recall and queries per second.

    python bench/ann_benchmarks/runner.py --base base.npy --queries queries.npy --metric angular
    python bench/ann_benchmarks/runner.py --generate 20000 96 --group hnsw --json points.json

Queries are timed one by one on one thread, or all at once with --batch; of several runs the quickest counts, as there. Recall is
theirs too: a neighbour counts when it is no further than the true k-th, within 0.001. The file of --json goes to
vicinal.plot.recall_latency as it is read.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import pathlib
import sys
import time
from dataclasses import dataclass
from typing import Any, Iterator, Sequence

import numpy as np
import numpy.typing as npt

HERE = pathlib.Path(__file__).parent
Floats = npt.NDArray[np.float32]

# What ann-benchmarks adds to the true k-th distance.
_TOLERANCE = 1e-3
_METRICS = ("euclidean", "angular")


@dataclass(frozen=True)
class Definition:
    """One index to build, and what to ask it with."""

    algorithm: str
    group: str
    constructor: str
    arguments: tuple[Any, ...]
    query_arguments: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Dataset:
    base: Floats  # (n, dim)
    queries: Floats  # (queries, dim)
    truth: npt.NDArray[np.int64]  # (queries, >= k), nearest first
    metric: str


def read_config(path: pathlib.Path) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ImportError("reading config.yml needs PyYAML: pip install pyyaml") from error
    with open(path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a {type(config).__name__}, expected a mapping")
    return config


def combinations(arguments: Any) -> list[Any]:
    """Every choice: of a list, one value of each of its lists; of a mapping, a mapping with one value of each of its lists."""

    def options(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    if isinstance(arguments, dict):
        chosen = itertools.product(*(options(value) for value in arguments.values()))
        return [dict(zip(arguments, values)) for values in chosen]
    if isinstance(arguments, list):
        return [list(values) for values in itertools.product(*(options(value) for value in arguments))]
    raise ValueError(f"arguments are {arguments!r}, expected a list or a mapping")


def _grouped(group: dict[str, Any], name: str) -> list[list[Any]]:
    """The choices under "args" and "arg_groups" (or those of a query), each as positional arguments."""
    if f"{name}_groups" in group:
        parts = [combinations(part) if isinstance(part, dict) else part for part in group[f"{name}_groups"]]
        return combinations([part for part in parts if part])
    chosen = combinations(group.get(f"{name}s", []))
    return [choice if isinstance(choice, list) else [choice] for choice in chosen]


def definitions(config: dict[str, Any], metric: str, dim: int, count: int, point_type: str = "float") -> Iterator[Definition]:
    """What a configuration asks for on data of this kind; disabled entries left out."""
    by_metric = config.get(point_type, {})
    for algorithm in by_metric.get("any", by_metric.get(metric, [])):
        if algorithm.get("disabled", False):
            continue
        values = {"@metric": metric, "@dimension": dim, "@count": count}
        for group_name, group in algorithm["run_groups"].items():
            if "args" not in group and "arg_groups" not in group:
                raise ValueError(f"run group {group_name} of {algorithm['name']} has neither args nor arg_groups")
            query_arguments = tuple(tuple(choice) for choice in _grouped(group, "query_arg"))
            for choice in _grouped(group, "arg"):
                arguments = _substituted([*algorithm.get("base_args", []), *choice], values)
                yield Definition(algorithm["name"], group_name, algorithm["constructor"], tuple(arguments), query_arguments)


def _substituted(argument: Any, values: dict[str, Any]) -> Any:
    if isinstance(argument, dict):
        return {key: _substituted(value, values) for key, value in argument.items()}
    if isinstance(argument, list):
        return [_substituted(value, values) for value in argument]
    return values.get(argument, argument) if isinstance(argument, str) else argument


def load_algorithm(path: pathlib.Path, constructor: str) -> Any:
    """The class of a module.py."""
    specification = importlib.util.spec_from_file_location("ann_benchmarks_module", path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return getattr(module, constructor)


def distances(left: npt.NDArray[Any], right: npt.NDArray[Any], metric: str) -> npt.NDArray[np.float64]:
    """Between vectors in the last dimension: Euclidean, or for "angular" 1 - cosine."""
    one, other = left.astype(np.float64), right.astype(np.float64)
    if metric == "euclidean":
        return np.asarray(np.sqrt(((one - other) ** 2).sum(axis=-1)))
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray(1 - (one * other).sum(axis=-1) / np.where(lengths > 0, lengths, 1))


def true_neighbours(base: Floats, queries: Floats, count: int, metric: str) -> npt.NDArray[np.int64]:
    """The `count` nearest of every query, (queries, count), by NumPy alone: what is measured does not make its own truth."""
    if not 1 <= count <= len(base):
        raise ValueError(f"count is {count}, expected 1 to {len(base)}, the vectors there are")
    rows, wanted = base.astype(np.float64), queries.astype(np.float64)
    if metric == "angular":
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    squares = np.zeros(len(rows)) if metric == "angular" else (rows**2).sum(axis=1) / 2
    found = np.empty((len(queries), count), dtype=np.int64)
    for start in range(0, len(wanted), 64):
        scores = squares - wanted[start : start + 64] @ rows.T
        found[start : start + 64] = np.argsort(scores, axis=1, kind="stable")[:, :count]
    return found


def generate(n: int, dim: int, queries: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Clustered data, and queries from the same clusters."""
    random = np.random.default_rng(seed)
    clusters = max(1, n // 200)
    centres = random.standard_normal((clusters, dim))
    spread = random.uniform(0.2, 0.6, (clusters, 1))
    chosen = random.integers(clusters, size=n + queries)
    rows = (centres[chosen] + spread[chosen] * random.standard_normal((n + queries, dim))).astype(np.float32)
    return rows[:n], rows[n:]


def run(
    definition: Definition, algorithm: Any, data: Dataset, count: int, runs: int = 3, batch: bool = False
) -> Iterator[dict[str, Any]]:
    """Builds one index and asks it with every query argument; a point each."""
    if runs < 1:
        raise ValueError(f"runs is {runs}, expected at least 1")
    if data.truth.shape[0] != len(data.queries) or data.truth.shape[1] < count:
        raise ValueError(f"the truth has shape {data.truth.shape}, expected ({len(data.queries)}, at least {count})")
    kth = data.base[data.truth[:, count - 1]]
    limits = distances(data.queries, kth, data.metric) + _TOLERANCE
    index = algorithm(*definition.arguments)
    try:
        before = index.get_memory_usage()
        start = time.perf_counter()
        index.fit(data.base)
        build_seconds = time.perf_counter() - start
        kilobytes = index.get_memory_usage() - before
        for query_arguments in definition.query_arguments or ((),):
            if query_arguments:
                index.set_query_arguments(*query_arguments)
            best, found = float("inf"), list[Any]()
            for _ in range(runs):
                seconds, found = (_ask_at_once if batch else _ask_one_by_one)(index, data.queries, count)
                best = min(best, seconds / len(data.queries))
            yield {
                "name": str(index),
                "recall": recall(found, limits, data, count),
                "qps": 1 / best,
                "mean_us": best * 1e6,
                "bytes": kilobytes * 1024 / len(data.base),
                "build_seconds": build_seconds,
                "distances": index.get_additional().get("dist_comps", 0) / (runs * len(data.queries)),
            }
    finally:
        index.done()


def _ask_one_by_one(index: Any, queries: Floats, count: int) -> tuple[float, list[Any]]:
    found, seconds = [], 0.0
    for query in queries:
        start = time.perf_counter()
        ids = index.query(query, count)
        seconds += time.perf_counter() - start
        found.append(ids)
    return seconds, found


def _ask_at_once(index: Any, queries: Floats, count: int) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    index.batch_query(queries, count)
    seconds = time.perf_counter() - start
    return seconds, list(index.get_batch_results())


def recall(found: Sequence[Any], limits: npt.NDArray[np.float64], data: Dataset, count: int) -> float:
    """The mean share of `count` that are within a query's limit; ids given twice count once."""
    hits = 0
    for query, ids, limit in zip(data.queries, found, limits):
        if len(ids) > count:
            raise ValueError(f"{len(ids)} neighbours for one query, expected at most {count}")
        once = np.unique(np.asarray(ids, dtype=np.int64))
        hits += int((distances(query[None, :], data.base[once], data.metric) <= limit).sum())
    return hits / (count * len(found))


def read_data(arguments: argparse.Namespace) -> Dataset:
    if (arguments.base is None) == (arguments.generate is None):
        raise ValueError("expected either --base with --queries, or --generate")
    if arguments.generate is not None:
        n, dim = arguments.generate
        base, queries = generate(n, dim, arguments.query_count, arguments.seed)
    else:
        if arguments.queries is None:
            raise ValueError("--base is given, expected --queries as well")
        base = np.ascontiguousarray(np.load(arguments.base), dtype=np.float32)
        queries = np.ascontiguousarray(np.load(arguments.queries), dtype=np.float32)
        if base.ndim != 2 or queries.ndim != 2 or base.shape[1] != queries.shape[1]:
            raise ValueError(f"base has shape {base.shape} and queries {queries.shape}, expected (n, dim) and (queries, dim)")
    if len(queries) == 0:
        raise ValueError("there are no queries")
    if arguments.truth is None:
        truth = true_neighbours(base, queries, arguments.count, arguments.metric)
    else:
        truth = np.load(arguments.truth).astype(np.int64)
    return Dataset(base, queries, truth, arguments.metric)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", help="vectors to build from, .npy (n, dim)")
    parser.add_argument("--queries", help=".npy (queries, dim)")
    parser.add_argument("--truth", help=".npy (queries, >= count) of row numbers; default: computed")
    parser.add_argument("--generate", nargs=2, type=int, metavar=("N", "DIM"), help="clustered data in place of files")
    parser.add_argument("--query-count", type=int, default=500, help="queries to generate (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of what is generated")
    parser.add_argument("--metric", choices=_METRICS, default="euclidean")
    parser.add_argument("--count", type=int, default=10, help="neighbours a query (default 10)")
    parser.add_argument("--runs", type=int, default=3, help="of which the quickest counts (default 3)")
    parser.add_argument("--batch", action="store_true", help="all queries at once, on every core")
    parser.add_argument("--config", type=pathlib.Path, default=HERE / "config.yml", help="module.py is taken from beside it")
    parser.add_argument("--group", action="append", help="only this run group; may be given several times")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the points, by index")
    arguments = parser.parse_args(argv)
    try:
        data = read_data(arguments)
        chosen = list(definitions(read_config(arguments.config), data.metric, data.base.shape[1], arguments.count))
        if arguments.group:
            chosen = [definition for definition in chosen if definition.group in arguments.group]
        if not chosen:
            raise ValueError(f"{arguments.config} has nothing to run for {data.metric}")
        by_index: dict[str, list[dict[str, Any]]] = {}
        print(f"{'recall':>8} {'queries/s':>11} {'build s':>9} {'bytes/vector':>13}  index")
        for definition in chosen:
            algorithm = load_algorithm(arguments.config.parent / "module.py", definition.constructor)
            name = " ".join([definition.algorithm, *map(str, definition.arguments)])
            for point in run(definition, algorithm, data, arguments.count, arguments.runs, arguments.batch):
                by_index.setdefault(name, []).append(point)
                print(
                    f"{point['recall']:8.4f} {point['qps']:11,.0f} {point['build_seconds']:9.2f} {point['bytes']:13,.0f}  "
                    f"{point['name']}", flush=True,
                )
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(by_index, indent=2) + "\n", encoding="utf-8")
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
