"""What a search may return, in the form the library takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import id_array, integers_or_mask
from ._errors import InvalidArgument


def filter_rule(given: Any, size: int, own_ids: bool) -> Any:
    """A callable as it is; a boolean mask as uint64 words, bit `id % 64` of word `id // 64`; ids ascending, each once."""
    if callable(given):
        return given
    array = integers_or_mask(given, "filter ids")
    if array.dtype != np.bool_:
        return np.unique(id_array(array, "filter ids"))
    if array.ndim != 1:
        raise InvalidArgument(f"the filter mask has shape {array.shape}, expected one dimension")
    if not own_ids and len(array) != size:
        raise InvalidArgument(f"the filter mask has {len(array)} values for {size} vectors, expected one each")
    bits = np.packbits(array, bitorder="little")
    words = np.zeros(max(1, -(-len(array) // 64)), dtype=np.uint64)
    words.view(np.uint8)[: len(bits)] = bits
    return words
