"""How far a fitted linear model is from its rows: dispersion, likelihood, deviance, effective parameters."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sk_hessian._selection import pearson_dispersion


@dataclass(frozen=True)
class RowWeights:
    """What the weights of the rows mean, arrays of shape (n,).

    ``counts`` is how many rows each one stands for, ``precision`` what its dispersion is divided by, such as a number
    of trials, ``multiplier`` what else its loss is multiplied with, by ``class_weight``; ``position`` is where it is
    among all rows that were passed, ``n_passed`` of them, those of weight zero included.
    """

    counts: np.ndarray
    precision: np.ndarray
    multiplier: np.ndarray
    position: np.ndarray
    n_passed: int

    @classmethod
    def of(cls, fitted, sample_weight, meaning):
        """Those of a `Fitted`, which has left out rows of weight zero; ``meaning`` is "frequency" or "analytic".

        Weights of proportions are numbers of trials, if these are not in y: a row is one observation then.
        """
        objective = fitted.objective
        ones = np.ones(objective.n_rows)
        given = ones if sample_weight is None else np.asarray(sample_weight, dtype=float)
        position = np.flatnonzero(given > 0) if given.ndim else np.arange(len(ones))
        n_passed = given.size if given.ndim else len(ones)
        given = given[position] if given.ndim else given * ones
        if fitted.loss.family.weights_are_trials:
            counts = given if fitted.has_pairs and meaning == "frequency" else ones
            return cls(counts, objective.rows.weight / counts, ones, position, n_passed)
        counts, precision = (given, ones) if meaning == "frequency" else (ones, given)
        return cls(counts, precision, objective.rows.weight / given, position, n_passed)

    @property
    def n_samples(self):
        """How many rows there are."""
        return float(self.counts.sum())

    @property
    def likelihood(self):
        """What the log-likelihoods of the rows, but for their constants, are multiplied with in their sum."""
        return self.counts * self.precision

    @property
    def score(self):
        """What the gradients of the rows are multiplied with in their sum."""
        return self.likelihood * self.multiplier

    @property
    def moment(self):
        """What the squares of the gradients are multiplied with in their sum."""
        return self.counts * (self.precision * self.multiplier) ** 2

    def dispersion(self, what, objective, chi_square, effective_df):
        """See `pearson_dispersion`."""
        n, least = self.n_samples, 2 * objective.resolution * self.likelihood.sum()
        hint = " (frequencies count as rows; weights='analytic' would not)" if n < len(self.counts) else ""
        return pearson_dispersion(what, chi_square, n, effective_df, least, hint)


def dispersion_of(what, curvature):
    """The dispersion of one target, a float; 1 where the family has none. ``what`` is what an error begins with."""
    fitted, weights, family = curvature.fitted, curvature.weights, curvature.loss.family
    if not family.has_dispersion:
        return 1.0
    chi_square = weights.likelihood @ family.pearson(
        fitted.objective.rows.y, fitted.objective.raw_predictions(fitted.theta)
    )
    return float(weights.dispersion(what, fitted.objective, chi_square, curvature.effective_df)[0])


class Likelihood:
    """The likelihood's figures of a `Fitted` linear model, with effective parameters (1,) or (n_targets,).

    ``given`` is how the dispersion is found: "pearson", "deviance", a number, or None for the family's own way;
    ``what`` is the function that asks, for its errors.
    """

    def __init__(self, fitted, weights, effective_df, given=None, what="coef_table"):
        self._fitted, self._weights, self.effective_df = fitted, weights, effective_df
        self._given, self._what = given, what
        self._y = fitted.objective.rows.y

    @cached_property
    def _raw(self):
        return self._fitted.objective.raw_predictions(self._fitted.theta)

    @cached_property
    def _pearson(self):
        """Pearson's chi-square, of each target."""
        return self._weights.likelihood @ self._fitted.loss.family.pearson(self._y, self._raw)

    @property
    def df_resid(self):
        """Rows less effective parameters, of each target."""
        return self._weights.n_samples - self.effective_df

    @property
    def is_quasi(self):
        """Whether a dispersion takes the place of one, so that no distribution has this likelihood."""
        return self._given is not None and not self._fitted.loss.family.has_dispersion

    @property
    def estimates_dispersion(self):
        """Whether the dispersion is estimated from the rows."""
        if self._given is None:
            return self._fitted.loss.family.has_dispersion
        return isinstance(self._given, str)

    @cached_property
    def dispersion(self):
        """The dispersion of each target: by default Pearson's, and 1 where the family has none."""
        if not self.estimates_dispersion:
            return np.full(len(self.effective_df), 1.0 if self._given is None else float(self._given))
        # squared residuals are deviances too, and those of each target
        by_deviance = self._given == "deviance" and not self._fitted.loss.quadratic
        squares = np.array([self.deviance]) if by_deviance else self._pearson
        return self._weights.dispersion(self._what, self._fitted.objective, squares, self.effective_df)

    @cached_property
    def log_likelihood(self):
        """Logarithm of the likelihood with its constants, or None where the family has no closed form."""
        loss = self._fitted.loss
        if self.is_quasi or not loss.family.has_likelihood:
            return None
        is_maximal = loss.quadratic and self.estimates_dispersion
        dispersion = self._pearson / self._weights.n_samples if is_maximal else self.dispersion
        rows = loss.family.log_likelihood(self._y, self._raw, dispersion / self._weights.precision[:, None])
        return float(self._weights.counts @ rows)

    @cached_property
    def deviance(self):
        """Twice the loss above that of the saturated model with the same theta or scale, summed over the rows."""
        above = self._fitted.loss.value(self._y, self._raw) - self._fitted.loss_of_predictions.saturated(self._y)
        return float(2 * self._weights.likelihood @ above)

    def criterion(self, price):
        """``-2 log_likelihood`` and the ``price`` of each effective parameter, or None."""
        if self.log_likelihood is None:
            return None
        return float(-2 * self.log_likelihood + price * self.effective_df.sum())
