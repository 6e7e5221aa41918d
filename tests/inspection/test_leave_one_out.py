import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.metrics import d2_tweedie_score, r2_score

from sk_hessian.inspection import influence, leave_one_out, leave_one_out_path
from sk_hessian.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from tests.estimators import ESTIMATORS, assert_refused, convergence_warnings, target


def without(model, X, y, row, weight=None):
    """The fit to the other rows, the total penalty held fixed."""
    weight = np.ones(len(y)) if weight is None else weight
    rest = np.arange(len(y)) != row
    other = clone(model).set_params(tol=1e-8)
    if isinstance(model, (PoissonRegressor, TweedieRegressor)):
        other.set_params(alpha=model.alpha * weight.sum() / weight[rest].sum())
    return convergence_warnings(lambda: other.fit(X[rest], y[rest], weight[rest]))[0]


def held_out(model, X, y, rows=None, weight=None, how="predict"):
    rows = range(len(y)) if rows is None else rows
    return np.array([getattr(without(model, X, y, row, weight), how)(X[row : row + 1])[0] for row in rows])


def diabetes():
    return load_diabetes(return_X_y=True)


def poisson_table(rng, n=120):
    X = rng.normal(size=(n, 4))
    return X, rng.poisson(np.exp(0.5 * X[:, 0] + 0.3 * X[:, 1] + 0.5)).astype(float)


# -- brute force ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(alpha=0.1), Ridge(alpha=[5.0])])
def test_a_squared_loss_is_exact(model):
    X, y = (part[:60] for part in diabetes())
    model = clone(model).fit(X, y)
    found = leave_one_out(model, X, y)
    expected = held_out(model, X, y)
    np.testing.assert_allclose(found.predictions, expected, rtol=1e-8)
    assert found.score == pytest.approx(r2_score(y, expected), rel=1e-8)
    assert found.loss == pytest.approx(np.mean((y - expected) ** 2) / 2, rel=1e-8)
    assert found.n_refitted == 0


def test_the_tolerance_of_a_fit_costs_no_digits():
    X, y = (part[:60] for part in diabetes())
    exact = leave_one_out(Ridge(alpha=0.1).fit(X, y), X, y)
    loose = leave_one_out(Ridge(alpha=0.1, tol=1e-2, solver="lbfgs").fit(X, y), X, y)
    np.testing.assert_allclose(loose.predictions, exact.predictions, rtol=1e-8)


def assert_near(found, expected, raw):
    np.testing.assert_allclose(found.raw, raw, atol=0.1 * raw.std())
    assert np.corrcoef(found.raw.ravel(), raw.ravel())[0, 1] > 0.999
    assert found.score == pytest.approx(expected, rel=0.01)


def test_a_logistic_regression_is_near_to_its_refits():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[::6, :10], y[::6]
    model = LogisticRegression().fit(X, y)
    found = leave_one_out(model, X, y)
    raw = held_out(model, X, y, how="decision_function")
    assert_near(found, np.mean((raw > 0) == y), raw)
    # a row that pulls its own prediction by more than a unit is no matter for one Newton step
    moved = np.abs(raw - model.decision_function(X))
    assert found.refitted[np.argmax(moved)]
    assert 0 < found.n_refitted < 5
    np.testing.assert_allclose(found.predictions[:, 1], 1 / (1 + np.exp(-found.raw)))
    np.testing.assert_allclose(found.predictions.sum(axis=1), 1)
    assert found.loss == pytest.approx(np.mean(np.log1p(np.exp((1 - 2 * y) * raw))), rel=0.01)


def test_a_softmax_model_is_near_to_its_refits(iris):
    X, y = (part[::2] for part in iris)
    model = LogisticRegression().fit(X, y)
    found = leave_one_out(model, X, y)
    raw = held_out(model, X, y, how="decision_function")
    raw -= raw.mean(axis=1, keepdims=True)
    shift = found.raw.mean(axis=1)
    np.testing.assert_allclose(shift, 0, atol=1e-6)
    assert_near(found, np.mean(raw.argmax(axis=1) == y), raw)
    probabilities = held_out(model, X, y, how="predict_proba")
    np.testing.assert_allclose(found.predictions, probabilities, atol=0.01)


def test_a_weighted_poisson_regression_is_near_to_its_refits(rng):
    X, y = poisson_table(rng)
    weight = rng.uniform(0.5, 2, size=len(y))
    model = PoissonRegressor(alpha=0.05).fit(X, y, weight)
    found = leave_one_out(model, X, y, sample_weight=weight)
    expected = held_out(model, X, y, weight=weight)
    assert_near(found, d2_tweedie_score(y, expected, power=1, sample_weight=weight), np.log(expected))
    np.testing.assert_allclose(found.predictions, np.exp(found.raw))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("GammaRegressor", GammaRegressor(alpha=0.01)),
        ("TweedieRegressor", TweedieRegressor(power=1.5, alpha=0)),
        ("TweedieRegressor-identity", TweedieRegressor(power=1, link="identity", alpha=0.01)),
        ("HuberRegressor", HuberRegressor()),
    ],
)
def test_other_losses_are_near_to_their_refits(name, model, rng):
    X = rng.normal(size=(80, 3))
    y = target(name, X, rng)
    model = clone(model).fit(X, y)
    found, expected = leave_one_out(model, X, y), held_out(model, X, y)
    apart, moved = expected - model.predict(X), found.predictions - model.predict(X)
    assert np.corrcoef(apart, moved)[0, 1] > 0.995
    np.testing.assert_allclose(found.predictions, expected, atol=0.02 * expected.std())


@pytest.mark.parametrize("name", ["network", "classes", "labels"])
def test_a_network_is_near_to_its_refits(name, rng):
    X = rng.normal(size=(60, 2))
    noisy = np.tanh(2 * X[:, 0]) + X[:, 1] + 0.5 * rng.normal(size=60)
    options = {"hidden_layer_sizes": (2,), "activation": "tanh", "alpha": 0.3, "random_state": 0}
    model, y = MLPRegressor(**options), noisy
    if name != "network":
        model = MLPClassifier(**options)
        y = np.stack([noisy > 0, X[:, 1] > noisy - 0.3], axis=1).astype(int) if name == "labels" else noisy > 0
    model.fit(X, y)
    found = leave_one_out(model, X, y)
    how = "predict" if name == "network" else "predict_proba"
    rows = range(0, 60, 6)
    warm = clone(model).set_params(warm_start=True, tol=1e-6)
    expected = []
    for row in rows:
        rest = np.arange(60) != row
        expected.append(getattr(warm.fit(X, y).fit(X[rest], y[rest]), how)(X[row : row + 1])[0])
    np.testing.assert_allclose(found.predictions[rows], expected, atol=0.05)
    assert found.score < model.score(X, y)
    assert found.predictions.shape == getattr(model, how)(X).shape


def test_several_targets_are_as_one_by_one(rng):
    X = rng.normal(size=(30, 3))
    Y = X[:, :2] + rng.normal(size=(30, 2))
    found = leave_one_out(Ridge(alpha=[1.0, 20.0]).fit(X, Y), X, Y)
    for target_, alpha in enumerate((1.0, 20.0)):
        y = Y[:, target_]
        one = leave_one_out(Ridge(alpha=alpha).fit(X, y), X, y)
        np.testing.assert_allclose(found.predictions[:, target_], one.predictions)
    assert found.score == pytest.approx(r2_score(Y, found.predictions))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_score_is_of_the_estimators_kind(name, rng):
    X = rng.normal(size=(200, 3))
    y = target(name, X, rng)
    model = ESTIMATORS[name].fit(X, y)
    found = leave_one_out(model, X, y)
    assert model.score(X, y) - 0.1 < found.score <= model.score(X, y)
    objective, theta = model.fitted_objective(X, y)
    encoded = np.unique(y, return_inverse=True)[1] if hasattr(model, "classes_") else y
    mean_loss = objective.loss.value(encoded, objective.raw_predictions(theta)).mean()
    assert mean_loss < found.loss < mean_loss + 0.2


# -- rows of large leverage -------------------------------------------------------------------------------------------


def test_rows_of_large_leverage_are_refitted(rng):
    X, y = poisson_table(rng, 40)
    X[:, 3] = 0
    X[4, 3], y[4] = 1, 2
    model = PoissonRegressor(alpha=1e-3).fit(X, y)
    found = leave_one_out(model, X, y)
    assert influence(model, X, y).leverage[4] > 0.9
    np.testing.assert_array_equal(np.flatnonzero(found.refitted), [4])
    assert found.n_refitted == 1
    np.testing.assert_allclose(found.predictions[4], held_out(model, X, y, [4])[0], rtol=1e-4)


def test_the_leverage_above_which_rows_are_refitted(iris):
    X, y = (part[::2] for part in iris)
    model = LogisticRegression(C=1e4, tol=1e-6).fit(X, y)
    expected = held_out(model, X, y, how="predict_proba")
    errors = [np.abs(leave_one_out(model, X, y, refit_above=h).predictions - expected).max() for h in (None, 0.5)]
    assert errors[0] > 0.1
    assert errors[1] < 0.03
    ridge = leave_one_out(Ridge().fit(X, y), X, y, refit_above=0)
    assert ridge.n_refitted == 75
    np.testing.assert_allclose(ridge.predictions, leave_one_out(Ridge().fit(X, y), X, y).predictions, rtol=1e-8)
    assert_refused("refit_above must be a number from 0 to 1 or None, got 2", leave_one_out, model, X, y, refit_above=2)


def test_beside_many_columns_one_step_is_enough(rng):
    X = rng.normal(size=(40, 100))
    y = (X[:, 0] + rng.normal(size=40) > 0).astype(int)
    model = LogisticRegression(C=0.1).fit(X, y)
    found = leave_one_out(model, X, y)
    raw = held_out(model, X, y, how="decision_function")
    assert found.n_refitted < 4
    np.testing.assert_allclose(found.raw, raw, atol=0.03 * raw.std())


def test_as_many_rows_as_parameters(rng):
    X, y = rng.normal(size=(6, 5)), rng.normal(size=6)
    model = LinearRegression().fit(X, y)
    found = leave_one_out(model, X, y)
    assert found.n_refitted == 6
    np.testing.assert_allclose(found.predictions, held_out(model, X, y), rtol=1e-8)


@pytest.mark.parametrize("kind", ["dense", "sparse", "float32"])
def test_more_columns_than_rows(kind, rng):
    X = rng.normal(size=(15, 40)) * 10.0 ** rng.integers(-6, 7, size=40)
    y = rng.normal(size=15)
    X = X.astype(np.float32) if kind == "float32" else sp.csr_array(X) if kind == "sparse" else X
    model = Ridge(alpha=0.5).fit(X, y)
    expected = held_out(model, X, y)
    # what is held out is predicted in the precision of X
    digits = 1e-6 if kind == "float32" else 1e-8
    np.testing.assert_allclose(leave_one_out(model, X, y).predictions, expected, atol=digits * np.abs(expected).max())


def test_a_mean_that_the_step_makes_negative_is_refitted(rng):
    X = np.append(np.linspace(0, 1, 30), 3.0)[:, None]
    y = np.append(1.0 + rng.poisson(8 - 6 * X[:-1, 0]), 8.0)
    model = TweedieRegressor(power=1, link="identity", alpha=0).fit(X, y)
    found = leave_one_out(model, X, y)
    assert found.refitted[30]
    np.testing.assert_allclose(found.predictions[30], held_out(model, X, y, [30])[0], rtol=1e-6)
    # where the fit to the others has a negative mean, the row costs infinitely much
    assert (found.predictions[30] <= 0) == np.isinf(found.loss)


def test_a_row_without_which_there_is_no_optimum_is_named(rng):
    X = np.append(rng.normal(size=20) - 5, rng.normal(size=20) + 5)[:, None]
    y = (X[:, 0] > 0).astype(int)
    X, y = np.append(X, [[300.0]], axis=0), np.append(y, 0)
    model = LogisticRegression(C=np.inf, tol=1e-6).fit(X, y)
    assert influence(model, X, y).leverage[40] > 0.9
    assert_refused(r"row 40 cannot be left out, .*separated", leave_one_out, model, X, y)


# -- weights, scoring, errors -----------------------------------------------------------------------------------------


def test_rows_of_weight_zero_are_predicted_by_the_fit(rng):
    X, y = poisson_table(rng)
    weight = rng.integers(0, 3, size=len(y)).astype(float)
    keep = weight > 0
    model = PoissonRegressor(alpha=0.05).fit(X, y, weight)
    found = leave_one_out(model, X, y, sample_weight=weight)
    kept = leave_one_out(model, X[keep], y[keep], sample_weight=weight[keep])
    np.testing.assert_array_equal(found.predictions[keep], kept.predictions)
    np.testing.assert_allclose(found.predictions[~keep], model.predict(X[~keep]))
    assert (found.loss, found.score) == (kept.loss, kept.score)
    assert not found.refitted[~keep].any()


def test_an_offset_is_part_of_the_predictor(rng):
    X, y = poisson_table(rng)
    offset = rng.normal(size=len(y))
    y = rng.poisson(np.exp(0.5 * X[:, 0] + offset)).astype(float)
    weight = (np.arange(len(y)) % 10 > 0).astype(float)
    model = PoissonRegressor(alpha=0, tol=1e-8).fit(X, y, weight, offset=offset)
    found = leave_one_out(model, X, y, sample_weight=weight, offset=offset)
    np.testing.assert_allclose(found.predictions[::10], model.predict(X[::10], offset=offset[::10]))
    rows = [1, 2, 3]
    for row in rows:
        rest = np.arange(len(y)) != row
        other = clone(model).set_params(tol=1e-8).fit(X[rest], y[rest], weight[rest], offset=offset[rest])
        expected = other.predict(X[row : row + 1], offset=offset[row : row + 1])[0]
        assert found.predictions[row] == pytest.approx(expected, rel=0.02)
    score = model.score(X, y, sample_weight=weight, offset=offset)
    assert score - 0.1 < found.score < score
    path = leave_one_out_path(model, X, y, [0.0, 0.1], sample_weight=weight, offset=offset)
    assert path.loss[0] == pytest.approx(found.loss, rel=1e-6)


def test_class_weights_count_in_the_loss_but_not_in_the_score(iris):
    X, y = iris
    model = LogisticRegression(class_weight={0: 1, 1: 5, 2: 1}).fit(X, y)
    found = leave_one_out(model, X, y)
    assert found.score == np.mean(found.predictions.argmax(axis=1) == y)
    weight = np.where(y == 1, 5, 1)
    assert found.loss == pytest.approx(-np.average(np.log(found.predictions[np.arange(150), y]), weights=weight))


@pytest.mark.parametrize("theta", [2.0, None])
def test_the_score_of_counts_is_their_explained_deviance(theta, rng):
    X, _ = poisson_table(rng)
    y = rng.poisson(np.exp(0.5 + 0.4 * X[:, 0]) * rng.gamma(2.0, 0.5, size=len(X))).astype(float)
    model = NegativeBinomialRegressor(alpha=0.0, theta=theta, tol=1e-8).fit(X, y)
    found = leave_one_out(model, X, y)

    def loss(mean):
        """Half the deviance, of theta as it was fitted."""
        logs = np.log((mean + model.theta_) / (y + model.theta_))
        return (y * np.log(np.where(y > 0, y, 1.0) / mean) + (y + model.theta_) * logs).sum()

    assert found.score == pytest.approx(1 - loss(found.predictions) / loss(np.full(len(y), y.mean())), rel=1e-9)
    path = leave_one_out_path(model, X, y, [1e-9, 1.0])
    assert path.score[0] == pytest.approx(found.score, rel=1e-2 if theta is None else 1e-5)


def test_a_callable_scores_the_users_targets(rng):
    X = rng.normal(size=(60, 3))
    y = target("LogisticRegression", X, rng)
    model = LogisticRegression().fit(X, y)

    def brier(true, predictions):
        assert true.dtype.kind == "U"
        return ((true == "yes") - predictions[:, 1]) @ ((true == "yes") - predictions[:, 1]) / len(true)

    found = leave_one_out(model, X, y, scoring=brier)
    assert 0 < found.score < 0.3
    said = dict(line.split(maxsplit=1) for line in str(found).splitlines()[:5])
    assert (said["rows"], said["refitted"]) == ("60", "0")
    assert float(said["score"]) == pytest.approx(found.score, rel=1e-4)
    assert float(said["loss"]) == pytest.approx(found.loss, rel=1e-4)
    assert str(found).splitlines()[-1] == "and 50 more rows"
    with pytest.raises(TypeError, match="scoring must return a number, got str"):
        leave_one_out(model, X, y, scoring=lambda true, predictions: "good")
    assert_refused("scoring must be a callable", leave_one_out, model, X, y, scoring="accuracy", error=TypeError)


@pytest.mark.parametrize(
    ("y", "match"),
    [(["a"] * 29 + ["b"], "the class 'b' has one row"), ([0] * 15 + [1] * 14 + [2], "the class 2 has one row")],
)
def test_a_class_of_one_row_cannot_be_left_out(y, match, rng):
    X = rng.normal(size=(30, 2))
    assert_refused(match, leave_one_out, LogisticRegression().fit(X, y), X, y)


def test_a_label_of_one_row_cannot_be_left_out(rng):
    X = rng.normal(size=(30, 2))
    Y = np.stack([X[:, 0] + rng.normal(size=30) > 0, np.arange(30) != 3], axis=1).astype(int)
    model = MLPClassifier((), alpha=1.0).fit(X, Y)
    assert_refused("a value of label 1 has one row", leave_one_out, model, X, Y)


def test_bad_fits_are_refused(rng):
    X, y = poisson_table(rng)
    assert_refused("not fitted yet", leave_one_out, PoissonRegressor(), X, y, error=NotFittedError)
    assert_refused("at least two rows", leave_one_out, Ridge().fit(X[:1], y[:1]), X[:1], y[:1])


# -- a path -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"penalty_weights": [1, 0, 3, 1, 1, 0, 1, 1, 1, 1]}])
def test_a_path_of_a_squared_loss_is_exact(options, rng):
    X, y = (part[:30] for part in diabetes())
    X = X * 10.0 ** rng.integers(-2, 3, size=10)
    weight = rng.uniform(0.5, 2, size=30)
    alphas = [1.0, 0.0, 1e-4, 100.0, 1e-2, 1e4]
    path = leave_one_out_path(Ridge(**options).fit(X, y, weight), X, y, alphas, sample_weight=weight)
    np.testing.assert_array_equal(path.alphas, alphas)
    for alpha, loss, score in zip(alphas, path.loss, path.score, strict=True):
        expected = held_out(Ridge(alpha=alpha, **options), X, y, weight=weight)
        assert loss == pytest.approx(np.average((y - expected) ** 2, weights=weight) / 2, rel=1e-8)
        assert score == pytest.approx(r2_score(y, expected, sample_weight=weight), rel=1e-7)
    assert path.best == alphas[np.argmin(path.loss)]


def dual_ridge(X, y, alpha, row):
    """The prediction of a row by ridge regression on the others, from the kernel."""
    rest = np.arange(len(y)) != row
    centre, mean = X[rest].mean(axis=0), y[rest].mean()
    Z = X[rest] - centre
    K = Z @ Z.T + alpha * np.eye(len(Z))
    # the centred kernel is singular along the ones, which the centred target does not see
    K += np.trace(K) / len(K) ** 2 * np.ones_like(K)
    return mean + (X[row] - centre) @ Z.T @ np.linalg.solve(K, y[rest] - mean)


def test_a_path_with_more_columns_than_rows(rng):
    X, y = rng.normal(size=(15, 40)), rng.normal(size=15)
    alphas = [0.0, 1e-8, 1e-4, 1.0, 1e4]
    path = leave_one_out_path(Ridge().fit(X, y), X, y, alphas)
    for alpha, loss in zip(alphas, path.loss, strict=True):
        expected = np.array([dual_ridge(X, y, alpha, row) for row in range(15)])
        assert loss == pytest.approx(np.mean((y - expected) ** 2) / 2, rel=1e-8)
        model, _ = convergence_warnings(lambda alpha=alpha: Ridge(alpha=alpha).fit(X, y))
        np.testing.assert_allclose(leave_one_out(model, X, y).predictions, expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("model", "parameter", "values"),
    [
        (LogisticRegression(), "C", [1.0, 0.01, 100.0]),
        (PoissonRegressor(), "alpha", [0.0, 1.0, 0.01]),
        (TweedieRegressor(power=0), "alpha", [0.0, 1.0, 0.01]),
        (HuberRegressor(), "alpha", [0.1, 1.0]),
    ],
)
def test_a_path_is_that_of_single_fits(model, parameter, values, rng):
    X, y = poisson_table(rng)
    y = (y > 1).astype(int) if parameter == "C" else y
    path = leave_one_out_path(clone(model).fit(X, y), X, y, values)
    assert path.parameter == parameter
    for value, loss, score in zip(values, path.loss, path.score, strict=True):
        one = leave_one_out(clone(model).set_params(**{parameter: value}).fit(X, y), X, y)
        assert loss == pytest.approx(one.loss, rel=1e-5)
        assert score == pytest.approx(one.score, rel=1e-3)
    assert str(path).splitlines()[path.best_index + 1].endswith("best")
    assert path.best == values[path.best_index]


def test_a_path_of_several_targets(rng):
    X = rng.normal(size=(30, 3))
    Y = X[:, :2] + rng.normal(size=(30, 2))
    path = leave_one_out_path(Ridge().fit(X, Y), X, Y, [1.0, 10.0])
    for alpha, loss in zip(path.alphas, path.loss, strict=True):
        assert loss == pytest.approx(leave_one_out(Ridge(alpha=alpha).fit(X, Y), X, Y).loss, rel=1e-8)


def test_a_path_leaves_the_estimator_alone(rng):
    X, y = poisson_table(rng)
    model = PoissonRegressor(alpha=0.3).fit(X, y)
    before = dict(vars(model))
    leave_one_out_path(model, X, y, [0.1, 1.0])
    assert vars(model) == before


@pytest.mark.parametrize("alphas", [[], 1.0, [-1.0], [np.nan], [np.inf], [[1.0]]])
def test_bad_alphas(alphas, rng):
    X, y = poisson_table(rng)
    message = "alphas must be a non-empty sequence of numbers >= 0"
    assert_refused(message, leave_one_out_path, Ridge().fit(X, y), X, y, alphas)


def test_other_bad_paths(rng):
    X, y = poisson_table(rng)
    with pytest.raises(TypeError, match="alphas must be a non-empty sequence"):
        leave_one_out_path(Ridge().fit(X, y), X, y, ["weak"])
    assert_refused("numbers > 0, values of C", leave_one_out_path, LogisticRegression().fit(X, y > 1), X, y > 1, [0.0])
    with pytest.raises(ValueError, match="LinearRegression has no penalty whose strength could vary"):
        leave_one_out_path(LinearRegression().fit(X, y), X, y, [1.0])
    separated = X[:, 0] > 0
    with pytest.raises(ValueError, match="alphas: C=inf has no optimum: separated"):
        leave_one_out_path(LogisticRegression().fit(X, separated), X, separated, [1.0, np.inf])


def test_rows_of_a_network_with_some_leverage_are_refitted():
    """One step missed a row of leverage 0.75, and with it a tenth of the loss."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 2))
    y = X[:, 0] + 0.5 * rng.normal(size=60)
    options = {"activation": "tanh", "solver": "newton", "random_state": 0, "max_iter": 3000}
    model = MLPRegressor(hidden_layer_sizes=(3,), alpha=0.1, tol=1e-6, **options).fit(X, y)
    found, one_step = leave_one_out(model, X, y), leave_one_out(model, X, y, refit_above=0.9)
    exact = leave_one_out(model, X, y, refit_above=0)
    assert 0 < found.n_refitted < 20
    assert found.loss == pytest.approx(exact.loss, rel=0.02)
    assert abs(one_step.loss - exact.loss) > 0.05 * exact.loss
