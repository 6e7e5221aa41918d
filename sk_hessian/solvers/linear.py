"""Linear algebra of the solvers: damped solves, truncated conjugate gradients, the lowest eigenvalue."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from sk_hessian.objectives.factors import Cholesky

#: dampings tried, fourfold each: from 1e-8 of the largest curvature far beyond it
_MOST_DAMPINGS = 40


class DenseCurvature:
    """A symmetric matrix H that is solved with any damping; ``root`` is that of the inverse of the latest, or None."""

    def __init__(self, H):
        self.H = H
        self.unit = np.maximum.reduce(np.abs(H.diagonal()), initial=0.0) or 1.0
        self.root = None

    def solve(self, gradient, damping):
        """The minimiser d of gradient'd + d'(H + damping I)d / 2, and the damping that made H definite.

        Steepest descent of unit curvature where none does, for H is not finite.
        """
        self.root = None
        for _ in range(_MOST_DAMPINGS):
            L, info = lapack.dpotrf(self._damped(damping) if damping else self.H, lower=1, clean=1)
            if info == 0 and np.minimum.reduce(L.diagonal(), initial=1.0) > 0:
                self.root = Cholesky(L)
                return -lapack.dpotrs(L, gradient, lower=1)[0], damping
            damping = max(4 * damping, 1e-8 * self.unit)
        return -gradient, 0.0

    def _damped(self, damping):
        damped = self.H.copy()
        damped.flat[:: len(damped) + 1] += damping
        return damped


class DiagonalCurvature:
    """H given by its diagonal; entries that are not positive count as the smallest positive one."""

    root = None

    def __init__(self, diagonal):
        positive = diagonal[diagonal > 0]
        self.diagonal = np.where(diagonal > 0, diagonal, positive.min() if positive.size else 1.0)
        self.unit = self.diagonal.max(initial=0.0)

    @property
    def H(self):
        """The matrix."""
        return np.diag(self.diagonal)

    def solve(self, gradient, damping):
        """See `DenseCurvature.solve`."""
        return -gradient / (self.diagonal + damping), damping


class OperatorCurvature:
    """H known by its products, solved by truncated conjugate gradients.

    The inner tolerance is min(1/2, sqrt(|g| / |g_0|)), with g_0 the first gradient of the run: superlinear, and no more
    precise than the outer step deserves (Dembo & Steihaug, "Truncated-Newton algorithms for large-scale unconstrained
    optimization", 1983).
    """

    root = None
    unit = 1.0

    def __init__(self, operator, first_norm, max_iter):
        self._product, self._first_norm, self._max_iter = operator.matvec, first_norm, max_iter

    def solve(self, gradient, damping):
        """See `DenseCurvature.solve`; of negative curvature it returns the step that it had reached before."""
        norm = np.linalg.norm(gradient)
        forcing = min(0.5, np.sqrt(norm / self._first_norm)) if self._first_norm else 0.5
        return conjugate_gradient(
            self._product, gradient, damping, lambda cg: cg.residual <= forcing * norm, self._max_iter
        ).step, damping


@dataclass
class ConjugateGradient:
    """State of `conjugate_gradient`.

    ``rest`` is H step + gradient and ``residual`` its norm, ``decrement`` -(gradient'step) / 2 so far, half the squared
    Newton decrement from below, and ``gain`` what the last iteration added to it.
    """

    step: np.ndarray
    rest: np.ndarray
    residual: float
    decrement: float = 0.0
    gain: float = 0.0
    n_iter: int = 0
    negative_curvature: bool = False


def conjugate_gradient(product, gradient, damping, done, max_iter):
    """Minimise gradient'd + d'(H + damping I)d / 2 from d = 0 until ``done(state)`` (Nocedal & Wright, algorithm 7.1).

    At negative curvature the state has the step before it, or steepest descent of unit curvature if there was none.
    """
    state = ConjugateGradient(np.zeros_like(gradient), gradient, float(np.linalg.norm(gradient)))
    direction, square = -gradient, gradient @ gradient
    while state.n_iter < max_iter and square > 0 and not done(state):
        bent = product(direction) + damping * direction
        curvature = direction @ bent
        if curvature <= np.finfo(float).eps * (direction @ direction) * damping or curvature <= 0:
            state.negative_curvature = True
            if state.n_iter == 0:
                state.step = -gradient
            break
        alpha = square / curvature
        state.step = state.step + alpha * direction
        state.rest = state.rest + alpha * bent
        state.gain = 0.5 * alpha * square
        state.decrement += state.gain
        state.n_iter += 1
        previous, square = square, state.rest @ state.rest
        state.residual = np.sqrt(square)
        direction = -state.rest + (square / previous) * direction
    return state


def conjugate_gradients(product, right, start, enough, max_iter):
    """H^-1 of several vectors (n, m) at once, from ``start`` (n, m), until the residuals' norms are ``enough`` (m,).

    One product ``product(V)`` (n, m) of the positive definite H serves all vectors that are not done; each goes its own
    way. Returns the solutions, the norms of their true residuals (m,), the residuals, and the number of products.
    """
    X = start.copy()
    R = right - product(X) if start.any() else right.copy()
    P, square = R.copy(), np.einsum("nm,nm->m", R, R)
    count = int(start.any())
    while count < max_iter:
        going = np.flatnonzero(square > enough**2)
        if not going.size:
            break
        bent = product(P[:, going])
        count += 1
        curvature = np.einsum("nm,nm->m", P[:, going], bent)
        if not (curvature > 0).all():
            # no curvature is left but rounding
            break
        alpha = square[going] / curvature
        X[:, going] += alpha * P[:, going]
        R[:, going] -= alpha * bent
        previous, square[going] = square[going], np.einsum("nm,nm->m", R[:, going], R[:, going])
        P[:, going] = R[:, going] + square[going] / previous * P[:, going]
    R = right - product(X)
    return X, np.linalg.norm(R, axis=0), R, count + 1


def lowest_eigenpair(operator):
    """The smallest eigenvalue of a symmetric operator with its vector, and the largest in absolute value.

    By Lanczos from a random vector (of a fixed seed: the gradient may lie in a subspace that misses it).
    """
    start = np.random.default_rng(0).normal(size=operator.shape[0])
    try:
        values, vectors = eigsh(operator, k=1, which="SA", v0=start, tol=1e-3, maxiter=300)
        largest = np.abs(eigsh(operator, k=1, which="LM", v0=start, tol=1e-2, return_eigenvectors=False)).max()
    except ArpackNoConvergence as unfinished:
        if not len(unfinished.eigenvalues):
            return 0.0, start, 1.0
        values, vectors = unfinished.eigenvalues, unfinished.eigenvectors
        largest = np.abs(values).max()
    return values[0], vectors[:, 0], largest
