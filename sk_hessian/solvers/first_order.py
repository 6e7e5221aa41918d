"""What `SGD`, `Momentum` and `Clip` share: a direction made of gradients, of all rows or of minibatches."""

from typing import ClassVar

import numpy as np

from sk_hessian.solvers import plan, steps
from sk_hessian.solvers.method import MethodRun, Step
from sk_hessian.solvers.options import Positive, Solver


class FirstOrder(Solver):
    """A solver whose direction is a function of gradients."""

    options: ClassVar = {
        "schedule": (*steps.SCHEDULES, callable),
        "batch_size": ("auto", None, Positive(integral=True)),
        "average": (True, False),
    }

    def __init__(
        self, learning_rate="auto", *, schedule="constant", batch_size="auto", average=False, precondition="auto"
    ):
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.average = average
        self.precondition = precondition

    def begin(self, problem, point, random_state):
        """See `Solver.begin`."""
        return FirstOrderRun(self, problem, point, random_state)

    def direction(self, scale, point):
        """The function of a slope that gives the direction, in a run from ``point``: -g unless a solver has another."""
        return np.negative


class FirstOrderRun(MethodRun):
    """One run of a first-order solver."""

    def __init__(self, spec, problem, point, random_state):
        self._rule, self.average = spec.direction(problem.objective.scale, point), spec.average
        self.rng = np.random.default_rng(random_state)
        self.rate = spec.learning_rate
        self.schedule, self.is_constant = spec.schedule, spec.schedule == "constant"
        if isinstance(spec.schedule, str):
            self.schedule = steps.SCHEDULES[spec.schedule]
        self._use_batches(_first_batch(spec.batch_size, problem))
        self.grows, self.n_rows = spec.batch_size == "auto", problem.objective.n_rows
        self.is_textbook = self.has_fixed_steps = spec.learning_rate != "auto"
        self.learns_from_steps = not self.is_textbook
        self.step, self.epoch, self.shrink = None, 0, 1.0

    def _use_batches(self, batch):
        """Minibatches keep their coordinates: their own noise is larger than what a refresh gains."""
        self.batch = batch
        self.refresh_every = plan.REFRESH_FIRST_ORDER if batch is None else None
        self.shortens_steps = batch is not None or not self.is_constant

    def direction(self, slope):
        """Where to go from a point of this slope."""
        return self._rule(slope)

    def forget(self):
        """Forget the gradients before, where the direction is made of them."""

    def reset(self):
        """See `MethodRun.reset`."""
        self.forget()
        self.step = None

    def learn(self, start, end):
        """See `MethodRun.learn`: an average of the gradients before says nothing of those here."""
        self.forget()

    def advance(self, problem, point):
        """One epoch."""
        self.epoch += 1
        if self.batch is not None:
            return self._epoch(problem, point)
        if self.is_textbook:
            rate = self.rate * self.schedule(self.epoch)
            return Step(problem.evaluate(point.u + rate * self.direction(point.slope)), rate)
        return self.full_step(problem, point)

    def full_step(self, problem, point):
        """One step on all rows whose length is the run's own."""
        return self.searched_step(problem, point, self.direction(point.slope))

    def searched_step(self, problem, point, direction):
        """Along a direction by a line search for decrease, from the latest Barzilai-Borwein step."""
        first = self.step or steps.first_step(problem, direction)
        found = steps.line_search(problem, point, direction, first * self.schedule(self.epoch), wolfe=None)
        if found.moved:
            bend = (found.point.slope - point.slope) @ direction
            moved = found.size * (direction @ direction)
            self.step = moved / bend if bend > 0 else 4 * found.size
            self.step = min(max(self.step, 0.01 * found.size), 100 * found.size)
        return found

    def _epoch(self, problem, point):
        """Minibatches over a permutation of the rows, then one look at all of them."""
        n_rows, batch = problem.objective.n_rows, self.batch
        rate = self._batch_rate(problem) * self.schedule(self.epoch)
        order = self.rng.permutation(n_rows)
        u, total, finite = point.u.copy(), np.zeros_like(point.u), True
        squares, gradients = 0.0, np.zeros_like(u)
        starts = range(0, n_rows, batch)
        for start in starts:
            slope, finite = problem.sample(np.sort(order[start : start + batch])).slope(u)
            if not finite:
                break
            u = u + rate * self.direction(slope)
            total += u
            squares += slope @ slope
            gradients += slope
        new = problem.evaluate(total / len(starts) if self.average else u)
        if self.is_textbook and not self.grows:
            return Step(new, rate)
        spread = max(squares - gradients @ gradients / len(starts), 0.0) / len(starts)
        return self._adapt(point, new, rate, 0.5 * rate * spread, finite)

    def _adapt(self, point, new, rate, jitter, finite):
        """Larger batches (or smaller steps) once an epoch gains less than the noise of its gradients."""
        gain = point.value - new.value
        if not (finite and gain > jitter):
            if self.grows:
                self._use_batches(plan.next_batch(self.batch, self.n_rows))
            else:
                self.shrink *= 0.5
            self.forget()
        return Step(new, rate) if finite and gain > 0 else Step(point, rate)

    def _batch_rate(self, problem):
        if self.is_textbook:
            return self.rate
        return self.shrink * self.batch / (self.batch + problem.factor.shape[1])


def _first_batch(batch_size, problem):
    """Rows of the first minibatch, None for all."""
    n_rows = problem.objective.n_rows
    draws = n_rows is not None and problem.objective.draws_rows
    if batch_size is None or (batch_size == "auto" and not draws):
        return None
    if n_rows is None:
        raise ValueError(f"batch_size={batch_size} needs an objective that is a sum over rows; use batch_size=None")
    if not draws:
        raise ValueError(f"batch_size={batch_size} needs rows in memory, and these come in parts; use batch_size=None")
    if batch_size != "auto":
        if batch_size > n_rows:
            raise ValueError(
                f"batch_size={batch_size} is larger than the number of rows (n_samples={n_rows}); "
                "use batch_size=None for all rows"
            )
        return None if batch_size == n_rows else batch_size
    return plan.first_batch(n_rows, problem.factor.shape[1])
