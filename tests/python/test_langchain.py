"""vicinal.langchain: LangChain's standard suite, and what it does not ask."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langchain_tests")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

import vicinal
from vicinal.langchain import VicinalVectorStore


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture()
    def vectorstore(self) -> Iterator[VectorStore]:
        yield VicinalVectorStore(self.get_embeddings())


# The asynchronous tests of the suite carry no mark of their own, so that without this they would depend on the configuration.
for _name in dir(TestStandard):
    if _name.startswith("test_") and asyncio.iscoroutinefunction(getattr(TestStandard, _name)):
        setattr(TestStandard, _name, pytest.mark.asyncio(getattr(TestStandard, _name)))


class Points(Embeddings):
    """Texts are coordinates: "3,4" is (3, 4)."""

    def embed_query(self, text: str) -> list[float]:
        return [float(value) for value in text.split(",")]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def points(metric: str = "l2", **kwargs: Any) -> VicinalVectorStore:
    return VicinalVectorStore.from_texts(
        ["1,0", "2,0", "0,3", "-4,0"], Points(), [{"n": n, "even": n % 2 == 0} for n in range(4)], ids=list("abcd"),
        metric=metric, **kwargs,
    )


def keys(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_nearest_first_with_distances() -> None:
    found = points().similarity_search_with_score("1,0", k=3)
    assert [(document.id, distance) for document, distance in found] == [("a", 0.0), ("b", 1.0), ("c", 10.0)]
    assert keys(points().similarity_search_by_vector([1.0, 0.0], k=10)) == list("abcd")
    assert points().similarity_search("1,0", k=0) == []
    with pytest.raises(vicinal.InvalidArgument, match="k is -1"):
        points().similarity_search("1,0", k=-1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"n": 3}, ["d"]),
        ({"even": True, "n": 2}, ["c"]),
        ({"even": False}, ["b", "d"]),
        ({}, ["a", "b", "c", "d"]),
        ({"absent": None}, []),
        (lambda document: document.metadata["n"] > 1, ["c", "d"]),
        (lambda document: document.id == "d", ["d"]),
    ],
)
def test_filter(given: Any, expected: list[str]) -> None:
    store = points()
    assert keys(store.similarity_search("1,0", k=4, filter=given)) == expected
    assert sorted(map(str, keys(store.max_marginal_relevance_search("1,0", k=4, filter=given)))) == expected
    assert keys([document for document, _ in store.similarity_search_with_score("1,0", k=4, filter=given)]) == expected


def test_a_filter_never_costs_results_in_a_built_index() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((3000, 8))
    store = VicinalVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_embeddings([(str(n), row.tolist()) for n, row in enumerate(rows)], [{"n": n} for n in range(3000)])
    store.delete([str(document.id) for document in store.similarity_search_by_vector(rows[7].tolist(), k=1)])
    assert len(store) == 2999
    found = store.similarity_search_by_vector(rows[0].tolist(), k=10, filter=lambda document: document.metadata["n"] % 250 == 7)
    assert {document.metadata["n"] for document in found} <= set(range(257, 3000, 250)) and len(found) == 10
    wanted = store.similarity_search_by_vector(rows[5].tolist(), k=5, recall=0.9)
    assert wanted[0].metadata["n"] == 5
    assert store.similarity_search_by_vector(rows[5].tolist(), k=5, effort=200)[0].metadata["n"] == 5


def test_unknown_search_arguments_are_refused() -> None:
    with pytest.raises(vicinal.InvalidArgument, match="unknown search arguments ef"):
        points().similarity_search("1,0", ef=10)
    with pytest.raises(vicinal.InvalidArgument, match="filter is 'n'"):
        points().similarity_search("1,0", filter="n")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("l2", {"a": 1.0, "b": 0.5, "c": 1 / (1 + 10**0.5), "d": 1 / 6}),
        ("cosine", {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}),
        ("ip", {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}),
    ],
)
def test_relevance_scores(metric: str, expected: dict[str, float], recwarn: pytest.WarningsRecorder) -> None:
    found = points(metric).similarity_search_with_relevance_scores("1,0", k=4)
    assert {document.id: score for document, score in found} == pytest.approx(expected, abs=1e-6)
    assert not [warning for warning in recwarn if "Relevance" in str(warning.message)]
    assert keys(points().as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.4, "k": 4})
                .invoke("1,0")) == ["a", "b"]
    own = points(metric, relevance_score_fn=lambda distance: 0.25)
    assert {score for _, score in own.similarity_search_with_relevance_scores("1,0", k=4)} == {0.25}


def test_marginal_relevance_prefers_what_is_different() -> None:
    store = VicinalVectorStore.from_texts(["1,0", "1,0.01", "1,1", "0,1"], Points(), ids=list("abcd"))
    assert keys(store.similarity_search("1,0", k=2)) == ["a", "b"]
    assert keys(store.max_marginal_relevance_search("1,0", k=2, lambda_mult=0.3)) == ["a", "d"]
    assert keys(store.max_marginal_relevance_search("1,0", k=2, lambda_mult=1.0)) == ["a", "b"]
    assert keys(store.max_marginal_relevance_search("1,0", k=2, fetch_k=2, lambda_mult=0.0)) == ["a", "b"]
    assert keys(store.as_retriever(search_type="mmr", search_kwargs={"k": 1}).invoke("1,0")) == ["a"]


def test_adding_replaces_and_ids_are_made() -> None:
    store = points()
    given = store.add_documents([Document(id="a", page_content="9,9"), Document(page_content="8,8")])
    assert given[0] == "a" and len(given[1]) == 36 and len(store) == 5
    assert store.get_by_ids(["a"])[0].page_content == "9,9"
    assert keys(store.similarity_search("1,0", k=1)) == ["b"]
    assert store.add_texts(["7,7", "6,6"], ids=["x", "x"]) == ["x", "x"]  # the last stays
    assert store.get_by_ids(["x"])[0].page_content == "6,6" and len(store) == 6
    assert store.add_texts([]) == []
    assert keys(store.get_by_ids(["d", "nobody", "b"])) == ["d", "b"]


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.add_texts(["1,2,3"], ids=["a"]),
        lambda store: store.add_texts(["1,2", "1,2,3"], ids=["a", "z"]),
        lambda store: store.add_texts(["1,nan"], ids=["a"]),
        lambda store: store.add_texts(["1,1e39"], ids=["a"]),
        lambda store: store.add_texts(["1,1", "2,2"], ids=["a"]),
        lambda store: store.add_texts(["1,1", "2,2"], metadatas=[{}]),
        lambda store: store.add_texts(["1,1"], ids=[5]),
        lambda store: store.similarity_search("1,2,3"),
    ],
)
def test_nothing_changes_when_a_call_fails(call: Callable[[VicinalVectorStore], object]) -> None:
    store = points()
    with pytest.raises((vicinal.InvalidArgument, vicinal.WrongType)):
        call(store)
    assert len(store) == 4 and store.get_by_ids(["a"])[0].page_content == "1,0"
    assert keys(store.similarity_search("1,0", k=9)) == list("abcd")


def test_documents_are_the_callers_own() -> None:
    metadata = {"tags": ["x"]}
    store = VicinalVectorStore.from_texts(["1,0"], Points(), [metadata], ids=["a"])
    metadata["tags"].append("y")
    store.get_by_ids(["a"])[0].metadata["tags"].append("z")
    store.similarity_search("1,0")[0].metadata["tags"].append("z")
    assert store.get_by_ids(["a"])[0].metadata == {"tags": ["x"]}


def test_delete_everything_and_learn_another_dimension() -> None:
    store = points()
    assert store.delete() and len(store) == 0 and store.similarity_search("1,0") == []
    store.add_texts(["1,2,3"], ids=["a"])
    assert keys(store.similarity_search("1,2,3")) == ["a"]
    assert store.delete(["a"]) and store.similarity_search("1,2") == []
    store.add_texts(["1,2"], ids=["b"])
    assert keys(store.similarity_search("1,2")) == ["b"]


def test_asynchronous_calls() -> None:
    class Asynchronous(Points):
        calls = 0

        async def aembed_query(self, text: str) -> list[float]:
            self.calls += 1
            return self.embed_query(text)

        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            self.calls += 1
            return self.embed_documents(texts)

    async def everything(model: Asynchronous) -> None:
        store = await VicinalVectorStore.afrom_texts(["1,0", "0,1"], model, [{"n": 0}, {"n": 1}], ids=["a", "b"], metric="l2")
        await store.aadd_documents([Document(id="c", page_content="5,5")])
        assert keys(await store.asimilarity_search("1,0", k=2)) == ["a", "b"]
        assert keys(await store.asimilarity_search("1,0", k=2, filter={"n": 1})) == ["b"]
        assert keys(await store.asimilarity_search_by_vector([5.0, 5.0], k=1)) == ["c"]
        assert [score for _, score in await store.asimilarity_search_with_score("1,0", k=2)] == [0.0, 2.0]
        assert [score for _, score in await store.asimilarity_search_with_relevance_scores("1,0", k=1)] == [1.0]
        assert keys(await store.amax_marginal_relevance_search("1,0", k=1)) == ["a"]
        assert keys(await store.amax_marginal_relevance_search_by_vector([1.0, 0.0], k=1)) == ["a"]
        assert keys(await store.as_retriever(search_kwargs={"k": 1}).ainvoke("1,0")) == ["a"]
        assert await store.adelete(["a"]) and keys(await store.aget_by_ids(["a", "b"])) == ["b"]
        many = [store.asimilarity_search("1,0", k=1) for _ in range(20)]
        assert all(keys(found) == ["b"] for found in await asyncio.gather(*many))

    model = Asynchronous()
    asyncio.run(everything(model))
    assert model.calls == 28  # nothing was embedded behind the back of the model's own asynchronous methods


@pytest.mark.parametrize("given", [None, lambda document: True])
def test_a_change_in_the_middle_of_a_search(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = points()
    search, calls = vicinal.Collection.search, []

    def interrupted(self: vicinal.Collection, *args: Any, **kwargs: Any) -> Any:
        found = search(self, *args, **kwargs)
        calls.append(found)
        if len(calls) == 1:  # nearest to the query so far is a
            store.delete(["b"])
            store.add_texts(["9,9", "1,0.5"], ids=["a", "e"])
        return found

    monkeypatch.setattr(vicinal.Collection, "search", interrupted)
    found = store.similarity_search_with_score("1,0", k=4, filter=given)
    assert [(document.id, distance) for document, distance in found] == [("e", 0.25), ("c", 10.0), ("d", 25.0), ("a", 145.0)]
    assert len(calls) == 2


def test_searches_see_whole_states_while_documents_come_and_go() -> None:
    # Every document is there twice, as x and y; each change moves both or neither, so that a search never finds half a pair.
    import threading

    store = VicinalVectorStore(Points(), metric="l2")

    def pair(n: int, place: float) -> None:
        store.add_embeddings([(f"{place}", [place, 0.0])] * 2, [{"place": place}] * 2, ids=[f"x{n}", f"y{n}"])

    for n in range(40):
        pair(n, float(n))
    done, wrong = threading.Event(), []

    def change() -> None:
        rng = np.random.default_rng(2)
        for step in range(300):
            n = int(rng.integers(40))
            if step % 3:
                pair(n, float(rng.integers(1000)))
            else:
                store.delete([f"x{n}", f"y{n}"])
        done.set()

    def search(given: Any) -> None:
        while not done.is_set():
            found = store.similarity_search_with_score_by_vector([0.0, 0.0], k=200, filter=given)
            ids = [str(document.id) for document, _ in found]
            whole = sorted(key[1:] for key in ids if key[0] == "x") == sorted(key[1:] for key in ids if key[0] == "y")
            matching = all(document.metadata["place"] ** 2 == distance for document, distance in found)
            if not (whole and matching and len(set(ids)) == len(ids)):
                wrong.append(ids)

    threads = [threading.Thread(target=search, args=(given,)) for given in (None, lambda document: True)]
    threads.append(threading.Thread(target=change))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_indexing_api_keeps_it_in_step() -> None:
    from langchain_core.indexing import InMemoryRecordManager, index

    store, records = VicinalVectorStore(Points(), metric="l2"), InMemoryRecordManager("points")

    def bring(*texts: str) -> dict[str, Any]:
        documents = [Document(page_content=text, metadata={"source": "s"}) for text in texts]
        return {**index(documents, records, store, cleanup="full", source_id_key="source", key_encoder="sha256")}

    assert bring("1,0", "2,0")["num_added"] == 2
    assert bring("2,0", "3,0") == {"num_added": 1, "num_updated": 0, "num_skipped": 1, "num_deleted": 1}
    assert [document.page_content for document in store.similarity_search("1,0")] == ["2,0", "3,0"]


def test_save_and_load(tmp_path: Path) -> None:
    store = points("ip", spec="f32 | hnsw", seed=7)
    store.delete(["b"])
    store.add_texts(["5,5"], [{"text": "\u2028 ä \ud800 \n", "nested": {"list": [1, 2.5, None]}}], ids=["e\n"])
    folder = tmp_path / "made" / "here"
    store.save_local(folder)
    loaded = VicinalVectorStore.load_local(folder, Points())
    everything = ["a", "c", "d", "e\n"]
    assert loaded.get_by_ids(everything) == store.get_by_ids(everything)
    assert loaded.similarity_search_with_score("1,2", k=9) == store.similarity_search_with_score("1,2", k=9)
    assert loaded.collection is not None and loaded.collection.spec.startswith("f32 | hnsw") and loaded.collection.metric == "ip"
    loaded.add_texts(["6,6"], ids=["f"])
    assert keys(loaded.similarity_search("1,1", k=2)) == ["f", "e\n"]
    loaded.save_local(folder)
    assert len(list(folder.iterdir())) == 2  # what was saved before is gone
    again = VicinalVectorStore.load_local(folder, Points(), mmap=True)
    assert keys(again.similarity_search("1,1", k=9)) == keys(loaded.similarity_search("1,1", k=9))
    assert keys(pickle.loads(pickle.dumps(again)).similarity_search("1,1", k=1)) == ["f"]


def test_save_and_load_of_nothing(tmp_path: Path) -> None:
    VicinalVectorStore(Points(), metric="l2").save_local(tmp_path)
    loaded = VicinalVectorStore.load_local(tmp_path, Points())
    assert loaded.similarity_search("1,0") == [] and loaded
    loaded.add_texts(["1,0"])
    assert len(loaded.similarity_search("1,0")) == 1


def test_a_failed_save_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = points()
    store.save_local(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    store.add_texts(["1,1"], [{"set": {1}}], ids=["z"])
    with pytest.raises(vicinal.WrongType, match="document 'z' cannot be written as JSON"):
        store.save_local(tmp_path)
    store.delete(["z"])
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.save_local(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert keys(VicinalVectorStore.load_local(tmp_path, Points()).similarity_search("1,0", k=9)) == list("abcd")


def _rewrite(path: Path, change: Callable[[list[Any]], object]) -> None:
    """Changes the parsed lines and makes the checksum right again."""
    import hashlib

    values = [json.loads(line) for line in path.read_bytes().splitlines()]
    change(values)
    body = b"".join(json.dumps(value).encode() + b"\n" for value in values[:-1])
    last = {"documents": len(values) - 2, "sha256": hashlib.sha256(body).hexdigest()}
    path.write_bytes(body + json.dumps(last).encode() + b"\n")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda lines: lines[1].update(id=3), vicinal.CorruptFile, "a document twice"),
        (lambda lines: lines[1].update(key="b"), vicinal.CorruptFile, "a document twice"),
        (lambda lines: lines[1].update(id=99), vicinal.CorruptFile, "ids 1 to 99"),
        (lambda lines: lines[1].update(vector=False), vicinal.CorruptFile, "3 documents with a vector, its index 4"),
        (lambda lines: lines[1].pop("payload"), vicinal.CorruptFile, "KeyError"),
        (lambda lines: lines[1].update(payload=5), vicinal.CorruptFile, "TypeError"),
        (lambda lines: lines[0].update(index="../elsewhere.vcn"), vicinal.CorruptFile, "names the index file"),
        (lambda lines: lines[0].update(metric="cosine"), vicinal.CorruptFile, "is l2, .* says cosine"),
        (lambda lines: lines[0].update(version=2), vicinal.Unsupported, "version 2"),
        (lambda lines: lines[0].update(kind="haystack"), vicinal.InvalidArgument, "documents of haystack, expected langchain"),
        (lambda lines: lines[0].update(format="x"), vicinal.CorruptFile, "no documents of vicinal"),
    ],
)
def test_files_are_not_trusted(
    tmp_path: Path, change: Callable[[list[Any]], object], error: type[Exception], message: str
) -> None:
    points().save_local(tmp_path)
    _rewrite(tmp_path / "documents.jsonl", change)
    with pytest.raises(error, match=message):
        VicinalVectorStore.load_local(tmp_path, Points())


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    points().save_local(tmp_path)
    path = tmp_path / "documents.jsonl"
    whole = path.read_bytes()
    for place in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises((vicinal.CorruptFile, vicinal.Unsupported)):
            VicinalVectorStore.load_local(tmp_path, Points())
    for length in range(0, len(whole) - 1, 11):
        path.write_bytes(whole[:length])
        with pytest.raises(vicinal.CorruptFile):
            VicinalVectorStore.load_local(tmp_path, Points())


def test_a_foreign_file_is_never_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious.vcn"
    precious.write_text("mine")
    (tmp_path / "documents.jsonl").write_text('{"format": "vicinal documents", "index": "precious.vcn"}\n')
    points().save_local(tmp_path)
    assert precious.read_text() == "mine"
