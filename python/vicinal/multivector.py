"""What works on documents of several vectors without an index: encoders of one vector for many, pooling, carving.

>>> import numpy as np
>>> from vicinal import multivector
>>> tokens = np.eye(4, 8, dtype=np.float32)
>>> multivector.FdeEncoder(8, reps=2, bits=1, projection_dim=4, centre=False).encode_document(tokens).shape
(16,)
"""

from __future__ import annotations

from ._vicinal import FdeEncoder, GoogleFde, TokenHead, carve_query, pool_document, pool_tokens

__all__ = ["FdeEncoder", "GoogleFde", "TokenHead", "carve_query", "pool_document", "pool_tokens"]
