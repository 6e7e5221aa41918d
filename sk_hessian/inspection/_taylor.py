"""The second-order Taylor model of an objective, and how far it can be trusted."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import cg

from sk_hessian._report import Report, number_text, vector_text
from sk_hessian._text import listed
from sk_hessian.inspection._checks import check_choice, check_point, finite, finite_value
from sk_hessian.inspection._hessian import KINDS, HessianOperator, locate
from sk_hessian.inspection._spectrum import MAX_DENSE
from sk_hessian.inspection._standardised import Standardised, accuracy
from sk_hessian.inspection._stationary_point import two_ends
from sk_hessian.objectives import FunctionObjective, Objective

#: lengths that a search for the radius tries, in doublings of the direction, and its bisections
_SHORTEST, _FIRST, _LONGEST, _BISECTIONS = -50, -10, 30, 40

#: share of the gradient that may lie along flat directions where there is a minimiser: its rounding
_ALONG_FLAT = 1e-6

#: relative residual of a Newton step by conjugate gradients, and its most products for each parameter
_CG_TOL, _CG_PRODUCTS = 1e-10, 2


@dataclass(frozen=True, eq=False, repr=False)
class TaylorModel(Report):
    """F(theta0) + g'd + d'Hd / 2 for d = theta - theta0; a call evaluates it.

    Attributes
    ----------
    theta0 : ndarray of shape (n_parameters,)
    value : float
        F(theta0).
    gradient : ndarray of shape (n_parameters,)
        g.
    hessian : HessianOperator
        H.
    objective : Objective
        F: the weighted mean loss plus half the L2 penalty for models.
    parameter_names : list of str
    """

    theta0: np.ndarray
    value: float
    gradient: np.ndarray = field(repr=False)
    hessian: HessianOperator = field(repr=False)
    objective: Objective = field(repr=False)
    parameter_names: list = field(repr=False)

    def _title(self):
        return "F(theta0) + g'd + d'Hd / 2, d = theta - theta0"

    def _header(self):
        return [
            ("parameters", f"{self.theta0.size}: {listed(self.parameter_names, ', ')}"),
            ("theta0", vector_text(self.theta0)),
            ("F(theta0)", number_text(self.value)),
            ("g, largest entry", f"{np.abs(self.gradient).max():.3g}"),
            ("H", self.hessian.kind),
        ]

    def __call__(self, theta):
        """The model's value.

        Parameters
        ----------
        theta : array-like of shape (n_parameters,)

        Returns
        -------
        float
        """
        return self.value - self.predicted_decrease(theta)

    def predicted_decrease(self, theta: ArrayLike) -> float:
        """The model's value at theta0 less that at ``theta``.

        Parameters
        ----------
        theta : array-like of shape (n_parameters,)

        Returns
        -------
        float
        """
        return -sum(self._terms(self._step_to(theta)))

    def actual_decrease(self, theta: ArrayLike) -> float:
        """The objective's value at theta0 less that at ``theta``; -inf outside its domain.

        Parameters
        ----------
        theta : array-like of shape (n_parameters,)

        Returns
        -------
        float
        """
        with np.errstate(all="ignore"):
            return self.value - self.objective.value_and_gradient(self.theta0 + self._step_to(theta))[0]

    def ratio(self, theta: ArrayLike) -> float:
        """Actual over predicted decrease: one where the model is right, and what trust regions go by.

        Parameters
        ----------
        theta : array-like of shape (n_parameters,)

        Returns
        -------
        float
            nan where the model predicts no change.
        """
        predicted = self.predicted_decrease(theta)
        return self.actual_decrease(theta) / predicted if predicted else np.nan

    @cached_property
    def minimiser(self) -> np.ndarray | None:
        """Where the model is least: theta0 - H^-1 g, the Newton point, shape (n_parameters,).

        None where the model has no minimum: H has a negative eigenvalue (in standardised units, beyond what counts
        as zero in `stationary_point`), or is flat along a part of the gradient. Of several minimisers it is the one
        with no part along flat directions.
        """
        units = Standardised(self.objective, self.theta0)
        kind, slope = KINDS[self.hessian.kind], units.transpose(self.gradient)
        if self.theta0.size <= MAX_DENSE:
            step = _by_eigenvalues(units, kind, slope, self.objective.at(self.theta0).noise)
        else:
            step = _by_products(units, kind, slope)
        return None if step is None else self.theta0 - units.to_theta(step)

    def radius(self, tolerance: float = 0.1, direction: ArrayLike | None = None) -> float:
        """How far along a direction the model can be trusted.

        The largest t, as far as doublings and bisection find it, up to which ::

            |model - F| <= tolerance (t |g'd| + t^2 |d'Hd| / 2)

        at theta0 + t d, rounding apart. The right-hand side is the size of the model's own terms, so that nothing
        depends on units, and the error, of third order, grows faster.

        Parameters
        ----------
        tolerance : float, default=0.1
        direction : array-like of shape (n_parameters,), optional
            d, by default the Newton step: a radius of one then reaches the `minimiser`.

        Returns
        -------
        float
            In multiples of the direction; inf where the model holds up to 2^30 of it, as of a quadratic objective.

        Raises
        ------
        ValueError
            For a tolerance that is not positive, a direction of zeros, and where there is no Newton step to take.
        """
        if not 0 < tolerance < np.inf:
            raise ValueError(f"tolerance must be a positive number, got {tolerance!r}")
        d = self._newton_step() if direction is None else check_point(direction, self.theta0.size, "direction")
        if not d.any():
            raise ValueError("direction must not be zero: theta0 is the minimiser already, or pass another one")
        linear, quadratic = self._terms(d)
        own = self.objective.at(self.theta0).noise

        def holds(t):
            theta = self.theta0 + t * d
            here, model = self.objective.at(theta), self.value + t * linear + t**2 * quadratic
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                value = here.value
                noise = here.noise + own if np.isfinite(value) else 0.0
            return abs(model - value) <= tolerance * (t * abs(linear) + t**2 * abs(quadratic)) + noise

        return _last(holds)

    def _newton_step(self):
        if self.minimiser is None:
            raise ValueError("the model has no minimum, so that there is no Newton step: pass a direction")
        return self.minimiser - self.theta0

    def _terms(self, d):
        return float(self.gradient @ d), 0.5 * float(d @ self.hessian.matvec(d))

    def _step_to(self, theta):
        return check_point(theta, self.theta0.size) - self.theta0


def taylor_model(
    estimator: Any,
    X: Any = None,
    y: ArrayLike | None = None,
    *,
    theta: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    kind: str = "observed",
    **fit_data: ArrayLike | None,
) -> TaylorModel:
    """The second-order Taylor model of an objective at a point, the model that Newton's method minimises.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian, or Objective
    X, y
        The rows, for an estimator.
    theta : array-like of shape (n_parameters,), optional
        The point theta0, by default the fitted parameters; needed for an objective.
    sample_weight : array-like of shape (n_samples,), optional
        That of the fit.
    kind : {"observed", "expected", "gauss-newton"}, default="observed"
        The curvature of the model, see `hessian`; all but "observed" make it Gauss-Newton's or Fisher scoring's.
    **fit_data
        What else the fit was given for each row: ``offset``, of shape (n_samples,) or (n_samples, n_outputs). And
        ``names`` (sequence of str): what the columns are called, for an X without names.

    Returns
    -------
    TaylorModel

    Raises
    ------
    ValueError, TypeError
        For bad rows, kind or theta, and where the objective is not finite at theta.

    References
    ----------
    .. [1] J. Nocedal, S. Wright, "Numerical Optimization", 2nd ed., 2006, chapters 2 and 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.objectives import FunctionObjective
    >>> bowl = FunctionObjective(lambda x: np.cosh(x[0]), jac=np.sinh, hess=lambda x: np.diag(np.cosh(x)))
    >>> model = taylor_model(bowl, theta=[1.0])
    >>> model.minimiser.round(4), round(model.ratio(model.minimiser), 4), round(model.radius(0.1), 4)
    (array([0.2384]), 1.1497, 1.7635)
    """
    check_choice("kind", kind, KINDS)
    objective, theta0 = locate(estimator, X, y, theta, sample_weight=sample_weight, **fit_data)
    if kind != "observed" and type(objective) is FunctionObjective:
        raise ValueError(f'kind={kind!r} needs a model or residuals; for a function use kind="observed"')
    value, gradient = finite_value(objective, theta0)
    H = HessianOperator(objective, theta0, kind)
    return TaylorModel(theta0, value, gradient, H, objective, H.parameter_names)


def _by_eigenvalues(units, kind, slope, noise):
    """H^-1 slope in standardised units, without flat directions; None where the model has no minimum.

    Along flat directions a slope is rounding that would not change the value beyond its ``noise`` if they were curved.
    """
    values, vectors = np.linalg.eigh(finite(units.matrix(kind, without_symmetries=True)))
    largest = np.abs(values).max()
    along = vectors.T @ slope
    # a small eigenvalue is no rounding where the columns are centred: only what is zero or negative is not divided by
    is_flat = values <= len(values) * np.finfo(float).eps * largest
    rounding = max(_ALONG_FLAT * np.linalg.norm(along), np.sqrt(2 * noise * largest))
    if values[0] < -accuracy(units.objective)[1] * largest or np.linalg.norm(along[is_flat]) > rounding:
        return None
    return vectors @ np.where(is_flat, 0.0, along / np.where(is_flat, 1.0, values))


def _by_products(units, kind, slope):
    """The same by conjugate gradients."""
    H = units.operator(kind, without_symmetries=True)
    if not (units.objective.convex or kind == "expected"):
        zero = accuracy(units.objective)[1]
        values = two_ends(H, zero)[0]
        if values[0] < -zero * np.abs(values).max():
            return None
    step, failed = cg(H, slope, rtol=_CG_TOL, maxiter=_CG_PRODUCTS * len(slope))
    if failed:
        raise ValueError(
            f"conjugate gradients did not find the Newton step of {len(slope)} parameters; pass a direction"
        )
    return step


def _last(holds):
    """The largest t that holds, by doublings and bisection."""
    doublings = range(_FIRST, _LONGEST + 1)
    if holds(2.0**_FIRST):
        failed = next((i for i in doublings if not holds(2.0**i)), None)
        if failed is None:
            return np.inf
        low = 2.0 ** (failed - 1)
    else:
        found = next((i for i in range(_FIRST - 1, _SHORTEST, -1) if holds(2.0**i)), None)
        if found is None:
            return 0.0
        low = 2.0**found
    high = 2 * low
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
