"""Linear and generalized linear models: parameters to a value, a gradient, a Hessian and its factor.

The objective is the weighted mean of a pointwise loss plus half the weighted squared coefficients,

    F(theta) = sum_i w_i loss(y_i, raw_i) / sum_i w_i + 1/2 sum_jk penalty_jk W_jk^2 + 1/2 sum_k W_k' M W_k,
    raw = [X, 1] W,

with theta the coefficients and intercepts W (q, k) stored by rows, followed by the loss's own constants. An offset, one
number for each row and output, is added to raw; other terms, to the sum over rows.
"""

from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from sk_hessian._facts import fact
from sk_hessian.objectives._edge import edge_rows, find_edge, may_have_edge
from sk_hessian.objectives._penalty_bound import penalty_bound
from sk_hessian.objectives._programs import feasible_start, find_recession
from sk_hessian.objectives._rare import rare_of
from sk_hessian.objectives._refinement import MOST_WORK, refined
from sk_hessian.objectives.column_space import ColumnSpace
from sk_hessian.objectives.contract import Facts
from sk_hessian.objectives.coordinates import CommonShift, Through, WeightCoordinates
from sk_hessian.objectives.design import Design
from sk_hessian.objectives.evaluation import EPS, ROUNDINGS
from sk_hessian.objectives.glm_evaluation import LinearEvaluation, StandardThrough
from sk_hessian.objectives.linear_sums import LinearSums
from sk_hessian.objectives.mean_loss import OF_ROWS, OF_UNITS, MeanLossObjective
from sk_hessian.objectives.models import Linear
from sk_hessian.objectives.smoothing import smoothing_of
from sk_hessian.objectives.terms.l2 import L2

_SKETCH_SEED = 20_200_219


class GLMObjective(MeanLossObjective):
    """Weighted mean loss of a linear predictor, with an L2 penalty.

    Parameters
    ----------
    X : ndarray, memmap or CSR matrix of shape (n, p)
        float32 or float64; never copied, never written to.
    y : ndarray of shape (n,) or (n, k)
    loss : Loss
    sample_weight : ndarray of shape (n,), optional
        Positive weights.
    fit_intercept : bool
    penalty : array-like that broadcasts to (p, k)
        L2 strengths; where they differ by output, the product of a feature's and an output's strength.
    penalty_matrix : ndarray of shape (p, p), optional
        M, symmetric and positive semi-definite: the same for all outputs, beside the strengths.
    penalty_root : ndarray of shape (r, p) or (k, r, p), optional
        R, of each output a multiple of the same one: 1/2 |R W_k|^2 is added, and multiplied where the strengths are.
    offset : ndarray of shape (n,) or (n, k), optional
        What is added to the raw predictions.
    terms : sequence of terms
        What else is added to the sum over rows, such as `Jeffreys`.
    feature_names, class_names : sequence of str, optional
        For messages.
    check_rows : callable, optional
        Called without arguments where a sum is not finite, to raise where X is the reason. None: X is finite.
    """

    least_chance: float  #: of a sketch, the least chance that a row had
    whole: Any = None  #: of a sketch, what it is one of
    penalty_bound = penalty_bound
    smoothing = property(smoothing_of)
    has_likelihood = True  #: not of a sketch: the tolerance of its run is already that of the sampling

    def __init__(
        self,
        X,
        y,
        loss,
        *,
        sample_weight=None,
        fit_intercept=True,
        penalty=0.0,
        penalty_matrix=None,
        penalty_root=None,
        offset=None,
        terms=(),
        feature_names=None,
        class_names=None,
        check_rows=None,
    ):
        super().__init__(X, y, loss, sample_weight, feature_names, offset)
        self.fit_intercept, self.class_names, self.check_rows = fit_intercept, class_names, check_rows
        self.model = Linear(self.n_features, fit_intercept, loss)
        strengths = np.ones((self.n_features, loss.n_outputs)) * penalty
        if strengths.shape != (self.n_features, loss.n_outputs):
            raise ValueError(f"penalty must broadcast to {(self.n_features, loss.n_outputs)}, got {np.shape(penalty)}")
        k = loss.n_outputs
        roots = None if penalty_root is None else [*np.broadcast_to(penalty_root, (k, *np.shape(penalty_root)[-2:]))]
        self.l2 = L2(strengths, None if penalty_matrix is None else [penalty_matrix] * k, roots)
        self.terms = tuple(terms)
        self.curvature = loss.curvature if all(map(attrgetter("is_exact"), self.terms)) else "expected"
        self.convex = loss.convex and all(map(attrgetter("is_convex"), self.terms))
        for term in self.terms:
            term.check(self)

    # -- points ---------------------------------------------------------------------------------------------------

    def at(self, theta):
        """See `Objective.at`."""
        return LinearEvaluation(self, theta, self.design)

    @cached_property
    def design(self):
        """The rows as they are, and the user's parameters."""
        return Design(self.rows, self.model, self.l2)

    @property
    def standard_design(self):
        """The standardised rows, where they are few enough to be kept, and parameters of them; else None.

        Not of a sample: standardising a few rows costs more than it saves.
        """
        return self.space.design if self.space.rows is self.rows else None

    def entry(self, theta):
        """See `Objective.entry`: by the standardised rows, where these are kept."""
        design = self.standard_design
        if design is None or not design.can_hold(theta):
            return self.at(theta)
        here = LinearEvaluation(self, design.coordinates.inverse(theta), design)
        # to the last digit, which matters on a bound
        vars(here)["theta"] = theta
        return here

    def through(self, coordinates, here):
        """See `Objective.through`: by the standardised rows, where these are kept."""
        is_of_columns = (
            isinstance(coordinates, WeightCoordinates) and coordinates.columns.shift is self.space.plain.shift
        )
        design = self.standard_design if is_of_columns else None
        if design is None or not design.serves(coordinates, here):
            return Through(self, coordinates, here.theta)
        return StandardThrough(self, coordinates, here)

    # -- curvature ------------------------------------------------------------------------------------------------

    @cached_property
    def sums(self):
        """See `LinearSums`."""
        return LinearSums(self)

    @cached_property
    def space(self):
        """See `ColumnSpace`."""
        return ColumnSpace(self)

    @property
    def column_units(self):
        """See `MeanLossObjective.column_units`."""
        ridge = np.sqrt(self.l2.sizes / self.baseline.mean_curvature)
        return *self.moments_of_columns, ridge, np.ones(self.loss.n_outputs)

    def is_exact(self, kind):
        """See `Objective.is_exact`."""
        return kind == "observed" or (self.loss.canonical and all(map(attrgetter("is_exact"), self.terms)))

    def common_shift(self, within):
        """See `MeanLossObjective.common_shift`."""
        values, vectors = np.linalg.eigh(self.space.penalty_in(within).matrix(0))
        free = vectors[:, values <= ROUNDINGS * len(values) * EPS * max(values[-1], np.finfo(float).tiny)]
        k = self.loss.n_outputs
        return CommonShift(slice(0, within.n_columns * k), free, k)

    # -- what the solvers ask -------------------------------------------------------------------------------------

    @cached_property
    def facts(self):
        """See `Objective`; a Hessian is a product of the columns, of wide rows a product of the rows."""
        n, p, k, space = self.n_rows, self.n_features, self.loss.n_outputs, self.space
        return Facts(
            made_of=self.terms[0].made_of if self.terms else "columns",
            kinds=("full", "diagonal", "kronecker") if k > 1 else ("full", "diagonal"),
            has_matrix=space.has_matrix,
            n_columns=space.n_columns,
            factor_size=space.n_columns * k,
            n_outputs=k,
            n_constants=self.loss.n_constants,
            pass_work=p * k,
            hessian_work=n * p if space.is_wide else p * p,
            is_wide=space.is_wide,
            is_quadratic=self.loss.quadratic,
            is_polyhedral=self.loss.is_polyhedral,
            bends_few=self.loss.bends_few,
            is_held=self.l2.is_definite,
            is_sketch=not self.has_likelihood,
            is_sum_over_rows=all(map(attrgetter("is_sum_over_rows"), self.terms)),
        )

    @fact
    def full_size(self):
        """See `Objective.full_size`."""
        return min(self.space.columns.n_columns * self.loss.n_outputs, self.n_parameters)

    def _new_sketch(self, n_rows):
        """Rows with rare values are among them, and weighted for it."""
        self.rows.foresee_draw(n_rows, _SKETCH_SEED)
        rows, chance = self.rows.draw(n_rows, rare_of(self), _SKETCH_SEED)
        if self.check_rows is not None and not rows.n_rows:
            self.check_rows()
        rows = rows.weighted(rows.weight / chance)
        sketch = self._copied(rows, rows.total_weight, OF_ROWS | OF_UNITS)
        sketch.least_chance, sketch.has_likelihood, sketch._projections = np.min(chance), False, {}
        sketch.whole = self
        return sketch

    def inflation(self, sketch):
        """See `Objective.inflation`: of sampled rows, each as heavy as its chance was small, none counts for more."""
        if sketch.space.misses_variation:
            return np.inf
        return max(1.0, self.total / (sketch.total * sketch.least_chance))

    def determine(self, here, n_rows):
        """See `Objective.determine`: first by the sketch, where there is one."""
        if self.space.dependence is not None or not self.facts.has_matrix:
            return 0.0
        share = 0.0
        if n_rows is not None:
            sketch = self.sketch(n_rows)
            share = sketch.n_rows / self.n_rows
            sketch.space.settle(sketch.at(here.theta), self.curvature)
            if not sketch.is_dependent:
                # columns that are independent on some rows are so on all
                self.space.decide_independent()
                return share
        self.space.settle(here, self.curvature)
        return share + 1.0

    @fact
    def is_dependent(self):
        """See `Objective.is_dependent`."""
        return self.space.is_dependent

    def start(self, random_state=None):
        """A feasible start, see `feasible_start`; nothing of it is drawn."""
        return feasible_start(self)

    def diagnose(self, theta, direction, feasible=None):
        """See `Objective.diagnose`: a `Recession` or None."""
        # what other terms hold is not known
        return None if self.terms else find_recession(self, theta, direction, feasible)

    def edge_optimum(self, theta):
        """See `Objective.edge_optimum`."""
        return find_edge(self, theta) if may_have_edge(self) else None

    def edge_rows(self, theta):
        """See `Objective.edge_rows`."""
        return edge_rows(self, theta) if may_have_edge(self) else super().edge_rows(theta)

    def canonical(self, theta, feasible=None):
        """See `Objective.canonical`: what the data do not determine gets its conventional value.

        Softmax: coefficients sum to zero over the classes, which a penalty asks for as well. Constant and dependent
        columns: the coefficients of least Euclidean norm in the user's units.
        """
        if feasible is not None:
            return _shortest_within(self, theta, feasible)
        if not (self.loss.shift_invariant or self.space.dependence):
            return theta
        coef, intercept, constants = (np.array(part) for part in self.unpack(theta))
        if self.loss.shift_invariant:
            coef -= coef.mean(axis=1, keepdims=True)
            intercept -= intercept.mean()
        if self.space.dependence:
            coef, constant = self.space.least_norm(coef)
            intercept += constant
        return self.pack(coef, intercept, constants)

    def remedy(self, status):
        """See `Objective.remedy`."""
        return "fewer columns that nearly depend on each other" if status == "stalled" else ""

    def refined(self, theta):
        """See `Objective.refined`: least squares on small tables."""
        if not self.loss.quadratic or self.l2.is_present or self.terms or self.space.keeps_digits:
            return theta, 0
        columns = self.space.columns
        work = self.n_rows * self.model.n_weights * (1 if columns.basis is None else columns.n_columns)
        if work > MOST_WORK or not columns.n_columns:
            return theta, 0
        # of a squared loss the Kronecker factor is the whole Hessian's
        kind = ("full" if self.loss.n_outputs == 1 else "kronecker") if self.facts.has_matrix else "diagonal"
        return refined(self, theta, self.preconditioner(theta, kind))

    def flat_directions(self):
        """See `Objective.flat_directions`: columns as combinations of others, and constant ones without a penalty."""
        space, held = self.space, self.l2.diagonal
        if not space.dependence:
            return []
        free = [j for j in space.constant if (held[j] == 0).any()]
        return space.dependence.dependencies() + [f"{self.name(j)} = {space.plain.shift[j]:.4g}" for j in free]


def _shortest_within(objective, theta, feasible):
    """The feasible coefficients of least norm, of dependent columns, with the same predictions."""
    p, k = objective.n_features, objective.loss.n_outputs
    null = objective.space.dependence.null_space if objective.is_dependent else np.zeros((p, 0))
    if not null.shape[1]:
        return theta
    directions = np.zeros((objective.n_parameters, null.shape[1] * k))
    directions[: p * k] = np.kron(null, np.eye(k))
    if objective.fit_intercept:
        directions[p * k : p * k + k] = -np.kron(objective.space.plain.shift @ null, np.eye(k))
    return feasible.shortest(theta, directions, p * k)


def at_constants(objective, theta):
    """A `GLMObjective` of coefficients alone, the loss's constants held at those of ``theta``; and the rest of that."""
    if not objective.loss.n_constants:
        return objective, theta
    n_weights = objective.model.n_weights
    other = objective._copied(objective.rows, objective.total, objective._cached())
    other.loss, other._projections = objective.loss.at(theta[n_weights:]), {}
    other.model = Linear(objective.n_features, objective.fit_intercept, other.loss)
    other.curvature, other.convex = other.loss.curvature, other.loss.convex
    return other, theta[:n_weights]
