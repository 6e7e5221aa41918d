"""What the solvers ask of an objective."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives.coordinates import Through


@dataclass(frozen=True)
class Facts:
    """What the curvature of an objective is made of, and what that costs; solvers decide whether it is too much.

    Attributes
    ----------
    made_of : {"derivatives", "columns", "determinant", "gradients", "memory", "restriction"}
        Where a Hessian comes from: derivatives of a whole function, as many as parameters; products of columns, for
        each pair of outputs; the same and a log-determinant; gradients of single rows, for each output; a quadratic
        that is remembered anyway; the Hessian of the objective that this one is a restriction of.
    kinds : tuple of str
        The kinds of `Evaluation.factor` that there are, but for "units".
    has_matrix : bool
        Whether a matrix of its curvature is within the memory that it may take, or is in memory already.
    n_columns : int
        Size of the largest matrix that a factor of one output, or of one layer, decomposes.
    factor_size : int
        Size of the matrix that a factor of the whole Hessian of a model decomposes.
    n_outputs : int
        Outputs of a linear model, whose pairs each add a block to the Hessian.
    pass_work : int
        Multiplications of a row in a product with the rows: as many as parameters, those of constants aside.
    hessian_work : int
        Multiplications of a row in the Hessian of one output of a linear model, or in that of a network.
    is_wide : bool
        Whether the matrix is that of the rows, which are fewer than the columns.
    is_quadratic : bool
        Whether the curvature is the same everywhere.
    is_held : bool
        Whether a penalty holds every coefficient, so that nothing can be flat.
    keeps_rows : bool
        Whether standardised rows are kept as one array, so that a Hessian is one product and nothing else.
    exact_is_cheap : bool
        Whether exact curvature costs hardly more than expected curvature that leaves something out.
    is_sketch : bool
        Whether the rows are a sample that stands for all, see `Objective.sketch`.
    is_sum_over_rows : bool
        Whether each row has its own term beside the penalty; not where a prior is of all rows at once.
    differences_of : {"nothing", "gradients", "values"}
        What second derivatives are differences of; "nothing" where they are exact.
    has_many_optima : bool
        Whether there may be many optima, with saddles and plateaus between them, and parameters have natural units.
    """

    made_of: str = "derivatives"
    kinds: tuple[str, ...] = ("full", "diagonal")
    has_matrix: bool = True
    n_columns: int = 0
    factor_size: int = 0
    n_outputs: int = 1
    pass_work: int = 1
    hessian_work: int = 1
    is_wide: bool = False
    is_quadratic: bool = False
    is_held: bool = False
    keeps_rows: bool = False
    exact_is_cheap: bool = False
    is_sketch: bool = False
    is_sum_over_rows: bool = True
    differences_of: str = "nothing"
    has_many_optima: bool = False


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
    facts : Facts
        What its curvature costs.
    called : str
        What a message says of it, such as "for a network".
    total_weight : float
        What the objective is multiplied with to be a sum over rows.
    model : Linear, Network or None
        From parameters to raw predictions, of models of data.
    full_size : int
        Size of the matrix that a factor of kind "full" decomposes, of a linear model.
    is_dependent : bool
        Whether some parameters proved to be nearly combinations of others.
    draws_rows : bool
        Whether some rows can be had for much less than a pass, so that minibatches make sense.
    is_smooth : bool
        Whether curvature changes at most e-fold where no linear predictor moves by more than a unit.
    has_kinks : bool
        Whether derivatives jump near every point that a run may end at, so that no Newton decrement proves an optimum.
    is_model : bool
        Whether it is a model of data, whose scale is what the model can gain at the most.
    """

    convex: bool = False
    n_rows: int | None = None
    scale: float | None = None
    lower_bound: float = -np.inf
    resolution: float = 0.0
    curvature: str = "observed"
    facts: Any = Facts()
    called: str = "for a function"
    is_smooth: bool = True
    has_kinks: bool = False
    is_model: bool = False
    draws_rows: bool = True
    total_weight: float = 1.0
    model: Any = None
    full_size: int = 0
    is_dependent: bool = False

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

    def preconditioner(self, theta: np.ndarray, kind: str = "full", curvature: str | None = None) -> Any:
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

    def refuse_kind(self, kind: str) -> None:
        """Raise a ValueError for a kind of factor that is not among those of its facts."""
        options = ("auto", None, *self.facts.kinds)
        raise ValueError(f"precondition={kind!r} is not available {self.called}; choose from {options}")

    def sketch(self, n_rows: int) -> Any:
        """The same objective on a weighted sample of the rows, nearly as curved and much cheaper; it is kept.

        Drawn with a fixed seed, so that a deterministic solver stays deterministic.

        Parameters
        ----------
        n_rows : int
            How many rows it has, or about so many.

        Returns
        -------
        Objective
        """
        raise NotImplementedError

    def inflation(self, sketch: Any) -> float:
        """How many times larger than the Hessian that of a `sketch` can be, at the most, along any direction.

        Parameters
        ----------
        sketch : Objective

        Returns
        -------
        float
            inf where nothing is known.
        """
        return np.inf

    def determine(self, here: Any, n_rows: int | None) -> float:
        """Decide once, before a solver without a preconditioner runs, which combinations of parameters are flat.

        A preconditioner decides the same on its way. Both do so only where a factor is affordable.

        Parameters
        ----------
        here : Evaluation
            Where the run begins.
        n_rows : int or None
            Rows of the `sketch` that may tell already; None without one.

        Returns
        -------
        float
            Passes that it took; zero where that is decided already, or never in question.
        """
        return 0.0

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

    def flat_directions(self) -> list[str]:
        """Combinations of parameters that the objective does not depend on, in names; a list of str."""
        return []
