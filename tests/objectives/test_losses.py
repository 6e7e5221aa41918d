import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from sk_hessian.objectives import (
    LOSSES,
    BinaryCrossEntropy,
    Family,
    GLMObjective,
    HuberLoss,
    Loss,
    NegativeBinomialLoss,
    OrdinalLoss,
    PinballLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
    explained,
)
from sk_hessian.objectives.losses import constant_predictions
from sk_hessian.objectives.losses.links import POWERS
from sk_hessian.solvers import minimize
from tests.estimators import assert_refused
from tests.objectives.cases import IDS, assert_close, differences, loss_id, raw_predictions, targets

every_loss = pytest.mark.parametrize("loss", LOSSES, ids=IDS)
every_tweedie_loss = pytest.mark.parametrize("loss", [x for x in LOSSES if isinstance(x, TweedieLoss)], ids=loss_id)
N = 50


@every_loss
def test_every_derivative(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    gradient, hessian = loss.value_and_gradient(y, raw)[1], loss.hessian(y, raw, "observed")
    for k, unit in enumerate(np.eye(raw.shape[1])):
        above, below = (loss.value_and_gradient(y, raw + step * unit) for step in (1e-5, -1e-5))
        assert_close(gradient[:, k], (above[0] - below[0]) / 2e-5)
        assert_close(hessian[:, :, k], (above[1] - below[1]) / 2e-5)
    assert_close(loss.value(y, raw), loss.value_and_gradient(y, raw)[0], 1e-13)
    change = rng.normal(size=raw.shape)
    for kind in ("observed", "expected"):
        product = np.einsum("nkl,nl->nk", loss.hessian(y, raw, kind), change)
        assert_close(loss.hessian_product(y, raw, change, kind), product, 1e-13)


@every_loss
def test_expected_hessian_is_positive_semidefinite(loss, rng):
    values = np.linalg.eigvalsh(loss.hessian(targets(loss, N, rng), raw_predictions(loss, N, rng), "expected"))
    assert values.min() >= -1e-12 * values.max()


@every_loss
def test_expected_is_observed_where_the_loss_is_canonical(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    expected, observed = (loss.hessian(y, raw, kind) for kind in ("expected", "observed"))
    same = np.allclose(expected, observed, rtol=1e-12, atol=1e-14)
    assert same == loss.canonical


@every_tweedie_loss
def test_expected_hessian_is_the_observed_one_at_the_mean(loss, rng):
    raw = raw_predictions(loss, N, rng)
    mean = loss.inverse_link(raw)[:, 0]
    np.testing.assert_allclose(loss.hessian(mean, raw, "observed"), loss.hessian(mean, raw, "expected"), rtol=1e-12)


#: of the scale in Huber's loss the null model has an estimate, no minimum
WITH_A_BEST_CONSTANT = [loss for loss in LOSSES if not isinstance(loss, HuberLoss)]
every_other_loss = pytest.mark.parametrize("loss", WITH_A_BEST_CONSTANT, ids=loss_id)


def test_null_raw_of_huber_has_a_scale(rng):
    y = targets(HuberLoss(), N, rng)
    assert np.exp(HuberLoss().family.best_constant(y, rng.uniform(0.1, 2, size=N))[1]) > 0.1 * y.std()


@every_other_loss
def test_null_raw_is_the_best_constant(loss, rng):
    y, weight = targets(loss, N, rng), rng.uniform(0.1, 2, size=N)
    raw = loss.family.best_constant(y, weight)
    gradient = weight @ loss.value_and_gradient(y, np.tile(raw, (N, 1)))[1]
    np.testing.assert_allclose(gradient, 0, atol=1e-11 * weight.sum())


@every_other_loss
@pytest.mark.parametrize("size", [0.3, 3.0])
def test_null_beside_is_the_best_constant_beside_an_offset(loss, size, rng):
    y, weight = targets(loss, N, rng), rng.uniform(0.1, 2, size=N)
    offset = size * rng.uniform(size=(N, loss.n_outputs))
    if loss.domain is not None:
        # inside the domain: at its edge the gradient does not vanish
        y = loss.inverse_link(loss.domain.side * (np.abs(y) + 4))
    constant = loss.family.best_constant_beside(offset, y, weight)
    value, gradient = loss.value_and_gradient(y, constant_predictions(constant, N, offset))
    np.testing.assert_allclose(weight @ gradient, 0, atol=1e-7 * weight.sum())
    for _ in range(20):
        near = constant + 1e-3 * rng.normal(size=len(constant))
        assert weight @ loss.value(y, constant_predictions(near, N, offset)) >= weight @ value * (1 - 1e-14)


@every_other_loss
def test_null_beside_an_offset_of_zeros_is_the_null_model(loss, rng):
    y, weight = targets(loss, N, rng), rng.uniform(0.1, 2, size=N)
    constant = loss.family.best_constant_beside(np.zeros((N, loss.n_outputs)), y, weight)
    np.testing.assert_allclose(constant, loss.family.best_constant(y, weight), rtol=1e-6, atol=1e-7)


def test_null_beside_an_offset_may_be_at_the_edge_of_the_domain():
    """Identity link: the count of zero wants a mean of zero, the others push the constant up by less."""
    loss, y, weight = TweedieLoss(1, "identity"), np.array([0.0, 3.0, 3.0]), np.array([10.0, 1.0, 1.0])
    constant = loss.family.best_constant_beside(np.array([[0.0], [5.0], [5.0]]), y, weight)
    assert 0 < constant[0] < 1e-6


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SoftmaxCrossEntropy(3)], ids=["binary", "softmax"])
@pytest.mark.parametrize("size", [1e2, 1e3, 1e4])
def test_null_beside_a_huge_offset(loss, size, rng):
    """Kinks far apart: the loss of a constant is all but piecewise linear."""
    y, weight = targets(loss, N, rng), rng.uniform(0.1, 2, size=N)
    offset = size * rng.normal(size=(N, loss.n_outputs))
    constant = loss.family.best_constant_beside(offset, y, weight)
    gradient = weight @ loss.value_and_gradient(y, constant + offset)[1]
    np.testing.assert_allclose(gradient, 0, atol=1e-6 * weight.sum())


@every_loss
def test_no_prediction_beats_the_saturated_value(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    assert (loss.value(y, raw) >= loss.saturated(y) - 1e-12).all()


@every_tweedie_loss
def test_the_saturated_value_is_reached_at_the_mean(loss, rng):
    y = np.abs(targets(loss, N, rng)) + 0.5
    raw = (np.log(y) if loss.link == "log" else y ** (1 / POWERS[loss.link]))[:, None]
    np.testing.assert_allclose(loss.value(y, raw), loss.saturated(y), rtol=1e-12, atol=1e-12)


def test_saturated_loss_of_a_zero_count_is_the_limit():
    loss = TweedieLoss(1.5, "log")
    assert loss.saturated(np.zeros(1))[0] == 0
    assert loss.value(np.zeros(1), np.array([[-1400.0]]))[0] < 1e-300


@pytest.mark.parametrize("raw", [-800.0, -40.0, 0.0, 40.0, 800.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_binary_cross_entropy_keeps_its_digits_in_the_tails(raw, y):
    loss, y = BinaryCrossEntropy(), np.array([y])
    margin = raw * (2 * y[0] - 1)
    value, gradient = loss.value_and_gradient(y, np.array([[raw]]))
    assert value[0] == pytest.approx(np.logaddexp(0, -margin), rel=1e-14, abs=1e-300)
    assert abs(gradient[0, 0]) == pytest.approx(np.exp(-np.logaddexp(0, margin)), rel=1e-13, abs=1e-320)


def test_softmax_of_two_classes_is_the_binary_loss(rng):
    raw, y = rng.normal(size=(N, 1)) * 5, np.arange(N) % 2
    two = np.hstack([np.zeros((N, 1)), raw])
    np.testing.assert_allclose(
        SoftmaxCrossEntropy(2).value(y, two), BinaryCrossEntropy().value(y.astype(float), raw), rtol=1e-13, atol=1e-15
    )


def test_softmax_does_not_overflow():
    value, gradient = SoftmaxCrossEntropy(3).value_and_gradient(
        np.array([0, 1]), np.array([[1e4, 0, -1e4], [1e4, 0, 0]])
    )
    np.testing.assert_allclose(value, [0, 1e4])
    np.testing.assert_allclose(gradient, [[0, 0, 0], [1, -1, 0]])


@every_loss
def test_shift_invariance_is_as_declared(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    shifted = raw.copy()
    shifted[:, : loss.n_outputs] += 0.7
    assert np.allclose(loss.value(y, raw), loss.value(y, shifted)) == loss.shift_invariant


@pytest.mark.parametrize("power", [1, 1.5, 2, 3])
def test_an_identity_link_is_infinite_outside_its_domain(power):
    value = TweedieLoss(power, "identity").value(np.ones(3), np.array([[-1.0], [0.0], [1.0]]))
    assert np.isinf(value[:2]).all()
    assert np.isfinite(value[2])


def huber(residual, sigma, **options):
    """Value and slope in mu and log sigma of Huber's loss."""
    value, gradient = HuberLoss(**options).value_and_gradient(np.zeros(1), np.array([[residual, np.log(sigma)]]))
    return value[0], gradient[0]


def test_huber_holds_the_scale_at_its_floor():
    at, below = huber(0.05, 0.1, floor=0.1), huber(0.05, 0.01, floor=0.1)
    assert at[0] == pytest.approx(below[0], rel=1e-13)
    assert below[1][1] == 0


@pytest.mark.parametrize("residual", [0.3, -0.9, 4.0])
def test_huber_is_scikit_learns_formula(residual):
    sigma, epsilon = 0.7, 1.35
    z = abs(residual) / sigma
    h = z**2 if z <= epsilon else 2 * epsilon * z - epsilon**2
    assert huber(residual, sigma)[0] == pytest.approx(sigma + sigma * h, rel=1e-13)


def test_huber_is_continuously_differentiable_at_its_bound():
    bound = 1.35 * 0.7
    inside, outside = (huber(b, 0.7) for b in (bound - 1e-9, bound + 1e-9))
    assert inside[0] == pytest.approx(outside[0], abs=1e-8)
    np.testing.assert_allclose(inside[1], outside[1], atol=1e-8)


@pytest.mark.parametrize(
    ("loss", "good", "bad"),
    [
        (SquaredLoss(), [-1e9, 0], [np.nan, np.inf]),
        (BinaryCrossEntropy(), [0, 1], [0.5, 2, -1]),
        (SoftmaxCrossEntropy(3), [0, 1, 2], [3, -1, 0.5]),
        (TweedieLoss(0), [-1, 0, 1], [np.inf]),
        (TweedieLoss(1), [0, 0.5, 3], [-1, np.nan]),
        (TweedieLoss(2), [0.1], [0, -1, np.inf]),
        (TweedieLoss(3), [0.1], [0, -1]),
        (HuberLoss(), [-3, 0], [np.nan]),
    ],
)
def test_the_range_of_the_targets(loss, good, bad):
    assert loss.in_range(np.array(good, dtype=float)).all()
    assert not loss.in_range(np.array(bad, dtype=float)).any()


def test_range_of_several_targets_is_by_row():
    np.testing.assert_array_equal(SquaredLoss(2).in_range(np.array([[0, 1], [np.nan, 1]])), [True, False])


def test_the_predictor_unit_of_huber_is_its_scale(rng):
    """Rows enter and leave the quadratic part over a sigma."""
    raw = raw_predictions(HuberLoss(), N, rng)
    np.testing.assert_allclose(HuberLoss().predictor_unit(raw)[:, 0], np.exp(raw[:, 1]))


@pytest.mark.parametrize("loss", [loss for loss in WITH_A_BEST_CONSTANT if not loss.bends_few], ids=loss_id)
def test_curvature_changes_little_over_a_tenth_of_a_predictor_unit(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    unit = np.asarray(loss.predictor_unit(raw))
    step = np.where(np.isinf(unit), 1.0, 0.1 * unit)
    before, after = (np.einsum("nkk->n", loss.hessian(y, r, "expected")) for r in (raw, raw + step))
    change = np.abs(np.log(after / before))
    assert change.max() <= (1e-12 if loss.quadratic else 0.4)


def test_recession_of_two_classes_is_a_margin_that_never_shrinks():
    margin, fixed = BinaryCrossEntropy().recession(np.array([0.0, 1.0]), np.array([[-1.0], [2.0]]))
    assert (margin > 0).all()
    assert fixed.shape[1] == 0


def test_recession_of_softmax_compares_the_own_class_with_each_other():
    margin, _ = SoftmaxCrossEntropy(3).recession(np.array([1]), np.array([[0.0, 2.0, 5.0]]))
    np.testing.assert_array_equal(np.sort(margin), [[-3, 2]])


def test_recession_of_counts_lets_only_zeros_sink():
    margin, fixed = TweedieLoss(1).recession(np.array([0.0, 3.0]), np.array([[-1.0], [0.0]]))
    np.testing.assert_array_equal(margin.ravel(), [1, 0])
    np.testing.assert_array_equal(fixed.ravel(), [0, 0])


@every_loss
def test_the_loss_falls_along_its_recession(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    change = rng.normal(size=(N, loss.n_outputs + loss.n_constants))
    if isinstance(loss, OrdinalLoss):
        change[:, 1:] = np.cumsum(np.abs(change[:, 1:]), axis=1)  # thresholds stay in order
    margin, fixed = loss.recession(y, change)
    rows = (margin > 0).all(axis=1) & (fixed == 0).all(axis=1) & (margin.shape[1] > 0)
    far = [loss.value(y, raw + t * change) for t in (0, 1, 10)]
    assert (far[1][rows] < far[0][rows]).all()
    assert (far[2][rows] <= far[1][rows]).all()


def test_finite_differences_of_these_tests_are_right():
    assert_close(
        differences(lambda x: np.array([x[0] ** 3, x[0] * x[1]]), np.array([2.0, 3.0])), [[12, 0], [3, 2]], 1e-9
    )


#: power -> the distribution with a mean and a dispersion
DISTRIBUTIONS = {
    0: lambda mean, phi: stats.norm(mean, np.sqrt(phi)),
    1: lambda mean, phi: stats.poisson(mean),
    2: lambda mean, phi: stats.gamma(1 / phi, scale=mean * phi),
    3: lambda mean, phi: stats.invgauss(mean * phi, scale=1 / phi),
}


@pytest.mark.parametrize("power", DISTRIBUTIONS)
@pytest.mark.parametrize("link", ["log", "identity"])
def test_tweedie_likelihoods_are_scipys(power, link, rng):
    mean, phi = rng.gamma(5, 1, size=N), 1.0 if power == 1 else 0.7
    distribution = DISTRIBUTIONS[power](mean, phi)
    y = distribution.rvs(size=N, random_state=rng).astype(float)
    raw = (np.log(mean) if link == "log" else mean)[:, None]
    expected = distribution.logpmf(y) if power == 1 else distribution.logpdf(y)
    np.testing.assert_allclose(
        TweedieLoss(power, link).family.log_likelihood(y, raw, phi), expected, rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("power", [1.1, 1.5, 1.9])
def test_compound_poisson_density_integrates_to_one(power):
    loss, raw, phi = TweedieLoss(power), np.full((20_000, 1), np.log(2.0)), 0.8
    y = np.linspace(0, 60, 20_001)[1:] - 60 / 40_000
    density = np.exp(loss.family.log_likelihood(y, raw, phi)).sum() * 60 / 20_000
    nothing = np.exp(loss.family.log_likelihood(np.zeros(1), raw[:1], phi))[0]
    assert nothing == pytest.approx(np.exp(-(2.0 ** (2 - power)) / (phi * (2 - power))))
    assert density + nothing == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.family.has_likelihood], ids=loss_id)
def test_likelihoods_fall_as_the_loss_grows(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    other = raw_predictions(loss, N, rng)
    gained = loss.family.log_likelihood(y, raw, 0.5) - loss.family.log_likelihood(y, other, 0.5)
    assert_close(gained, 2 * (loss.value(y, other) - loss.value(y, raw)))


def test_pearson_residuals_of_classes_and_of_a_robust_loss(rng):
    loss, raw = SoftmaxCrossEntropy(3), 3 * rng.normal(size=(20, 3))
    y, probability = targets(loss, 20, rng), loss.inverse_link(raw)
    expected = ((y[:, None] == np.arange(3)) - probability) ** 2 / probability
    np.testing.assert_allclose(loss.family.pearson(y, raw), expected)
    # the own class is all but certain: its complement keeps its digits
    certain = loss.family.pearson(np.array([0]), np.array([[50.0, 0.0, 0.0]]))
    np.testing.assert_allclose(certain[0], [4 * np.exp(-100), np.exp(-50), np.exp(-50)], rtol=1e-12)
    raw = np.array([[1.0, np.log(2.0)], [4.0, np.log(2.0)]])
    np.testing.assert_allclose(HuberLoss().family.pearson(np.array([3.0, -4.0]), raw), [[1.0], [16.0]])


@every_loss
def test_contrasts_span_what_the_loss_sees(loss):
    basis = loss.contrasts()
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    np.testing.assert_allclose(basis @ basis.T, loss.without_shift(np.eye(loss.n_outputs)), atol=1e-12)


@pytest.mark.parametrize("power", [0, 1, 1.5, 2, 3])
@pytest.mark.parametrize("link", ["log", "identity"])
def test_moments_of_the_target_for_normal_raw_predictions(power, link):
    loss = TweedieLoss(power, link)
    raw, variance = np.array([[1.0], [2.0]]), np.array([[0.01], [0.02]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)  # all raw predictions are positive
    weights = weights / weights.sum()
    mu = loss.inverse_link(raw + np.sqrt(variance) * nodes)
    mean = mu @ weights
    expected = mean, (mu - mean[:, None]) ** 2 @ weights, 0.3 * mu**power @ weights
    for ours, theirs in zip(loss.family.response_moments(raw, variance, 0.3), expected, strict=True):
        # the variance function of power 1.5 under the identity link is expanded to second order
        rtol = 1e-5 if power == 1.5 and link == "identity" else 1e-9
        np.testing.assert_allclose(ours[:, 0], theirs, rtol=rtol)


@pytest.mark.parametrize("theta", [0.5, 3.0, np.inf])
def test_moments_of_counts_for_normal_raw_predictions(theta):
    raw, variance = np.array([[1.0], [2.0]]), np.array([[0.1], [0.4]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    mu = np.exp(raw + np.sqrt(variance) * nodes)
    weights = weights / weights.sum()
    mean = mu @ weights
    expected = mean, (mu - mean[:, None]) ** 2 @ weights, (mu + mu**2 / theta) @ weights
    for ours, theirs in zip(
        NegativeBinomialLoss(theta).family.response_moments(raw, variance, 1.0), expected, strict=True
    ):
        np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-9)


@pytest.mark.parametrize("power", [1.0001, 1.001, 1.01, 1.5, 1.99, 1.9999])
def test_compound_poisson_densities_are_sums_over_the_numbers_of_gammas(power):
    """From a term that is all there is to thousands that count, and where Wright's function has no digits."""
    y, phi = (part.ravel() for part in np.meshgrid([1e-3, 0.3, 2.7, 40.0], [1e-3, 0.05, 1.3, 20.0]))
    mean = 1.2 * y
    direct = [_sum_of_gammas(*case, power) for case in zip(y, mean, phi, strict=True)]
    found = TweedieLoss(power).family.log_likelihood(y, np.log(mean)[:, None], phi)
    np.testing.assert_allclose(found, direct, rtol=1e-8, atol=1e-8)


def _sum_of_gammas(y, mean, phi, power):
    """The density by its definition, over the numbers of gammas about the likeliest."""
    rate = mean ** (2 - power) / ((2 - power) * phi)
    scale, shape = phi * (power - 1) * mean ** (power - 1), (2 - power) / (power - 1)
    likeliest = y ** (2 - power) / ((2 - power) * phi)
    reach = 30 * np.sqrt(likeliest) + 200
    j = np.arange(max(1, int(likeliest - reach)), int(likeliest + reach))
    return logsumexp(stats.poisson.logpmf(j, rate) + stats.gamma.logpdf(y, shape * j, scale=scale))


def test_a_compound_poisson_density_of_hardly_any_dispersion_is_nearly_normal():
    """There the sum has no digits left: neighbours of the normal density's variance."""
    y, loss = np.array([2.0]), TweedieLoss(1.5)
    found = loss.family.log_likelihood(y, np.log(y)[:, None], 1e-9)
    # the deviance is a difference of numbers about six, rounded, over the dispersion
    assert found == pytest.approx(-0.5 * np.log(2 * np.pi * 1e-9 * 2**1.5), abs=5e-6)
    nearly = [loss.family.log_likelihood(y, np.log(y)[:, None], phi * 2**0.5)[0] for phi in (0.99e-8, 1.01e-8)]
    assert nearly[0] - nearly[1] == pytest.approx(0.5 * np.log(1.01 / 0.99), abs=1e-6)


# -- a loss that defines no more than it must -------------------------------------------------------------------------


def bare(loss):
    """The same loss, with the defaults for all but three functions and what they say of themselves."""

    class Bare(Loss):
        n_outputs, shift_invariant, canonical = loss.n_outputs, loss.shift_invariant, loss.canonical
        convex, curvature = loss.convex, loss.curvature

        def value_and_gradient(self, y, raw):
            return loss.value_and_gradient(y, raw)

        def hessian(self, y, raw, kind):
            return loss.hessian(y, raw, kind)

        def inverse_link(self, raw):
            return loss.inverse_link(raw)

    return Bare()


#: the default null model leaves the constants of a loss where they are
WITHOUT_CONSTANTS = [loss for loss in LOSSES if not loss.n_constants]
without_constants = pytest.mark.parametrize("loss", WITHOUT_CONSTANTS, ids=map(loss_id, WITHOUT_CONSTANTS))


@without_constants
def test_the_default_null_model_is_the_best_constant(loss, rng):
    y, weight = targets(loss, N, rng), rng.uniform(0.1, 2, size=N)
    found, exact = (loss.without_shift(one.family.best_constant(y, weight)[None, :]) for one in (bare(loss), loss))
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)


@every_tweedie_loss
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e3, 1e6])
def test_the_default_null_model_of_targets_of_any_size(loss, size, rng):
    y, weight = size * targets(loss, N, rng), rng.uniform(0.1, 2, size=N)
    found, exact = (loss.inverse_link(one.family.best_constant(y, weight)) for one in (bare(loss), loss))
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@without_constants
def test_the_default_saturated_value_is_the_least_of_each_row(loss, rng):
    y = targets(loss, N, rng)
    np.testing.assert_allclose(bare(loss).saturated(y), loss.saturated(y), rtol=1e-9, atol=1e-11)
    assert bare(loss).saturated(y[:0]).shape == (0,)


@every_tweedie_loss
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e3, 1e6])
def test_the_default_saturated_value_of_targets_of_any_size(loss, size, rng):
    y, plain = size * targets(loss, N, rng), bare(loss)
    rounding = 2e-13 * plain.family.unit(y, np.ones(N))
    np.testing.assert_allclose(plain.saturated(y), loss.saturated(y), rtol=1e-9, atol=rounding)


def test_a_loss_with_constants_has_no_default_saturated_value():
    """Along a scale a negative log-likelihood may fall for ever."""
    loss = bare(HuberLoss())
    loss.n_constants = 1
    assert_refused("define saturated", loss.saturated, np.zeros(3), error=NotImplementedError)


@without_constants
def test_default_products_and_roots_are_those_of_the_hessian(loss, rng):
    y, raw, weight = targets(loss, N, rng), raw_predictions(loss, N, rng), rng.uniform(0.1, 2, size=N)
    plain, change = bare(loss), rng.normal(size=(N, loss.n_outputs))
    assert_close(plain.hessian_product(y, raw, change, "observed"), loss.hessian_product(y, raw, change, "observed"))
    roots = [one.hessian_root(y, raw) for one in (plain, loss)]
    assert_close(*(root @ root.transpose(0, 2, 1) for root in roots), 1e-12)
    for ours, theirs in zip(plain.total_hessian(y, raw, weight), loss.total_hessian(y, raw, weight), strict=True):
        assert_close(ours, theirs, 1e-12)


@pytest.mark.parametrize("loss", [loss for loss in WITHOUT_CONSTANTS if not loss.bends_few], ids=loss_id)
def test_default_pearson_residuals_are_those_of_the_family(loss, rng):
    y, raw = targets(loss, N, rng), raw_predictions(loss, N, rng)
    found, exact = (one.family.pearson(y, raw) for one in (bare(loss), loss))
    if isinstance(loss, SoftmaxCrossEntropy):
        # the indicators of classes depend on each other: over p here, over p (1 - p) by default
        exact = exact / (1 - loss.inverse_link(raw))
    np.testing.assert_allclose(found, exact, rtol=1e-9)


def test_a_loss_of_three_functions_has_neither_likelihood_nor_moments():
    family = bare(SquaredLoss()).family
    assert (family.has_likelihood, family.has_dispersion) == (False, False)
    with pytest.raises(NotImplementedError, match="define response_moments"):
        family.response_moments(np.zeros((1, 1)), np.ones((1, 1)), 1.0)


@pytest.mark.parametrize(
    "full", [SquaredLoss(), BinaryCrossEntropy(), SoftmaxCrossEntropy(3), TweedieLoss(1)], ids=loss_id
)
@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_a_loss_of_three_functions_fits_and_scores(full, solver, rng):
    X, plain = rng.normal(size=(200, 3)), bare(full)
    y = X[:, 0] + rng.normal(size=200)
    y = y if full.quadratic else np.digitize(y, [-0.5, 0.5][: max(full.n_outputs - 1, 1)])
    fits, objectives = [], [GLMObjective(X, y, loss, penalty=1e-3) for loss in (plain, full)]
    for objective in objectives:
        result = minimize(objective, objective.start(), solver)
        assert result.status == "optimal"
        fits.append(result.fun)
    assert fits[0] == pytest.approx(fits[1], rel=1e-6)
    raw, weight = objectives[1].raw_predictions(result.x), np.ones(200)
    assert explained(plain, y, raw, weight) == pytest.approx(explained(full, y, raw, weight), rel=1e-9)


@every_loss
def test_the_mean_has_two_derivatives(loss, rng):
    """As differences of the inverse link, which are what a loss of one's own has."""
    raw, change = raw_predictions(loss, N, rng), rng.normal(size=(N, loss.n_outputs))
    bare = Family(loss)
    slope, bend = loss.family.mean_slope(raw), loss.family.mean_bend(raw, change)
    np.testing.assert_allclose(slope, bare.mean_slope(raw), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(bend, bare.mean_bend(raw, change), rtol=1e-6, atol=1e-6)
    assert slope.shape == bend.shape == (N, loss.n_outputs, loss.n_outputs)


#: loss -> the distribution of scipy of some means and a dispersion
TAILS_OF = {
    SquaredLoss(): lambda mean, phi: stats.norm(mean, np.sqrt(phi)),
    TweedieLoss(0, "log"): lambda mean, phi: stats.norm(mean, np.sqrt(phi)),
    BinaryCrossEntropy(): lambda mean, phi: stats.bernoulli(mean),
    TweedieLoss(1, "log"): lambda mean, phi: stats.poisson(mean),
    TweedieLoss(2, "log"): lambda mean, phi: stats.gamma(1 / phi, scale=phi * mean),
    TweedieLoss(3, "log"): lambda mean, phi: stats.invgauss(mean * phi, scale=1 / phi),
    NegativeBinomialLoss(2.0): lambda mean, phi: stats.nbinom(2.0, 2.0 / (2.0 + mean)),
}


@pytest.mark.parametrize("loss", TAILS_OF, ids=loss_id)
def test_tails_are_those_of_the_distribution(loss, rng):
    """Each tail to its own digits, far from the mean too."""
    raw, phi = raw_predictions(loss, N, rng), 0.3
    y = targets(loss, N, rng)
    y[:3] = [0, 1, 1] if isinstance(loss, BinaryCrossEntropy) else [0.2 * y.min(), 4 * y.max(), 8 * y.max()]
    y = np.round(y) if loss.family.is_discrete else y
    below, at, above = loss.family.tails(y, raw, np.array([phi]))
    known, y = TAILS_OF[loss](loss.inverse_link(raw), phi), y[:, None]
    np.testing.assert_allclose(above, known.sf(y), rtol=1e-10)
    np.testing.assert_allclose(below + at, known.cdf(y), rtol=1e-10)
    np.testing.assert_allclose(at, known.pmf(y) if loss.family.is_discrete else 0, rtol=1e-10)


@pytest.mark.parametrize("power", [1.05, 1.5, 1.95])
@pytest.mark.parametrize("phi", [1e-3, 0.3, 3.0])
def test_tails_of_a_compound_poisson_distribution_are_sums_over_jumps(power, phi, rng):
    loss = TweedieLoss(power, "log")
    raw = rng.normal(size=(20, 1))
    mean = np.exp(raw)
    y = np.where(np.arange(20) % 4 > 0, mean[:, 0] * rng.uniform(0.9, 1.1, 20), 0.0)
    rate = mean ** (2 - power) / ((2 - power) * phi)
    jumps = np.arange(1, int(rate.max() + 15 * np.sqrt(rate.max()) + 30))
    chance = stats.poisson(rate).pmf(jumps)
    sums = stats.gamma(jumps * (2 - power) / (power - 1), scale=phi * (power - 1) * mean ** (power - 1))
    below, at, above = loss.family.tails(y, raw, np.array([phi]))
    none, is_zero = np.exp(-rate), y[:, None] == 0
    np.testing.assert_allclose(at, np.where(is_zero, none, 0.0), rtol=1e-12)
    expected = (chance * sums.sf(y[:, None])).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(above, np.where(is_zero, -np.expm1(-rate), expected), rtol=1e-9, atol=1e-12)
    expected = none + (chance * sums.cdf(y[:, None])).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(below, np.where(is_zero, 0.0, expected), rtol=1e-9, atol=1e-12)


def test_tails_without_a_closed_form_are_refused():
    with pytest.raises(ValueError, match=r"power 2\.5 has no closed form"):
        TweedieLoss(2.5, "log").family.tails(np.ones(1), np.zeros((1, 1)), np.ones(1))
    with pytest.raises(NotImplementedError, match="HuberFamily has no distribution function"):
        HuberLoss().family.tails(np.ones(1), np.zeros((1, 2)), np.ones(1))


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
def test_a_smoothed_pinball_loss_is_a_mean_of_pinball_losses(quantile, rng):
    """Over residuals up to a width away; its slopes stay between those of the loss itself."""
    y, raw, width = rng.normal(size=20), rng.normal(size=(20, 1)), 0.7
    nodes, weights = np.polynomial.legendre.leggauss(2000)
    around = [PinballLoss(quantile).value(y + width * node, raw) for node in nodes]
    smooth = PinballLoss(quantile, width)
    np.testing.assert_allclose(smooth.value(y, raw), weights @ around / 2, rtol=1e-5)
    above = smooth.value(y, raw) - PinballLoss(quantile).value(y, raw)
    assert (above >= 0).all()
    assert above.max() <= width / 4
    slopes = -smooth.value_and_gradient(y, raw)[1]
    assert quantile - 1 <= slopes.min()
    assert slopes.max() <= quantile


def test_the_best_constant_of_the_pinball_loss_is_a_weighted_quantile(rng):
    y, count = rng.normal(size=30), rng.integers(1, 4, size=30)
    for quantile in (0.2, 0.5, 0.95):
        family = PinballLoss(quantile).family
        expected = np.quantile(np.repeat(y, count), quantile, method="inverted_cdf")
        assert family.best_constant(y, count.astype(float)) == expected
        near = PinballLoss(quantile, 1e-9).family.best_constant(y, count.astype(float))
        assert near == pytest.approx(expected, abs=1e-8)
