"""Predictions of arrays, whose entries are checked by what they make of the predictions."""

import numpy as np
import pytest

from sk_hessian.linear_model import LogisticRegression, PoissonRegressor, Ridge


def _fitted(n_targets=1, dtype=float):
    """A ridge whose second column has a coefficient of zero."""
    X = np.random.default_rng(0).standard_normal((60, 3)).astype(dtype)
    X[:, 1] = 1.0
    y = X[:, [0] * n_targets] - 2 * X[:, [2] * n_targets]
    return Ridge().fit(X, y if n_targets > 1 else y[:, 0]), X


@pytest.mark.parametrize("entry", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_rows", [1, 2, 7, 60])
@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_entry_that_is_not_finite_is_refused_whatever_its_coefficient(entry, n_rows, n_targets, dtype):
    ridge, X = _fitted(n_targets, dtype)
    assert not np.any(np.atleast_2d(ridge.coef_)[:, 1])
    X = X[:n_rows].copy()
    X[-1, 1] = entry
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        ridge.predict(X)


def test_predictions_that_overflow_are_no_fault_of_the_rows():
    ridge, X = _fitted()
    ridge.coef_ = ridge.coef_ * 1e300
    with np.errstate(over="ignore", invalid="ignore"):
        assert not np.isfinite(ridge.predict(X * 1e300)).all()


def test_arrays_of_other_orders_types_and_shapes_predict_the_same():
    ridge, X = _fitted()
    expected = ridge.predict(X)
    for same in (np.asfortranarray(X), X[::-1][::-1], np.hstack([X, X])[:, :3], X.tolist(), X.astype(object)):
        np.testing.assert_allclose(ridge.predict(same), expected, rtol=1e-14)
    for wrong, text in ((X[:, :2], "features"), (X[0], "2D"), (X[:0], "0 sample"), (X.astype(complex), "Complex")):
        with pytest.raises(ValueError, match=text):
            ridge.predict(wrong)


@pytest.mark.parametrize("raw", [-800.0, -40.0, -1.0, 0.0, 1e-9, 2.0, 40.0, 800.0])
def test_probabilities_keep_their_digits_at_both_ends(raw):
    X, y = np.array([[-1.0], [1.0], [2.0], [0.0]]), np.array([0, 1, 0, 1])
    model = LogisticRegression().fit(X, y)
    model.coef_, model.intercept_ = np.array([[1.0]]), np.array([0.0])
    found = model.predict_proba([[raw]])[0]
    np.testing.assert_allclose(found, np.exp(model.predict_log_proba([[raw]])[0]), rtol=1e-14)
    assert found.sum() == pytest.approx(1, abs=1e-15)


def test_an_offset_is_checked_for_arrays_too():
    X = np.random.default_rng(0).standard_normal((50, 2))
    model = PoissonRegressor().fit(X, np.arange(50.0))
    with pytest.raises(ValueError, match="offset must have one entry for each of the 50 rows"):
        model.predict(X, offset=np.zeros(3))
    np.testing.assert_allclose(model.predict(X, offset=np.log(np.full(50, 2.0))), 2 * model.predict(X))
