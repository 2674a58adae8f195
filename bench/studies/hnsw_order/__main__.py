"""python -m hnsw_order [--data FOLDER] [-o FOLDER] [--sets debian,fashion] [--rows 15000]"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

# Read when NumPy is first imported: every graph is built by one thread, and so is what is around it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from . import figure, measure, tables
from .graphs import GRAPHS
from .measure import Facts, Result
from .sets import LOADERS
from .summary import Measurements


def main() -> None:
    parser = argparse.ArgumentParser(prog="hnsw_order", description="Recall of HNSW by order of insertion and intrinsic dimension.")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VICINAL_DATA", "."), help="default: $VICINAL_DATA; README.md says what is in it"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--sets", default=",".join(LOADERS), help="default: %(default)s")
    parser.add_argument("--graphs", default=";".join(GRAPHS), help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=15_000, help="of a set, at most; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="of orders by chance; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="builds at a time; default: %(default)s")
    given = parser.parse_args()
    names, graphs = given.sets.split(","), given.graphs.split(";")
    for kind, asked, known in (("set", names, LOADERS), ("graph", graphs, GRAPHS)):
        unknown = [name for name in asked if name not in known]
        if unknown:
            parser.error(f"there is no {kind} {unknown[0]!r}, expected some of {', '.join(known)}")
    for option in ("rows", "seeds", "jobs"):
        if getattr(given, option) < 1:
            parser.error(f"--{option} is {getattr(given, option)}, expected at least 1")
    missing: list[str] = []

    def skip(what: str, why: str) -> None:
        missing.append(f"{what}: skipped, {why}")
        print(missing[-1], flush=True)

    for graph in graphs:
        if not GRAPHS[graph].is_installed:
            skip(graph, f"the module {GRAPHS[graph].module} is not installed")
    graphs = [graph for graph in graphs if GRAPHS[graph].is_installed]
    facts: list[Facts] = []
    results: list[Result] = []
    for name in names:
        start = time.perf_counter()
        try:
            loaded = LOADERS[name](Path(given.data), given.rows)
        except FileNotFoundError as error:
            skip(name, f"{error.filename} is not there")
            continue
        facts.append(measure.facts_of(loaded))
        for result in measure.run(facts[-1], graphs, given.seeds, given.jobs):
            results.append(result)
            print(f"\r\033[K{name}: {result.graph}, {result.order}", end="", flush=True)
        print(f"\r\033[K{name}: {time.perf_counter() - start:.1f} s", flush=True)
    if not results:
        parser.exit(1, "nothing could be measured\n")
    given.output.mkdir(parents=True, exist_ok=True)
    found = Measurements(facts, results)
    tables.write(given.output, found, missing)
    figure.write(given.output, found)
    print(f"{given.output}: tables.md, results.json, orders.svg, deciles.svg")


if __name__ == "__main__":
    main()
