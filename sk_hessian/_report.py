"""How results print: text and HTML from the same pairs and rows, numbers with the digits that a reader needs."""

import math
import re
from html import escape
from textwrap import fill

import numpy as np

#: characters of a line of a title or a header
_LINE = 88

#: significant digits of a standard error, and so the decimals of what it is the error of
_DIGITS = 3

#: a number is written with a power of ten where it is small and needs more decimals than these, or where it is large
_MOST_DECIMALS, _SMALL, _LARGE = 8, 1e-3, 1e9

#: numbers from here on have two decimals in a header, smaller ones six significant digits
_TWO_DECIMALS = 1e3

#: p-values below this are only said to be so
_LEAST_P = 1e-4

_NUMBER = re.compile(r"(?:< )?[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf)|-|")

#: spaces as wide as a digit and as a point, for HTML, which joins others
_WIDE, _NARROW = "\u2007", "\u2008"


class Report:
    """A result that prints as a title, pairs of a caption and what it says, a table, and a remark below it.

    A subclass gives those that it has. As a dataclass it has Python's numbers, so that these print plainly too.
    """

    def __post_init__(self):
        for name, value in list(vars(self).items()):
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())
            elif isinstance(value, tuple) and value and not hasattr(value, "_fields"):
                plain = tuple(part.item() if isinstance(part, np.generic) else part for part in value)
                object.__setattr__(self, name, plain)

    def _title(self):
        """What the result says in a sentence or more, or nothing."""
        return ""

    def _header(self):
        """Pairs of a caption and a text."""
        return []

    def _rows(self):
        """The table as text, headings first; empty where there is none."""
        return []

    def _remark(self):
        """What is said below the table, or nothing."""
        return ""

    def __repr__(self):
        """All of it, as a statistics package prints it."""
        header, table = self._header(), aligned(self._rows())
        widest = max((len(caption) for caption, _ in header), default=0)
        indent = " " * (widest + 2)
        lines = [fill(self._title(), _LINE)] if self._title() else []
        lines += [fill(text, _LINE, initial_indent=f"{c:{widest}}  ", subsequent_indent=indent) for c, text in header]
        rule = ["-" * max(map(len, table))] if lines and table else []
        return "\n".join([*lines, *rule, *table, *([self._remark()] if self._remark() else [])])

    __str__ = __repr__

    def _repr_html_(self):
        title, remark = (f"<p>{escape(text)}</p>" if text else "" for text in (self._title(), self._remark()))
        header = [f"<tr><th>{escape(caption)}</th><td>{escape(text)}</td></tr>" for caption, text in self._header()]
        tables = [f"<table>{''.join(part)}</table>" for part in (header, self._html_rows()) if part]
        return title + "".join(tables) + remark

    def _html_rows(self):
        first, *rows = _padded(self._rows()) or [()]
        if not first:
            return []
        lines = ["<tr>" + "".join(f"<th>{escape(text.strip())}</th>" for text in first) + "</tr>"]
        for name, *cells in rows:
            found = "".join(f'<td style="text-align: {side}">{text}</td>' for side, text in map(_html_cell, cells))
            lines.append(f"<tr><th>{escape(name.strip())}</th>{found}</tr>")
        return lines


def _html_cell(text):
    """The side that a padded cell is set to, and its text, with points below each other."""
    inner = text.strip()
    if not _NUMBER.fullmatch(inner):
        return "left", escape(inner)
    behind = len(text) - len(text.rstrip())
    has_point = "." in inner
    pad = _WIDE * behind if has_point or not behind else _NARROW + _WIDE * (behind - 1)
    return "right", escape(inner) + pad


def aligned(rows):
    """Lines of a table, headings first: numbers with their points below each other, words to the left."""
    return ["  ".join(row).rstrip() for row in _padded(rows)]


def _padded(rows):
    """The same rows, each column's cells of one width."""
    rows = [list(row) for row in rows]
    columns = [_padded_column(heading, cells, j) for j, (heading, *cells) in enumerate(zip(*rows, strict=True))]
    return list(zip(*columns, strict=True))


def _padded_column(heading, cells, position):
    if position == 0 or not all(map(_NUMBER.fullmatch, cells)):
        width = max(map(len, [heading, *cells]))
        return [text.ljust(width) for text in [heading, *cells]]
    parts = [text.partition(".") for text in cells]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    behind = max((len(point + decimals) for _, point, decimals in parts), default=0)
    texts = [whole.rjust(before) + (point + decimals).ljust(behind) for whole, point, decimals in parts]
    width = max(len(heading), before + behind)
    return [heading.rjust(width), *(text.rjust(width) for text in texts)]


def decimals_of(error, digits=_DIGITS):
    """Decimals with which a standard error has so many significant digits; None of one that is zero or no number.

    Below zero they say that the last digits before the point do not count either.
    """
    if not (math.isfinite(error) and error > 0):
        return None
    return digits - 1 - math.floor(math.log10(error))


def fixed(value, decimals):
    """A number with so many decimals, six significant digits for None; a dash for what is no number."""
    if math.isnan(value):
        return "-"
    if decimals is None or math.isinf(value):
        return f"{value:.6g}"
    if not value:
        return f"{value:.{min(max(decimals, 0), _MOST_DECIMALS)}f}"
    if (decimals > _MOST_DECIMALS and abs(value) < _SMALL) or abs(value) >= _LARGE:
        digits = min(max(decimals + math.floor(math.log10(abs(value))), 0), 15)
        return f"{value:.{digits}e}"
    return f"{value:.{min(max(decimals, 0), 15)}f}"


def column(values, digits=_DIGITS):
    """Numbers with as many decimals as show so many significant digits of the smallest, up to eight."""
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    decimals = min(max(decimals_of(min(sizes), digits), 0), _MOST_DECIMALS) if sizes else 0
    tiny = 10.0**-decimals if decimals == _MOST_DECIMALS else 0.0
    return [f"{value:.{digits - 1}e}" if 0 < abs(value) < tiny else fixed(value, decimals) for value in values]


def p_text(p):
    """A p-value: four decimals, or ``"< 0.0001"``."""
    return "-" if math.isnan(p) else f"{p:.4f}" if p >= _LEAST_P else f"< {_LEAST_P:.4f}"


def p_clause(p):
    """A p-value in a sentence, ``"p = 0.0123"`` or ``"p < 0.0001"``; of several targets one for each."""
    texts = [p_text(float(value)) for value in np.atleast_1d(p)]
    return ", ".join(f"p {text}" if text.startswith("<") else f"p = {text}" for text in texts)


def number_text(value):
    """A number of a header, or one for each target, as text; text stays as it is."""
    return value if isinstance(value, str) else ", ".join(_plain(float(number)) for number in np.atleast_1d(value))


def _plain(value):
    if value.is_integer() and abs(value) < _LARGE**2:
        return f"{value:.0f}"
    return f"{value:.2f}" if _TWO_DECIMALS <= abs(value) < _LARGE else f"{value:.6g}"


def vector_text(values):
    """The first numbers of a vector as text."""
    return np.array2string(np.asarray(values), precision=6, threshold=12, edgeitems=4, max_line_width=_LINE)
