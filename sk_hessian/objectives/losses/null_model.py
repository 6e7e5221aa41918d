"""The null model of a loss: one constant raw prediction for all rows, which a model is compared with."""

import numpy as np

from sk_hessian.objectives.losses.descent import ROWS, descend, simple_points


class NullModel:
    """The model without features; ``y`` are the targets of n rows and ``weight`` their weights, shape (n,).

    Parameters
    ----------
    loss : Loss
    """

    def __init__(self, loss):
        self.loss = loss

    def raw(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The constant raw prediction of least weighted loss, shape (m,); by default by Newton's method."""
        means = weight @ y.reshape(len(y), -1) / weight.sum()
        return self._best(simple_points(self.loss, means[None]), np.zeros((len(y), self.loss.n_outputs)), y, weight)

    def beside(self, offset, y, weight):
        """The constant raw prediction of least weighted loss beside an offset (n, n_outputs), shape (m,).

        It starts from `raw` moved by the offset's least, mean or largest value, whichever is best: one is feasible.
        """
        plain, starts = self.raw(y, weight), []
        for shift in (offset.min(axis=0), weight @ offset / weight.sum(), offset.max(axis=0)):
            constant = plain.copy()
            constant[: self.loss.n_outputs] -= shift
            starts.append(constant[None])
        return self._best(starts, offset, y, weight)

    def _best(self, starts, offset, y, weight):
        """The best constant beside an offset, from the best of some of shape (1, m)."""

        def evaluate(constant):
            value, gradient, hessian = self.sums(constant[0], offset, y, weight)
            return np.array([value]), self.loss.without_shift(gradient[None]), hessian[None]

        return descend(evaluate, starts, self.unit(y, weight) * weight.sum())[0][0]

    def sums(self, constant, offset, y, weight):
        """The weighted loss of a constant beside an offset, its gradient (m,) and Hessian (m, m)."""
        sums = []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for start in range(0, len(y), ROWS):
                part = slice(start, start + ROWS)
                raw = constant_predictions(constant, len(y[part]), offset[part])
                value, gradient = self.loss.value_and_gradient(y[part], raw)
                hessian = self.curvature(y[part], raw, weight[part])
                sums.append((weight[part] @ value, weight[part] @ gradient, hessian))
        return tuple(sum(parts) for parts in zip(*sums, strict=True))

    def curvature(self, y, raw, weight):
        """The sum of curvatures (m, m) that finds the best constant: the expected ones."""
        return self.loss.total_hessian(y, raw, weight)[0]

    def constants(self, residual, weight):
        """The constants that fit residuals, shape (n_constants,)."""
        return np.zeros(self.loss.n_constants)

    def deviance(self, y, weight, offset=None):
        """The weighted loss of the best constant, beside an offset, above the saturated one."""
        if offset is None:
            constant = self.raw(y, weight)
        else:
            offset = offset.reshape(len(y), -1)
            constant = self.beside(offset, y, weight)
        value = self.loss.value(y, constant_predictions(constant, len(y), offset))
        return weight @ (value - self.loss.saturated(y))

    def unit(self, y, weight):
        """A typical size of the loss, for a floor where y does not vary; by default that of a raw prediction of 0."""
        with np.errstate(all="ignore"):
            raw = np.zeros((len(y), self.loss.n_outputs + self.loss.n_constants))
            size = weight @ np.abs(self.loss.value(y, raw)) / weight.sum()
        return size if 0 < size < np.inf else 1.0

    def resolution(self, y, weight, offset=None):
        """What rounding alone makes of the mean loss: of squares, if not beside an offset, that of a relative one."""
        unit, eps = self.unit(y, weight), np.finfo(float).eps
        if not self.loss.quadratic:
            return unit * eps
        least = unit * (4 * eps) ** 2
        return least if offset is None else max(least, np.abs(offset).max() ** 2 * eps)

    def output_unit(self, y, weight):
        """A typical size of each output's variation, shape (n_outputs,); 1 where the link has its own unit."""
        return np.ones(self.loss.n_outputs)


def constant_predictions(constant, n_rows, offset=None):
    """Raw predictions (n_rows, m) of a constant (m,), with an offset (n_rows, n_outputs) added."""
    raw = np.zeros((n_rows, len(constant)))
    raw += constant
    if offset is not None:
        raw[:, : offset.shape[1]] += offset
    return raw
