from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal


@pytest.mark.parametrize("spec", ["flat", "i8 | hnsw | rerank(f16, 3x)"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_index(spec: str, protocol: int, base: Any, queries: Any) -> None:
    index = vicinal.build(base, spec, metric="cosine", ids=np.arange(600) * 2, seed=9)
    again = pickle.loads(pickle.dumps(index, protocol))
    assert again.search(queries, 5).ids.tolist() == index.search(queries, 5).ids.tolist()
    assert again.calibration == index.calibration and again.seed == 9 and np.array_equal(again.ids, np.arange(600) * 2)


def test_copies_share(flat: vicinal.Index) -> None:
    assert copy.copy(flat) is flat and copy.deepcopy({"index": flat})["index"] is flat


def test_a_mapped_index(saved: Path, base: Any) -> None:
    data = pickle.dumps(vicinal.open(saved, mmap=True))
    saved.unlink()
    assert pickle.loads(data).search(base[5], 1).ids.tolist() == [5]


def test_damaged_bytes(flat: vicinal.Index) -> None:
    load, (data,) = flat.__reduce__()
    with pytest.raises(vicinal.CorruptFile):
        load(data[:-1])
    with pytest.raises(vicinal.CorruptFile):
        load(data[:3000] + bytes([data[3000] ^ 1]) + data[3001:])


def _nearest(index: Any, point: Any) -> list[int]:
    return list(index.search(point, 3).ids.tolist())


def test_in_a_process_pool(flat: vicinal.Index, queries: Any) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(_nearest, flat, queries[0]).result(60) == _nearest(flat, queries[0])


def test_joblib(flat: vicinal.Index, queries: Any, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    joblib.dump({"index": flat}, tmp_path / "model.joblib", compress=1)
    again = joblib.load(tmp_path / "model.joblib")["index"]
    assert _nearest(again, queries[0]) == _nearest(flat, queries[0])
    assert joblib.hash(flat) == joblib.hash(flat)


def test_pickled_here_read_elsewhere(flat: vicinal.Index, tmp_path: Path) -> None:
    (tmp_path / "index.pickle").write_bytes(pickle.dumps(flat))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'index.pickle')!r}, 'rb')).dim)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "24\n"


def _collection(base: Any) -> vicinal.Collection:
    collection = vicinal.Collection(24, "hnsw", metric="l2", calibrate=False)
    collection.add(base[:50])
    collection.optimize()
    collection.add(base[50:60])
    collection.remove([3, 55])
    return collection


def _pickled(collection: vicinal.Collection) -> Any:
    return pickle.loads(pickle.dumps(collection))


@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, _pickled])
def test_collection(twin_of: Any, base: Any, queries: Any) -> None:
    collection = _collection(base)
    twin = twin_of(collection)
    expected = collection.search(queries, 5).ids.tolist()
    assert twin.search(queries, 5).ids.tolist() == expected and twin.ids.tolist() == collection.ids.tolist()
    # From here on they are two.
    assert twin.add(base[70]).tolist() == [60] == collection.add(base[71]).tolist()
    twin.upsert(base[80], [51])
    twin.remove([0, 52])
    assert 0 in collection and 52 in collection
    np.testing.assert_array_equal(collection.get([51, 60]), base[[51, 71]])
    np.testing.assert_array_equal(twin.get([51, 60]), base[[80, 70]])
    collection.remove([60])
    assert collection.search(queries, 5).ids.tolist() == expected
