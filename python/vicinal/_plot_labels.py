"""Names that stand beside their lines, and never on each other.

They are placed when they are drawn, so that they keep apart at any size of the figure; layouts and bbox_inches="tight" make room.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox, IdentityTransform

from ._errors import InvalidArgument
from ._plot_axes import LABEL_SIZE

_COLUMN = 26.0  # points from the axes to a column of names
_AIR = 3.0  # points around a name that no other name enters
# Points between two places that are looked at along a line, where a name would cover it.
_SAMPLE = 6.0


class Name(NamedTuple):
    text: str
    anchors: Sequence[tuple[float, float]]  # in data coordinates: where it may stand, the best first
    colour: str
    line: str  # colour of a line to it
    bold: bool


class Labels(Artist):
    """Texts in display coordinates, each with a thin line to what it names."""

    def __init__(self, ax: Axes, names: Sequence[Name]) -> None:
        super().__init__()
        self.names = names
        self.texts: list[Text] = []
        for name in names:
            text = Text(
                0, 0, name.text, color=name.colour, fontsize=LABEL_SIZE, fontweight="bold" if name.bold else "normal",
                va="center", parse_math=False,
            )
            text.set_figure(ax.figure)
            self.texts.append(text)
        ax.add_artist(self)
        self.set_clip_on(False)
        self.set_zorder(5)

    def place(self, renderer: Any) -> list[npt.NDArray[np.float64]]:
        """Moves the texts to their places; returns the line to each, as (n, 2) points."""
        raise NotImplementedError

    def draw(self, renderer: Any) -> None:
        if not self.get_visible():
            return
        points = renderer.points_to_pixels(1.0)
        context = renderer.new_gc()
        context.set_linewidth(0.9 * points)
        context.set_dashes(0, [1 * points, 2 * points])
        for name, line in zip(self.names, self.place(renderer)):
            if len(line):
                context.set_foreground(name.line)
                renderer.draw_path(context, Path(line), IdentityTransform())
        context.restore()
        for text in self.texts:
            text.draw(renderer)

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        renderer = renderer or self._frame().figure._get_renderer()  # type: ignore[union-attr]
        self.place(renderer)
        return Bbox.union([text.get_window_extent(renderer) for text in self.texts])

    def get_tightbbox(self, renderer: Any = None) -> Bbox:
        return self.get_window_extent(renderer)

    def _frame(self) -> Axes:
        axes = self.axes
        assert isinstance(axes, Axes)
        return axes

    def _display(self, places: Any) -> npt.NDArray[np.float64]:
        return np.asarray(self._frame().transData.transform(places), dtype=np.float64)


class SideLabels(Labels):
    """A column right of the axes, each name as near to the height of its anchor as the others let it."""

    def place(self, renderer: Any) -> list[npt.NDArray[np.float64]]:
        box, points = self._frame().bbox, renderer.points_to_pixels(1.0)
        ends = self._display([name.anchors[0] for name in self.names])
        heights = [text.get_window_extent(renderer).height + _AIR * points for text in self.texts]
        order = sorted(range(len(ends)), key=lambda i: -ends[i][1])
        wanted = [-float(np.clip(ends[i][1], box.y0, box.y1)) for i in order]
        lines: list[npt.NDArray[np.float64]] = [np.empty((0, 2))] * len(ends)
        for i, middle in zip(order, spread(wanted, [heights[i] for i in order], -box.y1 - LABEL_SIZE, -box.y0 + LABEL_SIZE)):
            x, y = box.x1 + _COLUMN * points, -middle
            self.texts[i].set_position((x, y))
            start = ends[i][0] + 6 * points
            bend = max(box.x1 + 6 * points, start)
            lines[i] = np.array([(start, ends[i][1]), (bend, ends[i][1]), (x - 10 * points, y), (x - 4 * points, y)])
        return lines


class NearLabels(Labels):
    """Inside the axes, each name as near to one of its anchors as lines and other names let it."""

    def __init__(self, ax: Axes, names: Sequence[Name]) -> None:
        super().__init__(ax, names)
        for text in self.texts:
            text.set_path_effects([withStroke(linewidth=3, foreground=ax.get_facecolor())])

    def place(self, renderer: Any) -> list[npt.NDArray[np.float64]]:
        axes, points = self._frame(), renderer.points_to_pixels(1.0)
        taken = self._drawn(points)
        boxes: list[tuple[float, float, float, float]] = []
        for text in axes.texts:
            extent = text.get_window_extent(renderer)
            boxes.append((extent.x0, extent.y0, extent.x1, extent.y1))
        lines = []
        for name, text in zip(self.names, self.texts):
            extent = text.get_window_extent(renderer)
            # Outlined text is drawn a little wider than it is measured.
            width, height, air = 1.03 * extent.width, extent.height, _AIR * points
            best, chosen = math.inf, (0.0, 0.0, 0.0, 0.0)
            for rank, (x, y) in enumerate(self._display(name.anchors)):
                for distance, left, low in _around(x, y, width, height, 8 * points):
                    cost = distance / points + 14 * rank
                    if cost >= best:
                        continue
                    box = (left - air, low - air, left + width + air, low + height + air)
                    cost += 20 * _inside(taken, box) + 1000 * sum(_overlap(box, other) for other in boxes)
                    out = box[0] < axes.bbox.x0 or box[2] > axes.bbox.x1 or box[1] < axes.bbox.y0 or box[3] > axes.bbox.y1
                    cost += 1000 * out
                    if cost < best:
                        best, chosen = cost, (left, low, float(x), float(y))
            left, low, x, y = chosen
            boxes.append((left, low, left + width, low + height))
            text.set_position((left, low + height / 2))
            near = np.array([np.clip(x, left, left + width), np.clip(y, low, low + height)])
            gap = np.array([x, y]) - near
            length = float(np.hypot(*gap))
            line = np.empty((0, 2))
            if length > 16 * points:  # a name that touches its point needs none
                line = np.array([near + gap * 2 * points / length, near + gap * (1 - 6 * points / length)])
            lines.append(line)
        return lines

    def _drawn(self, points: float) -> npt.NDArray[np.float64]:
        """Places that a name should not cover: markers, and the lines between them."""
        found = [np.empty((0, 2))]
        for line in self._frame().get_lines():
            xy = np.asarray(line.get_xydata(), dtype=np.float64)
            if len(xy) == 0:
                continue
            if line.get_drawstyle() == "steps-post":
                xy = np.repeat(xy, 2, axis=0)
                xy = np.stack([xy[1:, 0], xy[:-1, 1]], axis=1)
            corners = self._display(xy)
            found.append(corners)
            if line.get_marker() != "None":
                half = float(line.get_markersize()) / 2 * points
                found += [corners + half * np.array(side) for side in ((-1, -1), (-1, 1), (1, -1), (1, 1))]
            if line.get_linestyle() != "None":
                for start, end in zip(corners[:-1], corners[1:]):
                    count = int(np.hypot(*(end - start)) // (_SAMPLE * points))
                    found.append(start + (end - start) * np.linspace(0, 1, count + 2)[1:-1, None])
        return np.concatenate(found)


def _around(x: float, y: float, width: float, height: float, step: float) -> list[tuple[float, float, float]]:
    """Lower left corners of boxes around a point, with the distance of each from it."""
    found = []
    for ring in (1.0, 1.6, 2.4, 3.6, 5.0, 7.0, 10.0, 14.0, 19.0):
        radius = ring * step
        for turn in range(16):
            across, up = math.cos(math.pi * turn / 8), math.sin(math.pi * turn / 8)
            # The box's nearest side or corner is what is at `radius`; right of the point is read best.
            left = x + across * radius + (across - 1) * width / 2
            low = y + up * radius + (up - 1) * height / 2
            found.append((radius + 0.15 * step * (1 - across), left, low))
    return found


def _inside(places: npt.NDArray[np.float64], box: tuple[float, float, float, float]) -> int:
    x, y = places[:, 0], places[:, 1]
    return int(np.count_nonzero((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])))


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Middles of labels of `heights`, as near as can be to `wanted` (ascending) without one reaching into the next.

    They stay between low and high if there is room for all. Labels that touch form a group that moves as one, to the mean of what
    its members want; groups that run into each other become one (isotonic regression by pooling).
    """
    if len(wanted) != len(heights):
        raise InvalidArgument(f"{len(wanted)} places for {len(heights)} labels, expected one each")
    if sum(heights) > high - low:
        low, high = -math.inf, math.inf
    groups: list[tuple[int, float, float]] = []  # members, height, sum of the lower edges they want for the group

    def edge_of(group: tuple[int, float, float]) -> float:
        return min(max(group[2] / group[0], low), high - group[1])

    for middle, height in zip(wanted, heights):
        group = (1, height, middle - height / 2)
        while groups and edge_of(groups[-1]) + groups[-1][1] > edge_of(group):
            count, tall, edges = groups.pop()
            group = (count + group[0], tall + group[1], edges + group[2] - tall * group[0])
        groups.append(group)
    middles: list[float] = []
    for group in groups:
        edge = edge_of(group)
        for height in heights[len(middles) : len(middles) + group[0]]:
            middles.append(edge + height / 2)
            edge += height
    return middles
