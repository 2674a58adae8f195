"""The study bench/studies/muvera: its heuristic against one by hand, and all of it on small sets."""

from __future__ import annotations

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

pytest.importorskip("matplotlib")

STUDIES = Path(__file__).parents[2] / "bench/studies"
sys.path.insert(0, str(STUDIES))
measure, sets = (importlib.import_module(f"muvera.{name}") for name in ("measure", "sets"))
sys.path.remove(str(STUDIES))


def write_sets(folder: Path, documents: int = 60) -> None:
    """Data with the names and shapes of the real ones, in the folder."""
    rng = np.random.default_rng(3)
    topics = rng.standard_normal((20, 16))

    def tokens(lengths: npt.NDArray[np.int64], name: str) -> None:
        rows = topics[rng.integers(20, size=lengths.sum())] + 0.5 * rng.standard_normal((lengths.sum(), 16))
        np.save(folder / f"{name}.npy", (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16))

    (folder / "lotte-dev-colbert").mkdir(parents=True)
    (folder / "tokens").mkdir()
    lengths = rng.integers(1, 12, size=documents)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    for name in ("lotte-dev-colbert/doc_tokens", "tokens/scifact-docs.tokens"):
        tokens(lengths, name)
    np.save(folder / "lotte-dev-colbert/doc_offsets.npy", offsets)
    np.save(folder / "tokens/scifact-docs.offsets.npy", offsets.astype(np.uint64))
    tokens(np.array([6] * 5), "lotte-dev-colbert/query_tokens")
    flat = np.load(folder / "lotte-dev-colbert/query_tokens.npy")
    np.save(folder / "lotte-dev-colbert/query_tokens.npy", flat.reshape(5, 6, 16))
    tokens(np.array([4] * 7), "tokens/scifact-queries.tokens")
    np.save(folder / "tokens/scifact-queries.offsets.npy", np.arange(8, dtype=np.uint64) * 4)


def test_sets_are_read(tmp_path: Path) -> None:
    write_sets(tmp_path)
    lotte, scifact = (sets.LOADERS[name](tmp_path) for name in ("lotte", "scifact"))
    assert lotte.size == scifact.size == 60
    assert lotte.queries[1].tolist() == [0, 6, 12, 18, 24, 30] and lotte.queries[0].shape == (30, 16)
    assert sets.facts(scifact)["vectors a query"] == 4


def test_single_vectors_by_hand(tmp_path: Path) -> None:
    write_sets(tmp_path)
    given = sets.LOADERS["lotte"](tmp_path)
    truth = measure.exact(given)
    found = measure.single_vectors(given, truth)
    rows, offsets = given.documents
    document_of = np.repeat(np.arange(60), np.diff(offsets))
    shares = []
    for query in range(5):
        scores = given.queries[0][given.queries[1][query] : given.queries[1][query + 1]] @ rows.T
        order: list[int] = []
        for rank in range(len(rows)):
            for own in scores:
                document = int(document_of[np.argsort(-own, kind="stable")[rank]])
                if document not in order:
                    order.append(document)
        shares.append(len(set(order[:15]) & set(truth.ids[query].tolist())) / 10)
    assert found.recall[15] == [pytest.approx(np.mean(shares))]
    assert all(found.mean(a) <= found.mean(b) for a, b in zip(sorted(found.recall), sorted(found.recall)[1:]))


def test_curves_rise_and_say_what_is_needed(tmp_path: Path) -> None:
    write_sets(tmp_path)
    given = sets.LOADERS["lotte"](tmp_path)
    curve = measure.curve(given, measure.exact(given), "vicinal", 1280, "f32", seeds=2)
    counts = sorted(curve.recall)
    assert counts == [10, 15, 25, 35, 50] and all(len(values) == 2 for values in curve.recall.values())
    assert curve.mean(50) > curve.mean(10) > 0.3
    needed = curve.needed(0.8)
    assert needed is not None and curve.mean(needed) >= 0.8
    assert curve.needed(1.1) is None


def test_all_of_it(tmp_path: Path) -> None:
    write_sets(tmp_path / "data")
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(STUDIES)}
    command = [sys.executable, "-m", "muvera", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out"), "--seeds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = (tmp_path / "out/tables.md").read_text(encoding="utf-8")
    assert tables.count("| single vectors |") == 2 and "vicinal, 2,560, pq(d/8)" in tables and "## Missing" not in tables
    xml.parse(tmp_path / "out/candidates.svg")
    content = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    assert [one["documents"] for one in content["sets"]] == [60, 60]
    exact = [one for one in content["pipelines"] if one["spec"] == "maxsim(f32)"]
    assert len(exact) == 2 and all(one["recall"] == 1 for one in exact)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(STUDIES)}
    done = subprocess.run(
        [sys.executable, "-m", "muvera", "--data", str(tmp_path)], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )
    assert done.returncode == 1 and "lotte: skipped, lotte-dev-colbert/query_tokens.npy is not there" in done.stdout and "nothing could be measured" in done.stderr
