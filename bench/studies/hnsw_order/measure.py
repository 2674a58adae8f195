"""Recall of every graph on a set, by the order in which its rows were inserted."""

from __future__ import annotations

import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from . import lid, orders
from .graphs import GRAPHS
from .lid import Doubles, Floats, Rows
from .sets import Set

K = 10
EF = 40  # that of tables and figures, where nothing else is said
EFS = (10, 20, EF, 80, 160)
DECILES = 10


@dataclass(frozen=True)
class Facts:
    """What is exact about a set: its LIDs, and the distance of every query's K-th neighbour."""

    given: Set
    lid: Doubles
    query_lid: Doubles
    furthest: Doubles

    @property
    def name(self) -> str:
        return self.given.name


@dataclass(frozen=True)
class Result:
    """One graph, built from one order. recall: by ef, of each query. lost: of each row of the base, whether it is not among the K
    that a search for it finds at EF. answers: a digest of what all searches found (`told_apart`), rows numbered as in the set."""

    set: str
    graph: str
    order: str
    seed: int
    recall: dict[int, Doubles]
    lost: npt.NDArray[np.bool_]
    answers: str


def facts_of(given: Set) -> Facts:
    furthest = lid.nearest(given.base, given.queries, K)[1][:, -1]
    return Facts(given, lid.of_rows(given.base), lid.of_points(given.base, given.queries), furthest)


def recall_of(base: Floats, queries: Floats, found: Rows, furthest: Doubles) -> Doubles:
    """Of each query, the share of its K nearest that were found. Rows at the distance of the K-th count, whichever they are."""
    return np.asarray((lid.distances_to(base, queries, found) <= furthest[:, None] * (1 + 1e-6)).mean(axis=1))


def told_apart(found: Rows, distances: Floats) -> Rows:
    """The rows found, -1 for those of which another has the same distance in float32: the row number decides there, and with another
    order rows have other numbers. Beyond the last there may be another."""
    tied = distances == distances[:, -1:]
    equal = distances[:, :-1] == distances[:, 1:]
    tied[:, :-1] |= equal
    tied[:, 1:] |= equal
    return np.where(tied, -1, found)


def measure(facts: Facts, graph: str, order: str, seed: int, rows: Rows) -> Result:
    base, queries = facts.given.base, facts.given.queries
    made = GRAPHS[graph]
    search = made.build(np.ascontiguousarray(base[rows]), made.argument)
    digest = hashlib.sha256()

    def ask(points: Floats, ef: int) -> Rows:
        places, distances = search(points, K, ef)
        found = np.where(places >= 0, rows[places], -1)
        digest.update(np.ascontiguousarray(distances, dtype="<f4").tobytes())
        digest.update(np.ascontiguousarray(told_apart(found, distances), dtype="<i8").tobytes())
        return found

    recall = {ef: recall_of(base, queries, ask(queries, ef), facts.furthest) for ef in EFS}
    lost = ~(ask(base, EF) == np.arange(len(base))[:, None]).any(axis=1)
    return Result(facts.name, graph, order, seed, recall, lost, digest.hexdigest())


def run(facts: Facts, graphs: Sequence[str], seeds: int, jobs: int) -> Iterator[Result]:
    """Every graph in every order. Each is built and searched by one thread, so that an order is an order; `jobs` of them run at a
    time, and the results do not depend on how many."""
    tasks = [
        (graph, name, seed, rows)
        for graph in graphs
        for name, seed, rows in orders.all_of(facts.lid, facts.given.categories, seeds)
    ]
    if jobs == 1:
        yield from (measure(facts, *task) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(facts,)) as pool:
        yield from pool.map(_measure, tasks)


_shared: list[Facts] = []  # in a worker: what its tasks have in common, sent once


def _begin(facts: Facts) -> None:
    _shared[:] = [facts]


def _measure(task: tuple[str, str, int, Rows]) -> Result:
    return measure(_shared[0], *task)


def deciles(values: npt.NDArray[Any], by: Doubles) -> Doubles:
    """Mean of the values in each tenth of them, in ascending order of `by`."""
    return np.array([part.mean() for part in np.array_split(values[np.argsort(by, kind="stable")], DECILES)])
