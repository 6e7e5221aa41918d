"""Quantiles of new observations whose linear predictor is itself uncertain."""

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize.elementwise import find_root

#: nodes of the quadrature over the linear predictor
_NODES = 21

#: the least and the largest number that are looked at lie so many powers of e from the mean, which is at least this
_MOST_POWERS = 800.0
_TINY = np.finfo(float).tiny

#: probabilities of counts that differ by less are the same
_ROUNDING = 1e-12

#: counts are whole up to here
_MOST_COUNT = 2.0**52


def is_normal(loss):
    """Whether targets are normal about their mean, all with the same variance."""
    return loss.family.name == "normal"


def has_quantiles(loss):
    """Whether `quantiles` serves."""
    return loss.family.has_tails


class _Averaged:
    """The distribution function of new targets, averaged over their normal linear predictors.

    By Gauss and Hermite's quadrature; ``predictor`` and ``deviation`` have shape (n, 1).
    """

    def __init__(self, loss, predictor, deviation, dispersion):
        nodes, weights = hermegauss(_NODES)
        self._loss, self._dispersion = loss, dispersion
        self._points, self._weights = predictor + deviation * nodes, weights / weights.sum()

    def __call__(self, y, rows=slice(None)):
        """The chance of a target up to y (m,), of each of some rows."""
        tails, below = self._loss.family.tails, 0.0
        for raw, weight in zip(self._points[rows].T, self._weights, strict=True):
            smaller, same = tails(y, raw[:, None], self._dispersion)[:2]
            # where a mean overflows, no number is above it
            below = below + weight * np.nan_to_num(smaller + same)[:, 0]
        return below


def quantiles(loss, predictor, deviation, dispersion, probability):
    """The ``probability`` quantile of a new target of each row, shape (n,).

    The target's distribution is that of the family, averaged over a normal linear predictor with mean ``predictor`` and
    standard deviation ``deviation``, both (n, 1), by Gauss and Hermite's quadrature. Of counts, and of zeros that have
    a chance of their own, it is the least number up to which at least that probability lies.
    """
    chance, n = _Averaged(loss, predictor, deviation, dispersion), len(predictor)
    with np.errstate(all="ignore"):
        if loss.family.is_discrete:
            found = _least_count(lambda y: chance(y) >= probability - _ROUNDING, n)
            return np.where(chance(found) >= probability - _ROUNDING, found, np.inf)
        if not (loss.in_range(np.zeros(1))[0] and _is_positive(loss)):
            return _number(chance, loss, predictor, probability)
        found, above = np.zeros(n), chance(np.zeros(n)) < probability - _ROUNDING
        if above.any():
            some = _Averaged(loss, predictor[above], deviation[above], dispersion)
            found[above] = _number(some, loss, predictor[above], probability)
        return found


def _is_positive(loss):
    return not loss.in_range(np.array([-1.0]))[0]


def _least_count(is_reached, n):
    """The least count from which on a rising condition holds, of each row."""
    high = np.ones(n)
    while not (done := is_reached(high) | (high >= _MOST_COUNT)).all():
        high = np.where(done, high, 2 * high)
    low = np.full(n, -1.0)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        reached = is_reached(np.maximum(middle, 0.0)) & (middle >= 0)
        # where the two are neighbours, the middle is the lower one
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high


def _number(chance, loss, predictor, probability):
    """The number up to which a rising chance is a probability, by a bracket about the mean; inf where there is none.

    Of positive targets it is one of logarithms, of others one of hyperbolic sines, so that all numbers are in reach.
    """
    centre, is_positive = loss.inverse_link(predictor)[:, 0], _is_positive(loss)

    def at(z, rows=slice(None)):
        mean = centre[rows]
        if is_positive:
            return np.maximum(mean, _TINY) * np.exp(z)
        return mean + (1 + np.abs(mean)) * np.sinh(z)

    def missing(z, rows):
        rows = rows.astype(int)
        return chance(at(z, rows), rows) - probability

    rows, below = np.arange(len(centre)), np.ones(len(centre))
    above = np.ones(len(centre))
    while (short := (missing(above, rows) < 0) & (above < _MOST_POWERS)).any():
        above = np.where(short, 2 * above, above)
    while (beyond := (missing(-below, rows) >= 0) & (below < _MOST_POWERS)).any():
        below = np.where(beyond, 2 * below, below)
    found = find_root(missing, (-below, above), args=(rows,))
    # at an end where the chance is not yet, or already, the probability
    z = np.where(missing(-below, rows) >= 0, -below, found.x)
    return np.where(missing(above, rows) >= 0, at(z), np.inf)
