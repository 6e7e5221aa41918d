"""The one loop of all solvers: advance, look whether to stop, refresh the preconditioner, record."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_hessian._text import listed
from sk_hessian.solvers import plan
from sk_hessian.solvers.method import Step
from sk_hessian.solvers.newton import Newton
from sk_hessian.solvers.problem import Counts, Problem
from sk_hessian.solvers.result import Convergence, History, Result, message, still_missing
from sk_hessian.solvers.verdict import Verdict

#: iterations whose mean tells how fast a run is
_OF_FALL = 3


@dataclass(frozen=True)
class State:
    """What a callback sees before or after an iteration.

    Attributes
    ----------
    x : ndarray
        Parameters.
    iteration : int
        Iterations so far.
    record : dict
        The row of the history.
    """

    x: np.ndarray
    iteration: int
    record: dict


class Run:
    """A run on its way: the problem in its coordinates, the latest and the best point, and how it came there."""

    def __init__(self, spec, problem, point, method, history):
        self.spec, self.problem, self.point, self.method = spec, problem, point, method
        self.history = history
        self.objective, self.counts = problem.objective, problem.counts
        self.first_value = point.value
        self.best: Any = point
        #: the best point where the coordinates cannot reach it
        self.outside: Any = None
        #: whether the coordinates are units only, until progress is slow
        self.in_units = False
        self.iteration, self.drop = 0, np.inf
        #: half the squared decrement by the latest factor, and the smallest since that
        self.estimate = self.best_decrement = np.nan
        #: the latest of these estimates in the same coordinates
        self._estimates: list[float] = []
        #: the latest iteration that gained anything, and the value there
        self.gained, self.mark = 0, point.value
        #: the latest iteration at which the factor was new or had helped, and the decrement there
        self.refreshed, self.refresh_decrement = 0, np.inf
        #: how many times longer than usual a factor stays
        self.patience = 1
        #: who is told of each iteration before it and after it, as of `minimize`
        self.before: Any = None
        self.callback: Any = None
        self.told_to_stop = False

    # -- iterations -------------------------------------------------------------------------------------------------

    def announce(self):
        """Tell that an iteration begins."""
        self.before(self.state())

    def arrive(self, step):
        """Go on from where a step ended; whether that is anywhere new."""
        self.iteration += 1
        self.drop = self.point.value - step.point.value
        self.stand(self.problem, step.point)
        self._estimates = [*self._estimates[-_OF_FALL:], self.estimate]
        if self.point.value < self.best.value:
            self.best = self.point
        # many small gains count together: of a slow run each one may be below the rounding error
        if self.estimate < 0.9 * self.best_decrement or self.best.value < self.mark - self.best.noise:
            self.gained, self.mark = self.iteration, self.best.value
            self.best_decrement = min(self.best_decrement, self.estimate)
        self.record(step)
        every = self.method.refresh_every
        if step.moved and every is not None and self.iteration - self.refreshed >= self.patience * every:
            self._refresh_if_slow()
        return step.moved

    @property
    def fall(self):
        """The share that an iteration leaves of the decrement, the mean of the latest; 1.0 where that is unknown."""
        first, n_steps = self._estimates[:1], len(self._estimates) - 1
        return (self.estimate / first[0]) ** (1 / n_steps) if n_steps > 0 and first[0] > 0 else 1.0

    def stand(self, problem, point):
        """Be at a point."""
        self.problem, self.point = problem, point
        factor = self.method.factor
        root = point.slope if factor is None else factor.inner.transpose(point.slope)
        self.estimate = 0.5 * float(root @ root)

    def factors(self):
        """The factors at hand, the latest first."""
        return [factor for factor in (self.method.factor, self.problem.factor) if factor is not None]

    def step_onto(self, problem, point):
        """An iteration that ends at a point that was found otherwise, the best so far."""
        if self.before is not None:
            self.announce()
        self.iteration += 1
        self.best = point
        self.stand(problem, point)
        self.record(Step(point, 1.0))

    def record(self, step):
        """The row of the history after a step, of which the callback is told."""
        self.history.add(self, step)
        if self.callback is not None:
            self._ask()

    def take_over(self, other):
        """Count what another run has done, on a part of the same problem, as done by this one."""
        self.counts = self.problem.counts = self.counts.plus(other.counts)
        self.iteration += other.iteration
        self.told_to_stop = self.told_to_stop or other.told_to_stop

    def _ask(self):
        """Ask the callback whether to go on: no by a true answer, or by a StopIteration."""
        try:
            self.told_to_stop = bool(self.callback(self.state())) or self.told_to_stop
        except StopIteration:
            self.told_to_stop = True

    def state(self):
        """What a callback sees."""
        return State(self.point.theta.copy(), self.iteration, self.history.record())

    # -- coordinates ------------------------------------------------------------------------------------------------

    def _refresh_if_slow(self):
        """A factor at the latest point where the old one no longer makes the decrement fall."""
        if self.problem.is_identity or not math.isfinite(self.point.value):
            return
        share = self.estimate / self.refresh_decrement
        if share < plan.REFRESH_FALL or (self.in_units and self._goes_on(share)):
            self.refreshed, self.refresh_decrement = self.iteration, self.estimate
        else:
            self.refresh()

    def _goes_on(self, share):
        """Whether a run that has left a share of the decrement in the latest iterations is likely to need no factor."""
        fall = share ** (1 / (self.iteration - self.refreshed))
        return fall < 1 and plan.is_sooner(self.objective, self.point.theta.size, self.estimate, fall)

    def refresh(self):
        """Go on in the coordinates of a factor at the latest point."""
        factor = plan.factor_at(self.spec, self.point.here, self.counts)
        self.patience = plan.patience_after(factor, self.objective, self.patience)
        if self.in_units and not factor.reaches_all:
            self._move_inside(factor)
        else:
            self.move_to(factor)
        self.in_units = False

    def move_to(self, factor):
        """Go on in the coordinates of another factor."""
        is_best = self.point is self.best
        problem, point = self.problem.refactored(factor, self.point)
        self.best = point if is_best else self.best
        self._begin_anew(problem, point)

    def _move_inside(self, factor):
        """Go on where coordinates that cannot reach every point come nearest; the best point is not forgotten."""
        self.outside = self.best
        problem = Problem(self.objective, factor, self.point.here, self.counts).restricted()
        point = problem.start()
        self.best = point if point.value <= self.best.value else self.best
        self._begin_anew(problem, point)

    def restart(self, here):
        """Go on from another `Evaluation`, in coordinates that are taken there."""
        factor = plan.factor_at(self.spec, here, self.counts)
        problem = Problem(self.objective, factor, here, self.counts).restricted()
        self.best = problem.start()
        self._begin_anew(problem, self.best)

    def _begin_anew(self, problem, point):
        self.method.reset()
        self.settle(problem, point)

    def settle(self, problem, point):
        """Be at a point in new coordinates, from where gains count."""
        self.stand(problem, point)
        self._estimates, self.best_decrement = [self.estimate], self.estimate
        self.refreshed, self.refresh_decrement = self.iteration, self.estimate


def begin(objective, x0, spec, tol, random_state=None):
    """The `Run` of a solver, at its start: on the optimum of a sketch or at ``x0``, in the coordinates of a factor."""
    history, counts, start = History(time.perf_counter()), Counts(), None
    in_units = spec.tries_units(objective, x0.size)
    if not in_units and spec.warms_up(objective):
        start, in_units = _warm_start(objective, x0, spec, tol, counts)
    if start is None:
        counts.evaluations += 1.0
        start = objective.entry(x0)
    # a quadratic is finite everywhere: the round that its factor takes over all rows finds value and gradient too
    factor = plan.factor_at(spec, start, counts, in_units) if objective.facts.is_quadratic else None
    counts.shared += start.shared_rounds
    if not np.isfinite(start.value):
        raise ValueError("the objective is not finite at the start x0; pass a feasible one")
    factor = plan.factor_at(spec, start, counts, in_units) if factor is None else factor
    return _at_origin(Problem(objective, factor, start, counts), spec, history, in_units, random_state)


def _at_origin(problem, spec, history, in_units, random_state=None):
    """The `Run` at the origin of a problem; ``in_units`` if its coordinates are units alone."""
    reachable = problem.restricted()
    problem = reachable if np.isfinite(reachable.origin.value) else problem
    point = problem.start()
    run = Run(spec, problem, point, spec.begin(problem, point, random_state), history)
    run.in_units = in_units
    run.settle(problem, point)
    return run


def _warm_start(objective, x0, spec, tol, counts):
    """The `Evaluation` at the optimum of the sketch, None unless it is better than the start; and whether it is easy.

    It is easy where units alone lead to that optimum at once.
    """
    sketch = plan.sketch_of(objective, x0.size)
    if sketch is None:
        return None, False
    is_easy, share = False, sketch.n_rows / objective.n_rows
    if spec.precondition == "auto" and plan.may_be_easy(objective, x0.size):
        run = _in_units(sketch, x0, spec)
        is_easy, theta = run.estimate <= plan.EASY_SHARE * sketch.scale, run.best.theta
        counts.others += run.counts.passes * share
    if not is_easy:
        tol, iterations = plan.warm_up(sketch, x0.size, tol)
        run = begin(sketch, x0, Newton() if sketch.convex else spec, tol)
        theta = follow(run, Verdict(run, tol, iterations, diagnoses=False)).x
        counts.others += run.counts.passes * share
    counts.evaluations += 1.0
    warm = objective.at(theta)
    is_better = warm.value < run.first_value
    return warm if is_better else None, is_easy and is_better


def _in_units(sketch, x0, spec):
    """A run on a sketch by units alone, after a few iterations."""
    counts, start = Counts(evaluations=1.0), sketch.entry(x0)
    problem = Problem(sketch, plan.factor_at(spec, start, counts, in_units=True), start, counts)
    run = _at_origin(problem, spec, History(time.perf_counter()), in_units=True)
    enough, moved = plan.EASY_SHARE * sketch.scale, True
    while moved and run.estimate > enough and run.iteration < plan.EASY_ITERATIONS:
        moved = run.arrive(run.method.advance(run.problem, run.point))
    return run


def follow(run, verdict):
    """Iterate until a verdict; returns the `Result`."""
    run.history.add(run, Step(run.point, 0.0))
    status = verdict.at_start()
    while status is None:
        if run.iteration >= verdict.max_iter:
            status = verdict.last_look("max_iter")
            break
        if run.before is not None:
            run.announce()
        moved = run.arrive(run.method.advance(run.problem, run.point))
        status = verdict.after_step() if moved else verdict.exhausted()
        if run.told_to_stop:
            status = status or "stopped"
    status = verdict.at_edge(status)
    point = run.point if status in ("optimal", "separated", "saddle") else run.best
    x = run.objective.canonical(point.theta)
    if status == "optimal" and not run.problem.is_identity:
        x, passes = run.objective.refined(x)
        run.counts.others += passes
    return result_of(run, verdict, status, point, x)


def result_of(run, verdict, status, point, x):
    """The `Result` of a run that ended at a `Point`, with the conventional parameters ``x`` of it."""
    convergence = _convergence(run, verdict, status, point)
    return Result(
        x=x,
        fun=point.value,
        jac=point.gradient,
        nit=run.iteration,
        nfev=run.counts.evaluations,
        nhev=run.counts.hessians + run.counts.products,
        success=status == "optimal",
        status=status,
        message=convergence.message,
        solver=run.spec,
        convergence=convergence,
        history=run.history.columns(),
        objective=run.objective,
        active_constraints=verdict.active,
        multipliers=verdict.multipliers,
    )


def _convergence(run, verdict, status, point):
    objective, standard, certificate = run.objective, verdict.standard, verdict.certificate
    is_known = certificate is not None and status != "settled"
    decrement = float(min(certificate.decrement, point.value - verdict.lower_bound)) if is_known else np.nan
    known = 0.0 if np.isnan(decrement) else decrement
    recession = verdict.recession if status == "separated" else None
    missing = still_missing(decrement, standard.scale(known), objective.is_model)
    texts = [message(status, run, point, missing, recession), *point.here.remarks()]
    if status in ("stalled", "max_iter", "diverged"):
        texts += point.here.suspicions()
    if verdict.edge:
        texts.append(str(verdict.edge))
    if verdict.active:
        # the gradient alone would look as if the run had stopped early
        what = "1 constraint is" if len(verdict.active) == 1 else f"{len(verdict.active)} constraints are"
        texts.append(f"{what} active: {listed(verdict.active, ', ')}.")
    return Convergence(
        status=status,
        message=" ".join(texts),
        objective=point.value,
        decrement=decrement,
        scale=standard.threshold(known) / verdict.tol**2,
        tol=verdict.tol,
        gradient_norm=float(np.abs(point.gradient).max(initial=0.0)),
        passes=run.counts.passes,
        flat_directions=tuple(objective.flat_directions()),
        separation=recession,
    )
