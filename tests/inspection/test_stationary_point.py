import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from sk_hessian.inspection import flat_directions, stationary_point
from sk_hessian.linear_model import (
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import FunctionObjective, GLMObjective, LeastSquaresObjective, MLPObjective, SquaredLoss
from sk_hessian.solvers import minimize
from tests.estimators import ESTIMATORS, UNPENALISED, assert_refused, convergence_warnings, target


def quadratic(values, **derivatives):
    d = np.asarray(values, dtype=float)
    known = {"jac": lambda x: d * x, "hess": lambda x: np.diag(d), "hessp": lambda x, v: d * v}
    given = {name: known[name] for name, wanted in derivatives.items() if wanted}
    return FunctionObjective(lambda x: 0.5 * d @ x**2, **given)


DERIVATIVES = [{}, {"jac": True}, {"jac": True, "hess": True}, {"jac": True, "hessp": True}]


@pytest.mark.parametrize("derivatives", DERIVATIVES)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    ("values", "kind", "n_negative", "n_flat"),
    [
        ([2.0, 5.0], "minimum", 0, 0),
        ([2.0, -5.0], "saddle", 1, 0),
        ([-2.0, -5.0], "maximum", 2, 0),
        ([1.0, -1.0, -2.0], "saddle", 2, 0),
        ([1.0, 0.0], "degenerate", 0, 1),
        ([-1.0, 0.0], "degenerate", 1, 1),
        ([1.0, -1.0, 0.0], "saddle", 1, 1),
    ],
)
def test_known_signs(values, kind, n_negative, n_flat, unit, derivatives):
    objective = quadratic(unit * np.array(values), **derivatives)
    found = stationary_point(objective, theta=np.zeros(len(values)))
    assert (found.kind, found.n_negative, found.n_flat) == (kind, n_negative, n_flat)
    if n_negative:
        start, end = (objective.value_and_gradient(theta)[0] for theta in (np.zeros(len(values)), found.step))
        assert found.decrease == pytest.approx(start - end)
        assert found.decrease > 0
    else:
        assert (found.step, found.decrease) == (None, 0)


def test_signs_do_not_depend_on_the_units_of_the_parameters():
    units = 10.0 ** np.array([-3, 0, 3])
    found = stationary_point(quadratic([3.0, -1.0, 2.0] * units**2, jac=True, hess=True), theta=np.zeros(3))
    assert (found.kind, found.n_negative, found.n_flat, found.direction_name) == ("saddle", 1, 0, "theta[1]")
    assert found.lowest == pytest.approx(-1)


def test_a_saddle_that_only_the_off_diagonal_tells():
    found = stationary_point(FunctionObjective(lambda x: x[0] * x[1], jac=lambda x: x[::-1]), theta=[0.0, 0.0])
    assert found.kind == "saddle"
    assert found.decrease > 0
    assert found.step[0] == pytest.approx(-found.step[1])


def test_a_monkey_saddle_is_degenerate():
    monkey = FunctionObjective(
        lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2, jac=lambda x: [3 * x[0] ** 2 - 3 * x[1] ** 2, -6 * x[0] * x[1]]
    )
    found = stationary_point(monkey, theta=[0.0, 0.0])
    assert (found.kind, found.n_flat, found.step) == ("degenerate", 2, None)
    assert "second derivatives do not decide" in found.message
    assert found.message in " ".join(str(found).split())


def test_negative_curvature_that_no_step_confirms_is_no_saddle():
    wrong = FunctionObjective(lambda x: x @ x, jac=lambda x: 2 * x, hess=lambda x: np.diag([2.0, -2.0]))
    found = stationary_point(wrong, theta=[0.0, 0.0])
    assert (found.kind, found.n_negative, found.step, found.decrease) == ("degenerate", 1, None, 0.0)


def test_a_point_that_is_not_stationary():
    found = stationary_point(FunctionObjective(rosen, jac=rosen_der), theta=[-1.0, 2.0])
    assert found.kind == "none"
    assert "Not a stationary point" in found.message
    assert stationary_point(FunctionObjective(rosen, jac=rosen_der), theta=[1.0, 1.0]).kind == "minimum"
    assert stationary_point(FunctionObjective(lambda x: x[0]), theta=[3.0]).kind == "none"


def test_a_stationary_point_of_residuals():
    t = np.arange(5.0)
    decay = LeastSquaresObjective(lambda x: x[0] * np.exp(-x[1] * t) - 3 * np.exp(-0.5 * t) - 0.1 * np.cos(t))
    assert stationary_point(decay, theta=[1.0, 1.0]).kind == "none"
    best = minimize(decay, [1.0, 1.0], tol=1e-6).x
    assert stationary_point(decay, theta=best).kind == "minimum"


@pytest.mark.parametrize("name", UNPENALISED)
def test_fits_of_raw_tables_are_minima(name, X, y):
    found = stationary_point(UNPENALISED[name].fit(X, y), X, y)
    assert (found.kind, found.n_negative, found.n_flat) == ("minimum", 0, 0)
    assert found.decrement < 1e-6
    assert found.is_exact


@pytest.mark.parametrize("name", ["LogisticRegression", "PoissonRegressor", "HuberRegressor", "softmax"])
def test_other_points_are_not_stationary(name, X, y):
    model = ESTIMATORS[name].fit(X, y)
    theta = model.fitted_objective(X, y)[1]
    assert stationary_point(model, X, y, theta=theta).kind == "minimum"
    away = theta.copy()
    away[-1] += 0.5
    assert stationary_point(model, X, y, theta=away).kind == "none"


def test_more_columns_than_rows(rng):
    X, y = rng.normal(size=(12, 30)), rng.normal(size=12)
    found = stationary_point(LinearRegression().fit(X, y), X, y)
    assert (found.kind, found.n_flat, len(found.flat)) == ("degenerate", 31 - 12, 31 - 12)
    assert stationary_point(Ridge().fit(X, y), X, y).kind == "minimum"


def test_convex_models_with_flat_directions_are_degenerate_and_name_them(rng):
    x = rng.normal(size=(60, 2))
    X, y = np.column_stack([x, 2 * x[:, 0] + 3]), x[:, 0] + rng.normal(size=60)
    found = stationary_point(LinearRegression().fit(X, y), X, y)
    assert found.kind == "degenerate"
    assert "A minimum, but to working precision not a unique one: the objective is convex" in str(found)
    assert found.flat in (("x2 - 2 x0 - 3 intercept",), ("x0 - 0.5 x2 + 1.5 intercept",))


def test_separated_data_have_no_stationary_point(iris):
    X, y = iris
    model, _ = convergence_warnings(lambda: LogisticRegression(C=np.inf).fit(X, y == 0))
    found = stationary_point(model, X, y == 0)
    assert found.kind == "none"
    assert "at infinity" in found.message


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_the_shift_of_softmax_outputs_is_not_flat(C, rng):
    X = rng.normal(size=(100, 2))
    y = target("softmax", X, rng)
    found = stationary_point(LogisticRegression(C=C).fit(X, y), X, y)
    assert (found.kind, found.n_flat, found.flat) == ("minimum", 0, ())


def test_the_symmetric_start_of_a_network_is_a_saddle(rng):
    """With zero weights the gradient keeps the hidden units as they are; the Hessian says that they want to part."""
    X = rng.normal(size=(80, 1))
    y = X[:, 0] + 0.1 * rng.normal(size=80)
    objective = MLPObjective(X, y, SquaredLoss(), hidden_layer_sizes=(2,), penalty=1e-3)
    theta = objective.pack([np.zeros((1, 2)), np.zeros((2, 1))], [np.zeros(2), np.array([y.mean()])])
    value, gradient = objective.value_and_gradient(theta)
    assert np.abs(gradient).max() < 1e-12
    found = stationary_point(objective, theta=theta)
    assert found.kind == "saddle"
    assert found.n_negative == (np.linalg.eigvalsh(objective.hessian_matrix(theta)) < -1e-10).sum() == 2
    assert objective.value_and_gradient(theta + found.step)[0] == pytest.approx(value - found.decrease)
    assert found.decrease > 0.1 * value
    assert "A saddle: 2 of the eigenvalues are negative" in str(found)


def test_a_trained_network_is_at_a_minimum(rng):
    X = rng.normal(size=(100, 2))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=100)
    model = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", alpha=0.1, random_state=0).fit(X, y)
    found = stationary_point(model, X, y)
    assert (found.kind, found.n_flat) == ("minimum", 0)
    assert found.decrement < 1e-8


def test_the_bias_of_a_unit_that_the_penalty_has_switched_off_is_flat(rng):
    X = rng.normal(size=(100, 2))
    y = (np.sin(X[:, 0]) + 0.1 * rng.normal(size=100) > 0).astype(int)
    model = MLPClassifier(hidden_layer_sizes=(2,), activation="tanh", alpha=0.1, tol=1e-8, random_state=0).fit(X, y)
    assert np.abs(model.coefs_[1][1]).max() < 1e-6
    found = stationary_point(model, X, y)
    assert (found.kind, found.flat) == ("degenerate", ("b1[1]",))
    (direction,) = flat_directions(model, X, y)
    assert direction.coefficients == {"b1[1]": 1.0}


def test_many_parameters_by_products(rng):
    p = 1100
    curvature = rng.uniform(1, 3, size=p)
    objective = quadratic(curvature, jac=True, hessp=True)
    found = stationary_point(objective, theta=np.zeros(p))
    assert (found.kind, found.is_exact) == ("minimum", False)
    assert found.lowest == pytest.approx(curvature.min() / curvature.max(), rel=1e-3)
    curvature[7] = -0.5
    found = stationary_point(quadratic(curvature, jac=True, hessp=True), theta=np.zeros(p))
    assert (found.kind, found.n_negative, found.direction_name) == ("saddle", 1, "theta[7]")
    assert found.decrease > 0
    X, y = rng.normal(size=(30, p)), rng.normal(size=30) > 0
    assert stationary_point(LogisticRegression().fit(X, y), X, y).kind == "minimum"
    assert stationary_point(LinearRegression().fit(X, rng.normal(size=30)), X, y * 1.0).kind == "none"


def test_a_large_network_by_products(rng):
    X = rng.normal(size=(60, 3))
    objective = MLPObjective(X, np.sin(X[:, 0]), SquaredLoss(), hidden_layer_sizes=(250,), penalty=1e-2)
    theta = objective.start(0)
    found = stationary_point(objective, theta=theta)
    assert (found.is_exact, found.kind, found.n_negative) == (False, "none", 1)
    start, end = (objective.value_and_gradient(point)[0] for point in (theta, theta + found.step))
    assert found.decrease == pytest.approx(start - end)
    assert found.decrease > 0


# -- flat directions ---------------------------------------------------------------------------------------------------


def changes(objective, theta, direction):
    """The change of the objective along a direction, beside that of the same coefficients' absolute values."""
    base = objective.value_and_gradient(theta)[0]
    along = objective.value_and_gradient(theta + direction)[0] - base
    across = objective.value_and_gradient(theta + np.abs(direction))[0] - base
    return abs(along), abs(across)


FLAT_TABLES = {
    "collinear": (lambda x, rng: np.column_stack([x, 2 * x[:, 0] - 3 * x[:, 1] + 1e3]), 1),
    "constant": (lambda x, rng: np.column_stack([x, np.full(len(x), 7.0)]), 1),
    "one-hot": (lambda x, rng: np.column_stack([x, np.eye(3)[rng.integers(3, size=len(x))]]), 1),
    "wide": (lambda x, rng: np.column_stack([x, rng.normal(size=(len(x), 70))]), 13),
    "plain": (lambda x, rng: x, 0),
}


CASES = [(name, table) for name in ("LinearRegression", "PoissonRegressor", "softmax") for table in FLAT_TABLES]


# of more columns than rows the optimum of the others is at infinity without a penalty
@pytest.mark.parametrize(
    ("name", "table"), [case for case in CASES if case[1] != "wide"] + [("LinearRegression", "wide")]
)
def test_predictions_do_not_change_along_flat_directions(name, table, rng):
    make, expected = FLAT_TABLES[table]
    x = rng.normal(size=(60, 2)) + 5
    X, y = make(x, rng), target(name, x, rng)
    model, _ = convergence_warnings(lambda: UNPENALISED[name].fit(X, y))
    found = flat_directions(model, X, y)
    assert len(found) == expected * (2 if name == "softmax" else 1)
    objective, theta = model.fitted_objective(X, y)
    for direction in found:
        assert direction.curvature_share < 1e-12
        assert "does not change along" in str(direction)
        along, across = changes(objective, theta, direction.vector)
        assert along <= 1e-12 * max(across, 1)
        names = objective.parameter_names()
        assert {n: v for n, v in zip(names, direction.vector, strict=True) if v} == direction.coefficients


@pytest.mark.parametrize("table", ["collinear", "one-hot", "constant", "wide"])
def test_a_penalty_determines_everything(table, rng):
    x = rng.normal(size=(60, 2))
    X, y = FLAT_TABLES[table][0](x, rng), x[:, 0] + rng.normal(size=60)
    model, _ = convergence_warnings(lambda: Ridge(alpha=1.0).fit(X, y))
    assert flat_directions(model, X, y) == []


def test_a_flat_direction_is_a_sentence(rng):
    x = rng.normal(size=60)
    X = np.column_stack([x, rng.normal(size=60), np.full(60, 7.0)])
    found = flat_directions(LinearRegression().fit(X, x), X, x)
    assert [str(d) for d in found] == ["The objective does not change along x2 - 7 intercept."]
    assert found[0].coefficients == {"x2": 1.0, "intercept": pytest.approx(-7.0)}


def test_weak_directions_have_their_share(rng):
    x, e = rng.normal(size=(2, 400))
    X = np.column_stack([x, x + 1e-4 * e])
    model = PoissonRegressor(alpha=0).fit(X, rng.poisson(np.exp(0.3 * x)))
    (found,) = flat_directions(model, X, rng.poisson(1, size=400))
    assert set(list(found.coefficients)[:2]) == {"x0", "x1"}
    assert list(found.coefficients.values())[1] == pytest.approx(-1, rel=1e-3)
    # for two columns of correlation r the lowest eigenvalue is 1 - r
    mu = model.predict(X)
    r = np.cov(X.T, aweights=mu)
    r = r[0, 1] / np.sqrt(r[0, 0] * r[1, 1])
    assert found.curvature_share == pytest.approx(1 - r, rel=0.1)
    assert "almost flat along" in str(found)
    assert flat_directions(model, X, rng.poisson(1, size=400), tolerance=1e-10) == []


def test_the_terms_are_those_of_the_objectives_own_sentence(rng):
    x = rng.normal(size=(50, 2))
    X, y = np.column_stack([x, 2 * x[:, 0] - 3 * x[:, 1] + 4]), rng.normal(size=50)
    model = LinearRegression().fit(X, y)
    (sentence,) = model.convergence_.flat_directions
    (found,) = flat_directions(model, X, y)
    dependent = sentence.split(" = ")[0]
    share = {name: -value / found.coefficients[dependent] for name, value in found.coefficients.items()}
    row = {name: X[0, int(name[1:])] if name != "intercept" else 1.0 for name in share}
    assert sum(share[name] * row[name] for name in share if name != dependent) == pytest.approx(row[dependent])


@pytest.mark.parametrize("model", [TweedieRegressor(power=1.5, alpha=0), HuberRegressor(alpha=0)])
def test_models_with_constants_and_without_canonical_links(model, rng):
    x = rng.normal(size=(80, 2))
    X = np.column_stack([x, x[:, 0] + x[:, 1]])
    model, _ = convergence_warnings(lambda: model.fit(X, rng.gamma(3, np.exp(x[:, 0]) / 3)))
    (found,) = flat_directions(model, X, rng.gamma(3, np.exp(x[:, 0]) / 3))
    assert set(found.coefficients) == {"x0", "x1", "x2"}


def test_bad_arguments_are_named(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    model = Ridge().fit(X, y)
    objective = GLMObjective(X, y, SquaredLoss())
    assert_refused("tolerance must be between 0 and 1, got 2", flat_directions, model, X, y, tolerance=2)
    assert_refused("tol must be between 0 and 1, got 0", stationary_point, model, X, y, tol=0)
    assert_refused("X and y are needed", stationary_point, model)
    assert_refused("theta is needed", stationary_point, objective)
    assert_refused("X belongs to an estimator", stationary_point, objective, X, theta=np.zeros(3))
    message = "theta has 2 entries, but the objective has 3 parameters"
    assert_refused(message, stationary_point, objective, theta=[0.0, 1.0])
    with pytest.raises(ValueError, match=r"theta must be a non-empty 1-D array of finite numbers, got shape \(1, 2\)"):
        stationary_point(objective, theta=[[0.0, 1.0]])
    assert_refused("estimator must be one of sk_hessian, got int", stationary_point, 3, X, y, error=TypeError)
    assert_refused("not finite at this point", stationary_point, FunctionObjective(lambda x: np.log(x[0])), theta=[0.0])
