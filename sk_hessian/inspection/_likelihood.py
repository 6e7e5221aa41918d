"""How far a fitted linear model is from its rows: dispersion, likelihood, deviance, effective parameters."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sk_hessian._selection import pearson_dispersion


class Weights:
    """What weights of rows sum to: ``n_samples`` rows, ``total`` of the precisions, ``score_total`` of all factors."""

    n_samples: Any
    total: Any
    score_total: Any

    def within(self, part, y, weight):
        """The `RowWeights` of a block of the objective's rows: which they are, their targets and weights there."""
        raise NotImplementedError

    def dispersion(self, what, objective, chi_square, effective_df):
        """See `pearson_dispersion`."""
        n, least = self.n_samples, 2 * objective.resolution * self.total
        hint = " (frequencies count as rows; weights='analytic' would not)" if n < objective.n_rows else ""
        return pearson_dispersion(what, chi_square, n, effective_df, least, hint)


@dataclass(frozen=True)
class RowWeights(Weights):
    """What the weights of the rows mean, arrays of shape (n,).

    ``counts`` is how many rows each one stands for, ``precision`` what its dispersion is divided by, such as a number
    of trials, ``multiplier`` what else its loss is multiplied with, by ``class_weight``; ``position`` is where it is
    among all rows that were passed, ``n_passed`` of them, those of weight zero included.
    """

    counts: np.ndarray
    precision: np.ndarray
    multiplier: np.ndarray
    position: Any
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

    def within(self, part, y, weight):
        """See `Weights.within`."""
        return RowWeights(self.counts[part], self.precision[part], self.multiplier[part], part, self.n_passed)

    def all_counts(self, rows):
        """``counts`` of all rows."""
        return self.counts

    @property
    def n_samples(self):
        """How many rows there are."""
        return float(self.counts.sum())

    @property
    def total(self):
        """The sum of `likelihood`."""
        return float(self.likelihood.sum())

    @property
    def score_total(self):
        """The sum of `score`."""
        return float(self.score.sum())

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


@dataclass(frozen=True)
class PartWeights(Weights):
    """The same for rows in parts, whose weights come with them; nothing of the length of the data.

    ``multiplier`` is a function of some targets: what ``class_weight`` multiplies their losses with.
    """

    n_samples: float
    total: float
    score_total: float
    multiplier: Callable
    meaning: str
    n_passed: int

    @property
    def position(self):
        """See `RowWeights`: rows of weight zero are not known here."""
        return slice(None)

    @classmethod
    def of(cls, fitted, meaning):
        """As of `RowWeights`."""
        rows = fitted.objective.rows
        meaning = "analytic" if fitted.loss.family.weights_are_trials else meaning
        y, weight = rows.targets
        total = float((weight / rows.multiplier(y)).sum()) if rows.scan.keeps_targets else float(weight.sum())
        n = total if meaning == "frequency" else float(rows.n_rows)
        return cls(n, total, float(rows.total_weight), rows.multiplier, meaning, rows.n_rows)

    def within(self, part, y, weight):
        """See `Weights.within`."""
        multiplier, ones = self.multiplier(y), np.ones(len(weight))
        given = weight / multiplier
        counts, precision = (given, ones) if self.meaning == "frequency" else (ones, given)
        return RowWeights(counts, precision, multiplier, part, self.n_passed)

    def all_counts(self, rows):
        """See `RowWeights.all_counts`; one round, where they are not all one."""
        if self.n_samples == self.n_passed:
            return np.ones(self.n_passed)

        def of_part(part, start):
            return {start: self.within(slice(None), part.y, part.weight).counts}

        found = rows.over_parts(of_part, operator.or_)
        return np.concatenate([found[start] for start in sorted(found)])


def weights_of(fitted, sample_weight, meaning):
    """The `Weights` of the rows of a `Fitted`, wherever these are; parts have theirs with them."""
    if fitted.objective.rows.in_memory:
        return RowWeights.of(fitted, sample_weight, meaning)
    return PartWeights.of(fitted, meaning)


def summed(fitted, weights, function, width=0):
    """The sums over the rows of ``function(y, raw, weights)``, a tuple of arrays; one round.

    ``raw`` are the raw predictions of a block, ``weights`` its `RowWeights`; ``width`` counts further numbers that the
    function needs for each row. The function goes to the workers of a cluster: it must not hold the rows.
    """
    objective, within = fitted.objective, weights.within
    predict = fitted.here.predictor()

    def of_block(block, y, weight):
        return function(y, predict(block), within(block.part, y, weight))

    return objective.rows.fold(of_block, width=objective.model.pass_width + width)


def dispersion_of(what, curvature):
    """The dispersion of one target, a float; 1 where the family has none. ``what`` is what an error begins with."""
    fitted, weights, family = curvature.fitted, curvature.weights, curvature.loss.family
    if not family.has_dispersion:
        return 1.0
    chi_square = summed(fitted, weights, lambda y, raw, of: (of.likelihood @ family.pearson(y, raw),))[0]
    return float(weights.dispersion(what, fitted.objective, chi_square, curvature.effective_df)[0])


class Dispersed:
    """The dispersion of a `Fitted` linear model, with effective parameters (1,) or (n_targets,).

    ``given`` is how it is found: "pearson", "deviance", a number, or None for the family's own way; ``what`` is the
    function that asks, for its errors.
    """

    def __init__(self, fitted, effective_df, given, what):
        self._fitted, self.effective_df, self._given, self._what = fitted, effective_df, given, what

    @property
    def estimates_dispersion(self):
        """Whether the dispersion is estimated from the rows."""
        if self._given is None:
            return self._fitted.loss.family.has_dispersion
        return isinstance(self._given, str)

    @cached_property
    def dispersion(self):
        """The dispersion of each target: the estimate, 1 where the family has none, or what was given."""
        if self.estimates_dispersion:
            return self._estimate()
        return np.full(len(self.effective_df), 1.0 if self._given is None else float(self._given))

    def _estimate(self):
        raise NotImplementedError


class Likelihood(Dispersed):
    """The likelihood's figures of a `Fitted` linear model, see `Dispersed`."""

    def __init__(self, fitted, weights, effective_df, given=None, what="coef_table"):
        super().__init__(fitted, effective_df, given, what)
        self._weights = weights

    @cached_property
    def _sums(self):
        """Pearson's chi-square of each target, half the deviance, and the log-likelihood where it needs no more."""
        loss, at_fit = self._fitted.loss, self._fitted.loss_of_predictions
        likelihood = self._log_likelihood_of(self.dispersion) if self._knows_dispersion else lambda *rows: np.nan

        def of_rows(y, raw, weights):
            above = loss.value(y, raw) - at_fit.saturated(y)
            chi_square = weights.likelihood @ loss.family.pearson(y, raw)
            return chi_square, weights.likelihood @ above, likelihood(y, raw, weights)

        return summed(self._fitted, self._weights, of_rows, 4 * loss.n_outputs)

    @property
    def _has_log_likelihood(self):
        return self._fitted.loss.family.has_likelihood and not self.is_quasi

    @property
    def _knows_dispersion(self):
        """Whether the log-likelihood can be had in the round that would tell a dispersion."""
        return self._has_log_likelihood and not self.estimates_dispersion

    def _log_likelihood_of(self, dispersion):
        """A function of rows: their log-likelihood with this dispersion, (n_targets,)."""
        family = self._fitted.loss.family

        def of_rows(y, raw, weights):
            return weights.counts @ family.log_likelihood(y, raw, dispersion / weights.precision[:, None])

        return of_rows

    @property
    def chi_square(self):
        """Pearson's chi-square, of each target."""
        return self._sums[0]

    @property
    def df_resid(self):
        """Rows less effective parameters, of each target."""
        return self._weights.n_samples - self.effective_df

    @property
    def is_quasi(self):
        """Whether a dispersion takes the place of one, so that no distribution has this likelihood."""
        return self._given is not None and not self._fitted.loss.family.has_dispersion

    def _estimate(self):
        """See `Dispersed`: by default Pearson's."""
        # squared residuals are deviances too, and those of each target
        by_deviance = self._given == "deviance" and not self._fitted.loss.quadratic
        squares = np.array([self.deviance]) if by_deviance else self.chi_square
        return self._weights.dispersion(self._what, self._fitted.objective, squares, self.effective_df)

    @cached_property
    def log_likelihood(self):
        """Logarithm of the likelihood with its constants, or None where the family has no closed form."""
        if not self._has_log_likelihood:
            return None
        if self._knows_dispersion:
            return float(np.sum(self._sums[2]))
        is_maximal = self._fitted.loss.quadratic
        of_rows = self._log_likelihood_of(self.chi_square / self._weights.n_samples if is_maximal else self.dispersion)
        found = summed(self._fitted, self._weights, lambda *rows: (of_rows(*rows),), 4 * self._fitted.loss.n_outputs)
        return float(np.sum(found[0]))

    @property
    def deviance(self):
        """Twice the loss above that of the saturated model with the same theta or scale, summed over the rows."""
        return float(2 * self._sums[1])

    def criterion(self, price):
        """``-2 log_likelihood`` and the ``price`` of each effective parameter, or None."""
        if self.log_likelihood is None:
            return None
        return float(-2 * self.log_likelihood + price * self.effective_df.sum())
