"""The leave-one-out loss near a point as a function of the strength of the penalty, by products with the rows alone."""

from functools import cached_property

import numpy as np
from scipy.linalg import eigh_tridiagonal

#: draws of signs whose products tell the leverages: so many rows times draws, and at least and at most so many draws.
#: The loss of 1,500 reviews is 5% too large with 3 draws, 1% with 20 and less than 0.1% with 60
_ROWS_DRAWN, _FEWEST_DRAWS, _MOST_DRAWS = 30_000, 3, 60

#: the same signs at each point, so that their noise moves no strength against another
_SEED = 20_201_127

#: products of a point at the most, and how many there are between two looks at what is left
_MOST_PRODUCTS, _LOOK = 60, 4

#: share of a vector up to which the solution of its equations may be wrong: of the fit, and of signs
_WRONG_FIT, _WRONG = 1e-3, 3e-2

#: curvature that each row has at the least, beside the mean of all: a row without any has no working response
_LEAST_BEND = 1e-3

#: leverages beyond are noise, or too near to one for a single step
_MOST_LEVERAGE = 0.95

#: how far differences move log(r)
_STEP = 1e-2


class WorkingRows:
    """A linear model of one output near a point as least squares in its rows, and their products with each other.

    With b the root of each row's curvature times its share, S the penalty's Hessian and an intercept projected out, M
    is b X S^-1 X' b. The fit to the working response t is M (M + r)^-1 t for a penalty r times as strong, and
    M (M + r)^-1 the hat matrix (P. McCullagh, J. Nelder, "Generalized linear models", 1989, section 2.5).

    Parameters
    ----------
    objective : GLMObjective
        Every column has a strength.
    raw : ndarray of shape (n, 1)
        Raw predictions at the point.
    """

    def __init__(self, objective, raw):
        self._objective, rows = objective, objective.rows
        self._strengths, self._share = objective.l2.diagonal, rows.weight / objective.total
        #: raw predictions that no parameter changes
        self.offset = np.zeros(rows.n_rows) if rows.offset is None else rows.offset[:, 0]
        self._least = 0.0
        self._least = _LEAST_BEND * float(self._share @ self.bend(raw[:, 0])) / self._share.sum()
        #: curvature of each row, and b
        self.curvature = self.bend(raw[:, 0])
        self.root = np.sqrt(self._share * self.curvature)
        self.free = self.root[:, None] / np.linalg.norm(self.root) * objective.fit_intercept

    def bend(self, raw):
        """The curvature of each row at raw predictions (n,)."""
        objective = self._objective
        bend = objective.loss.hessian(objective.rows.y, raw[:, None], objective.curvature)[:, 0, 0]
        return np.maximum(bend, self._least)

    def slope(self, raw):
        """The derivative of each row's loss at raw predictions (n,)."""
        return self._objective.loss.value_and_gradient(self._objective.rows.y, raw[:, None])[1][:, 0]

    def loss(self, raw):
        """The mean loss at raw predictions (n,)."""
        value = self._objective.loss.value(self._objective.rows.y, raw[:, None])
        return self._share @ value if np.isfinite(value).all() else np.inf

    def projected(self, U):
        """U (n, m) without what the intercept has of it."""
        return U - self.free @ (self.free.T @ U)

    def sums(self, V):
        """S^-1 X'V, for V (n, m)."""
        fold = self._objective.rows.fold
        return fold(lambda block, y, weight: (block.adjoint(V[block.part]),))[0] / self._strengths

    def forward(self, G):
        """X G."""
        return self._objective.rows.gather(lambda block, y, weight: block.forward(G))

    def product(self, U):
        """M U, for U (n, m)."""
        return self.projected(self.root[:, None] * self.forward(self.sums(self.root[:, None] * U)))


class Krylov:
    """M (M + r)^-1 u for several u (size, m) and any r, by Lanczos' method for each of them.

    All r share the vectors (G. Golub, U. von Matt, "Generalized cross-validation for large-scale problems", 1997).

    Parameters
    ----------
    product : callable
    starts : ndarray of shape (size, m)
    wrong : ndarray of shape (m,)
        Share of each start by which its solution may be wrong for r = 1.
    """

    def __init__(self, product, starts, wrong):
        self._sizes = np.linalg.norm(starts, axis=0)
        vectors = [starts / np.where(self._sizes > 0, self._sizes, 1.0)]
        self._diagonal: list = []
        self._beside: list = []
        while True:
            found = product(vectors[-1])
            self._diagonal.append((vectors[-1] * found).sum(axis=0))
            found -= self._diagonal[-1] * vectors[-1]
            if len(vectors) > 1:
                found -= self._beside[-1] * vectors[-2]
            length = np.linalg.norm(found, axis=0)
            n = len(vectors)
            if n == _MOST_PRODUCTS or (n % _LOOK == 0 and (self._left(length) <= wrong).all()):
                break
            self._beside.append(length)
            vectors.append(found / np.where(length > 0, length, 1.0))
        self._vectors = np.stack(vectors)

    def _eigen(self, j):
        off = [values[j] for values in self._beside[: len(self._diagonal) - 1]]
        return eigh_tridiagonal([values[j] for values in self._diagonal], off)

    def _left(self, length):
        """How much of each start the equations for r = 1 leave."""
        left = np.empty(len(length))
        for j in range(len(length)):
            values, Q = self._eigen(j)
            left[j] = length[j] * abs(Q[-1] @ (Q[0] / (values + 1)))
        return left

    @cached_property
    def values(self):
        """Estimates of the eigenvalues of M."""
        return np.concatenate([self._eigen(j)[0] for j in range(len(self._sizes))])

    def hat(self, ratios):
        """M (M + r)^-1 of each start, shape (size, m, n_ratios)."""
        found = np.empty((self._vectors.shape[1], len(self._sizes), len(ratios)))
        for j in range(len(self._sizes)):
            values, Q = self._eigen(j)
            shares = np.maximum(values, 0)[:, None] / (np.maximum(values, 0)[:, None] + ratios)
            found[:, j] = self._vectors[:, :, j].T @ (Q @ (shares * Q[0][:, None])) * self._sizes[j]
        return found


class HeldOutByProducts:
    """The mean leave-one-out loss of a linear model for other strengths of its penalty, without a matrix of columns.

    As `HeldOutCurve`, but the leverages are estimated: the mean of v (Hv) over draws v of signs, H the hat matrix, has
    their values, with a variance of at most 1/4 for a draw, which is little in a mean over the rows (C. Bekas, E.
    Kokiopoulou, Y. Saad, "An estimator for the diagonal of a matrix", 2007). One run of Lanczos' method serves all
    strengths. The draws are always the same.

    Parameters
    ----------
    objective : GLMObjective
        Of one output, without constants of the loss; every column has a strength.
    theta : ndarray of shape (n_parameters,)
    is_start : bool
        Whether that is the null model, which is no fit.
    """

    def __init__(self, objective, theta, is_start=False):
        self._objective, raw = objective, objective.raw_predictions(theta)
        self._rows = rows = WorkingRows(objective, raw)
        self._response = rows.root * (raw[:, 0] - rows.offset - rows.slope(raw[:, 0]) / rows.curvature)
        self._fixed = rows.free @ (rows.free.T @ self._response)
        n_draws = int(np.clip(-(-_ROWS_DRAWN // objective.n_rows), _FEWEST_DRAWS, _MOST_DRAWS))
        self._signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], size=(objective.n_rows, n_draws))
        starts = np.column_stack([self._response - self._fixed, rows.projected(self._signs)])
        self._krylov = Krylov(rows.product, starts, np.repeat([_WRONG_FIT, _WRONG], [1, n_draws]))
        self.shares = 1 / (1 + np.maximum(self._krylov.values, 0.0))
        self._bend = 0.0 if is_start or objective.loss.quadratic else self._slope_by_curvature()

    def effective_df(self, log_ratios):
        """Coefficients that the rows rather than the penalty determine, an estimate, shape (m,)."""
        hat = self._krylov.hat(np.exp(np.atleast_1d(log_ratios)))[:, 1:]
        return np.einsum("nj,njm->m", self._signs, hat) / self._signs.shape[1]

    def optimum(self, log_ratio):
        """The parameters of a strength so many times e as large, as far as the curvature stays what it is."""
        rows, ratio, objective = self._rows, np.exp(log_ratio), self._objective
        fit = self._fixed + self._krylov.hat(np.array([ratio]))[:, 0, 0]
        coef = rows.sums(rows.root[:, None] * rows.projected((self._response - fit)[:, None])) / ratio
        away = fit / rows.root - rows.forward(coef)[:, 0]
        weight = objective.rows.weight
        return objective.pack(coef, [weight @ away / weight.sum() * objective.fit_intercept], np.empty(0))

    def decrement(self, here, log_ratio):
        """A bound of half the squared Newton decrement at an `Evaluation`, of a strength so many times e as large."""
        gradient, strengths = here.gradient[: self._objective.l2.size], self._objective.l2.diagonal.ravel()
        return 0.5 * float((gradient**2 / strengths).sum()) / np.exp(log_ratio)

    def score(self, log_ratios):
        """Minus the mean losses of the rows by fits without them, for strengths so many times e as large, (m,)."""
        log_ratios = np.atleast_1d(log_ratios)
        raw, leverage, _ = self._predicted(log_ratios)
        with np.errstate(over="ignore", invalid="ignore"):
            losses = [self._held_out(*both, self._rows.curvature) for both in zip(raw.T, leverage.T, strict=True)]
        return -(np.array(losses) + self._bend * log_ratios)

    def _predicted(self, log_ratios):
        """Raw predictions (n, m), leverages and the diagonals of the squared hat matrix for each strength."""
        hat, rows = self._krylov.hat(np.exp(log_ratios)), self._rows
        raw = rows.offset[:, None] + (self._fixed[:, None] + hat[:, 0]) / rows.root[:, None]
        free, n_draws = rows.free**2, self._signs.shape[1]
        leverage = np.einsum("nj,njm->nm", self._signs, hat[:, 1:]) / n_draws + free
        return raw, leverage, np.einsum("njm,njm->nm", hat[:, 1:], hat[:, 1:]) / n_draws + free

    def _held_out(self, raw, leverage, curvature):
        """The mean loss of the rows by one Newton step without each."""
        leverage = np.clip(leverage, 0.0, _MOST_LEVERAGE)
        return self._rows.loss(raw + leverage / (1 - leverage) * self._rows.slope(raw) / curvature)

    def _slope_by_curvature(self):
        """What the change of the curvature with the fit adds to the slope of the losses in log(r), by differences.

        With E the change of the logarithm of the curvature, that of the hat matrix H is (EH + HE) / 2 - HEH; in its
        last part other rows count with the mean of E.
        """
        curvature = self._rows.curvature
        raw, leverage, square = self._predicted(np.array([-_STEP, 0.0, _STEP]))
        change = np.log(self._rows.bend(raw[:, 2]) / self._rows.bend(raw[:, 0])) / (2 * _STEP)
        raw, leverage, square = raw[:, 1], leverage[:, 1], square[:, 1]
        mean = change @ leverage / leverage.sum()
        of_leverage = change * leverage * (1 - leverage) - mean * np.maximum(square - leverage**2, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            ends = [
                self._held_out(raw, leverage + step * of_leverage, curvature * np.exp(step * change))
                for step in (_STEP, -_STEP)
            ]
        slope = (ends[0] - ends[1]) / (2 * _STEP)
        return slope if np.isfinite(slope) else 0.0
