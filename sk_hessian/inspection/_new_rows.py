"""Rows to predict: their linear predictors, how sure these are, and what follows for means and observations."""

from functools import cached_property

import numpy as np
from scipy.special import expit, logsumexp, softmax
from scipy.stats import t as student

from sk_hessian.inspection._quantiles import is_normal, quantiles


class NewRows:
    """Rows X_new at the fit of an `Uncertainty`, without the steps of a pipeline before it.

    ``posterior`` is a `LaplacePosterior` whose covariance takes the place of the other. Arrays have the shape
    (n, n_outputs).
    """

    def __init__(self, found, X_new, offset_new, posterior=None):
        self._found, self._fitted, self.loss = found, found.curvature.fitted, found.curvature.fitted.loss_of_predictions
        estimator = self._fitted.estimator
        if offset_new is None and getattr(estimator, "has_offset_", False):
            raise ValueError(
                f"this {self._fitted.name} was fitted with an offset: pass that of X_new as offset_new, or zeros for "
                "one unit of exposure"
            )
        try:
            X = self._fitted.chain.transformed(X_new)
            raw, self.checked = estimator._raw_prediction(X, offset_new), estimator._checked_rows(X)
        except ValueError as error:
            raise ValueError(f"X_new, offset_new: {error}") from error
        self._raw = raw.reshape(len(raw), -1).astype(float)
        #: what the intervals are made of: the linear predictors, or the log odds of each class
        self.predictor = _log_odds(self._raw) if self._is_softmax else self._raw
        self._posterior = posterior

    @property
    def _is_softmax(self):
        return self.loss.shift_invariant

    @property
    def outputs(self):
        """Classes or targets, None where there is one prediction for each row."""
        if self._raw.shape[1] == 1:
            return None
        names = self._fitted.objective.class_names
        return list(range(self._raw.shape[1])) if names is None else list(names)

    @cached_property
    def variance(self):
        """That of the predictor."""
        curvature, covariance = self._found.curvature, self._found.covariance
        if self._posterior is None:
            return curvature.of_predictions(covariance, self.checked, self._combined)
        # the dispersion of the table, which knows what the weights mean
        found, combined = self._posterior._raw_covariance(self.checked, np.sqrt(covariance.scale)), self._combined
        return np.einsum("nmk,nkl,nml->nm", combined(slice(None)), found, combined(slice(None)))

    def _combined(self, part):
        """The derivatives of the predictors of some rows in the linear predictors, (n, n_outputs, n_outputs)."""
        raw = self._raw[part]
        if not self._is_softmax:
            return np.broadcast_to(np.eye(raw.shape[1]), (len(raw), raw.shape[1], raw.shape[1]))
        others = np.where(np.eye(raw.shape[1], dtype=bool), -np.inf, raw[:, None, :])
        return np.eye(raw.shape[1]) - softmax(others, axis=2)

    def _mean(self, predictor):
        if self._is_softmax:
            return expit(predictor)
        with np.errstate(over="ignore"):
            return self.loss.inverse_link(predictor)

    @cached_property
    def mean(self):
        """The predictions."""
        return self._mean(self.predictor)

    @cached_property
    def _slope(self):
        """The derivative of each mean in its predictor."""
        if self._is_softmax:
            return expit(self.predictor) * expit(-self.predictor)
        # of a mean that overflows there is none
        with np.errstate(over="ignore", invalid="ignore"):
            return np.einsum("nkk->nk", self.loss.family.mean_slope(self._raw))

    def slopes(self, part):
        """The derivatives of the means of some rows in the linear predictors, (n, n_outputs, n_outputs)."""
        return self._slope[part, :, None] * self._combined(part)

    @property
    def std_error(self):
        """Standard errors of the means, by the delta method."""
        return np.abs(self._slope) * self._deviation

    @property
    def _deviation(self):
        return np.sqrt(np.maximum(self.variance, 0.0))

    def limits(self, level):
        """Ends of the intervals of the means."""
        reach = student.isf((1 - level) / 2, self._found.df) * self._deviation
        # a link may fall
        ends = self._mean(self.predictor - reach), self._mean(self.predictor + reach)
        return np.minimum(*ends), np.maximum(*ends)

    # -- a new observation ----------------------------------------------------------------------------------------

    @property
    def df_of_noise(self):
        """Degrees of freedom of what the intervals of normal observations are in units of; inf for other families."""
        likelihood = self._found.curvature.likelihood
        is_estimated = is_normal(self.loss) and likelihood.estimates_dispersion
        return likelihood.df_resid if is_estimated else np.array([np.inf])

    def quantiles(self, level):
        """Ends of the intervals of new observations."""
        dispersion, tail = self._found.curvature.likelihood.dispersion, (1 - level) / 2
        if is_normal(self.loss):
            reach = student.isf(tail, self.df_of_noise) * np.sqrt(self.std_error**2 + dispersion)
            return self.mean - reach, self.mean + reach
        ends = (tail, 1 - tail)
        return [quantiles(self.loss, self.predictor, self._deviation, dispersion, end)[:, None] for end in ends]


def _log_odds(raw):
    """The log odds of each class from logits (n, k)."""
    return raw - np.stack([logsumexp(np.delete(raw, j, axis=1), axis=1) for j in range(raw.shape[1])], axis=1)
