"""What a user may say of a penalty: weights of columns, groups of them, a matrix; errors name the argument."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from numbers import Real

import numpy as np
from sklearn.utils import check_array

from sk_hessian._text import listed, suggestion

#: a weight in ``penalty_weights`` that the fit chooses
CHOSEN = "evidence"

#: entries of a penalty's matrix that differ by so little beside their sizes, and eigenvalues, are rounding
_NOT_SYMMETRIC = 1e-10
_NOT_DEFINITE = 1e-12


def check_penalty_weights(penalty_weights, n_features, names=None):
    """``penalty_weights`` as a float array (p,), ones for None; a dict, or a series of names, leaves others at one."""
    if penalty_weights is None:
        return np.ones(n_features)
    penalty_weights = _by_label(penalty_weights)
    if isinstance(penalty_weights, Mapping):
        penalty_weights = _by_column(penalty_weights, names)
    try:
        penalty_weights = np.atleast_1d(np.asarray(penalty_weights, dtype=float))
    except (TypeError, ValueError) as error:
        raise TypeError(
            "penalty_weights must be numbers, one for each column, or a dict from column names to numbers, got "
            f"{penalty_weights!r}"
        ) from error
    weights = check_array(penalty_weights, ensure_2d=False, dtype=np.float64, input_name="penalty_weights")
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
    M = check_array(penalty_matrix, accept_sparse=True, dtype=np.float64, input_name="penalty_matrix")
    M = M.toarray() if hasattr(M, "toarray") else M
    if M.shape != (n_features, n_features):
        raise ValueError(
            f"penalty_matrix must have a row and a column for each of the {n_features} features, got shape {M.shape}"
        )
    away = np.abs(M - M.T)
    unit = np.sqrt(np.abs(M.diagonal()))
    if (away > _NOT_SYMMETRIC * (np.abs(M) + np.abs(M.T) + np.outer(unit, unit))).any():
        i, j = np.unravel_index(np.argmax(away), M.shape)
        raise ValueError(
            f"penalty_matrix must be symmetric: entry [{i}, {j}] is {M[i, j]:.6g}, and [{j}, {i}] is {M[j, i]:.6g}"
        )
    M = 0.5 * (M + M.T)
    lowest = np.linalg.eigvalsh(M / np.outer(*[np.where(unit > 0, unit, 1.0)] * 2))[0] if len(M) else 0.0
    if lowest < -_NOT_DEFINITE * len(M):
        raise ValueError(
            "penalty_matrix must be positive semi-definite, so that no coefficients have a negative penalty: with its "
            f"diagonal scaled to one it has an eigenvalue of {lowest:.3g}"
        )
    return M


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


def _by_column(weights, names):
    """Weights by the names of columns, or patterns of them, as a list in the order of the columns; one for the others.

    A group whose weight the fit chooses has one too.
    """
    if names is None:
        raise ValueError(
            "penalty_weights is a dict, so that X must be a data frame with column names (strings), and this X has no "
            "names: pass a data frame, or an array with one weight for each column"
        )
    found = np.ones(len(names))
    for key, columns in _columns_of_keys(weights, list(names)).items():
        weight = weights[key]
        if isinstance(weight, str) and weight == CHOSEN:
            continue
        if isinstance(weight, (bool, np.bool_)) or not isinstance(weight, Real):
            raise TypeError(
                f'penalty_weights must be numbers, got {weight!r} for the column {key!r}; "{CHOSEN}" lets the fit '
                "choose one"
            )
        found[columns] = weight
    return found


def _columns_of_keys(weights, names):
    """The columns that each key of a dict means, positions: a name, or else a pattern such as "site_*"."""
    columns: dict = {}
    owner: dict = {}
    for key in weights:
        matching = [key] if key in names else [name for name in names if fnmatchcase(name, str(key))]
        if not matching:
            raise ValueError(
                f"penalty_weights names the column {key!r}, which X does not have.{suggestion(key, names)} "
                f"The columns are {listed(names, ', ')}"
            )
        # a name counts for more than a pattern
        columns[key] = [names.index(name) for name in matching if name == key or name not in weights]
        for column in columns[key]:
            if column in owner:
                raise ValueError(
                    f"penalty_weights: the column {names[column]!r} is in {owner[column]!r} and in {key!r}: give it a "
                    "weight of its own by its name, or leave it out of one of them"
                )
            owner[column] = key
    return columns


def chosen_groups(penalty_weights, names):
    """Which columns each group has whose weight the fit is to choose: key -> (n_features,) of bool."""
    if not has_chosen_groups(penalty_weights):
        return {}
    penalty_weights = _by_label(penalty_weights)
    columns = _columns_of_keys(penalty_weights, list(names))
    return {
        key: np.isin(np.arange(len(names)), columns[key])
        for key, weight in penalty_weights.items()
        if isinstance(weight, str) and columns[key]
    }


def has_chosen_groups(penalty_weights):
    """Whether the fit is to choose some of ``penalty_weights``."""
    if penalty_weights is None:
        return False
    weights = _by_label(penalty_weights)
    return isinstance(weights, Mapping) and any(isinstance(weight, str) for weight in weights.values())


def _by_label(weights):
    """A series by names as a dict: in another order than the columns' it would be taken by position."""
    if hasattr(weights, "iloc") and all(isinstance(label, str) for label in weights.index):
        return weights.to_dict()
    return weights
