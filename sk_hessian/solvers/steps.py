"""How far to go: learning-rate schedules, line searches, Levenberg-Marquardt damping."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import lapack

from sk_hessian.objectives.factors import Cholesky
from sk_hessian.solvers.method import Step

#: the share of the predicted decrease that a step must bring (Nocedal & Wright, section 3.1)
ARMIJO = 1e-4

#: trials without any success after which a line search shrinks tenfold: at a kink, halving would take for ever
_HASTE = 4

#: steps beyond this are taken for a function without a minimum
_LONGEST = 1e20

#: name -> the factor of the learning rate in epoch 1, 2, ...
SCHEDULES = {
    "constant": lambda epoch: 1.0,
    "invscaling": lambda epoch: 1 / np.sqrt(epoch),
    "inverse": lambda epoch: 1 / epoch,
}


def first_step(problem, direction):
    """One where the curvature is near the identity, else short beside the direction."""
    norm = np.abs(direction).sum()
    return 1.0 if not problem.is_identity or norm == 0 else min(1.0, 1 / norm)


def line_search(problem, point, direction, step=1.0, wolfe=0.9, max_evaluations=30):
    """A step along ``direction`` with sufficient decrease and, if ``wolfe``, slopes of at most this share of the first.

    Sufficient decrease is Armijo's (c1 = 1e-4), or where the decrease is below rounding the slope's form of it (Hager &
    Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search", 2005, section 4);
    trial steps come from the secant of the slopes, kept inside the bracket. Between two points of a linear model raw
    predictions are linear, so that a shorter step than one before needs no new ones. A `Step`, not ``moved`` where
    nothing was better.
    """
    first = point.slope @ direction
    low, low_slope, high = 0.0, first, np.inf
    best, longest = Step(point, 0.0, moved=False), None
    for trial in range(1, max_evaluations + 1):
        if longest is not None and step < longest.size:
            new = problem.between(point, longest.point, step / longest.size)
        else:
            new = problem.evaluate(point.u + step * direction)
            longest = Step(new, step) if np.isfinite(new.value) else None
        slope = new.slope @ direction if np.isfinite(new.value) else np.inf
        if _decreases(point, new, step * first, slope, first):
            if not best.moved or new.value <= best.point.value:
                best = Step(new, step)
            if wolfe is None or abs(slope) <= -wolfe * first:
                return Step(new, step)
            if slope < 0:
                low, low_slope = step, slope
            else:
                high = step
        else:
            high = step
        step = _next_step(step, slope, low, low_slope, high)
        if low == 0 and trial >= _HASTE:
            step = min(step, 0.1 * high)
        if step > _LONGEST or high - low <= np.finfo(float).eps * high < np.inf:
            break
    return best


def cubic_minimum(value, slope, end_value, end_slope, longest):
    """Where the cubic with these values and slopes at 0 and 1 is least, between a tenth and ``longest``.

    Nocedal & Wright, "Numerical Optimization", 2nd ed., 2006, equation (3.59).
    """
    bend = slope + end_slope - 3 * (end_value - value)
    square = bend * bend - slope * end_slope
    if square < 0:
        return longest
    root = math.sqrt(square)
    width = end_slope - slope + 2 * root
    step = 1 - (end_slope + root - bend) / width if width > 0 else longest
    return min(max(step, 0.1), longest)


def _decreases(point, new, predicted, slope, first):
    change = new.value - point.value
    if abs(change) <= point.noise:
        return slope <= (2 * ARMIJO - 1) * first
    return change <= ARMIJO * predicted


def _next_step(step, slope, low, low_slope, high):
    """The zero of the slope's secant, kept inside the bracket; far beyond while there is no upper end."""
    if np.isinf(high):
        return 4 * step
    width = high - low
    if step == high and np.isfinite(slope) and slope > low_slope:
        guess = low - low_slope * width / (slope - low_slope)
        return min(max(guess, low + 0.1 * width), high - 0.1 * width)
    return low + (0.5 if np.isfinite(slope) else 0.2) * width


class Damping:
    """Levenberg-Marquardt damping from the ratio of actual to predicted decrease.

    It begins at ``start``. While steps fail it grows by ``growth``, each time ``acceleration`` times more than the time
    before (after H. B. Nielsen, "Damping parameter in Marquardt's method", 1999), to ``least`` of the largest curvature
    at least. After a good step it shrinks to ``shrink`` of itself, and is dropped below ``dropped`` of that curvature:
    near the solution steps are then Newton's own.
    """

    def __init__(self, start=0.0, *, growth=4.0, acceleration=4.0, least=0.05, shrink=0.1, dropped=1e-6):
        self._start, self._first_growth, self._acceleration = start, growth, acceleration
        self._least, self._shrink, self._dropped = least, shrink, dropped
        self._unit = 1.0
        self.restart()

    @classmethod
    def gentle(cls):
        """Never dropped, in coordinates of unit curvature: for a network's many nearly flat directions.

        Of the rules that were tried on networks, those with larger factors or a start at zero ended in poorer minima.
        """
        return cls(0.01, growth=3.0, acceleration=1.0, least=0.0, shrink=0.2, dropped=0.0)

    def restart(self):
        """Begin anew."""
        self.value, self._growth = self._start, self._first_growth

    def reset(self):
        """Nothing depends on the coordinates."""

    def step(self, curvature, slope):
        """The `Trial` of the damped model of a dense, diagonal or operator curvature and a slope (r,)."""
        direction, self.value = curvature.solve(slope, self.value)
        self._unit = curvature.unit
        predicted = 0.5 * (self.value * (direction @ direction) - slope @ direction)
        return Trial(direction, self.value, predicted, curvature.root)

    def reject(self, ratio):
        """After a step that did not decrease the objective."""
        self.value = max(self._growth * self.value, self._least * self._unit)
        self._growth *= self._acceleration

    def accept(self, ratio):
        """After a step with this ratio of actual to predicted decrease."""
        self._growth = self._first_growth
        if ratio > 0.75:
            self.value = self._shrink * self.value if self.value > self._dropped * self._unit else 0.0
        elif ratio < 0.25:
            self.value *= 2


@dataclass(frozen=True)
class Trial:
    """A damped Newton step to be tried: what the model says that it gains, and a root of the inverse solved.

    For a `TrustRegion` ``length`` is that of D times the direction, and ``bend`` d'D^2 (H + damping D^2)^-1 D^2 d,
    minus half the slope of the squared length in the damping.
    """

    direction: np.ndarray
    damping: float
    predicted: float
    root: Any
    length: float = np.nan
    bend: float = np.nan


_ROUNDING = np.finfo(float).eps

#: a radius is met within this share
_RADIUS_SLACK = 0.1
_MOST_SECULAR_STEPS = 60


class DampedModel:
    """g'd + d'(H + mu D^2) d / 2 for any mu, with g the ``slope`` (p,) and D^2 the diagonal ``metric`` (p,)."""

    def __init__(self, H, slope, metric):
        self.H, self.slope, self.metric = H, slope, metric
        self.slope_length = np.linalg.norm(slope / np.sqrt(metric))

    def solve(self, mu):
        """The minimiser, a `Trial`, None where the matrix is not safely positive definite.

        The matrix is scaled to a unit diagonal first: curvatures that are tiny beside D keep their digits.
        """
        damped = self.H + np.diag(mu * self.metric) if mu else self.H
        diagonal = damped.diagonal()
        if not diagonal.min() > 0:
            return None
        unit = 1 / np.sqrt(diagonal)
        L, info = lapack.dpotrf(unit[:, None] * damped * unit, lower=1, clean=1)
        if info != 0 or L.diagonal().min() ** 2 <= len(L) * _ROUNDING:
            return None
        root = Cholesky(L / unit[:, None])
        direction = -root.apply(root.transpose(self.slope))
        weighted = root.transpose(self.metric * direction)
        length = float(np.linalg.norm(np.sqrt(self.metric) * direction))
        # H d = -g - mu D^2 d
        predicted = 0.5 * (mu * length**2 - self.slope @ direction)
        return Trial(direction, mu, predicted, root, length, weighted @ weighted)

    def least_damping(self):
        """The least mu that makes the matrix safely definite, and a direction of negative curvature or None.

        The matrix must be finite.
        """
        unit = 1 / np.sqrt(self.metric)
        values, vectors = np.linalg.eigh(unit[:, None] * self.H * unit)
        # in units of D, of which one is the largest curvature so far: a linear function has none at all
        noise = 4 * len(values) * _ROUNDING * max(_ROUNDING**3, np.abs(values).max())
        mu = noise + max(0.0, -values[0])
        while self.solve(mu) is None:
            mu += noise
            noise *= 4
        return mu, unit * vectors[:, 0] if values[0] < -noise else None

    def prolonged(self, found, direction, radius):
        """A step that goes on along a direction of negative curvature to the boundary, as the gradient has it."""
        direction = np.copysign(1.0, -(self.slope @ direction)) * direction
        rest = np.sqrt(max(radius**2 - found.length**2, 0.0))
        step = found.direction + rest * direction
        predicted = -(self.slope @ step + 0.5 * step @ self.H @ step)
        return replace(found, direction=step, length=max(radius, found.length), predicted=predicted)


class TrustRegion:
    """The minimiser of the quadratic model in the ellipsoid |D d| <= radius, for the function of a user.

    D is the largest root of the curvature of each parameter so far (J. Moré, "The Levenberg-Marquardt algorithm:
    implementation and theory", 1978), so that neither the steps nor the radius depend on the units of the parameters,
    and a parameter that has lost its influence does not run away. The radius begins at the size of the parameters;
    after a step that gains less than a quarter of what was predicted it shrinks to 0.4 of the step, after one of three
    quarters it is twice the step. Of the shares that were tried, and beside Nielsen's damping with and without geodesic
    acceleration, this solved most of NIST's and Moré, Garbow & Hillstrom's problems, in fewest evaluations. For
    curvature that is negative see J. Moré, D. Sorensen, "Computing a trust region step", 1983.
    """

    def __init__(self, radius):
        self.radius = radius
        self._least: float = 0.0
        self._lowest: np.ndarray | None = None
        self.reset()

    def restart(self):
        """Begin anew, with a full step."""
        self.radius = np.inf

    def reset(self):
        """Forget the coordinates: in the new ones a typical curvature is one."""
        self._metric: Any = 1.0
        self._of: Any = None

    def step(self, curvature, slope):
        """See `Damping.step`."""
        if self._of is not curvature:
            # curvature that is not finite says nothing: steepest descent
            H = curvature.H if np.isfinite(curvature.H).all() else np.diag(self._metric * np.ones_like(slope))
            self._metric = np.maximum(self._metric, np.abs(H.diagonal()))
            self._of, self._model = curvature, DampedModel(H, slope, self._metric)
            self._newton = self._model.solve(0.0)
            self._least, self._lowest = (0.0, None) if self._newton else self._model.least_damping()
        found = self._newton
        if found is None or found.length > (1 + _RADIUS_SLACK) * self.radius:
            found = self._on_boundary()
        self._length, self._inside = found.length, found.damping == self._least
        return found

    def _on_boundary(self):
        """The step as long as the radius, or with the least damping if that is not so long."""
        model, low, radius = self._model, self._least, self.radius
        found = model.solve(low) if low else None
        if found is not None and found.length <= (1 + _RADIUS_SLACK) * radius:
            is_saddle = self._lowest is not None and radius < np.inf
            return model.prolonged(found, self._lowest, radius) if is_saddle else found
        high = low + model.slope_length / radius
        mu = low + 1e-3 * (high - low)
        for _ in range(_MOST_SECULAR_STEPS):
            found = model.solve(mu)
            if found is None:
                low = mu
            elif abs(found.length - radius) <= _RADIUS_SLACK * radius or high - low <= 4 * _ROUNDING * high:
                break
            else:
                low, high = (mu, high) if found.length > radius else (low, mu)
                # Newton's method on 1 / length, which is nearly linear in mu
                mu += (found.length / radius - 1) * found.length**2 / found.bend
            if not low < mu < high:
                mu = self._least + np.sqrt(max(low - self._least, 1e-16 * (high - self._least)) * (high - self._least))
        return found

    def reject(self, ratio):
        """See `Damping.reject`."""
        self.radius = (0.4 if np.isfinite(ratio) else 0.1) * min(self.radius, self._length)

    def accept(self, ratio):
        """See `Damping.accept`."""
        if ratio <= 0.25:
            self.reject(ratio)
        elif ratio >= 0.75 or self._inside:
            self.radius = 2 * self._length
        else:
            self.radius = min(self.radius, 2 * self._length)
