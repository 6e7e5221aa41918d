"""Linear and generalized linear models: parameters to a value, a gradient, a Hessian and its factor.

The objective is the weighted mean of a pointwise loss plus half the weighted squared coefficients,

    F(theta) = sum_i w_i loss(y_i, raw_i) / sum_i w_i + 1/2 sum_jk penalty_jk W_jk^2,     raw = [X, 1] W,

with theta the coefficients and intercepts W (q, k) stored by rows, followed by the loss's own constants. An offset, one
number for each row and output, is added to raw.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from sk_hessian.objectives import factors
from sk_hessian.objectives._edge import edge_rows, find_edge, may_have_edge
from sk_hessian.objectives._linear_rows import LinearRows
from sk_hessian.objectives._mean_loss import OF_ROWS, OF_UNITS
from sk_hessian.objectives._orthogonal import Orthogonal
from sk_hessian.objectives._programs import find_recession, positive_start
from sk_hessian.objectives._refinement import MOST_WORK, refined
from sk_hessian.objectives.contract import Facts
from sk_hessian.objectives.coordinates import CommonShift, Through, WeightCoordinates
from sk_hessian.objectives.evaluation import ROUNDINGS
from sk_hessian.objectives.linear import Design, Linear, LinearEvaluation, StandardThrough
from sk_hessian.objectives.rows import Columns, DenseBlock

#: up to so many columns there is memory for a matrix of them, 8 r^2 bytes: 72 MB; its factor costs r^3 / 3. That tells
#: the rank, and which columns depend on others, whatever the solver
MOST_COLUMNS = 3000

#: up to so many columns a matrix of them costs next to nothing: fewer rows are then no reason for other coordinates
_NEVER_WIDE = 150

_SKETCH_SEED = 20_200_219


@dataclass(frozen=True)
class Summing:
    """How sums over rows are taken in coordinates of some columns.

    Attributes
    ----------
    columns : Columns
        The coordinates.
    rows : Rows
        Those of the objective, or the standardised ones.
    within : Columns
        The same coordinates, of the columns of these rows.
    strengths : ndarray or None
        The diagonal of the penalty; None where it is a matrix.
    block : DenseBlock or None
        All rows in coordinates ``within``, where they are kept there.
    """

    columns: Columns
    rows: Any
    within: Columns
    strengths: np.ndarray | None
    block: Any = None


class GLMObjective(LinearRows):
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
    offset : ndarray of shape (n,) or (n, k), optional
        What is added to the raw predictions.
    feature_names, class_names : sequence of str, optional
        For messages.
    """

    #: of a sketch, the least chance that a row had
    least_chance: float

    #: not of a sketch: the tolerance of its run is already that of the sampling
    has_likelihood = True

    #: see `Facts`
    made_of = "columns"

    def __init__(
        self,
        X,
        y,
        loss,
        *,
        sample_weight=None,
        fit_intercept=True,
        penalty=0.0,
        offset=None,
        feature_names=None,
        class_names=None,
    ):
        super().__init__(X, y, loss, sample_weight, feature_names, offset)
        self.fit_intercept = fit_intercept
        self.model = Linear(self.n_features, fit_intercept, loss)
        self.n_weights, self.n_parameters = self.model.n_weights, self.model.n_parameters
        self.penalty = np.ones((self.n_features, loss.n_outputs)) * penalty
        if self.penalty.shape != (self.n_features, loss.n_outputs):
            raise ValueError(f"penalty must broadcast to {(self.n_features, loss.n_outputs)}, got {np.shape(penalty)}")
        self.convex = loss.convex
        self.curvature = loss.curvature
        self.class_names = class_names

    # -- points ---------------------------------------------------------------------------------------------------

    def at(self, theta):
        """See `Objective.at`."""
        return LinearEvaluation(self, theta, self.design)

    @cached_property
    def design(self):
        """The rows as they are, and the user's parameters."""
        return Design(self.rows, self.model, self.penalty.ravel())

    @cached_property
    def standard_design(self):
        """The standardised rows, where they are few enough to be kept, and parameters of them; else None."""
        columns, loss = self.plain_columns, self.loss
        rows = self.rows.kept_in(columns) if self.design.can_keep else None
        if rows is None:
            return None
        strengths = np.array([self.strengths(columns, of) for of in self.penalty.T]).T
        coordinates = WeightCoordinates(columns, loss.n_outputs, loss.n_constants)
        return Design(rows, Linear(columns.n_columns, False, loss), strengths.ravel(), coordinates)

    def entry(self, theta):
        """See `Objective.entry`: by the standardised rows, where these are kept."""
        design = self.standard_design
        if design is None or not self._is_standard(theta):
            return self.at(theta)
        return LinearEvaluation(self, design.coordinates.inverse(theta), design)

    def through(self, coordinates, here):
        """See `Objective.through`: by the standardised rows, where these are kept."""
        design = self.standard_design if isinstance(coordinates, WeightCoordinates) else None
        if design is None or not (here.design is design or self._is_standard(here.theta)):
            return Through(self, coordinates, here.theta)
        return StandardThrough(self, coordinates, here)

    def _is_standard(self, theta):
        """Whether constant columns, which have no part in standardised rows, have no coefficients."""
        coef = theta[: self.penalty.size].reshape(self.penalty.shape)
        return not np.logical_or.reduce(coef[np.isinf(self.plain_columns.scale)], axis=None)

    def unpack(self, theta):
        """Coefficients (p, k), intercepts (k,) and constants of ``theta``."""
        return self.model.unpack(theta)

    def pack(self, coef, intercept, constants=()):
        """The inverse of `unpack`."""
        return self.model.pack(coef, intercept, constants)

    def parameter_names(self, n_parameters=None):
        """See `Objective.parameter_names`: features and the intercept, of several outputs with the output's name."""
        names = [self.name(j) for j in range(self.n_features)] + ["intercept"] * self.fit_intercept
        k = self.loss.n_outputs
        if k > 1:
            outputs = range(k) if self.class_names is None else self.class_names
            names = [f"{name} [{output}]" for name in names for output in outputs]
        return names + list(self.loss.constant_names)

    # -- curvature ------------------------------------------------------------------------------------------------

    @cached_property
    def raw_units(self):
        """The columns as they are."""
        return Columns.raw(self.n_features, self.fit_intercept)

    @cached_property
    def constant_curvature(self):
        """Of a squared loss, whose curvature is the same everywhere: the matrices, see `LinearEvaluation.curvature`."""
        return {}

    def _add_penalty_matrices(self, H, columns):
        """Add those of the outputs to a Hessian in coordinates of the columns."""
        k = self.loss.n_outputs
        size = columns.n_columns * k
        for output in range(k):
            H[output:size:k, output:size:k] += self.penalty_matrix(columns, output)

    def _summing(self, columns):
        """The `Summing` in these coordinates; it is kept."""
        known = self._summings.get(id(columns))
        if known is None:
            known = self._summings[id(columns)] = self._new_summing(columns)
        return known

    @cached_property
    def _summings(self):
        return {}

    def _new_summing(self, columns):
        design, dependence = self.standard_design, self.dependence
        raw = Columns.raw(columns.n_columns, False)
        if design is not None and columns is self.plain_columns:
            return Summing(columns, design.rows, raw, design.strengths, DenseBlock(design.matrix))
        strengths = None
        if columns.basis is None:
            strengths = np.array([self.strengths(columns, of) for of in self.penalty.T]).T.ravel()
        if dependence and columns is dependence.columns:
            if dependence.rows is not None and not self.loss.n_constants:
                return Summing(columns, self.rows, raw, strengths, DenseBlock(dependence.rows))
            if design is not None:
                block = DenseBlock(design.matrix @ columns.basis)
                return Summing(columns, design.rows, raw, strengths, block)
        return Summing(columns, self.rows, columns, strengths)

    def sum_products(self, here, matrices, columns, with_penalty=False):
        """Sum over the rows z of (z (x) I) M (z (x) I)', with a symmetric M of each.

        What belongs to the outputs is taken with the rows in the coordinates of ``columns``, what belongs to the loss's
        constants with a one.

        Parameters
        ----------
        here : LinearEvaluation
        matrices : callable
            ``matrices(raw, y, weight, part)``: M of a block of rows, (n, m, m), from their raw predictions here.
        columns : Columns
        with_penalty : bool
            Whether to divide by the total weight and add the penalty.

        Returns
        -------
        ndarray of shape (n_columns k + constants,) squared
        """
        of = self._summings.get(id(columns)) or self._summing(columns)
        if of.block is not None:
            raw = here.all_raw() if here.raw is None else here.raw
            sums = self._grams(matrices(raw, of.rows.y, of.rows.weight, slice(None)), of.block, of.within)
        else:
            predict = here.predictor(of.rows)

            def grams(block, y, weight):
                return self._grams(matrices(predict(block), y, weight, block.part), block, of.within)

            sums = of.rows.fold(grams, of.within, width=self.design.width**2)
        H = sums[0][0] if self.design.width == 1 else self._assembled(*sums)
        if with_penalty:
            H /= self.total
            if of.strengths is None:
                self._add_penalty_matrices(H, of.columns)
            else:
                H.flat[: of.strengths.size * (len(H) + 1) : len(H) + 1] += of.strengths
        return H

    def _grams(self, M, block, columns):
        """What a block of rows adds: grams of pairs of outputs, and what belongs to the loss's constants."""
        k = self.loss.n_outputs
        if M.shape[1] == 1:
            return (block.gram(M[:, :, 0], columns),)
        grams = block.gram(M[:, *_output_pairs(k)], columns)
        if M.shape[1] == k:
            return (grams,)
        cross = M[:, :k, k:].reshape(len(M), -1)
        ones = [cross.sum(axis=0)[None, :]] if columns.fit_intercept else []
        return grams, columns.transpose(np.vstack([block.adjoint(cross), *ones])), M[:, k:, k:].sum(axis=0)

    def _assembled(self, grams, cross=None, constants=None):
        """The matrix of the grams of pairs of outputs, and of what belongs to the loss's constants."""
        k, r = self.loss.n_outputs, grams.shape[1]
        total = np.empty((r, k, r, k))
        for gram, a, b in zip(grams, *_output_pairs(k), strict=True):
            total[:, a, :, b] = total[:, b, :, a] = gram
        total = total.reshape(r * k, r * k)
        if cross is None:
            return total
        cross = cross.reshape(r * k, self.loss.n_constants)
        return np.block([[total, cross], [cross.T, constants]])

    def penalty_matrix(self, columns, output):
        """The penalty of one output in the coordinates of ``columns``; kept where it comes from a basis."""
        if not (self.dependence and self.dependence.columns is columns):
            return self._new_penalty_matrix(columns, self.penalty[:, output])
        if output not in self.dependence.penalties:
            self.dependence.penalties[output] = self._basis_penalty(columns, self.penalty[:, output])
        return self.dependence.penalties[output]

    def _basis_penalty(self, columns, penalty):
        if self.dependence.ridge is None:
            return self._new_penalty_matrix(columns, penalty)
        # strengths are products of a feature's and an output's: those of one output are a multiple of the least
        varies = np.isfinite(columns.scale)
        share = penalty[varies].sum() / self.penalty[varies].min(axis=1).sum()
        return self.mean_curvature * share * self.dependence.ridge

    def _new_penalty_matrix(self, columns, penalty):
        strength = self.strengths(columns, penalty)
        return np.diag(strength) if columns.basis is None else (columns.basis.T * strength) @ columns.basis

    def strengths(self, columns, penalty):
        """The ``penalty`` of each feature, for one output, on the standardised columns."""
        strength = np.zeros(self.n_features + self.fit_intercept)
        strength[: self.n_features] = penalty / columns.scale / columns.scale
        return strength

    # -- preconditioning ------------------------------------------------------------------------------------------

    @cached_property
    def plain_columns(self):
        """Each column centred, in units that make the curvature's diagonal about one, penalty included.

        The unit of a constant column is infinite: its coefficient is zero, by the penalty or for the least norm, and
        its size, however large beside the others, leaves no rounding behind.
        """
        centre, deviation = self._moments
        ridge = np.sqrt(self.penalty.mean(axis=1) / self.mean_curvature)
        return Columns.standardising(centre, deviation, ridge, self.fit_intercept)

    @property
    def columns(self):
        """The coordinates in which factors are taken: orthogonalised once columns proved nearly dependent."""
        return self.dependence.columns if self.dependence else self.plain_columns

    @cached_property
    def _is_wide(self):
        is_wide = self.n_features > max(self.n_rows, _NEVER_WIDE) and self.rows.is_array
        return bool(is_wide and (self.penalty > 0).all())

    @property
    def factor_size(self):
        """See `MeanLossObjective.factor_size`: of wide rows as many as there are rows."""
        return self.facts.n_columns * self.loss.n_outputs

    @cached_property
    def facts(self):
        """See `Objective`; a Hessian is a product of the columns, of wide rows a product of the rows."""
        n, (p, k) = self.n_rows, self.penalty.shape
        n_columns = min(p, n) if self._is_wide else p
        return Facts(
            made_of=self.made_of,
            kinds=("full", "diagonal", "kronecker") if k > 1 else ("full", "diagonal"),
            has_matrix=n_columns <= MOST_COLUMNS,
            n_columns=n_columns,
            n_outputs=k,
            pass_work=p * k,
            hessian_work=2 * n * p if self._is_wide else p * p,
            is_wide=self._is_wide,
            is_quadratic=self.loss.quadratic,
            is_held=bool(np.logical_and.reduce(self.penalty > 0, axis=None)),
            keeps_rows=self.standard_design is not None,
        )

    @property
    def full_size(self):
        """See `Objective.full_size`."""
        return min(self.columns.n_columns * self.loss.n_outputs, self.n_parameters)

    def _new_sketch(self, n_rows):
        """Rows with rare values are among them, and weighted for it."""
        self.rows.foresee_draw(n_rows, _SKETCH_SEED)
        rare = self.rows.rare_columns()
        rare = rare[np.isfinite(self.plain_columns.scale[rare])]
        rows, chance = self.rows.draw(n_rows, self.plain_columns, rare, _SKETCH_SEED)
        rows = rows.weighted(rows.weight / chance)
        sketch = self._copied(rows, rows.total_weight, OF_ROWS | OF_UNITS)
        sketch.least_chance, sketch.has_likelihood = np.min(chance), False
        return sketch

    def inflation(self, sketch):
        """See `Objective.inflation`: of sampled rows, each as heavy as its chance was small, none counts for more."""
        if not np.array_equal(np.isinf(sketch.plain_columns.scale), np.isinf(self.plain_columns.scale)):
            return np.inf
        return max(1.0, self.total / (sketch.total * sketch.least_chance))

    @cached_property
    def shifts_freely(self):
        """See `MeanLossObjective.shifts_freely`: not where every weight has a penalty."""
        return self.loss.shift_invariant and (self.fit_intercept or not (self.penalty > 0).all())

    def common_shift(self, columns):
        """See `MeanLossObjective.common_shift`."""
        values, vectors = np.linalg.eigh(self.penalty_matrix(columns, 0))
        noise = ROUNDINGS * len(values) * np.finfo(float).eps
        free = vectors[:, values <= noise * max(values.max(), np.finfo(float).tiny)]
        k = self.loss.n_outputs
        return CommonShift(slice(0, columns.n_columns * k), free, k)

    def is_exact(self, kind):
        """See `Objective.is_exact`."""
        return self.loss.canonical or kind == "observed"

    def kronecker(self, A, C, columns):
        """The factor of C (x) A and the penalty, in coordinates of the columns."""
        strengths = self.penalty.mean(axis=0)
        base = self.penalty.mean(axis=1) / (strengths.mean() or 1.0)
        return factors.Kronecker(A, C, self._new_penalty_matrix(columns, base), strengths)

    # -- dependence -----------------------------------------------------------------------------------------------

    @property
    def dependence(self):
        """Coordinates of the columns' span where columns are nearly dependent, False where not, None if undecided."""
        return vars(self).get("_dependence")

    def determine(self, here, n_rows):
        """See `Objective.determine`: first by the sketch, where there is one."""
        if self.dependence is not None or not self.facts.has_matrix:
            return 0.0
        share = 0.0
        if n_rows is not None:
            sketch = self.sketch(n_rows)
            share = sketch.n_rows / self.n_rows
            sketch.settle(sketch.at(here.theta), self.curvature)
            if not sketch.is_dependent:
                # columns that are independent on some rows are so on all
                vars(self)["_dependence"] = False
                return share
        self.settle(here, self.curvature)
        return share + 1.0

    def settle(self, here, curvature):
        """Decide once, by the curvature or by the columns' second moments, whether columns are nearly dependent.

        What that says of rank, flat directions and the coefficients of least norm holds for every solver. The curvature
        is kept at the point, so that a factor of it there is no further pass.
        """
        if self.dependence is None and self.facts.has_matrix:
            vars(self)["_dependence"] = Orthogonal(self) if self._are_dependent(here, curvature) else False

    def _are_dependent(self, here, curvature):
        plain = self.plain_columns
        if self._is_wide:
            return True
        if self.loss.n_outputs + self.loss.n_constants == 1:
            return factors.is_near_dependent(here.curvature(curvature, plain))
        of = self._summing(plain)
        gram = of.rows.fold(lambda block, y, weight: (block.gram(weight[:, None], of.within)[0],), of.within)[0]
        gram = gram / self.total + self.penalty_matrix(plain, 0) / self.mean_curvature
        return factors.is_near_dependent(gram)

    # -- what the solvers ask -------------------------------------------------------------------------------------

    @cached_property
    def null_raw(self):
        """See `MeanLossObjective.null_raw`."""
        # the offset alone may be off by any factor: without an intercept too a constant beside it gives the scale
        if self.fit_intercept or self.rows.offset is not None:
            return super().null_raw
        return np.append(np.zeros(self.loss.n_outputs), self.loss.null_model.constants(*self.rows.targets))

    def start(self):
        """A feasible start: the null model, or where that has no intercept and no positive mean, one that has.

        Raises
        ------
        ValueError
            Where there is none, or none that does not overflow.
        """
        k = self.loss.n_outputs
        is_null = self.fit_intercept or self.rows.offset is None
        if np.isfinite(self._null_value) if is_null else self._is_bent_by_offset():
            return self.pack(np.zeros((self.n_features, k)), self.null_raw[:k], self.null_raw[k:])
        if self.loss.is_smooth:
            raise ValueError(
                "offset is so large that predictions overflow: it is added to the linear predictor, on the scale of "
                "the link (for exposures their logarithm)"
            )
        return positive_start(self)

    def _is_bent_by_offset(self):
        """Whether the offset alone is inside the domain, and not so far out that nothing is left of the curvature."""
        k, rows = self.loss.n_outputs, self.rows
        constant = np.append(np.zeros(k), self.null_raw[k:])
        value, _, hessian = self.loss.null_model.sums(constant, rows.offset, rows.y, rows.weight)
        return np.isfinite(value) and np.trace(hessian[:k, :k]) > 0

    def diagnose(self, theta, direction):
        """See `Objective.diagnose`: a `Recession` or None."""
        return find_recession(self, theta, direction)

    def edge_optimum(self, theta):
        """See `Objective.edge_optimum`."""
        return find_edge(self, theta) if may_have_edge(self) else None

    def edge_rows(self, theta):
        """See `Objective.edge_rows`."""
        return edge_rows(self, theta) if may_have_edge(self) else super().edge_rows(theta)

    # -- flat directions ------------------------------------------------------------------------------------------

    def canonical(self, theta):
        """See `Objective.canonical`: what the data do not determine gets its conventional value.

        Softmax: coefficients sum to zero over the classes, which a penalty asks for as well. Constant and dependent
        columns: the coefficients of least Euclidean norm in the user's units.
        """
        if not (self.loss.shift_invariant or self.dependence):
            return theta
        coef, intercept, constants = (np.array(part) for part in self.unpack(theta))
        if self.loss.shift_invariant:
            coef -= coef.mean(axis=1, keepdims=True)
            intercept -= intercept.mean()
        if self.dependence:
            shift, scale = self.plain_columns.shift, self.plain_columns.scale
            coef, surplus = self.dependence.least_norm(coef, np.isinf(scale)[:, None] & (self.penalty == 0))
            intercept += shift @ surplus
        return self.pack(coef, intercept, constants)

    def remedy(self, status):
        """See `Objective.remedy`."""
        return "fewer columns that nearly depend on each other" if status == "stalled" else ""

    def refined(self, theta):
        """See `Objective.refined`: least squares on small tables."""
        if not self.loss.quadratic or self.penalty.any():
            return theta, 0
        work = self.n_rows * self.n_weights * (1 if self.columns.basis is None else self.columns.n_columns)
        if work > MOST_WORK or not self.columns.n_columns:
            return theta, 0
        # of a squared loss the Kronecker factor is the whole Hessian's
        kind = ("full" if self.loss.n_outputs == 1 else "kronecker") if self.facts.has_matrix else "diagonal"
        return refined(self, theta, self.preconditioner(theta, kind))

    def flat_directions(self):
        """See `Objective.flat_directions`: columns as combinations of others."""
        return self.dependence.dependencies() if self.dependence else []

    @property
    def is_dependent(self):
        """See `Objective.is_dependent`."""
        return bool(self.dependence) and not self._is_wide

    @property
    def rank(self):
        """Rank of the columns, the intercept aside; None where no factor that would tell is affordable."""
        if not self.facts.has_matrix:
            return None
        return self.dependence.columns.n_columns - self.fit_intercept if self.dependence else self.n_features


@cache
def _output_pairs(n_outputs):
    """Indices of the pairs of outputs whose blocks of the Hessian differ."""
    return np.triu_indices(n_outputs)
