"""The verdict on a run: what counts as optimal, and how a run truthfully ends.

``optimal`` needs a certificate (see `certificates`): a decrement of at most tol^2 times the objective's scale, and no
linear predictor that a Newton step would still move.
"""

import math
from typing import Any

import numpy as np

from sk_hessian.solvers import escapes, plan
from sk_hessian.solvers.certificates import MOST_CHANGE, Certificate, certify
from sk_hessian.solvers.problem import Point

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

#: decrement, as a share of the scale, of a start that needs no step
_AT_OPTIMUM = 1e-18

#: a Newton step that still moves predictors at a decrement below this share of the scale suggests separation
SUSPICIOUS = 1e-6

#: a run stands still at a decrement below this share of what counts as optimal
_STANDSTILL = 1e-4

#: what rounding hides is no perfect fit above this share of the first value: near a pole of the loss it hides a lot
_NEARLY_NOTHING = 1e-10

#: a decrement above this share of the scale is no rounding
_NEAR_ROUNDING = 1e-8


class Standard:
    """What counts as optimal at a point; ``rounding`` is what errors of a likelihood may not ask for."""

    def __init__(self, objective, point, first_value, tol, rounding):
        self.objective, self.point, self.tol, self.rounding = objective, point, tol, rounding
        self.gained = first_value - point.value
        self.own_scale = objective.scale if objective.is_model else objective.scale_at(point.value, first_value)
        self._errors = None

    def scale(self, decrement):
        """The objective's scale; for a plain function what the run has gained and may still gain."""
        return self.gained + decrement if self.own_scale is None else self.own_scale

    def threshold(self, decrement):
        """The largest decrement that counts as optimal."""
        scale = self.gained + decrement if self.own_scale is None else self.own_scale
        threshold = self.tol**2 * scale
        if self.own_scale is None:
            return max(threshold, self.point.noise)
        if threshold < decrement <= _NEAR_ROUNDING * scale:
            return max(threshold, self.point.floor)
        if self._errors is None:
            self._errors = self.point.here.likelihood_tolerance(self.tol)
        return min(threshold, max(self._errors, self.rounding))

    def least(self):
        """The smallest difference of the objective that means anything."""
        return max(self.threshold(0.0), self.point.noise)


class Verdict:
    """Looks at a run after each iteration, and says how it ended; ``diagnoses`` separation and optima on the edge."""

    def __init__(self, run, tol, max_iter, diagnoses=True):
        self.run, self.tol, self.max_iter, self.diagnoses = run, tol, max_iter, diagnoses
        self.objective = run.objective
        self.lower_bound = run.objective.lower_bound
        self.is_bounded = self.lower_bound > -np.inf
        #: a decrement above that is not optimal, whatever a likelihood asks for; None for plain functions
        self.most = max(tol**2, _NEAR_ROUNDING) * run.objective.scale if run.objective.is_model else None
        self.certificate: Any = None
        #: a direction along which the loss falls for ever, and whether it was looked for
        self.recession: Any = None
        self.asked = False
        #: an optimum on the edge of the domain, and when to look for one again while the run is near it
        self.edge: Any = None
        self.next_edge = 0
        #: the constraints that hold at the end, in words, and their multipliers
        self.active: tuple = ()
        self.multipliers: Any = ()
        self.next_look, self.look_gap = 0, 1
        #: the iteration at which an exhausted run was given another factor
        self.rescued = -1
        #: once a run has stalled, the rounding of the objective
        self.rounding = 0.0
        self._standard: Standard | None = None

    @property
    def standard(self):
        """The `Standard` at the latest point."""
        if self._standard is None or self._standard.point is not self.run.point:
            self._standard = Standard(self.objective, self.run.point, self.run.first_value, self.tol, self.rounding)
        return self._standard

    # -- when to ask ------------------------------------------------------------------------------------------------

    def at_start(self):
        """A status if not even one step is worth it: a heavy penalty's small coefficients are."""
        run = self.run
        if run.problem.is_identity:
            is_there = not run.point.gradient.any()
        else:
            is_there = run.estimate <= max(_AT_OPTIMUM * self.standard.scale(0.0), self.objective.resolution)
        return self.after_step() if is_there else None

    def after_step(self):
        """A final status, or None to go on."""
        run = self.run
        value = run.point.value
        if not -_DIVERGED_DOWN < value <= run.first_value and (not math.isfinite(value) or self._left_all_bounds()):
            return "diverged"
        if self.objective.has_kinks and self._has_settled(_SETTLING):
            return "optimal" if self.is_perfect() else "settled"
        if run.iteration - max(run.gained, self.rescued) > _PATIENCE:
            return self.exhausted()
        if run.iteration >= self.next_look and self._proposes():
            status = self._look(fall=run.fall)
            if status is None and self.certificate is not None and self.certificate.change >= 1:
                status = self._at_near_edge()
            if status is None and self._takes_newton_step() and self._proposes():
                status = self._look(fall=run.fall)
            return status
        return self._at_near_edge() if run.drop <= plan.HELD_BACK * run.estimate else None

    def exhausted(self):
        """Nothing gains any more: once more with a factor taken here, then stalled."""
        run, status = self.run, self._look()
        if status is not None:
            return status
        if self.objective.has_kinks:
            has_settled = self._has_settled(min(_SETTLING_EXHAUSTED, run.iteration))
            # where no step helps, an optimum of the smooth piece that the run is on is one as far as can be told
            if has_settled or self._is_at_rest():
                return "settled"
        if run.gained > self.rescued and not run.problem.is_identity:
            self.rescued = run.iteration
            if run.problem.factor.here.place is not run.point.here.place:
                run.refresh()
            return None
        return self.last_look("stalled")

    def last_look(self, status):
        """Whether a run that ends without a certificate ends for a better reason."""
        run = self.run
        if run.best is run.outside:
            return status
        if run.point is not run.best:
            run.stand(*run.problem.refactored(run.problem.factor, run.best))
        if plan.exact_is_dear(self.objective) and not self._proposes():
            # far from an optimum even by the latest factor: exact curvature would only say so
            return status
        return self._look(stalled=status == "stalled") or ("separated" if self._is_separated() else status)

    # -- facts ------------------------------------------------------------------------------------------------------

    def _left_all_bounds(self):
        run = self.run
        rise, size = run.point.value - run.first_value, abs(run.first_value)
        if rise > _DIVERGED_UP * size and rise > _DIVERGED_UP * self.standard.scale(0.0):
            return True
        return rise < -_DIVERGED_DOWN * max(1.0, size)

    def _proposes(self):
        """Whether to take the certificate."""
        run = self.run
        has_factor = not run.problem.is_identity or run.method.factor is not None
        if has_factor and not self.is_bounded and self.most is not None and run.estimate > self.most:
            return False
        standard = self.standard
        if not has_factor:
            return abs(run.drop) <= standard.threshold(0.0) or not run.point.gradient.any()
        if run.estimate <= standard.threshold(run.estimate):
            return True
        return self.is_bounded and (self.is_perfect() or self._is_remnant())

    def is_perfect(self):
        """Whether so little is left above the objective's lower bound that nothing can be gained."""
        if not self.is_bounded:
            return False
        gap, first = self.run.point.value - self.lower_bound, self.run.first_value - self.lower_bound
        return gap <= max(self.standard.threshold(0.0), min(self.run.point.noise, _NEARLY_NOTHING * first))

    def _is_remnant(self):
        """Whether a function with a lower bound has come as near to it as rounding of its first value."""
        if self.objective.n_rows is not None or not self.is_bounded:
            return False
        gap, first = self.run.point.value - self.lower_bound, self.run.first_value - self.lower_bound
        return gap <= np.finfo(float).eps * first

    def _has_settled(self, window):
        """Whether the last iterations neither gained nor lost more than the tolerance, where no optimum can be proved.

        A fixed step length may be the reason that they gained little: then the run must have been faster before.
        """
        run = self.run
        if run.method.shortens_steps or run.iteration < window:
            return False
        last = run.history.latest_values(window + 1)
        spread = max(last) - min(last)
        if not spread <= self.standard.least():
            return False
        average = (run.first_value - run.best.value) / max(run.iteration, 1)
        return not run.method.has_fixed_steps or spread < _FLATTENED * average * len(last)

    def _is_separated(self):
        if self.diagnoses and not self.asked and self.certificate is not None:
            self.asked = True
            self.run.counts.others += 1
            self.recession = self.objective.diagnose(self.run.point.theta, self.certificate.step.theta)
        return self.recession is not None

    def allow_rounding(self):
        """From now on errors of a likelihood need not be smaller than what rounding of the objective hides."""
        self.rounding, self._standard = self.run.point.noise, None

    # -- the certificate --------------------------------------------------------------------------------------------

    def _look(self, stalled=False, fall=1.0):
        """Take the certificate: a final status, or None with the next look put off; ``fall`` as in `certify`."""
        run = self.run
        if stalled:
            self.allow_rounding()
        standard = self.standard
        certificate = self.certificate = certify(run.problem, run.point, run.factors(), standard.threshold, fall)
        if self.is_perfect():
            return "optimal"
        # a point that the run has left and that is clearly better: this one is no optimum, or only a local one
        is_above_best = run.point.value > run.best.value + standard.least()
        if certificate.decrement <= self._enough(certificate) and not is_above_best:
            if certificate.downhill is not None:
                # a run that only passes a saddle is far from it in these terms
                stands_still = certificate.decrement <= _STANDSTILL * standard.threshold(certificate.decrement)
                if run.method.leaves_saddles or stalled or stands_still:
                    follows = run.method.leaves_saddles and escapes.below_saddle(run, certificate.downhill)
                    return self._unless(follows, "saddle")
            elif certificate.is_blind and self._is_separated():
                return "separated"
            elif certificate.change <= MOST_CHANGE and not self.objective.has_kinks:
                return self._unless(escapes.off_plateau(run), "optimal")
            elif certificate.decrement <= SUSPICIOUS * standard.scale(0.0) and self._is_separated():
                return "separated"
        self._put_off(certificate)
        return None

    def _is_at_rest(self):
        """Whether the latest look has found nothing to gain, were it not for kinks."""
        found = self.certificate
        return found is not None and found.decrement <= self._enough(found) and found.downhill is None

    def _enough(self, certificate):
        """The largest decrement that passes."""
        enough = min(self.standard.threshold(certificate.decrement), np.finfo(float).max)
        if not self._is_remnant():
            return enough
        # at a singular optimum the decrement never is small beside what is left
        size = self.objective.relative_size(self.run.point.theta, certificate.step.theta)
        return max(enough, certificate.decrement) if size <= self.tol else enough

    def _put_off(self, certificate):
        """The next look comes later, unless this one has brought a factor to go on with."""
        run = self.run
        if certificate.is_coarse:
            return
        self.next_look = run.iteration + self.look_gap
        if certificate.factor is not None and run.spec.precondition in ("auto", "full"):
            run.move_to(certificate.factor)
        else:
            self.look_gap = min(2 * self.look_gap, plan.LONGEST_GAP)

    def _unless(self, has_escaped, status):
        """A status that is void where the run goes on from elsewhere."""
        self.certificate = None if has_escaped else self.certificate
        return None if has_escaped else status

    # -- elsewhere --------------------------------------------------------------------------------------------------

    def _takes_newton_step(self):
        """Go on from the end of the Newton step that a look in vain has found; whether that is no higher.

        Not a textbook run, whose rate is a float or whose coordinates are the user's: it goes on by its formula.
        """
        run = self.run
        is_textbook = run.spec.precondition is None or not run.method.learns_from_steps
        if is_textbook or run.told_to_stop or run.iteration >= self.max_iter or self.certificate is None:
            return False
        if self.certificate.is_coarse:
            return False
        return escapes.by_newton_step(run, self.certificate)

    def _at_near_edge(self):
        """Look for an optimum on the edge where the run is near it."""
        run = self.run
        if run.iteration < self.next_edge or not run.point.here.approaches_edge():
            return None
        self.next_edge = 2 * run.iteration
        return self.at_edge(None)

    def at_edge(self, status):
        """Where the optimum is on the edge of the domain, go there: its decrement is that over the feasible set.

        An objective that may not be convex can have optima inside and on the edge: the lower one counts.
        """
        run = self.run
        proved = self.edge is not None or (status == "optimal" and self.objective.convex)
        may_move = self.diagnoses and run.iteration < self.max_iter
        if proved or not may_move or status not in (None, "optimal", "stalled", "saddle"):
            return status
        edge = self.objective.edge_optimum(run.best.theta)
        if edge is None:
            return status
        run.counts.others += edge.passes
        here = self.objective.at(edge.theta).taken_for(edge.value, edge.gradient, run.best.here)
        there = Point(run.best.u, here, edge.value, run.best.slope, max(run.best.noise, here.noise))
        problem, point = run.problem.refactored(run.problem.factor, there)
        # beside an optimum that is proved already an edge as low to rounding is the same point
        enough = max(self.standard.threshold(edge.decrement), point.noise if status == "optimal" else 0.0)
        if not point.value <= run.best.value + point.noise or edge.decrement > enough:
            return status
        self.edge, self.certificate = edge, Certificate.without_step(edge.decrement, edge.theta.size)
        run.step_onto(problem, point)
        return "optimal"
