"""Scripts written for faiss run with vicinal.compat.faiss: each test is one, run with both, under the same assertions."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from compat_data import KINDS, SELECTORS, made, recall, scores, vectors

SHIM = "vicinal.compat.faiss"
FARTHEST = np.finfo(np.float32).max


@pytest.fixture(params=["faiss", SHIM])
def faiss(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


@pytest.mark.parametrize("metric", [0, 1])
def test_flat(faiss: Any, metric: int) -> None:
    assert (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2) == (0, 1)
    base, queries = vectors(200), vectors(20, seed=1)
    expected = scores(metric, queries, base)
    named = faiss.IndexFlatL2(8) if metric else faiss.IndexFlatIP(8)
    for index in (named, faiss.IndexFlat(8, metric)):
        assert (index.d, index.ntotal, index.is_trained, index.metric_type) == (8, 0, True, metric)
        assert (index.metric_arg, index.verbose, index.code_size) == (0, False, 32)
        index.train(base)
        index.add(base[:150])
        index.add(base[150:])
        assert index.ntotal == 200
        distances, ids = index.search(queries, 5)
        assert (ids.dtype, distances.dtype, ids.shape, distances.shape) == (np.int64, np.float32, (20, 5), (20, 5))
        np.testing.assert_array_equal(ids, np.argsort(expected, axis=1)[:, :5])
        near = np.sort(expected, axis=1)[:, :5]
        np.testing.assert_allclose(distances, near if metric else -near, rtol=1e-4, atol=1e-5)
    assert faiss.IndexFlat(8).metric_type == faiss.METRIC_L2


@pytest.mark.parametrize("metric", [0, 1])
def test_graph(faiss: Any, metric: int) -> None:
    base, queries = vectors(4000, 16), vectors(100, 16, seed=1)
    truth = np.argsort(scores(metric, queries, base), axis=1)[:, :10]
    index = faiss.IndexHNSWFlat(16, 16, metric)
    assert (index.hnsw.efConstruction, index.hnsw.efSearch, index.metric_type, index.is_trained) == (40, 16, metric, True)
    assert (index.hnsw.nb_neighbors(0), index.hnsw.nb_neighbors(1)) == (32, 16)
    index.hnsw.efConstruction = 100
    index.add(base)
    index.hnsw.efSearch = 10
    _, low = index.search(queries, 10)
    index.hnsw.efSearch = 200
    distances, high = index.search(queries, 10)
    assert recall(high, truth) > 0.97 > recall(low, truth)
    near = np.take_along_axis(scores(metric, queries, base), high, 1)
    np.testing.assert_allclose(distances, near if metric else -near, rtol=1e-4, atol=1e-4)
    for params in (faiss.SearchParametersHNSW(efSearch=10), faiss.SearchParametersHNSW()):
        _, ids = index.search(queries, 10, params=params)
        assert recall(ids, truth) < 0.97
    np.testing.assert_array_equal(index.search(queries, 10, params=faiss.SearchParameters())[1], high)
    faiss.ParameterSpace().set_index_parameter(index, "efSearch", 10)
    assert index.hnsw.efSearch == 10
    np.testing.assert_array_equal(index.search(queries, 10)[1], low)
    np.testing.assert_array_equal(index.reconstruct(3999), base[3999])
    with pytest.raises(AttributeError):
        index.efSearch = 64
    with pytest.raises(TypeError):
        faiss.IndexHNSWFlat(16)


def test_recall_is_that_of_faiss() -> None:
    base, queries = vectors(4000, 16), vectors(200, 16, seed=1)
    truth = np.argsort(scores(1, queries, base), axis=1)[:, :10]
    recalls = []
    for lib in (pytest.importorskip("faiss"), importlib.import_module(SHIM)):
        index = lib.IndexHNSWFlat(16, 12)
        index.add(base)
        index.hnsw.efSearch = 30
        recalls.append(recall(index.search(queries, 10)[1], truth))
    assert abs(recalls[0] - recalls[1]) < 0.06


def test_input(faiss: Any) -> None:
    base = vectors(10)
    index = faiss.IndexFlatL2(8)
    index.add(base.astype(np.float64))
    for queries in (base, base.astype(np.float64), np.asfortranarray(base), base[::1]):
        assert index.search(queries, 1)[1].ravel().tolist() == list(range(10))
    index.add(np.ones((1, 8), dtype=int))
    assert index.search(np.ones((1, 8), dtype=int), 1)[1].tolist() == [[10]]
    assert index.search(base[:0], 3)[0].shape == (0, 3)
    searches = (lambda x: index.search(x, 1), lambda x: index.range_search(x, 1), lambda x: index.assign(x, 1))
    for call in (*searches, index.add, index.train):
        with pytest.raises(AssertionError):
            call(base[:, :5])
        with pytest.raises(ValueError):
            call(base[0])
    for k in (0, -1):
        with pytest.raises(AssertionError):
            index.search(base, k)
    for number in (2.0, "2"):
        with pytest.raises(TypeError):
            index.search(base, number)
    with pytest.raises(TypeError):
        index.search(base, 1, faiss.SearchParameters())
    with pytest.raises(TypeError):
        faiss.IndexFlatL2("8")


@pytest.mark.parametrize("metric", [0, 1])
def test_padding(faiss: Any, metric: int) -> None:
    worst = FARTHEST if metric else -FARTHEST
    for kind in KINDS:
        index = faiss.index_factory(8, kind, metric)
        distances, ids = index.search(vectors(2), 3)
        assert ids.tolist() == [[-1] * 3] * 2 and (distances == worst).all()
        index = made(faiss, kind, 5, metric)
        distances, ids = index.search(vectors(2), 8)
        assert (ids[:, :5] >= 0).all() and (ids[:, 5:] == -1).all()
        assert (distances[:, :5] != worst).all() and (distances[:, 5:] == worst).all()


def test_results_into_given_arrays(faiss: Any) -> None:
    index, base = made(faiss, "Flat"), vectors(3)
    distances, ids = np.empty((3, 2), dtype=np.float32), np.empty((3, 2), dtype=np.int64)
    got = index.search(base, 2, D=distances, I=ids)
    assert ids[:, 0].tolist() == [0, 1, 2] and (distances[:, 0] < 1e-5).all()
    np.testing.assert_array_equal(got[1], ids)
    with pytest.raises(AssertionError):
        index.search(base, 2, D=np.empty((3, 3), dtype=np.float32))
    with pytest.raises(AssertionError):
        index.search(base, 2, I=np.empty((2, 2), dtype=np.int64))
    with pytest.raises(TypeError):
        index.search(base, 2, D=np.empty((3, 2)))
    labels = np.empty((3, 2), dtype=np.int64)
    index.assign(base, 2, labels)
    np.testing.assert_array_equal(labels, ids)
    np.testing.assert_array_equal(index.assign(base, 2), ids)
    row = np.empty(8, dtype=np.float32)
    index.reconstruct(1, row)
    np.testing.assert_array_equal(row, base[1])


@pytest.mark.parametrize("text", SELECTORS)
def test_selectors(faiss: Any, text: str) -> None:
    selector = eval(f"faiss.{text}", {"faiss": faiss, "np": np})
    rule = SELECTORS[text]
    chosen = np.array([rule(i) for i in range(50)])
    assert [bool(selector.is_member(i)) for i in range(50)] == chosen.tolist()
    base, queries = vectors(50), vectors(5, seed=1)
    expected = np.where(chosen, scores(1, queries, base), np.inf)
    truth = np.argsort(expected, axis=1)[:, :4]
    _, ids = made(faiss, "Flat").search(queries, 4, params=faiss.SearchParameters(sel=selector))
    np.testing.assert_array_equal(ids, truth)
    graph = faiss.IndexHNSWFlat(8, 32)
    graph.add(base)
    _, ids = graph.search(queries, 4, params=faiss.SearchParametersHNSW(sel=selector, efSearch=200))
    np.testing.assert_array_equal(ids, truth)

    mapped = faiss.IndexIDMap(faiss.IndexFlatL2(8))
    mapped.add_with_ids(base, np.arange(50)[::-1].copy())  # a selector is about these ids
    _, ids = mapped.search(queries, 4, params=faiss.SearchParameters(sel=selector))
    expected = np.where(chosen[::-1], scores(1, queries, base), np.inf)
    np.testing.assert_array_equal(ids, 49 - np.argsort(expected, axis=1)[:, :4])

    flat = made(faiss, "Flat")
    assert flat.remove_ids(selector) == chosen.sum()
    assert flat.ntotal == 50 - chosen.sum()


def test_search_parameters(faiss: Any) -> None:
    params = faiss.SearchParametersHNSW()
    assert (params.efSearch, params.sel) == (16, None)
    params.efSearch = 99
    params.sel = faiss.IDSelectorRange(0, 1)
    distances, ids = made(faiss, "Flat").search(vectors(1), 2, params=params)
    assert ids.tolist() == [[0, -1]] and distances.tolist() == [[0, FARTHEST]]
    with pytest.raises(AssertionError):
        faiss.SearchParameters(efSearch=3)
    with pytest.raises(ValueError):
        faiss.IDSelectorBitmap([1])


def test_removal_from_flat_moves_ids(faiss: Any) -> None:
    index, base = made(faiss, "Flat"), vectors(50)
    assert index.remove_ids(np.array([0, 1, 5, 5, 999])) == 3
    assert index.ntotal == 47
    np.testing.assert_array_equal(index.reconstruct_n(), np.delete(base, [0, 1, 5], axis=0))
    assert index.search(base[[2, 6]], 1)[1].tolist() == [[0], [3]]
    assert index.remove_ids(np.array([999])) == 0
    index.add(base[:1])
    assert index.search(base[:1], 1)[1].tolist() == [[47]]
    assert index.remove_ids(faiss.IDSelectorAll()) == 48
    assert index.search(base[:1], 1)[1].tolist() == [[-1]]
    index.add(base)
    assert index.search(base[7:8], 1)[1].tolist() == [[7]]
    with pytest.raises(AssertionError):
        index.remove_ids(np.array([[1]]))


def test_what_an_index_cannot_do(faiss: Any) -> None:
    for kind in ("Flat", "HNSW16"):
        with pytest.raises(RuntimeError, match="add_with_ids not implemented for this type of index"):
            made(faiss, kind).add_with_ids(vectors(1), np.array([3]))
    graph = made(faiss, "HNSW16")
    with pytest.raises(RuntimeError, match="remove_ids not implemented for this type of index"):
        graph.remove_ids(np.array([3]))
    mapped = made(faiss, "IDMap2,HNSW16")
    with pytest.raises(RuntimeError, match="remove_ids not implemented"):
        mapped.remove_ids(np.array([1003]))
    assert graph.ntotal == mapped.ntotal == 50
    with pytest.raises(RuntimeError, match="add does not make sense with IndexIDMap, use add_with_ids"):
        mapped.add(vectors(1))
    with pytest.raises(RuntimeError, match="reconstruct not implemented"):
        made(faiss, "IDMap,Flat").reconstruct(1003)
    with pytest.raises(RuntimeError, match="must be empty on input"):
        faiss.IndexIDMap(made(faiss, "Flat"))


def test_reconstruction(faiss: Any) -> None:
    base = vectors(50)
    for index in (made(faiss, "Flat"), made(faiss, "HNSW16")):
        np.testing.assert_array_equal(index.reconstruct(3), base[3])
        np.testing.assert_array_equal(index.reconstruct_n(2, 3), base[2:5])
        np.testing.assert_array_equal(index.reconstruct_n(n0=40), base[40:])
        np.testing.assert_array_equal(index.reconstruct_n(), base)
        np.testing.assert_array_equal(index.reconstruct_batch([7, 3, 7]), base[[7, 3, 7]])
        distances, ids, found = index.search_and_reconstruct(base[:4], 3)
        np.testing.assert_array_equal(found, base[ids])
        with pytest.raises(RuntimeError):
            index.reconstruct(50)
        with pytest.raises(RuntimeError):
            index.reconstruct_batch([1, 99])
        if not (faiss.__name__ == "faiss" and isinstance(index, faiss.IndexHNSWFlat)):  # that ends the process
            with pytest.raises(RuntimeError):
                index.reconstruct_n(48, 3)
        index.reset()
        assert index.ntotal == 0
        index.add(base[5:6])
        assert index.search(base[5:6], 1)[1].tolist() == [[0]]
    short = made(faiss, "Flat", 2).search_and_reconstruct(base[:1], 3)[2]
    assert np.isnan(short[0, 2]).all() and not np.isnan(short[0, :2]).any()


def test_vectors_as_arrays(faiss: Any) -> None:
    index = made(faiss, "Flat")
    np.testing.assert_array_equal(faiss.rev_swig_ptr(index.get_xb(), 50 * 8).reshape(50, 8), vectors(50))
    np.testing.assert_array_equal(faiss.vector_to_array(index.codes).view(np.float32).reshape(50, 8), vectors(50))


@pytest.mark.parametrize("metric", [0, 1])
def test_range_search(faiss: Any, metric: int) -> None:
    base, queries = vectors(300), vectors(20, seed=1)
    expected = scores(metric, queries, base)
    index = faiss.IndexFlat(8, metric)
    index.add(base)
    for bound in (9.0, 40.0, -99.0) if metric else (-2.0, 5.0, 999.0):
        limits, distances, ids = index.range_search(queries, bound)
        inside = expected < bound if metric else -expected > bound
        assert (limits.dtype, distances.dtype, ids.dtype) == (np.uint64, np.float32, np.int64)
        np.testing.assert_array_equal(limits, np.concatenate([[0], np.cumsum(inside.sum(axis=1))]))
        for i in range(20):
            part = slice(int(limits[i]), int(limits[i + 1]))
            order = np.argsort(ids[part])
            np.testing.assert_array_equal(ids[part][order], np.flatnonzero(inside[i]))
            near = expected[i][inside[i]] if metric else -expected[i][inside[i]]
            np.testing.assert_allclose(distances[part][order], near, rtol=1e-4, atol=1e-4)
    params = faiss.SearchParameters(sel=faiss.IDSelectorRange(0, 10))
    assert index.range_search(queries, 1e9 if metric else -1e9, params=params)[0].tolist() == list(range(0, 201, 10))


@pytest.mark.parametrize("kind", ["IndexIDMap", "IndexIDMap2"])
def test_id_map(faiss: Any, kind: str) -> None:
    base = vectors(20)
    index = getattr(faiss, kind)(faiss.IndexFlatL2(8))
    assert (index.d, index.ntotal, index.metric_type, index.is_trained) == (8, 0, 1, True)
    index.add_with_ids(base[:5], np.array([50, 10, 40, 20, 30]))
    index.add_with_ids(base[5:6], np.array([-7], dtype=np.int32))
    index.add_with_ids(base[6:7], np.array([10]))  # a second vector of this id
    assert (index.ntotal, index.index.ntotal) == (7, 7)
    assert faiss.vector_to_array(index.id_map).tolist() == [50, 10, 40, 20, 30, -7, 10]
    assert index.search(base[:7], 1)[1].ravel().tolist() == [50, 10, 40, 20, 30, -7, 10]
    assert index.remove_ids(np.array([10, 30, 999])) == 3
    assert faiss.vector_to_array(index.id_map).tolist() == [50, 40, 20, -7]
    assert index.search(base[[0, 2, 3, 5]], 1)[1].ravel().tolist() == [50, 40, 20, -7]
    assert index.remove_ids(faiss.IDSelectorRange(40, 41)) == 1
    with pytest.raises(AssertionError, match="not same nb of vectors as ids"):
        index.add_with_ids(base[:2], np.array([1]))
    if kind == "IndexIDMap2":
        np.testing.assert_array_equal(index.reconstruct(20), base[3])
        np.testing.assert_array_equal(index.reconstruct_batch([20, 50]), base[[3, 0]])
        with pytest.raises(RuntimeError, match="key 40 not found"):
            index.reconstruct(40)
        index.add_with_ids(base[7:8], np.array([20]))
        np.testing.assert_array_equal(index.reconstruct(20), base[7])
    index.reset()
    assert index.ntotal == index.index.ntotal == 0


def test_merge(faiss: Any) -> None:
    base = vectors(20)
    first, second = faiss.IndexFlatL2(8), faiss.IndexFlatL2(8)
    first.add(base[:10])
    second.add(base[10:])
    first.check_compatible_for_merge(second)
    first.merge_from(second)
    assert (first.ntotal, second.ntotal) == (20, 0)
    np.testing.assert_array_equal(first.reconstruct_n(), base)
    with pytest.raises(RuntimeError):
        first.merge_from(faiss.IndexFlatL2(9))
    one, two = made(faiss, "IDMap,Flat", 3), made(faiss, "IDMap,Flat", 2)
    one.merge_from(two, 100)
    assert faiss.vector_to_array(one.id_map).tolist() == [1000, 1001, 1002, 1100, 1101]


def test_factory(faiss: Any) -> None:
    for text, kind in [
        ("Flat", "IndexFlat"), ("HNSW32", "IndexHNSWFlat"), ("HNSW32,Flat", "IndexHNSWFlat"), ("HNSW", "IndexHNSWFlat"),
        ("IDMap,Flat", "IndexIDMap"), ("IDMap2,Flat", "IndexIDMap2"), ("IDMap2,HNSW32", "IndexIDMap2"),
        ("IDMap,HNSW16,Flat", "IndexIDMap"), ("Flat,IDMap", "IndexIDMap"), ("HNSW32,IDMap2", "IndexIDMap2"),
    ]:
        index = faiss.index_factory(8, text)
        assert (type(index).__name__, index.d, index.metric_type) == (kind, 8, 1), text
        assert isinstance(index, faiss.Index)
    assert faiss.index_factory(8, "HNSW32").hnsw.nb_neighbors(1) == 32
    assert faiss.index_factory(8, "HNSW", faiss.METRIC_INNER_PRODUCT).metric_type == 0
    outer = faiss.index_factory(8, "IDMap2,HNSW24")  # faiss: the inner index lives as long as this
    inner = faiss.downcast_index(outer.index)
    assert isinstance(inner, faiss.IndexHNSWFlat) and inner.hnsw.nb_neighbors(1) == 24
    assert issubclass(faiss.IndexIDMap2, faiss.IndexIDMap) and issubclass(faiss.IndexFlatL2, faiss.IndexFlat)
    for text in ("Flatt", "HNSW32,Flatt", ""):
        with pytest.raises(RuntimeError, match="could not parse"):
            faiss.index_factory(8, text)


def test_normalize(faiss: Any) -> None:
    x = vectors(20)
    expected = x / np.linalg.norm(x, axis=1, keepdims=True)
    x[3] = expected[3] = 0
    faiss.normalize_L2(x)
    np.testing.assert_allclose(x, expected, rtol=1e-5)
    for wrong, error in ((x.astype(np.float64), TypeError), (np.asfortranarray(x), ValueError), (x[0], IndexError)):
        with pytest.raises(error):
            faiss.normalize_L2(wrong)


def test_threads(faiss: Any) -> None:
    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(1)
        assert faiss.omp_get_max_threads() == 1
        assert made(faiss, "Flat").search(vectors(1), 1)[1].tolist() == [[0]]
    finally:
        faiss.omp_set_num_threads(before)
