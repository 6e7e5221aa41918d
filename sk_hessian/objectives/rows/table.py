"""Rows that are in memory or memory-mapped, read in blocks: a pass allocates a block, never an array of X's size."""

import operator
from functools import cached_property, partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np

from sk_hessian._facts import lasting_fact
from sk_hessian.objectives.rows import sampling
from sk_hessian.objectives.rows.container import BaseRows
from sk_hessian.objectives.rows.grams import Scratch
from sk_hessian.objectives.rows.threads import PARALLEL_FROM, n_threads, run

#: bytes of float64 rows in one block: 0.5 to 3 MB measured alike, below the call overhead shows, above the cache ends
BLOCK_BYTES = 2**20

#: rows of a block of a plain pass, and bytes up to which they are taken: a thread that has fewer gives the interpreter
#: to the other one every few microseconds. With 1,300 rows a second thread loses time, with 5,000 it gains a tenth to a
#: half, from 10,000 on half
PASS_ROWS = 2**14
PASS_BYTES = 2**23

#: the same for one thread: its second product reads the block from its own cache. Beside blocks of 8 MB a pass of
#: 200,000 x 50 takes 0.83 of the time, of 200,000 x 100 and 1,000,000 x 20 0.9, on a machine with other work. Fewer
#: rows take less time than the calls for them: 2,000 x 500 with 10 classes takes 0.8 of the time of half as many,
#: 20,000 x 600 and 60,000 x 200 as long
OWN_PASS_BYTES = 2**20
OWN_PASS_ROWS = 2**9

#: rows for each column in the blocks of sums in coordinates of the columns, such as symmetric products, as far as they
#: have so many bytes: each block adds a matrix of the columns' size. A pass of 20,000 x 600 takes up to twice as long
#: as one product, with blocks of 1 MB at least seven times; over 20,000 x 300 up to 1.4 and at least 3
PRODUCT_ROWS = 16
PRODUCT_BYTES = 2**24

#: rows up to which distinct targets are not looked for, and the largest count that is
_FEW_ROWS = 10_000
_LARGEST_COUNT = 1000

#: targets that tell the size of a loss's derivatives
_HEAD = 1000

#: what sums show by themselves, on whichever thread or worker: no warning
_UNHEARD: dict[str, Any] = dict.fromkeys(("over", "under", "invalid", "divide"), "ignore")


def slices(size, width):
    """The slices of so many numbers each that cover ``size`` of them."""
    return [slice(start, min(start + width, size)) for start in range(0, size, width)]


class Rows(BaseRows):
    """X, y and weights; a kind of X is a subclass that says how to cut it into blocks.

    X is as `table` makes it: a row or an array of row numbers selects rows. It is of any float dtype; blocks are
    float64. The ``offset`` (n, n_outputs), or None, is added to the raw predictions.
    """

    def __init__(self, X, y, weight, offset=None):
        self.X, self.y, self.weight, self.offset = X, y, weight, offset
        self.n_rows, self.n_features = X.shape
        self.n_numbers = X.size  #: numbers that X keeps
        self.dtype = np.dtype(np.float32 if X.dtype == np.float32 else float)

    def __getstate__(self):
        """Without the block that views X."""
        return {name: value for name, value in vars(self).items() if name != "_whole"}

    # -- what a kind says ---------------------------------------------------------------------------------------------

    @staticmethod
    def holds(X):
        """Whether X, as a user has it, is of this kind."""
        raise NotImplementedError

    @staticmethod
    def table(X):
        """X as this kind wants it; without copying where that can be."""
        raise NotImplementedError

    @staticmethod
    def joined(tables):
        """The rows of several X, one after the other."""
        raise NotImplementedError

    def block(self, part, scratch=None):
        """The rows of a slice."""
        raise NotImplementedError

    def block_size(self, columns, width, workers=1):
        """Rows of a block for so many threads; parameters as of `fold`."""
        if columns is None and not width:
            size = PASS_BYTES // (8 * self.n_features)
            if workers == 1:
                size = min(size, max(OWN_PASS_ROWS, OWN_PASS_BYTES // (8 * self.n_features)))
            return max(1, min(PASS_ROWS, size))
        n_columns = 0 if columns is None else columns.n_columns
        width += self.n_features + n_columns
        size = max(BLOCK_BYTES, min(8 * width * PRODUCT_ROWS * n_columns, PRODUCT_BYTES))
        return max(1, size // (8 * width))

    # -- sums over rows -----------------------------------------------------------------------------------------------

    def fold(self, function, columns=None, combine=operator.add, width=0):
        """See `BaseRows.fold`; on several threads if it pays."""
        workers = 1 if self.n_numbers < PARALLEL_FROM else n_threads(self.n_numbers)
        size = min(self.block_size(columns, width, workers), -(-self.n_rows // workers))
        if size >= self.n_rows:
            with np.errstate(**_UNHEARD):
                return list(function(self._whole, self.y, self.weight))
        parts = slices(self.n_rows, size)
        workers = min(workers, len(parts))
        if workers == 1:
            return self._fold_parts(function, combine, parts)
        bounds = np.linspace(0, len(parts), workers + 1).astype(int)
        totals = run([partial(self._fold_parts, function, combine, parts[a:b]) for a, b in pairwise(bounds)])
        return [reduce(combine, terms) for terms in zip(*totals, strict=True)]

    @cached_property
    def _whole(self):
        """All rows as one block."""
        return self.block(slice(0, self.n_rows))

    def _fold_parts(self, function, combine, parts):
        scratch = Scratch()
        terms = (function(self.block(part, scratch), self.y[part], self.weight[part]) for part in parts)
        with np.errstate(**_UNHEARD):
            return list(reduce(lambda total, more: tuple(map(combine, total, more)), terms))

    def offset_of(self, part):
        """That of some rows."""
        return None if self.offset is None else self.offset[part]

    def blocks(self, columns=None, width=0):
        """Yield what a function in `fold` gets."""
        size = self.block_size(columns, width)
        if size >= self.n_rows:
            yield self._whole, self.y, self.weight
            return
        for part in slices(self.n_rows, size):
            yield self.block(part), self.y[part], self.weight[part]

    def gather(self, function, columns=None, width=0):
        """``function(block, y, weight)``, an array or a tuple of them, of all blocks, stacked by rows."""
        parts = self.fold(lambda *rows: ([function(*rows)],), columns, operator.iadd, width)[0]
        if isinstance(parts[0], tuple):
            return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        return np.concatenate(parts)

    def take(self, rows):
        """The same for some rows, copied."""
        return type(self)(self.X[rows], self.y[rows], self.weight[rows], self.offset_of(rows))

    def weighted(self, weight):
        """The same with other weights."""
        return type(self)(self.X, self.y, weight, self.offset)

    def collected(self):
        """All rows in memory."""
        return self

    def draw(self, size, rare, seed):
        """About ``size`` rows and the chance that each had: one of each equal stretch, or more of the rare ones.

        ``rare`` is a `sampling.Rare`, or None.
        """
        if rare is None and np.ptp(self.weight) == 0:
            rows = sampling.stratified(self.n_rows, size, seed)
            return self.take(rows), np.full(len(rows), size / self.n_rows)
        norms = self.weight if rare is None else rare.weighted_norms(self)
        chance = sampling.chances(size, self.weight, norms, self.total_weight, norms.sum())
        rows = np.flatnonzero(np.random.default_rng(seed).random(self.n_rows) < chance)
        return self.take(rows), np.minimum(chance[rows], 1.0)

    # -- facts --------------------------------------------------------------------------------------------------------

    @lasting_fact
    def total_weight(self):
        """Sum of the weights."""
        return self.weight.sum()

    @lasting_fact
    def targets(self):
        """See `BaseRows`: the distinct ones of many labels or small counts, else all of them."""
        y, weight = self.y, self.weight
        if len(y) > _FEW_ROWS and y.ndim == 1 and self.offset is None and 0 <= y.min() <= y.max() <= _LARGEST_COUNT:
            counts = y.astype(np.intp)
            if (counts == y).all():
                weights = np.bincount(counts, weights=weight)
                values = np.flatnonzero(weights)
                return values.astype(y.dtype), weights[values]
        return y, weight

    def standing_in(self, of_squares):
        """See `BaseRows.standing_in`: distinct targets where these are few."""
        if self.targets[0] is self.y:
            return self
        return type(self)(self.X[: len(self.targets[0]), :0], *self.targets)

    @property
    def head(self):
        """See `BaseRows`."""
        return self.y[:_HEAD], self.weight[:_HEAD]

    @property
    def largest_target(self):
        """See `BaseRows`."""
        return np.abs(self.y).max()

    @property
    def numbers_per_row(self):
        """See `BaseRows`."""
        return self.n_numbers / self.n_rows

    def some_mean(self):
        """The mean of some rows."""
        block, _, weight = next(self.blocks())
        return block.adjoint(weight) / weight.sum()
