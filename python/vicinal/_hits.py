"""Answers of several indexes as one."""

from __future__ import annotations

from typing import Any, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ._vicinal import Hits


class MergedHits:
    """As Hits, gathered from the parts of a Collection."""

    def __init__(
        self,
        ids: npt.NDArray[np.int64],
        distances: npt.NDArray[np.float32],
        counts: npt.NDArray[np.uint32],
        parts: Sequence[Hits],
        one_dimensional: bool,
    ) -> None:
        self._parts = parts
        self.ids: npt.NDArray[np.int64] = ids[0] if one_dimensional else ids
        self.distances: npt.NDArray[np.float32] = distances[0] if one_dimensional else distances
        self.counts: int | npt.NDArray[np.uint32] = int(counts[0]) if one_dimensional else counts

    @property
    def stats(self) -> dict[str, int | str]:
        """Work summed over the queries and the parts."""
        total: dict[str, Any] = {"queries": 0, "distances": 0, "reranked": 0, "hops": 0, "bytes": 0, "strategy": "", "stop": "complete"}
        for part in self._parts:
            stats = part.stats
            total["queries"] = stats["queries"]
            for name in ("distances", "reranked", "hops", "bytes"):
                total[name] += stats[name]
            total["strategy"] += (" + " if total["strategy"] else "") + str(stats["strategy"])
            if stats["stop"] != "complete":
                total["stop"] = stats["stop"]
        return total

    @property
    def stage_seconds(self) -> dict[str, float]:
        """How long each stage took for all queries, of all parts together."""
        total: dict[str, float] = {}
        for part in self._parts:
            for stage, seconds in part.stage_seconds.items():
                total[stage] = total.get(stage, 0.0) + seconds
        return total

    def explain(self) -> str:
        """How the search was answered and what it cost a query, in words, for every part."""
        return "\n".join(part.explain() for part in self._parts) or "nothing to search"

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return iter((self.ids, self.distances))

    def __repr__(self) -> str:
        queries = 1 if self.ids.ndim == 1 else len(self.ids)
        return f"<vicinal.Hits {queries} {'query' if queries == 1 else 'queries'} x {self.ids.shape[-1]}, {self.stats['strategy']}>"


def merge(
    parts: Sequence[tuple[Hits, npt.NDArray[np.int64]]], queries: int, k: int, one_dimensional: bool
) -> MergedHits:
    """The k nearest of all parts (at least one), ordered by (distance, id); a part's ids are positions in its array of ids."""
    all_ids, all_distances = [], []
    counts = np.zeros(queries, dtype=np.uint64)
    for hits, names in parts:
        rows = np.atleast_2d(hits.ids)
        all_ids.append(np.where(rows < 0, np.int64(-1), names[rows]))
        all_distances.append(np.atleast_2d(hits.distances))
        counts += np.atleast_1d(np.asarray(hits.counts)).astype(np.uint64)
    ids, distances = np.concatenate(all_ids, axis=1), np.concatenate(all_distances, axis=1)
    if len(parts) > 1:
        # Nobody (-1, at infinity) sorts last, after whatever is infinitely far.
        order = np.lexsort((ids, ids < 0, distances), axis=1)[:, :k]
        ids, distances = np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)
    return MergedHits(ids, distances, np.minimum(counts, k).astype(np.uint32), [hits for hits, _ in parts], one_dimensional)
