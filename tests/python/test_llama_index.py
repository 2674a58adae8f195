"""vicinal.llama_index: the contract of a vector store, alone and under VectorStoreIndex. LlamaIndex ships no suite of its own."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_index.core")

import fsspec  # type: ignore[import-untyped]
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import ImageNode, IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

import vicinal
from vicinal.llama_index import VicinalVectorStore


def node(key: str, embedding: list[float], source: str | None = None, **metadata: Any) -> TextNode:
    relationships = {} if source is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    made = TextNode(id_=key, text=f"text of {key}", embedding=embedding, metadata=metadata)
    made.relationships.update(relationships)
    return made


def nodes() -> list[TextNode]:
    return [
        node("a", [1, 0], "one", year=2000, kind="red", tags=["x", "y"]),
        node("b", [2, 0.1], "one", year=2010, kind="Green", tags=["y"]),
        node("c", [0, 3], "two", year=2020, kind="blue", tags=[]),
        node("d", [-4, 0], None, kind="red"),
    ]


def filled(**kwargs: Any) -> VicinalVectorStore:
    store = VicinalVectorStore(**kwargs)
    assert store.add(nodes()) == ["a", "b", "c", "d"]
    return store


def ask(store: VicinalVectorStore, k: int = 9, at: list[float] | None = None, **query: Any) -> VectorStoreQueryResult:
    return store.query(VectorStoreQuery(query_embedding=at or [1.0, 0.0], similarity_top_k=k, **query))


def where(key: str, operator: str, value: Any) -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=FilterOperator(operator))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("cosine", {"a": 1.0, "b": 2 / 4.01**0.5, "c": 0.0, "d": -1.0}),
        ("ip", {"b": 2.0, "a": 1.0, "c": 0.0, "d": -4.0}),
        ("l2", {"a": 1.0, "b": 1 / (1 + 1.01**0.5), "c": 1 / (1 + 10**0.5), "d": 1 / 6}),
    ],
)
def test_nearest_first_with_similarities(metric: str, expected: dict[str, float]) -> None:
    found = ask(filled(metric=metric))
    assert found.ids == list(expected)
    assert found.similarities == pytest.approx(list(expected.values()), abs=1e-6)
    assert found.nodes is not None and [one.node_id for one in found.nodes] == found.ids
    assert found.nodes[0].metadata and found.nodes[0].get_content().startswith("text of ")


def test_answers_are_those_of_the_simple_store() -> None:
    rng = np.random.default_rng(3)
    rows = [node(str(n), row.tolist(), n=n % 7) for n, row in enumerate(rng.standard_normal((300, 12)))]
    mine, simple = VicinalVectorStore(), SimpleVectorStore()
    mine.add(rows)
    simple.add(rows)
    for restriction in (None, MetadataFilters(filters=[where("n", ">", 4)])):
        query = VectorStoreQuery(query_embedding=rng.standard_normal(12).tolist(), similarity_top_k=20, filters=restriction)
        ours, theirs = mine.query(query), simple.query(query)
        assert ours.ids == theirs.ids and ours.similarities == pytest.approx(theirs.similarities, abs=1e-5)


@pytest.mark.parametrize(
    ("single", "expected"),
    [
        (where("year", "==", 2010), "b"),
        (where("year", "!=", 2010), "acd"),
        (where("year", ">", 2000), "bc"),
        (where("year", ">=", 2000), "abc"),
        (where("year", "<", 2010), "a"),
        (where("year", "<=", 2010), "ab"),
        (where("kind", "in", ["red", "blue"]), "acd"),
        (where("kind", "nin", ["red", "blue"]), "b"),
        (where("tags", "any", ["x", "z"]), "a"),
        (where("tags", "all", ["x", "y"]), "a"),
        (where("tags", "contains", "y"), "ab"),
        (where("kind", "text_match", "e"), "abcd"),
        (where("kind", "text_match", "g"), ""),
        (where("kind", "text_match_insensitive", "g"), "b"),
        (where("tags", "is_empty", None), "cd"),
        (where("ref_doc_id", "==", "one"), "ab"),
        (where("doc_id", "==", "two"), "c"),
    ],
)
def test_every_operator(single: MetadataFilter, expected: str) -> None:
    restriction = MetadataFilters(filters=[single])
    store = filled()
    assert sorted(ask(store, filters=restriction).ids or []) == list(expected)
    assert [one.node_id for one in store.get_nodes(filters=restriction)] == list(expected)
    store.delete_nodes(filters=restriction)
    assert sorted(ask(store).ids or []) == [key for key in "abcd" if key not in expected]


def test_conditions_nest() -> None:
    red, late, early = where("kind", "==", "red"), where("year", ">=", 2020), where("year", "<", 2005)

    def both(*parts: Any) -> MetadataFilters:
        return MetadataFilters(filters=list(parts), condition=FilterCondition.AND)

    def either(*parts: Any) -> MetadataFilters:
        return MetadataFilters(filters=list(parts), condition=FilterCondition.OR)

    def neither(*parts: Any) -> MetadataFilters:
        return MetadataFilters(filters=list(parts), condition=FilterCondition.NOT)

    store = filled()
    for restriction, expected in [
        (both(red, early), "a"),
        (either(red, late), "acd"),
        (neither(red, late), "b"),
        (either(both(red, early), late), "ac"),
        (both(red, neither(early)), "d"),
        (both(either(red, late), neither(both(red, early))), "cd"),
        (both(), "abcd"),
        (both(red, either()), "ad"),
    ]:
        assert sorted(ask(store, filters=restriction).ids or []) == list(expected), restriction


def test_restrictions_add_up() -> None:
    store = filled()
    assert ask(store, node_ids=["d", "b", "nobody"]).ids == ["b", "d"]
    assert ask(store, doc_ids=["one"]).ids == ["a", "b"]
    assert ask(store, doc_ids=["one"], node_ids=["b", "c"]).ids == ["b"]
    assert ask(store, doc_ids=["one"], filters=MetadataFilters(filters=[where("year", ">", 2005)])).ids == ["b"]
    assert ask(store, node_ids=["nobody"]).ids == [] and ask(store, doc_ids=["nobody"]).ids == []
    assert ask(store, node_ids=[], doc_ids=[]).ids == list("abcd")  # what retrievers pass for no restriction


def test_a_filter_never_costs_results_in_a_built_index() -> None:
    rng = np.random.default_rng(1)
    store = VicinalVectorStore()
    store.add([node(str(n), row.tolist(), n=n) for n, row in enumerate(rng.standard_normal((3000, 8)))])
    store.delete_nodes(["7"])
    wanted = [str(n) for n in range(257, 3000, 250)]
    found = ask(store, 10, [1.0] * 8, node_ids=["7", *wanted])
    assert len(found.ids or []) == 10 and set(found.ids or []) <= set(wanted)
    query = VectorStoreQuery(query_embedding=[1.0] * 8, similarity_top_k=3)
    assert store.query(query, recall=0.99).ids == store.query(query, effort=500).ids


def test_marginal_relevance() -> None:
    store = VicinalVectorStore()
    store.add([node("a", [1, 0]), node("b", [1, 0.01]), node("c", [1, 1]), node("d", [0, 1])])
    query = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=2, mode=VectorStoreQueryMode.MMR)
    assert store.query(query, mmr_threshold=1.0).ids == ["a", "b"]
    assert store.query(query, mmr_threshold=0.3).ids == ["a", "d"]
    assert store.query(query, mmr_threshold=0.3, mmr_prefetch_k=2).ids == ["a", "b"]
    assert store.query(query, mmr_threshold=0.3, mmr_prefetch_factor=1).ids == ["a", "b"]
    query.mmr_threshold = 0.3
    found = store.query(query)
    assert found.ids == ["a", "d"] and len(found.similarities or []) == len(found.nodes or []) == 2
    query.node_ids = ["b", "c"]
    assert store.query(query).ids == ["b", "c"]
    query.node_ids = ["nobody"]
    assert store.query(query).ids == []


def test_adding_replaces() -> None:
    store = filled()
    store.add([node("a", [0, 1], "three", new=1)])
    assert len(store) == 4 and store.get_nodes(["a"])[0].metadata == {"new": 1}
    assert ask(store, 1).ids == ["b"] and ask(store, doc_ids=["three"]).ids == ["a"]


def test_deleting() -> None:
    store = filled()
    store.delete("one")
    assert ask(store).ids == ["c", "d"]
    store.delete("unknown")
    store.delete_nodes(["c", "unknown"], MetadataFilters(filters=[where("kind", "==", "red")]))
    assert ask(store).ids == ["c", "d"]
    store.delete_nodes(["c", "unknown"])
    assert ask(store).ids == ["d"]
    store.delete_nodes([])
    with pytest.raises(vicinal.InvalidArgument, match="neither node_ids nor filters"):
        store.delete_nodes()
    assert ask(store).ids == ["d"]
    store.clear()
    assert len(store) == 0 and ask(store).ids == [] and ask(store).nodes == [] and store.get_nodes() == []
    store.add([node("n", [1, 2, 3])])
    assert ask(store, at=[1.0, 2.0, 3.0]).ids == ["n"]


def test_nodes_are_the_callers_own() -> None:
    given = nodes()
    store = VicinalVectorStore()
    store.add(given)
    assert given[0].embedding == [1, 0]
    given[0].metadata["kind"] = "changed"
    store.get_nodes(["a"])[0].metadata["kind"] = "changed"
    (ask(store, 1).nodes or [])[0].metadata["tags"].append("z")
    assert store.get_nodes(["a"])[0].metadata == nodes()[0].metadata
    assert [one.node_id for one in store.get_nodes()] == ["a", "b", "c", "d"]
    assert [one.node_id for one in store.get_nodes(["c", "unknown", "a"])] == ["c", "a"]


def test_what_is_wrong_is_refused_and_changes_nothing() -> None:
    store = filled()
    for wrong in ([node("a", [1, 2, 3])], [node("z", [1, 2]), node("y", [1])], [node("z", [float("nan"), 0])]):
        with pytest.raises(vicinal.InvalidArgument):
            store.add(wrong)
    with pytest.raises(ValueError, match="embedding not set"):
        store.add([TextNode(text="no embedding")])
    with pytest.raises(vicinal.InvalidArgument, match="no query_embedding"):
        store.query(VectorStoreQuery(query_str="words"))
    with pytest.raises(vicinal.Unsupported, match="query mode is sparse, expected default or mmr"):
        ask(store, mode=VectorStoreQueryMode.SPARSE)
    with pytest.raises(vicinal.InvalidArgument, match="unknown query arguments ef"):
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.0]), ef=5)
    with pytest.raises(vicinal.InvalidArgument, match="metric is 'euclid'"):
        VicinalVectorStore(metric="euclid")
    assert ask(store).ids == ["a", "b", "c", "d"]


def test_persist(tmp_path: Path) -> None:
    store = filled(metric="l2", spec="f32 | hnsw", seed=5)
    store.add([ImageNode(id_="i", image="abc", embedding=[5, 5]), IndexNode(id_="x", text="t", index_id="q", embedding=[6, 6])])
    path = str(tmp_path / "made" / "store.json")
    store.persist(path)
    loaded = VicinalVectorStore.from_persist_path(path)
    assert loaded.get_nodes() == store.get_nodes() and type(loaded.get_nodes(["i"])[0]) is ImageNode
    assert (loaded.metric, loaded.seed) == ("l2", 5) and loaded.spec.startswith("f32 | hnsw")
    mine, theirs = ask(store), ask(loaded)
    assert (mine.ids, mine.similarities) == (theirs.ids, theirs.similarities)
    loaded.delete("one")
    loaded.persist(path)
    assert len(list((tmp_path / "made").iterdir())) == 2
    assert ask(VicinalVectorStore.from_persist_path(path, mmap=True)).ids == ["c", "d", "i", "x"]
    with pytest.raises(FileNotFoundError):
        VicinalVectorStore.from_persist_path(str(tmp_path / "nothing"))


def test_persist_elsewhere() -> None:
    fs = fsspec.filesystem("memory")
    store = filled()
    store.persist("/vicinal-test/store.json", fs)
    assert ask(VicinalVectorStore.from_persist_path("/vicinal-test/store.json", fs)).ids == ["a", "b", "c", "d"]


def test_copies_keep_the_nodes() -> None:
    store = filled(metric="ip")
    for same in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store)):
        assert ask(same).ids == ["b", "a", "c", "d"] and same.metric == "ip"
        same.clear()
    assert len(store) == 4


def test_asynchronous_calls() -> None:
    async def everything() -> None:
        store = VicinalVectorStore()
        assert await store.async_add(nodes()) == ["a", "b", "c", "d"]
        query = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=9)
        assert all(found.ids == ["a", "b", "c", "d"] for found in await asyncio.gather(*(store.aquery(query) for _ in range(20))))
        await store.adelete("one")
        assert [one.node_id for one in await store.aget_nodes()] == ["c", "d"]
        await store.adelete_nodes(["c"])
        assert (await store.aquery(query)).ids == ["d"]
        await store.aclear()
        assert (await store.aquery(query)).ids == []

    asyncio.run(everything())


class Letters(MockEmbedding):
    """Counts of letters, so that what is near is known."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(text.count(letter)) + 0.01 for letter in "abcd"]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embedding(text)


def letter_index(model: BaseEmbedding, use_async: bool = False) -> VectorStoreIndex:
    context = StorageContext.from_defaults(vector_store=VicinalVectorStore())
    texts = [TextNode(id_=letter, text=letter * 5, metadata={"n": n}) for n, letter in enumerate("abcd")]
    for one in texts:
        one.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc-{one.node_id}")
    return VectorStoreIndex(texts, storage_context=context, embed_model=model, use_async=use_async)


@pytest.mark.parametrize("use_async", [False, True])
def test_under_an_index(tmp_path: Path, use_async: bool) -> None:
    model = Letters(embed_dim=4)
    index = letter_index(model, use_async)
    assert isinstance(index.vector_store, VicinalVectorStore)  # not replaced for being empty
    retriever = index.as_retriever(similarity_top_k=2, vector_store_kwargs={"effort": 50})
    found = retriever.retrieve("bbbbba")
    assert [one.node_id for one in found] == ["b", "a"] and found[0].score == pytest.approx(0.98, abs=0.02)
    assert [one.node_id for one in asyncio.run(retriever.aretrieve("bbbbba"))] == ["b", "a"]
    late = MetadataFilters(filters=[where("n", ">", 1)])
    assert {one.node_id for one in index.as_retriever(similarity_top_k=9, filters=late).retrieve("b")} == {"c", "d"}
    diverse = index.as_retriever(similarity_top_k=2, vector_store_query_mode="mmr", vector_store_kwargs={"mmr_threshold": 0.5})
    assert [one.node_id for one in diverse.retrieve("bbbbba")][0] == "b"
    index.insert_nodes([TextNode(id_="e", text="abcd")])
    assert [one.node_id for one in index.as_retriever(similarity_top_k=1).retrieve("abcd")] == ["e"]
    index.delete_ref_doc("doc-b")
    index.delete_nodes(["e"])
    assert {one.node_id for one in index.as_retriever(similarity_top_k=9).retrieve("b")} == {"a", "c", "d"}

    index.storage_context.persist(str(tmp_path))
    again = VectorStoreIndex.from_vector_store(VicinalVectorStore.from_persist_dir(str(tmp_path)), embed_model=model)
    assert [one.node_id for one in again.as_retriever(similarity_top_k=1).retrieve("cc")] == ["c"]


def test_under_an_index_with_equal_embeddings() -> None:
    found = letter_index(MockEmbedding(embed_dim=6)).as_retriever(similarity_top_k=3).retrieve("anything")
    assert [one.node_id for one in found] == ["a", "b", "c"]
    assert [one.score for one in found] == pytest.approx([1.0] * 3, abs=1e-6)


def test_a_query_engine_answers() -> None:
    from llama_index.core.llms.mock import MockLLM

    engine = letter_index(Letters(embed_dim=4)).as_query_engine(llm=MockLLM(), similarity_top_k=1)
    assert "ccccc" in str(engine.query("cc"))
