"""A user's own function, or residuals, as an objective."""

import copy
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator

from sk_hessian._facts import lasting_fact
from sk_hessian._report import Report
from sk_hessian.objectives import factors
from sk_hessian.objectives._differences import Differences
from sk_hessian.objectives.contract import Facts, Objective
from sk_hessian.objectives.coordinates import PointFactor
from sk_hessian.objectives.evaluation import EPS, Evaluation
from sk_hessian.objectives.uncertainty import root_of_hessian

#: differences of two values below this share of them are rounding (as in scikit-learn's and glum's line searches)
NOISE = 16 * EPS

#: curvatures in natural units below this share of the largest are treated as this large: flat there says little
_CURVATURE_FLOOR = 1e-8

#: ratios by which parameters without influence are changed, to see whether they have some elsewhere
_PROBED = (0.1, 10.0, 0.01, 100.0)

#: sweeps of equilibration where a diagonal entry is small beside its row; each halves what is left in the exponent
_SWEEPS = 4

#: lengths of a step that are tried until it is about a standard error; a rise of the function below this counts as this
_MOST_LENGTHS = 20
_LEAST_RISE = 1e-3

#: roundings that an eigenvalue of one may have
_ROUNDINGS = 10

#: a gradient that differs by this share from differences, beyond their own error, is wrong
_DISAGREES = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class GradientCheck(Report):
    """A user's derivatives against central differences."""

    agrees: bool  #: whether no parameter's derivative differs by more than the differences' own error and a thousandth
    #: the relative difference for each parameter, (p,); of residuals, that of the column of the Jacobian
    error: np.ndarray
    message: str  #: one sentence that names the worst parameter

    def _title(self):
        return self.message


class FunctionObjective(Objective):
    """A smooth function of a flat parameter vector, with scipy's conventions.

    What is missing is found by central finite differences: a gradient costs 2 p evaluations of ``fun`` and keeps
    about ten digits, a Hessian costs 2 p gradients, or 2 p^2 evaluations (a product costs two gradients); pass ``jac``
    where you can.

    Parameters
    ----------
    fun : callable
        ``fun(theta, *args) -> float``, or ``fun(theta, *args) -> (float, gradient)`` with ``jac=True``.
    jac : callable or True, optional
        ``jac(theta, *args) -> ndarray of shape (p,)``.
    hess : callable, optional
        ``hess(theta, *args) -> ndarray of shape (p, p)``.
    hessp : callable, optional
        ``hessp(theta, v, *args) -> ndarray of shape (p,)``, the Hessian times v; used where ``hess`` is not given.
    args : tuple, default=()
        Further arguments of all four.
    x_scale : "jac", float or array-like of shape (p,), default="jac"
        The unit of each parameter. "jac": the inverse root of its curvature, so that a result does not depend on the
        units of the parameters (up to 500 of them).
    diff_step : float or array-like of shape (p,), optional
        Steps of finite differences, relative to the parameters; None for the powers of the machine precision that
        suit each derivative. A parameter at zero has the size that it has at the start of a run, or else one.
    """

    def __init__(self, fun, jac=None, hess=None, hessp=None, *, args=(), x_scale="jac", diff_step=None):
        for name, given in (("fun", fun), ("hess", hess), ("hessp", hessp)):
            if given is not None and not callable(given):
                raise TypeError(f"{name} must be callable, got {type(given).__name__}")
        if not (jac is None or jac is True or callable(jac)):
            raise TypeError(f"jac must be callable, True or None, got {jac!r}")
        self.fun, self.jac, self.hess, self.hessp = fun, jac, hess, hessp
        self.args = args if isinstance(args, tuple) else (args,)
        self.x_scale = None if isinstance(x_scale, str) and x_scale == "jac" else _positive("x_scale", x_scale)
        share = None if diff_step is None else _positive("diff_step", diff_step)
        self.differences = Differences(share, 0.0 if self.x_scale is None else self.x_scale)
        of = "nothing" if hess or hessp else "gradients" if jac else "values"
        self.facts = Facts(differences_of=of)

    def begun(self, theta, feasible=None):
        """See `Objective.begun`: with sizes for the parameters that may cross zero on the way, and steps that suit."""
        for name, given in (("x_scale", self.x_scale), ("diff_step", self.differences.share)):
            if given is not None and given.size not in (1, theta.size):
                raise ValueError(f"{name} has {given.size} entries, but there are {theta.size} parameters")
        run = copy.copy(self)
        if self.x_scale is None:
            run.differences = Differences(self.differences.share, self.differences.sizes(theta))
        if feasible is not None:
            run.differences = run.differences.within(feasible.low, feasible.high)
        if self.facts.differences_of != "nothing":
            with np.errstate(all="ignore"):
                run.differences = run.differences.adapted(self._differenced, theta)
        return run

    def _differenced(self, theta):
        """What differences are taken of: the value, or the gradient, which may be anything outside the domain."""
        return self.value(theta) if self.jac is None else self.gradient(theta)

    def at(self, theta):
        """See `Objective.at`."""
        return FunctionEvaluation(self, theta)

    def remedy(self, status):
        """See `Objective.remedy`."""
        if status == "stalled" and self.jac is None:
            return "an exact jac, where differences lose digits"
        return super().remedy(status)

    def value(self, theta):
        """What the user's function says, a float."""
        value = self.fun(theta.copy(), *self.args)
        return _as_number(value[0] if self.jac is True else value)

    def gradient(self, theta, second=False):
        """Its gradient; ``second`` for differences that are differenced again."""
        if callable(self.jac):
            return np.array(self.jac(theta.copy(), *self.args), dtype=float).reshape(theta.shape)
        if self.jac is True:
            return np.array(self.fun(theta.copy(), *self.args)[1], dtype=float).reshape(theta.shape)
        return self.differences.first(self.value, theta, second)

    # -- natural units ------------------------------------------------------------------------------------------------

    def relative_size(self, theta, step):
        """See `Objective.relative_size`."""
        return float(np.max(np.abs(step) / np.maximum(self.differences.sizes(theta), self.differences.typical)))

    # -- a user's derivatives -----------------------------------------------------------------------------------------

    def check_gradient(self, theta):
        """Compare ``jac`` with central differences.

        Parameters
        ----------
        theta : array-like of shape (p,)

        Returns
        -------
        GradientCheck

        Raises
        ------
        ValueError
            Without a ``jac`` there is nothing to check.
        """
        if self.jac is None:
            raise ValueError("jac must be given: without it, gradients are central differences already")
        theta = np.array(theta, dtype=float)
        given, found, level = self.at(theta).both_derivatives()
        size = self.differences.sizes(theta)
        # the differences' own error: a rounding of what is differenced, over the step
        resolution = 10 * EPS ** (2 / 3) * level / size
        off = np.linalg.norm(given - found, axis=1)
        error = off / np.maximum(np.linalg.norm(found, axis=1), np.where(resolution > 0, resolution, 1.0) / _DISAGREES)
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
        agrees = bool(error[worst] <= _DISAGREES)
        name = self.parameter_names(theta.size)[worst]
        state = "agrees with" if agrees else "disagrees with"
        share = f"the largest relative difference is {error[worst]:.1g}, for {name}"
        return GradientCheck(agrees, error, f"jac {state} central differences of fun: {share}.")


class FunctionEvaluation(Evaluation):
    """A user's function at a point."""

    @cached_property
    def _both(self):
        """Value and gradient of a function that returns the two together."""
        value, gradient = self.objective.fun(self.theta.copy(), *self.objective.args)
        return _as_number(value), np.array(gradient, dtype=float).reshape(self.theta.shape)

    @lasting_fact
    def value(self):
        """See `Evaluation`; a value that is not finite counts as +inf."""
        value = self._both[0] if self.objective.jac is True else self.objective.value(self.theta)
        return value if np.isfinite(value) else np.inf

    @lasting_fact
    def gradient(self):
        """See `Evaluation`."""
        if self.objective.jac is True:
            return self._both[1]
        return self.objective.gradient(self.theta) if np.isfinite(self.value) else np.zeros_like(self.theta)

    @property
    def noise(self):
        """See `Evaluation.noise`."""
        return NOISE * abs(self.value)

    # -- curvature ------------------------------------------------------------------------------------------------

    def hessian(self, kind="observed"):
        """See `Evaluation.hessian`."""
        _check_kind(self.objective, kind)
        product = partial(self._product, kind)
        return LinearOperator((self.theta.size,) * 2, matvec=product, rmatvec=product, dtype=float)

    def hessian_matrix(self, kind="observed", factor=None):
        """See `Evaluation.hessian_matrix`."""
        H = self._matrix_of(kind)
        return H.copy() if factor is None else factor.inner.congruence(H)

    def _product(self, kind, v):
        """The Hessian of a kind times ``v``."""
        objective, theta, v = self.objective, self.theta, np.ravel(v)
        if objective.hess is not None:
            return self._matrix @ v
        if objective.hessp is not None:
            return np.ravel(objective.hessp(theta.copy(), v, *objective.args))
        again = objective.jac is None
        return objective.differences.along(lambda x: objective.gradient(x, again), theta, v, again)

    def _matrix_of(self, kind):
        """The Hessian of a kind, which is kept."""
        _check_kind(self.objective, kind)
        return self._matrix

    @cached_property
    def _matrix(self):
        objective, theta = self.objective, self.theta
        if objective.hess is not None:
            H = np.array(objective.hess(theta.copy(), *objective.args), dtype=float).reshape(theta.size, theta.size)
        elif objective.hessp is not None:
            H = np.stack([np.ravel(objective.hessp(theta.copy(), e, *objective.args)) for e in np.eye(theta.size)])
        elif objective.jac is not None:
            H = objective.differences.first(objective.gradient, theta)
        else:
            H = objective.differences.second(objective.value, theta)
        return 0.5 * (H + H.T)

    def factor(self, kind="full", curvature="observed"):
        """See `Evaluation.factor`; from the Hessian's absolute value (eigenvalues without their signs).

        Source: Y. Dauphin et al., "Identifying and attacking the saddle point problem in high-dimensional non-convex
        optimization", 2014.
        """
        if kind not in ("full", "diagonal", "units"):
            self.objective.refuse_kind(kind)
        H = self.hessian_matrix(curvature)
        if not np.isfinite(H).all():
            return None
        unit, outer = self.units(H), factors.Identity(self.theta.size)
        if kind != "full":
            return PointFactor(outer, factors.Diagonal(unit), self)
        values, vectors = eigh(unit[:, None] * H * unit)
        is_positive = values.min() > _CURVATURE_FLOOR * np.abs(values).max()
        size = np.abs(values) if values.any() else np.ones(self.theta.size)
        inner = factors.Spectral(size, vectors, unit)
        certifies = bool(is_positive) and self.objective.is_exact(curvature)
        return PointFactor(outer, inner, self, curvature if is_positive else None, certifies)

    def units(self, H):
        """The unit of each parameter: the inverse root of its curvature in H, no more than rounding lets it see.

        An entry that is small beside its row, as at a saddle of x y, is raised until no entry of the matrix in these
        units exceeds one (D. Ruiz, "A scaling algorithm to equilibrate both rows and columns norms in matrices", 2001).
        """
        objective = self.objective
        if objective.x_scale is not None:
            return np.broadcast_to(objective.x_scale, self.theta.shape).copy()
        sizes = objective.differences.sizes(self.theta)
        seen = np.sqrt(self._resolved_curvature()) / sizes
        root = np.maximum(np.sqrt(np.abs(H.diagonal())), seen)
        root = np.where(root > 0, root, 1 / sizes)
        for _ in range(_SWEEPS):
            root *= np.sqrt(np.maximum(1.0, (np.abs(H) / root / root[:, None]).max(axis=1)))
        return 1 / root

    def _resolved_curvature(self):
        """The least second derivative, in sizes of the parameters, that is no rounding."""
        objective = self.objective
        order = 1 if objective.hess is not None or objective.hessp is not None else 1 / 2
        if order < 1 and objective.jac is not None:
            order = 2 / 3
        return EPS**order * abs(self.value)

    # -- uncertainty --------------------------------------------------------------------------------------------------

    def covariance_root(self):
        """S with S S' the inverse Hessian, shape (p, p): the covariance where this is minus a log-likelihood.

        Differences are taken anew, with steps in standard errors. A ValueError where the Hessian has no inverse.
        """
        objective, names = self.objective, self.objective.parameter_names(self.theta.size)
        H = self.hessian_matrix()
        if objective.hess is not None or objective.hessp is not None:
            return root_of_hessian(H, names, EPS)
        differences = Differences((EPS * max(1.0, abs(self.value))) ** (1 / 4 if objective.jac is None else 1 / 3))
        with np.errstate(all="ignore"):
            unit = self._errors(H.diagonal())
            H = self._hessian_in(unit, differences) / unit / unit[:, None]
        # the square of the share is the error of differences of values, and of gradients too
        return root_of_hessian(H, names, _ROUNDINGS * differences.share**2)

    def _errors(self, diagonal):
        """The change of each parameter alone that adds about 1/2 to the function: a standard error of it.

        ``diagonal`` is that of a Hessian, whose steps may have been too long or too short for it.
        """
        fun, size = self.objective.value, self.objective.differences.sizes(self.theta)
        unit = np.where(diagonal > 0, np.maximum(1 / np.sqrt(diagonal), np.sqrt(EPS) * size), size)
        for i in range(self.theta.size):
            for _ in range(_MOST_LENGTHS):
                step = np.where(np.arange(self.theta.size) == i, unit, 0.0)
                rise = 0.5 * (fun(self.theta + step) + fun(self.theta - step)) - self.value
                if 0.1 < rise < 2:
                    break
                ratio = np.sqrt(0.5 / max(rise, _LEAST_RISE)) if np.isfinite(rise) else 0.0
                unit[i] *= np.clip(ratio, 0.1, 10.0)
        return unit

    def dispersion(self):
        """What the inverse curvature is multiplied with, and its degrees of freedom: 1 and inf of a likelihood."""
        return 1.0, np.inf

    def _hessian_in(self, unit, differences):
        """The Hessian in z, theta plus ``unit`` times z, by differences about z = 0 with steps of these shares."""
        objective, zero = self.objective, np.zeros_like(self.theta)
        if objective.jac is None:
            return differences.second(lambda z: objective.value(self.theta + unit * z), zero)
        H = differences.first(lambda z: unit * objective.gradient(self.theta + unit * z), zero)
        return 0.5 * (H + H.T)

    # -- influence ------------------------------------------------------------------------------------------------

    def probes(self):
        """See `Evaluation.probes`: other orders of magnitude of the parameters that have no influence here."""
        theta, flat = self.theta, self._without_influence()
        sets = [flat, *(np.eye(theta.size, dtype=bool)[flat] if flat.sum() > 1 else [])]
        return [np.where(some, ratio * theta, theta) for some in sets if some.any() for ratio in _PROBED]

    def remarks(self):
        """See `Evaluation.remarks`: what has no influence."""
        flat, names = self._without_influence(), self.objective.parameter_names(self.theta.size)
        names = [name for name, is_flat in zip(names, flat, strict=True) if is_flat]
        if not names:
            return []
        return [f"The function hardly depends on {', '.join(names)} here: other values may be as good."]

    def _without_influence(self):
        """Which parameters change the function by no more than half its digits when they change by their size."""
        influence, level = self._influences()
        return influence * self.objective.differences.sizes(self.theta) <= np.sqrt(EPS) * level

    def _influences(self):
        """By how much a change of each parameter by one changes the function, at the least, and its size."""
        sizes = self.objective.differences.sizes(self.theta)
        curvature = np.abs(self.hessian_diagonal())
        return np.maximum(np.abs(self.gradient), curvature * sizes), abs(self.value)

    def both_derivatives(self):
        """The user's derivatives and differences, one row for each parameter, and the size of what is differenced."""
        found = self.objective.differences.first(self.objective.value, self.theta)
        return self.gradient[:, None], found[:, None], abs(self.value)

    def suspicions(self):
        """See `Evaluation.suspicions`: a wrong ``jac``."""
        if self.objective.jac is None:
            return []
        check = self.objective.check_gradient(self.theta)
        return [] if check.agrees else [f"{check.message} Correct jac, or leave it out."]


def _positive(name, given):
    """Positive numbers as an array of shape () or (p,)."""
    try:
        numbers = np.array(given, dtype=float)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.ndim > 1 or not (np.isfinite(numbers) & (numbers > 0)).all():
        choices = ' or "jac"' if name == "x_scale" else " or None"
        raise ValueError(f"{name} must be a positive number, one for each parameter{choices}, got {given!r}")
    return numbers


def _as_number(value):
    """A value of ``fun`` as a float."""
    if np.size(value) != 1:
        raise ValueError(
            f"fun must return one number, got an array of shape {np.shape(value)}: for residuals use "
            "LeastSquaresObjective(fun), for (value, gradient) pass jac=True"
        )
    return float(np.reshape(value, ()))


def _check_kind(objective, kind):
    if kind == "expected" and objective.curvature != "expected":
        raise ValueError(
            "a function has no expected (Gauss-Newton) curvature, as residuals and likelihoods have: use the observed "
            'one, kind="observed", or of a solver hessian="exact"'
        )
