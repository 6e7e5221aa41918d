"""What targets alone tell: the best constant prediction, the saturated one, and the scale between the two."""

from functools import cached_property

import numpy as np

from sk_hessian.objectives.losses import constant_predictions

#: numbers that a row needs where only its target counts
_TARGET_WIDTH = 2


class Baseline:
    """The null model of some rows, beside which a model is measured.

    ``fit_intercept`` says whether a constant prediction is one of the model's; else it is zero, but for an offset,
    which may be off by any factor: beside one a constant gives the scale.
    """

    def __init__(self, rows, loss, fit_intercept):
        self._rows, self._loss, self._fit_intercept = rows, loss, fit_intercept

    @cached_property
    def raw(self):
        """The null model's raw predictions and constants, an offset aside, shape (n_outputs + n_constants,)."""
        rows, family = self._rows, self._loss.family
        if rows.offset is not None:
            return family.best_constant_beside(rows.offset, *rows.targets)
        return self._raw_of(*rows.targets)

    def _raw_of(self, y, weight):
        family = self._loss.family
        if self._fit_intercept:
            return family.best_constant(y, weight)
        return np.append(np.zeros(self._loss.n_outputs), family.own_constants(y, weight))

    @cached_property
    def largest_offset(self):
        """The size of the largest offset."""
        return 0.0 if self._rows.offset is None else float(np.abs(self._rows.offset).max())

    @cached_property
    def _mean_losses(self):
        """Those of the null and of the saturated model."""

        def totals(block, y, weight):
            null = self._loss.value(y, constant_predictions(self.raw, len(y), block.offset))
            return (np.array([weight @ null, weight @ self._loss.saturated(y)]),)

        rows = self._rows
        sums = rows.standing_in(self._loss.quadratic).fold(totals, width=_TARGET_WIDTH)[0]
        return (sums / rows.total_weight).tolist()

    @property
    def value(self):
        """The mean loss of the null model."""
        return self._mean_losses[0]

    @property
    def saturated_value(self):
        """The mean loss of the saturated model."""
        return self._mean_losses[1]

    def scale_of(self, y, weight):
        """The null model's mean loss above the saturated one for other targets (n,) or (n, k), without an offset."""
        with np.errstate(over="ignore", invalid="ignore"):
            loss = self._loss.value(y, constant_predictions(self._raw_of(y, weight), len(y)))
            return weight @ (loss - self._loss.saturated(y)) / weight.sum()

    @cached_property
    def resolution(self):
        """See `Objective.resolution`."""
        return float(self._loss.family.resolution(*self._rows.targets, self._rows.offset))

    def hessian(self):
        """The loss's expected Hessian at the null model for some rows, shape (n, m, m)."""
        y, offset = self._rows.head[0], self._rows.offset
        raw = constant_predictions(self.raw, len(y), None if offset is None else offset[: len(y)])
        return self._loss.hessian(y, raw, "expected")

    @cached_property
    def mean_curvature(self):
        """Curvature of an output at the null model, a unit for the penalty."""
        if self._loss.quadratic:
            return 1.0
        k = self._loss.n_outputs
        H = self.hessian()
        mean = np.add.reduce(H.diagonal(axis1=1, axis2=2)[:, :k], axis=None) / (len(H) * k)
        return float(mean) if mean > 0 else 1.0
