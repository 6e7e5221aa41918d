"""Fully connected networks."""

from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import log_expit
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from sk_hessian import _validation
from sk_hessian._base import Classifier, Regressor, SolvedEstimator, by_rows, class_indices, restored_on_failure
from sk_hessian._keywords import with_advice
from sk_hessian.neural_network._stopping import HeldOut, split
from sk_hessian.objectives import (
    ACTIVATIONS,
    BinaryCrossEntropy,
    MLPObjective,
    NetworkStreamObjective,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
    first_memory,
    network_predictions,
)
from sk_hessian.solvers import LBFGS, SOLVERS, Newton, check_solver, minimize

#: rows of a minibatch of `partial_fit`, as in scikit-learn
_BATCH = 200

#: parameters up to which second-order solvers go on with a stream of rows
_MOST_REMEMBERED = 2000

#: where Huber's loss turns from quadratic to linear, in scales; as in `HuberRegressor`
_EPSILON = 1.35

#: name of a regression loss -> activation of the output
_LINKS = {"squared_error": "identity", "huber": "identity", "poisson": "exp", "gamma": "exp"}


class _Network(SolvedEstimator):
    """Fit and raw prediction of both networks; a subclass says which loss."""

    #: what second-order solvers have learned from a stream of rows, see `partial_fit`
    _memory = None

    #: float64 weights and biases of a fit whose attributes are float32
    _exact: Any = None

    # -- what a subclass says -------------------------------------------------------------------------------------

    def _encode(self, y, weight, reset):
        """The target as the loss wants it, the weights, and the loss; ``reset`` for a new fit."""
        raise NotImplementedError

    def _predicted(self, raw):
        """The prediction from raw ones."""
        raise NotImplementedError

    def _score(self, raw, y, weight):
        """The validation score of raw predictions, for encoded ``y``."""
        raise NotImplementedError

    def _classes_of_rows(self, y):
        """What a validation part should have its share of, from encoded ``y``."""
        return

    # -- parameters -----------------------------------------------------------------------------------------------

    def _check_parameters(self):
        self._hidden_sizes()
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {tuple(ACTIVATIONS)}, got {self.activation!r}")
        _validation.check_number(self, "alpha", 0)
        for name in ("n_iter_no_change", "n_init"):
            _validation.check_count(self, name)
        fraction = self.validation_fraction
        if isinstance(fraction, bool) or not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
            raise ValueError(f"validation_fraction must be a number between 0 and 1, got {fraction!r}")

    def _hidden_sizes(self):
        sizes = self.hidden_layer_sizes
        sizes = (sizes,) if isinstance(sizes, Integral) else sizes
        good = isinstance(sizes, (tuple, list, np.ndarray)) and all(
            isinstance(size, Integral) and not isinstance(size, bool) and int(size) > 0 for size in sizes
        )
        if not good:
            raise ValueError(
                "hidden_layer_sizes must be a positive integer or a sequence of them, () for no hidden layer, "
                f"got {self.hidden_layer_sizes!r}"
            )
        return tuple(int(size) for size in sizes)

    # -- fit ------------------------------------------------------------------------------------------------------

    def _max_subtasks(self):
        return self.n_init if self.n_init > 1 else None

    def _fit(self, X, y, sample_weight, task):
        X, y, weight, loss = self._checked(X, y, sample_weight, reset=True)
        generator = np.random.default_rng(_validation.check_seed(self.random_state))
        held = None
        if self.early_stopping:
            train, rest = split(len(y), self.validation_fraction, self._classes_of_rows(y), generator)
            held = X[rest], y[rest], weight[rest]
            X, y, weight = X[train], y[train], weight[train]
        objective = self._objective(X, y, weight, loss)
        result, watch = self._best_run(objective, held, generator, task)
        self._set_weights(objective, result.x)
        self._record(result)
        self._set_curves(result, watch, len(y))
        self._generator, self._moments, self._memory = generator, objective.moments, None

    def _target_options(self):
        return {"multi_output": True}

    def _checked(self, X, y, sample_weight, reset):
        """X, y and weights as the objective wants them, and the loss."""
        _validation.check_in_memory(self, X, y, sample_weight)
        options = self._target_options()
        X, y, weight, _ = _validation.check_training_data(self, X, y, sample_weight, reset=reset, **options)
        return X, *self._encode(y, weight, reset)

    def _objective_of(self, X, y, sample_weight, reset):
        return self._objective(*self._checked(X, y, sample_weight, reset))

    def _fitted_theta(self, objective):
        if objective.loss.n_outputs != self.n_outputs_:
            raise ValueError(
                f"y has {objective.loss.n_outputs} outputs, but the estimator was fitted with {self.n_outputs_}"
            )
        constants = [np.log(self.scale_)] if objective.loss.n_constants else []
        return objective.pack(*self._exact_layers(), constants)

    def _exact_layers(self):
        """Weights and biases of all layers in float64, see `_validation.unrounded`."""
        parts = _validation.unrounded((*self.coefs_, *self.intercepts_), self._exact)
        return parts[: len(self.coefs_)], parts[len(self.coefs_) :]

    def _objective(self, X, y, weight, loss):
        return MLPObjective(
            X,
            y,
            loss,
            hidden_layer_sizes=self._hidden_sizes(),
            activation=self.activation,
            sample_weight=weight,
            penalty=self.alpha / weight.sum(),
            feature_names=getattr(self, "feature_names_in_", None),
        )

    def _starts(self, objective, generator):
        """``n_init`` starts; the first is the former solution with ``warm_start``."""
        is_warm = self.warm_start and hasattr(self, "coefs_")
        first = self._former(objective) if is_warm else objective.start(generator)
        return [first] + [objective.start(generator) for _ in range(self.n_init - 1)]

    def _former(self, objective):
        """The current weights as a start."""
        shapes = [(rows - 1, columns) for _, (rows, columns) in objective.layers]
        former = [coef.shape for coef in self.coefs_]
        if former != shapes:
            raise ValueError(
                f"the former coefs_ have the shapes {former}, the data and hidden_layer_sizes need {shapes}: "
                "refit with warm_start=False, or a new estimator"
            )
        constants = self._former_constants(objective.unpack(objective.start(0))[2])
        return objective.pack(*self._exact_layers(), constants)

    def _best_run(self, objective, held, generator, task):
        """The best of the runs from all starts, as of `_run`; with several starts each is a task."""
        runs = []
        for start in self._starts(objective, generator):
            of_start = task.subtask("start", max_subtasks=None) if self.n_init > 1 else task
            runs.append(self._run(objective, start, held, generator, of_start))
            result = runs[-1][0]
            if self.n_init > 1 and of_start.end(partial(self._attributes_at, objective, result.x, result.fun)):
                break
        return max(runs, key=lambda run: run[1].best_score if run[1] else -run[0].fun)

    def _run(self, objective, start, held, generator, task):
        """A result, at the best weights by the rows ``held`` out, and what watched them."""
        if held is None:
            return self._minimize(objective, start, generator, task), None
        X, y, weight = held
        watch = HeldOut(lambda theta: self._score(objective.raw(theta, X), y, weight), self.tol, self.n_iter_no_change)
        return watch.restored(self._minimize(objective, start, generator, task, watch), objective), watch

    def _set_weights(self, objective, theta):
        coefs, intercepts, constants = objective.unpack(theta)
        exact = [part.copy() for part in (*coefs, *intercepts)]
        rounded = _validation.rounded_to_float32(exact) if objective.rows.dtype == np.float32 else None
        self._exact = exact if rounded else None
        parts, n_layers = rounded or exact, len(coefs)
        self.coefs_, self.intercepts_ = parts[:n_layers], parts[n_layers:]
        self.n_layers_, self.n_outputs_ = len(coefs) + 1, objective.loss.n_outputs
        if len(constants):
            self.scale_ = max(float(np.exp(constants[0])), objective.loss.floor)

    def _set_curves(self, result, watch, n_rows):
        self.loss_ = result.fun
        self.loss_curve_ = result.history["objective"][1:].tolist() or [result.fun]
        self.best_loss_ = None if watch else min(self.loss_curve_)
        self.validation_scores_ = watch.scores if watch else None
        self.best_validation_score_ = watch.best_score if watch else None
        self.t_ = self.n_iter_ * n_rows

    # -- fit by parts ---------------------------------------------------------------------------------------------

    def _partial_fit(self, X, y, sample_weight):
        """Go on from the current weights, in units of all rows seen so far."""
        self._check_all_parameters()
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: it holds no rows out")
        is_first = not hasattr(self, "coefs_")
        objective = self._objective_of(X, y, sample_weight, reset=is_first)
        if is_first:
            self._generator = np.random.default_rng(_validation.check_seed(self.random_state))
        if hasattr(self, "_moments"):
            objective.moments = self._moments.merged(objective.moments)
        self._moments = objective.moments
        theta = objective.start(self._generator) if is_first else self._former(objective)
        is_second_order = isinstance(check_solver(self.solver), (Newton, LBFGS))
        theta, result = (self._solve if is_second_order else self._epoch)(objective, theta)
        self._set_weights(objective, theta)
        self._append(objective, theta, result, is_first)
        if is_second_order:
            self._tell(self._advice())

    def _solve(self, rows, theta):
        """The weights at a minimum for the rows and what is remembered of those before, and the result."""
        if rows.n_parameters > _MOST_REMEMBERED:
            raise ValueError(
                f"partial_fit with this solver remembers a matrix of all pairs of parameters, at most "
                f'{_MOST_REMEMBERED}, and this network has {rows.n_parameters}: use solver="sgd", or smaller layers'
            )
        memory = first_memory(rows, True, theta) if self._memory is None else self._memory.told(rows)
        objective = NetworkStreamObjective(rows, memory)
        result = self._minimize(objective, memory.centre, self._generator)
        self._memory = objective.remembered(result.x, result.success)
        return result.x, result

    def _epoch(self, objective, theta):
        """The weights after one epoch, and the last result: a solver object's own epoch, or one of minibatches.

        A minibatch moves the weights by one iteration of the solver, times rows over rows plus parameters: a few rows
        do not undo what many have taught.
        """
        self._memory = None
        if not isinstance(self.solver, str):
            result = self._iterate(objective, theta, self.solver)
            return result.x, result
        solver = SOLVERS["sgd" if self.solver == "auto" else self.solver]()
        if "batch_size" in solver.get_params():
            solver.set_params(batch_size=None)
        order, n_rows = self._generator.permutation(objective.n_rows), objective.n_rows
        for first in range(0, n_rows, _BATCH):
            rows = np.sort(order[first : first + _BATCH])
            result = self._iterate(objective.sample(rows) if len(rows) < n_rows else objective, theta, solver)
            theta = theta + len(rows) / (len(rows) + theta.size) * (result.x - theta)
        return theta, result

    def _iterate(self, objective, theta, solver):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return minimize(objective, theta, solver, tol=self.tol, max_iter=1, random_state=self._generator)

    def _append(self, objective, theta, result, is_first):
        before = (0, 0, []) if is_first else (self.n_iter_, self.t_, self.loss_curve_)
        self._record(result)
        self.n_iter_, self.t_ = before[0] + 1, before[1] + objective.n_rows
        self.loss_ = objective.value_and_gradient(theta)[0]
        self.loss_curve_ = [*before[2], self.loss_]
        self.best_loss_ = min(self.loss_curve_)
        self.validation_scores_ = self.best_validation_score_ = None

    # -- prediction -----------------------------------------------------------------------------------------------

    def _raw_prediction(self, X):
        """Raw predictions, shape (n, n_outputs)."""
        X = self._checked_rows(X)
        layers = list(zip(self.coefs_, self.intercepts_, strict=True))
        raw = network_predictions(X, layers, ACTIVATIONS[self.activation])
        return raw.astype(np.result_type(X, *self.coefs_), copy=False)

    @by_rows
    def predict(self, X):
        """Predict the target.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        return self._predicted(self._raw_prediction(X))


class MLPRegressor(Regressor, _Network):
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
    alpha : float, default=1e-4
        Strength of the penalty; unlike scikit-learn's it does not depend on the size of minibatches.
    solver : str or Solver, default="auto"
        "auto", "sgd", "momentum", "clip", "newton", "lbfgs", or an object such as ``Newton(hessian="exact")``, which
        has the learning rate, the batch size and the momentum.
    tol : float, default=1e-4
        ``optimal`` needs half the squared Newton decrement to be at most ``tol**2`` times the null model's loss. With
        ``early_stopping`` a validation score counts as better only by more than ``tol``.
    max_iter : int, default=1000
        Most outer iterations; epochs for a stochastic solver.
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
        Starts; the best fit is kept, by the validation score with ``early_stopping``, else by the loss.
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
    solver_, convergence_, history_
        As in `sk_hessian.linear_model.LinearRegression`.
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
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.n_init = n_init
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        if not isinstance(self.loss, str) or self.loss not in _LINKS:
            raise ValueError(f"loss must be one of {tuple(_LINKS)}, got {self.loss!r}")

    def _target_options(self):
        return {"multi_output": True, "y_numeric": True}

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
        with restored_on_failure(self):
            self._partial_fit(X, y, sample_weight)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MLPClassifier(Classifier, _Network):
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
    solver_, convergence_, history_
        As in `sk_hessian.linear_model.LinearRegression`.
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.n_init = n_init
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose

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

    def _log_probabilities(self, raw):
        return log_expit(raw) if self._multilabel else super()._log_probabilities(raw)

    # -- fit by parts ---------------------------------------------------------------------------------------------

    @with_advice
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on with more rows, from the current weights.

        With "sgd", "momentum", "clip" and "auto" one epoch of minibatches over these rows. With "newton" and "lbfgs" a
        minimum for them and for what is remembered of those of former calls, their Gauss-Newton curvature (Ritter,
        Botev & Barber, 2018), so up to 2000 parameters. Rows of a ``fit``, or of calls with another kind of solver, are
        remembered by the weights alone.

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
        with restored_on_failure(self):
            if self.class_weight is not None:
                raise ValueError("class_weight must be None for partial_fit, which does not see all rows")
            self._set_known_classes(classes, getattr(self, "classes_", None))
            self._partial_fit(X, y, sample_weight)
            self.__dict__.pop("_known_classes", None)
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
