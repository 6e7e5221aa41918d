"""Single rows of an objective near a point: what each adds, and how it moves with the parameters."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RowTerms:
    """What some rows add to an objective at a point, and how their raw predictions move with it."""

    y: np.ndarray  #: targets, (n,) or (n, k)
    share: np.ndarray  #: weights over the total weight, (n,)
    raw: np.ndarray  #: raw predictions, (n, m), the loss's constants included
    slope: np.ndarray  #: gradients of the loss in them, (n, m)
    bend: np.ndarray  #: its second derivatives, (n, m, m)
    along: np.ndarray  #: first-order changes of raw along the columns of a factor, (n, m, r)
    part: slice  #: which rows of the objective these are


class SingleRows:
    """The rows of an objective at a point, one by one.

    Parameters
    ----------
    here : MeanLossEvaluation
    factor : PointFactor
        Along whose columns the raw predictions move; of an objective with the same columns.
    kind : {"observed", "expected"}
        Of the second derivatives.
    """

    def __init__(self, here, factor, kind):
        self._here, self._factor, self._kind, self._objective = here, factor, kind, here.objective

    def gather(self, function):
        """The arrays ``function(terms)`` of all rows, block by block, one after the other.

        The function takes `RowTerms` to a tuple of arrays whose first axis is that of the rows.
        """
        terms = self._terms()
        return self._objective.rows.gather(lambda *block: function(terms(*block)), width=self._width)

    def reduce(self, function, width=0):
        """The sum over all rows of ``function(terms)``, a tuple of arrays; otherwise as `gather`.

        ``width`` counts further numbers that the function needs for each row.
        """
        terms = self._terms()
        return self._objective.rows.fold(lambda *block: function(terms(*block)), width=self._width + width)

    def _terms(self):
        """A function from a block, its targets and weights to `RowTerms`."""
        moved, loss, total = self._here.moved_along(self._factor), self._objective.loss, self._objective.total

        def terms(block, y, weight):
            raw, along = moved(block)
            slope = loss.value_and_gradient(y, raw)[1]
            return RowTerms(y, weight / total, raw, slope, loss.hessian(y, raw, self._kind), along, block.part)

        return terms

    @property
    def _width(self):
        """Numbers that a row needs."""
        model, shape = self._objective.model, self._factor.shape
        return model.pass_width + model.n_features + shape[0] + 2 * (model.n_outputs + model.n_constants) * shape[1]

    # -- scores, of a linear model --------------------------------------------------------------------------------

    def score_sums(self, weight, groups):
        """Sums within groups of the gradients of the rows' terms, loss and penalty, in the coordinates of the factor.

        Each row's gradient is multiplied with its ``weight`` (n_rows,); its group is a number from 0 on. Shape
        (n_groups, r).
        """
        objective, factor, predict = self._objective, self._factor, self._here.predictor()
        columns, k, constants = factor.outer.columns, objective.loss.n_outputs, objective.loss.n_constants
        sums = np.zeros((groups.max() + 1, columns.n_columns * k + constants))
        for block, y, _ in objective.rows.blocks(columns, columns.n_columns + 2 * sums.shape[1]):
            slope = objective.loss.value_and_gradient(y, predict(block))[1] * weight[block.part, None]
            Z = block.standardised(columns)
            scores = np.hstack([(Z[:, :, None] * slope[:, None, :k]).reshape(len(Z), -1), slope[:, k:]])
            order = np.argsort(groups[block.part], kind="stable")
            present, first = np.unique(groups[block.part][order], return_index=True)
            sums[present] += np.add.reduceat(scores[order], first, axis=0)
        sums = np.stack([factor.inner.transpose(row) for row in sums])
        return sums + np.bincount(groups, weight)[:, None] * self._pull

    @property
    def _pull(self):
        """The gradient of the penalty, in the coordinates of the factor."""
        return self._factor.transpose(self._objective.l2.gradient(self._here.theta))

    def score_moment(self, weight):
        """Second moment (r, r) of the gradients of the rows' terms, loss and penalty, in the coordinates of the factor.

        The outer product of each row's gradient is multiplied with its ``weight`` (n_rows,).
        """
        objective, factor = self._objective, self._factor

        def outer(raw, y, _, part):
            slope = objective.loss.value_and_gradient(y, raw)[1]
            return slope[:, :, None] * (slope * weight[part, None])[:, None, :]

        moment = factor.inner.congruence(objective.sums.products(self._here, outer, factor.outer.columns))
        if not objective.l2.is_present:
            return moment
        mean = self.score_sums(weight, np.zeros(objective.n_rows, dtype=np.intp))[0]
        cross = np.outer(mean, self._pull)
        return moment + cross + cross.T - weight.sum() * np.outer(self._pull, self._pull)
