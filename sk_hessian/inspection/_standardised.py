"""An objective near a point in comparable coordinates, in which eigenvalues and their signs mean something."""

import copy
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.solvers import plan

#: share of the largest curvature below which a coordinate has none
_NOTHING = np.finfo(float).eps ** 2

#: share of the mean curvature below which a network's coordinate is left as large: the Gauss-Newton matrix may vanish
#: where the Hessian does not, at units that hardly reach the outputs
_FLOOR_OF_NETWORKS = 1e-4

#: the same of the largest for functions, and the share of the largest eigenvalue up to which one is then zero: their
#: product is the accuracy of exact second derivatives, of differences of gradients, and of differences of values twice
_ACCURACY = {"nothing": (1e-8, 1e-8), "gradients": (1e-3, 1e-7), "values": (1e-2, 1e-3)}


class Standardised:
    """An objective near a point in coordinates u: theta = origin + T u.

    For models each column is centred (the intercept is that of a mean row) and every coordinate is in the unit in which
    its expected curvature, penalty included, is one: T'HT has the unit diagonal of a correlation matrix, but for what
    observed and expected curvature differ by, and for units of a network that hardly reach its outputs. For other
    functions a coordinate is in the unit of its own curvature, down to the accuracy of their differences; of many
    parameters, whose Hessian is not formed, it is the parameter itself. Eigenvalues change with T, their signs do not,
    because T is regular (Sylvester's law of inertia). Centred sums keep the digits that tell dependence from near
    dependence.

    The `identified` coordinates of an objective, those of posteriors, are centred alike. They leave out what the loss
    does not see (a common shift of outputs) and the loss's own parameters, and their units are the columns' and not the
    curvature's; these here are all of theta, so that an eigenvalue of zero can be told.
    """

    def __init__(self, objective, theta):
        self.objective, self.theta = objective, theta
        self._unit: np.ndarray = np.ones(theta.size)
        #: the coordinates of constant columns, which factors leave out: the coefficient against the intercept
        self.constant: np.ndarray = np.zeros(0, dtype=int)
        self._shifts: Any = None
        self._bend = 0.0
        self._factor = None
        if objective.model is not None:
            self._standardise()
        elif plan.forms_hessian(objective, theta.size):
            size = np.abs(objective.hessian_diagonal(theta))
            self._unit = _inverse_root(size, floor=accuracy(objective)[0] * size.max())

    def _standardise(self):
        objective = self.objective
        self._factor = objective.preconditioner(self.theta, "units")
        columns, (part, shape) = self._factor.outer.columns, objective.model.layers[0]
        constant = np.flatnonzero(~np.isfinite(columns.scale))
        if constant.size:
            grid = np.arange(self.theta.size)[part].reshape(shape)
            self.constant, self._intercept = grid[constant].ravel(), grid[len(columns.scale) :].ravel()
            self._values = columns.shift[constant]
            self._constant_penalty = objective.l2.diagonal_of(self.theta.size)[self.constant]
        diagonal = objective.hessian_diagonal(self.theta, "expected", factor=self._factor)
        if self.constant.size:
            diagonal[self.constant] = self._constant_penalty
        if objective.loss.shift_invariant:
            self._shifts, self._bend = objective.common_shift(self._factor.outer.summed_in), diagonal.mean()
        least = 0.0 if objective.model.is_linear else _FLOOR_OF_NETWORKS * diagonal.mean()
        self._unit = _inverse_root(diagonal, least)

    def to_theta(self, u):
        """T u, shape (n_parameters,)."""
        z = self._unit * u
        theta = z if self._factor is None else self._factor.apply(z)
        if self.constant.size:
            # nothing of it changes a prediction
            coef = z[self.constant]
            theta[self.constant] += coef
            if self._intercept.size:
                theta[self._intercept] -= self._values @ coef.reshape(len(self._values), -1)
        return theta

    def from_theta(self, D):
        """T^-1 D for directions (n_parameters, B)."""
        T = np.stack([self.to_theta(e) for e in np.eye(self.theta.size)], axis=1)
        # T is a diagonal and a few rows: in units of its diagonal nothing is lost
        diagonal = np.diag(T)
        return np.linalg.solve(T / diagonal[:, None], D / diagonal[:, None])

    def seen_by(self, objective):
        """The same coordinates for another objective, such as one of fewer rows."""
        seen = copy.copy(self)
        seen.objective = objective
        return seen

    def transpose(self, g):
        """T'g: a gradient in the coordinates from one in theta."""
        z = g if self._factor is None else self._factor.transpose(g)
        if self.constant.size:
            z = z.copy()
            z[self.constant] = g[self.constant]
            if self._intercept.size:
                z[self.constant] -= np.outer(self._values, g[self._intercept]).ravel()
        return self._unit * z

    def matrix(self, kind, without_symmetries=False):
        """T'HT as a matrix, where ``without_symmetries`` gives the common shift of softmax outputs curvature."""
        H = self.objective.hessian_matrix(self.theta, kind, factor=self._factor)
        if self.constant.size:
            H[self.constant, self.constant] = self._constant_penalty
        if without_symmetries and self._shifts is not None:
            H = H + self._bend * self._shifts.projected(np.eye(len(H)))
        return self._unit[:, None] * H * self._unit

    def operator(self, kind, without_symmetries=False):
        """The same by products, each one of the objective's Hessian."""
        H = self.objective.hessian(self.theta, kind)
        bends_shifts = without_symmetries and self._shifts is not None

        def product(u):
            u = np.ravel(u)
            bent = self.transpose(H.matvec(self.to_theta(u)))
            return bent + self._unit * self._bend * self._shifts.projected(self._unit * u) if bends_shifts else bent

        return LinearOperator((self.theta.size,) * 2, matvec=product, rmatvec=product, dtype=float)


def accuracy(objective):
    """The share of the largest curvature that a coordinate has at least, and that up to which an eigenvalue is zero."""
    return _ACCURACY[objective.facts.differences_of]


def _inverse_root(diagonal, floor):
    """1 / sqrt of a diagonal that is at least ``floor``; 1 where it is nothing."""
    diagonal = np.maximum(diagonal, floor)
    return 1 / np.sqrt(np.where(diagonal > _NOTHING * diagonal.max(initial=0.0), diagonal, 1.0))
