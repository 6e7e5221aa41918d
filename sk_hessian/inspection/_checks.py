"""Checks of arguments that several functions of inspection take; every error names the argument."""

from numbers import Integral, Real

import numpy as np


def check_count(name, value, least=1, otherwise=""):
    """Refuse what is no integer of at least ``least``; ``otherwise`` says what else is allowed."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}{otherwise}, got {value!r}")


def check_level(level):
    """Refuse what is no level of an interval."""
    if not isinstance(level, Real) or not 0 < float(level) < 1:
        raise ValueError(f"level must be a number between 0 and 1, such as 0.95, got {level!r}")


def check_share(name, value):
    """Refuse what is not between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")


def check_choice(name, value, choices):
    """Refuse what is not one of the choices, strings or None."""
    if not isinstance(value, str | None) or value not in choices:
        raise ValueError(f"{name} must be one of {tuple(choices)}, got {value!r}")


def check_point(theta, size, name="theta"):
    """Parameters or a direction as a float array; ``size`` is None where the objective does not tell it."""
    theta = np.array(theta, dtype=float)
    if theta.ndim != 1 or theta.size == 0 or not np.isfinite(theta).all():
        raise ValueError(f"{name} must be a non-empty 1-D array of finite numbers, got shape {theta.shape}")
    if size is not None and theta.size != size:
        raise ValueError(f"{name} has {theta.size} entries, but the objective has {size} parameters")
    return theta


def finite(H):
    """The Hessian itself, refused where it is not finite."""
    if not np.isfinite(H).all():
        raise ValueError("the Hessian is not finite at this point")
    return H


def finite_value(objective, theta):
    """Value and gradient at a point, refused where they are not finite."""
    with np.errstate(all="ignore"):
        value, gradient = objective.value_and_gradient(theta)
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise ValueError("the objective or its gradient is not finite at this point")
    return value, gradient
