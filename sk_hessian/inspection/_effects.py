"""Effects of columns on the mean of a linear model, row by row, and their derivatives in the parameters."""

from dataclasses import dataclass

import numpy as np

#: a variance below so many times its own rounding error has no digit that counts
_NO_DIGITS = 100

_EPS = np.finfo(float).eps


@dataclass(frozen=True)
class Feature:
    """A column whose effect is asked for.

    ``group`` are columns that are zero before a discrete change of this one from 0 to 1, itself among them; none of a
    derivative.
    """

    column: int
    group: tuple[int, ...] = ()


class MeanEffects:
    """Effects at the parameters ``theta`` of a linear model with a covariance of them.

    The gradient of an effect of column j in the weights W (columns with the intercept, outputs) has two parts: P on row
    j of W, and Q times the row x of the table, on all of W. For a derivative P is the slope of the mean, and Q its
    change along the coefficients of j; for a discrete change they are the slope after it, and the difference of the
    slopes, with a row x before the change.

    Parameters
    ----------
    objective : GLMObjective
    theta : ndarray of shape (n_parameters,)
    covariance : ndarray of shape (n_parameters, n_parameters)
    features : list of Feature
    """

    def __init__(self, objective, theta, covariance, features):
        self.objective, self.loss, self.features = objective, objective.loss, features
        self.coef, self.intercept, self.constants = objective.unpack(theta)
        n, k = objective.model.n_weights, self.loss.n_outputs
        # the mean does not depend on the loss's own constants
        self.covariance = covariance[:n, :n].reshape(n // k, k, n // k, k)

    @property
    def width(self):
        """Numbers that a row needs."""
        return (2 * self.covariance.shape[0] + 4 * len(self.features)) * self.loss.n_outputs**2

    # -- at some rows ---------------------------------------------------------------------------------------------

    def _with_constants(self, raw):
        return np.hstack([raw, np.broadcast_to(self.constants, (len(raw), len(self.constants)))])

    def _raw(self, Z, offset):
        raw = Z @ self.coef + self.intercept
        return self._with_constants(raw if offset is None else raw + offset)

    def _parts(self, Z, offset):
        """For each feature its effect (n, k), and P and Q (n, k, k), whose last axis is that of the raw outputs."""
        raw, family, k = self._raw(Z, offset), self.loss.family, self.loss.n_outputs
        slope = family.mean_slope(raw)
        for feature in self.features:
            own, group = self.coef[feature.column], list(feature.group)
            if not group:
                along = np.broadcast_to(own, (len(Z), k))
                yield slope @ own, slope, family.mean_bend(raw, along)
                continue
            before = raw.copy()
            before[:, :k] -= Z[:, group] @ self.coef[group]
            after = before.copy()
            after[:, :k] += own
            end = family.mean_slope(after)
            change = self.loss.inverse_link(after) - self.loss.inverse_link(before)
            yield change, end, end - family.mean_slope(before)

    def _design(self, Z):
        return np.hstack([Z, np.ones((len(Z), 1))]) if self.objective.fit_intercept else Z

    # -- averages -------------------------------------------------------------------------------------------------

    def sums(self, Z, offset, weight):
        """Weighted sums over some rows: of effects (f, k), of P (f, k, k), and of Q with the rows (f, k, k, m)."""
        effects, ends, bends = (np.stack(part, axis=1) for part in zip(*self._parts(Z, offset), strict=True))
        n, f, k = effects.shape
        crossed = (weight[:, None] * bends.reshape(n, -1)).T @ self._design(Z)
        total = [np.tensordot(weight, part, 1) for part in (effects, ends)]
        return *total, crossed.reshape(f, k, k, -1)

    def averaged(self, sums):
        """Effects (f k,) and their covariance (f k, f k), of `sums` whose weights add up to one."""
        effects, ends, crossed = sums
        gradient = np.moveaxis(crossed, 3, 2).copy()  # (f, k, m, k)
        for row, end, feature in zip(gradient, ends, self.features, strict=True):
            row[:, list(feature.group)] = 0
            row[:, feature.column] += end
        m = gradient.shape[2] * gradient.shape[3]
        gradient, covariance = gradient.reshape(effects.size, m), self.covariance.reshape(m, m)
        found = gradient @ covariance @ gradient.T
        rounding = np.einsum("ij,jk,ik->i", *map(np.abs, (gradient, covariance, gradient)), optimize=True)
        require_digits(np.diag(found), rounding)
        return effects.ravel(), found

    # -- each row -------------------------------------------------------------------------------------------------

    def each(self, Z, offset):
        """Effects and variances of some rows, each of shape (n, f k)."""
        whole = self._design(Z)
        parts: list = [[], [], []]
        products = self._products(whole)
        for feature, (effect, P, Q) in zip(self.features, self._parts(Z, offset), strict=True):
            before = whole
            if feature.group:
                before = whole.copy()
                before[:, list(feature.group)] = 0
            own = products if before is whole else self._products(before)
            parts[0].append(effect)
            parts[1].append(self._variance(feature.column, P, Q, own[0]))
            parts[2].append(self._variance(feature.column, np.abs(P), np.abs(Q), own[1], np.abs(self.covariance)))
        effects, variances, rounding = map(np.hstack, parts)
        require_digits(variances, rounding)
        return effects, variances

    def _products(self, rows):
        """The covariance times rows on one side and on both, and the same of absolute values."""
        found = []
        for covariance, x in ((self.covariance, rows), (np.abs(self.covariance), np.abs(rows))):
            once = np.tensordot(x, covariance, 1)
            found.append((once, np.einsum("nlmq,nm->nlq", once, x)))
        return found

    def _variance(self, column, P, Q, products, covariance=None):
        covariance, (once, both) = self.covariance if covariance is None else covariance, products
        terms = (P @ covariance[column, :, column] + 2 * (Q @ once[:, :, column])) * P + (Q @ both) * Q
        return terms.sum(axis=2)


def require_digits(variance, rounding):
    """Refuse variances that are rounding: of columns whose mean is far from zero beside their deviation."""
    if (variance < _NO_DIGITS * _EPS * rounding).any():
        raise ValueError(
            "marginal_effects: rounding hides the standard error of an effect, because a column's mean is so large "
            "beside its standard deviation: subtract the mean from it (a StandardScaler does), and fit again"
        )
