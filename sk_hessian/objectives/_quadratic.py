"""Convex quadratic programs: the minimiser of a second-order model over a polyhedron, and what the model gains there.

General constraints are added where they are violated, and solved as a problem of least distance. Bounds alone are
solved by block principal pivoting, which factors a handful of matrices whatever the number of bounds that hold.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, lapack, null_space, solve_triangular
from scipy.optimize import nnls

from sk_hessian.objectives.factors import NEAR_DEPENDENT

#: the distance between one and the next larger number
EPS = float(np.finfo(float).eps)

#: curvature that is added to a singular quadratic program, as a share of its largest or that of the null model, 1
_RIDGE = 1e-11

#: constraints that are added to a quadratic program at once, for each column, and rounds of them
_ADDED = 4
_MOST_ROUNDS = 100

#: exchanges of all bounds that are wrong which may fail to make these fewer, before they are exchanged one by one
_MOST_FAILURES = 5

#: exchanges after which bounds are left to the general method; 3,000 random bounds take 6 to 12
_MOST_EXCHANGES = 500

#: what a bound may be violated by, and a multiplier be wrong by, in roundings of the largest
_ROUNDINGS = 64


@dataclass(frozen=True)
class Minimiser:
    """The minimiser of a quadratic program."""

    step: np.ndarray  #: d, (r,)
    decrease: float  #: what the model loses by it
    active: np.ndarray  #: numbers of the constraints that hold with equality, and push
    multipliers: np.ndarray  #: how hard, as many, not negative


def quadratic_program(H, gradient, G, least):
    """The minimiser d (r,) of g'd + d'Hd / 2 under G d >= least, which some d satisfies, a `Minimiser`.

    A problem of least distance, solved by non-negative least squares (Lawson & Hanson, "Solving Least Squares
    Problems", 1974, chapter 23). Constraints, rows of G (m, r), are added where they are violated, until none is. H is
    positive semi-definite. The decrease is that from d = 0 where this is feasible, ``least`` (m,) not positive but for
    rounding, by the multipliers of the constraints: an upper bound of what any feasible step can gain.
    """
    working = np.zeros(0, dtype=np.intp)
    if not len(H):
        return Minimiser(np.zeros(0), 0.0, working, np.zeros(0))
    H = H + _RIDGE * max(1.0, np.abs(np.diag(H)).max()) * np.eye(len(H))
    R = cholesky(H)
    free = -solve_triangular(R, gradient, trans="T")
    slack = EPS * (np.abs(G).max(axis=1, initial=0.0) + np.abs(least))
    for _ in range(_MOST_ROUNDS):
        among = solve_triangular(R, G[working].T, trans="T").T
        active = working[_least_distance(among, least[working] - among @ free)]
        step = _with_equality(H, gradient, G[active], least[active])
        lack = least - G @ step
        worst = np.argsort(-lack)[: _ADDED * len(H)]
        new = np.setdiff1d(worst[lack[worst] > slack[worst] * max(1.0, np.abs(step).max())], working)
        if not len(new):
            break
        working = np.union1d(working, new)
    slope = gradient + H @ step
    multipliers = np.maximum(np.linalg.lstsq(G[active].T, slope, rcond=None)[0], 0.0)
    end = R @ step - solve_triangular(R, slope - multipliers @ G[active], trans="T")
    decrease = max(0.0, 0.5 * float(end @ end) - float(multipliers @ least[active]))
    return Minimiser(step, decrease, active, multipliers)


def polyhedral_program(H, gradient, rows, below, above):
    """The minimiser d (r,) of g'd + d'Hd / 2 under ``below <= rows @ d <= above``, rows (m, r), which some d satisfies.

    Returns d; what the model loses, where d = 0 satisfies them; for each row -1 where the lower limit pushes, 1 where
    the upper one does, and where both are the same; and how hard, (m,).
    """
    size = np.linalg.norm(rows, axis=1)
    size[size == 0] = 1.0
    rows, below, above = rows / size[:, None], below / size, above / size
    equal = below == above
    start, face = np.linalg.lstsq(rows[equal], below[equal], rcond=None)[0], complement(rows[equal])
    lower, upper = (np.flatnonzero(np.isfinite(limit) & ~equal) for limit in (below, above))
    which, side = np.append(lower, upper), np.repeat([-1, 1], [len(lower), len(upper)])
    G, least = -side[:, None] * rows[which], np.append(below[lower], -above[upper])
    found = quadratic_program(face.T @ H @ face, face.T @ (gradient + H @ start), G @ face, least - G @ start)
    step, at, push = start + face @ found.step, np.zeros(len(rows), dtype=int), np.zeros(len(rows))
    at[which[found.active]], push[which[found.active]] = side[found.active], found.multipliers
    if equal.any():
        left = gradient + H @ step - found.multipliers @ G[found.active]
        at[equal], push[equal] = 1, np.abs(np.linalg.lstsq(rows[equal].T, left, rcond=None)[0])
    return step, found.decrease, at, push / size


def complement(G):
    """An orthonormal basis of the steps that leave G d as it is, shape (r, any)."""
    return null_space(np.linalg.qr(G, mode="r")) if len(G) else np.eye(G.shape[1])


def _least_distance(G, lack):
    """Numbers of the constraints that hold with equality at the shortest x with G x >= lack."""
    size = np.linalg.norm(G, axis=1)
    keep = np.flatnonzero(size > 0)
    away = lack[keep] / size[keep]
    unit = away.max(initial=0.0)  # the least that x can be
    if not unit > 0:
        return keep[:0]
    rows = np.column_stack([G[keep] / size[keep, None], away / unit])
    rows, first = np.unique(rows, axis=0, return_index=True)
    target = np.zeros(rows.shape[1])
    target[-1] = 1.0
    return keep[first[nnls(rows.T, target)[0] > 0]]


def _with_equality(H, gradient, G, least):
    """The minimiser d of g'd + d'Hd / 2 where G d = least: to all digits also where H is nearly singular."""
    if not len(G):
        return -np.linalg.solve(H, gradient)
    step, face = np.linalg.lstsq(G, least, rcond=None)[0], complement(G)
    return step - face @ np.linalg.solve(face.T @ H @ face, face.T @ (gradient + H @ step))


def bounded_program(H, gradient, low, high, at=None, least=NEAR_DEPENDENT):
    """The minimiser d (r,) of g'd + d'Hd / 2 with low <= d <= high: d, the slope g + Hd, and which bounds hold.

    These are integers (r,): -1 at ``low``, 1 at ``high``, 0 between them; ``at`` are those to begin with. None where
    that fails, and where a factor of H has a pivot of at most ``least``. H has a diagonal of ones and is positive
    definite.

    Block principal pivoting: all bounds that are violated, or that pull, are exchanged at once, and one by one where
    that does not make them fewer, which ends for a positive definite H (L. Portugal, J. Judice, L. Vicente, "A
    comparison of block pivoting and interior-point algorithms for linear least squares problems with nonnegative
    variables", Mathematics of Computation 63, 1994).
    """
    fixed = low == high
    at = np.zeros(len(gradient), dtype=int) if at is None else at.copy()
    at[(at < 0) & (low == -np.inf) | (at > 0) & (high == np.inf)] = 0
    at[fixed] = -1
    noise = _ROUNDINGS * EPS * np.abs(gradient).max(initial=0.0)
    fewest, failures = len(at) + 1, 0
    for _ in range(_MOST_EXCHANGES):
        held = np.where(at < 0, low, np.where(at > 0, high, 0.0))
        step, slope = _held_at(H, gradient, held, at, least)
        if step is None:
            return None
        slack = _ROUNDINGS * EPS * np.abs(step).max(initial=0.0)
        # what is free goes to a bound that it violates; what is at a bound stays there unless the slope pulls it away
        new = (step > high + slack).astype(int) - (step < low - slack)
        new = np.where(at == 0, new, np.where(fixed | (at * slope <= noise), at, 0))
        wrong = (new != at).nonzero()[0]
        if not wrong.size:
            return np.minimum(np.maximum(step, low), high), slope, at
        failures = 0 if wrong.size < fewest else failures + 1
        fewest = min(fewest, wrong.size)
        wrong = wrong if failures <= _MOST_FAILURES else wrong[-1:]
        at[wrong] = new[wrong]
    return None


def _held_at(H, gradient, held, at, least):
    """The minimiser where all that is ``at`` a bound is held there, and the slope; None of a singular H."""
    f = (at == 0).nonzero()[0]
    if not f.size:
        return held, gradient + H @ held
    is_all = f.size == len(at)
    L, info = lapack.dpotrf(H if is_all else H[f[:, None], f], lower=1)
    if info != 0 or L.diagonal().min() ** 2 <= least:
        return None, None
    step = lapack.dpotrs(L, -gradient if is_all else -(gradient[f] + H[f] @ held), lower=1)[0]
    if not is_all:
        held[f], step = step, held
    slope = gradient + H @ step
    slope[f] = 0.0
    return step, slope
