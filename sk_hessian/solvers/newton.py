"""Newton-Raphson."""

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from sk_hessian.objectives.coordinates import PointFactor
from sk_hessian.solvers import plan, steps
from sk_hessian.solvers.linear import DenseCurvature, DiagonalCurvature, OperatorCurvature
from sk_hessian.solvers.method import MethodRun, Step
from sk_hessian.solvers.options import Positive, Solver

#: most trial steps of one iteration: damping has then grown by 4^k (k+1)/2-fold, far beyond any curvature
_MOST_TRIALS = 25

#: a step ends near the minimum along it where the slope has fallen to this share
_FLAT_ENOUGH = 0.1

#: the longest step along a direction, in lengths of the one that the curvature asks for
_LONGEST_STEP = 4.0

_SUBSAMPLE_SEED = 20_110_901


class Newton(Solver):
    """Newton-Raphson: theta - eta (H + mu I)^-1 g, the minimiser of the damped second-order Taylor model.

    Parameters
    ----------
    hessian : {"auto", "exact", "gauss-newton", "subsampled", "diagonal"}, default="auto"
        "exact": the observed second derivative; "gauss-newton": the expected one, positive semi-definite;
        "subsampled": the expected one on a tenth of the rows (R. Byrd et al., "On the use of stochastic Hessian
        information in optimization methods for machine learning", 2011); "diagonal": its diagonal alone; "auto":
        "exact" for a convex objective or a plain function, else "gauss-newton", and "exact" once that gains little
        where it costs no more (a network of one hidden layer).
    linear_solver : {"auto", "cholesky", "cg"}, default="auto"
        Factor the matrix, or use products in truncated conjugate gradients; "auto" by size.
    damping : "auto" or float, default="auto"
        mu. "auto": Levenberg-Marquardt from the ratio of actual to predicted decrease.
    learning_rate : "auto" or float, default="auto"
        eta. "auto": 1, each step tested for decrease; a float is taken as it is.
    precondition : "auto", None, "diagonal", "full" or "kronecker", default="auto"
        The coordinates in which it damps and iterates.

    References
    ----------
    .. [1] J. Nocedal, S. Wright, "Numerical Optimization", 2nd ed., 2006, chapters 3, 7 and 10.
    """

    options: ClassVar = {
        "hessian": ("auto", "exact", "gauss-newton", "subsampled", "diagonal"),
        "linear_solver": ("auto", "cholesky", "cg"),
        "damping": ("auto", Positive(zero=True)),
    }
    exact_factors = True
    serves_constraints = True

    def __init__(
        self,
        hessian="auto",
        *,
        linear_solver="auto",
        damping="auto",
        learning_rate="auto",
        precondition="auto",
    ):
        self.hessian = hessian
        self.linear_solver = linear_solver
        self.damping = damping
        self.learning_rate = learning_rate
        self.precondition = precondition

    def check(self) -> None:
        """See `Solver.check`."""
        super().check()
        if self.hessian in ("subsampled", "diagonal") and self.linear_solver == "cg":
            raise ValueError(
                f'Newton: linear_solver="cg" uses products of all rows; hessian={self.hessian!r} needs "auto"'
            )

    def factor_kind(self, objective: Any, n_parameters: int) -> str | None:
        """See `Solver.factor_kind`: a Hessian that is factored anyway needs no more than units.

        A network's diagonal is cheap in its own units, and in no others.
        """
        if self.precondition != "auto":
            return self.precondition
        if self.hessian == "diagonal" and plan.exact_is_dear(objective):
            return "diagonal"
        if self.forms_hessian(objective, n_parameters):
            return plan.damping_kind(objective)
        return self.precondition

    def warms_up(self, objective: Any) -> bool:
        """See `Solver.warms_up`: where no optimum is near, most steps are as good on fewer rows."""
        return not objective.convex and self.damping == "auto" and self.learning_rate == "auto"

    def forms_hessian(self, objective: Any, n_parameters: int) -> bool:
        """Whether a run forms the Hessian as a matrix."""
        if self.linear_solver == "auto":
            return self.hessian != "diagonal" and plan.forms_hessian(objective, n_parameters)
        return self.linear_solver == "cholesky" and self.hessian != "diagonal"

    def takes_model_steps(self, objective: Any, n_parameters: int) -> bool:
        """See `Solver.takes_model_steps`: of a convex objective, without options that ask for other steps."""
        is_plain = self.damping == self.learning_rate == "auto" and self.hessian in ("auto", "exact")
        return objective.convex and is_plain and self.forms_hessian(objective, n_parameters)

    def begin(self, problem, point, random_state):
        """See `Solver.begin`."""
        return NewtonRun(self, problem)


class NewtonRun(MethodRun):
    """One run of `Newton`."""

    def __init__(self, spec, problem):
        objective = problem.objective
        self.hessian, self.rate = spec.hessian, spec.learning_rate
        best = "observed" if objective.convex else objective.curvature
        self.kind = {"auto": best, "exact": "observed"}.get(spec.hessian, "expected")
        self.leaves_saddles = self.kind == "observed"
        self.is_textbook = spec.learning_rate != "auto"
        self.learns_from_steps = not self.is_textbook
        self.fixed_damping = None if spec.damping == "auto" else spec.damping
        self.has_fixed_steps = self.is_textbook or bool(self.fixed_damping)
        self.is_dense = spec.forms_hessian(objective, problem.origin.theta.size)
        self.damping = _damping_rule(objective, problem, self.is_dense)
        self.refresh_every = None if self.is_dense or spec.hessian == "diagonal" else plan.REFRESH_PRODUCTS
        self.goes_over = spec.hessian == "auto" and plan.exact_follows(objective)
        self.values = []
        self.rows = _subsample(problem) if spec.hessian == "subsampled" else None
        self.first_norm = None

    def reset(self):
        """See `MethodRun.reset`."""
        self.first_norm = self.factor = None
        self.damping.reset()

    def advance(self, problem, point):
        """One step."""
        curvature = self._curvature(problem, point)
        if self.is_textbook or self.fixed_damping is not None:
            return self._fixed_step(problem, point, curvature)
        for _ in range(_MOST_TRIALS):
            trial = self.damping.step(curvature, point.slope)
            new, size = _best_along(problem, point, problem.evaluate(point.u + trial.direction), trial)
            ratio = _gain_ratio(point, new, trial.predicted)
            if ratio > 1e-4:
                self._remember(problem, point, trial.root, trial.damping)
                self.damping.accept(ratio)
                if self.goes_over:
                    self._go_over_if_slow(new.value - problem.objective.lower_bound)
                return Step(new, size, trial.damping)
            self.damping.reject(ratio)
        self.damping.restart()
        return Step(point, 0.0, trial.damping, moved=False)

    def _go_over_if_slow(self, value):
        """From Gauss-Newton to exact curvature: the one is better far from an optimum, the other near it.

        Dennis, Gay & Welsch, "An adaptive nonlinear least-squares algorithm", 1981, choose between the two by what
        each predicts; on networks the plain rule was as good.
        """
        self.values.append(value)
        if plan.is_slow(self.values):
            self.kind, self.leaves_saddles = "observed", True

    def _fixed_step(self, problem, point, curvature):
        direction, damping = curvature.solve(point.slope, self.fixed_damping or 0.0)
        self._remember(problem, point, curvature.root, damping)
        if self.is_textbook:
            return Step(problem.evaluate(point.u + self.rate * direction), self.rate, damping)
        return replace(steps.line_search(problem, point, direction, wolfe=None), damping=damping)

    def _curvature(self, problem, point):
        if self.hessian == "diagonal":
            return DiagonalCurvature(problem.hessian_diagonal(point, self.kind))
        factor = problem.factor
        if factor.curvature == self.kind and factor.here.place is point.here.place and self.rows is None:
            return DiagonalCurvature(np.ones(point.u.size))
        part = problem if self.rows is None else problem.sample(self.rows)
        if self.is_dense:
            return DenseCurvature(part.hessian_matrix(point, self.kind))
        self.first_norm = self.first_norm or np.linalg.norm(point.slope)
        return OperatorCurvature(part.hessian(point, self.kind), self.first_norm, plan.inner_iterations(point.u.size))

    def _remember(self, problem, point, root, damping):
        """Keep the factor: of the Hessian itself for the verdict, a damped one for what it says of progress."""
        if root is not None and self.rows is None:
            exact = damping == 0 and (self.kind == "observed" or problem.objective.is_exact(self.kind))
            self.factor = PointFactor(problem.factor, root, point.here, None, exact)


def _damping_rule(objective, problem, is_dense):
    """A radius for functions, gentle damping for networks, and hardly any for what is convex."""
    if objective.n_rows is None and is_dense:
        size = np.linalg.norm(np.linalg.lstsq(problem.factor.dense(), problem.origin.theta)[0])
        return steps.TrustRegion(size or np.inf)
    return steps.Damping.gentle() if objective.facts.has_many_optima else steps.Damping()


def _best_along(problem, point, new, trial):
    """The end of a step, or a better point along it, and the length of the one that is taken.

    Only where the slope at the end is far from none, and a Hessian costs more than another point. Where classes are
    nearly separable each Newton step is too short by the same share: the breast cancer table takes five in place of
    eight.
    """
    first, last = point.slope @ trial.direction, new.slope @ trial.direction
    is_flat = not math.isfinite(new.value) or abs(last) <= _FLAT_ENOUGH * abs(first)
    if is_flat or trial.predicted <= point.noise or not plan.searches_along(problem.objective):
        return new, 1.0
    size = steps.cubic_minimum(point.value, first, new.value, last, _LONGEST_STEP)
    other = problem.between(point, new, size)
    return (other, size) if other.value < new.value else (new, 1.0)


def _gain_ratio(point, new, predicted):
    """Actual over predicted decrease of a damped Newton step; where both are rounding, 1 if the slope shrank."""
    gain = point.value - new.value
    if not math.isfinite(new.value):
        return -math.inf
    if abs(gain) <= point.noise:
        return 1.0 if np.linalg.norm(new.slope) < np.linalg.norm(point.slope) else -1.0
    return gain / predicted


def _subsample(problem):
    n_rows = problem.objective.n_rows
    if n_rows is None:
        raise ValueError('hessian="subsampled" needs an objective that is a sum over rows; use "exact"')
    size = plan.subsample_size(n_rows, problem.origin.theta.size)
    if size is None:
        return None
    return np.sort(np.random.default_rng(_SUBSAMPLE_SEED).choice(n_rows, size, replace=False))
