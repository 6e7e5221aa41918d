"""Tables as text, and as data frames."""

import math
from html import escape
from textwrap import fill
from typing import Any

import numpy as np

#: characters of a line of a header
_LINE = 88


class Report:
    """A result that prints as a table below a header: pairs of a caption and what it says."""

    def _header(self):
        """Pairs of a caption and a text."""
        return []

    def _rows(self):
        """The table as text, headings first."""
        raise NotImplementedError

    def __str__(self):
        """The header and the table, as a statistics package prints them."""
        header, table = self._header(), aligned(self._rows())
        widest = max((len(caption) for caption, _ in header), default=0)
        indent = " " * (widest + 2)
        lines = [fill(text, _LINE, initial_indent=f"{c:{widest}}  ", subsequent_indent=indent) for c, text in header]
        return "\n".join([*lines, *["-" * len(table[0])] * bool(header), *table])

    __repr__ = __str__

    def _repr_html_(self):
        header = [f"<tr><th>{escape(caption)}</th><td>{escape(text)}</td></tr>" for caption, text in self._header()]
        first, *rows = self._rows()
        table = ["<tr>" + "".join(f"<th>{text}</th>" for text in first) + "</tr>"]
        for name, *cells in rows:
            table.append(f"<tr><th>{escape(name)}</th>" + "".join(f"<td>{text}</td>" for text in cells) + "</tr>")
        return f"<table>{''.join(header)}</table><table>{''.join(table)}</table>"


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
        return self._cells_of(self.names)

    def _cells_of(self, names):
        """The first rows as text, as many as there are ``names``."""
        forms = {"std_error": ".4g", "statistic": ".3f", "p_value": ".3g"}
        columns = {name: np.ravel(getattr(self, name))[: len(names)] for name in self._columns}
        texts = [[_cell(value, forms.get(name, ".6g")) for value in column] for name, column in columns.items()]
        return zip(names, *texts, strict=True)


def number_text(value):
    """A number, or one for each target, as text."""
    return value if isinstance(value, str) else ", ".join(f"{number:.8g}" for number in np.atleast_1d(value))


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
