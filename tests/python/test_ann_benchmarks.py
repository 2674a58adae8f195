"""The module for ann-benchmarks, and the runner that stands for it here."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pathlib
import shutil
import sys
from typing import Any

import numpy as np
import pytest

import vicinal

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "bench" / "ann_benchmarks"


def load(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


runner, module = load("runner"), load("module")
BASE, QUERIES = runner.generate(1000, 16, 40)


def recall_by_hand(found: list[Any], metric: str) -> float:
    truth = vicinal.exact(BASE, QUERIES, 10, metric=metric).ids
    return float(np.mean([len(set(ids.tolist()) & set(row.tolist())) / 10 for ids, row in zip(found, truth)]))


@pytest.mark.parametrize("metric, ours", [("euclidean", "l2"), ("angular", "cosine")])
def test_the_life_of_an_algorithm(metric: str, ours: str) -> None:
    algorithm = module.Vicinal(metric, "i8 | hnsw(m=4, efc=16)")
    assert algorithm.get_memory_usage() == 0 and str(algorithm) == "Vicinal(i8 | hnsw(m=4, efc=16))"
    with pytest.raises(RuntimeError, match="fit comes first"):
        algorithm.query(QUERIES[0], 10)
    algorithm.fit(BASE)
    assert 1000 * 16 / 1024 < algorithm.get_memory_usage() < 1000
    recalls, costs = [], []
    for effort in (10, 200):
        algorithm.set_query_arguments(effort)
        assert str(algorithm) == f"Vicinal(i8 | hnsw(m=4, efc=16), effort={effort})"
        with pytest.raises(RuntimeError, match="batch_query comes first"):
            algorithm.get_batch_results()
        one_by_one = [algorithm.query(query, 10) for query in QUERIES]
        cost = algorithm.get_additional()["dist_comps"]
        algorithm.batch_query(QUERIES, 10)
        at_once = algorithm.get_batch_results()
        assert algorithm.get_additional()["dist_comps"] == 2 * cost
        np.testing.assert_array_equal(one_by_one, at_once)
        recalls.append(recall_by_hand(one_by_one, ours))
        costs.append(cost)
    assert recalls[0] < recalls[1] and recalls[1] > 0.95 and costs[0] < costs[1]
    algorithm.done()
    assert algorithm.get_memory_usage() == 0


def test_fewer_vectors_than_asked_for_give_no_placeholders() -> None:
    algorithm = module.Vicinal("euclidean", "flat")
    algorithm.fit(BASE[:3])
    assert sorted(algorithm.query(QUERIES[0], 10).tolist()) == [0, 1, 2]
    algorithm.batch_query(QUERIES[:2], 10)
    assert [sorted(ids.tolist()) for ids in algorithm.get_batch_results()] == [[0, 1, 2]] * 2


def test_other_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="metric is 'hamming', expected one of euclidean, angular"):
        module.Vicinal("hamming", "flat")


def test_in_the_tree_of_ann_benchmarks(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "ann_benchmarks" / "algorithms" / "base"
    base.mkdir(parents=True)
    (base / "module.py").write_text("class BaseANN:\n    marker = 'theirs'\n")
    ours = base.parent / "vicinal"
    ours.mkdir()
    shutil.copy(FOLDER / "module.py", ours)
    monkeypatch.syspath_prepend(tmp_path)
    (config,) = runner.read_config(FOLDER / "config.yml")["float"]["any"]
    loaded = importlib.import_module(f"{config['module']}.module")
    assert getattr(loaded, config["constructor"])("angular", "flat").marker == "theirs"


@pytest.mark.parametrize("metric", ["euclidean", "angular"])
def test_every_spec_of_the_config_is_one(metric: str) -> None:
    found = list(runner.definitions(runner.read_config(FOLDER / "config.yml"), metric, 16, 10))
    assert len(found) == 8 and {definition.group for definition in found} == {"i8-hnsw-rerank", "hnsw", "exact"}
    for definition in found:
        assert definition.constructor == "Vicinal" and definition.arguments[0] == metric
        vicinal.explain(definition.arguments[1], 16)
        if definition.group == "exact":
            assert definition.query_arguments == ((),)
        else:
            assert (10,) in definition.query_arguments and len(definition.query_arguments) == 13


def test_argument_combinations() -> None:
    config = {
        "float": {
            "any": [
                {
                    "name": "a", "constructor": "A", "base_args": ["@metric", "@dimension"],
                    "run_groups": {
                        "lists": {"args": [[1, 2], "x"], "query_args": [[10, 20], [3]]},
                        "groups": {"arg_groups": [{"M": [4, 8], "ef": 5}, 7], "args": {}, "query_arg_groups": [[1, 2], [9]]},
                        "mapping": {"args": {"M": [1, 2], "count": "@count"}},
                    },
                },
                {"name": "off", "constructor": "B", "disabled": True, "run_groups": {"x": {"args": []}}},
            ]
        }
    }
    found = list(runner.definitions(config, "angular", 16, 10))
    arguments = [(definition.group, definition.arguments[2:], definition.query_arguments) for definition in found]
    pairs = ((10, 3), (20, 3))
    assert arguments == [
        ("lists", (1, "x"), pairs), ("lists", (2, "x"), pairs),
        ("groups", ({"M": 4, "ef": 5}, 7), ((1, 9), (2, 9))), ("groups", ({"M": 8, "ef": 5}, 7), ((1, 9), (2, 9))),
        ("mapping", ({"M": 1, "count": 10},), ((),)), ("mapping", ({"M": 2, "count": 10},), ((),)),
    ]
    assert all(definition.arguments[:2] == ("angular", 16) for definition in found)
    with pytest.raises(ValueError, match="run group x of a has neither args nor arg_groups"):
        list(runner.definitions({"float": {"any": [{"name": "a", "run_groups": {"x": {}}}]}}, "angular", 16, 10))


@pytest.mark.parametrize("metric, ours", [("euclidean", "l2"), ("angular", "cosine")])
def test_the_runner_finds_the_truth_and_measures_recall(metric: str, ours: str) -> None:
    truth = runner.true_neighbours(BASE, QUERIES, 10, metric)
    np.testing.assert_array_equal(truth, vicinal.exact(BASE, QUERIES, 10, metric=ours).ids)
    data = runner.Dataset(BASE, QUERIES, truth, metric)
    limits = runner.distances(QUERIES, BASE[truth[:, 9]], metric) + 1e-3
    assert runner.recall(truth, limits, data, 10) == 1.0
    far = runner.true_neighbours(BASE, QUERIES, 1000, metric)[:, 500:505]
    assert runner.recall(np.hstack([truth[:, :5], far]), limits, data, 10) == 0.5
    assert runner.recall(truth[:, :1].repeat(10, axis=1), limits, data, 10) == pytest.approx(0.1)  # one id, ten times
    with pytest.raises(ValueError, match="20 neighbours for one query, expected at most 10"):
        runner.recall(truth.repeat(2, axis=1), limits, data, 10)
    with pytest.raises(ValueError, match="count is 1001, expected 1 to 1000"):
        runner.true_neighbours(BASE, QUERIES, 1001, metric)


@pytest.mark.parametrize("batch", [False, True])
def test_a_run(batch: bool) -> None:
    data = runner.Dataset(BASE, QUERIES, runner.true_neighbours(BASE, QUERIES, 10, "euclidean"), "euclidean")
    definition = runner.Definition("vicinal", "g", "Vicinal", ("euclidean", "i8 | hnsw(m=4, efc=16)"), ((10,), (200,)))
    low, high = runner.run(definition, module.Vicinal, data, 10, runs=2, batch=batch)
    assert low["recall"] < high["recall"] <= 1 and low["distances"] < high["distances"] < 1000
    assert low["name"].endswith("effort=10)") and low["bytes"] == high["bytes"] > 16
    assert high["qps"] == pytest.approx(1e6 / high["mean_us"]) and high["build_seconds"] > 0
    with pytest.raises(ValueError, match="the truth has shape"):
        next(runner.run(definition, module.Vicinal, data, 11))
    with pytest.raises(ValueError, match="runs is 0"):
        next(runner.run(definition, module.Vicinal, data, 10, runs=0))


def small_config(folder: pathlib.Path) -> pathlib.Path:
    shutil.copy(FOLDER / "module.py", folder)
    text = """
float:
  any:
  - {base_args: ['@metric'], constructor: Vicinal, name: vicinal, run_groups: {
      graph: {args: [['hnsw(m=8, efc=40)']], query_args: [[10, 100]]}, exact: {args: [[flat]]}}}
"""
    path = folder / "config.yml"
    path.write_text(text)
    return path


def test_the_command(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_config(tmp_path)
    np.save(tmp_path / "base.npy", BASE)
    np.save(tmp_path / "queries.npy", QUERIES)
    files = ["--base", str(tmp_path / "base.npy"), "--queries", str(tmp_path / "queries.npy"), "--config", str(config)]
    points = tmp_path / "points.json"
    assert runner.main([*files, "--metric", "angular", "--runs", "1", "--json", str(points)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].split()[:2] == ["recall", "queries/s"]
    assert lines[3].split()[0] == "1.0000" and lines[3].endswith("Vicinal(flat)")
    read = json.loads(points.read_text())
    assert list(read) == ["vicinal angular hnsw(m=8, efc=40)", "vicinal angular flat"]
    pytest.importorskip("matplotlib").use("Agg")
    from vicinal import plot

    assert plot.recall_latency(read).get_ylabel() == "queries per second"
    assert plot.memory_recall(read).get_xscale() == "log"


def test_the_command_on_generated_data(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(small_config(tmp_path))
    generated = ["--generate", "400", "8", "--query-count", "10", "--runs", "1", "--config", config]
    assert runner.main([*generated, "--group", "exact", "--batch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].split()[0] == "1.0000"
    one, again = runner.generate(50, 4, 5, seed=3), runner.generate(50, 4, 5, seed=3)
    np.testing.assert_array_equal(one[0], again[0])
    for arguments, message in (
        ([], "expected either --base with --queries, or --generate"),
        (["--base", "x.npy"], "expected --queries as well"),
        (["--base", str(tmp_path / "x.npy"), "--queries", "y.npy"], "No such file"),
        ([*generated, "--group", "none"], "has nothing to run for euclidean"),
        ([*generated, "--count", "500"], "count is 500, expected 1 to 400"),
    ):
        assert runner.main(arguments) == 1
        assert message in capsys.readouterr().err
