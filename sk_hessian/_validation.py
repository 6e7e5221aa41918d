"""Checks of parameters, targets and weights, by scikit-learn's public API; every error names the argument."""

import math
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from sk_hessian._encoding import FLOAT_ROWS, explaining
from sk_hessian._levels import counted_rows, encoding_of
from sk_hessian.objectives import BinaryCrossEntropy, HuberLoss, Loss, SoftmaxCrossEntropy, parts_of

#: what is a number: the plain types come first, because they are told without a Python-level call
_NUMBER = (float, int, Real)
_WHOLE = (int, Integral)

#: span of integer labels up to which they are counted rather than sorted, and the largest label that is counted
_COUNTED = 10_000
_LARGEST_LABEL = np.iinfo(np.intp).max

#: labels of whole numbers as floats up to which they are taken as integers
_LARGEST_WHOLE = 2**31

#: offsets beyond are no linear predictor's: their squares, times those of y, overflow
_LARGEST_OFFSET = 1e100

#: Huber's sigma stays at so many roundings of y's spread, as in scikit-learn
_ROUNDINGS = 10


class RowData(NamedTuple):
    """What a method was given for each row, as it came."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    offset: Any = None

    @property
    def parts(self):
        """The source of parts that X is, None for rows in memory; see `parts_of`."""
        return parts_of(*self)

    @property
    def for_prediction(self):
        """The arguments of a prediction beside X."""
        return {} if self.offset is None else {"offset": self.offset}


def check_number(estimator, name, low, *, strict=False, infinite=False):
    """The parameter ``name`` of ``estimator`` as a float of at least (``strict``: above) ``low``."""
    value = getattr(estimator, name)
    text = f"{name} must be a number {'>' if strict else '>='} {low}, got {value!r}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, _NUMBER):
        raise TypeError(text)
    number = float(value)
    inside = number > low if strict else number >= low
    if not inside or not (infinite or np.isfinite(number)):
        raise ValueError(text)
    return number


def check_count(estimator, name):
    """The parameter ``name`` of ``estimator`` as a positive integer."""
    value = getattr(estimator, name)
    if isinstance(value, bool) or not isinstance(value, _WHOLE) or value < 1:
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
    if not isinstance(verbose, (*_WHOLE, np.bool_)) or verbose < 0:
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


class LaterCheck:
    """The careful check of arrays that sums over them are to show finite: a call raises its error, or finds none.

    Parameters
    ----------
    estimator : estimator
    data : RowData
    options : dict
        Options of y, as of `validate_data`.
    """

    def __init__(self, estimator, data, options):
        self._estimator, self._data, self._options, self._is_done = estimator, data, options, False

    @classmethod
    def of(cls, estimator, data, options):
        """The check, or None for rows that are checked at once: not arrays, or of weight zero, so that no sum tells."""
        weight = data.sample_weight
        serves = _are_arrays(estimator, data.X, data.y) and (weight is None or np.all(weight))
        return cls(estimator, data, options) if serves else None

    def __call__(self):
        if not self._is_done:
            data = self._data
            validate_data(self._estimator, data.X, data.y, reset=False, **FLOAT_ROWS, **self._options)
            self._is_done = True


def check_training_data(estimator, data, *, reset, later=False, **options):
    """X, y, weights and offset of rows in memory without those of weight zero; no offset stays None.

    X is float and not copied, y float or as it is; ``reset`` and ``options`` of y are those of `validate_data`. With
    ``later``, see `LaterCheck`, nobody has looked yet whether X is finite.
    """
    X, y = data.X, data.y
    if not ((later or (_are_arrays(estimator, X, y) and _are_finite(X))) and _are_finite(y)):
        X, y = checked_table(estimator, X, y, data.sample_weight, reset=reset, **options)
    elif reset:
        # what `validate_data` learns of an array: it has no names. Every library of data frames is asked there
        estimator.n_features_in_ = X.shape[1]
        vars(estimator).pop("feature_names_in_", None)
        vars(estimator).pop("encoding_", None)
    else:
        validate_data(estimator, X, skip_check_array=True, reset=False)
    weight, offset = check_weight(data.sample_weight, X), check_offset(data.offset, X)
    if data.sample_weight is not None and not weight.all():
        keep = weight > 0
        X, y, weight = X[keep], y[keep], weight[keep]
        offset = None if offset is None else offset[keep]
    return X, y, weight, offset


def checked_table(estimator, X, y="no_validation", weight=None, *, reset=False, **options):
    """X as an array, a CSR matrix or a `CodeTable`, and y where there is one, by scikit-learn's checks.

    With ``reset`` the estimator learns the features and, where some are categories, their `Encoding`.
    """
    encoding = encoding_of(estimator, X, weight, reset=reset)
    if encoding is None:
        with explaining(X, not reset) if hasattr(estimator, "categorical_features") else nullcontext():
            return validate_data(estimator, X, y, reset=reset, **FLOAT_ROWS, **options)
    validate_data(estimator, X, y, reset=reset, skip_check_array=True)
    if reset:
        estimator.encoding_ = encoding
    if isinstance(y, str):
        return encoding.table(X, is_new=True)[0]
    return encoding.table(X, y, not reset, counted_rows(weight, X), **options)


def _are_arrays(estimator, X, y):
    """Whether a careful check would change nothing, and find nothing but numbers that are not finite."""
    if not isinstance(getattr(estimator, "categorical_features", None), (str, type(None))):
        return False
    if not (type(X) is type(y) is np.ndarray and X.ndim == 2 and y.ndim == 1 and len(X) == len(y) and X.size):
        return False
    return X.dtype in (np.float64, np.float32) and y.dtype.kind in "iuf"


def _are_finite(values):
    """Whether all entries of an array are finite; False too where they are so large that the careful check must tell.

    Sums that are finite tell it all at once.
    """
    flat = values.reshape(-1) if values.flags.c_contiguous else values.T.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        is_sum = flat.dtype.kind != "f" or not (values.flags.c_contiguous or values.flags.f_contiguous)
        return math.isfinite(np.add.reduce(values, axis=None) if is_sum else flat @ flat)


def is_ready(estimator, X):
    """Whether X is an array that a fitted estimator's prediction needs no check of, but for entries not finite."""
    fitted = vars(estimator)
    if type(X) is not np.ndarray or X.dtype not in (np.float64, np.float32) or not X.flags.c_contiguous:
        return False
    has_columns = X.ndim == 2 and X.size > 0 and X.shape[1] == fitted.get("n_features_in_")
    return has_columns and "coef_" in fitted and fitted.keys().isdisjoint(("feature_names_in_", "encoding_"))


def check_offset(offset, X):
    """``offset`` as a finite float array of shape (n,) or (n, k), None for None."""
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


def check_offset_outputs(offset, n_outputs, of_classes):
    """Refuse an ``offset`` that does not fit so many raw predictions for each row, those of classes or of targets."""
    if offset is None or offset.shape[1:] == ((n_outputs,) if n_outputs > 1 else ()):
        return
    if n_outputs == 1:
        raise ValueError(f"offset must be 1-D, one number for each row, got shape {offset.shape}")
    shape = (len(offset), n_outputs)
    what = f"got shape {offset.shape}"
    if offset.ndim == 1 and of_classes:
        what = "one number for each row would move all classes alike, and change nothing"
    noun = "class" if of_classes else "target"
    raise ValueError(f"offset must have a column for each {noun}, shape {shape}: {what}")


def check_weight(sample_weight, X):
    """``sample_weight`` as a float array of shape (n,), ones for None: finite, not negative, and not all zero."""
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


def check_loss(loss):
    """``loss`` if it is an object of a class that derives from `Loss`."""
    if isinstance(loss, Loss):
        return loss
    is_class = isinstance(loss, type) and issubclass(loss, Loss)
    advice = f"pass an object: loss={loss.__name__}()" if is_class else 'for example TweedieLoss(1, "log")'
    raise TypeError(f"loss must be a Loss object of sk_hessian.objectives or of your own, got {loss!r}; {advice}")


def check_targets(loss, y):
    """Raise where the loss does not take a target of this shape, or is not defined for its values."""
    name = repr(loss)
    inside = loss.in_range(y)
    if np.shape(inside) != (len(y),) or (y.ndim == 2 and y.shape[1] != loss.n_outputs):
        raise ValueError(f"y of shape {y.shape} does not fit {name}, which has {loss.n_outputs} outputs")
    check_range(loss, y, name)


def huber_loss(epsilon, y):
    """Huber's loss whose scale does not fall below rounding of y."""
    return HuberLoss(epsilon, _ROUNDINGS * np.finfo(float).eps * (np.abs(y).max() or 1.0))


def _classes(y):
    """The classes in order, and the index of each row's."""
    if y.dtype.kind in "buiU":
        found = _two_classes(y)
        if found is not None:
            return found
    if y.dtype.kind in "bui":
        low, high = int(np.minimum.reduce(y)), int(np.maximum.reduce(y))
        if high - low <= _COUNTED and high <= _LARGEST_LABEL:
            shifted = y.astype(np.intp) - low
            present = np.bincount(shifted) > 0
            return (present.nonzero()[0] + low).astype(y.dtype), (present.cumsum() - 1)[shifted]
    if y.dtype.kind == "f" and -_LARGEST_WHOLE <= np.minimum.reduce(y) <= np.maximum.reduce(y) <= _LARGEST_WHOLE:
        whole = y.astype(np.intp)
        if (whole == y).all():
            classes, index = _classes(whole)
            return classes.astype(y.dtype), index
    if y.dtype.kind == "O":
        found = _hashed_classes(y)
        if found is not None:
            return found
    try:
        check_classification_targets(y)
    except ValueError as error:
        if y.dtype.kind == "f" and ((y >= 0) & (y <= 1)).all():
            raise ValueError(
                f"{error} The values of y are between 0 and 1: for proportions use BinomialRegressor."
            ) from error
        raise
    return np.unique(y, return_inverse=True)


def _two_classes(y):
    """See `_classes`: by comparisons, several times faster than sorting; None where labels are not two."""
    is_first = y == y[0]
    other = y[np.argmin(is_first)]
    is_other = y == other
    if y[0] == other or not np.logical_and.reduce(is_first | is_other):
        return None
    classes = np.sort(np.array([y[0], other], dtype=y.dtype))
    return classes, (is_first if y[0] == classes[1] else is_other).astype(np.intp)


def _hashed_classes(y):
    """See `_classes`: of objects by a table of the values, many times faster than sorting; None where it cannot be."""
    values = y.tolist()
    try:
        classes = np.array(sorted(set(values)), dtype=object)
    except TypeError:
        return None
    check_classification_targets(classes)
    number = {value: i for i, value in enumerate(classes)}
    return classes, np.fromiter(map(number.__getitem__, values), dtype=np.intp, count=len(values))


def index_of(y, classes):
    """The index in ``classes`` of each row's; another class is refused."""
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"y has the class {unknown.tolist()[0]!r}, which is not among classes={classes}")
    return np.searchsorted(classes, y)


def check_classes(y, weight, class_weight, known=None):
    """The classes in order, the index of each row's, and weights times those of the classes; y may lack known ones."""
    classes, index = _classes(y) if known is None else (known, index_of(y, known))
    if len(classes) < 2:
        raise ValueError(f"y has only one class, {classes.tolist()[0]!r}: a classifier needs at least two classes")
    if class_weight is None:
        return classes, index, weight
    if isinstance(class_weight, str) and class_weight == "balanced":
        # a row of weight two counts as two rows here too
        weight = weight * weight.sum() / (len(classes) * np.bincount(index, weights=weight)[index])
    elif isinstance(class_weight, str):
        raise ValueError(f'class_weight must be a dict, "balanced" or None, got {class_weight!r}')
    else:
        weight = weight * compute_sample_weight(class_weight, y)
    if not ((weight > 0) & np.isfinite(weight)).all():
        raise ValueError("class_weight must be positive and finite; drop the rows of a class that should not count")
    return classes, index, weight


def class_target(index, n_classes):
    """The target as a loss wants it, and the loss, from the index of each row's class."""
    if n_classes == 2:
        return index.astype(float), BinaryCrossEntropy()
    return index, SoftmaxCrossEntropy(n_classes)


def known_classes(classes, former):
    """All classes of a stream, in order: as they were passed, or None, and those of the ``former`` calls, or None."""
    if classes is None:
        if former is None:
            raise ValueError("classes must be given in the first call of partial_fit")
        return former
    classes = np.unique(check_array(classes, ensure_2d=False, dtype=None, input_name="classes"))
    if former is not None and not np.array_equal(classes, former):
        raise ValueError(f"classes={classes} are not those of the former calls, {former}")
    if len(classes) < 2:
        raise ValueError(f"classes has only one class, {classes[0]!r}: a classifier needs at least two classes")
    return classes
