"""Changes of variables: theta = origin + T u, every one of them linear, and all composed in one way.

`Coordinates` T are standardised columns (`WeightCoordinates`), the standardised layers of a network
(`LayerCoordinates`), or nothing (`factors.Identity`). A `PointFactor` composes them with a root of the curvature in
them. `Through` is an objective seen through them: what a solver runs on.
"""

import copy
from functools import cached_property

import numpy as np

from sk_hessian._facts import fact
from sk_hessian.objectives import factors
from sk_hessian.objectives.factors import Coordinates
from sk_hessian.objectives.rows import Columns


class WeightCoordinates(Coordinates):
    """The weights of a linear model in coordinates of its `Columns`; the loss's constants as they are."""

    def __init__(self, columns, n_outputs, n_constants):
        self.columns, self.n_outputs = columns, n_outputs
        self.summed_in = columns  #: what a model takes its sums over rows in
        self._n_theta = (len(columns.shift) + columns.fit_intercept) * n_outputs
        self.n_weights = columns.n_columns * n_outputs  #: how many coordinates belong to weights
        self.shape = (self._n_theta + n_constants, self.n_weights + n_constants)
        basis = columns.basis
        #: see `Coordinates.reaches_all`: not in the span of few rows, nor of dependent columns; constant ones aside
        self.reaches_all = basis is None or columns.chooses or basis.shape[0] == basis.shape[1]

    def apply(self, z):
        """See `Coordinates.apply`."""
        weights = self.columns.to_weights(z[: self.n_weights].reshape(-1, self.n_outputs))
        return self._beside(weights, z[self.n_weights :])

    def transpose(self, g):
        """See `Coordinates.transpose`."""
        z = self.columns.transpose(g[: self._n_theta].reshape(-1, self.n_outputs))
        return self._beside(z, g[self._n_theta :])

    def inverse(self, theta):
        """The z of ``theta``, or of the nearest that is reached; what constant columns add goes to the intercept."""
        z = self.columns.from_weights(theta[: self._n_theta].reshape(-1, self.n_outputs))
        return self._beside(z, theta[self._n_theta :])

    def lifted(self, slope):
        """A gradient in theta from one in z, where all that was left out is flat: the inverse of `transpose`.

        Constant columns, whose unit is infinite, have what their value makes of the intercept's. The columns have no
        basis, or one that is orthonormal in its metric. Several gradients are columns, (n_z, m).
        """
        columns, k, several = self.columns, self.n_outputs, slope.shape[1:]
        if columns.basis is not None:
            W = columns.basis @ slope[: self.n_weights].reshape(columns.n_columns, -1)
            W = (columns.metric[:, None] * W).reshape(-1, *several)
            slope = np.concatenate((W, slope[self.n_weights :]))
        gradient = (slope.T * self._lift).T
        if columns.fit_intercept:
            n_coef = len(columns.shift) * k
            gradient[:n_coef] += np.multiply.outer(columns.shift, slope[n_coef : n_coef + k]).reshape(n_coef, *several)
        return gradient

    def moving(self, directions):
        """A function from any block of rows to the change (n, m, r) of raw predictions along columns of z, (n_z, r)."""
        k, r = self.n_outputs, directions.shape[1]
        weights, constants = directions[: self.n_weights].reshape(-1, k * r), directions[self.n_weights :]

        def along(block):
            Z = block.standardised(self.columns)
            changes = np.empty((len(Z), k + len(constants), r))
            changes[:, :k] = (Z @ weights).reshape(-1, k, r)
            changes[:, k:] = constants
            return changes

        return along

    @cached_property
    def _lift(self):
        """The unit of each coordinate; zero for constant columns."""
        units = np.ones(self.shape[0])
        scale = np.where(np.isfinite(self.columns.scale), self.columns.scale, 0.0)
        units[: scale.size * self.n_outputs] = np.repeat(scale, self.n_outputs)
        return units

    @staticmethod
    def _beside(weights, constants):
        """Weights (q, k) and constants as one array."""
        return np.concatenate((weights.ravel(), constants)) if constants.size else weights.ravel()

    @fact
    def mixed(self):
        """See `Coordinates.mixed`: intercepts, where columns are centred."""
        n_coef = len(self.columns.shift) * self.n_outputs
        return slice(n_coef, self._n_theta) if self.columns.shift.any() else slice(0)

    def restrict(self, theta):
        """See `Coordinates.restrict`."""
        coef = theta[: len(self.columns.shift) * self.n_outputs].reshape(-1, self.n_outputs)
        missed = coef[np.isinf(self.columns.scale)] if self.reaches_all else coef
        return self.apply(self.inverse(theta)) if missed.any() else theta

    def is_same(self, other):
        """Whether other coordinates are of the same columns."""
        return isinstance(other, WeightCoordinates) and other.columns is self.columns


class Displacement:
    """A change T z of theta, in the coordinates in which it was found; z is theta's change where these are None."""

    def __init__(self, coordinates, z):
        while isinstance(coordinates, PointFactor):
            coordinates, z = coordinates.outer, coordinates.inner.apply(z)
        self._coordinates, self._z = coordinates, z

    @cached_property
    def theta(self):
        """The change of theta, shape (n_parameters,): a pass where the coordinates are those of few rows."""
        return self._z if self._coordinates is None else self._coordinates.apply(self._z)

    def within(self, coordinates):
        """The change of z in `WeightCoordinates`."""
        return self._z if coordinates.is_same(self._coordinates) else coordinates.inverse(self.theta)


class LayerCoordinates(Coordinates):
    """theta = T z: inputs centred and scaled, outputs in units of y.

    ``columns`` are zero and unit of the inputs, ``layers`` say where (slice) and how large (shape) the layers are in
    theta, ``output_unit`` has shape (k,).
    """

    def __init__(self, columns, layers, output_unit):
        self.columns, self.output_unit, self.summed_in = columns, output_unit, self
        (self._first, self._first_shape), (self._last, self._last_shape) = layers[0], layers[-1]
        self.shape = (self._last.stop, self._last.stop)
        self.inputs = Columns(columns.shift, columns.scale, False)  #: the inputs without a column of ones

    def unit(self, n_parameters):
        """The unit of each parameter beside that of its inputs, shape (n_parameters,)."""
        return self.scaled(np.ones(n_parameters))

    def scaled(self, z):
        """``z`` with the last layer times the units of the outputs."""
        z = z.copy()
        z[self._last] = (z[self._last].reshape(self._last_shape) * self.output_unit).ravel()
        return z

    def apply(self, z):
        """See `Coordinates.apply`."""
        theta = self.scaled(z)
        theta[self._first] = self.columns.to_weights(theta[self._first].reshape(self._first_shape)).ravel()
        return theta

    def transpose(self, g):
        """See `Coordinates.transpose`."""
        z = self.scaled(g)
        z[self._first] = self.columns.transpose(z[self._first].reshape(self._first_shape)).ravel()
        return z

    def standardised(self, theta):
        """The parameters for standardised inputs; the outputs keep their units."""
        z = theta.copy()
        z[self._first] = self.columns.from_weights(z[self._first].reshape(self._first_shape)).ravel()
        return z

    def restrict(self, theta):
        """See `Coordinates.restrict`: ``theta`` with the weights of constant inputs added to their biases."""
        W = theta[self._first].reshape(self._first_shape)[:-1]
        if not W[np.isinf(self.columns.scale)].any():
            return theta
        theta = self.standardised(theta)
        theta[self._first] = self.columns.to_weights(theta[self._first].reshape(self._first_shape)).ravel()
        return theta


class Subspace(Coordinates):
    """theta = T B w: the parameters that a few numbers reach.

    Parameters
    ----------
    basis : ndarray of shape (m, r)
        B.
    outer : PointFactor, optional
        T of m columns; the identity for None.
    """

    reaches_all = False

    def __init__(self, basis, outer=None):
        self.basis, self.outer = basis, outer
        self.shape = (len(basis) if outer is None else outer.shape[0], basis.shape[1])

    def apply(self, z):
        """See `Coordinates.apply`."""
        z = self.basis @ z
        return z if self.outer is None else self.outer.apply(z)

    def transpose(self, g):
        """See `Coordinates.transpose`."""
        return self.basis.T @ (g if self.outer is None else self.outer.transpose(g))


class CommonShift:
    """The directions along which all outputs of some weights move alike: what the loss of a softmax model cannot see.

    The weights (q, k), stored by rows, are a slice ``part`` of the parameters; ``free`` (q, r) is an orthonormal basis
    of the rows that have no penalty.
    """

    def __init__(self, part, free, n_outputs):
        self._part, self._free, self._k = part, free, n_outputs

    def projected(self, V):
        """The part of ``V``, (n_parameters,) or (n_parameters, B), along these directions."""
        W = V[self._part].reshape(len(self._free), self._k, -1)
        means = self._free @ (self._free.T @ np.add.reduce(W, axis=1)) / self._k
        out = np.zeros(V.shape)
        out[self._part].reshape(W.shape)[...] = means[:, None, :]
        return out


class PointFactor(Coordinates):
    """theta = P u: coordinates in which the curvature was taken at a point, then a root of its inverse there.

    Parameters
    ----------
    outer : Coordinates
        theta = T z; those of another factor, for one that refines it.
    inner : a factor of `factors`
        z = R u.
    here : Evaluation
        Where the Hessian was taken.
    curvature : {"expected", "observed", None}
        Of which Hessian P P' is the inverse there; None for an approximation, and where ``inner`` is floored.
    certifies : bool
        True when that is the exact one.

    Attributes
    ----------
    inflation : float
        The inverse of P P' is at most so many times the exact Hessian ``here``; inf where that is not known.
    """

    def __init__(self, outer, inner, here, curvature=None, certifies=False):
        self.outer, self.inner, self.here = outer, inner, here
        self.curvature, self.certifies = None if inner.is_floored else curvature, certifies
        self.inflation = 1.0 if certifies else np.inf
        #: the loss's constants may be left out of the outer coordinates
        self.shape = (outer.shape[0] - outer.shape[1] + inner.shape[0], inner.shape[1])

    @classmethod
    def none(cls, here):
        """No preconditioner: P = I, at an `Evaluation`."""
        size = here.theta.size
        return cls(factors.Identity(size), factors.Identity(size), here)

    @property
    def is_identity(self):
        """Whether u is theta."""
        return isinstance(self.inner, factors.Identity)

    def standing_for(self, here, inflation):
        """The same factor as an approximation of another Hessian, which is at least this one over ``inflation``."""
        factor = copy.copy(self)
        factor.here, factor.inflation = here, inflation if self.certifies else np.inf
        factor.curvature, factor.certifies = None, False
        return factor

    @fact
    def reaches_all(self):
        """See `Coordinates.reaches_all`."""
        return self.outer.reaches_all

    @property
    def is_full(self):
        """Whether it comes from a whole Hessian, if a nearby or sampled one: P'HP is then near the identity."""
        return not isinstance(self.inner, factors.UNCOUPLED)

    def apply(self, u):
        """P u, shape (n_parameters,)."""
        return self.outer.apply(self.inner.apply(u))

    def transpose(self, g):
        """P'g, shape (r,)."""
        return self.inner.transpose(self.outer.transpose(g))

    def dense(self):
        """P as a matrix, shape (n_parameters, r)."""
        return np.stack([self.outer.apply(z) for z in self.inner.dense().T], axis=1)

    def newton(self, g):
        """Half the squared Newton decrement and the Newton step for a gradient in theta."""
        decrement, step = self.newton_within(self.outer.transpose(g))
        return decrement, step.theta

    def newton_within(self, slope):
        """The same from a gradient in z, the step as a `Displacement`."""
        decrement, step = self.inner.newton(slope)
        return decrement, Displacement(self.outer, step)

    def restrict(self, theta):
        """See `Coordinates.restrict`."""
        return self.outer.restrict(theta)


class Through:
    """An objective in coordinates z: theta = origin + T z."""

    def __init__(self, objective, coordinates, origin):
        self._objective, self._coordinates, self._origin = objective, coordinates, origin

    def at(self, z):
        """The `Evaluation` at z."""
        return self._objective.at(self._origin + self._coordinates.apply(z))

    def slope(self, here):
        """The gradient in z at an `Evaluation`."""
        return self._coordinates.transpose(here.gradient)

    def product(self, here, kind):
        """A function from z to the product of the Hessian in z, at an `Evaluation`, with it."""
        T, H = self._coordinates, here.hessian(kind)
        return lambda z: T.transpose(H.matvec(T.apply(z)))

    def sees(self, coordinates):
        """Whether these are the coordinates z."""
        return self._coordinates is coordinates
