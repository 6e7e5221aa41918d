"""Rank, flat directions and least norm are facts of the data: every solver object finds the same."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sk_hessian.objectives import GLMObjective, SquaredLoss
from sk_hessian.solvers import LBFGS, SGD, Clip, Momentum, Newton, minimize
from tests.estimators import convergence_warnings

N = 60
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, N))
TABLES = {
    "dependent": np.c_[A, 2 * A, B],
    "constant": np.c_[A, np.full(N, 3.0), B],
    "duplicate": np.c_[A, B, B],
    "onehot": np.c_[np.eye(3)[np.arange(N) % 3], B],
    "sum": np.c_[A, 0.5 * A - 2 * B + 1, B],
    "wide": RNG.normal(size=(12, 20)),
}
SOLVERS = [
    SGD(precondition=None),
    SGD(0.1, batch_size=None, precondition=None),
    Momentum(precondition=None),
    Clip(0.1, precondition=None),
    Newton(precondition=None),
    Newton(linear_solver="cg", precondition=None),
    Newton(damping=1.0, precondition=None),
    Newton("diagonal", precondition=None),
    LBFGS(precondition=None),
    LBFGS(subsample=None, learning_rate=1.0, precondition=None),
    SGD(0.1, batch_size=None, precondition="diagonal"),
    Newton(precondition="full"),
    LBFGS(subsample=None, precondition="diagonal"),
    LBFGS(subsample=None, precondition="full"),
]
KRONECKER = [solver(precondition="kronecker") for solver in (SGD, Newton, LBFGS)]


def target(kind, X):
    rng, eta = np.random.default_rng(1), 0.5 * X[:, 0] / X[:, 0].std()
    return {
        "least squares": 3 + eta + rng.normal(size=len(X)),
        "several": np.stack([eta, -eta], axis=1) + rng.normal(size=(len(X), 2)),
        "counts": rng.poisson(np.exp(eta)),
        "classes": rng.integers(0, 3, size=len(X)),
    }[kind]


MODELS = {
    "least squares": LinearRegression(tol=1e-6),
    "several": LinearRegression(tol=1e-6),
    "counts": PoissonRegressor(alpha=0, tol=1e-6),
    "classes": LogisticRegression(C=np.inf, tol=1e-6),
}


def assert_same(model, usual, solver):
    assert model.convergence_.flat_directions == usual.convergence_.flat_directions, solver
    assert getattr(model, "rank_", None) == getattr(usual, "rank_", None), solver
    if model.convergence_.status == "optimal":
        np.testing.assert_allclose(model.coef_, usual.coef_, atol=1e-3 * np.abs(usual.coef_).max(), err_msg=solver)


def null_part(model, X):
    """The largest part of coefficients along directions that leave predictions as they are."""
    centred = X - X.mean(axis=0)
    null = np.linalg.svd(centred)[2][np.linalg.matrix_rank(centred) :]
    return np.abs(null @ np.atleast_2d(model.coef_).T).max() / np.abs(model.coef_).max()


#: every table for least squares, and two for the others
CASES = [("least squares", table) for table in TABLES]
CASES += [("several", "wide"), ("several", "onehot"), ("counts", "onehot"), ("counts", "sum"), ("classes", "constant")]
CASES += [("classes", "duplicate")]


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(("kind", "table"), CASES)
def test_every_solver_says_the_same(kind, table, container):
    X = TABLES[table]
    y = target(kind, X)
    X = container(X)
    usual, _ = convergence_warnings(lambda: clone(MODELS[kind]).fit(X, y))
    assert usual.convergence_.status == "optimal"
    assert usual.convergence_.flat_directions
    for solver in SOLVERS + (KRONECKER if kind in ("several", "classes") else []):
        model, _ = convergence_warnings(
            lambda s=solver: clone(MODELS[kind]).set_params(solver=s, max_iter=25).fit(X, y)
        )
        assert_same(model, usual, str(solver))
        assert null_part(model, TABLES[table]) <= 1e-8, solver


@pytest.mark.parametrize("max_iter", [1, 3])
@pytest.mark.parametrize("table", TABLES)
def test_a_textbook_run_that_is_cut_short_still_ends_at_the_least_norm(table, max_iter):
    X = TABLES[table]
    model = LinearRegression(solver=SGD(0.01, batch_size=None, precondition=None), max_iter=max_iter)
    convergence_warnings(lambda: model.fit(X, target("least squares", X)))
    assert model.convergence_.status == "max_iter"
    assert model.rank_ == np.linalg.matrix_rank(X - X.mean(axis=0))
    assert null_part(model, X) <= 1e-10


def test_many_rows_are_decided_by_a_sketch():
    """Where columns are independent on a tenth of the rows, no factor of all is taken."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 20))
    textbook = SGD(0.1, batch_size=None, precondition=None)
    passes = []
    for column in (X[:, 1], X[:, 0]):
        X[:, 1] = column
        objective = GLMObjective(X, X[:, 2] + rng.normal(size=60_000), SquaredLoss(), penalty=0.0)
        objective.loss.quadratic = False  # least squares of few columns takes no sketch
        result = minimize(objective, np.zeros(21), textbook, max_iter=2)
        passes.append(result.history["hessian_products"][0])
        assert objective.space.rank == (19 if X[0, 0] == X[0, 1] else 20)
    assert passes[0] == pytest.approx(0.1, abs=0.01)
    assert passes[1] == pytest.approx(1.1, abs=0.01)


def test_a_textbook_run_counts_the_one_factor():
    X, y = TABLES["sum"][:, [0, 2]], target("least squares", TABLES["sum"])
    model = LinearRegression(solver=SGD(0.1, batch_size=None, precondition=None), tol=1e-6).fit(X, y)
    assert model.history_["hessian_products"][0] == 1


def test_no_rank_is_said_where_no_factor_would_tell():
    X = np.random.default_rng(0).normal(size=(20, 3500))
    model, _ = convergence_warnings(lambda: LinearRegression(max_iter=3).fit(X, X[:, 0]))
    assert not hasattr(model, "rank_")
    assert model.partial_fit(X[:, :2], X[:, 0]) is model
