"""Input on which an earlier version said `optimal` and was wrong: each case once found, kept."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model as peer
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

from sk_hessian.linear_model import HuberRegressor, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import FunctionObjective, GLMObjective, SquaredLoss
from sk_hessian.solvers import minimize
from tests.estimators import assert_refused


def test_double_entries_of_a_sparse_matrix_count_twice_and_stay():
    entries = ([3.0, 2, 1, 2, 3, 1, 1], [0, 0, 1, 1, 0, 0, 1], [0, 3, 4, 5, 7])
    X = sp.csr_array(entries, shape=(4, 2))
    before = [part.copy() for part in (X.data, X.indices, X.indptr)]
    coef = Ridge(tol=1e-8).fit(X, [1, 2, 3, 4]).coef_
    np.testing.assert_allclose(coef, peer.Ridge().fit(X.toarray(), [1, 2, 3, 4]).coef_, rtol=1e-10)
    for part, old in zip((X.data, X.indices, X.indptr), before, strict=True):
        np.testing.assert_array_equal(part, old)


def test_float32_columns_that_nearly_agree_keep_their_difference():
    rng = np.random.default_rng(0)
    a, c = rng.normal(size=50_000), rng.normal(size=50_000)
    X = np.c_[a, a + 0.003 * rng.normal(size=50_000), c, c].astype(np.float32)
    y = 300 * (X[:, 1] - X[:, 0]) + X[:, 2]
    model = LinearRegression().fit(X, y)
    assert model.rank_ == 3
    assert model.score(X, y) > 1 - 1e-9


def test_a_huber_scale_that_collapsed_does_not_hide_the_next_fit():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    model = HuberRegressor(warm_start=True, solver="lbfgs").fit(X, X @ [1, 2])
    y = X @ [1, 2] * 10 + rng.normal(size=100)
    assert model.fit(X, y).scale_ == pytest.approx(HuberRegressor().fit(X, y).scale_, rel=1e-3)


def test_a_softmax_certificate_sees_small_curvature():
    rng = np.random.default_rng(41)
    X, y = rng.standard_t(1.5, size=(10, 62)) * 10 ** rng.uniform(-3, 3, 62), np.arange(10) % 8
    model = LogisticRegression(C=2e4, solver="lbfgs").fit(X, y).convergence_
    best = LogisticRegression(C=2e4, tol=1e-8, max_iter=5000).fit(X, y).convergence_
    assert model.status == "optimal"
    assert model.objective - best.objective <= 1.1 * model.tol**2 * model.scale


@pytest.mark.parametrize("alpha", [1e-10, 1e-14])
def test_wide_data_with_next_to_no_penalty(alpha):
    rng = np.random.default_rng(0)
    X = rng.normal(5, 1, size=(50, 200))
    y = 3 * X[:, 0] + rng.normal(size=50) + 100
    model, other = Ridge(alpha=alpha).fit(X, y), peer.Ridge(alpha=alpha, solver="svd").fit(X, y)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-9 * np.abs(other.coef_).max())


def test_targets_with_and_without_penalty_on_dependent_columns():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(100, 5)), rng.normal(size=(100, 2))
    X[:, 4] = X[:, 3]
    with pytest.warns(UserWarning, match="do not determine every coefficient"):
        model = Ridge(alpha=[0, 1], tol=1e-8).fit(X, Y)
    np.testing.assert_allclose(model.coef_[0], peer.LinearRegression().fit(X, Y[:, 0]).coef_, atol=1e-10)
    np.testing.assert_allclose(model.coef_[1], peer.Ridge(1.0).fit(X, Y[:, 1]).coef_, atol=1e-10)


def test_balanced_classes_count_weighted_rows():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(100, 3)), rng.integers(1, 4, 100)
    y = X[:, 0] + rng.normal(size=100) > 0.8
    model = LogisticRegression(class_weight="balanced", tol=1e-8)
    weighted = model.fit(X, y, sample_weight=weight).coef_
    repeated = model.fit(X.repeat(weight, axis=0), y.repeat(weight)).coef_
    np.testing.assert_allclose(weighted, repeated, rtol=1e-9)


def test_a_heavy_penalty_leaves_small_coefficients_rather_than_none():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    ours, theirs = Ridge(1e13).fit(X, y).coef_, peer.Ridge(1e13).fit(X, y).coef_
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    other = peer.LogisticRegression(C=1e-11, solver="newton-cholesky", tol=1e-14).fit(X, y).coef_
    np.testing.assert_allclose(LogisticRegression(C=1e-11).fit(X, y).coef_, other, rtol=1e-6)


def test_a_target_far_from_zero_is_still_explained():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = 1e13 + 10 * X[:, 0] + 4 * rng.normal(size=100)
    assert LinearRegression().fit(X, y).score(X, y) == pytest.approx(peer.LinearRegression().fit(X, y).score(X, y))


def test_a_constant_column_among_many_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 60))
    X[:, 0] = 1
    y = rng.poisson(np.exp(0.3 * X[:, 1]))
    model = PoissonRegressor(alpha=0.1).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.coef_[0] == 0


def test_heavy_weights_are_in_the_sketch():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 60))
    y = X[:, 0] + rng.logistic(size=30_000) > 0
    model = LogisticRegression().fit(X, y, sample_weight=rng.lognormal(0, 4, 30_000))
    assert model.convergence_.status == "optimal"
    assert model.convergence_.passes < 30


def test_many_targets_and_classes_fit_in_little_memory():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3))
    assert Ridge().fit(X, rng.normal(size=(1000, 300))).convergence_.status == "optimal"
    assert LogisticRegression(tol=1e-2).fit(X, np.arange(1000) % 100).convergence_.status == "optimal"


def test_a_callback_cannot_move_the_iterate():
    def meddle(state):
        state.x[:] = 7

    result = minimize(FunctionObjective(lambda x: (x - 1) @ (x - 1)), [0.0, 3.0], callback=meddle)
    np.testing.assert_allclose(result.x, 1, atol=1e-4)


def test_what_is_no_objective_is_named():
    assert_refused("objective must be an Objective", minimize, lambda x: 0.0, [1.0], error=TypeError)
    assert_refused("x0 has 2 entries", minimize, GLMObjective(np.eye(3), np.arange(3.0), SquaredLoss()), [1.0, 2.0])
