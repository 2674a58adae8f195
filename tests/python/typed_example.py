"""Every public function, for mypy to read and for the test to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

import vicinal
from vicinal import multivector


def nearest(folder: Path) -> float:
    rng = np.random.default_rng(0)
    base: npt.NDArray[np.float32] = rng.standard_normal((100, 8), dtype=np.float32)
    index: vicinal.Index = vicinal.build(base, "hnsw", metric="l2", ids=range(100), seed=3, threads=1, progress=False)
    vicinal.build(base, metric="cosine", calibration_queries=base[:9], progress=lambda phase, done, total: None)
    hits: vicinal.Hits = index.search(
        base[:5], k=3, recall=0.9, filter=lambda name: name < 100, threads=1, timeout=5, max_distances=10**6
    )
    index.search([1.0] * 8, effort=20, filter=np.ones(100, dtype=bool))
    index.search(base[0], filter=[1, 2])
    ids: npt.NDArray[np.int64] = hits.ids
    distances: npt.NDArray[np.float32] = hits.distances
    counts: int | npt.NDArray[np.uint32] = hits.counts
    first, second = hits
    seconds: dict[str, float] = hits.stage_seconds
    text: str = str(seconds) + hits.explain() + str(hits.stats["strategy"]) + vicinal.explain(index.spec, index.dim) + index.metric
    path = folder / "index.vcn"
    index.save(path)
    index.save(str(path))
    vicinal.verify(path)
    opened: vicinal.Index = vicinal.open(str(path), mmap=True)
    calibration: vicinal.Calibration | None = opened.calibration
    names: npt.NDArray[np.int64] | None = opened.ids
    assert calibration is not None and names is not None
    efforts: tuple[int, ...] = calibration.efforts
    size: int = len(index) + index.nbytes + index.seed + len(efforts) + len(text)
    size += len(ids) + len(distances) + len(first) + len(second)
    assert size > 0 and counts is not None
    rows: npt.NDArray[np.float32] = vicinal.reconstruct(index, [3, 1])
    explored: vicinal.Exploration = vicinal.explore(
        base, base[:5], metric="l2", budget="1MiB", floor=0.5, k=3, plan_for=200, qrels=[(0, 1, 1)], training_queries=base[5:9], threads=1, progress=False
    )
    best: vicinal.ExploredPoint | None = explored.recommended
    assert best is not None and best.bytes > 0 and best.recall_interval[0] <= best.recall and explored.table() == str(explored)
    truth: vicinal.Hits = vicinal.exact(base, base[:5], 3, metric="l2", threads=1)

    collection = vicinal.Collection(8, "flat", metric="ip", seed=1, threads=1, calibrate=False)
    given: npt.NDArray[np.int64] = collection.add(base)
    collection.upsert(rows, [3, 1])
    removed: int = collection.remove(given[:2])
    with collection.writer() as writer:
        writer.add(base[0])
        writer.upsert(base[:1], [7])
        writer.remove([8])
    collection.optimize(progress=False)
    found = collection.search(base[0], 3, filter=np.arange(50))
    total: int = len(collection) + removed + len(found.ids) + collection.nbytes + collection.dim
    assert total > 0 and 7 in collection and collection.get([7]).shape == (1, 8)
    collection.save(path)
    again: vicinal.Collection = vicinal.Collection.open(path)
    again.clear()
    vicinal.Collection.from_index(collection.to_index())
    with vicinal.LiveIndex(8, metric="l2", path=folder / "live.vcn", seed=1, threads=1) as live:
        added: npt.NDArray[np.int64] = live.add(base)
        live.upsert(rows, [3, 1])
        gone: int = live.remove(added[:2])
        answers: vicinal.Hits = live.search(base[:5], 3, effort=40, filter=np.arange(50), threads=1)
        live.compact(calibrate=False)
        page: vicinal.Hits = next(live.search_iter(base[0], 3))
        ranges: vicinal.RangeHits = live.search_range(base[:5], 0.5)
    pairs: tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] = index.search_range(base[:2], 0.5, threads=1)[0]
    assert len(page.ids) == 3 and len(ranges) == 5 and len(pairs) == 2
    whole: bool = vicinal.LiveIndex.open(folder / "live.vcn").consolidate()
    frozen: vicinal.Index = vicinal.LiveIndex.from_index(index).freeze(layout="plain", calibrate=False)
    assert whole and gone == 2 and len(answers.ids) == 5 and len(frozen) == 100
    errors = vicinal.Unsupported, vicinal.IoError, vicinal.CorruptFile, vicinal.WrongType, vicinal.InvalidArgument
    try:
        vicinal.build(base, "hnws", metric="l2")
    except vicinal.SpecError as error:
        assert isinstance(error, errors)
    return vicinal.recall(hits.ids, truth.ids, k=3)


def best_pair() -> tuple[int, float]:
    tokens: npt.NDArray[np.float32] = np.eye(4, 8, dtype=np.float32)
    documents = (tokens, np.array([0, 3, 4]))
    index: vicinal.Index = vicinal.build(documents, "maxsim(f32)", metric="ip")
    places, scores = index.match(tokens[:2], [0, 1])
    pooled: npt.NDArray[np.float32]
    pooled, offsets = multivector.pool_tokens(documents, factor=1.0, method="ward", threads=1)
    rows, assignment = multivector.pool_document(tokens, clusters=2, protect=1)
    carved, sizes = multivector.carve_query(tokens, 0.9)
    encoder: multivector.FdeEncoder = multivector.FdeEncoder(8, reps=2, documents=documents)
    same = multivector.FdeEncoder(**encoder.options, mean=encoder.mean)
    paper: multivector.FdeEncoder = multivector.FdeEncoder.paper(8, reps=2, bits=1, projection_dim=4)
    google = multivector.GoogleFde(8, num_repetitions=2, num_simhash_projections=1)
    tokens_of_many = np.eye(20, 8, dtype=np.float32)
    head: multivector.TokenHead = multivector.TokenHead((tokens_of_many, [0, 10, 20]), out_dim=16, samples=16, threads=1)
    assert index.encoder is None and head.health <= 1
    for each in (encoder, paper, google, head):
        encoded: npt.NDArray[np.float32] = each.encode_queries((carved, [0, len(carved)]), threads=1)
        assert encoded.shape == (1, each.out_dim) and each.encode_documents((pooled, offsets)).shape == (2, each.out_dim)
        assert each.encode_query(rows).shape == each.encode_document(rows).shape and each.dim == 8
    assert same.fingerprint == encoder.fingerprint and len(assignment) == int(sizes.sum()) == 4
    return int(places[0, 0]), float(scores[0, 0])
