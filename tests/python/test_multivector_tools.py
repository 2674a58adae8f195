"""What works on documents of several vectors: matches of an index, pooling, carving; and Ctrl-C in all of it."""

from __future__ import annotations

import re
import signal
import time
from typing import Any, Callable

import numpy as np
import numpy.typing as npt
import pytest

import vicinal
from multivector_data import DIM, Floats, Items, make, parts
from vicinal.multivector import FdeEncoder, GoogleFde, carve_query, pool_document, pool_tokens


@pytest.fixture(scope="module")
def documents() -> Items:
    return make(150, 2, 20, 1)


@pytest.fixture(scope="module")
def queries() -> Items:
    return make(10, 4, 9, 2)


# Index.match

MUVERA = "muvera(reps=20, bits=3, dim=8) | i8 | hnsw(m=12, efc=80) | maxsim(i8)"


@pytest.mark.parametrize("metric", ["ip", "cosine"])
@pytest.mark.parametrize("spec", ["maxsim(f32)", "maxsim(i8)", "maxsim(i4)", MUVERA, "muvera(reps=5) | maxsim(f32)"])
def test_a_row_of_scores_adds_up_to_the_distance(documents: Items, queries: Items, spec: str, metric: str) -> None:
    ids = np.arange(150)[::-1] * 2 + 1
    scaled = (documents[0] * np.random.default_rng(5).uniform(0.5, 2, (len(documents[0]), 1)).astype(np.float32), documents[1])
    index = vicinal.build(scaled, spec, metric=metric, ids=ids, calibrate=False)
    hits = index.search(queries, k=7)
    for query, found, distances in zip(parts(queries), hits.ids, hits.distances):
        tokens, scores = index.match(query, found)
        assert tokens.shape == scores.shape == (7, len(query)) and tokens.dtype == np.uint32 and scores.dtype == np.float32
        expected = len(query) - distances if metric == "cosine" else -distances
        assert np.allclose(scores.sum(1), expected, atol=1e-4)


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_matches_are_the_argmax(documents: Items, queries: Items, metric: str) -> None:
    rows = documents[0] * np.linspace(0.5, 2, len(documents[0]), dtype=np.float32)[:, None]
    index = vicinal.build((rows, documents[1]), "maxsim(f32)", metric=metric)
    query = 3 * parts(queries)[0]
    tokens, scores = index.match(query, np.arange(150))
    for document, places, best in zip(parts((rows, documents[1])), tokens, scores):
        products = query.astype(np.float64) @ document.T.astype(np.float64)
        if metric == "cosine":
            products /= np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(document, axis=1)
        assert (places == products.argmax(1)).all() and np.allclose(best, products.max(1), atol=1e-5)


def test_a_long_match_is_that_of_its_parts(documents: Items, queries: Items) -> None:
    # Enough for the path that may be interrupted, and for several of its parts.
    index = vicinal.build(documents, "maxsim(i8)", metric="ip")
    ids = np.random.default_rng(0).integers(150, size=10_000)
    query = queries[0][:40]
    tokens, scores = index.match(query, ids)
    few_tokens, few_scores = index.match(query, np.arange(150))
    assert (tokens == few_tokens[ids]).all() and (scores == few_scores[ids]).all()


@pytest.mark.filterwarnings("ignore::vicinal.CopyWarning")
def test_what_a_match_takes(documents: Items, queries: Items) -> None:
    index = vicinal.build(documents, "maxsim(f16)", metric="ip")
    query = parts(queries)[0]
    tokens, scores = index.match(query, [3, 1])
    for given, ids in ((query.tolist(), (3, 1)), (np.asfortranarray(query), np.array([3, 1], np.uint8)), (np.repeat(query, 2, 0)[::2], [3, 1])):
        again = index.match(given, ids)
        assert (again[0] == tokens).all() and (again[1] == scores).all()
    assert index.match(query, [])[0].shape == (0, len(query))
    words = "a query has vectors of dimension 23, the documents 24"
    for bad, ids, error, message in (
        (query, [150], vicinal.InvalidArgument, "id 150 is not in the index"),
        (query, [-1], vicinal.InvalidArgument, "id -1 is not in the index"),
        (query, [0.5], vicinal.WrongType, "ids are float64, expected integers"),
        (query, [[1]], vicinal.InvalidArgument, "ids have shape (1, 1), expected one dimension"),
        (query[0], [1], vicinal.InvalidArgument, "query has shape (24,), expected shape (n, dim)"),
        (query[:, 1:], [1], vicinal.InvalidArgument, words),
        (query[:0], [1], vicinal.InvalidArgument, "a query has no vectors, expected at least 1"),
        (np.where(query == query[1, 4], np.nan, query), [1], vicinal.InvalidArgument, "query row 1 column 4 is nan"),
        (query.astype(np.float64), [1], vicinal.WrongType, "query is float64"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            index.match(bad, ids)
    with pytest.raises(vicinal.Unsupported, match="an index of single vectors has nothing to match"):
        vicinal.build(documents[0], "flat", metric="ip").match(query, [0])
    holes = vicinal.build((documents[0][:4], [0, 4, 4]), "maxsim", metric="ip", ids=[8, 9])
    with pytest.raises(vicinal.InvalidArgument, match="document 9 has no vectors to match"):
        holes.match(query, [8, 9])


# Pooling


def pooled_by_hand(tokens: Floats, assignment: npt.NDArray[np.uint32], renormalise: bool) -> npt.NDArray[np.float64]:
    rows = []
    for cluster in range(int(assignment.max()) + 1):
        members = tokens[assignment == cluster].astype(np.float64)
        mean = members.mean(0)
        rows.append(mean * np.linalg.norm(members, axis=1).mean() / np.linalg.norm(mean) if renormalise else mean)
    return np.array(rows)


@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize("method", ["ward", "kmeans"])
def test_rows_are_means_of_their_clusters(documents: Items, method: str, renormalise: bool) -> None:
    for tokens in parts(documents)[:20]:
        tokens = tokens * np.linspace(0.5, 2, len(tokens), dtype=np.float32)[:, None]
        rows, assignment = pool_document(tokens, method=method, factor=3, renormalise=renormalise, protect=1)
        assert len(rows) == 1 + -(-(len(tokens) - 1) // 3) and rows.dtype == np.float32 and assignment.dtype == np.uint32
        assert (rows[0] == tokens[0]).all() and assignment[0] == 0 and (assignment[1:] > 0).all()
        assert np.allclose(rows, pooled_by_hand(tokens, assignment, renormalise), atol=1e-5)
        firsts = [np.flatnonzero(assignment == row)[0] for row in range(len(rows))]
        assert firsts == sorted(firsts)


def test_groups_that_lie_apart_are_found() -> None:
    rng = np.random.default_rng(4)
    centres = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0][:5]
    groups = np.array([0, 1, 0, 2, 3, 3, 1, 4, 2, 4, 4, 0])
    tokens = (centres[groups] + 0.02 * rng.standard_normal((12, DIM))).astype(np.float32)
    for method in ("ward", "kmeans"):
        rows, assignment = pool_document(tokens, method=method, clusters=5)
        assert len(rows) == 5 and (assignment == groups).all()
        assert np.allclose(np.diag(rows @ centres.T.astype(np.float32)), 1, atol=0.1)


def test_a_batch_is_pooled_document_by_document(documents: Items) -> None:
    rows, offsets = pool_tokens(documents)
    assert rows.dtype == np.float32 and offsets.dtype == np.int64 and offsets[0] == 0 and offsets[-1] == len(rows)
    for tokens, pooled in zip(parts(documents), parts((rows, offsets))):
        assert (pooled == pool_document(tokens)[0]).all() and len(pooled) == -(-len(tokens) // 2)
    for threads in (1, 2):
        again = pool_tokens(documents, threads=threads)
        assert (again[0] == rows).all() and (again[1] == offsets).all()
    seeds = [pool_tokens(documents, method="kmeans", seed=seed, factor=4)[0] for seed in (1, 1, 2)]
    assert (seeds[0] == seeds[1]).all() and (seeds[0] != seeds[2]).any()
    same = pool_tokens(documents, factor=1)
    assert (same[0] == documents[0]).all() and (same[1] == documents[1]).all()
    vicinal.build((rows, offsets), "maxsim(i8)", metric="ip")
    with_holes = pool_tokens((documents[0][:4], [0, 0, 4, 4]))
    assert with_holes[1].tolist() == [0, 0, 2, 2] and with_holes[0].shape == (2, DIM)
    assert pool_tokens((documents[0][:0], [0]))[0].shape == (0, DIM)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "average"}, vicinal.InvalidArgument, 'method is "average", expected one of ward, kmeans'),
        ({"factor": 0.5}, vicinal.InvalidArgument, "the pooling factor is 0.5, expected a finite number of at least 1"),
        ({"factor": float("nan")}, vicinal.InvalidArgument, "the pooling factor is nan"),
        ({"clusters": -1}, vicinal.InvalidArgument, "clusters is -1, expected at least 0"),
        ({"protect": 1.5}, TypeError, "protect is float, expected int"),
        ({"seed": 2**64}, vicinal.InvalidArgument, "seed is 18446744073709551616, expected at most"),
    ],
)
def test_bad_pooling_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    tokens = np.ones((4, 3), np.float32)
    for call in (lambda: pool_document(tokens, **options), lambda: pool_tokens((tokens, [0, 4]), **options)):
        with pytest.raises(error, match=re.escape(message)):
            call()


def test_bad_documents_are_named() -> None:
    tokens = np.ones((4, 3), np.float32)
    tokens[3, 1] = np.nan
    for given, message in (
        (tokens, "documents have no offsets, expected (rows, offsets); of one document: pool_document"),
        ((tokens, [0, 2, 4]), "document 1 row 1 column 1 is nan"),
        ((tokens, [0, 2]), "documents offsets end at row 2, there are 4 rows"),
    ):
        with pytest.raises(vicinal.InvalidArgument, match=re.escape(message)):
            pool_tokens(given)
    with pytest.raises(vicinal.InvalidArgument, match="tokens row 3 column 1 is nan"):
        pool_document(tokens)


# Carving


def carved_by_hand(tokens: Floats, tau: float) -> tuple[npt.NDArray[np.float64], list[int]]:
    left, balls = list(range(len(tokens))), []
    while left:
        near = [i for i in left if i == left[0] or tokens[left[0]] @ tokens[i] >= tau]
        balls.append(near)
        left = [i for i in left if i not in near]
    balls.sort(key=len, reverse=True)
    return np.array([tokens[ball].astype(np.float64).sum(0) for ball in balls]), [len(ball) for ball in balls]


@pytest.mark.parametrize("tau", [-0.2, 0.3, 0.7, 0.9])
def test_carving_is_that_by_hand(documents: Items, tau: float) -> None:
    merged = 0
    for tokens in parts(documents)[:40]:
        rows, sizes = carve_query(tokens, tau)
        expected, counts = carved_by_hand(tokens, tau)
        assert sizes.tolist() == counts and np.allclose(rows, expected, atol=1e-5)
        assert rows.dtype == np.float32 and sizes.dtype == np.uint32
        merged += len(tokens) - len(rows)
    assert merged > 0


def test_ends_of_carving(documents: Items) -> None:
    tokens = documents[0][:9]
    rows, sizes = carve_query(tokens, tau=2)
    assert (rows == tokens).all() and (sizes == 1).all()
    assert carve_query(tokens, -1)[1].tolist() == [9]
    assert (carve_query(tokens)[0] == carve_query(tokens, 0.7)[0]).all()
    assert carve_query(tokens[:0])[0].shape == (0, DIM)
    hole = tokens.copy()
    hole[3, 2] = np.nan
    for given, tau, message in (
        (hole, 0.7, "query row 3 column 2 is nan"), (tokens, np.nan, "tau is nan, expected a finite number"), (tokens[0], 0.7, "tokens has shape (24,)"),
    ):
        with pytest.raises(vicinal.InvalidArgument, match=re.escape(message)):
            carve_query(given, tau)


# Interruption

# Each takes half a minute when nothing ends it.
LONG: dict[str, Callable[[Items], Any]] = {
    "fde": lambda many: FdeEncoder(DIM, reps=6000, projection="identity", final_dim=8, centre=False).encode_documents(many),
    "fde of queries": lambda many: FdeEncoder(DIM, reps=6000, projection="identity", final_dim=8, centre=False).encode_queries(many),
    "google": lambda many: GoogleFde(DIM, num_repetitions=3000, num_simhash_projections=3, final_projection_dimension=8).encode_queries(many),
    "pooling": lambda many: pool_tokens((np.tile(many[0], (2, 1)), np.arange(0, 400_001, 4000)), threads=1),
    "matching": lambda many: vicinal.build((many[0], [0, 100_000, 200_000]), "maxsim(f32)", metric="ip").match(many[0][:32], np.zeros(40_000, int)),
}


@pytest.mark.parametrize("name", list(LONG))
def test_control_c_ends_it(name: str) -> None:
    rows = np.random.default_rng(0).standard_normal((200_000, DIM), dtype=np.float32)
    many = rows, np.arange(0, 200_001, 20)

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            LONG[name](many)
        assert time.monotonic() - start < 10
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
