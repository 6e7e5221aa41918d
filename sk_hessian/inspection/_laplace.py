"""The Laplace approximation: a normal posterior of the parameters, predictions with it, and the evidence."""

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logsumexp

from sk_hessian._report import Report, number_text
from sk_hessian._selection import MOST_FULL, PosteriorModel, last_layer, resolved
from sk_hessian._text import listed
from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._checks import check_choice, check_count
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.objectives import Linearised, OrdinalLoss


def laplace(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    structure: str = "auto",
    dispersion: float | str | None = None,
    hidden_biases: str = "flat",
    names: Sequence[str] | None = None,
) -> "LaplacePosterior":
    """The Laplace approximation of the posterior of a fitted estimator with an L2 penalty.

    The objective times W / dispersion (W the total weight) is a negative log posterior: the penalty is a normal prior
    of mean zero and precision penalty * W / dispersion for each penalised parameter, and flat for the others. The
    posterior is taken as normal about the fit, its precision the Hessian of that; for networks Gauss-Newton's, which
    is the posterior of the network linearised at the fit.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian with a penalty
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), optional
    offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
        The rows, weights and offset of the fit, in memory. A row of weight 2 counts like two rows.
    structure : {"auto", "full", "kronecker", "diagonal", "last_layer"}, default="auto"
        "full": all parameters together, at most 3000, or as many rows (times outputs) where these are fewer: beyond
        their span the posterior is the prior. "kronecker": one Kronecker product A (x) G for each layer of a
        network, or for a softmax model; layers are independent. "diagonal": each parameter by itself, in centred and
        scaled coordinates, so that units do not matter. "last_layer": the last layer of a network in full, the others
        fixed. "auto": full where there is no Kronecker product, up to 1000 parameters, and where it costs no more than
        it would for 1000 parameters, or than the Kronecker product does: so for few rows (times outputs) of many
        parameters too. Else kronecker. It is never diagonal.
    dispersion : float, "evidence" or None, default=None
        Of losses that have one (the noise variance for squared errors). None: squared Pearson residuals over the weight
        less the effective degrees of freedom. "evidence": the most evident one. Several targets of a linear model, or
        of a last layer, have one each; those of a network share one, for its fit weighs them all alike. A number is
        for all targets.
    hidden_biases : {"flat", "fixed"}, default="flat"
        Of networks, whose biases have no penalty. "flat": the posterior is also of the biases of hidden layers, with a
        flat prior; a unit without effect then has none, and the evidence grows without bound as the penalty switches a
        unit off. "fixed": they are taken as known (in the first layer each unit's sum at the mean row, so that the
        zeros of the inputs do not matter), which is always proper. Without hidden layers both are the same.
    names : sequence of str, optional
        What the columns are called, for an X without names.

    Returns
    -------
    LaplacePosterior

    Raises
    ------
    TypeError
        For something that is no estimator of sk_hessian.
    ValueError
        For a fit that is not optimal, or of other rows; without a penalty; for Huber's loss, which has no likelihood,
        and ``class_weight``, which leaves none; for parameters that neither rows nor penalty determine; for a structure
        that is too large, or that has more parameters determined than there are rows; for bad arguments.

    References
    ----------
    .. [1] D. MacKay, "A practical Bayesian framework for backpropagation networks", Neural Computation 4, 1992.
    .. [2] L. Tierney, J. Kadane, "Accurate approximations for posterior moments and marginal densities", JASA 81, 1986.
    .. [3] H. Ritter, A. Botev, D. Barber, "A scalable Laplace approximation for neural networks", ICLR 2018.
    .. [4] A. Immer, M. Korzepa, M. Bauer, "Improving predictions of Bayesian neural nets via local linearization",
       AISTATS 2021.
    .. [5] E. Daxberger et al., "Laplace redux: effortless Bayesian deep learning", NeurIPS 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import laplace
    >>> from sk_hessian.linear_model import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> posterior = laplace(Ridge(alpha=0.1).fit(X, y), X, y)
    >>> mean, std = posterior.predict(X[:2])
    >>> mean.round(), std.round(1)
    (array([200.,  73.]), array([6.6, 7. ]))
    """
    chain = Chain.of(estimator)
    fitted = Fitted(chain, X, y, sample_weight, names=names, **_row_data(chain.estimator, offset))
    _check_model(fitted)
    check_choice("hidden_biases", hidden_biases, ("flat", "fixed"))
    at, names = Linearised(fitted.objective, fitted.theta, hidden_biases == "flat"), fitted.parameter_names
    structure = resolved(at, structure)
    _require_optimum(fitted)
    features = None
    if structure == "last_layer":
        features = at.features
        at, names = last_layer(at, names)
    model = PosteriorModel(at, names, structure)
    dispersion, source = model.dispersion(dispersion)
    return LaplacePosterior(chain, model, structure, dispersion, source, features)


class LaplacePosterior(Report):
    """What `laplace` returns: a normal posterior of the parameters.

    It keeps the rows of the fit, not a copy of them, for the evidence.

    Attributes
    ----------
    mean : ndarray of shape (n_parameters,)
        The fit; of "last_layer" its last layer alone.
    parameter_names : list of str
        What its entries are.
    structure : str
        "full", "kronecker", "diagonal" or "last_layer".
    curvature : str
        "observed", "expected" or "gauss-newton".
    dispersion : float or ndarray of shape (n_targets,)
        One for each of several targets of a linear model.
    dispersion_source : str
        Where the dispersion comes from.
    effective_df : float
        Parameters that the rows rather than the prior determine: the trace of the posterior covariance times the
        curvature of the likelihood.
    n_penalised : int
        Parameters with a prior.
    gamma : float
        Those of them that the rows determine, MacKay's gamma.
    fixed_point : float
        What MacKay's update, gamma over the penalty's share of the log posterior, would multiply the penalty by. One
        where the evidence is largest: for squared errors, and for other losses nearly.
    """

    def __init__(self, chain, model, structure, dispersion, source, features):
        # a later fit gives the estimator new attributes, not this copy
        self._chain = Chain(copy.copy(chain.estimator), copy.deepcopy(chain.before))
        self._estimator, self._model, self._features = self._chain.estimator, model, features
        self.mean, self.parameter_names = model.theta, model.names
        self.structure, self.curvature = structure, model.curvature
        self.dispersion = float(dispersion[0]) if len(dispersion) == 1 else dispersion
        self.dispersion_source, self.effective_df = source, float(model.effective_df.sum())
        self._deviation = np.sqrt(dispersion / model.objective.total_weight)
        self.n_penalised, self.gamma, self.fixed_point = model.n_penalised, model.gamma, model.fixed_point(dispersion)

    def _header(self):
        options = self._estimator.get_params(deep=False)
        name = "C" if "C" in options else "alpha"
        try:
            evidence = number_text(self.log_evidence)
        except ValueError as error:
            evidence = f"none: {error}"
        return [
            ("posterior of", f"{type(self._estimator).__name__}, Laplace approximation, {self.curvature} curvature"),
            ("structure", f"{self.structure}, {self.mean.size} parameters"),
            ("penalty", f"{name} = {number_text(options[name])}, a normal prior of {self.n_penalised} parameters"),
            ("log evidence", evidence),
            (
                "effective parameters",
                f"{number_text(self.effective_df)} of {self.mean.size}; {number_text(self.gamma)} of the "
                f"{self.n_penalised} with a penalty",
            ),
            ("dispersion", f"{number_text(self.dispersion)} ({self.dispersion_source})"),
            ("MacKay's update", f"the penalty times {number_text(self.fixed_point)}; 1 where the evidence is largest"),
        ]

    @cached_property
    def log_evidence(self) -> float:
        """Logarithm of the marginal likelihood of y, by Laplace's method; exact for squared errors.

        Parameters without a penalty (intercepts, biases) are integrated under Lebesgue measure, as restricted maximum
        likelihood does (Harville 1974). That measure has a unit: only differences between fits with the same such
        parameters, in the same units, mean anything. The outputs of a softmax model are integrated where they sum to
        zero, for nothing else is determined. Of "last_layer" it is that of the last layer given the others.

        Raises
        ------
        ValueError
            For a Tweedie power without a density.

        References
        ----------
        .. [1] D. Harville, "Bayesian inference for variance components using only error contrasts", Biometrika 61,
           1974.
        """
        return self._model.log_evidence(np.atleast_1d(self.dispersion))

    def predict(self, X: Any, of: str = "link", offset: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Predictive mean and standard deviation.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        of : {"link", "mean", "observation"}, default="link"
            "link": of the raw prediction, before the inverse link (log odds, log means; of a softmax model logits that
            sum to zero), for networks linearised at the fit. "mean": of the mean of y, where the link is a logarithm
            by the log-normal distribution. "observation": of a new y of weight one, the noise included.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            As of the estimator's predictions.

        Returns
        -------
        mean, std : ndarray of shape (n_samples,) or (n_samples, n_outputs)

        Raises
        ------
        ValueError
            For "mean" and "observation" of a classifier: these are probabilities, see `predict_proba`.
        """
        check_choice("of", of, ("link", "mean", "observation"))
        loss = self._model.objective.loss
        if of != "link" and self._is_classifier:
            raise ValueError(f'of={of!r} is for regression: the mean of a class is its predict_proba; use of="link"')
        mean, covariance = self._raw_moments(X, offset)
        variance = np.einsum("nkk->nk", covariance)
        if of != "link":
            mean, variance, noise = loss.family.response_moments(mean, variance, self.dispersion)
            variance = variance + noise if of == "observation" else variance
        std = np.sqrt(variance)
        return (mean[:, 0], std[:, 0]) if mean.shape[1] == 1 else (mean, std)

    def predict_proba(self, X: Any, offset: ArrayLike | None = None) -> np.ndarray:
        """Probabilities, averaged over the posterior by the probit approximation.

        For two classes expit(m / sqrt(1 + pi s^2 / 8)) with m and s the mean and deviation of the log odds (MacKay
        1992). For more each pair of classes counts so: p_k is in proportion to 1 / sum_l exp((m_l - m_k) / sqrt(1 +
        pi s_kl^2 / 8)) with s_kl the deviation of the difference of two logits (Lu, Ie & Sha 2020), which for two
        classes is the same, and does not depend on a common shift of the logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            As of the estimator's predictions.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; of several labels the probability of each.

        Raises
        ------
        ValueError
            For a regressor.

        References
        ----------
        .. [1] D. MacKay, "The evidence framework applied to classification networks", Neural Computation 4, 1992.
        .. [2] Z. Lu, E. Ie, F. Sha, "Mean-field approximation to Gaussian-softmax integral with application to
           uncertainty estimation", arXiv:2006.07584, 2020.
        """
        loss = self._model.objective.loss
        if not self._is_classifier:
            raise ValueError(f"{type(self._estimator).__name__} is no classifier: use predict")
        mean, covariance = self._raw_moments(X, offset)
        if loss.shift_invariant:
            return _softmax_mean(mean, covariance)
        ones = expit(mean * _probit_shrinkage(np.einsum("nkk->nk", covariance)))
        return np.hstack([1 - ones, ones]) if len(self._estimator.classes_) == 2 and ones.shape[1] == 1 else ones

    def samples(self, n: int, random_state: int | np.random.Generator | None = None) -> np.ndarray:
        """Draws of the parameters.

        Parameters
        ----------
        n : int
        random_state : int, Generator or None

        Returns
        -------
        ndarray of shape (n, n_parameters)
            In the order of ``parameter_names``; those of softmax outputs differ from the fit by what sums to zero.

        Raises
        ------
        ValueError
            For a bad ``n`` or ``random_state``.
        """
        check_count("n", n)
        draws = _generator(random_state).standard_normal((len(self._model.at.penalty), int(n)))
        return self.mean + self._changes(draws)

    def covariance(self) -> np.ndarray:
        """The posterior covariance of the parameters.

        Returns
        -------
        ndarray of shape (n_parameters, n_parameters)

        Raises
        ------
        ValueError
            For more than 3000 parameters.
        """
        if self.mean.size > MOST_FULL:
            raise ValueError(f"a covariance of {self.mean.size} parameters is too large: use samples or predict")
        root = self._changes(np.eye(len(self._model.at.penalty)))
        return root.T @ root

    def _changes(self, u):
        """Changes of the parameters, in rows, of the posterior's covariance, for standard normal columns ``u``."""
        z = self._model.precision.colour(u) * self._model.by_coordinate(self._deviation)[:, None]
        return np.stack([self._model.at.expanded(column) for column in z.T])

    @property
    def _is_classifier(self):
        return hasattr(self._estimator, "classes_")

    def _raw_moments(self, X, offset):
        """Mean (n, k) and covariance (n, k, k) of the raw predictions."""
        X = self._chain.transformed(X)
        raw = self._estimator._raw_prediction(X, **_row_data(self._estimator, offset))
        raw = raw.reshape(len(raw), -1)
        covariance = self._raw_covariance(self._estimator._checked_rows(X), self._deviation)
        return self._model.objective.loss.without_shift(raw), covariance

    def _raw_covariance(self, X, deviation):
        """Covariance (n, k, k) of the raw predictions of checked rows, for the ``deviation`` of each dispersion."""
        model, covariances = self._model, []
        for _, J, _, _ in model.at.jacobians(X if self._features is None else self._features(X)):
            root = model.precision.whiten(J)
            covariances.append((root @ root.transpose(0, 2, 1)) * np.outer(deviation, deviation))
        return np.concatenate(covariances)


def _row_data(estimator, offset):
    """The offset as an argument of the methods that take one."""
    if offset is None:
        return {}
    if not hasattr(estimator, "has_offset_"):
        raise ValueError(f"offset must be None: {type(estimator).__name__} has none")
    return {"offset": offset}


def _check_model(fitted):
    """Refuse what has no posterior."""
    if not fitted.objective.rows.in_memory:
        raise ValueError("X must be in memory, an array, a data frame or a sparse matrix: a posterior needs its rows")
    fitted.require_sum_over_rows("laplace")
    fitted.require_likelihood("laplace")
    if isinstance(fitted.loss, OrdinalLoss):
        raise ValueError(
            f"laplace is not for {fitted.name}, whose thresholds have no prior; for two classes use LogisticRegression"
        )
    if fitted.loss.n_constants:
        raise ValueError(
            f"this {fitted.name} estimates {', '.join(fitted.loss.constant_names)} along, which has no prior: give it "
            "to the estimator"
        )
    if not fitted.objective.l2.is_present:
        raise ValueError(
            f"this {fitted.name} has no penalty, so that there is no prior: fit one with a penalty (Ridge instead of "
            "LinearRegression, alpha > 0, a finite C); for standard errors without a prior use coef_table"
        )


def _require_optimum(fitted):
    what, status = "A Laplace approximation", fitted.estimator.convergence_.status
    if not fitted.objective.model.is_linear and status not in ("optimal", "settled"):
        what = (
            "A Laplace approximation (of a network early_stopping=False, a larger max_iter or alpha, fewer units or "
            'solver="newton" help to reach the optimum)'
        )
    fitted.require_optimum(what)
    flat = fitted.objective.flat_directions()
    if flat:
        raise ValueError(f"nothing determines some coefficients: {listed(flat)}. Drop these columns or penalise them")


def _generator(random_state):
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"random_state must be an integer, a Generator or None, got {random_state!r}") from error


def _probit_shrinkage(variance):
    """What the logistic function of a normal variable's mean is shrunk by (MacKay 1992)."""
    return 1 / np.sqrt(1 + np.pi / 8 * variance)


def _softmax_mean(mean, covariance):
    """Probabilities (n, k) of normal logits, by pairs."""
    variance = np.einsum("nkk->nk", covariance)
    between = variance[:, :, None] + variance[:, None, :] - 2 * covariance
    apart = (mean[:, None, :] - mean[:, :, None]) * _probit_shrinkage(np.maximum(between, 0))
    log_share = -logsumexp(apart, axis=2)
    return np.exp(log_share - logsumexp(log_share, axis=1, keepdims=True))
