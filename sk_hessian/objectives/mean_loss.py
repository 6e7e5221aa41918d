"""What all models have in common whose objective is a weighted mean of a pointwise loss, plus penalties."""

import copy
from functools import cached_property
from typing import Any

import numpy as np

from sk_hessian._facts import fact, lasting_fact
from sk_hessian.objectives.baseline import Baseline
from sk_hessian.objectives.contract import Objective
from sk_hessian.objectives.rows import BaseRows, rows_of

#: deviations below cannot be divided by: their inverse, times a coefficient, overflows
_SMALLEST = 1e-302

#: constant columns, and those whose sums are about zero, beyond this are refused: their squares overflow
_LARGEST = 1e140

#: weights beyond this, or below its inverse, are taken relative to the largest
_EXTREME = 1e100

#: cached facts of one set of rows; units of the columns, and what follows from them
OF_ROWS = frozenset({"design", "sums", "facts"})
OF_UNITS = frozenset({"moments_of_columns", "column_sizes", "space"})

#: cached facts of the rows and of the loss alone, which no penalty changes
_WITHOUT_PENALTY = frozenset(
    ("baseline", "column_sizes", "expected_is_exact", "moments", "moments_of_columns", "raw_units")
    + ("resolution", "scale")
)


class MeanLossObjective(Objective):
    """The sum of a model's weighted losses and of penalties, over the total weight.

    A subclass has the model and the penalties, and says what curvature costs and where a run may start. Its parameters
    are those of `GLMObjective`; X may also be rows that have y and the weights with them.
    """

    is_model = True
    called = "for this model"
    class_names: Any = None

    n_rows: int
    rows: Any
    model: Any
    l2: Any
    terms: tuple = ()
    #: what to call where a sum is not finite, and X may be the reason; None where X is known to be finite
    check_rows: Any = None

    #: the `CommonShift` of a softmax model's outputs, in coordinates of the columns or of the layers
    common_shift: Any
    #: zero and deviation of each column, the root of its penalty in units of the curvature, and units of the outputs
    column_units: Any
    start: Any
    _new_sketch: Any

    def __init__(self, X, y, loss, sample_weight, feature_names, offset=None):
        self._is_relative = _is_extreme(sample_weight)
        self.rows = _rows(X, y, sample_weight, offset)
        self.loss = loss
        self.n_rows, self.n_features = self.rows.n_rows, self.rows.n_features
        self.feature_names = feature_names
        self.is_smooth, self.draws_rows = loss.is_smooth, self.rows.in_memory
        #: sum of the weights, relative to the largest where they are extreme
        self.total = self.rows.total_weight
        self.total_of_terms = self.total  #: what terms are divided by: of a sample the same as of all rows
        self._sketches, self._projections = {}, {}

    def __getstate__(self):
        """Without what can be had again: a function of this objective goes to the parts of its rows."""
        return {**vars(self), "_sketches": {}, "check_rows": None}

    @property
    def n_parameters(self):
        """Number of parameters."""
        return self.model.n_parameters

    @fact
    def total_weight(self):
        """Sum of the weights: the objective times it is a sum over rows.

        It raises a ValueError for weights so large or small that their squares would overflow: the objective, a mean,
        then has them relative to the largest.
        """
        if self._is_relative:
            raise ValueError(
                f"sample_weight: the largest weight is beyond {_EXTREME:g} or below {1 / _EXTREME:g}. The fit, a mean, "
                "stands that, but sums over the rows do not: divide the weights by a constant"
            )
        return self.total

    # -- parameters and names -------------------------------------------------------------------------------------

    def unpack(self, theta):
        """The parameters of the model, of a linear one coefficients (p, k), intercepts (k,) and constants."""
        return self.model.unpack(theta)

    def pack(self, *parts):
        """The inverse of `unpack`."""
        return self.model.pack(*parts)

    def name(self, feature):
        """The name of the feature with this index."""
        return f"x{feature}" if self.feature_names is None else str(self.feature_names[feature])

    def parameter_names(self, n_parameters=None):
        """See `Objective.parameter_names`: those of the model's weights, and of the loss's constants."""
        features = [self.name(j) for j in range(self.n_features)]
        return self.model.names(features, self.class_names) + list(self.loss.constant_names)

    # -- near a point ---------------------------------------------------------------------------------------------

    @cached_property
    def expected_is_exact(self):
        """Whether expected curvature is the second derivative itself."""
        return self.is_exact("expected")

    def raw_predictions(self, theta):
        """See `MeanLossEvaluation.raw_predictions`."""
        return self.at(theta).raw_predictions()

    # -- other rows -----------------------------------------------------------------------------------------------

    def _copied(self, rows, total, forgotten):
        """The same model of other rows of this total weight, without some of the cached facts."""
        other = copy.copy(self)
        for name in forgotten:
            vars(other).pop(name, None)
        other.rows, other.n_rows, other.total = rows, rows.n_rows, total
        other._sketches, other.check_rows = {}, self.check_rows
        return other

    def sample(self, rows):
        """See `Objective.sample`; a ValueError where a term is of all rows at once."""
        for term in self.terms:
            term.check_sample()
        return self._copied(self.rows.take(rows), self.total * len(rows) / self.n_rows, OF_ROWS)

    def _cached(self):
        """Names of the facts that are cached."""
        return [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]

    def with_strength(self, factor):
        """The same model of the same rows, the strengths of its penalty times a factor."""
        other = self._copied(self.rows, self.total, set(self._cached()) - _WITHOUT_PENALTY)
        other._projections, other.l2 = {}, self.l2.times(factor, of_matrices=1.0)
        return other

    def on_rows(self, rows):
        """The same model of other `Rows` with the same columns, its penalty as strong beside the sum over them."""
        other = self._copied(rows, rows.total_weight, self._cached())
        other.draws_rows, other._projections = rows.in_memory, {}
        other.l2, other.total_of_terms = self.l2.times(self.total / other.total), other.total
        return other

    def sketch(self, n_rows):
        """See `Objective.sketch`."""
        if n_rows not in self._sketches:
            self._sketches[n_rows] = self._new_sketch(n_rows)
        return self._sketches[n_rows]

    # -- what the loss cannot see ---------------------------------------------------------------------------------

    @cached_property
    def shifts_freely(self):
        """Whether a common shift of all outputs may change nothing: not where every weight has a penalty."""
        return self.loss.shift_invariant and (self.model.fit_intercept or not self.l2.is_definite)

    def shift_curvature(self, H, within):
        """Curvature along the common shifts that neither loss nor penalty sees, so that H has full rank.

        H is the Hessian in coordinates ``within`` of columns or of layers; 0.0 where there is nothing of the kind.
        """
        if not (self.shifts_freely and H.size):
            return 0.0
        known = self._projections.get(id(within))
        if known is None:
            known = self._projections[id(within)] = within, self.common_shift(within).projected(np.eye(len(H)))
        return np.add.reduce(np.abs(H.diagonal())) / len(H) * known[1]

    # -- units ----------------------------------------------------------------------------------------------------

    @cached_property
    def moments_of_columns(self):
        """Means and deviations of the columns, which must have squares."""
        centre, deviation = self.rows.moments(self.model.fit_intercept)
        if self.check_rows is not None and not np.isfinite(np.add.reduce(centre) + np.add.reduce(deviation)):
            self.check_rows()
        baseline = self.baseline
        prediction = max(1.0, np.abs(baseline.raw).max(), self.rows.largest_target, baseline.largest_offset)
        small = (deviation > 0) & (deviation < _SMALLEST * prediction)
        if np.logical_or.reduce(small):
            name = self.name(np.argmax(small))
            raise ValueError(f"X: column {name} is so small that its coefficient overflows; multiply it by a constant")
        # also where the sums overflow, and moments are not even numbers
        large = ~((np.abs(centre) <= _LARGEST) | (deviation >= np.abs(centre) / _EXTREME))
        if np.logical_or.reduce(large) or (self.rows.sums_about_zero and (deviation > _LARGEST).any()):
            name = self.name(np.argmax(large if large.any() else deviation))
            raise ValueError(f"X: column {name} is so large that its square overflows; divide it by a constant")
        return centre, deviation

    @cached_property
    def raw_units(self):
        """The columns, or the layers, as they are."""
        return self.model.raw_units()

    @cached_property
    def column_sizes(self):
        """The size of each column, its mean and its deviation together."""
        centre, deviation = self.moments_of_columns
        return np.abs(centre) + deviation

    # -- what the solvers ask -------------------------------------------------------------------------------------

    @cached_property
    def baseline(self):
        """See `Baseline`."""
        return Baseline(self.rows, self.loss, self.model.fit_intercept)

    @lasting_fact
    def scale(self):
        """The null model's loss above the saturated one, the unit of the tolerance."""
        baseline = self.baseline
        null = baseline.value if np.isfinite(baseline.value) else self.value_and_gradient(self.start())[0]
        return float(max(null - baseline.saturated_value, self.resolution, np.finfo(float).tiny))

    @fact
    def lower_bound(self):
        """See `Objective.lower_bound`: the loss of the saturated model where finite predictions have it, or come near.

        Networks do.
        """
        is_near = self.loss.attains_bound or not self.model.is_linear
        return self.baseline.saturated_value if is_near else -np.inf

    @lasting_fact
    def resolution(self):
        """See `Objective.resolution`."""
        return self.baseline.resolution


def require_bend(loss, what):
    """Refuse a piecewise linear loss where curvature is needed."""
    if loss.is_polyhedral:
        raise ValueError(
            f"{loss!r} is piecewise linear, without curvature, which {what} needs: give it a width, such as "
            f"{type(loss).__name__}({loss.quantile:g}, width=0.1), in units of y"
        )


def _is_extreme(weight):
    return weight is not None and not 1 / _EXTREME < np.maximum.reduce(weight) < _EXTREME


def _rows(X, y, sample_weight, offset):
    if isinstance(X, BaseRows):
        return X
    y = np.asarray(y)
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if _is_extreme(weight):
        weight = weight / weight.max()
    return rows_of(X, y, weight, None if offset is None else np.asarray(offset, dtype=float).reshape(len(y), -1))
