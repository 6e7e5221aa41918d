"""Proofs that an optimum is at infinity, and the feasible start of an identity link."""

import numpy as np
import pytest

from sk_hessian.objectives import (
    BinaryCrossEntropy,
    GLMObjective,
    HuberLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
)
from tests.estimators import assert_refused

N = 60


def diagnose(X, y, loss, **options):
    model = GLMObjective(X, y, loss, **options)
    theta = model.start()
    return model.diagnose(theta, -model.value_and_gradient(theta)[1])


@pytest.fixture
def X(rng):
    return rng.normal(size=(N, 4))


def binary(X, kind):
    """y that column 2 splits at 0.3: completely, but for ties on the boundary, or not at all."""
    y = (X[:, 2] > 0.3).astype(float)
    if kind == "quasi":
        X[:4, 2], y[:4] = 0.3, [0, 1, 0, 1]
    if kind == "overlap":
        y[np.argsort(X[:, 2])[[0, -1]]] = [1, 0]
    return y


@pytest.mark.parametrize("kind", ["complete", "quasi"])
def test_the_direction_of_a_separation_lowers_the_loss_for_ever(X, kind):
    y = binary(X, kind)
    model = GLMObjective(X, y, BinaryCrossEntropy())
    d = model.diagnose(model.start(), np.zeros(5)).direction
    values = [model.value_and_gradient(t * d)[0] for t in (0, 1, 10, 100)]
    assert np.all(np.diff(values) < 0)


def test_overlapping_classes_are_not_separated(X):
    assert diagnose(X, binary(X, "overlap"), BinaryCrossEntropy()) is None


def test_a_penalised_column_does_not_separate(X):
    penalty = np.array([[0.0], [0.0], [1.0], [0.0]])
    assert diagnose(X[:, :3], binary(X, "complete"), BinaryCrossEntropy(), penalty=penalty[:3]) is None


def test_a_class_of_softmax_is_named(X):
    y = np.arange(N) % 2
    y[X[:, 0] > 1] = 2
    found = diagnose(X, y, SoftmaxCrossEntropy(3), class_names=["red", "green", "blue"])
    assert "class blue" in str(found)
    assert "red" not in str(found)
    assert found.features[0] == "x0"


def test_overlapping_softmax_is_not_separated(X):
    assert diagnose(X, np.arange(N) % 3, SoftmaxCrossEntropy(3)) is None


@pytest.mark.parametrize("loss", [TweedieLoss(1), TweedieLoss(1.5)], ids=["poisson", "compound"])
def test_zeros_that_other_rows_share_are_not_separated(X, loss):
    assert diagnose(X, np.arange(N) % 3 * 1.0, loss) is None


@pytest.mark.parametrize("loss", [SquaredLoss(), TweedieLoss(2), HuberLoss()], ids=["squared", "gamma", "huber"])
def test_losses_that_cannot_recede(X, loss):
    assert diagnose(X, np.abs(X[:, 0]) + 1, loss) is None


def test_the_proof_is_blind_to_units(X):
    y = binary(X, "complete")
    found = diagnose(X * [1e-8, 1, 1e9, 1e3] + [0, 1e4, 0, 0], y, BinaryCrossEntropy())
    assert found.features[0] == "x2"


@pytest.mark.parametrize("power", [1, 2])
def test_a_start_without_intercept_has_positive_means(X, power):
    X = np.abs(X) + 0.01
    X[:, 0] *= -1
    model = GLMObjective(X, np.arange(N) + 1.0, TweedieLoss(power, "identity"), fit_intercept=False)
    assert np.isfinite(model.value_and_gradient(model.start())[0])
    assert (X @ model.start()).min() > 0


def test_no_start_without_intercept_is_an_error_that_says_what_to_do(X):
    model = GLMObjective(np.vstack([X, -X]), np.ones(2 * N), TweedieLoss(1, "identity"), fit_intercept=False)
    assert_refused(r"link='identity' needs a positive mean for every row.*fit_intercept=True", model.start)
