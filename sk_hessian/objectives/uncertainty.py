"""Roots of inverse curvature at a minimum of a function, from which covariances of its parameters are made."""

import numpy as np
from scipy.linalg import eigh, qr, solve_triangular

from sk_hessian._text import listed

#: parameters of a direction that an error names: those with at least this share of the largest entry
_NAMED = 0.1


def root_of_jacobian(J, names, rounding):
    """S (p, p) with S S' the inverse of J'J, by the triangular factor of J (m, p) with columns of length one.

    A ValueError names the parameters of columns that are combinations of each other but for a relative ``rounding``.
    """
    lengths = np.linalg.norm(J, axis=0)
    if not np.isfinite(lengths).all():
        raise ValueError("covariance: the Jacobian of the residuals is not finite at the result")
    unit = 1 / np.where(lengths > 0, lengths, 1.0)
    R, order = qr(J * unit, mode="r", pivoting=True)
    R = R[: len(order)]
    sizes = np.abs(np.diag(R))
    rank = int((sizes > rounding * max(sizes[0], 1.0)).sum())
    if rank < len(order):
        flat = np.zeros((len(order), len(order) - rank))
        flat[order[:rank]] = -solve_triangular(R[:rank, :rank], R[:rank, rank:])
        flat[order[rank:]] = np.eye(len(order) - rank)
        _refuse_flat(flat, names, "the residuals do")
    root = np.empty_like(R)
    root[order] = solve_triangular(R, np.eye(len(order)))
    return unit[:, None] * root


def root_of_hessian(H, names, rounding):
    """S (p, p) with S S' the inverse of H, by the eigenvalues of H with a diagonal of ones.

    A ValueError says that this is no minimum, or names the parameters that the function does not determine but for a
    relative ``rounding``.
    """
    if not np.isfinite(H).all():
        raise ValueError("covariance: the Hessian is not finite at the result")
    diagonal = H.diagonal()
    unit = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = eigh(unit[:, None] * H * unit)
    least = len(values) * rounding
    if values[0] < -least:
        worst = listed(_named(vectors[:, 0], names), ", ")
        raise ValueError(
            f"covariance: the Hessian has a negative eigenvalue at the result, along {worst}: this is no minimum"
        )
    if values[0] <= least:
        _refuse_flat(vectors[:, values <= least], names, "the function does")
    return unit[:, None] * vectors / np.sqrt(values)


def _named(direction, names):
    sizes = np.abs(direction)
    return [name for name, size in zip(names, sizes, strict=True) if size >= _NAMED * sizes.max()]


def _refuse_flat(directions, names, what):
    texts = [" with ".join(_named(direction, names)) for direction in directions.T]
    raise ValueError(
        f"covariance: {what} not determine {listed(texts)}: other values are as good, and so there are no standard "
        "errors. Hold a parameter at a value, or take fewer of them"
    )
