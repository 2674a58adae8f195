"""python -m muvera [--data FOLDER] [-o FOLDER] [--sets lotte,scifact] [--seeds 5]"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from . import figure, measure, tables
from .sets import LOADERS, Set, dump, facts

SPECS = (
    "maxsim(f32)", "maxsim(i8)", "maxsim(i4)", "scan(i4, carve=0.7) | maxsim(i8)", "muvera(reps=40, bits=3, dim=8) | i8 | flat | maxsim(i8)",
    "muvera(reps=40, bits=3, dim=8) | i8 | hnsw(m=24, efc=200) | maxsim(i8)",
    "head(dim=1024) | i8 | flat | maxsim(i8)",
)
# Of more vectors a seed takes many minutes, and one has to do.
MOST_VECTORS = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="muvera", description="How well one vector a document stands in for its many.")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VICINAL_DATA", "."), help="default: $VICINAL_DATA; README.md says what is in it"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--sets", default=",".join(LOADERS), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=5, help="of small sets; default: %(default)s")
    given = parser.parse_args()
    names = given.sets.split(",")
    unknown = [name for name in names if name not in LOADERS]
    if unknown:
        parser.error(f"there is no set {unknown[0]!r}, expected some of {', '.join(LOADERS)}")
    if given.seeds < 1:
        parser.error(f"--seeds is {given.seeds}, expected at least 1")
    loaded: list[Set] = []
    missing: list[str] = []
    for name in names:
        try:
            loaded.append(LOADERS[name](Path(given.data)))
        except FileNotFoundError as error:
            # Within the folder: results are kept, and the folder is somebody's own.
            missing.append(f"{name}: skipped, {os.path.relpath(error.filename, given.data)} is not there")
            print(missing[-1], flush=True)
    if not loaded:
        parser.exit(1, "nothing could be measured\n")
    curves: list[measure.Curve] = []
    pipelines: list[measure.Pipeline] = []
    for one in loaded:
        seeds = given.seeds if len(one.documents[0]) <= MOST_VECTORS else 1
        truth = measure.exact(one)
        curves.append(measure.single_vectors(one, truth))
        for recipe, dims in measure.RECIPES.items():
            for dim in dims:
                curves.append(measure.curve(one, truth, recipe, dim, "f32", seeds))
                print(f"{one.name}: {recipe}, {dim}: {curves[-1].needed(0.9)} candidates for 0.9", flush=True)
        curves += [measure.curve(one, truth, "vicinal", 2560, codes, seeds) for codes in measure.CODES[1:]]
        pipelines += measure.pipelines(one, truth, SPECS, 0.95)
    given.output.mkdir(parents=True, exist_ok=True)
    sets = [facts(one) for one in loaded]
    tables.write(given.output, sets, curves, pipelines, missing)
    figure.write(given.output, [str(one["set"]) for one in sets], curves)
    dump(given.output / "results.json", {
        "sets": sets, "curves": [asdict(one) for one in curves], "pipelines": [asdict(one) for one in pipelines], "missing": missing,
    })
    print(f"{given.output}: tables.md, results.json, candidates.svg")


if __name__ == "__main__":
    main()
