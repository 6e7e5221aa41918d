"""What a solver is: options, with a table of what each may be, and `begin`, which gives the state of a run.

One object serves many runs, because nothing is written on it.
"""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sk_hessian._keywords import with_advice


@dataclass(frozen=True)
class Positive:
    """A positive number, as an entry of `Solver.options`.

    Parameters
    ----------
    most : float, default=inf
        The largest that is allowed.
    integral : bool, default=False
        Whether it must be an integer.
    zero : bool, default=False
        Whether zero is allowed too.
    strict : bool, default=False
        Whether ``most`` itself is not allowed.

    Examples
    --------
    >>> from sk_hessian.solvers import Positive
    >>> str(Positive(integral=True)), str(Positive(1, zero=True, strict=True))
    ('an integer > 0', 'a number >= 0 and < 1')
    """

    most: float = np.inf
    integral: bool = False
    zero: bool = False
    strict: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value is such a number; True and False are none.

        Parameters
        ----------
        value : object

        Returns
        -------
        bool
        """
        kind = Integral if self.integral else Real
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind) or not np.isfinite(float(value)):
            return False
        number = float(value)
        is_small = number < self.most if self.strict else number <= self.most
        return is_small and (number >= 0 if self.zero else number > 0)

    def __str__(self):
        text = ("an integer" if self.integral else "a number") + (" >= 0" if self.zero else " > 0")
        return f"{text} and {'<' if self.strict else '<='} {self.most:g}" if np.isfinite(self.most) else text


def _allows(allowed, value):
    if isinstance(allowed, Positive):
        return allowed.allows(value)
    return callable(value) if allowed is callable else type(value) is type(allowed) and value == allowed


def _in_words(allowed):
    if isinstance(allowed, Positive):
        return str(allowed)
    return "a callable" if allowed is callable else repr(allowed)


class Solver(BaseEstimator):
    """Options, as scikit-learn's parameters, and `begin`, which gives the state of a run.

    A solver of your own derives from this and from `MethodRun`; see the tutorial "Add a solver" of the documentation.
    It is used like the others: in `minimize` and as ``solver=`` of every estimator.

    Attributes
    ----------
    options : dict of str to tuple
        What each option may be: values, `Positive`, or the builtin ``callable``. A subclass says its own, and
        inherits the others.
    precondition : "auto", None, "diagonal", "full" or "kronecker"
        The change of variables that it runs in. A parameter of all solvers here.
    """

    options: ClassVar[dict[str, tuple]] = {
        "precondition": ("auto", None, "diagonal", "full", "kronecker"),
        "learning_rate": ("auto", Positive()),
    }
    precondition = "auto"
    #: whether it solves to the end what constraints leave free, so that it may run under them
    serves_constraints: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.options = {k: v for base in reversed(cls.__mro__) for k, v in vars(base).get("options", {}).items()}
        if "__init__" in vars(cls):
            cls.__init__ = with_advice(cls.__init__)  # type: ignore[method-assign]

    @property
    def exact_factors(self) -> bool:
        """Whether a run takes exact factors rather than those of a sketch; an attribute of the class will do too."""
        return False

    def check(self) -> None:
        """Raise a ValueError that names the option and what it may be; extend it for what no single option shows."""
        own = self.get_params(deep=False)
        for name, options in self.options.items():
            if name in own and not any(_allows(allowed, own[name]) for allowed in options):
                text = " or ".join(map(_in_words, options))
                raise ValueError(f"{type(self).__name__}: {name}={own[name]!r} is not supported; use {text}")

    def factor_kind(self, objective: Any, n_parameters: int) -> str | None:
        """The preconditioner to ask an objective for."""
        return self.precondition

    def warms_up(self, objective: Any) -> bool:
        """Whether a run on many rows begins at the optimum on a sample of them."""
        return False

    def tries_units(self, objective: Any, n_parameters: int) -> bool:
        """Whether to begin in units alone and ask for a preconditioner once progress is slow."""
        return False

    def takes_model_steps(self, objective: Any, n_parameters: int) -> bool:
        """Whether its steps are to the minimum of the second-order model, which over a feasible set is known anyway."""
        return False

    def begin(self, problem: Any, point: Any, random_state: Any) -> Any:
        """The state of a run.

        Parameters
        ----------
        problem : Problem
            The objective in the coordinates u of the preconditioner.
        point : Point
            Where the run begins.
        random_state : int, Generator or None

        Returns
        -------
        MethodRun
        """
        raise NotImplementedError

    def __sklearn_is_fitted__(self):
        return True
