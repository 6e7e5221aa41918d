"""Residuals of a fitted estimator: targets beside their predictions, on several scales."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from sk_hessian._selection import kept_rows, rows_in_memory
from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._covariance import Curvature
from sk_hessian.inspection._fitted import Fitted, require_mean
from sk_hessian.inspection._influence import influence
from sk_hessian.inspection._likelihood import RowWeights
from sk_hessian.objectives import OrdinalLoss

KINDS = ("response", "pearson", "deviance", "quantile")

#: a tail below this counts as this: normal quantiles of it are 38
_LEAST_TAIL = 5e-324


def residuals(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    kind: str = "deviance",
    standardised: bool = False,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    random_state: int | np.random.Generator | None = None,
) -> np.ndarray:
    """Residuals of the rows, positive where y is larger than its mean.

    ``"response"``
        y less its mean; of classes the indicator of the (second) class less its probability.
    ``"pearson"``
        The same over the root of the variance function: of Poisson counts the root of the mean. Huber's loss has its
        scale in this place.
    ``"deviance"``
        The root of what the row adds to the deviance, with the sign of the response residual; of several classes, where
        there is no sign, the root alone.
    ``"quantile"``
        The normal quantile of the distribution function at y, so that residuals of a true model are standard normal.
        Of counts and labels it is drawn between the values below y and at y [1]: another seed gives others, and a
        picture that changes with the seed says nothing.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian
        Or a pipeline that ends with one.
    X, y
        Rows, in memory. Response, Pearson and deviance residuals compare y with a prediction: they may be of other rows
        than those of the fit, and of a fit that is no optimum. The others must be those of an ``optimal`` fit where the
        dispersion is estimated.
    kind : {"response", "pearson", "deviance", "quantile"}
    standardised : bool, default=False
        Pearson and deviance residuals over the root of the dispersion times one less the leverage, which is that of
        `influence`; for one output, and the rows of an ``optimal`` fit.
    sample_weight, offset : array-like, optional
        Those of the fit. Weights are frequencies: a residual is that of one of the rows that a weight stands for. Of
        proportions they are numbers of trials, on which Pearson and deviance residuals depend.
    random_state : int, Generator or None
        For the quantile residuals of counts and labels, and of zeros of a compound Poisson distribution.

    Returns
    -------
    ndarray of shape (n_samples,), or (n_samples, n_outputs) for several targets or classes

    Raises
    ------
    ValueError
        For a kind that the loss does not have, counts that are no integers, other rows than those of the fit where
        these are needed, and bad arguments.
    TypeError
        For what is no estimator of sk_hessian.

    Notes
    -----
    Neither Pearson nor deviance residuals are divided by the dispersion, unless ``standardised``; those of statsmodels'
    GLM are the same. Quantile residuals take the fitted parameters, and the dispersion of `coef_table`, as given.

    References
    ----------
    .. [1] P. Dunn, G. Smyth, "Randomized quantile residuals", Journal of Computational and Graphical Statistics 5,
       1996.
    .. [2] P. McCullagh, J. Nelder, "Generalized Linear Models", 2nd ed., 1989, section 2.4.

    Examples
    --------
    >>> from sk_hessian.inspection import residuals
    >>> from sk_hessian.linear_model import PoissonRegressor
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1, 0, 4, 6]
    >>> model = PoissonRegressor(alpha=0).fit(X, y)
    >>> residuals(model, X, y, kind="pearson").round(3)
    array([ 0.595, -1.12 ,  0.699, -0.145])
    """
    check_choice("kind", kind, KINDS)
    if not isinstance(standardised, bool | np.bool_):
        raise TypeError(f"standardised must be True or False, got {standardised!r}")
    rows = FittedRows(estimator, X, y, sample_weight, offset)
    found = rows.of_kind(kind, random_state)
    if standardised:
        found = found / np.sqrt(rows.scale_of_residuals(kind))[:, None]
    return found[:, 0] if found.shape[1] == 1 else found


def _generator(random_state):
    """A generator whose numbers are not those that a simulation of the rows with the same seed has used."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    is_integer = isinstance(random_state, Integral) and not isinstance(random_state, bool)
    if random_state is not None and not (is_integer and int(random_state) >= 0):
        raise ValueError(f"random_state must be an integer of at least 0, a Generator or None, got {random_state!r}")
    return np.random.default_rng(np.random.SeedSequence(random_state).spawn(1)[0])


class FittedRows:
    """Targets and raw predictions of rows, those of weight zero included."""

    def __init__(self, estimator, X, y, sample_weight, offset):
        self._of_user = {"sample_weight": sample_weight, "offset": offset}, (X, y)
        self.fitted = Fitted(estimator, X, y, sample_weight, offset=offset)
        rows_in_memory(self.fitted.objective)
        objective, theta = self.fitted.with_weight(None)
        self.y, self.raw = objective.rows.y, objective.raw_predictions(theta)
        self.loss, self.family = objective.loss, objective.loss.family
        #: what the variance of each row's proportion is divided by, 1 of other targets
        self.trials = np.ones(len(self.y))
        if self.family.weights_are_trials:
            given = 1.0 if sample_weight is None or self.fitted.has_pairs else sample_weight
            self.trials = objective.rows.weight * given

    def of_kind(self, kind, random_state):
        """See `residuals`, shape (n, n_outputs), or (n, 1)."""
        return self.quantile(random_state) if kind == "quantile" else getattr(self, kind)()

    @property
    def output_names(self):
        """What the outputs are called: classes, or their numbers."""
        classes = self.fitted.objective.class_names
        return list(range(self.loss.n_outputs)) if classes is None else list(classes)

    @property
    def outputs(self):
        """Raw predictions without the loss's constants, shape (n, n_outputs)."""
        return self.raw[:, : self.loss.n_outputs]

    @property
    def mean(self):
        """Shape (n, n_outputs)."""
        return self.loss.inverse_link(self.raw)

    @property
    def _is_ordered(self):
        """Whether the rows have ordered classes, so that residuals have no sign."""
        return isinstance(self.loss, OrdinalLoss)

    def response(self):
        """See `residuals`, shape (n, n_outputs)."""
        require_mean(self.fitted, 'kind="response"')
        mean = self.mean
        is_label = self.y.ndim == 1 and mean.shape[1] > 1
        y = self.y[:, None] == np.arange(mean.shape[1]) if is_label else self.y.reshape(mean.shape)
        return y - mean

    def pearson(self):
        """See `residuals`, shape (n, n_outputs)."""
        size = np.sqrt(self.family.pearson(self.y, self.raw) * self.trials[:, None])
        return size * (1.0 if self._is_ordered else np.sign(self.response()))

    def deviance(self):
        """See `residuals`, shape (n, n_outputs), or (n, 1)."""
        if not (self.family.has_likelihood or self.family.has_dispersion):
            raise ValueError(f"{self._has_no('deviance')}: use kind='response' or 'pearson'")
        # a parameter of the loss is that of the fit in the saturated model too
        family = self.fitted.loss_of_predictions.family
        size = np.sqrt(family.deviance(self.y, self.outputs) * self.trials[:, None])
        sign = np.ones_like(size) if self._is_ordered else np.sign(self.response())
        return size * sign if size.shape == sign.shape else size

    def quantile(self, random_state):
        """See `residuals`, shape (n, n_outputs)."""
        family = self.family
        if not family.has_tails:
            others = "use kind='response' or 'pearson'" + (" or 'deviance'" if family.has_likelihood else "")
            raise ValueError(f"{self._has_no('distribution function')}: {others}")
        self.fitted.require_likelihood('kind="quantile"')
        if family.is_discrete and (self.y % 1 != 0).any():
            raise ValueError('y: kind="quantile" needs integers, because the distribution has no others')
        below, at, above = family.tails(self.y, self.raw, self._dispersion())
        share = _generator(random_state).random(below.shape)
        low, high = below + share * at, above + (1 - share) * at
        return np.where(low < high, ndtri(np.maximum(low, _LEAST_TAIL)), -ndtri(np.maximum(high, _LEAST_TAIL)))

    def _has_no(self, what):
        return f"the loss of this {self.fitted.name}, {type(self.loss).__name__}, has no {what}"

    def _dispersion(self):
        """That of the fit, of each target, as `coef_table` has it."""
        if not self.family.has_dispersion:
            return np.ones(1)
        fitted = self.fitted
        if not fitted.objective.model.is_linear:
            raise ValueError(
                f'kind="quantile" needs the dispersion, and for networks, whose effective parameters are not known '
                f"without a posterior, there is no estimate of it here: use kind='pearson' for this {fitted.name}, or "
                "inspection.laplace"
            )
        fitted.require_sum_over_rows('kind="quantile"')
        fitted.require_optimum('kind="quantile"')
        weights = RowWeights.of(fitted, self._of_user[0]["sample_weight"], "frequency")
        return Curvature(fitted, weights, None).likelihood.dispersion

    def scale_of_residuals(self, kind):
        """The dispersion times one less the leverage of a single row, shape (n,)."""
        if kind not in ("pearson", "deviance"):
            raise ValueError(f"standardised=True is for kind='pearson' or 'deviance', not for {kind!r}")
        if self.loss.n_outputs > 1:
            raise ValueError(f"standardised=True is for one output, and this {self.fitted.name} has several")
        options, rows = self._of_user
        found = influence(self.fitted.chain, *rows, **options)
        kept = kept_rows(options["sample_weight"], self.fitted.objective.n_rows)
        weight = np.ones(len(kept)) * (1.0 if options["sample_weight"] is None else options["sample_weight"])
        if self.family.weights_are_trials and not self.fitted.has_pairs:
            weight = np.ones(len(kept))
        leverage = np.divide(found.leverage, weight, out=np.zeros(len(kept)), where=kept)
        return found.dispersion * (1 - leverage)
