"""Targets, predictions and whole objectives for every loss of the package, inside its domain."""

import numpy as np
import scipy.sparse as sp

from sk_hessian.objectives import (
    LOSSES,
    GLMObjective,
    HuberLoss,
    NegativeBinomialLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
)


def loss_id(loss):
    parts = [type(loss).__name__, *(str(v) for v in vars(loss).values() if isinstance(v, int | float | str))]
    return "-".join(parts[:4]).replace(" ", "_")


IDS = [loss_id(loss) for loss in LOSSES]


def targets(loss, n, rng):
    """Targets in the range of the loss; zeros where it allows them."""
    if isinstance(loss, SoftmaxCrossEntropy):
        return rng.permutation(np.arange(n) % loss.n_outputs)
    if isinstance(loss, NegativeBinomialLoss):
        return rng.negative_binomial(1.0, 0.2, size=n).astype(float)
    if isinstance(loss, TweedieLoss) and loss.power > 0:
        y = rng.gamma(2.0, 1.0, size=n) + 0.1
        return np.where(np.arange(n) % 4 == 0, 0.0, y) if loss.power < 2 else y
    if isinstance(loss, (SquaredLoss, HuberLoss, TweedieLoss)):
        return rng.normal(size=(n, loss.n_outputs)).squeeze() * 2 + 1
    labels = [rng.permutation(np.arange(n) % 2).astype(float) for _ in range(loss.n_outputs)]
    return np.stack(labels, axis=1) if loss.n_outputs > 1 else labels[0]


def raw_predictions(loss, n, rng):
    """Raw predictions inside the domain, shape (n, outputs + constants)."""
    raw = rng.normal(size=(n, loss.n_outputs))
    if getattr(loss, "link", None) == "identity" and loss.power > 0:
        raw = np.exp(raw)
    return np.hstack([raw, np.full((n, loss.n_constants), 0.8)])


def container(X, kind):
    """X in C order, F order, or CSR."""
    return {"C": np.ascontiguousarray, "F": np.asfortranarray, "csr": sp.csr_array}[kind](X)


def objective(loss, kind, fit_intercept, rng, n=40, p=4):
    """A weighted, penalised objective and a point in its domain."""
    X = rng.uniform(0.1, 1, size=(n, p)) * (rng.uniform(size=(n, p)) < 0.7)
    X[:, 0] += 0.2
    model = GLMObjective(
        container(X, kind),
        targets(loss, n, rng),
        loss,
        sample_weight=rng.uniform(0.2, 3, size=n),
        fit_intercept=fit_intercept,
        penalty=np.outer(rng.uniform(0, 0.5, size=p), np.ones(loss.n_outputs)),
    )
    coef = rng.uniform(0.2, 1, size=(p, loss.n_outputs))
    return model, model.pack(coef, np.full(loss.n_outputs, 0.3), [0.9] * loss.n_constants), X


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
