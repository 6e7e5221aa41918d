"""The negative binomial loss against scipy's distribution, exact sums and its Poisson limit."""

import numpy as np
import pytest
from scipy import stats

from sk_hessian.objectives import NegativeBinomialLoss, TweedieLoss
from sk_hessian.objectives.losses.negative_binomial import _log_rising
from tests.objectives.cases import assert_close

THETAS = [1e-3, 0.3, 2.0, 9.9, 10.1, 1e4, 1e8]


def rows(theta, rng, n=200):
    """Counts with small and large means, and raw predictions with theta estimated."""
    mean = np.exp(rng.uniform(-3, 6, size=n))
    y = rng.poisson(mean * rng.gamma(theta, 1 / theta, size=n)).astype(float)
    return y, np.column_stack([np.log(mean), np.full(n, theta**-0.5)])


@pytest.mark.parametrize("theta", THETAS)
def test_likelihood_is_scipys(theta, rng):
    y, raw = rows(theta, rng)
    mean = np.exp(raw[:, 0])
    expected = stats.nbinom.logpmf(y, theta, theta / (theta + mean))
    # scipy's own differences of log-gamma lose digits where theta is large
    rtol = 1e-11 + 1e-14 * theta
    np.testing.assert_allclose(NegativeBinomialLoss().family.log_likelihood(y, raw), expected, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(
        NegativeBinomialLoss(theta).family.log_likelihood(y, raw[:, :1]), expected, rtol=rtol, atol=rtol
    )


@pytest.mark.parametrize("y", [0, 1, 2, 9, 300, 20_000])
def test_ratio_of_gamma_functions_is_the_sum_of_logarithms(y):
    """In extended precision: sum_j log(1 + j a), and its two derivatives in a, of which no digits are lost."""
    j = np.arange(y, dtype=np.longdouble)
    for a in (0.0, 1e-300, 1e-12, 1e-5, 0.01, 0.0999, 0.1001, 0.7, 20.0, 1e4):
        long = np.longdouble(a)
        exact = [np.log1p(j * long).sum(), (j / (1 + j * long)).sum(), -((j / (1 + j * long)) ** 2).sum()]
        # rounding of the terms that the functions are sums of, and of the gamma functions' just above the series' range
        unit = y * a, y, (10 if a > 0.1 else 1) * y**2
        found = _log_rising(np.array([float(y)]), np.array([a]), 2)
        for value, reference, size in zip(found, exact, unit, strict=True):
            assert abs(value[0] - float(reference)) <= 1e-13 * abs(float(reference)) + 2e-13 * size, a


def test_without_overdispersion_it_is_the_poisson_loss(rng):
    y, raw = rows(5.0, rng)
    poisson = TweedieLoss(1)
    value, gradient = poisson.value_and_gradient(y, raw[:, :1])
    for loss, r in ((NegativeBinomialLoss(np.inf), raw[:, :1]), (NegativeBinomialLoss(), raw * [1, 0])):
        ours = loss.value_and_gradient(y, r)
        assert_close(ours[0], value, 1e-14)
        assert_close(ours[1][:, :1], gradient, 1e-14)
        np.testing.assert_allclose(loss.hessian(y, r, "observed")[:, 0, 0], np.exp(r[:, 0]), rtol=1e-14)
        np.testing.assert_allclose(loss.family.pearson(y, r), poisson.family.pearson(y, raw[:, :1]), rtol=1e-13)
    np.testing.assert_allclose(NegativeBinomialLoss(np.inf).saturated(y), poisson.saturated(y), rtol=1e-13)


def test_curvature_at_the_poisson_limit_is_that_of_the_excess_variance(rng):
    """For small c the loss is Poisson's less c^2 ((y - mu)^2 - y) / 2."""
    y, raw = rows(5.0, rng)
    mean, loss = np.exp(raw[:, 0]), NegativeBinomialLoss()
    hessian = loss.hessian(y, raw * [1, 0], "observed")
    np.testing.assert_allclose(hessian[:, 1, 1], y - (y - mean) ** 2, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(hessian[:, 0, 1], 0)


def test_the_sign_of_the_spread_means_nothing(rng):
    y, raw = rows(2.0, rng)
    loss = NegativeBinomialLoss()
    np.testing.assert_array_equal(loss.value(y, raw), loss.value(y, raw * [1, -1]))


def test_with_theta_given_the_loss_is_convex(rng):
    y, raw = rows(0.5, rng)
    assert NegativeBinomialLoss(0.5).convex
    assert (NegativeBinomialLoss(0.5).hessian(y, raw[:, :1], "observed") > 0).all()


def test_with_theta_estimated_the_loss_is_not_jointly_convex():
    loss, y, raw = NegativeBinomialLoss(), np.array([9.0]), np.array([[0.0, 0.1]])
    assert not loss.convex
    assert np.linalg.eigvalsh(loss.hessian(y, raw, "observed"))[0, 0] < 0


@pytest.mark.parametrize("theta", [0.7, 4.0, 1e3])
def test_expected_curvature_is_the_mean_of_the_observed(theta, rng):
    """Exactly in log mu, and without coupling; along theta^(-1/2) a lower bound, the truth as 1/theta vanishes."""
    n, mean, loss = 400_000, 3.0, NegativeBinomialLoss()
    y = rng.poisson(mean * rng.gamma(theta, 1 / theta, size=n)).astype(float)
    raw = np.tile([np.log(mean), theta**-0.5], (n, 1))
    observed = loss.hessian(y, raw, "observed")
    expected = loss.hessian(y[:1], raw[:1], "expected")[0]
    error = 4 * observed.std(axis=0) / np.sqrt(n)
    difference = observed.mean(axis=0) - expected
    assert (np.abs(difference[0]) <= error[0]).all()
    assert difference[1, 1] >= -error[1, 1]
    if theta == 1e3:
        assert abs(difference[1, 1]) <= error[1, 1] + 0.02 * expected[1, 1]


def test_large_and_small_means_are_finite():
    loss, y = NegativeBinomialLoss(), np.array([0.0, 5.0, 0.0, 5.0])
    raw = np.array([[-800.0, 0.5], [-800.0, 0.5], [600.0, 0.5], [600.0, 0.5]])
    value, gradient = loss.value_and_gradient(y, raw)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    assert np.isfinite(loss.hessian(y, raw, "observed")).all()


@pytest.mark.parametrize("scale", [0.01, 1.0, 1e5])
def test_best_constants_of_counts_of_any_size(scale, rng):
    y = rng.poisson(5 * scale * rng.gamma(2.0, 0.5, size=500)).astype(float)
    loss, weight = NegativeBinomialLoss(), rng.uniform(0.5, 2, size=500)
    raw = loss.family.best_constant(y, weight)
    slope = weight @ loss.value_and_gradient(y, np.tile(raw, (len(y), 1)))[1]
    np.testing.assert_allclose(slope / weight.sum(), 0, atol=1e-11 + 1e-14 * scale)


def test_best_spread_of_underdispersed_counts_is_zero(rng):
    y = rng.binomial(10, 0.5, size=500).astype(float)
    np.testing.assert_allclose(
        NegativeBinomialLoss().family.best_constant(y, np.ones(500)), [np.log(y.mean()), 0], rtol=1e-14
    )


def test_hessian_between_integers_is_the_derivative_too(rng):
    loss, y = NegativeBinomialLoss(), rng.uniform(0, 8, size=40)
    raw = np.column_stack([rng.normal(size=40), np.linspace(0.01, 2, 40)])
    shift = np.array([0, 1e-6])
    slope = (loss.value(y, raw + shift) - loss.value(y, raw - shift)) / 2e-6
    assert_close(loss.value_and_gradient(y, raw)[1][:, 1], slope, 1e-7)
