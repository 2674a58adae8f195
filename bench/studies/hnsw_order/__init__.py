"""Recall of HNSW by the order of insertion and by local intrinsic dimension: what a paper found, and what of it is seen here (README.md)."""
