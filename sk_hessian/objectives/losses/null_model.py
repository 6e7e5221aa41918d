"""The null model of a loss: one constant raw prediction for all rows, which a model is compared with."""

import numpy as np

#: steps to the best constant, the share of the loss below which one is the last, and rows at a time
_MOST_STEPS = 200
_ROUNDING = 1e-13
_ROWS = 2**16


class NullModel:
    """The model without features; ``y`` are the targets of n rows and ``weight`` their weights, shape (n,).

    Parameters
    ----------
    loss : Loss
    """

    def __init__(self, loss):
        self.loss = loss

    def raw(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The constant raw prediction of least weighted loss, shape (m,); by default by `descend`.

        It starts where the outputs are 0, 1, the means of y or their logarithms, whichever is best: links with an edge
        at 0 exclude 0, and the means are in units of y.
        """
        k, rest = self.loss.n_outputs, np.zeros(self.loss.n_constants)
        means = weight @ y.reshape(len(y), -1) / weight.sum()
        levels = (0.0, 1.0, means, np.log(np.where(means > 0, means, 1.0)))
        starts = [np.append(np.broadcast_to(level, k), rest) for level in levels]
        return self.descend(starts, np.zeros((len(y), k)), y, weight)

    def beside(self, offset, y, weight):
        """The constant raw prediction of least weighted loss beside an offset (n, n_outputs), shape (m,).

        It starts from `raw` moved by the offset's least, mean or largest value, whichever is best: one is feasible.
        """
        plain, starts = self.raw(y, weight), []
        for shift in (offset.min(axis=0), weight @ offset / weight.sum(), offset.max(axis=0)):
            constant = plain.copy()
            constant[: self.loss.n_outputs] -= shift
            starts.append(constant)
        return self.descend(starts, offset, y, weight)

    def descend(self, starts, offset, y, weight):
        """The best constant beside an offset by Newton's method, from the best of some constants.

        With `curvature`; no step is longer, along an eigenvector, than a radius that adapts.
        """
        points = [self.sums(constant, offset, y, weight) for constant in starts]
        point = min(points, key=lambda point: point[1] if np.isfinite(point[1]) else np.inf)
        radius, unit = 1.0, self.unit(y, weight) * weight.sum()
        for _ in range(_MOST_STEPS):
            slope, step = self._step(point, radius)
            new = self.sums(point[0] + step, offset, y, weight)
            if -slope <= _ROUNDING * max(abs(point[1]), unit):
                return new[0] if np.isfinite(new[1]) else point[0]
            gain = point[1] - new[1]
            radius = 2 * radius if gain > -slope / 4 else 0.25 * np.abs(step).max()
            point = new if gain > 0 else point
        return point[0]

    def _step(self, point, radius):
        """A step that is Newton's along each eigenvector, up to the radius; and the slope along it."""
        gradient = self.loss.without_shift(point[2][None, :])[0]
        values, vectors = np.linalg.eigh(point[3])
        along = vectors.T @ gradient
        floor = max(np.finfo(float).eps * values.max(), np.finfo(float).tiny)
        with np.errstate(over="ignore"):
            step = vectors @ np.clip(-along / np.maximum(values, floor), -radius, radius)
        return gradient @ step, step

    def sums(self, constant, offset, y, weight):
        """A constant, and beside the offset its weighted loss, gradient (m,) and Hessian (m, m)."""
        sums = []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for start in range(0, len(y), _ROWS):
                part = slice(start, start + _ROWS)
                raw = constant_predictions(constant, len(y[part]), offset[part])
                value, gradient = self.loss.value_and_gradient(y[part], raw)
                hessian = self.curvature(y[part], raw, weight[part])
                sums.append((weight[part] @ value, weight[part] @ gradient, hessian))
        return constant, *(sum(parts) for parts in zip(*sums, strict=True))

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
    raw = np.tile(constant, (n_rows, 1))
    if offset is not None:
        raw[:, : offset.shape[1]] += offset
    return raw
