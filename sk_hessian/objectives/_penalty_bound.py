"""What the penalty alone tells of a linear model: how much is left above the optimum, how little curvature there is."""

import numpy as np

from sk_hessian.objectives.coordinates import Through
from sk_hessian.objectives.evaluation import slices


def bound_by_penalty(objective, here, threshold):
    """See `Objective.held_by_penalty`, for a linear model; an intercept takes half a pass.

    Of one output, with kept raw predictions and a strength for each coefficient. With the intercept eliminated the
    objective is as convex as the strengths l say. So at a gradient (g, h), where the intercept's curvature is a and the
    columns have the means m weighted by curvature, no more is left than

        h^2 / (2 a) + sum_j (g_j - m_j h)^2 / (2 l_j)

    as far as a is the same within a move by h / a (Boyd & Vandenberghe, "Convex optimization", 2004, section 9.1.2).
    """
    raw, p = here.raw, objective.n_features
    has_one = here.design.width == 1 and raw is not None and objective.convex and objective.is_smooth
    if not (has_one and objective.l2.holds_each) or objective.terms:
        return np.inf, np.nan, 0.0
    slope, strengths = here.gradient[:p], objective.l2.diagonal[:, 0]
    if not objective.fit_intercept:
        return 0.5 * float((slope / strengths) @ slope), 0.0, 0.0
    weight = _curvature(objective, raw)
    total, of_intercept = np.add.reduce(weight), here.gradient[p]
    shift = of_intercept * objective.total / total

    def bound(means):
        centred = slope - means * of_intercept
        return 0.5 * float(of_intercept * shift + (centred / strengths) @ centred)

    # nearly the same means, without a pass
    rough = bound(objective.space.plain.shift)
    if not rough <= threshold:
        return rough, np.nan, 0.0
    sums = _sums_of_columns(objective, weight)
    return bound(sums / total), objective.loss.largest_move(raw, np.full_like(raw, shift)), 0.5


class HeldThrough(Through):
    """A `GLMObjective` of wide rows in coordinates in which the penalty is the same for all weights."""

    def slack(self, here):
        """See `Through.slack`; half a pass where there is an intercept.

        Let the penalty have the curvature m in the coordinates, the intercept c, and h with the columns. The loss's
        Hessian is at least that of (h, c) alone, (h'v + c t)^2 / c. Either |h||v| is at least c |t| / 2, and then
        |v|^2 is at least a share r of |v|^2 + t^2, r = c^2 / (c^2 + 4 |h|^2); or the curvature is at least that of m
        and c / 4.
        """
        objective, columns, loss = self._objective, self._coordinates.columns, self._objective.loss
        is_known = objective.convex and not (objective.terms or loss.n_constants) and here.raw is not None
        if not is_known or (loss.n_outputs > 1 and objective.fit_intercept):
            return np.inf, 0.0
        held = objective.space.held_in(columns)
        least = np.inf if held is None else held.min()
        if not objective.fit_intercept:
            return 1 / least, 0.0
        weight = _curvature(objective, here.raw) / objective.total
        sums = np.append(_sums_of_columns(objective, weight), np.add.reduce(weight))
        both = columns.transpose(sums[:, None])[:, 0]
        share = both[-1] ** 2 / (both[-1] ** 2 + 4 * float(both[:-1] @ both[:-1]))
        return max(1 / (least * share), 4 / both[-1]), 0.5


def _sums_of_columns(objective, weight):
    """The columns' sums with these weights of the rows, (n_features,); half a pass."""
    return objective.rows.fold(lambda block, y, w: (block.adjoint(weight[block.part]),))[0]


def _curvature(objective, raw):
    """The weighted curvature of each row, (n_rows,)."""
    rows, loss = objective.rows, objective.loss
    curvature = [loss.hessian(rows.y[part], raw[part], "observed")[:, 0, 0] for part in slices(len(raw))]
    return np.concatenate(curvature) * rows.weight
