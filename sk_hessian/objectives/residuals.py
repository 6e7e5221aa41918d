"""Residuals of a user's own, whose squares are summed, as an objective."""

from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import eigh

from sk_hessian._facts import lasting_fact
from sk_hessian.objectives.evaluation import EPS
from sk_hessian.objectives.functions import FunctionEvaluation, FunctionObjective
from sk_hessian.objectives.uncertainty import root_of_jacobian

#: roundings of a sum of squares, whose residuals may be differences of larger terms
_LEAST_SQUARES_NOISE = 2**12 * EPS

#: of the Jacobian by differences, in roundings of one; and sums of squares, in squares of one
_ROUNDINGS = 10
_PERFECT = 16


class LeastSquaresObjective(FunctionObjective):
    """Half the sum of squared residuals, with the conventions of `scipy.optimize.least_squares`.

    The curvature by default is Gauss-Newton's J'J, so that ``minimize(..., Newton())`` is the method of Levenberg and
    Marquardt. The tolerance is relative to the sum of squares itself.

    Parameters
    ----------
    fun : callable
        ``fun(theta, *args) -> ndarray of shape (m,)``.
    jac : callable, optional
        ``jac(theta, *args) -> ndarray or sparse matrix of shape (m, p)``; central differences without it.
    args, x_scale, diff_step
        As in `FunctionObjective`.

    References
    ----------
    .. [1] D. Bates, D. Watts, "A relative offset orthogonality convergence criterion for nonlinear least squares",
       Technometrics 23(2), 1981.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.solvers import minimize
    >>> t = np.arange(5.0)
    >>> decay = LeastSquaresObjective(lambda x: x[0] * np.exp(-x[1] * t) - 3 * np.exp(-0.5 * t))
    >>> minimize(decay, [1.0, 1.0]).x.round(6)
    array([3. , 0.5])
    """

    curvature = "expected"
    lower_bound = 0.0

    def __init__(self, fun, jac=None, *, args=(), x_scale="jac", diff_step=None):
        for name, given in (("fun", fun), ("jac", jac)):
            if not (callable(given) or (given is None and name == "jac")):
                raise TypeError(f"{name} must be callable, got {given!r}")
        super().__init__(fun, jac, args=args, x_scale=x_scale, diff_step=diff_step)

    def at(self, theta):
        """See `Objective.at`."""
        return ResidualEvaluation(self, theta)

    def scale_at(self, value, first_value):
        """See `Objective.scale_at`: what is left."""
        return max(value, np.finfo(float).tiny)

    def residuals(self, theta):
        """What the user's function says, shape (m,)."""
        residuals = np.atleast_1d(np.array(self.fun(theta.copy(), *self.args), dtype=float))
        if residuals.ndim != 1:
            raise ValueError(f"fun must return a 1-D array of residuals, got shape {residuals.shape}")
        return residuals

    def _differenced(self, theta):
        """See `FunctionObjective._differenced`."""
        return self.residuals(theta) if self.jac is None else self.at(theta).gradient

    def jacobian(self, theta):
        """Their Jacobian, an array or a sparse matrix of shape (m, p)."""
        if self.jac is None:
            return self.differences.first(self.residuals, theta).T
        J = self.jac(theta.copy(), *self.args)
        J = sparse.csr_array(J) if sparse.issparse(J) else np.atleast_2d(np.array(J, dtype=float))
        if J.ndim != 2 or J.shape[1] != theta.size:
            raise ValueError(f"jac must return an array of shape (m, {theta.size}), got shape {J.shape}")
        return J


class ResidualEvaluation(FunctionEvaluation):
    """Residuals and their Jacobian at a point."""

    @cached_property
    def residuals(self):
        """Shape (m,)."""
        return self.objective.residuals(self.theta)

    @cached_property
    def jacobian(self):
        """An array or a sparse matrix of shape (m, p)."""
        J = self.objective.jacobian(self.theta)
        if J.shape[0] != self.residuals.size:
            raise ValueError(f"jac must return one row for each of {self.residuals.size} residuals, got {J.shape[0]}")
        return J

    @lasting_fact
    def value(self):
        """See `Evaluation`; a residual that is not finite counts as +inf."""
        with np.errstate(over="ignore", invalid="ignore"):
            value = 0.5 * float(self.residuals @ self.residuals)
        return value if np.isfinite(value) else np.inf

    @lasting_fact
    def gradient(self):
        """See `Evaluation`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.jacobian.T @ self.residuals if np.isfinite(self.value) else np.zeros_like(self.theta)

    @property
    def noise(self):
        """See `Evaluation.noise`: of the sum, and of residuals whose summands are of the size of J theta."""
        rounding = EPS * self._summands
        own = float(np.abs(self.residuals) @ rounding) + 8 * float(rounding @ rounding)
        return _LEAST_SQUARES_NOISE * self.value + own

    @cached_property
    def _summands(self):
        """The size of what each residual is a difference of: a lower bound, by the derivatives."""
        return abs(self.jacobian) @ np.abs(self.theta)

    @cached_property
    def floor(self):
        """See `Evaluation.floor`: e'(J'J)^-1 e / 2 of errors e of the gradient J'r, of any signs."""
        sizes = np.abs(self.residuals)
        error = EPS * (abs(self.jacobian).T @ sizes)
        if self.objective.jac is None:
            error += EPS ** (2 / 3) * (sizes @ self._summands) / self.objective.differences.sizes(self.theta)
        H = self.hessian_matrix("expected")
        unit = self.units(H)
        values, vectors = eigh(unit[:, None] * H * unit)
        # along directions that rounding of J'J hides, nothing is known of errors: they must not excuse a gradient
        seen = values > self.theta.size * EPS * values[-1]
        return 0.5 * float(np.sum((vectors[:, seen] ** 2 / values[seen]).T @ (unit * error) ** 2))

    # -- curvature ------------------------------------------------------------------------------------------------

    def _product(self, kind, v):
        """See `FunctionEvaluation._product`; the second derivatives of residuals by differences."""
        objective, v = self.objective, np.ravel(v)
        bent = self.jacobian.T @ (self.jacobian @ v)
        if kind == "expected":
            return bent
        return bent + objective.differences.along(self._held_gradient, self.theta, v, objective.jac is None)

    def _held_gradient(self, x):
        """The gradient at ``x`` with the residuals held at those of this point."""
        objective = self.objective
        no_jac = objective.jac is None
        J = objective.differences.first(objective.residuals, x, True).T if no_jac else objective.jacobian(x)
        return J.T @ self.residuals

    def _matrix_of(self, kind):
        return self._gauss_newton if kind == "expected" else self._matrix

    @cached_property
    def _gauss_newton(self):
        H = self.jacobian.T @ self.jacobian
        return H.toarray() if sparse.issparse(H) else H

    @cached_property
    def _matrix(self):
        return self._gauss_newton + self._bend()

    def _bend(self):
        """sum_i r_i times the Hessian of residual i, with r held fixed: its error vanishes with the residuals."""
        objective, residuals = self.objective, self.residuals
        if objective.jac is None:
            return objective.differences.second(lambda x: residuals @ objective.residuals(x), self.theta)
        second = objective.differences.first(self._held_gradient, self.theta)
        return 0.5 * (second + second.T)

    def _resolved_curvature(self):
        return EPS ** (1 / 2 if self.objective.jac is None else 2 / 3) * float(self.residuals @ self.residuals)

    # -- uncertainty --------------------------------------------------------------------------------------------------

    def covariance_root(self):
        """S with S S' the inverse of J'J, shape (p, p): times the dispersion the covariance of least squares."""
        J = self.jacobian.toarray() if sparse.issparse(self.jacobian) else self.jacobian
        rounding = max(J.shape) * EPS if self.objective.jac is not None else _ROUNDINGS * EPS ** (2 / 3)
        return root_of_jacobian(J, self.objective.parameter_names(self.theta.size), rounding)

    def dispersion(self):
        """The sum of squares over its degrees of freedom, and these."""
        n, p = self.residuals.size, self.theta.size
        if n <= p:
            raise ValueError(
                f"covariance: {n} residuals leave none beside {p} parameters to estimate the dispersion: pass "
                "dispersion=1 where residuals are in units of their known standard deviation"
            )
        rounding = EPS * self._summands
        if 2 * self.value <= _PERFECT * float(rounding @ rounding):
            raise ValueError("covariance: the fit is perfect: the residuals, and so the dispersion, are rounding")
        return 2 * self.value / (n - p), float(n - p)

    # -- influence ------------------------------------------------------------------------------------------------

    def _influences(self):
        return np.sqrt(np.ravel((abs(self.jacobian) ** 2).sum(axis=0))), np.linalg.norm(self.residuals)

    def both_derivatives(self):
        """See `FunctionEvaluation.both_derivatives`; of the residuals."""
        J = self.jacobian.toarray() if sparse.issparse(self.jacobian) else self.jacobian
        found = self.objective.differences.first(self.objective.residuals, self.theta)
        return J.T, found, np.linalg.norm(self.residuals)
