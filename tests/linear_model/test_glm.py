import numpy as np
import pytest
import statsmodels.api as sm
from sklearn import linear_model as theirs
from sklearn.metrics import d2_log_loss_score, d2_tweedie_score, mean_tweedie_deviance

from sk_hessian.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, Ridge, TweedieRegressor
from tests.estimators import ALL_SOLVERS

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)


def costs(rng, n=200):
    X = rng.normal(size=(n, 3)) * [1, 0.1, 2] + [0, 1, -1]
    mean = np.exp(0.3 * X[:, 0] + 2 * X[:, 1] - 0.2 * X[:, 2])
    return X, rng.gamma(2, mean / 2) + 1e-3


PAIRS = {
    "poisson": (PoissonRegressor, theirs.PoissonRegressor, {}),
    "gamma": (GammaRegressor, theirs.GammaRegressor, {}),
    "normal": (TweedieRegressor, theirs.TweedieRegressor, {"power": 0}),
    "normal-log": (TweedieRegressor, theirs.TweedieRegressor, {"power": 0, "link": "log"}),
    "compound": (TweedieRegressor, theirs.TweedieRegressor, {"power": 1.5}),
}


@every_solver
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_scikit_learns_coefficients(name, alpha, solver, rng):
    ours, other, options = PAIRS[name]
    X, y = costs(rng)
    a = ours(alpha=alpha, solver=solver, tol=1e-8, **options).fit(X, y)
    b = other(alpha=alpha, solver="newton-cholesky", tol=1e-12, max_iter=10_000, **options).fit(X, y)
    assert a.convergence_.status == "optimal"
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-5)
    assert a.score(X, y) == pytest.approx(b.score(X, y), rel=1e-6)


@every_solver
def test_inverse_gaussian_is_at_least_as_good_as_scikit_learn(solver, rng):
    """Their Newton gives up on its curvature, which may be negative, and falls back to L-BFGS."""
    X, y = costs(rng)
    a = TweedieRegressor(power=3, alpha=0.1, solver=solver, tol=1e-8).fit(X, y)
    b = theirs.TweedieRegressor(power=3, alpha=0.1, tol=1e-8, max_iter=10_000).fit(X, y)
    assert a.convergence_.status == "optimal"
    values = [mean_tweedie_deviance(y, m.predict(X), power=3) + m.alpha * m.coef_ @ m.coef_ for m in (a, b)]
    assert values[0] <= values[1] + 1e-9 * abs(values[1])


@pytest.mark.parametrize("power", [0, 1, 1.5, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_score_is_the_share_of_the_deviance_explained(power, weighted, rng):
    X, y = costs(rng)
    weight = rng.uniform(size=len(y)) if weighted else None
    model = TweedieRegressor(power=power, alpha=0.01, link="log").fit(X, y, sample_weight=weight)
    expected = d2_tweedie_score(y, model.predict(X), sample_weight=weight, power=power)
    assert model.score(X, y, sample_weight=weight) == pytest.approx(expected, rel=1e-9)


def costs_model(power, link):
    return TweedieRegressor(power=power, link=link, alpha=0)


POWERS_AND_LINKS = [(0, "identity"), (0, "log"), (1, "log"), (1, "identity"), (1.5, "log"), (2, "log"), (3, "log")]


@pytest.mark.parametrize("value", [1e-3, 1.0, 7.3, 1e6])
@pytest.mark.parametrize(("power", "link"), POWERS_AND_LINKS)
@pytest.mark.parametrize("with_offset", [False, True])
def test_the_score_where_nothing_varies(power, link, value, with_offset, rng):
    """As scikit-learn's r2_score: 1 for a perfect prediction, 0 for another, and never nan."""
    X, offset = rng.normal(size=(50, 2)), rng.uniform(0.1, 1, size=50) * with_offset
    y = value * np.exp(offset) if link == "log" else value + offset
    model = costs_model(power, link).fit(X, y, offset=offset if with_offset else None)
    assert model.score(X, y, offset=offset) == 1.0
    model.intercept_ += 0.01 if link == "log" else 0.01 * value
    assert model.score(X, y, offset=offset) == 0.0


@pytest.mark.parametrize(("power", "link"), [(0, "log"), (1, "log"), (1, "identity"), (1.5, "log")])
@pytest.mark.parametrize("with_offset", [False, True])
def test_the_score_of_zeros_alone(power, link, with_offset, rng):
    """The best constant is at the edge: its deviance is zero, which no other prediction reaches."""
    X, y = rng.normal(size=(50, 2)), rng.poisson(3, size=50) + 1.0
    offset = rng.uniform(0.1, 1, size=50) if with_offset and link == "log" else None
    model = costs_model(power, link).fit(X, y, offset=offset)
    assert model.score(X, np.zeros(50), offset=offset) == 0.0


def test_the_score_of_a_variation_that_is_small_beside_the_mean(rng):
    X = rng.normal(size=(100, 2))
    y = 1e6 + 1e-2 * (X[:, 0] + rng.normal(size=100))
    normal, least_squares = TweedieRegressor(power=0, alpha=0).fit(X, y), Ridge(alpha=0).fit(X, y)
    assert normal.score(X, y) == pytest.approx(least_squares.score(X, y), rel=1e-6)


@pytest.mark.parametrize(("power", "outside"), [(1, -1.0), (2, 0.0), (2, -3.0), (3, 0.0)])
def test_targets_out_of_range_do_not_count_without_weight(power, outside, rng):
    X, y = costs(rng)
    weight = rng.uniform(0.5, 2, size=len(y))
    model = TweedieRegressor(power=power, alpha=0.01).fit(X, y, sample_weight=weight)
    expected = model.score(X[5:], y[5:], sample_weight=weight[5:])
    y[:5], weight[:5] = outside, 0
    assert model.score(X, y, sample_weight=weight) == expected


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_d2_of_classes_is_scikit_learns(n_classes, class_weight, rng):
    X, y = rng.normal(size=(120, 3)), np.array(["a", "b", "c"])[rng.integers(0, n_classes, size=120)]
    weight = rng.uniform(size=120)
    model = LogisticRegression(class_weight=class_weight).fit(X, y, sample_weight=weight)
    expected = d2_log_loss_score(y, model.predict_proba(X), sample_weight=weight)
    assert model.d2_score(X, y, sample_weight=weight) == pytest.approx(expected, rel=1e-9)
    # without a class its share of the best constant is zero
    some = y != "a"
    if n_classes == 3:
        # y has all labels, one of them with weight zero: scikit-learn 1.6 fails where one is in ``labels`` alone
        expected = d2_log_loss_score(y, model.predict_proba(X), sample_weight=some)
        assert model.d2_score(X[some], y[some]) == pytest.approx(expected, rel=1e-9)
        offset = np.zeros((some.sum(), 3))
        assert model.d2_score(X[some], y[some], offset=offset) == pytest.approx(expected, rel=1e-6)
    else:
        assert model.d2_score(X[some], y[some]) == 0.0


@pytest.mark.filterwarnings("ignore:The Identity link function does not respect the domain")
@every_solver
@pytest.mark.parametrize("link", ["log", "identity"])
def test_inverse_gaussian_of_raw_columns_is_statsmodels(link, solver, rng):
    n = 500
    X = np.column_stack([rng.uniform(18, 90, n), rng.lognormal(10.5, 0.4, n), rng.integers(1990, 2025, n)])
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    raw = 1 + Z @ [0.2, -0.1, 0.15] if link == "log" else 3 + Z @ [0.3, -0.1, 0.2]
    y = rng.wald(np.exp(raw) if link == "log" else raw, 20)
    model = TweedieRegressor(power=3, link=link, alpha=0, tol=1e-8, solver=solver).fit(X, y)
    family = sm.families.InverseGaussian(sm.families.links.Log() if link == "log" else sm.families.links.Identity())
    # standardised columns, for statsmodels forms and inverts X'WX
    other = sm.GLM(y, sm.add_constant(Z), family=family).fit(tol=1e-15, maxiter=500)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coef_ * X.std(axis=0), other.params[1:], rtol=1e-6)
    np.testing.assert_allclose(model.predict(X), other.fittedvalues, rtol=1e-6)


@every_solver
@pytest.mark.parametrize("power", [1, 1.5, 2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_an_identity_link_keeps_every_mean_positive(power, fit_intercept, solver, rng):
    X = rng.uniform(0.5, 2, size=(150, 3)) * [1, 10, 100]
    y = rng.gamma(3, (1 + X @ [1.0, 0.1, 0.01]) / 3) + 1e-3
    model = TweedieRegressor(
        power=power, link="identity", alpha=0, fit_intercept=fit_intercept, solver=solver, random_state=0
    ).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert (model.predict(X) > 0).all()
    slope = (model.predict(X) - y) * model.predict(X) ** -power
    assert np.abs(X.T @ slope / (X.T @ np.abs(slope))).max() <= 1e-2


def test_aliases_are_tweedie_models(rng):
    X, y = costs(rng)
    for alias, power in ((PoissonRegressor(), 1), (GammaRegressor(), 2)):
        same = TweedieRegressor(power=power).fit(X, y)
        np.testing.assert_array_equal(alias.fit(X, y).coef_, same.coef_)


def test_the_automatic_link(rng):
    X, y = costs(rng)
    for power, link in ((0, "identity"), (1, "log"), (3, "log")):
        auto, named = (TweedieRegressor(power=power, link=k).fit(X, y) for k in ("auto", link))
        np.testing.assert_array_equal(auto.coef_, named.coef_)
