"""A solver of a user, as an object and registered under a name, wherever the package's own may stand."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.solvers import SOLVERS, MethodRun, Solver, Step
from tests.estimators import convergence_warnings, distance, prediction


class Halving(Solver):
    """Gradient steps, halved until the value falls; it has one option, and none of the package's."""

    def __init__(self, most=60):
        self.most = most

    def begin(self, problem, point, random_state):
        return HalvingRun(self.most)


class HalvingRun(MethodRun):
    refresh_every = 5

    def __init__(self, most):
        self.most = most

    def reset(self):
        """Nothing to forget."""

    def advance(self, problem, point):
        for rate in 0.5 ** np.arange(self.most):
            new = problem.evaluate(point.u - rate * point.slope)
            if new.value < point.value:
                return Step(new, rate)
        return Step(point, 0.0, moved=False)


class PlainHalving(Halving):
    """The same in the user's parameters."""

    precondition = None


@pytest.fixture(params=["object", "name"])
def own(request, monkeypatch):
    """The solver as an object, or the name under which it is registered."""
    if request.param == "object":
        return Halving()
    monkeypatch.setitem(SOLVERS, "halving", Halving)
    return "halving"


def table(classes=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)) * [1, 10, 0.1] + [0, 5, 0]
    eta = X @ [0.5, 0.05, 3]
    return X, (eta + rng.logistic(size=120) > 0).astype(int) if classes else rng.poisson(np.exp(eta * 0.3)) + 0.0


LINEAR = [LinearRegression(), PoissonRegressor(alpha=1e-3), LogisticRegression()]


@pytest.mark.parametrize("model", LINEAR, ids=lambda m: type(m).__name__)
def test_linear_models_fit_with_it(model, own):
    X, y = table(isinstance(model, LogisticRegression))
    usual = clone(model).set_params(tol=1e-8).fit(X, y)
    ours = clone(model).set_params(solver=own, tol=1e-8).fit(X, y)
    assert ours.convergence_.status == "optimal"
    assert isinstance(ours.solver_, Halving)
    assert distance(prediction(ours, X), prediction(usual, X)) <= 1e-6


@pytest.mark.parametrize("model", LINEAR, ids=lambda m: type(m).__name__)
def test_linear_models_go_on_with_it(model, own):
    X, y = table(isinstance(model, LogisticRegression))
    classes = {"classes": [0, 1]} if isinstance(model, LogisticRegression) else {}
    usual, ours = clone(model), clone(model).set_params(solver=own)
    for part in np.split(np.arange(len(X)), 3):
        for one in (usual, ours):
            one.partial_fit(X[part], y[part], **classes)
    assert ours.convergence_.status == "optimal"
    assert distance(prediction(ours, X), prediction(usual, X)) <= 1e-2


@pytest.mark.parametrize("network", [MLPRegressor, MLPClassifier])
def test_networks_fit_and_go_on_with_it(network, own):
    X, y = table(network is MLPClassifier)
    fitted, _ = convergence_warnings(
        lambda: network(hidden_layer_sizes=(4,), activation="tanh", solver=own, max_iter=30, random_state=0).fit(X, y)
    )
    assert fitted.loss_ < fitted.history_["objective"][0]
    stream = network(hidden_layer_sizes=(4,), activation="tanh", solver=own, random_state=0)
    classes = {"classes": [0, 1]} if network is MLPClassifier else {}
    for _ in range(20):
        stream.partial_fit(X, y, **classes)
    assert isinstance(stream.solver_, Halving)
    assert stream.loss_curve_[-1] < 0.9 * stream.loss_curve_[0]
    assert stream.t_ == 20 * len(X)


@pytest.mark.parametrize("model", LINEAR, ids=lambda m: type(m).__name__)
def test_without_a_preconditioner_it_sees_dependent_columns_too(model):
    X, y = table(isinstance(model, LogisticRegression))
    X = np.c_[X[:, 0], 2 * X[:, 0], 10 * X[:, 2]]
    usual, _ = convergence_warnings(lambda: clone(model).set_params(tol=1e-8).fit(X, y))
    ours, _ = convergence_warnings(lambda: clone(model).set_params(solver=PlainHalving(), tol=1e-6).fit(X, y))
    np.testing.assert_allclose(ours.coef_, usual.coef_, atol=1e-3)
    assert ours.convergence_.flat_directions == usual.convergence_.flat_directions


def test_its_message_names_it():
    X, y = table()
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        PoissonRegressor(alpha=0, solver=PlainHalving(), max_iter=1).fit(X, y)
