"""What all models have in common whose objective is a weighted mean of a pointwise loss, plus a penalty."""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sk_hessian.objectives._layers import Identified
from sk_hessian.objectives.contract import Objective
from sk_hessian.objectives.losses import constant_predictions
from sk_hessian.objectives.rows import BaseRows, Columns, rows_of, triangle

#: deviations below cannot be divided by: their inverse, times a coefficient, overflows
_SMALLEST = 1e-302

#: constant columns, and those whose sums are about zero, beyond this are refused: their squares overflow
_LARGEST = 1e140

#: numbers that a row needs where only its target counts
_TARGET_WIDTH = 2

#: weights beyond this, or below its inverse, are taken relative to the largest
_EXTREME = 1e100


#: cached facts of one set of rows; units of the columns, and what follows from them
OF_ROWS = frozenset({"design", "standard_design", "_sketches", "constant_curvature", "_summings", "facts"})
OF_UNITS = frozenset({"_moments", "plain_columns", "column_sizes", "_projections", "_dependence"})


@dataclass(frozen=True)
class RowTerms:
    """What some rows add to an objective at a point, and how their raw predictions move with it.

    Attributes
    ----------
    y : ndarray of shape (n,) or (n, k)
    share : ndarray of shape (n,)
        Weights over the total weight.
    raw : ndarray of shape (n, m)
        Raw predictions, the loss's constants included.
    slope : ndarray of shape (n, m)
        Gradients of the loss in them.
    bend : ndarray of shape (n, m, m)
        Its second derivatives.
    along : ndarray of shape (n, m, r)
        First-order changes of the raw predictions along the columns of a factor.
    """

    y: np.ndarray
    share: np.ndarray
    raw: np.ndarray
    slope: np.ndarray
    bend: np.ndarray
    along: np.ndarray


class MeanLossObjective(Objective):
    """Weighted mean of a loss of raw predictions; a subclass says how these depend on theta.

    Parameters
    ----------
    X : ndarray, memmap or sparse matrix of shape (n, p), or rows that have y and the weights with them
        float32 or float64; never written to.
    y : ndarray of shape (n,) or (n, k)
    loss : Loss
    sample_weight : ndarray of shape (n,) or None
        Positive weights.
    feature_names : sequence of str or None
    offset : ndarray of shape (n,) or (n, n_outputs), optional
        What is added to the raw predictions.
    """

    fit_intercept = True
    is_model = True
    called = "for this model"
    n_parameters: int

    #: whether each row has its own term beside the penalty; not where a prior is of all rows at once
    is_sum_over_rows = True

    #: whether posteriors are also of the biases of hidden layers, which have no penalty; else they stay as they are
    integrates_hidden_biases = True

    n_rows: int
    rows: Any
    penalty: Any
    identified: Any

    #: numbers per row that a pass needs beside those of X
    pass_width = 0

    def __init__(self, X, y, loss, sample_weight, feature_names, offset=None):
        self._is_relative = _is_extreme(sample_weight)
        self.rows = _rows(X, y, sample_weight, offset)
        self.loss = loss
        self.n_rows, self.n_features = self.rows.n_rows, self.rows.n_features
        self.feature_names = feature_names
        self.is_smooth, self.draws_rows = loss.is_smooth, self.rows.in_memory
        #: sum of the weights, relative to the largest where they are extreme
        self.total = self.rows.total_weight

    def __getstate__(self):
        """Without what can be had again: a function of this objective goes to the parts of its rows."""
        return {name: value for name, value in vars(self).items() if name not in ("_sketches", "standard_design")}

    @property
    def total_weight(self):
        """Sum of the weights: the objective times it is a sum over rows.

        Raises
        ------
        ValueError
            For weights so large or small that their squares would overflow: the objective, a mean, then has them
            relative to the largest.
        """
        if self._is_relative:
            raise ValueError(
                f"sample_weight: the largest weight is beyond {_EXTREME:g} or below {1 / _EXTREME:g}. The fit, a mean, "
                "stands that, but sums over the rows do not: divide the weights by a constant"
            )
        return self.total

    # -- what a subclass says -------------------------------------------------------------------------------------

    @cached_property
    def expected_is_exact(self):
        """Whether expected curvature is the second derivative itself."""
        return self.is_exact("expected")

    @cached_property
    def shifts_freely(self):
        """Whether a common shift of all outputs may change nothing."""
        return self.loss.shift_invariant

    def _new_sketch(self, n_rows):
        """See `Objective.sketch`."""
        raise NotImplementedError

    def start(self):
        """A feasible start."""
        raise NotImplementedError

    @cached_property
    def column_sizes(self):
        """The size of each column, its mean and its deviation together."""
        centre, deviation = self._moments
        return np.abs(centre) + deviation

    # -- single rows ----------------------------------------------------------------------------------------------

    @property
    def factor_size(self):
        """Columns of the matrix that `curvature_factor` factors."""
        return self.n_parameters

    def raw_predictions(self, theta):
        """See `MeanLossEvaluation.raw_predictions`."""
        return self.at(theta).raw_predictions()

    def curvature_factor(self, theta, kind):
        """A factor P of the whole Hessian, undamped: P P' is its inverse where the data determine theta.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        kind : {"observed", "expected"}

        Returns
        -------
        PointFactor
        """
        return self.preconditioner(theta, "full", kind)

    def gather_terms(self, theta, factor, function, kind="observed"):
        """``function(terms)`` of all rows, block by block.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        factor : PointFactor
            Along whose columns the raw predictions move; of an objective with the same columns.
        function : callable
            From `RowTerms` to a tuple of arrays whose first axis is that of the rows.
        kind : {"observed", "expected"}
            Of the second derivatives.

        Returns
        -------
        list of ndarray
            The arrays of all blocks, one after the other.
        """
        terms, width = self._terms_along(theta, factor, kind)
        return self.rows.gather(lambda *block: function(terms(*block)), width=width)

    def reduce_terms(self, theta, factor, function, kind="observed"):
        """The sum over all rows of ``function(terms)``, a tuple of arrays; otherwise as `gather_terms`.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        factor : PointFactor
        function : callable
        kind : {"observed", "expected"}

        Returns
        -------
        list of ndarray
        """
        terms, width = self._terms_along(theta, factor, kind)
        return self.rows.fold(lambda block, y, weight: function(terms(block, y, weight)), width=width)

    def _terms_along(self, theta, factor, kind):
        """A function from a block, its targets and weights to `RowTerms`, and the numbers that it needs for a row."""
        moved, m = self.at(theta).moved_along(factor), self.loss.n_outputs + self.loss.n_constants

        def terms(block, y, weight):
            raw, along = moved(block)
            slope = self.loss.value_and_gradient(y, raw)[1]
            return RowTerms(y, weight / self.total, raw, slope, self.loss.hessian(y, raw, kind), along)

        return terms, self.pass_width + self.n_features + factor.shape[0] + 2 * m * factor.shape[1]

    def without(self, row):
        """The same objective without one row, its penalty as strong beside the sum over the other rows.

        Parameters
        ----------
        row : int

        Returns
        -------
        Objective
        """
        rows = self.rows.take(np.delete(np.arange(self.n_rows), row))
        return self.on_rows(rows)

    # -- other rows -----------------------------------------------------------------------------------------------

    def _copied(self, rows, total, forgotten):
        """The same model of other rows of this total weight, without some of the cached facts."""
        other = copy.copy(self)
        for name in forgotten:
            vars(other).pop(name, None)
        other.rows, other.n_rows, other.total = rows, rows.n_rows, total
        return other

    def sample(self, rows):
        """See `Objective.sample`."""
        part = self._copied(self.rows.take(rows), self.total * len(rows) / self.n_rows, OF_ROWS)
        # standardising a few rows costs more than it saves
        vars(part)["standard_design"] = None
        return part

    def collected(self):
        """The same objective with all rows in memory."""
        return self._copied(self.rows.collected(), self.total, OF_ROWS)

    def on_rows(self, rows):
        """The same model of other rows, its penalty as strong beside the sum over them.

        Parameters
        ----------
        rows : Rows
            With the same columns.

        Returns
        -------
        Objective
        """
        facts = [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]
        other = self._copied(rows, rows.total_weight, {*facts, "_dependence"})
        other.draws_rows = rows.in_memory
        other.penalty = self.penalty * (self.total / other.total)
        return other

    # -- what the loss cannot see ---------------------------------------------------------------------------------

    def common_shift(self, within):
        """The `CommonShift` of a softmax model's outputs, in coordinates of the columns or of the layers."""
        raise NotImplementedError

    def shift_curvature(self, H, within):
        """Curvature along the common shifts that neither loss nor penalty sees, so that H has full rank.

        Parameters
        ----------
        H : ndarray
            The Hessian in coordinates.
        within : object
            These coordinates: those of columns or of layers.

        Returns
        -------
        ndarray, or 0.0 where there is nothing of the kind
        """
        if not (self.shifts_freely and H.size):
            return 0.0
        known = self._projections.get(id(within))
        if known is None:
            known = self._projections[id(within)] = within, self.common_shift(within).projected(np.eye(len(H)))
        return np.add.reduce(np.abs(H.diagonal())) / len(H) * known[1]

    @cached_property
    def _projections(self):
        return {}

    # -- units ----------------------------------------------------------------------------------------------------

    @cached_property
    def _moments(self):
        centre, deviation = self.rows.moments(self.fit_intercept)
        prediction = max(1.0, np.abs(self.null_raw).max(), self.rows.largest_target, self.largest_offset)
        small = (deviation > 0) & (deviation < _SMALLEST * prediction)
        if np.logical_or.reduce(small):
            name = self.name(np.argmax(small))
            raise ValueError(f"X: column {name} is so small that its coefficient overflows; multiply it by a constant")
        large = (np.abs(centre) > _LARGEST) & (deviation < np.abs(centre) / _EXTREME)
        if np.logical_or.reduce(large) or (self.rows.sums_about_zero and (deviation > _LARGEST).any()):
            name = self.name(np.argmax(large if large.any() else deviation))
            raise ValueError(f"X: column {name} is so large that its square overflows; divide it by a constant")
        return centre, deviation

    @cached_property
    def mean_curvature(self):
        """Curvature of an output at the null model, a unit for the penalty; some rows are enough."""
        if self.loss.quadratic:
            return 1.0
        y, raw = self._null_at_head()
        k = self.loss.n_outputs
        bent = self.loss.hessian(y, raw, "expected").diagonal(axis1=1, axis2=2)[:, :k]
        mean = np.add.reduce(bent, axis=None) / (len(y) * k)
        return float(mean) if mean > 0 else 1.0

    # -- the model linearised at a point, for posteriors ------------------------------------------------------------

    @property
    def penalties(self):
        """The penalty of each parameter, shape (n_parameters,)."""
        raise NotImplementedError

    @property
    def identified_penalties(self):
        """The penalty of each of the `identified` coordinates."""
        return self.identified.of_rows(self.penalties) * self.identified.units**2

    def jacobians(self, theta, X=None):
        """Raw predictions and their derivatives in `identified` coordinates, block by block.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        X : ndarray or CSR matrix of shape (n, p), optional
            Other rows than those of the objective, without an offset.

        Yields
        ------
        raw : ndarray of shape (b, k)
        J : ndarray of shape (b, k, size)
        y, weight : ndarray of shape (b,) or (b, k), and (b,)
            Zero for other rows.
        """
        raise NotImplementedError

    def layer_moments(self, theta):
        """A and G of each layer, whose Kronecker product approximates the layer's Hessian without the penalty.

        In `identified` coordinates.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)

        Returns
        -------
        list of (ndarray of shape (q, q), ndarray of shape (r, r))
        """
        raise NotImplementedError

    def _identify(self, moments, ridge, layers, output_unit):
        """The `Identified` coordinates; ``ridge`` is the penalty's root, a unit where a column has none."""
        centre, deviation = moments
        scale = np.hypot(deviation, ridge)
        if not scale.all():
            raise ValueError(
                f"X: column {self.name(np.flatnonzero(scale == 0)[0])} is constant and has no penalty, so that nothing "
                "determines its coefficient: drop it"
            )
        columns = Columns(centre, scale, self.fit_intercept)
        return Identified(columns, layers, output_unit, self.loss.contrasts(), self.integrates_hidden_biases)

    def _rows_of(self, X):
        return self.rows if X is None else rows_of(X)

    def identified_triangle(self, theta, kind):
        """R with R'R the Hessian in `identified` coordinates, the penalty included; upper triangular.

        By orthogonal transformations of the rows, not from the normal equations: a direction that the penalty alone
        determines keeps its digits.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        kind : {"observed", "expected"}
            For a network "expected", Gauss-Newton; "observed" where it is not negative.

        Returns
        -------
        ndarray of shape (size, size)
        """
        penalty = self.identified_penalties
        rows = [np.diag(np.sqrt(penalty))]
        for root in self.identified_roots(theta, kind):
            rows.append(root)
            if sum(map(len, rows)) > 3 * len(penalty):
                rows = [triangle(np.vstack(rows))]
        return triangle(np.vstack(rows))

    def identified_roots(self, theta, kind):
        """A of shape (m, size), block by block, with A'A the Hessian in `identified` coordinates less the penalty.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
        kind : {"observed", "expected"}
            As of `identified_triangle`.

        Yields
        ------
        ndarray of shape (b, size)
            As many rows as the block has, times the outputs that the loss sees.
        """
        for raw, J, y, weight in self.jacobians(theta):
            root = self._curvature_root(y, raw, kind) * np.sqrt(weight / self.total)[:, None, None]
            yield (root.transpose(0, 2, 1) @ J).reshape(-1, J.shape[2])

    def _curvature_root(self, y, raw, kind):
        if kind == "expected" or self.is_exact("expected"):
            return self.loss.hessian_root(y, raw)
        return np.sqrt(np.maximum(self.loss.hessian(y, raw, kind), 0))

    # -- what the solvers ask -------------------------------------------------------------------------------------

    @cached_property
    def null_raw(self):
        if self.rows.offset is None:
            return self.loss.null_model.raw(*self.rows.targets)
        return self.loss.null_model.beside(self.rows.offset, *self.rows.targets)

    def _null_at_head(self):
        """Some targets, and the raw predictions of the null model for them."""
        y = self.rows.head[0]
        offset = None if self.rows.offset is None else self.rows.offset[: len(y)]
        return y, constant_predictions(self.null_raw, len(y), offset)

    @cached_property
    def largest_offset(self):
        return 0.0 if self.rows.offset is None else float(np.abs(self.rows.offset).max())

    @property
    def lower_bound(self):
        """See `Objective.lower_bound`: the loss of the saturated model where finite predictions have it."""
        return self.saturated_value if self.loss.attains_bound else -np.inf

    @property
    def _null_value(self):
        return self._null_and_saturated[0]

    @cached_property
    def saturated_value(self):
        """The mean loss of the saturated model."""
        return self._null_and_saturated[1]

    @cached_property
    def scale(self):
        """The null model's loss above the saturated one, the unit of the tolerance."""
        null = self._null_value if np.isfinite(self._null_value) else self.value_and_gradient(self.start())[0]
        return float(max(null - self.saturated_value, self.resolution, np.finfo(float).tiny))

    def scale_of(self, y, weight):
        """What `scale` is for such targets, the offset aside.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
        weight : ndarray of shape (n,)

        Returns
        -------
        float
        """
        with np.errstate(over="ignore", invalid="ignore"):
            loss = self.loss.value(y, constant_predictions(self._null_of(y, weight), len(y)))
            return weight @ (loss - self.loss.saturated(y)) / weight.sum()

    def _null_of(self, y, weight):
        """The null model's raw prediction for such targets."""
        return self.loss.null_model.raw(y, weight)

    @cached_property
    def resolution(self):
        """See `Objective.resolution`."""
        return float(self.loss.null_model.resolution(*self.rows.targets, self.rows.offset))

    @cached_property
    def _null_and_saturated(self):
        """The mean losses of the null and of the saturated model."""

        def totals(block, y, weight):
            null = self.loss.value(y, constant_predictions(self.null_raw, len(y), block.offset))
            return (np.array([weight @ null, weight @ self.loss.saturated(y)]),)

        sums = self.rows.standing_in(self.loss.quadratic).fold(totals, width=_TARGET_WIDTH)[0]
        return (sums / self.total).tolist()

    def sketch(self, n_rows):
        """See `Objective.sketch`."""
        if n_rows not in self._sketches:
            self._sketches[n_rows] = self._new_sketch(n_rows)
        return self._sketches[n_rows]

    @cached_property
    def _sketches(self):
        return {}

    def name(self, feature):
        """The name of the feature with this index."""
        return f"x{feature}" if self.feature_names is None else str(self.feature_names[feature])


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
