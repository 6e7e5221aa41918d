"""The default tolerance in standard errors: no coefficient is more than a hundredth of one from the optimum."""

import numpy as np
import pytest
from sklearn.base import clone

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
from sk_hessian.solvers import LBFGS, SGD, Momentum, Newton
from tests import problems

SOLVERS = ["sgd", "momentum", "clip", "newton", "lbfgs"]
MODELS = {
    "least squares": LinearRegression(),
    "ridge": Ridge(alpha=10.0),
    "logistic": LogisticRegression(C=np.inf),
    "logistic, penalised": LogisticRegression(C=0.01),
    "softmax": LogisticRegression(C=np.inf),
    "poisson": PoissonRegressor(alpha=0.0),
    "poisson, penalised": PoissonRegressor(alpha=1e-3),
    "gamma": GammaRegressor(alpha=0.0),
    "tweedie": TweedieRegressor(power=1.5, alpha=0.0),
    "inverse gaussian": TweedieRegressor(power=3.0, alpha=0.0),
    "negative binomial": NegativeBinomialRegressor(theta=2.0, alpha=0.0),
    "theta estimated": NegativeBinomialRegressor(alpha=0.0),
    "huber": HuberRegressor(alpha=0.0),
}


def data(name, n):
    """Columns of unlike sizes and shapes, and a target of the model."""
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=n), rng.exponential(size=n) * 100, rng.integers(0, 3, n)]
    eta = 0.4 * X[:, 0] - 0.003 * X[:, 1] + 0.2 * X[:, 2] - 0.5
    family = name.split(",")[0]
    targets = {
        "logistic": lambda: (eta + rng.logistic(size=n) > 0).astype(int),
        "softmax": lambda: np.digitize(eta + rng.logistic(size=n), [-1, 1]),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "gamma": lambda: np.exp(eta) * rng.gamma(0.5, 2.0, size=n),
        "tweedie": lambda: np.exp(eta) * rng.gamma(0.5, 2.0, size=n) * (rng.random(n) < 0.5),
        "inverse gaussian": lambda: np.exp(eta) * rng.wald(1.0, 2.0, size=n),
        "negative binomial": lambda: rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, size=n)),
        "theta estimated": lambda: rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, size=n)),
    }
    return X, targets.get(family, lambda: eta + rng.standard_t(3, size=n))()


def errors(model, best, X, y, weight=None):
    """The distances of the parameters from the optimum, in standard errors by the inverse Hessian."""
    objective, optimum = best.fitted_objective(X, y, weight)
    theta = model.fitted_objective(X, y, weight)[1]
    factor = objective.at(optimum).whole_factor("observed")
    root = np.stack([objective.canonical(column) for column in factor.dense().T], axis=1)
    phi = 2 * best.scale_ if isinstance(best, HuberRegressor) else 1.0
    if objective.loss.family.has_dispersion:
        residuals = objective.loss.family.pearson(y, objective.raw_predictions(optimum))[:, 0]
        phi = np.average(residuals, weights=weight)
    return np.abs(theta - optimum) / (np.linalg.norm(root, axis=1) * np.sqrt(phi / objective.total_weight))


def optimum(name, X, y, weight=None):
    best = clone(MODELS[name]).set_params(solver="newton", tol=1e-10).fit(X, y, weight)
    assert best.convergence_.status == "optimal"
    return best


@pytest.mark.parametrize("n", [300, 12_000])
@pytest.mark.parametrize("name", MODELS)
def test_every_solver_ends_within_a_hundredth_of_a_standard_error(name, n):
    X, y = data(name, n)
    best = optimum(name, X, y)
    # each evaluation of a likelihood in theta takes gamma functions of every row
    for solver in ["newton", "lbfgs"] if name == "theta estimated" and n > 300 else SOLVERS:
        model = clone(MODELS[name]).set_params(solver=solver, random_state=0).fit(X, y)
        assert model.convergence_.status == "optimal"
        assert errors(model, best, X, y).max() <= 0.01, solver


def test_a_million_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1_000_000)
    X, y = x[:, None], rng.poisson(np.exp(0.4 * x - 1))
    best = optimum("poisson", X, y)
    model = PoissonRegressor(alpha=0.0, solver="lbfgs").fit(X, y)
    assert errors(model, best, X, y).max() <= 0.01
    assert model.convergence_.passes <= 15


@pytest.mark.parametrize("unit", [1e-9, 1e9])
@pytest.mark.parametrize("name", MODELS)
def test_weights_of_any_size_end_optimal(name, unit):
    """Many more rows than there are, and rows that count for nothing: the optimum stays within rounding."""
    X, y = data(name, 300)
    weight = unit * np.random.default_rng(1).uniform(0.5, 2, size=300)
    alpha = {"alpha": 10 * unit} if name == "ridge" else {"C": 0.01 / unit} if name == "logistic, penalised" else {}
    best = clone(MODELS[name]).set_params(solver="newton", tol=1e-10, **alpha).fit(X, y, weight)
    for solver in SOLVERS:
        model = clone(MODELS[name]).set_params(solver=solver, random_state=0, **alpha).fit(X, y, weight)
        assert model.convergence_.status == "optimal", solver
        assert errors(model, best, X, y, weight).max() <= 0.01, solver


def perfect(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4)) * [1, 1e3, 1e-3, 1] + [0, 1e5, 0, 2015]
    raw = X @ [1.0, 2.0, 3.0, 4.0] + 7
    if name in ("least squares", "ridge", "huber"):
        return X, raw
    X = (X - [0, 1e5, 0, 2015]) / [1, 1e3, 1e-3, 1]
    return X, np.exp(X @ [0.3, 0.2, -0.5, 0.1])


@pytest.mark.parametrize("solver", [*SOLVERS, "auto"])
@pytest.mark.parametrize("name", ["least squares", "ridge", "huber", "poisson", "gamma", "tweedie", "inverse gaussian"])
def test_a_fit_without_dispersion_ends_optimal(name, solver):
    """Nothing is left of the residuals but rounding: no tolerance is asked for that rounding would not allow."""
    X, y = perfect(name)
    model = clone(MODELS[name]).set_params(solver=solver).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.convergence_.passes <= 250
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-4 if name in ("least squares", "huber") else 1e-3)


@pytest.mark.parametrize("noise", [1e-3, 1e-6])
@pytest.mark.parametrize("solver", SOLVERS)
def test_little_noise_is_no_licence(solver, noise):
    """The unit of errors is what is left, however much has been explained."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3))
    y = np.exp(X @ [0.3, 0.2, -0.5] + noise * rng.normal(size=2000))
    for name in ("gamma", "least squares"):
        target = np.log(y) if name == "least squares" else y
        model = clone(MODELS[name]).set_params(solver=solver, random_state=0).fit(X, target)
        assert errors(model, optimum(name, X, target), X, target).max() <= 0.01


@pytest.mark.parametrize("solver", [LBFGS(), Momentum(), SGD(batch_size=None), Newton(hessian="subsampled")], ids=repr)
def test_the_newton_step_of_a_look_is_taken(solver):
    """With a tolerance that looks are near to, its end is far nearer to the optimum than the tolerance asks."""
    X, y = problems.age_income_year(1, n=20_000)
    model = PoissonRegressor(alpha=1e-3, solver=solver, tol=1e-2, random_state=0).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert (np.diff(model.history_["objective"]) <= 1e-12).all()


def test_textbook_runs_take_no_step_of_their_certificate():
    X, y = problems.age_income_year(1, n=500)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = PoissonRegressor(alpha=1e-3, solver=SGD(0.1, batch_size=None, precondition=None), max_iter=5000)
    model.fit(X, y)
    assert model.convergence_.status == "optimal"
    np.testing.assert_array_equal(model.history_["step"][1:], 0.1)


@pytest.mark.parametrize("name", ["ridge", "poisson", "logistic", "gamma"])
def test_streams_have_the_same_tolerance(name):
    X, y = data(name, 4000)
    ends = []
    for tol in (1e-4, 1e-9):
        model = clone(MODELS[name]).set_params(tol=tol, solver="sgd", random_state=0)
        for start in range(0, 4000, 1000):
            first = {"classes": [0, 1]} if name == "logistic" and start == 0 else {}
            model.partial_fit(X[start : start + 1000], y[start : start + 1000], **first)
        assert model.convergence_.status == "optimal"
        ends.append(model)
    best = clone(MODELS[name]).set_params(tol=1e-10).fit(X, y)
    at = [errors(model, best, X, y) for model in ends]
    assert np.abs(at[0] - at[1]).max() <= 0.02
