"""Quality against storage of compressed embeddings: what a paper did, and what Vicinal does, on the same vectors (README.md)."""
