"""Nonlinear least-squares problems whose answer is known: the collection of 1981, and NIST's reference datasets.

Each problem gives residuals(theta), jacobian(theta), one or two starts, and the known local minima of the sum of
squared residuals (no factor 1/2). Nothing here imports the package. `more_garbow_hillstrom()` and `nist()` return
dictionaries by name. Residuals accept complex parameters, so that a complex step can check the Jacobians; far from the
answer they may overflow to inf or nan, without a warning.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

_STRD = Path(__file__).parent / "data" / "nist_nonlinear" / "strd.json"


@dataclass(frozen=True)
class NonlinearProblem:
    """Minimise the sum of squares of `pair(theta)[0]`, shape (m,); `pair(theta)[1]` is its Jacobian, shape (m, n).

    `minima` holds local minima, the lowest first, to 10 digits or more. All were found again with
    scipy.optimize.least_squares from 27 starts; some problems have more of them, behind poles and in other periods.
    `at` is a point where the first is attained: exact, or as certified, to 11 digits; None where it is not unique or
    not written down. `elsewhere` holds values at which a solver may end though they are no local minimum: the sum of
    squares tends to them while parameters run to infinity, or the point is stationary and a descent leaves it.
    """

    name: str
    pair: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    starts: tuple[np.ndarray, ...]
    minima: tuple[float, ...]
    at: np.ndarray | None = None
    elsewhere: tuple[float, ...] = ()
    level: str = ""

    @property
    def x0(self):
        return self.starts[0]

    @property
    def n(self):
        return len(self.x0)

    def residuals(self, theta):
        with np.errstate(all="ignore"):
            return self.pair(np.asarray(theta))[0]

    def jacobian(self, theta):
        with np.errstate(all="ignore"):
            return self.pair(np.asarray(theta))[1]

    def sum_of_squares(self, theta):
        with np.errstate(all="ignore"):
            return float(np.sum(self.residuals(theta) ** 2))


def _columns(*columns):
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


# -- J. J. More, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM Transactions on
#    Mathematical Software 7, 1981: the 35 problems in their order ------------------------------------------------


def _rosenbrock(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]), np.array([[-20 * x[0], 10], [-1, 0]])


def _freudenstein_roth(x):
    a, b = x
    f = np.array([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])
    return f, np.array([[1, 10 * b - 3 * b**2 - 2], [1, 3 * b**2 + 2 * b - 14]])


def _powell_badly_scaled(x):
    a, b = x
    f = np.array([1e4 * a * b - 1, np.exp(-a) + np.exp(-b) - 1.0001])
    return f, np.array([[1e4 * b, 1e4 * a], [-np.exp(-a), -np.exp(-b)]])


def _brown_badly_scaled(x):
    a, b = x
    return np.array([a - 1e6, b - 2e-6, a * b - 2]), np.array([[1, 0], [0, 1], [b, a]])


def _beale(x):
    a, b = x
    i = np.arange(1, 4)
    return np.array([1.5, 2.25, 2.625]) - a * (1 - b**i), _columns(b**i - 1, a * i * b ** (i - 1))


def _jennrich_sampson(x):
    i = np.arange(1, 11)
    return 2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1])), _columns(-i * np.exp(i * x[0]), -i * np.exp(i * x[1]))


def _helical_valley(x):
    a, b, c = x
    turn = np.arctan(b / a) / (2 * np.pi) + (0.5 if a.real < 0 else 0.0)
    square = a**2 + b**2
    radius = np.sqrt(square)
    f = np.array([10 * (c - 10 * turn), 10 * (radius - 1), c])
    slope = 100 / (2 * np.pi * square)
    return f, np.array([[slope * b, -slope * a, 10], [10 * a / radius, 10 * b / radius, 0], [0, 0, 1]])


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def _bard(x):
    u = np.arange(1.0, 16)
    v = 16 - u
    w = np.minimum(u, v)
    below = v * x[1] + w * x[2]
    return _BARD - (x[0] + u / below), _columns(-1.0, u * v / below**2, u * w / below**2)


_GAUSSIAN = np.array([0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989])


def _gaussian(x):
    y = np.r_[_GAUSSIAN, _GAUSSIAN[-2::-1]]
    away = (7 - np.arange(15)) / 2 - x[2]
    bell = np.exp(-x[1] * away**2 / 2)
    return x[0] * bell - y, _columns(bell, -x[0] * bell * away**2 / 2, x[0] * x[1] * bell * away)


def _gulf(x):  # the printed formula, |y_i m i x2|, is a known misprint of |y_i - x2|
    a, b, c = x
    t = np.arange(1, 100) / 100
    away = 25 + (-50 * np.log(t)) ** (2 / 3) - b
    log = np.log(away**2) / 2
    power = np.exp(c * log)
    fall = np.exp(-power / a)
    return fall - t, _columns(fall * power / a**2, fall * power * c / (a * away), -fall * power * log / a)


def _box_3d(x):
    t = np.arange(1, 11) / 10
    one, two, last = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t) - np.exp(-10 * t)
    return one - two - x[2] * last, _columns(-t * one, t * two, -last)


def _powell_singular(x):
    """Any multiple of four parameters: the extended function is this one, block by block."""
    a, b, c, d = x.reshape(-1, 4).T
    f = np.stack([a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2], axis=1)
    block = np.zeros((len(a), 4, len(a), 4), x.dtype)
    k = np.arange(len(a))
    block[k, 0, k, 0], block[k, 0, k, 1] = 1, 10
    block[k, 1, k, 2], block[k, 1, k, 3] = np.sqrt(5), -np.sqrt(5)
    block[k, 2, k, 1], block[k, 2, k, 2] = 2 * (b - 2 * c), -4 * (b - 2 * c)
    block[k, 3, k, 0], block[k, 3, k, 3] = 2 * np.sqrt(10) * (a - d), -2 * np.sqrt(10) * (a - d)
    return f.ravel(), block.reshape(x.size, x.size)


def _wood(x):
    a, b, c, d = x
    s, t = np.sqrt(90), np.sqrt(10)
    f = np.array([10 * (b - a**2), 1 - a, s * (d - c**2), 1 - c, t * (b + d - 2), (b - d) / t])
    jac = [[-20 * a, 10, 0, 0], [-1, 0, 0, 0], [0, 0, -2 * s * c, s], [0, 0, -1, 0]]
    jac += [[0, t, 0, t], [0, 1 / t, 0, -1 / t]]
    return f, np.array(jac)


def _brown_dennis(x):
    t = np.arange(1, 21) / 5
    one, two = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    return one**2 + two**2, _columns(2 * one, 2 * t * one, 2 * two, 2 * np.sin(t) * two)


def _biggs_exp6(x):
    t = np.arange(1, 14) / 10
    one, two, three = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t * x[4])
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    f = x[2] * one - x[3] * two + x[5] * three - y
    return f, _columns(-t * x[2] * one, t * x[3] * two, one, -two, -t * x[5] * three, three)


_OSBORNE_2 = np.array(
    [1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608]
    + [0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661]
    + [0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428]
    + [0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559]
    + [0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054]
)


def _osborne_2(x):
    t = np.arange(65)[:, None] / 10
    height, rate, centre = x[1:4], x[5:8], x[8:11]
    fall = np.exp(-t[:, 0] * x[4])
    bells = np.exp(-rate * (t - centre) ** 2)
    f = _OSBORNE_2 - (x[0] * fall + bells @ height)
    to_rate, to_centre = height * bells * (t - centre) ** 2, -2 * height * rate * bells * (t - centre)
    return f, np.c_[-fall, -bells, t[:, 0] * x[0] * fall, to_rate, to_centre]


def _watson(x):
    t = np.arange(1, 30)[:, None] / 29
    j = np.arange(len(x))
    powers = t**j
    slopes = np.c_[np.zeros(29), j[1:] * t ** (j[1:] - 1)]
    inner = powers @ x
    first, second = np.zeros(len(x), x.dtype), np.zeros(len(x), x.dtype)
    first[0], second[0], second[1] = 1, -2 * x[0], 1
    f = np.r_[slopes @ x - inner**2 - 1, x[0], x[1] - x[0] ** 2 - 1]
    return f, np.r_[slopes - 2 * inner[:, None] * powers, [first, second]]


def _extended_rosenbrock(x):
    odd, even = x[::2], x[1::2]
    f, jac, k = np.empty_like(x), np.zeros((len(x), len(x)), x.dtype), np.arange(0, len(x), 2)
    f[::2], f[1::2] = 10 * (even - odd**2), 1 - odd
    jac[k, k], jac[k, k + 1], jac[k + 1, k] = -20 * odd, 10, -1
    return f, jac


def _penalty_1(x):
    root = np.sqrt(1e-5)
    return np.r_[root * (x - 1), np.sum(x**2) - 0.25], np.r_[root * np.eye(len(x)), [2 * x]]


def _penalty_2(x):
    n, root, i = len(x), np.sqrt(1e-5), np.arange(1, len(x) + 1)
    growth = np.exp(x / 10)
    y = np.exp(i[1:] / 10) + np.exp(i[:-1] / 10)
    weight = n - i + 1
    pairs, singles = root * (growth[1:] + growth[:-1] - y), root * (growth[1:] - np.exp(-0.1))
    right = root * np.c_[np.zeros(n - 1), np.diag(growth[1:] / 10)]
    left = root * np.c_[np.diag(growth[:-1] / 10), np.zeros(n - 1)]
    f = np.r_[x[0] - 0.2, pairs, singles, np.sum(weight * x**2) - 1]
    return f, np.r_[np.eye(1, n), left + right, right, [2 * weight * x]]


def _variably_dimensioned(x):
    j = np.arange(1, len(x) + 1)
    total = j @ (x - 1)
    return np.r_[x - 1, total, total**2], np.r_[np.eye(len(x)), [j], [2 * total * j]]


def _trigonometric(x):
    n, i = len(x), np.arange(1, len(x) + 1)
    f = n - np.sum(np.cos(x)) + i * (1 - np.cos(x)) - np.sin(x)
    return f, np.tile(np.sin(x), (n, 1)) + np.diag(i * np.sin(x) - np.cos(x))


def _brown_almost_linear(x):
    n = len(x)
    f = x + np.sum(x) - (n + 1)
    f[-1] = np.prod(x) - 1
    jac = np.ones((n, n), x.dtype) + np.eye(n)
    jac[-1] = [np.prod(np.delete(x, j)) for j in range(n)]
    return f, jac


def _neighbours(x):
    return np.r_[0, x[:-1]], np.r_[x[1:], 0]


def _boundary_value(x):
    n = len(x)
    h = 1 / (n + 1)
    cube = x + h * np.arange(1, n + 1) + 1
    before, after = _neighbours(x)
    jac = np.diag(2 + 1.5 * h**2 * cube**2) - np.eye(n, k=1) - np.eye(n, k=-1)
    return 2 * x - before - after + h**2 * cube**3 / 2, jac


def _integral_equation(x):
    n = len(x)
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)
    kernel = np.minimum.outer(t, t) - np.outer(t, t)  # (1 - t_i) t_j for j <= i, t_i (1 - t_j) for j > i
    cube = x + t + 1
    return x + h * kernel @ cube**3 / 2, np.eye(n) + 1.5 * h * kernel * cube**2


def _broyden_tridiagonal(x):
    before, after = _neighbours(x)
    jac = np.diag(3 - 4 * x) - np.eye(len(x), k=-1) - 2 * np.eye(len(x), k=1)
    return (3 - 2 * x) * x - before - 2 * after + 1, jac


def _broyden_banded(x):
    n = len(x)
    band = np.tri(n, k=1) - np.tri(n, k=-6) - np.eye(n)
    return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x)), np.diag(2 + 15 * x**2) - band * (1 + 2 * x)


def _linear(matrix):
    """Each residual is linear in x, less 1."""
    return lambda x: (matrix @ x - 1, matrix)


def _chebyquad(x):
    n = len(x)
    y, one = 2 * x - 1, np.ones_like(x)
    values, slopes = [one, y], [np.zeros_like(x), 2 * one]  # Chebyshev polynomials of 2 x - 1, and their slopes
    for _ in range(n - 1):
        slopes.append(4 * values[-1] + 2 * y * slopes[-1] - slopes[-2])
        values.append(2 * y * values[-1] - values[-2])
    i = np.arange(1, n + 1)
    integral = np.array([0.0 if k % 2 else -1 / (k**2 - 1) for k in i])
    return np.mean(values[1 : n + 1], axis=1) - integral, np.array(slopes[1 : n + 1]) / n


def _linear_problems(n=10, m=20):
    i, j = np.arange(1.0, m + 1), np.arange(1.0, n + 1)
    full = np.eye(m, n) - 2 / m
    inner = np.where((j > 1) & (j < n), j, 0)
    rows = np.where((i > 1) & (i < m), i - 1, 0)
    return [
        ("linear full rank", _linear(full), np.ones(n), (m - n,)),
        ("linear rank 1", _linear(np.outer(i, j)), np.ones(n), (m * (m - 1) / (2 * (2 * m + 1)),)),
        ("linear rank 1 zeros", _linear(np.outer(rows, inner)), np.ones(n), ((m**2 + 3 * m - 6) / (2 * (2 * m - 3)),)),
    ]


def _grid(n):
    return np.arange(1, n + 1) / (n + 1)


_KOWALIK_ENDS = (3.07505603849e-4, 4.2367462647e-4, 1.59435202602e-3)
_OSBORNE_2_START = [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5]
_OSBORNE_2_ENDS = (4.01377362935e-2, 0.212005572738, 0.304506388709)
_TRIGONOMETRIC_ENDS = (0, 4.4735658128e-7, 2.79505612188e-5, 4.21863388792e-5, 8.78822521822e-4)


def _rows():
    """Name, pair, start, minima; then, where known, a point of the first minimum and the values elsewhere.

    Three of the problems are NIST's too, from other starts.
    """
    ten = np.arange(1.0, 11)
    mesh = _grid(10)
    return [
        ("rosenbrock", _rosenbrock, [-1.2, 1], (0,), [1, 1]),
        ("freudenstein roth", _freudenstein_roth, [0.5, -2], (0, 48.9842536792), [5, 4]),
        ("powell badly scaled", _powell_badly_scaled, [0, 1], (0,)),
        ("brown badly scaled", _brown_badly_scaled, [1, 1], (0,), [1e6, 2e-6]),
        ("beale", _beale, [1, 1], (0,), [3, 0.5], (0.4520089285714,)),
        ("jennrich sampson", _jennrich_sampson, [0.3, 0.4], (124.362182356,), None, (259.580190134,)),
        ("helical valley", _helical_valley, [-1, 0, 0], (0,), [1, 0, 0]),
        ("bard", _bard, [1, 1, 1], (8.21487730658e-3, 0.932775243898, 2.36291629719), None, (17.4286933333,)),
        ("gaussian", _gaussian, [0.4, 1, 0], (1.12793276962e-8,)),
        ("meyer", nist()["MGH10"].pair, [0.02, 4000, 250], (87.9458551704,)),
        ("gulf", _gulf, [5, 2.5, 0.15], (0,), [50, 25, 1.5], (32.835,)),
        ("box 3d", _box_3d, [0, 10, 20], (0,), [1, 10, 1], (0.075588740755,)),
        ("powell singular", _powell_singular, [3, -1, 0, 1], (0,), [0, 0, 0, 0]),
        ("wood", _wood, [-3, -1, -3, -1], (0,), [1, 1, 1, 1]),
        ("kowalik osborne", nist()["MGH09"].pair, [0.25, 0.39, 0.415, 0.39], _KOWALIK_ENDS, None, (1.02734304869e-3,)),
        ("brown dennis", _brown_dennis, [25, 5, -5, -1], (85822.2016264,)),
        ("osborne 1", nist()["MGH17"].pair, [0.5, 1.5, -1, 0.01, 0.02], (5.46489469748e-5,), None, (1.10603621875,)),
        ("biggs exp6", _biggs_exp6, [1, 2, 1, 1, 1, 1], (0, 5.6556499255e-3), [1, 10, 1, 5, 4, 3], (0.306366772625,)),
        ("osborne 2", _osborne_2, _OSBORNE_2_START, _OSBORNE_2_ENDS, None, (1.78981358688,)),
        ("watson 6", _watson, np.zeros(6), (2.28767005355e-3,)),
        ("watson 9", _watson, np.zeros(9), (1.39976013809e-6,)),
        ("watson 12", _watson, np.zeros(12), (4.7223810991e-10,)),
        ("extended rosenbrock", _extended_rosenbrock, np.tile([-1.2, 1], 5), (0,), np.ones(10)),
        ("extended powell singular", _powell_singular, np.tile([3, -1, 0, 1], 3), (0,), np.zeros(12)),
        ("penalty 1, 4", _penalty_1, ten[:4], (2.2499775009e-5,)),
        ("penalty 1, 10", _penalty_1, ten, (7.08765146709e-5,)),
        ("penalty 2, 4", _penalty_2, np.full(4, 0.5), (9.37629300736e-6,)),
        ("penalty 2, 10", _penalty_2, np.full(10, 0.5), (2.93660537457e-4,)),
        ("variably dimensioned", _variably_dimensioned, 1 - ten / 10, (0,), np.ones(10)),
        ("trigonometric", _trigonometric, np.full(10, 0.1), _TRIGONOMETRIC_ENDS, np.zeros(10)),
        # the paper calls (0, ..., 0, 11) a minimum, of value 1: the sum falls from there along (t, ..., t, 11 - 10 t)
        ("brown almost linear", _brown_almost_linear, np.full(10, 0.5), (0, 0.917900099786), np.ones(10), (1,)),
        ("boundary value", _boundary_value, mesh * (mesh - 1), (0,)),
        ("integral equation", _integral_equation, mesh * (mesh - 1), (0,)),
        ("broyden tridiagonal", _broyden_tridiagonal, np.full(10, -1), (0, 0.397079352018, 1.02865203568)),
        ("broyden banded", _broyden_banded, np.full(10, -1), (0, 2.68021992073, 3.05727843243)),
        *_linear_problems(),
        ("chebyquad 8", _chebyquad, _grid(8), (3.51687372568e-3,)),
        ("chebyquad 9", _chebyquad, _grid(9), (0,)),
        ("chebyquad 10", _chebyquad, _grid(10), (4.7727136964e-3, 6.50395480088e-3, 9.50062885022e-3)),
    ]


@cache
def more_garbow_hillstrom():
    """The collection by name; n and m are the paper's, 10 parameters where it leaves them free."""

    def problem(name, pair, start, minima, at=None, elsewhere=()):
        at = None if at is None else np.array(at, float)
        return NonlinearProblem(name, pair, (np.array(start, float),), minima, at, elsewhere)

    return {row[0]: problem(*row) for row in _rows()}


# -- NIST, Statistical Reference Datasets, nonlinear regression: value and Jacobian of each model ---------------------


def _saturation(x, b):  # Misra1a, BoxBOD
    fall = np.exp(-b[1] * x)
    return b[0] * (1 - fall), _columns(1 - fall, b[0] * x * fall)


def _misra1b(x, b):
    base = 1 + b[1] * x / 2
    return b[0] * (1 - base**-2), _columns(1 - base**-2, b[0] * x * base**-3)


def _misra1c(x, b):
    base = 1 + 2 * b[1] * x
    return b[0] * (1 - base**-0.5), _columns(1 - base**-0.5, b[0] * x * base**-1.5)


def _misra1d(x, b):
    base = 1 + b[1] * x
    return b[0] * b[1] * x / base, _columns(b[1] * x / base, b[0] * x / base**2)


def _chwirut(x, b):
    below = b[1] + b[2] * x
    value = np.exp(-b[0] * x) / below
    return value, _columns(-x * value, -value / below, -x * value / below)


def _lanczos(x, b):
    falls = np.exp(-np.outer(x, b[1::2]))
    return falls @ b[::2], np.stack([falls, -x[:, None] * b[::2] * falls], axis=2).reshape(len(x), 6)


def _gauss(x, b):
    fall = np.exp(-b[1] * x)
    value, columns = b[0] * fall, [fall, -x * b[0] * fall]
    for height, centre, width in (b[2:5], b[5:8]):
        away = (x - centre) / width
        bell = np.exp(-(away**2))
        value = value + height * bell
        columns += [bell, 2 * height * bell * away / width, 2 * height * bell * away**2 / width]
    return value, _columns(*columns)


def _danwood(x, b):
    power = x ** b[1]
    return b[0] * power, _columns(power, b[0] * power * np.log(x))


def _rational(degree):
    """Polynomials of one degree above and below, whose constant below is 1: Kirby2, Hahn1, Thurber."""

    def model(x, b):
        powers = x[:, None] ** np.arange(degree + 1)
        below = 1 + powers[:, 1:] @ b[degree + 1 :]
        value = powers @ b[: degree + 1] / below
        return value, np.c_[powers, -value[:, None] * powers[:, 1:]] / below[:, None]

    return model


def _nelson(x, b):
    fall = x[0] * np.exp(-b[2] * x[1])
    return b[0] - b[1] * fall, _columns(1.0, -fall, b[1] * fall * x[1])


def _mgh17(x, b):
    one, two = np.exp(-x * b[3]), np.exp(-x * b[4])
    return b[0] + b[1] * one + b[2] * two, _columns(1.0, one, two, -x * b[1] * one, -x * b[2] * two)


def _mgh09(x, b):
    above, below = x**2 + x * b[1], x**2 + x * b[2] + b[3]
    part = b[0] * above / below**2
    return b[0] * above / below, _columns(above / below, b[0] * x / below, -part * x, -part)


def _mgh10(x, b):
    below = x + b[2]
    growth = np.exp(b[1] / below)
    return b[0] * growth, _columns(growth, b[0] * growth / below, -b[0] * b[1] * growth / below**2)


def _roszman1(x, b):
    away = x - b[3]
    scale = np.pi * (away**2 + b[2] ** 2)
    return b[0] - b[1] * x - np.arctan(b[2] / away) / np.pi, _columns(1.0, -x, -away / scale, -b[2] / scale)


def _enso(x, b):
    value, columns = b[0], [1.0]
    for period, cosine, sine in ((None, b[1], b[2]), b[3:6], b[6:9]):
        angle = 2 * np.pi * x / (12 if period is None else period)
        c, s = np.cos(angle), np.sin(angle)
        value = value + cosine * c + sine * s
        columns += [c, s] if period is None else [(cosine * s - sine * c) * angle / period, c, s]
    return value, _columns(*columns)


def _logistic(x, b):  # Rat42
    growth = np.exp(b[1] - b[2] * x)
    value = b[0] / (1 + growth)
    slope = value * growth / (1 + growth)
    return value, _columns(1 / (1 + growth), -slope, x * slope)


def _rat43(x, b):
    growth = np.exp(b[1] - b[2] * x)
    unit = (1 + growth) ** (-1 / b[3])
    value = b[0] * unit
    slope = value * growth / (b[3] * (1 + growth))
    return value, _columns(unit, -slope, x * slope, value * np.log(1 + growth) / b[3] ** 2)


def _bennett5(x, b):
    base = b[1] + x
    power = base ** (-1 / b[2])
    value = b[0] * power
    return value, _columns(power, -value / (b[2] * base), value * np.log(base) / b[2] ** 2)


def _eckerle4(x, b):
    away = (x - b[2]) / b[1]
    unit = np.exp(-0.5 * away**2) / b[1]
    value = b[0] * unit
    return value, _columns(unit, value * (away**2 - 1) / b[1], value * away / b[1])


_MODELS = dict.fromkeys(("Misra1a", "BoxBOD"), _saturation)
_MODELS |= dict.fromkeys(("Chwirut1", "Chwirut2"), _chwirut) | dict.fromkeys(("Gauss1", "Gauss2", "Gauss3"), _gauss)
_MODELS |= dict.fromkeys(("Lanczos1", "Lanczos2", "Lanczos3"), _lanczos)
_MODELS |= {"Kirby2": _rational(2), "Hahn1": _rational(3), "Thurber": _rational(3), "Bennett5": _bennett5}
_MODELS |= {"Misra1b": _misra1b, "Misra1c": _misra1c, "Misra1d": _misra1d, "Nelson": _nelson, "Roszman1": _roszman1}
_MODELS |= {"MGH09": _mgh09, "MGH10": _mgh10, "MGH17": _mgh17, "Rat42": _logistic, "Rat43": _rat43}
_MODELS |= {"DanWood": _danwood, "ENSO": _enso, "Eckerle4": _eckerle4}


def _dataset(name, model, data):
    x, y = np.array(data["x"]), np.array(data["y"])
    target = np.log(y) if name == "Nelson" else y

    def pair(theta):
        value, jac = model(x, theta)
        return value - target, jac

    starts = tuple(np.array(start) for start in data["starts"])
    return NonlinearProblem(name, pair, starts, (data["rss"],), np.array(data["certified"]), (), data["level"])


@cache
def nist():
    """The 27 datasets by name, with both starts; `at` and `minima` are certified to 11 digits."""
    stored = json.loads(_STRD.read_text())
    return {name: _dataset(name, model, stored[name]) for name, model in _MODELS.items()}


# -- runs and their verdicts -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A problem from one start."""

    name: str
    problem: NonlinearProblem
    start: np.ndarray


def starts(collection):
    """The `Case`s of "nist", from both starts, or of "more-garbow-hillstrom", from 1, 10 and 100 times its start."""
    if collection == "nist":
        return [Case(f"{p.name}/{i}", p, x) for p in nist().values() for i, x in enumerate(p.starts, 1)]
    problems = more_garbow_hillstrom().values()
    factors = (1, 10, 100)
    return [Case(f"{p.name} x{f}", p, f * p.x0) for p in problems for f in factors if f == 1 or p.x0.any()]


#: terms of the same form may be exchanged: which parameters go together
_EXCHANGES = {"MGH17": [[0, 2, 1, 4, 3]], "Lanczos": [[2, 3, 0, 1, 4, 5], [0, 1, 4, 5, 2, 3], [4, 5, 2, 3, 0, 1]]}


def digits(problem, theta):
    """Correct digits of the worst parameter, for the best order of terms that may be exchanged."""
    orders = [list(range(problem.n)), *_EXCHANGES.get(problem.name.rstrip("123"), _EXCHANGES.get(problem.name, []))]
    error = min(np.max(np.abs(theta[order] / problem.at - 1)) for order in orders)
    return -np.log10(max(error, 1e-16))


def is_solved(case, theta):
    """Six digits of NIST's parameters, or the value of a known minimum."""
    problem = case.problem
    if problem.level:
        return digits(problem, theta) >= 6
    value = problem.sum_of_squares(theta)
    known = [abs(value - least) <= 1e-6 * least + 1e-12 for least in problem.minima]
    return any(known) or any(abs(value - limit) <= 1e-4 * limit for limit in problem.elsewhere)


def is_stationary(problem, theta):
    """Whether residuals are orthogonal to the Jacobian's columns, or nothing beside those of the start; and whether no
    other order of magnitude of the parameters without influence is lower."""
    with np.errstate(all="ignore"):
        r, J = problem.residuals(theta), problem.jacobian(theta)
        value, norms = r @ r, np.linalg.norm(J, axis=0)
        if value <= 1e-12 * problem.sum_of_squares(problem.x0):
            return True
        seen = norms * np.abs(theta) > 1e-8 * np.sqrt(value)
        cosines = np.abs(J.T @ r)[seen] / (norms[seen] * np.sqrt(value))
        others = [np.where(seen, theta, ratio * theta) for ratio in (0.01, 0.1, 0.5, 2, 10, 100)]
        lower = [other for other in others if problem.sum_of_squares(other) < (1 - 1e-6) * value]
        return cosines.max(initial=0.0) <= 1e-3 and not lower


# -- random problems in units of one ---------------------------------------------------------------------------------


#: two decays, a peak, growth, a ratio and a power, each with typical parameters
_CURVES = (
    (lambda x, q: q[0] * np.exp(-q[1] * x) + q[2] * np.exp(-q[3] * x), [2.0, 0.4, 1.0, 3.0]),
    (lambda x, q: q[0] * np.exp(-0.5 * ((x - q[1]) / q[2]) ** 2) + q[3], [3.0, 1.5, 0.6, 0.5]),
    (lambda x, q: q[0] / (1 + np.exp(q[1] - q[2] * x)), [3.0, 2.0, 1.5]),
    (lambda x, q: (q[0] + q[1] * x) / (1 + q[2] * x + q[3] * x**2), [1.0, 2.0, 0.5, 0.4]),
    (lambda x, q: q[0] * x ** q[1] + q[2], [1.5, 0.7, 0.8]),
)


def random_problem(seed):
    """Residuals of a curve with noise, a start without zeros within 40% of the truth, and the truth."""
    rng = np.random.default_rng(seed)
    curve, typical = _CURVES[seed % len(_CURVES)]
    truth = np.array(typical) * rng.uniform(0.7, 1.4, len(typical))
    x = np.sort(rng.uniform(0.05, 4, 40))
    y = curve(x, truth) + 0.02 * rng.normal(size=x.size)

    def residuals(q):
        with np.errstate(all="ignore"):
            return curve(x, q) - y

    return residuals, truth * rng.uniform(0.6, 1.4, truth.size), truth
