"""What directions of the raw predictions would add to a fitted linear model, by its expected information."""

import numpy as np

from sk_hessian.objectives import SingleRows


class AddedDirections:
    """Changes of the raw predictions beside those that the parameters of a fit can make.

    ``moves(part)`` gives d of them for a slice of the rows, shape (n, m, d). All is of the mean over the rows, and in
    the coordinates of a factor of the expected Hessian, in which that of the fit is the identity.

    Attributes
    ----------
    size : ndarray of shape (d,)
        The curvature of the mean loss along each by itself.
    information : ndarray of shape (d, d)
        What is left of it when the parameters make up for what they can: Schur's complement.
    score : ndarray of shape (d,)
        The slope of the mean loss along what is left. The parameters need not be exactly at their optimum (Neyman's
        C(alpha)).
    """

    def __init__(self, fitted, factor, moves, n_moves):
        def sums(terms):
            moved = moves(terms.part)
            bent, weighted = terms.bend @ moved, terms.share[:, None, None] * terms.along
            moved = terms.share[:, None, None] * moved
            return (
                np.tensordot(moved, bent, ([0, 1], [0, 1])),
                np.tensordot(weighted, bent, ([0, 1], [0, 1])),
                np.einsum("nmd,nm->d", moved, terms.slope),
                np.einsum("nmr,nm->r", weighted, terms.slope),
            )

        rows = SingleRows(fitted.here, factor, "expected")
        width = 3 * n_moves * (fitted.loss.n_outputs + fitted.loss.n_constants)
        whole, cross, slope, own_slope = rows.reduce(sums, width)
        self.size = whole.diagonal()
        self.information = whole - cross.T @ cross
        self.score = slope - cross.T @ own_slope

    @property
    def share_left(self):
        """What is left of each direction's curvature, as a share, shape (d,)."""
        return np.divide(self.information.diagonal(), self.size, out=np.zeros(len(self.size)), where=self.size > 0)
