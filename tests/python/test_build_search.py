from __future__ import annotations

import gc
import os
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal

SPECS = [
    "flat", "f16 | flat", "bf16 | flat", "i8 | flat", "i8 | flat | rerank(f32, 4x)", "hnsw", "f16 | hnsw", "bf16 | hnsw",
    "i8 | hnsw", "i8 | hnsw | rerank(f16, 3x)", "i8 | hnsw(m=8, efc=60) | rerank(f32, 2x)", "i4 | hnsw | rerank(f32, 4x)",
    "e3m4 | flat", "e4m3 | hnsw | rerank(f32, 3x)", "pq(d/2) | flat | rerank(f32, 8x)",
    "opq(8, bits=4) | hnsw | rerank(f32, 30x)",
]
METRICS = ["l2", "ip", "cosine"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", SPECS)
def test_against_numpy(spec: str, metric: str, base: Any, queries: Any, oracle: Any) -> None:
    index = vicinal.build(base, spec, metric=metric, threads=2)
    hits = index.search(queries, k=10, effort=200)
    exact = oracle(base, queries, metric)
    truth = np.argsort(exact, axis=1, kind="stable")[:, :10]
    assert hits.ids.dtype == np.int64 and hits.distances.dtype == np.float32
    assert hits.ids.shape == hits.distances.shape == (15, 10)
    if not spec.startswith(("i8", "e3m4")) or "f32" in spec:
        tolerance = 2e-2 if "bf16" in spec else 1e-5 if spec in ("flat", "hnsw") or "rerank(f32" in spec else 2e-3
        scale = np.abs(exact).max()
        np.testing.assert_allclose(
            hits.distances, np.take_along_axis(exact, hits.ids, 1), rtol=tolerance, atol=tolerance * scale
        )
    least = 1.0 if spec == "flat" else 0.99 if spec in ("hnsw", "i8 | flat | rerank(f32, 4x)") else 0.9
    assert vicinal.recall(hits.ids, truth) >= least
    assert (np.diff(hits.distances, axis=1) >= 0).all()
    assert np.asarray(hits.counts).tolist() == [10] * 15
    if spec == "flat":
        assert vicinal.exact(base, queries, 10, metric=metric).ids.tolist() == hits.ids.tolist()


def test_attributes(base: Any) -> None:
    index = vicinal.build(base, "i8 | hnsw", metric="ip", seed=7, ids=np.arange(600)[::-1] * 3, threads=1)
    assert (index.dim, index.metric, index.seed, len(index)) == (24, "ip", 7, 600)
    assert index.spec == "i8 | hnsw(m=32, efc=200)"
    assert index.ids is not None and index.ids.tolist() == list(range(0, 1800, 3)) and not index.ids.flags.writeable
    assert index.nbytes > 600 * 24
    assert repr(index).startswith("<vicinal.Index 600 x 24, ip, i8 | hnsw(m=32, efc=200)")
    calibration = index.calibration
    assert isinstance(calibration, vicinal.Calibration)
    assert len(calibration.efforts) == len(calibration.recalls) and not calibration.given_queries
    assert vicinal.build(base, "flat", metric="ip").ids is None


def test_seed_decides_and_threads_do_not(base: Any, tmp_path: Path) -> None:
    def file_of(**options: Any) -> bytes:
        vicinal.build(base, "i8 | hnsw", metric="l2", **options).save(tmp_path / "index.vcn")
        return (tmp_path / "index.vcn").read_bytes()

    one = file_of(threads=1, seed=5)
    assert one == file_of(threads=3, seed=5) and one != file_of(threads=1, seed=6)


@pytest.mark.parametrize("spec", ["pq(8)", "opq(d/3, bits=4)"])
def test_product_quantiser(spec: str, base: Any, queries: Any, tmp_path: Path) -> None:
    index = vicinal.build(base, f"{spec} | flat", metric="l2", threads=2)
    assert index.spec == f"{spec} | flat"
    assert f"{8 if spec == 'pq(8)' else 4} bytes a vector" in vicinal.explain(index.spec, 24)
    index.save(tmp_path / "index.vcn")
    again = vicinal.open(tmp_path / "index.vcn")
    assert again.nbytes == index.nbytes
    assert again.search(queries, 5).ids.tolist() == index.search(queries, 5).ids.tolist()
    with pytest.raises(ValueError, match="25 sub-spaces, more than the 24 dimensions"):
        vicinal.build(base, "pq(25)", metric="l2")
    with pytest.raises(ValueError, match=r"bits is 8 or 4, got '5'"):
        vicinal.build(base, "pq(8, bits=5)", metric="l2")


def test_one_dimension_in_is_one_dimension_out(flat: vicinal.Index, queries: Any) -> None:
    single, batch = flat.search(queries[0], 4), flat.search(queries[:1], 4)
    assert single.ids.shape == single.distances.shape == (4,)
    assert batch.ids.shape == (1, 4)
    assert single.counts == 4 and type(single.counts) is int
    assert single.ids.tolist() == batch.ids[0].tolist()
    assert flat.search(queries[0].tolist(), 4).ids.shape == (4,)
    assert flat.search(queries[:0], 4).ids.shape == (0, 4)
    ids, distances = single
    assert ids.tolist() == single.ids.tolist() and distances.tolist() == single.distances.tolist()


@pytest.mark.parametrize("spec", ["flat", "hnsw", "i8 | hnsw | rerank(f16, 3x)"])
def test_ids(spec: str, base: Any, queries: Any) -> None:
    names = np.random.default_rng(3).permutation(10**6)[:600] * 10**12
    plain = vicinal.build(base, spec, metric="l2", calibrate=False)
    named = vicinal.build(base, spec, metric="l2", ids=names, calibrate=False)
    found = named.search(queries, 5, effort=600)
    assert vicinal.recall(found.ids, names[plain.search(queries, 5, effort=600).ids]) > 0.95
    for ids in (names.astype(np.uint64), names.tolist(), names.astype(">i8"), np.repeat(names, 2)[::2]):
        again = vicinal.build(base, spec, metric="l2", ids=ids, calibrate=False)
        assert again.search(queries, 5, effort=600).ids.tolist() == found.ids.tolist()
    last = np.iinfo(np.int64).max
    assert vicinal.build(base[:3], spec, metric="l2", ids=[7, last, 0]).search(base[1], 1).ids.tolist() == [last]


def test_reconstruct(base: Any) -> None:
    names = np.arange(600)[::-1] * 2
    index = vicinal.build(base, "i8 | hnsw | rerank(f32, 3x)", metric="l2", ids=names)
    np.testing.assert_array_equal(vicinal.reconstruct(index, [1198, 0, 1198]), base[[0, 599, 0]])
    np.testing.assert_array_equal(vicinal.reconstruct(index), base[::-1])
    assert vicinal.reconstruct(index, []).shape == (0, 24)
    with pytest.raises(vicinal.InvalidArgument, match="id 1 is not in the index"):
        vicinal.reconstruct(index, [0, 1])


def test_views_keep_the_memory_alive(base: Any, queries: Any) -> None:
    index = vicinal.build(base, "flat", metric="l2", ids=np.arange(600) + 5)
    hits = index.search(queries, 50)
    names, ids, distances, counts = index.ids, hits.ids, hits.distances, np.asarray(hits.counts)
    assert names is not None
    expected = names.copy(), ids.copy(), distances.copy(), counts.copy()
    assert np.shares_memory(hits.ids, ids), "a view, not a copy"
    one_row = ids[3]
    del index, hits, ids
    gc.collect()
    trash = [np.full((15, 50), 7, dtype=np.int64) for _ in range(50)]  # takes the memory, were it free
    assert names.tolist() == expected[0].tolist() and one_row.tolist() == expected[1][3].tolist()
    assert distances.tolist() == expected[2].tolist() and counts.tolist() == expected[3].tolist()
    assert len(trash) == 50


@pytest.mark.parametrize("spec", ["flat", "hnsw", "i8 | hnsw | rerank(f16, 3x)"])
def test_padding(spec: str, base: Any, queries: Any) -> None:
    index = vicinal.build(base[:7], spec, metric="l2")
    hits = index.search(queries, 10)
    assert np.asarray(hits.counts).tolist() == [7] * 15
    assert (hits.ids[:, 7:] == -1).all() and np.isinf(hits.distances[:, 7:]).all() and (hits.distances[:, 7:] > 0).all()
    assert np.sort(hits.ids[:, :7], axis=1).tolist() == [list(range(7))] * 15
    assert "15 with fewer than k results" in hits.explain()
    single = index.search(queries[0], 10)
    assert single.counts == 7 and single.ids[7:].tolist() == [-1, -1, -1]


def test_stats_and_explain(graph: vicinal.Index, flat: vicinal.Index, queries: Any) -> None:
    stats = flat.search(queries, 3).stats
    assert stats["queries"] == 15 and stats["distances"] == 15 * 600 and stats["stop"] == "complete"
    text = graph.search(queries, 3, effort=50).explain()
    assert "15 queries, k = 3: hnsw(ef=50)" in text and "ended: complete" in text
    assert "<vicinal.Hits 1 query x 3" in repr(graph.search(queries[0], 3))


def test_effort_recall_timeout_and_max_distances(graph: vicinal.Index, base: Any, queries: Any) -> None:
    less, more = graph.search(queries, effort=10).stats, graph.search(queries, effort=300).stats
    assert less["distances"] < more["distances"] and more["strategy"] == "hnsw(ef=300)"
    low, high = (graph.search(queries, recall=recall).stats["distances"] for recall in (0.5, 0.999))
    assert low < high
    truth = vicinal.exact(base, queries, 10, metric="l2").ids
    assert vicinal.recall(graph.search(queries, 10, recall=0.99).ids, truth) >= 0.95
    stopped = graph.search(queries, timeout=0.0)
    assert stopped.stats["stop"] == "deadline" and np.asarray(stopped.counts).tolist() == [0] * 15
    assert graph.search(queries, timeout=float("inf")).stats["stop"] == "complete"
    bounded = graph.search(queries, max_distances=40).stats
    assert bounded["stop"] == "budget" and bounded["distances"] < less["distances"]


def test_a_timeout_ends_a_long_search() -> None:
    rng = np.random.default_rng(0)
    index = vicinal.build(rng.standard_normal((50_000, 64), dtype=np.float32), "flat", metric="l2")
    start = time.perf_counter()
    hits = index.search(rng.standard_normal((30_000, 64), dtype=np.float32), 5, timeout=0.2)
    assert hits.stats["stop"] == "deadline" and time.perf_counter() - start < 2


@pytest.mark.parametrize("index_name", ["flat", "graph"])
def test_filters(index_name: str, base: Any, queries: Any, oracle: Any, request: pytest.FixtureRequest) -> None:
    index = request.getfixturevalue(index_name)
    exact = oracle(base, queries, "l2")
    allowed = np.random.default_rng(4).permutation(600)[:25]
    mask = np.zeros(600, dtype=bool)
    mask[allowed] = True
    exact[:, ~mask] = np.inf
    truth = np.argsort(exact, axis=1)[:, :10].tolist()
    chosen = set(allowed.tolist())
    for rule in (mask, allowed, allowed.tolist(), allowed.astype(np.uint16), np.repeat(allowed, 2), lambda name: name in chosen):
        assert index.search(queries, 10, filter=rule).ids.tolist() == truth
    assert index.search(queries[0], 30, filter=mask).counts == 25
    assert index.search(queries[0], 3, filter=[]).ids.tolist() == [-1] * 3
    assert index.search(queries[0], 3, filter=[10**9, 4]).ids.tolist() == [4, -1, -1]
    assert index.search(queries[0], 3, filter=~np.zeros(600, bool)).ids.tolist() == index.search(queries[0], 3).ids.tolist()


def test_a_mask_goes_by_id(base: Any) -> None:
    index = vicinal.build(base[:4], "flat", metric="l2", ids=[3, 70, 5, 200])
    mask = np.zeros(100, dtype=bool)
    mask[[3, 70, 99]] = True
    assert sorted(index.search(base[0], 4, filter=mask).ids.tolist()) == [-1, -1, 3, 70]


def _strided(array: Any) -> Any:
    wide = np.zeros((array.shape[0] * 2, array.shape[1] + 5), dtype=np.float32)
    wide[::2, 2:-3] = array
    return wide[::2, 2:-3]


def _read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


def _unaligned(array: Any) -> Any:
    raw = np.zeros(array.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(np.float32).reshape(array.shape)
    view[:] = array
    return view


IN_PLACE: dict[str, Any] = {
    "strided rows": _strided, "read-only": _read_only, "memoryview": memoryview, "subclass": lambda a: a.view(np.recarray)
}
COPIED: dict[str, Any] = {
    "Fortran": np.asfortranarray, "columns apart": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "reversed columns": lambda a: a[:, ::-1].copy()[:, ::-1], "big-endian": lambda a: a.astype(">f4"), "unaligned": _unaligned,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("form", IN_PLACE)
def test_forms_read_in_place(form: str, base: Any, queries: Any, copies_unsaid: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = vicinal.build(IN_PLACE[form](base), "flat", metric="l2")
        hits = index.search(IN_PLACE[form](queries), 5)
    assert hits.ids.tolist() == vicinal.exact(base, queries, 5, metric="l2").ids.tolist()


@pytest.mark.parametrize("form", COPIED)
def test_forms_that_are_copied_say_so_once(form: str, base: Any, queries: Any, copies_unsaid: None) -> None:
    converted = COPIED[form](base)
    with pytest.warns(vicinal.CopyWarning, match="base: ") as said:
        index = vicinal.build(converted, "flat", metric="l2")
    assert [Path(entry.filename).name for entry in said] == ["test_build_search.py"], "it points at the caller"
    with pytest.warns(vicinal.CopyWarning, match="queries: ") as said:
        hits = index.search(COPIED[form](queries), 5)
    assert [Path(entry.filename).name for entry in said] == ["test_build_search.py"], "it points at the caller"
    plain = np.array(COPIED[form](queries), np.float32)
    expected = vicinal.exact(np.array(converted, np.float32), plain, 5, metric="l2")
    assert hits.ids.tolist() == expected.ids.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vicinal.build(converted, "flat", metric="l2").search(COPIED[form](queries), 5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint8", "int8", ">f2"])
def test_narrow_types(dtype: str, queries: Any, copies_unsaid: None) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    values = np.random.default_rng(0).integers(0, 100, (200, 24)).astype(dtype)
    with pytest.warns(vicinal.CopyWarning, match="is converted to float32") as said:
        index = vicinal.build(values, "flat", metric="l2")
        hits = index.search(values[:9], 1)
    assert len(said) == 2  # base and queries
    assert hits.ids.ravel().tolist() == list(range(9)) and not hits.distances.any()
    np.testing.assert_array_equal(vicinal.reconstruct(index), values.astype(np.float32))


def test_lists_and_tuples(base: Any, copies_unsaid: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = vicinal.build([[1, 2.5], (3, 4)], "flat", metric="l2")
        assert index.search(((1, 2), [3, 4]), 1).ids.tolist() == [[0], [1]]


def test_zero_copy_of_a_mapped_base(tmp_path: Path) -> None:
    rows, dim = 200_000, 64  # 51 MB
    path = tmp_path / "base.npy"
    values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, dim))
    values[:] = np.random.default_rng(0).standard_normal((rows, dim), dtype=np.float32)
    values.flush()
    mapped = np.load(path, mmap_mode="r")
    index = vicinal.build(mapped[:1000], "flat", metric="l2")
    tracemalloc.start()
    try:
        found = index.search(mapped, 1, timeout=0.0)
        vicinal.build(mapped[::100], "flat", metric="l2")  # rows far apart
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.ids.shape == (rows, 1) and peak < 2_000_000


def test_a_matrix_larger_than_memory_is_not_copied(tmp_path: Path) -> None:
    # A file of nothing but a hole, far larger than memory: to copy it would end the process.
    path = tmp_path / "vast"
    path.touch()
    os.truncate(path, 1 << 40)
    vast = np.memmap(path, dtype=np.float32, mode="r").reshape(-1, 64)
    assert not vast.flags.writeable
    index = vicinal.build(np.eye(64, dtype=np.float32), "flat", metric="l2")
    with pytest.raises(vicinal.InvalidArgument, match="queries have 64 columns, the index has dimension 3"):
        vicinal.build(np.eye(3, dtype=np.float32), "flat", metric="l2").search(vast[: 1 << 22], 1)
    with pytest.raises(vicinal.InvalidArgument, match="memory"):
        index.search(vast, 1000)
    few = vast[:: len(vast) // 8]  # eight rows, each 128 GiB from the next
    assert len(few) == 8 and np.asarray(index.search(few, 1).counts).tolist() == [1] * 8


@pytest.mark.parametrize("mapped", [False, True])
def test_files(mapped: bool, base: Any, queries: Any, tmp_path: Path) -> None:
    path = tmp_path / "index.vcn"
    index = vicinal.build(base, "i8 | hnsw | rerank(f16, 3x)", metric="cosine", ids=np.arange(600) * 7)
    index.save(path)
    for name in (path, str(path), bytes(path)):
        again = vicinal.open(name, mmap=mapped)
        assert again.search(queries, 10).ids.tolist() == index.search(queries, 10).ids.tolist()
        assert again.calibration == index.calibration and again.spec == index.spec and again.seed == index.seed
    vicinal.verify(path)
    again.save(path)  # over the file it came from
    assert vicinal.open(path).search(queries, 10).ids.tolist() == again.search(queries, 10).ids.tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.vcn"]


def test_popularity(base: Any, queries: Any) -> None:
    wanted = np.zeros(len(base))
    wanted[5::7] = 3
    index = vicinal.build(base, "tiers(f32=0.1, i4)", metric="l2", popularity=wanted)
    exact = np.flatnonzero((vicinal.reconstruct(index) == base).all(1))
    assert len(exact) == round(0.1 * len(base)) and (exact % 7 == 5).all()
    for kind in (np.float32, np.float16, np.int64, list):
        same = wanted.tolist() if kind is list else wanted.astype(kind)
        again = vicinal.build(base, "tiers(f32=0.1, i4)", metric="l2", popularity=same)
        assert (again.search(queries, k=5).ids == index.search(queries, k=5).ids).all()


def test_clusters(base: Any, queries: Any, tmp_path: Any) -> None:
    index = vicinal.build(base, "pca(24, clusters=4) | f32", metric="l2")
    truth = vicinal.exact(base, queries, k=10, metric="l2")
    plain = vicinal.build(base, "pca(24) | f32", metric="l2")
    assert vicinal.recall(index.search(queries, k=10).ids, truth.ids) > 0.99  # all dimensions, so nothing is lost
    assert index.nbytes > plain.nbytes
    assert index.search(queries, k=10).stats["strategy"].startswith("clusters(4) > pca(24)")
    index.save(tmp_path / "index.vcn")
    assert vicinal.open(tmp_path / "index.vcn").search(queries, k=10).ids.tolist() == index.search(queries, k=10).ids.tolist()


def test_duplicates(base: Any, queries: Any) -> None:
    twice = np.concatenate([base, base])
    index = vicinal.build(twice, "dedup | f32 | flat", metric="l2")
    assert (len(index), index.duplicates) == (2 * len(base), len(base))
    plain = vicinal.build(twice, "f32 | flat", metric="l2")
    assert plain.duplicates == 0
    wanted, found = plain.search(queries, k=9), index.search(queries, k=9)
    assert (wanted.ids == found.ids).all() and (wanted.distances == found.distances).all()


def test_calibration_queries(base: Any, queries: Any) -> None:
    calibration = vicinal.build(base, "hnsw", metric="l2", calibration_queries=queries).calibration
    assert calibration is not None and calibration.given_queries and calibration.queries == 15


def test_explain_and_recall() -> None:
    text = vicinal.explain("i8|hnsw|rerank(f16,3x)", 128)
    assert text.startswith("i8 | hnsw(m=32, efc=200) | rerank(f16, 3x)\n") and "bytes a vector of 128 dimensions" in text
    assert vicinal.recall([[1, 2, -1]], [[2, 1, 5]], k=2) == 1.0
    assert vicinal.recall([1, 2], [2, 3]) == 0.5
    assert vicinal.recall([-1, -1], [2, 3]) == 0.0
