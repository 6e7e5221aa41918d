"""The curvature of rows that a stream will remember, with the digits that a sum of squares would lose."""

from functools import partial

import numpy as np

from sk_hessian.objectives._spread import Spread
from sk_hessian.objectives.rows import triangle


class RowCurvature:
    """The rows of an objective as quadratics in theta, without the penalty.

    They are taken at ``points``, one parameter vector; of a linear model also two: then the curvature is that which
    makes up for the gradient's change between them.
    """

    def __init__(self, objective):
        self._objective = objective

    def quadratics(self, points):
        """The gradient (n_rows, m) of each row's loss in its raw predictions, and its curvature (n_rows, m, m).

        Without its weight; the gradient is that at the first point.
        """
        loss, roots, predict = self._objective.loss, self._rooted(points), self._objective.at(points[0]).predictor()

        def of_block(block, y, weight):
            return loss.value_and_gradient(y, predict(block))[1], roots(block, y, np.ones_like(weight))

        slope, root = self._objective.rows.gather(of_block)
        return slope, root @ root.transpose(0, 2, 1)

    def pulled_back(self, slope):
        """The weighted sum over rows of gradients (n_rows, m) in raw predictions, as one in theta."""
        rows, model = self._objective.rows, self._objective.model
        return rows.fold(lambda block, y, weight: (model.adjoint(block, slope[block.part] * weight[:, None]),))[0]

    def triangle(self, points, above, roots=None):
        """The triangular R with R'R the sum of the rows' expected curvatures and of ``above'above``.

        By QR decompositions of blocks of rows. Unlike `Linearised.triangle` it is of sums in the user's parameters, the
        loss's own among them: what rows to come will share with these, whose means and deviations they will not.
        ``roots`` (n_rows, m, r) are other curvatures S S' of the raw predictions, the weights apart, than those of the
        loss at the points.
        """
        rooted, model = self._rooted(points, roots), self._objective.model
        parameters = model.unpack(points[0])

        def curved(block, y, weight):
            return model.pulled(block, parameters, rooted(block, y, weight)).reshape(-1, model.n_parameters)

        width = 2 * (model.n_outputs + model.n_constants) * model.n_parameters + model.pass_width
        return triangle(np.vstack([above, self._objective.rows.triangle(curved, width=width)]))

    def _rooted(self, points, roots=None):
        """A function from a block, its targets and weights to roots (n, m, r) of its curvatures."""
        if roots is None:
            return partial(self._roots, [self._objective.at(theta).predictor() for theta in points])
        return lambda block, y, weight: roots[block.part] * np.sqrt(weight)[:, None, None]

    def _roots(self, predictors, block, y, weight):
        """Roots (n, m, r) of the expected curvature at one point, or on the way between two; times the weight."""
        raws = [predict(block) for predict in predictors]
        roots = [self._objective.loss.hessian_root(y, raw) for raw in raws]
        S = np.concatenate(roots, axis=2) * np.sqrt(weight / len(roots))[:, None, None]
        return S if len(raws) == 1 else S * np.sqrt(self._secant_share(y, *raws, *roots))[:, None, None]

    def _secant_share(self, y, raw, other, root, other_root):
        """By what to multiply the mean curvature of two raw predictions for the gradient's change between them."""
        moved = other - raw
        slope, other_slope = (self._objective.loss.value_and_gradient(y, at)[1] for at in (raw, other))
        bent = 0.5 * sum((np.einsum("nmr,nm->nr", S, moved) ** 2).sum(axis=1) for S in (root, other_root))
        along = np.maximum(np.einsum("nm,nm->n", moved, other_slope - slope), 0.0)
        is_known = (bent > np.finfo(float).tiny) & np.isfinite(along)
        return np.divide(along, bent, out=np.ones_like(bent), where=is_known)

    def spread(self, points, roots=None):
        """The rows' curvatures as a `Spread`, as if columns were uncorrelated; ``roots`` as of `triangle`."""
        rooted = self._rooted(points, roots)
        k, columns = self._objective.loss.n_outputs, self._objective.space.plain

        def of_block(block, y, weight):
            curvature = np.square(rooted(block, y, weight)).sum(axis=2)
            ones = [curvature[:, :k].sum(axis=0)[None, :]] if self._objective.fit_intercept else []
            first = columns.transpose(np.vstack([block.adjoint(curvature[:, :k]), *ones]))
            return block.squares(curvature[:, :k], columns), first, curvature[:, k:].sum(axis=0)

        width = 2 * (k + self._objective.loss.n_constants) ** 2
        squares, first, constants = self._objective.rows.fold(of_block, columns, width=width)
        return self._spread(squares.T, first, constants)

    def _spread(self, squares, first, constants):
        """A `Spread` from second and first moments (n_columns, k) of the standardised columns."""
        p, columns = self._objective.n_features, self._objective.space.plain
        scale = np.where(np.isfinite(columns.scale), columns.scale, 0.0)[:, None]
        if not self._objective.fit_intercept:
            return Spread(squares * scale**2, np.zeros(0), np.zeros_like(first), constants)
        level, first = squares[p], first[:p]
        mean = np.divide(first, level, out=np.zeros_like(first), where=level > 0)
        squares = np.maximum(squares[:p] - level * mean**2, 0.0) * scale**2
        return Spread(squares, level, columns.shift[:, None] + scale * mean, constants)
