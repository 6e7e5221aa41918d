"""Rows that are not all in memory: they come in parts, from an iterator, a file or a cluster.

`PartedRows` offers what `_blocks.Rows` does by one primitive, ``fold``: a function of one part, evaluated on every
part, and its results combined. Nothing of the length of the data is kept: a part answers with sums, and with some of
its rows where a sketch is drawn. To add a source of parts, fill in `Parts`; `Blocks` is the shortest example.
"""

import operator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from sk_hessian.objectives._blocks import BaseRows, Rows, as_rows, stacked

#: distinct targets up to which a summary keeps them all
_DISTINCT = 1000

#: attributes of `PartedRows` that do not go to the parts
_ROWS_AT_HAND = ("parts", "_unit_sample", "_foreseen")

#: bytes of float64 rows that are read at once from an array on disk
_SLICE_BYTES = 2**26

#: what no source can yield: the end of the blocks
_END = object()


class Parts:
    """A source of parts, each of which fits in memory; it can be read any number of times."""

    #: what a part is called in errors
    noun = "block"

    def fold(self, function, combine):
        """``combine`` of ``function(index, part)`` over all parts.

        Parameters
        ----------
        function : callable
            Of the index of a part and the part ``(X, y, weight)``; it returns None where a part adds nothing.
        combine : callable
            Associative, of two results.

        Returns
        -------
        object
            None where every result was.
        """
        raise NotImplementedError

    def number(self, function, combine, finish):
        """``finish`` of the result of `fold`, a float; lazy where the parts are.

        Parameters
        ----------
        function, combine : callable
            As of `fold`.
        finish : callable

        Returns
        -------
        float or dask.array.Array of shape ()
        """
        return finish(self.fold(function, combine))


@contextmanager
def named(noun, index):
    """A context that says in an error of its block which part it is of.

    Parameters
    ----------
    noun : str
        What the parts are called.
    index : int
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{noun} {index}: {error}") from error


def combined(combine, a, b):
    """``combine(a, b)``, where None adds nothing."""
    if a is None or b is None:
        return b if a is None else a
    return combine(a, b)


class Blocks(Parts):
    """Rows in blocks, for data that do not fit in memory: ``model.fit(Blocks(source))``.

    Parameters
    ----------
    source : callable or iterable
        Every pass over the data calls it, or iterates over it anew, for blocks ``(X, y)`` or ``(X, y, sample_weight)``:
        arrays, sparse matrices or data frames with the same columns. The next block is read on a second thread while
        one is in work.

    Raises
    ------
    TypeError
        For a generator, which can be read once only.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.linear_model import LinearRegression
    >>> from sk_hessian.objectives import Blocks
    >>> def source():
    ...     for start in range(0, 1000, 100):
    ...         X = np.arange(start, start + 100.0)[:, None]
    ...         yield X, 2 * X[:, 0] + 1
    >>> model = LinearRegression().fit(Blocks(source))
    >>> model.coef_.round(6), round(float(model.intercept_), 6)
    (array([2.]), 1.0)
    """

    def __init__(self, source):
        if not callable(source) and iter(source) is source:
            raise TypeError(
                "source can be read once only, but every pass over the data reads it anew: pass the function that "
                "makes the generator, or a list"
            )
        self.source = source

    def fold(self, function, combine):
        """See `Parts.fold`; one block is in work and one is being read."""
        blocks, index, total = iter(self.source() if callable(self.source) else self.source), 0, None
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(next, blocks, _END)
            while (block := self._arrived(coming, index)) is not _END:
                coming = reader.submit(next, blocks, _END)
                total = combined(combine, total, function(index, block))
                index += 1
        return total

    def _arrived(self, coming, index):
        try:
            return coming.result()
        except Exception as error:
            raise RuntimeError(f"{self.noun} {index} could not be read: {error!r}") from error


class Sliced(Blocks):
    """Rows of an array on disk that hands out slices, such as an HDF5 dataset or a zarr array.

    Parameters
    ----------
    X : object with ``shape``, ``dtype`` and slices that are arrays
    y, sample_weight : array-like of shape (n,) or None
    """

    def __init__(self, X, y, sample_weight=None):
        self.X, self.y, self.sample_weight = X, y, sample_weight
        super().__init__(self._slices)

    def _slices(self):
        size = max(1, _SLICE_BYTES // (8 * self.X.shape[1]))
        for start in range(0, self.X.shape[0], size):
            part = slice(start, start + size)
            weight = None if self.sample_weight is None else self.sample_weight[part]
            yield self.X[part], self.y[part], weight


def is_distributed(X):
    """Whether X is a dask collection.

    Parameters
    ----------
    X : object

    Returns
    -------
    bool
    """
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def map_distributed(function, X):
    """``function`` of the rows of each partition of a dask collection X, as a lazy dask array.

    Parameters
    ----------
    function : callable
        From rows, as X has them, to an array with as many.
    X : dask array or data frame

    Returns
    -------
    dask.array.Array
    """
    from sk_hessian.objectives._dask import map_rows

    return map_rows(function, X)


def parts_of(X, y=None, sample_weight=None, offset=None):
    """The source of parts that X is, or None where X is an array, a sparse matrix or a data frame in memory.

    Parameters
    ----------
    X : object
    y, sample_weight : array-like or None
        None for blocks, which have theirs with them.
    offset : array-like or None
        Must be None for parts.

    Returns
    -------
    Parts or None

    Raises
    ------
    ValueError
    """
    is_sliceable = hasattr(X, "chunks") and hasattr(X, "dtype") and len(getattr(X, "shape", ())) == 2
    is_dask = is_distributed(X)
    if not (isinstance(X, Parts) or is_sliceable or is_dask):
        return None
    if offset is not None:
        raise ValueError("offset must be None for rows in parts; of a Poisson model use y / exposure, weighted by it")
    if y is None and not isinstance(X, Parts):
        raise ValueError("y must be passed with X: this estimator requires y to be passed, but the target y is None")
    if is_dask:
        from sk_hessian.objectives._dask import Partitions

        return Partitions(X, y, sample_weight)
    if is_sliceable:
        return Sliced(X, y, sample_weight)
    if y is not None or sample_weight is not None:
        raise ValueError("y and sample_weight must be None for blocks: each block has its own, (X, y, weight)")
    return X


@dataclass(frozen=True)
class Scan:
    """What one reading of all parts tells.

    Attributes
    ----------
    sizes : dict of int to int
        Rows of each part that has any.
    n_features : int
    is_sparse : bool
    total, least_weight, most_weight : float
        Sum and extremes of the weights.
    largest : float
        Largest absolute target.
    targets : tuple of ndarray
        A few targets and weights that stand for all, see `summary`.
    keeps_targets : bool
        Whether these are all distinct targets.
    head : tuple of ndarray
        The first targets and weights.
    """

    sizes: dict
    n_features: int
    is_sparse: bool
    total: float
    least_weight: float
    most_weight: float
    largest: float
    targets: tuple
    keeps_targets: bool
    head: tuple

    @classmethod
    def of(cls, index, X, y, weight):
        """That of one part, or None of an empty one."""
        rows = Rows(as_rows(X), y, weight)
        if not rows.n_rows:
            return None
        largest = float(np.abs(rows.y).max()) if rows.y.dtype.kind in "buif" else 0.0
        *targets, keeps = summary(rows.y, rows.weight)
        weight, head = rows.weight, tuple(array.copy() for array in rows.head)
        return cls(
            {index: rows.n_rows},
            rows.n_features,
            rows.is_sparse,
            rows.total_weight,
            weight.min(),
            weight.max(),
            largest,
            tuple(targets),
            keeps,
            head,
        )

    def merged(self, other, noun):
        """That of the parts of both; a ``noun`` says what a part is called.

        Raises
        ------
        ValueError
            Where they do not have the same columns.
        """
        mine, others = min(self.sizes), min(other.sizes)
        if self.n_features != other.n_features:
            raise ValueError(
                f"X: {noun} {others} has {other.n_features} columns, but {noun} {mine} has {self.n_features}"
            )
        if self.head[0].shape[1:] != other.head[0].shape[1:]:
            raise ValueError(f"y: {noun}s {mine} and {others} do not have the same number of columns")
        first = self if mine < others else other
        *targets, keeps = _summary_of_both(self.targets, other.targets)
        return Scan(
            self.sizes | other.sizes,
            self.n_features,
            self.is_sparse or other.is_sparse,
            self.total + other.total,
            min(self.least_weight, other.least_weight),
            max(self.most_weight, other.most_weight),
            max(self.largest, other.largest),
            tuple(targets),
            self.keeps_targets and other.keeps_targets and keeps,
            first.head,
        )


@dataclass(frozen=True)
class Tally:
    """What the rows of some parts add to a score.

    Attributes
    ----------
    sums : ndarray
    targets : tuple of ndarray
        A few targets and weights that stand for all, see `summary`.
    """

    sums: np.ndarray
    targets: tuple

    @classmethod
    def of(cls, sums, y, weight):
        """That of the rows with these targets and weights."""
        return cls(sums, summary(y, weight)[:2])

    def merged(self, other):
        """That of the rows of both."""
        return Tally(self.sums + other.sums, _summary_of_both(self.targets, other.targets)[:2])


def _summary_of_both(a, b):
    return summary(*(np.concatenate(pair) for pair in zip(a, b, strict=True)))


def summary(y, weight):
    """A few targets and weights with the same weighted mean, the same mean square and the same range.

    Distinct values where they are few, and whether they are; else two for each of some parts of equal weight.
    """
    if y.ndim > 1:
        return *_about_the_mean(y.astype(float), weight), False
    values, index = np.unique(y, return_inverse=True)
    if len(values) <= _DISTINCT or y.dtype.kind not in "buif":
        return values, np.bincount(index, weights=weight), True
    order = np.argsort(y, kind="stable")
    ends = np.searchsorted(np.cumsum(weight[order]), np.linspace(0, weight.sum(), _DISTINCT // 4 + 1)[1:-1])
    pairs = [_two(y[part].astype(float), weight[part]) for part in np.split(order, np.unique(ends)) if len(part)]
    return *(np.concatenate(arrays) for arrays in zip(*pairs, strict=True)), False


def _two(y, weight):
    """Two targets of the same total weight, mean and mean square: the least, and one up to the largest."""
    total, least = weight.sum(), y.min()
    above = weight @ (y - least) / total
    if above == 0:
        return np.array([least]), np.array([total])
    variance = weight @ (y - least - above) ** 2 / total
    share = variance / (variance + above**2)
    return np.array([least, least + above + variance / above]), total * np.array([share, 1 - share])


def _about_the_mean(y, weight):
    """The means of several targets minus and plus their deviations."""
    total = weight.sum()
    mean = weight @ y / total
    deviation = np.sqrt(weight @ (y - mean) ** 2 / total)
    return np.stack([mean - deviation, mean + deviation]), np.full(2, 0.5 * total)


class PartedRows(BaseRows):
    """X, y and weights that come in parts: what `Rows` offers, without anything of the length of the data.

    Parameters
    ----------
    parts : Parts
    prepare : callable
        From the index and a part of the source to ``(X, y, weight)`` as `Rows` wants them.
    scan : Scan
    """

    in_memory, offset = False, None

    #: what `draw` takes where no column is rare
    _foreseen = None

    def __init__(self, parts, prepare, scan):
        self.parts, self.prepare, self.scan = parts, prepare, scan
        self.n_rows, self.n_features = sum(scan.sizes.values()), scan.n_features
        self.is_sparse, self.total_weight = scan.is_sparse, scan.total
        self.targets, self.head, self.largest_target = scan.targets, scan.head, scan.largest
        sizes = [scan.sizes[index] for index in sorted(scan.sizes)]
        self._starts = dict(zip(sorted(scan.sizes), np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))

    def __getstate__(self):
        """A function that goes to the parts goes without them."""
        return {name: value for name, value in vars(self).items() if name not in _ROWS_AT_HAND}

    def _fold(self, function, combine):
        """``combine`` of ``function(rows, start)`` over all parts; ``start`` is the number of rows before them."""
        prepare, starts, sizes, noun = self.prepare, self._starts, self.scan.sizes, self.parts.noun

        def of_part(index, part):
            X, y, weight = prepare(index, part)
            rows = Rows(as_rows(X), y, weight)
            if rows.n_rows != sizes.get(index, 0):
                raise ValueError(f"{noun} {index} has {rows.n_rows} rows, but had {sizes.get(index, 0)} before")
            return function(rows, starts[index]) if rows.n_rows else None

        return self.parts.fold(of_part, combine)

    def reduce(self, function, columns=None, combine=operator.add, width=0):
        """See `Rows.reduce`; one round over the parts."""

        def both(a, b):
            return [combine(x, y) for x, y in zip(a, b, strict=True)]

        return self._fold(lambda rows, start: rows.reduce(function, columns, combine, width), both)

    def reduce_targets(self, function, of_squares=False):
        """See `Rows.reduce_targets`; no round where a few targets tell it."""
        if of_squares or self.scan.keeps_targets:
            return function(*self.targets, slice(None))
        return self._fold(lambda rows, start: rows.reduce_targets(function), operator.add)

    def take(self, rows):
        """Some rows, by ascending numbers, in memory."""
        return self._take(lambda: rows)

    def _take(self, numbers):
        """The rows with the ``numbers()``, which each part finds anew: a function is less to send than they are."""

        def taken(part, start):
            rows = numbers()
            first, last = np.searchsorted(rows, [start, start + part.n_rows])
            return {start: part.take(rows[first:last] - start)} if first < last else None

        return _joined(self._fold(taken, operator.or_))

    def collected(self):
        """All rows in memory."""
        return _joined(self._fold(lambda part, start: {start: part}, operator.or_))

    def _first_mean(self):
        return self._unit_sample._first_mean()

    def foresee_draw(self, size, seed):
        """See `BaseRows.foresee_draw`: the rows of a draw come in the same round as those that tell whether it will do.

        Where some columns prove rare they came in vain: one more round for every model would cost more.
        """
        if self.is_sparse or self._weights_vary or "_unit_sample" in vars(self):
            return

        def wanted():
            return np.union1d(self._sampled(), self._stratified(size, seed))

        rows, numbers = self._take(wanted), wanted()
        sample, drawn = self._sampled(), self._stratified(size, seed)
        self._unit_sample = rows.take(np.searchsorted(numbers, sample))
        self._foreseen = rows.take(np.searchsorted(numbers, drawn))

    @property
    def _weights_vary(self):
        return self.scan.least_weight < self.scan.most_weight

    def draw(self, size, columns, rare, seed):
        """See `Rows.draw`; the same rows as if all were in memory."""
        foreseen, self._foreseen = self._foreseen, None
        if not rare.size and not self._weights_vary:
            rows = self._take(partial(self._stratified, size, seed)) if foreseen is None else foreseen
            return rows, np.full(rows.n_rows, size / self.n_rows)
        total_norm = self._fold(lambda part, start: part.weighted_norms(columns, rare).sum(), operator.add)
        total_weight = self.total_weight

        def drawn(part, start):
            chance = part.chances(size, part.weighted_norms(columns, rare), total_norm, total_weight)
            generator = np.random.Generator(np.random.PCG64(seed).advance(start))
            rows = np.flatnonzero(generator.random(part.n_rows) < chance)
            return {start: (part.take(rows), np.minimum(chance[rows], 1.0))}

        pairs = self._fold(drawn, operator.or_)
        rows = _joined({start: pair[0] for start, pair in pairs.items()})
        return rows, np.concatenate([pairs[start][1] for start in sorted(pairs)])


def _joined(parts):
    """The rows of a dict of rows by their start."""
    return stacked([parts[start] for start in sorted(parts)])
