"""The leave-one-out loss near a point as a function of the strength of the penalty."""

from dataclasses import replace

import numpy as np
from scipy.linalg import eigh

from sk_hessian._selection.held_out import MOST_EXACT_LEVERAGE
from sk_hessian.objectives import PointFactor, SingleRows

#: bends of a direction up to so many roundings are nothing
_ROUNDING = np.finfo(float).eps

#: what a leverage of one is taken as, so that a row without which nothing is determined has a large loss
_MOST_OF_ONE = 1 - 1e-10


#: how far differences move log(r), and raw predictions in units over which the curvature changes e-fold
_STEP = 1e-3


class Turned:
    """A root of curvature R, and a rotation: R Q."""

    is_floored = False

    def __init__(self, inner, Q):
        self._matrix = inner.dense() @ Q
        self.shape = self._matrix.shape

    def dense(self):
        """R Q."""
        return self._matrix

    def apply(self, u):
        """R Q u."""
        return self._matrix @ u

    def transpose(self, g):
        """Q'R'g."""
        return self._matrix.T @ g


class Bends:
    """What a penalty r times as strong makes of the Hessian, and of the optimum, in coordinates where it is diagonal.

    With P'HP = I for the Hessian at a point, Q diag(s) Q' the eigendecomposition of P'S P and S the Hessian of the
    penalty's strengths, the Hessian for r S in place of S is 1 + (r - 1) s in the coordinates P Q.

    Parameters
    ----------
    objective : GLMObjective
    factor : PointFactor
        P, whole.
    """

    def __init__(self, objective, factor):
        self._objective = objective
        columns = factor.outer.columns
        l2 = objective.l2
        penalty = l2.chosen().within(columns) if l2.has_matrix else objective.space.penalty_in(columns)
        S = np.zeros((factor.inner.shape[0],) * 2)
        penalty.add_to(S)
        shares, Q = eigh(factor.inner.congruence(S), driver="evd")
        self.turned = PointFactor(factor.outer, Turned(factor.inner, Q), factor.here)  #: P Q
        rounding = len(shares) * _ROUNDING
        self.shares = np.where(shares > rounding, np.minimum(shares, 1.0), 0.0)
        self._rounding = rounding

    def inverse(self, ratios):
        """1 / (1 + (r - 1) s), (n_directions, n_ratios); zero where there is no penalty, and nothing in the data."""
        bends = 1 - self.shares[:, None] + ratios * self.shares[:, None]
        bends[(bends <= self._rounding) & (ratios == 0)] = np.inf
        return 1 / bends

    def moves(self, here, ratios, inverse):
        """How far the optimum moves from a point, shape (n_directions, n_ratios)."""
        gradient = self.turned.transpose(here.gradient)
        pull = self.turned.transpose(self._objective.l2.chosen().gradient(here.theta))
        return -inverse * (gradient[:, None] + (ratios - 1) * pull[:, None])


class HeldOutCurve:
    """The mean leave-one-out loss of a linear model for other strengths of its penalty, from one factor of its Hessian.

    Each strength has its optimum by one Newton step from the point, and each row one Newton step without it: exact for
    squared errors, and the approximate leave-one-out of `WithoutEach` at a strength whose optimum the point is. How the
    curvature begins to change with log(r) is taken along, so that its derivative there is exact too. The rows are read
    once for all strengths.

    Parameters
    ----------
    objective : GLMObjective
    theta : ndarray of shape (n_parameters,)
    is_start : bool
        Whether that is the null model, which is no fit.
    """

    def __init__(self, objective, theta, is_start=False):
        kind = objective.curvature if is_start else "observed"
        here = objective.at(theta)
        factor = here.whole_factor(kind)
        if factor.inner.is_floored and not objective.space.is_wide:
            raise ValueError("the Hessian is singular to working precision")
        self._objective, self._here, self._bends = objective, here, Bends(objective, factor)
        self._rows = SingleRows(here, self._bends.turned, kind)
        self.shares = self._bends.shares
        loss = objective.loss
        # a common shift of all outputs is no parameter
        self._n_raw = loss.n_outputs + loss.n_constants
        self._none = loss.n_constants + (loss.shift_invariant and objective.fit_intercept)
        self._bend = 0.0 if is_start or loss.quadratic else self._slope_by_curvature()

    def effective_df(self, log_ratios):
        """Coefficients that the rows rather than the penalty determine, shape (m,)."""
        ratio = np.exp(np.atleast_1d(log_ratios))[:, None]
        return (1 - ratio * self.shares / (1 + (ratio - 1) * self.shares)).sum(axis=1) - self._none

    def optimum(self, log_ratio):
        """The parameters of a strength so many times e as large, as far as the curvature stays what it is."""
        ratios = np.exp(np.atleast_1d(log_ratio))
        moves = self._bends.moves(self._here, ratios, self._bends.inverse(ratios))
        return self._objective.canonical(self._here.theta + self._bends.turned.apply(moves[:, 0]))

    def decrement(self, here, log_ratio):
        """Half the squared Newton decrement at an `Evaluation` near by, of a strength so many times e as large."""
        slope = self._bends.turned.transpose(here.gradient)
        return 0.5 * float(slope**2 @ self._bends.inverse(np.exp(np.atleast_1d(log_ratio)))[:, 0])

    def score(self, log_ratios):
        """Minus `losses`: more is better."""
        return -self.losses(log_ratios)

    def losses(self, log_ratios):
        """Mean losses of the rows by fits without them, for strengths so many times e as large, shape (m,)."""
        ratios = np.exp(np.atleast_1d(log_ratios))
        inverse = self._bends.inverse(ratios)
        moves = self._bends.moves(self._here, ratios, inverse)
        loss = self._objective.loss

        def of_one(terms):
            along = terms.along[:, 0]
            raw, reach = terms.raw + along @ moves, terms.share[:, None] * (along**2 @ inverse)
            held_out = _without_each(loss, np.repeat(terms.y, len(ratios), axis=0), raw, terms.bend[:, 0], reach)
            return (terms.share @ held_out,)

        def of_several(terms):
            change, reach = terms.along @ moves, _reaches(terms.along, inverse)
            found = [_held_out_loss(loss, terms, change[..., i], reach[..., i]) for i in range(len(ratios))]
            return (np.array([terms.share @ value for value in found]),)

        with np.errstate(over="ignore", invalid="ignore"):
            losses = self._rows.reduce(of_one if self._n_raw == 1 else of_several)[0]
            losses += self._bend * np.atleast_1d(log_ratios)
        return np.where(np.isfinite(losses), losses, np.inf)

    def _slope_by_curvature(self):
        """What the change of the curvature with the fit adds to the slope of the losses in log(r), by differences."""
        loss, here, turned = self._objective.loss, self._here, self._bends.turned
        pull = turned.transpose(self._objective.l2.chosen().gradient(here.theta))
        path = self.shares * turned.transpose(here.gradient) - pull

        def bend(terms):
            change = terms.along @ path
            size = np.abs(change / loss.predictor_unit(terms.raw)).max(axis=1, keepdims=True)
            move = np.divide(_STEP * change, size, out=np.zeros_like(change), where=size > 0)
            ends = [loss.hessian(terms.y, terms.raw + sign * move, "observed") for sign in (1, -1)]
            return (ends[0] - ends[1]) * (size / (2 * _STEP))[:, :, None]

        def change_of_hessian(terms):
            weighted = terms.share[:, None, None] * (bend(terms) @ terms.along)
            return (np.tensordot(terms.along, weighted, axes=((0, 1), (0, 1))),)

        change = self._rows.reduce(change_of_hessian)[0]

        def slope(terms):
            moved = (terms.along.reshape(-1, len(change)) @ change).reshape(terms.along.shape)
            reach, across = (_products(terms.along, other) for other in (terms.along, moved))
            bent = bend(terms)
            ends = [
                _held_out_loss(loss, replace(terms, bend=terms.bend + step * bent), 0.0, reach - step * across)
                for step in (_STEP, -_STEP)
            ]
            return (terms.share @ (ends[0] - ends[1]) / (2 * _STEP),)

        return float(self._rows.reduce(slope)[0])


def _products(A, B):
    """A B' of each row, (n, m, m)."""
    return np.einsum("nar,nbr->nab", A, B) if A.shape[1] == 1 else A @ B.transpose(0, 2, 1)


def _without_each(loss, y, raw, bend, reach):
    """The loss of each row of one raw prediction without it, for several strengths: all but ``bend`` (n, 1) is (n, m).

    The targets ``y`` are those of all entries, row by row.
    """
    slope = loss.value_and_gradient(y, raw.reshape(-1, 1))[1].reshape(raw.shape)
    step = reach * slope / (1 - np.minimum(bend * reach, MOST_EXACT_LEVERAGE))
    return loss.value(y, (raw + step).reshape(-1, 1)).reshape(raw.shape)


def _reaches(along, inverse):
    """A H^-1 A' of each row and strength, shape (n, m, m, n_ratios), for A (n, m, r) in coordinates of the bends."""
    n, m, _ = along.shape
    reach = np.empty((n, m, m, inverse.shape[1]))
    for a in range(m):
        for b in range(a, m):
            reach[:, a, b] = reach[:, b, a] = (along[:, a] * along[:, b]) @ inverse
    return reach


def _held_out_loss(loss, terms, change, reach):
    """The loss of each row by one Newton step without it, shape (n,), from the change of its predictor.

    ``reach`` (n, m, m) is the row's own part of the inverse Hessian.
    """
    raw, reach = terms.raw + change, terms.share[:, None, None] * reach
    if raw.shape[1] == 1:
        return _without_each(loss, terms.y, raw, terms.bend[:, 0], reach[:, 0])[:, 0]
    slope = loss.value_and_gradient(terms.y, raw)[1]
    # a leverage of one leaves nothing that the other rows tell
    left = np.eye(raw.shape[1]) - _MOST_OF_ONE * (terms.bend @ reach)
    return loss.value(terms.y, raw + (reach @ np.linalg.solve(left, slope[:, :, None]))[:, :, 0])
