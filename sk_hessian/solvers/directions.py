"""Which way to go, and the solvers made of it: parameters, and the state of a run.

A solver is a small scikit-learn style object that only holds parameters; ``begin`` gives the state of one run, whose
``advance(problem, point)`` makes one outer iteration, so that one object serves many runs at once.
"""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sk_hessian._keywords import with_advice
from sk_hessian.solvers import steps
from sk_hessian.solvers.linear import DenseCurvature, DiagonalCurvature, OperatorCurvature
from sk_hessian.solvers.preconditioned import Refined

#: rows below which minibatches save nothing: a full pass costs little more than the calls of a small one
_FULL_BATCH_ROWS = 2048

#: rows of the first minibatches: a few per parameter, so that their curvature resembles that of all rows
_BATCH_PER_PARAMETER = 4
_SMALLEST_BATCH = 256
_BATCH_GROWTH = 4

#: an automatic clip value, in square roots of the scale: gradients of unit curvature start at no more than 1.4
_CLIP_SHARE = 0.3

#: ... and no smaller than this share of the first gradient
_LEAST_CLIP = 0.1

#: Adam's epsilon: entries of the gradient below it are not blown up
_ADAM_FLOOR = 1e-8

#: growth of an automatic learning rate after each step that helped, where no full factor makes one the right one
_RATE_GROWTH = 1.05

#: iterations after which a factor that no longer makes the decrement fall tenfold is taken anew
_REFRESH_FIRST_ORDER = 5
_REFRESH_LBFGS = 10
_REFRESH_PRODUCTS = 3


@dataclass(frozen=True)
class Step:
    """One outer iteration: the point reached, how, and whether it is any better.

    Attributes
    ----------
    point : Point
        Where it ended.
    size : float
        Learning rate or length along the direction, for the history.
    damping : float
        Levenberg-Marquardt damping, for the history.
    moved : bool
        False where no step helps: the run ends, unless a new preconditioner does.
    """

    point: object
    size: float
    damping: float = 0.0
    moved: bool = True


class Solver(BaseEstimator):
    """What a solver is: options, as scikit-learn's parameters, and `begin`, which gives the state of a run.

    A solver of your own derives from this and from `MethodRun`; see the tutorial "Add a solver" of the documentation.
    It is used like the others: in `minimize` and as ``solver=`` of every estimator.

    Attributes
    ----------
    precondition : "auto", None, "diagonal", "full" or "kronecker"
        The change of variables that it runs in. A parameter of all solvers here.
    exact_factors : bool
        Whether a run takes exact factors rather than those of a sketch.
    keeps_matrices : bool
        Whether a stream of rows should be remembered by a matrix of curvature.
    """

    precondition = "auto"

    #: whether a run takes exact factors rather than those of a sketch
    exact_factors = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = with_advice(cls.__init__)  # type: ignore[method-assign]

    def factor_kind(self, objective: Any, n_parameters: int) -> str | None:
        """The preconditioner to ask an objective for."""
        return self.precondition

    def warms_up(self, objective: Any) -> bool:
        """Whether a run on many rows begins at the optimum on a sample of them."""
        return False

    def tries_units(self, objective: Any) -> bool:
        """Whether to begin in units alone and ask for a preconditioner once progress is slow."""
        return False

    def begin(self, problem: Any, point: Any, random_state: Any) -> Any:
        """The state of a run.

        Parameters
        ----------
        problem : Preconditioned
            The objective in the coordinates u of the preconditioner.
        point : Point
            Where the run begins.
        random_state : int, Generator or None

        Returns
        -------
        MethodRun
        """
        raise NotImplementedError

    def check(self) -> None:
        """Raise a ValueError or TypeError that names the parameter; extend it for parameters of your own."""
        own = self.get_params(deep=False)
        for name, options in self._options().items():
            if name not in own:
                continue
            value = own[name]
            if not any(_matches(value, option) for option in options):
                text = " or ".join(_describe(o) for o in options)
                raise ValueError(f"{type(self).__name__}: {name}={value!r} is not supported; use {text}")

    def _options(self):
        return {"precondition": ("auto", None, "diagonal", "full", "kronecker"), "learning_rate": ("auto", _Positive())}

    def __sklearn_is_fitted__(self):
        return True


@dataclass(frozen=True)
class _Positive:
    """A positive number, at most ``most``."""

    most: float = np.inf
    integral: bool = False
    zero: bool = False
    strict: bool = False


def _matches(value, option):
    if option is callable:
        return callable(value)
    if not isinstance(option, _Positive):
        return type(value) is type(option) and value == option
    kind = Integral if option.integral else Real
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind) or not np.isfinite(float(value)):
        return False
    number = float(value)
    return (number >= 0 if option.zero else number > 0) and (
        number < option.most if option.strict else number <= option.most
    )


def _describe(option):
    if option is callable:
        return "a callable"
    if not isinstance(option, _Positive):
        return repr(option)
    bounds = (" >= 0" if option.zero else " > 0") + (
        f" and {'<' if option.strict else '<='} {option.most:g}" if np.isfinite(option.most) else ""
    )
    return ("an integer" if option.integral else "a number") + bounds


# -- directions ----------------------------------------------------------------------------------------------------


class Gradient:
    """-g."""

    def reset(self):
        """Forget the past."""

    def __call__(self, slope):
        """The direction at a point of this slope."""
        return -slope


class ExponentialAverage:
    """v = beta v + (1 - beta) g, then -v; with ``nesterov`` -(beta v + (1 - beta) g), looking one step ahead.

    References
    ----------
    .. [1] B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    .. [2] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013 (Nesterov).
    """

    def __init__(self, beta, nesterov):
        self.beta, self.nesterov = beta, nesterov
        self.reset()

    def reset(self):
        """Forget the past."""
        self.velocity = 0.0

    def __call__(self, slope):
        """The direction at a point of this slope."""
        self.velocity = self.beta * self.velocity + (1 - self.beta) * slope
        if self.nesterov:
            return -(self.beta * self.velocity + (1 - self.beta) * slope)
        return -self.velocity


class RunningSquares:
    """A direction divided, entry by entry, by the root of a running mean of squared gradients.

    With `ExponentialAverage` it is Adam without the first average's correction for its start at zero.

    References
    ----------
    .. [1] D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015.
    """

    def __init__(self, direction, decay):
        self.direction, self.decay = direction, decay
        self.reset()

    def reset(self):
        """Forget the past."""
        self.direction.reset()
        self.mean, self.share = 0.0, 0.0

    def __call__(self, slope):
        """The direction at a point of this slope."""
        self.mean = self.decay * self.mean + (1 - self.decay) * slope**2
        self.share = self.decay * self.share + (1 - self.decay)
        return self.direction(slope) / (np.sqrt(self.mean / self.share) + _ADAM_FLOOR)


class Clipped:
    """-clip(g, -bound, bound) by entries, or -g shrunk to norm ``bound``.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """

    def __init__(self, bound, by):
        self.bound, self.by = bound, by

    def reset(self):
        """Nothing to forget."""

    def __call__(self, slope):
        """The direction at a point of this slope."""
        if self.by == "value":
            return -np.clip(slope, -self.bound, self.bound)
        norm = np.linalg.norm(slope)
        return -slope if norm <= self.bound else -slope * (self.bound / norm)


class LimitedMemory:
    """-(H_k) g by the two-loop recursion over the last pairs (Nocedal & Wright, algorithm 7.4).

    The first matrix is the identity of the coordinates it runs in (so the preconditioner of the objective), scaled
    by s'y / y'y of the latest pair (their equation 7.20).
    """

    def __init__(self, memory):
        self.memory = memory
        self.reset()

    def reset(self):
        """Forget the pairs."""
        self.pairs = []

    def update(self, s, y):
        """Remember a step ``s`` and the change ``y`` of the slope, unless its curvature is not positive."""
        curvature = s @ y
        if curvature > np.finfo(float).eps * np.linalg.norm(s) * np.linalg.norm(y):
            self.pairs = (
                [*self.pairs[-self.memory + 1 :], (s, y, 1 / curvature)] if self.memory > 1 else [(s, y, 1 / curvature)]
            )

    def __call__(self, slope):
        """The direction at a point of this slope."""
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


# -- first-order solvers -------------------------------------------------------------------------------------------


class _FirstOrder(Solver):
    """Options and run of `SGD`, `Momentum` and `Clip`."""

    def _options(self):
        return super()._options() | {
            "schedule": (*steps.SCHEDULES, callable),
            "batch_size": ("auto", None, _Positive(integral=True)),
            "average": (True, False),
        }

    def begin(self, problem, point, random_state):
        """The state of a run on ``problem`` from ``point``."""
        return _FirstOrderRun(self, self._direction(problem.objective.scale, point), problem, random_state)


class SGD(_FirstOrder):
    """Stochastic gradient descent: theta - eta g.

    Parameters
    ----------
    learning_rate : "auto" or float, default="auto"
        "auto": the Barzilai-Borwein step under a line search on the full batch, and on minibatches a step that the
        batch's curvature allows, one over one plus parameters per row.
    schedule : {"constant", "invscaling", "inverse"} or callable, default="constant"
        Factor of the learning rate in epoch t: 1, 1/sqrt(t), 1/t, or ``schedule(t)``.
    batch_size : "auto", int or None, default="auto"
        Rows of a minibatch; None is the full batch, plain gradient descent. "auto" begins with minibatches where
        there are many rows and lets them grow to the full batch once an epoch no longer gains on their noise.
    average : bool, default=False
        End each epoch at the mean of its iterates, and begin the next one there (Hazan & Kale, "Beyond the regret
        minimization barrier", 2014).
    precondition : "auto", None, "diagonal", "full" or "kronecker", default="auto"
        The change of variables it runs in. None with a float ``learning_rate`` is the textbook formula.
    """

    def __init__(
        self, learning_rate="auto", *, schedule="constant", batch_size="auto", average=False, precondition="auto"
    ):
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.average = average
        self.precondition = precondition

    def _direction(self, scale, point):
        return Gradient()


class Momentum(_FirstOrder):
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
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.squares = squares
        self.schedule = schedule
        self.batch_size = batch_size
        self.average = average
        self.precondition = precondition

    def _options(self):
        share = _Positive(1, zero=True, strict=True)
        return super()._options() | {"momentum": (share,), "nesterov": (True, False), "squares": (None, share)}

    def check(self) -> None:
        """See `Solver.check`."""
        super().check()
        if self.squares is not None and self.learning_rate == "auto":
            raise ValueError('Momentum: squares needs a float learning_rate, such as 0.001; "auto" is for squares=None')

    def _direction(self, scale, point):
        average = ExponentialAverage(self.momentum, self.nesterov)
        return average if self.squares is None else RunningSquares(average, self.squares)


class Clip(_FirstOrder):
    """Clipped gradients: theta - eta clip(g, -alpha, alpha).

    Parameters
    ----------
    learning_rate : "auto" or float, default="auto"
    clip_value : "auto" or float, default="auto"
        alpha, in preconditioned coordinates; "auto" is 0.3 times the square root of the objective's scale, which a
        gradient of unit curvature exceeds only far from the optimum (for a plain function 0.3 times the largest
        entry at the start).
    by : {"value", "norm"}, default="value"
        Clip each entry, or shrink the whole gradient to norm alpha.
    schedule, batch_size, average, precondition
        As in `SGD`.
    """

    def __init__(
        self,
        learning_rate="auto",
        *,
        clip_value="auto",
        by="value",
        schedule="constant",
        batch_size="auto",
        average=False,
        precondition="auto",
    ):
        self.learning_rate = learning_rate
        self.clip_value = clip_value
        self.by = by
        self.schedule = schedule
        self.batch_size = batch_size
        self.average = average
        self.precondition = precondition

    def _options(self):
        return super()._options() | {"clip_value": ("auto", _Positive()), "by": ("value", "norm")}

    def _direction(self, scale, point):
        if self.clip_value != "auto":
            return Clipped(self.clip_value, self.by)
        largest = np.abs(point.slope).max(initial=0.0)
        # a constant target has a scale of rounding only
        size = max(np.sqrt(scale), _LEAST_CLIP * largest) if scale else largest
        return Clipped(_CLIP_SHARE * (size or 1.0), self.by)


class MethodRun:
    """The state of one run of a solver.

    It sees the objective as a `Preconditioned` problem in coordinates u, in which the curvature is near the identity
    and points are `Point`. Verdicts, certificates and refreshed preconditioners are the loop's.

    Attributes
    ----------
    refresh_every : int or None
        Iterations after which a preconditioner that no longer helps is taken anew.
    factor : factor or None
        A factor of the Hessian that the solver took on its way, for the verdict.
    leaves_saddles : bool
        Whether it follows negative curvature.
    learns_from_steps : bool
        Whether it can go on from the end of a step that was found otherwise.
    has_fixed_steps : bool
        Whether the user has set the length of its steps: that they gain little then says nothing of what is left.
    shortens_steps : bool
        Whether its steps may have become short for another reason than that nothing is left to gain: the noise of
        minibatches, or a schedule.
    """

    refresh_every: int | None = None
    factor: Any = None
    leaves_saddles = False
    learns_from_steps = False
    has_fixed_steps = False
    shortens_steps = False

    def reset(self):
        """Begin anew in other coordinates: forget every point, slope and step length."""

    def learn(self, start, end):
        """Take note of a step between two points that was found otherwise.

        Parameters
        ----------
        start, end : Point
        """

    def advance(self, problem, point):
        """One outer iteration.

        Parameters
        ----------
        problem : Preconditioned
        point : Point
            Where the former iteration ended.

        Returns
        -------
        Step
            With ``moved=False`` where nothing lowers the objective.
        """
        raise NotImplementedError


class _FirstOrderRun(MethodRun):
    """One run of a first-order solver."""

    def __init__(self, spec, direction, problem, random_state):
        self.direction, self.average = direction, spec.average
        self.rng = np.random.default_rng(random_state)
        self.rate = spec.learning_rate
        self.schedule, self.is_constant = steps.schedule_function(spec.schedule), spec.schedule == "constant"
        self.batch = _first_batch(spec.batch_size, problem)
        self.grows, self.n_rows = spec.batch_size == "auto", problem.objective.n_rows
        self.is_textbook = self.has_fixed_steps = spec.learning_rate != "auto"
        self.learns_from_steps = not self.is_textbook
        self.step, self.epoch, self.shrink = None, 0, 1.0

    @property
    def refresh_every(self):
        """Minibatches keep their coordinates: their own noise is larger than what a refresh gains."""
        return _REFRESH_FIRST_ORDER if self.batch is None else None

    @property
    def shortens_steps(self):
        """See `MethodRun.shortens_steps`."""
        return self.batch is not None or not self.is_constant

    def reset(self):
        """See `MethodRun.reset`."""
        self.direction.reset()
        self.step = None

    def learn(self, start, end):
        """See `MethodRun.learn`: an average of the gradients before says nothing of those here."""
        self.direction.reset()

    def advance(self, problem, point):
        """One epoch."""
        self.epoch += 1
        if self.batch is not None:
            return self._epoch(problem, point)
        if self.is_textbook:
            rate = self.rate * self.schedule(self.epoch)
            return Step(problem.evaluate(point.u + rate * self.direction(point.slope)), rate)
        if isinstance(self.direction, ExponentialAverage):
            return self._average_step(problem, point)
        return self._searched_step(problem, point, self.direction)

    def _searched_step(self, problem, point, rule):
        """Along a direction by a line search for decrease, from the latest Barzilai-Borwein step."""
        direction = rule(point.slope)
        first = self.step or _first_step(problem, direction)
        search = steps.line_search(problem, point, direction, first * self.schedule(self.epoch), wolfe=None)
        if search.point is None:
            return Step(point, 0.0, moved=False)
        bend = (search.point.slope - point.slope) @ direction
        moved = search.step * (direction @ direction)
        self.step = moved / bend if bend > 0 else 4 * search.step
        self.step = min(max(self.step, 0.01 * search.step), 100 * search.step)
        return Step(search.point, search.step)

    def _average_step(self, problem, point):
        """Along the average, restarted where it points uphill; the rate grows until the objective rises."""
        if self.step is None:
            return self._searched_step(problem, point, Gradient())
        direction = self.direction(point.slope)
        if direction @ point.slope > 0:
            self.direction.reset()
            direction = self.direction(point.slope)
        for _ in range(60):
            rate = self.step * self.schedule(self.epoch)
            new = problem.evaluate(point.u + rate * direction)
            if new.value <= point.value + point.noise:
                self.step *= 1.0 if problem.has_full_factor else _RATE_GROWTH
                return Step(new, rate)
            self.step *= 0.5
        return Step(point, 0.0, moved=False)

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
                self.batch = _grown(self.batch * _BATCH_GROWTH, self.n_rows)
            else:
                self.shrink *= 0.5
            self.direction.reset()
        return Step(new, rate) if finite and gain > 0 else Step(point, rate)

    def _batch_rate(self, problem):
        if self.is_textbook:
            return self.rate
        return self.shrink * self.batch / (self.batch + problem.factor.shape[1])


def _first_step(problem, direction):
    """One where the curvature is near the identity, else short beside the direction."""
    norm = np.abs(direction).sum()
    return 1.0 if not problem.is_identity or norm == 0 else min(1.0, 1 / norm)


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
    return _grown(max(_SMALLEST_BATCH, _BATCH_PER_PARAMETER * problem.factor.shape[1]), n_rows)


def _grown(batch, n_rows):
    return None if n_rows <= _FULL_BATCH_ROWS or 2 * batch > n_rows else batch


# -- second-order solvers ------------------------------------------------------------------------------------------


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

    def __init__(self, memory=10, *, subsample="auto", learning_rate="auto", precondition="auto"):
        self.memory = memory
        self.subsample = subsample
        self.learning_rate = learning_rate
        self.precondition = precondition

    def _options(self):
        return super()._options() | {"memory": (_Positive(integral=True),), "subsample": ("auto", None)}

    def warms_up(self, objective: Any) -> bool:
        """See `Solver.warms_up`."""
        return self.subsample is not None and self.precondition is not None and self.learning_rate == "auto"

    @property
    def exact_factors(self):
        """See `Solver.exact_factors`."""
        return self.subsample is None

    def tries_units(self, objective: Any) -> bool:
        """See `Solver.tries_units`."""
        return self.precondition == "auto" and self.learning_rate == "auto" and objective.tries_units

    def begin(self, problem, point, random_state):
        """The state of a run on ``problem`` from ``point``."""
        return _LBFGSRun(self)


class _LBFGSRun(MethodRun):
    """One run of `LBFGS`."""

    refresh_every = _REFRESH_LBFGS

    def __init__(self, spec):
        self.direction, self.rate = LimitedMemory(spec.memory), spec.learning_rate
        self.is_textbook = self.has_fixed_steps = spec.learning_rate != "auto"
        self.learns_from_steps = not self.is_textbook

    def reset(self):
        """See `MethodRun.reset`."""
        self.direction.reset()

    def advance(self, problem, point):
        """One step."""
        direction = self.direction(point.slope)
        if self.is_textbook:
            search = steps.Search(problem.evaluate(point.u + self.rate * direction), self.rate, 1)
        else:
            first = 1.0 if self.direction.pairs else _first_step(problem, direction)
            search = steps.line_search(problem, point, direction, first)
        if search.point is None:
            return Step(point, 0.0, moved=False)
        self.learn(point, search.point)
        return Step(search.point, search.step)

    def learn(self, start, end):
        """See `MethodRun.learn`."""
        self.direction.update(end.u - start.u, end.slope - start.slope)


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

    exact_factors = True

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

    def _options(self):
        return super()._options() | {
            "hessian": ("auto", "exact", "gauss-newton", "subsampled", "diagonal"),
            "linear_solver": ("auto", "cholesky", "cg"),
            "damping": ("auto", _Positive(zero=True)),
        }

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
        if self.hessian == "diagonal" and objective.exact_is_dear:
            return "diagonal"
        if self.forms_hessian(objective, n_parameters):
            return "diagonal" if objective.convex else objective.damping_kind
        return self.precondition

    def warms_up(self, objective: Any) -> bool:
        """See `Solver.warms_up`: where no optimum is near, most steps are as good on fewer rows."""
        return not objective.convex and self.damping == "auto" and self.learning_rate == "auto"

    def forms_hessian(self, objective: Any, n_parameters: int) -> bool:
        """Whether a run forms the Hessian as a matrix."""
        if self.linear_solver == "auto":
            return self.hessian != "diagonal" and objective.forms_hessian(n_parameters)
        return self.linear_solver == "cholesky" and self.hessian != "diagonal"

    def begin(self, problem, point, random_state):
        """The state of a run on ``problem`` from ``point``."""
        return _NewtonRun(self, problem)


#: most trial steps of one iteration: damping has then grown by 4^k (k+1)/2-fold, far beyond any curvature
_MOST_TRIALS = 25

#: Gauss-Newton is slow when so many steps gain less than this share of what is left
_SLOW_STEPS = 4
_SLOW_GAIN = 0.02

#: share of the rows of a subsampled Hessian, and the fewest rows per parameter
_SUBSAMPLE_SHARE = 0.1
_SUBSAMPLE_PER_PARAMETER = 5
_SUBSAMPLE_SEED = 20_110_901


class _NewtonRun(MethodRun):
    """One run of `Newton`."""

    def __init__(self, spec, problem):
        objective = problem.objective
        self.hessian, self.rate = spec.hessian, spec.learning_rate
        best = "observed" if objective.convex else objective.curvature
        self.kind = {"auto": best, "exact": "observed"}.get(spec.hessian, "expected")
        self.is_textbook = self.has_fixed_steps = spec.learning_rate != "auto"
        self.learns_from_steps = not self.is_textbook
        self.fixed_damping = None if spec.damping == "auto" else spec.damping
        self.has_fixed_steps = self.is_textbook or bool(self.fixed_damping)
        self.is_dense = spec.forms_hessian(objective, problem.origin.size)
        self.damping = _damping_rule(objective, problem, self.is_dense)
        self.refresh_every = None if self.is_dense or spec.hessian == "diagonal" else _REFRESH_PRODUCTS
        self.goes_over = spec.hessian == "auto" and objective.exact_follows
        self.values = []
        self.rows = _subsample(problem) if spec.hessian == "subsampled" else None
        self.first_norm = None

    @property
    def leaves_saddles(self):
        """See `MethodRun.leaves_saddles`."""
        return self.kind == "observed"

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
            new = problem.evaluate(point.u + trial.direction)
            ratio = _gain_ratio(point, new, trial.predicted)
            if ratio > 1e-4:
                self._remember(problem, point, trial.root, trial.damping)
                self.damping.accept(ratio)
                self._go_over_if_slow(new.value - problem.objective.lower_bound)
                return Step(new, 1.0, trial.damping)
            self.damping.reject(ratio)
        self.damping.restart()
        return Step(point, 0.0, trial.damping, moved=False)

    def _go_over_if_slow(self, value):
        """From Gauss-Newton to exact curvature: the one is better far from an optimum, the other near it.

        Dennis, Gay & Welsch, "An adaptive nonlinear least-squares algorithm", 1981, choose between the two by what
        each predicts; on networks the plain rule was as good.
        """
        self.values.append(value)
        recent = self.values[-_SLOW_STEPS - 1 :]
        if self.goes_over and len(recent) > _SLOW_STEPS and recent[0] - value < _SLOW_GAIN * value:
            self.kind = "observed"

    def _fixed_step(self, problem, point, curvature):
        direction, damping = curvature.solve(point.slope, self.fixed_damping or 0.0)
        self._remember(problem, point, curvature.root, damping)
        if self.is_textbook:
            return Step(problem.evaluate(point.u + self.rate * direction), self.rate, damping)
        search = steps.line_search(problem, point, direction, wolfe=None)
        return Step(search.point or point, search.step, damping, moved=search.point is not None)

    def _curvature(self, problem, point):
        if self.hessian == "diagonal":
            return DiagonalCurvature(problem.hessian_diagonal(point, self.kind))
        factor = problem.factor
        if factor.curvature == self.kind and factor.theta is point.theta and self.rows is None:
            return DiagonalCurvature(np.ones(point.u.size))
        if self.is_dense:
            part = problem if self.rows is None else problem.sample(self.rows)
            return DenseCurvature(part.hessian_matrix(point, self.kind))
        self.first_norm = self.first_norm or np.linalg.norm(point.slope)
        part = problem if self.rows is None else problem.sample(self.rows)
        return OperatorCurvature(part.hessian(point, self.kind), self.first_norm, max(20, min(point.u.size, 200)))

    def _remember(self, problem, point, root, damping):
        """Keep the factor: of the Hessian itself for the verdict, a damped one for what it says of progress."""
        if root is not None and self.rows is None:
            exact = damping == 0 and problem.objective.is_exact(self.kind)
            self.factor = Refined(problem.factor, root, point.theta, exact)


def _damping_rule(objective, problem, is_dense):
    """A radius for functions, gentle damping for networks, and hardly any for what is convex."""
    if objective.n_rows is None and is_dense:
        size = np.linalg.norm(np.linalg.lstsq(problem.factor.dense(), problem.origin)[0])
        return steps.TrustRegion(size or np.inf)
    return steps.GentleDamping() if objective.damping_kind == "units" and objective.n_rows else steps.Damping()


def _gain_ratio(point, new, predicted):
    """Actual over predicted decrease of a damped Newton step; where both are rounding, 1 if the slope shrank."""
    gain = point.value - new.value
    if not np.isfinite(new.value):
        return -np.inf
    if abs(gain) <= point.noise:
        return 1.0 if np.linalg.norm(new.slope) < np.linalg.norm(point.slope) else -1.0
    return gain / predicted


def _subsample(problem):
    n_rows = problem.objective.n_rows
    if n_rows is None:
        raise ValueError('hessian="subsampled" needs an objective that is a sum over rows; use "exact"')
    size = max(int(_SUBSAMPLE_SHARE * n_rows), _SUBSAMPLE_PER_PARAMETER * problem.origin.size)
    if size >= n_rows:
        return None
    return np.sort(np.random.default_rng(_SUBSAMPLE_SEED).choice(n_rows, size, replace=False))


#: the names of the solvers
SOLVERS = {"sgd": SGD, "momentum": Momentum, "clip": Clip, "newton": Newton, "lbfgs": LBFGS}
