"""A table of numbers and of levels: a level is a code, never a row of zeros and a one."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

#: combinations of levels up to which factors share a code: their sums stay in the cache, 64 KB
MOST_CELLS = 2**13


class CodeTable:
    """X with a column for each number and, after these, one for each level: what a row has of the levels is its codes.

    Small factors share a code, the cell of a table of their levels: a pass then reads one number in place of several.

    Parameters
    ----------
    numbers : ndarray or CSR matrix of shape (n, q)
    cells : int32 ndarray of shape (n, g), stored by rows
        The row's cell of each group of factors, counted over all groups.
    layout : Layout
        Which cell stands for which levels.
    values : float ndarray of shape (n, v), optional
        What a row has in the columns of the groups ``layout.valued``, where that is not a one.
    """

    def __init__(self, numbers, cells, layout, values=None):
        self.numbers, self.cells, self.layout, self.values = numbers, cells, layout, values
        self.shape = cells.shape[0], numbers.shape[1] + layout.n_levels
        self.dtype = numbers.dtype if numbers.shape[1] else np.dtype(float)
        self.size = numbers.size + cells.size  #: numbers and codes that it keeps

    @classmethod
    def of(cls, numbers, layout, codes, values=()):
        """The table of the ``codes`` (n,) of each factor; ``values`` (n,) of those that have some."""
        cells = np.empty((numbers.shape[0], len(layout.groups)), dtype=np.int32)
        for j, group in enumerate(layout.groups):
            cell = codes[group.factors[0]]
            for i, size in zip(group.factors[1:], group.sizes[1:], strict=True):
                cell = cell * size + codes[i]
            np.add(cell, group.start, out=cells[:, j], casting="unsafe")
        return cls(numbers, cells, layout, np.stack(values, axis=1) if len(values) else None)

    def __getitem__(self, rows):
        """The same for some rows: a slice, numbers or a mask."""
        return CodeTable(self.numbers[rows], self.cells[rows], self.layout, _rows(self.values, rows))

    @staticmethod
    def joined(tables):
        """The rows of several tables of one layout, one after the other."""
        first, parts = tables[0], [table.numbers for table in tables]
        numbers = sp.vstack(parts, format="csr") if sp.issparse(first.numbers) else np.concatenate(parts)
        values = None if first.values is None else np.concatenate([table.values for table in tables])
        return CodeTable(numbers, np.concatenate([table.cells for table in tables]), first.layout, values)


def _rows(values, rows):
    return None if values is None else values[rows]


@dataclass(frozen=True)
class Group:
    """Factors that share a code."""

    factors: tuple  #: their numbers
    sizes: tuple  #: codes of each: its levels, and perhaps one for none
    columns: tuple  #: the slice of the columns of each among those of levels
    start: int  #: the first cell, and the one after the last
    stop: int


class Layout:
    """Which cells stand for which levels.

    Parameters
    ----------
    sizes : sequence of int
        Levels of each factor.
    has_none : sequence of bool
        Of each factor whether rows may have none of its levels: their code is the number of levels.
    valued : int
        How many of the last factors have values, not ones; each of these is a group by itself.
    """

    def __init__(self, sizes, has_none, valued=0):
        self.bounds = (0, *np.cumsum(sizes).tolist())  #: where the columns of each factor begin, and where they end
        self.n_levels = self.bounds[-1]
        codes = [size + none for size, none in zip(sizes, has_none, strict=True)]
        plain = len(sizes) - valued
        shared = _shared(codes[:plain]) + [[i] for i in range(plain, len(sizes))]
        groups, start = [], 0
        for factors in shared:
            shape = tuple(codes[i] for i in factors)
            columns, stop = tuple(slice(*self.bounds[i : i + 2]) for i in factors), start + math.prod(shape)
            groups.append(Group(tuple(factors), shape, columns, start, stop))
            start = stop
        self.groups, self.n_cells = tuple(groups), start
        self.valued = tuple(range(len(groups) - valued, len(groups)))  #: numbers of the groups with values
        self.levels = self._levels()  #: which levels each cell has, a sparse matrix (n_cells, n_levels) of ones

    @cached_property
    def by_level(self):
        """The transposed ``levels``."""
        return self.levels.T.tocsr()

    @cached_property
    def factors(self):
        """Of each factor its group, its number, how many codes it has, and the slice of its columns."""
        return [
            (j, i, size, columns)
            for j, group in enumerate(self.groups)
            for i, size, columns in zip(group.factors, group.sizes, group.columns, strict=True)
        ]

    def _levels(self):
        cells, columns = [], []
        for group in self.groups:
            codes = np.unravel_index(np.arange(math.prod(group.sizes)), group.sizes)
            for i, code in zip(group.factors, codes, strict=True):
                there = np.flatnonzero(code < self.bounds[i + 1] - self.bounds[i])
                cells.append(group.start + there)
                columns.append(self.bounds[i] + code[there])
        places = (np.concatenate(cells), np.concatenate(columns)) if cells else (np.arange(0), np.arange(0))
        ones = np.ones(len(places[0]))
        return sp.csr_array((ones, places), shape=(self.n_cells, self.n_levels))

    def codes_of(self, cells):
        """The codes of each factor, arrays (n,), from the cells (n, g)."""
        found = {}
        for j, group in enumerate(self.groups):
            rest = cells[:, j].astype(np.intp)
            rest -= group.start
            for i, size in zip(group.factors[:0:-1], group.sizes[:0:-1], strict=True):
                rest, found[i] = np.divmod(rest, size)
            found[group.factors[0]] = rest
        return [found[i] for i in range(len(found))]


def _shared(codes):
    """Which factors share a code, lists of their numbers: the largest first, each where it fits."""
    groups: list = []
    for i in sorted(range(len(codes)), key=lambda i: -codes[i]):
        for group in groups:
            if math.prod(codes[j] for j in group) * codes[i] <= MOST_CELLS:
                group.append(i)
                break
        else:
            groups.append([i])
    return groups
