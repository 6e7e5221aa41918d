"""Columns of data frames and of arrays: which hold categories or text, and the codes of what is in them.

Frames of pandas and of polars are known by what they offer; neither is imported.
"""

from typing import Any

import numpy as np

#: what polars calls its types of categories and of text
_POLARS_CATEGORIES = ("Categorical", "Enum")
_POLARS_TEXT = ("String", "Utf8")


def is_frame(X: Any) -> bool:
    """Whether X is a data frame."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def is_polars(X: Any) -> bool:
    """Whether X is a frame of polars."""
    return hasattr(X, "get_columns")


def names_of(X: Any) -> list | None:
    """The names of the columns, None of an array."""
    return list(X.columns) if is_frame(X) else None


def category_columns(X: Any) -> list[int]:
    """Positions of the columns whose type is a category."""
    if not is_frame(X):
        return []
    if is_polars(X):
        return [j for j, dtype in enumerate(X.dtypes) if str(dtype).startswith(_POLARS_CATEGORIES)]
    return [j for j, dtype in enumerate(X.dtypes) if getattr(dtype, "name", "") == "category"]


def text_columns(X: Any) -> list[int]:
    """Positions of the columns that hold text."""
    if not is_frame(X):
        return []
    if is_polars(X):
        return [j for j, dtype in enumerate(X.dtypes) if str(dtype) in _POLARS_TEXT]
    return [j for j, dtype in enumerate(X.dtypes) if _may_be_text(dtype) and _has_text(X.iloc[:, j])]


def _may_be_text(dtype):
    return getattr(dtype, "kind", "O") in "OUST" and getattr(dtype, "name", "") != "category"


def _has_text(column):
    return any(isinstance(value, str) for value in column)


def as_categories(X: Any, columns: list) -> str:
    """The line of code that makes text columns of a frame categories."""
    if is_polars(X):
        return f"X = X.with_columns(pl.col({', '.join(map(repr, columns))}).cast(pl.Categorical))"
    types = ", ".join(f"{name!r}: 'category'" for name in columns)
    return f"X = X.astype({{{types}}})"


def column_of(X: Any, j: int) -> Any:
    """The column at a position: a series of the frame, or a 1-D array."""
    if is_polars(X):
        return X.get_columns()[j]
    return X.iloc[:, j] if is_frame(X) else np.asarray(X)[:, j]


def columns_at(X: Any, positions: list) -> Any:
    """Some columns as a table of the same kind."""
    if is_polars(X):
        return X[:, list(positions)]
    return X.iloc[:, positions] if is_frame(X) else X[:, positions]


def coded(column: Any) -> tuple[np.ndarray, list]:
    """The code of each entry, -1 where it is missing, and the values of the codes in order.

    The order is that of the type, where it has one, else ascending. Values that no entry has may be among them.
    """
    if hasattr(column, "to_physical"):
        return _coded_by_polars(column)
    if hasattr(column, "astype") and hasattr(column, "iloc"):
        column = column if hasattr(column, "cat") else _kept_apart(column).astype("category")
        # of the array alone: a series for each step takes a tenth of a fit's time
        return column.array.codes, column.array.categories.tolist()
    return _coded_values(column)


def _kept_apart(column):
    """A column of objects without types for missing values that pandas would not sort."""
    return column.astype(object) if getattr(column.dtype, "kind", "") == "b" else column


def _coded_by_polars(column):
    missing = column.is_null().to_numpy()
    if not str(column.dtype).startswith(_POLARS_CATEGORIES):
        values = np.empty(len(missing), dtype=object)
        values[:] = column.to_list()
        return _coded_values(values)
    there = column.drop_nulls()
    # codes of polars may be in the order in which values appeared anywhere
    _, first, codes = np.unique(there.to_physical().to_numpy(), return_index=True, return_inverse=True)
    present = there.gather(first).to_list()
    levels = column.dtype.categories.to_list() if str(column.dtype).startswith("Enum") else sorted(present)
    number = {level: i for i, level in enumerate(levels)}
    found = np.full(len(missing), -1, dtype=np.intp)
    found[~missing] = np.array([number[level] for level in present], dtype=np.intp)[codes]
    return found, levels


def _coded_values(values):
    """See `coded`: of an array."""
    missing = values != values if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    if values.dtype.kind == "O":
        missing = np.fromiter((value is None or value != value for value in values), dtype=bool, count=len(values))
    there = values[~missing]
    codes = np.full(len(values), -1, dtype=np.intp)
    if there.dtype.kind == "O":
        levels, codes[~missing] = _hashed(there)
        return codes, levels
    found, codes[~missing] = np.unique(there, return_inverse=True)
    return codes, found.tolist()


def _hashed(values):
    """The distinct values of an array of objects, sorted, and the index of each."""
    levels = sorted(set(values.tolist()))
    number = {value: index for index, value in enumerate(levels)}
    return levels, np.fromiter(map(number.__getitem__, values.tolist()), dtype=np.intp, count=len(values))
