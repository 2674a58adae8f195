"""Pages of results, and ranges."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import pytest

import vicinal

SPECS = ["flat", "i8 | hnsw", "i8 | hnsw | rerank(f16, 3x)", "i8 | hnsw(m=16, layout=fused)", "pca(16) | i8 | hnsw"]


@pytest.fixture(scope="module")
def base() -> Any:
    return np.random.default_rng(5).standard_normal((1500, 32), dtype=np.float32)


@pytest.fixture(scope="module")
def queries() -> Any:
    return np.random.default_rng(6).standard_normal((20, 32), dtype=np.float32)


@pytest.mark.parametrize("spec", SPECS)
def test_pages(spec: str, base: Any, queries: Any) -> None:
    names = np.arange(len(base)) * 3 + 5
    index = vicinal.build(base, spec, metric="l2", ids=names)
    pages = list(index.search_iter(queries[0], 100, effort=300))
    assert [len(page.ids) for page in pages] == [100] * 15
    assert sorted(itertools.chain(*(page.ids.tolist() for page in pages))) == names.tolist()
    assert all((np.diff(page.distances) >= 0).all() and page.counts == 100 for page in pages)
    searched = index.search(queries[0], 100, effort=300).ids
    assert len(np.intersect1d(pages[0].ids, searched)) >= 90
    if "fused" not in spec:
        assert pages[0].ids.tolist() == searched.tolist()


@pytest.mark.parametrize("spec", SPECS)
def test_pages_with_filters(spec: str, base: Any, queries: Any) -> None:
    index = vicinal.build(base, spec, metric="cosine")
    some = np.arange(0, 1500, 7)
    mask = np.zeros(1500, bool)
    mask[some] = True
    for rule in (some, mask, lambda name: name % 7 == 0):
        found = [name for page in index.search_iter(queries[1], 10, filter=rule) for name in page.ids.tolist()]
        assert sorted(found) == some.tolist()
    assert list(index.search_iter(queries[1], filter=[])) == []


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", ["flat", "hnsw", "hnsw | rerank(f32, 2x)"])
def test_ranges(spec: str, metric: str, base: Any, queries: Any) -> None:
    index = vicinal.build(base, spec, metric=metric)
    every = vicinal.exact(base, queries, len(base), metric=metric)
    radius = float(every.distances[:, 60].mean())
    found = index.search_range(queries, radius, recall=0.99)
    assert len(found) == 20 and found.offsets.tolist()[0] == 0 and found.offsets[-1] == len(found.ids) == len(found.distances)
    right = 0
    for query, (ids, distances) in enumerate(found[i] for i in range(len(found))):
        assert (distances <= radius).all() and (np.diff(distances) >= 0).all()
        within = every.ids[query][every.distances[query] <= radius]
        right += len(np.intersect1d(ids, within))
        assert abs(len(ids) - len(within)) <= 0.03 * len(within) + 1
    assert right >= 0.98 * (every.distances <= radius).sum()
    one = index.search_range(queries[3], radius, recall=0.99)
    assert len(one) == 1 and one.ids.tolist() == found[3][0].tolist() == found[-17][0].tolist()
    odd = index.search_range(queries, radius, recall=0.99, filter=lambda name: name % 2)
    assert (odd.ids % 2 == 1).all() and abs(len(odd.ids) - int((found.ids % 2).sum())) <= 20
    assert len(index.search_range(queries, -1e30).ids) == 0
    assert len(index.search_range(queries[:2], np.inf).ids) == 3000
    with pytest.raises(IndexError, match="query 20 of 20"):
        found[20]


def test_an_empty_batch_has_no_ranges(base: Any) -> None:
    found = vicinal.build(base, "flat", metric="l2").search_range(np.empty((0, 32), np.float32), 1)
    assert len(found) == 0 and found.offsets.tolist() == [0]


def test_bad_arguments(base: Any, queries: Any) -> None:
    index = vicinal.build(base, "hnsw", metric="l2", calibrate=False)
    for arguments, message in [
        ({"query": queries[0, :31]}, "31"),
        ({"query": queries}, "20 queries, expected one vector"),
        ({"query": queries[0], "k": 0}, "k is 0"),
        ({"query": queries[0], "recall": 0.9}, "not calibrated"),
        ({"query": queries[0] * np.nan}, "nan"),
    ]:
        with pytest.raises(vicinal.InvalidArgument, match=message):
            index.search_iter(**arguments)
    for arguments, message in [
        ({"queries": queries[:, :31], "radius": 1.0}, "31"),
        ({"queries": queries, "radius": np.nan}, "radius is nan"),
        ({"queries": queries, "radius": 1.0, "timeout": -1.0}, "timeout"),
        ({"queries": queries, "radius": 1.0, "effort": 0}, "effort"),
    ]:
        with pytest.raises(vicinal.InvalidArgument, match=message):
            index.search_range(**arguments)


def test_a_filter_that_raises(base: Any, queries: Any) -> None:
    index = vicinal.build(base, "hnsw", metric="l2")

    def fails(name: int) -> bool:
        raise KeyError(name)

    with pytest.raises(KeyError):
        list(index.search_iter(queries[0], filter=fails))
    with pytest.raises(KeyError):
        index.search_range(queries, 10.0, filter=fails)


def test_pages_outlive_what_they_are_of(base: Any, queries: Any) -> None:
    pages = vicinal.build(base, "hnsw", metric="l2").search_iter(queries[0].copy(), 700, filter=np.arange(1400))
    assert [len(page.ids) for page in pages] == [700, 700]


def test_a_page_at_a_time(base: Any, queries: Any) -> None:
    inside = threading.Event()
    go_on = threading.Event()

    def waits(name: int) -> bool:
        inside.set()
        return go_on.wait(20)

    index = vicinal.build(base, "hnsw", metric="l2")
    go_on.set()  # a sample is asked about at once
    pages = index.search_iter(queries[0], 10, filter=waits)
    go_on.clear()
    inside.clear()
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(len(next(iter(pages)).ids)))
    thread.start()
    assert inside.wait(20)
    with pytest.raises(vicinal.InvalidArgument, match="being taken already"):
        next(iter(pages))
    go_on.set()
    thread.join()
    assert taken == [10]


def test_a_live_index(base: Any, queries: Any) -> None:
    live = vicinal.LiveIndex(32, metric="l2")
    assert list(live.search_iter(queries[0])) == [] and len(live.search_range(queries, 1e9).ids) == 0
    ids = live.add(base)
    pages = live.search_iter(queries[0], 50, effort=200)
    first = next(pages)
    assert first.ids.tolist() == live.search(queries[0], 50, effort=200).ids.tolist()
    live.remove(ids[::2])
    rest = np.concatenate([page.ids for page in pages])
    # All of the first search may be given yet; of what came after, nothing that was gone.
    assert len(np.intersect1d(first.ids, rest)) == 0 and set(ids[1::2]) <= set(first.ids) | set(rest)
    radius = float(np.median(live.search(queries, 100, effort=400).distances[:, -1]))
    found = live.search_range(queries, radius, effort=200)
    true = vicinal.exact(base[1::2], queries, 750, metric="l2").distances
    assert abs(len(found.ids) - int((true <= radius).sum())) <= 0.03 * len(found.ids)
