"""Tables of parameters, as rows of text and as data frames."""

from typing import Any, ClassVar

import numpy as np

from sk_hessian._report import decimals_of, fixed, number_text, p_text

#: columns that are in the units of the standard error
_OF_THE_ERROR = ("estimate", "effect", "std_error", "lower", "upper")


class ParameterTable:
    """A table with a row for each of ``names`` and a column for each of the attributes ``_columns``.

    Estimates and limits have as many decimals as show three digits of their standard error. ``_decimals`` are those of
    other columns, for which there is none.
    """

    names: list
    _columns: tuple[str, ...]
    _decimals: ClassVar[dict[str, int]] = {"statistic": 3, "df": 1}

    @property
    def _shown_columns(self):
        return self._columns

    def to_frame(self) -> Any:
        """The table, one row for each parameter; needs pandas.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in self._shown_columns}, index=self.names)

    def _cells(self):
        """The rows as text, a dash for what is no number."""
        return self._cells_of(self.names)

    def _cells_of(self, names):
        """The first rows as text, as many as there are ``names``."""
        values = {column: np.ravel(getattr(self, column))[: len(names)].tolist() for column in self._shown_columns}
        errors = values.get("std_error", [0.0] * len(names))
        for i, (name, error) in enumerate(zip(names, errors, strict=True)):
            yield [name, *(self._cell(column, values[column][i], error) for column in self._shown_columns)]

    def _cell(self, column, value, error):
        """A number of a row with this standard error, as text."""
        if column == "p_value":
            return p_text(value)
        if column == "df" and not np.mod(vars(self)["df"], 1).any():
            return number_text(value)
        if column in _OF_THE_ERROR:
            return fixed(value, decimals_of(error))
        if column in self._decimals or np.isnan(value):
            return fixed(value, self._decimals.get(column))
        return number_text(value)


def without_tests(rows, p_values):
    """A table without the columns of tests, the fourth and fifth, where there are no p-values."""
    return [(*row[:3], *row[5:]) for row in rows] if np.isnan(p_values).all() else rows


def distribution_text(df):
    """What intervals with so many degrees of freedom are of, one for each target: ``"normal"``, or t."""
    df = np.atleast_1d(df)
    return "normal" if np.isinf(df).all() else f"t with df = {number_text(np.array(list(dict.fromkeys(df))))}"


def interval_headings(level):
    """What the ends of an interval are called, such as ``["2.5%", "97.5%"]``."""
    return [f"{50 * (1 - level):.4g}%", f"{50 * (1 + level):.4g}%"]
