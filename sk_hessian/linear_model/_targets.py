"""Checks of targets that single linear models take, and of their links; every error names the argument."""

from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d


def check_link(link, links):
    """Refuse a ``link`` that is none of some names."""
    if not isinstance(link, str) or link not in links:
        names = ", ".join(map(repr, links[:-1]))
        raise ValueError(f"link must be {names} or {links[-1]!r}, got {link!r}")


def check_proportions(y, name):
    """The proportions of successes (n,), and the trials (n,) where y (n, 2) has successes and failures, else None."""
    if y.ndim == 2 and y.shape[1] != 2:
        if y.shape[1] != 1:
            raise ValueError(f"y must be 1-D, or have two columns, successes and failures, got shape {y.shape}")
        y = column_or_1d(y, warn=True)
    y = y.astype(float, copy=False)
    if y.ndim == 1:
        wrong = np.flatnonzero(~((y >= 0) & (y <= 1)))
        if wrong.size:
            raise ValueError(
                f"y must be between 0 and 1 for {name}, got {y[wrong[0]]:.6g}: proportions of successes, with the "
                "numbers of trials as sample_weight; or two columns, successes and failures"
            )
        return y, None
    if (y < 0).any() or (y != np.round(y)).any():
        wrong = y[((y < 0) | (y != np.round(y))).any(axis=1)][0].tolist()
        raise ValueError(f"y must have whole numbers of successes and failures, none below 0, got {wrong}")
    trials = y.sum(axis=1)
    if not trials.all():
        row = np.flatnonzero(trials == 0)[0]
        raise ValueError(f"y: row {row} has no trials (0 successes and 0 failures): drop such rows")
    return y[:, 0] / trials, trials


def check_order(order):
    """Refuse an ``order`` that is no sequence of different labels."""
    if order is None:
        return
    labels = np.asarray(order, dtype=object) if isinstance(order, (list, tuple)) else np.asarray(order)
    if labels.ndim != 1 or len(labels) < 2 or len(set(labels.tolist())) < len(labels):
        raise ValueError(
            "order must be a list of at least two different labels, from the lowest to the highest, or None, "
            f"got {order!r}"
        )


def ordered_levels(order, y):
    """The labels from the lowest to the highest as a list: an ``order``, or that of a categorical y; None for none."""
    dtype: Any = getattr(y, "dtype", None)
    if order is None and getattr(dtype, "ordered", False):
        order = dtype.categories
    return None if order is None else np.asarray(order).tolist()


def check_levels(levels, classes):
    """The ``classes`` in the order of ``levels``, which may have more; an array of the same type."""
    unknown = [label for label in classes.tolist() if label not in levels]
    if unknown:
        raise ValueError(f"y has the class {unknown[0]!r}, which is not in order={levels}")
    present = classes.tolist()
    return classes[[present.index(label) for label in levels if label in present]]
