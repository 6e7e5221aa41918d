"""What one reading of parts tells of their rows, and targets that stand for all."""

from dataclasses import dataclass

import numpy as np

from sk_hessian.objectives.rows.kinds import rows_of

#: distinct targets up to which a summary keeps them all
_DISTINCT = 1000


@dataclass(frozen=True)
class Scan:
    """What one reading of all parts tells."""

    sizes: dict  #: rows of each part that has any, by its number
    n_features: int
    sums_about_zero: bool
    total: float  #: sum of the weights
    least_weight: float
    most_weight: float
    largest: float  #: largest absolute target
    targets: tuple  #: a few targets and weights that stand for all, see `summary`
    keeps_targets: bool  #: whether these are all distinct targets
    head: tuple  #: the first targets and weights

    @classmethod
    def of(cls, index, X, y, weight):
        """That of one part, or None of an empty one."""
        rows = rows_of(X, y, weight)
        if not rows.n_rows:
            return None
        largest = float(np.abs(rows.y).max()) if rows.y.dtype.kind in "buif" else 0.0
        *targets, keeps = summary(rows.y, rows.weight)
        weight, head = rows.weight, tuple(array.copy() for array in rows.head)
        return cls(
            {index: rows.n_rows},
            rows.n_features,
            rows.sums_about_zero,
            rows.total_weight,
            weight.min(),
            weight.max(),
            largest,
            tuple(targets),
            keeps,
            head,
        )

    def merged(self, other, noun):
        """That of the parts of both, which must have the same columns; a ``noun`` says what a part is called."""
        mine, others = min(self.sizes), min(other.sizes)
        if self.n_features != other.n_features:
            raise ValueError(
                f"X: {noun} {others} has {other.n_features} columns, but {noun} {mine} has {self.n_features}"
            )
        if self.head[0].shape[1:] != other.head[0].shape[1:]:
            raise ValueError(f"y: {noun}s {mine} and {others} do not have the same number of columns")
        first = self if mine < others else other
        *targets, keeps = _summary_of_both(self.targets, other.targets)
        return Scan(
            self.sizes | other.sizes,
            self.n_features,
            self.sums_about_zero or other.sums_about_zero,
            self.total + other.total,
            min(self.least_weight, other.least_weight),
            max(self.most_weight, other.most_weight),
            max(self.largest, other.largest),
            tuple(targets),
            self.keeps_targets and other.keeps_targets and keeps,
            first.head,
        )


@dataclass(frozen=True)
class Tally:
    """What the rows of some parts add to a score."""

    sums: np.ndarray
    targets: tuple  #: a few targets and weights that stand for all, see `summary`

    @classmethod
    def of(cls, sums, y, weight):
        """That of the rows with these targets and weights."""
        return cls(sums, summary(y, weight)[:2])

    def merged(self, other):
        """That of the rows of both."""
        return Tally(self.sums + other.sums, _summary_of_both(self.targets, other.targets)[:2])


def _summary_of_both(a, b):
    return summary(*(np.concatenate(pair) for pair in zip(a, b, strict=True)))


def summary(y, weight):
    """A few targets and weights with the same weighted mean, the same mean square and the same range.

    Distinct values where they are few, and whether they are; else two for each of some parts of equal weight.
    """
    # several targets that vary are not sorted; of labels only the values themselves are targets
    if y.ndim > 1 and not ((y == 0) | (y == 1)).all():
        return *_about_the_mean(y.astype(float), weight), False
    values, index = np.unique(y, return_inverse=True, axis=0)
    index = index.ravel()
    if len(values) <= _DISTINCT or y.dtype.kind not in "buif":
        return values, np.bincount(index, weights=weight), True
    if y.ndim > 1:
        return *_about_the_mean(y.astype(float), weight), False
    order = np.argsort(y, kind="stable")
    ends = np.searchsorted(np.cumsum(weight[order]), np.linspace(0, weight.sum(), _DISTINCT // 4 + 1)[1:-1])
    pairs = [_two(y[part].astype(float), weight[part]) for part in np.split(order, np.unique(ends)) if len(part)]
    return *(np.concatenate(arrays) for arrays in zip(*pairs, strict=True)), False


def _two(y, weight):
    """Two targets of the same total weight, mean and mean square: the least, and one up to the largest."""
    total, least = weight.sum(), y.min()
    above = weight @ (y - least) / total
    if above == 0:
        return np.array([least]), np.array([total])
    variance = weight @ (y - least - above) ** 2 / total
    share = variance / (variance + above**2)
    return np.array([least, least + above + variance / above]), total * np.array([share, 1 - share])


def _about_the_mean(y, weight):
    """The means of several targets minus and plus their deviations."""
    total = weight.sum()
    mean = weight @ y / total
    deviation = np.sqrt(weight @ (y - mean) ** 2 / total)
    return np.stack([mean - deviation, mean + deviation]), np.full(2, 0.5 * total)
