"""Directions that the data do not determine: the answer of least norm, named, and warned of where it is a surprise."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import linear_model as theirs
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.linear_model import LinearRegression, PoissonRegressor, Ridge
from tests.estimators import ALL_SOLVERS, UNPENALISED, distance, prediction, target

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)
N = 90


def duplicate(rng):
    X = pd.DataFrame(rng.normal(size=(N, 3)) * [1, 100, 0.01], columns=["a", "b", "c"])
    return X.assign(twin=X["b"]), {"b", "twin"}


def onehot(rng):
    levels = pd.Series(rng.permutation(np.arange(N) % 3)).map({0: "red", 1: "green", 2: "blue"})
    return pd.get_dummies(levels, dtype=float).assign(z=rng.normal(size=N) * 10), {"red", "green", "blue"}


def constant(rng):
    X = pd.DataFrame(rng.normal(size=(N, 2)), columns=["a", "b"])
    return X.assign(always=7.0), {"always"}


def combination(rng):
    X = pd.DataFrame(rng.normal(size=(N, 3)) * [1, 10, 100], columns=["a", "b", "c"])
    return X.assign(sum=2 * X["a"] - 3 * X["b"] + 5), {"a", "b", "sum"}


DATA = {f.__name__: f for f in (duplicate, onehot, constant, combination)}


@every_solver
@pytest.mark.parametrize("name", DATA)
def test_least_squares_gives_the_minimum_norm_without_a_warning(name, solver, rng):
    """And names what is flat."""
    X, columns = DATA[name](rng)
    y = target("LinearRegression", X.to_numpy(), rng)
    ours = LinearRegression(solver=solver, tol=1e-8).fit(X, y)
    other = theirs.LinearRegression().fit(X, y)
    assert ours.convergence_.status == "optimal"
    np.testing.assert_allclose(ours.coef_, other.coef_, atol=1e-6 * np.abs(other.coef_).max())
    assert distance(ours.predict(X), other.predict(X)) <= 1e-7
    assert ours.rank_ == other.rank_
    (direction,) = ours.convergence_.flat_directions
    words = set(direction.replace("=", " ").split())
    assert columns <= words
    assert not (set(X.columns) - columns) & words


@every_solver
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_more_columns_than_rows(solver, fit_intercept, n_targets, rng):
    X = rng.normal(size=(12, 40)) * 10.0 ** rng.integers(-1, 2, size=40)
    y = rng.normal(size=(12, n_targets)).squeeze()
    ours = LinearRegression(fit_intercept=fit_intercept, solver=solver, tol=1e-8).fit(X, y)
    other = theirs.LinearRegression(fit_intercept=fit_intercept).fit(X, y)
    assert ours.convergence_.status == "optimal"
    np.testing.assert_allclose(ours.coef_, other.coef_, atol=1e-6 * np.abs(other.coef_).max())
    assert ours.rank_ == other.rank_
    assert len(ours.convergence_.flat_directions) >= 1


def test_the_named_combination_is_true(rng):
    X, _ = combination(rng)
    (direction,) = LinearRegression().fit(X, X["c"] + rng.normal(size=N)).convergence_.flat_directions
    left, right = direction.split(" = ")
    total = 0.0
    for sign, number, name in re.findall(r"([+-]?) ?([\d.]*(?:e[+-]\d+)?) ?([a-z]*)", right):
        if number or name:
            total = total + float(f"{sign}{number or 1}") * (X[name] if name else 1.0)
    np.testing.assert_allclose(total, X[left], rtol=1e-2, atol=1e-2)


@every_solver
@pytest.mark.parametrize("estimator", [e for e in UNPENALISED if e != "LinearRegression"])
def test_every_other_estimator_warns_once_and_is_optimal(solver, estimator, rng):
    for data in DATA.values():
        X, _ = data(rng)
        y = target(estimator, X.to_numpy(), rng)
        model = UNPENALISED[estimator].set_params(solver=solver, random_state=0)
        with pytest.warns(ConvergenceWarning, match="the data do not determine every coef.*: .*Drop these") as caught:
            model.fit(X, y)
        assert len(caught) == 1
        assert model.convergence_.status == "optimal"
        assert model.convergence_.flat_directions


@pytest.mark.parametrize("name", ["duplicate", "onehot", "combination"])
@pytest.mark.parametrize("estimator", ["LogisticRegression", "PoissonRegressor", "softmax", "HuberRegressor"])
def test_dropping_a_dependent_column_predicts_the_same(name, estimator, rng):
    X, columns = DATA[name](rng)
    y = target(estimator, X.to_numpy(), rng)
    model = UNPENALISED[estimator].set_params(tol=1e-8)
    with pytest.warns(ConvergenceWarning, match="the data do not determine"):
        whole = clone(model).fit(X, y)
    fewer = X.drop(columns=sorted(columns)[0])
    assert distance(prediction(whole, X), prediction(clone(model).fit(fewer, y), fewer)) <= 1e-6


@every_solver
@pytest.mark.parametrize("name", DATA)
def test_a_penalty_leaves_nothing_flat(name, solver, rng):
    X, _ = DATA[name](rng)
    model = Ridge(1.0, solver=solver, tol=1e-8).fit(X, target("Ridge", X.to_numpy(), rng))
    other = theirs.Ridge(1.0).fit(X, target("Ridge", X.to_numpy(), np.random.default_rng(0)))
    assert (model.convergence_.status, model.convergence_.flat_directions) == ("optimal", ())
    assert model.coef_.shape == other.coef_.shape


@every_solver
def test_no_variation_at_all(solver):
    for X, y in ((np.full((5, 2), 3.0), np.arange(5.0)), ([[0.0, 0.0]], [2.0])):
        model = LinearRegression(solver=solver).fit(X, y)
        assert model.convergence_.status == "optimal"
        np.testing.assert_array_equal(model.coef_, 0)
        assert model.intercept_ == pytest.approx(2)


@every_solver
@pytest.mark.parametrize("name", [name for name in UNPENALISED if name != "LinearRegression"])
def test_a_row_of_each_class_or_one(name, solver):
    model = UNPENALISED[name].set_params(solver=solver)
    labels = {"softmax": ["a", "b", "c"], "LogisticRegression": ["a", "b"], "OrdinalClassifier": [1, 2, 3]}
    y = labels.get(name, [0.2 if name.startswith("Binomial") else 2.0])
    X = np.arange(len(y))[:, None] * [[1.0, 2.0]]
    with pytest.warns(ConvergenceWarning, match=f"{type(model).__name__}: (separated|the data do not determine)"):
        model.fit(X, y)
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize(
    ("make", "noise", "rank"), [(np.asarray, 0.0, 219), (sp.csr_array, 0.0, 219), (np.asarray, 1e-6, 220)]
)
def test_large_tables_tell_dependence_from_its_absence(make, noise, rank, rng):
    """By second moments where these are clear, else by the rows: a copied column, one with so much noise."""
    X = rng.normal(size=(22_000, 220)) * 10.0 ** rng.integers(-3, 3, size=220)
    if make is sp.csr_array:
        X[rng.uniform(size=X.shape) < 0.95] = 0
    X[:, 7] = X[:, 3] / 10 - 2 * X[:, 5] + noise * X[:, 7]
    y = X[:, :3] @ [1, 2, 3] / X[:, :3].std(axis=0).max() + rng.normal(size=len(X))
    model = LinearRegression(fit_intercept=False, tol=1e-8).fit(make(X), y)
    assert model.convergence_.status == "optimal"
    assert model.rank_ == rank
    assert len(model.convergence_.flat_directions) == 220 - rank
    left = y - model.predict(make(X))
    assert (np.abs(X.T @ left) <= 1e-6 * np.linalg.norm(X, axis=0) * np.linalg.norm(left)).all()


@pytest.mark.parametrize("n", [400, 30_000])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_constant_columns_are_no_dependence(make, n, rng):
    """A fit takes the passes that it takes without them, with a penalty and without, weighted, of samples too."""
    X = rng.normal(size=(n, 45)) * (rng.random((n, 45)) < 0.3)
    y = rng.poisson(np.exp(X[:, 0] / 2))
    weight = rng.uniform(0.5, 2, size=n)
    wide = np.column_stack([np.full(n, 7.5), X, np.zeros((n, 2))])
    for model in (LinearRegression(), Ridge(3.0), PoissonRegressor(alpha=1e-3)):
        few = clone(model).fit(make(X), y, sample_weight=weight)
        many = clone(model).fit(make(wide), y, sample_weight=weight)
        assert many.convergence_.status == few.convergence_.status == "optimal"
        assert many.convergence_.passes <= few.convergence_.passes + 1
        assert getattr(many, "rank_", None) == getattr(few, "rank_", None)
        np.testing.assert_allclose(many.coef_, [0, *few.coef_, 0, 0], rtol=1e-5, atol=1e-7)
        named = ("x0 = 7.5", "x46 = 0", "x47 = 0") if isinstance(model, LinearRegression) else ()
        assert many.convergence_.flat_directions == named


def test_a_column_that_is_constant_in_a_sample_alone_keeps_its_coefficient(rng):
    X = rng.normal(size=(30_000, 45))
    X[:, 3], X[:, 4] = 2.0, np.where(np.arange(30_000) < 3, 3.0, 2.0)
    y = rng.poisson(np.exp(X[:, 0] / 2 + 2 * (X[:, 4] == 3)))
    ours, other = PoissonRegressor(alpha=1e-4), theirs.PoissonRegressor(alpha=1e-4, solver="newton-cholesky", tol=1e-10)
    assert ours.fit(X, y).convergence_.status == "optimal"
    np.testing.assert_allclose(ours.coef_, other.fit(X, y).coef_, atol=1e-4)
    assert ours.coef_[4] > 0.5


@pytest.mark.parametrize("weight", [None, 1.7])
def test_a_sparse_column_that_hardly_varies_is_told_from_a_constant_one(weight, rng):
    """By sums about its mean: a difference of squares cannot tell times from one another."""
    n = 30_000
    X = np.column_stack([rng.normal(size=n) * (rng.random(n) < 0.2), np.full(n, 7.5), 1.6e9 + rng.normal(size=n)])
    y = X[:, 0] + (X[:, 2] - 1.6e9) + rng.normal(size=n)
    weight = None if weight is None else weight + rng.random(n)
    model = LinearRegression().fit(sp.csr_array(X), y, sample_weight=weight)
    assert model.convergence_.flat_directions == ("x1 = 7.5",)
    assert model.rank_ == 2
    np.testing.assert_allclose(model.coef_, [1, 0, 1], atol=0.05)
