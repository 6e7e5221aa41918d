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
    nearest, least = problem.factor, np.inf
    for factor in known:
        certificate, slack = _by_near_factor(problem, point, factor, threshold, fall)
        if certificate is not None:
            return certificate
        nearest, least = (factor, slack) if slack < least else (nearest, least)
    if plan.certifies_by_factor(problem, least):
        return _by_exact_factor(problem, point)
    by_penalty = _by_penalty(problem, point, threshold, fall)
    return by_penalty or _by_products(problem, point, threshold, nearest, least)


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
    decrement, step = factor.newton(point.gradient)
    if not factor.certifies and point.gradient.any():
        return Certificate(np.inf, np.inf, step, factor)
    change = _change(problem, point, step, decrement)
    return Certificate(decrement, change, step, factor, is_blind=factor.inner.is_blind)


def _by_penalty(problem, point, threshold, fall):
    """From the penalty alone, or None where it is so weak that products are sooner."""
    if problem.objective.held_by_penalty is None:
        return None
    bound, change, passes = problem.objective.held_by_penalty(point.here, threshold(0.0))
    problem.counts.others += passes
    if bound <= threshold(bound) and change <= MOST_CHANGE:
        return Certificate(bound, change, np.zeros_like(point.theta))
    is_near = bound * fall**plan.STEPS_FOR_PROOF <= threshold(bound)
    return Certificate(bound, np.nan, np.zeros_like(point.theta)) if is_near else None


def _refining(problem, factor):
    """The map of a factor's coordinates into those of the problem, which are its own or which it refines; adjoint."""
    if factor is problem.factor:
        return (lambda v: v), (lambda v: v)
    return factor.inner.apply, factor.inner.transpose


def _by_products(problem, point, threshold, factor, slack):
    """By conjugate gradients in the coordinates of a factor.

    What they have not found yet is r'H^-1 r / 2 of the residual r: at most ``slack`` r'r / 2 where no curvature is
    below 1 / slack in these coordinates.
    """
    gains: list[float] = []

    def missing(cg):
        return 0.5 * slack * cg.residual**2 if slack < np.inf else np.inf

    def settled(cg):
        gains.append(cg.gain)
        quiet = slack == np.inf and len(gains) > _SETTLED and max(gains[-_SETTLED:]) <= 0.01 * cg.decrement
        quiet = quiet and cg.residual <= _RESIDUAL * first
        most = cg.decrement + missing(cg)
        is_known = most <= max((1 + _MISSING) * cg.decrement, threshold(most))
        return cg.n_iter > 0 and (quiet or is_known or cg.decrement > threshold(cg.decrement))

    to, back = _refining(problem, factor)
    matvec, slope = problem.hessian(point, "observed").matvec, back(point.slope)
    first = np.linalg.norm(slope)
    most = min(2 * point.u.size, plan.MOST_PRODUCTS)
    cg = conjugate_gradient(lambda v: back(matvec(to(v))), slope, 0.0, settled, most)
    move, rest = to(cg.step), missing(cg)
    step = problem.factor.apply(move)
    decrement = cg.decrement + (rest if np.isfinite(rest) else 0.0)
    if not np.isfinite(rest) and cg.residual > _RESIDUAL * first:
        # out of products, or of positive curvature: the sum says nothing of what is missing
        decrement = np.inf
    return Certificate(decrement, _change(problem, point, step, decrement), step, move=move)


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
