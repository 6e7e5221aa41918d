"""Predictions of a fitted linear model with their intervals."""

from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._report import Report, decimals_of, fixed, number_text
from sk_hessian.inspection._averages import Averages
from sk_hessian.inspection._checks import check_choice, check_level
from sk_hessian.inspection._covariance import KINDS
from sk_hessian.inspection._fitted import Fitted, require_mean
from sk_hessian.inspection._laplace import laplace
from sk_hessian.inspection._new_rows import NewRows
from sk_hessian.inspection._quantiles import has_quantiles, is_normal
from sk_hessian.inspection._row_labels import row_labels, row_names
from sk_hessian.inspection._text import distribution_text, interval_headings
from sk_hessian.inspection._uncertainty import CovarianceChoice, CovarianceOptions, Uncertainty
from sk_hessian.inspection._varied import VariedColumn
from sk_hessian.objectives import parts_of

#: a profile, and degrees of freedom of single combinations, are for parameters alone
_KINDS = tuple(name for name in KINDS if name not in ("profile", "CR2"))

#: what is said of a posterior whose curvature is not that of `coef_table`
_EXPECTED_POSTERIOR = "the posterior of inspection.laplace, with the expected second derivatives of this loss"

#: rows that a printed table lists
_MOST_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class PredictionTable(Report):
    """Predictions and their intervals, one for each row; made by `prediction_table`.

    Attributes
    ----------
    mean, std_error, lower, upper : ndarray of shape (n,), or (n, n_outputs) for several classes or targets
        The prediction (the mean of y, the probability of a class), its standard error by the delta method, and the ends
        of the interval: of the mean, or of a new observation.
    of : {"mean", "observation"}
        Whether the intervals are those of the mean, or of a new observation.
    subject : str
        The same in words, such as "the probability of 'yes'".
    labels : pandas.Index, or ndarray of int of shape (n,)
        What the rows are called: the index of X_new, or positions.
    outputs : list or None
        Classes or targets, where a row has several predictions.
    model, verdict, cov, convention, target, level
        As of `CoefTable`.
    df : float or ndarray of shape (n_outputs,)
        Degrees of freedom of Student's t, of which the intervals are; inf for the normal distribution.
    """

    mean: np.ndarray
    std_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    of: str
    subject: str
    labels: Any
    outputs: list | None
    model: str
    verdict: str
    cov: str
    convention: str | None
    target: str
    level: float
    df: float | np.ndarray

    _columns = ("mean", "std_error", "lower", "upper")

    def to_frame(self) -> Any:
        """The table, one line for each row; needs pandas.

        Returns
        -------
        pandas.DataFrame
            With the index of X_new and the columns mean, std_error, lower, upper. Where a row has several predictions
            these are below the name of each class or target: ``frame["setosa"]`` has those of one.
        """
        import pandas as pd

        index = None if isinstance(self.labels, np.ndarray) else self.labels
        if self.outputs is None:
            return pd.DataFrame({name: getattr(self, name) for name in self._columns}, index=index)
        columns = pd.MultiIndex.from_product([self.outputs, self._columns])
        parts = np.stack([getattr(self, name) for name in self._columns], axis=2)
        return pd.DataFrame(parts.reshape(len(self.mean), -1), index=index, columns=columns)

    def _header(self):
        pairs = {
            "model": self.model,
            "verdict": self.verdict,
            "interval": self.subject,
            "covariance": f"{self.cov}, {distribution_text(self.df)}",
            "convention": self.convention,
            "about": self.target,
        }
        return [(caption, text) for caption, text in pairs.items() if text is not None]

    def _rows(self):
        """The first rows as text, headings first."""
        n = min(len(self.mean), _MOST_SHOWN)
        names, outputs = row_names(self.labels, range(n)), self.outputs or [None]
        values = np.stack([getattr(self, name)[:n].reshape(n, -1) for name in self._columns], axis=2)
        rows = [["row", *([""] if self.outputs else []), "mean", "std. error", *interval_headings(self.level)]]
        for name, row in zip(names, values, strict=True):
            for output, cells in zip(outputs, row, strict=True):
                rows.append([name, *([str(output)] if self.outputs else []), *self._cells(*cells.tolist())])
        return rows

    def _cells(self, mean, error, *limits):
        """A prediction as text: with three digits of its error, limits of counts as the integers that they are."""
        decimals = decimals_of(error)
        are_counts = self.of == "observation" and all(limit.is_integer() for limit in limits)
        texts = [number_text(limit) if are_counts else fixed(limit, decimals) for limit in limits]
        return [fixed(mean, decimals), fixed(error, decimals), *texts]

    def _remark(self):
        """How many rows are left out."""
        left_out = len(self.mean) - _MOST_SHOWN
        return f"and {left_out} more rows" if left_out > 0 else ""


def prediction_table(
    estimator: Any,
    X_new: Any,
    X: Any,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None = None,
    *,
    level: float = 0.95,
    offset: ArrayLike | None = None,
    offset_new: ArrayLike | None = None,
    of: str = "mean",
    **options: Unpack[CovarianceOptions],
) -> PredictionTable:
    """Predictions of a fitted linear model for other rows, with their standard errors and intervals.

    The interval of a mean is made on the scale of the link, linear predictor plus or minus a multiple of its error, and
    carried to the mean, so that it stays in its range; its standard error is by the delta method. Of two classes the
    mean is the probability of ``classes_[1]``; of more each has the interval of its own log odds. The covariance is one
    of `coef_table`.

    Parameters
    ----------
    estimator : fitted linear model of sk_hessian, or a pipeline that ends with one
        With the verdict ``optimal``.
    X_new : {array-like, sparse matrix} of shape (n, n_features)
        The rows to predict, in memory.
    X, y, sample_weight, offset
        The rows that it was fitted on, as of `coef_table`; also `Blocks` and dask collections.
    level : float
        Of the intervals, between 0 and 1.
    offset_new : array-like of shape (n,) or (n, n_outputs), optional
        That of X_new, as of ``predict``; needed where the fit had one (zeros for one unit of exposure).
    of : {"mean", "observation"}
        "observation": the interval is that of a new y of weight one. For normal targets mean plus or minus t times the
        root of both variances. Else the quantiles of the family's distribution (Poisson, negative binomial, Gamma,
        inverse Gaussian, the compound Poisson of Tweedie powers between 1 and 2), averaged over the normal distribution
        of the linear predictor; integers for counts, and zero where zeros alone are probable enough. A dispersion that
        was estimated is taken as known there. It takes the family to be true, whatever the covariance.
    **options
        Keywords of `coef_table`: ``cov``, ``weights``, ``cov_groups``, ``lags``, ``dispersion``. By default
        ``cov="auto"``: without a penalty Fisher's information, under one the sandwich, which is about the penalised
        population parameters; ``"laplace"`` is the posterior of `laplace`, with the full covariance.

    Returns
    -------
    PredictionTable

    Raises
    ------
    ValueError, TypeError
        As `coef_table`; for X_new with other columns than the fit's, and an observation of a family without quantiles
        (classes, Huber's loss, Tweedie powers above 2 that are not 3, a quasi-likelihood).

    Notes
    -----
    For least squares without a penalty both intervals are exact. Those of other means are as good as the normal
    approximation of the linear predictor is. Weights of the fit have the meaning of `coef_table`.

    References
    ----------
    .. [1] P. McCullagh, J. Nelder, "Generalized Linear Models", 2nd ed., 1989.
    .. [2] G. Seber, A. Lee, "Linear Regression Analysis", 2nd ed., 2003, chapter 5.

    Examples
    --------
    >>> from sk_hessian.inspection import prediction_table
    >>> from sk_hessian.linear_model import PoissonRegressor
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1, 1, 3, 8]
    >>> model = PoissonRegressor(alpha=0).fit(X, y)
    >>> table = prediction_table(model, [[4.0]], X, y)
    >>> [float(value.round(1)[0]) for value in (table.mean, table.lower, table.upper)]
    [17.7, 5.6, 56.4]
    >>> prediction_table(model, [[4.0]], X, y, of="observation").upper
    array([59.])
    """
    choice = _checked(level, of, **options)
    if parts_of(X_new) is not None:
        raise ValueError("X_new must be in memory: an array, a memory map, a data frame or a sparse matrix")
    fitted = Fitted(estimator, X, y, sample_weight, offset=offset)
    require_mean(fitted, "prediction_table")
    found = Uncertainty.of(fitted, sample_weight, choice, _KINDS)
    if of == "observation":
        _require_distribution(found)
    posterior = None
    if found.name == "laplace":
        posterior = laplace(fitted.chain, X, y, sample_weight=sample_weight, offset=offset, structure="full")
        if posterior.curvature == "expected" and not fitted.loss.canonical:
            found = replace(found, covariance=replace(found.covariance, convention=_EXPECTED_POSTERIOR))
    rows = NewRows(found, X_new, offset_new, posterior)
    ends = rows.limits(level) if of == "mean" else rows.quantiles(level)
    df = found.df if of == "mean" else rows.df_of_noise
    labels = row_labels(X_new, None, len(rows.mean))
    return _table(found, rows, ends, of=of, level=level, labels=labels, df=df)


def average_table(
    fitted: Fitted,
    sample_weight: ArrayLike | None,
    column: VariedColumn,
    *,
    level: float = 0.95,
    of: str = "mean",
    **options: Unpack[CovarianceOptions],
) -> PredictionTable:
    """The average prediction of all rows of a fit, a column of theirs at each of its points: partial dependence.

    Otherwise as `prediction_table`. An observation is no average, and a posterior has no average here.
    """
    choice = _checked(level, of, **options)
    if of != "mean":
        raise ValueError("of='observation' is for single rows: an average of rows has only a mean. Use held='mean'")
    found = Uncertainty.of(fitted, sample_weight, choice, tuple(name for name in _KINDS if name != "laplace"))
    averages = Averages(found, map(column.all_rows, column.points), column.weight)
    ends, labels = averages.limits(level), np.asarray(column.points)
    return _table(found, averages, ends, of=of, level=level, labels=labels, df=found.df)


def _checked(level, of, **options):
    check_level(level)
    check_choice("of", of, ("mean", "observation"))
    return CovarianceChoice.of("prediction_table", **options)


def _table(found, rows, ends, *, of, level, labels, df):
    """The table of what has a ``mean``, a ``std_error`` and ``outputs``, with the ``ends`` of its intervals."""
    columns = [values[:, 0] if rows.outputs is None else values for values in (rows.mean, rows.std_error, *ends)]
    fitted = found.curvature.fitted
    return PredictionTable(
        **dict(zip(PredictionTable._columns, columns, strict=True)),
        of=of,
        subject=_subject(fitted.estimator, of),
        labels=labels,
        outputs=rows.outputs,
        model=fitted.name,
        verdict=found.verdict,
        cov=found.name,
        convention=found.covariance.convention,
        target=found.target,
        level=level,
        df=df if len(df) > 1 else float(df[0]),
    )


def _subject(estimator, of):
    if of == "observation":
        return "a new observation of weight one"
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return "the mean of y"
    return f"the probability of {classes.tolist()[1]!r}" if len(classes) == 2 else "the probability of each class"


def _require_distribution(found):
    """Refuse an observation of what has no quantiles."""
    curvature = found.curvature
    fitted, loss = curvature.fitted, curvature.fitted.loss_of_predictions
    if hasattr(fitted.estimator, "classes_"):
        reason = "is for targets that are numbers: how probable each class of a new row is is what of='mean' says"
    elif fitted.likelihood_refusal is not None:
        reason = fitted.likelihood_refusal
    elif curvature.likelihood.is_quasi:
        reason = "needs a distribution, and a quasi-likelihood has none: leave dispersion out"
    elif not (is_normal(loss) or has_quantiles(loss)):
        reason = f"needs quantiles, and those of {loss!r} are not known here"
    else:
        return
    raise ValueError(f"prediction_table: of='observation' {reason}. Use of='mean'")
