"""Predictions with intervals."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.stats import gamma, invgauss, nbinom, norm, poisson
from scipy.stats import t as student
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from statsmodels.genmod import families

from sk_hessian.inspection import PredictionDisplay, coef_table, laplace, prediction_table
from sk_hessian.linear_model import (
    GammaRegressor,
    GeneralizedLinearRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPRegressor
from sk_hessian.objectives import Blocks, Family, TweedieLoss
from tests.estimators import ESTIMATORS, UNPENALISED, assert_refused, target

plt.switch_backend("agg")

EXACT = {"rtol": 1e-6, "atol": 1e-9}
LOG = families.links.Log()
FIELDS = ("mean", "std_error", "lower", "upper")


def rows(rng, n=150):
    return rng.normal(size=(n, 3)) * [1, 5, 0.2] + [0, 30, -1]


def design(X):
    return np.column_stack([X, np.ones(len(X))])


def assert_same(table, frame, ends="mean_ci"):
    theirs = [frame["mean"], frame["mean_se"], frame[f"{ends}_lower"], frame[f"{ends}_upper"]]
    for name, right in zip(FIELDS, theirs, strict=True):
        np.testing.assert_allclose(getattr(table, name), right, **EXACT, err_msg=name)


def assert_equal(a, b, rtol=1e-6):
    for name in FIELDS:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-9, err_msg=name)


# -- against statsmodels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cov", ["expected", "HC3", "HAC", "groups"])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_least_squares(cov, level, rng):
    X, X_new = rows(rng), rows(rng, 20)
    y = X[:, 0] + rng.normal(size=150) * (1 + np.abs(X[:, 0]))
    groups = np.arange(150) % 12
    options, theirs = {
        "expected": ({}, {}),
        "HC3": ({"cov": "HC3"}, {"cov_type": "HC3"}),
        "HAC": ({"cov": "HAC", "lags": 3}, {"cov_type": "HAC", "cov_kwds": {"maxlags": 3, "use_correction": True}}),
        "groups": ({"cov_groups": groups}, {"cov_type": "cluster", "cov_kwds": {"groups": groups}}),
    }[cov]
    model = LinearRegression(tol=1e-9).fit(X, y)
    table = prediction_table(model, X_new, X, y, level=level, **options)
    frame = sm.OLS(y, design(X)).fit(**theirs, use_t=True).get_prediction(design(X_new)).summary_frame(1 - level)
    np.testing.assert_array_equal(table.mean, model.predict(X_new))
    if cov == "groups":
        # their predictions have n - k degrees of freedom, their tables those of the groups, as all of ours
        np.testing.assert_allclose(table.std_error, frame["mean_se"], **EXACT)
        reach = student.isf((1 - level) / 2, 11) * table.std_error
        np.testing.assert_allclose(table.upper, table.mean + reach, **EXACT)
    else:
        assert_same(table, frame)
        assert table.df == 146
        observed = prediction_table(model, X_new, X, y, level=level, of="observation", **options)
        assert_same(observed, frame, "obs_ci")


MODELS = {
    "PoissonRegressor": (PoissonRegressor(alpha=0), families.Poisson()),
    "GammaRegressor": (GammaRegressor(alpha=0), families.Gamma(LOG)),
    "LogisticRegression": (LogisticRegression(C=np.inf), families.Binomial()),
    "TweedieRegressor": (TweedieRegressor(power=3, alpha=0), families.InverseGaussian(LOG)),
    "TweedieRegressor-log": (TweedieRegressor(power=0, link="log", alpha=0), families.Gaussian(LOG)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("robust", [False, True])
def test_means_of_a_glm(name, robust, rng):
    X, X_new, weight = rows(rng), rows(rng, 20), rng.integers(1, 4, size=150)
    y = rng.gamma(20, np.exp(0.2 * X[:, 0] + 1) / 20) if name.startswith("Tweedie") else target(name, X, rng)
    y = (y == "yes").astype(float) if name == "LogisticRegression" else y
    model, family = MODELS[name]
    model.set_params(tol=1e-9).fit(X, y, weight)
    table = prediction_table(model, X_new, X, y, weight, cov="sandwich" if robust else "auto")
    fitted = sm.GLM(np.repeat(y, weight), design(np.repeat(X, weight, axis=0)), family=family)
    use_t = not robust and name not in ("PoissonRegressor", "LogisticRegression")
    how = {"cov_type": "HC0", "method": "newton"} if robust else {"tol": 1e-13}
    assert_same(table, fitted.fit(use_t=use_t, **how).get_prediction(design(X_new)).summary_frame())


def test_two_classes_are_those_of_logit(rng):
    X, X_new = rows(rng), rows(rng, 20)
    y = target("LogisticRegression", X, rng)
    model = LogisticRegression(C=np.inf, tol=1e-9).fit(X, y)
    table = prediction_table(model, X_new, X, y)
    theirs = sm.Logit((y == "yes").astype(float), design(X)).fit(disp=0, tol=1e-13).get_prediction(design(X_new))
    frame = theirs.summary_frame()
    for name, column in zip(FIELDS, ("predicted", "se", "ci_lower", "ci_upper"), strict=True):
        np.testing.assert_allclose(getattr(table, name), frame[column], **EXACT)
    np.testing.assert_allclose(table.mean, model.predict_proba(X_new)[:, 1])
    assert table.subject == "the probability of 'yes'"


def test_several_classes_are_those_of_mnlogit_by_the_delta_method(rng):
    """Its own interval is symmetric; its errors, and those of the log odds by differences, are compared."""
    X, X_new = rows(rng), rows(rng, 20)
    y = target("softmax", X, rng)
    model = LogisticRegression(C=np.inf, tol=1e-9).fit(X, y)
    table = prediction_table(model, X_new, X, y)
    theirs = sm.MNLogit(np.unique(y, return_inverse=True)[1], design(X)).fit(disp=0, method="newton", tol=1e-13)
    beta = np.ravel(theirs.params.T)

    def probabilities(beta):
        odds = np.exp(np.column_stack([np.zeros(20), design(X_new) @ beta.reshape(2, 4).T]))
        return odds / odds.sum(axis=1, keepdims=True)

    def errors(function):
        V, columns = theirs.cov_params(), []
        for j, h in enumerate(1e-4 * np.sqrt(np.diag(V))):
            step = h * np.eye(8)[j]
            columns.append((function(beta + step) - function(beta - step)) / (2 * h))
        return np.sqrt(np.einsum("ank,ab,bnk->nk", columns, V, columns))

    p = probabilities(beta)
    odds = np.log(p / (1 - p))
    reach = norm.isf(0.025) * errors(lambda beta: np.log(probabilities(beta) / (1 - probabilities(beta))))
    np.testing.assert_allclose(table.mean, p, **EXACT)
    np.testing.assert_allclose(table.std_error, errors(probabilities), rtol=1e-6)
    np.testing.assert_allclose(table.lower, 1 / (1 + np.exp(reach - odds)), rtol=1e-6)
    np.testing.assert_allclose(table.upper, 1 / (1 + np.exp(-reach - odds)), rtol=1e-6)
    frame = table.to_frame()
    assert list(frame["b"].columns) == list(FIELDS)
    np.testing.assert_array_equal(frame["b"]["upper"], table.upper[:, 1])
    # two classes by a softmax are the two of one logit, from either side
    assert ((table.lower > 0) & (table.upper < 1)).all()


# -- against formulas -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in ("softmax", "OrdinalClassifier")])
def test_errors_are_those_of_the_table(name, rng):
    """x' V x of the coefficients' covariance, in columns in which nothing cancels; through a pipeline too."""
    X = rng.normal(size=(120, 3))
    y, X_new = target(name, X, rng), rng.normal(size=(15, 3))
    model = ESTIMATORS[name].set_params(tol=1e-9)
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    Z, Z_new = pipe[0].transform(X), design(pipe[0].transform(X_new))
    has_no_likelihood = name in ("HuberRegressor", "LinearRegression") or name.startswith("Binomial")  # without trials
    for cov in ("sandwich",) if has_no_likelihood else ("sandwich", "laplace"):
        if cov == "laplace" and name == "NegativeBinomialRegressor":
            assert_refused("has no prior", prediction_table, pipe, X_new, X, y, cov=cov)
            continue
        table, whole = prediction_table(pipe, X_new, X, y, cov=cov), coef_table(model, Z, y, cov=cov)
        if cov == "laplace" and name == "TweedieRegressor-identity":
            assert "posterior of inspection.laplace, with the expected second derivatives" in table.convention
            deviation = laplace(pipe, X, y).predict(X_new)[1]
            # its dispersion is one; of the identity link the standard error of the mean is that of the predictor
            np.testing.assert_allclose(table.std_error, deviation, rtol=1e-6)
            continue
        V = whole.covariance[:4, :4]
        eta = Z_new @ whole.estimate[:4]
        loss = model.fitted_objective(Z, y)[0].loss
        ends = [
            loss.inverse_link((eta + z * np.sqrt(np.einsum("ni,ij,nj->n", Z_new, V, Z_new)))[:, None])[:, 0]
            for z in norm.ppf([0.025, 0.975])
        ]
        np.testing.assert_allclose([table.lower, table.upper], ends, rtol=1e-6)
        assert table.target == whole.target
        assert (table.model, table.verdict, table.cov) == (whole.model, whole.verdict, cov)


@pytest.mark.parametrize("weights", ["frequency", "analytic"])
def test_posteriors_know_rows_beyond_the_span_of_the_fit(weights, rng):
    """More columns than rows, and a constant column: there is the prior."""
    X, X_new, weight = rng.normal(size=(12, 30)), rng.normal(size=(5, 30)), rng.uniform(0.5, 2, size=12)
    X[:, 4] = 2.0
    Y = np.column_stack([X[:, 0], X[:, 1]]) + rng.normal(size=(12, 2)) * [1, 4]
    model = Ridge(3.0, tol=1e-9).fit(X, Y, weight)
    table = prediction_table(model, X_new, X, Y, weight, cov="laplace", weights=weights)
    if weights == "frequency":
        mean, deviation = laplace(model, X, Y, sample_weight=weight).predict(X_new)
        np.testing.assert_allclose(table.mean, mean)
        np.testing.assert_allclose(table.std_error, deviation, rtol=1e-6)
    V = coef_table(model, X, Y, sample_weight=weight, cov="laplace", weights=weights).covariance
    for target_ in range(2):
        mine, D = V[target_::2, target_::2], design(X_new)
        right = np.sqrt(np.einsum("ni,ij,nj->n", D, mine, D))
        np.testing.assert_allclose(table.std_error[:, target_], right, rtol=1e-6)


def test_several_targets_are_several_tables(rng):
    X, X_new = rows(rng), rows(rng, 10)
    Y = X[:, [0, 1]] + rng.normal(size=(150, 2)) * [1, 3]
    for of in ("mean", "observation"):
        both = prediction_table(LinearRegression(tol=1e-9).fit(X, Y), X_new, X, Y, of=of)
        for j, y in enumerate(Y.T):
            one = prediction_table(LinearRegression(tol=1e-9).fit(X, y), X_new, X, y, of=of)
            for name in FIELDS:
                np.testing.assert_allclose(getattr(both, name)[:, j], getattr(one, name), rtol=1e-9)
    assert list(both.to_frame().columns)[4] == (1, "mean")


def test_units_and_forms_of_the_rows_do_not_matter(rng):
    X, X_new = rng.integers(-9, 9, size=(200, 3)) / 8, rng.integers(-9, 9, size=(9, 3)) / 8
    y = rng.poisson(np.exp(0.4 * X[:, 0] + 0.5)).astype(float)
    plain = prediction_table(PoissonRegressor(alpha=0, tol=1e-9).fit(X, y), X_new, X, y)
    # means of a million deviations: variances of slopes and intercept cancel to twelve digits
    unit, mean = np.array([2.0**-10, 2.0**10, 1]), np.array([2.0**20, 0, -(2.0**20)])
    far = PoissonRegressor(alpha=0, tol=1e-9).fit((X + mean) * unit, y)
    assert_equal(prediction_table(far, (X_new + mean) * unit, (X + mean) * unit, y), plain, rtol=1e-5)
    for form in (sp.csr_array, np.float32, pd.DataFrame):
        data, new = (X.astype(form), X_new.astype(form)) if form is np.float32 else (form(X), form(X_new))
        model = PoissonRegressor(alpha=0, tol=1e-9).fit(data, y)
        assert_equal(prediction_table(model, new, data, y), plain, rtol=1e-5 if form is np.float32 else 1e-6)


def test_an_offset_moves_the_mean(rng):
    X, X_new = rows(rng), rows(rng, 10)
    exposure, new = np.log(rng.uniform(0.5, 3, size=150)), np.log(rng.uniform(0.5, 3, size=10))
    y = rng.poisson(np.exp(0.3 * X[:, 0] + exposure))
    model = PoissonRegressor(alpha=0, tol=1e-9).fit(X, y, offset=exposure)
    theirs = sm.GLM(y, design(X), family=families.Poisson(), offset=exposure).fit(tol=1e-13)
    frame = theirs.get_prediction(design(X_new), offset=new).summary_frame()
    assert_same(prediction_table(model, X_new, X, y, offset=exposure, offset_new=new), frame)
    message = "was fitted with an offset: pass that of X_new as offset_new"
    assert_refused(message, prediction_table, model, X_new, X, y, offset=exposure)
    assert_refused("was fitted with an offset: pass it as offset", prediction_table, model, X_new, X, y, offset_new=new)


# -- new observations -------------------------------------------------------------------------------------------------


def mixture(distribution, eta, deviation, q):
    """The distribution function at q of what is drawn with a normal predictor, by a fine sum."""
    nodes = np.linspace(-8, 8, 4001)
    weights = norm.pdf(nodes) / norm.pdf(nodes).sum()
    return weights @ distribution(np.exp(eta + deviation * nodes)).cdf(q)


DISTRIBUTIONS = {
    "PoissonRegressor": lambda mean, phi, theta: poisson(mean),
    "NegativeBinomialRegressor": lambda mean, phi, theta: nbinom(theta, theta / (theta + mean)),
    "GammaRegressor": lambda mean, phi, theta: gamma(1 / phi, scale=phi * mean),
    "TweedieRegressor": lambda mean, phi, theta: invgauss(mean * phi, scale=1 / phi),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_observations_are_quantiles_of_the_family(name, rng):
    X, X_new = rows(rng, 60), rows(rng, 8)
    y = target(name, X, rng)
    model = TweedieRegressor(power=3, alpha=0) if name == "TweedieRegressor" else UNPENALISED[name]
    model.set_params(tol=1e-9).fit(X, y)
    mean, table = prediction_table(model, X_new, X, y), prediction_table(model, X_new, X, y, of="observation")
    np.testing.assert_array_equal(mean.std_error, table.std_error)
    phi, theta = coef_table(model, X, y).dispersion, getattr(model, "theta_", None)
    for i in range(8):
        eta, deviation = np.log(mean.mean[i]), mean.std_error[i] / mean.mean[i]

        def at(q, eta=eta, deviation=deviation):
            return mixture(lambda m: DISTRIBUTIONS[name](m, phi, theta), eta, deviation, q)

        for end, p in ((table.lower[i], 0.025), (table.upper[i], 0.975)):
            if name in ("PoissonRegressor", "NegativeBinomialRegressor"):
                assert end == int(end)
                assert at(end) >= p - 1e-7
                assert at(end - 1) < p
            else:
                assert at(end) == pytest.approx(p, rel=1e-6)


def compound(rng, mean, power, phi):
    """Sums of a Poisson number of Gamma variables, and their distribution function at one number."""
    rate, scale = mean ** (2 - power) / ((2 - power) * phi), phi * (power - 1) * mean ** (power - 1)
    shape, count = (2 - power) / (power - 1), rng.poisson(rate)

    def cdf(q):
        j = np.arange(1, 200)[:, None]
        return poisson.pmf(0, rate) + np.sum(poisson.pmf(j, rate) * gamma.cdf(q, shape * j, scale=scale), axis=0)

    return np.where(count > 0, rng.gamma(np.maximum(count, 1) * shape, scale), 0.0), cdf


@pytest.mark.parametrize("power", [1.2, 1.5, 1.8])
def test_observations_of_a_compound_distribution(power, rng):
    """By a sum over the number of jumps, and a simulation; zero where zeros alone are probable enough."""
    X, X_new = rng.normal(size=(60, 2)), rng.normal(size=(12, 2)) * 1.5
    y = compound(rng, np.exp(0.8 * X[:, 0] + 0.5), power, 0.7)[0]
    model = TweedieRegressor(power=power, alpha=0, tol=1e-9).fit(X, y)
    mean, table = prediction_table(model, X_new, X, y), prediction_table(model, X_new, X, y, of="observation")
    phi, nodes = coef_table(model, X, y).dispersion, np.linspace(-7, 7, 141)
    weights, inside = norm.pdf(nodes) / norm.pdf(nodes).sum(), []
    for i in range(12):
        means = mean.mean[i] * np.exp(mean.std_error[i] / mean.mean[i] * nodes)
        cdf = compound(rng, means, power, phi)[1]
        for end, p in ((table.lower[i], 0.025), (table.upper[i], 0.975)):
            if end == 0:
                assert weights @ cdf(0.0) >= p
            else:
                assert weights @ cdf(end) == pytest.approx(p, rel=1e-6)
        eta = np.log(mean.mean[i]) + mean.std_error[i] / mean.mean[i] * rng.normal(size=4000)
        drawn = compound(rng, np.exp(eta), power, phi)
        inside.append(np.mean((table.lower[i] <= drawn[0]) & (drawn[0] <= table.upper[i])))
        # zeros below their quantile are inside all of them
        assert inside[-1] >= 0.94
    assert (table.lower > 0).any()
    # zeros are rare for powers near two
    assert (table.lower == 0).any() == (power < 1.8)
    assert np.mean(np.array(inside)[table.lower > 0]) == pytest.approx(0.95, abs=0.005)


def test_observations_of_a_sure_mean_are_those_of_scipy(rng):
    """Many rows leave only the family's own quantiles."""
    X, X_new = rng.normal(size=(200_000, 1)), np.linspace(-1, 1, 7)[:, None]
    y = rng.poisson(np.exp(0.8 * X[:, 0] + 2))
    table = prediction_table(PoissonRegressor(alpha=0).fit(X, y), X_new, X, y, of="observation", level=0.9)
    np.testing.assert_array_equal(table.lower, poisson.ppf(0.05, table.mean))
    np.testing.assert_array_equal(table.upper, poisson.ppf(0.95, table.mean))
    far = prediction_table(PoissonRegressor(alpha=0).fit(X, y), [[30.0], [1e5]], X, y, of="observation")
    assert far.lower[0] == int(far.lower[0]) > 1e10
    # a mean beyond all numbers has no quantile, and a count beyond those that are whole none either
    assert (far.mean[1], far.upper[1]) == (np.inf, np.inf)
    linear = LinearRegression().fit(X, y)
    known = prediction_table(linear, X_new, X, y, of="observation", dispersion=9.0)
    reach = norm.isf(0.025) * np.sqrt(9 + known.std_error**2)
    np.testing.assert_allclose(known.upper, known.mean + reach)


def test_what_has_no_quantiles_is_named(rng):
    X = rows(rng)
    cases = {
        "LogisticRegression": "is for targets that are numbers",
        "softmax": "is for targets that are numbers",
        "HuberRegressor": "needs a likelihood, which this loss does not have",
        "TweedieRegressor": "needs quantiles, and those of TweedieLoss",
    }
    for name, reason in cases.items():
        y = target(name, X, rng)
        if name == "TweedieRegressor":
            model = TweedieRegressor(power=2.5, alpha=0).fit(X, y := y + 1)
        else:
            model = UNPENALISED[name].fit(X, y)
        assert (prediction_table(model, X, X, y).std_error > 0).all()
        message = f"prediction_table: of='observation' {reason}.*Use of='mean'"
        assert_refused(message, prediction_table, model, X, X, y, of="observation")
    y = target("PoissonRegressor", X, rng)
    model = PoissonRegressor(alpha=0).fit(X, y)
    message = "a quasi-likelihood has none: leave dispersion out"
    assert_refused(message, prediction_table, model, X, X, y, of="observation", dispersion="pearson")
    quasi = prediction_table(model, X, X, y, dispersion="pearson")
    assert quasi.df == 146
    ratio = quasi.std_error / prediction_table(model, X, X, y).std_error
    np.testing.assert_allclose(ratio, np.sqrt(coef_table(model, X, y, dispersion="pearson").dispersion))
    assert "quasi-likelihood" in str(quasi)


# -- what is returned and refused -------------------------------------------------------------------------------------


def test_frames_keep_their_index_and_names(rng):
    X = pd.DataFrame(rows(rng), columns=["age", "income", "size"])
    y = target("PoissonRegressor", X.to_numpy(), rng)
    new = X.iloc[:12].set_index(pd.Index([f"p{i}" for i in range(12)], name="person"))
    model = make_pipeline(StandardScaler(), PoissonRegressor(alpha=0.1)).fit(X, y)
    table = prediction_table(model, new, X, y)
    frame = table.to_frame()
    assert frame.index.equals(new.index)
    assert list(frame.columns) == list(FIELDS)
    text = str(table)
    assert text == repr(table)
    for said in ("sandwich, normal", "the penalised population parameters", "std. error", "p9", "and 2 more rows"):
        assert said in text
    assert "<th>p9</th>" in table._repr_html_()
    assert_refused("feature names", prediction_table, model, new.rename(columns={"age": "years"}), X, y)
    plain = PoissonRegressor(alpha=0.1).fit(X.to_numpy(), y)
    assert_refused("X_new, offset_new: X has 2 features", prediction_table, plain, X.to_numpy()[:, :2], X.to_numpy(), y)


def test_bad_arguments_are_named(rng):
    X, y = rows(rng), rng.normal(size=150)
    model = LinearRegression().fit(X, y)
    bad = {
        "level must be a number between 0 and 1": {"level": 95},
        r"of must be one of \('mean', 'observation'\), got 'link'": {"of": "link"},
        "cov must be one of": {"cov": "hc3"},
        "cov='profile' has no intervals of such predictions here: use cov='expected'": {"cov": "profile"},
        "cov='laplace' needs a penalty": {"cov": "laplace"},
        r"X_new, offset_new: offset must have one entry for each of the 150 rows, got shape \(3,\)": {
            "offset_new": np.zeros(3)
        },
    }
    for text, options in bad.items():
        assert_refused(text, prediction_table, model, X, X, y, **options)
    message = "prediction_table has no argument 'groups'. Did you mean 'cov_groups'"
    assert_refused(message, prediction_table, model, X, X, y, groups=y, error=TypeError)
    assert_refused("X_new must be in memory", prediction_table, model, Blocks([(X, y)]), X, y)
    assert_refused("not at the optimum for these rows", prediction_table, model, X, X[:100], y[:100])
    network = MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", random_state=0, alpha=1.0).fit(X, y)
    message = "prediction_table is for linear models.*laplace for the uncertainty of its predictions"
    assert_refused(message, prediction_table, network, X, X, y, error=TypeError)
    separated = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = LogisticRegression(C=np.inf).fit(X, separated)
    assert_refused("This one: separated", prediction_table, classes, X, X, separated)
    firth = LogisticRegression(C=np.inf, jeffreys=True, tol=1e-8).fit(X, separated)
    assert prediction_table(firth, X, X, separated).cov == "expected"


def test_a_loss_and_a_link_of_ones_own(rng):
    """Limits are in order where a link falls, and errors are right without a derivative of it."""

    class Differences(type(TweedieLoss(2).family)):
        mean_slope = Family.mean_slope

    class Reciprocal(TweedieLoss):
        """Gamma with the mean 1 / raw."""

        family_class = Differences

        def __init__(self):
            super().__init__(2, "identity")

        def value_and_gradient(self, y, raw):
            return -np.log(raw[:, 0]) + y * raw[:, 0], y[:, None] - 1 / raw

        def hessian(self, y, raw, kind):
            return (1 / raw**2)[:, :, None]

        def inverse_link(self, raw):
            return 1 / raw

    X = rng.uniform(0.5, 2, size=(200, 1))
    y = rng.gamma(5, 1 / (5 * (1 + X[:, 0])))
    model = GeneralizedLinearRegressor(Reciprocal(), alpha=0, tol=1e-9).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sm.GLM(y, np.column_stack([X, np.ones(200)]), family=families.Gamma(families.links.InversePower()))
        frame = theirs.fit(tol=1e-13, use_t=True).get_prediction().summary_frame()
    # theirs are in the order of the linear predictor
    frame = frame.rename(columns={"mean_ci_lower": "mean_ci_upper", "mean_ci_upper": "mean_ci_lower"})
    assert_same(prediction_table(model, X, X, y), frame)


def test_quantiles_of_a_family_of_ones_own_may_be_negative(rng):
    """A normal family that does not say that it is one: a normal mean about a normal predictor is normal."""

    class Numbers(type(TweedieLoss(0, "identity").family)):
        def __init__(self, loss):
            super().__init__(loss)
            self.name = "numbers"

    class OfNumbers(TweedieLoss):
        family_class = Numbers

        def __init__(self):
            super().__init__(0, "identity")

    X = rng.normal(size=(40, 2))
    y = 1e-3 * (X[:, 0] + rng.normal(size=40))
    model = GeneralizedLinearRegressor(OfNumbers(), alpha=0, tol=1e-9).fit(X, y)
    table = prediction_table(model, X, X, y, of="observation")
    reach = norm.isf(0.025) * np.sqrt(table.std_error**2 + coef_table(model, X, y).dispersion)
    np.testing.assert_allclose(table.lower, table.mean - reach, rtol=1e-6)
    np.testing.assert_allclose(table.upper, table.mean + reach, rtol=1e-6)


# -- the picture ------------------------------------------------------------------------------------------------------


def test_the_curve_is_the_table_of_its_points(rng):
    X, weight = rows(rng), rng.uniform(0.5, 2, size=150)
    y = target("GammaRegressor", X, rng)
    model = GammaRegressor(alpha=0).fit(X, y, weight)
    display = PredictionDisplay.from_estimator(model, X, y, 1, sample_weight=weight, weights="analytic", level=0.9)
    at = np.repeat((weight @ X / weight.sum())[None], 50, axis=0)
    at[:, 1] = np.linspace(X[:, 1].min(), X[:, 1].max(), 50)
    table = prediction_table(model, at, X, y, weight, level=0.9, weights="analytic")
    np.testing.assert_allclose(display.lines_[0].get_xydata(), np.column_stack([at[:, 1], table.mean]))
    band = display.bands_[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(table.lower.min())
    assert band[:, 1].max() == pytest.approx(table.upper.max())
    label = " ".join(display.ax_.get_xlabel().split())
    assert label.startswith("x1 90% intervals of the mean of y; about the parameters of the model")
    assert label.endswith("the other columns at their means (categories at the most frequent)")
    assert display.plot(name="costs", color="k").lines_[0].get_color() == "k"
    plt.close("all")


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, pd.DataFrame])
@pytest.mark.parametrize("name", ["PoissonRegressor", "softmax", "LinearRegression"])
def test_an_average_is_that_of_all_rows_with_errors_by_the_delta_method(form, name, rng):
    X, weight = rng.normal(size=(60, 2)), rng.integers(1, 3, size=60)
    y = target(name, X, rng)
    data = form(X)
    model = UNPENALISED[name].set_params(tol=1e-9).fit(data, y, weight)
    points = [-1.0, 0.5]
    display = PredictionDisplay.from_estimator(
        model, data, y, 1, sample_weight=weight, held="average", points=points, cov="sandwich"
    )
    table, whole = display.table, coef_table(model, data, y, sample_weight=weight, cov="sandwich")
    at = [np.column_stack([X[:, 0], np.full(60, point)]) for point in points]

    def averages(theta):
        k = 3 if name == "softmax" else 1
        loss, W = model.fitted_objective(data, y, weight)[0].loss, theta.reshape(3, k)
        means = [loss.inverse_link(np.column_stack([Z, np.ones(60)]) @ W) for Z in at]
        return np.stack([weight @ mean / weight.sum() for mean in means]).ravel()

    h, theta = 1e-5, whole.estimate
    J = np.stack([(averages(theta + h * d) - averages(theta - h * d)) / (2 * h) for d in np.eye(theta.size)], axis=1)
    error = np.sqrt(np.diag(J @ whole.covariance @ J.T)).reshape(table.mean.shape)
    np.testing.assert_allclose(table.mean.ravel(), averages(theta), rtol=1e-8)
    np.testing.assert_allclose(table.std_error, error, rtol=1e-6)
    m, z = table.mean, norm.isf(0.025)
    right = {
        "PoissonRegressor": m * np.exp(z * error / m),
        "softmax": 1 / (1 + (1 - m) / m * np.exp(-z * error / (m * (1 - m)))),
        "LinearRegression": m + z * error,
    }
    np.testing.assert_allclose(table.upper, right[name], rtol=1e-6)
    plt.close("all")


def test_categories_offsets_and_pipelines(rng):
    n = 200
    X = pd.DataFrame(
        {"age": rng.integers(20, 70, n), "region": rng.choice(["north", "south", "west"], n, p=[0.2, 0.5, 0.3])}
    )
    X["old"] = X["age"] > 50
    hours = rng.uniform(1, 3, n)
    y = rng.poisson(hours * np.exp(0.01 * X["age"] + 0.5 * (X["region"] == "west")))
    steps = make_column_transformer((OneHotEncoder(drop="first"), ["region", "old"]), (StandardScaler(), ["age"]))
    pipe = make_pipeline(steps, PoissonRegressor(alpha=0, tol=1e-9)).fit(X, y, poissonregressor__offset=np.log(hours))
    display = PredictionDisplay.from_estimator(pipe, X, y, "region", offset=np.log(hours))
    assert display.points.tolist() == ["north", "south", "west"]
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["north", "south", "west"]
    held = pd.DataFrame({"age": X["age"].mean(), "region": display.points, "old": False})
    table = prediction_table(pipe, held, X, y, offset=np.log(hours), offset_new=np.zeros(3))
    assert_equal(display.table, table)
    average = PredictionDisplay.from_estimator(pipe, X, y, "region", offset=np.log(hours), held="average")
    for point, mean in zip(average.points, average.table.mean, strict=True):
        assert mean == pytest.approx(pipe.predict(X.assign(region=point), offset=np.zeros(n)).mean())
    curve = PredictionDisplay.from_estimator(pipe, X, y, "age", offset=np.log(hours))
    assert len(curve.points) == 50
    plt.close("all")


def test_bad_arguments_of_the_picture_are_named(rng):
    X = pd.DataFrame(rows(rng), columns=["age", "income", "size"])
    y = rng.normal(size=150)
    model = Ridge().fit(X, y)
    draw = PredictionDisplay.from_estimator
    assert_refused("feature must be a column of X, got 'agee'. Did you mean 'age'", draw, model, X, y, "agee")
    assert_refused(r"held must be one of \('mean', 'average'\), got 'median'", draw, model, X, y, "age", held="median")
    assert_refused("points must be numbers", draw, model, X, y, "age", points=["a"])
    assert_refused("points must be a sequence of values of age", draw, model, X, y, "age", points=[])
    assert_refused("an average of rows has only a mean", draw, model, X, y, "age", held="average", of="observation")
    assert_refused("cov='laplace' has no intervals of such", draw, model, X, y, "age", held="average", cov="laplace")
    plain = Ridge().fit(X.to_numpy(), y)
    assert_refused("the number of a column of X, from 0 to 2, got 3", draw, plain, X.to_numpy(), y, 3)
    assert_refused("X and y are needed", draw, model, None, y, "age")
    table = prediction_table(model, X, X, y)
    assert_refused("points must have one value for each of the 150 rows", PredictionDisplay, table, [1], feature="a")
