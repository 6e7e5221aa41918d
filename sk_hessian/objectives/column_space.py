"""The coordinates of a linear model's columns, and whether some columns are nearly combinations of others."""

from dataclasses import replace
from functools import cached_property
from operator import attrgetter

import numpy as np

from sk_hessian.objectives import factors
from sk_hessian.objectives._orthogonal import Orthogonal, Varying
from sk_hessian.objectives._row_space import RowSpace
from sk_hessian.objectives.coordinates import WeightCoordinates
from sk_hessian.objectives.design import Design
from sk_hessian.objectives.models import Linear
from sk_hessian.objectives.rows import Columns

#: up to so many columns there is memory for a matrix of them, 8 r^2 bytes: 72 MB; its factor costs r^3 / 3. That tells
#: the rank, and which columns depend on others, whatever the solver
MOST_COLUMNS = 3000

#: up to so many columns a matrix of them costs next to nothing: fewer rows are then no reason for other coordinates
_NEVER_WIDE = 150

#: a pivot from which on the solution of least squares has lost two of sixteen digits at the most
_FAR_FROM_DEPENDENT = 1e-2


class ColumnSpace:
    """The coordinates in which factors of a `GLMObjective` are taken.

    Whether columns are nearly dependent is decided once, by a curvature or by their second moments; what that says of
    rank, flat directions and the coefficients of least norm holds for every solver.
    """

    def __init__(self, objective):
        self._objective, self.rows = objective, objective.rows

    def __getstate__(self):
        """Without what can be had again: a function of the objective goes to the parts of its rows."""
        return {name: value for name, value in vars(self).items() if name != "_standard"}

    @cached_property
    def plain(self):
        """Each column centred, in units that make the curvature's diagonal about one, penalty included.

        The unit of a constant column is infinite: its coefficient is zero, by the penalty or for the least norm, and
        its size, however large beside the others, leaves no rounding behind. Not where a matrix couples it with others.
        """
        centre, deviation, ridge, _ = self._objective.column_units
        has_unit, deviation = self._objective.l2.is_coupled, np.array(deviation)
        if self._is_held_otherwise:
            deviation[deviation == 0] = 1.0
        return Columns.standardising(centre, deviation, ridge, self._objective.fit_intercept, has_unit)

    @cached_property
    def in_units(self):
        """The coordinates of a run that takes no factor: of wide rows in units of the penalty, the same for all.

        The way to the optimum is then among combinations of the rows, and the penalty's little curvature along all
        others does not matter. Curvature along the rows is about one.
        """
        plain = self.plain
        if not self.is_wide:
            return plain
        unit = self.penalty_units
        size = np.linalg.norm(self._objective.column_units[1] * unit) / np.sqrt(self._objective.n_rows)
        return replace(plain, scale=np.divide(size, unit, out=np.full(len(unit), np.inf), where=unit > 0))

    @cached_property
    def penalty_units(self):
        """Units of the columns in which the penalties of all are the same, shape (p,); zero for constant columns."""
        least, varies = self._objective.l2.least().diagonal[:, 0], np.isfinite(self.plain.scale)
        typical = np.exp(np.log(least[varies]).mean()) if varies.any() else 1.0
        return np.where(varies, np.sqrt(typical / least), 0.0)

    @property
    def _is_held_otherwise(self):
        """Whether a term tells of parameters what neither the rows nor the L2 penalty do."""
        return not all(map(attrgetter("is_of_predictions"), self._objective.terms))

    @cached_property
    def constant(self):
        """Numbers of the columns without a unit, which do not vary: the moments tell them exactly."""
        return np.flatnonzero(np.isinf(self.plain.scale))

    @property
    def dependence(self):
        """Coordinates of the span of columns that are constant or nearly dependent; False without, None undecided."""
        return vars(self).get("_dependence")

    @property
    def columns(self):
        """The coordinates in which factors are taken: orthogonalised once columns proved nearly dependent."""
        return self.dependence.columns if self.dependence else self.plain

    @property
    def design(self):
        """The rows in coordinates of the columns, where they are few enough to be kept; else None."""
        if not self.is_wide:
            return self._standard
        return self.dependence.design if self.dependence else None

    @cached_property
    def _standard(self):
        """The standardised rows, where they are few enough to be kept."""
        objective, columns, loss = self._objective, self.plain, self._objective.loss
        # other terms are of the user's parameters
        rows = self.rows.kept_in(columns) if objective.design.can_keep and not objective.terms else None
        if rows is None:
            return None
        coordinates = WeightCoordinates(columns, loss.n_outputs, loss.n_constants)
        return Design(rows, Linear(columns.n_columns, False, loss), objective.l2.within(columns), coordinates)

    def penalty_product(self, columns):
        """The penalty in coordinates of the columns, as of `L2.as_product`."""
        if self.is_wide and self.dependence and self.dependence.columns is columns:
            return self.dependence.l2.as_product(Columns.raw(columns.n_columns, False))
        return self._objective.l2.as_product(columns)

    def penalty_in(self, columns):
        """The penalty in coordinates of the columns, an `L2`."""
        if self.dependence and self.dependence.columns is columns:
            return self.dependence.l2
        return self._objective.l2.within(columns)

    @cached_property
    def is_wide(self):
        """Whether coordinates are those of the rows, which are fewer than the columns and span every optimum."""
        objective = self._objective
        is_wide = objective.n_features > max(objective.n_rows, _NEVER_WIDE) and objective.rows.is_array
        return bool(is_wide and objective.l2.holds_each and not self._is_held_otherwise)

    @cached_property
    def n_columns(self):
        """Columns of the largest matrix that is factored: of wide rows as many as there are rows."""
        objective = self._objective
        return min(objective.n_features, objective.n_rows) if self.is_wide else objective.n_features

    @property
    def has_matrix(self):
        """Whether a matrix of the columns is affordable."""
        return self.n_columns <= MOST_COLUMNS

    def settle(self, here, curvature):
        """Decide, if affordable; the curvature is kept at the point, so that its factor is no further pass."""
        if self.dependence is None and self.has_matrix:
            if self.is_wide or self._are_dependent(here, curvature):
                vars(self)["_dependence"] = (RowSpace if self.is_wide else Orthogonal)(self._objective)
            else:
                self.decide_independent()

    @property
    def keeps_digits(self):
        """Whether columns are known to be so far from dependence that sums of a run lose hardly any digit."""
        return vars(self).get("_least_pivot", 0.0) >= _FAR_FROM_DEPENDENT

    def decide_independent(self):
        """Set `dependence`, once and for all: of the columns that vary none depends on others."""
        vars(self)["_dependence"] = self.constant.size > 0 and Varying(self._objective)
        whole = self._objective.whole
        if self.dependence and whole is not None and whole.space.dependence is None and not self.misses_variation:
            # columns that are independent on some rows are so on all
            whole.space.decide_independent()

    def _are_dependent(self, here, curvature):
        objective, plain = self._objective, self.plain
        if self._is_held_otherwise:
            return False
        one = objective.loss.n_outputs + objective.loss.n_constants == 1
        H = here.curvature(curvature, plain) if one else objective.sums.moments(plain, here)
        if self.constant.size:
            H = np.delete(np.delete(H, self.constant, axis=0), self.constant, axis=1)
        vars(self)["_least_pivot"] = least = factors.least_pivot(H)
        return least <= factors.NEAR_DEPENDENT

    @property
    def is_dependent(self):
        """See `Objective.is_dependent`; of a sample also where a column varies in other rows alone."""
        return isinstance(self.dependence, Orthogonal) or (bool(self.dependence) and self.misses_variation)

    @property
    def misses_variation(self):
        """Whether these are rows of a sample in which a column is constant that varies in all rows."""
        whole = self._objective.whole
        return whole is not None and self.constant.size > whole.space.constant.size

    @property
    def rank(self):
        """Rank of the columns, the intercept aside; None where no factor that would tell is affordable."""
        if not self.has_matrix:
            return None
        objective = self._objective
        if self.dependence:
            return self.dependence.columns.n_columns - objective.fit_intercept
        return objective.n_features - self.constant.size

    def least_norm(self, coef):
        """Coefficients (p, k) of least norm with the same predictions but for a constant, and that constant (k,)."""
        is_free = np.isinf(self.plain.scale)[:, None] & (self._objective.l2.diagonal == 0)
        surplus = np.where(is_free, coef, 0.0)
        surplus += self.dependence.surplus(coef - surplus)
        return coef - surplus, self.plain.shift @ surplus
