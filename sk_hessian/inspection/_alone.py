"""Combinations of the parameters that one row, or one group of rows, alone determines: no sandwich has their errors.

The fit follows such a row or group whatever its targets are, so that its residuals, which stand for the errors in a
sandwich, say nothing of them: a column that is zero but in one row would seem to be known nearly exactly.
"""

import numpy as np

from sk_hessian._text import listed
from sk_hessian.inspection._leverages import NOTHING_LEFT, Leverages

#: numbers that the information of groups may be, 64 MB
_MOST_NUMBERS = 2**23

#: share of a parameter's variance from which on it is one of a combination
_INVOLVED = 1e-8


def directions_of_one(curvature):
    """Unit vectors (m, r) in the coordinates of a `Curvature`, or None where that is not known."""
    if not curvature.groups:
        return _of_rows(curvature)
    found = [_of_groups(curvature, index) for index in curvature.groups]
    return None if any(one is None for one in found) else np.vstack(found)


def _of_rows(curvature):
    within, total, r = curvature.weights.within, curvature.objective.total, curvature.root.shape[1]

    def sole(terms):
        counts = within(terms.part, terms.y, terms.share * total).counts
        leverages = Leverages.of(terms, counts)
        full = 1 - leverages.largest <= NOTHING_LEFT
        if not full.any():
            return (np.zeros((r, r)),)
        along = leverages.directions(terms, counts)[full, -1]
        return (along.T @ along,)

    return _vectors(curvature.single_rows.reduce(sole, width=r)[0][None])


def _of_groups(curvature, index):
    rows, n_groups, r = curvature.single_rows, int(index.max()) + 1, curvature.root.shape[1]

    def traces(terms):
        bent = np.einsum("nkl,nlr->nkr", terms.bend, terms.along)
        return (np.bincount(index[terms.part], terms.share * np.einsum("nkr,nkr->n", terms.along, bent), n_groups),)

    # an eigenvalue of one is at most the trace, and all traces sum to r
    candidates = np.flatnonzero(rows.reduce(traces)[0] >= 1 - NOTHING_LEFT)
    if len(candidates) * r * r > _MOST_NUMBERS:
        return None
    place = np.full(n_groups, -1)
    place[candidates] = np.arange(len(candidates))

    def information(terms):
        found, where = np.zeros((len(candidates), r, r)), place[index[terms.part]]
        bent = terms.share[:, None, None] * (terms.bend @ terms.along)
        for group in np.unique(where[where >= 0]):
            mine = where == group
            found[group] = np.tensordot(terms.along[mine], bent[mine], axes=((0, 1), (0, 1)))
        return (found,)

    if not candidates.size:
        return np.zeros((0, r))
    return _vectors(rows.reduce(information)[0])


def _vectors(information):
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
