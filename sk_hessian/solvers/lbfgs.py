"""Limited-memory quasi-Newton."""

from typing import Any, ClassVar

import numpy as np

from sk_hessian.solvers import plan, steps
from sk_hessian.solvers.method import MethodRun, Step
from sk_hessian.solvers.options import Positive, Solver


class LBFGS(Solver):
    """Limited-memory quasi-Newton: theta - eta (H_k) g from the last pairs of steps and gradient changes.

    Parameters
    ----------
    memory : int, default=10
        Pairs kept.
    subsample : "auto" or None, default="auto"
        "auto": where rows are many, begin at the optimum on a sample of a tenth of them, with its Hessian as
        preconditioner; None: begin where it is told to.
    learning_rate : "auto" or float, default="auto"
        "auto": a line search for the strong Wolfe conditions; a float is taken as it is.
    precondition : "auto", None, "diagonal", "full" or "kronecker", default="auto"
        The matrix that the recursion starts from.

    References
    ----------
    .. [1] D. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """

    options: ClassVar = {"memory": (Positive(integral=True),), "subsample": ("auto", None)}
    serves_constraints = True

    def __init__(self, memory=10, *, subsample="auto", learning_rate="auto", precondition="auto"):
        self.memory = memory
        self.subsample = subsample
        self.learning_rate = learning_rate
        self.precondition = precondition

    def warms_up(self, objective: Any) -> bool:
        """See `Solver.warms_up`."""
        return self.subsample is not None and self.precondition is not None and self.learning_rate == "auto"

    @property
    def exact_factors(self):
        """See `Solver.exact_factors`."""
        return self.subsample is None

    def tries_units(self, objective: Any, n_parameters: int) -> bool:
        """See `Solver.tries_units`."""
        return self.precondition == "auto" and self.learning_rate == "auto" and plan.can_wait(objective, n_parameters)

    def begin(self, problem, point, random_state):
        """See `Solver.begin`."""
        return LBFGSRun(self)


class LBFGSRun(MethodRun):
    """One run of `LBFGS`."""

    refresh_every = plan.REFRESH_LBFGS

    def __init__(self, spec):
        self.memory, self.rate = spec.memory, spec.learning_rate
        self.is_textbook = self.has_fixed_steps = spec.learning_rate != "auto"
        self.learns_from_steps = not self.is_textbook
        self.reset()

    def reset(self):
        """See `MethodRun.reset`."""
        self.pairs = []

    def advance(self, problem, point):
        """One step."""
        direction = self._direction(point.slope)
        if self.is_textbook:
            step = Step(problem.evaluate(point.u + self.rate * direction), self.rate)
        else:
            first = 1.0 if self.pairs else steps.first_step(problem, direction)
            step = steps.line_search(problem, point, direction, first)
        if step.moved:
            self.learn(point, step.point)
        return step

    def learn(self, start, end):
        """See `MethodRun.learn`; a step whose curvature is not positive is not remembered."""
        s, y = end.u - start.u, end.slope - start.slope
        curvature = s @ y
        if curvature > np.finfo(float).eps * np.linalg.norm(s) * np.linalg.norm(y):
            self.pairs = [*self.pairs, (s, y, 1 / curvature)][-self.memory :]

    def _direction(self, slope):
        """-(H_k) g by the two-loop recursion over the last pairs (Nocedal & Wright, algorithm 7.4).

        The first matrix is the identity of the coordinates it runs in (so the preconditioner of the objective), scaled
        by s'y / y'y of the latest pair (their equation 7.20).
        """
        q, alphas = slope.copy(), []
        for s, y, rho in reversed(self.pairs):
            alphas.append(rho * (s @ q))
            q -= alphas[-1] * y
        if self.pairs:
            s, y, rho = self.pairs[-1]
            q *= 1 / (rho * (y @ y))
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += (alpha - rho * (y @ q)) * s
        return -q
