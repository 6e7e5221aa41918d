import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import rosen, rosen_der, rosen_hess

from sk_hessian.inspection import taylor_model
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPRegressor
from sk_hessian.objectives import FunctionObjective
from tests.estimators import ESTIMATORS, assert_refused, convergence_warnings
from tests.inspection.test_hessian import every_model, fitted_model

ROSEN = FunctionObjective(rosen, jac=rosen_der, hess=rosen_hess)


@pytest.mark.parametrize("name", ["LinearRegression", "Ridge"])
def test_it_is_exact_for_quadratic_losses(name, X, y):
    model = ESTIMATORS[name].fit(X, y)
    objective, best = model.fitted_objective(X, y)
    start = objective.start()
    taylor = taylor_model(model, X, y, theta=start)
    np.testing.assert_allclose(taylor.minimiser, best, rtol=1e-6)
    assert taylor(taylor.minimiser) == pytest.approx(objective.value_and_gradient(best)[0], rel=1e-9)
    assert taylor.ratio(best) == pytest.approx(1)
    assert taylor.predicted_decrease(best) == pytest.approx(taylor.actual_decrease(best))
    assert taylor.radius(1e-6) == np.inf


@every_model
def test_the_error_is_of_third_order(name, rng):
    model, X, y, weight = fitted_model(name, rng)
    objective, theta = model.fitted_objective(X, y, weight)
    taylor = taylor_model(model, X, y, sample_weight=weight)
    assert taylor.value == pytest.approx(model.convergence_.objective)
    np.testing.assert_array_equal(taylor.theta0, theta)
    d = objective.preconditioner(theta, "diagonal", "expected").apply(rng.normal(size=theta.size))

    def error(t):
        """Its odd part, free of the fourth order."""
        points = theta + t * d, theta - t * d
        ahead, back = (taylor(point) - objective.value_and_gradient(point)[0] for point in points)
        return abs(ahead - back) / 2

    errors = [error(t) for t in (4e-3, 2e-3)]
    if objective.loss.quadratic and name in ESTIMATORS:
        assert max(errors) < 1e-13
    elif name != "HuberRegressor":  # rows change sides
        assert np.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.05)


def test_the_numbers_are_those_of_the_derivatives():
    theta0, theta = np.array([-1.0, 0.5]), np.array([-0.9, 0.7])
    taylor = taylor_model(ROSEN, theta=theta0)
    d, g, H = theta - theta0, rosen_der(theta0), rosen_hess(theta0)
    assert taylor(theta) == pytest.approx(rosen(theta0) + g @ d + 0.5 * d @ H @ d)
    assert taylor.actual_decrease(theta) == pytest.approx(rosen(theta0) - rosen(theta))
    assert taylor.ratio(theta) == pytest.approx((rosen(theta0) - rosen(theta)) / -(g @ d + 0.5 * d @ H @ d))
    np.testing.assert_allclose(taylor.minimiser, theta0 - np.linalg.solve(H, g))
    np.testing.assert_allclose(taylor.gradient, g)
    assert np.isnan(taylor.ratio(theta0))


@pytest.mark.parametrize("tolerance", [1e-4, 0.01, 0.1])
def test_the_radius_is_where_the_error_reaches_the_tolerance(tolerance):
    cosh = FunctionObjective(lambda x: np.cosh(x[0]), jac=np.sinh, hess=lambda x: np.diag(np.cosh(x)))
    taylor = taylor_model(cosh, theta=[1.0])
    t = taylor.radius(tolerance, direction=[1.0])
    error = np.cosh(1 + t) - np.cosh(1) - np.sinh(1) * t - 0.5 * np.cosh(1) * t**2
    assert error == pytest.approx(tolerance * (np.sinh(1) * t + 0.5 * np.cosh(1) * t**2))
    assert taylor.radius(tolerance, direction=[2.0]) == pytest.approx(t / 2)
    assert taylor.radius(tolerance) > 0


def test_the_radius_ends_at_the_domain():
    log = FunctionObjective(lambda x: x[0] - np.log(x[0]), jac=lambda x: 1 - 1 / x, hess=lambda x: np.diag(x**-2))
    assert taylor_model(log, theta=[1.5]).radius(1e9, direction=[-1.0]) == pytest.approx(1.5)


def test_a_quadratic_function_has_no_radius():
    bowl = FunctionObjective(lambda x: 0.5 * x @ x, jac=lambda x: x, hess=lambda x: np.eye(2))
    assert taylor_model(bowl, theta=[1.0, 2.0]).radius(1e-8) == np.inf


def test_an_indefinite_model_has_no_minimiser():
    saddle = FunctionObjective(lambda x: x[0] ** 2 - x[1] ** 2 + x[1], hess=lambda x: np.diag([2.0, -2.0]))
    taylor = taylor_model(saddle, theta=[1.0, 1.0])
    assert taylor.minimiser is None
    assert_refused("the model has no minimum", taylor.radius)
    assert taylor.radius(direction=[1.0, 0.0]) == np.inf
    line = FunctionObjective(
        lambda x: x[0] ** 2 + x[1], jac=lambda x: [2 * x[0], 1.0], hess=lambda x: np.diag([2.0, 0])
    )
    assert taylor_model(line, theta=[1.0, 1.0]).minimiser is None


def test_flat_directions_leave_the_newton_point_where_it_is(rng):
    x = rng.normal(size=(60, 2))
    X, y = np.column_stack([x, x.sum(axis=1)]), x[:, 0] + rng.normal(size=60)
    model = LinearRegression().fit(X, y)
    objective, theta = model.fitted_objective(X, y)
    start = objective.start()
    taylor = taylor_model(model, X, y, theta=start)
    assert objective.value_and_gradient(taylor.minimiser)[0] == pytest.approx(objective.value_and_gradient(theta)[0])
    assert np.abs(taylor.minimiser).max() < 10


def test_the_minimiser_at_a_degenerate_fit_is_the_fit(rng):
    y = rng.normal(size=30)
    X = np.ones((30, 1))
    model = LinearRegression().fit(X, y)
    taylor = taylor_model(model, X, y)
    np.testing.assert_allclose(taylor.minimiser, taylor.theta0, atol=1e-12)


def test_softmax_has_a_newton_point(iris):
    X, y = iris
    model = LogisticRegression().fit(X, y)
    objective, _ = model.fitted_objective(X, y)
    taylor = taylor_model(model, X, y, theta=objective.start())
    assert taylor.predicted_decrease(taylor.minimiser) > 0
    assert 0.3 < taylor.ratio(taylor.minimiser) < 2


def test_gauss_newton_has_a_minimiser_where_the_hessian_has_none(rng):
    X = rng.normal(size=(60, 2))
    model, _ = convergence_warnings(
        lambda: MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", random_state=0).fit(X, X[:, 0] * X[:, 1])
    )
    objective, _ = model.fitted_objective(X, X[:, 0] * X[:, 1])
    start = objective.start(0)
    models = {
        kind: taylor_model(model, X, X[:, 0] * X[:, 1], theta=start, kind=kind) for kind in ("observed", "gauss-newton")
    }
    assert models["observed"].minimiser is None
    assert models["gauss-newton"].predicted_decrease(models["gauss-newton"].minimiser) > 0


def test_many_parameters_by_products(rng):
    X = sparse.random_array((40, 5000), density=0.01, rng=rng, format="csr")
    y = X @ rng.normal(size=5000)
    model = Ridge(alpha=0.1, fit_intercept=False, tol=1e-9).fit(X, y)
    objective, best = model.fitted_objective(X, y)
    taylor = taylor_model(model, X, y, theta=objective.start())
    np.testing.assert_allclose(taylor.minimiser, best, atol=1e-6 * np.abs(best).max())


def test_functions_of_many_parameters(rng):
    def model_of(d):
        bowl = FunctionObjective(lambda x: 0.5 * d @ x**2, jac=lambda x: d * x, hessp=lambda x, v: d * v)
        return taylor_model(bowl, theta=np.ones(d.size))

    curvature = rng.uniform(1, 3, size=1100)
    np.testing.assert_allclose(model_of(curvature).minimiser, 0, atol=1e-8)
    assert model_of(np.append(curvature, -0.1)).minimiser is None
    with pytest.raises(ValueError, match="conjugate gradients did not find the Newton step of 1100 parameters"):
        _ = model_of(np.append(1e12, np.geomspace(1e-3, 1e8, 1099))).minimiser


def test_bad_arguments_are_named(rng):
    X, y = rng.normal(size=(30, 2)), rng.poisson(1, size=30)
    model = PoissonRegressor().fit(X, y)
    taylor = taylor_model(ROSEN, theta=[1.0, 1.0])
    assert_refused("kind must be .*, got 'x'", taylor_model, model, X, y, kind="x")
    assert_refused("theta has 3 entries, but the objective has 2 parameters", taylor, [1.0, 2.0, 3.0])
    assert_refused("direction has 1 entries", taylor.radius, direction=[1.0])
    assert_refused("direction must not be zero", taylor.radius)
    assert_refused("tolerance must be a positive number, got 0", taylor.radius, 0)
    assert_refused("not finite at this point", taylor_model, FunctionObjective(lambda x: np.log(x[0])), theta=[0.0])
    message = "kind='expected' needs a model or residuals; for a function use kind=\"observed\""
    assert_refused(message, taylor_model, ROSEN, theta=[1.0, 1.0], kind="expected")
