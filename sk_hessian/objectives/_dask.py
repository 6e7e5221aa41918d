"""Rows of dask arrays and data frames: a round is one graph, whose partial sums meet in a tree.

The only module that imports dask, and only once X is one of its collections.
"""

import numpy as np

from sk_hessian.objectives._parts import Parts, combined, is_distributed, named

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
        _dask()
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
        try:
            return self.lazily(function, combine).compute()
        except Exception as error:
            # an error of a worker that is gone says so itself
            if self.noun not in str(error) and not type(error).__module__.startswith("distributed"):
                self._name_failure()
            raise

    def _name_failure(self):
        """Raise an error that names the first partition that cannot be computed, if one cannot."""
        for index, part in enumerate(self.partitions):
            try:
                _dask().delayed(_arrive, pure=False)(part).compute()
            except Exception as error:
                raise RuntimeError(f"{self.noun} {index} could not be computed: {error!r}") from error

    def number(self, function, combine, finish):
        """See `Parts.number`: a 0-d dask array."""
        import dask.array as da

        finished = _dask().delayed(_call_finish, pure=False)(_Carried(finish), self.lazily(function, combine))
        return da.from_delayed(finished, (), dtype=float)

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


def _arrive(part):
    """Nothing, of a part that could be computed."""


def _call_finish(carried, total):
    return np.asarray(carried.function(total))


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
    if like is None:
        _check_table(values)
    else:
        values = _aligned(values, name, like)
    if getattr(values, "ndim", 1) == 2 and hasattr(values, "rechunk"):
        values = values.rechunk({1: -1})
    return np.ravel(values.to_delayed()).tolist()


def _check_table(X):
    """Refuse what is no table of numbers.

    Raises
    ------
    ValueError
    """
    if getattr(X, "ndim", None) != 2:
        ndim = getattr(X, "ndim", None)
        raise ValueError(f"X must be a 2-D dask array or a data frame, got {type(X).__name__} with ndim={ndim}")
    if not hasattr(X, "dtypes"):
        if np.isnan(X.shape[1]):
            raise ValueError("X must have a known number of columns: call X.compute_chunk_sizes() before")
        return
    for column, dtype in X.dtypes.items():
        if dtype.kind not in "buif":
            raise ValueError(
                f"X: column {column!r} is of dtype {dtype}, not of numbers: encode categories before, for example by "
                "dask.dataframe.get_dummies"
            )


def _aligned(values, name, X):
    """``values`` as a collection with the partitions of X."""
    known = hasattr(X, "chunks") and not np.isnan(X.chunks[0]).any()
    if is_distributed(values):
        if not (known and hasattr(values, "chunks")) or np.isnan(values.chunks[0]).any():
            return values
        _check_length(len(values), name, X)
        return values.rechunk({0: X.chunks[0]})
    if not known:
        raise ValueError(f"{name} must be a dask collection with the partitions of X, whose sizes are not known")
    import dask.array as da

    values = np.asarray(values)
    if values.ndim == 0:
        raise ValueError(f"{name} must have an entry for each row of X, got {values}")
    _check_length(len(values), name, X)
    return da.from_array(values, chunks=(X.chunks[0], *values.shape[1:]))


def _check_length(length, name, X):
    if length != sum(X.chunks[0]):
        raise ValueError(f"{name} has {length} rows, but X has {sum(X.chunks[0])}")


def map_rows(function, X):
    """See `_parts.map_distributed`; the example of its results is what it returns for a row of zeros."""
    delayed, parts, example = _dask().delayed, _row_parts(X, "X", None), function(_row_like(X))[:0]
    import dask.array as da

    sizes = X.chunks[0] if hasattr(X, "chunks") else [np.nan] * len(parts)
    carried, shape = delayed(_Carried(function), pure=False), example.shape[1:]
    blocks = [delayed(_apply, pure=False)(carried, index, part, example) for index, part in enumerate(parts)]
    arrays = [
        da.from_delayed(block, (size, *shape), dtype=example.dtype) for block, size in zip(blocks, sizes, strict=True)
    ]
    return da.concatenate(arrays, allow_unknown_chunksizes=True)


def _row_like(X):
    """A row of zeros of the kind that the partitions of X have."""
    if hasattr(X, "dtypes"):
        import pandas as pd

        return pd.DataFrame(np.zeros((1, len(X.columns))), columns=list(X.columns))
    return np.zeros((1, X.shape[1]))


def _apply(carried, index, rows, example):
    if not rows.shape[0]:
        return example
    with named(Partitions.noun, index):
        return carried.function(rows)
