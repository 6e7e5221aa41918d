"""An objective on the rows at hand that remembers the rows before as a quadratic.

The sum over all rows so far is approximated by the loss of the latest ones, the penalty, and the second-order Taylor
model of the losses of the rest,

    sum_i w_i loss_i(theta) + penalty(theta) + s'(theta - c) + 1/2 |R (theta - c)|^2,

with s their gradient at the latest parameters c and R'R the curvature summed so far. That is recursive least squares
for squared loss (exact), and the extended Kalman filter in its implicit form for others: a step is a minimum, so it
cannot overshoot. R is updated by a QR decomposition; columns may be of any size. Where R would be too large, the
columns are taken as uncorrelated about their means.

References
----------
.. [1] D. Bertsekas, "Incremental least squares methods and the extended Kalman filter", SIAM J. Optim. 6(3), 1996.
.. [2] G. Bierman, "Factorization methods for discrete sequential estimation", 1977 (square-root information filter).
.. [3] P. Toulis, E. Airoldi, "Asymptotic and finite-sample properties of estimators based on stochastic gradients",
   Ann. Statist. 45(4), 2017 (implicit updates).
.. [4] H. Ritter, A. Botev, D. Barber, "Online structured Laplace approximations for overcoming catastrophic
   forgetting", 2018 (the same for networks).
.. [5] R. Kulhavy, M. Zarrop, "On a general concept of forgetting", Int. J. Control 58(4), 1993 (what is never
   forgotten: the prior).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives import factors
from sk_hessian.objectives._orthogonal import triangle
from sk_hessian.objectives._parts import summary
from sk_hessian.objectives._spread import Spread, SpreadFactor
from sk_hessian.objectives.contract import Objective

#: the information before any row, in rows; its root stands well above the rounding of R after many rows
_PRIOR = 1e-12

#: a step along which curvature changes e-fold so many times, by fewer rows than so many for each parameter, is
#: remembered by the secant's curvature
_FAR = 0.5
_FEW_ROWS = 20

#: how far back from the latest parameters a start is looked for where these are outside the domain of new rows
_BACK = (0.99, 0.9, 0.5, 0.1, 0.01, 1e-4, 0.0)


@dataclass(frozen=True)
class Triangle:
    """A Hessian R'R.

    Attributes
    ----------
    root : ndarray of shape (m, n_parameters)
    """

    root: np.ndarray

    def apply(self, v):
        """R v."""
        return self.root @ v

    def transpose(self, v):
        """R'v."""
        return self.root.T @ v

    def rows(self):
        """R."""
        return self.root

    def diagonal(self):
        """The diagonal of R'R."""
        return np.einsum("mp,mp->p", self.root, self.root)

    def times(self, factor):
        """The same Hessian times a number."""
        return Triangle(np.sqrt(factor) * self.root)

    def rescaled(self, ratio, n_weights):
        """The same with the curvature along the first parameters times a number."""
        root = self.root.copy()
        root[:, :n_weights] *= np.sqrt(ratio)
        return Triangle(root)

    def plus(self, other):
        """The sum with another Hessian."""
        return Triangle(triangle(np.vstack([self.root, other.rows()])))


@dataclass(frozen=True)
class Memory:
    """What is remembered of the losses of the rows before: a quadratic about the latest parameters.

    Attributes
    ----------
    curvature : Triangle or Spread
        Their Hessian, as a sum over rows.
    slope, centre : ndarray of shape (n_parameters,)
        Their gradient, and where.
    prior : Spread
        What is known before any row, a part of ``curvature``; zero along parameters that no row has told of.
    weight : float
        Total weight of the rows.
    excess : float
        The sum of their losses above the saturated ones, at ``centre``.
    targets : tuple of ndarray or None
        Some targets and weights that stand for theirs.
    """

    curvature: Triangle | Spread
    slope: np.ndarray
    centre: np.ndarray
    prior: Spread
    weight: float = 0.0
    excess: float = 0.0
    targets: tuple | None = None

    @property
    def is_matrix(self):
        """Whether the curvature is a matrix."""
        return isinstance(self.curvature, Triangle)

    def faded(self, forgetting):
        """The same with all weights times ``forgetting``, but for the prior, which would fade into rounding."""
        if forgetting == 1:
            return self
        curvature = self.curvature.times(forgetting).plus(self.prior.times(1 - forgetting))
        targets = self.targets and (self.targets[0], forgetting * self.targets[1])
        sums = {name: forgetting * getattr(self, name) for name in ("slope", "weight", "excess")}
        return replace(self, curvature=curvature, targets=targets, **sums)

    def rescaled(self, ratio):
        """The same with the curvature along coefficients and intercepts times a number."""
        if ratio == 1:
            return self
        curvature, prior = self.curvature, self.prior.rescaled(ratio)
        if isinstance(curvature, Spread):
            return replace(self, curvature=curvature.rescaled(ratio), prior=prior)
        n_weights = prior.squares.size + len(prior.level)
        return replace(self, curvature=curvature.rescaled(ratio, n_weights), prior=prior)

    def told(self, rows):
        """The same, with a prior along the parameters that ``rows`` are the first to tell of."""
        known = self.prior.diagonal() > 0
        if known.all():
            return self
        new = _prior(rows).without(known)
        return replace(self, curvature=self.curvature.plus(new), prior=self.prior.plus(new))

    def shaped(self, is_matrix):
        """The same as a matrix, or without correlations."""
        if is_matrix == self.is_matrix:
            return self
        rows = self.curvature.rows()
        return replace(self, curvature=Triangle(rows) if is_matrix else Spread.of_rows(rows, self.prior))


class StreamObjective(Objective):
    """The objective of the latest rows plus the quadratic memory of those before, over the weight of the latest.

    Parameters
    ----------
    rows : GLMObjective or MLPObjective
        The latest rows, with the penalty of all.
    memory : Memory
        Of the shape in which curvature is to be remembered.
    """

    def __init__(self, rows, memory):
        self.rows, self.memory, self.total = rows, memory, rows.total_weight
        self.n_rows, self.convex, self.curvature = rows.n_rows, rows.convex, "expected"
        self.n_parameters = rows.n_parameters
        self.resolution, self.is_smooth, self.draws_rows = rows.resolution, rows.is_smooth, rows.draws_rows
        self.lower_bound = -np.inf if memory.slope.any() else rows.lower_bound
        self.targets = self._all_targets()
        self.scale = self._scale()
        self._latest = None

    def _all_targets(self):
        targets = self.rows.rows.targets
        if self.memory.targets is not None:
            pairs = zip(self.memory.targets, targets, strict=True)
            targets = tuple(np.concatenate(pair) for pair in pairs)
        return summary(*targets)[:2]

    def _scale(self):
        """That of all targets so far, for the sum over all rows; that of a few rows may be zero."""
        if self.memory.weight == 0:
            return self.rows.scale
        scale = self.rows.scale_of(*self.targets) * (self.memory.weight + self.total) / self.total
        return max(scale, self.rows.scale) if np.isfinite(scale) else self.rows.scale

    # -- value and gradient ---------------------------------------------------------------------------------------

    def value_and_gradient(self, theta):
        """See `Objective.value_and_gradient`."""
        value, gradient = self.rows.value_and_gradient(theta)
        memory, away = self.memory, theta - self.memory.centre
        bent = memory.curvature.apply(away)
        value += (memory.slope @ away + 0.5 * (bent @ bent)) / self.total
        return value, gradient + (memory.slope + memory.curvature.transpose(bent)) / self.total

    def noise(self, theta, value):
        """See `Objective.noise`."""
        return self.rows.noise(theta, value)

    def likelihood_tolerance(self, theta, value, tol):
        """See `Objective.likelihood_tolerance`: of the sum over all rows so far, whose mean tells the dispersion."""
        weight = self.memory.weight + self.total
        return self.rows.tolerance_of(theta, self._excess(theta, value) / weight, tol)

    def start(self):
        """The latest parameters, or where new rows do not allow them, as near to them as is tried."""
        centre = self.memory.centre
        if np.isfinite(self.value_and_gradient(centre)[0]):
            return centre
        feasible = self.rows.start()
        tried = [feasible + share * (centre - feasible) for share in _BACK]
        values = [self.value_and_gradient(theta)[0] for theta in tried]
        return tried[int(np.argmin(values))]

    # -- curvature ------------------------------------------------------------------------------------------------

    def hessian(self, theta, kind="observed"):
        """See `Objective.hessian`."""
        inner, remembered = self.rows.hessian(theta, kind), self.memory.curvature

        def product(v):
            return inner.matvec(v) + remembered.transpose(remembered.apply(np.ravel(v))) / self.total

        return LinearOperator(inner.shape, matvec=product, rmatvec=product, dtype=float)

    def _losses(self, theta):
        """The curvature of the losses of all rows so far, as a sum; the latest is kept."""
        if self._latest is None or not np.array_equal(self._latest[0], theta):
            self._latest = theta.copy(), self._summed(self.memory, [theta])
        return self._latest[1]

    def _summed(self, memory, points):
        """What is remembered and the latest rows' curvature at a point, or between two."""
        if memory.is_matrix:
            return Triangle(self.rows.curvature_triangle(points, memory.curvature.root))
        return memory.curvature.plus(self.rows.curvature_spread(points))

    def _penalty(self):
        return self.rows.penalties * self.total

    def _triangle(self, theta):
        """R with R'R the expected curvature of all rows so far and the penalty, as a sum; square and regular."""
        if self.memory.is_matrix:
            root = self._losses(theta).root
        else:
            root = self.rows.curvature_triangle([theta], self.memory.curvature.rows())
        penalty, untold = self._penalty(), self.memory.prior.diagonal() == 0
        diagonal = np.where(untold & (penalty == 0), self.total, penalty)
        extra = np.flatnonzero(diagonal)
        return triangle(np.vstack([root, np.diag(np.sqrt(diagonal))[extra]])) if extra.size else root

    def hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_matrix`."""
        if kind == "expected" or self.is_exact("expected"):
            root = self._triangle(theta)
            half = root if factor is None else root @ factor.dense()
            return half.T @ half / self.total
        rows = self.memory.curvature.rows()
        H = self.rows.hessian_matrix(theta, kind) + rows.T @ rows / self.total
        return H if factor is None else factor.inner.congruence(H)

    def hessian_diagonal(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_diagonal`."""
        if factor is None:
            return self.rows.hessian_diagonal(theta, kind) + self.memory.curvature.diagonal() / self.total
        if isinstance(factor.inner, SpreadFactor):
            return factor.inner.diagonal_of(self._spread(theta))
        return np.diag(self.hessian_matrix(theta, kind, factor=factor)).copy()

    def is_exact(self, kind):
        """See `Objective.is_exact`."""
        return self.rows.is_exact(kind)

    def forms_hessian(self, n_parameters):
        """See `Objective.forms_hessian`."""
        return self.memory.is_matrix

    # -- preconditioning ------------------------------------------------------------------------------------------

    def _spread(self, theta):
        """The mean curvature as if columns were uncorrelated, the penalty included."""
        if self.memory.is_matrix:
            losses = Spread.of_rows(self._losses(theta).root, self.memory.prior)
        else:
            losses = self._losses(theta)
        return losses.plus_diagonal(self._penalty()).times(1 / self.total)

    def preconditioner(self, theta, kind="auto", curvature="expected"):
        """See `Objective.preconditioner`."""
        if kind == "kronecker":
            raise ValueError('precondition="kronecker" is not available for partial_fit; choose "auto", "full", ...')
        if kind == "diagonal" or (kind == "auto" and not self.memory.is_matrix):
            return factors.PointFactor(SpreadFactor(self._spread(theta)), theta, None, False)
        if curvature == "expected" or self.is_exact("expected"):
            inner = factors.Cholesky((self._triangle(theta) / np.sqrt(self.total)).T)
        else:
            inner = factors.semidefinite_root(self.hessian_matrix(theta, curvature))
        return factors.PointFactor(inner, theta, None if inner.is_floored else curvature, self.is_exact(curvature))

    # -- what the solvers ask -------------------------------------------------------------------------------------

    def sample(self, rows):
        """See `Objective.sample`."""
        part = StreamObjective.__new__(StreamObjective)
        vars(part).update(vars(self), rows=self.rows.sample(rows), n_rows=len(rows), _latest=None)
        return part

    def predictor_change(self, theta, directions):
        """See `Objective.predictor_change`."""
        return self.rows.predictor_change(theta, directions)

    def diagnose(self, theta, direction):
        """See `Objective.diagnose`; what is remembered of former rows bends in every direction."""
        return self.rows.diagnose(theta, direction) if self.memory.weight == 0 else None

    def canonical(self, theta):
        """See `Objective.canonical`."""
        return self.rows.canonical(theta)

    def remarks(self, theta):
        """See `Objective.remarks`."""
        return self.rows.remarks(theta)

    def remembered(self, theta, is_optimum=True):
        """The `Memory` of all rows so far, the latest among them, at ``theta``.

        Few rows that have moved the parameters far, such as those that no other contradicts yet, are remembered by the
        change of their gradients on the way: where they are fitted perfectly there may be no curvature left.
        """
        memory, points = self.memory, self._points(theta, is_optimum)
        if self.rows.loss.n_constants:
            constants = (self.rows.unpack(at)[2] for at in (memory.centre, theta))
            memory = memory.rescaled(self.rows.loss.curvature_ratio(*constants))
        is_known = len(points) == 1 and memory is self.memory
        value, gradient = self.value_and_gradient(theta)
        return Memory(
            self._losses(theta) if is_known else self._summed(memory, points),
            self._slope(theta, gradient if is_optimum or self._is_quadratic else 0.0),
            theta,
            memory.prior,
            memory.weight + self.total,
            self._excess(theta, value),
            self.targets,
        )

    def _points(self, theta, is_optimum):
        """Where the curvature of the latest rows is taken: at the end, or between the start and the end."""
        are_few = self.n_rows < _FEW_ROWS * self.n_parameters or not is_optimum
        centre = self.memory.centre
        is_far = are_few and self.rows.predictor_change(centre, [theta - centre])[0] > _FAR
        return [theta, self.start()] if is_far else [theta]

    @property
    def _is_quadratic(self):
        """Whether the memory is exact."""
        return self.rows.loss.quadratic

    def _excess(self, theta, value):
        """What the losses of all rows so far sum to, above the saturated ones."""
        return max(self.memory.excess + self.total * self.rows.excess_of(theta, value), 0.0)

    def _slope(self, theta, gradient):
        """The gradient of the losses: minus the penalty's, and what is left of the whole.

        A run may end within its tolerance without having moved; what the rows have told would else be lost. Far from an
        optimum, though, a Taylor model that is not exact could lead anywhere: there the run's end is taken for one.
        """
        return self.total * gradient - self._penalty() * theta


class NetworkStreamObjective(StreamObjective):
    """The same for a network: the quadratic is Gauss-Newton's, and factors are damped in standardised coordinates.

    Parameters
    ----------
    rows : MLPObjective
    memory : Memory
        Of a matrix.
    """

    _is_quadratic = False

    def __init__(self, rows, memory):
        super().__init__(rows, memory)
        self.damping_kind, self.exact_is_dear = rows.damping_kind, rows.exact_is_dear

    def hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_matrix`."""
        root = self.memory.curvature.root
        root = root if factor is None else root @ factor.dense()
        return self.rows.hessian_matrix(theta, kind, factor=factor) + root.T @ root / self.total

    def hessian_diagonal(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_diagonal`."""
        return np.diag(self.hessian_matrix(theta, kind, factor=factor)).copy()

    def preconditioner(self, theta, kind="auto", curvature="expected"):
        """See `Objective.preconditioner`."""
        if kind == "kronecker":
            raise ValueError('precondition="kronecker" is not available for partial_fit; choose "auto", "full", ...')
        if kind == "units":
            return self.rows.preconditioner(theta, "units")
        H = self.hessian_matrix(theta, curvature, factor=self.rows.standard_factor(theta))
        return self.rows.full_factor(np.diag(H.diagonal()) if kind == "diagonal" else H, theta)

    def diagnose(self, theta, direction):
        """See `Objective.diagnose`."""
        return

    def likelihood_tolerance(self, theta, value, tol):
        """See `Objective.likelihood_tolerance`: weights of a network have no errors."""
        return np.inf

    def _excess(self, theta, value):
        return 0.0

    def _points(self, theta, is_optimum):
        return [theta]


def first_memory(rows, is_matrix, theta=None):
    """The memory before any row: next to nothing, so that what no row tells of stays where it is.

    Parameters
    ----------
    rows : GLMObjective or MLPObjective
        The first rows, for the null model and for units.
    is_matrix : bool
        Whether to remember a matrix.
    theta : ndarray of shape (n_parameters,), optional
        Where to begin; the null model for None.

    Returns
    -------
    Memory
    """
    theta, prior = rows.start() if theta is None else theta, _prior(rows)
    return Memory(prior, np.zeros_like(theta), theta, prior).shaped(is_matrix)


def _prior(rows):
    """What is known before any row; of the loss's constants as much as one row for each parameter tells.

    As many rows as parameters fit perfectly, which would say that the scale is zero.
    """
    typical = rows.typical_spread()
    return replace(typical.times(_PRIOR), constants=typical.constants * rows.n_parameters)
