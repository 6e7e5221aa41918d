"""Ordered classes, such as ratings: the cumulative model with parallel slopes."""

from typing import Any, ClassVar

import numpy as np
from sklearn.utils.metaestimators import available_if

from sk_hessian import _validation
from sk_hessian._base import by_rows
from sk_hessian.linear_model._linear_model import ClassesPredicted, LinearModel
from sk_hessian.linear_model._targets import check_levels, check_link, check_order, ordered_levels
from sk_hessian.objectives import ORDINAL_LINKS, OrdinalLoss

#: distances of thresholds below this share of their size are rounding
_SAME = 1e-12


def _never(estimator):
    raise AttributeError("partial_fit is not there: the thresholds depend on all rows at once")


class OrdinalClassifier(ClassesPredicted, LinearModel):
    """A cumulative model of ordered classes: minimises ``sum_i w_i loss(y_i, x_i) + alpha |coef|^2 / 2``.

    P(class <= j) = F(threshold_j - x'coef), with the same coefficients for all thresholds: a positive one makes higher
    classes more probable, as in R's ``polr`` and statsmodels' ``OrderedModel``. The loss is the negative
    log-likelihood, and thresholds are never penalised. ``alpha`` is what 1 / C is in `LogisticRegression`: a strength
    beside the sum over the rows. Two classes with the link "logit" are its model. ``fit``, predictions and scores take
    an ``offset``, which is added to x'coef.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog", "cauchit"}, default="logit"
        F is the logistic distribution (proportional odds), the normal one, 1 - exp(-exp(.)) (proportional hazards), or
        the Cauchy distribution, whose likelihood may have several optima.
    alpha : float, default=1.0
        Strength of the penalty; 0 for none.
    order : array-like of shape (n_levels,), default=None
        The labels from the lowest to the highest; those that y does not have are left out. None for the order of an
        ordered categorical of pandas, else of sorted labels: numbers by size, and strings, with a warning, by alphabet.
    solver, max_iter, tol, warm_start, verbose, random_state, penalty_weights, penalty_matrix,
    categorical_features
        As in `PoissonRegressor`, of which the penalty is here ``alpha I + penalty_matrix``.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted, as scikit-learn's scorers expect: the columns of `predict_proba` are in this order.
    levels_ : ndarray of shape (n_classes,)
        The same from the lowest to the highest.
    coef_ : ndarray of shape (n_features,)
    thresholds_ : ndarray of shape (n_classes - 1,)
        Increasing. In an objective's parameters, as inspection has them, an intercept is minus the first one, and the
        loss's constants are the distances of the others from it; `coef_table` shows the thresholds themselves.
    n_iter_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    References
    ----------
    .. [1] P. McCullagh, "Regression models for ordinal data", JRSS B 42(2), 1980.
    .. [2] A. Agresti, "Analysis of Ordinal Categorical Data", 2nd ed., 2010, chapters 3 to 5.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.linear_model import OrdinalClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 2))
    >>> latent = X @ [1.0, -0.5] + rng.logistic(size=1000)
    >>> y = np.array(["poor", "fair", "good"])[np.digitize(latent, [-1, 1])]
    >>> model = OrdinalClassifier(alpha=0, order=["poor", "fair", "good"]).fit(X, y)
    >>> model.coef_.round(1), model.thresholds_.round(1), model.predict([[2.0, 0.0], [-2.0, 0.0]])
    (array([ 1.1, -0.6]), array([-1. ,  1.1]), array(['good', 'poor'], dtype='<U4'))
    """

    def __init__(
        self,
        link="logit",
        alpha=1.0,
        *,
        order=None,
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
        self.link = link
        self.alpha = alpha
        self.order = order
        self.penalty_weights = penalty_weights
        self.penalty_matrix = penalty_matrix
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features

    classes_: Any

    _of_targets: ClassVar = {}

    #: thresholds are intercepts: there is always one
    fit_intercept = True

    _estimates = ("coef_", "thresholds_")

    @property
    def intercept_(self):
        """Minus the first threshold: the intercept beside a first threshold of zero."""
        return -self.thresholds_[0]

    def _check_parameters(self):
        _validation.check_number(self, "alpha", 0)
        check_link(self.link, ORDINAL_LINKS)
        check_order(self.order)

    def _objective_of(self, data, reset, before=0.0, check=None):
        self._levels = ordered_levels(self.order, data.y)
        try:
            return super()._objective_of(data, reset, before, check)
        finally:
            del self._levels

    def _encode(self, y, weight, reset):
        known = None if reset else self.classes_
        self.classes_, index, weight = _validation.check_classes(y, weight, None, known)
        if reset:
            self.levels_ = self._ordered()
        y, loss = self._ranks[index], OrdinalLoss(len(self.classes_), self.link)
        if reset:
            self._check_thresholds(loss.family.best_constant(y, weight))
        return y, weight, loss

    def _check_thresholds(self, null):
        """Refuse a class so rare that the null model's thresholds on both sides of it are the same number."""
        size = 1.0 + np.abs(null).max()
        same = np.flatnonzero(np.diff(null[1:], prepend=0.0) <= _SAME * size)
        if same.size:
            raise ValueError(
                f"sample_weight: the class {self.levels_[same[0] + 1]!s} has next to no share of the weight, so that "
                "the thresholds on both sides of it are the same number: drop it, or merge it with a neighbour"
            )

    @property
    def _ranks(self):
        """Of each of ``classes_``, the position in ``levels_``."""
        return np.argsort(np.searchsorted(self.classes_, self.levels_))

    def _ordered(self):
        """The classes from the lowest to the highest."""
        if self._levels is not None:
            return check_levels(self._levels, self.classes_)
        if self.classes_.dtype.kind in "OUS" and len(self.classes_) > 2:
            self._tell(
                f"the classes are taken in alphabetical order, from {self.classes_[0]!s} to {self.classes_[-1]!s}. "
                "Pass order=, the labels from the lowest to the highest, or an ordered categorical of pandas as y",
                category=UserWarning,
            )
        return self.classes_.copy()

    def _strength(self):
        return self.alpha

    def _unpack(self, objective, coef, intercept, constants):
        self.coef_ = np.ascontiguousarray(coef[:, 0])
        self.thresholds_ = np.append(0.0, constants) - intercept[0]

    def _rounded(self, exact, dtype):
        rounded = super()._rounded(exact, dtype)
        if rounded is None or (np.diff(rounded[1]) > 0).all():
            return rounded
        # thresholds that are near each other do not survive it
        self._exact = None
        return None

    def _fitted_weights(self, n_outputs):
        coef, thresholds = self._unrounded((self.coef_, self.thresholds_))
        return coef[:, None], -thresholds[:1]

    def _fitted_constants(self):
        thresholds = self._unrounded((self.coef_, self.thresholds_))[1]
        return thresholds[1:] - thresholds[0]

    def _former_constants(self, null):
        former = self._fitted_constants()
        return former if former.shape == null.shape else null

    partial_fit = available_if(_never)(LinearModel.partial_fit)

    # -- predictions ----------------------------------------------------------------------------------------------

    def _log_probabilities(self, raw):
        """Those of the classes in the order of ``levels_``, from linear predictors less the first threshold (n,)."""
        constants, dtype = self.thresholds_[1:] - self.thresholds_[0], raw.dtype
        raw = np.column_stack([raw, np.broadcast_to(constants, (len(raw), len(constants)))]).astype(float, copy=False)
        return OrdinalLoss(len(self.thresholds_) + 1, self.link).log_probabilities(raw).astype(dtype, copy=False)

    def _by_class(self, columns):
        """Columns in the order of ``levels_`` in that of ``classes_``."""
        return columns[:, self._ranks]

    def _predicted(self, raw):
        return self.levels_[self._log_probabilities(raw).argmax(axis=1)]

    @by_rows
    def predict_proba(self, X, offset=None):
        """Probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,), optional
            As of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.exp(self.predict_log_proba(X, offset))

    @by_rows
    def predict_log_proba(self, X, offset=None):
        """Logarithm of the probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,), optional
            As of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._by_class(self._log_probabilities(self._raw_prediction(X, offset)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # scikit-learn's checks of scores have classes without an order
        tags.classifier_tags.poor_score = True
        return tags
