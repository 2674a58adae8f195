"""The types that are promised: checked by mypy against the package that is installed, and against the binding itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vicinal
from vicinal import _vicinal

pytest.importorskip("mypy")

HERE = Path(__file__).parent
CORE = [
    "__init__", "__main__", "_arrays", "_calibration", "_changing", "_collection", "_errors", "_explore", "_filters", "_functions", "_hits", "_live", "_pickle",
    "_progress", "_rows", "_writer", "multivector",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"--cache-dir={tmp_path_factory.mktemp('mypy')}"


def mypy(module: str, *arguments: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_core_is_strict(tmp_path: Path, cache: str) -> None:
    modules = ["vicinal" if name == "__init__" else f"vicinal.{name}" for name in CORE]
    mypy("mypy", "--strict", cache, *[part for name in modules for part in ("-m", name)], folder=tmp_path)


def test_a_user_is_strict(tmp_path: Path, cache: str) -> None:
    mypy("mypy", "--strict", cache, str(HERE / "typed_example.py"), folder=tmp_path)


def test_a_wrong_use_is_seen(tmp_path: Path, cache: str) -> None:
    code = "import vicinal\nindex = vicinal.open('a', mmap=1.5)\nindex.search([1.0], effort='much')\n"
    (tmp_path / "wrong.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", cache, "wrong.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.count("[arg-type]") == 2, done.stdout


def test_the_example_runs(tmp_path: Path) -> None:
    scope: dict[str, Any] = {"__name__": "typed_example"}
    exec(compile((HERE / "typed_example.py").read_text(), "typed_example.py", "exec"), scope)
    assert scope["nearest"](tmp_path) == 1.0
    assert scope["best_pair"]() == (0, 1.0)
    called = (HERE / "typed_example.py").read_text()
    left_out = [name for name in vicinal.__all__ if f"vicinal.{name}" not in called]
    assert left_out == ["CopyWarning", "Writer", "__version__"]


def test_the_stub_is_complete(tmp_path: Path) -> None:
    mypy("mypy.stubtest", "vicinal._vicinal", "--allowlist", str(HERE / "stubtest_allowlist.txt"), folder=tmp_path)


def _shape(function: ast.FunctionDef) -> tuple[Any, ...]:
    """Names, kinds and defaults of the arguments."""
    given = function.args
    return (
        [argument.arg for argument in given.posonlyargs + given.args], [ast.dump(value) for value in given.defaults],
        [argument.arg for argument in given.kwonlyargs], [value and ast.dump(value) for value in given.kw_defaults],
    )


def test_signatures_of_the_binding() -> None:
    stub = ast.parse((Path(vicinal.__file__).parent / "_vicinal.pyi").read_text())
    functions = [(_vicinal, node) for node in stub.body if isinstance(node, ast.FunctionDef)]
    for kind in (node for node in stub.body if isinstance(node, ast.ClassDef)):
        owner = getattr(_vicinal, kind.name)
        functions += [(owner, node) for node in kind.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("__")]
    compared = 0
    for owner, node in functions:
        bound = getattr(owner, node.name)
        if not hasattr(bound, "__nb_signature__"):  # a property
            continue
        (signature, *_), = bound.__nb_signature__
        compared += 1
        parsed = ast.parse(re.sub(r"ndarray\[.*?\]", "object", signature) + ": ...").body[0]
        assert isinstance(parsed, ast.FunctionDef) and _shape(parsed) == _shape(node), signature
    assert compared == 47
