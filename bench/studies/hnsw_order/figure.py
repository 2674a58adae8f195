"""Recall by order, and by decile of the queries' LID: a panel a set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from . import orders
from .measure import EF, K, deciles
from .summary import ORDERS, Measurements

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
# Okabe and Ito's colours, which the colour-blind tell apart; the markers and dashes tell them apart without colour.
ORDER_STYLES = {
    orders.RANDOM: ("#4D4D4D", "o"), orders.ASCENDING: ("#D55E00", "v"), orders.DESCENDING: ("#0072B2", "^"),
    orders.CATEGORY: ("#009E73", "s"),
}
GRAPH_COLOURS = {"vicinal": "#0072B2", "hnswlib": "#D55E00", "faiss": "#009E73"}
DASHES = {orders.RANDOM: "-", orders.ASCENDING: ":", orders.DESCENDING: "--"}


def draw_orders(axes: Axes, found: Measurements, name: str) -> None:
    """A line a graph, from its worst to its best order."""
    from vicinal._plot_axes import GRID, dress, recall_axis

    recalls: list[float] = []
    for height, graph in enumerate(reversed(found.graphs)):
        cells = {order: found.cell(name, graph, order) for order in ORDERS}
        means = {order: cell.mean for order, cell in cells.items() if cell is not None}
        recalls += means.values()
        axes.plot([min(means.values()), max(means.values())], [height, height], color=GRID, linewidth=5, solid_capstyle="round", zorder=1)
        # Orders of equal recall stand on each other: the first is the largest.
        for size, (order, mean) in zip((10.0, 8.0, 6.5, 5.0), means.items()):
            colour, marker = ORDER_STYLES[order]
            axes.plot(
                [mean], [height], color=colour, marker=marker, linestyle="none", markersize=size, label=order, zorder=3,
                markeredgecolor="white", markeredgewidth=0.8,
            )
    recall_axis(axes, "x", recalls)
    axes.set_yticks(range(len(found.graphs)), list(reversed(found.graphs)))
    axes.set_ylim(-0.6, len(found.graphs) - 0.4)
    dress(axes, None, "", "")


def draw_deciles(axes: Axes, found: Measurements, name: str) -> None:
    from vicinal._plot_axes import dress, recall_axis

    facts, recalls = found.facts[name], []
    for graph, colour in GRAPH_COLOURS.items():
        for order, dashes in DASHES.items():
            cell = found.cell(name, graph, order)
            # In every order ours is the same line.
            if cell is None or (graph == "vicinal" and order != orders.RANDOM):
                continue
            parts = deciles(cell.queries, facts.query_lid)
            recalls += parts.tolist()
            axes.plot(
                range(1, len(parts) + 1), parts, color=colour, linestyle=dashes, linewidth=2.4 if graph == "vicinal" else 1.6,
                label=graph if graph == "vicinal" else f"{graph}, {order}", zorder=4 if graph == "vicinal" else 3,
            )
    if recalls:
        recall_axis(axes, "y", recalls)
    middles = deciles(facts.query_lid, facts.query_lid)
    axes.set_xticks(range(1, len(middles) + 1), [f"{value:.0f}" for value in middles])
    dress(axes, None, "", "")


def panels(path: Path, found: Measurements, draw: Callable[[Axes, Measurements, str], None], title: str, xlabel: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from vicinal._plot_axes import INK, SOFT

    lines = -(-len(found.facts) // COLUMNS)
    # Text stays text, and no date or random id changes a file that shows the same.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hnsw_order", "font.size": 10}):
        figure, grid = pyplot.subplots(lines, COLUMNS, figsize=(13.5, 2.7 * lines + 1.5), squeeze=False, layout="constrained")
        legend: dict[str, Any] = {}
        for axes, name in zip(grid.flat, found.facts):
            draw(axes, found, name)
            lid = np.median(found.facts[name].lid)
            axes.set_title(f"{name}, median LID {lid:.1f}", loc="left", color=SOFT, fontsize=11)
            axes.set_xlabel(xlabel, color=SOFT)
            for handle, label in zip(*axes.get_legend_handles_labels()):
                legend.setdefault(label, handle)
        for axes in grid.flat[len(found.facts) :]:
            axes.set_axis_off()
        figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=7, frameon=False, labelcolor=INK)
        figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=14)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def write(folder: Path, found: Measurements) -> None:
    """orders.svg, deciles.svg."""
    panels(folder / "orders.svg", found, draw_orders, f"Recall@{K} at ef={EF} by order of insertion", f"recall@{K}")
    panels(
        folder / "deciles.svg", found, draw_deciles, f"Recall@{K} at ef={EF} by local intrinsic dimension of the query",
        "decile of the queries, by its mean LID",
    )
