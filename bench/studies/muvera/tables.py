"""Results as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

from rag_storage.tables import markdown

from .measure import K, WANTED, Curve, Pipeline, spread

# MS MARCO, 8.8 million documents: table 1 of the paper, candidates for 80, 90 and 95 %, of the documents that were relevant.
PAPER = (
    ("single vectors, copies dropped", "300", "800", "2,100"), ("2,560 (printed as 2k)", "200", "800", "5,600"),
    ("5,120 (4k)", "80", "300", "1,200"), ("10,240 (10k)", "60", "200", "800"), ("20,480 (20k)", "60", "200", "700"),
)


def _name(curve: Curve) -> str:
    if curve.recipe == "single vectors":
        return curve.recipe
    codes = "" if curve.codes == "f32" else f", {curve.codes}".replace("|", "\\|")
    return f"{curve.recipe}, {curve.dim:,}{codes}"


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def curves_table(curves: Sequence[Curve], at: Sequence[int]) -> str:
    rows = []
    for curve in curves:
        rows.append([
            _name(curve), *(spread(curve.recall[count]) for count in at), *(_count(curve.needed(wanted)) for wanted in WANTED)
        ])
    return markdown(["", *(f"{K} in {count:,}" for count in at), *(f"for {wanted:g}" for wanted in WANTED)], rows)


def pipelines_table(pipelines: Sequence[Pipeline]) -> str:
    base = pipelines[0].seconds
    rows = []
    for one in pipelines:
        rows.append([
            f"`{one.spec}`".replace("|", "\\|"), f"{one.recall:.3f}", f"{one.scored:,.0f}", f"{1 / one.seconds:,.1f}",
            f"{base / one.seconds:.1f}", f"{one.bytes:,}",
        ])
    return markdown(["", f"recall@{K}", "scored", "queries/s", "times the scan", "bytes a document"], rows)


def write(
    folder: Path, sets: Sequence[dict[str, Any]], curves: Sequence[Curve], pipelines: Sequence[Pipeline], missing: Sequence[str]
) -> None:
    """tables.md."""
    parts = [
        f"# One vector for many\n\nThe share of the exact {K} nearest by MaxSim that are among N candidates, mean over seeds ± the standard deviation of\n"
        "one, and how many candidates give a share (of those measured). Made by `make study-muvera`.\n"
    ]
    heads = list(sets[0])
    rows = [[f"{one[head]:,.1f}" if isinstance(one[head], float) else f"{one[head]:,}" if isinstance(one[head], int) else one[head]
             for head in heads] for one in sets]
    parts.append("## Sets\n\n" + markdown(heads, rows))
    for one in sets:
        own = [curve for curve in curves if curve.set == one["set"]]
        at = [count for count in (10, 25, 50, 100, 500) if count in own[0].recall]
        plain = [curve for curve in own if curve.codes == "f32"]
        coded = [curve for curve in own if curve.recipe == "vicinal" and curve.dim == 2560]
        parts.append(f"## {one['set']}\n\n{curves_table(plain, at)}")
        parts.append(f"Encodings of 2,560 values in fewer bytes:\n\n{curves_table(coded, at)}")
        parts.append(
            "One thread, all queries in one call, the fewest candidates that find 0.95 (else all):\n\n"
            + pipelines_table([each for each in pipelines if each.set == one["set"]])
        )
    parts.append("## The paper's\n\nCandidates needed on MS MARCO:\n\n" + markdown(["", "for 0.8", "for 0.9", "for 0.95"], [list(row) for row in PAPER]))
    if missing:
        parts.append("## Missing\n\n" + "".join(f"* {entry}\n" for entry in missing))
    (folder / "tables.md").write_text("\n".join(parts), encoding="utf-8")
