"""Rows of dask arrays and data frames: a round is one graph, whose partial sums meet in a tree.

The only module that imports dask, and only once X is one of its collections.
"""

import numpy as np

from sk_hessian.objectives._parts import Parts, combined, is_distributed

#: partial sums that one task adds up
_FAN_IN = 8


class Partitions(Parts):
    """The partitions of dask collections.

    A round computes them anew from their graph: ``X.persist()`` beforehand keeps them in the workers' memory instead.

    Parameters
    ----------
    X : dask array or data frame
        Of known or unknown chunk sizes; a chunk must have all columns.
    y, sample_weight : dask array or series, array-like or None
        With the same partitions, or with known sizes.

    Raises
    ------
    ImportError
        Where dask is not installed.
    ValueError
        Where the partitions do not match.
    """

    noun = "partition"

    def __init__(self, X, y, sample_weight=None):
        columns = [_row_parts(X, "X", None)]
        for name, values in (("y", y), ("sample_weight", sample_weight)):
            if values is not None:
                columns.append(_row_parts(values, name, X))
                many, of_X = len(columns[-1]), len(columns[0])
                if many != of_X:
                    raise ValueError(f"{name} has {many} partitions, but X has {of_X}: repartition one of them")
        self.partitions = list(zip(*columns, strict=True))

    def fold(self, function, combine):
        """See `Parts.fold`; one round."""
        return self.lazily(function, combine).compute()

    def lazily(self, function, combine, *common):
        """The result of `fold` as a ``Delayed``; the function gets the delayed ``common`` values too."""
        delayed = _dask().delayed
        # wrapped once, so that a round sends it to each worker once
        function, combine = delayed(_Carried(function), pure=False), delayed(_Carried(combine), pure=False)
        terms = [delayed(_call, pure=False)(function, i, part, common) for i, part in enumerate(self.partitions)]
        while len(terms) > 1:
            groups = [terms[i : i + _FAN_IN] for i in range(0, len(terms), _FAN_IN)]
            terms = [delayed(_meet, pure=False)(combine, group) for group in groups]
        return terms[0]


class _Carried:
    """A function as a value: dask calls what is callable."""

    def __init__(self, function):
        self.function = function


def _call(carried, index, part, common):
    return carried.function(index, tuple(part), *common)


def _meet(carried, terms):
    total = None
    for term in terms:
        total = combined(carried.function, total, term)
    return total


def _dask():
    try:
        import dask
    except ImportError as error:
        raise ImportError("X is a dask collection, but dask is not installed: pip install sk-hessian[dask]") from error
    return dask


def _row_parts(values, name, like):
    """The partitions of a collection as a list of ``Delayed``; ``like`` is X."""
    if like is not None:
        values = _aligned(values, name, like)
    if getattr(values, "ndim", 1) == 2 and hasattr(values, "rechunk"):
        values = values.rechunk({1: -1})
    return np.ravel(values.to_delayed()).tolist()


def _aligned(values, name, X):
    """``values`` as a collection with the partitions of X."""
    known = hasattr(X, "chunks") and not np.isnan(X.chunks[0]).any()
    if is_distributed(values):
        same = not hasattr(values, "chunks") or not known or values.chunks[0] == X.chunks[0]
        return values if same or np.isnan(values.chunks[0]).any() else values.rechunk({0: X.chunks[0]})
    if not known:
        raise ValueError(f"{name} must be a dask collection with the partitions of X, whose sizes are not known")
    import dask.array as da

    values = np.asarray(values)
    if len(values) != sum(X.chunks[0]):
        raise ValueError(f"{name} has {len(values)} rows, but X has {sum(X.chunks[0])}")
    return da.from_array(values, chunks=(X.chunks[0], *values.shape[1:]))


def map_rows(function, X, example):
    """``function`` of the rows of each partition, as a dask array with the partitions of X.

    Parameters
    ----------
    function : callable
        From rows to an array with as many.
    X : dask array or data frame
    example : ndarray
        What it returns for some rows.

    Returns
    -------
    dask.array.Array
    """
    delayed, parts = _dask().delayed, _row_parts(X, "X", None)
    import dask.array as da

    sizes = X.chunks[0] if hasattr(X, "chunks") else [np.nan] * len(parts)
    carried = delayed(_Carried(function), pure=False)
    blocks = [
        da.from_delayed(delayed(_apply, pure=False)(carried, part), (size, *example.shape[1:]), dtype=example.dtype)
        for part, size in zip(parts, sizes, strict=True)
    ]
    return da.concatenate(blocks, allow_unknown_chunksizes=True)


def _apply(carried, rows):
    return carried.function(rows)
