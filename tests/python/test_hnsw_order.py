"""The study bench/studies/hnsw_order: LID of manifolds of known dimension, orders, and all of it on small sets."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal

pytest.importorskip("matplotlib")
pytest.importorskip("ml_dtypes")

STUDIES = Path(__file__).parents[2] / "bench/studies"
sys.path.insert(0, str(STUDIES))
MODULES = ("figure", "graphs", "lid", "manifolds", "measure", "orders", "sets", "summary", "tables")
figure, graphs, lid, manifolds, measure, orders, sets, summary, tables = (
    importlib.import_module(f"hnsw_order.{name}") for name in MODULES
)
sys.path.remove(str(STUDIES))

ORDERS = ("random", "LID ascending", "LID descending", "category")


@pytest.mark.parametrize("dimension", [2, 5, 10, 20, 40])
@pytest.mark.parametrize("k", [20, 100])
def test_the_estimator_in_a_ball_of_even_density(dimension: int, k: int) -> None:
    """There a distance is the radius times U^(1/dimension), and the expectation is known exactly."""
    samples = 4000
    places = np.sort(np.random.default_rng(dimension).random((samples, k)), axis=1)
    estimates = lid.maximum_likelihood(3 * places ** (1 / dimension))
    expected = dimension * (k - 1) / (k - 2)
    error = expected / (k - 3) ** 0.5 / samples**0.5
    assert abs(estimates.mean() - expected) < 4 * error
    assert estimates.std() == pytest.approx(expected / (k - 3) ** 0.5, rel=0.06)


def test_the_estimator_by_hand() -> None:
    distances = np.array([[1.0] * 10 + [np.e], [0.0] + [1.0] * 9 + [np.e], [0.0] * 5 + [1.0] * 5 + [np.e], [2.0] * 11])
    # The mean of the logarithms that are not zero by construction is -1. With 6 distances there is no estimate, nor with equal ones.
    assert lid.maximum_likelihood(distances).tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0])


def expected_on_a_sphere(intrinsic: int, count: int, k: int) -> float:
    """A cap within the chord r of a point of the unit sphere has an area that grows as r^(d - 1) (1 - r^2 / 4)^(d / 2 - 1) dr. The
    estimate's inverse is the mean of ln(r_k / r) in the cap that holds k of `count` points."""
    r = np.linspace(0, 2, 400_001)[1:-1]
    density = r ** (intrinsic - 1) * (1 - r**2 / 4) ** (intrinsic / 2 - 1)
    share = np.cumsum(density) / density.sum()
    inside = share <= k / count
    weights = density[inside] / density[inside].sum()
    return float(1 / (weights @ np.log(r[inside][-1] / r[inside])))


@pytest.mark.parametrize("intrinsic", [2, 5, 10, 20])
def test_lid_of_spheres(intrinsic: int) -> None:
    """The sphere is curved: within 100 of few neighbours its dimension is seen as smaller, by as much as is known."""
    points = manifolds.sphere(6000, intrinsic, 64, np.random.default_rng(7))
    assert points.shape == (6000, 64) and points.dtype == np.float32
    expected = expected_on_a_sphere(intrinsic, 6000, 100) * 99 / 98
    assert lid.of_rows(points).mean() == pytest.approx(expected, rel=0.02)
    unseen = lid.of_points(points[:5000], points[5000:])
    assert unseen.mean() == pytest.approx(expected_on_a_sphere(intrinsic, 5000, 100) * 99 / 98, rel=0.02)
    if intrinsic <= 5:
        assert lid.of_rows(points).mean() == pytest.approx(intrinsic, rel=0.04)


@pytest.mark.parametrize(
    ("kind", "intrinsic", "low", "high"),
    [
        # Near its sides a cube is less than a cube, and in high dimensions most of it is near one.
        ("cube", 2, 0.96, 1.02), ("cube", 5, 0.85, 0.94), ("cube", 10, 0.76, 0.85), ("cube", 20, 0.65, 0.76),
        ("swiss_roll", 2, 0.95, 1.02), ("swiss_roll", 5, 0.9, 1.02),
    ],
)
def test_lid_of_what_has_sides(kind: str, intrinsic: int, low: float, high: float) -> None:
    points = getattr(manifolds, kind)(6000, intrinsic, 64, np.random.default_rng(7))
    assert low * intrinsic < lid.of_rows(points).mean() < high * intrinsic


def test_lid_of_a_sphere_nears_its_dimension_with_more_points() -> None:
    means = [lid.of_rows(manifolds.sphere(count, 10, 16, np.random.default_rng(3))).mean() for count in (500, 4000, 16000)]
    assert means[0] < means[1] < means[2] < 10.2


def test_a_row_is_no_neighbour_of_its_own_and_copies_do_not_count() -> None:
    points = manifolds.sphere(2000, 5, 16, np.random.default_rng(1))
    rows, distances = lid.nearest(points, points, 5)
    assert np.array_equal(rows[:, 0], np.arange(2000)) and not distances[:, 0].any()
    alone = lid.of_rows(points)
    assert alone[:1] == lid.of_points(points[1:], points[:1])
    twice = lid.of_rows(np.concatenate([points, points[:1]]))
    assert twice[0] == twice[-1] == pytest.approx(alone[0], rel=0.05)
    assert lid.of_rows(np.ones((300, 4), dtype=np.float32)).tolist() == [0.0] * 300


def test_lid_does_not_change_with_scale_or_place() -> None:
    points = manifolds.gaussian(1500, 8, 32, np.random.default_rng(2))
    assert lid.of_rows(64 * points) == pytest.approx(lid.of_rows(points), rel=1e-9)
    assert lid.of_rows(points + np.float32(0.5)) == pytest.approx(lid.of_rows(points), rel=1e-3)


def test_orders_are_permutations_sorted_by_lid() -> None:
    generator = np.random.default_rng(4)
    values = np.round(generator.random(500) * 30)
    categories = generator.integers(7, size=500)
    found = orders.all_of(values, categories, 3)
    assert [name for name, _, _ in found] == ["random"] * 3 + ["LID ascending", "LID descending"] + ["category"] * 3
    for _, _, order in found:
        assert np.array_equal(np.sort(order), np.arange(500))
    by_name = {(name, seed): order for name, seed, order in found}
    assert (np.diff(values[by_name["LID ascending", 0]]) >= 0).all()
    assert (np.diff(values[by_name["LID descending", 0]]) <= 0).all()
    for seed in range(3):
        changes = np.count_nonzero(np.diff(categories[by_name["category", seed]]))
        assert changes == 6
        assert not (np.diff(by_name["category", seed]) > 0).all()
    assert not np.array_equal(by_name["random", 0], by_name["random", 1])
    assert not np.array_equal(by_name["category", 0], by_name["category", 1])
    assert {name for name, _, _ in orders.all_of(values, None, 1)} == set(ORDERS) - {"category"}


def test_mixtures_hold_what_they_say() -> None:
    given = sets.controlled("mixture", 6000)
    estimates = lid.of_rows(given.base)
    medians = [float(np.median(estimates[given.categories == label])) for label in range(5)]
    assert medians == sorted(medians) and medians[0] < 4 and medians[4] > 10
    clustered = sets.controlled("clustered", 2000)
    assert len(np.unique(clustered.categories)) == 50
    nearest = lid.nearest(clustered.base, clustered.base, 2)[0][:, 1]
    assert (clustered.categories[nearest] == clustered.categories).mean() > 0.9


def test_recall_counts_rows_at_the_distance_of_the_last() -> None:
    base = np.arange(40, dtype=np.float32).reshape(40, 1)
    query = np.array([[9.5]], dtype=np.float32)
    furthest = lid.nearest(base, query, 9)[1][:, -1]
    assert furthest.tolist() == [4.5]
    recall = [measure.recall_of(base, query, np.array([rows]), furthest)[0] for rows in (
        [5, 6, 7, 8, 9, 10, 11, 12, 13], [14, 6, 7, 8, 9, 10, 11, 12, 13], [20, 21, 7, 8, 9, 10, 11, 12, -1],
    )]
    assert recall == pytest.approx([1.0, 1.0, 6 / 9])


@pytest.mark.parametrize("codec", ["f32", "i8"])
def test_our_bulk_build_does_not_know_the_order(codec: str) -> None:
    """Not only the recall: every distance to the bit, and every row but for those of equal distance, where row numbers decide."""
    given = sets.controlled("mixture", 2000)
    estimates = lid.of_rows(given.base)
    found = []
    for _, _, order in orders.all_of(estimates, given.categories, 1):
        index = vicinal.build(
            given.base[order], f"{codec} | hnsw(m=8, ef_construction=32)", metric="l2", calibrate=False, progress=False
        )
        hits = index.search(given.queries, 10, effort=10)
        found.append((order[hits.ids], hits.distances))
    assert len(found) == 4
    for rows, distances in found[1:]:
        assert np.array_equal(distances, found[0][1])
        assert np.array_equal(measure.told_apart(rows, distances), measure.told_apart(*found[0]))
        assert (rows != found[0][0]).mean() < 0.001


def test_one_by_one_the_order_is_known() -> None:
    """A control: the study can see an order where there is one to see."""
    pytest.importorskip("hnswlib")
    facts = measure.facts_of(sets.controlled("mixture", 2000))
    found = list(measure.run(facts, ["hnswlib"], 2, 1))
    assert len({result.answers for result in found}) == len(found)
    again = list(measure.run(facts, ["hnswlib"], 2, 1))
    assert [result.answers for result in again] == [result.answers for result in found]


def test_a_query_that_reaches_too_few_rows_ends_no_search() -> None:
    pytest.importorskip("hnswlib")
    points = manifolds.sphere(12, 3, 8, np.random.default_rng(6))
    search = graphs.GRAPHS["hnswlib"].build(points[:6], "")
    assert (search(points, 10, 10)[0] == -1).all()
    assert (np.sort(search(points, 6, 10)[0], axis=1) == np.arange(6)).all()


def test_rows_of_equal_distance_are_not_told_apart() -> None:
    found = np.array([[7, 8, 9, 5, 6], [1, 2, 3, 4, 5]])
    distances = np.array([[1, 2, 2, 3, 4], [1, 2, 3, 4, 4]], dtype=np.float32)
    assert measure.told_apart(found, distances).tolist() == [[7, -1, -1, 5, -1], [1, 2, 3, -1, -1]]


def small_study(seeds: int = 2) -> Any:
    names = [name for name, graph in graphs.GRAPHS.items() if graph.is_installed]
    facts = [measure.facts_of(sets.controlled(name, 800)) for name in ("gaussian-10", "mixture")]
    return summary.Measurements(facts, [result for entry in facts for result in measure.run(entry, names, seeds, 1)])


@pytest.fixture(scope="module")
def small() -> Any:
    return small_study()


def test_the_study_on_small_sets(small: Any, tmp_path: Path) -> None:
    tables.write(tmp_path, small, ["debian: skipped, debian.npy is not there"])
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(content) == {"parameters", "sets", "results", "differences", "missing"}
    assert content["parameters"]["m"] == 16 and content["parameters"]["ef"] in content["parameters"]["efs"]
    assert [entry["set"] for entry in content["sets"]] == ["gaussian-10", "mixture"]
    for entry in content["sets"]:
        assert (entry["rows"], entry["dim"], entry["queries"]) == (800, 128, 1000)
        assert entry["lid"]["p10"] < entry["lid"]["p50"] < entry["lid"]["p90"]
        assert entry["query_lid_deciles"] == sorted(entry["query_lid_deciles"])
    # Two seeds by chance and two orders by LID; the mixture has categories as well.
    assert len(content["results"]) == len(small.graphs) * (4 + 6)
    for entry in content["results"]:
        assert entry["graph"] in small.graphs and entry["order"] in ORDERS
        recalls = [entry["recall"][str(ef)] for ef in content["parameters"]["efs"]]
        assert 0.2 < recalls[0] <= recalls[-1] <= 1
        assert len(entry["recall_by_query_lid_decile"]) == len(entry["lost_by_lid_decile"]) == 10
        assert np.mean(entry["recall_by_query_lid_decile"]) == pytest.approx(entry["recall"]["40"])
        assert 0 <= entry["lost"] < 0.5
    assert all(entry["low"] <= entry["points"] <= entry["high"] for entry in content["differences"])
    ours = [entry for entry in content["differences"] if entry["graph"] == "vicinal"]
    assert len(ours) == 2 * (2 + 3) and all(entry["points"] == entry["low"] == entry["high"] == 0 for entry in ours)
    assert len({entry["answers"] for entry in content["results"] if entry["graph"] == "vicinal" and entry["set"] == "mixture"}) == 1
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "nan" not in text and "* debian: skipped" in text
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")


def test_the_figures(small: Any, tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        figure.write(folder, small)
    for name in ("orders.svg", "deciles.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        words = "".join(xml.parse(tmp_path / "one" / name).getroot().itertext())
        assert "mixture, median LID" in words and "vicinal" in words
    assert all(order in words or order == "category" for order in ORDERS) or "hnswlib" not in small.graphs


def test_means_and_deciles() -> None:
    values = np.arange(25, dtype=np.float64)
    assert measure.deciles(values, -values)[0] == pytest.approx((24 + 23 + 22) / 3)
    assert measure.deciles(values, -values)[-1] == pytest.approx(0.5)
    cell = summary.Cell(np.array([0.5, 1.0]), np.array([0.7, 0.8]))
    assert cell.mean == 0.75 and cell.deviation == pytest.approx(0.1 / 2**0.5)


def test_packages_are_read_with_their_sections(tmp_path: Path) -> None:
    (tmp_path / "minilm").mkdir()
    (tmp_path / "debian-packages").mkdir()
    points = np.random.default_rng(5).standard_normal((1300, 8)).astype(np.float16)
    points[7] = points[3]
    np.save(tmp_path / "minilm/debian.npy", points)
    with gzip.open(tmp_path / "debian-packages/packages.jsonl.gz", "wt") as file:
        file.write("".join(f'{{"section": "{name}"}}\n' for name in ["libs", "doc"] * 650))
    given = sets.LOADERS["debian"](tmp_path, 200)
    assert given.base.shape == (200, 8) and given.queries.shape == (1000, 8)
    assert np.linalg.norm(given.base, axis=1) == pytest.approx(1, abs=1e-6)
    every = np.concatenate([given.base, given.queries])
    assert len(np.unique(every, axis=0)) == 1200
    scaled = points.astype(np.float32) / np.linalg.norm(points.astype(np.float32), axis=1, keepdims=True)
    for row, category in zip(given.base[:20], given.categories[:20]):
        place = int(np.abs(scaled - row).sum(axis=1).argmin())
        assert category == (1 if place % 2 == 0 else 0)
    np.save(tmp_path / "minilm/debian.npy", points[:1299])
    with pytest.raises(ValueError, match="1299 rows, packages.jsonl.gz 1300"):
        sets.LOADERS["debian"](tmp_path, 200)


@pytest.mark.skipif(not os.environ.get("VICINAL_DATA"), reason="VICINAL_DATA does not say where the real sets are")
@pytest.mark.parametrize("name", ["debian", "wordllama", "scifact"])
def test_real_sets_are_read(name: str) -> None:
    try:
        given = sets.LOADERS[name](Path(os.environ["VICINAL_DATA"]), 3000)
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is not there")
    assert len(given.base) == 3000 and len(given.queries) == 1000
    assert 5 < np.median(lid.of_points(given.base, given.queries)) < 60


def study(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(STUDIES), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "hnsw_order", "--data", str(tmp_path), "-o", str(tmp_path / "out"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_what_is_not_there_is_said_and_the_rest_is_run(tmp_path: Path) -> None:
    some = ("--rows", "600", "--seeds", "1", "--graphs", "vicinal")
    done = study(tmp_path, "--sets", "debian,sphere-20", "--jobs", "2", *some)
    assert done.returncode == 0, done.stderr
    assert "debian: skipped, " in done.stdout and "is not there" in done.stdout
    assert "debian: skipped" in (tmp_path / "out/tables.md").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    assert [entry["set"] for entry in content["sets"]] == ["sphere-20"] and len(content["missing"]) == 1
    nothing = study(tmp_path, "--sets", "scifact", *some)
    assert nothing.returncode == 1 and "nothing could be measured" in nothing.stderr
    wrong = study(tmp_path, "--sets", "debain")
    assert wrong.returncode == 2 and "there is no set 'debain'" in wrong.stderr
