"""Scripts written for hnswlib run with vicinal.compat.hnswlib: each test is one, run with both, under the same assertions."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from compat_data import filled, true_distances, vectors

SHIM = "vicinal.compat.hnswlib"
TOO_FEW = "Cannot return the results in a contiguous 2D array. Probably ef or M is too small"


@pytest.fixture(params=["hnswlib", SHIM])
def hnswlib(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_answers_and_distances(hnswlib: Any, space: str) -> None:
    base, queries = vectors(200), vectors(20, seed=1)
    index = hnswlib.Index(space=space, dim=8)
    index.init_index(max_elements=200, ef_construction=200, M=16)
    index.set_ef(200)
    index.add_items(base, np.arange(200) + 1000)
    labels, distances = index.knn_query(queries, k=5)
    expected = true_distances(space, queries, base)
    assert (labels.dtype, distances.dtype, labels.shape, distances.shape) == (np.uint64, np.float32, (20, 5), (20, 5))
    np.testing.assert_array_equal(labels, 1000 + np.argsort(expected, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :5], rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="Space name must be one of l2, ip, or cosine"):
        hnswlib.Index("hamming", 8)


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_recall_of_a_graph(hnswlib: Any, space: str) -> None:
    base, queries = vectors(4000, 16), vectors(100, 16, seed=1)
    index = hnswlib.Index(space, 16)
    index.init_index(4000, M=16, ef_construction=100, random_seed=7)
    for begin in range(0, 4000, 500):
        index.add_items(base[begin : begin + 500])
    truth = np.argsort(true_distances(space, queries, base), axis=1)[:, :10]

    def recall(ef: int) -> float:
        index.set_ef(ef)
        labels, _ = index.knn_query(queries, 10)
        return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(labels.tolist(), truth.tolist())]))

    assert recall(200) > 0.97
    assert recall(10) < 0.97  # ef below counts: nothing is searched exhaustively
    assert recall(200) == recall(200)


def test_recall_is_that_of_hnswlib() -> None:
    real, shim = pytest.importorskip("hnswlib"), importlib.import_module(SHIM)
    base, queries = vectors(4000, 16), vectors(200, 16, seed=1)
    truth = np.argsort(true_distances("l2", queries, base), axis=1)[:, :10]
    recalls = []
    for lib in (real, shim):
        index = lib.Index("l2", 16)
        index.init_index(4000, M=12, ef_construction=100)
        index.add_items(base)
        index.set_ef(30)
        labels, _ = index.knn_query(queries, 10)
        recalls.append(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(labels.tolist(), truth.tolist())]))
    assert abs(recalls[0] - recalls[1]) < 0.06


def test_attributes(hnswlib: Any) -> None:
    index = hnswlib.Index("l2", 8)
    assert (index.space, index.dim) == ("l2", 8)
    assert (index.M, index.ef_construction, index.max_elements, index.element_count) == (0, 0, 0, 0)
    assert (index.ef, index.num_threads) == (10, os.cpu_count())
    assert repr(index).endswith("hnswlib.Index(space='l2', dim=8)>")
    index.set_ef(33)
    index.init_index(max_elements=100, M=12, ef_construction=5)
    assert (index.M, index.ef_construction, index.max_elements, index.ef) == (12, 12, 100, 33)
    index.add_items(vectors(3))
    assert (index.element_count, index.get_current_count(), index.get_max_elements()) == (3, 3, 100)
    index.ef, index.num_threads = 7, 1
    assert (index.ef, index.num_threads) == (7, 1)
    index.set_num_threads(2)
    assert index.num_threads == 2
    for name in ("space", "dim", "M", "ef_construction", "max_elements", "element_count"):
        with pytest.raises(AttributeError):
            setattr(index, name, 1)
    with pytest.raises(TypeError):
        index.set_ef(-1)
    with pytest.raises(RuntimeError, match="already initiated"):
        index.init_index(100)


@pytest.mark.parametrize("m", [0, 1, 2, 200])
def test_any_m_is_taken(hnswlib: Any, m: int) -> None:
    if m < 2 and hnswlib.__name__ == "hnswlib":
        pytest.skip("hnswlib divides by log(M)")
    index = filled(hnswlib, M=m)
    assert (index.M, index.ef_construction) == (m, 200)
    assert index.knn_query(vectors(1), 1)[0].tolist() == [[0]]


def test_labels(hnswlib: Any) -> None:
    index = filled(hnswlib, 3)
    index.add_items(vectors(1, seed=5)[0])
    assert sorted(index.get_ids_list()) == [0, 1, 2, 3]
    index.add_items(vectors(2, seed=6), [70, 71])
    index.add_items(vectors(1, seed=7))  # numbers go on by what was given, labelled or not
    assert sorted(index.get_ids_list()) == [0, 1, 2, 3, 6, 70, 71]
    index.add_items(vectors(2, seed=8), np.array([70, 70], dtype=np.uint64))
    assert index.element_count == 7
    np.testing.assert_array_equal(index.get_items([70]), vectors(2, seed=8)[1:])  # the last one given
    index.add_items(vectors(1, seed=7))
    assert 9 in index.get_ids_list() and index.element_count == 8
    index.add_items(vectors(1, seed=9), 3)
    np.testing.assert_array_equal(index.get_items([3]), vectors(1, seed=9))
    index.add_items(vectors(1, seed=10), ids=[19], num_threads=1)
    with pytest.raises(RuntimeError, match="input label shape 1 does not match the input data vector shape 2"):
        index.add_items(vectors(2), [1])
    with pytest.raises(OverflowError):
        index.add_items(vectors(1), [-1])


def test_additions_from_several_threads(hnswlib: Any) -> None:
    base = vectors(401)
    index = hnswlib.Index("l2", 8)
    index.init_index(401)
    index.add_items(base[400], [400])

    def add(part: int) -> None:
        for begin in range(100 * part, 100 * part + 100, 10):
            index.add_items(base[begin : begin + 10], np.arange(begin, begin + 10), num_threads=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert index.element_count == 401
    np.testing.assert_array_equal(index.get_items(range(401)), base)


def test_input_is_converted(hnswlib: Any) -> None:
    base = vectors(20)
    index = hnswlib.Index("l2", 8)
    index.init_index(20)
    index.add_items(base.astype(np.float64)[:10])
    index.add_items(base[10:].tolist())
    for query in (base[4], base[4].tolist(), base[4].astype(np.float64), np.asfortranarray(base[4:5])):
        labels, distances = index.knn_query(query)
        assert labels.tolist() == [[4]] and distances.tolist() == [[0]]
    with pytest.raises(RuntimeError, match="Wrong dimensionality of the vectors"):
        index.add_items(base[:1, :5])
    with pytest.raises(RuntimeError, match="Data must be a 1D or 2D array"):
        index.add_items(base[None])


def test_get_items(hnswlib: Any) -> None:
    index, base = filled(hnswlib), vectors(50)
    np.testing.assert_array_equal(index.get_items([3, 1]), base[[3, 1]])
    assert index.get_items(np.array([3])).dtype == np.float32
    assert index.get_items([3, 1], return_type="list") == base[[3, 1]].tolist()
    assert index.get_items().shape == index.get_items([]).shape == (0,)
    with pytest.raises(RuntimeError, match="Label not found"):
        index.get_items([3, 999])
    with pytest.raises(ValueError, match='return_type should be "numpy" or "list"'):
        index.get_items([3], return_type="torch")
    with pytest.raises(ValueError, match="get_items accepts a list"):
        index.get_items(3)


def test_get_items_of_cosine_have_length_one(hnswlib: Any) -> None:
    base = vectors(50)
    unit = base / np.linalg.norm(base, axis=1, keepdims=True)
    index = filled(hnswlib, space="cosine")
    np.testing.assert_allclose(index.get_items(range(50)), unit, rtol=1e-5)
    index.add_items(np.zeros(8), 50)
    assert index.get_items([50]).tolist() == [[0] * 8]
    assert index.knn_query(np.zeros(8), 2)[1].tolist() == [[1, 1]]


def test_capacity(hnswlib: Any) -> None:
    index = filled(hnswlib, 50, capacity=50)
    with pytest.raises(RuntimeError, match="The number of elements exceeds the specified limit"):
        index.add_items(vectors(1))
    index.add_items(vectors(1), [49])  # not a new one
    with pytest.raises(RuntimeError, match="Cannot resize, max element is less than the current number of elements"):
        index.resize_index(49)
    index.resize_index(51)
    assert index.max_elements == index.get_max_elements() == 51
    index.add_items(vectors(1), [99])
    assert index.element_count == 51


def test_k_beyond_what_there_is(hnswlib: Any) -> None:
    index = filled(hnswlib, 50)
    assert index.knn_query(vectors(2), 50)[0].shape == (2, 50)
    assert index.knn_query(vectors(2), 0)[0].shape == (2, 0)
    assert index.knn_query(np.empty((0, 8)), 3)[0].shape == (0, 3)
    with pytest.raises(RuntimeError, match=TOO_FEW):
        index.knn_query(vectors(2), 51)
    with pytest.raises(RuntimeError, match=TOO_FEW):
        index.knn_query(vectors(2), 26, filter=lambda label: label % 2 == 0)
    empty = hnswlib.Index("l2", 8)
    empty.init_index(10)
    with pytest.raises(RuntimeError, match=TOO_FEW):
        empty.knn_query(vectors(1), 1)


def test_filter(hnswlib: Any) -> None:
    index, base = filled(hnswlib), vectors(50)
    index.set_ef(50)
    labels, _ = index.knn_query(base[:5], k=4, num_threads=1, filter=lambda label: label % 3 == 0)
    expected = true_distances("l2", base[:5], base)
    expected[:, np.arange(50) % 3 != 0] = np.inf
    np.testing.assert_array_equal(labels, np.argsort(expected, axis=1)[:, :4])
    with pytest.raises(ZeroDivisionError):
        index.knn_query(base[0], 3, num_threads=1, filter=lambda label: 1 // 0 == 1)


def test_deletion(hnswlib: Any) -> None:
    index, base = filled(hnswlib), vectors(50)
    index.mark_deleted(3)
    assert (index.element_count, sorted(index.get_ids_list())) == (50, list(range(50)))
    assert 3 not in index.knn_query(base[3], 49)[0]
    with pytest.raises(RuntimeError, match=TOO_FEW):
        index.knn_query(base[3], 50)
    with pytest.raises(RuntimeError, match="Label not found"):
        index.get_items([3])
    with pytest.raises(RuntimeError, match="The requested to delete element is already deleted"):
        index.mark_deleted(3)
    with pytest.raises(RuntimeError, match="The requested to undelete element is not deleted"):
        index.unmark_deleted(4)
    for call in (index.mark_deleted, index.unmark_deleted):
        with pytest.raises(RuntimeError, match="Label not found"):
            call(999)
    with pytest.raises(TypeError):
        index.mark_deleted([4])
    index.unmark_deleted(3)
    labels, distances = index.knn_query(base[3], 1)
    assert labels.tolist() == [[3]] and distances.tolist() == [[0]]
    index.mark_deleted(np.int64(5))
    index.add_items(base[6], 5)  # brings the label back with another vector
    np.testing.assert_array_equal(index.get_items([5]), base[6:7])


def test_replacing_the_deleted(hnswlib: Any) -> None:
    index = filled(hnswlib, 10, capacity=10, allow_replace_deleted=True)
    base = vectors(60, seed=3)
    for label in (2, 4):
        index.mark_deleted(label)
    with pytest.raises(RuntimeError, match="exceeds the specified limit"):
        index.add_items(base[0], [70])
    with pytest.raises(RuntimeError, match="Can't use addPoint to update deleted elements"):
        index.add_items(base[0], [2])
    index.add_items(base[50:52], [50, 51], replace_deleted=True)
    assert sorted(index.get_ids_list()) == [0, 1, 3, 5, 6, 7, 8, 9, 50, 51]
    assert index.element_count == 10
    np.testing.assert_array_equal(index.get_items([50, 51]), base[50:52])
    with pytest.raises(RuntimeError, match="Label not found"):
        index.unmark_deleted(2)
    with pytest.raises(RuntimeError, match="exceeds the specified limit"):
        index.add_items(base[:1], [60], replace_deleted=True)
    other = filled(hnswlib, 10)
    other.mark_deleted(1)
    with pytest.raises(RuntimeError, match="Replacement of deleted elements is disabled in constructor"):
        other.add_items(base[0], 99, replace_deleted=True)


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_files(hnswlib: Any, space: str, tmp_path: Any) -> None:
    path = str(tmp_path / "index.bin")
    index = filled(hnswlib, 50, space, capacity=80, M=8, ef_construction=60, allow_replace_deleted=True)
    index.mark_deleted(7)
    index.set_ef(50)
    index.save_index(path)
    assert index.index_file_size() == os.path.getsize(path)

    loaded = hnswlib.Index(space, 8)
    loaded.load_index(path)
    assert (loaded.max_elements, loaded.M, loaded.ef_construction, loaded.ef, loaded.element_count) == (80, 8, 60, 10, 50)
    loaded.set_ef(50)
    for got, expected in zip(loaded.knn_query(vectors(9, seed=2), 5), index.knn_query(vectors(9, seed=2), 5)):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="already deleted"):
        loaded.mark_deleted(7)
    with pytest.raises(RuntimeError, match="is disabled in constructor"):
        loaded.add_items(vectors(1), 99, replace_deleted=True)
    loaded.unmark_deleted(7)
    np.testing.assert_allclose(loaded.get_items([7]), filled(hnswlib, 50, space).get_items([7]), rtol=1e-5)
    loaded.add_items(vectors(1))
    assert 50 in loaded.get_ids_list()

    bigger = hnswlib.Index(space, 8)
    bigger.load_index(path, max_elements=1000, allow_replace_deleted=True)
    assert bigger.max_elements == 1000
    bigger.add_items(vectors(1), [99], replace_deleted=True)
    assert 7 not in bigger.get_ids_list()
    smaller = hnswlib.Index(space, 8)
    smaller.load_index(path, max_elements=10)
    assert smaller.max_elements == 80
    with pytest.raises(RuntimeError, match="Cannot open file"):
        hnswlib.Index(space, 8).load_index(str(tmp_path / "none.bin"))


def test_changes_of_a_large_index(hnswlib: Any, tmp_path: Any) -> None:
    base, path = vectors(3000), str(tmp_path / "index.bin")
    index = filled(hnswlib, 3000, capacity=3002, M=16, ef_construction=60)
    index.set_ef(100)
    for label in range(0, 600, 2):
        index.mark_deleted(label)
    index.unmark_deleted(4)
    index.add_items(vectors(2, seed=9), [3000, 7])
    index.save_index(path)
    loaded = hnswlib.Index("l2", 8)
    loaded.load_index(path)
    loaded.set_ef(100)
    gone = [label for label in range(0, 600, 2) if label != 4]
    for one in (index, loaded):
        assert (one.element_count, one.max_elements) == (3001, 3002)
        assert not set(one.knn_query(base[:600], 5)[0].ravel().tolist()) & set(gone)
        late = vectors(2, seed=9)
        np.testing.assert_array_equal(one.get_items([4, 7, 2999, 3000]), np.stack([base[4], late[1], base[2999], late[0]]))
        assert one.knn_query(base[[4, 2999]], 1)[0].tolist() == [[4], [2999]]
        with pytest.raises(RuntimeError, match="already deleted"):
            one.mark_deleted(598)
    loaded.unmark_deleted(598)
    assert loaded.knn_query(base[598], 1)[0].tolist() == [[598]]


def test_file_without_vectors(hnswlib: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "index.bin")
    index = hnswlib.Index("l2", 8)
    index.init_index(30, M=5)
    index.save_index(path)
    assert index.index_file_size() == os.path.getsize(path)
    loaded = hnswlib.Index("l2", 8)
    loaded.load_index(path, max_elements=30)
    assert (loaded.element_count, loaded.max_elements, loaded.M) == (0, 30, 5)
    loaded.add_items(vectors(3))
    assert loaded.knn_query(vectors(1), 1)[0].tolist() == [[0]]


def test_pickle_and_copy(hnswlib: Any) -> None:
    index = filled(hnswlib, M=8, allow_replace_deleted=True)
    index.mark_deleted(5)
    index.set_ef(50)
    index.set_num_threads(1)
    made = [
        pickle.loads(pickle.dumps(index)), copy.deepcopy(index), copy.copy(index),
        hnswlib.Index(params=index.__getstate__()[0]), hnswlib.Index(index=index),
    ]
    for other in made:
        assert (other.space, other.M, other.ef, other.num_threads, other.max_elements) == ("l2", 8, 50, 1, 100)
        with pytest.raises(RuntimeError, match="already deleted"):
            other.mark_deleted(5)
        np.testing.assert_array_equal(other.knn_query(vectors(9), 5)[0], index.knn_query(vectors(9), 5)[0])
        other.mark_deleted(6)  # of its own
        other.add_items(vectors(1), [77], replace_deleted=True)
    assert 77 not in index.get_ids_list()
    state = index.__getstate__()[0]
    index.mark_deleted(7)
    hnswlib.Index(state).mark_deleted(7)  # it was not, then
    index.mark_deleted(6)
    assert pickle.loads(pickle.dumps(hnswlib.Index("ip", 4))).space == "ip"
