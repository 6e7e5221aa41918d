"""A fitted estimator with the rows it was fitted on, as all of inspection looks at it."""

from collections.abc import Sequence
from functools import cached_property
from inspect import signature
from typing import TypedDict

import numpy as np

from sk_hessian._text import listed
from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._row_labels import row_labels
from sk_hessian.objectives import OrdinalLoss, Parts
from sk_hessian.solvers import plan, still_missing

#: decrement on the given rows, in squared tolerances, above which they are not those of the fit
_SLACK = 100

#: the same as a share of the scale: a fit to a smaller tolerance is not asked for more
_LEAST_SHARE = 1e-8

#: share of the scale above which the objective must also be that of the fit, and the share that it may differ by
_SURE_SHARE = 1e-6
_SAME_VALUE = 1e-6

#: a fit this near its optimum, in standard errors, is taken as it is
NEAR = 0.01

#: Newton steps with one factor after which the optimum must be reached
_MOST_STEPS = 8


def require_interior(objective, theta, what):
    """Refuse a point on the edge of the loss's domain, where the gradient is not zero at an optimum either."""
    n_rows = len(objective.edge_rows(theta))
    if n_rows:
        edge = objective.loss.domain
        raise ValueError(
            f"{what} needs a point inside the domain of the loss, where the gradient of an optimum is zero. Here "
            f"{n_rows} {'rows' if n_rows > 1 else 'row'} with y = {edge.mean} have the mean {edge.mean}, the edge of "
            f'what link="{edge.link}" allows: use link="{edge.other}", or leave these rows out'
        )


def _require_free(fitted, what):
    """Refuse a fit that constraints hold back: its gradient is not zero, and its estimates are not normal."""
    active = getattr(fitted.estimator, "active_constraints_", ())
    if active:
        raise ValueError(
            f"{what} needs an optimum where the gradient is zero, and constraints hold this {fitted.name} back: "
            f"{listed(active)}. For figures on the condition that they hold, fit again without constraints and without "
            "the columns that they fix, with what these add as offset"
        )


def _require_curvature(objective, name):
    """Refuse a piecewise linear objective."""
    if objective.smoothing is not None:
        raise ValueError(
            f"inspection is made of curvature, and the loss of this {name} has none: it is piecewise linear. For "
            "standard errors fit bootstrap samples of the rows; residuals are y - predict(X), and score is D^2"
        )


class Naming(TypedDict, total=False):
    """What functions take whose results name columns: ``names`` for those of an X that has none."""

    names: Sequence[str] | None


def require_mean(fitted, what):
    """Refuse ordered classes, which have a linear predictor and no mean."""
    if isinstance(fitted.loss, OrdinalLoss):
        raise ValueError(
            f"{what} needs a mean of each row, and this {fitted.name} has ordered classes: use its predict_proba"
        )


def _has_the_value(fitted, decrement):
    """Whether the objective is that of the fit, as far as the decrement leaves that open: of a loose tolerance."""
    if decrement <= _SURE_SHARE * fitted.objective.scale:
        return True
    return abs(fitted.here.value - fitted.estimator.convergence_.objective) <= _SAME_VALUE * fitted.objective.scale


def _what_to_pass(fitted):
    """What to do where the rows are not those of a fit, a sentence."""
    if "offset" not in fitted.fit_data:
        return "Pass the X, y and weights of the fit"
    if getattr(fitted.estimator, "has_offset_", True):
        return "Pass the X, y, weights and offset of the fit"
    return "It was fitted without an offset, and these rows have one: fit it with the offset too, or leave that out"


class Fitted:
    """An estimator's objective at its fitted parameters.

    Attributes are the ``chain`` of the estimator and the steps before it, the ``estimator``, the ``objective``, the
    parameters ``theta``, the `Evaluation` ``here`` at these, which remembers gradient and curvature, and
    ``total_weight``, times which the objective is a sum over the rows. ``fit_data`` is what
    else the fit was given for each row, an ``offset``; None is left out. ``names`` are what the columns that the
    estimator gets are called, by default as X or the steps before it say. Bad rows are a ValueError that names the
    argument.
    """

    is_stream = False  #: whether what a stream remembers stands for the rows

    def __init__(self, estimator, X, y, sample_weight=None, *, names=None, **fit_data):
        self.chain = Chain.of(estimator)
        self.estimator = self.chain.estimator
        # rows that come in parts have y with them
        if X is None or (y is None and not isinstance(X, Parts)):
            raise ValueError("X and y are needed: the rows that the estimator was fitted on")
        for name in fit_data.keys() - {"offset"}:
            raise TypeError(f"{name} is not known: beside X, y and sample_weight a fit may have had an offset")
        fit_data = {name: value for name, value in fit_data.items() if value is not None}
        for name in fit_data.keys() - signature(self.estimator.fitted_objective).parameters:
            raise TypeError(f"{name} is not taken by {self.name}: leave it out")
        self._names = names
        self._index, self._rows, self.fit_data = (X, y), (self.chain.transformed(X), y), fit_data
        self.objective, self.theta = self.with_weight(sample_weight)
        self.total_weight = self.objective.total_weight

    def with_weight(self, sample_weight):
        """The objective of the same rows with other weights, and the fitted parameters."""
        objective, theta = self.estimator.fitted_objective(*self._rows, sample_weight, **self.fit_data)
        _require_curvature(objective, self.name)
        self._name_columns(objective)
        return objective, theta

    def _name_columns(self, objective):
        """Give the columns of an objective the user's names, or else those that the steps before have for them."""
        if self._names is not None:
            names, n = (
                [self._names] if isinstance(self._names, str) else list(map(str, self._names)),
                objective.n_features,
            )
            if len(names) != n or len(set(names)) < n:
                raise ValueError(f"names must be {n} different ones, one for each column, got {names}")
            objective.feature_names = names
        elif objective.feature_names is None:
            objective.feature_names = self.chain.feature_names

    @property
    def theta(self):
        """The parameters, shape (n_parameters,)."""
        return self.here.theta

    @theta.setter
    def theta(self, theta):
        self.here = self.objective.at(theta)

    def rows_with(self, y):
        """X as the estimator gets it, and another target."""
        return self._rows[0], y

    def row_labels(self, n_rows):
        """What the rows that were passed are called, see `row_labels`; those of weight zero are among them."""
        return row_labels(*self._index, n_rows)

    @property
    def name(self):
        """The class of the estimator."""
        return type(self.estimator).__name__

    @property
    def y_name(self):
        """What y is called: the name of a series, or those of a frame's columns; None of an array."""
        y = self._index[1]
        if hasattr(y, "chunks"):
            # that of a dask array is a key of its graph
            return None
        columns = getattr(y, "columns", None)
        name = getattr(y, "name", None) if columns is None else listed(list(columns), ", ")
        return None if name is None or name == "" else str(name)

    @property
    def loss(self):
        """The pointwise loss."""
        return self.objective.loss

    @property
    def loss_of_predictions(self):
        """The loss with its own parameters held at the fitted ones."""
        return self.loss.at(self.theta[self.theta.size - self.loss.n_constants :])

    @cached_property
    def parameter_names(self):
        """What each entry of ``theta`` is called, a list of str."""
        return self.objective.parameter_names(self.theta.size)

    @cached_property
    def reported(self):
        """Names of what tables show, and the matrix that makes it of the parameters, None where it is these.

        Thresholds of ordered classes are an intercept and distances among the parameters.
        """
        found = self.loss.family.reported(self.objective.class_names)
        if found is None:
            return self.parameter_names, None
        names, matrix = found
        whole = np.eye(self.theta.size)
        whole[-len(names) :, -len(names) :] = matrix
        return self.parameter_names[: -len(names)] + names, whole

    @property
    def gradient(self):
        """The gradient of the objective, zero but for the tolerance of the fit."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self.here.gradient

    @property
    def prior(self):
        """What the objective has besides the loss: None, "normal" for an L2 penalty, or "jeffreys"."""
        unknown = [term.name for term in self.objective.terms if term.prior is None]
        if unknown:
            raise ValueError(f"{self.name} has the penalty {unknown[0]!r}, of which inspection knows no distribution")
        if self.objective.terms:
            return self.objective.terms[0].prior
        return "normal" if self.objective.l2.is_present else None

    @property
    def is_reweighted(self):
        """Whether class weights make a pseudo-likelihood of the likelihood."""
        return getattr(self.estimator, "class_weight", None) is not None

    @property
    def likelihood_refusal(self):
        """Why what needs a likelihood has none here, the end of a sentence; None where the loss is one's logarithm."""
        if not (self.loss.family.has_dispersion or self.loss.family.has_likelihood):
            return "needs a likelihood, which this loss does not have"
        if self.is_reweighted:
            return "needs a likelihood, and class_weight leaves only a pseudo-likelihood"
        return self.loss.family.refusal(*self.objective.rows.targets)

    @property
    def has_pairs(self):
        """Whether y has two columns, successes and failures, of one output."""
        return np.ndim(self._rows[1]) == 2 and self.loss.family.weights_are_trials

    def require_factor(self):
        """Refuse a Hessian of more columns than a factor may have, before any work."""
        size = self.objective.facts.factor_size
        if size > plan.MOST_FACTOR_SIZE:
            raise ValueError(
                f"this {self.name} needs a dense matrix of curvature of {size} columns; {plan.MOST_FACTOR_SIZE} are "
                "the most (its time grows with their cube). A dense X with fewer rows than columns needs only as many "
                "as it has rows, times outputs, if every coefficient is penalised; else take fewer columns"
            )

    def factor(self, curvature=None):
        """A `PointFactor` P of the whole Hessian, penalty included: P P' is its inverse where the data determine theta.

        ``curvature`` is "observed", "expected", or None for the kind that the solvers use. A ValueError where the
        Hessian is singular to working precision along a direction that the columns do determine, or has more than 3000
        columns.
        """
        self.require_factor()
        factor = self.here.whole_factor(curvature or self.objective.curvature)
        if factor.inner.is_floored:
            cause = " ".join(self.here.remarks()) or (
                "Some combination of parameters is not determined by these rows; look at inspection.flat_directions, "
                "or add a penalty"
            )
            raise ValueError(f"the Hessian of this {self.name} is singular to working precision. {cause}")
        return factor

    def conventional(self, factor):
        """A factor as a matrix R (n_parameters, r) of conventional parameters: R R' is the inverse of the Hessian.

        What the data do not determine has no part in it: the common shift of softmax outputs, dependent columns.
        """
        return np.stack([self.objective.canonical(column) for column in factor.dense().T], axis=1)

    def require_likelihood(self, what):
        """Refuse a loss without likelihood, and class weights, which leave only a pseudo-likelihood."""
        if self.likelihood_refusal is not None:
            raise ValueError(f"{what} {self.likelihood_refusal}")

    def require_sum_over_rows(self, what):
        """Refuse an objective that single rows cannot be taken out of."""
        if not self.objective.facts.is_sum_over_rows:
            raise ValueError(
                f"{what} is not for jeffreys=True: Jeffreys' prior is no sum over rows, nor a normal prior. Use "
                "coef_table or profile_intervals for this fit, or a finite C instead of the prior"
            )

    def require_optimum(self, what):
        """Refuse a fit that is no optimum, or other rows than it was fitted on."""
        verdict = self.estimator.convergence_
        if verdict.status == "settled":
            raise ValueError(
                f'{what} needs an optimum, and the fit is "settled": of a network with kinks '
                f"(activation={self.estimator.activation!r}) none can be proved. Use a smooth activation, such as "
                '"tanh", "softplus" or "gelu"'
            )
        if verdict.status != "optimal":
            raise ValueError(f'{what} needs a fit with the verdict "optimal". This one: {verdict.message}')
        _require_free(self, what)
        require_interior(self.objective, self.theta, what)
        size = self.theta.size
        # of a network the damped factor: along what is flat a gradient of rounding counts for nothing
        kind = "full" if plan.can_factor(self.objective, size) else plan.best_kind(self.objective, size)
        factor = self.here.factor(kind, self.objective.curvature)
        decrement = factor.newton(self.gradient)[0]
        share = max(_SLACK * verdict.tol**2, _LEAST_SHARE)
        if not (decrement <= share * self.objective.scale and _has_the_value(self, decrement)):
            raise ValueError(
                f"{what}: this {self.name} is not at the optimum for these rows: "
                f"{still_missing(decrement, self.objective.scale, True)}. {_what_to_pass(self)}"
            )

    def distance(self, factor, error):
        """How far the fit has left the farthest parameter from the optimum, in standard errors, by a Newton step."""
        step, counts = self.objective.canonical(factor.newton(self.gradient)[1]), error > 0
        return float(np.max(np.abs(step)[counts] / error[counts], initial=0.0))

    def polish(self, what, factor, error, near=NEAR):
        """Take ``theta`` to the optimum by Newton steps; returns the farthest move in standard errors, 0.0 if near.

        It is the first point from which the next step is at most ``near`` standard errors; where rounding does not let
        it be so small, the one with the smallest, of at most 0.01.
        """
        counts = error > 0
        theta, best, least = self.theta, self.theta, np.inf
        for _ in range(_MOST_STEPS):
            with np.errstate(over="ignore", invalid="ignore"):
                gradient = self.objective.value_and_gradient(theta)[1]
            step = self.objective.canonical(factor.newton(gradient)[1])
            size = np.max(np.abs(step)[counts] / error[counts], initial=0.0)
            if size < least:
                best, least = theta, size
            if size <= near:
                break
            theta = theta + step
        if least > NEAR:
            raise ValueError(
                f"{what}: the tolerance of this {self.name} leaves it too many standard errors from its optimum: fit "
                f"with a smaller tol than {self.estimator.convergence_.tol:g}"
            )
        moved = np.max(np.abs(best - self.theta)[counts] / error[counts], initial=0.0)
        self.theta = best
        return float(moved)
