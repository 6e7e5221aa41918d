"""What inspection and streams ask of a linear model beside what solvers ask: rows one by one, and triangles.

A base class of `GLMObjective` alone, whose parameters, columns and sums over rows it reads.
"""

from functools import cached_property, partial

import numpy as np

from sk_hessian.objectives._mean_loss import MeanLossObjective
from sk_hessian.objectives._spread import Spread
from sk_hessian.objectives.rows import triangle

#: how much a column that has been constant so far may be expected to vary, as a share of its size
_CONSTANT_UNIT = 1e-6


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
        predict, k = self.at(theta).predictor(), self.loss.n_outputs
        columns, constants = factor.outer.columns, self.loss.n_constants
        sums = np.zeros((groups.max() + 1, columns.n_columns * k + constants))
        for block, y, _ in self.rows.blocks(columns, columns.n_columns + 2 * sums.shape[1]):
            slope = self.loss.value_and_gradient(y, predict(block))[1] * weight[block.part, None]
            Z = block.standardised(columns)
            scores = np.hstack([(Z[:, :, None] * slope[:, None, :k]).reshape(len(Z), -1), slope[:, k:]])
            order = np.argsort(groups[block.part], kind="stable")
            present, first = np.unique(groups[block.part][order], return_index=True)
            sums[present] += np.add.reduceat(scores[order], first, axis=0)
        penalty = factor.transpose(self.penalties * theta)
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
        here = self.at(theta)

        def outer(raw, y, _, part):
            slope = self.loss.value_and_gradient(y, raw)[1]
            return slope[:, :, None] * (slope * weight[part, None])[:, None, :]

        moment = factor.inner.congruence(self.sum_products(here, outer, factor.outer.columns))
        if not self.penalty.any():
            return moment
        shift = factor.transpose(self.penalties * theta)
        mean = self.score_sums(theta, factor, weight, np.zeros(self.n_rows, dtype=np.intp))[0]
        cross = np.outer(mean, shift)
        return moment + cross + cross.T - weight.sum() * np.outer(shift, shift)

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
        return self.penalty_matrix(factor.outer.columns, 0)

    # -- streams --------------------------------------------------------------------------------------------------

    def row_quadratics(self, points):
        """The gradient of each row's loss, and its curvature, in its raw predictions and without its weight.

        Parameters
        ----------
        points : sequence of ndarray of shape (n_parameters,)
            As of `curvature_triangle`; the gradient is that at the first.

        Returns
        -------
        slope : ndarray of shape (n_rows, m)
        bend : ndarray of shape (n_rows, m, m)
        """
        roots, predict = self._rooted(points, None), self.at(points[0]).predictor()
        root = self.rows.gather(lambda block, y, weight: roots(block, y, np.ones_like(weight)))
        slope = self.rows.gather(lambda block, y, weight: self.loss.value_and_gradient(y, predict(block))[1])
        return slope, root @ root.transpose(0, 2, 1)

    def pulled_back(self, slope):
        """The weighted sum over rows of gradients in raw predictions, as one in theta.

        Parameters
        ----------
        slope : ndarray of shape (n_rows, m)

        Returns
        -------
        ndarray of shape (n_parameters,)
        """
        return self.rows.fold(
            lambda block, y, weight: (self.model.adjoint(block, slope[block.part] * weight[:, None]),)
        )[0]

    def curvature_triangle(self, points, above, roots=None):
        """The triangular R with R'R the sum of the rows' curvatures and ``above'above``, without the penalty.

        By QR decompositions of blocks of rows, which keep the digits that a sum of squares loses. Unlike
        `identified_triangle` it is of sums in the user's parameters, the loss's own among them: what rows to come will
        share with these, whose means and deviations they will not.

        Parameters
        ----------
        points : sequence of ndarray of shape (n_parameters,)
            Where, or two points: then it is the curvature that makes up for the gradient's change between them.
        above : ndarray of shape (m, n_parameters)
        roots : ndarray of shape (n_rows, m, r), optional
            Other curvatures S S' of the raw predictions, the weights apart, than those of the loss at the points.

        Returns
        -------
        ndarray of shape (r, n_parameters)
        """
        rooted, size = self._rooted(points, roots), self.n_parameters

        def curved(block, y, weight):
            S = rooted(block, y, weight)
            Z, k = block.standardised(self.raw_units), self.loss.n_outputs
            weights = np.einsum("nar,nj->nrja", S[:, :k], Z).reshape(-1, self.n_weights)
            return np.hstack([weights, S[:, k:].transpose(0, 2, 1).reshape(len(weights), -1)])

        width = 2 * (self.loss.n_outputs + self.loss.n_constants) * size
        return triangle(np.vstack([above, self.rows.triangle(curved, width=width)]))

    def _rooted(self, points, roots):
        """A function from a block, its targets and weights to roots (n, m, r) of its curvatures."""
        if roots is None:
            return partial(self._roots, [self.at(theta).predictor() for theta in points])
        return lambda block, y, weight: roots[block.part] * np.sqrt(weight)[:, None, None]

    def _roots(self, predictors, block, y, weight):
        """Roots (n, m, r) of the expected curvature at one point, or on the way between two; times the weight."""
        raws = [predict(block) for predict in predictors]
        roots = [self.loss.hessian_root(y, raw) for raw in raws]
        S = np.concatenate(roots, axis=2) * np.sqrt(weight / len(roots))[:, None, None]
        return S if len(raws) == 1 else S * np.sqrt(self._secant_share(y, *raws, *roots))[:, None, None]

    def _secant_share(self, y, raw, other, root, other_root):
        """By what to multiply the mean curvature of two raw predictions for the gradient's change between them."""
        moved = other - raw
        change = self.loss.value_and_gradient(y, other)[1] - self.loss.value_and_gradient(y, raw)[1]
        bent = 0.5 * sum((np.einsum("nmr,nm->nr", S, moved) ** 2).sum(axis=1) for S in (root, other_root))
        along = np.maximum(np.einsum("nm,nm->n", moved, change), 0.0)
        is_known = (bent > np.finfo(float).tiny) & np.isfinite(along)
        return np.divide(along, bent, out=np.ones_like(bent), where=is_known)

    def curvature_spread(self, points, roots=None):
        """The sum of the rows' curvatures as if columns were uncorrelated, without the penalty.

        Parameters
        ----------
        points : sequence of ndarray of shape (n_parameters,)
        roots : ndarray of shape (n_rows, m, r), optional
            As of `curvature_triangle`.

        Returns
        -------
        Spread
        """
        rooted = self._rooted(points, roots)
        k, columns = self.loss.n_outputs, self.plain_columns

        def terms(block, y, weight):
            bent = np.square(rooted(block, y, weight)).sum(axis=2)
            ones = [bent[:, :k].sum(axis=0)[None, :]] if self.fit_intercept else []
            first = columns.transpose(np.vstack([block.adjoint(bent[:, :k]), *ones]))
            return block.squares(bent[:, :k], columns), first, bent[:, k:].sum(axis=0)

        width = 2 * (k + self.loss.n_constants) ** 2
        squares, first, constants = self.rows.fold(terms, columns, width=width)
        return self._spread(squares.T, first, constants)

    def _spread(self, squares, first, constants):
        """A `Spread` from second and first moments (n_columns, k) of the standardised columns."""
        p, columns = self.n_features, self.plain_columns
        scale = np.where(np.isfinite(columns.scale), columns.scale, 0.0)[:, None]
        if not self.fit_intercept:
            return Spread(squares * scale**2, np.zeros(0), np.zeros_like(first), constants)
        level, first = squares[p], first[:p]
        mean = np.divide(first, level, out=np.zeros_like(first), where=level > 0)
        squares = np.maximum(squares[:p] - level * mean**2, 0.0) * scale**2
        return Spread(squares, level, columns.shift[:, None] + scale * mean, constants)

    def typical_spread(self):
        """The curvature that a row of these has on average at the null model, as if columns were uncorrelated.

        Returns
        -------
        Spread
        """
        centre, deviation = self._moments
        size = np.where(deviation > 0, deviation, _CONSTANT_UNIT * np.abs(centre))
        bent = self.mean_curvature
        outputs = np.ones(self.loss.n_outputs)
        y, raw = self._null_at_head()
        constants = self.loss.hessian(y, raw, "expected")[:, self.loss.n_outputs :, self.loss.n_outputs :]
        return Spread(
            bent * np.outer(size**2, outputs),
            bent * outputs[: None if self.fit_intercept else 0],
            np.outer(centre, outputs),
            np.einsum("nmm->m", constants) / len(y),
        )

    def _null_of(self, y, weight):
        """See `MeanLossObjective._null_of`; without an intercept zero."""
        if self.fit_intercept:
            return super()._null_of(y, weight)
        return np.append(np.zeros(self.loss.n_outputs), self.loss.null_model.constants(y, weight))

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
        ridge, k = np.sqrt(self.penalty.mean(axis=1) / self.mean_curvature), self.loss.n_outputs
        layers = [(slice(0, self.n_weights), (self.n_weights // k, k))]
        return self._identify(self._moments, ridge, layers, np.ones(k))

    def jacobians(self, theta, X=None):
        """See `MeanLossObjective.jacobians`."""
        parameters, columns, basis = self.unpack(theta), self.identified.columns, self.identified.contrasts
        rows, predict = self._rows_of(X), self.model.raw if X is None else self.model.change
        for block, y, weight in rows.blocks(columns, (1 + self.identified.size) * len(basis) + columns.n_columns):
            Z = block.standardised(columns)
            J = Z[:, None, :, None] * basis[None, :, None, :]
            yield predict(block, parameters), J.reshape(*J.shape[:2], -1), y, weight

    def identified_diagonal(self, theta, kind):
        """The diagonal of the Hessian in `identified` coordinates with all outputs, shape (n_parameters,)."""
        return self.at(theta).curvature_diagonal(kind, self.identified.columns)

    def layer_moments(self, theta):
        """See `MeanLossObjective.layer_moments`."""
        A, C = self.at(theta).kronecker_moments(self.identified.columns)
        basis = self.identified.contrasts
        return [(A, basis.T @ C @ basis)]
