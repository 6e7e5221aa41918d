import numpy as np
import pytest
from sklearn import linear_model as theirs

from sk_hessian.linear_model import HuberRegressor, LinearRegression
from tests.estimators import ALL_SOLVERS, convergence_warnings

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)


def contaminated(rng, n=200):
    X = rng.normal(size=(n, 3))
    y = X @ [1.0, -2.0, 0.5] + 3 + 0.2 * rng.normal(size=n)
    y[:10] += 100
    return X, y


@every_solver
def test_outliers_are_found_and_do_not_count(solver, rng):
    X, y = contaminated(rng)
    model = HuberRegressor(solver=solver).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.outliers_[:10].all()
    np.testing.assert_allclose(model.coef_, [1, -2, 0.5], atol=0.1)
    np.testing.assert_array_equal(model.outliers_, np.abs(y - model.predict(X)) > 1.35 * model.scale_)


@every_solver
@pytest.mark.parametrize("epsilon", [1.1, 1.35, 3.0])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_scikit_learns_coefficients(solver, epsilon, alpha, rng):
    X, y = contaminated(rng)
    ours = HuberRegressor(epsilon=epsilon, alpha=alpha, solver=solver, tol=1e-8).fit(X, y)
    other = theirs.HuberRegressor(epsilon=epsilon, alpha=alpha, tol=1e-9, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, other.coef_, rtol=1e-4, atol=1e-4)
    assert ours.scale_ == pytest.approx(other.scale_, rel=1e-3)


@every_solver
def test_the_smallest_epsilon_is_no_worse_than_scikit_learn(solver, rng):
    """At epsilon = 1 the scale vanishes and least absolute deviations are left: not smooth, so not to many digits."""
    X, y = contaminated(rng)
    ours, _ = convergence_warnings(lambda: HuberRegressor(epsilon=1, alpha=0, solver=solver, tol=1e-6).fit(X, y))
    other = theirs.HuberRegressor(epsilon=1, alpha=0, tol=1e-9, max_iter=100_000).fit(X, y)
    absolute = [np.abs(y - model.predict(X)).mean() for model in (ours, other)]
    assert absolute[0] <= absolute[1] * (1 + 1e-4)


@every_solver
def test_a_large_epsilon_is_least_squares(solver, rng):
    X, y = contaminated(rng)
    robust = HuberRegressor(epsilon=1e6, alpha=0, solver=solver, tol=1e-8).fit(X, y)
    plain = LinearRegression().fit(X, y)
    np.testing.assert_allclose(robust.coef_, plain.coef_, rtol=1e-5)
    assert not robust.outliers_.any()


@every_solver
def test_a_perfect_fit_says_so(solver, rng):
    X, _ = contaminated(rng)
    y = X @ [1.0, -2.0, 0.5] + 3
    model, _ = convergence_warnings(lambda: HuberRegressor(alpha=0, solver=solver, tol=1e-7).fit(X, y))
    assert model.convergence_.status == "optimal"
    assert "The fit is perfect" in model.convergence_.message
    np.testing.assert_allclose(model.predict(X), y, atol=1e-3)
    assert 0 < model.scale_ < 1e-3


@every_solver
def test_more_columns_than_rows_agree(solver, rng):
    """A penalty alone holds the coefficients; every solver must find the same, nearly perfect fit."""
    X, y = rng.uniform(size=(15, 30)), rng.integers(0, 3, size=15).astype(float)
    model, _ = convergence_warnings(lambda: HuberRegressor(solver=solver).fit(X, y))
    best, _ = convergence_warnings(lambda: HuberRegressor(solver="newton", tol=1e-8).fit(X, y))
    assert model.convergence_.status == "optimal"
    assert np.isfinite(model.convergence_.objective)
    assert model.convergence_.objective - best.convergence_.objective <= 1.1e-8 * model.convergence_.scale


def test_outliers_of_weighted_rows_include_those_without_weight(rng):
    X, y = contaminated(rng)
    weight = np.ones(len(y))
    weight[:5] = 0
    model = HuberRegressor().fit(X, y, sample_weight=weight)
    assert model.outliers_.shape == y.shape
    assert model.outliers_[:10].all()
