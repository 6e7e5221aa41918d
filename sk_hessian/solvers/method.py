"""What the run of a solver is to the loop: it makes one outer iteration at a time."""

from dataclasses import dataclass
from typing import Any


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

    point: Any
    size: float
    damping: float = 0.0
    moved: bool = True


class MethodRun:
    """The state of one run of a solver.

    It sees the objective as a `Problem` in coordinates u, in which the curvature is near the identity
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
        problem : Problem
        point : Point
            Where the former iteration ended.

        Returns
        -------
        Step
            With ``moved=False`` where nothing lowers the objective.
        """
        raise NotImplementedError
