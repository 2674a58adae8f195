"""Nearest neighbours for scikit-learn: a transformer that stands where KNeighborsTransformer does.

>>> from sklearn.manifold import Isomap
>>> from sklearn.pipeline import make_pipeline
>>> from vicinal.sklearn import VicinalTransformer
>>> isomap = make_pipeline(VicinalTransformer(n_neighbors=15), Isomap(n_neighbors=15, metric="precomputed"))
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

try:
    from joblib import effective_n_jobs  # type: ignore[import-untyped,unused-ignore]
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped,unused-ignore]
    from sklearn.base import (  # type: ignore[import-untyped,unused-ignore]
        BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin,
    )
    from sklearn.utils import check_random_state  # type: ignore[import-untyped,unused-ignore]
    from sklearn.utils.validation import check_is_fitted, validate_data  # type: ignore[import-untyped,unused-ignore]
except ImportError as error:
    raise ImportError(f"vicinal.sklearn needs scikit-learn 1.6 or later ({error}): pip install vicinal[sklearn]") from error

from ._errors import InvalidArgument
from ._functions import DEFAULT_SPEC, build, exact

__all__ = ["VicinalTransformer", "symmetric_graph"]

Floats = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]

# Up to here comparing all with all takes no longer than building a graph.
_EXACT_UP_TO = 10_000
_METRICS = {"euclidean": "l2", "l2": "l2", "sqeuclidean": "l2", "cosine": "cosine"}
_MODES = ("distance", "connectivity")
# Values gathered at a time while distances are computed.
_BLOCK = 1 << 22


class VicinalTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc,unused-ignore]
    """Transforms X into the sparse graph of its k nearest neighbours.

    As sklearn.neighbors.KNeighborsTransformer, with a Vicinal index in place of a tree, for whatever takes a precomputed graph:
    `TSNE`, `Isomap`, `DBSCAN`, `KNeighborsClassifier`, and `umap.UMAP` with `symmetric_graph` before it. Which neighbours are
    found is approximate when the index is; their distances are not, they are computed from X as it was given. As
    KNeighborsTransformer does, the estimator keeps a reference to the X it was fitted on: do not change it in place.

    Parameters
    ----------
    n_neighbors : int
        Neighbours a sample. As in KNeighborsTransformer, mode="distance" gives one more, since every training sample is its own
        neighbour. Never more than there are training samples: where KNeighborsTransformer raises, this gives all of them.
    mode : "distance" or "connectivity"
        What the graph holds: distances, or ones.
    metric : "euclidean" (or "l2"), "sqeuclidean" or "cosine"
        Inner product is not among them: it is no distance, the nearest sample to x may be any other than x.
    spec : str, optional
        What to build, see vicinal.build. Default: exact search up to 10,000 samples, where it is as quick as anything;
        beyond, "i8 | hnsw | rerank(f16, 3x)".
    recall : float, optional
        The share of true neighbours to aim at, in (0, 1]; measured on the training data during fit.
    effort : int, optional
        Candidates a search keeps (ef_search). Not together with recall.
    n_jobs : int, optional
        Threads. None means 1 unless in a joblib.parallel_backend context; -1 means all processors.
    random_state : int, RandomState or None
        Seed of the index. None is a fixed seed: the same data give the same graph.

    Attributes
    ----------
    index_ : vicinal.Index
        Ids are row numbers of the training data. float64 data stand in it centred and scaled (cosine: normalised), so that
        nothing but rounding is lost in float32.
    n_samples_fit_ : int
    n_features_in_ : int
    feature_names_in_ : (n_features_in_,) str
        Only when X has feature names that are all strings.

    Examples
    --------
    >>> import numpy as np
    >>> from vicinal.sklearn import VicinalTransformer
    >>> VicinalTransformer(n_neighbors=1).fit_transform(np.array([[0.0], [3.0], [1.0]])).toarray()
    array([[0., 0., 1.],
           [0., 0., 2.],
           [1., 0., 0.]])
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        mode: str = "distance",
        metric: str = "euclidean",
        spec: str | None = None,
        recall: float | None = None,
        effort: int | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.mode = mode
        self.metric = metric
        self.spec = spec
        self.recall = recall
        self.effort = effort
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any = None) -> VicinalTransformer:
        """Builds the index over X, (n_samples, n_features). y is ignored."""
        _require_count(self.n_neighbors)
        _require_mode(self.mode)
        if self.metric not in _METRICS:
            raise InvalidArgument(f"metric is {self.metric!r}, expected one of {', '.join(_METRICS)}")
        if self.recall is not None and self.effort is not None:
            raise InvalidArgument(f"recall is {self.recall} and effort is {self.effort}, expected one of them at most")
        rows = validate_data(self, X, dtype=[np.float64, np.float32], order="C")
        spec = self.spec if self.spec is not None else "flat" if len(rows) <= _EXACT_UP_TO else DEFAULT_SPEC
        seed = 1 if self.random_state is None else int(check_random_state(self.random_state).randint(2**31 - 1))
        shift, scale = _placement(rows, _METRICS[self.metric])
        index = build(
            _placed(rows, _METRICS[self.metric], shift, scale), spec, metric=_METRICS[self.metric], seed=seed,
            threads=effective_n_jobs(self.n_jobs), calibrate=self.recall is not None, progress=False,
        )
        self.index_ = index
        self._shift, self._scale = shift, scale
        self._fit_X = rows
        self.n_samples_fit_ = len(rows)
        self._n_features_out = len(rows)
        return self

    def transform(self, X: Any) -> Any:
        """The neighbours of X, (n_queries, n_features), among the training samples.

        Returns
        -------
        graph : (n_queries, n_samples_fit_) CSR
            Rows are sorted by distance. When X is the training data, every sample stands first in its own row, with an explicit
            0, whatever the index makes of duplicates.
        """
        check_is_fitted(self)
        _require_mode(self.mode)
        return self.kneighbors_graph(X, _require_count(self.n_neighbors) + (self.mode == "distance"), self.mode)

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """fit(X), then transform(X)."""
        return self.fit(X).transform(X)

    @overload
    def kneighbors(
        self, X: Any = ..., n_neighbors: int | None = ..., return_distance: Literal[True] = ...
    ) -> tuple[Floats, Ids]: ...
    @overload
    def kneighbors(self, X: Any, n_neighbors: int | None, return_distance: Literal[False]) -> Ids: ...
    @overload
    def kneighbors(self, X: Any = ..., n_neighbors: int | None = ..., *, return_distance: Literal[False]) -> Ids: ...
    @overload
    def kneighbors(self, X: Any = ..., n_neighbors: int | None = ..., return_distance: bool = ...) -> Any: ...

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """The nearest training samples of every row of X, nearest first.

        Parameters
        ----------
        X : (n_queries, n_features), optional
            Default: the training samples, not counting each as its own neighbour.
        n_neighbors : int, optional
            Default: that of the estimator. Never more than there are samples.
        return_distance : bool

        Returns
        -------
        distances : (n_queries, n_neighbors), only with return_distance
        ids : (n_queries, n_neighbors) int64
        """
        check_is_fitted(self)
        k = _require_count(self.n_neighbors if n_neighbors is None else n_neighbors)
        if X is None:
            if self.n_samples_fit_ == 1:
                raise InvalidArgument("the only training sample has no neighbours, expected X or at least 2 samples")
            distances, ids = self._nearest(self._fit_X, min(k + 1, self.n_samples_fit_))
            distances, ids = distances[:, 1:], ids[:, 1:]
        else:
            rows = validate_data(self, X, dtype=[np.float64, np.float32], order="C", reset=False)
            distances, ids = self._nearest(rows, min(k, self.n_samples_fit_))
        return (distances, ids) if return_distance else ids

    def kneighbors_graph(self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity") -> Any:
        """As kneighbors, as a (n_queries, n_samples_fit_) CSR matrix of distances or, mode="connectivity", of ones."""
        _require_mode(mode)
        distances, ids = self.kneighbors(X, n_neighbors)
        data = distances if mode == "distance" else np.ones_like(distances)
        ends = np.arange(0, ids.size + 1, ids.shape[1])
        return csr_matrix((data.ravel(), ids.ravel(), ends), shape=(len(ids), self.n_samples_fit_))

    def _nearest(self, rows: Floats, k: int) -> tuple[Floats, Ids]:
        """Distances and ids, (len(rows), k); of the training data, with every sample first in its row."""
        metric = _METRICS[self.metric]
        placed = _placed(rows, metric, self._shift, self._scale)
        threads = effective_n_jobs(self.n_jobs)
        found = self.index_.search(placed, k, recall=self.recall, effort=self.effort, threads=threads)
        ids = np.array(found.ids)
        short = np.flatnonzero((ids < 0).any(axis=1))
        if len(short):
            # What takes a precomputed graph needs as many neighbours in every row.
            base = _placed(self._fit_X, metric, self._shift, self._scale)
            ids[short] = exact(base, placed[short], k, metric=metric, threads=threads).ids
        training = rows is self._fit_X or np.array_equal(rows, self._fit_X)
        own = np.zeros(ids.shape, dtype=np.bool_)
        if training:
            own = ids == np.arange(len(ids))[:, None]
            lost = np.flatnonzero(~own.any(axis=1))
            ids[lost, -1] = lost
            own[lost, -1] = True
        distances = _distances(rows, self._fit_X, ids, self.metric)
        distances[own] = 0
        order = np.lexsort((ids, ~own, distances), axis=1)
        return np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)


def symmetric_graph(graph: Any) -> Any:
    """A square graph of distances with every edge in both directions, as UMAP wants it; explicit zeros stay.

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> both_ways = FunctionTransformer(symmetric_graph, accept_sparse=True)  # between VicinalTransformer and UMAP

    Parameters
    ----------
    graph : (n, n) sparse

    Returns
    -------
    (n, n) CSR, rows sorted by column. Where both directions had an edge already, the shorter one counts.
    """
    edges = graph.tocoo()
    if edges.shape[0] != edges.shape[1]:
        raise InvalidArgument(f"the graph has shape {edges.shape}, expected as many rows as columns")
    low, high = np.minimum(edges.row, edges.col), np.maximum(edges.row, edges.col)
    order = np.lexsort((edges.data, high, low))
    low, high, data = low[order], high[order], edges.data[order]
    first = np.ones(len(data), dtype=np.bool_)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    low, high, data = low[first], high[first], data[first]
    mirrored = low != high
    rows, columns = np.concatenate([low, high[mirrored]]), np.concatenate([high, low[mirrored]])
    both = csr_matrix((np.concatenate([data, data[mirrored]]), (rows, columns)), shape=edges.shape)
    both.sort_indices()
    return both


def _require_count(n_neighbors: Any) -> int:
    if not isinstance(n_neighbors, Integral) or isinstance(n_neighbors, bool) or n_neighbors < 1:
        raise InvalidArgument(f"n_neighbors is {n_neighbors!r}, expected an integer of at least 1")
    return int(n_neighbors)


def _require_mode(mode: Any) -> None:
    if mode not in _MODES:
        raise InvalidArgument(f"mode is {mode!r}, expected one of {', '.join(_MODES)}")


def _placement(rows: Floats, metric: str) -> tuple[Floats | None, float]:
    """Where float64 data are moved to before they become float32: neighbours stay the same, small differences are not lost."""
    if rows.dtype == np.float32 or metric == "cosine":
        return None, 1.0
    shift = rows.mean(axis=0)
    return shift, float(np.abs(rows - shift).max()) or 1.0


def _placed(rows: Floats, metric: str, shift: Floats | None, scale: float) -> npt.NDArray[np.float32]:
    """What the index takes for `rows`: float32 data as they are, float64 data moved."""
    if shift is not None:
        moved = rows - shift
        moved /= scale
    elif rows.dtype == np.float64 and metric == "cosine":
        moved = _units(rows)
    else:
        moved = rows
    with np.errstate(over="ignore"):  # beyond float32 is refused as not finite
        return np.ascontiguousarray(moved, dtype=np.float32)


def _units(rows: Floats) -> Floats:
    """Rows at length 1; zeros stay zeros. Divided by the greatest value first: squares of small ones would vanish."""
    greatest = np.abs(rows).max(axis=-1, keepdims=True)
    near_one = rows / np.where(greatest > 0, greatest, 1)
    lengths = np.sqrt(np.einsum("...i,...i->...", near_one, near_one))[..., None]
    return np.asarray(near_one / np.where(lengths > 0, lengths, 1))


def _distances(queries: Floats, base: Floats, ids: Ids, metric: str) -> Floats:
    """Distances of every query to the base rows in its row of `ids`, from differences: 0 for equal vectors in any metric."""
    out = np.empty(ids.shape, dtype=np.result_type(queries, base))
    step = max(1, _BLOCK // (ids.shape[1] * base.shape[1]))
    for start in range(0, len(ids), step):
        block = slice(start, start + step)
        left, right = queries[block, None, :], base[ids[block]]
        if metric == "cosine":
            left, right = _units(left), _units(right)
        gap = left - right
        squares = np.einsum("ijk,ijk->ij", gap, gap)
        if metric == "cosine":
            # |a - b|^2 = 2 - 2 a.b for units; a zero vector is at 1 from everything, as scikit-learn has it.
            zero = ~left.any(axis=2) | ~right.any(axis=2)
            out[block] = np.where(zero, 1, squares / 2)
        else:
            out[block] = squares if metric == "sqeuclidean" else np.sqrt(squares)
    return out
