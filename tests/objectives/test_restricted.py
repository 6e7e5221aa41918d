"""Objectives with parameters held at values, or under linear equations: against closed forms and offsets."""

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize
from scipy.special import expit

from sk_hessian.objectives import (
    BinaryCrossEntropy,
    FunctionObjective,
    GLMObjective,
    MLPObjective,
    RestrictedObjective,
    SquaredLoss,
    TweedieLoss,
)
from sk_hessian.solvers import SOLVERS, minimize
from tests.estimators import assert_refused

UNITS = np.array([1.0, 1e3, 1e-3])


def table(rng, n=120):
    X = (rng.normal(size=(n, 3)) + [0, 5, 0]) * UNITS
    eta = X / UNITS @ [0.8, -0.5, 0.3] + 2.5
    return X, eta


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_coefficient_held_at_a_value_is_an_offset(solver, rng):
    X, eta = table(rng)
    y = rng.binomial(1, expit(eta - 2.5)).astype(float)
    whole = GLMObjective(X, y, BinaryCrossEntropy())
    theta = np.array([0.0, 2e-3, 0.0, 0.1])
    held = RestrictedObjective.holding(whole, theta, [1])
    beside = GLMObjective(X[:, [0, 2]], y, BinaryCrossEntropy(), offset=X[:, 1] * theta[1])
    found = minimize(held, np.zeros(3), solver, tol=1e-8)
    expected = minimize(beside, beside.start(), "newton", tol=1e-8)
    assert found.status == "optimal"
    assert found.fun == pytest.approx(expected.fun, rel=1e-10)
    full = held.expanded(found.x)
    assert full[1] == theta[1]
    np.testing.assert_allclose(full[[0, 2, 3]], expected.x, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_least_squares_under_equations_has_its_closed_form(solver, fit_intercept, rng):
    X, eta = table(rng)
    y = eta + rng.normal(size=len(eta))
    whole = GLMObjective(X, y, SquaredLoss(), fit_intercept=fit_intercept)
    Z = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    A = np.zeros((1, Z.shape[1]))
    A[0, :2] = 1.0, 1e3
    b = np.array([0.5])
    system = np.block([[Z.T @ Z, A.T], [A, np.zeros((1, 1))]])
    expected = np.linalg.solve(system, np.append(Z.T @ y, b))[: Z.shape[1]]
    equal = RestrictedObjective.subject_to(whole, A, b)
    result = minimize(equal, np.zeros(equal.n_parameters), solver, tol=1e-10)
    assert result.status == "optimal"
    found = equal.expanded(result.x)
    np.testing.assert_allclose(A @ found, b, rtol=1e-10)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_equal_coefficients_are_those_of_the_sum_of_columns(rng):
    X, eta = table(rng)
    X /= UNITS
    y = rng.poisson(np.exp(0.3 * eta)).astype(float)
    whole = GLMObjective(X, y, TweedieLoss(1), penalty=0.1)
    equal = RestrictedObjective.subject_to(whole, [[1.0, -1.0, 0.0, 0.0]], [0.0])
    summed = GLMObjective(np.column_stack([X[:, 0] + X[:, 1], X[:, 2]]), y, TweedieLoss(1), penalty=[[0.2], [0.1]])
    found = equal.expanded(minimize(equal, np.zeros(3), tol=1e-8).x)
    a, c, intercept = minimize(summed, summed.start(), tol=1e-8).x
    np.testing.assert_allclose(found, [a, a, c, intercept], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["observed", "expected"])
def test_its_derivatives_are_those_of_differences(kind, rng):
    X, eta = table(rng)
    objective = MLPObjective(X, eta, SquaredLoss(), hidden_layer_sizes=(2,), penalty=0.1)
    held = RestrictedObjective.holding(objective, objective.start(0), [0, 3])
    w, d = rng.normal(size=held.n_parameters) * 0.1, rng.normal(size=held.n_parameters)
    here, h = held.at(w), 1e-6
    ends = [held.at(w + sign * h * d) for sign in (1, -1)]
    assert (ends[0].value - ends[1].value) / (2 * h) == pytest.approx(here.gradient @ d, rel=1e-5)
    H = here.hessian_matrix(kind)
    np.testing.assert_allclose(H @ d, here.hessian(kind).matvec(d), rtol=1e-8, atol=1e-10)
    if kind == "observed":
        np.testing.assert_allclose((ends[0].gradient - ends[1].gradient) / (2 * h), H @ d, rtol=1e-4, atol=1e-6)


def test_a_function_on_a_line():
    def valley(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    line = RestrictedObjective.subject_to(FunctionObjective(valley), [[1.0, 1.0]], [1.0])
    result = minimize(line, np.array([0.3]), "newton", tol=1e-6)
    best = scipy_minimize(lambda t: valley([t[0], 1 - t[0]]), [0.6])
    assert result.fun == pytest.approx(best.fun, abs=1e-8)
    assert line.expanded(result.x).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda of: RestrictedObjective.holding(of, np.zeros(4), [0, 1, 2, 3]), "held"),
        (lambda of: RestrictedObjective.holding(of, np.zeros(4), [7]), "held"),
        (lambda of: RestrictedObjective.subject_to(of, [[1.0, 0, 0, 0], [1.0, 0, 0, 0]], [0.0, 1.0]), "contradict"),
        (lambda of: RestrictedObjective.subject_to(of, np.eye(4), np.zeros(4)), "free"),
        (lambda of: RestrictedObjective.subject_to(of, [[1.0, 0, 0, np.nan]], [0.0]), "finite"),
        (lambda of: RestrictedObjective.subject_to(of, [[1.0, 0, 0, 0]], [0.0, 1.0]), "shape"),
    ],
)
def test_bad_restrictions_are_named(make, match, rng):
    X, eta = table(rng)
    assert_refused(match, make, GLMObjective(X, eta, SquaredLoss()))
