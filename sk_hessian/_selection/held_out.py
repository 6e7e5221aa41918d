"""Predictions of each row by the fit without it, from one factor of the Hessian."""

import numpy as np

from sk_hessian._selection.removal import Removal
from sk_hessian.objectives import SingleRows
from sk_hessian.solvers import minimize

#: leverage above which one Newton step is not trusted and the row's fit is made anew
_MOST_LEVERAGE = 0.9

#: the same for networks, whose predictions bend in the parameters besides
_MOST_NETWORK_LEVERAGE = 0.3

#: the same for a squared loss of a linear model, whose Newton step is exact but for the digits that 1 - leverage loses
MOST_EXACT_LEVERAGE = 1 - 1e-6

#: the same for how far a row pulls its own prediction, in units over which the curvature changes e-fold: where few rows
#: are nearly separable one step may be off by several. Steps themselves are longer, and good, beside many columns
_MOST_PULL = 1.0

#: Newton steps at the end of a fit; the second one takes back the rounding of an ill-conditioned first
_POLISHING_STEPS = 2


class NotFittedWithoutError(ValueError):
    """No optimum of the rows beside ``row`` was found; the text is what the run said."""

    def __init__(self, row, message):
        super().__init__(message)
        self.row = row


class WithoutEach:
    """The raw predictions of each row without it, of an objective at its optimum.

    Parameters
    ----------
    objective : MeanLossObjective
        A sum over rows in memory.
    theta : ndarray of shape (n_parameters,)
    factor : PointFactor
        Of the whole observed Hessian there.
    tol : float
        Of fits without a row.
    """

    def __init__(self, objective, theta, factor, tol):
        self.objective, self.theta, self.factor, self._tol = objective, theta, factor, tol
        self._is_exact = objective.convex and objective.loss.quadratic

    def raw(self, refit_above=None):
        """Raw predictions of each row without it (n, m), and which rows were left out in earnest (n,)."""
        objective, loss = self.objective, self.objective.loss
        theta = polished(objective, self.theta, self.factor)

        def terms(terms):
            removal = Removal(terms, loss.n_outputs)
            pulls = np.abs(loss.without_shift(removal.pull)) / loss.predictor_unit(terms.raw)
            return removal.raw, removal.largest, pulls.max(axis=1)

        raw, largest, pulls = SingleRows(objective.at(theta), self.factor, "observed").gather(terms)
        with np.errstate(over="ignore", invalid="ignore"):
            outside = ~np.isfinite(loss.value(objective.rows.y, raw))
        if refit_above is None:
            usual = _MOST_LEVERAGE if objective.model.is_linear else _MOST_NETWORK_LEVERAGE
            refit_above = MOST_EXACT_LEVERAGE if self._is_exact else usual
        refitted = outside | (largest > min(refit_above, MOST_EXACT_LEVERAGE)) | (pulls > _MOST_PULL)
        for row in np.flatnonzero(refitted):
            raw[row] = self.refit(theta, row)
        return raw, refitted

    def refit(self, theta, row):
        """The raw prediction of a row by the optimum of the others, shape (m,)."""
        rows = self.objective.rows
        rest = self.objective.on_rows(rows.take(np.delete(np.arange(rows.n_rows), row)))
        result = minimize(rest, theta, tol=self._tol)
        if result.status != "optimal":
            raise NotFittedWithoutError(row, result.message)
        factor = rest.at(result.x).whole_factor("observed")
        theta = result.x if factor.inner.is_floored else polished(rest, result.x, factor)
        return self.objective.sample(np.array([row])).raw_predictions(theta)[0]


def polished(objective, theta, factor):
    """An optimum without what the tolerance of the fit has left, by Newton steps with one factor.

    A row that is left out may be predicted along directions that hardly count for the others, so that their objective
    alone leaves its prediction few digits.
    """
    theta = factor.restrict(theta)
    for _ in range(_POLISHING_STEPS):
        gradient = objective.value_and_gradient(theta)[1]
        theta = theta + factor.newton(gradient)[1]
    return objective.canonical(theta)
