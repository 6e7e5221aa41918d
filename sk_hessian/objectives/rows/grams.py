"""Symmetric products of weighted rows, and triangular factors of such products."""

import math

import numpy as np
from scipy.linalg import qr


class Scratch:
    """Memory that the blocks of one pass use in turn: fresh pages for each would cost more than what fills them."""

    def __init__(self):
        self._memory = [np.empty(0)]

    def array(self, shape):
        """An uninitialised array of this shape, until the next call."""
        size = math.prod(shape)
        if self._memory[0].size < size:
            self._memory[0] = np.empty(size)
        return self._memory[0][:size].reshape(shape)

    def like(self, Z):
        """The same, of the shape of an array and in its order."""
        return self.array(Z.shape) if Z.flags.c_contiguous else self.array(Z.shape[::-1]).T


def weighted_grams(Z, weights, scratch=None, sums=None):
    """Z' diag(w) Z for every column w of ``weights``; a symmetric rank-k update where w has no negative entry.

    ``sums``, an array of a row for each w, or None, gets w' Z.
    """
    grams = np.empty((weights.shape[1], Z.shape[1], Z.shape[1]))
    scaled = (scratch or Scratch()).like(Z)
    bounds = np.minimum.reduce(weights, axis=0), np.maximum.reduce(weights, axis=0)
    # rows that are stored one by one: `einsum` takes two thirds of a product's time where they are short
    by_rows = Z.flags.c_contiguous
    for k, (gram, w, least, most) in enumerate(zip(grams, weights.T, *bounds, strict=True)):
        rows, by = Z, w
        if least == most:
            np.matmul(Z.T, Z, out=gram)
            gram *= least
        else:
            root = np.sqrt(w) if least >= 0 else w
            if by_rows:
                np.einsum("ij,i->ij", Z, root, out=scaled)
            else:
                np.multiply(Z, root[:, None], out=scaled)
            rows, by = (scaled, root) if least >= 0 else (Z, w)
            np.matmul(rows.T, scaled, out=gram)
        if sums is not None:
            # of what the product has just read
            np.matmul(by, rows, out=sums[k])
    return grams


def triangle(rows):
    """The triangular factor of rows that are more than the columns: the same singular values and right vectors."""
    return qr(rows, mode="r", check_finite=False, overwrite_a=True)[0][: rows.shape[1]]


def bordered(grams, sums, totals):
    """Grams of [X, 1] from those of X, (m, p, p), its weighted ``sums`` (m, p) and ``totals`` (m,)."""
    m, p = sums.shape
    both = np.empty((m, p + 1, p + 1))
    both[:, :p, :p], both[:, p, p] = grams, totals
    both[:, :p, p] = both[:, p, :p] = sums
    return both


def centred(grams, shift):
    """Grams (..., p + 1, p + 1) of [X - shift, 1] from those of [X, 1]; the digits are those of sums about zero."""
    result, sums = grams.copy(), grams[..., -1, :-1]
    along = sums - grams[..., -1:, -1] * shift
    result[..., :-1, :-1] -= shift[:, None] * sums[..., None, :] + along[..., None] * shift
    result[..., :-1, -1] = result[..., -1, :-1] = along
    return result
