"""More columns than rows: the same linear model within the span of its rows."""

import numpy as np
from scipy.linalg import eigh

from sk_hessian.objectives import GLMObjective

#: up to so many columns a model is as cheap as it is
_FEW = 50


def is_narrowed(objective):
    """Whether `Narrowed` takes a model: more columns than rows, each with a strength that all outputs share."""
    strengths = objective.l2.diagonal
    is_wide = objective.n_features > max(objective.n_rows, _FEW) and objective.rows.in_memory
    return is_wide and objective.l2.holds_each and np.ptp(strengths, axis=1).max() == 0


class Narrowed:
    """A model whose columns are as many as the rows, with the same predictions, evidence and leave-one-out losses.

    With strengths D and centred columns X = U S V' D^1/2, the optimum is D^-1/2 V z for any strength, and the raw
    predictions are U S z, with the penalty |z|^2 / 2. So one eigendecomposition of X D^-1 X', of the size of the rows,
    serves all fits; a run on all columns has coordinates of its own for each strength, and none where X is sparse.

    Parameters
    ----------
    objective : GLMObjective
        One that `is_narrowed`.

    Attributes
    ----------
    objective : GLMObjective
        Of z; its strengths are one.
    """

    def __init__(self, objective):
        self._wide, rows = objective, objective.rows
        self._strengths = objective.l2.diagonal[:, 0]
        self._centre = objective.moments_of_columns[0]
        values, U = eigh(rows.kernel(self._centre, 1 / np.sqrt(self._strengths)), driver="evd")
        held = values > len(values) * np.finfo(float).eps * values[-1]
        root = np.sqrt(values[held])
        self._back = U[:, held] / root
        self.objective = GLMObjective(
            U[:, held] * root,
            rows.y,
            objective.loss,
            sample_weight=rows.weight,
            fit_intercept=objective.fit_intercept,
            penalty=1.0,
            offset=rows.offset,
        )

    def theta(self, z):
        """The parameters of the wide model."""
        coef, intercept, constants = self.objective.unpack(z)
        along = self._back @ coef
        sums = self._wide.rows.fold(lambda block, y, weight: (block.adjoint(along[block.part]),))[0]
        coef = (sums - np.outer(self._centre, along.sum(axis=0))) / self._strengths[:, None]
        return self._wide.pack(coef, intercept - self._centre @ coef, constants)
