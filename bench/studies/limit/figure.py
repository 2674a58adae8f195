"""Recall by k, a panel a set, and the most documents by dimension."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from .free import Search
from .measure import MANY, SINGLE, WORDS, Row
from .tables import fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart; dashes and marks do so without colour.
STYLES = {
    WORDS: ("#4D4D4D", "-", "o"), MANY: ("#0072B2", "-", "s"), SINGLE: ("#D55E00", "-", "D"),
    "vicinal, 1,280": ("#56B4E9", ":", "v"), "vicinal, 2,560": ("#56B4E9", "--", "v"), "vicinal, 10,240": ("#56B4E9", "-", "v"), "vicinal, learned, 1,024": ("#009E73", "-", "D"),
    "MUVERA's paper, 2,560": ("#E69F00", "--", "^"), "MUVERA's paper, 10,240": ("#E69F00", "-", "^"),
}
SEARCH_STYLES = (("#D55E00", "-", "D"), ("#E69F00", "-", "o"), ("#0072B2", "-", "s"))


def _recall(axes: Axes, rows: Sequence[Row]) -> None:
    from vicinal._plot_axes import dress

    for row in rows:
        if row.method in STYLES:
            colour, dashes, mark = STYLES[row.method]
            axes.plot(list(row.recall), [row.mean(k) for k in row.recall], color=colour, linestyle=dashes, marker=mark, linewidth=2, label=row.method)
    depths = list(rows[0].recall)
    axes.set_xscale("log")
    axes.set_xticks(depths, [str(k) for k in depths])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    dress(axes, None, "", "")


def _critical(axes: Axes, searches: Sequence[Search]) -> None:
    from vicinal._plot_axes import dress

    for name, (colour, dashes, mark) in zip(dict.fromkeys(one.name for one in searches), SEARCH_STYLES):
        own = [one for one in searches if one.name == name]
        axes.plot([one.dim for one in own], [one.best for one in own], color=colour, linestyle=dashes, marker=mark, linewidth=2, label=name)
    dims = [dim for dim in range(4, max(one.dim for one in searches) + 1)]
    if dims:
        axes.plot(dims, [fitted(dim) for dim in dims], color="#4D4D4D", linestyle="--", linewidth=2, label="the paper's fit")
        axes.axvspan(3.5, max(dims) + 0.5, color="#56B4E9", alpha=0.12, linewidth=0, label="any number is possible")
    axes.set_ylim(0, None)
    dress(axes, None, "values a text", "documents")


def _save(figure: Figure, axes: Axes, path: Path, title: str, columns: int) -> None:
    from matplotlib import pyplot
    from vicinal._plot_axes import INK

    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, labelcolor=INK)
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=14)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def write(folder: Path, sets: Sequence[dict[str, Any]], rows: Sequence[Row], searches: Sequence[Search]) -> list[str]:
    """recall.svg and critical.svg, of what there is; their names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from vicinal._plot_axes import SOFT

    names = []
    # Text stays text, and no date or random id changes a file that shows the same.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "limit", "font.size": 10}):
        if sets:
            figure, grid = pyplot.subplots(1, len(sets), figsize=(1.5 + 3.9 * len(sets), 4.8), squeeze=False, layout="constrained", sharey=True)
            for axes, one in zip(grid.flat, sets):
                _recall(axes, [row for row in rows if row.set == one["set"]])
                axes.set_title(one["set"], loc="left", color=SOFT, fontsize=11)
                axes.set_xlabel("first documents looked at", color=SOFT)
            most = max(grid.flat, key=lambda axes: len(axes.get_lines()))
            _save(figure, most, folder / "recall.svg", "Share of a query's two documents that are found", 1 + len(sets))
            names.append("recall.svg")
        if searches:
            figure, axes = pyplot.subplots(figsize=(7.2, 5.2), layout="constrained")
            _critical(axes, searches)
            _save(figure, axes, folder / "critical.svg", "Most documents told apart two by two", 2)
            names.append("critical.svg")
    return names
