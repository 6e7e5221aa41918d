"""Predictions of each row by the fit without it, from one factor of the Hessian."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._report import Report, column, number_text
from sk_hessian._selection import NotFittedWithoutError, WithoutEach, kept_rows, rows_in_memory, spread
from sk_hessian.inspection._fitted import Fitted, require_interior
from sk_hessian.inspection._row_labels import row_names
from sk_hessian.objectives import OrdinalLoss, SquaredLoss, explained

#: rows that a printed table lists
_MOST_SHOWN = 10

#: why a class of one row is refused
_ONE_ROW = "one row, without which nothing can be fitted to it: drop the row, or merge the class"


@dataclass(frozen=True, eq=False, repr=False)
class LeaveOneOut(Report):
    """Predictions of each row by the fit to the other rows; one for each row that was passed.

    Attributes
    ----------
    predictions : ndarray of shape (n,), (n, n_targets) or (n, n_classes)
        On the scale of the estimator: means, or probabilities of classifiers.
    raw : ndarray of shape (n,) or (n, n_outputs)
        The same before the inverse link: log odds, logits, log means.
    score : float
        R^2, D^2 of a GLM, accuracy of a classifier, or what ``scoring`` returns.
    loss : float
        Weighted mean loss of the held-out rows, in the units of the objective; inf where the fit to the others predicts
        a row outside the domain of the loss.
    refitted : ndarray of shape (n,) of bool
        Rows for which the model was fitted anew without them.
    n_refitted : int
    labels : pandas.Index, or ndarray of int of shape (n,)
        What the rows are called: the index of X, if X is a pandas data frame, else that of y, else positions from 0 on.
    """

    predictions: np.ndarray
    raw: np.ndarray
    score: float
    loss: float
    refitted: np.ndarray
    n_refitted: int
    labels: Any

    def to_frame(self) -> Any:
        """One line for each row: its predictions, and whether the model was fitted anew without it.

        Returns
        -------
        pandas.DataFrame
            With the index of the rows, see ``labels``.
        """
        import pandas as pd

        columns = self._predictions() | {"refitted": self.refitted}
        return pd.DataFrame(columns, index=None if isinstance(self.labels, np.ndarray) else self.labels)

    def _predictions(self):
        """Predictions by what they are called, one of each row."""
        table = self.predictions.reshape(len(self.refitted), -1)
        names = ["prediction"] if self.predictions.ndim == 1 else [f"prediction {i}" for i in range(table.shape[1])]
        return dict(zip(names, table.T, strict=True))

    def _header(self):
        figures = {"rows": len(self.refitted), "score": self.score, "loss": self.loss, "refitted": self.n_refitted}
        return [("predictions", "of each row by the fit to the others")] + [
            (caption, number_text(value)) for caption, value in figures.items()
        ]

    def _rows(self):
        """The first rows as text, headings first."""
        shown = range(min(len(self.refitted), _MOST_SHOWN))
        columns = {name: column(values[: len(shown)]) for name, values in self._predictions().items()}
        refitted = ["yes" if self.refitted[i] else "no" for i in shown]
        return [
            ["row", *columns, "refitted"],
            *zip(row_names(self.labels, shown), *columns.values(), refitted, strict=True),
        ]

    def _remark(self):
        """How many rows are left out."""
        left_out = len(self.refitted) - _MOST_SHOWN
        return f"and {left_out} more rows" if left_out > 0 else ""


def leave_one_out(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    scoring: Callable | None = None,
    refit_above: float | None = None,
) -> LeaveOneOut:
    """Approximate leave-one-out predictions, from one factor of the Hessian and one pass over the rows.

    Each row's raw prediction moves by one Newton step in the row's own curvature. For a squared loss that is exact
    (PRESS [1]_, [2]_); for other losses it is the approximation of [3]_. Rows whose leverage is above 0.9 (0.3 in
    networks), rows whose step leaves the domain of the loss, and rows that pull their own prediction so far that the
    curvature changes e-fold are left out in earnest: the model is fitted to the others. The total penalty is held
    fixed: that of the objective times the sum of the weights.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian
        With the verdict "optimal".
    X, y, sample_weight, offset
        The rows that it was fitted on. Leaving out a row removes all of its weight; rows of weight zero have their
        prediction by the fit itself.
    scoring : callable, optional
        ``scoring(y, predictions)``, with the predictions of `LeaveOneOut`.
    refit_above : float, optional
        Leverage above which rows are left out in earnest; by default 0.9, 0.3 for networks, which bend in their
        parameters besides, and 1 - 1e-6 for a squared loss of a linear model: without a penalty and with as many
        columns as rows all rows have leverage one, so that the model is fitted as often as there are rows. Lower it for
        nearly separable classes with a weak penalty, where one step is rough; 0 fits n times.

    Returns
    -------
    LeaveOneOut

    Raises
    ------
    ValueError
        For a fit that is not optimal, other rows than its own, a singular Hessian, a class of only one row, fewer than
        two rows, a refit that finds no optimum, or a bad argument.

    References
    ----------
    .. [1] D. Allen, "The relationship between variable selection and data augmentation and a method for prediction",
       Technometrics 16(1), 1974.
    .. [2] G. Golub, M. Heath, G. Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter",
       Technometrics 21(2), 1979.
    .. [3] K. Rad, A. Maleki, "A scalable estimate of the out-of-sample prediction error via approximate leave-one-out
       cross-validation", JRSS B 82(4), 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_hessian.inspection import leave_one_out
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> rows = leave_one_out(LogisticRegression().fit(X, y), X, y)
    >>> round(rows.score, 3), rows.n_refitted
    (0.954, 2)
    """
    if scoring is not None and not callable(scoring):
        raise TypeError(f"scoring must be a callable scoring(y, predictions) or None, got {scoring!r}")
    if refit_above is not None and not (isinstance(refit_above, Real) and 0 <= refit_above <= 1):
        raise ValueError(f"refit_above must be a number from 0 to 1 or None, got {refit_above!r}")
    fitted = Fitted(estimator, X, y, sample_weight, offset=offset)
    fitted.require_sum_over_rows("leave_one_out")
    fitted.require_optimum("leave_one_out")
    held_out = HeldOut(fitted, sample_weight)
    kept, own = held_out.kept, held_out.raw_without_each(refit_above)
    raw = spread(own, kept)
    if not kept.all():
        # the other way round, the rows of weight zero are all that is left
        raw[~kept] = fitted.with_weight(~kept)[0].raw_predictions(fitted.theta)
    predictions = held_out.predictions(raw)
    return LeaveOneOut(
        predictions=predictions,
        raw=held_out.outputs(raw),
        score=held_out.score(own) if scoring is None else _scored(scoring, y, predictions),
        loss=held_out.loss_of(own),
        refitted=spread(held_out.refitted, kept, False),
        n_refitted=int(held_out.refitted.sum()),
        labels=fitted.row_labels(len(kept)),
    )


def _scored(scoring, y, predictions):
    score = scoring(np.asarray(y), predictions)
    if not isinstance(score, Real):
        raise TypeError(f"scoring must return a number, got {type(score).__name__}")
    return float(score)


class HeldOut:
    """The rows of a `Fitted` at an optimum, each predicted without it; ``sample_weight`` is that of the user."""

    def __init__(self, fitted, sample_weight):
        self.objective, self.loss, self.fitted = fitted.objective, fitted.loss, fitted
        self.y = rows_in_memory(self.objective).y
        self.kept = kept_rows(sample_weight, self.objective.n_rows)
        self.weight = np.ones(self.objective.n_rows)
        if self.loss.family.weights_are_trials:
            self.weight = self.objective.rows.weight
        elif np.ndim(sample_weight) > 0:
            self.weight = np.asarray(sample_weight, dtype=float)[self.kept]
        self.is_classifier = hasattr(self.fitted.estimator, "classes_")
        self.refitted = np.zeros(self.objective.n_rows, dtype=bool)
        self._check_rows()

    def _check_rows(self):
        if self.objective.n_rows < 2:
            raise ValueError("X must have at least two rows of positive weight to leave one out")
        if not self.is_classifier:
            return
        named = self.objective.class_names
        classes = (self.fitted.estimator.classes_ if named is None else named).tolist()
        if self.y.ndim == 1:
            counts = np.bincount(self.y.astype(np.intp), minlength=len(classes))
            names = [f"the class {name!r}" for name in classes]
        else:
            counts = np.minimum(self.y.sum(axis=0), (1 - self.y).sum(axis=0))
            names = [f"a value of label {i}" for i in range(len(counts))]
        for count, text in ((0, "no row: these are not the rows of the fit"), (1, _ONE_ROW)):
            if (counts == count).any():
                raise ValueError(f"y: {names[np.argmax(counts == count)]} has {text}")

    def raw_without_each(self, refit_above=None):
        """Raw predictions of each row without it, shape (n, m)."""
        require_interior(self.objective, self.fitted.theta, "leave_one_out")
        without = self._without
        try:
            raw, self.refitted = without.raw(refit_above)
        except NotFittedWithoutError as error:
            raise self._refusal(error) from error
        return raw

    @property
    def _without(self):
        return WithoutEach(self.objective, self.fitted.theta, self.fitted.factor("observed"), self.fitted.estimator.tol)

    def refit(self, theta, row):
        """The raw prediction of a row by the optimum of the others, shape (m,)."""
        try:
            return self._without.refit(theta, row)
        except NotFittedWithoutError as error:
            raise self._refusal(error) from error

    def _refusal(self, error):
        labels, position = self.fitted.row_labels(len(self.kept)), np.flatnonzero(self.kept)[error.row]
        return ValueError(
            f"row {row_names(labels, [position])[0]} cannot be left out, for no optimum of the others was found: "
            f"{error}"
        )

    def outputs(self, raw):
        """Raw predictions without the loss's constants, as the user has the targets."""
        raw = raw[:, : self.loss.n_outputs]
        return raw[:, 0] if self.y.ndim == 1 and raw.shape[1] == 1 else raw

    def predictions(self, raw):
        """Predictions on the estimator's scale."""
        if isinstance(self.loss, OrdinalLoss):
            return self.fitted.estimator._by_class(np.exp(self.loss.log_probabilities(raw)))
        if self.is_classifier and self.loss.n_outputs == 1:
            return np.hstack([self.loss.inverse_link(-raw), self.loss.inverse_link(raw)])
        return self.loss.inverse_link(raw) if self.is_classifier else self.outputs(self.loss.inverse_link(raw))

    def loss_of(self, raw):
        """The weighted mean loss of raw predictions."""
        return float(np.average(self.loss.value(self.y, raw), weights=self.objective.rows.weight))

    def score(self, raw):
        """Accuracy, the share of the deviance explained by a GLM, or the mean R^2 of the targets."""
        if self.is_classifier:
            return float(np.average(self._is_right(raw), weights=self.weight))
        if hasattr(self.fitted.estimator, "d2_score"):
            loss = self.fitted.loss_of_predictions
            raw = raw[:, : loss.n_outputs]
            return explained(loss, self.y, raw, self.weight, self.objective.rows.offset)
        pairs = zip(self.y.reshape(len(self.y), -1).T, self.loss.inverse_link(raw).T, strict=True)
        return float(np.mean([explained(SquaredLoss(), y, mean[:, None], self.weight) for y, mean in pairs]))

    def _is_right(self, raw):
        if isinstance(self.loss, OrdinalLoss):
            return self.loss.log_probabilities(raw).argmax(axis=1) == self.y
        if self.loss.n_outputs > 1 and self.y.ndim == 1:
            return raw.argmax(axis=1) == self.y
        return ((raw > 0) == self.y.reshape(raw.shape)).all(axis=1)
