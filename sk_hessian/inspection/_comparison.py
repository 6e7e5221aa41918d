"""Two nested models of the same rows: likelihood-ratio and F tests, AIC and BIC; evidence under a penalty."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2
from scipy.stats import f as fisher

from sk_hessian._report import Report, fixed, number_text, p_clause
from sk_hessian._text import listed
from sk_hessian.inspection._added_columns import AddedDirections
from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._columns import own_columns, taken
from sk_hessian.inspection._covariance import Curvature, curvature_at_optimum
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._laplace import laplace
from sk_hessian.inspection._likelihood import weights_of
from sk_hessian.inspection._text import ParameterTable
from sk_hessian.objectives import Changed, Parts, parts_of

#: share of a direction's curvature that may be left where a model can make it: rounding left up to 1e-13 of nearly
#: collinear columns far from zero
_LEFT = 1e-10

#: equations that a header lists
_MOST_LISTED = 8

#: parameters of the fit of an intercept alone, where an estimator has them
_ALONE: dict[str, Any] = {
    "alpha": 0.0,
    "C": np.inf,
    "penalty_weights": None,
    "penalty_matrix": None,
    "warm_start": False,
}
_ALONE |= {"solver": "auto", "max_iter": 1000, "tol": 1e-8, "verbose": 0}


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison(Report, ParameterTable):
    """What `compare_models` returns; arrays are of the small and of the large model.

    Attributes
    ----------
    test : {"likelihood ratio", "F", "evidence"}
        "evidence" for fits with a penalty, which have no test.
    statistic, p_value : float or None
        None where there is no test.
    df : float or None
        How many free parameters the large model has more; ``df_num`` is the same.
    df_denom : float or None
        Of F the residual degrees of freedom of the large model; inf for chi-squared.
    names : list of str
        "small" and "large".
    models : list of str
        Their classes.
    effective_df : ndarray of shape (2,)
        Free parameters, of a penalised fit effective ones; without a dispersion.
    log_likelihood, deviance, aic, bic : ndarray of shape (2,)
        As of `coef_table`; nan where there is no closed form.
    dispersion : ndarray of shape (2,)
        1 where the family has none. F is by that of the large model.
    log_evidence : ndarray of shape (2,)
        Of the Laplace approximation; nan without a penalty.
    n_samples : float
    hypothesis : str
        What is zero in the small model.
    """

    test: str
    statistic: float | None
    df: float | None
    df_denom: float | None
    p_value: float | None
    names: list
    models: list
    effective_df: np.ndarray
    log_likelihood: np.ndarray
    deviance: np.ndarray
    aic: np.ndarray
    bic: np.ndarray
    dispersion: np.ndarray
    log_evidence: np.ndarray
    n_samples: float
    hypothesis: str

    _columns = ("effective_df", "log_likelihood", "deviance", "aic", "bic", "dispersion", "log_evidence")
    _decimals: ClassVar = dict.fromkeys(("log_likelihood", "deviance", "aic", "bic", "log_evidence"), 3)

    @property
    def df_num(self) -> float | None:
        """Degrees of freedom of the numerator of F, the same as ``df``."""
        return self.df

    def _header(self):
        header = [(name, model) for name, model in zip(self.names, self.models, strict=True)]
        header += [("rows", number_text(self.n_samples)), ("hypothesis", self.hypothesis)]
        if self.test == "evidence":
            difference = self.log_evidence[1] - self.log_evidence[0]
            none = "none: the fits are penalised, and a penalised likelihood has no likelihood-ratio test"
            evidence = (
                f"log evidence of large less small {fixed(difference, 3)}, by the Laplace approximation; the prior of "
                "each is its own penalty, and its strength counts"
            )
            return [*header, ("test", none), ("evidence", evidence)]
        if self.test == "F":
            about = "F: difference of the deviances over df_num and the dispersion of the large model"
            df = f"df_num = {number_text(self.df)}, df_denom = {number_text(self.df_denom)}"
            found = f"F = {fixed(self.statistic, 3)}, {df}"
        else:
            about = "likelihood ratio: twice the difference of the log-likelihoods, chi-squared for large samples"
            found = f"chi2 = {fixed(self.statistic, 3)}, df = {number_text(self.df)}"
        return [*header, ("test", about), ("statistic", f"{found}, {p_clause(self.p_value)}")]

    def _rows(self):
        headings = ["", "parameters", "log-likelihood", "deviance", "AIC", "BIC", "dispersion", "log evidence"]
        rows = [headings, *self._cells()]
        return rows if self.test == "evidence" else [row[:-1] for row in rows]


def compare_models(
    small: Any,
    large: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    columns: ArrayLike | None = None,
    weights: str = "frequency",
) -> ModelComparison:
    """Compare two linear models of the same rows, one of which has only some of the other's columns.

    Without a penalty and a dispersion, the statistic is twice the difference of the log-likelihoods, chi-squared with
    as many degrees of freedom as the large model has more free parameters. Where a dispersion is estimated it is F: the
    difference of the deviances over these degrees of freedom and over the dispersion of the large model, Pearson's
    chi-square over its residual degrees of freedom. For least squares F is exact if the errors are normal.

    With a penalty in both fits there is no test. Their evidence is compared instead, see `laplace`.

    Parameters
    ----------
    small : fitted linear model of sk_hessian, or None
        With verdict "optimal"; None for the intercept alone, which is fitted here.
    large : fitted linear model of sk_hessian
        Either may be a pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows of both fits, with the large model's columns. In a data frame each model finds its own columns by name.
        Also `Blocks` and dask collections: there models are nested where the large one has all columns of the small.
    y, sample_weight, offset
        Those of both fits.
    columns : array-like, optional
        The columns of X that the small model was fitted on, in its order: positions, bools or names. For arrays.
    weights : {"frequency", "analytic"}, default="frequency"
        What the weights mean, as of `coef_table`.

    Returns
    -------
    ModelComparison

    Raises
    ------
    ValueError
        For models that are not nested; for a fit that is not optimal, or of other rows, weights or offsets; for
        losses that differ, several targets, ``jeffreys=True``, and a penalty in one fit alone; where no likelihood is
        known (Huber's loss, ``class_weight``); where no rows are left to estimate the dispersion.
    TypeError
        For something that is no linear model of sk_hessian.

    References
    ----------
    .. [1] P. McCullagh, J. Nelder, "Generalized Linear Models", 2nd ed., 1989, chapters 2 and 9.
    .. [2] W. Venables, B. Ripley, "Modern Applied Statistics with S", 4th ed., 2002, section 7.5: the dispersion is
       that of the large model.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import compare_models
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> small = LinearRegression().fit(X[["bmi", "bp"]], y)
    >>> print(compare_models(small, LinearRegression().fit(X, y), X, y))
    small       LinearRegression
    large       LinearRegression
    rows        442
    hypothesis  age = 0, sex = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0
    test        F: difference of the deviances over df_num and the dispersion of the large
                model
    statistic   F = 13.602, df_num = 8, df_denom = 431, p < 0.0001
    ------------------------------------------------------------------------------
           parameters  log-likelihood     deviance       AIC       BIC  dispersion
    small           3       -2435.744  1583104.773  4877.488  4889.762     3606.16
    large          11       -2385.993  1263985.786  4793.986  4838.990     2932.68
    """
    check_choice("weights", weights, ("frequency", "analytic"))
    parts = parts_of(X, y, sample_weight, offset)
    if parts is not None:
        # they have all that is of their rows
        X, y, sample_weight = parts, None, None
    row_data: dict[str, Any] = {"sample_weight": sample_weight, "offset": offset}
    X_large = own_columns(large, X, "compare_models (large)")
    large_fit = _fitted("large", large, X_large, y, row_data)
    if small is None:
        small, X_small = _intercept_alone(large_fit, X, y, row_data)
        columns = []
    else:
        X_small = _columns_of_small(small, X, columns, large_fit.objective.n_features)
    small_fit = _fitted("small", small, X_small, y, row_data)
    pair = small_fit, large_fit
    _check_pair(pair, columns)
    row_weights = weights_of(large_fit, sample_weight, weights)
    if large_fit.prior is None:
        curvatures = [
            curvature_at_optimum(
                f"compare_models ({name})", fit, row_weights, "observed" if fit.loss.n_constants else "expected"
            )
            for name, fit in zip(("small", "large"), pair, strict=True)
        ]
        found, evidence = _tested(curvatures), np.full(2, np.nan)
    else:
        curvatures = [Curvature(fit, row_weights, None) for fit in pair]
        row_data = {name: value for name, value in row_data.items() if value is not None}
        posteriors = [laplace(*model, y, **row_data) for model in ((small, X_small), (large, X_large))]
        evidence = np.array([posterior.log_evidence for posterior in posteriors])
        found = dict.fromkeys(("statistic", "df", "df_denom", "p_value")) | {"test": "evidence"}
    return ModelComparison(
        **found,
        names=["small", "large"],
        models=[fit.name for fit in pair],
        **_figures(curvatures),
        log_evidence=evidence,
        n_samples=row_weights.n_samples,
        hypothesis=_hypothesis(small_fit.objective, large_fit.objective, columns),
    )


# -- the models -------------------------------------------------------------------------------------------------------


def _fitted(which, model, X, y, row_data):
    """The `Fitted` of a model, refused where it is no linear model at its optimum for these rows."""
    what = f"compare_models ({which})"
    fitted = Fitted(model, X, y, row_data["sample_weight"], offset=row_data["offset"])
    if not fitted.objective.model.is_linear:
        raise TypeError(f"{what} is for linear models, not for {fitted.name}: a network has no likelihood-ratio test")
    _check_likelihood(what, fitted)
    fitted.require_optimum(what)
    remarks = fitted.here.remarks()
    if remarks:
        raise ValueError(f"{what}: the likelihood has no regular optimum for this {fitted.name}. {' '.join(remarks)}")
    return fitted


def _check_likelihood(what, fitted):
    """Refuse a fit that is not by a likelihood of one target, or by that times an L2 penalty."""
    if fitted.prior == "jeffreys":
        raise ValueError(
            f"{what} is not for jeffreys=True: the prior of each model is another one. profile_intervals has the test "
            "of each coefficient under the prior of the large model"
        )
    if fitted.likelihood_refusal is not None:
        raise ValueError(f"{what} {fitted.likelihood_refusal}: use coef_table(..., cov='sandwich').wald(...)")
    if fitted.loss.n_outputs > 1 and not fitted.loss.shift_invariant:
        raise ValueError(f"{what} is for one target: compare the models of each target by itself")


def _columns_of_small(small, X, columns, n_large):
    if columns is not None:
        X = taken(X, columns, "columns")
    else:
        X = own_columns(small, X, "compare_models (small): the models are not nested")
    n_features = getattr(small, "n_features_in_", None)
    n_columns = _n_columns(small, X, columns, n_large)
    if n_features is not None and n_columns != n_features:
        said = "columns has" if columns is not None else "X has"
        raise ValueError(
            f"columns must say which columns of X the small model was fitted on: it has {n_features}, "
            f"{said} {n_columns}"
        )
    return X


def _n_columns(small, X, columns, n_large):
    """How many columns X has; of rows in parts as far as they are known before these are read."""
    if not isinstance(X, Parts):
        return X.shape[1]
    if columns is not None:
        columns = np.atleast_1d(np.asarray(columns))
        return int(columns.sum()) if columns.dtype.kind == "b" else columns.size
    return n_large if not hasattr(small, "feature_names_in_") else small.n_features_in_


def _nothing(rows):
    """A column that says nothing, of so many rows."""
    return np.zeros((rows.shape[0] if hasattr(rows, "shape") else len(rows), 1))


def _intercept_alone(large, X, y, row_data):
    """The model of the large one's class with an intercept alone, fitted, and a column that says nothing."""
    if not large.objective.fit_intercept:
        raise ValueError("small=None is the intercept alone, and the large model has no intercept: they are not nested")
    if large.prior is not None:
        raise ValueError(
            f"small=None is the intercept alone, which has no penalty to compare with that of {large.name}: fit the "
            "large model without a penalty, or pass a small one with a penalty"
        )
    parameters = large.estimator.get_params(deep=False)
    known = {name: value for name, value in _ALONE.items() if name in parameters}
    model = Chain(large.estimator).with_params(**known).estimator
    X = Changed(X, _nothing) if isinstance(X, Parts) else _nothing(y)
    with warnings.catch_warnings():
        # of a column that says nothing
        warnings.simplefilter("ignore")
        model.fit(X, y, **row_data)
    return model, X


def _check_pair(pair, columns):
    """Refuse two models that there is nothing to say of."""
    small, large = pair
    if small.loss != large.loss:
        hint = (
            " Whether there is overdispersion, profile_intervals says in the row theta^(-1/2)"
            if large.loss.even_constants
            else ""
        )
        raise ValueError(
            f"compare_models: the losses differ, {small.loss!r} of {small.name} and {large.loss!r} of {large.name}: "
            f"models are nested in the same family only.{hint}"
        )
    priors = {small.prior, large.prior}
    if len(priors) > 1:
        raise ValueError(
            "compare_models: one fit has a penalty and the other none. Fit both without, for a test, or both with one, "
            "for a comparison of the evidence"
        )
    if large.prior is None:
        if large.objective.rows.in_memory:
            _require_nested(small, large)
        # an intercept alone has no columns
        elif not (isinstance(columns, list) and not columns):
            _require_nested_columns(small, large)


def _require_nested_columns(small, large):
    """The same for rows in parts, of which no direction is at hand: by the columns that the models have taken."""
    objectives = small.objective, large.objective
    if len({objective.feature_names is None for objective in objectives}) > 1:
        raise ValueError(
            "compare_models: columns have names in one model and none in the other, so that it is not known whether "
            "the models are nested: fit both on data frames, or both on arrays"
        )
    other = _more(*objectives)
    if other:
        raise ValueError(
            f"compare_models: the models are not nested: {listed(other, ', ')} is not in the large one. Fit the large "
            "one on all columns of the small one, intercept included"
        )


def _require_nested(small, large):
    """Refuse models where the large one cannot make every prediction of the small one.

    A random direction of the small model's parameters is one of the large one's, but for rounding, if and only if all
    are. It is drawn where the small one's curvature is one.
    """
    theta, own = small.theta, small.factor("expected")
    step = own.apply(np.random.default_rng(0).normal(size=own.shape[1]))
    objective = small.objective
    moved = objective.raw_predictions(theta + step) - objective.raw_predictions(theta)
    added = AddedDirections(large, large.factor("expected"), lambda part: moved[part, :, None], 1)
    if added.share_left[0] > _LEFT:
        other = _more(small.objective, large.objective)
        which = f": {listed(other, ', ')} is not in the large one" if other else ""
        raise ValueError(
            f"compare_models: the models are not nested: the large {large.name} cannot make the predictions of the "
            f"small {small.name}{which}. Fit the large one on all columns of the small one, intercept included"
        )


# -- the test ---------------------------------------------------------------------------------------------------------


def _tested(curvatures):
    """The fields of a `ModelComparison` that say how the test came out."""
    small, large = curvatures
    df = float(np.rint(large.effective_df.sum() - small.effective_df.sum()))
    if df <= 0:
        raise ValueError(
            "compare_models: the large model has no more free parameters than the small one "
            f"({large.effective_df.sum():.8g} and {small.effective_df.sum():.8g}): there is nothing to test"
        )
    values = [curvature.fitted.here.value for curvature in curvatures]
    lost = float(max(2 * large.fitted.total_weight * (values[0] - values[1]), 0.0))
    if not large.loss.family.has_dispersion:
        p_value = float(chi2.sf(lost, df))
        return {"test": "likelihood ratio", "statistic": lost, "df": df, "df_denom": np.inf, "p_value": p_value}
    denom, statistic = float(large.likelihood.df_resid[0]), lost / df / float(large.likelihood.dispersion[0])
    p_value = float(fisher.sf(statistic, df, denom))
    return {"test": "F", "statistic": statistic, "df": df, "df_denom": denom, "p_value": p_value}


def _figures(curvatures):
    """The likelihood's figures of both models."""
    n = curvatures[0].weights.n_samples
    likelihoods = [curvature.likelihood for curvature in curvatures]
    columns = {
        "effective_df": [likelihood.effective_df.sum() for likelihood in likelihoods],
        "log_likelihood": [likelihood.log_likelihood for likelihood in likelihoods],
        "deviance": [likelihood.deviance for likelihood in likelihoods],
        "aic": [likelihood.criterion(2) for likelihood in likelihoods],
        "bic": [likelihood.criterion(np.log(n)) for likelihood in likelihoods],
        "dispersion": [likelihood.dispersion[0] for likelihood in likelihoods],
    }
    return {name: np.array(values, dtype=float) for name, values in columns.items()}


def _hypothesis(small, large, columns):
    """What the objective of the large model has more, in words; ``columns`` are those that the small one was given."""
    more = _more(large, small, columns)
    if not more:
        return "what the large model has more is 0"
    return listed([f"{name} = 0" for name in more], ", ", _MOST_LISTED)


def _more(objective, other, columns=None):
    """Features, and the intercept, that an objective has and another has not, as far as their names tell.

    Where features have no names, ``columns`` are the other's positions among those of this one.
    """
    features, known = ([one.name(j) for j in range(one.n_features)] for one in (objective, other))
    if columns is not None and other.feature_names is None:
        columns = np.asarray(columns)
        positions = np.flatnonzero(columns) if columns.dtype.kind == "b" else np.atleast_1d(columns)
        known = [objective.name(j) for j in positions]
    elif objective.feature_names is None or other.feature_names is None:
        known = features
    more = [name for name in features if name not in known]
    return more + ["intercept"] * (objective.fit_intercept and not other.fit_intercept)
