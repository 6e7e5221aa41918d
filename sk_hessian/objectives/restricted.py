"""An objective over some parameters only: others held at values, or linear equations between them."""

from functools import cached_property

import numpy as np
from scipy.linalg import eigh, null_space
from scipy.sparse.linalg import LinearOperator

from sk_hessian._facts import lasting_fact
from sk_hessian.objectives import factors
from sk_hessian.objectives.contract import Facts, Objective
from sk_hessian.objectives.coordinates import PointFactor, Subspace
from sk_hessian.objectives.evaluation import Evaluation
from sk_hessian.objectives.mean_loss import require_bend

#: what an equation may be off by, in roundings of its terms
_CONSISTENT = 1e-10


class RestrictedObjective(Objective):
    """An objective as a function of w, where theta = origin + T w.

    `holding` and `subject_to` make one of the usual two kinds. Its minimum is the constrained one, and its Newton
    decrement is that over the feasible set.

    Parameters
    ----------
    objective : Objective
    coordinates : Subspace
        T.
    origin : ndarray of shape (n_parameters,)
        A feasible point.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.objectives import GLMObjective, RestrictedObjective, SquaredLoss
    >>> from sk_hessian.solvers import minimize
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 5.0]]), np.array([0.0, 1.0, 2.0, 4.0])
    >>> plain = GLMObjective(X, y, SquaredLoss(), fit_intercept=False)
    >>> equal = RestrictedObjective.subject_to(plain, [[1.0, 1.0]], [1.0])
    >>> equal.expanded(minimize(equal, np.zeros(1)).x).round(3)
    array([0.714, 0.286])
    """

    facts = Facts(made_of="restriction")
    called = "with restrictions"

    def __init__(self, objective, coordinates, origin):
        if objective.smoothing is not None:
            require_bend(objective.loss, "a restriction")
        self.objective, self.coordinates, self.origin = objective, coordinates, origin
        self.n_parameters = coordinates.shape[1]
        self.convex, self.curvature, self.n_rows = objective.convex, objective.curvature, objective.n_rows
        self.scale, self.resolution, self.lower_bound = objective.scale, objective.resolution, objective.lower_bound
        self.is_smooth, self.has_kinks, self.is_model = objective.is_smooth, objective.has_kinks, objective.is_model
        self.draws_rows = False
        self.total_weight = objective.total_weight

    @classmethod
    def holding(cls, objective, theta, held):
        """The objective with some parameters held at their values in ``theta``.

        Parameters
        ----------
        objective : Objective
        theta : array-like of shape (n_parameters,)
        held : array-like of int, or of bool and shape (n_parameters,)
            Which are held.

        Returns
        -------
        RestrictedObjective

        Raises
        ------
        ValueError
            Where all of them are held, or a number is none of a parameter.
        """
        theta, free = np.array(theta, dtype=float), np.ones(np.size(theta), dtype=bool)
        try:
            free[np.asarray(held)] = False
        except IndexError:
            raise ValueError(f"held must be numbers of {theta.size} parameters, or one bool for each") from None
        if not free.any():
            raise ValueError("held: every parameter is held, so that nothing is left to minimise over")
        return cls(objective, Subspace(np.eye(theta.size)[:, free]), theta)

    @classmethod
    def subject_to(cls, objective, A, b):
        """The objective where ``A @ theta = b``.

        Parameters
        ----------
        objective : Objective
        A : array-like of shape (m, n_parameters)
        b : array-like of shape (m,)

        Returns
        -------
        RestrictedObjective

        Raises
        ------
        ValueError
            Where the equations contradict each other, or leave nothing free.
        """
        A, b = np.atleast_2d(np.array(A, dtype=float)), np.atleast_1d(np.array(b, dtype=float))
        if b.shape != (len(A),) or not (np.isfinite(A).all() and np.isfinite(b).all()):
            raise ValueError(
                f"A and b must be finite, A of shape (m, n_parameters) and b (m,): got {A.shape}, {b.shape}"
            )
        origin = np.linalg.lstsq(A, b, rcond=None)[0]
        if (np.abs(A @ origin - b) > _CONSISTENT * (np.abs(A) @ np.abs(origin) + np.abs(b))).any():
            raise ValueError("the equations A @ theta = b contradict each other: no theta solves all of them")
        basis = null_space(A)
        if not basis.shape[1]:
            raise ValueError("the equations A @ theta = b leave no parameter free")
        return cls(objective, Subspace(basis), origin)

    def expanded(self, w):
        """All parameters, of shape (n_parameters,), from w."""
        return self.origin + self.coordinates.apply(w)

    def parameter_names(self, n_parameters):
        """See `Objective.parameter_names`: those of the objective, and ``w[i]`` for a combination of its parameters."""
        names, basis = self.objective.parameter_names(len(self.origin)), self.coordinates.basis.T
        is_one = (np.count_nonzero(basis, axis=1) == 1) & (basis.max(axis=1) == 1)
        return [names[np.argmax(w)] if one else f"w[{i}]" for i, (w, one) in enumerate(zip(basis, is_one, strict=True))]

    def at(self, w):
        """See `Objective.at`."""
        return RestrictedEvaluation(self, w)

    def scale_at(self, value, first_value):
        """See `Objective.scale_at`."""
        return self.scale if self.is_model else self.objective.scale_at(value, first_value)

    def is_exact(self, kind):
        """See `Objective.is_exact`."""
        return self.objective.is_exact(kind)

    def sample(self, rows):
        """See `Objective.sample`."""
        return RestrictedObjective(self.objective.sample(rows), self.coordinates, self.origin)


class FreeObjective(RestrictedObjective):
    """A restricted objective within a feasible set: infinite, and not evaluated, where the set ends.

    Parameters
    ----------
    here : Evaluation
        The objective at the origin.
    coordinates : Subspace
    feasible : FeasibleSet
        It has the origin.
    allows : callable
        Whether parameters (n_parameters,) are in the set; who asks may take note.
    """

    def __init__(self, here, coordinates, feasible, allows):
        super().__init__(here.objective, coordinates, here.theta)
        self.here, self.feasible, self.allows = here, feasible, allows

    def at(self, w):
        """See `Objective.at`."""
        here = RestrictedEvaluation(self, w)
        if not w.any():
            vars(here)["whole"] = self.here
        elif not self.allows(self.expanded(w)):
            vars(here)["value"] = np.inf
        return here

    def diagnose(self, theta, direction, feasible=None):
        """See `Objective.diagnose`: of all parameters, within the set."""
        return self.objective.diagnose(self.expanded(theta), self.coordinates.apply(direction), self.feasible)


class RestrictedEvaluation(Evaluation):
    """A restricted objective at a point."""

    @cached_property
    def whole(self):
        """The `Evaluation` of the objective of all parameters."""
        return self.objective.objective.entry(self.objective.expanded(self.theta))

    @lasting_fact
    def value(self):
        """See `Evaluation`."""
        return self.whole.value

    @lasting_fact
    def gradient(self):
        """See `Evaluation`."""
        return self.objective.coordinates.transpose(self.whole.gradient)

    @property
    def noise(self):
        """See `Evaluation.noise`."""
        return self.whole.noise

    def predictor_change(self, directions):
        """See `Evaluation.predictor_change`."""
        return self.whole.predictor_change([self.objective.coordinates.apply(d) for d in directions])

    def likelihood_tolerance(self, tol):
        """See `Evaluation.likelihood_tolerance`."""
        return self.whole.likelihood_tolerance(tol)

    def hessian(self, kind="observed"):
        """See `Evaluation.hessian`."""
        H, T = self.whole.hessian(kind), self.objective.coordinates

        def product(v):
            return T.transpose(H.matvec(T.apply(np.ravel(v))))

        return LinearOperator((self.theta.size,) * 2, matvec=product, rmatvec=product, dtype=float)

    def hessian_matrix(self, kind="observed", factor=None):
        """See `Evaluation.hessian_matrix`."""
        T = self.objective.coordinates
        H = T.basis.T @ self.whole.hessian_matrix(kind, T.outer) @ T.basis
        return H if factor is None else factor.inner.congruence(H)

    def factor(self, kind="full", curvature=None):
        """See `Evaluation.factor`; from the Hessian's absolute value where it is not definite."""
        curvature = curvature or self.objective.curvature
        H = self.hessian_matrix(curvature)
        outer, is_exact = factors.Identity(self.theta.size), self.objective.is_exact(curvature)
        if kind in ("diagonal", "units") or not np.isfinite(H).all():
            return PointFactor(outer, factors.Diagonal(factors.unit_scale(np.abs(H))), self)
        if kind != "full":
            self.objective.refuse_kind(kind)
        if self.objective.convex:
            inner = factors.semidefinite_root(H)
            return PointFactor(outer, inner, self, curvature, is_exact)
        unit = factors.unit_scale(np.abs(H))
        values, vectors = eigh(unit[:, None] * H * unit)
        inner, is_positive = factors.Spectral(np.abs(values), vectors, unit), bool(values.min() > 0)
        is_whole = is_positive and not inner.is_floored
        return PointFactor(outer, inner, self, curvature if is_whole else None, is_whole and is_exact)
