"""A script for hnswlib.BFIndex, run with hnswlib and with vicinal.compat.hnswlib."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from compat_data import true_distances, vectors


@pytest.fixture(params=["hnswlib", "vicinal.compat.hnswlib"])
def hnswlib(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


def test_brute_force(hnswlib: Any, tmp_path: Any) -> None:
    base, queries = vectors(50), vectors(9, seed=1)
    expected = true_distances("l2", queries, base)
    index = hnswlib.BFIndex(space="l2", dim=8)
    assert repr(index).endswith("hnswlib.BFIndex(space='l2', dim=8)>")
    index.init_index(max_elements=60)
    index.add_items(base[:25])
    index.add_items(base[25:], ids=np.arange(25, 50))
    assert (index.get_current_count(), index.get_max_elements(), index.num_threads) == (50, 60, os.cpu_count())
    labels, distances = index.knn_query(queries, k=5, num_threads=1)
    assert (labels.dtype, distances.dtype) == (np.uint64, np.float32)
    np.testing.assert_array_equal(labels, np.argsort(expected, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :5], rtol=1e-5)
    assert index.knn_query(queries, 0)[0].shape == (9, 0)

    odd, _ = index.knn_query(queries, 3, num_threads=1, filter=lambda label: label % 2 == 1)
    expected[:, ::2] = np.inf
    np.testing.assert_array_equal(odd, np.argsort(expected, axis=1)[:, :3])

    index.delete_vector(3)
    index.delete_vector(3)  # nobody minds
    assert index.get_current_count() == 49
    assert 3 not in index.knn_query(base[3], 40)[0]
    index.add_items(base[4], 5)
    assert index.get_current_count() == 49
    with pytest.raises(RuntimeError, match="already initiated"):
        index.init_index(10)
    with pytest.raises(RuntimeError, match="exceeds the specified limit"):
        index.add_items(vectors(20))
    with pytest.raises(RuntimeError, match="Wrong dimensionality"):
        index.add_items(base[:, :5])

    index = hnswlib.BFIndex("ip", 8)
    index.init_index(60)
    index.add_items(base)
    path = str(tmp_path / "bf.bin")
    index.save_index(path)
    loaded = hnswlib.BFIndex("ip", 8)
    loaded.load_index(path, max_elements=0)
    loaded.set_num_threads(1)
    assert (loaded.get_current_count(), loaded.get_max_elements(), loaded.num_threads) == (50, 60, 1)
    loaded.num_threads = 2
    for got, wanted in zip(loaded.knn_query(queries, 5), index.knn_query(queries, 5)):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
