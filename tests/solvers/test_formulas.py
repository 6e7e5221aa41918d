"""Ten steps of each solver with ``precondition=None`` and a float learning rate, against the formula written out."""

from itertools import product

import numpy as np
import pytest
from sklearn.base import clone

from sk_hessian.objectives import BinaryCrossEntropy, FunctionObjective, GLMObjective
from sk_hessian.solvers import LBFGS, SGD, SOLVERS, Clip, Momentum, Newton, minimize
from tests.estimators import assert_refused

RATE, STEPS, MU = 0.3, 10, 0.4


class Recording(GLMObjective):
    """Remembers which rows were sampled."""

    def sample(self, rows):
        self.__dict__.setdefault("sampled", []).append(rows)
        return super().sample(rows)


@pytest.fixture
def objective(rng):
    X = rng.normal(size=(40, 3)) * [1, 3, 0.5]
    return Recording(X, (X[:, 0] + rng.normal(size=40) > 0).astype(float), BinaryCrossEntropy(), penalty=0.1)


def path(objective, solver, steps=STEPS, **options):
    """The iterates that a callback sees, the start included."""
    x0 = np.array([0.5, -0.5, 1.0, 0.2])
    seen = [x0]
    minimize(
        objective, x0, solver, tol=1e-12, max_iter=steps, callback=lambda state: seen.append(state.x.copy()), **options
    )
    assert len(seen) == steps + 1
    return np.array(seen)


def written_out(objective, step):
    """x_0, x_1, ... from ``step(x, g)``."""
    x = [np.array([0.5, -0.5, 1.0, 0.2])]
    for _ in range(STEPS):
        x.append(step(x[-1], objective.value_and_gradient(x[-1])[1]))
    return np.array(x)


def assert_agree(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)


def test_gradient_descent(objective):
    assert_agree(
        path(objective, SGD(RATE, batch_size=None, precondition=None)),
        written_out(objective, lambda x, g: x - RATE * g),
    )


def test_running_squares(objective):
    """Adam, its second average corrected for the start at zero."""
    beta, decay, v, squares, t = 0.8, 0.9, 0.0, 0.0, 0

    def step(x, g):
        nonlocal v, squares, t
        t += 1
        v = beta * v + (1 - beta) * g
        squares = decay * squares + (1 - decay) * g**2
        return x - RATE * v / (np.sqrt(squares / (1 - decay**t)) + 1e-8)

    solver = Momentum(RATE, momentum=beta, squares=decay, batch_size=None, precondition=None)
    assert_agree(path(objective, solver), written_out(objective, step))


def test_running_squares_need_a_rate(objective):
    message = "Momentum: squares needs a float learning_rate"
    assert_refused(message, minimize, objective, np.zeros(4), Momentum(squares=0.9))


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [("invscaling", lambda t: 1 / np.sqrt(t)), ("inverse", lambda t: 1 / t), (lambda t: 0.9**t, lambda t: 0.9**t)],
    ids=["invscaling", "inverse", "callable"],
)
def test_schedules(objective, schedule, factor):
    t = iter(range(1, STEPS + 1))
    assert_agree(
        path(objective, SGD(RATE, schedule=schedule, batch_size=None, precondition=None)),
        written_out(objective, lambda x, g: x - RATE * factor(next(t)) * g),
    )


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(objective, nesterov):
    beta, v = 0.8, np.zeros(4)

    def step(x, g):
        nonlocal v
        v = beta * v + (1 - beta) * g
        return x - RATE * (beta * v + (1 - beta) * g if nesterov else v)

    solver = Momentum(RATE, momentum=beta, nesterov=nesterov, batch_size=None, precondition=None)
    assert_agree(path(objective, solver), written_out(objective, step))


def test_clip_by_value(objective):
    clipped, plain = (Clip(RATE, clip_value=c, batch_size=None, precondition=None) for c in (0.05, 1e9))
    assert_agree(path(objective, clipped), written_out(objective, lambda x, g: x - RATE * np.clip(g, -0.05, 0.05)))
    assert np.abs(path(objective, clipped) - path(objective, plain)).max() > 1e-2


def test_clip_by_norm(objective):
    solver = Clip(RATE, clip_value=0.1, by="norm", batch_size=None, precondition=None)
    assert_agree(
        path(objective, solver), written_out(objective, lambda x, g: x - RATE * g * min(1.0, 0.1 / np.linalg.norm(g)))
    )


@pytest.mark.parametrize("linear_solver", ["auto", "cholesky"])
@pytest.mark.parametrize("damping", [0.0, MU])
def test_newton(objective, damping, linear_solver):
    def step(x, g):
        H = objective.hessian_matrix(x, "observed") + damping * np.eye(4)
        return x - RATE * np.linalg.solve(H, g)

    solver = Newton(damping=damping, learning_rate=RATE, linear_solver=linear_solver, precondition=None)
    assert_agree(path(objective, solver), written_out(objective, step))


def test_newton_with_the_diagonal(objective):
    def step(x, g):
        return x - RATE * g / (np.diag(objective.hessian_matrix(x, "observed")) + MU)

    solver = Newton("diagonal", damping=MU, learning_rate=RATE, precondition=None)
    assert_agree(path(objective, solver), written_out(objective, step))


@pytest.mark.parametrize("memory", [1, 3, 20])
def test_lbfgs(objective, memory):
    s, y, previous = [], [], None

    def step(x, g):
        nonlocal previous
        if previous is not None:
            s.append(x - previous[0])
            y.append(g - previous[1])
        previous = x, g
        return x - RATE * inverse_hessian(s[-memory:], y[-memory:], x.size) @ g

    solver = LBFGS(memory, learning_rate=RATE, precondition=None)
    assert_agree(path(objective, solver), written_out(objective, step))


def inverse_hessian(s, y, size):
    """The BFGS matrix of these pairs, formed (Nocedal & Wright, equations 7.16 and 7.20)."""
    H = np.eye(size) * (s[-1] @ y[-1] / (y[-1] @ y[-1]) if s else 1.0)
    for a, b in zip(s, y, strict=True):
        rho = 1 / (a @ b)
        V = np.eye(size) - rho * np.outer(b, a)
        H = V.T @ H @ V + rho * np.outer(a, a)
    return H


@pytest.mark.parametrize("average", [False, True])
def test_minibatches(objective, average):
    """Textbook minibatch SGD over the batches that were drawn."""
    actual = path(objective, SGD(RATE, batch_size=8, average=average, precondition=None), steps=3, random_state=0)
    x = actual[0]
    for epoch in range(3):
        batches = objective.sampled[5 * epoch : 5 * epoch + 5]
        np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(40))
        total = np.zeros(4)
        for rows in batches:
            x = x - RATE * objective.sample(rows).value_and_gradient(x)[1]
            total += x
            objective.sampled.pop()
        x = total / 5 if average else x
        np.testing.assert_allclose(actual[epoch + 1], x, rtol=1e-12)


def test_the_order_of_minibatches_follows_the_random_state(objective):
    solver = SGD(RATE, batch_size=8, precondition=None)
    first, again, other = (path(objective, solver, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


@pytest.mark.parametrize("name", SOLVERS)
def test_a_run_writes_nothing_on_its_solver(objective, name):
    solver = SOLVERS[name]()
    before = dict(vars(solver))
    minimize(objective, np.zeros(4), solver)
    assert vars(solver) == before
    assert repr(clone(solver)) == repr(solver)


#: conjugate gradients use products of all rows
NO_PRODUCTS = [(hessian, "cg") for hessian in ("subsampled", "diagonal")]
KINDS_OF_NEWTON = product(("auto", "exact", "gauss-newton", "subsampled", "diagonal"), ("auto", "cholesky", "cg"))


@pytest.mark.parametrize(("hessian", "linear_solver"), [kind for kind in KINDS_OF_NEWTON if kind not in NO_PRODUCTS])
def test_every_kind_of_newton_reaches_the_optimum(objective, hessian, linear_solver):
    assert minimize(objective, np.zeros(4), Newton(hessian, linear_solver=linear_solver)).status == "optimal"


@pytest.mark.parametrize(("hessian", "linear_solver"), NO_PRODUCTS)
def test_conjugate_gradients_of_some_rows_are_refused(objective, hessian, linear_solver):
    with pytest.raises(ValueError, match='linear_solver="cg" uses products of all rows'):
        minimize(objective, np.zeros(4), Newton(hessian, linear_solver=linear_solver))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("precondition", ["auto", None, "diagonal", "full"])
def test_every_solver_reaches_the_optimum_with_every_preconditioner(objective, name, precondition):
    best = minimize(objective, np.zeros(4), "newton", tol=1e-10).fun
    result = minimize(objective, np.zeros(4), SOLVERS[name](precondition=precondition))
    assert result.status == "optimal"
    assert result.fun - best <= 1.1e-8 * objective.scale


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (SGD(0), r"SGD: learning_rate=0 is not supported; use 'auto' or a number > 0"),
        (SGD(-1.0), "SGD: learning_rate=-1.0"),
        (SGD(np.nan), "SGD: learning_rate=nan"),
        (SGD(True), "SGD: learning_rate=True"),
        (SGD("adaptive"), "SGD: learning_rate='adaptive' is not supported; use 'auto'"),
        (SGD(schedule="optimal"), "SGD: schedule='optimal' is not supported; use 'constant' or 'invscaling'"),
        (SGD(batch_size=0), "SGD: batch_size=0 is not supported; use 'auto' or None or an integer > 0"),
        (SGD(batch_size=2.5), "SGD: batch_size=2.5"),
        (SGD(average=1), "SGD: average=1 is not supported; use True or False"),
        (SGD(precondition="jacobi"), "SGD: precondition='jacobi' is not supported; use 'auto' or None or 'diagonal'"),
        (Momentum(momentum=1.0), "Momentum: momentum=1.0 is not supported; use a number >= 0 and < 1"),
        (Momentum(momentum=-0.1), "Momentum: momentum=-0.1"),
        (Momentum(nesterov=None), "Momentum: nesterov=None"),
        (Momentum(0.1, squares=1.0), "Momentum: squares=1.0"),
        (Clip(clip_value=0.0), "Clip: clip_value=0.0 is not supported"),
        (Clip(by="entry"), "Clip: by='entry' is not supported; use 'value' or 'norm'"),
        (Newton("bfgs"), "Newton: hessian='bfgs' is not supported; use 'auto' or 'exact'"),
        (Newton(linear_solver="qr"), "Newton: linear_solver='qr'"),
        (Newton(damping=-1), "Newton: damping=-1 is not supported; use 'auto' or a number >= 0"),
        (Newton(learning_rate=np.inf), "Newton: learning_rate=inf"),
        (LBFGS(0), "LBFGS: memory=0 is not supported; use an integer > 0"),
        (LBFGS(2.5), "LBFGS: memory=2.5"),
    ],
    ids=repr,
)
def test_a_bad_option_is_named_with_its_alternatives(objective, solver, message):
    assert_refused(message, minimize, objective, np.zeros(4), solver)


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (SGD(batch_size=8), "batch_size=8 needs an objective that is a sum over rows; use batch_size=None"),
        (Newton("subsampled"), 'hessian="subsampled" needs an objective that is a sum over rows'),
        (Newton("gauss-newton"), r'no expected \(Gauss-Newton\) curvature.* of a solver hessian="exact"'),
        (Newton(precondition="kronecker"), "precondition='kronecker' is not available for a function"),
    ],
    ids=repr,
)
def test_what_a_function_cannot_offer_is_an_error(solver, message):
    assert_refused(message, minimize, FunctionObjective(lambda x: x @ x), [1.0], solver)
