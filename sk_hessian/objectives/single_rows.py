"""Single rows of an objective near a point: what each adds, and how it moves with the parameters."""

import operator
from dataclasses import dataclass

import numpy as np

from sk_hessian.objectives.rows import rows_of


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

    @property
    def score(self):
        """The gradients of the rows' losses along the columns of the factor, (n, r)."""
        return np.einsum("nmr,nm->nr", self.along, self.slope)

    @property
    def leverage(self):
        """The trace of the hat matrix of each row, (n,)."""
        return self.share * np.einsum("nkr,nkr->n", self.along, self.bend @ self.along)


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
        return self._objective.rows.gather(lambda *block: function(terms(*block, 0)), width=self._width)

    def reduce(self, function, width=0):
        """The sum over all rows of ``function(terms)``, a tuple of arrays; otherwise as `gather`.

        ``width`` counts further numbers that the function needs for each row. One round; the function goes to the
        workers of a cluster, so that it must not hold the rows.
        """
        terms, width = self._terms(), self._width + width

        def of_part(rows, start):
            return rows.fold(lambda *block: function(terms(*block, start)), width=width)

        return self._objective.rows.over_parts(of_part, lambda a, b: list(map(operator.add, a, b)))

    def _terms(self):
        """A function from a block, its targets, its weights, and the number of rows before its part to `RowTerms`."""
        moved, loss, total = self._here.moved_along(self._factor), self._objective.loss, self._objective.total

        kind = self._kind

        def terms(block, y, weight, start):
            raw, along = moved(block)
            slope = loss.value_and_gradient(y, raw)[1]
            part = block.part if not start else slice(block.part.start + start, block.part.stop + start)
            return RowTerms(y, weight / total, raw, slope, loss.hessian(y, raw, kind), along, part)

        return terms

    @property
    def _width(self):
        """Numbers that a row needs."""
        model, shape = self._objective.model, self._factor.shape
        return model.pass_width + model.n_features + shape[0] + 2 * (model.n_outputs + model.n_constants) * shape[1]

    # -- of a linear model ----------------------------------------------------------------------------------------

    def of_others(self, X, function):
        """The arrays ``function(along, part)`` of other rows X (n, p), block by block, one after the other.

        ``along`` (b, m, r) is how the raw predictions of the rows ``part`` of X move along the columns of the factor.
        """
        along = self._factor.outer.moving(self._factor.inner.dense())
        return rows_of(X).gather(lambda block, *_: function(along(block), block.part), width=self._width)

    def _scorer(self, weigh):
        """A function from a block, its targets and weights to the gradients of its rows.

        They are those of the rows' terms, loss and penalty, in the outer coordinates of the factor, times the numbers
        ``weigh(part, y, weight)`` (n,) of the rows.
        """
        objective, columns, predict = self._objective, self._factor.outer.columns, self._here.predictor()
        loss, pull, is_penalised = objective.loss, self._pull, objective.l2.is_present

        def scores(block, y, weight):
            share = weigh(block.part, y, weight)[:, None]
            slope = loss.value_and_gradient(y, predict(block))[1] * share
            Z, k = block.standardised(columns), loss.n_outputs
            found = np.hstack([(Z[:, :, None] * slope[:, None, :k]).reshape(len(Z), -1), slope[:, k:]])
            return found + share * pull if is_penalised else found

        return scores

    @property
    def _room(self):
        """Coordinates of the blocks of `_scorer`, and further numbers that a row needs."""
        columns = self._factor.outer.columns
        return columns, columns.n_columns + 2 * self._pull.size

    def score_sums(self, weigh, groups, with_leverages=False):
        """Sums within groups of the gradients of the rows' terms, loss and penalty, in the coordinates of the factor.

        Each row's gradient is multiplied with a number, ``weigh(part, y, weight)`` those of a block; its group is a
        number from 0 on. Shape (n_groups, r). One round. ``with_leverages`` adds the sums of the rows' leverages, the
        traces of their hat matrices, (n_groups,).
        """
        summed, room, size = self._scorer(weigh), self._room, self._pull.size
        if with_leverages:
            summed, room, size = self._with_leverage(summed), (room[0], room[1] + self._width), size + 1

        def of_part(rows, start):
            present, index = np.unique(groups[start : start + rows.n_rows], return_inverse=True)
            sums = np.zeros((len(present), size))
            for block, y, weight in rows.blocks(*room):
                order = np.argsort(index[block.part], kind="stable")
                here, first = np.unique(index[block.part][order], return_index=True)
                sums[here] += np.add.reduceat(summed(block, y, weight)[order], first, axis=0)
            return present, sums

        sums = self._objective.rows.over_parts(of_part, _of_both)[1]
        return (self._within(sums[:, :-1]), sums[:, -1]) if with_leverages else self._within(sums)

    def _with_leverage(self, scores):
        """The function ``scores`` of a block with one more column, the leverages of its rows."""
        terms = self._terms()
        return lambda *block: np.column_stack([scores(*block), terms(*block, 0).leverage])

    def _within(self, sums):
        """Rows of gradients in the outer coordinates of the factor, (n, q), in its own."""
        return np.stack([self._factor.inner.transpose(row) for row in sums])

    def serial_moment(self, weight, time, lags):
        """Second moment (r, r) of the same gradients of rows in the order of ``time`` (n_rows,), integers that rise.

        With Bartlett's kernel: the sum over t and s of s_t s_s' (1 - |t - s| / (lags + 1)), for |t - s| up to ``lags``.
        That is the second moment of sums over windows of ``lags + 1`` successive times, over their length, so that it
        has no negative eigenvalue.
        """
        moment, begin, before = 0.0, 0, np.zeros((lags, self._pull.size))
        scores_of = self._scorer(lambda part, *_: weight[part])
        for block, *rest in self._objective.rows.blocks(*self._room):
            part, scores = block.part, scores_of(block, *rest)
            end = time[part][-1] + 1
            rows = np.vstack([before, np.zeros((end - begin, scores.shape[1]))])
            rows[time[part] - begin + lags] = scores
            moment = moment + _moment_of_windows(rows, lags)
            begin, before = end, rows[len(rows) - lags :]
        if lags:
            # windows that reach beyond the last row
            moment = moment + _moment_of_windows(np.vstack([before, np.zeros_like(before)]), lags)
        return self._factor.inner.congruence(moment / (lags + 1))

    @property
    def _pull(self):
        """The gradient of the penalty, in the outer coordinates of the factor."""
        return self._factor.outer.transpose(self._objective.l2.gradient(self._here.theta))

    def score_moment(self, weigh):
        """Second moment (r, r) of the gradients of the rows' terms, loss and penalty, in the coordinates of the factor.

        The outer product of each row's gradient is multiplied with a number, ``weigh(part, y, weight)`` those of a
        block. One round, two under a penalty.
        """
        objective, factor = self._objective, self._factor
        loss = objective.loss

        def outer(raw, y, weight, part):
            slope = loss.value_and_gradient(y, raw)[1]
            return slope[:, :, None] * (slope * weigh(part, y, weight)[:, None])[:, None, :]

        moment = factor.inner.congruence(objective.sums.products(self._here, outer, factor.outer.columns))
        if not objective.l2.is_present:
            return moment
        scores, pull = self._scorer(weigh), factor.inner.transpose(self._pull)

        def sums(block, y, weight):
            return scores(block, y, weight).sum(axis=0), weigh(block.part, y, weight).sum()

        total, count = objective.rows.fold(sums, self._room[0], width=self._room[1])
        cross = np.outer(factor.inner.transpose(total), pull)
        return moment + cross + cross.T - count * np.outer(pull, pull)


def _of_both(a, b):
    """The sums within groups of two parts: each a pair of the groups, in order, and their sums."""
    present, index = np.unique(np.concatenate([a[0], b[0]]), return_inverse=True)
    sums = np.zeros((len(present), a[1].shape[1]))
    # no group is twice in one part
    sums[index[: len(a[0])]] += a[1]
    sums[index[len(a[0]) :]] += b[1]
    return present, sums


def _moment_of_windows(rows, lags):
    """The second moment of the sums over windows of ``lags + 1`` rows, of all that begin and end within the rows."""
    sums = np.cumsum(np.vstack([np.zeros_like(rows[:1]), rows]), axis=0)
    windows = sums[lags + 1 :] - sums[: len(sums) - lags - 1]
    return windows.T @ windows
