"""Bases of coefficients that are never formed: combinations of few rows, and some of the columns."""

from functools import cached_property

import numpy as np
from scipy.linalg import blas


class _Basis:
    """A map B (q, r) that is applied, and never formed; a subclass has ``shape`` and the products."""

    __array_ufunc__ = None  # so that ``array @ basis`` asks `__rmatmul__`

    shape: tuple

    def __len__(self):
        return self.shape[0]

    @cached_property
    def T(self):
        """The transpose, for products from the left."""
        return _Transposed(self)


class Span(_Basis):
    """B (q, r): standardised weights that are orthonormal combinations of rows, the intercept beside them.

    With S = (X - shift) unit and the triangular factor L (m, m) of the products of m of its rows with each other,
    S_m S_m' = L L', the columns of S_m' L^-T are orthonormal: S_m' L^-T z is the solution of a triangular system and
    one product with X. It takes the place of an array of this shape in products from either side.

    Parameters
    ----------
    rows : Rows
    shift, unit : ndarray of shape (p,)
        The unit of a constant column is zero.
    pivots : ndarray of shape (m,)
        The numbers of the rows.
    L : ndarray of shape (m, m)
        Lower triangular.
    scale : ndarray of shape (p,)
        Units of the standardised columns, finite ones.
    fit_intercept : bool
    """

    def __init__(self, rows, shift, unit, pivots, L, scale, fit_intercept):
        self._rows, self._shift, self._unit, self._pivots = rows, shift, unit, pivots
        self._L, self._lift, self._extra = np.asfortranarray(L), unit * scale, int(fit_intercept)
        self.shape = (len(shift) + self._extra, len(L) + self._extra)

    def __matmul__(self, z):
        z = np.asarray(z, dtype=float)
        m, columns = len(self._L), z.reshape(len(z), -1)
        out = np.empty((self.shape[0], columns.shape[1]))
        a = np.zeros((self._rows.n_rows, columns.shape[1]))
        if m:
            a[self._pivots] = blas.dtrsm(1.0, self._L, columns[:m], lower=1, trans_a=1)
        sums = self._rows.fold(lambda block, y, weight: (block.adjoint(a[block.part]),))[0]
        sums -= self._shift[:, None] * a.sum(axis=0)
        out[: len(sums)] = sums * (self._unit * self._lift)[:, None]
        out[len(sums) :] = columns[m:]
        return out.reshape(len(out), *z.shape[1:])

    def __rmatmul__(self, Z):
        return (self.T @ Z.T).T

    def transposed(self, g):
        """B' g, of shape (r,) or (r, k)."""
        g = np.asarray(g, dtype=float)
        p, columns = len(self._shift), g.reshape(len(g), -1)
        h = columns[:p] * (self._unit * self._lift)[:, None]
        S = self._rows.gather(lambda block, y, weight: block.forward(h))[self._pivots] - self._shift @ h
        out = np.empty((self.shape[1], columns.shape[1]))
        if len(self._L):
            out[: len(self._L)] = blas.dtrsm(1.0, self._L, S, lower=1)
        out[len(self._L) :] = columns[p:]
        return out.reshape(len(out), *g.shape[1:])

    def __array__(self, dtype=None, copy=None):
        return (self @ np.eye(self.shape[1])).astype(dtype or float, copy=False)


class Chosen(_Basis):
    """B (q, r): some of q coordinates, by their numbers ``which`` (r,); the others are zero."""

    def __init__(self, which, size):
        self._which, self.shape = which, (size, len(which))

    def __matmul__(self, z):
        out = np.zeros((self.shape[0], *z.shape[1:]), dtype=z.dtype)
        out[self._which] = z
        return out

    def __rmatmul__(self, Z):
        return Z[..., self._which]

    def transposed(self, g):
        """B' g, of shape (r,) or (..., r, k)."""
        return g[self._which] if g.ndim == 1 else g[..., self._which, :]

    def __array__(self, dtype=None, copy=None):
        return self @ np.eye(self.shape[1], dtype=dtype)


class _Transposed:
    """B' of a basis."""

    def __init__(self, basis):
        self._basis = basis

    def __matmul__(self, g):
        return self._basis.transposed(g)
