"""Activation functions of networks, with two derivatives.

An activation is written for arrays of any shape; ``slope`` and ``bend`` get the value as well, so that nothing is
computed twice. To add one, derive from `Activation` and list it in `ACTIVATIONS`: the tests of every derivative then
apply to it.
"""

import numpy as np
from scipy.special import expit, ndtr

#: beyond this the normal density underflows to zero
_FAR = 40.0

_SQRT_2_PI = np.sqrt(2 * np.pi)


class Activation:
    """What every activation offers."""

    #: how initial weights are drawn: "glorot" for functions that keep the size of a centred input, "he" for those that
    #: halve its square
    gain = "glorot"
    bound = np.inf  #: largest absolute value
    has_kinks = False  #: whether the slope jumps somewhere

    def value(self, z):
        """h(z)."""
        raise NotImplementedError

    def slope(self, z, h):
        """h'(z), of ``z`` and ``h = value(z)``."""
        raise NotImplementedError

    def bend(self, z, h):
        """h''(z), of ``z`` and ``h = value(z)``."""
        raise NotImplementedError


class Identity(Activation):
    """z."""

    def value(self, z):
        """See `Activation.value`."""
        return z

    def slope(self, z, h):
        """See `Activation.slope`."""
        return np.ones_like(z)

    def bend(self, z, h):
        """See `Activation.bend`."""
        return np.zeros_like(z)


class Logistic(Activation):
    """1 / (1 + exp(-z))."""

    bound = 1.0

    def value(self, z):
        """See `Activation.value`."""
        return expit(z)

    def slope(self, z, h):
        """See `Activation.slope`."""
        return h * (1 - h)

    def bend(self, z, h):
        """See `Activation.bend`."""
        return h * (1 - h) * (1 - 2 * h)


class Tanh(Activation):
    """tanh z."""

    bound = 1.0

    def value(self, z):
        """See `Activation.value`."""
        return np.tanh(z)

    def slope(self, z, h):
        """See `Activation.slope`."""
        return 1 - h * h

    def bend(self, z, h):
        """See `Activation.bend`."""
        return -2 * h * (1 - h * h)


class Relu(Activation):
    """max(z, 0), with the slope 0 at 0."""

    gain = "he"
    has_kinks = True

    def value(self, z):
        """See `Activation.value`."""
        return np.maximum(z, 0)

    def slope(self, z, h):
        """See `Activation.slope`."""
        return (z > 0).astype(float)

    def bend(self, z, h):
        """See `Activation.bend`."""
        return np.zeros_like(z)


class Softplus(Activation):
    """log(1 + exp z), written in exp(-|z|) so that it neither overflows nor loses digits."""

    gain = "he"

    def value(self, z):
        """See `Activation.value`."""
        return np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0)

    def slope(self, z, h):
        """See `Activation.slope`."""
        return expit(z)

    def bend(self, z, h):
        """See `Activation.bend`."""
        return expit(z) * expit(-z)


class Gelu(Activation):
    """z Phi(z), with Phi the normal distribution function itself.

    Source: D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016.
    """

    gain = "he"

    def value(self, z):
        """See `Activation.value`."""
        return z * ndtr(z)

    def slope(self, z, h):
        """See `Activation.slope`."""
        z = np.clip(z, -_FAR, _FAR)
        return ndtr(z) + z * _normal_density(z)

    def bend(self, z, h):
        """See `Activation.bend`."""
        z = np.clip(z, -_FAR, _FAR)
        return (2 - z * z) * _normal_density(z)


class Silu(Activation):
    """z / (1 + exp(-z)), also called swish."""

    gain = "he"

    def value(self, z):
        """See `Activation.value`."""
        return z * expit(z)

    def slope(self, z, h):
        """See `Activation.slope`."""
        return expit(z) + h * expit(-z)

    def bend(self, z, h):
        """See `Activation.bend`."""
        s, t = expit(z), expit(-z)
        return s * t * 2 + h * t * (t - s)


def _normal_density(z):
    return np.exp(-0.5 * z * z) / _SQRT_2_PI


ACTIVATIONS = {
    "identity": Identity(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "relu": Relu(),
    "softplus": Softplus(),
    "gelu": Gelu(),
    "silu": Silu(),
}
