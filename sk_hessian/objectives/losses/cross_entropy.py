"""Cross-entropies of labels and of classes, and the distributions behind them."""

import numpy as np
from scipy.special import entr, expit

from sk_hessian.objectives.losses.families import ClassFamily, Family, on_diagonals
from sk_hessian.objectives.losses.loss import Loss


class BernoulliFamily(Family):
    """Labels of 0 or 1, each with odds of its own."""

    has_likelihood = has_tails = is_discrete = True
    name, link = "Bernoulli", "logit"

    def pearson(self, y, raw):
        """See `Family.pearson`: 1/odds of what happened."""
        return np.exp((1 - 2 * y.reshape(raw.shape)) * raw)

    def deviance(self, y, raw):
        """See `Family.deviance`: of each label."""
        return 2 * np.logaddexp(0, (1 - 2 * y.reshape(raw.shape)) * raw)

    def tails(self, y, raw, dispersion):
        """See `Family.tails`."""
        y, one, zero = y.reshape(raw.shape), expit(raw), expit(-raw)
        return np.where(y > 0, zero, 0.0), np.where(y > 0, one, zero), np.where(y > 0, 0.0, one)

    def mean_slope(self, raw):
        """See `Family.mean_slope`."""
        return on_diagonals(expit(raw) * expit(-raw))

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`."""
        return on_diagonals(-expit(raw) * expit(-raw) * np.tanh(raw / 2) * change)

    def best_constant(self, y, weight):
        """See `Family.best_constant`: the log odds; zero for a label that all rows or none have."""
        y = y.reshape(len(y), -1)
        ones, zeros = weight @ y, weight @ (1 - y)
        varies = (ones > 0) & (zeros > 0)
        return np.log(np.where(varies, ones, 1.0) / np.where(varies, zeros, 1.0))

    def null_deviance(self, y, weight, offset=None):
        """See `Family.null_deviance`; without offset the entropy of each label, zero where all rows have it or none."""
        if offset is not None:
            return super().null_deviance(y, weight, offset)
        ones, total = weight @ y.reshape(len(y), -1), weight.sum()
        return total * (entr(ones / total) + entr(1 - ones / total)).sum()

    def unit(self, y, weight):
        """See `Family.unit`."""
        return self.loss.n_outputs * np.log(2)


class BinaryCrossEntropy(Loss):
    """log(1 + exp(-s raw)) with s = 2y - 1, y in {0, 1}; summed over the outputs where labels are several.

    Everything is written in ``exp(-|raw|)``, so that neither a large margin nor its complement loses digits beyond the
    rounding of the margin itself.
    """

    range_text = "0 or 1"
    family_class = BernoulliFamily

    def __init__(self, n_outputs=1):
        self.n_outputs = n_outputs

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        sign = y.reshape(raw.shape) * -2.0
        sign += 1
        excess = raw * sign
        tail = np.abs(excess)
        np.exp(np.negative(tail, out=tail), out=tail)
        value = np.log1p(tail, out=tail)
        value += np.maximum(excess, 0)
        # exp(excess) / (1 + exp(excess)): the value is the logarithm of that denominator
        excess -= value
        miss = np.exp(excess, out=excess)
        miss *= sign
        return value[:, 0] if self.n_outputs == 1 else value.sum(axis=1), miss

    def _bend(self, raw):
        bend = np.exp(-np.abs(raw))
        total = 1 + bend
        bend /= np.multiply(total, total, out=total)
        return bend

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`."""
        bend = self._bend(raw)
        return bend[:, :, None] if self.n_outputs == 1 else bend[:, :, None] * np.eye(self.n_outputs)

    def hessian_product(self, y, raw, change, kind):
        """See `Loss.hessian_product`."""
        return self._bend(raw) * change

    def hessian_root(self, y, raw):
        """See `Loss.hessian_root`."""
        return np.sqrt(self._bend(raw))[:, :, None] * np.eye(self.n_outputs)

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        tail = np.exp(-np.abs(raw))
        return np.exp(np.minimum(raw, 0)) / (1 + tail)

    def in_range(self, y):
        """See `Loss.in_range`."""
        return ((y == 0) | (y == 1)).reshape(len(y), -1).all(axis=1)

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def recession(self, y, change):
        """See `Loss.recession`."""
        return change * (2 * y.reshape(change.shape) - 1), np.zeros((len(change), 0))


class CategoricalFamily(ClassFamily):
    """Classes without an order."""

    name, link = "categorical", "softmax"

    def pearson(self, y, raw):
        """See `Family.pearson`: of the indicators of the classes; 1/odds of the own class when added up."""
        probability, slope = self.loss.inverse_link(raw), self.loss.value_and_gradient(y, raw)[1]
        return np.where(slope < 0, slope**2 / probability, probability)

    def mean_slope(self, raw):
        """See `Family.mean_slope`: the link is canonical, so that this is the loss's curvature."""
        return self.loss.hessian(None, raw, "expected")

    def mean_bend(self, raw, change):
        """See `Family.mean_bend`: with q the change of the probabilities p, diag(q) - q p' - p q'."""
        probability = self.loss.inverse_link(raw)
        moved = self.loss.hessian_product(None, raw, change, "expected")
        cross = moved[:, :, None] * probability[:, None, :]
        return on_diagonals(moved) - cross - cross.transpose(0, 2, 1)

    def best_constant(self, y, weight):
        """See `Family.best_constant`: the logarithms of the classes' shares, of mean zero."""
        raw = np.log(self.shares(y, weight, self.loss.n_outputs))
        return raw - raw.mean()

    def unit(self, y, weight):
        """See `Family.unit`."""
        return np.log(self.loss.n_outputs)


class SoftmaxCrossEntropy(Loss):
    """log sum_k exp(raw_k) - raw_y, with y the index of the class."""

    cancels = True
    shift_invariant = True
    family_class = CategoricalFamily

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs
        self.range_text = f"an integer from 0 to {n_outputs - 1}"

    def inverse_link(self, raw):
        """See `Loss.inverse_link`: the probability of each class."""
        return np.ascontiguousarray(self._probabilities(raw)[0].T)

    @staticmethod
    def _probabilities(raw):
        """Probabilities by class (k, n), the logarithms that were normalised, and the sums (n,) of their exponentials.

        By class, because numpy reduces long rows far faster than short ones.
        """
        shifted = np.array(raw.T, order="C")
        shifted -= np.maximum.reduce(shifted, axis=0)
        probability = np.exp(shifted)
        total = np.add.reduce(probability, axis=0)
        probability /= total
        return probability, shifted, total

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        probability, shifted, total = self._probabilities(raw)
        own = y.astype(np.intp) * len(raw) + np.arange(len(raw))
        probability.flat[own] = 0
        probability.flat[own] = -np.add.reduce(probability, axis=0)
        return np.log(total) - shifted.take(own), probability.T

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`: diag(p) - p p'."""
        probability = np.ascontiguousarray(self._probabilities(raw)[0].T)
        hessian = -probability[:, :, None] * probability[:, None, :]
        diagonal = np.arange(self.n_outputs)
        hessian[:, diagonal, diagonal] += probability
        return hessian

    def hessian_root(self, y, raw):
        """See `Loss.hessian_root`: diag(p)^1/2 - p p'^1/2, whose square is diag(p) - p p' as p sums to one."""
        probability = self.inverse_link(raw)
        root = np.sqrt(probability)
        result = -probability[:, :, None] * root[:, None, :]
        diagonal = np.arange(self.n_outputs)
        result[:, diagonal, diagonal] += root
        return result

    def total_hessian(self, y, raw, weight):
        """See `Loss.total_hessian`; without forming that of any row."""
        probability = self._probabilities(raw)[0]
        weighted = probability * weight
        total = np.diag(weighted.sum(axis=1)) - probability @ weighted.T
        return total, 1 - np.einsum("kn,kn->n", probability, probability)

    def hessian_product(self, y, raw, change, kind):
        """See `Loss.hessian_product`."""
        probability = self._probabilities(raw)[0]
        weighted = probability * change.T
        weighted -= probability * weighted.sum(axis=0)
        return weighted.T

    def in_range(self, y):
        """See `Loss.in_range`."""
        return np.isin(y, np.arange(self.n_outputs))

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def recession(self, y, change):
        """See `Loss.recession`: the own class must gain on every other."""
        rows, y = np.arange(len(change)), y.astype(np.intp)
        gain = change[rows, y][:, None] - change
        others = np.arange(self.n_outputs)[None, :] != y[:, None]
        return gain[others].reshape(len(change), self.n_outputs - 1), np.zeros((len(change), 0))
