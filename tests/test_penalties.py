"""Penalties of columns that belong together: closed forms, evidence, other ways to say the same, bad input."""

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

from sk_hessian import inspection
from sk_hessian.linear_model import BinomialRegressor, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.penalties import Differences, Quadratic, RandomWalk, TowardMean
from sk_hessian.solvers import SOLVERS
from tests.estimators import assert_refused, convergence_warnings

#: squared differences of four levels, of order 2 (Eilers & Marx 1996, section 3)
OF_ORDER_2 = [[1, -2, 1, 0], [-2, 5, -4, 1], [1, -4, 5, -2], [0, 1, -2, 1]]
ALL = [Differences(), Differences(2), Differences(2, cyclic=True), RandomWalk(), TowardMean(), Quadratic(OF_ORDER_2)]


@pytest.fixture
def curve(rng):
    """Positions, a basis of B-splines that sums to one, and a curve with noise."""
    x = np.sort(rng.uniform(0, 10, size=120))[:, None]
    return x, SplineTransformer(15).fit_transform(x), 3 * np.sin(x[:, 0]) + x[:, 0] + rng.normal(size=120)


def log_evidence(X, y, penalty, dispersion=None):
    """The density of y, coefficients with the prior precision ``penalty / dispersion`` integrated out.

    Along what a singular penalty does not hold the prior is flat with density one, as in restricted maximum likelihood.
    Without a dispersion the one of most evidence.
    """
    H, values = X.T @ X + penalty, np.linalg.eigvalsh(penalty)
    values = values[values > 1e-12 * values[-1]]
    coef, n_left = np.linalg.solve(H, X.T @ y), len(y) - X.shape[1] + len(values)
    deviance = ((y - X @ coef) ** 2).sum() + coef @ penalty @ coef
    dispersion = deviance / n_left if dispersion is None else dispersion
    determinants = np.log(values).sum() - np.linalg.slogdet(H)[1]
    return 0.5 * (determinants - deviance / dispersion - n_left * np.log(2 * np.pi * dispersion))


def most_evident(X, y, penalty_of, n_strengths):
    """The strengths of most evidence and the evidence, by a search."""

    def lost(logs):
        return -log_evidence(X, y, penalty_of(np.exp(logs)))

    options = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 400}
    found = minimize(lost, np.zeros(n_strengths), method="Nelder-Mead", options=options)
    return np.exp(found.x), -found.fun


# -- matrices ---------------------------------------------------------------------------------------------------------


def test_differences_are_those_of_eilers_and_marx():
    np.testing.assert_array_equal(Differences(2).matrix(4), OF_ORDER_2)
    np.testing.assert_array_equal(Differences(3).root(5), [[-1, 3, -3, 1, 0], [0, -1, 3, -3, 1]])
    np.testing.assert_array_equal(Differences(cyclic=True).matrix(4), [[2, -1, 0, -1], [-1, 2, -1, 0],
                                                                     [0, -1, 2, -1], [-1, 0, -1, 2]])  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_polynomials_of_a_lower_degree_are_free(order):
    levels = np.arange(12.0)
    for degree in range(order):
        assert not (Differences(order).root(12) @ levels**degree).any()
    assert (Differences(order).root(12) @ levels**order).all()


def test_a_random_walk_is_the_density_of_its_steps():
    at, b = np.array([0.0, 0.5, 3.0, 4.0]), np.array([1.0, -2.0, 0.5, 0.7])
    density = multivariate_normal(cov=np.diag(np.diff(at))).logpdf
    kernel = 0.5 * b @ RandomWalk(at).matrix(4) @ b
    assert kernel == pytest.approx(density(np.zeros(3)) - density(np.diff(b)), rel=1e-12)
    np.testing.assert_array_equal(RandomWalk().matrix(4), Differences().matrix(4))


def test_toward_the_mean_are_squared_deviations():
    b = np.array([1.0, -2.0, 0.5])
    assert b @ TowardMean().matrix(3) @ b == pytest.approx(((b - b.mean()) ** 2).sum())


@pytest.mark.parametrize("penalty", ALL, ids=repr)
@pytest.mark.parametrize(("dropped", "place"), [("first", 0), ("last", 3)])
def test_a_dropped_level_has_the_coefficient_zero(penalty, dropped, place):
    b = np.array([1.0, -2.0, 0.5])
    whole = np.insert(b, place, 0.0)
    expected = whole @ penalty.matrix(4) @ whole
    assert b @ replace(penalty, dropped=dropped).matrix(3) @ b == pytest.approx(expected)


@pytest.mark.parametrize("penalty", ALL, ids=repr)
def test_a_penalty_is_a_value(penalty):
    assert eval(repr(penalty)).matrix(4).tolist() == penalty.matrix(4).tolist()
    assert pickle.loads(pickle.dumps(penalty)).matrix(4).tolist() == penalty.matrix(4).tolist()
    model = Ridge(penalty_weights={"a_*": penalty})
    assert repr(clone(model).penalty_weights) == repr(model.penalty_weights)


# -- fits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["array", "csr"])
@pytest.mark.parametrize("solver", [*SOLVERS, "auto"])
def test_a_p_spline_is_the_closed_form(solver, make, curve):
    _, B, y = curve
    coef = np.linalg.solve(B.T @ B + 2 * Differences(2).matrix(B.shape[1]), B.T @ y)
    model = Ridge(2.0, penalty_weights=Differences(2), fit_intercept=False, solver=solver, tol=1e-6, random_state=0)
    model.set_params(max_iter=5000).fit(make(B), y)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.predict(make(B)), B @ coef, atol=1e-4)
    if solver in ("newton", "auto"):
        np.testing.assert_allclose(model.coef_, coef, rtol=1e-7)


def test_an_intercept_and_a_dropped_column_are_the_same_curve(curve):
    x, B, y = curve
    whole = Ridge(2.0, penalty_weights=Differences(2), fit_intercept=False).fit(B, y)
    fewer = SplineTransformer(15, include_bias=False).fit_transform(x)
    model = Ridge(2.0, penalty_weights=Differences(2, dropped="last")).fit(fewer, y)
    np.testing.assert_allclose(model.predict(fewer), whole.predict(B), rtol=1e-8)
    table = inspection.laplace(model, fewer, y), inspection.laplace(whole, B, y)
    assert table[0].effective_df == pytest.approx(table[1].effective_df, rel=1e-8)
    np.testing.assert_allclose(table[0].predict(fewer)[1], table[1].predict(B)[1], rtol=1e-7)


def test_a_smooth_of_counts_is_penalised_scoring(curve, rng):
    _, B, _ = curve
    y = rng.poisson(np.exp(np.sin(B @ np.arange(B.shape[1]))))
    K, n, coef = Differences(2).matrix(B.shape[1]), len(y), np.zeros(B.shape[1])
    for _ in range(30):
        mean = np.exp(B @ coef)
        coef += np.linalg.solve(B.T @ (mean[:, None] * B) + 0.01 * n * K, B.T @ (y - mean) - 0.01 * n * K @ coef)
    model = PoissonRegressor(alpha=0.01, penalty_weights=Differences(2), fit_intercept=False, tol=1e-8).fit(B, y)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-6)


def mixed(rng, n=200):
    """Ordered levels, a group of alike columns, two single columns; and a target."""
    week, sites = np.sort(rng.integers(0, 12, n)), rng.normal(size=(n, 6))
    frame = pd.DataFrame(
        np.hstack([np.eye(12)[week], sites, rng.normal(size=(n, 2)) * [1.0, 3.0]]),
        columns=[f"week_{i}" for i in range(12)] + [f"site_{i}" for i in range(6)] + ["age", "size"],
    )
    y = np.sin(week / 2) + sites @ (1 + 0.3 * rng.normal(size=6)) + frame["age"] + rng.normal(size=n)
    return frame.drop(columns="week_0"), y.to_numpy()


def penalty_of_mixed(walk, mean, ridge):
    """The same penalties as a matrix, the intercept last."""
    M = np.zeros((20, 20))
    M[:11, :11] = walk * np.delete(np.delete(Differences().matrix(12), 0, 0), 0, 1)
    M[11:17, 11:17] = mean * (np.eye(6) - 1 / 6)
    M[17, 17] = M[18, 18] = ridge
    return M


GROUPS = {"week_*": RandomWalk(weight=5.0, dropped="first"), "site_*": TowardMean(weight=0.7)}


@pytest.mark.parametrize("kind", ["frame", "array", "csr"])
def test_groups_are_named_and_the_others_keep_a_ridge(kind, rng):
    frame, y = mixed(rng)
    X = {"frame": frame, "array": frame.to_numpy(), "csr": sparse.csr_array(frame.to_numpy())}[kind]
    groups = GROUPS if kind == "frame" else {range(11): GROUPS["week_*"], (11, 12, 13, 14, 15, 16): GROUPS["site_*"]}
    model = Ridge(3.0, penalty_weights=groups, tol=1e-8).fit(X, y)
    Z = np.column_stack([frame, np.ones(len(y))])
    expected = np.linalg.solve(Z.T @ Z + 3 * penalty_of_mixed(5.0, 0.7, 1.0), Z.T @ y)
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), expected, rtol=1e-6)


def test_a_tuple_says_the_order_of_levels(rng):
    X = pd.DataFrame(rng.normal(size=(50, 4)), columns=["high", "low", "middle", "other"])
    y = X @ [3.0, 1.0, 2.0, 1.0] + rng.normal(size=50)
    groups = {("low", "middle", "high"): Differences(2)}
    model = Ridge(1e8, penalty_weights=groups | {"other": 0}).fit(X, y)
    high, low, middle, _ = model.coef_
    assert high - middle == pytest.approx(middle - low, abs=1e-5)
    assert high - low > 1


OF_CLASSES = [PoissonRegressor(alpha=0.02), LogisticRegression(C=0.5), BinomialRegressor(alpha=0.02)]


@pytest.mark.parametrize("model", OF_CLASSES, ids=lambda model: type(model).__name__)
def test_a_group_is_a_penalty_matrix(model, rng):
    """Strengths of each class stand before both in the same way."""
    frame, y = mixed(rng)
    y = {"LogisticRegression": np.digitize(y, [-0.5, 1]), "BinomialRegressor": (y > 0) * 1.0}.get(
        type(model).__name__, np.round(np.exp(y / 2))
    )
    size = 1 / model.C if isinstance(model, LogisticRegression) else model.alpha
    none = {"C": np.inf} if isinstance(model, LogisticRegression) else {"alpha": 0.0}
    got = clone(model).set_params(penalty_weights=GROUPS, tol=1e-8).fit(frame, y)
    same = clone(model).set_params(penalty_matrix=size * penalty_of_mixed(5.0, 0.7, 1.0)[:19, :19], tol=1e-8, **none)
    np.testing.assert_allclose(got.coef_, same.fit(frame, y).coef_, rtol=1e-5, atol=1e-7)
    assert inspection.stationary_point(got, frame, y).kind == "minimum"


def test_targets_have_strengths_of_their_own(curve):
    _, B, y = curve
    Y, strengths = np.column_stack([y, y**2]), [0.5, 30.0]
    model = Ridge(strengths, penalty_weights=Differences(2), fit_intercept=False).fit(B, Y)
    for target, alpha in enumerate(strengths):
        alone = Ridge(alpha, penalty_weights=Differences(2), fit_intercept=False).fit(B, Y[:, target])
        np.testing.assert_allclose(model.coef_[target], alone.coef_, rtol=1e-6)


@pytest.mark.parametrize("model", [Ridge(0.5), PoissonRegressor(alpha=0.1)], ids=lambda model: type(model).__name__)
def test_a_stream_is_the_fit(model, rng):
    frame, y = mixed(rng)
    y = y if isinstance(model, Ridge) else np.round(np.exp(y / 2))
    order = rng.permutation(len(y))
    frame, y = frame.iloc[order], y[order]
    model.set_params(penalty_weights=GROUPS, tol=1e-6)
    expected = clone(model).fit(frame, y).coef_
    for start in range(0, len(y), 40):
        model.partial_fit(frame[start : start + 40], y[start : start + 40])
    np.testing.assert_allclose(model.coef_, expected, atol=1e-3 * np.abs(expected).max())


# -- strengths that are chosen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [Differences(), Differences(2), Differences(3), TowardMean()], ids=repr)
def test_the_evidence_of_a_singular_penalty_is_the_closed_form(penalty, curve):
    _, B, y = curve
    model = Ridge(2.0, penalty_weights=penalty, fit_intercept=False, tol=1e-10).fit(B, y)
    found = inspection.laplace(model, B, y, dispersion=1.3).log_evidence
    assert found == pytest.approx(log_evidence(B, y, 2 * penalty.matrix(B.shape[1]), 1.3), rel=1e-9)


def test_a_curve_of_coefficients_for_more_columns_than_rows(rng):
    """Neighbouring columns of a spectrum have like coefficients."""
    X = rng.normal(size=(40, 150))
    y = X @ np.exp(-((np.arange(150) - 60) ** 2) / 400) + rng.normal(size=40)
    K = Differences(2).matrix(150)
    (alpha,), best = most_evident(X, y, lambda strength: strength * K, 1)
    model = Ridge("evidence", penalty_weights=Differences(2), fit_intercept=False).fit(X, y)
    assert model.alpha_ == pytest.approx(alpha, rel=1e-3)
    assert model.penalty_path_.score.max() == pytest.approx(best, rel=1e-8)
    own = Ridge(penalty_weights=Differences(2, weight="evidence"), fit_intercept=False).fit(X, y)
    assert own.penalty_weights_[0] == pytest.approx(alpha, rel=0.05)
    held_out = Ridge("loo", penalty_weights=Differences(2), fit_intercept=False).fit(X, y)
    assert held_out.penalty_path_.score.min() == pytest.approx(inspection.leave_one_out(held_out, X, y).loss, rel=1e-3)


@pytest.mark.parametrize("penalty", [Differences(2), RandomWalk(), TowardMean()], ids=repr)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_strength_of_most_evidence_is_that_of_the_closed_form(penalty, fit_intercept, curve):
    x, B, y = curve
    K = penalty.matrix(B.shape[1])
    (alpha,), best = most_evident(B, y, lambda strength: strength * K, 1)
    if fit_intercept:
        B = SplineTransformer(15, include_bias=False).fit_transform(x)
        penalty = replace(penalty, dropped="last")
    model = Ridge("evidence", penalty_weights=penalty, fit_intercept=fit_intercept).fit(B, y)
    assert model.alpha_ == pytest.approx(alpha, rel=1e-4)
    own = Ridge(penalty_weights=replace(penalty, weight="evidence"), fit_intercept=fit_intercept).fit(B, y)
    assert own.penalty_weights_[0] == pytest.approx(alpha, rel=0.03)
    if not fit_intercept:
        assert model.penalty_path_.score.max() == pytest.approx(best, rel=1e-9)


def test_groups_have_the_strengths_of_most_evidence_together(rng):
    frame, y = mixed(rng)
    groups = {"week_*": RandomWalk(weight="evidence", dropped="first"), "site_*": TowardMean(weight="evidence")}
    Z = np.column_stack([frame, np.ones(len(y))])
    expected, _ = most_evident(Z, y, lambda strengths: penalty_of_mixed(*strengths), 3)
    model = Ridge("evidence", penalty_weights=groups).fit(frame, y)
    found = model.alpha_ * model.penalty_weights_[[0, 11, 17]]
    np.testing.assert_allclose(found, expected, rtol=0.1)
    again = clone(model).set_params(alpha=1.0, penalty_weights={
        "week_*": RandomWalk(weight=found[0], dropped="first"), "site_*": TowardMean(weight=found[1]),
        "age": found[2], "size": found[2]})  # fmt: skip
    np.testing.assert_allclose(model.coef_, again.fit(frame, y).coef_, rtol=1e-5)


def test_a_group_is_chosen_beside_a_matrix(curve):
    """A matrix that holds the same columns, and is not multiplied."""
    _, B, y = curve
    K, M = Differences(2).matrix(B.shape[1]), 0.3 * np.eye(B.shape[1])
    (weight,), _ = most_evident(B, y, lambda strength: strength * K + M, 1)
    model = Ridge(penalty_weights=Differences(2, weight="evidence"), penalty_matrix=M, fit_intercept=False).fit(B, y)
    assert model.penalty_weights_[0] == pytest.approx(weight, rel=0.05)


def test_leave_one_out_chooses_by_refits(curve):
    _, B, y = curve
    model = Ridge("loo", penalty_weights=Differences(2), fit_intercept=False).fit(B, y)

    def loss(alpha):
        H = B.T @ B + alpha * Differences(2).matrix(B.shape[1])
        hat = np.einsum("ij,ji->i", B, np.linalg.solve(H, B.T))
        return 0.5 * np.mean(((y - B @ np.linalg.solve(H, B.T @ y)) / (1 - hat)) ** 2)

    assert model.penalty_path_.score.min() == pytest.approx(loss(model.alpha_), rel=1e-4)
    assert loss(model.alpha_) < min(loss(0.8 * model.alpha_), loss(1.25 * model.alpha_))


def test_counts_and_classes_choose_a_smooth(curve, rng):
    x, B, _ = curve
    K = Differences(2)
    signal = np.sin(x[:, 0])
    for model, y in (
        (PoissonRegressor(alpha="evidence"), rng.poisson(np.exp(1 + signal))),
        (LogisticRegression("evidence"), rng.uniform(size=len(x)) < 1 / (1 + np.exp(-2 * signal))),
        (LogisticRegression("evidence"), np.digitize(signal + 0.5 * rng.normal(size=len(x)), [-0.5, 0.5])),
    ):
        model.set_params(penalty_weights=K, fit_intercept=False).fit(B, y)
        name = "C" if "C" in model.get_params() else "alpha"
        value = getattr(model, f"{name}_")

        def evidence(value, model=model, name=name, y=y):
            fit = clone(model).set_params(**{name: value}).fit(B, y)
            return inspection.laplace(fit, B, y).log_evidence

        assert evidence(value) > max(evidence(0.7 * value), evidence(1.4 * value))


def test_a_pipeline_finds_the_names(rng):
    """A smooth of one column, ordered levels of another, and a number as it is."""
    X = pd.DataFrame({"x": rng.uniform(size=200), "level": rng.integers(0, 6, 200), "z": rng.normal(size=200)})
    y = np.sin(6 * X["x"]) + 0.2 * X["level"] + X["z"] + 0.3 * rng.normal(size=200)
    encode = make_column_transformer(
        (SplineTransformer(12, include_bias=False), ["x"]),
        (OneHotEncoder(drop="first", sparse_output=False), ["level"]),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    groups = {
        "x_sp_*": Differences(2, weight="evidence", dropped="last"),
        "level_*": Differences(weight="evidence", dropped="first"),
        "z": 0,
    }
    model = make_pipeline(encode, Ridge(penalty_weights=groups)).fit(X, y)
    assert model.score(X, y) > 0.9
    assert inspection.coef_table(model, X, y, cov="laplace").names[-2:] == ["z", "intercept"]
    search = GridSearchCV(model, {"ridge__alpha": [1.0, 100.0]}, cv=3).fit(X, y)
    assert search.best_params_["ridge__alpha"] in (1.0, 100.0)


def test_a_line_is_the_strong_end(curve, rng):
    _, B, _ = curve
    y = B @ np.arange(B.shape[1]) + rng.normal(size=len(B))
    residual = y - (Z := np.column_stack([np.ones(len(y)), B @ np.arange(B.shape[1])])) @ np.linalg.lstsq(Z, y)[0]
    smooth = Ridge(1e3, penalty_weights=Differences(2), fit_intercept=False).fit(B, residual).predict(B)
    model = Ridge("evidence", penalty_weights=Differences(2), fit_intercept=False)
    model, said = convergence_warnings(lambda: model.fit(B, y - 3 * smooth))
    assert model.penalty_path_.at_end == "strong"
    assert "no sign that what is penalised helps to predict" in said[0]


def test_inspection_moves_the_strength_of_a_group(curve):
    """What looks at other strengths multiplies the penalties of groups too."""
    _, B, y = curve
    model = Ridge(2.0, penalty_weights=Differences(2), fit_intercept=False)
    tuned = inspection.tune_alpha(model, B, y)
    assert tuned.value == pytest.approx(clone(model).set_params(alpha="evidence").fit(B, y).alpha_, rel=1e-3)
    path = inspection.leave_one_out_path(model, B, y, [0.1, 10.0])
    fits = [clone(model).set_params(alpha=alpha, tol=1e-8).fit(B, y) for alpha in (0.1, 10.0)]
    np.testing.assert_allclose(path.loss, [inspection.leave_one_out(fit, B, y).loss for fit in fits], rtol=1e-6)
    H = B.T @ B + 10 * Differences(2).matrix(B.shape[1])
    table = inspection.coef_table(fits[1], B, y, cov="laplace")
    np.testing.assert_allclose(table.std_error**2, table.dispersion * np.diag(np.linalg.inv(H)), rtol=1e-6)


def test_nothing_of_columns_squared_is_formed_for_a_few_of_many(rng):
    """Twelve ordered levels beside many sparse columns: a square array of all columns would have 3 GB."""
    n, p = 500, 20_000
    levels = rng.integers(0, 12, n)
    X = sparse.hstack([np.eye(12)[levels], sparse.random_array((n, p), density=5e-4, rng=rng)], format="csr")
    y = rng.poisson(np.exp(np.sin(levels / 2)))
    groups = {range(12): Differences(2, weight=5.0)}
    model = PoissonRegressor(alpha=0.05, penalty_weights=groups, fit_intercept=False)
    tracemalloc.start()
    model.fit(X, y)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.convergence_.status == "optimal"
    assert most < 64e6
    mean = model.predict(X)
    penalty = np.append(5 * Differences(2).matrix(12) @ model.coef_[:12], model.coef_[12:])
    slope = X.T @ (mean - y) / n + 0.05 * penalty
    assert np.abs(slope).max() < 1e-4


# -- bad input --------------------------------------------------------------------------------------------------------


def test_columns_that_sum_to_a_constant_beside_an_intercept(curve):
    """Their common level is determined by nothing: the fit says so, and the evidence has no value."""
    _, B, y = curve
    model, said = convergence_warnings(lambda: Ridge(2.0, penalty_weights=Differences(2)).fit(B, y))
    assert "the data do not determine every coefficient" in said[0]
    without = Ridge(2.0, penalty_weights=Differences(2), fit_intercept=False).fit(B, y)
    np.testing.assert_allclose(model.predict(B), without.predict(B), rtol=1e-8)
    assert_refused("neither the rows nor the penalty determine every coefficient",
                   Ridge("evidence", penalty_weights=Differences(2)).fit, B, y)  # fmt: skip
    assert_refused("nothing determines some coefficients", inspection.laplace, model, B, y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Differences(0), "Differences: order must be 1, 2 or another positive integer, got 0"),
        (lambda: Differences(1.5), "order must be"),
        (lambda: Differences(weight=-1.0), "Differences: weight must be finite and not negative, got -1.0"),
        (lambda: TowardMean(weight=np.inf), "TowardMean: weight must be finite"),
        (lambda: TowardMean(dropped="middle"), "TowardMean: dropped must be one of None, first, last, got 'middle'"),
        (lambda: RandomWalk(at=[0, 2, 1]), "RandomWalk: at must be finite numbers in rising order"),
        (lambda: RandomWalk(at=[0, np.nan]), "RandomWalk: at must be finite numbers in rising order"),
        (lambda: Quadratic([[1, 0], [1, 1]]), r"Quadratic: form must be symmetric: entry \[0, 1\] is 0"),
        (lambda: Quadratic([[1, 2], [2, 1]]), "Quadratic: form must be positive semi-definite"),
        (lambda: Quadratic(np.ones((2, 3))), "Quadratic: form must have a row and a column"),
    ],
)
def test_bad_penalties_are_named(make, message):
    assert_refused(message, make)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Differences(weight="loo"), 'Differences: weight must be a number or "evidence", got .loo.'),
        (lambda: Differences(cyclic=1), "Differences: cyclic must be True or False, got 1"),
        (lambda: RandomWalk(at="ab"), "RandomWalk: at must be numbers"),
    ],
)
def test_bad_types_of_penalties_are_named(make, message):
    assert_refused(message, make, error=TypeError)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"site_*": Differences(6)}, "columns 'site_\\*': Differences needs at least 7 levels, and this group has 6"),
        ({"site_*": RandomWalk(at=[1, 2])}, "columns 'site_\\*': .*at has 2 places, and this group has 6 levels"),
        ({"site_*": Quadratic(np.eye(3))}, "form must have a row and a column for each of the 6 levels of this group"),
        ({"age": TowardMean()}, "TowardMean needs at least 2 levels, and this group has 1"),
        ({"site": TowardMean()}, "names the column 'site', which X does not have"),
        ({("site_0", "site_9"): TowardMean()}, "names the column 'site_9', which X does not have"),
        ({range(5): TowardMean(), "week_3": 1}, "the column 'week_3' is in range\\(0, 5\\) and in 'week_3'"),
        ({("age", 1): 1.0}, "names the column 1, which X does not have"),
        ({range(18, 20): 1.0}, "names column 19, and X has the columns 0 to 18"),
        ({("age", "age"): 1.0}, "the column 'age' is in \\('age', 'age'\\) and in"),
    ],
)
def test_bad_groups_are_named(groups, message, rng):
    frame, y = mixed(rng)
    assert_refused(message, Ridge(penalty_weights=groups).fit, frame, y)


def test_keys_that_are_no_columns(rng):
    frame, y = mixed(rng)
    X = frame.to_numpy()
    assert_refused("a key must be a name or a position", Ridge(penalty_weights={1.5: 2.0}).fit, X, y, error=TypeError)
    assert_refused("names column 40, and X has the columns 0", Ridge(penalty_weights={40: 2.0}).fit, X, y)
    assert_refused("X must be a data frame with column names", Ridge(penalty_weights=GROUPS).fit, frame.to_numpy(), y)
    assert_refused("jeffreys=True needs penalty_weights=None",
                   LogisticRegression(np.inf, jeffreys=True, penalty_weights=GROUPS).fit, frame, y > 0)  # fmt: skip
