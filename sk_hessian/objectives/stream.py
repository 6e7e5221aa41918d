"""An objective on the latest rows that remembers the rows before as a quadratic.

The sum over all rows so far is approximated by the loss of the latest ones, the penalty, and the second-order Taylor
model of the losses of the rest,

    sum_i w_i loss_i(theta) + penalty(theta) + s'(theta - c) + 1/2 |R (theta - c)|^2,

with s their gradient at the latest parameters c and R'R the curvature summed so far. That is recursive least squares
for squared loss (exact), and the extended Kalman filter in its implicit form for others: a step is a minimum, so it
cannot overshoot. R is updated by a QR decomposition; columns may be of any size. Where R would be too large, the
columns are taken as uncorrelated about their means.

A Taylor model holds near the point where it was taken. Two things keep it there. The latest rows, up to a thousand, are
no part of it: they are kept as they are, and are old when they go into it, together with hundreds of others, at
parameters that many rows have determined. And a uniform sample of the rows in it, the witnesses, tells how wrong its
gradient is: the difference between their true gradient and that by the quadratic, a control variate, is added to s.

References
----------
.. [1] D. Bertsekas, "Incremental least squares methods and the extended Kalman filter", SIAM J. Optim. 6(3), 1996.
.. [2] G. Bierman, "Factorization methods for discrete sequential estimation", 1977 (square-root information filter).
.. [3] P. Toulis, E. Airoldi, "Asymptotic and finite-sample properties of estimators based on stochastic gradients",
   Ann. Statist. 45(4), 2017 (implicit updates).
.. [4] H. Ritter, A. Botev, D. Barber, "Online structured Laplace approximations for overcoming catastrophic
   forgetting", 2018 (the same for networks).
.. [5] R. Johnson, T. Zhang, "Accelerating stochastic gradient descent using predictive variance reduction", 2013 (a
   sample's gradient less its former one, beside the former one of all rows).
.. [6] R. Kulhavy, M. Zarrop, "On a general concept of forgetting", Int. J. Control 58(4), 1993 (what is never
   forgotten: the prior).
"""

import copy
from dataclasses import replace

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives import factors
from sk_hessian.objectives._memory import Triangle
from sk_hessian.objectives._spread import Spread, SpreadFactor
from sk_hessian.objectives.contract import Objective
from sk_hessian.objectives.rows import stacked, triangle

#: rows that are kept as they are, and numbers in them: a pass over so many costs less than the call around it
_KEPT_ROWS = 1000
_KEPT_NUMBERS = 2**21

#: rows of the sample that tells how far the quadratic can be trusted
_WITNESSES = 1000

#: parts of that sample whose differences tell its error (batch means)
_PARTS = 10

#: how far back from the latest parameters a start is looked for where these are outside the domain of new rows
_BACK = (0.99, 0.9, 0.5, 0.1, 0.01, 1e-4, 0.0)


class StreamObjective(Objective):
    """The objective of the latest rows plus the quadratic memory of those before, over the weight of the latest.

    Parameters
    ----------
    rows : GLMObjective or MLPObjective
        The latest rows, with the penalty of all.
    memory : Memory
        Of the shape in which curvature is to be remembered.
    """

    n_rows: int
    scale: float
    is_model = True

    def __init__(self, rows, memory):
        self.rows, self.memory = self._joined(rows, memory)
        rows = self.rows
        self.total = rows.total_weight
        self.n_rows, self.convex, self.curvature = rows.n_rows, rows.convex, "expected"
        self.n_parameters = rows.n_parameters
        self.resolution, self.is_smooth, self.draws_rows = rows.resolution, rows.is_smooth, rows.draws_rows
        self.has_kinks = rows.has_kinks
        self.lower_bound = -np.inf if self.memory.slope.any() else rows.lower_bound
        self.targets = self.memory.pooled(rows.rows.targets)
        self.scale = self._scale()
        self._latest = None

    def _joined(self, rows, memory):
        """The latest rows, with those that are kept where both are few, and the memory without these."""
        kept = memory.kept
        if kept is None:
            return rows, memory
        memory = replace(memory, kept=None)
        if rows.n_rows > _KEPT_ROWS:
            return rows, self._with_rows(memory, rows.on_rows(kept), [memory.centre])
        return rows.on_rows(stacked([kept, rows.rows.collected()])), memory

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
        change, slope = self.memory.taylor(theta)
        return value + change / self.total, gradient + slope / self.total

    def noise(self, theta, value):
        """See `Objective.noise`."""
        return self.rows.noise(theta, value)

    def likelihood_tolerance(self, theta, value, tol):
        """See `Objective.likelihood_tolerance`: of the sum over all rows so far, whose mean tells the dispersion."""
        excess = max(self.memory.excess + self.total * self.rows.excess_of(theta, value), 0.0)
        return self.rows.tolerance_of(theta, excess / (self.memory.weight + self.total), tol)

    def start(self):
        """The latest parameters; or where the null model of the rows is better, the best on the way from it to them."""
        centre = self.memory.centre
        if self.rows.loss.quadratic:
            return centre
        null = self.rows.start()
        if self.value_and_gradient(centre)[0] <= self.value_and_gradient(null)[0]:
            return centre
        tried = [null + share * (centre - null) for share in _BACK]
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

    def remedy(self, status):
        """See `Objective.remedy`."""
        return self.rows.remedy(status)

    def remarks(self, theta):
        """See `Objective.remarks`."""
        return self.rows.remarks(theta)

    def remembered(self, theta, is_optimum=True):
        """The `Memory` of all rows so far, the latest among them, at ``theta``.

        The older half of the rows that were kept goes into the quadratic once they are too many; not those of a squared
        loss, whose quadratic is exact. Where the run did not end at an optimum the curvature is that of the secant from
        the null model: rows that no other contradicts yet have no curvature left where they are fitted perfectly.
        """
        memory, n_old = self.memory.at(theta, self.rows), self._n_old()
        if n_old == self.n_rows:
            old, kept = self.rows, None
        else:
            rows = self.rows.rows.collected()
            old = self.rows.on_rows(rows.take(np.arange(n_old))) if n_old else None
            kept = rows.take(np.arange(n_old, self.n_rows))
        if old is not None:
            is_exact = is_optimum or self.rows.loss.quadratic
            memory = self._with_rows(memory, old, [theta] if is_exact else [theta, old.start()])
        return replace(memory, kept=kept)

    def _n_old(self):
        """How many of the rows, the first, go into the quadratic."""
        rows, n_rows = self.rows.rows, self.n_rows
        if self.rows.loss.quadratic or n_rows > 2 * _KEPT_ROWS:
            return n_rows
        most = _affordable(_KEPT_ROWS, rows)
        return 0 if n_rows <= most else n_rows - most // 2

    @staticmethod
    def _with_rows(memory, rows, points):
        """`Memory.with_rows`, with witnesses where the quadratic is not exact."""
        memory = memory.with_rows(rows, points)
        return memory if rows.loss.quadratic else memory.witnessed(rows, points, _affordable(_WITNESSES, rows.rows))

    def memory_error(self, theta):
        """What the quadratic of the old rows may spoil at a point: half the squared Newton decrement of its error.

        The error is that of its gradient, by the witnesses; the curvature is that of the latest rows and the witnesses.

        Returns
        -------
        error, noise : float
            In units of `scale`, so that they are shares of what the model can gain: of the quadratic, and of what
            it has been mended by, which is as uncertain as ten parts of the witnesses differ.
        """
        if self.memory.witnesses is None:
            return 0.0, 0.0
        memory, rows, error = self._doubted(theta)
        if not np.isfinite(error).all():
            return np.inf, 0.0
        share, witnesses = memory.weight / rows.total_weight, memory.witnesses
        there = copy.copy(self)
        curved = replace(memory, curvature=memory.prior).curvature_of(rows, [theta]).times(share)
        there.memory, there._latest = replace(memory, curvature=curved), None
        factor = there.preconditioner(theta, "auto")
        along = factor.transpose(share / self.total * rows.pulled_back(error))
        mended, part = witnesses.mended + error, np.arange(rows.n_rows) % _PARTS
        parts = [rows.pulled_back(mended * (part == one)[:, None]) for one in range(_PARTS)]
        apart = np.stack([factor.transpose(share / self.total * sums) for sums in parts - np.mean(parts, axis=0)])
        noise = _PARTS / (_PARTS - 1) * (apart**2).sum() if rows.n_rows < memory.n_rows else 0.0
        return 0.5 * (along @ along) / self.scale, 0.5 * noise / self.scale

    def _doubted(self, theta):
        """The memory at a point, the objective of its witnesses, and their slopes less those by the quadratic.

        These are infinite where the point is outside the loss's domain.
        """
        memory = self.memory.at(theta, self.rows)
        rows = self.rows.on_rows(memory.witnesses.rows)
        error = rows.row_quadratics([theta])[0] - memory.witnesses.slope
        return memory, rows, error if np.isfinite(rows.value_and_gradient(theta)[0]) else np.full_like(error, np.inf)

    def mended(self, theta):
        """The same objective with the quadratic mended at a point, as the witnesses tell."""
        memory, rows, error = self._doubted(theta)
        return type(self)(self.rows, memory.mended(rows, error))


def _affordable(n_rows, rows):
    """So many rows, or as few as have no more numbers than may be kept."""
    return max(1, int(min(n_rows, _KEPT_NUMBERS / max(rows.numbers_per_row, 1))))


class NetworkStreamObjective(StreamObjective):
    """The same for a network: the quadratic is Gauss-Newton's, and factors are damped in standardised coordinates.

    Parameters
    ----------
    rows : MLPObjective
    memory : Memory
        Of a matrix.
    """

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

    def start(self):
        """The latest weights."""
        return self.memory.centre

    def remembered(self, theta, is_optimum=True):
        """See `StreamObjective.remembered`: all in the quadratic, which may be far from the losses.

        Far from an optimum its slope could lead anywhere: there the run's end is taken for one.
        """
        memory = self.memory.at(theta, self.rows).with_rows(self.rows, [theta])
        return memory if is_optimum else replace(memory, slope=-self._penalty() * theta)
