"""Recall against speed, and recall against memory, fit for a notebook and a slide.

>>> import vicinal, vicinal.plot
>>> points = vicinal.plot.measure(index, queries, truth)  # doctest: +SKIP
>>> vicinal.plot.recall_latency({"vicinal": points, "other": "other.json"}, grey=["other"])  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Sequence

from ._errors import InvalidArgument
from ._plot_axes import (
    LABEL_SIZE, LINES, MARKERS, PEER_LINE, PEER_TEXT, SOFT, TEXTS, dress, log_axis, new_axes, recall_axis,
)
from ._plot_labels import Name, NearLabels, SideLabels
from ._plot_points import Point, Points, front, measure, points, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Point", "measure", "memory_recall", "recall_latency"]

# What the y axis of recall_latency may show, and its words.
_SPEEDS = {
    "qps": "queries per second",
    "latency": "time of a query, µs",
    "mean_us": "mean time of a query, µs",
    "p50_us": "median time of a query, µs",
    "p99_us": "99th percentile of a query's time, µs",
}


def recall_latency(
    curves: Mapping[str, Points],
    *,
    speed: str | None = None,
    grey: Sequence[str] = (),
    title: str | None = "Recall against speed",
    xlabel: str = "recall",
    ylabel: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Curves of recall against speed, one an index, each named beside its end.

    A curve joins the points that no other of its index beats in both; those that are beaten are drawn pale.

    Parameters
    ----------
    curves : mapping of names to points
        A name's points are a list of mappings with "recall" and the key of `speed` (what `measure` returns), a list of pairs
        (recall, value), or a report of `vicinal eval --json`: as it was parsed, or its path.
    speed : "qps", "mean_us", "p50_us", "p99_us" or "latency", optional
        What the logarithmic y axis shows; default: the first of them that every point has, "qps" for pairs.
    grey : names
        Peers, drawn in grey behind the others.
    title, xlabel, ylabel : str, optional
        The y label stands above its axis.
    ax : matplotlib Axes, optional
        Where to draw. The names stand right of it, so that its figure wants layout="constrained", or to be saved with
        bbox_inches="tight" (a notebook does). Default: a figure of its own.

    Returns
    -------
    Axes
        The recall axis is -log10(1 - recall + 0.0005): every further nine takes as much room, and 1 is on it.
    """
    shown = _speed_of(curves) if speed is None else speed
    if shown not in _SPEEDS:
        raise InvalidArgument(f"speed is {shown!r}, expected one of {', '.join(_SPEEDS)}")
    given = series(curves, shown, grey)
    faster_is_more = shown == "qps"
    axes = new_axes(ax)
    log_axis(axes, "y", [value for pairs in given.values() for _, value in pairs], "speed")
    recall_axis(axes, "x", [recall for pairs in given.values() for recall, _ in pairs])
    dress(axes, title, xlabel, _SPEEDS[shown] if ylabel is None else ylabel)
    names = []
    for name, line, text, marker, peer in _styles(given, grey):
        ahead = front(given[name], faster_is_more)
        behind = [pair for pair in given[name] if pair not in ahead]
        size, order = (4.0 if peer else 6.5), (2 if peer else 3)
        axes.plot(
            [recall for recall, _ in ahead], [value for _, value in ahead], color=line, marker=marker, label=name,
            linewidth=1.6 if peer else 2.4, markersize=size, markeredgecolor="white", markeredgewidth=0.9,
            solid_joinstyle="round", solid_capstyle="round", zorder=order,
        )
        axes.plot(
            [recall for recall, _ in behind], [value for _, value in behind], color=line, marker=marker, label=f"_{name}",
            linestyle="none", markersize=size * 0.7, markeredgewidth=0, alpha=0.4, zorder=order - 0.5,
        )
        names.append(Name(name, [ahead[-1]], text, line, not peer))
    SideLabels(axes, names)
    _hint(axes, "better ↗" if faster_is_more else "better ↘", 0.985, 0.97 if faster_is_more else 0.03)
    return axes


def memory_recall(
    entries: Mapping[str, Points],
    *,
    grey: Sequence[str] = (),
    best: bool = True,
    title: str | None = "Recall against memory",
    xlabel: str = "memory",
    ylabel: str = "recall",
    ax: Axes | None = None,
) -> Axes:
    """Recall by memory, with the front of what nothing else beats in both.

    Parameters
    ----------
    entries : mapping of names to points
        A name's points are a point or a list of points with "recall" and "bytes" (in total or a vector, as long as it is the same
        for all; say which in `xlabel`), a list of pairs (recall, bytes), or a report of `vicinal eval --json`, which counts with
        its bytes a vector. Those that another point of the same name beats are drawn hollow, the others joined.
    grey : names
        Peers, drawn in grey behind the others.
    best : bool
        Draw the front of all entries: as steps, since between two points there is no index.
    title, xlabel, ylabel, ax
        As for recall_latency.

    Returns
    -------
    Axes
    """
    given = series(entries, "bytes", grey)
    everything = [pair for pairs in given.values() for pair in pairs]
    axes = new_axes(ax)
    log_axis(axes, "x", [value for _, value in everything], "bytes")
    recall_axis(axes, "y", [recall for recall, _ in everything])
    dress(axes, title, xlabel, ylabel)
    if best:
        ahead = front(everything, more_is_better=False)
        right, floor = axes.get_xlim()[1], axes.get_ylim()[0]
        steps_x = [ahead[0][1]] + [value for _, value in ahead] + [right]
        steps_y = [floor] + [recall for recall, _ in ahead] + [ahead[-1][0]]
        axes.fill_between(steps_x, floor, steps_y, step="post", color=SOFT, alpha=0.06, linewidth=0, zorder=0.5)
        axes.step(steps_x, steps_y, where="post", color=SOFT, alpha=0.45, linewidth=1.1, zorder=1, label="_front")
    names = []
    for name, line, text, marker, peer in _styles(given, grey):
        ahead = front(given[name], more_is_better=False)
        behind = [pair for pair in given[name] if pair not in ahead]
        size, order = (5.0 if peer else 8.0), (2 if peer else 3)
        axes.plot(
            [value for _, value in ahead], [recall for recall, _ in ahead], color=line, marker=marker, label=name,
            linewidth=1.6 if peer else 2.4, markersize=size, markeredgecolor="white", markeredgewidth=0.9, zorder=order,
        )
        axes.plot(
            [value for _, value in behind], [recall for recall, _ in behind], color=line, marker=marker, label=f"_{name}",
            linestyle="none", markersize=size * 0.8, markerfacecolor="white", markeredgewidth=1.2, zorder=order,
        )
        names.append(Name(name, [(value, recall) for recall, value in reversed(ahead)], text, line, not peer))
    NearLabels(axes, names)
    _hint(axes, "↖ better", 0.015, 0.97, "left")
    return axes


def _speed_of(curves: Mapping[str, Points]) -> str:
    """The first of the speeds that every point has."""
    if not isinstance(curves, Mapping):
        return "qps"  # refused by series()
    keys: set[str] | None = None
    for name, given in curves.items():
        for point in points(given, str(name)):
            has = set(point) if isinstance(point, Mapping) else {"qps"}
            keys = has if keys is None else keys & has
    return next((speed for speed in ("qps", "mean_us", "p50_us", "p99_us", "latency") if keys and speed in keys), "qps")


def _styles(given: Mapping[str, object], grey: Sequence[str]) -> list[tuple[str, str, str, str, bool]]:
    """(name, colour of its line, of its name, marker, whether it is a peer), peers first."""
    peers = [name for name in given if name in grey]
    ours = [name for name in given if name not in grey]
    return [(name, PEER_LINE, PEER_TEXT, MARKERS[i % len(MARKERS)], True) for i, name in enumerate(peers)] + [
        (name, LINES[i % len(LINES)], TEXTS[i % len(TEXTS)], MARKERS[i % len(MARKERS)], False) for i, name in enumerate(ours)
    ]


def _hint(axes: Axes, text: str, x: float, y: float, ha: str = "right") -> None:
    """Which way is good, for those who see such a picture for the first time."""
    va = "top" if y > 0.5 else "bottom"
    axes.text(x, y, text, transform=axes.transAxes, ha=ha, va=va, color="#8A929B", fontsize=LABEL_SIZE)
