"""Tweedie deviances: normal, Poisson, compound Poisson, Gamma and inverse Gaussian targets."""

from functools import partial

import numpy as np
from scipy.special import gammaln, logsumexp, xlogy

from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.loss import Loss
from sk_hessian.objectives.losses.tails import compound_poisson, gamma, inverse_gaussian, normal, poisson

#: a mean below this share of the average one is 0 where y = 0; a negative one too, of coefficients in float32
_ON_EDGE = 1e-10
_BEYOND_EDGE = 1e-6

#: of the series of a Tweedie density: standard deviations on either side of its largest term, terms per deviation where
#: there are more, further terms on either side, and rows at a time
_SERIES_REACH = 12
_SERIES_DENSITY = 12
_SERIES_MARGIN = 20
_SERIES_ROWS = 2**12

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
        for start in range(0, len(positive), _SERIES_ROWS):
            rows = positive[start : start + _SERIES_ROWS]
            density[rows] = _log_compound_density(y[rows], p, phi[rows]) - self.loss.saturated(y[rows]) / phi[rows]
        return density

    def pearson(self, y, raw):
        """See `Family.pearson`."""
        mean = self.loss.inverse_link(raw)
        residual, variance = y[:, None] - mean, mean**self.loss.power
        return np.divide(residual**2, variance, out=np.zeros_like(mean), where=(residual != 0) | (mean != 0))

    def response_moments(self, raw, variance, dispersion):
        """See `Family.response_moments`: log-normal; for the identity link to second order, exact for powers 0 to 3."""
        p = self.loss.power
        if self.loss.link == "log":
            mean = np.exp(raw + variance / 2)
            return mean, mean**2 * np.expm1(variance), dispersion * np.exp(p * raw + p**2 * variance / 2)
        curved = 1 + (p * (p - 1) / 2 * variance / raw**2 if p else 0.0)
        return raw, variance, dispersion * self.loss.moment(raw, p) * curved

    def tails(self, y, raw, dispersion):
        """See `Family.tails`; a ValueError for other powers above 2."""
        if not self.has_tails:
            raise ValueError(f"the Tweedie distribution function of power {self.loss.power} has no closed form")
        mean, p = self.loss.inverse_link(raw), self.loss.power
        return _TAILS.get(p, partial(compound_poisson, p))(y[:, None], mean, np.broadcast_to(dispersion, mean.shape))

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        return (np.exp(raw) if self.loss.link == "log" else np.ones_like(raw))[:, :, None]

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`."""
        return (np.exp(raw) * change if self.loss.link == "log" else np.zeros_like(raw))[:, :, None]

    def best_constant(self, y, weight):
        """See `Family.best_constant`: the mean of y is the best constant for every power."""
        mean = weight @ y / weight.sum()
        if self.loss.link == "identity":
            return np.array([mean if mean > 0 or self.loss.power == 0 else 1.0])
        return np.array([np.log(mean) if mean > 0 else 0.0])

    def best_constant_beside(self, offset, y, weight):
        """See `Family.best_constant_beside`; for the log link exp(constant) = sum w y m^(1-p) / sum w m^(2-p)."""
        if self.loss.link == "identity":
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
    """Half the Tweedie deviance without its constant, log or identity link.

    With mean mu: mu^(2-p)/(2-p) - y mu^(1-p)/(1-p), and the limits mu - y log mu at p = 1, log mu + y/mu at p = 2.
    At p = 0 with its constant, (mu - y)^2 / 2: a difference of large squares would lose the digits of y.

    Parameters
    ----------
    power : float
        Variance power p: 0 normal, 1 Poisson, between 1 and 2 compound Poisson, 2 Gamma, 3 inverse Gaussian.
    link : {"log", "identity"}
        The raw prediction is log mu, or mu itself; the mean must stay positive (except at power 0).

    References
    ----------
    .. [1] B. Jorgensen, "Exponential dispersion models", JRSS B 49(2), 1987.
    """

    family_class = TweedieFamily

    def __init__(self, power=1.5, link="log"):
        self.power = power
        self.link = link
        self.canonical = (link == "log" and power == 1) or (link == "identity" and power == 0)
        self.quadratic = link == "identity" and power == 0
        self.is_smooth = link == "log" or power == 0
        self.cancels = power != 0
        self.convex = power in (0, 1) if link == "identity" else 1 <= power <= 2
        self.curvature = "observed" if link == "log" and self.convex else "expected"
        self.range_text = "finite" if power == 0 else "non-negative" if power < 2 else "positive"

    def moment(self, raw, exponent):
        """mu^exponent."""
        if exponent == 0:
            return np.ones_like(raw)
        if self.link == "identity":
            return raw**exponent
        return np.exp(raw if exponent == 1 else exponent * raw)

    def _is_at_edge(self, y, raw):
        return (raw == 0) & self.may_be_on_edge(y)

    def may_be_on_edge(self, y):
        """See `Loss.may_be_on_edge`: rows with y = 0 below power 2, where their loss at mean 0 is 0."""
        may = self.link == "identity" and 1 <= self.power < 2
        return (y == 0) if may else super().may_be_on_edge(y)

    def settled(self, y, raw):
        """See `Loss.settled`."""
        zero = self.may_be_on_edge(y)
        if not zero.any():
            return raw
        unit = np.abs(raw).mean()
        near = (raw < _ON_EDGE * unit) & (raw > -_BEYOND_EDGE * unit)
        return np.where(near & zero[:, None], 0.0, raw)

    def _value(self, y, raw):
        p = self.power
        if p == 0:
            return 0.5 * (raw - y) ** 2
        first = np.log(raw) if p == 2 else self.moment(raw, 2 - p) / (2 - p)
        second = np.log(raw) if p == 1 else self.moment(raw, 1 - p) / (1 - p)
        return first - y * second

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        raw = raw[:, 0]
        if self.link == "log":
            return self._of_log_mean(y, raw)
        if self.power > 0 and (raw <= 0).any():
            return self._beyond_inside(y, raw)
        gradient = self.moment(raw, 1 - self.power) - y * self.moment(raw, -self.power)
        return self._value(y, raw), gradient[:, None]

    def _beyond_inside(self, y, raw):
        """The same where a mean is not positive: the limit at the edge, where an infinite slope is taken as zero."""
        at_edge = self._is_at_edge(y, raw)
        outside = (raw <= 0) & ~at_edge
        value, gradient = self.value_and_gradient(y, np.where(outside | at_edge, 1.0, raw)[:, None])
        gradient[at_edge] = float(self.power == 1)
        return np.where(outside, np.inf, np.where(at_edge, 0.0, value)), gradient

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
        if self.link == "identity" and p > 0 and (raw <= 0).any():
            inside = self.hessian(y, np.where(raw <= 0, 1.0, raw)[:, None], kind)
            inside[self._is_at_edge(y, raw)] = 0.0
            return inside
        if self.link == "log":
            if kind == "expected":
                return self.moment(raw, 2 - p)[:, None, None]
            first = np.zeros(1) if p == 2 else (2 - p) * self.moment(raw, 2 - p)
            return (first if p == 1 else first - (1 - p) * y * self.moment(raw, 1 - p))[:, None, None]
        if kind == "expected":
            return self.moment(raw, -p)[:, None, None]
        return ((1 - p) * self.moment(raw, -p) + p * y * self.moment(raw, -p - 1))[:, None, None]

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return np.exp(raw) if self.link == "log" else raw

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
        return np.full_like(raw, np.inf) if self.power == 0 else np.maximum(raw, np.finfo(float).tiny)

    def recession(self, y, change):
        """See `Loss.recession`: only rows with y <= 0 may sink for ever, below power 2."""
        if self.link == "identity" or self.power >= 2:
            return np.zeros((len(change), 0)), change
        zero = (y <= 0)[:, None]
        return np.where(zero, -change, 0.0), np.where(zero, 0.0, change)


def _log_compound_density(y, p, phi):
    """Logarithm of the density of a compound Poisson distribution at y > 0, but for its exponential factor.

    The sum over j >= 1, gamma distributions added, of z^j / (j! Gamma(j shape)) / y, about its largest term. Its terms
    are log-concave in j. Where they are wide a trapezoidal rule of a twelfth of their deviation is as good as their
    sum, for a bell-shaped function to all digits; and where they are so many that gamma functions lose the
    digits, there is nothing between the density and its saddlepoint approximation.
    """
    shape = (2 - p) / (p - 1)
    log_z = shape * np.log(y / (p - 1)) - np.log(2 - p) - np.log(phi) / (p - 1)
    peak = y ** (2 - p) / ((2 - p) * phi)
    deviation = np.sqrt(peak / (1 + shape))
    stride = np.maximum(deviation / _SERIES_DENSITY, 1.0)
    first = np.maximum(np.floor(peak - _SERIES_REACH * deviation - _SERIES_MARGIN), 1.0)
    count = 2 * (_SERIES_REACH * np.max(deviation / stride) + _SERIES_MARGIN)
    j = first[:, None] + stride[:, None] * np.arange(int(count) + 2)
    terms = j * log_z[:, None] - gammaln(j + 1) - gammaln(shape * j)
    series = logsumexp(terms, axis=1) + np.log(stride) - np.log(y)
    is_narrow = (phi * y ** (p - 2) < _SADDLEPOINT) & (stride > 1)
    saturated = y ** (2 - p) / ((2 - p) * (p - 1))
    return np.where(is_narrow, saturated / phi - 0.5 * np.log(2 * np.pi * phi * y**p), series)
