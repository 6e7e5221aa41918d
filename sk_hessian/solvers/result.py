"""What a run hands back."""

from dataclasses import dataclass, field

import numpy as np

#: column of the history -> what it holds
HISTORY_COLUMNS = {
    "iteration": "outer iterations so far (epochs for a stochastic solver)",
    "epoch": "passes over the rows spent on gradients so far",
    "objective": "the objective on all rows",
    "gradient_norm": "largest absolute entry of the gradient in the user's parameters",
    "decrement": "the solver's estimate of half the squared Newton decrement",
    "step": "learning rate or length along the direction",
    "damping": "Levenberg-Marquardt damping (zero for other solvers)",
    "evaluations": "evaluations of value and gradient so far, in passes",
    "hessian_products": "Hessian products and matrices so far, in passes",
    "seconds": "since the run began",
}


@dataclass(frozen=True)
class Convergence:
    """The verdict on a run.

    Attributes
    ----------
    status : str
        "optimal", "stopped", "stalled", "separated", "saddle", "diverged" or "max_iter".
    message : str
        What happened, how far from the optimum, what to do.
    objective : float
        At the returned parameters: weighted mean loss plus penalty for the linear models.
    decrement : float
        Half the squared Newton decrement there, an estimate of objective minus optimum; nan if it was not certified.
    scale : float
        What the tolerance is relative to: ``optimal`` needs ``decrement <= tol**2 * scale``. For linear models of many
        rows it is 5000 times the dispersion over the total weight.
    tol : float
    gradient_norm : float
        Largest absolute entry of the gradient.
    passes : float
        Passes over the data: evaluations, Hessians, products and checks.
    flat_directions : tuple of str
        Combinations of columns that the data cannot tell apart.
    separation : object or None
        For "separated": the classes and features, and a direction along which the loss falls for ever.
    """

    status: str
    message: str
    objective: float
    decrement: float
    scale: float
    tol: float
    gradient_norm: float
    passes: float
    flat_directions: tuple = ()
    separation: object = None


@dataclass(frozen=True)
class Result:
    """Outcome of `minimize`, with the field names of `scipy.optimize.OptimizeResult`.

    Attributes
    ----------
    x : ndarray of shape (n_parameters,)
    fun : float
    jac : ndarray of shape (n_parameters,)
    nit : int
        Outer iterations.
    nfev : float
        Evaluations of value and gradient, in passes over the rows.
    nhev : float
        Hessian matrices and products, in passes.
    success : bool
        Whether the status is "optimal".
    status, message : str
    solver : object
        The solver that ran.
    convergence : Convergence
    history : dict of str to ndarray
        One entry per column of `HISTORY_COLUMNS`, one row per outer iteration, the start included.
    """

    x: np.ndarray
    fun: float
    jac: np.ndarray
    nit: int
    nfev: float
    nhev: float
    success: bool
    status: str
    message: str
    solver: object
    convergence: Convergence
    history: dict = field(repr=False)


#: status -> what happened and what to do, after the common sentence
_ADVICE = {
    "optimal": "",
    "stopped": "A callback asked for it.",
    "stalled": "No step lowers the objective any more: floating-point precision is exhausted, or a fixed learning rate "
    'or batch size cannot do better. Use a larger tol, solver="newton", or drop nearly dependent columns.',
    "separated": "The optimum is at infinity: {recession}. {recession.advice}",
    "saddle": "A direction of negative curvature is left: this is no minimum. "
    'Use Newton(hessian="exact"), or another start.',
    "diverged": "The objective left all bounds, up or down; this is the best iterate. "
    'Use a smaller learning_rate, or learning_rate="auto"; a function without a minimum has no solution.',
    "max_iter": 'Use a larger max_iter, solver="newton" or "lbfgs", or learning_rate="auto".',
}


def message(status, solver, n_iter, value, distance):
    """One paragraph: the status, how it ended, how far from the optimum, what to do.

    Parameters
    ----------
    distance : float
        The certified decrement in units of the scale, nan if there is none.
    """
    name = type(solver).__name__.lower()
    far = "unknown" if np.isnan(distance) else f"about {distance:.2g} of the scale"
    text = f"{status}: {name} ended after {n_iter} iterations at objective {value:.10g}, distance to the optimum {far}."
    return f"{text} {_ADVICE[status]}".strip()
