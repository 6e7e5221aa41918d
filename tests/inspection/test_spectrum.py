import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from sk_hessian.inspection import hessian, spectrum, stationary_point, taylor_model
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import Blocks
from tests.estimators import assert_refused, convergence_warnings, raw_table, target
from tests.inspection.test_hessian import every_kind, every_model, fitted_model


def with_eigenvalues(values, rng):
    Q = np.linalg.qr(rng.normal(size=(len(values),) * 2))[0]
    return (Q * values) @ Q.T


@every_model
@every_kind
def test_all_eigenvalues_are_those_of_the_matrix(name, kind, rng):
    model, X, y, weight = fitted_model(name, rng)
    found = spectrum(model, X, y, sample_weight=weight, kind=kind, eigenvectors=True)
    H = hessian(model, X, y, sample_weight=weight, kind=kind)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(H.toarray()), atol=1e-12 * found.values[-1])
    assert found.is_exact
    assert found.trace == pytest.approx(np.trace(H.toarray()))
    assert (found.trace_error, found.n_products) == (0.0, 0)
    assert found.parameter_names == H.parameter_names
    top, vector = found.values[-1], found.eigenvectors[:, -1]
    np.testing.assert_allclose(H.toarray() @ vector, top * vector, rtol=1e-7, atol=1e-14 * top)


def test_an_operator_an_array_and_a_sparse_matrix_are_one(rng):
    model, X, y, weight = fitted_model("LogisticRegression", rng)
    H = hessian(model, X, y, sample_weight=weight)
    expected = spectrum(model, X, y, sample_weight=weight)
    for matrix in (H, H.toarray(), sparse.csr_array(H.toarray()), aslinearoperator(H.toarray())):
        found = spectrum(matrix)
        np.testing.assert_allclose(found.values, expected.values, atol=1e-12 * expected.values[-1])
        assert found.parameter_names == (expected.parameter_names if matrix is H else None)


def test_lanczos_finds_both_ends(rng):
    values = np.sort(rng.normal(size=60)) * 3
    matrix = with_eigenvalues(values, rng)
    found = spectrum(matrix, k=4, eigenvectors=True)
    np.testing.assert_allclose(found.values, np.append(values[:4], values[-4:]), atol=1e-7)
    np.testing.assert_allclose(matrix @ found.eigenvectors, found.eigenvectors * found.values, atol=1e-6)
    assert (found.is_exact, found.n_lowest) == (False, 4)
    assert found.n_products > 0
    assert found.n_negative == 4


def test_standardised_units_of_raw_columns(rng):
    X = raw_table(rng)
    y = target("PoissonRegressor", X, rng)
    model = PoissonRegressor(alpha=0).fit(X, y)
    raw, standardised = (spectrum(model, X, y, units=units) for units in ("raw", "standardised"))
    assert raw.condition_number > 1e8
    assert standardised.condition_number < 10
    # weighted, centred columns of unit length by hand
    mu = model.predict(X)
    Z = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    H = Z.T @ (mu[:, None] * Z)
    unit = 1 / np.sqrt(np.diag(H))
    np.testing.assert_allclose(standardised.values, np.linalg.eigvalsh(unit[:, None] * H * unit), rtol=1e-10)
    by_lanczos = spectrum(model, X, y, units="standardised", k=2)
    np.testing.assert_allclose(by_lanczos.values, standardised.values[[0, 1, 3, 4]], rtol=1e-7)


def test_standardised_units_of_a_matrix_are_a_correlation(rng):
    matrix = with_eigenvalues([1e-6, 1.0, 5.0, 1e4], rng)
    unit = 1 / np.sqrt(np.diag(matrix))
    expected = np.linalg.eigvalsh(unit[:, None] * matrix * unit)
    for form in (matrix, sparse.csr_array(matrix), aslinearoperator(matrix)):
        np.testing.assert_allclose(spectrum(form, units="standardised").values, expected, atol=1e-12)
    np.testing.assert_allclose(spectrum(matrix, units="standardised", k=1).values, expected[[0, -1]], rtol=1e-6)


def test_zeros_are_counted_and_left_out_of_the_condition_number(rng):
    found = spectrum(with_eigenvalues([0.0, 0.0, 2.0, 10.0], rng))
    assert (found.n_flat, found.n_negative) == (2, 0)
    assert found.condition_number == pytest.approx(5)
    text = str(found)
    said = dict(line.split("  ", 1) for line in text.splitlines()[:6])
    assert said["eigenvalues"].strip().startswith("all 4")
    assert said["condition number"].strip() == "5"
    assert said["negative, zero"].strip() == "0, 2"
    partial = spectrum(with_eigenvalues(np.append(np.zeros(5), np.arange(1.0, 26)), rng), k=2)
    assert np.isnan(partial.condition_number)


def test_the_estimate_of_a_trace_is_as_good_as_it_says(rng):
    values = 1 / np.arange(1.0, 301) ** 2
    matrix = with_eigenvalues(values, rng)
    found = [spectrum(matrix, k=1, random_state=seed) for seed in range(40)]
    errors = np.array([one.trace for one in found]) - values.sum()
    # Hutchinson's own estimate by 60 products has a standard deviation of sqrt(2 sum of squares / 60) = 0.19
    assert np.abs(errors).max() < 0.02
    assert 0.5 < np.sqrt(np.mean(errors**2)) / np.mean([one.trace_error for one in found]) < 2
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(40)
    for n_zeros in (0, 90):  # exact for small and for low-rank matrices
        exact = spectrum(with_eigenvalues(np.append(np.arange(1.0, 11), np.zeros(n_zeros)), rng), k=1)
        assert exact.trace == pytest.approx(55)
        assert exact.trace_error < 1e-10


def test_the_moments_of_an_estimated_density(rng):
    values = rng.gamma(2, size=400)
    grid, density = spectrum(with_eigenvalues(values, rng), k=1).density
    for function in (lambda x: x, np.square, lambda x: np.exp(-x)):
        assert np.trapezoid(density * function(grid), grid) == pytest.approx(np.mean(function(values)), rel=0.06)


def test_a_density_integrates_to_one_and_is_where_the_eigenvalues_are(rng):
    matrix = with_eigenvalues(np.repeat([1.0, 5.0], [30, 10]), rng)
    for found in (spectrum(matrix), spectrum(matrix, k=3)):
        grid, density = found.density
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
        low = np.trapezoid(np.where(grid < 3, density, 0), grid)
        assert low == pytest.approx(0.75, abs=1e-3 if found.is_exact else 0.15)
    grid, density = spectrum(np.eye(3)).density
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)


def test_twenty_thousand_parameters_in_products_alone(rng):
    X = sparse.random_array((60, 20_000), density=0.005, rng=rng, format="csr")
    y = rng.random(60) > 0.5
    model = LogisticRegression(C=1.0, fit_intercept=False).fit(X, y)
    calls = []
    tracemalloc.start()
    H = hessian(model, X, y)
    counted = LinearOperator(H.shape, matvec=lambda v: (calls.append(1), H.matvec(v))[1], dtype=float)
    found = spectrum(counted, k=2)
    # n nonzero eigenvalues beside the penalty's, from the small matrix of the rows
    p = model.predict_proba(X)[:, 1]
    A = X.multiply(np.sqrt(p * (1 - p) / 60)[:, None]).tocsr()
    values = np.linalg.eigvalsh((A @ A.T).toarray()) + 1 / 60
    np.testing.assert_allclose(found.values[-2:], values[-2:], rtol=1e-7)
    np.testing.assert_allclose(found.values[:2], 1 / 60, rtol=1e-7)
    trace = values.sum() + (20_000 - 60) / 60
    assert abs(found.trace - trace) < 4 * found.trace_error + 1e-9 * trace
    # two more products check the symmetry
    assert found.n_products == len(calls) < 700
    standardised = spectrum(LogisticRegression(C=1.0).fit(X, y), X, y, units="standardised", k=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e8  # 3.2e9 bytes are p x p numbers
    # unit diagonal: the intercept and the penalised columns
    assert abs(standardised.trace - 20_001) < 4 * standardised.trace_error
    assert 0 < standardised.values[0] < 1 < standardised.values[-1]
    default = spectrum(sparse.diags_array(np.arange(1.0, 1102)))
    assert (default.is_exact, len(default.values)) == (False, 12)


def test_directions_are_named(rng):
    x = rng.normal(size=100)
    X = np.column_stack([x, x + 1e-3 * rng.normal(size=100)])
    model = Ridge(alpha=0).fit(X, x + rng.normal(size=100))
    found = spectrum(model, X, x, units="standardised", eigenvectors=True)
    assert found.direction(0) in ("0.707 x0 - 0.707 x1", "0.707 x1 - 0.707 x0")
    assert_refused(r"spectrum\(..., eigenvectors=True\)", spectrum(model, X, x).direction, 0)
    assert spectrum(np.diag([1.0, 2.0]), eigenvectors=True).direction(1) == "[1]"


def test_nearly_dependent_columns_keep_their_small_eigenvalue(rng):
    """In raw units the rounding of columns far from zero would drown it."""
    x, noise = rng.normal(size=(2, 200))
    X = np.column_stack([1e4 + x, 1e4 + x + 1e-5 * noise])
    model, _ = convergence_warnings(lambda: LinearRegression().fit(X, x))
    found = spectrum(model, X, x, units="standardised")
    Z = X - X.mean(axis=0)
    correlation = Z / np.linalg.norm(Z, axis=0)
    smallest = np.linalg.svd(correlation, compute_uv=False)[-1] ** 2
    assert found.values[0] == pytest.approx(smallest, rel=1e-3)


def test_rows_in_blocks(rng):
    model, X, y, _ = fitted_model("PoissonRegressor", rng)
    blocks = Blocks([(X[:30], y[:30]), (X[30:], y[30:])])
    found, whole = spectrum(model, blocks), spectrum(model, X, y)
    np.testing.assert_allclose(found.values, whole.values, rtol=1e-8)
    assert stationary_point(model, blocks).kind == stationary_point(model, X, y).kind
    bend = taylor_model(model, blocks).hessian.toarray()
    np.testing.assert_allclose(bend, hessian(model, X, y).toarray(), rtol=1e-8, atol=1e-12)


def test_bad_arguments_are_named(rng):
    model, X, y, _ = fitted_model("Ridge", rng)
    assert_refused("units must be .*, got 'scaled'", spectrum, model, X, y, units="scaled")
    assert_refused("kind must be .*, got 'x'", spectrum, model, X, y, kind="x")
    assert_refused("X and y are needed", spectrum, model)
    assert_refused("X is for a fitted estimator of sk_hessian, got ndarray", spectrum, np.eye(3), X)
    assert_refused("X and y are needed", spectrum, model, X)
    assert_refused(r"k=3 at each end is no less than all 5 eigenvalues: use k=None", spectrum, model, X, y, k=3)
    assert_refused("k must be an integer of at least 1", spectrum, model, X, y, k=0)
    assert_refused(r"square and not empty, got shape \(2, 3\)", spectrum, np.ones((2, 3)))
    assert_refused("must be symmetric", spectrum, np.triu(np.ones((4, 4))))
    assert_refused("must be finite", spectrum, np.full((2, 2), np.nan))
    with pytest.raises(TypeError, match="estimator must be a fitted one of sk_hessian, a square matrix of numbers"):
        spectrum(object())
    identity = LinearOperator((1500, 1500), matvec=lambda v: v, dtype=float)
    assert_refused(r'units="standardised" needs the diagonal', spectrum, identity, units="standardised")


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.eye(1), sparse.csr_array((2, 2))])
def test_trivial_matrices(matrix):
    found = spectrum(matrix)
    np.testing.assert_array_equal(found.values, matrix.diagonal())
    assert np.isfinite(found.density).all()
    assert found.n_flat == (matrix.diagonal() == 0).sum()


def test_the_density_of_a_low_rank_operator_ends_early(rng):
    values = np.append(np.zeros(1198), [1.0, 2.0])
    found = spectrum(sparse.diags_array(values), k=2)
    grid, density = found.density
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found.values[-2:], [1, 2])


def test_a_lower_end_that_lanczos_does_not_resolve_is_left_out():
    found = spectrum(sparse.diags_array(np.geomspace(1e-6, 1e6, 1200)), k=3)
    assert found.n_lowest == 0
    np.testing.assert_allclose(found.values, np.geomspace(1e-6, 1e6, 1200)[-3:], rtol=1e-7)
    assert np.isnan(found.condition_number)
    assert "the 0 lowest and 3 highest of 1200" in str(found)
    assert found.n_products < 3000
