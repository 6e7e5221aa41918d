"""Wide tables: the same answers as without the change to few coordinates, whatever the columns and the penalty."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as TheirRidge

from sk_hessian.inspection import coef_table
from sk_hessian.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import BinaryCrossEntropy, GLMObjective, SquaredLoss
from sk_hessian.solvers import LBFGS
from sk_hessian.solvers.loop import begin


def hard_table(rng, n=60, p=240):
    """Uncentred columns in units from 1e-2 to 1e2, a constant one, duplicated rows and columns."""
    X = rng.normal(size=(n, p)) * np.geomspace(1e-2, 1e2, p) + 30
    X[:, 3], X[:, 5], X[7] = 7.0, X[:, 6], X[8]
    return X, X[:, -9:] @ rng.normal(size=9) / 100 + rng.normal(size=n)


def dual_ridge(X, y, weight, strengths, fit_intercept):
    """Ridge by its dual: coef = S X'(X S X' + W^-1)^-1 y, S the inverse strengths, of centred columns."""
    mean, level = (np.average(A, axis=0, weights=weight) * fit_intercept for A in (X, y))
    Z, r = X - mean, y - level
    root = np.sqrt(weight)
    K = root[:, None] * ((Z / strengths) @ Z.T) * root
    coef = (Z.T @ (root * np.linalg.solve(K + np.eye(len(y)), root * r))) / strengths
    return coef, level - mean @ coef


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(60, 240), (400, 3300)])
def test_ridge_is_its_dual(shape, fit_intercept, rng):
    """By the rows' products, and in units of the penalty where columns are many times the rows."""
    X, y = hard_table(rng, *shape)
    weight, strengths = rng.uniform(0.5, 2, size=len(y)), rng.uniform(0.5, 2, size=shape[1])
    model = Ridge(alpha=2.0, penalty_weights=strengths, fit_intercept=fit_intercept, tol=1e-8).fit(X, y, weight)
    coef, intercept = dual_ridge(X, y, weight, 2 * strengths, fit_intercept)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coef_, coef, atol=1e-6 * np.abs(coef).max())
    np.testing.assert_allclose(model.predict(X), X @ coef + intercept, atol=1e-6 * np.ptp(y))


@pytest.mark.parametrize("alpha", [1e-4, 1e-12])
def test_a_weak_penalty_loses_no_digits(alpha, rng):
    """Of the rows' products it would drown in rounding: these are then decomposed themselves."""
    X = np.cumsum(rng.normal(size=(40, 200)), axis=1)
    y = rng.normal(size=40)
    model = Ridge(alpha=alpha).fit(X, y)
    theirs = TheirRidge(alpha=alpha, solver="svd").fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, rtol=1e-5, atol=1e-7 * np.abs(theirs.coef_).max())


MODELS = {
    "logistic": LogisticRegression(tol=1e-7),
    "softmax": LogisticRegression(tol=1e-7),
    "poisson": PoissonRegressor(alpha=0.05, tol=1e-7),
    "gamma": GammaRegressor(alpha=0.05, tol=1e-7),
}


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
@pytest.mark.parametrize("name", MODELS)
def test_columns_may_be_rotated_into_more(name, solver, rng):
    """A wide table whose rows are those of a tall one in other axes has its coefficients in these, and its errors."""
    n, r, p = 80, 12, 320
    Z, V = rng.normal(size=(n, r)), np.linalg.qr(rng.normal(size=(p, r)))[0]
    raw = Z[:, :3].sum(axis=1) / 2
    y = {
        "logistic": (raw + rng.logistic(size=n) > 0).astype(int),
        "softmax": np.digitize(raw + rng.logistic(size=n), [-1, 1]),
        "poisson": rng.poisson(np.exp(raw)),
        "gamma": np.exp(raw) * rng.gamma(2.0, size=n) + 1e-3,
    }[name]
    model = MODELS[name].set_params(solver=solver)
    tall = model.fit(Z, y, np.arange(n) % 3 + 1.0)
    coef, intercept = tall.coef_, tall.intercept_
    wide = model.fit(Z @ V.T, y, np.arange(n) % 3 + 1.0)
    assert wide.convergence_.status == "optimal"
    np.testing.assert_allclose(wide.coef_, coef @ V.T, atol=2e-5 * np.abs(coef).max())
    np.testing.assert_allclose(wide.intercept_, intercept, atol=1e-4)


def test_float32_rows_and_errors_of_coefficients_are_those_of_the_rows(rng):
    """Standard errors come from the few coordinates too: those of the whole Hessian, formed."""
    X, y = rng.normal(size=(40, 200)).astype(np.float32), rng.normal(size=40)
    model = Ridge(alpha=3.0).fit(X, y)
    exact = Ridge(alpha=3.0).fit(X.astype(float), y)
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=2e-5, atol=1e-7)
    table = coef_table(exact, X.astype(float), y, cov="laplace")
    Z = np.column_stack([X.astype(float), np.ones(40)])
    H = Z.T @ Z + 3 * np.diag(np.r_[np.ones(200), 0])
    shape = np.sqrt(np.diag(np.linalg.inv(H)))
    ratio = np.asarray(table.std_error) / shape
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SquaredLoss()], ids=lambda loss: type(loss).__name__)
def test_the_penalty_bounds_the_curvature_in_units(loss, fit_intercept, rng):
    """What conjugate gradients have not found is bounded by it: no more than the least curvature, nor useless."""
    X = rng.normal(size=(30, 200)) + rng.normal(size=(30, 1))
    y = (X[:, 0] > 0.3).astype(float)
    objective = GLMObjective(X, y, loss, penalty=0.02, fit_intercept=fit_intercept, sample_weight=rng.uniform(1, 9, 30))
    start = objective.at(0.1 * rng.normal(size=objective.n_parameters))
    problem = begin(objective, start.theta, LBFGS(), 1e-4).problem
    here, units = objective.at(start.theta), start.factor("units")
    problem = type(problem)(objective, units, here, problem.counts)
    here.sweep()
    P, bound = units.dense(), problem.held(problem.start())
    H = P.T @ objective.hessian_matrix(start.theta) @ P
    inverse, least = np.linalg.inv(H), np.linalg.eigvalsh(H)[0]
    for slope in (problem.start().slope, *rng.normal(size=(5, units.shape[1]))):
        assert bound.proven(slope) >= slope @ inverse @ slope / 2 * (1 - 1e-9)
        assert bound.proven(slope) <= 2 * slope @ slope / (2 * least)
        np.testing.assert_allclose(bound.rough(slope), bound.proven(slope), rtol=0.5)
    assert bound.passes == 0.5 * fit_intercept


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mean", [0.0, 2.0, 1e6])
def test_the_mean_of_the_columns_costs_a_wide_table_no_digits(mean, order, rng):
    """Products of the rows are of centred ones: afterwards these would lose digits, and seem to have one more rank."""
    X, y = rng.normal(size=(40, 200)), rng.normal(size=40)
    X[:, 3] = 5.0
    weight = rng.uniform(0.5, 2, size=40)
    ours = Ridge(alpha=0.3).fit(np.asarray(X + mean, order=order), y, sample_weight=weight)
    exact, _ = dual_ridge(X, y, weight, np.full(200, 0.3), True)
    assert ours.convergence_.status == "optimal"
    np.testing.assert_allclose(ours.coef_, exact, atol=1e-9 * np.abs(exact).max() if mean < 1e3 else 1e-5)
