"""The penalty of most evidence, against scikit-learn's evidence maximisation and by neighbours."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import BayesianRidge

from sk_hessian.inspection import LaplacePosterior, _evidence, laplace, tune_alpha
from sk_hessian.linear_model import (
    GammaRegressor,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from tests.estimators import assert_refused, convergence_warnings


@pytest.fixture
def centred_diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X - X.mean(axis=0), y - y.mean()


def evidence_beside(tuned, X, y, factor, **options):
    """The evidence with a slightly different penalty."""
    model = type(tuned.estimator)(**tuned.estimator.get_params())
    model.set_params(**{tuned.name: tuned.value * factor}).fit(X, y)
    return laplace(model, X, y, dispersion="evidence", **options).log_evidence


@pytest.mark.parametrize("alpha", [1e-6, 1.0, 1e6])
def test_ridge_is_bayesian_ridge_from_any_start(alpha, centred_diabetes):
    X, y = centred_diabetes
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0)
    theirs = BayesianRidge(**flat, tol=1e-12, max_iter=10_000, fit_intercept=False, compute_score=True).fit(X, y)
    tuned = tune_alpha(Ridge(alpha, fit_intercept=False), X, y)
    assert tuned.status == "optimal"
    assert tuned.value == tuned.estimator.alpha == pytest.approx(theirs.lambda_ / theirs.alpha_, rel=1e-3)
    assert tuned.posterior.dispersion == pytest.approx(1 / theirs.alpha_, rel=1e-5)
    assert tuned.posterior.log_evidence == pytest.approx(theirs.scores_[-1], rel=1e-10)
    np.testing.assert_allclose(tuned.estimator.coef_, theirs.coef_, rtol=1e-3)
    assert tuned.posterior.fixed_point == pytest.approx(1, abs=1e-3)
    assert np.nanmax(tuned.path["log_evidence"]) == tuned.posterior.log_evidence
    assert len(tuned.path["value"]) < 25


def test_other_models_have_less_evidence_beside(iris, rng):
    X, y = load_breast_cancer(return_X_y=True)
    counts = rng.poisson(np.exp(X[:, 0] / 10))
    cases = [
        (LogisticRegression(), X, y),
        (LogisticRegression(), *iris),
        (PoissonRegressor(), X[:, :5], counts),
        (GammaRegressor(), X[:, :5], rng.gamma(3, np.exp(X[:, 0] / 10) / 3)),
    ]
    for model, *data in cases:
        tuned = tune_alpha(model, *data)
        assert tuned.status == "optimal"
        assert tuned.name == ("C" if isinstance(model, LogisticRegression) else "alpha")
        for factor in (0.7, 1.5):
            assert evidence_beside(tuned, *data, factor) < tuned.posterior.log_evidence


def test_units_move_the_penalty_with_them(centred_diabetes):
    X, y = centred_diabetes
    here, there = tune_alpha(Ridge(), X, y), tune_alpha(Ridge(), 1e6 * X + 1e7, 1e3 * y)
    assert there.status == "optimal"
    assert there.value == pytest.approx(1e12 * here.value, rel=1e-3)
    assert there.posterior.dispersion == pytest.approx(1e6 * here.posterior.dispersion, rel=1e-5)


def test_weights_are_repeated_rows(centred_diabetes, rng):
    X, y = centred_diabetes[0][:100], centred_diabetes[1][:100]
    copies = rng.integers(1, 4, size=100)
    rows = np.repeat(np.arange(100), copies)
    weighted, repeated = tune_alpha(Ridge(), X, y, sample_weight=copies), tune_alpha(Ridge(), X[rows], y[rows])
    assert weighted.value == pytest.approx(repeated.value, rel=1e-3)
    assert weighted.posterior.log_evidence == pytest.approx(repeated.posterior.log_evidence, rel=1e-9)


def test_an_offset_goes_to_every_fit(rng):
    X, shift = rng.normal(size=(80, 3)), rng.normal(size=80)
    y = rng.poisson(np.exp(X[:, 0] + shift))
    tuned = tune_alpha(PoissonRegressor(), X, y, offset=shift)
    moved = tune_alpha(PoissonRegressor(), X, y, offset=shift + 1)
    assert tuned.status == moved.status == "optimal"
    assert tuned.value == pytest.approx(moved.value, rel=1e-2)
    assert tuned.estimator.intercept_ == pytest.approx(moved.estimator.intercept_ + 1, abs=1e-3)
    assert tune_alpha(PoissonRegressor(), X, y).posterior.log_evidence < tuned.posterior.log_evidence - 5


def test_a_dispersion_may_be_given(centred_diabetes):
    X, y = centred_diabetes
    tuned = tune_alpha(Ridge(), X, y, dispersion=3000.0)
    assert set(tuned.path["dispersion"]) == {3000.0}
    assert tuned.status == "optimal"


def test_no_sign_of_an_effect_is_a_penalty_at_infinity():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    residual = y - y.mean() - (X - X.mean(axis=0)) @ np.linalg.lstsq(X - X.mean(axis=0), y - y.mean())[0]
    tuned = tune_alpha(Ridge(), X, residual + 1e-3 * X[:, 0])
    assert tuned.status == "at_infinity"
    assert "no sign" in tuned.message
    assert tuned.posterior.gamma < 0.01
    assert (np.diff(tuned.path["log_evidence"]) > 0).all()


def test_a_perfect_fit_has_no_best_penalty(rng):
    X = rng.normal(size=(8, 20))
    y = X @ rng.normal(size=20)
    tuned = tune_alpha(Ridge(fit_intercept=False), X, y, dispersion=1e-9)
    assert tuned.status == "optimal"  # the noise is known, the size of the coefficients is not
    assert tuned.value == pytest.approx(1e-9, rel=2)


def test_the_maximum_is_the_nearest_one(iris):
    X, y = iris
    network = MLPClassifier(hidden_layer_sizes=(2,), activation="tanh", random_state=0)
    weak, strong = (tune_alpha(network.set_params(alpha=alpha), X, y) for alpha in (1e-4, 1.0))
    # classes that hidden units separate: without a penalty to speak of the approximation has another maximum
    assert weak.value < 1e-6 < 1e-2 < strong.value
    assert weak.posterior.log_evidence < strong.posterior.log_evidence < 0


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal"])
def test_weight_decay_of_networks(structure, iris):
    X, y = load_diabetes(return_X_y=True)
    model = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", alpha=0.1, random_state=0)
    tuned = tune_alpha(model, X, y, structure=structure)
    assert tuned.status == "optimal"
    assert tuned.posterior.structure == structure
    far = np.abs(np.log(tuned.path["value"] / tuned.value)) > np.log(3)
    assert far.any()
    assert tuned.path["log_evidence"][far].max() < tuned.posterior.log_evidence - 0.1
    X, y = iris
    model = MLPClassifier(hidden_layer_sizes=(2,), activation="tanh", alpha=1.0, random_state=0)
    tuned = tune_alpha(model, X, y, structure=structure)
    assert tuned.status == "optimal"
    assert tuned.estimator.score(X, y) > 0.95


@pytest.mark.parametrize("refused", [(0.0, 0.5), (0.03, 0.05)])
def test_fits_without_a_posterior_near_the_best_are_told(refused, centred_diabetes, monkeypatch):
    def laplace_elsewhere(estimator, *data, **options):
        if refused[0] < estimator.alpha < refused[1]:
            raise ValueError("no posterior here")
        return laplace(estimator, *data, **options)

    monkeypatch.setattr(_evidence, "laplace", laplace_elsewhere)
    tuned = tune_alpha(Ridge(alpha=10.0), *centred_diabetes)
    assert tuned.status == "limited"
    assert "near it there is none: alpha=" in tuned.message
    assert tuned.message.endswith("no posterior here")
    assert np.isnan(tuned.path["log_evidence"]).any()
    assert tuned.posterior.log_evidence == np.nanmax(tuned.path["log_evidence"])
    assert not refused[0] < tuned.value < refused[1]


def test_units_that_the_penalty_switches_off_do_not_matter(iris):
    X, y = iris
    network = MLPClassifier(hidden_layer_sizes=(3,), activation="tanh", random_state=0)
    tuned = [tune_alpha(network.set_params(alpha=alpha), X, y) for alpha in (0.2, 1.0)]
    assert [t.status for t in tuned] == ["optimal", "optimal"]
    assert tuned[0].value == pytest.approx(tuned[1].value, rel=0.5)


def test_the_estimator_is_not_modified_and_the_best_fit_is_complete(centred_diabetes):
    X, y = centred_diabetes
    model = Ridge(alpha=3.0, penalty_weights=np.r_[0.0, np.ones(9)], warm_start=True)
    tuned = tune_alpha(model, X, y)
    assert model.alpha == 3.0
    assert not hasattr(model, "coef_")
    fitted = tuned.estimator
    assert (fitted.warm_start, fitted.convergence_.status) == (True, "optimal")
    again = Ridge(alpha=tuned.value, penalty_weights=model.penalty_weights).fit(X, y)
    np.testing.assert_allclose(fitted.coef_, again.coef_, rtol=1e-6, atol=1e-6)
    assert tuned.posterior.n_penalised == 9
    assert tune_alpha(Ridge(alpha=0.0), X, y).value == pytest.approx(tune_alpha(Ridge(), X, y).value, rel=1e-3)


def test_an_evidence_that_is_no_number_is_none(centred_diabetes, monkeypatch):
    X, y = centred_diabetes
    honest = LaplacePosterior.log_evidence.func
    monkeypatch.setattr(LaplacePosterior, "log_evidence", property(lambda posterior: np.nan))
    assert_refused("the log evidence is nan: the density", tune_alpha, Ridge(), X, y)

    def below_one(posterior):
        return honest(posterior) if posterior._estimator.alpha > 0.05 else np.inf

    monkeypatch.setattr(LaplacePosterior, "log_evidence", property(below_one))
    tuned = tune_alpha(Ridge(), X, y)
    assert tuned.status == "limited"
    assert tuned.value > 0.05
    assert np.isnan(tuned.path["log_evidence"]).any()


def test_one_strength_for_several_targets(centred_diabetes, rng):
    X, y = centred_diabetes
    Y = np.column_stack([y, 1e3 * y + 1e4 * rng.normal(size=len(y))])
    tuned = tune_alpha(Ridge(fit_intercept=False), X, Y)
    assert tuned.status == "optimal"
    assert tuned.path["dispersion"].shape == (len(tuned.path["value"]), 2)
    for factor in (0.9, 1.1):
        assert evidence_beside(tuned, X, Y, factor) < tuned.posterior.log_evidence


def test_more_columns_than_any_matrix_has(rng):
    """Against a search over the marginal likelihood of y, normal with covariance X X' / alpha + I."""
    X = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 3050)) + 0.3 * rng.normal(size=(20, 3050))
    y = X[:, 0] + rng.normal(size=20)
    values, vectors = np.linalg.eigh(X @ X.T)
    squares = (vectors.T @ y) ** 2

    def minus_evidence(log):
        variance = values / np.exp(log) + 1
        return 0.5 * (np.log(variance) + squares / variance).sum()

    best = minimize_scalar(minus_evidence, bounds=(0, 15), method="bounded")
    tuned = tune_alpha(Ridge(alpha=5.0, fit_intercept=False), X, y, dispersion=1.0)
    assert np.log(tuned.value) == pytest.approx(best.x, abs=0.01)


def test_what_cannot_be_tuned_is_refused(centred_diabetes):
    X, y = centred_diabetes
    with pytest.raises(ValueError, match="laplace needs a likelihood, and class_weight leaves only a pseudo"):
        tune_alpha(LogisticRegression(class_weight="balanced"), X, y > 0)
    for alpha in ([1.0, 2.0], -1.0, True, np.nan):
        message = "alpha must be one number of at least 0"
        assert_refused(message, tune_alpha, Ridge(alpha=alpha), X, np.column_stack([y, y]))
    assert_refused('structure="last_layer" has no evidence', tune_alpha, MLPRegressor(), X, y, structure="last_layer")
    with pytest.raises(ValueError, match=r'needs a fit with the verdict "optimal"'):
        convergence_warnings(lambda: tune_alpha(PoissonRegressor(solver="sgd", max_iter=1), X, y + 200))
