"""The sets: vectors, queries, judgements, and what is fitted out of domain."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

# Where the Debian package dataset-fashion-mnist puts its files.
FASHION = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Fold:
    """Which queries are asked after fitting on which others: never the same."""

    training: Floats
    asked: Rows


@dataclass(frozen=True)
class Task:
    """One set of documents and the queries that are asked of it.

    relevant: for each query, gain by document row; None where nobody judged and there is but recall of the exact cosine
        neighbours.
    out_of_domain: other vectors of the same model, for what is fitted without looking at the documents; None where there are
        none.
    folds: for what learns from queries; none where the documents stand in for them.
    """

    name: str
    documents: Floats
    queries: Floats
    relevant: Sequence[Mapping[int, float]] | None = None
    out_of_domain: Floats | None = None
    folds: Sequence[Fold] = field(default=())

    @property
    def dim(self) -> int:
        return int(self.documents.shape[1])


def _vectors(path: Path) -> Floats:
    return np.ascontiguousarray(np.load(path), dtype=np.float32)


def _two_folds(queries: Floats) -> list[Fold]:
    """Queries of even rows are asked after fitting on the odd ones, and the other way round."""
    rows = np.arange(len(queries))
    return [Fold(queries[1 - part :: 2], rows[part::2]) for part in (0, 1)]


def judgements(path: Path, query_rows: Mapping[str, int], document_rows: Mapping[str, int]) -> dict[int, dict[int, float]]:
    """Gain by document row, by query row, of a tab-separated file query-id, corpus-id, score."""
    found: dict[int, dict[int, float]] = {}
    with open(path, encoding="utf-8") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            if float(line["score"]) > 0:
                found.setdefault(query_rows[line["query-id"]], {})[document_rows[line["corpus-id"]]] = float(line["score"])
    return found


def scifact(data: Path, model: str, name: str) -> Task:
    """The 300 test claims; the 809 training claims are there to learn from. Out of domain: descriptions of Debian packages."""
    with open(data / "scifact/queries.jsonl", encoding="utf-8") as file:
        query_rows = {json.loads(line)["_id"]: row for row, line in enumerate(file)}
    with gzip.open(data / "scifact/corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        document_rows = {json.loads(line)["_id"]: row for row, line in enumerate(file)}
    test = judgements(data / "scifact/qrels/test.tsv", query_rows, document_rows)
    documents, claims = _vectors(data / model / "scifact-docs.npy"), _vectors(data / model / "scifact-queries.npy")
    if len(documents) != len(document_rows) or len(claims) != len(query_rows):
        expected = f"expected {len(document_rows)} and {len(query_rows)}"
        raise ValueError(f"{model} has {len(documents)} documents and {len(claims)} queries, {expected}")
    asked = sorted(test)
    training = claims[sorted(set(range(len(claims))) - set(asked))]
    return Task(
        name, documents, claims[asked], [test[row] for row in asked], _vectors(data / model / "debian.npy"),
        [Fold(training, np.arange(len(asked)))],
    )


def checkpoint(data: Path, part: str, name: str, out_of_domain: str) -> Task:
    """One line of text asks for the one long text it belongs to: 1,000 queries, 5,000 documents, of MiniLM as published."""
    folder = data / "drift-checkpoints"
    queries = _vectors(folder / f"step0.{part}.queries.npy")
    relevant: list[dict[int, float]] = [{} for _ in queries]
    for query, document in np.load(folder / f"{part}.relevant.npy"):
        relevant[int(query)][int(document)] = 1.0
    return Task(
        name, _vectors(folder / f"step0.{part}.docs.npy"), queries, relevant, _vectors(data / f"minilm/{out_of_domain}.npy"),
        _two_folds(queries),
    )


def debian(data: Path) -> Task:
    """62,440 descriptions of packages; 1,000 others are the queries, so the documents stand in for queries to learn from."""
    rows = _vectors(data / "minilm/debian.npy")
    np.random.default_rng(0).shuffle(rows)
    return Task("debian", rows[:-1000], rows[-1000:], None, _vectors(data / "minilm/scifact-docs.npy"))


def fashion(data: Path) -> Task:
    """60,000 images of 784 pixels from 0 to 255, and the first 1,000 test images. No other such vectors are there."""
    own = data / "fashion-mnist"
    folder = own if own.is_dir() else FASHION

    def images(name: str, count: int) -> Floats:
        with gzip.open(folder / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)[:count].astype(np.float32)

    return Task("fashion", images("train-images-idx3-ubyte.gz", 60_000), images("t10k-images-idx3-ubyte.gz", 1000))


LOADERS: dict[str, Callable[[Path], Task]] = {
    "scifact": lambda data: scifact(data, "minilm", "scifact"),
    "packages": lambda data: checkpoint(data, "debian", "packages", "scifact-docs"),
    "glosses": lambda data: checkpoint(data, "wordnet", "glosses", "debian"),
    "wordllama": lambda data: scifact(data, "wordllama", "wordllama"),
    "debian": debian,
    "fashion": fashion,
}
