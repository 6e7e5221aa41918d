"""An estimator's objective at its fitted parameters, as all functions of inspection see it."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sk_hessian.inspection import coef_table, hessian, profile_intervals
from sk_hessian.linear_model import LogisticRegression, NegativeBinomialRegressor, Ridge
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from tests.estimators import ESTIMATORS, assert_refused, raw_table, target


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_fitted_parameters_are_an_optimum_of_the_objective(name, rng):
    X = raw_table(rng)
    y, weight = target(name, X, rng), rng.uniform(0.5, 2, size=len(X))
    model = ESTIMATORS[name].set_params(tol=1e-8).fit(X, y, weight)
    objective, theta = model.fitted_objective(X, y, weight)
    value, gradient = objective.value_and_gradient(theta)
    assert value == pytest.approx(model.convergence_.objective, rel=1e-12)
    left = objective.preconditioner(theta, "full").transpose(gradient)
    assert left @ left <= 1e-14 * model.convergence_.scale
    assert len(hessian(model, X, y, sample_weight=weight).parameter_names) == theta.size


@pytest.mark.parametrize("model", [MLPRegressor(), MLPClassifier()])
def test_networks_have_a_fitted_objective(model, rng):
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    model.set_params(hidden_layer_sizes=(2,), activation="tanh", alpha=1.0, random_state=0).fit(X, y)
    objective, theta = model.fitted_objective(X, y)
    assert objective.value_and_gradient(theta)[0] == pytest.approx(model.loss_)
    names = hessian(model, X, y).parameter_names
    assert names[:2] == ["W1[x0, 0]", "W1[x0, 1]"]
    assert names[4:6] == ["b1[0]", "b1[1]"]
    assert len(names) == theta.size


def test_names_of_softmax_parameters(iris):
    names = hessian(LogisticRegression().fit(*iris), *iris).parameter_names
    assert names[:3] == ["x0 [0]", "x0 [1]", "x0 [2]"]
    assert names[-1] == "intercept [2]"


def test_some_classes_may_be_missing_and_nothing_of_the_estimator_changes(iris):
    X, y = iris
    model = LogisticRegression(class_weight="balanced").fit(X, y)
    before = dict(vars(model))
    objective, theta = model.fitted_objective(X[:80], y[:80])
    assert objective.loss.n_outputs == 3
    assert np.isfinite(objective.value_and_gradient(theta)[0])
    assert vars(model) == before


def test_bad_arguments_are_named(rng, iris):
    X = raw_table(rng)
    y = target("Ridge", X, rng)
    assert_refused("not fitted yet", hessian, Ridge(), X, y, error=NotFittedError)
    with pytest.raises(ValueError, match="y has 2 outputs, but the estimator was fitted with 1"):
        hessian(Ridge().fit(X, y), X, np.stack([y, y], axis=1))
    assert_refused("offsets is not known", hessian, Ridge().fit(X, y), X, y, offsets=None, error=TypeError)
    network = MLPRegressor(hidden_layer_sizes=(), alpha=1.0).fit(X, y)
    message = "offset is not taken by MLPRegressor: leave it out"
    assert_refused(message, hessian, network, X, y, offset=y, error=TypeError)
    X, y = iris
    assert_refused("y has the class 7", hessian, LogisticRegression().fit(X, y), X, np.full(150, 7))


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_weights_whose_squares_overflow_are_refused(size, rng):
    """The fit is that of weights of one; sums over the rows would not be those of these weights."""
    X = raw_table(rng)
    y, weight = target("Ridge", X, rng), np.full(len(X), size)
    model = ESTIMATORS["LinearRegression"].fit(X, y, weight)
    np.testing.assert_allclose(model.coef_, ESTIMATORS["LinearRegression"].fit(X, y).coef_, rtol=1e-6)
    with pytest.raises(ValueError, match=r"sample_weight: the largest weight is beyond 1e\+100 or below 1e-100"):
        hessian(model, X, y, sample_weight=weight)


def test_class_weights_leave_no_likelihood(iris):
    X, y = iris[0], iris[1] > 1
    model = LogisticRegression(C=np.inf, class_weight="balanced").fit(X, y)
    message = "needs a likelihood, and class_weight leaves only a pseudo-likelihood"
    assert_refused(message, profile_intervals, model, X, y)


def test_a_singular_hessian_at_the_poisson_limit_names_its_cause(rng):
    X, y = rng.normal(size=(400, 2)), rng.binomial(3, 0.4, 400)
    model = NegativeBinomialRegressor(alpha=0.0).fit(X, y)
    assert model.theta_ == np.inf
    with pytest.raises(ValueError, match="There is no overdispersion: this is the Poisson") as caught:
        coef_table(model, X, y)
    assert "flat_directions" not in str(caught.value)
