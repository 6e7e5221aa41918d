"""Ill-conditioned least squares: the certified digits of NIST's reference datasets."""

import numpy as np
import pytest
import scipy.sparse as sp

from sk_hessian.linear_model import LinearRegression, Ridge
from sk_hessian.solvers import SGD, Newton
from tests.nist import REFERENCES, correct_digits

#: where the longest float of numpy is a double, least squares has the digits of a double alone
IS_EXTENDED = np.finfo(np.longdouble).eps < 1e-18

LEAST = 7 if IS_EXTENDED else 5

every_reference = pytest.mark.parametrize("name", REFERENCES)


def parameters(model):
    return np.append(model.intercept_, model.coef_) if model.fit_intercept else model.coef_


def digits_of_lstsq(reference):
    X = np.insert(reference.X, 0, 1.0, axis=1) if reference.fit_intercept else reference.X
    return correct_digits(np.linalg.lstsq(X, reference.y, rcond=None)[0], reference.coef)


@every_reference
def test_default_arguments_give_the_certified_digits(name):
    reference = REFERENCES[name]
    model = LinearRegression(fit_intercept=reference.fit_intercept).fit(reference.X, reference.y)
    digits = correct_digits(parameters(model), reference.coef)
    assert (model.convergence_.status, model.convergence_.flat_directions) == ("optimal", ())
    assert model.rank_ == reference.X.shape[1]
    assert digits >= LEAST
    assert digits >= digits_of_lstsq(reference) or not IS_EXTENDED


@every_reference
@pytest.mark.parametrize("solver", ["sgd", "newton", "lbfgs", Newton(precondition="full")], ids=str)
def test_every_solver_gives_the_certified_digits(name, solver):
    reference = REFERENCES[name]
    model = LinearRegression(fit_intercept=reference.fit_intercept, solver=solver).fit(reference.X, reference.y)
    assert model.convergence_.status == "optimal"
    assert correct_digits(parameters(model), reference.coef) >= LEAST


@pytest.mark.parametrize("name", ["Filip", "Longley", "Wampler4"])
def test_weights_repeated_rows_sparse_rows_and_several_targets_keep_the_digits(name):
    reference = REFERENCES[name]
    X, y = reference.X, reference.y
    twice = np.repeat(np.arange(len(y)), 1 + np.arange(len(y)) % 3)
    weight = np.bincount(twice).astype(float)
    repeated = LinearRegression().fit(X[twice], y[twice])
    weighted = LinearRegression().fit(X, y, weight)
    assert correct_digits(parameters(weighted), parameters(repeated)) >= LEAST
    several = LinearRegression().fit(X, np.stack([y, 3 * y], axis=1))
    for model in (LinearRegression().fit(sp.csr_array(X), y), Ridge(alpha=0).fit(X, y)):
        assert correct_digits(parameters(model), reference.coef) >= LEAST
    for k, factor in enumerate([1, 3]):
        found = np.append(several.intercept_[k], several.coef_[k])
        assert correct_digits(found, factor * reference.coef) >= LEAST


@pytest.mark.parametrize("name", ["Filip", "Wampler1", "Longley"])
@pytest.mark.parametrize("unit", [1e-9, 2.0**20, 1e9])
def test_the_unit_of_a_column_costs_no_digits(name, unit):
    reference = REFERENCES[name]
    units = np.where(np.arange(reference.X.shape[1]) % 2, unit, 1 / unit)
    model = LinearRegression().fit(reference.X * units, reference.y / unit)
    expected = reference.coef / np.append(1, units) / unit
    assert model.convergence_.status == "optimal"
    assert correct_digits(parameters(model), expected) >= LEAST - 1  # the product with a unit is rounded as well


def test_the_passes_of_the_digits_are_counted():
    """Two or three for a small table of correlated columns; none for a penalty and for the textbook's formula."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    easy, X[:, 2] = X.copy(), X[:, 0] + 0.05 * X[:, 2]
    y = X @ [1, 2, 3] + rng.normal(size=100)
    textbook, passes = SGD(0.3, batch_size=None, precondition=None), []
    for model, rows in ((LinearRegression(), X), (Ridge(1e-12), X), (LinearRegression(solver=textbook), easy)):
        verdict = model.fit(rows, y).convergence_
        assert verdict.status == "optimal"
        passes.append(verdict.passes - (model.history_["evaluations"] + model.history_["hessian_products"])[-1])
    assert 1 <= passes[0] - passes[1] <= 3
    assert passes[2] <= passes[1] + 1
    # columns that are far from dependent have lost no digit
    model = LinearRegression().fit(easy, y)
    assert model.convergence_.passes == Ridge(1e-12).fit(easy, y).convergence_.passes
    Z = np.column_stack([np.ones(100), easy]).astype(np.longdouble)
    exact = np.linalg.solve((Z.T @ Z).astype(float), (Z.T @ y).astype(float))
    np.testing.assert_allclose(parameters(model), exact, rtol=1e-13)
