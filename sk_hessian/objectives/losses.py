"""Pointwise losses: what a prediction costs, and how that cost bends.

A loss sees a target ``y`` and a raw prediction (before the inverse link), never a feature nor a parameter, so that
linear models and networks share it. Raw predictions are always 2-D, ``(n, n_outputs + n_constants)``: the first
``n_outputs`` columns come from the features, the others repeat one free parameter (the scale of Huber's loss).

A loss is written for one row; weights, means and penalties belong to the objective. To add one, derive from `Loss`
and list it in `LOSSES`: the tests of every derivative then apply to it.
"""

import numpy as np
from scipy.linalg import helmert
from scipy.special import digamma, entr, gammaln, logsumexp, polygamma, xlogy

#: changes of a prediction below so many times the floor of the scale are rounding
_ROUNDING = 100

#: a scale below so many times its floor is due to rounding alone
_PERFECT = 1e7

#: share of a class that has no row, in a sample or so far
_ABSENT = 1e-3

#: a mean below this share of the average one is 0 where y = 0; a negative one too, of coefficients in float32
_ON_EDGE = 1e-10
_BEYOND_EDGE = 1e-6

#: steps to the best constant beside an offset, the share of the loss below which one is the last, and rows at a time
_MOST_NULL_STEPS = 200
_NULL_ROUNDING = 1e-13
_NULL_ROWS = 2**16

#: roundings of its largest term that a sum of deviances may have
_SUM_ROUNDINGS = 16

#: a correction of the MAD that makes it estimate the standard deviation of a normal sample, 1 / Phi^-1(3/4)
_MAD_TO_SIGMA = 1.4826022185056018

#: arguments up to which a logarithm's tail is summed as a power series, and with how many terms: 0.2^24 is rounding
_SERIES = 0.2
_SERIES_TERMS = 23

#: of the series of a Tweedie density: standard deviations on either side of its largest term, terms per deviation where
#: there are more, further terms on either side, and rows at a time
_SERIES_REACH = 12
_SERIES_DENSITY = 12
_SERIES_MARGIN = 20
_SERIES_ROWS = 2**12

#: dispersion, in squares of the mean over the variance function, below which the saddlepoint is the better density
_SADDLEPOINT = 1e-8

#: 1/theta up to which Stirling's series serves, and the Bernoulli numbers B2, B4, ... of its terms
_STIRLING = 1 / 10
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)

#: where theta^-1/2 of a common mean is looked for, the least in units of the mean's own
_LEAST_SPREAD = 1e-6
_MOST_SPREAD = 1e3


class Loss:
    """What every loss offers; arrays are for ``n`` rows and ``m = n_outputs + n_constants`` raw columns.

    Attributes
    ----------
    n_outputs : int
        Raw columns that are fed by the features.
    n_constants : int
        Raw columns that repeat one free parameter each.
    canonical : bool
        True when the expected and the observed curvature are the same.
    convex : bool
        True when the loss is convex in the raw prediction.
    curvature : {"observed", "expected"}
        What solvers use by default: the second derivative itself where it is positive, else the expected one.
    quadratic : bool
        True when the curvature is constant.
    cancels : bool
        True when the value is a difference of large terms, so that near zero it keeps fewer digits.
    attains_bound : bool
        True when finite predictions have the saturated value for every y in range.
    shift_invariant : bool
        True when adding a constant to all outputs changes nothing.
    is_smooth : bool
        True when the curvature changes at most e-fold over every `predictor_unit`, without jumps or poles.
    constant_names : sequence of str
        What the free parameters are called.
    has_dispersion : bool
        True when the loss is a negative log-likelihood times a dispersion that the data must tell.
    has_likelihood : bool
        True when `log_likelihood` is defined.
    even_constants : bool
        True when the loss depends on the squares of its constants alone: zero is the edge of what they may be.
    """

    n_outputs: int = 1
    n_constants: int = 0
    constant_names: tuple[str, ...] = ()
    canonical: bool = True
    convex: bool = True
    curvature: str = "observed"
    quadratic: bool = False
    cancels: bool = False
    attains_bound: bool = False
    shift_invariant: bool = False
    is_smooth: bool = True
    has_dispersion: bool = False
    has_likelihood: bool = True
    even_constants: bool = False

    def value(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Loss of each row, shape (n,); +inf outside the domain."""
        return self.value_and_gradient(y, raw)[0]

    def value_and_gradient(self, y: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss of each row, shape (n,), and its gradient in the raw prediction, shape (n, m)."""
        raise NotImplementedError

    def hessian(self, y: np.ndarray, raw: np.ndarray, kind: str) -> np.ndarray:
        """Second derivative of each row in the raw prediction, shape (n, m, m).

        ``kind`` is "observed" (the second derivative itself) or "expected" (its mean over y given the prediction:
        positive semi-definite, and what Fisher scoring uses).
        """
        raise NotImplementedError

    def total_hessian(self, y: np.ndarray, raw: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted sum of the expected Hessians, shape (m, m), and the trace of each, shape (n,)."""
        hessian = self.hessian(y, raw, "expected")
        return np.einsum("n,nkl->kl", weight, hessian), np.einsum("nkk->n", hessian)

    def hessian_product(self, y: np.ndarray, raw: np.ndarray, change: np.ndarray, kind: str) -> np.ndarray:
        """Hessian of each row times its ``change``, both of shape (n, m)."""
        return np.einsum("nkl,nl->nk", self.hessian(y, raw, kind), change)

    def hessian_root(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """S of each row with S S' the expected Hessian, shape (n, m, m)."""
        hessian = self.hessian(y, raw, "expected")
        if hessian.shape[1] == 1:
            return np.sqrt(np.maximum(hessian, 0))
        values, vectors = np.linalg.eigh(hessian)
        return vectors * np.sqrt(np.maximum(values, 0))[:, None, :]

    def output_unit(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """A typical size of each output's variation, shape (n_outputs,); 1 where the link has its own unit."""
        return np.ones(self.n_outputs)

    def inverse_link(self, raw: np.ndarray) -> np.ndarray:
        """The prediction on the scale of y, from the raw prediction."""
        raise NotImplementedError

    def in_range(self, y: np.ndarray) -> np.ndarray:
        """Whether each target can be had at all, shape (n,) of bool."""
        return np.isfinite(y)

    def may_be_on_edge(self, y: np.ndarray) -> np.ndarray:
        """Whether the best raw prediction of a row may be zero, the edge of what raw predictions may be, shape (n,)."""
        return np.zeros(len(y), dtype=bool)

    def settled(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Raw predictions, those that are on the edge but for rounding exactly there."""
        return raw

    #: how `in_range` is said in an error
    range_text: str = "finite"

    def null_raw(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The constant raw prediction of least weighted loss, shape (m,)."""
        raise NotImplementedError

    def null_beside(self, offset, y, weight):
        """The constant raw prediction of least weighted loss beside an offset (n, n_outputs), shape (m,).

        Newton's method, by default with the expected curvature; no step is longer, along an eigenvector, than a radius
        that adapts.
        """
        point, radius = self._start_beside(offset, y, weight), 1.0
        unit = self.unit(y, weight) * weight.sum()
        for _ in range(_MOST_NULL_STEPS):
            slope, step = self._null_step(point, radius)
            new = self.constant_sums(point[0] + step, offset, y, weight)
            if -slope <= _NULL_ROUNDING * max(abs(point[1]), unit):
                return new[0] if np.isfinite(new[1]) else point[0]
            gain = point[1] - new[1]
            radius = 2 * radius if gain > -slope / 4 else 0.25 * np.abs(step).max()
            point = new if gain > 0 else point
        return point[0]

    def _start_beside(self, offset, y, weight):
        """The null model moved by the offset's least, mean or largest value, whichever is best: one is feasible."""
        plain = self.null_raw(y, weight)
        starts = []
        for shift in (offset.min(axis=0), weight @ offset / weight.sum(), offset.max(axis=0)):
            constant = plain.copy()
            constant[: self.n_outputs] -= shift
            starts.append(self.constant_sums(constant, offset, y, weight))
        return min(starts, key=lambda point: point[1] if np.isfinite(point[1]) else np.inf)

    def _null_step(self, point, radius):
        """A step that is Newton's along each eigenvector, up to the radius; and the slope along it."""
        gradient = self.without_shift(point[2][None, :])[0]
        values, vectors = np.linalg.eigh(point[3])
        along = vectors.T @ gradient
        floor = max(np.finfo(float).eps * values.max(), np.finfo(float).tiny)
        with np.errstate(over="ignore"):
            step = vectors @ np.clip(-along / np.maximum(values, floor), -radius, radius)
        return gradient @ step, step

    def constant_sums(self, constant, offset, y, weight):
        """A constant, and beside the offset its weighted loss, gradient (m,) and Hessian (m, m)."""
        sums = []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for start in range(0, len(y), _NULL_ROWS):
                part = slice(start, start + _NULL_ROWS)
                raw = constant_predictions(constant, len(y[part]), offset[part])
                value, gradient = self.value_and_gradient(y[part], raw)
                hessian = self._constant_hessian(y[part], raw, weight[part])
                sums.append((weight[part] @ value, weight[part] @ gradient, hessian))
        return constant, *(sum(parts) for parts in zip(*sums, strict=True))

    def _constant_hessian(self, y, raw, weight):
        """The curvature that finds the best constant: the expected one."""
        return self.total_hessian(y, raw, weight)[0]

    def null_constants(self, residual, weight):
        """The constants that fit residuals, shape (n_constants,)."""
        return np.zeros(0)

    def curvature_ratio(self, before: np.ndarray, after: np.ndarray) -> float:
        """What curvature along raw predictions is multiplied with when the constants go from one value to another."""
        return 1.0

    def saturated(self, y: np.ndarray) -> np.ndarray:
        """The least loss that any prediction can have, shape (n,)."""
        raise NotImplementedError

    def explained(self, y, raw, weight, offset=None):
        """D^2: the share of the deviance of the best constant, beside an offset, that raw predictions explain.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
        raw : ndarray of shape (n, m)
            The offset included.
        weight : ndarray of shape (n,)
        offset : ndarray of shape (n,) or (n, n_outputs), optional

        Returns
        -------
        float
            1.0 or 0.0, for predictions as good or not, where the constant's deviance is rounding; -inf where the loss
            of a prediction is infinite.

        Raises
        ------
        ValueError
            Where the best constant's deviance overflows.
        """
        sums = self.deviance_sums(y, raw, weight)
        with np.errstate(over="ignore", invalid="ignore"):
            null = self.null_deviance(y, weight, offset)
        return self._share(sums, null, weight.sum() * self.resolution(y, weight, offset))

    def deviance_sums(self, y, raw, weight):
        """Weighted sums of raw predictions' deviance, of the saturated loss less `terms_of_y`, and of its size."""
        saturated = self.saturated(y)
        with np.errstate(over="ignore", invalid="ignore"):
            deviance = self.value(y, self.settled(y, raw)) - saturated
        return np.array([weight @ deviance, weight @ (saturated - self.terms_of_y(y)), weight @ np.abs(saturated)])

    def terms_of_y(self, y):
        """What every value has in common and is no polynomial of y of degree two at the most, shape (n,)."""
        return np.zeros(len(y))

    def explained_of_sums(self, sums, y, weight):
        """See `explained`, from `deviance_sums` of all rows and a few targets that stand for them.

        Parameters
        ----------
        sums : ndarray of shape (3,)
        y, weight : ndarray
            All distinct targets; or some of the same mean, mean square and range, which is enough: but for
            `terms_of_y` every loss of such targets is a polynomial of degree two at the most.

        Returns
        -------
        float
        """
        with np.errstate(over="ignore", invalid="ignore"):
            null = self.null_deviance(y, weight) + weight @ (self.saturated(y) - self.terms_of_y(y)) - sums[1]
        return self._share(sums, null, weight.sum() * self.resolution(y, weight))

    @staticmethod
    def _share(sums, null, resolution):
        """The share of the constant's deviance that is explained, and what rounding leaves of it where that is none."""
        if not np.isfinite(null):
            raise ValueError("y or offset is so large that the deviance of the best constant overflows")
        rounding = _SUM_ROUNDINGS * (np.finfo(float).eps * sums[2] + resolution)
        if null <= rounding:
            return float(sums[0] <= rounding)
        return float(1 - sums[0] / null)

    def null_deviance(self, y, weight, offset=None):
        """The weighted loss of the best constant, beside an offset, above the saturated one."""
        if offset is None:
            constant = self.null_raw(y, weight)
        else:
            offset = offset.reshape(len(y), -1)
            constant = self.null_beside(offset, y, weight)
        return weight @ (self.value(y, constant_predictions(constant, len(y), offset)) - self.saturated(y))

    def resolution(self, y, weight, offset=None):
        """What rounding alone makes of the mean loss: of squares, if not beside an offset, that of a relative one."""
        unit, eps = self.unit(y, weight), np.finfo(float).eps
        if not self.quadratic:
            return unit * eps
        least = unit * (4 * eps) ** 2
        return least if offset is None else max(least, np.abs(offset).max() ** 2 * eps)

    def log_likelihood(self, y: np.ndarray, raw: np.ndarray, dispersion: float = 1.0) -> np.ndarray:
        """Logarithm of the density of each row, its constants included, shape (n,).

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
        raw : ndarray of shape (n, m)
        dispersion : float, or array that broadcasts to (n, n_outputs)
            What the variance function is multiplied with; of a family whose dispersion is one, what the logarithm is
            divided by (a quasi-likelihood).
        """
        return -self.value(y, raw) / np.ravel(dispersion)

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
        return 2 * excess / self.n_outputs if self.has_dispersion else 1.0

    def pearson(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Squared residuals over the variance function, shape (n, n_outputs); their mean estimates the dispersion."""
        raise NotImplementedError

    def unit(self, y, weight):
        """A typical size of the loss, for a floor where y does not vary."""
        raise NotImplementedError

    def predictor_unit(self, raw: np.ndarray) -> np.ndarray:
        """The change of a raw prediction over which the curvature changes e-fold; inf where it never does."""
        return np.ones_like(raw)

    def recession(self, y, change):
        """Whether moving raw predictions along ``change`` for ever never raises a row's loss.

        Returns
        -------
        margin : ndarray of shape (n, any)
            Must be non-negative for the loss never to rise; it falls for ever where it is positive.
        fixed : ndarray of shape (n, any)
            Must be zero.
        """
        return np.zeros((len(change), 0)), change

    def without_shift(self, change):
        """A change of raw predictions without what the loss does not see: a common shift of all outputs."""
        return change - change.mean(axis=1, keepdims=True) if self.shift_invariant else change

    def contrasts(self):
        """An orthonormal basis of the changes of outputs that the loss sees, shape (n_outputs, r)."""
        return helmert(self.n_outputs).T if self.shift_invariant else np.eye(self.n_outputs)

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
        raise NotImplementedError

    def remarks(self, constants: np.ndarray) -> list[str]:
        """Sentences on the fitted ``constants`` that a user should know."""
        return []

    def at(self, constants: np.ndarray) -> "Loss":
        """The loss of predictions alone, its ``constants`` (n_constants,) held, as a deviance takes them."""
        return self


def _column(values):
    return values[:, None]


def _as_hessian(values):
    return values[:, None, None]


def constant_predictions(constant, n_rows, offset=None):
    """Raw predictions (n_rows, m) of a constant (m,), with an offset (n_rows, n_outputs) added."""
    raw = np.tile(constant, (n_rows, 1))
    if offset is not None:
        raw[:, : offset.shape[1]] += offset
    return raw


class SquaredLoss(Loss):
    """(raw - y)^2 / 2, for one output or for several at once."""

    quadratic = True
    attains_bound = True
    has_dispersion = True
    range_text = "finite"

    def __init__(self, n_outputs=1):
        self.n_outputs = n_outputs

    def log_likelihood(self, y, raw, dispersion=1.0):
        """See `Loss.log_likelihood`: normal, the outputs independent."""
        return -0.5 * (np.log(2 * np.pi * dispersion) + self.pearson(y, raw) / dispersion).sum(axis=1)

    def pearson(self, y, raw):
        """See `Loss.pearson`."""
        return self._residual(y, raw) ** 2

    def _residual(self, y, raw):
        return raw - y.reshape(raw.shape)

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        residual = self._residual(y, raw)
        return 0.5 * np.einsum("nk,nk->n", residual, residual), residual

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`."""
        return np.broadcast_to(np.eye(self.n_outputs), (len(raw), self.n_outputs, self.n_outputs))

    def hessian_product(self, y, raw, change, kind):
        """See `Loss.hessian_product`."""
        return change

    def hessian_root(self, y, raw):
        """See `Loss.hessian_root`."""
        return self.hessian(y, raw, "expected")

    def output_unit(self, y, weight):
        """See `Loss.output_unit`: the standard deviation."""
        deviation = np.sqrt(weight @ (y.reshape(len(y), -1) - self.null_raw(y, weight)) ** 2 / weight.sum())
        return np.where(deviation > 0, deviation, 1.0)

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return raw

    def response_moments(self, raw, variance, dispersion):
        """See `Loss.response_moments`."""
        return raw, variance, np.full_like(raw, dispersion)

    def in_range(self, y):
        """See `Loss.in_range`."""
        return np.isfinite(y).reshape(len(y), -1).all(axis=1)

    def null_raw(self, y, weight):
        """See `Loss.null_raw`."""
        return weight @ y.reshape(len(y), -1) / weight.sum()

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def unit(self, y, weight):
        """See `Loss.unit`."""
        return (weight @ y.reshape(len(y), -1) ** 2).sum() / weight.sum()

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: the curvature is constant."""
        return np.full_like(raw, np.inf)


class BinaryCrossEntropy(Loss):
    """log(1 + exp(-s raw)) with s = 2y - 1, y in {0, 1}; summed over the outputs where labels are several.

    Everything is written in ``exp(-|raw|)``, so that neither a large margin nor its complement loses digits.
    """

    range_text = "0 or 1"

    def __init__(self, n_outputs=1):
        self.n_outputs = n_outputs

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        sign = 1 - 2 * y.reshape(raw.shape)
        excess = raw * sign
        tail = np.exp(-np.abs(excess))
        value = np.log1p(tail)
        value += np.maximum(excess, 0)
        # a choice between 1 and the tail by `where` would take as long as all the rest
        miss = np.exp(np.minimum(excess, 0, out=excess), out=excess)
        tail += 1
        miss /= tail
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

    def null_raw(self, y, weight):
        """See `Loss.null_raw`; zero for a label that all rows or none have."""
        y = y.reshape(len(y), -1)
        ones, zeros = weight @ y, weight @ (1 - y)
        varies = (ones > 0) & (zeros > 0)
        return np.log(np.where(varies, ones, 1.0) / np.where(varies, zeros, 1.0))

    def null_deviance(self, y, weight, offset=None):
        """See `Loss.null_deviance`; without offset the entropy of each label, zero where all rows have it or none."""
        if offset is not None:
            return super().null_deviance(y, weight, offset)
        ones, total = weight @ y.reshape(len(y), -1), weight.sum()
        return total * (entr(ones / total) + entr(1 - ones / total)).sum()

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def unit(self, y, weight):
        """See `Loss.unit`."""
        return self.n_outputs * np.log(2)

    def pearson(self, y, raw):
        """See `Loss.pearson`: 1/odds of what happened."""
        return np.exp((1 - 2 * y.reshape(raw.shape)) * raw)

    def recession(self, y, change):
        """See `Loss.recession`."""
        return change * (2 * y.reshape(change.shape) - 1), np.zeros((len(change), 0))


class SoftmaxCrossEntropy(Loss):
    """log sum_k exp(raw_k) - raw_y, with y the index of the class."""

    cancels = True
    shift_invariant = True

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs
        self.range_text = f"an integer from 0 to {n_outputs - 1}"

    def inverse_link(self, raw):
        """See `Loss.inverse_link`: the probability of each class."""
        return np.ascontiguousarray(self._probabilities(self._shifted(raw))[0].T)

    @staticmethod
    def _shifted(raw):
        """Raw predictions less the largest, by class (k, n): numpy reduces long rows far faster than short ones."""
        shifted = np.array(raw.T, order="C")
        shifted -= shifted.max(axis=0)
        return shifted

    @staticmethod
    def _probabilities(shifted):
        """Probabilities by class (k, n), and the sums (n,) of what was normalised."""
        probability = np.exp(shifted)
        total = probability.sum(axis=0)
        probability /= total
        return probability, total

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        shifted = self._shifted(raw)
        probability, total = self._probabilities(shifted)
        own = y.astype(np.intp) * len(raw) + np.arange(len(raw))
        probability.flat[own] = 0
        probability.flat[own] = -probability.sum(axis=0)
        return np.log(total) - shifted.take(own), probability.T

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`: diag(p) - p p'."""
        probability = self.inverse_link(raw)
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
        probability = self._probabilities(self._shifted(raw))[0]
        weighted = probability * weight
        total = np.diag(weighted.sum(axis=1)) - probability @ weighted.T
        return total, 1 - np.einsum("kn,kn->n", probability, probability)

    def hessian_product(self, y, raw, change, kind):
        """See `Loss.hessian_product`."""
        probability = self._probabilities(self._shifted(raw))[0]
        weighted = probability * change.T
        weighted -= probability * weighted.sum(axis=0)
        return weighted.T

    def in_range(self, y):
        """See `Loss.in_range`."""
        return np.isin(y, np.arange(self.n_outputs))

    def null_raw(self, y, weight):
        """See `Loss.null_raw`."""
        counts = np.bincount(y.astype(np.intp), weights=weight, minlength=self.n_outputs)
        raw = np.log(np.where(counts > 0, counts / counts.sum(), _ABSENT))
        return raw - raw.mean()

    def null_deviance(self, y, weight, offset=None):
        """See `Loss.null_deviance`; without offset the entropy of the classes."""
        if offset is not None:
            return super().null_deviance(y, weight, offset)
        counts = np.bincount(y.astype(np.intp), weights=weight)
        return counts.sum() * entr(counts / counts.sum()).sum()

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def unit(self, y, weight):
        """See `Loss.unit`."""
        return np.log(self.n_outputs)

    def pearson(self, y, raw):
        """See `Loss.pearson`: of the indicators of the classes; 1/odds of the own class when added up."""
        probability, slope = self.inverse_link(raw), self.value_and_gradient(y, raw)[1]
        return np.where(slope < 0, slope**2 / probability, probability)

    def recession(self, y, change):
        """See `Loss.recession`: the own class must gain on every other."""
        rows, y = np.arange(len(change)), y.astype(np.intp)
        gain = change[rows, y][:, None] - change
        others = np.arange(self.n_outputs)[None, :] != _column(y)
        return gain[others].reshape(len(change), self.n_outputs - 1), np.zeros((len(change), 0))


class TweedieLoss(Loss):
    """Half the Tweedie deviance without its constant, log or identity link.

    With mean mu: mu^(2-p)/(2-p) - y mu^(1-p)/(1-p), and the limits mu - y log mu at p = 1, log mu + y/mu at p = 2.
    At p = 0 with its constant, (mu - y)^2 / 2: a difference of large squares would lose the digits of y.

    Parameters
    ----------
    power : float
        Variance power p: 0 normal, 1 Poisson, between 1 and 2 compound Poisson, 2 Gamma, 3 inverse Gaussian.
    link : {"log", "identity"}
        The raw prediction is log mu, or mu itself; the mean must stay positive (except at power 0).

    References
    ----------
    .. [1] B. Jorgensen, "Exponential dispersion models", JRSS B 49(2), 1987.
    """

    def __init__(self, power=1.5, link="log"):
        self.power = power
        self.link = link
        self.canonical = (link == "log" and power == 1) or (link == "identity" and power == 0)
        self.quadratic = link == "identity" and power == 0
        self.is_smooth = link == "log" or power == 0
        self.cancels = power != 0
        self.convex = power == 0 if link == "identity" else 1 <= power <= 2
        self.convex = self.convex or (link == "identity" and power == 1)
        self.curvature = "observed" if link == "log" and self.convex else "expected"
        self.has_dispersion = power != 1
        self.has_likelihood = power <= 2 or power == 3
        self.range_text = "finite" if power == 0 else "non-negative" if power < 2 else "positive"

    def _moment(self, raw, exponent):
        """mu^exponent."""
        if exponent == 0:
            return np.ones_like(raw)
        if self.link == "identity":
            return raw**exponent
        return np.exp(raw if exponent == 1 else exponent * raw)

    def _outside(self, y, raw):
        """Rows whose mean is not in the domain; a mean of 0 is where y = 0 and that has a finite loss."""
        if self.link == "log" or self.power == 0:
            return None
        return (raw <= 0) & ~self._is_at_edge(y, raw)

    def _is_at_edge(self, y, raw):
        return (raw == 0) & self.may_be_on_edge(y)

    def may_be_on_edge(self, y):
        """See `Loss.may_be_on_edge`: rows with y = 0 below power 2, where their loss at mean 0 is 0."""
        may = self.link == "identity" and 1 <= self.power < 2
        return (y == 0) if may else super().may_be_on_edge(y)

    def settled(self, y, raw):
        """See `Loss.settled`."""
        zero = self.may_be_on_edge(y)
        if not zero.any():
            return raw
        unit = np.abs(raw).mean()
        near = (raw < _ON_EDGE * unit) & (raw > -_BEYOND_EDGE * unit)
        return np.where(near & zero[:, None], 0.0, raw)

    def _value(self, y, raw):
        p = self.power
        if p == 0:
            return 0.5 * (raw - y) ** 2
        first = np.log(raw) if p == 2 else self._moment(raw, 2 - p) / (2 - p)
        second = np.log(raw) if p == 1 else self._moment(raw, 1 - p) / (1 - p)
        return first - y * second

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        raw = raw[:, 0]
        if self.link == "log":
            return self._of_log_mean(y, raw)
        if self.power > 0 and (raw <= 0).any():
            return self._beyond_inside(y, raw)
        gradient = self._moment(raw, 1 - self.power) - y * self._moment(raw, -self.power)
        return self._value(y, raw), _column(gradient)

    def _beyond_inside(self, y, raw):
        """The same where a mean is not positive: the limit at the edge, where an infinite slope is taken as zero."""
        outside, at_edge = self._outside(y, raw), self._is_at_edge(y, raw)
        value, gradient = self.value_and_gradient(y, _column(np.where(outside | at_edge, 1.0, raw)))
        gradient[at_edge] = float(self.power == 1)
        return np.where(outside, np.inf, np.where(at_edge, 0.0, value)), gradient

    def _of_log_mean(self, y, raw):
        """Value and gradient share their two powers of the mean."""
        p = self.power
        if p == 0:
            mean = np.exp(raw)
            return 0.5 * (mean - y) ** 2, _column((mean - y) * mean)
        first, second = self._moment(raw, 2 - p), y if p == 1 else y * self._moment(raw, 1 - p)
        value = (raw if p == 2 else first / (2 - p)) - (y * raw if p == 1 else second / (1 - p))
        return value, _column(first - second)

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`."""
        raw, p = raw[:, 0], self.power
        if self.link == "identity" and p > 0 and (raw <= 0).any():
            inside = self.hessian(y, _column(np.where(raw <= 0, 1.0, raw)), kind)
            inside[self._is_at_edge(y, raw)] = 0.0
            return inside
        if self.link == "log":
            if kind == "expected":
                return _as_hessian(self._moment(raw, 2 - p))
            first = 0.0 if p == 2 else (2 - p) * self._moment(raw, 2 - p)
            return _as_hessian(first if p == 1 else first - (1 - p) * y * self._moment(raw, 1 - p))
        if kind == "expected":
            return _as_hessian(self._moment(raw, -p))
        return _as_hessian((1 - p) * self._moment(raw, -p) + p * y * self._moment(raw, -p - 1))

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return np.exp(raw) if self.link == "log" else raw

    def in_range(self, y):
        """See `Loss.in_range`."""
        if self.power == 0:
            return np.isfinite(y)
        return np.isfinite(y) & ((y >= 0) if self.power < 2 else (y > 0))

    def null_raw(self, y, weight):
        """See `Loss.null_raw`: the mean of y is the best constant for every power."""
        mean = weight @ y / weight.sum()
        if self.link == "identity":
            return np.array([mean if mean > 0 or self.power == 0 else 1.0])
        return np.array([np.log(mean) if mean > 0 else 0.0])

    def null_beside(self, offset, y, weight):
        """See `Loss.null_beside`; closed for the log link, exp(constant) = sum w y m^(1-p) / sum w m^(2-p)."""
        if self.link == "identity":
            return super().null_beside(offset, y, weight)
        offset, p = offset[:, 0], self.power
        above, sign = logsumexp((1 - p) * offset, b=weight * y, return_sign=True)
        if sign <= 0:
            above = logsumexp((1 - p) * offset, b=weight)
        return np.array([above - logsumexp((2 - p) * offset, b=weight)])

    def null_deviance(self, y, weight, offset=None):
        """See `Loss.null_deviance`; none for zeros alone, which means near zero fit."""
        if not y.any() and (self.link == "log" or offset is None):
            return 0.0
        return super().null_deviance(y, weight, offset)

    def saturated(self, y):
        """See `Loss.saturated`."""
        p = self.power
        if p == 1:
            return y - xlogy(y, y)
        if p == 2:
            return np.log(y) + 1
        if p == 0:
            return np.zeros(len(y)) if self.link == "identity" else 0.5 * np.minimum(y, 0) ** 2
        return y ** (2 - p) / ((2 - p) * (p - 1))

    def unit(self, y, weight):
        """See `Loss.unit`."""
        if self.power == 0:
            return weight @ y**2 / weight.sum()
        return (weight @ np.abs(y) / weight.sum()) ** (2 - self.power)

    def log_likelihood(self, y, raw, dispersion=1.0):
        """See `Loss.log_likelihood`: normal, Poisson, compound Poisson, Gamma, inverse Gaussian.

        Raises
        ------
        ValueError
            For other powers above 2, whose density has no closed form.

        References
        ----------
        .. [1] P. Dunn, G. Smyth, "Series evaluation of Tweedie exponential dispersion model densities", Statistics
           and Computing 15, 2005.
        """
        if not self.has_likelihood:
            raise ValueError(f"the Tweedie density of power {self.power} has no closed form")
        phi = np.broadcast_to(np.ravel(dispersion), len(y))
        below = (self.value(y, raw) - self.saturated(y)) / phi
        return self._saturated_density(y, phi) - below

    def _saturated_density(self, y, phi):
        """Logarithm of the density at the mean y."""
        p = self.power
        if p == 0:
            return -0.5 * np.log(2 * np.pi * phi)
        if p == 1:
            return (xlogy(y, y) - y - gammaln(y + 1)) / phi
        if p == 2:
            return -np.log(y) - (np.log(phi) + 1) / phi - gammaln(1 / phi)
        if p == 3:
            return -0.5 * np.log(2 * np.pi * phi * y**3)
        density = np.zeros(len(y))
        positive = np.flatnonzero(y > 0)
        for start in range(0, len(positive), _SERIES_ROWS):
            rows = positive[start : start + _SERIES_ROWS]
            density[rows] = _log_compound_density(y[rows], p, phi[rows]) - self.saturated(y[rows]) / phi[rows]
        return density

    def pearson(self, y, raw):
        """See `Loss.pearson`."""
        mean = self.inverse_link(raw)
        residual = y[:, None] - mean
        return np.divide(residual**2, mean**self.power, out=np.zeros_like(mean), where=(residual != 0) | (mean != 0))

    def response_moments(self, raw, variance, dispersion):
        """See `Loss.response_moments`: log-normal; for the identity link to second order (exact for powers 0 to 3)."""
        p = self.power
        if self.link == "log":
            mean = np.exp(raw + variance / 2)
            return mean, mean**2 * np.expm1(variance), dispersion * np.exp(p * raw + p**2 * variance / 2)
        curved = 1 + (p * (p - 1) / 2 * variance / raw**2 if p else 0.0)
        return raw, variance, dispersion * self._moment(raw, p) * curved

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`."""
        if self.link == "log":
            return np.ones_like(raw)
        return np.full_like(raw, np.inf) if self.power == 0 else np.maximum(raw, np.finfo(float).tiny)

    def recession(self, y, change):
        """See `Loss.recession`: only rows with y <= 0 may sink for ever, below power 2."""
        if self.link == "identity" or self.power >= 2:
            return np.zeros((len(change), 0)), change
        zero = _column(y <= 0)
        return np.where(zero, -change, 0.0), np.where(zero, 0.0, change)


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
    has_likelihood = False

    def __init__(self, epsilon=1.35, floor=0.0):
        self.epsilon = epsilon
        self.floor = floor

    def _parts(self, y, raw):
        """sigma, residuals clipped at epsilon sigma, their ratio to sigma, and the residuals."""
        residual, sigma = raw[:, 0] - y, np.maximum(np.exp(raw[:, 1]), self.floor)
        clipped = np.clip(residual, -self.epsilon * sigma, self.epsilon * sigma)
        return sigma, clipped, clipped / sigma, residual

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`; constant in log sigma below the floor."""
        sigma, clipped, ratio, residual = self._parts(y, raw)
        value = sigma + clipped * ratio + 2 * self.epsilon * (np.abs(residual) - np.abs(clipped))
        slope = np.where(sigma > self.floor, sigma * (1 - ratio**2), 0.0)
        return value, np.stack([2 * ratio, slope], axis=1)

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`; "expected" leaves out what the logarithm makes negative."""
        sigma, clipped, ratio, residual = self._parts(y, raw)
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

    def dispersion(self, excess, constants):
        """See `Loss.dispersion`: 2 sigma, the ratio of the mean squared slope to the mean curvature along mu.

        The slopes are 2 clip(z, -epsilon, epsilon), whose mean square is 4 where sigma is the optimum; the curvature is
        2 / sigma for the rows inside. What is left of a robust fit, its outliers aside.
        """
        return 2 * max(np.exp(constants[0]), self.floor)

    def pearson(self, y, raw):
        """See `Loss.pearson`: squared residuals in units of the scale."""
        sigma, _, _, residual = self._parts(y, raw)
        return _column((residual / sigma) ** 2)

    def null_raw(self, y, weight):
        """See `Loss.null_raw`: the weighted median, and 1.4826 times the weighted median distance from it."""
        centre = _weighted_median(y, weight)
        return np.append(centre, self.null_constants(y - centre, weight))

    def null_beside(self, offset, y, weight):
        """See `Loss.null_beside`: with the identity link an offset is part of y."""
        return self.null_raw(y - offset[:, 0], weight)

    def output_unit(self, y, weight):
        """See `Loss.output_unit`: the scale of the null model."""
        return np.exp(self.null_raw(y, weight)[1:])

    def curvature_ratio(self, before, after):
        """See `Loss.curvature_ratio`: it falls with the scale."""
        return np.maximum(np.exp(before[0]), self.floor) / np.maximum(np.exp(after[0]), self.floor)

    def null_constants(self, residual, weight):
        """See `Loss.null_constants`."""
        distance = np.abs(residual)
        spread = _MAD_TO_SIGMA * _weighted_median(distance, weight)
        if spread <= self.floor:
            spread = max(weight @ distance / weight.sum(), 2 * self.floor)
        return np.log([spread or 1.0])

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def unit(self, y, weight):
        """See `Loss.unit`."""
        return weight @ np.abs(y) / weight.sum()

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: rows enter and leave the quadratic part over a sigma, if not by rounding."""
        sigma = np.maximum(np.exp(raw[:, 1]), _ROUNDING * self.floor)
        return np.stack([sigma, np.ones(len(raw))], axis=1)

    def remarks(self, constants):
        """See `Loss.remarks`."""
        if np.exp(constants[0]) > _PERFECT * self.floor:
            return []
        return ["The fit is perfect: the residuals vanish, and the scale is held at rounding."]


class NegativeBinomialLoss(Loss):
    """Negative log-likelihood of the negative binomial distribution, log link, without its term log y!.

    With mean mu and variance mu + mu^2 / theta (NB2). The raw columns are log mu and, where theta is estimated,
    c = theta^-1/2: the relative standard deviation of the gamma distribution whose mixture of Poisson distributions
    this is. c, unlike log theta, reaches the Poisson limit at a finite point: counts without overdispersion have
    their optimum at c = 0, as regular a minimum as any. The loss depends on c^2 alone.

    It is convex in log mu, and not jointly. Everything is written in a = c^2, v = mu / (1 + a mu) and, where
    differences would lose digits, in series, down to a = 0; y need not be an integer.

    Parameters
    ----------
    theta : float or None
        inf is the Poisson distribution; None for a parameter of the model.
    floor : float
        An estimated c below this counts as none.

    References
    ----------
    .. [1] J. Lawless, "Negative binomial and mixed Poisson regression", Canadian Journal of Statistics 15(3), 1987.
    .. [2] J. Hilbe, "Negative Binomial Regression", 2nd ed., 2011, chapter 8.
    """

    canonical = False
    cancels = True
    even_constants = True
    range_text = "non-negative"

    def __init__(self, theta=None, floor=1e-3):
        self.theta = theta
        self.floor = floor
        self.n_constants = int(theta is None)
        self.constant_names = ("theta^(-1/2)",) if theta is None else ()
        self.convex = theta is not None

    def _parts(self, raw):
        """mu, a, 1 / (1 + a mu), v and c."""
        c = raw[:, 1] if self.theta is None else np.full(len(raw), self.theta**-0.5)
        mu, a = np.exp(raw[:, 0]), c**2
        rest = 1 / (1 + a * mu)
        return mu, a, rest, mu * rest, c

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        mu, a, rest, v, c = self._parts(raw)
        bent = np.log1p(a * mu)
        value = y * (bent - raw[:, 0]) + np.where(a > 0, bent / np.where(a > 0, a, 1.0), mu)
        rising = _log_rising(y, a, 1 if self.n_constants else 0)
        slopes = [v - y * rest]
        if self.n_constants:
            slopes.append(2 * c * (y * v - v**2 * _tail(a * v, rest, 2) - rising[1]))
        return value - rising[0], np.stack(slopes, axis=1)

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`.

        The expected curvature along c is a lower bound of Fisher's information, which has no closed form: what
        (y - mu)^2 tells of a. It is exact as a vanishes.
        """
        _, a, rest, v, c = self._parts(raw)
        if not self.n_constants:
            return _as_hessian(v if kind == "expected" else (y * a * v + v) * rest)
        hessian = np.zeros((len(y), 2, 2))
        if kind == "expected":
            hessian[:, 0, 0] = v
            hessian[:, 1, 1] = 2 * a * v**2 / (1 + a)
            return hessian
        rising = _log_rising(y, a, 2)
        slope = y * v - v**2 * _tail(a * v, rest, 2) - rising[1]
        bend = 2 * v**3 * _tail(a * v, rest, 3) - y * v**2 - rising[2]
        hessian[:, 0, 0] = (y * a * v + v) * rest
        hessian[:, 0, 1] = hessian[:, 1, 0] = 2 * c * v * (y * rest - v)
        hessian[:, 1, 1] = 2 * slope + 4 * a * bend
        return hessian

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return np.exp(raw[:, :1])

    def in_range(self, y):
        """See `Loss.in_range`: also between the integers, where the gamma function continues the likelihood."""
        return np.isfinite(y) & (y >= 0)

    def null_raw(self, y, weight):
        """See `Loss.null_raw`: the mean of y is the best constant for every theta."""
        mean = weight @ y / weight.sum()
        raw = np.log(mean) if mean > 0 else 0.0
        return np.append(raw, self._best_constants(y, weight, raw))

    def _constant_hessian(self, y, raw, weight):
        """See `Loss._constant_hessian`: the observed one, for the expected is a coarse bound along c."""
        return np.einsum("n,nkl->kl", weight, self.hessian(y, raw, "observed"))

    def null_constants(self, residual, weight):
        """See `Loss.null_constants`: for counts of mean one."""
        return self._best_constants(residual, weight, 0.0)

    def _best_constants(self, y, weight, raw):
        """The c that fits a common mean, by bisection of the slope in a on the logarithm; 0 without overdispersion."""
        if not (self.n_constants and y.any()):
            return np.zeros(self.n_constants)
        y, index = np.unique(y, return_inverse=True)
        weight = np.bincount(index, weights=weight)

        def slope(c):
            """That of the loss in c, over 2 c."""
            _, a, rest, v, _ = self._parts(np.tile([raw, c], (len(y), 1)))
            return weight @ (y * v - v**2 * _tail(a * v, rest, 2) - _log_rising(y, a, 1)[1])

        low, high = _LEAST_SPREAD / np.sqrt(np.exp(raw)), 1.0
        if slope(low) >= 0:
            return np.zeros(1)
        while slope(high) < 0 and high < _MOST_SPREAD:
            high *= 4
        while high > low * (1 + 4 * np.finfo(float).eps):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        return np.array([high])

    def null_deviance(self, y, weight, offset=None):
        """See `Loss.null_deviance`; none for zeros alone, which means near zero fit."""
        return super().null_deviance(y, weight, offset) if y.any() else 0.0

    def saturated(self, y):
        """See `Loss.saturated`: at the mean y, and without overdispersion where theta is estimated."""
        if self.n_constants:
            return y - xlogy(y, y)
        raw = np.log(np.where(y > 0, y, 1.0))[:, None]
        return np.where(y > 0, self.value(y, raw), 0.0)

    def terms_of_y(self, y):
        """See `Loss.terms_of_y`: with theta given, what is left of the value at any mean is linear in y."""
        return self.value(y, np.zeros((len(y), 1)))

    def log_likelihood(self, y, raw, dispersion=1.0):
        """See `Loss.log_likelihood`."""
        return -(self.value(y, raw) + gammaln(y + 1)) / np.ravel(dispersion)

    def pearson(self, y, raw):
        """See `Loss.pearson`."""
        mu, _, rest, v, _ = self._parts(raw)
        return _column((y - mu) ** 2 * rest**2 / v)

    def response_moments(self, raw, variance, dispersion):
        """See `Loss.response_moments`: log-normal, for a given theta; the noise is E mu + E mu^2 / theta."""
        mean = np.exp(raw + variance / 2)
        spread = mean**2 * np.expm1(variance)
        return mean, spread, mean + (mean**2 + spread) / self.theta

    def unit(self, y, weight):
        """See `Loss.unit`."""
        return weight @ y / weight.sum()

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: half of c, for the loss depends on c^2."""
        unit = np.ones_like(raw)
        unit[:, 1:] = 0.5 * np.maximum(np.abs(raw[:, 1:]), self.floor)
        return unit

    def recession(self, y, change):
        """See `Loss.recession`: only rows with y = 0 may sink for ever."""
        zero = _column(y == 0)
        fixed = np.hstack([np.where(zero, 0.0, change[:, :1]), change[:, 1:]])
        return np.where(zero, -change[:, :1], 0.0), fixed

    def remarks(self, constants):
        """See `Loss.remarks`."""
        if not self.n_constants or abs(constants[0]) > self.floor:
            return []
        return ["There is no overdispersion: this is the Poisson limit, theta = inf; use PoissonRegressor."]

    def at(self, constants):
        """See `Loss.at`: that of a given theta, of inf where c is below the floor."""
        if not self.n_constants:
            return self
        return NegativeBinomialLoss(float(constants[0] ** -2.0) if abs(constants[0]) > self.floor else np.inf)


def _tail(p, rest, first):
    """The sum over k >= 0 of p^k / (k + first), first 2 or 3, for 0 <= p <= 1 and rest = 1 - p."""
    near = np.minimum(p, _SERIES)
    total = np.zeros_like(near)
    for k in range(_SERIES_TERMS, -1, -1):
        total = total * near + 1 / (k + first)
    if (p <= _SERIES).all():
        return total
    far = np.maximum(p, _SERIES)
    rest = np.clip(rest, np.finfo(float).tiny, 1 - _SERIES)
    closed = -np.log(rest) - far - (far**2 / 2 if first == 3 else 0)
    return np.where(p <= _SERIES, total, closed / far**first)


def _log_rising(y, a, order):
    """log(Gamma(y + 1/a) / Gamma(1/a)) + y log a, for integers the sum of log(1 + j a) over j < y.

    Returns a list with its first derivatives in a, ``order`` of them. For small a by Stirling's series, of which
    large terms cancel on paper, else by the gamma function and its derivatives.
    """
    small = a <= _STIRLING
    if small.all():
        return _log_rising_series(y, a, order)
    direct = _log_rising_direct(y, np.maximum(a, _STIRLING), order)
    if not small.any():
        return direct
    series = _log_rising_series(y, np.minimum(a, _STIRLING), order)
    return [np.where(small, one, other) for one, other in zip(series, direct, strict=True)]


def _log_rising_direct(y, a, order):
    theta = 1 / a
    result = [gammaln(y + theta) - gammaln(theta) - y * np.log(theta)]
    if order > 0:
        first = theta * (digamma(y + theta) - digamma(theta))
        result.append(theta * (y - first))
    if order > 1:
        # in log a the derivatives are y - first, and the next line
        second = first + theta**2 * (polygamma(1, y + theta) - polygamma(1, theta))
        result.append(theta**2 * (second - (y - first)))
    return result


def _log_rising_series(y, a, order):
    """The same with q = a y / (1 + a y): terms of Stirling's series at y + 1/a less those at 1/a."""
    rest = 1 / (1 + a * y)
    q = a * y * rest
    two = _tail(q, rest, 2)
    result = [y * q * two - 0.5 * np.log1p(a * y)]
    if order > 0:
        result.append(y**2 * rest * (1 - rest * two) - y * rest / 2)
    if order > 1:
        result.append(y**3 * rest**2 * (2 * rest * _tail(q, rest, 3) - 1) + y**2 * rest**2 / 2)
    for k, b in enumerate(_BERNOULLI, start=1):
        result[0] += b / (2 * k * (2 * k - 1)) * a ** (2 * k - 1) * (rest ** (2 * k - 1) - 1)
        if order > 0:
            result[1] += b / (2 * k) * a ** (2 * k - 2) * (rest ** (2 * k) - 1)
        if order > 1:
            result[2] -= b * a ** (2 * k - 2) * y * rest ** (2 * k + 1)
            if k > 1:
                result[2] += b * (2 * k - 2) / (2 * k) * a ** (2 * k - 3) * (rest ** (2 * k) - 1)
    return result


def _log_compound_density(y, p, phi):
    """Logarithm of the density of a compound Poisson distribution at y > 0, but for its exponential factor.

    The sum over j >= 1, gamma distributions added, of z^j / (j! Gamma(j shape)) / y, about its largest term. Its terms
    are log-concave in j. Where they are wide a trapezoidal rule of a twelfth of their deviation is as good as their
    sum, for a bell-shaped function to all digits; and where they are so many that gamma functions lose the
    digits, there is nothing between the density and its saddlepoint approximation.
    """
    shape = (2 - p) / (p - 1)
    log_z = shape * np.log(y / (p - 1)) - np.log(2 - p) - np.log(phi) / (p - 1)
    peak = y ** (2 - p) / ((2 - p) * phi)
    deviation = np.sqrt(peak / (1 + shape))
    stride = np.maximum(deviation / _SERIES_DENSITY, 1.0)
    first = np.maximum(np.floor(peak - _SERIES_REACH * deviation - _SERIES_MARGIN), 1.0)
    count = 2 * (_SERIES_REACH * np.max(deviation / stride) + _SERIES_MARGIN)
    j = first[:, None] + stride[:, None] * np.arange(int(count) + 2)
    terms = j * log_z[:, None] - gammaln(j + 1) - gammaln(shape * j)
    series = logsumexp(terms, axis=1) + np.log(stride) - np.log(y)
    is_narrow = (phi * y ** (p - 2) < _SADDLEPOINT) & (stride > 1)
    saturated = y ** (2 - p) / ((2 - p) * (p - 1))
    return np.where(is_narrow, saturated / phi - 0.5 * np.log(2 * np.pi * phi * y**p), series)


def _weighted_median(values, weight):
    order = np.argsort(values)
    cumulated = np.cumsum(weight[order])
    return values[order][np.searchsorted(cumulated, 0.5 * cumulated[-1])]


#: one instance of every loss, for the tests that hold for all of them
LOSSES = (
    SquaredLoss(),
    SquaredLoss(3),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(3),
    SoftmaxCrossEntropy(3),
    TweedieLoss(0, "identity"),
    TweedieLoss(0, "log"),
    TweedieLoss(1, "log"),
    TweedieLoss(1, "identity"),
    TweedieLoss(1.5, "log"),
    TweedieLoss(1.5, "identity"),
    TweedieLoss(2, "log"),
    TweedieLoss(2, "identity"),
    TweedieLoss(3, "log"),
    TweedieLoss(3, "identity"),
    HuberLoss(),
    NegativeBinomialLoss(),
    NegativeBinomialLoss(2.0),
)
