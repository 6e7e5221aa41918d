"""The set of parameters that bounds and linear constraints allow, and second-order models over it."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import linprog

from sk_hessian._text import listed
from sk_hessian.objectives import factors
from sk_hessian.objectives._quadratic import bounded_program, complement, polyhedral_program

#: what a constraint may be violated by, as a share of the sizes of its terms: the linear program's own tolerance
_FEASIBLE = 1e-9

#: violations of rows of size one that a linear program does not see
_FEASIBLE_OF_PROGRAM = 1e-6

#: projections onto the set, of which more than one is needed where rounding of the first is seen
_MOST_PROJECTIONS = 5

#: what a margin is worth beside a violation, when a point of the set is looked for
_OF_MARGIN = 1e-3

#: a multiplier that is no rounding, as a share of the largest slope, where a model is in units of its curvature
_PUSHES = 1e-12

#: curvature that is added where a model has next to none, as a share of its diagonal
_RIDGE = 1e-11


@dataclass(frozen=True)
class Held:
    """Which constraints hold with equality and push, and how hard.

    ``bounds`` (n_parameters,) and ``rows`` (m,) are -1 where the lower limit holds, 1 where the upper does, and 0 where
    neither does. Multipliers are by how much the objective would fall for a unit by which the limit is moved out.
    """

    bounds: np.ndarray
    rows: np.ndarray
    of_bounds: np.ndarray  #: multipliers, (n_parameters,), not negative
    of_rows: np.ndarray  #: (m,)

    def is_same(self, other):
        """Whether the same constraints hold."""
        return bool(np.array_equal(self.bounds, other.bounds) and np.array_equal(self.rows, other.rows))

    @property
    def number(self):
        """How many hold."""
        return int(np.count_nonzero(self.bounds) + np.count_nonzero(self.rows))


@dataclass(frozen=True)
class ModelStep:
    """The minimiser of a second-order model over a feasible set, seen from a point of it."""

    step: np.ndarray  #: z, in the coordinates of a factor, (r,)
    decrease: float  #: what the model loses: half the squared Newton decrement where no constraint holds
    held: Held
    sides: np.ndarray  #: of the bounds at the end, also of those that do not push: where to begin the next program
    is_floored: bool = False  #: whether curvature along some direction was next to nothing, and was taken to be more


class FeasibleSet:
    """Parameters with ``low <= theta <= high`` and ``row_low <= A @ theta <= row_high``.

    Parameters
    ----------
    low, high : ndarray of shape (n_parameters,)
        Infinite where there is no limit, equal where a parameter is fixed.
    A : ndarray of shape (m, n_parameters), optional
    row_low, row_high : ndarray of shape (m,), optional
    names : sequence of str, optional
        What the parameters are called in messages.
    row_names : sequence of str or None, optional
        What the rows of A are called; those without a name by their formulas.
    slack : float, default=0.0
        By how much a row may be violated, beside rounding of its own terms.

    Raises
    ------
    ValueError
        Where a lower limit is above the upper one, or no parameters satisfy all of them.

    Examples
    --------
    >>> from sk_hessian.objectives import FunctionObjective
    >>> from sk_hessian.solvers import minimize
    >>> simplex = FeasibleSet([0.0, 0.0], [np.inf, np.inf], A=[[1.0, 1.0]], row_low=[1.0], row_high=[1.0])
    >>> distance = FunctionObjective(lambda x: (x[0] - 2) ** 2 + x[1] ** 2)
    >>> result = minimize(distance, [0.5, 0.5], bounds=simplex, tol=1e-8)
    >>> result.x.round(6), result.active_constraints
    (array([1., 0.]), ('theta[1] >= 0', 'theta[0] + theta[1] = 1'))
    """

    def __init__(self, low, high, A=None, row_low=None, row_high=None, names=None, row_names=None, slack=0.0):
        self.low, self.high = (np.array(limit, dtype=float) for limit in (low, high))
        self.n_parameters = len(self.low)
        self.A = np.zeros((0, self.n_parameters)) if A is None else np.array(A, dtype=float)
        self.row_slack = slack
        self.row_low, self.row_high = (
            np.zeros(0) if limit is None else np.array(limit, dtype=float) for limit in (row_low, row_high)
        )
        self.names = [f"theta[{i}]" for i in range(self.n_parameters)] if names is None else list(names)
        given = [None] * len(self.A) if row_names is None else row_names
        self.row_names = [name or self._formula(row) for row, name in zip(self.A, given, strict=True)]
        #: a point of it
        self.inside = self._point()

    def beside(self, A, low, names, slack):
        """The same set where also ``A @ theta >= low``, rows (m, n_parameters); but for ``slack`` by rounding."""
        rows, high = np.vstack([self.A, A]), np.append(self.row_high, np.full(len(A), np.inf))
        low, names = np.append(self.row_low, low), [*self.row_names, *names]
        return FeasibleSet(self.low, self.high, rows, low, high, self.names, names, slack)

    @property
    def is_box(self):
        """Whether there are bounds alone."""
        return not len(self.A)

    def cone(self):
        """A matrix (m, n_parameters) with C d >= 0 for the directions in which one may go for ever."""
        parts = ((np.eye(self.n_parameters), self.low, self.high), (self.A, self.row_low, self.row_high))
        return np.vstack([s * rows[np.isfinite(x)] for rows, low, high in parts for s, x in ((1, low), (-1, high))])

    @property
    def concerned(self):
        """Which parameters have a limit or are in a row, shape (n_parameters,) of bool."""
        return np.isfinite(self.low) | np.isfinite(self.high) | self.A.any(axis=0)

    def _formula(self, row):
        """A row in words, such as ``"x0 - 2 x1"``."""
        terms = []
        for j in np.flatnonzero(row):
            size = "" if abs(row[j]) == 1 else f"{abs(row[j]):.6g} "
            terms.append(f"{'-' if row[j] < 0 else '+'} {size}{self.names[j]}")
        text = listed(terms, " ", 8).removeprefix("+ ")
        return f"-{text[2:]}" if text.startswith("- ") else text or "0"

    # -- points of the set ----------------------------------------------------------------------------------------

    def _point(self):
        """A point of the set; a ValueError that names constraints which contradict each other."""
        for low, high, names in ((self.low, self.high, self.names), (self.row_low, self.row_high, self.row_names)):
            above = np.flatnonzero(~(low <= high))
            if above.size:
                j = above[0]
                raise ValueError(
                    f"no parameters are allowed: {names[j]} has the lower limit {low[j]:.6g} and the upper limit "
                    f"{high[j]:.6g}, smaller by {low[j] - high[j]:.3g}"
                )
        nearest = np.clip(0.0, self.low, self.high)
        return nearest if self._allows_rows(nearest) else self._point_of_program()

    def _allows_rows(self, theta):
        return not len(self.A) or self.violation(theta)[0] <= 0

    def _point_of_program(self):
        """The point with the smallest largest violation of a row, by a linear program; inside where there is room."""
        unit = 1 / _sizes(self.A, 0)
        size = _sizes(self.A * unit, 1)
        A, room = self.A * unit / size[:, None], (self.row_low != self.row_high).astype(float)
        sides, limits, rows = [], [], []
        for sign, limit in ((-1.0, self.row_low / size), (1.0, self.row_high / size)):
            which = np.flatnonzero(np.isfinite(limit))
            # a violation, of all rows, and a margin, of those that are no equations
            sides.append(np.column_stack([sign * A[which], -np.ones(len(which)), room[which]]))
            limits.append(sign * limit[which])
            rows.append(which)
        cost = np.append(np.zeros(self.n_parameters), [1.0, -_OF_MARGIN])
        bounds = np.column_stack([np.append(self.low / unit, [0.0, 0.0]), np.append(self.high / unit, [np.inf, 1.0])])
        found = linprog(cost, A_ub=np.vstack(sides), b_ub=np.concatenate(limits), bounds=bounds)
        if found.x is None:
            raise ValueError(f"the constraints could not be checked: {found.message}")
        theta = self.clipped(unit * found.x[:-2])
        if self.violation(theta)[0] > 0 and found.x[-2] <= _FEASIBLE_OF_PROGRAM:
            # the program's own tolerance
            theta = self.nearest(theta, unit)
        worst, _ = self.violation(theta)
        if worst > 0 and found.x[-2] > _FEASIBLE * max(1.0, np.abs(np.concatenate(limits)).max()):
            self._refuse(found, np.concatenate(rows), worst)
        return theta

    def _refuse(self, found, rows, worst):
        """Name the constraints that a linear program has found to contradict each other."""
        clash = [self.row_text(i) for i in dict.fromkeys(rows[np.abs(found.ineqlin.marginals) > _FEASIBLE])]
        pushes = np.abs(found.lower.marginals[:-2]) + np.abs(found.upper.marginals[:-2]) > _FEASIBLE
        clash += [self.bound_text(j) for j in np.flatnonzero(pushes)]
        raise ValueError(
            f"no parameters satisfy all constraints: {listed(clash)} contradict each other, and the smallest "
            f"violation that is possible is {worst:.3g}"
        )

    def violation(self, theta):
        """By how much ``theta`` violates a constraint at the most, 0.0 where by rounding alone, and which one."""
        off = np.maximum(np.maximum(self.low - theta, theta - self.high), 0.0)
        worst, text = float(off.max(initial=0.0)), ""
        if worst > 0:
            text = self.bound_text(int(np.argmax(off)))
        if len(self.A):
            value, size = self.A @ theta, np.abs(self.A) @ np.abs(theta)
            limits = np.maximum(*(np.abs(np.where(np.isfinite(x), x, 0.0)) for x in (self.row_low, self.row_high)))
            row_off = np.maximum(self.row_low - value, value - self.row_high)
            row_off = np.where(row_off <= _FEASIBLE * (size + limits) + self.row_slack, 0.0, row_off)
            if row_off.max() > worst:
                worst, text = float(row_off.max()), self.row_text(int(np.argmax(row_off)))
        return worst, text

    def nearest(self, theta, unit):
        """The point of the set that is nearest to ``theta``, each parameter in its unit (n_parameters,)."""
        clipped = self.clipped(theta)
        if self._allows_rows(clipped):
            return clipped
        unit = np.where(unit > 0, unit, 1.0)
        identity, gradient = np.eye(len(unit)), np.zeros(len(unit))
        for _ in range(_MOST_PROJECTIONS):
            rows, below, above = self._limits(theta)
            theta = self.clipped(theta + unit * polyhedral_program(identity, gradient, rows * unit, below, above)[0])
            if self._allows_rows(theta):
                break
        return theta

    def _limits(self, theta):
        """Bounds and rows alike: a matrix (n_parameters + m, n_parameters) of changes of theta, and their limits."""
        rows, value = np.vstack([np.eye(self.n_parameters), self.A]), np.append(theta, self.A @ theta)
        return rows, np.append(self.low, self.row_low) - value, np.append(self.high, self.row_high) - value

    def shortest(self, theta, directions, n):
        """The point theta + directions @ v of the set whose first n entries are shortest.

        ``theta`` is in the set; the directions are of shape (n_parameters, d).
        """
        Q, R = np.linalg.qr(directions[:n])
        along = np.linalg.solve(R.T, directions.T).T
        rows, below, above = self._limits(theta)
        v = polyhedral_program(np.eye(len(R)), Q.T @ theta[:n], rows @ along, *_around(below, above))[0]
        found = self.clipped(theta + along @ v)
        return found if self.violation(found)[0] <= 0 else theta

    def clipped(self, theta):
        """``theta`` within the bounds."""
        return np.clip(theta, self.low, self.high)

    def reach(self, theta, change):
        """The share of a change, up to 1.0, by which one may go from a point of the set to stay in its rows."""
        value, along = self.A @ theta, self.A @ change
        rounding = _FEASIBLE * (np.abs(self.A) @ (np.abs(theta) + np.abs(change))) + self.row_slack
        room = np.where(along < 0, self.row_low - value, self.row_high - value)
        counts = np.abs(along) > np.abs(room) + rounding
        share = np.divide(room, along, out=np.ones(len(room)), where=counts)
        return float(np.maximum(share, 0.0).min(initial=1.0))

    # -- models over the set --------------------------------------------------------------------------------------

    def model_step(self, place, slope, H, convex, sides=None):
        """The `ModelStep` from a point of the set: the minimiser of slope'z + z'Hz / 2 over theta + unit * z in it.

        ``place`` is theta and unit, (n_parameters,) each, the unit of each parameter that has a constraint; H
        (n_parameters, n_parameters) and ``slope`` are in z. Where H has negative eigenvalues, which it may if it is not
        ``convex``, they count without their signs. ``sides`` are those of a former step, to begin with.
        """
        theta, unit = place
        scale = factors.unit_scale(np.abs(H))
        H = scale[:, None] * H * scale
        # nothing depends on such a parameter
        np.fill_diagonal(H, np.where(H.any(axis=0), H.diagonal(), 1.0))
        reach, slope = unit * scale, slope * scale
        # nothing moves what has no unit, and an intercept has no limits
        moves = np.where(reach > 0, reach, 1.0)
        low, high = np.minimum((self.low - theta) / moves, 0.0), np.maximum((self.high - theta) / moves, 0.0)
        found = _over_box(H, slope, (low, high), sides, factors.NEAR_DEPENDENT) if self.is_box and convex else None
        if found is None:
            H, is_floored = _definite(H)
            found = _over_box(H, slope, (low, high), sides, 0.0) if self.is_box else None
            found = found or self._over_rows(H, slope, theta, reach)
            found = replace(found, is_floored=is_floored)
        push = np.divide(found.held.of_bounds, reach, out=np.zeros_like(reach), where=reach > 0)
        return replace(found, step=scale * found.step, held=replace(found.held, of_bounds=push))

    def _over_rows(self, H, slope, theta, reach):
        """See `model_step`: by bounds and rows alike as constraints."""
        n, (rows, below, above) = len(slope), self._limits(theta)
        rows *= reach
        step, decrease, at, push = polyhedral_program(H, slope, rows, *_around(below, above))
        is_weak = (push * np.linalg.norm(rows, axis=1) <= _PUSHES * np.abs(slope).max(initial=0.0)) & (below != above)
        at, push = np.where(is_weak, 0, at), np.where(is_weak, 0.0, push)
        # multipliers of bounds are in the coordinates, as those of `_over_box`
        return ModelStep(step, decrease, Held(at[:n], at[n:], push[:n] * reach, push[n:]), at[:n])

    def directions(self, held, unit):
        """A basis (n_parameters, any) of the z along which the constraints that hold stay as they are."""
        is_free = held.bounds == 0
        basis = np.eye(self.n_parameters)[:, is_free]
        rows = (self.A[held.rows != 0] * unit)[:, is_free]
        return basis @ complement(rows / _sizes(rows, 1)[:, None]) if len(rows) else basis

    # -- words ----------------------------------------------------------------------------------------------------

    def bound_text(self, j, side=0):
        """The bound of a parameter in words; of one side for -1 and 1."""
        return _text(self.names[j], self.low[j], self.high[j], side)

    def row_text(self, i, side=0):
        """A row in words."""
        return _text(self.row_names[i], self.row_low[i], self.row_high[i], side)

    def texts(self, held):
        """What holds, in words, and the multipliers beside."""
        bounds, rows = np.flatnonzero(held.bounds), np.flatnonzero(held.rows)
        texts = [self.bound_text(j, held.bounds[j]) for j in bounds]
        texts += [self.row_text(i, held.rows[i]) for i in rows]
        return tuple(texts), np.concatenate([held.of_bounds[bounds], held.of_rows[rows]])


def _text(name, low, high, side):
    if low == high:
        return f"{name} = {low:.6g}"
    if side < 0 or (side == 0 and not np.isfinite(high)):
        return f"{name} >= {low:.6g}"
    if side > 0 or not np.isfinite(low):
        return f"{name} <= {high:.6g}"
    return f"{low:.6g} <= {name} <= {high:.6g}"


def _sizes(A, axis):
    """The largest entry of each column or row, one where all are zero."""
    size = np.abs(A).max(axis=axis, initial=0.0)
    return np.where(size > 0, size, 1.0)


def _around(below, above):
    """Limits of changes from a point that satisfies them, but for rounding."""
    return np.minimum(below, 0.0), np.maximum(above, 0.0)


def _over_box(H, slope, limits, sides, least):
    """The `ModelStep` over bounds; None where that fails, see `bounded_program`."""
    low, high = limits
    found = bounded_program(H, slope, low, high, sides, least)
    if found is None:
        return None
    step, left, at = found
    pushes = (np.abs(left) > _PUSHES * np.abs(slope).max(initial=0.0)) | (low == high)
    held = Held(np.where(pushes, at, 0), np.zeros(0, dtype=int), np.where(pushes, np.abs(left), 0.0), np.zeros(0))
    # the slope that is left pulls against the way that was gone
    decrease = 0.5 * float(step @ (H @ step)) - float(np.where(at != 0, left, 0.0) @ step)
    return ModelStep(step, max(0.0, decrease), held, at)


def _definite(H):
    """H of unit diagonal, positive definite, and whether some curvature was next to nothing.

    That is taken to be more, and what is negative to be positive.
    """
    if factors.least_pivot(H) > factors.NEAR_DEPENDENT:
        return H, False
    values, vectors = eigh(H)
    floor = _RIDGE * max(float(np.abs(values).max(initial=0.0)), 1.0)
    return (vectors * np.maximum(np.abs(values), floor)) @ vectors.T, bool((np.abs(values) < 10 * floor).any())
