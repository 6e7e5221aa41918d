"""Distribution functions: the chances of a smaller target than y, of the same, and of a larger one.

Targets ``y``, their means and dispersions are arrays of shape (n, 1). The smaller of the two tails keeps its digits.
"""

import numpy as np
from scipy.special import betainc, betaincc, betaln, gammainc, gammaincc, gammaln, log_ndtr, ndtr, xlogy

#: of sums over the number of jumps of a compound Poisson distribution: standard deviations on either side of the
#: centre, terms per deviation where there are more, further terms on either side, and rows at a time
_REACH = 12
_DENSITY = 12
_MARGIN = 20
JUMP_ROWS = 2**12

#: what the variance of a negative binomial distribution has beside the mean, below which it is a Poisson distribution
_LEAST_SPREAD = 1e-12


def normal(y, mean, dispersion):
    """The normal distribution of this variance."""
    z = (y - mean) / np.sqrt(dispersion)
    return ndtr(z), np.zeros_like(z), ndtr(-z)


def poisson(y, mean, dispersion=1.0):
    """The Poisson distribution, y an integer; at the mean 0 all is at y = 0."""
    below = np.where(y > 0, gammaincc(np.maximum(y, 1.0), mean), 0.0)
    return below, np.exp(xlogy(y, mean) - mean - gammaln(y + 1)), gammainc(y + 1, mean)


def negative_binomial(y, mean, a):
    """The negative binomial distribution of variance mean + a mean^2, y an integer; Poisson where a is rounding."""
    is_spread = a > _LEAST_SPREAD
    spread = np.where(is_spread, a, 1.0)
    more = spread * mean / (1 + spread * mean)
    below = np.where(y > 0, betaincc(np.maximum(y, 1.0), 1 / spread, more), 0.0)
    above = betainc(y + 1, 1 / spread, more)
    # Gamma(y + 1/a) / (Gamma(1/a) y!), by the beta function, which keeps the digits of a small a
    log_ways = np.where(y > 0, -betaln(np.maximum(y, 1.0), 1 / spread) - np.log(np.maximum(y, 1.0)), 0.0)
    found = below, np.exp(log_ways + xlogy(y, more) - np.log1p(spread * mean) / spread), above
    return tuple(np.where(is_spread, one, other) for one, other in zip(found, poisson(y, mean), strict=True))


def gamma(y, mean, dispersion):
    """The Gamma distribution of variance dispersion mean^2."""
    shape, size = 1 / dispersion, y / (dispersion * mean)
    return gammainc(shape, size), np.zeros_like(size), gammaincc(shape, size)


def inverse_gaussian(y, mean, dispersion):
    """The inverse Gaussian distribution of variance dispersion mean^3; its tails in logarithms, which can not overflow.

    Source: J. Shuster, "On the inverse Gaussian distribution function", Journal of the American Statistical Association
    63, 1968.
    """
    root = 1 / np.sqrt(dispersion * y)
    near, far = root * (y / mean - 1), root * (y / mean + 1)
    second = 2 / (dispersion * mean) + log_ndtr(-far)
    first = log_ndtr(-near)
    above = np.exp(first) * -np.expm1(np.minimum(second - first, 0.0))
    return np.exp(np.logaddexp(log_ndtr(near), second)), np.zeros_like(near), above


def compound_poisson(power, y, mean, dispersion):
    """The Tweedie distribution of a power between 1 and 2: sums of a Poisson number of Gamma variables, zero for none.

    Source: P. Dunn, G. Smyth, "Series evaluation of Tweedie exponential dispersion model densities", Statistics and
    Computing 15, 2005.
    """
    rate = mean ** (2 - power) / ((2 - power) * dispersion)
    none, positive = np.exp(-rate), np.flatnonzero(y > 0)
    below, above = np.zeros_like(none), -np.expm1(-rate)
    for start in range(0, len(positive), JUMP_ROWS):
        rows = positive[start : start + JUMP_ROWS]
        jump = dispersion[rows] * (power - 1) * mean[rows] ** (power - 1)
        below[rows], above[rows] = _sums_of_jumps((2 - power) / (power - 1), rate[rows], y[rows] / jump)
        below[rows] += none[rows]
    return below, np.where(y > 0, 0.0, none), above


def numbers_of_jumps(centre, deviation):
    """Numbers of jumps, at least one, over which a sum is taken (n, k), and how far apart they are (n, 1).

    About a ``centre`` (n, 1), where terms are bell-shaped with this ``deviation`` (n, 1). Where they are wide, a
    trapezoidal rule of a twelfth of their deviation is as good as their sum, for a bell-shaped function to all digits.
    """
    stride = np.maximum(deviation / _DENSITY, 1.0)
    first = np.maximum(np.floor(centre - _REACH * deviation - _MARGIN), 1.0)
    count = 2 * (_REACH * np.max(deviation / stride) + _MARGIN)
    return first + stride * np.arange(int(count) + 2), stride


def _sums_of_jumps(shape, rate, size):
    """Chances that one jump or more have a sum up to ``size`` jumps, and beyond it; each of shape (n, 1).

    A sum over the number j of jumps, of Poisson chances and Gamma tails, about its mean.
    """
    j, stride = numbers_of_jumps(rate, np.sqrt(rate))
    chance = stride * np.exp(xlogy(j, rate) - rate - gammaln(j + 1))
    return tuple((chance * tail(shape * j, size)).sum(axis=1, keepdims=True) for tail in (gammainc, gammaincc))
