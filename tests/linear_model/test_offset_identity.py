"""An offset beside the identity link of least squares and of Huber's loss: it is part of y."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import r2_score

from sk_hessian.inspection import coef_table, laplace, leave_one_out
from sk_hessian.linear_model import HuberRegressor, LinearRegression, Ridge
from tests.estimators import ALL_SOLVERS, assert_refused

IDENTITY = {
    "LinearRegression": LinearRegression(tol=1e-8),
    "Ridge": Ridge(alpha=3.0, tol=1e-8),
    "two targets": Ridge(alpha=[1.0, 3.0], tol=1e-8),
    "HuberRegressor": HuberRegressor(alpha=0.1, tol=1e-8),
}
every_model = pytest.mark.parametrize("name", IDENTITY)


def claims(name, rng, n=300):
    """Raw columns, a target for a model of `IDENTITY`, and an offset that varies more than the rest."""
    X = rng.normal(size=(n, 3)) * [1, 10, 0.1] + [0, 100, 3]
    eta = 0.3 * X[:, 0] + 0.02 * (X[:, 1] - 100) - (X[:, 2] - 3)
    if name == "two targets":
        offset = 3 * rng.normal(size=(n, 2))
        return X, offset + np.outer(eta, [1, -2]) + rng.normal(size=(n, 2)), offset
    offset = 3 * rng.normal(size=n)
    return X, offset + eta + rng.normal(size=n), offset


@pytest.mark.parametrize("make", [np.array, sp.csr_array], ids=["array", "sparse"])
@every_model
@pytest.mark.parametrize("solver", ALL_SOLVERS)
def test_with_the_identity_link_an_offset_is_part_of_y(name, solver, make, rng):
    X, y, offset = claims(name, rng)
    weight, X = rng.uniform(0.5, 2, size=len(y)), make(X)
    beside, less = (clone(IDENTITY[name]).set_params(solver=solver) for _ in range(2))
    beside.fit(X, y, weight, offset=offset), less.fit(X, y - offset, weight)
    np.testing.assert_allclose(beside.coef_, less.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(beside.intercept_, less.intercept_, rtol=1e-5, atol=1e-5)
    prediction = beside.predict(X, offset=offset)
    np.testing.assert_allclose(prediction, less.predict(X) + offset, rtol=1e-5, atol=1e-5)
    score = r2_score(y, prediction, sample_weight=weight)
    assert beside.score(X, y, weight, offset) == pytest.approx(score, rel=1e-12)
    if name == "HuberRegressor":
        assert beside.scale_ == pytest.approx(less.scale_, rel=1e-5)
        np.testing.assert_array_equal(beside.outliers_, less.outliers_)


@every_model
def test_with_the_identity_link_an_offset_is_part_of_y_in_a_stream(name, rng):
    X, y, offset = claims(name, rng)
    beside, less = (clone(IDENTITY[name]) for _ in range(2))
    for rows in (slice(0, 100), slice(100, 200), slice(200, 300)):
        beside.partial_fit(X[rows], y[rows], offset=offset[rows])
        less.partial_fit(X[rows], y[rows] - offset[rows])
    assert beside.has_offset_
    np.testing.assert_allclose(beside.coef_, less.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(beside.intercept_, less.intercept_, rtol=1e-5, atol=1e-5)


@every_model
def test_with_the_identity_link_inspection_sees_y_less_the_offset(name, rng):
    X, y, offset = claims(name, rng)
    weight = rng.uniform(0.5, 2, size=len(y))
    beside = clone(IDENTITY[name]).fit(X, y, weight, offset=offset)
    less = clone(IDENTITY[name]).fit(X, y - offset, weight)
    rows, plain = {"sample_weight": weight, "offset": offset}, {"sample_weight": weight}
    tables = coef_table(beside, X, y, **rows), coef_table(less, X, y - offset, **plain)
    np.testing.assert_allclose(*(table.std_error for table in tables), rtol=1e-6)
    left = leave_one_out(beside, X, y, **rows), leave_one_out(less, X, y - offset, **plain)
    np.testing.assert_allclose(left[0].predictions, left[1].predictions + offset, rtol=1e-6, atol=1e-6)
    if "Ridge" in type(beside).__name__:
        posteriors = laplace(beside, X, y, **rows), laplace(less, X, y - offset, **plain)
        assert posteriors[0].log_evidence == pytest.approx(posteriors[1].log_evidence, rel=1e-8)
        moments = posteriors[0].predict(X[:3], offset=offset[:3]), posteriors[1].predict(X[:3])
        np.testing.assert_allclose(moments[0][0], moments[1][0] + offset[:3], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(moments[0][1], moments[1][1], rtol=1e-6)


def test_a_stream_of_huber_needs_residuals_that_vary_beside_the_offset(rng):
    X, offset = rng.normal(size=(20, 2)), rng.normal(size=20)
    with pytest.raises(ValueError, match="y is constant in the first call of partial_fit"):
        HuberRegressor().partial_fit(X, offset + 1.0, offset=offset)


def test_an_offset_of_several_targets_needs_a_column_for_each(rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    message = r"offset must have a column for each target, shape \(20, 2\): got shape \(20,\)"
    assert_refused(message, Ridge().fit, X, y, offset=np.zeros(20))
    assert_refused(message, Ridge().fit(X, y).predict, X, offset=np.zeros(20))
