"""What inspection and streams ask of a linear model beside what solvers ask: rows one by one, and triangles.

A base class of `GLMObjective` alone, whose parameters, columns and sums over rows it reads.
"""

from functools import cached_property

import numpy as np

from sk_hessian.objectives._mean_loss import MeanLossObjective
from sk_hessian.objectives._orthogonal import triangle


class LinearRows(MeanLossObjective):
    """A linear model's rows: what each adds to the objective, how it moves with the parameters, and the others alone.

    A subclass has ``unpack``, ``penalty``, ``n_weights`` and ``n_parameters``, and what `GLMObjective` sums.
    """

    # -- the terms of single rows ---------------------------------------------------------------------------------

    def score_sums(self, theta, factor, weight, groups):
        """Sums within groups of the gradients of the rows' terms, loss and penalty, in the coordinates of a factor.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        factor : GLMFactor
        weight : ndarray of shape (n_rows,)
            What each row's gradient is multiplied with.
        groups : ndarray of shape (n_rows,) of int
            The group of each row, from 0 on.

        Returns
        -------
        ndarray of shape (n_groups, r)
        """
        predict, k = self._predictor(theta), self.loss.n_outputs
        columns, constants = factor.columns, self.loss.n_constants
        sums = np.zeros((groups.max() + 1, columns.n_columns * k + constants))
        for block, y, _ in self.rows.blocks(columns, dense=True, width=sums.shape[1]):
            slope = self.loss.value_and_gradient(y, predict(block))[1] * weight[block.part, None]
            Z = block.standardised(columns)
            scores = np.hstack([(Z[:, :, None] * slope[:, None, :k]).reshape(len(Z), -1), slope[:, k:]])
            order = np.argsort(groups[block.part], kind="stable")
            present, first = np.unique(groups[block.part][order], return_index=True)
            sums[present] += np.add.reduceat(scores[order], first, axis=0)
        penalty = factor.transpose(self._penalty_gradient(theta)[1])
        sums = np.stack([factor.inner.transpose(row) for row in sums])
        return sums + np.bincount(groups, weight)[:, None] * penalty

    def score_moment(self, theta, factor, weight):
        """Second moment of the gradients of the rows' terms, loss and penalty, in the coordinates of a factor.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        factor : GLMFactor
        weight : ndarray of shape (n_rows,)
            What the outer product of each row's gradient is multiplied with.

        Returns
        -------
        ndarray of shape (r, r)
        """
        predict = self._predictor(theta)

        def outer(block, y, _):
            slope = self.loss.value_and_gradient(y, predict(block))[1]
            return slope[:, :, None] * (slope * weight[block.part, None])[:, None, :]

        moment = factor.inner.congruence(self._sum_products(outer, factor.columns))
        if not self.penalty.any():
            return moment
        shift = factor.transpose(self._penalty_gradient(theta)[1])
        mean = self.score_sums(theta, factor, weight, np.zeros(self.n_rows, dtype=np.intp))[0]
        cross = np.outer(mean, shift)
        return moment + cross + cross.T - weight.sum() * np.outer(shift, shift)

    def curvature_triangle(self, theta, above):
        """The triangular R with R'R the sum of the rows' expected curvatures, the penalty and ``above'above``.

        By QR decompositions of blocks of rows, which keep the digits that a sum of squares loses. Unlike
        `identified_triangle` it is of sums in the user's parameters, the loss's own among them: what rows to come will
        share with these, whose means and deviations they will not.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        above : ndarray of shape (m, n_parameters)

        Returns
        -------
        ndarray of shape (n_parameters, n_parameters)
        """
        predict, k, size = self._predictor(theta), self.loss.n_outputs, self.n_parameters

        def roots(block, y, weight):
            S = self.loss.hessian_root(y, predict(block)) * np.sqrt(weight)[:, None, None]
            Z = block.dense(self.fit_intercept)
            weights = np.einsum("nar,nj->nrja", S[:, :k], Z).reshape(-1, self.n_weights)
            return (np.hstack([weights, S[:, k:].transpose(0, 2, 1).reshape(len(weights), -1)]),)

        def stacked(a, b):
            return triangle(np.vstack([a, b])) if len(a) + len(b) > 2 * size else np.vstack([a, b])

        with np.errstate(over="ignore", invalid="ignore"):
            rows = self.rows.reduce(roots, combine=stacked, width=(k + self.loss.n_constants) * size)[0]
        penalty = np.zeros(size)
        penalty[: self.penalty.size] = np.sqrt(self.penalty.ravel() * self._total)
        penalised = np.flatnonzero(penalty)
        return triangle(np.vstack([above, np.diag(penalty)[penalised], rows]))

    def _moved_along(self, theta, factor):
        predict, root, k = self._predictor(theta), factor.inner.dense(), self.loss.n_outputs
        n_z, r = factor.columns.n_columns * k, root.shape[1]
        weights = root[:n_z].reshape(-1, k * r)

        def moved(block):
            raw = predict(block)
            along = np.empty((len(raw), raw.shape[1], r))
            along[:, :k] = (block.standardised(factor.columns) @ weights).reshape(-1, k, r)
            along[:, k:] = root[n_z:]
            return raw, along

        return moved

    def without(self, row):
        """See `MeanLossObjective.without`; the columns' dependence may be another."""
        rest = super().without(row)
        rest._basis_of = rest._shifts = None
        return rest

    def penalty_within(self, factor):
        """The penalty of the first output as a matrix, in the coordinates in which a factor took the curvature.

        Parameters
        ----------
        factor : GLMFactor
            Of this objective.

        Returns
        -------
        ndarray of shape (n_columns, n_columns)
        """
        return self._penalty_matrix(factor.columns, 0)

    def parameter_units(self):
        """The root of the curvature that a typical row has along each parameter, shape (n_parameters,)."""
        size = np.where(self._moments[1] > 0, self._moments[1], np.abs(self._moments[0]))
        size = np.append(np.where(size > 0, size, 1.0), np.ones(int(self.fit_intercept)))
        units = np.sqrt(self._mean_curvature) * np.repeat(size, self.loss.n_outputs)
        return np.append(units, np.ones(self.loss.n_constants))

    # -- the model linearised at a point, for posteriors ----------------------------------------------------------

    @property
    def penalties(self):
        """See `MeanLossObjective.penalties`."""
        penalties = np.zeros(self.n_parameters)
        penalties[: self.penalty.size] = self.penalty.ravel()
        return penalties

    @cached_property
    def identified(self):
        """The coordinates of the posterior, `Identified`."""
        ridge, k = np.sqrt(self.penalty.mean(axis=1) / self._mean_curvature), self.loss.n_outputs
        layers = [(slice(0, self.n_weights), (self.n_weights // k, k))]
        return self._identify(self._moments, ridge, layers, np.ones(k))

    def jacobians(self, theta, X=None):
        """See `MeanLossObjective.jacobians`."""
        parameters, columns, basis = self.unpack(theta), self.identified.columns, self.identified.contrasts
        rows, predict = self._rows_of(X), self._raw if X is None else self._change
        for block, y, weight in rows.blocks(columns, dense=True, width=self.identified.size * len(basis)):
            Z = block.standardised(columns)
            J = Z[:, None, :, None] * basis[None, :, None, :]
            yield predict(block, parameters), J.reshape(*J.shape[:2], -1), y, weight

    def identified_diagonal(self, theta, kind):
        """The diagonal of the Hessian in `identified` coordinates with all outputs, shape (n_parameters,)."""
        return self._curvature_diagonal(theta, kind, self.identified.columns)

    def layer_moments(self, theta):
        """See `MeanLossObjective.layer_moments`."""
        A, C = self._kronecker_moments(theta, self.identified.columns)
        basis = self.identified.contrasts
        return [(A, basis.T @ C @ basis)]
