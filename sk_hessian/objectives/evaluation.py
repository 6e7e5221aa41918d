"""A point, and everything that was computed there: the only place that remembers.

``objective.at(theta)`` gives an `Evaluation`. Nothing is computed before it is asked for, and nothing twice. An
evaluation belongs to its parameters: coordinates, factors and refreshed preconditioners only view it.
"""

import math
from functools import cached_property

import numpy as np

from sk_hessian._facts import lasting_fact
from sk_hessian.objectives.factors import Diagonal

#: rounding errors of a sum of n terms, allowing for blocks and for order
ROUNDINGS = 16

#: the distance between one and the next larger number
EPS = float(np.finfo(float).eps)

#: rows of kept raw predictions that are looked at together
_SLICE = 2**15


def slices(n_rows):
    """Rows of kept raw predictions, a few at a time: what is computed of them is then small."""
    return [slice(start, start + _SLICE) for start in range(0, n_rows, _SLICE)]


class Evaluation:
    """An objective at a point; a subclass says what can be computed there.

    Parameters are as in `Objective`: ``kind`` and ``curvature`` are "observed" or "expected", directions are arrays of
    shape (n_parameters,), and ``factor``, where there is one, is a `PointFactor` P of this objective, with r columns. A
    subclass defines `value`, `gradient` and `noise`; `hessian`, `hessian_matrix` and `factor` for solvers that use
    curvature. The rest has defaults.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)

    Attributes
    ----------
    value : float
        The objective; +inf outside the domain.
    gradient : ndarray of shape (n_parameters,)
    """

    value: float
    gradient: np.ndarray
    slope: np.ndarray  #: the gradient in the coordinates of the place, where there are any
    passes_of_change: float = 0.5  #: what `predictor_change` takes
    shared_rounds: float = 0.0  #: rounds for a matrix of curvature that have found value and gradient too

    def __init__(self, objective, theta):
        self.objective = objective
        #: parameters, and their `Coordinates` or None: the same object for all that was computed here
        self.place = theta, None

    def __getstate__(self):
        """Without what can be had again: a function of this point goes to the parts of its rows."""
        return {"objective": self.objective, "place": self.place}

    @property
    def is_known(self):
        """Whether the value is known."""
        return "value" in vars(self)

    @cached_property
    def theta(self):
        """The user's parameters."""
        parameters, coordinates = self.place
        return parameters if coordinates is None else coordinates.apply(parameters)

    def covariance_root(self):
        """S (p, r) with S S' the inverse curvature, for the covariance of the parameters of a user's function."""
        raise TypeError(
            "covariance is for results of minimize on a FunctionObjective or a LeastSquaresObjective itself, not "
            f"{self.objective.called}. For an estimator use inspection.coef_table or inspection.laplace"
        )

    @property
    def gradient_size(self):
        """The largest absolute entry of the gradient; or, where it is a pass, what `History` finds that of later.

        That is a pair of coordinates and of the gradient in them, see `WeightCoordinates.lifted`.
        """
        coordinates = self.place[1]
        if coordinates is None or "gradient" in vars(self):
            return float(np.maximum.reduce(np.abs(self.gradient)))
        return coordinates, self.slope

    def between(self, other, share):
        """The point at a share of the way to another one, where that is cheaper than any point; else None."""
        return

    @property
    def noise(self):
        """The rounding error of the value: smaller differences mean nothing."""
        raise NotImplementedError

    @property
    def floor(self):
        """The decrement that rounding of the gradient leaves: no tolerance asks for less."""
        return 0.0

    def likelihood_tolerance(self, tol):
        """The largest decrement at which no parameter is more than ``100 tol`` standard errors from the optimum.

        A float; inf where no likelihood gives the parameters errors.
        """
        return np.inf

    def hessian(self, kind="observed"):
        """The Hessian as a ``LinearOperator`` of shape (n_parameters, n_parameters)."""
        raise NotImplementedError

    def hessian_matrix(self, kind="observed", factor=None):
        """The Hessian as a matrix of shape (n_parameters, n_parameters), a new array.

        With a ``factor`` P'HP, of shape (r, r), with the digits that the product of the two would lose.
        """
        raise NotImplementedError

    def regular_hessian_matrix(self, kind="observed", factor=None):
        """`hessian_matrix` with curvature along directions that the objective is known not to depend on.

        Rounding would decide otherwise whether such a matrix can be factored; no gradient lies along them. Override it
        where there are such directions.
        """
        return self.hessian_matrix(kind, factor)

    def hessian_diagonal(self, kind="observed", factor=None):
        """The diagonal of `hessian_matrix`, a new array; override it where it costs less than the matrix."""
        return self.hessian_matrix(kind, factor).diagonal().copy()

    def factor(self, kind="full", curvature="expected"):
        """A `PointFactor` P of the Hessian here, P'HP near the identity; None where the Hessian is not finite.

        Its ``kind`` is one of the objective's `Facts`; "separate" of a linear model, units in which each parameter has
        a coordinate of its own; or "units": the diagonal alone, for objectives with rows as far
        as it is known without a pass, and only for those that try it. It raises a ValueError for any other kind, by
        `Objective.refuse_kind`.
        """
        raise NotImplementedError

    def predictor_change(self, directions):
        """How far each direction moves a linear predictor, at the most, in units over which curvature changes e-fold.

        Shape (n_directions,). Override it where there are predictors.
        """
        return np.zeros(len(directions))

    def changes(self, other, step):
        """The same for the way from another evaluation to this one, and for a `Displacement`; and the passes it took.

        None for the step where the other is to be had without a pass.
        """
        return *self.predictor_change([self.theta - other.theta, step.theta]).tolist(), self.passes_of_change

    def newton_change(self, step, decrement, enough):
        """The same for a Newton step, a `Displacement`, of this decrement; a bound where that is below ``enough``."""
        return float(self.predictor_change([step.theta])[0]), self.passes_of_change

    def remarks(self):
        """What else a user should know about a solution here, sentences."""
        return []

    def suspicions(self):
        """What may have kept a run from an optimum, sentences."""
        return []

    def probes(self):
        """Other points to look at before a flat one is called an optimum, arrays of shape (n_parameters,)."""
        return []

    def approaches_edge(self):
        """Whether it is so near the edge of the domain that an optimum may be on it; a bool."""
        return False


class MeanLossEvaluation(Evaluation):
    """A weighted mean loss, plus penalties, at a point; a subclass says how raw predictions come about."""

    def __init__(self, objective, theta):
        super().__init__(objective, theta)
        self._matrices = {}

    def __getstate__(self):
        """See `Evaluation.__getstate__`."""
        return {**super().__getstate__(), "_matrices": {}}

    # -- what a subclass says -------------------------------------------------------------------------------------

    def sweep(self):
        """Find value, gradient and what follows in one pass, keep raw predictions if not many; all that is known."""
        raise NotImplementedError

    def predictor(self):
        """A function from a block to its raw predictions."""
        raise NotImplementedError

    def moved(self, directions):
        """A function from a block to its raw predictions, and a list of their first-order changes."""
        raise NotImplementedError

    def moved_along(self, factor):
        """A function from a block to its raw predictions, and their changes along the columns of P, (n, m, r)."""
        raise NotImplementedError

    @property
    def largest_summands(self):
        """The size of what a raw prediction is the sum of, in a typical row."""
        raise NotImplementedError

    def sum_curvature(self, kind, coordinates):
        """The Hessian in ``coordinates``, the penalty included; ``kind`` is "expected" where that is exact."""
        raise NotImplementedError

    def curvature_diagonal(self, kind, coordinates):
        """The diagonal of `curvature`, without the matrix."""
        raise NotImplementedError

    def layer_moments(self, coordinates):
        """Second moments of each layer's inputs and of its gradients, lists, and the constants' curvature or None."""
        raise NotImplementedError

    def whole_factor(self, kind):
        """A `PointFactor` of the whole Hessian, undamped: P P' is its inverse where the data determine theta."""
        return self.factor("full", kind)

    # -- value and gradient ---------------------------------------------------------------------------------------

    def completed(self, l2, raw, value, gradient, slope_size):
        """All that follows from a penalty, raw predictions, and sums over rows of values, gradients and their sizes."""
        (parameters, coordinates), objective = self.place, self.objective
        pull = l2.pull(parameters)
        weights = parameters[: pull.size]
        penalty = 0.5 * float(pull @ weights)
        slope = gradient / objective.total
        slope[: pull.size] += pull
        if objective.check_rows is not None and not math.isfinite(np.add.reduce(slope)):
            objective.check_rows()
        value = float(value / objective.total) + penalty
        value = value if math.isfinite(value) else math.inf
        known_here = vars(self)
        known_here.update(value=value, slope=slope, penalty=penalty, raw=raw)
        known_here["slope_size"] = float(slope_size / objective.total)
        if coordinates is None:
            known_here["gradient"] = slope
        else:
            sizes = self.design.sizes @ np.abs(weights).reshape(-1, objective.loss.n_outputs)
            known_here["largest_summands"] = float(np.maximum.reduce(sizes)) + objective.baseline.largest_offset
        if objective.terms and math.isfinite(value):
            # other terms are of the user's parameters
            known_here["value"] += sum(term.value for term in self.terms) / objective.total_of_terms
            if math.isfinite(self.value):
                slope = slope + sum(term.gradient for term in self.terms) / objective.total_of_terms
                known_here["slope"] = known_here["gradient"] = slope
        return known_here

    @lasting_fact
    def value(self):
        """See `Evaluation`."""
        return self.sweep()["value"]

    @lasting_fact
    def gradient(self):
        """See `Evaluation`."""
        known = vars(self) if "slope" in vars(self) else self.sweep()
        coordinates = self.place[1]
        return known["slope"] if coordinates is None else coordinates.lifted(known["slope"])

    @cached_property
    def slope_size(self):
        """The mean size of the loss's slope in raw predictions."""
        return self.sweep()["slope_size"]

    @cached_property
    def penalty(self):
        """What the value has of the L2 penalty."""
        return self.sweep()["penalty"]

    @cached_property
    def terms(self):
        """What else is added here, `TermPoint`."""
        return [term.at(self) for term in self.objective.terms]

    @property
    def excess(self):
        """The mean loss above that of the saturated model."""
        return self.value - self.penalty - self.objective.baseline.saturated_value

    @property
    def noise(self):
        """See `Evaluation.noise`: of the sum, and of raw predictions that are sums of large terms.

        The error e of a raw prediction changes the loss by slope * e + curvature * e^2 / 2, with the slope at the point
        itself: near a perfect fit it is next to nothing, far below that of the null model.
        """
        objective, eps = self.objective, ROUNDINGS * EPS
        error = eps * self.largest_summands
        own = ROUNDINGS * objective.resolution if objective.loss.cancels else 0.0
        if objective.terms:
            own += sum(term.noise for term in self.terms) / objective.total_of_terms
        return eps * abs(self.value) + own + error * (self.slope_size + 0.5 * error * objective.baseline.mean_curvature)

    def raw_predictions(self):
        """Raw predictions of all rows, the loss's constants beside them, shape (n_rows, n_outputs + n_constants)."""
        predict, width = self.predictor(), self.objective.model.pass_width
        return self.objective.rows.gather(lambda block, y, weight: predict(block), width=width)

    def predictor_change(self, directions):
        """See `Evaluation.predictor_change`; half a pass, and none where the curvature is constant."""
        if self.objective.loss.quadratic:
            return np.zeros(len(directions))
        moved, loss = self.moved(directions), self.objective.loss

        def largest(block, y, weight):
            raw, moves = moved(block)
            return (np.array([loss.largest_move(raw, move) for move in moves]),)

        return self.objective.rows.fold(largest, combine=np.maximum, width=self.objective.model.pass_width)[0]

    # -- curvature ------------------------------------------------------------------------------------------------

    def curvature(self, kind, coordinates):
        """The Hessian, the penalty included, in whatever coordinates the model takes its sums in; it is kept.

        These are `Columns`, or coordinates of layers.
        """
        kind = "expected" if self.objective.expected_is_exact else kind
        known = self._matrices.get((kind, id(coordinates)))
        if known is None:
            # with the coordinates, so that no others have the same id
            known = self._matrices[kind, id(coordinates)] = coordinates, self.sum_curvature(kind, coordinates)
        return known[1]

    def hessian_matrix(self, kind="observed", factor=None):
        """See `Evaluation.hessian_matrix`."""
        if factor is None:
            return self.curvature(kind, self.objective.raw_units).copy()
        return factor.inner.congruence(self.curvature(kind, factor.outer.summed_in))

    def regular_hessian_matrix(self, kind="observed", factor=None):
        """See `Evaluation.regular_hessian_matrix`: the common shift of a softmax model's outputs."""
        if factor is None:
            return self.hessian_matrix(kind)
        objective, within = self.objective, factor.outer.summed_in
        H = self.curvature(kind, within)
        return factor.inner.congruence(H + objective.shift_curvature(H, within) if objective.shifts_freely else H)

    def hessian_diagonal(self, kind="observed", factor=None):
        """See `Evaluation.hessian_diagonal`."""
        if factor is None:
            return self.curvature_diagonal(kind, self.objective.raw_units)
        if isinstance(factor.inner, Diagonal):
            return self.curvature_diagonal(kind, factor.outer.summed_in) * factor.inner.d**2
        return self.hessian_matrix(kind, factor).diagonal().copy()
