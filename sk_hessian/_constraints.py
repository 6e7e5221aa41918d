"""What a user may say of constraints on coefficients: signs, bounds, linear ones, monotone columns.

Each adds to the others: all must hold. Errors name the argument.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.optimize import LinearConstraint

from sk_hessian._strength import chooses
from sk_hessian._text import listed, named_by, suggestion
from sk_hessian.objectives import FeasibleSet, within_domain
from sk_hessian.solvers import check_limits, check_solver, check_solver_within

#: the arguments, and what each is where it asks for nothing
ARGUMENTS = {"positive": False, "bounds": None, "constraints": None, "monotone": None}

#: directions of ``monotone``, and the side on which a slope may be
_DIRECTIONS = {"increasing": 1.0, "decreasing": -1.0}


def given(estimator):
    """Names of the constraints that an estimator has."""
    return [
        name for name in ARGUMENTS if not (getattr(estimator, name, None) is None or getattr(estimator, name) is False)
    ]


def check_constraints(estimator):
    """Refuse constraints beside a strength that the fit chooses, or a solver that does not serve them."""
    positive = getattr(estimator, "positive", False)
    if not isinstance(positive, (bool, np.bool_)):
        raise TypeError(f"positive must be True or False, got {positive!r}")
    names = given(estimator)
    if not names:
        return
    check_solver_within(check_solver(estimator.solver), f"{names[0]} needs")
    if chooses(estimator):
        raise ValueError(
            f"{names[0]} needs a number for the strength of the penalty: the evidence and the leave-one-out loss are "
            "for optima without constraints. Choose the strength by cross-validation, such as GridSearchCV"
        )


def takes_streams(estimator):
    """Whether there is a ``partial_fit``; an AttributeError that says why there is none."""
    names = given(estimator)
    if names:
        raise AttributeError(
            f"partial_fit is not there with {names[0]}: which constraints are active depends on all rows at once; use "
            "fit"
        )
    return True


def feasible_set(estimator, objective):
    """The `FeasibleSet` of an estimator's constraints on the parameters of a `GLMObjective`; None without any."""
    names = given(estimator)
    if not names:
        return None
    if objective.loss.shift_invariant:
        raise ValueError(
            f"{names[0]} is not for a softmax model: its coefficients are determined only beside those of the other "
            "classes. Fit two classes, or one class against the rest"
        )
    p, k = objective.n_features, objective.loss.n_outputs
    encoding = vars(estimator).get("encoding_")
    columns = _Columns([objective.name(j) for j in range(p)], {} if encoding is None else encoding.orders)
    low, high = np.full(p, -np.inf), np.full(p, np.inf)
    if estimator.positive:
        low = np.zeros(p)
    _bound(estimator.bounds, columns, low, high)
    A, limits, labels = _rows(estimator.constraints, columns)
    A, limits, labels = _monotone(estimator.monotone, columns, low, high, (A, limits, labels))
    rest = objective.n_parameters - p * k
    low, high = (
        np.append(np.repeat(limit, k), np.full(rest, side)) for limit, side in ((low, -np.inf), (high, np.inf))
    )
    names = objective.parameter_names()
    if not labels:
        return within_domain(FeasibleSet(low, high, names=names), objective)
    rows = np.hstack([np.kron(A, np.eye(k)), np.zeros((len(A) * k, rest))])
    row_low, row_high = np.repeat(limits, k, axis=1)
    found = FeasibleSet(low, high, rows, row_low, row_high, names, labels if k == 1 else None)
    return within_domain(found, objective)


class _Columns:
    """Columns by their names or positions; of columns of categories also the ``orders`` of the levels' names."""

    def __init__(self, names, orders):
        self.names, self.orders = names, orders

    def find(self, key, argument):
        """The position of the column that is meant."""
        if isinstance(key, str) and key in self.names:
            return self.names.index(key)
        if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)) and 0 <= key < len(self.names):
            return int(key)
        raise ValueError(
            f"{argument} names the column {key!r}, which X does not have.{suggestion(key, self.names)} The columns are "
            f"{listed(self.names, ', ')}"
        )

    def matching(self, key, argument):
        """Positions of the columns that a name, a position, or a pattern such as "site_*" means."""
        if isinstance(key, str) and key not in self.names:
            found = named_by(key, self.names)
            if found:
                return found
        return [self.find(key, argument)]


def _bound(bounds, columns, low, high):
    """Narrow the limits by ``bounds``."""
    if bounds is None:
        return
    p = len(columns.names)
    if hasattr(bounds, "to_dict") and not hasattr(bounds, "columns"):
        bounds = bounds.to_dict()
    if not isinstance(bounds, Mapping):
        below, above = check_limits(bounds, p, "columns")
        _narrow(slice(None), below, above, low, high)
        return
    for key, pair in bounds.items():
        try:
            below, above = pair
        except (TypeError, ValueError):
            raise ValueError(f"bounds[{key!r}] must be a pair (low, high), None for no limit, got {pair!r}") from None
        pair = -np.inf if below is None else below, np.inf if above is None else above
        which = columns.matching(key, "bounds")
        below, above = check_limits(pair, len(which), "columns")
        _narrow(which, below, above, low, high)


def _narrow(which, below, above, low, high):
    low[which] = np.maximum(low[which], below)
    high[which] = np.minimum(high[which], above)


def _rows(constraints, columns):
    """``constraints`` as a matrix (m, p), limits (2, m), and what the rows are called, None for their formulas."""
    found: tuple = (np.zeros((0, len(columns.names))), np.zeros((2, 0)), [])
    if constraints is None:
        return found
    several = constraints if isinstance(constraints, list) else [constraints]
    return _stacked(found, *[_row(one, columns) for one in several])


def _stacked(*parts):
    A, limits, labels = zip(*parts, strict=True)
    return np.vstack(A), np.hstack(limits), [label for some in labels for label in some]


def _row(constraint, columns):
    p = len(columns.names)
    if isinstance(constraint, LinearConstraint):
        A, low, high = constraint.A, constraint.lb, constraint.ub
    else:
        try:
            A, low, high = constraint
        except (TypeError, ValueError):
            raise ValueError(
                "constraints must be a scipy.optimize.LinearConstraint, a triple (A, low, high), or a list of such, "
                f"got {constraint!r}"
            ) from None
    labels = None
    if hasattr(A, "iloc"):
        A, labels = _by_name(A, columns)
    A = np.atleast_2d(np.asarray(A.toarray() if sparse.issparse(A) else A, dtype=float))
    if A.ndim != 2 or A.shape[1] != p or not np.isfinite(A).all():
        raise ValueError(
            f"constraints: A must be finite, with a column for each of the {p} columns of X, got shape {A.shape}"
        )
    try:
        limits = np.stack([np.broadcast_to(np.asarray(limit, dtype=float), (len(A),)) for limit in (low, high)])
    except (TypeError, ValueError):
        raise ValueError(f"constraints: low and high must have one entry for each of the {len(A)} rows of A") from None
    if np.isnan(limits).any() or (limits[0] == np.inf).any() or (limits[1] == -np.inf).any():
        raise ValueError("constraints must not have a limit of nan, nor of +inf below, nor of -inf above")
    return A, limits, [None] * len(A) if labels is None else labels


def _by_name(frame, columns):
    """The matrix of a data frame by the names of its columns, zero for others; and what its rows are called."""
    A = np.zeros((len(frame), len(columns.names)))
    for name in frame.columns:
        if list(frame.columns).count(name) > 1:
            raise ValueError(f"constraints: column name {name!r} is there twice")
        A[:, columns.find(name, "constraints")] = frame[name].to_numpy(dtype=float)
    return A, [label if isinstance(label, str) else None for label in frame.index]


def _monotone(monotone, columns, low, high, found):
    """Narrow the limits by ``monotone`` columns, and add rows for ordered ones."""
    if monotone is None:
        return found
    if not isinstance(monotone, Mapping):
        raise TypeError(
            'monotone must be a dict such as {"age": "increasing"} or {("low", "middle", "high"): "decreasing"}, got '
            f"{monotone!r}"
        )
    for key, direction in monotone.items():
        if not (isinstance(direction, str) and direction in _DIRECTIONS):
            raise ValueError(f'monotone[{key!r}] must be "increasing" or "decreasing", got {direction!r}')
        side = _DIRECTIONS[direction]
        if isinstance(key, tuple):
            found = _stacked(found, _ordered(key, side, columns))
        elif isinstance(key, str) and key in columns.orders:
            found = _stacked(found, _differences(columns.orders[key], side, columns))
        else:
            which = columns.matching(key, "monotone")
            _narrow(which, *((0.0, np.inf) if side > 0 else (-np.inf, 0.0)), low, high)
    return found


def _ordered(key, side, columns):
    """Differences of neighbouring columns that must not be negative."""
    which = [columns.find(name, "monotone") for name in key]
    if len(set(which)) < max(len(which), 2):
        raise ValueError(f"monotone: {key!r} must have at least two columns, each once; a single one without brackets")
    return _differences(key, side, columns)


def _differences(names, side, columns):
    """The same of names in order, where None is a reference whose coefficient is zero."""
    which = [None if name is None else columns.find(name, "monotone") for name in names]
    A = np.zeros((len(which) - 1, len(columns.names)))
    for row, (before, after) in zip(A, pairwise(which), strict=True):
        if before is not None:
            row[before] = -side
        if after is not None:
            row[after] = side
    return A, np.stack([np.zeros(len(A)), np.full(len(A), np.inf)]), [None] * len(A)
