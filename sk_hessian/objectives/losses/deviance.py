"""Deviances: the loss of predictions above the least possible one, compared with that of the best constant."""

import numpy as np

#: roundings of its largest term that a sum of deviances may have
_SUM_ROUNDINGS = 16


def explained(loss, y, raw, weight, offset=None):
    """D^2: the share of the deviance of the best constant, beside an offset, that raw predictions explain.

    The loss is that of predictions alone, see `Loss.at`; ``raw`` (n, m) has the offset in it. It is 1.0 or 0.0, for
    predictions as good or not, where the constant's deviance is rounding; -inf where a prediction's loss is infinite. A
    ValueError says that the best constant's deviance overflows.
    """
    sums = deviance_sums(loss, y, raw, weight)
    with np.errstate(over="ignore", invalid="ignore"):
        null = loss.family.null_deviance(y, weight, offset)
    return _share(sums, null, weight.sum() * loss.family.resolution(y, weight, offset))


def deviance_sums(loss, y, raw, weight):
    """Weighted sums (3,) over some rows, from which `explained_of_sums` of all rows follows.

    They are of the raw predictions' deviance, of the saturated loss less `Loss.terms_of_y`, and of its size.
    """
    saturated = loss.saturated(y)
    with np.errstate(over="ignore", invalid="ignore"):
        deviance = loss.value(y, loss.settled(y, raw)) - saturated
    return np.array([weight @ deviance, weight @ (saturated - loss.terms_of_y(y)), weight @ np.abs(saturated)])


def explained_of_sums(loss, sums, y, weight):
    """See `explained`, from `deviance_sums` of all rows and a few targets that stand for them.

    ``y`` and ``weight`` are all distinct targets; or some of the same mean, mean square and range, which is enough: but
    for `Loss.terms_of_y` every loss of such targets is a polynomial of degree two at the most.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        null = loss.family.null_deviance(y, weight) + weight @ (loss.saturated(y) - loss.terms_of_y(y)) - sums[1]
    return _share(sums, null, weight.sum() * loss.family.resolution(y, weight))


def _share(sums, null, resolution):
    """The share of the constant's deviance that is explained, and what rounding leaves of it where that is none."""
    if not np.isfinite(null):
        raise ValueError("y or offset is so large that the deviance of the best constant overflows")
    rounding = _SUM_ROUNDINGS * (np.finfo(float).eps * sums[2] + resolution)
    if null <= rounding:
        return float(sums[0] <= rounding)
    return float(1 - sums[0] / null)
