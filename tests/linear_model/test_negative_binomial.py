"""Negative binomial regression against statsmodels, on raw columns of every size, and at its Poisson limit."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.inspection import stationary_point
from sk_hessian.linear_model import NegativeBinomialRegressor, PoissonRegressor
from tests.estimators import ALL_SOLVERS, assert_refused, convergence_warnings, inverse_hessian

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)
TIGHT = {"tol": 1e-9, "solver": "newton", "alpha": 0.0}


def visits(rng, n=600, theta=1.5):
    """Counts as of visits to a doctor: an age, an income, an indicator and a rate, in raw units."""
    X = np.column_stack(
        [rng.uniform(18, 65, n), rng.lognormal(10, 0.5, n), rng.integers(0, 2, n), 5 + 1e-3 * rng.normal(size=n)]
    )
    eta = 0.5 + 0.02 * (X[:, 0] - 40) - 1e-5 * (X[:, 1] - 2e4) + 0.6 * X[:, 2] + 200 * (X[:, 3] - 5)
    spread = 1.0 if np.isinf(theta) else rng.gamma(theta, 1 / theta, size=n)
    return X, rng.poisson(np.exp(eta) * spread).astype(float)


def reference(X, y):
    """statsmodels' maximum on standardised columns, and the coefficients of the raw ones."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    fit = sm.NegativeBinomial(y, sm.add_constant(Z)).fit(disp=0, method="newton", maxiter=200, tol=1e-13)
    return fit, fit.params[1:-1] / X.std(axis=0)


@every_solver
def test_every_solver_reaches_statsmodels_optimum_on_raw_columns(solver, rng):
    X, y = visits(rng)
    model = NegativeBinomialRegressor(alpha=0.0, solver=solver, tol=1e-7, random_state=0).fit(X, y)
    fit, coef = reference(X, y)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-4)
    assert 1 / model.theta_ == pytest.approx(fit.params[-1], rel=1e-4)


def test_coefficients_theta_and_likelihood_are_statsmodels(rng):
    X, y = visits(rng)
    model = NegativeBinomialRegressor(**TIGHT).fit(X, y)
    assert "overdispersion" not in model.convergence_.message
    fit, coef = reference(X, y)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-6)
    assert 1 / model.theta_ == pytest.approx(fit.params[-1], rel=1e-6)
    assert model.intercept_ + X.mean(axis=0) @ model.coef_ == pytest.approx(fit.params[0], rel=1e-6)
    objective, theta = model.fitted_objective(X, y)
    raw = np.column_stack([np.log(model.predict(X)), np.full(len(y), theta[-1])])
    assert objective.loss.family.log_likelihood(y, raw).sum() == pytest.approx(fit.llf, rel=1e-10)


def test_standard_errors_are_statsmodels(rng):
    """Of alpha = c^2 by the delta method."""
    X, y = visits(rng)
    model = NegativeBinomialRegressor(**TIGHT).fit(X, y)
    errors = np.sqrt(np.diag(inverse_hessian(*model.fitted_objective(X, y))) / len(y))
    fit, _ = reference(X, y)
    np.testing.assert_allclose(errors[:4] * X.std(axis=0), fit.bse[1:-1], rtol=1e-4)
    assert errors[-1] * 2 * model.theta_**-0.5 == pytest.approx(fit.bse[-1], rel=1e-4)


@pytest.mark.parametrize("theta", [0.3, 2.0, 50.0])
def test_given_theta_is_statsmodels_glm(theta, rng):
    X, y = visits(rng)
    model = NegativeBinomialRegressor(theta=theta, **TIGHT).fit(X, y)
    Z = sm.add_constant((X - X.mean(axis=0)) / X.std(axis=0))
    fit = sm.GLM(y, Z, family=sm.families.NegativeBinomial(alpha=1 / theta)).fit(tol=1e-14, maxiter=200)
    np.testing.assert_allclose(model.coef_ * X.std(axis=0), fit.params[1:], rtol=1e-6)
    loss, raw = model.fitted_objective(X, y)[0].loss, np.log(model.predict(X))[:, None]
    assert 2 * (loss.value(y, raw) - loss.saturated(y)).sum() == pytest.approx(fit.deviance, rel=1e-8)
    assert loss.family.log_likelihood(y, raw).sum() == pytest.approx(fit.llf, rel=1e-8)
    assert loss.family.pearson(y, raw).sum() == pytest.approx(fit.pearson_chi2, rel=1e-6)
    assert model.score(X, y) == pytest.approx(1 - fit.deviance / fit.null_deviance, rel=1e-8)
    assert model.theta_ == theta


def test_weights_count_as_statsmodels_freq_weights(rng):
    X, y = visits(rng)
    weight = rng.integers(0, 4, size=len(y)).astype(float)
    model = NegativeBinomialRegressor(theta=2.0, **TIGHT).fit(X, y, sample_weight=weight)
    Z = sm.add_constant((X - X.mean(axis=0)) / X.std(axis=0))
    family = sm.families.NegativeBinomial(alpha=0.5)
    fit = sm.GLM(y, Z, family=family, freq_weights=weight).fit(tol=1e-14, maxiter=200)
    np.testing.assert_allclose(model.coef_ * X.std(axis=0), fit.params[1:], rtol=1e-6)


def test_score_is_the_explained_deviance_at_the_estimated_theta(rng):
    X, y = visits(rng)
    estimated = NegativeBinomialRegressor(**TIGHT).fit(X, y)
    given = NegativeBinomialRegressor(theta=estimated.theta_, **TIGHT).fit(X, y)
    np.testing.assert_allclose(estimated.coef_, given.coef_, rtol=1e-5)
    assert estimated.score(X, y) == pytest.approx(given.score(X, y), rel=1e-8)
    assert 0.1 < estimated.score(X, y) < 1


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_offset_is_the_logarithm_of_an_exposure(scale, rng):
    X, y = visits(rng, 400)
    exposure = scale * rng.uniform(0.5, 2, size=len(y))
    model = NegativeBinomialRegressor(**TIGHT).fit(X, y, offset=np.log(exposure))
    Z = sm.add_constant((X - X.mean(axis=0)) / X.std(axis=0))
    start = np.append(model.coef_ * X.std(axis=0), 1 / model.theta_)
    start = np.append(model.intercept_ + X.mean(axis=0) @ model.coef_, start)
    fit = sm.NegativeBinomial(y, Z, offset=np.log(exposure)).fit(start * 1.01, disp=0, method="newton", tol=1e-13)
    np.testing.assert_allclose(model.coef_ * X.std(axis=0), fit.params[1:-1], rtol=1e-6)
    assert 1 / model.theta_ == pytest.approx(fit.params[-1], rel=1e-6)


def test_offset_without_an_intercept(rng):
    X, y = visits(rng, 400)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    offset = 1 + 0.3 * rng.normal(size=len(y))
    model = NegativeBinomialRegressor(fit_intercept=False, **TIGHT).fit(X, y, offset=offset)
    start = np.append(model.coef_, 1 / model.theta_) * 1.01
    fit = sm.NegativeBinomial(y, X, offset=offset).fit(start, disp=0, method="newton", tol=1e-13)
    np.testing.assert_allclose(model.coef_, fit.params[:-1], rtol=1e-6)
    assert 1 / model.theta_ == pytest.approx(fit.params[-1], rel=1e-6)


def test_a_stream_needs_a_given_theta(rng):
    X, y = visits(rng, 900)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = NegativeBinomialRegressor(theta=1.5, alpha=0.0)
    for start in range(0, 900, 100):
        model.partial_fit(X[start : start + 100], y[start : start + 100])
    np.testing.assert_allclose(model.coef_, model.__class__(theta=1.5, alpha=0.0).fit(X, y).coef_, atol=0.03)
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as caught:
        NegativeBinomialRegressor().partial_fit(X, y)
    assert "needs theta" in str(caught.value.__cause__)


def test_zeros_alone_are_not_advised_a_penalty(rng):
    X = rng.normal(size=(40, 2))
    for model in (NegativeBinomialRegressor(alpha=1.0), PoissonRegressor(alpha=1.0)):
        with pytest.warns(ConvergenceWarning, match="every row has y = 0, and the intercept has no penalty") as caught:
            model.fit(X, np.zeros(40))
        assert "Add a penalty" not in str(caught[0].message)


# -- no overdispersion -------------------------------------------------------------------------------------------------


@every_solver
def test_counts_without_overdispersion_end_at_the_poisson_limit(solver, rng):
    X, _ = visits(rng)
    y = rng.binomial(12, 1 / (1 + np.exp(-0.05 * (X[:, 0] - 40)))).astype(float)
    model = NegativeBinomialRegressor(alpha=1e-3, solver=solver, tol=1e-6, random_state=0).fit(X, y)
    poisson = PoissonRegressor(alpha=1e-3, tol=1e-7).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.theta_ == np.inf
    assert "no overdispersion" in model.convergence_.message
    assert "use PoissonRegressor" in model.convergence_.message
    np.testing.assert_allclose(model.predict(X), poisson.predict(X), rtol=1e-3)
    assert model.score(X, y) == pytest.approx(poisson.score(X, y), rel=1e-6)


def test_poisson_limit_is_a_regular_minimum(rng):
    """Inspection finds a positive definite Hessian there, and the coefficients' standard errors are Poisson's."""
    X, _ = visits(rng)
    y = rng.binomial(12, 1 / (1 + np.exp(-0.05 * (X[:, 0] - 40)))).astype(float)
    model = NegativeBinomialRegressor(**TIGHT).fit(X, y)
    poisson = PoissonRegressor(alpha=0.0, tol=1e-9, solver="newton").fit(X, y)
    ours, theirs = (inverse_hessian(*m.fitted_objective(X, y)) for m in (model, poisson))
    assert stationary_point(model, X, y).kind == "minimum"
    assert ours[-1, -1] > 0
    np.testing.assert_allclose(np.diag(ours)[:-1], np.diag(theirs), rtol=1e-3)


def test_infinite_theta_is_poisson(rng):
    X, y = visits(rng)
    ours, poisson = NegativeBinomialRegressor(theta=np.inf, **TIGHT).fit(X, y), PoissonRegressor(**TIGHT).fit(X, y)
    np.testing.assert_allclose(ours.coef_, poisson.coef_, rtol=1e-8)
    assert ours.score(X, y) == pytest.approx(poisson.score(X, y), rel=1e-10)


def test_slight_overdispersion_of_large_counts_is_found(rng):
    """One thousandth of 1 / theta doubles the variance of counts about a thousand."""
    X = rng.normal(size=(4000, 1))
    y = rng.poisson(np.exp(7 + 0.1 * X[:, 0]) * rng.gamma(1000, 1 / 1000, size=4000)).astype(float)
    assert NegativeBinomialRegressor(alpha=0.0).fit(X, y).theta_ == pytest.approx(1000, rel=0.15)


# -- the rest ----------------------------------------------------------------------------------------------------------


@every_solver
def test_zero_counts_of_a_group_are_separated(solver, rng):
    X, y = visits(rng)
    X[:, 2] = rng.uniform(size=len(y)) < 0.1
    y[X[:, 2] == 1] = 0
    model, warned = convergence_warnings(
        lambda: NegativeBinomialRegressor(alpha=0.0, solver=solver, random_state=0).fit(X, y)
    )
    assert model.convergence_.status == "separated"
    assert "x2" in warned[0]


def test_a_warm_start_from_the_poisson_limit_finds_overdispersion(rng):
    X, y = visits(rng)
    model = NegativeBinomialRegressor(alpha=0.0, warm_start=True).fit(X, rng.binomial(12, 0.5, size=len(y)))
    assert model.theta_ == np.inf
    cold = NegativeBinomialRegressor(alpha=0.0, tol=1e-8).fit(X, y)
    assert model.set_params(tol=1e-8).fit(X, y).theta_ == pytest.approx(cold.theta_, rel=1e-5)


@pytest.mark.parametrize(
    ("theta", "error"), [(0, ValueError), (-1.0, ValueError), (np.nan, ValueError), ("2", TypeError)]
)
def test_theta_must_be_a_positive_number(theta, error, rng):
    message = "theta must be a number > 0"
    assert_refused(message, NegativeBinomialRegressor(theta=theta).fit, *visits(rng, 50), error=error)
