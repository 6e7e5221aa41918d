"""Scores of a fitted estimator on `RowData`: a float, or a lazy dask array of shape () for dask collections.

For rows in memory by scikit-learn's metrics, or by the loss. For parts by sums over their rows.
"""

from functools import partial

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sk_hessian._parts import read_part, single
from sk_hessian._validation import check_training_data
from sk_hessian.objectives import SquaredLoss, Tally, deviance_sums, explained, explained_of_sums, named


def accuracy(estimator, data):
    """Share of the rows whose class is predicted."""
    return _of_predictions(estimator, data, accuracy_score, _right, lambda sums, y, weight: sums[0] / sums[1])


def _right(estimator, X, y, weight):
    """Weight of the rows whose class is predicted, and of all."""
    total = weight.sum()
    return np.array([total * accuracy_score(y, estimator.predict(X), sample_weight=weight), total])


def r_squared(estimator, data):
    """R^2, the share of the variance explained; of several targets the mean."""
    return _of_predictions(estimator, data, r2_score, _squares, _mean_explained)


def _of_predictions(estimator, data, metric, sums, finish):
    """A metric of scikit-learn for rows in memory, and the same by ``sums`` and ``finish``, see `_of_parts`."""
    parts = data.parts
    if parts is not None:
        return _of_parts(parts, partial(sums, _copy_for_parts(estimator)), finish)
    return metric(data.y, estimator.predict(data.X, **data.for_prediction), sample_weight=data.sample_weight)


def _squares(estimator, X, y, weight):
    """`deviance_sums` of the squared loss of each target, shape (n_targets, 3)."""
    prediction = estimator.predict(X)
    y, prediction = y.reshape(len(y), -1), prediction.reshape(len(prediction), -1)
    if y.shape[1] != prediction.shape[1]:
        raise ValueError(f"y has {y.shape[1]} columns, but there are {prediction.shape[1]} predictions of each row")
    pairs = zip(y.T.astype(float), prediction.T, strict=True)
    return np.stack([deviance_sums(SquaredLoss(), one, raw[:, None], weight) for one, raw in pairs])


def _mean_explained(sums, y, weight):
    targets = y.reshape(len(y), -1).T
    return np.mean([explained_of_sums(SquaredLoss(), *pair, weight) for pair in zip(sums, targets, strict=True)])


def d_squared(estimator, data):
    """D^2, the share explained of the deviance of the best constant, beside an offset."""
    parts = data.parts
    if parts is not None:
        there = _copy_for_parts(estimator)
        return _of_parts(parts, partial(_deviances, there), partial(_share_of_sums, there))
    check_is_fitted(estimator)
    X, y, weight, offset = check_training_data(estimator, data, reset=False, **estimator._of_targets)
    y, weight, loss = _encoded(estimator, y, weight)
    raw = estimator._linear_predictor(X, offset).reshape(len(y), -1)
    return explained(loss.at(estimator._fitted_constants()), y, raw, weight, offset)


def _encoded(estimator, y, weight):
    """Targets as the loss has them, weights without those of classes but with numbers of trials, and the loss."""
    y, encoded, loss = estimator._encode(y, weight, reset=False)
    return y, encoded if loss.family.weights_are_trials else weight, loss


def _deviances(estimator, X, y, weight):
    """`deviance_sums` of some rows."""
    y, weight, loss = _encoded(estimator, y, weight)
    raw = estimator._raw_prediction(X).reshape(len(y), -1)
    return deviance_sums(loss.at(estimator._fitted_constants()), y, raw, weight)


def _share_of_sums(estimator, sums, y, weight):
    y, weight, loss = _encoded(estimator, y, weight)
    return explained_of_sums(loss.at(estimator._fitted_constants()), sums, y, weight)


def _copy_for_parts(estimator):
    check_is_fitted(estimator)
    return estimator._as_it_is()


def _of_parts(parts, sums, finish):
    """A score from sums over the rows of parts: a float, or a lazy dask array of shape ().

    ``sums(X, y, weight)`` of some rows, X as it comes and no weight zero, is an array that may be added up;
    ``finish(sums, y, weight)`` makes it a score, with a few targets and weights that stand for all.
    """
    noun = parts.noun

    def tally(index, part):
        X, y, weight = read_part(index, part, noun, _of_score)
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
    return X, single(y)
