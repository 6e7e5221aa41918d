"""The evidence near a point as a function of the strength of the penalty, in closed form."""

from functools import cached_property

import numpy as np
from scipy.linalg import eigh, solve_triangular

from sk_hessian._selection.posterior import PosteriorModel, resolved
from sk_hessian.objectives import Linearised

#: shares of the penalty in a curvature below this are rounding
_NOTHING = 1e-14

#: how far below that of the point an objective may fall, as a share: a perfect fit has rounding left
_PERFECT = 1e-15 - 1

#: how far a difference moves the raw predictions, in units over which the curvature changes e-fold
_STEP = 1e-3


class EvidenceCurve:
    """The evidence of a linear model for other strengths of its penalty, from its curvature at one point.

    With R'R the Hessian at a point and Q diag(s) Q' the eigendecomposition of R^-T S R^-1, S the penalty's Hessian, the
    Hessian for a penalty r times as strong is I + (r - 1) diag(s) in the coordinates v = Q'R (z - z_0). The optimum,
    the penalty there and the determinant follow for every r: exactly for squared errors, and for other losses as far as
    the curvature stays what it is. How its logarithm begins to change with log(r) is taken along, so that the
    derivative of the evidence at a fit is exact, and a fit whose curve is highest at r = 1 is a maximum; and how it
    changes on the way from a point beside its optimum.

    Parameters
    ----------
    objective : GLMObjective
        Without constants of the loss. At ``theta`` its optimum, or the null model.
    theta : ndarray of shape (n_parameters,)
    is_start : bool
        Whether that is the null model, which is no fit.

    References
    ----------
    .. [1] D. MacKay, "Bayesian interpolation", Neural Computation 4, 1992.
    .. [2] S. Wood, "Fast stable restricted maximum likelihood and marginal likelihood estimation of semiparametric
       generalized linear models", JRSS B 73(1), 2011.
    """

    def __init__(self, objective, theta, is_start=False):
        at = Linearised(objective, theta)
        self._model = model = PosteriorModel(at, objective.parameter_names(theta.size), resolved(at, "full"))
        self._at, self._objective, self._profiles = at, objective, objective.loss.quadratic
        core = model.precision.core
        R, strengths, project, n_copies = core.R, core.penalty, core.project, core.n_copies
        penalty = objective.l2.chosen()
        diagonal = solve_triangular(R, np.diag(np.sqrt(strengths)), trans="T")
        half = solve_triangular(R, at.root_of(penalty).T, trans="T") if objective.l2.has_matrix else diagonal
        shares, self._Q = eigh(half @ half.T)
        self.shares = np.clip(shares, 0.0, 1.0)  #: of the strengths in the curvature along each direction
        self._fixed = ((self._Q.T @ diagonal) ** 2).sum(axis=1) - self.shares  # shares of a matrix
        self._n_copies, self._n_held = n_copies, n_copies * np.count_nonzero(strengths)
        self._pull = self._along(R, project(at.gradient(penalty.gradient(theta))))
        self._slope = self._along(R, project(at.gradient(at.here.gradient)))
        self._dispersion = model.dispersion("evidence")[0]
        self._still, self._bend = 0.0, 0.0
        # the null model is far from any optimum
        if not (is_start or objective.loss.quadratic):
            tilt = self._along(R, project(self._slope_of_log_det()))
            self._still = float((tilt * self._slope).sum())
            self._bend = float((tilt * (self._pull - self.shares[:, None] * self._slope)).sum())

    def _along(self, R, gradient):
        return self._Q.T @ solve_triangular(R, gradient, trans="T")

    @cached_property
    def log_evidence(self):
        """The evidence of the point."""
        return self._model.log_evidence(self._dispersion)

    def effective_df(self, log_ratios):
        """Parameters that the rows determine, for strengths so many times e as large, shape (m,)."""
        ratio = np.exp(np.atleast_1d(log_ratios))[:, None]
        held = (ratio * self.shares + self._fixed) / (1 + (ratio - 1) * self.shares)
        return self._n_copies * (1 - held).sum(axis=1)

    def optimum(self, log_ratio):
        """The parameters of a strength so many times e as large, as far as the curvature stays what it is."""
        core = self._model.precision.core
        if core.lift is None:
            return self._at.theta
        more, s = np.expm1(log_ratio), self.shares[:, None]
        v = -(self._slope + more * self._pull) / (1 + more * s)
        change = self._at.expanded(core.lift(solve_triangular(core.R, self._Q @ v)))
        return self._objective.canonical(self._at.theta + change)

    def decrement(self, here, log_ratio):
        """Half the squared Newton decrement at an `Evaluation` near by, of a strength so many times e as large."""
        core = self._model.precision.core
        if core.lift is None:
            return np.inf
        gradient = here.gradient[: self._at.theta.size]
        slope = self._along(core.R, core.project(self._at.gradient(gradient)))
        return 0.5 * float((slope**2 / (1 + np.expm1(log_ratio) * self.shares[:, None])).sum())

    def score(self, log_ratios):
        """The evidence for strengths so many times e as large, shape (m,)."""
        log_ratios = np.atleast_1d(log_ratios)
        more, s = np.expm1(log_ratios)[:, None, None], self.shares[:, None]
        bends = 1 + more * s
        v = -(self._slope + more * self._pull) / bends
        held = np.divide((self._pull + s * v) ** 2, s, out=np.zeros_like(v), where=s > _NOTHING)
        # the rise of the objective of this strength above that of the point
        rise = (self._slope * v + 0.5 * v * v + 0.5 * more * held).sum(axis=1)
        fit = self._of_fit(rise)
        determinant = self._log_det_prior(log_ratios) - self._n_copies * np.log(bends[:, :, 0]).sum(axis=1)
        return self.log_evidence + fit + 0.5 * determinant + self._still + self._bend * log_ratios

    def _of_fit(self, rise):
        """What a rise of the objective, for each dispersion, makes of the evidence."""
        model, total = self._model, self._objective.total_weight
        if not self._profiles:
            return -(total / self._dispersion * rise).sum(axis=1)
        half, left = model.half_squares
        with np.errstate(invalid="ignore", divide="ignore"):
            return -(0.5 * left * np.log1p(np.maximum(total * rise / half, _PERFECT))).sum(axis=1)

    def _log_det_prior(self, log_ratios):
        """The log-determinant of the prior's precision, less that of the point."""
        penalty = self._at.penalty
        if not self._objective.l2.has_matrix:
            return self._n_held * log_ratios
        held = penalty > 0
        B = self._at.root_of(self._objective.l2.chosen())[:, held] / np.sqrt(penalty[held])
        shares = np.clip(eigh(B.T @ B, eigvals_only=True), 0.0, 1.0)
        return np.log1p(np.expm1(log_ratios)[:, None] * shares).sum(axis=1)

    def _slope_of_log_det(self):
        """The derivative of half the log-determinant of the Hessian in the coordinates, by differences, (size,).

        A row's curvature counts by its part of the inverse Hessian; it changes with the row's own raw predictions.
        """
        at, objective, kind = self._at, self._objective, self._model.curvature
        contrasts, columns, predict = at.coordinates.contrasts, at.coordinates.columns, at.here.predictor()
        inverse, loss = at.unturned(self._model.precision.inverse), objective.loss

        def slope(block, y, weight):
            Z, raw = block.standardised(columns), predict(block)
            hat = contrasts @ _forms(Z, inverse, contrasts.shape[1]) @ contrasts.T
            return (Z.T @ (weight[:, None] * _pull_of_curvature(loss, y, raw, hat, kind) @ contrasts),)

        width = columns.n_columns + objective.model.pass_width
        return at.turned(objective.rows.fold(slope, columns, width=width)[0].ravel() / objective.total)


def _pull_of_curvature(loss, y, raw, hat, kind):
    """The derivative of half the trace of each row's curvature times its ``hat`` (n, k, k) in its raw predictions."""
    step = _STEP * np.broadcast_to(loss.predictor_unit(raw), raw.shape)
    pull = np.empty_like(raw)
    for output in range(raw.shape[1]):
        move = np.zeros_like(raw)
        move[:, output] = step[:, output]
        bend = loss.hessian(y, raw + move, kind) - loss.hessian(y, raw - move, kind)
        pull[:, output] = (bend * hat).sum(axis=(1, 2)) / (4 * step[:, output])
    return pull


def _forms(Z, M, k):
    """The form z'M z of each row z of Z (n, q) and each pair of k outputs, (n, k, k), for M (q k, q k), symmetric."""
    forms = np.empty((len(Z), k, k))
    for a in range(k):
        for b in range(a, k):
            forms[:, a, b] = forms[:, b, a] = np.einsum("nq,nq->n", Z @ M[a::k, b::k], Z)
    return forms
