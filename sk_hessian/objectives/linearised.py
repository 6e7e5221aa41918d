"""A model linearised at a point, in coordinates of all that its loss and its penalty determine: for posteriors."""

from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.linalg import eigh, lapack, svd

from sk_hessian.objectives.coordinates import LayerCoordinates
from sk_hessian.objectives.rows import Columns, rows_of, triangle

#: pivots of the normal equations, their diagonal one, above this leave a factor ten digits
_SAFE_PIVOT = 1e-6


class Identified(LayerCoordinates):
    """theta = T z for the parameters that a loss and a penalty determine, none of them left out.

    As `LayerCoordinates`, all units finite, but a constant input has the unit of its penalty, and the last layer's
    outputs count in an orthonormal basis of the changes that the loss sees, ``contrasts`` (k, r): of a softmax model
    those that sum to zero. ``hidden_biases`` says whether the biases of hidden layers are among the coordinates.
    """

    def __init__(self, columns, layers, output_unit, contrasts, is_linear, hidden_biases=True):
        super().__init__(columns, layers, output_unit)
        self.contrasts = contrasts
        # a linear model takes its sums in coordinates of its columns
        self.summed_in = columns if is_linear else self
        hidden = [(part, (rows - (not hidden_biases), width)) for part, (rows, width) in layers[:-1]]
        self.shapes = [*(shape for _, shape in hidden), (self._last_shape[0], contrasts.shape[1])]
        ends = np.cumsum([0] + [rows * width for rows, width in self.shapes])
        self.parts = [slice(a, b) for a, b in pairwise(ends.tolist())]  #: where the layers are in z
        self.size = self.parts[-1].stop
        #: where the hidden layers of z are in theta
        kept = [np.arange(part.start, part.start + rows * width) for part, (rows, width) in hidden]
        self._hidden = np.concatenate([np.arange(0), *kept])

    def layers_of(self, values):
        """The parts of (..., n_parameters) in each layer of z, of the last one with all outputs."""
        hidden = values[..., self._hidden]
        return [hidden[..., part] for part in self.parts[:-1]] + [values[..., self._last]]

    def reduced(self, J):
        """Derivatives in z (..., size) from those in the coordinates with all outputs (..., n_parameters)."""
        *hidden, last = self.layers_of(J)
        last = last.reshape(*J.shape[:-1], *self._last_shape) @ self.contrasts
        return np.concatenate([*hidden, last.reshape(*J.shape[:-1], -1)], axis=-1)

    def expanded(self, z):
        """The change of theta for a change of z."""
        theta = np.zeros(self._last.stop)
        theta[self._hidden] = z[: self.parts[-1].start]
        theta[self._last] = (z[self.parts[-1]].reshape(self.shapes[-1]) @ self.contrasts.T).ravel()
        return self.apply(theta)

    def of_rows(self, values):
        """What all outputs of a parameter share, shape (size,), from (n_parameters,)."""
        *hidden, last = self.layers_of(values)
        last = last.reshape(self._last_shape)
        if last.shape[1] != self.shapes[-1][1]:
            last = np.repeat(last[:, :1], self.shapes[-1][1], axis=1)
        return np.concatenate([*hidden, last.ravel()])

    @cached_property
    def units(self):
        """The diagonal of T, whose product is its determinant, shape (size,)."""
        units = self.unit(self._last.stop)
        inputs = units[self._first].reshape(self._first_shape)
        inputs[: len(self.columns.scale)] /= self.columns.scale[:, None]
        return self.of_rows(units)


class Linearised:
    """The Jacobian of a model's raw predictions at a point, and the curvature that it gives.

    In coordinates z of `Identified`, turned where the penalty is a matrix, so that the penalty is a diagonal.

    Parameters
    ----------
    objective : MeanLossObjective
    theta : ndarray of shape (n_parameters,)
    hidden_biases : bool
        Whether the biases of hidden layers, which have no penalty, are among the coordinates.

    Attributes
    ----------
    coordinates : Identified
    """

    def __init__(self, objective, theta, hidden_biases=True):
        self.objective, self.theta = objective, theta
        centre, deviation, ridge, output_unit = objective.column_units
        scale = np.hypot(deviation, ridge)
        if not scale.all():
            raise ValueError(
                f"X: column {objective.name(np.flatnonzero(scale == 0)[0])} is constant and has no penalty, so that "
                "nothing determines its coefficient: drop it"
            )
        model, contrasts = objective.model, objective.loss.contrasts()
        columns = Columns(centre, scale, model.fit_intercept)
        if model.is_linear and not objective.space.is_wide and np.array_equal(objective.space.plain.scale, scale):
            # whose rows may be kept
            columns = objective.space.plain
        self.coordinates = Identified(columns, model.layers, output_unit, contrasts, model.is_linear, hidden_biases)

    # -- the penalty ----------------------------------------------------------------------------------------------

    @property
    def penalty(self):
        """The penalty of each coordinate, shape (size,)."""
        return self._penalty_and_turn[0]

    @cached_property
    def _penalty_and_turn(self):
        """The penalty of each coordinate, and Q of the turned coordinates Q'z; None where they are not turned."""
        l2, at = self.objective.l2, self.coordinates
        if not l2.has_matrix:
            return at.of_rows(l2.diagonal_of(self.theta.size)) * at.units**2, None
        root = at.reduced(np.stack([at.transpose(row) for row in self._penalty_root]))
        roots, Q = np.zeros(at.size), np.eye(at.size)
        if len(root):
            values, Q = svd(root, full_matrices=True)[1:]
            roots[: len(values)] = np.where(values > at.size * np.finfo(float).eps * values[0], values, 0.0)
        return roots**2, Q.T

    def gradient(self, g):
        """A gradient in the coordinates, shape (size,), from one in theta."""
        return self.turned(self.coordinates.reduced(self.coordinates.transpose(g)))

    def turned(self, g):
        """A gradient in the coordinates from one in those that are not turned."""
        turn = self._penalty_and_turn[1]
        return g if turn is None else turn.T @ g

    def unturned(self, M):
        """The inverse of a Hessian in coordinates that are not turned from one in the coordinates."""
        turn = self._penalty_and_turn[1]
        return M if turn is None else turn @ M @ turn.T

    def root_of(self, l2):
        """B with B'B the Hessian of an `L2` of the same weights in the coordinates, shape (r, size)."""
        root = l2.root()
        return np.stack([self.gradient(row) for row in np.pad(root, ((0, 0), (0, self.theta.size - root.shape[1])))])

    @cached_property
    def _penalty_root(self):
        """R with R'R the penalty's Hessian in theta, shape (r, n_parameters)."""
        root = self.objective.l2.root()
        return np.pad(root, ((0, 0), (0, self.theta.size - root.shape[1])))

    @cached_property
    def flat_volume(self):
        """The logarithm of the volume of a unit cube of the parameters without a penalty, in these coordinates.

        Where the penalty is a matrix, the volume of theta, and the ratio of the penalty's determinants here and there.
        """
        units, penalty = self.coordinates.units, self.penalty
        if not self.objective.l2.has_matrix:
            return np.log(units[penalty == 0]).sum()
        held = penalty[penalty > 0]
        in_theta = eigh(self._penalty_root.T @ self._penalty_root, eigvals_only=True)[-len(held) :]
        return np.log(units).sum() - 0.5 * (np.log(held).sum() - np.log(in_theta).sum())

    def expanded(self, z):
        """The change of theta for a change of the coordinates."""
        turn = self._penalty_and_turn[1]
        return self.coordinates.expanded(z if turn is None else turn @ z)

    def parameter_of(self, index):
        """The number of the parameter that a coordinate is most of."""
        turn = self._penalty_and_turn[1]
        index = index if turn is None else np.argmax(np.abs(turn[:, index]))
        return int(self.coordinates.of_rows(np.arange(self.theta.size))[index])

    def sizes(self, A):
        """Sizes of the columns of A (m, d) in the coordinates, those before a turn where these are larger.

        Where they are turned, a direction that the rows do not see has nothing but the rounding of the others.
        """
        turn = self._penalty_and_turn[1]
        sizes = np.linalg.norm(A, axis=0)
        return sizes if turn is None else np.hypot(sizes, turn.T**2 @ np.linalg.norm(A @ turn.T, axis=0))

    def moved(self, J):
        """Derivatives in the coordinates from those in theta, (..., n_parameters), standardised but for units."""
        turn = self._penalty_and_turn[1]
        J = self.coordinates.reduced(J * self._unit)
        return J if turn is None else J @ turn

    @cached_property
    def _unit(self):
        return self.coordinates.unit(self.theta.size)

    # -- the rows -------------------------------------------------------------------------------------------------

    @cached_property
    def here(self):
        """The objective at the point."""
        return self.objective.at(self.theta)

    def jacobians(self, X=None):
        """Yield raw predictions (b, k), their derivatives (b, k, size), targets and weights (b,), block by block.

        The rows are those of the objective, or others X (n, p) without an offset, whose targets and weights are zero.
        """
        objective, at, model = self.objective, self.coordinates, self.objective.model
        rows = objective.rows if X is None else rows_of(X)
        k, P = model.n_outputs, model.n_parameters
        parameters, inner = model.unpack(self.theta), model.unpack(at.standardised(self.theta))
        S = np.eye(k + model.n_constants, k)
        width = at.columns.n_columns + k * (P + at.size) + model.pass_width
        for block, y, weight in rows.blocks(at.columns, width):
            raw = model.raw(block, parameters)
            J = model.pulled(block.through(at.inputs), inner, np.broadcast_to(S, (len(raw), *S.shape)))
            yield raw, self.moved(J), y, weight

    def roots(self, kind):
        """Yield A, block by block, with A'A the Hessian less the penalty; ``kind`` is as of `triangle`.

        Shape (b, size), with as many rows as the block has, times the outputs that the loss sees.
        """
        for raw, J, y, weight in self.jacobians():
            root = self._curvature_root(y, raw, kind) * np.sqrt(weight / self.objective.total)[:, None, None]
            yield (root.transpose(0, 2, 1) @ J).reshape(-1, J.shape[2])

    def _curvature_root(self, y, raw, kind):
        loss = self.objective.loss
        if kind == "expected" or self.objective.is_exact("expected"):
            return loss.hessian_root(y, raw)
        return np.sqrt(np.maximum(loss.hessian(y, raw, kind), 0))

    def gram_root(self, kind):
        """The same as `triangle` of a linear model by the normal equations, or None where these lose digits."""
        at = self.coordinates
        H = self.here.curvature(kind, at.summed_in)
        k, r = at.contrasts.shape
        if k != r:
            q = len(H) // k
            H = at.contrasts.T @ (H.reshape(q, k, q, k) @ at.contrasts).reshape(q, k, q * r)
            H = H.reshape(q * r, q * r)
        turn = self._penalty_and_turn[1]
        H = H if turn is None else turn.T @ H @ turn
        unit = np.sqrt(H.diagonal())
        if not (unit > 0).all():
            return None
        R, info = lapack.dpotrf(H / unit / unit[:, None], lower=0, clean=1)
        return R * unit if info == 0 and R.diagonal().min() ** 2 > _SAFE_PIVOT else None

    def triangle(self, kind):
        """The upper triangular R (size, size) with R'R the Hessian, the penalty included.

        By orthogonal transformations of the rows, not from the normal equations: a direction that the penalty alone
        determines keeps its digits. For a network ``kind`` is "expected", Gauss-Newton; "observed" where it is not
        negative.
        """
        penalty = self.penalty
        rows = [np.diag(np.sqrt(penalty))]
        for root in self.roots(kind):
            rows.append(root)
            if sum(map(len, rows)) > 3 * len(penalty):
                rows = [triangle(np.vstack(rows))]
        return triangle(np.vstack(rows))

    def diagonal(self, kind):
        """The diagonal of the Hessian with all outputs, shape (n_parameters,); of a network's Gauss-Newton."""
        return self.here.curvature_diagonal(kind, self.coordinates.summed_in)

    def layer_moments(self):
        """A (q, q) and G (r, r) of each layer, whose Kronecker product is near its Hessian without the penalty."""
        inputs, outputs, _ = self.here.layer_moments(self.coordinates.summed_in)
        basis = self.coordinates.contrasts
        outputs[-1] = basis.T @ outputs[-1] @ basis
        sizes = [rows for rows, _ in self.coordinates.shapes]
        return [(A[:rows, :rows], G) for A, G, rows in zip(inputs, outputs, sizes, strict=True)]

    def features(self, X=None):
        """What the last layer of a network sees: the last hidden units of the rows, or of others; shape (n, width)."""
        model, parameters = self.objective.model, self.objective.model.unpack(self.theta)
        rows = self.objective.rows if X is None else rows_of(X)
        return rows.gather(lambda block, y, weight: model.forward(block, parameters).values[-1], width=model.pass_width)
