"""Residuals against statsmodels, their distribution, and their display."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.genmod import families

from sk_hessian.inspection import ResidualDisplay, influence, residuals
from sk_hessian.linear_model import (
    GeneralizedLinearRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import TweedieLoss
from tests.estimators import UNPENALISED, assert_refused, convergence_warnings, target

mpl.use("Agg")

LOG = families.links.Log()

#: name -> the family of statsmodels
GLMS = {
    "LinearRegression": families.Gaussian(),
    "LogisticRegression": families.Binomial(),
    "PoissonRegressor": families.Poisson(),
    "GammaRegressor": families.Gamma(LOG),
    "TweedieRegressor": families.Tweedie(LOG, 1.5),
}


def table(rng, n=150):
    return rng.normal(size=(n, 3)) * [1, 5, 0.2] + [0, 3, -1]


def fitted(name, X, y, *rest, **options):
    return UNPENALISED[name].set_params(tol=1e-9).fit(X, y, *rest, **options)


@pytest.mark.parametrize("name", GLMS)
def test_residuals_of_statsmodels(name, rng):
    X, often = table(rng), rng.integers(1, 3, size=150)
    y = target(name, X, rng)
    numbers = (y == "yes").astype(float) if name == "LogisticRegression" else y
    offset = 0.3 * rng.normal(size=150)
    model = fitted(name, X, y, often, offset=offset)
    design = np.column_stack([X, np.ones(len(X))])
    theirs = sm.GLM(numbers, design, family=GLMS[name], freq_weights=often, offset=offset).fit(tol=1e-13)
    data = {"sample_weight": often, "offset": offset}
    same = {"rtol": 1e-6, "atol": 1e-8}
    for kind in ("response", "pearson", "deviance"):
        ours = residuals(model, X, y, kind=kind, **data)
        np.testing.assert_allclose(ours, getattr(theirs, f"resid_{kind}"), **same)
    # weights are frequencies: of repeated rows the leverage and the dispersion are those of single ones
    rows = np.repeat(np.arange(150), often)
    again = sm.GLM(numbers[rows], design[rows], family=GLMS[name], offset=offset[rows]).fit(tol=1e-13)
    ours = residuals(model, X, y, kind="pearson", standardised=True, **data)
    np.testing.assert_allclose(ours[rows], again.get_influence().resid_studentized, **same)


def draws(name, mean, rng):
    """A target of a family with these means."""
    return {
        "normal": lambda: rng.normal(mean, 0.5),
        "normal-log": lambda: rng.normal(mean, 0.5),
        "Bernoulli": lambda: (rng.random(mean.size) < 1 / (1 + np.exp(-mean))).astype(int),
        "Poisson": lambda: rng.poisson(mean).astype(float),
        "negative binomial": lambda: rng.poisson(mean * rng.gamma(2, 0.5, size=mean.size)).astype(float),
        "Gamma": lambda: rng.gamma(1.5, mean / 1.5),
        "inverse Gaussian": lambda: stats.invgauss(mean * 0.4, scale=1 / 0.4).rvs(random_state=rng),
        "compound Poisson": lambda: np.array(
            [rng.gamma(1, m**0.5 / 2, size=rng.poisson(2 * m**0.5)).sum() for m in mean]
        ),
    }[name]()


QUANTILES = {
    "normal": lambda: LinearRegression(),
    "normal-log": lambda: TweedieRegressor(power=0, link="log", alpha=0),
    "Bernoulli": lambda: LogisticRegression(C=np.inf),
    "Poisson": lambda: PoissonRegressor(alpha=0),
    "negative binomial": lambda: NegativeBinomialRegressor(alpha=0),
    "Gamma": lambda: TweedieRegressor(power=2, alpha=0),
    "inverse Gaussian": lambda: TweedieRegressor(power=3, alpha=0),
    "compound Poisson": lambda: TweedieRegressor(power=1.5, alpha=0),
}


@pytest.mark.parametrize("name", QUANTILES)
def test_quantile_residuals_of_a_true_model_are_standard_normal(name, rng):
    X = rng.normal(size=(3000, 2))
    y = draws(name, X @ [0.3, -0.2] + 1 if name == "normal" else np.exp(X @ [0.3, -0.2] + 1), rng)
    model = QUANTILES[name]().fit(X, y)
    found = residuals(model, X, y, kind="quantile", random_state=0)
    assert stats.kstest(found, "norm").pvalue > 0.01
    assert abs(np.corrcoef(found, X[:, 0])[0, 1]) < 0.05
    np.testing.assert_array_equal(found, residuals(model, X, y, kind="quantile", random_state=0))
    other = residuals(model, X, y, kind="quantile", random_state=1)
    is_random = y == 0 if name == "compound Poisson" else np.full(len(y), model_is_discrete(name))
    np.testing.assert_array_equal(found != other, is_random)


def test_a_seed_that_has_made_the_rows_serves_again():
    """The same numbers would tie a residual to the column that they have made."""
    rng = np.random.default_rng(0)
    X = rng.random((2000, 1))
    y = (rng.random(2000) < X[:, 0]).astype(int)
    found = residuals(LogisticRegression(C=np.inf).fit(X, y), X, y, kind="quantile", random_state=0)
    assert abs(found.std() - 1) < 0.04
    generator = np.random.default_rng(0)
    one, two = (residuals(LogisticRegression().fit(X, y), X, y, kind="quantile", random_state=generator) for _ in "ab")
    assert (one != two).all()


def model_is_discrete(name):
    return name in ("Bernoulli", "Poisson", "negative binomial")


def test_a_wrong_model_is_seen_far_out():
    """Tails keep their digits, and end where numbers do."""
    X = np.zeros((200, 1))
    X[:, 0] = np.linspace(-1, 1, 200)
    y = np.ones(200)
    y[::50] = 60.0
    found = residuals(PoissonRegressor(alpha=0).fit(X, y), X, y, kind="quantile", random_state=0)
    assert 9 < found.max() < 20
    y[0] = 1e5
    assert residuals(PoissonRegressor(alpha=0).fit(X, y), X, y, kind="quantile", random_state=0).max() > 37


def test_several_outputs(rng):
    X = table(rng)
    Y = np.column_stack([target("Ridge", X, rng), 5 * target("Ridge", X, rng)])
    both = LinearRegression().fit(X, Y)
    for kind in ("response", "pearson", "deviance", "quantile"):
        each = [residuals(LinearRegression().fit(X, y), X, y, kind=kind) for y in Y.T]
        np.testing.assert_allclose(residuals(both, X, Y, kind=kind), np.column_stack(each), atol=1e-10)
    y = target("softmax", X, rng)
    model = fitted("softmax", X, y)
    probability = model.predict_proba(X)
    indicator = (y[:, None] == model.classes_).astype(float)
    np.testing.assert_allclose(residuals(model, X, y, kind="response"), indicator - probability, atol=1e-12)
    expected = (indicator - probability) / np.sqrt(probability)
    np.testing.assert_allclose(residuals(model, X, y, kind="pearson"), expected, rtol=1e-9)
    expected = np.sqrt(-2 * np.log((indicator * probability).sum(axis=1)))
    np.testing.assert_allclose(residuals(model, X, y), expected, rtol=1e-7)
    labels = (rng.random((150, 2)) < 0.5).astype(int)
    network = MLPClassifier(hidden_layer_sizes=(2,), alpha=1.0, random_state=0).fit(X, labels)
    assert residuals(network, X, labels, kind="quantile", random_state=0).shape == (150, 2)
    probability = network.predict_proba(X)
    expected = -2 * np.log(np.where(labels, probability, 1 - probability))
    np.testing.assert_allclose(residuals(network, X, labels) ** 2, expected)


def test_other_rows_and_fits_that_are_no_optimum(rng):
    """What compares targets with predictions needs neither the rows of the fit nor an optimum."""
    X = table(rng)
    y = target("Ridge", X, rng)
    network = MLPRegressor(hidden_layer_sizes=(3,), alpha=0.1, max_iter=2, random_state=0)
    convergence_warnings(lambda: network.fit(X, y))
    new, of_new = X[:9] + 0.1, y[:9] + 0.2
    np.testing.assert_allclose(residuals(network, new, of_new, kind="response"), of_new - network.predict(new))
    counts = rng.poisson(np.exp(0.2 * y))
    model = PoissonRegressor(alpha=0).fit(X, counts)
    assert residuals(model, new, counts[:9], kind="quantile", random_state=0).shape == (9,)
    weight = np.where(np.arange(150) < 9, 0.0, 1.0)
    linear = LinearRegression().fit(X, y, weight)
    of_rest = residuals(LinearRegression().fit(X[9:], y[9:]), X[9:], y[9:], kind="quantile")
    found = residuals(linear, X, y, kind="quantile", sample_weight=weight)
    np.testing.assert_allclose(found[9:], of_rest, rtol=1e-9)
    assert np.isfinite(found).all()
    assert np.isfinite(residuals(linear, X, y, standardised=True, sample_weight=weight)).all()


def test_standardised_residuals_are_those_of_influence(rng):
    X = table(rng)
    y = target("GammaRegressor", X, rng)
    model = fitted("GammaRegressor", X, y)
    ours = residuals(model, X, y, kind="pearson", standardised=True)
    np.testing.assert_allclose(ours, influence(model, X, y).residual, rtol=1e-9)
    deviance = residuals(model, X, y, standardised=True) / residuals(model, X, y)
    np.testing.assert_allclose(deviance, ours / residuals(model, X, y, kind="pearson"), rtol=1e-9)


def test_what_there_is_not_is_refused_by_name(rng):
    X = table(rng)
    y = target("Ridge", X, rng)
    huber, softmax = HuberRegressor(alpha=0).fit(X, y), target("softmax", X, rng)
    classes = fitted("softmax", X, softmax)
    power = TweedieRegressor(power=2.5, alpha=0).fit(X, np.exp(y))
    counts = rng.poisson(np.exp(0.2 * y)) + 0.5
    rates = PoissonRegressor(alpha=0).fit(X, counts)
    network = MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", alpha=1.0, random_state=0).fit(X, y)
    linear, weighted = LinearRegression().fit(X, y), LogisticRegression(class_weight="balanced").fit(X, y > 3)
    own = GeneralizedLinearRegressor(TweedieLoss(0, "log"), alpha=0).fit(X, np.exp(0.1 * y))
    assert residuals(own, X, np.exp(0.1 * y), kind="quantile").shape == (150,)
    for rows, options, message in (
        ((linear, X, y), {"kind": "working"}, "kind must be one of"),
        ((huber, X, y), {"kind": "deviance"}, "HuberRegressor, HuberLoss, has no deviance: use kind='response' or"),
        ((huber, X, y), {"kind": "quantile"}, "HuberLoss, has no distribution function"),
        ((classes, X, softmax), {"kind": "quantile"}, "SoftmaxCrossEntropy, has no distribution function"),
        ((power, X, np.exp(y)), {"kind": "quantile"}, "TweedieLoss, has no distribution function"),
        ((rates, X, counts), {"kind": "quantile"}, 'y: kind="quantile" needs integers'),
        ((network, X, y), {"kind": "quantile"}, "networks, whose effective parameters are not known"),
        ((linear, X + X[:, :1], y), {"kind": "quantile"}, "not at the optimum for these rows"),
        ((weighted, X, y > 3), {"kind": "quantile"}, "class_weight leaves only a pseudo-likelihood"),
        ((linear, X, y), {"kind": "response", "standardised": True}, "standardised=True is for kind='pearson'"),
        ((classes, X, softmax), {"standardised": True}, "standardised=True is for one output"),
    ):
        assert_refused(message, residuals, *rows, **options)
    binary = LogisticRegression(C=np.inf).fit(X, y > 3)
    assert_refused("random_state must be an integer", residuals, binary, X, y > 3, kind="quantile", random_state=-1)
    assert_refused("standardised must be True or False", residuals, linear, X, y, standardised=2, error=TypeError)


# -- the display ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def draw(display):
    """Render, and look whether all labels are inside the figure."""
    display.figure_.canvas.draw()
    whole, (width, height) = display.figure_.get_tightbbox(), display.figure_.get_size_inches()
    assert min(whole.x0, whole.y0) >= -0.01
    assert whole.x1 <= width + 0.01
    assert whole.y1 <= height + 0.01
    return display


def test_the_display_has_the_residuals(rng):
    X = table(rng)
    y = target("PoissonRegressor", X, rng)
    model = fitted("PoissonRegressor", X, y)
    display = draw(ResidualDisplay.from_estimator(model, X, y, random_state=0, name="counts"))
    expected = residuals(model, X, y, kind="quantile", random_state=0)
    raw = np.log(model.predict(X))
    against, quantiles = (np.asarray(points.get_offsets()) for points in display.points_)
    np.testing.assert_allclose(against, np.column_stack([raw, expected]), rtol=1e-9)
    np.testing.assert_allclose(quantiles[:, 1], np.sort(expected))
    (theirs, _), _ = stats.probplot(expected)
    assert np.abs(quantiles[:, 0] - theirs).max() < 0.05
    means, line = display.lines_
    np.testing.assert_allclose(np.mean(means.get_ydata()), expected.mean(), rtol=1e-9)
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    assert display.ax_[0].get_title() == "counts"
    assert [ax.get_ylabel() for ax in display.ax_] == ["quantile residual", "quantile residual, sorted"]
    # in 95% of the samples each order statistic is within the band, so that nearly all of these are
    low, high = band(display.ax_[1])
    assert np.mean((quantiles[:, 1] > low) & (quantiles[:, 1] < high)) > 0.9


def band(ax):
    corners = ax.collections[0].get_paths()[0].vertices
    n = (len(corners) - 3) // 2
    low, high = corners[1 : n + 1, 1], corners[n + 2 : 2 * n + 2, 1][::-1]
    return np.minimum(low, high), np.maximum(low, high)


@pytest.mark.parametrize("show", ["fitted", "qq", ("qq", "fitted")])
def test_one_plot_or_both_on_axes_of_ones_own(show, rng):
    X = table(rng)
    Y = np.column_stack([target("Ridge", X, rng), target("Ridge", X, rng)])
    model = LinearRegression().fit(X, Y)
    number = 1 if isinstance(show, str) else 2
    _, axes = plt.subplots(1, number, layout="constrained")
    display = ResidualDisplay.from_estimator(model, X, Y, kind="pearson", show=show, ax=axes, s=3, color="red")
    draw(display)
    assert list(display.ax_) == list(np.ravel(axes))
    assert len(display.points_) == 2 * number
    assert all(points.get_sizes() == [3] for points in display.points_)
    again = draw(display.plot(show=show))
    assert again.figure_ is not axes
    assert len(ResidualDisplay(display.residuals, display.fitted, kind="pearson").plot(show="qq").lines_) == 2


def test_a_bad_display_is_named(rng):
    X = table(rng)
    y = target("softmax", X, rng)
    model = fitted("softmax", X, y)
    build = ResidualDisplay.from_estimator
    assert_refused("a row of several classes has one residual for all", build, model, X, y, kind="deviance")
    assert_refused("SoftmaxCrossEntropy, has no distribution function", build, model, X, y)
    assert_refused("show must be one of", build, model, X, y, kind="pearson", show="scale")
    assert_refused("got 1 for 2", build, model, X, y, kind="pearson", ax=plt.figure().add_subplot())
    assert_refused("a value for each residual", ResidualDisplay, np.zeros(3), np.zeros(4))
    assert_refused("kind must be one of", ResidualDisplay, np.zeros(3), np.zeros(3), kind="raw")
