"""Preconditioners P as objects: a change of variables theta = P u in which the curvature is near the identity.

A factor of shape (n, r) knows ``apply(u)`` = P u, ``transpose(g)`` = P'g and ``congruence(H)`` = P'H P. A direction
that the curvature does not see (numerically null) is left out: P u never moves along it.
"""

import numpy as np
from scipy.linalg import blas, eigh, lapack

#: pivots of a unit-diagonal matrix below this lose more than half the digits: a column is nearly a combination of others
NEAR_DEPENDENT = 1e-10


class PointFactor:
    """A factor P together with the point at which the curvature was taken.

    Parameters
    ----------
    inner : a factor of this module
    theta : ndarray
        Where the Hessian was taken.
    curvature : {"expected", "observed", None}
        Of which Hessian P P' is the inverse there; None for an approximation.
    certifies : bool
        True when that is the exact one.
    """

    def __init__(self, inner, theta, curvature, certifies):
        self.inner, self.theta, self.curvature, self.certifies = inner, theta, curvature, certifies
        self.shape = inner.shape

    @property
    def is_full(self):
        """Whether it sees the coupling of the parameters."""
        return not isinstance(self.inner, Diagonal)

    def apply(self, u):
        """P u, shape (n_parameters,)."""
        return self.inner.apply(u)

    def transpose(self, g):
        """P'g, shape (r,)."""
        return self.inner.transpose(g)

    def restrict(self, theta):
        """The part of ``theta`` that the coordinates can reach."""
        return theta


class Diagonal:
    """P = diag(d): each parameter in its own unit."""

    def __init__(self, d):
        self.d = d
        self.shape = (len(d), len(d))

    def apply(self, u):
        """P u."""
        return self.d * u

    transpose = apply

    def congruence(self, H):
        """P'H P."""
        return self.d[:, None] * H * self.d


class Cholesky:
    """P = L^-T with H = L L', applied by triangular solves."""

    def __init__(self, L):
        self.L = np.asfortranarray(L)
        self.shape = L.shape

    def apply(self, u):
        """P u."""
        return blas.dtrsv(self.L, u, lower=1, trans=1)

    def transpose(self, g):
        """P'g."""
        return blas.dtrsv(self.L, g, lower=1)

    def congruence(self, H):
        """P'H P."""
        half = blas.dtrsm(1.0, self.L, H, lower=1)
        return blas.dtrsm(1.0, self.L, half, side=1, lower=1, trans_a=1)

    def dense(self):
        """P as a matrix."""
        return blas.dtrsm(1.0, self.L, np.eye(len(self.L)), lower=1, trans_a=1)


class Dense:
    """P given as an (n, r) matrix, such as scaled eigenvectors."""

    def __init__(self, matrix):
        self.matrix = matrix
        self.shape = matrix.shape

    def apply(self, u):
        """P u."""
        return self.matrix @ u

    def transpose(self, g):
        """P'g."""
        return self.matrix.T @ g

    def congruence(self, H):
        """P'H P."""
        return self.matrix.T @ H @ self.matrix

    def dense(self):
        """P as a matrix."""
        return self.matrix


class Kronecker:
    """A factor of C (x) A + diag(m) (x) Penalty for parameters W of shape (q, k), stored by rows.

    With V simultaneously diagonalising A and the penalty, and U the eigenvectors of C, the matrix is the diagonal
    grid a_j c_l + m l_j in the basis V (x) U (exact when every output has the same multiplier, or C is diagonal).

    Parameters
    ----------
    A : ndarray of shape (q, q)
        Second moment of the features.
    C : ndarray of shape (k, k)
        Curvature across outputs.
    penalty : ndarray of shape (q, q)
        Penalty of one output.
    multiplier : ndarray of shape (k,)
        How much of it each output has; unequal ones need a diagonal C.

    References
    ----------
    .. [1] J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015.
    """

    def __init__(self, A, C, penalty, multiplier):
        strength = multiplier.mean()
        base = semidefinite_root(A + strength * penalty)
        share, rotation = eigh(strength * base.congruence(penalty), driver="evd")
        share = np.clip(share, 0, 1)
        self.V = base.dense() @ rotation
        if np.ptp(multiplier) > 0:
            c, self.U = np.diag(C), np.eye(len(C))
        else:
            c, self.U = eigh(C, driver="evd")
        relative = multiplier / strength if strength > 0 else np.ones(len(C))
        grid = np.outer(1 - share, np.maximum(c, 0)) + np.outer(share, relative)
        self.grid = inverse_root(grid)
        self.shape = (len(A) * len(C), self.grid.size)

    def apply(self, u):
        """P u."""
        return (self.V @ (u.reshape(self.grid.shape) * self.grid) @ self.U.T).ravel()

    def transpose(self, g):
        """P'g."""
        G = g.reshape(len(self.V), len(self.U))
        return ((self.V.T @ G @ self.U) * self.grid).ravel()

    def congruence(self, H):
        """P'H P."""
        P = np.kron(self.V, self.U) * self.grid.ravel()
        return P.T @ H @ P


def inverse_root(values):
    """1 / sqrt(values), and 0 where a value is negligible beside the largest."""
    tiny = values <= np.finfo(float).eps * max(values.size, 16) * values.max(initial=0.0)
    return np.where(tiny, 0.0, 1 / np.sqrt(np.where(tiny, 1.0, values)))


def semidefinite_root(H):
    """A factor P with P'H P = I on the range of a symmetric positive semi-definite H.

    Cholesky where every pivot of the unit-diagonal matrix is safe, else scaled eigenvectors without the null ones.
    """
    unit = unit_scale(H)
    scaled = unit[:, None] * H * unit
    L, info = lapack.dpotrf(scaled, lower=1, clean=1)
    if info == 0 and np.diag(L).min(initial=1.0) ** 2 > NEAR_DEPENDENT:
        return Cholesky(L / unit[:, None])
    return spectral_root(scaled, unit)


def is_near_dependent(H):
    """Whether a row of a positive semi-definite H is nearly a combination of the others."""
    unit = unit_scale(H)
    L, info = lapack.dpotrf(unit[:, None] * H * unit, lower=1)
    return info != 0 or np.diag(L).min(initial=1.0) ** 2 <= NEAR_DEPENDENT


def unit_scale(H):
    """D with diag(d) H diag(d) of unit diagonal; 1 where the diagonal is zero."""
    diagonal = np.diag(H)
    return 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


def spectral_root(H, unit):
    """diag(unit) V |lambda|^-1/2 over the eigenpairs of H that are not numerically null."""
    values, vectors = eigh(H, driver="evd")
    roots = inverse_root(np.abs(values))
    keep = roots > 0
    return Dense(unit[:, None] * vectors[:, keep] * roots[keep])
