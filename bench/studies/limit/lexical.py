"""BM25, which the paper has as its lexical reference."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Sequence

import numpy as np
import numpy.typing as npt

K1, B = 0.9, 0.4  # of Pyserini, which the literature compares with

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits: no stems, no stop words."""
    return _WORD.findall(text.lower())


class BM25:
    """Robertson and Zaragoza, 2009, with the inverse document frequency of Lucene, which is never negative: ln(1 + (n - df + .5) / (df + .5))."""

    def __init__(self, documents: Sequence[str], k1: float = K1, b: float = B) -> None:
        counted = [Counter(words(text)) for text in documents]
        self.size = len(documents)
        lengths = np.array([sum(counts.values()) for counts in counted], dtype=np.float64)
        damping = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-300))
        rows: dict[str, list[int]] = {}
        frequencies: dict[str, list[int]] = {}
        for row, counts in enumerate(counted):
            for word, count in counts.items():
                rows.setdefault(word, []).append(row)
                frequencies.setdefault(word, []).append(count)
        # By word: the documents that have it, and what it is worth in each.
        self.postings: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}
        for word, own in rows.items():
            where, often = np.array(own, dtype=np.int64), np.array(frequencies[word], dtype=np.float64)
            rarity = math.log(1 + (self.size - len(own) + 0.5) / (len(own) + 0.5))
            self.postings[word] = where, rarity * often * (k1 + 1) / (often + damping[where])

    def scores(self, query: str) -> npt.NDArray[np.float64]:
        """Of every document; a word that the query has twice counts twice."""
        total = np.zeros(self.size)
        for word in words(query):
            if word in self.postings:
                where, worth = self.postings[word]
                total[where] += worth
        return total

    def search(self, queries: Sequence[str], k: int) -> npt.NDArray[np.int64]:
        """The best k documents of every query, best first; of equals the first."""
        return np.stack([np.argsort(-self.scores(query), kind="stable")[:k] for query in queries])
