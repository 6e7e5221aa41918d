"""Standard errors, tests and intervals of the parameters of a fitted linear model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._text import listed
from sk_hessian.inspection._checks import check_choice, check_level
from sk_hessian.inspection._covariance import KINDS, Curvature, profile
from sk_hessian.inspection._fitted import NEAR, Fitted
from sk_hessian.inspection._goodness import FitFigures, figures_of_fit
from sk_hessian.inspection._hypotheses import LinearHypotheses
from sk_hessian.inspection._likelihood import RowWeights
from sk_hessian.inspection._terms import Layout
from sk_hessian.inspection._text import ParameterTable, Report, interval_headings, number_text

#: prior -> covariances that "auto" tries, in this order
_AUTO = {
    None: ("expected", "observed", "sandwich"),
    "normal": ("sandwich",),
    "jeffreys": ("profile",),
}

#: distribution -> the heading of its statistic, and what the header says of it
_DISTRIBUTIONS = {
    "t": ("t", "t with df = {df}"),
    "normal": ("z", "normal"),
    "chi2": (
        "chi2",
        "chi-squared with df = {df}: p and intervals by the profile of the likelihood, std. errors by the inverse "
        "information",
    ),
}

#: a covariance of so many parameters is 200 MB
_MOST_PARAMETERS = 5000

#: lines of the header -> attribute
_HEADER = {
    "model": "model",
    "y": "y_name",
    "family": "family_text",
    "penalty": "penalty",
    "verdict": "verdict",
    "rows": "n_samples",
    "covariance": "cov",
    "about": "target",
    "effective parameters": "effective_df",
    "residual df": "df_resid",
    "log-likelihood": "log_likelihood",
    "deviance": "deviance",
    "null deviance": "null_deviance",
    "dispersion": "dispersion",
    "R2": "r2_text",
    "F": "f_text",
    "pseudo-R2": "pseudo_r2",
    "AIC": "aic",
    "BIC": "bic",
}


@dataclass(frozen=True, eq=False, repr=False)
class CoefTable(FitFigures, LinearHypotheses, Report, ParameterTable):
    """Estimates of a linear model and their errors, in the user's units; made by `coef_table`.

    Attributes
    ----------
    names : list of str
        Parameters: features (times outputs), intercepts, and the loss's own.
    estimate, std_error : ndarray of shape (n_parameters,)
        The estimates are those of the fit, such as ``coef_``.
    statistic, p_value : ndarray of shape (n_parameters,)
        Estimate over error, and the two-sided p-value of a parameter that is zero; nan where both are exactly zero, of
        a posterior, and by Wald's statistic of theta^(-1/2), of which zero is the edge. Of
        "profile" twice what the log-likelihood (with Jeffreys' prior) loses where the parameter is held at zero.
    lower, upper : ndarray of shape (n_parameters,)
        Ends of the interval of each parameter.
    covariance : ndarray of shape (n_parameters, n_parameters)
    distribution : {"t", "normal", "chi2"}
        What the statistics are compared with.
    df : float or ndarray of shape (n_targets,)
        Its degrees of freedom; inf for the normal one.
    model, verdict, cov : str
        The class of the estimator, the verdict on its fit, and which covariance this is. Where a ``tol`` above the
        default one has left an estimate more than 0.01 standard errors from the optimum, the verdict says so.
    target : str
        What the intervals are about.
    level : float
        Nominal level of the intervals.
    n_samples : float
        Rows; the sum of the weights where they are frequencies.
    effective_df : float
        Effective parameters, trace((H + P)^-1 H); the number of free ones where there is no penalty.
    df_resid : float or ndarray of shape (n_targets,)
        Rows less effective parameters.
    dispersion : float or ndarray of shape (n_targets,), or None
        Pearson's chi-square over ``df_resid``; 1 where the family has none, None where there is no likelihood.
    log_likelihood, deviance, aic, bic : float or None
        None where there is no likelihood, or (but for the deviance) no closed form of it.
    y_name, family, link : str or None
        The name of y, where it is a series or a frame; the distribution and the link, where they have names.
    penalty : str
    null_deviance : float or None
        The deviance of a constant alone, beside an offset; of a fit without an intercept that of the offset alone. This
        and what follows are of unpenalised fits of a likelihood.
    r2, adjusted_r2, f_statistic, f_p_value : float or ndarray of shape (n_targets,), or None
        Of least squares, beside the null model; ``r2_about`` is ``"the mean"``, or ``"zero"`` without an intercept. F
        is that of all slopes, with ``f_df`` degrees of freedom, and None beside a covariance that does not take the
        model as true.
    pseudo_r2 : float or None
        McFadden's, of a likelihood without a dispersion and a fit with an intercept.
    layout : object
        Which parameters belong to which feature and class; for the methods below.
    """

    names: list
    estimate: np.ndarray
    std_error: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    covariance: np.ndarray = field(repr=False)
    distribution: str
    df: float | np.ndarray
    model: str
    verdict: str
    cov: str
    target: str
    level: float
    n_samples: float
    effective_df: float
    df_resid: float | np.ndarray
    dispersion: float | np.ndarray | None
    log_likelihood: float | None
    deviance: float | None
    aic: float | None
    bic: float | None
    layout: Layout = field(repr=False)

    _columns = ("estimate", "std_error", "statistic", "p_value", "lower", "upper")

    @property
    def coef(self) -> Any:
        """The estimates, a pandas series by name; with `vcov` what packages of hypotheses and effects ask for."""
        return self.to_frame()["estimate"].rename("coef")

    @property
    def vcov(self) -> Any:
        """The covariance, a pandas data frame by names."""
        import pandas as pd

        return pd.DataFrame(self.covariance, index=self.names, columns=self.names)

    def _header(self):
        """Pairs of a caption and what it says, of all that there is."""
        values = {caption: getattr(self, name) for caption, name in _HEADER.items()}
        values["covariance"] += f", {_DISTRIBUTIONS[self.distribution][1].format(df=number_text(self.df))}"
        header = [(caption, number_text(value)) for caption, value in values.items() if value is not None]
        return header + ([("classes", f"against {self.layout.base}")] if self.layout.base is not None else [])

    def _rows(self):
        """The table as text, headings first."""
        headings = ["", "estimate", "std. error", _DISTRIBUTIONS[self.distribution][0], "p"]
        rows = [headings + interval_headings(self.level), *self._cells()]
        if np.isnan(self.p_value).all():
            rows = [(*row[:3], *row[5:]) for row in rows]
        return rows


def coef_table(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    cov: str = "auto",
    weights: str = "frequency",
    level: float = 0.95,
    cov_groups: ArrayLike | None = None,
) -> CoefTable:
    """Standard errors, tests and intervals of the parameters of a fitted linear model.

    With H the mean Hessian of the loss, P the penalty's, W the total weight, phi the dispersion, and s_i the gradient
    of row i's loss plus that of the penalty:

    - ``"expected"``, ``"observed"``: phi H^-1 / W, of the expected (Fisher) and the observed Hessian. For unpenalised
      fits of models with a likelihood; the t distribution where phi is estimated.
    - ``"sandwich"``: (H + P)^-1 (sum_i v_i s_i s_i') (H + P)^-1 / W^2 with the observed Hessian, v_i the weight of a
      frequency and its square otherwise: White's HC0, under a penalty about the penalised population parameters.
    - ``"laplace"``: phi (H + P)^-1 / W, the posterior's covariance where the penalty is the prior
      N(0, phi / (W penalty)).
    - ``"profile"``: of ``"expected"`` the errors, and tests and intervals by the profile of the likelihood, see
      `profile_intervals`: for unpenalised fits of one linear predictor and no dispersion, such as of two classes or of
      counts. With ``jeffreys=True`` the prior is part of the likelihood.
    - ``"auto"``: expected where that exists, else observed (a loss with parameters of its own), else the sandwich;
      profile for ``jeffreys=True``, whose likelihood is seldom symmetric.

    Parameters
    ----------
    estimator : fitted linear model of sk_hessian
        With the verdict ``optimal``.
    X, y
        The rows that it was fitted on, in memory (or X a memory map).
    sample_weight, offset : array-like of shape (n_samples,), optional
        Those of the fit.
    cov : {"auto", "expected", "observed", "sandwich", "laplace", "profile"}
    weights : {"frequency", "analytic"}
        What the weights mean. "frequency": a row of weight 2 is two rows, so that there are as many rows as the weights
        sum to. "analytic": precision weights; row i has the dispersion phi / w_i, and the rows are as many as they are.
    level : float
        Of the intervals, between 0 and 1.
    cov_groups : array-like of shape (n_samples,), optional
        Labels of groups, within which rows may depend on each other: a clustered sandwich, times
        G / (G - 1) (n - 1) / (n - effective parameters), with the t distribution of G - 1 degrees of freedom.

    Returns
    -------
    CoefTable

    Raises
    ------
    ValueError
        For more than 5000 parameters, a fit without the verdict ``optimal``, rows that are not those of the fit,
        parameters that the data do not determine, a covariance that this fit does not have, and bad arguments, naming
        them.
    TypeError
        For an estimator that is no linear model of sk_hessian.

    Notes
    -----
    The likelihood's figures are those of statsmodels' GLM: the dispersion is Pearson's chi-square over rows less
    effective parameters, also in the log-likelihood, which for least squares takes the residual sum of squares over the
    rows instead; AIC and BIC do not count the dispersion as a parameter. Several targets of least squares are
    independent of each other given X, each with its own dispersion, except in the sandwich; log-likelihood and deviance
    are sums over them. Classes of a softmax model have parameters that sum to zero. Class weights are taken as given.

    References
    ----------
    .. [1] P. Huber, "The behavior of maximum likelihood estimates under nonstandard conditions", 1967.
    .. [2] H. White, "Maximum likelihood estimation of misspecified models", Econometrica 50, 1982.
    .. [3] A. C. Cameron, D. L. Miller, "A practitioner's guide to cluster-robust inference", Journal of Human
       Resources 50, 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import coef_table
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> table = coef_table(LinearRegression().fit(X, y), X, y)
    >>> table.names[2], round(float(table.std_error[2]), 4), table.df
    ('x2', 0.7171, 431.0)
    """
    check_choice("cov", cov, ("auto", *KINDS))
    check_choice("weights", weights, ("frequency", "analytic"))
    check_level(level)
    fitted = Fitted(estimator, X, y, sample_weight, offset=offset)
    if not fitted.objective.model.is_linear:
        raise TypeError(
            f"coef_table is for linear models, not for {fitted.name}: single weights of a network are not identified. "
            "Use inspection.laplace for the uncertainty of its predictions"
        )
    if not fitted.objective.rows.in_memory:
        raise ValueError("X must be in memory for coef_table: an array, a memory map, a data frame or a sparse matrix")
    if fitted.theta.size > _MOST_PARAMETERS:
        raise ValueError(
            f"coef_table is for up to {_MOST_PARAMETERS} parameters, of which it keeps the covariance; this "
            f"{fitted.name} has {fitted.theta.size}"
        )
    fitted.require_optimum("coef_table")
    _require_determined(fitted)
    row_weights = RowWeights.of(fitted.objective, sample_weight, weights)
    groups = None if cov_groups is None else _group_indices(cov_groups, sample_weight, fitted.objective.n_rows)
    cov = _chosen(cov, fitted, groups)
    curvature = Curvature(fitted, row_weights, KINDS[cov].curvature, groups)
    covariance = KINDS[cov].covariance(curvature)
    estimate, error = curvature.estimate, np.sqrt(np.diag(covariance))
    distance = fitted.distance(curvature.factor, error)
    # a profile begins at the optimum; what is printed are the estimates of the fit all the same
    if KINDS[cov].intervals is profile and fitted.polish("coef_table", curvature.factor, error) > 0:
        curvature = Curvature(fitted, row_weights, KINDS[cov].curvature, groups)
        covariance = KINDS[cov].covariance(curvature)
    return _table(curvature, covariance, cov, level, (estimate, _verdict(fitted, distance)))


def _verdict(fitted, distance):
    status = fitted.estimator.convergence_.status
    if distance <= NEAR:
        return status
    return (
        f"{status}; its tol={fitted.estimator.tol:g} left estimates up to {distance:.2g} std. errors from the "
        "optimum: fit with a smaller tol"
    )


def _require_determined(fitted):
    """Refuse what has no errors: directions that the data leave open, and solutions at the edge of the model."""
    edge, flat = fitted.objective.at(fitted.theta).remarks(), fitted.objective.flat_directions()
    if edge:
        raise ValueError(f"coef_table: there are no standard errors for this {fitted.name}. {' '.join(edge)}")
    if flat:
        raise ValueError(
            f"coef_table: the data do not determine every coefficient of this {fitted.name}: {listed(flat)}. "
            "Drop these columns, or add a penalty"
        )


def _group_indices(labels, sample_weight, n_rows):
    """The group of each row of positive weight, from 0 on."""
    labels = np.asarray(labels)
    weight = np.ones(n_rows) if np.ndim(sample_weight) == 0 else np.asarray(sample_weight, dtype=float)
    if labels.shape != weight.shape:
        raise ValueError(f"cov_groups must have one label for each of the {len(weight)} rows, got shape {labels.shape}")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError("cov_groups must not be nan: give those rows a group of their own, or drop them")
    try:
        present, indices = np.unique(labels[weight > 0], return_inverse=True)
    except TypeError as error:
        raise TypeError("cov_groups must hold labels of one kind, such as all integers or all strings") from error
    if len(present) < 2:
        raise ValueError(f"cov_groups must have at least two groups, got only {present[0]!r}")
    return indices


def _chosen(cov, fitted, groups):
    """The covariance that "auto" takes, or the one that was asked for if there is one."""

    def refusal(name):
        if groups is not None and name != "sandwich":
            return "has no clustered version: use cov='sandwich' with cov_groups"
        return KINDS[name].refuse(fitted)

    names = _AUTO[fitted.prior] if cov == "auto" else (cov,)
    reasons = {name: refusal(name) for name in names}
    found = next((name for name, reason in reasons.items() if reason is None), None)
    if found is None:
        raise ValueError(f"coef_table: cov={names[-1]!r} {reasons[names[-1]]}")
    return found


def _table(curvature, covariance, cov, level, of_fit):
    estimate, verdict = of_fit
    fitted, likelihood, kind = curvature.fitted, curvature.likelihood, KINDS[cov]
    df = _degrees_of_freedom(curvature, cov)
    is_profile = kind.intervals is profile
    return CoefTable(
        names=fitted.parameter_names,
        estimate=estimate,
        std_error=np.sqrt(np.diag(covariance)),
        **kind.intervals(curvature, covariance, df, level),
        covariance=covariance,
        distribution="chi2" if is_profile else "normal" if np.isinf(df).all() else "t",
        df=1.0 if is_profile else _scalar(df),
        model=fitted.name,
        verdict=verdict,
        cov=cov,
        target=kind.target[fitted.prior],
        level=level,
        n_samples=curvature.weights.n_samples,
        effective_df=float(curvature.effective_df.sum()),
        df_resid=_scalar(likelihood.df_resid),
        layout=Layout.of(fitted),
        **figures_of_fit(curvature, cov),
        **_figures(curvature),
    )


def _degrees_of_freedom(curvature, cov):
    if curvature.groups is not None:
        return np.array([curvature.groups.max()])
    if KINDS[cov].estimates_dispersion and curvature.loss.family.has_dispersion:
        return curvature.likelihood.df_resid
    return np.array([np.inf])


def _figures(curvature):
    """The likelihood's figures, None for a loss without one and for a pseudo-likelihood."""
    likelihood, fitted = curvature.likelihood, curvature.fitted
    if fitted.likelihood_refusal is not None:
        return dict.fromkeys(("dispersion", "log_likelihood", "deviance", "aic", "bic"))
    return {
        "dispersion": _scalar(likelihood.dispersion),
        "log_likelihood": likelihood.log_likelihood,
        "deviance": likelihood.deviance,
        # these are of a maximum of the likelihood, or of one under a penalty whose effective parameters are known
        "aic": None if fitted.prior == "jeffreys" else likelihood.criterion(2),
        "bic": None if fitted.prior == "jeffreys" else likelihood.criterion(np.log(curvature.weights.n_samples)),
    }


def _scalar(values):
    """An array of one value as a number."""
    return values if len(values) > 1 else float(values[0])
