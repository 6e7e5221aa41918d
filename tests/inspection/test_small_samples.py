"""Few groups and few rows: CR2, Satterthwaite's degrees of freedom, and leverages that are matrices.

All by the definition: matrices as large as the rows, none of which the package forms.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import fractional_matrix_power
from scipy.stats import f as fisher
from scipy.stats import t as student

from sk_hessian.inspection import coef_table, marginal_effects, prediction_table
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import Blocks
from tests.estimators import assert_refused

EXACT = {"rtol": 1e-6, "atol": 1e-9}


@dataclass
class Definition:
    """CR2 of whitened rows: ``D`` (n, p) times the root of their working weights, and their residuals likewise."""

    D: np.ndarray
    residual: np.ndarray
    groups: np.ndarray

    def __post_init__(self):
        self.bread = np.linalg.inv(self.D.T @ self.D)
        self.left = np.eye(len(self.D)) - self.D @ self.bread @ self.D.T
        which = [np.flatnonzero(self.groups == group) for group in np.unique(self.groups)]
        roots = [fractional_matrix_power(self.left[np.ix_(rows, rows)], -0.5).real for rows in which]
        sums = [self.D[rows].T @ root @ self.residual[rows] for rows, root in zip(which, roots, strict=True)]
        self.covariance = self.bread @ np.array(sums).T @ np.array(sums) @ self.bread
        #: p_g of a combination c is parts[g] @ c, (n,)
        self.parts = [
            self.left[:, rows] @ root @ self.D[rows] @ self.bread for rows, root in zip(which, roots, strict=True)
        ]

    def df(self, c):
        """Satterthwaite's: 2 E^2 / Var of the estimated variance of one combination."""
        P = np.array([part @ c for part in self.parts])
        return np.trace(P @ P.T) ** 2 / np.sum((P @ P.T) ** 2)

    def df_together(self, C):
        """Those of several combinations (q, p): q (q + 1) over the sum of the variances of the covariance's entries."""
        unit = fractional_matrix_power(C @ self.bread @ C.T, -0.5).real
        P = np.array([part @ C.T @ unit for part in self.parts])
        G = np.einsum("gns,hnt->ghst", P, P)
        variance = np.einsum("ghst,ghts->", G, G) + np.einsum("ghss,ghtt->", G, G)
        return len(C) * (len(C) + 1) / variance


def rows(rng, n=60):
    X = rng.normal(size=(n, 3)) * [1, 5, 0.2] + [0, 30, -1]
    groups = np.minimum(rng.integers(0, 12, n), 7)
    X[:, 0] += rng.normal(size=8)[groups]
    X[3, 0] = 6.0
    return X, X[:, 0] + rng.normal(size=n) + rng.normal(size=8)[groups], groups


def design(X):
    return np.column_stack([X, np.ones(len(X))])


def assert_is(table, right):
    np.testing.assert_allclose(table.covariance, right.covariance, **EXACT)
    df = np.array([right.df(row) for row in np.eye(len(table.names))])
    np.testing.assert_allclose(table.df, df, rtol=1e-8)
    reach = student.isf(0.025, df) * table.std_error
    np.testing.assert_allclose(table.upper, table.estimate + reach, rtol=1e-6)
    np.testing.assert_allclose(table.p_value, 2 * student.sf(np.abs(table.statistic), df), rtol=1e-6)


@pytest.mark.parametrize("is_grouped", [True, False])
def test_groups_and_rows_of_least_squares(is_grouped, rng):
    X, y, groups = rows(rng)
    options = {"cov": "CR2", "cov_groups": groups} if is_grouped else {"cov": "CR2"}
    groups = groups if is_grouped else np.arange(60)
    model, D = LinearRegression(tol=1e-10).fit(X, y), design(X)
    table, right = coef_table(model, X, y, **options), Definition(D, y - model.predict(X), groups)
    assert_is(table, right)
    assert table.to_frame()["df"].tolist() == table.df.tolist()
    if not is_grouped:
        np.testing.assert_allclose(table.covariance, coef_table(model, X, y, cov="HC2").covariance, rtol=1e-10)
    C = np.array([[1.0, 0.5, 0, 0], [0, 1, -1, 0], [0, 0, 1, 2]])
    np.testing.assert_allclose(table.contrast(C).df, [right.df(c) for c in C], rtol=1e-8)
    found, df = table.wald(C[:2]), right.df_together(C[:2])
    moved = C[:2] @ table.estimate
    square = moved @ np.linalg.solve(C[:2] @ right.covariance @ C[:2].T, moved)
    F = square * (df - 1) / (2 * df)
    np.testing.assert_allclose([found.statistic, found.df_denom], [F, df - 1], rtol=1e-6)
    np.testing.assert_allclose(found.p_value, fisher.sf(F, 2, df - 1), rtol=1e-6)
    # one equation is the test of its row
    np.testing.assert_allclose(table.wald("x0").p_value, table.p_value[0], rtol=1e-8)
    some = coef_table(model, X, y, features=["x2", "x0"], **options)
    np.testing.assert_allclose(some.df, table.df[[2, 0, 3]], rtol=1e-10)
    np.testing.assert_allclose(some.wald(["x0", "x2"]).p_value, table.wald(["x0", "x2"]).p_value, rtol=1e-8)
    far = coef_table(LinearRegression(tol=1e-10).fit(sp.csr_array(X * 1e3), y), sp.csr_array(X * 1e3), y, **options)
    np.testing.assert_allclose(far.df, table.df, rtol=1e-6)


@pytest.mark.parametrize("is_grouped", [True, False])
def test_weights_are_rows_or_precisions(is_grouped, rng):
    X, y, groups = rows(rng)
    weight = rng.integers(1, 4, size=60)
    often = np.repeat(np.arange(60), weight)
    model, given = LinearRegression(tol=1e-10).fit(X, y, weight), groups if is_grouped else None
    residual, groups = y - model.predict(X), groups if is_grouped else np.arange(60)
    table = coef_table(model, X, y, sample_weight=weight, cov="CR2", cov_groups=given)
    mine = groups[often] if is_grouped else np.arange(len(often))
    assert_is(table, Definition(design(X)[often], residual[often], mine))
    C = np.eye(4)[:2]
    right = Definition(design(X)[often], residual[often], mine)
    np.testing.assert_allclose(table.wald(C).df_denom, right.df_together(C) - 1, rtol=1e-8)
    table = coef_table(model, X, y, sample_weight=weight, cov="CR2", cov_groups=given, weights="analytic")
    root = np.sqrt(weight)
    assert_is(table, Definition(design(X) * root[:, None], residual * root, groups))


def test_a_glm_by_its_working_weights(rng):
    X, y, groups = rows(rng)
    y = rng.poisson(np.exp(0.3 * y))
    model = PoissonRegressor(alpha=0, tol=1e-10).fit(X, y)
    mean = model.predict(X)
    right = Definition(design(X) * np.sqrt(mean)[:, None], (y - mean) / np.sqrt(mean), groups)
    table = coef_table(model, X, y, cov="CR2", cov_groups=groups)
    assert_is(table, right)
    parts = [slice(0, 25), slice(25, 60)]
    blocks = Blocks(lambda: ((X[part], y[part]) for part in parts))
    found = coef_table(PoissonRegressor(alpha=0, tol=1e-10).fit(blocks), blocks, None, cov="CR2", cov_groups=groups)
    np.testing.assert_allclose(found.df, table.df, rtol=1e-6)
    np.testing.assert_allclose(found.std_error, table.std_error, rtol=1e-6)


@pytest.mark.parametrize(("cov", "power"), [("HC2", -0.5), ("HC3", -1.0), ("CR2", -0.5)])
def test_several_classes_have_matrices_of_leverages(cov, power, rng):
    X, y, _ = rows(rng)
    label = rng.integers(0, 3, size=60) + (y > 1)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(X, label)
    table = coef_table(model, X, label, cov=cov).against(0)
    # the model of the classes beside the first one, with one block of whitened rows for each row
    P, D = model.predict_proba(X)[:, 1:], design(X)
    k = P.shape[1]
    bend = [np.diag(p) - np.outer(p, p) for p in P]
    roots = [fractional_matrix_power(B, 0.5).real for B in bend]
    Z = np.vstack([np.kron(row, root) for row, root in zip(D, roots, strict=True)])
    score = (label[:, None] == np.arange(1, k + 1)) - P
    residual = np.concatenate([np.linalg.solve(root, s) for root, s in zip(roots, score, strict=True)])
    bread = np.linalg.inv(Z.T @ Z)
    meat = 0.0
    for i in range(60):
        mine = slice(i * k, i * k + k)
        left = np.eye(k) - Z[mine] @ bread @ Z[mine].T
        s = Z[mine].T @ fractional_matrix_power(left, power).real @ residual[mine]
        meat = meat + np.outer(s, s)
    np.testing.assert_allclose(table.covariance, bread @ meat @ bread, rtol=1e-5, atol=1e-8)
    if cov == "CR2":
        right = Definition(Z, residual, np.repeat(np.arange(60), k))
        np.testing.assert_allclose(table.df, [right.df(row) for row in np.eye(len(bread))], rtol=1e-6)
    weight = rng.integers(1, 3, size=60)
    model.fit(X, label, weight)
    often = np.repeat(np.arange(60), weight)
    twice = coef_table(model, X[often], label[often], cov=cov)
    np.testing.assert_allclose(
        coef_table(model, X, label, sample_weight=weight, cov=cov).std_error, twice.std_error, rtol=1e-6
    )


def test_fixed_effects(rng):
    """The errors of slopes beside a dummy of each group are those within groups; dummies have none."""
    X, y, groups = rows(rng)
    dummies = (groups[:, None] == np.arange(1, 8)).astype(float)
    D = np.column_stack([X, dummies])
    model, options = LinearRegression(tol=1e-10).fit(D, y), {"cov": "CR2", "cov_groups": groups}
    table = coef_table(model, D, y, **options)
    assert np.isnan(table.std_error[3:]).all()
    assert np.isnan(table.df[3:]).all()
    text = "x3, x4, x5, x6, x7 and 3 more have no error here, because one group alone determines a combination"
    assert text in table.convention
    # the definition, with the pseudo-inverse that leaves out what a group alone determines
    D1, k = design(D), 11
    bread = np.linalg.inv(D1.T @ D1)
    left, meat, parts = np.eye(60) - D1 @ bread @ D1.T, 0.0, []
    for group in range(8):
        mine = np.flatnonzero(groups == group)
        values, vectors = np.linalg.eigh(left[np.ix_(mine, mine)])
        root = vectors * np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0.0) @ vectors.T
        s = D1[mine].T @ root @ (y - model.predict(D))[mine]
        meat = meat + np.outer(s, s)
        parts.append(left[:, mine] @ root @ D1[mine] @ bread)
    right = (bread @ meat @ bread)[:3, :3]
    np.testing.assert_allclose(table.covariance[:3, :3], right, rtol=1e-6)
    for j in range(3):
        P = np.array([part @ np.eye(k)[j] for part in parts])
        np.testing.assert_allclose(table.df[j], np.trace(P @ P.T) ** 2 / np.sum((P @ P.T) ** 2), rtol=1e-6)
    assert table.wald(["x0", "x1"]).df_denom > 0
    assert_refused("x3 has no error in this table", table.wald, ["x0", "x3"])


def test_what_has_no_such_errors(rng):
    X, y, groups = rows(rng)
    model = LinearRegression().fit(X, y)
    single = np.column_stack([X, np.arange(60) == 2]).astype(float)
    message = r"cov='HC2': the leverage of 1 rows is 1 \(2\)"
    assert_refused(message, coef_table, LinearRegression().fit(single, y), single, y, cov="CR2")
    both = np.column_stack([groups, np.arange(60) % 5])
    assert_refused("groups of one kind", coef_table, model, X, y, cov="CR2", cov_groups=both)
    ridge = Ridge().fit(X, y)
    assert_refused("for fits without a penalty", coef_table, ridge, X, y, cov="CR2", cov_groups=groups)
    # tests of more terms than groups can tell
    table = coef_table(model, X, y, cov="CR2", cov_groups=groups // 3)
    message = "give these 3 terms together .* degrees of freedom, and they need more than 2. Test fewer terms"
    assert_refused(message, table.wald, "*")
    table = coef_table(model, X, y, cov="CR2", cov_groups=groups > 3)
    assert_refused("has at most 2 dimensions, one for each group or row. Test fewer terms", table.wald, "*")
    for function in (marginal_effects, prediction_table):
        args = (model, X, X, y) if function is prediction_table else (model, X, y)
        assert_refused("CR2", function, *args, cov="CR2")
    many = rng.normal(size=(4000, 60))
    fit = LinearRegression().fit(many, many[:, 0] + rng.normal(size=4000))
    message = "cov='CR2' is for small samples"
    assert_refused(message, coef_table, fit, many, fit.predict(many), cov="CR2", cov_groups=np.arange(4000) // 1)
