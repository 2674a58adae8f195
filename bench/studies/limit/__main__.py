"""python -m limit [--data FOLDER] [-o FOLDER] [--sets small,sample,rebuilt] [--seeds 3] [--dims 2,3,4] [--write-texts FOLDER]"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from muvera.sets import dump

from . import figure, free, measure, tables
from .sets import LOADERS, facts, write_texts

DIMS = (2, 3, 4, 5, 6)
# Vectors a text, and the temperature that the optimiser ends with: the paper's, and a lower one that looks at the nearest wrong documents.
KINDS = (("one vector", 1, free.TEMPERATURE), ("one vector, cooled", 1, 0.02), ("two of half the values, cooled", 2, 0.02))
# Sets of more documents have one seed: they take minutes a seed, and tell recipes apart by far more than seeds do.
SEVERAL_SEEDS = 1000
CYCLIC = (10, 32, 100, 316)


def whole_numbers(text: str) -> list[int]:
    numbers = sorted({int(part) for part in text.split(",") if part})
    if any(number < 2 for number in numbers):
        raise argparse.ArgumentTypeError(f"{numbers[0]} is no dimension, expected 2 or more")
    return numbers


def searched(dims: list[int], starts: int, steps: int) -> list[free.Search]:
    found = []
    for name, vectors, coldest in KINDS:
        begin = 3
        # Two vectors of one value each say nothing but a sign.
        for dim in dims if vectors == 1 else [dim for dim in dims if dim % vectors == 0 and dim > vectors]:
            found.append(free.largest(name, dim, vectors, coldest, begin, starts, steps))
            begin = found[-1].best + 1
            print(f"{name}, {dim} values: {found[-1].best} documents", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="limit", description="What one vector a text cannot tell apart, and what several can.")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VICINAL_DATA", "."), help="default: $VICINAL_DATA; README.md says what is in it"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--sets", default=",".join(LOADERS), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help=f"of encodings of at most {SEVERAL_SEEDS:,} documents; default: %(default)s")
    parser.add_argument("--threads", type=int, default=0, help="default: all")
    parser.add_argument("--dims", type=whole_numbers, default=list(DIMS), help="of free vectors; default: %(default)s; '' for none")
    parser.add_argument("--starts", type=int, default=3, help="of free vectors; default: %(default)s")
    parser.add_argument("--steps", type=int, default=3000, help="of a start; default: %(default)s")
    parser.add_argument("--write-texts", type=Path, metavar="FOLDER", help="write what an embedder reads, a text a line, and end")
    given = parser.parse_args()
    data = Path(given.data)
    names = [name for name in given.sets.split(",") if name]
    unknown = [name for name in names if name not in LOADERS]
    if unknown:
        parser.error(f"there is no set {unknown[0]!r}, expected some of {', '.join(LOADERS)}")
    for option in ("seeds", "starts", "steps"):
        if getattr(given, option) < 1:
            parser.error(f"--{option} is {getattr(given, option)}, expected at least 1")
    if given.write_texts is not None:
        try:
            print("\n".join(map(str, write_texts(data, given.write_texts))))
        except FileNotFoundError as error:
            parser.exit(1, f"{error.filename} is not there\n")
        return

    def within(path: str | Path) -> str:
        # Results are kept, and the folder is somebody's own.
        return os.path.relpath(path, data)

    sets: list[dict[str, Any]] = []
    rows: list[measure.Row] = []
    missing: list[str] = []
    # One set at a time: tokens are large.
    for name in names:
        try:
            one = LOADERS[name](data)
        except FileNotFoundError as error:
            missing.append(f"{name}: skipped, {within(error.filename)} is not there")
            print(missing[-1], flush=True)
            continue
        if one.absent is not None:
            missing.append(f"{name}: words only, {within(one.absent)} is not there")
            print(missing[-1], flush=True)
        sets.append(facts(one))
        for row in measure.methods(one, given.seeds if one.size <= SEVERAL_SEEDS else 1, given.threads):
            rows.append(row)
            print(f"{one.name}: {row.method}: " + ", ".join(f"@{k} {row.mean(k):.3f}" for k in row.recall), flush=True)
    searches = searched(given.dims, given.starts, given.steps)
    constructions = free.constructions(CYCLIC) if given.dims else []
    if not sets and not searches:
        parser.exit(1, "nothing could be measured\n")
    given.output.mkdir(parents=True, exist_ok=True)
    tables.write(given.output, sets, rows, searches, constructions, missing)
    figures = figure.write(given.output, sets, rows, searches)
    dump(given.output / "results.json", {
        "sets": sets, "recall": [asdict(row) for row in rows], "free": [asdict(one) for one in searches],
        "cyclic": [asdict(one) for one in constructions], "missing": missing,
    })
    print(f"{given.output}: tables.md, results.json, {', '.join(figures)}")


if __name__ == "__main__":
    main()
