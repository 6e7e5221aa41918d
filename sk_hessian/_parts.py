"""Rows that come in parts: every part is checked once, and encoded each time that it is read."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from sk_hessian._encoding import FLOAT_ROWS
from sk_hessian._levels import learned, options_of, seen_of
from sk_hessian._validation import check_range, check_weight, class_target, index_of
from sk_hessian.objectives import Loss, PartedRows, Scan, SquaredLoss, named


def rows_of_parts(estimator, parts, reset, encode, options):
    """The `PartedRows` of parts, checked and with targets as an objective wants them, and the loss.

    ``reset`` says whether the estimator learns the features, and ``options`` are those of y, as of `validate_data`;
    ``encode(y, weight)`` gives targets as the loss wants them, weights, and the loss. An error names the part.
    """
    scan = _scan(estimator, parts, reset, options)
    try:
        y, weight, loss = encode(*scan.targets)
    except ValueError:
        if not is_classifier(estimator):
            _name_part(parts, encode)
        raise
    encoder = PartEncoder(parts.noun, loss, type(estimator).__name__, vars(estimator).get("encoding_"))
    varies = False
    if is_classifier(estimator):
        rank = getattr(estimator, "_ranks", None)
        encoder = replace(encoder, classes=estimator.classes_, class_weight=weight / scan.targets[1], rank=rank)
        varies = np.ptp(encoder.class_weight) > 0
    scan = replace(
        scan,
        targets=(y, weight),
        head=encoder.encode(*scan.head),
        total=weight.sum(),
        least_weight=-np.inf if varies else scan.least_weight,
    )
    return PartedRows(parts, encoder, scan), loss


def read_part(index, part, noun, check):
    """One part as X, y and weights by ``check(X, y)``; an error says which part."""
    if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
        raise ValueError(f"{noun} {index} must be (X, y) or (X, y, sample_weight), got {type(part).__name__}")
    X, y, *given = part
    with named(noun, index):
        X, y = check(X, y)
        weight = np.ones(X.shape[0]) if not given or given[0] is None else _weight_of_part(given[0], X)
    keep = weight > 0
    return (X, y, weight) if keep.all() else (X[keep], y[keep], weight[keep])


def _weight_of_part(weight, X):
    """A part may have weights of zero only, or no row."""
    return check_weight(weight, X) if X.shape[0] and np.any(weight) else np.zeros(X.shape[0])


def _checked(X, y, encoding=None, **options):
    """X and y by scikit-learn's checks, of which a part may have no row; X by its ``encoding``, where it has one."""
    if len(y) == 0:
        return _converted(X, y, encoding)
    y = y if options.get("multi_output") else single(y)
    if encoding is not None:
        return encoding.table(X, y, **options)
    return check_X_y(X, y, **FLOAT_ROWS, **options)


def single(y):
    """A table of one column, such as a partition of a data frame, as that column."""
    return np.ravel(y) if np.ndim(y) == 2 and np.shape(y)[1] == 1 else y


def _converted(X, y, encoding=None):
    """X and y that have been checked before."""
    if encoding is not None:
        return encoding.table(X, ensure_all_finite=False, ensure_min_samples=0)[0], np.asarray(y)
    return check_array(X, ensure_all_finite=False, ensure_min_samples=0, **FLOAT_ROWS), np.asarray(y)


def _scan(estimator, parts, reset, options):
    """Check every part and the estimator's features and levels; the `Scan`."""
    noun, known = parts.noun, None if reset else vars(estimator).get("encoding_")
    show = partial(seen_of, options_of(getattr(estimator, "categorical_features", None))) if reset else lambda X: None

    def scan(index, part):
        with named(noun, index):
            seen = show(part[0]) if isinstance(part, (tuple, list)) else None
        encoding = known if seen is None else seen.encoding((), True, declared=True)
        check = partial(_checked, encoding=encoding, **options)
        found = Scan.of(index, *read_part(index, part, noun, check))
        return found and (found, part[0][:0] if hasattr(part[0], "columns") else None, seen)

    found = parts.fold(scan, partial(_merged, noun))
    if found is None:
        raise ValueError(f"X has no rows: every {noun} is empty, or has weights of zero only")
    scanned, example, seen = found
    example = np.empty((0, scanned.n_features)) if example is None else example
    validate_data(estimator, example, skip_check_array=True, reset=reset)
    if not reset:
        return scanned
    vars(estimator).pop("encoding_", None)
    if seen is None:
        return scanned
    estimator.encoding_ = learned(estimator, seen)
    return replace(scanned, n_features=estimator.encoding_.n_columns)


def _merged(noun, a, b):
    """What two parts, or some of them, have shown together."""
    which = f"{noun}s {min(a[0].sizes)} and {min(b[0].sizes)}"
    if _columns(a[1]) != _columns(b[1]):
        raise ValueError(f"X: {which} do not have the same columns")
    seen = a[2]
    if (a[2] is None) != (b[2] is None) or (seen is not None and seen.positions != b[2].positions):
        raise ValueError(f"X: {which} do not have categories in the same columns")
    if seen is not None:
        seen = seen.merged(b[2], which)
    return a[0].merged(b[0], noun), a[1], seen


def _columns(example):
    return None if example is None else list(example.columns)


@dataclass(frozen=True)
class PartEncoder:
    """From a part that has been checked to X, y and weights as an objective wants them; errors have the ``name``."""

    noun: str
    loss: Loss
    name: str
    encoding: Any = None  #: `Encoding`, where X has categories
    classes: Any = None
    class_weight: Any = None
    rank: Any = None  #: of each class, where they are ordered

    def __call__(self, index, part):
        X, y, weight = read_part(index, part, self.noun, partial(_converted, encoding=self.encoding))
        return X, *self.encode(y, weight)

    def multiplier(self, y):
        """What ``class_weight`` multiplies the weights of rows with these encoded targets with, (n,)."""
        return np.ones(len(y)) if self.class_weight is None else self.class_weight[y.astype(np.intp)]

    def encode(self, y, weight):
        """Targets and weights of some rows."""
        if not len(y):
            return y, weight
        y = y if isinstance(self.loss, SquaredLoss) else single(y)
        if self.classes is None:
            y = y.astype(float, copy=False)
            check_range(self.loss, y, self.name)
            return y, weight
        index = index_of(y, self.classes)
        weight = weight * self.class_weight[index]
        return (class_target(index, len(self.classes))[0] if self.rank is None else self.rank[index]), weight


def _name_part(parts, encode):
    """Raise the error that ``encode(y, weight)`` raises for a part, with the part's name."""
    noun = parts.noun

    def check(index, part):
        _, y, weight = read_part(index, part, noun, lambda X, y: (X, np.asarray(y)))
        with named(noun, index):
            if len(y):
                encode(y, weight)

    parts.fold(check, None)
