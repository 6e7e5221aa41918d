"""Fully connected networks: parameters to raw predictions, and back."""

from functools import cached_property
from itertools import pairwise

import numpy as np

from sk_hessian.objectives.coordinates import LayerCoordinates
from sk_hessian.objectives.models.activations import ACTIVATIONS
from sk_hessian.objectives.rows import Columns, DenseBlock, rows_of


class Network:
    """raw = h(... h(X W_1 + b_1) ...) W_L + b_L for a block of rows, and back; the constants of the loss beside them.

    Parameters are the layers [W_l; b_l] (fan_in + 1, fan_out), each stored by rows, then the constants.

    Parameters
    ----------
    n_features : int
    hidden_layer_sizes : sequence of int
    activation : str
        Of the hidden layers; a name of `ACTIVATIONS`.
    loss : Loss
    """

    is_linear = False
    fit_intercept = True

    def __init__(self, n_features, hidden_layer_sizes, activation, loss):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation!r} is unknown: choose from {tuple(ACTIVATIONS)}")
        self.n_features, self.activation = n_features, ACTIVATIONS[activation]
        self.n_outputs, self.n_constants = loss.n_outputs, loss.n_constants
        sizes = (n_features, *hidden_layer_sizes, loss.n_outputs)
        shapes = [(fan_in + 1, fan_out) for fan_in, fan_out in pairwise(sizes)]
        ends = np.cumsum([0] + [rows * columns for rows, columns in shapes])
        #: where layers [W; b] are among the parameters, and their shapes
        self.layers = [(slice(a, b), shape) for (a, b), shape in zip(pairwise(ends), shapes, strict=True)]
        self.n_weights = int(ends[-1])
        self.n_parameters = self.n_weights + loss.n_constants
        self.pass_width = 4 * sum(sizes[1:])  #: numbers per row that a pass needs beside those of X

    def names(self, features, outputs=None):
        """What each weight is called: ``W1[x0, 2]`` leads from a feature to a unit, ``b1[2]`` is its bias."""
        names, sources = [], list(features)
        for layer, (_, (rows, columns)) in enumerate(self.layers, start=1):
            names += [f"W{layer}[{source}, {unit}]" for source in sources[: rows - 1] for unit in range(columns)]
            names += [f"b{layer}[{unit}]" for unit in range(columns)]
            sources = list(range(columns))
        return names

    def raw_units(self):
        """The layers as they are, as coordinates."""
        return LayerCoordinates(Columns.raw(self.n_features, True), self.layers, np.ones(self.n_outputs))

    def unpack(self, theta):
        """Weights (fan_in, fan_out) and biases (fan_out,) of each layer, two lists, and the constants of the loss."""
        blocks = [theta[part].reshape(shape) for part, shape in self.layers]
        return [block[:-1] for block in blocks], [block[-1] for block in blocks], theta[self.n_weights :]

    def pack(self, coefs, intercepts, constants=()):
        """The inverse of `unpack`."""
        parts = [part.ravel() for pair in zip(coefs, intercepts, strict=True) for part in pair]
        return np.concatenate([*parts, np.ravel(constants)])

    def forward(self, block, parameters):
        """A block on its way through, as a `Forward`; ``parameters`` are unpacked ones."""
        return Forward(block, list(zip(*parameters[:2], strict=True)), self.activation, parameters[2])

    def raw(self, block, parameters):
        """Raw predictions of the rows of a block, shape (n, outputs + constants)."""
        return self.forward(block, parameters).raw

    def pulled(self, block, parameters, S):
        """Gradients in theta of each row's raw predictions, combined by ``S`` (n, m, r): shape (n, r, n_parameters)."""
        forward, k = self.forward(block, parameters), self.n_outputs
        J = np.empty((len(S), S.shape[2], self.n_parameters))
        for j in range(S.shape[2]):
            forward.jacobian(S[:, :k, j], J[:, j])
            J[:, j, self.n_weights :] = S[:, k:, j]
        return J

    def changes(self, V):
        """The columns of ``V`` (n_parameters, B) as changes of the layers, see `Forward.push`, and of the constants."""
        layers = []
        for part, (rows, columns) in self.layers:
            change = V[part].reshape(rows, columns, -1).transpose(0, 2, 1)
            layers.append((np.ascontiguousarray(change[:-1]), change[-1]))
        return layers, V[self.n_weights :].T

    def flat(self, parts, constants):
        """The inverse of `changes`, shape (n_parameters, B)."""
        flat = []
        for dW, db in parts:
            both = np.concatenate([dW, db[None]])
            flat.append(both.transpose(0, 2, 1).reshape(-1, both.shape[1]))
        return np.concatenate([*flat, constants.T])

    def start(self, generator):
        """Weights and biases drawn for standardised inputs and outputs; those of a linear model, and constants, zero.

        Uniform with Glorot's bound sqrt(6 / (fan_in + fan_out)) or, before a rectifier, He's sqrt(6 / fan_in) (X.
        Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010; K. He et
        al., "Delving deep into rectifiers", 2015).
        """
        z = np.zeros(self.n_parameters)
        for i, (part, (rows, fan_out)) in enumerate(self.layers[: None if len(self.layers) > 1 else 0]):
            rectifies = self.activation.gain == "he" and i < len(self.layers) - 1
            bound = np.sqrt(6 / (rows - 1 if rectifies else rows - 1 + fan_out))
            z[part] = generator.uniform(-bound, bound, size=rows * fan_out)
        return z


class Forward:
    """A block of n rows on its way through a network, with what the way back needs.

    ``layers`` are pairs of weights (fan_in, fan_out) and biases (fan_out,), ``constants`` those of the loss.
    """

    def __init__(self, block, layers, activation, constants=()):
        self._layers, self._activation = layers, activation
        self.inputs = [block]
        self.hidden: list[np.ndarray] = []  #: values of the hidden units of each layer, (n, width)
        self._sums: list[np.ndarray] = []
        for W, b in layers:
            if self._sums:
                self.hidden.append(activation.value(self._sums[-1]))
                self.inputs.append(DenseBlock(self.hidden[-1]))
            self._sums.append(self.inputs[-1].forward(W))
            self._sums[-1] += b
        self.raw = with_constants(self._sums[-1], constants)  #: raw predictions, (n, outputs + constants)

    @cached_property
    def slopes(self):
        """The activation's first derivative in each hidden layer, (n, width)."""
        return [self._activation.slope(z, h) for z, h in zip(self._sums, self.hidden, strict=False)]

    @cached_property
    def bends(self):
        """Its second derivative."""
        return [self._activation.bend(z, h) for z, h in zip(self._sums, self.hidden, strict=False)]

    @cached_property
    def values(self):
        """The inputs of each layer as arrays."""
        return [self.inputs[0].dense(), *self.hidden]

    def backward(self, delta):
        """Gradients in the sums of each layer, from that in the last ones, ``delta`` (n, k)."""
        deltas = [delta]
        for (W, _), slope in zip(self._layers[:0:-1], self.slopes[::-1], strict=True):
            delta = deltas[-1] @ W.T
            delta *= slope
            deltas.append(delta)
        return deltas[::-1]

    def gradient(self, delta):
        """The gradient in the layers, from that in raw; a list of flat arrays."""
        parts = []
        for inputs, change in zip(self.inputs, self.backward(delta), strict=True):
            parts += [inputs.adjoint(change).ravel(), change.sum(axis=0)]
        return parts

    def squares(self, root, columns):
        """Sums over rows of the squared gradients in the layers, from that in raw; inputs in coordinates of columns."""
        deltas = self.backward(root)
        parts = [self.inputs[0].squares(deltas[0] ** 2, columns).T.ravel()]
        for hidden, delta in zip(self.hidden, deltas[1:], strict=True):
            squares = delta**2
            parts += [(hidden**2).T.dot(squares).ravel(), squares.sum(axis=0)]
        return np.concatenate(parts)

    def jacobian(self, delta, out):
        """The gradient of each row, from that in its last sums, written to ``out`` (n, parameters of the layers)."""
        start, n = 0, len(delta)
        for values, change in zip(self.values, self.backward(delta), strict=True):
            fan_in, fan_out = values.shape[1], change.shape[1]
            end = start + fan_in * fan_out
            weights = out[:, start:end].reshape(n, fan_in, fan_out)
            np.multiply(values[:, :, None], change[:, None, :], out=weights)
            out[:, end : end + fan_out] = change
            start = end + fan_out

    def push(self, changes):
        """First-order changes of the sums of each layer, (n, B, width) each, for B changes of the layers.

        ``changes`` holds one pair for each layer, of weights (fan_in, B, fan_out) and of biases (B, fan_out).
        """
        moved: list[np.ndarray] = []
        for inputs, (dW, db), (W, _) in zip(self.inputs, changes, self._layers, strict=True):
            fan_in, n_changes, fan_out = dW.shape
            change = inputs.forward(dW.reshape(fan_in, -1)).reshape(-1, n_changes, fan_out)
            change += db
            if moved:
                hidden = moved[-1] * self.slopes[len(moved) - 1][:, None, :]
                change += (hidden.reshape(-1, fan_in) @ W).reshape(change.shape)
            moved.append(change)
        return moved

    def pull(self, bent):
        """J' times ``bent`` (n, B, k): the changes of the gradient that a linear network would have.

        One pair for each layer, of weights (fan_in, B, fan_out) and of biases (B, fan_out).
        """
        parts = []
        for layer in range(len(self._layers) - 1, -1, -1):
            parts.append(self._adjoint(layer, bent))
            if layer:
                bent = self._through(layer, bent) * self.slopes[layer - 1][:, None, :]
        return parts[::-1]

    def pull_curved(self, bent, delta, changes, moved):
        """The changes of the gradient itself, for changes ``bent`` (n, B, k) of the gradient ``delta`` (n, k) in raw.

        Pearlmutter's R-operator ("Fast exact multiplication by the Hessian", Neural Computation 6(1), 1994);
        ``changes`` and ``moved`` are as of `push`.
        """
        parts = []
        for layer in range(len(self._layers) - 1, -1, -1):
            dW, db = self._adjoint(layer, bent)
            if layer:
                W, slope, change = self._layers[layer][0], self.slopes[layer - 1], moved[layer - 1]
                n, n_changes, width = change.shape
                hidden = change * slope[:, None, :]
                dW += (hidden.reshape(n, -1).T @ delta).reshape(n_changes, width, -1).transpose(1, 0, 2)
                bent = self._through(layer, bent)
                bent += (delta @ changes[layer][0].transpose(2, 1, 0).reshape(len(W[0]), -1)).reshape(bent.shape)
                delta = delta @ W.T
                bent = bent * slope[:, None, :] + change * (delta * self.bends[layer - 1])[:, None, :]
                delta *= slope
            parts.append((dW, db))
        return parts[::-1]

    def _adjoint(self, layer, bent):
        n, n_changes, fan_out = bent.shape
        dW = self.inputs[layer].adjoint(bent.reshape(n, -1))
        return dW.reshape(-1, n_changes, fan_out), bent.sum(axis=0)

    def _through(self, layer, bent):
        W = self._layers[layer][0]
        return (bent.reshape(-1, bent.shape[2]) @ W.T).reshape(*bent.shape[:2], len(W))


def with_constants(raw, constants):
    """Raw predictions (..., outputs), or changes of them, beside the loss's constants, or changes of them."""
    constants = np.asarray(constants)
    if not constants.size:
        return raw
    return np.concatenate([raw, np.broadcast_to(constants, (*raw.shape[:-1], constants.shape[-1]))], axis=-1)


def network_predictions(X, layers, activation):
    """Raw predictions of a network, in blocks of rows.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, p)
    layers : sequence of (weights (fan_in, fan_out), biases (fan_out,))
    activation : Activation

    Returns
    -------
    ndarray of shape (n, k)
    """
    width = 2 * sum(len(b) for _, b in layers)
    return rows_of(X).gather(lambda block, y, weight: Forward(block, layers, activation).raw, width=width)
