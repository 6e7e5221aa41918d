"""A linear model at a point, and everything that was computed there."""

import math
from functools import cached_property

import numpy as np
from scipy.linalg import blas
from scipy.sparse.linalg import LinearOperator

from sk_hessian._facts import lasting_fact
from sk_hessian.objectives import factors
from sk_hessian.objectives._edge import approaches_edge, may_have_edge
from sk_hessian.objectives.coordinates import PointFactor, Through, WeightCoordinates
from sk_hessian.objectives.evaluation import EPS, ROUNDINGS, MeanLossEvaluation, slices

#: share of the rows that are cheaper to take than to read all
_FEW = 0.1

#: standard errors that a parameter may be from the optimum, in units of tol: a hundredth of one by default
_ERRORS = 100


def _plain_curvature(here, kind, columns):
    """The curvature in the plain columns, where it is known and in these coordinates nothing but that turned."""
    objective, known = here.objective, (None, None)
    turns = columns.chooses or (columns.may_turn_late and not objective.l2.is_present)
    if turns and here.design.width == 1 and not objective.terms:
        known = here._matrices.get((kind, id(objective.space.plain)), known)
    return known[1]


def _visits(here):
    """From a block to its raw predictions and a tuple of what it adds; from the sums of these to all that is known.

    Raw predictions are kept, unless they are too many.
    """
    design, loss, known = here.design, here.objective.loss, here.raw
    model, parameters = design.model, design.model.unpack(here.parameters)
    # by outputs, as products make them and losses take them
    kept = np.empty((design.width, design.rows.n_rows)).T if known is None and design.can_keep else known

    def visit(block, y, weight):
        if known is None:
            raw = model.raw(block, parameters)
            if kept is not None:
                kept[block.part] = raw
        else:
            raw = known[block.part]
        value, gradient = loss.value_and_gradient(y, raw)
        gradient *= weight[:, None]
        size = blas.dasum(gradient[:, : loss.n_outputs].ravel("K"))
        return raw, (weight @ value, model.adjoint(block, gradient), size)

    return visit, lambda sums: here.completed(design.l2, kept, *sums)


class LinearEvaluation(MeanLossEvaluation):
    """A `GLMObjective` at the ``parameters`` (n_parameters,) of a `Design`; ``raw`` (n_rows, m), where it is known."""

    def __init__(self, objective, parameters, design, raw=None):
        self.objective, self.parameters, self.design, self.raw = objective, parameters, design, raw
        self.place = parameters, design.coordinates
        # of a squared loss curvature is the same everywhere
        is_constant = objective.loss.quadratic
        self._matrices = objective.sums.constant if is_constant else {}
        self.passes_of_change = 0.0 if is_constant else 0.5

    def __getstate__(self):
        """See `Evaluation.__getstate__`."""
        of = {"parameters": self.parameters, "design": self.design, "raw": None, "_matrices": {}}
        return {**super().__getstate__(), **of}

    def taken_for(self, value, gradient, near):
        """The same point with the value and the gradient (n_parameters,) that it has as a limit, on an edge.

        Slopes may be infinite there: their size is that at a point near by.
        """
        other = LinearEvaluation(self.objective, self.parameters, self.design)
        penalty = self.design.l2.value(self.parameters)
        vars(other).update(value=value, slope=gradient, gradient=gradient, slope_size=near.slope_size, penalty=penalty)
        return other

    # -- value and gradient ---------------------------------------------------------------------------------------

    @lasting_fact
    def slope(self):
        """The gradient in the parameters of the design."""
        return self.sweep()["slope"]

    def sweep(self):
        """See `MeanLossEvaluation.sweep`; by a fold over blocks of rows, unless these are kept as one array."""
        if self.design.matrix is not None:
            return self.by_matrix()
        visit, complete = _visits(self)
        return complete(self.design.rows.fold(lambda *rows: visit(*rows)[1]))

    def by_matrix(self):
        """See `sweep`: from standardised rows in one array."""
        design, loss = self.design, self.objective.loss
        Z, rows, n_weights, raw = design.matrix, design.rows, design.l2.size, self.raw
        if raw is None:
            raw = Z @ self.parameters[:n_weights].reshape(Z.shape[1], -1)
            if rows.offset is not None:
                raw += rows.offset
            if loss.n_constants:
                constants = np.broadcast_to(self.parameters[n_weights:], (len(raw), loss.n_constants))
                raw = np.concatenate((raw, constants), axis=1)
        value, gradient = loss.value_and_gradient(rows.y, raw)
        gradient *= rows.weight[:, None]
        outputs = gradient[:, : loss.n_outputs]
        slope = (Z.T @ outputs).reshape(-1)
        if loss.n_constants:
            slope = np.concatenate((slope, np.add.reduce(gradient[:, loss.n_outputs :])))
        return self.completed(design.l2, raw, rows.weight @ value, slope, blas.dasum(outputs.ravel("K")))

    def visits(self, rows):
        """See `_visits`, for a round over these rows; it adds nothing where value and gradient are known.

        Other terms may ask for the curvature that the round is for, and kept rows are read once anyway.
        """
        if self.is_known or self.objective.terms or self.design.rows is not rows or self.design.matrix is not None:
            predict = self.predictor(rows)
            return lambda block, y, weight: (predict(block), ()), None
        return _visits(self)

    def all_raw(self):
        """Raw predictions of all rows, (n_rows, m), known or found."""
        if self.raw is None:
            self.sweep()
        return self.raw_predictions() if self.raw is None else self.raw

    def predictor(self, rows=None):
        """See `MeanLossEvaluation.predictor`; of blocks of the objective's rows, or of others that stand for them."""
        if self.raw is None and self.design.rows is not (rows or self.objective.rows):
            self.sweep()
        raw = self.raw
        if raw is not None:
            return lambda block: raw[block.part]
        model, parameters = self.design.model, self.design.model.unpack(self.parameters)
        return lambda block: model.raw(block, parameters)

    def moved(self, directions):
        """See `MeanLossEvaluation.moved`."""
        predict, model = self.predictor(), self.objective.model
        changes = [model.unpack(direction) for direction in directions]
        return lambda block: (predict(block), [model.change(block, change) for change in changes])

    def changes(self, other, step):
        """See `Evaluation.changes`; without a pass where raw predictions are kept."""
        here, there, loss = self.raw, other.raw, self.objective.loss
        if loss.quadratic:
            return 0.0, 0.0, 0.0
        if here is None or there is None:
            return super().changes(other, step)
        return max([loss.largest_move(here[part], here[part] - there[part]) for part in slices(len(here))]), None, 0.0

    def newton_change(self, step, decrement, enough):
        """See `Evaluation.newton_change`; by a bound, where raw predictions are kept, and products of few rows.

        The decrement is half the sum of w b c^2 / W over the rows, with the curvature b of each and the change c of its
        raw prediction, and of what the penalty adds: no row has more than all of it.
        """
        objective, raw, rows, Z = self.objective, self.raw, self.objective.rows, self.design.matrix
        loss, most = objective.loss, 2 * decrement * objective.total / enough**2
        if loss.quadratic:
            return 0.0, 0.0
        if raw is None:
            return super().newton_change(step, decrement, enough)
        if Z is not None and not loss.n_constants:
            z = step.within(self.design.coordinates)
            return loss.largest_move(raw, Z @ z.reshape(Z.shape[1], -1)), 0.5
        if self.design.width > 1 or objective.terms or not math.isfinite(most):
            return super().newton_change(step, decrement, enough)

        def weak(part):
            curvature = loss.hessian(rows.y[part], raw[part], "observed")[:, 0] * loss.predictor_unit(raw[part]) ** 2
            return part.start + np.flatnonzero(curvature[:, 0] * rows.weight[part] < most)

        others = np.concatenate([weak(part) for part in slices(len(raw))])
        if others.size > _FEW * len(raw):
            return super().newton_change(step, decrement, enough)
        change, model = enough, objective.model
        if others.size:
            moves = rows.take(others).gather(lambda block, y, weight: model.change(block, model.unpack(step.theta)))
            change = max(change, loss.largest_move(raw[others], moves))
        return change, 0.5 * others.size / len(raw)

    def moved_along(self, factor):
        """See `MeanLossEvaluation.moved_along`."""
        predict, along = self.predictor(), factor.outer.moving(factor.inner.dense())
        return lambda block: (predict(block), along(block))

    def between(self, other, share):
        """See `Evaluation.between`: raw predictions are linear on the way, so that no product with X is needed."""
        if self.objective.terms or other.design is not self.design or self.raw is None or other.raw is None:
            return None
        parameters = self.parameters + share * (other.parameters - self.parameters)
        return LinearEvaluation(self.objective, parameters, self.design, self.raw + share * (other.raw - self.raw))

    @cached_property
    def largest_summands(self):
        """See `MeanLossEvaluation.largest_summands`."""
        return self._summands_of_user if self.design.coordinates is None else self.sweep()["largest_summands"]

    @property
    def _summands_of_user(self):
        """The same of predictions from the user's parameters; a bound where these are a pass away."""
        objective = self.objective
        if not (self.design.coordinates is None or self.design.coordinates.reaches_all or "theta" in vars(self)):
            summands = objective.space.dependence.summands(self.design.model.unpack(self.parameters)[0])
            return float(summands.max()) + objective.baseline.largest_offset
        coef, intercept, _ = objective.unpack(self.theta)
        sizes = objective.column_sizes @ np.abs(coef) + np.abs(intercept)
        return float((sizes + objective.baseline.largest_offset).max())

    def likelihood_tolerance(self, tol, excess=None):
        """See `Evaluation.likelihood_tolerance`: (100 tol)^2 phi / (2 W), with W the sum of the weights as given.

        A mean loss d above its minimum is a likelihood-ratio statistic of 2 W d / phi, and no parameter is then more
        than the root of that from the optimum, in standard errors. The dispersion phi is what the loss makes of the
        value, `Family.dispersion`. Weights that are not frequencies have no sample size; W is then that of the
        likelihood that they multiply. It is never less than what rounding makes of the linear predictors, nor, where a
        fit can be perfect and leave no dispersion, than what it makes of the loss; and of a value no more is known than
        its rounding leaves. ``excess`` is another mean loss above the saturated one that tells the dispersion.
        """
        objective = self.objective
        if not objective.has_likelihood:
            return np.inf
        excess = max(self.excess, self.noise) if excess is None else excess
        phi = objective.loss.family.dispersion(max(excess, 0.0), self.parameters[self.design.model.n_weights :])
        rounding = ROUNDINGS * EPS * self._summands_of_user
        resolution = objective.resolution if objective.loss.attains_bound else 0.0
        least = max(0.5 * objective.baseline.mean_curvature * rounding * rounding, resolution)
        return max((_ERRORS * tol) ** 2 * phi / (2 * objective.total), least)

    def remarks(self):
        """See `Evaluation.remarks`."""
        return self.objective.loss.remarks(self.parameters[self.design.model.n_weights :])

    def approaches_edge(self):
        """See `Evaluation.approaches_edge`; no pass: only of predictions at hand."""
        return may_have_edge(self.objective) and self.raw is not None and approaches_edge(self.objective, self.raw)

    # -- curvature ------------------------------------------------------------------------------------------------

    def hessian(self, kind="observed"):
        """See `Evaluation.hessian`; a product is one pass over X."""
        product = _bent(self, kind, self.objective.design)
        return LinearOperator((self.objective.n_parameters,) * 2, matvec=product, rmatvec=product, dtype=float)

    def sum_curvature(self, kind, columns):
        """See `MeanLossEvaluation.sum_curvature`; shape (n_columns k + constants,) squared."""
        known = None if columns.basis is None else _plain_curvature(self, kind, columns)
        if known is not None:
            return columns.basis.T @ known @ columns.basis
        loss = self.objective.loss

        def weighted(raw, y, weight, part):
            return loss.hessian(y, raw, kind) * weight[:, None, None]

        H = self.objective.sums.products(self, weighted, columns, with_penalty=True)
        for term in self.objective.terms and self.terms:
            H += term.matrix(columns, kind) / self.objective.total_of_terms
        return H

    def curvature_diagonal(self, kind, columns):
        """See `MeanLossEvaluation.curvature_diagonal`."""
        if self.objective.terms or columns.basis is not None:
            return self.curvature(kind, columns).diagonal().copy()
        objective, predict = self.objective, self.predictor()
        loss, k = objective.loss, objective.loss.n_outputs

        def of_block(block, y, weight):
            curvature = np.einsum("nkk->nk", loss.hessian(y, predict(block), kind)) * weight[:, None]
            return block.squares(curvature[:, :k], columns), curvature[:, k:].sum(axis=0)

        squares, constants = objective.rows.fold(of_block, columns, width=(k + loss.n_constants) ** 2)
        diagonal = squares.T / objective.total + objective.space.penalty_in(columns).diagonal
        return np.concatenate((diagonal.ravel(), constants / objective.total))

    def layer_moments(self, columns):
        """See `MeanLossEvaluation.layer_moments`: of the features, weighted by their rows' curvature."""
        objective, loss = self.objective, self.objective.loss
        if loss.quadratic:
            share = objective.rows.total_weight / objective.total
            return [objective.sums.plain_moments(columns, self)], [share * np.eye(loss.n_outputs)], None
        of = objective.sums.of(columns)

        def of_block(raw, y, weight, block):
            total, size = loss.total_hessian(y, raw, weight)
            return total, block.gram((size * weight)[:, None], of.within)[0]

        C, A = objective.sums.folded(self, of_block, of, loss.n_outputs)
        A = A if of.block is not None else columns.turned(A)
        return [A / np.trace(C)], [C / objective.total], None

    # -- preconditioning ------------------------------------------------------------------------------------------

    def factor(self, kind="full", curvature="expected"):
        """See `Evaluation.factor`."""
        objective = self.objective
        if kind in ("units", "separate"):
            unit = np.full(objective.n_parameters, 1 / np.sqrt(objective.baseline.mean_curvature))
            columns = objective.space.in_units if kind == "units" else objective.space.plain.separate
            return self._factor(columns, factors.Diagonal(unit), None)
        if kind not in objective.facts.kinds:
            objective.refuse_kind(kind)
        space = objective.space
        space.settle(self, curvature)
        columns, exact = space.columns, True
        inner: factors.Factor
        if kind == "kronecker":
            (A,), (C,), _ = self.layer_moments(columns)
            inner = factors.Kronecker(A, C, *space.penalty_product(columns))
            exact = objective.loss.quadratic and objective.l2.is_product and not objective.terms
        elif kind == "diagonal":
            H, exact = self.curvature(curvature, columns) if objective.facts.has_matrix else None, False
            diagonal = self.curvature_diagonal(curvature, columns) if H is None else H.diagonal()
            inner = factors.Diagonal(1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)))
        else:
            H = self.curvature(curvature, columns)
            inner = factors.semidefinite_root(H + objective.shift_curvature(H, columns))
            exact = not isinstance(inner, factors.Diagonal)
        return self._factor(columns, inner, curvature if exact else None)

    def _factor(self, columns, inner, curvature):
        certifies = curvature is not None and self.objective.is_exact(curvature)
        loss = self.objective.loss
        outer = WeightCoordinates(columns, loss.n_outputs, loss.n_constants)
        return PointFactor(outer, inner, self, curvature, certifies)


def _bent(here, kind, design):
    """A function from the parameters of a design to the product of the Hessian at a point with them: one pass."""
    objective, loss, model, predict = here.objective, here.objective.loss, design.model, here.predictor(design.rows)

    def product(v):
        v = np.ravel(v)
        change = model.unpack(v)

        def of_block(block, y, weight):
            bent = loss.hessian_product(y, predict(block), model.change(block, change), kind)
            return (model.adjoint(block, bent * weight[:, None]),)

        bent = design.rows.fold(of_block)[0] / objective.total
        # other terms are of the user's parameters
        for term in here.terms:
            bent += term.product(v, kind) / objective.total_of_terms
        pull = design.l2.pull(v)
        bent[: pull.size] += pull
        return bent

    return product


class StandardThrough(Through):
    """A `GLMObjective` whose standardised rows are kept, in coordinates of its columns: no change of units at all."""

    def __init__(self, objective, coordinates, here):
        super().__init__(objective, coordinates, None)
        self._design, columns = objective.standard_design, coordinates.columns
        self._basis = None if columns is self._design.coordinates.columns else columns.basis
        at_hand = here.design is self._design
        self._start = here.parameters if at_hand else self._design.coordinates.inverse(here.theta)
        self._here = here

    def at(self, z):
        """See `Through.at`."""
        if self._basis is not None:
            weights = self._basis @ z[: self._coordinates.n_weights].reshape(-1, self._coordinates.n_outputs)
            z = np.concatenate((weights.ravel(), z[self._coordinates.n_weights :]))
        here = LinearEvaluation(self._objective, self._start + z, self._design)
        # at once: a solver asks for all of it
        here.by_matrix()
        return here

    def slope(self, here):
        """See `Through.slope`."""
        if here is self._here and here.design is not self._design and here.raw is not None:
            # of these rows, which are few
            here = LinearEvaluation(self._objective, self._start, self._design, here.raw)
        if here.design is not self._design:
            return super().slope(here)
        if self._basis is None:
            return here.slope
        n_weights = self._design.model.n_weights
        weights = self._basis.T @ here.slope[:n_weights].reshape(-1, self._coordinates.n_outputs)
        return np.concatenate((weights.ravel(), here.slope[n_weights:]))

    def sees(self, coordinates):
        """See `Through.sees`."""
        return self._coordinates.is_same(coordinates)

    def product(self, here, kind):
        """See `Through.product`: by the standardised rows."""
        if here.design is not self._design or self._basis is not None:
            return super().product(here, kind)
        return _bent(here, kind, self._design)
