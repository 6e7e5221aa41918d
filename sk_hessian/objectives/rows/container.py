"""What rows offer, wherever they are: the contract of the containers."""

import operator
from functools import cached_property
from typing import Any

import numpy as np

from sk_hessian.objectives.rows import moments, sampling
from sk_hessian.objectives.rows.grams import triangle


class BaseRows:
    """X, targets, weights and offset, of which a pass asks for sums.

    ``targets``, a pair of targets and weights, stand for all: their weighted means are those of all rows. ``head`` is a
    pair of some of them, ``largest_target`` a float. The ``offset`` (n_rows, n_outputs), or None, is added to raw
    predictions; ``numbers_per_row`` is how many numbers a row of X keeps.
    """

    in_memory = True  #: whether rows can be had one by one, and arrays of their number
    is_array = False  #: whether X is an array in memory, so that another one of its size may be made
    #: whether sums of squares are about zero, not about the mean, because most entries are zero
    sums_about_zero = False
    dtype: Any = np.dtype(float)  #: float32 where X is that, else float64
    matrix: Any = None  #: X as one array, where it is kept as such
    n_rows: int
    n_features: int
    total_weight: float
    take: Any
    some_mean: Any

    def fold(self, function, columns=None, combine=operator.add, width=0):
        """Sum of ``function(block, y, weight)``, a tuple of arrays, over all blocks of rows, in a fixed order; a list.

        Overflow and invalid operations do not warn: the sums show them. The block is a `DenseBlock`, ``columns`` are
        the coordinates in which the rows will be needed, ``combine`` is what to do instead of adding, and ``width``
        counts further numbers that the function needs for each row.
        """
        raise NotImplementedError

    def over_parts(self, function, combine):
        """``combine`` of ``function(rows, start)`` over the parts that are in memory at a time, as `Rows`.

        ``start`` is the number of rows before them. Rows in memory are one part.
        """
        return function(self, 0)

    def triangle(self, function, columns=None, width=0):
        """The triangular factor of the rows ``function(block, y, weight)``, or these where they are few.

        By QR decompositions of blocks: the same singular values and right vectors, with the digits that a sum of
        squares loses.
        """

        def both(a, b):
            R = np.vstack([a, b])
            return triangle(R) if len(R) > 2 * R.shape[1] else R

        return self.fold(lambda *rows: (function(*rows),), columns, both, width)[0]

    def standing_in(self, of_squares):
        """Rows whose weighted sums over targets are those of these; fewer, or without columns, where that is cheaper.

        ``of_squares``: the sums are of polynomials of y of degree two at the most, so that `targets` tell them.
        """
        return self

    def kept_in(self, columns):
        """The rows in these coordinates as rows of their own, with the column of ones; None unless they are few."""
        return

    def moments(self, fit_intercept):
        """Weighted mean and standard deviation of each column, (p,); a constant column deviates by exactly zero.

        Without an intercept the centre is zero and the deviation the root mean square. A sample serves where dense rows
        are many, because these are only units, but for the columns that do not vary in it.
        """
        if self.sums_about_zero or self.n_rows <= 2 * sampling.UNIT_ROWS:
            return moments.exact(self, fit_intercept)
        centre, deviation = self._some.moments(fit_intercept)
        constant = np.flatnonzero(deviation == 0)
        if constant.size:
            centre[constant], deviation[constant] = moments.exact(self, fit_intercept, constant)
        return centre, deviation

    @cached_property
    def _some(self):
        """The rows in the sample for the columns' units."""
        return self.take(sampling.unit_rows(self.n_rows))

    def rare_columns(self):
        """Columns so much of whose variance is in few rows that a uniform sample would misjudge it."""
        if self.sums_about_zero:
            return np.arange(self.n_features)
        return moments.in_few_rows(self._some.gather(lambda block, y, weight: block.dense()))

    def foresee_draw(self, size, seed):
        """Be told that `draw` will be called, once the columns are known; rows in memory need not know."""
