"""A LangChain vector store on a Collection.

>>> from langchain_core.embeddings import DeterministicFakeEmbedding
>>> from vicinal.langchain import VicinalVectorStore
>>> store = VicinalVectorStore.from_texts(["red", "green"], DeterministicFakeEmbedding(size=8), ids=["r", "g"])
>>> [document.id for document in store.similarity_search("green", k=1)]
['g']
"""

from __future__ import annotations

import copy
import os
import uuid
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence, Union

import numpy as np

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables.config import run_in_executor
    from langchain_core.vectorstores import VectorStore
    from langchain_core.vectorstores.utils import maximal_marginal_relevance
except ImportError as error:
    raise ImportError("vicinal.langchain needs langchain-core: pip install vicinal[langchain]") from error

from . import _document_files
from ._collection import Collection
from ._documents import Documents, Found, Vector, similarity
from ._errors import InvalidArgument
from ._functions import DEFAULT_SPEC

__all__ = ["VicinalVectorStore"]

Filter = Union[dict[str, Any], Callable[[Document], bool], None]

_KIND, _FILE = "langchain", "documents.jsonl"
_ABSENT = object()


def _copy(document: Document) -> Document:
    """A document of the caller's own: metadata can be changed without changing the store."""
    return document.model_copy(update={"metadata": copy.deepcopy(document.metadata)})


def _matcher(given: Filter) -> Callable[[str, Document], bool] | None:
    if given is None:
        return None
    if callable(given):
        condition = given
        return lambda _, document: bool(condition(document))
    if not isinstance(given, dict):
        raise InvalidArgument(f"filter is {given!r}, expected a dict of metadata or a function of a Document")
    wanted = dict(given)

    def matches(_: str, document: Document) -> bool:
        return all(bool(document.metadata.get(name, _ABSENT) == value) for name, value in wanted.items())

    return matches


class VicinalVectorStore(VectorStore):
    """Documents in memory, searched through a Collection and saved as a folder.

    Every search takes `filter`, a dict of metadata that must be equal or a function of a Document, and `recall` or `effort` as
    Collection.search does. A filtered search returns k documents whenever k match. Scores are distances: smaller is nearer.
    Safe to use from many threads.
    """

    def __init__(
        self,
        embedding: Embeddings,
        *,
        metric: str = "cosine",
        spec: str = DEFAULT_SPEC,
        seed: int = 1,
        threads: int | None = None,
        relevance_score_fn: Callable[[float], float] | None = None,
    ) -> None:
        """An empty store; `spec` and what follows as for Collection.

        `relevance_score_fn` makes a score in [0, 1] of a distance. Default: the cosine, or the inner product (of unit vectors),
        both cut off at 0 and 1; for l2, 1 / (1 + Euclidean distance).
        """
        self._embedding = embedding
        self._relevance_score_fn = relevance_score_fn
        self._documents: Documents[Document] = Documents(spec, metric=metric, seed=seed, threads=threads)

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    @property
    def collection(self) -> Collection | None:
        """The vectors; None before there were any."""
        return self._documents.collection

    def __len__(self) -> int:
        return len(self._documents)

    def __bool__(self) -> bool:
        # Frameworks ask `if vector_store:` and take another one for an empty store that says no.
        return True

    # Changes

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embeds and stores texts, in place of documents that had these ids; returns the ids. None is given a new one."""
        texts = list(texts)
        return self._put(texts, self._embedding.embed_documents(texts) if texts else [], metadatas, ids)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        texts = list(texts)
        vectors = await self._embedding.aembed_documents(texts) if texts else []
        return await run_in_executor(None, self._put, texts, vectors, metadatas, ids)

    def add_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, Vector]],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """As add_texts, of pairs of a text and its embedding."""
        pairs = list(text_embeddings)
        return self._put([text for text, _ in pairs], [vector for _, vector in pairs], metadatas, ids)

    def _put(
        self,
        texts: list[str],
        vectors: Sequence[Vector],
        metadatas: Sequence[dict[str, Any]] | None,
        ids: Sequence[str | None] | None,
    ) -> list[str]:
        if metadatas is not None and len(metadatas) != len(texts):
            raise InvalidArgument(f"{len(metadatas)} metadatas for {len(texts)} texts, expected one each")
        if ids is not None and len(ids) != len(texts):
            raise InvalidArgument(f"{len(ids)} ids for {len(texts)} texts, expected one each")
        keys = [str(uuid.uuid4()) if key is None else key for key in ids or [None] * len(texts)]
        documents = [
            Document(id=key, page_content=text, metadata=copy.deepcopy(metadata or {}))
            for key, text, metadata in zip(keys, texts, metadatas or [{}] * len(texts))
        ]
        self._documents.put(keys, documents, vectors)
        return keys

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Removes documents; None removes all. Unknown ids are not an error."""
        if ids is None:
            self._documents.clear()
        else:
            self._documents.remove([ids] if isinstance(ids, str) else ids)
        return True

    # Reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Those of the documents that are there, in the order of `ids`."""
        return [_copy(document) for _, document in self._documents.get(ids)]

    def _found(self, vector: Vector, k: int, filter: Filter, vectors: bool = False, **kwargs: Any) -> list[Found[Document]]:
        unknown = set(kwargs) - {"recall", "effort"}
        if unknown:
            raise InvalidArgument(f"unknown search arguments {', '.join(sorted(unknown))}, expected filter, recall or effort")
        return self._documents.search(vector, k, matches=_matcher(filter), vectors=vectors, **kwargs)

    def similarity_search_with_score_by_vector(
        self, embedding: Vector, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k nearest documents with their distances, nearest first."""
        return [(_copy(found.payload), found.distance) for found in self._found(embedding, k, filter, **kwargs)]

    def similarity_search_by_vector(
        self, embedding: Vector, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[Document]:
        return [_copy(found.payload) for found in self._found(embedding, k, filter, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k nearest documents with their distances, nearest first."""
        return self.similarity_search_with_score_by_vector(self._embedding.embed_query(query), k, filter, **kwargs)

    def similarity_search(self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any) -> list[Document]:
        return self.similarity_search_by_vector(self._embedding.embed_query(query), k, filter, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Vector,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        """k of the `fetch_k` nearest, chosen to be near (lambda_mult = 1) or unlike each other (0), by cosine."""
        nearest = self._found(embedding, max(k, fetch_k), filter, vectors=True, **kwargs)
        rows = [found.vector.tolist() for found in nearest if found.vector is not None]
        chosen = maximal_marginal_relevance(np.asarray(embedding, dtype=np.float32), rows, lambda_mult=lambda_mult, k=k)
        return [_copy(nearest[rank].payload) for rank in chosen]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self._relevance_score_fn is not None:
            return self._relevance_score_fn
        metric = self._documents.metric
        return lambda distance: min(1.0, max(0.0, similarity(metric, distance)))

    # Queries embedded by the model's own asynchronous method, everything else in a thread

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        vector = await self._embedding.aembed_query(query)
        return await run_in_executor(None, self.similarity_search_with_score_by_vector, vector, k, filter, **kwargs)

    async def asimilarity_search(self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any) -> list[Document]:
        vector = await self._embedding.aembed_query(query)
        return await run_in_executor(None, self.similarity_search_by_vector, vector, k, filter, **kwargs)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        vector = await self._embedding.aembed_query(query)
        search = self.max_marginal_relevance_search_by_vector
        return await run_in_executor(None, search, vector, k, fetch_k, lambda_mult, filter, **kwargs)

    # Making and keeping

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> VicinalVectorStore:
        """A store of these texts; other arguments as for the class."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> VicinalVectorStore:
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    def save_local(self, folder_path: str | os.PathLike[str]) -> None:
        """Writes documents (JSON lines) and index (`.vcn`) into a folder: whole or not at all. Metadata must be JSON's."""
        def encode(document: Document) -> dict[str, Any]:
            return {"page_content": document.page_content, "metadata": document.metadata, "id": document.id}

        _document_files.save(self._documents, Path(folder_path) / _FILE, _KIND, encode)

    @classmethod
    def load_local(
        cls,
        folder_path: str | os.PathLike[str],
        embeddings: Embeddings,
        *,
        mmap: bool = False,
        threads: int | None = None,
        relevance_score_fn: Callable[[float], float] | None = None,
    ) -> VicinalVectorStore:
        """What save_local wrote; `mmap` as for vicinal.open. Nothing in the folder is executed."""
        documents = _document_files.load(
            Path(folder_path) / _FILE, _KIND, lambda value: Document(**value), mmap=mmap, threads=threads
        )
        store = cls(
            embeddings, metric=documents.metric, spec=documents.spec, seed=documents.seed, threads=threads,
            relevance_score_fn=relevance_score_fn,
        )
        store._documents = documents
        return store
