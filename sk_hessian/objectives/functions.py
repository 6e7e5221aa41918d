"""A user's own function, or residuals, as an objective."""

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives import factors
from sk_hessian.objectives.contract import Objective

#: differences of two values below this share of them are rounding (as in scikit-learn's and glum's line searches)
NOISE = 16 * np.finfo(float).eps

#: up to so many parameters the Hessian is formed as a matrix
MAX_DENSE = 500

#: curvatures below this share of the largest are treated as this large: flat there says little about elsewhere
_CURVATURE_FLOOR = 1e-8


class FunctionObjective(Objective):
    """A smooth function of a flat parameter vector, with scipy's conventions.

    What is missing is found by central finite differences: a gradient costs 2 p evaluations of ``fun`` and keeps
    about ten digits, a Hessian costs 2 p gradients (a product costs two); pass ``jac`` where you can.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> float``, or ``fun(theta) -> (float, gradient)`` with ``jac=True``.
    jac : callable or True, optional
        ``jac(theta) -> ndarray of shape (p,)``.
    hess : callable, optional
        ``hess(theta) -> ndarray of shape (p, p)``.
    hessp : callable, optional
        ``hessp(theta, v) -> ndarray of shape (p,)``, the Hessian times v; used where ``hess`` is not given.
    """

    def __init__(self, fun, jac=None, hess=None, hessp=None):
        for name, given in (("fun", fun), ("hess", hess), ("hessp", hessp)):
            if given is not None and not callable(given):
                raise TypeError(f"{name} must be callable, got {type(given).__name__}")
        if not (jac is None or jac is True or callable(jac)):
            raise TypeError(f"jac must be callable, True or None, got {jac!r}")
        self.fun, self.jac, self.hess, self.hessp = fun, jac, hess, hessp

    def _value(self, theta):
        value = self.fun(theta.copy())
        return float(value[0] if self.jac is True else value)

    def _gradient(self, theta):
        if callable(self.jac):
            return np.array(self.jac(theta.copy()), dtype=float).reshape(theta.shape)
        if self.jac is True:
            return np.array(self.fun(theta.copy())[1], dtype=float).reshape(theta.shape)
        return _central_differences(self._value, theta)

    def value_and_gradient(self, theta):
        """See `Objective.value_and_gradient`; a value that is not finite counts as +inf."""
        if self.jac is True:
            value, gradient = self.fun(theta.copy())
            value, gradient = float(value), np.array(gradient, dtype=float).reshape(theta.shape)
        else:
            value = self._value(theta)
            gradient = self._gradient(theta) if np.isfinite(value) else np.zeros_like(theta)
        return (value if np.isfinite(value) else np.inf), gradient

    def noise(self, theta, value):
        """See `Objective.noise`."""
        return NOISE * abs(value)

    def hessian(self, theta, kind="observed"):
        """See `Objective.hessian`."""
        _refuse_expected(kind)
        if self.hessp is not None and self.hess is None:

            def product(v):
                return np.ravel(self.hessp(theta.copy(), np.ravel(v)))
        elif self.hess is not None:
            matrix = self.hessian_matrix(theta)

            def product(v):
                return matrix @ np.ravel(v)
        else:

            def product(v):
                return _directional_difference(self._gradient, theta, np.ravel(v))

        return LinearOperator((theta.size,) * 2, matvec=product, rmatvec=product, dtype=float)

    def hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_matrix`."""
        _refuse_expected(kind)
        if self.hess is not None:
            H = np.array(self.hess(theta.copy()), dtype=float).reshape(theta.size, theta.size)
        elif self.hessp is not None:
            H = np.stack([np.ravel(self.hessp(theta.copy(), e)) for e in np.eye(theta.size)])
        else:
            H = _central_differences(self._gradient, theta)
        H = 0.5 * (H + H.T)
        return H if factor is None else factor.inner.congruence(H)

    def forms_hessian(self, n_parameters):
        """See `Objective.forms_hessian`."""
        return n_parameters <= MAX_DENSE

    def _resolve(self, kind, n_parameters):
        if kind == "auto":
            return "full" if self.forms_hessian(n_parameters) else None
        if kind not in ("full", "diagonal"):
            raise ValueError(
                f"precondition={kind!r} is not available for a function; choose from ('auto', None, 'full', 'diagonal')"
            )
        return kind

    def preconditioner(self, theta, kind="auto", curvature="observed"):
        """See `Objective.preconditioner`; from the Hessian's absolute value (eigenvalues without their signs).

        References
        ----------
        .. [1] Y. Dauphin et al., "Identifying and attacking the saddle point problem in high-dimensional non-convex
           optimization", 2014.
        """
        kind = self._resolve(kind, theta.size)
        if kind is None:
            return None
        if kind == "diagonal":
            size = np.nan_to_num(np.abs(self.hessian_diagonal(theta, curvature)))
            size = np.maximum(size, _CURVATURE_FLOOR * size.max()) if size.any() else np.ones(theta.size)
            return factors.PointFactor(factors.Diagonal(1 / np.sqrt(size)), theta, None, False)
        H = self.hessian_matrix(theta, curvature)
        if not np.isfinite(H).all():
            return None
        values, vectors = eigh(H)
        is_positive = values.min() > _CURVATURE_FLOOR * np.abs(values).max()
        size = np.abs(values) if values.any() else np.ones(theta.size)
        inner = factors.Spectral(size, vectors, np.ones(theta.size))
        certifies = bool(is_positive) and self.is_exact(curvature)
        return factors.PointFactor(inner, theta, curvature if is_positive else None, certifies)


class LeastSquaresObjective(FunctionObjective):
    """Half the sum of squared residuals, with the conventions of `scipy.optimize.least_squares`.

    The curvature by default is Gauss-Newton's J'J, so that ``minimize(..., Newton())`` is the method of Levenberg and
    Marquardt. The tolerance is relative to the sum of squares itself, with a floor of a rounding of the first one.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> ndarray of shape (m,)``.
    jac : callable, optional
        ``jac(theta) -> ndarray or sparse matrix of shape (m, p)``; central differences without it.

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

    def __init__(self, fun, jac=None):
        for name, given in (("fun", fun), ("jac", jac)):
            if not (callable(given) or (given is None and name == "jac")):
                raise TypeError(f"{name} must be callable, got {given!r}")
        super().__init__(fun, jac)
        self._latest = None

    def scale_at(self, value, first_value):
        """See `Objective.scale_at`: what is left, with a floor of a rounding of the first value."""
        return max(value, np.finfo(float).eps * first_value, np.finfo(float).tiny)

    def _residuals(self, theta):
        residuals = np.atleast_1d(np.array(self.fun(theta.copy()), dtype=float))
        if residuals.ndim != 1:
            raise ValueError(f"fun must return a 1-D array of residuals, got shape {residuals.shape}")
        return residuals

    def _jacobian(self, theta):
        if self.jac is None:
            return _central_differences(self._residuals, theta).T
        J = self.jac(theta.copy())
        J = sparse.csr_array(J) if sparse.issparse(J) else np.atleast_2d(np.array(J, dtype=float))
        if J.ndim != 2 or J.shape[1] != theta.size:
            raise ValueError(f"jac must return an array of shape (m, {theta.size}), got shape {J.shape}")
        return J

    def _linearised(self, theta):
        """Residuals and their Jacobian; the latest are kept, for a step asks for both at the same point."""
        if self._latest is None or not np.array_equal(self._latest[0], theta):
            residuals, J = self._residuals(theta), self._jacobian(theta)
            if J.shape[0] != residuals.size:
                raise ValueError(f"jac must return one row for each of {residuals.size} residuals, got {J.shape[0]}")
            self._latest = theta.copy(), residuals, J
        return self._latest[1:]

    def value_and_gradient(self, theta):
        """See `Objective.value_and_gradient`; a residual that is not finite counts as +inf."""
        with np.errstate(over="ignore", invalid="ignore"):
            residuals = self._residuals(theta)
            value = 0.5 * float(residuals @ residuals)
            if not np.isfinite(value):
                return np.inf, np.zeros_like(theta)
            residuals, J = self._linearised(theta)
            return value, J.T @ residuals

    def hessian(self, theta, kind="observed"):
        """See `Objective.hessian`; the second derivatives of residuals by differences."""
        residuals, J = self._linearised(theta)

        def product(v):
            v = np.ravel(v)
            bent = J.T @ (J @ v)
            if kind == "expected":
                return bent
            return bent + _directional_difference(lambda x: self._jacobian(x).T @ residuals, theta, v)

        return LinearOperator((theta.size,) * 2, matvec=product, rmatvec=product, dtype=float)

    def hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_matrix`."""
        residuals, J = self._linearised(theta)
        H = J.T @ J
        H = H.toarray() if sparse.issparse(H) else H
        if kind == "observed":
            # differences of J'r with r held fixed: their error vanishes with the residuals
            second = _central_differences(lambda x: self._jacobian(x).T @ residuals, theta)
            H = H + 0.5 * (second + second.T)
        return H if factor is None else factor.inner.congruence(H)


def _refuse_expected(kind):
    if kind == "expected":
        raise ValueError(
            "a function has no expected (Gauss-Newton) curvature, as residuals and likelihoods have: use the observed "
            'one, kind="observed", or of a solver hessian="exact"'
        )


def _steps(theta, order):
    """Steps that balance truncation against rounding: eps^(1/3) for central differences, in units of theta."""
    return np.finfo(float).eps ** (1 / order) * np.maximum(1.0, np.abs(theta))


def _central_differences(function, theta):
    """Derivative of ``function`` in each parameter, stacked along the first axis."""
    rows = []
    for i, step in enumerate(_steps(theta, 3)):
        shift = np.zeros_like(theta)
        shift[i] = step
        rows.append((np.asarray(function(theta + shift)) - function(theta - shift)) / (2 * step))
    return np.stack(rows)


def _directional_difference(function, theta, v):
    size = np.abs(v).max(initial=0.0)
    if size == 0:
        return np.zeros_like(theta)
    step = _steps(theta, 3).max() / size
    return (function(theta + step * v) - function(theta - step * v)) / (2 * step)
