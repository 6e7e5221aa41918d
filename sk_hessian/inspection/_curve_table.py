"""Standard errors, tests and intervals of the parameters of a function that was minimised."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sk_hessian._report import Report, number_text
from sk_hessian.inspection._checks import check_level
from sk_hessian.inspection._intervals import intervals_and_tests
from sk_hessian.inspection._text import ParameterTable, distribution_text, interval_headings
from sk_hessian.solvers import Result


@dataclass(frozen=True, eq=False, repr=False)
class CurveTable(Report, ParameterTable):
    """Parameters of a curve, or of a likelihood, and their errors; made by `curve_table`.

    Attributes
    ----------
    names : list of str
    estimate, std_error, statistic, p_value, lower, upper : ndarray of shape (n_parameters,)
        Estimate over error, and the two-sided p-value of a parameter that is zero.
    covariance, correlation : ndarray of shape (n_parameters, n_parameters)
    distribution : {"t", "normal"}
    df : float
        Residuals less parameters where the dispersion is estimated from them, else inf.
    dispersion : float
        What the inverse curvature is multiplied with: the estimated variance of a residual, or what was given.
    n_residuals : int or None
        None of a function.
    objective : float
        Half the sum of squares, or the function.
    level : float
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
    df: float
    dispersion: float
    n_residuals: int | None
    objective: float
    level: float

    _columns = ("estimate", "std_error", "statistic", "p_value", "lower", "upper")

    @property
    def correlation(self):
        """See `CurveTable`."""
        return self.covariance / self.std_error / self.std_error[:, None]

    def _header(self):
        """Pairs of a caption and what it says."""
        if self.n_residuals is None:
            curvature, value = "inverse Hessian of minus a log-likelihood", ("minus log-likelihood", self.objective)
        else:
            curvature, value = "by the Jacobian of the residuals", ("sum of squares", 2 * self.objective)
        lines = [
            ("residuals", self.n_residuals),
            ("covariance", f"{curvature}, {distribution_text(self.df)}"),
            value,
            ("dispersion", self.dispersion),
            ("residual deviation", None if np.isinf(self.df) else np.sqrt(self.dispersion)),
        ]
        return [(caption, number_text(value)) for caption, value in lines if value is not None]

    def _rows(self):
        """The table as text, headings first."""
        statistic = "z" if self.distribution == "normal" else "t"
        return [["", "estimate", "std. error", statistic, "p", *interval_headings(self.level)], *self._cells()]


def curve_table(
    result: Result, *, names: Sequence[str] | None = None, dispersion: float | None = None, level: float = 0.95
) -> CurveTable:
    """Standard errors, tests and intervals of what `minimize` found for residuals or a likelihood of your own.

    For a `LeastSquaresObjective` what `scipy.optimize.curve_fit` gives as ``pcov``, with t intervals of n - p degrees
    of freedom; for a `FunctionObjective`, taken to be minus a log-likelihood, by the inverse Hessian with normal ones.

    Parameters
    ----------
    result : Result
        Of `sk_hessian.solvers.minimize`, with the status ``optimal``.
    names : sequence of str, optional
        Of the parameters; by default ``"theta[0]"`` and so on.
    dispersion : float, optional
        Where it is known: 1 for residuals in units of their standard deviations (``absolute_sigma=True`` of scipy).
        Intervals are then normal.
    level : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    CurveTable

    Raises
    ------
    ValueError
        As `Result.covariance`; for a wrong number of names and a bad level.
    TypeError
        For what is no result of `minimize`, and for other objectives.

    Notes
    -----
    Errors and intervals are those of the model linearised at the estimates: of strongly curved models, or few rows,
    they are rough [1].

    References
    ----------
    .. [1] D. Bates, D. Watts, "Nonlinear Regression Analysis and Its Applications", 1988, chapters 2 and 7.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.inspection import curve_table
    >>> from sk_hessian.objectives import LeastSquaresObjective
    >>> from sk_hessian.solvers import minimize
    >>> t, y = np.arange(5.0), np.array([3.1, 1.8, 1.1, 0.7, 0.4])
    >>> decay = LeastSquaresObjective(lambda x: x[0] * np.exp(-x[1] * t) - y)
    >>> table = curve_table(minimize(decay, [1.0, 1.0]), names=["start", "rate"])
    >>> table.estimate.round(3), table.std_error.round(3), table.df
    (array([3.082, 0.514]), array([0.034, 0.011]), 3.0)
    """
    check_level(level)
    if not isinstance(result, Result):
        raise TypeError(
            f"result must be what sk_hessian.solvers.minimize returns, got {type(result).__name__}: minimise a "
            "LeastSquaresObjective or a FunctionObjective"
        )
    covariance, here = result.covariance(dispersion), result.point()
    names = here.objective.parameter_names(result.x.size) if names is None else list(map(str, names))
    if len(names) != result.x.size or len(set(names)) < len(names):
        raise ValueError(f"names must be {result.x.size} different ones, got {names}")
    dispersion, df = here.dispersion() if dispersion is None else (float(dispersion), np.inf)
    error = np.sqrt(np.diag(covariance))
    residuals = getattr(here, "residuals", None)
    return CurveTable(
        names=names,
        estimate=result.x.copy(),
        std_error=error,
        **intervals_and_tests(result.x, error, df, level),
        covariance=covariance,
        distribution="normal" if np.isinf(df) else "t",
        df=df,
        dispersion=dispersion,
        n_residuals=None if residuals is None else residuals.size,
        objective=result.fun,
        level=level,
    )
