"""Files that are damaged, newer, or no files."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

import vicinal
from vicinal import CorruptFile, IoError


@pytest.fixture
def checksum() -> Callable[[bytes], int]:
    xxhash = pytest.importorskip("xxhash")
    return lambda data: int(xxhash.xxh3_64_intdigest(data))


def test_truncated(saved: Path) -> None:
    data = saved.read_bytes()
    for length in (0, 1, 100, 191, 192, len(data) // 2, len(data) - 64, len(data) - 1):
        saved.write_bytes(data[:length])
        for read in (vicinal.open, lambda path: vicinal.open(path, mmap=True), vicinal.verify):
            with pytest.raises(CorruptFile, match=f"^{re.escape(str(saved))}: ..."):
                read(saved)


def test_any_altered_byte_is_found(saved: Path) -> None:
    data = saved.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(data), 60).tolist() + list(range(0, 128, 5)):
        altered = bytearray(data)
        altered[position] ^= 1 << position % 8
        saved.write_bytes(altered)
        with pytest.raises((CorruptFile, vicinal.Unsupported)):
            vicinal.open(saved)
        with pytest.raises((CorruptFile, vicinal.Unsupported)):
            vicinal.verify(saved)
        try:  # Mapped, checksums of content are left out; what opens answers.
            assert vicinal.open(saved, mmap=True).search(np.zeros(24, np.float32), 3).ids.shape == (3,)
        except (CorruptFile, vicinal.Unsupported):
            pass


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(os.urandom(1000))
    with pytest.raises(CorruptFile, match="other: "):
        vicinal.open(path)


def test_newer_version(saved: Path, checksum: Callable[[bytes], int]) -> None:
    data = bytearray(saved.read_bytes())
    data[12:14] = struct.pack("<H", 2)
    data[120:128] = struct.pack("<Q", checksum(bytes(data[:120])))
    saved.write_bytes(data)
    with pytest.raises(vicinal.Unsupported, match="version 2"):
        vicinal.open(saved)


def test_paths(tmp_path: Path, flat: vicinal.Index) -> None:
    for read in (vicinal.open, vicinal.verify, vicinal.Collection.open):
        with pytest.raises(IoError, match=f"cannot read {re.escape(str(tmp_path))}: it is a directory"):
            read(tmp_path)
        with pytest.raises(IoError, match="missing: No such file"):
            read(tmp_path / "missing")
        with pytest.raises(TypeError, match="int"):
            read(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="None"):
            read(None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="null byte"):
            read("a\0b")
    with pytest.raises(IoError, match="it is a directory"):
        flat.save(tmp_path)
    with pytest.raises(IoError, match="No such file or directory"):
        flat.save(tmp_path / "missing" / "index.vcn")
    with pytest.raises(IoError, match="not a regular file"):
        flat.save("/dev/full")
    with pytest.raises(IoError, match="File name too long"):
        flat.save(tmp_path / ("x" * 300))


def test_unwritable_folder(tmp_path: Path, flat: vicinal.Index) -> None:
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path / "locked"  # root may write everywhere else
    if os.geteuid() != 0:
        folder.mkdir(mode=0o500)
    with pytest.raises(IoError, match=str(folder)):
        flat.save(folder / "index.vcn")


def test_a_failed_save_leaves_the_old_file(saved: Path, flat: vicinal.Index) -> None:
    before = saved.read_bytes()
    with pytest.raises(IoError):
        flat.save(saved / "below")
    assert saved.read_bytes() == before and [entry.name for entry in saved.parent.iterdir()] == [saved.name]
