"""The verdicts: each status is given when it should be, and ``optimal`` never else."""

from functools import cache

import numpy as np
import pytest

from sk_hessian.objectives import (
    BinaryCrossEntropy,
    FunctionObjective,
    GLMObjective,
    MLPObjective,
    SquaredLoss,
    TweedieLoss,
)
from sk_hessian.objectives.functions import FunctionEvaluation
from sk_hessian.objectives.mlp_evaluation import NetworkEvaluation
from sk_hessian.solvers import LBFGS, SGD, SOLVERS, Clip, Momentum, Newton, minimize
from sk_hessian.solvers.result import still_missing
from tests.estimators import assert_refused

every_solver = pytest.mark.parametrize("name", SOLVERS)


def correlated(correlation, loss, n=400, p=5, unit=1.0):
    """Columns that all correlate so much with each other, and targets in some unit."""
    rng = np.random.default_rng(17)
    common = rng.normal(size=(n, 1))
    X = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(size=(n, p))
    eta = X @ np.array([3.0, -2.0, 1.0, -1.0, 0.5])
    eta = 1.5 * (eta - eta.mean()) / eta.std()
    y = {
        "logistic": lambda: (eta + rng.logistic(size=n) > 0).astype(float),
        "poisson": lambda: rng.poisson(np.exp(eta / 3)).astype(float),
        "squared": lambda: eta + rng.normal(size=n),
    }[loss]()
    kind = {"logistic": BinaryCrossEntropy(), "poisson": TweedieLoss(1), "squared": SquaredLoss()}[loss]
    return GLMObjective(X * [1, 10, 100, 0.1, 1], unit * y, kind)


@cache
def least(correlation, loss):
    """The optimum of `correlated`."""
    objective = correlated(correlation, loss)
    best = minimize(objective, objective.start(), "newton", tol=1e-10)
    assert best.status == "optimal"
    return best.fun


def gap(objective, result):
    """How far above the optimum a result is, in units of the scale."""
    best = minimize(objective, objective.start(), "newton", tol=1e-10)
    assert best.status == "optimal"
    return (result.fun - best.fun) / objective.scale


@every_solver
@pytest.mark.parametrize("precondition", ["diagonal", None])
@pytest.mark.parametrize("loss", ["logistic", "squared", "poisson"])
def test_no_early_optimal_on_correlated_columns(name, precondition, loss):
    for correlation in (0.9, 0.99, 0.999, 0.9999, 0.99999):
        objective = correlated(correlation, loss)
        solver = SOLVERS[name](precondition=precondition)
        result = minimize(objective, objective.start(), solver, max_iter=300)
        assert result.status in ("optimal", "max_iter", "stalled")
        above = (result.fun - least(correlation, loss)) / objective.scale
        assert above <= 1.1e-8 if result.status == "optimal" else above > 1e-8 * 0.9, correlation


@every_solver
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-7])
def test_optimal_means_as_near_as_the_tolerance_says(name, tol):
    objective = correlated(0.9, "poisson")
    result = minimize(objective, objective.start(), name, tol=tol)
    assert result.status == "optimal"
    assert gap(objective, result) <= 1.1 * tol**2 + 1e-14


@every_solver
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_tolerance_does_not_see_the_unit_of_the_target(name, factor):
    objective, rescaled = correlated(0.9, "squared"), correlated(0.9, "squared", unit=factor)
    first, other = (minimize(o, o.start(), name) for o in (objective, rescaled))
    assert first.status == other.status == "optimal"
    assert abs(first.nit - other.nit) <= 1
    np.testing.assert_allclose(other.x / factor, first.x, rtol=1e-3, atol=1e-3 * np.abs(first.x).max())


@pytest.mark.parametrize("solver", [SGD(50.0), Momentum(200.0), SGD(50.0, batch_size=50)], ids=repr)
def test_a_learning_rate_that_is_too_large_has_diverged(solver):
    solver.set_params(precondition=None, batch_size=solver.batch_size if solver.batch_size != "auto" else None)
    objective = correlated(0.9, "squared")
    result = minimize(objective, objective.start(), solver, random_state=0)
    assert result.status == "diverged"
    assert np.isfinite(result.fun)
    assert np.isfinite(result.x).all()
    assert result.fun <= result.history["objective"][0]
    assert "Use a smaller learning_rate" in result.message


@pytest.mark.parametrize("solver", [SGD(1e-3, batch_size=40), Momentum(1e-3, batch_size=40), Clip(1e-3, batch_size=40)])
def test_a_fixed_step_on_minibatches_is_honest(solver):
    solver.set_params(precondition=None)
    objective = correlated(0.9, "logistic")
    result = minimize(objective, objective.start(), solver, random_state=0, max_iter=100)
    assert result.status in ("max_iter", "stalled", "optimal")
    if result.status == "optimal":
        assert gap(objective, result) <= 1.1e-8
    assert result.fun <= result.history["objective"][0]


SADDLE = FunctionObjective(
    lambda x: x[0] ** 2 - x[1] ** 2 + 0.25 * x[1] ** 4,
    jac=lambda x: np.array([2 * x[0], -2 * x[1] + x[1] ** 3]),
    hess=lambda x: np.diag([2.0, -2 + 3 * x[1] ** 2]),
)


@pytest.mark.parametrize("solver", [SGD(), Clip(), Momentum(), LBFGS()], ids=repr)
def test_a_saddle_is_said_to_be_one(solver):
    result = minimize(SADDLE, [1.0, 0.0], solver, tol=1e-6)
    assert result.status == "saddle"
    assert not result.success
    assert "negative curvature" in result.message


@pytest.mark.parametrize("solver", [Newton("exact"), Newton("exact", linear_solver="cg")], ids=repr)
def test_newton_leaves_a_saddle_along_its_negative_curvature(solver):
    result = minimize(SADDLE, [1.0, 0.0], solver)
    assert result.status == "optimal"
    assert result.fun == pytest.approx(-1)
    np.testing.assert_allclose(np.abs(result.x), [0, np.sqrt(2)], atol=1e-4)


@every_solver
def test_a_maximum_is_not_optimal(name):
    objective = FunctionObjective(lambda x: -np.cos(x).sum(), jac=np.sin, hess=lambda x: np.diag(np.cos(x)))
    result = minimize(objective, np.full(2, np.pi), name)
    assert result.status in ("saddle", "optimal")
    if result.status == "optimal":
        assert result.fun == pytest.approx(-2)


@every_solver
def test_a_function_without_a_lower_bound_is_never_optimal(name):
    result = minimize(FunctionObjective(lambda x: x.sum(), jac=np.ones_like), np.zeros(3), name, max_iter=50)
    assert result.status in ("max_iter", "diverged", "stalled")


@every_solver
def test_a_tolerance_below_rounding_ends_and_says_how(name):
    objective = correlated(0.999, "logistic")
    result = minimize(objective, objective.start(), name, tol=1e-14, max_iter=2000)
    assert result.status in ("optimal", "stalled", "max_iter")
    assert gap(objective, result) <= 1e-12


@every_solver
def test_a_run_that_stalls_returns_its_best_iterate(name):
    rng = np.random.default_rng(0)

    def noisy(x):
        return x @ x + 1e-3 * rng.uniform(), 2 * x

    result = minimize(FunctionObjective(noisy, jac=True), np.ones(3), name, max_iter=200)
    assert result.fun <= result.history["objective"].min()


@every_solver
def test_the_message_says_how_far_and_what_to_do(name):
    objective = correlated(0.9, "poisson")
    result = minimize(objective, objective.start(), name, max_iter=1)
    assert (result.status, result.success, result.nit) == ("max_iter", False, 1)
    for words in (name, "1 iteration", "of what this model can gain", "Use a larger max_iter"):
        assert words in result.message


@every_solver
def test_a_flat_function_is_optimal_at_once(name):
    result = minimize(FunctionObjective(lambda x: 3.0, jac=np.zeros_like), np.zeros(2), name)
    assert (result.status, result.fun) == ("optimal", 3)


@pytest.mark.parametrize("solver", [Newton(), LBFGS(), SGD(), Momentum(), Clip()], ids=repr)
def test_many_parameters_use_products_and_are_certified(solver):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(300, 250))
    y = (X[:, 0] + rng.logistic(size=300) > 0).astype(float)
    objective = GLMObjective(X, y, BinaryCrossEntropy(), penalty=1e-2)
    result = minimize(objective, objective.start(), solver)
    assert result.status == "optimal"
    assert gap(objective, result) <= 1.1e-8


def test_a_point_above_one_that_was_left_is_no_optimum():
    """A first step jumps from beside the lower of two minima to the higher one, where small steps would end."""

    def fun(x):
        return x[0] ** 2 * (x[0] - 4) ** 2 + 0.5 * x[0]

    def jac(x):
        return np.array([4 * x[0] * (x[0] - 4) * (x[0] - 2) + 0.5])

    def hess(x):
        return np.array([[12 * x[0] ** 2 - 48 * x[0] + 32]])

    objective = FunctionObjective(fun, jac=jac, hess=hess)
    spec = SGD(0.37, schedule=lambda t: 1.0 if t == 1 else 0.05, batch_size=None, precondition=None)
    result = minimize(objective, [-0.3], spec, max_iter=300)
    assert 1.9 < result.history["objective"][-1] < 2.1
    assert result.status != "optimal"
    assert result.fun == min(result.history["objective"])


def test_a_hessian_that_overflows_certifies_nothing():
    def fun(x):
        return x[0] ** 4 + x[1] ** 2

    def jac(x):
        return np.array([4 * x[0] ** 3, 2 * x[1]])

    objective = FunctionObjective(fun, jac=jac, hess=lambda x: np.diag([np.inf, 2.0]))
    result = minimize(objective, [1e-3, 1.0], SGD(precondition=None), max_iter=50)
    assert result.status != "optimal"
    assert np.isfinite(result.x).all()


# -- what is said -----------------------------------------------------------------------------------------------------

WELLS = FunctionObjective(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2)
VALLEY = FunctionObjective(lambda t: 100 * (t[1] - t[0] ** 2) ** 2 + (1 - t[0]) ** 2)

#: name -> an objective, and a start
OBJECTIVES = {
    "logistic": lambda: (correlated(0.9, "logistic"), np.zeros(6)),
    "valley": lambda: (VALLEY, [0.0, 1.0]),
    "wells": lambda: (WELLS, [0.0, 1.0]),
}


@pytest.mark.parametrize(
    ("name", "solver", "max_iter", "advice"),
    [
        ("logistic", "newton", 1, "Use a larger max_iter."),
        ("logistic", "lbfgs", 1, 'Use a larger max_iter, or solver="newton".'),
        ("logistic", "momentum", 1, 'Use a larger max_iter, or solver="newton" or "lbfgs".'),
        ("logistic", Clip(1e-3), 2, 'max_iter, solver=Clip(learning_rate="auto"), or solver="newton" or "lbfgs".'),
        ("logistic", SGD(1e-3, batch_size=50, precondition=None), 2, '(learning_rate="auto", batch_size="auto", pre'),
        ("logistic", Newton(damping=10.0), 2, 'Use a larger max_iter, or solver=Newton(damping="auto").'),
        ("logistic", LBFGS(learning_rate=1e-3), 2, 'solver=LBFGS(learning_rate="auto"), or solver="newton".'),
        # a running mean of squares needs a rate, so that "auto" is no advice
        ("logistic", Momentum(1e-3, squares=0.999, precondition=None), 2, 'max_iter, or solver="newton" or "lbfgs".'),
        ("valley", "newton", 2, "Use a larger max_iter."),
        ("wells", "lbfgs", 9, 'Use solver=Newton(hessian="exact"), or another start x0.'),
    ],
    ids=str,
)
def test_the_advice_is_for_the_solver_that_ran(name, solver, max_iter, advice):
    result = minimize(*OBJECTIVES[name](), solver, max_iter=max_iter)
    assert result.status in ("max_iter", "saddle")
    assert advice in result.message


@pytest.mark.parametrize("solver", ["sgd", "lbfgs", SGD(0.1)], ids=repr)
def test_a_plain_function_is_told_nothing_of_columns_or_models(solver):
    rng = np.random.default_rng(0)
    noisy = FunctionObjective(lambda x: (x @ x + 1e-3 * rng.uniform(), 2 * x + 1e-3 * rng.normal(size=3)), jac=True)
    for max_iter in (2, 200):
        message = minimize(noisy, np.ones(3), solver, max_iter=max_iter).message
        assert not any(word in message for word in ("column", "model", "scale", "nan"))


@pytest.mark.parametrize(
    ("decrement", "scale", "is_model", "words"),
    [
        (0.52, 1.0, True, "about 52% of what this model can gain is still missing"),
        (1.04, 200.0, True, "about 0.52% of what this model can gain is still missing"),
        (3e-9, 1.0, True, "a Newton step would still gain about 3e-09"),
        (0.0, 1.0, True, "nothing is left to gain"),
        (7.8e14, 1.0, True, "how much is still to be gained is not known"),
        (np.nan, 1.0, True, "how much is still to be gained is not known"),
        (np.inf, 1.0, False, "how much is still to be gained is not known"),
        (0.52, 1.0, False, "a Newton step would still gain about 0.52"),
    ],
)
def test_what_is_missing_is_said_in_words(decrement, scale, is_model, words):
    assert still_missing(decrement, scale, is_model) == words


@every_solver
def test_a_gradient_that_is_not_finite_is_named(name):
    def undefined_at_zero(t):
        return np.abs(t[0]) + t[1] ** 2, np.array([np.nan if t[0] == 0 else np.sign(t[0]), 2 * t[1]])

    result = minimize(FunctionObjective(undefined_at_zero, jac=True), [0.0, 1.0], name)
    assert result.status == "stalled"
    assert "The gradient is not finite there, in theta[0], so that no step is defined." in result.message
    assert "precision" not in result.message


class Undefined(NetworkEvaluation):
    """A point whose gradient is not finite in some parameters."""

    def __init__(self, objective, theta, undefined):
        super().__init__(objective, theta)
        self.undefined = undefined

    @property
    def gradient(self):
        return np.where(self.undefined, np.nan, super().gradient)


def test_a_gradient_that_is_not_finite_is_named_in_the_terms_of_a_network():
    X = np.linspace(-1, 1, 20)[:, None]
    network = MLPObjective(X, X[:, 0], SquaredLoss(), hidden_layer_sizes=(2,), feature_names=["dose"])
    theta, first = network.start(0), np.arange(network.n_parameters) < 2
    network.at = lambda t: Undefined(network, t, first)
    assert "not finite there, in W1[dose, 0], W1[dose, 1], so that" in minimize(network, theta, "lbfgs").message


def test_a_point_without_a_gradient_is_left_out_on_the_way():
    def root(t):
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(np.maximum(t[0] - 1, 0)) + (t[0] - 3) ** 2, np.array(
                [0.5 / np.sqrt(t[0] - 1) + 2 * t[0] - 6]
            )

    result = minimize(FunctionObjective(root, jac=True), [9.0], "newton", tol=1e-8)
    assert result.status == "optimal"
    assert np.isfinite(result.jac).all()


@every_solver
def test_a_callback_may_stop_by_an_exception(name):
    def enough(state):
        if state.iteration == 2:
            raise StopIteration

    result = minimize(VALLEY, [-1.2, 1.0], name, callback=enough)
    assert (result.status, result.nit) == ("stopped", 2)


def test_other_exceptions_of_a_callback_are_not_held_back():
    def broken(state):
        raise KeyError("mine")

    assert_refused("mine", minimize, VALLEY, [-1.2, 1.0], "newton", callback=broken, error=KeyError)


# -- rounding ---------------------------------------------------------------------------------------------------------


class Rough(FunctionEvaluation):
    """A point whose value is known roughly."""

    noise = 5e-3


def test_many_small_gains_count_together():
    """Each of them is below the rounding error that the objective states, and their sum is not."""
    bowl = FunctionObjective(lambda t: t @ t, jac=lambda t: 2 * t)
    bowl.at = lambda theta: Rough(bowl, theta)
    result = minimize(bowl, [1.0, 1.0], SGD(2e-4, precondition=None, batch_size=None), tol=1e-3, max_iter=300)
    assert (result.status, result.nit) == ("max_iter", 300)
    assert np.abs(np.diff(result.history["objective"])).max() < Rough.noise
