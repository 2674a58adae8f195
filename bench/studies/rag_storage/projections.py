"""Linear projections, fitted in double precision: principal components, and those that know the queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
_BLOCK = 8192  # rows that are converted to double precision at once


@dataclass(frozen=True)
class Moments:
    """Of `count` rows. mean: (dim,). covariance: (dim, dim) about the mean. second: (dim, dim) about zero."""

    count: int
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]


def moments(rows: Floats) -> Moments:
    dim = rows.shape[1]
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK].astype(np.float64)
        total += block.sum(axis=0)
        products += block.T @ block
    mean, second = total / len(rows), products / len(rows)
    return Moments(len(rows), mean, second - np.outer(mean, mean), second)


def principal(of: Moments) -> npt.NDArray[np.float64]:
    """(dim, dim) orthogonal, a component a row, largest variance first. Signs as scikit-learn since 1.5 has them: the largest
    entry of a component is positive. They matter to codes that are not symmetric about zero."""
    _, vectors = np.linalg.eigh(of.covariance)
    components = np.ascontiguousarray(vectors.T[::-1])
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    return np.asarray(components * np.sign(largest)[:, None])


def query_aware(documents: Moments, queries: Moments) -> tuple[Matrix, Matrix]:
    """(map of queries, map of documents), (dim, dim) each, most important row first: the first k rows of both give the products
    of rank k with the least expected squared error (LeanVec-Sphering, arXiv 2410.22347).

    With K the second moment of m queries, S the covariance of the documents and U the eigenvectors of K^1/2 S K^1/2, documents go
    by U^T K^1/2, queries by U^T K^-1/2. K is drawn towards a multiple of the identity by dim / (10 m): few queries give PCA.
    """
    dim = len(documents.mean)
    share = float(np.clip(dim / (10 * queries.count), 1e-3, 1))
    regular = (1 - share) * queries.second + share * np.trace(queries.second) / dim * np.eye(dim)
    values, vectors = np.linalg.eigh(regular)
    root, inverse = (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T
    _, directions = np.linalg.eigh(root @ documents.covariance @ root)
    basis = directions.T[::-1]
    return basis @ inverse, basis @ root
