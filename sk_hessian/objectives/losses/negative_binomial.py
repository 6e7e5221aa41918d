"""The negative binomial loss, its theta given or estimated along."""

import numpy as np
from scipy.special import digamma, gammaln, polygamma, xlogy

from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.loss import Loss
from sk_hessian.objectives.losses.tails import negative_binomial

#: arguments up to which a logarithm's tail is summed as a power series, and with how many terms: 0.2^24 is rounding
_SERIES = 0.2
_SERIES_TERMS = 23

#: 1/theta up to which Stirling's series serves, and the Bernoulli numbers B2, B4, ... of its terms
_STIRLING = 1 / 10
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)

#: where theta^-1/2 of a common mean is looked for, the least in units of the mean's own
_LEAST_SPREAD = 1e-6
_MOST_SPREAD = 1e3


class NegativeBinomialFamily(Family):
    """Negative binomial with variance mu + mu^2 / theta."""

    has_likelihood = has_tails = is_discrete = True
    name, link = "negative binomial", "log"

    def log_likelihood(self, y, raw, dispersion=1.0):
        """See `Family.log_likelihood`."""
        return -(self.loss.value(y, raw) + gammaln(y + 1)) / np.ravel(dispersion)

    def pearson(self, y, raw):
        """See `Family.pearson`."""
        mu, _, rest, v, _ = self.loss.parts(raw)
        return ((y - mu) ** 2 * rest**2 / v)[:, None]

    def tails(self, y, raw, dispersion):
        """See `Family.tails`."""
        mu, a, _, _, _ = self.loss.parts(raw)
        return negative_binomial(y[:, None], mu[:, None], a[:, None])

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        return np.exp(raw[:, :1])[:, :, None]

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`."""
        return (np.exp(raw[:, :1]) * change)[:, :, None]

    def response_moments(self, raw, variance, dispersion):
        """See `Family.response_moments`: log-normal, for a given theta; the noise is E mu + E mu^2 / theta."""
        mean = np.exp(raw + variance / 2)
        spread = mean**2 * np.expm1(variance)
        return mean, spread, mean + (mean**2 + spread) / self.loss.theta

    def best_constant(self, y, weight):
        """See `Family.best_constant`: the mean of y is the best constant for every theta."""
        mean = weight @ y / weight.sum()
        raw = np.log(mean) if mean > 0 else 0.0
        return np.append(raw, self._best_spread(y, weight, raw))

    def curvature_at_constant(self, y, raw, weight):
        """See `Family.curvature_at_constant`: the observed one, because the expected is a coarse bound along c."""
        return np.einsum("n,nkl->kl", weight, self.loss.hessian(y, raw, "observed"))

    def own_constants(self, residual, weight):
        """See `Family.own_constants`: for counts of mean one."""
        return self._best_spread(residual, weight, 0.0)

    def _best_spread(self, y, weight, raw):
        """The c that fits a common mean, by bisection of the slope in a on the logarithm; 0 without overdispersion."""
        if not (self.loss.n_constants and y.any()):
            return np.zeros(self.loss.n_constants)
        y, index = np.unique(y, return_inverse=True)
        weight = np.bincount(index, weights=weight)

        def slope(c):
            """That of the loss in c, over 2 c."""
            _, a, rest, v, _ = self.loss.parts(np.tile([raw, c], (len(y), 1)))
            return weight @ (y * v - v**2 * _tail(a * v, rest, 2) - _log_rising(y, a, 1)[1])

        low, high = _LEAST_SPREAD / np.sqrt(np.exp(raw)), 1.0
        if slope(low) >= 0:
            return np.zeros(1)
        while slope(high) < 0 and high < _MOST_SPREAD:
            high *= 4
        while high > low * (1 + 4 * np.finfo(float).eps):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        return np.array([high])

    def null_deviance(self, y, weight, offset=None):
        """See `Family.null_deviance`; none for zeros alone, which means near zero fit."""
        return super().null_deviance(y, weight, offset) if y.any() else 0.0

    def unit(self, y, weight):
        """See `Family.unit`."""
        return weight @ y / weight.sum()


class NegativeBinomialLoss(Loss):
    """Negative log-likelihood of the negative binomial distribution, log link, without its term log y!.

    With mean mu and variance mu + mu^2 / theta (NB2). The raw columns are log mu and, where theta is estimated,
    c = theta^-1/2: the relative standard deviation of the gamma distribution whose mixture of Poisson distributions
    this is. c, unlike log theta, reaches the Poisson limit at a finite point: counts without overdispersion have
    their optimum at c = 0, as regular a minimum as any. The loss depends on c^2 alone.

    It is convex in log mu, and not jointly. Everything is written in a = c^2, v = mu / (1 + a mu) and, where
    differences would lose digits, in series, down to a = 0; y need not be an integer.

    Parameters
    ----------
    theta : float or None
        inf is the Poisson distribution; None for a parameter of the model.
    floor : float
        An estimated c below this counts as none.

    References
    ----------
    .. [1] J. Lawless, "Negative binomial and mixed Poisson regression", Canadian Journal of Statistics 15(3), 1987.
    .. [2] J. Hilbe, "Negative Binomial Regression", 2nd ed., 2011, chapter 8.
    """

    canonical = False
    cancels = True
    even_constants = True
    range_text = "non-negative"
    family_class = NegativeBinomialFamily

    def __init__(self, theta=None, floor=1e-3):
        self.theta = theta
        self.floor = floor
        self.n_constants = int(theta is None)
        self.constant_names = ("theta^(-1/2)",) if theta is None else ()
        self.convex = theta is not None

    def parts(self, raw):
        """mu, a, 1 / (1 + a mu), v and c."""
        c = raw[:, 1] if self.theta is None else np.full(len(raw), self.theta**-0.5)
        mu, a = np.exp(raw[:, 0]), c**2
        rest = 1 / (1 + a * mu)
        return mu, a, rest, mu * rest, c

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        mu, a, rest, v, c = self.parts(raw)
        log_ratio = np.log1p(a * mu)  # of the variance to the mean
        value = y * (log_ratio - raw[:, 0]) + np.where(a > 0, log_ratio / np.where(a > 0, a, 1.0), mu)
        rising = _log_rising(y, a, 1 if self.n_constants else 0)
        slopes = [v - y * rest]
        if self.n_constants:
            slopes.append(2 * c * (y * v - v**2 * _tail(a * v, rest, 2) - rising[1]))
        return value - rising[0], np.stack(slopes, axis=1)

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`.

        The expected curvature along c is a lower bound of Fisher's information, which has no closed form: what
        (y - mu)^2 tells of a. It is exact as a vanishes.
        """
        _, a, rest, v, c = self.parts(raw)
        if not self.n_constants:
            return (v if kind == "expected" else (y * a * v + v) * rest)[:, None, None]
        hessian = np.zeros((len(y), 2, 2))
        if kind == "expected":
            hessian[:, 0, 0] = v
            hessian[:, 1, 1] = 2 * a * v**2 / (1 + a)
            return hessian
        rising = _log_rising(y, a, 2)
        slope = y * v - v**2 * _tail(a * v, rest, 2) - rising[1]
        bend = 2 * v**3 * _tail(a * v, rest, 3) - y * v**2 - rising[2]
        hessian[:, 0, 0] = (y * a * v + v) * rest
        hessian[:, 0, 1] = hessian[:, 1, 0] = 2 * c * v * (y * rest - v)
        hessian[:, 1, 1] = 2 * slope + 4 * a * bend
        return hessian

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return np.exp(raw[:, :1])

    def in_range(self, y):
        """See `Loss.in_range`: also between the integers, where the gamma function continues the likelihood."""
        return np.isfinite(y) & (y >= 0)

    def saturated(self, y):
        """See `Loss.saturated`: at the mean y, and without overdispersion where theta is estimated."""
        if self.n_constants:
            return y - xlogy(y, y)
        raw = np.log(np.where(y > 0, y, 1.0))[:, None]
        return np.where(y > 0, self.value(y, raw), 0.0)

    def terms_of_y(self, y):
        """See `Loss.terms_of_y`: with theta given, what is left of the value at any mean is linear in y."""
        return self.value(y, np.zeros((len(y), 1)))

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: half of c, because the loss depends on c^2."""
        unit = np.ones_like(raw)
        unit[:, 1:] = 0.5 * np.maximum(np.abs(raw[:, 1:]), self.floor)
        return unit

    def recession(self, y, change):
        """See `Loss.recession`: only rows with y = 0 may sink for ever."""
        zero = (y == 0)[:, None]
        fixed = np.hstack([np.where(zero, 0.0, change[:, :1]), change[:, 1:]])
        return np.where(zero, -change[:, :1], 0.0), fixed

    def remarks(self, constants):
        """See `Loss.remarks`."""
        if not self.n_constants or abs(constants[0]) > self.floor:
            return []
        return ["There is no overdispersion: this is the Poisson limit, theta = inf; use PoissonRegressor."]

    def at(self, constants):
        """See `Loss.at`: that of a given theta, of inf where c is below the floor."""
        if not self.n_constants:
            return self
        return NegativeBinomialLoss(float(constants[0] ** -2.0) if abs(constants[0]) > self.floor else np.inf)


def _tail(p, rest, first):
    """The sum over k >= 0 of p^k / (k + first), first 2 or 3, for 0 <= p <= 1 and rest = 1 - p."""
    near = np.minimum(p, _SERIES)
    total = np.zeros_like(near)
    for k in range(_SERIES_TERMS, -1, -1):
        total = total * near + 1 / (k + first)
    if (p <= _SERIES).all():
        return total
    far = np.maximum(p, _SERIES)
    rest = np.clip(rest, np.finfo(float).tiny, 1 - _SERIES)
    closed = -np.log(rest) - far - (far**2 / 2 if first == 3 else 0)
    return np.where(p <= _SERIES, total, closed / far**first)


def _log_rising(y, a, order):
    """log(Gamma(y + 1/a) / Gamma(1/a)) + y log a, for integers the sum of log(1 + j a) over j < y.

    Returns a list with its first derivatives in a, ``order`` of them. For small a by Stirling's series, of which
    large terms cancel on paper, else by the gamma function and its derivatives.
    """
    small = a <= _STIRLING
    if small.all():
        return _log_rising_series(y, a, order)
    direct = _log_rising_direct(y, np.maximum(a, _STIRLING), order)
    if not small.any():
        return direct
    series = _log_rising_series(y, np.minimum(a, _STIRLING), order)
    return [np.where(small, one, other) for one, other in zip(series, direct, strict=True)]


def _log_rising_direct(y, a, order):
    theta = 1 / a
    result = [gammaln(y + theta) - gammaln(theta) - y * np.log(theta)]
    if order > 0:
        first = theta * (digamma(y + theta) - digamma(theta))
        result.append(theta * (y - first))
    if order > 1:
        # in log a the derivatives are y - first, and the next line
        second = first + theta**2 * (polygamma(1, y + theta) - polygamma(1, theta))
        result.append(theta**2 * (second - (y - first)))
    return result


def _log_rising_series(y, a, order):
    """The same with q = a y / (1 + a y): terms of Stirling's series at y + 1/a less those at 1/a."""
    rest = 1 / (1 + a * y)
    q = a * y * rest
    two = _tail(q, rest, 2)
    result = [y * q * two - 0.5 * np.log1p(a * y)]
    if order > 0:
        result.append(y**2 * rest * (1 - rest * two) - y * rest / 2)
    if order > 1:
        result.append(y**3 * rest**2 * (2 * rest * _tail(q, rest, 3) - 1) + y**2 * rest**2 / 2)
    for k, b in enumerate(_BERNOULLI, start=1):
        result[0] += b / (2 * k * (2 * k - 1)) * a ** (2 * k - 1) * (rest ** (2 * k - 1) - 1)
        if order > 0:
            result[1] += b / (2 * k) * a ** (2 * k - 2) * (rest ** (2 * k) - 1)
        if order > 1:
            result[2] -= b * a ** (2 * k - 2) * y * rest ** (2 * k + 1)
            if k > 1:
                result[2] += b * (2 * k - 2) / (2 * k) * a ** (2 * k - 3) * (rest ** (2 * k) - 1)
    return result
