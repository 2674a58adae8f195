"""Results as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

from muvera.measure import spread
from rag_storage.tables import markdown

from .free import Construction, Search
from .measure import MANY, SINGLE, WORDS, Row

# The paper's fit of the most documents by dimension, k = 2 (r² of .999 by their account).
FIT = (-10.5322, 4.0309, 0.0520, 0.0037)
# What geometry allows vectors of length 1: the two documents of a query are an edge of the polytope of them all, of which a polygon of n has n and a
# polyhedron 3 n - 6 at most; from four values on there is no limit (free.cyclic).
GEOMETRY = {2: "3", 3: "4"}
# Recall@100 on the published 50,000 documents.
PAPER = (("BM25", "0.936"), ("GTE-ModernColBERT, token vectors", "0.548"), ("GritLM 7B", "0.129"), ("E5-Mistral 7B", "0.083"))


def fitted(dim: int) -> float:
    return sum(factor * float(dim) ** power for power, factor in enumerate(FIT))


def recall_table(rows: Sequence[Row]) -> str:
    depths = list(rows[0].recall)
    lines = []
    for row in rows:
        kept = "" if row.bytes is None else f"{row.bytes:,.0f}"
        lines.append([row.method, kept, *(spread(row.recall[k]) if k in row.recall else "" for k in depths)])
    return markdown(["", "bytes a document", *(f"recall@{k}" for k in depths)], lines)


def searches_table(searches: Sequence[Search]) -> str:
    names = list(dict.fromkeys(one.name for one in searches))
    lines = []
    for dim in sorted({one.dim for one in searches}):
        own = {one.name: one for one in searches if one.dim == dim}
        lines.append([
            str(dim), *(f"{own[name].best} ({own[name].not_found})" if name in own else "" for name in names),
            f"{fitted(dim):.1f}" if dim >= 4 else "", GEOMETRY.get(dim, "any"),
        ])
    return markdown(["values", *names, "the paper's fit", "geometry, one vector"], lines)


def constructions_table(constructions: Sequence[Construction]) -> str:
    types = list(constructions[0].right)
    lines = [[f"{one.documents:,}", f"{one.margin:.1e}", *(f"{one.right[name]:.4f}" for name in types)] for one in constructions]
    return markdown(["documents", "least margin", *types], lines)


def _fact(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def write(
    folder: Path, sets: Sequence[dict[str, Any]], rows: Sequence[Row], searches: Sequence[Search], constructions: Sequence[Construction],
    missing: Sequence[str],
) -> None:
    """tables.md."""
    parts = ["# What one vector cannot tell apart\n\nMade by `make study-limit`.\n"]
    if sets:
        heads = list(sets[0])
        parts.append("## Sets\n\n" + markdown(heads, [[_fact(one[head]) for head in heads] for one in sets]))
        parts.append(
            "Recall@k is the share of the two documents of a query that are among the first k, mean over seeds ± the standard deviation of one.\n"
            f"Bytes are of what is searched: `{SINGLE}` and `{MANY}` are exact, in f32; an encoding needs the token vectors\n"
            f"besides, if MaxSim orders. `{WORDS}` has an index of words.\n"
        )
    for one in sets:
        parts.append(f"## {one['set']}\n\n{recall_table([row for row in rows if row.set == one['set']])}")
    if sets:
        paper = markdown(["", "recall@100"], [list(row) for row in PAPER])
        parts.append(f"## The paper's\n\nOn its own 50,000 documents, which these are not:\n\n{paper}")
    if searches:
        parts.append(
            "## Free vectors\n\nThe most documents for which vectors were found, in brackets the least for which no start found any, which is no proof that there\n"
            "are none. The fit is the paper's, from four values on.\n\n" + searches_table(searches)
        )
    if constructions:
        parts.append(
            "## The cyclic polytope\n\nVectors of four values that are written down, not searched for: the least margin of a query, and the share of\n"
            "queries whose two documents are above all others when vectors are rounded to a type.\n\n" + constructions_table(constructions)
        )
    if missing:
        parts.append("## Missing\n\n" + "".join(f"* {entry}\n" for entry in missing))
    (folder / "tables.md").write_text("\n".join(parts), encoding="utf-8")
