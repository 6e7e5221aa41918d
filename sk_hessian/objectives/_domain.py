"""A linear model's constraints together with the domain of its loss: rows on the edge of that, and a feasible start."""

import numpy as np
from scipy.optimize import linprog

from sk_hessian.objectives._edge import may_have_edge
from sk_hessian.objectives.rows import Columns

#: what a raw prediction keeps from the edge, beside the null model's: above rounding, and far below any tolerance
_FROM_EDGE = 1e-12

#: rows that may come to the edge, times parameters, beyond which they are no constraints (32 MB)
_MOST_ENTRIES = 4e6


def within_domain(feasible, objective):
    """A `FeasibleSet` of a `GLMObjective`'s parameters where also the rows that may be on the edge stay in the domain.

    Their loss has a slope there that is finite, so that without these constraints a run would be stopped by the edge.
    Of a loss that is not convex the slope is infinite, and every edge a local minimum: there the set stays as it is.
    """
    if objective.loss.domain is None or not objective.loss.convex or not may_have_edge(objective):
        return feasible
    which = np.flatnonzero(objective.loss.may_be_on_edge(objective.rows.y))
    if which.size * objective.n_parameters > _MOST_ENTRIES:
        return feasible
    A, offset = _raw_as_rows(objective, which)
    # a row of zeros predicts zero, whatever the parameters
    moves = A.any(axis=1)
    side, slack = objective.loss.domain.side, _FROM_EDGE * max(1.0, np.abs(objective.baseline.raw).max())
    names = [f"raw prediction of row {row}" for row in which[moves]]
    return feasible.beside(side * A[moves], slack - side * offset[moves], names, slack / 2)


def _raw_as_rows(objective, which=None):
    """Raw predictions of rows as a matrix of parameters (n, n_parameters), and their offsets (n,)."""
    rows = objective.rows.collected() if which is None else objective.rows.take(which)
    columns = Columns.raw(objective.n_features, objective.fit_intercept)
    A = np.zeros((rows.n_rows, objective.n_parameters))
    Z = rows.gather(lambda block, y, weight: block.standardised(columns), columns, columns.n_columns)
    A[:, : columns.n_columns] = Z
    return A, np.zeros(len(A)) if rows.offset is None else rows.offset[:, 0]


def start_within(objective, feasible, theta):
    """The nearest start to ``theta`` that is feasible, with the same prediction in the mean; a ValueError without any.

    Where that is outside the domain of the loss, the point of the set whose predictions are farthest inside.
    """
    k, p = objective.loss.n_outputs, objective.n_features
    unit, deviation = np.ones(objective.n_parameters), objective.moments_of_columns[1]
    # a column that is constant has no deviation
    sizes = np.where(deviation > 0, deviation, objective.column_sizes)
    unit[: p * k] = np.repeat(np.divide(1.0, sizes, out=np.zeros(p), where=sizes > 0), k)
    start = feasible.nearest(theta, unit)
    if objective.fit_intercept and not feasible.concerned[p * k : p * k + k].any():
        change = (start - theta)[: p * k].reshape(p, k)
        start[p * k : p * k + k] -= objective.moments_of_columns[0] @ change
    if np.isfinite(objective.at(start).value):
        return start
    if objective.loss.domain is None:
        raise ValueError(
            "the constraints force linear predictors that are so large that the loss overflows: check their units "
            "beside those of the columns"
        )
    return _farthest_inside(objective, feasible, start, unit)


def _farthest_inside(objective, feasible, start, unit):
    """The point whose least raw prediction is as far in the domain as can be, up to that of the null model."""
    A, offset = _raw_as_rows(objective)
    side, most = objective.loss.domain.side, max(np.abs(objective.baseline.raw).max(), np.finfo(float).tiny)
    moves = A.any(axis=1) | ~objective.loss.may_be_on_edge(objective.rows.y)
    margin = np.column_stack([-side * A[moves] * unit, np.ones(moves.sum())])
    limits = [(margin, side * offset[moves])]
    for sign, limit in ((-1.0, feasible.row_low), (1.0, feasible.row_high)):
        given = np.isfinite(limit)
        limits.append((sign * np.column_stack([feasible.A[given] * unit, np.zeros(given.sum())]), sign * limit[given]))
    bounds = np.column_stack([np.append(feasible.low / unit, -np.inf), np.append(feasible.high / unit, most)])
    matrix, right = (np.concatenate(part) for part in zip(*limits, strict=True))
    found = linprog(np.append(np.zeros(len(start)), -1.0), A_ub=matrix, b_ub=right, bounds=bounds)
    if found.x is None or found.x[-1] <= 0:
        need = "a positive mean" if side > 0 else "a mean below 1"
        raise ValueError(
            f"link={objective.loss.domain.link!r} needs {need} for every row, and no coefficients that satisfy all "
            f"constraints give one: use link={objective.loss.domain.other!r}, or wider constraints"
        )
    return feasible.clipped(found.x[:-1] * unit)
