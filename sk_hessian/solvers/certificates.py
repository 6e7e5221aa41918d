"""How far a point is from the optimum, by curvature that can be trusted.

A solver's own preconditioner only proposes to stop. A certificate is half the squared Newton decrement g'H^-1 g / 2
with a full factor of the exact Hessian near the point, or by conjugate gradients on its products until the sum stops
growing. A diagonal, or nothing, is none: with correlated columns it would pass a thousand times too early.
"""

from dataclasses import dataclass

import numpy as np

from sk_hessian.objectives.coordinates import Displacement, PointFactor
from sk_hessian.solvers import plan
from sk_hessian.solvers.linear import conjugate_gradient, lowest_eigenpair

#: a linear predictor that a step moves by more, in units over which the curvature changes e-fold, is not settled
MOST_CHANGE = 0.1

#: a factor serves at a point to which predictors move by no more than this; less where curvature may jump
_NEARBY = 1.0
_NEARBY_JUMPS = 0.1

#: a curvature that may have changed by more than e to this power is not known
_FARTHEST = 16.0

#: a bound within this factor of the truth is as good as the truth
_SLACK = 1.25

#: conjugate gradients have found the decrement when no more than this share of it can be missing
_MISSING = 0.1

#: where that is not known, when so many iterations in turn add less than a hundredth
_SETTLED = 3

#: ... and the residual has fallen to this share, so that small eigenvalues have had their say
_RESIDUAL = 1e-3

#: a Hessian with larger entries has overflowed, or is about to
_LARGEST = 1e150

#: eigenvalues below minus this share of the largest are negative curvature; trained networks have -1e-7 all the time
_NEGATIVE = 1e-3


@dataclass(frozen=True)
class Certificate:
    """The exact decrement g'H^-1 g / 2 at a point, with absolute curvatures where H is indefinite, and a Newton step.

    ``change`` is the largest move of a linear predictor by that step, which is ``step``, and ``move`` in u,
    None where the coordinates of the problem are not those of the curvature. ``factor`` is an exact one at the point,
    if it was taken, ``downhill`` a direction of negative curvature in theta. ``is_blind`` says that curvature along
    some direction is lost in rounding: the step then says nothing of that direction. Where ``change`` is nan the
    decrement is only an upper bound, too coarse to pass, and the next iteration is likely to pass by it.
    """

    decrement: float
    change: float
    step: Displacement
    factor: object = None
    downhill: np.ndarray | None = None
    move: np.ndarray | None = None
    is_blind: bool = False

    @classmethod
    def without_step(cls, decrement, n_parameters, change=0.0):
        """That of a point from which no step is known."""
        return cls(decrement, change, Displacement(None, np.zeros(n_parameters)))

    @property
    def is_coarse(self):
        """Whether it is such a bound."""
        return np.isnan(self.change)


def certify(problem, point, known, threshold, fall=1.0):
    """The cheapest `Certificate` at a point that can be trusted; it may be rough beyond ``threshold(decrement)``.

    ``fall`` is the share that an iteration is expected to leave of the decrement, 1.0 where none follows.
    """
    if not problem.factor.shape[1]:
        # the data determine nothing, so that nothing is left to find
        return Certificate.without_step(0.0, point.theta.size)
    if not problem.objective.convex:
        return _by_eigenvalues(problem, point, threshold)
    nearest, least = problem.factor, np.inf
    for factor in known:
        certificate, slack = _by_near_factor(problem, point, factor, threshold, fall)
        if certificate is not None:
            return certificate
        nearest, least = (factor, slack) if slack < least else (nearest, least)
    if plan.certifies_by_factor(problem, least):
        return _by_exact_factor(problem, point)
    found = _by_penalty(problem, point, threshold, fall)
    if found is None and not problem.has_full_factor:
        # a factor of the whole Hessian tells what a sketch would
        found = _by_sketch(problem, point, threshold, fall)
    return found or _by_products(problem, point, threshold, nearest, least)


def _change(problem, point, step, decrement):
    """The largest move of a linear predictor by a Newton step; an upper bound where that is small enough."""
    change, passes = point.here.newton_change(step, decrement, MOST_CHANGE)
    problem.counts.others += passes
    return change


def _by_near_factor(problem, point, factor, threshold, fall):
    """From a factor of the exact Hessian, or of one at most ``inflation`` times as large, taken here or near.

    Where predictors move by c units curvature changes at most e^c-fold, twice that for a softmax model's outputs, which
    move against each other; a decrement by a Hessian that is m times too large is at most m times too small: the slack.
    Returns the certificate, or None where that is too coarse to tell and the next iteration will not tell for less than
    products cost; and the slack, infinite where it is not known.
    """
    if factor.inflation == np.inf:
        return None, np.inf
    decrement, step = problem.newton(factor, point)
    away, change = 0.0, None
    if factor.here.place is not point.here.place:
        away, change, passes = point.here.changes(factor.here, step)
        problem.counts.others += passes
    slack = factor.inflation * np.exp(min(2 * away, _FARTHEST))
    if away > (_NEARBY if problem.objective.is_smooth else _NEARBY_JUMPS):
        return None, slack if problem.objective.is_smooth and 2 * away < _FARTHEST else np.inf
    bound = decrement * slack
    if slack > _SLACK and bound > threshold(bound):
        return (Certificate(bound, np.nan, step) if bound * fall <= threshold(bound) else None), slack
    # what the coordinates have lost, no factor within them sees
    is_blind = factor.inner.is_blind or problem.factor.inner.is_blind
    to, back = _refining(problem, factor)
    move = -to(back(point.slope))
    change = _change(problem, point, step, bound) if change is None else change
    return Certificate(bound, change, step, move=move, is_blind=is_blind), slack


def _by_exact_factor(problem, point):
    problem.counts.hessians += 1
    factor = point.here.factor("full", "observed")
    decrement, step = problem.newton(factor, point)
    if not factor.certifies and point.gradient.any():
        return Certificate(np.inf, np.inf, step, factor)
    change = _change(problem, point, step, decrement)
    return Certificate(decrement, change, step, factor, is_blind=factor.inner.is_blind)


def _by_penalty(problem, point, threshold, fall):
    """From the penalty alone, or None where it is so weak that products are sooner."""
    objective = problem.objective
    held = objective.penalty_bound(point.here) if objective.penalty_bound is not None and objective.is_smooth else None
    if held is None:
        return None
    slope = held.slope(point.gradient)
    bound = _proven(problem, held, slope, 0.0, threshold)
    if bound <= threshold(bound):
        change = held.move(slope)
        if change <= MOST_CHANGE:
            return Certificate.without_step(bound, point.theta.size, change)
    is_near = bound * fall**plan.STEPS_FOR_PROOF <= threshold(bound)
    return Certificate.without_step(bound, point.theta.size, np.nan) if is_near else None


def _proven(problem, bound, slope, found, threshold):
    """A decrement that was found, and what a slope leaves at the most; rough beyond the threshold."""
    most = found + bound.rough(slope)
    if bound.passes and most <= threshold(most):
        problem.counts.others += bound.passes * problem.share
        most = found + bound.proven(slope)
    return most


def _refining(problem, factor):
    """The map of a factor's coordinates into those of the problem, which are its own or which it refines; adjoint."""
    if factor is problem.factor:
        return (lambda v: v), (lambda v: v)
    return factor.inner.apply, factor.inner.transpose


class _Factored:
    """An upper bound of r'H^-1 r / 2 where no curvature is below 1 / slack; see `PenaltyBound`."""

    passes = 0.0

    def __init__(self, slack):
        self._slack = slack

    def rough(self, slope):
        """The bound for a slope r."""
        return 0.5 * self._slack * float(slope @ slope)


class _Settling:
    """Whether conjugate gradients have found a decrement: asked after each iteration.

    What they have not found yet is r'H^-1 r / 2 of the residual r, at most what ``bound`` says, None where nothing is
    known.
    """

    def __init__(self, slope, threshold, bound):
        self._first, self._threshold, self._bound = np.linalg.norm(slope), threshold, bound
        self._gains: list[float] = []
        self._is_quiet = False

    def __call__(self, cg):
        """Whether further iterations would say no more, or nothing else."""
        gains = self._gains
        gains.append(cg.gain)
        is_quiet = len(gains) > _SETTLED and max(gains[-_SETTLED:]) <= 0.01 * cg.decrement
        # what is known of a factor near by is soon enough
        self._is_quiet = is_quiet and cg.residual <= _RESIDUAL * self._first and not isinstance(self._bound, _Factored)
        most = cg.decrement + (np.inf if self._bound is None else self._bound.rough(cg.rest))
        is_known = most <= max((1 + _MISSING) * cg.decrement, self._threshold(most))
        return cg.n_iter > 0 and (self._is_quiet or is_known or cg.decrement > self._threshold(cg.decrement))

    def decrement(self, cg, problem):
        """The decrement in the end; infinite where the sum says nothing of what is missing."""
        if self._bound is not None:
            return _proven(problem, self._bound, cg.rest, cg.decrement, self._threshold)
        # out of products, or of positive curvature
        is_lost = cg.decrement <= self._threshold(cg.decrement) and not self._is_quiet
        return np.inf if is_lost and cg.residual > _RESIDUAL * self._first else cg.decrement


def _by_products(problem, point, threshold, factor, slack):
    decrement, move = _decrement_by_products(problem, point, threshold, factor, slack)
    step = Displacement(problem.factor, move)
    return Certificate(decrement, _change(problem, point, step, decrement), step, move=move)


def _decrement_by_products(problem, point, threshold, factor, slack):
    """By conjugate gradients in the coordinates of a factor: see `_Settling`.

    The decrement, rough beyond ``threshold(decrement)``, and the Newton step in u.
    """
    to, back = _refining(problem, factor)
    matvec, slope = problem.hessian(point, "observed").matvec, back(point.slope)
    held = problem.held(point) if slack == np.inf and factor is problem.factor else None
    settling = _Settling(slope, threshold, _Factored(slack) if slack < np.inf else held)
    most = min(2 * point.u.size, plan.MOST_PRODUCTS)
    cg = conjugate_gradient(lambda v: back(matvec(to(v))), slope, 0.0, settling, most)
    return settling.decrement(cg, problem), to(cg.step)


def _by_sketch(problem, point, threshold, fall):
    """By products of a sketch, whose Hessian is at most ``inflation`` times as large as that of all rows.

    None where there is none, or where its bound does not pass and the run is too slow for that to change soon: products
    with all rows then cost less.
    """
    objective = problem.objective
    sketch = plan.sketch_of(objective, point.theta.size)
    inflation = np.inf if sketch is None else objective.inflation(sketch)
    if not inflation < np.inf:
        return None
    part, there = problem.sketched(sketch, point)

    def enough(found):
        return threshold(inflation * found) / inflation

    decrement, move = _decrement_by_products(part, there, enough, problem.factor, np.inf)
    bound, step = inflation * decrement, Displacement(problem.factor, move)
    if bound > threshold(bound):
        return Certificate(bound, np.nan, step) if fall <= plan.SWIFT else None
    return Certificate(bound, _change(problem, point, step, bound), step, move=move)


def _by_eigenvalues(problem, point, threshold):
    """For what may be a saddle."""
    if not plan.forms_hessian(problem.objective, point.theta.size):
        found = _by_products(problem, point, threshold, problem.factor, np.inf)
        if found.decrement > threshold(found.decrement):
            return found
        value, vector, largest = lowest_eigenpair(problem.hessian(point, "observed"))
        downhill = problem.factor.apply(vector) if value < -_NEGATIVE * largest else None
        return Certificate(found.decrement, found.change, found.step, None, downhill)
    if problem.objective.n_rows is None:
        # a function has no unit but those of its parameters, here and not where the run began
        factor = point.here.factor("units", problem.objective.curvature)
        problem, point = problem.refactored(factor or PointFactor.none(point.here), point)
    H = problem.hessian_matrix(point, "observed")
    # entries whose squares overflow have no eigenvalues that could be computed
    if not np.abs(H).max(initial=0.0) < _LARGEST:
        return Certificate(np.inf, np.inf, Displacement(None, -point.gradient))
    values, vectors = np.linalg.eigh(H)
    largest = np.abs(values).max()
    along = vectors.T @ point.slope
    with np.errstate(over="ignore"):
        bent = along / np.maximum(np.abs(values), max(np.finfo(float).eps * largest, np.finfo(float).tiny))
    if not np.isfinite(bent).all():
        return Certificate(np.inf, np.inf, Displacement(None, -point.gradient))
    move = -(vectors @ bent)
    step = Displacement(problem.factor, move)
    downhill = problem.factor.apply(vectors[:, 0]) if values[0] < -_NEGATIVE * largest else None
    change = _change(problem, point, step, np.inf)
    # where curvature is next to nothing a step leads anywhere
    is_bowl = values[0] > _NEGATIVE * largest
    return Certificate(0.5 * float(along @ bent), change, step, None, downhill, move if is_bowl else None)
