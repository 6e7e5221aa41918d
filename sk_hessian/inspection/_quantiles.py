"""Quantiles of new observations whose linear predictor is itself uncertain."""

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

#: nodes of the quadrature over the linear predictor
_NODES = 21

#: halvings of an interval: what is left of 100 is below rounding
_HALVINGS = 60

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
    """Whether `quantiles` serves: not of compound distributions, with a mass at zero, whose series cost too much."""
    zero, negative = loss.in_range(np.zeros(1))[0], loss.in_range(np.array([-1.0]))[0]
    return loss.family.has_tails and (loss.family.is_discrete or negative or not zero)


def quantiles(loss, predictor, deviation, dispersion, probability):
    """The ``probability`` quantile of a new target of each row, shape (n,).

    The target's distribution is that of the family, averaged over a normal linear predictor with mean ``predictor`` and
    standard deviation ``deviation``, both (n, 1), by Gauss and Hermite's quadrature. Of counts it is the least whole
    number up to which at least that probability lies.
    """
    nodes, weights = hermegauss(_NODES)
    points = [predictor + deviation * node for node in nodes]
    weights = weights / weights.sum()

    def is_reached(y):
        smaller, same = zip(*(loss.family.tails(y, raw, dispersion)[:2] for raw in points), strict=True)
        # where a mean overflows, no number is above it
        below = np.nan_to_num(np.stack(smaller) + np.stack(same))[:, :, 0]
        return weights @ below >= probability - _ROUNDING

    with np.errstate(all="ignore"):
        if loss.family.is_discrete:
            found = _least_count(is_reached, len(predictor))
        else:
            found = _number(is_reached, loss, predictor)
        return np.where(is_reached(found), found, np.inf)


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


def _number(is_reached, loss, predictor):
    """The number from which on a rising condition holds, by halving an interval about the mean.

    Of positive targets that is one of logarithms, of others one of hyperbolic sines, so that all numbers are in reach.
    """
    centre = loss.inverse_link(predictor)[:, 0]
    is_positive = not loss.in_range(np.array([-1.0]))[0]

    def at(z):
        return np.maximum(centre, _TINY) * np.exp(z) if is_positive else centre + (1 + np.abs(centre)) * np.sinh(z)

    below = above = np.ones(len(centre))
    while not (done := is_reached(at(above)) | (above >= _MOST_POWERS)).all():
        above = np.where(done, above, 2 * above)
    while (beyond := is_reached(at(-below)) & (below < _MOST_POWERS)).any():
        below = np.where(beyond, 2 * below, below)
    low, high = -below, above
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        reached = is_reached(at(middle))
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return at(high)
