"""A LiveIndex: changes against a dict, its files, and searches while it changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import vicinal
from vicinal import CorruptFile, InvalidArgument, IoError, LiveIndex, Unsupported

SPEC = "f32 | hnsw(m=8, efc=60, alpha=1.2)"


def vectors(count: int, seed: int = 0, dim: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    return (centres[rng.integers(20, size=count)] + 0.4 * rng.standard_normal((count, dim))).astype(np.float32)


def test_changes_are_those_of_a_dict() -> None:
    rng = np.random.default_rng(1)
    table = vectors(200)
    index = LiveIndex(16, SPEC, metric="l2", threads=1)
    model: dict[int, int] = {}
    for _ in range(200):
        ids = rng.choice(300, size=rng.integers(1, 8), replace=False)
        rows = rng.integers(200, size=len(ids))
        if rng.random() < 0.6:
            index.upsert(table[rows], ids)
            model.update(zip(ids.tolist(), rows.tolist()))
        else:
            assert index.remove(ids) == sum(model.pop(i, None) is not None for i in ids.tolist())
        assert len(index) == len(model)
        assert index.ids.tolist() == sorted(model)
    assert (index.get(sorted(model)) == table[[model[i] for i in sorted(model)]]).all()
    queries = vectors(50, 7)
    hits = index.search(queries, k=5)
    names = np.array(sorted(model))
    truth = vicinal.exact(index.get(names), queries, k=5, metric="l2")
    assert vicinal.recall(hits.ids, names[truth.ids], k=5) > 0.98


def test_a_writer_makes_changes_at_once_or_not_at_all() -> None:
    index = LiveIndex(16, SPEC, metric="cosine")
    assert index.add(vectors(10)).tolist() == list(range(10))
    with pytest.raises(RuntimeError), index.writer() as writer:
        writer.remove([3])
        writer.add(vectors(2, 5))
        raise RuntimeError
    assert len(index) == 10 and 3 in index
    with index.writer() as writer:
        writer.remove([3])
        assert writer.add(vectors(2, 5)).tolist() == [10, 11]
        writer.flush()
        assert 11 in index and 3 not in index
        writer.upsert(vectors(1, 6), [3])
    assert len(index) == 12
    assert index.search(vectors(1, 6)[0], k=1).ids[0] == 3


def test_filters_are_by_id() -> None:
    base = vectors(500)
    index = LiveIndex(16, SPEC, metric="l2")
    index.add(base, np.arange(500) * 3)
    query = base[7]
    few = index.search(query, k=5, filter=[21, 30, 4])
    assert few.ids.tolist() == [21, 30, -1, -1, -1] and few.counts == 2
    mask = np.zeros(600, dtype=bool)
    mask[::2] = True
    found = index.search(query, k=10, filter=mask).ids
    assert (found % 2 == 0).all() and (found < 600).all() and (found >= 0).all()
    assert (index.search(query, k=10, filter=lambda i: i < 600 and i % 2 == 0).ids == found).all()


def test_saves_compacts_and_opens(tmp_path: Path) -> None:
    path = tmp_path / "live.vcn"
    base = vectors(600)
    index = LiveIndex(16, metric="cosine", path=path)
    index.add(base)
    index.remove(np.arange(100))
    with pytest.raises(IoError, match="open for changes already"):
        LiveIndex.open(path)
    expected = index.search(base[:50], k=5)
    del index
    again = LiveIndex.open(path)
    assert (again.search(base[:50], k=5).ids == expected.ids).all()
    assert again.add(base[:1]).tolist() == [600]
    with pytest.raises(InvalidArgument, match="not calibrated"):
        again.search(base[0], recall=0.9)
    again.compact()
    assert again.log_bytes < 200
    assert again.search(base[:50], k=5, recall=0.9).ids.shape == (50, 5)
    again.upsert(base[1], [5])
    del again
    fixed = vicinal.open(path)
    assert len(fixed) == 501 and fixed.calibration is not None
    with LiveIndex.open(path) as closing:
        assert len(closing) == 502
    with pytest.raises(InvalidArgument, match="is closed"):
        closing.remove([100])
    fused = LiveIndex.open(path).freeze(layout="fused", calibrate=False)
    assert "layout=fused" in fused.spec
    live = LiveIndex.from_index(fused)
    live.remove([100])
    assert len(live) == 501 and len(fused) == 502


def test_what_flush_returned_from_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "live.vcn"
    code = (
        "import sys, numpy as np, vicinal\n"
        "index = vicinal.LiveIndex(4, 'f32 | hnsw(m=4, efc=20)', metric='l2', path=sys.argv[1], threads=1)\n"
        "with index.writer() as w:\n"
        "    for i in range(10**6):\n"
        "        w.add(np.full((1, 4), i, dtype=np.float32))\n"
        "        w.flush()\n"
        "        print(i, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 40:
                os.kill(child.pid, signal.SIGKILL)
                break
        acknowledged = [int(line)] + [int(rest) for rest in child.stdout]
    index = LiveIndex.open(path)
    assert len(index) >= acknowledged[-1] + 1
    assert (index.get(index.ids)[:, 0] == index.ids).all()


def test_searches_go_on_while_it_changes() -> None:
    base = vectors(2000)
    index = LiveIndex(16, SPEC, metric="l2")
    index.add(base)
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            hits = index.search(base[:20], k=3, threads=1)
            if (hits.counts != 3).any() or len({*hits.ids[0].tolist()}) != 3:
                wrong.append(hits.ids)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for first in range(0, 2000, 100):
        index.upsert(base[first : first + 100], np.arange(first, first + 100))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and len(index) == 2000
    assert index.consolidate() and index.retired == 0


def test_bad_input_is_named_and_changes_nothing(tmp_path: Path) -> None:
    index = LiveIndex(16, SPEC, metric="l2")
    index.add(vectors(5))
    bad = vectors(2)
    bad[1, 3] = np.nan
    for call, words in [
        (lambda: index.add(bad), "row 1 column 3"),
        (lambda: index.add(vectors(2, dim=8)), "8 columns.*dimension 16"),
        (lambda: index.add(vectors(2), [7]), "1 ids for 2 vectors"),
        (lambda: index.add(vectors(2), [7, 7]), "7 is given twice"),
        (lambda: index.add(vectors(1), [-1]), "-1 is negative"),
        (lambda: index.add(vectors(1), [3]), "3 is in the index already"),
        (lambda: index.get([99]), "99 is not in the index"),
        (lambda: index.search(vectors(1, dim=8)), "8"),
        (lambda: index.freeze(layout="round"), "plain or fused"),
        (lambda: index.compact(), "no file"),
        (lambda: LiveIndex(16, metric="dot"), "dot"),
    ]:
        with pytest.raises(InvalidArgument, match=words):
            call()
    assert len(index) == 5
    with pytest.raises(Unsupported, match="flat"):
        LiveIndex(16, "i8 | flat", metric="l2")
    (tmp_path / "x.vcn.log").write_bytes(b"no log at all" * 20)
    with pytest.raises(CorruptFile, match="not a log"):
        LiveIndex.open(tmp_path / "x.vcn")
