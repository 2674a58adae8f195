"""vicinal.haystack: Haystack's suites for document stores, and what they do not ask."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("haystack")

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing import document_store as suites
from haystack.testing import document_store_async as async_suites

import vicinal
from vicinal.haystack import VicinalDocumentStore, VicinalEmbeddingRetriever


class Fixture:
    @pytest.fixture
    def document_store(self) -> VicinalDocumentStore:
        return VicinalDocumentStore()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """All the same, embeddings to float32."""
        assert [replace(one, embedding=None) for one in received] == [replace(one, embedding=None) for one in expected]
        for one, other in zip(received, expected):
            assert (one.embedding is None) == (other.embedding is None)
            if one.embedding is not None and other.embedding is not None:
                np.testing.assert_array_equal(one.embedding, np.array(other.embedding, dtype=np.float32))


class TestStandard(
    Fixture,
    suites.DocumentStoreBaseExtendedTests,
    suites.CountDocumentsByFilterTest,
    suites.CountUniqueMetadataByFilterTest,
    suites.GetMetadataFieldsInfoTest,
    suites.GetMetadataFieldMinMaxTest,
    suites.GetMetadataFieldUniqueValuesTest,
):
    def test_write_documents(self, document_store: VicinalDocumentStore) -> None:  # type: ignore[override]
        """The suite leaves it to each store what happens without a policy: as with FAIL."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


class TestStandardAsync(
    Fixture,
    async_suites.CountDocumentsAsyncTest,
    async_suites.CountDocumentsByFilterAsyncTest,
    async_suites.CountUniqueMetadataByFilterAsyncTest,
    async_suites.DeleteAllAsyncTest,
    async_suites.DeleteByFilterAsyncTest,
    async_suites.DeleteDocumentsAsyncTest,
    async_suites.FilterDocumentsAsyncTest,
    async_suites.GetMetadataFieldMinMaxAsyncTest,
    async_suites.GetMetadataFieldsInfoAsyncTest,
    async_suites.GetMetadataFieldUniqueValuesAsyncTest,
    async_suites.UpdateByFilterAsyncTest,
    async_suites.WriteDocumentsAsyncTest,
):
    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store: VicinalDocumentStore) -> None:
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


def documents() -> list[Document]:
    return [
        Document(id="a", content="a", meta={"n": 0}, embedding=[1.0, 0.0]),
        Document(id="b", content="b", meta={"n": 1}, embedding=[2.0, 0.1]),
        Document(id="none", content="without embedding", meta={"n": 2}),
        Document(id="c", content="c", meta={"n": 3}, embedding=[0.0, 3.0]),
        Document(id="d", content="d", meta={"n": 4}, embedding=[-4.0, 0.0]),
    ]


def filled(**kwargs: Any) -> VicinalDocumentStore:
    store = VicinalDocumentStore(**kwargs)
    assert store.write_documents(documents()) == 5
    return store


def keys(found: list[Document]) -> list[str]:
    return [document.id for document in found]


def where(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("metric", "expected", "scaled"),
    [
        ("cosine", {"a": 1.0, "b": 2 / 4.01**0.5, "c": 0.0, "d": -1.0}, [1.0, 0.99938, 0.5, 0.0]),
        ("ip", {"b": 2.0, "a": 1.0, "c": 0.0, "d": -4.0}, [1 / (1 + np.exp(-x / 100)) for x in (2, 1, 0, -4)]),
        ("l2", {"a": 1.0, "b": 1 / (1 + 1.01**0.5), "c": 1 / (1 + 10**0.5), "d": 1 / 6}, [1.0, 0.49876, 0.24025, 1 / 6]),
    ],
)
def test_nearest_first_with_scores(metric: str, expected: dict[str, float], scaled: list[float]) -> None:
    store = filled(metric=metric)
    found = store.embedding_retrieval([1.0, 0.0])
    assert {document.id: document.score for document in found} == pytest.approx(expected, abs=1e-6)
    assert keys(found) == list(expected) and found[0].meta and found[0].embedding is None
    found = store.embedding_retrieval([1.0, 0.0], scale_score=True, return_embedding=True)
    assert [document.score for document in found] == pytest.approx(scaled, abs=1e-4)
    assert {document.id: document.embedding for document in found}["c"] == [0.0, 3.0]
    assert keys(store.embedding_retrieval([1.0, 0.0], top_k=2)) == list(expected)[:2]
    assert store.embedding_retrieval([1.0, 0.0], top_k=0) == []
    with pytest.raises(vicinal.InvalidArgument, match="k is -1"):
        store.embedding_retrieval([1.0, 0.0], top_k=-1)


def test_scores_of_large_inner_products_stay_in_bounds() -> None:
    store = VicinalDocumentStore(metric="ip")
    store.write_documents([Document(id="far", embedding=[-1e6]), Document(id="near", embedding=[1e6])])
    assert [document.score for document in store.embedding_retrieval([1e6], scale_score=True)] == [1.0, 0.0]


def test_filters() -> None:
    store = filled()
    zero = {"operator": "NOT", "conditions": [where("meta.n", ">", 0)]}
    few = {"operator": "OR", "conditions": [where("meta.n", ">=", 3), zero]}
    assert keys(store.embedding_retrieval([1.0, 0.0], filters=few)) == ["a", "c", "d"]
    assert keys(store.embedding_retrieval([1.0, 0.0], filters=where("meta.n", "in", [1, 2]))) == ["b"]
    assert store.embedding_retrieval([1.0, 0.0], filters=where("meta.n", "==", 2)) == []
    assert keys(store.filter_documents(where("embedding", "==", None))) == ["none"]
    assert keys(store.embedding_retrieval([1.0, 0.0], filters=where("embedding", "==", [0.0, 3.0]))) == ["c"]
    with pytest.raises(FilterError):
        store.embedding_retrieval([1.0, 0.0], filters=where("meta.n", ">", "many"))
    with pytest.raises(vicinal.WrongType):
        store.filter_documents("n == 1")  # type: ignore[arg-type]


def test_a_filter_never_costs_results_in_a_built_index() -> None:
    rng = np.random.default_rng(1)
    store = VicinalDocumentStore(return_embedding=False)
    rows = rng.standard_normal((3000, 8)).tolist()
    store.write_documents([Document(id=str(n), meta={"n": n}, embedding=row) for n, row in enumerate(rows)])
    store.delete_documents(["7"])
    wanted = list(range(257, 3000, 250))
    found = store.embedding_retrieval(rows[0], filters=where("meta.n", "in", [7, *wanted]), top_k=10)
    assert len(found) == 10 and {document.meta["n"] for document in found} <= set(wanted)
    assert store.embedding_retrieval(rows[5], recall=0.99)[0].id == "5" == store.embedding_retrieval(rows[5], effort=99)[0].id


def test_duplicates() -> None:
    store = filled()
    new = [Document(id="e", embedding=[9.0, 9.0]), Document(id="a", content="new", embedding=[0.0, 1.0])]
    for policy in (DuplicatePolicy.FAIL, DuplicatePolicy.NONE):
        with pytest.raises(DuplicateDocumentError):
            store.write_documents(new, policy)
        with pytest.raises(DuplicateDocumentError):
            store.write_documents([new[0], new[0]], policy)
        assert store.count_documents() == 5  # none of them was written
    assert store.write_documents(new, DuplicatePolicy.SKIP) == 1
    assert keys(store.embedding_retrieval([1.0, 0.0], top_k=1)) == ["a"]
    assert store.write_documents([new[1], new[1]], DuplicatePolicy.OVERWRITE) == 2
    assert keys(store.embedding_retrieval([1.0, 0.0], top_k=1)) == ["b"]
    assert store.write_documents([Document(id="b", content="no embedding any more")], DuplicatePolicy.OVERWRITE) == 1
    assert keys(store.embedding_retrieval([1.0, 0.0])) == ["e", "a", "c", "d"]  # a and c are equally far: by age
    assert keys(store.filter_documents()) == ["a", "b", "none", "c", "d", "e"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([Document(id="z", embedding=[1.0, 2.0, 3.0])], "vectors have 3 columns, the collection has dimension 2"),
        ([Document(id="z", embedding=[1.0, 2.0]), Document(id="y", embedding=[1.0])], "embedding 1 has 1 values"),
        ([Document(id="z", embedding=[1.0, float("inf")])], "row 0 column 1 is inf"),
        ([Document(id="z"), "text"], "documents hold str"),
        ({"id": "z"}, "documents are dict"),
    ],
)
def test_nothing_changes_when_a_write_fails(wrong: Any, message: str) -> None:
    store = filled()
    with pytest.raises(vicinal.InvalidArgument, match=message):
        store.write_documents(wrong, DuplicatePolicy.OVERWRITE)
    Fixture.assert_documents_are_equal(store.filter_documents(), documents())
    assert keys(store.embedding_retrieval([1.0, 0.0])) == ["a", "b", "c", "d"]


def test_documents_are_the_callers_own() -> None:
    given = documents()
    store = VicinalDocumentStore()
    store.write_documents(given)
    given[0].meta["n"] = "changed"
    store.filter_documents()[0].meta["n"] = "changed"
    store.embedding_retrieval([1.0, 0.0])[0].meta["n"] = "changed"
    assert given[0].embedding == [1.0, 0.0] and store.filter_documents()[0].meta == {"n": 0}
    before = store.filter_documents()
    assert store.update_by_filter(where("meta.n", "==", 0), {"tags": ["x"]}) == 1
    assert before[0].meta == {"n": 0} and store.filter_documents()[0].meta == {"n": 0, "tags": ["x"]}


def test_empty_stores_answer_with_nothing() -> None:
    store = VicinalDocumentStore()
    assert store.embedding_retrieval([1.0]) == [] and store.filter_documents() == [] and store.count_documents() == 0
    store.write_documents([Document(content="no embedding")])
    assert store.embedding_retrieval([1.0]) == []
    store.write_documents(documents())
    with pytest.raises(vicinal.InvalidArgument, match="queries have 1 column, the index has dimension 2"):
        store.embedding_retrieval([1.0])
    with pytest.raises(vicinal.InvalidArgument, match="query_embedding has no values"):
        store.embedding_retrieval([])
    store.delete_all_documents()
    store.write_documents([Document(id="z", embedding=[1.0, 2.0, 3.0])])
    assert keys(store.embedding_retrieval([1.0, 2.0, 3.0])) == ["z"]


def test_save_and_load(tmp_path: Path) -> None:
    store = filled(metric="l2", spec="f32 | hnsw", seed=3)
    blob, sparse = ByteStream(b"\x00\xff", mime_type="x/y", meta={"m": 1}), SparseEmbedding([1], [0.5])
    meta = {"content": "clash", "list": [1, {}]}
    store.write_documents([Document(id="e", blob=blob, sparse_embedding=sparse, meta=meta, score=0.5)])
    folder = tmp_path / "made"
    store.save(folder)
    loaded = VicinalDocumentStore.load(folder)
    assert loaded.filter_documents() == store.filter_documents()
    assert loaded.embedding_retrieval([1.0, 2.0]) == store.embedding_retrieval([1.0, 2.0])
    loaded.delete_by_filter(where("meta.n", "<", 3))
    loaded.save()
    assert keys(VicinalDocumentStore.load(folder, mmap=True).filter_documents()) == ["c", "d", "e"]
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(vicinal.InvalidArgument, match="save got no path"):
        store.save()
    with pytest.raises(FileNotFoundError):
        VicinalDocumentStore.load(tmp_path / "nothing")


def test_a_payload_that_is_no_document_is_noticed(tmp_path: Path) -> None:
    filled().save(tmp_path)
    path = tmp_path / "documents.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = json.dumps({**json.loads(lines[1]), "payload": 5}).encode() + b"\n"
    checksum = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    path.write_bytes(b"".join(lines[:-1]) + json.dumps({"documents": 5, "sha256": checksum}).encode())
    with pytest.raises(vicinal.CorruptFile, match="does not hold what it should"):
        VicinalDocumentStore.load(tmp_path)


def test_settings_are_kept_and_documents_found_by_path(tmp_path: Path) -> None:
    store = filled(metric="ip", spec="f32 | hnsw", seed=3, threads=1, return_embedding=False, path=str(tmp_path))
    store.save()
    data = store.to_dict()
    assert data["type"] == "vicinal.haystack.VicinalDocumentStore"
    again = VicinalDocumentStore.from_dict(data)
    assert again.to_dict() == data and keys(again.embedding_retrieval([1.0, 0.0])) == ["b", "a", "c", "d"]
    assert again.filter_documents()[0].embedding is None
    with pytest.raises(vicinal.InvalidArgument, match="holds ip, .* was to be cosine"):
        VicinalDocumentStore(path=str(tmp_path))


def test_retriever() -> None:
    store = filled()
    retriever = VicinalEmbeddingRetriever(store, filters=where("meta.n", ">", 0), top_k=2, scale_score=True)
    found = retriever.run([1.0, 0.0])["documents"]
    assert keys(found) == ["b", "c"] and found[1].score == pytest.approx(0.5)
    assert keys(retriever.run([1.0, 0.0], filters=where("meta.n", "<", 1))["documents"]) == ["a"]
    assert keys(retriever.run([1.0, 0.0], top_k=3)["documents"]) == ["b", "c", "d"]
    assert retriever.run([1.0, 0.0], top_k=0)["documents"] == []
    assert retriever.run([1.0, 0.0], return_embedding=True, scale_score=False)["documents"][1].embedding == [0.0, 3.0]
    merging = VicinalEmbeddingRetriever(store, filters=where("meta.n", ">", 0), filter_policy="merge")
    both = {"operator": "AND", "conditions": [where("meta.n", "<", 4), where("meta.n", "!=", 3)]}
    assert keys(merging.run([1.0, 0.0], filters=where("id", "!=", "c"))["documents"]) == ["b", "d"]
    assert keys(VicinalEmbeddingRetriever(store).run([1.0, 0.0], filters=both)["documents"]) == ["a", "b"]
    with pytest.raises(vicinal.WrongType, match="document_store is str"):
        VicinalEmbeddingRetriever("store")  # type: ignore[arg-type]
    with pytest.raises(vicinal.InvalidArgument, match="top_k is 0"):
        VicinalEmbeddingRetriever(store, top_k=0)


@pytest.mark.parametrize("given", [{"recall": 0.9}, {"effort": 7}])
def test_recall_and_effort_arrive(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    search = vicinal.Collection.search

    def spy(self: vicinal.Collection, *args: Any, **kwargs: Any) -> Any:
        seen.append({name: kwargs[name] for name in ("recall", "effort") if kwargs.get(name) is not None})
        return search(self, *args, **kwargs)

    monkeypatch.setattr(vicinal.Collection, "search", spy)
    store = filled()
    VicinalEmbeddingRetriever(store, **given).run([1.0, 0.0])
    VicinalEmbeddingRetriever(store, effort=3).run([1.0, 0.0], **given)
    VicinalEmbeddingRetriever(store, effort=3).run([1.0, 0.0])
    assert seen == [given, given, {"effort": 3}]


def test_retriever_in_a_pipeline(tmp_path: Path) -> None:
    store = filled(path=str(tmp_path))
    store.save()
    pipeline = Pipeline()
    retriever = VicinalEmbeddingRetriever(store, filters=where("meta.n", ">", 0), filter_policy="merge", recall=0.9)
    pipeline.add_component("retriever", retriever)
    assert keys(pipeline.run({"retriever": {"query_embedding": [1.0, 0.0], "top_k": 2}})["retriever"]["documents"]) == ["b", "c"]
    data = pipeline.to_dict()
    again = Pipeline.from_dict(data, allowed_modules=["vicinal.haystack"])
    assert again.to_dict() == data
    assert keys(again.run({"retriever": {"query_embedding": [1.0, 0.0], "top_k": 2}})["retriever"]["documents"]) == ["b", "c"]
    assert VicinalEmbeddingRetriever.from_dict(retriever.to_dict()).to_dict() == retriever.to_dict()


def test_retriever_asynchronously() -> None:
    async def ask() -> list[list[str]]:
        retriever = VicinalEmbeddingRetriever(filled(), top_k=2)
        many = await asyncio.gather(*(retriever.run_async([1.0, 0.0]) for _ in range(20)))
        return [keys(one["documents"]) for one in many]

    assert asyncio.run(ask()) == [["a", "b"]] * 20


def test_unique_values_of_nested_metadata() -> None:
    store = VicinalDocumentStore()
    values: list[Any] = [[1, 2], [1, 2], {"x": 1}, {"x": 1.0}, None]
    store.write_documents([Document(id=str(n), meta={"v": value}) for n, value in enumerate(values)])
    assert store.get_metadata_field_unique_values("meta.v") == ([[1, 2], {"x": 1}, {"x": 1.0}], 3)
    assert store.get_metadata_field_min_max("v") == {"min": None, "max": None}
