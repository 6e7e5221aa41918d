"""Posteriors against closed forms, dense references, quadrature and peers."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import block_diag, helmert
from scipy.optimize import approx_fprime, minimize_scalar
from scipy.special import expit, log_expit, logsumexp, softmax
from scipy.stats import multivariate_normal
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, WhiteKernel
from sklearn.linear_model import BayesianRidge

from sk_hessian.inspection import laplace
from sk_hessian.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, Ridge, TweedieRegressor
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from tests.estimators import ESTIMATORS, assert_refused, convergence_warnings, inverse_hessian, raw_table, target

#: what has a penalty, a likelihood, and no parameters of the loss's own
PENALISED = [
    name
    for name in ESTIMATORS
    if name not in ("LinearRegression", "HuberRegressor", "NegativeBinomialRegressor", "OrdinalClassifier")
    and not name.startswith("Binomial")  # whose weights are numbers of trials, see test_binomial
]


def table(rng, n=40, p=3):
    X = rng.normal(size=(n, p)) * [1, 10, 100] + [0, 5, 1e3]
    return X, X @ [1, 0.1, 0.01] + rng.normal(size=n)


@pytest.fixture
def rows(rng):
    return table(rng)


def dense_evidence(objective, theta, y, strength, dispersion=1.0, kind="expected"):
    """The evidence of a model all of whose parameters have a penalty, from its dense Hessian in raw units."""
    share = len(y) / dispersion
    H = share * objective.hessian_matrix(theta, kind)
    prior = share * strength
    likelihood = objective.loss.family.log_likelihood(y, objective.raw_predictions(theta), dispersion).sum()
    return likelihood - prior * theta @ theta / 2 + theta.size * np.log(prior) / 2 - np.linalg.slogdet(H)[1] / 2


# -- squared errors: all is exact --------------------------------------------------------------------------------------


def test_evidence_of_ridge_is_the_marginal_likelihood(X, y):
    model = Ridge(alpha=2.0, fit_intercept=False).fit(X, y)
    posterior = laplace(model, X, y, dispersion=0.7)
    covariance = 0.7 / 2 * X @ X.T + 0.7 * np.eye(40)
    assert posterior.log_evidence == pytest.approx(multivariate_normal(np.zeros(40), covariance).logpdf(y), rel=1e-9)
    assert (posterior.dispersion, posterior.dispersion_source) == (0.7, "given")


def test_evidence_with_an_intercept_is_restricted(X, y):
    posterior = laplace(Ridge(alpha=2.0).fit(X, y), X, y, dispersion=0.7)
    # of the 39 contrasts of y, and 1/sqrt(40) for the intercept beside the coordinate along the ones
    K = helmert(40)
    covariance = K @ (0.7 / 2 * X @ X.T + 0.7 * np.eye(40)) @ K.T
    expected = multivariate_normal(np.zeros(39), covariance).logpdf(K @ y) - np.log(40) / 2
    assert posterior.log_evidence == pytest.approx(expected, rel=1e-9)


def test_posterior_of_ridge_is_that_of_bayesian_ridge():
    X, y = load_diabetes(return_X_y=True)
    X, y = X - X.mean(axis=0), y - y.mean()
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0)
    theirs = BayesianRidge(**flat, tol=1e-12, max_iter=10_000, fit_intercept=False, compute_score=True).fit(X, y)
    model = Ridge(alpha=theirs.lambda_ / theirs.alpha_, fit_intercept=False).fit(X, y)
    posterior = laplace(model, X, y, dispersion=1 / theirs.alpha_)
    np.testing.assert_allclose(posterior.covariance(), theirs.sigma_, rtol=1e-8, atol=1e-8 * theirs.sigma_.max())
    mean, std = posterior.predict(X[:20], of="observation")
    expected = theirs.predict(X[:20], return_std=True)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-8)
    np.testing.assert_allclose(std, expected[1], rtol=1e-8)
    assert posterior.log_evidence == pytest.approx(theirs.scores_[-1], rel=1e-12)
    # both estimates of the dispersion are MacKay's at the maximum of the evidence
    assert laplace(model, X, y).dispersion == pytest.approx(1 / theirs.alpha_, rel=1e-5)
    assert laplace(model, X, y, dispersion="evidence").dispersion == pytest.approx(1 / theirs.alpha_, rel=1e-5)
    assert posterior.fixed_point == pytest.approx(1, rel=1e-5)


def test_more_columns_than_rows_are_a_gaussian_process(rng):
    X, y = rng.normal(size=(15, 30)), rng.normal(size=15)
    kernel = 0.5 * DotProduct(sigma_0=0, sigma_0_bounds="fixed") + WhiteKernel(2.0)
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
    posterior = laplace(Ridge(alpha=4.0, fit_intercept=False).fit(X, y), X, y, dispersion=2.0)
    new = rng.normal(size=(7, 30))
    mean, std = posterior.predict(new, of="observation")
    expected = theirs.predict(new, return_std=True)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-6)
    np.testing.assert_allclose(std, expected[1], rtol=1e-8)
    assert posterior.log_evidence == pytest.approx(theirs.log_marginal_likelihood_value_, rel=1e-10)


def test_nearly_dependent_columns_and_a_weak_penalty_keep_their_digits(rng):
    X = rng.normal(size=(30, 3))
    X = np.hstack([X, X[:, :1] + 1e-7 * rng.normal(size=(30, 1))])
    y = X[:, 0] + rng.normal(size=30)
    posterior = laplace(Ridge(alpha=1e-10, fit_intercept=False, tol=1e-6).fit(X, y), X, y, dispersion=1.0)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    std = np.sqrt(((Vt @ X[3]) ** 2 / (s**2 + 1e-10)).sum())
    assert posterior.predict(X[3:4])[1][0] == pytest.approx(std, rel=1e-6)
    fit = U * (s**2 / (s**2 + 1e-10)) @ (U.T @ y)
    expected = -15 * np.log(2 * np.pi) - np.log1p(s**2 / 1e-10).sum() / 2 - y @ (y - fit) / 2
    assert posterior.log_evidence == pytest.approx(expected, rel=1e-9)


def test_a_constant_column_has_its_prior(X, y):
    X[:, 2] = 7.0
    posterior = laplace(Ridge(alpha=2.0).fit(X, y), X, y, dispersion=0.7)
    without = laplace(Ridge(alpha=2.0).fit(X[:, :2], y), X[:, :2], y, dispersion=0.7)
    assert posterior.log_evidence == pytest.approx(without.log_evidence, rel=1e-10)
    np.testing.assert_allclose(posterior.predict(X)[1], without.predict(X[:, :2])[1], rtol=1e-8)
    new = X[:1] + [0, 0, 3]
    variance = without.predict(X[:1, :2])[1] ** 2 + 3**2 * 0.7 / 2
    np.testing.assert_allclose(posterior.predict(new)[1] ** 2, variance, rtol=1e-8)


def test_units_and_shifts_of_columns_without_penalty(X, y):
    model = Ridge(alpha=2.0, penalty_weights=[1, 1, 0])
    far = X * [1, 1, 1e6] + [0, 0, 1e11]
    here, there = (laplace(model.fit(Z, y), Z, y) for Z in (X, far))
    for structure in ("full", "diagonal"):
        np.testing.assert_allclose(
            laplace(model.fit(X, y), X, y, structure=structure).predict(X)[1],
            laplace(model.fit(far, y), far, y, structure=structure).predict(far)[1],
            rtol=1e-6,
        )
    # a flat prior per unit of the coefficient
    assert there.log_evidence == pytest.approx(here.log_evidence - np.log(1e6), rel=1e-7)
    assert there.effective_df == pytest.approx(here.effective_df, rel=1e-7)
    assert here.n_penalised == 2


def test_units_of_y(X, y):
    here, there = (laplace(Ridge(alpha=2.0).fit(X, z), X, z) for z in (y, 1e5 * y))
    np.testing.assert_allclose(there.predict(X), 1e5 * np.array(here.predict(X)), rtol=1e-9)
    assert there.log_evidence == pytest.approx(here.log_evidence - 39 * np.log(1e5), rel=1e-9)


def test_dispersion_of_ridge(X, y):
    model = Ridge(alpha=2.0).fit(X, y)
    posterior = laplace(model, X, y)
    Z = np.column_stack([X, np.ones(40)])
    penalty = np.diag([2.0, 2, 2, 0])
    df = np.trace(Z @ np.linalg.solve(Z.T @ Z + penalty, Z.T))
    assert posterior.effective_df == pytest.approx(df, rel=1e-7)
    assert posterior.gamma == pytest.approx(df - 1, rel=1e-7)
    residual = y - model.predict(X)
    assert posterior.dispersion == pytest.approx(residual @ residual / (40 - df), rel=1e-7)
    assert "Pearson" in posterior.dispersion_source
    best = minimize_scalar(
        lambda log: -laplace(model, X, y, dispersion=float(np.exp(log))).log_evidence, bounds=(-3, 3), method="bounded"
    )
    evident = laplace(model, X, y, dispersion="evidence")
    assert evident.dispersion == pytest.approx(np.exp(best.x), rel=1e-4)
    assert evident.dispersion_source == "largest evidence"


@pytest.mark.parametrize("structure", ["full", "diagonal"])
@pytest.mark.parametrize("dispersion", [None, "evidence", 0.7])
def test_several_targets_have_a_dispersion_each(structure, dispersion, X, y, rng):
    Y = np.column_stack([y, 1e3 * rng.normal(size=40)])
    options = {"structure": structure, "dispersion": dispersion}
    posterior = laplace(Ridge(alpha=[2.0, 5.0]).fit(X, Y), X, Y, **options)
    parts = [laplace(Ridge(alpha=a).fit(X, z), X, z, **options) for a, z in zip((2.0, 5.0), Y.T, strict=True)]
    np.testing.assert_allclose(posterior.dispersion, [part.dispersion for part in parts], rtol=1e-8)
    assert posterior.log_evidence == pytest.approx(sum(part.log_evidence for part in parts), rel=1e-9)
    assert posterior.effective_df == pytest.approx(sum(part.effective_df for part in parts), rel=1e-8)
    for of in ("link", "observation"):
        expected = np.stack([part.predict(X, of)[1] for part in parts], axis=1)
        np.testing.assert_allclose(posterior.predict(X, of)[1], expected, rtol=1e-7)
    whole = posterior.covariance()
    for j, part in enumerate(parts):
        np.testing.assert_allclose(whole[j::2, j::2], part.covariance(), rtol=1e-7, atol=1e-12)
    draws = posterior.samples(4000, random_state=0)
    np.testing.assert_allclose(draws.std(axis=0), np.sqrt(np.diag(whole)), rtol=0.1)


def test_the_targets_of_a_network_share_a_dispersion(rng):
    X = rng.normal(size=(40, 2))
    Y = np.column_stack([X[:, 0], X[:, 1]]) + rng.normal(size=(40, 2)) * [0.1, 1.0]
    network = MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", alpha=0.5, solver="newton", random_state=0)
    network.set_params(max_iter=500).fit(X, Y)
    assert isinstance(laplace(network, X, Y, hidden_biases="fixed").dispersion, float)
    assert laplace(network, X, Y, structure="last_layer").dispersion.shape == (2,)


# -- other losses: exact but for Laplace's approximation --------------------------------------------------------------


def log_posterior_grid(x, y, weight, C):
    """A grid of slopes and intercepts, and the log of likelihood times prior there; spaced far finer than it bends."""
    slopes, intercepts = np.meshgrid(np.linspace(-4, 6, 401), np.linspace(-5, 5, 401), indexing="ij")
    sign = 2 * y - 1
    raw = slopes[..., None] * x + intercepts[..., None]
    log = log_expit(sign * raw) @ weight - slopes**2 / (2 * C) - np.log(2 * np.pi * C) / 2
    return slopes, intercepts, log, (10 / 400) ** 2


def errors_by_quadrature(rng, copies):
    """Of the evidence, the posterior deviations and probabilities of a logistic regression with many equal rows."""
    x = rng.normal(size=40)
    y, X, weight = (x + rng.logistic(size=40) > 0).astype(int), x[:, None], np.full(40, copies)
    posterior = laplace(LogisticRegression(C=2.0, tol=1e-8).fit(X, y, weight), X, y, sample_weight=weight)
    slopes, intercepts, log, cell = log_posterior_grid(x, y, weight, 2.0)
    evidence = logsumexp(log) + np.log(cell)
    share = np.exp(log + np.log(cell) - evidence)
    spread = [np.sqrt((share * (part - (share * part).sum()) ** 2).sum()) for part in (slopes, intercepts)]
    new = np.array([-2.0, 0.5, 3.0])
    probability = (share[..., None] * expit(slopes[..., None] * new + intercepts[..., None])).sum(axis=(0, 1))
    return (
        abs(posterior.log_evidence - evidence),
        np.abs(np.sqrt(np.diag(posterior.covariance())) / spread - 1).max(),
        np.abs(posterior.predict_proba(new[:, None])[:, 1] - probability).max(),
    )


def test_logistic_regression_by_quadrature():
    few, many = (np.array(errors_by_quadrature(np.random.default_rng(1), copies)) for copies in (2.0, 16.0))
    # Laplace's errors are of order 1 / n (Tierney & Kadane 1986): those of 640 rows an eighth of those of 80
    np.testing.assert_allclose(many, few / 8, rtol=0.4)
    assert (few < 0.05).all()


def test_evidence_of_softmax_is_that_of_all_outputs_where_all_have_a_penalty(iris):
    X, y = iris
    model = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-8).fit(X, y)
    objective, theta = model.fitted_objective(X, y)
    assert laplace(model, X, y).log_evidence == pytest.approx(dense_evidence(objective, theta, y, 2 / len(y)), rel=1e-8)


def test_evidence_of_softmax_with_intercepts_is_on_contrasts(iris):
    X, y = iris
    model = LogisticRegression(C=0.5, tol=1e-8).fit(X, y)
    objective, theta = model.fitted_objective(X, y)
    K = np.kron(np.eye(5), helmert(3))
    H = K @ (150 * objective.hessian_matrix(theta)) @ K.T
    likelihood = np.log(model.predict_proba(X)[np.arange(150), y]).sum()
    prior = -np.sum(model.coef_**2) / (2 * 0.5) - 8 / 2 * np.log(0.5)
    expected = likelihood + prior + np.log(2 * np.pi) - np.linalg.slogdet(H)[1] / 2
    posterior = laplace(model, X, y)
    assert posterior.log_evidence == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(posterior.covariance(), K.T @ np.linalg.inv(H) @ K, rtol=1e-5, atol=1e-8)
    # logits sum to zero
    mean, std = posterior.predict(X[:5])
    np.testing.assert_allclose(mean.sum(axis=1), 0, atol=1e-12)
    J = np.einsum("ab,nj->najb", np.eye(3) - 1 / 3, np.column_stack([X[:5], np.ones(5)])).reshape(5, 3, -1)
    variance = np.einsum("nap,pq,naq->na", J, posterior.covariance(), J)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-7)


@pytest.mark.parametrize("model", [PoissonRegressor(alpha=0.1), GammaRegressor(alpha=0.1)])
def test_evidence_of_glms_without_intercept(model, rng):
    X = rng.normal(size=(60, 3))
    y = rng.poisson(np.exp(X[:, 0] / 2)) + 1.0
    model.set_params(fit_intercept=False, tol=1e-8).fit(X, y)
    objective, theta = model.fitted_objective(X, y)
    posterior = laplace(model, X, y)
    expected = dense_evidence(objective, theta, y, 0.1, posterior.dispersion, "observed")
    assert posterior.log_evidence == pytest.approx(expected, rel=1e-9)
    assert posterior.curvature == "observed"


def test_most_evident_dispersion_of_gamma(rng):
    X = rng.normal(size=(60, 2))
    y = rng.gamma(4, np.exp(X[:, 0] / 2) / 4)
    model = GammaRegressor(alpha=0.01).fit(X, y)
    best = laplace(model, X, y, dispersion="evidence")
    near = [laplace(model, X, y, dispersion=best.dispersion * factor).log_evidence for factor in (0.99, 1.01)]
    assert best.log_evidence > max(near)
    assert best.dispersion == pytest.approx(1 / 4, rel=0.5)


@pytest.mark.parametrize("name", PENALISED)
def test_raw_columns_and_weights_as_repeated_rows(name, rng):
    X = raw_table(rng)
    y, copies = target(name, X, rng), rng.integers(1, 4, size=len(X))
    model = ESTIMATORS[name].set_params(tol=1e-8)
    weighted = laplace(model.fit(X, y, copies), X, y, sample_weight=copies)
    rows = np.repeat(np.arange(len(X)), copies)
    repeated = laplace(model.fit(X[rows], y[rows]), X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(X)[1], repeated.predict(X)[1], rtol=1e-5)
    assert weighted.log_evidence == pytest.approx(repeated.log_evidence, rel=1e-7)
    assert weighted.dispersion == pytest.approx(repeated.dispersion, rel=1e-6)


@pytest.mark.parametrize("structure", ["full", "diagonal"])
def test_an_offset_of_a_constant_moves_the_intercept(structure, rng, iris):
    X = rng.normal(size=(60, 2))
    shift, new = rng.normal(size=60), X[:5]
    y = rng.poisson(np.exp(X[:, 0] / 2 + shift))
    model = PoissonRegressor(alpha=0.1, tol=1e-8).fit(X, y, offset=shift)
    posterior = laplace(model, X, y, offset=shift, structure=structure)
    moved = PoissonRegressor(alpha=0.1, tol=1e-8).fit(X, y, offset=shift + 2)
    same = laplace(moved, X, y, offset=shift + 2, structure=structure)
    assert same.log_evidence == pytest.approx(posterior.log_evidence, rel=1e-8)
    mean, std = posterior.predict(new, of="mean", offset=np.full(5, 1.0))
    np.testing.assert_allclose(same.predict(new, of="mean", offset=np.full(5, 3.0)), [mean, std], rtol=1e-6)
    np.testing.assert_allclose(posterior.predict(new, of="mean", offset=np.full(5, 2.0))[0], np.e * mean, rtol=1e-9)
    np.testing.assert_allclose(posterior.predict(X, offset=shift)[0], np.log(model.predict(X, offset=shift)))
    X, y = iris
    offset = rng.normal(size=(150, 3))
    classifier = LogisticRegression().fit(X, y, offset=offset)
    averaged = laplace(classifier, X, y, offset=offset, structure=structure).predict_proba(X, offset=offset)
    plain = classifier.predict_proba(X, offset=offset)
    assert np.abs(averaged - plain).max() < 0.2
    assert (averaged.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.9


def test_an_offset_that_is_missing_or_in_vain_is_told(X, y, rng):
    network = MLPRegressor(hidden_layer_sizes=(), alpha=1.0).fit(X, y)
    assert_refused("offset must be None: MLPRegressor has none", laplace, network, X, y, offset=y)
    assert_refused("offset must be None: MLPRegressor has none", laplace(network, X, y).predict, X, offset=y)
    counts = rng.poisson(1.0, size=40)
    model = PoissonRegressor().fit(X, counts, offset=y / 100)
    assert_refused("fitted with an offset: pass it as offset", laplace, model, X, counts)


@pytest.mark.parametrize("structure", ["full", "kronecker", "last_layer"])
def test_a_posterior_can_be_saved(structure, small_network):
    network, X, y = small_network
    posterior = laplace(network, X, y, structure=structure)
    again = pickle.loads(pickle.dumps(posterior))
    np.testing.assert_array_equal(again.predict(X), posterior.predict(X))
    assert again.log_evidence == posterior.log_evidence


def test_a_later_fit_leaves_the_posterior_alone(X, y):
    model = Ridge().fit(X, y)
    posterior = laplace(model, X, y)
    before = posterior.predict(X)
    model.fit(X, -y)
    np.testing.assert_array_equal(posterior.predict(X), before)


@pytest.mark.parametrize("name", PENALISED)
def test_covariance_is_the_inverse_hessian(name, rng):
    X = raw_table(rng)
    y, weight = target(name, X, rng), rng.uniform(0.5, 2, size=len(X))
    model = ESTIMATORS[name].set_params(tol=1e-8).fit(X, y, weight)
    posterior = laplace(model, X, y, sample_weight=weight)
    objective, theta = model.fitted_objective(X, y, weight)
    expected = posterior.dispersion / weight.sum() * inverse_hessian(objective, theta, posterior.curvature)
    if name == "softmax":  # without the common shift of all classes
        P = np.kron(np.eye(X.shape[1] + 1), np.eye(3) - 1 / 3)
        expected = P @ expected @ P
    unit = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(posterior.covariance() / unit, expected / unit, atol=1e-7)


@pytest.mark.parametrize("name", PENALISED)
def test_sparse_and_single_precision_rows(name, rng):
    X = rng.normal(size=(50, 4)).astype(np.float32)
    X[rng.random(X.shape) < 0.5] = 0
    y = target(name, X, rng)
    model = ESTIMATORS[name].set_params(tol=1e-7)
    dense = laplace(model.fit(X.astype(float), y), X.astype(float), y)
    for Z in (sparse.csr_array(X), X):
        for_rows = laplace(model.fit(Z, y), Z, y)
        np.testing.assert_allclose(for_rows.predict(Z[:5])[1], dense.predict(X[:5])[1], rtol=1e-5)
        assert for_rows.log_evidence == pytest.approx(dense.log_evidence, rel=1e-6)


def test_the_diagonal_is_that_of_the_centred_columns(X, y):
    posterior = laplace(Ridge(alpha=2.0).fit(X, y), X, y, structure="diagonal", dispersion=0.7)
    Z = X - X.mean(axis=0)
    variance = 0.7 * (1 / 40 + (Z**2 / ((Z**2).sum(axis=0) + 2)).sum(axis=1))
    np.testing.assert_allclose(posterior.predict(X)[1], np.sqrt(variance), rtol=1e-9)


def test_the_diagonal_of_softmax_is_taken_where_outputs_sum_to_zero(iris):
    X, y = iris
    model = LogisticRegression(C=0.5, tol=1e-8).fit(X, y)
    posterior = laplace(model, X, y, structure="diagonal")
    objective, theta = model.fitted_objective(X - X.mean(axis=0), y)
    # in centred columns the intercepts differ, the curvature is the same
    coef, intercept, _ = objective.unpack(theta)
    D = 150 * np.diag(objective.hessian_matrix(objective.pack(coef, intercept + X.mean(axis=0) @ coef)))
    K = np.kron(np.eye(5), helmert(3))
    S = K.T @ np.linalg.inv(K * D @ K.T) @ K
    J = np.einsum("ab,nj->najb", np.eye(3), np.column_stack([X - X.mean(axis=0), np.ones(150)])).reshape(150, 3, -1)
    np.testing.assert_allclose(posterior.predict(X)[1] ** 2, np.einsum("nap,pq,naq->na", J, S, J), rtol=1e-6)


def test_the_kronecker_product_of_softmax(iris):
    X, y = iris
    model = LogisticRegression(C=0.5, tol=1e-8).fit(X, y)
    posterior = laplace(model, X, y, structure="kronecker")
    p = model.predict_proba(X)
    Z, size = np.column_stack([X, np.ones(150)]), 1 - (p**2).sum(axis=1)
    G = np.diag(p.sum(axis=0)) - p.T @ p
    A = (Z.T * size) @ Z / size.sum()
    K = np.kron(np.eye(5), helmert(3))
    precision = K @ (np.kron(A, G) + np.kron(np.diag([2.0, 2, 2, 2, 0]), np.eye(3))) @ K.T
    np.testing.assert_allclose(posterior.covariance(), K.T @ np.linalg.inv(precision) @ K, rtol=1e-6, atol=1e-9)


# -- networks ---------------------------------------------------------------------------------------------------------


def assert_same_posterior(a, b, X, rtol=1e-6):
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=rtol, atol=1e-6)
    assert a.log_evidence == pytest.approx(b.log_evidence, rel=rtol)
    assert a.effective_df == pytest.approx(b.effective_df, rel=rtol)


@pytest.mark.parametrize("structure", ["full", "last_layer", "diagonal"])
def test_networks_without_hidden_layers_are_linear_models(structure, rng, iris):
    X, y = table(rng)
    two, three = ((iris[0][:n], iris[1][:n]) for n in (100, 150))
    classifiers = MLPClassifier((), alpha=2.0, tol=1e-9), LogisticRegression(C=0.5, tol=1e-9)
    poisson = MLPRegressor("poisson", (), alpha=4.0, tol=1e-8), PoissonRegressor(alpha=0.1, tol=1e-8)
    for network, linear, data, rtol in (
        (MLPRegressor(hidden_layer_sizes=(), alpha=2.0, tol=1e-8), Ridge(alpha=2.0), (X, y), 1e-6),
        (*poisson, (X, rng.poisson(np.exp(X[:, 0] / 2))), 1e-6),
        (*classifiers, two, 1e-5),
        (*classifiers, three, 1e-5),
    ):
        ours = laplace(network.fit(*data), *data, structure=structure)
        theirs = laplace(linear.fit(*data), *data, structure="diagonal" if structure == "diagonal" else "full")
        assert_same_posterior(ours, theirs, data[0], rtol)


def test_the_kronecker_product_is_exact_for_squared_errors_of_a_linear_network(X, y, rng):
    Y = np.column_stack([y, 100 * rng.normal(size=40)])
    for targets in (y, Y):
        network = MLPRegressor(hidden_layer_sizes=(), alpha=2.0).fit(X, targets)
        assert_same_posterior(
            laplace(network, X, targets, structure="kronecker"), laplace(network, X, targets, structure="full"), X, 1e-9
        )


@pytest.fixture
def small_network(rng):
    X, _ = table(rng, n=60)
    y = np.tanh(X[:, 0]) + 0.1 * X[:, 1] + 0.3 * rng.normal(size=60)
    network = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", alpha=0.5, tol=1e-8, random_state=0).fit(X, y)
    assert network.convergence_.status == "optimal"
    return network, X, y


def test_full_is_the_linearised_network(small_network):
    network, X, y = small_network
    posterior = laplace(network, X, y, dispersion=0.2)
    objective, theta = network.fitted_objective(X, y)
    unit = np.abs(theta).clip(1e-3)
    flat = np.array([parameter.startswith("b") for parameter in objective.parameter_names(theta.size)])

    def scaled(u):
        return objective.raw_predictions(theta + unit * u)[:, 0]

    J = approx_fprime(np.zeros(theta.size), scaled, 1e-7) / unit
    precision = (J.T @ J + np.diag(0.5 * ~flat)) / 0.2
    variance = np.einsum("np,pq,nq->n", J, np.linalg.inv(precision), J)
    mean, std = posterior.predict(X)
    np.testing.assert_allclose(mean, network.predict(X), rtol=1e-9)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-4)
    assert posterior.predict(X, of="observation")[1] == pytest.approx(np.sqrt(variance + 0.2), rel=1e-4)
    expected = (
        -30 * np.log(2 * np.pi * 0.2)
        - np.sum((y - mean) ** 2) / 0.4
        - 0.5 / 0.4 * np.sum(theta[~flat] ** 2)
        + (~flat).sum() / 2 * np.log(0.5 / 0.2)
        + flat.sum() / 2 * np.log(2 * np.pi)
        - np.linalg.slogdet(precision)[1] / 2
    )
    assert posterior.log_evidence == pytest.approx(expected, rel=1e-5)
    assert (posterior.structure, posterior.curvature) == ("full", "gauss-newton")


def test_layers_are_independent_in_a_kronecker_posterior(small_network):
    network, X, y = small_network
    posterior = laplace(network, X, y, structure="kronecker", dispersion=0.2)
    hidden = np.column_stack([np.tanh(X @ network.coefs_[0] + network.intercepts_[0]), np.ones(60)])
    back = (1 - hidden[:, :3] ** 2) * network.coefs_[1][:, 0]
    inputs = np.column_stack([X, np.ones(60)])
    first = np.kron(inputs.T @ inputs, back.T @ back / 60) + np.kron(np.diag([0.5, 0.5, 0.5, 0]), np.eye(3))
    last = hidden.T @ hidden + np.diag([0.5, 0.5, 0.5, 0])
    expected = 0.2 * np.linalg.inv(block_diag(first, last))
    unit = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(posterior.covariance() / unit, expected / unit, atol=1e-6)


def test_the_last_layer_is_ridge_on_hidden_units(small_network):
    network, X, y = small_network
    posterior = laplace(network, X, y, structure="last_layer")
    hidden = np.tanh(X @ network.coefs_[0] + network.intercepts_[0])
    ridge = laplace(Ridge(alpha=0.5, tol=1e-8).fit(hidden, y), hidden, y)
    np.testing.assert_allclose(posterior.predict(X[:9]), ridge.predict(hidden[:9]), rtol=1e-6)
    assert posterior.log_evidence == pytest.approx(ridge.log_evidence, rel=1e-8)
    assert posterior.dispersion == pytest.approx(ridge.dispersion, rel=1e-8)
    assert posterior.parameter_names == ["W2[0, 0]", "W2[1, 0]", "W2[2, 0]", "b2[0]"]
    assert posterior.samples(3, 0).shape == (3, 4)


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal", "last_layer"])
def test_units_of_the_data_of_a_network(structure, small_network):
    _, X, y = small_network
    far = X * 1e6
    # the same function of other inputs, and the same posterior where the first layer's penalty is next to nothing
    scaled = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", alpha=1e-7, tol=1e-8, random_state=0)
    here = laplace(scaled.fit(X[:, :2], y), X[:, :2], y, structure=structure)
    there = laplace(scaled.fit(far[:, :2], y), far[:, :2], y, structure=structure)
    np.testing.assert_allclose(here.predict(X[:, :2])[1], there.predict(far[:, :2])[1], rtol=1e-2)


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal", "last_layer"])
def test_classes_and_labels_of_a_network(structure, iris):
    X, y = iris
    network = MLPClassifier(hidden_layer_sizes=(2,), activation="tanh", alpha=0.1, random_state=0).fit(X, y)
    posterior = laplace(network, X, y, structure=structure)
    probability = posterior.predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert (probability.max(axis=1) < network.predict_proba(X).max(axis=1)).mean() > 0.9
    assert np.isfinite(posterior.log_evidence)
    labels = np.column_stack([y == 1, X[:, 0] > 6]).astype(int)
    network = MLPClassifier(hidden_layer_sizes=(2,), activation="tanh", alpha=0.3, random_state=0).fit(X, labels)
    posterior = laplace(network, X, labels, structure=structure)
    mean, std = posterior.predict(X)
    np.testing.assert_allclose(posterior.predict_proba(X), expit(mean / np.sqrt(1 + np.pi * std**2 / 8)))


def test_a_unit_without_effect_makes_the_posterior_improper(X, y):
    network = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", alpha=1e4, random_state=0).fit(X, y)
    assert np.abs(network.coefs_[1]).max() < 1e-3
    assert_refused(r"the posterior is improper: .* determine b[12]\[[0-3]\].*hidden_biases=", laplace, network, X, y)
    assert laplace(network, X, y, structure="last_layer").predict(X)[1].min() > 0
    posterior = laplace(network, X, y, hidden_biases="fixed")
    # nothing but the mean is left, and every other parameter has its prior
    assert posterior.effective_df == pytest.approx(1, abs=1e-3)
    assert posterior.log_evidence == pytest.approx(laplace(Ridge(alpha=1e9).fit(X, y), X, y).log_evidence, abs=0.01)


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal"])
def test_fixed_biases_of_hidden_layers(structure, small_network):
    network, X, y = small_network
    both, fixed = (
        laplace(network, X, y, structure=structure, dispersion=0.2, hidden_biases=kind) for kind in ("flat", "fixed")
    )
    # the sums of the first layer at the mean row stay
    W = fixed.samples(5, 0)[:, :12].reshape(5, 4, 3)
    sums = np.einsum("sjk,j->sk", W, np.append(X.mean(axis=0), 1))
    np.testing.assert_allclose(sums, np.tile(X.mean(axis=0) @ network.coefs_[0] + network.intercepts_[0], (5, 1)))
    # known biases are the posterior given them
    Z = np.eye(16)
    Z[9:12, :9] = np.kron(X.mean(axis=0), np.eye(3))
    S, given = Z @ both.covariance() @ Z.T, np.r_[9:12]
    rest = np.setdiff1d(np.arange(16), given)
    conditional = S[np.ix_(rest, rest)] - S[np.ix_(rest, given)] @ np.linalg.solve(
        S[np.ix_(given, given)], S[np.ix_(given, rest)]
    )
    covariance = (Z @ fixed.covariance() @ Z.T)[np.ix_(rest, rest)]
    unit = 1 / np.sqrt(np.diag(conditional))
    np.testing.assert_allclose(unit[:, None] * covariance * unit, unit[:, None] * conditional * unit, atol=1e-5)
    assert fixed.n_penalised == both.n_penalised == 12


# -- predictions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 1.5, 2, 3])
def test_moments_on_the_scale_of_the_target(power, rng):
    X = rng.normal(size=(50, 1))
    y = rng.gamma(3, np.exp(X[:, 0] / 2) / 3)
    model = TweedieRegressor(power=power, link="log", alpha=0.1).fit(X, y)
    posterior = laplace(model, X, y)
    raw, std = posterior.predict(X[:4])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    mu, weights = np.exp(raw + std * nodes[:, None]), weights / weights.sum()
    mean = weights @ mu
    spread = weights @ (mu - mean) ** 2
    np.testing.assert_allclose(posterior.predict(X[:4], of="mean"), [mean, np.sqrt(spread)], rtol=1e-8)
    noise = posterior.dispersion * weights @ mu**power
    np.testing.assert_allclose(posterior.predict(X[:4], of="observation"), [mean, np.sqrt(spread + noise)], rtol=1e-8)


def test_probabilities_of_softmax_by_monte_carlo(iris, rng):
    X, y = iris
    posterior = laplace(LogisticRegression(C=1.0).fit(X, y), X, y)
    raw = np.einsum("njk,mj->nmk", posterior.samples(4000, 0).reshape(4000, 5, 3), np.column_stack([X, np.ones(150)]))
    expected = softmax(raw, axis=2).mean(axis=0)
    probability = posterior.predict_proba(X)
    plain = softmax(posterior.predict(X)[0], axis=1)
    # the plain probabilities are wrong by up to 0.05
    assert np.abs(probability - expected).max() < 0.02 < np.abs(plain - expected).max()


def test_probabilities_of_few_rows_are_moved_towards_one_half_and_predict_new_rows_better(rng):
    gain = []
    for _ in range(20):
        X = rng.normal(size=(20 + 500, 6))
        y = X[:, 0] + rng.logistic(size=520) > 0
        model = LogisticRegression(C=100.0).fit(X[:20], y[:20])
        posterior = laplace(model, X[:20], y[:20])
        averaged, plain = (m.predict_proba(X[20:])[:, 1] for m in (posterior, model))
        assert (np.abs(averaged - 0.5) <= np.abs(plain - 0.5)).all()
        sign = 2 * y[20:] - 1
        own = [(0.5 + sign * (p - 0.5)).clip(1e-300) for p in (averaged, plain)]
        gain.append(np.log(own[0]).mean() - np.log(own[1]).mean())
    # of the mean log probability of 500 new rows, twenty times
    assert np.mean(gain) > 3 * np.std(gain) / np.sqrt(20)


def test_samples_have_the_covariance(X, y):
    posterior = laplace(Ridge(alpha=2.0).fit(X, y), X, y)
    draws = posterior.samples(20_000, 0)
    covariance = posterior.covariance()
    unit = 1 / np.sqrt(np.diag(covariance))
    correlation = unit[:, None] * np.cov(draws.T) * unit
    np.testing.assert_allclose(correlation, unit[:, None] * covariance * unit, atol=0.04)
    np.testing.assert_allclose((draws.mean(axis=0) - posterior.mean) * unit, 0, atol=0.03)
    np.testing.assert_array_equal(draws, posterior.samples(20_000, np.random.default_rng(0)))
    assert posterior.parameter_names == ["x0", "x1", "x2", "intercept"]
    said = dict(line.split("  ", 1) for line in repr(posterior).splitlines() if line[0] != " ")
    assert said["structure"].strip() == "full, 4 parameters"
    assert said["penalty"].strip() == "alpha = 2, a normal prior of 3 parameters"
    assert float(said["log evidence"]) == pytest.approx(posterior.log_evidence, rel=1e-4)
    assert float(said["effective parameters"].split()[0]) == pytest.approx(posterior.effective_df, rel=1e-4)
    assert float(said["dispersion"].split("(")[0]) == pytest.approx(posterior.dispersion, rel=1e-4)


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_what_has_no_posterior_is_refused(X, y):
    assert_refused("Ridge has no penalty", laplace, Ridge(alpha=0.0).fit(X, y), X, y)
    message = "laplace needs a likelihood, which this loss does not have"
    assert_refused(message, laplace, MLPRegressor("huber", (), alpha=1.0).fit(X, y), X, y)
    reweighted = LogisticRegression(class_weight={0: 10.0, 1: 10.0}).fit(X, y > y.mean())
    message = "laplace needs a likelihood, and class_weight leaves only a pseudo"
    assert_refused(message, laplace, reweighted, X, y > y.mean())
    model = TweedieRegressor(power=2.5, alpha=0.1).fit(X, np.exp(y / 10))
    posterior = laplace(model, X, np.exp(y / 10))
    with pytest.raises(ValueError, match=r"density of power 2\.5 has no closed form"):
        posterior.log_evidence  # noqa: B018


def test_fits_that_are_not_optimal_are_refused(X, y):
    network = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, random_state=0)
    convergence_warnings(lambda: network.fit(X, y))
    assert_refused(r'early_stopping=False.*verdict "optimal"\. This one: max_iter', laplace, network, X, y)
    network = MLPRegressor(hidden_layer_sizes=(3,), early_stopping=True, random_state=0).fit(X, y)
    assert_refused(r"early_stopping=False.*This one: stopped", laplace, network, X, y)


def test_undetermined_parameters_are_named(X, y):
    twice = np.column_stack([X, 2 * X[:, 1] + 1])
    model, _ = convergence_warnings(lambda: Ridge(penalty_weights=[1, 0, 1, 0]).fit(twice, y))
    assert_refused(r"nothing determines some coefficients: x[13] = .*penalise them", laplace, model, twice, y)
    X[:, 1] = 3.0
    model, told = convergence_warnings(lambda: Ridge(penalty_weights=[1, 0, 1]).fit(X, y))
    assert "x1 = 3" in told[0]
    assert_refused("column x1 is constant and has no penalty", laplace, model, X, y)


def test_bad_arguments_are_named(iris, X, y):
    model = Ridge().fit(X, y)
    with pytest.raises(ValueError, match=r"structure='kronecker' is not available for this model.*'full', 'diagonal'"):
        laplace(model, X, y, structure="kronecker")
    for dispersion in (0, -1.0, np.nan, "large", True):
        message = 'dispersion must be a positive number, "evidence" or None'
        assert_refused(message, laplace, model, X, y, dispersion=dispersion)
    assert_refused(r"hidden_biases must be one of \('flat', 'fixed'\)", laplace, model, X, y, hidden_biases="known")
    posterior = laplace(model, X, y)
    assert_refused(r"of must be one of \('link', 'mean', 'observation'\)", posterior.predict, X, of="latent")
    assert_refused("Ridge is no classifier", posterior.predict_proba, X)
    for n in (0, -1, 2.5, True):
        assert_refused("n must be an integer of at least 1", posterior.samples, n)
    for seed in ("x", -1):
        assert_refused("random_state must be an integer, a Generator or None", posterior.samples, 2, seed)
    assert_refused("X has 2 features", posterior.predict, X[:, :2])
    X, y = iris
    classifier = LogisticRegression().fit(X, y)
    assert_refused("dispersion must be None", laplace, classifier, X, y, dispersion=2.0)
    assert_refused("of='mean' is for regression", laplace(classifier, X, y).predict, X, of="mean")


def test_dispersion_of_a_perfect_fit_must_be_given(rng):
    X, y = rng.normal(size=(10, 20)), rng.normal(size=10)
    model = Ridge(alpha=1e-12, tol=1e-8).fit(X, y)
    assert_refused(r"give dispersion= a number.* leave none to estimate the dispersion", laplace, model, X, y)
    assert laplace(model, X, y, dispersion=1.0).effective_df == pytest.approx(10)
    model = Ridge().fit(X, np.full(10, 3.0))
    for dispersion in (None, "evidence"):
        assert_refused("the fit is perfect", laplace, model, X, np.full(10, 3.0), dispersion=dispersion)


def test_more_columns_than_any_matrix_has_are_a_gaussian_process(rng):
    X = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 3100)) + 0.3 * rng.normal(size=(30, 3100))
    y = X[:, 0] + rng.normal(size=30)
    model = Ridge(alpha=5.0, fit_intercept=False, tol=1e-8).fit(X, y)
    posterior = laplace(model, X, y, dispersion=2.0)
    prior = 2.0 / 5.0 * X @ X.T
    covariance = prior + 2.0 * np.eye(30)
    assert posterior.structure == "full"
    assert posterior.log_evidence == pytest.approx(multivariate_normal(np.zeros(30), covariance).logpdf(y), rel=1e-9)
    assert posterior.effective_df == pytest.approx(np.trace(np.linalg.solve(covariance, prior)), rel=1e-8)
    within = prior - prior @ np.linalg.solve(covariance, prior)
    np.testing.assert_allclose(posterior.predict(X)[1] ** 2, np.diag(within), rtol=1e-7)
    # a column of which the rows say nothing keeps the variance of its prior
    new = np.linalg.svd(X)[2][-1:]
    assert posterior.predict(new)[1] ** 2 == pytest.approx(2.0 / 5.0, rel=1e-9)
    draws = X @ posterior.samples(4000, random_state=0).T
    np.testing.assert_allclose(draws.var(axis=1), np.diag(within), rtol=0.2)


def test_a_wide_ridge_has_its_closed_form_beside_columns_without_a_penalty(rng):
    X, Y = rng.normal(size=(12, 30)) * 10.0 ** rng.integers(-3, 4, 30) + 5.0, rng.normal(size=(12, 2))
    weights = np.where(np.arange(30) < 2, 0.0, rng.uniform(0.5, 2.0, 30))
    posterior = laplace(Ridge(alpha=0.3, penalty_weights=weights, tol=1e-8).fit(X, Y), X, Y, dispersion=0.7)
    Z = np.column_stack([X - X.mean(axis=0), np.ones(12)])
    new = np.vstack([X[:3], X[:3] + rng.normal(size=(3, 30))])
    J = np.column_stack([new - X.mean(axis=0), np.ones(6)])
    unit = 1 / np.append(X.std(axis=0), 1.0)
    precision = (Z * unit).T @ (Z * unit) + np.diag(0.3 * np.append(weights, 0) * unit**2)
    variance = 0.7 * np.einsum("np,pn->n", J * unit, np.linalg.solve(precision, (J * unit).T))
    np.testing.assert_allclose(posterior.predict(new)[1], np.sqrt(variance)[:, None].repeat(2, axis=1), rtol=1e-7)


def test_large_models(rng):
    X = sparse.random_array((60, 3200), density=0.02, rng=rng, format="csr")
    y = rng.poisson(1.0, size=60)
    model = PoissonRegressor(alpha=0.1).fit(X, y)
    posterior = laplace(model, X, y)
    assert posterior.structure == "full"
    assert posterior.effective_df <= 60
    assert posterior.predict(X[:3])[1].shape == (3,)
    assert_refused("a covariance of 3201 parameters is too large", posterior.covariance)


def test_auto_is_never_the_diagonal(rng):
    X = sparse.random_array((3100, 3050), density=0.002, rng=rng, format="csr")
    y = rng.poisson(1.0, size=3100)
    model = PoissonRegressor(alpha=1.0, tol=1e-2).fit(X, y)
    for structure in ("auto", "full"):
        message = r"these are 3051 parameters of 3100 rows\. Use structure='diagonal'"
        assert_refused(message, laplace, model, X, y, structure=structure)
    assert laplace(model, X, y, structure="diagonal").structure == "diagonal"


def test_more_determined_parameters_than_rows_are_refused(rng):
    X = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 100)) + 0.1 * rng.normal(size=(20, 100))
    y = X[:, 0]
    model = Ridge(alpha=0.1).fit(X, y)
    assert laplace(model, X, y, dispersion=1.0).effective_df <= 20
    with pytest.raises(ValueError, match=r"structure='diagonal' is of no use here.* determined by 20 rows"):
        laplace(model, X, y, structure="diagonal", dispersion=1.0)


def test_auto_is_full_unless_that_is_large(rng):
    X = rng.normal(size=(100, 1500))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    softmax_model = LogisticRegression(C=0.01)
    # more than 1000 parameters, but few rows: the span of the rows is small; that of many classes is not
    assert laplace(softmax_model.fit(X, y), X, y).structure == "full"
    assert laplace(softmax_model.fit(X[:, :20], y), X[:, :20], y).structure == "full"
    many = np.arange(100) % 20
    assert laplace(softmax_model.fit(X, many), X, many).structure == "kronecker"
    assert laplace(Ridge(alpha=10.0).fit(X, y), X, y).structure == "full"


@pytest.mark.parametrize("model", ["softmax", "binary", "network"])
def test_auto_of_few_rows_and_many_parameters_is_the_full_posterior(model, rng):
    """The covariance of the raw predictions from the dense precision of all parameters, by the Woodbury identity."""
    X = rng.normal(size=(24, 1100 if model == "binary" else 520 if model == "softmax" else 150))
    n_classes = 2 if model == "binary" else 3
    y = np.argsort(np.argsort(X[:, 0])) * n_classes // len(X)
    if model == "network":
        fit = MLPClassifier(
            hidden_layer_sizes=(7,), activation="tanh", alpha=5.0, solver="newton", random_state=0, tol=1e-6
        )
    else:
        fit = LogisticRegression(C=0.01, tol=1e-8)
    fit.fit(X, y)
    automatic, full = (laplace(fit, X, y, structure=name) for name in ("auto", "full"))
    assert automatic.mean.size > 1000
    assert automatic.structure == "full"
    np.testing.assert_allclose(automatic.predict_proba(X[:5]), full.predict_proba(X[:5]), rtol=1e-10)
    if model != "network":
        np.testing.assert_allclose(automatic.predict(X)[1], dense_deviations(fit, X), rtol=1e-7)


def dense_deviations(model, X):
    """Posterior deviations of the raw predictions of a logistic regression, from the inverse of its whole precision."""
    Z, p = np.column_stack([X - X.mean(axis=0), np.ones(len(X))]), model.predict_proba(X)
    k = len(model.coef_)
    curvature = (
        np.einsum("nk,kl->nkl", p, np.eye(k)) - np.einsum("nk,nl->nkl", p, p)
        if k > 1
        else p[:, :1, None] * p[:, 1:, None]
    )
    A = np.einsum("nkl,np,nq->kplq", curvature, Z, Z, optimize=True)
    # the common shift of the intercepts, which nothing determines, is pinned
    A[:, -1, :, -1] += k > 1
    A = A.reshape(k * Z.shape[1], -1) + np.diag(np.tile(np.append(np.full(X.shape[1], 1 / model.C), 0), k))
    J = np.einsum("kl,np->nklp", np.eye(k) - (1 / k if k > 1 else 0), Z).reshape(len(X) * k, -1)
    variance = np.einsum("mp,pm->m", J, np.linalg.solve(A, J.T))
    return np.sqrt(variance).reshape((len(X), k) if k > 1 else -1)
