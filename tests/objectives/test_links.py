"""Links of probabilities in log-space, against scipy's distributions and numbers of high precision."""

import numpy as np
import pytest
from scipy import stats

from sk_hessian.objectives import BINARY_LINKS, BinomialLoss, OrdinalLoss, TweedieLoss
from sk_hessian.objectives.losses.links import LINKS

DISTRIBUTIONS = {"logit": stats.logistic, "probit": stats.norm, "cloglog": stats.gumbel_l, "cauchit": stats.cauchy}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution_functions_are_scipys(name):
    link, of = LINKS[name], DISTRIBUTIONS[name]
    raw = np.linspace(-40, 5 if name == "cloglog" else 40, 301)
    np.testing.assert_allclose(link.log_mean(raw), of.logcdf(raw), rtol=1e-13)
    np.testing.assert_allclose(link.log_rest(raw), of.logsf(raw), rtol=1e-13)
    np.testing.assert_allclose(link.log_density(raw)[0], of.logpdf(raw), rtol=1e-13)
    mean = np.array([1e-12, 0.03, 0.4, 0.5, 0.93])
    np.testing.assert_allclose(link.mean(link.raw(mean)), mean, rtol=1e-10)
    np.testing.assert_allclose(link.raw(mean), of.ppf(mean), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", BINARY_LINKS)
def test_derivatives_are_differences_far_out_too(name):
    link, raw = LINKS[name], np.concatenate([-np.geomspace(1e-3, 300, 40), np.geomspace(1e-3, 2.5, 20)])
    raw = raw[raw < 0] if name == "log" else raw
    step = 1e-4 * np.minimum(np.abs(raw), 1)
    pairs = [(link.log_mean, link.mean_slopes), (link.log_rest, link.rest_slopes)]
    for value, slopes in pairs:
        slope, bend = slopes(raw)
        near, far = (
            (value(raw + s * step) - value(raw - s * step), slopes(raw + s * step)[0] - slopes(raw - s * step)[0])
            for s in (1, 2)
        )
        rounding = 1e-15 * np.abs(value(raw)) / step
        found = [(8 * a - b) / (12 * step) for a, b in zip(near, far, strict=True)]
        assert (np.abs(found[0] - slope) <= 1e-6 * np.abs(slope) + 4 * rounding).all()
        assert (np.abs(found[1] - bend) <= 1e-5 * np.abs(bend) + 1e-15 * np.abs(slope) / step).all()


def test_the_normal_tail_keeps_its_digits():
    """At -40 log F is -804.6; derivatives by the asymptotic series and by erfcx agree where one takes over."""
    link = LINKS["probit"]
    assert link.log_mean(np.array([-40.0]))[0] == pytest.approx(-804.6084420137538, rel=1e-14)
    (first, other), bends = link.mean_slopes(np.array([-40.0000001, -39.9999999]))
    assert first - other == pytest.approx(2e-7 * (1 - 1 / 1600), rel=1e-5)
    assert bends[0] == pytest.approx(bends[1], rel=1e-10)
    # h(x) (h(x) - x) with the hazard h at 40, by its continued fraction
    hazard = 40.0
    for k in range(60, 0, -1):
        hazard = 40.0 + k / hazard
    assert link.mean_slopes(np.array([-40.0]))[0][0] == pytest.approx(hazard, rel=1e-13)
    far = link.mean_slopes(np.array([-1e5, 1e5]))
    np.testing.assert_allclose(far[0], [1e5 + 1e-5, 0.0], rtol=1e-13)
    np.testing.assert_allclose(far[1], [-1 + 1e-10, 0.0], rtol=1e-13)


@pytest.mark.parametrize("link", ["logit", "probit", "cauchit"])
@pytest.mark.parametrize("raw", [-60.0, -40.0, 40.0, 60.0])
def test_losses_forty_deviations_out_are_finite_and_right(link, raw):
    """In the tail a surprise costs what the tail says, to all digits; the expected costs next to nothing."""
    loss, y = BinomialLoss(link), np.array([0.0, 1.0])
    value, gradient = loss.value_and_gradient(y, np.full((2, 1), raw))
    tail = -DISTRIBUTIONS[link].logcdf(-abs(raw))
    assert value.max() == pytest.approx(tail, rel=1e-13)
    assert value.min() == pytest.approx(-np.log1p(-np.exp(-tail)), rel=1e-9, abs=1e-300)
    assert np.isfinite(gradient).all()
    assert np.isfinite(loss.hessian(y, np.full((2, 1), raw), "observed")).all()


@pytest.mark.parametrize("link", DISTRIBUTIONS)
@pytest.mark.parametrize("far", [-30.0, 0.0, 2.5])
def test_middle_classes_keep_their_digits_in_the_tails(link, far):
    """log(F(u) - F(l)) by the tail that has digits: a density times a width, where that is narrow."""
    width, loss, of = 1e-6, OrdinalLoss(3, link), DISTRIBUTIONS[link]
    value = loss.value(np.array([1.0]), np.array([[-far, width]]))[0]
    assert value == pytest.approx(-of.logpdf(far + width / 2) - np.log(width), rel=1e-8)


@pytest.mark.parametrize(
    ("loss", "is_convex"),
    [
        *((BinomialLoss(link), link != "cauchit") for link in BINARY_LINKS),
        *((OrdinalLoss(3, link), link != "cauchit") for link in DISTRIBUTIONS),
        *((TweedieLoss(power, "sqrt"), power <= 1.5) for power in (1, 1.2, 1.5, 1.7)),
        *((TweedieLoss(power, "inverse"), True) for power in (2, 2.5, 3)),
    ],
    ids=repr,
)
def test_convexity_is_as_declared(loss, is_convex, rng):
    assert loss.convex == is_convex
    n = 4000
    raw = rng.normal(size=(n, 1 + loss.n_constants)) * 5
    if loss.domain is not None:
        raw = loss.domain.side * np.abs(raw)
    raw[:, 1:] = np.abs(raw[:, 1:])
    top = loss.n_classes - 1 if isinstance(loss, OrdinalLoss) else 1
    y = rng.integers(0, top + 1, size=n).astype(float)
    y = y + 0.1 if isinstance(loss, TweedieLoss) and loss.power >= 2 else y
    lowest = np.linalg.eigvalsh(loss.hessian(y, raw, "observed"))[:, 0]
    assert (lowest >= -1e-9 * np.abs(lowest).max()).all() == is_convex
