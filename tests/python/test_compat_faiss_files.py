"""Scripts that write, read and copy indexes of faiss, run with faiss and with vicinal.compat.faiss."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from compat_data import vectors


@pytest.fixture(params=["faiss", "vicinal.compat.faiss"])
def faiss(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


def same(faiss: Any, got: Any, index: Any) -> None:
    assert (type(got), got.ntotal, got.d, got.metric_type) == (type(index), index.ntotal, index.d, index.metric_type)
    queries = vectors(9, seed=2)
    for a, b in zip(got.search(queries, 5), index.search(queries, 5)):
        np.testing.assert_array_equal(a, b)
    if isinstance(index, faiss.IndexHNSWFlat):
        for name in ("efSearch", "efConstruction"):
            assert getattr(got.hnsw, name) == getattr(index.hnsw, name)
        assert got.hnsw.nb_neighbors(1) == index.hnsw.nb_neighbors(1)


def everything(faiss: Any) -> list[Any]:
    l2, ip = faiss.IndexFlatL2(8), faiss.IndexFlatIP(8)
    graph = faiss.IndexHNSWFlat(8, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efSearch, graph.hnsw.efConstruction = 77, 55
    default = faiss.IndexHNSWFlat(8, 12)
    narrow = faiss.IndexHNSWFlat(8, 2)
    for index in (l2, ip, graph, default, narrow):
        index.add(vectors(40))
    mapped = [
        faiss.IndexIDMap(faiss.IndexFlatL2(8)), faiss.IndexIDMap2(faiss.IndexFlatIP(8)),
        faiss.IndexIDMap2(faiss.IndexHNSWFlat(8, 16)),
    ]
    for index in mapped:
        index.add_with_ids(vectors(40), np.random.default_rng(0).permutation(40) * 3)
    below = faiss.IndexIDMap2(faiss.IndexFlatIP(8))
    below.add_with_ids(vectors(40), np.arange(40) - 7)
    odd = faiss.IndexIDMap2(faiss.IndexFlatL2(8))
    odd.add_with_ids(vectors(40), np.arange(40) // 2)  # twice each
    plain = faiss.IndexIDMap(faiss.IndexFlatL2(8))
    plain.add_with_ids(vectors(40), np.arange(40))
    empty = [faiss.IndexFlatIP(8), faiss.IndexHNSWFlat(8, 20), faiss.IndexIDMap(faiss.IndexFlatL2(8))]
    return [l2, ip, graph, default, narrow, *mapped, below, odd, plain, *empty]


def test_files(faiss: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "index.faiss")
    for index in everything(faiss):
        faiss.write_index(index, path)
        for flags in (0, faiss.IO_FLAG_READ_ONLY, faiss.IO_FLAG_MMAP):
            got = faiss.read_index(path, flags)
            same(faiss, got, index)
        if isinstance(index, faiss.IndexIDMap):
            got.add_with_ids(9 * vectors(3, seed=9), np.array([1000, 1001, 1002]))
            assert got.search(9 * vectors(2, seed=9)[1:], 1)[1].tolist() == [[1001]]
        else:
            got = faiss.read_index(path)
            got.add(vectors(3, seed=9))
            np.testing.assert_array_equal(got.reconstruct(got.ntotal - 1), vectors(3, seed=9)[2])
    with pytest.raises(RuntimeError):
        faiss.read_index(str(tmp_path / "none.faiss"))
    with pytest.raises(RuntimeError):
        faiss.write_index(index, str(tmp_path / "none" / "x.faiss"))
    with open(path, "wb") as file:
        file.write(b"something else" * 100)
    with pytest.raises(RuntimeError):
        faiss.read_index(path)


def test_copies(faiss: Any) -> None:
    for index in everything(faiss):
        data = faiss.serialize_index(index)
        assert data.dtype == np.uint8 and data.ndim == 1
        same(faiss, faiss.deserialize_index(data), index)
        made = [faiss.clone_index(index), copy.deepcopy(index), copy.copy(index), pickle.loads(pickle.dumps(index))]
        for got in made:
            same(faiss, got, index)
        count = index.ntotal
        for got in made:
            got.reset()
        assert index.ntotal == count
    for damaged in (data[:20], data[:0], np.zeros(100, dtype=np.uint8)):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(damaged)
