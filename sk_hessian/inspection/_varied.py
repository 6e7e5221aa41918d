"""Rows in which one column takes given values, and the others are held or left as they are."""

from typing import Any

import numpy as np
from scipy import sparse

from sk_hessian._text import listed, suggestion

#: values between the least and the largest one
_POINTS = 50

#: of a column with at most so many different values these are taken themselves
_FEW = 10


class VariedColumn:
    """A ``feature`` of rows X (a data frame, an array or a sparse matrix) of weights (n,), and its ``points``.

    A column of a data frame that has no numbers is a category, and so is one of True and False.
    """

    def __init__(self, X, feature, weight, points=None):
        self.is_frame = hasattr(X, "iloc")
        self.X: Any = X if self.is_frame or sparse.issparse(X) else np.asarray(X)
        self.weight, self.feature = weight, self._known(feature)
        self.name = str(feature) if self.is_frame else f"x{self.feature}"
        self.is_category = self.is_frame and not _is_number(X[feature])
        self.points = self._usual_points() if points is None else self._checked(points)

    def _known(self, feature):
        """The feature, refused where X has no such column."""
        if self.is_frame:
            names = list(self.X.columns)
            if feature in names:
                return feature
            raise ValueError(
                f"feature must be a column of X, got {feature!r}.{suggestion(feature, map(str, names))} The columns "
                f"are {listed(names, ', ')}"
            )
        n = self.X.shape[1]
        if isinstance(feature, bool) or not isinstance(feature, int | np.integer) or not -n <= feature < n:
            raise ValueError(f"feature must be the number of a column of X, from 0 to {n - 1}, got {feature!r}")
        return int(feature) % n

    def _usual_points(self):
        values = self._values()
        if self.is_category:
            return np.array(sorted(set(values), key=str))
        present = np.unique(values[np.isfinite(values)])
        if not present.size:
            raise ValueError(f"feature {self.name} has no finite value in rows of positive weight: give points")
        return present if len(present) <= _FEW else np.linspace(present[0], present[-1], _POINTS)

    def _values(self):
        """Those of the feature in rows of positive weight, missing categories left out."""
        rows = np.flatnonzero(self.weight > 0)
        if self.is_frame:
            column = self.X[self.feature].iloc[rows]
            return column.dropna().to_numpy() if self.is_category else column.to_numpy(dtype=float)
        column = self.X[:, [self.feature]]
        return (column.toarray() if sparse.issparse(column) else column)[rows, 0].astype(float)

    def _checked(self, points):
        points = np.asarray(points)
        is_finite = points.dtype.kind not in "iuf" or np.isfinite(points).all()
        if points.ndim != 1 or not points.size or not is_finite:
            raise ValueError(f"points must be a sequence of values of {self.name}, got {points!r}")
        if not self.is_category and points.dtype.kind not in "iufb":
            raise ValueError(f"points must be numbers, because {self.name} has numbers, got {points[0]!r}")
        return points

    def held(self):
        """A row for each point, the other columns at their weighted means, categories at the most frequent one."""
        n, weight = len(self.points), self.weight / self.weight.sum()
        if not self.is_frame:
            means = np.asarray(_means(self.X, weight)).reshape(1, -1)
            rows = np.repeat(means, n, axis=0)
            rows[:, self.feature] = self.points
            return rows
        import pandas as pd

        columns = {}
        for name in self.X.columns:
            column = self.X[name]
            if name == self.feature:
                columns[name] = pd.Series(self.points, dtype=column.dtype if self.is_category else float)
            elif _is_number(column):
                columns[name] = pd.Series(np.full(n, _means(column.to_numpy(dtype=float), weight)))
            else:
                shares = pd.Series(weight).groupby(column.astype(object).to_numpy()).sum()
                columns[name] = pd.Series([shares.idxmax()] * n, dtype=column.dtype)
        return pd.DataFrame(columns)

    def all_rows(self, point):
        """All rows of X with the feature at one of the points, the other columns as they are."""
        if self.is_frame:
            rows = self.X.copy()
            dtype = rows[self.feature].dtype if self.is_category else float
            rows[self.feature] = type(rows[self.feature])([point] * len(rows), index=rows.index, dtype=dtype)
            return rows
        if not sparse.issparse(self.X):
            rows = self.X.astype(np.result_type(self.X, np.float32), copy=True)
            rows[:, self.feature] = point
            return rows
        n, p = self.X.shape
        others = sparse.diags_array((np.arange(p) != self.feature).astype(float))
        column = (np.full(n, float(point)), (np.arange(n), np.full(n, self.feature)))
        return sparse.csr_array(self.X @ others + sparse.coo_array(column, shape=(n, p)))


def _means(X, weight):
    """Weighted means of columns; entries that are missing, which a pipeline may fill in, do not count."""
    if sparse.issparse(X) or np.isfinite(X).all():
        return weight @ X
    there = np.isfinite(X)
    return weight @ np.where(there, X, 0.0) / (weight @ there)


def _is_number(column):
    """Whether a column of a data frame has numbers, and not only True and False."""
    kind = getattr(column.dtype, "kind", "O")
    return kind in "iuf"
