"""Tables, predictions, comparisons and influence of rows in parts: those of the same rows in memory, in few rounds."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import expit

from sk_hessian.inspection import coef_table, compare_models, influence, influential_rows, prediction_table
from sk_hessian.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
)
from sk_hessian.objectives import Blocks
from sk_hessian.solvers import Newton
from tests.estimators import assert_refused

#: rows of the tables, and of each part
N, PART = 900, 170

#: figures of a table
FIGURES = ["estimate", "std_error", "statistic", "p_value", "lower", "upper", "covariance", "df", "n_samples"]
FIGURES += ["effective_df", "df_resid", "dispersion", "log_likelihood", "deviance", "null_deviance", "aic", "bic"]
FIGURES += ["r2", "adjusted_r2", "f_statistic", "pseudo_r2"]

#: model -> the target
MODELS = {
    "least squares": (LinearRegression(), "number"),
    "two targets": (LinearRegression(), "numbers"),
    "ridge": (Ridge(alpha=2.0), "number"),
    "Poisson": (PoissonRegressor(alpha=0), "count"),
    "Poisson, penalised": (PoissonRegressor(alpha=0.1), "count"),
    "Gamma": (GammaRegressor(alpha=0), "positive"),
    "negative binomial": (NegativeBinomialRegressor(alpha=0), "count"),
    "Huber": (HuberRegressor(alpha=0), "number"),
    "two classes": (LogisticRegression(C=np.inf), "two"),
    "three classes": (LogisticRegression(C=np.inf), "three"),
    "class weights": (LogisticRegression(C=np.inf, class_weight="balanced"), "two"),
}

#: covariance -> its options
COVARIANCES = {
    "auto": {},
    "observed": {"cov": "observed"},
    "analytic": {"weights": "analytic"},
    "quasi": {"dispersion": "pearson"},
    "laplace": {"cov": "laplace"},
    "sandwich": {"cov": "sandwich"},
    "HC0": {"cov": "HC0"},
    "HC1": {"cov": "HC1"},
    "clusters": {"cov": "sandwich", "cov_groups": 1},
    "clusters of two kinds": {"cov": "sandwich", "cov_groups": 2},
}


def table():
    """X, targets by name, weights, and labels of two kinds."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(N, 3)) * [1.0, 20.0, 0.01] + [0.0, 2000.0, 5.0]
    raw = (X - X.mean(axis=0)) / X.std(axis=0) @ [0.3, -0.2, 0.1]
    noise = rng.normal(size=N)
    y = {
        "number": raw + noise,
        "numbers": np.column_stack([raw + noise, rng.normal(size=N)]),
        "count": rng.negative_binomial(3, 3 / (3 + np.exp(raw))).astype(float),
        "positive": rng.gamma(3, np.exp(raw) / 3) + 1e-3,
        "two": np.where(rng.random(N) < expit(raw), "yes", "no"),
        "three": np.array(["a", "b", "c"])[np.argmax(rng.normal(size=(N, 3)) + raw[:, None] * [0, 0.5, 1], axis=1)],
    }
    return X, y, rng.integers(1, 4, N).astype(float), rng.integers(0, 40, (N, 2))


X, TARGETS, WEIGHT, LABELS = table()


class Counted(Blocks):
    """Rows of an array in parts; ``rounds`` is how often they were read."""

    def __init__(self, *columns):
        self.columns, self.rounds = columns, 0
        super().__init__(self.parts)

    def parts(self):
        self.rounds += 1
        for start in range(0, N, PART):
            yield tuple(values[start : start + PART] for values in self.columns)


def fitted(name, weight=None):
    """A fit, its target, and its rows in parts."""
    model, target = MODELS[name]
    y = TARGETS[target]
    blocks = Counted(*((X, y) if weight is None else (X, y, weight)))
    return type(model)(**model.get_params()).set_params(tol=1e-11).fit(X, y, weight), y, blocks


def assert_same(found, expected, names, rtol=1e-9):
    for name in names:
        a, b = getattr(found, name), getattr(expected, name)
        assert (a is None) == (b is None), name
        if a is not None:
            scale = np.max(np.abs(np.nan_to_num(b)), initial=0.0) * 1e-12
            np.testing.assert_allclose(a, b, rtol=rtol, atol=scale, err_msg=name)


def result(*args, **options):
    """A table and no message, or None and why there is no such table."""
    try:
        return coef_table(*args, **options), ""
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_tables_are_those_of_rows_in_memory(name, weighted):
    weight = WEIGHT if weighted else None
    model, y, blocks = fitted(name, weight)
    for kind, options in COVARIANCES.items():
        options = dict(options)
        if "cov_groups" in options:
            options["cov_groups"] = LABELS[:, : options["cov_groups"]]
        blocks.rounds = 0
        found, refused = result(model, blocks, None, **options)
        assert blocks.rounds <= MOST_ROUNDS, kind
        expected, message = result(model, X, y, sample_weight=weight, **options)
        assert refused == message, kind
        if expected is None:
            continue
        assert_same(found, expected, FIGURES)
        assert (found.cov, found.convention, found.target) == (expected.cov, expected.convention, expected.target)
        assert found.names == expected.names


#: model -> rounds for the table of "auto" and of the sandwich: the check of the parts, two for the columns' units, one
#: for the curvature, with value and gradient, and one for that of the other kind where they differ, for the figures and
#: the scores
ROUNDS = {"Poisson": (6, 7), "least squares": (6, 7), "Gamma": (7, 7), "two classes": (6, 7)}

#: rounds for any table
MOST_ROUNDS = 11


@pytest.mark.parametrize("name", ROUNDS)
def test_a_table_takes_few_rounds(name):
    model, _, blocks = fitted(name)
    counts = []
    for cov in ("auto", "sandwich"):
        blocks.rounds = 0
        coef_table(model, blocks, None, cov=cov)
        counts.append(blocks.rounds)
    assert all(count <= most for count, most in zip(counts, ROUNDS[name], strict=True)), counts


def test_the_fit_may_be_of_the_parts():
    model, y, blocks = fitted("Poisson")
    own = PoissonRegressor(alpha=0, tol=1e-11).fit(blocks)
    assert_same(coef_table(own, blocks, None), coef_table(model, X, y), FIGURES, rtol=1e-7)


def test_sparse_rows_and_rows_of_weight_zero():
    y, weight = TARGETS["count"], np.where(np.arange(N) % 5 == 0, 0.0, WEIGHT)
    S = sp.csr_array(np.where(np.abs(X) > np.median(np.abs(X), axis=0), X, 0.0))
    model = PoissonRegressor(alpha=0, tol=1e-11).fit(S, y, weight)
    blocks = Counted(S, y, weight)
    expected = coef_table(model, S, y, sample_weight=weight, cov="sandwich")
    assert_same(coef_table(model, blocks, None, cov="sandwich"), expected, FIGURES)
    message = "cov_groups must have one label for each of the 720 rows of positive weight"
    assert_refused(message, coef_table, model, blocks, None, cov="sandwich", cov_groups=LABELS[:, 0])


def test_labels_for_each_part():
    model, y, blocks = fitted("Poisson")
    expected = coef_table(model, X, y, cov="sandwich", cov_groups=LABELS)
    pieces = [LABELS[start : start + PART] for start in range(0, N, PART)]
    for labels in (LABELS, pieces, lambda: iter(pieces), pd.DataFrame(LABELS)):
        assert_same(coef_table(model, blocks, None, cov="sandwich", cov_groups=labels), expected, ["covariance"])


def test_tests_and_ratios_of_a_table_in_parts():
    model, y, blocks = fitted("Poisson")
    found, expected = (coef_table(model, *rows) for rows in ((blocks, None), (X, y)))
    names = ["statistic", "df", "p_value"]
    assert_same(found.wald(["x0", "x2"]), expected.wald(["x0", "x2"]), names)
    assert_same(found.contrast({"x0": 1, "x1": -1}), expected.contrast({"x0": 1, "x1": -1}), names)
    assert_same(found.exp(), expected.exp(), ["lower", "upper"])


@pytest.mark.parametrize("name", ["least squares", "Poisson", "Gamma", "three classes", "ridge"])
def test_predictions_by_rows_in_parts(name):
    model, y, blocks = fitted(name)
    kinds = ("mean",) if name == "three classes" else ("mean", "observation")
    for of in kinds:
        found, expected = (prediction_table(model, X[:7], *rows, of=of) for rows in ((blocks, None), (X, y)))
        assert_same(found, expected, ["mean", "std_error", "lower", "upper"], rtol=1e-8)


@pytest.mark.parametrize("name", ["least squares", "Poisson", "Gamma", "two classes"])
@pytest.mark.parametrize("small", [None, [0, 2]])
def test_comparisons_of_rows_in_parts(name, small):
    model, y, blocks = fitted(name)
    other = None if small is None else type(model)(**model.get_params()).fit(X[:, small], y)
    found = compare_models(other, model, blocks, None, columns=small)
    expected = compare_models(other, model, X, y, columns=small)
    names = ["statistic", "df", "df_denom", "p_value", "log_likelihood", "deviance", "aic", "bic", "dispersion"]
    assert_same(found, expected, names, rtol=1e-6)
    assert found.hypothesis == expected.hypothesis


def test_comparisons_find_columns_by_name():
    F, y = pd.DataFrame(X, columns=list("abc")), TARGETS["count"]
    small, large, other = (PoissonRegressor(alpha=0).fit(F[list(names)], y) for names in ("ca", "abc", "ab"))
    blocks = Counted(F, y)
    expected = compare_models(small, large, F, y)
    assert_same(compare_models(small, large, blocks, None), expected, ["statistic", "p_value"], rtol=1e-6)
    message = "models are not nested: c is not in the large one"
    assert_refused(message, compare_models, small, other, blocks, None)
    unnamed = PoissonRegressor(alpha=0).fit(X[:, :2], y)
    message = "have names in one model and none in the other"
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        assert_refused(message, compare_models, unnamed, large, blocks, None, columns=[0, 1])
    message = "columns must say which columns of X the small model was fitted on: it has 2, X has 3"
    assert_refused(message, compare_models, unnamed, PoissonRegressor(alpha=0).fit(X, y), Counted(X, y), None)
    penalised = [PoissonRegressor(alpha=1.0).fit(F[list(names)], y) for names in ("a", "abc")]
    assert_refused("X must be in memory", compare_models, *penalised, blocks, None)


@pytest.mark.parametrize("name", ["least squares", "ridge", "Poisson", "Gamma", "Huber", "three classes"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_most_influential_rows(name, weighted):
    weight = WEIGHT if weighted else None
    model, y, blocks = fitted(name, weight)
    every = influence(model, X, y, sample_weight=weight)
    labels = every.most_influential(6)
    for rows, given in (((blocks, None), None), ((X, y), weight)):
        found = influential_rows(model, *rows, sample_weight=given, n_rows=6)
        np.testing.assert_array_equal(found.labels, labels)
        for field in ("leverage", "residual", "cooks_distance", "parameter_change", "dfbetas"):
            expected = getattr(every, field)[labels]
            atol = 1e-9 * np.abs(expected).max()
            np.testing.assert_allclose(getattr(found, field), expected, rtol=1e-6, atol=atol, err_msg=field)
        assert found.n_effective_parameters == pytest.approx(every.n_effective_parameters, rel=1e-9)
    assert_refused("influential_rows has the most influential ones", influence, model, blocks, None)


def test_what_needs_single_rows_is_refused_by_name():
    model, _, blocks = fitted("Poisson")
    for cov, instead in {"HC2": "HC1", "HC3": "HC1", "HAC": "sandwich", "profile": "expected"}.items():
        reason = "takes many rounds" if cov == "profile" else "needs all rows in memory"
        message = f"cov='{cov}' {reason}, and these come in parts: use cov='{instead}'"
        assert_refused(message, coef_table, model, blocks, None, cov=cov)
    firth = LogisticRegression(C=np.inf, jeffreys=True).fit(X, TARGETS["two"])
    assert coef_table(firth, Counted(X, TARGETS["two"]), None).cov == "expected"
    other = Counted(X[::-1], TARGETS["count"])
    assert_refused("not at the optimum for these rows", coef_table, model, other, None)


# -- a stream's own memory --------------------------------------------------------------------------------------------


def streamed(name, n_rows=N, **options):
    model, target = MODELS[name]
    model = type(model)(**model.get_params()).set_params(tol=1e-6)
    y = TARGETS[target]
    if hasattr(model, "decision_function"):
        options["classes"] = np.unique(y)
    for start in range(0, n_rows, 50):
        model.partial_fit(X[start : start + 50], y[start : start + 50], **options)
    return model, y


@pytest.mark.parametrize("name", ["least squares", "Poisson", "two classes", "three classes"])
def test_a_stream_has_a_table_of_its_memory(name):
    """Rows that are kept, and squared loss, are exact; the tables of rows in memory say the same."""
    model, y = streamed(name)
    found, whole = coef_table(model, None, None), type(model)(**model.get_params()).fit(X, y)
    expected = coef_table(whole, X, y)
    figures = ["std_error", "lower", "p_value", "df", "n_samples", "effective_df", "df_resid", "dispersion"]
    if name == "least squares":
        figures.append("deviance")
    for field in figures:
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=2e-3, atol=1e-9, err_msg=field)
    np.testing.assert_allclose(found.wald(["x0"]).statistic, expected.wald(["x0"]).statistic, rtol=5e-3)
    assert "the stream's memory of 900 rows" in str(found).replace("\n", " ")
    assert found.log_likelihood is None
    assert found.aic is None


def test_the_posterior_of_a_stream():
    model, y = streamed("ridge")
    found, expected = (coef_table(model, *rows, cov="laplace") for rows in ((None, None), (X, y)))
    np.testing.assert_allclose(found.std_error, expected.std_error, rtol=1e-8)
    np.testing.assert_allclose(found.effective_df, expected.effective_df, rtol=1e-8)
    assert_refused("Use cov='laplace', a posterior whose prior is the penalty", coef_table, model, None, None)


def test_what_a_stream_does_not_remember_is_refused_by_name():
    model, _ = streamed("Poisson")
    message = (
        r"coef_table of a stream's memory \(X is None\): it has cov='expected' only, and cov='sandwich' needs the rows"
    )
    assert_refused(message, coef_table, model, None, None, cov="sandwich")
    assert_refused("has no Pearson residuals|has none", coef_table, model, None, None, dispersion="pearson")
    assert_refused("cov_groups and lags need single rows", coef_table, model, None, None, cov_groups=LABELS[:, 0])
    assert_refused("its weights are frequencies", coef_table, model, None, None, weights="analytic")
    assert_refused("sample_weight belongs to rows", coef_table, model, None, None, sample_weight=WEIGHT)
    gamma, _ = streamed("Gamma")
    assert_refused("take dispersion='deviance'", coef_table, gamma, None, None)
    assert coef_table(gamma, None, None, dispersion=0.5).dispersion == 0.5
    assert_refused("of several targets", coef_table, streamed("two targets")[0], None, None)
    assert_refused("X and y are needed.*Only a stream", coef_table, fitted("Poisson")[0], None, None)
    diagonal = LinearRegression()
    diagonal.set_params(solver=Newton(precondition="diagonal")).partial_fit(X, TARGETS["number"])
    assert_refused("without their correlations", coef_table, diagonal, None, None)


@pytest.mark.parametrize("column", ["constant", "dependent"])
def test_columns_that_a_stream_does_not_determine(column):
    Z = np.column_stack([X, np.full(N, 7.0) if column == "constant" else X[:, 0] + X[:, 2]])
    model = LinearRegression()
    for start in range(0, N, 300):
        model.partial_fit(Z[start : start + 300], TARGETS["number"][start : start + 300])
    assert_refused("do not determine every coefficient: .*x3", coef_table, model, None, None)
