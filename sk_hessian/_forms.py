"""Matrices of penalties, as a user gives them."""

import numpy as np
from sklearn.utils import check_array

#: entries of a penalty's matrix that differ by so little beside their sizes, and eigenvalues, are rounding
_NOT_SYMMETRIC = 1e-10
_NOT_DEFINITE = 1e-12


def check_form(matrix, name, n, of_what):
    """``matrix`` as a symmetric, positive semi-definite array (n, n); ``n`` None for any number ``of_what``."""
    M = check_array(matrix, accept_sparse=True, dtype=np.float64, input_name=name)
    M = M.toarray() if hasattr(M, "toarray") else M
    n = len(M) if n is None else n
    if M.shape != (n, n):
        raise ValueError(f"{name} must have a row and a column for each of the {n} {of_what}, got shape {M.shape}")
    away = np.abs(M - M.T)
    unit = np.sqrt(np.abs(M.diagonal()))
    if (away > _NOT_SYMMETRIC * (np.abs(M) + np.abs(M.T) + np.outer(unit, unit))).any():
        i, j = np.unravel_index(np.argmax(away), M.shape)
        raise ValueError(
            f"{name} must be symmetric: entry [{i}, {j}] is {M[i, j]:.6g}, and [{j}, {i}] is {M[j, i]:.6g}"
        )
    M = 0.5 * (M + M.T)
    lowest = np.linalg.eigvalsh(M / np.outer(*[np.where(unit > 0, unit, 1.0)] * 2))[0] if len(M) else 0.0
    if lowest < -_NOT_DEFINITE * len(M):
        raise ValueError(
            f"{name} must be positive semi-definite, so that no coefficients have a negative penalty: with its "
            f"diagonal scaled to one it has an eigenvalue of {lowest:.3g}"
        )
    return M
