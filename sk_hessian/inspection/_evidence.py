"""The penalty of most evidence."""

import copy
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from sk_hessian._report import Report, number_text
from sk_hessian._selection import MOST_FULL
from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._laplace import LaplacePosterior, laplace

#: least and largest step of a walk in log(strength)
_STEPS = np.log(2), np.log(1e3)

#: how much longer each step of a walk is than the one before, at least
_GROWTH = 1.5

#: most refits of a walk, which is then far beyond any penalty of use
_MOST_STEPS = 25

#: accuracy in log(strength)
_ACCURACY = 1e-4

#: penalised parameters that the rows, or the penalty, still tell when a walk has come to its end
_NOTHING_LEFT = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class TunedPenalty(Report):
    """What `tune_alpha` found.

    Attributes
    ----------
    name : str
        "alpha" or "C", the parameter that was tuned.
    value : float
        The best that was tried.
    status : {"optimal", "at_infinity", "at_zero", "limited"}
        "optimal" for a maximum between lower evidence on both sides. "at_infinity" and "at_zero": the evidence grew
        with (or against) the penalty until that left nothing of the parameters, or nothing of itself. "limited":
        some fits near ``value`` have no posterior, see the message.
    message : str
    estimator : estimator
        A fitted clone with ``value``.
    posterior : LaplacePosterior
        Its posterior.
    path : dict of str to ndarray
        "value", "log_evidence" (nan for a fit without a posterior), "effective_df" and "dispersion" of every fit, in
        the order of the fits; dispersions of several targets have shape (n_fits, n_targets).
    """

    name: str
    value: float
    status: str
    message: str
    estimator: object = field(repr=False)
    posterior: LaplacePosterior = field(repr=False)
    path: dict = field(repr=False)

    def _title(self):
        return self.message

    def _header(self):
        posterior = self.posterior
        return [
            (self.name, number_text(self.value)),
            ("status", self.status),
            ("log evidence", number_text(posterior.log_evidence)),
            ("effective parameters", f"{number_text(posterior.effective_df)} of {posterior.mean.size}"),
            ("dispersion", f"{number_text(posterior.dispersion)} ({posterior.dispersion_source})"),
            ("fits", f"{len(self.path['value'])}, {self.name} from {self._tried(min)} to {self._tried(max)}"),
        ]

    def _tried(self, which):
        return f"{which(self.path['value']):.3g}"


def tune_alpha(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    structure: str = "auto",
    dispersion: float | str | None = "evidence",
) -> "TunedPenalty":
    """The strength of the penalty with the largest evidence, by refits from the best one so far.

    A walk in log(strength), its first steps those of MacKay's fixed point (strength times the determined penalised
    parameters over the penalty's share of the log posterior), brackets a maximum, and a bounded search refines it. For
    squared errors this is empirical Bayes for ridge regression; for a network it chooses the weight decay without
    held-out rows, the biases of hidden layers taken as known: with a flat prior the evidence has no bound where the
    penalty is about to switch a unit off. The maximum is the local one on the way from the estimator's own strength.

    Parameters
    ----------
    estimator : estimator of sk_hessian with a penalty ``alpha`` or ``C``
        Fitted or not; it is not modified. ``penalty_weights`` are kept.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), optional
    offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
        As of the estimator's ``fit``.
    structure : {"auto", "full", "kronecker", "diagonal"}, default="auto"
        As of `laplace`. The evidence of a last layer alone says nothing of the penalty of the others.
    dispersion : float, "evidence" or None, default="evidence"
        As of `laplace`, taken anew for every fit.

    Returns
    -------
    TunedPenalty

    Raises
    ------
    TypeError
        For something that is no estimator of sk_hessian.
    ValueError
        Where the first fit has no posterior, as of `laplace`, or no finite evidence; for an estimator without a
        penalty.

    References
    ----------
    .. [1] D. MacKay, "Bayesian interpolation", Neural Computation 4, 1992.
    .. [2] A. Immer et al., "Scalable marginal likelihood estimation for model selection in deep learning", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import tune_alpha
    >>> from sk_hessian.linear_model import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> tuned = tune_alpha(Ridge(), X, y)
    >>> tuned.status, round(tuned.value, 3), tuned.estimator.alpha == tuned.value
    ('optimal', 0.034, True)
    """
    options = {"structure": structure, "dispersion": dispersion, "hidden_biases": "fixed"}
    row_data = {"sample_weight": sample_weight} | ({} if offset is None else {"offset": offset})
    search = _Search(estimator, (X, y, row_data), options)
    search.check_size()
    start = search.start()
    search(start)
    low, high, status = _bracket(search, start)
    if status == "optimal":
        minimize_scalar(search.finite, bounds=(low, high), method="bounded", options={"xatol": _ACCURACY})
        status = "limited" if search.failed_between(low, high) else "optimal"
    return search.result(status)


class _Search:
    """Minus the evidence as a function of log(strength), with its refits."""

    def __init__(self, estimator, data, options):
        if options["structure"] == "last_layer":
            raise ValueError(
                'structure="last_layer" has no evidence for the penalty of the other layers: use "full", "kronecker" '
                'or "diagonal"'
            )
        self._original, chain = estimator, Chain.of(estimator)
        parameters = chain.estimator.get_params(deep=False)
        self._name = next((name for name in ("alpha", "C") if name in parameters), "")
        if not self._name:
            raise ValueError(f"estimator must be one with a penalty alpha or C, got {chain.estimator!r}")
        if parameters.get("jeffreys"):
            raise ValueError("tune_alpha is not for jeffreys=True: Jeffreys' prior has no strength that could be tuned")
        value = parameters[self._name]
        if isinstance(value, bool) or not isinstance(value, Real) or not float(value) >= 0:
            raise ValueError(
                f"{self._name} must be one number of at least 0, got {value!r}: one strength is tuned for all targets"
            )
        X, y, _ = data
        self._chain = chain.fresh(X, y)
        self._fresh, self._transformed = self._chain.estimator, self._chain.transformed(X)
        self._data, self._options = data, options
        self._seen, self._records, self._failure = {}, [], ""
        #: the posterior of most evidence so far, its fit and log(strength)
        self.best: Any = None
        self.best_fit, self.best_at = self._fresh, np.nan

    def check_size(self):
        """Refuse a posterior of too many rows and columns before any fit."""
        # rows in parts are refused by the posterior
        size, structure = min(getattr(self._transformed, "shape", (0,))), self._options["structure"]
        y = self._data[1]
        has_kronecker = hasattr(self._fresh, "predict_proba") and len(np.unique(y)) > 2
        is_full = structure == "full" or (structure == "auto" and not has_kronecker)
        if is_full and "loo" in self._fresh._criteria and size > MOST_FULL:
            raise ValueError(
                f"a full posterior is for at most {MOST_FULL} rows or columns, and these are {size} at the least: use "
                f'structure="diagonal", which leaves out covariances, or fewer columns; {self._name}="loo" lets a fit '
                "choose by leave-one-out"
            )

    def start(self):
        """Log of the estimator's own strength, or zero where that is none."""
        value = getattr(self._fresh, self._name)
        return self._sign * np.log(value) if 0 < value < np.inf else 0.0

    @property
    def _sign(self):
        return 1.0 if self._name == "alpha" else -1.0

    def _value(self, log_strength):
        return float(np.exp(self._sign * log_strength))

    def __call__(self, log_strength):
        """Minus the evidence; +inf for a fit without a posterior."""
        if log_strength not in self._seen:
            self._seen[log_strength] = self._evaluate(log_strength)
        return self._seen[log_strength]

    def finite(self, log_strength):
        """The same, and for a fit without a posterior no better than the worst of the others."""
        value = self(log_strength)
        return max(other for other in self._seen.values() if other < np.inf) if value == np.inf else value

    def failed_between(self, low, high):
        """Whether a fit of these strengths has no posterior."""
        return any(value == np.inf for at, value in self._seen.items() if low < at < high)

    def _evaluate(self, log_strength):
        X, y, row_data = self._data
        value = self._value(log_strength)
        fit = copy.deepcopy(self.best_fit)
        fit.set_params(**{self._name: value}, warm_start=self.best is not None).fit(self._transformed, y, **row_data)
        fit.set_params(warm_start=self._fresh.warm_start)
        try:
            posterior = laplace(self._whole(fit), X, y, **row_data, **self._options)
            evidence = posterior.log_evidence
            if not np.isfinite(evidence):
                raise ValueError(
                    f"the log evidence is {evidence}: the density of this loss has no accurate value for these y"
                )
        except ValueError as error:
            if self.best is None:
                raise
            self._failure = f"{self._name}={value:.4g}: {error}"
            self._records.append((value, np.nan, np.nan, np.full_like(self.best.dispersion, np.nan)))
            return np.inf
        self._records.append((value, evidence, posterior.effective_df, posterior.dispersion))
        if self.best is None or evidence > self.best.log_evidence:
            self.best, self.best_fit, self.best_at = posterior, fit, log_strength
        return -evidence

    def result(self, status):
        """The `TunedPenalty`."""
        value = self._value(self.best_at)
        message = _MESSAGES[status].format(name=self._name, value=value, failure=self._failure)
        columns = ("value", "log_evidence", "effective_df", "dispersion")
        path = {name: np.array(values) for name, values in zip(columns, zip(*self._records, strict=True), strict=True)}
        return TunedPenalty(self._name, value, status, message, self._whole(self.best_fit), self.best, path)

    def _whole(self, fit):
        """A fit in the pipeline that the estimator came in."""
        return replace(self._chain, estimator=fit).inserted(self._original)


_MESSAGES = {
    "optimal": "The evidence has a maximum at {name}={value:.4g}.",
    "at_infinity": "The evidence grows with the penalty as far as the penalised parameters leave zero at all "
    "({name}={value:.4g}): no sign that they do.",
    "at_zero": "The evidence grows as the penalty falls, until it is nothing beside the rows ({name}={value:.4g}): "
    "it does not choose one.",
    "limited": "The best of what has a posterior is {name}={value:.4g}; near it there is none: {failure}",
}


def _bracket(search, start):
    """Bounds with lower evidence than between them, and the status; see `TunedPenalty`."""
    upwards = 1.0 if search.best.fixed_point > 1 else -1.0
    ends = []
    for direction, length in ((upwards, _step(search)), (-upwards, _STEPS[0])):
        end, status = _walk(search, search.best_at, direction, length)
        if status != "optimal":
            return *sorted((start, end)), status
        ends.append(end)
    return *sorted(ends), "optimal"


def _step(search):
    """The length of MacKay's step in log(strength) from the best fit."""
    factor = max(search.best.fixed_point, np.finfo(float).tiny)
    return np.clip(abs(np.log(factor)), *_STEPS)


def _walk(search, at, direction, length):
    """Go on in a direction while the evidence grows: where it no longer did, and the status."""
    for _ in range(_MOST_STEPS):
        end = at + direction * length
        value = search(end)
        if value == np.inf:
            if length < _STEPS[0]:
                return end, "limited"
            length /= 2
            continue
        if not value < search(at):
            return end, "optimal"
        posterior = search.best
        left = posterior.gamma if direction > 0 else posterior.n_penalised - posterior.gamma
        if left < _NOTHING_LEFT * posterior.n_penalised:
            break
        at, length = end, min(max(_step(search), _GROWTH * length), _STEPS[1])
    return end, "at_infinity" if direction > 0 else "at_zero"
