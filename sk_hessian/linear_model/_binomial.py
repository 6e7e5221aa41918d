"""Proportions: successes in a number of trials, with a choice of links."""

from typing import ClassVar

from sk_hessian.linear_model._glm import _DevianceModel
from sk_hessian.linear_model._targets import check_link, check_proportions
from sk_hessian.objectives import BINARY_LINKS, BinomialLoss


class BinomialRegressor(_DevianceModel):
    """Binomial regression: minimises the mean negative log-likelihood of a trial plus ``alpha |coef|^2 / 2``.

    y is the proportion of successes, between 0 and 1, with the numbers of trials as ``sample_weight``; or it has two
    columns, successes and failures, and ``sample_weight`` says how often a row counts. ``predict`` gives the mean, the
    probability of a success. ``fit``, ``predict`` and ``score`` take an ``offset``, on the scale of the link.

    Without trials, y may be any proportion: a fractional regression (Papke & Wooldridge 1996). The likelihood is none
    then, and the standard errors of `coef_table` are those of the sandwich.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog", "cauchit", "log"}, default="logit"
        The mean is 1 / (1 + exp(-raw)), Phi(raw), 1 - exp(-exp(raw)), 1/2 + arctan(raw) / pi, or exp(raw), with raw the
        linear predictor. For "log" it must be negative for every row (that of a row without failure may be zero), and
        coefficients are logarithms of relative risks. For "cauchit" there may be several optima: the verdict is about
        one of them.
    alpha, fit_intercept, solver, max_iter, tol, warm_start, verbose, random_state, penalty_weights, penalty_matrix,
    categorical_features
        As in `PoissonRegressor`.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`.

    Attributes
    ----------
    coef_, intercept_, n_iter_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    References
    ----------
    .. [1] P. McCullagh, J. Nelder, "Generalized Linear Models", 2nd ed., 1989, chapter 4.
    .. [2] L. Papke, J. Wooldridge, "Econometric methods for fractional response variables with an application to 401(k)
       plan participation rates", Journal of Applied Econometrics 11, 1996.

    Examples
    --------
    Beetles that died after five hours of carbon disulphide (Bliss 1935), by the logarithm of the dose:

    >>> import numpy as np
    >>> from sk_hessian.linear_model import BinomialRegressor
    >>> dose = np.array([1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839])[:, None]
    >>> died = np.array([6, 13, 18, 28, 52, 53, 61, 60])
    >>> treated = np.array([59, 60, 62, 56, 63, 59, 62, 60])
    >>> model = BinomialRegressor("cloglog", alpha=0).fit(dose, died / treated, sample_weight=treated)
    >>> model.coef_.round(2), model.intercept_.round(2), model.predict([[1.8]]).round(3)
    (array([22.04]), np.float64(-39.57), array([0.67]))
    """

    def __init__(
        self,
        link="logit",
        alpha=1.0,
        *,
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
        self.link = link
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

    _of_targets: ClassVar[dict[str, bool]] = {"y_numeric": True, "multi_output": True}

    # what all targets tell is known of proportions and their weights
    _of_parts: ClassVar[dict[str, bool]] = {"multi_output": False}

    def _check_parameters(self):
        super()._check_parameters()
        check_link(self.link, BINARY_LINKS)

    def _loss(self):
        return BinomialLoss(self.link)

    def _encode(self, y, weight, reset):
        y, trials = check_proportions(y, type(self).__name__)
        return y, weight if trials is None else weight * trials, self._training_loss(y, weight)
