"""What README.md and docs/guide show is run, and the runner fails where a page is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import document_runner
from document_runner import ROOT, Failure

GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDE], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_page_runs_and_prints_what_it_shows(page: Path) -> None:
    try:
        document_runner.check_page(page, document_runner.languages_of(page))
        return
    except Failure as failure:
        message = str(failure)
    pytest.fail(message, pytrace=False)


def test_the_guide_is_there() -> None:
    assert {page.stem for page in GUIDE} >= {"choosing", "compression", "filters", "from-others", "memory", "quickstart"}


def check(folder: Path, text: str, name: str = "page.md") -> None:
    page = folder / name
    page.write_text(text)
    document_runner.check_page(page, document_runner.languages_of(page))


def fails(folder: Path, text: str, message: str, name: str = "page.md") -> None:
    with pytest.raises(Failure, match=message):
        check(folder, text, name)


def test_blocks_share_a_namespace_and_a_folder(tmp_path: Path) -> None:
    check(tmp_path, "```python\nopen('a', 'w').write('b')\nx = 2\n```\nthen\n```sh\ntest $(cat a) = b; echo c > d\n```\n"
          "```python\nprint(x, open('d').read().strip(), end='')\n```\n\n```text\n2 c\n```\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.md"]


@pytest.mark.parametrize("shown", ["3\n", "", "2\n2\n", "2 \n"])
def test_another_output_fails(tmp_path: Path, shown: str) -> None:
    fails(tmp_path, f"one\n\n```python\nprint(2)\n```\n```text\n{shown}```\n", "^page.md:7: the output is another one")


def test_a_block_that_raises_fails_at_its_line(tmp_path: Path) -> None:
    fails(tmp_path, "```python\nx = 1\n```\n\n```python\ny = 2\nx / 0\n```\n", "^page.md:7: (.|\n)*ZeroDivisionError")
    fails(tmp_path, "```python\nx = 1\nraise KeyboardInterrupt\n```\n", "^page.md:3: (.|\n)*KeyboardInterrupt")
    fails(tmp_path, "```python\nx = 1\nx +\n```\n", "^page.md:3: (.|\n)*SyntaxError")


def test_a_process_that_dies_fails(tmp_path: Path) -> None:
    fails(tmp_path, "```python\nimport os\nos._exit(0)\n```\n", "^page.md:1: the process")


def test_a_command_that_fails_fails(tmp_path: Path) -> None:
    fails(tmp_path, "```sh\ntrue\n```\n```sh\nfalse\ntrue\n```\n", "^page.md:5: exit status 1")


def test_the_shell_has_the_programs_of_this_environment(tmp_path: Path) -> None:
    check(tmp_path, "```sh\nvicinal --version\npython -c 'import vicinal'\n```\n")


def test_a_page_without_blocks_fails(tmp_path: Path) -> None:
    fails(tmp_path, "words\n", "^page.md:1: the page has no block")


@pytest.mark.parametrize(
    "before",
    ["", "```sh\ntrue\n```\n", "```python\nprint(2)\n```\nwords\n", "```python\n\n```\n```text\n```\n"],
)
def test_an_output_of_nothing_fails(tmp_path: Path, before: str) -> None:
    line = before.count("\n") + 1
    fails(tmp_path, before + "```text\n2\n```\n", f"^page.md:{line}: a text block is what a python block prints")


def test_another_language_fails_but_in_the_readme(tmp_path: Path) -> None:
    text = "```cpp\nint main();\n```\n```sh\nfalse\n```\n```python\nprint(2)\n```\n```text\n{}\n```\n"
    fails(tmp_path, text, "^page.md:1: a block of language 'cpp'")
    check(tmp_path, text.format(2), "README.md")
    fails(tmp_path, text.format(3), "^README.md:11: the output is another one", "README.md")


def test_a_block_without_end_fails(tmp_path: Path) -> None:
    fails(tmp_path, "\n```python\nprint(2)\n", "^page.md:2: the block is not closed")


def test_update_writes_what_was_printed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n```python\nprint(2)\n```\n```text\n3\n4\n```\nb\n```python\nprint(5, 6, sep='\\n')\n```\n\n```text\n```\nc\n"
    )
    command = [sys.executable, document_runner.__file__]
    wrong = subprocess.run([*command, page], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and wrong.stderr.startswith("page.md:6: the output is another one")
    subprocess.run([*command, "--update", page], check=True)
    assert page.read_text() == (
        "a\n```python\nprint(2)\n```\n```text\n2\n```\nb\n```python\nprint(5, 6, sep='\\n')\n```\n\n```text\n5\n6\n```\nc\n"
    )
    subprocess.run([*command, page], check=True)
