"""The one loop of all solvers: advance, look whether to stop, and say truthfully how it ended.

``optimal`` needs a certificate (see `_certificates`): a decrement of at most tol^2 times the objective's scale, and no
linear predictor that a Newton step would still move.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sk_hessian.solvers._certificates import MOST_CHANGE, Certificate, certify
from sk_hessian.solvers.method import Step
from sk_hessian.solvers.newton import Newton
from sk_hessian.solvers.preconditioned import Counts, Identity, Preconditioned, factor_at
from sk_hessian.solvers.result import HISTORY_COLUMNS, Convergence, Ending, Result

#: iterations without any gain beyond rounding after which precision is exhausted
_PATIENCE = 30

#: where derivatives jump: iterations that together gain less than the tolerance before a run has settled; of 72
#: runs on networks of rectifiers none gained more than 4e-6 of the scale later, where ten iterations lost up to 6e-5
_SETTLING = 30

#: ... and where no step helps any more
_SETTLING_EXHAUSTED = 10

#: a run with steps of a fixed length must also have become so much slower than it was on average: short steps gain
#: little everywhere
_FLATTENED = 0.01

#: an objective that rose by so many scales above its start has diverged, one that fell so far has no minimum
_DIVERGED_UP = 1e6
_DIVERGED_DOWN = 1e30

#: how the optimum of a sketch is found: to a tenth of its statistical error, parameters over rows
_WARM_UP = Newton()
_WARM_UP_ITERATIONS = 15
_SKETCH_PRECISION = 0.1

#: how long where there may be many optima: their number of rows decides little for so many steps
_WARM_UP_OF_NETWORKS = 50

#: decrement, as a share of the scale, of a start that needs no step
_AT_OPTIMUM = 1e-18

#: a Newton step that still moves predictors at a decrement below this share of the scale suggests separation
_SUSPICIOUS = 1e-6

#: a run stands still at a decrement below this share of what counts as optimal
_STANDSTILL = 1e-4

#: what rounding hides is no perfect fit above this share of the first value: near a pole of the loss it hides a lot
_NEARLY_NOTHING = 1e-10

#: a decrement above this share of the scale is no rounding
_NEAR_ROUNDING = 1e-8

#: most iterations between two looks at the certificate
_LONGEST_GAP = 64

#: a step that gains less than this share of what is missing is held back, perhaps by the edge of the domain
_HELD_BACK = 1e-2

#: lengths tried along a direction of negative curvature, in preconditioned units
_ESCAPES = 2.0 ** -np.arange(30)


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
    """One run of a solver on an objective."""

    def __init__(self, objective, x0, spec, tol, random_state=None):
        self.objective, self.spec, self.tol = objective, spec, tol
        self.began = time.perf_counter()
        self.counts = Counts()
        plain = Preconditioned(objective, Identity(x0), x0, self.counts)
        self.in_units = spec.tries_units(objective)
        start = None if self.in_units or not spec.warms_up(objective) else self._warm_start(plain)
        start = plain.start() if start is None else start
        if not np.isfinite(start.value):
            raise ValueError("the objective is not finite at the start x0; pass a feasible one")
        if self.in_units:
            factor = factor_at(objective, "units", start.theta, self.counts)
        else:
            factor = self._factor_at(start.theta)
        self.problem, self.point = plain.refactored(factor, start)
        reachable = self.problem.restricted()
        if reachable.origin is not self.problem.origin:
            moved = reachable.start()
            if np.isfinite(moved.value):
                self.problem, self.point = reachable, moved
        self.best = self.point
        self.first_value = self.mark = self.point.value
        self.method = spec.begin(self.problem, self.point, random_state)
        self.iteration, self.drop = 0, np.inf
        self._estimated = None, None, np.nan
        self.next_look, self.look_gap = 0, 1
        self.gained = self.refreshed = 0
        self.rescued = -1
        self.refresh_decrement = self.best_decrement = self._estimate()
        self.certificate: Any = None
        self.recession: Any = None
        self.diagnoses, self.asked = True, False
        #: an optimum on the edge of the domain, and when to look for one again while the run is near it
        self.edge: Any = None
        self.next_edge = 0
        #: the best point where the coordinates cannot reach it, and whether a callback asked to stop
        self.outside, self.told_to_stop = None, False
        #: what errors of a likelihood may not ask for: once a run has stalled, the rounding of the objective
        self.rounding = 0.0
        self.history: dict[str, list] = {name: [] for name in HISTORY_COLUMNS}

    def _factor_at(self, theta):
        """The preconditioner that the solver asks for."""
        kind = self.spec.factor_kind(self.objective, theta.size)
        return factor_at(self.objective, kind, theta, self.counts, self.spec.exact_factors)

    def _warm_start(self, plain):
        """The optimum of the sketch, to the precision that it has; None unless it is better than the start there."""
        sketch = self.objective.sketch()
        if sketch is None:
            return None
        if sketch.convex:
            tol, iterations = np.sqrt(_SKETCH_PRECISION * plain.origin.size / sketch.n_rows), _WARM_UP_ITERATIONS
        else:
            tol, iterations = self.tol, _WARM_UP_OF_NETWORKS
        run = Run(sketch, plain.origin, _WARM_UP if sketch.convex else self.spec, tol)
        run.diagnoses = False
        theta = run.go(iterations).x
        self.counts.others += run.counts.passes * sketch.n_rows / self.objective.n_rows
        warm = plain.evaluate(theta - plain.origin)
        return warm if warm.value < run.first_value else None

    def go(self, max_iter, callback=None, before=None):
        """Iterate until a verdict; returns the `Result`."""
        self.max_iter, self.callback, self.before = max_iter, callback, before
        self._record(0.0, 0.0)
        status = self._verdict() if self._starts_at_optimum() else None
        while status is None:
            if self.iteration >= max_iter:
                status = self._last_look("max_iter")
                break
            moved = self._advance()
            status = self._verdict() if moved else self._exhausted()
            if self.told_to_stop:
                status = status or "stopped"
        return self._result(self._at_edge(status))

    def _starts_at_optimum(self):
        """Whether not even one step is worth it: a heavy penalty's small coefficients are."""
        if self.problem.is_identity:
            return not self.point.gradient.any()
        return self._estimate() <= max(_AT_OPTIMUM * self._scale(0.0), self.objective.resolution)

    def _advance(self):
        """One outer iteration; whether it got anywhere."""
        self._announce()
        return self._arrive(self.method.advance(self.problem, self.point))

    def _announce(self):
        if self.before is not None:
            self.before(self._state())

    def _arrive(self, step):
        """Go on from where a step ended; whether that is anywhere new."""
        self.iteration += 1
        self.drop = self.point.value - step.point.value
        self.point = step.point
        if self.point.value < self.best.value:
            self.best = self.point
        estimate = self._estimate()
        # many small gains count together: of a slow run each one may be below the rounding error
        if estimate < 0.9 * self.best_decrement or self.best.value < self.mark - self.best.noise:
            self.gained, self.mark = self.iteration, self.best.value
            self.best_decrement = min(self.best_decrement, estimate)
        self._record(step.size, step.damping)
        self.told_to_stop = self._asks_to_stop() or self.told_to_stop
        if step.moved:
            self._refresh_if_slow()
        return step.moved

    def _asks_to_stop(self):
        """Whether the callback wants no more: by a true answer, or by a StopIteration as in scipy."""
        if self.callback is None:
            return False
        try:
            return bool(self.callback(self._state()))
        except StopIteration:
            return True

    # -- verdicts ---------------------------------------------------------------------------------------------------

    def _verdict(self):
        """A final status, or None to go on."""
        if not np.isfinite(self.point.value) or self._left_all_bounds():
            return "diverged"
        if self._has_settled(_SETTLING):
            return "optimal" if self._is_perfect() else "settled"
        if self.iteration - max(self.gained, self.rescued) > _PATIENCE:
            return self._exhausted()
        if self.iteration >= self.next_look and self._proposes():
            status = self._look()
            if status is None and self.certificate is not None and self.certificate.change >= 1:
                status = self._at_near_edge()
            if status is None and self._takes_newton_step() and self._proposes():
                status = self._look()
            return status
        return self._at_near_edge() if self.drop <= _HELD_BACK * self._estimate() else None

    def _at_near_edge(self):
        """Look for an optimum on the edge where the run is near it."""
        if self.iteration < self.next_edge or not self.objective.approaches_edge(self.point.theta):
            return None
        self.next_edge = 2 * self.iteration
        return self._at_edge(None)

    def _at_edge(self, status):
        """Where the optimum is on the edge of the domain, go there: its decrement is that over the feasible set.

        An objective that may not be convex can have optima inside and on the edge: the lower one counts.
        """
        proved = self.edge is not None or (status == "optimal" and self.objective.convex)
        may_move = self.diagnoses and self.iteration < self.max_iter
        if proved or not may_move or status not in (None, "optimal", "stalled", "saddle"):
            return status
        edge = self.objective.edge_optimum(self.best.theta)
        if edge is None:
            return status
        self.counts.others += edge.passes
        there = replace(self.best, theta=edge.theta, value=edge.value, gradient=edge.gradient)
        problem, point = self.problem.refactored(self.problem.factor, there)
        # beside an optimum that is proved already an edge as low to rounding is the same point
        enough = max(self._threshold(edge.decrement), point.noise if status == "optimal" else 0.0)
        if not point.value <= self.best.value + point.noise or edge.decrement > enough:
            return status
        self._announce()
        self.edge, self.problem, self.point, self.best = edge, problem, point, point
        self.certificate = Certificate(edge.decrement, 0.0, np.zeros_like(edge.theta))
        self.iteration += 1
        self._record(1.0, 0.0)
        self.told_to_stop = self._asks_to_stop() or self.told_to_stop
        return "optimal"

    def _takes_newton_step(self):
        """Go on from the end of the Newton step that a look in vain has found; whether that is no higher.

        Not a textbook run, whose rate is a float or whose coordinates are the user's: it goes on by its formula.
        """
        is_textbook = self.spec.precondition is None or not self.method.learns_from_steps
        if is_textbook or self.told_to_stop or self.iteration >= self.max_iter:
            return False
        move = self._newton_move()
        if move is None:
            return False
        end = self.problem.evaluate(self.point.u + move)
        if end.value > self.point.value + self.point.noise:
            return False
        self._announce()
        self.method.learn(self.point, end)
        self._arrive(Step(end, 1.0))
        return True

    def _newton_move(self):
        """The Newton step of the latest certificate in u, None where it has none that leads down."""
        certificate = self.certificate
        if certificate is None or not np.isfinite(certificate.decrement):
            return None
        if self.problem.factor is certificate.factor:
            return -self.point.slope
        return certificate.step if self.problem.is_identity else certificate.move

    def _left_all_bounds(self):
        rise, size = self.point.value - self.first_value, abs(self.first_value)
        return rise > _DIVERGED_UP * max(self._scale(0.0), size) or rise < -_DIVERGED_DOWN * max(1.0, size)

    def _scale(self, decrement):
        """The objective's scale; for a plain function what the run has gained and may still gain."""
        scale = self._own_scale()
        return self.first_value - self.point.value + decrement if scale is None else scale

    def _own_scale(self):
        return self.objective.scale_at(self.point.value, self.first_value)

    def _threshold(self, decrement):
        """The largest decrement that counts as optimal."""
        scale = self._scale(decrement)
        threshold = self.tol**2 * scale
        if self._own_scale() is None:
            return max(threshold, self.point.noise)
        if threshold < decrement <= _NEAR_ROUNDING * scale:
            return max(threshold, self.point.floor)
        errors = self.objective.likelihood_tolerance(self.point.theta, self.point.value, self.tol)
        return min(threshold, max(errors, self.rounding))

    def _factors(self):
        """The factors at hand, the latest first."""
        return [factor for factor in (self.method.factor, self.problem.factor) if factor is not None]

    def _estimate(self):
        """Half the squared decrement by the latest factor."""
        factor = self._factors()[0]
        if self._estimated[0] is not factor or self._estimated[1] is not self.point:
            root = factor.transpose(self.point.gradient)
            self._estimated = factor, self.point, 0.5 * float(root @ root)
        return self._estimated[2]

    def _proposes(self):
        """Whether to take the certificate."""
        if self.problem.is_identity and self.method.factor is None:
            return abs(self.drop) <= self._threshold(0.0) or not self.point.gradient.any()
        estimate = self._estimate()
        return estimate <= self._threshold(estimate) or self._is_perfect() or self._is_remnant()

    def _is_perfect(self):
        """Whether so little is left above the objective's lower bound that nothing can be gained."""
        bound = self.objective.lower_bound
        gap, first = self.point.value - bound, self.first_value - bound
        return gap < np.inf and gap <= max(self._threshold(0.0), min(self.point.noise, _NEARLY_NOTHING * first))

    def _is_remnant(self):
        """Whether a function with a lower bound has come as near to it as rounding of its first value."""
        bound = self.objective.lower_bound
        gap, first = self.point.value - bound, self.first_value - bound
        return self.objective.n_rows is None and gap <= np.finfo(float).eps * first < np.inf

    def _has_settled(self, window):
        """Whether the last iterations neither gained nor lost more than the tolerance, where no optimum can be proved.

        A fixed step length may be the reason that they gained little: then the run must have been faster before.
        """
        if not self.objective.has_kinks or self.method.shortens_steps or self.iteration < window:
            return False
        last = self.history["objective"][-window - 1 :]
        spread = max(last) - min(last)
        if not spread <= max(self._threshold(0.0), self.point.noise):
            return False
        average = (self.first_value - self.best.value) / max(self.iteration, 1)
        return not self.method.has_fixed_steps or spread < _FLATTENED * average * len(last)

    def _is_above_best(self):
        """Whether a point that the run has left is clearly better: this one is no optimum, or only a local one."""
        return self.point.value > self.best.value + max(self.point.noise, self._threshold(0.0))

    def _look(self, stalled=False):
        """Take the certificate: a final status, or None with the next look put off."""
        if stalled:
            self.rounding = self.point.noise
        certificate = self.certificate = certify(self.problem, self.point, self._factors(), self._threshold)
        if self._is_perfect():
            return "optimal"
        enough = min(self._threshold(certificate.decrement), np.finfo(float).max)
        if self._is_remnant() and self.objective.relative_size(self.point.theta, certificate.step) <= self.tol:
            # at a singular optimum the decrement never is small beside what is left
            enough = max(enough, certificate.decrement)
        if certificate.decrement <= enough and not self._is_above_best():
            if certificate.downhill is not None:
                if self.method.leaves_saddles or stalled or self._stands_still(certificate.decrement):
                    return self._leave_saddle(certificate.downhill)
            elif certificate.change <= MOST_CHANGE and not self.objective.has_kinks:
                return None if self._leaves_plateau() else "optimal"
            elif certificate.decrement <= _SUSPICIOUS * self._scale(0.0) and self._is_separated():
                return "separated"
        self.next_look = self.iteration + self.look_gap
        if certificate.factor is not None and self.spec.precondition in ("auto", "full"):
            self._move_to(certificate.factor)
        else:
            self.look_gap = min(2 * self.look_gap, _LONGEST_GAP)
        return None

    def _stands_still(self, decrement):
        """Whether a run would stay at a saddle: one that only passes it is far from the saddle in these terms."""
        return decrement <= _STANDSTILL * self._threshold(decrement)

    def _exhausted(self):
        """Nothing gains any more: once more with a factor taken here, then stalled."""
        status = self._look()
        if status is not None:
            return status
        if self._has_settled(min(_SETTLING_EXHAUSTED, self.iteration)):
            return "settled"
        if self.gained > self.rescued and not self.problem.is_identity:
            self.rescued = self.iteration
            if self.problem.factor.theta is not self.point.theta:
                self._refresh()
            return None
        return self._last_look("stalled")

    def _last_look(self, status):
        """Whether a run that ends without a certificate ends for a better reason."""
        if self.best is self.outside:
            return status
        if self.point is not self.best:
            self.problem, self.point = self.problem.refactored(self.problem.factor, self.best)
        if self._would_look_in_vain():
            return status
        return self._look(stalled=status == "stalled") or ("separated" if self._is_separated() else status)

    def _would_look_in_vain(self):
        """Whether the point is far from an optimum even by the latest factor, and exact curvature would only say so."""
        return self.objective.exact_is_dear and not self._proposes()

    def _is_separated(self):
        if self.diagnoses and not self.asked:
            self.asked = True
            self.counts.others += 1
            self.recession = self.objective.diagnose(self.point.theta, self.certificate.step)
        return self.recession is not None

    def _leave_saddle(self, downhill):
        """Go on below a saddle if the solver follows negative curvature, else say that it is one."""
        if not self.method.leaves_saddles:
            return "saddle"
        for length in _ESCAPES:
            for theta in (self.point.theta + length * downhill, self.point.theta - length * downhill):
                self.counts.evaluations += 1
                if self.objective.value_and_gradient(theta)[0] < self.point.value - self.point.noise:
                    self._restart(theta)
                    return None
        return "saddle"

    def _leaves_plateau(self):
        """Go on from a lower point that was not seen from here, where parameters have no influence."""
        for theta in self.objective.probes(self.point.theta):
            self.counts.evaluations += 1
            if self.objective.value_and_gradient(theta)[0] < self.point.value - self.point.noise:
                self._restart(theta)
                return True
        return False

    def _restart(self, theta):
        factor = self._factor_at(theta)
        self.problem = Preconditioned(self.objective, factor, theta, self.counts).restricted()
        self.point = self.best = self.problem.start()
        self.certificate = None
        self._after_refresh()

    # -- refreshing the preconditioner ------------------------------------------------------------------------------

    def _refresh_if_slow(self):
        """A factor at the current point where the old one no longer makes the decrement fall tenfold."""
        every = self.method.refresh_every
        if every is None or self.problem.is_identity or self.iteration - self.refreshed < every:
            return
        if not np.isfinite(self.point.value):
            return
        estimate = self._estimate()
        if estimate < 0.1 * self.refresh_decrement:
            self.refreshed, self.refresh_decrement = self.iteration, estimate
        else:
            self._refresh()

    def _refresh(self):
        factor = self._factor_at(self.point.theta)
        if self.in_units and not factor.reaches_all:
            self._move_inside(factor)
        else:
            self._move_to(factor)
        self.in_units = False

    def _move_inside(self, factor):
        """Go on where coordinates that cannot reach every point come nearest; the best point is not forgotten."""
        self.outside = self.best
        origin = factor.restrict(self.point.theta)
        self.problem = Preconditioned(self.objective, factor, origin, self.counts)
        self.point = self.problem.start()
        if self.point.value <= self.best.value:
            self.best = self.point
        self._after_refresh()

    def _move_to(self, factor):
        """Go on in the coordinates of another factor."""
        is_best = self.point is self.best
        self.problem, self.point = self.problem.refactored(factor, self.point)
        self.best = self.point if is_best else self.best
        self._after_refresh()

    def _after_refresh(self):
        self.method.reset()
        self.refreshed = self.iteration
        self.refresh_decrement = self.best_decrement = self._estimate()

    # -- what comes out ---------------------------------------------------------------------------------------------

    def _record(self, size, damping):
        row = {
            "iteration": self.iteration,
            "epoch": self.counts.evaluations,
            "objective": self.point.value,
            "gradient_norm": float(np.abs(self.point.gradient).max(initial=0.0)),
            "decrement": self._estimate(),
            "step": size,
            "damping": damping,
            "evaluations": self.counts.evaluations,
            "hessian_products": self.counts.hessians + self.counts.products,
            "seconds": time.perf_counter() - self.began,
        }
        for name, value in row.items():
            self.history[name].append(value)

    def _state(self):
        return State(self.point.theta.copy(), self.iteration, {name: rows[-1] for name, rows in self.history.items()})

    def _result(self, status):
        point = self.point if status in ("optimal", "separated", "saddle") else self.best
        gap = point.value - self.objective.lower_bound
        is_known = self.certificate is not None and status != "settled"
        decrement = min(self.certificate.decrement, gap) if is_known else np.nan
        known = 0.0 if np.isnan(decrement) else decrement
        scale = self._scale(known)
        x = self.objective.canonical(point.theta)
        if status == "optimal" and not self.problem.is_identity:
            x, passes = self.objective.refined(x)
            self.counts.others += passes
        recession = self.recession if status == "separated" else None
        ending = Ending(status, self.spec, self.objective, self.iteration, point, decrement, scale, recession)
        remarks = self.objective.remarks(point.theta)
        if status in ("stalled", "max_iter", "diverged"):
            remarks = [*remarks, *self.objective.suspicions(point.theta)]
        convergence = Convergence(
            status=status,
            message=" ".join([ending.message(), *remarks, *([str(self.edge)] if self.edge else [])]),
            objective=point.value,
            decrement=decrement,
            scale=self._threshold(known) / self.tol**2,
            tol=self.tol,
            gradient_norm=float(np.abs(point.gradient).max(initial=0.0)),
            passes=self.counts.passes,
            flat_directions=tuple(self.objective.flat_directions()),
            separation=recession,
        )
        return Result(
            x=x,
            fun=point.value,
            jac=point.gradient,
            nit=self.iteration,
            nfev=self.counts.evaluations,
            nhev=self.counts.hessians + self.counts.products,
            success=status == "optimal",
            status=status,
            message=convergence.message,
            solver=self.spec,
            convergence=convergence,
            history={name: np.asarray(column) for name, column in self.history.items()},
        )
