"""Rows as blocks that fit the cache, and the sums over them.

The only place that knows what container X is. A pass over the data is `Rows.reduce`: a function of one block is
evaluated on every block and its results are added up, so a pass allocates a block, never an array of X's size.
"""

import math
import operator
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from sk_hessian.objectives._threads import n_threads, run

#: bytes of float64 rows in one block: 0.5 to 3 MB measured alike, below the call overhead shows, above the cache ends
BLOCK_BYTES = 2**20

#: bytes of what a pass computes for the rows of a sparse block
_SPARSE_BYTES = 2**26

#: columns of a symmetric product, and numbers computed per row, from which on a second thread pays
_PRODUCT_COLUMNS = 32
_WIDE = 256

#: targets that tell the size of a loss's derivatives
_HEAD = 1000

#: rows of a block of targets
_TARGET_ROWS = 2**16

#: rows in a sample for the columns' units
_MOMENT_ROWS = 4096

#: units within this and its inverse have squares that are far from the floating-point range's ends
_MODERATE = 1e60

#: kurtosis beyond which a column's variance is in few rows: a level of one row in a hundred has 100
_RARE = 30

#: deviations below this many roundings of a column's size are not variation
_ROUNDINGS = 8

#: a mean of so many units costs a sum of squares its square in roundings, four digits of sixteen
_FAR = 100

#: mean squares outside this and its inverse are measured in another unit: they may have under- or overflowed
_SMALLEST_SQUARE = 1e-250


@dataclass(frozen=True)
class Columns:
    """A change of coordinates: raw = [(X - shift) / scale, 1] @ basis @ z.

    Attributes
    ----------
    shift, scale : ndarray of shape (p,)
        Zero and unit of each column; the unit of a constant one is infinite.
    fit_intercept : bool
        Whether a column of ones follows the features.
    basis : ndarray of shape (q, r) or None
        An orthogonalising map of the q = p + fit_intercept standardised columns, when they are nearly dependent.
    metric : ndarray of shape (q,) or None
        Weights under which the columns of the basis are orthogonal, and what they leave out changes no prediction.
    """

    shift: np.ndarray
    scale: np.ndarray
    fit_intercept: bool
    basis: Any = None
    metric: Any = None

    @classmethod
    def raw(cls, n_features, fit_intercept):
        """The columns as they are."""
        return cls(np.zeros(n_features), np.ones(n_features), fit_intercept)

    @classmethod
    def standardising(cls, centre, deviation, ridge, fit_intercept):
        """Each column centred, in units of its deviation and the root of its penalty together."""
        return cls(centre, np.where(deviation > 0, np.hypot(deviation, ridge), np.inf), fit_intercept)

    @property
    def n_columns(self):
        """Number of coordinates of one output."""
        return len(self.shift) + self.fit_intercept if self.basis is None else self.basis.shape[1]

    @cached_property
    def inverse_units(self):
        """One over the units, where a product may be scaled after it is summed; None for a basis or extreme units."""
        finite = self.scale[np.isfinite(self.scale)]
        if self.basis is not None or not ((finite > 1 / _MODERATE) & (finite < _MODERATE)).all():
            return None
        return np.append(1 / self.scale, np.ones(int(self.fit_intercept)))

    @cached_property
    def may_centre_late(self):
        """Whether products may be centred after they are summed: no column's mean is far beyond its unit."""
        if self.inverse_units is None or (np.abs(self.shift) > _MODERATE).any():
            return False
        return np.abs(self.shift * self.inverse_units[: len(self.shift)]).max(initial=0.0) <= _FAR

    def without_basis(self):
        """The standardised columns themselves."""
        return Columns(self.shift, self.scale, self.fit_intercept)

    def from_weights(self, W):
        """The inverse of `to_weights` without a basis; what constant columns add goes to the intercept."""
        coef = W[: len(self.scale)]
        z = coef * np.where(np.isfinite(self.scale), self.scale, 0.0)[:, None]
        return np.vstack([z, W[-1:] + self.shift @ coef]) if self.fit_intercept else z

    def nearest(self, z):
        """The nearest of the standardised weights ``z`` (q, k) that the basis reaches."""
        if self.metric is None:
            return self.basis @ np.linalg.lstsq(self.basis, z, rcond=None)[0]
        squares = self.metric @ self.basis**2
        return self.basis @ ((self.basis.T @ (self.metric[:, None] * z)) / squares[:, None])

    def to_weights(self, z):
        """Coefficients and intercept (q, k) in the user's units, from coordinates (n_columns, k)."""
        z = z if self.basis is None else self.basis @ z
        if not self.fit_intercept:
            return z / self.scale[:, None]
        coef = z[:-1] / self.scale[:, None]
        return np.vstack([coef, z[-1:] - self.shift @ coef])

    def transpose(self, gradient):
        """The adjoint of `to_weights`: a gradient (q, k) in the user's units to coordinates (n_columns, k)."""
        if self.fit_intercept:
            coef = (gradient[:-1] - self.shift[:, None] * gradient[-1]) / self.scale[:, None]
            gradient = np.vstack([coef, gradient[-1:]])
        else:
            gradient = gradient / self.scale[:, None]
        return gradient if self.basis is None else self.basis.T @ gradient


class Scratch:
    """Memory that the blocks of one pass use in turn: fresh pages for each would cost more than what fills them."""

    def __init__(self):
        self._memory = np.empty(0)

    def array(self, shape):
        """An uninitialised array of this shape, until the next call."""
        size = math.prod(shape)
        if self._memory.size < size:
            self._memory = np.empty(size)
        return self._memory[:size].reshape(shape)


class DenseBlock:
    """Some rows of a dense X, as float64.

    Attributes
    ----------
    X : ndarray of shape (n, p)
    part : slice
        Which rows these are.
    """

    def __init__(self, X, part=slice(None), scratch=None):
        self.X, self.part, self._scratch = X, part, scratch or Scratch()

    def product(self, V):
        """X @ V."""
        return self.X @ V

    def dense(self, with_ones):
        """The rows as an array, with a column of ones or without."""
        X = self.X.toarray() if sp.issparse(self.X) else self.X
        return np.hstack([X, np.ones((len(X), 1))]) if with_ones else X

    def adjoint(self, R):
        """X.T @ R."""
        return self.X.T @ R

    def standardised(self, columns):
        """The rows in the coordinates of ``columns``, shape (n, n_columns)."""
        Z = self._centred(columns)
        Z[:, : self.X.shape[1]] /= columns.scale
        return Z if columns.basis is None else Z @ columns.basis

    def _centred(self, columns):
        n, p = self.X.shape
        Z = np.empty((n, p + columns.fit_intercept))
        np.subtract(self.X, columns.shift, out=Z[:, :p])
        Z[:, p:] = 1
        return Z

    def grams(self, weights, columns):
        """Z' diag(w) Z for every column w of ``weights`` (n, m), Z the standardised rows; shape (m, r, r)."""
        if columns.inverse_units is None:
            return weighted_grams(self.standardised(columns), weights, self._scratch)
        if columns.may_centre_late:
            grams = weighted_grams(self.X, weights, self._scratch)
            grams = _centred_grams(grams, weights.T @ self.X, weights.sum(axis=0), columns.shift, columns.fit_intercept)
        else:
            grams = weighted_grams(self._centred(columns), weights, self._scratch)
        grams *= columns.inverse_units[:, None] * columns.inverse_units
        return grams

    def squares(self, weights, columns):
        """The diagonals of `grams`, shape (m, r)."""
        return weights.T @ self.standardised(columns) ** 2

    def take_columns(self, which):
        """The same rows with some of the columns."""
        return type(self)(self.X[:, which])

    def norms(self, shift, inverse):
        """Squared norm of each row of (X - shift) * inverse, but for rounding."""
        Z = np.multiply(self.X, inverse, out=self._scratch.array(self.X.shape))
        centre = shift * inverse
        return np.einsum("ij,ij->i", Z, Z) + centre @ centre - 2 * (Z @ centre)

    def deviations(self, weight, shift, unit):
        """Weighted sums of (X - shift) / unit and of its square, and the largest |X - shift|, per column."""
        centred = self.X - shift
        largest = np.maximum(centred.max(axis=0), -centred.min(axis=0))
        centred /= unit
        sums = weight @ centred
        centred *= centred
        return sums, weight @ centred, largest


class SparseBlock(DenseBlock):
    """Some rows of a sparse X in CSR form; nothing but `standardised` makes it dense."""

    def grams(self, weights, columns):
        """See `DenseBlock.grams`: the shift enters by a correction of low rank."""
        if columns.basis is not None:
            return weighted_grams(self.standardised(columns), weights, self._scratch)
        X, shift = self._scaled(columns)
        grams = np.stack([(X.T @ X.multiply(w[:, None])).toarray() for w in weights.T])
        return _centred_grams(grams, (X.T @ weights).T, weights.sum(axis=0), shift, columns.fit_intercept)

    def standardised(self, columns):
        """See `DenseBlock.standardised`; dense, so for a few rows at a time."""
        return DenseBlock(self.X.toarray()).standardised(columns)

    def _scaled(self, columns):
        return self.X @ sp.diags_array(1 / columns.scale), columns.shift / columns.scale

    def squares(self, weights, columns):
        """See `DenseBlock.squares`."""
        if columns.basis is not None:
            return super().squares(weights, columns)
        X, shift = self._scaled(columns)
        total = weights.sum(axis=0)[:, None]
        squares = weights.T @ X.power(2) - 2 * shift * (weights.T @ X) + total * shift**2
        return np.hstack([squares, total]) if columns.fit_intercept else squares

    def norms(self, shift, inverse):
        """See `DenseBlock.norms`."""
        Z, centre = self.X @ sp.diags_array(inverse), shift * inverse
        return Z.power(2).sum(axis=1) + centre @ centre - 2 * (Z @ centre)

    def deviations(self, weight, shift, unit):
        """See `DenseBlock.deviations`; ``shift`` must be zero."""
        X = self.X @ sp.diags_array(1 / unit)
        largest = np.abs(self.X).max(axis=0).toarray().ravel()
        return weight @ X, weight @ X.power(2), largest


def weighted_grams(Z, weights, scratch):
    """Z' diag(w) Z for every column w of ``weights``; a symmetric rank-k update where w has no negative entry."""
    grams = np.empty((weights.shape[1], Z.shape[1], Z.shape[1]))
    scaled = scratch.array(Z.shape)
    for gram, w, least, most in zip(grams, weights.T, weights.min(axis=0), weights.max(axis=0), strict=True):
        if least == most:
            np.matmul(Z.T, Z, out=gram)
            gram *= least
        elif least >= 0:
            np.multiply(Z, np.sqrt(w)[:, None], out=scaled)
            np.matmul(scaled.T, scaled, out=gram)
        else:
            np.multiply(Z, w[:, None], out=scaled)
            np.matmul(Z.T, scaled, out=gram)
    return grams


def _centred_grams(grams, sums, totals, shift, fit_intercept):
    """Grams of [X - shift, 1], or of X - shift, from those of X, its weighted ``sums`` (m, p) and ``totals`` (m,)."""
    centred = sums - totals[:, None] * shift
    grams = grams - shift[:, None] * sums[:, None, :] - centred[:, :, None] * shift
    if not fit_intercept:
        return grams
    rows = np.concatenate([grams, centred[:, :, None]], axis=2)
    last = np.concatenate([centred, totals[:, None]], axis=1)
    return np.concatenate([rows, last[:, None, :]], axis=1)


def _csr_rows(X, part):
    """Some rows of a CSR matrix without copying their entries."""
    start, stop = X.indptr[part.start], X.indptr[part.stop]
    entries = (X.data[start:stop], X.indices[start:stop], X.indptr[part.start : part.stop + 1] - start)
    return sp.csr_array(entries, shape=(part.stop - part.start, X.shape[1]))


def as_rows(X):
    """X as an array or a canonical CSR matrix; copied only where entries are double or the format is another."""
    if not sp.issparse(X):
        return np.asarray(X)
    X = sp.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def row_products(X, V):
    """X @ V of checked rows as an array; float32 rows beside float64 coefficients are converted a block at a time.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, p)
    V : ndarray or sparse matrix of shape (p,) or (p, k)

    Returns
    -------
    ndarray of shape (n,) or (n, k)
    """
    if X.dtype == np.float32 and np.result_type(X, V) != np.float32 and not sp.issparse(V):
        rows = Rows(as_rows(X), np.zeros(X.shape[0]), np.zeros(X.shape[0]))
        return rows.gather(lambda block, y, weight: block.product(V))
    product = X @ V
    return product.toarray() if sp.issparse(product) else product


class BaseRows:
    """What all rows offer, wherever they are: moments of the columns, and what tells which rows a sample needs.

    Attributes
    ----------
    n_rows, n_features : int
    is_sparse : bool
    total_weight : float
    targets : tuple of ndarray
        Targets and weights that stand for all: their weighted means are those of all rows.
    head : tuple of ndarray
        Some targets and weights.
    largest_target : float
    dtype : dtype
        float32 where X is that, else float64.
    """

    dtype: Any = np.dtype(float)
    n_rows: int
    n_features: int
    is_sparse: bool
    total_weight: float
    take: Any
    reduce: Any
    _first_mean: Any

    def rare_columns(self):
        """Columns so much of whose variance is in few rows that a uniform sample would misjudge it."""
        if self.is_sparse:
            return np.arange(self.n_features)
        sample = self._unit_sample.X
        centred = sample - sample.mean(axis=0)
        squares = centred * centred
        second, fourth = squares.mean(axis=0), (squares * squares).mean(axis=0)
        return np.flatnonzero(fourth >= _RARE * second**2)

    @cached_property
    def _unit_sample(self):
        return self.take(self._sampled())

    def _sampled(self):
        """Numbers of the rows in the sample for the columns' units."""
        rows = np.random.default_rng(0).choice(self.n_rows, min(_MOMENT_ROWS, self.n_rows), replace=False)
        return np.sort(rows)

    def foresee_draw(self, size, seed):
        """Be told that `draw` will be called, once the columns are known; rows in memory need not know."""

    def moments(self, fit_intercept):
        """Weighted mean and standard deviation of each column; a constant column deviates by exactly zero.

        Sums are taken about the mean of the first block, so that a large mean costs no digits (Chan, Golub &
        LeVeque, "Algorithms for computing the sample variance", 1983). Columns whose squares leave the
        floating-point range are measured again in units of their largest deviation.

        Returns
        -------
        centre, deviation : ndarray of shape (p,)
            Without an intercept the centre is zero and the deviation the root mean square. Of many dense rows a
            sample serves, for these are only units, but for the columns that do not vary in it.
        """
        if self.is_sparse or self.n_rows <= 2 * _MOMENT_ROWS:
            return self._exact_moments(fit_intercept)
        centre, deviation = self._unit_sample._exact_moments(fit_intercept)
        rare = np.flatnonzero(deviation == 0)
        if rare.size:
            centre[rare], deviation[rare] = self._exact_moments(fit_intercept, rare)
        return centre, deviation

    def _exact_moments(self, fit_intercept, which=None):
        which = np.arange(self.n_features) if which is None else which
        shift = np.zeros(len(which))
        if fit_intercept and not self.is_sparse:
            shift = self._first_mean()[which]
        unit = np.ones(len(which))
        mean, square, largest = self._deviations(which, shift, unit)
        odd = (largest > 0) & ~((square > _SMALLEST_SQUARE) & (square < 1 / _SMALLEST_SQUARE))
        if odd.any():
            unit = np.where(odd, largest, 1.0)
            mean, square, _ = self._deviations(which, shift, unit)
        if not fit_intercept:
            return shift, np.sqrt(square) * unit
        centre = shift + mean * unit
        deviation = np.sqrt(np.maximum(square - mean**2, 0)) * unit
        # sparse sums are about zero, so the variance is a difference of squares and keeps half the digits
        noise = _ROUNDINGS * np.finfo(float).eps
        noise = np.sqrt(noise) if self.is_sparse else noise
        return centre, np.where(deviation <= noise * np.abs(centre), 0.0, deviation)

    def _deviations(self, which, shift, unit):
        """Weighted means of (X - shift) / unit and of its square, and the largest |X - shift|, for some columns."""
        takes_all = len(which) == self.n_features

        def sums(block, y, weight):
            block = block if takes_all else block.take_columns(which)
            first, second, peak = block.deviations(weight, shift, unit)
            return (np.stack([first, second, np.full(len(first), weight.sum()), peak]),)

        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            first, second, total, peak = self.reduce(sums, combine=_sums_and_peak)[0]
            return first / total, second / total, peak

    def _stratified(self, size, seed):
        """One row of each of ``size`` equal stretches."""
        generator = np.random.default_rng(seed)
        return ((np.arange(size) + generator.random(size)) * (self.n_rows / size)).astype(np.intp)


def _sums_and_peak(a, b):
    """Sums of all rows but the last, of that the maximum."""
    return np.vstack([a[:-1] + b[:-1], np.maximum(a[-1], b[-1])])


class Rows(BaseRows):
    """X, y and weights, read in blocks.

    Parameters
    ----------
    X : ndarray, memmap or sparse CSR of shape (n, p)
        Any float dtype; blocks are handed out as float64.
    y : ndarray of shape (n,) or (n, k)
    weight : ndarray of shape (n,)
    offset : ndarray of shape (n, n_outputs), optional
        What is added to the raw predictions; None for nothing.
    """

    #: whether rows can be had one by one, and arrays of their number
    in_memory = True

    def __init__(self, X, y, weight, offset=None):
        self.X, self.y, self.weight, self.offset = X, y, weight, offset
        self.n_rows, self.n_features = X.shape
        self.is_sparse = sp.issparse(X)
        self.dtype = np.dtype(np.float32 if X.dtype == np.float32 else float)

    @cached_property
    def total_weight(self):
        """Sum of the weights."""
        return self.weight.sum()

    @property
    def targets(self):
        """See `BaseRows`: all of them."""
        return self.y, self.weight

    @property
    def head(self):
        """See `BaseRows`."""
        return self.y[:_HEAD], self.weight[:_HEAD]

    @property
    def largest_target(self):
        """Largest absolute target."""
        return np.abs(self.y).max()

    def blocks(self, columns=None, dense=False, width=0):
        """Yield ``(block, y, weight)``.

        Parameters
        ----------
        columns : Columns, optional
            The coordinates in which the rows will be needed.
        dense : bool
            Whether they will be needed as dense rows even if X is sparse.
        width : int
            Further numbers that will be needed for each row.
        """
        for part in self._parts(columns, dense, width):
            yield self._block(part)

    def _parts(self, columns=None, dense=False, width=0):
        """The blocks as slices of rows."""
        dense = dense or (columns is not None and columns.basis is not None)
        if self.is_sparse and not dense:
            size = min(-(-self.n_rows // n_threads(self.X.nnz)), max(1, _SPARSE_BYTES // (8 * (width + 1))))
        else:
            width += self.n_features + (columns.n_columns if columns else 0)
            size = max(1, BLOCK_BYTES // (8 * width))
        return [slice(start, min(start + size, self.n_rows)) for start in range(0, self.n_rows, size)]

    def _block(self, part, scratch=None):
        y, weight = self.y[part], self.weight[part]
        if self.is_sparse:
            return SparseBlock(_csr_rows(self.X, part), part, scratch), y, weight
        return DenseBlock(self.X[part].astype(float, copy=False), part, scratch), y, weight

    def reduce(self, function, columns=None, combine=operator.add, width=0):
        """Sum of ``function(block, y, weight)``, a tuple of arrays, over all blocks; on several threads if it pays.

        Parameters
        ----------
        function : callable
        columns : Columns, optional
            The coordinates in which the rows will be needed.
        combine : callable
            What to do instead of adding.
        width : int
            Further numbers that the function needs for each row.
        """
        parts = self._parts(columns, width=width)
        workers = min(self._n_threads(columns, width), len(parts))
        if workers == 1:
            return self._combine(function, combine, parts)
        bounds = np.linspace(0, len(parts), workers + 1).astype(int)
        shares = [parts[a:b] for a, b in pairwise(bounds)]
        totals = run([partial(self._combine, function, combine, share) for share in shares])
        return [reduce(combine, terms) for terms in zip(*totals, strict=True)]

    def _n_threads(self, columns, width):
        """Threads for a pass: what waits for memory has nothing of a second one, products of many columns have."""
        is_product = columns is not None and self.n_features >= _PRODUCT_COLUMNS
        if not (is_product or width >= _WIDE):
            return 1
        return n_threads(self.X.nnz if self.is_sparse else self.X.size)

    def _combine(self, function, combine, parts):
        scratch = Scratch()
        total = list(function(*self._block(parts[0], scratch)))
        for part in parts[1:]:
            for i, term in enumerate(function(*self._block(part, scratch))):
                total[i] = combine(total[i], term)
        return total

    def reduce_targets(self, function, of_squares=False):
        """Sum of ``function(y, weight, part)`` over blocks of rows, the slices ``part``, whose X is not needed.

        Parameters
        ----------
        function : callable
            A weighted sum over rows.
        of_squares : bool
            Whether it is a polynomial of y of degree two at the most, so that `targets` tell it too.
        """
        starts = range(0, self.n_rows, _TARGET_ROWS)
        parts = (slice(start, start + _TARGET_ROWS) for start in starts)
        return sum(function(self.y[part], self.weight[part], part) for part in parts)

    def gather(self, function, width=0):
        """``function(block, y, weight)`` of all blocks, stacked by rows; ``width`` as of `reduce`."""
        return np.concatenate([function(*block) for block in self.blocks(width=width)])

    def take(self, rows):
        """The same for some rows, copied."""
        offset = None if self.offset is None else self.offset[rows]
        return Rows(self.X[rows], self.y[rows], self.weight[rows], offset)

    def times(self, factor):
        """The same with all weights times a number."""
        return Rows(self.X, self.y, factor * self.weight, self.offset)

    def collected(self):
        """All rows in memory."""
        return self

    def _first_mean(self):
        """The mean of some rows."""
        block, _, weight = next(self.blocks())
        return weight @ block.X / weight.sum()

    def norms(self, columns, which):
        """Squared norm of each row over some standardised columns, but for rounding."""
        inverse = np.zeros(self.n_features)
        inverse[which] = 1 / columns.scale[which]
        norms = self.gather(lambda block, y, weight: block.norms(columns.shift, inverse))
        return np.maximum(norms, 0)

    def draw(self, size, columns, rare, seed):
        """About ``size`` rows and the chance that each had: one of each equal stretch, or more of the rare ones.

        Parameters
        ----------
        size : int
        columns : Columns
        rare : ndarray of int
            Columns whose variance is in few rows.
        seed : int

        Returns
        -------
        rows : Rows
        chance : ndarray
        """
        if not rare.size and np.ptp(self.weight) == 0:
            rows = self._stratified(size, seed)
            return self.take(rows), np.full(len(rows), size / self.n_rows)
        norms = self.weighted_norms(columns, rare)
        chance = self.chances(size, norms, norms.sum(), self.total_weight)
        rows = np.flatnonzero(np.random.default_rng(seed).random(self.n_rows) < chance)
        return self.take(rows), np.minimum(chance[rows], 1.0)

    def weighted_norms(self, columns, rare):
        """Weight of each row times its squared norm over the ``rare`` columns; the weight where there are none."""
        return self.weight * self.norms(columns, rare) if rare.size else self.weight

    def chances(self, size, norms, total_norm, total_weight):
        """The chance of each row: half by its weight, half by its norm."""
        return 0.5 * size * (self.weight / total_weight + norms / total_norm)


def stacked(many):
    """The rows of several `Rows`, one after the other."""
    tables = [rows.X for rows in many]
    X = sp.vstack(tables, format="csr") if any(map(sp.issparse, tables)) else np.concatenate(tables)
    y, weight = (np.concatenate([getattr(rows, name) for rows in many]) for name in ("y", "weight"))
    widths = [rows.offset.shape[1] for rows in many if rows.offset is not None]
    if not widths:
        return Rows(X, y, weight)
    offsets = [np.zeros((rows.n_rows, widths[0])) if rows.offset is None else rows.offset for rows in many]
    return Rows(X, y, weight, np.concatenate(offsets))
