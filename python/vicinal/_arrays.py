"""Input in the form the library reads: float32, rows contiguous. Copies happen here and nowhere else, and are said once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ._errors import InvalidArgument, WrongType

# Element types whose every value is a float32.
_EXACT = ("float16", "bfloat16", "uint8", "int8")
_said: set[tuple[str, str]] = set()


class CopyWarning(UserWarning):
    """An array was converted or copied before it could be read; said once a process for each reason and argument."""


def _say_once(what: str, reason: str) -> None:
    if (what, reason) not in _said:
        _said.add((what, reason))
        warnings.warn(f"{what}: {reason}", CopyWarning, stacklevel=4)


def float_rows(given: Any, what: str, allow_vector: bool) -> np.ndarray:
    """`given` as float32 rows: (n, dim), or (dim,) where one vector is allowed. Lists are taken as float32."""
    expected = "shape (n, dim) or (dim,)" if allow_vector else "shape (n, dim)"
    if isinstance(given, (list, tuple)):
        try:
            array = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise WrongType(f"{what} cannot be read as float32: {error}") from None
    else:
        array = np.asarray(given)
    if array.ndim != 2 and not (allow_vector and array.ndim == 1):
        raise InvalidArgument(f"{what} has shape {array.shape}, expected {expected}")
    name = array.dtype.name
    if array.dtype != np.float32:
        if name not in _EXACT:
            raise WrongType(f"{what} is {name}, expected float32 (or float16, bfloat16, uint8, int8): {what}.astype(numpy.float32)")
        _say_once(what, f"{name} is converted to float32, which takes a copy")
        return np.ascontiguousarray(array, dtype=np.float32)
    if not array.dtype.isnative:
        _say_once(what, "bytes are swapped to the machine's order, which takes a copy")
        return np.ascontiguousarray(array.astype(np.float32))
    if not (array.flags.c_contiguous and array.flags.aligned):
        # Rows that are contiguous each were read in place already; these are not.
        _say_once(what, "values of a row do not lie side by side, so the array is copied")
        return np.array(array, dtype=np.float32, order="C")
    return array


def id_array(given: Any, what: str) -> np.ndarray:
    """Ids as int64, one dimension, contiguous."""
    array = np.asarray(given)
    if array.size == 0 and array.dtype == np.float64:  # an empty list
        array = array.astype(np.int64)
    if array.dtype == object and array.size and all(isinstance(value, int) for value in array.flat):
        raise InvalidArgument(f"{what} hold values beyond int64")
    if array.dtype.kind not in "iu":
        raise WrongType(f"{what} are {array.dtype.name}, expected integers")
    if array.ndim != 1:
        raise InvalidArgument(f"{what} have shape {array.shape}, expected one dimension")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise InvalidArgument(f"{what} hold {array.max()}, expected at most {np.iinfo(np.int64).max}")
    return np.ascontiguousarray(array, dtype=np.int64)


def id_matrix(given: Any, what: str) -> np.ndarray:
    """Ids as int64 rows (queries, k), contiguous; one dimension is one query."""
    array = np.asarray(given)
    if array.dtype.kind not in "iu":
        raise WrongType(f"{what} are {array.dtype.name}, expected integers")
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise InvalidArgument(f"{what} have shape {array.shape}, expected (queries, k)")
    return np.ascontiguousarray(array, dtype=np.int64)
