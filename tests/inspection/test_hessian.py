import copy
import pickle

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.sparse.linalg import LinearOperator

from sk_hessian.inspection import HessianOperator, hessian, spectrum, taylor_model
from sk_hessian.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import (
    FunctionObjective,
    GLMObjective,
    LeastSquaresObjective,
    RestrictedObjective,
    SquaredLoss,
)
from tests.estimators import ESTIMATORS, assert_refused, convergence_warnings, raw_table, target

NETWORKS = {
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", alpha=0.1, random_state=0),
    "MLPRegressor-2": MLPRegressor(hidden_layer_sizes=(3, 2), activation="logistic", alpha=0.1, random_state=0),
    "MLPClassifier": MLPClassifier(hidden_layer_sizes=(3,), activation="tanh", alpha=0.1, random_state=0),
}
ALL = ESTIMATORS | NETWORKS
every_model = pytest.mark.parametrize("name", ALL)
every_kind = pytest.mark.parametrize("kind", ["observed", "expected", "gauss-newton"])


def fitted_model(name, rng):
    X = raw_table(rng)
    y = target("softmax" if name == "MLPClassifier" else name, X, rng)
    weight = rng.uniform(0.5, 2, size=len(X))
    if name not in NETWORKS:
        return ALL[name].fit(X, y, weight), X, y, weight
    return convergence_warnings(lambda: ALL[name].fit(X, y, weight))[0], X, y, weight


@every_model
@every_kind
def test_products_are_those_of_the_matrix_and_rows_have_names(name, kind, rng):
    model, X, y, weight = fitted_model(name, rng)
    H = hessian(model, X, y, sample_weight=weight, kind=kind)
    assert isinstance(H, LinearOperator)
    assert isinstance(H, HessianOperator)
    matrix = H.toarray()
    assert len(H.parameter_names) == len(matrix) == H.shape[1]
    assert H.kind == kind
    assert H.total_weight == pytest.approx(weight.sum())
    tolerance = 1e-11 * np.abs(matrix).max()
    np.testing.assert_allclose(H @ np.eye(len(matrix)), matrix, rtol=1e-9, atol=tolerance)
    v = rng.normal(size=len(matrix)) / np.sqrt(np.abs(np.diag(matrix)) + 1e-30)
    np.testing.assert_allclose(H.T @ v, matrix @ v, rtol=1e-8, atol=tolerance)


@every_model
def test_observed_curvature_is_the_derivative_of_the_gradient(name, rng):
    model, X, y, weight = fitted_model(name, rng)
    H = hessian(model, X, y, sample_weight=weight)
    objective, theta = model.fitted_objective(X, y, weight)
    # in units in which the curvature is about one, differences are as good for each parameter
    units = objective.preconditioner(theta, "full")
    for _ in range(3):
        step = 1e-5 * units.apply(rng.normal(size=units.shape[1]))
        ends = [objective.value_and_gradient(theta + sign * step)[1] for sign in (1, -1)]
        expected = units.transpose(ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(units.transpose(H @ step) / 1e-5, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["LogisticRegression", "MLPRegressor"])
def test_the_penalty_is_part_of_it(name, rng):
    X = rng.normal(size=(50, 2))
    y = target(name, X, rng)
    model = LogisticRegression(C=0.1) if name == "LogisticRegression" else NETWORKS[name]
    model = convergence_warnings(lambda: copy.deepcopy(model).fit(X, y))[0]
    penalised, theta = hessian(model, X, y).toarray(), model.fitted_objective(X, y)[1]
    model.set_params(**({"C": np.inf} if name == "LogisticRegression" else {"alpha": 0.0}))
    free = model.fitted_objective(X, y)[0]
    strength = 10 / 50 if name == "LogisticRegression" else 0.1 / 50
    v = np.eye(theta.size)[0]
    np.testing.assert_allclose(penalised @ v - free.hessian(theta) @ v, strength * v, atol=1e-14)


def test_gauss_newton_is_another_name_for_expected(rng):
    model, X, y, weight = fitted_model("MLPRegressor", rng)
    matrices = [
        hessian(model, X, y, sample_weight=weight, kind=kind).toarray() for kind in ("expected", "gauss-newton")
    ]
    np.testing.assert_array_equal(*matrices)
    assert np.abs(matrices[0] - hessian(model, X, y, sample_weight=weight).toarray()).max() > 1e-6


@every_model
def test_standardised_coordinates_have_a_unit_diagonal_and_products_are_those_of_the_matrix(name, rng):
    model, X, y, weight = fitted_model(name, rng)
    units = {"sample_weight": weight, "units": "standardised"}
    expected, observed, ends = (
        spectrum(model, X, y, **units, **options) for options in ({"kind": "expected"}, {}, {"k": 1})
    )
    assert expected.trace == pytest.approx(len(expected.values), rel=1e-10)
    np.testing.assert_allclose(ends.values, observed.values[[0, -1]], atol=1e-7)


@pytest.mark.parametrize("alpha", [0, 1.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_constant_columns_have_a_coordinate_of_their_own(alpha, fit_intercept, rng):
    X = np.column_stack([rng.normal(size=(40, 2)), np.full(40, 3.0 if fit_intercept else 0.0)])
    model, _ = convergence_warnings(lambda: Ridge(alpha=alpha, fit_intercept=fit_intercept).fit(X, X[:, 0]))
    without, _ = convergence_warnings(lambda: Ridge(alpha=alpha, fit_intercept=fit_intercept).fit(X[:, :2], X[:, 0]))
    found = spectrum(model, X, X[:, 0], units="standardised", eigenvectors=True)
    rest = spectrum(without, X[:, :2], X[:, 0], units="standardised").values
    np.testing.assert_allclose(found.values, np.sort(np.append(rest, float(alpha > 0))), atol=1e-12)
    assert found.n_flat == (alpha == 0)


@pytest.mark.parametrize(("C", "n_shifts"), [(np.inf, 5), (1.0, 1)])
def test_the_common_shift_of_softmax_has_no_curvature(C, n_shifts, iris):
    model, _ = convergence_warnings(lambda: LogisticRegression(C=C).fit(*iris))
    assert spectrum(model, *iris, units="standardised", kind="expected").n_flat == n_shifts


def test_times_the_total_weight_it_is_that_of_the_log_likelihood(rng):
    """statsmodels' Hessians, of a unit dispersion; its constant comes first."""
    X = rng.normal(size=(80, 2))
    order = [2, 0, 1]
    weight = rng.integers(1, 4, size=80).astype(float)
    design = sm.add_constant(X)
    y = (X[:, 0] + rng.logistic(size=80) > 0).astype(float)
    model = LogisticRegression(C=np.inf, tol=1e-9).fit(X, y, weight)
    H = hessian(model, X, y, sample_weight=weight)
    peer = sm.GLM(y, design, sm.families.Binomial(), freq_weights=weight)
    theta = np.append(model.intercept_, model.coef_)
    np.testing.assert_allclose(-H.total_weight * H.toarray()[np.ix_(order, order)], peer.hessian(theta), rtol=1e-9)
    y = rng.gamma(3, np.exp(X[:, 0]) / 3)
    model = GammaRegressor(alpha=0, tol=1e-9).fit(X, y, weight)
    peer = sm.GLM(y, design, sm.families.Gamma(sm.families.links.Log()), freq_weights=weight)
    theta = np.append(model.intercept_, model.coef_)
    for kind in ("observed", "expected"):
        H = hessian(model, X, y, sample_weight=weight, kind=kind)
        expected = peer.hessian(theta, scale=1, observed=kind == "observed")
        np.testing.assert_allclose(-H.total_weight * H.toarray()[np.ix_(order, order)], expected, rtol=1e-9)


def test_bad_arguments_are_named(rng):
    model, X, y, _ = fitted_model("PoissonRegressor", rng)
    message = r"kind must be one of \('observed', 'expected', 'gauss-newton'\), got 'exact'"
    assert_refused(message, hessian, model, X, y, kind="exact")
    assert_refused("X has 2 features", hessian, PoissonRegressor().fit(X, y), X[:, :2], y)


@pytest.mark.parametrize("name", ["PoissonRegressor", "LogisticRegression"])
def test_results_can_be_saved(name, rng):
    model, X, y, _ = fitted_model(name, rng)
    operator, v = hessian(model, X, y), rng.normal(size=X.shape[1] + 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(operator)) @ v, operator @ v)
    expansion = taylor_model(model, X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(expansion))(v), expansion(v))


def test_results_of_a_network_can_be_saved(rng):
    X = rng.normal(size=(30, 2))
    network = convergence_warnings(lambda: MLPRegressor(hidden_layer_sizes=(2,), max_iter=3).fit(X, X[:, 0]))[0]
    operator = hessian(network, X, X[:, 0])
    operator.matvec(np.ones(operator.shape[0]))
    again = pickle.loads(pickle.dumps(operator))
    np.testing.assert_array_equal(again @ np.eye(operator.shape[0]), operator @ np.eye(operator.shape[0]))


# -- of an objective -------------------------------------------------------------------------------------------------


def test_an_objective_has_a_hessian_at_any_point(rng):
    X, theta = rng.normal(size=(40, 2)), np.array([0.3, -0.2])
    function = FunctionObjective(lambda x: x[0] ** 4 + x[0] * x[1] + x[1] ** 2)
    np.testing.assert_allclose(hessian(function, theta=theta).toarray(), [[12 * 0.09, 1], [1, 2]], atol=1e-4)
    residuals = LeastSquaresObjective(lambda x: X @ x - 1)
    np.testing.assert_allclose(hessian(residuals, theta=theta, kind="gauss-newton") @ np.eye(2), X.T @ X, rtol=1e-6)
    rows = GLMObjective(X, X[:, 0], SquaredLoss(), fit_intercept=False)
    np.testing.assert_allclose(hessian(rows, theta=theta).toarray(), X.T @ X / 40)


def test_a_restricted_objective_has_the_names_of_what_is_free(rng):
    X = rng.normal(size=(40, 2))
    rows = GLMObjective(X, X[:, 0], SquaredLoss(), feature_names=["a", "b"])
    H = hessian(RestrictedObjective.holding(rows, np.zeros(3), [0]), theta=np.zeros(2))
    assert (H.parameter_names, H.total_weight) == (["b", "intercept"], 40)
    sums = RestrictedObjective.subject_to(rows, [[1.0, 1.0, 0.0]], [1.0])
    assert hessian(sums, theta=np.zeros(2)).parameter_names[0] in ("w[0]", "intercept")


def test_an_objective_needs_a_point_and_has_its_own_rows():
    function = FunctionObjective(lambda x: x @ x)
    assert_refused("theta is needed", hessian, function)
    assert_refused("X belongs to an estimator", hessian, function, np.eye(2), theta=[0.0, 0.0])
    assert_refused("no expected", hessian(function, theta=[0.0, 0.0], kind="expected").toarray)
