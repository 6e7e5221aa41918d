"""Covariances of the parameters of a fitted linear model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sk_hessian.inspection._likelihood import Likelihood


class Curvature:
    """The Hessian at a fitted linear model, by its root, and the covariances that it gives.

    Parameters
    ----------
    fitted : Fitted
    weights : RowWeights
    kind : {"observed", "expected"}
    groups : ndarray of shape (n_rows,) of int, optional
        Rows of one group may depend on each other.

    Attributes
    ----------
    root : ndarray of shape (n_parameters, r)
        R with R R' the inverse of the Hessian of the objective, which is a mean over the rows.
    """

    def __init__(self, fitted, weights, kind, groups=None):
        self.fitted, self.weights, self.groups = fitted, weights, groups
        self.objective, self.loss = fitted.objective, fitted.loss
        self.factor, self.root = fitted.factor(kind), fitted.root(kind)

    @cached_property
    def effective_df(self):
        """trace((H + P)^-1 H), shape (1,); of least squares for each target, shape (n_targets,)."""
        penalty, k = self.objective.penalty, self.loss.n_outputs
        # the trace of I - (H + P)^-1 P over what the data and the penalty together determine
        variance = (self.root[: penalty.size] ** 2).sum(axis=1).reshape(penalty.shape)
        held = (penalty * variance).sum(axis=0)
        if self.loss.quadratic:
            return self.factor.columns.n_columns - held
        identified = self.factor.columns.n_columns * (k - self.loss.shift_invariant) + self.loss.n_constants
        return np.array([identified - held.sum()])

    @cached_property
    def likelihood(self):
        """The likelihood's figures."""
        return Likelihood(self.fitted, self.weights, self.effective_df)

    def per_parameter(self, values):
        """One value, or one for each target, as one for each parameter."""
        return np.resize(values, len(self.root))

    def model_based(self):
        """The inverse Hessian times the dispersion."""
        root = self._unit[:, None] * self.root
        return root @ root.T

    def posterior(self):
        """The same, and the prior itself in directions of which the rows tell nothing."""
        return self.model_based() + self._unit[:, None] * self._unseen() * self._unit

    @cached_property
    def _unit(self):
        """The root of the dispersion over the total weight, for each parameter."""
        return np.sqrt(self.per_parameter(self.likelihood.dispersion) / self.weights.likelihood.sum())

    def sandwich(self):
        """The inverse Hessian on either side of the second moment of the scores, of rows or of groups of rows."""
        fitted, total = self.fitted, self.weights.score.sum()
        if self.groups is None:
            moment = self.objective.score_moment(fitted.theta, self.factor, self.weights.moment)
            return self.root @ (moment / total**2) @ self.root.T
        sums = self.objective.score_sums(fitted.theta, self.factor, self.weights.score, self.groups)
        half = (sums / total) @ self.root.T * np.sqrt(self.per_parameter(self._small_sample(len(sums))))
        return half.T @ half

    def _small_sample(self, n_groups):
        """What the residuals of few groups are multiplied with, as they are fitted by the parameters."""
        n, df = self.weights.n_samples, self.effective_df
        if n <= df.max():
            raise ValueError(f"cov_groups: {n:.10g} rows are too few for {df.max():.10g} effective parameters")
        return n_groups / (n_groups - 1) * (n - 1) / (n - df)

    def _unseen(self):
        """The inverse of the penalty along penalised directions of the coefficients in which the rows do not differ."""
        objective, columns, k = self.objective, self.factor.columns, self.loss.n_outputs
        covariance = np.zeros((len(self.root),) * 2)
        if columns.basis is None:
            return covariance
        for output, penalty in enumerate(objective.penalty.T):
            unit = 1 / np.sqrt(np.where(penalty > 0, penalty, np.inf))
            free = unit[:, None] * _unseen_projection(columns, penalty) * unit
            if objective.fit_intercept:
                free = np.vstack([free, -columns.shift @ free])
                free = np.column_stack([free, -free @ columns.shift])
            mine = slice(output, objective.n_weights, k)
            covariance[mine, mine] = free
        for _ in range(2 * self.loss.shift_invariant):
            covariance = np.stack([objective.canonical(row) for row in covariance], axis=1)
        return covariance


def _unseen_projection(columns, penalty):
    """Onto coefficients, times the roots of their penalties, that change no prediction of these rows."""
    constant = np.isinf(columns.scale)
    if columns.metric is None or columns.n_columns + constant.sum() == len(columns.basis):
        return np.diag(constant.astype(float))
    seen = np.sqrt(columns.metric)[:, None] * columns.basis
    seen = (seen / np.linalg.norm(seen, axis=0))[: len(penalty)]
    return np.eye(len(penalty)) - seen @ seen.T


@dataclass(frozen=True)
class Kind:
    """A covariance that a table may have.

    Attributes
    ----------
    curvature : {"observed", "expected"}
    covariance : callable
        Of a `Curvature`.
    refuse : callable
        Why there is none for a loss, whether ``penalised`` and whether ``reweighted`` by class weights; or None.
    estimates_dispersion : bool
        Whether an estimated dispersion makes the distribution Student's.
    target : dict of bool to str
        What the intervals are about, without and with a penalty.
    """

    curvature: str
    covariance: Callable
    refuse: Callable
    estimates_dispersion: bool
    target: dict


def _refuse_without_likelihood(loss, reweighted):
    if not (loss.has_dispersion or loss.has_likelihood):
        return "needs a likelihood, which this loss does not have: use cov='sandwich'"
    if reweighted:
        return "needs a likelihood, and class_weight leaves only a pseudo-likelihood: use cov='sandwich'"
    return None


def _refuse_expected(loss, penalised, reweighted):
    reason = _refuse_observed(loss, penalised, reweighted)
    if reason is None and loss.n_constants:
        return "has no closed form for this loss's own parameters: use cov='observed'"
    return reason


def _refuse_observed(loss, penalised, reweighted):
    if penalised:
        return (
            "is for maximum likelihood: under a penalty the inverse information is not the variance of the estimate, "
            "which is biased besides. Use cov='sandwich' (about the penalised population parameters) or 'laplace' "
            "(Bayesian), or fit without a penalty"
        )
    return _refuse_without_likelihood(loss, reweighted)


def _refuse_laplace(loss, penalised, reweighted):
    if not penalised:
        return "needs a penalty, which is its prior: with a flat prior it is the matrix of cov='observed'; use that"
    return _refuse_without_likelihood(loss, reweighted)


def _refuse_nothing(loss, penalised, reweighted):
    return None


_MODEL_TARGET = {False: "the parameters of the model, which is taken to be true"}

_SANDWICH_TARGET = {
    False: "the parameters that minimise the expected loss, be the model true or not",
    True: "the penalised population parameters, which minimise the expected loss plus the same penalty "
    "(not the unpenalised ones: the shrinkage is part of them)",
}

_LAPLACE_TARGET = {
    True: "Bayesian: the posterior where the penalty is a normal prior of precision penalty x total weight / "
    "dispersion (no promise for fixed parameters)",
}

#: cov -> what it is
KINDS = {
    "expected": Kind("expected", Curvature.model_based, _refuse_expected, True, _MODEL_TARGET),
    "observed": Kind("observed", Curvature.model_based, _refuse_observed, True, _MODEL_TARGET),
    "sandwich": Kind("observed", Curvature.sandwich, _refuse_nothing, False, _SANDWICH_TARGET),
    "laplace": Kind("observed", Curvature.posterior, _refuse_laplace, False, _LAPLACE_TARGET),
}
