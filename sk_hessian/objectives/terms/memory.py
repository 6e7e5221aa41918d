"""What a stream of rows remembers: a quadratic in place of the old rows, the new ones as they came."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sk_hessian.objectives._spread import Spread
from sk_hessian.objectives.row_curvature import RowCurvature
from sk_hessian.objectives.rows import stacked, summary, triangle

#: the information before any row, in rows; its root stands well above the rounding of R after many rows
_PRIOR = 1e-12

#: how much a column that has been constant so far may be expected to vary, as a share of its size
_CONSTANT_UNIT = 1e-6


@dataclass(frozen=True)
class Triangle:
    """A Hessian R'R."""

    root: np.ndarray  #: R, (m, n_parameters)

    def apply(self, v):
        """R v."""
        return self.root @ v

    def transpose(self, v):
        """R'v."""
        return self.root.T @ v

    def rows(self):
        """R."""
        return self.root

    def diagonal(self):
        """The diagonal of R'R."""
        return np.einsum("mp,mp->p", self.root, self.root)

    def times(self, factor):
        """The same Hessian times a number."""
        return Triangle(np.sqrt(factor) * self.root)

    def rescaled(self, ratio, n_weights):
        """The same with the curvature along the first parameters times a number."""
        root = self.root.copy()
        root[:, :n_weights] *= np.sqrt(ratio)
        return Triangle(root)

    def plus(self, other):
        """The sum with another Hessian."""
        return Triangle(triangle(np.vstack([self.root, other.rows()])))


@dataclass(frozen=True)
class Witnesses:
    """A uniform sample of the rows that the quadratic stands for, each with its own part of the quadratic.

    The slope by the quadratic beside the true one tells how far the quadratic can be trusted, and mends it.
    """

    rows: Any  #: a container of them
    #: gradient of each row's part of the quadratic, (n, m), in its raw predictions at the memory's centre
    slope: np.ndarray
    bend: np.ndarray  #: its Hessian, (n, m, m)
    mended: np.ndarray  #: what slopes have been mended by so far, (n, m): the sample's, in place of all rows'
    #: exponential random numbers over what forgetting has left of each row, (n,): the rows of the least stay, which
    #: draws them with chances in proportion to what is left (Efraimidis & Spirakis 2006)
    rank: np.ndarray

    def moved(self, change):
        """The same after raw predictions have changed by so much (n, m)."""
        return replace(self, slope=self.slope + np.einsum("nab,nb->na", self.bend, change))

    def faded(self, forgetting):
        """The same where rows to come have a larger chance: the weights themselves do not fade."""
        return replace(self, rank=self.rank / forgetting)

    def rescaled(self, ratio, n_outputs):
        """The same with the curvature along the first raw predictions times a number."""
        unit = np.ones(self.bend.shape[1])
        unit[:n_outputs] = np.sqrt(ratio)
        return replace(self, bend=self.bend * np.outer(unit, unit))

    def with_others(self, others, size):
        """The same with those of more rows, ``size`` of all."""
        rank = np.concatenate([self.rank, others.rank])
        chosen = np.sort(np.argsort(rank)[:size])
        slope, bend, mended = (
            np.concatenate([getattr(of, name) for of in (self, others)])[chosen] for name in ("slope", "bend", "mended")
        )
        return Witnesses(stacked([self.rows, others.rows]).take(chosen), slope, bend, mended, rank[chosen])


@dataclass(frozen=True)
class Memory:
    """What is remembered of the rows before: the latest of them, and of the others a quadratic.

    A model may fit few rows perfectly, with parameters as large as it likes; a Taylor model taken there says nothing of
    the losses elsewhere. The latest rows are therefore kept as they are: until there are many, those are all rows.
    """

    curvature: Triangle | Spread  #: the quadratic's Hessian, as a sum over rows
    slope: np.ndarray  #: its gradient at the centre, (n_parameters,)
    centre: np.ndarray  #: where, (n_parameters,)
    #: what is known before any row, a part of the curvature; zero along parameters that no row has told of
    prior: Spread
    weight: float = 0.0  #: total weight of the rows that the quadratic stands for
    excess: float = 0.0  #: the sum of their losses above the saturated ones, at the centre
    targets: tuple | None = None  #: some targets and weights that stand for theirs
    n_rows: int = 0  #: their number
    kept: Any = None  #: the latest rows, or None; the quadratic is of the others
    witnesses: Any = None  #: the `Witnesses` of the rows that the quadratic stands for, or None
    loss: Any = None  #: the pointwise loss

    @property
    def total_weight(self):
        """The weight of all rows before."""
        return self.weight + (0.0 if self.kept is None else self.kept.total_weight)

    @property
    def is_matrix(self):
        """Whether the curvature is a matrix."""
        return isinstance(self.curvature, Triangle)

    def faded(self, forgetting):
        """The same with all weights times ``forgetting``, but for the prior, which would fade into rounding."""
        if forgetting == 1:
            return self
        return replace(
            self,
            curvature=self.curvature.times(forgetting).plus(self.prior.times(1 - forgetting)),
            slope=forgetting * self.slope,
            weight=forgetting * self.weight,
            excess=forgetting * self.excess,
            targets=self.targets and (self.targets[0], forgetting * self.targets[1]),
            kept=self.kept and self.kept.weighted(forgetting * self.kept.weight),
            witnesses=self.witnesses and self.witnesses.faded(forgetting),
        )

    def taylor(self, theta):
        """The change of the quadratic from the centre on, and its gradient."""
        away = theta - self.centre
        bent = self.curvature.apply(away)
        return self.slope @ away + 0.5 * (bent @ bent), self.slope + self.curvature.transpose(bent)

    def witnessed(self, objective, points, size):
        """The same after `with_rows`, with some of these rows among the witnesses, ``size`` of all."""
        rank = np.random.default_rng(self.n_rows).exponential(size=objective.n_rows)
        chosen = np.sort(np.argsort(rank)[:size])
        rows = objective.on_rows(objective.rows.take(chosen))
        slope, bend = RowCurvature(rows).quadratics(points)
        new = Witnesses(rows.rows, slope, bend, np.zeros_like(slope), rank[chosen])
        return replace(self, witnesses=new if self.witnesses is None else self.witnesses.with_others(new, size))

    def at(self, theta, objective):
        """The same quadratic about other parameters; its curvature as the loss's constants there make it."""
        change, slope = self.taylor(theta)
        moved = replace(self, slope=slope, centre=theta, excess=self.excess + change)
        if self.witnesses is not None:
            rows = objective.on_rows(self.witnesses.rows)
            change = rows.raw_predictions(theta) - rows.raw_predictions(self.centre)
            moved = replace(moved, witnesses=self.witnesses.moved(change))
        if not objective.loss.n_constants:
            return moved
        ratio = objective.loss.curvature_ratio(*(objective.unpack(of)[2] for of in (self.centre, theta)))
        return moved.rescaled(ratio, objective.loss.n_outputs)

    def rescaled(self, ratio, n_outputs):
        """The same with the curvature along coefficients and intercepts times a number."""
        if ratio == 1:
            return self
        curvature, prior, witnesses = self.curvature, self.prior.rescaled(ratio), self.witnesses
        if isinstance(curvature, Spread):
            curvature = curvature.rescaled(ratio)
        else:
            curvature = curvature.rescaled(ratio, prior.squares.size + len(prior.level))
        witnesses = witnesses and witnesses.rescaled(ratio, n_outputs)
        return replace(self, curvature=curvature, prior=prior, witnesses=witnesses)

    def with_rows(self, objective, points):
        """The same with the Taylor model of the losses of more rows, an objective.

        ``points`` are the centre; or the centre and another point: then the curvature makes up for the gradient's
        change between the two.
        """
        total = objective.total_weight
        here = objective.at(self.centre)
        gradient = here.gradient - objective.l2.gradient(self.centre)
        return replace(
            self,
            curvature=self.curvature_of(objective, points),
            slope=self.slope + total * gradient,
            weight=self.weight + total,
            excess=self.excess + total * here.excess,
            targets=self.pooled(objective.rows.targets),
            n_rows=self.n_rows + objective.n_rows,
        )

    def curvature_of(self, objective, points, *roots):
        """The curvature of the quadratic and of more rows, see `RowCurvature`."""
        if isinstance(self.curvature, Spread):
            return self.curvature.plus(RowCurvature(objective).spread(points, *roots))
        return Triangle(RowCurvature(objective).triangle(points, self.curvature.root, *roots))

    def mended(self, objective, error):
        """The same quadratic with the slope that the witnesses have at the centre, and curvature where they have more.

        Curvature is never taken away: less is known of it than of the slope, and with too much a step is only short.
        The objective is of the witnesses, ``error`` (n, m) their slopes less those by the quadratic.
        """
        witnesses, share = self.witnesses, self.weight / objective.total_weight
        values, vectors = np.linalg.eigh(RowCurvature(objective).quadratics([self.centre])[1] - witnesses.bend)
        root = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
        return replace(
            self,
            curvature=self.curvature_of(objective, [self.centre], np.sqrt(share) * root),
            slope=self.slope + share * RowCurvature(objective).pulled_back(error),
            witnesses=replace(
                witnesses,
                slope=witnesses.slope + error,
                bend=witnesses.bend + root @ root.transpose(0, 2, 1),
                mended=witnesses.mended + error,
            ),
        )

    def pooled(self, targets):
        """Some targets and weights that stand for those of the quadratic and for these."""
        if self.targets is not None:
            targets = tuple(np.concatenate(pair) for pair in zip(self.targets, targets, strict=True))
        return summary(*targets)[:2]

    def told(self, rows):
        """The same, with a prior along the parameters that ``rows`` are the first to tell of."""
        known = self.prior.diagonal() > 0
        if known.all():
            return self
        new = _prior(rows).without(known)
        return replace(self, curvature=self.curvature.plus(new), prior=self.prior.plus(new))

    def shaped(self, is_matrix):
        """The same as a matrix, or without correlations."""
        if is_matrix == self.is_matrix:
            return self
        rows = self.curvature.rows()
        return replace(self, curvature=Triangle(rows) if is_matrix else Spread.of_rows(rows, self.prior))


def first_memory(rows, is_matrix, theta=None):
    """The memory before any row: next to nothing, so that what no row tells of stays where it is.

    Parameters
    ----------
    rows : GLMObjective or MLPObjective
        The first rows, for the null model and for units.
    is_matrix : bool
        Whether to remember a matrix.
    theta : ndarray of shape (n_parameters,), optional
        Where to begin; the null model for None.

    Returns
    -------
    Memory
    """
    theta, prior = rows.start() if theta is None else theta, _prior(rows)
    return Memory(prior, np.zeros_like(theta), theta, prior, loss=rows.loss).shaped(is_matrix)


def _prior(rows):
    """What is known before any row; of the loss's constants as much as one row for each parameter tells.

    As many rows as parameters fit perfectly, which would say that the scale is zero.
    """
    typical = _typical_linear(rows) if rows.model.is_linear else _typical_network(rows)
    return replace(typical.times(_PRIOR), constants=typical.constants * rows.n_parameters)


def _typical_linear(rows):
    """The `Spread` that a row has on average at the null model."""
    centre, deviation = rows.moments_of_columns
    size = np.where(deviation > 0, deviation, _CONSTANT_UNIT * np.abs(centre))
    curvature, k = rows.baseline.mean_curvature, rows.loss.n_outputs
    outputs, constants = np.ones(k), rows.baseline.hessian()[:, k:, k:]
    return Spread(
        curvature * np.outer(size**2, outputs),
        curvature * outputs[: None if rows.fit_intercept else 0],
        np.outer(centre, outputs),
        np.einsum("nmm->m", constants) / len(constants),
    )


def _typical_network(rows):
    """The `Spread` that a row may have at the start, in the units of inputs and outputs alone."""
    coordinates, model, (part, shape) = rows.coordinates, rows.model, rows.model.layers[0]
    squares = 1 / coordinates.unit(model.n_parameters) ** 2
    scale = np.where(np.isfinite(coordinates.columns.scale), coordinates.columns.scale, 1.0)
    squares[part].reshape(shape)[:-1] *= scale[:, None] ** 2
    squares *= rows.baseline.mean_curvature * np.mean(coordinates.output_unit) ** 2
    weights = squares[: model.n_weights, None]
    return Spread(weights, np.zeros(0), np.zeros_like(weights), squares[model.n_weights :])
