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
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian._facts import lasting_fact
from sk_hessian.objectives import factors
from sk_hessian.objectives._spread import Spread, SpreadFactor
from sk_hessian.objectives.contract import Facts, Objective
from sk_hessian.objectives.coordinates import PointFactor
from sk_hessian.objectives.evaluation import Evaluation
from sk_hessian.objectives.mean_loss import require_bend
from sk_hessian.objectives.row_curvature import RowCurvature
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
        Of the shape in which curvature is to be remembered; of a network a matrix.
    """

    n_rows: int
    scale: float
    is_model = True

    def __init__(self, rows, memory):
        require_bend(rows.loss, "the memory of a stream")
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
        scale = self.rows.baseline.scale_of(*self.targets) * (self.memory.weight + self.total) / self.total
        return max(scale, self.rows.scale) if np.isfinite(scale) else self.rows.scale

    def at(self, theta):
        """See `Objective.at`."""
        return (StreamEvaluation if self.rows.model.is_linear else NetworkStreamEvaluation)(self, theta)

    def start(self):
        """The latest parameters; or where the null model of the rows is better, the best on the way from it to them."""
        centre = self.memory.centre
        if not _is_corrected(self.rows):
            return centre
        null = self.rows.start()
        if self.at(centre).value <= self.at(null).value:
            return centre
        tried = [null + share * (centre - null) for share in _BACK]
        values = [self.at(theta).value for theta in tried]
        return tried[int(np.argmin(values))]

    @property
    def l2(self):
        """The penalty as a sum over rows."""
        return self.rows.l2.times(self.total)

    def is_exact(self, kind):
        """See `Objective.is_exact`."""
        return self.rows.is_exact(kind)

    @property
    def facts(self):
        """See `Objective`."""
        is_rugged = self.rows.facts.has_many_optima
        return Facts(made_of="memory", has_matrix=self.memory.is_matrix, has_many_optima=is_rugged)

    def refuse_kind(self, kind):
        """See `Objective.refuse_kind`."""
        raise ValueError(f'precondition="{kind}" is not available for partial_fit; choose "auto", "full", ...')

    # -- what the solvers ask -------------------------------------------------------------------------------------

    def sample(self, rows):
        """See `Objective.sample`."""
        part = copy.copy(self)
        part.rows, part.n_rows = self.rows.sample(rows), len(rows)
        return part

    def diagnose(self, theta, direction, feasible=None):
        """See `Objective.diagnose`; what is remembered of former rows bends in every direction."""
        return self.rows.diagnose(theta, direction, feasible) if self.memory.weight == 0 else None

    def canonical(self, theta, feasible=None):
        """See `Objective.canonical`."""
        return self.rows.canonical(theta, feasible)

    def remedy(self, status):
        """See `Objective.remedy`."""
        return self.rows.remedy(status)

    def remembered(self, theta, is_optimum=True):
        """The `Memory` of all rows so far, the latest among them, at ``theta``.

        The older half of the rows that were kept goes into the quadratic once they are too many. Where the run did not
        end at an optimum the curvature is that of the secant from the null model: rows that no other contradicts yet
        have no curvature left where they are fitted perfectly. The slope of a network could lead anywhere there: the
        run's end is taken for an optimum.
        """
        memory, n_old = self.memory.at(theta, self.rows), self._n_old()
        if n_old == self.n_rows:
            old, kept = self.rows, None
        else:
            rows = self.rows.rows.collected()
            old = self.rows.on_rows(rows.take(np.arange(n_old))) if n_old else None
            kept = rows.take(np.arange(n_old, self.n_rows))
        if old is not None:
            points = [theta] if is_optimum or not _is_corrected(self.rows) else [theta, old.start()]
            memory = self._with_rows(memory, old, points)
        if not (is_optimum or self.rows.model.is_linear):
            memory = replace(memory, slope=-self.l2.gradient(theta))
        return replace(memory, kept=kept)

    def _n_old(self):
        """How many of the rows, the first, go into the quadratic."""
        rows, n_rows = self.rows.rows, self.n_rows
        if not _is_corrected(self.rows) or n_rows > 2 * _KEPT_ROWS:
            return n_rows
        most = _affordable(_KEPT_ROWS, rows)
        return 0 if n_rows <= most else n_rows - most // 2

    @staticmethod
    def _with_rows(memory, rows, points):
        """`Memory.with_rows`, with witnesses where these correct the quadratic."""
        memory, most = memory.with_rows(rows, points), _affordable(_WITNESSES, rows.rows)
        return memory.witnessed(rows, points, most) if _is_corrected(rows) else memory

    def memory_error(self, theta):
        """What the quadratic of the old rows may spoil at a point: half the squared Newton decrement of its error.

        The error is that of its gradient, by the witnesses; the curvature is that of the latest rows and the witnesses.
        Two numbers in units of `scale`, so that they are shares of what the model can gain: of the quadratic, and of
        what it has been mended by, which is as uncertain as ten parts of the witnesses differ.
        """
        if self.memory.witnesses is None:
            return 0.0, 0.0
        memory, rows, error = self._doubted(theta)
        if not np.isfinite(error).all():
            return np.inf, 0.0
        share, witnesses = memory.weight / rows.total_weight, memory.witnesses
        curved = replace(memory, curvature=memory.prior).curvature_of(rows, [theta]).times(share)
        beside = copy.copy(self)
        beside.memory = replace(memory, curvature=curved)
        factor = beside.preconditioner(theta, "full" if memory.is_matrix else "diagonal")
        along = factor.transpose(share / self.total * RowCurvature(rows).pulled_back(error))
        mended, part = witnesses.mended + error, np.arange(rows.n_rows) % _PARTS
        parts = [RowCurvature(rows).pulled_back(mended * (part == one)[:, None]) for one in range(_PARTS)]
        apart = np.stack([factor.transpose(share / self.total * sums) for sums in parts - np.mean(parts, axis=0)])
        noise = _PARTS / (_PARTS - 1) * (apart**2).sum() if rows.n_rows < memory.n_rows else 0.0
        return 0.5 * (along @ along) / self.scale, 0.5 * noise / self.scale

    def _doubted(self, theta):
        """The memory at a point, the objective of its witnesses, and their slopes less those by the quadratic.

        These are infinite where the point is outside the loss's domain.
        """
        memory = self.memory.at(theta, self.rows)
        rows = self.rows.on_rows(memory.witnesses.rows)
        error = RowCurvature(rows).quadratics([theta])[0] - memory.witnesses.slope
        return memory, rows, error if np.isfinite(rows.at(theta).value) else np.full_like(error, np.inf)

    def mended(self, theta):
        """The same objective with the quadratic mended at a point, as the witnesses tell."""
        memory, rows, error = self._doubted(theta)
        return type(self)(self.rows, memory.mended(rows, error))


def _is_corrected(rows):
    """Whether rows that are kept and witnesses correct the quadratic: not of a squared loss, where it is exact.

    Nor of a network, where it may be far from the losses whatever is kept.
    """
    return rows.model.is_linear and not rows.loss.quadratic


def _affordable(n_rows, rows):
    """So many rows, or as few as have no more numbers than may be kept."""
    return max(1, int(min(n_rows, _KEPT_NUMBERS / max(rows.numbers_per_row, 1))))


class StreamEvaluation(Evaluation):
    """The latest rows and the memory at a point."""

    @cached_property
    def rows(self):
        """The latest rows there."""
        return self.objective.rows.at(self.theta)

    @cached_property
    def _taylor(self):
        change, slope = self.objective.memory.taylor(self.theta)
        return change / self.objective.total, slope / self.objective.total

    @lasting_fact
    def value(self):
        """See `Evaluation`."""
        return self.rows.value + self._taylor[0]

    @lasting_fact
    def gradient(self):
        """See `Evaluation`."""
        return self.rows.gradient + self._taylor[1]

    @property
    def noise(self):
        """See `Evaluation.noise`."""
        return self.rows.noise

    def likelihood_tolerance(self, tol):
        """See `Evaluation.likelihood_tolerance`: of the sum over all rows so far, whose mean tells the dispersion."""
        memory, total = self.objective.memory, self.objective.total
        excess = max(memory.excess + total * self.rows.excess, 0.0)
        return self.rows.likelihood_tolerance(tol, excess / (memory.weight + total))

    def predictor_change(self, directions):
        """See `Evaluation.predictor_change`."""
        return self.rows.predictor_change(directions)

    def remarks(self):
        """See `Evaluation.remarks`."""
        return self.rows.remarks()

    # -- curvature ------------------------------------------------------------------------------------------------

    def hessian(self, kind="observed"):
        """See `Evaluation.hessian`."""
        inner, remembered, total = self.rows.hessian(kind), self.objective.memory.curvature, self.objective.total

        def product(v):
            return inner.matvec(v) + remembered.transpose(remembered.apply(np.ravel(v))) / total

        return LinearOperator(inner.shape, matvec=product, rmatvec=product, dtype=float)

    @cached_property
    def _losses(self):
        """The curvature of the losses of all rows so far, as a sum."""
        return self.objective.memory.curvature_of(self.objective.rows, [self.theta])

    @cached_property
    def _triangle(self):
        """R with R'R the expected curvature of all rows so far and the penalty, as a sum; square and regular."""
        objective, memory = self.objective, self.objective.memory
        if memory.is_matrix:
            root = self._losses.root
        else:
            root = RowCurvature(objective.rows).triangle([self.theta], memory.curvature.rows())
        size = root.shape[1]
        untold = (memory.prior.diagonal() == 0) & (objective.l2.diagonal_of(size) == 0)
        held = objective.l2.root()
        extra = [np.pad(held, ((0, 0), (0, size - held.shape[1]))), np.sqrt(objective.total) * np.eye(size)[untold]]
        return triangle(np.vstack([root, *extra])) if any(map(len, extra)) else root

    def hessian_matrix(self, kind="observed", factor=None):
        """See `Evaluation.hessian_matrix`."""
        objective = self.objective
        if kind == "expected" or objective.is_exact("expected"):
            half = self._triangle if factor is None else self._triangle @ factor.dense()
            return half.T @ half / objective.total
        rows = objective.memory.curvature.rows()
        H = self.rows.hessian_matrix(kind) + rows.T @ rows / objective.total
        return H if factor is None else factor.inner.congruence(H)

    def hessian_diagonal(self, kind="observed", factor=None):
        """See `Evaluation.hessian_diagonal`."""
        if factor is None:
            return self.rows.hessian_diagonal(kind) + self.objective.memory.curvature.diagonal() / self.objective.total
        if isinstance(factor.inner, SpreadFactor):
            return factor.inner.diagonal_of(self._spread())
        return self.hessian_matrix(kind, factor).diagonal().copy()

    def _spread(self):
        """The mean curvature as if columns were uncorrelated, the penalty included."""
        objective, losses = self.objective, self._losses
        if objective.memory.is_matrix:
            losses = Spread.of_rows(losses.root, objective.memory.prior)
        return losses.plus_diagonal(objective.l2.diagonal_of(objective.n_parameters)).times(1 / objective.total)

    def factor(self, kind="full", curvature="expected"):
        """See `Evaluation.factor`."""
        objective, outer = self.objective, factors.Identity(self.theta.size)
        if kind not in objective.facts.kinds:
            objective.refuse_kind(kind)
        if kind == "diagonal":
            return PointFactor(outer, SpreadFactor(self._spread()), self)
        if curvature == "expected" or objective.is_exact("expected"):
            inner = factors.Cholesky((self._triangle / np.sqrt(objective.total)).T)
        else:
            inner = factors.semidefinite_root(self.hessian_matrix(curvature))
        return PointFactor(outer, inner, self, curvature, objective.is_exact(curvature))


class NetworkStreamEvaluation(StreamEvaluation):
    """The same for a network: the quadratic is Gauss-Newton's, and factors are damped in standardised coordinates."""

    def likelihood_tolerance(self, tol):
        """See `Evaluation.likelihood_tolerance`: weights of a network have no errors."""
        return np.inf

    def hessian_matrix(self, kind="observed", factor=None):
        """See `Evaluation.hessian_matrix`."""
        root = self.objective.memory.curvature.root
        root = root if factor is None else root @ factor.dense()
        return self.rows.hessian_matrix(kind, factor) + root.T @ root / self.objective.total

    def factor(self, kind="full", curvature="expected"):
        """See `Evaluation.factor`."""
        if kind == "units":
            return self.rows.factor("units")
        if kind not in self.objective.facts.kinds:
            self.objective.refuse_kind(kind)
        H = self.hessian_matrix(curvature, self.rows.standard_factor())
        return self.rows.damped_factor(np.diag(H.diagonal()) if kind == "diagonal" else H)
