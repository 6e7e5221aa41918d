"""A linear model of any loss: the classes of this package again, and losses that are written here."""

import copy
import pickle

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, sparse, stats
from scipy.special import log_ndtr, ndtr, ndtri, owens_t
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_html_repr

from sk_hessian.inspection import coef_table, influence, laplace, leave_one_out, profile_intervals
from sk_hessian.linear_model import (
    GammaRegressor,
    GeneralizedLinearRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    TweedieRegressor,
)
from sk_hessian.objectives import (
    BinaryCrossEntropy,
    Blocks,
    Family,
    HuberLoss,
    Loss,
    NegativeBinomialLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
)
from tests.checks import OF_SOLVERS, WEIGHTS, checks
from tests.estimators import ALL_SOLVERS, assert_refused

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class ProbitFamily(Family):
    has_likelihood = True

    def response_moments(self, raw, variance, dispersion):
        at = raw / np.sqrt(1 + variance)
        mean = ndtr(at)
        square = mean - 2 * owens_t(at, 1 / np.sqrt(1 + 2 * variance))
        return mean, square - mean**2, mean - square


class ProbitLoss(Loss):
    """-log Phi(s raw), s = 2 y - 1."""

    canonical = False
    range_text = "0 or 1"
    family_class = ProbitFamily

    def value_and_gradient(self, y, raw):
        sign = 2 * y - 1
        z = sign * raw[:, 0]
        return -log_ndtr(z), (-sign * self._mills(z))[:, None]

    @staticmethod
    def _mills(z):
        return np.exp(stats.norm.logpdf(z) - log_ndtr(z))

    def hessian(self, y, raw, kind):
        z = raw[:, 0]
        if kind == "expected":
            return (self._mills(z) * self._mills(-z))[:, None, None]
        z = (2 * y - 1) * z
        mills = self._mills(z)
        return (mills * (z + mills))[:, None, None]

    def inverse_link(self, raw):
        return ndtr(raw)

    def in_range(self, y):
        return (y == 0) | (y == 1)

    def saturated(self, y):
        return np.zeros(len(y))

    def recession(self, y, change):
        return change * (2 * y - 1)[:, None], np.zeros((len(change), 0))


class StudentFamily(Family):
    has_likelihood = True


class StudentLoss(Loss):
    """Negative log density of Student's t of ``df`` degrees of freedom, the logarithm of its scale estimated along."""

    n_constants = 1
    constant_names = ("log(scale)",)
    canonical = False
    convex = False
    curvature = "expected"
    family_class = StudentFamily

    def __init__(self, df=4.0):
        self.df = df

    def value_and_gradient(self, y, raw):
        z = (y - raw[:, 0]) * np.exp(-raw[:, 1])
        pull = (self.df + 1) * z / (self.df + z**2)
        return -stats.t.logpdf(z, self.df) + raw[:, 1], np.stack([-pull * np.exp(-raw[:, 1]), 1 - pull * z], axis=1)

    def hessian(self, y, raw, kind):
        scale, df = np.exp(raw[:, 1]), self.df
        result = np.zeros((len(y), 2, 2))
        if kind == "expected":
            result[:, 0, 0], result[:, 1, 1] = (df + 1) / (df + 3) / scale**2, 2 * df / (df + 3)
            return result
        z = (y - raw[:, 0]) / scale
        pull, bend = (df + 1) * z / (df + z**2), (df + 1) * (df - z**2) / (df + z**2) ** 2
        result[:, 0, 0] = bend / scale**2
        result[:, 0, 1] = result[:, 1, 0] = (pull + z * bend) / scale
        result[:, 1, 1] = z * (pull + z * bend)
        return result

    def inverse_link(self, raw):
        return raw[:, :1]

    def saturated(self, y):
        return np.zeros(len(y))

    def predictor_unit(self, raw):
        return np.stack([np.exp(raw[:, 1]), np.ones(len(raw))], axis=1)


@pytest.fixture
def X(rng):
    return rng.normal(size=(300, 3)) * [1.0, 10.0, 0.1] + [0.0, 50.0, 2.0]


@pytest.fixture
def eta(X):
    return 0.5 * X[:, 0] - 0.03 * (X[:, 1] - 50) + 1


def counts(eta, rng):
    return rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, len(eta))).astype(float)


def amounts(eta, rng):
    return rng.gamma(3.0, np.exp(eta) / 3)


def heavy(eta, rng):
    return eta + 0.5 * rng.standard_t(3, len(eta))


def choices(eta, rng):
    return (eta - 1 + rng.normal(size=len(eta)) > 0).astype(float)


def pairs(eta, rng):
    return np.stack([heavy(eta, rng), heavy(-eta, rng)], axis=1)


# -- the classes of this package -------------------------------------------------------------------------------------

A = 1e-2
SAME = {
    "poisson": (PoissonRegressor(alpha=A), TweedieLoss(1, "log"), A, counts),
    "gamma": (GammaRegressor(alpha=A), TweedieLoss(2, "log"), A, amounts),
    "tweedie": (TweedieRegressor(power=1.5, alpha=A), TweedieLoss(1.5, "log"), A, amounts),
    "least squares": (LinearRegression(), None, 0.0, heavy),
    "several targets": (LinearRegression(), SquaredLoss(2), 0.0, pairs),
    "huber": (HuberRegressor(alpha=A), HuberLoss(1.35), None, heavy),
    "negative binomial": (NegativeBinomialRegressor(alpha=A), NegativeBinomialLoss(), A, counts),
}


@pytest.mark.parametrize("name", SAME)
def test_it_is_the_class_of_the_same_loss(name, X, eta, rng):
    special, loss, alpha, target = SAME[name]
    y, weight, offset = target(eta, rng), rng.integers(1, 4, len(X)), 0.1 * rng.normal(size=len(X))
    offset = np.stack([offset, -offset], axis=1) if y.ndim == 2 else offset
    special = clone(special).fit(X, y, weight, offset)
    alpha = 2 * A / weight.sum() if alpha is None else alpha  # scikit-learn's Huber has a penalty beside the sum
    general = GeneralizedLinearRegressor(loss, alpha).fit(X, y, weight, offset)
    for attribute in ("coef_", "intercept_"):
        np.testing.assert_allclose(getattr(general, attribute), getattr(special, attribute), rtol=1e-12)
    assert np.shape(general.coef_) == np.shape(special.coef_)
    np.testing.assert_allclose(general.predict(X, offset), special.predict(X, offset), rtol=1e-12)
    tables = [coef_table(m, X, y, sample_weight=weight, offset=offset, cov="sandwich") for m in (special, general)]
    np.testing.assert_allclose(tables[1].std_error, tables[0].std_error, rtol=1e-10)
    assert tables[0].names == tables[1].names
    assert tables[0].deviance == tables[1].deviance
    assert general.score(X, y, weight, offset) <= 1
    if hasattr(special, "d2_score"):  # R^2 has no offset in its null model
        assert general.score(X, y, weight, offset) == pytest.approx(special.score(X, y, weight, offset), rel=1e-10)


def test_classes_are_those_of_logistic_regression(X, eta, rng):
    y = choices(eta, rng)
    general = GeneralizedLinearRegressor(BinaryCrossEntropy(), 1 / 300).fit(X, y)
    special = LogisticRegression().fit(X, y)
    np.testing.assert_allclose(general.coef_, special.coef_[0], rtol=1e-6)
    np.testing.assert_allclose(general.predict(X), special.predict_proba(X)[:, 1], rtol=1e-6)
    three = rng.integers(0, 3, len(X))
    softmax = GeneralizedLinearRegressor(SoftmaxCrossEntropy(3), 1 / 300).fit(X, three)
    probabilities = LogisticRegression().fit(X, three).predict_proba(X)
    np.testing.assert_allclose(softmax.predict(X), probabilities, rtol=1e-4)


def test_the_constants_are_the_parameters_of_the_loss(X, eta, rng):
    y = heavy(eta, rng)
    huber = GeneralizedLinearRegressor(HuberLoss(), 0.0).fit(X, y)
    assert np.exp(huber.constants_[0]) == pytest.approx(HuberRegressor(alpha=0).fit(X, y).scale_)
    assert GeneralizedLinearRegressor().fit(X, y).constants_.shape == (0,)


# -- losses that are written here ------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ALL_SOLVERS)
def test_probit_is_that_of_statsmodels(solver, X, eta, rng):
    y = choices(eta, rng)
    offset = 0.3 * rng.normal(size=len(X))
    weight = rng.integers(1, 4, len(X)).astype(float)
    model = GeneralizedLinearRegressor(ProbitLoss(), 0.0, solver=solver, tol=1e-6, random_state=0)
    model.fit(X, y, weight, offset)
    link = sm.families.Binomial(sm.families.links.Probit())
    other = sm.GLM(y, sm.add_constant(X), link, freq_weights=weight, offset=offset).fit(tol=1e-12)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coef_, other.params[1:], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.predict(X, offset), other.predict(sm.add_constant(X), offset=offset), rtol=1e-3)
    sparse_fit = clone(model).fit(sparse.csr_matrix(X), y, weight, offset)
    np.testing.assert_allclose(sparse_fit.coef_, model.coef_, rtol=1e-3, atol=1e-4)


def test_inspection_of_probit(X, eta, rng):
    y = choices(eta, rng)
    model = GeneralizedLinearRegressor(ProbitLoss(), 0.0, tol=1e-8).fit(X, y)
    other = sm.Probit(y, sm.add_constant(X)).fit(disp=0)
    table = coef_table(model, X, y, cov="observed")
    np.testing.assert_allclose(table.std_error[:3], other.bse[1:], rtol=1e-5)
    assert table.log_likelihood == pytest.approx(other.llf)
    assert model.score(X, y) == pytest.approx(other.prsquared)
    profile = profile_intervals(model, X, y)
    assert (np.abs(profile.lower - table.lower) < table.std_error).all()
    assert influence(model, X, y).cooks_distance.shape == (300,)
    assert leave_one_out(model, X, y).score <= model.score(X, y)


def test_the_posterior_of_probit(X, eta, rng):
    y = choices(eta, rng)
    model = GeneralizedLinearRegressor(ProbitLoss(), 1e-3).fit(X, y)
    posterior = laplace(model, X, y)
    mean, deviation = posterior.predict(X[:5], of="mean")
    np.testing.assert_allclose(mean, model.predict(X[:5]), atol=0.05)
    assert (deviation > 0).all()


def student_optimum(X, y, df=4.0):
    """Coefficients, intercept and log scale of most likelihood, by scipy."""

    def negative(theta):
        return -stats.t.logpdf(y, df, X @ theta[:-2] + theta[-2], np.exp(theta[-1])).sum()

    start = np.append(np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y, rcond=None)[0], 0.0)
    return optimize.minimize(negative, start, method="BFGS", options={"gtol": 1e-6}).x


@pytest.mark.parametrize("solver", ALL_SOLVERS)
def test_student_with_its_scale(solver, X, eta, rng):
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), heavy(eta, rng)
    model = GeneralizedLinearRegressor(StudentLoss(), 0.0, solver=solver, tol=1e-6, random_state=0).fit(X, y)
    assert model.convergence_.status == "optimal"
    found = np.concatenate([model.coef_, [model.intercept_], model.constants_])
    np.testing.assert_allclose(found, student_optimum(X, y), atol=1e-3)
    assert 0 < model.score(X, y) < 1


def test_inspection_of_student(X, eta, rng):
    y = heavy(eta, rng)
    model = GeneralizedLinearRegressor(StudentLoss(), 0.0, tol=1e-8).fit(X, y)
    table = coef_table(model, X, y, cov="observed")
    assert table.names[-1] == "log(scale)"
    assert table.estimate[-1] == pytest.approx(model.constants_[0])
    density = stats.t.logpdf(y, 4.0, model.predict(X), np.exp(model.constants_[0]))
    assert table.log_likelihood == pytest.approx(density.sum())
    assert (profile_intervals(model, X, y).lower < table.estimate).all()
    assert_refused("no closed form for this loss's own parameters", coef_table, model, X, y, cov="expected")
    assert_refused(r"log\(scale\)", laplace, clone(model).set_params(alpha=0.1).fit(X, y), X, y)


def test_a_warm_start_goes_on_from_the_constants_too(X, eta, rng):
    y = heavy(eta, rng)
    model = GeneralizedLinearRegressor(StudentLoss(), 0.0, warm_start=True, tol=1e-6).fit(X, y)
    first = model.n_iter_
    assert model.fit(X, y).n_iter_ < first


# -- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_of_probit_is_a_fit(X, eta, rng):
    y = choices(eta, rng)
    stream = GeneralizedLinearRegressor(ProbitLoss(), 1e-3, tol=1e-6)
    for part in np.array_split(np.arange(300), 4):
        stream.partial_fit(X[part], y[part])
    np.testing.assert_allclose(stream.coef_, clone(stream).fit(X, y).coef_, rtol=1e-3, atol=1e-5)
    assert stream.t_ == 300


def test_a_loss_that_cannot_be_remembered_has_no_partial_fit(X, eta, rng):
    model = GeneralizedLinearRegressor(StudentLoss())
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as caught:
        _ = model.partial_fit
    assert "StudentLoss(df=4.0) estimates log(scale)" in f"{caught.value} {caught.value.__cause__}"
    assert hasattr(GeneralizedLinearRegressor(HuberLoss()), "partial_fit")


@pytest.mark.parametrize("name", ["probit", "student", "labels"])
def test_rows_in_parts_are_the_same_rows(name, rng):
    X = rng.normal(size=(2400, 2))
    eta = 0.5 * X[:, 0] + 1
    labels = np.stack([choices(eta, rng), choices(-eta, rng)], axis=1)
    loss, y = {
        "probit": (ProbitLoss(), choices(eta, rng)),
        "student": (StudentLoss(), heavy(eta, rng)),
        "labels": (BinaryCrossEntropy(2), labels),
    }[name]
    parts = Blocks([(X[part], y[part]) for part in np.array_split(np.arange(2400), 4)])
    model = GeneralizedLinearRegressor(loss, 1e-3, tol=1e-6)
    whole, parted = clone(model).fit(X, y), clone(model).fit(parts)
    np.testing.assert_allclose(parted.coef_, whole.coef_, rtol=1e-5, atol=1e-7)
    # of parts the deviance of the best constant is that of two targets for each of many groups
    assert parted.score(parts) == pytest.approx(whole.score(X, y), rel=2e-3 if name == "student" else 1e-7)


def test_labels_of_a_regressor_are_no_classes(X, eta, rng):
    y = choices(eta, rng)
    model = GeneralizedLinearRegressor(BinaryCrossEntropy(), 1e-2).fit(X, y)
    left_out = leave_one_out(model, X, y)
    assert left_out.predictions.shape == (300,)
    assert left_out.score < model.score(X, y)


# -- bad input -------------------------------------------------------------------------------------------------------


class Steep(ProbitLoss):
    def value_and_gradient(self, y, raw):
        value, gradient = super().value_and_gradient(y, raw)
        return value, 1.1 * gradient


class Bent(ProbitLoss):
    def hessian(self, y, raw, kind):
        return super().hessian(y, raw, kind) + 0.1 * (kind == "observed")


class Flat(ProbitLoss):
    def hessian(self, y, raw, kind):
        return super().hessian(y, raw, kind)[:, :, 0]


class Canonical(ProbitLoss):
    canonical = True


class Unfinished(Loss):
    def value_and_gradient(self, y, raw):
        return raw[:, 0] ** 2, 2 * raw


class Unbounded(StudentLoss):
    saturated = Loss.saturated


@pytest.mark.parametrize(
    ("loss", "error", "text"),
    [
        ("probit", TypeError, "loss must be a Loss object"),
        (ProbitLoss, TypeError, r"pass an object: loss=ProbitLoss\(\)"),
        (TweedieLoss(2, "log"), ValueError, r"y must be positive for TweedieLoss\(power=2, link='log'\), got 0.0"),
        (SquaredLoss(3), ValueError, r"SquaredLoss\(n_outputs=3\) cannot be evaluated for y of shape \(7,\)"),
        (Steep(), ValueError, r"the gradient of Steep\(\) is not the derivative of its value: for y = .* differences"),
        (Bent(), ValueError, r"the observed Hessian of Bent\(\) is not the derivative of its gradient"),
        (Flat(), ValueError, r"hessian.*of Flat\(\) must have the shape"),
        (Canonical(), ValueError, "set canonical = False"),
        (Unfinished(), NotImplementedError, r"Unfinished is not complete: define its method hessian\(y, raw, kind\)"),
        (Unbounded(), NotImplementedError, "Unbounded.*define saturated"),
    ],
    ids=str,
)
def test_a_loss_that_cannot_be_fitted(loss, error, text, X, eta, rng):
    model = GeneralizedLinearRegressor(loss)
    assert_refused(text, model.fit, X, choices(eta, rng), error=error)
    assert not hasattr(model, "coef_")


def test_a_posterior_without_moments_says_what_to_write(X, eta, rng):
    class Plain(Family):
        has_likelihood = True

    class Momentless(ProbitLoss):
        family_class = Plain

    y = choices(eta, rng)
    model = GeneralizedLinearRegressor(Momentless(), 1e-3).fit(X, y)
    with pytest.raises(NotImplementedError, match=r"Plain.*define response_moments"):
        laplace(model, X, y).predict(X[:2], of="mean")


def test_a_best_constant_in_closed_form_is_that_of_newton(X, eta, rng):
    class Closed(ProbitFamily):
        def best_constant(self, y, weight):
            return ndtri([weight @ y / weight.sum()])

    class ClosedLoss(ProbitLoss):
        family_class = Closed

    y = choices(eta, rng)
    scores = [GeneralizedLinearRegressor(loss, 0.1).fit(X, y).score(X, y) for loss in (ClosedLoss(), ProbitLoss())]
    assert scores[0] == pytest.approx(scores[1], rel=1e-10)


# -- a parameter as scikit-learn wants it ----------------------------------------------------------------------------


def test_losses_compare_copy_and_print():
    loss = StudentLoss(3.0)
    _ = loss.family
    assert loss == copy.deepcopy(loss) == pickle.loads(pickle.dumps(loss)) == StudentLoss(3.0)
    assert hash(loss) == hash(StudentLoss(3.0))
    assert loss != StudentLoss(4.0)
    assert loss != ProbitLoss()
    assert repr(loss) == "StudentLoss(df=3.0)"


def test_the_estimator_in_scikit_learns_tools(X, eta, rng):
    y = heavy(eta, rng)
    model = GeneralizedLinearRegressor(StudentLoss(3.0), 0.0)
    assert clone(model).get_params() == model.get_params()
    assert "StudentLoss(df=3.0)" in repr(model)
    assert "StudentLoss" in estimator_html_repr(model)
    fitted = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(fitted.predict(X), model.predict(X))
    grid = GridSearchCV(model, {"loss": [StudentLoss(3.0), StudentLoss(30.0)], "solver": ["newton", "lbfgs"]}, cv=3)
    assert grid.fit(X, y).best_params_["loss"] in (StudentLoss(3.0), StudentLoss(30.0))
    assert model.set_params(loss=None).fit(X, y).loss is None


def of_losses(**losses):
    return {name: GeneralizedLinearRegressor(loss, 1e-2, tol=1e-8) for name, loss in losses.items()}


@checks(of_losses(gamma=TweedieLoss(2, "log"), huber=HuberLoss(), counts=NegativeBinomialLoss()), only=OF_SOLVERS)
@quiet
def test_scikit_learn_checks_with_a_loss(estimator, check):
    check(estimator)


@checks(of_losses(student=StudentLoss()), only=OF_SOLVERS, without=WEIGHTS)
@quiet
def test_scikit_learn_checks_with_a_loss_without_a_least_value(estimator, check):
    """Most rows of the weight checks fit perfectly, so that the likelihood grows for ever as the scale shrinks."""
    check(estimator)
