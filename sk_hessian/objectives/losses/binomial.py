"""Proportions of successes in a number of trials, with a choice of links."""

import numpy as np
from scipy.special import entr, gammaln

from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.links import LINKS, Domain
from sk_hessian.objectives.losses.loss import Loss

#: a number of successes this far from an integer, beside the trials, is none
_NOT_WHOLE = 1e-6

#: nodes of a rule for means over normal raw predictions
_NODES = 48


class BinomialFamily(Family):
    """Shares of successes; a weight is a number of trials."""

    has_likelihood = True
    weights_are_trials = True
    name = "binomial"

    def __init__(self, loss):
        super().__init__(loss)
        self.link = loss.link

    def log_likelihood(self, y, raw, dispersion=1.0):
        """See `Family.log_likelihood`: with the binomial coefficient, 1 / ``dispersion`` being the trials."""
        trials = 1 / np.broadcast_to(np.ravel(dispersion), len(y))
        successes = trials * y
        ways = gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
        return ways - trials * self.loss.value(y, raw)

    def refusal(self, y, weight):
        """See `Family.refusal`: shares that are of no whole number of successes."""
        trials = np.round(weight)
        away = np.maximum(np.abs(weight - trials), np.abs(y * weight - np.round(y * weight)))
        wrong = np.flatnonzero(away > _NOT_WHOLE * np.maximum(weight, 1.0))
        if not wrong.size:
            return None
        return (
            f"needs a likelihood, that of whole numbers of successes and trials, and row {wrong[0]} (counted from 0, "
            f"without those of weight 0) has {y[wrong[0]] * weight[wrong[0]]:.6g} successes in {weight[wrong[0]]:.6g} "
            "trials: pass the numbers of trials as sample_weight, or y as successes and failures"
        )

    def response_moments(self, raw, variance, dispersion):
        """See `Family.response_moments`: by a Gauss-Hermite rule; the noise is that of one trial."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        weights = weights / weights.sum()
        mean = self.loss.inverse_link(raw[:, :, None] + np.sqrt(variance)[:, :, None] * nodes)
        centre = mean @ weights
        return centre, (mean - centre[:, :, None]) ** 2 @ weights, dispersion * ((mean * (1 - mean)) @ weights)

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        link = self.loss.of_link
        return (link.mean(raw) * link.mean_slopes(raw)[0])[:, :, None]

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`."""
        slope, bend = self.loss.of_link.mean_slopes(raw)
        return (self.loss.of_link.mean(raw) * (bend + slope**2) * change)[:, :, None]

    def best_constant(self, y, weight):
        """See `Family.best_constant`: where all trials succeed, or none, there is none."""
        mean = weight @ y / weight.sum()
        if not 0 < mean < 1:
            return np.array([-1.0 if self.loss.domain else 0.0])
        return np.array([float(self.loss.of_link.raw(mean))])

    def null_deviance(self, y, weight, offset=None):
        """See `Family.null_deviance`; zero where all trials succeed, or none."""
        if offset is None and (y == y[0]).all():
            return 0.0
        return super().null_deviance(y, weight, offset)

    def unit(self, y, weight):
        """See `Family.unit`."""
        return np.log(2)


class BinomialLoss(Loss):
    """-y log mu - (1 - y) log(1 - mu) of a share y of successes, mu its mean by one of several links.

    Times the number of trials it is the negative log-likelihood of the binomial distribution, but for the binomial
    coefficient. It is convex for all links but "cauchit". With the link "log" all means are below 1: raw predictions
    are negative, and zero at most where y = 1.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog", "cauchit", "log"}
        The mean is 1 / (1 + exp(-raw)), Phi(raw), 1 - exp(-exp(raw)), 1/2 + arctan(raw) / pi, or exp(raw).

    References
    ----------
    .. [1] P. McCullagh, J. Nelder, "Generalized Linear Models", 2nd ed., 1989, section 4.3.
    .. [2] R. Koenker, J. Yoon, "Parametric links for binary choice models", Journal of Econometrics 152(2), 2009
       (cauchit).
    """

    range_text = "between 0 and 1"
    family_class = BinomialFamily

    def __init__(self, link="logit"):
        self.link = link
        self.canonical = link == "logit"
        self.convex, self.is_smooth = self.of_link.convex, not self.of_link.side
        self.curvature = "observed" if self.convex and self.is_smooth else "expected"
        self.domain = Domain(self.of_link.side, "1", "log", "logit") if self.of_link.side else None

    @property
    def of_link(self):
        """The `Link`."""
        return LINKS[self.link]

    def may_be_on_edge(self, y):
        """See `Loss.may_be_on_edge`: with the link "log" rows without failure."""
        return (y == 1) if self.domain else super().may_be_on_edge(y)

    def _inside(self, y, raw):
        """Raw predictions (n,) that are inside the domain, and which ones were outside, or on its edge."""
        raw = raw[:, 0]
        if not self.domain:
            return raw, None, None
        at_edge = (raw == 0) & (y == 1)
        beyond = raw >= 0
        return np.where(beyond, -1.0, raw), beyond & ~at_edge, at_edge

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        raw, outside, at_edge = self._inside(y, raw)
        link = self.of_link
        value = -np.where(y > 0, y * link.log_mean(raw), 0.0) - np.where(y < 1, (1 - y) * link.log_rest(raw), 0.0)
        gradient = -y * link.mean_slopes(raw)[0] - (1 - y) * link.rest_slopes(raw)[0]
        if outside is not None:
            value = np.where(outside, np.inf, np.where(at_edge, 0.0, value))
        return value, gradient[:, None]

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`; the expected one is mu'^2 / (mu (1 - mu))."""
        raw, _, at_edge = self._inside(y, raw)
        link = self.of_link
        of_mean, of_rest = link.mean_slopes(raw), link.rest_slopes(raw)
        bend = -of_mean[0] * of_rest[0] if kind == "expected" else -y * of_mean[1] - (1 - y) * of_rest[1]
        return (bend if at_edge is None else np.where(at_edge, 0.0, bend))[:, None, None]

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return self.of_link.mean(raw)

    def in_range(self, y):
        """See `Loss.in_range`."""
        return (y >= 0) & (y <= 1)

    def saturated(self, y):
        """See `Loss.saturated`."""
        return entr(y) + entr(1 - y)

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`."""
        return self.of_link.unit(raw)

    def recession(self, y, change):
        """See `Loss.recession`: rows without success may sink for ever, those without failure rise."""
        y = y[:, None]
        rises = (y == 1) & (not self.domain)
        margin = np.where(y == 0, -change, np.where(rises, change, 0.0))
        return margin, np.where((y == 0) | rises, 0.0, change)
