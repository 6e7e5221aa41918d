"""Fully connected networks: parameters to a value, a gradient, a Hessian and its factor.

The objective is the weighted mean of a pointwise loss plus half the squared weights (not the biases),

    F(theta) = sum_i w_i loss(y_i, raw_i) / sum_i w_i + penalty / 2 sum_l |W_l|^2,
    raw = h(... h(X W_1 + b_1) ...) W_L + b_L,

with theta the layers [W_l; b_l] (fan_in + 1, fan_out), each stored by rows, followed by the loss's own constants.
Curvature is computed in standardised coordinates z: inputs centred and in their own units, outputs in those of y.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sk_hessian.objectives.contract import Facts
from sk_hessian.objectives.coordinates import CommonShift, LayerCoordinates
from sk_hessian.objectives.losses import BinaryCrossEntropy
from sk_hessian.objectives.mean_loss import MeanLossObjective, require_bend
from sk_hessian.objectives.mlp_evaluation import MOST_PARAMETERS, NetworkEvaluation
from sk_hessian.objectives.models import Network, network_predictions
from sk_hessian.objectives.rows import Columns
from sk_hessian.objectives.rows.sampling import stratified
from sk_hessian.objectives.terms.l2 import L2

_SKETCH_SEED = 20_150_706


@dataclass(frozen=True)
class Moments:
    """What coordinates are made of, of all rows seen so far."""

    weight: float  #: total weight of the rows
    centre: np.ndarray  #: zero of each input, (p,)
    deviation: np.ndarray  #: deviation of each input, (p,)
    output_unit: np.ndarray  #: unit of each output, (k,)

    def merged(self, other):
        """Those of both sets of rows.

        Source: T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance", 1983.
        """
        total = self.weight + other.weight
        share, apart = other.weight / total, other.centre - self.centre
        variance = (1 - share) * self.deviation**2 + share * other.deviation**2 + share * (1 - share) * apart**2
        unit = np.sqrt((1 - share) * self.output_unit**2 + share * other.output_unit**2)
        return Moments(total, self.centre + share * apart, np.sqrt(variance), unit)


class MLPObjective(MeanLossObjective):
    """Weighted mean loss of a fully connected network, with an L2 penalty on its weights.

    Parameters
    ----------
    X : ndarray, memmap or CSR matrix of shape (n, p)
        float32 or float64; never copied, never written to.
    y : ndarray of shape (n,) or (n, k)
    loss : Loss
    hidden_layer_sizes : sequence of int
        An empty sequence gives a linear model.
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
        require_bend(loss, "a network")
        super().__init__(X, y, loss, sample_weight, feature_names)
        self.model = Network(self.n_features, hidden_layer_sizes, activation, loss)
        strengths = np.zeros(self.model.n_weights)
        for part, shape in self.model.layers:
            strengths[part].reshape(shape)[:-1] = penalty
        self.l2 = L2(strengths[:, None])
        self.convex = not hidden_layer_sizes and loss.convex
        self.has_kinks = bool(hidden_layer_sizes) and self.model.activation.has_kinks

    def at(self, theta):
        """See `Objective.at`."""
        return NetworkEvaluation(self, theta)

    def penalised_in(self, units):
        """The same with the penalty of weights for standardised inputs and outputs; ``units`` are their `Moments`.

        The penalty and the squared errors are then in the same units, so that those of X and y do not matter.
        """
        other = self._copied(self.rows, self.total, {"coordinates"})
        strengths, unit = self.l2.diagonal.copy(), units.output_unit.mean()
        for part, shape in self.model.layers:
            strengths[part].reshape(shape)[:-1] *= unit**2
        (first, first_shape), (last, _) = self.model.layers[0], self.model.layers[-1]
        inputs = strengths[first].reshape(first_shape)
        inputs[:-1] *= np.where(units.deviation > 0, units.deviation, 1.0)[:, None] ** 2
        strengths[last] /= unit**2
        other.l2, other._projections = L2(strengths), {}
        return other

    def raw(self, theta, X):
        """Raw predictions for the rows of ``X``, shape (n, k)."""
        coefs, intercepts, _ = self.unpack(theta)
        return network_predictions(X, list(zip(coefs, intercepts, strict=True)), self.model.activation)

    # -- curvature ------------------------------------------------------------------------------------------------

    def is_exact(self, kind):
        """See `Objective.is_exact`: Gauss-Newton is the Hessian of a linear model with a canonical loss."""
        return kind == "observed" or (len(self.model.layers) == 1 and self.loss.canonical)

    def _free_outputs(self):
        """The rows of the last layer [W; b] that have no penalty."""
        part, shape = self.model.layers[-1]
        return (self.l2.diagonal[part].reshape(shape) == 0).all(axis=1)

    def common_shift(self, within):
        """See `MeanLossObjective.common_shift`."""
        part, (rows, k) = self.model.layers[-1]
        return CommonShift(part, np.eye(rows)[:, self._free_outputs()], k)

    def canonical(self, theta, feasible=None):
        """See `Objective.canonical`: what shifts all outputs of a softmax model alike is zero."""
        if not self.loss.shift_invariant or feasible is not None:
            return theta
        theta, (part, shape), free = theta.copy(), self.model.layers[-1], self._free_outputs()
        last = theta[part].reshape(shape)
        last[free] -= last[free].mean(axis=1, keepdims=True)
        return theta

    def penalty_diagonal_in(self, coordinates):
        """The penalty's curvature in coordinates of the layers, shape (n_parameters,)."""
        strengths = self.l2.diagonal_of(self.n_parameters) * coordinates.unit(self.n_parameters) ** 2
        part, shape = self.model.layers[0]
        strengths[part].reshape(shape)[:-1] /= coordinates.columns.scale[:, None] ** 2
        return strengths

    # -- preconditioning ------------------------------------------------------------------------------------------

    @cached_property
    def moments(self):
        """Means and deviations of the inputs, and the units of the outputs; may be set to those of more rows."""
        unit = self.loss.family.output_unit(self.rows.y, self.rows.weight)
        centre, deviation = self.moments_of_columns
        return Moments(self.total, centre, deviation, unit)

    @property
    def column_units(self):
        """See `MeanLossObjective`; one unit for all outputs, whose penalty is then the same."""
        moments, (part, shape) = self.moments, self.model.layers[0]
        unit = moments.output_unit.mean()
        sizes = self.l2.diagonal[part].reshape(shape)[:-1].mean(axis=1)
        ridge = np.sqrt(sizes / self.baseline.mean_curvature) / unit
        return moments.centre, moments.deviation, ridge, np.full(self.loss.n_outputs, unit)

    @cached_property
    def coordinates(self):
        """The standardised coordinates; the unit of a constant input is infinite, so that its weights stay zero."""
        centre, deviation, ridge, _ = self.column_units
        columns = Columns.standardising(centre, deviation, ridge, True)
        return LayerCoordinates(columns, self.model.layers, self.moments.output_unit)

    @cached_property
    def facts(self):
        """See `Objective`; a Hessian is a product of the gradients of a row, one for each output and constant."""
        P, loss = self.n_parameters, self.loss
        return Facts(
            made_of="gradients",
            kinds=("full", "kronecker", "diagonal"),
            has_matrix=P <= MOST_PARAMETERS,
            n_columns=max(rows for _, (rows, _) in self.model.layers),
            factor_size=P,
            pass_work=P,
            hessian_work=P * P * (loss.n_outputs + loss.n_constants),
            exact_is_cheap=self.has_closed_form and not self.convex,
            has_many_optima=not self.convex,
        )

    @property
    def has_closed_form(self):
        """Whether what Gauss-Newton leaves out of the Hessian has one: for one hidden layer."""
        return len(self.model.layers) == 2 and self.loss.canonical

    # -- what the solvers ask -------------------------------------------------------------------------------------

    def _new_sketch(self, n_rows):
        """One row of each of so many equal stretches."""
        return self.sample(stratified(self.n_rows, n_rows, _SKETCH_SEED))

    def start(self, random_state=None):
        """Weights drawn in standardised coordinates, with the last bias and the constants of the null model.

        Drawn for the raw inputs they would saturate on columns in large units, see `Network.start`.

        Parameters
        ----------
        random_state : int, Generator or None
        """
        z = self.model.start(np.random.default_rng(random_state))
        theta, k, null = self.coordinates.apply(z), self.loss.n_outputs, self.baseline.raw
        part, shape = self.model.layers[-1]
        theta[part].reshape(shape)[-1] = null[:k]
        theta[self.model.n_weights :] = null[k:]
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
