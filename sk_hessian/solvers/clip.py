"""Gradient descent with clipped gradients."""

from typing import ClassVar

import numpy as np

from sk_hessian.solvers.first_order import FirstOrder
from sk_hessian.solvers.options import Positive

#: an automatic clip value, in square roots of the scale: gradients of unit curvature start at no more than 1.4
_CLIP_SHARE = 0.3

#: ... and no smaller than this share of the first gradient
_LEAST_CLIP = 0.1


class Clip(FirstOrder):
    """Clipped gradients: theta - eta clip(g, -alpha, alpha).

    Parameters
    ----------
    learning_rate : "auto" or float, default="auto"
    clip_value : "auto" or float, default="auto"
        alpha, in preconditioned coordinates; "auto" is 0.3 times the square root of the objective's scale, which a
        gradient of unit curvature exceeds only far from the optimum (for a plain function 0.3 times the largest
        entry at the start).
    by : {"value", "norm"}, default="value"
        Clip each entry, or shrink the whole gradient to norm alpha (Pascanu, Mikolov & Bengio, 2013).
    schedule, batch_size, average, precondition
        As in `SGD`.
    """

    options: ClassVar = {"clip_value": ("auto", Positive()), "by": ("value", "norm")}

    def __init__(
        self,
        learning_rate="auto",
        *,
        clip_value="auto",
        by="value",
        schedule="constant",
        batch_size="auto",
        average=False,
        precondition="auto",
    ):
        super().__init__(
            learning_rate, schedule=schedule, batch_size=batch_size, average=average, precondition=precondition
        )
        self.clip_value = clip_value
        self.by = by

    def direction(self, scale, point):
        """See `FirstOrder.direction`."""
        bound = self._bound(scale, point)
        if self.by == "value":
            return lambda slope: -np.clip(slope, -bound, bound)

        def shrunk(slope):
            norm = np.linalg.norm(slope)
            return -slope if norm <= bound else -slope * (bound / norm)

        return shrunk

    def _bound(self, scale, point):
        if self.clip_value != "auto":
            return self.clip_value
        largest = np.abs(point.slope).max(initial=0.0)
        # a constant target has a scale of rounding only
        size = max(np.sqrt(scale), _LEAST_CLIP * largest) if scale else largest
        return _CLIP_SHARE * (size or 1.0)
