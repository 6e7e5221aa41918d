"""Problems whose answer is known, real raw data, and an independent reference minimiser.

Nothing here imports the package: losses are written out again, and the reference is Newton's method in coordinates
in which the weighted, standardised design is orthogonal (QR).
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import expit, log_softmax, softmax
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

# -- losses, written out again: value, gradient and curvature of a row in its raw predictions (n, k) -----------------


def squared(y, raw):
    residual = raw - y[:, None]
    return 0.5 * residual[:, 0] ** 2, residual, np.ones((len(y), 1, 1))


def logistic(y, raw):
    s = 2 * y - 1
    value = np.logaddexp(0, -s * raw[:, 0])
    p = expit(raw[:, 0])
    return value, (-s * expit(-s * raw[:, 0]))[:, None], (p * expit(-raw[:, 0]))[:, None, None]


def multinomial(y, raw):
    log_p, p = log_softmax(raw, axis=1), softmax(raw, axis=1)
    rows = np.arange(len(y))
    gradient = p.copy()
    gradient[rows, y] -= 1
    return -log_p[rows, y], gradient, np.einsum("nk,kl->nkl", p, np.eye(p.shape[1])) - p[:, :, None] * p[:, None, :]


def tweedie(power):
    def loss(y, raw):
        raw = raw[:, 0]
        if power == 1:
            value = np.exp(raw) - y * raw
        elif power == 2:
            value = raw + y * np.exp(-raw)
        else:
            value = np.exp((2 - power) * raw) / (2 - power) - y * np.exp((1 - power) * raw) / (1 - power)
        first, second = np.exp((2 - power) * raw), y * np.exp((1 - power) * raw)
        return value, (first - second)[:, None], ((2 - power) * first - (1 - power) * second)[:, None, None]

    return loss


LOSSES = {"squared": squared, "logistic": logistic, "softmax": multinomial}
LOSSES |= {"poisson": tweedie(1), "gamma": tweedie(2), "tweedie": tweedie(1.5)}


@dataclass
class Problem:
    """Data for one family, with the penalty beside the weighted mean loss, and the minimiser where it is known."""

    family: str
    X: np.ndarray
    y: np.ndarray
    alpha: float = 0.0
    weight: np.ndarray | None = None
    coef: np.ndarray | None = None
    intercept: np.ndarray | None = None
    name: str = field(default="", compare=False)

    @property
    def weights(self):
        return np.ones(len(self.y)) if self.weight is None else self.weight

    @property
    def n_outputs(self):
        return len(np.unique(self.y)) if self.family == "softmax" else 1

    def objective(self, coef, intercept):
        """The weighted mean loss plus the penalty, for ``coef`` (k, p)."""
        coef = np.atleast_2d(coef)
        raw = self.X @ coef.T + np.atleast_1d(intercept)
        return (
            np.average(LOSSES[self.family](self.y, raw)[0], weights=self.weights) + 0.5 * self.alpha * (coef**2).sum()
        )


# -- problems built from a chosen minimiser --------------------------------------------------------------------------


def known_answer(family, shape, seed=0):
    """A `Problem` whose minimiser was chosen first: the targets are solved for from a gradient that vanishes.

    With g_i the slope of row i's loss in its raw prediction, [X, 1]'g / n + alpha [coef, 0] = 0. "long" has alpha = 0
    and g orthogonal to [X, 1]; "wide" has p > n, any g without mean, and coef = -X'g / (n alpha).
    """
    rng = np.random.default_rng(seed)
    n, p = (60, 5) if shape == "long" else (20, 50)
    X = (rng.normal(size=(n, p)) + rng.normal(size=p)) * 10.0 ** rng.integers(-2, 3, size=p)
    k = 3 if family == "softmax" else 1
    g = _slopes_without_gradient(rng, X, k, shape)
    if shape == "long":
        alpha, coef = 0.0, rng.uniform(-1, 1, size=(k, p)) / np.abs(X).max(axis=0) / p
    else:
        alpha = np.abs(X @ X.T @ g).max() / n
        coef = -(X.T @ g).T / (n * alpha)
    intercept = np.zeros(k) if family in ("logistic", "softmax") else np.ones(k)
    if family == "softmax":
        coef -= coef.mean(axis=0)
    X, y, weight = _targets(family, X, X @ coef.T + intercept, g)
    return Problem(family, X, y, alpha, weight, coef, intercept, f"{family}-{shape}")


def _slopes_without_gradient(rng, X, k, shape):
    n = len(X)
    basis = np.column_stack([X, np.ones(n)]) if shape == "long" else np.ones((n, 1))
    g = rng.uniform(-1, 1, size=(n, k))
    g -= basis @ np.linalg.lstsq(basis, g, rcond=None)[0]
    g -= g.mean(axis=1, keepdims=True) if k > 1 else 0
    return 0.1 * g / np.abs(g).max()


def _targets(family, X, raw, g):
    """Targets with these slopes; of classes, every row once for each class with the weight that gives them."""
    mean = np.exp(raw[:, 0])
    if family == "squared":
        return X, raw[:, 0] - g[:, 0], None
    if family in ("poisson", "gamma", "tweedie"):
        power = {"poisson": 1, "gamma": 2, "tweedie": 1.5}[family]
        return X, mean - g[:, 0] * mean ** (power - 1), None
    share = (
        softmax(raw, axis=1) - g if family == "softmax" else expit(np.column_stack([-raw, raw])) - np.hstack([-g, g])
    )
    k = share.shape[1]
    return np.repeat(X, k, axis=0), np.tile(np.arange(k), len(X)), share.ravel()


# -- real data, as it comes -----------------------------------------------------------------------------------------


def age_income_year(seed, n=2000):
    """Three ordinary columns, and counts, on which common solvers fail silently."""
    rng = np.random.default_rng(seed)
    X = np.c_[rng.uniform(18, 90, n), rng.lognormal(10.5, 0.6, n), rng.integers(1990, 2025, n)]
    eta = -3 + 0.02 * X[:, 0] + 0.5 * np.log(X[:, 1] / 4e4) + 0.03 * (X[:, 2] - 2005)
    return X, rng.poisson(np.exp(eta))


def endometrial():
    """The endometrial cancer data of Heinze & Schemper (2002): one column nearly separates the classes."""
    table = np.loadtxt(Path(__file__).parent / "data" / "endometrial.csv", delimiter=",", skiprows=1)
    return table[:, :3], table[:, 3].astype(int)


def real_problems():
    """Raw tables: name -> `Problem`; the penalties are the default ones of the estimators."""
    breast, iris, wine = (load(return_X_y=True) for load in (load_breast_cancer, load_iris, load_wine))
    diabetes = load_diabetes(return_X_y=True, scaled=False)
    counts = age_income_year(0)
    found = {
        "breast": Problem("logistic", *breast, alpha=1 / len(breast[1])),
        "iris": Problem("softmax", *iris, alpha=1 / len(iris[1])),
        "wine": Problem("softmax", *wine, alpha=1 / len(wine[1])),
        "diabetes": Problem("squared", *diabetes, alpha=1 / len(diabetes[1])),
        "diabetes-plain": Problem("squared", *diabetes),
        "diabetes-gamma": Problem("gamma", *diabetes, alpha=1.0),
        "diabetes-tweedie": Problem("tweedie", *diabetes, alpha=1.0),
        "age-counts": Problem("poisson", *counts, alpha=1.0),
        "age-any": Problem("logistic", counts[0], (counts[1] > 0).astype(int), alpha=1 / len(counts[1])),
    }
    for name, problem in found.items():
        problem.name = name
    return found


# -- the reference --------------------------------------------------------------------------------------------------


@dataclass
class Reference:
    """A minimiser, its value, and half the squared Newton decrement that is left."""

    coef: np.ndarray
    intercept: np.ndarray
    value: float
    decrement: float


def reference(problem, max_iter=100):
    """Newton's method on the problem in QR-whitened coordinates, until rounding ends it."""
    X, weight = problem.X, problem.weights / problem.weights.sum()
    centre, scale = np.average(X, axis=0, weights=weight), X.std(axis=0)
    Z = np.column_stack([(X - centre) / scale, np.ones(len(X))])
    ridge = np.diag(np.append(np.sqrt(problem.alpha) / scale, 0.0))
    R = np.linalg.qr(np.vstack([np.sqrt(weight)[:, None] * Z, ridge]), mode="r")
    rank = np.linalg.matrix_rank(R)
    assert rank == Z.shape[1], "the reference needs full column rank"
    to_z = np.linalg.inv(R)
    Q, penalty = Z @ to_z, (ridge @ to_z).T @ (ridge @ to_z)
    U = _newton(problem, Q, penalty, weight, max_iter)
    W = to_z @ U[0]
    coef = W[:-1] / scale[:, None]
    intercept = W[-1] - centre @ coef
    if problem.n_outputs > 1:
        intercept = intercept - intercept.mean()
        if problem.alpha == 0:
            coef = coef - coef.mean(axis=1, keepdims=True)
    return Reference(coef.T, intercept, U[1], U[2])


def _newton(problem, Q, penalty, weight, max_iter):
    loss, k = LOSSES[problem.family], problem.n_outputs
    mean = np.average(problem.y, weights=weight)
    start = np.log(mean) if problem.family in ("poisson", "gamma", "tweedie") else mean if k == 1 else 0.0
    start = 0.0 if problem.family == "logistic" else start
    U = np.linalg.lstsq(Q, np.full((len(Q), k), start), rcond=None)[0]

    def everything(U):
        value, gradient, bent = loss(problem.y, Q @ U)
        value = weight @ value + 0.5 * np.einsum("ak,ab,bk->", U, penalty, U)
        gradient = Q.T @ (weight[:, None] * gradient) + penalty @ U
        H = np.einsum("na,nkl,nb->akbl", Q, weight[:, None, None] * bent, Q, optimize=True)
        H += np.einsum("ab,kl->akbl", penalty, np.eye(k))
        return value, gradient.ravel(), H.reshape(U.size, U.size)

    value, gradient, H = everything(U)
    best = (U, value, np.inf)
    for _ in range(max_iter):
        step = np.linalg.lstsq(H, -gradient, rcond=1e-13)[0]
        decrement = -0.5 * gradient @ step
        if decrement < best[2]:
            best = (U, value, decrement)
        elif best[2] < 1e-24 * max(1.0, abs(value)):
            break
        for size in 2.0 ** -np.arange(30):
            new = everything(U + size * step.reshape(U.shape))
            if new[0] <= value + 1e-14 * abs(value):
                break
        U = U + size * step.reshape(U.shape)
        value, gradient, H = new
    return best
