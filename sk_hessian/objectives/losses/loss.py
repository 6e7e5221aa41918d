"""The pointwise loss: what a prediction costs, and how that cost bends.

A loss sees a target ``y`` and a raw prediction (before the inverse link), never a feature nor a parameter, so that
linear models and networks share it. Raw predictions are always 2-D, ``(n, n_outputs + n_constants)``: the first
``n_outputs`` columns come from the features, the others repeat one free parameter (the scale of Huber's loss).

A loss is written for one row; weights, means and penalties belong to the objective. The distribution behind it, and the
best constant prediction, are its `Loss.family`.
"""

from functools import cached_property
from inspect import signature

import numpy as np
from scipy.linalg import helmert

from sk_hessian.objectives.losses.descent import least_values
from sk_hessian.objectives.losses.families import Family
from sk_hessian.objectives.losses.links import Domain

#: a raw prediction below this share of the average size is on the edge where it may be; one beyond the edge too, of
#: coefficients in float32
_ON_EDGE = 1e-10
_BEYOND_EDGE = 1e-6


def _missing(loss, method):
    return NotImplementedError(f"{type(loss).__name__} is not complete: define its method {method}")


class Loss:
    """What every loss offers; arrays are for ``n`` rows and ``m = n_outputs + n_constants`` raw columns.

    A loss of your own defines `value_and_gradient`, `hessian` and `inverse_link`. The rest has defaults.

    Attributes
    ----------
    n_outputs : int
        Raw columns that are fed by the features.
    n_constants : int
        Raw columns that repeat one free parameter each.
    canonical : bool
        True when the expected and the observed curvature are the same.
    convex : bool
        True when the loss is convex in the raw prediction.
    curvature : {"observed", "expected"}
        What solvers use by default: the second derivative itself where it is positive, else the expected one.
    quadratic : bool
        True when the curvature is constant.
    cancels : bool
        True when the value is a difference of large terms, so that near zero it keeps fewer digits.
    attains_bound : bool
        True when finite predictions have the saturated value for every y in range.
    shift_invariant : bool
        True when adding a constant to all outputs changes nothing.
    is_smooth : bool
        True when the curvature changes at most e-fold over every `predictor_unit`, without jumps or poles.
    is_polyhedral : bool
        True when the loss is piecewise linear: it has no curvature, and is minimised as the limit of smooth ones.
    bends_few : bool
        True when few rows have any curvature, so that a sample of the rows does not tell it.
    constant_names : sequence of str
        What the free parameters are called.
    domain : Domain or None
        What raw predictions may be, where they must be on one side of zero.
    even_constants : bool
        True when the loss depends on the squares of its constants alone: zero is the edge of what they may be.
    range_text : str
        How `in_range` is said in an error.
    family_class : type
        The `Family` of which this is the negative log-likelihood. The default one has no likelihood, and finds the best
        constant prediction by Newton's method.
    """

    n_outputs: int = 1
    n_constants: int = 0
    constant_names: tuple[str, ...] = ()
    canonical: bool = True
    convex: bool = True
    curvature: str = "observed"
    quadratic: bool = False
    cancels: bool = False
    attains_bound: bool = False
    shift_invariant: bool = False
    is_smooth: bool = True
    is_polyhedral: bool = False
    bends_few: bool = False
    domain: Domain | None = None
    even_constants: bool = False
    range_text: str = "finite"
    family_class: type[Family] = Family

    # Losses are parameters of estimators: scikit-learn copies them, compares what they print, and hashes their pickles
    # to see that a fit has not changed them. What is cached is no part of a loss.

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "family"}

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        ours, theirs = self.__getstate__(), other.__getstate__()
        return ours.keys() == theirs.keys() and all(np.array_equal(value, theirs[name]) for name, value in ours.items())

    def __hash__(self):
        return hash(type(self))

    def __repr__(self):
        values = vars(self)
        names = [name for name in signature(type(self)).parameters if name in values]
        return f"{type(self).__name__}({', '.join(f'{name}={values[name]!r}' for name in names)})"

    @cached_property
    def family(self) -> Family:
        """The distribution behind this loss: likelihood, dispersion, Pearson residuals, null model."""
        return self.family_class(self)

    def value(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Loss of each row, shape (n,); +inf outside the domain."""
        return self.value_and_gradient(y, raw)[0]

    def value_and_gradient(self, y: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss of each row, shape (n,), and its gradient in the raw prediction, shape (n, m)."""
        raise _missing(self, "value_and_gradient(y, raw)")

    def hessian(self, y: np.ndarray, raw: np.ndarray, kind: str) -> np.ndarray:
        """Second derivative of each row in the raw prediction, shape (n, m, m).

        ``kind`` is "observed" (the second derivative itself) or "expected" (its mean over y given the prediction:
        positive semi-definite, and what Fisher scoring uses).
        """
        raise _missing(self, "hessian(y, raw, kind)")

    def total_hessian(self, y: np.ndarray, raw: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted sum of the expected Hessians, shape (m, m), and the trace of each, shape (n,)."""
        hessian = self.hessian(y, raw, "expected")
        return np.einsum("n,nkl->kl", weight, hessian), np.einsum("nkk->n", hessian)

    def hessian_product(self, y: np.ndarray, raw: np.ndarray, change: np.ndarray, kind: str) -> np.ndarray:
        """Hessian of each row times its ``change``, both of shape (n, m)."""
        return np.einsum("nkl,nl->nk", self.hessian(y, raw, kind), change)

    def hessian_root(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """S of each row with S S' the expected Hessian, shape (n, m, m)."""
        hessian = self.hessian(y, raw, "expected")
        if hessian.shape[1] == 1:
            return np.sqrt(np.maximum(hessian, 0))
        values, vectors = np.linalg.eigh(hessian)
        return vectors * np.sqrt(np.maximum(values, 0))[:, None, :]

    def inverse_link(self, raw: np.ndarray) -> np.ndarray:
        """The prediction on the scale of y, from the raw prediction."""
        raise _missing(self, "inverse_link(raw)")

    def in_range(self, y: np.ndarray) -> np.ndarray:
        """Whether each target can be had at all, shape (n,) of bool."""
        return np.isfinite(y)

    def may_be_on_edge(self, y: np.ndarray) -> np.ndarray:
        """Whether the best raw prediction of a row may be zero, the edge of what raw predictions may be, shape (n,)."""
        return np.zeros(len(y), dtype=bool)

    def settled(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Raw predictions, those that are on the edge but for rounding exactly there."""
        on_edge = self.may_be_on_edge(y)
        if self.domain is None or not on_edge.any():
            return raw
        inside, unit = self.domain.side * raw, np.abs(raw).mean()
        near = (inside < _ON_EDGE * unit) & (inside > -_BEYOND_EDGE * unit)
        return np.where(near & on_edge[:, None], 0.0, raw)

    def saturated(self, y: np.ndarray) -> np.ndarray:
        """The least loss that any prediction can have, shape (n,); by default by Newton's method on each row."""
        return least_values(self, y)

    def terms_of_y(self, y: np.ndarray) -> np.ndarray:
        """What every value has in common and is no polynomial of y of degree two at the most, shape (n,)."""
        return np.zeros(len(y))

    def curvature_ratio(self, before: np.ndarray, after: np.ndarray) -> float:
        """What curvature along raw predictions is multiplied with when the constants go from one value to another."""
        return 1.0

    def predictor_unit(self, raw: np.ndarray) -> np.ndarray:
        """The change of a raw prediction over which the curvature changes e-fold; inf where it never does."""
        return np.ones(raw.shape)

    def recession(self, y, change):
        """Whether moving raw predictions along ``change`` for ever never raises a row's loss.

        Returns
        -------
        margin : ndarray of shape (n, any)
            Must be non-negative for the loss never to rise; it falls for ever where it is positive.
        fixed : ndarray of shape (n, any)
            Must be zero.
        """
        return np.zeros((len(change), 0)), change

    def without_shift(self, change):
        """A change of raw predictions without what the loss does not see: a common shift of all outputs."""
        if not self.shift_invariant:
            return change
        return change - np.add.reduce(change, axis=1, keepdims=True) / change.shape[1]

    def largest_move(self, raw: np.ndarray, change: np.ndarray) -> float:
        """The largest ``change`` of raw predictions, both (n, m), in units over which the curvature changes e-fold."""
        sizes = np.abs(self.without_shift(change)) / self.predictor_unit(raw)
        return float(np.maximum.reduce(sizes, axis=None))

    def contrasts(self):
        """An orthonormal basis of the changes of outputs that the loss sees, shape (n_outputs, r)."""
        return helmert(self.n_outputs).T if self.shift_invariant else np.eye(self.n_outputs)

    def remarks(self, constants: np.ndarray) -> list[str]:
        """Sentences on the fitted ``constants`` that a user should know."""
        return []

    def at(self, constants: np.ndarray) -> "Loss":
        """The loss of predictions alone, its ``constants`` (n_constants,) held, as a deviance takes them."""
        return HeldLoss(self, constants) if self.n_constants else self


class HeldLoss(Loss):
    """A loss whose constants (n_constants,) are held: a function of the outputs alone."""

    def __init__(self, loss, constants):
        self.loss, self.constants = loss, np.asarray(constants, dtype=float)
        self.n_outputs, self.canonical, self.convex = loss.n_outputs, loss.canonical, loss.convex
        self.curvature, self.is_smooth, self.shift_invariant = loss.curvature, loss.is_smooth, loss.shift_invariant
        self.cancels, self.range_text, self.domain = loss.cancels, loss.range_text, loss.domain

    def _whole(self, raw):
        """Raw predictions with the columns of the constants."""
        return np.hstack([raw, np.broadcast_to(self.constants, (len(raw), self.constants.size))])

    def value_and_gradient(self, y, raw):
        """See `Loss.value_and_gradient`."""
        value, gradient = self.loss.value_and_gradient(y, self._whole(raw))
        return value, gradient[:, : self.n_outputs]

    def hessian(self, y, raw, kind):
        """See `Loss.hessian`."""
        return self.loss.hessian(y, self._whole(raw), kind)[:, : self.n_outputs, : self.n_outputs]

    def inverse_link(self, raw):
        """See `Loss.inverse_link`."""
        return self.loss.inverse_link(self._whole(raw))

    def in_range(self, y):
        """See `Loss.in_range`."""
        return self.loss.in_range(y)

    def predictor_unit(self, raw):
        """See `Loss.predictor_unit`."""
        return self.loss.predictor_unit(self._whole(raw))[:, : self.n_outputs]
