"""A term of one's own beside the losses: it is the L2 penalty with a matrix, whatever the columns and the solver."""

import numpy as np
import pytest

from sk_hessian.objectives import (
    L1,
    GLMObjective,
    PinballLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    Term,
    TermPoint,
    TweedieLoss,
)
from sk_hessian.solvers import SOLVERS, minimize
from tests.objectives.cases import assert_close, differences

P, STRENGTH = 5, 5.0
D = np.diff(np.eye(P), axis=0)


class Differences(Term):
    """Half a strength times the sum of the squared differences of neighbouring coefficients."""

    def at(self, here):
        return DifferencesPoint(here)


class DifferencesPoint(TermPoint):
    def __init__(self, here):
        self._model, self._theta = here.objective.model, here.theta

    def product(self, v, kind):
        coef, intercept, constants = self._model.unpack(v)
        return self._model.pack(STRENGTH * D.T @ D @ coef, 0 * intercept, 0 * constants)

    @property
    def gradient(self):
        return self.product(self._theta, "observed")

    @property
    def value(self):
        return 0.5 * float(self.gradient @ self._theta)

    def matrix(self, columns, kind):
        k, size = self._model.n_outputs, columns.n_columns * self._model.n_outputs
        B = D @ columns.to_weights(np.eye(columns.n_columns))[:P]
        H = np.zeros((size + self._model.n_constants,) * 2)
        for output in range(k):
            H[output:size:k, output:size:k] = STRENGTH * B.T @ B
        return H


def table(kind, rng):
    X = rng.normal(size=(60, P)) * [1, 10, 0.1, 1, 1] + 3
    if kind == "dependent":
        X[:, 4] = X[:, 0] + X[:, 3]
    if kind == "constant":
        X[:, 1] = 3
    return X


TARGETS = {
    "squared": (SquaredLoss(), lambda rng: rng.normal(size=60)),
    "two targets": (SquaredLoss(2), lambda rng: rng.normal(size=(60, 2))),
    "poisson": (TweedieLoss(1, "log"), lambda rng: rng.poisson(2.0, size=60).astype(float)),
    "identity": (TweedieLoss(1, "identity"), lambda rng: rng.poisson(3.0, size=60).astype(float)),
    "softmax": (SoftmaxCrossEntropy(3), lambda rng: rng.integers(0, 3, size=60).astype(float)),
}


def both(kind, name, rng):
    X, (loss, draw) = table(kind, rng), TARGETS[name]
    y = draw(rng)
    own = GLMObjective(X, y, loss, terms=[Differences()])
    return own, GLMObjective(X, y, loss, penalty_matrix=STRENGTH / len(y) * D.T @ D)


@pytest.mark.parametrize("name", TARGETS)
def test_values_and_derivatives(name, rng):
    own, expected = both("plain", name, rng)
    theta = own.start() + 1e-3 * rng.normal(size=own.n_parameters)
    assert own.at(theta).value == pytest.approx(expected.at(theta).value, rel=1e-13)
    assert_close(own.at(theta).gradient, expected.at(theta).gradient, 1e-12)
    assert_close(own.hessian(theta).matvec(theta), expected.hessian(theta).matvec(theta), 1e-12)
    assert_close(own.hessian_diagonal(theta), expected.hessian_diagonal(theta), 1e-12)
    for curvature in ("observed", "expected"):
        assert_close(own.hessian_matrix(theta, curvature), expected.hessian_matrix(theta, curvature), 1e-12)


@pytest.mark.parametrize("name", TARGETS)
def test_a_sample_has_the_whole_term(name, rng):
    """Divided by the weight of the sample's share of the rows, as the losses are: unbiased."""
    own, expected = both("plain", name, rng)
    theta, rows = own.start() + 1e-3 * rng.normal(size=own.n_parameters), np.arange(20)
    parts = [expected.sample(rows).at(theta), expected.at(theta)]
    losses = parts[0].value - parts[0].penalty
    assert own.sample(rows).at(theta).value == pytest.approx(losses + parts[1].penalty, rel=1e-12)


@pytest.mark.parametrize("kind", ["plain", "dependent", "constant"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_the_optimum_is_that_of_the_matrix(kind, name, solver, rng):
    own, expected = both(kind, name, rng)
    found = minimize(own, own.start(), solver, tol=1e-9, max_iter=1000)
    best = minimize(expected, expected.start(), "newton", tol=1e-9)
    assert found.status == best.status == "optimal", found.message
    assert found.fun == pytest.approx(best.fun, rel=1e-12)
    assert_close(own.unpack(found.x)[0], expected.unpack(best.x)[0], 1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_finds_the_optimum_of_a_term(solver, rng):
    own, expected = both("plain", "squared", rng)
    found = minimize(own, own.start(), solver, tol=1e-6, max_iter=5000, random_state=0)
    assert found.status == "optimal", found.message
    assert found.fun == pytest.approx(minimize(expected, expected.start(), "newton").fun, rel=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_derivatives_of_a_smoothed_l1_penalty(fit_intercept, rng):
    """On both sides of the widths; in coordinates of the columns too."""
    X, y = table("plain", rng), rng.normal(size=60)
    widths = np.array([0.1, 1.0, 2.0, 0.5, 0.3])
    smooth = GLMObjective(X, y, PinballLoss(0.3, 50.0), fit_intercept=fit_intercept, terms=[L1(0.2, widths)])
    theta = smooth.pack(np.array([[0.05], [3.0], [-1.0], [-0.7], [0.0]]), np.ones(1), np.zeros(0))
    assert_close(smooth.at(theta).gradient, differences(lambda x: smooth.at(x).value, theta, 1e-5), 1e-7)
    H = differences(lambda x: smooth.at(x).gradient, theta, 1e-5)
    assert_close(smooth.hessian_matrix(theta), H, 1e-6)
    assert_close(smooth.hessian(theta).matvec(theta), H @ theta, 1e-6)
    factor = smooth.preconditioner(theta)
    assert_close(smooth.hessian_matrix(theta, "observed", factor), np.eye(len(factor.dense().T)), 1e-8)


def test_a_smoothed_l1_penalty_is_above_the_penalty_by_half_a_width(rng):
    X, y = table("plain", rng), rng.normal(size=60)
    sharp, smooth = (GLMObjective(X, y, PinballLoss(), terms=[L1(0.2, w)]) for w in (None, np.full(5, 0.4)))
    for coef, above in ((0.0, 0.2), (0.2, 0.05), (0.4, 0.0), (-3.0, 0.0)):
        theta = sharp.pack(np.array([[coef], [0.0], [0.0], [0.0], [0.0]]), np.ones(1), np.zeros(0))
        gap = smooth.at(theta).value - sharp.at(theta).value
        assert gap == pytest.approx(0.2 * (above + 4 * 0.2), abs=1e-12)


def test_the_l1_penalty_is_of_one_output(rng):
    with pytest.raises(ValueError, match="the L1 penalty is for losses of one output, this one has 2"):
        GLMObjective(rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), SquaredLoss(2), terms=[L1(1.0)])
