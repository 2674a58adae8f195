"""A LlamaIndex vector store on a Collection.

>>> from llama_index.core.schema import TextNode
>>> from llama_index.core.vector_stores.types import VectorStoreQuery
>>> from vicinal.llama_index import VicinalVectorStore
>>> store = VicinalVectorStore()
>>> store.add([TextNode(id_="r", text="red", embedding=[1.0, 0.0]), TextNode(id_="g", text="green", embedding=[0.0, 1.0])])
['r', 'g']
>>> store.query(VectorStoreQuery(query_embedding=[0.1, 1.0], similarity_top_k=1)).ids
['g']
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import tempfile
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

try:
    import fsspec  # type: ignore[import-untyped]
    from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings
    from llama_index.core.schema import BaseNode
    from llama_index.core.vector_stores.types import (
        DEFAULT_PERSIST_DIR,
        DEFAULT_PERSIST_FNAME,
        BasePydanticVectorStore,
        FilterCondition,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import build_metadata_filter_fn, metadata_dict_to_node, node_to_metadata_dict
except ImportError as error:
    raise ImportError("vicinal.llama_index needs llama-index-core: pip install vicinal[llama-index]") from error

from . import _document_files
from ._collection import Collection
from ._documents import Documents, similarity
from ._errors import InvalidArgument, Unsupported
from ._functions import DEFAULT_SPEC

__all__ = ["VicinalVectorStore"]

_KIND = "llama-index"
# Candidates that marginal relevance chooses from, for each result wanted.
_MMR_FACTOR = 4

Matcher = Callable[[str, BaseNode], bool]


def _copy(node: BaseNode) -> BaseNode:
    """A node of the caller's own, which can be changed without changing the store."""
    return node.model_copy(deep=True)


def _metadata(node: BaseNode) -> Mapping[str, Any]:
    """What filters see: the metadata, and the source document under the names LlamaIndex gives it."""
    source = node.ref_doc_id or "None"
    return {**node.metadata, "document_id": source, "doc_id": source, "ref_doc_id": source}


def _metadata_matcher(filters: MetadataFilters) -> Callable[[Mapping[str, Any]], bool]:
    """Nested filters; a single one means what it means to LlamaIndex's own store."""
    parts: list[Callable[[Mapping[str, Any]], bool]] = []
    for part in filters.filters:
        if isinstance(part, MetadataFilters):
            parts.append(_metadata_matcher(part))
        else:
            parts.append(_single_matcher(MetadataFilters(filters=[part])))
    condition = filters.condition or FilterCondition.AND
    if not parts:
        return lambda metadata: True
    if condition == FilterCondition.AND:
        return lambda metadata: all(part(metadata) for part in parts)
    if condition == FilterCondition.OR:
        return lambda metadata: any(part(metadata) for part in parts)
    return lambda metadata: not any(part(metadata) for part in parts)


def _single_matcher(filters: MetadataFilters) -> Callable[[Mapping[str, Any]], bool]:
    shown: list[Mapping[str, Any]] = [{}]  # a matcher serves one search, in one thread
    asked = build_metadata_filter_fn(lambda _: shown[0], filters)

    def matches(metadata: Mapping[str, Any]) -> bool:
        shown[0] = metadata
        return asked("")

    return matches


def _matcher(
    node_ids: Sequence[str] | None, doc_ids: Sequence[str] | None, filters: MetadataFilters | None
) -> Matcher | None:
    """All of the restrictions that are given; None when none is."""
    if node_ids is None and doc_ids is None and (filters is None or not filters.filters):
        return None
    nodes = None if node_ids is None else set(node_ids)
    sources = None if doc_ids is None else set(doc_ids)
    condition = None if filters is None else _metadata_matcher(filters)

    def matches(key: str, node: BaseNode) -> bool:
        return (
            (nodes is None or key in nodes)
            and (sources is None or node.ref_doc_id in sources)
            and (condition is None or condition(_metadata(node)))
        )

    return matches


class VicinalVectorStore(BasePydanticVectorStore):
    """Nodes in memory, searched through a Collection; `persist` writes two files.

    Similarities are larger for what is nearer: the cosine, the inner product, or 1 / (1 + Euclidean distance). `query` takes
    `recall` or `effort` as Collection.search does (`vector_store_kwargs` of a retriever). A filtered query returns
    similarity_top_k nodes whenever that many match. Safe to use from many threads.
    """

    stores_text: bool = True
    metric: str = "cosine"
    spec: str = DEFAULT_SPEC
    seed: int = 1
    threads: int | None = None

    _documents: Documents[BaseNode] = PrivateAttr()

    def __init__(
        self,
        *,
        metric: str = "cosine",
        spec: str = DEFAULT_SPEC,
        seed: int = 1,
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        """An empty store; arguments as for Collection."""
        super().__init__(metric=metric, spec=spec, seed=seed, threads=threads, **kwargs)  # type: ignore[call-arg]
        self._documents = Documents(spec, metric=metric, seed=seed, threads=threads)

    @classmethod
    def class_name(cls) -> str:
        return "VicinalVectorStore"

    @property
    def client(self) -> Collection | None:
        """The vectors; None before there were any."""
        return self._documents.collection

    def __len__(self) -> int:
        return len(self._documents)

    def __bool__(self) -> bool:
        # Frameworks ask `if vector_store:` and take another one for an empty store that says no.
        return True

    # Changes

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Stores nodes, which have an embedding each, in place of those that had their ids."""
        keys = [node.node_id for node in nodes]
        vectors = [node.get_embedding() for node in nodes]
        # The embedding is held once, by the Collection.
        payloads = [node.model_copy(update={"embedding": None}).model_copy(deep=True) for node in nodes]
        self._documents.put(keys, payloads, vectors)
        return keys

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Removes all nodes of a source document."""
        with self._documents.lock:
            self._documents.remove([key for key, _ in self._documents.select(lambda _, node: node.ref_doc_id == ref_doc_id)])

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Removes the nodes that have these ids and match the filters. Unknown ids are not an error."""
        matches = _matcher(node_ids, None, filters)
        if matches is None:
            raise InvalidArgument("delete_nodes got neither node_ids nor filters, expected one (clear removes everything)")
        with self._documents.lock:
            self._documents.remove([key for key, _ in self._documents.select(matches)])

    def clear(self) -> None:
        self._documents.clear()

    # Reading

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The nodes that have these ids, in their order, and match the filters; all without either. Without embeddings."""
        matches = _matcher(None, None, filters)
        found = self._documents.select(matches) if node_ids is None else self._documents.get(node_ids)
        return [_copy(node) for key, node in found if matches is None or matches(key, node)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes nearest to query.query_embedding, nearest first.

        Keyword arguments: `recall` or `effort`; for the mode MMR also `mmr_threshold` (1: by nearness alone, 0: unlike each
        other) and `mmr_prefetch_k` or `mmr_prefetch_factor`, the candidates to choose from.
        """
        if query.mode not in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
            raise Unsupported(f"query mode is {query.mode.value}, expected default or mmr")
        if query.query_embedding is None:
            raise InvalidArgument("the query has no query_embedding")
        diverse = query.mode == VectorStoreQueryMode.MMR
        allowed = {"recall", "effort"} | ({"mmr_threshold", "mmr_prefetch_k", "mmr_prefetch_factor"} if diverse else set())
        if set(kwargs) - allowed:
            raise InvalidArgument(
                f"unknown query arguments {', '.join(sorted(set(kwargs) - allowed))}, expected {', '.join(sorted(allowed))}"
            )
        k = query.similarity_top_k
        fetched = k
        if diverse and k > 0:
            factor = kwargs.get("mmr_prefetch_factor", _MMR_FACTOR)
            fetched = max(k, int(kwargs.get("mmr_prefetch_k", k * factor)))
        # A retriever of an index whose store holds the text passes an empty node_ids: it restricts nothing.
        found = self._documents.search(
            query.query_embedding, fetched, matches=_matcher(query.node_ids or None, query.doc_ids or None, query.filters),
            recall=kwargs.get("recall"), effort=kwargs.get("effort"), vectors=diverse,
        )
        scores = [similarity(self.metric, one.distance) for one in found]
        if diverse and found:
            threshold = kwargs.get("mmr_threshold", query.mmr_threshold)
            rows = [one.vector.tolist() for one in found if one.vector is not None]
            scores, ranks = get_top_k_mmr_embeddings(
                query.query_embedding, rows, similarity_top_k=k, embedding_ids=list(range(len(rows))), mmr_threshold=threshold
            )
            found = [found[rank] for rank in ranks]
        return VectorStoreQueryResult(
            nodes=[_copy(one.payload) for one in found], similarities=scores, ids=[one.key for one in found]
        )

    # Files

    def persist(
        self,
        persist_path: str = os.path.join(DEFAULT_PERSIST_DIR, DEFAULT_PERSIST_FNAME),
        fs: fsspec.AbstractFileSystem | None = None,
    ) -> None:
        """Writes the nodes to `persist_path` (JSON lines) and the index beside it (`<persist_path>.<token>.vcn`).

        Whole or not at all on a local file system; elsewhere as safe as `fs` is.
        """
        if fs is None or isinstance(fs, LocalFileSystem):
            _document_files.save(self._documents, persist_path, _KIND, _encode)
            return
        with tempfile.TemporaryDirectory(prefix="vicinal-") as folder:
            target, name = posixpath.split(persist_path)
            # The index first: the lines name it.
            for written in _document_files.save(self._documents, Path(folder) / name, _KIND, _encode):
                fs.makedirs(target, exist_ok=True)
                fs.put(str(written), posixpath.join(target, written.name))

    @classmethod
    def from_persist_path(
        cls,
        persist_path: str,
        fs: fsspec.AbstractFileSystem | None = None,
        *,
        mmap: bool = False,
        threads: int | None = None,
    ) -> VicinalVectorStore:
        """What `persist` wrote; `mmap` as for vicinal.open."""
        if fs is None or isinstance(fs, LocalFileSystem):
            documents = _document_files.load(persist_path, _KIND, _decode, mmap=mmap, threads=threads)
        else:
            with tempfile.TemporaryDirectory(prefix="vicinal-") as folder:
                local = Path(folder) / posixpath.basename(persist_path)
                fs.get(persist_path, str(local))
                index = _document_files.index_name(local)
                if index is not None:
                    fs.get(posixpath.join(posixpath.dirname(persist_path), index), str(local.with_name(index)))
                documents = _document_files.load(local, _KIND, _decode, threads=threads)
        store = cls(metric=documents.metric, spec=documents.spec, seed=documents.seed, threads=threads)
        store._documents = documents
        return store

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str = DEFAULT_PERSIST_DIR,
        namespace: str = "default",
        fs: fsspec.AbstractFileSystem | None = None,
    ) -> VicinalVectorStore:
        """What StorageContext.persist wrote into a folder."""
        return cls.from_persist_path(posixpath.join(persist_dir, f"{namespace}__{DEFAULT_PERSIST_FNAME}"), fs)

    # BaseComponent would pickle the settings and lose the nodes.

    def __getstate__(self) -> dict[str, Any]:
        return {"fields": dict(self.__dict__), "documents": self._documents}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["fields"])  # type: ignore[misc]
        self._documents = state["documents"]

    # Everything in a thread

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        await asyncio.to_thread(self.clear)

    async def aget_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        return await asyncio.to_thread(self.query, query, **kwargs)


def _encode(node: BaseNode) -> dict[str, Any]:
    written = node_to_metadata_dict(node)
    return {"type": written["_node_type"], "node": written["_node_content"]}


def _decode(value: Any) -> BaseNode:
    return metadata_dict_to_node({"_node_type": value["type"], "_node_content": value["node"]})
