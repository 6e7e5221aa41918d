"""How much work a fit is, in passes over the data; the bounds are half as much again as was measured."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.linear_model import HuberRegressor, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import Blocks, GLMObjective, SoftmaxCrossEntropy
from sk_hessian.objectives.rows.dense import DenseBlock, DenseRows
from sk_hessian.solvers import minimize
from tests import problems

REAL = problems.real_problems()
MODELS = {
    "breast": LogisticRegression(),
    "iris": LogisticRegression(),
    "wine": LogisticRegression(),
    "diabetes": Ridge(),
    "age-counts": PoissonRegressor(),
    "age-any": LogisticRegression(),
}

#: data -> most passes for sgd, momentum, clip, newton, lbfgs with the default tolerance
BUDGETS = {
    "breast": (47, 63, 48, 30, 70),
    "iris": (32, 53, 32, 27, 34),
    "wine": (40, 73, 54, 28, 53),
    "diabetes": (6, 6, 8, 7, 6),
    "age-counts": (26, 28, 26, 16, 15),
    "age-any": (18, 22, 18, 13, 15),
}

#: most passes over fifty thousand rows
MANY_ROWS = {"sgd": 29, "momentum": 41, "clip": 30, "lbfgs": 15}


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("solver", ["sgd", "momentum", "clip", "newton", "lbfgs"])
def test_passes_on_real_data(name, solver):
    budget = BUDGETS[name][["sgd", "momentum", "clip", "newton", "lbfgs"].index(solver)]
    model = clone(MODELS[name]).set_params(solver=solver, random_state=0).fit(REAL[name].X, REAL[name].y)
    assert model.convergence_.status == "optimal"
    assert model.convergence_.passes <= budget


def test_auto_is_no_more_work_than_newton_on_small_data():
    for name in BUDGETS:
        model = clone(MODELS[name])
        passes = [
            model.set_params(solver=s).fit(REAL[name].X, REAL[name].y).convergence_.passes for s in ("auto", "newton")
        ]
        assert passes[0] <= passes[1]


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_a_tight_tolerance_costs_little_more(solver):
    for name in BUDGETS:
        model = clone(MODELS[name]).set_params(solver=solver)
        loose, tight = (
            model.set_params(tol=tol).fit(REAL[name].X, REAL[name].y).convergence_.passes for tol in (1e-4, 1e-8)
        )
        assert tight <= 2 * loose + 5


@pytest.mark.parametrize("solver", ["sgd", "momentum", "clip", "lbfgs"])
def test_many_rows_cost_few_passes(solver):
    X, y = problems.age_income_year(1, n=50_000)
    model = PoissonRegressor(alpha=1e-3, solver=solver, random_state=0).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.convergence_.passes <= MANY_ROWS[solver]


@pytest.mark.parametrize("solver", ["sgd", "momentum", "clip", "newton", "lbfgs"])
def test_least_squares_is_solved_at_once(solver):
    model = Ridge(solver=solver).fit(REAL["diabetes"].X, REAL["diabetes"].y)
    assert model.n_iter_ <= (3 if solver == "clip" else 1)


@pytest.mark.parametrize("model", [Ridge(), LinearRegression()])
@pytest.mark.parametrize("kind", ["plain", "weights", "targets", "sparse", "float32", "far", "dependent"])
def test_least_squares_reads_the_rows_for_sums_and_for_the_proof(model, kind, rng):
    """Two passes: means, Gram, X'y and the first value in one, the residual's gradient in the other."""
    X = rng.normal(size=(20_000, 40)) * np.logspace(-3, 3, 40) + (1e6 if kind == "far" else 1.0)
    y = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=40) + rng.normal(size=len(X))
    if kind == "dependent":
        X[:, 7] = X[:, 3] - X[:, 5]
    y = np.column_stack([y, 1 - 2 * y]) if kind == "targets" else y
    X = {"sparse": sp.csr_array, "float32": np.float32}.get(kind, np.asarray)(X)
    verdict = model.fit(X, y, rng.uniform(1, 3, size=len(y)) if kind == "weights" else None).convergence_
    assert verdict.status == "optimal"
    assert verdict.passes == 2


def test_least_squares_in_blocks_takes_four_rounds(rng):
    """The check of the parts, a sample of their rows for the units, the sums, and the proof."""
    X, rounds = rng.normal(size=(20_000, 5)) + 3, []
    y = X.sum(axis=1) + rng.normal(size=len(X))

    def parts():
        rounds.append(1)
        return ((X[at : at + 6000], y[at : at + 6000]) for at in range(0, len(X), 6000))

    model = LinearRegression().fit(Blocks(parts))
    assert len(rounds) == 4
    np.testing.assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=1e-10)


def test_huber_takes_few_steps():
    model = HuberRegressor(solver="newton").fit(REAL["diabetes"].X, REAL["diabetes"].y)
    assert model.n_iter_ <= 12


def test_passes_are_counted_as_they_are_made(monkeypatch):
    calls, plain = [], SoftmaxCrossEntropy.value_and_gradient
    count = lambda self, y, raw: calls.append(1) or plain(self, y, raw)  # noqa: E731
    monkeypatch.setattr(SoftmaxCrossEntropy, "value_and_gradient", count)
    model = LogisticRegression(solver="lbfgs").fit(REAL["wine"].X, REAL["wine"].y)
    assert len(calls) == pytest.approx(model.history_["evaluations"][-1], abs=3)
    assert np.all(model.history_["evaluations"] <= model.convergence_.passes)


def wide_data(kind, p=1200):
    """More columns than rows: independent ones, or random walks that hardly differ."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, p))
    X = np.cumsum(X, axis=1) if kind == "walks" else X
    return X, (X[:, ::100].sum(axis=1) + rng.logistic(size=200) > 0).astype(int)


@pytest.mark.parametrize("kind", ["independent", "walks"])
def test_lbfgs_in_units_ends_where_newton_does(kind):
    X, y = wide_data(kind)
    verdicts = [LogisticRegression(solver=s, tol=1e-6).fit(X, y).convergence_ for s in ("lbfgs", "newton")]
    assert [v.status for v in verdicts] == ["optimal", "optimal"]
    assert verdicts[0].objective - verdicts[1].objective <= 2e-12 * verdicts[0].scale


@pytest.mark.parametrize("max_iter", [5, 12, 15, 25])
def test_the_best_point_in_units_is_not_forgotten(max_iter):
    """Coordinates that span few rows cannot reach every point; the run goes on from the nearest, no worse one."""
    X, y = wide_data("walks")
    model = LogisticRegression(solver="lbfgs", max_iter=max_iter, tol=1e-8)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.fit(X, y)
    assert model.convergence_.objective <= model.history_["objective"].min() * (1 + 1e-12)
    assert (np.diff(model.history_["objective"]) <= 1e-12).all()


@pytest.fixture
def reads(monkeypatch):
    """How often products with all of X were taken, and those of its rows with each other."""
    counts = {"products": 0.0, "kernels": 0}

    def counting(name):
        plain = getattr(DenseBlock, name)

        def counted(self, V):
            counts["products"] += self._X.size / counts["size"] if self._X.shape[1] == counts["columns"] else 0.0
            return plain(self, V)

        monkeypatch.setattr(DenseBlock, name, counted)

    kernel = DenseRows.kernel
    monkeypatch.setattr(DenseRows, "kernel", lambda *of: counts.update(kernels=counts["kernels"] + 1) or kernel(*of))
    counting("forward")
    counting("adjoint")
    return counts


@pytest.mark.parametrize(
    ("model", "n", "p"),
    [(LogisticRegression(solver="lbfgs"), 400, 3600), (Ridge(), 800, 6400)],
    ids=["logistic", "ridge"],
)
def test_an_easy_problem_needs_no_factor(model, n, p, reads):
    """A wide table that is well conditioned takes a few gradients, and next to nothing for the proof."""
    X = np.random.default_rng(0).normal(size=(n, p))
    y = (X[:, ::100].sum(axis=1) > 0).astype(int)
    reads.update(size=X.size, columns=p)
    model.fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.convergence_.passes <= 32
    assert model.history_["hessian_products"][0] == 0
    assert reads["kernels"] == 0
    assert reads["products"] <= 2 * model.convergence_.passes + 4


@pytest.mark.parametrize("kind", ["independent", "walks"])
@pytest.mark.parametrize("name", ["ridge", "logistic", "newton", "softmax"])
def test_few_rows_are_read_a_few_times(name, kind, reads):
    """Iterations read the square table that stands for them: a start, the coefficients, gradients of the history."""
    X, y = wide_data(kind)
    y = y + (X[:, 0] > 0.5) * (name == "softmax")
    solver = "newton" if name == "newton" else "lbfgs"
    model = Ridge() if name == "ridge" else LogisticRegression(solver=solver)
    reads.update(size=X.size, columns=1200)
    model.fit(X, y)
    assert model.convergence_.status == "optimal"
    assert reads["kernels"] == 1
    assert reads["products"] <= 10
    assert name == "ridge" or max(model.n_iter_) >= 5


def test_the_products_of_few_rows_are_the_solution_of_least_squares(reads):
    """However many columns there are: they cost less than the gradients that an easy table takes."""
    X, y = wide_data("independent", 4000)
    reads.update(size=X.size, columns=4000)
    model = Ridge().fit(X, y)
    assert model.convergence_.status == "optimal"
    assert (reads["kernels"], model.n_iter_) == (1, 1)
    assert reads["products"] <= 10


@pytest.mark.parametrize("kind", ["logistic", "poisson"])
def test_the_proof_on_easy_columns_needs_next_to_no_pass(kind, rng):
    """The sample's factor proves it, from kept raw predictions: two products and two looks before, 2.6 passes."""
    X = rng.normal(size=(100_000, 20))
    raw = X @ rng.normal(size=20) / np.sqrt(20)
    y = rng.poisson(np.exp(raw)) if kind == "poisson" else (raw + rng.logistic(size=len(X)) > 0).astype(int)
    model = (PoissonRegressor(alpha=1e-6) if kind == "poisson" else LogisticRegression()).fit(X, y)
    iterations, passes = int(np.max(model.n_iter_)), model.convergence_.passes
    assert model.convergence_.status == "optimal"
    # the evaluation at the optimum of the sample, and the sample itself: a tenth of the rows, a few times
    assert passes - iterations - 1 <= 1.3
    assert model.history_["hessian_products"][-1] < 1


@pytest.mark.parametrize(("C", "fit_intercept"), [(0.1, True), (0.01, True), (0.1, False)])
def test_the_penalty_proves_an_easy_optimum_without_products(C, fit_intercept, rng):
    """As many passes as iterations and one and a half: conjugate gradients take four to seven more."""
    X = rng.normal(size=(3000, 400)) + (1.0 if fit_intercept else 0.0)
    y = (X[:, :100].sum(axis=1) - 100 * fit_intercept + 10 * rng.logistic(size=len(X)) > 0).astype(int)
    model = LogisticRegression(C=C, fit_intercept=fit_intercept).fit(X, y)
    best = LogisticRegression(C=C, fit_intercept=fit_intercept, solver="newton", tol=1e-8).fit(X, y).convergence_
    verdict = model.convergence_
    assert verdict.status == "optimal"
    assert verdict.passes <= model.n_iter_[0] + 1.5
    assert 0 <= verdict.objective - best.objective <= verdict.decrement


@pytest.mark.parametrize("name", ["wine", "breast"])
def test_looks_in_vain_are_not_wasted(name):
    """A loose tolerance, with more looks at a point that is not settled, costs little more than the default one."""
    loose, usual = (
        LogisticRegression(solver="lbfgs", tol=tol).fit(REAL[name].X, REAL[name].y).convergence_.passes
        for tol in (1e-1, 1e-4)
    )
    assert loose <= 1.5 * usual + 5


def test_a_softmax_of_easy_columns_needs_no_factor(rng):
    """Units alone lead to the optimum, and a tenth of the rows proves it."""
    X = rng.normal(size=(30_000, 40))
    y = (X @ rng.normal(size=(40, 10)) / 4 + rng.gumbel(size=(30_000, 10))).argmax(axis=1)
    model, tight = LogisticRegression().fit(X, y), LogisticRegression(tol=1e-6).fit(X, y)
    assert model.convergence_.status == tight.convergence_.status == "optimal"
    assert model.convergence_.passes <= 30
    # a Hessian of the sample alone is a tenth of a pass
    assert model.history_["hessian_products"][0] == 0
    assert model.convergence_.objective - tight.convergence_.objective <= 1.25 * model.convergence_.decrement


@pytest.mark.parametrize(("fit_intercept", "most"), [(True, 25), (False, 22)])
def test_the_penalty_tells_when_products_have_found_a_decrement(fit_intercept, most, rng):
    """Where the residual alone decides, 39 and 29 products."""
    X = rng.normal(size=(600, 200))
    y = (X @ rng.normal(size=(200, 8)) / 5 + rng.gumbel(size=(600, 8))).argmax(axis=1)
    objective = GLMObjective(X, y, SoftmaxCrossEntropy(8), penalty=1 / 600, fit_intercept=fit_intercept)
    result = minimize(objective, np.zeros(objective.n_parameters), "lbfgs", tol=1e-2)
    exact = minimize(objective, result.x, "lbfgs", tol=1e-8)
    assert result.status == exact.status == "optimal"
    assert result.fun - exact.fun <= 1.25 * result.convergence.decrement
    assert result.history["hessian_products"][-1] <= most


def test_the_whole_hessian_of_a_sample_serves_many_classes(rng):
    """217 parameters: a Kronecker factor takes 23 iterations and 51 passes, this 8 and 15."""
    X = rng.normal(size=(30_000, 30)) @ rng.normal(size=(30, 30)) * np.logspace(0, 3, 30) + 100
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (Z @ rng.normal(size=(30, 7)) + rng.gumbel(size=(30_000, 7))).argmax(axis=1)
    model = LogisticRegression(C=100.0).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.convergence_.passes <= 24
    assert model.n_iter_[0] <= 12


@pytest.mark.parametrize("blocks", [False, True])
def test_a_label_of_few_rows_costs_no_more_passes(blocks, rng):
    """The rows of that label are in the sample, wherever the rows live: 8 or 9 passes, 20 where chance decides."""
    X = rng.standard_normal((60_000, 20)) * 10 ** rng.uniform(-2, 2, 20)
    y = (X / X.std(axis=0) @ rng.standard_normal(20) / 2 + rng.logistic(size=len(X)) > 7.5).astype(int)
    assert 100 < y.sum() < 400
    parts = Blocks([(X[i : i + 10_000], y[i : i + 10_000]) for i in range(0, len(X), 10_000)])
    model = LogisticRegression(C=100).fit(*((parts,) if blocks else (X, y)))
    assert model.convergence_.status == "optimal"
    assert model.convergence_.passes <= 10
