"""Counts that vary more than Poisson's."""

import numpy as np
from sklearn.utils.metaestimators import available_if

from sk_hessian import _validation
from sk_hessian._constraints import takes_streams
from sk_hessian.linear_model._glm import _DevianceModel
from sk_hessian.objectives import NegativeBinomialLoss

#: an overdispersion that adds less than such a share (squared) to the variance of a typical row counts as none
_NO_SPREAD = 1e-3

#: theta^(-1/2) of a start that would be at the saddle of no overdispersion, as a share of the Poisson spread
_FIRST_SPREAD = 0.1


def _has_theta(estimator):
    if estimator.theta is None:
        raise AttributeError("partial_fit needs theta, a positive number: estimated, it depends on all rows at once")
    return takes_streams(estimator)


class NegativeBinomialRegressor(_DevianceModel):
    """Negative binomial regression (NB2) with a log link, theta given or estimated along.

    With mean mu and variance mu + mu^2 / theta. Minimises the mean negative log-likelihood plus
    ``alpha |coef|^2 / 2`` over coef, the intercept and theta. statsmodels' and Stata's ``alpha`` is 1 / theta.
    ``partial_fit`` needs a given theta.

    Parameters
    ----------
    theta : float or None, default=None
        A positive number, ``np.inf`` for the Poisson distribution; None to estimate it.
    alpha, fit_intercept, solver, max_iter, tol, warm_start, verbose, random_state, penalty_weights, penalty_matrix,
    categorical_features
        As in `PoissonRegressor`.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`.

    Attributes
    ----------
    theta_ : float
        As given, or as estimated: inf where the counts are not overdispersed, which ``convergence_.message`` says.
    coef_, intercept_, n_iter_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.linear_model import NegativeBinomialRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 1))
    >>> y = rng.poisson(np.exp(1 + 0.5 * X[:, 0]) * rng.gamma(2.0, 1 / 2.0, size=2000))
    >>> model = NegativeBinomialRegressor(alpha=0.0).fit(X, y)
    >>> model.coef_.round(1), round(model.theta_, 1), model.convergence_.status
    (array([0.5]), 2.0, 'optimal')
    """

    def __init__(
        self,
        *,
        theta=None,
        alpha=1.0,
        fit_intercept=True,
        solver="auto",
        max_iter=1000,
        tol=1e-4,
        warm_start=False,
        verbose=0,
        random_state=None,
        penalty_weights=None,
        penalty_matrix=None,
        positive=False,
        bounds=None,
        constraints=None,
        monotone=None,
        categorical_features="from_dtype",
    ):
        self.theta = theta
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.penalty_weights = penalty_weights
        self.penalty_matrix = penalty_matrix
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features

    def _check_parameters(self):
        super()._check_parameters()
        if self.theta is not None:
            _validation.check_number(self, "theta", 0, strict=True, infinite=True)

    def _loss(self):
        return NegativeBinomialLoss(getattr(self, "theta_", self.theta or np.inf))

    def _training_loss(self, y, weight):
        if self.theta is not None:
            return NegativeBinomialLoss(float(self.theta))
        mean = weight @ y / weight.sum()
        return NegativeBinomialLoss(floor=_NO_SPREAD / np.sqrt(mean if mean > 0 else 1.0))

    # the likelihood in theta is no quadratic, which is what is remembered of former rows
    partial_fit = available_if(_has_theta)(_DevianceModel.partial_fit)

    def _start(self, objective):
        start = super()._start(objective)
        if objective.loss.n_constants and abs(start[-1]) <= objective.loss.floor:
            start[-1] = _FIRST_SPREAD / _NO_SPREAD * objective.loss.floor
        return start

    def _former_constants(self, null):
        return np.maximum(self.theta_**-0.5, _FIRST_SPREAD * null)

    def _fitted_constants(self):
        return [self.theta_**-0.5] if self.theta is None else []

    def _unpack(self, objective, coef, intercept, constants):
        super()._unpack(objective, coef, intercept, constants)
        if self.theta is not None:
            self.theta_ = float(self.theta)
        else:
            spread = abs(constants[0])
            self.theta_ = float(spread**-2) if spread > objective.loss.floor else np.inf
