"""VicinalTransformer: scikit-learn's own checks, and the same graphs as KNeighborsTransformer."""

# mypy: disable-error-code="import-untyped,untyped-decorator"

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.manifold import TSNE, Isomap, trustworthiness
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

import vicinal
from vicinal.sklearn import VicinalTransformer, symmetric_graph

GRAPH = "i8 | hnsw | rerank(f16, 3x)"
CODES = "i8 | hnsw"


@parametrize_with_checks(
    [
        VicinalTransformer(),
        VicinalTransformer(mode="connectivity", metric="cosine"),
        VicinalTransformer(3, spec=GRAPH, recall=0.99),
    ]
)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def blobs(n: int = 400, dim: int = 12, dtype: Any = np.float64) -> Any:
    return make_blobs(n, dim, centers=8, cluster_std=3.0, random_state=7)[0].astype(dtype)


def share_found(graph: csr_matrix, expected: csr_matrix) -> float:
    both = (graph != 0).multiply(expected != 0).nnz
    return float(both / (expected != 0).nnz)


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gives_the_graph_of_kneighbors_transformer(mode: str, metric: str, dtype: Any) -> None:
    X, queries = blobs(dtype=dtype), blobs(dtype=dtype)[:50] + dtype(0.25)
    ours = VicinalTransformer(6, mode=mode, metric=metric).fit(X)
    theirs = KNeighborsTransformer(n_neighbors=6, mode=mode, metric=metric, algorithm="brute").fit(X)
    for data in (X, queries):
        found, expected = ours.transform(data), theirs.transform(data)
        assert found.shape == expected.shape and found.nnz == expected.nnz
        # What scikit-learn expands the square for is off by so much, also of a sample and itself.
        np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-4, atol=2e-3 if dtype == np.float32 else 2e-6)
        assert found.dtype == dtype
    np.testing.assert_array_equal(ours.kneighbors(return_distance=False)[:, 0], theirs.kneighbors(return_distance=False)[:, 0])
    assert list(ours.get_feature_names_out())[:2] == ["vicinaltransformer0", "vicinaltransformer1"]


@pytest.mark.parametrize("spec", ["flat", GRAPH, CODES])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_training_sample_is_first_in_its_row_at_zero(spec: str, metric: str) -> None:
    X = blobs(300, 8)
    X[40:80] = X[0]  # more copies than neighbours
    X[100] = 0
    graph = VicinalTransformer(5, metric=metric, spec=spec).fit_transform(X)
    assert np.all(np.diff(graph.indptr) == 6)
    np.testing.assert_array_equal(graph.indices.reshape(300, 6)[:, 0], np.arange(300))
    distances = graph.data.reshape(300, 6)
    assert np.all(distances[:, 0] == 0) and np.all(np.diff(distances, axis=1) >= 0)
    assert np.all(distances[40:80] == 0)
    # Those of others are true distances, not those of the codes.
    expected = KNeighborsTransformer(n_neighbors=299, metric=metric, algorithm="brute").fit_transform(X).toarray()
    np.testing.assert_allclose(graph.data, expected[np.repeat(np.arange(300), 6), graph.indices], rtol=1e-6, atol=2e-6)


def test_neighbours_of_the_training_samples_leave_each_itself_out() -> None:
    X = blobs(100)
    X[10:30] = X[0]
    transformer = VicinalTransformer(4).fit(X)
    distances, ids = transformer.kneighbors()
    assert ids.shape == distances.shape == (100, 4) and not np.any(ids == np.arange(100)[:, None])
    assert transformer.kneighbors_graph(mode="connectivity").diagonal().sum() == 0
    assert transformer.kneighbors(X[:3], 2, return_distance=False).shape == (3, 2)


def test_k_is_capped_at_the_samples() -> None:
    X = blobs(7)
    assert VicinalTransformer(50).fit_transform(X).nnz == 49
    assert VicinalTransformer(50, spec=GRAPH).fit(X).kneighbors()[1].shape == (7, 6)
    assert VicinalTransformer().fit_transform(X[:1]).toarray().tolist() == [[0.0]]
    with pytest.raises(vicinal.InvalidArgument, match="expected X or at least 2 samples"):
        VicinalTransformer().fit(X[:1]).kneighbors()


@pytest.mark.parametrize("spec, least", [(GRAPH, 0.98), (CODES, 0.95)])
def test_a_graph_finds_nearly_all(spec: str, least: float) -> None:
    X = blobs(2000, 24)
    expected = KNeighborsTransformer(n_neighbors=10, algorithm="kd_tree").fit_transform(X)
    assert share_found(VicinalTransformer(10, spec=spec).fit_transform(X), expected) > least


@pytest.mark.parametrize("low, high", [({"recall": 0.5}, {"recall": 0.97}), ({"effort": 11}, {"effort": 200})])
def test_recall_and_effort_decide_what_is_found(low: dict[str, Any], high: dict[str, Any]) -> None:
    X = blobs(2000, 24)
    expected = KNeighborsTransformer(n_neighbors=10, algorithm="kd_tree").fit_transform(X)
    poor, good = (
        share_found(VicinalTransformer(10, spec="i8 | hnsw(m=4, efc=16)", **wanted).fit_transform(X), expected)
        for wanted in (low, high)
    )
    assert poor + 0.03 < good and good > 0.93


@pytest.mark.parametrize("scale, offset", [(1.0, 1e7), (1e-30, 0.0), (1e40, 0.0)])
def test_float64_keeps_what_float32_would_lose(scale: float, offset: float) -> None:
    X = blobs() * scale + offset
    expected = KNeighborsTransformer(n_neighbors=5, algorithm="kd_tree").fit_transform(X)
    found = VicinalTransformer(5).fit_transform(X)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-9)
    cosine = VicinalTransformer(5, metric="cosine")
    scaled, plain = cosine.fit_transform(blobs() * scale), cosine.fit_transform(blobs())
    np.testing.assert_allclose(scaled.toarray(), plain.toarray(), atol=1e-12)


def test_rows_an_index_leaves_short_are_filled_exactly() -> None:
    X = blobs(60)
    transformer = VicinalTransformer(4).fit(X)
    expected = transformer.transform(X)

    class Short:
        """Stands for a graph that a search could not leave."""

        def search(self, queries: Any, k: int, **_: Any) -> Any:
            class Hits:
                ids = np.full((len(queries), k), -1, dtype=np.int64)

            return Hits

    transformer.index_ = Short()  # type: ignore[assignment]
    np.testing.assert_array_equal(transformer.transform(X).toarray(), expected.toarray())


def test_same_seed_same_graph_and_pickles() -> None:
    X = blobs(500)
    first = VicinalTransformer(spec=CODES).fit(X)
    second = clone(first).set_params(n_jobs=2).fit(X)
    expected = first.transform(X).toarray()
    np.testing.assert_array_equal(second.transform(X).toarray(), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).transform(X).toarray(), expected)
    assert first.index_.seed == 1
    assert VicinalTransformer(random_state=3).fit(X).index_.seed == VicinalTransformer(random_state=3).fit(X).index_.seed != 1


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_neighbors": 0}, "n_neighbors is 0, expected an integer of at least 1"),
        ({"n_neighbors": 2.5}, "n_neighbors is 2.5"),
        ({"mode": "weights"}, "mode is 'weights', expected one of distance, connectivity"),
        ({"metric": "ip"}, "metric is 'ip', expected one of euclidean"),
        ({"recall": 0.9, "effort": 50}, "recall is 0.9 and effort is 50"),
        ({"spec": "i8 | tree"}, "tree"),
    ],
)
def test_wrong_parameters(parameters: dict[str, Any], message: str) -> None:
    X = blobs(20)
    with pytest.raises(ValueError, match=message):
        VicinalTransformer(**parameters).fit(X)


def test_a_fit_that_fails_leaves_the_fitted_index() -> None:
    X = blobs(30)
    transformer = VicinalTransformer().fit(X)
    expected = transformer.transform(X).toarray()
    with pytest.raises(vicinal.SpecError):
        transformer.set_params(spec="nonsense").fit(X[:10])
    np.testing.assert_array_equal(transformer.transform(X).toarray(), expected)


# With what takes a graph


def test_isomap() -> None:
    X = load_digits().data[:500]
    X += np.random.default_rng(0).normal(0, 0.01, X.shape)  # whole numbers have neighbours at equal distances
    ours = make_pipeline(VicinalTransformer(10), Isomap(n_neighbors=10, metric="precomputed")).fit_transform(X)
    theirs = make_pipeline(KNeighborsTransformer(n_neighbors=10), Isomap(n_neighbors=10, metric="precomputed")).fit_transform(X)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("spec", ["flat", CODES])
def test_tsne(spec: str) -> None:
    X = load_digits().data[:300]
    tsne = TSNE(perplexity=10, metric="precomputed", init="random", max_iter=350, random_state=0)
    with threadpool_limits(1):  # its threads wait for each other without giving way, which takes minutes on a busy machine
        ours = make_pipeline(VicinalTransformer(31, metric="sqeuclidean", spec=spec), tsne).fit_transform(X)
        theirs = make_pipeline(KNeighborsTransformer(n_neighbors=31, metric="sqeuclidean"), clone(tsne)).fit_transform(X)
    assert trustworthiness(X, ours) > trustworthiness(X, theirs) - 0.02 > 0.9


def test_a_symmetric_graph_has_every_edge_both_ways() -> None:
    X = blobs(80)
    X[5] = X[6]
    graph = VicinalTransformer(4).fit_transform(X)
    both = symmetric_graph(graph)
    dense = graph.toarray()
    np.testing.assert_array_equal(both.toarray(), np.maximum(dense, dense.T))
    stored, one_way = set(zip(*both.tocoo().coords)), set(zip(*graph.tocoo().coords))
    assert stored == one_way | {(j, i) for i, j in one_way}  # zeros of the diagonal and of duplicates too
    with pytest.raises(vicinal.InvalidArgument, match="expected as many rows as columns"):
        symmetric_graph(graph[:10])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_umap(metric: str) -> None:
    umap = pytest.importorskip("umap")
    X = load_digits().data[:400]

    def embed(neighbours: Any) -> Any:
        reducer = umap.UMAP(n_neighbors=11, metric="precomputed", random_state=0, n_epochs=150)
        return make_pipeline(neighbours, FunctionTransformer(symmetric_graph, accept_sparse=True), reducer).fit_transform(X)

    ours = trustworthiness(X, embed(VicinalTransformer(10, metric=metric)), metric=metric)
    assert ours > 0.93
    if metric == "euclidean":  # the cosine distances of KNeighborsTransformer are not quite 0 on the diagonal, which UMAP refuses
        assert ours > trustworthiness(X, embed(KNeighborsTransformer(n_neighbors=10))) - 0.02


def test_classifier_in_a_grid_search() -> None:
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(VicinalTransformer(10), KNeighborsClassifier(metric="precomputed"))
    search = GridSearchCV(pipeline, {"kneighborsclassifier__n_neighbors": [1, 5]}, cv=3).fit(X[:600], y[:600])
    assert search.best_score_ > 0.9
