from __future__ import annotations

import subprocess
import sys

import pytest

import vicinal


def python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


def test_import_needs_nothing_but_numpy() -> None:
    code = "\n".join([
        "import sys",
        "before = set(sys.modules)",
        "import vicinal",
        "names = {name.split('.')[0] for name in set(sys.modules) - before}",
        "print(*sorted(names - sys.stdlib_module_names))",
    ])
    assert set(python("-c", code).split()) <= {"vicinal", "numpy", "nanobind"}


def test_import_starts_no_thread_and_opens_no_file() -> None:
    code = "import os, numpy\nbefore = os.listdir('/proc/self/task'), len(os.listdir('/proc/self/fd'))\nimport vicinal\n"
    code += "print(before == (os.listdir('/proc/self/task'), len(os.listdir('/proc/self/fd'))))"
    assert python("-c", code) == "True\n"


def test_import_time(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import time, numpy\nstart = time.perf_counter()\nimport vicinal\nprint(time.perf_counter() - start)"
    seconds = float(python("-c", code))
    with capsys.disabled():
        print(f"\nimport vicinal after numpy: {seconds * 1e3:.1f} ms")


def test_what_is_public() -> None:
    assert vicinal.__all__ == sorted(vicinal.__all__)
    for name in vicinal.__all__:
        assert getattr(vicinal, name) is not None
    assert vicinal.__version__.count(".") == 2
    public = {"Calibration", "Collection", "Hits", "Index", "Writer", "build", "exact", "explain", "open", "recall"}
    assert public < set(vicinal.__all__)


def test_error_classes() -> None:
    assert issubclass(vicinal.InvalidArgument, ValueError) and issubclass(vicinal.SpecError, vicinal.InvalidArgument)
    assert issubclass(vicinal.Unsupported, ValueError) and issubclass(vicinal.WrongType, TypeError)
    assert issubclass(vicinal.IoError, OSError) and issubclass(vicinal.CorruptFile, OSError)
    assert issubclass(vicinal.CopyWarning, UserWarning)
