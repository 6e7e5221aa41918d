"""Tables as text, and as data frames."""

import math
from typing import Any


class ParameterTable:
    """A table with a row for each of ``names`` and a column for each of the attributes ``_columns``."""

    names: list
    _columns: tuple[str, ...]

    def to_frame(self) -> Any:
        """The table, one row for each parameter; needs pandas.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in self._columns}, index=self.names)

    def _cells(self):
        """The rows as text, a dash for what is no number."""
        forms = {"std_error": ".4g", "statistic": ".3f", "p_value": ".3g"}
        columns = [[_cell(value, forms.get(name, ".6g")) for value in getattr(self, name)] for name in self._columns]
        return zip(self.names, *columns, strict=True)


def _cell(value, form):
    return "-" if math.isnan(value) else format(value, form)


def aligned(rows):
    """Lines of a table, headings first: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        right = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]))
    return lines


def interval_headings(level):
    """What the ends of an interval are called, such as ``["2.5%", "97.5%"]``."""
    return [f"{50 * (1 - level):.4g}%", f"{50 * (1 + level):.4g}%"]
