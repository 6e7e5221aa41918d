"""The columns of X that a model was fitted on."""

from functools import partial
from typing import Any

import numpy as np

from sk_hessian._text import listed, suggestion
from sk_hessian.objectives import Changed, Parts


def own_columns(model: Any, X: Any, what: str) -> Any:
    """X with the columns of a fitted estimator or pipeline, by their names; X itself where it has no names."""
    names = getattr(model, "feature_names_in_", None)
    if names is not None and isinstance(X, Parts):
        # the names alone go to the workers of a cluster
        return Changed(X, partial(_named, names, what))
    if names is None or not hasattr(X, "columns"):
        return X
    return _named(names, what, X)


def _named(names, what, X):
    """The columns of a data frame with these names; X itself where it has no names."""
    if not hasattr(X, "columns"):
        return X
    have = list(X.columns)
    missing = [name for name in names if name not in have]
    if missing:
        raise ValueError(f"{what}: X has no column {listed(missing, ', ')}, which the model was fitted on")
    return X if have == list(names) else X[list(names)]


def taken(X: Any, columns: Any, name: str) -> Any:
    """Some columns of X, by position or by name; a ValueError that begins with the argument's ``name``."""
    if isinstance(X, Parts):
        return Changed(X, partial(taken, columns=columns, name=name))
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    X = X if hasattr(X, "shape") else np.asarray(X)
    columns, p = np.atleast_1d(np.asarray(columns)), X.shape[1]
    if columns.ndim != 1 or not columns.size or columns.dtype.kind not in "biuOUT":
        raise ValueError(f"{name} must be names or positions of columns of X, got {columns!r}")
    if columns.dtype.kind in "OUT":
        if not hasattr(X, "columns"):
            raise ValueError(f"{name} are names, and X has none: pass positions, or X as a data frame")
        have = list(X.columns)
        missing = [column for column in columns.tolist() if column not in have]
        if missing:
            near = suggestion(missing[0], map(str, have))
            raise ValueError(f"{name}: X has no column {listed(list(map(repr, missing)), ', ')}.{near}")
        return X[columns.tolist()]
    if columns.dtype.kind == "b":
        if columns.size != p:
            raise ValueError(f"{name} must have one bool for each of the {p} columns of X, got {columns.size}")
        columns = np.flatnonzero(columns)
    if columns.min() < 0 or columns.max() >= p or len(set(columns.tolist())) < columns.size:
        raise ValueError(f"{name} must be different positions from 0 to {p - 1}, got {columns.tolist()}")
    return X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns]
