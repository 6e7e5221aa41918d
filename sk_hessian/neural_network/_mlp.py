"""Fully connected networks."""

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.special import log_expit
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from sk_hessian import _validation
from sk_hessian._base import by_rows, class_indices, log_probabilities, restored_on_failure
from sk_hessian._keywords import with_advice
from sk_hessian._scores import accuracy, r_squared
from sk_hessian._validation import RowData
from sk_hessian.neural_network._network import _Network
from sk_hessian.objectives import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredLoss, TweedieLoss

#: where Huber's loss turns from quadratic to linear, in scales; as in `HuberRegressor`
_EPSILON = 1.35

#: name of a regression loss -> activation of the output
_LINKS = {"squared_error": "identity", "huber": "identity", "poisson": "exp", "gamma": "exp"}


class MLPRegressor(RegressorMixin, _Network):
    """A fully connected network for regression.

    Minimises ``sum_i w_i loss(y_i, f(x_i)) / W + alpha / (2 W) |weights|^2`` with W the sum of the weights of the
    rows; the biases have no penalty.
    Inputs and targets are standardised inside the solver, so that any units train; ``coefs_`` are for the raw inputs.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "gamma", "huber"}, default="squared_error"
        Half the squared error; half the Poisson or Gamma deviance with a log link; or Huber's loss with epsilon=1.35
        and the scale estimated along. Several targets need "squared_error".
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of each hidden layer; () is a linear model.
    activation : {"identity", "logistic", "tanh", "relu", "softplus", "gelu", "silu"}, default="relu"
        Of the hidden layers. "relu" has kinks, where no optimum can be proved: such a fit ends as ``settled``.
    alpha : float or "evidence", default=1e-4
        Strength of the penalty, or "evidence", which chooses the one with the largest marginal likelihood, for weights
        in standardised units of X and y; unlike scikit-learn's it does not depend on the size of minibatches.
    solver : str or Solver, default="auto"
        "auto", "sgd", "momentum", "clip", "newton", "lbfgs", or an object such as ``Newton(hessian="exact")``, which
        has the learning rate, the batch size and the momentum.
    tol : float, default=1e-4
        ``optimal`` needs half the squared Newton decrement to be at most ``tol**2`` times the null model's loss. With
        ``early_stopping`` a validation score counts as better only by more than ``tol``.
    max_iter : int, default=1000
        Largest number of outer iterations; epochs for a stochastic solver.
    early_stopping : bool, default=False
        Hold out some rows, stop when their score no longer gets better, and go back to the best weights; with every
        solver, but not with ``partial_fit``. Both parts of X are copied to memory, even of a memory map.
    validation_fraction : float, default=0.1
        Share of the rows that ``early_stopping`` holds out.
    n_iter_no_change : int, default=10
        Iterations without a better validation score after which ``early_stopping`` stops.
    warm_start : bool, default=False
        Start from the former solution.
    n_init : int, default=1
        Starts; the best fit is kept, by the validation score with ``early_stopping``, by the evidence where that
        chooses ``alpha``, else by the loss.
    random_state : int, RandomState or None, default=None
        For initial weights, the held-out rows and minibatches.
    verbose : int, default=0
        Print every ``verbose``-th iteration.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out)
    intercepts_ : list of ndarray of shape (fan_out,)
    loss_ : float
        The objective, penalty included.
    best_loss_ : float or None
        The least of ``loss_curve_``; None with ``early_stopping``.
    loss_curve_ : list of float
        The objective after each iteration.
    validation_scores_ : list of float or None
        R^2 of the held-out rows after each iteration.
    best_validation_score_ : float or None
    scale_ : float
        Huber's scale; only with that loss.
    n_layers_, n_outputs_, n_iter_, t_ : int
        Layers with input and output, outputs, iterations, and rows seen.
    out_activation_ : str
        "identity" or "exp".
    alpha_, penalty_path_, solver_, convergence_, history_
        As in `sk_hessian.linear_model.PoissonRegressor`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.neural_network import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", alpha=1.0, random_state=0).fit(X, y)
    >>> model.convergence_.status, model.score(X, y) > 0.5
    ('optimal', True)
    """

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        alpha=1e-4,
        solver="auto",
        tol=1e-4,
        max_iter=1000,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        n_init=1,
        random_state=None,
        verbose=0,
    ):
        super().__init__(solver, tol, max_iter, warm_start, verbose, random_state)
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_init = n_init

    _of_targets: ClassVar = {"multi_output": True, "y_numeric": True}

    def _check_parameters(self):
        super()._check_parameters()
        if not isinstance(self.loss, str) or self.loss not in _LINKS:
            raise ValueError(f"loss must be one of {tuple(_LINKS)}, got {self.loss!r}")

    def _encode(self, y, weight, reset):
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        y = y.astype(float, copy=False)
        if y.ndim > 1 and self.loss != "squared_error":
            raise ValueError(f'y has {y.shape[1]} columns, but loss={self.loss!r} has one; use loss="squared_error"')
        loss = self._loss(y)
        _validation.check_range(loss, y, f"loss={self.loss!r}")
        return y, weight, loss

    def _loss(self, y):
        if self.loss == "squared_error":
            return SquaredLoss(1 if y.ndim == 1 else y.shape[1])
        if self.loss == "huber":
            return _validation.huber_loss(_EPSILON, y)
        return TweedieLoss(1 if self.loss == "poisson" else 2)

    def _set_weights(self, objective, theta):
        super()._set_weights(objective, theta)
        self.out_activation_ = _LINKS[self.loss]

    def _predicted(self, raw):
        prediction = np.exp(raw) if _LINKS[self.loss] == "exp" else raw
        return prediction[:, 0] if prediction.shape[1] == 1 else prediction

    def _score(self, raw, y, weight):
        prediction = self._predicted(raw)
        return r2_score(y, prediction, sample_weight=weight) if np.isfinite(prediction).all() else -np.inf

    @with_advice
    @restored_on_failure
    def partial_fit(self, X, y, sample_weight=None):
        """Go on with more rows, from the current weights.

        With "sgd", "momentum", "clip" and "auto" one epoch of minibatches over these rows. With "newton" and "lbfgs" a
        minimum for them and for what is remembered of those of former calls, their Gauss-Newton curvature (Ritter,
        Botev & Barber, 2018), so up to 2000 parameters. Rows of a ``fit``, or of calls with another kind of solver, are
        remembered by the weights alone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        self
        """
        self._go_on(RowData(X, y, sample_weight))
        return self

    def score(self, X, y=None, sample_weight=None):
        """R^2, the share of the variance explained; of several targets the mean.

        Parameters
        ----------
        X, y, sample_weight
            As of `fit`.

        Returns
        -------
        float
            A lazy dask array of shape () for dask collections.
        """
        return r_squared(self, RowData(X, y, sample_weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MLPClassifier(ClassifierMixin, _Network):
    """A fully connected network for classification.

    Minimises ``sum_i w_i loss(y_i, f(x_i)) / W + alpha / (2 W) |weights|^2`` with W the sum of the weights of the
    rows; the biases have no penalty.
    The loss is the binary cross-entropy for two classes, the softmax cross-entropy for more, and a binary one for each
    label of several. Inputs are standardised inside the solver; ``coefs_`` are for the raw ones.

    Parameters
    ----------
    hidden_layer_sizes, activation, alpha, solver, tol, max_iter, early_stopping, validation_fraction
        As in `MLPRegressor`; the held-out rows have their share of every class as nearly as whole rows allow, a rare
        one may have none, but the rows to train on have all.
    n_iter_no_change, warm_start, n_init
        As in `MLPRegressor`.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the weights of each class; not for several labels.
    random_state, verbose
        As in `MLPRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, or the numbers of the labels.
    validation_scores_ : list of float or None
        Accuracy of the held-out rows after each iteration; of several labels, of rows that are right in all.
    out_activation_ : str
        "logistic" or "softmax".
    coefs_, intercepts_, loss_, best_loss_, loss_curve_, best_validation_score_, n_layers_, n_outputs_, n_iter_, t_
        As in `MLPRegressor`.
    alpha_, penalty_path_, solver_, convergence_, history_
        As in `sk_hessian.linear_model.PoissonRegressor`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_hessian.neural_network import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(hidden_layer_sizes=(3,), activation="tanh", alpha=1.0, random_state=0).fit(X, y)
    >>> model.convergence_.status, model.score(X, y) > 0.95
    ('optimal', True)
    """

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        alpha=1e-4,
        solver="auto",
        tol=1e-4,
        max_iter=1000,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        n_init=1,
        class_weight=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(solver, tol, max_iter, warm_start, verbose, random_state)
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_init = n_init
        self.class_weight = class_weight

    classes_: Any

    def _encode(self, y, weight, reset):
        if sparse.issparse(y):
            y = y.toarray()
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        # in partial_fit the classes are known before there is a fit
        known = getattr(self, "_known_classes", None if reset else self.classes_)
        if known is not None:
            self._check_same_kind(y)
        if y.ndim == 2:
            return self._encode_labels(y), weight, BinaryCrossEntropy(y.shape[1])
        self.classes_, index, weight = _validation.check_classes(y, weight, self.class_weight, known)
        self._multilabel = False
        target, loss = _validation.class_target(index, len(self.classes_))
        return target, weight, loss

    def _encode_labels(self, y):
        check_classification_targets(y)
        if type_of_target(y) != "multilabel-indicator":
            raise ValueError("y has several columns: each must be a label with the values 0 and 1")
        if self.class_weight is not None:
            raise ValueError("class_weight must be None for several labels; use sample_weight")
        self.classes_, self._multilabel = np.arange(y.shape[1]), True
        return y.astype(float)

    def _set_weights(self, objective, theta):
        super()._set_weights(objective, theta)
        self.out_activation_ = "softmax" if isinstance(objective.loss, SoftmaxCrossEntropy) else "logistic"

    def _classes_of_rows(self, y):
        return y.astype(int) if y.ndim == 1 else None

    def _indices(self, raw):
        """The class of each row, or its labels, from raw predictions."""
        if self._multilabel:
            return (raw > 0).astype(int)
        return class_indices(raw)

    def _predicted(self, raw):
        indices = self._indices(raw)
        return indices if self._multilabel else self.classes_[indices]

    def _score(self, raw, y, weight):
        return accuracy_score(y.astype(int), self._indices(raw), sample_weight=weight)

    @by_rows
    def predict_proba(self, X):
        """Probability of each class, or of each label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.exp(self.predict_log_proba(X))

    @by_rows
    def predict_log_proba(self, X):
        """Logarithm of the probability of each class, or of each label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        raw = self._raw_prediction(X)
        return log_expit(raw) if self._multilabel else log_probabilities(raw)

    def score(self, X, y=None, sample_weight=None):
        """Share of the rows whose class is predicted; of several labels, of rows that are right in all.

        Parameters
        ----------
        X, y, sample_weight
            As of `fit`.

        Returns
        -------
        float
            A lazy dask array of shape () for dask collections.
        """
        return accuracy(self, RowData(X, y, sample_weight))

    # -- fit by parts ---------------------------------------------------------------------------------------------

    @with_advice
    @restored_on_failure
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on with more rows, from the current weights; see `MLPRegressor.partial_fit`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like of shape (n_classes,), optional
            All classes; needed in the first call, for y may not have them all.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        self
        """
        if self.class_weight is not None:
            raise ValueError("class_weight must be None for partial_fit, which does not see all rows")
        self._known_classes = _validation.known_classes(classes, getattr(self, "classes_", None))
        self._go_on(RowData(X, y, sample_weight))
        del self._known_classes
        return self

    def _check_same_kind(self, y):
        """Refuse to go on from weights for classes with labels, or the other way round."""
        if hasattr(self, "coefs_") and self._multilabel != (y.ndim == 2):
            now, former = ("classes", "several labels") if self._multilabel else ("several labels", "classes")
            raise ValueError(f"y has {now}, but the former calls had {former}: fit a new estimator")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
