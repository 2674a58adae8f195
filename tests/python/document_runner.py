"""Runs the examples of Markdown pages.

Every ```python block of a page runs, in order, in one namespace, in a process and a temporary folder of the page's own. A ```text
block right after a python block is what that block prints, compared exactly. ```sh blocks run in bash, where `python` and
`vicinal` are those of this environment.

    python tests/python/document_runner.py docs/guide/quickstart.md           checks
    python tests/python/document_runner.py --update docs/guide/quickstart.md  writes what was printed into the text blocks
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("python", "text", "sh")


class Failure(Exception):
    """Says the file and the line."""


@dataclass(frozen=True)
class Block:
    language: str
    line: int  # of the first line inside
    content: str
    adjacent: bool  # to the block before: only blank lines lie between


@dataclass(frozen=True)
class Comparison:
    shown: Block
    printed: str


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name


def read_blocks(page: Path) -> list[Block]:
    blocks: list[Block] = []
    language: str | None = None
    start, inside, adjacent = 0, [""], False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        if line.startswith("```") and language is None:
            language, start, inside = line[3:].strip(), number + 1, []
        elif line.startswith("```"):
            blocks.append(Block(str(language), start, "".join(inside), adjacent))
            language, adjacent = None, True
        elif language is not None:
            inside.append(line)
        elif line.strip():
            adjacent = False
    if language is not None:
        raise Failure(f"{name_of(page)}:{start - 1}: the block is not closed")
    return blocks


def require_sound(page: Path, blocks: list[Block], languages: Iterable[str] | None) -> None:
    if not blocks:
        raise Failure(f"{name_of(page)}:1: the page has no block to run")
    for before, block in zip([None, *blocks], blocks):
        where = f"{name_of(page)}:{block.line - 1}"
        if languages is not None and block.language not in languages:
            raise Failure(f"{where}: a block of language '{block.language}', expected one of {', '.join(languages)}")
        if block.language == "text" and not (before and before.language == "python" and block.adjacent):
            raise Failure(f"{where}: a text block is what a python block prints, but none stands right before it")


def shell_environment(folder: Path) -> dict[str, str]:
    """The environment's own programs first; stand-ins for those it has no script of."""
    own = Path(sys.executable).parent
    folder.mkdir()
    for program, command in (("python", [sys.executable]), ("vicinal", [sys.executable, "-m", "vicinal"])):
        script = folder / program
        script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return dict(os.environ, PATH=os.pathsep.join([str(own), str(folder), os.environ.get("PATH", os.defpath)]))


def run_python(page: Path, block: Block, namespace: dict[str, Any]) -> str:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            # Line numbers of tracebacks are those of the page.
            exec(compile("\n" * (block.line - 1) + block.content, str(page), "exec"), namespace)
    except BaseException as error:  # KeyboardInterrupt and SystemExit end no page either
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
        if isinstance(error, SyntaxError) and error.filename == str(page):
            lines.append(error.lineno)
        outside = error.__traceback__.tb_next if error.__traceback__ else None  # not the frame above
        text = "".join(traceback.format_exception(type(error), error, outside))
        raise Failure(f"{name_of(page)}:{lines[-1] if lines else block.line}: {text}") from None
    output = printed.getvalue()
    return output if output.endswith("\n") or not output else output + "\n"  # as a block can show it


def run_shell(page: Path, block: Block, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.content],
        env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    if done.returncode != 0:
        raise Failure(f"{name_of(page)}:{block.line}: exit status {done.returncode} of\n{block.content}{done.stdout}")


def run_blocks(page: Path, blocks: list[Block], folder: Path) -> list[Comparison]:
    """In the process of the page, whose working directory it changes."""
    environment = shell_environment(folder / "programs")
    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    comparisons = []
    printed = ""
    for block in blocks:
        if block.language == "python":
            printed = run_python(page, block, namespace)
        elif block.language == "text":
            comparisons.append(Comparison(block, printed))
        elif block.language == "sh":
            run_shell(page, block, environment)
    return comparisons


def run_page(page: Path, only: Iterable[str] | None = None) -> list[Comparison]:
    """Runs a page. `only`: leave blocks of other languages alone; without it they are an error."""
    page = page.resolve()
    blocks = read_blocks(page)
    require_sound(page, blocks, LANGUAGES if only is None else None)
    wanted = [block for block in blocks if only is None or block.language in only]
    with tempfile.TemporaryDirectory(prefix="vicinal-documents-") as folder:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            try:
                return process.submit(run_blocks, page, wanted, Path(folder)).result()
            except BrokenProcessPool:
                raise Failure(f"{name_of(page)}:1: the process that ran the page ended without an answer") from None


def check_page(page: Path, only: Iterable[str] | None = None) -> None:
    for comparison in run_page(page, only):
        shown, printed = comparison.shown, comparison.printed
        if printed != shown.content:
            difference = "".join(
                difflib.unified_diff(shown.content.splitlines(True), printed.splitlines(True), "the page", "what was printed")
            )
            raise Failure(f"{name_of(page.resolve())}:{shown.line}: the output is another one\n{difference}")


def update_page(page: Path, only: Iterable[str] | None = None) -> None:
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    for comparison in reversed(run_page(page, only)):
        first = comparison.shown.line - 1
        lines[first : first + len(comparison.shown.content.splitlines())] = comparison.printed.splitlines(keepends=True)
    page.write_text("".join(lines), encoding="utf-8")


def languages_of(page: Path) -> tuple[str, ...] | None:
    """README.md has blocks that tests/readme/check_readme.py runs; here its Python is run."""
    return ("python", "text") if page.name == "README.md" else None


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the examples of Markdown pages.")
    parser.add_argument("--update", action="store_true", help="write what was printed into the text blocks")
    parser.add_argument("pages", nargs="+", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs, and then in every page
    status = 0
    for page in arguments.pages:
        try:
            (update_page if arguments.update else check_page)(page, languages_of(page))
        except Failure as failure:
            print(failure, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
