"""Profile likelihood: intervals and tests of single parameters that no normal approximation enters."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy.linalg import null_space
from scipy.optimize import brentq
from scipy.stats import chi2

from sk_hessian.inspection._fitted import Fitted
from sk_hessian.objectives import FunctionObjective
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

#: doublings after which a limit is taken to be infinite
_MOST_DOUBLINGS = 20


@dataclass(frozen=True)
class ProfileIntervals:
    """What `profile_intervals` returns; arrays of shape (n_parameters,), in the order of ``names``.

    Attributes
    ----------
    names : list of str
        Features, then the intercept, then the loss's own parameters.
    estimate : ndarray
    std_error : ndarray
        From the curvature that the solvers take: of Jeffreys' prior and of canonical links Fisher's information.
    lower, upper : ndarray
        Limits of the intervals; infinite where the likelihood does not fall far enough.
    statistic : ndarray
        Twice what the log-likelihood loses where the parameter is held at zero.
    p_value : ndarray
        Of that, by the chi-squared distribution with one degree of freedom.
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


def profile_intervals(estimator, X, y, *, sample_weight=None, offset=None, level=0.95):
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

    Returns
    -------
    ProfileIntervals

    Raises
    ------
    TypeError
        For something that is no estimator of sk_hessian.
    ValueError
        For a penalty, a model without likelihood or with a dispersion, columns that are combinations of others, other
        rows than those of the fit, or bad input.

    References
    ----------
    .. [1] D. Venzon, S. Moolgavkar, "A method for computing profile-likelihood-based confidence intervals", Applied
       Statistics 37(1), 1988.
    .. [2] G. Heinze, M. Schemper, "A solution to the problem of separation in logistic regression", Statistics in
       Medicine 21, 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> from sk_hessian.inspection import profile_intervals
    >>> X, y = np.array([[0.0]] * 8 + [[1.0]] * 6), np.array([0] * 5 + [1] * 3 + [1] * 6)
    >>> model = LogisticRegression(C=np.inf, jeffreys=True).fit(X, y)
    >>> found = profile_intervals(model, X, y)
    >>> found.names, found.lower.round(2), found.upper.round(2)
    (['x0', 'intercept'], array([ 0.44, -1.91]), array([8.01, 0.87]))
    """
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, got {level!r}")
    fitted = Fitted(estimator, X, y, sample_weight, offset=offset)
    _check_likelihood(fitted)
    fitted.require_optimum("profile_intervals")
    unit = np.linalg.norm(fitted.root(), axis=1)
    _check_columns(fitted)
    profiles = [_Profile(fitted, j) for j in range(len(unit))]
    quantile = np.sqrt(chi2.ppf(level, 1))
    limits = np.array([[profile.limit(-quantile), profile.limit(quantile)] for profile in profiles])
    estimate = fitted.theta
    statistic = np.array([profile.root(t) ** 2 for profile, t in zip(profiles, -estimate / unit, strict=True)])
    return ProfileIntervals(
        names=fitted.parameter_names,
        estimate=estimate.copy(),
        std_error=unit / np.sqrt(fitted.objective.total_weight),
        lower=estimate + unit * limits[:, 0],
        upper=estimate + unit * limits[:, 1],
        statistic=statistic,
        p_value=chi2.sf(statistic, 1),
        level=float(level),
    )


def _check_likelihood(fitted):
    """Refuse what has no likelihood to profile, or more than that."""
    loss, objective = fitted.loss, fitted.objective
    if not loss.has_likelihood or loss.has_dispersion:
        raise ValueError(
            f"profile_intervals needs a likelihood without a dispersion to estimate, which {fitted.name} has not"
        )
    if np.any(objective.penalty):
        raise ValueError("profile_intervals needs a fit without a penalty: C=np.inf, or alpha=0")
    if loss.n_outputs > 1:
        raise ValueError("profile_intervals needs one linear predictor: a model of two classes, or of one count")


def _check_columns(fitted):
    flat = fitted.objective.flat_directions()
    if flat:
        raise ValueError(f"profile_intervals needs independent columns, but {'; '.join(flat)}: drop such columns")


class _Profile:
    """The objective over all parameters but one, as a function of that one.

    In the coordinates u of a factor P of the Hessian, theta = estimate + P u, the parameter is estimate + |row| t for
    u = direction t + complement w; w is fitted for each t. Curvature there is about one, whatever the columns' units.
    """

    def __init__(self, fitted, index):
        self._objective, self._estimate = fitted.objective, fitted.theta
        self._name = fitted.parameter_names[index]
        self._factor = fitted.factor()
        row = self._factor.dense()[index]
        self._direction, self._complement = row / np.linalg.norm(row), null_space(row[None, :])
        #: held values -> (fitted w, value)
        self._known = {0.0: (np.zeros(self._complement.shape[1]), self._value_and_gradient(0.0, None)[0])}

    def _theta(self, t, w):
        u = self._direction * t if w is None else self._direction * t + self._complement @ w
        return self._estimate + self._factor.apply(u)

    def _value_and_gradient(self, t, w):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value, gradient = self._objective.value_and_gradient(self._theta(t, w))
        return value, self._complement.T @ self._factor.transpose(gradient)

    def _hessian(self, t, w):
        H = self._objective.hessian_matrix(self._theta(t, w), factor=self._factor)
        return self._complement.T @ H @ self._complement

    def _nearest(self, t):
        """The held values that were fitted, the nearest first."""
        return sorted(self._known, key=lambda known: abs(known - t))

    def _start(self, t):
        """Where the fit at t begins: on the line through the two nearest fits."""
        near, *others = self._nearest(t)[:2]
        w = self._known[near][0]
        if not others:
            return w
        return w + (self._known[others[0]][0] - w) * (t - near) / (others[0] - near)

    def _fit(self, t):
        """Fit w with the parameter held at t; whether it was possible from the former fits."""
        start = self._start(t)
        value = self._value_and_gradient(t, start)[0]
        if not np.isfinite(value):
            return False
        if not start.size:
            self._known[t] = start, value
            return True
        objective = FunctionObjective(
            lambda w: self._value_and_gradient(t, w), jac=True, hess=lambda w: self._hessian(t, w)
        )
        best = self._known[0.0][1]
        objective.scale = max(0.5 / self._objective.total_weight, _LEAST_SCALE * abs(best))
        result = minimize(objective, start, Newton(), tol=_TOL)
        if result.status not in ("optimal", "stalled"):
            raise ValueError(f"profile_intervals: the fit with {self._name} held at a value failed. {result.message}")
        self._known[t] = result.x, result.fun
        return True

    def root(self, t):
        """The signed root of twice the loss of log-likelihood at ``t``: about t times the root of the total weight.

        Infinite where the likelihood is zero to rounding.
        """
        share = 1.0
        while t not in self._known:
            near = self._nearest(t)[0]
            stride = share * self._stride(near)
            fitted = self._fit(t if abs(t - near) <= stride else near + np.copysign(stride, t - near))
            share = 1.0 if fitted else share / 2
            if share < _LEAST_SHARE:
                return np.copysign(np.inf, t)
        lost = self._known[t][1] - self._known[0.0][1]
        return np.copysign(np.sqrt(2 * self._objective.total_weight * max(lost, 0.0)), t)

    def _stride(self, t):
        """How far from ``t`` the next fit may be: strides double on the way out."""
        return max(abs(t), _STRIDE / np.sqrt(self._objective.total_weight))

    def limit(self, quantile):
        """The t whose `root` is ``quantile``; infinite where there is none."""
        inside, outside = 0.0, np.copysign(self._stride(0.0), quantile)
        for _ in range(_MOST_DOUBLINGS):
            if abs(self.root(outside)) >= abs(quantile):
                return brentq(lambda t: self.root(t) - quantile, inside, outside, xtol=_LIMIT_TOL * abs(outside))
            inside, outside = outside, 2 * outside
        return np.copysign(np.inf, quantile)
