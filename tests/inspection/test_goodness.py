"""What the header of a table says of the fit, against statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.genmod import families

from sk_hessian.inspection import coef_table
from sk_hessian.linear_model import (
    GeneralizedLinearRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.objectives import TweedieLoss
from tests.estimators import ESTIMATORS, UNPENALISED, target

SAME = {"rtol": 1e-6}
LOG = families.links.Log()


def table(rng, n=120):
    return rng.normal(size=(n, 3)) * [1, 5, 0.2] + [0, 3, -1]


def fit(model, X, y, *rest, **options):
    return model.set_params(tol=1e-9).fit(X, y, *rest, **options)


def assert_least_squares(ours, theirs):
    np.testing.assert_allclose(
        [ours.r2, ours.adjusted_r2, ours.f_statistic], [theirs.rsquared, theirs.rsquared_adj, theirs.fvalue], **SAME
    )
    np.testing.assert_allclose(ours.f_p_value, theirs.f_pvalue, rtol=1e-5)
    np.testing.assert_allclose(ours.f_df, (theirs.df_model, theirs.df_resid))


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_r2_and_f_of_least_squares(fit_intercept, rng):
    X, weight = table(rng), rng.uniform(0.5, 2, size=120)
    y = target("LinearRegression", X, rng)
    design = sm.add_constant(X) if fit_intercept else X
    model = LinearRegression(fit_intercept=fit_intercept)
    found = coef_table(fit(model, X, y), X, y)
    assert_least_squares(found, sm.OLS(y, design).fit())
    assert ("about the mean" in str(found)) == fit_intercept
    assert found.df_resid == 120 - design.shape[1]
    found = coef_table(fit(model, X, y, weight), X, y, sample_weight=weight, weights="analytic")
    assert_least_squares(found, sm.WLS(y, design, weights=weight).fit())
    often = rng.integers(1, 4, size=120)
    found = coef_table(fit(model, X, y, often), X, y, sample_weight=often)
    assert_least_squares(found, sm.OLS(np.repeat(y, often), np.repeat(design, often, axis=0)).fit())
    robust = coef_table(model, X, y, sample_weight=often, cov="sandwich")
    assert robust.f_statistic is None
    assert robust.r2 == found.r2


def test_an_offset_is_part_of_the_null_model(rng):
    X, offset = table(rng), rng.normal(size=120)
    y = target("LinearRegression", X, rng) + offset
    found = coef_table(fit(LinearRegression(), X, y, offset=offset), X, y, offset=offset)
    assert_least_squares(found, sm.OLS(y - offset, sm.add_constant(X)).fit())
    counts = rng.poisson(np.exp(0.2 * X[:, 0] + offset))
    model = fit(PoissonRegressor(alpha=0), X, counts, offset=offset)
    theirs = sm.GLM(counts, sm.add_constant(X), family=families.Poisson(), offset=offset).fit(tol=1e-13)
    found = coef_table(model, X, counts, offset=offset)
    np.testing.assert_allclose(found.null_deviance, theirs.null_deviance, **SAME)
    np.testing.assert_allclose(found.pseudo_r2, theirs.pseudo_rsquared(kind="mcf"), **SAME)


def test_several_targets_have_one_each(rng):
    X = table(rng)
    Y = np.column_stack([target("Ridge", X, rng), X @ [1, 2, 3] + rng.normal(size=120)])
    found = coef_table(fit(LinearRegression(), X, Y), X, pd.DataFrame(Y, columns=["size", "price"]))
    single = [coef_table(fit(LinearRegression(), X, y), X, y) for y in Y.T]
    for name in ("r2", "adjusted_r2", "f_statistic", "f_p_value"):
        np.testing.assert_allclose(getattr(found, name), [getattr(one, name) for one in single], rtol=1e-9)
    np.testing.assert_allclose(found.null_deviance, sum(one.null_deviance for one in single))
    assert found.y_name == "size, price"
    assert "with df = 3 and 116, 116" in str(found) or "with df = 3, 3 and 116, 116" in str(found)


GLMS = {
    "LogisticRegression": families.Binomial(),
    "PoissonRegressor": families.Poisson(),
    "GammaRegressor": families.Gamma(LOG),
    "TweedieRegressor": families.Tweedie(LOG, 1.5),
    "LinearRegression": families.Gaussian(),
}


@pytest.mark.parametrize("name", GLMS)
def test_null_deviance_and_pseudo_r2_of_a_glm(name, rng):
    X, often = table(rng), rng.integers(1, 4, size=120)
    y = target(name, X, rng)
    numbers = (y == "yes").astype(float) if name == "LogisticRegression" else y
    theirs = sm.GLM(numbers, sm.add_constant(X), family=GLMS[name], freq_weights=often).fit(tol=1e-13)
    found = coef_table(fit(UNPENALISED[name], X, y, often), X, y, sample_weight=often)
    np.testing.assert_allclose(found.null_deviance, theirs.null_deviance, **SAME)
    if name in ("LogisticRegression", "PoissonRegressor"):
        np.testing.assert_allclose(found.pseudo_r2, theirs.pseudo_rsquared(kind="mcf"), **SAME)
    else:
        assert found.pseudo_r2 is None


def test_pseudo_r2_of_discrete_models(rng):
    X = table(rng)
    design = sm.add_constant(X)
    y = target("softmax", X, rng)
    found = coef_table(fit(LogisticRegression(C=np.inf), X, y), X, y)
    np.testing.assert_allclose(found.pseudo_r2, sm.MNLogit(y, design).fit(disp=0, tol=1e-13).prsquared, **SAME)
    y = target("NegativeBinomialRegressor", X, rng)
    found = coef_table(fit(NegativeBinomialRegressor(alpha=0), X, y), X, y)
    theirs = sm.NegativeBinomial(y, design).fit(disp=0, method="bfgs", maxiter=500, gtol=1e-8)
    np.testing.assert_allclose(found.pseudo_r2, theirs.prsquared, rtol=1e-5)
    alpha = theirs.params[-1]
    glm = sm.GLM(y, design, family=families.NegativeBinomial(alpha=alpha)).fit(tol=1e-13)
    np.testing.assert_allclose(found.null_deviance, glm.null_deviance, rtol=1e-4)


FAMILIES = {
    "LinearRegression": "normal, identity link",
    "LogisticRegression": "Bernoulli, logit link",
    "softmax": "categorical, softmax link",
    "PoissonRegressor": "Poisson, log link",
    "GammaRegressor": "Gamma, log link",
    "TweedieRegressor": "Tweedie of power 1.5, log link",
    "NegativeBinomialRegressor": "negative binomial, log link",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_header_names_what_was_fitted(name, rng):
    X = table(rng)
    y = pd.Series(target(name, X, rng), name="outcome")
    plain = coef_table(UNPENALISED[name].fit(X, y), X, y)
    lines = [line.split("  ", 1) for line in str(plain).splitlines()]
    header = {caption: text.strip() for caption, text in (line for line in lines if len(line) == 2)}
    assert (header["y"], header["family"], header["penalty"]) == ("outcome", FAMILIES[name], "none")
    assert float(header["residual df"]) == plain.df_resid
    assert plain.null_deviance > plain.deviance
    penalised = coef_table(ESTIMATORS[name].fit(X, y), X, y)
    if name != "LinearRegression":
        assert penalised.penalty.startswith("L2 with ")
        assert penalised.null_deviance is penalised.r2 is penalised.pseudo_r2 is None
        assert "null deviance" not in str(penalised)


def test_other_penalties_losses_and_links(rng):
    X = table(rng)
    y = target("Ridge", X, rng)
    assert coef_table(HuberRegressor(alpha=0).fit(X, y), X, y).family is None
    weighted = Ridge(alpha=2.0, penalty_weights=[1, 0, 1], penalty_matrix=np.eye(3)).fit(X, y)
    assert coef_table(weighted, X, y).penalty == "L2 with alpha = 2, penalty_weights, penalty_matrix"
    firth = LogisticRegression(C=np.inf, jeffreys=True).fit(X, y > 3)
    found = coef_table(firth, X, y > 3)
    assert (found.penalty, found.null_deviance, found.pseudo_r2) == ("Jeffreys' prior", None, None)
    balanced = coef_table(LogisticRegression(C=np.inf, class_weight="balanced").fit(X, y > 3), X, y > 3)
    assert balanced.null_deviance is None
    own = GeneralizedLinearRegressor(TweedieLoss(0, "identity"), alpha=0).fit(X, y)
    np.testing.assert_allclose(coef_table(own, X, y).r2, coef_table(LinearRegression().fit(X, y), X, y).r2)
    # the constant 0 of a model without an intercept has no Poisson likelihood under this link
    positive = np.abs(X)
    counts = rng.poisson(positive @ [1, 0.5, 2]) + 1.0
    edge = TweedieRegressor(power=1, link="identity", alpha=0, fit_intercept=False).fit(positive, counts)
    assert coef_table(edge, positive, counts).null_deviance is None
    assert coef_table(own, X, y).y_name is None


def test_coef_and_vcov_have_names(rng):
    X = pd.DataFrame(table(rng), columns=["a", "b", "c"])
    y = target("Ridge", X.to_numpy(), rng)
    found, theirs = coef_table(LinearRegression().fit(X, y), X, y), sm.OLS(y, sm.add_constant(X)).fit()
    ours, names = ["intercept", "a", "b", "c"], ["const", "a", "b", "c"]
    np.testing.assert_allclose(found.coef[ours], theirs.params[names])
    np.testing.assert_allclose(found.vcov.loc[ours, ours], theirs.cov_params().loc[names, names])
