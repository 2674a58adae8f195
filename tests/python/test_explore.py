"""vicinal.explore: what it recommends holds when it is built."""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal

RNG = np.random.default_rng(5)
TOPICS = RNG.standard_normal((30, 32))
ROWS = (TOPICS[RNG.integers(30, size=2600)] + 0.5 * RNG.standard_normal((2600, 32))).astype(np.float32)
BASE, QUERIES = ROWS[:2500], ROWS[2500:]


@pytest.fixture(scope="module")
def found() -> vicinal.Exploration:
    return vicinal.explore(BASE, QUERIES, metric="cosine", budget="850KiB", floor=0.9, progress=False)


def test_the_recommendation_holds(found: vicinal.Exploration) -> None:
    best = found.recommended
    assert best is not None and best.graph and best.effort is not None
    assert best.bytes <= 850 * 1024 and best.recall >= 0.9
    index = vicinal.build(BASE, best.spec, metric="cosine", calibrate=False)
    assert index.nbytes == best.bytes
    truth = vicinal.exact(BASE, QUERIES, 10, metric="cosine")
    measured = vicinal.recall(index.search(QUERIES, 10, effort=best.effort).ids, truth.ids)
    assert measured == pytest.approx(best.recall, abs=1e-9)
    low, high = best.recall_interval
    assert low <= best.recall <= high


def test_every_point_is_what_it_says(found: vicinal.Exploration) -> None:
    assert any(point.graph for point in found.points) and any(not point.graph for point in found.points)
    truth = vicinal.exact(BASE, QUERIES, 10, metric="cosine")
    for point in found.points:
        if not point.graph:
            ids = vicinal.build(BASE, point.spec, metric="cosine").search(QUERIES, 10).ids
            assert vicinal.recall(ids, truth.ids) == pytest.approx(point.recall, abs=1e-9), point.spec
            assert point.effort is None
    front = sorted((p for p in found.points if p.on_front and not p.graph), key=lambda p: p.bytes)
    recalls = [point.recall for point in front]
    assert recalls == sorted(recalls) and len(set(recalls)) == len(recalls)


def test_it_prints_and_writes_itself(found: vicinal.Exploration, tmp_path: Path) -> None:
    best = found.recommended
    assert best is not None
    assert str(found) == found.table() and f"Recommended: {best.spec}" in found.table()
    assert found.decision in found.table() and best.spec in repr(found)
    report = found.to_json()
    assert report["recommended"]["spec"] == best.spec and report["recommended"]["rerank"] == best.rerank
    assert len(report["points"]) == len(found.points) and json.loads(json.dumps(report)) == report
    report["points"].clear()
    assert found.to_json()["points"]
    found.plot(tmp_path / "picture.svg")
    assert xml.parse(tmp_path / "picture.svg").getroot().tag.endswith("svg")
    with pytest.raises(vicinal.InvalidArgument, match="expected one that ends with .svg"):
        found.plot(tmp_path / "picture.png")


def test_a_budget_that_nothing_fits() -> None:
    found = vicinal.explore(BASE, QUERIES, metric="ip", budget=1000, index="flat", progress=False)
    assert found.recommended is None and found.nearest is not None
    assert found.nearest.bytes == min(point.bytes for point in found.points)
    assert "Nothing fits" in found.decision


def test_judgements_as_triples_and_as_a_file(tmp_path: Path) -> None:
    truth = vicinal.exact(BASE, QUERIES, 2, metric="l2")
    triples = [(query, int(row), 1) for query in range(50) for row in truth.ids[query]]
    arguments: dict[str, Any] = {"metric": "l2", "budget": "1MiB", "floor": "ndcg@10=.8", "index": "flat", "progress": False}
    found = vicinal.explore(BASE, QUERIES, qrels=triples, **arguments)
    exact = next(point for point in found.points if point.spec == "f32 | flat")
    assert exact.ndcg == pytest.approx(1.0) and found.to_json()["judged_queries"] == 50
    path = tmp_path / "qrels.tsv"
    path.write_text("query-id corpus-id score\n" + "".join(f"{q} {d} {r}\n" for q, d, r in triples))
    again = vicinal.explore(BASE, QUERIES, qrels=path, **arguments)
    assert [point.ndcg for point in again.points] == [point.ndcg for point in found.points]


def test_planning_scales_and_says_that_it_extrapolates() -> None:
    found = vicinal.explore(BASE, QUERIES, metric="ip", budget="100MiB", plan_for="25k", index="flat", progress=False)
    assert found.to_json()["extrapolated"] and "extrapolated, not measured" in found.table()
    best = found.recommended
    assert best is not None and best.planned_bytes == pytest.approx(10 * best.bytes, rel=0.01)


def test_the_paper() -> None:
    found = vicinal.explore(BASE, QUERIES, metric="ip", paper=True, progress=False)
    assert found.recommended is None and "arXiv 2505.00105" in found.table()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"budget": "much"}, "no size in bytes"),
        ({"floor": 1.5}, "is no floor"),
        ({"floor": "ndcg@10=.5"}, "needs relevance judgements"),
        ({"floor": "recall@5=.5"}, "the floor is for k = 5, expected k = 10"),
        ({"plan_for": "x"}, "no number of rows"),
        ({"k": 0}, "k is 0"),
        ({"k": 2501}, "k is 2501"),
        ({"index": "tree"}, "index is 'tree'"),
        ({"qrels": [(0, 1)]}, "expected \\(query row, base row, relevance\\)"),
        ({"qrels": [(0, 2500, 1)]}, "qrels line 1: the doc-id is \"2500\""),
        ({"metric": "l1"}, "l1"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(vicinal.InvalidArgument, match=message):
        vicinal.explore(BASE, QUERIES, **{"metric": "ip", "budget": "1MiB", "progress": False, **arguments})


def test_a_missing_file_and_a_wrong_progress() -> None:
    with pytest.raises(vicinal.IoError, match="nowhere.tsv"):
        vicinal.explore(BASE, QUERIES, metric="ip", qrels="nowhere.tsv")
    with pytest.raises(vicinal.WrongType, match="progress"):
        vicinal.explore(BASE, QUERIES, metric="ip", progress=3)  # type: ignore[arg-type]


def test_progress_can_end_it() -> None:
    seen: list[str] = []

    def progress(phase: str, done: int, total: int) -> None:
        seen.append(phase)
        raise RuntimeError("enough")

    large = np.repeat(BASE, 4, axis=0)
    with pytest.raises(RuntimeError, match="enough"):
        vicinal.explore(large, np.repeat(QUERIES, 10, axis=0), metric="ip", progress=progress)
    assert len(seen) == 1
