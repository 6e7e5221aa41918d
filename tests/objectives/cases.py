"""Targets, predictions and whole objectives for every loss of the package, inside its domain."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sk_hessian.objectives import (
    LOSSES,
    BinaryCrossEntropy,
    BinomialLoss,
    GLMObjective,
    HuberLoss,
    Loss,
    MLPObjective,
    NegativeBinomialLoss,
    Objective,
    OrdinalLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
)


def loss_id(loss):
    """The name of a loss in the name of a test; other parameters have their own."""
    if not isinstance(loss, Loss):
        return str(loss)
    parts = [type(loss).__name__, *(str(v) for v in vars(loss).values() if isinstance(v, int | float | str))]
    return "-".join(parts[:4]).replace(" ", "_")


IDS = [loss_id(loss) for loss in LOSSES]


#: losses of networks, with one output and with several
NETWORK_LOSSES = [
    SquaredLoss(),
    SquaredLoss(2),
    SquaredLoss(3),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(2),
    BinaryCrossEntropy(3),
    SoftmaxCrossEntropy(3),
    TweedieLoss(1, "log"),
    TweedieLoss(2, "log"),
    HuberLoss(),
]


def targets(loss, n, rng):
    """Targets in the range of the loss; zeros where it allows them."""
    if isinstance(loss, (SoftmaxCrossEntropy, OrdinalLoss)):
        return rng.permutation(np.arange(n) % (loss.n_outputs if loss.shift_invariant else loss.n_classes))
    if isinstance(loss, NegativeBinomialLoss):
        return rng.negative_binomial(1.0, 0.2, size=n).astype(float)
    if isinstance(loss, TweedieLoss) and loss.power > 0:
        y = rng.gamma(2.0, 1.0, size=n) + 0.1
        return np.where(np.arange(n) % 4 == 0, 0.0, y) if loss.power < 2 else y
    if isinstance(loss, (SquaredLoss, HuberLoss, TweedieLoss)):
        return rng.normal(size=(n, loss.n_outputs)).squeeze() * 2 + 1
    if isinstance(loss, BinomialLoss):
        return rng.permutation(np.arange(n) % 5) / 4
    labels = [rng.permutation(np.arange(n) % 2).astype(float) for _ in range(loss.n_outputs)]
    return np.stack(labels, axis=1) if loss.n_outputs > 1 else labels[0]


def raw_predictions(loss, n, rng):
    """Raw predictions inside the domain, shape (n, outputs + constants)."""
    raw = rng.normal(size=(n, loss.n_outputs))
    if getattr(loss, "link", None) == "cloglog":
        raw = np.minimum(raw, 2.0)  # the chance of no event falls like exp(-exp(raw)): differences have no digits
    if loss.domain is not None:
        raw = loss.domain.side * np.exp(raw)
    return np.hstack([raw, np.tile(0.8 * np.arange(1, loss.n_constants + 1), (n, 1))])


def container(X, kind):
    """X in C order, F order, or CSR."""
    return {"C": np.ascontiguousarray, "F": np.asfortranarray, "csr": sp.csr_array}[kind](X)


@dataclass
class Case:
    """A weighted, penalised objective, what it was made of, a point in its domain, and the strength of its penalty."""

    objective: Objective
    theta: np.ndarray
    X: np.ndarray
    y: np.ndarray
    options: dict
    strength: np.ndarray

    def again(self, X=None, y=None, **options):
        """The same objective with some of its parts replaced."""
        parts = (self.X if X is None else X, self.y if y is None else y)
        return type(self.objective)(*parts, self.objective.loss, **(self.options | options))

    @property
    def weight(self):
        return self.options["sample_weight"]


def linear(loss, kind, fit_intercept, rng, n=40, p=4):
    """A `Case` with X in the container of that kind."""
    X = rng.uniform(0.1, 1, size=(n, p)) * (rng.uniform(size=(n, p)) < 0.7)
    X[:, 0] += 0.2
    y = targets(loss, n, rng)
    options = {
        "sample_weight": rng.uniform(0.2, 3, size=n),
        "fit_intercept": fit_intercept,
        "penalty": np.outer(rng.uniform(0, 0.5, size=p), np.ones(loss.n_outputs)),
    }
    model = GLMObjective(container(X, kind), y, loss, **options)
    coef = rng.uniform(0.2, 1, size=(p, loss.n_outputs))
    side = -1 if loss.domain is not None and loss.domain.side < 0 else 1
    theta = model.pack(side * coef, np.full(loss.n_outputs, side * 0.3), 0.9 * np.arange(1, loss.n_constants + 1))
    strength = model.pack(options["penalty"], np.zeros(loss.n_outputs), np.zeros(loss.n_constants))
    return Case(model, theta, X, y, options, strength)


#: sizes of the hidden layers of networks of some depths
DEPTHS = {0: (), 1: (3,), 2: (3, 2), 3: (2, 3, 2)}


def network(loss, rng, activation="tanh", depth=1, kind="C", n=12, p=3):
    """A `Case` of a network on uncentred columns of several units, its point no start."""
    X = (rng.normal(size=(n, p)) + [1, 0, 3]) * [1, 10, 0.1] * (rng.uniform(size=(n, p)) < 0.8)
    y = targets(loss, n, rng)
    options = {
        "hidden_layer_sizes": DEPTHS[depth],
        "activation": activation,
        "sample_weight": rng.uniform(0.2, 3, size=n),
        "penalty": 0.05,
    }
    model = MLPObjective(container(X, kind), y, loss, **options)
    coefs, intercepts, constants = model.unpack(0.7 * rng.normal(size=model.n_parameters))
    strength = model.pack([np.full_like(W, 0.05) for W in coefs], [0 * b for b in intercepts], 0 * constants)
    coefs[0] = coefs[0] / X.std(axis=0)[:, None]
    intercepts[0] = intercepts[0] - X.mean(axis=0) @ coefs[0]
    return Case(model, model.pack(coefs, intercepts, 0 * constants + 0.5), X, y, options, strength)


def differences(function, x, step=None):
    """Central differences of ``function`` in each entry of x, along the last axis."""
    columns = []
    for i in range(x.size):
        h = np.finfo(float).eps ** (1 / 3) * max(1.0, abs(x.flat[i])) if step is None else step
        shift = np.zeros_like(x)
        shift.flat[i] = h
        columns.append((function(x + shift) - function(x - shift)) / (2 * h))
    return np.stack(columns, axis=-1)


def assert_close(actual, expected, rtol=1e-6):
    """Within ``rtol`` of the largest entry."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= rtol * max(np.abs(expected).max(), 1e-3)
