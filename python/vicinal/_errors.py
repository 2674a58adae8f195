"""The exceptions of the package, each one of Python's own kinds."""

from __future__ import annotations

from ._vicinal import CorruptFile, InvalidArgument, IoError, SpecError, Unsupported


class WrongType(TypeError):
    """An argument of a kind that cannot be used: an element type, an object that is no array."""


__all__ = ["CorruptFile", "InvalidArgument", "IoError", "SpecError", "Unsupported", "WrongType"]
