import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model as theirs
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from sk_hessian.linear_model import LogisticRegression
from tests.estimators import ALL_SOLVERS

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)
LOADERS = {"binary": load_breast_cancer, "softmax": load_iris, "wine": load_wine}


@pytest.fixture(params=LOADERS)
def standardised(request):
    X, y = LOADERS[request.param](return_X_y=True)
    return StandardScaler().fit_transform(X), y


@every_solver
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_scikit_learns_predictions(standardised, C, solver):
    X, y = standardised
    ours = LogisticRegression(C, solver=solver, tol=1e-8).fit(X, y)
    other = theirs.LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, other.coef_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, other.intercept_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), other.predict_proba(X), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(ours.decision_function(X), other.decision_function(X), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.predict(X), other.predict(X))


@every_solver
@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.5}], ids=str)
def test_class_weights_match_scikit_learn(standardised, class_weight, solver):
    X, y = standardised
    if isinstance(class_weight, dict):
        class_weight = {label: class_weight[label] for label in np.unique(y)}
    ours = LogisticRegression(class_weight=class_weight, solver=solver, tol=1e-8).fit(X, y)
    other = theirs.LogisticRegression(class_weight=class_weight, solver="newton-cholesky", tol=1e-12).fit(X, y)
    np.testing.assert_allclose(ours.coef_, other.coef_, rtol=1e-6, atol=1e-6)


@every_solver
@pytest.mark.parametrize("C", [1.0, np.inf], ids=str)
def test_softmax_coefficients_sum_to_zero(solver, C, rng):
    X = rng.normal(size=(120, 3)) * [1, 100, 0.01]
    y = np.argmax(np.outer(X[:, 0], [1, 0, -1]) + rng.gumbel(size=(120, 3)), axis=1)
    model = LogisticRegression(C, solver=solver).fit(X, y)
    unit = X.std(axis=0)
    assert np.abs(model.coef_.sum(axis=0) * unit).max() <= 1e-10 * np.abs(model.coef_ * unit).max()
    assert abs(model.intercept_.sum()) <= 1e-10 * np.abs(model.intercept_).max()


def test_probabilities_sum_to_one_and_logarithms_do_not_underflow(standardised):
    X, y = standardised
    model = LogisticRegression(1e4).fit(X, y)
    far = 1e4 * X[:5]
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-12)
    assert np.isfinite(model.predict_log_proba(far)).all()
    assert np.isfinite(model.predict_proba(far)).all()


def test_sparsify_and_densify(standardised):
    X, y = standardised
    model = LogisticRegression().fit(X, y)
    before = model.decision_function(X)
    assert sp.issparse(model.sparsify().coef_)
    np.testing.assert_allclose(model.decision_function(X), before, rtol=1e-12)
    np.testing.assert_allclose(model.decision_function(sp.csr_array(X)), before, rtol=1e-10, atol=1e-12)
    assert isinstance(model.densify().coef_, np.ndarray)
    np.testing.assert_allclose(model.decision_function(X), before, rtol=1e-12)


def test_a_sparsified_model_starts_warm(standardised):
    X, y = standardised
    model = LogisticRegression(warm_start=True).fit(X, y).sparsify()
    assert model.fit(X, y).n_iter_[0] <= 2


@pytest.mark.parametrize("labels", [(0, 1), ("b", "a"), (True, False)], ids=str)
def test_the_second_class_in_order_is_the_positive_one(labels, rng):
    X = rng.normal(size=(60, 1))
    positive = X[:, 0] + 0.5 * rng.logistic(size=60) > 0
    model = LogisticRegression().fit(X, np.where(positive, max(labels), min(labels)))
    assert model.coef_[0, 0] > 0
    assert model.classes_[1] == max(labels)


def test_large_softmax_models_are_certified_by_products(rng):
    X = rng.normal(size=(400, 40))
    y = np.argmax(X[:, :6] + rng.gumbel(size=(400, 6)), axis=1)
    models = [LogisticRegression(solver=solver, random_state=0).fit(X, y) for solver in ALL_SOLVERS]
    assert {model.convergence_.status for model in models} == {"optimal"}
    values = [model.convergence_.objective for model in models]
    assert np.ptp(values) <= 1.1e-8 * models[0].convergence_.scale


LABELS = {
    "integers": np.array([3, -1, 7]),
    "wide integers": np.array([3, 10**12, 7]),
    "floats": np.array([2.0, 0.0, 5.0]),
    "large floats": np.array([2e12, 0.0, 5e15]),
    "strings": np.array(["no", "yes", "perhaps"]),
    "objects": np.array(["no", "yes", "perhaps"], dtype=object),
    "booleans": np.array([True, False]),
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", LABELS)
def test_classes_are_the_sorted_labels_in_their_dtype(kind, n_classes, rng):
    labels = LABELS[kind][:n_classes]
    y = labels[np.arange(40) % len(labels)]
    X = rng.normal(size=(40, 2)) + np.arange(40)[:, None] % len(labels)
    model = LogisticRegression().fit(X, y)
    assert model.classes_.dtype == y.dtype
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    index = np.unique(y, return_inverse=True)[1]
    np.testing.assert_array_equal(model.coef_, LogisticRegression().fit(X, index).coef_)
    assert set(model.predict(X)) <= set(labels)
    assert model.predict(X).dtype == y.dtype
    assert model.predict_proba(X).shape == (40, len(labels))
