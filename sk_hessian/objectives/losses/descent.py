"""Newton's method on many small functions at once: the best constant of all rows, the best prediction of each."""

import numpy as np

#: steps at the most, and the share of a value below which a gain is the last
_MOST_STEPS = 200
_ROUNDING = 1e-13

#: rows at a time
ROWS = 2**16


def descend(evaluate, starts, unit):
    """Minimise b functions of m variables, each from the best of some starts (b, m): points (b, m) and values (b,).

    No step is longer, along an eigenvector of the curvature, than a radius that adapts. ``evaluate`` takes points (b,
    m) to values (b,), gradients (b, m) and curvatures (b, m, m); ``unit`` is a typical size of the values.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        points = [(start, *evaluate(start)) for start in starts]
        sizes = np.array([np.where(np.isfinite(point[1]), point[1], np.inf) for point in points])
        best = sizes.argmin(axis=0), np.arange(sizes.shape[1])
        point, radius = [np.stack(parts)[best] for parts in zip(*points, strict=True)], np.ones(sizes.shape[1])
        for _ in range(_MOST_STEPS):
            slope, step = _newton_step(point[2], point[3], radius)
            new = point[0] + step, *evaluate(point[0] + step)
            gain, done = point[1] - new[1], -slope <= _ROUNDING * np.maximum(np.abs(point[1]), unit)
            radius = np.where(gain > -slope / 4, 2 * radius, 0.25 * np.abs(step).max(axis=1))
            moves = np.where(done, np.isfinite(new[1]), gain > 0)
            point = [np.where(_beside(moves, b.ndim), b, a) for a, b in zip(point, new, strict=True)]
            if done.all():
                break
    return point[0], point[1]


def _beside(values, n_dimensions):
    return values.reshape(-1, *[1] * (n_dimensions - 1))


def _newton_step(gradient, curvature, radius):
    """Steps (b, m) that are Newton's along each eigenvector, up to the radius; and the slopes (b,) along them."""
    values, vectors = np.linalg.eigh(curvature) if curvature.shape[1] > 1 else (curvature[:, 0], np.ones((1, 1, 1)))
    along = (vectors.transpose(0, 2, 1) @ gradient[:, :, None])[:, :, 0]
    floor = np.maximum(np.finfo(float).eps * values.max(axis=1, keepdims=True), np.finfo(float).tiny)
    bounded = np.clip(-along / np.maximum(values, floor), -radius[:, None], radius[:, None])
    step = (vectors @ bounded[:, :, None])[:, :, 0]
    return (gradient[:, None, :] @ step[:, :, None])[:, 0, 0], step


def simple_points(loss, level):
    """Raw predictions to start from: outputs that are 0, 1, a level of y (b, k) or its logarithm, and constants of 0.

    Links with an edge at 0 exclude 0, and a level is in units of y.
    """
    constants = np.zeros((len(level), loss.n_constants))
    outputs = (0.0, 1.0, level, np.log(np.where(level > 0, level, 1.0)))
    return [np.hstack([np.broadcast_to(each, (len(level), loss.n_outputs)), constants]) for each in outputs]


def least_values(loss, y):
    """The least loss of each row over all predictions, shape (n,); targets that occur often are looked at once.

    Where the loss has constants it refuses: along them a loss may have no least value.
    """
    if loss.n_constants:
        raise NotImplementedError(f"{type(loss).__name__} may fall for ever along its constants: define saturated")
    if y.ndim == 1:
        distinct, index = np.unique(y, return_inverse=True)
        if len(distinct) < len(y):
            return least_values(loss, distinct)[index]
    unit = loss.family.unit(y, np.ones(len(y)))
    starts = range(0, max(len(y), 1), ROWS)
    return np.concatenate([_least_of_part(loss, y[start : start + ROWS], unit) for start in starts])


def _least_of_part(loss, y, unit):
    def evaluate(raw):
        value, gradient = loss.value_and_gradient(y, raw)
        return value, loss.without_shift(gradient), loss.hessian(y, raw, "expected")

    return descend(evaluate, simple_points(loss, y[:, None] if y.ndim == 1 else y), unit)[1]
