"""Checks of parameters, targets and weights, by scikit-learn's public API; every error names the argument."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length, check_random_state, check_X_y
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from sk_hessian._text import listed, suggestion
from sk_hessian.objectives import (
    BinaryCrossEntropy,
    HuberLoss,
    Loss,
    PartedRows,
    Scan,
    SoftmaxCrossEntropy,
    SquaredLoss,
    Tally,
    named,
    parts_of,
)

#: span of integer labels up to which they are counted rather than sorted
_COUNTED = 10_000

#: offsets beyond are no linear predictor's: their squares, times those of y, overflow
_LARGEST_OFFSET = 1e100

#: Huber's sigma stays at so many roundings of y's spread, as in scikit-learn
_ROUNDINGS = 10


def check_number(estimator, name, low, *, strict=False, infinite=False):
    """The parameter ``name`` of ``estimator`` as a float of at least (``strict``: above) ``low``."""
    value = getattr(estimator, name)
    text = f"{name} must be a number {'>' if strict else '>='} {low}, got {value!r}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(text)
    number = float(value)
    inside = number > low if strict else number >= low
    if not inside or not (infinite or np.isfinite(number)):
        raise ValueError(text)
    return number


def check_count(estimator, name):
    """The parameter ``name`` of ``estimator`` as a positive integer."""
    value = getattr(estimator, name)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return int(value)


def check_forgetting(forgetting):
    """The weight of former rows as a float in (0, 1]."""
    if isinstance(forgetting, bool) or not isinstance(forgetting, Real) or not 0 < float(forgetting) <= 1:
        raise ValueError(f"forgetting must be a number above 0 and at most 1, got {forgetting!r}")
    return float(forgetting)


def check_common(estimator):
    """The parameters that all estimators share."""
    for name in ("fit_intercept", "warm_start", "early_stopping"):
        value = getattr(estimator, name, False)
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    check_number(estimator, "tol", 0, strict=True)
    check_count(estimator, "max_iter")
    verbose = estimator.verbose
    if not isinstance(verbose, (Integral, np.bool_)) or verbose < 0:
        raise ValueError(f"verbose must be a non-negative integer, got {verbose!r}")


def check_seed(random_state):
    """What numpy calls a seed, from what scikit-learn calls a random state."""
    if random_state is None or isinstance(random_state, np.random.Generator):
        return random_state
    try:
        state = check_random_state(random_state)
    except ValueError as error:
        raise ValueError(f"random_state must be an integer, a RandomState or None: {error}") from error
    return state.randint(2**32, dtype=np.uint64)


def check_training_data(estimator, X, y, sample_weight, *, offset=None, **options):
    """X, y, weights and offset without the rows of weight zero; X float and not copied, y float or as it is.

    Parameters
    ----------
    offset : array-like, optional
        None stays None.
    options : dict
        Options of `validate_data`: for y, and ``reset``.
    """
    if _are_clean(X, y):
        validate_data(estimator, X, skip_check_array=True, reset=options.get("reset", True))
    else:
        X, y = validate_data(estimator, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], **options)
    weight, offset = check_weight(sample_weight, X), check_offset(offset, X)
    if (weight == 0).any():
        keep = weight > 0
        X, y, weight = X[keep], y[keep], weight[keep]
        offset = None if offset is None else offset[keep]
    return X, y, weight, offset


def _are_clean(X, y):
    """Whether a careful check would find nothing in X and y, nor change them: arrays of finite numbers that match."""
    if not (type(X) is type(y) is np.ndarray and X.ndim == 2 and y.ndim == 1 and len(X) == len(y) and X.size):
        return False
    if X.dtype not in (np.float64, np.float32) or y.dtype.kind not in "iuf":
        return False
    # sums that are finite tell it all at once; others may be so large only, which the careful check finds out
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.add.reduce(X, axis=None)) and np.isfinite(np.add.reduce(y)))


def check_offset(offset, X):
    """``offset`` as a float array of shape (n,) or (n, k), None for None.

    Raises
    ------
    ValueError
        For another shape, nan or infinity.
    """
    if offset is None:
        return None
    shape = np.shape(offset)
    if len(shape) not in (1, 2) or shape[0] != X.shape[0]:
        raise ValueError(f"offset must have one entry for each of the {X.shape[0]} rows, got shape {shape}")
    try:
        offset = check_array(offset, ensure_2d=False, dtype=np.float64, input_name="offset")
    except (TypeError, ValueError) as error:
        raise ValueError(f"offset must be an array of finite numbers: {error}") from error
    largest = np.abs(offset).max(initial=0)
    if largest > _LARGEST_OFFSET:
        raise ValueError(
            f"offset is too large, up to {largest:.3g}: it is added to the linear predictor, on the scale of the link "
            "(for exposures their logarithm)"
        )
    return offset


def check_offset_outputs(offset, n_outputs):
    """Refuse an ``offset`` that does not fit so many raw predictions for each row.

    Raises
    ------
    ValueError
    """
    if offset is None or offset.shape[1:] == ((n_outputs,) if n_outputs > 1 else ()):
        return
    if n_outputs == 1:
        raise ValueError(f"offset must be 1-D, one number for each row, got shape {offset.shape}")
    shape = (len(offset), n_outputs)
    what = f"got shape {offset.shape}"
    what = "one number for each row would move all classes alike, and change nothing" if offset.ndim == 1 else what
    raise ValueError(f"offset must have a column for each class, shape {shape}: {what}")


def check_weight(sample_weight, X):
    """``sample_weight`` as a float array of shape (n,), ones for None.

    Raises
    ------
    ValueError
        For a wrong shape, negative or only zero weights, nan or infinity.
    """
    if sample_weight is None:
        return np.ones(X.shape[0])
    if isinstance(sample_weight, Real):
        sample_weight = np.full(X.shape[0], sample_weight, dtype=float)
    weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.ndim != 1:
        raise ValueError(f"sample_weight must be 1-D, one weight per row, got shape {weight.shape}")
    check_consistent_length(X, weight)
    if (weight < 0).any():
        raise ValueError("sample_weight must not be negative: drop those rows, or give them weight zero")
    if not weight.any():
        raise ValueError("sample_weight: Sample weights must contain at least one non-zero number.")
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError("sample_weight is too large: its sum is not finite; divide it by a constant")
    return weight


def check_penalty_weights(penalty_weights, n_features, names=None):
    """``penalty_weights`` as a float array of shape (p,), ones for None.

    Parameters
    ----------
    penalty_weights : array-like of shape (p,), dict, pandas series or None
        A dict, or a pandas series with such an index, has weights by the name of the column, and one for the others.
    n_features : int
    names : sequence of str, optional
        What the columns are called, for a dict.

    Raises
    ------
    ValueError
        For another shape, nan, infinity, negative weights, and names that no column has.
    """
    if penalty_weights is None:
        return np.ones(n_features)
    # a series by names in another order than the columns' would be taken by position
    if hasattr(penalty_weights, "iloc") and all(isinstance(label, str) for label in penalty_weights.index):
        penalty_weights = penalty_weights.to_dict()
    if isinstance(penalty_weights, Mapping):
        penalty_weights = _by_column(penalty_weights, names)
    try:
        penalty_weights = np.atleast_1d(np.asarray(penalty_weights, dtype=float))
    except (TypeError, ValueError) as error:
        raise TypeError(
            "penalty_weights must be numbers, one for each column, or a dict from column names to numbers, got "
            f"{penalty_weights!r}"
        ) from error
    weights = check_array(penalty_weights, ensure_2d=False, dtype=np.float64, input_name="penalty_weights")
    if weights.shape != (n_features,):
        raise ValueError(
            f"penalty_weights must have one entry for each of the {n_features} features, got shape {weights.shape}"
        )
    if (weights < 0).any():
        raise ValueError("penalty_weights must not be negative; zero leaves a feature without penalty")
    return weights


def _by_column(weights, names):
    """Weights by the name of the column as a list in the order of the columns, one for those without."""
    if names is None:
        raise ValueError(
            "penalty_weights is a dict, so that X must be a data frame with column names (strings), and this X has no "
            "names: pass a data frame, or an array with one weight for each column"
        )
    names = list(names)
    for name, weight in weights.items():
        if name not in names:
            raise ValueError(
                f"penalty_weights names the column {name!r}, which X does not have.{suggestion(name, names)} "
                f"The columns are {listed(names, ', ')}"
            )
        if isinstance(weight, (bool, np.bool_)) or not isinstance(weight, Real):
            raise TypeError(f"penalty_weights must be numbers, got {weight!r} for the column {name!r}")
    return [weights.get(name, 1.0) for name in names]


def check_range(loss, y, name):
    """Raise where y is outside the range of the loss, or so large that the loss overflows."""
    inside = loss.in_range(y)
    if not inside.all():
        first = y[np.flatnonzero(~inside)[0]]
        raise ValueError(f"y must be {loss.range_text} for {name}, got {first}; change y, or the model (power, loss)")
    largest = np.abs(y).max(initial=0)
    if largest > 1e150:
        raise ValueError(f"y is too large, up to {largest:.3g}: its square overflows; divide y by a constant")
    if 0 < largest < 1e-150:
        raise ValueError(f"y is too small, up to {largest:.3g}: its square underflows; multiply y by a constant")


def huber_loss(epsilon, y):
    """Huber's loss whose scale does not fall below rounding of y."""
    return HuberLoss(epsilon, _ROUNDINGS * np.finfo(float).eps * (np.abs(y).max() or 1.0))


def _classes(y):
    """The classes in order, and the index of each row's."""
    if y.dtype.kind in "bui":
        low, high = int(y.min()), int(y.max())
        if high - low <= _COUNTED and high <= np.iinfo(np.intp).max:
            shifted = y.astype(np.intp) - low
            present = np.bincount(shifted) > 0
            return (np.flatnonzero(present) + low).astype(y.dtype), (np.cumsum(present) - 1)[shifted]
    check_classification_targets(y)
    return np.unique(y, return_inverse=True)


def index_of(y, classes):
    """The index in ``classes`` of each row's.

    Raises
    ------
    ValueError
        For another class.
    """
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"y has the class {unknown.tolist()[0]!r}, which is not among classes={classes}")
    return np.searchsorted(classes, y)


def check_classes(y, weight, class_weight, known=None):
    """The classes in order, the index of each row's, and the weights times those of the classes.

    Parameters
    ----------
    known : ndarray, optional
        The classes, of which y may lack some.

    Raises
    ------
    ValueError
        For one class only, a class without weight, or one that is not known.
    """
    classes, index = _classes(y) if known is None else (known, index_of(y, known))
    if len(classes) < 2:
        raise ValueError(f"y has only one class, {classes.tolist()[0]!r}: a classifier needs at least two classes")
    if isinstance(class_weight, str) and class_weight == "balanced":
        # a row of weight two counts as two rows here too
        weight = weight * weight.sum() / (len(classes) * np.bincount(index, weights=weight)[index])
    elif isinstance(class_weight, str):
        raise ValueError(f'class_weight must be a dict, "balanced" or None, got {class_weight!r}')
    elif class_weight is not None:
        weight = weight * compute_sample_weight(class_weight, y)
    if not ((weight > 0) & np.isfinite(weight)).all():
        raise ValueError("class_weight must be positive and finite; drop the rows of a class that should not count")
    return classes, index, weight


def class_target(index, n_classes):
    """The target as a loss wants it, and the loss, from the index of each row's class."""
    if n_classes == 2:
        return index.astype(float), BinaryCrossEntropy()
    return index, SoftmaxCrossEntropy(n_classes)


# -- rows that come in parts -----------------------------------------------------------------------------------------

#: options of `validate_data` that `check_X_y` has too
_OF_TARGETS = ("multi_output", "y_numeric")


def _part(index, part, noun, check):
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


def _checked(X, y, **options):
    """X and y by scikit-learn's checks, of which a part may have no row."""
    if len(y) == 0:
        return _converted(X, y)
    y = y if options.get("multi_output") else _single(y)
    return check_X_y(X, y, accept_sparse="csr", dtype=[np.float64, np.float32], **options)


def _single(y):
    """A table of one column, such as a partition of a data frame, as that column."""
    return np.ravel(y) if np.ndim(y) == 2 and np.shape(y)[1] == 1 else y


def _converted(X, y):
    """X and y that have been checked before."""
    options = {"accept_sparse": "csr", "dtype": [np.float64, np.float32], "ensure_min_samples": 0}
    return check_array(X, ensure_all_finite=False, **options), np.asarray(y)


def scan_parts(estimator, parts, reset, **options):
    """Check every part once, and the estimator's features.

    Parameters
    ----------
    parts : Parts
    reset : bool
        Whether to learn the features, as of `validate_data`.
    options : dict
        Options of `validate_data` for y.

    Returns
    -------
    Scan

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the part.
    """
    noun = parts.noun
    check = partial(_checked, **{name: options[name] for name in _OF_TARGETS if name in options})

    def scan(index, part):
        found = Scan.of(index, *_part(index, part, noun, check))
        return found and (found, part[0][:0] if hasattr(part[0], "columns") else None)

    def merge(a, b):
        if _columns(a[1]) != _columns(b[1]):
            raise ValueError(f"X: {noun}s {min(a[0].sizes)} and {min(b[0].sizes)} do not have the same columns")
        return a[0].merged(b[0], noun), a[1]

    found = parts.fold(scan, merge)
    if found is None:
        raise ValueError(f"X has no rows: every {noun} is empty, or has weights of zero only")
    scanned, example = found
    example = np.empty((0, scanned.n_features)) if example is None else example
    validate_data(estimator, example, skip_check_array=True, reset=reset)
    return scanned


def _columns(example):
    return None if example is None else list(example.columns)


@dataclass(frozen=True)
class PartEncoder:
    """From a part that has been checked to X, y and weights as an objective wants them.

    Attributes
    ----------
    noun : str
        What a part is called.
    loss : Loss
    name : str
        Of the estimator, for errors.
    classes, class_weight : ndarray or None
        The classes in order, and what the weights of each are multiplied with.
    """

    noun: str
    loss: Loss
    name: str
    classes: Any = None
    class_weight: Any = None

    def __call__(self, index, part):
        X, y, weight = _part(index, part, self.noun, _converted)
        return X, *self.encode(y, weight)

    def encode(self, y, weight):
        """Targets and weights of some rows."""
        if not len(y):
            return y, weight
        y = y if isinstance(self.loss, SquaredLoss) else _single(y)
        if self.classes is None:
            y = y.astype(float, copy=False)
            check_range(self.loss, y, self.name)
            return y, weight
        index = index_of(y, self.classes)
        return class_target(index, len(self.classes))[0], weight * self.class_weight[index]


def name_part(parts, encode):
    """Raise the error that ``encode(y, weight)`` raises for a part, with the part's name.

    Parameters
    ----------
    parts : Parts
        They have been checked.
    encode : callable
    """
    noun = parts.noun

    def check(index, part):
        _, y, weight = _part(index, part, noun, _converted)
        with named(noun, index):
            if len(y):
                encode(y, weight)

    parts.fold(check, None)


def parted_rows(parts, scan, encoder, targets):
    """The rows of parts, with their targets as an objective wants them.

    Parameters
    ----------
    parts : Parts
    scan : Scan
    encoder : PartEncoder
    targets : tuple of ndarray
        The scan's targets and weights, encoded.

    Returns
    -------
    PartedRows
    """
    heads = encoder.encode(*scan.head)
    weight = targets[1]
    varies = encoder.classes is not None and np.ptp(encoder.class_weight) > 0
    least = -np.inf if varies else scan.least_weight
    scan = replace(scan, targets=targets, head=heads, total=weight.sum(), least_weight=least)
    return PartedRows(parts, encoder, scan)


def check_in_memory(estimator, X, y, sample_weight):
    """Refuse rows that come in parts.

    Raises
    ------
    TypeError
    """
    if parts_of(X, y, sample_weight) is not None:
        raise TypeError(
            f"{type(estimator).__name__} is fitted on rows in memory: X must be an array, a sparse matrix or a data "
            "frame; fit a sample, such as X.partitions[0].compute() of dask, or give each part to partial_fit in turn"
        )


def score_parts(parts, sums, finish):
    """A score from sums over the rows of parts.

    Parameters
    ----------
    parts : Parts
    sums : callable
        From X as it comes, y and weights of some rows, none of them zero, to an array that may be added up.
    finish : callable
        From the sums, and a few targets and weights that stand for all, to the score.

    Returns
    -------
    float or dask.array.Array of shape ()
    """
    noun = parts.noun

    def tally(index, part):
        X, y, weight = _part(index, part, noun, _of_score)
        if not len(y):
            return None
        with named(noun, index):
            return Tally.of(sums(X, y, weight), y, weight)

    def score(total):
        if total is None:
            raise ValueError(f"X has no rows: every {noun} is empty, or has weights of zero only")
        return float(finish(total.sums, *total.targets))

    return parts.number(tally, Tally.merged, score)


def _of_score(X, y):
    """X as it comes, for a prediction, and y as an array."""
    X = X if hasattr(X, "shape") else np.asarray(X)
    y = check_array(y, ensure_2d=False, dtype=None, ensure_min_samples=0, input_name="y")
    check_consistent_length(X, y)
    return X, _single(y)


#: relative error of float32 up to which parameters are rounded to it: below its range they would lose their digits
_FLOAT32_ERROR = 1e-6


def rounded_to_float32(parameters):
    """Fitted parameters in float32, or None where that cannot hold them.

    Parameters
    ----------
    parameters : sequence of ndarray or numpy scalars
        float64.

    Returns
    -------
    list of ndarray or numpy scalars, or None
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = [exact.astype(np.float32) for exact in parameters]
    holds = all(np.allclose(near, exact, _FLOAT32_ERROR, 0) for near, exact in zip(rounded, parameters, strict=True))
    return rounded if holds else None


def unrounded(parameters, exact):
    """Fitted parameters in float64: those of the fit, as long as the attributes are their roundings.

    Parameters
    ----------
    parameters : sequence of array-like
        The attributes, which a user may have set.
    exact : sequence of ndarray or None
        What the fit found, where it has rounded that.

    Returns
    -------
    sequence of ndarray
    """
    parameters = [np.asarray(values) for values in parameters]
    if exact is not None and len(exact) == len(parameters):
        pairs = zip(exact, parameters, strict=True)
        if all(np.array_equal(found.astype(values.dtype), values) for found, values in pairs):
            return exact
    return [values.astype(float, copy=False) for values in parameters]
