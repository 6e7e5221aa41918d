"""Generalized linear models with a Tweedie deviance: counts, costs, durations."""

import numpy as np
from sklearn.base import RegressorMixin

from sk_hessian import _validation
from sk_hessian._strength import check_strength, given_strength
from sk_hessian.linear_model._linear_model import DevianceExplained, LinearModel
from sk_hessian.linear_model._targets import check_link
from sk_hessian.objectives import POWER_LINKS, TweedieLoss


class _DevianceModel(DevianceExplained, RegressorMixin, LinearModel):
    """What the models share whose score is D^2; a subclass says which loss."""

    def __init__(
        self,
        *,
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
        super().__init__(solver, tol, max_iter, warm_start, verbose, random_state)
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.penalty_weights = penalty_weights
        self.penalty_matrix = penalty_matrix
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features

    def _check_parameters(self):
        check_strength(self)

    def _loss(self):
        """The loss of a prediction."""
        raise NotImplementedError

    def _training_loss(self, y, weight):
        """The loss of a fit to checked targets."""
        return self._loss()

    def _encode(self, y, weight, reset):
        y = y.astype(float, copy=False)
        _validation.check_range(self._loss(), y, type(self).__name__)
        return y, weight, self._training_loss(y, weight)

    _penalises_sum = False

    def _strength(self):
        return given_strength(self)

    def _predicted(self, raw):
        return self._loss().inverse_link(raw[:, None])[:, 0]

    score = DevianceExplained.d2_score

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = not self._loss().in_range(np.array([-1.0]))[0]
        return tags


class PoissonRegressor(_DevianceModel):
    """Poisson regression with a log link: minimises the mean half deviance plus ``alpha |coef|^2 / 2``.

    ``fit``, ``predict`` and ``score`` take an ``offset``: the logarithm of each row's exposure, for counts in unequal
    times or areas.

    Parameters
    ----------
    alpha : float, "evidence" or "loo", default=1.0
        Strength of the penalty. "evidence": the one with the largest marginal likelihood, by Laplace's method. "loo":
        the one with the least leave-one-out loss. Both take few fits, and at most 3000 rows or columns (times outputs).
    fit_intercept : bool, default=True
    solver : str or Solver, default="auto"
        "auto", "sgd", "momentum", "clip", "newton", "lbfgs", or an object such as ``Newton(damping=1.0)``.
    max_iter : int, default=1000
        Largest number of outer iterations; epochs for a stochastic solver.
    tol : float, default=1e-4
        ``optimal`` needs half the squared Newton decrement to be at most ``tol**2`` times the null model's loss,
        and no coefficient to be more than ``100 * tol`` standard errors from the optimum, however many rows there are.
    warm_start : bool, default=False
        Start from the former solution.
    verbose : int, default=0
        Print every ``verbose``-th iteration.
    random_state : int, RandomState or None, default=None
        For minibatches.
    penalty_weights : array-like of shape (n_features,) or dict, default=None
        Multiplies the penalty of each feature; 0 leaves a feature without one. A dict has the weights by the names of
        the columns of a data frame, or patterns of them, such as ``{"age": 0, "site_*": 10}``; the weight of all other
        columns is 1. ``{"site_*": "evidence"}`` chooses one weight for these columns by the marginal likelihood, and
        ``{"week_*": Differences(2)}`` takes a penalty of `sk_hessian.penalties` for them. Where columns have no names,
        keys are their positions.
    penalty_matrix : array-like, sparse matrix or data frame of shape (n_features, n_features), default=None
        M, symmetric and positive semi-definite: alpha I + M takes the place of alpha I, for the coefficients of
        each output and not for the intercept. A data frame has the names of the columns on both sides, in any order.
    positive : bool, default=False
        Whether no coefficient may be negative. This and the next three add up, and say nothing of the intercept. They
        need the solver "newton", "lbfgs" or "auto", a number as strength, and at most 3000 columns (times outputs, for
        each of which they hold).
    bounds : pair, scipy.optimize.Bounds or dict, default=None
        Lower and upper limits of the coefficients: (low, high) of numbers, or of arrays with one entry for each column;
        infinite for no limit. A dict has pairs by names, positions, or patterns of names, None for no limit, such as
        ``{"age": (0, None), "site_*": (-1, 1)}``.
    constraints : scipy.optimize.LinearConstraint, triple (A, low, high), or list of such, default=None
        ``low <= A @ coef <= high``, with A an array or sparse matrix (m, n_features), or in a triple a data frame with
        the names of some columns; the labels of its rows then name the constraints.
    monotone : dict, default=None
        ``{"age": "increasing"}`` for a coefficient that is not negative, "decreasing" for one that is not positive;
        ``{("low", "middle", "high"): "increasing"}`` for coefficients in that order, such as those of ordered levels.
    categorical_features : "from_dtype", array-like, Categories or None, default="from_dtype"
        Columns that are categories, with a coefficient for each level: those of a data frame whose type is a category
        (pandas "category", polars Categorical and Enum); or a mask, positions or names of columns of any type. None
        reads all columns as numbers. `Categories` has what else may be said: reference levels, levels that the fit
        has not seen, missing values, interactions. Without a penalty the first level is the reference, without a
        coefficient.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        With categories one for each number, then one for each level: longer than ``n_features_in_``.
    coef_names_ : ndarray of shape (n_features,)
        What the coefficients are called: columns, and levels such as "site[b]".
    encoding_ : Encoding
        Which levels the fit has learned, ``encoding_.categories``; only where X has categories.
    intercept_ : numpy scalar
    alpha_ : float
        What was chosen; only with ``alpha`` "evidence" or "loo".
    penalty_path_ : PenaltyPath
        The strengths that were looked at, with what each was worth: a table. Only with a named ``alpha`` and no groups.
    penalty_weights_ : ndarray of shape (n_features,)
        The weights of the fit, where it has chosen some.
    n_iter_ : int
    solver_ : Solver
        The solver that ran.
    convergence_ : Convergence
        The verdict: status, decrement, passes over X, flat directions, separation.
    history_ : dict of str to ndarray
        One row per iteration.
    active_constraints_ : tuple of str
        The constraints that hold with equality and push; only of fits with constraints.
    multipliers_ : ndarray, as long
        By how much ``convergence_.objective`` would fall, to first order, for a unit by which each is moved out.
    has_offset_ : bool
        Whether the fit had an offset: predictions then warn where they have none.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sk_hessian.linear_model import PoissonRegressor
    >>> model = PoissonRegressor(alpha=0.0).fit([[1.0], [2.0], [3.0], [4.0]], [1, 2, 4, 8])
    >>> model.coef_.round(4), model.convergence_.status
    (array([0.6931]), 'optimal')

    Ten counts in two hours and nine in three, as rates per hour:

    >>> import numpy as np
    >>> X, hours = [[0.0], [1.0]], np.array([2.0, 3.0])
    >>> model = PoissonRegressor(alpha=0.0).fit(X, [10, 9], offset=np.log(hours))
    >>> model.predict(X, offset=np.zeros(2)).round(4)
    array([5., 3.])
    """

    def _loss(self):
        return TweedieLoss(1, "log")


class GammaRegressor(_DevianceModel):
    """Gamma regression with a log link: minimises the mean half deviance plus ``alpha |coef|^2 / 2``, for positive y.

    Parameters and attributes are those of `PoissonRegressor`.
    """

    def _loss(self):
        return TweedieLoss(2, "log")


class TweedieRegressor(_DevianceModel):
    """Regression with a Tweedie deviance: minimises its mean half plus ``alpha |coef|^2 / 2``.

    ``fit``, ``predict`` and ``score`` take an ``offset``, on the scale of the link.

    Parameters
    ----------
    power : float, default=0.0
        Variance power: 0 normal, 1 Poisson, between 1 and 2 compound Poisson (zeros and positive amounts), 2 Gamma,
        3 inverse Gaussian. Between 0 and 1 no such distribution exists; negative powers are not supported.
    alpha, fit_intercept
        As in `PoissonRegressor`.
    link : {"auto", "identity", "log", "sqrt", "inverse"}, default="auto"
        "auto": identity for power 0, else log. "sqrt", for powers from 1 to below 2, has means that are squares of the
        linear predictor, "inverse", for powers of at least 2, one over it. With these, and with the identity link and
        power > 0, all linear predictors stay positive.
    solver, max_iter, tol, warm_start, verbose, random_state, penalty_weights, penalty_matrix,
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

    Examples
    --------
    >>> from sk_hessian.linear_model import TweedieRegressor
    >>> model = TweedieRegressor(power=1, link="identity", alpha=0.0).fit([[1.0], [2.0], [3.0]], [2, 4, 6])
    >>> model.coef_.round(4), model.predict([[4.0]]).round(4)
    (array([2.]), array([8.]))
    """

    def __init__(
        self,
        *,
        power=0.0,
        alpha=1.0,
        fit_intercept=True,
        link="auto",
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
        self.power = power
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.link = link
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
        power = _validation.check_number(self, "power", 0)
        if 0 < power < 1:
            raise ValueError(
                f"power={self.power!r}: no distribution exists between 0 and 1; use 0, or a power of at least 1"
            )
        check_link(self.link, ("auto", "log", *POWER_LINKS))
        if (self.link == "sqrt" and not 1 <= power < 2) or (self.link == "inverse" and power < 2):
            fitting = "from 1 to below 2" if self.link == "sqrt" else "of at least 2"
            raise ValueError(f"link={self.link!r} is for powers {fitting}, got power={self.power!r}: use 'log'")

    def _loss(self):
        link = self.link if self.link != "auto" else ("identity" if self.power == 0 else "log")
        return TweedieLoss(self.power, link)
