"""A LiveIndex of documents of several vectors: changes against a dict, its files, a writer, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vicinal
from vicinal import InvalidArgument, LiveIndex

DIM = 12
MUVERA = "muvera(reps=12, bits=2, dim=6) | i8 | hnsw(m=8, efc=60) | maxsim(f32, 10x)"
Document = npt.NDArray[np.float32]


def documents(count: int, seed: int = 0) -> list[Document]:
    rng = np.random.default_rng(seed)
    rows = [rng.standard_normal((rng.integers(1, 9), DIM)).astype(np.float32) for _ in range(count)]
    return [one / np.linalg.norm(one, axis=1, keepdims=True) for one in rows]


def items(chosen: list[Document]) -> tuple[Document, npt.NDArray[np.int64]]:
    return np.concatenate(chosen), np.cumsum([0, *map(len, chosen)])


def nearest(model: dict[int, Document], query: Document, k: int) -> list[int]:
    scores = {name: float((query @ rows.T).max(1).sum()) for name, rows in model.items()}
    return sorted(scores, key=lambda name: (-scores[name], name))[:k]


@pytest.mark.parametrize("spec", ["maxsim(f32)", MUVERA])
def test_changes_are_those_of_a_dict(spec: str) -> None:
    rng = np.random.default_rng(1)
    table = documents(150)
    index = LiveIndex(DIM, spec, metric="ip", threads=1)
    model: dict[int, Document] = {}
    queries = documents(6, seed=2)
    for _ in range(60):
        ids = rng.choice(80, size=rng.integers(1, 6), replace=False)
        if rng.random() < 0.7:
            chosen = [table[i] for i in rng.integers(150, size=len(ids))]
            index.upsert(items(chosen), ids)
            model.update(zip(ids.tolist(), chosen))
        else:
            assert index.remove(ids) == sum(model.pop(i, None) is not None for i in ids.tolist())
        assert len(index) == len(model) and index.ids.tolist() == sorted(model)
        # All are candidates, so that a graph finds what a scan does.
        hits = index.search(items(queries), k=5, effort=None if spec == "maxsim(f32)" else 100)
        for row, query in zip(hits.ids.tolist(), queries):
            assert [i for i in row if i >= 0] == nearest(model, query, 5)
    frozen = index.freeze()
    assert np.array_equal(frozen.search(items(queries), k=5).distances[:, 0], index.search(items(queries), k=5).distances[:, 0])


def test_it_is_there_after_opening_again(tmp_path: Path) -> None:
    queries = items(documents(4, seed=3))
    with LiveIndex(DIM, MUVERA, metric="ip", path=tmp_path / "live.vcn") as index:
        ids = index.add(items(documents(300)))
        assert ids.tolist() == list(range(300))
        index.compact(calibrate=False)
        index.remove(ids[:40])
        index.add(items(documents(10, seed=4)), range(1000, 1010))
        before = index.search(queries, k=7)
    with LiveIndex.open(tmp_path / "live.vcn") as again:
        after = again.search(queries, k=7)
        assert np.array_equal(before.ids, after.ids) and np.array_equal(before.distances, after.distances)
        assert len(again) == 270 and 5 not in again and 1003 in again
        again.compact(calibrate=False)
    assert len(vicinal.open(tmp_path / "live.vcn")) == 270
    live = LiveIndex.from_index(vicinal.open(tmp_path / "live.vcn"))
    assert live.remove([1003]) == 1 and len(live) == 269


def test_a_writer_makes_changes_at_once_or_not_at_all() -> None:
    index = LiveIndex(DIM, "maxsim(i8)", metric="cosine")
    table = documents(8)
    with index.writer() as writer:
        writer.add(items(table[:5]))
        writer.upsert(items(table[5:6]), [2])
        writer.remove([0])
        assert len(index) == 0
    assert index.ids.tolist() == [1, 2, 3, 4]
    hits = index.search(items(table[5:6]), k=1)
    assert hits.ids[0, 0] == 2
    # A document is at distance 0 from itself, if it is there with all its vectors.
    for name, document in {1: table[1], 2: table[5], 3: table[3], 4: table[4]}.items():
        found = index.search(items([document]), k=1)
        assert found.ids[0, 0] == name and abs(found.distances[0, 0]) < 1e-2 * len(document)
    with pytest.raises(RuntimeError), index.writer() as writer:
        writer.add(items(table))
        raise RuntimeError
    assert len(index) == 4


def test_bad_input_is_named_and_changes_nothing() -> None:
    index = LiveIndex(DIM, "maxsim(f32)", metric="ip")
    index.add(items(documents(3)))
    rows, offsets = items(documents(20))
    broken = rows.copy()
    broken[offsets[17] + 0, 5] = np.nan
    cases: list[tuple[Any, str]] = [
        (rows, "vectors have no offsets, expected some: maxsim(f32) is of documents of several vectors"),
        ((broken, offsets), f"vectors item 17 vector 0 (row {offsets[17]}) column 5 is nan, expected a finite number"),
        ((rows[:, :5].copy(), offsets), "vectors have 5 columns, the index has dimension 12"),
        ((rows, offsets[:-1]), f"vectors offsets begin at row 0 and end at row {offsets[-2]}, expected 0 and {len(rows)}"),
        ((rows, offsets[[0, 2, 1, *range(3, 21)]]), f"vectors offsets must ascend: offset 2 is {offsets[1]} after {offsets[2]}"),
    ]
    for given, reason in cases:
        with pytest.raises(InvalidArgument) as error:
            index.add(given)
        assert str(error.value).startswith(reason)
    with pytest.raises(InvalidArgument, match="3 ids for 20 vectors"):
        index.add((rows, offsets), [7, 8, 9])
    with pytest.raises(InvalidArgument, match="id 1 is in the index already"):
        index.add(items(documents(1)), [1])
    with pytest.raises(InvalidArgument, match="has no maxsim stage"):
        LiveIndex(DIM, metric="ip").add((rows, offsets))
    assert len(index) == 3
