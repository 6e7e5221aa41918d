"""Sources of rows that are not all in memory: an iterator, a file or a cluster.

To add one, fill in `Parts`; `Blocks` is the shortest example.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

#: bytes of float64 rows that are read at once from an array on disk
_SLICE_BYTES = 2**26

#: what no source can yield: the end of the blocks
_END = object()


class Parts:
    """A source of parts, each of which fits in memory; it can be read any number of times."""

    noun = "block"  #: what a part is called in errors

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
        """``finish`` of the result of `fold`, a float; a dask array of shape () where the parts are lazy."""
        return finish(self.fold(function, combine))


@contextmanager
def named(noun, index):
    """A context that says in an error of its block which part, called ``noun``, it is of."""
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


class Changed(Parts):
    """The ``parts`` of another source, with ``change(X)`` in place of the X of each."""

    def __init__(self, parts, change):
        self.parts, self.change, self.noun = parts, change, parts.noun

    def fold(self, function, combine):
        """See `Parts.fold`."""
        change = self.change
        return self.parts.fold(lambda index, part: function(index, (change(part[0]), *part[1:])), combine)


class Sliced(Blocks):
    """Rows of an array on disk that hands out slices, such as an HDF5 dataset or a zarr array; y and weights (n,)."""

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
    """Whether X is a dask collection."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def map_distributed(function, X, of_zeros):
    """``function`` of the rows of each partition of a dask collection X, as a lazy dask array with as many rows.

    ``of_zeros`` gives the same shape and type for a row of zeros.
    """
    from sk_hessian.objectives.rows.dask import map_rows

    return map_rows(function, X, of_zeros)


def parts_of(X, y=None, sample_weight=None, offset=None):
    """The `Parts` that X is, or None where X is an array, a sparse matrix or a data frame in memory.

    Blocks have their y and sample_weight with them, so that these must be None; parts have no offset.
    """
    is_sliceable = hasattr(X, "chunks") and hasattr(X, "dtype") and len(getattr(X, "shape", ())) == 2
    is_dask = is_distributed(X)
    if not (isinstance(X, Parts) or is_sliceable or is_dask):
        return None
    if offset is not None:
        raise ValueError(
            "offset must be None for rows in parts; of a Poisson model use y / exposure, weighted by it, and with the "
            "identity link subtract it from y"
        )
    if y is None and not isinstance(X, Parts):
        raise ValueError("y must be passed with X: this estimator requires y to be passed, but the target y is None")
    if is_dask:
        from sk_hessian.objectives.rows.dask import Partitions

        return Partitions(X, y, sample_weight)
    if is_sliceable:
        return Sliced(X, y, sample_weight)
    if y is not None or sample_weight is not None:
        raise ValueError("y and sample_weight must be None for blocks: each block has its own, (X, y, weight)")
    return X
