import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

from sk_hessian.objectives import FunctionObjective
from sk_hessian.solvers import minimize
from tests.estimators import assert_refused
from tests.objectives.cases import assert_close

X0 = np.array([-1.2, 1.0, 0.7])
COMBINATIONS = {
    "fun": FunctionObjective(rosen),
    "jac": FunctionObjective(rosen, jac=rosen_der),
    "both": FunctionObjective(lambda x: (rosen(x), rosen_der(x)), jac=True),
    "hess": FunctionObjective(rosen, jac=rosen_der, hess=rosen_hess),
    "hessp": FunctionObjective(rosen, jac=rosen_der, hessp=rosen_hess_prod),
    "both-hess": FunctionObjective(lambda x: (rosen(x), rosen_der(x)), jac=True, hess=rosen_hess),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_derivative(name, rng):
    objective, v, digits = COMBINATIONS[name], rng.normal(size=3), 1e-4 if name == "fun" else 1e-7
    value, gradient = objective.value_and_gradient(X0)
    assert value == pytest.approx(rosen(X0), rel=1e-14)
    assert_close(gradient, rosen_der(X0), 1e-8)
    assert_close(objective.hessian_matrix(X0), rosen_hess(X0), digits)
    assert_close(objective.hessian(X0).matvec(v), rosen_hess_prod(X0, v), digits)
    assert_close(objective.hessian_diagonal(X0), np.diag(rosen_hess(X0)), digits)


def test_a_product_with_zero_is_zero():
    np.testing.assert_array_equal(COMBINATIONS["jac"].hessian(X0).matvec(np.zeros(3)), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_counts_as_infinite(value):
    assert FunctionObjective(lambda x: value).value_and_gradient(X0)[0] == np.inf


def test_a_function_may_write_on_its_argument():
    def scribble(x):
        value = x @ x
        x[:] = 99
        return value

    theta = X0.copy()
    value, gradient = FunctionObjective(scribble).value_and_gradient(theta)
    np.testing.assert_array_equal(theta, X0)
    assert value == pytest.approx(X0 @ X0)
    assert_close(gradient, 2 * X0, 1e-8)


def test_a_gradient_buffer_that_is_reused_is_copied():
    buffer = np.empty(3)

    def jac(x):
        buffer[:] = 2 * x
        return buffer

    objective = FunctionObjective(lambda x: x @ x, jac=jac)
    first = objective.value_and_gradient(X0)[1]
    objective.value_and_gradient(np.zeros(3))
    np.testing.assert_allclose(first, 2 * X0)


@pytest.mark.parametrize(("name", "bad"), [("fun", 3), ("jac", "2-point"), ("hess", 1), ("hessp", "x")])
def test_what_is_not_callable_is_refused_by_name(name, bad):
    assert_refused(f"^{name} must be callable", FunctionObjective, **{"fun": rosen} | {name: bad}, error=TypeError)


def test_expected_curvature_of_a_function_is_refused():
    with pytest.raises(ValueError, match=r"a function has no expected \(Gauss-Newton\) curvature"):
        COMBINATIONS["hess"].hessian_matrix(X0, "expected")


def test_sampling_a_function_is_refused():
    assert_refused("a plain function has no rows to sample", COMBINATIONS["hess"].sample, [0])


@pytest.mark.parametrize("kind", ["full", "diagonal"])
def test_the_factor_of_an_indefinite_hessian_takes_absolute_curvatures(kind):
    objective = FunctionObjective(lambda x: 0.0, jac=np.zeros_like, hess=lambda x: np.diag([4.0, -9.0]))
    factor = objective.preconditioner(np.zeros(2), kind)
    bent = objective.hessian_matrix(np.zeros(2), factor=factor)
    np.testing.assert_allclose(np.abs(np.diag(bent)), 1, rtol=1e-9)
    assert not factor.certifies


def test_kronecker_is_refused():
    with pytest.raises(ValueError, match="precondition='kronecker' is not available for a function"):
        COMBINATIONS["hess"].preconditioner(X0, "kronecker")


@pytest.mark.parametrize("value", [np.ones(2), [1.0, 2.0, 3.0], np.ones((2, 2)), np.array([])], ids=str)
@pytest.mark.parametrize("jac", [None, rosen_der, True], ids=["differences", "jac", "both"])
def test_an_array_valued_fun_is_named(value, jac):
    fun = (lambda x: (value, np.ones(2))) if jac is True else (lambda x: value)
    with pytest.raises(ValueError, match=r"fun must return one number, got an array .* LeastSquaresObjective\(fun\)"):
        minimize(FunctionObjective(fun, jac=jac), [1.0, 2.0])


@pytest.mark.parametrize("as_number", [np.float32, np.array, lambda v: np.array([v]), lambda v: np.array([[v]])])
def test_one_number_in_any_form_is_a_value(as_number):
    result = minimize(FunctionObjective(lambda x: as_number((x[0] - 2) ** 2), jac=lambda x: 2 * (x - 2)), [0.0])
    np.testing.assert_allclose(result.x, 2)
