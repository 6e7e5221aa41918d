"""Horseshoe crabs: additive counts and relative risks, at the edge or near it, by every solver."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import xlogy

from sk_hessian.inspection import coef_table
from sk_hessian.linear_model import BinomialRegressor, TweedieRegressor
from tests.estimators import ALL_SOLVERS

CRABS = pd.read_csv(Path(__file__).parents[1] / "data" / "crabs.csv")
CRABS = CRABS.assign(dark=(CRABS["color"] > 2) * 1.0, good_spine=(CRABS["spine"] < 3) * 1.0)

COLUMNS = {"width": ["width"], "all": ["width", "dark", "good_spine"]}


def rows(columns, seed):
    """Of all crabs, or of a bootstrap sample, as the tables on which Fisher's scoring has been seen to cycle."""
    crabs = CRABS if seed is None else CRABS.sample(len(CRABS), replace=True, random_state=seed)
    return crabs[COLUMNS[columns]].to_numpy(), crabs["satellites"].to_numpy()


def least(Z, loss, slope, start, sign):
    """The least sum of a loss of Z b where all of sign Z b is positive, by sequential quadratic programming."""
    inside = {"type": "ineq", "fun": lambda b: sign * Z @ b - 1e-12, "jac": lambda b: sign * Z}
    found = minimize(
        lambda b: loss(Z @ b).sum(),
        start,
        jac=lambda b: Z.T @ slope(Z @ b),
        method="SLSQP",
        constraints=[inside],
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return found.fun


def test_the_published_line():
    """Agresti, "Categorical Data Analysis" (2002), section 4.3.2: -11.53 + 0.55 width, and a deviance of 557.7."""
    X, y = rows("width", None)
    model = TweedieRegressor(power=1, link="identity", alpha=0).fit(X, y)
    assert model.intercept_ == pytest.approx(-11.53, abs=0.005)
    assert model.coef_[0] == pytest.approx(0.55, abs=0.005)
    assert coef_table(model, X, y).deviance == pytest.approx(557.7, abs=0.05)


@pytest.mark.parametrize("seed", [None, 1, 3])
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("solver", ALL_SOLVERS)
def test_additive_counts(solver, columns, seed):
    X, y = rows(columns, seed)
    Z = np.column_stack([X, np.ones(len(y))])
    start = np.append(np.zeros(X.shape[1]), y.mean())
    expected = least(Z, lambda mean: mean - xlogy(y, mean), lambda mean: 1 - y / mean, start, 1.0)
    model = TweedieRegressor(power=1, link="identity", alpha=0, solver=solver, random_state=0).fit(X, y)
    mean = model.predict(X)
    assert model.convergence_.status == "optimal"
    assert (mean - xlogy(y, mean)).sum() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("solver", ALL_SOLVERS)
def test_relative_risks(solver, columns):
    """Whether a crab has any satellite: the widest one is certain to."""
    X, y = rows(columns, None)
    y = y > 0
    Z = np.column_stack([X, np.ones(len(y))])

    # trial points of the reference may be outside
    def loss(raw):
        return np.where(y, -raw, -np.log(-np.expm1(np.minimum(raw, -1e-12))))

    def slope(raw):
        return np.where(y, -1.0, 1 / np.expm1(-np.minimum(raw, -1e-12)))

    start = np.append(np.zeros(X.shape[1]), np.log(0.5))
    expected = least(Z, loss, slope, start, -1.0)
    model = BinomialRegressor("log", alpha=0, solver=solver, random_state=0).fit(X, y * 1.0)
    share = model.predict(X)
    assert model.convergence_.status == "optimal"
    assert -np.where(y, np.log(share), np.log1p(-np.where(y, 0, share))).sum() == pytest.approx(expected, abs=1e-5)
    assert share.max() == pytest.approx(1.0)
