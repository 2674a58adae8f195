"""The study bench/studies/limit: recall, BM25 and free vectors against ones by hand, and all of it on small sets."""

from __future__ import annotations

import gzip
import importlib
import itertools
import json
import math
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
free, lexical, measure, sets = (importlib.import_module(f"limit.{name}") for name in ("free", "lexical", "measure", "sets"))
sys.path.remove(str(STUDIES))

THINGS = 40
NOISE = 0.1


def write_texts(folder: Path, corpus: str, judged: str, documents: int, about: list[int], zipped: bool = False) -> tuple[list[str], list[str]]:
    """A corpus in which every pair of the documents `about` has one thing of its own in common, and the rest like anything."""
    rng = np.random.default_rng(documents)
    likes: list[list[str]] = [[] for _ in range(documents)]
    queries, judgements = [], []
    for number, (one, other) in enumerate(itertools.combinations(about, 2)):
        thing = f"thing{number}"
        likes[one].append(thing)
        likes[other].append(thing)
        queries.append({"_id": f"query_{number}", "text": f"Who likes {thing}?"})
        # Neither the order of lines nor that of a query's two says anything.
        judgements += [{"query-id": f"query_{number}", "corpus-id": f"person {row}", "score": 1} for row in (other, one)]
    for row in range(documents):
        likes[row] += [f"other{number}" for number in rng.choice(300, THINGS - len(likes[row]), replace=False)]
    texts = [f"Person {row} likes {', '.join(likes[row])}." for row in range(documents)]
    (folder / judged).mkdir(parents=True, exist_ok=True)
    (folder / corpus).parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"_id": f"person {row}", "title": "", "text": text}) + "\n" for row, text in enumerate(texts))
    (folder / corpus).write_bytes(gzip.compress(lines.encode()) if zipped else lines.encode())
    for name, records in (("queries", queries), ("qrels", judgements[::-1])):
        (folder / judged / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return texts, [query["text"] for query in queries]


def embed(folder: Path, name: str, texts: list[str], dim: int = 16) -> None:
    """A direction a word and some of its own a place, as an embedder writes texts and tokens."""
    rng = np.random.default_rng(len(texts))


    def direction(word: str) -> npt.NDArray[np.float64]:
        vector = np.random.default_rng(list(word.encode())).standard_normal(dim)
        return np.asarray(vector / np.linalg.norm(vector))

    items = [np.stack([direction(word) + NOISE * rng.standard_normal(dim) for word in lexical.words(text)]) for text in texts]
    items = [item / np.linalg.norm(item, axis=1, keepdims=True) for item in items]
    means = np.stack([item.mean(axis=0) for item in items])
    for part in ("vectors", "tokens"):
        (folder / part).mkdir(exist_ok=True)
    np.save(folder / f"vectors/{name}.npy", (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float16))
    np.save(folder / f"tokens/{name}.tokens.npy", np.concatenate(items).astype(np.float16))
    np.save(folder / f"tokens/{name}.offsets.npy", np.cumsum([0, *map(len, items)]).astype(np.uint64))


def write_data(folder: Path) -> None:
    """Data with the names and shapes of the real ones; the sample is all 130 documents."""
    documents, queries = write_texts(folder, "limit/limit-small/corpus.jsonl", "limit/limit-small", 5, [0, 1, 2, 3, 4])
    embed(folder, "limit-small-docs", documents)
    embed(folder, "limit-small-queries", queries)
    documents, queries = write_texts(folder, "limit/limit-rebuilt/corpus.jsonl.gz", "limit/limit", 130, [3, 40, 77, 129], zipped=True)
    for name in ("limit-docs", "limit-5000"):
        embed(folder, name, documents)
    embed(folder, "limit-queries", queries)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(STUDIES)}
    environment.pop("VICINAL_DATA", None)
    return subprocess.run(
        [sys.executable, "-m", "limit", *arguments], capture_output=True, text=True, timeout=600, env=environment, cwd=folder, check=False
    )


def test_recall_by_hand() -> None:
    ids = np.array([[4, 1, 2, 3], [0, 1, 2, 3], [3, 2, 1, 0]])
    relevant = np.array([[1, 4], [2, 3], [0, 3]])
    assert measure.recall(ids, relevant, 2) == pytest.approx((2 + 0 + 1) / 6)
    assert measure.recall(ids, relevant, 3) == pytest.approx((2 + 1 + 1) / 6)
    assert measure.recall(ids, relevant, 4) == 1
    with pytest.raises(ValueError, match="4 ids a query, expected at least 5"):
        measure.recall(ids, relevant, 5)


def test_bm25_by_hand() -> None:
    # Lengths 4, 2 and 3, of which the mean is 3.
    bm25 = lexical.BM25(["Red, red apples fall", "red pears", "The old pears"])
    red, pears, apples = (math.log(1 + (3 - df + 0.5) / (df + 0.5)) for df in (2, 2, 1))

    def worth(often: int, length: int) -> float:
        return often * 1.9 / (often + 0.9 * (1 - 0.4 + 0.4 * length / 3))

    assert bm25.scores("red PEARS?") == pytest.approx([red * worth(2, 4), red * worth(1, 2) + pears * worth(1, 2), pears * worth(1, 3)])
    assert bm25.scores("apples apples nothing") == pytest.approx([2 * apples * worth(1, 4), 0, 0])
    # Of equals the first.
    assert bm25.search(["old", "nothing", "pears"], 2).tolist() == [[2, 0], [0, 1], [1, 2]]
    many = lexical.BM25(["likes one", "likes two"] * 100).search(["likes one"], 200)
    assert many.tolist() == [[*range(0, 200, 2), *range(1, 200, 2)]]


def test_sets_are_read(tmp_path: Path) -> None:
    write_data(tmp_path)
    small, sample, rebuilt = (sets.LOADERS[name](tmp_path) for name in ("small", "sample", "rebuilt"))
    assert small.relevant.tolist() == [list(pair) for pair in itertools.combinations(range(5), 2)]
    assert sample.relevant.tolist() == [list(pair) for pair in itertools.combinations([3, 40, 77, 129], 2)]
    assert sample.documents == rebuilt.documents and rebuilt.tokens is None and len(sample.tokens[1][1]) == 7
    texts = sets.rebuilt_texts(tmp_path)
    rows = sets.sampled(texts, 7)
    assert rows.tolist() == [0, 1, 2, 3, 40, 77, 129]
    fewer = sets.within(texts, rows)
    assert fewer.documents[6] == texts.documents[129] and fewer.relevant[-1].tolist() == [5, 6]
    np.save(tmp_path / "vectors/limit-small-docs.npy", np.zeros((6, 16), dtype=np.float16))
    with pytest.raises(ValueError, match="limit-small: 6 vectors of documents, expected 5"):
        sets.LOADERS["small"](tmp_path)


def test_encodings_alone_are_the_order_of_encodings(tmp_path: Path) -> None:
    vicinal = importlib.import_module("vicinal")
    write_data(tmp_path)
    given = sets.LOADERS["sample"](tmp_path)
    alone, by_maxsim = measure.encoded(given, "vicinal", 1280, seeds=1, threads=1)
    assert by_maxsim.method == "vicinal, 1,280, 100 by MaxSim" and list(alone.recall) == [2, 10, 20, 100]
    # One document at a time, as a query's only candidate: who is first is the encodings' doing.
    index = vicinal.build(
        given.tokens[0], "muvera(reps=20, bits=3, dim=8) | f32 | flat | maxsim(f32)", metric="ip", seed=1, calibrate=False
    )
    found = 0
    for query, relevant in enumerate(given.relevant):
        own = slice(*given.tokens[1][1][query : query + 2])
        one = (given.tokens[1][0][own], np.array([0, own.stop - own.start]))
        left, first = np.ones(given.size, dtype=bool), []
        for _ in range(10):
            first.append(int(index.search(one, k=1, effort=1, filter=left).ids[0, 0]))
            left[first[-1]] = False
        found += len(set(first) & set(relevant.tolist()))
    assert alone.recall[10] == [pytest.approx(found / 12)]
    assert by_maxsim.recall[100][0] == alone.recall[100][0] and by_maxsim.recall[2][0] > alone.recall[2][0]


def test_without_tokens_one_vector_and_words(tmp_path: Path) -> None:
    write_data(tmp_path)
    given = sets.LOADERS["rebuilt"](tmp_path)
    words, one = measure.methods(given, seeds=1, threads=1)
    assert words.method == "BM25" and words.recall[2] == [1]
    # What the scores of f32 say.
    best = np.argsort(-(given.vectors[1] @ given.vectors[0].T), axis=1)[:, :20]
    share = np.mean([len(set(own) & set(relevant)) / 2 for own, relevant in zip(best.tolist(), given.relevant.tolist())])
    assert one.method == "one vector" and one.recall[20] == [pytest.approx(share)] and 0 < share < 1


def is_right(documents: npt.NDArray[np.float64], queries: npt.NDArray[np.float64]) -> bool:
    """By loops: for every pair the query's two best are these, strictly."""
    for query, pair in zip(queries, itertools.combinations(range(len(documents)), 2)):
        values = [sum(max(float(own @ vector) for vector in document) for own in query) for document in documents]
        rest = [value for row, value in enumerate(values) if row not in pair]
        if min(values[row] for row in pair) <= max(rest):
            return False
    return len(queries) == math.comb(len(documents), 2)


@pytest.mark.parametrize(("documents", "dim", "vectors"), [(3, 2, 1), (4, 3, 1), (7, 4, 1), (4, 4, 2)])
def test_free_vectors_are_found(documents: int, dim: int, vectors: int) -> None:
    found = free.optimise(documents, dim, vectors, coldest=0.02, steps=1500)
    assert found is not None and found.documents.shape == (documents, vectors, dim // vectors)
    assert is_right(found.documents, found.queries) and found.margin > 0
    for of_length_one in (found.documents, found.queries):
        assert np.linalg.norm(of_length_one, axis=2) == pytest.approx(1)
    again = free.optimise(documents, dim, vectors, coldest=0.02, steps=1500)
    assert np.array_equal(again.documents, found.documents) and again.steps == found.steps
    # The judge is no rubber stamp.
    assert not is_right(found.documents, found.queries[::-1])


@pytest.mark.parametrize(("documents", "dim"), [(4, 2), (5, 3)])
def test_what_cannot_be_is_not_found(documents: int, dim: int) -> None:
    """A polygon of n has n edges and a polyhedron 3 n - 6, fewer than there are pairs."""
    assert free.optimise(documents, dim, coldest=0.02, starts=2, steps=1000) is None


def test_the_largest_is_between_what_was_tried() -> None:
    for start in (3, 5, 9):
        search = free.largest("", 3, 1, 0.02, start=start, starts=2, steps=1000)
        assert search.best == 4 and search.not_found == 5 and search.margin > 0
        assert search.tried[4] and not search.tried[5]


def test_gradients_are_those_of_the_loss() -> None:
    rng = np.random.default_rng(2)
    pairs = free.all_pairs(4)
    for vectors in (1, 2):
        queries, documents = (free.unit(rng.standard_normal((count, vectors, 3))) for count in (6, 4))
        _, of_queries, of_documents = free.gradients(queries, documents, pairs, 0.3)
        for moved, gradient in ((queries, of_queries), (documents, of_documents)):
            for place in ((0, 0, 1), (3, vectors - 1, 2)):
                ends = []
                for change in (1e-6, -1e-6):
                    moved[place] += change
                    ends.append(free.gradients(queries, documents, pairs, 0.3)[0])
                    moved[place] -= change
                assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradient[place], rel=1e-4, abs=1e-9)


def test_four_values_are_enough_for_any_number() -> None:
    for documents in (3, 8, 21):
        vectors, queries = free.cyclic(documents)
        assert vectors.shape == (documents, 1, 4) and is_right(vectors, queries)
    few, many = free.constructions([8, 300])
    assert few.right == {"float64": 1, "float32": 1, "float16": 1} and few.margin > many.margin > 0
    assert many.right["float64"] == 1 > many.right["float32"] > many.right["float16"]


def test_all_of_it(tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    done = run(
        tmp_path, "--data", "data", "-o", "out", "--sets", "small,sample", "--seeds", "2", "--threads", "1",
        "--dims", "2,4", "--starts", "1", "--steps", "150",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tables = (tmp_path / "out/tables.md").read_text(encoding="utf-8")
    assert tables.count("| BM25 | ") == 3 and "## LIMIT rebuilt, 130 documents" in tables and "## Missing" not in tables
    assert "| vicinal, 10,240, 100 by MaxSim |" in tables
    for name in ("recall", "critical"):
        xml.parse(tmp_path / f"out/{name}.svg")
    content = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    assert [one["documents"] for one in content["sets"]] == [5, 130]
    # Every pair has a word of its own, which BM25 finds, MaxSim often and one vector hardly.
    at_two = {row["method"]: row["recall"]["2"][0] for row in content["recall"] if row["set"] == "LIMIT rebuilt, 130 documents"}
    assert at_two["BM25"] == 1 > at_two["token vectors, MaxSim"] > at_two["one vector"]
    assert {(one["name"], one["dim"]): one["best"] for one in content["free"]}["one vector", 2] == 3


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, "--data", str(tmp_path), "--dims", "")
    assert done.returncode == 1 and "small: skipped, limit/limit-small/corpus.jsonl is not there" in done.stdout
    assert "nothing could be measured" in done.stderr and not (tmp_path / "results").exists()
    write_data(tmp_path)
    (tmp_path / "vectors/limit-docs.npy").unlink()
    (tmp_path / "tokens/limit-5000.offsets.npy").unlink()
    done = run(tmp_path, "--data", str(tmp_path), "--dims", "", "--seeds", "1", "--sets", "sample,rebuilt", "-o", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    tables = (tmp_path / "out/tables.md").read_text(encoding="utf-8")
    assert "* sample: skipped, tokens/limit-5000.offsets.npy is not there" in tables
    assert "* rebuilt: words only, vectors/limit-docs.npy is not there" in tables and "| one vector |" not in tables
    assert run(tmp_path, "--sets", "large").returncode == 2


def test_texts_for_an_embedder(tmp_path: Path) -> None:
    write_data(tmp_path)
    done = run(tmp_path, "--data", str(tmp_path), "--write-texts", "texts")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "texts/limit-5000.txt").read_text(encoding="utf-8").splitlines()
    assert lines == sets.LOADERS["sample"](tmp_path).documents
    assert len((tmp_path / "texts/limit-small-queries.txt").read_text(encoding="utf-8").splitlines()) == 10
