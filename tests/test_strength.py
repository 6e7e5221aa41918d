"""Estimators whose fit chooses the strength of its penalty, by the evidence or by leave-one-out."""

import pickle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import BayesianRidge, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_hessian.inspection import (
    PenaltyPathDisplay,
    coef_table,
    laplace,
    leave_one_out,
    leave_one_out_path,
    tune_alpha,
)
from sk_hessian.linear_model import (
    GammaRegressor,
    GeneralizedLinearRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import Blocks, HuberLoss, TweedieLoss
from tests.checks import WEIGHTS, checks
from tests.estimators import assert_refused, convergence_warnings


def diabetes():
    return load_diabetes(return_X_y=True)


def cancer(columns=30, every=1):
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X[::every, :columns], y[::every]


def counts(rng, n=150, p=4):
    X = rng.normal(size=(n, p))
    return X, rng.poisson(np.exp(0.5 * X[:, 0] + 0.3 * X[:, 1] + 0.5)).astype(float)


def network(units, **options):
    return MLPRegressor(hidden_layer_sizes=(units,), activation="tanh", random_state=0, **options)


def chosen(model):
    return model.C_ if hasattr(model, "C") else model.alpha_


# -- squared errors ---------------------------------------------------------------------------------------------------


def log_marginal(X, y, alpha):
    """The logarithm of the density of y, normal with covariance phi (X X' / alpha + I), the largest over phi."""
    values, vectors = np.linalg.eigh(X @ X.T)
    spread, along = values / alpha + 1, vectors.T @ y
    phi = np.mean(along**2 / spread)
    return -0.5 * (np.log(2 * np.pi * phi * spread).sum() + len(y))


def test_the_evidence_of_ridge_is_the_closed_form_and_that_of_bayesian_ridge():
    X, y = diabetes()
    X, y = X - X.mean(axis=0), y - y.mean()
    model = Ridge("evidence", fit_intercept=False).fit(X, y)
    expected = [log_marginal(X, y, alpha) for alpha in model.penalty_path_.values]
    np.testing.assert_allclose(model.penalty_path_.score, expected, rtol=1e-9)
    best = minimize_scalar(lambda log: -log_marginal(X, y, np.exp(log)), bounds=(-8, 2), options={"xatol": 1e-10})
    assert np.log(model.alpha_) == pytest.approx(best.x, abs=1e-6)
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0)
    theirs = BayesianRidge(**flat, tol=1e-12, max_iter=10_000, fit_intercept=False).fit(X, y)
    assert model.alpha_ == pytest.approx(theirs.lambda_ / theirs.alpha_, rel=1e-3)
    np.testing.assert_allclose(model.coef_, theirs.coef_, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "n", "several"),
    [
        ({}, 442, False),
        ({"penalty_weights": [1, 0, 3, 1, 1, 0, 1, 1, 1, 1]}, 60, False),
        ({"penalty_matrix": 0.1 + np.eye(10)}, 60, False),
        ({"fit_intercept": False}, 60, True),
        ({}, 8, True),
    ],
)
def test_the_path_of_ridge_is_that_of_single_fits(options, n, several):
    X, y = (part[:n] for part in diabetes())
    y = np.column_stack([y, 1e3 * (y + 50 * np.sin(np.arange(n)))]) if several else y
    weight = np.resize([1.0, 2.0, 0.5], n)
    for criterion in ("evidence", "loo"):
        model = convergence_warnings(lambda c=criterion: Ridge(c, **options).fit(X, y, weight))[0]
        path = model.penalty_path_
        some = slice(2, None, 9)
        for alpha, score, df in zip(path.values[some], path.score[some], path.effective_df[some], strict=True):
            fit = Ridge(alpha, **options).fit(X, y, weight)
            if criterion == "loo":
                assert score == pytest.approx(leave_one_out(fit, X, y, sample_weight=weight).loss, rel=1e-5)
                continue
            posterior = laplace(fit, X, y, sample_weight=weight, dispersion="evidence")
            assert score == pytest.approx(posterior.log_evidence, rel=1e-7)
            assert df == pytest.approx(posterior.effective_df, rel=1e-5)
        better = np.max if criterion == "evidence" else np.min
        assert path.score[path.values == path.value] == pytest.approx(better(path.score), rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_leave_one_out_of_ridge_is_brute_force_and_ridge_cv(scale, rng):
    X, y = (part[:50] for part in diabetes())
    X = X * scale
    model = Ridge("loo").fit(X, y)

    def brute_force(log):
        fits = [Ridge(np.exp(log)).fit(np.delete(X, i, 0), np.delete(y, i)) for i in range(50)]
        return np.mean([(fit.predict(X[i : i + 1])[0] - y[i]) ** 2 for i, fit in enumerate(fits)])

    own, beside = brute_force(np.log(model.alpha_)), [brute_force(np.log(model.alpha_) + d) for d in (-0.3, 0.3)]
    assert own < min(beside)
    assert model.penalty_path_.score.min() == pytest.approx(own / 2, rel=1e-3)
    theirs = RidgeCV(np.append(model.alpha_ * np.exp([-0.3, 0.3]), model.alpha_)).fit(X - X.mean(0), y)
    assert theirs.alpha_ == model.alpha_


# -- other losses -----------------------------------------------------------------------------------------------------


def by_quadrature(model, X, y, log_likelihood, strengths):
    """The logarithm of the integral of the likelihood times the prior, one coefficient and no intercept."""
    grid = np.linspace(-30, 30, 60_001)
    fits = log_likelihood(y[:, None], np.outer(X[:, 0], grid)).sum(axis=0)
    prior = 0.5 * np.log(strengths[:, None] / (2 * np.pi)) - 0.5 * strengths[:, None] * grid**2
    return np.log(np.trapezoid(np.exp(fits + prior), grid, axis=1))


@pytest.mark.parametrize("kind", [LogisticRegression, PoissonRegressor])
def test_the_evidence_is_that_of_quadrature(kind, rng):
    X = rng.normal(size=(60, 1))
    if kind is LogisticRegression:
        y = (rng.random(60) < expit(X[:, 0])).astype(float)
        model = kind("evidence", fit_intercept=False).fit(X, y)
    else:
        y = rng.poisson(np.exp(0.6 * X[:, 0])).astype(float)
        model = kind(alpha="evidence", fit_intercept=False).fit(X, y)
    path = model.penalty_path_
    # alpha is beside the mean loss, C beside the sum
    strengths = 1 / path.values if kind is LogisticRegression else 60 * path.values

    def log_likelihood(y, raw):
        if kind is LogisticRegression:
            return y * raw - np.logaddexp(0, raw)
        return y * raw - np.exp(raw) - gammaln(y + 1)

    fitted = path.is_fit
    expected = by_quadrature(model, X, y, log_likelihood, strengths)
    np.testing.assert_allclose(path.score[fitted], expected[fitted], atol=0.02)
    assert np.abs(np.log(strengths[np.argmax(expected)] / strengths[path.values == path.value])) < 0.5


CASES = {
    "logistic": LogisticRegression(),
    "softmax": LogisticRegression(),
    "poisson": PoissonRegressor(),
    "gamma": GammaRegressor(),
    "tweedie": TweedieRegressor(power=1.5),
    "generalized": GeneralizedLinearRegressor(TweedieLoss(1, "log")),
    "negative binomial": NegativeBinomialRegressor(),
    "huber": HuberRegressor(),
}


def data_for(name, rng, iris):
    if name == "logistic":
        return cancer(10, 3)
    if name == "softmax":
        return iris
    X, y = diabetes()
    if name in ("gamma", "huber", "tweedie"):
        return X, y
    return X, rng.poisson(y / 10 * rng.gamma(2, 0.5, size=len(y))) if name == "negative binomial" else np.round(y / 30)


@pytest.mark.parametrize("name", [name for name in CASES if name != "huber"])
def test_the_chosen_strength_is_where_the_evidence_is_most(name, rng, iris):
    X, y = data_for(name, rng, iris)
    model = clone(CASES[name])
    parameter = "C" if hasattr(model, "C") else "alpha"
    model.set_params(**{parameter: "evidence"}).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.penalty_path_.is_fit.sum() <= 7
    if name == "negative binomial":
        # the evidence is that of the coefficients beside the theta of their fit
        assert np.isfinite(model.theta_)
        return
    tuned = tune_alpha(clone(model).set_params(**{parameter: chosen(model)}), X, y)
    assert np.log(chosen(model) / tuned.value) == pytest.approx(0, abs=0.05)
    own = model.penalty_path_.score[model.penalty_path_.values == chosen(model)]
    assert own == pytest.approx(tuned.posterior.log_evidence, abs=0.01)


@pytest.mark.parametrize("name", list(CASES))
def test_the_chosen_strength_is_where_leave_one_out_is_least(name, rng, iris):
    X, y = data_for(name, rng, iris)
    model = clone(CASES[name])
    parameter = "C" if hasattr(model, "C") else "alpha"
    model.set_params(**{parameter: "loo"}).fit(X, y)
    assert model.penalty_path_.is_fit.sum() <= 8
    grid = chosen(model) * np.exp([-1.5, -0.7, 0.0, 0.7, 1.5])
    losses = leave_one_out_path(model, X, y, grid).loss
    null = leave_one_out_path(model, X, y, [grid[0] * (1e-6 if parameter == "C" else 1e6)]).loss[0]
    assert losses[2] - losses.min() < 0.02 * (null - losses.min())


def test_a_strength_does_not_depend_on_units_of_the_target_nor_on_how_x_is_stored(rng):
    X, y = cancer(8, 4)
    plain = LogisticRegression("evidence").fit(X, y)
    for other in (LogisticRegression("evidence").fit(sp.csr_array(X), y), LogisticRegression("evidence").fit(X, y + 3)):
        assert pytest.approx(plain.C_, rel=1e-6) == other.C_
    moved = LogisticRegression("evidence").fit(1e3 * X + 1e4, y)
    assert pytest.approx(1e-6 * plain.C_, rel=1e-4) == moved.C_
    X, y = diabetes()
    for criterion in ("evidence", "loo"):
        assert Ridge(criterion).fit(X, 1e3 * y).alpha_ == pytest.approx(Ridge(criterion).fit(X, y).alpha_, rel=1e-6)


@pytest.mark.parametrize("criterion", ["evidence", "loo"])
@pytest.mark.parametrize("model", [LogisticRegression(), PoissonRegressor(), Ridge(), HuberRegressor()])
def test_more_columns_than_rows(model, criterion, rng):
    """Within the span of the rows: the scores are those of fits to all columns, also of a sparse matrix."""
    X = sp.random_array((60, 200), density=0.2, rng=rng, format="csr")
    eta = X @ (0.7 * rng.normal(size=200))
    y = eta + rng.logistic(size=60)
    y = y > 0 if hasattr(model, "C") else rng.poisson(np.exp(0.3 * eta)) if hasattr(model, "_loss") else y
    if criterion not in model._criteria:
        return
    parameter = "C" if hasattr(model, "C") else "alpha"
    model = clone(model).set_params(**{parameter: criterion, "tol": 1e-6})
    fits = [convergence_warnings(lambda X=X: clone(model).fit(X, y))[0] for X in (X, X.toarray() + 5, X.toarray())]
    assert chosen(fits[0]) == pytest.approx(chosen(fits[1]), rel=1e-3)
    np.testing.assert_allclose(fits[0].coef_, fits[1].coef_, rtol=1e-2, atol=1e-3)
    fit = clone(model).set_params(**{parameter: chosen(fits[0])}).fit(X.toarray(), y)
    own = fits[0].penalty_path_.score[fits[0].penalty_path_.values == chosen(fits[0])][0]
    if criterion == "evidence":
        assert own == pytest.approx(laplace(fit, X, y, dispersion="evidence").log_evidence, abs=0.02)
    else:
        assert own == pytest.approx(leave_one_out(fits[2], X.toarray(), y).loss, rel=0.05)


def test_an_offset_and_weights_count(rng):
    X, y = counts(rng)
    copies = rng.integers(1, 4, size=len(y))
    rows = np.repeat(np.arange(len(y)), copies)
    weighted = PoissonRegressor(alpha="evidence").fit(X, y, copies)
    assert weighted.alpha_ == pytest.approx(PoissonRegressor(alpha="evidence").fit(X[rows], y[rows]).alpha_, rel=1e-3)
    shift = rng.normal(size=len(y))
    moved = [PoissonRegressor(alpha="loo").fit(X, y, offset=shift + by).alpha_ for by in (0, 2)]
    assert moved[0] == pytest.approx(moved[1], rel=0.05)


# -- as an estimator --------------------------------------------------------------------------------------------------


def test_tools_of_scikit_learn():
    X, y = cancer()
    model = make_pipeline(StandardScaler(), LogisticRegression("evidence")).fit(X, y)
    last = pickle.loads(pickle.dumps(model))[-1]
    assert last.C_ == model[-1].C_
    assert last.get_params()["C"] == clone(last).C == "evidence"
    assert not hasattr(clone(last), "C_")
    assert isinstance(last.C_, float)
    np.testing.assert_allclose(
        last.coef_, LogisticRegression(last.C_).fit(model[0].transform(X), y).coef_, rtol=1e-2, atol=1e-3
    )
    search = GridSearchCV(Ridge(), {"alpha": ["evidence", "loo", 1.0]}, error_score="raise").fit(*diabetes())
    assert search.best_params_["alpha"] in ("evidence", "loo")
    assert Ridge().alpha == 1.0
    assert LogisticRegression().C == 1.0
    assert not hasattr(Ridge().fit(*diabetes()), "alpha_")


def test_inspection_takes_the_chosen_strength():
    X, y = diabetes()
    model = Ridge("evidence").fit(X, y)
    posterior = laplace(model, X, y, dispersion="evidence")
    assert posterior.fixed_point == pytest.approx(1, abs=1e-3)
    assert posterior.log_evidence == pytest.approx(model.penalty_path_.score.max(), rel=1e-12)
    assert leave_one_out(model, X, y).loss > leave_one_out(Ridge("loo").fit(X, y), X, y).loss


def test_a_later_fit_forgets_and_a_stream_keeps_what_was_chosen(rng):
    X, y = counts(rng)
    model = PoissonRegressor(alpha="loo").fit(X, y)
    first = model.alpha_
    model.partial_fit(X, y).partial_fit(X, y)
    assert model.alpha_ == first
    stream = PoissonRegressor(alpha="loo").partial_fit(X, y)
    assert stream.alpha_ == first
    model.set_params(alpha=2.0).fit(X, y)
    assert not hasattr(model, "alpha_")
    assert not hasattr(model, "penalty_path_")


def test_the_path_is_a_table():
    path = LogisticRegression("evidence").fit(*cancer(8, 4)).penalty_path_
    assert list(path.to_frame().columns) == ["C", "score", "effective_df", "is_fit"]
    assert (np.diff(path.values) > 0).all()
    assert str(path).count("chosen") == 1
    assert "log evidence" in str(path).splitlines()[0]


@pytest.mark.parametrize("model", [Ridge("loo"), LogisticRegression("evidence"), LogisticRegression("loo")])
def test_the_path_is_plotted(model):
    plt.switch_backend("agg")
    X, y = cancer(8, 4)
    display = PenaltyPathDisplay.from_estimator(make_pipeline(StandardScaler(), model).fit(X, y), linewidth=3)
    path = display.path
    curve, fits, line = display.lines_
    np.testing.assert_array_equal(curve.get_xdata(), path.values)
    np.testing.assert_array_equal(fits.get_ydata(), path.score[path.is_fit])
    assert (curve.get_linewidth(), line.get_xdata()[0]) == (3, path.value)
    low, high = display.ax_.get_ylim()
    best = path.score.max() if path.criterion == "evidence" else path.score.min()
    assert low < best < high
    assert display.ax_.get_xlabel() == path.parameter
    assert_refused("has chosen no penalty", PenaltyPathDisplay.from_estimator, Ridge().fit(X, y))
    plt.close("all")


def test_a_table_of_coefficients_says_how_the_penalty_came_about():
    X, y = diabetes()
    model = Ridge("evidence").fit(X, y)
    assert f"L2 with alpha = {model.alpha_:.6g} (evidence)" in str(coef_table(model, X, y, cov="laplace"))


MODELS = {
    "Ridge-evidence": Ridge("evidence", tol=1e-8),
    "Ridge-loo": Ridge("loo", tol=1e-8),
    "LogisticRegression-evidence": LogisticRegression("evidence", tol=1e-8),
    "PoissonRegressor-loo": PoissonRegressor(alpha="loo", tol=1e-8),
    "MLPRegressor": MLPRegressor(
        hidden_layer_sizes=(3,), activation="tanh", alpha="evidence", random_state=0, tol=1e-8
    ),
}
#: a row of weight two is left out as a whole, and of two rows one; the evidence of weighted classes is none
LEFT_OUT = dict.fromkeys(WEIGHTS, "a row is left out with all its weight")
CLASSES = {"check_class_weight_classifiers": "class_weight leaves no likelihood"}


@checks(
    MODELS, failing={"Ridge-loo": LEFT_OUT, "PoissonRegressor-loo": LEFT_OUT, "LogisticRegression-evidence": CLASSES}
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# -- ends, failures, bad input ----------------------------------------------------------------------------------------


def test_no_sign_of_an_effect_is_the_strong_end_with_a_warning():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    Z = np.column_stack([np.ones(50), X])
    residual = y - Z @ np.linalg.lstsq(Z, y)[0]
    for criterion in ("evidence", "loo"):
        model, said = convergence_warnings(lambda c=criterion: Ridge(c).fit(X, residual + 1e-3 * X[:, 0]))
        assert model.penalty_path_.at_end == "strong"
        assert model.alpha_ == model.penalty_path_.values[0]
        assert f'alpha="{criterion}"' in said[0]
        assert f"at the strong end of the penalties that were searched, alpha={model.alpha_:.4g}" in said[0]


def test_a_target_without_noise_is_the_weak_end_with_a_warning():
    X, _ = diabetes()
    model, said = convergence_warnings(lambda: Ridge("evidence").fit(X, X[:, 0]))
    assert model.penalty_path_.at_end == "weak"
    assert "weak end" in said[0]
    np.testing.assert_allclose(model.predict(X), X[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        Ridge("evidence"),
        Ridge("loo"),
        PoissonRegressor(alpha="loo"),
        HuberRegressor(alpha="loo"),
        network(2, alpha="evidence"),
    ],
)
def test_a_constant_target_says_nothing(model, rng):
    model, said = convergence_warnings(lambda: clone(model).fit(rng.normal(size=(20, 2)), np.full(20, 3.0)))
    assert "a constant predicts y perfectly" in said[0]
    np.testing.assert_allclose(model.predict(rng.normal(size=(5, 2))), 3.0, rtol=1e-3)


@pytest.mark.parametrize("criterion", ["evidence", "loo"])
def test_separated_classes_have_a_finite_strength(criterion, rng):
    X = rng.normal(size=(60, 3))
    model, _ = convergence_warnings(lambda: LogisticRegression(criterion).fit(X, X[:, 0] > 0))
    assert 0 < model.C_ < np.inf
    assert np.isfinite(model.coef_).all()
    assert model.score(X, X[:, 0] > 0) > 0.95


def test_a_fit_on_the_way_that_is_no_optimum_is_left_out_and_named(monkeypatch, rng):
    from sk_hessian import _strength

    honest, seen = _strength.minimize, []

    def at_first_too_short(objective, start, **options):
        seen.append(objective)
        return honest(objective, start, **({**options, "max_iter": 1, "tol": 1e-12} if len(seen) == 1 else options))

    monkeypatch.setattr(_strength, "minimize", at_first_too_short)
    X, y = counts(rng)
    model, said = convergence_warnings(lambda: PoissonRegressor(alpha="evidence").fit(X, y))
    assert len(model.penalty_path_.left_out) == 1
    assert f"alpha={model.penalty_path_.left_out[0]:.4g} could not be judged and was left out" in said[-1]
    monkeypatch.undo()
    assert model.alpha_ == pytest.approx(PoissonRegressor(alpha="evidence").fit(X, y).alpha_, rel=0.05)


def test_what_cannot_be_chosen_is_refused(rng):
    X, y = diabetes()
    labels = y > 150
    for name in ("gcv", "Evidence", ""):
        message = f"alpha must be a number >= 0, got '{name}'; 'evidence' or 'loo' lets the fit choose one"
        assert_refused(message, Ridge(name).fit, X, y, error=TypeError)
    assert_refused(
        "C must be a number > 0, got 'auto'; 'evidence' or 'loo' lets",
        LogisticRegression("auto").fit,
        X,
        labels,
        error=TypeError,
    )
    assert_refused("alpha='evidence' needs a likelihood, which this loss does not have: use 'loo'",
                   HuberRegressor(alpha="evidence").fit, X, y)  # fmt: skip
    assert_refused("alpha='loo' needs a linear model: use 'evidence'", MLPRegressor(alpha="loo").fit, X, y)
    assert_refused('alpha="evidence" needs early_stopping=False',
                   MLPRegressor(alpha="evidence", early_stopping=True).fit, X, y)  # fmt: skip
    assert_refused('alpha="evidence" needs a likelihood, which this loss does not have: use alpha="loo"',
                   GeneralizedLinearRegressor(HuberLoss(), alpha="evidence").fit, X, y)  # fmt: skip
    assert_refused("class_weight leaves only a pseudo-likelihood",
                   LogisticRegression("evidence", class_weight="balanced").fit, X, labels)  # fmt: skip
    assert_refused("jeffreys=True needs C=np.inf", LogisticRegression("loo", jeffreys=True).fit, X, labels)
    assert_refused("penalty_weights are all zero", Ridge("loo", penalty_weights=np.zeros(10)).fit, X, y)
    assert_refused("at least two rows of positive weight: n_samples = 1", Ridge("loo").fit, X[:2], y[:2], [1.0, 0.0])
    assert_refused("y has 1 rows of the class True", LogisticRegression("loo").fit, X[:9], np.arange(9) == 0)
    with pytest.raises(AttributeError):
        LinearRegression().fit(X, y).alpha_  # noqa: B018


@pytest.fixture(scope="module")
def words():
    """Sparse counts of more than 3,000 rows and columns, and two classes of them."""
    rng = np.random.default_rng(0)
    columns = (3200 * rng.random(3100 * 30) ** 3).astype(int)
    X = sp.csr_array((rng.exponential(size=columns.size), columns, np.arange(0, columns.size + 1, 30)), (3100, 3200))
    X.sum_duplicates()
    eta = X @ rng.normal(size=3200)
    return X, 1.5 * eta / eta.std() + rng.logistic(size=3100) > 0


def test_what_is_too_large_is_refused_before_any_fit(words, rng, monkeypatch):
    from sk_hessian import _base, _strength

    def no_fit(*arguments, **options):
        raise AssertionError("a fit")

    monkeypatch.setattr(_strength, "minimize", no_fit)
    monkeypatch.setattr(_base, "minimize", no_fit)
    X, y = words
    matrix = "needs a matrix of 3100 columns, as many as rows or features"
    for model in (LogisticRegression("evidence"), PoissonRegressor(alpha="evidence")):
        assert_refused(f'{matrix}.*use (C|alpha)="loo", which needs none', model.fit, X, y)
    assert_refused('C="loo" needs a matrix of 9300 columns.*most: give C a number',
                   LogisticRegression("loo").fit, X, rng.integers(3, size=3100))  # fmt: skip
    unpenalised = Ridge("loo", penalty_weights=[0] + [1] * 3199)
    assert_refused("needs a matrix of 3200 columns.*most: give alpha a number", unpenalised.fit, X, y)
    assert_refused("full posterior.*C=.loo. lets a fit choose", tune_alpha, LogisticRegression(), X, y)


# -- many rows and columns --------------------------------------------------------------------------------------------


def test_leave_one_out_by_products_is_that_by_a_factor(monkeypatch):
    """The same strengths and losses, up to the noise of the draws."""
    from sk_hessian._selection import choice

    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 60)) * np.geomspace(3, 0.1, 60)
    eta = X[:, :20] @ rng.normal(size=20)
    targets = {
        Ridge("loo"): eta + 3 * rng.normal(size=400),
        LogisticRegression("loo"): eta / 4 + rng.logistic(size=400) > 0,
        PoissonRegressor(alpha="loo"): rng.poisson(np.exp(eta / 20)).astype(float),
    }
    for model, y in targets.items():
        exact = clone(model).fit(sp.csr_array(X), y)
        monkeypatch.setattr(choice, "_MOST_COLUMNS", 10)
        for rows in (X, sp.csr_array(X)):
            near = clone(model).fit(rows, y)
            assert near.convergence_.status == "optimal"
            grid = leave_one_out_path(near, X, y, [chosen(near), chosen(exact)])
            null = leave_one_out_path(near, X, y, [1e-6 if hasattr(near, "C") else 1e8]).loss[0]
            assert grid.loss[0] - grid.loss[1] < 1e-3 * (null - grid.loss[1])
            assert near.penalty_path_.score.min() == pytest.approx(grid.loss[0], rel=0.02)
        assert clone(model).fit(rows, y).coef_.tolist() == near.coef_.tolist()
        monkeypatch.undo()


def test_leave_one_out_of_text_takes_few_products(words, monkeypatch):
    from sk_hessian._selection import products_curve

    X, y = words
    rounds, honest = [], products_curve.WorkingRows.product
    monkeypatch.setattr(products_curve.WorkingRows, "product", lambda *a: rounds.append(1) or honest(*a))
    model = LogisticRegression("loo").fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.penalty_path_.at_end == ""
    assert model.penalty_path_.is_fit.sum() <= 4
    assert sum(rounds) < 150
    beside = [LogisticRegression(model.C_ * factor).fit(X[::2], y[::2]) for factor in (0.1, 1.0, 10.0)]
    losses = [log_loss(y[1::2], fit.predict_proba(X[1::2])) for fit in beside]
    assert losses[1] < min(losses[0], losses[2])


# -- rows in parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logistic", "softmax", "poisson", "gamma", "negative binomial", "ridge"])
def test_evidence_of_rows_in_parts_is_that_of_all(name, rng, iris):
    X, y = diabetes() if name == "ridge" else data_for(name, rng, iris)
    model = Ridge() if name == "ridge" else clone(CASES[name])
    model.set_params(**{"C" if hasattr(model, "C") else "alpha": "evidence"})
    parts = Blocks(lambda: ((X[i : i + 60], y[i : i + 60]) for i in range(0, len(y), 60)))
    whole, apart = clone(model).fit(X, y), clone(model).fit(parts)
    assert chosen(apart) == pytest.approx(chosen(whole), rel=1e-6)
    assert apart.penalty_path_.score.max() == pytest.approx(whole.penalty_path_.score.max(), rel=1e-9)
    np.testing.assert_allclose(apart.coef_, whole.coef_, rtol=1e-4, atol=1e-8)


def test_what_needs_rows_in_memory_is_refused_by_name():
    X, y = cancer(8, 4)
    parts = Blocks(lambda: [(X, y)])
    assert_refused('C="loo" needs X in memory, and here it comes in parts: use C="evidence", or give C a number',
                   LogisticRegression("loo").fit, parts)  # fmt: skip
    assert_refused('alpha="loo" needs X in memory.*parts: give alpha a number', HuberRegressor(alpha="loo").fit, parts)


# -- networks ---------------------------------------------------------------------------------------------------------


def test_a_network_chooses_its_weight_decay_whatever_the_units():
    X, y = diabetes()
    X, rest, y, y_rest = X[:300], X[300:], y[:300], y[300:]
    chooser = network(5, alpha="evidence")
    model = clone(chooser).fit(X, y)
    assert model.score(rest, y_rest) > 0.35 > clone(chooser).set_params(alpha=1e-4).fit(X, y).score(rest, y_rest)
    moved = clone(chooser).fit(1e3 * X + 1e4, 1e-2 * y + 7)
    assert moved.alpha_ == pytest.approx(model.alpha_, rel=0.05)
    posterior = laplace(model, X, y, dispersion="evidence", hidden_biases="fixed")
    assert np.log(posterior.fixed_point) == pytest.approx(0, abs=0.3)
    assert posterior.log_evidence == pytest.approx(model.penalty_path_.score.max(), abs=0.1)
    Z, z = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    standardised = clone(chooser).set_params(alpha=model.alpha_).fit(Z, z)
    assert np.corrcoef(standardised.predict(Z), model.predict(X))[0, 1] > 0.95


def test_a_classifier_and_several_starts(iris):
    X, y = iris
    one = MLPClassifier((3,), "tanh", alpha="evidence", random_state=0).fit(X, y)
    assert one.score(X, y) > 0.95
    several = clone(one).set_params(n_init=3).fit(X, y)
    assert several.penalty_path_.score.max() >= one.penalty_path_.score.max()


def test_a_stream_of_a_network_keeps_the_decay_of_its_fit(iris):
    X, y = diabetes()
    model = MLPRegressor(
        hidden_layer_sizes=(3,), activation="tanh", alpha="evidence", solver="newton", random_state=0
    ).fit(X[:200], y[:200])
    alpha = model.alpha_
    model.partial_fit(X[200:300], y[200:300])
    assert model.alpha_ == alpha
    assert np.isfinite(model.predict(X)).all()


# -- groups of columns ------------------------------------------------------------------------------------------------


def grouped(rng):
    """Columns of three groups with large, small and no coefficients."""
    X = pd.DataFrame(rng.normal(size=(200, 12)), columns=[f"{'abc'[i // 4]}_{i % 4}" for i in range(12)])
    coef = np.concatenate([2 * rng.normal(size=4), 0.2 * rng.normal(size=4), np.zeros(4)])
    return X, X.to_numpy() @ coef + rng.normal(size=200)


@pytest.mark.parametrize("model", [Ridge(2.0), LogisticRegression(0.5), PoissonRegressor(alpha=0.1)])
def test_groups_have_the_strengths_of_most_evidence(model, rng):
    X, y = grouped(rng)
    y = y > 0 if isinstance(model, LogisticRegression) else np.round(np.exp(y / 4)) if model.alpha < 1 else y
    model = clone(model).set_params(penalty_weights={"a_*": "evidence", "b_*": "evidence", "c_*": 3.0, "c_0": 0})
    model.fit(X, y)
    weights = model.penalty_weights_
    np.testing.assert_array_equal(weights[8:], [0, 3, 3, 3])
    assert 0 < weights[0] == weights[3] < weights[4] == weights[7]

    def evidence(weights):
        other = clone(model).set_params(penalty_weights=weights).fit(X, y)
        return laplace(other, X, y, dispersion="evidence").log_evidence

    best = evidence(weights)
    for group in (slice(0, 4), slice(4, 8)):
        for factor in (0.7, 1.4):
            beside = weights.copy()
            beside[group] *= factor
            # a fixed point leaves out how the curvature changes with the fit
            assert evidence(beside) < best + (0 if isinstance(model, Ridge) else 0.01)
    assert laplace(model, X, y, dispersion="evidence").log_evidence == pytest.approx(best, abs=1e-3)


def test_with_a_named_strength_the_other_columns_are_a_group_too(rng):
    X, y = grouped(rng)
    model = Ridge("evidence", penalty_weights={"a_*": "evidence", "c_0": 0}).fit(X, y)
    assert model.penalty_weights_[0] < 0.1
    np.testing.assert_array_equal(model.penalty_weights_[4:], [1, 1, 1, 1, 0, 1, 1, 1])
    same = Ridge(penalty_weights={"a_*": "evidence", "[bc]_*": "evidence", "c_0": 0}).fit(X, y)
    np.testing.assert_allclose(model.alpha_ * model.penalty_weights_, same.penalty_weights_, rtol=0.02)
    series = Ridge("evidence", penalty_weights=pd.Series({"a_*": "evidence", "c_0": 0})).fit(X, y)
    np.testing.assert_array_equal(series.penalty_weights_, model.penalty_weights_)


def test_a_group_without_an_effect_is_named(rng):
    X, y = grouped(rng)
    X["c_0"] -= X["c_0"].mean()
    rest = X.drop(columns=["c_1", "c_2", "c_3"])
    Z = np.column_stack([np.ones(200), rest])
    y = y - rest["c_0"] * np.linalg.lstsq(Z, y)[0][-1]
    model, said = convergence_warnings(lambda: Ridge(penalty_weights={"c_0": "evidence"}).fit(rest, y))
    assert "the evidence has no maximum for 'c_0'. They are at the strong end" in said[0]
    assert abs(model.coef_[-1]) < 1e-3


def test_bad_groups_are_refused(rng):
    X, y = grouped(rng)
    for weights, message in (
        ({"d_*": "evidence"}, "penalty_weights names the column 'd_\\*', which X does not have"),
        ({"a_*": "evidence", "a_0*": 1}, "the column 'a_0' is in 'a_\\*' and in 'a_0\\*'"),
    ):
        assert_refused(message, Ridge(penalty_weights=weights).fit, X, y)
    weights = {"a_*": "loo"}
    assert_refused(
        'must be numbers, got .loo. for the column .a_..; "evidence" lets',
        Ridge(penalty_weights=weights).fit,
        X,
        y,
        error=TypeError,
    )
    weights = {"a_*": "evidence"}
    assert_refused("X must be a data frame", Ridge(penalty_weights=weights).fit, X.to_numpy(), y)
    assert_refused('needs C="evidence" or a number', LogisticRegression("loo", penalty_weights=weights).fit, X, y > 0)
    assert_refused("needs a penalty to be weighted, got C=inf",
                   LogisticRegression(np.inf, penalty_weights=weights).fit, X, y > 0)  # fmt: skip
    assert_refused("needs a likelihood", HuberRegressor(penalty_weights=weights).fit, X, y)


def test_names_of_columns_do_not_matter():
    X, y = diabetes()
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(10)])
    free = Ridge("evidence", penalty_weights={"c0": 0}).fit(frame, y)
    assert free.alpha_ == pytest.approx(Ridge("evidence", penalty_weights=[0] + [1] * 9).fit(X, y).alpha_, rel=1e-5)
