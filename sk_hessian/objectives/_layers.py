"""The layers of a network: its rows on their way through and back, and the coordinates of its parameters."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from sk_hessian.objectives.coordinates import Coordinates
from sk_hessian.objectives.rows import Columns, DenseBlock, rows_of


class LayerCoordinates(Coordinates):
    """theta = T z: inputs centred and scaled, outputs in units of y.

    Parameters
    ----------
    columns : Columns
        Zero and unit of the inputs.
    layers : sequence of (slice, shape)
        Where the layers are in theta.
    output_unit : ndarray of shape (k,)
    """

    def __init__(self, columns, layers, output_unit):
        self.columns, self.output_unit, self.summed_in = columns, output_unit, self
        (self._first, self._first_shape), (self._last, self._last_shape) = layers[0], layers[-1]
        self.shape = (self._last.stop, self._last.stop)
        #: the inputs without a column of ones
        self.inputs = Columns(columns.shift, columns.scale, False)

    def unit(self, n_parameters):
        """The unit of each parameter beside that of its inputs, shape (n_parameters,)."""
        return self.scaled(np.ones(n_parameters))

    def scaled(self, z):
        """``z`` with the last layer times the units of the outputs."""
        z = z.copy()
        z[self._last] = (z[self._last].reshape(self._last_shape) * self.output_unit).ravel()
        return z

    def apply(self, z):
        """See `Coordinates.apply`."""
        theta = self.scaled(z)
        theta[self._first] = self.columns.to_weights(theta[self._first].reshape(self._first_shape)).ravel()
        return theta

    def transpose(self, g):
        """See `Coordinates.transpose`."""
        z = self.scaled(g)
        z[self._first] = self.columns.transpose(z[self._first].reshape(self._first_shape)).ravel()
        return z

    def standardised(self, theta):
        """The parameters for standardised inputs; the outputs keep their units."""
        z = theta.copy()
        z[self._first] = self.columns.from_weights(z[self._first].reshape(self._first_shape)).ravel()
        return z

    def restrict(self, theta):
        """See `Coordinates.restrict`: ``theta`` with the weights of constant inputs added to their biases."""
        W = theta[self._first].reshape(self._first_shape)[:-1]
        if not W[np.isinf(self.columns.scale)].any():
            return theta
        theta = self.standardised(theta)
        theta[self._first] = self.columns.to_weights(theta[self._first].reshape(self._first_shape)).ravel()
        return theta


class Identified(LayerCoordinates):
    """theta = T z for the parameters that a loss and a penalty determine, none of them left out.

    As `LayerCoordinates`, but a constant input has the unit of its penalty, and the last layer's outputs count in a
    basis of the changes that the loss sees: of a softmax model those that sum to zero.

    Parameters
    ----------
    columns, layers, output_unit
        As of `LayerCoordinates`; all units are finite.
    contrasts : ndarray of shape (k, r)
        That basis, orthonormal.
    hidden_biases : bool
        Whether the biases of hidden layers are among the coordinates.
    """

    def __init__(self, columns, layers, output_unit, contrasts, hidden_biases=True):
        super().__init__(columns, layers, output_unit)
        self.contrasts = contrasts
        hidden = [(part, (rows - (not hidden_biases), width)) for part, (rows, width) in layers[:-1]]
        self.shapes = [*(shape for _, shape in hidden), (self._last_shape[0], contrasts.shape[1])]
        ends = np.cumsum([0] + [rows * width for rows, width in self.shapes])
        #: where the layers are in z
        self.parts = [slice(a, b) for a, b in pairwise(ends.tolist())]
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


@dataclass(frozen=True)
class Moments:
    """What coordinates are made of, of all rows seen so far.

    Attributes
    ----------
    weight : float
        Total weight of the rows.
    centre, deviation : ndarray of shape (p,)
    output_unit : ndarray of shape (k,)
    """

    weight: float
    centre: np.ndarray
    deviation: np.ndarray
    output_unit: np.ndarray

    def merged(self, other):
        """Those of both sets of rows.

        References
        ----------
        .. [1] T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance", 1983.
        """
        total = self.weight + other.weight
        share, apart = other.weight / total, other.centre - self.centre
        variance = (1 - share) * self.deviation**2 + share * other.deviation**2 + share * (1 - share) * apart**2
        unit = np.sqrt((1 - share) * self.output_unit**2 + share * other.output_unit**2)
        return Moments(total, self.centre + share * apart, np.sqrt(variance), unit)


class Forward:
    """A block of rows on its way through a network, with what the way back needs.

    Parameters
    ----------
    block : DenseBlock of n rows
    layers : sequence of (weights (fan_in, fan_out), biases (fan_out,))
    activation : Activation
    """

    def __init__(self, block, layers, activation):
        self._layers, self._activation = layers, activation
        self.inputs = [block]
        #: values of the hidden units of each layer, (n, width)
        self.hidden: list[np.ndarray] = []
        self._sums: list[np.ndarray] = []
        for W, b in layers:
            if self._sums:
                self.hidden.append(activation.value(self._sums[-1]))
                self.inputs.append(DenseBlock(self.hidden[-1]))
            self._sums.append(self.inputs[-1].forward(W))
            self._sums[-1] += b
        self.raw = self._sums[-1]

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
        """The changes of the gradient itself: Pearlmutter's R-operator.

        Parameters
        ----------
        bent : ndarray of shape (n, B, k)
            Changes of the gradient in raw.
        delta : ndarray of shape (n, k)
            That gradient.
        changes, moved
            As of `push`.

        References
        ----------
        .. [1] B. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6(1), 1994.
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
