"""Questions about the metadata of a Haystack document store."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Iterable, Mapping

_KINDS = ((bool, "boolean"), (int, "int"), (float, "float"))  # in this order: True is an int, too


def _values(metas: Iterable[Mapping[str, Any]], field: str) -> list[Any]:
    """The values of a field that are not None; the name may begin with `meta.`."""
    name = field.removeprefix("meta.")
    return [value for meta in metas if (value := meta.get(name)) is not None]


def _unique(values: Iterable[Any]) -> list[Any]:
    """Each value once, ordered by its text. 1, 1.0, "1" and True are four values; lists and dicts are values as well."""
    found = {(json.dumps(value, sort_keys=True, default=str), type(value).__name__): value for value in values}
    return [found[key] for key in sorted(found, key=lambda key: (str(found[key]), key))]


class MetadataQueries:
    """What document stores of Haystack answer beyond the protocol, from `_metas`."""

    def _metas(self, filters: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The metadata of the documents that match."""
        raise NotImplementedError

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        return len(self._metas(filters))

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """The number of different values of each field, over the documents that match."""
        metas = self._metas(filters)
        return {field.removeprefix("meta."): len(_unique(_values(metas, field))) for field in metadata_fields}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """For every field {"type": "boolean", "int", "float" or "keyword"}, that of its last value."""
        kinds: dict[str, dict[str, str]] = {}
        for meta in self._metas(None):
            for name, value in meta.items():
                if value is not None:
                    kinds[name] = {"type": next((kind for of, kind in _KINDS if isinstance(value, of)), "keyword")}
        return kinds

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """{"min", "max"} of numbers or of strings; None for nothing and for what cannot be compared."""
        given = [value for value in _values(self._metas(None), metadata_field) if isinstance(value, (int, float, str))]
        try:
            return {"min": min(given), "max": max(given)} if given else {"min": None, "max": None}
        except TypeError:
            return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """A page of the different values of a field that contain `search_term`, and how many there are in all."""
        found = _unique(_values(self._metas(filters), metadata_field))
        if search_term:
            found = [value for value in found if search_term.lower() in str(value).lower()]
        return found[from_ : from_ + size], len(found)

    # The same in a thread

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        return await asyncio.to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        return await asyncio.to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        return await asyncio.to_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        return await asyncio.to_thread(self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters)
