"""A linear model of many columns at a point: products of its Hessian with several directions, and scores along them."""

from functools import cached_property

import numpy as np

from sk_hessian.objectives.coordinates import WeightCoordinates
from sk_hessian.objectives.single_rows import SingleRows


class Directions:
    """The Hessian of a `GLMObjective` at an `Evaluation`, by products; no matrix of the columns.

    Directions are columns (size, m), in coordinates in which each column of the rows is centred and its curvature is
    about one. ``kind`` is that of the second derivatives.
    """

    def __init__(self, here, kind):
        self.here, self.objective, self.kind = here, here.objective, kind
        loss, self.columns = self.objective.loss, self.objective.space.plain
        self.outer = WeightCoordinates(self.columns, loss.n_outputs, loss.n_constants)

    @property
    def size(self):
        """How many coordinates there are."""
        return self.outer.shape[1]

    @property
    def n_constant(self):
        """Columns that are the same in all rows, whose coefficients no row tells of."""
        return int(np.isinf(self.columns.scale).sum())

    def seen(self, Z):
        """Directions less what no prediction depends on: constant columns, and of a softmax model the classes' mean."""
        k, n_weights = self.outer.n_outputs, self.outer.n_weights
        by_class = Z[:n_weights].reshape(-1, k, Z.shape[1])
        if self.n_constant:
            by_class = by_class.copy()
            by_class[: len(self.columns.scale)][np.isinf(self.columns.scale)] = 0.0
        if self.objective.loss.shift_invariant:
            by_class = by_class - by_class.mean(axis=1, keepdims=True)
        return np.concatenate([by_class.reshape(n_weights, -1), Z[n_weights:]])

    def gradients(self, positions):
        """How some parameters, as tables show them, move with the coordinates: (size, m)."""
        unit, found = np.zeros(self.outer.shape[0]), np.empty((self.size, len(positions)))
        for j, position in enumerate(positions):
            unit[position] = 1.0
            found[:, j] = self.outer.transpose(unit)
            unit[position] = 0.0
        return self.seen(found)

    @cached_property
    def slope(self):
        """The gradient of the objective, (size,)."""
        return self.seen(self.outer.transpose(self.here.gradient)[:, None])[:, 0]

    def changes(self, Z):
        """A function from a block of rows to how its raw predictions move along directions, (n, k + constants, m)."""
        k, m, n_weights = self.outer.n_outputs, Z.shape[1], self.outer.n_weights
        W, constants = self.columns.to_weights(Z[:n_weights].reshape(-1, k * m)), Z[n_weights:]
        slopes, ones = (W[:-1], W[-1]) if self.columns.fit_intercept else (W, 0.0)

        def change(block):
            moved = (block.forward(slopes) + ones).reshape(-1, k, m)
            if not len(constants):
                return moved
            return np.concatenate([moved, np.broadcast_to(constants, (len(moved), *constants.shape))], axis=1)

        return change

    def products(self, Z):
        """The Hessian's products with directions, (size, m): one round."""
        objective, k, m, kind = self.objective, self.outer.n_outputs, Z.shape[1], self.kind
        loss, predict, changes = objective.loss, self.here.predictor(), self.changes(Z)

        def of_block(block, y, weight):
            bend = loss.hessian(y, predict(block), kind) * weight[:, None, None]
            bent = bend @ changes(block)
            outputs = bent[:, :k].reshape(len(bent), -1)
            return block.adjoint(outputs), outputs.sum(axis=0), bent[:, k:].sum(axis=0)

        slopes, ones, constants = objective.rows.fold(of_block, width=self._width(m))
        gradient = np.vstack([slopes, ones]) if self.columns.fit_intercept else slopes
        found = np.vstack([self.columns.transpose(gradient).reshape(-1, m), constants]) / objective.total
        if objective.l2.is_present:
            pull = self._penalty.pull
            found[: self.outer.n_weights] += np.stack([pull(z) for z in Z.T], axis=1)
        return found

    @cached_property
    def _penalty(self):
        return self.objective.space.penalty_in(self.columns)

    def _width(self, m):
        k = self.outer.n_outputs + self.objective.loss.n_constants
        return self.objective.model.pass_width + 3 * k * (m + k)


class ScoresAlong(SingleRows):
    """The gradients of single rows along the directions Z (size, m) of `Directions`, in place of a factor's."""

    def __init__(self, directions, Z):
        super().__init__(directions.here, None, directions.kind)
        self._directions, self._Z = directions, Z

    def _scorer(self, weigh):
        """See `SingleRows._scorer`; along the directions."""
        objective, predict, changes = self._objective, self._here.predictor(), self._directions.changes(self._Z)
        loss, pull, is_penalised = objective.loss, self._pull, objective.l2.is_present

        def scores(block, y, weight):
            share = weigh(block.part, y, weight)[:, None]
            slope = loss.value_and_gradient(y, predict(block))[1] * share
            found = np.einsum("nk,nkm->nm", slope, changes(block))
            return found + share * pull if is_penalised else found

        return scores

    @property
    def _room(self):
        return None, self._directions._width(self._Z.shape[1])

    @property
    def _pull(self):
        return self._Z.T @ self._pull_of_all

    @cached_property
    def _pull_of_all(self):
        return self._directions.outer.transpose(self._objective.l2.gradient(self._here.theta))

    def _within(self, sums):
        return sums

    def score_moment(self, weigh):
        """See `SingleRows.score_moment`: one round."""
        scores = self._scorer(lambda part, y, weight: np.ones(len(weight)))

        def of_block(block, y, weight):
            found = scores(block, y, weight)
            return (found.T @ (found * weigh(block.part, y, weight)[:, None]),)

        return self._objective.rows.fold(of_block, width=self._room[1])[0]

    def score_size(self, weigh):
        """A bound of the sum of the squared lengths of the rows' gradients in all coordinates, times ``weigh``."""
        objective, predict, columns = self._objective, self._here.predictor(), self._directions.columns
        loss, k = objective.loss, objective.loss.n_outputs

        def of_block(block, y, weight):
            of_rows = weigh(block.part, y, weight)
            slope = loss.value_and_gradient(y, predict(block))[1]
            squares = slope**2 * of_rows[:, None]
            return block.squares(squares[:, :k], columns).sum(), squares[:, k:].sum(), of_rows.sum()

        of_weights, of_constants, count = objective.rows.fold(of_block, columns, width=self._room[1])
        pull = np.sqrt(count) * np.linalg.norm(self._pull_of_all)
        return float((np.sqrt(of_weights + of_constants) + pull) ** 2)
