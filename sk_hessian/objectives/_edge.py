"""Optima on the edge of a loss's domain: rows whose best mean is that of a raw prediction of 0.

With the identity link a mean is the raw prediction itself. That of a row with y = 0 may be 0 but not negative. Where
the best mean is 0 the gradient does not vanish, so that Newton's method on the open domain stops short. Here it is a
problem with the linear constraints raw_i >= 0 of the rows with y_i = 0, solved by sequential quadratic programming
(for probabilities with a log link, raw_i <= 0 of the rows with y_i = 1; `Loss.domain` says on which side):
each step minimises the second-order model over the feasible set (Nocedal & Wright, "Numerical Optimization", 2nd
edition, chapter 18). The decrease of that model is the certificate. Without active rows it is the Newton decrement.

At power 1 the loss of these rows is their mean, so that the problem is convex. For 1 < power < 2 their loss
mu^(2-p) / (2-p) is concave with an infinite slope at 0: every combination of rows on the edge is a local minimum. There
each step replaces it by its tangent, which lies above it, and a row that has come to the edge stays there.
"""

import copy
from collections import Counter
from dataclasses import dataclass

import numpy as np

from sk_hessian.objectives._quadratic import complement, quadratic_program

#: a run approaches the edge where a raw prediction that may be 0 is below this share of the mean prediction
_NEAR = 1e-2

#: numbers of rows times columns beyond which it is not tried (32 MB, and as much again for rows that may be on the
#: edge), and rows whose products are taken at once
_LARGEST = 4e6
_ROWS = 2**12

#: steps of the sequential program, halvings of a step, and the share of the predicted decrease that it must bring
_MOST_STEPS = 200
_MOST_HALVINGS = 40
_ARMIJO = 1e-4

#: roundings of the loss's unit below which a decrease means nothing
_VALUE_ROUNDINGS = 16

#: least share of the expected curvature that a row with y > 0 counts with, where the loss is not convex
_LEAST_CURVATURE = 0.1

#: eigenvalues below minus this share of the largest are negative curvature: no minimum
_NEGATIVE = 1e-3

#: roundings of its terms that a mean on the edge stays above zero, so that it is not negative in another order of sums
_ROUNDINGS = 32

#: rows that a remark names
_NAMED = 5


@dataclass(frozen=True)
class Edge:
    """An optimum on the edge."""

    theta: np.ndarray  #: there, (n_parameters,), but for rounding: no mean is negative
    value: float
    gradient: np.ndarray  #: on the edge itself, (n_parameters,), where an infinite slope counts as zero
    decrement: float  #: the decrease of the second-order model over the feasible set
    rows: np.ndarray  #: numbers of those on the edge
    mean: str  #: their y, and their mean
    convex: bool  #: whether it is the only optimum
    passes: float  #: what it has cost

    def __str__(self):
        names = ", ".join(str(row) for row in self.rows[:_NAMED])
        more = f" and {len(self.rows) - _NAMED} more" if len(self.rows) > _NAMED else ""
        which = f"rows {names}{more}" if len(self.rows) > 1 else f"row {names}"
        text = (
            f"The optimum is on the edge of the domain: the best mean of {which}, where y = {self.mean}, is "
            f"{self.mean} (rows are counted from 0, without those of weight 0)."
        )
        if not self.convex:
            text += " Every edge is a local minimum of this loss: others, perhaps lower, may exist."
        return text


def _at_hand(objective):
    """The same objective with all rows in memory."""
    return objective if objective.rows.in_memory else objective.on_rows(objective.rows.collected())


def edge_rows(objective, theta):
    """Numbers of the rows whose mean at ``theta`` is on the edge of the domain; a pass over the rows.

    Without rows of zeros where there is no intercept: their raw prediction is always zero.
    """
    objective = _at_hand(objective)
    raw = objective.raw_predictions(theta)
    y = objective.rows.y
    on = objective.loss.may_be_on_edge(y) & (objective.loss.settled(y, raw)[:, 0] == 0)
    found = np.flatnonzero(on)
    if objective.fit_intercept or not len(found):
        return found
    ones = np.ones(objective.n_features)
    return found[objective.rows.take(found).gather(lambda block, y, weight: block.sizes(ones)) > 0]


def may_have_edge(objective):
    """Whether any row may be on an edge, and all fit in memory; no pass."""
    rows, loss = objective.rows, objective.loss
    if objective.terms or not loss.may_be_on_edge(rows.targets[0]).any():
        return False
    return objective.n_rows * min(objective.n_features, objective.n_rows) <= _LARGEST


def approaches_edge(objective, raw):
    """Whether the least raw prediction that may be 0 is small beside the others, of all (n_rows, m)."""
    raw, zero = objective.loss.domain.side * raw[:, 0], objective.loss.may_be_on_edge(objective.rows.y)
    unit = max(np.abs(raw).mean(), np.abs(objective.baseline.raw).max())
    return bool(raw[zero].min(initial=np.inf) <= _NEAR * unit)


def find_edge(objective, theta):
    """The lowest `Edge` found from a point inside the domain of a `GLMObjective`, or None where no row is on it."""
    objective = _at_hand(objective)
    interior = objective.start()
    if objective.loss.may_be_on_edge(objective.rows.y).all():
        theta = interior  # where all go there a run has come too near to the edge for any digits
    program = _Program(objective, theta, interior)
    ends = [program.solve(np.zeros(program.A.shape[1]))]
    if not program.convex:
        # from the null model, and from the optimum of the convex loss of power 1: it may be at another edge
        poisson = program.of_power_one().solve(program.interior)[0]
        ends += [program.solve(program.interior), program.solve(poisson)]
    u, decrement = min(ends, key=lambda end: program.value(end[0]))
    on = program.on_edge(u)
    if not on.any():
        return None
    gradient = program.theta_gradient(objective, u)
    if on.all() and objective.rows.offset is None:
        inside = np.zeros_like(theta)
    else:
        inside = _moved_inside(objective, theta + program.factor.apply(u), interior, on)
    value = program.value(u) + objective.l2.value(theta)
    rows, mean = np.flatnonzero(on), objective.loss.domain.mean
    return Edge(inside, value, gradient, decrement, rows, mean, program.convex, program.counts["passes"] + 3.0)


class _Program:
    """The objective in coordinates u of a factor, theta = origin + P u, with all rows at hand."""

    def __init__(self, objective, origin, interior):
        self.loss, self.convex, self.origin = objective.loss, objective.convex, origin
        self.side = self.loss.domain.side
        self.factor = objective.preconditioner(interior, "full", "expected")
        rows, moved = objective.rows, objective.at(origin).moved_along(self.factor)
        columns = self.factor.outer.columns
        raw, along = rows.gather(lambda block, y, weight: moved(block), columns, 2 * columns.n_columns)
        self.raw_at_origin, self.A = raw[:, 0], along[:, 0]
        self.y, self.share = rows.y, rows.weight / rows.weight.sum()
        self.zero = self.loss.may_be_on_edge(rows.y)
        self.noise = _VALUE_ROUNDINGS * np.finfo(float).eps * self.loss.family.unit(rows.y, rows.weight)
        P, l2 = self.factor.dense(), objective.l2
        self.ridge = np.stack([self.factor.transpose(l2.gradient(column)) for column in P.T])
        self.pull = self.factor.transpose(l2.gradient(origin))
        away = objective.raw_predictions(interior)[:, 0] - self.raw_at_origin
        self.interior = np.linalg.lstsq(self.A, away, rcond=None)[0]
        self.counts = Counter(passes=4)

    def of_power_one(self):
        """The same rows with the convex loss of power 1."""
        other = copy.copy(self)
        other.loss, other.convex = type(self.loss)(1, self.loss.link), True
        return other

    def raw(self, u):
        """Raw predictions (n,)."""
        return self.raw_at_origin + self.A @ u

    def settled(self, u):
        """The same, shape (n, 1), those on the edge but for rounding exactly there."""
        return self.loss.settled(self.y, self.raw(u)[:, None])

    def on_edge(self, u):
        """Which rows are on the edge, shape (n,) of bool."""
        return self.zero & (self.settled(u)[:, 0] == 0)

    def value(self, u):
        """The objective less the penalty at the origin."""
        self.counts["passes"] += 1
        return self.share @ self.loss.value(self.y, self.settled(u)) + self.pull @ u + 0.5 * (u @ self.ridge @ u)

    def theta_gradient(self, objective, u):
        """The gradient in theta, where a slope on the edge is not infinite."""
        slope = self.share[:, None] * self.loss.value_and_gradient(self.y, self.settled(u))[1]
        total = objective.rows.fold(lambda block, y, weight: (objective.model.adjoint(block, slope[block.part]),))[0]
        return total + objective.l2.gradient(self.origin + self.factor.apply(u))

    def model(self, u):
        """The gradient at ``u``, a positive semi-definite Hessian, and the exact one but for rows on the edge."""
        self.counts["passes"] += 1
        raw = self.settled(u)
        slope = self.loss.value_and_gradient(self.y, raw)[1][:, 0]
        exact = above = self.loss.hessian(self.y, raw, "observed")[:, 0, 0]
        if not self.convex:
            least = _LEAST_CURVATURE * self.loss.hessian(self.y, raw, "expected")[:, 0, 0]
            above = np.where(self.zero, 0.0, np.maximum(exact, least))
        gradient = self.A.T @ (self.share * slope) + self.ridge @ u + self.pull
        return gradient, *(self._gram(self.share * bent) + self.ridge for bent in (above, exact))

    def _gram(self, weight):
        parts = (slice(start, start + _ROWS) for start in range(0, len(weight), _ROWS))
        return sum(self.A[part].T @ (weight[part, None] * self.A[part]) for part in parts)

    def solve(self, u):
        """The end of the steps from ``u``, and the decrement there."""
        value = self.value(u)
        for _ in range(_MOST_STEPS):
            step, slope, decrement = self._step(u)
            length, new = self._searched(u, value, step, slope)
            u = u + length * step
            if not length or decrement <= self._rounding(value):
                break
            value = new
        u = self._pressed(u)
        return u, self._step(u)[2]

    def _step(self, u):
        """A step, the slope along it, and the decrement.

        Where an infinite slope keeps rows on the edge, they stay there. Newton's own step serves where the exact
        Hessian is positive along the edge and no further row comes to it.
        """
        gradient, H, exact = self.model(u)
        on = self.on_edge(u) & (not self.convex)
        face, free = complement(self.A[on]), self.zero & ~on
        slope = face.T @ gradient
        # of rows on the edge but for rounding, none: its multiplier would make of that a decrease
        room, toward = self.side * self.settled(u)[free, 0], self.side * self.A[free]
        found = quadratic_program(face.T @ H @ face, slope, toward @ face, -room)
        z, decrement = found.step, found.decrease
        if not (self.convex or (self.on_edge(u + face @ z) & ~on).any()):
            values, vectors = np.linalg.eigh(face.T @ exact @ face)
            if values.min(initial=np.inf) > 0:
                along = vectors.T @ slope
                z, decrement = -vectors @ (along / values), 0.5 * float(along @ (along / values))
            elif values[0] < -_NEGATIVE * np.abs(values).max():
                decrement = np.inf
        return face @ z, slope @ z, decrement

    def _rounding(self, value):
        return self.noise + np.finfo(float).eps * abs(value)

    def _searched(self, u, value, step, slope):
        """A length of the step that lowers the objective, 0 where rounding is all that is left; the value there."""
        rounding, length = self._rounding(value), 1.0
        for _ in range(_MOST_HALVINGS):
            new = self.value(u + length * step)
            if new <= value + (_ARMIJO * length * slope if -slope > rounding else rounding):
                return length, new
            length *= 0.5
        return 0.0, value

    def _pressed(self, u):
        """The nearest point where the rows on the edge have a mean of zero to the last digits."""
        on = self.on_edge(u)
        return u - np.linalg.lstsq(self.A[on], self.raw(u)[on], rcond=None)[0] if on.any() else u


def _moved_inside(objective, theta, interior, active):
    """The nearest point towards the interior where the ``active`` rows are inside by no more than rounding."""
    side = objective.loss.domain.side
    for _ in range(3):
        raw, size = _raw_and_size(objective, theta, active)
        lack = _ROUNDINGS * np.finfo(float).eps * size - side * raw
        if not (lack > 0).any():
            break
        room = side * (_raw_and_size(objective, interior, active)[0] - raw)
        theta = theta + min(1.0, 2 * (lack / np.where(lack > 0, room, np.inf)).max()) * (interior - theta)
    return theta


def _raw_and_size(objective, theta, which):
    """Raw predictions of some rows, and the sums of their terms' sizes."""
    rows, (coef, intercept, _) = objective.rows.take(np.flatnonzero(which)), objective.unpack(theta)
    raw = rows.gather(lambda block, y, weight: block.forward(coef[:, 0])) + intercept[0]
    size = rows.gather(lambda block, y, weight: block.sizes(np.abs(coef[:, 0]))) + abs(intercept[0])
    if rows.offset is None:
        return raw, size
    return raw + rows.offset[:, 0], size + np.abs(rows.offset[:, 0])
