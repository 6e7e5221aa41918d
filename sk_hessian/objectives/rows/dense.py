"""Rows of an array: a block of them, and the container.

What `DenseBlock` does by `DenseBlock.dense` alone serves the blocks of every kind.
"""

from functools import cached_property

import numpy as np
from scipy.linalg import blas

from sk_hessian.objectives.rows.grams import Scratch, bordered, triangle, weighted_grams
from sk_hessian.objectives.rows.table import BLOCK_BYTES, Rows, slices

#: numbers up to which standardised rows are kept beside the rows themselves: 4 MB
_MOST_KEPT = 500_000

#: share of the columns that take less time by themselves
_FEW = 1 / 3

#: products of columns up to which they are kept for the grams of several weights, which are then one product, 0.8 MB
_MOST_PRODUCTS = 100_000

#: bytes of centred columns that are made at a time, so that they stay in the cache
_CENTRED_BYTES = 2**21


def _is_by_columns(V):
    return V.ndim > 1 and V.flags.f_contiguous and not V.flags.c_contiguous


class DenseBlock:
    """Rows ``part`` of X (n, p) as float64; their ``offset`` (n, n_outputs) or None is added to raw predictions."""

    def __init__(self, X, part=slice(None), offset=None, scratch=None):
        self._X, self.part, self.offset, self._scratch = X, part, offset, scratch or Scratch()

    @property
    def n_rows(self):
        """Number of rows."""
        return self._X.shape[0]

    @property
    def n_columns(self):
        """Number of columns."""
        return self._X.shape[1]

    def dense(self):
        """X as an array."""
        return self._X

    def forward(self, V):
        """X @ V; in the order of V, by rows or by columns, where rows are dense."""
        return (V.T @ self._X.T).T if _is_by_columns(V) else self._X @ V

    def adjoint(self, R):
        """X.T @ R; in the order of R."""
        return (R.T @ self._X).T if _is_by_columns(R) else self._X.T @ R

    def sizes(self, V):
        """|X| @ V: how large the terms are of which `forward` is the sum."""
        return abs(self._X) @ V

    def standardised(self, columns, out=None):
        """The rows in the coordinates of ``columns``, shape (n, n_columns); ``out`` is for columns without a basis."""
        Z = self._centred(columns, out)
        Z[:, : len(columns.scale)] /= columns.scale
        return Z if columns.basis is None else Z @ columns.basis

    def through(self, columns):
        """The same rows in these coordinates, as a block."""
        return DenseBlock(self.standardised(columns), self.part, self.offset)

    def _centred(self, columns, out=None):
        X = self.dense()
        n, p = X.shape
        Z = np.empty((n, p + columns.fit_intercept)) if out is None else out
        np.subtract(X, columns.shift, out=Z[:, :p])
        Z[:, p:] = 1
        return Z

    def gram(self, weights, columns):
        """Z' diag(w) Z for every column w of ``weights`` (n, m), Z the standardised rows; shape (m, r, r)."""
        if columns.is_raw:
            if weights.shape[1] > 1 and self._X.size * self._X.shape[1] <= _MOST_PRODUCTS:
                grams = weights.T @ self._products
                return grams.reshape(len(grams), self._X.shape[1], self._X.shape[1])
            return weighted_grams(self._X, weights, self._scratch)
        if columns.basis is None and columns.has_no_units:
            sums = np.empty((weights.shape[1], self._X.shape[1]))
            return bordered(weighted_grams(self._X, weights, self._scratch, sums), sums, weights.sum(axis=0))
        if columns.inverse_units is None:
            return weighted_grams(self.standardised(columns), weights, self._scratch)
        grams = weighted_grams(self._centred(columns), weights, self._scratch)
        grams *= columns.inverse_units[:, None] * columns.inverse_units
        return grams

    def cross(self, R, columns):
        """The standardised rows' Z'R, for a sparse R (n, r); of the features, without the column of ones, (p, r)."""
        return self.standardised(columns)[:, : self.n_columns].T @ R

    @cached_property
    def _products(self):
        """The products of each row's entries, shape (n, p^2)."""
        n, p = self._X.shape
        return (self._X[:, :, None] * self._X[:, None, :]).reshape(n, p * p)

    def squares(self, weights, columns):
        """The diagonals of `gram`, shape (m, r)."""
        return weights.T @ self.standardised(columns) ** 2

    def norms(self, shift, inverse, which):
        """Squared norm of each row of (X - shift) * inverse, but for rounding; that is zero but for ``which``."""
        if len(which) <= _FEW * len(shift):
            Z = (self._X[:, which] - shift[which]) * inverse[which]
            return np.einsum("ij,ij->i", Z, Z)
        Z = np.multiply(self._X, inverse, out=self._scratch.array(self._X.shape))
        centre = shift * inverse
        return np.einsum("ij,ij->i", Z, Z) + centre @ centre - 2 * (Z @ centre)

    def deviations(self, weight, shift, unit, which):
        """Weighted sums of (X - shift) / unit and of its square; ``unit`` None for one, ``which`` None for all."""
        X = self._X if which is None else self._X[:, which]
        n, p = X.shape
        # not the block's own, which lives as long as the rows of a sample
        sums, squares, scratch = np.empty(p), np.empty(p), Scratch()
        for part in slices(p, max(1, _CENTRED_BYTES // (8 * n))):
            centred = np.subtract(X[:, part], shift[part], out=scratch.array((n, part.stop - part.start)))
            if unit is not None:
                centred /= unit[part]
            sums[part] = weight @ centred
            centred *= centred
            squares[part] = weight @ centred
        return sums, squares

    def peaks(self, shift, which):
        """The largest |X - shift| of some columns."""
        return np.abs(self._X[:, which] - shift).max(axis=0)


class DenseRows(Rows):
    """Rows of an array or a memory-mapped one."""

    is_array = True

    @staticmethod
    def holds(X):
        """See `Rows.holds`."""
        return True

    @staticmethod
    def table(X):
        """See `Rows.table`."""
        return np.asarray(X)

    @staticmethod
    def joined(tables):
        """See `Rows.joined`."""
        return np.concatenate(tables)

    def standing_in(self, of_squares):
        """See `BaseRows.standing_in`: without columns, unless these cost nothing."""
        few = super().standing_in(of_squares)
        if few is not self or (self.n_rows <= self.block_size(None, 0) and self.X.dtype == float):
            return few
        return DenseRows(self.X[:, :0], self.y, self.weight, self.offset)

    def block(self, part, scratch=None):
        """See `Rows.block`."""
        return DenseBlock(self.X[part].astype(float, copy=False), part, self.offset_of(part), scratch)

    def kept_in(self, columns):
        """See `BaseRows.kept_in`."""
        if self.n_rows * columns.n_columns > _MOST_KEPT or columns.inverse_units is None:
            return None
        # by columns: what belongs to a column, or to a row, then acts along the longer side
        Z = np.empty((self.n_rows, columns.n_columns), order="F")
        for block, _, _ in self.blocks():
            block.standardised(columns, Z[block.part])
        return self.replaced(Z)

    def replaced(self, Z):
        """The same rows with other columns Z (n, r), which are kept as one array."""
        kept = DenseRows(Z, self.y, self.weight, self.offset)
        kept.matrix = Z
        return kept

    def kernel(self, shift, unit):
        """The products of the rows (X - shift) * unit with each other, (n, n); the lower triangle alone is filled.

        By blocks of columns, so that nothing of the size of X is made.
        """
        K = np.zeros((self.n_rows, self.n_rows), order="F")
        for S in self._by_columns(shift, unit, max(1, BLOCK_BYTES // (8 * self.n_rows))):
            K = blas.dsyrk(1.0, S.T, beta=1.0, c=K, trans=1, lower=1, overwrite_c=1)
        return K

    def kernel_root(self, shift, unit):
        """The triangular R (m, n) with R'R as of `kernel`, with the digits that the products lose."""
        R = np.zeros((0, self.n_rows))
        for S in self._by_columns(shift, unit, self.n_rows):
            R = triangle(np.vstack([R, S.T]))
        return R

    def _by_columns(self, shift, unit, width):
        """Yield (X - shift) * unit for so many columns at a time, until the next in the same memory."""
        scratch = Scratch()
        for part in slices(self.n_features, width):
            S = scratch.array((self.n_rows, part.stop - part.start))
            np.subtract(self.X[:, part], shift[part], out=S)
            S *= unit[part]
            yield S
