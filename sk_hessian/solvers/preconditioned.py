"""An objective seen through theta = origin + P u, where its curvature is near the identity.

Every solver runs in u; with P the identity it runs on the objective itself.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator


class Identity:
    """P = I, for ``precondition=None``."""

    certifies = False
    curvature = None
    inflation = np.inf
    is_full = False

    def __init__(self, theta):
        self.theta = theta
        self.shape = (theta.size, theta.size)

    def apply(self, u):
        """P u."""
        return u

    def transpose(self, g):
        """P'g."""
        return g

    def restrict(self, theta):
        """Every parameter vector can be reached."""
        return theta

    def dense(self):
        """P as a matrix."""
        return np.eye(self.theta.size)


class Refined:
    """P R: a factor refined by a root R of the inverse Hessian in its coordinates."""

    def __init__(self, outer, root, theta, certifies):
        self.outer, self.root, self.theta, self.certifies = outer, root, theta, certifies
        self.inflation = 1.0 if certifies else np.inf

    def apply(self, u):
        """P R u."""
        return self.outer.apply(self.root.apply(u))

    def transpose(self, g):
        """R'P'g."""
        return self.root.transpose(self.outer.transpose(g))

    def solve(self, slope):
        """R R' times a gradient in the coordinates of P."""
        return self.root.apply(self.root.transpose(slope))

    def newton(self, g):
        """Half the squared Newton decrement and the Newton step."""
        root = self.transpose(g)
        return 0.5 * float(root @ root), -self.apply(root)


@dataclass
class Counts:
    """How often the data were visited, in passes over all rows."""

    evaluations: float = 0.0
    hessians: float = 0.0
    products: float = 0.0
    others: float = 0.0

    @property
    def passes(self):
        """All visits together."""
        return self.evaluations + self.hessians + self.products + self.others


@dataclass(frozen=True)
class Point:
    """An iterate with what was computed there.

    Attributes
    ----------
    u, theta : ndarray
        Preconditioned and user's coordinates.
    value : float
    gradient, slope : ndarray
        Gradients in theta and in u.
    objective : Objective
        Of which this is a point.
    noise : float
        Rounding error of the value: smaller differences mean nothing.
    """

    u: np.ndarray
    theta: np.ndarray
    value: float
    gradient: np.ndarray
    slope: np.ndarray
    objective: Any
    noise: float = 0.0

    @cached_property
    def floor(self):
        """The least decrement that rounding leaves here."""
        return self.objective.floor(self.theta) if np.isfinite(self.value) else 0.0


class Preconditioned:
    """``objective`` in the coordinates u of theta = origin + P u.

    Parameters
    ----------
    objective : objective
    factor : factor of the objective, or `Identity`
    origin : ndarray
    counts : Counts
    share : float
        The part of the rows that an evaluation visits.
    """

    def __init__(self, objective, factor, origin, counts, share=1.0):
        self.objective, self.factor, self.counts = objective, factor, counts
        self.origin = origin
        #: whether u is theta
        self.is_identity = isinstance(factor, Identity)
        self._share = share

    @property
    def has_full_factor(self):
        """Whether the factor sees the coupling of the parameters."""
        return self.factor.is_full

    def evaluate(self, u, needs_gradient=True):
        """The `Point` at ``u``: one pass.

        Without a finite gradient there is no way on from a point: it counts as one outside the domain, unless that is
        not asked for.
        """
        theta = self.origin + self.factor.apply(u)
        self.counts.evaluations += self._share
        value, gradient = self.objective.value_and_gradient(theta)
        if not np.isfinite(value) or (needs_gradient and not np.logical_and.reduce(np.isfinite(gradient))):
            return Point(u, theta, np.inf, np.zeros_like(theta), np.zeros_like(u), self.objective)
        # at once, while the objective remembers the slopes of its rows
        noise = self.objective.noise(theta, value)
        return Point(u, theta, value, gradient, self.factor.transpose(gradient), self.objective, noise)

    def start(self):
        """The `Point` at the origin, whether its gradient is finite or not."""
        return self.evaluate(np.zeros(self.factor.shape[1]), needs_gradient=False)

    def slope(self, u):
        """The gradient at ``u``, and whether the value there is finite."""
        self.counts.evaluations += self._share
        value, gradient = self.objective.value_and_gradient(self.origin + self.factor.apply(u))
        return self.factor.transpose(gradient), np.isfinite(value)

    def hessian(self, point, kind):
        """P'HP at ``point`` as a `LinearOperator`."""
        operator, factor, r = self.objective.hessian(point.theta, kind), self.factor, self.factor.shape[1]

        def product(u):
            self.counts.products += self._share
            return factor.transpose(operator.matvec(factor.apply(np.ravel(u))))

        return LinearOperator((r, r), matvec=product, rmatvec=product, dtype=float)

    def hessian_matrix(self, point, kind):
        """P'HP at ``point`` as a matrix."""
        self.counts.hessians += self._share
        factor = None if self.is_identity else self.factor
        return self.objective.regular_hessian_matrix(point.theta, kind, factor=factor)

    def hessian_diagonal(self, point, kind):
        """The diagonal of P'HP at ``point``."""
        self.counts.hessians += 1
        factor = None if self.is_identity else self.factor
        return self.objective.hessian_diagonal(point.theta, kind, factor=factor)

    def sample(self, rows):
        """The same coordinates for the objective on some rows."""
        share = len(rows) / self.objective.n_rows
        return Preconditioned(self.objective.sample(rows), self.factor, self.origin, self.counts, share)

    def restricted(self):
        """The same problem with its origin where the factor's coordinates can reach it."""
        return Preconditioned(self.objective, self.factor, self.factor.restrict(self.origin), self.counts)

    def refactored(self, factor, point):
        """The problem in coordinates of another ``factor`` with its origin at ``point``, and that point in them."""
        problem = Preconditioned(self.objective, factor, point.theta, self.counts)
        moved = replace(point, u=np.zeros(factor.shape[1]), slope=factor.transpose(point.gradient))
        return problem, moved
