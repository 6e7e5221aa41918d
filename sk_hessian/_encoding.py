"""A table whose columns are numbers and categories, as a linear model has it.

A coefficient belongs to each number and to each level, and codes stand in place of columns of zeros and ones.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_X_y

from sk_hessian import _frames
from sk_hessian._text import listed
from sk_hessian.objectives import CodeTable, Layout

#: what a missing value is called among the levels
MISSING = "missing"

#: options of scikit-learn's checks of X
FLOAT_ROWS: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}


def _label(value):
    """What a level is called."""
    if value is None:
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True)
class Factor:
    """A column of categories, as a fit has learned it."""

    position: int  #: in X
    name: str
    levels: tuple  #: their values in order; None for missing values
    reference: int | None  #: the number of the level that has no coefficient

    @cached_property
    def numbers(self):
        """The number of each level, by its value."""
        return {level: number for number, level in enumerate(self.levels)}

    @cached_property
    def own(self):
        """The column of each level among those of the factor, and their number for a level without, (n_levels + 1,).

        The last entry is that of a level that is not known.
        """
        has = np.arange(len(self.levels)) != self.reference
        return np.append(np.where(has, np.cumsum(has) - 1, has.sum()), has.sum()).astype(np.int32)

    @property
    def without(self):
        """The number of the level without a coefficient, -1 where there is none."""
        return -1 if self.reference is None else self.reference

    @property
    def labels(self):
        """What the levels with a coefficient are called."""
        return [f"{self.name}[{_label(level)}]" for i, level in enumerate(self.levels) if i != self.reference]

    def levels_of(self, X, options, counted=None):
        """The number of the level of each code of a column of X, and the codes, -1 for the last: of missing values.

        It is the number of levels for one that is not known, which is an error in rows that are ``counted``.
        """
        codes, values = _frames.coded(_frames.column_of(X, self.position))
        known = np.array([self.numbers.get(value, len(self.levels)) for value in [*values, None]], dtype=np.intp)
        strange = known == len(self.levels)
        if strange[:-1].any() or (strange[-1] and codes.min(initial=0) < 0):
            self._check(values, codes if counted is None else codes[counted], np.flatnonzero(strange), options)
        return known, codes

    def _check(self, values, codes, strange, options):
        """Raise for missing values, and for levels that the fit has not seen, where these are not ignored."""
        if None not in self.numbers:
            check_missing(self.name, codes, options)
        counts = np.bincount(np.where(codes < 0, len(values), codes), minlength=len(values) + 1)
        levels = [[*values, None][code] for code in strange if counts[code]]
        if options.handle_unknown == "ignore" or not levels:
            return
        shown = [MISSING if level is None else repr(level) for level in levels]
        kinds, others = (
            {type(level).__name__ for level in some if level is not None} for some in (self.levels, levels)
        )
        text = ""
        if others - kinds:
            text = f"; these are of type {', '.join(sorted(others))}, those of the fit {', '.join(sorted(kinds))}"
        raise ValueError(
            f"X: column {self.name!r} has levels that the fit has not seen: {listed(shown, ', ')}, in "
            f"{counts[strange].sum()} rows{text}. Drop these rows, or fit with "
            'categorical_features=Categories(handle_unknown="ignore"), which adds nothing for them'
        )


def check_missing(name, codes, options):
    """Raise for missing values, unless they are a level."""
    if options.missing == "error" and codes.min(initial=0) < 0:
        count = np.count_nonzero(codes < 0)
        noun = "value" if count == 1 else "values"
        raise ValueError(
            f"X: column {name!r} has {count} missing {noun}: drop or fill these rows, or make them a level with "
            'categorical_features=Categories(missing="level")'
        )


@dataclass(frozen=True)
class Crossing:
    """An interaction of two factors: a column for each pair of levels that rows of the fit have."""

    first: int  #: numbers of the factors
    second: int
    pairs: np.ndarray  #: ascending, of levels that both have a coefficient: level of first * levels of second + other

    def numbers_of(self, factors, levels):
        """The pair of each row, from the numbers of the levels of each factor; -1 where a level is not known."""
        n_first, n_second = (len(factors[i].levels) for i in (self.first, self.second))
        first, second = levels[self.first], levels[self.second]
        return np.where((first < n_first) & (second < n_second), first * n_second + second, -1)

    def codes(self, factors, levels, options, counted):
        """The column of each row's pair among those of the crossing, and their number for a row without."""
        numbers, n = self.numbers_of(factors, levels), len(self.pairs)
        found = np.searchsorted(self.pairs, numbers)
        is_pair = self.pairs[np.minimum(found, n - 1)] == numbers if n else np.zeros(len(numbers), dtype=bool)
        if options.handle_unknown == "error":
            self._check(factors, *(of_row if counted is None else of_row[counted] for of_row in (numbers, is_pair)))
        return np.where(is_pair, found, n)

    def _check(self, factors, numbers, is_pair):
        """Raise for a pair that rows of the fit did not have."""
        first, second = factors[self.first], factors[self.second]
        a, b = np.divmod(numbers, len(second.levels))
        strange = np.flatnonzero(~is_pair & (numbers >= 0) & (a != first.without) & (b != second.without))
        if strange.size:
            a, b = first.levels[a[strange[0]]], second.levels[b[strange[0]]]
            raise ValueError(
                f"X: the fit has seen no row with {first.name}={_label(a)} and {second.name}={_label(b)}, whose "
                f"interaction is a coefficient; {strange.size} rows have such pairs. Drop them, or fit with "
                'categorical_features=Categories(handle_unknown="ignore", ...), which adds nothing for them'
            )

    def labels(self, factors):
        """What the columns are called."""
        first, second = factors[self.first], factors[self.second]
        pairs = zip(*np.divmod(self.pairs, len(second.levels)), strict=True)
        return [f"{first.name}[{_label(first.levels[a])}]:{second.name}[{_label(second.levels[b])}]" for a, b in pairs]


@dataclass(frozen=True)
class Encoding:
    """What a fit has learned of columns of categories."""

    options: Any  #: `Categories`
    factors: tuple
    numbers: tuple  #: positions of the columns of numbers in X
    number_names: tuple
    slopes: tuple = ()  #: pairs of a factor and of a column of numbers, whose product has a slope for each level
    crossings: tuple = ()

    @cached_property
    def names(self):
        """What the coefficients are called: numbers, levels column by column, pairs of levels, and slopes."""
        names = list(self.number_names)
        for factor in self.factors:
            names += factor.labels
        for crossing in self.crossings:
            names += crossing.labels(self.factors)
        for i, j in self.slopes:
            names += [f"{label}:{self.number_names[j]}" for label in self.factors[i].labels]
        return np.array(names, dtype=object)

    @cached_property
    def layout(self):
        """See `Layout`."""
        own = [int(factor.own[-1]) for factor in self.factors]
        may_lack = [factor.reference is not None or self.options.handle_unknown == "ignore" for factor in self.factors]
        pairs = [len(crossing.pairs) for crossing in self.crossings]
        sizes = [*own, *pairs, *(own[i] for i, _ in self.slopes)]
        has_none = [*may_lack, *[True] * len(pairs), *(may_lack[i] for i, _ in self.slopes)]
        return Layout(sizes, has_none, len(self.slopes))

    @property
    def n_columns(self):
        """How many coefficients an output has."""
        return len(self.numbers) + self.layout.n_levels

    @property
    def categories(self):
        """The levels of each column, by its name."""
        return {factor.name: np.array(factor.levels, dtype=object) for factor in self.factors}

    @property
    def orders(self):
        """The names of the levels of each column in order, None for the reference; without missing values."""
        return {
            factor.name: [
                None if i == factor.reference else f"{factor.name}[{_label(level)}]"
                for i, level in enumerate(factor.levels)
                if level is not None
            ]
            for factor in self.factors
        }

    def table(self, X, y=None, is_new=False, counted=None, **checks):
        """The `CodeTable` of X and the checked y; numbers are checked as scikit-learn does.

        Where X is not that of the fit, it ``is_new``. Rows that are not ``counted``, (n,) of bool or None for all, may
        have levels that are not known: they are to be dropped.
        """
        numbers, y = _checked_numbers(X, list(self.numbers), is_new, y, checks)
        found = [factor.levels_of(X, self.options, counted) for factor in self.factors]
        codes = [
            factor.own[known].take(own, mode="wrap") for factor, (known, own) in zip(self.factors, found, strict=True)
        ]
        if self.crossings:
            levels = [known.take(own, mode="wrap") for known, own in found]
            codes += [crossing.codes(self.factors, levels, self.options, counted) for crossing in self.crossings]
        values = []
        for i, j in self.slopes:
            column = numbers[:, [j]]
            values.append(np.ravel(column.toarray() if hasattr(column, "toarray") else column).astype(float))
            codes.append(codes[i])
        return CodeTable.of(numbers, self.layout, codes, values), y


def _checked_numbers(X, positions, is_new, y, checks):
    """The columns of numbers, and y, by scikit-learn's checks."""
    X = _frames.columns_at(X, positions) if positions else np.empty((np.shape(X)[0], 0))
    with explaining(X, is_new):
        if y is None:
            return check_array(X, ensure_min_features=0, input_name="X", **FLOAT_ROWS, **checks), None
        return check_X_y(X, y, ensure_min_features=0, **FLOAT_ROWS, **checks)


@contextmanager
def explaining(X, is_new):
    """A context in which an error of scikit-learn's checks says what to do with columns that are no numbers.

    Where X ``is_new`` they were numbers in the fit.
    """
    try:
        yield
    except ValueError as error:
        raise _explained(X, error, is_new) from error


def _explained(X, error, is_new):
    names = _frames.names_of(X) or []
    text, categories = ([names[j] for j in find(X)] for find in (_frames.text_columns, _frames.category_columns))
    strange = [*text, *categories]
    if is_new and strange:
        return ValueError(
            f"X: {_columns(strange)} of numbers in the fit, and not here: convert {_them(strange)} to numbers, or fit "
            f"with {_them(strange)} as a category"
        )
    if not text:
        return error
    return ValueError(
        f"X: {_columns(text)} of text: make {_them(text)} a category, whose levels get coefficients, by\n"
        f"    {_frames.as_categories(X, text)}\n(or leave {_them(text)} out)"
    )


def _columns(names):
    several = len(names) > 1
    return f"column{'s' if several else ''} {listed(list(map(repr, names)), ', ')} {'are' if several else 'is'}"


def _them(names):
    return "them" if len(names) > 1 else "it"
