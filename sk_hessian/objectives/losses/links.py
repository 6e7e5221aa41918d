"""Links: from the raw prediction to the mean, of probabilities in log-space.

A link of a probability is a distribution function F. What losses need of it are log F and log(1 - F) with two
derivatives each, as both lose all digits when they are made of F itself. A link of positive means is a power of the raw
prediction.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import erfcx, expit, log_expit, log_ndtr, logit, ndtr, ndtri

#: standard deviations below zero beyond which the normal distribution's derivatives are those of its asymptotic series,
#: and the coefficients of that, in powers of -1/r^2
_ASYMPTOTIC = -40.0
_MILLS = (1.0, 1.0, 6.0, 50.0, 518.0)

#: e up to which 1 - e - e / (exp(e) - 1) is summed as a series, and its coefficients, Bernoulli numbers over factorials
_SMALL = 0.1
_BERNOULLI = (-1 / 2, -1 / 12, 0.0, 1 / 720, 0.0, -1 / 30_240, 0.0, 1 / 1_209_600)


class Domain(NamedTuple):
    """What raw predictions may be: those on one side of zero, and zero itself for targets whose mean it is.

    ``side`` is 1 where they must be positive, -1 where negative. ``mean`` is the mean at zero as text, ``link`` that
    of the loss, ``other`` one to use in its place.
    """

    side: int
    mean: str
    link: str
    other: str


def log_rest(log_mean):
    """log(1 - p) by log p, negative; -inf for p = 1. Near p = 1 by one, far from it by the other of two forms."""
    is_near = log_mean > -np.log(2)
    with np.errstate(divide="ignore"):
        near = np.log(-np.expm1(np.where(is_near, log_mean, -1.0)))
    return np.where(is_near, near, np.log1p(-np.exp(np.minimum(log_mean, -0.5))))


class Link:
    """A distribution function F as the inverse link of a probability; raw predictions are arrays of any shape.

    Attributes
    ----------
    name : str
    convex : bool
        True when -log F, -log(1 - F) and, as the density is log-concave, -log of every difference of F are convex.
    side : int
        -1 where raw predictions must be negative; else 0.
    """

    name: str
    convex: bool = True
    side: int = 0

    def mean(self, raw):
        """F, the probability."""
        raise NotImplementedError

    def raw(self, mean):
        """The link itself, of probabilities between 0 and 1."""
        raise NotImplementedError

    def log_mean(self, raw):
        """Log F."""
        raise NotImplementedError

    def log_rest(self, raw):
        """log(1 - F); by default that of a symmetric distribution."""
        return self.log_mean(-raw)

    def mean_slopes(self, raw):
        """First and second derivative of log F."""
        raise NotImplementedError

    def rest_slopes(self, raw):
        """First and second derivative of log(1 - F); by default those of a symmetric distribution."""
        slope, bend = self.mean_slopes(-raw)
        return -slope, bend

    def log_density(self, raw):
        """Logarithm of the density F' and its first derivative."""
        raise NotImplementedError

    def unit(self, raw):
        """The change of a raw prediction over which curvature changes e-fold at the most."""
        return np.ones_like(raw)


class Logit(Link):
    """F = 1 / (1 + exp(-raw)), the logistic distribution."""

    name = "logit"

    def mean(self, raw):
        """See `Link.mean`."""
        return expit(raw)

    def raw(self, mean):
        """See `Link.raw`."""
        return logit(mean)

    def log_mean(self, raw):
        """See `Link.log_mean`."""
        return log_expit(raw)

    def mean_slopes(self, raw):
        """See `Link.mean_slopes`."""
        rest = expit(-raw)
        return rest, -rest * expit(raw)

    def log_density(self, raw):
        """See `Link.log_density`."""
        return log_expit(raw) + log_expit(-raw), -np.tanh(raw / 2)


class Probit(Link):
    """F = Phi, the normal distribution; right at 40 standard deviations and beyond."""

    name = "probit"

    def mean(self, raw):
        """See `Link.mean`."""
        return ndtr(raw)

    def raw(self, mean):
        """See `Link.raw`."""
        return ndtri(mean)

    def log_mean(self, raw):
        """See `Link.log_mean`."""
        return log_ndtr(raw)

    def mean_slopes(self, raw):
        """See `Link.mean_slopes`: the inverse of Mills' ratio m, and -m (m + raw)."""
        with np.errstate(over="ignore"):
            slope = np.sqrt(2 / np.pi) / erfcx(-raw / np.sqrt(2))
        bend = -slope * (slope + raw)
        if (raw < _ASYMPTOTIC).any():
            series = -np.polyval(_MILLS[::-1], -1 / np.minimum(raw, _ASYMPTOTIC) ** 2)
            bend = np.where(raw < _ASYMPTOTIC, series, bend)
        return slope, bend

    def log_density(self, raw):
        """See `Link.log_density`."""
        return -0.5 * raw * raw - 0.5 * np.log(2 * np.pi), -raw

    def unit(self, raw):
        """See `Link.unit`: in the tails log F is a parabola, and the density falls the faster the farther out."""
        return 1 / np.maximum(np.abs(raw), 1.0)


class CLogLog(Link):
    """F = 1 - exp(-exp(raw)), the complementary log-log link: of the least of many risks."""

    name = "cloglog"

    def mean(self, raw):
        """See `Link.mean`."""
        return -np.expm1(-np.exp(raw))

    def raw(self, mean):
        """See `Link.raw`."""
        return np.log(-np.log1p(-mean))

    def log_mean(self, raw):
        """See `Link.log_mean`."""
        e = np.exp(raw)
        near = np.clip(e, np.finfo(float).tiny, 1.0)
        return np.where(e <= 1, raw + np.log(-np.expm1(-near) / near), np.log1p(-np.exp(-np.maximum(e, 1.0))))

    def log_rest(self, raw):
        """See `Link.log_rest`."""
        return -np.exp(raw)

    def mean_slopes(self, raw):
        """See `Link.mean_slopes`: g = e / (exp(e) - 1) with e = exp(raw), and g (1 - e - g)."""
        e = np.exp(raw)
        with np.errstate(over="ignore"):
            slope = np.where(e > 0, e / np.where(e > 0, np.expm1(e), 1.0), 1.0)
        series = np.polyval((*_BERNOULLI[::-1], 0.0), np.minimum(e, _SMALL))
        return slope, slope * np.where(e <= _SMALL, series, 1 - e - slope)

    def rest_slopes(self, raw):
        """See `Link.rest_slopes`."""
        e = np.exp(raw)
        return -e, -e

    def log_density(self, raw):
        """See `Link.log_density`."""
        e = np.exp(raw)
        return raw - e, 1 - e

    def unit(self, raw):
        """See `Link.unit`: where F is all but one the density falls like exp(-exp(raw))."""
        return np.exp(-np.maximum(raw, 0.0))


class Cauchit(Link):
    """F = 1/2 + arctan(raw) / pi, the Cauchy distribution: rare surprises far out cost little, so it is not convex."""

    name = "cauchit"
    convex = False

    def mean(self, raw):
        """See `Link.mean`."""
        return np.arctan2(1.0, -raw) / np.pi

    def raw(self, mean):
        """See `Link.raw`."""
        return np.where(mean < 0.5, -1 / np.tan(np.pi * mean), np.tan(np.pi * (mean - 0.5)))

    def log_mean(self, raw):
        """See `Link.log_mean`."""
        below, above = np.minimum(raw, 0.0), np.maximum(raw, 0.0)
        return np.where(raw <= 0, np.log(self.mean(below)), np.log1p(-self.mean(-above)))

    def mean_slopes(self, raw):
        """See `Link.mean_slopes`."""
        density = 1 / (np.pi * (1 + raw * raw))
        slope = density / self.mean(raw)
        return slope, slope * (-2 * np.pi * raw * density - slope)

    def log_density(self, raw):
        """See `Link.log_density`."""
        size = 1 + raw * raw
        return -np.log(np.pi * size), -2 * raw / size

    def unit(self, raw):
        """See `Link.unit`: the curvature falls with the third power of the distance."""
        return np.maximum(np.abs(raw), 1.0) / 3


class Log(Link):
    """F = exp(raw) for raw < 0: coefficients are logarithms of relative risks. Where y = 1 a mean may be 1."""

    name = "log"
    side = -1

    def mean(self, raw):
        """See `Link.mean`."""
        return np.exp(raw)

    def raw(self, mean):
        """See `Link.raw`."""
        return np.log(mean)

    def log_mean(self, raw):
        """See `Link.log_mean`."""
        return raw

    def log_rest(self, raw):
        """See `Link.log_rest`."""
        return log_rest(raw)

    def mean_slopes(self, raw):
        """See `Link.mean_slopes`."""
        return np.ones_like(raw), np.zeros_like(raw)

    def rest_slopes(self, raw):
        """See `Link.rest_slopes`: by the odds."""
        with np.errstate(over="ignore"):
            odds = 1 / np.expm1(-raw)
        return -odds, -odds * (1 + odds)

    def unit(self, raw):
        """See `Link.unit`: the curvature has a pole at raw = 0."""
        return np.clip(-raw, np.finfo(float).tiny, 1.0)


#: name -> the links of probabilities
LINKS = {link.name: link for link in (Logit(), Probit(), CLogLog(), Cauchit(), Log())}

#: those that are defined for all raw predictions, and so for differences of probabilities
CUMULATIVE = {name: link for name, link in LINKS.items() if not link.side}

#: name -> the power of a positive raw prediction that the mean is
POWERS = {"identity": 1.0, "sqrt": 2.0, "inverse": -1.0}
