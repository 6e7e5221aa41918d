"""Covariances of the parameters of a fitted linear model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sk_hessian._text import listed, suggestion
from sk_hessian.inspection._alone import involved
from sk_hessian.inspection._intervals import intervals_and_tests
from sk_hessian.inspection._likelihood import Likelihood, dispersion_of
from sk_hessian.inspection._profile import intervals_of
from sk_hessian.inspection._sandwich import Covariance, cr2, hc0, hc1, hc2, hc3, of_groups, of_rows, of_times
from sk_hessian.objectives import SingleRows

#: parameters are taken to the optimum until they are so many standard errors from it
_NEAR = 1e-4


class Curvature:
    """The Hessian at a fitted linear model, by its root, and the covariances that it gives.

    R R' of ``root`` R (n_parameters, r) is the inverse of the Hessian of the objective, which is a mean over the rows.
    ``kind`` is "observed", "expected", or None for the one that the solvers use; ``choice`` has ``lags`` and the
    ``dispersion``; rows of one of the ``groups``, at most two arrays of integers from 0 on of shape (n_rows,), may
    depend on each other.
    """

    def __init__(self, fitted, weights, kind, choice=None, groups=()):
        self.fitted, self.weights, self.kind, self.groups = fitted, weights, kind, groups
        self.lags: Any = None if choice is None else choice.lags
        self._dispersion: Any = None if choice is None else choice.dispersion
        self._what = "coef_table" if choice is None else choice.what
        self.objective, self.loss = fitted.objective, fitted.loss
        self.factor = fitted.factor(kind)
        self.root = fitted.conventional(self.factor)
        features = None if choice is None else choice.features
        #: which parameters a table is of: all, or those of some features, the intercepts and the loss's constants
        self.chosen = slice(None) if features is None else chosen_parameters(self.objective, features)
        #: the same as positions among all parameters
        self.positions = np.arange(len(self.root))[self.chosen]

    @property
    def knows_df(self):
        """Whether effective parameters are known."""
        return True

    def found(self, covariance):
        """The `Covariance` that is this function of a curvature."""
        return covariance(self)

    @property
    def may_follow_rows(self):
        """Whether one row alone may determine something; a penalty holds all, and without a factor it is not known."""
        return self.fitted.prior is None

    def distance(self, error):
        """See `Fitted.distance`, of standard errors of all parameters."""
        return self.fitted.distance(self.factor, error)

    @property
    def estimate(self):
        """The chosen parameters as a table shows them, conventional where the data do not determine them."""
        return self.shown(self.objective.canonical(self.fitted.theta))

    def shown(self, values):
        """What a table shows of all parameters, (n_parameters, ...), see `Fitted.reported`."""
        matrix = self.fitted.reported[1]
        return (values if matrix is None else matrix @ values)[self.chosen]

    @cached_property
    def effective_df(self):
        """trace((H + P)^-1 H), shape (1,); of least squares for each target, shape (n_targets,)."""
        # the trace of I - (H + P)^-1 P over what the data and the penalty together determine
        held, k = self.objective.l2.trace_with(self.root), self.loss.n_outputs
        if self.loss.quadratic:
            return self.factor.outer.columns.n_columns - held
        identified = self.factor.outer.columns.n_columns * (k - self.loss.shift_invariant) + self.loss.n_constants
        return np.array([identified - held.sum()])

    @cached_property
    def likelihood(self):
        """The likelihood's figures."""
        return Likelihood(self.fitted, self.weights, self.effective_df, self._dispersion, self._what)

    def per_parameter(self, values):
        """One value, one for each target, or one for each chosen parameter, as the last of these."""
        return values if len(values) == len(self.positions) else self._of_all(values)[self.chosen]

    def _of_all(self, values):
        return np.resize(values, len(self.root))

    def model_based(self):
        """The inverse Hessian times the dispersion."""
        return Covariance(None, self._scale, convention=self._dispersion_text)

    def posterior(self):
        """The same, and the prior itself in directions of which the rows tell nothing."""
        unit = np.sqrt(self._of_all(self._scale))
        return Covariance(None, self._scale, unit[:, None] * self._unseen() * unit)

    def sandwich(self):
        """The inverse Hessian on either side of the second moment of the scores, of rows or of groups of rows."""
        return of_groups(self) if self.groups else of_rows(self)

    @cached_property
    def _scale(self):
        """The dispersion over the total weight, of each target."""
        return self.likelihood.dispersion / self.weights.total

    @property
    def _dispersion_text(self):
        """How the dispersion was found, None for the family's own way."""
        if self._dispersion is None:
            return None
        ways = {"pearson": "Pearson's chi-square over n - k", "deviance": "the deviance over n - k"}
        text = f"dispersion: {ways.get(self._dispersion, 'given')}"
        if self.likelihood.estimates_dispersion and hasattr(self.fitted.estimator, "classes_"):
            text += " (labels of single rows do not tell it)"
        return f"{text}; a quasi-likelihood" if self.likelihood.is_quasi else text

    def of_parameters(self, covariance):
        """A `Covariance` as a matrix (n_parameters, n_parameters) of the chosen parameters."""
        root = self.shown(np.sqrt(self._of_all(covariance.scale))[:, None] * self.root)
        found = root @ root.T if covariance.moment is None else root @ covariance.moment @ root.T
        if covariance.untold is not None:
            nothing = involved(root, covariance.untold)
            found[nothing] = found[:, nothing] = np.nan
        return found if covariance.beside is None else found + self.shown(self.shown(covariance.beside).T)

    def variances(self, covariance):
        """Those of all parameters (n_parameters,), without the matrix."""
        found = self._of_all(covariance.scale) * _squared(self.root, covariance.moment)
        return found if covariance.beside is None else found + np.diag(covariance.beside)

    def of_predictions(self, covariance, X, combined):
        """The variances (n, m) of combinations of the linear predictors of other rows X (n, p).

        By how they move along the columns of the factor, which are centred: in the user's units the variances of slopes
        and intercept would cancel. ``combined(part)`` are the combinations of some rows, (b, m, n_outputs). What is
        ``beside`` a covariance is not among it.
        """

        def variance(along, part):
            return _squared(combined(part) @ along, covariance.moment)

        return self._along(covariance, X, variance)

    def of_a_sum(self, covariance, X, combined):
        """The variances (m,) of the sums over all rows of their combinations; otherwise as `of_predictions`."""

        def summed(along, part):
            return np.einsum("nmk,nkr->mr", combined(part), along)[None]

        return _squared(self._along(covariance, X, summed).sum(axis=0), covariance.moment)

    def _along(self, covariance, X, function):
        """The arrays ``function(along, part)`` of other rows, whose predictors move ``along`` unit errors."""
        k = self.loss.n_outputs
        unit = np.sqrt(np.resize(covariance.scale, k))[:, None]
        return self.single_rows.of_others(X, lambda along, part: function(along[:, :k] * unit, part))

    @property
    def single_rows(self):
        """The rows at the fit, with the second derivatives of this curvature."""
        return SingleRows(self.fitted.here, self.factor, self.kind)

    def _unseen(self):
        """The inverse of the penalty along penalised directions of the coefficients in which the rows do not differ.

        The root leaves them out, with what neither rows nor penalty determine. (`laplace` takes `identified`
        coordinates instead, which have them all, and which do not have the loss's own parameters.)
        """
        objective, columns, k = self.objective, self.factor.outer.columns, self.loss.n_outputs
        covariance = np.zeros((len(self.root),) * 2)
        if columns.basis is None:
            return covariance
        for output, penalty in enumerate(objective.l2.diagonal.T):
            unit = 1 / np.sqrt(np.where(penalty > 0, penalty, np.inf))
            free = unit[:, None] * _unseen_projection(columns, penalty) * unit
            if objective.fit_intercept:
                free = np.vstack([free, -columns.shift @ free])
                free = np.column_stack([free, -free @ columns.shift])
            mine = slice(output, objective.model.n_weights, k)
            covariance[mine, mine] = free
        for _ in range(2 * self.loss.shift_invariant):
            covariance = np.stack([objective.canonical(row) for row in covariance], axis=1)
        return covariance


def curvature_at_optimum(what, fitted, weights, kind):
    """The `Curvature` of a fit, taken to its optimum so far that no test would see the difference."""
    curvature = Curvature(fitted, weights, kind)
    error = np.linalg.norm(curvature.root, axis=1) * np.sqrt(dispersion_of(what, curvature) / weights.total)
    return Curvature(fitted, weights, kind) if fitted.polish(what, curvature.factor, error, _NEAR) else curvature


def chosen_parameters(objective, features):
    """The parameters of some features, by name or position, then the intercepts and constants; positions."""
    given, names = np.atleast_1d(np.asarray(features)), [objective.name(j) for j in range(objective.n_features)]
    if given.dtype.kind in "OUT":
        unknown = [str(name) for name in given if str(name) not in names]
        if unknown:
            raise ValueError(f"features: there is no {listed(unknown, ', ')}.{suggestion(unknown[0], names)}")
        given = np.array([names.index(str(name)) for name in given], dtype=int)
    p, k = objective.n_features, objective.loss.n_outputs
    is_integer = given.dtype.kind in "iu" and given.ndim == 1 and given.size > 0
    if not is_integer or given.min() < 0 or given.max() >= p or len(set(given.tolist())) < given.size:
        raise ValueError(
            f"features must be names of columns, or different positions from 0 to {p - 1}, got {features!r}"
        )
    of_features = (given[:, None] * k + np.arange(k)).ravel()
    return np.concatenate([of_features, np.arange(p * k, objective.n_parameters)])


def _squared(directions, moment):
    """The product d M d' of each direction d, the last axis; None for M is the identity."""
    return np.einsum("...r,...r->...", directions if moment is None else directions @ moment, directions)


def _unseen_projection(columns, penalty):
    """Onto coefficients, times the roots of their penalties, that change no prediction of these rows."""
    constant = np.isinf(columns.scale)
    if columns.metric is None or columns.n_columns + constant.sum() == len(columns.basis):
        return np.diag(constant.astype(float))
    seen = np.sqrt(columns.metric)[:, None] * np.asarray(columns.basis)
    seen = (seen / np.sqrt(columns.squares))[: len(penalty)]
    return np.eye(len(penalty)) - seen @ seen.T


def wald(curvature, covariance, df, level):
    """Tests and symmetric intervals, columns of `CoefTable`, by Student's t with ``df`` (1,) or (n_targets,)."""
    df, estimate, error = curvature.per_parameter(df), curvature.estimate, np.sqrt(np.diag(covariance))
    columns = intervals_and_tests(estimate, error, df, level)
    if curvature.loss.even_constants:
        # zero is the edge of what these may be: a normal approximation tells nothing of it
        edge, lower = slice(len(estimate) - curvature.loss.n_constants, None), columns["lower"]
        columns["statistic"][edge] = columns["p_value"][edge] = np.nan
        lower[edge] = np.maximum(lower[edge], 0.0)
    return columns


def credible(curvature, covariance, df, level):
    """The intervals of a normal posterior, which tests nothing: those columns are nan; otherwise as `wald`."""
    nothing = np.full(len(covariance), np.nan)
    return wald(curvature, covariance, df, level) | {"statistic": nothing, "p_value": nothing}


def profile(curvature, covariance, df, level):
    """Tests and intervals by the profile of the likelihood, which need not be symmetric; otherwise as `wald`."""
    found = intervals_of(curvature.fitted, curvature.factor, level)
    return {name: getattr(found, name) for name in ("statistic", "p_value", "lower", "upper")}


@dataclass(frozen=True)
class Kind:
    """A covariance that a table may have, and the intervals that go with it.

    ``curvature`` is as of `Curvature`, ``covariance`` a function of one; ``refuse(fitted)`` says why there is none, or
    None; ``target`` what the intervals are about, by the prior; ``intervals`` is a function as `wald`. ``by_t`` says
    whether they are by Student's t where the dispersion is estimated.
    """

    curvature: str | None
    covariance: Callable
    refuse: Callable
    by_t: bool
    target: dict
    intervals: Callable = wald


def _refuse_without_likelihood(fitted):
    if fitted.likelihood_refusal is None:
        return None
    return fitted.likelihood_refusal + ("" if fitted.prior == "jeffreys" else ": use cov='sandwich'")


def _refuse_penalty(fitted):
    if fitted.prior == "normal":
        return (
            "is for maximum likelihood: under a penalty the inverse information is not the variance of the estimate, "
            "which is biased besides. Use cov='sandwich' (about the penalised population parameters) or 'laplace' "
            "(Bayesian), or fit without a penalty"
        )
    return _refuse_without_likelihood(fitted)


def _refuse_expected(fitted):
    reason = _refuse_penalty(fitted)
    if reason is None and fitted.loss.n_constants:
        return "has no closed form for this loss's own parameters: use cov='observed'"
    return reason


def _refuse_observed(fitted):
    if fitted.prior == "jeffreys":
        return (
            "is not the variance of these estimates: under Jeffreys' prior that is the inverse of Fisher's information "
            "to first order. Use cov='profile', or 'expected' for Wald's symmetric intervals"
        )
    return _refuse_penalty(fitted)


def _refuse_sandwich(fitted):
    if fitted.prior == "jeffreys":
        return "needs scores of single rows, and Jeffreys' prior is no sum over rows: use cov='profile'"
    return None


def _refuse_fisher(fitted):
    """Of HC0, which goes by Fisher's information."""
    reason = _refuse_sandwich(fitted)
    if reason is None and fitted.loss.n_constants:
        return (
            "goes by Fisher's information, which has no closed form for this loss's own parameters: use cov='sandwich'"
        )
    return reason


def _refuse_correction(fitted):
    """Of the corrections of HC0 for small samples."""
    if fitted.prior == "normal":
        return (
            "is for fits without a penalty: it corrects for the parameters that a fit has free, and a penalty holds "
            "them. Use cov='HC0' or 'sandwich' (about the penalised population parameters), or fit without a penalty"
        )
    return _refuse_fisher(fitted)


def _refuse_laplace(fitted):
    if fitted.prior == "jeffreys":
        return "needs a normal prior, and Jeffreys' is none: use cov='profile'"
    if fitted.prior is None:
        return "needs a penalty, which is its prior: with a flat prior it is the matrix of cov='observed'; use that"
    return _refuse_without_likelihood(fitted)


def _refuse_profile(fitted):
    reason = _refuse_penalty(fitted)
    if reason is None and (fitted.loss.family.has_dispersion or fitted.loss.n_outputs > 1):
        return "is for one linear predictor and a likelihood without a dispersion: use cov='expected'"
    if reason is None and fitted.reported[1] is not None:
        return (
            "is not for tables of thresholds, which are combinations of the parameters that a profile holds: use "
            "cov='observed', or profile_intervals for the coefficients"
        )
    return reason


_MODEL_TARGET = {
    None: "the parameters of the model, which is taken to be true",
    "jeffreys": "the parameters of the model, which is taken to be true, estimated with less bias by Jeffreys' prior",
}

_SANDWICH_TARGET = {
    None: "the parameters that minimise the expected loss, whether the model is true or not",
    "normal": "the penalised population parameters, which minimise the expected loss plus the same penalty "
    "(not the unpenalised ones: the shrinkage is part of them)",
}

_LAPLACE_TARGET = {
    "normal": "Bayesian: the posterior where the penalty is a normal prior of precision penalty x total weight / "
    "dispersion (no promise for fixed parameters)",
}

#: cov -> what it is
KINDS = {
    "expected": Kind("expected", Curvature.model_based, _refuse_expected, True, _MODEL_TARGET),
    "observed": Kind("observed", Curvature.model_based, _refuse_observed, True, _MODEL_TARGET),
    "sandwich": Kind("observed", Curvature.sandwich, _refuse_sandwich, False, _SANDWICH_TARGET),
    "HC0": Kind("expected", hc0, _refuse_fisher, False, _SANDWICH_TARGET),
    "HC1": Kind("expected", hc1, _refuse_correction, True, _SANDWICH_TARGET),
    "HC2": Kind("expected", hc2, _refuse_correction, True, _SANDWICH_TARGET),
    "HC3": Kind("expected", hc3, _refuse_correction, True, _SANDWICH_TARGET),
    "CR2": Kind("expected", cr2, _refuse_correction, True, _SANDWICH_TARGET),
    "HAC": Kind("observed", of_times, _refuse_sandwich, True, _SANDWICH_TARGET),
    "laplace": Kind("observed", Curvature.posterior, _refuse_laplace, False, _LAPLACE_TARGET, credible),
    "profile": Kind(None, Curvature.model_based, _refuse_profile, False, _MODEL_TARGET, profile),
}
