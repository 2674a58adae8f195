"""Results as Markdown and JSON."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from rag_storage.tables import markdown

from . import lid
from .graphs import EF_CONSTRUCTION, M
from .measure import EF, EFS, K, deciles
from .summary import ORDERS, Cell, Measurements

DIFFERENCES_AT = (EFS[0], EF)
_PACKAGES = {"vicinal": "vicinal", "hnswlib": "hnswlib", "faiss": "faiss-cpu"}


def versions(graphs: Sequence[str]) -> dict[str, str]:
    used = dict.fromkeys(_PACKAGES[name.split(",")[0]] for name in graphs)
    return {name: importlib.metadata.version(name) for name in used}


def _cell_text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    spread = f" ± {100 * cell.deviation:.2f}" if len(cell.seeds) > 1 else ""
    return f"{100 * cell.mean:.2f}{spread}"


def sets_table(found: Measurements) -> str:
    rows = []
    for name, facts in found.facts.items():
        low, middle, high = np.percentile(facts.lid, [10, 50, 90])
        given = facts.given
        categories = "" if given.categories is None else f"{len(np.unique(given.categories)):,}"
        rows.append([
            name, f"{len(given.base):,} x {given.base.shape[1]}", f"{len(given.queries):,}", categories, f"{middle:.1f}",
            f"{low:.1f} to {high:.1f}", f"{np.median(facts.query_lid):.1f}",
        ])
    return markdown(["set", "base", "queries", "categories", "LID, median", "10 % to 90 %", "of the queries, median"], rows)


def orders_table(found: Measurements, graph: str, ef: int = EF) -> str:
    rows = []
    for name in found.facts:
        best, worst, points = found.widest(name, graph, ef)
        cells = [_cell_text(found.cell(name, graph, order, ef)) for order in ORDERS]
        said = f"{points:.2f}, {best} over {worst}" if points >= 0.005 else "0"
        rows.append([name, *cells, said])
    return markdown(["set", *ORDERS, "widest"], rows)


def differences_table(found: Measurements, ef: int) -> str:
    rows = []
    for name in found.facts:
        for graph in found.graphs:
            intervals = [found.difference(name, graph, order, ef) for order in ORDERS[1:]]
            rows.append([name, graph, *("" if interval is None else str(interval) for interval in intervals)])
    return markdown(["set", "graph", *ORDERS[1:]], rows)


def deciles_table(found: Measurements) -> str:
    rows = []
    for name, facts in found.facts.items():
        for graph in found.graphs:
            for order in ORDERS[:3]:
                cell = found.cell(name, graph, order)
                if cell is not None:
                    parts = deciles(cell.queries, facts.query_lid)
                    rows.append([name, graph, order, *(f"{100 * part:.1f}" for part in parts)])
    return markdown(["set", "graph", "order", *(str(part + 1) for part in range(10))], rows)


def lost_table(found: Measurements) -> str:
    """Percent of all rows, and of the tenth of highest LID."""
    rows = []
    for name, facts in found.facts.items():
        for graph in found.graphs:
            row = [name, graph]
            for order in ORDERS:
                lost = found.lost(name, graph, order)
                row.append(f"{100 * lost.mean():.2f} ({100 * deciles(lost, facts.lid)[-1]:.2f})" if len(lost) else "")
            rows.append(row)
    return markdown(["set", "graph", *ORDERS], rows)


def answers_table(found: Measurements) -> str:
    rows = []
    for name in found.facts:
        rows.append([name, *(f"{found.distinct_answers(name, graph)} of {len(found.of(name, graph))}" for graph in found.graphs)])
    return markdown(["set", *found.graphs], rows)


def records(found: Measurements) -> dict[str, Any]:
    """Everything that figures and tables are made of, but for single queries."""
    sets, results, differences = [], [], []
    for name, facts in found.facts.items():
        base = facts.given.base
        sets.append({
            "set": name, "rows": len(base), "dim": base.shape[1], "queries": len(facts.given.queries),
            "categories": None if facts.given.categories is None else len(np.unique(facts.given.categories)),
            "lid": dict(zip(("p10", "p50", "p90"), np.percentile(facts.lid, [10, 50, 90]).tolist())),
            "query_lid_deciles": deciles(facts.query_lid, facts.query_lid).tolist(),
        })
    for result in found.results:
        facts = found.facts[result.set]
        results.append({
            "set": result.set, "graph": result.graph, "order": result.order, "seed": result.seed,
            "recall": {str(ef): float(values.mean()) for ef, values in result.recall.items()},
            "recall_by_query_lid_decile": deciles(result.recall[EF], facts.query_lid).tolist(),
            "lost": float(result.lost.mean()), "lost_by_lid_decile": deciles(result.lost, facts.lid).tolist(),
            "answers": result.answers,
        })
    for name in found.facts:
        for graph in found.graphs:
            for order in ORDERS[1:]:
                for ef in DIFFERENCES_AT:
                    interval = found.difference(name, graph, order, ef=ef)
                    if interval is not None:
                        differences.append({
                            "set": name, "graph": graph, "order": order, "ef": ef, "points": interval.value,
                            "low": interval.low, "high": interval.high,
                        })
    parameters = {
        "m": M, "ef_construction": EF_CONSTRUCTION, "k": K, "ef": EF, "efs": list(EFS), "lid_neighbours": lid.NEIGHBOURS,
        "versions": versions(found.graphs),
    }
    return {"parameters": parameters, "sets": sets, "results": results, "differences": differences}


def write(folder: Path, found: Measurements, missing: Sequence[str]) -> None:
    """tables.md, results.json."""
    used = ", ".join(f"{name} {version}" for name, version in versions(found.graphs).items())
    parts = [
        "# Recall by order and by intrinsic dimension\n\n"
        f"M={M}, efConstruction={EF_CONSTRUCTION}, recall@{K} in percent at ef={EF} where nothing else is said. Where an order has chance\n"
        "in it, the mean over its seeds ± the standard deviation of one. Made by `make study-hnsw-order`:\n"
        f"{used}.\n",
        f"## Sets\n\nLocal intrinsic dimension by {lid.NEIGHBOURS} neighbours.\n\n{sets_table(found)}",
    ]
    for graph in found.graphs:
        parts.append(f"## {graph}\n\n{orders_table(found, graph)}")
    for ef in (EFS[0], EFS[-1]):
        for graph in found.graphs:
            parts.append(f"## {graph}, ef={ef}\n\n{orders_table(found, graph, ef)}")
    for ef in DIFFERENCES_AT:
        parts.append(
            f"## Against random order, ef={ef}\n\nPoints of recall, with the 95 % interval of a paired bootstrap over queries.\n\n"
            + differences_table(found, ef)
        )
    parts += [
        f"## By decile of the queries' LID\n\nThe first has the lowest.\n\n{deciles_table(found)}",
        f"## Lost rows\n\nPercent of the rows that are not among the {K} that a search for the row itself finds, and in brackets\n"
        f"of the tenth of the rows with the highest LID.\n\n{lost_table(found)}",
        "## Different answers\n\nOf how many builds, how many differ in a bit of a distance or in a row that any search found at any ef, but for rows of\n"
        "equal distance, where row numbers decide.\n\n"
        + answers_table(found),
    ]
    if missing:
        parts.append("## Missing\n\n" + "".join(f"* {entry}\n" for entry in missing))
    (folder / "tables.md").write_text("\n".join(parts), encoding="utf-8")
    content = {**records(found), "missing": list(missing)}
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
