"""python -m rag_storage --data FOLDER [-o FOLDER] [--tasks scifact,debian]"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

# Blocks of queries run side by side; products in one thread each have the same bits whatever the number of cores, and small
# decompositions are not slowed down by threads that wait for each other. Read when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from . import figure, paper, reference, specs, tables
from .results import Missing, Result
from .scoring import cosine_nearest
from .tasks import LOADERS, Task


def run(task: Task) -> tuple[list[Result], list[Missing]]:
    """All grids on one task, saying what is done and how long it took."""
    truth = cosine_nearest(task.documents, task.queries)
    results: list[Result] = []
    missing: list[Missing] = []
    for name, grid in (("paper", paper.grid), ("reference", reference.grid), ("vicinal", specs.grid)):
        start, before = time.perf_counter(), len(results)
        for entry in grid(task, truth):
            if isinstance(entry, Missing):
                missing.append(entry)
                continue
            results.append(entry)
            print(f"\r\033[K{task.name}: {name}, {entry.label}", end="", flush=True)
        seconds = time.perf_counter() - start
        print(f"\r\033[K{task.name}: {name}, {len(results) - before} configurations, {seconds:.1f} s", flush=True)
    return results, missing


def main() -> None:
    parser = argparse.ArgumentParser(prog="rag_storage", description="Quality against storage of compressed embeddings.")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VICINAL_DATA"), help="default: $VICINAL_DATA; README.md says what is in it"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--tasks", default="scifact,packages,glosses,wordllama,debian,fashion", help="default: %(default)s")
    given = parser.parse_args()
    if given.data is None:
        parser.error("say where the vectors are: --data FOLDER, or VICINAL_DATA in the environment")
    names = given.tasks.split(",")
    unknown = [name for name in names if name not in LOADERS]
    if unknown:
        parser.error(f"there is no task {unknown[0]!r}, expected some of {', '.join(LOADERS)}")
    results: list[Result] = []
    missing: list[Missing] = []
    for name in names:
        try:
            task = LOADERS[name](Path(given.data))
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error.filename} is not there")
            continue
        found, absent = run(task)
        results += found
        missing += absent
    if not results:
        parser.exit(1, "no task could be loaded\n")
    if missing:
        print(tables.missing_text(missing), end="")
    given.output.mkdir(parents=True, exist_ok=True)
    tables.write(given.output, results, missing)
    figure.write(given.output / "storage.svg", results)
    print(f"{given.output}: claims.md, tables.md, results.csv, results.json, storage.svg")


if __name__ == "__main__":
    main()
