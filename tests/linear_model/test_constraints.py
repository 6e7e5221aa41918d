"""Bounds, linear constraints and monotone coefficients of linear models, against peers and known active sets."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, lsq_linear, minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_hessian.inspection import coef_table, hessian, influence, laplace, stationary_point
from sk_hessian.linear_model import (
    BinomialRegressor,
    GammaRegressor,
    GeneralizedLinearRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    OrdinalClassifier,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.objectives import Blocks, SquaredLoss
from sk_hessian.solvers import Newton
from tests.checks import OF_SOLVERS, checks

SOLVERS = ("newton", "lbfgs", "auto")

MODELS = {
    "LinearRegression": LinearRegression(),
    "Ridge": Ridge(2.0),
    "LogisticRegression": LogisticRegression(),
    "jeffreys": LogisticRegression(C=np.inf, jeffreys=True),
    "PoissonRegressor": PoissonRegressor(alpha=0.01),
    "GammaRegressor": GammaRegressor(alpha=0.01),
    "TweedieRegressor": TweedieRegressor(power=1.5, alpha=0.0),
    "NegativeBinomialRegressor": NegativeBinomialRegressor(alpha=0.01),
    "BinomialRegressor": BinomialRegressor("cloglog", alpha=0.01),
    "cauchit": BinomialRegressor("cauchit", alpha=0.01),
    "HuberRegressor": HuberRegressor(),
    "OrdinalClassifier": OrdinalClassifier(),
    "GeneralizedLinearRegressor": GeneralizedLinearRegressor(SquaredLoss(), alpha=0.01),
}


def raw(rng, n=300, p=6):
    """Correlated columns in units of their own, far from zero."""
    X = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + 3 * rng.normal(size=p)
    return X * np.logspace(-2, 2, p)


def target_of(name, X, rng):
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    signal = Z @ np.linspace(-0.4, 0.4, X.shape[1])
    counts = rng.poisson(np.exp(signal + 0.5))
    return {
        "GammaRegressor": counts + 0.5,
        "BinomialRegressor": (counts > 1) * 1.0,
        "cauchit": (counts > 1) * 1.0,
        "LogisticRegression": counts > 1,
        "jeffreys": counts > 1,
        "OrdinalClassifier": np.minimum(counts, 3),
    }.get(name, counts * 1.0)


def named(X):
    return pd.DataFrame(X, columns=list("abcdef")[: X.shape[1]])


def in_units(X):
    """Limits that make sense for columns of these sizes."""
    return 1 / X.std(axis=0)


# -- against peers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LinearRegression, Ridge], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("solver", SOLVERS)
def test_positive_least_squares_are_those_of_scikit_learn(kind, solver, rng):
    X = raw(rng) / np.logspace(-2, 2, 6)
    Y = np.column_stack([target_of("", X, rng), -target_of("", X, rng)])
    for y in (Y[:, 0], Y):
        ours = kind(positive=True, solver=solver).fit(X, y)
        options = {} if kind is LinearRegression else {"tol": 1e-14}
        theirs = getattr(sklearn.linear_model, kind.__name__)(positive=True, **options).fit(X, y)
        assert ours.convergence_.status == "optimal"
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-6 * np.abs(theirs.coef_).max())
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-6)
        assert (ours.coef_ >= 0).all()
        assert (ours.coef_ == 0).any()


def test_bounded_least_squares_are_those_of_scipy(rng):
    X = raw(rng) / np.logspace(-2, 2, 6)
    y = target_of("", X, rng)
    low, high = np.full(6, -0.05), np.full(6, 0.1)
    high[2] = np.inf
    ours = LinearRegression(bounds=Bounds(low, high)).fit(X, y)
    theirs = lsq_linear(np.column_stack([X, np.ones(len(X))]), y, (np.append(low, -np.inf), np.append(high, np.inf)))
    best = lsq_linear(X - X.mean(axis=0), y - y.mean(), (low, high), tol=1e-14, method="bvls")
    np.testing.assert_allclose(ours.coef_, best.x, rtol=1e-9, atol=1e-12)
    assert ours.convergence_.objective <= theirs.cost / len(y) * (1 + 1e-12)


def by_scipy(model, X, y):
    """The objective of a fitted model, minimised by SLSQP over its constraints from its own optimum, moved a little."""
    objective, theta = model.fitted_objective(X, y)
    p, n = objective.n_features, objective.n_parameters
    rest = n - p
    unit = np.append(in_units(X), np.ones(rest))

    def function(u):
        value, gradient = objective.value_and_gradient(u * unit)
        return value, gradient * unit

    low, high = (
        np.append(limit, np.full(rest, side)) for limit, side in zip(limits(X), (-np.inf, np.inf), strict=True)
    )
    A = np.hstack([rows_of(X), np.zeros((2, rest))]) * unit
    rows = [{"type": "eq", "fun": lambda u: A[0] @ u - 0.1, "jac": lambda u: A[0]}]
    rows += [{"type": "ineq", "fun": lambda u: A[1] @ u, "jac": lambda u: A[1]}]
    found = minimize(
        function, theta / unit + 1e-3, jac=True, method="SLSQP", bounds=Bounds(low / unit, high / unit),
        constraints=rows, options={"ftol": 1e-15, "maxiter": 500},
    )  # fmt: skip
    return found.x * unit, found.fun


def limits(X):
    unit = in_units(X)
    return np.array([-0.05, -np.inf, -np.inf, -0.2, 0.02, -np.inf]) * unit, np.array([np.inf] * 3 + [0.1] * 3) * unit


def rows_of(X):
    """An equation and an inequality in coefficients."""
    unit = in_units(X)
    return np.array([[1.0, 1, 1, 1, 1, 1], [0.0, 1, -1, 0, 0, 0]]) / unit


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
@pytest.mark.parametrize("name", MODELS)
def test_bounds_and_linear_constraints_are_those_of_slsqp(name, solver, rng):
    X = raw(rng)
    y = target_of(name, X, rng)
    constraints = [LinearConstraint(rows_of(X)[:1], 0.1, 0.1), (sparse.csr_array(rows_of(X)[1:]), 0.0, np.inf)]
    model = clone(MODELS[name]).set_params(solver=solver, tol=1e-7, bounds=limits(X), constraints=constraints)
    model.fit(X, y)
    assert model.convergence_.status == "optimal"
    theta, value = by_scipy(model, X, y)
    coef, unit = np.ravel(model.coef_), in_units(X)
    assert model.convergence_.objective <= value + 1e-9 * max(1, abs(value))
    np.testing.assert_allclose(coef / unit, theta[:6] / unit, atol=1e-5)
    np.testing.assert_allclose(rows_of(X)[0] @ coef, 0.1, rtol=1e-12)
    low, high = limits(X)
    assert (coef >= low).all()
    assert (coef <= high).all()
    assert rows_of(X)[1] @ coef >= -1e-12
    assert len(model.active_constraints_) == len(model.multipliers_) >= 2
    assert (model.multipliers_ >= 0).all()


def test_bounded_poisson_is_that_of_glum(rng):
    glum = pytest.importorskip("glum")
    X = StandardScaler().fit_transform(raw(rng))
    y = target_of("", X, rng)
    low, high = np.zeros(6), np.full(6, 0.05)
    theirs = glum.GeneralizedLinearRegressor(
        family="poisson", alpha=0.01, l1_ratio=0, lower_bounds=low, upper_bounds=high, gradient_tol=1e-9
    ).fit(X, y)
    ours = PoissonRegressor(alpha=0.01, positive=True, bounds=(-np.inf, 0.05), tol=1e-6).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-7)
    ordered = np.array([[-1.0, 1, 0, 0, 0, 0], [0, -1, 1, 0, 0, 0]])
    theirs = glum.GeneralizedLinearRegressor(
        family="poisson", alpha=0.01, l1_ratio=0, A_ineq=-ordered, b_ineq=np.zeros(2), gradient_tol=1e-9, max_iter=1000
    ).fit(X, y)
    ours = PoissonRegressor(alpha=0.01, monotone={(0, 1, 2): "increasing"}, tol=1e-6).fit(X, y)
    objective = ours.fitted_objective(X, y)[0]
    value = objective.value_and_gradient(objective.pack(theirs.coef_[:, None], [theirs.intercept_], []))[0]
    assert ours.convergence_.objective <= value + 1e-12
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)


# -- known active sets -----------------------------------------------------------------------------------------------


def planted(seed):
    """Rows, constraints and the solution of a random problem, by its conditions of optimality.

    With coefficients b and multipliers m, y is chosen so that the gradient is A'm: residuals that are orthogonal to the
    columns but for that.
    """
    rng = np.random.default_rng(seed)
    p = int(rng.integers(2, 12))
    n = int(rng.integers(p + 2, 60))
    X = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) * 10.0 ** rng.uniform(-2, 2, size=p)
    b = rng.normal(size=p) / np.linalg.norm(X, axis=0)
    m = int(rng.integers(0, p))
    A = rng.normal(size=(int(rng.integers(0, 4)) + m, p)) / np.abs(b)
    n_active = min(m, len(A), p - 1)
    low = A @ b - np.where(np.arange(len(A)) < n_active, 0.0, rng.uniform(0.1, 2, size=len(A)))
    multipliers = np.where(np.arange(len(A)) < n_active, rng.uniform(0.1, 3, size=len(A)), 0.0)
    at_bound = rng.random(p) < 0.3 * (n_active == 0)
    limits = np.where(at_bound, b, b - np.abs(b) * rng.uniform(0.1, 2, size=p))
    push = np.where(at_bound, rng.uniform(0.1, 3, size=p) * np.linalg.norm(X, axis=0), 0.0)
    gradient = A.T @ (multipliers * np.abs(A @ (1 / np.linalg.norm(X, axis=0) ** 2)) ** -1) if len(A) else np.zeros(p)
    gradient = gradient + push
    noise = rng.normal(size=n)
    Q = np.linalg.qr(X)[0]
    residual = noise - Q @ (Q.T @ noise) + X @ np.linalg.solve(X.T @ X, gradient)
    return X, X @ b - residual, (A, low, limits), b


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_active_sets_that_are_known_are_found(start):
    """200 problems of least squares; the certificate is to 1e-8 of the scale."""
    for seed in range(start, start + 50):
        X, y, (A, low, limits), b = planted(seed)
        rows = None if not len(A) else (A, low, np.inf)
        model = LinearRegression(fit_intercept=False, bounds=(limits, np.inf), constraints=rows, tol=1e-6).fit(X, y)
        assert model.convergence_.status == "optimal", seed
        assert model.convergence_.decrement <= 1e-8 * model.convergence_.scale
        unit = np.linalg.norm(X, axis=0)
        assert np.linalg.norm(X @ (model.coef_ - b)) <= 1e-6 * np.linalg.norm(X @ b), seed
        assert (model.coef_ >= limits).all()
        off = A @ model.coef_ - low
        assert (off >= -1e-9 * (np.abs(A) @ np.abs(b))).all()
        assert unit.all()


def test_multipliers_are_what_the_objective_gains(rng):
    X = raw(rng)
    y = target_of("", X, rng)
    model = PoissonRegressor(alpha=0.01, positive=True, tol=1e-8).fit(X, y)
    name, multiplier = model.active_constraints_[0], model.multipliers_[0]
    column, step = int(name.split(" ")[0][1:]), 1e-5 * in_units(X)[int(name.split(" ")[0][1:])]
    moved = clone(model).set_params(positive=False, bounds=(np.where(np.arange(6) == column, -step, 0.0), np.inf))
    gain = model.convergence_.objective - moved.fit(X, y).convergence_.objective
    assert name == f"x{column} >= 0"
    np.testing.assert_allclose(gain, multiplier * step, rtol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_constraints_that_do_not_bind_change_nothing(name, rng):
    X = raw(rng)
    y = target_of(name, X, rng)
    free = clone(MODELS[name]).set_params(tol=1e-8).fit(X, y)
    wide = clone(free).set_params(bounds=(-1e6, 1e6), constraints=(np.ones((1, 6)), -1e6, 1e6)).fit(X, y)
    assert wide.convergence_.status == "optimal"
    assert wide.active_constraints_ == ()
    unit = in_units(X)
    np.testing.assert_allclose(wide.coef_ / unit, free.coef_ / unit, atol=1e-6)
    assert not hasattr(free, "active_constraints_")


# -- what users write ------------------------------------------------------------------------------------------------


def test_constraints_may_name_columns(rng):
    X = named(raw(rng) / np.logspace(-2, 2, 6))
    y = target_of("", X.to_numpy(), rng)
    by_name = Ridge(
        bounds={"a": (0, None), "[ef]": (None, 0.1)},
        constraints=(pd.DataFrame({"b": [1.0], "c": [1.0]}, index=["share"]), 0.5, 0.5),
        monotone={"d": "decreasing", ("a", "b"): "increasing"},
    ).fit(X, y)
    low = [0, -np.inf, -np.inf, -np.inf, -np.inf, -np.inf]
    high = [np.inf, np.inf, np.inf, 0, 0.1, 0.1]
    A = np.array([[0.0, 1, 1, 0, 0, 0], [-1, 1, 0, 0, 0, 0]])
    by_position = Ridge(bounds=(low, high), constraints=(A, [0.5, 0], [0.5, np.inf])).fit(X, y)
    np.testing.assert_allclose(by_name.coef_, by_position.coef_, rtol=1e-9, atol=1e-12)
    assert "share = 0.5" in by_name.active_constraints_
    numbered = Ridge(monotone={3: "decreasing", (0, 1): "increasing"}, bounds={0: (0, None)}).fit(X.to_numpy(), y)
    assert numbered.coef_[3] <= 0 <= numbered.coef_[0] <= numbered.coef_[1]


@pytest.mark.parametrize("kind", ["sparse", "blocks", "float32", "weights"])
def test_kinds_of_rows(kind, rng):
    X = raw(rng) / np.logspace(-2, 2, 6)
    y = target_of("", X, rng)
    model = PoissonRegressor(alpha=0.01, positive=True, tol=1e-8)
    expected = clone(model).fit(X, y)
    if kind == "sparse":
        other = model.fit(sparse.csr_array(X), y)
    elif kind == "blocks":
        other = model.fit(Blocks(lambda: ((X[i : i + 100], y[i : i + 100]) for i in range(0, 300, 100))))
    elif kind == "float32":
        other = model.fit(X.astype(np.float32), y)
    else:
        expected = clone(model).fit(np.vstack([X, X[:50]]), np.append(y, y[:50]))
        other = model.fit(X, y, sample_weight=np.where(np.arange(300) < 50, 2, 1))
    assert other.convergence_.status == "optimal"
    assert other.active_constraints_ == expected.active_constraints_
    np.testing.assert_allclose(other.coef_, expected.coef_, atol=1e-6)


def test_dependent_columns_have_one_of_their_solutions(rng):
    X = rng.normal(size=(50, 3))
    X = np.column_stack([X, X.sum(axis=1), np.ones(50)])
    y = X[:, 0] - X[:, 1] + rng.normal(size=50)
    model = LinearRegression(positive=True).fit(X, y)
    theirs = sklearn.linear_model.LinearRegression(positive=True).fit(X, y)
    np.testing.assert_allclose(model.predict(X), theirs.predict(X), atol=1e-6)
    assert model.convergence_.status == "optimal"
    assert model.rank_ == 3
    assert model.convergence_.flat_directions
    with pytest.warns(ConvergenceWarning, match="the feasible solution of least norm"):
        PoissonRegressor(alpha=0, positive=True).fit(X, np.exp(0.1 * y))


def test_more_columns_than_rows(rng):
    X, y = rng.normal(size=(40, 200)), rng.normal(size=40)
    ours = Ridge(3.0, positive=True, tol=1e-7).fit(X, y)
    theirs = sklearn.linear_model.Ridge(3.0, positive=True, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_array_equal(ours.coef_ == 0, theirs.coef_ < 1e-9)


def test_a_warm_start_begins_at_the_nearest_feasible_point(rng):
    X = raw(rng)
    y = target_of("", X, rng)
    model = PoissonRegressor(alpha=0.01, warm_start=True, tol=1e-7).fit(X, y)
    again = model.set_params(positive=True).fit(X, y)
    cold = PoissonRegressor(alpha=0.01, positive=True, tol=1e-7).fit(X, y)
    np.testing.assert_allclose(again.coef_ / in_units(X), cold.coef_ / in_units(X), atol=1e-6)
    assert model.fit(X, y).n_iter_ <= cold.n_iter_


def test_parameters_are_copied_pickled_and_shown(rng):
    X = raw(rng)
    y = target_of("", X, rng)
    model = make_pipeline(StandardScaler(), Ridge(bounds=Bounds(0, 1), constraints=[(np.ones((1, 6)), 0, 1)]))
    other = pickle.loads(pickle.dumps(clone(model).fit(X, y)))
    np.testing.assert_array_equal(other.predict(X), model.fit(X, y).predict(X))
    assert other[-1].active_constraints_ == model[-1].active_constraints_
    assert "bounds" in repr(model)
    assert model.set_params(ridge__bounds=None, ridge__constraints=None).fit(X, y)
    assert not hasattr(model[-1], "active_constraints_")


POSITIVE = {
    f"{name}-{solver}": clone(model).set_params(solver=solver, positive=True, tol=1e-9)
    for name, model in MODELS.items()
    for solver in ("newton", "lbfgs")
    if name not in ("jeffreys", "BinomialRegressor", "cauchit", "GeneralizedLinearRegressor", "LogisticRegression")
}
POSITIVE["HuberRegressor-newton"].alpha = POSITIVE["HuberRegressor-lbfgs"].alpha = 1.0


@checks(POSITIVE, only=OF_SOLVERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:OrdinalClassifier")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# -- inspection ------------------------------------------------------------------------------------------------------


def test_inspection_refuses_what_active_constraints_make_wrong(rng):
    X = raw(rng)
    y = target_of("", X, rng)
    model = PoissonRegressor(alpha=0, positive=True, tol=1e-6).fit(X, y)
    for function in (coef_table, influence):
        with pytest.raises(ValueError, match="constraints hold this PoissonRegressor back: x"):
            function(model, X, y)
    assert hessian(model, X, y).shape == (7, 7)
    assert "hold this fit back" in stationary_point(model, X, y).message
    with pytest.raises(ValueError, match="constraints hold this PoissonRegressor back: x"):
        laplace(clone(model).set_params(alpha=0.1).fit(X, y), X, y)
    wide = PoissonRegressor(alpha=0, bounds=(-1e6, 1e6), tol=1e-6).fit(X, y)
    free = PoissonRegressor(alpha=0, tol=1e-6).fit(X, y)
    errors = [coef_table(fit, X, y).std_error for fit in (wide, free)]
    np.testing.assert_allclose(*errors, rtol=1e-6)


# -- bad input -------------------------------------------------------------------------------------------------------

BAD = {
    "positive": ({"positive": 1}, "positive must be True or False"),
    "above": ({"bounds": (1.0, 0.0)}, "a has the lower limit 1 and the upper limit 0"),
    "signs": ({"positive": True, "bounds": {"b": (None, -0.5)}}, "b has the lower limit 0 and the upper limit -0.5"),
    "nan": ({"bounds": (np.nan, 0.0)}, "bounds must not be nan"),
    "pairs": ({"bounds": [(0, 1)] * 6}, "np.transpose"),
    "name": ({"bounds": {"aa": (0, 1)}}, "bounds names the column 'aa'"),
    "pair": ({"bounds": {"a": 0}}, "must be a pair"),
    "no-constraint": ({"constraints": np.ones((1, 6))}, "LinearConstraint"),
    "shape": ({"constraints": (np.ones((1, 5)), 0, 1)}, "for each of the 6 columns"),
    "limits": ({"constraints": (np.ones((2, 6)), [0, 0, 0], 1)}, "2 rows of A"),
    "frame": ({"constraints": (pd.DataFrame({"z": [1.0]}), 0, 1)}, "constraints names the column 'z'"),
    "direction": ({"monotone": {"a": "up"}}, "increasing"),
    "monotone": ({"monotone": ["a"]}, "monotone must be a dict"),
    "one": ({"monotone": {("a",): "increasing"}}, "at least two columns"),
    "solver": ({"positive": True, "solver": "sgd"}, "positive needs the solver 'newton', 'lbfgs' or 'auto'"),
    "evidence": ({"positive": True, "alpha": "evidence"}, "positive needs a number for the strength"),
    "groups": ({"positive": True, "penalty_weights": {"a": "evidence"}}, "positive needs a number for the strength"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, rng):
    options, text = BAD[case]
    X = named(raw(rng))
    with pytest.raises((ValueError, TypeError), match=text):
        Ridge(**options).fit(X, target_of("", X.to_numpy(), rng))


def test_contradictions_are_named_with_the_smallest_violation(rng):
    X = named(raw(rng))
    y = target_of("", X.to_numpy(), rng)
    rows = (pd.DataFrame({"a": [1.0, 0.0], "b": [1.0, 1.0]}), [4.0, -np.inf], [np.inf, 1.0])
    with pytest.raises(ValueError, match=r"a \+ b >= 4; b <= 1; 0 <= a <= 2 contradict .* possible is 0.5"):
        Ridge(constraints=rows, bounds={"a": (0, 2), "f": (0, 1)}).fit(X, y)


def test_softmax_and_streams_are_refused(iris, rng):
    X, y = iris
    with pytest.raises(ValueError, match="positive is not for a softmax model"):
        LogisticRegression(positive=True).fit(X, y)
    for model in (PoissonRegressor(positive=True), LogisticRegression(positive=True)):
        assert not hasattr(model, "partial_fit")
        with pytest.raises(AttributeError) as error:
            model.partial_fit(X, y > 0)
        assert "partial_fit is not there with positive" in str(error.value.__cause__)
    with pytest.raises(ValueError, match="3000 are the most"):
        Ridge(positive=True).fit(sparse.random_array((20, 3001), rng=0), np.ones(20))


def test_options_of_newton_are_taken(rng):
    X = raw(rng)
    y = target_of("", X, rng)
    plain = PoissonRegressor(alpha=0.01, positive=True, tol=1e-7).fit(X, y)
    for options in ({"hessian": "gauss-newton"}, {"damping": 1e-3}, {"linear_solver": "cg"}, {"hessian": "subsampled"}):
        other = clone(plain).set_params(solver=Newton(**options)).fit(X, y)
        assert other.convergence_.status == "optimal"
        np.testing.assert_allclose(other.coef_ / in_units(X), plain.coef_ / in_units(X), atol=1e-5)


# -- domains and infinity --------------------------------------------------------------------------------------------


def additive(rng, fit_intercept):
    """Counts whose mean is a sum, with rows of zeros that bring the best mean to zero."""
    X = rng.exponential(size=(60, 4))
    X[:20, 2:] = 0
    y = rng.poisson(np.clip(X @ [0.6, 0.0, 1.5, -0.4] - 0.3 * fit_intercept, 0, None)).astype(float)
    return X, y


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_identity_links_are_those_of_slsqp_also_where_a_mean_is_zero(seed, fit_intercept, solver):
    X, y = additive(np.random.default_rng(seed), fit_intercept)
    model = TweedieRegressor(
        power=1, link="identity", alpha=0, fit_intercept=fit_intercept, positive=True, solver=solver, tol=1e-6
    )
    model.fit(X, y)
    Z = np.column_stack([X, np.ones(60)]) if fit_intercept else X

    def loss(b):
        mean = Z @ b
        return float(np.mean(mean - np.where(y > 0, y * np.log(np.maximum(mean, 1e-12)), 0)))

    def slope(b):
        return Z.T @ (1 - y / np.maximum(Z @ b, 1e-12)) / 60

    start = np.full(Z.shape[1], y.mean() + 0.1)
    theirs = minimize(
        loss, start, jac=slope, method="SLSQP", bounds=[(0, None)] * 4 + [(None, None)] * fit_intercept,
        constraints={"type": "ineq", "fun": lambda b: Z @ b, "jac": lambda b: Z}, options={"ftol": 1e-15},
    )  # fmt: skip
    ours = np.append(model.coef_, model.intercept_) if fit_intercept else model.coef_
    assert model.convergence_.status == "optimal"
    assert (X @ model.coef_ + model.intercept_ >= 0).all()
    np.testing.assert_allclose(loss(ours), theirs.fun, rtol=1e-7, atol=1e-8)


def test_a_start_is_found_within_bounds_and_domain(rng):
    """The null model is in neither: means above zero need coefficients between their bounds."""
    X = np.column_stack([rng.uniform(1, 2, size=50), rng.uniform(-2, -1, size=50)])
    y = rng.poisson(3, size=50) + 1.0
    options = {"power": 1, "link": "identity", "alpha": 0, "fit_intercept": False}
    model = TweedieRegressor(bounds=([0.5, 0.2], [9, 9]), **options).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert (X @ model.coef_ > 0).all()
    with pytest.raises(ValueError, match="no coefficients that satisfy all constraints give one"):
        TweedieRegressor(bounds=(-9, 0), constraints=([[1.0, -1.0]], -np.inf, -1.0), **options).fit(X, y)


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_separation_counts_where_constraints_allow_it(solver, rng):
    X = rng.random((200, 3))
    y = (X[:, 0] > 0.5) * 1
    free = LogisticRegression(C=np.inf, solver=solver, positive=True)
    with pytest.warns(ConvergenceWarning, match="class 1 is separated from the rest by x0"):
        assert free.fit(X, y).convergence_.status == "separated"
    for options in ({"bounds": (-5, 5)}, {"monotone": {0: "decreasing"}}):
        held = LogisticRegression(C=np.inf, solver=solver, **options).fit(X, y)
        assert held.convergence_.status == "optimal"
        assert held.active_constraints_[0].startswith("x0 <= ")
    counts, empty = rng.poisson(2, size=200) * (X[:, 1] > 0.5), np.column_stack([X, X[:, 1] <= 0.5])
    with pytest.warns(ConvergenceWarning, match="y = 0 is separated from the rest by x3"):
        PoissonRegressor(alpha=0, bounds={0: (0, 1)}, solver=solver).fit(empty, counts)
    assert (
        PoissonRegressor(alpha=0, bounds={3: (-3, 3)}, solver=solver).fit(empty, counts).convergence_.status
        == "optimal"
    )
