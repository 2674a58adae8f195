"""The graph of other libraries as a spec."""

from __future__ import annotations

import re

# What the spec takes. M beyond it only changes how many edges a vector has, so that the nearest allowed value serves as well.
_M_RANGE = (4, 128)
_EFC_MOST = 4096
_EFFORT_MOST = 16_777_216


def graph_spec(m: int, ef_construction: int) -> str:
    edges = min(max(m, _M_RANGE[0]), _M_RANGE[1])
    return f"f32 | hnsw(m={edges}, efc={min(max(ef_construction, edges), _EFC_MOST)})"


def graph_parameters(spec: str) -> tuple[int, int] | None:
    """M and ef_construction of a spec in canonical form; None where there is no graph."""
    found = re.search(r"hnsw\(m=(\d+), efc=(\d+)\)", spec)
    return None if found is None else (int(found[1]), int(found[2]))


def effort(ef: int, k: int) -> int:
    return min(max(ef, k, 1), _EFFORT_MOST)
