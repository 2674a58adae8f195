"""What codes of one size find, beside FAISS's: recall@10 of exhaustive search on the codes alone.

    pip install faiss-cpu==1.15.1
    python bench/python/quality.py base.npy queries.npy ip|l2

At 8, 4 and 1 bits a dimension and, for the last, twice as many; product quantisers have 4 bits for every dimension or a byte for every 8: one
with a byte for every 2 (PQ192 of 384-d rows) had not trained in five minutes on 5,183 rows.
Rows at the distance of the tenth neighbour count as found. Bytes are those of an index by the vector, matrices and centroids included
for both sides.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scan import furthest_neighbours, ours, recall_of, theirs


def contestants(dim: int) -> list[tuple[str, list[str], list[str]]]:
    """Of each size: its name, ours and FAISS's."""
    half, eighth = dim // 2, dim // 8
    return [
        ("8 bits", ["i8", "e3m4", "e4m3"], ["SQ8"]),
        ("4 bits", ["i4"], ["SQ4", f"PQ{dim}x4", "RaBitQ4"]),
        ("1 bit", ["b1", f"pca({half}) | b2", f"opq({eighth})"], ["RaBitQ", f"RR{dim},RaBitQ", f"PQ{eighth}", f"OPQ{eighth},PQ{eighth}"]),
        ("2 bits", ["b2", f"pca({half}) | i4"], ["RaBitQ2"]),
    ]


def main() -> None:
    base, queries, metric = np.load(sys.argv[1]).astype(np.float32), np.load(sys.argv[2]).astype(np.float32), sys.argv[3]
    dim = base.shape[1]
    furthest = furthest_neighbours(base, queries, metric)
    print(f"{len(base)} x {dim}, {metric}, {len(queries)} queries")
    for size, mine, faiss in contestants(dim):
        for name, make in [*((f"{codec} | flat", ours) for codec in mine), *((factory, theirs) for factory in faiss)]:
            start = time.perf_counter()
            try:
                search, per_vector = make(base, name, metric)
            except RuntimeError as error:
                print(f"{size:7} {name:24} {str(error).splitlines()[-1]}", flush=True)
                continue
            seconds = time.perf_counter() - start
            recall = recall_of(base, queries, search(queries), furthest, metric)
            print(f"{size:7} {name:24} recall@10 {recall:.4f}  {per_vector:6.0f} bytes  {seconds:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
