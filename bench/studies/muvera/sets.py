"""Real documents of several vectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]
Items = tuple[Floats, Offsets]  # rows, and where each item begins
QUERIES = 100


@dataclass(frozen=True)
class Set:
    """Token vectors of length 1, and queries that are none of the documents."""

    name: str
    documents: Items
    queries: Items

    @property
    def size(self) -> int:
        return len(self.documents[1]) - 1


def floats(path: Path) -> Floats:
    return np.ascontiguousarray(np.load(path), dtype=np.float32)


def items(folder: Path, name: str) -> Items:
    """What an embedder wrote of texts' tokens."""
    return floats(folder / f"{name}.tokens.npy"), np.load(folder / f"{name}.offsets.npy").astype(np.int64)


def lotte(data: Path) -> Set:
    """ColBERTv2's tokens of 250 documents of LoTTE, 50 queries of 32."""
    folder = data / "lotte-dev-colbert"
    queries = np.load(folder / "query_tokens.npy").astype(np.float32)
    offsets = np.arange(len(queries) + 1) * queries.shape[1]
    documents = (floats(folder / "doc_tokens.npy"), np.load(folder / "doc_offsets.npy").astype(np.int64))
    return Set("lotte, ColBERTv2", documents, (queries.reshape(-1, queries.shape[2]), offsets))


def scifact(data: Path) -> Set:
    """MiniLM's token states of abstracts, asked for by the first claims."""
    documents, claims = items(data / "tokens", "scifact-docs"), items(data / "tokens", "scifact-queries")
    kept = claims[1][: min(QUERIES, len(claims[1]) - 1) + 1]
    return Set("scifact, MiniLM", documents, (claims[0][: kept[-1]], kept))


LOADERS: dict[str, Callable[[Path], Set]] = {"lotte": lotte, "scifact": scifact}


def facts(given: Set) -> dict[str, Any]:
    lengths = np.diff(given.documents[1])
    return {
        "set": given.name, "documents": given.size, "vectors": len(given.documents[0]), "dim": given.documents[0].shape[1],
        "vectors a document": float(lengths.mean()), "queries": len(given.queries[1]) - 1,
        "vectors a query": float(np.diff(given.queries[1]).mean()),
    }


def dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
