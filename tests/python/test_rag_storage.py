"""The study bench/studies/rag_storage: its measures against values by hand, the paper's codes, and all of it on tiny sets."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vicinal

pytest.importorskip("matplotlib")
pytest.importorskip("ml_dtypes")

STUDIES = Path(__file__).parents[2] / "bench/studies"
sys.path.insert(0, str(STUDIES))
MODULES = ("claims", "figure", "paper", "projections", "reference", "results", "scoring", "specs", "tables", "tasks")
claims, figure, paper, projections, reference, results, scoring, specs, tables, tasks = (
    importlib.import_module(f"rag_storage.{name}") for name in MODULES
)
sys.path.remove(str(STUDIES))

Floats = npt.NDArray[np.float32]
DIM = 64


def rows(*given: list[float]) -> Floats:
    return np.array(given, dtype=np.float32)


def clustered(seed: int, count: int) -> Floats:
    """About a common mean far from zero, as embeddings are."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((20, DIM)) + 1.5
    chosen = centres[generator.integers(20, size=count)]
    return np.asarray(chosen + 0.4 * generator.standard_normal((count, DIM)), dtype=np.float32)


def tiny(name: str, judged: bool = True) -> Any:
    documents, queries = clustered(1, 400), clustered(2, 30)
    if not judged:
        return tasks.Task(name, documents, queries, None, clustered(4, 300))
    relevant = [{int(row): 1.0} for row in scoring.cosine_nearest(documents, queries + np.float32(0.2), 1)[:, 0]]
    return tasks.Task(name, documents, queries, relevant, clustered(4, 300), [tasks.Fold(clustered(3, 100), np.arange(30))])


def test_ndcg_by_hand() -> None:
    found = np.array([[3, 1, 7], [5, 2, 0], [4, 5, 6]])
    relevant = [{1: 1.0, 9: 1.0}, {5: 2.0, 0: 1.0}, {8: 1.0}]
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    expected = [second / (1 + second), (2 + third) / (2 + second), 0.0]
    assert scoring.ndcg(found, relevant, 3) == pytest.approx(expected)
    assert expected[0] == pytest.approx(0.38685, abs=1e-5)


def test_ideal_gains_beyond_k_do_not_count() -> None:
    assert scoring.ndcg(np.array([[0, 1]]), [{0: 1.0, 1: 1.0, 2: 1.0}], 2) == pytest.approx([1.0])


def test_search_is_exact_and_ties_go_to_the_smaller_row() -> None:
    documents, queries = clustered(1, 700), clustered(2, 300)
    assert np.array_equal(scoring.cosine_nearest(documents, queries), vicinal.exact(documents, queries, 10, metric="cosine").ids)
    twice = np.concatenate([np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)])
    assert scoring.nearest(twice, np.eye(3, dtype=np.float32)[[1]], 3).tolist() == [[1, 4, 0]]


def test_recall_by_hand() -> None:
    assert scoring.recall(np.array([[1, 2, 3, 4]]), np.array([[4, 9, 2, 8]])).tolist() == [0.5]


def test_the_older_int8_wraps_and_the_newer_clips() -> None:
    calibration = np.array([[0, 0], [255, 510]], dtype=np.float32)
    given = np.array([[3.9, 3.9], [256.7, 512], [-1.5, -2], [-0.5, 509.9]], dtype=np.float32)
    assert paper.uint8_codes(given, calibration, clip=True).tolist() == [[3, 1], [255, 255], [0, 0], [0, 254]]
    assert paper.uint8_codes(given, calibration, clip=False).tolist() == [[3, 1], [0, 0], [255, 255], [0, 254]]


def test_casts_have_no_scale() -> None:
    cast = {name: function for name, _, function in paper.casts(clustered(1, 10))}
    assert cast["e4m3fn"](rows([0.3, 449, 1e-4]))[0, :2].tolist() == [0.3125, 448]
    assert np.isnan(cast["e4m3fn"](rows([500.0]))).all()
    assert cast["binary {0,1}"](rows([-1, 0, 2])).tolist() == [[0, 0, 1]]
    # Codes that are no numbers are like nothing, and end no search.
    documents = np.array([[np.nan, 1], [0, 0], [1, 1]], dtype=np.float32)
    assert scoring.cosine_nearest(documents, rows([1, 1]), 1).tolist() == [[2]]


def test_only_centring_both_sides_changes_neighbours() -> None:
    task = tiny("scifact")
    truth = scoring.cosine_nearest(task.documents, task.queries)
    both = {result.key: result for result in paper.grid(task, truth)}
    alone = {result.key: result for result in reference.grid(task, truth)}
    assert both["f32"].recall.mean() == 1
    assert alone["PCA 100 %, f32"].recall.mean() > 0.99 and alone["query-aware PCA 100 %, f32"].recall.mean() > 0.99
    assert both["PCA 100 % in domain, f32"].recall.mean() < 0.95


def test_query_aware_projection_has_the_least_error() -> None:
    generator = np.random.default_rng(5)
    mix = generator.standard_normal((12, 12)) * np.geomspace(0.3, 1, 12)
    documents = (generator.standard_normal((3000, 12)) @ mix).astype(np.float32)
    queries = (generator.standard_normal((3000, 12)) * np.geomspace(3, 0.1, 12)).astype(np.float32)
    of = projections.moments(documents)
    query_map, document_map = projections.query_aware(of, projections.moments(queries))
    principal = projections.principal(of)
    centred = documents - of.mean
    exact = queries @ centred.T

    def error(of_queries: Any, of_documents: Any) -> float:
        return float(np.mean((exact - (queries @ of_queries[:4].T) @ (centred @ of_documents[:4].T).T) ** 2))

    assert error(query_map, document_map) < 0.8 * min(error(principal, principal), error(document_map, query_map))
    assert np.allclose(query_map.T @ document_map, np.eye(12))
    assert (principal[np.arange(12), np.abs(principal).argmax(axis=1)] > 0).all()


def test_specs_are_measured_and_what_is_not_there_is_said() -> None:
    task = tiny("scifact")
    truth = scoring.cosine_nearest(task.documents, task.queries)
    codes = specs.measure(task, "i8 | flat | rerank(f16, 3x)", truth)
    assert (codes.stored, codes.scanned) == (DIM + 8 + 2 * DIM, DIM + 8)
    assert codes.recall.mean() > 0.98
    assert specs.in_dimension("pca(d/4) | e4m3 | flat", 384) == "pca(96) | e4m3 | flat"
    absent = specs.measure(task, "i9 | flat", truth)
    assert isinstance(absent, results.Missing) and "i9" in absent.reason
    assert "`i9`" in tables.missing_text([absent])


@pytest.mark.parametrize(("spec", "label"), [("pca", "PCA"), ("qpca", "query-aware PCA"), ("truncate", "first values")])
def test_projections_of_the_library_are_those_of_numpy(spec: str, label: str) -> None:
    task = tiny("scifact")
    truth = scoring.cosine_nearest(task.documents, task.queries)
    ours = specs.measure(task, f"{spec}(d/2) | f32 | flat", truth)
    if isinstance(ours, results.Missing):
        pytest.skip(f"not in this build: {ours.reason}")
    alone = {result.key: result for result in reference.grid(task, truth)}[f"{label} 50 %, f32"]
    assert np.abs(ours.recall - alone.recall).mean() < 0.01


def test_intervals() -> None:
    generator = np.random.default_rng(6)
    whole = np.full(200, 0.8)
    worse = whole - 0.04 + 0.02 * generator.standard_normal(200)
    interval = scoring.difference([worse, whole], [whole, whole], [whole, whole])
    assert interval.value == pytest.approx(100 * (worse - whole).mean() / 1.6)
    error = 100 * worse.std() / 200**0.5 / 1.6
    assert (interval.high - interval.low) == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert interval == scoring.difference([worse, whole], [whole, whole], [whole, whole])
    said = [claims.verdict(interval, margin) for margin in (0.0, interval.value * -1, 10.0)]
    assert said == ["fails", "open", "holds"]


def table_widths(text: str) -> list[set[int]]:
    """Of each table of a Markdown text, the numbers of cells in its rows."""
    found: list[set[int]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            if not inside:
                found.append(set())
            found[-1].add(line.replace("\\|", "").count("|"))
        inside = line.startswith("|")
    return found


def test_the_study_on_tiny_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "specs", lambda: ["f32 | flat", "e4m3 | flat", "i8 | flat", "i4 | flat", "i9 | flat"])
    measured: list[Any] = []
    for name in ("scifact", "packages", "glosses", "debian"):
        task = tiny(name, judged=name != "debian")
        truth = scoring.cosine_nearest(task.documents, task.queries)
        for grid in (paper.grid, reference.grid, specs.grid):
            measured += grid(task, truth)
    found = [entry for entry in measured if not isinstance(entry, results.Missing)]
    missing = [entry for entry in measured if isinstance(entry, results.Missing)]
    tables.write(tmp_path, found, missing)
    for name in ("claims.md", "tables.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        widths = table_widths(text)
        assert len(widths) >= 3 and all(len(width) == 1 for width in widths), text
        assert "nan" not in text
    assert "paper: e4m3fn against int8 clipped | " in (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert "`i9`" in (tmp_path / "tables.md").read_text(encoding="utf-8")
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found)
    assert all(0 <= float(row["recall"]) <= 1 and bool(row["ndcg"]) == (row["task"] != "debian") for row in lines)
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert {entry["verdict"] for entry in content["claims"]} <= {"holds", "fails", "open"}
    assert all(entry["low"] <= entry["difference"] <= entry["high"] for entry in content["claims"])

    drawn = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in drawn:
        figure.write(path, found)
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    words = "".join(xml.parse(drawn[0]).getroot().itertext())
    assert "bytes a vector" in words and "paper: PCA, e4m3fn" in words and "Vicinal: i8" in words


def test_a_front_has_nothing_that_is_beaten() -> None:
    points = [(2.0, 5.0), (1.0, 4.0), (2.0, 6.0), (4.0, 6.0), (8.0, 7.0)]
    assert figure.front(points) == [(1.0, 4.0), (2.0, 6.0), (8.0, 7.0)]


def test_judgements_are_read_by_row(tmp_path: Path) -> None:
    for folder in ("scifact/qrels", "minilm"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "scifact/queries.jsonl").write_text("".join(f'{{"_id": "{name}"}}\n' for name in ("9", "3", "5")))
    with gzip.open(tmp_path / "scifact/corpus.jsonl.gz", "wt") as file:
        file.write("".join(f'{{"_id": "{name}"}}\n' for name in ("70", "50")))
    (tmp_path / "scifact/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n5\t70\t1\n9\t50\t1\n9\t70\t0\n")
    vectors = {"scifact-docs": 2, "scifact-queries": 3, "debian": 4}
    for name, count in vectors.items():
        np.save(tmp_path / f"minilm/{name}.npy", np.arange(count * 4, dtype=np.float16).reshape(count, 4))
    task = tasks.LOADERS["scifact"](tmp_path)
    assert task.relevant == [{1: 1.0}, {0: 1.0}]
    assert task.queries[:, 0].tolist() == [0, 8] and task.documents.dtype == np.float32
    assert task.folds[0].training[:, 0].tolist() == [4]


def test_what_is_not_there_is_skipped(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(STUDIES), os.environ.get("PYTHONPATH", "")])}
    arguments = ["--data", str(tmp_path), "-o", str(tmp_path / "out"), "--tasks", "scifact,debian"]
    command = [sys.executable, "-m", "rag_storage", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "scifact: skipped, " in done.stdout and "debian: skipped, " in done.stdout
    assert not (tmp_path / "out").exists()
