"""What a run hands back."""

import time
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from sk_hessian._report import Report, number_text, vector_text
from sk_hessian._text import listed
from sk_hessian.solvers import plan

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


class History:
    """The rows of a history, one per iteration of a run that ``began`` at this ``time.perf_counter``."""

    def __init__(self, began):
        self.began, self.rows = began, []

    def add(self, run, step):
        """The row of a run after a step, in the order of `HISTORY_COLUMNS`."""
        counts, point = run.counts, run.point
        row = (
            run.iteration,
            counts.evaluations,
            point.value,
            point.here.gradient_size if point.value < np.inf else 0.0,
            run.estimate,
            step.size,
            step.damping,
            counts.evaluations,
            counts.hessians + counts.products,
            time.perf_counter() - self.began,
        )
        self.rows.append(row)

    def record(self):
        """The latest row by its names."""
        return dict(zip(HISTORY_COLUMNS, self._found(self.rows[-1:])[0], strict=True))

    def latest_values(self, number):
        """The objective in the last rows."""
        column = list(HISTORY_COLUMNS).index("objective")
        return [row[column] for row in self.rows[-number:]]

    def columns(self):
        """The columns by their names."""
        rows = zip(*self._found(self.rows), strict=True)
        return {k: np.asarray(column) for k, column in zip(HISTORY_COLUMNS, rows, strict=True)}

    @staticmethod
    def _found(rows):
        """The rows with the sizes of gradients, see `Evaluation.gradient_size`: by one pass for each kind of them."""
        which = list(HISTORY_COLUMNS).index("gradient_norm")
        rows = list(rows)
        kinds: dict = {}
        for number, row in enumerate(rows):
            if isinstance(row[which], tuple):
                coordinates, slope = row[which]
                kinds.setdefault(id(coordinates), (coordinates, []))[1].append((number, slope))
        for coordinates, late in kinds.values():
            gradients = coordinates.lifted(np.array([slope for _, slope in late]).T)
            sizes = np.maximum.reduce(np.abs(gradients)).tolist()
            for (number, _), size in zip(late, sizes, strict=True):
                rows[number] = (*rows[number][:which], size, *rows[number][which + 1 :])
        return rows


@dataclass(frozen=True, repr=False)
class Convergence(Report):
    """The verdict on a run.

    Attributes
    ----------
    status : str
        "optimal", "stopped", "settled", "stalled", "separated", "saddle", "diverged" or "max_iter".
    message : str
        What happened, how far from the optimum, what to do.
    objective : float
        At the returned parameters: weighted mean loss plus penalty for the linear models.
    decrement : float
        Half the squared Newton decrement there, an estimate of objective minus optimum; nan if it was not
        certified, and for "settled".
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

    def _title(self):
        return self.message

    def _header(self):
        most = f"optimal needs at most {self.tol**2 * self.scale:.3g} = tol^2 scale, tol = {self.tol:g}"
        known = "not known" if np.isnan(self.decrement) else f"{self.decrement:.3g}"
        lines = {
            "status": self.status,
            "objective": f"{self.objective:.10g}",
            "decrement": f"{known} ({most})",
            "gradient norm": f"{self.gradient_norm:.3g}",
            "passes": number_text(self.passes),
            "flat directions": listed(self.flat_directions),
            "separation": "" if self.separation is None else str(self.separation),
        }
        return [line for line in lines.items() if line[1]]


@dataclass(frozen=True, repr=False)
class Result(Report):
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
    objective : object or None
        What was minimised; None of a result that was pickled, because functions seldom can be.
    active_constraints : tuple of str
        The constraints that hold with equality and push, in words.
    multipliers : ndarray, as long
        By how much ``fun`` would fall, to first order, for a unit by which each of them is moved out.
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
    objective: Any = field(default=None, repr=False, compare=False)
    active_constraints: tuple = ()
    multipliers: Any = field(default=(), repr=False, compare=False)

    def _title(self):
        return self.message

    def _header(self):
        return [
            ("success", str(self.success)),
            ("status", self.status),
            ("fun", f"{self.fun:.10g}"),
            ("x", vector_text(self.x)),
            ("jac", vector_text(self.jac)),
            *[(name, number_text(getattr(self, name))) for name in ("nit", "nfev", "nhev")],
            ("solver", str(self.solver)),
        ]

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "objective"}

    def point(self) -> Any:
        """The `Evaluation` of the objective at ``x``.

        Raises
        ------
        ValueError
            For a result that was pickled.
        """
        if self.objective is None:
            raise ValueError("this result was pickled, which leaves its objective out: minimise again")
        return self.objective.at(self.x)

    def covariance(self, dispersion: float | None = None) -> np.ndarray:
        """The covariance of the parameters of a `FunctionObjective` or a `LeastSquaresObjective`.

        By the curvature at ``x``: the inverse of J'J of residuals, times the dispersion; of a function, taken to be
        minus a log-likelihood, the inverse Hessian. No matrix is inverted that a factor does not show to have an
        inverse.

        Parameters
        ----------
        dispersion : float, optional
            By default, of residuals the sum of squares over n - p (``absolute_sigma=False`` of
            `scipy.optimize.curve_fit`), of a function 1. For residuals in units of their standard deviations 1
            (``absolute_sigma=True``).

        Returns
        -------
        ndarray of shape (n_parameters, n_parameters)

        Raises
        ------
        ValueError
            For a result that is not ``optimal``, parameters that are not determined, no residuals to estimate the
            dispersion, a perfect fit, or a bad dispersion.
        TypeError
            For other objectives, whose estimators have `sk_hessian.inspection.coef_table`.

        References
        ----------
        .. [1] G. Seber, C. Wild, "Nonlinear Regression", 1989, section 2.1.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_hessian.objectives import LeastSquaresObjective
        >>> from sk_hessian.solvers import minimize
        >>> t, y = np.arange(5.0), np.array([3.1, 1.8, 1.1, 0.7, 0.4])
        >>> decay = LeastSquaresObjective(lambda x: x[0] * np.exp(-x[1] * t) - y)
        >>> np.sqrt(np.diag(minimize(decay, [1.0, 1.0]).covariance())).round(3)
        array([0.034, 0.011])
        """
        here = self.point()
        if self.status != "optimal":
            raise ValueError(f'covariance needs a result with the status "optimal". This one: {self.message}')
        if len(self.active_constraints):
            raise ValueError(
                "covariance needs an optimum where the gradient is zero, and bounds hold this one back: "
                f"{listed(self.active_constraints)}. For figures on the condition that they hold, minimise over the "
                "other parameters alone"
            )
        if dispersion is not None and not (_is_number(dispersion) and 0 < dispersion < np.inf):
            raise ValueError(f"dispersion must be a positive number or None, got {dispersion!r}")
        root = here.covariance_root()
        return root @ root.T * (here.dispersion()[0] if dispersion is None else float(dispersion))


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


#: status, fact, what happened: the first row speaks whose fact holds
_WHAT = (
    ("stopped", None, "A callback asked for it."),
    (
        "settled",
        None,
        "The last iterations gained less than the tolerance. The objective has kinks, where its derivatives jump, so "
        "that no optimum can be proved.",
    ),
    ("separated", None, "The optimum is at infinity: {recession}."),
    ("saddle", None, "The gradient vanishes, but a direction of negative curvature is left: this is no minimum."),
    ("stalled", "undefined", "The gradient is not finite there, in {undefined}, so that no step is defined."),
    ("stalled", "fixed", "No iteration gains any more: {fixed} cannot come nearer, or rounding hides the gains."),
    ("stalled", None, "No step lowers the objective any more: floating-point precision is exhausted."),
    ("diverged", "fell", "The objective fell without end: check that it has a minimum."),
    ("diverged", None, "The objective became too large or infinite; the best point so far is returned."),
)

#: status, fact, what to do about it: all rows whose fact holds
_DO = (
    ("max_iter", None, "a larger max_iter"),
    ("stalled", None, "a larger tol"),
    ("diverged", "rate", "a smaller learning_rate"),
    ("saddle", "may_stay", 'solver=Newton(hessian="exact")'),
    ("max_iter stalled diverged", "free", "solver={free}"),
    ("max_iter stalled", "faster", "solver={faster}"),
)

#: options whose fixed values end a run early or hold it back, and the value that the run chooses itself
_OPTIONS = {"learning_rate": "auto", "batch_size": "auto", "damping": "auto"}

#: the share of the scale from which on it is told in per cent
_IN_PER_CENT = 1e-3

#: an objective that is lower than this has no minimum: a run ends by it where it falls by 1e30
_BOTTOMLESS = -1e29


def still_missing(decrement, scale, is_model):
    """How much of ``scale`` is left to gain by a decrement, which may be nan, as a part of a sentence."""
    share = decrement / scale if is_model and scale > 0 else 0.0
    if not np.isfinite(decrement) or share > 1:
        return "how much is still to be gained is not known"
    if share >= _IN_PER_CENT:
        per_cent = f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"
        return f"about {per_cent}% of what this model can gain is still missing"
    return f"a Newton step would still gain about {decrement:.2g}" if decrement > 0 else "nothing is left to gain"


def bounded_text(gap):
    """How much the duality gap leaves to be gained, as a part of a sentence."""
    return f"the duality gap leaves at most {gap:.2g} to gain" if gap > 0 else "the duality gap is zero"


def advice(status, solver, objective, gradient):
    """What to do about a run that ended so at a point of this gradient, a sentence or nothing."""
    return _advice(status, objective, _facts(solver, objective, gradient))


def _advice(status, objective, facts):
    if facts["undefined"]:
        return "Use another start, or check the derivatives."
    ways = [text.format(**facts) for of, fact, text in _DO if status in of.split() and (fact is None or facts[fact])]
    # what a fixed option holds back has no other reason
    ways += [objective.remedy(status)] if objective.remedy(status) and not facts["fixed"] else []
    if not ways:
        return ""
    return f"Use {ways[0]}." if len(ways) == 1 else f"Use {', '.join(ways[:-1])}, or {ways[-1]}."


def _facts(solver, objective, gradient):
    """What the advice depends on, in words where it is quoted; empty or False where it does not hold."""
    name, options = type(solver).__name__, solver.get_params(deep=False)
    fixed = {o: options[o] for o in _OPTIONS if options.get(o, _OPTIONS[o]) not in (_OPTIONS[o], None)}
    # a running mean of squares is the rule for its own rate, which must be a number
    has_own_rule = options.get("squares") is not None
    free = [*fixed, *["precondition"] * (options.get("precondition", "auto") is None)] if fixed else []
    quoted = [f'{o}="auto"' for o in free if not has_own_rule]
    newton = name == "Newton"
    forms = plan.forms_hessian(objective, gradient.size)
    others = [] if newton else ['"newton"'] * forms + ['"lbfgs"'] * (name != "LBFGS")
    names = objective.parameter_names(gradient.size)
    undefined = [names[i] for i in np.flatnonzero(~np.isfinite(gradient))]
    return {
        "undefined": listed(undefined, ", "),
        "fixed": " with ".join(f"{o}={value!r}" for o, value in fixed.items()),
        "free": f"{name}({', '.join(quoted)})" if quoted else "",
        "rate": "learning_rate" in fixed,
        "faster": " or ".join(others),
        "may_stay": not (newton and options["hessian"] == "exact"),
    }


def message(status, run, point, missing, recession):
    """One paragraph: what happened, how much is `still_missing`, what to do."""
    name, plural = type(run.spec).__name__.lower(), "" if run.iteration == 1 else "s"
    text = f"{status}: {name} ended after {run.iteration} iteration{plural} at objective {point.value:.10g}"
    if status not in ("settled", "separated", "saddle"):
        text += f"; {missing}"
    if status == "optimal":
        return f"{text}."
    facts = _facts(run.spec, run.objective, point.gradient)
    facts |= {"fell": point.value < _BOTTOMLESS, "recession": recession}
    said = (text for of, fact, text in _WHAT if of == status and (fact is None or facts[fact]))
    what = next(said, "").format(**facts)
    to_do = recession.advice if recession else _advice(status, run.objective, facts)
    return " ".join(part for part in (f"{text}.", what, to_do) if part)
