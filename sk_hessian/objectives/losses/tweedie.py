"""Tweedie deviances: normal, Poisson, compound Poisson, Gamma and inverse Gaussian targets."""

from functools import partial

import numpy as np
from scipy.special import gammaln, logsumexp, xlogy

from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.links import POWERS, Domain
from sk_hessian.objectives.losses.loss import Loss
from sk_hessian.objectives.losses.tails import (
    JUMP_ROWS,
    compound_poisson,
    gamma,
    inverse_gaussian,
    normal,
    numbers_of_jumps,
    poisson,
)

#: dispersion, in squares of the mean over the variance function, below which the saddlepoint is the better density
_SADDLEPOINT = 1e-8


_NAMES = {0: "normal", 1: "Poisson", 2: "Gamma", 3: "inverse Gaussian"}

_TAILS = {0: normal, 1: poisson, 2: gamma, 3: inverse_gaussian}


class TweedieFamily(Family):
    """Normal, Poisson, compound Poisson, Gamma, inverse Gaussian; other powers above 2 have no closed density.

    Source: P. Dunn, G. Smyth, "Series evaluation of Tweedie exponential dispersion model densities", Statistics and
    Computing 15, 2005.
    """

    def __init__(self, loss):
        super().__init__(loss)
        self.has_dispersion = loss.power != 1
        self.has_likelihood = self.has_tails = loss.power <= 2 or loss.power == 3
        self.is_discrete = loss.power == 1
        self.name = _NAMES.get(loss.power, f"Tweedie of power {loss.power:g}")
        self.link = loss.link

    def log_likelihood(self, y, raw, dispersion=1.0):
        """See `Family.log_likelihood`; a ValueError for other powers above 2."""
        if not self.has_likelihood:
            raise ValueError(f"the Tweedie density of power {self.loss.power} has no closed form")
        phi = np.broadcast_to(np.ravel(dispersion), len(y))
        below = (self.loss.value(y, raw) - self.loss.saturated(y)) / phi
        return self._saturated_density(y, phi) - below

    def _saturated_density(self, y, phi):
        """Logarithm of the density at the mean y."""
        p = self.loss.power
        if p == 0:
            return -0.5 * np.log(2 * np.pi * phi)
        if p == 1:
            return (xlogy(y, y) - y - gammaln(y + 1)) / phi
        if p == 2:
            return -np.log(y) - (np.log(phi) + 1) / phi - gammaln(1 / phi)
        if p == 3:
            return -0.5 * np.log(2 * np.pi * phi * y**3)
        density = np.zeros(len(y))
        positive = np.flatnonzero(y > 0)
        for start in range(0, len(positive), JUMP_ROWS):
            rows = positive[start : start + JUMP_ROWS]
            density[rows] = _log_compound_density(y[rows], p, phi[rows]) - self.loss.saturated(y[rows]) / phi[rows]
        return density

    def pearson(self, y, raw):
        """See `Family.pearson`."""
        mean = self.loss.inverse_link(raw)
        residual, variance = y[:, None] - mean, mean**self.loss.power
        return np.divide(residual**2, variance, out=np.zeros_like(mean), where=(residual != 0) | (mean != 0))

    def response_moments(self, raw, variance, dispersion):
        """See `Family.response_moments`: log-normal; for powers of the prediction to second order.

        That is exact for the identity link and powers 0 to 3, and for square roots of Poisson means.
        """
        p = self.loss.power
        if self.loss.link == "log":
            mean = np.exp(raw + variance / 2)
            return mean, mean**2 * np.expm1(variance), dispersion * np.exp(p * raw + p**2 * variance / 2)
        q = POWERS[self.loss.link]

        def expected(exponent):
            e = q * exponent
            return self.loss.moment(raw, exponent) * (1 + (e * (e - 1) / 2 * variance / raw**2 if exponent else 0.0))

        spread = variance if q == 1 else (q * raw ** (q - 1)) ** 2 * variance
        return (raw if q == 1 else expected(1)), spread, dispersion * expected(p)

    def tails(self, y, raw, dispersion):
        """See `Family.tails`; a ValueError for other powers above 2."""
        if not self.has_tails:
            raise ValueError(f"the Tweedie distribution function of power {self.loss.power} has no closed form")
        mean, p = self.loss.inverse_link(raw), self.loss.power
        return _TAILS.get(p, partial(compound_poisson, p))(y[:, None], mean, np.broadcast_to(dispersion, mean.shape))

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        if self.loss.link == "log":
            return np.exp(raw)[:, :, None]
        q = POWERS[self.loss.link]
        return (q * raw ** (q - 1))[:, :, None]

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`."""
        if self.loss.link == "log":
            return (np.exp(raw) * change)[:, :, None]
        q = POWERS[self.loss.link]
        return (q * (q - 1) * raw ** (q - 2) * change if q != 1 else np.zeros_like(raw))[:, :, None]

    def best_constant(self, y, weight):
        """See `Family.best_constant`: the mean of y is the best constant for every power."""
        mean = weight @ y / weight.sum()
        if self.loss.power == 0 and self.loss.link == "identity":
            return np.array([mean])
        if self.loss.link != "log":
            return np.array([mean ** (1 / POWERS[self.loss.link]) if mean > 0 else 1.0])
        return np.array([np.log(mean) if mean > 0 else 0.0])

    def best_constant_beside(self, offset, y, weight):
        """See `Family.best_constant_beside`; for the log link exp(constant) = sum w y m^(1-p) / sum w m^(2-p)."""
        if self.loss.link != "log":
            return super().best_constant_beside(offset, y, weight)
        offset, p = offset[:, 0], self.loss.power
        above, sign = logsumexp((1 - p) * offset, b=weight * y, return_sign=True)
        if sign <= 0:
            above = logsumexp((1 - p) * offset, b=weight)
        return np.array([above - logsumexp((2 - p) * offset, b=weight)])

    def null_deviance(self, y, weight, offset=None):
        """See `Family.null_deviance`; none for zeros alone, which means near zero fit."""
        if not y.any() and (self.loss.link == "log" or offset is None):
            return 0.0
        return super().null_deviance(y, weight, offset)

    def unit(self, y, weight):
        """See `Family.unit`."""
        if self.loss.power == 0:
            return weight @ y**2 / weight.sum()
        return (weight @ np.abs(y) / weight.sum()) ** (2 - self.loss.power)


class TweedieLoss(Loss):
    """Half the Tweedie deviance without its constant, with a log link or one that is a power.

    With mean mu: mu^(2-p)/(2-p) - y mu^(1-p)/(1-p), and the limits mu - y log mu at p = 1, log mu + y/mu at p = 2.
    At p = 0 with its constant, (mu - y)^2 / 2: a difference of large squares would lose the digits of y.

    Parameters
    ----------
    power : float
        Variance power p: 0 normal, 1 Poisson, between 1 and 2 compound Poisson, 2 Gamma, 3 inverse Gaussian.
    link : {"log", "identity", "sqrt", "inverse"}
        The raw prediction is log mu, mu itself, its square root, or 1 / mu. All but the first must stay positive, but
        for the identity at power 0. "sqrt" is for powers from 1 to below 2, "inverse" for powers of at least 2.

    References
    ----------
    .. [1] B. Jorgensen, "Exponential dispersion models", JRSS B 49(2), 1987.
    """

    family_class = TweedieFamily

    def __init__(self, power=1.5, link="log"):
        self.power = power
        self.link = link
        self.quadratic = link == "identity" and power == 0
        self.domain = None if link == "log" or self.quadratic else Domain(1, "0", link, "log")
        self.is_smooth = self.domain is None
        self.cancels = power != 0
        if link == "log":
            self.canonical, self.convex = power == 1, 1 <= power <= 2
        else:
            # the two terms of the second derivative, both of which must not be negative; (q is the power of the link)
            q = POWERS[link]
            self.canonical = q * (1 - power) == 1
            self.convex = q * (q * (2 - power) - 1) >= 0 >= q * (q * (1 - power) - 1)
        self.curvature = "observed" if link == "log" and self.convex else "expected"
        self.range_text = "finite" if power == 0 else "non-negative" if power < 2 else "positive"

    def moment(self, raw, exponent):
        """mu^exponent."""
        if self.link != "log":
            return self._power(raw, POWERS[self.link] * exponent)
        if exponent == 0:
            return np.ones_like(raw)
        return np.exp(raw if exponent == 1 else exponent * raw)

    @staticmethod
    def _power(raw, exponent):
        return np.ones_like(raw) if exponent == 0 else raw**exponent

    def _is_at_edge(self, y, raw):
        return (raw == 0) & self.may_be_on_edge(y)

    def may_be_on_edge(self, y):
        """See `Loss.may_be_on_edge`: rows with y = 0 below power 2, where their loss at mean 0 is 0."""
        may = self.domain is not None and 1 <= self.power < 2
        return (y == 0) if may else super().may_be_on_edge(y)

    def _value(self, y, raw):
        p = self.power
        if p == 0:
            return 0.5 * (raw - y) ** 2
        log_mean = POWERS[self.link] * np.log(raw) if p in (1, 2) else None
        first = log_mean if p == 2 else self.moment(raw, 2 - p) / (2 - p)
        second = log_mean if p == 1 else self.moment(raw, 1 - p) / (1 - p)
        return first - y * second

    def _derivative(self, y, raw, order):
        """The gradient or the second derivative in a raw prediction of which the mean is a power."""
        p, q = self.power, POWERS[self.link]
        first, second = q * (2 - p) - 1, q * (1 - p) - 1
        if order == 1:
            return q * (self._power(raw, first) - y * self._power(raw, second))
        first_term = first * self._power(raw, first - 1) if first else 0.0
        return q * (first_term - (second * y * self._power(raw, second - 1) if second else 0.0))

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        raw = raw[:, 0]
        if self.link == "log":
            return self._of_log_mean(y, raw)
        if self.domain is not None and (raw <= 0).any():
            return self._beyond_inside(y, raw)
        return self._value(y, raw), self._derivative(y, raw, 1)[:, None]

    def _beyond_inside(self, y, raw):
        """The same where a mean is not positive: the limit at the edge, where an infinite slope is taken as zero."""
        at_edge = self._is_at_edge(y, raw)
        outside = (raw <= 0) & ~at_edge
        value, gradient = self.value_and_gradient(y, np.where(outside | at_edge, 1.0, raw)[:, None])
        gradient[at_edge] = self._on_edge(1.0, 1)
        return np.where(outside, np.inf, np.where(at_edge, 0.0, value)), gradient

    def _on_edge(self, factor, order):
        """A derivative where y and the mean are zero, ``factor`` times a power of that; zero if that is infinite."""
        exponent = POWERS[self.link] * (2 - self.power) - order
        return factor * POWERS[self.link] if exponent == 0 else 0.0

    def _of_log_mean(self, y, raw):
        """Value and gradient share their two powers of the mean."""
        p = self.power
        if p == 0:
            mean = np.exp(raw)
            return 0.5 * (mean - y) ** 2, ((mean - y) * mean)[:, None]
        first, second = self.moment(raw, 2 - p), y if p == 1 else y * self.moment(raw, 1 - p)
        value = (raw if p == 2 else first / (2 - p)) - (y * raw if p == 1 else second / (1 - p))
        return value, (first - second)[:, None]

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`."""
        raw, p = raw[:, 0], self.power
        if self.domain is not None and (raw <= 0).any():
            inside = self.hessian(y, np.where(raw <= 0, 1.0, raw)[:, None], kind)
            q = POWERS[self.link]
            inside[self._is_at_edge(y, raw)] = self._on_edge(q if kind == "expected" else q * (2 - p) - 1, 2)
            return inside
        if self.link != "log":
            q = POWERS[self.link]
            bend = self._derivative(y, raw, 2) if kind == "observed" else q * q * self._power(raw, q * (2 - p) - 2)
            return bend[:, None, None]
        if kind == "expected":
            return self.moment(raw, 2 - p)[:, None, None]
        first = np.zeros(1) if p == 2 else (2 - p) * self.moment(raw, 2 - p)
        return (first if p == 1 else first - (1 - p) * y * self.moment(raw, 1 - p))[:, None, None]

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return raw if self.link == "identity" else self.moment(raw, 1)

    def in_range(self, y):
        """See `Loss.in_range`."""
        if self.power == 0:
            return np.isfinite(y)
        return np.isfinite(y) & ((y >= 0) if self.power < 2 else (y > 0))

    def saturated(self, y):
        """See `Loss.saturated`."""
        p = self.power
        if p == 1:
            return y - xlogy(y, y)
        if p == 2:
            return np.log(y) + 1
        if p == 0:
            return np.zeros(len(y)) if self.link == "identity" else 0.5 * np.minimum(y, 0) ** 2
        return y ** (2 - p) / ((2 - p) * (p - 1))

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`."""
        if self.link == "log":
            return np.ones_like(raw)
        return np.full_like(raw, np.inf) if self.quadratic else np.maximum(raw, np.finfo(float).tiny)

    def recession(self, y, change):
        """See `Loss.recession`: only rows with y <= 0 may sink for ever, below power 2."""
        if self.link != "log" or self.power >= 2:
            return np.zeros((len(change), 0)), change
        zero = (y <= 0)[:, None]
        return np.where(zero, -change, 0.0), np.where(zero, 0.0, change)


def _log_compound_density(y, p, phi):
    """Logarithm of the density of a compound Poisson distribution at y > 0, but for its exponential factor.

    The sum over j >= 1, gamma distributions added, of z^j / (j! Gamma(j shape)) / y, about its largest term. Its terms
    are log-concave in j. Where they are so many that gamma functions lose the digits, there is nothing between the
    density and its saddlepoint approximation.
    """
    shape = (2 - p) / (p - 1)
    log_z = shape * np.log(y / (p - 1)) - np.log(2 - p) - np.log(phi) / (p - 1)
    peak = y ** (2 - p) / ((2 - p) * phi)
    j, stride = numbers_of_jumps(peak[:, None], np.sqrt(peak / (1 + shape))[:, None])
    stride = stride[:, 0]
    terms = j * log_z[:, None] - gammaln(j + 1) - gammaln(shape * j)
    series = logsumexp(terms, axis=1) + np.log(stride) - np.log(y)
    is_narrow = (phi * y ** (p - 2) < _SADDLEPOINT) & (stride > 1)
    saturated = y ** (2 - p) / ((2 - p) * (p - 1))
    return np.where(is_narrow, saturated / phi - 0.5 * np.log(2 * np.pi * phi * y**p), series)
