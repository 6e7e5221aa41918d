"""Rao's score test of columns that a fit has left out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from sk_hessian._report import Report, fixed, number_text, p_text
from sk_hessian._selection import kept_rows
from sk_hessian._text import listed
from sk_hessian.inspection._added_columns import AddedDirections
from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._columns import own_columns, taken
from sk_hessian.inspection._covariance import curvature_at_optimum
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._hessian import combination
from sk_hessian.inspection._likelihood import RowWeights, dispersion_of

#: share of a column's curvature, or eigenvalue of a correlation, that counts as nothing
_NOTHING_LEFT = 1e-10

#: numbers that sparse columns may have as an array, 64 MB
_MOST_NUMBERS = 8_000_000


@dataclass(frozen=True, eq=False, repr=False)
class ScoreTest(Report):
    """What `score_test` returns.

    Attributes
    ----------
    statistic, df, p_value : float
        Of all left-out columns together, by the chi-squared distribution.
    names : list of str
        The columns.
    column_statistic, column_p_value : ndarray of shape (n_columns,)
        Of each column alone beside those of the fit, with ``column_df`` degrees of freedom.
    column_df : float
        One; of a softmax model one less than classes.
    dispersion : float
        Of the fit, by which the statistics are divided; 1 where the family has none.
    model : str
    n_samples : float
    """

    statistic: float
    df: float
    p_value: float
    names: list
    column_statistic: np.ndarray
    column_p_value: np.ndarray
    column_df: float
    dispersion: float
    model: str
    n_samples: float

    def to_frame(self) -> Any:
        """A row for each column, and one, "all together", for the joint test; needs pandas.

        Returns
        -------
        pandas.DataFrame
            With the columns ``statistic, df, p_value``.
        """
        import pandas as pd

        names, *columns = zip(*self._tests(), strict=True)
        return pd.DataFrame(dict(zip(("statistic", "df", "p_value"), columns, strict=True)), index=list(names))

    def _tests(self):
        each = zip(self.names, self.column_statistic, self.column_p_value, strict=True)
        yield from ((name, float(value), self.column_df, float(p)) for name, value, p in each)
        yield "all together", self.statistic, self.df, self.p_value

    def _header(self):
        about = "of the left-out columns, expected information, chi-squared for large samples"
        header = [("model", self.model), ("test", f"score (Rao), {about}"), ("rows", number_text(self.n_samples))]
        return [*header, ("dispersion", f"{number_text(self.dispersion)}, of the model without them")]

    def _rows(self):
        rows = [["", "chi2", "df", "p"]]
        return rows + [[name, fixed(value, 3), number_text(df), p_text(p)] for name, value, df, p in self._tests()]


def score_test(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    Z: Any,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    weights: str = "frequency",
) -> ScoreTest:
    """Rao's score test: whether columns that a fit has left out would improve it, without fitting them.

    With u the slope of the log-likelihood along the coefficients of the left-out columns, which are zero, and V the
    expected information of these when the others make up for what they can, the statistic is u' V^-1 u over the
    dispersion of the fit. One pass over the rows, however many columns are tried.

    Parameters
    ----------
    estimator : fitted linear model of sk_hessian, or pipeline
        Without a penalty, by maximum likelihood, with verdict "optimal".
    X, y, sample_weight, offset
        The rows that it was fitted on.
    Z : array-like of shape (n_samples, n_columns), data frame, or list of str
        The left-out columns, numbers as they would be fitted: no pipeline transforms them. Names are those of columns
        of X, which may have more columns than the estimator was fitted on.
    weights : {"frequency", "analytic"}, default="frequency"
        What the weights mean, as of `coef_table`.

    Returns
    -------
    ScoreTest
        For each column alone, and for all together.

    Raises
    ------
    ValueError
        For a fit that is penalised, not optimal, or of other rows; for several targets; where no likelihood is known;
        for columns in Z that follow from those of the model, or from each other.
    TypeError
        For something that is no linear model of sk_hessian.

    References
    ----------
    .. [1] C. R. Rao, "Large sample tests of statistical hypotheses concerning several parameters with applications to
       problems of estimation", Proceedings of the Cambridge Philosophical Society 44, 1948.
    .. [2] D. Pregibon, "Score tests in GLIM with applications", GLIM 82, 1982.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import score_test
    >>> from sk_hessian.linear_model import GammaRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = GammaRegressor(alpha=0).fit(X[["bmi", "bp"]], y)
    >>> print(score_test(model, X, y, ["age", "s5"]))
    model       GammaRegressor
    test        score (Rao), of the left-out columns, expected information, chi-squared for
                large samples
    rows        442
    dispersion  0.176124, of the model without them
    ----------------------------------
                    chi2  df         p
    age            0.199   1    0.6557
    s5            63.747   1  < 0.0001
    all together  64.309   2  < 0.0001
    """
    check_choice("weights", weights, ("frequency", "analytic"))
    Z = taken(X, Z, "Z") if _are_names(Z) else Z
    fitted = Fitted(estimator, own_columns(estimator, X, "score_test"), y, sample_weight, offset=offset)
    _check(fitted)
    Z, names = _columns(Z, kept_rows(sample_weight, fitted.objective.n_rows), fitted)
    row_weights = RowWeights.of(fitted, sample_weight, weights)
    curvature = curvature_at_optimum("score_test", fitted, row_weights, "expected")
    dispersion = dispersion_of("score_test", curvature)
    contrasts = fitted.loss.contrasts()
    k, d, constants = len(contrasts), contrasts.shape[1], fitted.loss.n_constants

    def moves(part):
        """What a coefficient of each column, in each contrast of the outputs, does to the raw predictions."""
        moved = np.zeros((len(Z[part]), k + constants, len(names) * d))
        moved[:, :k] = np.einsum("nq,kd->nkqd", Z[part], contrasts).reshape(len(moved), k, -1)
        return moved

    added = AddedDirections(fitted, curvature.factor, moves, len(names) * d)
    hidden = added.share_left.reshape(-1, d).min(axis=1) <= _NOTHING_LEFT
    if hidden.any():
        raise ValueError(
            f"score_test: {listed([name for name, is_one in zip(names, hidden, strict=True) if is_one], ', ')} in Z "
            "follows from the columns of the model: there is nothing to test. Leave it out"
        )
    return _result(curvature, added, names, dispersion)


def _are_names(Z):
    return isinstance(Z, str) or (isinstance(Z, list | tuple) and bool(Z) and all(isinstance(z, str) for z in Z))


def _check(fitted):
    """Refuse fits that have no score test."""
    if not fitted.objective.model.is_linear:
        raise TypeError(f"score_test is for linear models, not for {fitted.name}")
    if not fitted.objective.rows.in_memory:
        raise ValueError("X must be in memory for score_test: an array, a memory map, a data frame or a sparse matrix")
    if fitted.prior is not None:
        raise ValueError(
            f"score_test is for maximum likelihood, and this {fitted.name} has a "
            f"{'penalty' if fitted.prior == 'normal' else 'prior'}: the slope along its columns is not zero, so that "
            "it does not tell of other columns. Fit without"
        )
    if fitted.likelihood_refusal is not None:
        raise ValueError(
            f"score_test {fitted.likelihood_refusal}: fit the columns too, and use coef_table(..., cov='sandwich').wald"
        )
    if fitted.loss.n_outputs > 1 and not fitted.loss.shift_invariant:
        raise ValueError("score_test is for one target: test the model of each target by itself")
    fitted.require_optimum("score_test")
    remarks = fitted.here.remarks()
    if remarks:
        raise ValueError(
            f"score_test: the likelihood has no regular optimum for this {fitted.name}. {' '.join(remarks)}"
        )


def _columns(Z, kept, fitted):
    """The left-out columns of the rows that count, (n_kept, q), in comparable units, and their names."""
    names = [str(name) for name in Z.columns] if hasattr(Z, "columns") else None
    name = getattr(Z, "name", None)
    if hasattr(Z, "toarray"):
        if Z.shape[0] * Z.shape[1] > _MOST_NUMBERS:
            raise ValueError(f"Z is sparse, and as an array has more than {_MOST_NUMBERS} numbers: test fewer columns")
        Z = Z.toarray()
    try:
        Z = np.asarray(Z, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Z must be columns of numbers, or names of columns of X: {error}") from error
    Z = Z[:, None] if Z.ndim == 1 else Z
    if Z.ndim != 2 or len(Z) != len(kept) or not Z.shape[1]:
        raise ValueError(f"Z must have one row for each of the {len(kept)} rows, and columns, got shape {Z.shape}")
    if names is None:
        names = [f"z{j}" for j in range(Z.shape[1])] if name is None or Z.shape[1] > 1 else [str(name)]
    Z = Z[kept]
    if not np.isfinite(Z).all():
        raise ValueError(f"Z: {names[np.argmin(np.isfinite(Z).all(axis=0))]} has entries that are nan or infinite")
    Z = Z - np.average(Z, axis=0, weights=fitted.objective.rows.weight) if fitted.objective.fit_intercept else Z
    size = np.abs(Z).max(axis=0)
    return Z / np.where(size > 0, size, 1.0), names


def _result(curvature, added, names, dispersion):
    """The tests of all directions together, and of those of each column."""
    d = len(added.score) // len(names)
    unit = np.sqrt(added.information.diagonal())
    values, vectors = np.linalg.eigh(added.information / np.outer(unit, unit))
    labels = [f"{name} [{i}]" for name in names for i in range(d)] if d > 1 else names
    if values[0] <= _NOTHING_LEFT:
        raise ValueError(
            "score_test: the columns of Z, beside those of the model, are dependent along "
            f"{combination(labels, vectors[:, 0])}: leave one of them out"
        )
    share = curvature.weights.total / dispersion
    score, own = (added.score / unit).reshape(-1, d), []
    correlation = (added.information / np.outer(unit, unit)).reshape(len(names), d, len(names), d)
    for j in range(len(names)):
        own.append(share * score[j] @ np.linalg.solve(correlation[j, :, j], score[j]))
    joint = share * np.sum((vectors.T @ score.ravel()) ** 2 / values)
    return ScoreTest(
        statistic=float(joint),
        df=float(len(names) * d),
        p_value=float(chi2.sf(joint, len(names) * d)),
        names=names,
        column_statistic=np.array(own),
        column_p_value=chi2.sf(own, d),
        column_df=float(d),
        dispersion=dispersion,
        model=curvature.fitted.name,
        n_samples=curvature.weights.n_samples,
    )
