"""A `.vcn` file and what its format has no room for.

The index goes into the `.vcn` file at the path given. What it cannot say (a capacity, vectors marked as deleted) goes into
`<path>.vicinal.json` beside it, which is written only where there is something to say, and which names the file it belongs to
by its uuid: a leftover of another file is ignored. The `.vcn` file is complete without it: the same vectors under the same ids.
As a `.vcn` file holds at least one vector, the notes of an empty index stand at the path itself.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from contextlib import contextmanager
from typing import Any, Iterator

import numpy as np
import numpy.typing as npt

from .. import _functions, _pickle
from .._errors import CorruptFile
from .._vicinal import Index

Notes = dict[str, Any]

_UUID = slice(40, 56)  # of the superblock: a function of the content
_PACK = b"VICINAL-PACKED-1"


def _notes_path(path: str) -> str:
    return path + ".vicinal.json"


def _replace(path: str, text: str) -> None:
    """Whole or not at all."""
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        with open(temporary, "x", encoding="ascii") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _parse(text: bytes, source: str) -> Notes:
    try:
        notes = json.loads(text.decode("ascii"))
    except ValueError as error:
        raise CorruptFile(f"{source}: neither a .vcn file nor notes on one: {error}") from None
    if not isinstance(notes, dict):
        raise CorruptFile(f"{source}: holds a JSON {type(notes).__name__}, expected an object")
    return notes


@contextmanager
def checked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Makes what notes of the wrong kind cause an error that says so."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeError(f"the notes on {os.fspath(path)} are damaged: {error!r}") from error


def write(path: str | os.PathLike[str], index: Index | None, notes: Notes) -> None:
    """The index (None: there are no vectors) and the notes on it."""
    target = os.fspath(path)
    if index is None:
        _replace(target, json.dumps(notes))
    else:
        index.save(target)
        if notes:
            with open(target, "rb") as file:
                uuid = file.read(_UUID.stop)[_UUID].hex()
            _replace(_notes_path(target), json.dumps({"of": uuid, **notes}))
            return
    if os.path.exists(_notes_path(target)):
        os.unlink(_notes_path(target))


def read(path: str | os.PathLike[str], *, mmap: bool = False) -> tuple[Index | None, Notes]:
    source = os.fspath(path)
    head = b""
    if os.path.isfile(source):
        with open(source, "rb") as file:
            head = file.read(_UUID.stop)
            if head.startswith(b"{"):
                return None, _parse(head + file.read(), source)
    index = _functions.open(source, mmap=mmap)
    notes: Notes = {}
    if os.path.exists(_notes_path(source)):
        with open(_notes_path(source), "rb") as file:
            notes = _parse(file.read(), _notes_path(source))
        if notes.pop("of", None) != head[_UUID].hex():
            notes = {}
    return index, notes


def size(index: Index | None, notes: Notes) -> int:
    """Bytes of the file at the path itself."""
    return len(json.dumps(notes)) if index is None else len(_pickle.dump(index))


def pack(index: Index | None, notes: Notes) -> bytes:
    """Both in one: what `write` would write."""
    text = json.dumps(notes).encode("ascii")
    return _PACK + len(text).to_bytes(8, "little") + text + (b"" if index is None else _pickle.dump(index))


def unpack(data: bytes) -> tuple[Index | None, Notes]:
    begin = len(_PACK) + 8
    if len(data) < begin or not data.startswith(_PACK):
        raise CorruptFile(f"{len(data)} bytes that do not begin with {_PACK.decode()}: not a serialized index")
    end = begin + int.from_bytes(data[len(_PACK) : begin], "little")
    if end > len(data):
        raise CorruptFile(f"a serialized index was cut off: its notes end at byte {end} of {len(data)}")
    return _pickle.load(data[end:]) if end < len(data) else None, _parse(data[begin:end], "a serialized index")


def encode_rows(rows: npt.NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(rows, dtype="<f4").tobytes()).decode("ascii")


def decode_rows(text: Any, count: int, dim: int) -> npt.NDArray[np.float32]:
    data = base64.b64decode(text)
    if len(data) != 4 * count * dim:
        raise ValueError(f"notes hold {len(data)} bytes of vectors, expected {count} x {dim} x 4")
    return np.frombuffer(data, dtype="<f4").reshape(count, dim).astype(np.float32)
