"""Profile likelihood intervals: logistf's published figures, statsmodels' refits, and what they must not depend on."""

from functools import cache

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import chi2, nbinom
from sklearn.datasets import load_iris

from sk_hessian.inspection import profile_intervals
from sk_hessian.linear_model import LogisticRegression, NegativeBinomialRegressor, PoissonRegressor
from tests import problems
from tests.estimators import assert_refused, raw_table

TIGHT = {"tol": 1e-9, "solver": "newton"}
CUT = chi2.ppf(0.95, 1)


def firth(**options):
    return LogisticRegression(C=np.inf, jeffreys=True, **TIGHT, **options)


def counts(rng, n=150):
    X = raw_table(rng, n, 3)
    return X, rng.poisson(np.exp(0.5 + 0.3 * X[:, 0])).astype(float)


def classes(rng, n=120):
    X = raw_table(rng, n, 3)
    return X, (X[:, 0] + rng.logistic(size=n) > 0).astype(int)


def test_limits_are_logistfs_on_the_endometrial_cancer_data():
    """The intervals of Heinze & Schemper (2002) with the further digits of their R package."""
    X, y = problems.endometrial()
    found = profile_intervals(firth().fit(X, y), X, y)
    lower, upper = [0.6097244, -0.1244587, -4.3651832, 1.0825371], [7.85463171, 0.04045547, -1.23272106, 7.20928050]
    np.testing.assert_allclose(found.lower, lower, rtol=1e-6)
    np.testing.assert_allclose(found.upper, upper, rtol=1e-6)
    np.testing.assert_allclose(found.std_error, [1.55, 0.040, 0.78, 1.49], rtol=0.02)
    np.testing.assert_allclose(found.p_value, [0.0091, 0.3875, 2.507e-5, 0.0042], rtol=0.01)
    assert found.names == ["x0", "x1", "x2", "intercept"]


def test_statistic_keeps_the_prior_of_the_full_model():
    """By the formula: the determinant is of all columns also where a coefficient is held at zero."""
    ones = np.array([[0.0], [0.0], [1.0], [1.0]])
    X, y = np.repeat(ones, (7, 2, 3, 9), axis=0), np.repeat([0, 1, 0, 1], (7, 2, 3, 9))
    found = profile_intervals(firth().fit(X, y), X, y)

    def penalised(odds, other):
        """Of cells (7, 2) and (3, 9): the determinant is the product of the two groups' variances."""
        p, q = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-other))
        likelihood = 7 * np.log(1 - p) + 2 * np.log(p) + 3 * np.log(1 - q) + 9 * np.log(q)
        return likelihood + 0.5 * np.log(9 * p * (1 - p) * 12 * q * (1 - q))

    full = penalised(np.log(2.5 / 7.5), np.log(9.5 / 3.5))
    # equal groups: the prior of both adds a count to each class
    held = penalised(np.log(12 / 11), np.log(12 / 11))
    assert found.statistic[0] == pytest.approx(2 * (full - held), rel=1e-8)
    assert found.p_value[0] == pytest.approx(chi2.sf(2 * (full - held), 1), rel=1e-7)


@pytest.mark.parametrize("kind", ["poisson", "logistic"])
def test_held_at_a_limit_statsmodels_loses_half_the_quantile(kind, rng):
    """The other coefficients are fitted again by statsmodels with the held part as offset."""
    X, y = counts(rng) if kind == "poisson" else classes(rng)
    model = PoissonRegressor(alpha=0.0, **TIGHT) if kind == "poisson" else LogisticRegression(C=np.inf, **TIGHT)
    family = sm.families.Poisson() if kind == "poisson" else sm.families.Binomial()
    found = profile_intervals(model.fit(X, y), X, y)
    Z = sm.add_constant((X - X.mean(axis=0)) / X.std(axis=0))
    full = sm.GLM(y, Z, family=family).fit(tol=1e-14).llf
    for j in range(3):
        others = np.delete(Z, j + 1, axis=1)
        for value, lost in ((found.lower[j], CUT), (found.upper[j], CUT), (0.0, found.statistic[j])):
            offset = value * (X[:, j] - X[:, j].mean())
            held = sm.GLM(y, others, family=family, offset=offset).fit(tol=1e-14).llf
            assert 2 * (full - held) == pytest.approx(lost, rel=1e-6)


def test_negative_binomial_statistics_are_statsmodels_likelihood_ratios(rng):
    X = (raw_table(rng, 250, 2) - [0, 50]) / [1, 10]
    y = rng.poisson(np.exp(1 + 0.3 * X[:, 0]) * rng.gamma(2.0, 0.5, size=250)).astype(float)
    found = profile_intervals(NegativeBinomialRegressor(alpha=0.0, **TIGHT).fit(X, y), X, y)
    fits = [sm.NegativeBinomial(y, sm.add_constant(Z)).fit(disp=0, method="newton", tol=1e-12) for Z in (X, X[:, :1])]
    assert found.statistic[1] == pytest.approx(2 * (fits[0].llf - fits[1].llf), rel=1e-5)
    assert found.names[-1] == "theta^(-1/2)"
    assert 0 < found.lower[-1] < 0.5**0.5 < found.upper[-1]


def test_intervals_of_a_large_sample_are_walds(rng):
    X = rng.normal(size=(20_000, 2))
    y = rng.poisson(np.exp(1 + 0.1 * X[:, 0])).astype(float)
    found = profile_intervals(PoissonRegressor(alpha=0.0, **TIGHT).fit(X, y), X, y)
    half = np.sqrt(CUT) * found.std_error
    np.testing.assert_allclose((found.upper - found.estimate) / half, 1, rtol=0.01)
    np.testing.assert_allclose((found.estimate - found.lower) / half, 1, rtol=0.01)


def test_units_and_origins_of_columns_change_nothing(rng):
    X, y = classes(rng, 60)
    scale, shift = np.array([1e-4, 1e3, 7.0]), np.array([3.0, -1e4, 1.0])
    found, moved = (profile_intervals(firth().fit(Z, y), Z, y) for Z in (X, X * scale + shift))
    for name in ("estimate", "std_error", "lower", "upper"):
        np.testing.assert_allclose(getattr(moved, name)[:3] * scale, getattr(found, name)[:3], rtol=1e-5)
    np.testing.assert_allclose(moved.statistic[:3], found.statistic[:3], rtol=1e-5)


def test_weights_are_repetitions_and_an_offset_is_moved_along(rng):
    X, y = classes(rng, 60)
    weight, offset = rng.integers(1, 4, size=60), 0.3 * rng.normal(size=60)
    rows = [np.repeat(a, weight, axis=0) for a in (X, y, offset)]
    weighted = profile_intervals(
        firth().fit(X, y, sample_weight=weight, offset=offset), X, y, sample_weight=weight, offset=offset
    )
    repeated = profile_intervals(firth().fit(*rows[:2], offset=rows[2]), *rows[:2], offset=rows[2])
    for name in ("lower", "upper", "std_error", "statistic"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-5)


def test_a_single_parameter_has_its_likelihoods_interval():
    """Of a proportion: Jeffreys' prior adds half a count to each class."""
    y = np.array([1] * 3 + [0] * 8)
    ones = np.ones((11, 1))
    found = profile_intervals(firth(fit_intercept=False).fit(ones, y), ones, y)

    def lost(odds):
        likelihood = lambda t: 3.5 * t - 12 * np.logaddexp(0, t)  # noqa: E731
        return 2 * (likelihood(np.log(3.5 / 8.5)) - likelihood(odds))

    assert lost(found.lower[0]) == pytest.approx(CUT, rel=1e-7)
    assert lost(found.upper[0]) == pytest.approx(CUT, rel=1e-7)
    assert found.statistic[0] == pytest.approx(lost(0.0), rel=1e-7)
    assert found.lower[0] < found.estimate[0] < found.upper[0]


def test_a_higher_level_has_wider_intervals(rng):
    X, y = classes(rng, 60)
    model = firth().fit(X, y)
    narrow, wide = (profile_intervals(model, X, y, level=level) for level in (0.8, 0.99))
    assert (wide.lower < narrow.lower).all()
    assert (wide.upper > narrow.upper).all()
    np.testing.assert_allclose(wide.statistic, narrow.statistic, rtol=1e-6)


def test_a_hypothesis_far_away_has_a_finite_statistic(rng):
    X = rng.normal(size=(3000, 1))
    y = rng.poisson(np.exp(5 + 0.5 * X[:, 0])).astype(float)
    found = profile_intervals(PoissonRegressor(alpha=0.0, **TIGHT).fit(X, y), X, y)
    assert np.isfinite(found.statistic).all()
    assert (found.statistic > 1e4).all()
    assert (found.p_value == 0).all()


@pytest.mark.parametrize("far", [1e2, 1e4, 1e6])
def test_an_intercept_far_from_zero_is_tested_without_overflow(far, rng):
    """The column's mean is so many deviations away: without an intercept there is no room for a slope either."""
    X, y = classes(rng, 60)
    X = X[:, :1] + far
    found = profile_intervals(firth().fit(X, y), X, y)
    assert found.p_value[1] == pytest.approx(found.p_value[0], rel=0.5)


def test_coverage_of_a_design_that_is_often_separated_is_about_its_level(rng):
    X = np.repeat([[0.0], [1.0]], 15, axis=0)
    truth, covered = 1.8, []

    @cache
    def covers(low, high):
        """Of targets with so many ones in each half: all such targets have the same intervals."""
        y = np.concatenate([np.arange(15) < low, np.arange(15) < high]).astype(int)
        found = profile_intervals(firth().fit(X, y), X, y)
        return found.lower[0] <= truth <= found.upper[0]

    for _ in range(40):
        y = (rng.uniform(size=30) < 1 / (1 + np.exp(-(-2.5 + truth * X[:, 0])))).astype(int)
        if np.ptp(y):
            covered.append(covers(y[:15].sum(), y[15:].sum()))
    assert np.mean(covered) >= 0.9


# -- what it needs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 1.5, "95%", None, True])
def test_level_is_between_zero_and_one(level, rng):
    X, y = classes(rng, 30)
    assert_refused("level must be a number between 0 and 1", profile_intervals, firth().fit(X, y), X, y, level=level)


def test_the_table_has_a_row_for_each_parameter():
    X, y = problems.endometrial()
    found = profile_intervals(firth().fit(X, y), X, y, level=0.9)
    headings, *rows = str(found).splitlines()
    assert headings.split() == ["estimate", "std.", "error", "5%", "95%", "chi-squared", "p"]
    assert rows[0].split()[0] == "x0"
    assert float(rows[0].split()[1]) == pytest.approx(found.estimate[0], abs=0.005 * found.std_error[0])
    assert max(map(len, rows)) == len(headings)
    table = found.to_frame()
    assert list(table.index) == found.names
    np.testing.assert_array_equal(table["upper"], found.upper)


def setosa():
    """Separated by petal length; with sepal width held the likelihood has two maxima over the rest."""
    X, y = load_iris(return_X_y=True)
    return X[:, 1:3], (y == 0).astype(int)


def test_the_side_that_is_searched_first_does_not_lead_the_other_astray():
    X, y = setosa()
    found = profile_intervals(firth().fit(X, y), X, y)
    mirrored = profile_intervals(firth().fit(-X, y), -X, y)
    np.testing.assert_allclose(mirrored.lower[:2], -found.upper[:2], rtol=1e-5)
    np.testing.assert_allclose(mirrored.upper[:2], -found.lower[:2], rtol=1e-5)
    np.testing.assert_allclose(mirrored.upper[2], found.upper[2], rtol=1e-5)


def test_limits_of_a_likelihood_with_two_maxima_against_a_search_from_many_starts():
    X, y = setosa()
    found = profile_intervals(firth().fit(X, y), X, y)
    Z = np.column_stack([X - X.mean(axis=0), np.ones(len(y))])

    def loss(beta):
        eta = Z @ beta
        variance = expit(eta) * expit(-eta)
        sign, log_det = np.linalg.slogdet(Z.T @ (variance[:, None] * Z))
        return -(y @ eta - np.logaddexp(0, eta).sum() + 0.5 * log_det) if sign > 0 else 1e9

    options = {"method": "Nelder-Mead", "options": {"xatol": 1e-8, "fatol": 1e-11, "maxiter": 5000}}
    best = minimize(loss, [3, -3, -3], **options).fun
    for limit in (found.lower[0], found.upper[0]):
        starts = [[-3, -5], [-6, -9], [-8, -12], [-11, -18]]
        held = min(minimize(lambda w, b=limit: loss([b, *w]), start, **options).fun for start in starts)
        assert 2 * (held - best) == pytest.approx(CUT, abs=1e-4)


def test_of_theta_zero_is_the_edge():
    """Its profile is even: a lower limit is not mirrored at zero, and the test is of a boundary (Self & Liang 1987)."""
    below = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(150, 1))
        y = rng.poisson(np.exp(1 + 0.3 * X[:, 0])).astype(float)
        model = NegativeBinomialRegressor(alpha=0.0, **TIGHT).fit(X, y)
        found = profile_intervals(model, X, y, parameters=["theta^(-1/2)"])
        assert found.lower[0] == 0 < found.upper[0]
        if np.isinf(model.theta_):
            assert (found.estimate[0], found.p_value[0]) == (0, 1)
            assert np.isnan(found.std_error[0])
            continue
        below += 1
        poisson = sm.GLM(y, sm.add_constant(X), family=sm.families.Poisson()).fit(tol=1e-14)
        likelihood = nbinom.logpmf(y, model.theta_, model.theta_ / (model.theta_ + model.predict(X))).sum()
        lost = 2 * (likelihood - poisson.llf)
        assert found.statistic[0] == pytest.approx(lost, rel=1e-4, abs=1e-6)
        assert found.p_value[0] == pytest.approx(chi2.sf(lost, 1) / 2, rel=1e-4)
    assert 0 < below < 4


def test_a_tolerance_does_not_pass_for_the_optimum():
    """Of a loose fit the statistics were those of another point, and p-values of one."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(4000, 3))
    y = (rng.random(4000) < 1 / (1 + np.exp(0.3 - X[:, 0]))).astype(int)
    loose = LogisticRegression(C=np.inf, tol=0.1, solver="lbfgs").fit(X, y)
    exact = LogisticRegression(C=np.inf, **TIGHT).fit(X, y)
    assert np.abs(loose.coef_ - exact.coef_).max() > 1e-2
    found, expected = (profile_intervals(model, X, y) for model in (loose, exact))
    for name in ("estimate", "std_error", "lower", "upper", "statistic"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-3, atol=1e-3)
    message = "not at the optimum for these rows"
    assert_refused(message, profile_intervals, loose, X, np.random.default_rng(2).permutation(y))


def test_some_parameters_are_those_of_all(rng):
    X, y = classes(rng)
    model = firth().fit(X, y)
    every, some = profile_intervals(model, X, y), profile_intervals(model, X, y, parameters=["intercept", "x1"])
    assert some.names == ["intercept", "x1"]
    for name in ("estimate", "std_error", "lower", "upper", "statistic", "p_value"):
        np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[[3, 1]])
    for bad in ("x1", ["x9"], []):
        message = "parameters must be a non-empty sequence of names"
        assert_refused(message, profile_intervals, model, X, y, parameters=bad)


def test_a_fit_at_a_local_maximum_is_refused():
    # separated classes; another maximum is at about (0.9, 2.1)
    X = np.array(
        [
            [0.14, 0.85, 0.01, 0.47, 0.67, -1.52, 0.62, -1.0, 0.59, -0.51, 0.53, 0.28]
            + [-0.84, -0.95, -1.12, 1.46, -0.05, -0.42],
            [0.1, 1.74, -0.69, -0.09, 2.86, -5.52, 3.78, -3.25, 0.34, -1.36, 0.66, 0.38]
            + [-2.01, -1.89, -3.34, 2.86, 0.4, -1.07],
        ]
    ).T
    y = np.array([1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0])
    model = firth().fit(X, y)
    assert model.coef_[0, 0] > 3
    assert_refused(r"with x0 held at another value .* which is a local maximum only", profile_intervals, model, X, y)
