"""No finite optimum: said so, with the names; the same data with a penalty, and ordinary data: no false alarm."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.linear_model import LogisticRegression, PoissonRegressor, TweedieRegressor
from sk_hessian.solvers import SOLVERS
from tests.estimators import ALL_SOLVERS, convergence_warnings

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)
N = 80


def table(seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"age": rng.normal(40, 10, N), "dose": rng.normal(0, 1e-3, N), "income": rng.lognormal(10, 1, N)}
    )


def complete():
    X = table()
    return X, np.where(X["dose"] > 0, "ill", "well"), "dose", "class well"


def quasi():
    X = table()
    X.loc[:20, "dose"] = 0.0
    y = np.where(X["dose"] > 0, "ill", "well")
    y[:20:2] = "ill"
    return X, y, "dose", "class well"


def softmax():
    X = table()
    rng = np.random.default_rng(1)
    y = rng.choice(["red", "green"], size=N)
    y[X["age"] > 50] = "blue"
    return X, y, "age", "class blue"


def combination():
    """Two columns that separate only together."""
    X = table()
    X["other"] = X["age"] + np.random.default_rng(2).normal(size=N)
    return X, X["other"] > X["age"] + 0.2, "a combination of .*other", "class True"


DATA = {f.__name__: f for f in (complete, quasi, softmax, combination)}


@every_solver
@pytest.mark.parametrize("name", DATA)
def test_separated_classes(name, solver):
    X, y, feature, label = DATA[name]()
    model = LogisticRegression(C=np.inf, solver=solver, random_state=0)
    with pytest.warns(ConvergenceWarning, match=f"separated: .*{label} .*{feature}.*Add a penalty") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert model.convergence_.status == "separated"
    assert feature.split("*")[-1] in model.convergence_.separation.features
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.predict_proba(X)).all()


@every_solver
@pytest.mark.parametrize("name", DATA)
def test_the_same_data_with_a_penalty_are_optimal(name, solver):
    X, y, _, _ = DATA[name]()
    model = LogisticRegression(C=1.0, solver=solver, random_state=0).fit(X, y)
    assert (model.convergence_.status, model.convergence_.separation) == ("optimal", None)


def counts(kind):
    X = table()
    X["level"] = (np.arange(N) % 4 == 0).astype(float)
    y = np.random.default_rng(3).poisson(3, N) + 1.0
    y[X["level"] == 1] = 0
    if kind == "rare":
        X["level"], y = (np.arange(N) == 5).astype(float), y + 1
        y[5] = 0
    return X, y


@every_solver
@pytest.mark.parametrize("kind", ["level", "rare"])
@pytest.mark.parametrize("estimator", [PoissonRegressor(alpha=0), TweedieRegressor(power=1.5, alpha=0)], ids=str)
def test_a_level_with_only_zeros(estimator, kind, solver):
    X, y = counts(kind)
    model = clone(estimator).set_params(solver=solver, random_state=0)
    with pytest.warns(ConvergenceWarning, match="separated: .*y = 0.*level.*Add a penalty"):
        model.fit(X, y)
    assert (model.convergence_.status, model.convergence_.separation.features) == ("separated", ["level"])
    penalised = clone(model).set_params(alpha=1e-2).fit(X, y)
    assert penalised.convergence_.status == "optimal"


@every_solver
def test_all_counts_zero(solver):
    X, _ = counts("level")
    model, caught = convergence_warnings(lambda: PoissonRegressor(alpha=0, solver=solver).fit(X, np.zeros(N)))
    assert model.convergence_.status in ("separated", "optimal")
    assert (model.convergence_.status == "optimal") == (not caught)
    assert model.predict(X).max() < 1e-3


@every_solver
def test_separation_without_an_intercept(solver):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(N, 3))
    with pytest.warns(ConvergenceWarning, match="separated: .*x1"):
        model = LogisticRegression(C=np.inf, fit_intercept=False, solver=solver).fit(X, X[:, 1] > 0)
    assert model.convergence_.separation.features == ["x1"]


@every_solver
def test_an_unpenalised_feature_may_separate_beside_penalised_ones(solver):
    X, y, _, _ = complete()
    model = LogisticRegression(penalty_weights=[1, 0, 1], solver=solver, random_state=0)
    with pytest.warns(ConvergenceWarning, match="separated: .*dose"):
        model.fit(X, y)
    assert model.convergence_.separation.features == ["dose"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_twenty_ordinary_sets_give_no_false_alarm(solver):
    statuses = set()
    for seed in range(20):
        X = table(seed)
        rng = np.random.default_rng(100 + seed)
        eta = 2.0 * (X["dose"] * 1e3) + 0.05 * (X["age"] - 40)
        for model, y in (
            (LogisticRegression(C=np.inf), eta + rng.logistic(size=N) > 0),
            (LogisticRegression(C=np.inf), np.argmax(np.outer(eta, [1, 0, -1]) + rng.gumbel(size=(N, 3)), axis=1)),
            (PoissonRegressor(alpha=0), rng.poisson(np.exp(eta / 4))),
        ):
            statuses.add(model.set_params(solver=solver, random_state=0).fit(X, y).convergence_.status)
    assert statuses == {"optimal"}


def test_a_nearly_separated_set_is_optimal():
    """One row on the wrong side: the optimum is far out, but finite."""
    X, y, _, _ = complete()
    y[np.argsort(X["dose"])[len(X) // 4]] = "ill"
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(X, y)
    assert model.convergence_.status == "optimal"


def test_many_separated_classes_and_columns_are_counted():
    """A sentence names five; the verdict's data has all."""
    X, y = load_digits(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="separated: ") as caught:
        model = LogisticRegression(C=np.inf).fit(X, y)
    text, proof = str(caught[0].message), model.convergence_.separation
    assert len(proof.features) > 20
    assert f"{proof.features[4]} and {len(proof.features) - 5} more" in text
    assert not any(f"{name}," in text for name in proof.features[5:])
    assert len(text) < 500


@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-10])
@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_counts_are_separated_whatever_the_tolerance(solver, tol):
    """With a small tolerance a run goes so far that curvature along the separation is lost in rounding."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = np.column_stack([rng.random(120) < 0.5, rng.normal(40, 10, 120), rng.normal(size=120)]).astype(float)
        y = np.where(X[:, 0] > 0, 0, rng.poisson(np.exp(0.01 * X[:, 1])))
        model = PoissonRegressor(alpha=0, solver=solver, tol=tol)
        with pytest.warns(ConvergenceWarning, match="separated"):
            model.fit(X, y)
        assert model.convergence_.status == "separated", seed
