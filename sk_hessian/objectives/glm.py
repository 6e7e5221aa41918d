"""Linear and generalized linear models: parameters to a value, a gradient, a Hessian and its factor.

The objective is the weighted mean of a pointwise loss plus half the weighted squared coefficients,

    F(theta) = sum_i w_i loss(y_i, raw_i) / sum_i w_i + 1/2 sum_jk penalty_jk W_jk^2,     raw = [X, 1] W,

with theta the coefficients and intercepts W (q, k) stored by rows, followed by the loss's own constants. An offset, one
number for each row and output, is added to raw.
"""

import copy
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives import factors
from sk_hessian.objectives._edge import approaches_edge, edge_rows, find_edge, may_have_edge
from sk_hessian.objectives._linear_rows import LinearRows
from sk_hessian.objectives._mean_loss import ROUNDINGS
from sk_hessian.objectives._orthogonal import Orthogonal
from sk_hessian.objectives._programs import find_recession, positive_start
from sk_hessian.objectives._refinement import MOST_WORK, refined
from sk_hessian.objectives.rows import Columns, weighted_grams

#: up to so many columns a dense factor is affordable (its memory is 8 r^2 bytes: 72 MB, its cost r^3 / 3)
MAX_DENSE_COLUMNS = 3000

#: up to so many parameters the Hessian of a softmax model is factored whole, beyond by its Kronecker approximation
MAX_DENSE_SOFTMAX = 150

#: below this many multiplications (rows x columns^2) a sampled factor saves nothing
_SKETCH_FROM = 2e7

#: share of the rows in a sampled factor; its cost is then that of a pass or so
_SKETCH_SHARE = 0.1
_SKETCH_PER_COLUMN = 10
_SKETCH_MOST = 50_000

#: up to so many columns the exact factor that solves a quadratic objective at once costs less than a sketch's passes
_FEW_COLUMNS = 200

#: multiplications of a symmetric product that take as long as one of a pass: that waits for memory
_PASS_WORK = 16

#: multiplications of an eigendecomposition and a rotation, times the cube of the size
_EIGEN_WORK = 20

#: Hessians that the optimum of a sketch takes
_WARM_UP_HESSIANS = 5

#: raw predictions that are kept for the curvature at the same point, 16 MB
_MOST_KEPT = 2_000_000

#: outputs whose pairs are summed one by one for an exact factor
_MOST_PAIRED_OUTPUTS = 32

#: multiplications that an exact factor of a softmax model may cost: beyond, conjugate gradients certify sooner
_MOST_FACTOR_COST = 1e9

_SKETCH_SEED = 20_200_219

#: standard errors that a parameter may be from the optimum, in units of tol: a hundredth of one by default
_ERRORS = 100


class GLMFactor(factors.CoordinateFactor):
    """theta = P u for a GLM: coordinates of the standardised columns, then a factor of the Hessian in them."""

    def __init__(self, columns, inner, n_outputs, theta, curvature, certifies):
        super().__init__(inner, theta, curvature, certifies)
        self.columns, self.n_outputs = columns, n_outputs
        self._n_theta = (len(columns.shift) + columns.fit_intercept) * n_outputs
        self._n_z = columns.n_columns * n_outputs
        self.shape = (self._n_theta + inner.shape[0] - self._n_z, inner.shape[1])

    def _to_z(self, g):
        z = self.columns.transpose(g[: self._n_theta].reshape(-1, self.n_outputs))
        return np.concatenate([z.ravel(), g[self._n_theta :]])

    def _from_z(self, z):
        weights = self.columns.to_weights(z[: self._n_z].reshape(-1, self.n_outputs))
        return np.concatenate([weights.ravel(), z[self._n_z :]])

    @property
    def reaches_all(self):
        """See `factors.PointFactor.reaches_all`: not in the span of few rows, nor of dependent columns."""
        basis = self.columns.basis
        return basis is None or basis.shape[0] == basis.shape[1]

    def restrict(self, theta):
        """The part of ``theta`` that the coordinates can reach; the rest is flat, or zero at the optimum."""
        n_coef = len(self.columns.shift) * self.n_outputs
        if self.reaches_all or not theta[:n_coef].any():
            return theta
        plain = self.columns.without_basis()
        Z = plain.from_weights(theta[: self._n_theta].reshape(-1, self.n_outputs))
        reached = plain.to_weights(self.columns.nearest(Z))
        return np.concatenate([reached.ravel(), theta[self._n_theta :]])


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
        self.n_weights = (self.n_features + fit_intercept) * loss.n_outputs
        self.n_parameters = self.n_weights + loss.n_constants
        self.penalty = np.array(np.broadcast_to(penalty, (self.n_features, loss.n_outputs)), dtype=float)
        self.convex = loss.convex
        self.curvature = loss.curvature
        self.class_names = class_names
        self._basis_of: Any = None
        self._shifts: Any = None

    # -- value and gradient ---------------------------------------------------------------------------------------

    def unpack(self, theta):
        """Coefficients (p, k), intercepts (k,) and constants of ``theta``."""
        W = theta[: self.n_weights].reshape(-1, self.loss.n_outputs)
        intercept = W[self.n_features] if self.fit_intercept else np.zeros(self.loss.n_outputs)
        return W[: self.n_features], intercept, theta[self.n_weights :]

    def pack(self, coef, intercept, constants=()):
        """The inverse of `unpack`."""
        W = np.vstack([coef, np.reshape(intercept, (1, -1))]) if self.fit_intercept else coef
        return np.concatenate([W.ravel(), np.ravel(constants)])

    def parameter_names(self, n_parameters=None):
        """See `Objective.parameter_names`: features and the intercept, of several outputs with the output's name."""
        names = [self.name(j) for j in range(self.n_features)] + ["intercept"] * self.fit_intercept
        k = self.loss.n_outputs
        if k > 1:
            outputs = range(k) if self.class_names is None else self.class_names
            names = [f"{name} [{output}]" for name in names for output in outputs]
        return names + list(self.loss.constant_names)

    def _raw(self, block, parameters):
        """Raw predictions of the rows of a block, shape (n, outputs + constants)."""
        raw = self._change(block, parameters)
        if block.offset is not None:
            raw[:, : self.loss.n_outputs] += block.offset
        return raw

    def _change(self, block, parameters):
        """The same without the offset: what raw predictions change by when the parameters change by these."""
        coef, intercept, constants = parameters
        raw = block.forward(coef) if coef.any() else np.zeros((block.n_rows, self.loss.n_outputs))
        raw += intercept
        if len(constants):
            raw = np.hstack([raw, np.broadcast_to(constants, (len(raw), len(constants)))])
        return raw

    def _predictor(self, theta):
        """A function from a block to its raw predictions at ``theta``; those of the latest gradient are kept."""
        if self._kept is not None and np.array_equal(self._kept[0], theta):
            kept = self._kept[1]
            return lambda block: kept[block.part]
        parameters = self.unpack(theta)
        return lambda block: self._raw(block, parameters)

    def _keeping_predictor(self, theta):
        """The same, and it keeps them, if they are not too many, once all are there."""
        self._kept, parameters = None, self.unpack(theta)
        width = self.loss.n_outputs + self.loss.n_constants
        if self.n_rows * width > _MOST_KEPT or not self.rows.in_memory:
            return self._predictor(theta)
        kept = np.empty((self.n_rows, width))
        self._keeping = theta.copy(), kept

        def predict(block):
            raw = self._raw(block, parameters)
            kept[block.part] = raw
            return raw

        return predict

    def _adjoint(self, block, R):
        """[X, 1]'R for the outputs and the sum of R for the constants: a gradient in theta from one in raw."""
        k = self.loss.n_outputs
        sums = R.sum(axis=0)
        parts = [block.adjoint(R[:, :k]).ravel()]
        return np.concatenate(parts + [sums if self.fit_intercept else sums[k:]])

    def _penalty_gradient(self, theta):
        gradient = np.zeros_like(theta)
        coef = theta[: self.penalty.size]
        gradient[: self.penalty.size] = self.penalty.ravel() * coef
        return 0.5 * (gradient[: self.penalty.size] @ coef), gradient

    def _linearise(self, theta):
        predict = self._keeping_predictor(theta)
        return lambda block: (predict(block), partial(self._adjoint, block))

    def _moved(self, theta, directions):
        predict, changes = self._predictor(theta), [self.unpack(direction) for direction in directions]
        return lambda block: (predict(block), [self._change(block, change) for change in changes])

    def noise(self, theta, value):
        """See `Objective.noise`: of the sum, and of raw predictions that are sums of large terms."""
        return self._rounding(theta, value, self._largest_terms(theta))

    def _largest_terms(self, theta):
        """The size of the terms of which a raw prediction is the sum, in a typical row."""
        coef, intercept, _ = self.unpack(theta)
        return (self._column_sizes @ np.abs(coef) + np.abs(intercept) + self._largest_offset).max()

    def likelihood_tolerance(self, theta, value, tol):
        """See `Objective.likelihood_tolerance`: (100 tol)^2 phi / (2 W), with W the sum of the weights as given.

        A mean loss d above its minimum is a likelihood-ratio statistic of 2 W d / phi, and no parameter is then more
        than the root of that from the optimum, in standard errors. The dispersion phi is what the loss makes of the
        value, `Family.dispersion`. Weights that are not frequencies have no sample size; W is then that of the
        likelihood that they multiply. It is never less than what rounding makes of the linear predictors, nor, where a
        fit can be perfect and leave no dispersion, than what it makes of the loss.
        """
        return self.tolerance_of(theta, self.excess_of(theta, value), tol) if self.has_likelihood else np.inf

    def tolerance_of(self, theta, excess, tol):
        """See `likelihood_tolerance`; for a dispersion that this mean loss above the saturated one tells."""
        phi = self.loss.family.dispersion(max(excess, 0.0), theta[self.n_weights :])
        rounding = ROUNDINGS * np.finfo(float).eps * self._largest_terms(theta)
        least = max(0.5 * self._mean_curvature * rounding**2, self.resolution if self.loss.attains_bound else 0.0)
        return max((_ERRORS * tol) ** 2 * phi / (2 * self._total), least)

    # -- curvature ------------------------------------------------------------------------------------------------

    def hessian(self, theta, kind="observed"):
        """See `Objective.hessian`; a product is one pass over X."""
        predict = self._predictor(theta)

        def product(v):
            change = self.unpack(np.ravel(v))

            def terms(block, y, weight):
                bent = self.loss.hessian_product(y, predict(block), self._change(block, change), kind)
                return (self._adjoint(block, bent * weight[:, None]),)

            with np.errstate(over="ignore", invalid="ignore"):
                return self.rows.fold(terms)[0] / self._total + self._penalty_gradient(np.ravel(v))[1]

        return LinearOperator((self.n_parameters,) * 2, matvec=product, rmatvec=product, dtype=float)

    def hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_matrix`."""
        if factor is not None:
            return factor.inner.congruence(self._curvature(theta, kind, factor.columns))
        return self._curvature(theta, kind, self._raw_units).copy()

    def regular_hessian_matrix(self, theta, kind="observed", factor=None):
        """See `Objective.regular_hessian_matrix`: the common shift of a softmax model's outputs."""
        if factor is None or not self.loss.shift_invariant:
            return self.hessian_matrix(theta, kind, factor=factor)
        H = self._curvature(theta, kind, factor.columns)
        return factor.inner.congruence(H + self._shift_curvature(H, factor.columns))

    def _wide_grams(self, matrices):
        """The blocks of the sum from rows that are kept in the coordinates of the basis."""
        pairs = self.rows.gather(matrices)[:, *_output_pairs(self.loss.n_outputs)]
        return weighted_grams(self._basis_of.rows, pairs)

    def _curvature(self, theta, kind, coordinates):
        """See `MeanLossObjective._curvature`; of a squared loss it is the same everywhere."""
        return super()._curvature(np.zeros_like(theta) if self.loss.quadratic else theta, kind, coordinates)

    def _sum_curvature(self, theta, kind, columns):
        """See `MeanLossObjective._sum_curvature`; shape (n_columns k + constants,) squared."""
        predict = self._predictor(theta)

        def bent(block, y, weight):
            return self.loss.hessian(y, predict(block), kind) * weight[:, None, None]

        k, size = self.loss.n_outputs, columns.n_columns * self.loss.n_outputs
        H = self._sum_products(bent, columns) / self._total
        for output in range(k):
            H[output:size:k, output:size:k] += self._penalty_matrix(columns, output)
        return H

    def _sum_products(self, matrices, columns):
        """Sum over the rows z of (z (x) I) M (z (x) I)', with the symmetric ``matrices(block, y, weight)`` M of each.

        Those are (n, m, m): what belongs to the outputs is taken with the rows in the coordinates ``columns``, what
        belongs to the loss's constants with a one. Shape (n_columns k + constants,) squared.
        """
        k, m = self.loss.n_outputs, self.loss.n_outputs + self.loss.n_constants
        upper = _output_pairs(k)

        def terms(block, y, weight):
            M = matrices(block, y, weight)
            grams = block.gram(M[:, upper[0], upper[1]], columns)
            if m == k:
                return (grams,)
            cross = M[:, :k, k:].reshape(len(M), -1)
            ones = [cross.sum(axis=0)[None, :]] if self.fit_intercept else []
            return grams, columns.transpose(np.vstack([block.adjoint(cross), *ones])), M[:, k:, k:].sum(axis=0)

        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._keeps_rows(columns):
                grams, rest = self._wide_grams(matrices), []
            else:
                grams, *rest = self.rows.fold(terms, columns, width=m**2)
        r = columns.n_columns
        total = np.empty((r, k, r, k))
        for gram, a, b in zip(grams, *upper, strict=True):
            total[:, a, :, b] = total[:, b, :, a] = gram
        total = total.reshape(r * k, r * k)
        if rest:
            cross = rest[0].reshape(r * k, m - k)
            total = np.block([[total, cross], [cross.T, rest[1]]])
        return total

    def _keeps_rows(self, columns):
        """Whether the rows are kept in the coordinates of ``columns``."""
        kept = self._basis_of and self._basis_of.columns is columns and self._basis_of.rows is not None
        return kept and not self.loss.n_constants

    def _penalty_matrix(self, columns, output):
        """The penalty of one output in the coordinates of ``columns``; kept where it comes from a basis."""
        if not (self._basis_of and self._basis_of.columns is columns):
            return self._new_penalty_matrix(columns, self.penalty[:, output])
        if output not in self._basis_of.penalties:
            self._basis_of.penalties[output] = self._basis_penalty(columns, self.penalty[:, output])
        return self._basis_of.penalties[output]

    def _basis_penalty(self, columns, penalty):
        if self._basis_of.ridge is None:
            return self._new_penalty_matrix(columns, penalty)
        # strengths are products of a feature's and an output's: those of one output are a multiple of the least
        varies = np.isfinite(columns.scale)
        share = penalty[varies].sum() / self.penalty[varies].min(axis=1).sum()
        return self._mean_curvature * share * self._basis_of.ridge

    def _new_penalty_matrix(self, columns, penalty):
        strength = self._strengths(columns, penalty)
        return np.diag(strength) if columns.basis is None else (columns.basis.T * strength) @ columns.basis

    def _strengths(self, columns, penalty):
        """The ``penalty`` of each feature, for one output, on the standardised columns."""
        strength = np.zeros(self.n_features + self.fit_intercept)
        strength[: self.n_features] = penalty / columns.scale / columns.scale
        return strength

    # -- preconditioning ------------------------------------------------------------------------------------------

    @cached_property
    def _plain_columns(self):
        """Each column centred, in units that make the curvature's diagonal about one, penalty included.

        The unit of a constant column is infinite: its coefficient is zero, by the penalty or for the least norm, and
        its size, however large beside the others, leaves no rounding behind.
        """
        centre, deviation = self._moments
        ridge = np.sqrt(self.penalty.mean(axis=1) / self._mean_curvature)
        return Columns.standardising(centre, deviation, ridge, self.fit_intercept)

    @property
    def columns(self):
        """The coordinates in which factors are taken: orthogonalised once columns proved nearly dependent."""
        return self._basis_of.columns if self._basis_of else self._plain_columns

    def _is_wide(self):
        is_wide = self.n_features > max(self.n_rows, MAX_DENSE_SOFTMAX) and self.rows.is_array
        return is_wide and (self.penalty > 0).all()

    @property
    def factor_size(self):
        """See `MeanLossObjective.factor_size`: of wide rows as many as there are rows."""
        n_columns = min(self.n_features, self.n_rows) if self._is_wide() else self.n_features
        return n_columns * self.loss.n_outputs

    def _is_dense(self):
        """Whether a full factor is affordable."""
        return min(self.n_features, self.n_rows if self._is_wide() else self.n_features) <= MAX_DENSE_COLUMNS

    def forms_hessian(self, n_parameters=None):
        """See `Objective.forms_hessian`."""
        return self._is_dense() and (self.loss.n_outputs == 1 or self.n_parameters <= MAX_DENSE_SOFTMAX)

    def can_factor(self, n_parameters=None):
        """See `Objective.can_factor`: by the size of the matrix and the cost of its sum over the rows."""
        size = min(self.columns.n_columns * self.loss.n_outputs, self.n_parameters)
        if self.loss.n_outputs == 1:
            return self._is_dense()
        few = self.loss.n_outputs <= _MOST_PAIRED_OUTPUTS and size <= MAX_DENSE_COLUMNS
        return few and self.n_rows * size**2 <= _MOST_FACTOR_COST

    @property
    def factor_passes(self):
        """See `Objective.factor_passes`: none where one factor is the solution, or where something can be flat."""
        may = not self.loss.quadratic and (self.penalty > 0).all()
        return self._factor_work() / (_PASS_WORK * self.n_rows * self.penalty.size) if may else 0.0

    def _factor_work(self):
        """Multiplications of the factor that "auto" takes, and of the sketch's optimum."""
        n, p = self.n_rows, self.n_features
        if not self._is_dense():
            return 0
        if self._is_wide():
            return 2 * n**2 * p
        if self._resolve("auto") == "kronecker":
            return n * p**2 + _EIGEN_WORK * p**3
        size = self._sketch_size()
        return n * p**2 if size is None else _WARM_UP_HESSIANS * size * p**2

    def _resolve(self, kind):
        k = self.loss.n_outputs
        known = ("full", "diagonal") + (("kronecker",) if k > 1 else ())
        if kind == "auto":
            if not self._is_dense():
                return "diagonal"
            if k == 1:
                return "full"
            return "full" if self.n_parameters <= MAX_DENSE_SOFTMAX and not self.loss.quadratic else "kronecker"
        if kind not in known:
            options = ("auto", None, *known)
            raise ValueError(f"precondition={kind!r} is not available for this model; choose from {options}")
        return kind

    def _sketch_size(self):
        """Rows of a sketch, or None."""
        n, p = self.n_rows, self.n_features
        size = max(min(int(n * _SKETCH_SHARE), _SKETCH_MOST), _SKETCH_PER_COLUMN * p)
        exact_at_once = self.loss.quadratic and p <= _FEW_COLUMNS
        if n * p**2 < _SKETCH_FROM or size > n // 2 or not self._is_dense() or exact_at_once:
            return None
        return size

    def _new_sketch(self):
        """A tenth of the rows, those with rare values among them and weighted for it."""
        size = self._sketch_size()
        if size is None:
            return None
        self.rows.foresee_draw(size, _SKETCH_SEED)
        rare = self.rows.rare_columns()
        rare = rare[np.isfinite(self._plain_columns.scale[rare])]
        rows, chance = self.rows.draw(size, self._plain_columns, rare, _SKETCH_SEED)
        sketch = copy.copy(self)
        for name in ("_moments", "_plain_columns", "_sketch"):
            sketch.__dict__.pop(name, None)
        sketch.rows = rows.weighted(rows.weight / chance)
        sketch.least_chance, sketch.has_likelihood = np.min(chance), False
        sketch.n_rows, sketch._total = sketch.rows.n_rows, sketch.rows.total_weight
        sketch._basis_of = sketch._latest = sketch._kept = sketch._shifts = None
        return sketch

    def inflation(self, factor):
        """See `Objective.inflation`: of sampled rows, each as heavy as its chance was small, none counts for more."""
        sketch = self._sketch
        if not np.array_equal(np.isinf(sketch._plain_columns.scale), np.isinf(self._plain_columns.scale)):
            return np.inf
        return max(1.0, self._total / (sketch._total * sketch.least_chance))

    def preconditioner(self, theta, kind="auto", curvature="expected"):
        """See `Objective.preconditioner`."""
        if kind == "units":
            unit = np.full(self.n_parameters, 1 / np.sqrt(self._mean_curvature))
            return self._factor(self._plain_columns, factors.Diagonal(unit), theta, None)
        kind = self._resolve(kind)
        self._settle_basis(theta, curvature)
        columns, exact = self.columns, True
        if kind == "kronecker":
            inner, exact = self._kronecker(theta, columns), self.loss.quadratic
        elif kind == "diagonal":
            inner, exact = self._diagonal(theta, curvature, columns), False
        else:
            H = self._curvature(theta, curvature, columns)
            inner = factors.semidefinite_root(H + self._shift_curvature(H, columns))
            exact = not isinstance(inner, factors.Diagonal)
        return self._factor(columns, inner, theta, curvature if exact else None)

    def _shift_curvature(self, H, columns):
        """Curvature along the shifts of all outputs that neither loss nor penalty sees, so that H has full rank."""
        if not (self.loss.shift_invariant and H.size):
            return 0.0
        if self._shifts is None or self._shifts[0] is not columns:
            self._shifts = columns, self._shift_projection(columns)
        return np.diag(H).mean() * self._shifts[1]

    def _shift_projection(self, columns):
        k = self.loss.n_outputs
        values, vectors = np.linalg.eigh(self._penalty_matrix(columns, 0))
        noise = ROUNDINGS * len(values) * np.finfo(float).eps
        free = vectors[:, values <= noise * max(values.max(), np.finfo(float).tiny)]
        return np.kron(free @ free.T, np.full((k, k), 1 / k))

    def _diagonal(self, theta, curvature, columns):
        if self._is_dense():
            diagonal = np.diag(self._curvature(theta, curvature, columns))
        else:
            diagonal = self._curvature_diagonal(theta, curvature, columns)
        return factors.Diagonal(1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)))

    def _factor(self, columns, inner, theta, curvature):
        certifies = curvature is not None and self.is_exact(curvature)
        curvature = None if inner.is_floored else curvature
        return GLMFactor(columns, inner, self.loss.n_outputs, theta, curvature, certifies)

    def is_exact(self, kind):
        """See `Objective.is_exact`."""
        return self.loss.canonical or kind == "observed"

    def hessian_diagonal(self, theta, kind="observed", factor=None):
        """See `Objective.hessian_diagonal`."""
        if factor is None:
            return self._curvature_diagonal(theta, kind, self._raw_units)
        if isinstance(factor.inner, factors.Diagonal):
            return self._curvature_diagonal(theta, kind, factor.columns) * factor.inner.d**2
        return np.diag(self.hessian_matrix(theta, kind, factor=factor)).copy()

    @cached_property
    def _raw_units(self):
        return Columns.raw(self.n_features, self.fit_intercept)

    def _curvature_diagonal(self, theta, curvature, columns):
        predict = self._predictor(theta)
        k = self.loss.n_outputs

        def terms(block, y, weight):
            bent = self.loss.hessian(y, predict(block), curvature)
            bent = np.einsum("nkk->nk", bent) * weight[:, None]
            return block.squares(bent[:, :k], columns), bent[:, k:].sum(axis=0)

        squares, constants = self.rows.fold(terms, columns, width=(k + self.loss.n_constants) ** 2)
        diagonal = squares.T / self._total
        for output in range(k):
            strength = self._strengths(columns, self.penalty[:, output])
            diagonal[:, output] += strength if columns.basis is None else strength @ columns.basis**2
        return np.concatenate([diagonal.ravel(), constants / self._total])

    def _kronecker(self, theta, columns):
        A, C = self._kronecker_moments(theta, columns)
        strengths = self.penalty.mean(axis=0)
        base = self.penalty.mean(axis=1) / (strengths.mean() or 1.0)
        return factors.Kronecker(A, C, self._new_penalty_matrix(columns, base), strengths)

    def _kronecker_moments(self, theta, columns):
        """Second moments of the features, weighted by their rows' curvature, and the mean curvature of the outputs."""
        predict = self._predictor(theta)

        def terms(block, y, weight):
            if self.loss.quadratic:
                return weight.sum() * np.eye(self.loss.n_outputs), block.gram(weight[:, None], columns)[0]
            total, size = self.loss.total_hessian(y, predict(block), weight)
            return total, block.gram((size * weight)[:, None], columns)[0]

        C, A = self.rows.fold(terms, columns, width=self.loss.n_outputs)
        return A / (self._total if self.loss.quadratic else np.trace(C)), C / self._total

    def determine(self, theta):
        """See `Objective.determine`: first by the sketch, where there is one."""
        if self._basis_of is not None or not self._is_dense():
            return 0.0
        sketch, share = self.sketch(), 0.0
        if sketch is not None:
            share = sketch.n_rows / self.n_rows
            sketch._settle_basis(theta, self.curvature)
            if not sketch.is_dependent:
                # columns that are independent on some rows are so on all
                self._basis_of = False
                return share
        self._settle_basis(theta, self.curvature)
        return share + 1.0

    def _settle_basis(self, theta, curvature):
        """Decide once, by the curvature or by the columns' second moments, whether columns are nearly dependent.

        What that says of rank, flat directions and the coefficients of least norm holds for every solver. The curvature
        is kept, so that a factor of it at the same point is no further pass.
        """
        if self._basis_of is not None or not self._is_dense():
            return
        plain = self._plain_columns
        if self._is_wide():
            is_dependent = True
        elif self.loss.n_outputs + self.loss.n_constants == 1:
            is_dependent = factors.is_near_dependent(self._curvature(theta, curvature, plain))
        else:
            gram = self.rows.fold(lambda block, y, weight: (block.gram(weight[:, None], plain)[0],), plain)[0]
            gram = gram / self._total + self._penalty_matrix(plain, 0) / self._mean_curvature
            is_dependent = factors.is_near_dependent(gram)
        self._basis_of = Orthogonal(self) if is_dependent else False

    # -- what the solvers ask -------------------------------------------------------------------------------------

    @cached_property
    def _null_raw(self):
        # the offset alone may be off by any factor: without an intercept too a constant beside it gives the scale
        if self.fit_intercept or self.rows.offset is not None:
            return super()._null_raw
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
            return self.pack(np.zeros((self.n_features, k)), self._null_raw[:k], self._null_raw[k:])
        if self.loss.is_smooth:
            raise ValueError(
                "offset is so large that predictions overflow: it is added to the linear predictor, on the scale of "
                "the link (for exposures their logarithm)"
            )
        return positive_start(self)

    def _is_bent_by_offset(self):
        """Whether the offset alone is inside the domain, and not so far out that nothing is left of the curvature."""
        k, rows = self.loss.n_outputs, self.rows
        constant = np.append(np.zeros(k), self._null_raw[k:])
        value, _, hessian = self.loss.null_model.sums(constant, rows.offset, rows.y, rows.weight)
        return np.isfinite(value) and np.trace(hessian[:k, :k]) > 0

    def diagnose(self, theta, direction):
        """See `Objective.diagnose`: a `Recession` or None."""
        return find_recession(self, theta, direction)

    def edge_optimum(self, theta):
        """See `Objective.edge_optimum`."""
        return find_edge(self, theta) if may_have_edge(self) else None

    def approaches_edge(self, theta):
        """See `Objective.approaches_edge`."""
        return may_have_edge(self) and approaches_edge(self, theta)

    def edge_rows(self, theta):
        """See `Objective.edge_rows`."""
        return edge_rows(self, theta) if may_have_edge(self) else super().edge_rows(theta)

    # -- flat directions ------------------------------------------------------------------------------------------

    def canonical(self, theta):
        """See `Objective.canonical`: what the data do not determine gets its conventional value.

        Softmax: coefficients sum to zero over the classes, which a penalty asks for as well. Constant and dependent
        columns: the coefficients of least Euclidean norm in the user's units.
        """
        coef, intercept, constants = (np.array(part) for part in self.unpack(theta))
        if self.loss.shift_invariant:
            coef -= coef.mean(axis=1, keepdims=True)
            intercept -= intercept.mean()
        if self._basis_of:
            shift, scale = self._plain_columns.shift, self._plain_columns.scale
            coef, surplus = self._basis_of.least_norm(coef, np.isinf(scale)[:, None] & (self.penalty == 0))
            intercept += shift @ surplus
        return self.pack(coef, intercept, constants)

    def remedy(self, status):
        """See `Objective.remedy`."""
        return "fewer columns that nearly depend on each other" if status == "stalled" else ""

    def refined(self, theta):
        """See `Objective.refined`: least squares on small tables."""
        work = self.n_rows * self.n_weights * (1 if self.columns.basis is None else self.columns.n_columns)
        may = self.loss.quadratic and not self.penalty.any()
        if not (may and work <= MOST_WORK and self.columns.n_columns):
            return theta, 0
        return refined(self, theta, self.preconditioner(theta))

    def remarks(self, theta):
        """See `Objective.remarks`."""
        return self.loss.remarks(theta[self.n_weights :])

    def flat_directions(self):
        """See `Objective.flat_directions`: columns as combinations of others."""
        return self._basis_of.dependencies() if self._basis_of else []

    @property
    def is_dependent(self):
        """See `Objective.is_dependent`."""
        return bool(self._basis_of) and not self._is_wide()

    @property
    def rank(self):
        """Rank of the columns, the intercept aside; None where no factor that would tell is affordable."""
        if not self._is_dense():
            return None
        return self._basis_of.columns.n_columns - self.fit_intercept if self._basis_of else self.n_features


@cache
def _output_pairs(n_outputs):
    """Indices of the pairs of outputs whose blocks of the Hessian differ."""
    return np.triu_indices(n_outputs)
