"""Tests of several coefficients, contrasts, ratios, comparisons of models, score tests: against statsmodels."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.stats import chi2
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from statsmodels.genmod import families
from statsmodels.stats.outliers_influence import variance_inflation_factor

from sk_hessian.inspection import coef_table, compare_models, laplace, score_test, variance_inflation
from sk_hessian.linear_model import (
    GeneralizedLinearRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
)
from sk_hessian.neural_network import MLPRegressor
from sk_hessian.objectives import SquaredLoss
from tests.estimators import assert_refused, convergence_warnings, target
from tests.inspection.test_coef_table import EXACT, GLMS, data, design, every_glm, fit, glm, table_of

#: "the first two columns are zero", and "the first and twice the second are equal": of three columns and an intercept
BOTH = np.eye(4)[:2]
EQUAL = np.array([[1.0, -2.0, 0.0, 0.0]])

LOGIT = LogisticRegression(C=np.inf)


def repeated(weight, *arrays):
    often = weight.astype(int)
    return [np.repeat(values, often, axis=0) for values in arrays]


def classes(rng):
    """Iris with so much noise that no class is separated."""
    X, y = load_iris(return_X_y=True)
    return X[:, :3], np.where(rng.random(150) < 0.2, rng.integers(0, 3, size=150), y)


def mnlogit(X, y, **options):
    return sm.MNLogit(y, design(X)).fit(disp=0, method="newton", tol=1e-13, **options)


# -- Wald -------------------------------------------------------------------------------------------------------------


@every_glm
@pytest.mark.parametrize("cov", ["expected", "sandwich", "groups"])
def test_wald_and_contrasts_are_those_of_statsmodels(name, cov, rng):
    X, y, weight, groups = data(name, rng)
    model = fit(GLMS[name][0], X, y, weight)
    ours = {"cov_groups": groups} if cov == "groups" else {"cov": cov}
    table = coef_table(model, X, y, sample_weight=weight, **ours)
    X, y, groups = repeated(weight, X, y, groups)
    theirs = {
        "expected": {},
        "sandwich": {"cov_type": "HC0", "method": "newton", "use_t": False},
        "groups": {"cov_type": "cluster", "cov_kwds": {"groups": groups}, "method": "newton", "use_t": True},
    }
    theirs = glm(name, X, y, **theirs[cov])
    is_f = table.distribution == "t"
    for terms, R in ((["x0", "x1"], BOTH), (EQUAL, EQUAL), ("*", np.eye(4)[:3]), ("x2", np.eye(4)[[2]])):
        test, expected = table.wald(terms), theirs.wald_test(R, use_f=is_f, scalar=True)
        assert test.statistic == pytest.approx(expected.statistic, rel=1e-6)
        assert test.p_value == pytest.approx(expected.pvalue, rel=1e-4, abs=1e-12)
        assert (test.distribution, test.df, test.df_num) == ("F" if is_f else "chi2", len(R), len(R))
        assert test.df_denom == (16 if cov == "groups" else table.df)
    R = np.vstack([EQUAL, [[0.5, 0, 0, 1]]])
    rows, expected = table.contrast(R, value=[0.0, 1.0]), theirs.t_test((R, [0.0, 1.0]))
    for field, values in (("estimate", expected.effect), ("std_error", expected.sd), ("statistic", expected.tvalue)):
        np.testing.assert_allclose(getattr(rows, field), np.ravel(values), **EXACT)
    np.testing.assert_allclose(np.stack([rows.lower, rows.upper], axis=1), expected.conf_int(), **EXACT)
    np.testing.assert_allclose(rows.p_value, expected.pvalue, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(rows.covariance, R @ table.covariance @ R.T, rtol=1e-12)
    wanted = theirs.wald_test((R, [0.0, 1.0]), use_f=is_f, scalar=True)
    assert table.wald(R, value=[0.0, 1.0]).statistic == pytest.approx(wanted.statistic, rel=1e-6)


def test_f_of_all_columns_is_that_of_ols(rng):
    X, y, _, _ = data("LinearRegression", rng)
    test = coef_table(fit(LinearRegression(), X, y), X, y).wald("*")
    theirs = sm.OLS(y, design(X)).fit()
    assert [test.statistic, test.p_value] == pytest.approx([theirs.fvalue, theirs.f_pvalue], rel=1e-6)
    assert (test.df_num, test.df_denom) == (3, len(y) - 4)


def test_a_negative_binomial_has_the_tests_of_statsmodels(rng):
    X = table_of(rng)
    y, exposure = target("NegativeBinomialRegressor", X, rng), rng.uniform(0.5, 2, size=len(X))
    offset = np.log(exposure)
    large, small = (fit(NegativeBinomialRegressor(alpha=0), X[:, :p], y, offset=offset) for p in (3, 1))
    theirs, less = (
        sm.NegativeBinomial(y, design(X[:, :p]), offset=offset).fit(
            1.01 * np.array([*model.coef_, model.intercept_, 1 / model.theta_]), disp=0, method="newton", tol=1e-13
        )
        for p, model in ((3, large), (1, small))
    )
    table = coef_table(large, X, y, offset=offset)
    R = np.eye(5)[[1, 2]]
    expected = theirs.wald_test(R, use_f=False, scalar=True)
    assert table.wald(["x1", "x2"]).statistic == pytest.approx(expected.statistic, rel=1e-6)
    np.testing.assert_allclose(table.exp().ratio, np.exp(theirs.params[:4]), **EXACT)
    found = compare_models(small, large, X, y, offset=offset, columns=[0])
    assert found.statistic == pytest.approx(2 * (theirs.llf - less.llf), rel=1e-6)
    assert found.df == 2
    np.testing.assert_allclose(found.aic, [6 - 2 * less.llf, 10 - 2 * theirs.llf], rtol=1e-9)
    for call in (table.wald, table.contrast):
        assert_refused(r"zero is the edge of what theta\^\(-1/2\) may be.*profile_intervals", call, np.eye(5)[[4]])
    nothing = score_test(small, X[:, :1], y, X[:, 1:], offset=offset)
    given = sm.GLM(y, design(X[:, :1]), offset=offset, family=families.NegativeBinomial(alpha=1 / small.theta_))
    expected = given.fit(tol=1e-13).score_test(exog_extra=X[:, 1:], observed=False)
    # theirs takes Pearson's dispersion of a given theta as one
    assert nothing.statistic == pytest.approx(expected[0], rel=1e-5)


# -- softmax ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cov", ["expected", "sandwich"])
def test_a_base_class_is_that_of_mnlogit(cov, rng):
    X, y = classes(rng)
    table = coef_table(fit(LogisticRegression(C=np.inf), X, y), X, y, cov=cov)
    theirs = mnlogit(X, y, **({"cov_type": "HC0"} if cov == "sandwich" else {}))
    based = table.against(0)
    # theirs are ordered by class
    order = np.arange(8).reshape(4, 2).T.ravel()
    np.testing.assert_allclose(based.estimate[order], np.ravel(theirs.params.T), **EXACT)
    np.testing.assert_allclose(based.covariance[np.ix_(order, order)], theirs.cov_params(), **EXACT)
    limits = np.reshape(theirs.conf_int(), (8, 2))
    np.testing.assert_allclose(np.stack([based.lower, based.upper], axis=1)[order], limits, **EXACT)
    np.testing.assert_allclose(based.p_value[order], np.ravel(theirs.pvalues.T), rtol=1e-4, atol=1e-12)
    assert based.names[:3] == ["x0 [1]", "x0 [2]", "x1 [1]"]
    assert based.log_likelihood == table.log_likelihood
    assert re.search(r"classes +against 0\n", str(based))
    ratios = based.exp()
    assert ratios.kind == "odds ratio"
    np.testing.assert_allclose(ratios.ratio[order], np.exp(np.ravel(theirs.params.T)), rtol=1e-5)
    np.testing.assert_allclose(np.stack([ratios.lower, ratios.upper], axis=1)[order], np.exp(limits), rtol=1e-5)
    # a feature is the same hypothesis for each base, and for none: one equation less than classes
    R = np.zeros((2, 8))
    R[0, 0] = R[1, 4] = 1
    expected = theirs.wald_test(R, use_f=False, scalar=True)
    for one in (table, based, table.against(2)):
        test = one.wald("x0")
        assert [test.statistic, test.p_value] == pytest.approx([expected.statistic, expected.pvalue], rel=1e-6)
        assert test.df == 2
    assert table.wald(["x0 [0]", "x0 [2]", "x0 [1]", "x1 [2]"]).df == 3
    assert table.wald("*").df == 6
    assert table.wald("* [1]").df == 3
    two = table.contrast({"x0 [1]": 1, "x0 [0]": -1})
    assert two.names == ["- x0 [0] + x0 [1]"]
    assert [two.estimate[0], two.std_error[0]] == pytest.approx([based.estimate[0], based.std_error[0]])
    assert two.exp().ratio[0] == pytest.approx(ratios.ratio[0])


def test_what_a_softmax_refuses(rng):
    X, y = classes(rng)
    y = np.array(["red", "green", "blue"])[y]
    table = coef_table(fit(LogisticRegression(C=np.inf), X, y), X, y)
    assert table.against("red").names[0] == "x0 [blue]"
    assert_refused("'black' is none of the classes: blue, green, red", table.against, "black")
    assert_refused("relative to the class red already", table.against("red").against, "blue")
    assert_refused(r"sum to zero, .*table\.against\(class\) first", table.exp)
    assert_refused(r"sum to zero, .*table\.against\(class\) first", table.contrast({"x0 [red]": 1}).exp)
    assert_refused(r"'x0 \[red\]' is - \(x0 \[green\]\) - \(x0 \[blue\]\)", table.wald, np.eye(12)[[1, 0, 2]])
    assert_refused("is zero whatever the parameters are", table.wald, np.repeat(np.eye(4), 3, axis=1)[:1])
    assert_refused(r"stands for 3 parameters, .* x0 \[blue\], x0 \[green\], x0 \[red\]", table.contrast, {"x0": 1})
    assert_refused("value must be 0 where the classes' coefficients sum to zero", table.wald, "x0", value=1)
    binary = coef_table(fit(LogisticRegression(C=np.inf), X, y == "red"), X, y == "red")
    assert_refused("of at least three; this LogisticRegression has none", binary.against, True)


# -- ratios -----------------------------------------------------------------------------------------------------------

KINDS = {
    "LogisticRegression": ("odds ratio", "odds"),
    "PoissonRegressor": ("rate ratio", "rate"),
    "GammaRegressor": ("ratio", "mean"),
    "TweedieRegressor-log": ("ratio", "mean"),
}


@pytest.mark.parametrize("name", KINDS)
def test_ratios_are_exponentials_with_their_intervals(name, rng):
    X, y, _, _ = data(name, rng)
    table = coef_table(fit(GLMS[name][0], X, y), X, y)
    theirs, ratios = glm(name, X, y), table.exp()
    kind, level = KINDS[name]
    assert ratios.kind == kind
    np.testing.assert_allclose(ratios.ratio, np.exp(theirs.params), rtol=1e-6)
    np.testing.assert_allclose(np.stack([ratios.lower, ratios.upper], axis=1), np.exp(theirs.conf_int()), rtol=1e-6)
    np.testing.assert_allclose(ratios.p_value, table.p_value)
    assert ratios.to_frame().columns.tolist() == [kind, "statistic", "p_value", "lower", "upper"]
    assert f"no ratio, but the {level} where all columns are 0" in str(ratios)
    both = table.contrast({"x0 and x1": {"x0": 1, "x1": 1}}).exp()
    assert both.ratio[0] == pytest.approx(np.exp(theirs.params[:2].sum()))
    assert "where all columns are 0" not in str(both)


def test_ratios_of_other_intervals(rng):
    X, y, _, _ = data("LogisticRegression", rng)
    profile = coef_table(fit(LogisticRegression(C=np.inf), X, y), X, y, cov="profile")
    np.testing.assert_allclose(profile.exp().upper, np.exp(profile.upper))
    posterior = coef_table(fit(LogisticRegression(), X, y), X, y, cov="laplace").exp()
    assert np.isnan(posterior.p_value).all()
    assert " p " not in str(posterior).splitlines()[-5]


@pytest.mark.parametrize("name", ["LinearRegression", "TweedieRegressor-normal", "HuberRegressor"])
def test_an_identity_link_has_no_ratios(name, rng):
    X, y, _, _ = data(name, rng)
    model = HuberRegressor(alpha=0) if name == "HuberRegressor" else GLMS[name][0]
    table = coef_table(fit(model, X, y), X, y)
    assert_refused(f"this {type(model).__name__} has the identity link: a coefficient is no logarithm", table.exp)
    assert_refused("has the identity link", table.contrast({"x0": 1}).exp)


# -- what a test is of ------------------------------------------------------------------------------------------------


def frame(rng, n=120):
    """A table as people have it: raw units, indicators of a site, and a count."""
    X = pd.DataFrame({"age": rng.uniform(20, 80, n), "income": rng.lognormal(10, 0.5, n)})
    site = rng.integers(0, 4, size=n)
    for k, label in enumerate("BCD", start=1):
        X[f"site_{label}"] = (site == k).astype(float)
    return X, rng.poisson(np.exp(0.02 * X["age"] - 0.3 * X["site_B"])).astype(float)


def test_terms_are_names_patterns_and_contrasts(rng):
    X, y = frame(rng)
    table = coef_table(fit(PoissonRegressor(alpha=0), X, y), X, y)
    sites = table.wald("site_*")
    assert sites.hypothesis == ["site_B = 0", "site_C = 0", "site_D = 0"]
    for same in (
        ["site_B", "site_C", "site_D"],
        ("site_D", "site_*"),
        np.array(["site_B", "site_C", "site_D"]),
        (name for name in ("site_B", "site_C", "site_D")),
        X.columns[2:],
        {"b": pd.Series({"site_C": 1.0, "site_B": 2.0}), "c": {"site_C": 2}, "d": pd.Series({"site_D": 1.0})},
        np.eye(6)[2:5],
        {"a": {"site_B": 2}, "b": {"site_C": 1, "site_B": 1}, "c": [0, 0, 0, 0, 3, 0]},
        [{"site_B": 1}, {"site_C": 1}, {"site_D": -1}],
        pd.DataFrame(np.eye(3), columns=["site_D", "site_C", "site_B"]),
    ):
        test = table.wald(same)
        assert (test.df, test.statistic) == (3, pytest.approx(sites.statistic, rel=1e-9))
    np.testing.assert_array_equal(
        table.contrast(pd.DataFrame({"site_C": [1.0], "age": [2.0]}, index=["both"])).contrasts, [[2, 0, 0, 1, 0, 0]]
    )
    reverse = pd.Series(np.arange(6.0), index=table.names[::-1])
    np.testing.assert_array_equal(table.contrast(reverse).contrasts, [np.arange(6.0)[::-1]])
    named = table.contrast({"B - C": {"site_B": 1, "site_C": -1}, "age": {"age": 10}})
    assert named.names == ["B - C", "age"]
    assert named.to_frame().index.tolist() == named.names
    assert table.contrast(np.array([0, 0, 1, -1, 0, 0])).names == ["site_B - site_C"]
    assert table.wald(["age", "intercept"]).df == 2


BAD_TERMS = {
    "unknown": ("site_E", "no parameter is called 'site_E'. Did you mean 'site_"),
    "nothing matches": ("shop_*", r"no feature matches 'shop_\*'. The features are age, income, site_B"),
    "another intercept": ("const", "no parameter is called 'const'. The intercept is called 'intercept'"),
    "no term": ([], "there is no term"),
    "dependent": (
        [{"site_B": 1}, {"site_C": 1}, {"site_B": 1, "site_C": -2}],
        r"'site_B - 2 site_C' is \(site_B\) - 2 ",
    ),
    "zero": ([{"age": 0.0}], "'0' is zero whatever the parameters are"),
    "one twice": (np.eye(6)[[0, 0]], r"the rows are dependent, 'age' is \(age\)"),
    "shape": (np.eye(5), r"one column for each of the 6 parameters \(age, income, site_B"),
    "nan": (np.full((1, 6), np.nan), "must be finite numbers"),
    "coefficient": ({"site_B": np.inf}, "coefficient of 'site_B' must be a finite number, got inf"),
    "text": ({"B": {"site_B": "1"}}, "coefficient of 'site_B' must be a finite number, got '1'"),
    "name in a row": ({"B": {"site": 1}}, "no parameter is called 'site'. Did you mean"),
    "mixed": (["age", 3], "a term is the name of a parameter"),
    "bools": (np.ones(6, dtype=bool), "got an array of bool"),
    "number": (3, "one column for each of the 6 parameters"),
}


@pytest.mark.parametrize("case", BAD_TERMS)
def test_terms_that_mean_nothing_are_named(case, rng):
    terms, message = BAD_TERMS[case]
    X, y = frame(rng)
    table = coef_table(fit(PoissonRegressor(alpha=0), X, y), X, y)
    assert_refused(message, table.wald, terms, error=(ValueError, TypeError))


def test_values_intercepts_and_names_that_are_not_clear(rng):
    X, y = frame(rng)
    table = coef_table(fit(PoissonRegressor(alpha=0, fit_intercept=False), X, y), X, y)
    assert_refused("The model has no intercept", table.wald, "intercept")
    assert_refused("value must be a finite number, or 3 of them", table.wald, "site_*", value=[1, 2])
    X = X.rename(columns={"income": "intercept"})
    table = coef_table(fit(PoissonRegressor(alpha=0), X, y), X, y)
    assert_refused("2 parameters are called 'intercept': rename the column", table.wald, "intercept")


def test_what_tables_have_no_wald_test(rng):
    X, y, _, groups = data("LogisticRegression", rng)
    profile = coef_table(fit(LogisticRegression(C=np.inf, jeffreys=True), X, y), X, y)
    assert_refused("by the profile of the likelihood.*cov='expected'", profile.wald, "x0")
    assert_refused("by the profile of the likelihood.*cov='expected'", profile.contrast, EQUAL)
    posterior = coef_table(fit(LogisticRegression(), X, y), X, y, cov="laplace")
    assert_refused("is a posterior, which tests no hypothesis. Use cov='sandwich'", posterior.wald, "x0")
    rows = posterior.contrast(EQUAL)
    assert np.isnan(rows.p_value).all()
    assert rows.std_error[0] == pytest.approx(np.sqrt(EQUAL[0] @ posterior.covariance @ EQUAL[0]))
    assert " p " not in str(rows).splitlines()[-2]
    penalised = coef_table(fit(LogisticRegression(), X, y), X, y).wald("x0")
    assert "the penalised population parameters" in str(penalised)
    few = coef_table(fit(LogisticRegression(C=np.inf), X, y), X, y, cov_groups=groups % 3)
    assert_refused("at most 2 dimensions, the groups less one", few.wald, "*")
    assert few.wald(["x0", "x1"]).df_denom == 2


def test_several_targets_have_a_dispersion_each(rng):
    X = table_of(rng)
    Y = X[:, [0, 1]] + rng.normal(size=(150, 2)) * [1, 3]
    both = fit(LinearRegression(), X, Y)
    table, alone = coef_table(both, X, Y), coef_table(fit(LinearRegression(), X, Y[:, 1]), X, Y[:, 1])
    assert table.wald(["x0 [1]", "x2 [1]"]).statistic == pytest.approx(alone.wald(["x0", "x2"]).statistic)
    assert table.wald("* [1]").p_value == pytest.approx(alone.wald("*").p_value)
    assert_refused("of several targets, each of which has its own dispersion.*cov='sandwich'", table.wald, "x0")
    assert_refused("of several targets", table.contrast, {"x0 [0]": 1, "x0 [1]": -1})
    assert coef_table(both, X, Y, cov="sandwich").wald("x0").df == 2
    assert_refused("compare_models .large. is for one target", compare_models, None, both, X, Y)
    assert_refused("score_test is for one target", score_test, both, X, Y, X[:, 0] ** 2)
    np.testing.assert_allclose(
        variance_inflation(both, X, Y).gvif, variance_inflation(LinearRegression().fit(X, Y[:, 0]), X, Y[:, 0]).gvif
    )


def test_units_and_zeros_of_columns_do_not_matter(rng):
    X, y, _, _ = data("PoissonRegressor", rng)
    scale, shift = np.array([1e-6, 1.0, 1e6]), np.array([1e-3, 2000.0, -1e8])
    raw = X * scale + shift
    plain, other = (coef_table(fit(PoissonRegressor(alpha=0), Z, y), Z, y) for Z in (X, raw))
    for terms in ("*", ["x0", "x2"], "x1"):
        assert other.wald(terms).statistic == pytest.approx(plain.wald(terms).statistic, rel=1e-6)
    rows = np.array([[scale[0], -scale[1], 0, 0]])
    assert other.contrast(rows).statistic[0] == pytest.approx(plain.contrast([[1, -1, 0, 0]]).statistic[0], rel=1e-6)
    # the prediction at a mean far from zero: what is left of large terms is nothing but rounding
    Z = X[:, :1] + 1e9
    table = coef_table(fit(PoissonRegressor(alpha=0), Z, y), Z, y)
    assert_refused("the variance is lost to rounding: centre the columns", table.contrast, [[1e9, 1.0]])
    assert_refused("singular to working precision along .*not centred", table.wald, ["x0", "intercept"])
    np.testing.assert_allclose(
        variance_inflation(PoissonRegressor(alpha=0, tol=1e-9).fit(raw, y), raw, y).gvif,
        variance_inflation(PoissonRegressor(alpha=0, tol=1e-9).fit(X, y), X, y).gvif,
        rtol=1e-5,
    )


def test_a_column_that_no_row_tells_of_has_no_test(rng):
    X, y, _, _ = data("LinearRegression", rng)
    X[:, 1] = 7.0
    table = coef_table(fit(Ridge(), X, y), X, y)
    assert_refused("of 'x1' the variance is 0: no row tells of it", table.wald, ["x0", "x1"])


# -- comparison of models ---------------------------------------------------------------------------------------------


@every_glm
@pytest.mark.parametrize("meaning", ["frequency", "analytic"])
def test_nested_models_are_compared_as_in_statsmodels(name, meaning, rng):
    X, y, weight, _ = data(name, rng)
    weight = weight if meaning == "frequency" else weight / 1.7
    theirs_of = "freq_weights" if meaning == "frequency" else "var_weights"
    models = [fit(GLMS[name][0], X[:, :p], y, weight) for p in (1,)]
    large = fit(type(models[0])(**models[0].get_params()), X, y, weight)
    less, theirs = (glm(name, X[:, :p], y, {theirs_of: weight}) for p in (1, 3))
    found = compare_models(models[0], large, X, y, sample_weight=weight, columns=[0], weights=meaning)
    lost = less.deviance - theirs.deviance
    if found.test == "F":
        # as anova of R does: by the dispersion of the large model
        expected = lost / 2 / theirs.scale
        assert found.df_denom == theirs.df_resid
    else:
        expected = lost
        assert found.p_value == pytest.approx(chi2.sf(lost, 2), rel=1e-5)
    assert found.statistic == pytest.approx(expected, rel=1e-6)
    assert (found.df, found.df_num) == (2, 2)
    np.testing.assert_allclose(found.log_likelihood, [less.llf, theirs.llf], rtol=1e-6)
    np.testing.assert_allclose(found.aic, [less.aic, theirs.aic], rtol=1e-6)
    np.testing.assert_allclose(found.bic, [less.bic_llf, theirs.bic_llf], rtol=1e-6)
    assert (found.test == "F") == large.fitted_objective(X, y, weight)[0].loss.family.has_dispersion


def test_least_squares_are_compared_by_f_and_classes_by_likelihood(rng):
    X, y, weight, _ = data("LinearRegression", rng)
    for w, theirs_of in ((None, sm.OLS), (weight / 1.7, lambda y, X: sm.WLS(y, X, weights=weight / 1.7))):
        small, large = (fit(LinearRegression(), X[:, p], y, w) for p in ([2, 0], slice(None)))
        less, theirs = (theirs_of(y, design(X[:, p])).fit() for p in ([2, 0], slice(None)))
        found = compare_models(small, large, X, y, sample_weight=w, columns=[2, 0], weights="analytic")
        expected = theirs.compare_f_test(less)
        assert [found.statistic, found.p_value, found.df] == pytest.approx(expected, rel=1e-6)
        assert found.hypothesis == "x1 = 0"
        alone = compare_models(None, large, X, y, sample_weight=w, weights="analytic")
        assert alone.hypothesis == "x0 = 0, x1 = 0, x2 = 0"
        assert [alone.statistic, alone.p_value] == pytest.approx([theirs.fvalue, theirs.f_pvalue], rel=1e-6)
    X, y = classes(rng)
    small, large = (fit(LogisticRegression(C=np.inf), X[:, :p], y) for p in (1, 3))
    less, theirs = mnlogit(X[:, :1], y), mnlogit(X, y)
    found = compare_models(small, large, X, y, columns=[0])
    assert found.statistic == pytest.approx(2 * (theirs.llf - less.llf), rel=1e-6)
    assert found.df == 4
    alone = compare_models(None, large, X, y)
    assert [alone.statistic, alone.p_value] == pytest.approx([theirs.llr, theirs.llr_pvalue], rel=1e-6)
    y = (y > 0).astype(float)
    small, large = (fit(LogisticRegression(C=np.inf), X[:, :p], y) for p in (1, 3))
    theirs, less = (sm.Logit(y, design(X[:, :p])).fit(disp=0, tol=1e-13) for p in (3, 1))
    found = compare_models(small, large, X, y, columns=[True, False, False])
    assert found.hypothesis == "x1 = 0, x2 = 0"
    assert found.statistic == pytest.approx(2 * (theirs.llf - less.llf), rel=1e-6)
    assert compare_models(None, large, X, y).statistic == pytest.approx(theirs.llr, rel=1e-6)


def test_a_loose_tolerance_does_not_enter_the_statistic(rng):
    X, y, _, _ = data("PoissonRegressor", rng)
    exact, loose = (
        compare_models(*(PoissonRegressor(alpha=0, tol=tol).fit(X[:, :p], y) for p in (1, 3)), X, y, columns=[0])
        for tol in (1e-9, 1e-3)
    )
    assert loose.statistic == pytest.approx(exact.statistic, rel=1e-6)


def test_frames_find_their_columns_and_pipelines_take_raw_ones(rng):
    X, y = frame(rng)
    X["site"] = np.select([X[f"site_{label}"] == 1 for label in "BCD"], list("BCD"), "A")
    offset, weight = rng.uniform(0, 1, len(X)), rng.integers(1, 4, len(X)).astype(float)
    rows = {"sample_weight": weight, "offset": offset}
    parts = {f"poissonregressor__{name}": values for name, values in rows.items()}
    numbers = ["age", "income"]
    plain = PoissonRegressor(alpha=0, tol=1e-9).fit(X[["income", "age"]], y, **rows)
    full = PoissonRegressor(alpha=0, tol=1e-9).fit(X[[*numbers, "site_B", "site_C", "site_D"]], y, **rows)
    direct = compare_models(plain, full, X, y, **rows)
    assert direct.df == 3
    assert "site_B = 0, site_C = 0, site_D = 0" in str(direct)

    def chain(encoded):
        steps = [(StandardScaler(), numbers), *[(OneHotEncoder(drop="first"), ["site"])] * encoded]
        return make_pipeline(make_column_transformer(*steps), PoissonRegressor(alpha=0, tol=1e-9)).fit(X, y, **parts)

    small, large = chain(False), chain(True)
    for found in (compare_models(small, large, X, y, **rows), compare_models(plain, large, X, y, **rows)):
        assert (found.df, found.statistic) == (3, pytest.approx(direct.statistic, rel=1e-6))
    alone = compare_models(None, full, X, y, **rows)
    assert (alone.df, alone.hypothesis) == (5, "age = 0, income = 0, site_B = 0, site_C = 0, site_D = 0")
    assert compare_models(None, large, X, y, **rows).statistic == pytest.approx(alone.statistic, rel=1e-6)
    scores = [score_test(model, X, y, ["site_B", "site_C", "site_D"], **rows) for model in (small, plain)]
    assert scores[0].statistic == pytest.approx(scores[1].statistic, rel=1e-6)
    assert scores[0].names == ["site_B", "site_C", "site_D"]
    table = coef_table(large, X, y, **rows)
    assert table.wald("onehotencoder__site_*").df == 3
    assert table.exp().names[0] == "standardscaler__age"
    groups = variance_inflation(large, X, y, terms={"site": "onehot*", "age": "standardscaler__age"}, **rows)
    expected = variance_inflation(full, X[full.feature_names_in_], y, terms=["site_*", "age"], **rows)
    np.testing.assert_allclose(groups.gvif, expected.gvif, rtol=1e-6)
    assert groups.names == ["site", "age"]
    sparse = compare_models(
        fit(PoissonRegressor(alpha=0), sp.csr_array(X[numbers]), y),
        fit(PoissonRegressor(alpha=0), sp.csr_array(X[[*numbers, "site_B"]]), y),
        sp.csr_array(X[[*numbers, "site_B"]]),
        y,
        columns=[0, 1],
    )
    assert sparse.df == 1


def test_columns_that_depend_on_each_other_count_once(rng):
    X, y, _, _ = data("LinearRegression", rng)
    more = np.column_stack([X, X[:, 0] + X[:, 1]])
    large, _ = convergence_warnings(lambda: fit(LinearRegression(), more, y))
    small = fit(LinearRegression(), X[:, :1], y)
    found = compare_models(small, large, more, y, columns=[0])
    plain = compare_models(small, fit(LinearRegression(), X, y), X, y, columns=[0])
    assert [found.df, found.df_denom, found.statistic] == pytest.approx([2, len(y) - 4, plain.statistic], rel=1e-8)


def test_penalised_models_are_compared_by_their_evidence(rng):
    X, y, weight, _ = data("PoissonRegressor", rng)
    small, large = (PoissonRegressor(alpha=0.1, tol=1e-8).fit(X[:, :p], y, weight) for p in (1, 3))
    found = compare_models(small, large, X, y, sample_weight=weight, columns=[0])
    evidence = [laplace(model, X[:, :p], y, sample_weight=weight).log_evidence for model, p in ((small, 1), (large, 3))]
    np.testing.assert_allclose(found.log_evidence, evidence)
    assert (found.test, found.statistic, found.df, found.p_value) == ("evidence", None, None, None)
    assert "none: the fits are penalised" in str(found)
    assert 2 < found.effective_df[1] < 4
    unpenalised = PoissonRegressor(alpha=0).fit(X[:, :1], y, weight)
    rows = (X, y)
    options = {"sample_weight": weight, "columns": [0]}
    assert_refused("one fit has a penalty and the other none", compare_models, unpenalised, large, *rows, **options)
    assert_refused("which has no penalty to compare", compare_models, None, large, *rows, sample_weight=weight)


def test_models_that_cannot_be_compared_say_why(rng):
    X, y, weight, _ = data("LogisticRegression", rng)
    noise = rng.normal(size=len(y))
    F = pd.DataFrame(np.column_stack([X, noise]), columns=[*"abc", "d"])

    def logit(columns, **options):
        rows = {name: options.pop(name) for name in ("sample_weight",) if name in options}
        return LogisticRegression(**({"C": np.inf} | options)).fit(F[list(columns)], y, **rows)

    small, large = logit("ab"), logit("abc")

    def refused(message, small, large, X=F, y=y, error=ValueError, **options):
        assert_refused(message, compare_models, small, large, X, y, error=error, **options)

    refused("the models are not nested: .*d is not in the large one", logit("ad"), large)
    refused("no more free parameters than the small one", large, large)
    refused(r"not nested.*c is not in the large one", large, small)
    refused(r"compare_models \(large\): this LogisticRegression is not at the optimum", small, large, F[:100], y[:100])
    part = LogisticRegression(C=np.inf).fit(F[list("ab")][:100], y[:100])
    refused(r"compare_models \(small\).*is not at the optimum for these rows", part, large)
    refused(r"compare_models \(small\).*is not at the optimum", logit("ab", sample_weight=weight), large)
    refused(r"compare_models \(large\).*is not at the optimum", small, large, sample_weight=weight)
    refused("not nested: X has no column z", LogisticRegression(C=np.inf).fit(F.rename(columns={"a": "z"}), y), large)
    refused("large.: X has no column c", small, large, F[["a", "b"]])
    arrays = LogisticRegression(C=np.inf).fit(X[:, :2], y), LogisticRegression(C=np.inf).fit(X, y)
    refused("columns must say which columns of X the small model was fitted on: it has 2, X has 3", *arrays, X)
    refused("it has 2, columns has 1", *arrays, X, columns=[0])
    refused("columns must be different positions from 0 to 2", *arrays, X, columns=[0, 5])
    refused("columns are names, and X has none", *arrays, X, columns=["a", "b"])
    refused("compare_models .small.: this LogisticRegression is not at the optimum", *arrays, X, columns=[0, 2])
    refused("the large model has no intercept", None, logit("abc", fit_intercept=False))
    refused("not nested.*intercept is not in the large one", small, logit("abc", fit_intercept=False))
    refused("the losses differ, SquaredLoss.* and BinaryCrossEntropy", LinearRegression().fit(F[["a"]], y), large)
    refused(
        "class_weight leaves only a pseudo-likelihood: use coef_table.*wald",
        *(logit(c, class_weight={1: 2.0}) for c in ("ab", "abc")),
    )
    refused("not for jeffreys=True: .*profile_intervals", *(logit(c, jeffreys=True) for c in ("ab", "abc")))
    refused("weights must be one of", small, large, weights="wild")
    refused(
        "needs a likelihood, which this loss does not have",
        *(fit(HuberRegressor(alpha=0), F[list(c)], X[:, 0] + noise) for c in ("bd", "bcd")),
        y=X[:, 0] + noise,
    )
    separated = (X[:, 2] > -1).astype(int)
    bad, _ = convergence_warnings(lambda: LogisticRegression(C=np.inf).fit(F[list("abc")], separated))
    refused('large.*needs a fit with the verdict "optimal". This one: separated', None, bad, y=separated)
    network = MLPRegressor(hidden_layer_sizes=(2,), activation="relu", max_iter=3, random_state=0)
    convergence_warnings(lambda: network.fit(F, noise))
    refused("is for linear models, not for MLPRegressor", None, network, y=noise, error=TypeError)


def test_a_saturated_model_leaves_no_dispersion(rng):
    X, y = rng.normal(size=(6, 5)), rng.normal(size=6)
    small, large = fit(LinearRegression(), X[:, :1], y), fit(LinearRegression(), X, y)
    assert_refused(
        "large.: 6 observations for 6 effective parameters leave none", compare_models, small, large, X, y, columns=[0]
    )
    assert_refused("6 observations for 6 effective parameters leave none", score_test, large, X, y, X[:, 0] ** 2)
    perfect = fit(LinearRegression(), X[:, :1], X[:, 0])
    assert_refused("the fit is perfect", compare_models, None, perfect, X[:, :1], X[:, 0])
    X, counts = rng.normal(size=(40, 2)), np.full(40, 3.0)
    limit = NegativeBinomialRegressor(alpha=0).fit(X[:, :1], counts)
    assert_refused("no overdispersion", score_test, limit, X[:, :1], counts, X[:, 1])
    assert_refused("no overdispersion", compare_models, None, limit, X[:, :1], counts)


def test_another_loss_of_the_same_family_is_compared(rng):
    X, y, _, _ = data("LinearRegression", rng)
    large = fit(GeneralizedLinearRegressor(SquaredLoss(1), alpha=0), X, y)
    # strength on no column is no penalty
    small = fit(Ridge(alpha=1.0, penalty_weights=[0, 0]), X[:, :2], y)
    expected = compare_models(*(fit(LinearRegression(), X[:, :p], y) for p in (2, 3)), X, y, columns=[0, 1])
    assert compare_models(small, large, X, y, columns=[0, 1]).statistic == pytest.approx(expected.statistic)
    through_zero = fit(LinearRegression(fit_intercept=False), X, y)
    assert compare_models(through_zero, large, X, y).hypothesis == "intercept = 0"
    assert compare_models(None, fit(Ridge(alpha=1.0, penalty_weights=[0, 0, 0]), X, y), X, y).df == 3


# -- score tests ------------------------------------------------------------------------------------------------------


@every_glm
def test_score_tests_are_those_of_statsmodels(name, rng):
    X, y, weight, _ = data(name, rng)
    Z = np.column_stack([X[:, 1:], X[:, 0] ** 2 * 1e6 + 1e9])
    model = fit(GLMS[name][0], X[:, :1], y, weight)
    found = score_test(model, X[:, :1], y, Z, sample_weight=weight)
    precise = score_test(model, X[:, :1], y, Z, sample_weight=weight, weights="analytic")
    scale = glm(name, X[:, :1], y, {"var_weights": weight}).scale
    assert precise.statistic * scale == pytest.approx(found.statistic * found.dispersion, rel=1e-6)
    X, y, Z = repeated(weight, X, y, Z)
    theirs = glm(name, X[:, :1], y)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    expected = theirs.score_test(exog_extra=Z, observed=False)
    assert [found.statistic, found.p_value] == pytest.approx(np.ravel(expected[:2]), rel=1e-6)
    assert found.df == 3
    each = [theirs.score_test(exog_extra=Z[:, [j]], observed=False)[:2] for j in range(3)]
    np.testing.assert_allclose(
        np.column_stack([found.column_statistic, found.column_p_value]), np.reshape(each, (3, 2)), rtol=1e-6
    )
    assert found.dispersion == pytest.approx(theirs.scale, rel=1e-6)
    assert found.to_frame().index.tolist() == ["z0", "z1", "z2", "all together"]


def test_score_tests_beside_an_offset_and_of_classes(rng):
    X, y, _, _ = data("PoissonRegressor", rng)
    offset = rng.uniform(0, 1, len(y))
    found = score_test(fit(PoissonRegressor(alpha=0), X[:, :1], y, offset=offset), X[:, :1], y, X[:, 1:], offset=offset)
    theirs = glm("PoissonRegressor", X[:, :1], y, offset=offset).score_test(exog_extra=X[:, 1:], observed=False)
    assert found.statistic == pytest.approx(theirs[0], rel=1e-6)
    X, y = classes(rng)
    found = score_test(fit(LogisticRegression(C=np.inf), X[:, :1], y), X[:, :1], y, X[:, 1:])
    assert (found.df, found.column_df) == (4, 2)
    expected = mnlogit(X[:, :1], y).score_test(exog_extra=X[:, 1:])
    assert found.statistic == pytest.approx(expected[0], rel=1e-6)
    # it needs no more than a few times the root's accuracy of the fit
    loose = score_test(LogisticRegression(C=np.inf, tol=1e-3).fit(X[:, :1], y), X[:, :1], y, X[:, 1:])
    assert loose.statistic == pytest.approx(found.statistic, rel=1e-4)


def test_columns_that_have_no_score_test_are_named(rng):
    X, y = frame(rng)
    model = fit(PoissonRegressor(alpha=0), X[["age", "income"]], y)

    def refused(message, Z, model=model, error=ValueError, **options):
        assert_refused(message, score_test, model, X, y, Z, error=error, **options)

    refused("X has no column 'site_E'.* Did you mean 'site_", ["site_E"])
    refused("age in Z follows from the columns of the model", ["age", "site_B"])
    refused("twice in Z follows from the columns of the model", pd.Series(2 * X["age"] + 3, name="twice"))
    refused("z0 in Z follows from the columns of the model", np.full(len(X), 2.0))
    refused("are dependent along", np.column_stack([X["site_B"], X["site_C"], X["site_B"] + X["site_C"]]))
    refused(r"one row for each of the 120 rows, and columns, got shape \(7, 1\)", np.zeros(7)[:, None])
    refused("z0 has entries that are nan", np.full(len(X), np.nan))
    refused("Z must be columns of numbers", np.full(len(X), "a"))
    refused("is for maximum likelihood, and this Ridge has a penalty", ["site_B"], fit(Ridge(), X[["age"]], y))
    refused("needs a likelihood", ["site_B"], fit(HuberRegressor(alpha=0), X[["age"]], y))
    refused("not at the optimum", ["site_B"], sample_weight=np.arange(1.0, len(X) + 1))
    zero = np.where(np.arange(len(X)) % 2, 0.0, 1.0)
    half = PoissonRegressor(alpha=0, tol=1e-9).fit(X[["age"]], y, zero)
    rows = zero > 0
    there = PoissonRegressor(alpha=0, tol=1e-9).fit(X.loc[rows, ["age"]], y[rows])
    left = score_test(half, X, y, ["site_B"], sample_weight=zero)
    assert left.statistic == pytest.approx(score_test(there, X[rows], y[rows], ["site_B"]).statistic)
    sparse = score_test(model, X, y, sp.csr_array(X[["site_B", "site_C"]]))
    assert sparse.statistic == pytest.approx(score_test(model, X, y, ["site_B", "site_C"]).statistic)


# -- variance inflation -----------------------------------------------------------------------------------------------


def test_variance_inflation_of_least_squares_is_the_classic_one(rng):
    X = table_of(rng)
    X[:, 2] += 0.3 * X[:, 0] - 0.1 * X[:, 1]
    y, weight = X[:, 0] + rng.normal(size=len(X)), rng.uniform(0.5, 2, len(X))
    found = variance_inflation(LinearRegression().fit(X, y), X, y)
    expected = [variance_inflation_factor(design(X), j) for j in range(3)]
    np.testing.assert_allclose(found.gvif, expected, rtol=1e-8)
    np.testing.assert_allclose(found.inflation, np.sqrt(expected), rtol=1e-8)
    W = np.sqrt(weight)[:, None]
    weighted = variance_inflation(LinearRegression().fit(X, y, weight), X, y, sample_weight=weight)
    R = np.linalg.inv((W * design(X)).T @ (W * design(X)))[:3, :3]
    unit = np.sqrt(np.diag(R))
    np.testing.assert_allclose(weighted.gvif, np.diag(np.linalg.inv(R / np.outer(unit, unit))), rtol=1e-8)
    bare = variance_inflation(LinearRegression(fit_intercept=False).fit(X, y), X, y)
    np.testing.assert_allclose(bare.gvif, np.diag(X.T @ X) * np.diag(np.linalg.inv(X.T @ X)), rtol=1e-8)
    assert "columns about zero: the model has no intercept" in str(bare)
    near = np.column_stack([X, X[:, 0] + 1e-5 * rng.normal(size=len(X))])
    strong = variance_inflation(LinearRegression().fit(near, y), near, y)
    left = X[:, 0] - design(near[:, 1:]) @ np.linalg.lstsq(design(near[:, 1:]), X[:, 0])[0]
    assert strong.gvif[0] == pytest.approx(len(X) * X[:, 0].var() / (left @ left), rel=1e-6)


def test_variance_inflation_of_longley(rng):
    """As published for vif of R's package car, and in many textbooks."""
    rows = sm.datasets.longley.load_pandas()
    found = variance_inflation(LinearRegression().fit(rows.exog, rows.endog), rows.exog, rows.endog)
    np.testing.assert_allclose(found.gvif, [135.53244, 1788.51348, 33.61889, 3.58893, 399.15102, 758.98060], rtol=1e-6)


@pytest.mark.parametrize("name", ["LogisticRegression", "PoissonRegressor", "GammaRegressor"])
def test_generalized_variance_inflation_is_its_formula(name, rng):
    X, y, _, _ = data(name, rng)
    found = variance_inflation(fit(GLMS[name][0], X, y), X, y, terms={"two": ["x0", "x2"], "x1": "x1"})
    cov = glm(name, X, y).cov_params()[:3, :3]
    R = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    det = np.linalg.det
    np.testing.assert_allclose(found.gvif, det(R[np.ix_([0, 2], [0, 2])]) / det(R), rtol=1e-6)
    np.testing.assert_allclose(found.df, [2, 1])
    np.testing.assert_allclose(found.inflation, found.gvif ** [1 / 4, 1 / 2])


def test_variance_inflation_that_is_none_is_refused(rng):
    X, y = classes(rng)
    for message, model, Z, t, options in (
        ("a softmax model has one for each class", LogisticRegression(C=np.inf), X, y, {}),
        ("this Ridge has one, which takes part of the inflation away", Ridge(), X, y, {}),
        ("needs a likelihood", HuberRegressor(alpha=0), X, X[:, 0] + y, {}),
        ("must be of columns of X, without the intercept", LinearRegression(), X, y, {"terms": ["intercept"]}),
        ("no parameter is called 'x7'", LinearRegression(), X, y, {"terms": "x7"}),
        ("must name at least one column", LinearRegression(), X, y, {"terms": []}),
    ):
        assert_refused(message, variance_inflation, model.fit(Z, t), Z, t, **options)
    dependent = np.column_stack([X, X[:, 0] - X[:, 1]])
    model, _ = convergence_warnings(lambda: LinearRegression().fit(dependent, y))
    assert_refused("the factor is infinite. Drop such columns", variance_inflation, model, dependent, y)


# -- print ------------------------------------------------------------------------------------------------------------


def test_results_print_as_tables(rng):
    X, y = frame(rng)
    small, large = (fit(PoissonRegressor(alpha=0), X[columns], y) for columns in (["age"], list(X)))
    table = coef_table(large, X, y)
    results = {
        "table": (table, 6),
        "wald": (table.wald("site_*"), None),
        "contrast": (table.contrast({"site_B": 1}), 1),
        "exp": (table.exp(), 6),
        "models": (compare_models(small, large, X, y), 2),
        "score": (score_test(small, X, y, ["site_B"]), 2),
        "inflation": (variance_inflation(large, X, y), 5),
    }
    for name, (result, rows) in results.items():
        text = str(result)
        assert repr(result) == text, name
        assert "np." not in text
        assert "array" not in text
        assert result._repr_html_().count("<table>") == 2
        assert max(map(len, text.splitlines())) <= 120
        if rows is not None:
            assert len(result.to_frame()) == rows
        for field in dataclasses.fields(result):
            assert not isinstance(getattr(result, field.name), np.generic), (name, field.name)
