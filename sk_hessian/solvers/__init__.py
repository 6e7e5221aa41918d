"""Minimisers of smooth objectives: `minimize`, and the five solvers it runs.

``SOLVERS`` maps the names of the solvers to their classes.
"""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from sk_hessian.solvers.clip import Clip
from sk_hessian.solvers.constrained import Tell, minimize_within
from sk_hessian.solvers.lbfgs import LBFGS
from sk_hessian.solvers.limits import check_bounds
from sk_hessian.solvers.limits import check_limits as check_limits
from sk_hessian.solvers.limits import check_solver_within as check_solver_within
from sk_hessian.solvers.linear import conjugate_gradients as conjugate_gradients
from sk_hessian.solvers.loop import State, begin, follow
from sk_hessian.solvers.method import MethodRun, Step
from sk_hessian.solvers.momentum import Momentum
from sk_hessian.solvers.newton import Newton
from sk_hessian.solvers.options import Positive, Solver
from sk_hessian.solvers.plan import choose
from sk_hessian.solvers.problem import Point, Problem
from sk_hessian.solvers.result import Convergence, Result
from sk_hessian.solvers.result import advice as advice
from sk_hessian.solvers.result import still_missing as still_missing
from sk_hessian.solvers.sgd import SGD
from sk_hessian.solvers.shrinking import shrink
from sk_hessian.solvers.verdict import Verdict

__all__ = [
    "LBFGS",
    "SGD",
    "SOLVERS",
    "Clip",
    "Convergence",
    "MethodRun",
    "Momentum",
    "Newton",
    "Point",
    "Positive",
    "Problem",
    "Result",
    "Solver",
    "State",
    "Step",
    "check_solver",
    "minimize",
]

#: the names of the solvers
SOLVERS = {"sgd": SGD, "momentum": Momentum, "clip": Clip, "newton": Newton, "lbfgs": LBFGS}

#: names of scikit-learn's solvers -> what to use here
_ELSEWHERE = {
    "newton-cholesky": '"newton"',
    "newton-cg": 'Newton(linear_solver="cg")',
    "liblinear": '"newton"',
    "sag": '"sgd"',
    "saga": '"sgd"',
    "highs": '"newton"',
    "highs-ds": '"newton"',
    "highs-ipm": '"newton"',
    "interior-point": '"newton"',
    "revised simplex": '"newton"',
    "adam": "Momentum(0.001, squares=0.999, precondition=None)",
    "cholesky": '"newton"',
    "svd": '"newton"',
    "lsqr": '"lbfgs"',
    "sparse_cg": 'Newton(linear_solver="cg")',
}


def check_solver(solver: str | Solver) -> Solver | None:
    """The solver object that a name or an object stands for, its options checked; None for "auto".

    Parameters
    ----------
    solver : str or Solver

    Returns
    -------
    Solver or None

    Raises
    ------
    ValueError, TypeError
        For an unknown name or option, naming the alternatives.
    """
    if isinstance(solver, str):
        if solver == "auto":
            return None
        if solver not in SOLVERS:
            instead = f"; for scikit-learn's {solver!r} use {_ELSEWHERE[solver]}" if solver in _ELSEWHERE else ""
            raise ValueError(
                f"solver={solver!r} is unknown: choose from {_names()}, or an object such as Newton(){instead}"
            )
        return SOLVERS[solver]()
    if not isinstance(solver, Solver):
        raise TypeError(f"solver must be one of {_names()} or an object such as Newton(), got {solver!r}")
    solver.check()
    return clone(solver)


def _names():
    return ", ".join(repr(name) for name in ("auto", *SOLVERS))


def minimize(
    objective: Any,
    x0: ArrayLike,
    solver: str | Solver = "auto",
    *,
    tol: float = 1e-4,
    max_iter: int = 1000,
    callback: Callable[[State], bool | None] | None = None,
    before: Callable[[State], object] | None = None,
    random_state: int | np.random.Generator | None = None,
    bounds: Any = None,
) -> Result:
    """Minimise an objective.

    Parameters
    ----------
    objective : object
        Of `sk_hessian.objectives`, such as ``FunctionObjective(fun)``.
    x0 : array-like of shape (n_parameters,)
        Start.
    solver : str or Solver, default="auto"
        One of "auto", "sgd", "momentum", "clip", "newton", "lbfgs", or an object with options.
    tol : float, default=1e-4
        ``optimal`` needs half the squared Newton decrement to be at most ``tol**2`` times the objective's scale.
    max_iter : int, default=1000
        Largest number of outer iterations; epochs for a stochastic solver.
    callback : callable, optional
        ``callback(state)`` after each iteration, see `State`; a true answer or a StopIteration stops the run.
    before : callable, optional
        ``before(state)`` before each iteration, with the state that it starts from.
    random_state : int, Generator or None
        For minibatches; the deterministic solvers use none.
    bounds : pair of array-likes, scipy.optimize.Bounds or FeasibleSet, optional
        Lower and upper limits of the parameters, numbers or one for each, infinite for none; or a
        `sk_hessian.objectives.FeasibleSet`, which may have linear constraints too. For the solvers "newton", "lbfgs"
        and "auto", and for up to 3000 parameters. ``x0`` must satisfy them; all other points do.

    Returns
    -------
    Result

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument.

    Examples
    --------
    >>> from scipy.optimize import rosen, rosen_der
    >>> from sk_hessian.objectives import FunctionObjective
    >>> result = minimize(FunctionObjective(rosen, jac=rosen_der), [-1.0, 2.0], "newton", tol=1e-8)
    >>> result.status, result.x.round(6)
    ('optimal', array([1., 1.]))
    """
    spec = check_solver(solver)
    x0 = np.array(x0, dtype=float)
    for needed in ("at", "through", "sketch"):
        if not hasattr(objective, needed):
            raise TypeError(f"objective must be an Objective, such as FunctionObjective(fun), got {objective!r}")
    _check_numbers(x0, tol, max_iter)
    expected = getattr(objective, "n_parameters", x0.size)
    if x0.size != expected:
        raise ValueError(f"x0 has {x0.size} entries, but the objective has {expected} parameters")
    for name, function in (("callback", callback), ("before", before)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be callable, got {function!r}")
    spec = SOLVERS[choose(objective, x0.size)]() if spec is None else spec
    if objective.smoothing is not None:
        if bounds is not None:
            raise ValueError("bounds are not for a piecewise linear objective: leave them out")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return shrink(objective, x0, spec, (tol, max_iter), Tell(before, callback, random_state))
    feasible = None if bounds is None else check_bounds(bounds, objective, x0, spec)
    # an overflow is a value that is not finite, which the solvers handle; as a warning it would say nothing
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if feasible is not None:
            told = Tell(before, callback, random_state)
            return minimize_within(objective.begun(x0, feasible), x0, spec, feasible, (tol, max_iter), told)
        run = begin(objective.begun(x0), x0, spec, tol, random_state)
        run.before, run.callback = before, callback
        return follow(run, Verdict(run, tol, max_iter))


def _check_numbers(x0, tol, max_iter):
    if x0.ndim != 1 or x0.size == 0 or not np.logical_and.reduce(np.isfinite(x0)):
        raise ValueError(f"x0 must be a non-empty 1-D array of finite numbers, got shape {x0.shape}")
    if isinstance(tol, bool) or not isinstance(tol, (float, Real)) or not 0 < float(tol) < np.inf:
        raise ValueError(f"tol must be a positive number, got {tol!r}")
    if isinstance(max_iter, bool) or not isinstance(max_iter, (int, Integral)) or max_iter < 1:
        raise ValueError(f"max_iter must be an integer of at least 1, got {max_iter!r}")
