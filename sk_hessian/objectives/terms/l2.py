"""The L2 penalty: a strength for each weight, and a matrix for the coefficients of each output."""

from functools import cached_property

import numpy as np
from scipy.linalg import block_diag, eigh

from sk_hessian.objectives.factors import unit_scale

#: eigenvalues of a penalty's matrix up to this share of the largest are rounding
_NOTHING = 16 * np.finfo(float).eps


class L2:
    """Half the weighted squares of a model's weights, and half a quadratic form in those of each output.

    With weights W (q, k), the first of the parameters, stored by rows,

        1/2 sum_jk strengths_jk W_jk^2 + 1/2 sum_k |R_k W_k|^2 + 1/2 sum_k W_k' M_k W_k.

    Nothing else reads strengths: a solver, a model and a row see what they add to a value, a gradient or a Hessian.

    Parameters
    ----------
    strengths : ndarray of shape (q, k)
        Where they differ by output, the product of a feature's and an output's strength.
    matrices : sequence of k ndarray of shape (q, q), optional
        M of each output, symmetric and positive semi-definite.
    roots : sequence of k ndarray of shape (r, q), optional
        R of each output, multiples of the same one: what is multiplied with the strengths, and M is not. A root keeps
        the digits that tell which combinations of weights it does not hold.
    """

    def __init__(self, strengths, matrices=None, roots=None):
        self._strengths, self._fixed, self._roots = strengths, matrices, roots
        #: whether it is more than a strength for each weight
        self.has_matrix = matrices is not None or roots is not None
        #: the strengths as one array, and how many parameters these belong to
        self._flat, self.size = strengths.reshape(-1), strengths.size

    @cached_property
    def _matrices(self):
        """What each output has beside its strengths: k matrices (q, q), formed where a matrix is asked for; or None."""
        if self._roots is None:
            return self._fixed
        squares = [R.T @ R for R in self._roots]
        return squares if self._fixed is None else [M + S for M, S in zip(self._fixed, squares, strict=True)]

    # -- facts ----------------------------------------------------------------------------------------------------

    @cached_property
    def is_present(self):
        """Whether there is any penalty."""
        return self.has_matrix or bool(self._strengths.any())

    @cached_property
    def holds_each(self):
        """Whether each weight has a strength, and there is nothing else."""
        return not self.has_matrix and bool(np.logical_and.reduce(self._strengths > 0, axis=None))

    @cached_property
    def is_definite(self):
        """Whether it holds every combination of weights."""
        free = self._strengths == 0
        if not self.has_matrix or not free.any():
            return not free.any()
        # what strengths do not hold, matrices must
        for output, which in enumerate(free.T):
            M = 0.0 if self._fixed is None else self._fixed[output][np.ix_(which, which)]
            R = np.zeros((0, which.sum())) if self._roots is None else self._roots[output][:, which]
            if len(root_of(M + R.T @ R)) < which.sum():
                return False
        return True

    @cached_property
    def is_product(self):
        """Whether it is a matrix of the features times a strength of each output."""
        if not self.has_matrix:
            return True
        is_alike = self._roots is None or all(np.array_equal(R, self._roots[0]) for R in self._roots[1:])
        return is_alike and bool(np.ptp(self._strengths, axis=1).max(initial=0.0) == 0)

    @cached_property
    def diagonal(self):
        """Its second derivative in each weight, shape (q, k)."""
        diagonal = self._strengths
        if self._fixed is not None:
            diagonal = diagonal + np.stack([M.diagonal() for M in self._fixed], axis=1)
        if self._roots is not None:
            diagonal = diagonal + np.stack([(R**2).sum(axis=0) for R in self._roots], axis=1)
        return diagonal

    def diagonal_of(self, n_parameters):
        """The same for all parameters, shape (n_parameters,): zero for intercepts and the loss's constants."""
        return np.concatenate((self.diagonal.reshape(-1), np.zeros(n_parameters - self.size)))

    @property
    def sizes(self):
        """The same, the mean over the outputs, shape (q,)."""
        return np.add.reduce(self.diagonal, axis=1) / self.diagonal.shape[1]

    @property
    def is_unpenalised(self):
        """Which features no strength holds, for any output, shape (q,) of bool; a matrix may hold combinations."""
        return (self._strengths == 0).all(axis=1)

    @cached_property
    def is_coupled(self):
        """Which features a matrix couples with others, shape (q,) of bool: none of them is zero by itself."""
        coupled = np.zeros(len(self._strengths), dtype=bool)
        for M in self._fixed or ():
            coupled |= np.count_nonzero(M, axis=1) > (M.diagonal() != 0)
        for R in self._roots or ():
            coupled |= (R[np.count_nonzero(R, axis=1) > 1] != 0).any(axis=0)
        return coupled

    # -- value and derivatives ------------------------------------------------------------------------------------

    def pull(self, theta):
        """Its gradient in the weights alone, shape (size,): the product of its Hessian with ``theta``."""
        pull = self._flat * theta[: self.size]
        W = theta[: self.size].reshape(self._strengths.shape)
        if self._fixed is not None:
            pull += np.stack([M @ w for M, w in zip(self._fixed, W.T, strict=True)], axis=1).reshape(-1)
        if self._roots is not None:
            pull += np.stack([R.T @ (R @ w) for R, w in zip(self._roots, W.T, strict=True)], axis=1).reshape(-1)
        return pull

    def value(self, theta):
        """The penalty at ``theta``."""
        return 0.5 * float(self.pull(theta) @ theta[: self.size])

    def gradient(self, theta):
        """Its gradient in all parameters, shape of ``theta``: that of the loss's constants is zero."""
        gradient = np.zeros(theta.shape)
        gradient[: self.size] = self.pull(theta)
        return gradient

    def add_to(self, H):
        """Add its Hessian to one of all parameters."""
        H.flat[: self.size * (len(H) + 1) : len(H) + 1] += self._flat
        k = self._strengths.shape[1]
        for output, M in enumerate(self._matrices or ()):
            H[output : self.size : k, output : self.size : k] += M

    def matrix(self, output):
        """Its Hessian in the weights of one output, shape (q, q)."""
        M = np.diag(self._strengths[:, output])
        return M + self._matrices[output] if self.has_matrix else M

    def root(self):
        """R with R'R its Hessian in the weights of all outputs, shape (r, size); no row of zeros."""
        k = self._strengths.shape[1]
        if not self.has_matrix:
            held = np.flatnonzero(self._flat)
            R = np.zeros((held.size, self.size))
            R[np.arange(held.size), held] = np.sqrt(self._flat[held])
            return R
        by_output = [root_of(self.matrix(output)) for output in range(k)]
        if self._roots is not None:
            rest = L2(self._strengths, self._fixed)
            by_output = [np.vstack([root_of(rest.matrix(j)), R]) for j, R in enumerate(self._roots)]
        # from output by output to rows of weights
        return block_diag(*by_output)[:, np.arange(self.size).reshape(k, -1).T.ravel()]

    def trace_with(self, root):
        """The trace of its Hessian with R R' for each output, shape (k,); R of shape (n_parameters, r)."""
        moved = np.stack([self.pull(column) for column in root.T], axis=1)
        return (moved * root[: self.size]).sum(axis=1).reshape(self._strengths.shape).sum(axis=0)

    # -- the same elsewhere ---------------------------------------------------------------------------------------

    def times(self, factor, of_matrices=None):
        """The same penalty, a number of times as strong; matrices another number of times.

        The factor may be one for each feature, (q, 1), the same for all that a structure couples.
        """
        matrices, roots = self._fixed, self._roots
        if matrices is not None:
            matrices = [(factor if of_matrices is None else of_matrices) * M for M in matrices]
        if roots is not None:
            root = np.sqrt(np.transpose(factor))
            roots = [R * root for R in roots]
        return L2(factor * self._strengths, matrices, roots)

    def chosen(self, which=None):
        """What a strength multiplies: all of it without the matrices; or of some features, (q,) of bool.

        No root couples these with others.
        """
        if which is None:
            return self if self._fixed is None else L2(self._strengths, None, self._roots)
        roots = self._roots and [R[(R[:, which] != 0).any(axis=1)] for R in self._roots]
        return L2(np.where(which[:, None], self._strengths, 0.0), None, roots)

    def least(self):
        """What the penalties of all outputs have at least, as that of one output."""
        roots = self._roots and [min(self._roots, key=np.linalg.norm)]
        return L2(self._strengths.min(axis=1)[:, None], self._fixed and self._fixed[:1], roots)

    def within(self, columns):
        """The `L2` in coordinates of a linear model's columns, the intercept's among them."""
        p, k = self._strengths.shape
        strengths, matrices, roots = np.zeros((p + columns.fit_intercept, k)), self._fixed, self._roots
        strengths[:p] = self._strengths / columns.scale[:, None] / columns.scale[:, None]
        padding = 0, int(columns.fit_intercept)
        if matrices is not None:
            matrices = [np.pad(M / columns.scale / columns.scale[:, None], (padding, padding)) for M in matrices]
        if roots is not None:
            roots = [np.pad(R / columns.scale, ((0, 0), padding)) for R in roots]
        if columns.basis is None:
            return L2(strengths, matrices, roots)
        B = columns.basis
        if columns.chooses:
            return L2(B.T @ strengths, matrices and [B.T @ M @ B for M in matrices])
        matrices = [B.T @ (M @ B) for M in matrices] if matrices is not None else [0.0] * k
        matrices = [M + (B.T * strength) @ B for M, strength in zip(matrices, strengths.T, strict=True)]
        return L2(np.zeros((B.shape[1], k)), matrices, roots and [R @ B for R in roots])

    def multiples_of(self, M, which):
        """Each output's multiple of M (r, r), the matrix of the least strengths of each feature, in any coordinates."""
        multiples = _multiples(self._strengths[which])
        return L2(np.zeros((len(M), len(multiples))), [M * multiple for multiple in multiples])

    def evened(self, strength, which, n_held, n_free):
        """The same in coordinates in which all of ``n_held`` weights have the same least strength; others have none."""
        strengths = np.zeros((n_held + n_free, self._strengths.shape[1]))
        strengths[:n_held] = strength * _multiples(self._strengths[which])
        return L2(strengths)

    def as_product(self, columns):
        """A matrix in coordinates of the columns, and a strength of each output: the Hessian is their product.

        The product is Kronecker's, and only near the Hessian unless it `is_product`.
        """
        k = self._strengths.shape[1]
        if self.has_matrix:
            of = self.within(columns)
            return np.add.reduce([of.matrix(output) for output in range(k)]) / k, np.ones(k)
        strengths = self._strengths.mean(axis=0)
        base = L2(self._strengths.mean(axis=1)[:, None] / (strengths.mean() or 1.0))
        return base.within(columns).matrix(0), strengths


def root_of(M):
    """R of shape (r, q) with R'R a positive semi-definite matrix, to rounding; r is its rank, whatever the units."""
    unit = unit_scale(M)
    values, vectors = eigh(unit[:, None] * M * unit)
    keep = values > _NOTHING * len(M) * values[-1]
    return np.sqrt(values[keep])[:, None] * vectors[:, keep].T / unit


def _multiples(strengths):
    """What each output has, (k,), in units of the least strength of each of some features (m, k)."""
    return strengths.sum(axis=0) / max(strengths.min(axis=1).sum(), np.finfo(float).tiny)
