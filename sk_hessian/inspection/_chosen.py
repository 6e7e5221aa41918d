"""The covariance of a few parameters of a model of too many columns for a factor of its curvature."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from sk_hessian.inspection._covariance import Curvature, chosen_parameters
from sk_hessian.objectives import Directions, ScoresAlong
from sk_hessian.solvers import conjugate_gradients, plan

#: covariances that need no factor
KINDS = ("expected", "observed", "sandwich", "HC0", "HC1")

#: relative error that a standard error may have
_ACCURACY = 1e-6

#: random directions, and a length along the one of least curvature that at least one of them has but for a chance of
#: (0.8 _LEAST)^_PROBES, 2e-9: a normal number is that small in absolute value with a chance of 0.8 _LEAST
_PROBES, _LEAST = 8, 0.1
_SEED = 0

#: numbers of all directions together, 64 MB, and of those that are looked at together
_MOST_NUMBERS = 2**23
_BATCH = 2**21

#: products that a solution may take, and times that the accuracy of a covariance is looked at
_MOST_PRODUCTS, _MOST_ROUNDS = 1000, 4

#: eigenvalues of a correlation of estimates below are rounding
_ROUNDING = 1e-13


def needs_products(fitted, features):
    """Whether the curvature of a fit has no factor, and some of its features are asked for."""
    return features is not None and fitted.objective.facts.factor_size > plan.MOST_FACTOR_SIZE


def require_few(fitted, features):
    """Refuse more features of a fit that has no factor than there is memory for, before any work."""
    if fitted.loss.family.reported(fitted.objective.class_names) is not None:
        raise ValueError(
            f"coef_table: the curvature of this {fitted.name} has more than {plan.MOST_FACTOR_SIZE} columns, and "
            "features= is not for thresholds of ordered classes then: take fewer columns"
        )
    k, n_parameters = fitted.loss.n_outputs, fitted.theta.size
    n_features = len(np.atleast_1d(features))
    beside = len(chosen_parameters(fitted.objective, features)) - n_features * k
    most = min(_MOST_NUMBERS // n_parameters - beside, plan.MOST_FACTOR_SIZE) // k
    if n_features > most:
        limit = f"choose at most {most}" if most > 0 else "there is no memory for any: take fewer columns"
        raise ValueError(f"features: {n_features} of {n_parameters} parameters are too many: {limit}")


class LeastCurvature:
    """Solutions with the Hessian H of `Directions`, and how far they are from the truth.

    An error e = H^-1 r of a solution with the residual r is at most |r| / h long, h the least eigenvalue of H. Of a
    random vector g the solution H^-1 g is at least |g'v| / h long, v the eigenvector of h, so that solutions x_i with
    the residuals r_i of a few of them bound h from below by (min |g_i'v| - |r_i|) / |x_i|; the largest |g_i'v| of
    several is small by a chance that is known (J. Dixon, "Estimating extremal eigenvalues and condition numbers of
    matrices", SIAM Journal on Numerical Analysis 20, 1983).
    """

    def __init__(self, directions, what):
        self.directions, self._what = directions, what
        probes = np.random.default_rng(_SEED).normal(size=(directions.size, _PROBES))
        probes = directions.seen(probes)
        X, left, _ = self.solve(probes, np.zeros_like(probes), np.full(_PROBES, 0.5 * _LEAST))
        if left.max() >= 0.75 * _LEAST:
            raise ValueError(
                f"{what}: {_MOST_PRODUCTS} products with the Hessian do not tell whether the data determine every "
                "coefficient: columns are nearly dependent. Drop such columns, or add a penalty"
            )
        #: a lower bound of the least eigenvalue
        self.value = (_LEAST - left.max()) / np.linalg.norm(X, axis=0).max()

    def solve(self, right, start, enough):
        """See `conjugate_gradients`, a few vectors at a time: solutions, norms of residuals, and the residuals."""
        found, left, rest = np.empty_like(right), np.empty(right.shape[1]), np.empty_like(right)
        step = max(_BATCH // max(len(right), 1), 1)
        for begin in range(0, right.shape[1], step):
            part = slice(begin, begin + step)
            found[:, part], left[part], rest[:, part] = conjugate_gradients(
                self.directions.products, right[:, part], start[:, part], enough[part], _MOST_PRODUCTS
            )[:3]
        return found, left, rest


class ChosenCurvature(Curvature):
    """`Curvature` of the parameters that a choice asks for, in coordinates of their own; without a factor.

    With C their gradients (size, m), H^-1 C is found by conjugate gradients on products of the Hessian. The inverse
    Hessian among them is C'X + X'R, with the solutions X and their residuals R, but for R'H^-1 R, which is bounded.
    ``root`` is one of that matrix, (m, r).
    """

    def __init__(self, fitted, weights, kind, choice, groups=()):
        self.fitted, self.weights, self.kind, self.groups = fitted, weights, kind, groups
        self.objective, self.loss = fitted.objective, fitted.loss
        self.lags, self._dispersion, self._what = choice.lags, choice.dispersion, choice.what
        self.chosen, self.positions = slice(None), chosen_parameters(self.objective, choice.features)
        self._directions = Directions(fitted.here, kind or self.objective.curvature)
        gradients = self._directions.gradients(self.positions)
        self._unit = np.linalg.norm(gradients, axis=0)
        self._require_columns()
        self._gradients = gradients / np.where(self._unit > 0, self._unit, 1.0)
        self._least = LeastCurvature(self._directions, choice.what)
        self._solved = self._least.solve(
            self._gradients, np.zeros_like(self._gradients), np.full(len(self._unit), 1e-2 * np.sqrt(self._least.value))
        )
        size = np.sqrt(self._least.value * _ACCURACY * np.maximum(self._inverse().diagonal(), 0.0))
        self._refine(np.where(self._unit > 0, size, 1.0))

    def _require_columns(self):
        constant = self.positions[self._unit == 0]
        if constant.size and self.fitted.prior is None:
            name = self.fitted.parameter_names[constant[0]]
            raise ValueError(f"{self._what}: {name} is of a column that is constant: drop it, or add a penalty")

    def _refine(self, enough):
        """Solve to residuals of these norms (m,)."""
        self._solved = self._least.solve(self._gradients, self._solved[0], enough)
        vars(self).pop("_roots", None)

    def _inverse(self):
        """The inverse Hessian among the gradients of length one, but for R'H^-1 R."""
        X, _, R = self._solved
        V = self._gradients.T @ X + X.T @ R
        return (V + V.T) / 2

    # -- what `Curvature` has ---------------------------------------------------------------------------------------

    @cached_property
    def _roots(self):
        """L (m, r) with L L' the inverse Hessian among the parameters, and its pseudo-inverse."""
        V = self._inverse()
        unit = np.sqrt(np.where(V.diagonal() > 0, V.diagonal(), 1.0))
        values, vectors = np.linalg.eigh(V / unit / unit[:, None])
        told = values > _ROUNDING * values[-1]
        values, vectors = np.sqrt(values[told]), vectors[:, told]
        size = unit * np.where(self._unit > 0, self._unit, 1.0)
        return size[:, None] * vectors * values, (vectors / values).T / size

    @property
    def root(self):
        """See `Curvature`."""
        return self._roots[0]

    @property
    def estimate(self):
        """See `Curvature`."""
        return self.objective.canonical(self.fitted.theta)[self.positions]

    def shown(self, values):
        """See `Curvature.shown`."""
        return values

    @property
    def knows_df(self):
        """Whether effective parameters are known: under a penalty they are a trace of the whole matrix."""
        return self.fitted.prior is None

    @cached_property
    def effective_df(self):
        """See `Curvature.effective_df`; nan where they are not known."""
        if not self.knows_df:
            return np.full(self.loss.n_outputs if self.loss.quadratic else 1, np.nan)
        k, n_columns = self.loss.n_outputs, self._directions.columns.n_columns - self._directions.n_constant
        if self.loss.quadratic:
            return np.full(k, float(n_columns))
        return np.array([n_columns * (k - self.loss.shift_invariant) + self.loss.n_constants], dtype=float)

    @property
    def single_rows(self):
        """See `Curvature`: their gradients, in coordinates of ``root``."""
        X = self._solved[0] * self._unit
        return ScoresAlong(self._directions, X @ self._roots[1].T)

    @property
    def may_follow_rows(self):
        """See `Curvature`."""
        return False

    def distance(self, error):
        """See `Curvature.distance`."""
        step, counts = self._unit * (self._solved[0].T @ self._directions.slope), error > 0
        return float(np.max(np.abs(step[counts]) / error[counts], initial=0.0))

    def found(self, covariance):
        """See `Curvature.found`; it is made more exact until errors are known to a share of `_ACCURACY`."""
        for _ in range(_MOST_ROUNDS):
            result = covariance(self)
            error = self._error(result)
            share = float(np.max(error, initial=0.0))
            if share <= _ACCURACY:
                break
            self._refine(self._solved[1] * np.minimum(0.25 * _ACCURACY / np.maximum(error, 1e-300), 1.0))
        else:
            raise ValueError(
                f"{self._what}: after {_MOST_PRODUCTS} products with the Hessian the standard errors are known to a "
                f"share of {share:.1g} only: columns are nearly dependent. Drop such columns, or add a stronger penalty"
            )
        text = f"by conjugate gradients, std. errors to a share of {max(share, 1e-15):.0e}"
        return replace(result, convention="; ".join([*filter(None, [result.convention]), text]))

    def _error(self, covariance):
        """Bounds of the relative errors of the standard errors (m,)."""
        left, least, counts = self._solved[1], self._least.value, self._unit > 0
        if covariance.moment is None:
            variance = np.where(counts, self._inverse().diagonal(), 1.0)
            return 0.5 * left**2 / least / np.maximum(variance, 1e-300) * counts
        within, groups = self.weights.within, self.groups

        def squares(*block):
            found = within(*block)
            return found.score**2 if groups else found.moment

        size = self.single_rows.score_size(squares) / self.weights.score_total**2
        # the square of a sum of n scores is at most n times the sum of their squares; G / (G - 1) is at most two
        most = max((2 * int(np.bincount(index).max()) for index in groups), default=1)
        scale = np.resize(covariance.scale, len(left))
        deviation = np.sqrt(self.variances(covariance) / scale) / np.where(counts, self._unit, 1.0)
        bound = np.sqrt(size * most) * left / least
        return np.divide(bound, deviation, out=np.zeros_like(bound), where=counts & (deviation > 0))
