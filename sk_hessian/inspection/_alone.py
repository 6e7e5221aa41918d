"""Combinations of the parameters that one row, or one group of rows, alone determines: no sandwich has their errors.

The fit follows such a row or group whatever its targets are, so that its residuals, which stand for the errors in a
sandwich, say nothing of them: a column that is zero but in one row would seem to be known nearly exactly.
"""

import numpy as np

from sk_hessian._text import listed
from sk_hessian.inspection._leverages import NOTHING_LEFT, Leverages, information_of

#: numbers that the information of groups may be, 64 MB
_MOST_NUMBERS = 2**23

#: share of a parameter's variance from which on it is one of a combination
_INVOLVED = 1e-8


def sole(terms, counts):
    """The sum (r, r) over some rows, each of which stands for so many, of what those tell that the fit follows."""
    leverages, r = Leverages.of(terms, counts), terms.along.shape[2]
    full = 1 - leverages.largest <= NOTHING_LEFT
    if not full.any():
        return np.zeros((r, r))
    along = leverages.directions(terms, counts)[full, -1]
    return along.T @ along


def followed_rows(curvature):
    """Unit vectors (m, r), in the coordinates of a `Curvature`, of what single rows alone determine; one round."""
    within, total = curvature.weights.within, curvature.objective.total

    def of_block(terms):
        return (sole(terms, within(terms.part, terms.y, terms.share * total).counts),)

    return of_ones(curvature.single_rows.reduce(of_block)[0][None])


def followed_groups(curvature, index, leverages):
    """The same of groups, each a number from 0 on, with these sums of leverages (G,); None where they are too many.

    A round where there may be one: an eigenvalue of one is at most the trace, and all traces sum to r.
    """
    r, candidates = curvature.root.shape[1], np.flatnonzero(leverages >= 1 - NOTHING_LEFT)
    if not candidates.size:
        return np.zeros((0, r))
    if len(candidates) * r * r > _MOST_NUMBERS:
        return None
    place = np.full(len(leverages), -1)
    place[candidates] = np.arange(len(candidates))
    return of_ones(curvature.single_rows.reduce(information_of(place[index], len(candidates)))[0])


def of_ones(information):
    """The eigenvectors (m, r) of matrices (n, r, r) whose eigenvalue is one."""
    values, vectors = np.linalg.eigh(information)
    return vectors.transpose(0, 2, 1)[1 - values <= NOTHING_LEFT]


def involved(root, directions):
    """Which parameters, of a root (n, r) of their inverse Hessian, are among these combinations; (n,) of bool."""
    size = np.einsum("nr,nr->n", root, root)
    return np.einsum("nm,nm->n", root @ directions.T, root @ directions.T) > _INVOLVED * size


def text_of(names, is_grouped):
    """What the convention of a covariance says of the parameters that have no error."""
    which = "one group" if is_grouped else "one row"
    verb = "has" if len(names) == 1 else "have"
    return f"{listed(names, ', ')} {verb} no error here, because {which} alone determines a combination with it"
