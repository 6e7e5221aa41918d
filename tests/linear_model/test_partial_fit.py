"""Streams of rows: what `partial_fit` learns batch by batch against a fit on all rows."""

import pickle
import runpy
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from sk_hessian.linear_model import (
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
    _streams,
)
from sk_hessian.objectives import Blocks, GLMObjective, SquaredLoss, StreamObjective, first_memory
from sk_hessian.objectives import stream as stream_module
from sk_hessian.solvers import LBFGS, SGD, Newton
from tests import estimators
from tests.estimators import ALL_SOLVERS, assert_refused, convergence_warnings, target

#: scripts of the same repository
BENCHMARKS = Path(__file__).parents[2] / "examples" / "benchmarks"


def with_theta(models):
    """The overdispersion of a stream of counts is given; thresholds depend on all rows at once."""
    return {
        name: model.set_params(theta=2.0) if hasattr(model, "theta") else model
        for name, model in models.items()
        if name != "OrdinalClassifier"
    }


ESTIMATORS, UNPENALISED = (
    with_theta({name: clone(model) for name, model in of.items()})
    for of in (estimators.ESTIMATORS, estimators.UNPENALISED)
)

#: estimators whose memory is exact
EXACT = {"LinearRegression": LinearRegression(), "Ridge": Ridge(alpha=3.0), "no intercept": Ridge(fit_intercept=False)}

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)


def table(rng, n=600):
    """Raw columns: units from 1e-6 to 1e6, uncentred years, and a large column far from zero."""
    X = rng.normal(size=(n, 5)) * 10.0 ** np.array([-6, 0, 3, 6, 0])
    X[:, 3] += 5e6
    X[:, 4] = 2000 + rng.integers(0, 20, n)
    return X


def drawn(name, rng, n=600):
    """A table, and a target for an estimator of `ESTIMATORS`."""
    X = table(rng, n)
    return X, target(name, X, rng)


def stream(model, X, y, size, sample_weight=None, **options):
    """Learn batch by batch; classifiers get all classes in the first call."""
    for start in range(0, len(y), size):
        part = slice(start, start + size)
        if isinstance(model, LogisticRegression):
            options["classes"] = np.unique(y) if start == 0 else None
        model.partial_fit(
            X[part], y[part], sample_weight=None if sample_weight is None else sample_weight[part], **options
        )
    return model


def linear_predictor(model, X):
    """Shape (n, outputs)."""
    return np.reshape(X @ model.coef_.T + model.intercept_, (X.shape[0], -1))


def distance(model, reference, X):
    """Root mean square difference of linear predictors in standard deviations of the reference's."""
    raw = [linear_predictor(m, X) for m in (model, reference)]
    raw = [r - r.mean(axis=1, keepdims=True) if r.shape[1] > 1 else r for r in raw]
    return np.sqrt(np.mean((raw[0] - raw[1]) ** 2)) / np.std(raw[1])


def excess(model, reference, X, y):
    """How much more of the objective than a fit on all rows, beside what estimating the parameters itself costs."""
    objective, best = reference.fitted_objective(X, y)
    theta = model.fitted_objective(X, y)[1]
    values = [objective.value_and_gradient(at)[0] for at in (theta, best)]
    return (values[0] - values[1]) * len(y) / (theta.size / 2)


# -- least squares: exact ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 600])
@pytest.mark.parametrize("name", EXACT)
@every_solver
def test_least_squares_equals_the_fit_on_all_rows(name, solver, size, rng):
    n = {1: 60, 7: 140}.get(size, 600)
    X = table(rng, n)
    y = target("Ridge", X, rng) + 100
    reference = clone(EXACT[name]).fit(X, y)
    model = stream(clone(EXACT[name]).set_params(solver=solver, random_state=0), X, y, size)
    np.testing.assert_allclose(model.coef_ * X.std(axis=0), reference.coef_ * X.std(axis=0), atol=1e-8 * y.std())
    np.testing.assert_allclose(model.predict(X), reference.predict(X), atol=1e-8 * y.std())
    assert model.convergence_.status == "optimal"
    assert model.t_ == n


def test_several_targets_with_their_own_penalties(rng):
    X = table(rng)
    Y = np.stack([target("Ridge", X, rng), rng.normal(size=600)], axis=1)
    reference = Ridge(alpha=[0.1, 50.0]).fit(X, Y)
    model = stream(Ridge(alpha=[0.1, 50.0]), X, Y, 50)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-8)
    np.testing.assert_allclose(model.intercept_, reference.intercept_, rtol=1e-8)


@pytest.mark.parametrize("size", [1, 20])
def test_forgetting_is_a_fit_with_fading_weights(size, rng):
    """The penalty does not fade: it stands beside the sum of what is left of the rows."""
    X, factor = table(rng, 200), 0.95
    y = target("Ridge", X, rng)
    weight = rng.uniform(0.5, 2, 200)
    age = (199 - np.arange(200)) // size
    reference = Ridge(alpha=2.0).fit(X, y, sample_weight=weight * factor**age)
    model = stream(Ridge(alpha=2.0), X, y, size, sample_weight=weight, forgetting=factor)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-6)


def test_weights_count_like_rows(rng):
    X, weight = table(rng, 100), rng.integers(0, 3, 100)
    weight[40:50] = [0, 1] * 5
    y = target("Ridge", X, rng)
    reference = LinearRegression().fit(X.repeat(weight, axis=0), y.repeat(weight))
    model = stream(LinearRegression(), X, y, 10, sample_weight=weight)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-8)
    assert model.t_ == (weight > 0).sum()


def test_penalty_weights_and_a_penalty_that_changes(rng):
    """The penalty is no part of the memory: the one that holds is that of the latest call."""
    X, y = drawn("Ridge", rng)
    weights = [0, 1, 2, 0, 3]
    model = stream(Ridge(alpha=100.0, penalty_weights=weights), X[:500], y[:500], 100)
    model.set_params(alpha=1.0).partial_fit(X[500:], y[500:])
    np.testing.assert_allclose(model.coef_, Ridge(alpha=1.0, penalty_weights=weights).fit(X, y).coef_, rtol=1e-8)


@pytest.mark.parametrize("first", [0.0, 2013.0, 1e6])
def test_columns_that_are_constant_at_first(first, rng):
    X = table(rng)
    X[:300, 1] = first
    X[300:, 1] = first + 1e-3 * rng.normal(size=300)
    y = target("Ridge", X[:, [0, 2]], rng) + 500 * (X[:, 1] - first)
    model, reference = stream(LinearRegression(), X, y, 30), LinearRegression().fit(X, y)
    # 1e6 + 1e-3 N(0, 1) has 1e-7 of its deviations as rounding errors; the sums of a stream leave up to ten of these
    assert distance(model, reference, X) < 2e-6
    np.testing.assert_allclose(model.coef_[1], reference.coef_[1], rtol=1e-4)


def test_a_column_of_zeros_keeps_a_coefficient_of_zero(rng):
    X = table(rng)
    X[:, 2] = 0
    model = stream(LinearRegression(), X, target("Ridge", X, rng), 50)
    assert model.coef_[2] == 0


@pytest.mark.parametrize(("model", "most"), [(LinearRegression(), 1e-8), (PoissonRegressor(alpha=0), 0.05)])
def test_collinear_columns_predict_as_well_as_the_fit(model, most, rng):
    X = table(rng)
    X = np.hstack([X, X[:, [0]] * 1e6 - X[:, [1]], X[:, [4]] + 3])
    y = target("Ridge", X, rng)
    y = np.round(np.exp(y - 3)) if isinstance(model, PoissonRegressor) else y
    reference, _ = convergence_warnings(lambda: clone(model).fit(X, y))
    assert distance(stream(clone(model), X, y, 60), reference, X) < most


def test_float32_and_sparse_rows(rng):
    X = rng.normal(size=(300, 6)) * (rng.random((300, 6)) < 0.4)
    y = target("Ridge", X, rng)
    reference = Ridge().fit(X, y)
    np.testing.assert_allclose(stream(Ridge(), sparse.csr_array(X), y, 30).coef_, reference.coef_, rtol=1e-8)
    np.testing.assert_allclose(stream(Ridge(), X.astype(np.float32), y, 30).coef_, reference.coef_, rtol=1e-4)


def test_blocks_are_a_batch(rng):
    X, y = drawn("Ridge", rng)
    model = LinearRegression()
    for part in (slice(0, 300), slice(300, 600)):
        model.partial_fit(Blocks([(X[part][:100], y[part][:100]), (X[part][100:], y[part][100:])]))
    np.testing.assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=1e-8)


# -- other losses: near, and never away -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in ("LinearRegression", "Ridge")])
@every_solver
def test_a_pass_by_batches_comes_near_to_the_fit(name, solver, rng):
    X, y = drawn(name, rng, 1200)
    model = stream(clone(ESTIMATORS[name]).set_params(solver=solver, random_state=0), X, y, 100)
    assert excess(model, clone(ESTIMATORS[name]).fit(X, y), X, y) < 0.02
    assert model.convergence_.status == "optimal"


@pytest.mark.parametrize("name", ["softmax", "HuberRegressor", "PoissonRegressor", "TweedieRegressor-identity"])
def test_one_row_at_a_time_settles(name, rng):
    """Also where the first rows are fitted perfectly, and no curvature is left of them."""
    X, y = drawn(name, rng, 200)
    reference = clone(ESTIMATORS[name]).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = clone(ESTIMATORS[name])
        if name == "HuberRegressor":
            X, y = np.roll(X, -2, axis=0), np.roll(y, -2)
            model.partial_fit(X[-2:], y[-2:])
            X, y = X[:-2], y[:-2]
        stream(model, X, y, 1)
    assert excess(model, reference, X, y) < 1


def test_one_row_at_a_time_without_a_penalty(rng):
    """Every single row is separable; together they are not."""
    X, y = drawn("LogisticRegression", rng, 500)
    reference = LogisticRegression(C=np.inf).fit(X, y)
    model, _ = convergence_warnings(lambda: stream(LogisticRegression(C=np.inf), X, y, 1))
    assert log_loss(y, model.predict_proba(X)) < log_loss(y, reference.predict_proba(X)) + 0.1


def test_a_separated_first_batch_says_so_and_is_left_behind(rng):
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] + rng.logistic(size=400) > 0).astype(int)
    order = np.r_[np.flatnonzero((X[:, 0] > 0) == (y == 1))[:40], np.arange(400)]
    model = LogisticRegression(C=np.inf)
    with pytest.warns(ConvergenceWarning, match="separat"):
        model.partial_fit(X[order[:40]], y[order[:40]], classes=[0, 1])
    assert model.convergence_.status == "separated"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for start in range(40, len(order), 40):
            model.partial_fit(X[order[start : start + 40]], y[order[start : start + 40]])
    reference = LogisticRegression(C=np.inf).fit(X[order], y[order])
    losses = [log_loss(y[order], m.predict_proba(X[order])) for m in (model, reference)]
    assert losses[0] < losses[1] + 0.02


def test_a_class_that_comes_late(rng):
    X = rng.normal(size=(2000, 3))
    y = np.argmax(X + rng.gumbel(size=(2000, 3)), axis=1)
    order = np.argsort(y == 2, kind="stable")
    late = order[1000:][np.random.default_rng(0).permutation(1000)]
    X, y = X[np.r_[order[:1000], late]], y[np.r_[order[:1000], late]]
    model, _ = convergence_warnings(lambda: stream(LogisticRegression(C=np.inf), X, y, 50))
    reference = LogisticRegression(C=np.inf).fit(X, y)
    losses = [log_loss(y, m.predict_proba(X)) for m in (model, reference)]
    assert losses[0] < losses[1] + 1e-3
    shares = [m.predict_proba(X[1000:])[:, 2].mean() for m in (model, reference)]
    assert abs(shares[0] - shares[1]) < 0.01


def test_new_rows_outside_the_domain_of_the_old_coefficients(rng):
    """With an identity link a line through the first rows is negative at the second's."""
    X = np.r_[np.linspace(5, 6, 50), np.linspace(0, 1, 50)][:, None]
    y = np.r_[10 * (X[:50, 0] - 4.5) + rng.random(50), np.full(50, 1.0) + rng.random(50)]
    model = TweedieRegressor(power=1, link="identity", alpha=0).partial_fit(X[:50], y[:50])
    assert (model.predict(X[50:]) < 0).any()
    model.partial_fit(X[50:], y[50:])
    assert (model.predict(X[50:]) > 0).all()


def test_rows_whose_means_overflow_at_the_old_coefficients(rng):
    x = np.r_[rng.normal(size=100), 1e4 + rng.normal(size=50)][:, None]
    model = PoissonRegressor(alpha=0).partial_fit(x[:100], rng.poisson(np.exp(x[:100, 0])).astype(float))
    model.partial_fit(x[100:], rng.poisson(5.0, 50).astype(float))
    assert np.isfinite(model.predict(x[100:])).all()
    assert abs(np.log(model.predict(x[100:]).mean() / 5)) < 1


def test_offsets_are_part_of_the_rows(rng):
    X, exposure = rng.normal(size=(600, 2)), rng.uniform(0.1, 10, 600)
    y = rng.poisson(exposure * np.exp(1 + 0.3 * X[:, 0])).astype(float)
    reference = PoissonRegressor(alpha=0).fit(X, y, offset=np.log(exposure))
    model = PoissonRegressor(alpha=0)
    for start in range(0, 600, 100):
        part = slice(start, start + 100)
        model.partial_fit(X[part], y[part], offset=np.log(exposure[part]))
    np.testing.assert_allclose(model.coef_, reference.coef_, atol=0.01)
    assert model.has_offset_


# -- the latest rows, as they came, and the quadratic of the others ---------------------------------------------------


@pytest.fixture
def few_kept(monkeypatch):
    """So few rows are kept, and are witnesses, that short streams have many others."""
    monkeypatch.setattr(stream_module, "_KEPT_ROWS", 140)
    monkeypatch.setattr(stream_module, "_WITNESSES", 140)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_early_batches_that_are_separated_are_left_behind(size):
    """Two rows of counts may have their optimum at infinity, where the curvature is exp(190) or none."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 6))
    y = np.random.default_rng(2).poisson(np.exp(0.3 * X[:, 0] + 0.5))
    model, told = convergence_warnings(lambda: stream(PoissonRegressor(alpha=0), X, y, size))
    reference = PoissonRegressor(alpha=0).fit(X, y)
    assert abs(model.score(X, y) - reference.score(X, y)) < 1e-6
    assert model.convergence_.status == "optimal"
    assert len(told) < 10


def test_the_smallest_stream_of_counts():
    X, y = np.array([[0.3], [0.2], [-1.7], [-0.2]]), np.array([0.0, 2.0, 1.0, 1.0])
    with pytest.warns(ConvergenceWarning, match="separated"):
        model = PoissonRegressor(alpha=0).partial_fit(X[:2], y[:2])
    model.partial_fit(X[2:], y[2:])
    np.testing.assert_allclose(model.coef_, PoissonRegressor(alpha=0, tol=1e-6).fit(X, y).coef_, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in UNPENALISED if name not in EXACT])
def test_few_rows_are_a_fit_on_all(name, rng):
    """Every loss, be its curvature growing or not: nothing is approximated before rows are many."""
    X = rng.normal(size=(160, 3))
    y = target(name, X, rng)
    model, _ = convergence_warnings(lambda: stream(clone(UNPENALISED[name]).set_params(tol=1e-6), X, y, 16))
    assert model.convergence_.status == "optimal"
    reference = clone(UNPENALISED[name]).set_params(tol=1e-6).fit(X, y)
    # Huber's scale begins with the information of a row for each parameter
    assert distance(model, reference, X) < (0.05 if name == "HuberRegressor" else 1e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_streams_end_near_the_fit_or_say_so(seed, few_kept):
    """A small run of examples/benchmarks/stream_accuracy.py, most rows of it in the quadratic."""
    accuracy = runpy.run_path(str(BENCHMARKS / "stream_accuracy.py"))
    streams = [
        accuracy["run"](loss, (seed + turn) % 2, (10, 20, 30)[turn % 3], seed, order, 300)
        for turn, (loss, order) in enumerate(product(accuracy["LOSSES"], ("shuffled", "by y")))
    ]
    assert not [one for one in streams if one.is_silent and not one.is_near]
    assert np.mean([one.is_near for one in streams]) >= 0.9


def test_a_memory_that_is_wrong_says_so(few_kept, monkeypatch, rng):
    """Without mending, counts that come sorted: the quadratic is that of zeros alone, far from where it is used."""
    monkeypatch.setattr(_streams, "_MOST_MENDINGS", 0)
    X = rng.normal(size=(600, 3))
    y = np.sort(rng.poisson(1.5, 600))
    model, told = convergence_warnings(lambda: stream(PoissonRegressor(alpha=0), X, y, 20))
    assert model.convergence_.status == "stalled"
    assert "remembered by a quadratic" in told[-1]
    assert "random order" in told[-1]


def test_mending_does_not_make_a_diagonal_memory_diverge(few_kept, rng):
    """With more columns than rows that are alike the curvature without correlations is far too small."""
    X = rng.normal(size=(300, 200)) + rng.normal(size=(300, 1))
    y = (X[:, 0] - X[:, 1] + rng.logistic(size=300) > 0).astype(int)
    model, _ = convergence_warnings(
        lambda: stream(LogisticRegression(C=0.1, solver=Newton(precondition="diagonal")), X, y, 30)
    )
    assert np.abs(model.decision_function(X)).max() < 100
    assert model.convergence_.status != "optimal" or log_loss(y, model.predict_proba(X)) < 1


@pytest.mark.parametrize("name", ["softmax", "GammaRegressor", "PoissonRegressor", "NegativeBinomialRegressor-given"])
def test_a_mended_quadratic_has_the_slope_of_the_rows(name, rng):
    """Known answer where all of its rows are witnesses; the error is then half the squared decrement, all of it."""
    X = rng.normal(size=(80, 3)) + [0, 5, -3]
    y = target(name, X, rng)
    free = {"C": np.inf} if name == "softmax" else {"alpha": 0.0}
    model = clone(ESTIMATORS[name]).set_params(**free).fit(X, y)
    (old, centre), (rows, _) = model.fitted_objective(X, y), model.fitted_objective(X[:15], y[:15])
    memory = first_memory(old, True).at(centre, old).with_rows(old, [centre]).witnessed(old, [centre], 80)
    objective = StreamObjective(rows, memory)
    theta = centre + 0.2 * rng.normal(size=centre.size)
    errors = objective.memory_error(theta)
    assert errors[0] > 1e-4
    assert errors[1] == 0
    mended = objective.mended(theta)
    sums = [m.n_rows * m.value_and_gradient(theta)[1] for m in (mended, old, rows)]
    np.testing.assert_allclose(sums[0], sums[1] + sums[2], rtol=1e-6, atol=1e-6 * np.abs(sums[1]).max())
    assert mended.memory_error(theta)[0] < 1e-12


@pytest.mark.parametrize("name", ["PoissonRegressor", "LogisticRegression"])
def test_forgetting_fades_the_rows_that_are_kept(name, rng):
    X = rng.normal(size=(200, 3))
    y = target(name, X, rng)
    weight = 0.95 ** ((199 - np.arange(200)) // 20)
    reference = clone(UNPENALISED[name]).fit(X, y, sample_weight=weight)
    model = stream(clone(UNPENALISED[name]), X, y, 20, forgetting=0.95)
    assert distance(model, reference, X) < 1e-3


def test_forgetting_with_most_rows_in_the_quadratic(few_kept, rng):
    """The slope changes its sign on the way; the witnesses are of what is left."""
    X = rng.normal(size=(2000, 2))
    y = rng.poisson(np.exp(np.where(np.arange(2000) < 1000, 1.0, -1.0) * X[:, 0])).astype(float)
    model, told = convergence_warnings(lambda: stream(PoissonRegressor(alpha=0), X, y, 50, forgetting=0.8))
    assert abs(model.coef_[0] + 1) < 0.2
    assert not [text for text in told[-3:] if "separated" in text]


def test_rows_are_copied(rng):
    X, buffer = rng.normal(size=(100, 3)), np.empty((20, 3))
    y = target("PoissonRegressor", X, rng)
    model = PoissonRegressor(alpha=0)
    for start in range(0, 100, 20):
        buffer[:] = X[start : start + 20]
        model.partial_fit(buffer, y[start : start + 20])
    np.testing.assert_array_equal(model.coef_, stream(PoissonRegressor(alpha=0), X, y, 20).coef_)


def test_kept_rows_of_every_container(rng):
    """Sparse rows, blocks and offsets, one after the other, are rows of one table."""
    X = rng.normal(size=(120, 3)) * (rng.random((120, 3)) < 0.5)
    offset = rng.normal(size=120)
    offset[80:] = 0
    y = rng.poisson(np.exp(1 + 0.5 * X[:, 0] + offset)).astype(float)
    model = PoissonRegressor(alpha=0, tol=1e-6)
    model.partial_fit(X[:40], y[:40], offset=offset[:40])
    model.partial_fit(sparse.csr_array(X[40:80]), y[40:80], offset=offset[40:80])
    model.partial_fit(Blocks([(X[80:90], y[80:90]), (X[90:], y[90:])]))
    reference = PoissonRegressor(alpha=0, tol=1e-6).fit(X, y, offset=offset)
    np.testing.assert_allclose(model.coef_, reference.coef_, atol=1e-4)


# -- memory without correlations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Newton, LBFGS, SGD])
def test_a_diagonal_memory_on_raw_columns(kind, rng):
    """About their means the columns are uncorrelated here; about zero the years would freeze at once."""
    X, y = drawn("LogisticRegression", rng, 2000)
    reference = LogisticRegression().fit(X, y)
    model = stream(LogisticRegression(solver=kind(precondition="diagonal"), random_state=0), X, y, 100)
    assert distance(model, reference, X) < 0.1


def test_many_sparse_columns_need_no_matrix(rng):
    """A few numbers for each of 50,000 columns, not 2.5e9."""
    X = sparse.random_array((300, 50_000), density=2e-4, rng=rng, format="csr")
    y = np.asarray(X.sum(axis=1) > np.median(X.sum(axis=1))).astype(int)
    model = stream(LogisticRegression(), X, y, 100)
    assert len(pickle.dumps(model)) < 50_000 * 8 * 10
    assert model.score(X, y) > 0.9


def test_the_memory_changes_its_shape_with_the_solver(rng):
    X, y = drawn("Ridge", rng)
    model = Ridge(solver=SGD(precondition="diagonal"))
    solvers = ("newton", Newton(precondition="diagonal"), "lbfgs")
    for part, solver in zip((slice(0, 200), slice(200, 400), slice(400, 600)), solvers, strict=True):
        model.set_params(solver=solver).partial_fit(X[part], y[part])
    assert distance(model, Ridge().fit(X, y), X) < 0.1


def test_the_spread_of_a_matrix_is_its_diagonal_about_the_means(rng):
    """Known answer: R'R of rows [x, 1] has the columns' sums of squares about their means, and their means."""
    X = table(rng, 50)
    rows = GLMObjective(X, np.zeros(50), SquaredLoss(1), penalty=0.0)
    memory = first_memory(rows, True)
    exact = StreamObjective(rows, memory).remembered(memory.centre).shaped(False).curvature
    direct = StreamObjective(rows, memory.shaped(False)).remembered(memory.centre).curvature
    for spread in (exact, direct):
        np.testing.assert_allclose(spread.mean[:, 0], X.mean(axis=0), rtol=1e-8)
        np.testing.assert_allclose(spread.squares[:, 0], ((X - X.mean(axis=0)) ** 2).sum(axis=0), rtol=1e-6)
        np.testing.assert_allclose(spread.level, 50, rtol=1e-8)


# -- the objective ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_matrix", [True, False])
@pytest.mark.parametrize("name", ["Ridge", "softmax", "GammaRegressor", "HuberRegressor"])
def test_derivatives_of_the_objective(name, is_matrix, rng):
    X = rng.normal(size=(60, 3)) + [0, 5, -3]
    y = target(name, X, rng)
    model = clone(ESTIMATORS[name]).fit(X, y)
    (old, centre), (rows, _) = model.fitted_objective(X, y), model.fitted_objective(X[:15], y[:15])
    memory = first_memory(old, True).at(centre, old).with_rows(old, [centre])
    objective = StreamObjective(rows, memory.shaped(is_matrix))
    theta = centre + 0.1 * rng.normal(size=centre.size)
    h, directions = 1e-6, np.eye(theta.size)
    ends = [[objective.value_and_gradient(theta + s * h * d) for s in (1, -1)] for d in directions]
    _, gradient = objective.value_and_gradient(theta)
    np.testing.assert_allclose([(a[0] - b[0]) / (2 * h) for a, b in ends], gradient, rtol=1e-4, atol=1e-6)
    H = objective.hessian_matrix(theta)
    if name != "HuberRegressor":  # whose second derivative jumps
        np.testing.assert_allclose([(a[1] - b[1]) / (2 * h) for a, b in ends], H, rtol=1e-3, atol=1e-4)
    operator = objective.hessian(theta)
    np.testing.assert_allclose(np.stack([operator @ d for d in directions]), H, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(objective.hessian_diagonal(theta), np.diag(H), rtol=1e-6)


# -- the call ---------------------------------------------------------------------------------------------------------


def test_classes_of_a_fit_serve_a_stream(rng):
    X, y = drawn("softmax", rng, 100)
    model = LogisticRegression().fit(X, y).partial_fit(X[y != "a"], y[y != "a"])
    assert list(model.classes_) == ["a", "b", "c"]


def test_a_fit_and_a_stream_begin_anew(rng):
    X, y = drawn("Ridge", rng)
    model = stream(Ridge(), X[:300], y[:300], 100)
    model.fit(X[300:], y[300:])
    np.testing.assert_array_equal(model.coef_, Ridge().fit(X[300:], y[300:]).coef_)
    assert not hasattr(model, "t_")
    model.partial_fit(X[:300, :3], y[:300])
    np.testing.assert_allclose(model.coef_, Ridge().fit(X[:300, :3], y[:300]).coef_, rtol=1e-8)
    assert model.t_ == 300


def test_attributes_of_a_fit_that_a_stream_does_not_have(rng):
    X, y = drawn("Ridge", rng)
    assert not hasattr(LinearRegression().fit(X, y).partial_fit(X, y), "rank_")
    assert not hasattr(HuberRegressor().fit(X, y).partial_fit(X, y), "outliers_")


def test_clone_forgets_and_pickle_remembers(rng):
    X, y = drawn("LogisticRegression", rng)
    model = stream(LogisticRegression(), X[:300], y[:300], 100)
    copies = pickle.loads(pickle.dumps(model)), model
    for copied in copies:
        copied.partial_fit(X[300:], y[300:])
    np.testing.assert_array_equal(copies[0].coef_, copies[1].coef_)
    fresh = clone(model)
    assert_refused("classes must be given in the first call", fresh.partial_fit, X, y)


BAD = {
    "columns": (lambda X, y: (X[:, :2], y), "X has 2 features"),
    "nan": (lambda X, y: (np.where(X[3, 1] == X, np.nan, X), y), "X contains NaN"),
    "length": (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
    "targets": (lambda X, y: (X, np.stack([y, y], axis=1)), "as many targets as before"),
    "weights": (lambda X, y: (X, y, np.zeros(len(y))), "sample_weight.*at least one non-zero"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_batch_leaves_everything_as_it_was(fault, rng):
    X, y = drawn("Ridge", rng, 100)
    model = stream(Ridge(), X, y, 50)
    before, copied = dict(vars(model)), pickle.dumps(model)
    spoil, message = BAD[fault]
    assert_refused(message, model.partial_fit, *spoil(X, y))
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    assert pickle.dumps(model) == copied


def test_a_stream_of_huber_begins_with_targets_that_differ(rng):
    X = rng.normal(size=(3, 2))
    assert_refused(r"y is constant in the first call.*begin with more rows", HuberRegressor().partial_fit, X[:1], [1.0])
    model = HuberRegressor().partial_fit(X, [1.0, 2.0, 4.0]).partial_fit(X[:1], [1.0])
    assert model.t_ == 4
    assert model.scale_ > 0.1


@pytest.mark.parametrize("forgetting", [0, 1.5, -1, True, "0.9", np.nan])
def test_forgetting_must_be_a_share(forgetting):
    with pytest.raises(ValueError, match="forgetting must be a number above 0 and at most 1"):
        Ridge().partial_fit([[1.0]], [1.0], forgetting=forgetting)


def test_options_that_do_not_fit_a_stream(rng):
    X, y = drawn("LogisticRegression", rng, 50)
    with pytest.raises(ValueError, match='class_weight="balanced" needs all rows'):
        LogisticRegression(class_weight="balanced").partial_fit(X, y, classes=["no", "yes"])
    with pytest.raises(ValueError, match='precondition="kronecker" is not available for partial_fit'):
        LogisticRegression(solver=Newton(precondition="kronecker")).partial_fit(X, y, classes=["no", "yes"])
    model = LogisticRegression().partial_fit(X, y, classes=["no", "yes"])
    assert_refused("fit_intercept must not change", model.set_params(fit_intercept=False).partial_fit, X, y)
    with pytest.raises(ValueError, match="are not those of the former calls"):
        model.set_params(fit_intercept=True).partial_fit(X, y, classes=["a", "b"])
    assert_refused("y has the class 'maybe', which is not among", model.partial_fit, X, np.full(50, "maybe"))


def test_feature_names_must_stay(rng):
    X = pd.DataFrame(table(rng, 60), columns=list("abcde"))
    y = target("Ridge", X.to_numpy(), rng)
    model = Ridge().partial_fit(X, y)
    assert list(model.feature_names_in_) == list("abcde")
    assert_refused("feature names should match", model.partial_fit, X.rename(columns={"a": "z"}), y)


def test_weights_of_classes_that_are_given(rng):
    X, y = drawn("LogisticRegression", rng)
    weights = {"no": 1.0, "yes": 5.0}
    reference = LogisticRegression(class_weight=weights).fit(X, y)
    model = stream(LogisticRegression(class_weight=weights), X, y, 100)
    assert distance(model, reference, X) < 0.1


def test_verbose_prints_the_steps_of_every_batch(rng, capsys):
    X, y = drawn("PoissonRegressor", rng, 100)
    stream(PoissonRegressor(verbose=1), X, y, 50)
    assert capsys.readouterr().out.count("objective") == 2


def test_warm_start_makes_no_difference_to_a_stream(rng):
    X, y = drawn("Ridge", rng, 100)
    np.testing.assert_array_equal(
        stream(Ridge(warm_start=True), X, y, 50).coef_, stream(Ridge(warm_start=False), X, y, 50).coef_
    )


def test_the_same_in_many_threads(rng):
    X, y = drawn("PoissonRegressor", rng)
    alone = stream(PoissonRegressor(), X, y, 100)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: stream(PoissonRegressor(), X, y, 100), range(8)))
    for model in together:
        np.testing.assert_array_equal(model.coef_, alone.coef_)


@pytest.mark.parametrize("name", UNPENALISED)
def test_rows_are_not_written_to(name, rng):
    X, y = drawn(name, rng, 80)
    X.flags.writeable = False
    model, _ = convergence_warnings(lambda: stream(clone(UNPENALISED[name]), X, y, 40))
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_never_diverges_where_batches_have_fewer_rows_than_columns(name, rng):
    X = rng.normal(size=(120, 30))
    model, _ = convergence_warnings(lambda: stream(clone(ESTIMATORS[name]), X, target(name, X, rng), 5))
    assert np.isfinite(model.coef_).all()
    assert np.abs(linear_predictor(model, X)).max() < 100
