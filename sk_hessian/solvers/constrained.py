"""A run over a feasible set: quadratic programs say which constraints hold, a solver finds what these leave free.

Each round minimises the second-order model over the feasible set and goes along that way as far as the objective falls.
That is sequential quadratic programming (J. Nocedal, S. Wright, "Numerical Optimization", 2nd ed., 2006, chapter 18),
for bounds the projected Newton method (D. Bertsekas, "Projected Newton methods for optimization problems with simple
constraints", 1982). Once two rounds in turn hold the same constraints, these are taken as equations, and the solver
runs on the parameters that are free, as it does without constraints; not where its steps are those of the model. All
points that a round ends at are feasible, and none is higher than where it began. The decrease of the model over the
feasible set is the certificate: half the squared Newton decrement where no constraint holds.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sk_hessian.objectives import Subspace
from sk_hessian.objectives.coordinates import Displacement, PointFactor
from sk_hessian.solvers import plan
from sk_hessian.solvers.certificates import MOST_CHANGE, Certificate
from sk_hessian.solvers.free import FreeRun
from sk_hessian.solvers.loop import Run, result_of
from sk_hessian.solvers.method import MethodRun, Step
from sk_hessian.solvers.problem import Counts, Problem
from sk_hessian.solvers.result import History
from sk_hessian.solvers.steps import ARMIJO
from sk_hessian.solvers.verdict import SUSPICIOUS, Verdict

#: halvings of a step
_MOST_HALVINGS = 40

#: the curvature of a former point serves where predictors have moved by no more than this since
_NEARBY = 1.0

#: the share of tol times the scale up to which a decrease may be near the end: Newton's steps square it
_NEAR_THE_END = 10.0

#: the share of the decrease that a step below the rounding of the objective must leave at most
_NEARER = 0.5


@dataclass(frozen=True)
class Tell:
    """Who is told of iterations, as of `minimize`, and what minibatches are drawn by."""

    before: Any = None
    callback: Any = None
    random_state: Any = None


def minimize_within(objective, x0, spec, feasible, verdict_options, tell):
    """The `Result` of a solver over a `FeasibleSet`, from a point ``x0`` of it.

    ``verdict_options`` are tol and max_iter of `minimize`.
    """
    run = _at(objective, x0, spec, feasible)
    run.before, run.callback = tell.before, tell.callback
    search = ActiveSet(run, feasible, Verdict(run, *verdict_options), tell.random_state)
    return search.result(search.follow())


def _at(objective, x0, spec, feasible):
    """The `Run` at a start, in units of the parameters."""
    if objective.facts.has_many_optima:
        raise ValueError("bounds are for functions, residuals and linear models, not for the weights of a network")
    history, counts = History(time.perf_counter()), Counts(evaluations=1.0)
    start = objective.entry(x0)
    if not np.isfinite(start.value):
        raise ValueError("the objective is not finite at the start x0; pass a feasible one")
    factor = start.factor("units", objective.curvature)
    factor = PointFactor.none(start) if factor is None else factor
    if feasible.concerned[factor.outer.mixed].any():
        factor = start.factor("separate", objective.curvature)
    if factor.shape[1] > plan.MOST_FACTOR_SIZE:
        raise ValueError(
            f"constraints need a matrix of second derivatives, which is too large for {factor.shape[1]} parameters: "
            f"{plan.MOST_FACTOR_SIZE} are the most"
        )
    if not objective.facts.is_wide:
        # which columns depend on others is a fact of the rows, constraints or not
        counts.hessians += objective.determine(start, None)
        counts.shared += 1.0 if objective.is_exact(objective.curvature) else 0.0
    problem = Problem(objective, factor, start, counts)
    return Run(spec, problem, problem.start(), MethodRun(), history)


class ActiveSet:
    """The search for the constraints that hold at the optimum, and for the optimum.

    Parameters
    ----------
    run : Run
        At a point of the set. Its problem's coordinates are units: each constrained parameter has one of its own.
    feasible : FeasibleSet
    verdict : Verdict
        Of the run.
    random_state : int, Generator or None
    """

    def __init__(self, run, feasible, verdict, random_state=None):
        self.run, self.feasible, self.verdict, self.random_state = run, feasible, verdict, random_state
        self.objective, self.factor = run.objective, run.problem.factor
        self.unit = self.factor.apply(np.ones(self.factor.shape[1]))
        #: whether the solver would do no more than what the models do
        self.is_by_models = run.objective.facts.is_quadratic or run.spec.takes_model_steps(
            run.objective, run.point.theta.size
        )
        #: the constraints that hold in the latest model, and in the one before
        self.held: Any = None
        self.former: Any = None
        #: the latest `Point`, and the `ModelStep` there
        self.latest: Any = (None, None)
        #: the latest curvature, how far predictors have moved since, and how far the latest model would move them
        self.H: Any = None
        self.moved, self.change = 0.0, 0.0
        #: the `Evaluation` at which the solver has proved an optimum of what is free
        self.proved: Any = None
        #: whether it was asked if the optimum is at infinity
        self.asked = False
        #: the decrease of the latest model whose step was below the rounding of the objective
        self.quiet = np.inf

    def follow(self):
        """Round after round until a status."""
        model = self._model()
        self.run.history.add(self.run, Step(self.run.point, 0.0))
        while True:
            status = self._look(model) or self._round(model)
            if status is not None:
                return status
            model = self._model()

    def result(self, status):
        """The `Result` where the run has come to."""
        self.verdict.active, self.verdict.multipliers = self.feasible.texts(self._model().held)
        x = self.objective.canonical(self.run.point.theta, self.feasible)
        return result_of(self.run, self.verdict, status, self.run.point, x)

    # -- the model over the set -----------------------------------------------------------------------------------

    def _model(self):
        """The minimiser of the second-order model over the feasible set."""
        run, (point, model) = self.run, self.latest
        if point is not run.point:
            sides = None if model is None else model.sides
            model = self._by_former_curvature(sides)
            if model is None:
                self.H, self.moved = run.problem.hessian_matrix(run.point, "observed"), 0.0
                model = self._model_of(self.H, sides)
            self.latest, run.estimate = (run.point, model), model.decrease
        return model

    def _model_of(self, H, sides):
        place = self.run.point.theta, self.unit
        return self.feasible.model_step(place, self.run.point.slope, H, self.objective.convex, sides)

    def _by_former_curvature(self, sides):
        """The same by the curvature of a point before, if that proves an optimum; else None.

        Curvature falls to no less than the share e^-c where no linear predictor moves by more than c, and the decrease
        is then at most e^c times that of the former curvature: the set is convex, so that it has the shorter step too.
        """
        objective, growth = self.objective, math.exp(min(self.moved, _NEARBY))
        if self.H is None or not (objective.convex and objective.is_smooth) or self.moved > _NEARBY:
            return None
        model = self._model_of(self.H, sides)
        model = replace(model, decrease=growth * model.decrease)
        is_enough = model.decrease <= self.verdict.standard.threshold(model.decrease)
        return model if is_enough or objective.facts.is_quadratic else None

    def _look(self, model):
        """Whether the point is an optimum: "optimal", another status, or None."""
        run, standard = self.run, self.verdict.standard
        step, self.change = Displacement(self.factor, model.step), np.inf
        if model.decrease <= _NEAR_THE_END * self.verdict.tol * standard.scale(model.decrease):
            # farther away it says nothing: neither does this step end a run, nor the next one prove an optimum
            self.change, passes = run.point.here.newton_change(step, model.decrease, MOST_CHANGE)
            run.counts.others += passes
        self.verdict.certificate = Certificate(model.decrease, self.change, step)
        is_small = model.decrease <= standard.threshold(model.decrease) and self.change <= MOST_CHANGE
        is_optimum = is_small or self.verdict.is_perfect()
        if is_optimum and not self.objective.convex and self.proved is not run.point.here:
            # the model leaves out signs of curvature, of which the solver takes note
            status, is_optimum = self._solve_free(model.held), self.proved is run.point.here
            if status is not None:
                return status
        if self._is_separated(model):
            return "separated"
        self.former, self.held = self.held, model.held
        return "optimal" if is_optimum else "max_iter" if run.iteration >= self.verdict.max_iter else None

    def _is_separated(self, model):
        """Whether a step that gains next to nothing moves predictors because the optimum is at infinity."""
        moves = self.change > MOST_CHANGE or model.is_floored
        is_small = model.decrease <= SUSPICIOUS * self.verdict.standard.scale(model.decrease)
        if not (moves and is_small) or self.asked or self.objective.facts.is_quadratic:
            return False
        self.asked, run = True, self.run
        run.counts.others += 1
        direction = self.factor.apply(model.step)
        self.verdict.recession = self.objective.diagnose(run.point.theta, direction, self.feasible)
        return self.verdict.recession is not None

    def _round(self, model):
        """Go along the way to the model's minimum; then, where the same constraints hold again, solve what is free."""
        run = self.run
        if run.before is not None:
            run.announce()
        length = self._walk(model)
        if not length:
            self.verdict.allow_rounding()
            return self._look(model) or "stalled"
        run.iteration += 1
        self._model()
        run.record(Step(run.point, length))
        if run.told_to_stop:
            return "stopped"
        if self.is_by_models or run.iteration >= self.verdict.max_iter:
            return None
        is_settled = self.former is not None and self.former.is_same(model.held)
        return self._solve_free(model.held) if is_settled else None

    def _walk(self, model):
        """Go along the way to the model's minimum as far as the objective falls: the share of it, 0.0 for none."""
        run, change, start = self.run, self.factor.apply(model.step), self.run.point
        predicted = -float(start.slope @ model.step)
        # a step ends in the set but for the rounding of its program
        longest = self.feasible.reach(start.theta, change)
        for halvings in range(_MOST_HALVINGS):
            length = longest * 0.5**halvings
            point = self._point(start.theta + length * change)
            gain = start.value - point.value
            if abs(gain) <= start.noise:
                # values say nothing: the model must have come nearer to its end since the last such step
                quiet, self.quiet = self.quiet, model.decrease
                length = length if model.decrease < _NEARER * quiet else 0.0
                break
            if gain >= ARMIJO * length * predicted:
                break
        else:
            return 0.0
        if length:
            self.moved += length * self.change
            run.best = point
            run.stand(run.problem, point)
        return length

    def _point(self, theta):
        """The `Point` at parameters, those on a bound to the last digit: one pass."""
        self.run.counts.evaluations += 1.0
        return self.run.problem.point_at(self.objective.entry(self.feasible.clipped(theta)))

    # -- what is free ---------------------------------------------------------------------------------------------

    def _solve_free(self, held):
        """Run the solver with the constraints that hold as equations; a final status, or None to go on."""
        run = self.run
        directions = self.feasible.directions(held, self.unit)
        if not directions.shape[1]:
            self.proved = run.point.here
            return None
        free = FreeRun(run, self.feasible, Subspace(directions, self.factor))
        found = free.follow(self.verdict, self.random_state)
        self._go_to(free.end)
        # the loop sees for itself whether a run that is stopped by a constraint or by its limits is at an optimum
        self.proved = run.point.here if found.status == "optimal" else None
        self.verdict.recession = found.convergence.separation
        is_final = run.told_to_stop or found.status == "separated"
        is_final = is_final or (found.status in ("saddle", "diverged") and not free.met)
        return found.status if is_final else None

    def _go_to(self, here):
        """Go to an `Evaluation` in the set, unless it is higher."""
        point = self.run.problem.point_at(here)
        if point.value <= self.run.point.value + self.run.point.noise:
            self.moved = np.inf
            self.run.best = point
            self.run.stand(self.run.problem, point)
