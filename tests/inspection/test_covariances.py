"""Covariances beyond the sandwich: small samples, two ways of clustering, rows in time, dispersions."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.special import expit
from statsmodels.genmod import families

from sk_hessian.inspection import coef_table, marginal_effects, prediction_table
from sk_hessian.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from sk_hessian.objectives import Blocks
from tests.estimators import UNPENALISED, assert_refused, target

EXACT = {"rtol": 1e-6, "atol": 1e-9}
LOG = families.links.Log()


def rows(rng, n=80):
    X = rng.normal(size=(n, 3)) * [1, 5, 0.2] + [0, 30, -1]
    X[3, 0] = 6.0  # a row of high leverage
    return X


def design(X):
    return np.column_stack([X, np.ones(len(X))])


def least_squares(rng):
    X = rows(rng)
    y = X[:, 0] + rng.normal(size=len(X)) * (1 + np.abs(X[:, 0]))
    return LinearRegression(tol=1e-9).fit(X, y), X, y


def counts(rng):
    """Counts of more variance than Poisson's, in groups of two kinds that share something."""
    X, groups = rows(rng, 400), np.column_stack([rng.integers(0, 20, 400), rng.integers(0, 15, 400)])
    shared = 0.4 * rng.normal(size=20)[groups[:, 0]] + 0.4 * rng.normal(size=15)[groups[:, 1]]
    X[:, 1] += 5 * rng.normal(size=20)[groups[:, 0]]
    X[:, 0] += rng.normal(size=15)[groups[:, 1]]
    y = rng.poisson(np.exp(0.2 * X[:, 0] + 1 + shared))
    return PoissonRegressor(alpha=0, tol=1e-9).fit(X, y), X, y, groups


def assert_same(table, theirs):
    np.testing.assert_allclose(table.std_error, theirs.bse, **EXACT)
    np.testing.assert_allclose(table.covariance, theirs.cov_params(), **EXACT)
    np.testing.assert_allclose(np.stack([table.lower, table.upper], axis=1), theirs.conf_int(), **EXACT)


# -- small samples ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cov", ["HC0", "HC1", "HC2", "HC3"])
def test_small_samples_of_least_squares_are_those_of_statsmodels(cov, rng):
    model, X, y = least_squares(rng)
    use_t = cov != "HC0"
    table = coef_table(model, X, y, cov=cov)
    assert_same(table, sm.OLS(y, design(X)).fit(cov_type=cov, use_t=use_t))
    assert table.distribution == ("t" if use_t else "normal")
    assert table.df == (76 if use_t else np.inf)
    assert table.convention.startswith(cov)
    assert " ".join(table.convention.split()) in " ".join(str(table).split())
    weight = rng.integers(1, 4, size=len(y))
    model.fit(X, y, weight)
    often = np.repeat(np.arange(len(y)), weight)
    table = coef_table(model, X, y, sample_weight=weight, cov=cov)
    assert_same(table, sm.OLS(y[often], design(X)[often]).fit(cov_type=cov, use_t=use_t))
    table = coef_table(model, X, y, sample_weight=weight, cov=cov, weights="analytic")
    assert_same(table, sm.WLS(y, design(X), weights=weight).fit(cov_type=cov, use_t=use_t))


#: name -> mean, its derivative in the predictor, and the variance function
FAMILIES = {
    "LogisticRegression": (expit, lambda m: m * (1 - m), lambda m: m * (1 - m)),
    "PoissonRegressor": (np.exp, lambda m: m, lambda m: m),
    "GammaRegressor": (np.exp, lambda m: m, lambda m: m**2),
}


def by_definition(name, model, X, y, weight, power, factor):
    """Bread, meat and bread in extended precision: working residuals, scaled by what the leverages leave.

    With R's working weights w m'^2 / v and residuals (y - m) / m' (Zeileis 2006), that is vcovHC.
    """
    mean_of, slope_of, variance_of = FAMILIES[name]
    D, w = design(X).astype(np.longdouble), weight.astype(np.longdouble)
    mean = mean_of(X @ np.ravel(model.coef_) + np.ravel(model.intercept_)).astype(np.longdouble)
    slope, variance = slope_of(mean), variance_of(mean)
    working, residual = w * slope**2 / variance, (y - mean) / slope
    # the inverse by elimination, because LAPACK has no such precision
    A = np.hstack([D.T @ (D * working[:, None]), np.eye(4, dtype=np.longdouble)])
    for i in range(4):
        A[i] /= A[i, i]
        for j in set(range(4)) - {i}:
            A[j] -= A[j, i] * A[i]
    bread = A[:, 4:]
    leverage = np.einsum("ni,ij,nj->n", D, bread, D) * working
    meat = D.T @ (D * ((working * residual) ** 2 / (1 - leverage) ** power)[:, None])
    return (factor * bread @ meat @ bread).astype(float)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("cov", "power"), [("HC0", 0), ("HC1", 0), ("HC2", 1), ("HC3", 2)])
def test_small_samples_of_a_glm_are_their_definition(name, cov, power, rng):
    X = rows(rng)
    y = target(name, X, rng)
    y = (y == "yes").astype(float) if name == "LogisticRegression" else y
    weight = rng.uniform(0.5, 2, size=len(y))
    model = UNPENALISED[name].set_params(tol=1e-10).fit(X, y, weight)
    table = coef_table(model, X, y, sample_weight=weight, cov=cov, weights="analytic")
    right = by_definition(name, model, X, y, weight, power, 80 / 76 if cov == "HC1" else 1)
    np.testing.assert_allclose(table.covariance, right, rtol=1e-6, atol=1e-9)
    assert table.distribution == ("t" if name == "GammaRegressor" and cov != "HC0" else "normal")


def test_class_weights_are_taken_as_given(rng):
    X = rows(rng)
    y = (target("LogisticRegression", X, rng) == "yes").astype(float)
    model = LogisticRegression(C=np.inf, class_weight={0: 1.0, 1: 2.5}, tol=1e-10).fit(X, y)
    table = coef_table(model, X, y, cov="HC3")
    right = by_definition("LogisticRegression", model, X, y, 1 + 1.5 * y, 2, 1)
    np.testing.assert_allclose(table.covariance, right, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("cov", ["HC1", "HC2", "HC3", "HAC"])
def test_forms_of_the_same_rows_do_not_matter(cov, rng):
    model, X, y = least_squares(rng)
    table = coef_table(model, X, y, cov=cov)
    for data in (sp.csr_array(X), pd.DataFrame(X), X.astype(np.float32)):
        other = coef_table(LinearRegression(tol=1e-9).fit(data, y), data, y, cov=cov)
        np.testing.assert_allclose(other.std_error, table.std_error, rtol=1e-4 if data is not X else 1e-9)
    far = X * [1e-6, 1e6, 1] + [0, 0, 1e5]
    other = coef_table(LinearRegression(tol=1e-9).fit(far, y), far, y, cov=cov)
    np.testing.assert_allclose(other.std_error[:3] * [1e-6, 1e6, 1], table.std_error[:3], rtol=1e-6)
    Y = np.column_stack([y, 3 * y + X[:, 1] ** 2])
    both = coef_table(LinearRegression(tol=1e-9).fit(X, Y), X, Y, cov=cov)
    np.testing.assert_allclose(both.std_error[::2], table.std_error, rtol=1e-9)


def test_a_row_of_leverage_one_is_named(rng):
    _, X, y = least_squares(rng)
    frame = pd.DataFrame(X, index=[f"row {i}" for i in range(len(X))])
    frame.columns = ["a", "b", "c"]
    frame["alone"] = np.arange(len(X)) == 5
    frame = frame.astype(float)
    model, weight = LinearRegression().fit(frame, y, np.arange(80) > 1), np.arange(80) > 1
    for cov in ("HC2", "HC3"):
        message = rf"cov='{cov}': the leverage of 1 rows is 1 \(row 5\).*Use cov='HC1', or leave these rows out"
        assert_refused(message, coef_table, model, frame, y, sample_weight=weight, cov=cov)
    # of what that row alone determines there is no error, and of the others there is
    table = coef_table(model, frame, y, sample_weight=weight, cov="HC1")
    np.testing.assert_array_equal(np.isnan(table.std_error), [False, False, False, True, False])
    assert "alone has no error here, because one row alone determines a combination with it" in table.convention
    assert_refused("alone has no error in this table", table.wald, "*")
    assert table.wald(["a", "b"]).p_value < 1


# -- groups -----------------------------------------------------------------------------------------------------------


def test_two_ways_of_clustering_are_those_of_statsmodels(rng):
    model, X, y, groups = counts(rng)
    theirs = sm.GLM(y, design(X), family=families.Poisson())
    theirs = theirs.fit(tol=1e-13, cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    labels = pd.DataFrame({"firm": [f"f{g}" for g in groups[:, 0]], "year": groups[:, 1] + 2000})
    for given in (groups, labels):
        table = coef_table(model, X, y, cov_groups=given)
        assert_same(table, theirs)
        assert (table.df, table.cov) == (14, "sandwich")
    assert table.convention.startswith("groups of two kinds, 20 and 15: V1 + V2 - V12, each times G / (G - 1)")
    linear = LinearRegression(tol=1e-9).fit(X, y)
    theirs = sm.OLS(y, design(X)).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert_same(coef_table(linear, X, y, cov_groups=groups), theirs)
    one = coef_table(model, X, y, cov_groups=groups[:, :1])
    np.testing.assert_allclose(one.std_error, coef_table(model, X, y, cov_groups=groups[:, 0]).std_error)
    assert one.convention.startswith("20 groups, times")


def test_a_difference_that_is_not_positive_definite_is_mended_and_named(rng):
    X, y = rows(rng), rng.normal(size=80)
    groups = np.column_stack([np.arange(80) // 20, np.arange(80) % 4])
    model = LinearRegression(tol=1e-9).fit(X, y)
    table = coef_table(model, X, y, cov_groups=groups)
    assert "not positive definite, so that its negative eigenvalues are taken as zero" in " ".join(str(table).split())
    assert np.linalg.eigvalsh(table.covariance)[0] > -1e-12 * np.trace(table.covariance)
    ways = [groups[:, 0], groups[:, 1], groups[:, 0] * 4 + groups[:, 1]]
    V = [coef_table(model, X, y, cov_groups=way).covariance for way in ways]
    raw = V[0] + V[1] - V[2]
    # what is added is positive semi-definite, and no unit of the columns is in it
    assert np.linalg.eigvalsh(table.covariance - raw)[0] > -1e-12 * np.trace(raw)
    unit = np.array([1e-3, 1e3, 1.0])
    other = coef_table(LinearRegression(tol=1e-9).fit(X * unit, y), X * unit, y, cov_groups=groups)
    np.testing.assert_allclose(other.std_error[:3] * unit, table.std_error[:3], rtol=1e-6)


def test_groups_of_one_row(rng):
    model, X, y, groups = counts(rng)
    labels = np.where(np.arange(400) < 390, groups[:, 0], np.arange(400) + 1000)
    assert "30 groups, 10 of them of one row" in coef_table(model, X, y, cov_groups=labels).convention
    message = "every row is a group of its own, so that no row depends on another. Use cov='HC1'"
    assert_refused(message, coef_table, model, X, y, cov_groups=np.arange(400))
    assert_refused(message, coef_table, model, X, y, cov_groups=np.column_stack([groups[:, 0], np.arange(400)]))
    assert_refused("at least two groups", coef_table, model, X, y, cov_groups=groups * [1, 0])


@pytest.mark.parametrize("name", ["least squares", "logistic", "parts"])
def test_a_coefficient_that_one_group_alone_determines_has_no_error(name, rng):
    """As of its own dummy: the fit follows the group, whose residuals say nothing of that."""
    X, groups = rows(rng), np.arange(80) % 9
    D = np.column_stack([X, groups == 4]).astype(float)
    y = X[:, 0] + rng.normal(size=80)
    labels, model = (y > 0).astype(float), LogisticRegression(C=np.inf, tol=1e-9)
    y, model = (labels, model) if name == "logistic" else (y, LinearRegression(tol=1e-9))
    data = (Blocks([(D[:30], y[:30]), (D[30:], y[30:])]), None) if name == "parts" else (D, y)
    table = coef_table(model.fit(*data), *data, cov_groups=groups)
    np.testing.assert_array_equal(np.isnan(table.std_error), [False, False, False, True, False])
    assert "x3 has no error here, because one group alone determines a combination with it" in table.convention
    assert "nan" not in str(table)
    others = [0, 1, 2, 4]
    kept = np.isfinite(table.covariance)
    assert kept[np.ix_(others, others)].all()
    assert kept.sum() == 16
    assert_refused("whatever they are", prediction_table, model, D, *data, cov_groups=groups)
    if name == "least squares":
        assert_refused("does not have all coefficients", marginal_effects, model, D, y, cov=table)
        both = np.column_stack([groups, np.arange(80) % 7])
        assert np.isnan(coef_table(model, D, y, cov_groups=both).std_error[3])
    # each row by itself is followed
    few = PoissonRegressor(alpha=0).fit(X[:4], [1, 2, 3, 1])
    assert_refused("whatever they are", coef_table, few, X[:4], [1, 2, 3, 1], cov="sandwich")


# -- rows in time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lags", [0, 1, 6, 79, None])
def test_newey_west_is_that_of_statsmodels(lags, rng):
    model, X, y = least_squares(rng)
    kwds = {"maxlags": 3 if lags is None else lags, "use_correction": True}
    table = coef_table(model, X, y, cov="HAC") if lags is None else coef_table(model, X, y, cov="HAC", lags=lags)
    assert_same(table, sm.OLS(y, design(X)).fit(cov_type="HAC", cov_kwds=kwds, use_t=True))
    assert f"Bartlett's kernel with {kwds['maxlags']} lags ({'given' if lags is not None else '4 (n / 100)'}" in (
        table.convention.replace("^(2/9), rounded down", "")
    )
    # a row of weight zero is a time without a score
    weight = (rng.random(80) > 0.2).astype(float)
    model.fit(X, y, weight)
    table = coef_table(model, X, y, sample_weight=weight, cov="HAC", lags=kwds["maxlags"], weights="analytic")
    kwds["use_correction"] = False
    theirs = sm.WLS(y, design(X), weights=weight).fit(cov_type="HAC", cov_kwds=kwds)
    n = weight.sum()
    np.testing.assert_allclose(table.covariance, theirs.cov_params() * n / (n - 4), rtol=1e-6, atol=1e-9)


def test_blocks_of_rows_are_one_series(rng):
    """More rows than a block has: the windows reach over the ends."""
    n = 40_000
    X, y = rng.normal(size=(n, 1)), rng.normal(size=n)
    y = y + np.roll(y, 1)
    table = coef_table(LinearRegression(tol=1e-9).fit(X, y), X, y, cov="HAC", lags=5)
    D = np.column_stack([X, np.ones(n)])
    theirs = sm.OLS(y, D).fit(cov_type="HAC", cov_kwds={"maxlags": 5, "use_correction": True}, use_t=True)
    assert_same(table, theirs)


def test_newey_west_of_a_glm_and_of_a_penalised_one(rng):
    model, X, y, _ = counts(rng)
    theirs = sm.GLM(y, design(X), family=families.Poisson())
    theirs = theirs.fit(tol=1e-13, cov_type="HAC", cov_kwds={"maxlags": 3, "use_correction": True})
    assert_same(coef_table(model, X, y, cov="HAC", lags=3), theirs)
    ridge = Ridge(2.0, tol=1e-9).fit(X, y)
    table, plain = coef_table(ridge, X, y, cov="HAC", lags=0), coef_table(ridge, X, y, cov="sandwich")
    np.testing.assert_allclose(table.covariance, plain.covariance * 400 / (400 - plain.effective_df), rtol=1e-9)
    assert table.target.startswith("the penalised population parameters")


# -- dispersion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dispersion", "scale"), [("pearson", "X2"), ("deviance", "dev"), (2.5, 2.5)])
@pytest.mark.parametrize("name", ["PoissonRegressor", "LogisticRegression", "GammaRegressor"])
def test_a_dispersion_is_the_scale_of_statsmodels(dispersion, scale, name, rng):
    X = rows(rng)
    y = target(name, X, rng)
    y = (y == "yes").astype(float) if name == "LogisticRegression" else y
    family = {"PoissonRegressor": families.Poisson(), "LogisticRegression": families.Binomial()}
    model = UNPENALISED[name].set_params(tol=1e-9).fit(X, y)
    table = coef_table(model, X, y, dispersion=dispersion)
    theirs = sm.GLM(y, design(X), family=family.get(name, families.Gamma(LOG)))
    theirs = theirs.fit(tol=1e-13, scale=scale, use_t=isinstance(scale, str))
    assert_same(table, theirs)
    assert table.dispersion == pytest.approx(theirs.scale, rel=1e-8)
    assert table.distribution == ("normal" if dispersion == 2.5 else "t")
    assert table.convention.startswith("dispersion: ")
    of_labels = name == "LogisticRegression" and isinstance(scale, str)
    assert ("labels of single rows do not tell it" in table.convention) == of_labels
    is_quasi = name != "GammaRegressor"
    assert table.convention.endswith("a quasi-likelihood") == is_quasi
    assert (table.log_likelihood is None) == is_quasi == (table.aic is None)
    if not is_quasi:
        assert table.log_likelihood == pytest.approx(theirs.llf, rel=1e-8)
    assert table.deviance == pytest.approx(theirs.deviance, rel=1e-8)


def test_a_dispersion_of_least_squares(rng):
    model, X, y = least_squares(rng)
    default = coef_table(model, X, y)
    for way in ("pearson", "deviance"):
        table = coef_table(model, X, y, dispersion=way)
        np.testing.assert_allclose(table.covariance, default.covariance)
        assert table.log_likelihood == pytest.approx(default.log_likelihood)
    known = coef_table(model, X, y, dispersion=4.0)
    np.testing.assert_allclose(known.covariance, default.covariance * 4 / default.dispersion)
    residual = y - model.predict(X)
    assert known.log_likelihood == pytest.approx(-40 * np.log(8 * np.pi) - residual @ residual / 8)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_what_a_fit_does_not_have_is_named(rng):
    model, X, y, groups = counts(rng)
    cases = {
        "cov='HC3' has no clustered version: use cov='sandwich' with cov_groups": {"cov": "HC3", "cov_groups": groups},
        "cov='HAC' has no clustered version": {"cov": "HAC", "cov_groups": groups},
        "cov='HC1' has no lags: they are for cov='HAC'": {"cov": "HC1", "lags": 2},
        "has no lags: they are for cov='HAC'": {"lags": 2},
        "lags must be an integer of at least 0, got -1": {"cov": "HAC", "lags": -1},
        "lags must be an integer of at least 0, got 1.5": {"cov": "HAC", "lags": 1.5},
        "lags must be an integer of at least 0, got True": {"cov": "HAC", "lags": True},
        "lags must be below the number of rows, 400, got 400": {"cov": "HAC", "lags": 400},
        'dispersion must be "pearson", "deviance", a positive number or None, got 0': {"dispersion": 0},
        "a positive number or None, got nan": {"dispersion": np.nan},
        "a positive number or None, got 'Pearson'": {"dispersion": "Pearson"},
        "cov='sandwich' takes no dispersion: leave it out": {"cov": "sandwich", "dispersion": 2.0},
        r"cov_groups must have one label for each of the 400 rows, got shape \(400, 3\)": {
            "cov_groups": groups[:, [0, 1, 1]]
        },
    }
    for text, options in cases.items():
        assert_refused(text, coef_table, model, X, y, **options)
    message = "coef_table has no argument 'lag'. Did you mean 'lags'"
    assert_refused(message, coef_table, model, X, y, cov="HAC", lag=2, error=TypeError)
    often = np.full(400, 2.0)
    assert_refused("'HAC' needs one row for each time", coef_table, model, X, y, sample_weight=often, cov="HAC")


def test_which_model_has_which_covariance(rng):
    X = rows(rng)
    y = target("PoissonRegressor", X, rng)
    penalised = PoissonRegressor(alpha=0.1).fit(X, y)
    for cov in ("HC1", "HC2", "HC3"):
        assert_refused(f"cov='{cov}' is for fits without a penalty", coef_table, penalised, X, y, cov=cov)
    assert_refused("cov='sandwich' takes no dispersion", coef_table, penalised, X, y, dispersion="pearson")
    assert_refused(r"in inspection.laplace\(dispersion=\)", coef_table, penalised, X, y, cov="laplace", dispersion=2)
    hc0, sandwich = (coef_table(penalised, X, y, cov=cov) for cov in ("HC0", "sandwich"))
    np.testing.assert_allclose(hc0.std_error, sandwich.std_error, rtol=1e-9)
    for name in ("NegativeBinomialRegressor", "HuberRegressor"):
        y = target(name, X, rng)
        model = UNPENALISED[name].fit(X, y)
        assert_refused("cov='HC3' goes by Fisher's information", coef_table, model, X, y, cov="HC3")
        assert (coef_table(model, X, y, cov="HAC").std_error > 0).all()
    y = target("softmax", X, rng)
    classes = UNPENALISED["softmax"].set_params(tol=1e-9).fit(X, y)
    assert_refused("takes no dispersion='pearson' of several classes", coef_table, classes, X, y, dispersion="pearson")
    one, plain = coef_table(classes, X, y, cov="HC1"), coef_table(classes, X, y, cov="sandwich")
    np.testing.assert_allclose(one.covariance, plain.covariance * 80 / 72, rtol=1e-6, atol=1e-12)
    quasi = coef_table(classes, X, y, dispersion=1.7)
    np.testing.assert_allclose(quasi.covariance, 1.7 * coef_table(classes, X, y).covariance)
    firth = LogisticRegression(C=np.inf, jeffreys=True).fit(X, y == "a")
    assert_refused("cov='HC1' needs scores of single rows", coef_table, firth, X, y == "a", cov="HC1")
    assert_refused(
        "takes no dispersion beside Jeffreys' prior", coef_table, firth, X, y == "a", cov="expected", dispersion=2
    )
    few = X[:4]
    model = PoissonRegressor(alpha=0).fit(few[:, :3], [1, 2, 1, 4])
    assert_refused("cov='HC1': 4 rows are too few for 4", coef_table, model, few, [1, 2, 1, 4], cov="HC1")
