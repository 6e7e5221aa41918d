"""Sums over the rows of a linear model's second derivatives, in coordinates of its columns."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sk_hessian.objectives.rows import Columns, DenseBlock

#: sums of a round that belong to its point: value, gradient and the size of the loss's slope
_OF_POINT = 3


@dataclass(frozen=True)
class Summing:
    """How sums over rows are taken in coordinates of some columns."""

    columns: Columns  #: the coordinates, `Columns`
    rows: Any  #: those of the objective, or the standardised ones
    within: Columns  #: the same coordinates, of the columns of these rows
    penalty: Any  #: the `L2` in these coordinates
    block: Any = None  #: all rows in coordinates ``within``, a `DenseBlock`, where they are kept there


class LinearSums:
    """What is summed over the rows of a `GLMObjective`."""

    def __init__(self, objective):
        self._objective, self._known = objective, {}
        #: of a squared loss, whose curvature is the same everywhere: the matrices, see `MeanLossEvaluation.curvature`
        self.constant = {}

    def __getstate__(self):
        """Without what can be had again: a function of the objective goes to the parts of its rows."""
        return {"_objective": self._objective, "_known": {}, "constant": {}}

    def of(self, columns):
        """The `Summing` in these coordinates; it is kept."""
        known = self._known.get(id(columns))
        if known is None:
            known = self._known[id(columns)] = self._new(columns)
        return known

    def _new(self, columns):
        objective = self._objective
        design, dependence, rows = objective.standard_design, objective.space.dependence, objective.rows
        raw = Columns.raw(columns.n_columns, False)
        if design is not None and columns is objective.space.plain:
            return Summing(columns, design.rows, raw, design.l2, DenseBlock(design.matrix))
        penalty = objective.space.penalty_in(columns)
        if dependence and columns is dependence.columns:
            if design is not None and design is dependence.design:
                return Summing(columns, design.rows, raw, penalty, DenseBlock(design.matrix))
            if design is not None:
                return Summing(columns, design.rows, raw, penalty, DenseBlock(design.matrix @ columns.basis))
        return Summing(columns, rows, columns.summed_in, penalty)

    def products(self, here, matrices, columns, with_penalty=False):
        """Sum over the rows z of (z (x) I) M (z (x) I)', with a symmetric M of each.

        What belongs to the outputs is taken with the rows in the coordinates of ``columns``, what belongs to the loss's
        constants with a one: shape (n_columns k + constants,) squared. ``matrices(raw, y, weight, part)`` gives M of a
        block of rows, (n, m, m), from their raw predictions ``here``. ``with_penalty`` divides by the total weight and
        adds the penalty.
        """
        of, width = self._known.get(id(columns)) or self.of(columns), self._objective.design.width

        def grams(raw, y, weight, block):
            return self._grams(matrices(raw, y, weight, block.part), block, of.within)

        sums = self.folded(here, grams, of, width**2)
        if of.block is None and of.within is not columns:
            # once, not in each block
            sums = [columns.turned(sums[0]), *(columns.transpose(cross) for cross in sums[1:2]), *sums[2:]]
        H = sums[0][0] if width == 1 else self._assembled(*sums)
        if with_penalty:
            H /= self._objective.total
            of.penalty.add_to(H)
        return H

    @staticmethod
    def folded(here, function, of, width=0):
        """The sums of ``function(raw, y, weight, block)``, a tuple, over the rows of a `Summing`, at an evaluation.

        The point finds its value and gradient in the same round.
        """
        if of.block is not None:
            if here.raw is None and not here.is_known:
                here.sweep()["shared_rounds"] = 1.0
            raw = here.all_raw() if here.raw is None else here.raw
            return function(raw, of.rows.y, of.rows.weight, of.block)
        visit, complete = here.visits(of.rows)

        def visited(block, y, weight):
            raw, found = visit(block, y, weight)
            return *function(raw, y, weight, block), *found

        sums = of.rows.fold(visited, of.within, width=width)
        if complete is None:
            return sums
        complete(sums[-_OF_POINT:])["shared_rounds"] = 1.0
        return sums[:-_OF_POINT]

    def _grams(self, M, block, columns):
        """What a block of rows adds: grams of pairs of outputs, and what belongs to the loss's constants."""
        k = self._objective.loss.n_outputs
        if M.shape[1] == 1:
            return (block.gram(M[:, :, 0], columns),)
        grams = block.gram(M[:, *_output_pairs(k)], columns)
        if M.shape[1] == k:
            return (grams,)
        cross = M[:, :k, k:].reshape(len(M), -1)
        ones = [cross.sum(axis=0)[None, :]] if columns.fit_intercept else []
        return grams, columns.transpose(np.vstack([block.adjoint(cross), *ones])), M[:, k:, k:].sum(axis=0)

    def _assembled(self, grams, cross=None, constants=None):
        """The matrix of the grams of pairs of outputs, and of what belongs to the loss's constants."""
        k, r = self._objective.loss.n_outputs, grams.shape[1]
        total = np.empty((r, k, r, k))
        for gram, a, b in zip(grams, *_output_pairs(k), strict=True):
            total[:, a, :, b] = total[:, b, :, a] = gram
        total = total.reshape(r * k, r * k)
        if cross is None:
            return total
        cross = cross.reshape(r * k, self._objective.loss.n_constants)
        return np.block([[total, cross], [cross.T, constants]])

    def moments(self, columns, here):
        """The columns' second moments, with the penalty of the first output in units of the curvature.

        The evaluation ``here`` finds its value and gradient in the same round, where it does not know them.
        """
        penalty = self.of(columns).penalty.matrix(0)
        return self.plain_moments(columns, here) + penalty / self._objective.baseline.mean_curvature

    def plain_moments(self, columns, here=None):
        """The same without a penalty; they are kept for a squared loss, whose curvature they are."""
        known = self.constant.get(("moments", id(columns)))
        if known is not None:
            return known[1]
        of = self.of(columns)

        def gram(raw, y, weight, block):
            return (block.gram(weight[:, None], of.within)[0],)

        if of.block is not None:
            total = gram(None, None, of.rows.weight, of.block)[0]
        elif here is not None and not here.is_known:
            total = columns.turned(self.folded(here, gram, of)[0])
        else:
            total = columns.turned(of.rows.fold(lambda block, y, weight: gram(None, y, weight, block), of.within)[0])
        moments = total / self._objective.total
        if self._objective.loss.quadratic:
            self.constant["moments", id(columns)] = columns, moments
        return moments


@cache
def _output_pairs(n_outputs):
    """Indices of the pairs of outputs whose blocks of the Hessian differ."""
    return np.triu_indices(n_outputs)
