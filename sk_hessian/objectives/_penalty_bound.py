"""How much is left above the optimum at the most, by the penalty alone."""

import numpy as np

#: rows of kept raw predictions that are looked at together
_SLICE = 2**15


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
    sums = objective.rows.fold(lambda block, y, w: (block.adjoint(weight[block.part]),))[0]
    return bound(sums / total), objective.loss.largest_move(raw, np.full_like(raw, shift)), 0.5


def _curvature(objective, raw):
    """The weighted curvature of each row, (n_rows,)."""
    rows, loss = objective.rows, objective.loss
    parts = [slice(start, start + _SLICE) for start in range(0, len(raw), _SLICE)]
    curvature = [loss.hessian(rows.y[part], raw[part], "observed")[:, 0, 0] for part in parts]
    return np.concatenate(curvature) * rows.weight
