"""Huber's loss, its scale estimated along."""

import numpy as np

from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.loss import Loss

#: changes of a prediction below so many times the floor of the scale are rounding
_ROUNDING = 100

#: a scale below so many times its floor is due to rounding alone
_PERFECT = 1e7

#: a correction of the MAD that makes it estimate the standard deviation of a normal sample, 1 / Phi^-1(3/4)
_MAD_TO_SIGMA = 1.4826022185056018


class HuberFamily(Family):
    """No distribution: what Huber's loss tells of the spread of residuals."""

    link = "identity"

    def dispersion(self, excess, constants):
        """See `Family.dispersion`: 2 sigma, the ratio of the mean squared slope to the mean curvature along mu.

        The slopes are 2 clip(z, -epsilon, epsilon), whose mean square is 4 where sigma is the optimum; the curvature is
        2 / sigma for the rows inside. What is left of a robust fit, its outliers aside.
        """
        return 2 * max(np.exp(constants[0]), self.loss.floor)

    def pearson(self, y, raw):
        """See `Family.pearson`: squared residuals in units of the scale."""
        sigma, _, _, residual = self.loss.parts(y, raw)
        return ((residual / sigma) ** 2)[:, None]

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        return np.ones((len(raw), 1, 1))

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`: none."""
        return np.zeros((len(raw), 1, 1))

    def best_constant(self, y, weight):
        """See `Family.best_constant`: the weighted median, and 1.4826 times the weighted median distance from it."""
        centre = _weighted_median(y, weight)
        return np.append(centre, self.own_constants(y - centre, weight))

    def best_constant_beside(self, offset, y, weight):
        """See `Family.best_constant_beside`: with the identity link an offset is part of y."""
        return self.best_constant(y - offset[:, 0], weight)

    def output_unit(self, y, weight):
        """See `Family.output_unit`: the scale of the null model."""
        return np.exp(self.best_constant(y, weight)[1:])

    def own_constants(self, residual, weight):
        """See `Family.own_constants`."""
        distance = np.abs(residual)
        spread = _MAD_TO_SIGMA * _weighted_median(distance, weight)
        if spread <= self.loss.floor:
            spread = max(weight @ distance / weight.sum(), 2 * self.loss.floor)
        return np.log([spread or 1.0])

    def unit(self, y, weight):
        """See `Family.unit`."""
        return weight @ np.abs(y) / weight.sum()


class HuberLoss(Loss):
    """Huber's loss with the scale sigma estimated along, as in scikit-learn.

    sigma + sigma h((y - mu)/sigma) with h(z) = z^2 for ``|z| <= epsilon`` and ``2 epsilon |z| - epsilon^2`` beyond. The
    raw columns are mu and log sigma: the loss is jointly convex in mu and sigma, and the logarithm keeps a step from
    collapsing the scale before the residuals have vanished. It has no likelihood: the "expected" curvature is a
    positive semi-definite bound of the observed one.

    Parameters
    ----------
    epsilon : float
    floor : float
        sigma never counts as less.

    References
    ----------
    .. [1] P. Huber, E. Ronchetti, "Robust Statistics", 2nd ed., 2009, section 7.7 (concomitant scale).
    """

    n_constants = 1
    constant_names = ("log(scale)",)
    canonical = False
    attains_bound = True
    is_smooth = False
    family_class = HuberFamily

    def __init__(self, epsilon=1.35, floor=0.0):
        self.epsilon = epsilon
        self.floor = floor

    def parts(self, y, raw):
        """sigma, residuals clipped at epsilon sigma, their ratio to sigma, and the residuals."""
        residual, sigma = raw[:, 0] - y, np.maximum(np.exp(raw[:, 1]), self.floor)
        clipped = np.clip(residual, -self.epsilon * sigma, self.epsilon * sigma)
        return sigma, clipped, clipped / sigma, residual

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`; constant in log sigma below the floor."""
        sigma, clipped, ratio, residual = self.parts(y, raw)
        value = sigma + clipped * ratio + 2 * self.epsilon * (np.abs(residual) - np.abs(clipped))
        slope = np.where(sigma > self.floor, sigma * (1 - ratio**2), 0.0)
        return value, np.stack([2 * ratio, slope], axis=1)

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`; "expected" leaves out what the logarithm makes negative."""
        sigma, clipped, ratio, residual = self.parts(y, raw)
        inside = clipped == residual
        hessian = np.zeros((len(y), 2, 2))
        hessian[:, 0, 0] = np.where(inside, 2 / sigma, 0.0)
        hessian[:, 0, 1] = hessian[:, 1, 0] = np.where(inside, -2 * ratio, 0.0)
        slope = sigma * (1 - ratio**2)
        hessian[:, 1, 1] = np.where(inside, 2 * sigma * ratio**2, 0.0)
        hessian[:, 1, 1] += slope if kind == "observed" else np.maximum(slope, 0)
        hessian[sigma <= self.floor, :, 1] = hessian[sigma <= self.floor, 1, :] = 0
        return hessian

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return raw[:, :1]

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def curvature_ratio(self, before, after):
        """See `Loss.curvature_ratio`: it falls with the scale."""
        return np.maximum(np.exp(before[0]), self.floor) / np.maximum(np.exp(after[0]), self.floor)

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: rows enter and leave the quadratic part over a sigma, if not by rounding."""
        sigma = np.maximum(np.exp(raw[:, 1]), _ROUNDING * self.floor)
        return np.stack([sigma, np.ones(len(raw))], axis=1)

    def remarks(self, constants):
        """See `Loss.remarks`."""
        if np.exp(constants[0]) > _PERFECT * self.floor:
            return []
        return ["The fit is perfect: the residuals vanish, and the scale is held at rounding."]


def _weighted_median(values, weight):
    order = np.argsort(values)
    cumulated = np.cumsum(weight[order])
    return values[order][np.searchsorted(cumulated, 0.5 * cumulated[-1])]
