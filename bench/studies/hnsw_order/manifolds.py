"""Points on manifolds of known dimension, and controlled sets that are made of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .lid import Floats

Generator = np.random.Generator
Labels = npt.NDArray[np.int64]


def directions(count: int, dim: int, generator: Generator) -> npt.NDArray[np.float64]:
    """(count, dim) random orthonormal rows."""
    return np.linalg.qr(generator.standard_normal((dim, count)))[0].T


def sphere(count: int, intrinsic: int, dim: int, generator: Generator) -> Floats:
    """Evenly on a sphere of that dimension, in a random subspace: no boundary, where estimates would be too small."""
    points = generator.standard_normal((count, intrinsic + 1))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return (points @ directions(intrinsic + 1, dim, generator)).astype(np.float32)


def cube(count: int, intrinsic: int, dim: int, generator: Generator) -> Floats:
    """Evenly in a cube of that dimension, in a random subspace."""
    return (generator.random((count, intrinsic)) @ directions(intrinsic, dim, generator)).astype(np.float32)


def swiss_roll(count: int, intrinsic: int, dim: int, generator: Generator) -> Floats:
    """A sheet of that dimension, rolled up along one of its sides: the arc length along the spiral is even."""
    sides = generator.random((count, intrinsic))
    # Of an Archimedean spiral of radius t the length up to t is near t^2 / 2.
    low, high = 1.5 * np.pi, 4.5 * np.pi
    t = np.sqrt(low**2 + sides[:, 0] * (high**2 - low**2))
    flat = np.column_stack([t * np.cos(t), t * np.sin(t), 20 * sides[:, 1:]])
    return (flat @ directions(intrinsic + 1, dim, generator)).astype(np.float32)


def gaussian(count: int, intrinsic: int, dim: int, generator: Generator) -> Floats:
    """Of normal distribution in a random subspace: dense in the middle, ever sparser outwards, so that LID is not even."""
    return (generator.standard_normal((count, intrinsic)) @ directions(intrinsic, dim, generator)).astype(np.float32)


def mixture(
    count: int, intrinsic: tuple[int, ...], dim: int, apart: float, generator: Generator
) -> tuple[Floats, Labels]:
    """Gaussians of different dimensions, of as many points each and of mean squared length 1, about centres of length `apart`.

    With apart=0 they have one centre: the points of few dimensions, of which many are near it, are then the nearest neighbours of
    nearly all of the others, hubs.
    """
    labels = generator.integers(len(intrinsic), size=count)
    centres = apart * directions(len(intrinsic), dim, generator)
    points = centres[labels].astype(np.float32)
    for label, inside in enumerate(intrinsic):
        chosen = labels == label
        points[chosen] += gaussian(int(chosen.sum()), inside, dim, generator) / np.float32(inside**0.5)
    return points, labels


def clusters(count: int, parts: int, intrinsic: int, dim: int, spread: float, generator: Generator) -> tuple[Floats, Labels]:
    """Gaussians of one dimension, each in a subspace of its own, about centres of length near 1; `spread` is their own mean length."""
    labels = generator.integers(parts, size=count)
    centres = generator.standard_normal((parts, dim)) / dim**0.5
    points = centres[labels].astype(np.float32)
    for label in range(parts):
        chosen = labels == label
        points[chosen] += np.float32(spread / intrinsic**0.5) * gaussian(int(chosen.sum()), intrinsic, dim, generator)
    return points, labels
