"""Columns as coordinates: centred, in units of their own, and orthogonal where they are nearly dependent."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sk_hessian.objectives.rows.grams import centred
from sk_hessian.objectives.rows.span import Chosen

#: units within this and its inverse have squares that are far from the floating-point range's ends
_MODERATE = 1e60

#: a mean of so many units costs a sum of squares its square in roundings, four digits of sixteen
_FAR = 100

#: length of a basis up to which products of the plain columns keep nine digits in it
_SHORT = 100


@dataclass(frozen=True)
class Columns:
    """A change of coordinates: raw = [(X - shift) / scale, 1] @ basis @ z."""

    shift: np.ndarray  #: zero of each column, (p,)
    scale: np.ndarray  #: unit of each column, (p,); that of a constant one is infinite
    fit_intercept: bool  #: whether a column of ones follows the features
    #: an orthogonalising map (q, r) of the q = p + fit_intercept standardised columns, when they are nearly dependent,
    #: or None
    basis: Any = None
    #: weights (q,), or None, under which the columns of the basis are orthogonal, and what they leave out changes no
    #: prediction
    metric: Any = None
    #: squared length of each column of the basis in that metric, (r,)
    squares: Any = None

    @classmethod
    def raw(cls, n_features, fit_intercept):
        """The columns as they are."""
        return cls(np.zeros(n_features), np.ones(n_features), fit_intercept)

    @classmethod
    def standardising(cls, centre, deviation, ridge, fit_intercept, has_unit=False):
        """Each column centred, in units of its deviation and the root of its penalty together.

        Constant ones have an infinite unit, unless ``has_unit``, of shape (p,), says otherwise.
        """
        scale = np.where((deviation > 0) | has_unit, np.hypot(deviation, ridge), np.inf)
        return cls(centre, scale, fit_intercept)

    @cached_property
    def separate(self):
        """Each column in its unit, from zero: every parameter has a coordinate of its own, intercepts too."""
        return replace(self, shift=np.zeros(len(self.shift)), scale=np.hypot(self.scale, self.shift))

    @cached_property
    def n_columns(self):
        """Number of coordinates of one output."""
        return len(self.shift) + self.fit_intercept if self.basis is None else self.basis.shape[1]

    @cached_property
    def inverse_units(self):
        """One over the units, where a product may be scaled after it is summed; None for a basis or extreme units."""
        finite = self.scale[np.isfinite(self.scale)]
        if self.basis is not None or not ((finite > 1 / _MODERATE) & (finite < _MODERATE)).all():
            return None
        return np.concatenate((1 / self.scale, np.ones(int(self.fit_intercept))))

    @cached_property
    def may_centre_late(self):
        """Whether products may be centred after they are summed: no column's mean is far beyond its unit."""
        if self.inverse_units is None or (np.abs(self.shift) > _MODERATE).any():
            return False
        return np.abs(self.shift * self.inverse_units[: len(self.shift)]).max(initial=0.0) <= _FAR

    @cached_property
    def may_turn_late(self):
        """Whether products may be taken of the plain columns, and brought into the basis after they are summed."""
        if self.chooses:
            return True
        is_formed = isinstance(self.basis, np.ndarray)
        if not is_formed or 2 * self.n_columns < len(self.basis) or not self.plain.may_centre_late:
            return False
        return np.linalg.norm(self.basis, 2) <= _SHORT

    @property
    def chooses(self):
        """Whether the basis is some of the standardised columns."""
        return isinstance(self.basis, Chosen)

    @cached_property
    def plain(self):
        """The same coordinates without the basis."""
        return replace(self, basis=None, metric=None, squares=None)

    @cached_property
    def summed_in(self):
        """The coordinates in which products are summed before `turned` brings the sum into these: once, not by blocks.

        The columns themselves, beside the ones; without an intercept they are not centred.
        """
        if self.chooses:
            return self.plain.summed_in
        plain, is_late = (self, self.may_centre_late) if self.basis is None else (self.plain, self.may_turn_late)
        if not is_late or (self.shift.any() and not self.fit_intercept):
            return self
        raw = Columns.raw(len(self.shift), self.fit_intercept)
        return self if self.basis is None and plain.has_no_units else raw

    def turned(self, grams):
        """Products (..., r, r) in these coordinates from their sums in `summed_in`."""
        if self.summed_in is self:
            return grams
        if self.chooses:
            return self.basis.T @ self.plain.turned(grams) @ self.basis
        units = self.plain.inverse_units
        grams = (centred(grams, self.shift) if self.fit_intercept else grams) * (units[:, None] * units)
        return grams if self.basis is None else self.basis.T @ grams @ self.basis

    @cached_property
    def _finite_scale(self):
        """Zero for constant columns, shape (p, 1)."""
        return np.where(np.isfinite(self.scale), self.scale, 0.0)[:, None]

    @cached_property
    def has_no_units(self):
        """Whether the columns are neither centred nor scaled."""
        return not (self.shift.any() or (self.scale != 1).any())

    @cached_property
    def is_raw(self):
        """Whether the coordinates are the columns themselves."""
        return not self.fit_intercept and self.basis is None and self.has_no_units

    def from_weights(self, W):
        """The inverse of `to_weights`; what constant columns add goes to the intercept.

        Of weights that a basis does not reach, the coordinates of the nearest that it does.
        """
        coef = W[: len(self.scale)]
        z = coef * self._finite_scale
        z = np.concatenate((z, W[-1:] + self.shift @ coef)) if self.fit_intercept else z
        if self.basis is None:
            return z
        if not z.any():
            return np.zeros((self.n_columns, z.shape[1]))
        if self.metric is None:
            return np.linalg.lstsq(self.basis, z, rcond=None)[0]
        return (self.basis.T @ (self.metric[:, None] * z)) / self.squares[:, None]

    def to_weights(self, z):
        """Coefficients and intercept (q, k) in the user's units, from coordinates (n_columns, k)."""
        z = z if self.basis is None else self.basis @ z
        if not self.fit_intercept:
            return z / self.scale[:, None]
        coef = z[:-1] / self.scale[:, None]
        return np.concatenate((coef, z[-1:] - self.shift @ coef))

    def transpose(self, gradient):
        """The adjoint of `to_weights`: a gradient (q, k) in the user's units to coordinates (n_columns, k)."""
        if self.fit_intercept:
            coef = (gradient[:-1] - self.shift[:, None] * gradient[-1]) / self.scale[:, None]
            gradient = np.concatenate((coef, gradient[-1:]))
        else:
            gradient = gradient / self.scale[:, None]
        return gradient if self.basis is None else self.basis.T @ gradient
