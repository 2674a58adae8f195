"""Documents under string keys in front of a Collection: what the LangChain, LlamaIndex and Haystack adapters share."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Callable, Generic, Iterable, Mapping, NamedTuple, Sequence, TypeVar, Union

import numpy as np
import numpy.typing as npt

from ._collection import Collection
from ._errors import InvalidArgument, WrongType
from ._functions import DEFAULT_SPEC
from ._vicinal import Index

Payload = TypeVar("Payload")
Vector = Union[Sequence[float], npt.NDArray[Any]]


@dataclass(frozen=True)
class Found(Generic[Payload]):
    """One result of a search."""

    key: str
    payload: Payload
    distance: float
    vector: npt.NDArray[np.float32] | None  # (dim,), where vectors were asked for


class Entry(NamedTuple):
    """A document as it is held. Replaced, never changed: a search may be reading it."""

    id: int
    payload: Any
    has_vector: bool


@dataclass(frozen=True)
class Contents(Generic[Payload]):
    """Everything there was at one moment."""

    entries: list[tuple[str, Entry]]
    next_id: int
    index: Index | None


def similarity(metric: str, distance: float) -> float:
    """Larger is nearer: the cosine, the inner product, or 1 / (1 + Euclidean distance)."""
    if metric == "l2":
        return 1.0 / (1.0 + float(np.sqrt(max(0.0, distance))))
    # A cosine may be off by a rounding; scores beyond the bounds make frameworks complain.
    return min(1.0, max(-1.0, 1.0 - distance)) if metric == "cosine" else -distance


def float_vectors(vectors: Sequence[Vector], what: str = "embedding") -> npt.NDArray[np.float32]:
    """Lists of Python floats as (n, dim) float32."""
    widths = [len(vector) for vector in vectors]
    for row, width in enumerate(widths):
        if width != widths[0]:
            raise InvalidArgument(f"{what} {row} has {width} values, {what} 0 has {widths[0]}")
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused with row and column
            return np.asarray(vectors, dtype=np.float32).reshape(len(widths), widths[0] if widths else 0)
    except (TypeError, ValueError) as error:
        raise WrongType(f"{what}s cannot be read as float32: {error}") from None


class Documents(Generic[Payload]):
    """Payloads under string keys, in order of arrival, each with a vector or without.

    Keys get consecutive int64 ids, which the Collection knows them by. The dimension is that of the first vectors, and is learnt
    anew once no vector is left. Safe to use from many threads: a search answers from the state before or after a change; `lock`
    makes several calls one. A call that raises has changed nothing.
    """

    def __init__(self, spec: str = DEFAULT_SPEC, *, metric: str, seed: int = 1, threads: int | None = None) -> None:
        self.lock = threading.RLock()
        self.metric, self.seed, self.threads = metric, seed, threads
        self.spec = Collection(1, spec, metric=metric, seed=seed, threads=threads).spec  # refuses what is wrong right away
        self._collection: Collection | None = None
        self._entries: dict[str, Entry] = {}
        self._key_of: dict[int, str] = {}
        self._next_id = 0
        self._version = 0  # of the content: counts the changes

    @property
    def collection(self) -> Collection | None:
        """The vectors; None before there were any."""
        return self._collection

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    # Changes

    def put(self, keys: Sequence[str], payloads: Sequence[Payload], vectors: Sequence[Vector | None]) -> None:
        """Stores documents, in place of those that had these keys; of a key given twice the last stays."""
        if not len(keys) == len(payloads) == len(vectors):
            given_counts = f"{len(keys)} ids, {len(payloads)} documents and {len(vectors)} embeddings"
            raise InvalidArgument(f"{given_counts}, expected as many of each")
        for key in keys:
            if not isinstance(key, str):
                raise WrongType(f"id {key!r} is {type(key).__name__}, expected str")
        row_of = {key: row for row, key in enumerate(keys)}
        given = {key: vector for key, row in row_of.items() if (vector := vectors[row]) is not None}
        rows = float_vectors(list(given.values()))
        with self.lock:
            ids, next_id = {}, self._next_id
            for key in row_of:
                known = self._entries.get(key)
                ids[key] = next_id if known is None else known.id
                next_id += known is None
            collection = self._collection
            if given:
                if collection is None or not len(collection):
                    collection = self._new_collection(rows.shape[1])
                collection.upsert(rows, [ids[key] for key in given])
            if collection is not None:
                collection.remove([ids[key] for key in row_of if key not in given])
            self._collection, self._next_id = collection, next_id
            for key, row in row_of.items():
                self._entries[key] = Entry(ids[key], payloads[row], key in given)
                self._key_of[ids[key]] = key
            self._version += 1

    def update(self, payloads: Mapping[str, Payload]) -> None:
        """New payloads for keys that are there; vectors stay."""
        with self.lock:
            for key, payload in payloads.items():
                self._entries[key] = self._entries[key]._replace(payload=payload)
            self._version += 1

    def remove(self, keys: Iterable[str]) -> int:
        """Removes documents; returns how many there were. Unknown keys are not an error."""
        with self.lock:
            known = [key for key in dict.fromkeys(keys) if key in self._entries]
            if self._collection is not None:
                self._collection.remove([self._entries[key].id for key in known])
            for key in known:
                del self._key_of[self._entries.pop(key).id]
            self._version += bool(known)
            return len(known)

    def clear(self) -> None:
        with self.lock:
            self._collection, self._entries, self._key_of = None, {}, {}
            self._version += 1

    # Reading

    def select(self, matches: Callable[[str, Payload], bool] | None = None) -> list[tuple[str, Payload]]:
        """Keys and payloads that match, in order of arrival."""
        with self.lock:
            entries = list(self._entries.items())
        return [(key, entry.payload) for key, entry in entries if matches is None or matches(key, entry.payload)]

    def get(self, keys: Iterable[str]) -> list[tuple[str, Payload]]:
        """Those of `keys` that are there, in this order, each once."""
        with self.lock:
            return [(key, self._entries[key].payload) for key in dict.fromkeys(keys) if key in self._entries]

    def vectors(self, keys: Iterable[str]) -> dict[str, npt.NDArray[np.float32]]:
        """The vectors, (dim,), of those of `keys` that have one: as precise as the Collection holds them."""
        with self.lock:
            ids = {key: self._entries[key].id for key in keys if key in self._entries and self._entries[key].has_vector}
            if self._collection is None or not ids:
                return {}
            return dict(zip(ids, self._collection.get(list(ids.values()))))

    def search(
        self,
        vector: Vector,
        k: int,
        *,
        matches: Callable[[str, Payload], bool] | None = None,
        recall: float | None = None,
        effort: int | None = None,
        vectors: bool = False,
    ) -> list[Found[Payload]]:
        """The k nearest documents, nearest first; never fewer than there are with a vector that match.

        `matches` is asked once for every document, not for candidates only; it must not change what it is shown.
        """
        if k < 0:
            raise InvalidArgument(f"k is {k}, expected 0 or more")
        query = float_vectors([vector], "query")[0]
        options = {"recall": recall, "effort": effort}
        if k == 0:
            return []
        found = self._attempt(query, k, matches, options, vectors)
        while found is None:
            # What was read belongs to two states: once more, while nothing can change.
            with self.lock:
                found = self._attempt(query, k, matches, options, vectors)
        return found

    def _attempt(
        self,
        query: npt.NDArray[np.float32],
        k: int,
        matches: Callable[[str, Payload], bool] | None,
        options: dict[str, Any],
        vectors: bool,
    ) -> list[Found[Payload]] | None:
        """A search without the lock; None when something changed in the meantime."""
        with self.lock:
            version, collection = self._version, self._collection
            most = 0 if collection is None else len(collection)
            entries = list(self._entries.items()) if matches is not None else []
        allowed = None
        if matches is not None:
            passing = [entry.id for key, entry in entries if entry.has_vector and matches(key, entry.payload)]
            allowed, most = np.array(passing, dtype=np.int64), len(passing)
        if collection is None or most == 0:
            return []
        hits = collection.search(query, min(k, most), filter=allowed, **options)
        with self.lock:
            if version != self._version:
                return None
            ids = hits.ids[hits.ids >= 0]
            rows = collection.get(ids) if vectors else None
            found = []
            for rank, (name, distance) in enumerate(zip(ids.tolist(), hits.distances.tolist())):
                key = self._key_of[name]
                vector = None if rows is None else rows[rank]
                found.append(Found(key, self._entries[key].payload, distance, vector))
            return found

    # Whole states, for files and copies

    def contents(self) -> Contents[Payload]:
        """What there is now, with an index of the vectors."""
        with self.lock:
            index = self._collection.to_index() if self._collection is not None and len(self._collection) else None
            return Contents(list(self._entries.items()), self._next_id, index)

    def restore(self, contents: Contents[Payload]) -> None:
        """Takes the place of everything there is."""
        with self.lock:
            index = contents.index
            self._collection = None if index is None else Collection.from_index(index, threads=self.threads)
            self._entries = dict(contents.entries)
            self._key_of = {entry.id: key for key, entry in contents.entries}
            self._next_id = contents.next_id
            self._version += 1

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            # Containers are copied so that changes during pickling do not show.
            return {**self.__dict__, "lock": None, "_entries": dict(self._entries), "_key_of": dict(self._key_of)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock())

    def _new_collection(self, dim: int) -> Collection:
        return Collection(dim, self.spec, metric=self.metric, seed=self.seed, threads=self.threads)
