"""Errors of curves and of likelihoods: NIST's certified ones, scipy's and statsmodels'."""

import json
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.optimize import OptimizeResult, curve_fit
from scipy.stats import t as student

from sk_hessian.inspection import curve_table
from sk_hessian.objectives import FunctionObjective, GLMObjective, LeastSquaresObjective, SquaredLoss
from sk_hessian.solvers import Newton, minimize
from tests.estimators import assert_refused
from tests.nonlinear_problems import _STRD, nist

GAUSS_NEWTON = Newton(hessian="gauss-newton")

#: their residuals are rounding of the data, and no verdict is "optimal" at this tolerance
NOT_DATA = {"Lanczos1", "Lanczos2", "Lanczos3"}

DEVIATIONS = {name: np.array(data["deviations"]) for name, data in json.loads(_STRD.read_text()).items()}


@pytest.mark.parametrize("has_jac", [True, False], ids=["jac", "differences"])
@pytest.mark.parametrize("name", sorted(set(nist()) - NOT_DATA))
def test_certified_standard_deviations(name, has_jac):
    problem = nist()[name]
    objective = LeastSquaresObjective(problem.residuals, problem.jacobian if has_jac else None)
    result = minimize(objective, problem.at, GAUSS_NEWTON, tol=1e-7)
    table = curve_table(result)
    np.testing.assert_allclose(table.std_error, DEVIATIONS[name], rtol=1e-6 if has_jac else 1e-5)
    n, p = table.n_residuals, problem.n
    assert table.df == n - p
    np.testing.assert_allclose(table.dispersion, problem.minima[0] / (n - p), rtol=1e-6)


def decay():
    rng = np.random.default_rng(0)
    t, sigma = np.linspace(0, 4, 30), np.linspace(0.5, 2, 30)
    return t, 3e6 * np.exp(-0.7 * t) + 1e5 * sigma * rng.normal(size=30), 1e5 * sigma


def model(t, height, rate):
    return height * np.exp(-rate * t)


@pytest.mark.parametrize("absolute_sigma", [True, False])
def test_curve_fit_of_scipy(absolute_sigma):
    t, y, sigma = decay()
    x, pcov = curve_fit(model, t, y, [1e6, 1.0], sigma, absolute_sigma, xtol=1e-13, ftol=1e-13)
    result = minimize(LeastSquaresObjective(lambda x: (model(t, *x) - y) / sigma), [1e6, 1.0], tol=1e-8)
    dispersion = 1.0 if absolute_sigma else None
    np.testing.assert_allclose(result.covariance(dispersion), pcov, rtol=1e-5)
    table = curve_table(result, names=["height", "rate"], dispersion=dispersion, level=0.9)
    np.testing.assert_allclose(table.estimate, x, rtol=1e-6)
    reach = student.ppf(0.95, np.inf if absolute_sigma else 28) * np.sqrt(np.diag(pcov))
    np.testing.assert_allclose(table.lower, x - reach, rtol=1e-5)
    np.testing.assert_allclose(table.upper, x + reach, rtol=1e-5)
    assert (table.distribution, table.df) == (("normal", np.inf) if absolute_sigma else ("t", 28.0))
    np.testing.assert_allclose(table.correlation, pcov / np.sqrt(np.outer(np.diag(pcov), np.diag(pcov))), rtol=1e-5)
    assert table.to_frame().index.tolist() == ["height", "rate"]
    text = str(table)
    assert repr(table) == text
    assert text.startswith("residuals  ")
    assert ("t with df = 28" in text) != absolute_sigma


def test_a_linear_curve_is_least_squares(rng):
    X, y = np.column_stack([np.ones(40), rng.normal(size=40) + 5]), rng.normal(size=40)
    theirs = sm.OLS(y, X).fit()
    for jac in (lambda b: X, lambda b: sp.csr_array(X)):
        table = curve_table(minimize(LeastSquaresObjective(lambda b: X @ b - y, jac), np.zeros(2), tol=1e-8))
        np.testing.assert_allclose(table.std_error, theirs.bse, rtol=1e-9)
        np.testing.assert_allclose(table.p_value, theirs.pvalues, rtol=1e-6)
        np.testing.assert_allclose(np.column_stack([table.lower, table.upper]), theirs.conf_int(), rtol=1e-6)


def likelihood(rng, unit):
    """Minus the log-likelihood of Poisson counts, its gradient and Hessian, a column in another unit, and theirs."""
    X = np.column_stack([np.ones(500), rng.normal(size=500) * unit])
    y = rng.poisson(np.exp(X @ [3.0, 0.2 / unit]))
    theirs = sm.Poisson(y, X / [1, unit]).fit(disp=0, tol=1e-14)

    def value(b):
        return float(np.sum(np.exp(X @ b) - y * (X @ b)))

    derivatives = {
        "fun": {},
        "jac": {"jac": lambda b: X.T @ (np.exp(X @ b) - y)},
        "hess": {"jac": lambda b: X.T @ (np.exp(X @ b) - y), "hess": lambda b: (X.T * np.exp(X @ b)) @ X},
    }
    derivatives["hessp"] = {"jac": derivatives["jac"]["jac"], "hessp": lambda b, v: X.T @ (np.exp(X @ b) * (X @ v))}
    return value, derivatives, theirs


@pytest.mark.parametrize("given", ["fun", "jac", "hess", "hessp"])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e5])
def test_a_likelihood_has_the_errors_of_statsmodels(given, unit, rng):
    value, derivatives, theirs = likelihood(rng, unit)
    start = np.array([3.0, 0.2 / unit])
    result = minimize(FunctionObjective(value, **derivatives[given]), start, "newton", tol=1e-6)
    table = curve_table(result, names=["constant", "slope"])
    np.testing.assert_allclose(
        table.std_error, theirs.bse / [1, unit], rtol={"fun": 1e-5, "jac": 1e-6}.get(given, 1e-7)
    )
    assert (table.distribution, table.dispersion, table.n_residuals) == ("normal", 1.0, None)
    assert "minus log-likelihood" in str(table)
    doubled = result.covariance(2.0)
    np.testing.assert_allclose(doubled, 2 * table.covariance, rtol=1e-12)


def test_digits_of_a_parameter_that_is_known_to_many():
    """A step that is a share of the parameter would be many standard errors long."""
    result = minimize(FunctionObjective(lambda x: 1e3 + np.cosh(x[0] - 1e6)), [1e6], "newton")
    np.testing.assert_allclose(result.covariance(), [[1.0]], rtol=1e-4)


# -- bad input --------------------------------------------------------------------------------------------------------


def test_what_is_not_determined_is_named():
    t, y, _ = decay()
    product = LeastSquaresObjective(lambda x: x[0] * x[1] * np.exp(-x[2] * t) - y / 1e6)
    result = minimize(product, [1.0, 2.0, 1.0])
    assert_refused(r"residuals do not determine theta\[0\] with theta\[1\]: other values", curve_table, result)
    given = LeastSquaresObjective(lambda x: np.array([x[0] - 1, x[0] + 1]), lambda x: np.array([[1.0, 0], [1, 0]]))
    result = minimize(given, [3.0, 1.0])
    assert_refused(r"not determine theta\[1\]: other", result.covariance, 1.0)
    bowl = FunctionObjective(lambda x: (x[0] + x[1] - 3) ** 2 + x[2] ** 2)
    assert_refused(r"function does not determine theta\[0\] with theta\[1\]", minimize(bowl, [1.0, 1, 1]).covariance)


def test_results_without_errors_are_refused():
    t, y, _ = decay()
    curve = LeastSquaresObjective(lambda x: model(t, *x) - y)
    early = minimize(curve, [1.0, 1.0], max_iter=1)
    assert_refused('covariance needs a result with the status "optimal". This one: max_iter', early.covariance)
    few = minimize(LeastSquaresObjective(lambda x: x**2 - [4.0, 9.0]), [1.0, 1.0])
    assert_refused("2 residuals leave none beside 2 parameters", few.covariance)
    np.testing.assert_allclose(few.covariance(1.0), np.diag([1 / 16, 1 / 36]), rtol=1e-6)
    perfect = minimize(LeastSquaresObjective(lambda x: np.array([x[0] - 1, 2 * x[0] - 2])), [3.0])
    assert_refused("the fit is perfect", perfect.covariance)
    result = minimize(curve, [1e6, 1.0])
    for dispersion in (0.0, -1.0, np.nan, np.inf, True, "pearson"):
        assert_refused("dispersion must be a positive number or None", result.covariance, dispersion)
    assert_refused("names must be 2 different ones", curve_table, result, names=["height"])
    assert_refused("names must be 2 different ones", curve_table, result, names=["height", "height"])
    assert_refused("level must be", curve_table, result, level=95)
    assert_refused("got OptimizeResult", curve_table, OptimizeResult(x=result.x), error=TypeError)
    X = np.arange(8.0).reshape(4, 2)
    linear = minimize(GLMObjective(X, X[:, 0], SquaredLoss()), np.zeros(3))
    assert_refused("not for this model. For an estimator use inspection.coef_table", linear.covariance, error=TypeError)
    restored = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(restored.x, result.x)
    assert_refused("this result was pickled", restored.covariance)
