import numpy as np
import pytest
from sklearn import linear_model as theirs
from sklearn.datasets import load_diabetes, load_linnerud

from sk_hessian.linear_model import LinearRegression, Ridge
from tests.estimators import ALL_SOLVERS

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)


@every_solver
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_several_targets_match_scikit_learn(solver, fit_intercept):
    X, Y = load_linnerud(return_X_y=True)
    ours = LinearRegression(solver=solver, fit_intercept=fit_intercept, tol=1e-9).fit(X, Y)
    other = theirs.LinearRegression(fit_intercept=fit_intercept).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, other.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, other.intercept_, rtol=1e-6)
    np.testing.assert_allclose(ours.predict(X), other.predict(X), rtol=1e-6)


@every_solver
@pytest.mark.parametrize("alpha", [0.5, [0.0, 1.0, 100.0]], ids=str)
def test_a_penalty_for_each_target(solver, alpha):
    X, Y = load_linnerud(return_X_y=True)
    ours = Ridge(alpha, solver=solver, tol=1e-9).fit(X, Y)
    # scikit-learn 1.6 wants an array, no list
    other = theirs.Ridge(np.array(alpha) if np.ndim(alpha) else alpha, solver="cholesky").fit(X, Y)
    np.testing.assert_allclose(ours.coef_, other.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, other.intercept_, rtol=1e-6)


@every_solver
def test_ridge_of_weighted_rows_matches_scikit_learn(solver, rng):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    weight = rng.uniform(0.1, 5, size=len(y))
    ours = Ridge(2.0, solver=solver, tol=1e-9).fit(X, y, sample_weight=weight)
    other = theirs.Ridge(2.0, solver="svd").fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.coef_, other.coef_, rtol=1e-6)
    assert ours.intercept_ == pytest.approx(other.intercept_, rel=1e-6)


def test_nearly_dependent_polynomials_keep_their_digits():
    x = np.linspace(0, 1, 60)
    X = np.vander(x, 9)[:, :-1]
    truth = np.arange(1.0, 9.0)
    model = LinearRegression(tol=1e-9).fit(X, X @ truth + 1)
    np.testing.assert_allclose(model.predict(X), X @ truth + 1, rtol=1e-9)
    np.testing.assert_allclose(model.coef_, truth, rtol=1e-3)


@every_solver
def test_a_feature_without_a_penalty(solver, rng):
    X = rng.normal(size=(50, 3))
    y = X @ [5.0, 5.0, 5.0] + rng.normal(size=50)
    model = Ridge(1e6, penalty_weights=[1, 0, 1], fit_intercept=False, solver=solver, tol=1e-8).fit(X, y)
    alone = LinearRegression(fit_intercept=False).fit(X[:, [1]], y)
    assert model.coef_[1] == pytest.approx(alone.coef_[0], rel=1e-3)
    assert np.abs(model.coef_[[0, 2]]).max() < 1e-3


@every_solver
def test_penalty_weights_are_a_change_of_units(solver, rng):
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    weights = np.array([0.25, 1.0, 16.0])
    weighted = Ridge(3.0, penalty_weights=weights, solver=solver, tol=1e-9).fit(X, y)
    rescaled = Ridge(3.0, solver=solver, tol=1e-9).fit(X / np.sqrt(weights), y)
    np.testing.assert_allclose(weighted.coef_, rescaled.coef_ / np.sqrt(weights), rtol=1e-6, atol=1e-9)
