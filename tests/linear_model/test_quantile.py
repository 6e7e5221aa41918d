"""Quantile regression: the optimum of the linear program, proved by the duality gap."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog
from sklearn import linear_model as theirs
from sklearn.datasets import load_diabetes
from sklearn.metrics import d2_pinball_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_hessian import inspection
from sk_hessian.linear_model import GeneralizedLinearRegressor, QuantileRegressor
from sk_hessian.objectives import L1, Blocks, GLMObjective, MLPObjective, PinballLoss, RestrictedObjective
from sk_hessian.solvers import Newton, minimize
from tests.estimators import assert_refused, convergence_warnings

SOLVERS = ("newton", "lbfgs")


def pinball(residual, quantile, weight=None):
    return np.average(np.maximum(quantile * residual, (quantile - 1) * residual), weights=weight)


def value(model, X, y, weight=None):
    """scikit-learn's objective at the attributes of a fit."""
    return (
        pinball(y - X @ model.coef_ - model.intercept_, model.quantile, weight)
        + model.alpha * np.abs(model.coef_).sum()
    )


def least(X, y, quantile, alpha, weight, fit_intercept):
    """The optimum by a linear program of scipy, columns and y in units of their largest entries."""
    unit, size = np.abs(X).max(axis=0), np.abs(y).max() or 1.0
    unit[unit == 0] = 1.0
    ones = np.ones((len(y), int(fit_intercept)))
    A = np.hstack([X / unit, -X / unit, ones, -ones, np.eye(len(y)), -np.eye(len(y))])
    share = weight / weight.sum()
    cost = np.concatenate(
        [alpha / unit, alpha / unit, np.zeros(2 * ones.shape[1]), quantile * share, (1 - quantile) * share]
    )
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    return linprog(cost, A_eq=A, b_eq=y / size, method="highs", options=tight).fun * size


# -- against scikit-learn and statsmodels ----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_the_objective_of_scikit_learn(solver, alpha, quantile, rng):
    X, y = load_diabetes(return_X_y=True)
    for weight in (None, rng.integers(1, 5, size=len(y)).astype(float)):
        other = theirs.QuantileRegressor(quantile=quantile, alpha=alpha, solver="highs").fit(X, y, weight)
        for rows in (X, sp.csr_array(X), pd.DataFrame(X)):
            ours = QuantileRegressor(quantile=quantile, alpha=alpha, solver=solver).fit(rows, y, weight)
            assert ours.convergence_.status == "optimal"
            assert ours.convergence_.decrement <= 1e-12 * ours.convergence_.objective
            assert value(ours, X, y, weight) == pytest.approx(value(other, X, y, weight), rel=1e-12)
            assert ours.convergence_.objective == pytest.approx(value(ours, X, y, weight), rel=1e-13)


@pytest.mark.parametrize("quantile", [0.25, 0.5])
def test_the_coefficients_of_statsmodels(quantile):
    """Engel's households: Koenker's book has the median regression 81.4822 + 0.5602 income."""
    regression, engel = pytest.importorskip("statsmodels.api"), pytest.importorskip("statsmodels.datasets").engel
    data = engel.load_pandas().data
    X, y = data[["income"]], data["foodexp"]
    ours = QuantileRegressor(quantile=quantile, alpha=0).fit(X, y)
    other = regression.QuantReg(y, regression.add_constant(X)).fit(q=quantile)
    np.testing.assert_allclose([ours.intercept_, *ours.coef_], other.params, rtol=1e-3)
    assert value(ours, X, y) <= pinball(other.resid, quantile) <= value(ours, X, y) * (1 + 1e-6)
    if quantile == 0.5:
        np.testing.assert_allclose([ours.intercept_, *ours.coef_], [81.4822, 0.5602], rtol=1e-4)


# -- proved on hard tables -------------------------------------------------------------------------------------------


def hard_table(seed):
    """A small table, degenerate in one way or another: X, y, and what else a fit takes."""
    rng = np.random.default_rng(seed)
    kind, n, p = seed % 12, int(rng.integers(5, 50)), int(rng.integers(1, 7))
    X = rng.normal(size=(n, p))
    if kind == 1:  # raw units
        X = X * 10.0 ** rng.integers(-4, 5, size=p) + 10.0 ** rng.integers(-3, 4, size=p)
    if kind == 2:  # dependent columns
        X[:, -1] = 2 * X[:, 0] + 1
    if kind == 3:  # few values
        X = rng.integers(0, 3, size=(n, p)).astype(float)
    if kind == 4:  # repeated rows
        X = np.repeat(X, 3, axis=0)[:n]
    if kind == 5:  # more columns than rows
        X = rng.normal(size=(8, 15))
    if kind == 6:
        X[:, 0] = 5.0
    scale = np.abs(X).mean(axis=0)
    y = X @ (rng.normal(size=X.shape[1]) / np.where(scale > 0, scale, 1.0)) + rng.normal(size=len(X))
    if kind == 7:  # two values
        y = (y > np.median(y)).astype(float)
    if kind == 8:  # heavy tails
        y = 100 * rng.standard_cauchy(size=n)
    if kind == 9:
        y = np.full(n, 3.7)
    if kind == 10:  # many ties
        y = np.round(y)
    if kind == 11:  # another unit
        y = y * 10.0 ** rng.integers(-9, 10)
    alpha = float(rng.choice([0.01, 0.1] if kind == 5 else [0.0, 0.0, 1e-4, 0.01, 0.1, 1.0]))
    weight = rng.choice([0.1, 1.0, 2.0], size=len(X)) if seed % 3 == 0 else np.ones(len(X))
    return X, y, float(rng.choice([0.01, 0.25, 0.5, 0.5, 0.9])), alpha, weight, bool(seed % 5)


def objective_of(X, y, quantile, alpha, weight, fit_intercept):
    terms = (L1(alpha),) if alpha else ()
    return GLMObjective(X, y, PinballLoss(quantile), sample_weight=weight, fit_intercept=fit_intercept, terms=terms)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_two_hundred_hard_tables_are_optimal_and_proved(first):
    for seed in range(first, first + 50):
        table = hard_table(seed)
        objective = objective_of(*table)
        found, best = minimize(objective, objective.start(), SOLVERS[seed % 2]), least(*table)
        assert found.status == "optimal", (seed, found.message)
        assert found.fun - best <= found.convergence.decrement + 1e-9 * objective.scale, seed
        assert found.fun - best <= 1e-9 * objective.scale, seed
        assert found.convergence.decrement <= 1e-8 * max(objective.scale, found.fun), seed


@pytest.mark.parametrize("seed", range(48))
def test_the_gap_is_a_bound_anywhere(seed, rng):
    """At no point and for no width is the distance from the optimum larger than the gap."""
    table = hard_table(seed)
    objective = objective_of(*table)
    best, pieces = least(*table), objective.smoothing
    pieces.settle(objective.start())
    size = pieces.spread(objective.at(objective.start())) or 1.0
    for width in (10 * size, size, 0.01 * size):
        theta = minimize(pieces.at(width), objective.start(), "newton", max_iter=5, tol=1e-2).x
        for vertex in pieces.vertices(theta, width, lambda n_near: True):
            assert vertex.value == pytest.approx(objective.at(vertex.theta).value, rel=1e-12)
            assert vertex.value - vertex.gap <= best + 1e-9 * objective.scale + vertex.rounding


def test_a_large_penalty_leaves_the_quantile_and_no_iteration(rng):
    X, y = rng.normal(size=(101, 3)), rng.normal(size=101)
    model = QuantileRegressor(quantile=0.25).fit(X, y)
    np.testing.assert_array_equal(model.coef_, 0)
    assert model.intercept_ == np.sort(y)[25]
    assert model.n_iter_ == 1
    assert model.convergence_.passes <= 10


def test_zero_coefficients_are_exactly_zero(rng):
    X = rng.normal(size=(300, 20))
    model = QuantileRegressor(alpha=0.1).fit(X, 2 * X[:, 3] + 0.5 * rng.normal(size=300))
    assert np.flatnonzero(model.coef_).tolist() == [3]


def test_dependent_columns_have_least_norm_and_a_name(rng):
    X = rng.normal(size=(80, 3))
    X[:, 2] = X[:, 0] + 1
    y = X @ [1.0, 1.0, 1.0] + rng.normal(size=80)
    model, said = convergence_warnings(lambda: QuantileRegressor(alpha=0).fit(X, y))
    assert model.convergence_.status == "optimal"
    assert model.convergence_.flat_directions == ("x2 = x0 + 1",)
    assert "do not determine every coefficient" in said[0]
    assert model.coef_[0] == pytest.approx(model.coef_[2], rel=1e-9)
    assert pinball(y - model.predict(X), 0.5) == pytest.approx(least(X, y, 0.5, 0.0, np.ones(80), True), rel=1e-9)


def test_work_does_not_grow_with_the_digits(rng):
    """Smooth objectives of eight widths or so, not a hundred: passes are counted."""
    X = rng.normal(size=(2000, 30))
    y = X @ rng.normal(size=30) + rng.standard_t(3, size=2000)
    passes = [
        QuantileRegressor(alpha=alpha, tol=tol).fit(X, y).convergence_.passes
        for alpha in (0, 0.01)
        for tol in (1e-3, 1e-9)
    ]
    assert max(passes) <= 400


# -- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_too_few_iterations_say_how_much_is_left(solver, rng):
    X = rng.normal(size=(500, 5))
    y = X @ rng.normal(size=5) + rng.normal(size=500)
    best = QuantileRegressor(alpha=0).fit(X, y).convergence_.objective
    model, said = convergence_warnings(lambda: QuantileRegressor(alpha=0, solver=solver, max_iter=3).fit(X, y))
    assert model.convergence_.status == "max_iter"
    assert "the duality gap leaves at most" in said[0]
    assert "larger max_iter" in said[0]
    assert 0 <= value(model, X, y) - best <= model.convergence_.decrement


def test_a_callback_stops_all_widths(rng):
    X = rng.normal(size=(500, 5))
    y = X @ rng.normal(size=5) + rng.normal(size=500)
    seen = []
    objective = objective_of(X, y, 0.5, 0.0, np.ones(500), True)

    def callback(state):
        seen.append((state.iteration, state.record["iteration"]))
        return state.iteration == 7

    found = minimize(objective, objective.start(), "newton", callback=callback)
    assert found.status == "stopped"
    assert seen == [(i, i) for i in range(1, 8)]
    np.testing.assert_array_equal(found.history["iteration"], np.arange(8))
    assert found.nit == 7


def test_a_warm_start_is_proved_without_an_iteration(rng):
    X = rng.normal(size=(200, 4))
    y = X @ rng.normal(size=4) + rng.normal(size=200)
    model = QuantileRegressor(alpha=1e-3, warm_start=True).fit(X, y)
    before = model.coef_
    assert model.fit(X, y).n_iter_ == 1
    np.testing.assert_allclose(model.coef_, before, rtol=1e-12)
    assert_refused("warm_start=True: the former coef_", model.set_params(quantile=[0.1, 0.9]).fit, X, y)


# -- several quantiles -----------------------------------------------------------------------------------------------


QUANTILES = [0.9, 0.1, 0.5]


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(40, 3))
    return X, X[:, 0] + rng.normal(size=40)


def spread(rng, n=150):
    X = rng.uniform(0, 10, size=(n, 2))
    return X, X[:, 0] * (1 + 0.4 * rng.normal(size=n)) + 0.1 * X[:, 1]


def test_several_quantiles_are_fits_of_each(rng):
    X, y = spread(rng)
    offset = rng.normal(size=len(y))
    model = QuantileRegressor(quantile=QUANTILES, alpha=0.01).fit(X, y, offset=offset)
    each = [QuantileRegressor(quantile=q, alpha=0.01).fit(X, y, offset=offset) for q in QUANTILES]
    assert model.coef_.shape == (3, 2)
    np.testing.assert_array_equal(model.coef_, [one.coef_ for one in each])
    np.testing.assert_array_equal(model.intercept_, [one.intercept_ for one in each])
    np.testing.assert_allclose(
        model.predict(X, offset), np.column_stack([one.predict(X, offset) for one in each]), rtol=1e-14
    )
    assert model.score(X, y, offset=offset) == pytest.approx(np.mean([one.score(X, y, offset=offset) for one in each]))
    assert model.n_iter_ == sum(one.n_iter_ for one in each)
    assert model.convergence_.status == "optimal"
    assert model.convergence_.message.startswith("quantile 0.")
    assert model.convergence_.passes == sum(one.convergence_.passes for one in each)
    assert list(dict.fromkeys(model.history_["quantile"])) == QUANTILES
    assert {len(column) for column in model.history_.values()} == {sum(len(o.history_["epoch"]) for o in each)}
    np.testing.assert_array_equal(model.set_params(warm_start=True).fit(X, y, offset=offset).n_iter_, 3)


def test_the_worst_verdict_is_that_of_all(rng):
    X, y = spread(rng)
    model, said = convergence_warnings(lambda: QuantileRegressor(quantile=[0.1, 0.5], alpha=0, max_iter=4).fit(X, y))
    assert model.convergence_.status == "max_iter"
    assert len(said) == 1
    assert said[0].startswith("QuantileRegressor: quantile 0.")


def test_sorted_predictions_do_not_cross(rng):
    X, y = spread(rng)
    plain = QuantileRegressor(quantile=QUANTILES, alpha=0).fit(X, y)
    there = np.array([[-5.0, 0.0], [5.0, 5.0]])
    assert (plain.predict(there)[0, 0] < plain.predict(there)[0, 1]).all()
    model = QuantileRegressor(quantile=QUANTILES, alpha=0, crossing="sort").fit(X, y)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    predicted = model.predict(there)
    assert (np.diff(predicted[:, np.argsort(QUANTILES)], axis=1) >= 0).all()
    np.testing.assert_array_equal(np.sort(predicted, axis=1), np.sort(plain.predict(there), axis=1))
    assert model.score(X, y) >= plain.score(X, y)


def test_the_share_of_rows_below_is_the_quantile(rng):
    X = rng.normal(size=(1000, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.gamma(2.0, size=1000)
    predicted = QuantileRegressor(quantile=[0.1, 0.5, 0.9], alpha=0).fit(X, y).predict(X)
    below = (y[:, None] < predicted - 1e-9).sum(axis=0)
    at = (np.abs(y[:, None] - predicted) <= 1e-9).sum(axis=0)
    for less, same, quantile in zip(below, at, (0.1, 0.5, 0.9), strict=True):
        assert same == 4
        assert less <= 1000 * quantile <= less + same


# -- inside scikit-learn's tools, scores -----------------------------------------------------------------------------


def test_the_score_is_d2_of_the_pinball_loss(rng):
    X, y = spread(rng, 201)
    weight = np.ones(201)
    for quantile in (0.5, 0.25):
        model = QuantileRegressor(quantile=quantile, alpha=0.01).fit(X, y)
        null = pinball(y - np.quantile(y, quantile, method="inverted_cdf"), quantile)
        assert model.score(X, y) == pytest.approx(1 - pinball(y - model.predict(X), quantile) / null, rel=1e-12)
        assert model.score(X, y, weight) == pytest.approx(model.score(X, y), rel=1e-12)
    assert QuantileRegressor(alpha=0.01).fit(X, y).score(X, y) == pytest.approx(
        d2_pinball_score(y, QuantileRegressor(alpha=0.01).fit(X, y).predict(X)), rel=1e-12
    )


def test_in_a_pipeline_and_with_zero_weights(rng):
    X, y = spread(rng)
    frame, weight = pd.DataFrame(X, columns=["a", "b"]), np.ones(150)
    weight[100:] = 0
    model = make_pipeline(StandardScaler(), QuantileRegressor(alpha=0))
    model.fit(frame, y, quantileregressor__sample_weight=weight)
    other = QuantileRegressor(alpha=0).fit(X[:100], y[:100])
    np.testing.assert_allclose(model.predict(frame), other.predict(X), rtol=1e-9)


def test_categories_are_dummies_of_all_levels_but_the_first(rng):
    frame = pd.DataFrame({"a": rng.normal(size=200), "site": pd.Categorical(rng.choice(list("xyz"), 200))})
    y = frame["a"] + (frame["site"] == "x") + rng.normal(size=200)
    for alpha in (0.0, 0.01):
        model = QuantileRegressor(quantile=[0.3, 0.6], alpha=alpha).fit(frame, y)
        dummies = pd.get_dummies(frame, drop_first=True, dtype=float)
        other = QuantileRegressor(quantile=[0.3, 0.6], alpha=alpha).fit(dummies, y)
        assert model.convergence_.objective == pytest.approx(other.convergence_.objective, rel=1e-12)
        np.testing.assert_allclose(model.predict(frame), other.predict(dummies), rtol=1e-9)
        assert list(model.coef_names_) == ["a", "site[y]", "site[z]"]


# -- bad input -------------------------------------------------------------------------------------------------------

BAD = {
    "zero": ({"quantile": 0}, ValueError, "quantile must be above 0 and below 1, got 0"),
    "one": ({"quantile": [0.5, 1.0]}, ValueError, "quantile must be above 0 and below 1, got 1.0"),
    "nan": ({"quantile": np.nan}, ValueError, "quantile must be above 0 and below 1, got nan"),
    "empty": ({"quantile": []}, ValueError, "not empty"),
    "2-D": ({"quantile": [[0.5]]}, ValueError, "a number or a list of numbers"),
    "text": ({"quantile": "median"}, TypeError, "quantile must be a number"),
    "bool": ({"quantile": True}, TypeError, "quantile must be a number"),
    "alpha": ({"alpha": -1}, ValueError, "alpha must be a number >= 0"),
    "crossing": ({"crossing": "no"}, ValueError, r"crossing must be one of \('keep', 'sort'\)"),
    "highs": ({"solver": "highs"}, ValueError, "for scikit-learn's 'highs' use \"newton\""),
    "unknown": ({"solver": "simplex"}, ValueError, "solver='simplex' is unknown"),
    "sgd": ({"solver": "sgd"}, ValueError, 'solver=\'sgd\' comes too slowly.*use "newton", "lbfgs" or "auto"'),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parameters_are_named(case, rows):
    options, error, message = BAD[case]
    assert_refused(message, QuantileRegressor(**options).fit, *rows, error=error)


def test_what_is_not_there_says_so(rows):
    X, y = rows
    with pytest.raises(TypeError, match="options of a solver object"):
        QuantileRegressor(solver_options={})
    model = QuantileRegressor(alpha=0, solver=Newton()).fit(X, y)
    assert not hasattr(model, "partial_fit")
    blocks = Blocks(lambda: iter([(X, y)]))
    assert_refused("must be in memory", QuantileRegressor().fit, blocks)
    for function in (inspection.coef_table, inspection.hessian, inspection.laplace, inspection.residuals):
        assert_refused(
            "inspection is made of curvature, and the loss of this QuantileRegressor has none", function, model, X, y
        )
    several = QuantileRegressor(quantile=[0.2, 0.8]).fit(X, y)
    assert_refused("has 2 quantiles, each with an objective of its own", inspection.coef_table, several, X, y)


def test_a_piecewise_linear_loss_elsewhere(rows):
    """Without a penalty any linear model finds its optimum; what needs curvature says what to do."""
    X, y = rows
    linear = GeneralizedLinearRegressor(loss=PinballLoss(0.5), alpha=0)
    np.testing.assert_allclose(linear.fit(X, y).coef_, QuantileRegressor(alpha=0).fit(X, y).coef_, rtol=1e-9)
    assert_refused("goes with an L1 penalty alone", linear.set_params(alpha=1.0).fit, X, y)
    assert_refused("the memory of a stream needs", linear.set_params(alpha=0).partial_fit, X, y)
    assert_refused(
        r"a network needs: give it a width, such as PinballLoss\(0.5, width=0.1\)", MLPObjective, X, y, PinballLoss()
    )
    objective = GLMObjective(X, y, PinballLoss())
    assert_refused("a restriction needs", RestrictedObjective.holding, objective, objective.start(), [0])
    smooth = GeneralizedLinearRegressor(loss=PinballLoss(0.5, width=0.5), alpha=0).fit(X, y)
    assert smooth.convergence_.status == "optimal"
