"""Which rows a sample takes: the same for rows in memory and for rows in parts."""

import numpy as np

#: rows in a sample for the columns' units
UNIT_ROWS = 4096


def unit_rows(n_rows):
    """Numbers of the rows in the sample for the columns' units, ascending."""
    return np.sort(np.random.default_rng(0).choice(n_rows, min(UNIT_ROWS, n_rows), replace=False))


def stratified(n_rows, size, seed):
    """Numbers of one row of each of ``size`` equal stretches."""
    return ((np.arange(size) + np.random.default_rng(seed).random(size)) * (n_rows / size)).astype(np.intp)


def weighted_norms(rows, columns, rare):
    """Weight of each row times its squared norm over the ``rare`` of the standardised columns; the weight without any.

    But for rounding; ``rows`` are in memory.
    """
    if not rare.size:
        return rows.weight
    inverse = np.zeros(rows.n_features)
    inverse[rare] = 1 / columns.scale[rare]
    return rows.weight * np.maximum(rows.gather(lambda block, y, weight: block.norms(columns.shift, inverse, rare)), 0)


def chances(size, weight, norms, total_weight, total_norm):
    """The chance of each row: half by its weight, half by its norm."""
    return 0.5 * size * (weight / total_weight + norms / total_norm)
