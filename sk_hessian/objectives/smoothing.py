"""A piecewise linear objective as the limit of smooth ones: linear programs whose rows are those of a model.

The weighted sum of pinball losses and of an L1 penalty,

    F(theta) = sum_i w_i rho(y_i - z_i'u) + sum_j l_j |u_j|,        rho(r) = max(q r, (q - 1) r),

in coordinates u of the columns z, has the dual problem

    maximise sum_i w_i d_i y_i  subject to  q - 1 <= d_i <= q  and  |sum_i w_i d_i z_ij| <= l_j.

A smoothed objective, whose loss is a quadratic within a width of its kink, has slopes d that are feasible at its
optimum. For widths below some positive one they are optimal, and the rows and the coefficients within the width are
those that are zero at a vertex that is optimal, which solves linear equations (Madsen & Nielsen; Chen). The difference
of the two problems, the duality gap, bounds what is left above the optimum wherever it is computed.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lstsq

from sk_hessian.objectives.coordinates import WeightCoordinates
from sk_hessian.objectives.evaluation import EPS, ROUNDINGS
from sk_hessian.objectives.terms.l1 import L1

#: cached facts of rows and columns that no width changes
_SAME = frozenset({"moments_of_columns", "column_sizes", "space", "design", "raw_units"})

#: eigenvalues of second moments below this share of the largest are rounding, and standardised coefficients too
_NOTHING = 1e-13

#: times that slopes are balanced, some of them having come to their bounds
_MOST_BALANCINGS = 5

#: makes of the median distance of a normal sample its standard deviation, 1 / Phi^-1(3/4)
_MAD_TO_SIGMA = 1.4826022185056018


@dataclass(frozen=True)
class Vertex:
    """A point near the optimum of a smoothed objective, and how far it is from that of the objective itself."""

    theta: np.ndarray  #: (n_parameters,)
    value: float  #: the objective there
    gap: float  #: what is left above the optimum, at the most
    dual: np.ndarray  #: the point (n,) of the dual problem, slopes of the rows
    rounding: float  #: of the value
    n_near: int  #: rows within the width


class Smoothing:
    """The smooth objectives near a piecewise linear `GLMObjective`, and bounds by its dual problem.

    References
    ----------
    .. [1] K. Madsen, H. B. Nielsen, "A finite smoothing algorithm for linear l1 estimation", SIAM Journal on
       Optimization 3(2), 1993.
    .. [2] C. Chen, "A finite smoothing algorithm for quantile regression", Journal of Computational and Graphical
       Statistics 16(1), 2007.
    """

    def __init__(self, objective):
        if not objective.rows.in_memory:
            raise ValueError(
                "X: rows that come in parts are not for a piecewise linear loss, whose optimum goes through single "
                "rows: pass X and y in memory"
            )
        if objective.l2.is_present or not all(isinstance(term, L1) for term in objective.terms):
            raise ValueError(
                "a piecewise linear loss goes with an L1 penalty alone: use penalty=0, or a loss with a width, such as "
                "PinballLoss(quantile, width)"
            )
        self._objective, self._space = objective, objective.space
        self._quantile = objective.loss.quantile
        self.counts = {"passes": 0.0}  #: over the rows, beside those of runs

    # -- smooth objectives ----------------------------------------------------------------------------------------

    def at(self, width):
        """The objective smoothed with a width in units of y, those of coefficients being in units of their columns."""
        objective = self._objective
        other = objective._copied(objective.rows, objective.total, set(objective._cached()) - _SAME)
        other.loss, other._projections = objective.loss.smoothed(width), {}
        other.terms = tuple(term.smoothed(width / self._space.plain.scale) for term in objective.terms)
        return other

    def spread(self, here):
        """A typical size of the residuals at an `Evaluation`: 1.4826 times the weighted median."""
        size, weight = np.abs(self._residuals(here)), self._objective.rows.weight
        order = np.argsort(size)
        cumulated = np.cumsum(weight[order])
        middle = size[order][np.searchsorted(cumulated, 0.5 * cumulated[-1])]
        return _MAD_TO_SIGMA * float(middle) or float(weight @ size / weight.sum())

    def rounding(self, here):
        """That of the value at an `Evaluation` of the objective itself: of its sum, and of the raw predictions."""
        return ROUNDINGS * EPS * (abs(here.value) + here.largest_summands)

    def settle(self, theta):
        """Decide whether columns are dependent, once for all widths: where every row counts in the curvature."""
        objective = self._objective
        widest = 4 * (objective.rows.largest_target + objective.baseline.largest_offset) or 1.0
        self._space.settle(self.at(widest).at(theta), "observed")
        self.counts["passes"] += 1

    # -- vertices -------------------------------------------------------------------------------------------------

    def vertices(self, theta, width, is_worth):
        """The optimum ``theta`` (n_parameters,) of the objective smoothed with a width, and the vertex near it.

        A list of `Vertex`; only the former, bounded by its slopes, where ``is_worth`` says no to the number of rows
        within the width.
        """
        here = self._objective.at(theta)
        residual = self._residuals(here)
        dual = self._quantile - 0.5 + 0.5 * np.clip(residual / width, -1, 1)
        near = np.flatnonzero(np.abs(residual) <= width)
        pull = self._pull(dual)
        found = [self._bounded(here, dual, pull, len(near))]
        if is_worth(len(near)):
            end, dual, pull = self._solved(theta, residual, dual, pull, width)
            found.append(self._bounded(self._objective.at(end), dual, pull, len(near)))
            self.counts["passes"] += 1
        return found

    def _solved(self, theta, residual, dual, pull, width):
        """The vertex at which rows and coefficients within the width are zero, and slopes of these rows to match.

        Slopes balance those of all other rows, as a dual point does, but for the bounds that they are cut off at.
        """
        near, columns = np.flatnonzero(np.abs(residual) <= width), self._columns
        rows, A = self._objective.rows.take(near), np.zeros((0, columns.n_columns))
        if len(near):
            A = rows.gather(lambda block, y, weight: block.standardised(columns), columns, columns.n_columns)
        u, root = self._coordinates.inverse(theta), np.sqrt(rows.weight)
        held = (np.abs(u) <= width) & (self._strengths > 0)
        end = np.where(held, 0.0, u)
        lack = root * (residual[near] + A @ (u - end))
        end[~held] += _least_squares(A[:, ~held] * root[:, None], lack)
        end[(np.abs(end) <= _NOTHING * np.maximum(np.abs(end), np.abs(u)).max()) & (self._strengths > 0)] = 0.0
        dual = dual.copy()
        dual[near], pull = self._balanced(A * rows.weight[:, None], dual[near], pull, np.sign(end))
        return self._coordinates.apply(end), dual, pull

    def _balanced(self, A, slopes, pull, signs):
        """Slopes (m,) of some weighted rows A (m, r), moved as little as balances ``pull`` (r,), and the pull then.

        Coefficients with a sign pull by their strength, those of zero by no more than that. Slopes that come to their
        bounds stay there.
        """
        low, high = self._quantile - 1, self._quantile
        for _ in range(_MOST_BALANCINGS):
            lack = pull - np.where(signs, self._strengths * signs, np.clip(pull, -self._strengths, self._strengths))
            inside, short = (low < slopes) & (slopes < high), (signs != 0) | (lack != 0)
            if not (lack.any() and inside.any()):
                break
            moved = slopes.copy()
            moved[inside] -= _least_squares(A[np.ix_(inside, short)].T, lack[short])
            moved = np.clip(moved, low, high)
            pull, slopes = pull + A.T @ (moved - slopes), moved
            if ((low < moved) & (moved < high))[inside].all():
                break
        return slopes, pull

    def _bounded(self, here, dual, pull, n_near):
        """The `Vertex` at an `Evaluation`, with the gap to a point (n,) of the dual problem, and its ``pull`` (r,).

        By complementarity: sums of terms that are not negative, without a difference of the two problems' values.
        """
        objective, residual = self._objective, self._residuals(here)
        weight, total = objective.rows.weight, objective.total
        kink = np.maximum(self._quantile * residual, (self._quantile - 1) * residual)
        u, strengths = self._coordinates.inverse(here.theta), self._strengths
        signs = np.clip(np.divide(pull, strengths, out=np.zeros_like(pull), where=strengths > 0), -1, 1)
        lack = pull - strengths * signs
        gap = weight @ np.maximum(kink - dual * residual, 0.0)
        gap += strengths @ np.maximum(np.abs(u) - signs * u, 0.0)
        gap += self._unbalanced(lack, total * here.value)
        self.counts["passes"] += 1
        return Vertex(here.theta, here.value, float(gap / total), dual, self.rounding(here), n_near)

    def gradient(self, vertex):
        """The subgradient (n_parameters,) by the dual point of a `Vertex`: next to zero at an optimum."""
        objective = self._objective

        def of_block(block, y, weight):
            return (objective.model.adjoint(block, (weight * vertex.dual[block.part])[:, None]),)

        pull = objective.rows.fold(of_block)[0]
        for term in objective.terms:
            most = term.strength * objective.total
            pull[: objective.n_features] -= np.clip(pull[: objective.n_features], -most, most)
        self.counts["passes"] += 0.5
        return -pull / objective.total

    def _residuals(self, here):
        return self._objective.rows.y - here.all_raw()[:, 0]

    @cached_property
    def _columns(self):
        return self._space.columns

    @cached_property
    def _coordinates(self):
        return WeightCoordinates(self._columns, 1, 0)

    @cached_property
    def _strengths(self):
        """Of the L1 penalty of each coordinate, beside the sum over the rows; a basis has none."""
        strengths = np.zeros(self._columns.n_columns)
        for term in self._objective.terms:
            strengths[: len(self._columns.scale)] = term.strength * self._objective.total / self._columns.scale
        return strengths

    def _pull(self, dual):
        """sum_i w_i d_i z_i, shape (r,)."""
        columns = self._columns

        def of_block(block, y, weight):
            return (block.standardised(columns).T @ (weight * dual[block.part]),)

        self.counts["passes"] += 0.5
        return self._objective.rows.fold(of_block, columns, width=columns.n_columns)[0]

    # -- what rounding leaves of the constraints of the dual problem ----------------------------------------------

    def _unbalanced(self, lack, value):
        """The most that ``lack`` (r,) of the balance of a dual point can hide, beside the ``value`` of the sum.

        For the optimum u + v it is lack'v at the most. Both points have a value of at most ``value``, so that their
        predictions differ by 2 value / min(q, 1 - q) in the weighted sum of sizes, and coefficients with a penalty by
        2 value in that of strengths times sizes.
        """
        if not lack.any():
            return 0.0
        by_penalty = self._by_penalty(np.abs(lack)) if self._objective.terms else np.inf
        return 2 * value * (by_penalty if by_penalty <= EPS * len(lack) else min(by_penalty, self._by_moments(lack)))

    @property
    def _per_value(self):
        """The weighted mean size of changes of predictions, for each unit of the value, at the most."""
        return 1 / (self._objective.total * min(self._quantile, 1 - self._quantile))

    def _by_penalty(self, lack):
        held = self._strengths > 0
        most = (lack[held] / self._strengths[held]).max(initial=0.0)
        if held.all() or not lack[-1]:
            return most
        # the intercept is what is left of the mean prediction
        return most + lack[-1] * (self._per_value + (self._means[held] / self._strengths[held]).max(initial=0.0))

    @cached_property
    def _means(self):
        """Sizes of the means of the standardised columns, (r,): next to zero."""
        return np.abs(self._pull(np.ones(self._objective.n_rows))) / self._objective.total

    def _by_moments(self, lack):
        root, longest = self._root_of_moments
        return np.inf if root is None else float(np.linalg.norm(lack @ root)) * longest * self._per_value

    @cached_property
    def _root_of_moments(self):
        """P with P'MP = 1 for the second moments M of the rows, and the length of the longest row of Z P.

        None where there are too many columns, or a penalty holds directions that the rows do not determine.
        """
        columns = self._columns
        if not self._space.has_matrix:
            return None, np.inf
        values, vectors = np.linalg.eigh(self._objective.sums.plain_moments(columns))
        kept = values > _NOTHING * values[-1]
        if self._objective.terms and not kept.all():
            return None, np.inf
        root = vectors[:, kept] / np.sqrt(values[kept])
        self.counts["passes"] += 2

        def longest(block, y, weight):
            return (np.square(block.standardised(columns) @ root).sum(axis=1).max(initial=0.0),)

        return root, float(np.sqrt(self._objective.rows.fold(longest, columns, np.maximum, columns.n_columns)[0]))


def _least_squares(A, b):
    """The shortest solution, by a pivoted QR decomposition."""
    return lstsq(A, b, lapack_driver="gelsy", check_finite=False)[0] if A.size else np.zeros(A.shape[1])


def smoothing_of(objective):
    """The `Smoothing` of a piecewise linear `GLMObjective`, None of any other."""
    return Smoothing(objective) if objective.loss.is_polyhedral else None
