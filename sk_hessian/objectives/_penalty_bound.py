"""What the penalty alone tells of a linear model: how large g'H^-1 g can be, without a factor of the Hessian H."""

from functools import cached_property

import numpy as np

from sk_hessian.objectives.evaluation import slices

#: eigenvalues of the intercepts' curvature up to this share of the largest are rounding
_NOTHING = 1e-12

#: share of a slope along the intercepts that may be missed
_MISSED = 1e-6


def penalty_bound(objective, here, coordinates=None, unit=1.0):
    """See `Objective.penalty_bound`: of kept raw predictions, and a strength for each coefficient, no matrix."""
    l2 = objective.l2
    is_known = objective.convex and l2.holds_each and not (objective.terms or objective.loss.n_constants)
    if not is_known or (objective.fit_intercept and not objective.design.can_keep):
        return None
    columns = objective.space.plain if coordinates is None else coordinates.columns
    return PenaltyBound(here, columns, unit) if columns.basis is None else None


class PenaltyBound:
    """An upper bound of g'H^-1 g / 2, with the Hessian H at a point, for any g in coordinates of the model's `Columns`.

    H is diag(l), the penalty, and the sum of (x, 1)(x, 1)' (x) C over the rows, C the curvature of the loss. Let A be
    what the intercepts have of it, B what they have with the coefficients, and g = (r, h). With A v = h, elimination of
    the intercepts leaves

        g'H^-1 g = h'v + (r - B v)' S^-1 (r - B v) <= h'v + sum_j (r - B v)_j^2 / l_j

    because the Schur complement S of A is diag(l) and something semi-definite (Boyd & Vandenberghe, "Convex
    optimization", 2004, appendix A.5.5). Without intercepts v is nothing. A is a sum over kept raw predictions; B v
    takes half a pass, and is next to nothing where columns are centred, so that a bound without it tells whether that
    is worth it.

    Parameters
    ----------
    here : LinearEvaluation
    columns : Columns
        Without a basis.
    unit : float or ndarray of shape (r,)
        Slopes are along these multiples of the coordinates.

    Attributes
    ----------
    passes : float
        What `proven` takes.
    """

    def __init__(self, here, columns, unit):
        self._here, self._columns, self._unit = here, columns, unit
        held = here.objective.l2.within(columns).diagonal
        # constant columns have neither slope nor strength
        self._inverse = np.divide(1.0, held, out=np.zeros_like(held), where=held > 0)
        self.passes = 0.5 * columns.fit_intercept

    def slope(self, gradient):
        """The slope of a gradient in theta."""
        R = self._columns.transpose(gradient.reshape(-1, self._inverse.shape[1]))
        return R.reshape(-1) * self._unit

    def rough(self, slope):
        """The same without the curvature that intercepts and coefficients share; no pass."""
        R, along = self._split(slope)
        return 0.5 * (along + float(np.vdot(R, R * self._inverse)))

    def proven(self, slope):
        """The bound for a slope (r,); infinite where intercepts without curvature have a slope."""
        R, along = self._split(slope)
        if self._columns.fit_intercept and along < np.inf:
            R = R - self._columns.transpose(np.concatenate((self._shared(self._shift(slope)), R[-1:])))
        return 0.5 * (along + float(np.vdot(R, R * self._inverse)))

    def move(self, slope):
        """How far v moves a linear predictor, within which A was found."""
        if not self._columns.fit_intercept:
            return 0.0
        raw = self._here.all_raw()
        return self._here.objective.loss.largest_move(raw, np.broadcast_to(self._shift(slope), raw.shape))

    def _shift(self, slope):
        """The v of a slope, shape (k,)."""
        return np.linalg.lstsq(self._of_intercepts, self._matrix(slope)[-1], rcond=_NOTHING)[0]

    def _matrix(self, slope):
        return (slope / self._unit).reshape(self._inverse.shape)

    def _split(self, slope):
        """The slope as (q, k), and h'v."""
        R = self._matrix(slope)
        if not self._columns.fit_intercept:
            return R, 0.0
        shift, h = self._shift(slope), R[-1]
        is_seen = np.linalg.norm(self._of_intercepts @ shift - h) <= _MISSED * np.linalg.norm(h)
        return R, float(h @ shift) if is_seen else np.inf

    @cached_property
    def _of_intercepts(self):
        """A, (k, k)."""
        objective, raw = self._here.objective, self._here.all_raw()
        loss, rows = objective.loss, objective.rows

        def total(part):
            y, weight = rows.y[part], rows.weight[part]
            if objective.expected_is_exact:
                return loss.total_hessian(y, raw[part], weight)[0]
            return np.einsum("n,nkl->kl", weight, loss.hessian(y, raw[part], "observed"))

        return sum(total(part) for part in slices(len(raw))) / objective.total

    def _shared(self, shift):
        """B v, (p, k): half a pass."""
        objective, raw = self._here.objective, self._here.all_raw()

        def of_block(block, y, weight):
            change = np.broadcast_to(shift, raw[block.part].shape)
            bent = objective.loss.hessian_product(y, raw[block.part], change, "observed")
            return (block.adjoint(bent * weight[:, None]),)

        return objective.rows.fold(of_block)[0] / objective.total
