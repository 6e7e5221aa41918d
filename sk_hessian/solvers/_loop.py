"""The one loop of all solvers: advance, look whether to stop, and say truthfully how it ended.

A run ends as ``optimal`` only by a certificate: half the squared Newton decrement g'H^-1 g / 2 with a full factor of
the exact Hessian near the point (or conjugate gradients on its products) is at most tol^2 times the objective's scale,
and a Newton step would move no linear predictor by more than `MOST_CHANGE`. What a solver's own preconditioner says
only proposes to look.
"""

import time
from dataclasses import dataclass

import numpy as np

from sk_hessian.solvers import steps
from sk_hessian.solvers.linear import conjugate_gradient, lowest_eigenpair
from sk_hessian.solvers.preconditioned import Counts, factor_at, precondition
from sk_hessian.solvers.result import HISTORY_COLUMNS, Convergence, Result

#: a linear predictor that a Newton step moves by more, in units over which the curvature changes e-fold, is not settled
MOST_CHANGE = 0.1

#: within MOST_CHANGE the curvature may differ by e^0.1: a factor from there must show this much less
_NEARBY = np.exp(-MOST_CHANGE)

#: up to so many parameters an exact factor is a cheaper certificate than conjugate gradients
_SMALL = 200

#: conjugate gradients have found the decrement when so many iterations in turn add less than a hundredth
_SETTLED = 3
_MOST_PRODUCTS = 500

#: iterations without any gain, beyond rounding, after which precision is exhausted
_PATIENCE = 30

#: eigenvalues below minus this share of the largest are negative curvature; trained networks have -1e-7 all the time
_NEGATIVE = 1e-3

#: an objective that rose by so many scales above its start has diverged
_DIVERGED = 1e6


@dataclass(frozen=True)
class State:
    """What a callback sees after each iteration.

    Attributes
    ----------
    x : ndarray
        Parameters.
    iteration : int
    record : dict
        The row of the history.
    """

    x: np.ndarray
    iteration: int
    record: dict


@dataclass(frozen=True)
class Certificate:
    """The exact decrement at a point and what a Newton step from there would do.

    Attributes
    ----------
    decrement : float
    change : float
        Largest move of a linear predictor by a Newton step.
    step : ndarray
        That step in theta.
    factor : factor or None
        A new exact one, if it was taken.
    downhill : ndarray or None
        A direction of negative curvature in theta.
    """

    decrement: float
    change: float
    step: np.ndarray
    factor: object = None
    downhill: np.ndarray | None = None


class Run:
    """One run of a solver on an objective."""

    def __init__(self, objective, x0, spec, tol, rng):
        self.objective, self.spec, self.tol = objective, spec, tol
        self.began = time.perf_counter()
        self.counts = Counts()
        self.problem = precondition(objective, spec.precondition, x0, self.counts, not spec.exact_factors)
        self.point = self.problem.start()
        if not np.isfinite(self.point.value):
            raise ValueError("the objective is not finite at the start x0; pass a feasible one")
        self.method = spec.begin(self.problem, objective.scale, rng)
        self.first = self.best = self.point
        self.iteration = self.refreshed = self.next_look = self.gained = 0
        self.records = {name: [] for name in HISTORY_COLUMNS}
        self.certificate, self.separation, self._asked = None, None, False
        self.refresh_decrement = self.best_decrement = self._estimate()
        self.drop = np.inf
        self.look_gap = 1

    # -- the loop ---------------------------------------------------------------------------------------------------

    def go(self, max_iter, callback):
        """Iterate until a verdict; returns the `Result`."""
        self._record(0.0, 0.0)
        while True:
            status = self._verdict()
            if status is None and self.iteration >= max_iter:
                status = self._last_look("max_iter")
            if status is not None:
                return self._result(status)
            self._advance()
            if callback is not None and callback(State(self.point.theta, self.iteration, self._latest())):
                return self._result("stopped")

    def _advance(self):
        step = self.method.advance(self.problem, self.point)
        self.iteration += 1
        self.drop = self.point.value - step.point.value
        self.point = step.point
        if not step.moved:
            self._stuck = True
        if self.point.value < self.best.value:
            self.best = self.point
        self._note_gain()
        self._record(step.size, step.damping)
        self._refresh_if_slow()

    _stuck = False

    def _note_gain(self):
        estimate = self._estimate()
        gained = self.drop > steps.noise(self.first) + steps.noise(self.point) and self.point is self.best
        if gained or estimate < 0.9 * self.best_decrement:
            self.gained = self.iteration
            self.best_decrement = min(self.best_decrement, estimate)

    # -- verdicts ---------------------------------------------------------------------------------------------------

    def _verdict(self):
        """A final status, or None to go on."""
        if not np.isfinite(self.point.value) or self._rose_too_far():
            return "diverged"
        exhausted = self._stuck or self.iteration - self.gained > _PATIENCE
        if exhausted:
            self._stuck = False
            return self._exhausted()
        if self._proposes() and self.iteration >= self.next_look:
            return self._look()
        return None

    def _rose_too_far(self):
        return self.point.value - self.first.value > _DIVERGED * max(self._scale(0.0), abs(self.first.value))

    def _scale(self, decrement):
        """The objective's scale; for a plain function what the run has gained and may still gain."""
        if self.objective.scale is not None:
            return self.objective.scale
        return self.first.value - self.point.value + decrement

    def _threshold(self, decrement):
        threshold = self.tol**2 * self._scale(decrement)
        return threshold if self.objective.scale is not None else max(threshold, steps.noise(self.point))

    def _estimate(self):
        """Half the squared decrement by the best factor at hand; the last gain where there is none."""
        factor = self.method.factor if getattr(self.method, "factor", None) is not None else self.problem.factor
        if self.problem.is_identity and factor is self.problem.factor:
            return 0.5 * float(self.point.slope @ self.point.slope)
        root = factor.transpose(self.point.gradient)
        return 0.5 * float(root @ root)

    def _proposes(self):
        if self.problem.is_identity and getattr(self.method, "factor", None) is None:
            return not self.point.slope.any() or abs(self.drop) <= self._threshold(
                np.inf if self.objective.scale is None else 0
            )
        estimate = self._estimate()
        return estimate <= self._threshold(estimate) or self._gap_is_small()

    def _gap_is_small(self):
        """The objective is so near its lower bound that nothing can be gained (a perfect fit)."""
        return self.point.value - self.objective.lower_bound <= self._threshold(0.0)

    def _look(self):
        """Take the certificate: a status, or None with the next look put off."""
        certificate = self.certificate = self._certify()
        if certificate.decrement <= self._threshold(certificate.decrement) or self._gap_is_small():
            if certificate.downhill is not None:
                return self._at_saddle(certificate)
            if certificate.change <= MOST_CHANGE:
                return "optimal"
            if self._is_separated(certificate.step):
                return "separated"
        self._use(certificate.factor)
        self.look_gap = min(2 * self.look_gap, 64)
        self.next_look = self.iteration + (
            self.look_gap if self.problem.is_identity or certificate.factor is None else 1
        )
        return None

    def _exhausted(self):
        """No step gains anything: with a fresh exact factor once more, else stalled."""
        status = self._look()
        if status is not None:
            return status
        fresh = self.refreshed == self.iteration and self.iteration > self._last_fresh
        if fresh and self.spec.precondition is not None:
            self._last_fresh = self.iteration + 2
            self.gained = self.iteration
            return None
        return self._last_look("stalled")

    _last_fresh = -1

    def _last_look(self, status):
        """Whether a run that ends without a certificate ends for a better reason."""
        if self.certificate is None or status == "max_iter":
            self.point = self.best
            final = self._look()
            if final is not None:
                return final
        return "separated" if self._is_separated(self.certificate.step) else status

    def _is_separated(self, step):
        if not self._asked:
            self._asked = True
            self.counts.others += 1
            self.separation = self.objective.diagnose(self.point.theta, step)
        return self.separation is not None

    def _at_saddle(self, certificate):
        """Leave along the negative curvature if the solver follows it, else say so."""
        if not getattr(self.method, "leaves_saddles", False):
            return "saddle"
        direction = certificate.downhill
        for size in 2.0 ** -np.arange(0, 40):
            for sign in (1, -1):
                u = self.problem.factor.transpose(direction) * 0 if False else None
                theta = self.point.theta + sign * size * direction
                value, _ = self.objective.value_and_gradient(theta)
                self.counts.evaluations += 1
                if value < self.point.value - steps.noise(self.point):
                    self._restart_at(theta)
                    return None
        return "saddle"

    def _restart_at(self, theta):
        self.problem = precondition(
            self.objective, self.spec.precondition, theta, self.counts, not self.spec.exact_factors
        )
        self.point = self.best = self.problem.start()
        self.method.reset()
        self.method.factor = None

    # -- certificates -----------------------------------------------------------------------------------------------

    def _certify(self):
        """The `Certificate` at the current point, the cheapest that can be trusted."""
        if not self.objective.convex:
            return self._certify_with_eigenvalues()
        for factor in (getattr(self.method, "factor", None), self.problem.factor):
            if factor is not None and factor.certifies:
                certificate = self._by_factor(factor)
                if certificate is not None:
                    return certificate
        size = self.point.theta.size
        dense = self.objective.forms_hessian(size)
        if dense and (size <= _SMALL or self.problem.is_identity or self.spec.precondition == "diagonal"):
            return self._by_exact_factor()
        return self._by_products()

    def _by_factor(self, factor):
        """From an exact factor taken nearby, or None if it was too far away."""
        root = factor.transpose(self.point.gradient)
        step = -factor.apply(root)
        away = self.point.theta - factor.theta
        moved, change = self._changes(away, step)
        if moved > MOST_CHANGE:
            return None
        decrement = 0.5 * float(root @ root) / (1.0 if moved == 0 else _NEARBY)
        return Certificate(decrement, change, step)

    def _changes(self, *directions):
        self.counts.others += 0.5
        return self.objective.predictor_change(self.point.theta, directions)

    def _by_exact_factor(self):
        kind = "full" if self.objective.resolve("auto", self.point.theta.size) != "kronecker" else "kronecker"
        self.counts.hessians += 1
        factor = self.objective.preconditioner(self.point.theta, kind, curvature="observed")
        root = factor.transpose(self.point.gradient)
        step = -factor.apply(root)
        return Certificate(0.5 * float(root @ root), self._changes(step)[0], step, factor)

    def _by_products(self):
        """Conjugate gradients until the decrement stops growing."""
        operator = self.problem.hessian(self.point, "observed")
        quiet = 0

        def settled(cg):
            nonlocal quiet
            quiet = quiet + 1 if cg.n_iter and cg.gain <= 0.01 * cg.decrement else 0
            return quiet >= _SETTLED or cg.decrement > self._threshold(cg.decrement)

        cg = conjugate_gradient(
            operator.matvec, self.point.slope, 0.0, settled, min(2 * self.point.u.size, _MOST_PRODUCTS)
        )
        step = self.problem.factor.apply(cg.step)
        return Certificate(cg.decrement, self._changes(step)[0], step)

    def _certify_with_eigenvalues(self):
        """For what may be a saddle: the decrement with absolute curvatures, and the most negative one."""
        size = self.point.u.size
        dense = self.objective.forms_hessian(size)
        matrix = self.problem.hessian_matrix(self.point, "observed") if dense else None
        operator = None if dense else self.problem.hessian(self.point, "observed")
        value, vector, largest = lowest_eigenpair(operator, matrix)
        downhill = self.problem.factor.apply(vector) if value < -_NEGATIVE * largest else None
        if dense:
            values, vectors = np.linalg.eigh(matrix)
            along = vectors.T @ self.point.slope
            curvature = np.maximum(np.abs(values), np.finfo(float).eps * max(largest, np.finfo(float).tiny))
            step = -self.problem.factor.apply(vectors @ (along / curvature))
            decrement = 0.5 * float(along @ (along / curvature))
        else:
            found = self._by_products()
            step, decrement = found.step, found.decrement
        return Certificate(decrement, self._changes(step)[0], step, None, downhill)

    # -- refreshing the preconditioner ------------------------------------------------------------------------------

    def _use(self, factor):
        """Go on in the coordinates of a new exact factor, unless the user fixed them."""
        if factor is None or self.spec.precondition not in ("auto", "full"):
            return
        self.problem, self.point = self.problem.refactored(factor, self.point)
        self._after_refresh()

    def _after_refresh(self):
        self.method.reset()
        self.refreshed = self.iteration
        self.refresh_decrement = self.best_decrement = self._estimate()

    def _refresh_if_slow(self):
        """A factor at the current point where the old one no longer makes the decrement fall tenfold."""
        every = self.method.refresh_every
        if every is None or self.problem.is_identity or self.method.is_stochastic:
            return
        if self.iteration - self.refreshed < every or not np.isfinite(self.point.value):
            return
        if self._estimate() < 0.1 * self.refresh_decrement:
            self.refreshed, self.refresh_decrement = self.iteration, self._estimate()
            return
        kind = self.objective.resolve(self.spec.precondition, self.point.theta.size)
        factor = factor_at(self.objective, kind, self.point.theta, self.counts, not self.spec.exact_factors)
        self.problem, self.point = self.problem.refactored(factor, self.point)
        self._after_refresh()

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
            self.records[name].append(value)

    def _latest(self):
        return {name: column[-1] for name, column in self.records.items()}

    def _result(self, status):
        point = self.point if status in ("optimal", "stopped", "saddle") else self.best
        certified = self.certificate is not None and status in ("optimal", "saddle", "separated", "stalled", "max_iter")
        decrement = self.certificate.decrement if certified else np.nan
        scale = self._scale(0.0 if np.isnan(decrement) else decrement)
        convergence = Convergence(
            status=status,
            message=self._message(status, decrement, scale, point),
            objective=point.value,
            decrement=decrement,
            scale=scale,
            tol=self.tol,
            gradient_norm=float(np.abs(point.gradient).max(initial=0.0)),
            passes=self.counts.passes,
            flat_directions=tuple(self.objective.flat_directions()),
            separation=self.separation if status == "separated" else None,
        )
        return Result(
            x=self.objective.canonical(point.theta),
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
            history={name: np.asarray(column) for name, column in self.records.items()},
        )

    def _message(self, status, decrement, scale, point):
        name = type(self.spec).__name__.lower()
        distance = "unknown" if np.isnan(decrement) or scale <= 0 else f"about {decrement / scale:.2g} of the scale"
        after = f"{name} ended after {self.iteration} iterations at objective {point.value:.10g}; distance to the optimum {distance}"
        return {
            "optimal": f"optimal: {after}.",
            "stopped": f"stopped: {after}. A callback asked for it.",
            "stalled": f"stalled: {after}. No step lowers the objective any more: floating-point precision is exhausted, or a fixed "
            'learning rate or batch size cannot do better. Use a larger tol, solver="newton", or drop nearly dependent columns.',
            "separated": f"separated: {self.separation}; the optimum is at infinity. {after}. "
            "Add a penalty (a finite C, or alpha > 0), or drop or merge what separates.",
            "saddle": f'saddle: {after}, but a direction of negative curvature is left. Use Newton(hessian="exact"), or another start.',
            "diverged": f"diverged: {after} (its best iterate). Use a smaller learning_rate, or learning_rate='auto'.",
            "max_iter": f'max_iter: {after}. Use a larger max_iter, solver="newton" or "lbfgs", or learning_rate="auto".',
        }[status]
