from __future__ import annotations

import os
import pty
import subprocess
import sys
import types
from typing import Any, Iterator

import numpy as np
import pytest

import vicinal
from vicinal._progress import ProgressBar

GRAPH = "hnsw(m=24, efc=200)"


@pytest.fixture(scope="module")
def slow_base() -> Any:
    """Its graph takes some tenths of a second to build: long enough for news."""
    return np.random.default_rng(0).standard_normal((3000, 48), dtype=np.float32)


def test_callback(slow_base: Any) -> None:
    news: list[tuple[str, int, int]] = []
    index = vicinal.build(slow_base, GRAPH, metric="l2", progress=lambda *args: news.append(args))
    assert len(index) == 3000 and news
    for phase, done, total in news:
        assert type(phase) is str and phase and type(done) is int and 0 <= done <= total
    shares: dict[str, list[int]] = {}
    for phase, done, _ in news:
        shares.setdefault(phase, []).append(done)
    assert all(values == sorted(values) for values in shares.values())


def test_what_a_callback_raises_comes_out_and_stops_the_build(slow_base: Any) -> None:
    def progress(phase: str, done: int, total: int) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        vicinal.build(slow_base, GRAPH, metric="l2", progress=progress)


def test_the_same_index_with_and_without(slow_base: Any) -> None:
    few = slow_base[:1500]
    with_callback = vicinal.build(few, GRAPH, metric="l2", progress=lambda *args: None)
    assert with_callback.search(few, 3).ids.tolist() == vicinal.build(few, GRAPH, metric="l2").search(few, 3).ids.tolist()


CODE = "import numpy as np, vicinal\nbase = np.random.default_rng(0).standard_normal((3000, 48), dtype=np.float32)\n"
CODE += "vicinal.build(base, 'hnsw(m=24, efc=200)', metric='l2', progress={progress})"


def on_terminal(progress: Any, term: str = "xterm") -> bytes:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": term}
    code = CODE.format(progress=progress)
    with subprocess.Popen([sys.executable, "-c", code], stderr=follower, stdout=follower, env=environment) as process:
        os.close(follower)
        written = b""
        try:
            while block := os.read(leader, 65536):
                written += block
        except OSError:  # the other end is closed
            pass
        os.close(leader)
    assert process.returncode == 0, written.decode()
    return written


def test_bar_on_a_terminal() -> None:
    written = on_terminal(None)
    assert b"%" in written and "█".encode() in written
    assert written.endswith(b"\r\x1b[K"), "wiped away"


@pytest.mark.parametrize(("progress", "term"), [(False, "xterm"), (None, "dumb")])
def test_no_bar(progress: Any, term: str) -> None:
    assert on_terminal(progress, term) == b""


@pytest.mark.parametrize(("progress", "shown"), [(None, False), (False, False), (True, True)])
def test_on_a_pipe(progress: Any, shown: bool) -> None:
    done = subprocess.run([sys.executable, "-c", CODE.format(progress=progress)], capture_output=True, timeout=60, check=True)
    assert bool(done.stderr) is shown and not done.stdout


def test_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with ProgressBar(None) as bar:
        assert not bar.visible
    with ProgressBar(True) as bar:  # asked for, but there is nowhere to show it
        bar("graph", 1, 2)


class _Handle:
    def __init__(self) -> None:
        self.pages: list[dict[str, str]] = []

    def update(self, page: dict[str, str], raw: bool) -> None:
        assert raw
        self.pages.append(page)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Handle]:
    handle = _Handle()

    def display(page: dict[str, str], raw: bool, display_id: bool) -> _Handle:
        assert raw and display_id
        handle.pages.append(page)
        return handle

    module, displays = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    module.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    displays.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    yield handle


def test_in_a_notebook(notebook: _Handle, slow_base: Any, capsys: pytest.CaptureFixture[str]) -> None:
    vicinal.build(slow_base, GRAPH, metric="l2")
    assert len(notebook.pages) >= 2
    assert "<progress max='1' value='" in notebook.pages[0]["text/html"] and "%" in notebook.pages[0]["text/plain"]
    assert notebook.pages[-1] == {"text/plain": "", "text/html": ""}
    assert capsys.readouterr().err == ""
    notebook.pages.clear()
    vicinal.build(slow_base[:500], GRAPH, metric="l2", progress=False)
    assert notebook.pages == []


def test_ipython_on_a_terminal_is_no_notebook(notebook: _Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace())
    assert not ProgressBar(None).visible
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not ProgressBar(None).visible


def test_what_the_bar_says(notebook: _Handle) -> None:
    with ProgressBar() as bar:
        bar("graph", 0, 0)  # nothing to tell yet
        assert notebook.pages == []
        bar("graph", 1, 4)
        assert notebook.pages[-1]["text/plain"] == "graph 25%"
        bar("graph", 9, 4)
        assert notebook.pages[-1]["text/plain"] == "graph 100%"
