"""Rows of numbers and of levels: sums over codes take the place of products with columns of zeros and ones."""

from functools import cached_property
from itertools import combinations, combinations_with_replacement

import numpy as np
import scipy.sparse as sp

from sk_hessian.objectives.rows import moments
from sk_hessian.objectives.rows.code_table import CodeTable
from sk_hessian.objectives.rows.columns import Columns
from sk_hessian.objectives.rows.dense import DenseBlock, DenseRows
from sk_hessian.objectives.rows.grams import bordered, centred, weighted_grams
from sk_hessian.objectives.rows.sparse import BLOCK_BYTES, SparseRows
from sk_hessian.objectives.rows.table import OWN_PASS_ROWS, PASS_BYTES, PRODUCT_BYTES, Rows
from sk_hessian.objectives.rows.threads import n_threads

#: rows of a block of a pass: 200,000 rows with seven factors of 291 levels take 6.6 ms by such blocks, 8.6 by blocks of
#: 16,384, where the calls for each block show, and 6.0 by blocks of 131,072
CODE_ROWS = 2**16

#: rows up to which the matrices of blocks are kept from pass to pass: 4 MB beside the codes
MOST_KEPT = 2**20

#: rows of a block of products of pairs of codes, whose tables are filled anew: the same takes 27 ms as one block, 40 by
#: blocks of 16,384 rows
PAIR_ROWS = 2**18


class _Ones:
    """As many ones as the largest block has codes, for all blocks."""

    def __init__(self):
        self._memory = [np.empty(0)]

    def __reduce__(self):
        return _Ones, ()

    def array(self, size):
        """So many ones."""
        memory = self._memory[0]
        if memory.size < size:
            memory = self._memory[0] = np.ones(size)
        return memory[:size]


class Cells:
    """The cells of some rows of a `CodeTable` as sparse matrices, made when they are asked for."""

    def __init__(self, X, ones):
        self._X, self._ones = X, ones

    @cached_property
    def matrix(self):
        """A row's cells, (n, n_cells) in CSR form, whose indices are the codes."""
        X = self._X
        n, g = X.cells.shape
        entries = self._ones.array(n * g)
        if X.values is not None:
            entries = entries.copy().reshape(n, g)
            entries[:, list(X.layout.valued)] = X.values
        starts = np.arange(0, n * g + 1, g, dtype=np.int32) if g else np.zeros(n + 1, dtype=np.int32)
        return sp.csr_array((entries.reshape(-1), X.cells.reshape(-1), starts), shape=(n, X.layout.n_cells))

    def with_entries(self, entries):
        """The same with other entries."""
        cells = self.matrix
        return sp.csr_array((entries, cells.indices, cells.indptr), shape=cells.shape)

    @cached_property
    def by_cell(self):
        """The transposed matrix, without copies."""
        return self.matrix.T

    @cached_property
    def squared(self):
        """The squares of the entries."""
        return self.matrix if self._X.values is None else self.with_entries(self.matrix.data**2)

    @cached_property
    def squared_by_cell(self):
        """These, transposed."""
        return self.by_cell if self._X.values is None else self.squared.T


class CodedBlock(DenseBlock):
    """Some rows of a `CodeTable`; nothing but `dense` and `standardised` has an entry for each level.

    ``numbers`` is the block of its numbers, of their own kind, and ``cells`` has its `Cells`.
    """

    def __init__(self, X, numbers, cells, part, offset, scratch):
        super().__init__(X, part, offset, scratch)
        self._numbers, self._cells, self._q = numbers, cells, numbers.n_columns

    # -- products with vectors ----------------------------------------------------------------------------------------

    def dense(self):
        """See `DenseBlock.dense`; for a few rows at a time."""
        return np.hstack([self._numbers.dense(), (self._cells.matrix @ self._X.layout.levels).toarray()])

    def _gathered(self, cells, V):
        """The sum of the rows of V (n_levels, ...) that the levels of each row name."""
        V = self._X.layout.levels @ V
        if V.ndim > 1 and not V.flags.c_contiguous:
            return np.stack([cells @ v for v in V.T]).T
        return cells @ V

    def forward(self, V):
        """See `DenseBlock.forward`."""
        raw = self._gathered(self._cells.matrix, V[self._q :])
        if self._q:
            raw += self._numbers.forward(V[: self._q])
        return raw

    def sizes(self, V):
        """See `DenseBlock.sizes`."""
        sizes = self._gathered(self._cells.with_entries(np.abs(self._cells.matrix.data)), V[self._q :])
        return sizes + self._numbers.sizes(V[: self._q]) if self._q else sizes

    def adjoint(self, R):
        """See `DenseBlock.adjoint`."""
        sums = self._summed(self._cells.by_cell, R)
        return np.concatenate((self._numbers.adjoint(R), sums)) if self._q else sums

    def _summed(self, cells, R):
        """The sums of R over the rows that have each level, by transposed cells."""
        by_columns = R.ndim > 1 and not R.flags.c_contiguous
        sums = np.stack([cells @ r for r in R.T]).T if by_columns else cells @ R
        return self._X.layout.by_level @ sums

    # -- products of columns ------------------------------------------------------------------------------------------

    def gram(self, weights, columns):
        """See `DenseBlock.gram`: sums over pairs of codes; the shift of the levels enters by a correction."""
        if columns.basis is not None:
            return weighted_grams(self.standardised(columns), weights, self._scratch)
        q, by_weight = self._q, np.ascontiguousarray(weights.T)
        shift, inverse = columns.shift[q:], 1 / columns.scale[q:]
        sums, pairs = self._summed(self._cells.by_cell, weights).T, self._pairs(by_weight)
        if not columns.has_no_units:
            sums, pairs = sums * inverse, pairs * (inverse[:, None] * inverse)
        grams = bordered(pairs, sums, np.add.reduce(weights, axis=0))
        grams = centred(grams, shift * inverse) if shift.any() else grams
        if q:
            grams = self._beside_numbers(weights, columns, grams)
        return grams if columns.fit_intercept else grams[:, :-1, :-1]

    def _beside_numbers(self, weights, columns, grams):
        """Grams of [numbers, levels, 1] from those of [levels, 1]."""
        q, r = self._q, self._q + grams.shape[1]
        own = Columns(columns.shift[:q], columns.scale[:q], True)
        whole = np.empty((len(grams), r, r))
        whole[:, q:, q:] = grams
        numbers = self._numbers.gram(weights, own)
        whole[:, :q, :q], whole[:, :q, -1], whole[:, -1, :q] = numbers[:, :q, :q], numbers[:, :q, q], numbers[:, q, :q]
        for both, w in zip(whole, weights.T, strict=True):
            times = self._cells.with_entries(self._cells.matrix.data * np.repeat(w, self._X.cells.shape[1]))
            cross = self._numbers.cross(times, own) @ self._X.layout.levels
            cross = (cross - both[:q, -1:] * columns.shift[q:]) / columns.scale[q:]
            both[:q, q:-1], both[q:-1, :q] = cross, cross.T
        return whole

    def _pairs(self, by_weight):
        """The products of the levels' columns, (m, n_levels, n_levels), of weights (m, n): sums over pairs of codes."""
        total, codes = self._within_groups(by_weight), self._X.layout.codes_of(self._X.cells)
        for (group, i, size, own), (other, j, width, others) in combinations(self._X.layout.factors, 2):
            if group == other:
                continue
            pairs = codes[i] * width
            pairs += codes[j]
            for gram, w in zip(total, self._valued(self._valued(by_weight, group), other), strict=True):
                table = np.bincount(pairs, w, size * width).reshape(size, width)
                table = table[: own.stop - own.start, : others.stop - others.start]
                gram[own, others], gram[others, own] = table, table.T
        return total

    def _within_groups(self, by_weight):
        """The products of the columns of factors that share a code, which is all that these take."""
        layout = self._X.layout
        total = np.zeros((len(by_weight), layout.n_levels, layout.n_levels))
        sums = (self._cells.squared_by_cell @ by_weight.T).T
        for group in layout.groups:
            cells = sums[:, group.start : group.stop].reshape(-1, *group.sizes)
            for (a, own), (b, other) in combinations_with_replacement(enumerate(group.columns, start=1), 2):
                others = tuple(axis for axis in range(1, cells.ndim) if axis not in (a, b))
                table = np.add.reduce(cells, axis=others)
                if a == b:
                    diagonal = np.arange(own.start, own.stop)
                    total[:, diagonal, diagonal] = table[:, : len(diagonal)]
                else:
                    table = table[:, : own.stop - own.start, : other.stop - other.start]
                    total[:, own, other], total[:, other, own] = table, table.transpose(0, 2, 1)
        return total

    def _valued(self, weights, group):
        """Weights (m, n) times what the rows have in the columns of a group."""
        valued = self._X.layout.valued
        return weights * self._X.values[:, valued.index(group)] if group in valued else weights

    def squares(self, weights, columns):
        """See `DenseBlock.squares`."""
        if columns.basis is not None:
            return super().squares(weights, columns)
        q = self._q
        shift, scale, total = columns.shift[q:], columns.scale[q:], np.add.reduce(weights, axis=0)[:, None]
        first, second = (sums.T for sums in self._both_sums(weights))
        squares = (second - 2 * shift * first + total * shift**2) / scale**2
        if q:
            own = self._numbers.squares(weights, Columns(columns.shift[:q], columns.scale[:q], False))
            squares = np.hstack([own, squares])
        return np.hstack([squares, total]) if columns.fit_intercept else squares

    def _both_sums(self, R):
        """The sums of R, and of what the columns' squares make of it, over the rows that have each level."""
        first = self._summed(self._cells.by_cell, R)
        return first, first if self._X.values is None else self._summed(self._cells.squared_by_cell, R)

    def norms(self, shift, inverse, which):
        """See `DenseBlock.norms`."""
        q = self._q
        centre, squares = shift[q:], inverse[q:] ** 2
        if self._X.values is None:
            norms = self._gathered(self._cells.matrix, squares * (1 - 2 * centre))
        else:
            norms = self._gathered(self._cells.squared, squares) - 2 * self._gathered(
                self._cells.matrix, centre * squares
            )
        norms += centre**2 @ squares
        own = which[which < q]
        return norms + self._numbers.norms(shift[:q], inverse[:q], own) if own.size else norms

    def deviations(self, weight, shift, unit, which):
        """See `DenseBlock.deviations`."""
        q, p = self._q, self._q + self._X.layout.n_levels
        which = np.arange(p) if which is None else which
        is_own, unit = which < q, np.ones(len(which)) if unit is None else unit
        own = self._numbers.deviations(weight, shift[is_own], unit[is_own], which[is_own])
        of_levels, shift, unit = which[~is_own] - q, shift[~is_own], unit[~is_own]
        first, second = (sums[of_levels] for sums in self._both_sums(weight))
        total = np.add.reduce(weight)
        levels = (first - total * shift) / unit, (second - 2 * shift * first + total * shift**2) / unit**2
        return tuple(_placed(is_own, *pair) for pair in zip(own, levels, strict=True))

    def peaks(self, shift, which):
        """See `DenseBlock.peaks`; of levels the ``shift`` must be zero."""
        q, layout = self._q, self._X.layout
        is_own = which < q
        largest = np.zeros(layout.n_cells)
        np.maximum.at(largest, self._cells.matrix.indices, np.abs(self._cells.matrix.data))
        is_one = np.repeat(True, layout.n_levels)
        is_one[layout.bounds[len(layout.bounds) - 1 - len(layout.valued)] :] = False
        levels = layout.by_level @ largest
        levels = np.where(is_one, np.minimum(levels, 1.0), levels)[which[~is_own] - q]
        return _placed(is_own, self._numbers.peaks(shift[is_own], which[is_own]), levels)


def _placed(is_own, own, others):
    """What belongs to numbers and what belongs to levels, in the order in which they were asked for."""
    found = np.empty(len(is_own))
    found[is_own], found[~is_own] = own, others
    return found


class CodedRows(Rows):
    """Rows of a `CodeTable`."""

    sums_about_zero = True

    def __init__(self, X, y, weight, offset=None):
        super().__init__(X, y, weight, offset)
        kind = SparseRows if sp.issparse(X.numbers) else DenseRows
        self._numbers = kind(X.numbers, y, weight)
        self._ones, self._kept = _Ones(), {}

    def __getstate__(self):
        """Without what can be had again."""
        return {**super().__getstate__(), "_kept": {}}

    @staticmethod
    def holds(X):
        """See `Rows.holds`."""
        return isinstance(X, CodeTable)

    @staticmethod
    def table(X):
        """See `Rows.table`."""
        return X

    @staticmethod
    def joined(tables):
        """See `Rows.joined`."""
        return CodeTable.joined(tables)

    def standing_in(self, of_squares):
        """See `BaseRows.standing_in`: always without columns."""
        y, weight = self.targets
        offset = self.offset if y is self.y else None
        return DenseRows(np.empty((len(y), 0)), y, weight, offset)

    def block(self, part, scratch=None):
        """See `Rows.block`; without copying codes."""
        numbers, X = self._numbers.block(part, scratch), self.X[part]
        return CodedBlock(X, numbers, self._cells_of(part, X), part, self.offset_of(part), scratch)

    def _cells_of(self, part, X):
        """The `Cells` of a block; they are kept where all rows have few blocks, 4 bytes for each row."""
        if self.n_rows > MOST_KEPT or X.values is not None:
            return Cells(X, self._ones)
        return self._kept.setdefault((part.start, part.stop), Cells(X, self._ones))

    def block_size(self, columns, width, workers=1):
        """See `Rows.block_size`: of a pass as many as stay in the cache, of products of the columns more.

        Each block adds a matrix of the columns. A basis makes the rows dense.
        """
        if columns is not None and columns.basis is not None:
            return super().block_size(columns, width, workers)
        q, g = self._numbers.n_features, self.X.cells.shape[1]
        of_thread = -(-self.n_rows // n_threads(self.n_numbers))
        most = max(1, BLOCK_BYTES // (8 * (width + g + 1)))
        usual = min(CODE_ROWS, max(OWN_PASS_ROWS, PASS_BYTES // (8 * (q + 1))))
        if columns is not None:
            usual, most = PAIR_ROWS, min(most, max(1, PRODUCT_BYTES // (8 * (q + 1))))
        return min(of_thread, most, usual)

    def moments(self, fit_intercept):
        """See `BaseRows.moments`: of numbers by sums as of their own kind, of levels about zero."""
        q = self._numbers.n_features
        levels = moments.exact(self, fit_intercept, np.arange(q, self.n_features))
        if not q:
            return levels
        return tuple(
            np.concatenate(pair) for pair in zip(moments.exact(self._numbers, fit_intercept), levels, strict=True)
        )
