"""Jeffreys' prior as an objective: its derivatives, its determinant, and what it is not."""

import numpy as np
import pytest
from scipy.special import expit

from sk_hessian.objectives import BinaryCrossEntropy, GLMObjective, Jeffreys
from sk_hessian.solvers import plan
from tests.estimators import assert_refused
from tests.objectives.cases import assert_close, container, differences

UNIT = np.array([1.0, 100.0, 0.01])
MEAN = np.array([0.0, 50.0, 1.0])


def rows(rng, n=40):
    """Raw columns of different units and means, and classes."""
    X = rng.normal(size=(n, 3)) * UNIT + MEAN
    X[rng.uniform(size=n) < 0.3, 0] = 0
    return X, (rng.uniform(size=n) < 0.4).astype(float)


WEIGHT = np.random.default_rng(0).uniform(0.5, 2, size=40)


def objective(rng, kind="C", **options):
    X, y = rows(rng)
    options = {"sample_weight": WEIGHT, **options}
    return X, y, GLMObjective(container(X, kind), y, BinaryCrossEntropy(), terms=[Jeffreys()], **options)


def point(model, rng):
    """Parameters whose predictors are of order one, and their units."""
    if not model.fit_intercept:
        unit = 1 / np.hypot(UNIT, MEAN)
        return 0.3 * rng.normal(size=3) * unit, unit
    unit = np.append(1 / UNIT, 1.0)
    theta = 0.3 * rng.normal(size=4) * unit
    theta[3] -= theta[:3] @ MEAN
    return theta, unit


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", ["C", "F", "csr"])
@pytest.mark.parametrize("offset", [None, np.random.default_rng(1).normal(size=40)], ids=["plain", "offset"])
def test_every_derivative(fit_intercept, kind, offset, rng):
    _, _, model = objective(rng, kind, fit_intercept=fit_intercept, offset=offset)
    theta, unit = point(model, rng)
    zero, H = np.zeros_like(theta), model.hessian_matrix(theta)
    numeric = differences(lambda u: model.value_and_gradient(theta + u * unit)[0], zero, 1e-5)
    assert_close(model.value_and_gradient(theta)[1] * unit, numeric, 1e-7)
    numeric = differences(lambda u: unit * model.value_and_gradient(theta + u * unit)[1], zero, 1e-5)
    assert_close(unit[:, None] * H * unit, numeric, 1e-7)
    product = np.stack([model.hessian(theta).matvec(e) for e in np.eye(len(theta))])
    assert_close(unit[:, None] * product * unit, numeric, 1e-7)
    assert_close(model.hessian_diagonal(theta), np.diag(H), 1e-13)


def test_value_is_the_likelihood_and_the_determinant(rng):
    """Up to a constant, by the formula on the user's columns."""
    X, y, model = objective(rng)
    weight, Z = WEIGHT, np.column_stack([X, np.ones(len(y))])

    def formula(theta):
        p = expit(Z @ theta)
        likelihood = weight @ np.where(y == 1, np.log(p), np.log1p(-p))
        return likelihood + 0.5 * np.linalg.slogdet((Z.T * (weight * p * (1 - p))) @ Z)[1]

    (one, _), (other, _) = point(model, rng), point(model, rng)
    gained = model.value_and_gradient(one)[0] - model.value_and_gradient(other)[0]
    assert gained * weight.sum() == pytest.approx(formula(other) - formula(one), rel=1e-9)


def test_expected_curvature_is_fishers_information(rng):
    X, _, model = objective(rng)
    theta, _ = point(model, rng)
    Z = np.column_stack([X, np.ones(len(X))])
    p = expit(Z @ theta)
    information = (Z.T * (WEIGHT * p * (1 - p))) @ Z / WEIGHT.sum()
    assert_close(model.hessian_matrix(theta, "expected"), information, 1e-12)
    assert_close(model.hessian(theta, "expected").matvec(theta), information @ theta, 1e-12)
    assert not model.is_exact("expected")
    assert model.is_exact("observed")


def test_hessian_of_more_columns_than_are_summed_at_once(rng):
    X, y = rng.normal(size=(120, 40)), (rng.uniform(size=120) < 0.5).astype(float)
    model = GLMObjective(X, y, BinaryCrossEntropy(), terms=[Jeffreys()])
    theta = 0.1 * rng.normal(size=41)
    product = np.stack([model.hessian(theta).matvec(e) for e in np.eye(41)])
    assert_close(model.hessian_matrix(theta), product, 1e-12)
    assert_close(product, product.T, 1e-10)


def test_hessian_in_the_coordinates_of_a_factor(rng):
    _, _, model = objective(rng)
    theta, _ = point(model, rng)
    factor = model.preconditioner(theta, "full", "expected")
    P = factor.dense()
    assert_close(model.hessian_matrix(theta, factor=factor), P.T @ model.hessian_matrix(theta) @ P, 1e-9)


def test_a_dependent_column_changes_only_a_constant(rng):
    """The determinant is that of the space that the columns span."""
    X, y, model = objective(rng, sample_weight=None)
    X = np.column_stack([X, X[:, 0] + 0.01 * X[:, 1]])
    wide = GLMObjective(X, y, BinaryCrossEntropy(), terms=[Jeffreys()])
    (one, _), (other, _) = point(model, rng), point(model, rng)
    gains = []
    for m in (model, wide):
        values = [m.value_and_gradient(t if m is model else np.insert(t, 3, 0.0))[0] for t in (one, other)]
        gains.append(values[0] - values[1])
    assert gains[0] == pytest.approx(gains[1], rel=1e-9)
    assert wide.flat_directions()


def test_far_from_the_rows_it_is_infinite(rng):
    """Where all probabilities are 0 or 1 to rounding there is no information left."""
    _, _, model = objective(rng)
    assert model.value_and_gradient(np.array([1e4, 0, 0, 0]))[0] == np.inf


def test_it_is_no_sum_over_rows(rng):
    _, _, model = objective(rng)
    assert_refused("no sum over rows", model.sample, np.arange(5))
    assert plan.sketch_of(model, model.n_parameters) is None


def test_another_penalty_is_refused(rng):
    assert_refused("penalty must be zero", objective, rng, penalty=1.0)


def test_too_many_columns_are_refused(rng):
    with pytest.raises(ValueError, match="at most 3000"):
        GLMObjective(rng.normal(size=(10, 3001)), np.arange(10) % 2.0, BinaryCrossEntropy(), terms=[Jeffreys()])
