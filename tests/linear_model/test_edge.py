"""Optima on the edge of the domain of an identity link: rows with y = 0 whose best mean is 0."""

from functools import cache

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize as scipy_minimize

from sk_hessian import inspection
from sk_hessian.linear_model import TweedieRegressor
from sk_hessian.objectives import Blocks, GLMObjective, TweedieLoss, explained
from sk_hessian.solvers import LBFGS, Newton
from tests.estimators import assert_refused, convergence_warnings

SOLVERS = ["auto", "newton", "lbfgs", "sgd", "momentum", "clip"]
TEXTBOOK = [Newton(precondition=None), LBFGS(precondition=None)]
every_solver = pytest.mark.parametrize("solver", SOLVERS)

#: name -> X, y and the slope and intercept of the optimum of power 1 and of power 1.5
KNOWN = {
    "line": ([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0], 1.0, 0.0),
    "groups": ([[0.0]] * 3 + [[1.0]] * 3, [0.0, 0.0, 0.0, 1.0, 2.0, 3.0], 2.0, 0.0),
    "falling": ([[2.0], [1.0], [0.0]], [0.0, 1.0, 2.0], -1.0, 2.0),
    "far units": ([[0.0], [1e6], [2e6]], [0.0, 1e-3, 2e-3], 1e-9, 0.0),
    "zeros": ([[0.0], [1.0], [2.0]], [0.0, 0.0, 0.0], 0.0, 0.0),
}


def identity(power=1, **options):
    return TweedieRegressor(power=power, link="identity", **{"alpha": 0, "random_state": 0, **options})


def counts(seed, n_columns=3, n_rows=40):
    """Counts whose best means are 0 on some rows, weights and an offset."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n_rows, n_columns)) ** 2
    y = rng.poisson(2 * np.maximum(X @ [2.0, -1.5, 0.3] - 0.1, 0)).astype(float)
    return X * [1.0, 1e3, 1e-2], y, rng.integers(1, 4, size=n_rows).astype(float), rng.uniform(0, 0.1, size=n_rows)


@cache
def least_value(power, seed, alpha):
    """The least value that SLSQP finds for `counts` under the constraints."""
    X, y, weight, offset = counts(seed)
    unit = np.abs(X).max(axis=0)

    def raw(t):
        return X @ (t[:-1] / unit) + t[-1] + offset

    def value(t):
        loss = TweedieLoss(power, "identity").value(y, np.maximum(raw(t), 1e-100)[:, None])
        return weight @ loss / weight.sum() + alpha / 2 * np.sum((t[:-1] / unit) ** 2)

    inside = np.append(np.zeros(X.shape[1]), y.mean())
    found = scipy_minimize(
        value,
        inside,
        method="SLSQP",
        constraints=[{"type": "ineq", "fun": lambda t: raw(t) - 1e-9 * (y > 0)}],
        options={"maxiter": 500, "ftol": 1e-14},
    )
    # where SLSQP gives up beyond an edge, as with an infinite slope there, what counts is the way back to it
    beyond = np.maximum(-raw(found.x), 0)
    share = np.max(beyond / (beyond + raw(inside)))
    return found.fun if beyond.max() <= 1e-9 else value((1 - share) * found.x + share * inside)


#: a textbook run has no units of its own for columns: not of 1e6
RUNS = [(name, solver) for name in KNOWN for solver in SOLVERS + TEXTBOOK * (name != "far units")]


@pytest.mark.parametrize(("name", "solver"), RUNS, ids=str)
@pytest.mark.parametrize("power", [1, 1.5])
def test_the_edge_is_reached_and_named(power, name, solver):
    X, y, slope, intercept = KNOWN[name]
    model = identity(power, solver=solver).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.coef_[0] == pytest.approx(slope, rel=1e-12)
    assert model.intercept_ == pytest.approx(intercept, abs=1e-12 * max(y))
    assert "on the edge of the domain" in model.convergence_.message
    rows = "rows 0, 1, 2" if np.sum(np.equal(y, 0)) == 3 else "row 0"
    assert f"the best mean of {rows}, where y = 0, is 0" in model.convergence_.message
    assert ("others, perhaps lower, may exist" in model.convergence_.message) == (power != 1)
    assert model.predict(X).min() >= 0
    assert np.isfinite(model.score(X, y))
    assert model.history_["objective"][-1] == model.convergence_.objective
    assert model.n_iter_ == model.history_["iteration"][-1]
    assert model.n_iter_ < (300 if solver in TEXTBOOK else 50)


@every_solver
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
@pytest.mark.parametrize("alpha", [0, 1e-3])
def test_power_one_agrees_with_constrained_programming(alpha, container, solver):
    X, y, weight, offset = counts(0)
    row_data = {"sample_weight": weight, "offset": offset}
    model = identity(alpha=alpha, solver=solver).fit(container(X), y, **row_data)
    verdict = model.convergence_
    assert verdict.status == "optimal"
    assert "on the edge" in verdict.message
    best = least_value(1, 0, alpha)
    assert verdict.objective <= best + 1e-7 * verdict.scale
    assert model.predict(container(X), offset=offset).min() >= 0
    objective = GLMObjective(X, y, TweedieLoss(1, "identity"), sample_weight=weight, offset=offset, penalty=alpha)
    theta = objective.pack(model.coef_[:, None], model.intercept_)
    assert objective.value_and_gradient(theta)[0] == pytest.approx(verdict.objective, rel=1e-12)


@pytest.mark.parametrize("alpha", [0, 1e-3])
@pytest.mark.parametrize("seed", range(4))
def test_the_multipliers_of_power_one_are_not_negative(seed, alpha):
    """Karush, Kuhn and Tucker: the gradient is a combination of the active rows with no negative share."""
    X, y, weight, _ = counts(seed)
    model = identity(alpha=alpha, tol=1e-7).fit(X, y, sample_weight=weight)
    mean, share, Z = model.predict(X), weight / weight.sum(), np.column_stack([X, np.ones(len(X))])
    active = (y == 0) & (mean < 1e-12)
    assert active.any()
    gradient = Z.T @ (share * (1 - y / mean)) + np.append(alpha * model.coef_, 0)
    unit = np.abs(Z).max(axis=0)
    multipliers, *_ = np.linalg.lstsq((Z[active] / unit).T, gradient / unit, rcond=None)
    np.testing.assert_allclose(Z[active].T @ multipliers / unit, gradient / unit, atol=1e-6)
    assert multipliers.min() >= -1e-6


@every_solver
@pytest.mark.parametrize("power", [1.05, 1.5, 1.9])
def test_between_one_and_two_no_edge_is_better_than_the_answer(power, solver):
    X, y, weight, offset = counts(2)
    model = identity(power, solver=solver).fit(X, y, sample_weight=weight, offset=offset)
    verdict = model.convergence_
    assert verdict.status == "optimal"
    assert verdict.objective <= least_value(power, 2, 0) + 1e-7 * verdict.scale


def test_an_interior_minimum_is_left_for_a_lower_edge_and_kept_where_that_is_higher():
    loss = TweedieLoss(1.5, "identity")
    for zero_weight in (1.0, 0.01):
        X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 2.0])
        weight = np.array([zero_weight, 1.0, 1.0])
        model = identity(1.5).fit(X, y, sample_weight=weight)
        assert "on the edge" in model.convergence_.message
    # here the line through the origin fits badly, and a constant well
    y = np.array([0.0, 9.0, 9.0, 9.0, 9.0, 9.5, 8.5])
    X = np.array([[0.0], [0.1], [0.1], [0.1], [5.0], [5.0], [5.0]])
    model = identity(1.5).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert "on the edge" not in model.convergence_.message
    slopes = np.linspace(-1, 90, 2000)
    raw = np.maximum(X[:, 0] * slopes[:, None], 1e-12)
    edges = [loss.value(y, row[:, None]).mean() for row in raw]
    assert model.convergence_.objective < min(edges)


@pytest.mark.parametrize("power", [1, 1.5])
def test_other_ways_to_the_edge(power):
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 2.0])
    for model in (
        identity(power).fit(X.astype(np.float32), y),
        identity(power).fit(Blocks([(X, y), (X, y)])),
        identity(power, warm_start=True).fit(X, y).fit(X, y),
        identity(power, alpha=1e-12).fit(np.column_stack([X, 2 * X, np.ones(3)]), y),
        identity(power, tol=1e-8).fit(np.vstack([X, [[7.0]]]), np.append(y, 1.0), sample_weight=[1, 1, 1, 0]),
        identity(power, fit_intercept=False, tol=1e-8).fit(X, y),
    ):
        assert model.convergence_.status == "optimal"
        predicted = model.predict(X if model.n_features_in_ == 1 else np.column_stack([X, 2 * X, np.ones(3)]))
        np.testing.assert_allclose(predicted, y, atol=1e-6)
        assert (predicted >= 0).all()


def test_dependent_columns_at_the_edge_have_the_least_norm():
    X = np.array([[0.0], [1.0], [2.0]])
    model, _ = convergence_warnings(lambda: identity().fit(np.column_stack([X, 2 * X]), X[:, 0]))
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coef_, [0.2, 0.4], rtol=1e-9)


@pytest.mark.parametrize("power", [1, 1.5])
def test_scores_take_the_limit_at_mean_zero(power):
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 2.0])
    model = identity(power).fit(X, y)
    assert model.score(X, y) == pytest.approx(1.0, abs=1e-12)
    assert model.score(X, [0.0, 1.0, 2.5]) == pytest.approx(
        explained(TweedieLoss(power, "identity"), np.array([0.0, 1.0, 2.5]), X, np.ones(3)), rel=1e-9
    )
    assert model.score(X, [1.0, 1.0, 2.0]) < -100
    assert explained(TweedieLoss(power, "identity"), np.array([1.0, 1.0, 2.0]), X, np.ones(3)) == -np.inf
    # coefficients that were rounded to float32 miss the edge by as much
    model.intercept_ = -3e-8
    assert model.score(X, y) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("power", [1, 1.3])
def test_the_loss_on_the_edge(power):
    loss = TweedieLoss(power, "identity")
    value, gradient = loss.value_and_gradient(np.array([0.0, 1.0, 0.0]), np.array([[0.0], [0.0], [-1e-9]]))
    np.testing.assert_array_equal(value, [0.0, np.inf, np.inf])
    assert gradient[0, 0] == (power == 1)
    for kind in ("observed", "expected"):
        assert np.isfinite(loss.hessian(np.zeros(1), np.zeros((1, 1)), kind)).all()
    np.testing.assert_array_equal(loss.family.pearson(np.zeros(1), np.zeros((1, 1))), [[0.0]])
    for other in (TweedieLoss(power, "log"), TweedieLoss(2, "identity"), TweedieLoss(0, "identity")):
        assert not other.may_be_on_edge(np.zeros(3)).any()


@pytest.mark.parametrize("name", ["coef_table", "influence", "leave_one_out", "profile_intervals", "stationary_point"])
def test_what_needs_an_interior_optimum_says_so(name):
    X, y, weight, _ = counts(0)
    model = identity().fit(X, y, sample_weight=weight)
    with pytest.raises(ValueError, match=rf"^{name} needs a point inside the domain of the loss"):
        getattr(inspection, name)(model, X, y, sample_weight=weight)


def test_a_path_of_penalties_that_meets_the_edge_says_so():
    X, y, _, _ = counts(0)
    model, message = identity(alpha=1e-3).fit(X, y), r"^leave_one_out needs a point inside the domain of the loss"
    assert_refused(message, inspection.leave_one_out_path, model, X, y, alphas=[1e-4, 1e-3])


def test_inside_the_domain_inspection_and_passes_are_as_before(rng):
    """Rows with y = 0 whose means are positive cost nothing."""
    X = rng.uniform(size=(300, 2))
    y = rng.poisson(0.5 + X @ [2.0, 1.0]).astype(float)
    assert (y == 0).any()
    for solver, most in (("newton", 18), ("lbfgs", 30)):
        model = identity(solver=solver).fit(X, y)
        assert model.convergence_.status == "optimal"
        assert model.convergence_.passes <= most
        assert "edge" not in model.convergence_.message
    inspection.coef_table(model, X, y)


def test_many_rows_on_the_edge():
    rng = np.random.default_rng(3)
    X = rng.integers(0, 2, size=(20_000, 5)).astype(float)
    mean = X @ [1.0, 0.0, 2.0, 0.5, 0.0]
    y = rng.poisson(mean).astype(float)
    model = identity().fit(X, y)
    assert model.convergence_.status == "optimal"
    assert "more, where y = 0, is 0" in model.convergence_.message
    np.testing.assert_allclose(model.predict(X)[mean == 0], 0, atol=1e-12)
    assert model.convergence_.passes < 200


def test_a_row_of_zeros_without_an_intercept_still_needs_a_positive_mean_where_y_is_positive():
    assert_refused("needs a positive mean", identity(fit_intercept=False).fit, [[0.0], [1.0]], [1.0, 1.0])
