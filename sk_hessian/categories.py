"""Columns of categories: which columns of a table are categories, and how a linear model has them.

A linear model finds columns of the type of a category by itself; `Categories` is for all else that may be said of them.
"""

from collections.abc import Mapping

from sklearn.base import BaseEstimator

__all__ = ["Categories"]


class Categories(BaseEstimator):
    """Which columns are categories, and how: for ``categorical_features`` of the linear models.

    Parameters
    ----------
    features : "from_dtype", array-like or None, default="from_dtype"
        The columns: those whose type is a category (pandas "category", polars Categorical and Enum), a mask, positions,
        or names. A column that is named may be of any type. None for none.
    drop : "auto", "first", None or dict, default="auto"
        The reference of each column, a level without a coefficient, from which the others differ: the first level, or
        none. A dict has a level, or None, for some columns; the others are "auto": no reference where there is a
        penalty, else the first level, because all levels and an intercept together have no unique coefficients. Without
        an intercept the first column keeps all its levels.
    handle_unknown : {"error", "ignore"}, default="error"
        What a prediction makes of a level, or of a pair of levels of an interaction, that the fit has not seen: an
        error, or nothing is added for it. That is the prediction for the reference, where there is one.
    missing : {"error", "level"}, default="error"
        Whether missing values are refused, or are one more level, the last, called "missing".
    interactions : sequence of pairs, default=()
        Pairs of columns, by name or position: of two categories, with a coefficient for each pair of levels that rows
        have, or of a category and a number, with a slope for each level. They are beside the columns themselves.
    levels : dict, default=None
        All levels of some columns, in order, where the rows of the fit may not have all of them: of streams, blocks and
        partitions. By default the levels that rows of the fit have; for `partial_fit` the categories of the column's
        type.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_hessian.categories import Categories
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X = pd.DataFrame({"site": pd.Categorical(["a", "b", "b", "c"]), "age": [1.0, 2.0, 3.0, 5.0]})
    >>> model = LinearRegression(categorical_features=Categories(drop={"site": "b"})).fit(X, [1.0, 5.0, 6.0, 3.0])
    >>> dict(zip(model.coef_names_, model.coef_.round(6).tolist()))
    {'age': 1.0, 'site[a]': -3.0, 'site[c]': -5.0}
    """

    def __init__(
        self,
        features="from_dtype",
        *,
        drop="auto",
        handle_unknown="error",
        missing="error",
        interactions=(),
        levels=None,
    ):
        self.features = features
        self.drop = drop
        self.handle_unknown = handle_unknown
        self.missing = missing
        self.interactions = interactions
        self.levels = levels

    def check(self):
        """Raise a ValueError that names the option and what it may be."""
        for name, allowed in (("handle_unknown", ("error", "ignore")), ("missing", ("error", "level"))):
            if getattr(self, name) not in allowed:
                options = " or ".join(map(repr, allowed))
                raise ValueError(f"Categories: {name} must be {options}, got {getattr(self, name)!r}")
        if not (self.drop is None or isinstance(self.drop, Mapping) or self.drop in ("auto", "first")):
            raise ValueError(
                'Categories: drop must be "auto", "first", None, or a dict from columns to levels, got '
                f"{self.drop!r}; for one level of one column use drop={{column: level}}"
            )
        if not (self.levels is None or isinstance(self.levels, Mapping)):
            raise ValueError(f"Categories: levels must be a dict from columns to lists of levels, got {self.levels!r}")

    def __sklearn_is_fitted__(self):
        return True
