"""Plots: names keep apart, peers are grey, axes are what they say; and the points that go in."""

from __future__ import annotations

import itertools
import json
import pathlib
import pickle
from typing import Any, Iterator

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.colors import rgb_to_hsv, to_rgb

import vicinal
from vicinal import plot
from vicinal._plot_axes import stretch, unstretch
from vicinal._plot_labels import Labels, spread
from vicinal._plot_points import front


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    pyplot.close("all")


def curve(speed: float, miss: float) -> list[dict[str, float]]:
    efforts = np.array([10, 16, 32, 64, 128, 256])
    recalls = 1 - miss * (10 / efforts) ** 1.6
    return [
        {"effort": int(e), "recall": float(r), "qps": speed * 10 / e, "mean_us": 1e5 * e / speed}
        for e, r in zip(efforts, recalls)
    ]


CURVES: dict[str, Any] = {
    "ours": curve(50_000, 0.15),
    "plain": curve(21_000, 0.12),
    "peer": curve(9_000, 0.15),
    "exact": [(1.0, 68.0)],
}


def drawn_labels(ax: Any) -> dict[str, Any]:
    """Boxes of the names, as they are on paper."""
    ax.figure.canvas.draw()
    (labels,) = [artist for artist in ax.get_children() if isinstance(artist, Labels)]
    renderer = ax.figure.canvas.get_renderer()
    return {text.get_text(): text.get_window_extent(renderer) for text in labels.texts}


def assert_apart(boxes: dict[str, Any]) -> None:
    for (one, box), (other, its_box) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(its_box), f"{one} is on {other}"


def all_drawn(ax: Any, name: str, axis: str) -> list[float]:
    """Sorted: of the line and of the points that others beat."""
    values = [float(v) for label in (name, f"_{name}") for v in getattr(line(ax, label), f"get_{axis}data")()]
    return sorted(values)


def line(ax: Any, name: str) -> Any:
    (found,) = [line for line in ax.get_lines() if line.get_label() == name]
    return found


@pytest.mark.parametrize("size", [(8, 5), (4, 3), (12, 4)])
@pytest.mark.parametrize("count", [2, 12])
def test_names_beside_curves_do_not_overlap(size: tuple[float, float], count: int) -> None:
    figure, ax = pyplot.subplots(figsize=size, layout="constrained")
    assert plot.recall_latency({f"index {i}": curve(30_000 * 0.99**i, 0.1) for i in range(count)}, ax=ax) is ax
    boxes = drawn_labels(ax)
    assert len(boxes) == count
    assert_apart(boxes)
    paper = figure.bbox
    for name, box in boxes.items():
        assert box.x0 > ax.bbox.x1, f"{name} is on the curves"
        assert box.x1 <= paper.x1, f"{name} is cut off"
    # In the order of the curves' ends.
    assert sorted(boxes, key=lambda name: -boxes[name].y0) == [f"index {i}" for i in range(count)]
    # Where the figure is made smaller, they still keep apart.
    figure.set_size_inches(size[0] * 0.7, size[1] * 0.7)
    assert_apart(drawn_labels(ax))


@pytest.mark.parametrize("seed", range(4))
def test_names_in_a_memory_plot_do_not_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = {f"codec {i}": list(zip(rng.uniform(0.3, 0.999, 3), rng.uniform(16, 4000, 3))) for i in range(12)}
    ax: Any = plot.memory_recall(entries)
    boxes = drawn_labels(ax)
    assert len(boxes) == 12
    assert_apart(boxes)
    for box in boxes.values():
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
    hint = ax.texts[0].get_window_extent(ax.figure.canvas.get_renderer())
    assert not any(box.overlaps(hint) for box in boxes.values())


def test_spread_moves_labels_no_further_than_needed() -> None:
    assert spread([10, 50], [10, 10], 0, 100) == [10, 50]
    assert spread([50, 50, 50], [10, 10, 10], 0, 100) == [40, 50, 60]
    assert spread([0, 1, 99], [10, 10, 10], 0, 100) == [5, 15, 95]
    assert spread([50, 50], [80, 80], 0, 100) == [10, 90]  # no room: out of bounds, but apart
    with pytest.raises(vicinal.InvalidArgument, match="1 places for 2 labels"):
        spread([1], [1, 1], 0, 1)


def saturation(colour: Any) -> float:
    return float(rgb_to_hsv(to_rgb(colour))[1])


@pytest.mark.parametrize("draw", ["recall_latency", "memory_recall"])
def test_peers_are_grey_and_behind(draw: str) -> None:
    if draw == "recall_latency":
        ax = plot.recall_latency(CURVES, grey=["peer"])
    else:
        ax = plot.memory_recall({name: [(0.9, 100.0), (0.95, 200.0)] for name in CURVES}, grey=["peer"])
    peer, others = line(ax, "peer"), [line(ax, name) for name in CURVES if name != "peer"]
    assert saturation(peer.get_color()) < 0.1
    assert len({other.get_color() for other in others}) == 3
    for other in others:
        assert saturation(other.get_color()) > 0.3
        assert other.get_zorder() > peer.get_zorder() and other.get_linewidth() > peer.get_linewidth()
    (labels,) = [artist for artist in ax.get_children() if isinstance(artist, Labels)]
    colours = {text.get_text(): text.get_color() for text in labels.texts}
    assert saturation(colours["peer"]) < 0.2 < saturation(colours["ours"])


def test_axes_of_recall_and_speed() -> None:
    ax: Any = plot.recall_latency(CURVES, title="Title", xlabel="recall@10")
    assert ax.get_yscale() == "log" and ax.get_xscale() == "function"
    assert ax.get_title(loc="left") == "Title" and ax.get_title() == ""
    assert ax.get_xlabel() == "recall@10" and ax.get_ylabel() == "queries per second"
    assert not ax.spines["top"].get_visible() and not ax.spines["right"].get_visible() and ax.get_legend() is None
    ax.figure.canvas.draw()
    # A nine more takes as much room, and a label stands where its recall is.
    place = {value: ax.transData.transform((value, 100))[0] for value in (0.8, 0.9, 0.98, 0.99, 0.999, 1.0)}
    assert place[0.99] - place[0.9] == pytest.approx(place[0.9] - ax.transData.transform((0.0, 100))[0], rel=0.03)
    assert place[0.98] < place[0.99] < place[0.999] < place[1.0] <= ax.bbox.x1
    for tick in ax.xaxis.get_major_ticks():
        assert float(tick.label1.get_text()) == tick.get_loc()
    assert {0.9, 0.99, 0.999, 1.0} <= set(ax.get_xticks())
    for drawn in ax.get_lines():
        x, y = drawn.get_data()
        assert np.all((ax.get_xlim()[0] <= x) & (x <= ax.get_xlim()[1]) & (ax.get_ylim()[0] <= y) & (y <= ax.get_ylim()[1]))
    np.testing.assert_allclose(unstretch(stretch([0, 0.5, 0.99, 1])), [0, 0.5, 0.99, 1], atol=1e-12)


@pytest.mark.parametrize("recalls", [(0.0, 0.3), (0.5, 0.6), (0.99991, 0.99999), (1.0, 1.0), (0.0, 1.0)])
def test_any_recalls_fit_with_at_least_two_labels(recalls: tuple[float, float]) -> None:
    ax = plot.recall_latency({"one": [(recalls[0], 10.0), (recalls[1], 5.0)]})
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    assert low <= recalls[0] and recalls[1] <= high and sum(low <= tick <= high for tick in ax.get_xticks()) >= 2


def test_memory_is_told_in_powers_of_two() -> None:
    ax = plot.memory_recall({"a": {"recall": 0.9, "bytes": 48}, "b": [{"recall": 0.99, "bytes": 3000}]})
    assert ax.get_xscale() == "log" and ax.get_yscale() == "function"
    ax.figure.canvas.draw()
    texts = [label.get_text() for label in ax.get_xticklabels()]
    assert "64 B" in texts and "1 KiB" in texts


def test_the_front_is_what_nothing_beats() -> None:
    pairs = [(0.9, 100.0), (0.8, 50.0), (0.85, 120.0), (0.9, 90.0), (0.95, 300.0), (0.8, 60.0)]
    assert front(pairs, more_is_better=False) == [(0.8, 50.0), (0.9, 90.0), (0.95, 300.0)]
    assert front(pairs, more_is_better=True) == [(0.95, 300.0)]
    ax = plot.memory_recall({"a": pairs[:3], "b": pairs[3:]})
    steps = line(ax, "_front")
    assert steps.get_drawstyle() == "steps-post"
    assert list(zip(*steps.get_data()))[1:-1] == [(50.0, 0.8), (90.0, 0.9), (300.0, 0.95)]
    assert line(ax, "a").get_xdata().tolist() == [50.0, 100.0]
    assert "_front" not in [drawn.get_label() for drawn in plot.memory_recall({"a": pairs}, best=False).get_lines()]


def test_a_curve_joins_what_is_not_beaten_and_shows_the_rest() -> None:
    ax = plot.recall_latency({"a": [(0.9, 100.0), (0.95, 50.0), (0.95, 40.0), (0.92, 30.0)]})
    assert list(zip(*line(ax, "a").get_data())) == [(0.9, 100.0), (0.95, 50.0)]
    assert sorted(zip(*line(ax, "_a").get_data())) == [(0.92, 30.0), (0.95, 40.0)]
    ax = plot.recall_latency({"a": [(0.9, 10.0), (0.95, 50.0), (0.92, 60.0)]}, speed="p99_us")
    assert list(zip(*line(ax, "a").get_data())) == [(0.9, 10.0), (0.95, 50.0)]


def test_speed_is_what_every_point_has() -> None:
    assert plot.recall_latency(CURVES | {"t": [{"recall": 0.9, "qps": 5}]}).get_ylabel() == "queries per second"
    times = {"a": curve(1000, 0.1), "b": [{"recall": 0.9, "mean_us": 5.0}]}
    ax = plot.recall_latency(times)
    assert ax.get_ylabel() == "mean time of a query, µs" and line(ax, "b").get_ydata() == [5.0]
    with pytest.raises(vicinal.InvalidArgument, match="a point of b has keys recall, mean_us, expected recall and qps"):
        plot.recall_latency(times, speed="qps")


def test_reports_of_the_command(tmp_path: pathlib.Path) -> None:
    base = np.random.default_rng(0).standard_normal((800, 24)).astype(np.float32)
    index = vicinal.build(base[:700], "i8 | hnsw", metric="l2")
    index.save(tmp_path / "base.vcn")
    np.save(tmp_path / "queries.npy", base[700:])
    np.save(tmp_path / "truth.npy", vicinal.exact(base[:700], base[700:], metric="l2").ids)
    files = [str(tmp_path / name) for name in ("base.vcn", "queries.npy", "truth.npy")]
    from vicinal import _vicinal

    path = tmp_path / "report.json"
    assert _vicinal.command_line(["vicinal", "eval", *files, "--effort", "10,40", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    for given in (path, str(path), report):
        ax = plot.recall_latency({"index": given})
        np.testing.assert_allclose(all_drawn(ax, "index", "y"), sorted(point["qps"] for point in report["points"]))
    # What it takes, not the bytes that a query reads.
    ax = plot.memory_recall({"index": path})
    assert line(ax, "index").get_xdata().tolist() == [report["memory_bytes"] / 700]


@pytest.mark.parametrize("name", ["recall_latency", "memory_recall"])
@pytest.mark.parametrize(
    "given, grey, error, message",
    [
        ([], (), vicinal.WrongType, "expected a mapping of names to points, got list"),
        ({}, (), vicinal.InvalidArgument, "there is nothing to draw"),
        ({"a": []}, (), vicinal.InvalidArgument, "a has no points"),
        ({"a": [(1.5, 3.0)]}, (), vicinal.InvalidArgument, "a point of a has recall 1.5, expected 0 to 1"),
        ({"a": [(float("nan"), 3.0)]}, (), vicinal.InvalidArgument, "a point of a has recall nan"),
        ({"a": [(0.5, 0.0)]}, (), vicinal.InvalidArgument, "0.0, expected a number above 0"),
        ({"a": [(0.5, 1.0, 2.0)]}, (), vicinal.InvalidArgument, "expected a mapping or a pair"),
        ({"a": {"n": 3}}, (), vicinal.InvalidArgument, "a has keys n, expected a report with points"),
        ({"a": [(0.5, 1.0)]}, ["b"], vicinal.InvalidArgument, "grey names 'b', which is not among a"),
        ({"a": [(0.5, 1.0)]}, "a", vicinal.WrongType, "grey is the text 'a', expected a list of names"),
    ],
)
def test_wrong_input(name: str, given: Any, grey: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(plot, name)(given, grey=grey)
    assert not pyplot.get_fignums()


def test_a_file_that_is_no_report(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.json").write_text("no")
    with pytest.raises(vicinal.InvalidArgument, match="x.json is no JSON"):
        plot.recall_latency({"a": tmp_path / "x.json"})
    with pytest.raises(FileNotFoundError):
        plot.recall_latency({"a": tmp_path / "y.json"})
    with pytest.raises(vicinal.InvalidArgument, match="speed is 'fast', expected one of qps"):
        plot.recall_latency(CURVES, speed="fast")


def test_figures_can_be_saved_and_pickled(tmp_path: pathlib.Path) -> None:
    drawn: list[Any] = [
        plot.recall_latency(CURVES | {"a$b_c$": [(0.5, 8.0)]}),
        plot.memory_recall({"a$b_c$": [(0.5, 8.0)], "b": [(0.9, 20.0)]}),
    ]
    for ax in drawn:
        for ending in ("png", "svg", "pdf"):
            ax.figure.savefig(tmp_path / f"plot.{ending}", bbox_inches="tight")
        pickle.loads(pickle.dumps(ax.figure)).savefig(tmp_path / "again.png")
        assert "a$b_c$" in drawn_labels(ax)


def test_measure() -> None:
    base = np.random.default_rng(1).standard_normal((1500, 16)).astype(np.float32)
    queries = base[:60] + np.float32(0.2)
    truth = vicinal.exact(base, queries, 5, metric="l2").ids
    index = vicinal.build(base, "i8 | hnsw(m=4, efc=16)", metric="l2")
    points = plot.measure(index, queries, truth, 5, [5, 20, 200], repeats=1)
    assert [point["effort"] for point in points] == [5, 20, 200]
    for point in points:
        assert point["recall"] == vicinal.recall(index.search(queries, 5, effort=point["effort"]).ids, truth)
        assert point["qps"] == pytest.approx(1e6 / point["mean_us"]) and 0 < point["p50_us"] <= point["p99_us"]
    assert points[0]["recall"] < points[2]["recall"]
    assert index.calibration is not None
    assert [point["effort"] for point in plot.measure(index, queries, truth, 5, repeats=1)] == list(index.calibration.efforts)
    (exact,) = plot.measure(vicinal.build(base, "flat", metric="l2"), queries, truth, 5, repeats=2)
    assert exact["recall"] == 1.0
    drawn = plot.recall_latency({"hnsw": points, "exact": [exact]})
    assert all_drawn(drawn, "hnsw", "x") == sorted(point["recall"] for point in points)
    for arguments, message in (
        ((queries, truth[:3], 5), "truth has 3 rows, there are 60 queries"),
        ((queries, truth, 6), "k is 6, expected 1 to 5"),
        ((queries, truth, 5, []), "there are no efforts"),
        ((queries[:0], truth[:0], 5), "there are no queries"),
        ((np.ascontiguousarray(queries[:, :4]), truth, 5), "queries have 4 columns, the index has dimension 16"),
    ):
        with pytest.raises(vicinal.InvalidArgument, match=message):
            plot.measure(index, *arguments)
    with pytest.raises(vicinal.InvalidArgument, match="repeats is 0"):
        plot.measure(index, queries, truth, 5, repeats=0)
