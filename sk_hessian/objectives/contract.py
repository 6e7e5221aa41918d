"""What the solvers ask of an objective."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives.coordinates import Through

#: names that a sentence lists before it counts the rest
_MOST_NAMED = 5


def in_words(names, between=", "):
    """Names as a part of a sentence, such as ``"x0, x1, x2, x3, x4 and 56 more"``.

    Parameters
    ----------
    names : sequence
    between : str
        What stands between two names.

    Returns
    -------
    str
    """
    text = between.join(str(name) for name in names[:_MOST_NAMED])
    return text if len(names) <= _MOST_NAMED else f"{text} and {len(names) - _MOST_NAMED} more"


class Objective:
    """A smooth function of one flat parameter vector theta, with as much of its structure as it knows.

    A solver sees nothing else: no X, no y, no loss. What is defined here is right for a function of which nothing is
    known beyond its values and derivatives.

    Attributes
    ----------
    convex : bool
        True when every stationary point is a minimum.
    n_rows : int or None
        Rows that the objective sums over; None for a plain function.
    scale : float or None
        What the tolerance is relative to; None for what a run gains.
    resolution : float
        Differences of the objective that rounding of the data alone makes.
    lower_bound : float
        The least value, where some finite parameters may have it; -inf where that is not known.
    curvature : {"observed", "expected"}
        The curvature that preconditioners take by default.
    damping_kind : str
        The kind of preconditioner in whose coordinates Newton's method damps a Hessian that may be indefinite.
    exact_is_dear : bool
        Whether exact curvature may cost as much as a run, so that a run far from an optimum ends without it.
    draws_rows : bool
        Whether some rows can be had for much less than a pass, so that minibatches make sense.
    is_smooth : bool
        Whether curvature changes at most e-fold where no linear predictor moves by more than a unit.
    has_kinks : bool
        Whether derivatives jump near every point that a run may end at, so that no Newton decrement proves an optimum.
    is_model : bool
        Whether it is a model of data, whose scale is what the model can gain at the most.
    exact_follows : bool
        Whether Newton's method should begin with expected curvature and go over to exact curvature, as cheap, later.
    """

    convex: bool = False
    n_rows: int | None = None
    scale: float | None = None
    lower_bound: float = -np.inf
    resolution: float = 0.0
    curvature: str = "observed"
    damping_kind: str = "auto"
    exact_is_dear: bool = False
    exact_follows: bool = False
    is_smooth: bool = True
    has_kinks: bool = False
    is_model: bool = False
    draws_rows: bool = True

    def at(self, theta: np.ndarray) -> Any:
        """The `Evaluation` at a point, which remembers what is computed there.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)

        Returns
        -------
        evaluation.Evaluation
        """
        raise NotImplementedError

    def entry(self, theta: np.ndarray) -> Any:
        """The `Evaluation` at a point where a run begins.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)

        Returns
        -------
        evaluation.Evaluation
        """
        return self.at(theta)

    def through(self, coordinates: Any, here: Any) -> Any:
        """The same objective in coordinates z that are zero at a point.

        Parameters
        ----------
        coordinates : Coordinates
        here : Evaluation

        Returns
        -------
        coordinates.Through
        """
        return Through(self, coordinates, here.theta)

    # -- views of a point -----------------------------------------------------------------------------------------

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """The objective, +inf outside its domain, and its gradient.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)

        Returns
        -------
        value : float
        gradient : ndarray of shape (n_parameters,)
        """
        here = self.at(theta)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return here.value, here.gradient

    def hessian(self, theta: np.ndarray, kind: str = "observed") -> LinearOperator:
        """See `Evaluation.hessian`."""
        return self.at(theta).hessian(kind)

    def hessian_matrix(self, theta: np.ndarray, kind: str = "observed", factor: Any = None) -> np.ndarray:
        """See `Evaluation.hessian_matrix`."""
        return self.at(theta).hessian_matrix(kind, factor)

    def hessian_diagonal(self, theta: np.ndarray, kind: str = "observed", factor: Any = None) -> np.ndarray:
        """See `Evaluation.hessian_diagonal`."""
        return self.at(theta).hessian_diagonal(kind, factor)

    def preconditioner(self, theta: np.ndarray, kind: str = "auto", curvature: str | None = None) -> Any:
        """See `Evaluation.factor`."""
        here = self.at(theta)
        return here.factor(kind) if curvature is None else here.factor(kind, curvature)

    # -- facts ----------------------------------------------------------------------------------------------------

    def scale_at(self, value: float, first_value: float) -> float | None:
        """What the tolerance is relative to in a run that has come from ``first_value`` to ``value``.

        Parameters
        ----------
        value, first_value : float

        Returns
        -------
        float or None
            `scale`, unless that depends on the point; None for what a run gains.
        """
        return self.scale

    def begun(self, theta: np.ndarray) -> "Objective":
        """The objective as a run sees it that begins at ``theta``.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)

        Returns
        -------
        Objective
        """
        return self

    def is_exact(self, kind: str) -> bool:
        """Whether a kind of curvature is the second derivative itself.

        Parameters
        ----------
        kind : {"observed", "expected"}

        Returns
        -------
        bool
        """
        return kind == "observed"

    def forms_hessian(self, n_parameters: int) -> bool:
        """Whether the Hessian should be formed as a matrix rather than used by products.

        Parameters
        ----------
        n_parameters : int

        Returns
        -------
        bool
        """
        raise NotImplementedError

    def can_factor(self, n_parameters: int) -> bool:
        """Whether a full factor of the exact Hessian is affordable, once.

        Parameters
        ----------
        n_parameters : int

        Returns
        -------
        bool
        """
        return self.forms_hessian(n_parameters)

    def sketch(self) -> "Objective | None":
        """The same objective on a weighted sample of the rows, nearly as curved and much cheaper.

        Drawn with a fixed seed, so that a deterministic solver stays deterministic.

        Returns
        -------
        Objective or None
            None where all rows are cheap enough.
        """
        return None

    def inflation(self, factor: Any) -> float:
        """How many times larger than the Hessian that of the `sketch` can be, at the most, along any direction.

        Parameters
        ----------
        factor : factor of the sketch

        Returns
        -------
        float
            inf where nothing is known.
        """
        return np.inf

    @property
    def factor_passes(self) -> float:
        """What the factor of kind "auto" costs, in passes, where a run may begin in units alone (kind "units").

        It is 0 where a run should not: the factor is the solution, or says what is flat.
        """
        return 0.0

    def determine(self, here: Any) -> float:
        """Decide once, before a solver without a preconditioner runs, which combinations of parameters are flat.

        A preconditioner decides the same on its way. Both do so only where a factor is affordable.

        Parameters
        ----------
        here : Evaluation
            Where the run begins.

        Returns
        -------
        float
            Passes that it took; zero where that is decided already, or never in question.
        """
        return 0.0

    @property
    def is_dependent(self) -> bool:
        """Whether some parameters proved to be nearly combinations of others."""
        return False

    def sample(self, rows: np.ndarray) -> "Objective":
        """The same objective on some rows: unbiased, the penalty not divided.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        Objective
        """
        raise ValueError("a plain function has no rows to sample: use batch_size=None")

    def diagnose(self, theta: np.ndarray, direction: np.ndarray) -> Any:
        """Why the optimum is at infinity, in names.

        Parameters
        ----------
        theta, direction : ndarray of shape (n_parameters,)
            Where a run stands, and its Newton step.

        Returns
        -------
        object or None
            None where that is not proved.
        """
        return

    def edge_optimum(self, theta: np.ndarray) -> Any:
        """An optimum on the edge of the domain, where the gradient does not vanish.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
            The best point of a run.

        Returns
        -------
        object or None
            With ``theta``, ``decrement`` (the decrease of the second-order model over the domain) and ``passes``; its
            text is a remark for the user. None where there is no edge, or nothing on it.
        """
        return

    def edge_rows(self, theta: np.ndarray) -> np.ndarray:
        """Numbers of the rows whose predictions are on the edge of the domain.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)

        Returns
        -------
        ndarray of int
        """
        return np.zeros(0, dtype=np.intp)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The conventional one of all parameter vectors that are as good.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)

        Returns
        -------
        ndarray of shape (n_parameters,)
        """
        return theta

    def refined(self, theta: np.ndarray) -> tuple[np.ndarray, int]:
        """An optimum with the digits that the sums of a run have lost, where they can be had at little cost.

        Parameters
        ----------
        theta : ndarray of shape (n_parameters,)
            A `canonical` optimum.

        Returns
        -------
        theta : ndarray of shape (n_parameters,)
        passes : int
        """
        return theta, 0

    def relative_size(self, theta: np.ndarray, step: np.ndarray) -> float:
        """By how much a step changes a parameter, at the most, in sizes that the parameters have or began with.

        Parameters
        ----------
        theta, step : ndarray of shape (n_parameters,)

        Returns
        -------
        float
            inf where parameters have no such sizes.
        """
        return np.inf

    def remedy(self, status: str) -> str:
        """What helps against a run of this status, for this kind of objective, beside the options of the solver.

        Parameters
        ----------
        status : str

        Returns
        -------
        str
            What to use, such as ``"another start x0"``; empty where nothing is known.
        """
        return "another start x0" if status == "saddle" else ""

    def parameter_names(self, n_parameters: int) -> list[str]:
        """What each parameter is called.

        Parameters
        ----------
        n_parameters : int

        Returns
        -------
        list of str
        """
        return [f"theta[{i}]" for i in range(n_parameters)]

    def parameters_in_words(self, which: np.ndarray) -> str:
        """The names of some parameters, the first ones of many.

        Parameters
        ----------
        which : ndarray of bool, shape (n_parameters,)

        Returns
        -------
        str
        """
        names = self.parameter_names(len(which))
        return in_words([names[i] for i in np.flatnonzero(which)])

    def flat_directions(self) -> list[str]:
        """Combinations of parameters that the objective does not depend on, in names; a list of str."""
        return []
