import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import least_squares, rosen_hess

from sk_hessian.objectives import LeastSquaresObjective
from sk_hessian.solvers import LBFGS, SOLVERS, Newton, minimize
from tests.estimators import assert_refused
from tests.objectives.cases import assert_close, differences

TIMES = np.linspace(0, 4, 40)


def rosenbrock(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def rosenbrock_jacobian(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def powell(x):
    """Powell's singular function: the Jacobian has rank two at the solution."""
    return np.array(
        [x[0] + 10 * x[1], np.sqrt(5) * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, np.sqrt(10) * (x[0] - x[3]) ** 2]
    )


def decay(x):
    noise = 0.05 * np.random.default_rng(0).normal(size=TIMES.size)
    return x[0] * np.exp(-x[1] * TIMES) + x[2] - 3 * np.exp(-1.3 * TIMES) - 0.5 - noise


#: name -> residuals, their Jacobian, a start, and the solution
PROBLEMS = {
    "rosenbrock": (rosenbrock, rosenbrock_jacobian, [-1.2, 1.0], [1.0, 1.0]),
    "rosenbrock-differences": (rosenbrock, None, [-1.2, 1.0], [1.0, 1.0]),
    "powell": (powell, None, [3.0, -1.0, 0.0, 1.0], np.zeros(4)),
    "decay": (decay, None, [1.0, 0.1, 0.0], None),
}


def sparse_jacobian(x):
    return sp.csc_array(rosenbrock_jacobian(x))


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("solver", [*SOLVERS, Newton(hessian="exact"), Newton(linear_solver="cg")], ids=str)
def test_solutions(name, solver):
    fun, jac, x0, solution = PROBLEMS[name]
    result = minimize(LeastSquaresObjective(fun, jac), x0, solver, tol=1e-6, max_iter=3000)
    assert result.status == "optimal"
    solution = least_squares(fun, x0, xtol=1e-12, ftol=1e-12).x if solution is None else solution
    np.testing.assert_allclose(result.x, solution, atol=1e-3 if name == "powell" else 1e-5)


def test_levenberg_marquardt_is_about_as_fast_as_minpack():
    for name in ("rosenbrock", "decay"):
        fun, jac, x0, _ = PROBLEMS[name]
        ours = minimize(LeastSquaresObjective(fun, jac), x0, Newton(hessian="gauss-newton", precondition="diagonal"))
        other = least_squares(fun, x0, method="lm")
        assert ours.nfev <= 5 * other.nfev
        assert ours.fun <= other.cost + 1e-6


@pytest.mark.parametrize("jac", [None, rosenbrock_jacobian, sparse_jacobian], ids=["none", "dense", "sparse"])
def test_derivatives(jac, rng):
    model, x, v = LeastSquaresObjective(rosenbrock, jac), np.array([0.3, -0.7]), rng.normal(size=2)
    value, gradient = model.value_and_gradient(x)
    assert value == pytest.approx(0.5 * np.sum(rosenbrock(x) ** 2), rel=1e-14)
    assert_close(gradient, differences(lambda t: model.value_and_gradient(t)[0], x))
    J = rosenbrock_jacobian(x)
    for kind, H in (("expected", J.T @ J), ("observed", 0.5 * rosen_hess(x))):
        assert_close(model.hessian_matrix(x, kind), H, 1e-4)
        assert_close(model.hessian(x, kind).matvec(v), H @ v, 1e-4)
        assert_close(model.hessian_diagonal(x, kind), np.diag(H), 1e-4)


def test_the_tolerance_is_relative_to_what_is_left():
    """A sum of squares a thousand times larger by a constant residual needs a decrement a thousand times larger."""
    for constant in (0.0, 100.0):
        model = LeastSquaresObjective(lambda x, c=constant: np.append(decay(x), c))
        result = minimize(model, [1.0, 0.1, 0.0], tol=1e-4)
        assert result.convergence.scale == pytest.approx(result.fun, rel=1e-12)
        assert result.convergence.decrement <= 1e-8 * result.fun


def test_scales_of_parameters_do_not_matter():
    unit = np.array([1e-6, 1.0, 1e3])
    result = minimize(LeastSquaresObjective(lambda x: decay(x * unit)), np.array([1.0, 0.1, 0.0]) / unit, tol=1e-6)
    np.testing.assert_allclose(result.x * unit, least_squares(decay, [1.0, 0.1, 0.0]).x, rtol=1e-4)


def test_residuals_that_are_not_finite_are_stepped_back_from():
    result = minimize(LeastSquaresObjective(lambda x: np.log(x) - 1 + np.zeros(3)), [0.1], tol=1e-8)
    assert result.x == pytest.approx([np.e], rel=1e-6)


def test_a_scalar_residual_is_one_residual():
    assert minimize(LeastSquaresObjective(lambda x: x[0] - 3), [0.0], LBFGS()).x == pytest.approx([3.0])


@pytest.mark.parametrize(
    ("fun", "jac", "error", "message"),
    [
        ("square", None, TypeError, "fun must be callable, got 'square'"),
        (None, None, TypeError, "fun must be callable, got None"),
        (rosenbrock, "2-point", TypeError, "jac must be callable, got '2-point'"),
        (rosenbrock, True, TypeError, "jac must be callable, got True"),
    ],
)
def test_what_is_no_function_is_refused(fun, jac, error, message):
    assert_refused(message, LeastSquaresObjective, fun, jac, error=error)


@pytest.mark.parametrize(
    ("fun", "jac", "message"),
    [
        (lambda x: np.ones((2, 2)), None, r"fun must return a 1-D array of residuals, got shape \(2, 2\)"),
        (rosenbrock, lambda x: np.ones((2, 3)), r"jac must return an array of shape \(m, 2\), got shape \(2, 3\)"),
        (rosenbrock, lambda x: np.ones((5, 2)), "jac must return one row for each of 2 residuals, got 5"),
    ],
)
def test_wrong_shapes_are_named(fun, jac, message):
    assert_refused(message, minimize, LeastSquaresObjective(fun, jac), [0.0, 0.0])
