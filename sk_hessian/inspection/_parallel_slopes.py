"""Whether ordered classes have the same slopes at all thresholds: Brant's test."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from sk_hessian._report import Report, decimals_of, fixed
from sk_hessian._selection import kept_rows, rows_in_memory, spread
from sk_hessian._text import listed
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._text import ParameterTable
from sk_hessian.objectives import OrdinalLoss

#: tolerance of the fits at each threshold
_TOL = 1e-6

#: an eigenvalue of the differences' correlations below this share is no variance
_NO_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class ParallelSlopes(Report, ParameterTable):
    """What `parallel_slopes` returns.

    Attributes
    ----------
    names : list of str
        Features, and last "all", the test of all of them together.
    statistic, df, p_value : ndarray of shape (n_features + 1,)
        Wald's chi-squared statistic of equal slopes at all thresholds, its degrees of freedom, and the p-value.
    thresholds : list of str
        The thresholds between classes, such as "low|high".
    coef, std_error : ndarray of shape (n_thresholds, n_features)
        Slopes of the separate fits, one for each threshold, in the direction of `OrdinalClassifier.coef_`.
    """

    names: list
    statistic: np.ndarray
    df: np.ndarray
    p_value: np.ndarray
    thresholds: list
    coef: np.ndarray = field(repr=False)
    std_error: np.ndarray = field(repr=False)

    _columns = ("statistic", "df", "p_value")

    def _rows(self):
        """One line for each feature: the test, then the slopes at each threshold."""
        errors = zip(self.coef.T, self.std_error.T, strict=True)
        slopes = [[fixed(b, decimals_of(e)) for b, e in zip(*column, strict=True)] for column in errors]
        others = [*slopes, ["-"] * len(self.thresholds)]
        heading = ["", "chi-squared", "df", "p", *self.thresholds]
        return [heading, *([*cells, *more] for cells, more in zip(self._cells(), others, strict=True))]


def parallel_slopes(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> ParallelSlopes:
    """Test whether the slopes of ordered classes are the same at all thresholds (Brant 1990).

    `OrdinalClassifier` has one set of slopes for all. Here each threshold has a fit of its own, of two classes: above
    it or not, with the same link and without a penalty. The slopes of these fits are compared by Wald's test, with
    their joint covariance, which is not zero because the fits share the rows. A small p-value of a column says that
    what the column does differs between low and high classes; the slopes tell by how much.

    Parameters
    ----------
    estimator : fitted OrdinalClassifier, or a pipeline that ends with one
        Of at least three classes.
    X, y
        The rows that it was fitted on, in memory.
    sample_weight : array-like of shape (n_samples,), optional
        Those of the fit, as frequencies: a row of weight 2 is two rows.
    offset : array-like of shape (n_samples,), optional
        That of the fit.
    names : sequence of str, optional
        What the columns are called, for an X without names.

    Returns
    -------
    ParallelSlopes

    Raises
    ------
    ValueError
        For two classes, a fit without the verdict ``optimal``, rows that are not those of the fit, dependent columns, a
        threshold at which the two sides are separated, so that no finite slopes exist (its message names them), or bad
        input.
    TypeError
        For another estimator.

    References
    ----------
    .. [1] R. Brant, "Assessing proportionality in the proportional odds model for ordinal logistic regression",
       Biometrics 46, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.inspection import parallel_slopes
    >>> from sk_hessian.linear_model import OrdinalClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 2))
    >>> y = np.digitize(X @ [1.0, -0.5] + rng.logistic(size=500), [-1, 0, 1])
    >>> found = parallel_slopes(OrdinalClassifier(alpha=0).fit(X, y), X, y)
    >>> found.df, bool(found.p_value[-1] > 0.05)
    (array([2., 2., 4.]), True)
    """
    fitted = Fitted(estimator, X, y, sample_weight, names=names, offset=offset)
    rows, loss = rows_in_memory(fitted.objective), fitted.loss
    if not isinstance(loss, OrdinalLoss):
        raise TypeError(f"parallel_slopes is for OrdinalClassifier, not for {fitted.name}")
    if loss.n_classes < 3:
        raise ValueError(
            "parallel_slopes needs at least three classes: two have one threshold, so that nothing differs"
        )
    fitted.require_optimum("parallel_slopes")
    flat = fitted.objective.flat_directions()
    if flat:
        raise ValueError(f"parallel_slopes needs independent columns, but {listed(flat)}: drop such columns")
    kept = kept_rows(sample_weight, rows.n_rows)
    thresholds = fitted.reported[0][-(loss.n_classes - 1) :]
    splits = [_split(fitted, spread(rows.y > j, kept, False), sample_weight, name) for j, name in enumerate(thresholds)]
    return _tests(fitted, splits, thresholds)


def _split(fitted, above, sample_weight, name):
    """The objective of two classes, ``above`` (n_samples,) a threshold or not, and its optimum."""
    model, tol = copy.copy(fitted.estimator), min(fitted.estimator.tol, _TOL)
    model.set_params(alpha=0.0, penalty_matrix=None, order=None, warm_start=False, tol=tol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(*fitted.rows_with(above.astype(int)), sample_weight, **fitted.fit_data)
    if model.convergence_.status != "optimal":
        raise ValueError(f"parallel_slopes: the classes on the two sides of {name} alone: {model.convergence_.message}")
    return model.fitted_objective(*fitted.rows_with(above.astype(int)), sample_weight, **fitted.fit_data)


def _tests(fitted, splits, names):
    objective, columns = fitted.objective, splits[0][0].space.plain
    loss, p = splits[0][0].loss, objective.n_features
    raw = np.stack([split.raw_predictions(theta)[:, 0] for split, theta in splits], axis=1)
    # the score of a row is one of these: the covariance of two thresholds' scores, j below l, is a_j b_l
    ones = np.ones(len(raw))
    if_above, if_below = (
        np.stack([loss.value_and_gradient(label * ones, column[:, None])[1][:, 0] for column in raw.T], axis=1)
        for label in (1, 0)
    )
    lower, upper = np.triu_indices(len(names))
    products = -if_above[:, lower] * if_below[:, upper]

    def moments(block, y, weight):
        Z = block.standardised(columns)
        return (np.stack([Z.T @ (Z * (weight * c)[:, None]) for c in products[block.part].T]),)

    sums = objective.rows.fold(moments, columns, columns.n_columns * (1 + len(lower)))[0]
    inverse = {j: np.linalg.inv(S) for j, k, S in zip(lower, upper, sums, strict=True) if j == k}
    covariance = np.zeros((len(names), p, len(names), p))
    for j, k, S in zip(lower, upper, sums, strict=True):
        covariance[j, :, k] = (inverse[j] @ S @ inverse[k])[:p, :p]
        covariance[k, :, j] = covariance[j, :, k].T
    z = np.stack([columns.from_weights(theta[:, None])[:p, 0] for _, theta in splits])
    every = [_wald(z[:, [k]], covariance[:, [k]][..., [k]]) for k in range(p)] + [_wald(z, covariance)]
    statistic, df = (np.array(values, dtype=float) for values in zip(*every, strict=True))
    return ParallelSlopes(
        names=[objective.name(k) for k in range(p)] + ["all"],
        statistic=statistic,
        df=df,
        p_value=chi2.sf(statistic, df),
        thresholds=names,
        coef=np.stack([theta[:p] for _, theta in splits]),
        std_error=np.sqrt(np.einsum("jkjk->jk", covariance)) / columns.scale,
    )


def _wald(slopes, covariance):
    """The statistic of equal rows of ``slopes`` (m, p), of covariance (m, p, m, p), and its degrees of freedom."""
    m, p = slopes.shape
    contrast = np.kron(np.column_stack([-np.ones(m - 1), np.eye(m - 1)]), np.eye(p))
    away = contrast @ slopes.ravel()
    variance = contrast @ covariance.reshape(m * p, m * p) @ contrast.T
    unit = np.sqrt(np.abs(np.diag(variance)))
    variance = variance / np.outer(unit, unit)
    if np.linalg.eigvalsh(variance)[0] < _NO_VARIANCE:
        raise ValueError(
            "parallel_slopes: the slopes at different thresholds are too nearly the same fit to be compared: classes "
            "have too few rows. Merge neighbouring classes"
        )
    return (away / unit) @ np.linalg.solve(variance, away / unit), len(away)
