"""Deviances: the loss of predictions above the least possible one, compared with that of the best constant."""

import numpy as np

#: roundings of its largest term that a sum of deviances may have
_SUM_ROUNDINGS = 16


def explained(loss, y, raw, weight, offset=None):
    """D^2: the share of the deviance of the best constant, beside an offset, that raw predictions explain.

    Parameters
    ----------
    loss : Loss
        Of predictions alone, see `Loss.at`.
    y : ndarray of shape (n,) or (n, k)
    raw : ndarray of shape (n, m)
        The offset included.
    weight : ndarray of shape (n,)
    offset : ndarray of shape (n,) or (n, n_outputs), optional

    Returns
    -------
    float
        1.0 or 0.0, for predictions as good or not, where the constant's deviance is rounding; -inf where the loss of a
        prediction is infinite.

    Raises
    ------
    ValueError
        Where the best constant's deviance overflows.
    """
    sums = deviance_sums(loss, y, raw, weight)
    with np.errstate(over="ignore", invalid="ignore"):
        null = loss.null_model.deviance(y, weight, offset)
    return _share(sums, null, weight.sum() * loss.null_model.resolution(y, weight, offset))


def deviance_sums(loss, y, raw, weight):
    """Weighted sums over some rows, from which `explained_of_sums` of all rows follows.

    Parameters
    ----------
    loss : Loss
        Of predictions alone, see `Loss.at`.
    y : ndarray of shape (n,) or (n, k)
    raw : ndarray of shape (n, m)
    weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (3,)
        Of raw predictions' deviance, of the saturated loss less `Loss.terms_of_y`, and of its size.
    """
    saturated = loss.saturated(y)
    with np.errstate(over="ignore", invalid="ignore"):
        deviance = loss.value(y, loss.settled(y, raw)) - saturated
    return np.array([weight @ deviance, weight @ (saturated - loss.terms_of_y(y)), weight @ np.abs(saturated)])


def explained_of_sums(loss, sums, y, weight):
    """See `explained`, from `deviance_sums` of all rows and a few targets that stand for them.

    Parameters
    ----------
    loss : Loss
        Of predictions alone, see `Loss.at`.
    sums : ndarray of shape (3,)
    y, weight : ndarray
        All distinct targets; or some of the same mean, mean square and range, which is enough: but for
        `Loss.terms_of_y` every loss of such targets is a polynomial of degree two at the most.

    Returns
    -------
    float
    """
    with np.errstate(over="ignore", invalid="ignore"):
        null = loss.null_model.deviance(y, weight) + weight @ (loss.saturated(y) - loss.terms_of_y(y)) - sums[1]
    return _share(sums, null, weight.sum() * loss.null_model.resolution(y, weight))


def _share(sums, null, resolution):
    """The share of the constant's deviance that is explained, and what rounding leaves of it where that is none."""
    if not np.isfinite(null):
        raise ValueError("y or offset is so large that the deviance of the best constant overflows")
    rounding = _SUM_ROUNDINGS * (np.finfo(float).eps * sums[2] + resolution)
    if null <= rounding:
        return float(sums[0] <= rounding)
    return float(1 - sums[0] / null)
