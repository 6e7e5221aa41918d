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

from sk_hessian.objectives._layers import Forward, LayerCoordinates, Moments, network_predictions
from sk_hessian.objectives._mean_loss import MeanLossObjective
from sk_hessian.objectives._spread import Spread
from sk_hessian.objectives.activations import ACTIVATIONS
from sk_hessian.objectives.contract import Facts
from sk_hessian.objectives.coordinates import CommonShift
from sk_hessian.objectives.losses import BinaryCrossEntropy
from sk_hessian.objectives.network import MOST_PARAMETERS, NetworkEvaluation
from sk_hessian.objectives.rows import Columns, triangle

_SKETCH_SEED = 20_150_706


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
    called = "for a network"

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
        self.n_weights = int(ends[-1])
        self.n_parameters = self.n_weights + loss.n_constants
        self.pass_width = 4 * sum(sizes[1:])
        self.convex = not hidden_layer_sizes and loss.convex
        self.has_kinks = bool(hidden_layer_sizes) and self.activation.has_kinks

    def at(self, theta):
        """See `Objective.at`."""
        return NetworkEvaluation(self, theta)

    # -- parameters -----------------------------------------------------------------------------------------------

    def unpack(self, theta):
        """Weights (fan_in, fan_out) and biases (fan_out,) of each layer, and the constants of the loss.

        Returns
        -------
        coefs, intercepts : list of ndarray
        constants : ndarray
        """
        blocks = [theta[part].reshape(shape) for part, shape in self.layers]
        return [block[:-1] for block in blocks], [block[-1] for block in blocks], theta[self.n_weights :]

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
        return network_predictions(X, self.parameters_of(theta)[0], self.activation)

    def parameters_of(self, theta):
        """Weights and biases of each layer, and the constants of the loss."""
        coefs, intercepts, constants = self.unpack(theta)
        return list(zip(coefs, intercepts, strict=True)), constants

    def forward(self, block, parameters):
        """A `Forward` and the raw predictions, constants included."""
        forward = Forward(block, parameters[0], self.activation)
        constants = np.broadcast_to(parameters[1], (len(forward.raw), self.loss.n_constants))
        return forward, np.hstack([forward.raw, constants]) if self.loss.n_constants else forward.raw

    @cached_property
    def penalties(self):
        """See `MeanLossObjective.penalties`."""
        strengths = np.zeros(self.n_parameters)
        for part, shape in self.layers:
            strengths[part].reshape(shape)[:-1] = self.penalty
        return strengths

    # -- curvature ------------------------------------------------------------------------------------------------

    def is_exact(self, kind):
        """See `Objective.is_exact`: Gauss-Newton is the Hessian of a linear model with a canonical loss."""
        return kind == "observed" or (len(self.layers) == 1 and self.loss.canonical)

    def curvature_factor(self, theta, kind):
        """See `MeanLossObjective.curvature_factor`.

        Raises
        ------
        ValueError
            For so many parameters that the matrix is not affordable.
        """
        if not self.facts.has_matrix:
            raise ValueError(
                f"the Hessian of a network of {self.n_parameters} parameters is not formed: {MOST_PARAMETERS} are the "
                "most; use smaller hidden_layer_sizes"
            )
        return self.at(theta).undamped_factor(kind)

    def _free_outputs(self):
        """The rows of the last layer [W; b] that have no penalty."""
        rows = np.ones(self.layers[-1][1][0], dtype=bool)
        rows[:-1] = self.penalty == 0
        return rows

    def common_shift(self, within):
        """See `MeanLossObjective.common_shift`."""
        part, (rows, k) = self.layers[-1]
        return CommonShift(part, np.eye(rows)[:, self._free_outputs()], k)

    def canonical(self, theta):
        """See `Objective.canonical`: what shifts all outputs of a softmax model alike is zero."""
        if not self.loss.shift_invariant:
            return theta
        theta, (part, shape), free = theta.copy(), self.layers[-1], self._free_outputs()
        last = theta[part].reshape(shape)
        last[free] -= last[free].mean(axis=1, keepdims=True)
        return theta

    def penalty_diagonal(self, coordinates):
        """The penalty's curvature in coordinates of the layers, shape (n_parameters,)."""
        strengths = self.penalties * coordinates.unit(self.n_parameters) ** 2
        part, shape = self.layers[0]
        strengths[part].reshape(shape)[:-1] /= coordinates.columns.scale[:, None] ** 2
        return strengths

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
        parameters = self.parameters_of(theta)

        def jacobians(block, y, weight):
            forward, raw = self.forward(block, parameters)
            roots = self.loss.hessian_root(y, raw) * np.sqrt(weight)[:, None, None]
            stacked = np.empty((roots.shape[2], len(raw), P))
            for j, jacobian in enumerate(stacked):
                forward.jacobian(roots[:, :k, j], jacobian)
                jacobian[:, self.n_weights :] = roots[:, k:, j]
            return stacked.reshape(-1, P)

        return triangle(np.vstack([above, self.rows.triangle(jacobians, width=P + self.pass_width)]))

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
        squares *= self.mean_curvature * np.mean(coordinates.output_unit) ** 2
        weights = squares[: self.n_weights, None]
        return Spread(weights, np.zeros(0), np.zeros_like(weights), squares[self.n_weights :])

    # -- preconditioning ------------------------------------------------------------------------------------------

    @cached_property
    def moments(self):
        """Means and deviations of the inputs, and the units of the outputs; may be set to those of more rows."""
        centre, deviation = self._moments
        return Moments(self.total, centre, deviation, self.loss.null_model.output_unit(self.rows.y, self.rows.weight))

    @cached_property
    def coordinates(self):
        """The standardised coordinates; the unit of a constant input is infinite, so that its weights stay zero."""
        centre, deviation, unit = self.moments.centre, self.moments.deviation, self.moments.output_unit
        ridge = np.sqrt(self.penalty / self.mean_curvature) / unit.mean()
        return LayerCoordinates(Columns.standardising(centre, deviation, ridge, True), self.layers, unit)

    @cached_property
    def raw_units(self):
        """The layers as they are."""
        return LayerCoordinates(Columns.raw(self.n_features, True), self.layers, np.ones(self.loss.n_outputs))

    @cached_property
    def facts(self):
        """See `Objective`; a Hessian is a product of the gradients of a row, one for each output and constant."""
        P, loss = self.n_parameters, self.loss
        return Facts(
            made_of="gradients",
            kinds=("full", "kronecker", "diagonal"),
            has_matrix=P <= MOST_PARAMETERS,
            n_columns=max(rows for _, (rows, _) in self.layers),
            pass_work=P,
            hessian_work=P * P * (loss.n_outputs + loss.n_constants),
            exact_is_cheap=self.has_closed_form and not self.convex,
            has_many_optima=not self.convex,
        )

    @property
    def has_closed_form(self):
        """Whether what Gauss-Newton leaves out of the Hessian has one: for one hidden layer."""
        return len(self.layers) == 2 and self.loss.canonical

    # -- the model linearised at a point, for posteriors ----------------------------------------------------------

    @cached_property
    def identified(self):
        """The coordinates of the posterior, `Identified`; one unit for all outputs, whose penalty is then the same."""
        unit = self.moments.output_unit.mean()
        ridge = np.sqrt(self.penalty / self.mean_curvature) / unit
        moments = self.moments.centre, self.moments.deviation
        return self._identify(moments, ridge, self.layers, np.full(self.loss.n_outputs, unit))

    def jacobians(self, theta, X=None):
        """See `MeanLossObjective.jacobians`."""
        at, P, k = self.identified, self.n_parameters, self.loss.n_outputs
        parameters, unit = self.parameters_of(at.standardised(theta)), at.unit(P)
        for block, y, weight in self._rows_of(X).blocks(at.columns, at.columns.n_columns + k * P + self.pass_width):
            forward, raw = self.forward(block.through(at.inputs), parameters)
            J = np.empty((len(raw), k, P))
            for j, output in enumerate(np.eye(k)):
                forward.jacobian(np.tile(output, (len(raw), 1)), J[:, j])
            yield raw, at.reduced(J * unit), y, weight

    def identified_diagonal(self, theta, kind):
        """The diagonal of Gauss-Newton in `identified` coordinates with all outputs, shape (n_parameters,)."""
        return self.at(theta).gauss_newton_diagonal(self.identified)

    def layer_moments(self, theta):
        """See `MeanLossObjective.layer_moments`; of Gauss-Newton."""
        inputs, outputs, _ = self.at(theta).second_moments(self.identified)
        basis = self.identified.contrasts
        outputs[-1] = basis.T @ outputs[-1] @ basis
        sizes = [rows for rows, _ in self.identified.shapes]
        return [(A[:rows, :rows], G) for A, G, rows in zip(inputs, outputs, sizes, strict=True)]

    def features(self, theta, X=None):
        """What the last layer sees: the last hidden units of the rows, or of others; shape (n, width)."""
        parameters = self.parameters_of(theta)[0]

        def last(block, y, weight):
            return Forward(block, parameters, self.activation).values[-1]

        return self._rows_of(X).gather(last, width=self.pass_width)

    # -- what the solvers ask -------------------------------------------------------------------------------------

    def _new_sketch(self, n_rows):
        """One row of each of so many equal stretches."""
        stretch = np.arange(n_rows) + np.random.default_rng(_SKETCH_SEED).random(n_rows)
        return self.sample((stretch * (self.n_rows / n_rows)).astype(np.intp))

    @property
    def lower_bound(self):
        """See `Objective.lower_bound`: the loss of the saturated model, which networks come near to."""
        return self.saturated_value

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
        theta, k = self.coordinates.apply(z), self.loss.n_outputs
        part, shape = self.layers[-1]
        theta[part].reshape(shape)[-1] = self.null_raw[:k]
        theta[self.n_weights :] = self.null_raw[k:]
        return theta

    def remedy(self, status):
        """See `Objective.remedy`."""
        return "another start (random_state)" if status == "saddle" else ""

    def constant_labels(self):
        """Labels that all rows or none have: no penalty holds their biases, so that the loss falls for ever."""
        if not isinstance(self.loss, BinaryCrossEntropy):
            return []
        y = self.rows.y.reshape(self.n_rows, -1)
        return [
            f"Label {label} is the same for every row: its bias grows without end."
            for label in np.flatnonzero((y == y[0]).all(axis=0))
        ]
