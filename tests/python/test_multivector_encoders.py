"""Encoders of one vector for many: by hand, alone and in a batch, by their options, and what they refuse."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any, Callable

import numpy as np
import numpy.typing as npt
import pytest

import vicinal
from multivector_data import DIM, Floats, Items, make, parts
from vicinal.multivector import FdeEncoder, GoogleFde, TokenHead

ENCODERS: dict[str, Callable[[Items], Any]] = {
    "fde": lambda documents: FdeEncoder(DIM, reps=60, documents=documents),
    "identity": lambda documents: FdeEncoder(DIM, reps=30, projection="identity", centre=False, final_dim=3000),
    "paper": lambda documents: FdeEncoder.paper(DIM, reps=40, bits=3, projection_dim=12),
    "google": lambda documents: GoogleFde(DIM, num_repetitions=40, num_simhash_projections=3, fill_empty_partitions=True, seed=7),
    "head": lambda documents: TokenHead(documents, out_dim=96, samples=1000),
}


@pytest.fixture(scope="module")
def documents() -> Items:
    return make(150, 2, 20, 1)


@pytest.fixture(scope="module")
def queries() -> Items:
    return make(10, 4, 9, 2)


@pytest.fixture(params=list(ENCODERS))
def encoder(request: pytest.FixtureRequest, documents: Items) -> Any:
    return ENCODERS[request.param](documents)


def test_inner_products_estimate_maxsim(encoder: Any, documents: Items, queries: Items) -> None:
    truth = np.array([[(q @ d.T).max(1).sum() for d in parts(documents)] for q in parts(queries)])
    estimates = encoder.encode_queries(queries) @ encoder.encode_documents(documents).T
    for exact, estimate in zip(truth, estimates):
        assert np.corrcoef(exact, estimate)[0, 1] > 0.7


def test_a_batch_is_its_items_and_threads_change_nothing(encoder: Any, documents: Items, queries: Items) -> None:
    for many, one, items in ((encoder.encode_queries, encoder.encode_query, queries), (encoder.encode_documents, encoder.encode_document, documents)):
        encoded = many(items)
        assert encoded.shape == (len(items[1]) - 1, encoder.out_dim) and encoded.dtype == np.float32
        assert (encoded == np.stack([one(part) for part in parts(items)])).all()
        assert (encoded == many(items, threads=1)).all() and (encoded == many(items, threads=2)).all()
        assert (encoded == many((items[0], items[1].tolist()))).all()
    # A document and a query are not the same, and vectors without offsets are queries of one each.
    assert (encoder.encode_document(documents[0][:9]) != encoder.encode_query(documents[0][:9])).any()
    assert (encoder.encode_queries(queries[0][:3]) == np.stack([encoder.encode_query(row[None]) for row in queries[0][:3]])).all()


def test_no_tokens_are_zeros(encoder: Any) -> None:
    assert not encoder.encode_query(np.zeros((0, DIM), np.float32)).any()
    encoded = encoder.encode_documents((np.ones((2, DIM), np.float32), [0, 0, 2]))
    assert not encoded[0].any() and encoded[1].any()
    assert encoder.encode_documents((np.zeros((0, DIM), np.float32), [0])).shape == (0, encoder.out_dim)


@pytest.mark.filterwarnings("ignore::vicinal.CopyWarning")
def test_other_forms_of_the_same_vectors(encoder: Any, queries: Items) -> None:
    tokens = np.round(queries[0][:6] * 8)
    expected = encoder.encode_query(tokens)
    for given in (tokens.astype(np.float16), tokens.astype(np.int8), tokens.tolist(), np.asfortranarray(tokens), np.repeat(tokens, 2, 0)[::2]):
        assert (encoder.encode_query(given) == expected).all()


def test_an_encoder_is_its_options(encoder: Any, documents: Items) -> None:
    if isinstance(encoder, TokenHead):
        pytest.skip("a head is what it learnt, too")
    keywords = encoder.options if isinstance(encoder, GoogleFde) else {**encoder.options, "mean": encoder.mean}
    for again in (type(encoder)(**keywords), pickle.loads(pickle.dumps(encoder)), copy.copy(encoder), copy.deepcopy(encoder)):
        assert again.fingerprint == encoder.fingerprint and again.options == encoder.options
        assert (again.encode_document(documents[0][:9]) == encoder.encode_document(documents[0][:9])).all()
    other = type(encoder)(**{**keywords, "seed": 8})
    assert other.fingerprint != encoder.fingerprint and other.options["seed"] == 8
    assert (other.encode_document(documents[0][:9]) != encoder.encode_document(documents[0][:9])).any()


def test_every_option_matters(documents: Items) -> None:
    usual = FdeEncoder(DIM, documents=documents)
    assert usual.out_dim == 40 * 8 * 8 and usual.dim == DIM
    assert np.allclose(usual.mean, documents[0].mean(0), atol=1e-6)
    seen = {usual.fingerprint}
    for change in (
        {"reps": 41}, {"bits": 2}, {"projection_dim": 4}, {"projection": "dense"}, {"projection": "identity"}, {"per_bucket": False},
        {"bucket": "mean"}, {"empty": "nearest"}, {"partition": "planes"}, {"centre": False}, {"final_dim": 100}, {"scale_tokens": True}, {"seed": 2},
    ):
        given = {"documents": documents, **change}
        other = FdeEncoder(DIM, **given)  # type: ignore[arg-type]
        assert {name: other.options[name] for name in change} == change
        seen.add(other.fingerprint)
    assert len(seen) == 14
    assert FdeEncoder(DIM, centre=False).mean is None
    assert FdeEncoder(DIM, mean=documents[0].mean(0)).fingerprint != usual.fingerprint  # in another order of sums
    assert FdeEncoder(DIM, mean=usual.mean).fingerprint == usual.fingerprint
    paper = FdeEncoder.paper(DIM)
    theirs = dict(reps=20, bits=5, projection_dim=16, projection="dense", per_bucket=False, bucket="mean", empty="nearest", partition="planes", centre=False)
    assert paper.options == {"dim": DIM, **theirs, "final_dim": 0, "scale_tokens": False, "seed": 1}
    assert repr(paper) == "<vicinal.multivector.FdeEncoder 24 to 10,240, reps=20, bits=5, projection=dense, seed=1>"


def test_every_option_of_a_head_matters(documents: Items, queries: Items) -> None:
    usual = TokenHead(documents, out_dim=64)
    assert usual.options == {"out_dim": 64, "samples": 8192, "ridge": 0.01, "scale_tokens": False, "seed": 1}
    assert usual.dim == DIM and usual.out_dim == 64 and 0 < usual.health < 1
    assert repr(usual) == f"<vicinal.multivector.TokenHead 24 to 64, health {usual.health:.2f}>"
    changes: list[dict[str, Any]] = [{"out_dim": 65}, {"samples": 500}, {"ridge": 0.1}, {"scale_tokens": True}, {"seed": 2}, {"queries": queries}]
    seen = {usual.fingerprint} | {TokenHead(documents, **{"out_dim": 64, **change}).fingerprint for change in changes}
    assert len(seen) == 7
    assert TokenHead(documents, out_dim=64, threads=1).fingerprint == usual.fingerprint == copy.deepcopy(usual).fingerprint
    with pytest.raises(TypeError):
        pickle.dumps(usual)


def test_one_bucket_is_known() -> None:
    """Without planes and projection an encoding is the sum of a query's vectors, and the mean or direction of a document's."""
    tokens = np.random.default_rng(3).standard_normal((7, DIM)).astype(np.float32)
    total = tokens.sum(0, dtype=np.float64)
    mean = FdeEncoder(DIM, reps=1, bits=0, projection="identity", bucket="mean", centre=False)
    unit = FdeEncoder(DIM, reps=1, bits=0, projection="identity", centre=False)
    google = GoogleFde(DIM)
    for each, expected in ((mean, total / 7), (google, total / 7), (unit, total / np.linalg.norm(total))):
        query, document = each.encode_query(tokens), each.encode_document(tokens)
        if each is not google:  # of rotated vectors: what an inner product sees
            assert np.allclose(query @ document, total @ expected, rtol=1e-4)
        else:
            assert np.allclose(query, total, atol=1e-5) and np.allclose(document, expected, atol=1e-5)


def libstdcxx_normals(seed: int, count: int) -> Floats:
    """What std::normal_distribution<float> makes of std::mt19937(seed) in libstdc++: Marsaglia's polar method."""
    source = np.random.MT19937()
    source._legacy_seeding(seed)  # type: ignore[attr-defined]
    one, two, values = np.float32(1), np.float32(2), []
    while len(values) < count:
        x, y = (two * (np.float32(source.random_raw()) / np.float32(2**32)) - one for _ in range(2))
        square = x * x + y * y
        if 0 < square <= 1:
            factor = np.sqrt(-two * np.log(square) / square)
            values += [y * factor, x * factor]
    return np.array(values[:count], np.float32)


def google_by_hand(tokens: Floats, reps: int, bits: int, seed: int, document: bool) -> npt.NDArray[np.float64]:
    """google/graph-mining's encoder, empty partitions filled, nothing projected."""
    blocks = np.zeros((reps, 2**bits, tokens.shape[1]))
    for rep in range(reps):
        planes = libstdcxx_normals(seed + rep, bits * tokens.shape[1]).reshape(bits, -1)
        sides = tokens @ planes.T > 0
        buckets = np.zeros(len(tokens), int)
        for side in sides.T:
            buckets = 2 * buckets + (side ^ (buckets & 1))
        for bucket in range(2**bits):
            members = tokens[buckets == bucket].astype(np.float64)
            if len(members):
                blocks[rep, bucket] = members.mean(0) if document else members.sum(0)
            elif document:
                code = [bool((bucket ^ bucket >> 1) >> (bits - 1 - bit) & 1) for bit in range(bits)]
                blocks[rep, bucket] = tokens[(sides != code).sum(1).argmin()]
    return blocks.ravel()


def test_google_is_theirs(documents: Items) -> None:
    encoder = GoogleFde(DIM, num_repetitions=5, num_simhash_projections=4, seed=42, fill_empty_partitions=True)
    for tokens in parts(documents)[:20]:
        assert np.allclose(encoder.encode_query(tokens), google_by_hand(tokens, 5, 4, 42, False), atol=1e-5)
        assert np.allclose(encoder.encode_document(tokens), google_by_hand(tokens, 5, 4, 42, True), atol=1e-5)


def test_google_keywords() -> None:
    encoder = GoogleFde(DIM, num_repetitions=2, num_simhash_projections=2, seed=-1, projection_type="AMS_SKETCH", projection_dimension=5)
    assert encoder.out_dim == 2 * 4 * 5 and encoder.options["seed"] == 2**32 - 1
    assert encoder.options == GoogleFde(**encoder.options).options
    assert repr(encoder) == "<vicinal.multivector.GoogleFde 24 to 40, 2 repetitions of 2^2 buckets, seed=4294967295>"
    assert GoogleFde(DIM, final_projection_dimension=9).out_dim == 9


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FdeEncoder(DIM), vicinal.InvalidArgument, "expected documents, or a mean, or centre=False"),
        (lambda: FdeEncoder(DIM, documents=np.ones((2, 3), np.float32)), vicinal.InvalidArgument, "documents have dimension 3, the encoder 24"),
        (lambda: FdeEncoder(2, documents=(np.ones((2, 2), np.float32), [0, 3])), vicinal.InvalidArgument, "documents offsets end at row 3"),
        (lambda: FdeEncoder(2, documents=np.array([[1, np.nan]], np.float32)), vicinal.InvalidArgument, "documents row 0 column 1 is nan"),
        (lambda: FdeEncoder(8, documents=np.ones((0, 8), np.float32)), vicinal.InvalidArgument, "there are no tokens whose mean"),
        (lambda: FdeEncoder(2, documents=np.ones((1, 2), np.float32), mean=[1, 2]), vicinal.InvalidArgument, "both documents and a mean"),
        (lambda: FdeEncoder(2, mean=[1.0]), vicinal.InvalidArgument, "the mean token has 1 values, expected 2"),
        (lambda: FdeEncoder(2, mean=[[1.0, 2], [1, 2]]), vicinal.InvalidArgument, "mean has 2 rows, expected one of 2 values"),
        (lambda: FdeEncoder(2, mean=[1.0, np.inf]), vicinal.InvalidArgument, "mean row 0 column 1 is inf"),
        (lambda: FdeEncoder(2, mean=[1.0, 2], centre=False), vicinal.InvalidArgument, "the mean token has 2 values, expected 0"),
        (lambda: FdeEncoder(0, centre=False), vicinal.InvalidArgument, "tokens have dimension 0, expected 1 to 65536"),
        (lambda: FdeEncoder(DIM, reps=0, centre=False), vicinal.InvalidArgument, "an encoding has 0 repetitions"),
        (lambda: FdeEncoder(DIM, reps=-1, centre=False), vicinal.InvalidArgument, "reps is -1, expected at least 0"),
        (lambda: FdeEncoder(DIM, bits=17, centre=False), vicinal.InvalidArgument, "2^17 buckets a repetition, expected at most 2^16"),
        (lambda: FdeEncoder(DIM, projection_dim=25, centre=False), vicinal.InvalidArgument, "25 values, expected 1 to the tokens' 24"),
        (lambda: FdeEncoder(DIM, projection="gauss"), vicinal.InvalidArgument, 'projection is "gauss", expected one of sketch, dense, identity'),
        (lambda: FdeEncoder(DIM, bucket="sum"), vicinal.InvalidArgument, 'bucket is "sum", expected one of unit, mean'),
        (lambda: FdeEncoder(DIM, empty="one"), vicinal.InvalidArgument, 'empty is "one", expected one of zero, nearest'),
        (lambda: FdeEncoder(DIM, partition="corners"), vicinal.InvalidArgument, 'partition is "corners", expected one of planes, cross'),
        (lambda: FdeEncoder(DIM, bits=6, partition="cross", centre=False), vicinal.InvalidArgument, "64 buckets of a cross-polytope need tokens of dimension 32"),
        (lambda: FdeEncoder("8"), TypeError, "dim is str, expected int"),  # type: ignore[arg-type]
        (lambda: FdeEncoder(DIM, seed=1.5), TypeError, "seed is float, expected int"),  # type: ignore[arg-type]
        (lambda: FdeEncoder.paper(DIM, projection_dim=99), vicinal.InvalidArgument, "99 values, expected 1 to the tokens' 24"),
        (lambda: TokenHead(np.ones((9, 4), np.float32)), vicinal.InvalidArgument, "documents have no offsets"),
        (lambda: TokenHead((np.ones((9, 4), np.float32), [0, 9]), out_dim=8), vicinal.InvalidArgument, "8 values, expected 16 to 16384"),
        (lambda: TokenHead((np.ones((9, 4), np.float32), [0, 9]), queries=(np.ones((2, 5), np.float32), [0, 2])), vicinal.InvalidArgument, "dimension 5"),
        (lambda: TokenHead((np.zeros((9, 4), np.float32), [0, 9])), vicinal.InvalidArgument, "zero"),
        (lambda: TokenHead((np.full((2, 4), np.nan, np.float32), [0, 2])), vicinal.InvalidArgument, "item 0 vector 0 (row 0) column 0 is nan"),
        (lambda: GoogleFde(0), vicinal.InvalidArgument, "dim is 0, expected 1 to 2147483647"),
        (lambda: GoogleFde(DIM, num_simhash_projections=31), vicinal.InvalidArgument, "simhash_bits is 31, expected 0 to 30"),
        (lambda: GoogleFde(DIM, projection_type="SPARSE"), vicinal.InvalidArgument, "expected one of DEFAULT_IDENTITY, AMS_SKETCH"),
        (lambda: GoogleFde(DIM, seed=-(2**31) - 1), vicinal.InvalidArgument, "seed is -2147483649, expected at least 0"),
        (lambda: GoogleFde(DIM, seed=2**32), vicinal.InvalidArgument, "seed is 4294967296, expected at most 4294967295"),
    ],
)
def test_bad_options_are_named(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_bad_tokens_are_named(encoder: Any, documents: Items) -> None:
    rows = np.ones((4, DIM), np.float32)
    hole = rows.copy()
    hole[2, 5] = np.inf
    for call, message in (
        (lambda: encoder.encode_documents(rows), "documents have no offsets, expected (rows, offsets); of one document: encode_document"),
        (lambda: encoder.encode_documents((rows, [0, 5])), "documents offsets end at row 5, there are 4 rows"),
        (lambda: encoder.encode_queries((rows, [0, 3, 2, 4])), "queries offsets must ascend"),
        (lambda: encoder.encode_queries((rows[:, 1:], [0, 4])), "queries have dimension 23, the encoder 24"),
        (lambda: encoder.encode_query(rows[:, 1:]), "tokens have dimension 23, the encoder 24"),
        (lambda: encoder.encode_query(rows[0]), "tokens has shape (24,), expected shape (n, dim)"),
        (lambda: encoder.encode_document(hole), "tokens row 2 column 5 is inf"),
        (lambda: encoder.encode_queries((hole, [0, 1, 4])), "queries item 1 vector 1 (row 2) column 5 is inf"),
        (lambda: encoder.encode_queries((rows, [0, 4]), threads=0), "threads is 0, expected at least 1"),
    ):
        with pytest.raises(vicinal.InvalidArgument, match=re.escape(message)):
            call()
    with pytest.raises(vicinal.WrongType, match="tokens is float64"):
        encoder.encode_query(rows.astype(np.float64))
