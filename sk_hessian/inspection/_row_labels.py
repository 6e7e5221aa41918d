"""What rows are called: by the index of a data frame, as columns are by its names; else by their positions."""

import numpy as np


def row_labels(X, y, n_rows):
    """A pandas index of the rows, X's or else y's; positions where neither has one: arrays and polars frames."""
    for data in (X, y):
        # lists have a method of the name index
        if hasattr(data, "iloc"):
            return data.index
    return np.arange(n_rows)


def row_names(labels, rows):
    """Rows at some positions in words; with the position where a label belongs to several rows."""
    shared = labels.duplicated(keep=False) if hasattr(labels, "duplicated") else np.zeros(len(labels), dtype=bool)
    return [f"{_text(labels[row])} (position {row})" if shared[row] else _text(labels[row]) for row in rows]


def _text(label):
    """A label of several levels is a tuple."""
    return ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)
