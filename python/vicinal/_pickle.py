"""An index as bytes: those of its file."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Callable

from . import _vicinal


def dump(index: _vicinal.Index) -> bytes:
    with tempfile.TemporaryDirectory(prefix="vicinal-") as folder:
        path = os.path.join(folder, "index.vcn")
        index.save(path)
        with open(path, "rb") as file:
            return file.read()


def load(data: bytes) -> _vicinal.Index:
    with tempfile.TemporaryDirectory(prefix="vicinal-") as folder:
        path = os.path.join(folder, "index.vcn")
        with open(path, "wb") as file:
            file.write(data)
        return _vicinal.open(path, mmap=False)


def reduce(index: _vicinal.Index) -> tuple[Callable[[bytes], _vicinal.Index], tuple[Any, ...]]:
    return load, (dump(index),)
