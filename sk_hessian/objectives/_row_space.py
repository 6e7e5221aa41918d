"""The coordinates of a wide table's rows, and the table in them: a square one, in place of X."""

import numpy as np
from scipy.linalg import lapack, qr

from sk_hessian.objectives.coordinates import WeightCoordinates
from sk_hessian.objectives.design import Design
from sk_hessian.objectives.models import Linear
from sk_hessian.objectives.rows import Columns, Span

#: curvature of the rows beside that of the penalty, up to which products of rows keep the digits that the penalty does
#: not drown
_WELL_SPREAD = 1e8


class RowSpace:
    """Coordinates z of the combinations of few rows, where every weight has a penalty: they span every optimum.

    In units in which all weights have the same penalty, theta = Q z with orthonormal Q, and raw predictions are G z,
    with the pivoted Cholesky factor G (n, r) of the products of the centred rows with each other (the "kernel trick",
    T. Hastie, R. Tibshirani, "Efficient quadratic regularization for expression arrays", 2004; N. Higham, "Analysis of
    the Cholesky decomposition of a semi-definite matrix", 1990). From here on a run reads G in place of X, and X once
    more for the coefficients. Where a penalty is so weak that the products would lose its digits, G is from a QR
    decomposition of the rows themselves.
    """

    def __init__(self, objective):
        plain, loss = objective.space.plain, objective.loss
        unit, varies = objective.space.penalty_units, np.isfinite(plain.scale)
        typical = (objective.l2.least().diagonal[:, 0] * unit * unit).max(initial=0.0)
        L, order = self._triangle(objective, plain.shift, unit, typical)
        rank, scale = L.shape[1], np.where(varies, plain.scale, 1.0)
        span = Span(objective.rows, plain.shift, unit, order[:rank], L[:rank], scale, plain.fit_intercept)
        metric = np.ones(len(span))
        metric[: len(unit)] = np.divide(1.0, (unit * scale) ** 2, out=np.zeros(len(unit)), where=varies)
        self.columns = Columns(plain.shift, plain.scale, plain.fit_intercept, span, metric, np.ones(span.shape[1]))
        #: the penalty in these coordinates
        self.l2 = objective.l2.evened(typical, varies, rank, span.shape[1] - rank)
        self._size = np.linalg.norm(objective.column_sizes * unit)
        Z = np.ones((objective.n_rows, span.shape[1]), order="F")
        Z[order, :rank] = L
        coordinates = WeightCoordinates(self.columns, loss.n_outputs, loss.n_constants)
        #: the rows in these coordinates
        self.design = Design(objective.rows.replaced(Z), Linear(span.shape[1], False, loss), self.l2, coordinates)

    @staticmethod
    def _triangle(objective, shift, unit, typical):
        """G (n, r) with its rows in an order in which it is lower triangular, and that order."""
        rows = objective.rows
        K = rows.kernel(shift, unit)
        share = np.sqrt(rows.weight / rows.total_weight)
        sizes = share * share * K.diagonal()
        if objective.baseline.mean_curvature * sizes.sum() < _WELL_SPREAD * typical:
            L, order, rank, _ = lapack.dpstrf(K, lower=1, overwrite_a=1)
            for column in range(1, rank):
                L[:column, column] = 0.0
            return L[:, :rank], order - 1
        R, order = qr(rows.kernel_root(shift, unit), mode="r", pivoting=True, check_finite=False, overwrite_a=True)
        sizes = np.abs(R.diagonal())
        rank = np.count_nonzero(sizes > np.finfo(float).eps * rows.n_features * sizes.max(initial=0.0))
        return R[:rank].T, order

    def summands(self, z):
        """A bound of the size of what predictions from theta = Q z are the sums of, (k,), for z (n_columns, k)."""
        rank = self.columns.n_columns - self.columns.fit_intercept
        return self._size * np.linalg.norm(z[:rank], axis=0) + np.abs(z[rank:]).sum(axis=0)

    def surplus(self, coef):
        """See `Orthogonal.surplus`: combinations of the rows are those of least norm."""
        return 0.0

    def dependencies(self):
        """See `Orthogonal.dependencies`: the penalty leaves nothing to be named."""
        return []
