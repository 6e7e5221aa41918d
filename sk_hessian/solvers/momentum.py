"""Gradient descent along an exponential average of gradients."""

from typing import ClassVar

import numpy as np

from sk_hessian.solvers.first_order import FirstOrder, FirstOrderRun
from sk_hessian.solvers.method import Step
from sk_hessian.solvers.options import Positive

#: Adam's epsilon: entries of the gradient below it are not blown up
_ADAM_FLOOR = 1e-8

#: growth of an automatic learning rate after each step that helped, where no full factor makes one the right one
_RATE_GROWTH = 1.05

#: what weighs the past in an average
_SHARE = Positive(1, zero=True, strict=True)


class Momentum(FirstOrder):
    """Momentum as an exponential average: v = beta v + (1 - beta) g, theta - eta v.

    With ``learning_rate="auto"`` the average restarts where it points uphill (O'Donoghue & Candes, "Adaptive restart
    for accelerated gradient schemes", 2015).

    Parameters
    ----------
    learning_rate : "auto" or float, default="auto"
    momentum : float in [0, 1), default=0.9
        beta.
    nesterov : bool, default=False
        Step along the average as it will be with the same gradient once more.
    squares : float in [0, 1) or None, default=None
        Decay of a running mean of squared gradients, by whose root each entry of the step is divided: with 0.999 and
        ``precondition=None`` this is Adam. Needs a float ``learning_rate``.
    schedule, batch_size, average, precondition
        As in `SGD`.
    """

    options: ClassVar = {"momentum": (_SHARE,), "nesterov": (True, False), "squares": (None, _SHARE)}

    def __init__(
        self,
        learning_rate="auto",
        *,
        momentum=0.9,
        nesterov=False,
        squares=None,
        schedule="constant",
        batch_size="auto",
        average=False,
        precondition="auto",
    ):
        super().__init__(
            learning_rate, schedule=schedule, batch_size=batch_size, average=average, precondition=precondition
        )
        self.momentum = momentum
        self.nesterov = nesterov
        self.squares = squares

    def check(self) -> None:
        """See `Solver.check`."""
        super().check()
        if self.squares is not None and self.learning_rate == "auto":
            raise ValueError('Momentum: squares needs a float learning_rate, such as 0.001; "auto" is for squares=None')

    def begin(self, problem, point, random_state):
        """See `Solver.begin`."""
        return MomentumRun(self, problem, point, random_state)


class MomentumRun(FirstOrderRun):
    """One run of `Momentum`."""

    def __init__(self, spec, problem, point, random_state):
        super().__init__(spec, problem, point, random_state)
        self.beta, self.nesterov, self.decay = spec.momentum, spec.nesterov, spec.squares
        self.forget()

    def forget(self):
        """See `FirstOrderRun.forget`."""
        self.velocity = self.squares = self.share = 0.0

    def direction(self, slope):
        """The average v <- beta v - (1 - beta) g, with ``nesterov`` beta v - (1 - beta) g of the new v, one step ahead.

        B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; I. Sutskever et al., "On
        the importance of initialization and momentum in deep learning", 2013 (Nesterov). Over the root of a running
        mean of squared gradients it is Adam (D. Kingma, J. Ba, 2015) without the correction of v for its start at zero.
        """
        latest = (1 - self.beta) * super().direction(slope)
        self.velocity = self.beta * self.velocity + latest
        direction = self.beta * self.velocity + latest if self.nesterov else self.velocity
        if self.decay is None:
            return direction
        self.squares = self.decay * self.squares + (1 - self.decay) * slope**2
        self.share = self.decay * self.share + (1 - self.decay)
        return direction / (np.sqrt(self.squares / self.share) + _ADAM_FLOOR)

    def full_step(self, problem, point):
        """Along the average, restarted where it points uphill; the rate grows until the objective rises."""
        if self.step is None:
            return self.searched_step(problem, point, -point.slope)
        direction = self.direction(point.slope)
        if direction @ point.slope > 0:
            self.forget()
            direction = self.direction(point.slope)
        for _ in range(60):
            rate = self.step * self.schedule(self.epoch)
            new = problem.evaluate(point.u + rate * direction)
            if new.value <= point.value + point.noise:
                self.step *= 1.0 if problem.has_full_factor else _RATE_GROWTH
                return Step(new, rate)
            self.step *= 0.5
        return Step(point, 0.0, moved=False)
