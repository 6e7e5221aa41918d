import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from sk_hessian.solvers.linear import (
    DenseCurvature,
    OperatorCurvature,
    conjugate_gradient,
    lowest_eigenpair,
)


@pytest.fixture
def H(rng):
    A = rng.normal(size=(20, 8))
    return A.T @ A + 0.1 * np.eye(8)


def never(state):
    return False


@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_conjugate_gradients_solve(H, damping, rng):
    g = rng.normal(size=8)
    found = conjugate_gradient(lambda v: H @ v, g, damping, never, 50)
    damped = H + damping * np.eye(8)
    np.testing.assert_allclose(found.step, -np.linalg.solve(damped, g), rtol=1e-7)
    assert found.decrement == pytest.approx(0.5 * g @ np.linalg.solve(damped, g), rel=1e-9)
    assert not found.negative_curvature


def test_the_decrement_of_conjugate_gradients_grows_from_below(H, rng):
    g = rng.normal(size=8)
    found = [conjugate_gradient(lambda v: H @ v, g, 0.0, never, k).decrement for k in range(8)]
    assert (np.diff(found) > 0).all()
    assert found[-1] <= 0.5 * g @ np.linalg.solve(H, g) * (1 + 1e-12)


def test_conjugate_gradients_stop_when_told(H, rng):
    found = conjugate_gradient(lambda v: H @ v, rng.normal(size=8), 0.0, lambda cg: cg.n_iter >= 3, 50)
    assert found.n_iter == 3


def test_negative_curvature_at_once_gives_steepest_descent(rng):
    g = rng.normal(size=4)
    found = conjugate_gradient(lambda v: -v, g, 0.0, never, 5)
    assert found.negative_curvature
    np.testing.assert_array_equal(found.step, -g)


def test_negative_curvature_later_keeps_the_step_before_it():
    H, g = np.diag([1.0, 10.0, -0.1]), np.array([1.0, 1.0, 0.3])
    found = conjugate_gradient(lambda v: H @ v, g, 0.0, never, 10)
    assert found.negative_curvature
    assert found.step @ g < 0
    assert found.n_iter >= 1


def test_dense_curvature_damps_an_indefinite_matrix_until_it_descends(rng):
    H, g = np.diag([3.0, -1.0, 0.5]), rng.normal(size=3)
    before = H.copy()
    step, damping = DenseCurvature(H).solve(g, 0.0)
    assert damping > 1
    assert step @ g < 0
    np.testing.assert_array_equal(H, before)


def test_operator_curvature_solves_as_precisely_as_its_forcing_term(H, rng):
    g = rng.normal(size=8)
    products = []
    operator = LinearOperator(H.shape, matvec=lambda v: products.append(v) or H @ v, dtype=float)
    step, _ = OperatorCurvature(operator, 1e12 * np.linalg.norm(g), 50).solve(g, 0.0)
    assert np.linalg.norm(H @ step + g) <= 1e-6 * np.linalg.norm(g)
    assert 0 < len(products) <= 50


def test_the_lowest_eigenpair(rng):
    Q = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    values = np.concatenate([[-0.5], np.linspace(0.1, 5, 29)])
    H = (Q * values) @ Q.T
    value, vector, largest = lowest_eigenpair(aslinearoperator(H))
    assert value == pytest.approx(-0.5, rel=1e-2)
    assert largest == pytest.approx(5, rel=1e-2)
    assert abs(vector @ Q[:, 0]) / np.linalg.norm(vector) == pytest.approx(1, abs=1e-2)
