"""A Haystack document store on a Collection, and its retriever.

>>> from haystack import Document
>>> from vicinal.haystack import VicinalDocumentStore, VicinalEmbeddingRetriever
>>> store = VicinalDocumentStore()
>>> store.write_documents([Document(id="r", embedding=[1.0, 0.0]), Document(id="g", embedding=[0.0, 1.0])])
2
>>> [document.id for document in VicinalEmbeddingRetriever(store, top_k=1).run([0.1, 1.0])["documents"]]
['g']

Haystack reads pipelines from YAML only where it trusts a component's module: `Pipeline.loads(text,
allowed_modules=["vicinal.haystack"])`.
"""

from __future__ import annotations

import asyncio
import copy
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterable

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.document_stores.errors import DuplicateDocumentError
    from haystack.document_stores.types import DuplicatePolicy, FilterPolicy, apply_filter_policy
    from haystack.utils.filters import document_matches_filter
except ImportError as error:
    raise ImportError("vicinal.haystack needs haystack-ai: pip install vicinal[haystack]") from error

from . import _document_files
from ._collection import Collection
from ._documents import Documents, similarity
from ._errors import InvalidArgument, WrongType
from ._functions import DEFAULT_SPEC
from ._haystack_metadata import MetadataQueries

__all__ = ["VicinalDocumentStore", "VicinalEmbeddingRetriever"]

Filters = dict[str, Any]
Matcher = Callable[[str, Document], bool]

_KIND, _FILE = "haystack", "documents.jsonl"
# Inner products of unscaled embeddings run into the hundreds; Haystack's own store divides by this before the logistic function.
_IP_SCALE = 100


def _asks_for_embedding(filters: Filters) -> bool:
    return filters.get("field") == "embedding" or any(_asks_for_embedding(part) for part in filters.get("conditions", ()))


def _scaled(metric: str, score: float) -> float:
    """A similarity as a number in [0, 1]."""
    if metric == "cosine":
        return (score + 1) / 2
    if metric == "ip":
        return 0.5 * (1 + math.tanh(score / _IP_SCALE / 2))  # the logistic function, without overflow
    return score


class VicinalDocumentStore(MetadataQueries):
    """Documents in memory, with or without embedding, searched through a Collection and saved as a folder.

    Embeddings are held by the Collection only, as float32 and later as precise as `spec` makes them (of length 1 for cosine);
    that is what documents come back with. Safe to use from many threads.
    """

    def __init__(
        self,
        *,
        metric: str = "cosine",
        spec: str = DEFAULT_SPEC,
        seed: int = 1,
        threads: int | None = None,
        return_embedding: bool = True,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        """`metric` to `threads` as for Collection.

        Parameters
        ----------
        return_embedding : bool
            Whether filter_documents returns documents with their embedding.
        path : str, optional
            A folder. What was saved there is loaded, and save() writes there: a pipeline that is read from YAML finds its
            documents again.
        """
        self._documents: Documents[Document] = Documents(spec, metric=metric, seed=seed, threads=threads)
        self._return_embedding = return_embedding
        self._path = None if path is None else os.fspath(path)
        if self._path is not None and (Path(self._path) / _FILE).exists():
            saved = _read(self._path, threads=threads)
            if (saved.metric, saved.spec) != (metric, self._documents.spec):
                raise InvalidArgument(
                    f"{self._path} holds {saved.metric}, {saved.spec}; the store was to be {metric}, {self._documents.spec}"
                )
            self._documents = saved

    @property
    def collection(self) -> Collection | None:
        """The vectors; None before there were any."""
        return self._documents.collection

    def to_dict(self) -> dict[str, Any]:
        """The settings, without the documents: those are found again by `path`."""
        held = self._documents
        return default_to_dict(
            self, metric=held.metric, spec=held.spec, seed=held.seed, threads=held.threads,
            return_embedding=self._return_embedding, path=self._path,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VicinalDocumentStore:
        return default_from_dict(cls, data)

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Writes documents (JSON lines) and index (`.vcn`) into a folder, by default `path`: whole or not at all."""
        folder = self._path if path is None else path
        if folder is None:
            raise InvalidArgument("save got no path, and the store was made without one")

        def encode(document: Document) -> dict[str, Any]:
            return document.to_dict(flatten=False)

        _document_files.save(self._documents, Path(folder) / _FILE, _KIND, encode)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        mmap: bool = False,
        threads: int | None = None,
        return_embedding: bool = True,
    ) -> VicinalDocumentStore:
        """What save() wrote; `mmap` as for vicinal.open."""
        saved = _read(path, mmap=mmap, threads=threads)
        store = cls(metric=saved.metric, spec=saved.spec, seed=saved.seed, threads=threads, return_embedding=return_embedding)
        store._documents, store._path = saved, os.fspath(path)
        return store

    # The protocol

    def count_documents(self) -> int:
        return len(self._documents)

    def filter_documents(self, filters: Filters | None = None) -> list[Document]:
        """The documents that match, in the order in which they were written."""
        with self._documents.lock:
            found = self._documents.select(self._matcher(filters))
            vectors = self._documents.vectors([key for key, _ in found]) if self._return_embedding else {}
        return [_copy(document, vectors.get(key)) for key, document in found]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Stores documents; returns how many. Without a policy an id that is there already is an error. Nothing is
        written when there is one."""
        if not isinstance(documents, Iterable) or isinstance(documents, (str, dict)):
            raise InvalidArgument(f"documents are {type(documents).__name__}, expected a list of Document")
        documents = list(documents)
        for document in documents:
            if not isinstance(document, Document):
                raise InvalidArgument(f"documents hold {type(document).__name__}, expected Document")
        with self._documents.lock:
            kept: dict[str, Document] = {}
            for document in documents:
                if policy != DuplicatePolicy.OVERWRITE and (document.id in kept or document.id in self._documents):
                    if policy != DuplicatePolicy.SKIP:
                        raise DuplicateDocumentError(f"ID '{document.id}' already exists.")
                    continue
                kept[document.id] = document
            self._documents.put(
                list(kept), [_copy(document, None) for document in kept.values()],
                [document.embedding for document in kept.values()],
            )
        return len(documents) if policy == DuplicatePolicy.OVERWRITE else len(kept)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Removes documents. Unknown ids are not an error."""
        self._documents.remove(document_ids)

    # Beyond the protocol, as Haystack's own stores

    def delete_all_documents(self) -> None:
        self._documents.clear()

    def delete_by_filter(self, filters: Filters) -> int:
        """Removes the documents that match; returns how many."""
        with self._documents.lock:
            return self._documents.remove([key for key, _ in self._documents.select(self._matcher(filters))])

    def update_by_filter(self, filters: Filters, meta: dict[str, Any]) -> int:
        """Merges `meta` into that of the documents that match; returns how many."""
        with self._documents.lock:
            found = self._documents.select(self._matcher(filters))
            self._documents.update(
                {key: replace(document, meta={**document.meta, **copy.deepcopy(meta)}) for key, document in found}
            )
        return len(found)

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        filters: Filters | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
        *,
        recall: float | None = None,
        effort: int | None = None,
    ) -> list[Document]:
        """The nearest documents that match and have an embedding, nearest first: top_k whenever there are as many.

        The score is the cosine, the inner product, or 1 / (1 + Euclidean distance); `scale_score` brings it into [0, 1].
        `recall` or `effort` as for Collection.search.
        """
        if len(query_embedding) == 0:
            raise InvalidArgument("query_embedding has no values")
        found = self._documents.search(
            query_embedding, top_k, matches=self._matcher(filters), recall=recall, effort=effort, vectors=return_embedding
        )
        metric, results = self._documents.metric, []
        for one in found:
            score = similarity(metric, one.distance)
            results.append(replace(_copy(one.payload, one.vector), score=_scaled(metric, score) if scale_score else score))
        return results

    # The same in a thread

    async def count_documents_async(self) -> int:
        return self.count_documents()

    async def filter_documents_async(self, filters: Filters | None = None) -> list[Document]:
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        await asyncio.to_thread(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: Filters) -> int:
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: Filters, meta: dict[str, Any]) -> int:
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    async def embedding_retrieval_async(self, *args: Any, **kwargs: Any) -> list[Document]:
        """As embedding_retrieval."""
        return await asyncio.to_thread(self.embedding_retrieval, *args, **kwargs)

    def _metas(self, filters: Filters | None) -> list[dict[str, Any]]:
        return [document.meta for _, document in self._documents.select(self._matcher(filters))]

    def _matcher(self, filters: Filters | None) -> Matcher | None:
        if not filters:
            return None
        if not isinstance(filters, dict):
            raise WrongType(f"filters are {type(filters).__name__}, expected a dict")
        if not _asks_for_embedding(filters):
            return lambda _, document: document_matches_filter(filters, document)

        def matches(key: str, document: Document) -> bool:
            vector = self._documents.vectors([key]).get(key)
            return document_matches_filter(filters, _copy(document, vector))

        return matches


def _copy(document: Document, vector: Any) -> Document:
    """A document of the caller's own, with the vector as its embedding."""
    return replace(document, meta=copy.deepcopy(document.meta), embedding=None if vector is None else vector.tolist())


def _read(path: str | os.PathLike[str], *, mmap: bool = False, threads: int | None = None) -> Documents[Document]:
    return _document_files.load(Path(path) / _FILE, _KIND, Document.from_dict, mmap=mmap, threads=threads)


@component
class VicinalEmbeddingRetriever:
    """Retrieves from a VicinalDocumentStore the documents nearest to an embedding."""

    def __init__(
        self,
        document_store: VicinalDocumentStore,
        filters: Filters | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        recall: float | None = None,
        effort: int | None = None,
    ) -> None:
        """Defaults for `run`; `filter_policy` says whether filters given there replace these or are merged with them."""
        if not isinstance(document_store, VicinalDocumentStore):
            raise WrongType(f"document_store is {type(document_store).__name__}, expected VicinalDocumentStore")
        if top_k < 1:
            raise InvalidArgument(f"top_k is {top_k}, expected at least 1")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.scale_score = scale_score
        self.return_embedding = return_embedding
        self.filter_policy = filter_policy if isinstance(filter_policy, FilterPolicy) else FilterPolicy.from_str(filter_policy)
        self.recall = recall
        self.effort = effort

    def to_dict(self) -> dict[str, Any]:
        return default_to_dict(
            self, document_store=self.document_store.to_dict(), filters=self.filters, top_k=self.top_k,
            scale_score=self.scale_score, return_embedding=self.return_embedding, filter_policy=self.filter_policy.value,
            recall=self.recall, effort=self.effort,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VicinalEmbeddingRetriever:
        parameters = dict(data.get("init_parameters", {}))
        if isinstance(parameters.get("document_store"), dict):
            parameters["document_store"] = VicinalDocumentStore.from_dict(parameters["document_store"])
        return default_from_dict(cls, {**data, "init_parameters": parameters})

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: Filters | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
        recall: float | None = None,
        effort: int | None = None,
    ) -> dict[str, list[Document]]:
        """{"documents": nearest first}; what is not given is as in the constructor."""
        given = self._arguments(filters, top_k, scale_score, return_embedding, recall, effort)
        return {"documents": self.document_store.embedding_retrieval(query_embedding, **given)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: Filters | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
        recall: float | None = None,
        effort: int | None = None,
    ) -> dict[str, list[Document]]:
        given = self._arguments(filters, top_k, scale_score, return_embedding, recall, effort)
        return {"documents": await self.document_store.embedding_retrieval_async(query_embedding, **given)}

    def _arguments(
        self,
        filters: Filters | None,
        top_k: int | None,
        scale_score: bool | None,
        return_embedding: bool | None,
        recall: float | None,
        effort: int | None,
    ) -> dict[str, Any]:
        # Recall and effort exclude each other: one given here overrides both of the constructor.
        if recall is None and effort is None:
            recall, effort = self.recall, self.effort
        return {
            "filters": apply_filter_policy(self.filter_policy, self.filters, filters),
            "top_k": self.top_k if top_k is None else top_k,
            "scale_score": self.scale_score if scale_score is None else scale_score,
            "return_embedding": self.return_embedding if return_embedding is None else return_embedding,
            "recall": recall,
            "effort": effort,
        }
