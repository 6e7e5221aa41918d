"""What `minimize` takes as bounds, and which solvers take any."""

import numpy as np
from scipy.optimize import Bounds

from sk_hessian.objectives import FeasibleSet


def check_solver_within(spec, what="bounds need"):
    """Refuse a solver that does not serve constraints; None stands for "auto"."""
    if spec is not None and not spec.serves_constraints:
        name = type(spec).__name__
        raise ValueError(
            f"{what} the solver 'newton', 'lbfgs' or 'auto': {name} does not solve what constraints leave free to the "
            "end"
        )


def check_bounds(bounds, objective, x0, spec):
    """``bounds`` of `minimize` as a `FeasibleSet` that has x0, for a solver that serves it."""
    check_solver_within(spec)
    feasible = bounds if isinstance(bounds, FeasibleSet) else _of_limits(bounds, objective, x0.size)
    if feasible.n_parameters != x0.size:
        raise ValueError(f"bounds are for {feasible.n_parameters} parameters, but x0 has {x0.size}")
    off, text = feasible.violation(x0)
    if off > 0:
        raise ValueError(f"x0 is outside the bounds: it violates {text} by {off:.3g}; start inside")
    return feasible


def _of_limits(bounds, objective, n_parameters):
    names = objective.parameter_names(n_parameters)
    low, high = check_limits(bounds, n_parameters, "parameters")
    return FeasibleSet(low, high, names=names)


def check_limits(bounds, n, noun):
    """Lower and upper limits (n,) of a pair or of `scipy.optimize.Bounds`; ``noun`` is what they are of."""
    if isinstance(bounds, Bounds):
        bounds = (bounds.lb, bounds.ub)
    try:
        low, high = bounds
        limits = [np.broadcast_to(np.asarray(limit, dtype=float), (n,)).copy() for limit in (low, high)]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"bounds must be a pair (low, high) of numbers, or of arrays with one entry for each of the {n} {noun}, or "
            f"a scipy.optimize.Bounds, got {bounds!r}; of a list of pairs take np.transpose"
        ) from error
    for limit, wrong in zip(limits, (np.inf, -np.inf), strict=True):
        if np.isnan(limit).any() or (limit == wrong).any():
            raise ValueError("bounds must not be nan, nor +inf below, nor -inf above; use -inf and inf for no limit")
    return limits
