import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess
from sklearn.datasets import load_digits

from sk_hessian.objectives import BinaryCrossEntropy, FunctionObjective, GLMObjective, SoftmaxCrossEntropy, SquaredLoss
from sk_hessian.solvers import LBFGS, SGD, SOLVERS, Newton, Result, check_solver, minimize
from sk_hessian.solvers.result import HISTORY_COLUMNS
from tests.estimators import assert_refused

every_solver = pytest.mark.parametrize("solver", ["auto", *SOLVERS])
ROSEN = FunctionObjective(rosen, jac=rosen_der, hess=rosen_hess)


def quadratic(rng, size=6, condition=100.0):
    """A convex quadratic with its minimiser, as scipy would have it."""
    Q = np.linalg.qr(rng.normal(size=(size, size)))[0]
    H, best = (Q * np.geomspace(1, condition, size)) @ Q.T, rng.normal(size=size)
    return FunctionObjective(lambda x: 0.5 * (x - best) @ H @ (x - best), jac=lambda x: H @ (x - best)), best


def logistic(rng, n=80, p=3):
    X = rng.normal(size=(n, p)) * [1, 1e3, 1e-3] + [5, 1e4, 0]
    y = (X[:, 0] - 5 + X[:, 2] * 1e3 + rng.logistic(size=n) > 0).astype(float)
    return GLMObjective(X, y, BinaryCrossEntropy())


@every_solver
def test_a_quadratic(solver, rng):
    objective, best = quadratic(rng)
    result = minimize(objective, np.zeros(6), solver, tol=1e-6)
    assert result.status == "optimal"
    np.testing.assert_allclose(result.x, best, atol=1e-5)


@every_solver
@pytest.mark.parametrize("size", [2, 10])
def test_rosenbrock(solver, size):
    x0 = np.full(size, 0.3)
    result = minimize(ROSEN, x0, solver, max_iter=20_000)
    assert result.status == "optimal"
    assert result.fun <= 1.1e-8 * rosen(x0)


@every_solver
def test_a_result_is_consistent(solver, rng):
    objective = logistic(rng)
    result = minimize(objective, objective.start(), solver)
    value, gradient = objective.value_and_gradient(result.x)
    assert isinstance(result, Result)
    assert result.fun == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(result.jac, gradient, atol=1e-9 * np.abs(result.jac).max() + 1e-9)
    assert result.success
    assert result.status == result.convergence.status == "optimal"
    assert result.message == result.convergence.message
    assert result.convergence.objective == result.fun
    assert result.convergence.decrement <= result.convergence.tol**2 * result.convergence.scale
    assert result.convergence.passes >= result.nfev


@every_solver
def test_history_has_the_same_columns_for_every_solver(solver, rng):
    result = minimize(logistic(rng), np.zeros(4), solver)
    assert list(result.history) == list(HISTORY_COLUMNS)
    assert {len(column) for column in result.history.values()} == {result.nit + 1}
    np.testing.assert_array_equal(result.history["iteration"], np.arange(result.nit + 1))
    for name in ("epoch", "evaluations", "hessian_products", "seconds"):
        assert (np.diff(result.history[name]) >= 0).all(), name
    assert result.history["objective"][-1] == result.fun


@every_solver
def test_a_callback_stops_the_run(solver, rng):
    seen = []
    result = minimize(ROSEN, [-1.2, 1.0], solver, callback=lambda state: seen.append(state) or len(seen) == 2)
    assert len(seen) == 2
    assert result.status == "stopped"
    assert result.nit == 2
    assert [state.iteration for state in seen] == [1, 2]
    assert seen[1].record["objective"] == result.history["objective"][2]
    np.testing.assert_array_equal(seen[1].x, result.x)


@every_solver
def test_a_start_at_the_optimum_is_optimal_at_once(solver, rng):
    result = minimize(ROSEN, [1.0, 1.0], solver)
    assert result.status == "optimal"
    assert result.nit <= 1
    np.testing.assert_allclose(result.x, 1)


@every_solver
def test_the_start_is_not_written_to(solver):
    x0 = np.array([-1.2, 1.0])
    x0.flags.writeable = False
    assert minimize(ROSEN, x0, solver, max_iter=3).nit == 3


@every_solver
def test_runs_without_a_random_state_are_identical(solver, rng):
    objective = logistic(rng)
    first, again = (minimize(objective, np.zeros(4), solver).x for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("random_state", [0, 7, np.random.default_rng, None])
def test_every_kind_of_random_state(random_state, rng):
    state = random_state(3) if callable(random_state) else random_state
    result = minimize(logistic(rng), np.zeros(4), SGD(batch_size=16), random_state=state, max_iter=5)
    assert result.nit <= 5


# -- choosing -------------------------------------------------------------------------------------------------------


def test_auto_says_what_it_chose(rng):
    assert isinstance(minimize(logistic(rng), np.zeros(4)).solver, Newton)
    big = FunctionObjective(lambda x: float(x @ x), jac=lambda x: 2 * x)
    assert isinstance(minimize(big, np.ones(1000)).solver, LBFGS)


@pytest.mark.parametrize(("name", "kind"), list(SOLVERS.items()))
def test_names_and_objects(name, kind):
    assert isinstance(check_solver(name), kind)
    solver = kind(precondition="diagonal")
    found = check_solver(solver)
    assert found is not solver
    assert type(found) is kind
    assert found.precondition == "diagonal"
    assert check_solver("auto") is None


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("newton-cholesky", "newton"),
        ("newton-cg", "Newton"),
        ("liblinear", "newton"),
        ("sag", "sgd"),
        ("saga", "sgd"),
        ("adam", "Momentum"),
        ("cholesky", "newton"),
        ("svd", "newton"),
        ("lsqr", "lbfgs"),
        ("sparse_cg", "Newton"),
    ],
)
def test_names_of_scikit_learn_get_an_error_that_names_ours(name, ours):
    assert_refused(f"solver='{name}' is unknown: choose from 'auto', 'sgd'.*use .*{ours}", check_solver, name)


@pytest.mark.parametrize("name", ["Newton", "bfgs", ""])
def test_an_unknown_name_gets_the_list(name):
    assert_refused("choose from 'auto', 'sgd', 'momentum', 'clip', 'newton', 'lbfgs'", check_solver, name)


@pytest.mark.parametrize("solver", [None, 3, Newton, ["newton"]], ids=str)
def test_what_is_no_solver_is_a_type_error(solver):
    with pytest.raises(TypeError, match=r"solver must be one of 'auto', 'sgd'.*or an object such as Newton\(\)"):
        check_solver(solver)


# -- bad arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "error", "message"),
    [
        (
            "x0",
            ([], [[1.0, 2.0]], [np.nan, 1], [np.inf, 0], 3.0),
            ValueError,
            "x0 must be a non-empty 1-D array of fin",
        ),
        ("tol", (0, -1.0, np.nan, np.inf, True, "small", None), ValueError, "tol must be a positive number, got"),
        ("max_iter", (0, -5, 2.5, True, None), ValueError, "max_iter must be an integer of at least 1, got"),
        ("callback", ("print",), TypeError, "callback must be callable, got 'print'"),
        ("before", ("print",), TypeError, "before must be callable, got 'print'"),
    ],
)
def test_bad_arguments_are_named(name, values, error, message):
    for value in values:
        assert_refused(message, minimize, ROSEN, **{"x0": [0.0, 0.0]} | {name: value}, error=error)


def test_an_infeasible_start():
    assert_refused("the objective is not finite at the start x0", minimize, FunctionObjective(lambda x: np.inf), [1.0])


@every_solver
def test_before_an_iteration_the_state_is_that_of_the_last_one(solver):
    before, after = [], []
    result = minimize(
        ROSEN, [-1.2, 1.0], solver, max_iter=5, before=before.append, callback=lambda state: after.append(state)
    )
    assert [state.iteration for state in before] == list(range(result.nit))
    np.testing.assert_array_equal(before[0].x, [-1.2, 1.0])
    assert before[0].record["objective"] == result.history["objective"][0]
    assert [state.record for state in before[1:]] == [state.record for state in after[:-1]]


def test_an_exception_of_the_objective_is_passed_on():
    def fails(x):
        raise KeyError("mine")

    assert_refused("mine", minimize, FunctionObjective(fails), [1.0], error=KeyError)


# -- passes ---------------------------------------------------------------------------------------------------------


def test_a_sampled_row_counts_as_its_share(rng):
    X = rng.normal(size=(1000, 3))
    objective = GLMObjective(X, X[:, 0] + rng.normal(size=1000), SquaredLoss())
    result = minimize(objective, np.zeros(4), SGD(0.1, batch_size=100, precondition=None), max_iter=5, tol=1e-12)
    # five epochs of minibatches, each followed by a look at all rows, and the start
    assert result.nfev == pytest.approx(5 + 5 + 1)


def test_negative_curvature_is_no_certificate():
    """Too many parameters for a matrix, and a saddle's slope so small that conjugate gradients stop at once."""

    def fun(x):
        a, gradient = x[0], x.copy()
        gradient[0] = 5e-4 * (a**3 - a)
        return 0.5 * np.sum(x[1:] ** 2) + 5e-4 * (a**4 / 4 - a**2 / 2), gradient

    start = np.zeros(600)
    start[0] = 0.3
    result = minimize(FunctionObjective(fun, jac=True), start, Newton(linear_solver="cg"), max_iter=200)
    assert result.status != "optimal" or abs(result.x[0]) == pytest.approx(1, abs=1e-2)


def test_steps_of_a_certificate_are_iterations_that_a_callback_sees():
    X, y = load_digits(return_X_y=True)
    model = GLMObjective(X[:300], y[:300], SoftmaxCrossEntropy(10), penalty=1e-3)
    begun, seen = [], []
    watch = {"before": lambda s: begun.append(s.iteration), "callback": lambda s: seen.append(s.iteration)}
    result = minimize(model, model.start(), "lbfgs", tol=0.3, **watch)
    assert seen == list(range(1, result.nit + 1))
    assert begun == list(range(result.nit))


def test_a_float_learning_rate_of_lbfgs_is_taken_as_it_is():
    X, y = load_digits(return_X_y=True)
    model = GLMObjective(X[:300], y[:300], SoftmaxCrossEntropy(10), penalty=1e-3)
    result = minimize(model, model.start(), LBFGS(learning_rate=0.5), tol=0.3, max_iter=60)
    assert set(result.history["step"][1:]) == {0.5}
