"""Logistic regression, binary and softmax."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_hessian import _validation
from sk_hessian._base import by_rows, class_indices, log_probabilities, probabilities, restored_on_failure
from sk_hessian._constraints import takes_streams
from sk_hessian._keywords import with_advice
from sk_hessian._strength import check_strength, chooses, given_strength
from sk_hessian._validation import RowData
from sk_hessian.linear_model._linear_model import ClassesPredicted, LinearModel
from sk_hessian.objectives import Jeffreys
from sk_hessian.solvers import LBFGS, Newton, check_solver


def _is_sum_over_rows(estimator):
    if estimator.jeffreys:
        raise AttributeError("partial_fit needs jeffreys=False: the prior is that of all rows at once")
    return takes_streams(estimator)


class LogisticRegression(ClassesPredicted, LinearModel):
    """Logistic regression: minimises ``C sum_i w_i loss(y_i, x_i) + |coef|^2 / 2``.

    The loss is the binary cross-entropy for two classes and the softmax cross-entropy for more; the intercept is
    never penalised. ``fit``, predictions and scores take an ``offset``, on the scale of the log odds, or of the logits.

    Parameters
    ----------
    C : float, "evidence" or "loo", default=1.0
        Inverse strength of the penalty; ``np.inf`` for none. "evidence" and "loo" choose one, see `PoissonRegressor`.
    fit_intercept : bool, default=True
    class_weight : dict, "balanced" or None, default=None
        Multiplies the weights of each class.
    solver, tol, max_iter, warm_start, verbose, random_state, penalty_weights, categorical_features
        As in `PoissonRegressor`.
    penalty_matrix : array-like, sparse matrix or data frame of shape (n_features, n_features), default=None
        M, symmetric and positive semi-definite: I / C + M takes the place of I / C, for the coefficients of
        each output and not for the intercept. A data frame has the names of the columns on both sides, in any order.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`; for two classes.
    jeffreys : bool, default=False
        Whether to add half the log-determinant of the information to the log-likelihood: Jeffreys' prior, by which
        Firth (1993) reduces the bias of the estimates, and which gives finite estimates where the classes are
        separated. For two classes, ``C=np.inf`` and the solvers "auto", "newton" and "lbfgs".

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        The softmax coefficients sum to zero over the classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
    n_iter_ : ndarray of shape (1,)
    C_ : float
        As ``alpha_`` of `PoissonRegressor`.
    penalty_path_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> model.convergence_.status, round(model.score(X, y), 2)
    ('optimal', 0.96)
    """

    def __init__(
        self,
        C=1.0,
        *,
        fit_intercept=True,
        class_weight=None,
        solver="auto",
        tol=1e-4,
        max_iter=1000,
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
        jeffreys=False,
    ):
        super().__init__(solver, tol, max_iter, warm_start, verbose, random_state)
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.penalty_weights = penalty_weights
        self.penalty_matrix = penalty_matrix
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features
        self.jeffreys = jeffreys

    classes_: Any

    _of_targets: ClassVar = {}
    _strength_name = "C"

    def _check_parameters(self):
        check_strength(self, strict=True, infinite=True)
        if not isinstance(self.jeffreys, (bool, np.bool_)):
            raise TypeError(f"jeffreys must be True or False, got {self.jeffreys!r}")
        if self.jeffreys:
            self._check_jeffreys()

    def _check_jeffreys(self):
        """Refuse what goes not together with a prior that is no sum over rows, and is the penalty."""
        if chooses(self) or np.isfinite(self.C):
            raise ValueError(f"jeffreys=True needs C=np.inf, got C={self.C!r}: the prior takes the penalty's place")
        for name in ("penalty_weights", "penalty_matrix"):
            if getattr(self, name) is not None:
                raise ValueError(f"jeffreys=True needs {name}=None: the prior takes the penalty's place")
        solver = check_solver(self.solver)
        subsampled = isinstance(solver, Newton) and solver.hessian == "subsampled"
        if subsampled or not (solver is None or isinstance(solver, (Newton, LBFGS))):
            raise ValueError(
                f"jeffreys=True needs solver='auto', 'newton' or 'lbfgs' and all rows at once, got "
                f"solver={self.solver!r}: Jeffreys' prior is no sum over rows"
            )

    def _terms(self):
        return (Jeffreys(),) if self.jeffreys else ()

    def _encode(self, y, weight, reset):
        # in partial_fit the classes are known before there is a fit
        known = getattr(self, "_known_classes", None if reset else self.classes_)
        self.classes_, index, weight = _validation.check_classes(y, weight, self.class_weight, known)
        if self.jeffreys and len(self.classes_) > 2:
            raise ValueError(
                "Only binary classification is supported with jeffreys=True, "
                f"but y has {len(self.classes_)} classes: {self.classes_}"
            )
        target, loss = _validation.class_target(index, len(self.classes_))
        return target, weight, loss

    def _strength(self):
        return 1 / given_strength(self)

    def _unpack(self, objective, coef, intercept, constants):
        self.coef_ = np.ascontiguousarray(coef.T)
        self.intercept_ = intercept.copy()

    def _record(self, result):
        super()._record(result)
        self.n_iter_ = np.array([self.n_iter_])
        verdict = self.convergence_
        if verdict.status == "separated" and len(self.classes_) == 2:
            advice = "Or use jeffreys=True with C=np.inf, whose estimates are finite."
            self.convergence_ = replace(verdict, message=f"{verdict.message} {advice}")

    @available_if(_is_sum_over_rows)
    @with_advice
    @restored_on_failure
    def partial_fit(self, X, y=None, classes=None, sample_weight=None, offset=None, *, forgetting=1.0):
        """Go on with more rows; see `LinearRegression.partial_fit`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), optional
            All classes; needed in the first call unless a fit has told, for y may not have them all.
        sample_weight : array-like of shape (n_samples,), optional
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
        forgetting : float, default=1.0
            What the weight of all rows before is multiplied with.

        Returns
        -------
        self
        """
        if isinstance(self.class_weight, str):
            raise ValueError('class_weight="balanced" needs all rows: give partial_fit a dict of weights, or None')
        former = getattr(self, "classes_", None)
        if self._memory is None:
            classes, former = former if classes is None else classes, None
        self._known_classes = _validation.known_classes(classes, former)
        self._go_on(RowData(X, y, sample_weight, offset), forgetting)
        del self._known_classes
        return self

    def _predicted(self, raw):
        return self.classes_[class_indices(raw)]

    @by_rows
    def decision_function(self, X, offset=None):
        """Linear predictor: the log odds, or the logits of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            As of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)

        Warns
        -----
        UserWarning
            Without an offset where the fit had one; so do all predictions.
        """
        raw = self._raw_prediction(X, offset)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    @by_rows
    def predict_proba(self, X, offset=None):
        """Probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            As of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return probabilities(self._raw_prediction(X, offset))

    @by_rows
    def predict_log_proba(self, X, offset=None):
        """Logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            As of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return log_probabilities(self._raw_prediction(X, offset))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = not self.jeffreys
        return tags

    def sparsify(self):
        """Store ``coef_`` as a sparse matrix.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        self.coef_ = sparse.csr_array(self.coef_)
        return self

    def densify(self):
        """Store ``coef_`` as an array again.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self
