"""What is vicinal.compat.hnswlib's own: that nothing is missing, where it is stricter, its files."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from typing import Any

import numpy as np
import pytest

import vicinal
from compat_data import filled, vectors

SHIM = "vicinal.compat.hnswlib"
TOO_FEW = "Cannot return the results in a contiguous 2D array"


@pytest.mark.parametrize("name", ["Index", "BFIndex"])
def test_nothing_is_missing(name: str) -> None:
    real = getattr(pytest.importorskip("hnswlib"), name)
    shim = getattr(importlib.import_module(SHIM), name)
    allowed = {"_pybind11_conduit_v1_"}  # of pybind11
    assert {attribute for attribute in dir(real) if attribute not in dir(shim)} == allowed
    assert {attribute for attribute in dir(shim) if not attribute.startswith("_") and attribute not in dir(real)} == set()
    for attribute in dir(real):
        signature = re.match(rf"{attribute}\(self: hnswlib\.\w+(?:, (.*))?\) -> ", getattr(real, attribute).__doc__ or "")
        if signature and not attribute.startswith("_"):
            names = re.findall(r"(\w+): ", re.sub(r"\[[^]]*\]", "", signature[1] or ""))
            assert names == list(inspect.signature(getattr(shim, attribute)).parameters)[1:], attribute


def test_where_it_is_stricter(tmp_path: Any) -> None:
    shim = importlib.import_module(SHIM)
    new = shim.Index("l2", 8)
    calls = (lambda: new.add_items(vectors(1)), lambda: new.knn_query(vectors(1)), lambda: new.mark_deleted(1), new.get_ids_list)
    for call in calls:
        with pytest.raises(RuntimeError, match="not initiated"):
            call()
    index = filled(shim, 10, capacity=20)
    for data in (np.full((1, 8), np.nan), vectors(11)):
        with pytest.raises((ValueError, RuntimeError)):
            index.add_items(data)
        assert index.element_count == 10 and sorted(index.get_ids_list()) == list(range(10))
    with pytest.raises(RuntimeError, match="Wrong dimensionality of the vectors: 7 columns, expected 8"):
        index.knn_query(np.zeros(7))
    with pytest.raises(OverflowError, match="9223372036854775808 is out of bounds"):
        index.add_items(vectors(1), np.array([2**63], dtype=np.uint64))
    path = str(tmp_path / "index.vcn")
    index.save_index(path)
    with pytest.raises(RuntimeError, match="holds space 'l2' with dim 8, expected 'ip' with dim 8"):
        shim.Index("ip", 8).load_index(path)
    with open(path, "wb") as file:
        file.write(b"something else" * 100)
    with pytest.raises(RuntimeError, match="cannot be read"):
        shim.Index("l2", 8).load_index(path)


def test_brute_force_where_it_is_stricter() -> None:
    shim = importlib.import_module(SHIM)
    index = shim.BFIndex("cosine", 8)
    index.init_index(10)
    index.add_items(vectors(10))
    np.testing.assert_allclose(index.knn_query(5 * vectors(1), 1)[1], [[0]], atol=1e-6)
    with pytest.raises(RuntimeError, match=TOO_FEW):
        index.knn_query(vectors(1), 2, filter=lambda label: label == 4)


def test_file_is_complete_without_its_notes(tmp_path: Any) -> None:
    shim = importlib.import_module(SHIM)
    path = str(tmp_path / "index.vcn")
    index = filled(shim, 10, capacity=20)
    index.mark_deleted(3)
    index.save_index(path)
    assert np.asarray(vicinal.open(path).ids).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert sorted(os.listdir(tmp_path)) == ["index.vcn", "index.vcn.vicinal.json"]
    notes = (tmp_path / "index.vcn.vicinal.json").read_text()

    loaded = shim.Index("l2", 8)
    damages = [('"deleted": [3]', text) for text in ('"deleted": [3, 4]', '"deleted": ["x"]', '"deleted": [2]')]
    for damage in (*damages, ('"max_elements": 20', '"max_elements": []'), ("}", "")):
        assert damage[0] in notes
        (tmp_path / "index.vcn.vicinal.json").write_text(notes.replace(*damage))
        with pytest.raises(RuntimeError, match="index.vcn.vicinal.json|notes"):
            loaded.load_index(path)
        assert loaded.element_count == 0

    filled(shim, 5, capacity=5).save_index(path)  # nothing to note: what was noted before goes
    assert os.listdir(tmp_path) == ["index.vcn"]
    (tmp_path / "index.vcn.vicinal.json").write_text(notes)  # of another file
    loaded = shim.Index("l2", 8)
    loaded.load_index(path)
    assert (loaded.element_count, loaded.max_elements) == (5, 5)
