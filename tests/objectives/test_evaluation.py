"""Points remember what was computed there, in whatever coordinates, and nothing is computed twice."""

import pickle

import numpy as np
import pytest

from sk_hessian.objectives import (
    LOSSES,
    BinaryCrossEntropy,
    GLMObjective,
    LeastSquaresObjective,
    SoftmaxCrossEntropy,
    SquaredLoss,
)
from sk_hessian.objectives.coordinates import PointFactor
from sk_hessian.objectives.rows import DenseBlock
from sk_hessian.solvers import LBFGS, minimize
from sk_hessian.solvers.problem import Counts, Problem
from sk_hessian.solvers.steps import line_search
from tests.objectives.cases import IDS, targets


def model(loss, rng, n=60, fit_intercept=True, offset=False):
    """A weighted, penalised model on uncentred columns of several units, and a point near its start."""
    X = (rng.normal(size=(n, 3)) + [1, 0, 3]) * [1, 10, 0.1]
    y = targets(loss, n, rng)
    options = {"sample_weight": rng.uniform(0.2, 3, size=n), "penalty": 0.05, "fit_intercept": fit_intercept}
    if offset:
        options["offset"] = rng.uniform(0, 0.1, size=(n, loss.n_outputs))
    objective = GLMObjective(X, y, loss, **options)
    start = objective.start()
    return objective, start + 1e-3 * rng.uniform(size=start.size) * np.maximum(np.abs(start), 1.0)


def products(monkeypatch):
    """How often blocks are multiplied, forward and back."""
    counts = {"forward": 0, "adjoint": 0}
    for name in counts:
        plain = getattr(DenseBlock, name)

        def counted(self, V, name=name, plain=plain):
            counts[name] += 1
            return plain(self, V)

        monkeypatch.setattr(DenseBlock, name, counted)
    return counts


def test_a_point_is_swept_once(rng, monkeypatch):
    objective, theta = model(BinaryCrossEntropy(), rng)
    assert objective.at(theta).noise > 0, "with the columns' sizes, facts of the objective"
    here, counts = objective.at(theta), products(monkeypatch)
    assert counts == {"forward": 0, "adjoint": 0}
    for _ in range(2):
        assert np.isfinite([here.value, here.noise, here.excess, *here.gradient]).all()
        here.likelihood_tolerance(1e-4)
    assert counts == {"forward": 1, "adjoint": 1}
    first = here.hessian_matrix()
    assert here.hessian_matrix() is not first
    np.testing.assert_array_equal(here.hessian_matrix(), first)
    here.factor("full", "observed")
    here.raw_predictions()
    assert counts["forward"] == 1


@pytest.mark.parametrize("offset", [False, True], ids=["plain", "offset"])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("loss", LOSSES, ids=IDS)
def test_standardised_rows_say_the_same(loss, fit_intercept, offset, rng):
    objective, theta = model(loss, rng, fit_intercept=fit_intercept, offset=offset)
    plain, standard = objective.at(theta), objective.entry(theta)
    assert standard.design is objective.standard_design
    np.testing.assert_allclose(standard.theta, theta, rtol=1e-12)
    assert standard.value == pytest.approx(plain.value, rel=1e-12)
    size = np.abs(plain.gradient) + np.abs(plain.gradient).max() * 1e-2
    assert (np.abs(standard.gradient - plain.gradient) <= 1e-10 * size).all()
    for kind in ("observed", "expected"):
        H = plain.hessian_matrix(kind)
        np.testing.assert_allclose(standard.hessian_matrix(kind), H, rtol=1e-9, atol=1e-10 * np.abs(H).max())
    factor = plain.factor("diagonal", "observed")
    np.testing.assert_allclose(
        standard.regular_hessian_matrix("observed", factor), plain.regular_hessian_matrix("observed", factor), atol=1e-9
    )


def test_a_point_between_two_needs_no_product(rng, monkeypatch):
    objective, theta = model(BinaryCrossEntropy(), rng)
    a, b = objective.at(theta), objective.at(theta + 0.1 * rng.normal(size=theta.size))
    assert np.isfinite([a.value, b.value]).all()
    there = objective.at(0.7 * a.theta + 0.3 * b.theta)
    assert np.isfinite(there.value)
    counts = products(monkeypatch)
    between = a.between(b, 0.3)
    np.testing.assert_allclose(between.theta, there.theta, rtol=1e-14)
    assert between.value == pytest.approx(there.value, rel=1e-13)
    np.testing.assert_allclose(between.gradient, there.gradient, rtol=1e-10, atol=1e-14)
    assert counts == {"forward": 0, "adjoint": 1}


def test_shorter_trials_of_a_line_search_are_half_a_pass(rng, monkeypatch):
    objective, theta = model(BinaryCrossEntropy(), rng)
    here = objective.entry(theta)
    problem = Problem(objective, here.factor("full", "observed"), here, Counts())
    point = problem.start()
    shares, between = [], problem.between
    monkeypatch.setattr(problem, "between", lambda *step: shares.append(step[2]) or between(*step))
    search = line_search(problem, point, -point.slope, 1e3, wolfe=None)
    assert len(shares) > 1
    assert problem.counts.evaluations == 1 + 0.5 * len(shares)
    direct = problem.evaluate(search.point.u)
    assert search.point.value == pytest.approx(direct.value, rel=1e-12)


def test_residuals_and_their_jacobian_are_found_once():
    calls = {"fun": 0, "jac": 0}

    def fun(x):
        calls["fun"] += 1
        return np.array([x[0] - 1, 10 * (x[1] - x[0] ** 2)])

    def jac(x):
        calls["jac"] += 1
        return np.array([[1.0, 0.0], [-20 * x[0], 10.0]])

    here = LeastSquaresObjective(fun, jac).at(np.array([2.0, 3.0]))
    assert here.value == pytest.approx(0.5 * (1 + 100))
    np.testing.assert_allclose(here.gradient, [401.0, -100.0])
    here.hessian_matrix("expected")
    assert np.isfinite([here.noise, here.floor]).all()
    assert here.factor("full", "expected") is not None
    assert calls == {"fun": 1, "jac": 1}


def test_a_point_travels_without_what_can_be_had_again(rng):
    objective, theta = model(SquaredLoss(), rng)
    here = objective.at(theta)
    value = here.value
    there = pickle.loads(pickle.dumps(here))
    assert there.raw is None
    assert there.value == value


def test_a_refreshed_factor_only_views_a_point(rng, monkeypatch):
    objective, theta = model(BinaryCrossEntropy(), rng)
    here = objective.entry(theta)
    problem = Problem(objective, PointFactor.none(here), here, Counts())
    point = problem.start()
    factor = here.factor("full", "observed")
    counts = products(monkeypatch)
    _, seen = problem.refactored(factor, point)
    assert seen.here is point.here
    np.testing.assert_allclose(seen.slope, factor.transpose(point.gradient), rtol=1e-9, atol=1e-14)
    assert counts == {"forward": 0, "adjoint": 0}


def test_callbacks_see_the_parameters_of_the_user(rng):
    objective, theta = model(BinaryCrossEntropy(), rng)
    seen = []
    result = minimize(objective, theta, LBFGS(), callback=lambda state: seen.append(state.x))
    values = [objective.at(x).value for x in seen]
    np.testing.assert_allclose(values, result.history["objective"][1:], rtol=1e-12)
    np.testing.assert_allclose(objective.at(result.x).value, result.fun, rtol=1e-12)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SquaredLoss(), SoftmaxCrossEntropy(3)], ids=repr)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_penalty_bounds_what_is_left(loss, fit_intercept, rng):
    """At points near and far from the optimum, from uncentred columns of several units."""
    objective, _ = model(loss, rng, fit_intercept=fit_intercept)
    best = minimize(objective, objective.start(), tol=1e-10)
    units = 1 / np.append(objective.column_sizes, np.ones(int(fit_intercept))).repeat(loss.n_outputs)
    for size in (1e-4, 1e-2, 0.1, 1.0):
        here = objective.at(best.x + size * rng.normal(size=best.x.size) * units)
        bound = objective.penalty_bound(here)
        slope = bound.slope(here.gradient)
        decrement = (
            here.gradient @ np.linalg.pinv(here.hessian_matrix(), rtol=1e-12, hermitian=True) @ here.gradient / 2
        )
        assert bound.proven(slope) >= decrement * (1 - 1e-6)
        assert bound.proven(slope) >= here.value - best.fun or bound.move(slope) > 0.1
        assert bound.passes == 0.5 * fit_intercept
    # where the penalty holds not every coefficient it bounds nothing
    free = GLMObjective(objective.rows.X, objective.rows.y, loss, penalty=[[0.1], [0.0], [0.1]])
    assert free.penalty_bound(free.at(free.start())) is None
