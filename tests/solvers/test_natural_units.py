"""Functions of a user: neither steps nor verdicts depend on the units of the parameters."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

from sk_hessian.objectives import FunctionObjective, LeastSquaresObjective
from sk_hessian.solvers import LBFGS, SOLVERS, Newton, minimize
from tests.estimators import assert_refused
from tests.nonlinear_problems import digits, is_stationary, more_garbow_hillstrom, nist, random_problem, starts

every_solver = pytest.mark.parametrize("solver", SOLVERS)
WAVES = np.linspace(1, 2, 100)
TIMES = np.linspace(0, 3, 20)


def peak(q):
    return q[0] * np.exp(-0.5 * ((WAVES - q[1]) / q[2]) ** 2)


def decay(q, unit, t):
    return q[0] * np.exp(-q[1] / unit * t)


def decay_jacobian(q, unit, t):
    e = np.exp(-q[1] / unit * t)
    return np.stack([e, -q[0] * t / unit * e], axis=1)


@every_solver
@pytest.mark.parametrize(("height", "start"), [(h, h / 1e-9**0.5) for h in (1.2e-10, 1.0, 1e7)] + [(1.2e-10, 1.0)])
def test_the_height_of_a_peak_may_be_far_from_one(solver, height, start):
    right = np.array([height, 1.4, 0.11])
    result = minimize(LeastSquaresObjective(lambda q: peak(q) - peak(right)), [start, 1.3, 0.3], solver)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x, right, rtol=1e-2)


@every_solver
@pytest.mark.parametrize("jac", [None, decay_jacobian], ids=["differences", "exact"])
@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e7])
def test_a_rate_may_be_far_from_one(solver, jac, unit):
    def residuals(q, unit, t):
        return decay(q, unit, t) - 2 * np.exp(-0.7 * t)

    result = minimize(LeastSquaresObjective(residuals, jac, args=(unit, TIMES)), [1.0, 0.3 * unit], solver)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x, [2, 0.7 * unit], rtol=1e-3)


@every_solver
@pytest.mark.parametrize("given", ["fun", "jac", "hess"])
def test_rosenbrock_in_units_of_a_billion(solver, given):
    unit = np.array([1e9, 1e-3])
    derivatives = {"jac": lambda x: rosen_der(x / unit) / unit} if given != "fun" else {}
    if given == "hess":
        derivatives["hess"] = lambda x: rosen_hess(x / unit) / np.outer(unit, unit)
    result = minimize(FunctionObjective(lambda x: rosen(x / unit), **derivatives), np.array([-1.2, 1]) * unit, solver)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x / unit, 1, atol=5e-3)


@pytest.mark.parametrize("solver", ["newton", Newton(hessian="exact"), "lbfgs", "sgd"], ids=str)
def test_noise_and_units(solver):
    x = np.linspace(0, 4e8, 40)
    y = 3 / (1 + np.exp(2 - 1e-8 * x)) + np.random.default_rng(0).normal(0, 0.05, 40)

    def residuals(t):
        with np.errstate(over="ignore"):
            return t[0] / (1 + np.exp(2 - t[1] * x)) - y

    result = minimize(LeastSquaresObjective(residuals), [1.5, 4e-9], solver)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x, [3.062, 9.727e-9], rtol=1e-3)


@pytest.mark.parametrize(
    "solver",
    ["auto", Newton(hessian="exact"), Newton(precondition=None), Newton(precondition="full"), LBFGS()],
    ids=str,
)
def test_an_exact_minimum_is_no_saddle_by_the_certificates_own_differences(solver):
    t = np.linspace(0, 5e7, 30)
    objective = LeastSquaresObjective(
        lambda q: decay(q, 1.0, t) - 3 * np.exp(-1e-7 * t), lambda q: decay_jacobian(q, 1.0, t)
    )
    result = minimize(objective, [1.0, 4e-8], solver)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x, [3, 1e-7], rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_the_path_does_not_depend_on_units(seed, solver):
    residuals, start, _ = random_problem(seed)
    base = minimize(LeastSquaresObjective(residuals), start, solver, tol=1e-6)
    unit = 10.0 ** np.random.default_rng(seed).uniform(-12, 12, start.size)
    other = minimize(LeastSquaresObjective(lambda q: residuals(q * unit)), start / unit, solver, tol=1e-6)
    assert other.status == base.status == "optimal"
    assert abs(other.nit - base.nit) <= 0.2 * base.nit
    np.testing.assert_allclose(residuals(other.x * unit), residuals(base.x), atol=1e-6)


def test_x_scale_gives_units_where_the_start_is_zero():
    def residuals(q):
        return decay([1.0 + q[0] / 1e-9, 0.5 + q[1] / 1e6], 1.0, TIMES) - 2 * np.exp(-0.7 * TIMES)

    result = minimize(LeastSquaresObjective(residuals, x_scale=[1e-9, 1e6]), [0.0, 0.0], tol=1e-6)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x, [1e-9, 0.2e6], rtol=1e-4)


def test_diff_step_is_relative_to_the_parameter():
    """A function with noise of 1e-6 needs longer steps than the machine precision suggests."""
    rng = np.random.default_rng(0)

    def noisy(q):
        return decay(q, 1.0, TIMES) * (1 + 1e-7 * rng.normal(size=TIMES.size)) - 2 * np.exp(-0.7 * TIMES)

    result = minimize(LeastSquaresObjective(noisy, diff_step=1e-2), [1.0, 0.3], "newton", max_iter=15)
    np.testing.assert_allclose(result.x, [2, 0.7], rtol=1e-4)


# -- valleys and plateaus --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", starts("nist"), ids=lambda case: case.name)
def test_nist_to_six_digits(case):
    problem = case.problem
    objective = LeastSquaresObjective(problem.residuals, problem.jacobian)
    result = minimize(objective, case.start, Newton(hessian="gauss-newton"), tol=1e-10)
    assert digits(problem, result.x) >= 6
    # at this tolerance rounding may be said to be the end; Lanczos' residuals are rounding of their data
    assert result.status == "optimal" or problem.name.startswith("Lanczos")


@pytest.mark.parametrize("name", ["Chwirut2", "Kirby2", "Hahn1", "MGH10", "Bennett5", "Lanczos3", "Thurber", "ENSO"])
def test_nist_by_differences(name):
    problem = nist()[name]
    for start in problem.starts:
        result = minimize(LeastSquaresObjective(problem.residuals), start, Newton(hessian="gauss-newton"), tol=1e-10)
        assert digits(problem, result.x) >= 6


@pytest.mark.parametrize("case", starts("more-garbow-hillstrom")[::3], ids=lambda case: case.name)
def test_the_collection_of_1981_from_its_starts(case):
    problem = case.problem
    objective = LeastSquaresObjective(problem.residuals, problem.jacobian)
    result = minimize(objective, case.start, Newton(hessian="gauss-newton"))
    assert result.status == "optimal"
    assert is_stationary(problem, result.x)


@pytest.mark.parametrize("hessian", ["gauss-newton", "exact"])
def test_meyers_valley_is_walked_to_its_end(hessian):
    meyer = more_garbow_hillstrom()["meyer"]
    result = minimize(
        LeastSquaresObjective(meyer.residuals, meyer.jacobian), [0.02, 4000.0, 250.0], Newton(hessian=hessian)
    )
    assert result.status == "optimal"
    assert 2 * result.fun == pytest.approx(87.9458, rel=1e-5)
    assert result.nit <= 250


def test_a_badly_scaled_valley_takes_few_iterations():
    powell = more_garbow_hillstrom()["powell badly scaled"]
    result = minimize(LeastSquaresObjective(powell.residuals, powell.jacobian), powell.x0, Newton())
    assert powell.sum_of_squares(result.x) <= 1e-12
    assert result.nit <= 100


def test_a_plateau_is_left_before_it_is_called_an_optimum():
    """From 100 times its start nothing of this function can be seen to change."""
    gulf = more_garbow_hillstrom()["gulf"]
    result = minimize(LeastSquaresObjective(gulf.residuals, gulf.jacobian), 100 * gulf.x0)
    assert result.status == "optimal"
    assert gulf.sum_of_squares(result.x) <= 1e-12


def test_a_parameter_without_influence_is_named():
    result = minimize(LeastSquaresObjective(lambda q: q[0] - np.array([1.0, 2.0, 4.0]) + 0 * q[1]), [0.5, 3.0])
    assert result.status == "optimal"
    assert "hardly depends on theta[1] here" in result.message


# -- a user's derivatives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [[-1.2, 1.0], [1.0, 1.0], [1e-3, 0.0]])
def test_a_right_gradient_agrees_with_differences(theta):
    check = FunctionObjective(rosen, rosen_der).check_gradient(theta)
    assert check.agrees
    assert check.error.max() < 1e-5


@pytest.mark.parametrize("wrong", [lambda x: rosen_der(x) * [1, -1], lambda x: rosen_der(x) * [1, 1.01]])
def test_a_wrong_gradient_is_named(wrong):
    check = FunctionObjective(rosen, wrong).check_gradient([-1.2, 1.5])
    assert not check.agrees
    assert check.message == " ".join(repr(check).split())
    assert "jac disagrees with central differences of fun" in str(check)
    assert "theta[1]" in str(check)


def test_a_wrong_column_of_a_jacobian_is_named():
    def wrong(q, unit, t):
        return decay_jacobian(q, unit, t) * [1, -1]

    objective = LeastSquaresObjective(lambda q, unit, t: decay(q, unit, t) - 2, wrong, args=(1e-6, TIMES))
    assert "theta[1]" in objective.check_gradient([1.0, 3e-7]).message


@every_solver
def test_a_run_that_stalls_on_a_wrong_gradient_says_so(solver):
    result = minimize(FunctionObjective(rosen, lambda x: rosen_der(x) * [1, -1]), [-1.2, 1.0], solver, max_iter=50)
    assert not result.success
    assert "jac disagrees with central differences of fun" in result.message


def test_there_is_nothing_to_check_without_a_gradient():
    assert_refused("jac must be given: without it", FunctionObjective(rosen).check_gradient, [0.0, 0.0])


@pytest.mark.parametrize("name", ["x_scale", "diff_step"])
@pytest.mark.parametrize("bad", [0.0, -1.0, [1.0, np.nan], "auto", [[1.0, 2.0]], [1.0, 2.0, 3.0]])
def test_bad_units_are_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=rf"^{name} (must be a positive number|has 3 entries, but there are 2)"):
        minimize(LeastSquaresObjective(lambda q: q, **{name: bad}), [1.0, 2.0])


def test_one_further_argument_needs_no_tuple():
    assert minimize(FunctionObjective(lambda x, a: (x[0] - a) ** 2, args=3.0), [1.0]).x == pytest.approx([3.0])


@pytest.mark.parametrize("solver", ["auto", "lbfgs", Newton(hessian="exact")], ids=str)
def test_kirby_is_not_optimal_before_its_digits(solver):
    kirby = nist()["Kirby2"]
    result = minimize(LeastSquaresObjective(kirby.residuals), kirby.starts[1], solver, tol=1e-8)
    assert digits(kirby, result.x) >= 5 or result.status != "optimal"


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e8, 1e10])
@pytest.mark.parametrize("solver", ["newton", "lbfgs", "sgd"])
def test_steps_of_differences_suit_a_function_far_from_zero(offset, solver):
    """A step in shares of a parameter of 1e6, such as a date, would be hundreds of times the width of the bowl."""

    def bowl(x):
        with np.errstate(over="ignore"):
            return 1e3 + np.cosh(x[0] - offset)

    def slope(x):
        with np.errstate(over="ignore"):
            return np.sinh(x - offset)

    def residuals(x):
        with np.errstate(over="ignore"):
            return np.array([np.exp(x[0] - offset) - 1, 1 - np.exp(offset - x[0])])

    for objective in (FunctionObjective(bowl), FunctionObjective(bowl, slope), LeastSquaresObjective(residuals)):
        result = minimize(objective, [offset + 0.5], solver)
        assert result.status == "optimal"
        assert result.x[0] == pytest.approx(offset, abs=1e-3, rel=0)
