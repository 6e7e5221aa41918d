"""Rows that are not all in memory: a part answers with sums, and with some of its rows where a sample is drawn."""

import operator
from functools import cached_property, partial

import numpy as np

from sk_hessian.objectives.rows import sampling
from sk_hessian.objectives.rows.container import BaseRows
from sk_hessian.objectives.rows.kinds import rows_of, stacked

#: attributes of `PartedRows` that do not go to the parts
_AT_HAND = ("parts", "_some", "_foreseen")


class PartedRows(BaseRows):
    """X, y and weights that come in parts: what `Rows` offers, without anything of the length of the data.

    Parameters
    ----------
    parts : Parts
    prepare : callable
        From the index and a part of the source to ``(X, y, weight)`` as `Rows` wants them. Its ``multiplier(y)`` is
        what it has multiplied weights with.
    scan : Scan
    """

    in_memory, offset = False, None

    def __init__(self, parts, prepare, scan):
        self.parts, self.prepare, self.scan = parts, prepare, scan
        self.n_rows, self.n_features = sum(scan.sizes.values()), scan.n_features
        self.numbers_per_row, self.sums_about_zero = scan.n_features, scan.sums_about_zero
        self.total_weight, self._weights_vary = scan.total, scan.least_weight < scan.most_weight
        self.targets, self.head, self.largest_target = scan.targets, scan.head, scan.largest
        sizes = [scan.sizes[index] for index in sorted(scan.sizes)]
        self._starts = dict(zip(sorted(scan.sizes), np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self._foreseen = {}  #: rows that came in a round before they are asked for, by what they are for

    def __getstate__(self):
        """A function that goes to the parts goes without them."""
        return {name: value for name, value in vars(self).items() if name not in _AT_HAND}

    def over_parts(self, function, combine):
        """See `BaseRows.over_parts`; one round."""
        prepare, starts, sizes, noun = self.prepare, self._starts, self.scan.sizes, self.parts.noun

        def of_part(index, part):
            X, y, weight = prepare(index, part)
            rows = rows_of(X, y, weight)
            if rows.n_rows != sizes.get(index, 0):
                raise ValueError(f"{noun} {index} has {rows.n_rows} rows, but had {sizes.get(index, 0)} before")
            return function(rows, starts[index]) if rows.n_rows else None

        return self.parts.fold(of_part, combine)

    def fold(self, function, columns=None, combine=operator.add, width=0):
        """See `BaseRows.fold`; one round over the parts."""

        def both(a, b):
            return [combine(x, y) for x, y in zip(a, b, strict=True)]

        return self.over_parts(lambda rows, start: rows.fold(function, columns, combine, width), both)

    def multiplier(self, y):
        """What the weights that were given with rows of these targets have been multiplied with, (n,)."""
        return self.prepare.multiplier(y)

    def standing_in(self, of_squares):
        """See `BaseRows.standing_in`: a few targets, where they tell it, so that no round is needed."""
        if not (of_squares or self.scan.keeps_targets):
            return self
        return rows_of(np.empty((len(self.targets[0]), 0)), *self.targets)

    def take(self, rows):
        """Some rows, by ascending numbers, in memory."""
        return self._take(lambda: rows)

    def _take(self, numbers):
        """The rows with the ``numbers()``, which each part finds anew: a function is less to send than they are."""

        def taken(part, start):
            rows = numbers()
            first, last = np.searchsorted(rows, [start, start + part.n_rows])
            return {start: part.take(rows[first:last] - start)} if first < last else None

        return _joined(self.over_parts(taken, operator.or_))

    def collected(self):
        """All rows in memory."""
        return _joined(self.over_parts(lambda part, start: {start: part}, operator.or_))

    def some_mean(self):
        """See `Rows.some_mean`: of the sample."""
        return self._some.some_mean()

    @cached_property
    def _some(self):
        return self._foreseen.pop("units", None) or super()._some

    def foresee_draw(self, size, seed):
        """See `BaseRows.foresee_draw`: the rows of a draw come in the same round as those that tell whether it will do.

        Where some columns prove rare they came for nothing: one more round for every model would cost more.
        """
        if self.sums_about_zero or self._weights_vary or "_some" in vars(self):
            return
        units, drawn = (partial(sampling.unit_rows, self.n_rows), partial(sampling.stratified, self.n_rows, size, seed))

        def wanted():
            return np.union1d(units(), drawn())

        rows, numbers = self._take(wanted), wanted()
        for name, some in (("units", units), ("draw", drawn)):
            self._foreseen[name] = rows.take(np.searchsorted(numbers, some()))

    def draw(self, size, rare, seed):
        """See `Rows.draw`; the same rows as if all were in memory."""
        foreseen = self._foreseen.pop("draw", None)
        if rare is None and not self._weights_vary:
            rows = foreseen or self._take(partial(sampling.stratified, self.n_rows, size, seed))
            return rows, np.full(rows.n_rows, size / self.n_rows)

        def norms(part):
            return part.weight if rare is None else rare.weighted_norms(part)

        total_norm = self.over_parts(lambda part, start: norms(part).sum(), operator.add)
        total_weight = self.total_weight

        def drawn(part, start):
            chance = sampling.chances(size, part.weight, norms(part), total_weight, total_norm)
            generator = np.random.Generator(np.random.PCG64(seed).advance(start))
            rows = np.flatnonzero(generator.random(part.n_rows) < chance)
            return {start: (part.take(rows), np.minimum(chance[rows], 1.0))}

        pairs = self.over_parts(drawn, operator.or_)
        rows = _joined({start: pair[0] for start, pair in pairs.items()})
        return rows, np.concatenate([pairs[start][1] for start in sorted(pairs)])


def _joined(parts):
    """The rows of a dict of rows by their start."""
    return stacked([parts[start] for start in sorted(parts)])
