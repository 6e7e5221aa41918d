"""Profile likelihood: intervals and tests of single parameters that no normal approximation enters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import null_space
from scipy.optimize import brentq
from scipy.stats import chi2

from sk_hessian._report import Report
from sk_hessian._text import listed
from sk_hessian.inspection._checks import check_level
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._text import ParameterTable, interval_headings
from sk_hessian.objectives import RestrictedObjective, Subspace
from sk_hessian.solvers import Newton, minimize

#: tolerance of the fits with one parameter held: twice the log-likelihood is known to its square, or to a share of the
#: mean's rounding
_TOL = 1e-5
_LEAST_SCALE = 2e-4

#: relative tolerance of the limits' distances from the estimate
_LIMIT_TOL = 1e-9

#: a held parameter goes to its value from the estimate in steps of first so many standard errors, then doubled
_STRIDE = 4.0

#: share of such a step from which on the likelihood counts as zero
_LEAST_SHARE = 1e-3

#: shares of such strides that are tried one after the other where the profile jumps
_PACES = (1.0, 0.25, 0.05)

#: the root of twice a loss of log-likelihood is known better than to this; more is a jump
_JUMP = 1e-3

#: doublings after which a limit is taken to be infinite
_MOST_DOUBLINGS = 20


@dataclass(frozen=True, eq=False, repr=False)
class ProfileIntervals(Report, ParameterTable):
    """What `profile_intervals` returns; arrays of shape (n_parameters,), in the order of ``names``.

    Attributes
    ----------
    names : list of str
        Features, then the intercept, then the loss's own parameters.
    estimate : ndarray
        Of the optimum: where the tolerance of the fit has left one more than 0.01 standard errors away, Newton steps
        lead there.
    std_error : ndarray
        From the curvature that the solvers take: of Jeffreys' prior and of canonical links Fisher's information. nan of
        a theta^(-1/2) that is zero.
    lower, upper : ndarray
        Limits of the intervals; infinite where the likelihood does not fall far enough.
    statistic : ndarray
        Twice what the log-likelihood loses where the parameter is held at zero.
    p_value : ndarray
        Of that, by the chi-squared distribution with one degree of freedom; of theta^(-1/2), which cannot be less than
        zero, half of it, and 1 where the estimate is zero (Self & Liang, see `profile_intervals`).
    level : float
    """

    names: list
    estimate: np.ndarray
    std_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    level: float

    _columns = ("estimate", "std_error", "lower", "upper", "statistic", "p_value")

    def _rows(self):
        """One line for each parameter."""
        return [["", "estimate", "std. error", *interval_headings(self.level), "chi-squared", "p"], *self._cells()]


def profile_intervals(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    level: float = 0.95,
    parameters: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> ProfileIntervals:
    """Intervals and tests by the profile of the likelihood, of Jeffreys' prior times it where that was fitted.

    For each parameter the others are fitted again with it held at a value: the interval is the values at which twice
    the loss of log-likelihood stays below the quantile of chi-squared, the test that loss at zero. Jeffreys' prior is
    throughout that of the full model, also where a coefficient is held at zero, as in Heinze & Ploner's logistf. The
    intervals follow a likelihood that is not symmetric, where Wald's are estimate plus or minus a multiple of the
    standard error.

    Parameters
    ----------
    estimator : estimator of sk_hessian
        Fitted without a penalty, by maximum likelihood and with verdict "optimal".
    X, y, sample_weight, offset
        The rows that it was fitted on; weights count as repetitions.
    level : float, default=0.95
        Coverage of the intervals.
    parameters : sequence of str, optional
        Names of those that are wanted, such as ``["x0", "intercept"]``; by default all. Each takes about ten fits.
    names : sequence of str, optional
        What the columns are called, for an X without names.

    Returns
    -------
    ProfileIntervals

    Raises
    ------
    TypeError
        For something that is no estimator of sk_hessian.
    ValueError
        For a penalty, a model without likelihood or with a dispersion, columns that are combinations of others, other
        rows than those of the fit, a fit that turns out to be a local maximum only, or bad input.

    References
    ----------
    .. [1] D. Venzon, S. Moolgavkar, "A method for computing profile-likelihood-based confidence intervals", Applied
       Statistics 37(1), 1988.
    .. [2] G. Heinze, M. Schemper, "A solution to the problem of separation in logistic regression", Statistics in
       Medicine 21, 2002.
    .. [3] S. Self, K.-Y. Liang, "Asymptotic properties of maximum likelihood estimators and likelihood ratio tests
       under nonstandard conditions", JASA 82, 1987.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> from sk_hessian.inspection import profile_intervals
    >>> X, y = np.array([[0.0]] * 8 + [[1.0]] * 6), np.array([0] * 5 + [1] * 3 + [1] * 6)
    >>> model = LogisticRegression(C=np.inf, jeffreys=True).fit(X, y)
    >>> print(profile_intervals(model, X, y))
               estimate  std. error    2.5%  97.5%  chi-squared       p
    x0            3.02        1.74    0.44   8.01         5.539  0.0186
    intercept    -0.452       0.725  -1.913  0.870        0.448  0.5032
    """
    check_level(level)
    fitted = Fitted(estimator, X, y, sample_weight, names=names, offset=offset)
    _check_likelihood(fitted)
    fitted.require_optimum("profile_intervals")
    flat = fitted.objective.flat_directions()
    if flat:
        raise ValueError(f"profile_intervals needs independent columns, but {listed(flat)}: drop such columns")
    chosen = _indices(parameters, fitted.parameter_names)
    factor = fitted.factor()
    error = np.linalg.norm(fitted.conventional(factor), axis=1) / np.sqrt(fitted.objective.total_weight)
    if fitted.polish("profile_intervals", factor, error) > 0:
        factor = fitted.factor()
    return intervals_of(fitted, factor, level, chosen)


def _indices(parameters, names):
    """The positions of names."""
    if parameters is None:
        return list(range(len(names)))
    unknown = [name for name in parameters if name not in names]
    if isinstance(parameters, str) or unknown or not len(parameters):
        raise ValueError(f"parameters must be a non-empty sequence of names from {names}, got {parameters!r}")
    return [names.index(name) for name in parameters]


def intervals_of(fitted, factor, level, chosen=None):
    """The `ProfileIntervals` of a fit at its optimum, with the factor of the Hessian there; by default of all."""
    loss, size = fitted.loss, fitted.theta.size
    chosen = np.arange(size) if chosen is None else np.array(chosen)
    unit = np.linalg.norm(fitted.conventional(factor), axis=1)[chosen]
    estimate, quantile = fitted.theta[chosen], np.sqrt(chi2.ppf(level, 1))
    # such parameters have their least value at zero
    is_even = (chosen >= size - loss.n_constants) & loss.even_constants
    at_edge = is_even & (np.abs(estimate) <= getattr(loss, "floor", 0.0))
    found = np.array(
        [
            _limits_and_root(_Profile(fitted, factor, j), zero, quantile, even)
            for j, zero, even in zip(chosen, -estimate / unit, is_even, strict=True)
        ]
    )
    lower, upper, statistic = found[:, 0], found[:, 1], found[:, 2] ** 2
    reaches_zero = is_even & (lower <= -estimate / unit)
    p_value = chi2.sf(statistic, 1) * np.where(is_even, 0.5, 1.0)
    return ProfileIntervals(
        names=[fitted.parameter_names[j] for j in chosen],
        estimate=estimate,
        std_error=np.where(at_edge, np.nan, unit / np.sqrt(fitted.objective.total_weight)),
        lower=np.where(reaches_zero, 0.0, estimate + unit * lower),
        upper=estimate + unit * upper,
        statistic=statistic,
        p_value=np.where(at_edge, 1.0, p_value),
        level=float(level),
    )


def _limits_and_root(profile, zero, quantile, is_even):
    """The limits in t, and the root at ``zero``, which is the lower limit where an even likelihood goes no further."""
    upper, root = profile.limit(quantile), profile.root(zero)
    if not is_even:
        return profile.limit(-quantile), upper, root
    return (zero if abs(root) <= quantile else profile.limit(-quantile, abs(zero))), upper, root


def _check_likelihood(fitted):
    """Refuse what has no likelihood to profile, or more than that."""
    loss = fitted.loss
    if not loss.family.has_likelihood or loss.family.has_dispersion:
        raise ValueError(
            f"profile_intervals needs a likelihood without a dispersion to estimate, which {fitted.name} has not"
        )
    fitted.require_likelihood("profile_intervals")
    if fitted.prior == "normal":
        raise ValueError("profile_intervals needs a fit without a penalty: C=np.inf, or alpha=0")
    if loss.n_outputs > 1:
        raise ValueError("profile_intervals needs one linear predictor: a model of two classes, or of one count")


class _Profile:
    """The objective over all parameters but one, as a function of that one.

    In the coordinates u of a factor P of the Hessian, theta = estimate + P u, the parameter is estimate + |row| t for
    u = direction t + complement w; w is fitted for each t. Curvature there is about one, whatever the columns' units.
    """

    def __init__(self, fitted, factor, index):
        self._objective, self._estimate = fitted.objective, fitted.theta
        self._name = fitted.parameter_names[index]
        self._factor = factor
        row = self._factor.dense()[index]
        self._direction, self._complement = row / np.linalg.norm(row), null_space(row[None, :])
        #: share of the usual strides
        self._pace = _PACES[0]
        #: held values -> (fitted w, value)
        self._known = {0.0: (np.zeros(self._complement.shape[1]), self._objective.value_and_gradient(fitted.theta)[0])}

    def _held(self, t):
        """The objective over the other parameters with this one held at t."""
        origin = self._estimate + self._factor.apply(self._direction * t)
        held = RestrictedObjective(self._objective, Subspace(self._complement, self._factor), origin)
        held.is_model, held.convex = False, False
        held.scale = max(0.5 / self._objective.total_weight, _LEAST_SCALE * abs(self._known[0.0][1]))
        return held

    def _nearest(self, t):
        """The held values that were fitted on the same side of the estimate, the nearest first.

        The likelihood need not be concave: a line through fits of both sides may lead to another of its maxima.
        """
        return sorted((known for known in self._known if known * t >= 0), key=lambda known: abs(known - t))

    def _start(self, t):
        """Where the fit at t begins: on the line through the two nearest fits."""
        near, *others = self._nearest(t)[:2]
        w = self._known[near][0]
        if not others:
            return w
        return w + (self._known[others[0]][0] - w) * (t - near) / (others[0] - near)

    def _fit(self, t):
        """Fit w with the parameter held at t; whether it was possible from the former fits."""
        start, objective = self._start(t), self._held(t)
        value = objective.value_and_gradient(start)[0]
        if not np.isfinite(value):
            return False
        if not start.size:
            self._known[t] = start, value
            return True
        result = minimize(objective, start, Newton(), tol=_TOL)
        if result.status not in ("optimal", "stalled"):
            raise ValueError(f"profile_intervals: the fit with {self._name} held at a value failed. {result.message}")
        self._known[t] = result.x, result.fun
        return True

    def root(self, t):
        """The signed root of twice the loss of log-likelihood at ``t``: about t times the root of the total weight.

        Infinite where the likelihood is zero to rounding.
        """
        share = self._pace
        while t not in self._known:
            near = self._nearest(t)[0]
            stride = share * self._stride(near)
            fitted = self._fit(t if abs(t - near) <= stride else near + np.copysign(stride, t - near))
            share = self._pace if fitted else share / 2
            if share < _LEAST_SHARE:
                return np.copysign(np.inf, t)
        lost = self._known[t][1] - self._known[0.0][1]
        if 2 * self._objective.total_weight * lost < -_JUMP:
            raise ValueError(
                f"profile_intervals: with {self._name} held at another value the likelihood (times the prior) is "
                "larger than at the fit, which is a local maximum only: of few, separated rows there may "
                "be several. Drop or merge what separates"
            )
        return np.copysign(np.sqrt(2 * self._objective.total_weight * max(lost, 0.0)), t)

    def _stride(self, t):
        """How far from ``t`` the next fit may be: strides double on the way out."""
        return max(abs(t), _STRIDE / np.sqrt(self._objective.total_weight))

    def limit(self, quantile, bound=np.inf):
        """The t whose `root` is ``quantile``, within ``bound``; infinite where there is none.

        Where the root jumps, fits beyond the jump are at another maximum over the other parameters: they are
        repeated in smaller strides.
        """
        for self._pace in _PACES:
            t = self._crossing(quantile, bound)
            if np.isinf(t) or abs(self.root(t) - quantile) <= _JUMP:
                return t
            self._known = {
                known: fit for known, fit in self._known.items() if known * t <= 0 or abs(known) < 0.5 * abs(t)
            }
        raise ValueError(f"profile_intervals: the profile of {self._name} has a jump, and no limit was found")

    def _crossing(self, quantile, bound):
        """Where the root passes ``quantile``, by doublings and bracketing."""
        inside, outside = 0.0, np.copysign(min(self._stride(0.0), bound), quantile)
        for _ in range(_MOST_DOUBLINGS):
            if abs(self.root(outside)) >= abs(quantile):
                return brentq(lambda t: self.root(t) - quantile, inside, outside, xtol=_LIMIT_TOL * abs(outside))
            inside, outside = outside, np.copysign(min(2 * abs(outside), bound), quantile)
        return np.copysign(np.inf, quantile)
