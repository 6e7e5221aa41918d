"""Roots of curvature: a change of variables z = P u in which the curvature is near the identity.

`Coordinates` is what these and all other changes of variables offer. A factor of shape (n, r) also knows
``congruence(H)`` = P'H P, and ``newton(g)``, the decrement and the Newton step that it certifies.
"""

import numpy as np
from scipy.linalg import blas, block_diag, eigh, lapack

from sk_hessian._facts import fact

#: pivots of a unit-diagonal matrix below this lose more than half the digits: a column nearly combines others
NEAR_DEPENDENT = 1e-10

#: pivots below this have no digit left: along some direction curvature is next to nothing, or nothing
_BLIND = 1e-13

#: a diagonal entry below this share of the largest is zero: its inverse root would overflow in a product
_NOTHING = 1e-200


class Coordinates:
    """theta = T z."""

    shape: tuple[int, int]  #: of T
    reaches_all = True  #: whether every parameter vector is T z for some z
    mixed = slice(0)  #: the parameters that are of several z; each other one has a z of its own

    def apply(self, z):
        """T z, shape (n_parameters,)."""
        raise NotImplementedError

    def transpose(self, g):
        """T'g: a gradient in z from one in theta."""
        raise NotImplementedError

    def restrict(self, theta):
        """The part of ``theta`` that is T z for some z: the rest is flat, or zero at the optimum."""
        return theta


class Factor(Coordinates):
    """What all factors share: a root P of curvature is a change of variables too."""

    #: whether directions of little curvature are held back, so that P'HP is not the identity there
    is_floored: bool = False
    #: whether curvature along some direction is lost in rounding, so that no step along it means anything
    is_blind: bool = False

    def dense(self) -> np.ndarray:
        """P as a matrix."""
        raise NotImplementedError

    def congruence(self, H):
        """P'H P."""
        P = self.dense()
        return P.T @ H @ P

    def newton(self, g):
        """Half the squared Newton decrement g'P P'g / 2, and the Newton step -P P'g."""
        root = self.transpose(g)
        return 0.5 * float(root @ root), -self.apply(root)


class Identity(Factor):
    """P = I."""

    def __init__(self, size):
        self.shape = (size, size)

    def apply(self, u):
        """P u."""
        return u

    transpose = apply

    def congruence(self, H):
        """P'H P."""
        return H

    def dense(self):
        """P as a matrix."""
        return np.eye(self.shape[0])


class Diagonal(Factor):
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

    def dense(self):
        """P as a matrix."""
        return np.diag(self.d)


class Cholesky(Factor):
    """P = L^-T with H = L L', applied by triangular solves."""

    def __init__(self, L):
        self.L = np.asfortranarray(L)
        self.shape = L.shape

    @fact
    def is_blind(self):
        """See `Factor.is_blind`."""
        pivots, sizes = self.L.diagonal() ** 2, np.add.reduce(self.L * self.L, axis=1)
        return bool(np.logical_or.reduce(pivots < _BLIND * sizes))

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


class Spectral(Factor):
    """P = D V max(values, floor)^-1/2 for eigenpairs of D^-1 H D^-1: where H bends hardly, P is held back.

    Such a direction may be flat (and the gradient zero along it), or about to bend. The Newton step and decrement take
    the eigenvalues as they are, down to rounding: a gradient along a flat direction is far from an optimum. The values
    (r,) are non-negative but for rounding, the vectors of shape (r, r), ``unit`` (r,) the diagonal of D.
    """

    def __init__(self, values, vectors, unit):
        self.values, self.vectors, self.unit = values, vectors, unit
        largest = self.values.max(initial=0.0) or 1.0
        self.is_floored = bool((self.values < NEAR_DEPENDENT * largest).any())
        self.is_blind = bool((self.values < _BLIND * largest).any())
        self._resolved = np.maximum(self.values, len(unit) * np.finfo(float).eps * largest)
        self.matrix = unit[:, None] * self.vectors / np.sqrt(np.maximum(np.abs(self.values), NEAR_DEPENDENT * largest))
        self.shape = self.matrix.shape

    def apply(self, u):
        """P u."""
        return self.matrix @ u

    def transpose(self, g):
        """P'g."""
        return self.matrix.T @ g

    def dense(self):
        """P as a matrix."""
        return self.matrix

    def newton(self, g):
        """Half the squared Newton decrement, and the Newton step."""
        along = self.vectors.T @ (self.unit * g)
        return 0.5 * float(along @ (along / self._resolved)), -self.unit * (self.vectors @ (along / self._resolved))


class Kronecker(Factor):
    """A factor of C (x) A + diag(m) (x) Penalty for parameters W of shape (q, k), stored by rows.

    With V simultaneously diagonalising A and the penalty, and U the eigenvectors of C, the matrix is the diagonal grid
    a_j c_l + m l_j in the basis V (x) U (exact when every output has the same multiplier, or C is diagonal); see J.
    Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015. A (q, q) is
    the second moment of the features, C (k, k) the curvature across outputs, ``penalty`` (q, q) that of one output, and
    ``multiplier`` (k,) how much of it each output has; unequal ones need a diagonal C.
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

    def dense(self):
        """P as a matrix."""
        return np.kron(self.V, self.U) * self.grid.ravel()


class Stacked(Factor):
    """A block diagonal P, such as one block for each layer of a network."""

    def __init__(self, blocks):
        self.blocks = blocks
        rows, columns = np.cumsum([block.shape for block in blocks], axis=0).T
        self._rows, self._columns = rows[:-1], columns[:-1]
        self.shape = (rows[-1], columns[-1])

    def apply(self, u):
        """P u."""
        parts = np.split(u, self._columns)
        return np.concatenate([block.apply(part) for block, part in zip(self.blocks, parts, strict=True)])

    def transpose(self, g):
        """P'g."""
        parts = np.split(g, self._rows)
        return np.concatenate([block.transpose(part) for block, part in zip(self.blocks, parts, strict=True)])

    def dense(self):
        """P as a matrix."""
        return block_diag(*[block.dense() for block in self.blocks])


#: factors that leave out how parameters depend on each other, at least those of different layers
UNCOUPLED = (Identity, Diagonal, Kronecker, Stacked)


def inverse_root(values):
    """1 / sqrt(values), and 0 where a value is negligible beside the largest."""
    tiny = values <= np.finfo(float).eps * max(values.size, 16) * values.max(initial=0.0)
    return np.where(tiny, 0.0, 1 / np.sqrt(np.where(tiny, 1.0, values)))


def semidefinite_root(H):
    """A factor P with P'H P near I of a symmetric positive semi-definite H.

    Cholesky where every pivot of the unit-diagonal matrix is safe, else by eigenvectors; the identity where H is not
    finite, or empty.
    """
    if not (H.size and np.isfinite(H).all()):
        return Diagonal(np.ones(len(H)))
    unit = unit_scale(H)
    # in place, because a wide table's matrices are as large as may be
    L, info = lapack.dpotrf(_scaled(H, unit).T, lower=1, clean=1, overwrite_a=1)
    if info == 0 and L.diagonal().min(initial=1.0) ** 2 > NEAR_DEPENDENT:
        L /= unit[:, None]
        return Cholesky(L)
    values, vectors = eigh(_scaled(H, unit), driver="evd")
    return Spectral(values, vectors, unit)


def _scaled(H, unit):
    """diag(unit) H diag(unit), by rows."""
    scaled = np.multiply(H, unit, order="C")
    scaled *= unit[:, None]
    return scaled


def least_pivot(H):
    """The least pivot of a positive semi-definite H of unit diagonal: how far a row is from combining the others.

    At most `NEAR_DEPENDENT` where one nearly does.
    """
    unit = unit_scale(H)
    L, info = lapack.dpotrf(unit[:, None] * H * unit, lower=1)
    return 0.0 if info != 0 else float(np.minimum.reduce(L.diagonal(), initial=1.0) ** 2)


def unit_scale(H):
    """The d with diag(d) H diag(d) of unit diagonal; 1 where that is zero, or nothing beside the largest entry."""
    diagonal = H.diagonal()
    return 1 / np.sqrt(np.where(diagonal > _NOTHING * diagonal.max(initial=0.0), diagonal, 1.0))
