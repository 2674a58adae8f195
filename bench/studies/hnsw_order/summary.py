"""What the measurements say, in numbers: means over seeds, differences between orders with intervals, and deciles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from rag_storage.scoring import Interval, difference

from . import orders
from .lid import Doubles
from .measure import EF, Facts, Result

RESAMPLES = 2000
ORDERS = (orders.RANDOM, orders.ASCENDING, orders.DESCENDING, orders.CATEGORY)


@dataclass(frozen=True)
class Cell:
    """One graph on one set in one order, over its seeds: recall of each query, and the mean of all for each seed."""

    queries: Doubles
    seeds: Doubles

    @property
    def mean(self) -> float:
        return float(self.queries.mean())

    @property
    def deviation(self) -> float:
        """Of one seed from another; 0 where there is but one."""
        return float(self.seeds.std(ddof=1)) if len(self.seeds) > 1 else 0.0


class Measurements:
    """All results, by set, graph and order."""

    def __init__(self, facts: Sequence[Facts], results: Sequence[Result]) -> None:
        self.facts = {entry.name: entry for entry in facts}
        self.results = list(results)
        self.graphs = list(dict.fromkeys(result.graph for result in results))
        self._differences: dict[tuple[str, str, str, int], Interval | None] = {}

    def of(self, name: str, graph: str, order: str | None = None) -> list[Result]:
        return [r for r in self.results if (r.set, r.graph) == (name, graph) and order in (None, r.order)]

    def cell(self, name: str, graph: str, order: str, ef: int = EF) -> Cell | None:
        """None where it was not measured."""
        found = [result.recall[ef] for result in self.of(name, graph, order)]
        # Rounded, so that equal recalls are equal whatever the number of seeds.
        return Cell(np.asarray(np.mean(found, axis=0)).round(12), np.asarray(np.mean(found, axis=1))) if found else None

    def difference(self, name: str, graph: str, order: str, ef: int = EF) -> Interval | None:
        """Mean recall in an order less that in random order, in points, with the 95 % interval of a paired bootstrap over queries."""
        key = (name, graph, order, ef)
        if key not in self._differences:
            one, other = self.cell(name, graph, order, ef), self.cell(name, graph, orders.RANDOM, ef)
            self._differences[key] = None if one is None or other is None else difference(
                [one.queries], [other.queries], [np.ones(len(one.queries))], RESAMPLES
            )
        return self._differences[key]

    def widest(self, name: str, graph: str, ef: int = EF) -> tuple[str, str, float]:
        """The best and the worst order of a graph, by the mean over seeds, and what lies between them, in points."""
        cells = {order: self.cell(name, graph, order, ef) for order in ORDERS}
        means = {order: cell.mean for order, cell in cells.items() if cell is not None}
        best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
        return best, worst, 100 * (means[best] - means[worst])

    def lost(self, name: str, graph: str, order: str) -> Doubles:
        """Of each row of the base, the share of seeds in which it was lost; no values where nothing was measured."""
        found = [result.lost for result in self.of(name, graph, order)]
        return np.mean(found, axis=0) if found else np.empty(0)

    def distinct_answers(self, name: str, graph: str) -> int:
        return len({result.answers for result in self.of(name, graph)})
