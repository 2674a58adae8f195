"""The 8-bit floats against ml_dtypes, bit for bit: 10^8 values through each codec, and every finite code.

A codec scales its documents by the power of two that brings the largest of them into range. Documents that hold the format's
largest value are scaled by 1, so that what is read back is what ml_dtypes rounds to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vicinal

ml_dtypes = pytest.importorskip("ml_dtypes")

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint32]

FORMATS = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "e3m4": ml_dtypes.float8_e3m4}
CHUNKS, CHUNK, DIM = 10, 10**7, 1000


def rounded(values: Floats, dtype: Any) -> Floats:
    return np.asarray(values.astype(dtype).astype(np.float32))


def through_index(values: Floats, codec: str) -> Floats:
    """What an index of `values` holds, (n,) -> (n,)."""
    index = vicinal.build(values.reshape(-1, DIM), f"{codec} | flat", metric="l2", calibrate=False, progress=False)
    return np.asarray(vicinal.reconstruct(index).reshape(-1))


def finite_codes(dtype: Any) -> Floats:
    """The values of all codes that are numbers, -0 too, ascending."""
    values = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)
    return np.asarray(np.sort(values[np.isfinite(values)]))


def hard_cases(dtype: Any) -> Floats:
    """Every code, every middle of two codes, which ties to the even one, their neighbours among float32, zeros and subnormals of
    float32, and the places about the smallest subnormal and normal codes."""
    codes = np.unique(finite_codes(dtype))
    exact = np.concatenate([codes, (codes[1:] + codes[:-1]) / 2, np.array([0.0, -0.0], dtype=np.float32)])
    beside = [np.nextafter(exact, np.float32(towards)) for towards in (-np.inf, np.inf)]
    bits = np.concatenate([np.arange(1000), 0x007FFFFF + np.arange(-500, 500)]).astype(np.uint32)
    tiny = bits.view(np.float32)
    info = ml_dtypes.finfo(dtype)
    steps = np.arange(1, 65, dtype=np.float32) / 16
    edges = np.concatenate([steps * np.float32(info.smallest_subnormal), steps * np.float32(info.smallest_normal)])
    cases = np.concatenate([exact, *beside, tiny, -tiny, edges, -edges])
    return np.asarray(cases[np.abs(cases) <= codes[-1]])


def random_bits(generator: np.random.Generator, largest: np.float32, least: np.float32, count: int) -> Floats:
    """Values of either sign from `least` to `largest` whose bits are uniform: every exponent as often as any other."""
    low, high = (int(np.float32(value).view(np.uint32)) for value in (least, largest))
    bits: Bits = generator.integers(low, high + 1, count, dtype=np.uint32)
    return np.asarray((bits | generator.integers(0, 2, count, dtype=np.uint32) << 31).view(np.float32))


def chunk(number: int, dtype: Any) -> Floats:
    """CHUNK values in the range of the format, its largest among them."""
    generator = np.random.default_rng([number, CHUNK])
    info = ml_dtypes.finfo(dtype)
    largest = np.float32(info.max)
    hard = hard_cases(dtype)
    whole = random_bits(generator, largest, np.float32(0), CHUNK // 4)
    narrow = random_bits(generator, largest, np.float32(info.smallest_subnormal) / 8, CHUNK - len(whole) - len(hard) - 1)
    return np.concatenate([hard, [largest], whole, narrow]).astype(np.float32)


@pytest.mark.parametrize("codec", FORMATS)
def test_a_hundred_million_values_round_alike(codec: str) -> None:
    for number in range(CHUNKS):
        values = chunk(number, FORMATS[codec])
        assert values.shape == (CHUNK,)
        found, expected = through_index(values, codec), rounded(values, FORMATS[codec])
        wrong = np.flatnonzero(found.view(np.uint32) != expected.view(np.uint32))
        if len(wrong):
            first = wrong[0]
            pytest.fail(f"{len(wrong)} differ, first {values[first]!r}: {found[first]!r}, expected {expected[first]!r}")


@pytest.mark.parametrize("codec", FORMATS)
def test_every_finite_code_is_its_own_value(codec: str) -> None:
    codes = finite_codes(FORMATS[codec])
    assert len(codes) == {"e4m3": 254, "e5m2": 248, "e3m4": 224}[codec]
    rows = np.resize(codes, (4, DIM))
    rows[-1, -1] = codes[-1]
    assert np.array_equal(through_index(rows.reshape(-1), codec).view(np.uint32), rows.reshape(-1).view(np.uint32))


@pytest.mark.parametrize("exponent", [-100, -9, -1, 0, 1, 9, 100])
@pytest.mark.parametrize("codec", FORMATS)
def test_documents_of_any_size_are_scaled_by_a_power_of_two(codec: str, exponent: int) -> None:
    dtype = FORMATS[codec]
    scale = np.float32(2.0) ** exponent
    largest = np.float32(ml_dtypes.finfo(dtype).max)
    # Nothing here needs a float32 below the normal ones, where multiplying would round.
    values = random_bits(np.random.default_rng(7), largest, np.float32(0.001), 20 * DIM)
    values[5] = -largest
    assert np.array_equal(through_index(values * scale, codec), rounded(values, dtype) * scale)
    # One step beyond the largest value, and the exponent is the next: the last bit of every value is worth twice as much.
    values[5] = np.nextafter(largest, np.float32(np.inf))
    assert np.array_equal(through_index(values * scale, codec), rounded(values / np.float32(2), dtype) * (2 * scale))


@pytest.mark.parametrize("codec", FORMATS)
def test_rerank_rows_round_alike(codec: str) -> None:
    dtype = FORMATS[codec]
    values = hard_cases(dtype)
    rows = np.resize(values, (len(values) // 50 + 1, 50))
    rows[0, 0] = np.float32(ml_dtypes.finfo(dtype).max)
    index = vicinal.build(rows, f"i8 | flat | rerank({codec}, 3x)", metric="l2", calibrate=False, progress=False)
    assert np.array_equal(vicinal.reconstruct(index).view(np.uint32), rounded(rows, dtype).view(np.uint32))
