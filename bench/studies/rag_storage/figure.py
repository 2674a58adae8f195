"""Quality against bytes a vector, the paper's grid and ours, with the front of what nothing else beats in both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .claims import WHOLE, Index, Key, by_key
from .paper import name_of
from .results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]  # bytes a vector, percent of the uncompressed quality

TITLE = "Quality against storage: MiniLM embeddings of 384 values"
INK, SOFT, GRID, FRONT = "#1B1F24", "#57606A", "#E6E8EB", "#8A929B"
# Okabe and Ito's colours, which the colour-blind tell apart; the markers tell them apart without colour.
STYLES = {
    "paper: PCA, f32": ("#999999", "o", "--"),
    "paper: PCA, f16": ("#B7A6C9", "p", "--"),
    "paper: PCA, e4m3fn": ("#E69F00", "s", "--"),
    "paper: PCA, int8 clipped": ("#D55E00", "v", "--"),
    "paper: PCA, int8 wrapped": ("#8C2D04", "X", "--"),
    "paper: PCA, binary": ("#CC79A7", "P", "--"),
    "Vicinal: 16 bits": ("#4D4D4D", "D", ""),
    "Vicinal: float8": ("#56B4E9", "o", "-"),
    "Vicinal: i8": ("#0072B2", "D", "-"),
    "Vicinal: i4": ("#009E73", "^", "-"),
    "Vicinal: b2, b1": ("#004D3A", "h", ""),
    "Vicinal: product quantisation": ("#B8A900", "d", ""),
    "Vicinal: i4 or b1, rerank": ("#7A5195", "*", ""),
}


@dataclass(frozen=True)
class Panel:
    title: str
    tasks: tuple[str, ...]
    judged: bool
    least: float  # percent; what lies below is not shown
    room: float  # percent points: the smaller, the more room there is near 100 %
    ticks: tuple[float, ...]


PANELS = (
    Panel("nDCG@10, mean of three judged sets", ("scifact", "packages", "glosses"), True, 70, 4,
          (70, 80, 85, 90, 93, 95, 97, 98, 99, 100)),
    Panel("recall@10, 62,440 descriptions of packages", ("debian",), False, 40, 0.8,
          (40, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 99.5, 100)),
)


def series() -> dict[str, list[tuple[Key, str]]]:
    """By name: the configurations of a line, and the word that stands at each."""
    found: dict[str, list[tuple[Key, str]]] = {}
    for cast in ("f32", "f16", "e4m3fn", "int8 clipped", "int8 wrapped", "binary {0,1}"):
        name = f"paper: PCA, {cast.removesuffix(' {0,1}')}"
        found[name] = [(("paper", name_of(cast, kept, False)), "") for kept in (None, 75, 50, 25)]
    found["Vicinal: 16 bits"] = [(("vicinal", f"{codec} | flat"), codec) for codec in ("f16",)]
    found["Vicinal: float8"] = [(("vicinal", spec), word) for spec, word in (
        ("e3m4 | flat", "e3m4"), ("e4m3 | flat", "e4m3"), ("pca(d/2) | e4m3 | flat", "pca(192) | e4m3"),
        ("pca(d/4) | e4m3 | flat", "pca(96) | e4m3"),
    )]
    for codec in ("i8", "i4"):
        found[f"Vicinal: {codec}"] = [(("vicinal", spec), word) for spec, word in (
            (f"{codec} | flat", codec), (f"pca(d/2) | {codec} | flat", f"pca(192) | {codec}"),
            (f"pca(d/4) | {codec} | flat", f"pca(96) | {codec}"),
        )]
    found["Vicinal: b2, b1"] = [(("vicinal", spec), word) for spec, word in (
        ("b2 | flat", "b2"), ("b1 | flat", "b1"), ("pca(d/2) | b2 | flat", "pca(192) | b2"),
    )]
    found["Vicinal: product quantisation"] = [(("vicinal", spec), word) for spec, word in (
        ("opq(d/8) | flat", "opq(48)"), ("opq(d/2) | flat", "opq(192)"),
    )]
    found["Vicinal: i4 or b1, rerank"] = [(("vicinal", spec), word) for spec, word in (
        ("i4 | flat | rerank(e3m4, 3x)", "i4, rerank(e3m4)"), ("i4 | flat | rerank(f16, 3x)", "i4, rerank(f16)"),
        ("b1 | flat | rerank(e3m4, 10x)", "b1, rerank(e3m4)"),
        ("pca(d/2) | i4 | flat | rerank(e4m3, 3x)", "pca(192) | i4, rerank(e4m3)"),
    )]
    return found


def place(key: Key, panel: Panel, results: Index) -> Point | None:
    """None where it was not measured on every task of the panel."""
    found = [results.get((task, *key)) for task in panel.tasks]
    whole = [results.get((task, *WHOLE)) for task in panel.tasks]

    def total(side: Sequence[Result | None]) -> float | None:
        scores = [None if result is None else result.ndcg if panel.judged else result.recall for result in side]
        known = [float(score.mean()) for score in scores if score is not None]
        return sum(known) if len(known) == len(scores) else None

    reached, most = total(found), total(whole)
    if reached is None or most is None or found[0] is None:
        return None
    return found[0].stored, 100 * reached / most


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other is as good as in both, by ascending bytes."""
    best: list[Point] = []
    for size, quality in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or quality > best[-1][1]:
            best.append((size, quality))
    return best


def write(path: Path, results: Sequence[Result]) -> None:
    """Draws the panels whose tasks were measured; nothing where none were."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    index = by_key(results)
    panels = [panel for panel in PANELS if all((task, *WHOLE) in index for task in panel.tasks)]
    panels = panels or [Panel(task, (task,), index[(task, *WHOLE)].ndcg is not None, 40, 4, (40, 60, 80, 90, 95, 98, 100))
                        for task in dict.fromkeys(r.task for r in results)][:1]
    # Text stays text, and no date or random id changes a file that shows the same.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rag_storage", "font.size": 10}):
        figure, grid = pyplot.subplots(1, len(panels), figsize=(7.2 * len(panels), 6.4), squeeze=False)
        for axes, panel in zip(grid[0], panels):
            draw(axes, panel, index)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=4 if len(panels) > 1 else 2, frameon=False, labelcolor=INK)
        figure.suptitle(TITLE, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=14)
        figure.tight_layout(rect=(0, 0.13 if len(panels) > 1 else 0.2, 1, 1))
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def draw(axes: Axes, panel: Panel, results: Index) -> None:
    from matplotlib import ticker

    from vicinal._plot_labels import Name, NearLabels

    lines: dict[str, list[tuple[Point, str]]] = {}
    for name, entries in series().items():
        placed = [(place(key, panel, results), word) for key, word in entries]
        lines[name] = [(point, word) for point, word in placed if point is not None]
    steps = front([point for drawn in lines.values() for point, _ in drawn])
    sizes, qualities = [size for size, _ in steps], [quality for _, quality in steps]
    axes.step(
        sizes + [2200], qualities + [qualities[-1]], where="post", color=FRONT, linewidth=1.2, zorder=1,
        label="none is better and smaller",
    )
    names: list[Name] = []
    for name, drawn in lines.items():
        colour, marker, line = STYLES[name]
        ours = name.startswith("Vicinal")
        if not drawn:
            continue
        xs, ys = [point[0] for point, _ in drawn], [point[1] for point, _ in drawn]
        axes.plot(
            xs, ys, color=colour, marker=marker, linestyle=line or "none", linewidth=1.8 if ours else 1.2, label=name,
            markersize=(12 if marker == "*" else 8.5) if ours else 6.5, markeredgecolor="white", markeredgewidth=0.8,
            zorder=4 if ours else 3,
        )
        # The last have the longest words: they choose their places first.
        names = [Name(word, [point], INK, SOFT, False) for point, word in drawn if word and point[1] >= panel.least] + names
    axes.set_xscale("log", base=2)
    axes.set_xlim(10, 2200)

    def stretch(percent: Any) -> Any:
        return -np.log10(np.maximum(100 + panel.room - np.asarray(percent, dtype=float), 1e-3))

    def unstretch(height: Any) -> Any:
        return 100 + panel.room - 10.0 ** -np.asarray(height, dtype=float)

    axes.set_yscale("function", functions=(stretch, unstretch))
    axes.set_ylim(panel.least, 100 + 0.4 * panel.room)
    axes.yaxis.set_major_locator(ticker.FixedLocator(panel.ticks))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_locator(ticker.FixedLocator([12, 24, 48, 96, 192, 384, 768, 1536]))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g} %"))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(labelcolor=SOFT, color=SOFT)
    axes.set_xlabel("bytes a vector", color=SOFT)
    axes.set_title(f"{panel.title}, of the uncompressed", loc="left", color=SOFT, fontsize=11)
    NearLabels(axes, names)
