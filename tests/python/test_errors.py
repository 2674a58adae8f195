"""Every bad input is refused in words that say what was got and what was expected, and the index works on afterwards."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from typing import Any, Callable, Iterator

import numpy as np
import pytest

import vicinal
from vicinal import InvalidArgument, SpecError, WrongType


@pytest.fixture(autouse=True)
def works_on(flat: vicinal.Index, graph: vicinal.Index, base: Any) -> Iterator[None]:
    yield
    for index in (flat, graph):
        assert index.search(base[:3], 1).ids.ravel().tolist() == [0, 1, 2]


def at(values: Any, row: int, column: int, value: float) -> Any:
    changed = np.array(values)
    changed[row, column] = value
    return changed


BAD_QUERIES: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "float64": (lambda q: q.astype(np.float64), WrongType, r"queries is float64, expected float32 \(or float16.*astype"),
    "int64": (lambda q: np.ones((2, 24), np.int64), WrongType, "queries is int64, expected float32"),
    "complex": (lambda q: q.astype(np.complex64), WrongType, "queries is complex64, expected float32"),
    "objects": (lambda q: np.full((2, 24), object()), WrongType, "queries is object, expected float32"),
    "strings": (lambda q: ["a"] * 24, WrongType, "queries cannot be read as float32: .*'a'"),
    "ragged": (lambda q: [[1, 2], [3]], WrongType, "queries cannot be read as float32"),
    "three dimensions": (lambda q: q[None], InvalidArgument, r"has shape \(1, 15, 24\), expected shape \(n, dim\) or \(dim,\)"),
    "no dimension": (lambda q: np.float32(1), InvalidArgument, r"queries has shape \(\), expected shape"),
    "text": (lambda q: "abc", InvalidArgument, r"queries has shape \(\)"),
    "bytes": (lambda q: b"abcd" * 24, InvalidArgument, r"queries has shape \(\)"),
    "None": (lambda q: None, TypeError, "NoneType|None"),
    "columns": (lambda q: q[:, :4], InvalidArgument, "queries have 4 columns, the index has dimension 24"),
    "one short vector": (lambda q: q[0, :4], InvalidArgument, "queries have 4 columns, the index has dimension 24"),
    "no columns": (lambda q: q[:, :0], InvalidArgument, "queries have 0 columns, the index has dimension 24"),
    "NaN": (lambda q: at(q, 7, 3, np.nan), InvalidArgument, "queries row 7 column 3 is nan, expected a finite number"),
    "infinity": (lambda q: at(q, 2, 23, -np.inf), InvalidArgument, "queries row 2 column 23 is -inf, expected a finite number"),
}


@pytest.mark.parametrize("name", BAD_QUERIES)
def test_queries(name: str, flat: vicinal.Index, graph: vicinal.Index, queries: Any) -> None:
    make, kind, text = BAD_QUERIES[name]
    for index in (flat, graph):
        with pytest.raises(kind, match=text):
            index.search(make(queries))


BAD_BASES: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "float64": (lambda b: b.astype(np.float64), WrongType, "base is float64, expected float32"),
    "one dimension": (lambda b: b[0], InvalidArgument, r"base has shape \(24,\), expected shape \(n, dim\)"),
    "no rows": (lambda b: b[:0], InvalidArgument, "base has no rows, expected at least 1"),
    "no columns": (lambda b: b[:, :0], InvalidArgument, "dimension 0, expected at least 1"),
    "empty list": (lambda b: [], InvalidArgument, r"base has shape \(0,\), expected"),
    "NaN": (lambda b: at(b, 599, 0, np.nan), InvalidArgument, "base row 599 column 0 is nan, expected a finite number"),
    "infinity": (lambda b: at(b, 0, 5, np.inf), InvalidArgument, "base row 0 column 5 is inf, expected a finite number"),
    "float16 overflow": (lambda b: np.full((3, 3), np.inf, np.float16), InvalidArgument, "base row 0 column 0 is inf"),
    "None": (lambda b: None, TypeError, "None"),
    "a dict": (lambda b: {}, InvalidArgument, r"base has shape \(\)"),
}


@pytest.mark.parametrize("spec", ["flat", "i8 | hnsw | rerank(f16, 3x)"])
@pytest.mark.parametrize("name", BAD_BASES)
def test_bases(name: str, spec: str, base: Any) -> None:
    make, kind, text = BAD_BASES[name]
    with pytest.raises(kind, match=text):
        vicinal.build(make(base), spec, metric="cosine")


@pytest.mark.parametrize("k", [0, -1, -(2**62)])
def test_k_too_small(k: int, flat: vicinal.Index, queries: Any) -> None:
    collection = vicinal.Collection(24, metric="l2")
    for searched in (flat, collection):
        with pytest.raises(InvalidArgument, match=f"k is {k}, expected at least 1"):
            searched.search(queries, k)


@pytest.mark.parametrize("k", [10**9, 2**31, 2**32 + 1, 2**62, 2**63, 2**64 + 1])
def test_k_too_large_for_memory(k: int, flat: vicinal.Index, graph: vicinal.Index, queries: Any) -> None:
    collection = vicinal.Collection(24, metric="l2")
    for searched in (flat, graph, collection):
        with pytest.raises((InvalidArgument, MemoryError), match=f"k is {k}, expected at most [0-9]+"):
            searched.search(queries, k)


def test_k_beyond_the_index_pads(flat: vicinal.Index, graph: vicinal.Index, queries: Any) -> None:
    for index in (flat, graph):
        hits = index.search(queries[:2], 100_000)
        assert np.asarray(hits.counts).tolist() == [600, 600] and (hits.ids[:, 600:] == -1).all()


SEARCH_OPTIONS: list[tuple[dict[str, Any], Any, str]] = [
    ({"k": 1.5}, TypeError, "float"), ({"k": "3"}, TypeError, "str"), ({"k": None}, TypeError, "None"),
    ({"effort": 0}, InvalidArgument, "effort is 0, expected at least 1"),
    ({"effort": -4}, InvalidArgument, "effort is -4, expected at least 1"),
    ({"effort": 2**64}, (InvalidArgument, TypeError), "int|expected"), ({"effort": 1.0}, TypeError, "float"),
    ({"recall": 0}, InvalidArgument, "recall is 0, expected a number above 0 and at most 1"),
    ({"recall": 1.01}, InvalidArgument, "recall is 1.01, expected a number above 0 and at most 1"),
    ({"recall": float("nan")}, InvalidArgument, "recall is nan, expected"), ({"recall": "high"}, TypeError, "str"),
    ({"recall": 0.9, "effort": 5}, InvalidArgument, r"both a target recall \(0.9\) and an effort \(5\) are given, expected one"),
    ({"threads": 0}, InvalidArgument, "threads is 0, expected at least 1"),
    ({"threads": -1}, InvalidArgument, "threads is -1, expected at least 1"),
    ({"threads": 10**6}, InvalidArgument, "1000000 threads; 1 to 65535 are possible"), ({"threads": "2"}, TypeError, "str"),
    ({"timeout": -0.5}, InvalidArgument, "timeout is -0.5 s, expected 0 or more"),
    ({"timeout": float("nan")}, InvalidArgument, "timeout is nan s, expected 0 or more"), ({"timeout": "1"}, TypeError, "str"),
    ({"max_distances": 0}, InvalidArgument, "max_distances is 0, expected at least 1"),
    ({"max_distances": -2}, InvalidArgument, "max_distances is -2, expected at least 1"),
    ({"max_distances": 1.5}, TypeError, "float"),
    ({"depth": 3}, TypeError, "depth|incompatible"),
]


@pytest.mark.parametrize(("options", "kind", "text"), SEARCH_OPTIONS, ids=lambda value: str(value)[:40])
def test_search_options(options: dict[str, Any], kind: Any, text: str, graph: vicinal.Index, queries: Any, base: Any) -> None:
    collection = vicinal.Collection(24, "hnsw", metric="l2")
    with pytest.raises(kind, match=text):
        graph.search(queries, **options)
    for _ in range(2):  # empty, then with vectors that are not in a graph yet
        with pytest.raises(kind, match=text):
            collection.search(queries, **options)
        collection.add(base[:3])


def test_effort_too_large(graph: vicinal.Index, queries: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"{2**40}, expected 1 to 16777216"):
        graph.search(queries, effort=2**40)


def test_recall_of_an_index_that_is_not_calibrated(base: Any, queries: Any) -> None:
    index = vicinal.build(base, "hnsw", metric="l2", calibrate=False)
    with pytest.raises(InvalidArgument, match="not calibrated.*build it with calibrate, or give an effort"):
        index.search(queries, recall=0.9)
    assert vicinal.build(base, "flat", metric="l2").search(queries, recall=0.9).stats["stop"] == "complete"


IDS: list[tuple[Any, type[Exception], str]] = [
    ([1, 1, 2], InvalidArgument, "id 1 is given to rows 0 and 1, expected unique ids"),
    ([5, 3, 5], InvalidArgument, "id 5 is given to rows 0 and 2"),
    ([1, -1, 2], InvalidArgument, "id -1 of row 1 is negative"),
    ([1, 2**63, 2], InvalidArgument, f"ids hold {2**63}, expected .*{2**63 - 1}"),
    ([1, 2**70, 2], InvalidArgument, f"ids hold {2**70}, expected .*{2**63 - 1}"),
    (np.array([1, 2**63, 2], np.uint64), InvalidArgument, f"ids hold {2**63}, expected at most {2**63 - 1}"),
    ([1, 2], InvalidArgument, "2 ids for 3 rows, expected one a row"),
    ([], InvalidArgument, "ids are empty, expected one a row"),
    ([[1, 2, 3]], InvalidArgument, r"ids have shape \(1, 3\), expected one dimension"),
    (5, InvalidArgument, r"ids have shape \(\), expected one dimension"),
    ([1.0, 2.0, 3.0], WrongType, "ids are float64, expected integers"),
    ([True, False, True], WrongType, "ids are bool, expected integers"),
    (["a", "b", "c"], WrongType, "ids are str.*, expected integers"),
    ({1, 2, 3}, WrongType, "ids are object, expected integers"),
    ([[1], [2, 3], 4], WrongType, "ids cannot be read as integers"),
]


@pytest.mark.parametrize(("ids", "kind", "text"), IDS, ids=lambda value: str(value)[:30])
def test_ids(ids: Any, kind: type[Exception], text: str, base: Any) -> None:
    with pytest.raises(kind, match=text):
        vicinal.build(base[:3], "flat", metric="l2", ids=ids)


BUILD_OPTIONS: list[tuple[dict[str, Any], Any, str | None]] = [
    ({"metric": "euclidean"}, InvalidArgument, "unknown metric 'euclidean'; expected l2, ip or cosine"),
    ({"metric": None}, TypeError, "None"), ({"metric": 3}, TypeError, "int"),
    ({"spec": None}, TypeError, "None"), ({"spec": 7}, TypeError, "int"), ({"spec": "\ud800"}, (TypeError, SpecError), None),
    ({"seed": -1}, InvalidArgument, "seed is -1, expected 0 to"),
    ({"seed": 2**64}, InvalidArgument, f"seed is {2**64}, expected 0 to"),
    ({"seed": 1.5}, WrongType, "seed is 1.5, expected an integer"),
    ({"seed": "1"}, WrongType, "seed is '1', expected an integer"),
    ({"seed": None}, WrongType, "seed is None, expected an integer"),
    ({"threads": 0}, InvalidArgument, "threads is 0, expected 1 to 65535"),
    ({"threads": 65536}, InvalidArgument, "threads is 65536, expected 1 to 65535"),
    ({"threads": "2"}, WrongType, "threads is '2', expected an integer"),
    ({"calibrate": "no"}, TypeError, "str"),
    ({"popularity": np.ones(3), "spec": "tiers(f16=0.1, i8)"}, InvalidArgument, "popularity has 3 values for"),
    ({"popularity": np.ones((3, 1)), "spec": "tiers(f16=0.1, i8)"}, WrongType, r"popularity is an array of shape \(3, 1\)"),
    ({"popularity": []}, InvalidArgument, "popularity is empty"),
    ({"popularity": ["a"]}, WrongType, "expected one number a row"),
    ({"spec": "tiers(f16=0.1, i8)"}, InvalidArgument, "give a popularity"),
    ({"calibration_queries": np.ones((3, 4), "f4")}, InvalidArgument, "queries have 4 columns, the index has dimension 24"),
    ({"calibration_queries": np.full((3, 24), np.nan, "f4")}, InvalidArgument, "calibration queries row 0 column 0 is nan"),
    ({"progress": "yes"}, WrongType, "progress is 'yes', expected a bool, None or a function"),
    ({"effort": 3}, TypeError, "effort"),
]


@pytest.mark.parametrize(("options", "kind", "text"), BUILD_OPTIONS, ids=lambda value: repr(value)[:40])
def test_build_options(options: dict[str, Any], kind: Any, text: str | None, base: Any) -> None:
    with pytest.raises(kind, match=text):
        vicinal.build(base, **{"spec": "hnsw", "metric": "l2", **options})


def test_the_metric_must_be_given(base: Any) -> None:
    with pytest.raises(TypeError, match="metric"):
        vicinal.build(base)  # type: ignore[call-arg]


SPECS = [
    ("i8 | hnws", 5, "unknown stage 'hnws'.*did you mean 'hnsw'"), ("", 0, "the spec is empty"),
    ("hnsw(m=0)", 7, "m must be 4 to 128, got 0"),
    ("hnsw(m=99999999999999999999)", 7, "m must be 4 to 128, got 9+"), ("flat | i8", 7, "i8"), ("hnsw(m=8", 8, ""),
    ("i8 | hnsw | rerank(f16, 0x)", 24, ""), ("hnsw | hnsw", 7, ""), ("é", 0, ""),
]


@pytest.mark.parametrize(("spec", "position", "text"), SPECS)
def test_specs(spec: str, position: int, text: str, base: Any) -> None:
    for call in (
        lambda: vicinal.build(base, spec, metric="l2"),
        lambda: vicinal.explain(spec, 5),
        lambda: vicinal.Collection(24, spec, metric="l2"),
    ):
        with pytest.raises(SpecError) as caught:
            call()
        assert isinstance(caught.value, (InvalidArgument, ValueError))
        reason, shown, caret = str(caught.value).split("\n")
        assert re.search(text, reason) and shown == spec and caret == " " * position + "^"


def test_a_null_byte_in_a_spec() -> None:
    with pytest.raises(SpecError) as caught:
        vicinal.explain("hn\0sw", 3)
    assert len(str(caught.value).split("\n")) == 3, "the message goes on after the null byte"


FILTERS: list[tuple[Any, type[Exception], str | None]] = [
    (np.ones(599, bool), InvalidArgument, "the filter mask has 599 values for 600 vectors, expected one each"),
    (np.ones((600, 1), bool), InvalidArgument, r"the filter mask has shape \(600, 1\), expected one dimension"),
    (np.ones(600), WrongType, "filter ids are float64, expected integers"),
    ([-5, 3], InvalidArgument, "filter ids must not be negative: got -5"),
    ([1, 2**63], InvalidArgument, f"filter ids hold {2**63}, expected"),
    ("abc", WrongType, "filter ids are str.*, expected integers"),
    (3, InvalidArgument, r"filter ids have shape \(\), expected one dimension"), ({1, 2}, WrongType, "filter ids are object"),
    (lambda name: 1 / 0, ZeroDivisionError, None), (lambda: True, TypeError, "positional argument"),
    (lambda name: np.ones(2), ValueError, "truth value"), (lambda name: [][name], IndexError, None),
]


@pytest.mark.parametrize(("rule", "kind", "text"), FILTERS, ids=lambda value: repr(value)[:30])
def test_filters(
    rule: Any, kind: type[Exception], text: str | None, flat: vicinal.Index, graph: vicinal.Index, queries: Any
) -> None:
    for index in (flat, graph):
        for threads in (1, 2):
            with pytest.raises(kind, match=text):
                index.search(queries, 5, filter=rule, threads=threads)
        with pytest.raises(kind, match=text):
            index.search(queries[0], 5, filter=rule)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, StopIteration])
def test_what_a_filter_raises_comes_out(kind: type[BaseException], flat: vicinal.Index, queries: Any) -> None:
    raised = kind("end")

    def rule(name: int) -> bool:
        raise raised

    with pytest.raises(kind) as caught:
        flat.search(queries, 5, filter=rule)
    assert caught.value is raised


def test_a_filter_may_search(flat: vicinal.Index, graph: vicinal.Index, queries: Any) -> None:
    small = vicinal.build(np.eye(3, dtype=np.float32), "flat", metric="l2")
    point = np.zeros(3, dtype=np.float32)

    def rule(name: int) -> bool:
        return bool(small.search(point, 1, filter=[name % 3]).counts == 1)

    assert np.asarray(graph.search(queries[:3], 5, filter=rule, threads=2).counts).tolist() == [5] * 3
    # A filter in a filter: both call into Python.
    hits = small.search(point[None].repeat(2, 0), 1, filter=lambda i: small.search(point, 1, filter=lambda j: True).counts == 1)
    assert np.asarray(hits.counts).tolist() == [1, 1]


def test_a_filter_may_search_a_batch() -> None:
    """In a process of its own, as it may hang."""
    code = "import numpy as np, vicinal\nrows = np.eye(8, dtype=np.float32)\nindex = vicinal.build(rows, 'hnsw', metric='l2')\n"
    code += "inner = lambda name: len(index.search(rows, 1, filter=lambda other: True, threads=2).ids) == 8\n"
    code += "print(index.search(rows[:4], 3, filter=inner, threads=2).counts.tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.stdout == "[3, 3, 3, 3]\n", done.stderr


def test_functions_that_take_an_index(flat: vicinal.Index) -> None:
    with pytest.raises(WrongType, match="index is a int, expected a vicinal.Index"):
        vicinal.reconstruct(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="id 600 is not in the index"):
        vicinal.reconstruct(flat, [600])
    with pytest.raises(WrongType, match="ids are float64"):
        vicinal.reconstruct(flat, [1.0])


def test_recall_and_explain(flat: vicinal.Index, queries: Any) -> None:
    ids = flat.search(queries, 3).ids
    cases: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: vicinal.recall(ids, ids, 4), InvalidArgument, "recall@4 needs 4 columns, results have 3"),
        (lambda: vicinal.recall(ids, ids[:2]), InvalidArgument, "results have 15 rows, true neighbors have 2"),
        (lambda: vicinal.recall(ids, ids, 0), InvalidArgument, "k is 0, expected at least 1"),
        (lambda: vicinal.recall(ids, ids, 2**64), InvalidArgument, f"k is {2**64}, expected at least 1"),
        (lambda: vicinal.recall(ids, ids, "3"), WrongType, "k is '3', expected an integer"),  # type: ignore[arg-type]
        (lambda: vicinal.recall(ids[None], ids), InvalidArgument, r"found have shape \(1, 15, 3\), expected \(queries, k\)"),
        (lambda: vicinal.recall(ids * 1.0, ids), WrongType, "found are float64, expected integers"),
        (lambda: vicinal.recall([[2**63]], [[1]]), InvalidArgument, f"found hold {2**63}, expected"),
        (lambda: vicinal.recall([[1]], np.array([[2**63]], np.uint64)), InvalidArgument, f"truth hold {2**63}, expected"),
        (lambda: vicinal.recall([], []), InvalidArgument, "k is 0, expected at least 1"),
        (lambda: vicinal.explain("flat", 0), InvalidArgument, "dim is 0, expected 1 to"),
        (lambda: vicinal.explain("flat", 2**64), InvalidArgument, f"dim is {2**64}, expected 1 to"),
        (lambda: vicinal.explain("flat", 1.5), WrongType, "dim is 1.5, expected an integer"),  # type: ignore[arg-type]
        (lambda: vicinal.explain(None, 3), TypeError, "None"),  # type: ignore[arg-type]
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()


def test_nothing_is_made_without_a_build() -> None:
    for kind in (vicinal.Index, vicinal.Hits):
        with pytest.raises(TypeError):
            kind()
    with pytest.raises(TypeError):
        type("Mine", (vicinal.Index,), {})


@pytest.mark.filterwarnings("ignore:nanobind")
def test_shells_without_content() -> None:
    """Objects that skipped the constructor: an error, not a crash."""
    index, hits = vicinal.Index.__new__(vicinal.Index), vicinal.Hits.__new__(vicinal.Hits)
    for shell, name in ((index, "dim"), (index, "ids"), (hits, "stats"), (hits, "ids"), (hits, "counts")):
        with pytest.raises(TypeError):
            getattr(shell, name)


def test_objects_deleted_while_a_search_runs() -> None:
    rng = np.random.default_rng(0)
    held: dict[str, Any] = {
        "index": vicinal.build(rng.standard_normal((40_000, 32), dtype=np.float32), "flat", metric="l2"),
        "queries": rng.standard_normal((4_000, 32), dtype=np.float32),
        "filter": np.ones(40_000, dtype=bool),
    }
    expected = held["index"].search(held["queries"][-5:], 3).ids.tolist()
    found: list[Any] = []
    started = threading.Event()

    def work() -> None:
        search = held["index"].search
        queries, rule = held.pop("queries"), held.pop("filter")
        del held["index"]
        started.set()
        found.append(search(queries, 3, filter=rule, threads=1))

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    trash = [np.full((40_000, 32), np.nan, dtype=np.float32) for _ in range(3)]
    thread.join()
    assert found[0].ids[-5:].tolist() == expected and not held and len(trash) == 3


def test_a_filter_that_deletes_what_is_searched(base: Any, queries: Any) -> None:
    held: dict[str, Any] = {"index": vicinal.build(base, "flat", metric="l2"), "queries": queries[:2].copy()}

    def rule(name: int) -> bool:
        held.clear()
        return True

    assert held["index"].search(held["queries"], 3, filter=rule).counts.tolist() == [3, 3]


def test_an_array_resized_while_it_is_searched(base: Any) -> None:
    """The buffer is held, so that NumPy refuses."""
    index, mine = vicinal.build(base, "flat", metric="l2"), base[:2].copy()

    def rule(name: int) -> bool:
        mine.resize((5000, 24), refcheck=False)
        return True

    try:
        index.search(mine, 3, filter=rule)
    except ValueError as error:
        assert "resize" in str(error)
