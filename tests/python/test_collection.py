"""A Collection against a dict and NumPy."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, precondition, rule

import vicinal
from vicinal import InvalidArgument, WrongType
from vicinal._rows import Rows

DIM = 4
ID = st.integers(0, 40) | st.sampled_from([10**6, 2**62])
IDS = st.lists(ID, max_size=6, unique=True)
# Few values, for ties; whole, so that distances are exact.
VECTOR = st.lists(st.integers(-3, 3), min_size=DIM, max_size=DIM)
SPECS = ["flat", "hnsw(m=8, efc=64)", "i8 | hnsw(m=8, efc=64) | rerank(f32, 10x)"]


@pytest.fixture(autouse=True)
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vicinal._collection._FEW", 5)


class Machine(RuleBasedStateMachine):
    removed_ids = Bundle("removed_ids")

    @initialize(spec=st.sampled_from(SPECS), metric=st.sampled_from(["l2", "ip"]))
    def start(self, spec: str, metric: str) -> None:
        self.collection = vicinal.Collection(DIM, spec, metric=metric, threads=1, calibrate=False)
        self.model: dict[int, list[int]] = {}
        self.next_id = 0
        self.seen: set[int] = set()

    def _put(self, ids: list[int], vectors: list[list[int]]) -> None:
        self.model.update(zip(ids, vectors))
        self.seen |= set(ids)
        self.next_id = max([self.next_id, *(name + 1 for name in ids)])

    @rule(vectors=st.lists(VECTOR, min_size=1, max_size=7))
    def add(self, vectors: list[list[int]]) -> None:
        ids = self.collection.add(vectors).tolist()
        assert ids == list(range(self.next_id, self.next_id + len(vectors)))
        self._put(ids, vectors)

    @rule(ids=IDS, data=st.data())
    def add_under_ids(self, ids: list[int], data: Any) -> None:
        vectors = [data.draw(VECTOR) for _ in ids]
        if set(ids) & set(self.model):
            with pytest.raises(InvalidArgument, match="is in the collection already"):
                self.collection.add(np.array(vectors, np.float32), ids)
        elif ids:
            assert self.collection.add(vectors, ids).tolist() == ids
            self._put(ids, vectors)

    @rule(ids=IDS.filter(len), data=st.data())
    def upsert(self, ids: list[int], data: Any) -> None:
        vectors = [data.draw(VECTOR) for _ in ids]
        self.collection.upsert(vectors, ids)
        self._put(ids, vectors)

    @rule(ids=IDS)
    def remove(self, ids: list[int]) -> None:
        assert self.collection.remove(ids) == len(set(ids) & set(self.model))
        for name in ids:
            self.model.pop(name, None)

    @precondition(lambda self: self.model)
    @rule(target=removed_ids, data=st.data())
    def remove_most(self, data: Any) -> Any:
        kept = data.draw(st.sampled_from(sorted(self.model)))
        gone = [name for name in self.model if name != kept]
        assert self.collection.remove(gone) == len(gone)
        self.model = {kept: self.model[kept]}
        return multiple(*gone)

    @rule(name=consumes(removed_ids), vector=VECTOR)
    def bring_back(self, name: int, vector: list[int]) -> None:
        self.collection.upsert(vector, name)
        self._put([name], [vector])

    @rule(added=st.dictionaries(ID, VECTOR, max_size=8), gone=IDS, fails=st.booleans(), flushes=st.booleans())
    def write(self, added: dict[int, list[int]], gone: list[int], fails: bool, flushes: bool) -> None:
        before = dict(self.model), self.next_id
        try:
            with self.collection.writer() as writer:
                if added:
                    writer.upsert(np.array(list(added.values()), np.float32), list(added))
                if flushes:
                    writer.flush()
                    self._put(list(added), list(added.values()))
                    before = dict(self.model), self.next_id
                writer.remove(gone)
                fresh = writer.add([0] * DIM)
                if fails:
                    raise LookupError
        except LookupError:
            self.model, self.next_id = before
            return
        self._put(list(added), list(added.values()))
        for name in gone:
            self.model.pop(name, None)
        self._put(fresh.tolist(), [[0] * DIM])

    @rule()
    def optimize(self) -> None:
        self.collection.optimize()

    @rule()
    def clear(self) -> None:
        self.collection.clear()
        self.model = {}

    @precondition(lambda self: self.model)
    @rule(mapped=st.booleans())
    def save_and_open(self, mapped: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "collection.vcn"
            self.collection.save(path)
            index = vicinal.open(path)
            assert (index.ids if index.ids is not None else np.arange(len(index))).tolist() == sorted(self.model)
            spec = self.collection.spec
            self.collection = vicinal.Collection.open(path, mmap=mapped, threads=1)
            assert self.collection.spec == spec
            self.next_id = max(self.model) + 1

    @rule(query=VECTOR, k=st.integers(1, 12), data=st.data())
    def search(self, query: list[int], k: int, data: Any) -> None:
        form = data.draw(st.sampled_from(["none", "mask", "ids", "callable"]))
        # Ids that are there, those that were, and others.
        some = st.sampled_from(sorted(self.seen | {39, 2**61}))
        allowed = set(data.draw(st.lists(some, max_size=12))) if form != "none" else set(self.model)
        if form == "none":
            given: Any = None
        elif form == "mask":
            allowed = {name for name in allowed if name <= 40}
            given = np.zeros(41, dtype=bool)
            given[list(allowed)] = True
        elif form == "ids":
            given = sorted(allowed)
        else:
            given = allowed.__contains__
        point = np.array(query, dtype=np.float32)

        def distance(name: int) -> float:
            row = np.array(self.model[name], dtype=np.float32)
            return float(((row - point) ** 2).sum() if self.collection.metric == "l2" else -(row @ point))

        ranked = sorted((distance(name), name) for name in allowed & set(self.model))[:k]
        hits = self.collection.search(point, k, filter=given, effort=200)
        assert hits.counts == len(ranked)
        assert hits.ids.shape == hits.distances.shape == (k,)
        assert (hits.ids[len(ranked) :] == -1).all() and np.isinf(hits.distances[len(ranked) :]).all()
        assert hits.distances[: len(ranked)].tolist() == [distance for distance, _ in ranked]
        # Which of those equally far are reached through a graph is not promised; everyone must be as far as it says.
        for name, found in zip(hits.ids[: len(ranked)].tolist(), hits.distances.tolist()):
            assert name in allowed and distance(name) == found
        if self.collection.spec.endswith("flat"):
            assert hits.ids[: len(ranked)].tolist() == [name for _, name in ranked]
        batch = self.collection.search(np.stack([point, point]), k, filter=given, effort=200)
        assert batch.ids.tolist() == [hits.ids.tolist()] * 2

    @invariant()
    def content(self) -> None:
        assert len(self.collection) == len(self.model)
        assert self.collection.ids.tolist() == sorted(self.model)
        names = list(self.model)
        assert self.collection.get(names).tolist() == [[float(x) for x in self.model[name]] for name in names]
        assert all((name in self.collection) == (name in self.model) for name in range(0, 41, 5))


Machine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
TestMachine = Machine.TestCase


@pytest.fixture
def collection(base: Any) -> vicinal.Collection:
    made = vicinal.Collection(24, "hnsw", metric="l2", calibrate=False)
    made.add(base[:20])
    made.optimize()
    made.add(base[20:23])
    return made


def test_it_folds(collection: vicinal.Collection, base: Any) -> None:
    strategy = str(collection.search(base[0]).stats["strategy"])
    assert "hnsw" in strategy and "flat" in strategy
    collection.add(base[23:30])
    assert "flat" not in str(collection.search(base[0]).stats["strategy"])
    assert collection.search(base[:30], 1).ids.ravel().tolist() == list(range(30))


def test_filters_do_not_bring_back_what_is_removed(collection: vicinal.Collection, base: Any) -> None:
    collection.remove([4])
    collection.upsert(base[300], [5])
    rules: list[Any] = [[4, 5, 21], np.arange(30) > 3, lambda name: True]
    for rule_given in rules:
        hits = collection.search(base[4:6], 23, filter=rule_given)
        for row in hits.ids.tolist():
            names = [name for name in row if name >= 0]
            assert 4 not in names and names.count(5) == 1 and 21 in names


def test_ties_between_the_parts_go_by_id(base: Any) -> None:
    collection = vicinal.Collection(24, "flat", metric="l2")
    collection.add(base[[0, 0]], [10, 30])
    collection.optimize()
    collection.add(base[[0, 0, 1]], [20, 5, 7])
    assert collection.search(base[0], 5).ids.tolist() == [5, 10, 20, 30, 7]
    assert collection.search(base[0], 2).ids.tolist() == [5, 10]


def test_replacing_takes_no_more_memory(base: Any) -> None:
    rows = Rows(24)
    for _ in range(50):
        rows.put([1, 2, 3], base[:3])
        rows.drop([2])
    assert len(rows) == 2 and len(rows._values) <= 16
    assert rows.get([3, 1]).tolist() == base[[2, 0]].tolist()


BAD: list[tuple[Any, type[BaseException], str | None]] = [
    (lambda c: c.add(np.ones((2, 3), np.float32)), InvalidArgument, "vectors have 3 columns, the collection has dimension 24"),
    (lambda c: c.add(np.ones((2, 24))), WrongType, "vectors is float64, expected float32"),
    (lambda c: c.add(np.full((2, 24), np.nan, np.float32)), InvalidArgument, "row 0 column 0 is nan, expected a finite number"),
    (lambda c: c.add(np.ones((2, 24), np.float32), [100]), InvalidArgument, "1 ids for 2 vectors, expected one each"),
    (lambda c: c.add(np.ones((2, 24), np.float32), [100, 100]), InvalidArgument, "id 100 is given twice, expected unique ids"),
    (lambda c: c.add(np.ones((2, 24), np.float32), [100, -1]), InvalidArgument, "id -1 is negative, expected 0 or more"),
    (lambda c: c.add(np.ones((2, 24), np.float32), [100, 2**63]), InvalidArgument, f"ids hold {2**63}, expected"),
    (lambda c: c.add(np.ones((2, 24), np.float32), [100, 22]), InvalidArgument, "id 22 is in the collection already"),
    (lambda c: c.upsert(np.ones((2, 24), np.float32), ["a", "b"]), WrongType, "ids are str.*, expected integers"),
    (lambda c: c.upsert(np.ones((2, 24), np.float32), None), WrongType, "ids are object, expected integers"),
    (lambda c: c.remove([1.5]), WrongType, "ids are float64, expected integers"),
    (lambda c: c.get([0, 99]), InvalidArgument, "id 99 is not in the collection"),
    (lambda c: c.search(np.ones(3, np.float32)), InvalidArgument, "queries have 3 columns, the index has dimension 24"),
    (lambda c: c.search(np.ones(24, np.float32), filter=np.ones((3, 3), bool)), InvalidArgument, r"mask has shape \(3, 3\)"),
    (lambda c: c.search(np.ones(24, np.float32), filter=[0.5]), WrongType, "filter ids are float64"),
    (lambda c: c.search(np.ones(24, np.float32), filter=lambda name: 1 / 0), ZeroDivisionError, None),
    (lambda c: c.save("/proc/collection.vcn"), vicinal.IoError, "/proc"),
]


@pytest.mark.parametrize(("call", "kind", "text"), BAD)
def test_bad_input_changes_nothing(call: Any, kind: Any, text: str, collection: vicinal.Collection, base: Any) -> None:
    names, vectors = collection.ids.tolist(), collection.get(collection.ids)
    with pytest.raises(kind, match=text):
        call(collection)
    assert collection.ids.tolist() == names and (collection.get(names) == vectors).all()
    assert collection.add(base[50]).tolist() == [23]


def test_constructor() -> None:
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"dim": 0}, InvalidArgument, "dim is 0, expected 1 to"), ({"dim": 2.5}, WrongType, "dim is 2.5, expected an integer"),
        ({"dim": "3"}, WrongType, "dim is '3'"),
        ({"metric": "L2"}, InvalidArgument, "metric is 'L2', expected one of l2, ip, cosine"),
        ({"spec": "hnws"}, vicinal.SpecError, "unknown stage"), ({"seed": -1}, InvalidArgument, "seed is -1"),
        ({"threads": 0}, InvalidArgument, "threads is 0"),
    ]
    for options, kind, text in cases:
        with pytest.raises(kind, match=text):
            vicinal.Collection(**{"dim": 3, "metric": "l2", **options})


@pytest.mark.parametrize("change", ["add", "upsert", "remove", "flush"])
def test_a_build_that_fails_changes_nothing(
    change: str, collection: vicinal.Collection, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, vectors = collection.ids.tolist(), collection.get(collection.ids)
    answer = collection.search(base[:30], 5).ids.tolist()

    def fails(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    writer = collection.writer()
    writer.remove(range(3))
    writer.upsert(base[100:110], range(5, 15))
    with monkeypatch.context() as patch:
        patch.setattr("vicinal._collection.build", fails)
        with pytest.raises(KeyboardInterrupt):
            if change == "add":
                collection.add(base[100:110])
            elif change == "upsert":
                collection.upsert(base[100:110], range(15, 25))
            elif change == "remove":
                collection.remove(range(15))
            else:
                writer.flush()
    assert collection.ids.tolist() == names and (collection.get(names) == vectors).all()
    assert collection.search(base[:30], 5).ids.tolist() == answer
    writer.flush()
    assert collection.search(base[100:110], 1).ids.ravel().tolist() == list(range(5, 15))
    assert 0 not in collection and collection.add(base[0]).tolist() == [23]


def test_a_signal_in_the_middle_of_a_change(base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer interrupts thousands of changes wherever they are."""
    monkeypatch.setattr("vicinal._collection._FEW", 10**6)
    monkeypatch.setattr("vicinal._collection._SHARE", 10.0**6)

    class Interrupted(Exception):
        pass

    def interrupt(number: int, frame: Any) -> None:
        raise Interrupted

    collection = vicinal.Collection(24, "flat", metric="l2")
    collection.add(base[:100])
    many = np.concatenate([base] * 8)
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for attempt in range(150):
            size = len(collection)
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-5 * (attempt + 1))
                collection.add(many)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert len(collection) in (size, size + len(many))
            assert len(collection.ids) == len(collection)
            if len(collection) > 20_000:
                collection.remove(collection.ids[100:])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 20
    assert collection.search(base[:100], 1, filter=np.arange(100)).ids.ravel().tolist() == list(range(100))
    fresh = collection.add(base[:3])
    assert fresh.min() == collection.ids[-1] - 2


def test_the_last_id(base: Any) -> None:
    collection = vicinal.Collection(24, "flat", metric="l2")
    collection.add(base[0], 2**63 - 1)
    collection.optimize()
    with pytest.raises(InvalidArgument, match=f"no 1 ids are left above {2**63 - 1}, expected ids to be given"):
        collection.add(base[1])
    with pytest.raises(InvalidArgument, match="no 1 ids are left"):
        collection.writer().add(base[1])
    collection.add(base[1], 5)
    assert collection.search(base[:2], 1).ids.tolist() == [[2**63 - 1], [5]]
    assert 2**63 not in collection and -1 not in collection and "5" not in collection and np.uint64(5) in collection
    assert collection.remove([2**63 - 1, 2**62]) == 1


def test_empty(base: Any) -> None:
    collection = vicinal.Collection(24, metric="cosine")
    hits = collection.search(base[:2], 3)
    assert hits.ids.tolist() == [[-1] * 3] * 2 and np.isinf(hits.distances).all() and np.asarray(hits.counts).tolist() == [0, 0]
    assert len(collection.search(base[0], 3).ids) == 3 and repr(hits).startswith("<vicinal.Hits 2 queries x 3")
    assert len(collection) == 0 and collection.add(base[:0]).tolist() == [] and collection.get([]).shape == (0, 24)
    for call in (collection.to_index, lambda: collection.save("nothing.vcn")):
        with pytest.raises(InvalidArgument, match="the collection is empty, an index needs at least one vector"):
            call()
    assert not Path("nothing.vcn").exists()


def test_a_writer_gives_the_same_ids_as_an_add(collection: vicinal.Collection, base: Any) -> None:
    with collection.writer() as writer:
        assert writer.add(base[30]).tolist() == [23] and writer.add(base[31:33]).tolist() == [24, 25]
        with pytest.raises(InvalidArgument, match="id 24 is in the collection already"):
            writer.add(base[33], 24)
        with pytest.raises(InvalidArgument, match="id 3 is in the collection already"):
            writer.add(base[33], 3)
        writer.remove([3, 23])
        writer.add(base[34], 3)
        assert 24 not in collection
    assert 24 in collection and 23 not in collection
    assert collection.search(base[34], 1).ids.tolist() == [3]
