"""Runs what the documentation shows, in a temporary folder, against an installed tree.

Every fenced block of README.md is run: ```sh by bash, ```cpp as a program, ```cmake as a project that builds the last cpp
block; ```python and the ```text it prints are run by tests/python/test_documents.py. A block of another language is an error
there, so nothing can be left out; commands in running text (`vicinal ...`, `make ...`, `pkg-config ...`) are run too. In docs/
and CONTRIBUTING.md the sh, cpp and cmake blocks are run, and others are taken for illustrations. Relative links must lead to
files; of docs/guide/, whose blocks tests/python/test_documents.py runs, nothing else is checked here.

`make` is a stand-in: building and testing from inside a test would not end. It checks that the Makefile knows the targets, and
for `install` it copies the installed tree to PREFIX.
"""

import argparse
import math
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

RUNNABLE = ("sh", "cpp", "cmake")
RUN_ELSEWHERE = ("python", "text")  # by tests/python/test_documents.py

MAKE_STAND_IN = """#!/usr/bin/env bash
set -euo pipefail
/usr/bin/env -u MAKEFLAGS -u MAKELEVEL "$REAL_MAKE" -C "$SOURCE" --dry-run "$@" >/dev/null
for argument in "$@"; do
  case $argument in
    PREFIX=*) prefix=${argument#PREFIX=} ;;
    install) install=yes ;;
  esac
done
if [ "${install-}" = yes ]; then mkdir -p "$prefix" && cp -a "$TREE/." "$prefix/"; fi
"""


class Failure(Exception):
    pass


def fenced_blocks(text):
    """(language, first line number, content) of every fenced block."""
    language, start, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if language is None:
                language, start, lines = line[3:].strip(), number + 1, []
            else:
                yield language, start, "\n".join(lines) + "\n"
                language = None
        elif language is not None:
            lines.append(line)
    if language is not None:
        raise Failure(f"line {start - 1}: the block is not closed")


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def inline_commands(text):
    return re.findall(r"`((?:vicinal|make|pkg-config) [^`]+)`", without_blocks(text))


def check_links(path, text):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", without_blocks(text)):
        if "://" not in target and not (path.parent / target).exists():
            raise Failure(f"{path.name}: the link to {target} leads nowhere")


def clustered_unit_vectors(rows, dim, seed):
    generator = random.Random(seed)
    centres = [[generator.gauss(0, 1) for _ in range(dim)] for _ in range(32)]
    for _ in range(rows):
        vector = [c + 0.5 * generator.gauss(0, 1) for c in generator.choice(centres)]
        norm = math.sqrt(sum(v * v for v in vector))
        yield [v / norm for v in vector]


def write_npy(path, rows, dim, vectors):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        for vector in vectors:
            file.write(struct.pack(f"<{dim}f", *vector))


class Runner:
    def __init__(self, source, tree, cmake, compiler, folder):
        self.cmake, self.compiler, self.tree, self.folder = cmake, compiler, tree, folder
        stand_ins = folder / ".stand-ins"
        stand_ins.mkdir()
        (stand_ins / "make").write_text(MAKE_STAND_IN)
        (stand_ins / "make").chmod(0o755)
        packages = [str(path.parent) for path in tree.rglob("vicinal.pc")]
        self.environment = dict(
            os.environ,
            PATH=os.pathsep.join([str(stand_ins), str(tree / "bin"), os.environ["PATH"]]),
            PKG_CONFIG_PATH=os.pathsep.join(packages),
            REAL_MAKE=shutil.which("make") or "make",
            SOURCE=str(source),
            TREE=str(tree),
        )
        self.program = None

    def execute(self, where, command):
        done = subprocess.run(command, cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise Failure(f"{where}: exit status {done.returncode} of\n{command[-1]}\n{done.stdout}")
        return done.stdout

    def sh(self, where, content):
        self.execute(where, ["bash", "-euo", "pipefail", "-c", content])

    def cpp(self, where, content):
        self.program = content
        (self.folder / "example.cpp").write_text(content)
        flags = self.execute(where, ["pkg-config", "--cflags", "--libs", "vicinal"]).split()
        warnings = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
        self.execute(where, [self.compiler, "-std=c++20", *warnings, "example.cpp", *flags, "-o", "example"])
        self.execute(where, ["./example"])

    def cmake_block(self, where, content):
        if self.program is None:
            raise Failure(f"{where}: a cmake block needs a cpp block before it, to build")
        project = self.folder / "project"
        project.mkdir(exist_ok=True)
        (project / "main.cpp").write_text(self.program)
        (project / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.25)\nproject(example LANGUAGES CXX)\n{content}")
        self.execute(where, [self.cmake, "-S", "project", "-B", "project/build", f"-DCMAKE_PREFIX_PATH={self.tree}",
                             f"-DCMAKE_CXX_COMPILER={self.compiler}"])
        self.execute(where, [self.cmake, "--build", "project/build"])


def check_document(path, everything, runner):
    """Returns how many examples were run. `everything`: no block may be left out."""
    text = path.read_text(encoding="utf-8")
    check_links(path, text)
    count = 0
    for language, line, content in fenced_blocks(text):
        where = f"{path.name}:{line}"
        if language in RUNNABLE:
            {"sh": runner.sh, "cpp": runner.cpp, "cmake": runner.cmake_block}[language](where, content)
            count += 1
        elif everything and language not in RUN_ELSEWHERE:
            runnable = ", ".join(RUNNABLE + RUN_ELSEWHERE)
            raise Failure(f"{where}: a block of language '{language}', expected one that can be run: {runnable}")
    if everything:
        for command in inline_commands(text):
            runner.sh(f"{path.name}, in running text", command)
            count += 1
    return count


def check_guide_links(source):
    for path in sorted((source / "docs" / "guide").glob("*.md")):
        check_links(path, path.read_text(encoding="utf-8"))


def check_all(source, tree, cmake, compiler):
    check_guide_links(source)
    documents = [(source / "README.md", True), (source / "CONTRIBUTING.md", False)]
    documents += [(path, False) for path in sorted((source / "docs").glob("*.md"))]
    base = list(clustered_unit_vectors(2000, 64, 1))
    queries = list(clustered_unit_vectors(100, 64, 1))  # the same clusters
    for path, everything in documents:
        with tempfile.TemporaryDirectory(prefix="vicinal-readme-") as name:
            folder = pathlib.Path(name)
            write_npy(folder / "base.npy", len(base), 64, base)
            write_npy(folder / "queries.npy", len(queries), 64, queries)
            count = check_document(path, everything, Runner(source, tree, cmake, compiler, folder))
            if everything and count == 0:
                raise Failure(f"{path.name}: no example was found")
            print(f"{path.name}: {count} examples ran")


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "tree"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    for name in ("cmake", "compiler"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    try:
        check_all(arguments.source, arguments.tree, arguments.cmake, arguments.compiler)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
