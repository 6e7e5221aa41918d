"""Linear programs over the rows of a GLM: a feasible start, and the proof that an optimum is at infinity.

The proof is a direction of recession, along which no row's loss ever rises.

Such a direction of recession exists for a logistic model exactly when a hyperplane separates the classes, completely
or quasi-completely (Albert & Anderson, "On the existence of maximum likelihood estimates in logistic regression
models", Biometrika 71(1), 1984); for a count model when a combination of columns is negative only where y = 0 and
zero elsewhere (Correia, Guimaraes & Zylkin, "Verifying the existence of maximum likelihood estimates for generalized
linear models", 2019). The direction of least L1 norm, in standardised columns, names few features.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from sk_hessian._text import listed

#: violations of a unit mean margin that count as rounding; the linear program's own feasibility tolerance is 1e-7
_ROUNDING = 1e-6

#: entries of the program beyond which it is not tried (some ten seconds and a gigabyte)
_LARGEST_PROGRAM = 5e6


@dataclass(frozen=True)
class Recession:
    """Why there is no finite optimum."""

    features: list  #: names of the columns whose combination separates
    classes: list  #: the classes, or values of y, that it separates from the rest
    direction: np.ndarray  #: parameters along which the loss falls for ever

    def __str__(self):
        what = listed(self.classes, " and " if len(self.classes) == 2 else ", ")
        if not self.features:
            return f"every row has {what}, and the intercept has no penalty"
        by = listed(self.features, ", ")
        by = f"a combination of {by}" if len(self.features) > 1 else by
        return f"{what} {'is' if len(self.classes) == 1 else 'are'} separated from the rest by {by}"

    @property
    def advice(self):
        """What to do, a sentence."""
        if not self.features:
            return "These rows determine nothing but that: no estimate of theirs means anything."
        return "Add a penalty (a finite C, or alpha > 0), or drop or merge what separates."


def find_recession(objective, theta, direction, feasible=None):
    """A proved `Recession`, or None; ``theta`` and ``direction`` are candidates that cost only a pass.

    Of a `FeasibleSet` it is a direction along which one may go for ever within the set.
    """
    free = objective.l2.is_unpenalised
    # every class has rows, so the intercepts alone separate none
    may_be_intercept = objective.fit_intercept and objective.class_names is None
    if not (free.any() or may_be_intercept) or not _may_recede(objective):
        return None
    found = None
    if (free.sum() + 1) * objective.n_rows * objective.loss.n_outputs**2 <= _LARGEST_PROGRAM:
        found = _by_program(objective, free, None if feasible is None else feasible.cone())
    elif free.all():
        candidates = (d for d in (direction, theta) if _is_recession(objective, d) and not _is_held(objective.l2, d))
        found = next((d for d in candidates if feasible is None or (feasible.cone() @ d >= 0).all()), None)
    return None if found is None else _named(objective, found)


def _may_recede(objective):
    """Whether any row can fall for ever at all."""
    loss, y = objective.loss, objective.rows.head[0]
    change = np.ones((len(y), loss.n_outputs + loss.n_constants))
    return loss.recession(y, change)[0].shape[1] > 0


def _is_recession(objective, direction):
    parameters = objective.unpack(direction)

    def sides(block, y, weight):
        margin, fixed = objective.loss.recession(y, objective.model.change(block, parameters))
        most = margin.max(axis=1, initial=0.0).sum()
        return (np.array([margin.min(initial=np.inf), -np.abs(fixed).max(initial=0.0), most]),)

    least, moved, most = objective.rows.fold(sides, combine=_least_and_sum)[0]
    size = most / objective.n_rows
    return size > 0 and least >= -1e-12 * size and -moved <= 1e-12 * size


def _is_held(l2, direction):
    """Whether a penalty's matrix holds the direction, beyond rounding."""
    return 2 * l2.value(direction) > 1e-12 * (l2.diagonal.ravel() @ direction[: l2.size] ** 2)


def _least_and_sum(a, b):
    """The least of all but the last entry, of that the sum."""
    return np.append(np.minimum(a[:-1], b[:-1]), a[-1] + b[-1])


def _by_program(objective, free, cone=None):
    """Minimise the L1 norm of d over margins >= 0, fixed = 0, mean margin = 1; None when infeasible.

    Also over ``cone @ theta >= 0`` for the direction in theta, where a cone (m, n_parameters) is given.
    """
    columns, loss = objective.space.plain, objective.loss
    rows, Z = _collected(objective)
    free = np.concatenate([free, np.ones(int(objective.fit_intercept), dtype=bool)])
    Z = Z[:, free]
    margin, fixed = _linear_maps(loss, rows.y, Z)
    if margin.shape[0] == 0:
        return None
    cost = np.ones(Z.shape[1])
    cost[len(cost) - objective.fit_intercept :] = 0
    cost = np.tile(np.append(np.repeat(cost, loss.n_outputs), np.zeros(loss.n_constants)), 2)
    # what a penalty's matrix holds does not move either
    held = objective.l2.least().within(columns).root()[:, free]
    held = sp.kron(sp.csr_array(held[held.any(axis=1)]), sp.eye_array(loss.n_outputs))
    held = sp.hstack([held, sp.csr_array((held.shape[0], loss.n_constants))])
    fixed = sp.vstack([fixed, held], format="csr")
    inside = margin if cone is None else sp.vstack([margin, _in_columns(cone, objective, free)], format="csr")
    split = [sp.hstack([A, -A], format="csr") for A in (margin, fixed, inside)]
    total = sp.csr_array(split[0].mean(axis=0).reshape(1, -1))
    solution = linprog(
        cost,
        A_ub=-split[2],
        b_ub=np.zeros(split[2].shape[0]),
        A_eq=sp.vstack([split[1], total]),
        b_eq=np.append(np.zeros(split[1].shape[0]), 1.0),
        method="highs",
    )
    if solution.status != 0:
        return None
    d = solution.x[: len(cost) // 2] - solution.x[len(cost) // 2 :]
    if (inside @ d).min(initial=0) < -_ROUNDING or np.abs(fixed @ d).max(initial=0) > _ROUNDING:
        return None
    z = np.zeros((len(columns.scale) + objective.fit_intercept, loss.n_outputs))
    weights, constants = np.split(d, [free.sum() * loss.n_outputs])
    z[free] = weights.reshape(-1, loss.n_outputs)
    return np.append(columns.to_weights(z).ravel(), constants)


def _in_columns(cone, objective, free):
    """Rows (m, n_parameters) of theta as rows of the weights of ``free`` standardised columns, and the constants."""
    columns, k, n = objective.space.plain, objective.loss.n_outputs, objective.model.n_weights
    W = cone[:, :n].reshape(len(cone), -1, k).copy()
    if objective.fit_intercept:
        W[:, :-1] -= columns.shift[:, None] * W[:, -1:]
    W[:, : len(columns.scale)] /= columns.scale[:, None]
    rows = np.hstack([W[:, free].reshape(len(cone), -1), cone[:, n:]])
    size = np.abs(rows).max(axis=1, initial=0.0)
    return sp.csr_array(rows[size > 0] / size[size > 0, None])


def _collected(objective):
    """All rows in memory, and as an array in standardised columns."""
    columns, rows = objective.space.plain, objective.rows.collected()
    return rows, rows.gather(lambda block, y, weight: block.standardised(columns), columns, columns.n_columns)


def _linear_maps(loss, y, Z):
    """Matrices that take d (columns x outputs, by rows, then constants) to the margins and to what must stay fixed."""
    n, q = Z.shape
    k, width = loss.n_outputs, loss.n_outputs + loss.n_constants
    parts: tuple[list, list] = ([], [])
    for output in range(width):
        unit = np.zeros((n, width))
        unit[:, output] = 1
        for part, slope in zip(parts, loss.recession(y, unit), strict=True):
            part.append(slope)
    maps = []
    for part in parts:
        slopes = np.stack(part, axis=2) if part[0].shape[1] else np.zeros((n, 0, width))
        rows = (slopes[:, :, None, :k] * Z[:, None, :, None]).reshape(-1, q * k)
        rows = np.hstack([rows, slopes[:, :, k:].reshape(len(rows), width - k)])
        maps.append(sp.csr_array(rows[np.abs(rows).max(axis=1, initial=0) > 0]))
    return maps


def _named(objective, direction):
    W = direction[: objective.model.n_weights].reshape(-1, objective.loss.n_outputs)
    W = objective.space.plain.from_weights(W)
    size = np.abs(W[: objective.n_features]).max(axis=1)
    features = [objective.name(j) for j in np.argsort(-size, kind="stable") if size[j] > 1e-6 * size.max()]
    return Recession(features, _receding_classes(objective, W, direction), direction)


def _receding_targets(objective, direction, targets):
    """Those among the ``targets`` whose rows gain along a direction: 0 of counts, 0 and 1 of proportions."""
    parameters = objective.unpack(direction)

    def gains(block, y, weight):
        margin = objective.loss.recession(y, objective.model.change(block, parameters))[0].max(axis=1, initial=0.0)
        return (np.array([margin[y == value].max(initial=0.0) for value in targets]),)

    gain = objective.rows.fold(gains, combine=np.maximum)[0]
    return [value for value, gained in zip(targets, gain, strict=True) if gained > _ROUNDING * gain.max()]


def _receding_classes(objective, W, direction):
    """The classes whose rows gain, or the targets; by the standardised weights W of the direction."""
    names = objective.class_names
    if names is None:
        return [f"y = {value}" for value in _receding_targets(objective, direction, (0, 1))]
    if objective.loss.n_outputs == 1 and len(names) == 2:
        return [f"class {names[-1]}"]
    if objective.loss.n_outputs == 1:
        found = _receding_targets(objective, direction, range(len(names)))
        return [f"class {names[c]}" for c in found][: len(names) - 1]
    spread = np.abs(W - np.median(W, axis=1, keepdims=True)).sum(axis=0)
    return [f"class {names[c]}" for c in np.flatnonzero(spread > 0.5 * spread.max())]


def feasible_start(objective):
    """The null model, or where that is outside the domain (no intercept, or an offset), a point inside.

    It raises a ValueError where there is none, or none that does not overflow.
    """
    k, baseline = objective.loss.n_outputs, objective.baseline
    is_null = objective.fit_intercept or objective.rows.offset is None
    if np.isfinite(baseline.value) if is_null else _is_bent_by_offset(objective):
        return objective.pack(np.zeros((objective.n_features, k)), baseline.raw[:k], baseline.raw[k:])
    if objective.loss.domain is None:
        raise ValueError(
            "offset is so large that predictions overflow: it is added to the linear predictor, on the scale of "
            "the link (for exposures their logarithm)"
        )
    return inner_start(objective)


def _is_bent_by_offset(objective):
    """Whether the offset alone is inside the domain, and not so far out that nothing is left of the curvature."""
    k, rows = objective.loss.n_outputs, objective.rows
    constant = np.append(np.zeros(k), objective.baseline.raw[k:])
    value, _, hessian = objective.loss.family.sums_at_constant(constant, rows.offset, rows.y, rows.weight)
    return np.isfinite(value) and np.trace(hessian[:k, :k]) > 0


def inner_start(objective):
    """Coefficients without intercept whose predictions are all inside the domain, the best constant on average.

    With an offset beside them they are at least that far from zero, or as far as possible. It raises a ValueError where
    there are none.
    """
    if objective.check_rows is not None:
        objective.check_rows()
    rows, Z = _collected(objective)
    loss, side = objective.loss, objective.loss.domain.side
    mean = abs(float(loss.family.best_constant(rows.y, rows.weight)[0]))
    # a row of zeros predicts 0, whatever the coefficients: where that may be best it may be
    moves = Z.any(axis=1) | ~loss.may_be_on_edge(rows.y)
    if rows.offset is not None:
        moves = moves | rows.offset.any(axis=1)
        z = _largest_margin(side * Z[moves], side * rows.offset[moves, 0], loss.domain, None, mean)
    else:
        Z, rows = side * Z[moves], rows.take(np.flatnonzero(moves))
        z = np.linalg.lstsq(Z, np.ones(len(Z)), rcond=None)[0]
        if (Z @ z).min() < 1e-3:
            z = _largest_margin(Z, np.zeros(len(Z)), loss.domain, 1, 1)
        z = z * (mean / (rows.weight @ (Z @ z) / rows.weight.sum()))
    coef = objective.space.plain.to_weights(z[:, None])
    _check_representable(objective, z, coef)
    return coef.ravel()


def _check_representable(objective, z, coef):
    """Raise where the coefficients of a start leave the floating-point range, or their penalty does."""
    with np.errstate(over="ignore", under="ignore"):
        large = np.flatnonzero(~np.isfinite(coef + (np.sqrt(objective.l2.diagonal) * coef) ** 2).all(axis=1))
    vanishes = (z != 0) & (np.abs(coef[:, 0]) < np.finfo(float).tiny)
    lost = np.flatnonzero(vanishes & np.isfinite(objective.space.plain.scale))
    if large.size:
        name = objective.name(large[0])
        raise ValueError(f"X: column {name} is so small that its coefficient overflows; multiply it by a constant")
    if lost.size:
        name = objective.name(lost[0])
        raise ValueError(
            f"X: column {name} is so large beside y that its coefficient vanishes; divide it by a constant"
        )
    if not np.isfinite(objective.value_and_gradient(coef.ravel())[0]):
        raise ValueError("y is so small or so large that its deviance overflows; multiply or divide it by a constant")


def _largest_margin(Z, offset, domain, bound, most):
    """z, of entries up to a ``bound``, with Z z + offset >= t for the largest t up to ``most``."""
    cost = np.append(np.zeros(Z.shape[1]), -1.0)
    bounds = [(None if bound is None else -bound, bound)] * Z.shape[1] + [(None, most)]
    solution = linprog(cost, A_ub=np.column_stack([-Z, np.ones(len(Z))]), b_ub=offset, bounds=bounds)
    if solution.x is None or (Z @ solution.x[:-1] + offset).min() <= 0:
        need = "a positive mean" if domain.side > 0 else "a mean below 1"
        raise ValueError(
            f"link='{domain.link}' needs {need} for every row, and without an intercept no coefficients give one: use "
            f"fit_intercept=True or link='{domain.other}'"
        )
    return solution.x[:-1]
