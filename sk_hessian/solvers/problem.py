"""An objective as a solver sees it: through theta = origin + P u, where its curvature is near the identity.

Every solver runs in u; with P the identity it runs on the objective itself. Every visit to the rows is counted here.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives.factors import Diagonal


@dataclass
class Counts:
    """How often the data were visited, in passes over all rows."""

    evaluations: float = 0.0
    hessians: float = 0.0
    products: float = 0.0
    others: float = 0.0
    shared: float = 0.0  #: visits that were an evaluation and a Hessian at once

    @property
    def passes(self):
        """All visits together."""
        return self.evaluations + self.hessians + self.products + self.others - self.shared

    def plus(self, other):
        """These counts and others together."""
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Counts)))


class Point:
    """An iterate: an `Evaluation` of the objective, and how it looks in the coordinates u (r,) of a problem.

    Its value is +inf outside the domain, and where there is no finite gradient to go on with; ``slope`` (r,) is the
    gradient in u, and differences of the value below ``noise``, its rounding error, mean nothing.
    """

    def __init__(self, u, here, value, slope, noise):
        self.u, self.here, self.value, self.slope, self.noise = u, here, value, slope, noise

    @property
    def theta(self):
        """The user's parameters."""
        return self.here.theta

    @property
    def gradient(self):
        """The gradient in them; zero outside the domain."""
        return self.here.gradient if math.isfinite(self.value) else np.zeros_like(self.theta)

    @property
    def floor(self):
        """The least decrement that rounding leaves here."""
        return self.here.floor if np.isfinite(self.value) else 0.0


class Problem:
    """``objective`` in the coordinates u of theta = origin + P u.

    Parameters
    ----------
    objective : Objective
    factor : PointFactor
        P.
    origin : Evaluation
        Where u is zero.
    counts : Counts
    share : float
        The part of the rows that an evaluation visits.
    """

    def __init__(self, objective, factor, origin, counts, share=1.0):
        self.objective, self.factor, self.origin, self.counts = objective, factor, origin, counts
        #: whether u is theta
        self.is_identity = factor.is_identity
        self.share, self._seen = share, objective.through(factor.outer, origin)

    @property
    def size(self):
        """Number of coordinates."""
        return self.factor.shape[1]

    @property
    def has_full_factor(self):
        """Whether the factor sees the coupling of the parameters."""
        return self.factor.is_full

    def evaluate(self, u):
        """The `Point` at ``u``: one pass."""
        self.counts.evaluations += self.share
        return self._point(u, self._seen.at(self.factor.inner.apply(u)))

    def between(self, point, other, share):
        """The `Point` at a share of the way from one to another: half a pass where raw predictions are linear there."""
        u, here = point.u + share * (other.u - point.u), point.here.between(other.here, share)
        if here is None:
            return self.evaluate(u)
        self.counts.evaluations += 0.5 * self.share
        return self._point(u, here)

    def _point(self, u, here):
        """Without a finite gradient there is no way on from a point: it counts as one outside the domain."""
        value = here.value
        slope = self.factor.inner.transpose(self._seen.slope(here)) if math.isfinite(value) else None
        if slope is None or not np.logical_and.reduce(np.isfinite(slope)):
            return Point(u, here, np.inf, np.zeros_like(u), 0.0)
        return Point(u, here, value, slope, here.noise)

    def _slope(self, here):
        return self.factor.inner.transpose(self._seen.slope(here))

    def point_at(self, here):
        """The `Point` at an `Evaluation` that was found otherwise, u zero wherever it is."""
        return self._point(np.zeros(self.size), here)

    def start(self):
        """The `Point` at the origin, whether its gradient is finite or not."""
        here = self.origin
        if not np.isfinite(here.value):
            return Point(np.zeros(self.size), here, np.inf, np.zeros(self.size), 0.0)
        return Point(np.zeros(self.size), here, here.value, self._slope(here), here.noise)

    def slope(self, u):
        """The gradient at ``u``, and whether the value there is finite."""
        self.counts.evaluations += self.share
        here = self._seen.at(self.factor.inner.apply(u))
        return self._slope(here), np.isfinite(here.value)

    def newton(self, factor, point):
        """Half the squared decrement and the Newton step, a `Displacement`, by the problem's factor or another one."""
        if factor.outer is self.factor:
            return factor.newton_within(point.slope)
        if factor is self.factor or self._seen.sees(factor.outer):
            return factor.newton_within(self._seen.slope(point.here))
        return factor.newton_within(factor.outer.transpose(point.gradient))

    def held(self, point):
        """The `PenaltyBound` for slopes in u at a point; None where there is none, or u is not in units."""
        factor, bound = self.factor, self.objective.penalty_bound
        if bound is None or not isinstance(factor.inner, Diagonal):
            return None
        return bound(self._here(point), factor.outer, factor.inner.d)

    def hessian(self, point, kind):
        """P'HP at ``point`` as a `LinearOperator`."""
        bent, inner, r = self._seen.product(self._here(point), kind), self.factor.inner, self.size

        def product(u):
            self.counts.products += self.share
            return inner.transpose(bent(inner.apply(np.ravel(u))))

        return LinearOperator((r, r), matvec=product, rmatvec=product, dtype=float)

    def sketched(self, sketch, point):
        """The problem of a sketch in the same coordinates, and a `Point` there, whose slope is that of all rows.

        Its visits count as the part of the rows that it has.
        """
        share = sketch.n_rows / self.objective.n_rows
        problem = Problem(sketch, self.factor, point.here, self.counts, share)
        return problem, Point(point.u, sketch.at(point.theta), point.value, point.slope, point.noise)

    def hessian_matrix(self, point, kind):
        """P'HP at ``point`` as a matrix."""
        self.counts.hessians += self.share
        here = point.here if point.here.objective is self.objective else self.objective.at(point.theta)
        return here.regular_hessian_matrix(kind, None if self.is_identity else self.factor)

    def hessian_diagonal(self, point, kind):
        """The diagonal of P'HP at ``point``."""
        self.counts.hessians += 1
        return self._here(point).hessian_diagonal(kind, None if self.is_identity else self.factor)

    def _here(self, point):
        """The evaluation of this objective there: of a sample it is another one than the point's."""
        return point.here if point.here.objective is self.objective else self.objective.at(point.theta)

    def sample(self, rows):
        """The same coordinates for the objective on some rows."""
        share = len(rows) / self.objective.n_rows
        return Problem(self.objective.sample(rows), self.factor, self.origin, self.counts, share)

    def restricted(self):
        """The same problem with its origin where the factor's coordinates can reach it; itself where they can."""
        theta = self.factor.restrict(self.origin.theta)
        if theta is self.origin.theta:
            return self
        self.counts.evaluations += self.share
        return Problem(self.objective, self.factor, self.objective.at(theta), self.counts)

    def refactored(self, factor, point):
        """The problem in coordinates of another ``factor`` with its origin at ``point``, and that point in them."""
        problem = Problem(self.objective, factor, point.here, self.counts)
        u = np.zeros(problem.size)
        return problem, Point(u, point.here, point.value, problem._slope(point.here), point.noise)
