"""The pinball loss of quantiles, and the smooth losses of which it is the limit."""

import numpy as np

from sk_hessian._facts import fact
from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.loss import Loss


class PinballFamily(Family):
    """No distribution: what the pinball loss tells of the spread of residuals."""

    link = "identity"

    def dispersion(self, excess, constants):
        """See `Family.dispersion`: the scale of the asymmetric Laplace distribution, which is the mean loss."""
        return excess

    def pearson(self, y, raw):
        """See `Family.pearson`: squared residuals, for there is no variance function."""
        return (y[:, None] - raw) ** 2

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        return np.ones((len(raw), 1, 1))

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`: none."""
        return np.zeros((len(raw), 1, 1))

    def best_constant(self, y, weight):
        """See `Family.best_constant`: a weighted quantile, of a smoothed loss a smoothed one."""
        quantile, width = self.loss.quantile, self.loss.width
        if not width:
            order = np.argsort(y)
            cumulated = np.cumsum(weight[order])
            return y[order][[np.searchsorted(cumulated, quantile * cumulated[-1])]]
        # the summed slope rises linearly by a row's weight while the constant passes the row's band
        ends = np.concatenate((y - width, y + width))
        order = np.argsort(ends)
        ends, rates = ends[order], np.cumsum(np.concatenate((weight, -weight))[order]) / (2 * width)
        slopes = np.concatenate(([0.0], np.cumsum(rates[:-1] * np.diff(ends)))) - quantile * weight.sum()
        return np.interp([0.0], np.maximum.accumulate(slopes), ends)

    def best_constant_beside(self, offset, y, weight):
        """See `Family.best_constant_beside`: with the identity link an offset is part of y."""
        return self.best_constant(y - offset[:, 0], weight)

    def unit(self, y, weight):
        """See `Family.unit`."""
        return weight @ np.abs(y) / weight.sum() or 1.0


class PinballLoss(Loss):
    """The pinball (check) loss, whose best constant is a quantile; smoothed where it has a width.

    With r = y - raw it is ``quantile * r`` above zero and ``(quantile - 1) * r`` below. With a width h it is the mean
    of that over the residuals between r - h and r + h, the convolution with a uniform kernel:

        max(quantile r, (quantile - 1) r) + max(h - |r|, 0)^2 / (4 h),

    convex, never below the loss itself, above it by h / 4 at the most, and a quadratic where ``|r| <= h``. Its slopes
    stay between quantile - 1 and quantile, so that they are feasible in the dual problem of quantile regression.

    Parameters
    ----------
    quantile : float
        Between 0 and 1.
    width : float, default=0.0
        In units of y. Without one the loss has a kink where y is predicted, and no curvature.

    References
    ----------
    .. [1] R. Koenker, G. Bassett, "Regression quantiles", Econometrica 46(1), 1978.
    .. [2] X. He, X. Pan, K. M. Tan, W.-X. Zhou, "Smoothed quantile regression with large-scale inference", Journal of
       Econometrics 232(2), 2023.
    """

    attains_bound = True
    is_smooth = False
    bends_few = True
    family_class = PinballFamily

    def __init__(self, quantile=0.5, width=0.0):
        self.quantile = quantile
        self.width = width

    @fact
    def is_polyhedral(self):
        """See `Loss`: without a width."""
        return self.width == 0

    def smoothed(self, width):
        """The loss of the same quantile with another width."""
        return PinballLoss(self.quantile, width)

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`; on the kink the middle of the slopes."""
        residual, width = y - raw[:, 0], self.width
        value = np.where(residual > 0, self.quantile, self.quantile - 1) * residual
        if width:
            inside = np.clip(residual / width, -1, 1)
            value += 0.25 * width * (1 - np.abs(inside)) ** 2
        else:
            inside = np.sign(residual)
        return value, (0.5 - self.quantile - 0.5 * inside)[:, None]

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`."""
        inside = np.abs(y - raw[:, 0]) <= self.width
        return np.where(inside, 0.5 / self.width if self.width else 0.0, 0.0)[:, None, None]

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return raw[:, :1]

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.full(len(y), self.width * self.quantile * (1 - self.quantile))

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: rows enter and leave the quadratic part over a width."""
        return np.full(raw.shape, self.width or np.finfo(float).tiny)
