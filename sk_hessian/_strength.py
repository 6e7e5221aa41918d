"""The strength of an estimator's penalty: a number, or the name of what is to choose one."""

import numpy as np

from sk_hessian._validation import check_number
from sk_hessian.selection import MOST_FULL, choose, path_of

#: what may choose a strength
CRITERIA = ("evidence", "loo")


class ChosenStrength:
    """What an estimator knows of a strength that its fits may choose; a subclass has the parameter and `_objective`."""

    #: the parameter; "C" is the inverse of a strength, "" is none
    _strength_name = "alpha"

    #: which of `CRITERIA` it takes
    _criteria = CRITERIA

    def _check_strength(self, **limits):
        """Check the parameter: a number within ``limits`` of `check_number`, or what is to choose one."""
        name = self._strength_name
        value = getattr(self, name)
        if not isinstance(value, str):
            check_number(self, name, 0, **limits)
        elif value not in self._criteria:
            names = " or ".join(map(repr, self._criteria))
            why = " (evidence needs a likelihood, which this loss does not have)" if value in CRITERIA else ""
            raise ValueError(f"{name} must be a number, or {names}, which choose one, got {value!r}{why}")

    @property
    def _chooses(self):
        """Whether the fit is to choose the strength."""
        return bool(self._strength_name) and isinstance(getattr(self, self._strength_name), str)

    def _given_strength(self):
        """The value of the parameter, or the one that the fit has chosen; 1.0 while it is choosing."""
        value = getattr(self, self._strength_name)
        return vars(self).get(f"{self._strength_name}_", 1.0) if isinstance(value, str) else value

    def _forget_strength(self):
        """Forget what a former fit has chosen."""
        for name in (f"{self._strength_name}_", "penalty_path_", "_penalty_units"):
            self.__dict__.pop(name, None)

    def _set_chosen(self, choice):
        """Set the chosen value and its path; returns the strength as a factor of the objective's own."""
        name = self._strength_name
        path = path_of(choice, name, getattr(self, name))
        setattr(self, f"{name}_", path.value)
        self.penalty_path_ = path
        return float(np.exp(choice.log_strength))

    def _choose_linear(self, objective, solve):
        """The objective of a linear model with the strength that is best, and a start for its fit."""
        name = self._strength_name
        criterion = getattr(self, name)
        self._check_choosable(objective, f"{name}={criterion!r}")
        choice = choose(objective, criterion, solve)
        return objective.with_strength(self._set_chosen(choice)), choice.theta

    def _check_choosable(self, objective, what):
        """Refuse what cannot be judged, before any fit."""
        criterion, name = getattr(self, self._strength_name), self._strength_name
        if not objective.l2.of_strengths.is_present:
            raise ValueError(f"{what} has nothing to choose: penalty_weights are all zero, so that there is no penalty")
        if not objective.rows.in_memory:
            raise ValueError(f"{what} needs X in memory, and here it comes in parts: give {name} a number")
        size = min(objective.n_rows, objective.n_features) * objective.loss.n_outputs
        if size > MOST_FULL and objective.model.is_linear:
            raise ValueError(
                f"{what} needs a matrix of {size} columns, as many as rows or features (times outputs); {MOST_FULL} "
                f"are the most. Give {name} a number, or use fewer columns"
            )
        if criterion == "evidence":
            self._check_likelihood(objective, what)
        elif objective.n_rows < 2:
            raise ValueError(f"{what} needs at least two rows, to leave one out: n_samples = {objective.n_rows}")

    def _check_likelihood(self, objective, what):
        name, family = self._strength_name, objective.loss.family
        instead = f'use {name}="loo", or a number' if "loo" in self._criteria else f"give {name} a number"
        if not family.has_likelihood:
            raise ValueError(f"{what} needs a likelihood, which this loss does not have: {instead}")
        if getattr(self, "class_weight", None) is not None:
            raise ValueError(
                f"{what} needs a likelihood, and class_weight leaves only a pseudo-likelihood: {instead}, or "
                "class_weight=None"
            )


def require_strength(estimator):
    """Raise where a stream would have to choose a strength: for `available_if`."""
    if estimator._chooses and not hasattr(estimator, f"{estimator._strength_name}_"):
        name = estimator._strength_name
        raise AttributeError(
            f"partial_fit keeps the strength that fit has chosen by {name}={getattr(estimator, name)!r}, and there was "
            f"no fit: call fit first, or give {name} a number"
        )
    return True
