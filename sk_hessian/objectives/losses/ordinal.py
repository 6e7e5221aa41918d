"""Ordered classes: a cumulative model whose thresholds are constants of the loss."""

import numpy as np

from sk_hessian.objectives.losses.families import ClassFamily, Family
from sk_hessian.objectives.losses.links import CUMULATIVE, log_rest
from sk_hessian.objectives.losses.loss import HeldLoss, Loss

#: a threshold's unit is this share of the distance to its neighbours: with it the curvature has a pole at zero
_OF_GAP = 0.5


class OrdinalFamily(ClassFamily):
    """Classes that are ordered."""

    name = "ordered classes"

    def __init__(self, loss):
        super().__init__(loss)
        self.link = loss.link

    def pearson(self, y, raw):
        """See `Family.pearson`: of the indicators of the classes, added up: 1/odds of what happened."""
        return np.expm1(self.loss.value(y, raw))[:, None]

    def reported(self, class_names):
        """See `Family.reported`: the thresholds."""
        names = range(self.loss.n_classes) if class_names is None else class_names
        matrix = np.eye(self.loss.n_classes - 1)
        matrix[:, 0] = -1.0
        return [f"{names[j]}|{names[j + 1]}" for j in range(self.loss.n_classes - 1)], matrix

    def best_constant(self, y, weight):
        """See `Family.best_constant`: thresholds at the cumulated shares of the classes."""
        share = self.shares(y, weight, self.loss.n_classes)
        below = np.cumsum(share)[:-1] / share.sum()
        above = np.cumsum(share[::-1])[::-1][1:] / share.sum()
        return self.loss.from_thresholds(self.loss.quantile(below, above))

    def curvature_at_constant(self, y, raw, weight):
        """See `Family.curvature_at_constant`: the second derivatives, where they are positive."""
        return np.einsum("n,nkl->kl", weight, self.loss.hessian(y, raw, self.loss.curvature))

    def own_constants(self, residual, weight):
        """See `Family.own_constants`: distances of thresholds at the cumulated shares of the classes."""
        return self.best_constant(residual, weight)[1:]

    def unit(self, y, weight):
        """See `Family.unit`."""
        return np.log(self.loss.n_classes)


class OrdinalLoss(Loss):
    """-log(F(t_y - eta) - F(t_(y-1) - eta)) for classes y = 0, ..., K - 1 between ordered thresholds t.

    The cumulative model P(y <= j) = F(t_j - eta) [1]_. The raw columns are eta - t_0 and the distances t_j - t_0 of the
    further thresholds from the first: an intercept takes the place of that, so that columns are centred as in all
    models. Distances must increase; elsewhere the loss is infinite. It is jointly convex for all links but
    "cauchit", because the density of F is log-concave [2]_. Everything is written in log F, log(1 - F) and the
    logarithm of the density.

    Parameters
    ----------
    n_classes : int
    link : {"logit", "probit", "cloglog", "cauchit"}
        F is the logistic, normal, Gumbel (of minima) or Cauchy distribution.

    References
    ----------
    .. [1] P. McCullagh, "Regression models for ordinal data", JRSS B 42(2), 1980.
    .. [2] J. Pratt, "Concavity of the log likelihood", JASA 76, 1981.
    """

    canonical = False
    is_smooth = False
    family_class = OrdinalFamily

    def __init__(self, n_classes, link="logit"):
        self.n_classes = n_classes
        self.link = link
        self.n_constants = n_classes - 2
        self.constant_names = tuple(f"threshold {j} - threshold 1" for j in range(2, n_classes))
        self.range_text = f"an integer from 0 to {n_classes - 1}"
        self.convex = CUMULATIVE[link].convex
        self.curvature = "observed" if self.convex else "expected"

    # -- thresholds -----------------------------------------------------------------------------------------------

    def quantile(self, below, above):
        """The inverse of F where it is ``below`` and 1 - F is ``above``."""
        link = CUMULATIVE[self.link]
        if link.name == "cloglog":
            return np.log(-np.log(above))
        return np.where(below <= above, link.raw(below), -link.raw(above))

    @staticmethod
    def from_thresholds(thresholds):
        """An intercept and the loss's constants, (n_classes - 1,), from as many thresholds."""
        return np.append(-thresholds[0], thresholds[1:] - thresholds[0])

    @staticmethod
    def _arguments(raw):
        """Those of F at every threshold, (n, n_classes - 1)."""
        return np.concatenate((np.zeros((len(raw), 1)), raw[:, 1:]), axis=1) - raw[:, :1]

    @staticmethod
    def _gaps(raw):
        """Distances of neighbouring thresholds, (n, n_classes - 2)."""
        return np.diff(raw[:, 1:], axis=1, prepend=0.0)

    def _bounds(self, y, raw):
        """Arguments of F (n,) above and below each row's class, whether these are finite, and the index of the class.

        Where a class has no bound the argument is that of its other bound, so that nothing overflows.
        """
        index = y.astype(np.intp)
        arguments = self._arguments(raw)
        rows, last = np.arange(len(raw)), self.n_classes - 2
        has_upper, has_lower = index <= last, index > 0
        upper = arguments[rows, np.minimum(index, last)]
        lower = arguments[rows, np.maximum(index - 1, 0)]
        return upper, lower, has_upper, has_lower, index

    def _log_probability(self, bounds):
        """log(F(u) - F(l)) (n,), in the tail in which it has digits; -inf where the bounds are not in order."""
        link, (upper, lower, has_upper, has_lower, _) = CUMULATIVE[self.link], bounds
        # by F below the median and by 1 - F above it
        is_left = link.mean(0.5 * upper + 0.5 * lower) < 0.5
        large = np.where(is_left, link.log_mean(upper), link.log_rest(lower))
        small = np.where(is_left, link.log_mean(lower), link.log_rest(upper))
        ordered = upper > lower
        apart = np.where(ordered, small - large, -1.0)
        apart = np.where(np.isfinite(large), np.minimum(apart, 0.0), -np.inf)
        both = np.where(ordered, large + log_rest(apart), -np.inf)
        return np.where(has_lower, np.where(has_upper, both, link.log_rest(lower)), link.log_mean(upper))

    def _slopes(self, bounds, log_p):
        """D log P / du and d log P / dl, and second derivatives in u, l and both, each (n,)."""
        link, (upper, lower, has_upper, has_lower, _) = CUMULATIVE[self.link], bounds
        log_p = np.where(np.isfinite(log_p), log_p, 0.0)
        of_density = [link.log_density(bound) for bound in (upper, lower)]
        with np.errstate(over="ignore", invalid="ignore"):
            above, below = (np.exp(density - log_p) for density, _ in of_density)
            bends = [above * (of_density[0][1] - above), -below * (of_density[1][1] + below), above * below]
        # the lowest and the highest class have the derivatives of log F and log(1 - F)
        first, last = link.mean_slopes(upper), link.rest_slopes(lower)
        return (
            np.where(has_upper, np.where(has_lower, above, first[0]), 0.0),
            np.where(has_lower, np.where(has_upper, -below, last[0]), 0.0),
            np.where(has_upper, np.where(has_lower, bends[0], first[1]), 0.0),
            np.where(has_lower, np.where(has_upper, bends[1], last[1]), 0.0),
            np.where(has_upper & has_lower, bends[2], 0.0),
        )

    def _spread(self, bounds, of_upper, of_lower):
        """Gradients (n, m) in the raw columns from those in u and l, which are a threshold less eta."""
        index, rows = bounds[-1], np.arange(len(of_upper))
        gradient = np.zeros((len(of_upper), self.n_classes + 1))
        # columns: eta, then thresholds -1 (none), 0 (zero), 1, ..., n_classes - 2, and n_classes - 1 (none)
        gradient[rows, np.minimum(index + 1, self.n_classes)] = of_upper
        gradient[rows, index] += of_lower
        return np.column_stack([-(of_upper + of_lower), gradient[:, 2 : self.n_classes]])

    # -- the loss -------------------------------------------------------------------------------------------------

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        bounds = self._bounds(y, raw)
        log_p = self._log_probability(bounds)
        value = np.where(self._is_ordered(raw), -log_p, np.inf)
        of_upper, of_lower, *_ = self._slopes(bounds, log_p)
        return value, -self._spread(bounds, of_upper, of_lower)

    def _is_ordered(self, raw):
        """Whether thresholds increase, (n,) of bool."""
        return (self._gaps(raw) > 0).all(axis=1)

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`; the expected one is the second moment of the slopes over the classes."""
        if kind == "expected":
            return self._information(raw)
        bounds = self._bounds(y, raw)
        *_, in_upper, in_lower, in_both = self._slopes(bounds, self._log_probability(bounds))
        ones, zeros = np.ones(len(raw)), np.zeros(len(raw))
        upper, lower = self._spread(bounds, ones, zeros), self._spread(bounds, zeros, ones)
        mixed = in_both[:, None, None] * upper[:, :, None] * lower[:, None, :]
        hessian = in_upper[:, None, None] * upper[:, :, None] * upper[:, None, :]
        hessian += in_lower[:, None, None] * lower[:, :, None] * lower[:, None, :]
        return -(hessian + mixed + mixed.transpose(0, 2, 1))

    def _information(self, raw):
        total = np.zeros((len(raw), raw.shape[1], raw.shape[1]))
        for k in range(self.n_classes):
            bounds = self._bounds(np.full(len(raw), k), raw)
            log_p = self._log_probability(bounds)
            of_upper, of_lower, *_ = self._slopes(bounds, log_p)
            root = np.exp(0.5 * log_p)
            slope = self._spread(bounds, of_upper * root, of_lower * root)
            total += slope[:, :, None] * slope[:, None, :]
        return total

    def log_probabilities(self, raw):
        """Logarithm of the probability of each class, shape (n, n_classes)."""
        every = [self._log_probability(self._bounds(np.full(len(raw), k), raw)) for k in range(self.n_classes)]
        return np.stack(every, axis=1)

    def inverse_link(self, raw):
        """See `Loss.inverse_link`: the mean of the class's number."""
        return np.exp(self.log_probabilities(raw)) @ np.arange(self.n_classes)[:, None]

    def in_range(self, y):
        """See `Loss.in_range`."""
        return np.isin(y, np.arange(self.n_classes))

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`: of a threshold no more than half the way to the next."""
        units = CUMULATIVE[self.link].unit(self._arguments(raw))
        of_eta = units.min(axis=1, keepdims=True)
        nearest = np.abs(self._gaps(raw))
        nearest[:, :-1] = np.minimum(nearest[:, :-1], nearest[:, 1:])
        return np.concatenate((of_eta, np.minimum(_OF_GAP * nearest, units[:, 1:])), axis=1)

    def at(self, constants):
        """See `Loss.at`: of the null model the thresholds are fitted all the same."""
        return _HeldOrdinalLoss(self, constants) if self.n_constants else self

    def recession(self, y, change):
        """See `Loss.recession`: bounds must not come nearer; they move away where they move at all."""
        upper, lower, has_upper, has_lower, _ = self._bounds(y, change)
        margin = np.stack([np.where(has_upper, upper, 0.0), np.where(has_lower, -lower, 0.0)], axis=1)
        return margin, np.zeros((len(change), 0))


class _HeldOrdinalFamily(Family):
    """That of predictions beside given thresholds, compared with the null model of thresholds alone."""

    def null_deviance(self, y, weight, offset=None):
        """See `Family.null_deviance`."""
        return self.loss.loss.family.null_deviance(y, weight, offset)

    def unit(self, y, weight):
        """See `Family.unit`."""
        return self.loss.loss.family.unit(y, weight)


class _HeldOrdinalLoss(HeldLoss):
    """The loss of predictions beside given thresholds: no prediction is certain of any class but the outermost."""

    family_class = _HeldOrdinalFamily

    def saturated(self, y):
        """See `Loss.saturated`."""
        return np.zeros(len(y))
