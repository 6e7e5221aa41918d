"""Whether the derivatives of a loss are those of its value, by differences at a few targets."""

import numpy as np

#: targets that are looked at, and how far from the best constant the raw predictions are, in units in which the loss
#: bends. No simple numbers, so that a kink is unlikely to be there
_MOST_TARGETS = 7
_MOVES = (-0.6180339887, 0.0367879441, 0.5772156649)

#: steps of the differences in these units: near a kink, or where the unit is too large, a shorter one is right
_STEPS = (1e-2, 1e-3, 1e-4)

#: what a derivative may be off by: a share of its size, and roundings of what was subtracted
_MOST_ERROR = 1e-3
_ROUNDINGS = 1e3


def check_derivatives(loss, y):
    """Refuse a loss whose gradient is not that of its value, or whose Hessian is not that of its gradient.

    It looks at up to seven targets with three raw predictions each, by central differences of fourth order [1]_ with
    steps in units of `Loss.predictor_unit`. A derivative that is off by less than a thousandth passes.

    Parameters
    ----------
    loss : Loss
    y : ndarray of shape (n,) or (n, k)
        In the range of the loss.

    Raises
    ------
    ValueError
        Naming the loss, the derivative and by how much it is off.
    NotImplementedError
        Where a method is missing, which it names.

    References
    ----------
    .. [1] M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 1964, table 25.2.
    """
    with np.errstate(all="ignore"):
        y = _few(y)
        _check_shapes(loss, y)
        raw, unit = _points(loss, y)
        y = np.tile(y, (len(_MOVES), *[1] * (y.ndim - 1)))
        value, gradient = loss.value_and_gradient(y, raw)
        observed, expected = (loss.hessian(y, raw, kind) for kind in ("observed", "expected"))
        _compare(
            f"the gradient of {loss!r} is not the derivative of its value",
            (y, raw, unit),
            lambda at: loss.value_and_gradient(y, at)[0][:, None],
            gradient[:, None, :],
            # beside a gradient near zero, what it becomes a unit away
            np.einsum("nkk,nk->nk", np.abs(observed), unit)[:, None, :],
            np.abs(value)[:, None] + (np.abs(gradient) * np.abs(raw)).sum(axis=1, keepdims=True),
        )
        _compare(
            f"the observed Hessian of {loss!r} is not the derivative of its gradient",
            (y, raw, unit),
            lambda at: loss.value_and_gradient(y, at)[1],
            observed,
            np.abs(gradient)[:, :, None] / unit[:, None, :],
            np.abs(gradient) + np.einsum("nkl,nl->nk", np.abs(observed), np.abs(raw)),
        )
        if loss.canonical and not np.allclose(observed, expected, rtol=_MOST_ERROR, equal_nan=True):
            raise ValueError(
                f"the expected Hessian of {loss!r} is not the observed one, which canonical = True says: set "
                "canonical = False in the class"
            )


def _few(y):
    """Targets from the least to the largest."""
    rank = np.argsort(y if y.ndim == 1 else y[:, 0], kind="stable")
    return y[rank[np.unique(np.linspace(0, len(y) - 1, _MOST_TARGETS).astype(np.intp))]]


def _check_shapes(loss, y):
    """Refuse a loss that does not take such targets, lacks a method, or returns arrays of other shapes."""
    n, m = len(y), loss.n_outputs + loss.n_constants
    raw = np.zeros((n, m))
    try:
        value, gradient = loss.value_and_gradient(y, raw)
        hessians = {f'hessian(y, raw, "{kind}")': loss.hessian(y, raw, kind) for kind in ("observed", "expected")}
        prediction = loss.inverse_link(raw)
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"{loss!r} cannot be evaluated for y of shape {y.shape} and raw {(n, m)}: {error}") from error
    found = {"value": (value, (n,)), "gradient": (gradient, (n, m))}
    found |= {name: (array, (n, m, m)) for name, array in hessians.items()}
    found["inverse_link(raw)"] = prediction, (n, loss.n_outputs)
    for name, (array, shape) in found.items():
        if np.shape(array) != shape:
            raise ValueError(
                f"the {name} of {loss!r} must have the shape {shape} for raw {(n, m)}, got {np.shape(array)}"
            )


def _points(loss, y):
    """Raw predictions (n, m) around the best constant, some for each target, and the units there (n, m)."""
    weight = np.ones(len(y))
    constant = np.tile(loss.family.best_constant(y, weight), (len(y) * len(_MOVES), 1))
    unit = loss.predictor_unit(constant)
    others = np.append(loss.family.output_unit(y, weight), np.ones(loss.n_constants))
    unit = np.where(np.isfinite(unit), unit, others)
    return constant + np.repeat(_MOVES, len(y))[:, None] * unit, unit


def _compare(fault, points, function, claimed, beside, terms):
    """Refuse derivatives ``claimed`` (n, q, m) that are not those of a function (n, q), for no step of the differences.

    ``fault`` says what is wrong then; ``points`` are targets, raw predictions (n, m), which the function takes, and
    units (n, m). ``beside`` (n, q, m) is a size that counts where the derivative is near zero, up to the largest
    derivative, and ``terms`` (n, q) the size of what is rounded.
    """
    y, raw, unit = points
    size = np.abs(claimed) + np.minimum(beside, np.nanmax(np.abs(claimed), initial=0.0))
    is_right, found = np.zeros(claimed.shape, dtype=bool), np.full(claimed.shape, np.nan)
    for step in _STEPS:
        new = _differences(function, raw, step * unit)
        rounding = _ROUNDINGS * np.finfo(float).eps * terms[:, :, None] / (step * unit)[:, None, :]
        is_right |= np.abs(new - claimed) <= _MOST_ERROR * size + rounding
        found = np.where(np.isnan(found), new, found)
    # beyond the domain there is nothing to compare with
    wrong = ~is_right & np.isfinite(found)
    if wrong.any():
        error = np.where(wrong, np.abs(found - claimed) / size, 0.0)
        worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
        raise ValueError(
            f"{fault}: for y = {y[worst[0]]} and raw = {raw[worst[0]]} it is {claimed[worst]:.6g}, and "
            f"differences give {found[worst]:.6g}"
        )


def _differences(function, raw, step):
    """Derivatives (n, q, m) of a function (n, q) of raw predictions (n, m), by steps (n, m); nan beyond the domain."""
    slopes = []
    for column, size in enumerate(step.T):
        move = np.zeros_like(raw)
        move[:, column] = size
        near = function(raw + move) - function(raw - move)
        far = function(raw + 2 * move) - function(raw - 2 * move)
        slope = (8 * near - far) / (12 * size[:, None])
        slopes.append(np.where(np.isfinite(slope), slope, np.nan))
    return np.stack(slopes, axis=2)
