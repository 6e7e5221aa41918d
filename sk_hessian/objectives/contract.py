"""What the solvers ask of an objective."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives.coordinates import Through


@dataclass(frozen=True)
class Facts:
    """What the curvature of an objective is made of, and what that costs; solvers decide whether it is too much."""

    #: where a Hessian comes from: "derivatives" of a whole function, as many as parameters; products of "columns", for
    #: each pair of outputs; the same and a log-"determinant"; "gradients" of single rows, for each output; a "memory",
    #: a quadratic at hand anyway; the Hessian of the objective that this one is a "restriction" of
    made_of: str = "derivatives"
    #: the kinds of `Evaluation.factor` that there are, among "full", "kronecker" and "diagonal"
    kinds: tuple[str, ...] = ("full", "diagonal")
    #: whether a matrix of its curvature is within the memory that it may take, or is in memory already
    has_matrix: bool = True
    n_columns: int = 0  #: size of the largest matrix that a factor of one output, or of one layer, decomposes
    factor_size: int = 0  #: size of the matrix that a factor of the whole Hessian of a model decomposes
    n_outputs: int = 1  #: outputs of a linear model, whose pairs each add a block to the Hessian
    n_constants: int = 0  #: the loss's constants, which stand beside the outputs
    #: multiplications of a row in a product with the rows: as many as parameters, those of constants aside
    pass_work: int = 1
    #: multiplications of a row in the Hessian of one output of a linear model, or in that of a network
    hessian_work: int = 1
    is_wide: bool = False  #: whether the matrix is that of the rows, which are fewer than the columns
    is_quadratic: bool = False  #: whether the curvature is the same everywhere
    is_polyhedral: bool = False  #: whether it is piecewise linear
    bends_few: bool = False  #: whether few rows have any curvature, so that a sample of the rows does not tell it
    is_held: bool = False  #: whether a penalty holds every coefficient, so that nothing can be flat
    #: whether exact curvature costs hardly more than expected curvature that leaves something out
    exact_is_cheap: bool = False
    #: whether the rows are a sample that stands for all, see `Objective.sketch`
    is_sketch: bool = False
    #: whether each row has its own term beside the penalty; not where a prior is of all rows at once
    is_sum_over_rows: bool = True
    #: what second derivatives are differences of: "gradients", "values", or "nothing" where they are exact
    differences_of: str = "nothing"
    #: whether there may be many optima, with saddles and plateaus between them, and parameters have natural units
    has_many_optima: bool = False


class Objective:
    """A smooth function of one flat parameter vector theta, with as much of its structure as it knows.

    A solver sees nothing else: no X, no y, no loss. A subclass defines `at`. The rest has a default that is right for a
    function of which nothing is known beyond its values and derivatives, and is overridden where more is known.

    Throughout, ``theta`` is a float array of shape (n_parameters,), as are directions and steps; ``kind`` of curvature
    is "observed", the second derivative itself, or "expected", its positive semi-definite expectation; ``here`` is the
    `Evaluation` at a point; and ``rows`` are the numbers of some rows, an array of int.
    """

    convex: bool = False  #: True when every stationary point is a minimum
    n_rows: int | None = None  #: rows that the objective sums over; None for a plain function
    scale: float | None = None  #: what the tolerance is relative to; None for what a run gains
    #: the least value, where some finite parameters may have it; -inf where that is not known
    lower_bound: float = -np.inf
    resolution: float = 0.0  #: differences of the objective that rounding of the data alone makes
    curvature: str = "observed"  #: the kind of curvature that preconditioners take by default
    facts: Any = Facts()  #: what its curvature costs
    called: str = "for a function"  #: what a message says of it, such as "for a network"
    #: whether curvature changes at most e-fold where no linear predictor moves by more than a unit
    is_smooth: bool = True
    #: whether derivatives jump near every point that a run may end at, so that no Newton decrement proves an optimum
    has_kinks: bool = False
    #: of a piecewise linear objective a `Smoothing`, which has smooth ones near it and tells how far a point is from
    #: the optimum; else None
    smoothing: Any = None
    is_model: bool = False  #: whether it is a model of data, whose scale is what the model can gain at the most
    #: whether some rows can be had for much less than a pass, so that minibatches make sense
    draws_rows: bool = True
    total_weight: float = 1.0  #: what the objective is multiplied with to be a sum over rows
    model: Any = None  #: a `Linear` or a `Network`, from parameters to raw predictions, of models of data
    full_size: int = 0  #: size of the matrix that a factor of kind "full" decomposes, of a linear model
    is_dependent: bool = False  #: whether some parameters proved to be nearly combinations of others

    #: a function of an `Evaluation`, where a penalty may hold the parameters; else None. It returns a `PenaltyBound` of
    #: what is left above the optimum for slopes in some coordinates, and multiples of these; or None
    penalty_bound: Any = None

    def at(self, theta: np.ndarray) -> Any:
        """The `Evaluation` at a point, which remembers what is computed there; every objective defines it."""
        raise NotImplementedError

    def entry(self, theta: np.ndarray) -> Any:
        """The `Evaluation` where a run begins; override it where other coordinates than theta serve a run better."""
        return self.at(theta)

    def through(self, coordinates: Any, here: Any) -> Any:
        """The same objective in `Coordinates` that are zero at a point, a `Through`.

        Override it where points can be had in these coordinates without theta.
        """
        return Through(self, coordinates, here.theta)

    # -- views of a point -----------------------------------------------------------------------------------------

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """The objective, a float that is +inf outside its domain, and its gradient (n_parameters,)."""
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
        """`scale` in a run that came from ``first_value`` to ``value``; override it where that depends on the point."""
        return self.scale

    def begun(self, theta: np.ndarray, feasible: Any = None) -> "Objective":
        """The objective as a run sees it that begins at ``theta``, within a `FeasibleSet`.

        Override it for facts that depend on the start, or where derivatives need points beside theta.
        """
        return self

    def is_exact(self, kind: str) -> bool:
        """Whether a kind of curvature is the second derivative itself; a canonical loss has both alike."""
        return kind == "observed"

    def refuse_kind(self, kind: str) -> None:
        """Raise a ValueError for a kind of factor that is not among those of its facts."""
        options = ("auto", None, *self.facts.kinds)
        raise ValueError(f"precondition={kind!r} is not available {self.called}; choose from {options}")

    def sketch(self, n_rows: int) -> Any:
        """The same objective on about so many weighted rows, nearly as curved and much cheaper; it is kept.

        For objectives with rows; drawn with a fixed seed, so that a deterministic solver stays deterministic.
        """
        raise NotImplementedError

    def inflation(self, sketch: Any) -> float:
        """How many times larger than the Hessian that of a `sketch` can be, along any direction; inf if unknown."""
        return np.inf

    def determine(self, here: Any, n_rows: int | None) -> float:
        """Decide once, before a solver without a preconditioner runs, which combinations of parameters are flat.

        A preconditioner decides the same on its way. Both do so only where a factor is affordable. ``n_rows`` are those
        of the `sketch` that may tell already, None without one. Returns the passes that it took: zero where that is
        decided already, or never in question.
        """
        return 0.0

    def sample(self, rows: np.ndarray) -> "Objective":
        """The same objective on some rows: unbiased, the penalty not divided. For objectives with rows."""
        raise ValueError("a plain function has no rows to sample: use batch_size=None")

    def diagnose(self, theta: np.ndarray, direction: np.ndarray, feasible: Any = None) -> Any:
        """Why the optimum is at infinity, an object whose text names what separates; None where that is not proved.

        ``theta`` is where a run stands, ``direction`` its Newton step, within a `FeasibleSet` or without. Override it
        where recession can be proved.
        """
        return

    def edge_optimum(self, theta: np.ndarray) -> Any:
        """An optimum on the edge of the domain, where the gradient does not vanish; None where there is none.

        It has ``theta``, ``decrement`` (the decrease of the second-order model over the domain) and ``passes``; its
        text is a remark for the user. ``theta`` is the best point of a run. Override it where the domain has an edge.
        """
        return

    def edge_rows(self, theta: np.ndarray) -> np.ndarray:
        """Numbers of the rows whose predictions are on the edge of the domain, an array of int."""
        return np.zeros(0, dtype=np.intp)

    def canonical(self, theta: np.ndarray, feasible: Any = None) -> np.ndarray:
        """The conventional one of all parameter vectors that are as good; override it where there are several.

        With a `FeasibleSet`, of those that are in it.
        """
        return theta

    def refined(self, theta: np.ndarray) -> tuple[np.ndarray, int]:
        """A `canonical` optimum with the digits that the sums of a run have lost, and the passes that this took.

        Override it where these digits can be had at little cost.
        """
        return theta, 0

    def relative_size(self, theta: np.ndarray, step: np.ndarray) -> float:
        """By how much a step changes a parameter at the most, in sizes that parameters have; inf if they have none."""
        return np.inf

    def remedy(self, status: str) -> str:
        """What helps against a run of this status, such as ``"another start x0"``; empty where nothing is known.

        It is said beside the options of the solver.
        """
        return "another start x0" if status == "saddle" else ""

    def parameter_names(self, n_parameters: int) -> list[str]:
        """What each parameter is called, a list of str; override it where parameters have names."""
        return [f"theta[{i}]" for i in range(n_parameters)]

    def flat_directions(self) -> list[str]:
        """Combinations of parameters that the objective does not depend on, in names, a list of str."""
        return []
