"""How far to go: learning-rate schedules, line searches, Levenberg-Marquardt damping."""

from dataclasses import dataclass
from typing import Any

import numpy as np

#: the share of the predicted decrease that a step must bring (Nocedal & Wright, section 3.1)
_ARMIJO = 1e-4

#: trials without any success after which a line search shrinks tenfold: at a kink, halving would take for ever
_HASTE = 4

#: steps beyond this are taken for a function without a minimum
_LONGEST = 1e20

SCHEDULES = {
    "constant": lambda epoch: 1.0,
    "invscaling": lambda epoch: 1 / np.sqrt(epoch),
    "inverse": lambda epoch: 1 / epoch,
}


def schedule_function(schedule):
    """The factor of the learning rate in epoch 1, 2, ..., from a name of `SCHEDULES` or a callable."""
    return SCHEDULES[schedule] if isinstance(schedule, str) else schedule


@dataclass(frozen=True)
class Search:
    """Outcome of a line search: the new point (None if nothing was better), the step, and the evaluations."""

    point: Any
    step: float
    n_evaluations: int


def line_search(problem, point, direction, step=1.0, wolfe=0.9, max_evaluations=30):
    """A step along ``direction`` with sufficient decrease and, if ``wolfe``, sufficient flattening.

    Sufficient decrease is Armijo's (c1 = 1e-4), or where the decrease is below rounding the slope's form of it
    (Hager & Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search", 2005,
    section 4); trial steps come from the secant of the slopes, kept inside the bracket.

    Parameters
    ----------
    wolfe : float or None
        Accept only slopes of at most this share of the first one; None asks for decrease alone.
    """
    first = point.slope @ direction
    low, low_slope, high = 0.0, first, np.inf
    best = Search(None, 0.0, 0)
    for trial in range(1, max_evaluations + 1):
        new = problem.evaluate(point.u + step * direction)
        slope = new.slope @ direction if np.isfinite(new.value) else np.inf
        best = Search(best.point, best.step, trial)
        if _decreases(point, new, step * first, slope, first):
            if best.point is None or new.value <= best.point.value:
                best = Search(new, step, trial)
            if wolfe is None or abs(slope) <= -wolfe * first:
                return Search(new, step, trial)
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


def _decreases(point, new, predicted, slope, first):
    change = new.value - point.value
    if abs(change) <= point.noise:
        return slope <= (2 * _ARMIJO - 1) * first
    return change <= _ARMIJO * predicted


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

    It begins at zero, grows by 4, 16, 64, ... while steps fail (after H. B. Nielsen, "Damping parameter in Marquardt's
    method", 1999), shrinks by 10 after a good one, and is dropped below 1e-6: full Newton steps near the solution.
    """

    def __init__(self):
        self.restart()

    def restart(self):
        """Begin anew."""
        self.value, self._growth = 0.0, 4.0

    def reject(self, unit):
        """After a step that did not decrease the objective; ``unit`` is a typical curvature."""
        self.value = max(self._growth * self.value, 0.05 * unit)
        self._growth *= 4

    def accept(self, ratio):
        """After a step with this ratio of actual to predicted decrease."""
        self._growth = 4.0
        if ratio > 0.75:
            self.value = 0.1 * self.value if self.value > 1e-6 else 0.0
        elif ratio < 0.25:
            self.value *= 2


class GentleDamping(Damping):
    """Damping that is never dropped, in coordinates of unit curvature: for a network's many nearly flat directions.

    It begins at 0.01, grows by 3 and shrinks by 5. Of the rules that were tried on networks, those with larger factors
    or a start at zero ended in poorer minima.
    """

    def restart(self):
        """See `Damping.restart`."""
        self.value = 0.01

    def reject(self, unit):
        """See `Damping.reject`."""
        self.value *= 3

    def accept(self, ratio):
        """See `Damping.accept`."""
        if ratio > 0.75:
            self.value *= 0.2
        elif ratio < 0.25:
            self.value *= 2
