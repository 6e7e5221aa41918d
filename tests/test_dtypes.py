"""Floating-point types of fitted attributes and predictions: those of scikit-learn's classes of the same names."""

import pickle
import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model as peers
from sklearn import neural_network as peer_networks
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sk_hessian import linear_model as ours
from sk_hessian import neural_network as our_networks
from sk_hessian.inspection import coef_table

SOLVERS = ["auto", "sgd", "momentum", "clip", "newton", "lbfgs"]

#: name of the class -> parameters, and what kind of target it is fitted to
LINEAR = {
    "LinearRegression": ({}, "real"),
    "Ridge": ({}, "real"),
    "LogisticRegression": ({}, "classes"),
    "PoissonRegressor": ({}, "positive"),
    "GammaRegressor": ({}, "positive"),
    "TweedieRegressor": ({"power": 1.5}, "positive"),
    "HuberRegressor": ({}, "real"),
}
KINDS = ["dense", "csr"]


def data(kind="real", container="dense", x=np.float64, y=np.float64):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)).astype(x)
    raw = X @ [0.5, -0.3, 0.2] + 0.3 * rng.normal(size=80)
    targets = {
        "real": raw.astype(y),
        "positive": np.exp(raw).astype(y),
        "classes": (raw > 0).astype(int),
        "three": np.digitize(raw, [-0.5, 0.5]),
        "column": raw[:, None].astype(y),
        "columns": np.c_[raw, -raw].astype(y),
    }
    return sparse.csr_array(X) if container == "csr" else X, targets[kind]


def outputs(model, X):
    """Whatever a model predicts, by the name of the method."""
    names = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    found = {name: getattr(model, name)(X) for name in names if hasattr(model, name)}
    return {name: values for name, values in found.items() if values.dtype.kind == "f"}


def pair(name):
    return getattr(ours, name)(**LINEAR[name][0]), getattr(peers, name)(**LINEAR[name][0])


@pytest.mark.parametrize("y", [np.float32, np.float64])
@pytest.mark.parametrize("x", [np.float32, np.float64])
@pytest.mark.parametrize("container", KINDS)
@pytest.mark.parametrize("name", LINEAR)
def test_attributes_and_predictions_have_the_types_of_the_class_of_the_same_name(name, container, x, y):
    X, target = data(LINEAR[name][1], container, x, y)
    model, peer = (estimator.fit(X, target) for estimator in pair(name))
    for attribute in ("coef_", "intercept_"):
        assert getattr(model, attribute).dtype == getattr(peer, attribute).dtype
        assert getattr(model, attribute).shape == getattr(peer, attribute).shape
    for dtype in (np.float32, np.float64):
        rows = X.astype(dtype)
        expected = outputs(peer, rows)
        for method, values in outputs(model, rows).items():
            assert values.dtype == expected[method].dtype, method
            np.testing.assert_allclose(values, expected[method], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("kind", ["real", "column", "columns"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", ["LinearRegression", "Ridge"])
def test_intercepts_of_several_targets(name, fit_intercept, kind):
    X, y = data(kind, x=np.float32)
    model, peer = (estimator.set_params(fit_intercept=fit_intercept).fit(X, y) for estimator in pair(name))
    assert model.coef_.shape == (peer.coef_.shape if kind != "column" else (1, 3))
    # scikit-learn has the float 0.0 where there is none
    assert model.intercept_.shape == np.shape(peer.intercept_)
    assert model.intercept_.dtype == model.predict(X).dtype == np.float32


@pytest.mark.parametrize("name", LINEAR)
def test_an_intercept_has_a_shape_and_a_type(name):
    X, y = data(LINEAR[name][1])
    for fit_intercept in (True, False):
        model = pair(name)[0].set_params(fit_intercept=fit_intercept).fit(X, y)
        assert model.intercept_.shape == ((1,) if name == "LogisticRegression" else ())
        assert model.intercept_.dtype == np.float64


@pytest.mark.parametrize("x", [np.float16, np.int32, np.float64])
@pytest.mark.parametrize("name", LINEAR)
def test_other_types_are_float64(name, x):
    X, y = data(LINEAR[name][1])
    model = pair(name)[0].fit((4 * X).astype(x), y)
    assert model.coef_.dtype == np.float64
    assert all(values.dtype == np.float64 for values in outputs(model, (4 * X).astype(x)).values())


@pytest.mark.parametrize("solver", ["auto", "sgd", "lbfgs"])
@pytest.mark.parametrize("container", KINDS)
@pytest.mark.parametrize("name", ["MLPRegressor", "MLPClassifier"])
def test_networks_have_the_types_of_scikit_learn(name, container, solver):
    for x in (np.float32, np.float64):
        X, y = data("three" if name == "MLPClassifier" else "real", container, x)
        model = getattr(our_networks, name)(
            hidden_layer_sizes=(4,), activation="tanh", alpha=1e-2, solver=solver, random_state=0
        )
        peer = getattr(peer_networks, name)(hidden_layer_sizes=(4,), max_iter=2, random_state=0)
        model.fit(X, y)
        with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
            peer.fit(X, y)
        assert [W.dtype for W in model.coefs_ + model.intercepts_] == [x] * 4
        for dtype in (np.float32, np.float64):
            rows = X.astype(dtype)
            expected = outputs(peer, rows)
            for method, values in outputs(model, rows).items():
                assert values.dtype == expected[method].dtype, method


def test_counts_of_a_negative_binomial_distribution():
    X, y = data("positive", x=np.float32)
    model = ours.NegativeBinomialRegressor(theta=2.0).fit(X, np.round(y))
    assert model.coef_.dtype == model.intercept_.dtype == model.predict(X).dtype == np.float32


@pytest.mark.parametrize("coef", [np.float32, np.float64])
@pytest.mark.parametrize("name", LINEAR)
def test_float32_rows_are_not_copied_to_predict(name, coef, monkeypatch):
    X, y = data(LINEAR[name][1], x=np.float32)
    model = pair(name)[0].fit(X, y)
    model.coef_ = model.coef_.astype(coef)
    X = np.tile(X, (5000, 1))
    tracemalloc.start()
    model.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # ten arrays of a float64 for each row at the most, beside a block of rows; X as float64 would be three of them
    assert peak < 4e6 + 80 * len(X)


@pytest.mark.parametrize("name", LINEAR)
def test_a_fit_remembers_its_float64_parameters(name):
    """Rounding moves an estimate by a part of its standard error where rows are many and a mean is large."""
    X, y = data(LINEAR[name][1], x=np.float32)
    X = X + np.float32(1000) * np.array([0, 0, 1], dtype=np.float32)
    model = pickle.loads(pickle.dumps(pair(name)[0].fit(X, y)))
    double = pair(name)[0].fit(X.astype(float), y)
    theta, expected = (m.fitted_objective(X, y)[1] for m in (model, double))
    assert theta.dtype == np.float64
    np.testing.assert_allclose(theta, expected, rtol=1e-12)
    warm = clone(model).set_params(warm_start=True).fit(X, y)
    assert warm.fit(X, y).n_iter_ == 1
    np.testing.assert_allclose(warm.fitted_objective(X, y)[1], expected, rtol=1e-3)


def test_what_a_user_sets_is_what_counts():
    X, y = data("real", x=np.float32)
    model = ours.LinearRegression().fit(X, y)
    model.coef_ = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    np.testing.assert_array_equal(model.fitted_objective(X, y)[1], [1, 2, 3, model.intercept_])
    model.fit(X, y).intercept_ += np.float32(1)
    np.testing.assert_array_equal(model.fitted_objective(X, y)[1][:3], model.coef_)
    network = our_networks.MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", random_state=0, alpha=1e-2).fit(
        X, y
    )
    network.intercepts_[0] = np.zeros(2, dtype=np.float32)
    objective, theta = network.fitted_objective(X, y)
    np.testing.assert_array_equal(objective.unpack(theta)[0][0], network.coefs_[0])


def test_the_table_of_a_float32_fit_is_that_of_its_float64_parameters():
    X, y = data("positive", x=np.float32)
    X = X + np.float32(1000)
    tables = [coef_table(ours.PoissonRegressor(alpha=0).fit(Z, y), Z, y) for Z in (X, X.astype(float))]
    np.testing.assert_allclose(tables[0].estimate, tables[1].estimate, rtol=1e-9)
    np.testing.assert_allclose(tables[0].std_error, tables[1].std_error, rtol=1e-9)


@pytest.mark.parametrize("name", ["Ridge", "PoissonRegressor", "LogisticRegression"])
def test_a_stream_of_float32_rows_loses_nothing(name):
    X, y = data(LINEAR[name][1], x=np.float32)
    streams = []
    for Z in (X, X.astype(float)):
        model = pair(name)[0]
        for start in range(0, 80, 20):
            first = {"classes": [0, 1]} if name == "LogisticRegression" and start == 0 else {}
            model.partial_fit(Z[start : start + 20], y[start : start + 20], **first)
        streams.append(model)
    assert streams[0].coef_.dtype == np.float32
    np.testing.assert_array_equal(streams[0].coef_, streams[1].coef_.astype(np.float32))


def test_coefficients_beyond_float32_stay_float64():
    X, y = data("real", x=np.float32)
    for unit in (1e-37, 1e36):
        model = ours.LinearRegression().fit(X * np.float32(unit), 1e3 * y if unit < 1 else 1e-5 * y)
        assert model.coef_.dtype == np.float64
        assert np.isfinite(model.coef_).all()
        assert model.score(X * np.float32(unit), 1e3 * y if unit < 1 else 1e-5 * y) > 0.5


# -- attributes that are set by hand -------------------------------------------------------------------------------


BY_HAND = {**LINEAR, "NegativeBinomialRegressor": ({"theta": 2.0}, "positive")}


@pytest.mark.parametrize("container", KINDS)
@pytest.mark.parametrize("kind", ["two", "three"])
@pytest.mark.parametrize("name", BY_HAND)
def test_coefficients_that_are_set_by_hand_predict(name, kind, container):
    """The mean of the coefficients of two models: federated learning sends no more than these."""
    parameters, target = BY_HAND[name]
    X, y = data("three" if target == "classes" and kind == "three" else target, container)
    models = [getattr(ours, name)(**parameters).fit(X[part], y[part]) for part in (slice(0, 40), slice(40, 80))]
    mean = getattr(ours, name)(**parameters)
    mean.coef_ = (models[0].coef_ + models[1].coef_) / 2
    mean.intercept_ = (models[0].intercept_ + models[1].intercept_) / 2
    if target == "classes":
        mean.classes_ = models[0].classes_
    raw = X @ mean.coef_.T + mean.intercept_
    if target == "classes":
        expected = raw[:, 0] if raw.shape[1] == 1 else raw
        np.testing.assert_allclose(mean.decision_function(X), expected, rtol=1e-12)
        assert mean.predict_proba(X).shape == (80, len(mean.classes_))
        assert mean.score(X, y) == np.mean(mean.predict(X) == y)
        assert 0 < mean.d2_score(X, y) < 1
    else:
        np.testing.assert_allclose(mean.predict(X), np.exp(raw) if target == "positive" else raw, rtol=1e-12)
        assert 0 < mean.score(X, y) < 1


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_set_by_hand_on_a_fitted_model_counts_as_in_scikit_learn(name):
    X, y = data(LINEAR[name][1], x=np.float32)
    model, peer = (estimator.fit(X, y) for estimator in pair(name))
    for estimator in (model, peer):
        estimator.coef_ = np.full(estimator.coef_.shape, 0.25, dtype=np.float32)
        estimator.intercept_ = np.full(np.shape(estimator.intercept_), 0.5, dtype=np.float32)
    expected = outputs(peer, X)
    for method, values in outputs(model, X).items():
        np.testing.assert_allclose(values, expected[method], rtol=1e-5)
        assert values.dtype == expected[method].dtype
