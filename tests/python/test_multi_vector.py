"""Documents of several vectors: (rows, offsets)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vicinal
from vicinal.multivector import FdeEncoder, TokenHead

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Items = tuple[Floats, Ints]


def make(count: int, least: int, most: int, seed: int) -> Items:
    rng = np.random.default_rng(seed)
    topics = np.random.default_rng(99).standard_normal((30, 24))
    lengths = rng.integers(least, most + 1, size=count)
    rows = topics[rng.integers(30, size=lengths.sum())] + 0.6 * rng.standard_normal((lengths.sum(), 24))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), np.concatenate([[0], np.cumsum(lengths)])


def maxsim(documents: Items, queries: Items) -> npt.NDArray[np.float64]:
    def parts(items: Items) -> list[Any]:
        return np.split(items[0].astype(np.float64), items[1][1:-1])

    return np.array([[(q @ d.T).max(1).sum() for d in parts(documents)] for q in parts(queries)])


@pytest.fixture(scope="module")
def documents() -> Items:
    return make(300, 1, 20, 1)


@pytest.fixture(scope="module")
def queries() -> Items:
    return make(12, 4, 9, 2)


def test_a_scan_is_exact(documents: Items, queries: Items) -> None:
    index = vicinal.build(documents, "maxsim(f32)", metric="ip")
    assert len(index) == 300 and index.dim == 24 and index.spec == "maxsim(f32)"
    hits = index.search(queries, k=8)
    scores = maxsim(documents, queries)
    assert (hits.ids == np.argsort(-scores, axis=1)[:, :8]).all()
    assert np.allclose(hits.distances, np.sort(-scores, axis=1)[:, :8], atol=1e-4)


def test_muvera_and_a_recall(documents: Items, queries: Items) -> None:
    spec = "muvera(reps=20, bits=3, dim=8) | i8 | hnsw(m=12, efc=80) | maxsim(f32)"
    index = vicinal.build(documents, spec, metric="ip", calibration_queries=make(40, 4, 9, 3))
    truth = vicinal.build(documents, "maxsim(f32)", metric="ip").search(queries, k=10)
    assert index.calibration is not None
    hits = index.search(queries, k=10, recall=0.9)
    assert vicinal.recall(hits.ids, truth.ids) > 0.8
    assert 0 < hits.stats["reranked"] < 12 * 300
    everything = index.search(queries, k=10, effort=300)
    assert (everything.ids == truth.ids).all()


def test_files_ids_and_filters(documents: Items, queries: Items, tmp_path: Path) -> None:
    ids = np.arange(300)[::-1] * 3 + 5
    index = vicinal.build(documents, "muvera(reps=10, bits=2, dim=8) | i8 | flat | maxsim(i8)", metric="cosine", ids=ids)
    index.save(tmp_path / "a.vcn")
    opened = vicinal.open(tmp_path / "a.vcn", mmap=True)
    allowed = ids[::4]
    for each in (index, opened):
        hits = each.search(queries, k=5, filter=allowed)
        assert np.isin(hits.ids, allowed).all()
        assert (hits.ids == index.search(queries, k=5, filter=lambda i: i in set(allowed.tolist())).ids).all()
    assert "muvera" in vicinal.explain(index.spec, 24)


def test_offsets_of_any_integers(documents: Items, queries: Items) -> None:
    rows, offsets = documents
    hits = vicinal.build(documents, "maxsim", metric="ip").search(queries, k=3)
    for given in (offsets.astype(np.uint64), offsets.astype(np.int32), offsets.tolist(), tuple(offsets.tolist())):
        index = vicinal.build((rows, given), "maxsim", metric="ip")
        assert (index.search((queries[0], queries[1].astype(np.uint32)), k=3).ids == hits.ids).all()
    # A query of one vector needs no offsets.
    index = vicinal.build(documents, "maxsim", metric="ip")
    assert (index.search(rows[0], k=3).ids == index.search((rows[:1], [0, 1]), k=3).ids[0]).all()


@pytest.mark.parametrize(
    ("metric", "spec"),
    [
        ("ip", "muvera(reps=20, bits=3, dim=8) | i8 | hnsw(m=12, efc=80) | maxsim(f32)"),
        ("cosine", "pool(2x) | muvera(reps=20, bits=3, dim=8) | f16 | flat | maxsim(i8)"),
        ("ip", "head(dim=64, samples=1000) | i8 | flat | maxsim(i8)"),
    ],
)
def test_encodings_made_elsewhere(metric: str, spec: str, documents: Items, queries: Items, tmp_path: Path) -> None:
    ids = np.arange(300) * 2 + 1
    index = vicinal.build(documents, spec, metric=metric, ids=ids, calibration_queries=make(40, 4, 9, 3))
    index.save(tmp_path / "a.vcn")
    encoder = vicinal.open(tmp_path / "a.vcn").encoder
    assert encoder is not None and index.encoder is not None and encoder.fingerprint == index.encoder.fingerprint
    assert isinstance(encoder, TokenHead if spec.startswith("head") else FdeEncoder)
    made = {"encodings": encoder.encode_queries(queries), "fingerprint": encoder.fingerprint}
    for options in ({}, {"effort": 40}, {"recall": 0.8}, {"filter": ids[::3]}):
        plain, given = index.search(queries, k=7, **options), index.search(queries, k=7, **options, **made)
        assert (plain.ids == given.ids).all() and (plain.distances == given.distances).all()
        assert "encode" in plain.stage_seconds and "encode" not in given.stage_seconds
    # Candidates are those of the encodings, and scores those of the queries.
    turned = index.search(queries, k=7, effort=7, **{**made, "encodings": np.ascontiguousarray(made["encodings"][::-1])})
    assert (turned.ids != index.search(queries, k=7, effort=7).ids).any()
    for wrong, words in (
        ({"encodings": made["encodings"]}, "encodings are given without the fingerprint of their encoder"),
        ({"fingerprint": encoder.fingerprint}, "a fingerprint is given without encodings"),
        ({**made, "fingerprint": encoder.fingerprint ^ 1}, "expected the same encoder"),
        ({**made, "encodings": made["encodings"][:5]}, "5 encodings of 12 queries, expected as many"),
        ({**made, "encodings": made["encodings"][:0]}, "0 encodings of 12 queries, expected as many"),
        ({**made, "encodings": made["encodings"][:, 1:]}, f"encodings have {encoder.out_dim - 1} columns"),
        ({**made, "encodings": np.full_like(made["encodings"], np.nan)}, "encodings row 0 column 0 is nan"),
    ):
        with pytest.raises(vicinal.InvalidArgument, match=words):
            index.search(queries, **wrong)


def test_no_encoder_no_encodings(documents: Items, queries: Items) -> None:
    for index, words in (
        (vicinal.build(documents, "maxsim", metric="ip"), "this index has none to compare them with"),
        (vicinal.build(documents[0], "flat", metric="ip"), "the index is of single vectors"),
    ):
        assert index.encoder is None
        asked = queries if "none" in words else queries[0][:12]
        with pytest.raises(vicinal.InvalidArgument, match=words):
            index.search(asked, encodings=np.ones((12, 8), np.float32), fingerprint=1)


def test_two_rows_in_a_tuple_are_rows() -> None:
    index = vicinal.build(([1.0, 0.0], [0.0, 1.0]), "flat", metric="ip")
    assert len(index) == 2
    assert index.search(([1.0, 0.0], [0.0, 1.0]), k=1).ids.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("rows", "offsets", "error", "words"),
    [
        (np.zeros((4, 3), np.float32), [0, 3, 2, 4], vicinal.InvalidArgument, "base offsets must ascend: offset 2 is 2 after 3"),
        (np.zeros((4, 3), np.float32), [0, 2, 5], vicinal.InvalidArgument, "base offsets end at row 5, there are 4 rows"),
        (np.zeros((4, 3), np.float32), [1, 4], vicinal.InvalidArgument, "base offsets begin with 1, expected 0"),
        (np.zeros((4, 3), np.float32), [0, -1, 4], vicinal.InvalidArgument, "base offsets hold -1, expected 0 or more"),
        (np.zeros((4, 3), np.float32), [], vicinal.InvalidArgument, "base offsets are empty, expected n \\+ 1 for n items"),
        (np.zeros((4, 3), np.float32), [0.0, 4.0], vicinal.WrongType, "base offsets are float64 of shape"),
        (np.full((4, 3), np.nan, np.float32), [0, 4], vicinal.InvalidArgument, "base item 0 vector 0 \\(row 0\\) column 0 is nan"),
    ],
)
def test_bad_offsets_are_named(rows: Floats, offsets: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        vicinal.build((rows, offsets), "maxsim", metric="ip")


def test_what_does_not_go_together(documents: Items, queries: Items) -> None:
    with pytest.raises(vicinal.InvalidArgument, match="base has no offsets, expected some"):
        vicinal.build(documents[0], "maxsim", metric="ip")
    with pytest.raises(vicinal.InvalidArgument, match="has no maxsim stage"):
        vicinal.build(documents, "i8 | hnsw", metric="ip")
    with pytest.raises(vicinal.InvalidArgument, match="the metric is l2"):
        vicinal.build(documents, "maxsim", metric="l2")
    with pytest.raises(vicinal.InvalidArgument, match="takes one vector a query"):
        vicinal.build(documents[0], "flat", metric="ip").search(queries)
    with pytest.raises(vicinal.InvalidArgument, match="query 1 has no vectors"):
        vicinal.build(documents, "maxsim", metric="ip").search((queries[0][:3], [0, 1, 1, 3]))
