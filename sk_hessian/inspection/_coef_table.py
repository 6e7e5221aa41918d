"""Standard errors, tests and intervals of the parameters of a fitted linear model."""

from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._report import Report, number_text
from sk_hessian.inspection._checks import check_level
from sk_hessian.inspection._chosen import needs_products, require_few
from sk_hessian.inspection._covariance import chosen_parameters, profile
from sk_hessian.inspection._fitted import Fitted, Naming
from sk_hessian.inspection._goodness import FitFigures, figures_of_fit
from sk_hessian.inspection._hypotheses import LinearHypotheses
from sk_hessian.inspection._stream_memory import stream_uncertainty
from sk_hessian.inspection._terms import Layout
from sk_hessian.inspection._text import ParameterTable, interval_headings, without_tests
from sk_hessian.inspection._uncertainty import CovarianceChoice, FurtherOptions, Uncertainty
from sk_hessian.solvers import plan

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


#: lines of the header -> attribute
_HEADER = {
    "model": "model",
    "y": "y_name",
    "family": "family_text",
    "penalty": "penalty",
    "verdict": "verdict",
    "rows": "n_samples",
    "covariance": "cov",
    "convention": "convention",
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


class TableOptions(FurtherOptions, Naming, total=False):
    """Keywords of `coef_table` that are seldom needed."""


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
        Its degrees of freedom; inf for the normal one. Of ``cov="CR2"`` those of each parameter, (n_parameters,).
    model, verdict, cov : str
        The class of the estimator, the verdict on its fit, and which covariance this is. Where a ``tol`` above the
        default one has left an estimate more than 0.01 standard errors from the optimum, the verdict says so.
    convention : str or None
        Which of several ways the covariance was made, where there are several: corrections for small samples, groups,
        lags, another dispersion.
    target : str
        What the intervals are about.
    level : float
        Nominal level of the intervals.
    n_samples : float
        Rows; the sum of the weights where they are frequencies.
    effective_df : float or None
        Effective parameters, trace((H + P)^-1 H); the number of free ones where there is no penalty. None, with what
        counts them, of a penalised fit without a matrix of curvature.
    df_resid : float or ndarray of shape (n_targets,), or None
        Rows less effective parameters.
    dispersion : float or ndarray of shape (n_targets,), or None
        Pearson's chi-square over ``df_resid``; 1 where the family has none, None where there is no likelihood; that of
        ``dispersion=``, where it was given.
    log_likelihood, deviance, aic, bic : float or None
        None where there is no likelihood, or (but for the deviance) no closed form of it, as for a quasi-likelihood.
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
    freedom : object or None
        What has the degrees of freedom of other combinations, of ``cov="CR2"``.
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
    convention: str | None
    target: str
    level: float
    n_samples: float
    effective_df: float | None
    df_resid: float | np.ndarray | None
    dispersion: float | np.ndarray | None
    log_likelihood: float | None
    deviance: float | None
    aic: float | None
    bic: float | None
    layout: Layout = field(repr=False)
    freedom: Any = field(default=None, repr=False)

    _columns = ("estimate", "std_error", "statistic", "p_value", "lower", "upper")

    @property
    def _shown_columns(self):
        return self._columns if self.freedom is None else (*self._columns[:3], "df", *self._columns[3:])

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
        df = number_text(self.df) if self.freedom is None else "that of each row"
        values["covariance"] += f", {_DISTRIBUTIONS[self.distribution][1].format(df=df)}"
        header = [(caption, number_text(value)) for caption, value in values.items() if value is not None]
        return header + ([("classes", f"against {self.layout.base}")] if self.layout.base is not None else [])

    def _rows(self):
        """The table as text, headings first."""
        own_df = [] if self.freedom is None else ["df"]
        headings = ["", "estimate", "std. error", _DISTRIBUTIONS[self.distribution][0], *own_df, "p"]
        return without_tests([headings + interval_headings(self.level), *self._cells()], self.p_value)


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
    **further: Unpack[TableOptions],
) -> CoefTable:
    """Standard errors, tests and intervals of the parameters of a fitted linear model.

    With H the mean Hessian of the loss, P the penalty's, W the total weight, phi the dispersion, and s_i the gradient
    of row i's loss plus that of the penalty:

    - ``"expected"``, ``"observed"``: phi H^-1 / W, of the expected (Fisher) and the observed Hessian. For unpenalised
      fits of models with a likelihood; the t distribution where phi is estimated.
    - ``"sandwich"``: (H + P)^-1 (sum_i v_i s_i s_i') (H + P)^-1 / W^2 with the observed Hessian, v_i the weight of a
      frequency and its square otherwise: White's HC0, under a penalty about the penalised population parameters.
    - ``"HC0"``, ``"HC1"``, ``"HC2"``, ``"HC3"``: the same with the expected Hessian, as ``vcovHC`` of R's sandwich
      has it (for canonical links the two are equal): without a correction, times n / (n - k), and with v_i over
      1 - h_i or its square, h_i the leverage of the row, the diagonal of the weighted hat matrix. For unpenalised fits,
      HC0 apart; the t distribution of n - k degrees of freedom where the family has a dispersion, for HC0 the normal.
      For several classes they are matrices, a block of that matrix for each row.
    - ``"CR2"``: for few groups, or few rows. Scores of the groups of ``cov_groups`` (without them each row is one,
      which is HC2) times (I - H_g)^(-1/2), H_g the block of the weighted hat matrix, so that the covariance has no bias
      if the model's variances are true; t with Satterthwaite's degrees of freedom, of each coefficient and contrast its
      own, and Hotelling's of several together [8]_. For unpenalised fits.
    - ``"HAC"``: the sandwich of Newey and West, of rows in the order of time, times n / (n - k); see ``lags``.
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
        The rows that it was fitted on; also `Blocks`, whose y is None, and dask collections, which take a few rounds
        over their parts. Both None: of an estimator that was fitted by ``partial_fit``, whose memory stands for all
        rows of the stream; see Notes.
    sample_weight, offset : array-like of shape (n_samples,), optional
        Those of the fit.
    cov : {"auto", "expected", "observed", "sandwich", "HC0", "HC1", "HC2", "HC3", "CR2", "HAC", "laplace", "profile"}
    weights : {"frequency", "analytic"}
        What the weights mean. "frequency": a row of weight 2 is two rows, so that there are as many rows as the weights
        sum to. "analytic": precision weights; row i has the dispersion phi / w_i, and the rows are as many as they are.
    level : float
        Of the intervals, between 0 and 1.
    cov_groups : array-like of shape (n_samples,) or (n_samples, 2), optional
        Labels of groups, within which rows may depend on each other: a clustered sandwich, times
        G / (G - 1) (n - 1) / (n - effective parameters), with the t distribution of G - 1 degrees of freedom. Of rows
        in parts an array of all labels, a dask collection, or a list of arrays, one for each part. Two
        columns are two ways of grouping [5]_: V1 + V2 - V12, each with its own G, and the smaller of both for the
        degrees of freedom. Where that is not positive definite its negative eigenvalues, in coordinates in which the
        inverse Hessian is the identity, are taken as zero, and ``convention`` says so.
    **further
        Four more keywords. ``names`` (sequence of str, optional): what the columns are called, for an X without
        names. ``lags`` (int, optional) of ``"HAC"``: rows so many times apart may depend on each other, with the
        weights 1 - lag / (lags + 1) of Bartlett's kernel; by default 4 (n / 100)^(2/9), rounded down.
        ``dispersion`` ("pearson", "deviance" or a number, optional) of ``"expected"`` and ``"observed"``: Pearson's
        chi-square or the deviance over n - k, with the t distribution, or a known one, with the normal. Of a family
        that has none this is a quasi-likelihood (quasi-Poisson, quasi-binomial), without likelihood figures. The labels
        of single rows cannot tell it for classes: there take a number from grouped data. ``features`` (array-like of
        names or positions, optional): the table is of these columns, in this order, with the intercept and the loss's
        own parameters; for models of more than 3000 parameters, whose covariance is no longer kept as a whole. Where
        there is no matrix of curvature either, it is by products with the Hessian, see Notes.

    Returns
    -------
    CoefTable

    Raises
    ------
    ValueError
        For more than 3000 parameters (choose ``features``), a fit
        without the verdict ``optimal``, rows that are not those of the fit, parameters that the data do not determine,
        a covariance that this fit does not have, and bad arguments, naming them.
    TypeError
        For an estimator that is no linear model of sk_hessian.

    Notes
    -----
    The likelihood's figures are those of statsmodels' GLM: the dispersion is Pearson's chi-square over rows less
    effective parameters, also in the log-likelihood, which for least squares takes the residual sum of squares over the
    rows instead; AIC and BIC do not count the dispersion as a parameter. Several targets of least squares are
    independent of each other given X, each with its own dispersion, except in the sandwich; log-likelihood and deviance
    are sums over them. Classes of a softmax model have parameters that sum to zero. Class weights are taken as given.

    A matrix of curvature has at most 3000 columns (or rows, of a dense table with fewer rows than columns, all of them
    penalised). Beyond, ``features`` are solved for by conjugate gradients. The convention has a bound of the relative
    error of the standard errors, at most 1e-6: by the residuals, and by the least eigenvalue, whose lower bound comes
    from random directions of a fixed seed, and is wrong by a chance of 2e-9 [9]_. There are ``"expected"``,
    ``"observed"``, ``"sandwich"`` (with groups of one kind), ``"HC0"`` and ``"HC1"``. Effective parameters of a
    penalised fit, and what counts them, are None: of groups the factor (n - 1) / (n - k) is left out.

    In a sandwich of an unpenalised fit, parameters that one row or one group alone determines have no error: nan. The
    convention names them. The fit follows such targets whatever they are, so that residuals say nothing of them.

    What needs all rows at once is not for rows in parts: ``"HC2"``, ``"HC3"``, ``"HAC"``; nor is ``"profile"``, which
    takes many rounds, and which `profile_intervals` has. Of a stream's memory there are ``"expected"``, and
    ``"laplace"`` under a penalty: the information was summed as the rows came, at the coefficients of then, which for
    squared loss makes no difference. Rows that were to be forgotten count with what is left of their weights, and a
    dispersion is by the deviance that is remembered: of other losses than the squared one where it is asked for.

    References
    ----------
    .. [1] P. Huber, "The behavior of maximum likelihood estimates under nonstandard conditions", 1967.
    .. [2] H. White, "Maximum likelihood estimation of misspecified models", Econometrica 50, 1982.
    .. [3] A. C. Cameron, D. L. Miller, "A practitioner's guide to cluster-robust inference", Journal of Human
       Resources 50, 2015.
    .. [4] J. MacKinnon, H. White, "Some heteroskedasticity-consistent covariance matrix estimators with improved finite
       sample properties", Journal of Econometrics 29, 1985.
    .. [5] A. C. Cameron, J. Gelbach, D. Miller, "Robust inference with multiway clustering", Journal of Business &
       Economic Statistics 29, 2011.
    .. [6] W. Newey, K. West, "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
       covariance matrix", Econometrica 55, 1987.
    .. [7] A. Zeileis, "Object-oriented computation of sandwich estimators", Journal of Statistical Software 16, 2006.
    .. [8] J. Pustejovsky, E. Tipton, "Small-sample methods for cluster-robust variance estimation and hypothesis
       testing in fixed effects models", Journal of Business & Economic Statistics 36, 2018.
    .. [9] J. Dixon, "Estimating extremal eigenvalues and condition numbers of matrices", SIAM Journal on Numerical
       Analysis 20, 1983.

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
    names = further.pop("names", None)
    choice = CovarianceChoice.of("coef_table", cov=cov, weights=weights, cov_groups=cov_groups, **further)
    check_level(level)
    if X is None and y is None:
        found = stream_uncertainty(estimator, choice, names, sample_weight=sample_weight, offset=offset)
        return _table(found, level, found.curvature.estimate, found.verdict)
    fitted = Fitted(estimator, X, y, sample_weight, names=names, offset=offset)
    _require_size(fitted, choice.features)
    found = Uncertainty.of(fitted, sample_weight, choice)
    estimate, verdict = found.curvature.estimate, found.verdict
    # a profile begins at the optimum; what is printed are the estimates of the fit all the same
    is_profile = found.kind.intervals is profile
    if is_profile and fitted.polish("coef_table", found.curvature.factor, found.std_error) > 0:
        found = Uncertainty.of(fitted, sample_weight, choice)
    return _table(found, level, estimate, verdict)


def _require_size(fitted, features):
    """Refuse a covariance of more parameters than a matrix of curvature may have, before any work."""
    if not fitted.objective.model.is_linear:
        return
    if needs_products(fitted, features):
        require_few(fitted, features)
        return
    most, size = plan.MOST_FACTOR_SIZE, fitted.theta.size
    size = size if features is None else len(chosen_parameters(fitted.objective, features))
    if size > most:
        raise ValueError(
            f"coef_table is for up to {most} parameters, of which it keeps the covariance; this {fitted.name} has "
            f"{size}: choose some of its columns by features="
        )
    fitted.require_factor()


def _table(found, level, estimate, verdict):
    curvature, df, is_profile = found.curvature, found.df, found.kind.intervals is profile
    chosen = curvature.positions
    return CoefTable(
        names=[curvature.fitted.reported[0][j] for j in chosen],
        estimate=estimate,
        std_error=found.std_error,
        **found.kind.intervals(curvature, found.matrix, df, level),
        covariance=found.matrix,
        distribution="chi2" if is_profile else "normal" if np.isinf(df).all() else "t",
        df=1.0 if is_profile else _scalar(df),
        model=curvature.fitted.name,
        verdict=verdict,
        cov=found.name,
        convention=found.covariance.convention,
        target=found.target,
        level=level,
        n_samples=curvature.weights.n_samples,
        effective_df=float(curvature.effective_df.sum()) if curvature.knows_df else None,
        df_resid=_scalar(curvature.likelihood.df_resid) if curvature.knows_df else None,
        layout=Layout.of(curvature.fitted).of_parameters(chosen),
        freedom=found.covariance.freedom,
        **figures_of_fit(curvature, found.name),
        **_figures(curvature),
    )


def _figures(curvature):
    """The likelihood's figures, None for a loss without one and for a pseudo-likelihood."""
    likelihood, fitted = curvature.likelihood, curvature.fitted
    if fitted.likelihood_refusal is not None:
        return dict.fromkeys(("dispersion", "log_likelihood", "deviance", "aic", "bic"))
    if not curvature.knows_df:
        # what counts them is not known either
        known = {"aic": None, "bic": None, "deviance": likelihood.deviance}
        has_dispersion = likelihood.estimates_dispersion
        known["dispersion"] = None if has_dispersion else _scalar(likelihood.dispersion)
        return known | {"log_likelihood": None if has_dispersion else likelihood.log_likelihood}
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
