import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression as TheirLinearRegression

from sk_hessian.inspection._fitted import Fitted
from sk_hessian.linear_model import (
    HuberRegressor,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from tests.estimators import ESTIMATORS, UNPENALISED, convergence_warnings, raw_table, target

every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def data(name, rng):
    X = raw_table(rng)
    return X, target(name, X, rng), rng.uniform(0.5, 2, size=len(X))


@every_estimator
def test_the_fitted_parameters_are_an_optimum_of_the_objective(name, rng):
    X, y, weight = data(name, rng)
    model = ESTIMATORS[name].set_params(tol=1e-8).fit(X, y, weight)
    fitted = Fitted(model, X, y, weight)
    fitted.require_optimum("this")
    assert fitted.objective.value_and_gradient(fitted.theta)[0] == pytest.approx(
        model.convergence_.objective, rel=1e-12
    )
    assert len(fitted.parameter_names) == fitted.theta.size


@pytest.mark.parametrize("name", UNPENALISED)
def test_the_root_is_that_of_the_inverse_hessian(name, rng):
    X, y, weight = data(name, rng)
    model = UNPENALISED[name].set_params(tol=1e-8).fit(X, y, weight)
    fitted = Fitted(model, X, y, weight)
    root = fitted.root("expected")
    H = fitted.objective.hessian_matrix(fitted.theta, "expected")
    unit = 1 / np.sqrt(np.diag(H))
    H, R = unit[:, None] * H * unit, root / unit[:, None]
    # of a softmax model the common shift is left out on both sides
    np.testing.assert_allclose(H @ R @ R.T @ H, H, atol=1e-6)


@pytest.mark.parametrize("model", [MLPRegressor(), MLPClassifier()])
def test_networks_have_a_fitted_objective(model, rng):
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    model.set_params(hidden_layer_sizes=(2,), activation="tanh", alpha=1.0, random_state=0).fit(X, y)
    fitted = Fitted(model, X, y)
    assert fitted.objective.value_and_gradient(fitted.theta)[0] == pytest.approx(model.loss_)
    assert fitted.parameter_names[:2] == ["W1[x0, 0]", "W1[x0, 1]"]
    assert fitted.parameter_names[4:6] == ["b1[0]", "b1[1]"]
    assert len(fitted.parameter_names) == fitted.theta.size


def test_names_of_softmax_parameters(iris):
    X, y = iris
    fitted = Fitted(LogisticRegression().fit(X, y), X, y)
    assert fitted.parameter_names[:3] == ["x0 [0]", "x0 [1]", "x0 [2]"]
    assert fitted.parameter_names[-1] == "intercept [2]"


def test_some_classes_may_be_missing_and_nothing_of_the_estimator_changes(iris):
    X, y = iris
    model = LogisticRegression(class_weight="balanced").fit(X, y)
    before = dict(vars(model))
    objective, theta = model.fitted_objective(X[:80], y[:80])
    assert objective.loss.n_outputs == 3
    assert np.isfinite(objective.value_and_gradient(theta)[0])
    assert vars(model) == before


def test_other_rows_are_refused(rng):
    X, y, _ = data("PoissonRegressor", rng)
    model = PoissonRegressor().fit(X, y)
    with pytest.raises(ValueError, match="not at the optimum for these rows"):
        Fitted(model, X, y[::-1]).require_optimum("A table")


def test_a_fit_without_the_verdict_optimal_is_refused(rng):
    X, y, _ = data("PoissonRegressor", rng)
    model, warned = convergence_warnings(lambda: PoissonRegressor(max_iter=1, solver="sgd", alpha=0).fit(X, y))
    assert warned
    with pytest.raises(ValueError, match=r'A table needs a fit with the verdict "optimal"\. This one: max_iter'):
        Fitted(model, X, y).require_optimum("A table")


def test_bad_arguments_are_named(rng, iris):
    X, y, _ = data("Ridge", rng)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        Fitted(Ridge(), X, y)
    with pytest.raises(TypeError, match="estimator must be one of sk_hessian, got LinearRegression"):
        Fitted(TheirLinearRegression().fit(X, y), X, y)
    with pytest.raises(ValueError, match="y has 2 outputs, but the estimator was fitted with 1"):
        Fitted(Ridge().fit(X, y), X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="X has 2 features"):
        Fitted(Ridge().fit(X, y), X[:, :2], y)
    X, y = iris
    with pytest.raises(ValueError, match="y has the class 7"):
        Fitted(LogisticRegression().fit(X, y), X, np.full(150, 7))


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_weights_whose_squares_overflow_are_refused(size, rng):
    """The fit is that of weights of one; sums over the rows would not be those of these weights."""
    X = raw_table(rng)
    y, weight = target("Ridge", X, rng), np.full(len(X), size)
    model = ESTIMATORS["LinearRegression"].fit(X, y, weight)
    np.testing.assert_allclose(model.coef_, ESTIMATORS["LinearRegression"].fit(X, y).coef_, rtol=1e-6)
    with pytest.raises(ValueError, match=r"sample_weight: the largest weight is beyond 1e\+100 or below 1e-100"):
        Fitted(model, X, y, weight)


def test_class_weights_and_hubers_loss_have_no_likelihood(rng, iris):
    X, y = iris
    weighted = Fitted(LogisticRegression(class_weight="balanced").fit(X, y), X, y)
    with pytest.raises(ValueError, match="A test needs a likelihood, and class_weight leaves only a pseudo-likelihood"):
        weighted.require_likelihood("A test")
    X, y, _ = data("HuberRegressor", rng)
    huber = Fitted(HuberRegressor().fit(X, y), X, y)
    with pytest.raises(ValueError, match="A test needs a likelihood, which this loss does not have"):
        huber.require_likelihood("A test")
    Fitted(Ridge().fit(X, y), X, y).require_likelihood("A test")


def test_a_singular_hessian_at_the_poisson_limit_names_its_cause(rng):
    X, y = rng.normal(size=(400, 2)), rng.binomial(3, 0.4, 400)
    model = NegativeBinomialRegressor(alpha=0.0).fit(X, y)
    assert model.theta_ == np.inf
    with pytest.raises(
        ValueError, match=r"working precision\. There is no overdispersion: this is the Poisson"
    ) as caught:
        Fitted(model, X, y).factor("expected")
    assert "flat_directions" not in str(caught.value)


def test_an_unknown_keyword_is_an_error_be_it_none(rng):
    X, y, _ = data("Ridge", rng)
    with pytest.raises(TypeError, match="offsets is not known"):
        Fitted(Ridge().fit(X, y), X, y, offsets=None)
