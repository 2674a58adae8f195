"""Arbitrary input: only documented exceptions come out, and what comes out is in order."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any, Callable

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import vicinal

DOCUMENTED = (
    vicinal.InvalidArgument, vicinal.Unsupported, vicinal.IoError, vicinal.CorruptFile, vicinal.WrongType, MemoryError,
    TypeError,  # arguments that no signature has
)
profile = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
pytestmark = [
    pytest.mark.filterwarnings("ignore::vicinal.CopyWarning"),
    pytest.mark.filterwarnings("ignore:.*encountered in cast:RuntimeWarning"),
]

DTYPES = st.sampled_from(
    ["<f4", ">f4", "<f2", ">f2", "f8", "i1", "u1", "i4", "u8", "c8", "?", "S3", "U2", "O", "M8[s]", "m8[s]", "f4,f4"]
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(
    np.dtype(dtype), SHAPES, elements=st.just(0) if np.dtype(dtype) == object else None,
) if dtype != "f4,f4" else st.just(np.zeros((3, 4), dtype)))
FLOATS = hnp.arrays(np.float32, st.tuples(st.integers(0, 7), st.integers(0, 5)), elements=st.floats(width=32))
SMALL = hnp.arrays(np.float32, st.tuples(st.integers(1, 7), st.just(4)), elements=st.integers(-5, 5).map(float))


def _views(array: Any) -> st.SearchStrategy[Any]:
    forms: list[Callable[[Any], Any]] = [lambda a: a, lambda a: a.T, np.asfortranarray]
    if array.ndim:
        forms += [lambda a: a[::-1], lambda a: a[..., ::-1], lambda a: a[::2], lambda a: np.repeat(a, 2, axis=0)[::2]]
        if len(array):
            forms.append(lambda a: np.broadcast_to(a[:1], a.shape))
    return st.sampled_from(forms).map(lambda form: form(array))


NUMBERS = st.one_of(
    st.integers(-3, 12), st.floats(), st.none(), st.text(max_size=3), st.booleans(),
    st.sampled_from([2**31, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**70), 10**9]),
    st.sampled_from([np.int8(3), np.uint64(2**64 - 1), np.float32(2), np.array(3), np.array([1, 2])]),
)
JUNK = st.one_of(
    ARRAYS.flatmap(_views), (FLOATS | SMALL).flatmap(_views), NUMBERS,
    st.lists(st.integers() | st.floats() | st.text(max_size=2), max_size=4),
    st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=4),
    st.binary(max_size=20), st.dictionaries(st.text(), st.integers()),
    st.just(object()), st.just(int), st.sets(st.integers()),
)
SPECS = st.sampled_from(["flat", "hnsw", "i8 | hnsw(m=4, efc=8) | rerank(f16)", "bf16 | flat"]) | st.text(
    alphabet="hnswflatrerankf16i8bf32()=,.|x m", max_size=25
) | st.text(max_size=5)
METRICS = st.sampled_from(["l2", "ip", "cosine"]) | st.text(max_size=3)


def documented(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except DOCUMENTED as error:
        assert not isinstance(error, RuntimeError) and str(error), repr(error)
        return None


@pytest.fixture(scope="module")
def searched() -> Any:
    rows = np.random.default_rng(0).integers(-5, 5, (30, 4)).astype(np.float32)
    collection = vicinal.Collection(4, "hnsw", metric="l2", threads=1)
    collection.add(rows)
    collection.optimize()
    collection.add(rows[:5])
    collection.remove([3])
    named = vicinal.build(rows, "i8 | hnsw", metric="ip", ids=np.arange(30) * 10**15, threads=1)
    return [vicinal.build(rows, "flat", metric="cosine"), named, collection, vicinal.Collection(4, metric="l2")]


@profile
@given(base=JUNK | FLOATS, spec=SPECS, metric=METRICS, seed=NUMBERS | st.just(1), ids=st.none() | JUNK, calibrate=st.booleans())
def test_build(base: Any, spec: str, metric: str, seed: Any, ids: Any, calibrate: bool) -> None:
    index = documented(lambda: vicinal.build(base, spec, metric=metric, seed=seed, ids=ids, threads=1, calibrate=calibrate))
    if index is not None:
        rows = vicinal.reconstruct(index)
        assert rows.shape == (len(index), index.dim) and np.isfinite(rows).all()
        assert documented(lambda: vicinal.explain(spec, index.dim)).startswith(index.spec)
        assert index.search(rows, 2).ids.shape == (len(index), 2)


@profile
@given(
    rows=FLOATS, metric=st.sampled_from(["l2", "ip", "cosine"]),
    spec=st.sampled_from(["flat", "i8 | hnsw", "f16 | flat | rerank(f32)"]),
)
def test_build_of_floats(rows: Any, metric: str, spec: str) -> None:
    """Of every size a float can have."""
    index = documented(lambda: vicinal.build(rows, spec, metric=metric, threads=1))
    if index is None:
        return
    assert rows.size and np.isfinite(rows).all()
    hits = documented(lambda: index.search(rows, 3))
    if hits is not None:
        assert not np.isnan(hits.distances).any() and (hits.ids < len(rows)).all()
        real = np.where(np.isinf(hits.distances), np.float32(3e38), hits.distances)
        assert (np.diff(real, axis=1) >= 0).all()


@profile
@given(
    data=st.data(), queries=JUNK | SMALL, k=NUMBERS | st.integers(1, 40), rule=st.none() | JUNK,
    options=st.fixed_dictionaries({}, optional={name: NUMBERS for name in ["recall", "effort", "timeout", "max_distances"]}),
)
def test_search(searched: Any, data: Any, queries: Any, k: Any, rule: Any, options: dict[str, Any]) -> None:
    index = data.draw(st.sampled_from(searched))
    if callable(rule):
        rule = None
    hits = documented(lambda: index.search(queries, k, filter=rule, threads=1, **options))
    if hits is not None:
        ids, distances = hits
        counts = np.atleast_1d(np.asarray(hits.counts))
        assert ids.shape == distances.shape and ids.shape[-1] == int(k) and len(counts) == (len(ids) if ids.ndim == 2 else 1)
        for row, far, count in zip(np.atleast_2d(ids), np.atleast_2d(distances), counts):
            assert (row[:count] >= 0).all() and (row[count:] == -1).all() and np.isinf(far[count:]).all()
            assert len(set(row[:count].tolist())) == count
        assert isinstance(hits.explain(), str) and isinstance(repr(hits), str)


@profile
@given(rows=SMALL, metric=st.sampled_from(["l2", "ip"]), k=st.integers(1, 9), data=st.data())
def test_exact_search_of_whole_numbers(rows: Any, metric: str, k: int, data: Any) -> None:
    queries = data.draw(SMALL)
    ids, distances = vicinal.exact(rows, queries, k, metric=metric, threads=1)
    products = queries @ rows.T
    far = ((queries[:, None] - rows[None]) ** 2).sum(-1) if metric == "l2" else -products
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    assert ids[:, : order.shape[1]].tolist() == order.tolist()
    assert distances[:, : order.shape[1]].tolist() == np.take_along_axis(far, order, 1).tolist()


@profile
@given(found=JUNK, truth=JUNK, k=st.none() | NUMBERS)
def test_recall(found: Any, truth: Any, k: Any) -> None:
    value = documented(lambda: vicinal.recall(found, truth, k))
    assert value is None or 0 <= value <= 1


@profile
@given(spec=SPECS | JUNK, dim=NUMBERS)
def test_explain(spec: Any, dim: Any) -> None:
    documented(lambda: vicinal.explain(spec, dim))


@profile
@given(data=st.data(), ids=JUNK)
def test_reconstruct(searched: Any, data: Any, ids: Any) -> None:
    rows = documented(lambda: vicinal.reconstruct(data.draw(st.sampled_from(searched)), ids))
    assert rows is None or rows.dtype == np.float32


@profile
@given(steps=st.lists(
    st.tuples(st.sampled_from(["add", "upsert", "remove", "get", "writer"]), JUNK | SMALL, st.none() | JUNK), max_size=6
))
def test_collection(steps: Any) -> None:
    collection = vicinal.Collection(4, "flat", metric="l2", threads=1)
    for name, vectors, ids in steps:
        before = collection.ids.tolist()
        if name == "writer":
            writer = collection.writer()
            documented(lambda: writer.upsert(vectors, ids))
            documented(lambda: writer.add(vectors, ids))
            documented(lambda: writer.remove(ids))
            writer.flush()
            continue
        call = getattr(collection, name)
        done = documented(lambda: call(ids)) if name in ("remove", "get") else documented(lambda: (call(vectors, ids), True))
        if done is None:
            assert collection.ids.tolist() == before
    assert len(collection) == len(collection.ids) and (collection.ids >= 0).all()
    collection.optimize()
    assert np.isfinite(collection.get(collection.ids)).all()


@profile
@given(content=st.binary(max_size=400), mapped=st.booleans())
def test_any_bytes_as_a_file(content: bytes, mapped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.vcn"
        path.write_bytes(content)
        assert documented(lambda: vicinal.open(path, mmap=mapped)) is None
        assert documented(lambda: vicinal.verify(path)) is None


@profile
@given(given_path=JUNK | st.text(max_size=5))
def test_any_path(given_path: Any) -> None:
    try:
        documented(lambda: vicinal.open(given_path))
    except ValueError as error:
        assert "null byte" in str(error) or isinstance(error, UnicodeError)


@profile
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), length=st.integers(0, 10**6)
)
def test_a_damaged_file_mapped(searched: Any, changes: Any, length: int) -> None:
    """Checksums of content are not compared; what opens does not crash."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "index.vcn"
        searched[1].save(path)
        data = bytearray(path.read_bytes())
        for position, value in changes:
            data[192 + position % (len(data) - 192)] = value
        path.write_bytes(data[: max(192, length)])
        index = documented(lambda: vicinal.open(path, mmap=True))
        if index is not None:
            assert index.search(np.ones((3, 4), np.float32), 5).ids.shape == (3, 5)
