"""LIMIT: texts that say who likes what, queries that ask who likes one thing, and the two documents that each is about."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from muvera.sets import Floats, Items, floats, items

# Token vectors of all 50,000 documents would be 13 GB of f32.
SAMPLE = 5000


@dataclass(frozen=True)
class Set:
    name: str
    documents: list[str]
    queries: list[str]
    relevant: npt.NDArray[np.int64]  # a query a row: the rows of its two documents
    vectors: tuple[Floats, Floats] | None  # one of length 1 a document, a query
    tokens: tuple[Items, Items] | None  # of documents, of queries
    absent: Path | None = None  # the vectors' file, where only words can be measured

    @property
    def size(self) -> int:
        return len(self.documents)


@dataclass(frozen=True)
class Texts:
    documents: list[str]
    queries: list[str]
    relevant: npt.NDArray[np.int64]


def _records(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _texts(corpus: Path, judged: Path) -> Texts:
    documents, queries = _records(corpus), _records(judged / "queries.jsonl")
    row_of = {document["_id"]: row for row, document in enumerate(documents)}
    relevant: dict[str, list[int]] = {}
    for judgement in _records(judged / "qrels.jsonl"):
        relevant.setdefault(judgement["query-id"], []).append(row_of[judgement["corpus-id"]])
    wrong = [query["_id"] for query in queries if len(relevant.get(query["_id"], ())) != 2]
    if wrong:
        raise ValueError(f"{judged / 'qrels.jsonl'}: {wrong[0]} has {len(relevant.get(wrong[0], ()))} documents, expected 2")
    return Texts(
        [document["text"] for document in documents], [query["text"] for query in queries],
        np.array([sorted(relevant[query["_id"]]) for query in queries], dtype=np.int64),
    )


def small_texts(data: Path) -> Texts:
    return _texts(data / "limit/limit-small/corpus.jsonl", data / "limit/limit-small")


def rebuilt_texts(data: Path) -> Texts:
    return _texts(data / "limit/limit-rebuilt/corpus.jsonl.gz", data / "limit/limit")


def sampled(texts: Texts, size: int = SAMPLE) -> npt.NDArray[np.int64]:
    """Rows, ascending: all that a query is about, and the first others; these are random, each made like the other."""
    wanted = np.unique(texts.relevant)
    others = np.setdiff1d(np.arange(len(texts.documents)), wanted)[: max(size - len(wanted), 0)]
    return np.sort(np.concatenate([wanted, others]))


def within(texts: Texts, rows: npt.NDArray[np.int64]) -> Texts:
    return Texts([texts.documents[row] for row in rows], texts.queries, np.searchsorted(rows, texts.relevant))


def _checked(name: str, texts: Texts, vectors: tuple[Floats, Floats], tokens: tuple[Items, Items] | None = None) -> Set:
    counted = [("vectors of documents", len(vectors[0]), len(texts.documents)), ("vectors of queries", len(vectors[1]), len(texts.queries))]
    if tokens is not None:
        counted += [("items of documents' tokens", len(tokens[0][1]) - 1, len(texts.documents)),
                    ("items of queries' tokens", len(tokens[1][1]) - 1, len(texts.queries))]
    for what, got, expected in counted:
        if got != expected:
            raise ValueError(f"{name}: {got} {what}, expected {expected}")
    return Set(name, texts.documents, texts.queries, texts.relevant, vectors, tokens)


def _vectors(data: Path, documents: str, queries: str) -> tuple[Floats, Floats]:
    return floats(data / f"vectors/{documents}.npy"), floats(data / f"vectors/{queries}.npy")


def _tokens(data: Path, documents: str, queries: str) -> tuple[Items, Items]:
    return items(data / "tokens", documents), items(data / "tokens", queries)


def small(data: Path) -> Set:
    """limit-small as published."""
    names = ("limit-small-docs", "limit-small-queries")
    return _checked("limit-small", small_texts(data), _vectors(data, *names), _tokens(data, *names))


def sample(data: Path) -> Set:
    """What a query is about and the first others."""
    texts, names = rebuilt_texts(data), (f"limit-{SAMPLE}", "limit-queries")
    rows = sampled(texts)
    return _checked(f"LIMIT rebuilt, {len(rows):,} documents", within(texts, rows), _vectors(data, *names), _tokens(data, *names))


def rebuilt(data: Path) -> Set:
    """All documents; words need no vectors."""
    texts = rebuilt_texts(data)
    name = f"LIMIT rebuilt, {len(texts.documents):,} documents"
    try:
        vectors = _vectors(data, "limit-docs", "limit-queries")
    except FileNotFoundError as error:
        return Set(name, texts.documents, texts.queries, texts.relevant, None, None, Path(error.filename))
    return _checked(name, texts, vectors)


LOADERS: dict[str, Callable[[Path], Set]] = {"small": small, "sample": sample, "rebuilt": rebuilt}


def write_texts(data: Path, folder: Path) -> list[Path]:
    """The texts that an embedder reads, one a line."""
    folder.mkdir(parents=True, exist_ok=True)
    little, whole = small_texts(data), rebuilt_texts(data)
    written = []
    for name, lines in (
        ("limit-small-docs", little.documents), ("limit-small-queries", little.queries), ("limit-docs", whole.documents),
        (f"limit-{SAMPLE}", within(whole, sampled(whole)).documents), ("limit-queries", whole.queries),
    ):
        written.append(folder / f"{name}.txt")
        written[-1].write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return written


def facts(given: Set) -> dict[str, Any]:
    def a_text(part: int) -> float | str:
        return "" if given.tokens is None else float(np.diff(given.tokens[part][1]).mean())

    return {
        "set": given.name, "documents": given.size, "queries": len(given.queries), "values a vector": "" if given.vectors is None else given.vectors[0].shape[1],
        "tokens a document": a_text(0), "tokens a query": a_text(1),
    }
