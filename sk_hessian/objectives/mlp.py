"""Fully connected networks: parameters to a value, a gradient, a Hessian and its factor.

The objective is the weighted mean of a pointwise loss plus half the squared weights (not the biases),

    F(theta) = sum_i w_i loss(y_i, raw_i) / sum_i w_i + penalty / 2 sum_l |W_l|^2,
    raw = h(... h(X W_1 + b_1) ...) W_L + b_L,

with theta the layers [W_l; b_l] (fan_in + 1, fan_out), each stored by rows, followed by the loss's own constants.
Curvature is computed in standardised coordinates z: inputs centred and in their own units, outputs in those of y.
"""

from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives import factors
from sk_hessian.objectives._layers import Coordinates, Forward, MLPFactor, Moments, network_predictions
from sk_hessian.objectives._mean_loss import MeanLossObjective
from sk_hessian.objectives._spread import Spread
from sk_hessian.objectives.activations import ACTIVATIONS
from sk_hessian.objectives.losses import BinaryCrossEntropy
from sk_hessian.objectives.rows import Columns, triangle, weighted_grams

#: up to so many parameters the Hessian is formed as a matrix
MAX_DENSE = 2000

#: up to so many parameters a preconditioner is the whole Gauss-Newton matrix
MAX_FULL = 500

#: outputs times parameters up to which a Gauss-Newton matrix, of about a third as many gradients, is worth forming
_MOST_GRADIENTS = 2500

#: fan-ins up to which a Kronecker factor is affordable
MAX_KRONECKER = 2000

#: damping of a preconditioner, beside the mean diagonal of the matrix: a network has many directions that are nearly
#: flat at one point and bend at the next. From 1e-4 to 1e-1 runs need more iterations, and end at better minima
_DAMPING = 1e-2

#: rows of a sketch, and how many times fewer than all they must be
_SKETCH_PER_PARAMETER = 10
_SKETCH_LEAST = 1000
_SKETCH_SAVES = 4
_SKETCH_SEED = 20_150_706

#: directions of one batch of Hessian products
_BATCH = 16


class MLPObjective(MeanLossObjective):
    """Weighted mean loss of a fully connected network, with an L2 penalty on its weights.

    Parameters
    ----------
    X : ndarray, memmap or CSR matrix of shape (n, p)
        float32 or float64; never copied, never written to.
    y : ndarray of shape (n,) or (n, k)
    loss : Loss
    hidden_layer_sizes : sequence of int
        None for a linear model.
    activation : str
        Of the hidden layers; a name of `ACTIVATIONS`.
    sample_weight : ndarray of shape (n,), optional
        Positive weights.
    penalty : float
        Strength of the penalty, alpha / n in scikit-learn's notation.
    feature_names : sequence of str, optional
        For messages.

    Raises
    ------
    ValueError
        For an unknown activation.
    """

    curvature = "expected"

    def __init__(
        self,
        X,
        y,
        loss,
        *,
        hidden_layer_sizes=(),
        activation="tanh",
        sample_weight=None,
        penalty=0.0,
        feature_names=None,
    ):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation!r} is unknown: choose from {tuple(ACTIVATIONS)}")
        super().__init__(X, y, loss, sample_weight, feature_names)
        self.activation, self.penalty = ACTIVATIONS[activation], penalty
        sizes = (self.n_features, *hidden_layer_sizes, loss.n_outputs)
        shapes = [(fan_in + 1, fan_out) for fan_in, fan_out in pairwise(sizes)]
        ends = np.cumsum([0] + [rows * columns for rows, columns in shapes])
        self.layers = [(slice(a, b), shape) for (a, b), shape in zip(pairwise(ends), shapes, strict=True)]
        self._n_weights = int(ends[-1])
        self.n_parameters = self._n_weights + loss.n_constants
        self._width = 4 * sum(sizes[1:])
        self.convex = not hidden_layer_sizes and loss.convex
        self.damping_kind = "auto" if self.convex else "units"
        self.exact_is_dear = not self.convex
        self.has_kinks = bool(hidden_layer_sizes) and self.activation.has_kinks

    # -- parameters -----------------------------------------------------------------------------------------------

    def unpack(self, theta):
        """Weights (fan_in, fan_out) and biases (fan_out,) of each layer, and the constants of the loss.

        Returns
        -------
        coefs, intercepts : list of ndarray
        constants : ndarray
        """
        blocks = [theta[part].reshape(shape) for part, shape in self.layers]
        return [block[:-1] for block in blocks], [block[-1] for block in blocks], theta[self._n_weights :]

    def pack(self, coefs, intercepts, constants=()):
        """The inverse of `unpack`."""
        parts = [part.ravel() for pair in zip(coefs, intercepts, strict=True) for part in pair]
        return np.concatenate([*parts, np.ravel(constants)])

    def parameter_names(self, n_parameters=None):
        """See `Objective.parameter_names`: ``W1[x0, 2]`` leads from a feature to a unit, ``b1[2]`` is its bias."""
        names = []
        for layer, (_, (rows, columns)) in enumerate(self.layers, start=1):
            sources = [self.name(j) if layer == 1 else str(j) for j in range(rows - 1)]
            names += [f"W{layer}[{source}, {unit}]" for source in sources for unit in range(columns)]
            names += [f"b{layer}[{unit}]" for unit in range(columns)]
        return names + list(self.loss.constant_names)

    def raw(self, theta, X):
        """Raw predictions for the rows of ``X``, shape (n, k)."""
        return network_predictions(X, self._parameters(theta)[0], self.activation)

    def _parameters(self, theta):
        coefs, intercepts, constants = self.unpack(theta)
        return list(zip(coefs, intercepts, strict=True)), constants

    def _forward(self, block, parameters):
        """A `Forward` and the raw predictions, constants included."""
        forward = Forward(block, parameters[0], self.activation)
        constants = np.broadcast_to(parameters[1], (len(forward.raw), self.loss.n_constants))
        return forward, np.hstack([forward.raw, constants]) if self.loss.n_constants else forward.raw

    def _linearise(self, theta):
        parameters, k = self._parameters(theta), self.loss.n_outputs

        def linearised(block):
            forward, raw = self._forward(block, parameters)
            return raw, lambda gradient: np.concatenate(
                [*forward.gradient(gradient[:, :k]), gradient[:, k:].sum(axis=0)]
            )

        return linearised

    @cached_property
    def penalties(self):
        """See `MeanLossObjective.penalties`."""
        strengths = np.zeros(self.n_parameters)
        for part, shape in self.layers:
            strengths[part].reshape(shape)[:-1] = self.penalty
        return strengths

    def _penalty_gradient(self, theta):
        gradient = self.penalties * theta
        return 0.5 * (gradient @ theta), gradient

    def noise(self, theta, value):
        """See `Objective.noise`: of the sum, and of raw predictions that are sums of large terms.

        Roundings of many terms add up like independent errors; an activation does not enlarge them.
        """
        squares, errors = self._column_sizes**2, np.zeros(self.n_features)
        coefs, intercepts, _ = self.unpack(theta)
        with np.errstate(over="ignore", invalid="ignore"):
            for W, b in zip(coefs, intercepts, strict=True):
                squares = squares @ W**2 + b**2
                errors = errors @ W**2 + squares
                squares = np.minimum(squares, self.activation.bound**2)
        return self._rounding(theta, value, np.sqrt(errors.max()))

    # -- curvature ------------------------------------------------------------------------------------------------

    def is_exact(self, kind):
        """See `Objective.is_exact`: Gauss-Newton is the Hessian of a linear model with a canonical loss."""
        return kind == "observed" or (len(self.layers) == 1 and self.loss.canonical)

    def hessian(self, theta, kind="observed"):
        """See `Objective.hessian`; "expected" is Gauss-Newton's. A product costs two or three gradients."""

        def product(V):
            V = V.reshape(self.n_parameters, -1)
            parts = [V[:, i : i + _BATCH] for i in range(0, V.shape[1], _BATCH)]
            return np.hstack([self._products(theta, part, kind) for part in parts])

        shape = (self.n_parameters,) * 2
        return LinearOperator(shape, matvec=product, rmatvec=product, matmat=product, rmatmat=product, dtype=float)

    def _products(self, theta, V, kind, coordinates=None):
        """The Hessian times the columns of ``V`` (n_parameters, B), the penalty's included."""
        parameters, changes = self._parameters(theta), self._changes(V)
        if coordinates is not None:
            parameters = self._parameters(coordinates.standardised(theta))
        curved = kind == "observed" and not self.is_exact("expected")

        def terms(block, y, weight):
            forward, raw = self._forward(_inputs(block, coordinates), parameters)
            moved = forward.push(changes[0])
            bent = self._bent(y, raw, self._with_constants(moved[-1], changes[1]), kind) * weight[:, None, None]
            k = self.loss.n_outputs
            if curved:
                delta = self.loss.value_and_gradient(y, raw)[1][:, :k] * weight[:, None]
                parts = forward.pull_curved(bent[:, :, :k], delta, changes[0], moved)
            else:
                parts = forward.pull(bent[:, :, :k])
            return (self._flat(parts, bent[:, :, k:].sum(axis=0)),)

        total = self.rows.fold(terms, width=(self._width + self.n_features) * V.shape[1])[0] / self._total
        return total if coordinates is not None else total + self.penalties[:, None] * V

    def _changes(self, V):
        """The columns of ``V`` as changes of the layers and of the constants, see `Forward.push`."""
        layers = []
        for part, (rows, columns) in self.layers:
            change = V[part].reshape(rows, columns, -1).transpose(0, 2, 1)
            layers.append((np.ascontiguousarray(change[:-1]), change[-1]))
        return layers, V[self._n_weights :].T

    def _flat(self, parts, constants):
        """The inverse of `_changes`, shape (n_parameters, B)."""
        flat = []
        for dW, db in parts:
            both = np.concatenate([dW, db[None]])
            flat.append(both.transpose(0, 2, 1).reshape(-1, both.shape[1]))
        return np.concatenate([*flat, constants.T])

    def _with_constants(self, change, constants):
        """Changes of raw predictions, (n, B, outputs + constants)."""
        if not self.loss.n_constants:
            return change
        return np.concatenate([change, np.broadcast_to(constants, (len(change), *constants.shape))], axis=2)

    def _bent(self, y, raw, change, kind):
        """The loss's Hessian of each row times its changes, (n, B, m)."""
        if change.shape[1] == 1:
            return self.loss.hessian_product(y, raw, change[:, 0], kind)[:, None, :]
        return change @ self.loss.hessian(y, raw, kind)

    def _moved(self, theta, directions):
        parameters, (layers, constants) = self._parameters(theta), self._changes(np.stack(directions, axis=1))

        def moved(block):
            forward, raw = self._forward(block, parameters)
            return raw, list(self._with_constants(forward.push(layers)[-1], constants).transpose(1, 0, 2))

        return moved

    def _moved_along(self, theta, factor):
        coordinates, k = factor.coordinates, self.loss.n_outputs
        parameters = self._parameters(coordinates.standardised(theta))
        root = coordinates.unit(self.n_parameters)[:, None] * factor.inner.dense()

        def moved(block):
            forward, raw = self._forward(_inputs(block, coordinates), parameters)
            along, jacobian = np.empty((*raw.shape, root.shape[1])), np.zeros((len(raw), self._n_weights))
            for output in range(k):
                forward.jacobian(np.tile(np.eye(k)[output], (len(raw), 1)), jacobian)
                along[:, output] = jacobian @ root[: self._n_weights]
            along[:, k:] = root[self._n_weights :]
            return raw, along

        return moved

    def curvature_factor(self, theta, kind):
        """See `MeanLossObjective.curvature_factor`.

        Raises
        ------
        ValueError
            For so many parameters that the matrix is not affordable.
        """
        if self.n_parameters > MAX_DENSE:
            raise ValueError(
                f"the Hessian of a network of {self.n_parameters} parameters is not formed: {MAX_DENSE} are the most; "
                "use smaller hidden_layer_sizes"
            )
        H = self._curvature(theta, kind, self.coordinates)
        inner = factors.semidefinite_root(H + self._shift_curvature(H))
        return MLPFactor(self.coordinates, inner, theta, None if inner.is_floored else kind, self.is_exact(kind))

    def _free_outputs(self):
        """The rows of the last layer [W; b] that have no penalty."""
        rows = np.ones(self.layers[-1][1][0], dtype=bool)
        rows[:-1] = self.penalty == 0
        return rows

    def _shift_curvature(self, H):
        """Curvature along the common shifts of all outputs that neither loss nor penalty sees."""
        shift = np.zeros_like(H)
        if self.loss.shift_invariant:
            (part, (_, k)), free = self.layers[-1], self._free_outputs()
            shift[part, part] = np.abs(np.diag(H)).mean() * np.kron(np.diag(free), np.full((k, k), 1 / k))
        return shift

    def canonical(self, theta):
        """See `Objective.canonical`: what shifts all outputs of a softmax model alike is zero."""
        if not self.loss.shift_invariant:
            return theta
        theta, (part, shape), free = theta.copy(), self.layers[-1], self._free_outputs()
        last = theta[part].reshape(shape)
        last[free] -= last[free].mean(axis=1, keepdims=True)
        return theta

    def hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_matrix`."""
        if factor is not None:
            return factor.inner.congruence(self._curvature(theta, kind, factor.coordinates))
        return self._curvature(theta, kind, self._raw_units).copy()

    def regular_hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.regular_hessian_matrix`: the common shift of a softmax network's outputs."""
        if factor is None or not self.loss.shift_invariant:
            return self.hessian_matrix(theta, kind, factor=factor)
        H = self._curvature(theta, kind, factor.coordinates)
        return factor.inner.congruence(H + self._shift_curvature(H))

    def _sum_curvature(self, theta, kind, coordinates):
        H = self._gauss_newton(theta, coordinates) if kind == "expected" else self._exact(theta, coordinates)
        unit = coordinates.unit(self.n_parameters)
        H = unit[:, None] * H * unit
        H.flat[:: len(H) + 1] += self._penalty_diagonal(coordinates)
        return H

    def _penalty_diagonal(self, coordinates):
        strengths = self.penalties * coordinates.unit(self.n_parameters) ** 2
        part, shape = self.layers[0]
        strengths[part].reshape(shape)[:-1] /= coordinates.columns.scale[:, None] ** 2
        return strengths

    def _gauss_newton(self, theta, coordinates):
        """J' H J from the Jacobian of a block of rows, scaled by a root of the loss's Hessian."""
        parameters = self._parameters(coordinates.standardised(theta))
        k, P = self.loss.n_outputs, self.n_parameters

        def terms(block, y, weight):
            forward, raw = self._forward(_inputs(block, coordinates), parameters)
            roots = self.loss.hessian_root(y, raw) * np.sqrt(weight)[:, None, None]
            gram, jacobian = np.zeros((P, P)), np.empty((len(raw), P))
            for j in range(roots.shape[2]):
                forward.jacobian(roots[:, :k, j], jacobian)
                jacobian[:, self._n_weights :] = roots[:, k:, j]
                gram += jacobian.T @ jacobian
            return (gram,)

        return self.rows.fold(terms, width=P + self._width)[0] / self._total

    # -- streams --------------------------------------------------------------------------------------------------

    def curvature_triangle(self, points, above):
        """The triangular R with R'R the sum of the rows' Gauss-Newton curvatures and ``above'above``, no penalty.

        Parameters
        ----------
        points : sequence of one ndarray of shape (n_parameters,)
        above : ndarray of shape (m, n_parameters)

        Returns
        -------
        ndarray of shape (r, n_parameters)
        """
        (theta,), k, P = points, self.loss.n_outputs, self.n_parameters
        parameters = self._parameters(theta)

        def jacobians(block, y, weight):
            forward, raw = self._forward(block, parameters)
            roots = self.loss.hessian_root(y, raw) * np.sqrt(weight)[:, None, None]
            stacked = np.empty((roots.shape[2], len(raw), P))
            for j, jacobian in enumerate(stacked):
                forward.jacobian(roots[:, :k, j], jacobian)
                jacobian[:, self._n_weights :] = roots[:, k:, j]
            return stacked.reshape(-1, P)

        return triangle(np.vstack([above, self.rows.triangle(jacobians, width=P + self._width)]))

    def typical_spread(self):
        """Curvature that a row may have at the start, in the units of inputs and outputs alone.

        Returns
        -------
        Spread
        """
        coordinates, (part, shape) = self.coordinates, self.layers[0]
        squares = 1 / coordinates.unit(self.n_parameters) ** 2
        scale = np.where(np.isfinite(coordinates.columns.scale), coordinates.columns.scale, 1.0)
        squares[part].reshape(shape)[:-1] *= scale[:, None] ** 2
        squares *= self._mean_curvature * np.mean(coordinates.output_unit) ** 2
        weights = squares[: self._n_weights, None]
        return Spread(weights, np.zeros(0), np.zeros_like(weights), squares[self._n_weights :])

    def full_factor(self, H, theta):
        """The damped factor of a Hessian (n_parameters, n_parameters) in the standardised coordinates."""
        return MLPFactor(self.coordinates, factors.semidefinite_root(_damped(H)), theta, None, False)

    def standard_factor(self, theta):
        """The standardised coordinates themselves."""
        return MLPFactor(self.coordinates, factors.Diagonal(np.ones(self.n_parameters)), theta, None, False)

    def _exact(self, theta, coordinates):
        """The exact Hessian: for one hidden layer Gauss-Newton and what it leaves out, else products."""
        if self._has_closed_form():
            return self._gauss_newton(theta, coordinates) + self._left_out(theta, coordinates)
        identity = np.eye(self.n_parameters)
        batches = range(0, self.n_parameters, _BATCH)
        H = np.hstack([self._products(theta, identity[:, i : i + _BATCH], "observed", coordinates) for i in batches])
        return 0.5 * (H + H.T)

    def _left_out(self, theta, coordinates):
        """The gradient in raw times the second derivatives of raw, for one hidden layer.

        A hidden unit j bends with its own inputs, by h''(z_j) times the gradient in h_j, and its inputs and outputs
        bend together, by h'(z_j) times the gradient in the outputs.
        """
        parameters = self._parameters(coordinates.standardised(theta))
        (first, (fan_in, width)), (_, (_, k)) = self.layers

        def terms(block, y, weight):
            forward, raw = self._forward(_inputs(block, coordinates), parameters)
            delta = self.loss.value_and_gradient(y, raw)[1] * weight[:, None]
            bend = forward.bends[0] * (delta @ parameters[0][1][0].T)
            Z = _with_ones(forward.values[0])
            mixed = (forward.slopes[0][:, :, None] * delta[:, None, :]).reshape(len(Z), -1)
            return weighted_grams(Z, bend), Z.T @ mixed

        grams, mixed = self.rows.fold(terms, width=self._width + self.n_features + width * k)
        H = np.zeros((self.n_parameters, self.n_parameters))
        for j, (gram, both) in enumerate(zip(grams, mixed.reshape(fan_in, width, k).swapaxes(0, 1), strict=True)):
            own, out = slice(j, first.stop, width), slice(first.stop + j * k, first.stop + (j + 1) * k)
            H[own, own] = gram
            H[own, out], H[out, own] = both, both.T
        return H / self._total

    def hessian_diagonal(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_diagonal`; of Gauss-Newton in one backward sweep for each output."""
        if kind == "observed" and not self.is_exact("expected"):
            return np.diag(self.hessian_matrix(theta, kind, factor=factor)).copy()
        if factor is None:
            return self._gauss_newton_diagonal(theta, self._raw_units)
        if isinstance(factor.inner, factors.Diagonal):
            return self._gauss_newton_diagonal(theta, factor.coordinates) * factor.inner.d**2
        if self.n_parameters > MAX_DENSE:
            raise ValueError(
                f"the diagonal of a Hessian of {self.n_parameters} parameters is affordable in their own units only: "
                'hessian="diagonal" needs precondition="diagonal" or None'
            )
        return np.diag(self.hessian_matrix(theta, kind, factor=factor)).copy()

    def _gauss_newton_diagonal(self, theta, coordinates):
        parameters = self._parameters(theta)
        k = self.loss.n_outputs

        def terms(block, y, weight):
            forward, raw = self._forward(block, parameters)
            roots = self.loss.hessian_root(y, raw) * np.sqrt(weight)[:, None, None]
            total = np.zeros(self.n_parameters)
            for j in range(roots.shape[2]):
                total += self._squares(forward, roots[:, :, j], coordinates)
            return (total,)

        total = self.rows.fold(terms, coordinates.columns, width=self._width + k**2)[0] / self._total
        return total * coordinates.unit(self.n_parameters) ** 2 + self._penalty_diagonal(coordinates)

    def _squares(self, forward, root, coordinates):
        """Sums over rows of the squared gradients, from ``root`` (n, m) in raw."""
        k, parts = self.loss.n_outputs, []
        deltas = forward.backward(root[:, :k])
        parts.append(forward.inputs[0].squares(deltas[0] ** 2, coordinates.columns).T.ravel())
        for hidden, delta in zip(forward.hidden, deltas[1:], strict=True):
            squares = delta**2
            parts += [(hidden**2).T.dot(squares).ravel(), squares.sum(axis=0)]
        return np.concatenate([*parts, (root[:, k:] ** 2).sum(axis=0)])

    # -- preconditioning ------------------------------------------------------------------------------------------

    @cached_property
    def moments(self):
        """Means and deviations of the inputs, and the units of the outputs; may be set to those of more rows."""
        centre, deviation = self._moments
        return Moments(self._total, centre, deviation, self.loss.null_model.output_unit(self.rows.y, self.rows.weight))

    @cached_property
    def coordinates(self):
        """The standardised coordinates; the unit of a constant input is infinite, so that its weights stay zero."""
        centre, deviation, unit = self.moments.centre, self.moments.deviation, self.moments.output_unit
        ridge = np.sqrt(self.penalty / self._mean_curvature) / unit.mean()
        return Coordinates(Columns.standardising(centre, deviation, ridge, True), self.layers, unit)

    @cached_property
    def _raw_units(self):
        return Coordinates(Columns.raw(self.n_features, True), self.layers, np.ones(self.loss.n_outputs))

    @property
    def exact_follows(self):
        """See `Objective.exact_follows`: where what Gauss-Newton leaves out has a closed form."""
        return self._has_closed_form() and not self.convex

    def _has_closed_form(self):
        return len(self.layers) == 2 and self.loss.canonical

    def forms_hessian(self, n_parameters=None):
        """See `Objective.forms_hessian`."""
        work = self.n_parameters * (self.loss.n_outputs + self.loss.n_constants)
        return self.n_parameters <= MAX_DENSE and work <= _MOST_GRADIENTS

    def _resolve(self, kind):
        if kind == "auto":
            if self.n_parameters <= MAX_FULL and self.forms_hessian():
                return "full"
            return "kronecker" if max(rows for _, (rows, _) in self.layers) <= MAX_KRONECKER else "diagonal"
        if kind not in ("full", "kronecker", "diagonal"):
            options = ("auto", None, "full", "kronecker", "diagonal")
            raise ValueError(f"precondition={kind!r} is not available for a network; choose from {options}")
        return kind

    def preconditioner(self, theta, kind="auto", curvature="expected"):
        """See `Objective.preconditioner`; damped, unless the model is linear.

        A diagonal and a Kronecker factor are of Gauss-Newton whatever the ``curvature``.
        """
        coordinates = self.coordinates
        if kind == "units":
            unit = np.full(self.n_parameters, 1 / np.sqrt(self._mean_curvature * np.mean(coordinates.output_unit**2)))
            return MLPFactor(coordinates, factors.Diagonal(unit), theta, None, False)
        kind = self._resolve(kind)
        if kind == "kronecker":
            return MLPFactor(coordinates, self._kronecker(theta, coordinates), theta, None, False)
        if kind == "diagonal":
            diagonal = self._gauss_newton_diagonal(theta, coordinates)
            return MLPFactor(coordinates, factors.Diagonal(_inverse_root(diagonal)), theta, None, False)
        H = self._curvature(theta, curvature, coordinates)
        if self.convex:
            inner, exact = factors.semidefinite_root(H), self.is_exact(curvature) and bool(np.isfinite(H).all())
            return MLPFactor(coordinates, inner, theta, None if inner.is_floored else curvature, exact)
        return self.full_factor(H, theta)

    def _kronecker(self, theta, coordinates):
        """Per layer A (x) G of Gauss-Newton, A the inputs' and G the gradients' second moments; both damped.

        References
        ----------
        .. [1] J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015.
        """
        inputs, outputs, constants = self._second_moments(theta, coordinates)
        penalties = self._penalty_diagonal(coordinates)
        blocks: list[factors.Factor] = []
        for (part, shape), A, G in zip(self.layers, inputs, outputs, strict=True):
            penalty = np.diag(penalties[part].reshape(shape).mean(axis=1))
            blocks.append(factors.Kronecker(_damped(A), _damped(G), penalty, np.ones(len(G))))
        if self.loss.n_constants:
            blocks.append(factors.Diagonal(_inverse_root(constants)))
        return factors.Stacked(blocks)

    def _second_moments(self, theta, coordinates):
        """Those of the inputs and of the gradients of each layer, and the curvature of the constants."""
        parameters, k = self._parameters(theta), self.loss.n_outputs

        def terms(block, y, weight):
            forward, raw = self._forward(block, parameters)
            roots = self.loss.hessian_root(y, raw) * np.sqrt(weight)[:, None, None]
            first = block.gram(weight[:, None], coordinates.columns)[0]
            inner = [_with_ones(h) * np.sqrt(weight)[:, None] for h in forward.hidden]
            inputs = [first] + [h.T @ h for h in inner]
            deltas = [forward.backward(roots[:, :k, j]) for j in range(roots.shape[2])]
            outputs = [sum(d.T @ d for d in of_layer) for of_layer in zip(*deltas, strict=True)]
            return *inputs, *outputs, (roots[:, k:] ** 2).sum(axis=(0, 2))

        *sums, constants = self.rows.fold(terms, coordinates.columns, width=self._width + k**2)
        sums = [total / self._total for total in sums]
        n_layers, unit = len(self.layers), coordinates.output_unit
        sums[-1] = unit[:, None] * sums[-1] * unit
        return sums[:n_layers], sums[n_layers:], constants / self._total

    # -- the model linearised at a point, for posteriors ----------------------------------------------------------

    @cached_property
    def identified(self):
        """The coordinates of the posterior, `Identified`; one unit for all outputs, whose penalty is then the same."""
        unit = self.moments.output_unit.mean()
        ridge = np.sqrt(self.penalty / self._mean_curvature) / unit
        moments = self.moments.centre, self.moments.deviation
        return self._identify(moments, ridge, self.layers, np.full(self.loss.n_outputs, unit))

    def jacobians(self, theta, X=None):
        """See `MeanLossObjective.jacobians`."""
        at, P, k = self.identified, self.n_parameters, self.loss.n_outputs
        parameters, unit = self._parameters(at.standardised(theta)), at.unit(P)
        for block, y, weight in self._rows_of(X).blocks(at.columns, at.columns.n_columns + k * P + self._width):
            forward, raw = self._forward(_inputs(block, at), parameters)
            J = np.empty((len(raw), k, P))
            for j, output in enumerate(np.eye(k)):
                forward.jacobian(np.tile(output, (len(raw), 1)), J[:, j])
            yield raw, at.reduced(J * unit), y, weight

    def identified_diagonal(self, theta, kind):
        """The diagonal of Gauss-Newton in `identified` coordinates with all outputs, shape (n_parameters,)."""
        return self._gauss_newton_diagonal(theta, self.identified)

    def layer_moments(self, theta):
        """See `MeanLossObjective.layer_moments`; of Gauss-Newton."""
        inputs, outputs, _ = self._second_moments(theta, self.identified)
        basis = self.identified.contrasts
        outputs[-1] = basis.T @ outputs[-1] @ basis
        sizes = [rows for rows, _ in self.identified.shapes]
        return [(A[:rows, :rows], G) for A, G, rows in zip(inputs, outputs, sizes, strict=True)]

    def features(self, theta, X=None):
        """What the last layer sees: the last hidden units of the rows, or of others; shape (n, width)."""
        parameters = self._parameters(theta)[0]

        def last(block, y, weight):
            return Forward(block, parameters, self.activation).values[-1]

        return self._rows_of(X).gather(last, width=self._width)

    # -- what the solvers ask -------------------------------------------------------------------------------------

    def _new_sketch(self):
        """One row of each equal stretch, ten for each parameter, where that saves most."""
        size = max(_SKETCH_PER_PARAMETER * self.n_parameters, _SKETCH_LEAST)
        if size * _SKETCH_SAVES > self.n_rows or not self.forms_hessian():
            return None
        stretch = np.arange(size) + np.random.default_rng(_SKETCH_SEED).random(size)
        return self.sample((stretch * (self.n_rows / size)).astype(np.intp))

    @property
    def lower_bound(self):
        """See `Objective.lower_bound`: the loss of the saturated model, which networks come near to."""
        return self._saturated_value

    def start(self, random_state=None):
        """Weights drawn in standardised coordinates, with the last bias and the constants of the null model.

        Uniform with Glorot's bound sqrt(6 / (fan_in + fan_out)) or, before a rectifier, He's sqrt(6 / fan_in); drawn
        for the raw inputs they would saturate on columns in large units.

        Parameters
        ----------
        random_state : int, Generator or None

        References
        ----------
        .. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
        .. [2] K. He et al., "Delving deep into rectifiers", 2015.
        """
        generator, z = np.random.default_rng(random_state), np.zeros(self.n_parameters)
        for i, (part, (rows, fan_out)) in enumerate(self.layers[: None if len(self.layers) > 1 else 0]):
            rectifies = self.activation.gain == "he" and i < len(self.layers) - 1
            bound = np.sqrt(6 / (rows - 1 if rectifies else rows - 1 + fan_out))
            z[part] = generator.uniform(-bound, bound, size=rows * fan_out)
        theta, k = self.coordinates.to_theta(z), self.loss.n_outputs
        part, shape = self.layers[-1]
        theta[part].reshape(shape)[-1] = self._null_raw[:k]
        theta[self._n_weights :] = self._null_raw[k:]
        return theta

    def remedy(self, status):
        """See `Objective.remedy`."""
        return "another start (random_state)" if status == "saddle" else ""

    def remarks(self, theta):
        """See `Objective.remarks`: labels without an optimum, and rectifiers that no row reaches."""
        return self._constant_labels() + self._dead_rectifiers(theta)

    def _constant_labels(self):
        """Labels that all rows or none have: no penalty holds their biases, so that the loss falls for ever."""
        if not isinstance(self.loss, BinaryCrossEntropy):
            return []
        y = self.rows.y.reshape(self.n_rows, -1)
        return [
            f"Label {label} is the same for every row: its bias grows without end."
            for label in np.flatnonzero((y == y[0]).all(axis=0))
        ]

    def _dead_rectifiers(self, theta):
        """Hidden units that are zero for every row, whose weights no gradient moves any more."""
        if self.activation is not ACTIVATIONS["relu"] or self.convex:
            return []
        parameters = self._parameters(theta)

        def largest(block, y, weight):
            forward = Forward(block, parameters[0], self.activation)
            return tuple(hidden.max(axis=0) for hidden in forward.hidden)

        peaks = self.rows.fold(largest, combine=np.maximum, width=self._width)
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
