"""Rows of a sparse matrix."""

import numpy as np
import scipy.sparse as sp

from sk_hessian.objectives.rows.dense import DenseBlock
from sk_hessian.objectives.rows.grams import bordered, centred, weighted_grams
from sk_hessian.objectives.rows.table import Rows
from sk_hessian.objectives.rows.threads import n_threads

#: bytes of what a pass computes for the rows of a block
BLOCK_BYTES = 2**26

#: rows of a block of a pass, or four for each column, whose sums are added: 200,000 x 300 with 3 entries a row takes
#: 5.3 ms by such blocks and 7.7 as one
BLOCK_ROWS = 2**14

#: entries of a block of products of the columns, if these take several times as long as the sum of two such products:
#: 120,000 x 477 with 28 entries a row takes 0.6 s by such blocks and 1.1 as one
BLOCK_ENTRIES = 2**19


def _with(X, data):
    """A matrix with other entries at the same places."""
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)


def _in_units(X, inverse):
    """The columns of X times these numbers, without the search for places that a product of matrices is."""
    return _with(X, X.data * inverse[X.indices])


class SparseBlock(DenseBlock):
    """Some rows of a matrix in CSR form; nothing but `dense` and `standardised` makes it dense."""

    def dense(self):
        """See `DenseBlock.dense`; for a few rows at a time."""
        return self._X.toarray()

    def gram(self, weights, columns):
        """See `DenseBlock.gram`: the shift enters by a correction of low rank."""
        if columns.basis is not None:
            return weighted_grams(self.standardised(columns), weights, self._scratch)
        X, shift = (self._X, columns.shift) if columns.has_no_units else self._scaled(columns)
        lengths = np.diff(X.indptr)
        grams = np.stack([(X.T @ _with(X, X.data * np.repeat(w, lengths))).toarray() for w in weights.T])
        grams = centred(bordered(grams, (X.T @ weights).T, weights.sum(axis=0)), shift)
        return grams if columns.fit_intercept else grams[:, :-1, :-1]

    def cross(self, R, columns):
        """See `DenseBlock.cross`: the shift enters by a correction of rank one."""
        X, shift = self._scaled(columns)
        return (X.T @ R).toarray() - np.multiply.outer(shift, R.sum(axis=0))

    def _scaled(self, columns):
        return _in_units(self._X, 1 / columns.scale), columns.shift / columns.scale

    def squares(self, weights, columns):
        """See `DenseBlock.squares`."""
        if columns.basis is not None:
            return super().squares(weights, columns)
        X, shift = self._scaled(columns)
        total = weights.sum(axis=0)[:, None]
        squares = weights.T @ _with(X, X.data**2) - 2 * shift * (weights.T @ X) + total * shift**2
        return np.hstack([squares, total]) if columns.fit_intercept else squares

    def norms(self, shift, inverse, which):
        """See `DenseBlock.norms`."""
        Z, centre = _in_units(self._X, inverse), shift * inverse
        return _with(Z, Z.data**2) @ np.ones(len(shift)) + centre @ centre - 2 * (Z @ centre)

    def deviations(self, weight, shift, unit, which):
        """See `DenseBlock.deviations`; where ``shift`` is not zero the columns are made dense."""
        X = self._X if which is None else self._X[:, which]
        if shift.any():
            return DenseBlock(X.toarray()).deviations(weight, shift, unit, None)
        X = X if unit is None else _in_units(X, 1 / unit)
        return weight @ X, weight @ _with(X, X.data**2)

    def peaks(self, shift, which):
        """See `DenseBlock.peaks`; ``shift`` must be zero."""
        return np.abs(self._X[:, which]).max(axis=0).toarray().ravel()


class SparseRows(Rows):
    """Rows of a matrix in canonical CSR form."""

    sums_about_zero = True

    @staticmethod
    def holds(X):
        """See `Rows.holds`."""
        return sp.issparse(X)

    @staticmethod
    def table(X):
        """See `Rows.table`; copied only where entries are double or the format is another."""
        X = sp.csr_array(X)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        return X

    @staticmethod
    def joined(tables):
        """See `Rows.joined`."""
        return sp.vstack(tables, format="csr")

    def kernel(self, shift, unit):
        """See `DenseRows.kernel`; both triangles."""
        Z, centre = _in_units(self.X, unit), shift * unit
        along = Z @ centre
        return (Z @ Z.T).toarray() + (centre @ centre - along - along[:, None])

    def block_size(self, columns, width, workers=1):
        """See `Rows.block_size`; what a pass computes for each row stays in the cache, unless a basis makes them dense.

        Products of the columns are of more rows, because each block adds a matrix of them.
        """
        if columns is not None and columns.basis is not None:
            return super().block_size(columns, width, workers)
        of_thread = -(-self.n_rows // n_threads(self.n_numbers))
        most = max(1, BLOCK_BYTES // (8 * (width + 1)))
        p, per_row = self.n_features, max(1.0, self.numbers_per_row)
        usual = max(BLOCK_ROWS, 4 * p)
        if columns is not None:
            usual = int(max(usual, BLOCK_ENTRIES / per_row, 4 * (p / per_row) ** 2))
        return min(of_thread, most, usual)

    def block(self, part, scratch=None):
        """See `Rows.block`; without copying entries."""
        start, stop = self.X.indptr[part.start], self.X.indptr[part.stop]
        entries = (
            self.X.data[start:stop],
            self.X.indices[start:stop],
            self.X.indptr[part.start : part.stop + 1] - start,
        )
        X = sp.csr_array(entries, shape=(part.stop - part.start, self.n_features))
        return SparseBlock(X, part, self.offset_of(part), scratch)
