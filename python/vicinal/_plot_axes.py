"""How the plots look: colours and axes."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np
import numpy.typing as npt

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(f"vicinal.plot needs matplotlib ({error}): pip install vicinal[plot]") from error

from matplotlib import ticker
from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind tell apart, in the order of `vicinal eval --svg`; for text, darker.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
TEXTS = ("#00629A", "#B14E00", "#007A59", "#A24C7D", "#966700", "#1F7CB0", "#333333")
MARKERS = ("o", "s", "D", "^", "v")
PEER_LINE, PEER_TEXT = "#C3C8CE", "#7A828B"
INK, SOFT, GRID, SPINE = "#1B1F24", "#57606A", "#E6E8EB", "#6E7781"

LABEL_SIZE = 10.0  # points

# Recall r stands at -log10(1 - r + this): every nine takes about as much room, and 1 has a place.
_ROOM_FOR_ONE = 0.0005
# Round recalls, and how much a label at each is wanted where there is no room for all.
_ROUND = (
    (0.0, 3), (0.2, 4), (0.4, 4), (0.5, 1), (0.6, 5), (0.7, 4), (0.8, 2), (0.85, 6), (0.9, 0), (0.95, 1), (0.97, 6), (0.98, 3),
    (0.99, 0), (0.995, 2), (0.998, 5), (0.999, 1), (1.0, 0),
)


def stretch(recall: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Where a recall stands on its axis."""
    return np.asarray(-np.log10(np.maximum(1 - np.asarray(recall, dtype=np.float64), -0.9 * _ROOM_FOR_ONE) + _ROOM_FOR_ONE))


def unstretch(place: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(1 + _ROOM_FOR_ONE - np.power(10.0, -np.asarray(place, dtype=np.float64)))


def new_axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a figure of its own, which makes room for what stands beside them."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.0, 4.8))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    return axes


def dress(ax: Axes, title: str | None, xlabel: str, ylabel: str) -> None:
    """Spines, grid and words; the words of the y axis stand above it, to be read without turning the head."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(SPINE)
    ax.grid(True, which="major", color=GRID, linewidth=0.9)
    ax.set_axisbelow(True)
    ax.tick_params(which="both", color=SPINE, labelcolor=SOFT, labelsize=LABEL_SIZE)
    ax.tick_params(which="minor", length=0)
    ax.set_xlabel(xlabel, color=SOFT, fontsize=LABEL_SIZE, labelpad=8)
    ax.set_ylabel(ylabel, color=SOFT, fontsize=LABEL_SIZE, rotation=0, ha="left", va="bottom")
    ax.yaxis.set_label_coords(0.0, 1.025)
    if title:
        ax.set_title(title, loc="left", color=INK, fontsize=14, fontweight="bold", pad=30)


def recall_axis(ax: Axes, which: str, recalls: Sequence[float]) -> None:
    """Makes `which` ("x" or "y") an axis of recall that spreads towards 1 and holds `recalls`."""
    getattr(ax, f"set_{which}scale")("function", functions=(stretch, unstretch))
    rounds = [value for value, _ in _ROUND]
    first = max(i for i, value in enumerate(rounds) if value <= min(*recalls, 0.998))
    last = max(first + 1, next(i for i, value in enumerate(rounds) if value >= max(recalls)))
    low, high = float(stretch(rounds[first])), float(stretch(rounds[last]))
    room = 10 if which == "x" else 15  # labels that fit
    labelled: dict[float, float] = {}
    for value, _ in sorted(_ROUND[first : last + 1], key=lambda entry: entry[1]):
        place = (float(stretch(value)) - low) / (high - low)
        if all(abs(place - other) * room >= 1 for other in labelled.values()):
            labelled[value] = place
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(ticker.FixedLocator(sorted(labelled)))
    axis.set_major_formatter(ticker.FuncFormatter(recall_text))
    axis.set_minor_locator(ticker.NullLocator())
    air = 0.02 * (high - low)
    getattr(ax, f"set_{which}lim")(float(unstretch(low - air)), float(unstretch(min(high + air, float(stretch(1)) + 0.25))))


def log_axis(ax: Axes, which: str, values: Sequence[float], kind: str) -> None:
    """Makes `which` logarithmic, with labels at 1, 2 and 5, or, for kind="bytes", at powers of two."""
    base = 2 if kind == "bytes" else 10
    getattr(ax, f"set_{which}scale")("log", base=base)
    air = max(0.06 * math.log(max(values) / min(values)), 0.12)
    low, high = min(values) * math.exp(-air), max(values) * math.exp(air)
    if high / low < 3:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(3), middle * math.sqrt(3)
    axis = getattr(ax, f"{which}axis")
    if kind == "bytes":
        powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
        step = max(1, math.ceil(len(powers) / 9))
        axis.set_major_locator(ticker.FixedLocator([2.0**power for power in powers if power % step == 0]))
        axis.set_major_formatter(ticker.FuncFormatter(bytes_text))
    else:
        digits = (1.0,) if high / low > 2e3 else (1.0, 2.0, 5.0)
        axis.set_major_locator(ticker.LogLocator(base=10, subs=digits, numticks=50))
        axis.set_major_formatter(ticker.FuncFormatter(speed_text))
    axis.set_minor_locator(ticker.NullLocator())
    getattr(ax, f"set_{which}lim")(low, high)


# Functions, not lambdas: a figure can be pickled.


def recall_text(value: float, _: object = None) -> str:
    return "1.0" if value == 1 else f"{value:g}"


def speed_text(value: float, _: object = None) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def bytes_text(value: float, _: object = None) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"
