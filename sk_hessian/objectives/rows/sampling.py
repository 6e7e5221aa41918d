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


class Rare:
    """What a uniform sample would misjudge: some standardised ``columns``, by their numbers, and some targets.

    ``squares`` is a function of a block and its targets: their squared scores, (n,), or None.
    """

    def __init__(self, columns, shift, scale, squares):
        self.columns, self.shift, self.squares = columns, shift, squares
        self.inverse = np.zeros(len(scale))
        self.inverse[columns] = 1 / scale[columns]

    def weighted_norms(self, rows):
        """Weight of each row in memory times its squared norm over what is rare, but for rounding."""

        def norms(block, y, weight):
            of_targets = 0.0 if self.squares is None else self.squares(block, y)
            if not self.columns.size:
                return of_targets
            return np.maximum(block.norms(self.shift, self.inverse, self.columns), 0) + of_targets

        return rows.weight * rows.gather(norms)


def chances(size, weight, norms, total_weight, total_norm):
    """The chance of each row: half by its weight, half by its norm."""
    return 0.5 * size * (weight / total_weight + norms / total_norm)
