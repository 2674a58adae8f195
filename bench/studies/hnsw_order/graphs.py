"""Graph indexes with the same parameters, built by one thread from rows in a given order."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Callable

import numpy as np

from .lid import Floats, Rows

M, EF_CONSTRUCTION = 16, 128
# Of queries, k and ef: row numbers in the order of insertion, -1 is nobody, and their distances.
Search = Callable[[Floats, int, int], tuple[Rows, Floats]]


def build_vicinal(rows: Floats, codec: str) -> Search:
    import vicinal

    spec = f"{codec} | hnsw(m={M}, ef_construction={EF_CONSTRUCTION})"
    index = vicinal.build(rows, spec, metric="l2", threads=1, calibrate=False, progress=False)

    def search(queries: Floats, k: int, ef: int) -> tuple[Rows, Floats]:
        hits = index.search(queries, k, effort=ef, threads=1)
        return hits.ids, hits.distances

    return search


def build_hnswlib(rows: Floats, _: str) -> Search:
    import hnswlib

    index = hnswlib.Index(space="l2", dim=rows.shape[1])
    index.init_index(max_elements=len(rows), M=M, ef_construction=EF_CONSTRUCTION, random_seed=100)
    index.add_items(rows, num_threads=1)

    def search(queries: Floats, k: int, ef: int) -> tuple[Rows, Floats]:
        index.set_ef(ef)
        try:
            found, distances = index.knn_query(queries, k=k, num_threads=1)
            return found.astype(np.int64), distances
        except RuntimeError:  # a query that reaches fewer than k rows ends the search of all
            if len(queries) == 1:
                return np.full((1, k), -1, dtype=np.int64), np.full((1, k), np.inf, dtype=np.float32)
            parts = [search(query[None], k, ef) for query in queries]
            return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    return search


def build_faiss(rows: Floats, adding: str) -> Search:
    """`add` of many rows puts them in an order of its own: by level, and shuffled within each. One by one it cannot."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(rows.shape[1], M, faiss.METRIC_L2)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    step = 1 if adding == "one by one" else len(rows)
    for first in range(0, len(rows), step):
        index.add(rows[first : first + step])

    def search(queries: Floats, k: int, ef: int) -> tuple[Rows, Floats]:
        index.hnsw.efSearch = ef
        distances, found = index.search(queries, k)
        return np.asarray(found, dtype=np.int64), np.asarray(distances)

    return search


@dataclass(frozen=True)
class Graph:
    name: str
    build: Callable[[Floats, str], Search]
    argument: str
    module: str

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


GRAPHS = {
    graph.name: graph
    for graph in (
        Graph("vicinal", build_vicinal, "f32", "vicinal"),
        Graph("vicinal, i8", build_vicinal, "i8", "vicinal"),
        Graph("hnswlib", build_hnswlib, "", "hnswlib"),
        Graph("faiss", build_faiss, "one by one", "faiss"),
        Graph("faiss, one call", build_faiss, "at once", "faiss"),
    )
}
