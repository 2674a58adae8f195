"""The sets: real embeddings and images, and controlled ones."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import numpy.typing as npt

from rag_storage.scoring import unit
from rag_storage.tasks import FASHION

from . import manifolds
from .lid import Floats
from .manifolds import Labels

QUERIES = 1000
DIM, MOST = 128, 10_000  # of the controlled sets: dimension and rows


@dataclass(frozen=True)
class Set:
    """Vectors without copies, compared by Euclidean distance (text embeddings have length 1, so that it ranks as cosine does), and
    queries that are not among them. categories: one a row of the base, or None."""

    name: str
    base: Floats
    queries: Floats
    categories: Labels | None = None


def distinct(points: Floats) -> npt.NDArray[np.int64]:
    """Rows of the first of each class of equal points, ascending: copies would make the order of equals part of the answer."""
    return np.sort(np.unique(points, axis=0, return_index=True)[1])


def split(name: str, points: Floats, labels: Labels | None, rows: int) -> Set:
    """Copies are dropped; of the others, in random order, the first `rows` are the base and QUERIES more the queries."""
    kept = np.random.default_rng(0).permutation(distinct(points))[: rows + QUERIES]
    base, queries = kept[:-QUERIES], kept[-QUERIES:]
    return Set(name, points[base], points[queries], None if labels is None else labels[base])


def _vectors(path: Path) -> Floats:
    return unit(np.ascontiguousarray(np.load(path), dtype=np.float32))


def _numbered(names: list[str]) -> Labels:
    return np.unique(np.array(names), return_inverse=True)[1].reshape(-1).astype(np.int64)


def debian(data: Path, rows: int, model: str, name: str) -> Set:
    """Descriptions of Debian's packages; the category of a package is its section."""
    points = _vectors(data / model / "debian.npy")
    with gzip.open(data / "debian-packages/packages.jsonl.gz", "rt", encoding="utf-8") as file:
        sections = _numbered([json.loads(line)["section"] for line in file])
    if len(sections) != len(points):
        raise ValueError(f"{model}/debian.npy has {len(points)} rows, packages.jsonl.gz {len(sections)}, expected the same")
    return split(name, points, sections, rows)


def scifact(data: Path, rows: int, model: str, name: str) -> Set:
    """Abstracts, asked for by claims, which are shorter: queries of another distribution than the base. No categories."""
    base = _vectors(data / model / "scifact-docs.npy")
    return Set(name, base[distinct(base)][:rows], _vectors(data / model / "scifact-queries.npy")[:QUERIES])


def fashion(data: Path, rows: int) -> Set:
    """Images of 784 pixels from 0 to 255, asked for by test images; ten labels."""
    own = data / "fashion-mnist"
    folder = own if own.is_dir() else FASHION

    def numbers(name: str, header: int) -> npt.NDArray[np.uint8]:
        with gzip.open(folder / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    points = numbers("train-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:rows].astype(np.float32)
    labels = numbers("train-labels-idx1-ubyte.gz", 8)[:rows].astype(np.int64)
    kept = distinct(points)
    queries = numbers("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:QUERIES].astype(np.float32)
    return Set("fashion", points[kept], queries, labels[kept])


def controlled(name: str, rows: int) -> Set:
    generator = np.random.default_rng(0)
    rows = min(rows, MOST)
    count = rows + QUERIES
    if name in ("mixture", "concentric"):
        apart = 1.0 if name == "mixture" else 0.0
        return split(name, *manifolds.mixture(count, (2, 5, 10, 20, 40), DIM, apart, generator), rows)
    if name == "clustered":
        return split(name, *manifolds.clusters(count, 50, 10, DIM, 0.5, generator), rows)
    kind, intrinsic = name.split("-")
    return split(name, getattr(manifolds, kind)(count, int(intrinsic), DIM, generator), None, rows)


CONTROLLED = ("sphere-20", "gaussian-5", "gaussian-10", "gaussian-20", "gaussian-40", "mixture", "concentric", "clustered")
Loader = Callable[[Path, int], Set]


def _of_name(name: str) -> Loader:
    return lambda _, rows: controlled(name, rows)


LOADERS: dict[str, Loader] = {
    "debian": lambda data, rows: debian(data, rows, "minilm", "debian"),
    "wordllama": lambda data, rows: debian(data, rows, "wordllama", "wordllama"),
    "scifact": lambda data, rows: scifact(data, rows, "minilm", "scifact"),
    "fashion": fashion,
    **{name: _of_name(name) for name in CONTROLLED},
}
