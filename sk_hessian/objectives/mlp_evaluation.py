"""A network at a point: what its rows say there of the value, the gradient and the curvature."""

from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives import factors
from sk_hessian.objectives.coordinates import PointFactor
from sk_hessian.objectives.evaluation import MeanLossEvaluation
from sk_hessian.objectives.models import ACTIVATIONS, with_constants
from sk_hessian.objectives.rows import weighted_grams

#: up to so many parameters there is memory for a matrix of the Hessian (32 MB), and for a few more as large
MOST_PARAMETERS = 2000

#: damping of a preconditioner, beside the mean diagonal of the matrix: a network has many directions that are nearly
#: flat at one point and bend at the next. From 1e-4 to 1e-1 runs need more iterations, and end at better minima
_DAMPING = 1e-2

#: directions of one batch of Hessian products
_BATCH = 16


class NetworkEvaluation(MeanLossEvaluation):
    """A network at a point; the objective is an `MLPObjective`."""

    # -- value and gradient ---------------------------------------------------------------------------------------

    @cached_property
    def parameters(self):
        """The parameters of the model: weights and biases of each layer, and the constants of the loss."""
        return self.objective.model.unpack(self.theta)

    def _standardised(self, coordinates):
        """The same for standardised inputs."""
        return self.objective.model.unpack(coordinates.standardised(self.theta))

    def sweep(self):
        """See `MeanLossEvaluation.sweep`."""
        objective, parameters = self.objective, self.parameters
        model, loss, k = objective.model, objective.loss, objective.loss.n_outputs

        def of_block(block, y, weight):
            forward = model.forward(block, parameters)
            value, gradient = loss.value_and_gradient(y, forward.raw)
            gradient *= weight[:, None]
            parts = [*forward.gradient(gradient[:, :k]), gradient[:, k:].sum(axis=0)]
            return weight @ value, np.concatenate(parts), np.abs(gradient[:, :k]).sum()

        return self.completed(objective.l2, None, *objective.rows.fold(of_block, width=model.pass_width))

    def predictor(self):
        """See `MeanLossEvaluation.predictor`."""
        return lambda block: self.objective.model.raw(block, self.parameters)

    @property
    def largest_summands(self):
        """See `MeanLossEvaluation.largest_summands`.

        Roundings of many terms add up like independent errors; an activation does not enlarge them.
        """
        objective = self.objective
        squares, errors = objective.column_sizes**2, np.zeros(objective.n_features)
        with np.errstate(over="ignore", invalid="ignore"):
            for W, b in zip(*self.parameters[:2], strict=True):
                squares = squares @ W**2 + b**2
                errors = errors @ W**2 + squares
                squares = np.minimum(squares, objective.model.activation.bound**2)
        return float(np.sqrt(errors.max()))

    # -- curvature ------------------------------------------------------------------------------------------------

    def hessian(self, kind="observed"):
        """See `Evaluation.hessian`; "expected" is Gauss-Newton's. A product costs two or three gradients."""
        objective = self.objective

        def product(V):
            V = V.reshape(objective.n_parameters, -1)
            parts = [V[:, i : i + _BATCH] for i in range(0, V.shape[1], _BATCH)]
            return np.hstack([self._products(part, kind) for part in parts])

        shape = (objective.n_parameters,) * 2
        return LinearOperator(shape, matvec=product, rmatvec=product, matmat=product, rmatmat=product, dtype=float)

    def _products(self, V, kind, coordinates=None):
        """The Hessian times the columns of ``V`` (n_parameters, B), the penalty's included."""
        objective, model, k = self.objective, self.objective.model, self.objective.loss.n_outputs
        layers, constants = model.changes(V)
        parameters = self.parameters if coordinates is None else self._standardised(coordinates)
        curved = kind == "observed" and not objective.is_exact("expected")

        def of_block(block, y, weight):
            forward = model.forward(_inputs(block, coordinates), parameters)
            moved = forward.push(layers)
            bent = self._bent(y, forward.raw, with_constants(moved[-1], constants), kind) * weight[:, None, None]
            if curved:
                delta = objective.loss.value_and_gradient(y, forward.raw)[1][:, :k] * weight[:, None]
                parts = forward.pull_curved(bent[:, :, :k], delta, layers, moved)
            else:
                parts = forward.pull(bent[:, :, :k])
            return (model.flat(parts, bent[:, :, k:].sum(axis=0)),)

        width = (model.pass_width + objective.n_features) * V.shape[1]
        total = objective.rows.fold(of_block, width=width)[0] / objective.total
        if coordinates is None:
            total += np.stack([objective.l2.gradient(v) for v in V.T], axis=1)
        return total

    def _bent(self, y, raw, change, kind):
        """The loss's Hessian of each row times its changes, (n, B, m)."""
        objective = self.objective
        if change.shape[1] == 1:
            return objective.loss.hessian_product(y, raw, change[:, 0], kind)[:, None, :]
        return change @ objective.loss.hessian(y, raw, kind)

    def moved(self, directions):
        """See `MeanLossEvaluation.moved`."""
        model, parameters = self.objective.model, self.parameters
        layers, constants = model.changes(np.stack(directions, axis=1))

        def moved(block):
            forward = model.forward(block, parameters)
            changes = with_constants(forward.push(layers)[-1], constants)
            return forward.raw, list(changes.transpose(1, 0, 2))

        return moved

    def moved_along(self, factor):
        """See `MeanLossEvaluation.moved_along`."""
        model, coordinates = self.objective.model, factor.outer
        parameters, S = self._standardised(coordinates), np.eye(model.n_outputs + model.n_constants)
        root = coordinates.unit(model.n_parameters)[:, None] * factor.inner.dense()

        def moved(block):
            inputs = _inputs(block, coordinates)
            raw = model.raw(inputs, parameters)
            return raw, model.pulled(inputs, parameters, np.broadcast_to(S, (len(raw), *S.shape))) @ root

        return moved

    def sum_curvature(self, kind, coordinates):
        """See `MeanLossEvaluation.sum_curvature`."""
        objective = self.objective
        H = self._gauss_newton(coordinates) if kind == "expected" else self._exact(coordinates)
        unit = coordinates.unit(objective.n_parameters)
        H = unit[:, None] * H * unit
        H.flat[:: len(H) + 1] += objective.penalty_diagonal_in(coordinates)
        return H

    def _gauss_newton(self, coordinates):
        """J' H J from the Jacobian of a block of rows, scaled by a root of the loss's Hessian."""
        objective, model = self.objective, self.objective.model
        parameters, P = self._standardised(coordinates), model.n_parameters

        def of_block(block, y, weight):
            inputs = _inputs(block, coordinates)
            roots = objective.loss.hessian_root(y, model.raw(inputs, parameters)) * np.sqrt(weight)[:, None, None]
            J = model.pulled(inputs, parameters, roots).reshape(-1, P)
            return (J.T @ J,)

        width = P * (model.n_outputs + model.n_constants) + model.pass_width
        return objective.rows.fold(of_block, width=width)[0] / objective.total

    def _exact(self, coordinates):
        """The exact Hessian: for one hidden layer Gauss-Newton and what it leaves out, else products."""
        objective = self.objective
        if objective.has_closed_form:
            return self._gauss_newton(coordinates) + self._left_out(coordinates)
        identity = np.eye(objective.n_parameters)
        batches = range(0, objective.n_parameters, _BATCH)
        H = np.hstack([self._products(identity[:, i : i + _BATCH], "observed", coordinates) for i in batches])
        return 0.5 * (H + H.T)

    def _left_out(self, coordinates):
        """The gradient in raw times the second derivatives of raw, for one hidden layer.

        A hidden unit j bends with its own inputs, by h''(z_j) times the gradient in h_j, and its inputs and outputs
        bend together, by h'(z_j) times the gradient in the outputs.
        """
        objective = self.objective
        parameters = self._standardised(coordinates)
        model = objective.model
        (first, (fan_in, width)), (_, (_, k)) = model.layers

        def of_block(block, y, weight):
            # a canonical loss has no constants
            forward = model.forward(_inputs(block, coordinates), parameters)
            delta = objective.loss.value_and_gradient(y, forward.raw)[1] * weight[:, None]
            bend = forward.bends[0] * (delta @ parameters[0][1].T)
            Z = _with_ones(forward.values[0])
            mixed = (forward.slopes[0][:, :, None] * delta[:, None, :]).reshape(len(Z), -1)
            return weighted_grams(Z, bend), Z.T @ mixed

        grams, mixed = objective.rows.fold(of_block, width=model.pass_width + objective.n_features + width * k)
        H = np.zeros((objective.n_parameters, objective.n_parameters))
        for j, (gram, both) in enumerate(zip(grams, mixed.reshape(fan_in, width, k).swapaxes(0, 1), strict=True)):
            own, out = slice(j, first.stop, width), slice(first.stop + j * k, first.stop + (j + 1) * k)
            H[own, own] = gram
            H[own, out], H[out, own] = both, both.T
        return H / objective.total

    def hessian_diagonal(self, kind="observed", factor=None):
        """See `Evaluation.hessian_diagonal`; of Gauss-Newton in one backward sweep for each output."""
        objective = self.objective
        if kind == "observed" and not objective.is_exact("expected"):
            return self.hessian_matrix(kind, factor).diagonal().copy()
        units_alone = factor is None or isinstance(factor.inner, factors.Diagonal)
        if not units_alone and not objective.facts.has_matrix:
            raise ValueError(
                f"the diagonal of a Hessian of {objective.n_parameters} parameters is affordable in their own units "
                'only: hessian="diagonal" needs precondition="diagonal" or None'
            )
        return super().hessian_diagonal(kind, factor)

    def curvature_diagonal(self, kind, coordinates):
        """See `MeanLossEvaluation.curvature_diagonal`: of Gauss-Newton, in coordinates of the layers."""
        objective, model, parameters = self.objective, self.objective.model, self.parameters
        k = objective.loss.n_outputs

        def of_block(block, y, weight):
            forward = model.forward(block, parameters)
            roots = objective.loss.hessian_root(y, forward.raw) * np.sqrt(weight)[:, None, None]
            squares = sum(forward.squares(roots[:, :k, j], coordinates.columns) for j in range(roots.shape[2]))
            return (np.concatenate([squares, (roots[:, k:] ** 2).sum(axis=(0, 2))]),)

        total = objective.rows.fold(of_block, coordinates.columns, width=model.pass_width + k**2)[0] / objective.total
        return total * coordinates.unit(model.n_parameters) ** 2 + objective.penalty_diagonal_in(coordinates)

    # -- preconditioning ------------------------------------------------------------------------------------------

    def factor(self, kind="full", curvature="expected"):
        """See `Evaluation.factor`; damped, unless the model is linear.

        A diagonal and a Kronecker factor are of Gauss-Newton whatever the ``curvature``.
        """
        objective, coordinates = self.objective, self.objective.coordinates
        if kind == "units":
            size = objective.baseline.mean_curvature * np.mean(coordinates.output_unit**2)
            return self._approximate(factors.Diagonal(np.full(objective.n_parameters, 1 / np.sqrt(size))))
        if kind not in objective.facts.kinds:
            objective.refuse_kind(kind)
        if kind == "kronecker":
            return self._approximate(self._kronecker(coordinates))
        if kind == "diagonal":
            return self._approximate(factors.Diagonal(_inverse_root(self.curvature_diagonal("expected", coordinates))))
        H = self.curvature(curvature, coordinates)
        if objective.convex:
            inner, exact = factors.semidefinite_root(H), objective.is_exact(curvature) and bool(np.isfinite(H).all())
            return PointFactor(coordinates, inner, self, curvature, exact)
        return self.damped_factor(H)

    def _approximate(self, inner):
        return PointFactor(self.objective.coordinates, inner, self)

    def damped_factor(self, H):
        """The damped factor of a Hessian (n_parameters, n_parameters) in the standardised coordinates."""
        return self._approximate(factors.semidefinite_root(_damped(H)))

    def standard_factor(self):
        """The standardised coordinates themselves."""
        return self._approximate(factors.Diagonal(np.ones(self.objective.n_parameters)))

    def whole_factor(self, kind):
        """See `MeanLossEvaluation.whole_factor`; a ValueError where the matrix is not affordable."""
        objective = self.objective
        if not objective.facts.has_matrix:
            raise ValueError(
                f"the Hessian of a network of {objective.n_parameters} parameters is not formed: {MOST_PARAMETERS} are "
                "the most; use smaller hidden_layer_sizes"
            )
        H = self.curvature(kind, objective.coordinates)
        inner = factors.semidefinite_root(H + objective.shift_curvature(H, objective.coordinates))
        return PointFactor(objective.coordinates, inner, self, kind, objective.is_exact(kind))

    def _kronecker(self, coordinates):
        """For each layer A (x) G of Gauss-Newton, A the inputs' and G the gradients' second moments; both damped.

        Source: J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015.
        """
        objective = self.objective
        inputs, outputs, constants = self.layer_moments(coordinates)
        penalties = objective.penalty_diagonal_in(coordinates)
        blocks: list[factors.Factor] = []
        for (part, shape), A, G in zip(objective.model.layers, inputs, outputs, strict=True):
            penalty = np.diag(penalties[part].reshape(shape).mean(axis=1))
            blocks.append(factors.Kronecker(_damped(A), _damped(G), penalty, np.ones(len(G))))
        if objective.loss.n_constants:
            blocks.append(factors.Diagonal(_inverse_root(constants)))
        return factors.Stacked(blocks)

    def layer_moments(self, coordinates):
        """See `MeanLossEvaluation.layer_moments`: of Gauss-Newton."""
        objective, model = self.objective, self.objective.model
        parameters, k, columns = self.parameters, objective.loss.n_outputs, coordinates.columns
        within = columns.summed_in

        def of_block(block, y, weight):
            forward = model.forward(block, parameters)
            roots = objective.loss.hessian_root(y, forward.raw) * np.sqrt(weight)[:, None, None]
            first = block.gram(weight[:, None], within)[0]
            inner = [_with_ones(h) * np.sqrt(weight)[:, None] for h in forward.hidden]
            inputs = [first] + [h.T @ h for h in inner]
            deltas = [forward.backward(roots[:, :k, j]) for j in range(roots.shape[2])]
            outputs = [sum(d.T @ d for d in of_layer) for of_layer in zip(*deltas, strict=True)]
            return *inputs, *outputs, (roots[:, k:] ** 2).sum(axis=(0, 2))

        first, *others, constants = objective.rows.fold(of_block, within, width=model.pass_width + k**2)
        sums = [total / objective.total for total in (columns.turned(first), *others)]
        n_layers, unit = len(model.layers), coordinates.output_unit
        sums[-1] = unit[:, None] * sums[-1] * unit
        return sums[:n_layers], sums[n_layers:], constants / objective.total

    # -- remarks --------------------------------------------------------------------------------------------------

    def remarks(self):
        """See `Evaluation.remarks`: labels without an optimum, and rectifiers that no row reaches."""
        return self.objective.constant_labels() + self._dead_rectifiers()

    def _dead_rectifiers(self):
        """Hidden units that are zero for every row, whose weights no gradient moves any more."""
        objective, model, parameters = self.objective, self.objective.model, self.parameters
        if model.activation != ACTIVATIONS["relu"] or objective.convex:
            return []

        def largest(block, y, weight):
            return tuple(hidden.max(axis=0) for hidden in model.forward(block, parameters).hidden)

        peaks = objective.rows.fold(largest, combine=np.maximum, width=model.pass_width)
        dead = [int((peak <= 0).sum()) for peak in peaks]
        if not any(dead):
            return []
        counts = ", ".join(
            f"{n} of {peak.size} in layer {i}" for i, (n, peak) in enumerate(zip(dead, peaks, strict=True), 1) if n
        )
        return [f"Hidden units that are zero for every row: {counts}."]


def _inputs(block, coordinates):
    """A block in standardised coordinates; itself without any."""
    return block if coordinates is None else block.through(coordinates.inputs)


def _with_ones(h):
    return np.hstack([h, np.ones((len(h), 1))])


def _damped(H):
    """H with a share of its mean diagonal added (Levenberg); the identity where it is zero."""
    mean = H.diagonal().mean()
    return H + (_DAMPING * mean if mean > 0 else 1.0) * np.eye(len(H))


def _inverse_root(diagonal):
    """1 / sqrt of a diagonal damped as in `_damped`."""
    mean = diagonal.mean()
    return 1 / np.sqrt(diagonal + (_DAMPING * mean if mean > 0 else 1.0))
