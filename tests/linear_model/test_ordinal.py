"""Ordered classes: R's polr on housing, statsmodels' OrderedModel, orders, edges and bad input; Brant's test."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.stats import chi2, gumbel_l
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.miscmodels.ordinal_model import OrderedModel

from sk_hessian import inspection
from sk_hessian.inspection import coef_table, leave_one_out, parallel_slopes, profile_intervals
from sk_hessian.linear_model import LogisticRegression, OrdinalClassifier, Ridge
from sk_hessian.objectives import ORDINAL_LINKS, Blocks
from tests.estimators import ALL_SOLVERS, assert_refused, convergence_warnings

LEVELS = ["Low", "Medium", "High"]

#: satisfaction with housing in Copenhagen (Madsen 1976; `housing` of the R package MASS): households by satisfaction,
#: which changes fastest, influence, type of housing (tower, apartment, atrium, terrace) and contact with neighbours
HOUSEHOLDS = np.array(
    [
        21, 21, 28, 34, 22, 36, 10, 11, 36, 61, 23, 17, 43, 35, 40, 26, 18, 54, 13, 9, 10, 8, 8, 12, 6, 7, 9, 18, 6, 7,
        15, 13, 13, 7, 5, 11, 14, 19, 37, 17, 23, 40, 3, 5, 23, 78, 46, 43, 48, 45, 86, 15, 25, 62, 20, 23, 20, 10, 22,
        24, 7, 10, 21, 57, 23, 13, 31, 21, 13, 5, 6, 13,
    ],
    dtype=float,
)  # fmt: skip

every_link = pytest.mark.parametrize("link", ORDINAL_LINKS)


def housing():
    """Indicators of medium and high influence, of apartment, atrium and terrace, of much contact; and satisfaction."""
    i = np.arange(72)
    influence, kind, contact = i // 3 % 3, i // 9 % 4, i // 36
    X = np.column_stack([influence == 1, influence == 2, kind == 1, kind == 2, kind == 3, contact == 1]).astype(float)
    return X, np.array(LEVELS)[i % 3]


def fit(X, y=None, link="logit", **options):
    row_data = {name: options.pop(name) for name in ("sample_weight", "offset") if name in options}
    return OrdinalClassifier(link, alpha=0, tol=1e-7, **options).fit(X, y, **row_data)


def ratings(rng, n=400, cuts=(-1.5, 0.0, 1.0)):
    """Raw columns, and four classes."""
    Z = rng.normal(size=(n, 3))
    y = np.digitize(Z @ [1.0, -0.5, 0.3] + rng.logistic(size=n), cuts)
    return Z * [1.0, 1e3, 1e-2] + [0.0, 2e5, 1.0], y


# -- against published numbers and peers ------------------------------------------------------------------------------


def test_housing_is_as_polr_has_it():
    """R: summary(polr(Sat ~ Infl + Type + Cont, weights = Freq, data = housing)), of the help page of MASS."""
    X, y = housing()
    model = fit(X, y, sample_weight=HOUSEHOLDS, order=LEVELS)
    table = coef_table(model, X, y, sample_weight=HOUSEHOLDS)
    coef = [0.5663937, 1.2888191, -0.5723501, -0.3661866, -1.0910149, 0.3602841]
    np.testing.assert_allclose(model.coef_, coef, atol=1e-6)
    np.testing.assert_allclose(model.thresholds_, [-0.4961353, 0.6907083], atol=1e-6)
    np.testing.assert_allclose(table.estimate, [*model.coef_, *model.thresholds_], rtol=1e-14)
    errors = [0.10465, 0.12716, 0.11924, 0.15517, 0.15149, 0.09554, 0.12485, 0.12547]
    np.testing.assert_allclose(table.std_error, errors, atol=6e-6)
    assert table.names[-2:] == ["Low|Medium", "Medium|High"]
    assert (table.deviance, table.aic) == (pytest.approx(3479.149, abs=6e-4), pytest.approx(3495.149, abs=6e-4))


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_tables_are_those_of_ordered_model(link, rng):
    X, y = ratings(rng)
    Z = (X - [0.0, 2e5, 1.0]) / [1.0, 1e3, 1e-2]
    peer = OrderedModel(y, Z, distr={"cloglog": gumbel_l}.get(link, link))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = peer.fit(method="bfgs", disp=0, maxiter=500)
        found = peer.fit(start_params=found.params, method="newton", disp=0, maxiter=50)
    thresholds = peer.transform_threshold_params(found.params)[1:-1]
    # its parameters are the first threshold and the logarithms of increments: theirs by the chain rule
    chain = np.eye(6)
    chain[3:, 3:] = np.tril(np.column_stack([np.ones(3), *[np.full(3, step) for step in np.diff(thresholds)]]))
    covariance = chain @ np.asarray(found.cov_params()) @ chain.T
    for rows, unit in ((Z, np.ones(3)), (X, np.array([1.0, 1e3, 1e-2]))):
        model = fit(rows, y, link)
        table = coef_table(model, rows, y)
        np.testing.assert_allclose(table.estimate[:3] * unit, found.params[:3], rtol=1e-6)
        np.testing.assert_allclose(table.std_error[:3] * unit, np.sqrt(np.diag(covariance))[:3], rtol=1e-5)
        assert table.log_likelihood == pytest.approx(found.llf, rel=1e-9)
        np.testing.assert_allclose(model.predict_proba(rows), peer.predict(found.params), rtol=1e-5)
        assert model.d2_score(rows, y) == pytest.approx(found.prsquared, rel=1e-6)
    table = coef_table(fit(Z, y, link), Z, y)
    np.testing.assert_allclose(table.estimate[3:], thresholds, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table.std_error[3:], np.sqrt(np.diag(covariance))[3:], rtol=1e-5)


def test_later_inspection_knows_ordered_classes(rng):
    X, y = ratings(rng)
    model, small = fit(X, y), fit(X[:, :2], y)
    table = coef_table(model, X, y)
    ratios = table.exp()
    assert ratios.kind == "odds ratio"
    np.testing.assert_allclose(ratios.ratio[:3], np.exp(model.coef_))
    threshold = table.names.index("1|2")
    assert table.wald(["1|2"]).statistic == pytest.approx(table.statistic[threshold] ** 2)
    compared = inspection.compare_models(small, model, X, y, columns=[0, 1])
    lost = 2 * 400 * (small.convergence_.objective - model.convergence_.objective)
    assert compared.statistic == pytest.approx(lost, rel=1e-6)
    score = inspection.score_test(small, X[:, :2], y, X[:, 2:]).statistic
    assert score == pytest.approx(lost, rel=0.2)
    chance = model.predict_proba(X)[np.arange(400), y]
    pearson = inspection.residuals(model, X, y, kind="pearson")
    np.testing.assert_allclose(pearson, np.sqrt(1 / chance - 1), rtol=1e-6)
    np.testing.assert_allclose(inspection.residuals(model, X, y) ** 2, -2 * np.log(chance), rtol=1e-6)
    message = "needs a mean of each row, and this OrdinalClassifier has ordered classes"
    assert_refused(message, inspection.marginal_effects, model, X, y)
    assert_refused(message, inspection.prediction_table, model, X, X, y)
    assert_refused(message, inspection.residuals, model, X, y, kind="response")


def test_two_classes_are_logistic_regression(rng):
    X, y = ratings(rng)
    y = y > 1
    ours, other = OrdinalClassifier(alpha=0.5, tol=1e-8).fit(X, y), LogisticRegression(C=2.0, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.coef_, other.coef_[0], rtol=1e-6)
    np.testing.assert_allclose(ours.thresholds_, -other.intercept_, rtol=1e-6)
    np.testing.assert_allclose(ours.predict_log_proba(X), other.predict_log_proba(X), rtol=1e-5)


@every_link
@pytest.mark.parametrize("solver", ALL_SOLVERS)
def test_every_solver_finds_the_same_optimum(link, solver, rng):
    X, y = ratings(rng)
    exact = fit(X, y, link)
    model = OrdinalClassifier(link, alpha=0, solver=solver, random_state=0).fit(X, y)
    assert model.convergence_.status == exact.convergence_.status == "optimal"
    error = coef_table(exact, X, y).std_error
    found, right = ([*one.coef_, *one.thresholds_] for one in (model, exact))
    assert (np.abs(np.subtract(found, right)) / error).max() <= 0.02


# -- what the order is ------------------------------------------------------------------------------------------------


def test_the_order_of_the_levels(rng):
    X, y = ratings(rng)
    numbers = fit(X, y)
    names = np.array(["poor", "fair", "good", "best"])
    named = fit(X, names[y], order=names)
    frame = pd.DataFrame(X, columns=list("abc"))
    categorical = pd.Series(pd.Categorical.from_codes(y, [*names, "never"], ordered=True))
    ordered = fit(frame, categorical)
    for model in (named, ordered):
        np.testing.assert_allclose(model.coef_, numbers.coef_, rtol=1e-9)
        assert model.levels_.tolist() == names.tolist()
        assert model.classes_.tolist() == sorted(names)
        np.testing.assert_array_equal(model.predict(X if model is named else frame), names[numbers.predict(X)])
    # probabilities are in the order of classes_, which is what scikit-learn's scorers take for granted
    proba = named.predict_proba(X)
    np.testing.assert_allclose(proba, numbers.predict_proba(X)[:, [3, 1, 2, 0]], rtol=1e-6)
    assert log_loss(names[y], proba) == pytest.approx(numbers.convergence_.objective, rel=1e-6)
    np.testing.assert_allclose(np.exp(named.predict_log_proba(X)), proba)
    assert coef_table(named, X, names[y]).names[3:] == ["poor|fair", "fair|good", "good|best"]
    left = leave_one_out(named, X, names[y])
    np.testing.assert_allclose(left.predictions, proba, atol=0.05)
    assert left.score == pytest.approx(named.score(X, names[y]), abs=0.02)
    with pytest.warns(UserWarning, match=r"alphabetical order, from best to poor\. Pass order="):
        OrdinalClassifier().fit(X, names[y])


def test_forms_of_the_same_data(rng):
    X, y = ratings(rng)
    weight, offset = rng.integers(1, 4, size=400).astype(float), rng.normal(size=400)
    rows = np.repeat(np.arange(400), weight.astype(int))
    model = fit(X, y, sample_weight=weight, offset=offset)
    half = [slice(0, 150), slice(150, 400)]
    others = [
        fit(X[rows], y[rows], offset=offset[rows]),
        fit(sp.csr_array(X), y.astype(float), sample_weight=weight, offset=offset),
        make_pipeline(StandardScaler(), OrdinalClassifier(alpha=0, tol=1e-7)).fit(
            X, y, ordinalclassifier__sample_weight=weight, ordinalclassifier__offset=offset
        ),
    ]
    for other in others:
        np.testing.assert_allclose(
            other.predict_proba(X, offset=offset), model.predict_proba(X, offset=offset), rtol=1e-5
        )
    names = np.array(["poor", "fair", "good", "best"])
    parts = fit(Blocks([(X[part], names[y][part], weight[part]) for part in half]), order=names)
    memory = fit(X, names[y], sample_weight=weight, order=names)
    np.testing.assert_allclose(parts.coef_, memory.coef_, rtol=1e-5)
    np.testing.assert_allclose(parts.thresholds_, memory.thresholds_, rtol=1e-5)
    # X added to an offset is a coefficient of one more
    moved = fit(X, y, sample_weight=weight, offset=offset + X[:, 0])
    np.testing.assert_allclose(moved.coef_[0] + 1, model.coef_[0], rtol=1e-5)


def test_penalties_and_scikit_learns_tools(rng):
    X, y = ratings(rng)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    strengths = [OrdinalClassifier(alpha=alpha).fit(Z, y) for alpha in (0.0, 100.0, 1e8)]
    sizes = [np.abs(model.coef_).sum() for model in strengths]
    assert sizes[0] > sizes[1] > sizes[2]
    shares = np.cumsum(np.bincount(y))[:-1] / len(y)
    np.testing.assert_allclose(strengths[2].thresholds_, np.log(shares / (1 - shares)), rtol=1e-4)
    free = OrdinalClassifier(alpha=1e8, penalty_weights=[0, 1, 1]).fit(Z, y)
    assert abs(free.coef_[0]) > 0.5
    assert cross_val_score(OrdinalClassifier(), Z, y, cv=3, scoring="neg_log_loss").mean() > -1.3
    warm = OrdinalClassifier(warm_start=True).fit(Z, y)
    before = warm.coef_
    assert warm.fit(Z, y).n_iter_ <= 1
    np.testing.assert_allclose(warm.coef_, before, rtol=1e-3)
    single = OrdinalClassifier(alpha=0).fit(Z.astype(np.float32), y)
    assert (
        single.coef_.dtype == single.thresholds_.dtype == single.predict_proba(Z.astype(np.float32)).dtype == np.float32
    )


# -- edges and bad input ----------------------------------------------------------------------------------------------


@every_link
def test_separated_levels_are_named(link):
    X = np.arange(6.0)[:, None]
    _, messages = convergence_warnings(lambda: fit(X, [0, 0, 1, 1, 2, 2], link))
    assert "class 0 and class 1 are separated from the rest by x0" in messages[0]
    # the lowest level alone, by a column: the two others overlap
    X = np.array([[0.0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [1, 3], [1, 4]])
    _, messages = convergence_warnings(lambda: fit(X, [0, 0, 0, 1, 2, 1, 2, 1], link))
    assert "separated from the rest by x0" in messages[0]
    assert OrdinalClassifier(link, alpha=1.0).fit(X, [0, 0, 0, 1, 2, 1, 2, 1]).convergence_.status == "optimal"


def test_bad_input(rng):
    X, y = ratings(rng, 40)
    assert_refused("y has only one class, 2", OrdinalClassifier().fit, X, np.full(40, 2))
    assert_refused("y has the class 3, which is not in order=", OrdinalClassifier(order=[0, 1, 2]).fit, X, y)
    for order in ([1], [1, 1], "abc", [[1, 2], [3, 4]]):
        assert_refused("order must be a list of at least two different", OrdinalClassifier(order=order).fit, X, y)
    assert_refused("link must be 'logit', 'probit'", OrdinalClassifier("log").fit, X, y)
    assert_refused("alpha must be a number >= 0", OrdinalClassifier(alpha=-1).fit, X, y)
    assert_refused("for proportions use BinomialRegressor", OrdinalClassifier().fit, X, rng.uniform(size=40))
    weight = np.where(y == 1, 1e-20, 1.0)
    assert_refused("the class 1 has next to no share of the weight", OrdinalClassifier().fit, X, y, weight)
    with pytest.raises(AttributeError, match="partial_fit"):
        OrdinalClassifier().partial_fit(X, y)
    assert_refused("offset must be 1-D", OrdinalClassifier().fit, X, y, offset=np.ones((40, 4)))
    model = fit(X, y)
    assert_refused("not for tables of thresholds", coef_table, model, X, y, cov="profile")
    for target in (y, y > 1):
        model = OrdinalClassifier().fit(X, target)
        assert_refused("whose thresholds have no prior; for two classes use Log", inspection.laplace, model, X, target)
    model = fit(X, y)
    assert profile_intervals(model, X, y, parameters=["x0"]).estimate[0] == pytest.approx(model.coef_[0], rel=1e-4)


# -- parallel slopes ---------------------------------------------------------------------------------------------------


def brant(X, level, weight):
    """Brant's (1990) formulas, written out for logits by statsmodels: statistics of each column and of all."""
    Z, p, cuts = sm.add_constant(X), X.shape[1], level.max()
    fits = [
        sm.GLM((level > j).astype(float), Z, sm.families.Binomial(), freq_weights=weight).fit(tol=1e-13)
        for j in range(cuts)
    ]

    def moment(of):
        return Z.T @ (Z * (weight * of)[:, None])

    mean = [each.fittedvalues for each in fits]
    inverse = [np.linalg.inv(moment(m * (1 - m))) for m in mean]
    V = np.zeros((cuts, p, cuts, p))
    for j in range(cuts):
        for k in range(j, cuts):
            V[j, :, k] = (inverse[j] @ moment(mean[k] - mean[j] * mean[k]) @ inverse[k])[1:, 1:]
            V[k, :, j] = V[j, :, k].T
    slopes = np.stack([each.params[1:] for each in fits])
    found = []
    for columns in [*([k] for k in range(p)), list(range(p))]:
        D = np.kron(np.column_stack([-np.ones(cuts - 1), np.eye(cuts - 1)]), np.eye(len(columns)))
        away = D @ slopes[:, columns].ravel()
        size = cuts * len(columns)
        found.append(away @ np.linalg.solve(D @ V[:, columns][..., columns].reshape(size, size) @ D.T, away))
    return slopes, np.array(found)


def test_brants_test_is_its_formulas(rng):
    X, y = housing()
    model = fit(X, y, sample_weight=HOUSEHOLDS, order=LEVELS)
    found = parallel_slopes(model, X, y, sample_weight=HOUSEHOLDS)
    slopes, statistic = brant(X, np.arange(72) % 3, HOUSEHOLDS)
    np.testing.assert_allclose(found.statistic, statistic, rtol=1e-5)
    np.testing.assert_allclose(found.coef, slopes, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.df, [1] * 6 + [6])
    np.testing.assert_allclose(found.p_value, chi2.sf(statistic, found.df), rtol=1e-4)
    assert str(found).splitlines()[0].split() == ["chi-squared", "df", "p", "Low|Medium", "Medium|High"]
    assert list(found.to_frame().columns) == ["statistic", "df", "p_value"]
    X, y = ratings(rng)
    Z, weight = (X - [0.0, 2e5, 1.0]) / [1.0, 1e3, 1e-2], np.where(np.arange(400) < 10, 0.0, 1.0)
    raw = parallel_slopes(fit(X, y, sample_weight=weight), X, y, sample_weight=weight)
    np.testing.assert_allclose(raw.statistic, brant(Z[10:], y[10:], np.ones(390))[1], rtol=1e-4)
    frame = pd.DataFrame(X, columns=["age", "income", "size"])
    piped = parallel_slopes(make_pipeline(StandardScaler(), OrdinalClassifier()).fit(frame, y), frame, y)
    assert piped.names == ["age", "income", "size", "all"]
    np.testing.assert_allclose(piped.statistic, brant(Z, y, np.ones(400))[1], rtol=1e-4)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_slopes_that_differ_are_found_and_others_are_not(link, rng):
    noise = {
        "logit": rng.logistic,
        "probit": rng.normal,
        "cloglog": lambda size: gumbel_l.rvs(size=size, random_state=rng),
    }
    p_values = []
    for _ in range(60):
        X = rng.normal(size=(300, 2))
        y = np.digitize(X @ [0.8, -0.4] + noise[link](size=300), [-1.0, 0.5])
        model = OrdinalClassifier(link, alpha=0).fit(X, y)
        p_values.append(parallel_slopes(model, X, y).p_value[-1])
    assert 0.3 < np.mean(p_values) < 0.7
    assert np.mean(np.less(p_values, 0.05)) <= 0.15
    # x0 counts for the step from the middle to the top alone
    y = np.minimum(np.where(rng.uniform(size=300) < 0.4, 0, 1 + (3 * X[:, 0] + noise[link](size=300) > 0)), 2)
    found = parallel_slopes(OrdinalClassifier(link, alpha=0).fit(X, y), X, y)
    assert found.p_value[0] < 1e-6


def test_what_parallel_slopes_refuses(rng):
    X, y = ratings(rng)
    assert_refused("is for OrdinalClassifier, not for Ridge", parallel_slopes, Ridge().fit(X, y), X, y, error=TypeError)
    assert_refused("at least three classes", parallel_slopes, fit(X, y > 1), X, y > 1)
    twice = np.column_stack([X, X[:, 0]])
    model, _ = convergence_warnings(lambda: fit(twice, y))
    assert_refused("needs independent columns", parallel_slopes, model, twice, y)
    group = np.column_stack([X, y == 0])
    message = r"the classes on the two sides of 0\|1 alone: separated"
    assert_refused(message, parallel_slopes, OrdinalClassifier().fit(group, y), group, y)
