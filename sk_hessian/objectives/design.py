"""Rows, and how parameters act on them by a linear model."""

from functools import cached_property

import numpy as np

#: raw predictions that are kept at a point, 12 MB; a run has up to three points
_MOST_KEPT = 1_500_000

#: share of the size of parameters that coordinates of few rows may miss: rounding
_NOTHING = 1e-10


class Design:
    """Rows, how parameters act on them by a `Linear` model, what their penalty is, and what these cost.

    ``coordinates`` are those with theta = T z for the parameters z of this design; None where they are theta.
    """

    def __init__(self, rows, model, l2, coordinates=None):
        self.rows, self.model, self.l2, self.coordinates = rows, model, l2, coordinates
        self.width = model.n_outputs + model.n_constants  #: numbers of a row's raw predictions
        #: whether the raw predictions of all rows are few enough to be kept
        self.can_keep = rows.in_memory and rows.n_rows * self.width <= _MOST_KEPT
        self.matrix = rows.matrix  #: the rows as one array, where they are kept as such

    def can_hold(self, theta):
        """Whether parameters are T z for some z.

        Constant columns, which have no part in standardised rows, have no coefficients then; where the coordinates are
        those of few rows, the coefficients are combinations of these.
        """
        scale = self.coordinates.columns.scale
        coef = theta[: scale.size * self.model.n_outputs].reshape(scale.size, -1)
        if not self.coordinates.reaches_all and np.logical_or.reduce(coef, axis=None):
            missed = self.coordinates.restrict(theta) - theta
            return bool(np.abs(missed).max() <= _NOTHING * np.abs(theta).max())
        return not np.logical_or.reduce(coef[np.isinf(scale)], axis=None)

    def serves(self, coordinates, here):
        """Whether a run from an `Evaluation` in these coordinates can be one on these rows."""
        is_one = self.coordinates.reaches_all or coordinates.columns is self.coordinates.columns
        return is_one and (here.design is self or self.can_hold(here.theta))

    @cached_property
    def sizes(self):
        """How large each column of the rows is, shape (n_columns,); one for standardised columns."""
        if self.coordinates.reaches_all:
            return np.ones(self.matrix.shape[1])
        return np.sqrt(np.add.reduce(self.matrix * self.matrix, axis=0) / len(self.matrix))
