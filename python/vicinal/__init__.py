"""Vicinal: vector indexes and embedding compression behind one interface.

>>> import numpy as np, vicinal
>>> base = np.random.default_rng(0).standard_normal((1000, 32), dtype=np.float32)
>>> index = vicinal.build(base, "i8 | hnsw | rerank(f16, 3x)", metric="cosine")
>>> hits = index.search(base[:5], k=3, recall=0.95)
>>> hits.ids[:, 0].tolist()
[0, 1, 2, 3, 4]
"""

from ._arrays import CopyWarning
from ._calibration import Calibration
from ._collection import Collection
from ._errors import CorruptFile, InvalidArgument, IoError, SpecError, Unsupported, WrongType
from ._explore import Exploration, ExploredPoint, explore
from ._functions import build, exact, explain, open, recall, reconstruct, verify
from ._live import LiveIndex
from ._vicinal import Hits, Index, RangeHits, __version__
from ._writer import Writer

__all__ = [
    "Calibration",
    "Collection",
    "CopyWarning",
    "CorruptFile",
    "Exploration",
    "ExploredPoint",
    "Hits",
    "Index",
    "InvalidArgument",
    "IoError",
    "LiveIndex",
    "RangeHits",
    "SpecError",
    "Unsupported",
    "Writer",
    "WrongType",
    "__version__",
    "build",
    "exact",
    "explain",
    "explore",
    "open",
    "recall",
    "reconstruct",
    "verify",
]
