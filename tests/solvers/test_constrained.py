"""`minimize` within bounds and linear constraints: functions, residuals, linear models."""

import numpy as np
import pytest
from scipy.optimize import Bounds, curve_fit, least_squares, lsq_linear, rosen, rosen_der, rosen_hess
from scipy.optimize import minimize as scipy_minimize

from sk_hessian.inspection import curve_table
from sk_hessian.objectives import (
    FeasibleSet,
    FunctionObjective,
    GLMObjective,
    LeastSquaresObjective,
    MLPObjective,
    SquaredLoss,
    TweedieLoss,
)
from sk_hessian.solvers import Newton, minimize

SOLVERS = ("newton", "lbfgs", "auto")

#: starts and bounds of scipy's tests of `least_squares` on Rosenbrock's residuals
ROSENBROCK = [
    ([-2.0, 1.0], ([-np.inf, -1.5], np.inf)),
    ([2.0, 2.0], ([-np.inf, 1.5], np.inf)),
    ([-2.0, 2.0], ([-np.inf, 1.5], np.inf)),
    ([0.0, 2.0], ([-np.inf, 1.5], [1.0, np.inf])),
    ([2.0, 2.0], ([1.0, 1.5], [3.0, 3.0])),
    ([-1.2, 1.0], ([-50.0, 0.0], [0.5, 100.0])),
]


def residuals(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def jacobian(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("jac", [None, jacobian], ids=["differences", "exact"])
@pytest.mark.parametrize("case", range(len(ROSENBROCK)))
def test_bounded_residuals_are_those_of_scipy(case, jac, solver):
    x0, bounds = ROSENBROCK[case]
    ours = minimize(LeastSquaresObjective(residuals, jac), x0, solver, bounds=bounds, tol=1e-6)
    theirs = least_squares(residuals, x0, jacobian, bounds=bounds, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    assert ours.status == "optimal"
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-5)
    assert ours.fun <= theirs.cost * (1 + 1e-6) + 1e-9
    assert (ours.x >= bounds[0]).all()
    assert (ours.x <= bounds[1]).all()


def test_bounded_curves_are_those_of_curve_fit():
    t = np.linspace(0, 4, 50)
    y = 2.5 * np.exp(-1.3 * t) + 0.5 + 0.2 * np.sin(11 * np.arange(50))
    for bounds in ((0, [3.0, 1.0, 0.5]), ([2.6, 0, 0], np.inf), (0, np.inf)):
        theirs, _ = curve_fit(lambda t, a, b, c: a * np.exp(-b * t) + c, t, y, bounds=bounds, xtol=1e-12, ftol=1e-12)
        curve = LeastSquaresObjective(lambda x: x[0] * np.exp(-x[1] * t) + x[2] - y)
        ours = minimize(curve, [2.7, 0.5, 0.2], bounds=bounds, tol=1e-6)
        np.testing.assert_allclose(ours.x, theirs, atol=1e-6)
        if ours.active_constraints:
            with pytest.raises(ValueError, match=r"bounds hold this one back: theta\[.\]"):
                curve_table(ours)
        else:
            assert curve_table(ours).std_error.shape == (3,)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("given", [{}, {"jac": rosen_der}, {"jac": rosen_der, "hess": rosen_hess}], ids=len)
def test_bounded_functions_are_those_of_scipy(given, solver):
    bounds = Bounds([-1.5, -0.5, -2.0], [0.5, 2.0, 0.1])
    ours = minimize(FunctionObjective(rosen, **given), [-1.0, 1.0, 0.0], solver, bounds=bounds, tol=1e-6)
    theirs = scipy_minimize(rosen, ours.x, jac=rosen_der, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15})
    assert ours.status == "optimal"
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-5)
    assert ours.active_constraints


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_a_function_is_called_within_its_bounds_only(solver):
    low, high = np.array([0.0, 0.0, 1.0]), np.array([3.0, np.inf, 1.0])

    def function(x):
        assert (x >= low).all()
        assert (x <= high).all()
        return (np.sqrt(x[0]) - 1) ** 2 + x[1] ** 1.5 + (x[0] - 2) ** 2 * x[1] + x[1] * x[2]

    result = minimize(FunctionObjective(function), [2.5, 0.5, 1.0], solver, bounds=(low, high), tol=1e-6)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x, [1, 0, 1], atol=1e-5)
    assert result.active_constraints == ("theta[1] >= 0", "theta[2] = 1")
    np.testing.assert_allclose(result.multipliers[0], 2.0, atol=1e-3)


def test_a_saddle_on_a_bound_is_no_optimum():
    """Along the face the point is a maximum: neither multipliers nor the decrease of a convex model tell."""
    saddle = FunctionObjective(
        lambda x: x[0] - x[1] ** 2 + 0.1 * x[1] ** 4,
        jac=lambda x: np.array([1.0, -2 * x[1] + 0.4 * x[1] ** 3]),
        hess=lambda x: np.diag([0.0, -2 + 1.2 * x[1] ** 2]),
    )
    for solver in (Newton(hessian="gauss-newton"), "lbfgs"):
        assert minimize(saddle, [0.0, 0.0], solver, bounds=([0, -np.inf], np.inf)).status != "optimal"
    left = minimize(saddle, [0.0, 0.0], Newton(hessian="exact"), bounds=([0, -np.inf], np.inf), tol=1e-6)
    assert left.status == "optimal"
    np.testing.assert_allclose([left.x[0], abs(left.x[1])], [0, np.sqrt(5)], atol=1e-5)


def test_linear_constraints_of_functions():
    """Problem 71-like: Rosenbrock under x + y <= 1 and x = 3 z, against SLSQP."""
    A = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, -3.0]])
    feasible = FeasibleSet(np.full(3, -np.inf), np.full(3, np.inf), A, [-np.inf, 0.0], [1.0, 0.0])
    ours = minimize(FunctionObjective(rosen, jac=rosen_der), [0.0, 0.0, 0.0], bounds=feasible, tol=1e-6)
    constraints = [
        {"type": "ineq", "fun": lambda x: 1 - A[0] @ x},
        {"type": "eq", "fun": lambda x: A[1] @ x},
    ]
    theirs = scipy_minimize(rosen, ours.x, jac=rosen_der, method="SLSQP", constraints=constraints, tol=1e-14)
    assert ours.status == "optimal"
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-5)
    np.testing.assert_allclose(A[1] @ ours.x, 0, atol=1e-12)


def test_an_intercept_may_have_bounds(rng):
    X = rng.normal(size=(200, 3)) + 30
    y = X @ [1.0, -0.5, 0.2] + 100 + rng.normal(size=200)
    low, high = np.array([0.0, -1, -np.inf, -5]), np.array([np.inf, np.inf, 0.1, 5])
    ours = minimize(GLMObjective(X, y, SquaredLoss()), np.zeros(4), bounds=(low, high), tol=1e-8)
    theirs = lsq_linear(np.column_stack([X, np.ones(200)]), y, (low, high), method="bvls", tol=1e-14)
    assert ours.status == "optimal"
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-6, atol=1e-8)
    assert "intercept <= 5" in ours.active_constraints


def test_counts_callbacks_and_limits(rng):
    X = rng.normal(size=(400, 8))
    y = rng.poisson(np.exp(X @ np.linspace(-0.5, 0.5, 8)))
    objective = GLMObjective(X, y, TweedieLoss(1, "log"), penalty=1e-3)
    bounds = np.append(np.zeros(8), -np.inf), np.full(9, np.inf)
    for solver, most in (("newton", 9), ("lbfgs", 14)):
        seen, begun = [], []
        run = minimize(objective, np.zeros(9), solver, bounds=bounds, callback=seen.append, before=begun.append)
        assert run.status == "optimal"
        assert run.convergence.passes <= most
        assert [state.iteration for state in seen] == list(range(1, run.nit + 1)) == list(run.history["iteration"][1:])
        assert len(begun) == run.nit
        assert all((state.x >= bounds[0]).all() for state in seen)
        assert (np.diff(run.history["objective"]) <= 1e-12).all()
        stopped = minimize(objective, np.zeros(9), solver, bounds=bounds, callback=lambda state: state.iteration == 1)
        assert (stopped.status, stopped.nit) == ("stopped", 1)
        short = minimize(objective, np.zeros(9), solver, bounds=bounds, max_iter=1, tol=1e-9)
        assert (short.status, short.nit) == ("max_iter", 1)


def test_a_decrease_over_the_set_is_what_is_missing(rng):
    """At any feasible point of least squares the certificate is the distance to the constrained minimum."""
    X = rng.normal(size=(100, 5)) @ rng.normal(size=(5, 5))
    y = rng.normal(size=100)
    objective = GLMObjective(X, y, SquaredLoss(), fit_intercept=False)
    bounds = np.zeros(5), np.full(5, 0.05)
    best = minimize(objective, np.zeros(5), bounds=bounds, tol=1e-8)
    for start in rng.uniform(0, 0.05, size=(5, 5)):
        run = minimize(objective, start, bounds=bounds, tol=1e-8)
        missing = objective.at(start).value - best.fun
        np.testing.assert_allclose(run.history["decrement"][0], missing, rtol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((1, 0), r"theta\[0\] has the lower limit 1 and the upper limit 0"),
        (([0.5, 0.5], 1), r"x0 is outside the bounds: it violates 0.5 <= theta\[0\] <= 1 by 0.3"),
        ([(0, 1), (0, 1), (0, 1)], "np.transpose"),
        ((np.nan, 1), "must not be nan"),
        (FeasibleSet(np.zeros(3), np.ones(3)), "bounds are for 3 parameters"),
    ],
)
def test_bad_bounds(bounds, text):
    with pytest.raises(ValueError, match=text):
        minimize(FunctionObjective(rosen), [0.2, 0.5], bounds=bounds)


def test_what_does_not_serve_bounds_says_so(rng):
    with pytest.raises(ValueError, match="bounds need the solver 'newton', 'lbfgs' or 'auto': SGD"):
        minimize(FunctionObjective(rosen), [0.2, 0.5], "sgd", bounds=(0, 1))
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    network = MLPObjective(X, y, SquaredLoss(), hidden_layer_sizes=(3,))
    with pytest.raises(ValueError, match="not for the weights of a network"):
        minimize(network, network.start(rng), bounds=(-1, 1))
