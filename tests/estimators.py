"""Estimators, solvers and matching targets for the tests that hold for all of them."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.linear_model import (
    BinomialRegressor,
    GammaRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    OrdinalClassifier,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.solvers import SOLVERS, Solver

FIRST_ORDER = ("sgd", "momentum", "clip")
SECOND_ORDER = ("newton", "lbfgs", "auto")


class Estimators(dict):
    """Estimators by name, each time one of its own, so that no test finds what another has set."""

    def __getitem__(self, name):
        return clone(super().__getitem__(name))

    def get(self, name, default=None):
        found = super().get(name)
        return default if found is None else clone(found)


#: name -> an estimator with its default penalty
ESTIMATORS = Estimators(
    {
        "LinearRegression": LinearRegression(),
        "Ridge": Ridge(),
        "LogisticRegression": LogisticRegression(),
        "softmax": LogisticRegression(),
        "PoissonRegressor": PoissonRegressor(alpha=1e-3),
        "GammaRegressor": GammaRegressor(alpha=1e-3),
        "TweedieRegressor": TweedieRegressor(power=1.5, alpha=1e-3),
        "TweedieRegressor-identity": TweedieRegressor(power=1, link="identity", alpha=1e-3),
        "NegativeBinomialRegressor": NegativeBinomialRegressor(alpha=1e-3),
        "NegativeBinomialRegressor-given": NegativeBinomialRegressor(theta=2.0, alpha=1e-3),
        "BinomialRegressor-probit": BinomialRegressor("probit", alpha=1e-3),
        "BinomialRegressor-cloglog": BinomialRegressor("cloglog", alpha=1e-3),
        "OrdinalClassifier": OrdinalClassifier(),
        "HuberRegressor": HuberRegressor(),
    }
)

#: the same without a penalty
UNPENALISED = Estimators(
    {
        "LinearRegression": LinearRegression(),
        "Ridge": Ridge(alpha=0),
        "LogisticRegression": LogisticRegression(C=np.inf),
        "softmax": LogisticRegression(C=np.inf),
        "PoissonRegressor": PoissonRegressor(alpha=0),
        "GammaRegressor": GammaRegressor(alpha=0),
        "TweedieRegressor": TweedieRegressor(power=1.5, alpha=0),
        "NegativeBinomialRegressor": NegativeBinomialRegressor(alpha=0),
        "BinomialRegressor-probit": BinomialRegressor("probit", alpha=0),
        "BinomialRegressor-cloglog": BinomialRegressor("cloglog", alpha=0),
        "OrdinalClassifier": OrdinalClassifier(alpha=0),
        "HuberRegressor": HuberRegressor(alpha=0),
    }
)

ALL_SOLVERS = (*SOLVERS, "auto")


class Interrupted(Solver):
    """A solver whose run ends in an error as it begins."""

    def __init__(self, error=KeyboardInterrupt):
        self.error = error

    def begin(self, problem, point, random_state):
        raise self.error("now")


def target(name, X, rng):
    """A noisy target for an estimator of `ESTIMATORS`, driven by the standardised first columns."""
    n = len(X)
    deviation = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    eta = 0.5 * Z[:, 0] - (0.3 * Z[:, 1] if Z.shape[1] > 1 else 0)
    if name == "LogisticRegression":
        return np.where(eta + rng.logistic(size=n) > 0, "yes", "no")
    if name == "softmax":
        return np.array(["a", "b", "c"])[np.argmax(np.outer(eta, [1, 0, -1]) + rng.gumbel(size=(n, 3)), axis=1)]
    if name == "OrdinalClassifier":
        return np.digitize(eta + rng.logistic(size=n), [-1.0, 0.3, 1.5])
    if name.startswith("Binomial"):
        return rng.binomial(10, -np.expm1(-np.exp(eta - 0.5))) / 10
    if name.endswith("identity"):
        return rng.poisson(np.exp(0.5 * eta + 1)) + 1.0  # a zero would put the optimum on the boundary of the domain
    if name.startswith("Poisson"):
        return rng.poisson(np.exp(0.5 * eta + 1)).astype(float)
    if name.startswith("NegativeBinomial"):
        return rng.poisson(np.exp(0.5 * eta + 1) * rng.gamma(2, 0.5, size=n)).astype(float)
    if name.startswith(("Gamma", "Tweedie")):
        return rng.gamma(3, np.exp(eta) / 3)
    return 3 + eta + 0.3 * rng.normal(size=n)


def raw_table(rng, n=120, p=4):
    """Columns of very different units and zeros."""
    return rng.normal(size=(n, p)) * 10.0 ** np.arange(p) + np.resize([0, 50, -1000, 3e4], p)


def prediction(model, X):
    """Linear predictor, the most sensitive prediction; of classes without the common shift that nothing depends on."""
    if hasattr(model, "thresholds_"):
        return model._raw_prediction(X)
    if not hasattr(model, "decision_function"):
        return model.predict(X)
    raw = model.decision_function(X)
    return raw if raw.ndim == 1 else raw - raw.mean(axis=1, keepdims=True)


def distance(a, b):
    """Largest difference beside the largest value."""
    return np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max(), 1e-300)


def inverse_hessian(objective, theta, kind="observed"):
    """The inverse of the Hessian at a point, whatever the units of the parameters; zero along flat directions."""
    H = objective.hessian_matrix(theta, kind)
    unit = 1 / np.sqrt(np.diag(H))
    return unit[:, None] * np.linalg.pinv(unit[:, None] * H * unit, rcond=1e-12, hermitian=True) * unit


def convergence_warnings(function):
    """What ``function()`` returns, and the ConvergenceWarnings it raised."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    assert all(issubclass(w.category, ConvergenceWarning) for w in caught), [str(w.message) for w in caught]
    return result, [str(w.message) for w in caught]


def assert_refused(message, call, *args, error=ValueError, **options):
    """A call ends in an error that says so."""
    with pytest.raises(error, match=message):
        call(*args, **options)
