import numpy as np
import pytest

from sk_hessian.objectives import factors
from sk_hessian.objectives.coordinates import PointFactor
from sk_hessian.objectives.evaluation import Evaluation

FACTORS = {
    "diagonal": lambda H, rng: factors.Diagonal(1 / np.sqrt(np.diag(H))),
    "cholesky": lambda H, rng: factors.Cholesky(np.linalg.cholesky(H)),
    "root": lambda H, rng: factors.semidefinite_root(H),
    "kronecker": lambda H, rng: factors.Kronecker(H[:2, :2], np.eye(3) - 0.2, np.diag([1.0, 0.0]), np.full(3, 0.1)),
}
every_factor = pytest.mark.parametrize("name", FACTORS)


def positive(rng, size=6, condition=1e3):
    Q = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return (Q * np.geomspace(1, condition, size)) @ Q.T


@every_factor
def test_apply_and_transpose_are_adjoint(name, rng):
    factor = FACTORS[name](positive(rng), rng)
    u, g = rng.normal(size=factor.shape[1]), rng.normal(size=factor.shape[0])
    assert g @ factor.apply(u) == pytest.approx(u @ factor.transpose(g), rel=1e-11)


@every_factor
def test_congruence_is_two_applications(name, rng):
    H = positive(rng)
    factor = FACTORS[name](H, rng)
    P = np.stack([factor.apply(e) for e in np.eye(factor.shape[1])], axis=1)
    np.testing.assert_allclose(factor.congruence(H), P.T @ H @ P, atol=1e-9)


@pytest.mark.parametrize("condition", [1.0, 1e6, 1e9])
@pytest.mark.parametrize("unit", [1.0, 1e-150, 1e150])
def test_semidefinite_root_whitens(condition, unit, rng):
    H = positive(rng, condition=condition) * unit
    np.testing.assert_allclose(factors.semidefinite_root(H).congruence(H), np.eye(6), atol=1e-5)


def test_semidefinite_root_is_blind_to_the_units_of_the_columns(rng):
    d = np.array([1e-6, 1e6, 1, 1e3, 1e-3, 1])
    H = d[:, None] * positive(rng, condition=10) * d
    np.testing.assert_allclose(factors.semidefinite_root(H).congruence(H), np.eye(6), atol=1e-10)


def test_semidefinite_root_of_a_singular_matrix_is_finite_and_no_larger_than_the_identity(rng):
    A = rng.normal(size=(3, 6))
    H = A.T @ A
    values = np.linalg.eigvalsh(factors.semidefinite_root(H).congruence(H))
    np.testing.assert_allclose(values[-3:], 1, atol=1e-6)
    assert np.abs(values[:-3]).max() < 1e-4


def test_semidefinite_root_of_zero_is_finite():
    factor = factors.semidefinite_root(np.zeros((3, 3)))
    assert np.isfinite(factor.apply(np.ones(factor.shape[1]))).all()


@pytest.mark.parametrize(("gap", "expected"), [(1e-1, False), (1e-3, False), (1e-6, True), (0.0, True)])
def test_near_dependence(gap, expected):
    x = np.array([1.0, 2.0, 3.0])
    A = np.column_stack([x, [1.0, 0.0, 1.0], x + gap * np.array([1.0, -1.0, 0.5])]) * [1, 1e5, 1e-3]
    assert (factors.least_pivot(A.T @ A) <= factors.NEAR_DEPENDENT) == expected


def test_kronecker_whitens_its_own_matrix(rng):
    A, C, penalty = positive(rng, 4, 30), positive(rng, 3, 5), np.diag([1.0, 2.0, 0.0, 0.5])
    H = np.kron(A, C) + 0.3 * np.kron(penalty, np.eye(3))
    factor = factors.Kronecker(A, C, penalty, np.full(3, 0.3))
    np.testing.assert_allclose(factor.congruence(H), np.eye(12), atol=1e-10)


def test_kronecker_with_a_penalty_for_each_output(rng):
    A, penalty, multiplier = positive(rng, 4, 30), np.diag([1.0, 2.0, 0.0, 0.5]), np.array([0.0, 0.5, 4.0])
    H = np.kron(A, np.eye(3)) + np.kron(penalty, np.diag(multiplier))
    factor = factors.Kronecker(A, np.eye(3), penalty, multiplier)
    np.testing.assert_allclose(factor.congruence(H), np.eye(12), atol=1e-10)


def test_kronecker_leaves_out_a_null_direction_of_the_outputs(rng):
    A, C = positive(rng, 4, 30), np.eye(3) - 1 / 3
    factor = factors.Kronecker(A, C, np.zeros((4, 4)), np.zeros(3))
    values = np.linalg.eigvalsh(factor.congruence(np.kron(A, C)))
    np.testing.assert_allclose(values[4:], 1, atol=1e-9)
    np.testing.assert_allclose(values[:4], 0, atol=1e-9)


def test_inverse_root_leaves_out_what_is_negligible():
    np.testing.assert_array_equal(factors.inverse_root(np.array([4.0, 1e-30, 0.0])), [0.5, 0, 0])


def test_unit_scale_makes_the_diagonal_one(rng):
    H = positive(rng)
    d = factors.unit_scale(H)
    np.testing.assert_allclose(np.diag(d[:, None] * H * d), 1, rtol=1e-13)
    np.testing.assert_array_equal(factors.unit_scale(np.zeros((2, 2))), 1)


def test_a_factor_knows_where_it_was_taken(rng):
    theta = rng.normal(size=6)
    point = PointFactor(
        factors.Identity(6), factors.Diagonal(np.full(6, 2.0)), Evaluation(None, theta), "observed", True
    )
    np.testing.assert_array_equal(point.apply(theta), 2 * theta)
    np.testing.assert_array_equal(point.transpose(theta), 2 * theta)
    assert point.restrict(theta) is theta
    assert point.certifies
