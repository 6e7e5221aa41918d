"""Proportions: against statsmodels with every link, published dose-response tables, edges, and bad input."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.special import gammaln
from scipy.stats import norm

from sk_hessian.inspection import (
    coef_table,
    compare_models,
    influence,
    laplace,
    leave_one_out,
    marginal_effects,
    prediction_table,
    profile_intervals,
    residuals,
)
from sk_hessian.linear_model import BinomialRegressor, GeneralizedLinearRegressor, LogisticRegression, TweedieRegressor
from sk_hessian.objectives import BINARY_LINKS, BinomialLoss, Blocks
from tests.estimators import ALL_SOLVERS, assert_refused, convergence_warnings

PEERS = {
    "logit": sm.families.links.Logit,
    "probit": sm.families.links.Probit,
    "cloglog": sm.families.links.CLogLog,
    "cauchit": sm.families.links.Cauchy,
    "log": sm.families.links.Log,
}
every_link = pytest.mark.parametrize("link", BINARY_LINKS)

#: beetles killed by carbon disulphide: log10 dose, number, killed (Bliss 1935, in Dobson, "An Introduction to
#: Generalized Linear Models", table 7.2)
DOSE = np.array([1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839])[:, None]
BEETLES = np.array([59.0, 60, 62, 56, 63, 59, 62, 60])
KILLED = np.array([6.0, 13, 18, 28, 52, 53, 61, 60])


def trials(rng, link="logit", n=200):
    """Raw columns, numbers of trials and of successes, and an offset."""
    X = rng.normal(size=(n, 3)) * [1.0, 1e3, 1e-2] + [0.0, 2e4, 1.0]
    offset = 0.3 * rng.normal(size=n)
    eta = 0.4 * (X - [0, 2e4, 1]) @ [1.0, 5e-4, 30.0] + offset - (2.5 if link == "log" else 0.2)
    mean = BinomialLoss(link).inverse_link(np.minimum(eta, -0.1) if link == "log" else eta)
    number = rng.integers(1, 12, size=n).astype(float)
    return X, number, rng.binomial(number.astype(int), mean).astype(float), offset


def fit(link, X, y=None, **row_data):
    return BinomialRegressor(link, alpha=0, tol=1e-7).fit(X, y, **row_data)


@every_link
def test_tables_are_those_of_statsmodels(link, rng):
    X, number, successes, offset = trials(rng, link)
    offset = None if link == "log" else offset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its log link, which does not know its domain
        peer = sm.GLM(
            np.c_[successes, number - successes],
            sm.add_constant(X),
            sm.families.Binomial(PEERS[link]()),
            offset=offset,
        ).fit(tol=1e-13, maxiter=300)
    share, pairs = successes / number, np.c_[successes, number - successes]
    for y, weight in ((share, number), (pairs, None)):
        rows = {"sample_weight": weight, "offset": offset}
        model = fit(link, X, y, **rows)
        assert model.convergence_.status == "optimal"
        table = coef_table(model, X, y, **rows)
        order = [1, 2, 3, 0]
        np.testing.assert_allclose(table.estimate, peer.params[order], rtol=1e-6)
        np.testing.assert_allclose(table.std_error, peer.bse[order], rtol=1e-6)
        for ours, theirs in (
            (table.deviance, peer.deviance),
            (table.log_likelihood, peer.llf),
            (table.aic, peer.aic),
            (table.bic, peer.bic_llf),
            (table.df_resid, peer.df_resid),
            (model.score(X, y, **rows), 1 - peer.deviance / peer.null_deviance),
        ):
            assert ours == pytest.approx(theirs, rel=1e-6)
        np.testing.assert_allclose(
            model.predict(X, **({} if offset is None else {"offset": offset})), peer.mu, rtol=1e-5
        )
        sandwich = coef_table(model, X, y, cov="sandwich", **rows).std_error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            robust = sm.GLM(peer.model.endog, peer.model.exog, peer.family, offset=offset, var_weights=number)
            robust = robust.fit(tol=1e-13, maxiter=300, cov_type="HC0")
        # of the expected Hessian there, of the observed one here: the same for the canonical link
        assert link != "logit" or np.allclose(sandwich, robust.bse[order], rtol=1e-5)


@pytest.mark.parametrize(
    ("link", "intercept", "slope", "errors", "deviance"),
    [
        ("logit", -60.717, 34.270, (5.181, 2.912), 11.23),
        ("probit", -34.94, 19.73, (2.64, 1.48), 10.12),
        ("cloglog", -39.572, 22.041, (3.229, 1.793), 3.45),
    ],
)
def test_the_beetles_of_bliss(link, intercept, slope, errors, deviance):
    """Dobson & Barnett, "An Introduction to Generalized Linear Models", 3rd ed., section 7.3.1 (cloglog to 3%)."""
    y = KILLED / BEETLES
    model = fit(link, DOSE, y, sample_weight=BEETLES)
    table = coef_table(model, DOSE, y, sample_weight=BEETLES)
    assert model.intercept_ == pytest.approx(intercept, rel=3e-4)
    assert model.coef_[0] == pytest.approx(slope, rel=3e-4)
    np.testing.assert_allclose(table.std_error, errors[::-1], rtol=6e-3)
    assert table.deviance == pytest.approx(deviance, abs=6e-3)


@every_link
@pytest.mark.parametrize("solver", ALL_SOLVERS)
def test_every_solver_finds_the_same_optimum(link, solver, rng):
    X, number, successes, _ = trials(rng, link)
    y = successes / number
    exact = fit(link, X, y, sample_weight=number)
    model = BinomialRegressor(link, alpha=0, solver=solver, random_state=0).fit(X, y, sample_weight=number)
    assert model.convergence_.status == "optimal"
    error = coef_table(exact, X, y, sample_weight=number, cov="observed").std_error
    away = np.abs(np.append(model.coef_ - exact.coef_, model.intercept_ - exact.intercept_)) / error
    assert away.max() <= 0.02


@every_link
def test_forms_of_the_same_data(link, rng):
    """Trials one by one, proportions, pairs, repeated pairs, sparse rows, data frames and parts."""
    X, number, successes, _ = trials(rng, link, 60)
    pairs = np.c_[successes, number - successes]
    model = fit(link, X, successes / number, sample_weight=number)
    rows = np.repeat(np.arange(60), number.astype(int))
    ones = np.concatenate([np.r_[np.ones(int(s)), np.zeros(int(f))] for s, f in pairs])
    half = [slice(0, 30), slice(30, 60)]
    others = [
        fit(link, X[rows], ones),
        fit(link, X, pairs),
        fit(link, sp.csr_array(X), pairs),
        fit(link, pd.DataFrame(X, columns=list("abc")), pd.DataFrame(pairs.astype(int))),
        fit(link, np.vstack([X, X]), np.vstack([pairs, pairs])),
        fit(link, X, pairs, sample_weight=np.full(60, 2.0)),
        fit(link, Blocks([(X[part], (successes / number)[part], number[part]) for part in half])),
    ]
    for other in others:
        np.testing.assert_allclose(other.coef_, model.coef_, rtol=2e-4)
    table, doubled = coef_table(others[1], X, pairs), coef_table(others[5], X, pairs, sample_weight=np.full(60, 2.0))
    np.testing.assert_allclose(doubled.std_error, table.std_error / np.sqrt(2), rtol=1e-6)
    assert (table.n_samples, doubled.n_samples) == (60, 120)
    assert doubled.log_likelihood == pytest.approx(2 * table.log_likelihood)
    assert others[1].score(X, pairs) == pytest.approx(model.score(X, successes / number, sample_weight=number))


def test_the_logit_of_labels_is_logistic_regression(rng):
    X, *_ = trials(rng)
    y = (X[:, 0] + rng.logistic(size=200) > 0).astype(float)
    ours = BinomialRegressor(alpha=0.01, tol=1e-8).fit(X, y)
    other = LogisticRegression(C=1 / 0.01 / 200, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.coef_, other.coef_[0], rtol=1e-6)
    np.testing.assert_allclose(ours.predict(X), other.predict_proba(X)[:, 1], rtol=1e-6)
    general = GeneralizedLinearRegressor(BinomialLoss(), alpha=0.01, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.coef_, general.coef_, rtol=1e-6)


def test_logistic_regression_refuses_proportions_and_names_this_class(rng):
    X, y = rng.normal(size=(20, 2)), rng.uniform(size=20)
    assert_refused("for proportions use BinomialRegressor", LogisticRegression().fit, X, y)
    with pytest.raises(ValueError, match="Unknown label type") as error:
        LogisticRegression().fit(X, 3 * y)
    assert "Binomial" not in str(error.value)


# -- proportions without trials --------------------------------------------------------------------------------------


def test_a_fractional_regression_has_no_likelihood_and_robust_errors(rng):
    X = rng.normal(size=(300, 2))
    y = rng.beta(2, 3, size=300)
    model = fit("probit", X, y)
    table = coef_table(model, X, y)
    assert table.cov == "sandwich"
    assert table.log_likelihood is table.deviance is table.aic is None
    peer = sm.GLM(y, sm.add_constant(X), sm.families.Binomial(sm.families.links.Probit())).fit(
        tol=1e-13, cov_type="HC0"
    )
    np.testing.assert_allclose(table.estimate, peer.params[[1, 2, 0]], rtol=1e-6)
    # statsmodels has the expected Hessian in it
    np.testing.assert_allclose(table.std_error, peer.bse[[1, 2, 0]], rtol=0.02)
    assert_refused("row 0 .* successes in 1 trials: pass the numbers", coef_table, model, X, y, cov="expected")
    assert_refused("profile_intervals needs a likelihood, that of whole numbers", profile_intervals, model, X, y)


def test_inspection_counts_trials(rng):
    X, number, successes, _ = trials(rng)
    y, pairs = successes / number, np.c_[successes, number - successes]
    model, paired = fit("probit", X, y, sample_weight=number), fit("probit", X, pairs)
    rows, one = {"sample_weight": number}, influence(paired, X, pairs)
    np.testing.assert_allclose(influence(model, X, y, **rows).residual, one.residual, rtol=1e-6)
    # as of R's rstandard(type = "pearson"): Pearson's residual of the group over the root of 1 - leverage
    mean = model.predict(X)
    pearson = (y - mean) / np.sqrt(mean * (1 - mean) / number)
    np.testing.assert_allclose(one.residual, pearson / np.sqrt(1 - one.leverage), rtol=0.02)
    scores = [leave_one_out(model, X, y, sample_weight=number).score, leave_one_out(paired, X, pairs).score]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    without = fit("probit", X[1:], y[1:], sample_weight=number[1:])
    assert leave_one_out(model, X, y, sample_weight=number).predictions[0] == pytest.approx(
        without.predict(X[:1])[0], rel=1e-3
    )
    wald = coef_table(model, X, y, **rows)
    intervals = profile_intervals(model, X, y, **rows)
    np.testing.assert_allclose(intervals.lower, wald.lower, atol=0.1 * np.abs(wald.std_error).max())
    assert (np.sign(intervals.estimate - intervals.lower) == 1).all()


@pytest.mark.parametrize("pairs", [False, True])
def test_later_inspection_is_statsmodels(pairs, rng):
    """Residuals of groups, likelihood ratios, ratios, predictions."""
    X, number, successes, _ = trials(rng)
    X = (X - [0.0, 2e4, 1.0]) / [1.0, 1e3, 1e-2]
    both = np.c_[successes, number - successes]
    y, weight = (both, None) if pairs else (successes / number, number)
    peer = sm.GLM(both, sm.add_constant(X), sm.families.Binomial()).fit(tol=1e-13)
    model = fit("logit", X, y, sample_weight=weight)
    for kind, theirs in (("pearson", peer.resid_pearson), ("deviance", peer.resid_deviance)):
        np.testing.assert_allclose(residuals(model, X, y, sample_weight=weight, kind=kind), theirs, atol=1e-6)
    ours = residuals(model, X, y, sample_weight=weight, kind="pearson", standardised=True)
    np.testing.assert_allclose(ours, peer.get_influence().resid_studentized, atol=1e-6)
    small = fit("logit", X[:, :2], y, sample_weight=weight)
    less = sm.GLM(both, sm.add_constant(X[:, :2]), sm.families.Binomial()).fit(tol=1e-13)
    compared = compare_models(small, model, X, y, columns=[0, 1], sample_weight=weight)
    assert compared.statistic == pytest.approx(less.deviance - peer.deviance, rel=1e-5)
    table = prediction_table(model, X[:3], X, y, weight)
    frame = peer.get_prediction(sm.add_constant(X)[:3]).summary_frame()
    np.testing.assert_allclose(table.mean, frame["mean"], rtol=1e-6)
    np.testing.assert_allclose(table.lower, frame["mean_ci_lower"], rtol=1e-5)
    rare = np.round(successes / 3) if pairs else np.round(successes / 3) / number
    rare = np.c_[rare, number - rare] if pairs else rare
    for link, kind in {"logit": "odds ratio", "cloglog": "hazard ratio", "log": "risk ratio"}.items():
        ratios = coef_table(fit(link, X, rare, sample_weight=weight), X, rare, sample_weight=weight).exp()
        assert ratios.kind == kind
    probit = fit("probit", X, y, sample_weight=weight)
    effects = marginal_effects(probit, X, y, sample_weight=weight).effect
    density = norm.pdf(X @ probit.coef_ + probit.intercept_)
    # an average over trials, as of a row for each of them
    np.testing.assert_allclose(effects, np.average(density, weights=number) * probit.coef_, rtol=1e-6)


def test_a_posterior_of_proportions(rng):
    X, number, successes, _ = trials(rng)
    y = successes / number
    model = BinomialRegressor("probit", alpha=1e-3, tol=1e-8).fit(X, y, sample_weight=number)
    found = laplace(model, X, y, sample_weight=number)
    table = coef_table(model, X, y, sample_weight=number, cov="laplace")
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance())), table.std_error, rtol=1e-6)
    # the evidence of one trial after the other, but for the ways to choose which of them succeed
    ones = np.concatenate(
        [np.r_[np.ones(int(s)), np.zeros(int(n - s))] for s, n in zip(successes, number, strict=True)]
    )
    rows = np.repeat(np.arange(len(X)), number.astype(int))
    single = laplace(BinomialRegressor("probit", alpha=1e-3, tol=1e-8).fit(X[rows], ones), X[rows], ones)
    ways = (gammaln(number + 1) - gammaln(successes + 1) - gammaln(number - successes + 1)).sum()
    assert found.log_evidence == pytest.approx(single.log_evidence + ways, rel=1e-6)
    link, spread = found.predict(X[:5])
    mean, _ = found.predict(X[:5], of="mean")
    # of a normal linear predictor the probit's mean has a closed form
    np.testing.assert_allclose(mean, norm.cdf(link / np.sqrt(1 + spread**2)), rtol=1e-9)
    _, noise = found.predict(X[:5], of="observation")
    np.testing.assert_allclose(noise, np.sqrt(mean * (1 - mean)), rtol=1e-9)  # of a single trial


# -- domains and edges -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "sgd"])
def test_relative_risks_at_the_edge(solver):
    """All beetles of the largest dose died: with a log link their best mean is 1, where the slope is not zero."""
    y = KILLED / BEETLES
    model = BinomialRegressor("log", alpha=0, solver=solver).fit(DOSE, y, sample_weight=BEETLES)
    assert model.convergence_.status == "optimal"
    assert "the best mean of row 7, where y = 1, is 1" in model.convergence_.message
    prediction = model.predict(DOSE)
    assert prediction.max() == pytest.approx(1, abs=1e-12)
    assert prediction.max() <= 1
    # along the edge one slope is left: the best of them
    slopes = np.linspace(6, 8, 4001)
    raw = slopes * (DOSE - DOSE[-1])
    losses = [BEETLES @ BinomialLoss("log").value(y, column[:, None]) for column in raw.T]
    assert model.coef_[0] == pytest.approx(slopes[np.argmin(losses)], abs=1e-3)
    assert_refused(
        'have the mean 1, the edge of what link="log" allows: use link="logit"',
        coef_table, model, DOSE, y, sample_weight=BEETLES,
    )  # fmt: skip


def test_relative_risks_of_two_groups_are_ratios_of_shares():
    X = np.array([[0.0], [1.0]])
    model = fit("log", X, np.array([[10, 30], [18, 22]]))
    assert np.exp(model.coef_[0]) == pytest.approx(18 / 10, rel=1e-6)
    certain = fit("log", X, np.array([[10, 30], [40, 0]]))
    assert certain.convergence_.status == "optimal"
    np.testing.assert_allclose(certain.predict(X), [0.25, 1.0], rtol=1e-6)
    without = BinomialRegressor("log", alpha=0, fit_intercept=False, tol=1e-8).fit(X + 1, np.array([[3, 1], [2, 2]]))
    assert without.convergence_.status == "optimal"
    assert (without.predict(X + 1) < 1).all()
    message = "link='log' needs a mean below 1 for every row"
    bare = BinomialRegressor("log", alpha=0, fit_intercept=False)
    assert_refused(message, bare.fit, [[-1.0], [1.0]], np.array([[1, 2], [2, 1]]))
    far = np.array([[1.0], [2.0]])
    offset = np.array([5.0, -3.0])
    beside = fit("log", far, np.array([[3, 1], [2, 2]]), offset=offset).predict(far, offset=offset)
    np.testing.assert_allclose(beside, [0.75, 0.5], rtol=1e-6)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_separated_shares_are_named(link):
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    _, messages = convergence_warnings(lambda: fit(link, X, np.array([[0, 5], [0, 4], [6, 0], [5, 0]])))
    assert "y = 0 and y = 1 are separated from the rest by x0" in messages[0]
    group = np.array([[0.0], [0.0], [1.0], [1.0]])
    _, messages = convergence_warnings(lambda: fit(link, group, np.array([[2, 5], [3, 4], [6, 0], [5, 0]])))
    assert "y = 1 is separated from the rest by x0" in messages[0]
    _, messages = convergence_warnings(lambda: fit(link, X, np.array([[0, 5], [0, 4], [0, 3], [0, 2]])))
    assert "every row has y = 0" in messages[0]


def test_surprises_forty_deviations_out_are_fitted():
    """A row that a probit puts at -40 standard deviations costs 800, and has a slope: nothing overflows."""
    X = np.array([[-40.0], [-1.0], [0.5], [1.0], [40.0]])
    y = np.array([1.0, 0.0, 1.0, 1.0, 1.0])
    model = BinomialRegressor("probit", alpha=0, fit_intercept=False, warm_start=True)
    model.coef_, model.intercept_ = np.array([1.0]), 0.0
    model.fit(X, y)
    assert model.convergence_.status == "optimal"
    raw = X[:, 0] * model.coef_[0]
    slope = np.where(y == 1, norm.pdf(raw) / norm.cdf(raw), -norm.pdf(raw) / norm.sf(raw))
    assert slope @ X[:, 0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.2, 1.5, 0.3], "y must be between 0 and 1 for BinomialRegressor, got 1.5"),
        ([0.2, -0.1, 0.3], "y must be between 0 and 1"),
        ([[1, 2], [0, 0], [2, 1]], r"y: row 1 has no trials \(0 successes and 0 failures\): drop such rows"),
        ([[1.5, 2], [0, 1], [2, 1]], r"whole numbers of successes and failures, none below 0, got \[1.5, 2.0\]"),
        ([[1, 2], [-1, 1], [2, 1]], "none below 0"),
        ([[1, 2, 3], [0, 1, 1], [2, 1, 1]], "two columns, successes and failures, got shape"),
    ],
)
def test_bad_targets(y, message):
    assert_refused(message, BinomialRegressor().fit, [[0.0], [1.0], [2.0]], y)


def test_bad_parameters():
    X, y = [[0.0], [1.0]], [0.2, 0.3]
    message = "link must be 'logit', 'probit', 'cloglog', 'cauchit' or 'log', got 'identity'"
    assert_refused(message, BinomialRegressor("identity").fit, X, y)
    assert_refused("alpha must be a number >= 0", BinomialRegressor(alpha=-1).fit, X, y)
    assert_refused("1d array", BinomialRegressor().fit, Blocks([(np.eye(2), np.ones((2, 2)))]))


# -- links of other families -----------------------------------------------------------------------------------------

TWEEDIE = {
    "sqrt": (1, lambda: sm.families.Poisson(sm.families.links.Sqrt())),
    "inverse": (2, lambda: sm.families.Gamma(sm.families.links.InversePower())),
}


@pytest.mark.parametrize("link", TWEEDIE)
@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.DomainWarning")
def test_powers_of_the_prediction_are_statsmodels(link, rng):
    power, family = TWEEDIE[link]
    X = rng.uniform(size=(300, 2)) * [1.0, 100.0]
    raw = 0.5 + X @ [1.0, 0.01]
    y = rng.poisson(raw**2).astype(float) if link == "sqrt" else rng.gamma(3.0, 1 / raw / 3)
    model = TweedieRegressor(power=power, link=link, alpha=0, tol=1e-7).fit(X, y)
    peer = sm.GLM(y, sm.add_constant(X), family()).fit(tol=1e-13)
    table = coef_table(model, X, y)
    np.testing.assert_allclose(table.estimate, peer.params[[1, 2, 0]], rtol=1e-6)
    np.testing.assert_allclose(table.std_error, peer.bse[[1, 2, 0]], rtol=1e-6)
    np.testing.assert_allclose(model.predict(X), peer.mu, rtol=1e-6)
    assert table.deviance == pytest.approx(peer.deviance)


def test_a_square_root_at_its_edge_and_links_that_make_no_sense():
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 1.0, 4.0, 9.0])
    model = TweedieRegressor(power=1, link="sqrt", alpha=0).fit(X, y)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.predict(X), y, atol=1e-3)
    for power, link, fitting in (
        (0, "sqrt", "1 to below 2"),
        (2, "sqrt", "1 to below 2"),
        (1, "inverse", "at least 2"),
    ):
        estimator = TweedieRegressor(power=power, link=link)
        assert_refused(f"link='{link}' is for powers .*{fitting}.*power={power}", estimator.fit, X, y + 1)
