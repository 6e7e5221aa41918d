"""What a user may say of a penalty: weights of columns, groups of them, a matrix; errors name the argument."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from sklearn.utils import check_array

from sk_hessian._forms import check_form
from sk_hessian._text import listed, named_by, suggestion
from sk_hessian.penalties import CHOSEN, GroupPenalty


@dataclass(frozen=True, eq=False)
class ColumnWeights:
    """``penalty_weights`` of each column.

    Attributes
    ----------
    values : ndarray of shape (n_features,)
        What multiplies the penalty of a column, or of the group that it belongs to.
    groups : list of tuple (columns, root)
        Positions of columns that a `GroupPenalty` holds together, and a root of its matrix without the weight.
    """

    values: np.ndarray
    groups: list

    def weighted(self, values):
        """The same with other values."""
        return replace(self, values=values)

    @property
    def strengths(self):
        """Of the squares of single coefficients, shape (n_features,): zero for columns that are held together."""
        strengths = self.values.copy()
        for columns, _ in self.groups:
            strengths[columns] = 0.0
        return strengths

    @property
    def root(self):
        """R (r, n_features) of all groups that are held together; None without one."""
        roots = []
        for columns, root in self.groups:
            weight = self.values[columns[0]]
            if weight > 0:
                roots.append(np.zeros((len(root), len(self.values))))
                roots[-1][:, columns] = np.sqrt(weight) * root
        return np.vstack(roots) if roots else None


def check_penalty_weights(penalty_weights, n_features, names=None):
    """``penalty_weights`` as `ColumnWeights`, ones for None; a dict, or a series of names, leaves others at one."""
    if penalty_weights is None:
        return ColumnWeights(np.ones(n_features), [])
    by_group = _by_group(penalty_weights, n_features)
    if by_group is not None:
        return _by_column(by_group, n_features, names)
    try:
        penalty_weights = np.atleast_1d(np.asarray(penalty_weights, dtype=float))
    except (TypeError, ValueError) as error:
        raise TypeError(
            "penalty_weights must be numbers, one for each column, or a dict from column names to numbers or "
            f"penalties, got {penalty_weights!r}"
        ) from error
    return ColumnWeights(_checked_values(penalty_weights, n_features), [])


def _checked_values(values, n_features):
    weights = check_array(values, ensure_2d=False, dtype=np.float64, input_name="penalty_weights")
    if weights.shape != (n_features,):
        raise ValueError(
            f"penalty_weights must have one entry for each of the {n_features} features, got shape {weights.shape}"
        )
    if (weights < 0).any():
        raise ValueError("penalty_weights must not be negative; zero leaves a feature without penalty")
    return weights


def check_penalty_matrix(penalty_matrix, n_features, names=None):
    """``penalty_matrix`` as a symmetric, positive semi-definite array (p, p), or None; a data frame by its names."""
    if penalty_matrix is None:
        return None
    if hasattr(penalty_matrix, "iloc"):
        penalty_matrix = _by_names(penalty_matrix, names)
    return check_form(penalty_matrix, "penalty_matrix", n_features, "features")


def _by_names(frame, names):
    """A data frame with rows and columns in the order of the names."""
    if names is None:
        raise ValueError(
            "penalty_matrix is a data frame, so that X must be one with column names (strings), and this X has no "
            "names: pass X as a data frame, or penalty_matrix as an array in the order of X's columns"
        )
    for labels, what in ((frame.index, "row"), (frame.columns, "column")):
        if labels.has_duplicates:
            raise ValueError(f"penalty_matrix: {what} name {labels[labels.duplicated()][0]!r} is there twice")
        missing, more = [name for name in names if name not in labels], [str(one) for one in labels.difference(names)]
        if missing or more:
            wrong = f"lacks {listed(missing)}" if missing else f"has {listed(more)}, which X lacks"
            raise ValueError(f"penalty_matrix must have a {what} for each column of X, by its name: it {wrong}")
    return frame.loc[list(names), list(names)].to_numpy()


def _by_column(weights, n_features, names):
    """`ColumnWeights` from a dict of groups of columns; one for the others, and for what the fit chooses."""
    values, groups = np.ones(n_features), []
    for key, columns in _columns_of_keys(weights, n_features, names).items():
        given = weights[key]
        if isinstance(given, GroupPenalty) and columns:
            groups.append((columns, _root_of(key, given, len(columns))))
        weight = _weight(given)
        if isinstance(weight, str) and weight == CHOSEN:
            continue
        if isinstance(weight, (bool, np.bool_)) or not isinstance(weight, Real):
            raise TypeError(
                f'penalty_weights must be numbers, got {weight!r} for the column {key!r}; "{CHOSEN}" lets the fit '
                "choose one, and sk_hessian.penalties has penalties of groups"
            )
        values[columns] = weight
    return ColumnWeights(_checked_values(values, n_features), groups)


def _weight(given):
    """What a value of the dict multiplies its columns' penalty with."""
    return given.weight if isinstance(given, GroupPenalty) else given


def _root_of(key, penalty, n_columns):
    """The root of a `GroupPenalty`; an error names the group."""
    try:
        return penalty.root(n_columns)
    except ValueError as error:
        raise ValueError(f"penalty_weights, columns {key!r}: {error}") from error


def _columns_of_keys(weights, n_features, names):
    """The columns that each key of a dict means, positions: names or positions, or else a pattern such as "site_*"."""
    names = None if names is None else list(names)
    said = {key: _said(key, n_features, names) for key in weights}
    explicit = {column for columns in said.values() for column in columns or ()}
    columns: dict = {}
    owner: dict = {}
    for key, exact in said.items():
        # a name counts for more than a pattern
        columns[key] = _matching(key, names, explicit) if exact is None else exact
        for column in columns[key]:
            if column in owner:
                what = f"column {column}" if names is None else f"column {names[column]!r}"
                raise ValueError(
                    f"penalty_weights: the {what} is in {owner[column]!r} and in {key!r}: give it a "
                    "weight of its own by its name, or leave it out of one of them"
                )
            owner[column] = key
    return columns


def _said(key, n_features, names):
    """The columns that a key says by name or position; None for a pattern."""
    parts = key if isinstance(key, (tuple, range)) else (key,)
    if names is None and any(isinstance(part, str) for part in parts):
        raise ValueError(
            "penalty_weights is a dict, so that X must be a data frame with column names (strings), and this X has no "
            "names: pass a data frame, an array with one weight for each column, or a dict with positions of columns, "
            "such as {range(0, 5): 2.0}"
        )
    if isinstance(key, str) and key not in names:
        return None
    return [_position(part, key, n_features, names) for part in parts]


def _position(part, key, n_features, names):
    """The position of one column that a key says: by its name, where the columns have names, or in a range."""
    if isinstance(part, str):
        if part not in names:
            raise _unknown(part, names)
        return names.index(part)
    if names is not None and not isinstance(key, range):
        raise _unknown(part, names)
    if isinstance(part, (bool, np.bool_)) or not isinstance(part, (int, np.integer)):
        raise TypeError(
            f"penalty_weights: a key must be a name or a position of a column, a pattern of names, or a tuple or range "
            f"of columns, got {key!r}"
        )
    if not 0 <= part < n_features:
        raise ValueError(f"penalty_weights names column {part}, and X has the columns 0 to {n_features - 1}")
    return int(part)


def _matching(pattern, names, explicit):
    """The columns of a pattern that no other key says."""
    matching = named_by(pattern, names)
    if not matching:
        raise _unknown(pattern, names)
    return [column for column in matching if column not in explicit]


def _unknown(name, names):
    return ValueError(
        f"penalty_weights names the column {name!r}, which X does not have.{suggestion(name, names)} "
        f"The columns are {listed(names, ', ')}"
    )


def unpenalised(penalty_weights):
    """The keys of a dict whose columns have no penalty."""
    by_group = None if penalty_weights is None else _by_group(penalty_weights, 0)
    return [key for key, weight in (by_group or {}).items() if isinstance(weight, Real) and weight == 0]


def chosen_groups(penalty_weights, n_features, names=None):
    """Which columns each group has whose weight the fit is to choose: key -> (n_features,) of bool."""
    if not has_chosen_groups(penalty_weights):
        return {}
    by_group = _by_group(penalty_weights, n_features)
    columns = _columns_of_keys(by_group, n_features, names)
    return {
        key: np.isin(np.arange(n_features), columns[key])
        for key, given in by_group.items()
        if isinstance(_weight(given), str) and columns[key]
    }


def has_chosen_groups(penalty_weights):
    """Whether the fit is to choose some of ``penalty_weights``."""
    by_group = None if penalty_weights is None else _by_group(penalty_weights, 0)
    return by_group is not None and any(isinstance(_weight(given), str) for given in by_group.values())


def _by_group(weights, n_features):
    """``penalty_weights`` as a dict of groups of columns, None where they are one for each column.

    A series by names is a dict: in another order than the columns' it would be taken by position.
    """
    if isinstance(weights, GroupPenalty):
        return {range(n_features): weights}
    if hasattr(weights, "iloc") and all(isinstance(label, str) for label in weights.index):
        return weights.to_dict()
    return weights if isinstance(weights, Mapping) else None
