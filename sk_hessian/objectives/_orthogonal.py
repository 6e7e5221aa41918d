"""Coordinates of the columns that vary, and ones in which nearly dependent columns are orthogonal."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import eigh, qr, svd

from sk_hessian.objectives.rows import Chosen, Columns, triangle

#: rows times columns squared from which second moments are asked first
_LARGE = 1e9

#: shares of the largest eigenvalue of second moments: up to the first it may be rounding, from the second on it is not
_ROUNDING, _CLEAR = 1e-9, 1e-6

#: what a null vector may make of a prediction, beside standardised columns of size one
_UNSEEN = 1e-9

#: how much shorter a column is taken to be than the one before it, to tell columns of equal length apart
_TILT = 1e-7

#: shares of a combination below this are rounding
_TINY_SHARE = 1e-6

#: columns that a named combination lists
_MOST_TERMS = 6


class Varying:
    """Coordinates of the columns that vary, where some are constant and the others are far from dependence."""

    design = None  #: rows are not kept in these coordinates

    def __init__(self, objective):
        plain = objective.space.plain
        varies = np.append(np.isfinite(plain.scale), np.ones(int(plain.fit_intercept), dtype=bool))
        which = np.flatnonzero(varies)
        basis, squares = Chosen(which, len(varies)), np.ones(len(which))
        self.columns = replace(plain, basis=basis, metric=varies.astype(float), squares=squares)
        #: the penalty in these coordinates
        self.l2 = objective.l2.within(self.columns)

    def surplus(self, coef):
        """See `Orthogonal.surplus`."""
        return 0.0

    def dependencies(self):
        """See `Orthogonal.dependencies`."""
        return []


class Orthogonal:
    """Coordinates in which nearly dependent columns are orthogonal, and the combinations that vanish in them.

    From the singular values of the standardised design, with the penalty as further rows, reduced block by block to
    its triangular factor: the normal equations would lose the digits that tell near dependence from dependence.
    """

    def __init__(self, objective):
        self._objective_name = objective.name
        plain, least = objective.space.plain, objective.l2.least()
        p = objective.n_features
        self.plain, self._is_free = plain, least.is_unpenalised
        least = least.times(1 / objective.baseline.mean_curvature).within(plain)
        ridge, varies = least.diagonal[:p, 0], np.isfinite(plain.scale)
        # where all is penalised by itself the optimum is in the span of the rows in units of the penalty, so that no
        # more is needed; else the penalty enters as rows
        spanned = bool((ridge[varies] > 0).all() and varies.any()) and not least.has_matrix
        typical = np.exp(np.log(ridge[varies]).mean()) if spanned else 0.0
        unit = np.ones(p + plain.fit_intercept)
        if spanned:
            unit[:p] = np.where(varies, np.sqrt(typical / np.where(varies, ridge, 1.0)), 0.0)
        R = self._triangle(objective, plain, unit, [] if spanned else least.root())
        singular, Vt = svd(R, full_matrices=False, lapack_driver="gesdd")[1:]
        keep = singular > np.finfo(float).eps * max(objective.n_rows, p) * singular.max(initial=0.0)
        self._R: Any = None if spanned else R
        self._V: Any = None if spanned else Vt[keep]
        root = np.hypot(singular[keep], np.sqrt(typical))
        basis = self._shortest(Vt[keep].T / root * unit[:, None])
        metric = np.divide(1.0, unit**2, out=np.zeros_like(unit), where=unit > 0) if spanned else None
        squares = None if metric is None else metric @ basis**2
        self.columns = Columns(plain.shift, plain.scale, plain.fit_intercept, basis, metric, squares)
        self.design = None  #: rows are not kept in these coordinates
        #: the penalty in these coordinates
        diagonal = typical / root**2 if spanned else None
        self.l2 = self._penalty(objective.l2, objective.baseline.mean_curvature, typical, diagonal)

    def _penalty(self, l2, mean_curvature, typical, diagonal):
        """The penalty in these coordinates: where all is penalised a diagonal, but for the intercept that is not."""
        if diagonal is None:
            return l2.within(self.columns)
        ridge = np.diag(diagonal)
        if self.plain.fit_intercept:
            ridge -= typical * np.outer(self.columns.basis[-1], self.columns.basis[-1])
        # strengths are products of a feature's and an output's: those of one output are a multiple of the least
        return l2.multiples_of(mean_curvature * ridge, np.isfinite(self.plain.scale))

    def _shortest(self, basis):
        """The coordinates without what the null space adds to coefficients in the user's units."""
        null = self.null_space
        if not null.shape[1]:
            return basis
        p, varies = len(null), np.isfinite(self.plain.scale)
        coef = np.zeros((p, basis.shape[1]))
        coef[varies] = basis[:p][varies] / self.plain.scale[varies, None]
        along = null @ np.linalg.lstsq(null, coef, rcond=None)[0]
        basis = basis.copy()
        basis[:p][varies] -= along[varies] * self.plain.scale[varies, None]
        return basis

    def _triangle(self, objective, plain, unit, ridge):
        """The rows, or where they are more than the columns their triangular factor, with those of a ridge below."""
        total, most = objective.rows.total_weight, len(unit)

        def scaled(block, y, weight):
            return block.standardised(plain) * unit * np.sqrt(weight / total)[:, None]

        R = self._root_of_gram(objective, plain, unit)
        R = objective.rows.triangle(scaled, plain, width=most) if R is None else R
        R = np.vstack([R, ridge]) if len(ridge) else R
        return triangle(R) if len(R) > most else R

    @staticmethod
    def _root_of_gram(objective, plain, unit):
        """The same from the columns' second moments, where these tell dependence from its absence; else None.

        They do where no eigenvalue is between `_ROUNDING` and `_CLEAR`, and the rows confirm that null vectors
        change no prediction. Small tables are not asked, because their triangle costs next to nothing.
        """
        rows, p = objective.rows, len(plain.shift)
        if objective.n_rows * len(unit) ** 2 < _LARGE or objective.n_rows <= len(unit):
            return None
        values, V = eigh(unit[:, None] * objective.sums.plain_moments(plain) * unit, driver="evd")
        is_null = values < _CLEAR * values[-1]
        if values[is_null].max(initial=0.0) > _ROUNDING * values[-1]:
            return None
        N = unit[:, None] * V[:, is_null]
        coef = N[:p] / plain.scale[:, None]
        constant = -plain.shift @ coef + N[p:].sum(axis=0)

        def squares(block, y, weight):
            return (weight @ (block.forward(coef) + constant) ** 2,)

        if (rows.fold(squares)[0] > rows.total_weight * _UNSEEN**2).any():
            return None
        return np.sqrt(np.where(is_null, 0.0, values))[:, None] * V.T

    @cached_property
    def null_space(self):
        """Coefficient directions (p, d) in the user's units that leave every prediction as it is.

        Those of constant columns are left out, see `ColumnSpace.least_norm`.
        """
        p = len(self.plain.scale)
        varies = np.append(np.isfinite(self.plain.scale), np.ones(int(self.plain.fit_intercept), dtype=bool))
        if self._V is None or len(self._V) == varies.sum():
            return np.zeros((p, 0))
        complement = svd(self._V[:, varies], full_matrices=True)[2][len(self._V) :]
        null = np.zeros((p, len(complement)))
        null[varies[:p]] = complement[:, : varies[:p].sum()].T / self.plain.scale[varies[:p], None]
        return null

    def surplus(self, coef):
        """What coefficients (p, k) have beside those of least norm with the same predictions but for a constant."""
        null = self.null_space
        return null @ np.linalg.lstsq(null, coef, rcond=None)[0] if null.shape[1] else 0.0

    def dependencies(self):
        """Each column that depends on others as a combination of them, such as ``"x2 = 3 x0 - 0.5 x1 + 1"``."""
        p = len(self.plain.scale)
        if self._V is None or len(self._V) == self._V.shape[1]:
            return []
        rank = len(self._V)
        # columns of equal length are told apart by their order, not by rounding: the later one is the combination
        tilt = 1 - _TILT * np.arange(self._R.shape[1])
        if self.plain.fit_intercept:
            tilt[-1] = 1 + _TILT
        pivot = qr(self._R * tilt, mode="r", pivoting=True, check_finite=False)[1]
        kept, dropped = pivot[:rank], pivot[rank:]
        solution = np.linalg.lstsq(self._R[:, kept], self._R[:, dropped], rcond=None)[0]
        return [
            self._sentence(kept, combination, column, p)
            for combination, column in zip(solution.T, dropped, strict=True)
            if column < p and self._is_free[column] and np.isfinite(self.plain.scale[column])
        ]

    def _sentence(self, kept, combination, column, p):
        scale, shift, name = self.plain.scale, self.plain.shift, self._objective_name
        terms, constant = [], shift[column]
        for index, factor in zip(kept, combination, strict=True):
            if index < p and abs(factor) > _TINY_SHARE:
                slope = factor * scale[column] / scale[index]
                constant -= slope * shift[index]
                size = "" if abs(abs(slope) - 1) < _TINY_SHARE else f"{abs(slope):.4g} "
                terms.append(f"{'-' if slope < 0 else '+'} {size}{name(index)}")
        if len(terms) > _MOST_TERMS:
            return f"{name(column)} = a combination of {len(terms)} other columns"
        if self.plain.fit_intercept and abs(constant) > _TINY_SHARE * (abs(shift[column]) + scale[column]):
            terms.append(f"{'-' if constant < 0 else '+'} {abs(constant):.4g}")
        return f"{name(column)} = " + (" ".join(terms).removeprefix("+ ") if terms else "0")
