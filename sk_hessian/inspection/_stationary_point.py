"""What kind of stationary point a fit, or any point of an objective, is."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from sk_hessian._report import Report, number_text
from sk_hessian._text import listed
from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._checks import check_share, finite, finite_value
from sk_hessian.inspection._fitted import require_interior
from sk_hessian.inspection._flat_directions import near_null
from sk_hessian.inspection._hessian import combination, locate
from sk_hessian.inspection._spectrum import MAX_DENSE
from sk_hessian.inspection._standardised import Standardised, accuracy

#: share of the largest eigenvalue up to which a negative one of a network counts as zero: at a fit of finite tolerance
#: they are of this size all the time, and the solvers' verdict takes the same
_NEGATIVE_OF_NETWORKS = 1e-3

#: halvings and doublings of a step along negative curvature
_MOST_HALVINGS, _MOST_DOUBLINGS = 40, 10

#: restarts of Lanczos, of twenty products or so each
_RESTARTS = 100


@dataclass(frozen=True, repr=False)
class StationaryPoint(Report):
    """What the gradient and the Hessian's eigenvalues say of a point.

    Attributes
    ----------
    kind : {"minimum", "saddle", "maximum", "degenerate", "none"}
        "none" where the gradient is not small. "degenerate" where an eigenvalue is zero within the tolerance, so that
        second derivatives do not decide (or, for a convex objective, where the minimum is not unique), and where no
        evaluation confirms negative curvature.
    message : str
        The same in a sentence.
    decrement : float
        Half the squared gradient over the curvature, the size of what a Newton step would gain, as a share of the
        objective's scale; over one, the unit of the coordinates, along flat directions and beyond 1000 parameters.
    n_negative : int
        Directions of negative curvature; at least so many where ``is_exact`` is false.
    n_flat : int
        Eigenvalues that are zero within the tolerance.
    lowest : float
        The lowest eigenvalue in standardised units, as a share of the largest absolute one.
    direction : ndarray of shape (n_parameters,)
        Its eigenvector, as a change of the parameters.
    direction_name : str
        The largest entries of the eigenvector in standardised units, in words.
    tolerance : float
        Shares of the largest eigenvalue up to which one is zero.
    flat : tuple of str
        The flat directions in words.
    step : ndarray of shape (n_parameters,) or None
        Where there is negative curvature: a step along it that lowers the objective, tried by evaluating it.
    decrease : float
        By how much; zero where there is no such step.
    is_exact : bool
        Whether all eigenvalues were looked at.
    """

    kind: str
    message: str
    decrement: float
    n_negative: int
    n_flat: int
    lowest: float
    direction: np.ndarray = field(repr=False)
    direction_name: str
    tolerance: float
    flat: tuple = ()
    step: np.ndarray | None = field(default=None, repr=False)
    decrease: float = 0.0
    is_exact: bool = True

    def _title(self):
        return self.message

    def _header(self):
        few = "" if self.is_exact else "at least "
        lines = {
            "kind": self.kind,
            "decrement": f"{self.decrement:.3g} of the scale",
            "negative eigenvalues": f"{few}{self.n_negative}",
            "zero eigenvalues": f"{few}{self.n_flat}, up to {self.tolerance:g} of the largest",
            "lowest eigenvalue": f"{self.lowest:.3g} of the largest, along {self.direction_name}",
            "flat directions": listed(self.flat),
            "a step along it": f"lowers the objective by {number_text(self.decrease)}" if self.decrease > 0 else "",
        }
        return [line for line in lines.items() if line[1]]


def stationary_point(
    estimator: Any,
    X: Any = None,
    y: ArrayLike | None = None,
    *,
    theta: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    tol: float = 1e-3,
    tolerance: float | None = None,
    **fit_data: ArrayLike | None,
) -> StationaryPoint:
    """Tell a minimum from a saddle, a maximum and a degenerate point.

    The eigenvalues are those of the exact Hessian (L2 penalty included) in standardised units: columns centred, unit
    expected curvature of each coordinate. Signs of eigenvalues do not depend on the units (Sylvester's law of
    inertia), but whether one is beside rounding does; on raw columns nothing would be. The common shift of softmax
    outputs, on which nothing depends, does not count as flat. Beyond 1000 parameters only the lowest and the largest
    eigenvalue are found, by products.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian, or Objective
    X, y
        The rows, for an estimator.
    theta : array-like of shape (n_parameters,), optional
        The point, by default the fitted parameters; needed for an objective.
    sample_weight : array-like of shape (n_samples,), optional
        That of the fit.
    tol : float, default=1e-3
        The gradient is small where half of its square over the curvature is at most ``tol**2`` times the objective's
        scale: the null model's loss above a perfect one for models, what is left for residuals, and for a function
        half the largest curvature times ``max(1, |theta|)**2``. Fits that are ``optimal`` at tol=1e-4 are well below.
    tolerance : float, optional
        Share of the largest eigenvalue up to which one counts as zero. By default 1e-8, above the rounding of exact
        derivatives; 1e-7 and 1e-3 where they are differences of gradients and of values. Negative ones of a network
        count beyond 1e-3 only, as in the verdict of a fit: its tolerance leaves smaller ones at any minimum.
    **fit_data
        What else the fit was given for each row: ``offset``, of shape (n_samples,) or (n_samples, n_outputs). And
        ``names`` (sequence of str): what the columns are called, for an X without names.

    Returns
    -------
    StationaryPoint

    Raises
    ------
    ValueError, TypeError
        For bad rows or theta, and where the objective or its Hessian is not finite there.

    References
    ----------
    .. [1] Y. Dauphin et al., "Identifying and attacking the saddle point problem in high-dimensional non-convex
       optimization", 2014.

    Examples
    --------
    >>> from sk_hessian.objectives import FunctionObjective
    >>> pass_ = FunctionObjective(lambda x: x[0] ** 2 - x[1] ** 2, jac=lambda x: [2 * x[0], -2 * x[1]])
    >>> found = stationary_point(pass_, theta=[0.0, 0.0])
    >>> found.kind, found.direction_name, found.decrease > 0
    ('saddle', 'theta[1]', True)
    """
    check_share("tol", tol)
    if tolerance is not None:
        check_share("tolerance", tolerance)
    objective, point = locate(estimator, X, y, theta, sample_weight=sample_weight, **fit_data)
    require_interior(objective, point, "stationary_point")
    value, gradient = finite_value(objective, point)
    look = _Look(objective, point, value, gradient, tolerance or accuracy(objective)[1])
    if theta is not None:
        return look.verdict(tol, None)
    fitted = Chain.of(estimator).estimator
    verdict, active = fitted.convergence_, getattr(fitted, "active_constraints_", ())
    found = look.verdict(tol, verdict.message if verdict.status == "separated" else None)
    if not active:
        return found
    return replace(found, message=f"{found.message} The constraints {listed(active, ', ')} hold this fit back.")


class _Look:
    """A point of an objective with the eigenvalues of its Hessian in standardised units."""

    def __init__(self, objective, theta, value, gradient, tolerance):
        self.objective, self.theta, self.value, self.tolerance = objective, theta, value, tolerance
        self.units = Standardised(objective, theta)
        self.is_exact = theta.size <= MAX_DENSE
        if self.is_exact:
            self.H = finite(self.units.matrix("observed", without_symmetries=True))
            self.values, self.vectors = np.linalg.eigh(self.H)
        else:
            self.values, self.vectors = two_ends(self.units.operator("observed", without_symmetries=True), tolerance)
        self.largest = np.abs(self.values).max()
        negative = _NEGATIVE_OF_NETWORKS if objective.facts.has_many_optima else tolerance
        self.is_negative = self.values < -max(negative, tolerance) * self.largest
        self.is_flat = (self.values <= tolerance * self.largest) & ~self.is_negative
        self.decrement = self._decrement(self.units.transpose(gradient)) / self._scale()

    def _decrement(self, slope):
        """Half the squared slope over the curvature; over one, the unit of the coordinates, where that is flat."""
        if not self.is_exact:
            return 0.5 * slope @ slope
        bent = np.where(self.is_flat, 1.0, np.abs(self.values))
        return 0.5 * np.sum((self.vectors.T @ slope) ** 2 / np.where(bent > 0, bent, 1.0))

    def _scale(self):
        scale = self.objective.scale_at(self.value, self.value)
        if scale is None:
            unit = self.units.to_theta(np.ones(self.theta.size))
            curvature = np.abs(self.H / np.outer(unit, unit)).max() if self.is_exact else self.largest
            scale = 0.5 * curvature * max(1.0, np.abs(self.theta).max()) ** 2
        return max(scale, np.finfo(float).tiny)

    def verdict(self, tol, infinite):
        """A `StationaryPoint`; ``infinite`` says why the optimum is at infinity, if it is."""
        step, decrease = self._downhill() if self.is_negative.any() else (None, 0.0)
        kind = "none" if infinite or self.decrement > tol**2 else self._kind(step is not None)
        names, vector = self.objective.parameter_names(self.theta.size), self.vectors[:, 0]
        near: list = []
        if kind != "none" and self.is_exact and self.largest:
            near = near_null(self.units, self.H, self.values, self.vectors, self.tolerance, names)
        lowest = float(self.values[0] / (self.largest or 1.0))
        name = combination(names, vector * np.sign(vector[np.argmax(np.abs(vector))]))
        text = _NOT_UNIQUE if kind == "degenerate" and self.objective.convex else _MESSAGES[kind]
        found = {"decrement": self.decrement, "lowest": lowest, "direction_name": name}
        return StationaryPoint(
            kind=kind,
            message=infinite or text.format(**found, n=int(self.is_negative.sum()), decrease=decrease),
            n_negative=int(self.is_negative.sum()),
            n_flat=int(self.is_flat.sum()),
            direction=self.units.to_theta(vector),
            tolerance=self.tolerance,
            step=step,
            decrease=decrease,
            is_exact=self.is_exact,
            flat=tuple(direction.combination for direction in near),
            **found,
        )

    def _kind(self, has_step):
        """The kind of a stationary point; negative curvature that no evaluation confirms decides nothing."""
        is_positive = ~(self.is_negative | self.is_flat)
        if self.is_negative.any() and is_positive.any() and has_step:
            return "saddle"
        if self.is_flat.any() or (self.is_negative.any() and not has_step):
            return "degenerate"
        return "maximum" if self.is_negative.any() else "minimum"

    def _downhill(self):
        """The best of steps of both signs along the lowest eigenvector, and what it gains; None where none gains."""
        direction = self.units.to_theta(self.vectors[:, 0])
        least = 2 * self.objective.at(self.theta).noise

        def gain(length):
            return self.value - self.objective.value_and_gradient(self.theta + length * direction)[0]

        for length in 0.5 ** np.arange(_MOST_HALVINGS):
            best = max((length, -length), key=gain)
            if gain(best) > least:
                break
        else:
            return None, 0.0
        for _ in range(_MOST_DOUBLINGS):
            if not gain(2 * best) > gain(best):
                break
            best *= 2
        return best * direction, float(gain(best))


_MESSAGES = {
    "none": "Not a stationary point: a Newton step would still gain about {decrement:.2g} of the scale.",
    "minimum": "A minimum: the lowest eigenvalue is {lowest:.2g} of the largest.",
    "maximum": "A maximum: every direction has negative curvature.",
    "saddle": "A saddle: {n} of the eigenvalues are negative, the lowest is {lowest:.2g} of the largest, along "
    "{direction_name}; a step along it gains {decrease:.3g}.",
    "degenerate": "Degenerate: the lowest eigenvalue is {lowest:.2g} of the largest, along {direction_name}: "
    "second derivatives do not decide.",
}

#: of a degenerate point of a convex objective
_NOT_UNIQUE = (
    "A minimum, but to working precision not a unique one: the objective is convex and flat along {direction_name} "
    "(the curvature there is {lowest:.2g} of the largest)."
)


def two_ends(H, tolerance):
    """The lowest and the highest eigenpair by Lanczos, to ``tolerance`` times the largest."""
    start = np.random.default_rng(0).normal(size=H.shape[0])
    try:
        high = eigsh(H, 1, which="LA", v0=start, tol=1e-3, maxiter=_RESTARTS)
        # relative to the largest, by a shift that makes the lowest the largest in size
        top = max(high[0][0], 0.0)
        shifted = LinearOperator(H.shape, matvec=lambda v: H.matvec(v) - top * np.ravel(v), dtype=float)
        low = eigsh(shifted, 1, which="LM", v0=start, tol=tolerance, maxiter=_RESTARTS)
    except ArpackNoConvergence as unfinished:
        raise ValueError(
            f"Lanczos did not find the extreme eigenvalues of {H.shape[0]} parameters to a share of {tolerance:.2g}: "
            "use a larger tolerance"
        ) from unfinished
    return np.append(low[0] + top, high[0]), np.hstack([low[1], high[1]])
