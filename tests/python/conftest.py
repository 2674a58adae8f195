"""What the tests share: data, and the exact answers by NumPy."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Callable

import numpy as np
import numpy.typing as npt
import pytest

import vicinal
from vicinal import _arrays

Floats = npt.NDArray[np.float32]

# A shell starts background jobs with SIGINT ignored, and what is ignored stays so in every child: Ctrl-C would do nothing at all.
signal.signal(signal.SIGINT, signal.default_int_handler)


def exact_distances(base: Floats, queries: Floats, metric: str) -> npt.NDArray[np.float64]:
    """(queries, base) in double precision; smaller is closer."""
    rows, points = base.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        return np.asarray(((points[:, None, :] - rows[None, :, :]) ** 2).sum(-1))
    products = points @ rows.T
    if metric == "ip":
        return np.asarray(-products)
    return np.asarray(1 - products / np.linalg.norm(points, axis=1)[:, None] / np.linalg.norm(rows, axis=1))


@pytest.fixture(scope="session")
def base() -> Floats:
    return np.random.default_rng(1).standard_normal((600, 24), dtype=np.float32)


@pytest.fixture(scope="session")
def queries() -> Floats:
    return np.random.default_rng(2).standard_normal((15, 24), dtype=np.float32)


@pytest.fixture(scope="session")
def flat(base: Floats) -> vicinal.Index:
    return vicinal.build(base, "flat", metric="l2", threads=1)


@pytest.fixture(scope="session")
def graph(base: Floats) -> vicinal.Index:
    return vicinal.build(base, "hnsw(m=16, efc=100)", metric="l2", threads=1)


@pytest.fixture
def copies_unsaid() -> None:
    """Every reason to copy is said again."""
    _arrays._said.clear()


@pytest.fixture(scope="session")
def oracle() -> Callable[..., Any]:
    return exact_distances


@pytest.fixture
def saved(flat: vicinal.Index, tmp_path: Path) -> Path:
    path = tmp_path / "saved.vcn"
    flat.save(path)
    return path
