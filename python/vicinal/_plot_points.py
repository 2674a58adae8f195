"""What a plot is given, as lists of points; and the points themselves, measured."""

from __future__ import annotations

import gc
import json
import math
import os
import time
from typing import Any, Mapping, Sequence, TypedDict, Union

import numpy as np
import numpy.typing as npt

from ._arrays import float_rows, id_matrix
from ._errors import InvalidArgument, WrongType
from ._functions import recall as recall_at
from ._vicinal import Index

# A list of points, a report of `vicinal eval --json`, or the path of one.
Report = Union[Mapping[str, Any], str, "os.PathLike[str]"]
Points = Union[Sequence[Mapping[str, Any]], Sequence[Sequence[float]], Report]


class Point(TypedDict):
    """One setting of an index: what it found and how quickly."""

    effort: int
    recall: float
    qps: float
    mean_us: float
    p50_us: float
    p99_us: float


def measure(
    index: Index,
    queries: npt.ArrayLike,
    truth: npt.ArrayLike,
    k: int = 10,
    efforts: Sequence[int] | None = None,
    *,
    repeats: int = 3,
) -> list[Point]:
    """Recall and speed of an index by effort, one query at a time on one thread.

    Parameters
    ----------
    queries : (n, dim) float32
    truth : (n, >= k) integers
        Ids of the true nearest, vicinal.exact(...).ids.
    k : int
    efforts : sequence of int, optional
        Default: those the index was calibrated with that are not below k, else k doubled seven times; one for exact search.
    repeats : int
        Rounds over all queries, every effort in each, so that a busy moment does not fall on one effort alone; the median round
        counts.

    Returns
    -------
    list of points, {"effort", "recall", "qps", "mean_us", "p50_us", "p99_us"} each. Times are seen from Python: a call costs some
    microseconds more than `vicinal eval` measures.
    """
    rows, true_ids = float_rows(queries, "queries", False), id_matrix(truth, "truth")
    if len(rows) == 0:
        raise InvalidArgument("there are no queries")
    if len(true_ids) != len(rows):
        raise InvalidArgument(f"truth has {len(true_ids)} rows, there are {len(rows)} queries")
    if not 1 <= k <= true_ids.shape[1]:
        raise InvalidArgument(f"k is {k}, expected 1 to {true_ids.shape[1]}, the columns of truth")
    if repeats < 1:
        raise InvalidArgument(f"repeats is {repeats}, expected at least 1")
    chosen = _default_efforts(index, k) if efforts is None else [int(effort) for effort in efforts]
    if not chosen:
        raise InvalidArgument("there are no efforts, expected at least one")
    found = np.empty((len(chosen), len(rows), k), dtype=np.int64)
    seconds = np.empty((len(chosen), repeats, len(rows)))
    for effort in chosen:
        index.search(rows[:1], k, effort=effort, threads=1)  # what only the first search does; wrong input, before any work
    collects = gc.isenabled()
    gc.disable()  # a collection takes as long as hundreds of searches, and would come at the same one every time
    try:
        for turn in range(repeats):
            for i, effort in enumerate(chosen):
                for j, row in enumerate(rows):
                    start = time.perf_counter()
                    hits = index.search(row, k, effort=effort, threads=1)
                    seconds[i, turn, j] = time.perf_counter() - start
                    found[i, j] = hits.ids
    finally:
        if collects:
            gc.enable()
    points: list[Point] = []
    for i, effort in enumerate(chosen):
        rounds = seconds[i][np.argsort(seconds[i].sum(axis=1))]
        micros = rounds[(repeats - 1) // 2] * 1e6
        points.append(
            Point(
                effort=effort, recall=recall_at(found[i], true_ids, k), qps=1e6 / float(micros.mean()),
                mean_us=float(micros.mean()), p50_us=float(np.percentile(micros, 50)), p99_us=float(np.percentile(micros, 99)),
            )
        )
    return points


def _default_efforts(index: Index, k: int) -> list[int]:
    if any(stage.strip() == "flat" for stage in index.spec.split("|")):
        return [k]
    if index.calibration is not None:
        return [effort for effort in index.calibration.efforts if effort >= k] or [k]
    return [k * 2**step for step in range(7)]


def series(given: Mapping[str, Points], value: str, grey: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """(recall, value) pairs by name, as given; checked."""
    if not isinstance(given, Mapping):
        raise WrongType(f"expected a mapping of names to points, got {type(given).__name__}")
    if not given:
        raise InvalidArgument("there is nothing to draw, expected a mapping of names to points")
    if isinstance(grey, str):
        raise WrongType(f"grey is the text {grey!r}, expected a list of names")
    unknown = [name for name in grey if name not in given]
    if unknown:
        raise InvalidArgument(f"grey names {unknown[0]!r}, which is not among {', '.join(map(str, given))}")
    return {str(name): [_pair(point, value, str(name)) for point in points(entry, str(name))] for name, entry in given.items()}


def points(given: Points, name: str) -> list[Any]:
    """The points of one entry: a list as it is, a report opened."""
    if isinstance(given, (str, os.PathLike)):
        with open(given, encoding="utf-8") as file:
            try:
                given = json.load(file)
            except ValueError as error:
                raise InvalidArgument(f"{name}: {os.fspath(file.name)} is no JSON: {error}") from None
    found: Any = given
    if isinstance(given, Mapping):
        if "points" in given:
            found = given["points"]
            if "memory_bytes" in given and given.get("n"):
                # "bytes" of a point is what its searches read; what the index takes stands beside the points.
                held = given["memory_bytes"] / given["n"]
                found = [{**point, "bytes": held} for point in found]
        elif "recall" in given:
            found = [given]
        else:
            keys = ", ".join(map(str, given))
            raise InvalidArgument(f"{name} has keys {keys}, expected a report with points, or a point with recall")
    listed = list(found)
    if not listed:
        raise InvalidArgument(f"{name} has no points")
    return listed


def _pair(point: Any, value: str, name: str) -> tuple[float, float]:
    if isinstance(point, Mapping):
        for key in ("recall", value):
            if key not in point:
                raise InvalidArgument(f"a point of {name} has keys {', '.join(map(str, point))}, expected recall and {value}")
        recall, other = float(point["recall"]), float(point[value])
    else:
        if np.shape(point) != (2,):
            raise InvalidArgument(f"a point of {name} is {point!r}, expected a mapping or a pair (recall, {value})")
        recall, other = float(point[0]), float(point[1])
    if not 0 <= recall <= 1:
        raise InvalidArgument(f"a point of {name} has recall {recall}, expected 0 to 1")
    if not (other > 0 and math.isfinite(other)):
        raise InvalidArgument(f"a point of {name} has {value} {other}, expected a number above 0")
    return recall, other


def front(pairs: Sequence[tuple[float, float]], more_is_better: bool) -> list[tuple[float, float]]:
    """The (recall, value) pairs that no other is as good as in both, by ascending recall."""
    sign = -1 if more_is_better else 1
    best: list[tuple[float, float]] = []
    for recall, value in sorted(set(pairs), key=lambda pair: (-pair[0], sign * pair[1])):
        if not best or sign * value < sign * best[-1][1]:
            best.append((recall, value))
    return best[::-1]
