"""Input in the form the library reads: float32, rows contiguous. Copies happen here and nowhere else, and are said once."""

from __future__ import annotations

import operator
import sys
import warnings
from typing import Any

import numpy as np

from ._errors import InvalidArgument, WrongType

# Element types whose every value is a float32.
_EXACT = ("float16", "bfloat16", "uint8", "int8")
_INT64 = np.iinfo(np.int64)
_said: set[tuple[str, str]] = set()


class CopyWarning(UserWarning):
    """An array was converted or copied before it could be read; said once a process for each reason and argument."""


def _say_once(what: str, reason: str) -> None:
    if (what, reason) not in _said:
        _said.add((what, reason))
        warnings.warn(f"{what}: {reason}", CopyWarning, stacklevel=_frames_to_caller())


def _frames_to_caller() -> int:
    """The stacklevel at which the first frame outside this package stands, seen from the function that calls this one."""
    package, level = __name__.split(".")[0], 0
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level + 1


def whole_number(given: Any, what: str, least: int, most: int, range_text: str = "") -> int:
    """`given` as an int, from `least` to `most`."""
    try:
        number = operator.index(given)
    except TypeError:
        raise WrongType(f"{what} is {given!r}, expected an integer") from None
    if not least <= number <= most:
        raise InvalidArgument(f"{what} is {number}, expected {range_text or f'{least} to {most}'}")
    return number


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
    if array.dtype.newbyteorder("=") != np.float32:
        if name not in _EXACT:
            expected = f"float32 (or float16, bfloat16, uint8, int8): {what}.astype(numpy.float32)"
            raise WrongType(f"{what} is {name}, expected {expected}")
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


def rows_and_offsets(given: tuple[Any, Any], what: str) -> tuple[Any, np.ndarray] | None:
    """The parts of (rows, offsets), offsets as uint64; None for a tuple that is two rows."""
    rows, offsets = given
    if np.ndim(rows) < 2 and not (isinstance(offsets, np.ndarray) and offsets.dtype.kind in "iu" and offsets.ndim == 1):
        return None
    array = integers_or_mask(offsets, f"{what} offsets")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        shape = f"{array.dtype.name} of shape {array.shape}"
        raise WrongType(f"{what} offsets are {shape}, expected n + 1 integers: item i is rows[offsets[i] : offsets[i + 1]]")
    if not array.size:
        raise InvalidArgument(f"{what} offsets are empty, expected n + 1 for n items")
    if array.dtype.kind == "i" and array.min() < 0:
        raise InvalidArgument(f"{what} offsets hold {array.min()}, expected 0 or more")
    return rows, np.ascontiguousarray(array, dtype=np.uint64)


def integers_or_mask(given: Any, what: str) -> Any:
    """`given` as an array, of int64 where it is an empty list; refuses integers that NumPy makes floats or objects of. The caller
    checks that the result is of integers or of booleans."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise WrongType(f"{what} cannot be read as integers: {error}") from None
    if array.size == 0 and isinstance(given, (list, tuple)):
        return array.astype(np.int64)
    if isinstance(given, (list, tuple)) and array.dtype.kind in "fO":
        array_of_objects = np.array(given, dtype=object)
        integers = [int(value) for value in array_of_objects.flat if isinstance(value, (int, np.integer))]
        if len(integers) == array_of_objects.size:
            worst = max(integers, key=abs)
            raise InvalidArgument(f"{what} hold {worst}, expected {_INT64.min} to {_INT64.max}")
    return array


def id_array(given: Any, what: str) -> np.ndarray:
    """Ids as int64, one dimension, contiguous."""
    array = integers_or_mask(given, what)
    if array.dtype.kind not in "iu":
        raise WrongType(f"{what} are {array.dtype.name}, expected integers")
    if array.ndim != 1:
        raise InvalidArgument(f"{what} have shape {array.shape}, expected one dimension")
    return _as_int64(array, what)


def id_matrix(given: Any, what: str) -> np.ndarray:
    """Ids as int64 rows (queries, k), contiguous; one dimension is one query."""
    array = integers_or_mask(given, what)
    if array.dtype.kind not in "iu":
        raise WrongType(f"{what} are {array.dtype.name}, expected integers")
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise InvalidArgument(f"{what} have shape {array.shape}, expected (queries, k)")
    return _as_int64(array, what)


def _as_int64(array: Any, what: str) -> np.ndarray:
    if array.dtype.kind == "u" and array.size and array.max() > _INT64.max:
        raise InvalidArgument(f"{what} hold {array.max()}, expected at most {_INT64.max}")
    return np.ascontiguousarray(array, dtype=np.int64)
