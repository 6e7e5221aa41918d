"""Squared errors, and the normal distribution behind them."""

import numpy as np
from scipy.special import ndtr

from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.loss import Loss


class NormalFamily(Family):
    """Normal, the outputs independent."""

    has_dispersion = True
    has_likelihood = has_tails = True
    name, link = "normal", "identity"

    def log_likelihood(self, y, raw, dispersion=1.0):
        """See `Family.log_likelihood`."""
        return -0.5 * (np.log(2 * np.pi * dispersion) + self.pearson(y, raw) / dispersion).sum(axis=1)

    def pearson(self, y, raw):
        """See `Family.pearson`."""
        return (raw - y.reshape(raw.shape)) ** 2

    def deviance(self, y, raw):
        """See `Family.deviance`: the squared residual of each target."""
        return self.pearson(y, raw)

    def tails(self, y, raw, dispersion):
        """See `Family.tails`."""
        z = (y.reshape(raw.shape) - raw) / np.sqrt(dispersion)
        return ndtr(z), np.zeros_like(z), ndtr(-z)

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        return np.broadcast_to(np.eye(raw.shape[1]), (*raw.shape, raw.shape[1]))

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`: none."""
        return np.zeros((*raw.shape, raw.shape[1]))

    def response_moments(self, raw, variance, dispersion):
        """See `Family.response_moments`."""
        return raw, variance, np.full_like(raw, dispersion)

    def best_constant(self, y, weight):
        """See `Family.best_constant`: the mean."""
        return weight @ y.reshape(len(y), -1) / weight.sum()

    def unit(self, y, weight):
        """See `Family.unit`."""
        return (weight @ y.reshape(len(y), -1) ** 2).sum() / weight.sum()

    def output_unit(self, y, weight):
        """See `Family.output_unit`: the standard deviation."""
        deviation = np.sqrt(weight @ (y.reshape(len(y), -1) - self.best_constant(y, weight)) ** 2 / weight.sum())
        return np.where(deviation > 0, deviation, 1.0)


class SquaredLoss(Loss):
    """(raw - y)^2 / 2, for one output or for several at once."""

    quadratic = True
    attains_bound = True
    family_class = NormalFamily

    def __init__(self, n_outputs=1):
        self.n_outputs = n_outputs

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        residual = raw - y.reshape(raw.shape)
        squares = residual * residual
        # numpy adds rows of one number far more slowly than it takes a column
        squares = squares[:, 0] if self.n_outputs == 1 else np.add.reduce(squares, axis=1)
        squares *= 0.5
        return squares, residual

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`."""
        if self.n_outputs == 1:
            return np.ones((len(raw), 1, 1))
        return np.broadcast_to(np.eye(self.n_outputs), (len(raw), self.n_outputs, self.n_outputs))

    def hessian_product(self, y, raw, change, kind):
        """See `Loss.hessian_product`."""
        return change

    def hessian_root(self, y, raw):
        """See `Loss.hessian_root`."""
        return self.hessian(y, raw, "expected")

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return raw

    def in_range(self, y):
        """See `Loss.in_range`."""
        return np.isfinite(y) if y.ndim == 1 else np.isfinite(y).all(axis=1)

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: the curvature is constant."""
        return np.full_like(raw, np.inf)
