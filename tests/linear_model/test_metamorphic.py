"""What must not change an answer: units, containers, weights for repetitions, the order of rows, another run."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sk_hessian.solvers import SGD, Clip, Momentum
from tests.estimators import ALL_SOLVERS, ESTIMATORS, UNPENALISED, distance, prediction, raw_table, target

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def fitted(model, X, y, solver, tol=1e-8, **fit):
    model = clone(model).set_params(solver=solver, tol=tol, random_state=0).fit(X, y, **fit)
    assert model.convergence_.status == "optimal"
    return model


@every_solver
@pytest.mark.parametrize("name", UNPENALISED)
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_rescaling_columns(name, solver, factor, X, y):
    units = np.array([factor, 1, 1, 1 / factor])
    other = X * units
    for tol in (1e-4, 1e-8):
        before, after = (fitted(UNPENALISED[name], data, y, solver, tol) for data in (X, other))
        assert abs(int(np.max(before.n_iter_)) - int(np.max(after.n_iter_))) <= 2
    assert distance(prediction(before, X), prediction(after, other)) <= 1e-6
    assert distance(before.coef_ * X.std(axis=0), after.coef_ * other.std(axis=0)) <= 1e-5


@every_solver
@every_estimator
def test_a_row_twice_is_a_row_of_weight_two(name, solver, X, y, rng):
    weight = rng.integers(1, 4, size=len(X))
    repeated = fitted(ESTIMATORS[name], X.repeat(weight, axis=0), y.repeat(weight), solver)
    weighted = fitted(ESTIMATORS[name], X, y, solver, sample_weight=weight)
    assert distance(prediction(repeated, X), prediction(weighted, X)) <= 1e-6


@every_estimator
def test_a_row_of_weight_zero_is_no_row(name, X, y):
    weight = (np.arange(len(X)) % 3 > 0).astype(float)
    dropped = fitted(ESTIMATORS[name], X[weight > 0], y[weight > 0], "newton")
    weighted = fitted(ESTIMATORS[name], X, y, "newton", sample_weight=weight)
    np.testing.assert_array_equal(dropped.coef_, weighted.coef_)


@pytest.mark.parametrize("name", UNPENALISED)
def test_the_unit_of_the_weights_matters_only_beside_a_penalty(name, X, y):
    first, other = (fitted(UNPENALISED[name], X, y, "newton", sample_weight=np.full(len(X), w)) for w in (1.0, 1e5))
    assert distance(prediction(first, X), prediction(other, X)) <= 1e-7


def sparse_table(rng):
    X = rng.normal(size=(120, 4)) * [1, 100, 1e-2, 1]
    X[rng.uniform(size=X.shape) < 0.5] = 0
    return X


@every_solver
@every_estimator
def test_sparse_is_dense(name, solver, rng):
    X = sparse_table(rng)
    y = target(name, X, rng)
    dense, sparse = (fitted(ESTIMATORS[name], data, y, solver) for data in (X, sp.csr_array(X)))
    assert distance(prediction(dense, X), prediction(sparse, X)) <= 1e-6
    assert distance(prediction(sparse, sp.csr_array(X)), prediction(sparse, X)) <= 1e-12


@every_estimator
def test_other_containers_become_the_usual_ones(name, rng, tmp_path):
    """Before any solver sees them, so that the fits have the same bits."""
    X = sparse_table(rng)
    y = target(name, X, rng)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for solver in ("sgd", "lbfgs", "auto"):
        dense, sparse, memmap = (fitted(ESTIMATORS[name], data, y, solver) for data in (X, sp.csr_array(X), mapped))
        np.testing.assert_array_equal(dense.coef_, memmap.coef_)
    for make in (sp.csr_matrix, sp.csc_array, sp.coo_array):
        other = fitted(ESTIMATORS[name], make(X), y, "auto")
        np.testing.assert_array_equal(other.coef_, sparse.coef_)
        np.testing.assert_array_equal(prediction(other, make(X)), prediction(sparse, sp.csr_array(X)))


@every_solver
@every_estimator
def test_float32_within_its_precision(name, solver, rng):
    X = raw_table(rng).astype(np.float32)
    y = target(name, X.astype(float), rng)
    rows = X.astype(float)
    double, single, sparse = (fitted(ESTIMATORS[name], Z, y, solver, 1e-6) for Z in (rows, X, sp.csr_array(X)))
    for model in (single, sparse):
        assert distance(prediction(model, rows), prediction(double, rows)) <= 1e-5
    # as scikit-learn's classes have it
    assert single.coef_.dtype == (np.float64 if name == "HuberRegressor" else np.float32)


@every_solver
@every_estimator
def test_the_order_of_rows_does_not_matter(name, solver, X, y, rng):
    order = rng.permutation(len(X))
    first, permuted = fitted(ESTIMATORS[name], X, y, solver), fitted(ESTIMATORS[name], X[order], y[order], solver)
    assert distance(prediction(first, X), prediction(permuted, X)) <= 1e-6


@every_estimator
def test_the_order_of_columns_does_not_matter(name, X, y):
    order = [2, 0, 3, 1]
    first, permuted = fitted(ESTIMATORS[name], X, y, "newton"), fitted(ESTIMATORS[name], X[:, order], y, "newton")
    assert distance(prediction(first, X), prediction(permuted, X[:, order])) <= 1e-6


@every_estimator
@pytest.mark.parametrize("solver", [SGD(batch_size=16), Momentum(batch_size=16), Clip(batch_size=16)], ids=str)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_same_random_state_gives_the_same_bits(name, solver, X, y):
    """Ten epochs do not converge, which is not what is asked here."""
    model = ESTIMATORS[name].set_params(solver=solver, max_iter=10)
    first, again, other = (clone(model).set_params(random_state=seed).fit(X, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.coef_, again.coef_)
    np.testing.assert_array_equal(first.intercept_, again.intercept_)
    assert (np.ravel(first.coef_) != np.ravel(other.coef_)).any()


@every_estimator
def test_shifting_a_column_moves_only_the_intercept(name, X, y):
    first, shifted = fitted(ESTIMATORS[name], X, y, "newton"), fitted(ESTIMATORS[name], X + 1e3, y, "newton")
    assert distance(prediction(first, X), prediction(shifted, X + 1e3)) <= 1e-6


@every_solver
@pytest.mark.parametrize("name", ["LinearRegression", "HuberRegressor"])
def test_the_unit_of_the_target(name, solver, X, y):
    first = fitted(UNPENALISED[name], X, y, solver)
    for unit in (1e-8, 1e8) if name == "HuberRegressor" else (1e-100, 1e-6, 1e6, 1e100):
        model = fitted(UNPENALISED[name], X, y * unit, solver)
        assert distance(model.predict(X) / unit, first.predict(X)) <= 1e-6
        assert name != "HuberRegressor" or model.scale_ / unit == pytest.approx(first.scale_, rel=1e-5)
