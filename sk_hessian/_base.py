"""What every estimator does: validate, build the objective, minimise, unpack, warn."""

import contextlib
import copy
import warnings
from functools import partial, wraps
from inspect import currentframe
from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sk_hessian import _validation
from sk_hessian._callbacks import UNTOLD, CallbackSupportMixin, Task, with_callbacks
from sk_hessian._keywords import advice_on, with_advice
from sk_hessian.objectives import (
    SquaredLoss,
    deviance_sums,
    explained_of_sums,
    is_distributed,
    map_distributed,
    parts_of,
)
from sk_hessian.solvers import check_solver, minimize

#: columns of the history that ``verbose`` prints, with their widths and formats
_VERBOSE_COLUMNS = {
    "iteration": (9, "d"),
    "objective": (18, ".10g"),
    "gradient_norm": (14, ".3g"),
    "decrement": (11, ".3g"),
    "step": (10, ".3g"),
    "seconds": (12, ".3f"),
}


#: a warm start's scale is at least this share of the null model's
_LEAST_WARM_SCALE = 1e-3


@contextlib.contextmanager
def restored_on_failure(estimator):
    """Give an estimator its attributes back if the block raises, be it an interrupt."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _frames_inside():
    """The ``stacklevel`` by which a warning of the calling function points at the user's line."""
    frame, n_frames = currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame, n_frames = frame.f_back, n_frames + 1
    return n_frames


def progress_printer(verbose):
    """A callback that prints one aligned line for the first and every ``verbose``-th iteration, or None."""
    if not verbose:
        return None

    def show(state):
        if state.iteration == 1:
            print("".join(f"{name:>{width}}" for name, (width, _) in _VERBOSE_COLUMNS.items()))
        if state.iteration == 1 or state.iteration % verbose == 0:
            print("".join(f"{state.record[name]:>{width}{form}}" for name, (width, form) in _VERBOSE_COLUMNS.items()))

    return show


def class_indices(raw):
    """The most probable class of each row, from log odds (n, 1) or logits (n, n_classes)."""
    return (raw[:, 0] > 0).astype(int) if raw.shape[1] == 1 else raw.argmax(axis=1)


def by_rows(predict):
    """Let a prediction take a dask collection: it returns a lazy dask array with the same partitions then."""

    @wraps(predict)
    def predicted(self, X, *args, **row_data):
        if not is_distributed(X):
            return predict(self, X, *args, **row_data)
        check_is_fitted(self)
        if any(values is not None for values in (*args, *row_data.values())):
            raise ValueError("offset must be None for a dask collection: predict its partitions by map_partitions")
        return map_distributed(getattr(self._as_it_is(), predict.__name__), X)

    return predicted


class Classifier(ClassifierMixin):
    """The probabilities of all classifiers, from raw predictions: log odds (n, 1) or logits (n, n_classes)."""

    classes_: Any

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
        return self._log_probabilities(self._raw_prediction(X))

    def score(self, X, y=None, sample_weight=None):
        """Share of the rows whose class is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        float
            A lazy dask array of shape () for dask collections.
        """
        return self._accuracy(X, y, sample_weight)

    def _accuracy(self, X, y, sample_weight, **row_data):
        parts = parts_of(X, y, sample_weight, **row_data)
        if parts is None:
            return accuracy_score(y, self.predict(X, **row_data), sample_weight=sample_weight)
        check_is_fitted(self)
        return _validation.score_parts(parts, self._as_it_is()._right, lambda sums, y, weight: sums[0] / sums[1])

    def _right(self, X, y, weight):
        """Weight of the rows whose class is predicted, and of all."""
        total = weight.sum()
        return np.array([total * accuracy_score(y, self.predict(X), sample_weight=weight), total])

    def _set_known_classes(self, classes, former):
        """All classes of a stream of rows, before the next ones; ``former`` are those of the former calls, or None."""
        if classes is None and former is None:
            raise ValueError("classes must be given in the first call of partial_fit")
        if classes is not None:
            classes = np.unique(check_array(classes, ensure_2d=False, dtype=None, input_name="classes"))
            if former is not None and not np.array_equal(classes, former):
                raise ValueError(f"classes={classes} are not those of the former calls, {former}")
            if len(classes) < 2:
                raise ValueError(f"classes has only one class, {classes[0]!r}: a classifier needs at least two classes")
        self._known_classes = former if classes is None else classes

    def _log_probabilities(self, raw):
        return np.hstack([log_expit(-raw), log_expit(raw)]) if raw.shape[1] == 1 else log_softmax(raw, axis=1)


class Regressor(RegressorMixin):
    """The R^2 of regressors."""

    def score(self, X, y=None, sample_weight=None):
        """R^2, the share of the variance explained; of several targets the mean.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        float
            A lazy dask array of shape () for dask collections.
        """
        parts = parts_of(X, y, sample_weight)
        if parts is None:
            return super().score(X, y, sample_weight)
        check_is_fitted(self)
        return _validation.score_parts(parts, self._as_it_is()._squares, _mean_explained)

    def _squares(self, X, y, weight):
        """`deviance_sums` of the squared loss of each target, shape (n_targets, 3)."""
        prediction = self.predict(X)
        y, prediction = y.reshape(len(y), -1), prediction.reshape(len(prediction), -1)
        if y.shape[1] != prediction.shape[1]:
            raise ValueError(f"y has {y.shape[1]} columns, but there are {prediction.shape[1]} predictions of each row")
        pairs = zip(y.T.astype(float), prediction.T, strict=True)
        return np.stack([deviance_sums(SquaredLoss(), one, raw[:, None], weight) for one, raw in pairs])


def _mean_explained(sums, y, weight):
    targets = y.reshape(len(y), -1).T
    return np.mean([explained_of_sums(SquaredLoss(), *pair, weight) for pair in zip(sums, targets, strict=True)])


class SolvedEstimator(CallbackSupportMixin, BaseEstimator):
    """What all estimators share: parameters, a fit that is restored on failure, the run of a solver, warnings."""

    # where the diagram of scikit-learn links to
    _doc_link_module = "sk_hessian"
    _doc_link_template = (
        "https://sk-hessian.readthedocs.io/en/latest/generated/{estimator_module}.{estimator_name}.html"
    )

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = with_advice(cls.__init__)  # type: ignore[method-assign]

    def set_params(self, **params):
        """Set parameters, ``solver__option`` those of a solver object.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For an unknown name, and for an option of a solver that is only a name.
        """
        known = list(self.get_params(deep=False))
        for name in params:
            if name.partition("__")[0] not in known:
                advice = advice_on(type(self), "__init__", name, known)
                raise ValueError(f"Invalid parameter {name!r} for estimator {type(self).__name__}. {advice}")
        options = [name for name in params if name.startswith("solver__")]
        solver = params.get("solver", self.solver)
        if options and isinstance(solver, str):
            raise ValueError(
                f"{options[0]} needs a solver object, but solver={solver!r} is a name: "
                "use for example solver=Newton() or SGD() of sk_hessian.solvers"
            )
        return super().set_params(**params)

    @with_advice
    def fit(self, X, y=None, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are used as they are, other types converted; a memory map is read in blocks.
        y : array-like of shape (n_samples,)
            Target, shape (n_samples, n_targets) where several are allowed.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative; a row of weight 2 counts like two rows. Where some are zero the other rows of X are copied to
            memory, even of a memory map.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument. The estimator is then as it was before.

        Warns
        -----
        ConvergenceWarning
            Where ``convergence_.status`` is not "optimal", "stopped" or "settled".
        """
        return self._fit_and_tell(X, y, sample_weight)

    def _fit_and_tell(self, X, y, sample_weight, **row_data):
        with restored_on_failure(self):
            self._check_all_parameters()
            self._fit_as_task(X, y, sample_weight, **row_data)
            self._tell(self._advice())
        return self

    @with_callbacks
    def _fit_as_task(self, X, y, sample_weight, **row_data):
        task = Task.of_fit(self, X, y, {"sample_weight": sample_weight, **row_data}, self._max_subtasks())
        self._fit(X, y, sample_weight, task, **row_data)
        task.end(dict)

    def _max_subtasks(self):
        """Parts of a fit that callbacks are told of; None for iterations, whose number is not known before."""
        return

    def _fit(self, X, y, sample_weight, task):
        """Validate the data, minimise, and set the fitted attributes; ``task`` is what callbacks are told of."""
        raise NotImplementedError

    def _set_weights(self, objective, theta):
        """Set the fitted attributes that predictions need."""
        raise NotImplementedError

    def fitted_objective(self, X, y=None, sample_weight=None):
        """The objective on the rows that the estimator was fitted on, and the fitted parameters.

        What `sk_hessian.inspection` looks at; nothing is kept.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional
            Rows of weight zero are left out.

        Returns
        -------
        objective : sk_hessian.objectives.Objective
        theta : ndarray of shape (n_parameters,)

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument.
        NotFittedError
        """
        return self._objective_and_theta(X, y, sample_weight)

    def _objective_and_theta(self, X, y, sample_weight, **row_data):
        check_is_fitted(self)
        objective = self._objective_of(X, y, sample_weight, reset=False, **row_data)
        return objective, self._fitted_theta(objective)

    def _objective_of(self, X, y, sample_weight, reset):
        """The objective on checked rows; ``reset`` for a fit, which learns the features and the classes."""
        raise NotImplementedError

    def _fitted_theta(self, objective):
        """The fitted attributes as parameters of an objective."""
        raise NotImplementedError

    def _check_parameters(self):
        """Check the parameters that are not common to all."""
        raise NotImplementedError

    def _check_all_parameters(self):
        _validation.check_common(self)
        self._check_parameters()
        check_solver(self.solver)

    def _minimize(self, objective, start, random_state, task=UNTOLD, watch=None):
        """The `Result` of the solver; ``watch(state)`` and the callbacks of ``task`` may stop it."""
        before, after = task.iterations(partial(self._attributes_at, objective))
        observers = [see for see in (progress_printer(self.verbose), watch, after) if see is not None]

        def callback(state):
            answers = [see(state) for see in observers]
            return any(answers)

        # an overflow is a value that is not finite, which the solvers handle; as a warning it would say nothing
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return minimize(
                objective,
                start,
                self.solver,
                tol=self.tol,
                max_iter=self.max_iter,
                callback=callback if observers else None,
                before=before,
                random_state=random_state,
            )

    def _attributes_at(self, objective, theta, value):
        """The fitted attributes that predictions at ``theta`` need, None where the objective is not finite."""
        if not np.isfinite(value):
            return None
        there, here = copy.copy(self), vars(self)
        there._set_weights(objective, objective.canonical(theta))
        return {name: value for name, value in vars(there).items() if value is not here.get(name)}

    def _former_constants(self, null):
        """The loss's constants of the former fit, for a start; ``null`` are those of the null model."""
        # a scale that had collapsed on a perfect fit would hide the gradient
        return np.maximum(np.log(getattr(self, "scale_", 1.0)), null + np.log(_LEAST_WARM_SCALE))

    def _record(self, result):
        """The fitted attributes that say how a run went."""
        self.n_iter_ = max(result.nit, 1)
        self.solver_, self.convergence_, self.history_ = result.solver, result.convergence, result.history

    def _advice(self):
        """What a user must know of the fit, or an empty string."""
        verdict = self.convergence_
        return "" if verdict.status in ("optimal", "stopped", "settled") else verdict.message

    def _tell(self, advice, category=ConvergenceWarning):
        if advice:
            warnings.warn(f"{type(self).__name__}: {advice}", category, stacklevel=_frames_inside())

    def _as_it_is(self):
        """A copy for a lazy prediction, which a later fit does not change."""
        return copy.copy(self)

    def _checked_rows(self, X):
        """X for a prediction, an array or a CSR matrix."""
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
