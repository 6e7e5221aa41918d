"""Central differences, with steps in units of the parameters."""

import numpy as np

_EPS = np.finfo(float).eps

#: the least size of a parameter beside the one that it began with: it may cross zero
_SMALLEST = 1e-3

#: steps in sizes that balance truncation against rounding, for first and second derivatives
_FIRST, _SECOND = _EPS ** (1 / 3), _EPS ** (1 / 4)

#: a quotient of differences and that of a step a tenth as long differ by no more than this share
_SMOOTH = 0.1

#: times that a step is shortened tenfold
_MOST_SHORTENINGS = 12


class Differences:
    """Derivatives from values: f'(x) = (f(x + h) - f(x - h)) / 2h, with h a share of each parameter's size.

    The share balances truncation against rounding (Nocedal & Wright, "Numerical Optimization", section 8.1); it is a
    float or an array (p,), or None for the powers of the machine precision that are right for each derivative. A
    parameter's size is its absolute value, so that nothing depends on its unit; zero counts as one. ``sizes``, an array
    (p,) or a float, are typical ones: zero where they are not known. ``lengths`` (p,) are shares of the sizes within
    which the function is smooth. ``limits`` are two arrays (p,), low and high, between which the function may be
    called: at a limit first derivatives are by three points on one side, and second ones are those of the nearest point
    whose steps are inside.
    """

    def __init__(self, share=None, sizes=0.0, lengths=1.0, limits=(-np.inf, np.inf)):
        self.share, self.typical, self.lengths, self.limits = share, sizes, lengths, limits

    def within(self, low, high):
        """The same between limits (p,)."""
        return Differences(self.share, self.typical, self.lengths, (low, high))

    def sizes(self, theta):
        """The size of each parameter at ``theta``."""
        size = np.maximum(np.abs(theta), _SMALLEST * self.typical)
        return np.where(size > 0, size, 1.0)

    def _steps(self, theta, share):
        steps = (share * self.lengths if self.share is None else self.share) * self.sizes(theta)
        steps = np.minimum(steps, (self.limits[1] - self.limits[0]) / 4)
        # what is really added, so that the quotient has no error of its own
        return (theta + steps) - theta

    def _inner(self, theta, steps):
        """The point nearest to ``theta`` from which steps in both directions stay between the limits."""
        low, high = self.limits
        return np.clip(theta, low + np.abs(steps), high - np.abs(steps))

    def adapted(self, function, theta):
        """The same with steps that suit a function of scalar or array values: of a phase of 1e6, say, or of a date.

        A step is shortened tenfold until the quotient does not change any more: the second one of a scalar, which may
        be stationary, the first one of an array. What may be rounding is no change. Steps that a user has given stay.
        """
        if self.share is not None:
            return self
        sizes = np.minimum(self.sizes(theta), (self.limits[1] - self.limits[0]) / (4 * _SECOND))
        theta = self._inner(theta, _SECOND * sizes)
        centre = np.asarray(function(theta), dtype=float)
        lengths = np.ones(theta.size)
        for i, size in enumerate(sizes):
            wide = self._quotient(function, theta, centre, i, _SECOND * size)
            for _ in range(_MOST_SHORTENINGS):
                near = self._quotient(function, theta, centre, i, _SECOND * size * lengths[i] / 10)
                if near is None or _agree(wide, near):
                    break
                wide, lengths[i] = near, lengths[i] / 10
            else:
                # it is not smooth at any length, such as at a kink or on the edge of its domain
                lengths[i] = 1.0
        return Differences(None, self.typical, lengths, self.limits)

    @staticmethod
    def _quotient(function, theta, centre, i, step):
        """A quotient of differences along a parameter and its rounding; None where the step changes nothing."""
        shift = np.zeros_like(theta)
        shift[i] = step
        step = ((theta + shift) - theta)[i]
        if step == 0:
            return None
        up, down = np.asarray(function(theta + shift)), np.asarray(function(theta - shift))
        size = np.abs(centre).max(initial=0.0)
        if centre.ndim:
            return (up - down) / (2 * step), 4 * _EPS * size / step
        return (up - 2 * centre + down) / step**2, 16 * _EPS * size / step**2

    def first(self, function, theta, second=False):
        """The derivative (p, ...) of a function of scalar or array values.

        ``second`` says that differences of these differences will be taken: longer steps keep more digits then.
        """
        rows = []
        for i, step in enumerate(self._steps(theta, _SECOND if second else _FIRST)):
            shift = np.zeros_like(theta)
            shift[i] = step
            rows.append(self._slope(function, theta, shift, i))
        return np.stack(rows)

    def _slope(self, function, theta, shift, i):
        """The derivative along a parameter; of one that is fixed by its limits zero."""
        step = shift[i]
        low, high = (np.broadcast_to(limit, theta.shape)[i] for limit in self.limits)
        if step == 0:
            return np.zeros_like(np.asarray(function(theta), dtype=float))
        if low <= theta[i] - step and theta[i] + step <= high:
            return (np.asarray(function(theta + shift)) - function(theta - shift)) / (2 * step)
        side = 1.0 if theta[i] + 2 * step <= high else -1.0
        near, far = (np.asarray(function(theta + side * times * shift)) for times in (1, 2))
        return side * (4 * near - 3 * np.asarray(function(theta)) - far) / (2 * step)

    def second(self, function, theta):
        """The matrix of second derivatives of a scalar function, from its values, shape (p, p)."""
        sizes = self._steps(theta, _SECOND)
        theta, sizes = self._inner(theta, sizes), np.where(sizes > 0, sizes, np.inf)
        centre = function(theta)
        shifts, H = np.diag(np.where(np.isfinite(sizes), sizes, 0.0)), np.empty((theta.size, theta.size))
        for i, a in enumerate(shifts):
            H[i, i] = (function(theta + a) - 2 * centre + function(theta - a)) / sizes[i] ** 2
            for j, b in enumerate(shifts[:i]):
                change = function(theta + a + b) - function(theta + a - b)
                change -= function(theta - a + b) - function(theta - a - b)
                H[i, j] = H[j, i] = change / (4 * sizes[i] * sizes[j])
        return H

    def along(self, function, theta, v, second=False):
        """The derivative of a function of array values along ``v`` (p,): zero for a direction of zero.

        ``second`` says that the values of the function are differences themselves.
        """
        steps = self._steps(theta, _SECOND if second else _FIRST)
        reach = np.max(np.divide(np.abs(v), steps, out=np.zeros(theta.size), where=steps > 0))
        if reach == 0:
            return np.zeros_like(theta)
        v = np.where(steps > 0, v, 0.0)
        theta = self._inner(theta, v / reach)
        return (function(theta + v / reach) - function(theta - v / reach)) * (0.5 * reach)


def _agree(wide, near):
    """Whether two quotients, each with its rounding, are the same; one that is not finite is not."""
    (a, _), (b, rounding) = wide, near
    off, size = np.abs(a - b).max(initial=0.0), np.maximum(np.abs(a), np.abs(b)).max(initial=0.0)
    return bool(np.isfinite(off) and off <= _SMOOTH * size + rounding)
