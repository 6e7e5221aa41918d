"""The strength of an estimator's penalty: a number, or the name of what is to choose one.

An estimator says which parameter it is, ``_strength_name``: "alpha", "C" for the inverse of a strength, "" for none;
and which of `CRITERIA` may choose it, ``_criteria``.
"""

from functools import partial

import numpy as np

from sk_hessian._penalties import check_penalty_weights, chosen_groups, has_chosen_groups
from sk_hessian._selection import MOST_FULL, choose, choose_decay, choose_groups, is_by_products, is_narrowed, path_of
from sk_hessian._text import listed
from sk_hessian._validation import check_number
from sk_hessian.penalties import CHOSEN
from sk_hessian.solvers import minimize

#: attributes of a choice, beside the parameter's own
_CHOSEN = ("penalty_path_", "penalty_weights_", "_penalty_units", "_choice_message")

#: how much looser fits on the way to a strength are
_LOOSER = 10

#: what may choose a strength
CRITERIA: tuple[str, ...] = ("evidence", "loo")


def check_strength(estimator, **limits):
    """Check the parameter: a number within ``limits`` of `check_number`, or what is to choose one."""
    name, criteria = estimator._strength_name, estimator._criteria
    value = getattr(estimator, name)
    if isinstance(value, str) and value in criteria:
        return
    names = " or ".join(map(repr, criteria))
    if isinstance(value, str) and value in CRITERIA:
        lacks = "a likelihood, which this loss does not have" if value == "evidence" else "a linear model"
        raise ValueError(f"{name}={value!r} needs {lacks}: use {names}, for one that the fit chooses, or a number")
    try:
        check_number(estimator, name, 0, **limits)
    except TypeError as error:
        raise TypeError(f"{error}; {names} lets the fit choose one") from None


def is_named(estimator):
    """Whether the parameter is what is to choose a strength."""
    return bool(estimator._strength_name) and isinstance(getattr(estimator, estimator._strength_name), str)


def chooses(estimator):
    """Whether fits are to choose a strength, of all columns or of groups of them."""
    return is_named(estimator) or has_chosen_groups(getattr(estimator, "penalty_weights", None))


def is_chosen(estimator):
    """Whether one has."""
    return not vars(estimator).keys().isdisjoint((f"{estimator._strength_name}_", "penalty_weights_"))


def given_strength(estimator):
    """The value of the parameter, or the one that a fit has chosen; 1.0 while it is choosing."""
    name = estimator._strength_name
    value = getattr(estimator, name)
    return vars(estimator).get(f"{name}_", 1.0) if isinstance(value, str) else value


def forget_strength(estimator):
    """Forget what a former fit has chosen."""
    for name in (f"{estimator._strength_name}_", *_CHOSEN):
        vars(estimator).pop(name, None)


def choose_linear(estimator, objective):
    """The objective of a linear model with the strength that is best, and a start for its fit; it sets the attributes.

    The fits on the way are those of the solver "auto".
    """
    solve = partial(minimize, tol=estimator.tol, max_iter=estimator.max_iter)
    if has_chosen_groups(getattr(estimator, "penalty_weights", None)):
        return _choose_groups(estimator, objective, solve)
    _check_choosable(estimator, objective, _asked(estimator))
    choice = choose(objective, getattr(estimator, estimator._strength_name), solve, _LOOSER * estimator.tol)
    return objective.with_strength(_set_chosen(estimator, choice)), choice.theta


def _asked(estimator):
    """What the user asked for."""
    name = estimator._strength_name
    return f'{name}="{getattr(estimator, name)}"'


def _choose_groups(estimator, objective, solve):
    """The same where groups of columns have strengths of their own; with a named strength the others are a group."""
    name, p = estimator._strength_name, objective.n_features
    value, what = getattr(estimator, name), f'penalty_weights with "{CHOSEN}"'
    if value == "loo":
        raise ValueError(f'{what} needs {name}="{CHOSEN}" or a number, got {name}="loo"')
    if not is_named(estimator) and not objective.l2.chosen().is_present:
        raise ValueError(f'{what} needs a penalty to be weighted, got {name}={value!r}: use {name}="{CHOSEN}"')
    _check_choosable(estimator, objective, what, CHOSEN)
    given = estimator.penalty_weights, p, estimator._columns[0]
    groups = chosen_groups(*given)
    rest = ~np.any(list(groups.values()), axis=0) & (objective.l2.chosen().sizes > 0)
    has_rest = is_named(estimator) and bool(rest.any())
    choice = choose_groups(objective, [*groups.values(), *[rest] * has_rest], solve)
    common = choice.logs[-1] if has_rest else 0.0
    weights = check_penalty_weights(*given).values
    factor = np.where(rest, np.exp(common), 1.0)
    for group, log in zip(groups.values(), choice.logs, strict=False):
        weights[group], factor[group] = np.exp(log - common), np.exp(log)
    estimator.penalty_weights_ = weights
    if is_named(estimator):
        setattr(estimator, f"{name}_", float(np.exp(-common if name == "C" else common)))
    estimator._choice_message = _message_of_groups(list(groups), choice)
    return objective.with_strength(factor[:, None]), choice.theta


def _message_of_groups(keys, choice):
    """What a user should know of the strengths of groups."""
    meanings = {1: "strong end: no sign that what is penalised helps", -1: "weak end: no sign that a penalty helps"}
    said = []
    for end, meaning in meanings.items():
        at = [repr(key) for key, where in zip(keys, choice.at_end, strict=False) if where == end]
        if at:
            said.append(f"penalty_weights: the evidence has no maximum for {', '.join(at)}. They are at the {meaning}.")
    if choice.left_out:
        said.append(
            f"penalty_weights: {len(choice.left_out)} fits on the way could not be judged and were left out, the last "
            f"because of this: {choice.left_out[-1][1]}"
        )
    return " ".join(said)


def choose_network(estimator, objective, starts, generator):
    """The same for a network and weights in standardised units; the best of several starts has the most evidence."""
    estimator._penalty_units = objective.moments
    objective = objective.penalised_in(objective.moments)
    _check_choosable(estimator, objective, _asked(estimator))
    solve = partial(minimize, tol=estimator.tol, max_iter=estimator.max_iter, random_state=generator)
    choices = [choose_decay(objective, start, solve) for start in starts]
    choice = max(choices, key=lambda choice: choice.seen.score.max())
    return objective.with_strength(_set_chosen(estimator, choice)), choice.theta


def _set_chosen(estimator, choice):
    """Set the chosen value and its path; returns the strength as a factor of the objective's own."""
    name = estimator._strength_name
    path = path_of(choice, name, getattr(estimator, name))
    setattr(estimator, f"{name}_", path.value)
    estimator.penalty_path_, estimator._choice_message = path, path.message
    return float(np.exp(choice.log_strength))


def _check_choosable(estimator, objective, what, criterion=None):
    """Refuse what cannot be judged, before any fit; ``what`` was asked for."""
    name = estimator._strength_name
    criterion = criterion or getattr(estimator, name)
    if not objective.l2.chosen().is_present:
        raise ValueError(f"{what} has nothing to choose: penalty_weights are all zero, so that there is no penalty")
    if criterion == "loo" and not objective.rows.in_memory:
        instead = f'use {name}="evidence", or ' if "evidence" in estimator._criteria else ""
        raise ValueError(f"{what} needs X in memory, and here it comes in parts: {instead}give {name} a number")
    if objective.n_rows < 2:
        raise ValueError(f"{what} needs at least two rows of positive weight: n_samples = {objective.n_rows}")
    _check_size(estimator, objective, what, criterion)
    if criterion == "evidence":
        _check_likelihood(estimator, objective, what)
        _check_determined(objective, what)
    else:
        _check_classes(estimator, objective, what)


def _check_determined(objective, what):
    """Refuse coefficients that neither the rows nor matrices of a penalty determine: the evidence has no value then.

    Columns with a strength each are all determined, and what other columns lack shows in their posterior.
    """
    if not objective.l2.has_matrix:
        return
    objective.determine(objective.at(objective.start()), None)
    flat = objective.flat_directions()
    if flat:
        raise ValueError(
            f"{what}: neither the rows nor the penalty determine every coefficient, so that there is no evidence: "
            f"{listed(flat)}. Drop such a column (dropped= tells a penalty of sk_hessian.penalties so), or penalise it"
        )


def _check_size(estimator, objective, what, criterion):
    """Refuse what needs too large a matrix."""
    if not objective.model.is_linear or is_by_products(objective, criterion):
        return
    narrow = criterion == "evidence" or is_narrowed(objective) or objective.rows.is_array
    size = min(objective.n_features, objective.n_rows if narrow else np.inf) * objective.loss.n_outputs
    if size <= MOST_FULL:
        return
    name = estimator._strength_name
    goes = criterion != "loo" and "loo" in estimator._criteria and is_by_products(objective, "loo")
    instead = f'use {name}="loo", which needs none, or give' if goes else "give"
    raise ValueError(
        f"{what} needs a matrix of {size} columns, as many as rows or features (times outputs); {MOST_FULL} are the "
        f"most: {instead} {name} a number, or use fewer columns"
    )


def _check_likelihood(estimator, objective, what):
    """Refuse what has no evidence."""
    name = estimator._strength_name
    instead = f'use {name}="loo", or a number' if "loo" in estimator._criteria else f"give {name} a number"
    if not objective.loss.family.has_likelihood:
        raise ValueError(f"{what} needs a likelihood, which this loss does not have: {instead}")
    if getattr(estimator, "class_weight", None) is not None:
        raise ValueError(
            f"{what} needs a likelihood, and class_weight leaves only a pseudo-likelihood: {instead}, or "
            "class_weight=None"
        )


def _check_classes(estimator, objective, what):
    """Refuse a class of one row: the fit without it does not know the class."""
    if not hasattr(estimator, "classes_"):
        return
    counts = np.bincount(objective.rows.y.astype(np.intp), minlength=len(estimator.classes_))
    if (counts < 2).any():
        label = estimator.classes_.tolist()[np.argmin(counts)]
        raise ValueError(
            f"{what}: y has {counts.min()} rows of the class {label!r}, which must be two at least: each row is left "
            f'out once. Merge the class, or use {estimator._strength_name}="evidence" or a number'
        )
