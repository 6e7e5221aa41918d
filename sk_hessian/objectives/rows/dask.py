"""Rows of dask arrays and data frames: a round is one graph, whose partial sums meet in a tree.

The only module that imports dask, and only once X is one of its collections.
"""

from itertools import pairwise

import numpy as np

from sk_hessian.objectives.rows.sources import Parts, combined, is_distributed, named

#: partial sums that one task adds up
_FAN_IN = 8


class Partitions(Parts):
    """The partitions of dask collections.

    A round computes them anew from their graph: ``dask.persist(X, y)`` beforehand keeps them in the workers' memory
    instead. X, y and the weights are made ready together, so that a table from which they all come is read once a
    round, and of its columns only those that one of them needs. X, an array or a data frame, may have unknown chunk
    sizes; a chunk must have all columns. Where y and the weights are cut elsewhere and sizes are not known, one round
    counts rows to cut them like X.
    """

    noun = "partition"

    def __init__(self, X, y, sample_weight=None):
        _dask()
        _check_table(X)
        given = {"y": y, "sample_weight": sample_weight}
        aligned = {name: _aligned(values, name, X) for name, values in given.items() if values is not None}
        self.partitions = _beside_each_other({"X": X, **aligned})

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


def _beside_each_other(collections):
    """The partitions of some collections, by name, X first: a list of tuples, or of ``Delayed`` tuples."""
    columns = dict(zip(collections, _parts_of_each(list(collections.values())), strict=True))
    many = {len(column) for column in columns.values()}
    if len(many) > 1:
        columns = _cut_like_X(columns)
    elif all(_is_frame(values) and {values.npartitions} == many for values in collections.values()):
        import dask.dataframe as dd

        # one expression of all, so that dask reads once what several of them come from
        options = {"meta": (None, object), "enforce_metadata": False, "clear_divisions": True}
        return _parts_of_frame(dd.map_partitions(_tuple, *collections.values(), **options))
    return list(zip(*columns.values(), strict=True))


def _tuple(*rows):
    return rows


def _is_frame(values):
    return hasattr(values, "divisions")


def _parts_of_each(collections):
    """The partitions of each collection, lists of ``Delayed``; those of arrays share what they have in common.

    Dask would fuse what several arrays come from into each of them, and so compute it as often.
    """
    parts = [None if _has_chunks(values) else _parts_of_frame(values) for values in collections]
    arrays = [values.rechunk({1: -1}) if values.ndim == 2 else values for values in collections if _has_chunks(values)]
    with _dask().config.set({"optimization.fuse.active": False}):
        ready = iter(_dask().optimize(*arrays))
    return [np.ravel(next(ready).to_delayed(optimize_graph=False)).tolist() if part is None else part for part in parts]


def _has_chunks(values):
    return hasattr(values, "rechunk")


def _parts_of_frame(frame):
    """The partitions of a frame as a list of ``Delayed``.

    Dask's own optimisation, without the step that merges small partitions of a file: how many it merges depends on the
    columns that are read, so X and y of one file would come in different partitions. ``dask.persist`` of several
    columns of a file merges them too, yet the frame says that it has as many as before (dask/dask#12488): those
    that do not exist are left out, their rows are in the others.
    """
    if _is_frame(frame):
        frame = frame.simplify().lower_completely().fuse()
    return [part for part in frame.to_delayed(optimize_graph=False) if part.key in part.dask]


def _cut_like_X(columns):
    """The columns of partitions, by name, cut where X, the first, is cut; one round counts their rows."""
    count = _dask().delayed(_n_rows, pure=False)
    sizes = _dask().compute({name: [count(part) for part in column] for name, column in columns.items()})[0]
    ends = np.cumsum([0, *sizes["X"]])
    cut = {}
    for name, column in columns.items():
        if sum(sizes[name]) != ends[-1]:
            raise ValueError(f"{name} has {sum(sizes[name])} rows, but X has {ends[-1]}")
        cut[name] = column if sizes[name] == sizes["X"] else _cut_at(ends, column, np.cumsum([0, *sizes[name]]))
    return cut


def _cut_at(ends, column, own_ends):
    """The rows of a column of partitions that end at ``own_ends``, in partitions that end at ``ends``."""
    parts, take = [], _dask().delayed(_taken, pure=False)
    for start, stop in pairwise(ends):
        # from the first that ends after the start to the last that starts before the stop; at least one, for no row too
        first = min(np.searchsorted(own_ends[1:], start, side="right"), len(column) - 1)
        last = max(np.searchsorted(own_ends[:-1], stop), first + 1)
        parts.append(take(column[first:last], int(start - own_ends[first]), int(stop - own_ends[first])))
    return parts


def _n_rows(rows):
    return int(np.shape(rows)[0])


def _taken(parts, start, stop):
    """Some rows of partitions that follow each other."""
    if hasattr(parts[0], "iloc"):
        import pandas as pd

        return pd.concat(parts).iloc[start:stop]
    return np.concatenate(parts)[start:stop]


def _check_table(X):
    """Refuse what is no table of numbers."""
    if getattr(X, "ndim", None) != 2:
        ndim = getattr(X, "ndim", None)
        raise ValueError(f"X must be a 2-D dask array or a data frame, got {type(X).__name__} with ndim={ndim}")
    if not hasattr(X, "dtypes"):
        if np.isnan(X.shape[1]):
            raise ValueError("X must have a known number of columns: call X.compute_chunk_sizes() before")
        return
    for column, dtype in X.dtypes.items():
        if dtype.kind not in "buif" and dtype.name != "category":
            raise ValueError(
                f"X: column {column!r} is of dtype {dtype}, not of numbers: encode categories before, for example by "
                "dask.dataframe.get_dummies; for a linear model make it a category, "
                f"X.categorize(columns=[{column!r}])"
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


def map_rows(function, X, of_zeros):
    """See `sources.map_distributed`; the example of its results is what ``of_zeros`` returns for a row of zeros."""
    delayed = _dask().delayed
    import dask.array as da

    _check_table(X)
    parts, example = _parts_of_each([X])[0], of_zeros(_row_like(X))[:0]
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

        row = pd.DataFrame(np.zeros((1, len(X.columns))), columns=list(X.columns))
        return row.astype({column: dtype for column, dtype in X.dtypes.items() if dtype.kind == "f"})
    return np.zeros((1, X.shape[1]), dtype=X.dtype if X.dtype.kind == "f" else float)


def _apply(carried, index, rows, example):
    if not rows.shape[0]:
        return example
    with named(Partitions.noun, index):
        return carried.function(rows)
