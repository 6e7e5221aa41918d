"""Means and deviations of columns, by sums over rows."""

from typing import Any

import numpy as np

#: kurtosis beyond which a column's variance is in few rows: a level of one row in a hundred has 100
_RARE = 30

#: deviations below this many roundings of a column's size are not variation
_ROUNDINGS = 8

#: ... and below this share of it a difference of squares has lost six digits of sixteen
_NEAR_CONSTANT = 1e-3

#: mean squares outside this and its inverse are measured in another unit: they may have under- or overflowed
_SMALLEST_SQUARE = 1e-250


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def exact(rows, fit_intercept, which=None):
    """Weighted mean and standard deviation of some or all columns; a constant column deviates by exactly zero.

    Sums are taken about the mean of some rows, so that a large mean costs no digits (Chan, Golub & LeVeque, "Algorithms
    for computing the sample variance", 1983). Columns whose squares leave the floating-point range are measured again
    in units of their largest deviation.
    """
    shift = rows.some_mean() if fit_intercept and not rows.sums_about_zero else np.zeros(rows.n_features)
    which = None if which is None else np.asarray(which)
    shift = shift if which is None else shift[which]
    unit: Any = 1.0
    mean, square = _deviations(rows, which, shift, None)
    odd = np.flatnonzero(~((square > _SMALLEST_SQUARE) & (square < 1 / _SMALLEST_SQUARE)))
    if odd.size:
        unit, columns = np.ones(len(shift)), odd if which is None else which[odd]
        peak = rows.fold(lambda block, y, weight: (block.peaks(shift[odd], columns),), combine=np.maximum)[0]
        unit[odd] = np.where(peak > 0, peak, 1.0)
        mean[odd], square[odd] = _deviations(rows, columns, shift[odd], unit[odd])
    if not fit_intercept:
        return shift, np.sqrt(square) * unit
    centre = shift + mean * unit
    deviation = np.sqrt(np.maximum(square - mean**2, 0)) * unit
    if rows.sums_about_zero:
        # the variance is a difference of squares: where that has lost most digits, about the mean
        near = np.flatnonzero((deviation <= _NEAR_CONSTANT * np.abs(centre)) & (centre != 0))
        if near.size:
            mean, square = _deviations(rows, near if which is None else which[near], centre[near], None)
            centre[near] += mean
            deviation[near] = np.sqrt(np.maximum(square - mean**2, 0))
    return centre, np.where(deviation <= _ROUNDINGS * np.finfo(float).eps * np.abs(centre), 0.0, deviation)


def _deviations(rows, which, shift, unit):
    """Weighted means of (X - shift) / unit and of its square for some columns."""

    def sums(block, y, weight):
        return *block.deviations(weight, shift, unit, which), np.add.reduce(weight)

    first, second, total = rows.fold(sums)
    return first / total, second / total


def in_few_rows(sample, weight=None, least=_RARE):
    """Columns of an array so much of whose variance is in few rows that another sample would misjudge it.

    Those whose fourth moment is at least so many times the square of the second.
    """
    centred = sample - np.average(sample, axis=0, weights=weight)
    squares = centred * centred
    second, fourth = (np.average(moment, axis=0, weights=weight) for moment in (squares, squares * squares))
    return np.flatnonzero(fourth >= _RARE * second**2)
