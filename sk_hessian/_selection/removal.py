"""What leaving one row out does, by one Newton step in the row's own curvature."""

from functools import cached_property

import numpy as np

#: an eigenvalue of a row's hat block that is nearer to one leaves nothing that the digits could tell
_NOTHING_LEFT = 1e-10


class Removal:
    """Newton's step when each of some rows is left out, the total penalty held fixed; ``n_outputs`` have features.

    With J the derivative of a row's raw predictions, l' and B the gradient and the second derivative of its loss in
    them, w its weight and A the Hessian of the sum over all rows, the Woodbury identity gives

        (A - w J'B J)^-1 w J' l' = A^-1 J' w (I - B M)^-1 l',     M = w J A^-1 J'.

    Everything is in the coordinates of a factor P of the Hessian, A^-1 = P P' / W: no matrix is inverted but I - B M of
    a row, as large as a row has raw predictions.
    """

    def __init__(self, terms, n_outputs):
        self.terms = terms
        self.reach = terms.share[:, None, None] * (terms.along @ terms.along.transpose(0, 2, 1))
        self.hat = terms.bend @ self.reach
        #: the derivative of the fitted predictor in its own working response, summed over the outputs
        self.leverage = np.einsum("nab,nba->n", self.reach[:, :n_outputs], terms.bend[:, :, :n_outputs])

    @cached_property
    def largest(self):
        """The largest eigenvalue of the hat block of each row: the leverage, for one raw prediction."""
        if self.hat.shape[1] == 1:
            return self.hat[:, 0, 0]
        return np.linalg.eigvals(self.hat).real.max(axis=1)

    @cached_property
    def is_determined(self):
        """Whether the other rows determine all parameters, to working precision."""
        return 1 - self.largest > _NOTHING_LEFT

    def solved(self, matrices, right):
        """(I - matrices)^-1 right of each row, of shape (n, m); nan where the other rows do not determine it."""
        matrices = np.where(self.is_determined[:, None, None], matrices, 0.0)
        solution = np.linalg.solve(np.eye(right.shape[1]) - matrices, right[:, :, None])[:, :, 0]
        return np.where(self.is_determined[:, None], solution, np.nan)

    @cached_property
    def slope(self):
        """The gradient of each row at the parameters without it, as far as its curvature is constant, (n, m)."""
        return self.solved(self.hat, self.terms.slope)

    @property
    def steps(self):
        """The change of the factor's coordinates when each row is left out, shape (n, r)."""
        return self.terms.share[:, None] * np.einsum("nmr,nm->nr", self.terms.along, self.slope)

    @property
    def pull(self):
        """How far each row moves its own raw predictions, to first order in its weight, shape (n, m)."""
        return np.einsum("nab,nb->na", self.reach, self.terms.slope)

    @property
    def raw(self):
        """The raw predictions of each row without it, shape (n, m)."""
        return self.terms.raw + np.einsum("nab,nb->na", self.reach, self.slope)


def rows_in_memory(objective, instead="pass some of the parts"):
    """The rows of an objective, refused where they come in parts; ``instead`` is what to do then."""
    if not objective.rows.in_memory:
        raise ValueError(f"X must be in memory or memory-mapped, because there is a result for each row; {instead}")
    return objective.rows


def kept_rows(sample_weight, n_kept):
    """Which rows of the user the objective has: those of weight zero are left out, shape (n_rows,) of bool."""
    weight = np.asarray(1.0 if sample_weight is None else sample_weight, dtype=float)
    return np.ones(n_kept, dtype=bool) if weight.ndim == 0 else weight > 0


def spread(values, kept, fill=0.0):
    """``values`` of the kept rows among all rows, ``fill`` elsewhere."""
    if kept.all():
        return values
    out = np.full((len(kept), *values.shape[1:]), fill)
    out[kept] = values
    return out
