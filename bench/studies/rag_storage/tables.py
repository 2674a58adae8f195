"""Results as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from .claims import COLUMNS, WHOLE, by_key, measured, sections, verdict
from .results import Missing, Result

_MEASURES = {True: "nDCG@10", False: "recall@10"}


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def claims_table(results: Sequence[Result]) -> tuple[str, list[dict[str, Any]]]:
    """As Markdown, and as records."""
    tasks = {result.task for result in results}
    columns = [column for column in COLUMNS if tasks.issuperset(column.tasks)]
    index = by_key(results)
    parts, records = [], []
    for title, claims in sections():
        rows = []
        for claim in claims:
            row = [claim.text]
            for column in columns:
                interval = measured(claim, column, index)
                if interval is None:
                    row.append("")
                    continue
                said = verdict(interval, claim.margin)
                row.append(f"{interval}, {said}")
                records.append({
                    "section": title, "claim": claim.text.replace("\\", ""), "one": claim.one, "other": claim.other,
                    "margin": claim.margin, "measured_on": column.title, "difference": interval.value, "low": interval.low,
                    "high": interval.high, "verdict": said,
                })
            if any(row[1:]):
                rows.append(row)
        if rows:
            parts.append(f"### {title[0].upper()}{title[1:]}\n\n" + markdown(["", *(column.title for column in columns)], rows))
    return "\n".join(parts), records


def grid_table(results: Sequence[Result], grid: str) -> str:
    """A configuration a row, a task a column: its quality, and the difference to uncompressed vectors in percent."""
    index = by_key(results)
    tasks = list(dict.fromkeys(result.task for result in results))
    keys = list(dict.fromkeys(result.key for result in results if result.grid == grid))
    header = ["configuration", "bytes a vector"]
    for task in tasks:
        header.append(f"{task}, {_MEASURES[index[(task, *WHOLE)].ndcg is not None]}")
    rows = []
    for key in keys:
        first = next(result for result in results if (result.grid, result.key) == (grid, key))
        size = f"{first.stored:,.0f}" if first.stored == first.scanned else f"{first.stored:,.0f} ({first.scanned:,.0f})"
        row = [_cell(key), size]
        for task in tasks:
            result = index.get((task, grid, key))
            whole = index[(task, *WHOLE)].quality
            row.append("" if result is None else f"{result.quality:.4f} ({100 * (result.quality / whole - 1):+.1f})")
        rows.append(row)
    return markdown(header, rows)


def missing_text(missing: Sequence[Missing]) -> str:
    if not missing:
        return ""
    words = dict.fromkeys(word for entry in missing for word in re.findall("unknown stage '(.*?)'", entry.reason))
    others = dict.fromkeys(f"`{entry.key}` ({entry.reason})" for entry in missing if "unknown stage" not in entry.reason)
    specs = len({entry.key for entry in missing})
    names = ", ".join([*(f"`{word}`" for word in words), *others])
    return f"Not in this build: {names}; {specs} specs with them were left out.\n"


def write(folder: Path, results: Sequence[Result], missing: Sequence[Missing]) -> None:
    """claims.md, tables.md, results.csv, results.json."""
    text, records = claims_table(results)
    (folder / "claims.md").write_text(
        "# Claims\n\n"
        "Differences in percent of the uncompressed quality, with the 95 % interval of a paired bootstrap over queries; a\n"
        "claim holds or fails where the whole interval is on one side, else it is open. Made by `make study-rag-storage`.\n\n"
        + text,
        encoding="utf-8",
    )
    dim = next(result.stored for result in results if (result.grid, result.key) == WHOLE) / 4
    parts = [
        "# All configurations\n\n"
        f"Bytes a vector of {dim:.0f} values, in brackets those that every query reads; then quality, and in\n"
        "brackets its difference to uncompressed vectors in percent. Made by `make study-rag-storage`.\n"
    ]
    titles = {"paper": "As the paper did it", "vicinal": "As Vicinal does it", "reference": "Parts by themselves, by NumPy"}
    for grid, title in titles.items():
        if any(result.grid == grid for result in results):
            parts.append(f"## {title}\n\n{grid_table(results, grid)}")
    (folder / "tables.md").write_text("\n".join(parts + [missing_text(missing)]).rstrip() + "\n", encoding="utf-8")
    fields = ["task", "grid", "key", "label", "stored", "scanned", "ndcg", "recall"]
    rows = [
        [r.task, r.grid, r.key, r.label, r.stored, r.scanned, r.quality if r.ndcg is not None else None, float(np.mean(r.recall))]
        for r in results
    ]
    with open(folder / "results.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([fields, *rows])
    records_of_results = [dict(zip(fields, row)) for row in rows]
    content = {"results": records_of_results, "claims": records, "missing": [vars(entry) for entry in missing]}
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
