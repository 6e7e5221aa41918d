"""Posterior precisions of several structures: log-determinants, whitening, draws.

Each is that of the objective, per unit of W / dispersion, in the coordinates z of `Linearised`. With the
precision written R'R a class knows ``log_det``, ``whiten(J)`` = J R^-1, ``colour(u)`` = R^-1 u, and ``shrinkage``, the
trace of its inverse times the penalty; where coordinates are told apart ``shrinkages``, its terms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, eigh, lapack, qr, solve_triangular

#: roundings of a pivot, beside the size of the matrix
_ROUNDINGS = 16


def _rounding(size):
    return _ROUNDINGS * size * np.finfo(float).eps


class UndeterminedError(Exception):
    """Neither rows nor penalty determine the coordinate ``index``."""

    def __init__(self, index):
        self.index = int(index)


@dataclass(frozen=True)
class Core:
    """A precision within the part of the coordinates that has more than the penalty, perhaps of several alike."""

    R: np.ndarray  #: upper triangular, (d, d)
    penalty: np.ndarray  #: in its coordinates, (d,)
    project: Callable  #: from a gradient in the coordinates z to these, (d, n_copies)
    lift: Callable | None = None  #: from a change in these (d, n_copies) to one of z; None where others move along
    n_copies: int = 1


class Full:
    """R (d, d) upper triangular; an `UndeterminedError` where a column is a combination of the former, to rounding.

    ``least_sizes`` (d,) are sizes that rounding in a column may be beside, where these are larger than the column.
    """

    def __init__(self, R, penalty, least_sizes=0.0):
        sizes, pivots = np.maximum(np.sqrt((R**2).sum(axis=0)), least_sizes), np.abs(R.diagonal())
        dependent = ~(pivots > _rounding(len(R)) * sizes)
        if dependent.any():
            raise UndeterminedError(np.argmax(dependent))
        self.R, self.penalty, self.log_det = R, penalty, 2 * np.log(pivots).sum()
        self.shrinkages = self.inverse.diagonal() * penalty
        self.shrinkage = float(self.shrinkages.sum())

    @cached_property
    def inverse(self):
        """(R'R)^-1."""
        upper = lapack.dpotri(self.R, lower=0)[0]
        return np.triu(upper) + np.triu(upper, 1).T

    @property
    def core(self):
        """See `Core`."""
        return Core(self.R, self.penalty, lambda gradient: gradient[:, None], np.ravel)

    def whiten(self, J):
        """J R^-1, for J of shape (..., d)."""
        flat = J.reshape(-1, J.shape[-1])
        return solve_triangular(self.R, flat.T, trans="T").T.reshape(J.shape)

    def colour(self, u):
        """R^-1 u, for u of shape (d, m)."""
        return solve_triangular(self.R, u)


class Wide:
    """A'A + diag(penalty) with fewer rows than coordinates: full within the span of the rows, the prior outside of it.

    In units of the prior the rows of the penalised coordinates are L'V', with V orthonormal. The precision is that of
    V'z and of the coordinates without a penalty, `Full`, and one in every direction that V leaves out (the Woodbury
    identity, by orthogonal transformations). ``whiten`` has then more columns than there are coordinates. A is of shape
    (m, d), ``penalty`` and ``least_sizes`` (d,); an `UndeterminedError` as of `Full`.
    """

    def __init__(self, A, penalty, least_sizes):
        self._held, self._flat = np.flatnonzero(penalty > 0), np.flatnonzero(penalty == 0)
        self._unit = 1 / np.sqrt(penalty[self._held])
        self._V, L = qr((A[:, self._held] * self._unit).T, mode="economic")
        r, q = len(L), len(self._flat)
        rows = np.block([[np.eye(r), np.zeros((r, q))], [L.T, A[:, self._flat]]])
        try:
            sizes = np.append(np.zeros(r), least_sizes[self._flat])
            self._inner = Full(qr(rows, mode="r")[0][: r + q], np.repeat([1.0, 0.0], [r, q]), sizes)
        except UndeterminedError as error:
            raise UndeterminedError(self._flat[error.index - r]) from error
        self.log_det = self._inner.log_det - 2 * np.log(self._unit).sum()
        left_out = 1 - np.einsum("cr,cr->c", self._V, self._V)
        within = self._inner.whiten(np.hstack([self._V, np.zeros((len(self._V), q))]))
        self.shrinkages = np.zeros(len(penalty))
        self.shrinkages[self._held] = left_out + np.einsum("cr,cr->c", within, within)
        self.shrinkage = float(self.shrinkages.sum())

    @property
    def core(self):
        """See `Core`: within the span of the rows, outside of it the penalty is all of the curvature."""

        def project(gradient):
            within = self._V.T @ (self._unit * gradient[self._held])
            return np.concatenate([within, gradient[self._flat]])[:, None]

        return Core(self._inner.R, self._inner.penalty, project)

    @cached_property
    def inverse(self):
        """As of `Full`."""
        root = self.whiten(np.eye(len(self.shrinkages)))
        return root @ root.T

    def whiten(self, J):
        """J R^-1, for J of shape (..., d); (..., d + r)."""
        held = J[..., self._held] * self._unit
        within = held @ self._V
        inner = self._inner.whiten(np.concatenate([within, J[..., self._flat]], axis=-1))
        return np.concatenate([inner, held - within @ self._V.T], axis=-1)

    def colour(self, u):
        """R^-1 u, for u of shape (d, m)."""
        held = u[self._held]
        within = self._V.T @ held
        inner = self._inner.colour(np.vstack([within, u[self._flat]]))
        z = np.empty_like(u)
        z[self._held] = self._unit[:, None] * (held + self._V @ (inner[: len(within)] - within))
        z[self._flat] = inner[len(within) :]
        return z


class Shared:
    """The same precision for each of k targets, whose coordinates are stored by rows."""

    def __init__(self, one, n_targets):
        self._one, self._k = one, n_targets
        self.log_det = n_targets * one.log_det
        self.shrinkages = np.repeat(one.shrinkages, n_targets)
        self.shrinkage = n_targets * one.shrinkage

    @property
    def core(self):
        """See `Core`."""
        one = self._one.core

        def project(gradient):
            return np.hstack([one.project(g) for g in gradient.reshape(-1, self._k).T])

        return Core(one.R, one.penalty, project, one.lift, self._k)

    def whiten(self, J):
        """J R^-1, for J of shape (..., d)."""
        parts = np.moveaxis(J.reshape(*J.shape[:-1], -1, self._k), -1, 0)
        white = np.stack([self._one.whiten(part) for part in parts], axis=-1)
        return white.reshape(*J.shape[:-1], -1)

    def colour(self, u):
        """R^-1 u, for u of shape (d, m)."""
        parts = u.reshape(-1, self._k, u.shape[1])
        return np.stack([self._one.colour(part) for part in parts.swapaxes(0, 1)], axis=1).reshape(u.shape)


class OutputBlocks:
    """A diagonal of blocks (q, r, r): of one parameter each, or of the outputs that the loss sees of one input."""

    def __init__(self, blocks, penalty):
        diagonal = np.einsum("qrr->qr", blocks).ravel()
        if not (diagonal > 0).all():
            raise UndeterminedError(np.argmin(diagonal))
        L = np.linalg.cholesky(blocks)
        self.log_det = 2 * np.log(np.einsum("qrr->qr", L)).sum()
        self._inverse, self.size = np.linalg.inv(L), len(diagonal)
        strengths = penalty.reshape(L.shape[:2])
        self.shrinkages = np.einsum("qsr,qsr,qr->qr", self._inverse, self._inverse, strengths).ravel()
        self.shrinkage = float(self.shrinkages.sum())

    def whiten(self, J):
        """J R^-1, for J of shape (..., q r)."""
        parts = J.reshape(-1, *self._inverse.shape[:2])
        return np.einsum("nqr,qsr->nqs", parts, self._inverse).reshape(J.shape)

    def colour(self, u):
        """R^-1 u, for u of shape (q r, m)."""
        parts = u.reshape(*self._inverse.shape[:2], -1)
        return np.einsum("qsr,qsm->qrm", self._inverse, parts).reshape(u.shape)


class KroneckerLayer:
    """A (x) G + diag(penalty) (x) I for the parameters (q, r) of a layer, stored by rows.

    A (q, q) and G (r, r) are second moments of the inputs and of the gradients of the layer's outputs; the penalty is
    the same for all outputs of an input. With V'(A + diag(penalty))V = I and V'diag(penalty)V = diag(s), and U the
    eigenvectors of G, the precision is the grid (1 - s_j) g_l + s_j in the basis V^-T (x) U.
    """

    def __init__(self, A, G, penalty):
        penalty = penalty.reshape(len(A), len(G))[:, 0]
        base = A + np.diag(penalty)
        diagonal = base.diagonal()
        if not (diagonal > 0).all():
            raise UndeterminedError(np.argmin(diagonal) * len(G))
        unit = 1 / np.sqrt(diagonal)
        # far less than any penalty that matters: it keeps the factor of a matrix that is singular to rounding
        scaled = unit[:, None] * base * unit + _rounding(len(A)) * np.eye(len(A))
        root = solve_triangular(cholesky(scaled), np.eye(len(A))) * unit[:, None]
        share, Q = eigh((root.T * penalty) @ root)
        g, self.U = eigh(G)
        share, g = np.clip(share, 0, 1)[:, None], np.maximum(g, 0)
        grid = (1 - share) * g + share
        self.V, self.grid, self.size = root @ Q, grid, grid.size
        j, least = np.unravel_index(np.argmin(grid), grid.shape)
        if not grid[j, least] > _rounding(grid.size) * grid.max():
            raise UndeterminedError(np.argmax(np.abs(self.V[:, j])) * len(G) + np.argmax(np.abs(self.U[:, least])))
        self.log_det = np.log(grid).sum() - 2 * len(G) * np.linalg.slogdet(self.V)[1]
        self.shrinkage = float((share / grid).sum())

    def whiten(self, J):
        """J R^-1, for J of shape (..., q r)."""
        parts = J.reshape(-1, *self.grid.shape)
        return ((self.V.T @ parts @ self.U) / np.sqrt(self.grid)).reshape(J.shape)

    def colour(self, u):
        """R^-1 u, for u of shape (q r, m)."""
        parts = u.T.reshape(-1, *self.grid.shape) / np.sqrt(self.grid)
        return (self.V @ parts @ self.U.T).reshape(u.T.shape).T


class Layers:
    """Independent layers, an `OutputBlocks` or `KroneckerLayer` each."""

    def __init__(self, layers):
        self.layers, self._ends = layers, np.cumsum([layer.size for layer in layers])[:-1]
        self.log_det = sum(layer.log_det for layer in layers)
        self.shrinkage = sum(layer.shrinkage for layer in layers)

    @property
    def shrinkages(self):
        """Those of all layers."""
        return np.concatenate([layer.shrinkages for layer in self.layers])

    def whiten(self, J):
        """J R^-1, for J of shape (..., d)."""
        parts = zip(self.layers, np.split(J, self._ends, axis=-1), strict=True)
        return np.concatenate([layer.whiten(part) for layer, part in parts], axis=-1)

    def colour(self, u):
        """R^-1 u, for u of shape (d, m)."""
        parts = zip(self.layers, np.split(u, self._ends), strict=True)
        return np.concatenate([layer.colour(part) for layer, part in parts])


def full(at, kind):
    """The precision of all parameters of a `Linearised` model together, of observed or expected curvature."""
    k = n_alike(at)
    penalty = at.penalty[::k]
    if not at.objective.rows.in_memory:
        R = at.gram_root(kind)
        if R is None:
            raise ValueError(
                "some columns nearly depend on each other, and X comes in parts, whose products lose the digits that "
                "tell how nearly: drop a column, or give the penalty a number"
            )
        R = R[::k, ::k]
        one: Wide | Full = Full(R, penalty, at.sizes(R))
        return one if k == 1 else Shared(one, k)
    # what a matrix holds outside of the rows is a matter of all coordinates
    may_be_wide = not at.objective.l2.has_matrix
    if may_be_wide and observations(at.objective) // k + np.sum(penalty == 0) < len(penalty):
        A = np.vstack([root[::k, ::k] for root in at.roots(kind)])
        one = Wide(A, penalty, at.sizes(A))
    else:
        R = at.gram_root(kind) if at.objective.model.is_linear else None
        R = (at.triangle(kind) if R is None else R)[::k, ::k]
        one = Full(R, penalty, at.sizes(R))
    return one if k == 1 else Shared(one, k)


def n_alike(at):
    """How many targets share one matrix: all of a linear model of squared errors, if their penalties are alike."""
    objective, k = at.objective, at.objective.loss.n_outputs
    if not (objective.model.is_linear and objective.loss.quadratic) or objective.l2.has_matrix:
        return 1
    return k if np.ptp(at.penalty.reshape(-1, k), axis=1).max(initial=0.0) == 0 else 1


def observations(objective):
    """How many rows there are, one for each output: what the data alone determine is no more."""
    return objective.n_rows * objective.loss.n_outputs


def diagonal(at, kind):
    """That of each parameter by itself; of a softmax model's outputs given that they sum to zero; as `full`."""
    *hidden, last = at.coordinates.layers_of(at.diagonal(kind))
    blocks = [part[:, None, None] for part in hidden]
    blocks.append(_between_outputs(last.reshape(at.coordinates.shapes[-1][0], -1), at.coordinates.contrasts))
    return _by_layer(OutputBlocks, [(block,) for block in blocks], at)


def _between_outputs(values, basis):
    """The diagonals ``values`` (q, k) as blocks; in the ``basis`` (k, r) where the loss does not see all outputs."""
    if basis.shape[0] == basis.shape[1]:
        return values.reshape(-1, 1, 1)
    return np.einsum("ar,qa,as->qrs", basis, values, basis)


def kronecker(at, kind):
    """A Kronecker product for each layer; as `full`."""
    return _by_layer(KroneckerLayer, at.layer_moments(), at)


def _by_layer(structure, moments, at):
    layers = []
    for moment, part in zip(moments, at.coordinates.parts, strict=True):
        try:
            layers.append(structure(*moment, at.penalty[part]))
        except UndeterminedError as error:
            raise UndeterminedError(part.start + error.index) from error
    return Layers(layers)


STRUCTURES = {"full": full, "kronecker": kronecker, "diagonal": diagonal}
