"""A progress bar for a terminal and for a notebook; nothing where the output is neither."""

from __future__ import annotations

import os
import sys
import time
from typing import Any


class _Terminal:
    def __init__(self) -> None:
        self._drawn = False

    def draw(self, phase: str, share: float, left: float | None) -> None:
        width = 28
        full = int(width * share)
        rest = "" if left is None else f"  {left:.0f} s left"
        sys.stderr.write(f"\r\x1b[K{phase:<12} {'█' * full}{'░' * (width - full)} {share:4.0%}{rest}")
        sys.stderr.flush()
        self._drawn = True

    def close(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class _Notebook:
    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None

    def draw(self, phase: str, share: float, left: float | None) -> None:
        rest = "" if left is None else f" {left:.0f} s left"
        page = {
            "text/html": f"<span style='display:inline-block;width:9em'>{phase}</span><progress max='1' value='{share:.3f}' "
            f"style='width:20em;vertical-align:middle'></progress> {share:.0%}{rest}",
            "text/plain": f"{phase} {share:.0%}",
        }
        if self._handle is None:
            self._handle = self._display(page, raw=True, display_id=True)
        else:
            self._handle.update(page, raw=True)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)


def _notebook_display() -> Any:
    """IPython's display function in a notebook's kernel, None elsewhere. Never imports IPython: a kernel has done so."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

    return display


class ProgressBar:
    """progress(phase, done, total) for vicinal.build; wiped away on close."""

    def __init__(self, shown: bool | None = None) -> None:
        """`shown`: None shows it in a notebook and on a terminal only."""
        display = _notebook_display() if shown is not False else None
        terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._view: _Terminal | _Notebook | None = None
        if display is not None:
            self._view = _Notebook(display)
        elif sys.stderr is not None and shown is not False and (shown or terminal):
            self._view = _Terminal()
        self._phase = ""
        self._start = 0.0

    @property
    def visible(self) -> bool:
        return self._view is not None

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._view is None or total == 0:
            return
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._start = phase, now
        share = min(1.0, done / total)
        left = (now - self._start) * (1 - share) / share if share > 0.05 else None
        self._view.draw(phase, share, left)

    def close(self) -> None:
        if self._view is not None:
            self._view.close()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
