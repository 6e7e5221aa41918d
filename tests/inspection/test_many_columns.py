"""Some coefficients of models whose curvature has no factor: by products of the Hessian, against a factor."""

import numpy as np
import pytest
import scipy.sparse as sp

from sk_hessian.inspection import coef_table, marginal_effects
from sk_hessian.linear_model import LinearRegression, LogisticRegression, NegativeBinomialRegressor, Ridge
from sk_hessian.objectives import Blocks, column_space
from sk_hessian.solvers import plan
from tests.estimators import assert_refused


def text(rng, n=400, p=3100):
    """Words of documents, most of them rare; some are in none."""
    words = rng.choice(p, size=(n, 40), p=(1 / np.arange(1, p + 1)) / np.sum(1 / np.arange(1, p + 1)))
    X = sp.csr_array((rng.uniform(0.2, 1, words.size), (np.repeat(np.arange(n), 40), words.ravel())), shape=(n, p))
    X.sum_duplicates()
    eta = X[:, :50].toarray() @ rng.normal(size=50)
    return X, (rng.random(n) < 1 / (1 + np.exp(np.median(eta) - eta))).astype(int)


def test_words_of_a_text(rng):
    """By the definition, with a matrix that the package does not form."""
    X, y = text(rng)
    model = LogisticRegression(C=2.0, tol=1e-8).fit(X, y)
    D, mean = np.column_stack([X.toarray(), np.ones(400)]), model.predict_proba(X)[:, 1]
    held = np.append(np.ones(X.shape[1]) / 2, 0.0)
    H = D.T @ (D * (mean * (1 - mean))[:, None]) + np.diag(held)
    C = np.zeros((len(H), 4))
    C[[3, 40, 3000, -1], range(4)] = 1
    Z = np.linalg.solve(H, C)
    scores = (D * (mean - y)[:, None] + held * np.append(model.coef_, model.intercept_) / 400) @ Z
    table = coef_table(model, X, y, features=[3, 40, 3000])
    assert table.names == ["x3", "x40", "x3000", "intercept"]
    np.testing.assert_allclose(table.covariance, scores.T @ scores, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(table.estimate, [*model.coef_[0, [3, 40, 3000]], *model.intercept_])
    assert table.convention.startswith("by conjugate gradients, std. errors to a share of ")
    # what effective parameters would tell is not there
    assert (table.effective_df, table.df_resid, table.aic, table.bic) == (None, None, None, None)
    assert "nan" not in str(table)
    groups = rng.integers(0, 30, 400)
    sums = np.stack([np.bincount(groups, score) for score in scores.T])
    table = coef_table(model, X, y, features=[3, 40, 3000], cov_groups=groups)
    np.testing.assert_allclose(table.covariance, 30 / 29 * sums @ sums.T, rtol=1e-6, atol=1e-9)
    assert table.convention.startswith("30 groups, times G / (G - 1); by conjugate gradients")
    # the same to the bit, because the seed is the same
    again = coef_table(model, X, y, features=[3, 40, 3000], cov_groups=groups)
    np.testing.assert_array_equal(again.covariance, table.covariance)


def columns(rng, n=300):
    """Raw columns: far from zero, of several sizes, correlated."""
    X = rng.normal(size=(n, 12)) + rng.normal(size=(n, 1))
    X = X * np.exp(rng.normal(size=12) * 2) + 20 * rng.normal(size=12)
    eta = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=12) * 0.2
    labels = {
        "numbers": eta + rng.normal(size=n),
        "targets": np.column_stack([eta, -eta]) + rng.normal(size=(n, 2)),
        "two": (eta + rng.logistic(size=n) > 0).astype(int),
        "three": rng.integers(0, 3, n),
        "counts": rng.negative_binomial(2, 0.4, size=n),
    }
    return X, labels


CASES = {
    "least squares": (LinearRegression(), "numbers", {}),
    "HC1": (LinearRegression(), "numbers", {"cov": "HC1"}),
    "deviance": (LogisticRegression(C=np.inf), "two", {"dispersion": 2.0}),
    "ridge": (Ridge(alpha=2.0), "numbers", {"cov": "HC0"}),
    "targets": (LinearRegression(), "targets", {}),
    "logistic": (LogisticRegression(C=np.inf), "two", {"cov": "sandwich"}),
    "groups": (LogisticRegression(C=np.inf), "two", {"cov_groups": np.arange(300) % 17}),
    "classes": (LogisticRegression(C=np.inf), "three", {}),
    "penalised classes": (LogisticRegression(), "three", {}),
    "negative binomial": (NegativeBinomialRegressor(alpha=0), "counts", {}),
    "penalised negative binomial": (NegativeBinomialRegressor(alpha=1e-2), "counts", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_without_a_factor_as_with_one(name, rng, monkeypatch):
    (model, label, options), (X, labels) = CASES[name], columns(rng)
    y, weight = labels[label], rng.integers(1, 4, size=300)
    model.set_params(tol=1e-8).fit(X, y, sample_weight=weight)
    right = coef_table(model, X, y, sample_weight=weight, features=[5, 2], **options)
    monkeypatch.setattr(plan, "MOST_FACTOR_SIZE", 9)
    table = coef_table(model, X, y, sample_weight=weight, features=[5, 2], **options)
    unit = np.sqrt(np.outer(right.covariance.diagonal(), right.covariance.diagonal()))
    np.testing.assert_allclose(table.covariance / unit, right.covariance / unit, atol=2e-6)
    np.testing.assert_allclose(table.std_error, right.std_error, rtol=1e-6)
    np.testing.assert_allclose(table.p_value, right.p_value, rtol=1e-4, atol=1e-9)
    assert (table.names, table.cov, table.verdict) == (right.names, right.cov, right.verdict)
    np.testing.assert_array_equal(table.df, right.df)
    if table.effective_df is not None:
        np.testing.assert_allclose(table.effective_df, right.effective_df)
    names = ["x5", "x2"] if label != "targets" else ["x5 [1]", "x2 [1]"]
    np.testing.assert_allclose(table.wald(names).statistic, right.wald(names).statistic, rtol=1e-5)


def test_rows_in_parts_and_constant_columns(rng, monkeypatch):
    X, labels = columns(rng)
    X[:, 3], y = 7.0, labels["two"]
    model = LogisticRegression(C=1.0, tol=1e-8).fit(X, y)
    right = coef_table(model, X, y, features=[0, 3])
    monkeypatch.setattr(plan, "MOST_FACTOR_SIZE", 9)
    np.testing.assert_allclose(coef_table(model, X, y, features=[0, 3]).std_error, right.std_error, rtol=1e-6)
    parts = [slice(0, 120), slice(120, 300)]
    blocks = Blocks(lambda: ((X[part], y[part]) for part in parts))
    streamed = LogisticRegression(C=1.0, tol=1e-8).fit(blocks)
    np.testing.assert_allclose(coef_table(streamed, blocks, None, features=[0]).std_error[0], right.std_error[0], 1e-6)


def test_what_products_cannot_tell_is_refused(rng, monkeypatch):
    X, labels = columns(rng)
    y = labels["two"]
    model = LogisticRegression(C=np.inf).fit(X, y)
    dependent = np.column_stack([X, X[:, 0] - X[:, 1] + 1])
    both = LinearRegression().fit(dependent, labels["numbers"])
    monkeypatch.setattr(plan, "MOST_FACTOR_SIZE", 9)
    message = "the data do not determine every coefficient .*: x12 = x0 - x1 [+] 1"
    assert_refused(message, coef_table, both, dependent, labels["numbers"], features=[3])
    for cov in ("HC3", "CR2", "HAC"):
        message = f"cov='{cov}' would need a factor of the curvature.*There are expected"
        assert_refused(message, coef_table, model, X, y, features=[1], cov=cov)
    two = rng.integers(0, 9, size=(300, 2))
    assert_refused("two kinds of groups would need", coef_table, model, X, y, features=[1], cov_groups=two)
    # where nothing tells which columns depend on each other
    monkeypatch.setattr(column_space, "MOST_COLUMNS", 9)
    both, flat = LinearRegression().fit(dependent, labels["numbers"]), np.column_stack([X, np.ones(300)])
    message = "products with the Hessian do not tell whether the data determine every coefficient"
    assert_refused(message, coef_table, both, dependent, labels["numbers"], features=[3])
    model = LinearRegression().fit(flat, labels["numbers"])
    message = "x12 is of a column that is constant: drop it, or add a penalty"
    assert_refused(message, coef_table, model, flat, labels["numbers"], features=[12])
    assert coef_table(model, flat, labels["numbers"], features=[2]).effective_df == 13
    monkeypatch.undo()
    X, y = text(rng)
    model = LogisticRegression().fit(X, y)
    assert_refused("choose some of its columns by features=", coef_table, model, X, y)
    message = "marginal_effects needs the covariance of all coefficients, whichever features it is for"
    assert_refused(message, marginal_effects, model, X, y, features=[1])
    message = "features: 3000 of 3101 parameters are too many: choose at most 2704"
    assert_refused(message, coef_table, model, X, y, features=np.arange(3000))
