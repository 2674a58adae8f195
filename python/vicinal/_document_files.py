"""Documents on disk: JSON lines beside a `.vcn` file.

The first line describes the store and names the index file, each further line is a document, the last one holds their number and
the SHA-256 of everything before it. The index goes to a new file; renaming the new lines over the old ones is what makes the
change, so that whoever opens the store finds the old state or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ._documents import Contents, Documents, Entry, Payload
from ._errors import CorruptFile, InvalidArgument, Unsupported, WrongType
from ._functions import open as open_index
from ._vicinal import Index

_FORMAT, _VERSION = "vicinal documents", 1


def _line(value: Any) -> bytes:
    # ASCII: a line cannot be split by a separator of Unicode, and lone surrogates survive.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _is_index_name(name: object, path: Path) -> bool:
    """Whether `name` can be what save() called an index: anything else is neither opened nor removed."""
    return isinstance(name, str) and re.fullmatch(re.escape(path.name) + r"\.[0-9a-f]{32}\.vcn", name) is not None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def index_name(path: Path) -> str | None:
    """The name of the index file that the lines at `path` name, if they are ours."""
    try:
        with open(path, "rb") as file:
            header = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return None
    name = header.get("index") if isinstance(header, dict) and header.get("format") == _FORMAT else None
    return name if isinstance(name, str) and _is_index_name(name, path) else None


def save(documents: Documents[Payload], path: str | os.PathLike[str], kind: str, encode: Callable[[Payload], Any]) -> list[Path]:
    """Writes the lines to `path` and the index beside it: whole or not at all. Folders are made.

    Parameters
    ----------
    kind : str
        Whose documents these are; `load` refuses others.
    encode : callable
        A payload as something that JSON holds.

    Returns
    -------
    list of Path
        The files written, the lines last.
    """
    path = Path(path)
    contents = documents.contents()
    token = uuid.uuid4().hex
    index_path = path.with_name(f"{path.name}.{token}.vcn") if contents.index is not None else None
    header = {
        "format": _FORMAT, "version": _VERSION, "kind": kind, "metric": documents.metric, "spec": documents.spec,
        "seed": documents.seed, "next_id": contents.next_id, "index": None if index_path is None else index_path.name,
    }
    lines = [_line(header)]
    for key, entry in contents.entries:
        try:
            lines.append(_line({"id": entry.id, "key": key, "vector": entry.has_vector, "payload": encode(entry.payload)}))
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongType(f"document {key!r} cannot be written as JSON: {error}") from error
    checksum = hashlib.sha256()
    for line in lines:
        checksum.update(line)
    lines.append(_line({"documents": len(contents.entries), "sha256": checksum.hexdigest()}))

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{token}.tmp")
    written = [draft] if index_path is None else [draft, index_path]
    try:
        if contents.index is not None and index_path is not None:
            contents.index.save(index_path)
        with open(draft, "xb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        previous = index_name(path)
        os.replace(draft, path)
    except BaseException:
        for file_path in written:
            file_path.unlink(missing_ok=True)
        raise
    _sync(path.parent)
    if previous is not None:
        path.with_name(previous).unlink(missing_ok=True)
    return [path] if index_path is None else [index_path, path]


def _parse(data: bytes, path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header and the documents, checked against number and checksum."""
    try:
        values = [json.loads(line) for line in data.splitlines()]
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{path} is not JSON lines: {error}") from None
    if not values or not isinstance(values[0], dict) or values[0].get("format") != _FORMAT:
        raise CorruptFile(f"{path} holds no documents of vicinal")
    header = values[0]
    if header.get("version") != _VERSION:
        raise Unsupported(f"{path} has version {header.get('version')!r}, expected {_VERSION}")
    last = values[-1]
    body = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
    if not isinstance(last, dict) or last.get("documents") != len(values) - 2:
        raise CorruptFile(f"{path} has {max(0, len(values) - 2)} documents, or lost its last line")
    if last.get("sha256") != hashlib.sha256(body).hexdigest():
        raise CorruptFile(f"{path} does not match its checksum")
    return header, values[1:-1]


def _opened_index(header: dict[str, Any], path: Path, mmap: bool) -> Index | None:
    name = header.get("index")
    if name is None:
        return None
    if not _is_index_name(name, path):
        raise CorruptFile(f"{path} names the index file {name!r}, expected {path.name}.<32 hexadecimal digits>.vcn")
    index = open_index(path.with_name(name), mmap=mmap)
    if (index.metric, index.spec) != (header.get("metric"), header.get("spec")):
        raise CorruptFile(f"{name} is {index.metric}, {index.spec}; {path} says {header.get('metric')}, {header.get('spec')}")
    return index


def load(
    path: str | os.PathLike[str],
    kind: str,
    decode: Callable[[Any], Payload],
    *,
    mmap: bool = False,
    threads: int | None = None,
) -> Documents[Payload]:
    """What `save` wrote. `decode` makes a payload of what `encode` gave; `mmap` as for vicinal.open."""
    path = Path(path)
    header, values = _parse(path.read_bytes(), path)
    if header.get("kind") != kind:
        raise InvalidArgument(f"{path} holds documents of {header.get('kind')}, expected {kind}")
    index = _opened_index(header, path, mmap)
    try:
        documents: Documents[Payload] = Documents(
            header["spec"], metric=header["metric"], seed=int(header["seed"]), threads=threads
        )
        next_id = int(header["next_id"])
        entries = [
            (str(value["key"]), Entry(int(value["id"]), decode(value["payload"]), bool(value["vector"]))) for value in values
        ]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CorruptFile(f"{path} does not hold what it should: {type(error).__name__} {error}") from error
    ids = np.array([entry.id for _, entry in entries], dtype=np.int64)
    held = np.sort(ids[np.array([entry.has_vector for _, entry in entries], dtype=np.bool_)])
    if len({key for key, _ in entries}) != len(entries) or len(np.unique(ids)) != len(ids):
        raise CorruptFile(f"{path} holds a document twice")
    if len(ids) and not 0 <= ids.min() <= ids.max() < next_id:
        raise CorruptFile(f"{path} holds ids {ids.min()} to {ids.max()}, expected 0 to {next_id - 1}")
    indexed = np.empty(0, dtype=np.int64)
    if index is not None:
        indexed = np.arange(len(index), dtype=np.int64) if index.ids is None else np.asarray(index.ids)
    if not np.array_equal(held, indexed):
        raise CorruptFile(f"{path} has {len(held)} documents with a vector, its index {len(indexed)} or others")
    documents.restore(Contents(entries, next_id, index))
    return documents
