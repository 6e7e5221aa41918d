"""What a fit learns of columns of categories: their levels, references and interactions, an `Encoding`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sk_hessian import _frames
from sk_hessian._encoding import Crossing, Encoding, Factor, check_missing
from sk_hessian._penalties import unpenalised
from sk_hessian._text import listed, suggestion
from sk_hessian.categories import Categories

#: what finds the columns by their types
FROM_DTYPE = "from_dtype"


def options_of(categorical_features):
    """The `Categories` that a parameter stands for."""
    if isinstance(categorical_features, Categories):
        categorical_features.check()
        return categorical_features
    if isinstance(categorical_features, type) and issubclass(categorical_features, Categories):
        raise TypeError("categorical_features must be an object: use Categories() in place of Categories")
    return Categories(categorical_features)


def counted_rows(weight, X):
    """Which rows of X count, (n,) of bool: those of positive weight; None where no weight is known to be zero."""
    weight = np.asarray(weight)
    is_one_each = weight.ndim == 1 and weight.dtype.kind in "biuf" and len(weight) == getattr(X, "shape", (0,))[0]
    return weight > 0 if is_one_each else None


def encoding_of(estimator, X, weight=None, *, reset):
    """The `Encoding` of the rows X, None where no column is a category; with ``reset`` it is learned from them.

    Rows of weight zero teach nothing.
    """
    fitted = vars(estimator)
    if not reset:
        return fitted.get("encoding_")
    fitted.pop("encoding_", None)
    options = options_of(getattr(estimator, "categorical_features", None))
    positions = columns_of_categories(X, options)
    if not positions:
        return None
    return learned(estimator, Seen.of(options, X, positions, counted_rows(weight, X)))


def seen_of(options, X):
    """What the rows of X show, a `Seen`; None where no column is a category."""
    positions = columns_of_categories(X, options)
    return Seen.of(options, X, positions) if positions else None


def learned(estimator, seen):
    """The `Encoding` of what rows have shown; the first rows of a stream teach the levels that a type has."""
    free = unpenalised(getattr(estimator, "penalty_weights", None)) if estimator._has_penalty else seen.names
    return seen.encoding(free, estimator.fit_intercept, declared="t_" in vars(estimator))


def columns_of_categories(X, options):
    """Positions of the columns of X that are categories."""
    features = options.features
    if features is None:
        return []
    if isinstance(features, str):
        if features != FROM_DTYPE:
            raise ValueError(
                f'categorical_features must be "{FROM_DTYPE}", a mask, positions or names of columns, Categories(...) '
                f"or None, got {features!r}"
            )
        return _frames.category_columns(X)
    features = np.asarray(features)
    if features.ndim != 1:
        raise ValueError(f"categorical_features must be 1-D, got shape {features.shape}")
    if features.dtype.kind == "b":
        if len(features) != np.shape(X)[1]:
            raise ValueError(
                f"categorical_features is a mask of {len(features)} entries, but X has {np.shape(X)[1]} columns"
            )
        return np.flatnonzero(features).tolist()
    positions = [_position(X, feature, "categorical_features") for feature in features.tolist()]
    if len(set(positions)) < len(positions):
        raise ValueError(f"categorical_features names a column twice: {features.tolist()}")
    return sorted(positions)


def _position(X, column, what):
    """The position of a column of X, a table or the names of its columns, by its name or position."""
    names, p = (X, len(X)) if isinstance(X, tuple) else (_frames.names_of(X), np.shape(X)[1])
    if isinstance(column, str) or (names is not None and column in names):
        if names is None:
            raise ValueError(f"{what}: {column!r} is a name, and X has none: pass positions, or X as a data frame")
        if column not in names:
            near = suggestion(column, map(str, names))
            raise ValueError(f"{what}: X has no column {column!r}.{near} The columns are {listed(names, ', ')}")
        return names.index(column)
    if isinstance(column, bool) or not isinstance(column, int) or not -p <= column < p:
        raise ValueError(f"{what} must have names or positions from 0 to {p - 1} of columns of X, got {column!r}")
    return column % p


@dataclass(frozen=True)
class Seen:
    """What rows show of columns of categories; that of the parts of a table is merged."""

    options: Categories
    names: tuple  #: of all columns of X
    positions: tuple  #: of the columns of categories
    levels: tuple  #: of each of these, the values that it may have, in order
    present: (
        tuple  #: of each, which of its levels rows have, and last whether some are missing; (n_levels + 1,) of bool
    )
    slopes: tuple  #: interactions of a category and of a column of numbers, by position
    crossed: tuple  #: interactions of two categories, as numbers among these
    pairs: tuple  #: of each, the pairs of levels that rows have: first * (levels of second + 1) + second

    @classmethod
    def of(cls, options, X, positions, counted=None):
        """That of a table; ``counted`` (n,) of bool are the rows that teach something, all for None."""
        names = _names(X)
        slopes, crossed = _interactions(options, X, positions, names)
        given = _by_position(options, "levels", X, positions)
        columns = [_of_column(options, X, j, names[j], given.get(j), counted) for j in positions]
        levels, codes = tuple(column[0] for column in columns), [column[1] for column in columns]
        present = tuple(
            np.bincount(found, minlength=len(own) + 1) > 0 for own, found in zip(levels, codes, strict=True)
        )
        pairs = tuple(np.unique(codes[i].astype(np.intp) * (len(levels[j]) + 1) + codes[j]) for i, j in crossed)
        return cls(options, names, tuple(positions), levels, present, slopes, crossed, pairs)

    def merged(self, other, which):
        """That of the rows of both; ``which`` they are, such as "blocks 0 and 1", is for errors."""
        for j, mine, others in zip(self.positions, self.levels, other.levels, strict=True):
            if mine != others:
                differing = sorted(set(mine) ^ set(others), key=str) or ["their order"]
                raise ValueError(
                    f"X: {which} do not have the same levels of {self.names[j]!r}: they differ in "
                    f"{listed(list(map(str, differing)), ', ')}. Give the column one type of category in all of them, "
                    f"or all levels by categorical_features=Categories(levels={{{self.names[j]!r}: [...]}})"
                )
        present = tuple(a | b for a, b in zip(self.present, other.present, strict=True))
        pairs = tuple(np.union1d(a, b) for a, b in zip(self.pairs, other.pairs, strict=True))
        return replace(self, present=present, pairs=pairs)

    def encoding(self, free, fit_intercept, declared=False):
        """What a fit learns.

        Parameters
        ----------
        free : collection of str
            The names of columns whose coefficients have no penalty.
        fit_intercept : bool
        declared : bool
            Whether levels that no row has count too; those of ``Categories(levels=...)`` always do.
        """
        drop = self._drop(free, fit_intercept)
        kept = [self._kept(number, declared) for number in range(len(self.positions))]
        factors = tuple(self._factor(j, np.flatnonzero(has), drop[j]) for j, has in enumerate(kept))
        numbers = tuple(j for j in range(len(self.names)) if j not in set(self.positions))
        slopes = tuple((self.positions.index(i), numbers.index(j)) for i, j in self.slopes)
        crossings = tuple(
            self._crossing(factors, kept, pair, pairs) for pair, pairs in zip(self.crossed, self.pairs, strict=True)
        )
        number_names = tuple(self.names[j] for j in numbers)
        encoding = Encoding(self.options, factors, numbers, number_names, slopes, crossings)
        names = encoding.names.tolist()
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise ValueError(f"X: two coefficients would be called {twice!r}: rename a column or a level")
        return encoding

    def _kept(self, number, declared):
        """Which levels of a column count, and last whether missing values are one."""
        present, j = self.present[number], self.positions[number]
        if declared or j in _by_position(self.options, "levels", self.names, self.positions):
            present = np.append(np.ones(len(present) - 1, dtype=bool), self.options.missing == "level")
        if not present.any():
            raise ValueError(f"X: column {self.names[j]!r} has no level")
        return present

    def _factor(self, number, kept, drop):
        """The `Factor` of a column with these levels."""
        name, values = self.names[self.positions[number]], (*self.levels[number], None)
        levels = tuple(values[i] for i in kept)
        reference = None if drop is None else 0
        if isinstance(drop, tuple):
            if drop[0] not in levels:
                near = suggestion(drop[0], map(str, levels))
                raise ValueError(
                    f"Categories: drop names the level {drop[0]!r} of {name!r}, which it does not have.{near} The "
                    f"levels are {listed(list(map(repr, levels)), ', ')}"
                )
            reference = levels.index(drop[0])
        return Factor(self.positions[number], name, levels, reference)

    def _drop(self, free, fit_intercept):
        """What is dropped of each column: "first", None, or (level,)."""
        drop = self.options.drop
        if drop in ("first", None):
            return [drop] * len(self.positions)
        found: list = ["first" if self.names[j] in free else None for j in self.positions]
        if not fit_intercept and "first" in found:
            # no column of ones depends on the levels of one column
            found[found.index("first")] = None
        for j, level in _by_position(self.options, "drop", self.names, self.positions).items():
            found[self.positions.index(j)] = None if level is None else (level,)
        return found

    @staticmethod
    def _crossing(factors, kept, pair, pairs):
        """The `Crossing` of two factors: the pairs of levels with coefficients that rows have."""
        first, second = (factors[i] for i in pair)
        a, b = np.divmod(pairs, len(kept[pair[1]]))
        # from numbers among all levels to numbers among those that count
        a, b = (np.cumsum(kept[i])[own] - 1 for i, own in zip(pair, (a, b), strict=True))
        has = (a != first.without) & (b != second.without)
        return Crossing(pair[0], pair[1], np.sort(a[has] * len(second.levels) + b[has]))


def _names(X):
    """The names of the columns, as text; they must be different."""
    given = _frames.names_of(X)
    names = tuple(f"x{j}" for j in range(np.shape(X)[1])) if given is None else tuple(map(str, given))
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"X has several columns of the name {listed(list(map(repr, twice)), ', ')}: rename them")
    return names


def _of_column(options, X, j, name, given, counted):
    """The levels that a column may have, and the code of each row, the number of levels where it is missing."""
    codes, values = _frames.coded(_frames.column_of(X, j))
    check_missing(name, codes if counted is None else codes[counted], options)
    if given is not None:
        number = {level: i for i, level in enumerate(given)}
        strange = [values[i] for i in np.unique(codes[codes >= 0]) if values[i] not in number]
        if strange or len(number) < len(given):
            wrong = f"lack {listed(list(map(repr, strange)), ', ')}, which rows have" if strange else "have one twice"
            raise ValueError(f"Categories: levels of {name!r} {wrong}")
        codes = np.array([*(number.get(value, 0) for value in values), -1], dtype=np.intp).take(codes)
        values = list(given)
    codes = codes if counted is None else codes[counted]
    return tuple(values), np.where(codes < 0, len(values), codes) if codes.min(initial=0) < 0 else codes


def _by_position(options, name, X, positions):
    """An option that is a dict, by the positions of the columns; X is a table, or the names of its columns."""
    given = getattr(options, name)
    found = {}
    for column, value in given.items() if isinstance(given, Mapping) else ():
        j = _position(X, column, f"Categories: {name}")
        if j not in positions:
            raise ValueError(f"Categories: {name} names the column {column!r}, which is no category")
        found[j] = value
    return found


def _interactions(options, X, positions, names):
    """Interactions as pairs of a category and a number, by position, and as pairs of categories, by their numbers."""
    slopes, crossed, seen = [], [], set()
    for pair in options.interactions:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"Categories: interactions must be pairs of columns, got {pair!r}")
        a, b = (_position(X, column, "Categories: interactions") for column in pair)
        are = [j in positions for j in (a, b)]
        if not any(are) or a == b or frozenset((a, b)) in seen:
            why = "are both numbers: add their product as a column" if not any(are) else "must be different pairs"
            raise ValueError(f"Categories: interactions: {names[a]!r} and {names[b]!r} {why}")
        seen.add(frozenset((a, b)))
        if all(are):
            crossed.append((positions.index(a), positions.index(b)))
        else:
            slopes.append((a, b) if are[0] else (b, a))
    return tuple(slopes), tuple(crossed)
