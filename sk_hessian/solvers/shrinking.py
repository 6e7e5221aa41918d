"""A piecewise linear objective: smoothed ones whose widths shrink, until a vertex is proved to be the optimum.

Each smoothed objective is minimised by the solver from where the one before it leads. The verdict has the same meaning
as elsewhere: what is left above the optimum. Here it is bounded by the duality gap.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sk_hessian.solvers import plan
from sk_hessian.solvers.first_order import FirstOrder
from sk_hessian.solvers.loop import begin, follow
from sk_hessian.solvers.result import HISTORY_COLUMNS, Convergence, Result, bounded_text, message
from sk_hessian.solvers.verdict import Verdict

#: columns of the history that count on from one smoothed objective to the next
_COUNTS = ("iteration", "epoch", "evaluations", "hessian_products", "seconds")

#: tolerances of smoothed objectives
_LEAST_TOL, _MOST_TOL = 1e-12, 1e-2

#: a gap of this share of the objective is none
_EXACT = 1e-12

#: one of this share is none either, where it is not lowered any more
_NEARLY_EXACT = 1e-10

#: a gap that a width leaves this share of is not lowered any more
_STANDSTILL = 0.5

#: so many of these in turn mean that rounding is all that is left
_PATIENCE = 2

#: standard errors that a parameter may be from the optimum, in units of tol
_ERRORS = 100


@dataclass(frozen=True)
class Ended:
    """A run as a message speaks of it."""

    spec: Any
    objective: Any
    iteration: int


@dataclass(frozen=True)
class Place:
    """Where it ended."""

    value: float
    gradient: np.ndarray


class Journal:
    """What was told and counted of all smoothed objectives together."""

    def __init__(self, tell):
        self._tell, self._began = tell, time.perf_counter()
        self.columns = {}
        self.iteration, self.passes, self.nfev, self.nhev = 0, 0.0, 0.0, 0.0
        self.told_to_stop = False
        self._counts: dict[str, Any] = dict.fromkeys(_COUNTS, 0)

    def watch(self, run):
        """Let a run tell of its iterations as of those of all."""
        run.before, run.callback = self._of_all_for(self._tell.before), self._of_all_for(self._tell.callback)

    def _of_all_for(self, told):
        return None if told is None else lambda state: told(self._of_all(state))

    def _of_all(self, state):
        record = {k: v + self._counts.get(k, 0) for k, v in state.record.items()}
        return replace(state, iteration=state.iteration + self.iteration, record=record)

    def add(self, run, result):
        """Take up a run that has ended; its start is where the one before it ended."""
        begins = 1 if self.columns else 0
        for name in HISTORY_COLUMNS:
            column = result.history[name][begins:] + self._counts.get(name, 0)
            self.columns.setdefault(name, []).append(column)
        self.iteration += result.nit
        self.passes += run.counts.passes
        self.nfev += result.nfev
        self.nhev += result.nhev
        self.told_to_stop = self.told_to_stop or run.told_to_stop
        self._counts = {name: self._counts[name] + result.history[name][-1] for name in _COUNTS}
        self._counts["seconds"] = time.perf_counter() - self._began

    def stay(self, value):
        """Take up that the start is the optimum, of this value: no run is made."""
        self.columns = {name: [np.zeros(1)] for name in HISTORY_COLUMNS} | {"objective": [np.array([value])]}
        self.columns["iteration"] = [np.zeros(1, dtype=int)]

    def history(self):
        """The history of all, as of `Result`."""
        return {name: np.concatenate(parts) for name, parts in self.columns.items()}


class Shrinking:
    """The widths of one minimisation, the best vertex so far, and the largest lower bound of the optimum."""

    def __init__(self, objective, spec, tol, max_iter, random_state):
        self._objective, self._spec, self._tol, self._max_iter = objective, spec, tol, max_iter
        self._pieces, self._random_state = objective.smoothing, random_state
        #: the lowest vertex, and the one whose dual point gives the largest lower bound
        self.best: Any = None
        self.proof: Any = None
        self._n_near, self._first_width = objective.n_rows, 0.0
        self._former_gap, self._stands_still = np.inf, 0

    def follow(self, theta, journal):
        """Shrink the width until a status; ``theta`` is the start."""
        pieces, width = self._pieces, None
        pieces.settle(theta)
        here = self._objective.at(theta)
        if self._is_optimal(theta, pieces.rounding(here)):
            journal.stay(self.best.value)
            return "optimal"
        while True:
            least = pieces.rounding(here)
            width = max(self._next_width(width, here), least) or 1.0
            theta, onward = self._run(theta, width, journal)
            here = self._objective.at(self.best.theta)
            status = self._status(journal, width <= least)
            if status is not None:
                return status
            theta = self._better_start(theta, onward, plan.WIDTH_FALL * width)

    def _is_optimal(self, theta, width):
        """Whether the start is the optimum already, as that of a former fit of the same rows is."""
        self._take(self._pieces.vertices(theta, width or 1.0, lambda n_near: n_near <= theta.size)[-1:])
        is_there = self.gap <= _EXACT * self.best.value
        if not is_there:
            self.best = self.proof = None
        return is_there

    def _take(self, vertices):
        """Keep the best of these and those before."""
        for vertex in vertices:
            if self.best is None or vertex.value < self.best.value:
                self.best = vertex
            if self.proof is None or vertex.value - vertex.gap > self.proof.value - self.proof.gap:
                self.proof = vertex

    def _next_width(self, width, here):
        facts = self._pieces.spread(here), self._objective.n_rows, here.theta.size
        return plan.first_width(*facts) if width is None else plan.next_width(width, *facts)

    def _run(self, theta, width, journal):
        """The optimum of the objective smoothed with a width, and the way from there to the vertex."""
        smooth = self._pieces.at(width)
        self._first_width = self._first_width or width
        share = min(1.0, theta.size / self._objective.n_rows)
        tol = plan.tolerance_of_width(width, self._first_width, smooth.scale, share)
        tol = min(max(tol, _LEAST_TOL), _MOST_TOL)
        run = begin(smooth.begun(theta), theta, self._spec, tol, self._random_state)
        journal.watch(run)
        left = max(self._max_iter - journal.iteration, 1)
        result = follow(run, Verdict(run, tol, left, diagnoses=False))
        journal.add(run, result)
        found = self._pieces.vertices(result.x, width, lambda n: plan.may_be_vertex(n, self._n_near, theta.size))
        self._n_near = found[0].n_near
        self._take(found)
        return result.x, found[-1].theta - result.x

    @property
    def passes(self):
        """Over the rows, beside those of runs."""
        return self._pieces.counts["passes"]

    @property
    def gap(self):
        """What is left above the optimum, at the most."""
        best, proof = self.best, self.proof
        return min(best.gap, max(best.value - (proof.value - proof.gap), best.rounding))

    @property
    def threshold(self):
        """The largest gap that is optimal, as for other models: by the scale, and by the errors of the parameters."""
        objective, value = self._objective, self.best.value
        by_errors = (_ERRORS * self._tol) ** 2 * value / (2 * objective.total)
        return max(min(self._tol**2 * objective.scale, by_errors), self.best.rounding)

    def _status(self, journal, is_least):
        """A final status, or None to go on."""
        gap = self.gap
        self._stands_still = self._stands_still + 1 if gap >= _STANDSTILL * self._former_gap else 0
        self._former_gap = gap
        if gap <= _EXACT * self.best.value or self.best.value <= self.best.rounding:
            return "optimal"
        if self._stands_still >= _PATIENCE and gap <= max(_NEARLY_EXACT * self.best.value, self.best.rounding):
            return "optimal"
        if not (journal.told_to_stop or is_least or journal.iteration >= self._max_iter):
            return None
        if gap <= self.threshold:
            return "optimal"
        return "stopped" if journal.told_to_stop else "stalled" if is_least else "max_iter"

    def _better_start(self, theta, onward, width):
        """Where to begin with the next width: on the way to the vertex, unless that is worse."""
        if not onward.any():
            return theta
        further = theta + (1 - plan.WIDTH_FALL) * onward
        smooth = self._pieces.at(width)
        self._pieces.counts["passes"] += 2
        return further if smooth.at(further).value <= smooth.at(theta).value else theta


def shrink(objective, x0, spec, verdict_options, tell):
    """The `Result` for a piecewise linear objective; ``verdict_options`` are tol and max_iter of `minimize`.

    Raises a ValueError for solvers of first order, which come too slowly to where a vertex can be told.
    """
    if isinstance(spec, FirstOrder):
        name = type(spec).__name__
        raise ValueError(
            f'solver={name.lower()!r} comes too slowly near the optimum of a piecewise linear objective: use "newton", '
            '"lbfgs" or "auto"'
        )
    journal, (tol, max_iter) = Journal(tell), verdict_options
    shrinking = Shrinking(objective, spec, tol, max_iter, tell.random_state)
    status = shrinking.follow(x0, journal)
    best, gap = shrinking.best, shrinking.gap
    x, gradient = objective.canonical(best.theta), objective.smoothing.gradient(shrinking.proof)
    ended = Ended(spec, objective, journal.iteration)
    convergence = Convergence(
        status=status,
        message=message(status, ended, Place(best.value, gradient), bounded_text(gap), None),
        objective=best.value,
        decrement=gap,
        scale=shrinking.threshold / tol**2,
        tol=tol,
        gradient_norm=float(np.abs(gradient).max(initial=0.0)),
        passes=journal.passes + shrinking.passes,
        flat_directions=tuple(objective.flat_directions()),
    )
    return Result(
        x=x,
        fun=best.value,
        jac=gradient,
        nit=journal.iteration,
        nfev=journal.nfev,
        nhev=journal.nhev,
        success=status == "optimal",
        status=status,
        message=convergence.message,
        solver=spec,
        convergence=convergence,
        history=journal.history(),
        objective=objective,
    )
