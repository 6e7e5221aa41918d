"""How far a point is from the optimum, by curvature that can be trusted.

A solver's own preconditioner only proposes to stop. A certificate is half the squared Newton decrement g'H^-1 g / 2
with a full factor of the exact Hessian near the point, or by conjugate gradients on its products until the sum stops
growing. A diagonal, or nothing, is none: with correlated columns it would pass a thousand times too early.
"""

from dataclasses import dataclass

import numpy as np

from sk_hessian.objectives.coordinates import PointFactor
from sk_hessian.solvers import plan
from sk_hessian.solvers.linear import conjugate_gradient, lowest_eigenpair

#: a linear predictor that a step moves by more, in units over which the curvature changes e-fold, is not settled
MOST_CHANGE = 0.1

#: a factor serves at a point to which predictors move by no more than this; less where curvature may jump
_NEARBY = 1.0
_NEARBY_JUMPS = 0.1

#: a bound within this factor of the truth is as good as the truth
_SLACK = 1.25

#: conjugate gradients have found the decrement when so many iterations in turn add less than a hundredth
_SETTLED = 3

#: ... and the residual has fallen to this share, so that small eigenvalues have had their say
_RESIDUAL = 1e-3

#: from a full factor their gains fall geometrically: with this ratio or a smaller one, what is missing is known
_FALL = 0.5
_MISSING = 0.1

#: a Hessian with larger entries has overflowed, or is about to
_LARGEST = 1e150

#: eigenvalues below minus this share of the largest are negative curvature; trained networks have -1e-7 all the time
_NEGATIVE = 1e-3


@dataclass(frozen=True)
class Certificate:
    """The exact decrement g'H^-1 g / 2 at a point, with absolute curvatures where H is indefinite, and a Newton step.

    ``change`` is the largest move of a linear predictor by that step, which is ``step`` in theta and ``move`` in u,
    None where the coordinates of the problem are not those of the curvature. ``factor`` is an exact one at the point,
    if it was taken, ``downhill`` a direction of negative curvature in theta. ``is_blind`` says that curvature along
    some direction is lost in rounding: the step then says nothing of that direction. Where ``change`` is nan the
    decrement is only an upper bound, too coarse to pass, and the next iteration is likely to pass by it.
    """

    decrement: float
    change: float
    step: np.ndarray
    factor: object = None
    downhill: np.ndarray | None = None
    move: np.ndarray | None = None
    is_blind: bool = False

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
        return Certificate(0.0, 0.0, np.zeros_like(point.theta))
    if not problem.objective.convex:
        return _by_eigenvalues(problem, point, threshold)
    for factor in known:
        if factor.inflation < np.inf:
            certificate = _by_near_factor(problem, point, factor, threshold, fall)
            if certificate is not None:
                return certificate
    if plan.certifies_by_factor(problem):
        return _by_exact_factor(problem, point)
    return _by_products(problem, point, threshold)


def _change(problem, point, step, decrement):
    """The largest move of a linear predictor by a Newton step; an upper bound where that is small enough."""
    change, passes = point.here.newton_change(step, decrement, MOST_CHANGE)
    problem.counts.others += passes
    return change


def _by_near_factor(problem, point, factor, threshold, fall):
    """From a factor of the exact Hessian, or of one at most ``inflation`` times as large, taken here or near.

    Where predictors move by c units curvature changes at most e^c-fold, twice that for a softmax model's outputs, which
    move against each other; a decrement by a Hessian that is m times too large is at most m times too small. None where
    that is too coarse to tell, unless the next iteration will tell for less than products cost.
    """
    decrement, step = problem.newton(factor, point)
    away, change = 0.0, None
    if factor.here.place is not point.here.place:
        away, change, passes = point.here.changes(factor.here, step)
        problem.counts.others += passes
    if away > (_NEARBY if problem.objective.is_smooth else _NEARBY_JUMPS):
        return None
    slack = factor.inflation * np.exp(2 * away)
    bound = decrement * slack
    if slack > _SLACK and bound > threshold(bound):
        return Certificate(bound, np.nan, step) if bound * fall <= threshold(bound) else None
    # what the coordinates have lost, no factor within them sees
    is_blind = factor.inner.is_blind or problem.factor.inner.is_blind
    # in the coordinates of the problem, which are the factor's own or which it refines
    move = -point.slope if factor is problem.factor else -factor.inner.apply(factor.inner.transpose(point.slope))
    change = _change(problem, point, step, bound) if change is None else change
    return Certificate(bound, change, step, move=move, is_blind=is_blind)


def _by_exact_factor(problem, point):
    problem.counts.hessians += 1
    factor = point.here.factor("full", "observed")
    decrement, step = factor.newton(point.gradient)
    if not factor.certifies and point.gradient.any():
        return Certificate(np.inf, np.inf, step, factor)
    change = _change(problem, point, step, decrement)
    return Certificate(decrement, change, step, factor, is_blind=factor.inner.is_blind)


def _by_products(problem, point, threshold):
    operator = problem.hessian(point, "observed")
    gains: list[float] = []

    def missing():
        """What further iterations would add, if their gains go on falling as they did."""
        if not problem.has_full_factor or len(gains) < 2 or gains[-1] > _FALL * gains[-2]:
            return np.inf
        ratio = gains[-1] / gains[-2]
        return gains[-1] * ratio / (1 - ratio)

    is_settled = False

    def settled(cg):
        nonlocal is_settled
        is_settled = cg.n_iter > 0 and says_all(cg)
        return is_settled

    def says_all(cg):
        gains.append(cg.gain)
        quiet = len(gains) >= _SETTLED and max(gains[-_SETTLED:]) <= 0.01 * cg.decrement
        quiet = quiet and cg.residual <= _RESIDUAL * first
        return quiet or missing() <= _MISSING * cg.decrement or cg.decrement > threshold(cg.decrement)

    first = np.linalg.norm(point.slope)
    cg = conjugate_gradient(operator.matvec, point.slope, 0.0, settled, min(2 * point.u.size, plan.MOST_PRODUCTS))
    step = problem.factor.apply(cg.step)
    rest = missing()
    decrement = cg.decrement + (rest if np.isfinite(rest) else 0.0)
    if cg.residual > _RESIDUAL * first and not is_settled:
        # out of products, or of positive curvature: the sum says nothing of what is missing
        decrement = np.inf
    return Certificate(decrement, _change(problem, point, step, decrement), step, move=cg.step)


def _by_eigenvalues(problem, point, threshold):
    """For what may be a saddle."""
    if not plan.forms_hessian(problem.objective, point.theta.size):
        found = _by_products(problem, point, threshold)
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
        return Certificate(np.inf, np.inf, -point.gradient)
    values, vectors = np.linalg.eigh(H)
    largest = np.abs(values).max()
    along = vectors.T @ point.slope
    with np.errstate(over="ignore"):
        bent = along / np.maximum(np.abs(values), max(np.finfo(float).eps * largest, np.finfo(float).tiny))
    if not np.isfinite(bent).all():
        return Certificate(np.inf, np.inf, -point.gradient)
    move = -(vectors @ bent)
    step = problem.factor.apply(move)
    downhill = problem.factor.apply(vectors[:, 0]) if values[0] < -_NEGATIVE * largest else None
    change = _change(problem, point, step, np.inf)
    # where curvature is next to nothing a step leads anywhere
    is_bowl = values[0] > _NEGATIVE * largest
    return Certificate(0.5 * float(along @ bent), change, step, None, downhill, move if is_bowl else None)
