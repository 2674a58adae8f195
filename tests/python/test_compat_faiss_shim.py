"""What is vicinal.compat.faiss's own: that nothing is missing, where it is stricter, its files."""

from __future__ import annotations

import importlib
import inspect
import os
from typing import Any

import numpy as np
import pytest

import vicinal
from compat_data import KINDS, SELECTORS, made, recall, vectors

SHIM = "vicinal.compat.faiss"

# What faiss has and the shim does not, and why; besides what takes pointers, whose names end in _c and _ex.
ABSENT = {
    "pointers and SWIG": {
        "thisown", "own_fields", "original_init", "_protected_setattr", "referenced_objects", "lhs", "rhs", "sel", "n", "ids",
        "bitmap", "nbits", "mask",
    },
    "internals of the search": {
        "get_distance_computer", "get_FlatCodesDistanceComputer", "get_CodePacker", "search1", "search_subset",
        "compute_distance_subset", "compute_residual", "compute_residual_n", "train_with_queries", "sync_l2norms",
        "clear_l2norms", "cached_l2norms", "find_sorted_ids_bounds",
    },
    "codes of the standalone codec": {"sa_code_size", "sa_encode", "sa_decode", "add_sa_codes"},
    "an order of rows of one's own": {"permute_entries", "check_consistency", "construct_rev_map"},
    "the graph itself, which is Vicinal's": {
        "init_level0", "init_level_0_from_entry_points", "init_level_0_from_knngraph", "keep_max_size_level0",
        "link_singletons", "reorder_links", "search_level_0", "shrink_level_0_neighbors", "storage", "use_visited_hashset",
    },
}


def test_nothing_else_is_missing() -> None:
    real, shim = pytest.importorskip("faiss"), importlib.import_module(SHIM)
    excused = set().union(*ABSENT.values())
    used: set[str] = set()
    pairs = [
        (made(real, kind), made(shim, kind)) for kind in (*KINDS, "IDMap2,Flat")
    ] + [(getattr(real, name)(8), getattr(shim, name)(8)) for name in ("IndexFlatL2", "IndexFlatIP")]
    for text in SELECTORS:
        pairs.append(tuple(eval(f"faiss.{text}", {"faiss": lib, "np": np}) for lib in (real, shim)))
    pairs += [(getattr(real, name)(), getattr(shim, name)()) for name in ("SearchParameters", "SearchParametersHNSW")]
    for theirs, ours in pairs:
        absent = {name for name in dir(theirs) if not hasattr(ours, name) and not name.startswith("__") and name != "this"}
        absent = {name for name in absent if not name.endswith(("_c", "_ex"))}
        assert absent <= excused, (ours, absent - excused)
        used |= absent
        assert {name for name in dir(ours) if not name.startswith("_") and not hasattr(theirs, name)} == set()
        for name in dir(ours):
            if name.startswith("_") or not callable(getattr(ours, name)) or name in ("index", "get_xb", "rev_map", "is_member"):
                continue
            given = list(inspect.signature(getattr(ours, name)).parameters)
            wanted = list(inspect.signature(getattr(theirs, name)).parameters)
            assert given == [p for p in wanted if p not in ("numeric_type", "xq_train")] or "args" in wanted, name
    theirs, ours = (made(lib, "HNSW16").hnsw for lib in (real, shim))
    assert {"M", *dir(theirs)} >= {name for name in dir(ours) if name[0] != "_"}
    with pytest.raises(AttributeError):
        ours.entry_point = 3  # the rest of faiss.HNSW is the graph itself
    assert used == excused, "what is excused, but there"
    for name in shim.__all__:
        assert hasattr(real, name), name


def test_a_selector_costs_no_results() -> None:
    shim = importlib.import_module(SHIM)
    index, base = shim.IndexHNSWFlat(8, 16), vectors(5000)
    index.add(base)
    params = shim.SearchParametersHNSW(sel=shim.IDSelectorBatch(np.arange(4000, 4020)), efSearch=10)
    assert (np.sort(index.search(base[:20], 20, params=params)[1], axis=1) == np.arange(4000, 4020)).all()


def test_where_it_is_stricter() -> None:
    shim = importlib.import_module(SHIM)
    for kind in KINDS:
        index = made(shim, kind)
        bad = vectors(2)
        bad[1, 3] = np.nan
        with pytest.raises(ValueError, match="nan"):
            index.add_with_ids(bad, np.array([7, 8])) if kind.startswith("IDMap") else index.add(bad)
        with pytest.raises(ValueError, match="nan"):
            index.search(bad, 1)
        assert index.ntotal == 50
    with pytest.raises(RuntimeError, match="metric 2 is not supported, expected METRIC_L2"):
        shim.IndexFlat(8, 2)
    with pytest.raises(RuntimeError, match="could not parse index string 'IVF10,Flat', expected Flat or HNSW<M>"):
        shim.index_factory(8, "IVF10,Flat")
    with pytest.raises(AssertionError, match="x has 5 columns, the index has dimension 8"):
        made(shim, "Flat").search(vectors(1, 5), 1)
    with pytest.raises(RuntimeError, match="key -1 is asked for"):
        made(shim, "Flat").reconstruct(-1)


def test_files_are_those_of_vicinal(tmp_path: Any) -> None:
    shim = importlib.import_module(SHIM)
    path = str(tmp_path / "index.vcn")
    index = shim.IndexIDMap2(shim.IndexFlatL2(8))
    index.add_with_ids(vectors(20), np.arange(20)[::-1] * 5)
    shim.write_index(index, path)
    assert os.listdir(tmp_path) == ["index.vcn"]  # nothing to note
    stored = vicinal.open(path)
    assert stored.ids is not None and stored.ids.tolist() == list(range(0, 100, 5))
    assert stored.search(vectors(20), 1).ids[:, 0].tolist() == list(range(95, -1, -5))

    built = vicinal.build(vectors(500), "i8 | hnsw(m=20, efc=90) | rerank(f16, 3x)", metric="ip", calibrate=False)
    built.save(path)
    read = shim.read_index(path)
    assert (type(read), read.hnsw.nb_neighbors(1), read.hnsw.efConstruction, read.metric_type) == (shim.IndexHNSWFlat, 20, 90, 0)
    assert recall(read.search(vectors(50, seed=1), 5)[1], built.search(vectors(50, seed=1), 5, effort=64).ids) > 0.9
    classes = ['{"class": "IndexIVF"}', '{"class": []}', '{"class": "IndexIDMap", "ids": [1]}']
    for notes in (*classes, '{"hnsw": "x"}', '{"hnsw": [4]}', "[]", "x"):
        with open(path, "rb") as file:
            uuid = file.read(56)[40:].hex()
        (tmp_path / "index.vcn.vicinal.json").write_text(notes.replace("{", f'{{"of": "{uuid}", '))
        with pytest.raises(RuntimeError):
            shim.read_index(path)
    (tmp_path / "index.vcn.vicinal.json").unlink()
    vicinal.build(vectors(500), "flat", metric="cosine", calibrate=False).save(path)
    with pytest.raises(RuntimeError, match="has metric cosine, expected l2 or ip"):
        shim.read_index(path)
