"""A penalty that is a matrix: closed forms, other ways to say the same, what inspection makes of it, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import multivariate_normal

from sk_hessian import inspection
from sk_hessian.linear_model import (
    GammaRegressor,
    GeneralizedLinearRegressor,
    HuberRegressor,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.objectives import TweedieLoss
from sk_hessian.solvers import SOLVERS
from tests.estimators import assert_refused, convergence_warnings

P = 5
D = np.diff(np.eye(P), axis=0)
#: squared differences of neighbours: nothing holds their mean
DIFFERENCES = D.T @ D
UNIT = np.array([1.0, 100.0, 0.01, 3.0, 1.0])
MEAN = np.array([0.0, 50.0, 1.0, -7.0, 0.0])


@pytest.fixture
def X(rng):
    """Raw columns, two of them correlated."""
    Z = rng.normal(size=(80, P))
    Z[:, 4] += 2 * Z[:, 3]
    return Z * UNIT + MEAN


@pytest.fixture
def y(X, rng):
    return (X - MEAN) / UNIT @ np.arange(P) + rng.normal(size=len(X)) + 3.0


def definite(rng):
    A = rng.normal(size=(P, P))
    return A @ A.T * np.outer(UNIT, UNIT)


def closed_form(X, y, weight, alpha, M):
    """Least squares with an intercept."""
    Z = np.column_stack([X, np.ones(len(X))])
    penalty = np.zeros((P + 1, P + 1))
    penalty[:P, :P] = alpha * np.eye(P) + M
    return np.linalg.solve(Z.T @ (weight[:, None] * Z) + penalty, Z.T @ (weight[:, None] * np.atleast_2d(y.T).T))


@pytest.mark.parametrize("solver", [*SOLVERS, "auto"])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["array", "csr"])
def test_ridge_is_the_closed_form(solver, make, X, y, rng):
    M, weight = definite(rng), rng.uniform(0.5, 2, size=len(X))
    model = Ridge(alpha=0.3, penalty_matrix=M, solver=solver, tol=1e-6, max_iter=5000, random_state=0)
    model.fit(make(X), y, weight)
    expected = closed_form(X, y, weight, 0.3, M)[:, 0]
    assert model.convergence_.status == "optimal"
    raw = X @ expected[:P] + expected[P]
    np.testing.assert_allclose(model.predict(X), raw, atol=1e-4 * np.ptp(raw))


def test_several_targets_with_their_own_strengths(X, y, rng):
    M, Y, alpha = definite(rng), np.column_stack([y, -y, y**2]), np.array([0.1, 1.0, 30.0])
    model = Ridge(alpha=alpha, penalty_matrix=M, tol=1e-8).fit(X, Y)
    one_by_one = [closed_form(X, Y[:, j], np.ones(len(X)), alpha[j], M)[:P, 0] for j in range(3)]
    np.testing.assert_allclose(model.coef_, one_by_one, rtol=1e-6)


MODELS = [
    Ridge(alpha=2.0),
    LogisticRegression(C=0.5),
    PoissonRegressor(alpha=0.2),
    GammaRegressor(alpha=0.2),
    TweedieRegressor(power=1.5, alpha=0.2),
    HuberRegressor(alpha=0.2),
    NegativeBinomialRegressor(alpha=0.2),
    GeneralizedLinearRegressor(TweedieLoss(1, "log"), alpha=0.2),
]


def names(model):
    return type(model).__name__


def targets(model, y):
    if isinstance(model, LogisticRegression):
        return np.digitize(y, np.quantile(y, [0.3, 0.7]))
    return y if isinstance(model, (Ridge, HuberRegressor)) else np.round(np.exp((y - y.mean()) / y.std())) + 1.0


@pytest.mark.parametrize("model", MODELS, ids=names)
def test_a_diagonal_is_penalty_weights(model, X, y):
    """The strength of each class stands before both in the same way: alpha w I, I w / C."""
    Z, y = (X - MEAN) / UNIT, targets(model, y)
    weights = np.array([0.0, 1.0, 2.0, 0.5, 1.0])
    options = {"tol": 1e-8} if "tol" in model.get_params() else {}
    strength = {"C": np.inf} if "C" in model.get_params() else {"alpha": 0.0}
    size = 1 / model.C if "C" in model.get_params() else model.alpha
    expected = type(model)(**{**model.get_params(), "penalty_weights": weights, **options}).fit(Z, y)
    got = type(model)(**{**model.get_params(), "penalty_matrix": size * np.diag(weights), **strength, **options})
    got.fit(Z, y)
    np.testing.assert_allclose(got.coef_, expected.coef_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=names)
def test_the_gradient_vanishes_with_the_matrix_in_it(model, X, y):
    """Neighbours become alike, as a penalty asks for; the objective is what the fit minimised."""
    Z, y = (X - MEAN) / UNIT, targets(model, y)
    loose = type(model)(**model.get_params()).fit(Z, y)
    tight = type(model)(**{**model.get_params(), "penalty_matrix": 1e4 * DIFFERENCES}).fit(Z, y)
    assert np.abs(np.diff(tight.coef_)).max() < 0.05 * np.abs(np.diff(loose.coef_)).max()
    assert inspection.stationary_point(tight, Z, y).kind == "minimum"


def test_wide_tables(rng):
    """More columns than rows: the penalty's matrix alone makes the coefficients smooth."""
    X, D = rng.normal(size=(30, 200)), np.diff(np.eye(200), axis=0)
    y, M = X @ np.sin(np.arange(200) / 30), D.T @ D
    model = Ridge(alpha=1e-3, penalty_matrix=M, tol=1e-8).fit(X, y)
    centred = X - X.mean(axis=0)
    expected = np.linalg.solve(centred.T @ centred + 1e-3 * np.eye(200) + M, centred.T @ (y - y.mean()))
    np.testing.assert_allclose(model.coef_, expected, atol=1e-6 * np.abs(expected).max())


def test_a_constant_column_follows_its_neighbours(X, y):
    """Its coefficient changes no prediction, so that the matrix alone decides."""
    X[:, 1] = 4.0
    model = Ridge(alpha=0.0, penalty_matrix=10 * DIFFERENCES, tol=1e-8).fit(X, y)
    assert model.coef_[1] == pytest.approx(0.5 * (model.coef_[0] + model.coef_[2]), rel=1e-6)
    np.testing.assert_allclose(model.coef_, closed_form(X, y, np.ones(len(X)), 0.0, 10 * DIFFERENCES)[:P, 0], rtol=1e-6)


def test_dependent_columns_are_determined_by_the_matrix(X, y):
    X[:, 4] = X[:, 3]
    model = Ridge(alpha=0.0, penalty_matrix=DIFFERENCES, tol=1e-8).fit(X, y)
    assert not model.convergence_.flat_directions
    np.testing.assert_allclose(model.coef_, closed_form(X, y, np.ones(len(X)), 0.0, DIFFERENCES)[:P, 0], rtol=1e-5)


def test_what_the_matrix_does_not_hold_may_separate(rng):
    """A matrix of differences holds no common shift of the coefficients: along their sum nothing holds the fit."""
    X = rng.normal(size=(60, P))
    y = X.sum(axis=1) > 0
    free, message = convergence_warnings(lambda: LogisticRegression(C=np.inf, penalty_matrix=DIFFERENCES).fit(X, y))
    assert free.convergence_.status == "separated", message
    held = LogisticRegression(C=np.inf, penalty_matrix=DIFFERENCES + 0.1).fit(X, y)
    assert held.convergence_.status == "optimal"
    # separated along a direction that the matrix does hold
    assert (
        LogisticRegression(C=np.inf, penalty_matrix=DIFFERENCES).fit(X, X[:, 0] > X[:, 1]).convergence_.status
        == "optimal"
    )


def test_a_data_frame_is_matched_by_names(X, y):
    frame = pd.DataFrame(X, columns=list("abcde"))
    M = pd.DataFrame(DIFFERENCES, index=frame.columns, columns=frame.columns)
    expected = Ridge(penalty_matrix=DIFFERENCES).fit(X, y).coef_
    shuffled = M.loc[list("cadbe"), list("ebdac")]
    for matrix in (M, shuffled, sparse.csr_array(DIFFERENCES)):
        np.testing.assert_allclose(Ridge(penalty_matrix=matrix).fit(frame, y).coef_, expected, rtol=1e-10)


@pytest.mark.parametrize("batch", [13, 80])
@pytest.mark.parametrize("model", [Ridge(alpha=0.5), PoissonRegressor(alpha=0.1), LogisticRegression()], ids=names)
def test_a_stream_is_the_fit(model, batch, X, y):
    Z, y = (X - MEAN) / UNIT, targets(model, y)
    model = type(model)(**{**model.get_params(), "penalty_matrix": 3 * DIFFERENCES, "tol": 1e-6})
    expected = type(model)(**model.get_params()).fit(Z, y).coef_
    options = {"classes": np.unique(y)} if isinstance(model, LogisticRegression) else {}
    for start in range(0, len(y), batch):
        model.partial_fit(Z[start : start + batch], y[start : start + batch], **options)
    np.testing.assert_allclose(model.coef_, expected, atol=1e-3 * np.abs(expected).max())


# -- inspection ---------------------------------------------------------------------------------------------------


def test_degrees_of_freedom_and_the_posterior_have_closed_forms(X, y, rng):
    M = definite(rng)
    model = Ridge(alpha=0.3, penalty_matrix=M, tol=1e-8).fit(X, y)
    Z = np.column_stack([X, np.ones(len(X))])
    penalty = np.zeros((P + 1, P + 1))
    penalty[:P, :P] = 0.3 * np.eye(P) + M
    inverse = np.linalg.inv(Z.T @ Z + penalty)
    posterior = inspection.laplace(model, X, y, dispersion=2.0)
    np.testing.assert_allclose(posterior.covariance(), 2 * inverse, rtol=1e-6)
    assert posterior.effective_df == pytest.approx(np.trace(inverse @ Z.T @ Z), rel=1e-8)
    std = posterior.predict(X[:3])[1]
    np.testing.assert_allclose(std**2, 2 * np.einsum("ij,jk,ik->i", Z[:3], inverse, Z[:3]), rtol=1e-6)
    table = inspection.coef_table(model, X, y, cov="laplace")
    np.testing.assert_allclose(table.std_error**2, table.dispersion * np.diag(inverse), rtol=1e-6)


def test_the_evidence_is_the_density_of_y(X, y, rng):
    """Without an intercept, and with a matrix that holds everything: a normal density."""
    Z, M = (X - MEAN) / UNIT, definite(rng) / np.outer(UNIT, UNIT) + np.eye(P)
    model = Ridge(alpha=0.3, penalty_matrix=M, fit_intercept=False, tol=1e-8).fit(Z, y)
    evidence = inspection.laplace(model, Z, y, dispersion=2.0).log_evidence
    covariance = 2 * (np.eye(len(y)) + Z @ np.linalg.inv(0.3 * np.eye(P) + M) @ Z.T)
    assert evidence == pytest.approx(multivariate_normal(cov=covariance).logpdf(y), rel=1e-9)


def test_strengths_are_tuned_beside_the_matrix(X, y):
    Z = (X - MEAN) / UNIT
    tuned = inspection.tune_alpha(Ridge(penalty_matrix=DIFFERENCES), Z, y)
    strengths = [0.8 * tuned.value, tuned.value, 1.25 * tuned.value]
    fits = [Ridge(alpha=alpha, penalty_matrix=DIFFERENCES).fit(Z, y) for alpha in strengths]
    near = [inspection.laplace(fit, Z, y, dispersion="evidence").log_evidence for fit in fits]
    assert tuned.status == "optimal"
    assert near[1] >= max(near) - 1e-3


@pytest.mark.parametrize("model", [Ridge(alpha=0.5), PoissonRegressor(alpha=0.1), LogisticRegression()], ids=names)
def test_leaving_one_out_is_refitting(model, X, y):
    Z, y = (X[:25] - MEAN) / UNIT, targets(model, y)[:25]
    model = type(model)(**{**model.get_params(), "penalty_matrix": 3 * DIFFERENCES, "tol": 1e-8}).fit(Z, y)
    found = inspection.leave_one_out(model, Z, y, refit_above=None if isinstance(model, Ridge) else 0.0)
    row = 4
    rest = np.delete(np.arange(25), row)
    again = type(model)(**model.get_params())
    if isinstance(model, PoissonRegressor):
        # beside a mean the penalty of fewer rows is as strong in all: alpha n / (n - 1)
        again.set_params(alpha=model.alpha * 25 / 24, penalty_matrix=3 * DIFFERENCES * 25 / 24)
    again.fit(Z[rest], y[rest])
    expected = again.predict_proba(Z[[row]]) if hasattr(again, "predict_proba") else again.predict(Z[[row]])
    np.testing.assert_allclose(found.predictions[[row]], expected, rtol=1e-4)


def test_a_path_of_strengths_leaves_the_matrix_as_it_is(X, y):
    Z = (X - MEAN) / UNIT
    path = inspection.leave_one_out_path(Ridge(penalty_matrix=DIFFERENCES), Z, y, [0.1, 10.0])
    alone = [
        inspection.leave_one_out(Ridge(alpha=a, penalty_matrix=DIFFERENCES, tol=1e-8).fit(Z, y), Z, y).loss
        for a in (0.1, 10.0)
    ]
    np.testing.assert_allclose(path.loss, alone, rtol=1e-5)


@pytest.mark.parametrize("structure", ["diagonal", "kronecker"])
def test_posteriors_without_covariances_are_refused(structure, X, y):
    model = LogisticRegression(penalty_matrix=DIFFERENCES).fit(X / UNIT, targets(LogisticRegression(), y))
    message = f"structure='{structure}' is not available with a penalty_matrix"
    assert_refused(message, inspection.laplace, model, X / UNIT, targets(LogisticRegression(), y), structure=structure)


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(4), r"penalty_matrix must have a row and a column for each of the 5 features, got shape \(4, 4\)"),
        (np.ones((5, 4)), "penalty_matrix must have a row and a column for each of the 5 features"),
        (np.triu(np.ones((5, 5))), r"penalty_matrix must be symmetric: entry \[0, 1\] is 1, and \[1, 0\] is 0"),
        (np.diag([1.0, 1, -0.5, 1, 1]), "penalty_matrix must be positive semi-definite.* eigenvalue of -1"),
        (np.ones((5, 5)) - 2 * np.eye(5), "penalty_matrix must be positive semi-definite"),
        (np.full((5, 5), np.nan), "penalty_matrix contains NaN"),
        (np.ones(5), "Expected 2D array"),
    ],
)
@pytest.mark.parametrize("model", [Ridge(), LogisticRegression()], ids=names)
def test_bad_matrices_are_named(model, matrix, message, X, y):
    model = type(model)(penalty_matrix=matrix)
    assert_refused(message, model.fit, X, targets(model, y))
    assert not hasattr(model, "coef_")


def test_names_that_do_not_match(X, y):
    frame = pd.DataFrame(X, columns=list("abcde"))
    M = pd.DataFrame(DIFFERENCES, index=frame.columns, columns=frame.columns)
    assert_refused("pass X as a data frame", Ridge(penalty_matrix=M).fit, X, y)
    message = "a row for each column of X, by its name: it lacks e"
    assert_refused(message, Ridge(penalty_matrix=M.iloc[:4]).fit, frame, y)
    other = M.rename(columns={"a": "z"})
    assert_refused("a column for each column of X, by its name: it lacks a", Ridge(penalty_matrix=other).fit, frame, y)
    double = M.rename(index={"a": "b"})
    assert_refused("row name 'b' is there twice", Ridge(penalty_matrix=double).fit, frame, y)


def test_jeffreys_prior_takes_its_place(X, y):
    model = LogisticRegression(C=np.inf, jeffreys=True, penalty_matrix=DIFFERENCES)
    assert_refused("jeffreys=True needs penalty_matrix=None", model.fit, X, y > y.mean())


def test_the_matrix_of_the_user_is_left_as_it_is(X, y):
    M = DIFFERENCES.copy()
    model = Ridge(penalty_matrix=M).fit(X, y)
    assert model.penalty_matrix is M
    np.testing.assert_array_equal(M, DIFFERENCES)
