"""An offset: a known part of the linear predictor, in fits, predictions and scores."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import statsmodels.api as sm
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

from sk_hessian.inspection import coef_table
from sk_hessian.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, TweedieRegressor
from sk_hessian.neural_network import MLPRegressor
from sk_hessian.solvers import SGD, plan
from tests.estimators import ALL_SOLVERS, assert_refused, convergence_warnings
from tests.linear_model.test_offset_identity import IDENTITY
from tests.linear_model.test_offset_identity import claims as identity_claims

every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)

#: name -> an unpenalised estimator
MODELS = {
    "poisson": PoissonRegressor(alpha=0, tol=1e-8),
    "gamma": GammaRegressor(alpha=0, tol=1e-8),
    "tweedie": TweedieRegressor(power=1.5, alpha=0, tol=1e-8),
    "inverse-gaussian": TweedieRegressor(power=3, alpha=0, tol=1e-8),
    "normal": TweedieRegressor(power=0, alpha=0, tol=1e-8),
    "identity": TweedieRegressor(power=1, link="identity", alpha=0, tol=1e-8),
    "binary": LogisticRegression(C=np.inf, tol=1e-8),
    "softmax": LogisticRegression(C=np.inf, tol=1e-8),
}
every_model = pytest.mark.parametrize("name", MODELS)
EVERY = MODELS | IDENTITY
every_offset = pytest.mark.parametrize("name", EVERY)

LOG = sm.families.links.Log()
FAMILIES = {
    "poisson": sm.families.Poisson(),
    "gamma": sm.families.Gamma(LOG),
    "tweedie": sm.families.Tweedie(LOG, 1.5),
    "inverse-gaussian": sm.families.InverseGaussian(LOG),
    "normal": sm.families.Gaussian(),
    "binary": sm.families.Binomial(),
}


def claims(name, rng, n=300):
    """Raw columns, a target for a model of `EVERY`, and an offset that varies more than the rest."""
    if name in IDENTITY:
        return identity_claims(name, rng, n)
    X = rng.normal(size=(n, 3)) * [1, 10, 0.1] + [0, 100, 3]
    eta = 0.3 * X[:, 0] + 0.02 * (X[:, 1] - 100) - (X[:, 2] - 3)
    if name == "softmax":
        offset = rng.normal(size=(n, 3))
        return X, np.argmax(offset + np.outer(eta, [1, 0, -1]) + rng.gumbel(size=(n, 3)), axis=1), offset
    offset = np.log(rng.uniform(0.1, 5, size=n))
    if name == "binary":
        return X, (rng.random(n) < expit(eta + offset)).astype(int), offset
    if name == "normal":
        return X, eta + offset + rng.normal(size=n), offset
    if name == "identity":
        offset = rng.uniform(1, 5, size=n)
        return X, rng.poisson(3 + 0.3 * eta + offset) + 0.5, offset
    mean = np.exp(eta + offset)
    if name == "poisson":
        return X, rng.poisson(mean), offset
    return X, rng.gamma(2, mean / 2) * (rng.random(n) < (0.8 if name == "tweedie" else 2)), offset


def coefficients(model):
    return np.append(np.ravel(model.coef_), model.intercept_)


# -- against others ---------------------------------------------------------------------------------------------------


@every_solver
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_statsmodels_coefficients_and_deviance(name, fit_intercept, solver, rng):
    X, y, offset = claims(name, rng)
    X = X - [0, 100, 3]
    weight = rng.uniform(0.5, 2, size=len(y))
    model = clone(MODELS[name]).set_params(solver=solver, fit_intercept=fit_intercept)
    model.fit(X, y, sample_weight=weight, offset=offset)
    design = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    options = {"family": FAMILIES[name], "offset": offset, "var_weights": weight}
    theirs = sm.GLM(y, design, **options).fit(tol=1e-14, maxiter=500)
    null = sm.GLM(y, np.ones(len(y)), **options).fit(tol=1e-14, maxiter=500)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(coefficients(model)[: design.shape[1]], theirs.params, rtol=1e-6, atol=1e-7)
    expected = 1 - theirs.deviance / null.deviance
    assert model.d2_score(X, y, sample_weight=weight, offset=offset) == pytest.approx(expected, rel=1e-9)


@every_solver
@pytest.mark.parametrize("power", [0, 1, 1.5, 2, 3])
def test_exposure_is_a_weight_on_rates(power, solver, rng):
    """The deviance of y and mean, both times e, is e^(2-p) times theirs: sums are rates that are weighted."""
    X, y, offset = claims("tweedie" if power < 2 else "gamma", rng)
    exposure = np.exp(offset)
    sums, rates = (TweedieRegressor(power=power, link="log", alpha=0, tol=1e-9, solver=solver) for _ in range(2))
    sums.fit(X, y, offset=offset)
    rates.fit(X, y / exposure, sample_weight=exposure ** (2 - power))
    np.testing.assert_allclose(coefficients(sums), coefficients(rates), rtol=1e-6)
    np.testing.assert_allclose(sums.predict(X, offset), rates.predict(X) * exposure, rtol=1e-6)
    score = rates.score(X, y / exposure, sample_weight=exposure ** (2 - power))
    assert sums.score(X, y, offset=offset) == pytest.approx(score, rel=1e-8)


# -- what follows from the definition ---------------------------------------------------------------------------------


@every_solver
@every_model
def test_an_offset_of_columns_moves_the_coefficients(name, solver, rng):
    X, y, offset = claims(name, rng)
    c = np.array([0.2, 0.01, -0.5])
    c = np.outer(c, [1, 2, -3]) if name == "softmax" else c
    moved, plain = (clone(MODELS[name]).set_params(solver=solver) for _ in range(2))
    moved.fit(X, y, offset=offset + X @ c)
    plain.fit(X, y, offset=offset)
    assert moved.convergence_.status == plain.convergence_.status == "optimal"
    np.testing.assert_allclose(moved.coef_ + c.T, plain.coef_, rtol=1e-5, atol=1e-6)
    # without a penalty the coefficients are the only thing that moved
    predict = "predict_proba" if name in ("binary", "softmax") else "predict"
    means = getattr(moved, predict)(X, offset + X @ c), getattr(plain, predict)(X, offset)
    np.testing.assert_allclose(*means, rtol=2e-5, atol=1e-5 if name == "normal" else 0)


@every_offset
def test_no_offset_is_an_offset_of_zeros(name, rng):
    X, y, offset = claims(name, rng)
    plain, zeros = (clone(EVERY[name]) for _ in range(2))
    plain.fit(X, y), zeros.fit(X, y, offset=np.zeros_like(offset))
    np.testing.assert_allclose(coefficients(zeros), coefficients(plain), rtol=1e-7, atol=1e-8)
    assert zeros.has_offset_
    assert not plain.has_offset_


@every_model
@pytest.mark.parametrize("make", [sp.csr_array, np.asfortranarray, np.float32], ids=["sparse", "F", "float32"])
def test_containers(name, make, rng):
    X, y, offset = claims(name, rng)
    X = X.astype(np.float32).astype(float)
    dense = clone(MODELS[name]).fit(X, y, offset=offset)
    other = clone(MODELS[name]).fit(make(X), y, offset=offset)
    np.testing.assert_allclose(coefficients(other), coefficients(dense), rtol=1e-5, atol=1e-6)
    # predictions of float32 rows have digits of their largest
    expected = dense.predict(X, offset)
    same = other.predict(make(X), offset) == pytest.approx(expected, rel=1e-5, abs=1e-6 * np.abs(expected).max())
    assert same


@every_offset
def test_rows_of_weight_zero_drop_their_offset(name, rng):
    X, y, offset = claims(name, rng)
    weight = np.where(np.arange(len(y)) % 3 == 0, 0.0, rng.uniform(0.5, 2, size=len(y)))
    offset[weight == 0] = 50
    a = clone(EVERY[name]).fit(X, y, sample_weight=weight, offset=offset)
    keep = weight > 0
    b = clone(EVERY[name]).fit(X[keep], y[keep], sample_weight=weight[keep], offset=offset[keep])
    np.testing.assert_array_equal(coefficients(a), coefficients(b))
    score = getattr(a, "d2_score", a.score)
    scores = score(X, y, weight, offset), score(X[keep], y[keep], weight[keep], offset[keep])
    assert scores[0] == scores[1]


@every_offset
def test_a_warm_start_with_an_offset(name, rng):
    X, y, offset = claims(name, rng)
    model = clone(EVERY[name]).set_params(warm_start=True).fit(X, y, offset=offset)
    first = coefficients(model)
    model.fit(X, y, offset=offset)
    assert np.max(model.n_iter_) <= 1
    np.testing.assert_allclose(coefficients(model), first, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["poisson", "gamma", "binary"])
@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_a_sketch_carries_the_offset(name, solver, rng):
    """Rare levels make the draw uneven; an offset in the wrong rows would put the answer far off."""
    n, p = 30_000, 30
    X = rng.normal(size=(n, p))
    X[:, 0] = rng.random(n) < 0.004
    c = np.resize([0.2, -0.1, 0.05], p)
    offset = 3 * rng.normal(size=n)
    mean = np.exp(X @ c + offset)
    y = {"poisson": rng.poisson, "gamma": lambda m: rng.gamma(2, m / 2)}.get(
        name, lambda m: rng.random(n) < m / (1 + m)
    )
    y = y(mean).astype(float)
    model = clone(MODELS[name]).set_params(solver=solver, tol=1e-6).fit(X, y, offset=offset)
    sketch = plan.sketch_of(model.fitted_objective(X, y, offset=offset)[0], p + 1)
    assert sketch is not None
    raw = X @ np.ravel(model.coef_) + model.intercept_ + offset
    mean = expit(raw) if name == "binary" else np.exp(raw)
    slope = 1 - y / mean if name == "gamma" else mean - y
    assert model.convergence_.status == "optimal"
    assert np.abs(X.T @ slope / (np.abs(X).T @ np.abs(slope))).max() < 1e-4
    np.testing.assert_allclose(np.ravel(model.coef_)[1:], c[1:], atol=0.1)


def test_minibatches_carry_the_offset(rng):
    X, y, offset = claims("poisson", rng, n=2000)
    exact = PoissonRegressor(alpha=0).fit(X, y, offset=offset)
    model = PoissonRegressor(alpha=0, solver=SGD(batch_size=64), max_iter=40, random_state=0)
    convergence_warnings(lambda: model.fit(X, y, offset=offset))
    gap = model.score(X, y, offset=offset) - exact.score(X, y, offset=offset)
    assert -1e-3 < gap <= 1e-9


@pytest.mark.parametrize("name", ["poisson", "binary"])
def test_separation_is_seen_beside_an_offset(name, rng):
    X, y, offset = claims(name, rng)
    y = np.where(X[:, 0] > 0, 0, y) if name == "poisson" else (X[:, 0] > 0).astype(int)
    X[:, 0] = X[:, 0] > 0
    model = clone(MODELS[name])
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="separated"):
        model.fit(X, y, offset=offset)
    assert model.convergence_.status == "separated"


#: with an identity link the mean would be negative
LARGE = [(n, size) for n in MODELS for size in (300.0, -1000.0, 1000.0) if n != "identity" or size > 0]


@pytest.mark.parametrize(("name", "size"), LARGE)
def test_a_large_constant_offset_goes_into_the_intercept(name, size, rng):
    X, y, offset = claims(name, rng)
    near, far = (clone(MODELS[name]) for _ in range(2))
    far.fit(X, y, offset=offset + size * (np.arange(3) if name == "softmax" else 1))
    near.fit(X, y, offset=offset)
    assert far.convergence_.status == "optimal"
    np.testing.assert_allclose(far.coef_, near.coef_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size"),
    [("gamma", -2000.0), *((n, s) for n in ("poisson", "tweedie", "inverse-gaussian") for s in (-2000.0, 2000.0))],
)
def test_an_offset_at_which_nothing_is_left_of_the_loss_is_refused_without_an_intercept(name, size, rng):
    """Means or curvatures that over- or underflow in every row: a gradient of zero would pass for an optimum."""
    X, y, offset = claims(name, rng)
    model = clone(MODELS[name]).set_params(fit_intercept=False)
    assert_refused("offset is so large that predictions overflow", model.fit, X, y, offset=offset + size)
    assert not hasattr(model, "coef_")


def test_an_identity_link_without_intercept_starts_beside_its_offset(rng):
    """Zero coefficients are outside the domain for some rows, and no combination of columns is positive."""
    X = rng.normal(size=(200, 2))
    mean = np.abs(X @ [1.0, 0.5]) + 0.5
    offset = mean - X @ [1.0, 0.5]
    assert offset.min() < 0.5
    y = rng.gamma(5, mean / 5)
    model = TweedieRegressor(power=2, link="identity", alpha=0, fit_intercept=False)
    model.fit(X, y, offset=offset - X @ [3.0, 1.0])
    assert model.convergence_.status == "optimal"
    assert (model.predict(X, offset - X @ [3.0, 1.0]) > 0).all()
    slope = (lambda m: (m - y) / m**2)(model.predict(X, offset - X @ [3.0, 1.0]))
    assert np.abs(X.T @ slope / (np.abs(X).T @ np.abs(slope))).max() < 1e-2


def test_an_identity_link_that_no_coefficients_make_positive(rng):
    X, y = rng.normal(size=(100, 2)), rng.gamma(2, size=100)
    model = TweedieRegressor(power=2, link="identity", fit_intercept=False)
    assert_refused("no coefficients give one", model.fit, X, y, offset=np.full(100, -1.0))


# -- scores -----------------------------------------------------------------------------------------------------------


@every_model
def test_the_null_model_has_no_score_beside_its_offset(name, rng):
    X, y, offset = claims(name, rng)
    strength = {"C": 1e-14} if hasattr(MODELS[name], "C") else {"alpha": 1e14}
    model = clone(MODELS[name]).set_params(**strength).fit(X, y, offset=offset)
    assert model.d2_score(X, y, offset=offset) == pytest.approx(0, abs=1e-9)


def test_accuracy_with_an_offset(rng):
    X, y, offset = claims("softmax", rng)
    model = LogisticRegression().fit(X, y, offset=offset)
    weight = rng.uniform(size=len(y))
    right = model.decision_function(X, offset).argmax(axis=1) == y
    assert model.score(X, y, weight, offset) == pytest.approx(np.average(right, weights=weight))
    np.testing.assert_allclose(model.decision_function(X, offset), X @ model.coef_.T + model.intercept_ + offset)
    probabilities = model.predict_proba(X, offset)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(probabilities), model.predict_log_proba(X, offset))
    np.testing.assert_array_equal(model.predict(X, offset), probabilities.argmax(axis=1))


# -- predictions and routing ------------------------------------------------------------------------------------------


@every_offset
def test_a_prediction_without_the_offset_of_the_fit_warns(name, rng):
    X, y, offset = claims(name, rng)
    model = clone(EVERY[name]).fit(X, y, offset=offset)
    calls = [model.predict, lambda X: model.score(X, y), *[lambda X: model.d2_score(X, y)] * hasattr(model, "d2_score")]
    calls += (
        [model.decision_function, model.predict_proba, model.predict_log_proba] if hasattr(model, "classes_") else []
    )
    for call in calls:
        with pytest.warns(UserWarning, match=r"was fitted with an offset, and is used here without.*Pass offset"):
            call(X)
    model.predict(X, np.zeros_like(offset))
    model.fit(X, y).predict(X)


@every_model
def test_a_prediction_with_an_offset_that_the_fit_had_not(name, rng):
    X, y, offset = claims(name, rng)
    model = clone(MODELS[name]).fit(X, y)
    raw = (X @ model.coef_.T + model.intercept_).reshape(offset.shape) + offset
    if name in ("binary", "softmax"):
        expected = expit(raw) if name == "binary" else softmax(raw, axis=1)
        found = model.predict_proba(X, offset)
        np.testing.assert_allclose(found if name == "softmax" else found[:, 1], expected)
    else:
        np.testing.assert_allclose(model.predict(X, offset), raw if name in ("normal", "identity") else np.exp(raw))


def test_the_methods_that_take_an_offset():
    for model in EVERY.values():
        for method in ("fit", "partial_fit", "predict", "score"):
            assert "offset" in getattr(model, f"set_{method}_request").__doc__
    assert "offset" in LogisticRegression().set_predict_proba_request.__doc__
    with pytest.raises(TypeError, match=r"'offset'\. Instead: a network has no offset"):
        MLPRegressor().fit([[0.0], [1.0]], [0.0, 1.0], offset=[0.0, 1.0])


@pytest.mark.parametrize("name", ["poisson", "softmax"])
def test_a_grid_search_routes_the_offset(name, rng):
    X, y, offset = claims(name, rng)
    grid = {"C": [0.1, 10.0]} if name == "softmax" else {"alpha": [0.0, 10.0]}
    with sklearn.config_context(enable_metadata_routing=True):
        model = clone(MODELS[name]).set_fit_request(offset=True).set_score_request(offset=True)
        search = GridSearchCV(model, grid, cv=3).fit(X, y, offset=offset)
        best = search.best_estimator_
        assert best.has_offset_
        assert search.score(X, y, offset=offset) == best.score(X, y, offset=offset)
        # each fold's score is that of its own rows and offsets
        scores = cross_val_score(best, X, y, cv=3, params={"offset": offset})
        np.testing.assert_allclose(scores.mean(), search.cv_results_["mean_test_score"][search.best_index_])
        assert scores.min() > 0.1


def test_a_named_scorer_knows_no_offset_and_the_model_says_so(rng):
    X, y, offset = claims("poisson", rng)
    with sklearn.config_context(enable_metadata_routing=True):
        model = PoissonRegressor().set_fit_request(offset=True).set_score_request(offset=True)
        with pytest.warns(UserWarning, match="was fitted with an offset, and is used here without"):
            cross_val_score(model, X, y, cv=2, params={"offset": offset}, scoring="neg_mean_poisson_deviance")


# -- the objective of inspection --------------------------------------------------------------------------------------


@every_offset
def test_the_fitted_objective_is_at_its_optimum_with_the_offset_only(name, rng):
    X, y, offset = claims(name, rng)
    model = clone(EVERY[name]).fit(X, y, offset=offset)
    coef_table(model, X, y, offset=offset)
    assert_refused("not at the optimum", coef_table, model, X, y, offset=offset[::-1])
    assert_refused("was fitted with an offset: pass it as offset", coef_table, model, X, y)
    assert_refused("not fitted", clone(model).fitted_objective, X, y, offset=offset, error=NotFittedError)
