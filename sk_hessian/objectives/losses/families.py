"""The distribution behind a loss: its likelihood, its moments, and the null model, one constant for all rows.

Where there is one, a loss is a negative log-likelihood times a dispersion, but for terms of y alone. What a fit and
inspection ask of the targets as a whole stands here and, for each family, beside its loss.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import entr

from sk_hessian.objectives.losses.descent import ROWS, descend, simple_points

#: steps of first and second differences, in units of the raw prediction, that balance truncation against rounding
_FIRST, _SECOND = np.finfo(float).eps ** (1 / 3), np.finfo(float).eps ** (1 / 4)

_TINY = np.finfo(float).tiny

#: share of a class that has no row, in a sample or so far
_ABSENT = 1e-3


def on_diagonals(values: np.ndarray) -> np.ndarray:
    """Diagonal matrices (n, k, k) of the rows of ``values`` (n, k)."""
    return values[:, :, None] * np.eye(values.shape[1])


class Family:
    """A family of distributions, for ``n`` rows and ``m`` raw columns; this one has no likelihood.

    Its null model is the best constant raw prediction: the model without features. There ``y`` are the targets of n
    rows and ``weight`` their weights, shape (n,).

    Parameters
    ----------
    loss : Loss

    Attributes
    ----------
    has_dispersion : bool
        True when the loss is a negative log-likelihood times a dispersion that the data must tell.
    has_likelihood : bool
        True when `log_likelihood` is that of a distribution.
    has_tails : bool
        True when `tails` is known, the distribution function.
    is_discrete : bool
        True when all targets are integers.
    name, link : str
        What the distribution and the link are called in a table; empty where they have no name.
    weights_are_trials : bool
        True when a row's weight is a number of trials, of which y is the share of successes.
    """

    has_dispersion: bool = False
    has_likelihood: bool = False
    has_tails: bool = False
    is_discrete: bool = False
    name: str = ""
    link: str = ""
    weights_are_trials: bool = False

    def __init__(self, loss):
        self.loss = loss

    def log_likelihood(self, y: np.ndarray, raw: np.ndarray, dispersion: float = 1.0) -> np.ndarray:
        """Logarithm of the density of each row, its constants included, shape (n,).

        By default the loss with the opposite sign, for losses without terms of y alone.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
        raw : ndarray of shape (n, m)
        dispersion : float, or array that broadcasts to (n, n_outputs)
            What the variance function is multiplied with; of a family whose dispersion is one, what the logarithm is
            divided by (a quasi-likelihood).
        """
        return -self.loss.value(y, raw) / np.ravel(dispersion)

    def refusal(self, y: np.ndarray, weight: np.ndarray) -> str | None:
        """Why targets of these weights have no such likelihood, the end of a sentence; None where they have."""
        return None

    def reported(self, class_names: Sequence | None) -> tuple[list[str], np.ndarray] | None:
        """What tables show in place of the intercept and the constants, or None where they show these.

        Names, and the matrix (1 + n_constants, 1 + n_constants) that makes it of them.
        """
        return None

    def dispersion(self, excess: float, constants: np.ndarray) -> float:
        """A rough estimate of the dispersion, the unit of twice the loss, from no more than a point's value.

        Parameters
        ----------
        excess : float
            The mean loss above that of the saturated model.
        constants : ndarray of shape (n_constants,)

        Returns
        -------
        float
            The mean deviance of an output, 1 where the family has no dispersion. The mean deviance of a Gamma
            distribution is at most twice its dispersion.
        """
        return 2 * excess / self.loss.n_outputs if self.has_dispersion else 1.0

    def pearson(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Squared residuals over the variance function, shape (n, n_outputs); their mean estimates the dispersion.

        By default the squared gradient over the expected curvature. For exponential families and any link that is the
        same: the gradient is (mean - y) mean' / variance, the expected curvature mean'^2 / variance.
        """
        k = self.loss.n_outputs
        slope = self.loss.value_and_gradient(y, raw)[1][:, :k]
        bend = np.einsum("nkk->nk", self.loss.hessian(y, raw, "expected"))[:, :k]
        return np.divide(slope**2, bend, out=np.zeros_like(slope), where=slope != 0)

    def deviance(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Twice the loss above that of the saturated model, a column for each output, or one where rows have no parts.

        Shape (n, n_outputs) or (n, 1); what is negative by rounding is zero.
        """
        return np.maximum(2 * (self.loss.value(y, raw) - self.loss.saturated(y)), 0.0)[:, None]

    def tails(self, y: np.ndarray, raw: np.ndarray, dispersion: np.ndarray) -> tuple:
        """Chances of a smaller target than y, of the same, and of a larger one, each of shape (n, n_outputs).

        Only where `has_tails`. The smaller tail keeps its digits. ``dispersion`` has shape (1,) or (n_outputs,).
        """
        raise NotImplementedError(f"{type(self).__name__} has no distribution function: define tails")

    # -- the mean, as a function of the raw prediction --------------------------------------------------------------

    def mean_slope(self, raw: np.ndarray) -> np.ndarray:
        """Derivative of the mean in the outputs, shape (n, n_outputs, n_outputs): the outputs are the last axis.

        By default by central differences of the inverse link.
        """
        return self._mean_differences(raw, _FIRST)

    def mean_bend(self, raw: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Derivative of `mean_slope` when the outputs move along ``change`` (n, n_outputs), of the same shape."""
        reach = _SECOND * self._finite_unit(raw).min(axis=1) / np.maximum(np.abs(change).max(axis=1), _TINY)
        step = np.zeros_like(raw)
        step[:, : self.loss.n_outputs] = reach[:, None] * change
        apart = self._mean_differences(raw + step, _SECOND) - self._mean_differences(raw - step, _SECOND)
        return apart / (2 * reach[:, None, None])

    def _mean_differences(self, raw, share):
        """`mean_slope` by differences with steps of a share of the outputs' units."""
        unit, columns = share * self._finite_unit(raw), []
        for output in range(self.loss.n_outputs):
            step = np.zeros_like(raw)
            # what is really added, so that the quotient has no error of its own
            step[:, output] = (raw[:, output] + unit[:, output]) - raw[:, output]
            apart = self.loss.inverse_link(raw + step) - self.loss.inverse_link(raw - step)
            columns.append(apart / (2 * step[:, output, None]))
        return np.stack(columns, axis=2)

    def _finite_unit(self, raw):
        """The unit of each output, one where the curvature never changes, shape (n, n_outputs)."""
        unit = self.loss.predictor_unit(raw)[:, : self.loss.n_outputs]
        return np.where(np.isfinite(unit), unit, 1.0)

    # -- moments ------------------------------------------------------------------------------------------------------

    def response_moments(self, raw, variance, dispersion):
        """Moments of the target for normal raw predictions, each of shape (n, n_outputs).

        Parameters
        ----------
        raw, variance : ndarray of shape (n, n_outputs)
            Mean and variance of the raw prediction.
        dispersion : float

        Returns
        -------
        mean : ndarray
            Expectation of the target's mean, the inverse link of the raw prediction.
        spread : ndarray
            Variance of that mean.
        noise : ndarray
            Expectation of the target's variance about it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no moments of targets: define response_moments")

    # -- the null model -------------------------------------------------------------------------------------------

    def best_constant(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The constant raw prediction of least weighted loss, shape (m,); by default by Newton's method."""
        means = weight @ y.reshape(len(y), -1) / weight.sum()
        return self._best(simple_points(self.loss, means[None]), np.zeros((len(y), self.loss.n_outputs)), y, weight)

    def best_constant_beside(self, offset, y, weight):
        """The constant raw prediction of least weighted loss beside an offset (n, n_outputs), shape (m,).

        It starts from `best_constant` moved by the offset's least, mean or largest value, whichever is best: one is
        feasible.
        """
        plain, starts = self.best_constant(y, weight), []
        for shift in (offset.min(axis=0), weight @ offset / weight.sum(), offset.max(axis=0)):
            constant = plain.copy()
            constant[: self.loss.n_outputs] -= shift
            starts.append(constant[None])
        return self._best(starts, offset, y, weight)

    def _best(self, starts, offset, y, weight):
        """The best constant beside an offset, from the best of some of shape (1, m)."""

        def evaluate(constant):
            value, gradient, hessian = self.sums_at_constant(constant[0], offset, y, weight)
            return np.array([value]), self.loss.without_shift(gradient[None]), hessian[None]

        return descend(evaluate, starts, self.unit(y, weight) * weight.sum())[0][0]

    def sums_at_constant(self, constant, offset, y, weight):
        """The weighted loss of a constant beside an offset, its gradient (m,) and Hessian (m, m)."""
        sums = []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for start in range(0, len(y), ROWS):
                part = slice(start, start + ROWS)
                raw = constant_predictions(constant, len(y[part]), offset[part])
                value, gradient = self.loss.value_and_gradient(y[part], raw)
                hessian = self.curvature_at_constant(y[part], raw, weight[part])
                sums.append((weight[part] @ value, weight[part] @ gradient, hessian))
        return tuple(sum(parts) for parts in zip(*sums, strict=True))

    def curvature_at_constant(self, y, raw, weight):
        """The sum of curvatures (m, m) that finds the best constant: the expected ones."""
        return self.loss.total_hessian(y, raw, weight)[0]

    def own_constants(self, residual, weight):
        """The constants of the loss that fit residuals, shape (n_constants,)."""
        return np.zeros(self.loss.n_constants)

    def null_deviance(self, y, weight, offset=None):
        """The weighted loss of the best constant, beside an offset, above the saturated one."""
        if offset is None:
            constant = self.best_constant(y, weight)
        else:
            offset = offset.reshape(len(y), -1)
            constant = self.best_constant_beside(offset, y, weight)
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


class ClassFamily(Family):
    """One class of several, y its index."""

    has_likelihood = True

    def shares(self, y, weight, n_classes):
        """The classes' shares of the weight, of those without a row a small one, (n_classes,)."""
        counts = np.bincount(y.astype(np.intp), weights=weight, minlength=n_classes)
        return np.where(counts > 0, counts / counts.sum(), _ABSENT)

    def null_deviance(self, y, weight, offset=None):
        """See `Family.null_deviance`; without offset the entropy of the classes."""
        if offset is not None:
            return super().null_deviance(y, weight, offset)
        counts = np.bincount(y.astype(np.intp), weights=weight)
        return counts.sum() * entr(counts / counts.sum()).sum()


def constant_predictions(constant, n_rows, offset=None):
    """Raw predictions (n_rows, m) of a constant (m,), with an offset (n_rows, n_outputs) added."""
    raw = np.zeros((n_rows, len(constant)))
    raw += constant
    if offset is not None:
        raw[:, : offset.shape[1]] += offset
    return raw
