"""Activation functions of networks, with two derivatives.

An activation is written for arrays of any shape; ``slope`` and ``bend`` get the value as well, so that nothing is
computed twice. To add one, write its three functions and list it in `ACTIVATIONS`: the tests of every derivative then
apply to it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

#: beyond this the normal density underflows to zero
_FAR = 40.0

_SQRT_2_PI = np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Activation:
    """A function h of z with its derivatives; module functions, so that it can be pickled."""

    value: Callable  #: h(z)
    slope: Callable  #: h'(z), of ``z`` and ``h = value(z)``
    bend: Callable  #: h''(z), of ``z`` and ``h = value(z)``
    #: how initial weights are drawn: "glorot" for functions that keep the size of a centred input, "he" for those that
    #: halve its square
    gain: str = "glorot"
    bound: float = np.inf  #: largest absolute value
    has_kinks: bool = False  #: whether the slope jumps somewhere


def _itself(z):
    return z


def _one(z, h):
    return np.ones_like(z)


def _zero(z, h):
    return np.zeros_like(z)


def _logistic_slope(z, h):
    return h * (1 - h)


def _logistic_bend(z, h):
    return h * (1 - h) * (1 - 2 * h)


def _tanh_slope(z, h):
    return 1 - h * h


def _tanh_bend(z, h):
    return -2 * h * (1 - h * h)


def _relu(z):
    return np.maximum(z, 0)


def _relu_slope(z, h):
    return (z > 0).astype(float)


def _softplus(z):
    """log(1 + exp z), written in exp(-|z|) so that it neither overflows nor loses digits."""
    return np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0)


def _softplus_slope(z, h):
    return expit(z)


def _softplus_bend(z, h):
    return expit(z) * expit(-z)


def _gelu(z):
    """The input times Phi(z), with Phi the normal distribution function itself.

    Source: D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016.
    """
    return z * ndtr(z)


def _gelu_slope(z, h):
    z = np.clip(z, -_FAR, _FAR)
    return ndtr(z) + z * _normal_density(z)


def _gelu_bend(z, h):
    z = np.clip(z, -_FAR, _FAR)
    return (2 - z * z) * _normal_density(z)


def _normal_density(z):
    return np.exp(-0.5 * z * z) / _SQRT_2_PI


def _silu(z):
    """The input over 1 + exp(-z), also called swish."""
    return z * expit(z)


def _silu_slope(z, h):
    return expit(z) + h * expit(-z)


def _silu_bend(z, h):
    s, t = expit(z), expit(-z)
    return s * t * 2 + h * t * (t - s)


ACTIVATIONS = {
    "identity": Activation(_itself, _one, _zero),
    "logistic": Activation(expit, _logistic_slope, _logistic_bend, bound=1.0),
    "tanh": Activation(np.tanh, _tanh_slope, _tanh_bend, bound=1.0),
    "relu": Activation(_relu, _relu_slope, _zero, gain="he", has_kinks=True),
    "softplus": Activation(_softplus, _softplus_slope, _softplus_bend, gain="he"),
    "gelu": Activation(_gelu, _gelu_slope, _gelu_bend, gain="he"),
    "silu": Activation(_silu, _silu_slope, _silu_bend, gain="he"),
}
