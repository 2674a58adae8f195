"""Share of the exact ten nearest against candidates: a panel a set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from .measure import K, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind tell apart; the dashes tell dimensions apart without colour.
COLOURS = {"vicinal": "#0072B2", "paper": "#D55E00", "paper, projected": "#E69F00", "vicinal, learned": "#009E73", "single vectors": "#4D4D4D"}
DASHES = {256: ":", 512: "--", 1024: "-", 1280: ":", 2560: "--", 5120: "-.", 10240: "-"}


def draw(axes: Axes, curves: Sequence[Curve]) -> None:
    from vicinal._plot_axes import dress, recall_axis

    recalls: list[float] = []
    for curve in curves:
        counts = sorted(curve.recall)
        values = [curve.mean(count) for count in counts]
        recalls += values
        name = curve.recipe if curve.recipe == "single vectors" else f"{curve.recipe}, {curve.dim:,}"
        axes.plot(counts, values, color=COLOURS[curve.recipe], linestyle=DASHES.get(curve.dim, "-"), linewidth=2.2, label=name)
    axes.set_xscale("log")
    recall_axis(axes, "y", recalls)
    dress(axes, None, "", "")


def write(folder: Path, sets: Sequence[str], curves: Sequence[Curve]) -> None:
    """candidates.svg."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from vicinal._plot_axes import INK, SOFT

    # Text stays text, and no date or random id changes a file that shows the same.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "muvera", "font.size": 10}):
        figure, grid = pyplot.subplots(1, len(sets), figsize=(3.5 + 5.5 * len(sets), 5.2), squeeze=False, layout="constrained")
        for axes, name in zip(grid.flat, sets):
            draw(axes, [curve for curve in curves if curve.set == name and curve.codes == "f32"])
            axes.set_title(name, loc="left", color=SOFT, fontsize=11)
            axes.set_xlabel("candidates", color=SOFT)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3 + 2 * (len(sets) > 1), frameon=False, labelcolor=INK)
        figure.suptitle(f"Share of the exact {K} nearest among the candidates", x=0.01, ha="left", color=INK, fontweight="bold", fontsize=14)
        figure.savefig(folder / "candidates.svg", metadata={"Date": None})
        pyplot.close(figure)
