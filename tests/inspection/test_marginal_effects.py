"""Marginal effects against statsmodels, and against differences of the mean where that has none."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_hessian.inspection import coef_table, marginal_effects
from sk_hessian.linear_model import (
    GeneralizedLinearRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPRegressor
from sk_hessian.objectives import NegativeBinomialLoss, TweedieLoss
from tests.estimators import ESTIMATORS, UNPENALISED, assert_refused, convergence_warnings, target

TOL = 1e-9
SAME = {"rtol": 1e-6, "atol": 1e-10}


def table(rng, n=200):
    """Numbers, a dummy, and the dummies of a category of three."""
    city = rng.integers(0, 3, size=n)
    columns = [rng.normal(size=n) * 2 + 3, rng.integers(0, 2, size=n), rng.normal(size=n), city == 1, city == 2]
    return np.column_stack(columns).astype(float)


def fit(model, X, y, *rest, **options):
    return model.set_params(tol=TOL).fit(X, y, *rest, **options)


# -- against statsmodels ----------------------------------------------------------------------------------------------

GAMMA = sm.families.Gamma(sm.families.links.Log())

STATSMODELS = {
    "LogisticRegression": lambda y, D: sm.Logit(y == "yes", D).fit(disp=0, tol=1e-13),
    "logit-GLM": lambda y, D: sm.GLM(y == "yes", D, family=sm.families.Binomial()).fit(tol=1e-13),
    "PoissonRegressor": lambda y, D: sm.Poisson(y, D).fit(disp=0, tol=1e-13),
    "Poisson-GLM": lambda y, D: sm.GLM(y, D, family=sm.families.Poisson()).fit(tol=1e-13),
    "Gamma-GLM": lambda y, D: sm.GLM(y, D, family=sm.families.Gamma(sm.families.links.Log())).fit(
        tol=1e-13, use_t=True
    ),
    "softmax": lambda y, D: sm.MNLogit(y, D).fit(disp=0, tol=1e-13),
}

OURS = {"logit-GLM": "LogisticRegression", "Poisson-GLM": "PoissonRegressor", "Gamma-GLM": "GammaRegressor"}


@pytest.mark.parametrize("kind", ["average", "at_mean"])
@pytest.mark.parametrize("name", STATSMODELS)
def test_margins_of_statsmodels(name, kind, rng):
    ours = OURS.get(name, name)
    # the dummies of theirs end in an error for several classes
    X = table(rng)[:, [0, 2] if name == "softmax" else slice(None)]
    y = target(ours, X, rng)
    theirs = STATSMODELS[name](y, np.column_stack([X, np.ones(len(X))]))
    if not hasattr(theirs, "get_margeff"):
        pytest.skip("a GLM has margins from statsmodels 0.15 on")
    margins = theirs.get_margeff(at={"average": "overall", "at_mean": "mean"}[kind], dummy=name != "softmax")
    found = marginal_effects(fit(UNPENALISED[ours], X, y), X, y, kind=kind)
    np.testing.assert_allclose(found.effect, np.ravel(margins.margeff), **SAME)
    np.testing.assert_allclose(found.std_error, np.ravel(margins.margeff_se), **SAME)
    if not name.startswith("Gamma"):  # their tests are by the normal distribution in all
        np.testing.assert_allclose(found.statistic, np.ravel(margins.tvalues), **SAME)
        np.testing.assert_allclose(found.p_value, np.ravel(margins.pvalues), rtol=1e-5, atol=1e-12)
        ends = np.stack([found.lower, found.upper], axis=-1).reshape(-1, 2)
        theirs = margins.conf_int()
        theirs = theirs.transpose(0, 2, 1).reshape(-1, 2) if theirs.ndim == 3 else theirs
        np.testing.assert_allclose(ends, theirs, **SAME)
    assert found.is_discrete.tolist() == ([False] * 6 if name == "softmax" else [False, True, False, True, True])


def test_least_squares_has_its_coefficients(rng):
    X = table(rng)
    y = target("LinearRegression", X, rng)
    model = fit(LinearRegression(), X, y)
    for kind in ("average", "at_mean"):
        found, coefs = marginal_effects(model, X, y, kind=kind), coef_table(model, X, y)
        for name in ("effect", "std_error", "statistic", "p_value", "lower", "upper"):
            theirs = coefs.estimate if name == "effect" else getattr(coefs, name)
            np.testing.assert_allclose(getattr(found, name), theirs[:-1], rtol=1e-9)
        np.testing.assert_allclose(found.covariance, coefs.covariance[:-1, :-1], rtol=1e-9)
        assert (found.distribution, found.df) == ("t", len(y) - 6.0)


# -- against differences ----------------------------------------------------------------------------------------------

CATEGORY = (3, 4)


def by_differences(objective, theta, covariance, share, kind):
    """Effects, and their errors by differences in theta: of 0, a change of 1, 2, and of the category of 3 and 4."""
    X, offset = objective.rows.X, objective.rows.offset
    X = X.toarray() if sp.issparse(X) else X
    if kind == "at_mean":
        X, offset, share = (share @ X)[None], None if offset is None else (share @ offset)[None], np.ones(1)

    def mean(theta, Z):
        coef, intercept, constants = objective.unpack(theta)
        raw = Z @ coef + intercept + (0 if offset is None else offset)
        return objective.loss.inverse_link(np.hstack([raw, np.tile(constants, (len(raw), 1))]))

    def effects(theta):
        found = []
        for column in range(5):
            low, high = X.copy(), X.copy()
            if column in (0, 2):
                low[:, column] -= 1e-5
                high[:, column] += 1e-5
            else:
                group = list(CATEGORY) if column in CATEGORY else [column]
                low[:, group] = high[:, group] = 0
                high[:, column] = 1
            unit = 2e-5 if column in (0, 2) else 1.0
            found.append(share @ (mean(theta, high) - mean(theta, low)) / unit)
        return np.ravel(found)

    steps = 1e-4 * np.maximum(np.abs(theta), 0.1)
    shifts = np.diag(steps)
    gradient = np.stack([effects(theta + s) - effects(theta - s) for s in shifts], axis=1) / (2 * steps)
    return effects(theta), np.sqrt(np.diag(gradient @ covariance @ gradient.T))


#: ordered classes have no mean
FITS = [(name, UNPENALISED) for name in UNPENALISED if name != "OrdinalClassifier"]
FITS += [(name, ESTIMATORS) for name in ("softmax", "PoissonRegressor")]


@pytest.mark.parametrize("kind", ["average", "at_mean"])
@pytest.mark.parametrize(("name", "kinds"), FITS, ids=lambda one: one if isinstance(one, str) else "")
def test_every_family_by_differences(name, kinds, kind, rng):
    """With weights and an offset, the dummies of a category together."""
    X, weight = table(rng), rng.integers(0, 3, size=200).astype(float)
    y = target(name, X, rng)
    shape = (200, 3) if name == "softmax" else 200
    data = {"sample_weight": weight, "offset": 0.3 * rng.normal(size=shape)}
    model = fit(kinds[name], X, y, **data)
    objective, theta = model.fitted_objective(X, y, **data)
    theta = objective.canonical(theta)
    covariance, share = coef_table(model, X, y, **data).covariance, weight[weight > 0] / weight.sum()
    effect, error = by_differences(objective, theta, covariance, share, kind)
    found = marginal_effects(model, X, y, features=[0, 1, 2, CATEGORY], kind=kind, **data)
    np.testing.assert_allclose(found.effect, effect, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.std_error, error, rtol=1e-5)


@pytest.mark.parametrize("name", ["softmax", "GammaRegressor", "LogisticRegression"])
def test_rows_have_the_effects_of_tables_of_one_row(name, rng):
    X = table(rng)
    y = target(name, X, rng)
    labels = pd.Index([f"r{i}" for i in range(len(X))])
    frame = pd.DataFrame(X, index=labels, columns=list("abcde"))
    model = fit(UNPENALISED[name], frame, y)
    features = ["a", "b", "c", ("d", "e")]
    each = marginal_effects(model, frame, y, kind="each", features=features)
    average = marginal_effects(model, frame, y, features=features)
    np.testing.assert_allclose(each.effect.mean(axis=0), average.effect, rtol=1e-12)
    objective, theta = model.fitted_objective(frame, y)
    covariance = coef_table(model, frame, y).covariance
    for row in (0, 17):
        share = np.eye(len(X))[row]
        effect, error = by_differences(objective, objective.canonical(theta), covariance, share, "average")
        np.testing.assert_allclose(each.effect[row], effect, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(each.std_error[row], error, rtol=1e-5)
    found = each.to_frame()
    assert found.loc[("r17", average.names[0]), "effect"] == each.effect[17, 0]
    assert found.columns.tolist() == ["effect", "std_error", "statistic", "p_value", "lower", "upper"]
    assert str(each).splitlines()[-1].startswith(f"and {each.effect.size - 10} more")


@pytest.mark.parametrize("loss", [TweedieLoss(1, "log"), NegativeBinomialLoss()], ids=repr)
def test_a_loss_of_ones_own_by_differences_of_its_link(loss, rng):
    class Own(type(loss)):
        family_class = type(loss).__mro__[1].family_class  # without the derivatives of the mean

    own = Own(**{key: value for key, value in vars(loss).items() if key in ("power", "link", "theta")})
    X = table(rng)
    y = target("NegativeBinomialRegressor", X, rng)
    ours, theirs = (fit(GeneralizedLinearRegressor(one, alpha=0), X, y) for one in (own, loss))
    a = marginal_effects(ours, X, y, cov="sandwich")
    b = marginal_effects(theirs, X, y, cov="sandwich")
    np.testing.assert_allclose(a.effect, b.effect, rtol=1e-7)
    np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-6)


# -- rows, weights, pipelines, covariances ----------------------------------------------------------------------------


def test_sparse_rows_and_repeated_ones_tell_the_same(rng):
    X, weight = table(rng), rng.integers(1, 3, size=200)
    y = target("PoissonRegressor", X, rng)
    expected = marginal_effects(fit(PoissonRegressor(alpha=0), X, y, weight), X, y, sample_weight=weight)
    model = fit(PoissonRegressor(alpha=0), sp.csr_array(X), y, weight)
    same = marginal_effects(model, sp.csr_array(X), y, sample_weight=weight)
    rows = np.repeat(np.arange(200), weight)
    again = marginal_effects(fit(PoissonRegressor(alpha=0), X[rows], y[rows]), X[rows], y[rows])
    for other in (same, again):
        np.testing.assert_allclose(other.effect, expected.effect, rtol=1e-9)
        np.testing.assert_allclose(other.std_error, expected.std_error, rtol=1e-9)


def people(rng, n=150):
    frame = pd.DataFrame({"age": rng.normal(40, 10, n), "city": rng.choice(["Bern", "Oslo", "Rome"], n)})
    return frame, rng.poisson(np.exp(0.02 * frame["age"] + (frame["city"] == "Rome")))


def test_through_a_pipeline_effects_are_of_the_columns_of_the_last_step(rng):
    X, y = people(rng)
    encode = make_column_transformer((OneHotEncoder(drop="first"), ["city"]), remainder="passthrough")
    pipe = make_pipeline(encode, PoissonRegressor(alpha=0, tol=TOL)).fit(X, y)
    found = marginal_effects(pipe, X, y)
    assert found.names == ["onehotencoder__city_Oslo", "onehotencoder__city_Rome", "remainder__age"]
    assert found.is_discrete.tolist() == [True, True, False]
    assert "as PoissonRegressor gets them after columntransformer" in " ".join(str(found).split())
    apart = marginal_effects(pipe[-1], pipe[0].transform(X), y)
    np.testing.assert_allclose(found.std_error, apart.std_error, rtol=1e-12)
    assert apart.columns == ""
    scaled = make_pipeline(StandardScaler(), PoissonRegressor(alpha=0, tol=TOL)).fit(X[["age"]], y)
    plain = fit(PoissonRegressor(alpha=0), X[["age"]], y)
    ours, raw = marginal_effects(scaled, X[["age"]], y), marginal_effects(plain, X[["age"]], y)
    assert ours.names == raw.names == ["age"]
    np.testing.assert_allclose(ours.effect, raw.effect * X["age"].std(ddof=0), rtol=1e-7)


def test_covariances_are_those_of_the_table(rng):
    X = table(rng)
    y, groups = target("PoissonRegressor", X, rng), np.arange(200) % 20
    model = fit(PoissonRegressor(alpha=0), X, y)
    clustered = coef_table(model, X, y, cov_groups=groups)
    found = marginal_effects(model, X, y, cov=clustered)
    assert (found.distribution, found.df, found.cov) == ("t", 19.0, "sandwich")
    assert np.abs(found.std_error / marginal_effects(model, X, y).std_error - 1).max() > 1e-3
    prior = fit(LogisticRegression(C=np.inf, jeffreys=True), X, y > 2)
    assert marginal_effects(prior, X, y > 2).cov == "expected"
    ridge = fit(PoissonRegressor(alpha=0.1), X, y)
    assert "penalised population parameters" in " ".join(str(marginal_effects(ridge, X, y)).split())
    posterior = marginal_effects(ridge, X, y, cov="laplace")
    assert np.isnan(posterior.p_value).all()
    assert " p " not in str(posterior).splitlines()[-6]


@pytest.mark.parametrize("power", [0, 1])
def test_identity_links(power, rng):
    X = np.abs(table(rng))
    y = rng.poisson(X @ [1, 0.5, 1, 0.2, 1] + 2) + 1.0
    model = fit(TweedieRegressor(power=power, link="identity", alpha=0), X, y)
    found = marginal_effects(model, X, y)
    np.testing.assert_allclose(found.effect, model.coef_, rtol=1e-9)
    np.testing.assert_allclose(found.std_error, coef_table(model, X, y).std_error[:-1], rtol=1e-9)


def test_the_table_prints_like_the_others(rng):
    X = table(rng)
    y = target("LogisticRegression", X, rng)
    found = marginal_effects(fit(LogisticRegression(C=np.inf), X, y), X, y)
    text = str(found)
    assert repr(found) == text
    assert "effects on  the probability of yes, average over the rows" in text
    assert "from 0 to 1 of x1, x3, x4; derivatives of the others" in text
    assert found._repr_html_().count("<tr>") == len(found._header()) + 6
    assert found.to_frame().index.tolist() == found.names


# -- bad input --------------------------------------------------------------------------------------------------------


def test_bad_arguments_are_named(rng):
    X = pd.DataFrame(table(rng), columns=["age", "sex", "income", "oslo", "rome"])
    y = target("PoissonRegressor", X.to_numpy(), rng)
    model = fit(PoissonRegressor(alpha=0), X, y)
    for options, message in (
        ({"kind": "overall"}, r"kind must be one of \('average', 'at_mean', 'each'\), got 'overall'"),
        ({"features": ["agee"]}, "no column 'agee'. Did you mean 'age'"),
        ({"features": ["zzz"]}, "no column 'zzz'. The columns are age, sex, income, oslo, rome"),
        ({"features": [7]}, "no column 7"),
        ({"features": [True]}, "no column True"),
        ({"features": []}, "features must name a column"),
        ({"features": ["age", 0]}, "features has 'age' twice"),
        ({"features": [("age", "rome")]}, "dummies of one category, but 'age' is not 0 or 1"),
        ({"features": [("sex", "rome")]}, "dummies of one category, but rows have several"),
        ({"level": 95}, "level must be"),
        ({"cov": "robust"}, "cov must be one of"),
        ({"cov": "profile"}, 'cov="profile" has intervals of parameters'),
        ({"cov": coef_table(fit(PoissonRegressor(alpha=0.1), X, y), X, y)}, "cov must be a table of this fit"),
    ):
        assert_refused(message, marginal_effects, model, X, y, **options)


def test_fits_without_errors_are_refused(rng):
    X = table(rng)
    y = target("Ridge", X, rng)
    network = MLPRegressor(hidden_layer_sizes=(3,), alpha=0.1, activation="tanh", random_state=0).fit(X, y)
    assert_refused("Use inspection.laplace", marginal_effects, network, X, y, error=TypeError)
    early = PoissonRegressor(alpha=0, max_iter=1, solver="sgd")
    convergence_warnings(lambda: early.fit(X, np.exp(y)))
    assert_refused('marginal_effects needs a fit with the verdict "optimal"', marginal_effects, early, X, np.exp(y))
    apart = LogisticRegression(C=np.inf)
    convergence_warnings(lambda: apart.fit(X, X[:, 0] > 3))
    assert_refused("separated", marginal_effects, apart, X, X[:, 0] > 3)
    ridge = Ridge().fit(X, y)
    assert_refused("not at the optimum for these rows", marginal_effects, ridge, X + 1.0 * X[:, :1], y)
    assert_refused("under a penalty", marginal_effects, ridge, X, y, cov="expected")
    far = X + [1e9, 0, 0, 0, 0]
    model = PoissonRegressor(alpha=0).fit(far, np.round(np.exp(y / 3)))
    assert_refused("subtract the mean", marginal_effects, model, far, np.round(np.exp(y / 3)))
