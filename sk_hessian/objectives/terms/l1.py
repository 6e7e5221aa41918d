"""The L1 penalty of a linear model's coefficients, and the smooth penalties of which it is the limit."""

from functools import cached_property

import numpy as np

from sk_hessian._facts import fact
from sk_hessian.objectives.terms.term import Term, TermPoint


class L1(Term):
    """A strength times the sum of the sizes of the coefficients; smoothed where it has widths.

    It is the pinball loss of a pseudo-row for each coefficient, with y = 0 and the quantile 1/2, and is smoothed as
    `PinballLoss` is: within a width h of zero it is ``strength (b^2 / h + h) / 2``.

    Parameters
    ----------
    strength : float
        Beside the weighted mean of the losses.
    widths : ndarray of shape (n_features,), optional
        In units of the coefficients. None: the penalty itself, with a kink at zero.
    """

    name = "L1"

    def __init__(self, strength, widths=None):
        self.strength, self.widths = strength, widths

    def at(self, here):
        """See `Term.at`."""
        return L1Point(self, here)

    def check(self, objective):
        """See `Term.check`."""
        if objective.loss.n_outputs > 1:
            raise ValueError(f"the L1 penalty is for losses of one output, this one has {objective.loss.n_outputs}")

    def smoothed(self, widths):
        """The same penalty with these widths (n_features,)."""
        return L1(self.strength, widths)


class L1Point(TermPoint):
    """The penalty at the point of a `LinearEvaluation`."""

    def __init__(self, term, here):
        self._widths, self._here = term.widths, here
        #: beside the sum of the losses over the rows
        self._strength = term.strength * here.objective.total_of_terms

    @cached_property
    def _coef(self):
        return self._here.theta[: self._here.objective.n_features]

    @cached_property
    def _inside(self):
        """Coefficients in widths, those beyond cut off."""
        return np.sign(self._coef) if self._widths is None else np.clip(self._coef / self._widths, -1, 1)

    @cached_property
    def _curvature(self):
        """Second derivative in each coefficient."""
        if self._widths is None:
            return np.zeros(len(self._coef))
        return np.where(np.abs(self._coef) <= self._widths, self._strength / self._widths, 0.0)

    def _padded(self, of_coef):
        return np.concatenate((of_coef, np.zeros(self._here.objective.n_parameters - len(of_coef))))

    @fact
    def value(self):
        """See `TermPoint`."""
        sizes = np.abs(self._coef)
        if self._widths is not None:
            sizes = sizes + 0.5 * self._widths * (1 - np.abs(self._inside)) ** 2
        return float(self._strength * sizes.sum())

    @fact
    def gradient(self):
        """See `TermPoint`; at zero without a width zero."""
        return self._padded(self._strength * self._inside)

    def product(self, v, kind):
        """See `TermPoint.product`."""
        return self._padded(self._curvature * v[: len(self._coef)])

    def matrix(self, columns, kind):
        """See `TermPoint.matrix`."""
        H = np.zeros((columns.n_columns + self._here.objective.loss.n_constants,) * 2)
        inner = H[: columns.n_columns, : columns.n_columns]
        if columns.basis is None:
            each = np.arange(len(self._coef))
            inner[each, each] = self._curvature / columns.scale**2
        else:
            B = columns.to_weights(np.eye(columns.n_columns))[: len(self._coef)]
            inner[:] = (B.T * self._curvature) @ B
        return H
