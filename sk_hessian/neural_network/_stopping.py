"""Rows that are held out, and when they say to stop."""

from dataclasses import replace

import numpy as np
from sklearn.model_selection import train_test_split

from sk_hessian.solvers import advice


class EarlyStopping:
    """A callback of `minimize` that remembers the parameters of the best validation score.

    ``score(theta)`` is better where it is more, by more than ``tol``; nan counts as minus infinity. It stops after
    ``patience`` iterations without a better score, once there was a finite one.
    """

    def __init__(self, score, tol, patience):
        self._score, self._tol, self._patience = score, tol, patience
        self.scores, self.best_score, self.best = [], -np.inf, None
        self._waited, self._mark = 0, -np.inf

    def __call__(self, state):
        """Whether to stop."""
        score = self._score(state.x)
        score = -np.inf if np.isnan(score) else score
        self.scores.append(score)
        if score > self.best_score:
            self.best_score, self.best = score, state.x
        is_better = score > self._mark + self._tol
        self._waited = 0 if is_better or self.best is None else self._waited + 1
        self._mark = max(self._mark, score)
        return self._waited >= self._patience

    def restored(self, result, objective):
        """``result`` at the parameters of the best score, if those are not the last ones.

        What the run found of its last point does not hold there: "max_iter" and "diverged", which are about the run,
        are kept, all else is "stopped".
        """
        if self.best is None or np.array_equal(self.best, result.x):
            return result
        here = objective.at(self.best)
        status = result.status if result.status in ("max_iter", "diverged") else "stopped"
        end = "" if result.status == status else f", which ended as {result.status}"
        text = (
            f"{status}: no better validation score than {self.best_score:.6g} in the last of {result.nit} "
            f"iterations{end}; the weights are those of the best one."
        )
        todo = [advice(status, result.solver, objective, here.gradient)] if status != "stopped" else []
        text = " ".join([text, *todo, *here.remarks()])
        told, norm = {"status": status, "message": text}, float(np.abs(here.gradient).max())
        there = {"decrement": np.nan, "gradient_norm": norm, "separation": None}
        verdict = replace(result.convergence, **told, **there, objective=here.value)
        found = {"x": self.best, "fun": here.value, "jac": here.gradient, "success": False}
        return replace(result, **told, **found, convergence=verdict)


def split(n_rows, fraction, classes, generator):
    """Indices of the rows to train on and of the ``fraction`` to hold out.

    Both parts have their share of ``classes``, (n_rows,) or None, as nearly as whole rows allow: the part to train on
    has every class, the part that is held out may lack rare ones. A ValueError for fewer rows than both parts need.
    """
    # the R^2 of a single row is not defined
    held, needed = int(np.ceil(fraction * n_rows)), 2
    if classes is not None:
        counts = np.bincount(classes)
        needed = int(np.count_nonzero(counts))
        if counts[counts > 0].min() < 2:
            raise ValueError("early_stopping=True needs at least two rows of every class, to train and to hold out")
    if min(held, n_rows - held) < needed:
        raise ValueError(
            f"early_stopping=True: validation_fraction={fraction} leaves {n_rows - held} rows to train and {held} to "
            f"hold out, but each part needs at least {needed}; change validation_fraction, or pass more rows"
        )
    seed = int(generator.integers(2**31))
    train, rest = train_test_split(np.arange(n_rows), test_size=held, random_state=seed, stratify=classes)
    if classes is not None and len(np.unique(classes[train])) < needed:
        raise ValueError(
            f"early_stopping=True: validation_fraction={fraction} leaves no row of a rare class to train on; lower "
            "validation_fraction, or pass more rows of that class"
        )
    return train, rest
