"""The run of a solver on what constraints leave free, as a part of a run over a feasible set."""

import time
from typing import Any

import numpy as np

from sk_hessian.objectives import FreeObjective
from sk_hessian.solvers.loop import State, begin, follow
from sk_hessian.solvers.result import HISTORY_COLUMNS
from sk_hessian.solvers.verdict import Verdict


class FreeRun:
    """A run on a subspace of the parameters, within a feasible set.

    Outside the set the objective counts as infinite, and is not evaluated. The run ends with the first iteration that
    has tried to leave the set: another constraint holds then. Who listens to the outer run hears of each iteration, in
    the parameters of all.

    Parameters
    ----------
    outer : Run
        Where it begins, and what counts.
    feasible : FeasibleSet
    subspace : Subspace

    Attributes
    ----------
    end : Evaluation
        Of all parameters, where it has ended.
    met : bool
        Whether it has met a constraint.
    """

    def __init__(self, outer, feasible, subspace):
        here = outer.point.here
        self.outer, self.feasible, self.end, self.met = outer, feasible, here, False
        self.objective = FreeObjective(here, subspace, feasible, self._allows)
        self._inner: Any = None

    def follow(self, verdict, random_state):
        """The `Result`, by the tolerance and within the iterations of a `Verdict`."""
        outer, most = self.outer, max(verdict.max_iter - self.outer.iteration, 1)
        start = np.zeros(self.objective.n_parameters)
        self._inner = inner = begin(self.objective, start, outer.spec, verdict.tol, random_state)
        inner.callback, inner.before = self._after, None if outer.before is None else self._before
        found = follow(inner, Verdict(inner, verdict.tol, most))
        end = inner.point if np.array_equal(inner.point.theta, found.x) else inner.best
        self.end = end.here.whole
        was_told = outer.told_to_stop
        outer.take_over(inner)
        outer.told_to_stop = was_told
        return found

    def _allows(self, theta):
        is_inside = self.feasible.violation(theta)[0] <= 0
        self.met = self.met or not is_inside
        return is_inside

    # -- who listens ----------------------------------------------------------------------------------------------

    def _after(self, _):
        outer = self.outer
        outer.history.rows.append(self._row())
        outer.told_to_stop = outer.callback is not None and bool(outer.callback(self._state()))
        return outer.told_to_stop or self.met

    def _before(self, _):
        self.outer.before(self._state())

    def _state(self):
        iteration = self.outer.iteration + self._inner.iteration
        return State(self._inner.point.here.whole.theta.copy(), iteration, self.outer.history.record())

    def _row(self):
        """The latest row of the inner history as one of the outer run."""
        outer, inner = self.outer, self._inner
        counts = outer.counts.plus(inner.counts)
        row = dict(zip(HISTORY_COLUMNS, inner.history.rows[-1], strict=True))
        row |= {"iteration": outer.iteration + inner.iteration, "gradient_norm": inner.point.here.whole.gradient_size}
        row |= {"epoch": counts.evaluations, "evaluations": counts.evaluations}
        row |= {"hessian_products": counts.hessians + counts.products}
        row["seconds"] = time.perf_counter() - outer.history.began
        return tuple(row.values())
