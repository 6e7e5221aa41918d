"""An objective on the rows at hand that remembers the rows before as a quadratic.

The sum over all rows so far is approximated by the loss of the latest ones plus the second-order Taylor model of the
rest about its own optimum,

    sum_i w_i loss_i(theta) + penalty(theta) + 1/2 |R (theta - c)|^2,     R'R the curvature summed so far,

which is recursive least squares for squared loss (exact), and the extended Kalman filter in its implicit form for
others: a step is a minimum, so it cannot overshoot. R is updated by a QR decomposition; columns may be of any size.

References
----------
.. [1] D. Bertsekas, "Incremental least squares methods and the extended Kalman filter", SIAM J. Optim. 6(3), 1996.
.. [2] G. Bierman, "Factorization methods for discrete sequential estimation", 1977 (square-root information filter).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives import factors
from sk_hessian.objectives.contract import Objective

#: the information before any row, in rows: half the digits are left for what the rows determine
_PRIOR = 1e-8


@dataclass(frozen=True)
class Memory:
    """The rows before: R, as a matrix (m, n_parameters) or as the roots (n_parameters,) of its diagonal, and c.

    Attributes
    ----------
    root : ndarray of shape (m, n_parameters) or (n_parameters,)
    centre : ndarray of shape (n_parameters,)
    """

    root: np.ndarray
    centre: np.ndarray

    def apply(self, v):
        """R v."""
        return self.root * v if self.root.ndim == 1 else self.root @ v

    def transpose(self, v):
        """R'v."""
        return self.root * v if self.root.ndim == 1 else self.root.T @ v

    def faded(self, forgetting, is_matrix):
        """The same with all weights times ``forgetting``, as a matrix or as a diagonal."""
        root = np.sqrt(forgetting) * self.root
        if is_matrix == (root.ndim == 2):
            return Memory(root, self.centre)
        return Memory(np.diag(root) if is_matrix else np.sqrt(forgetting * self.squares()), self.centre)

    def rows(self):
        """R as a matrix."""
        return np.diag(self.root) if self.root.ndim == 1 else self.root

    def squares(self):
        """The diagonal of R'R."""
        return self.root**2 if self.root.ndim == 1 else np.einsum("mp,mp->p", self.root, self.root)


class StreamObjective(Objective):
    """The objective of the latest rows plus the quadratic memory of those before.

    Parameters
    ----------
    rows : GLMObjective
        The latest rows.
    memory : Memory
    is_dense : bool
        Whether curvature may be a matrix; else its diagonal.
    total : float, optional
        Weight of all the latest rows, where ``rows`` is a sample of them.
    """

    def __init__(self, rows, memory, is_dense, total=None):
        self.rows, self.memory, self.is_dense = rows, memory, is_dense
        self.total = rows.total_weight if total is None else total
        self.n_rows, self.convex, self.curvature = rows.n_rows, rows.convex, "expected"
        self.scale, self.resolution, self.is_smooth = rows.scale, rows.resolution, rows.is_smooth
        self.lower_bound = rows.lower_bound
        self._latest = None

    def value_and_gradient(self, theta):
        """See `Objective.value_and_gradient`."""
        value, gradient = self.rows.value_and_gradient(theta)
        apart = self.memory.apply(theta - self.memory.centre)
        return value + 0.5 * (apart @ apart) / self.total, gradient + self.memory.transpose(apart) / self.total

    def noise(self, theta, value):
        """See `Objective.noise`."""
        return self.rows.noise(theta, value)

    def hessian(self, theta, kind="observed"):
        """See `Objective.hessian`."""
        inner = self.rows.hessian(theta, kind)

        def product(v):
            return inner.matvec(v) + self.memory.transpose(self.memory.apply(np.ravel(v))) / self.total

        return LinearOperator(inner.shape, matvec=product, rmatvec=product, dtype=float)

    def _triangle(self, theta):
        """R with R'R the expected curvature of all rows so far, as a sum."""
        if self._latest is None or not np.array_equal(self._latest[0], theta):
            self._latest = theta.copy(), self.rows.curvature_triangle(theta, self.memory.rows())
        return self._latest[1]

    def hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_matrix`."""
        if kind == "expected" or self.is_exact("expected"):
            root = self._triangle(theta)
            half = root if factor is None else root @ factor.dense()
            return half.T @ half / self.total
        H = self.rows.hessian_matrix(theta, kind)
        H += self.memory.rows().T @ self.memory.rows() / self.total
        return H if factor is None else factor.inner.congruence(H)

    def hessian_diagonal(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_diagonal`."""
        if factor is not None:
            return np.diag(self.hessian_matrix(theta, kind, factor=factor)).copy()
        return self.rows.hessian_diagonal(theta, kind) + self.memory.squares() / self.total

    def is_exact(self, kind):
        """See `Objective.is_exact`."""
        return self.rows.is_exact(kind)

    def forms_hessian(self, n_parameters):
        """See `Objective.forms_hessian`."""
        return self.is_dense

    def preconditioner(self, theta, kind="auto", curvature="expected"):
        """See `Objective.preconditioner`."""
        if not self.is_dense or kind == "diagonal":
            diagonal = self.hessian_diagonal(theta, "expected")
            unit = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
            return factors.PointFactor(factors.Diagonal(unit), theta, None, False)
        if curvature == "expected" or self.is_exact("expected"):
            inner = factors.Cholesky((self._triangle(theta) / np.sqrt(self.total)).T)
        else:
            inner = factors.semidefinite_root(self.hessian_matrix(theta, curvature))
        return factors.PointFactor(inner, theta, curvature, self.is_exact(curvature))

    def sample(self, rows):
        """See `Objective.sample`."""
        return StreamObjective(self.rows.sample(rows), self.memory, self.is_dense, self.total)

    def predictor_change(self, theta, directions):
        """See `Objective.predictor_change`."""
        return self.rows.predictor_change(theta, directions)

    def canonical(self, theta):
        """See `Objective.canonical`."""
        return self.rows.canonical(theta)

    def remarks(self, theta):
        """See `Objective.remarks`."""
        return self.rows.remarks(theta)

    def remembered(self, theta):
        """The `Memory` of all rows so far, the latest among them, after a minimum at ``theta``."""
        if self.memory.root.ndim == 2:
            return Memory(self._triangle(theta), theta)
        return Memory(np.sqrt(self.hessian_diagonal(theta, "expected") * self.total), theta)


def first_memory(rows, theta, is_matrix):
    """The memory before any row: next to nothing, so that what no row has determined yet stays where it is.

    Parameters
    ----------
    rows : GLMObjective
        The first rows, for the units.
    theta : ndarray of shape (n_parameters,)
    is_matrix : bool
        Whether to remember a matrix, or its diagonal.

    Returns
    -------
    Memory
    """
    root = np.sqrt(_PRIOR) * rows.parameter_units()
    return Memory(np.diag(root) if is_matrix else root, theta)
