"""What every estimator does: validate, build the objective, minimise, unpack, warn."""

import contextlib
import copy
import warnings
from dataclasses import replace
from functools import partial, wraps

import numpy as np
from scipy import sparse
from scipy.special import log_expit, log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sk_hessian import _validation
from sk_hessian._callbacks import UNTOLD, CallbackSupportMixin, Task, with_callbacks
from sk_hessian.objectives import (
    GLMObjective,
    SquaredLoss,
    StreamObjective,
    first_memory,
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


#: parameters up to which a stream of rows is remembered by a matrix
_MOST_REMEMBERED = 1000

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
        return np.stack([SquaredLoss().deviance_sums(one, raw[:, None], weight) for one, raw in pairs])


def _mean_explained(sums, y, weight):
    targets = y.reshape(len(y), -1).T
    return np.mean([SquaredLoss().explained_of_sums(*pair, weight) for pair in zip(sums, targets, strict=True)])


class SolvedEstimator(CallbackSupportMixin, BaseEstimator):
    """What all estimators share: parameters, a fit that is restored on failure, the run of a solver, warnings."""

    # where the diagram of scikit-learn links to
    _doc_link_module = "sk_hessian"
    _doc_link_template = (
        "https://sk-hessian.readthedocs.io/en/latest/generated/{estimator_module}.{estimator_name}.html"
    )

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
            For an option of a solver that is only a name.
        """
        options = [name for name in params if name.startswith("solver__")]
        solver = params.get("solver", self.solver)
        if options and isinstance(solver, str):
            raise ValueError(
                f"{options[0]} needs a solver object, but solver={solver!r} is a name: "
                "use for example solver=Newton() or SGD() of sk_hessian.solvers"
            )
        return super().set_params(**params)

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
            Where ``convergence_.status`` is not "optimal".
        """
        return self._fit_and_tell(X, y, sample_weight)

    def _fit_and_tell(self, X, y, sample_weight, **row_data):
        with restored_on_failure(self):
            self._check_all_parameters()
            self._fit_as_task(X, y, sample_weight, **row_data)
            self._tell(self._advice(), stacklevel=4)
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

    def _minimize(self, objective, start, random_state, task, watch=None):
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
        return "" if verdict.status in ("optimal", "stopped") else verdict.message

    def _tell(self, advice, stacklevel=3):
        if advice:
            warnings.warn(f"{type(self).__name__}: {advice}", ConvergenceWarning, stacklevel=stacklevel)

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


class LinearModel(SolvedEstimator):
    """Fit and raw prediction of all linear models; a subclass says which loss and which penalty."""

    #: whether the penalty stands beside the mean of the losses, so that more rows have more of it
    _penalty_grows = False

    #: what a stream of rows has taught, see `partial_fit`
    _memory = None

    def _fit(self, X, y, sample_weight, task, **row_data):
        self._memory = None
        objective = self._objective_of(X, y, sample_weight, reset=True, **row_data)
        result = self._minimize(objective, self._start(objective), _validation.check_seed(self.random_state), task)
        self._set_weights(objective, result.x)
        self._record(result)

    def _set_weights(self, objective, theta):
        self._unpack(objective, *objective.unpack(theta))

    def _objective_of(self, X, y, sample_weight, reset, offset=None):
        parts = parts_of(X, y, sample_weight, offset)
        if parts is None:
            options = {"reset": reset, "offset": offset, **self._target_options()}
            X, y, weight, offset = _validation.check_training_data(self, X, y, sample_weight, **options)
            y, weight, loss = self._encode(y, weight, reset)
            _validation.check_offset_outputs(offset, loss.n_outputs)
        else:
            X, loss = self._parted(parts, reset)
            y, weight = None, X.targets[1]
        return GLMObjective(
            X,
            y,
            loss,
            sample_weight=weight,
            fit_intercept=bool(self.fit_intercept),
            penalty=np.outer(self._penalty_weights(self.n_features_in_), np.atleast_1d(self._strength(weight.sum()))),
            offset=offset,
            feature_names=getattr(self, "feature_names_in_", None),
            class_names=getattr(self, "classes_", None),
        )

    def _parted(self, parts, reset):
        """Rows that come in parts, checked and encoded, and the loss."""
        scan = _validation.scan_parts(self, parts, reset, **self._target_options())
        try:
            y, weight, loss = self._encode(*scan.targets, reset)
        except ValueError:
            if not is_classifier(self):
                _validation.name_part(parts, partial(self._encode, reset=reset))
            raise
        encoder = _validation.PartEncoder(parts.noun, loss, type(self).__name__)
        if is_classifier(self):
            encoder = replace(encoder, classes=self.classes_, class_weight=weight / scan.targets[1])
        return _validation.parted_rows(parts, scan, encoder, (y, weight)), loss

    def _fitted_theta(self, objective):
        coef = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        k = objective.loss.n_outputs
        coef, intercept = np.atleast_2d(coef).T, np.broadcast_to(self.intercept_, (k,))
        if coef.shape != (objective.n_features, k):
            raise ValueError(f"y has {k} outputs, but the estimator was fitted with {coef.shape[1]}")
        constants = [np.log(self.scale_)] if objective.loss.n_constants else []
        return objective.pack(coef, intercept, constants)

    # -- what a subclass says -------------------------------------------------------------------------------------

    def _target_options(self):
        return {"y_numeric": True}

    def _encode(self, y, weight, reset):
        """The target as the loss wants it, the weights, and the loss; ``reset`` as of `_objective_of`."""
        raise NotImplementedError

    def _strength(self, total_weight):
        """L2 strength beside the weighted mean loss, one or one per output."""
        raise NotImplementedError

    def _penalty_weights(self, n_features):
        return _validation.check_penalty_weights(getattr(self, "penalty_weights", None), n_features)

    def _unpack(self, objective, coef, intercept, constants):
        """Set the fitted attributes from coefficients (p, k), intercepts (k,) and constants of the loss."""
        self.coef_ = np.ascontiguousarray(coef[:, 0])
        self.intercept_ = float(intercept[0])

    # -- streams --------------------------------------------------------------------------------------------------

    def partial_fit(self, X, y, sample_weight=None, *, forgetting=1.0):
        """Go on with more rows: a step whose end is the optimum for them and what is remembered of those before.

        The rows before are remembered by their summed curvature about the latest coefficients, as a matrix with
        "newton", "lbfgs" and "auto" and up to 1000 parameters, else as its diagonal. For squared loss the matrix is
        exact: the result is that of a fit on all rows. ``convergence_`` and ``history_`` are of the latest rows. After
        ``fit`` a new stream begins.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional
        forgetting : float, default=1.0
            What the weight of all rows before is multiplied with, above 0 and at most 1: with 0.99 the latest hundred
            calls count.

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
            Where the step did not end at an optimum.
        """
        return self._go_on_and_tell(X, y, sample_weight, forgetting)

    def _go_on_and_tell(self, X, y, sample_weight, forgetting, **row_data):
        with restored_on_failure(self):
            self._go_on(X, y, sample_weight, forgetting, **row_data)
            self._tell(self._advice(), stacklevel=4)
        return self

    def _go_on(self, X, y, sample_weight, forgetting, **row_data):
        self._check_all_parameters()
        forgetting = _validation.check_forgetting(forgetting)
        memory = self._memory
        rows = self._objective_of(X, y, sample_weight, reset=memory is None, **row_data)
        spec = check_solver(self.solver)
        is_dense = rows.n_parameters <= _MOST_REMEMBERED
        is_matrix = is_dense and (spec is None or spec.keeps_matrices)
        if memory is None:
            memory, self.t_ = first_memory(rows, rows.start(), is_matrix), 0
        else:
            memory = memory.faded(forgetting, is_matrix)
            if not self._penalty_grows:
                rows.penalty[:] = 0
        objective = StreamObjective(rows, memory, is_dense)
        result = self._minimize(objective, memory.centre, _validation.check_seed(self.random_state), UNTOLD)
        self._set_weights(rows, result.x)
        self._record(result)
        self.t_ += rows.n_rows
        self._memory = objective.remembered(result.x)

    # -- start, warnings, prediction ------------------------------------------------------------------------------

    def _start(self, objective):
        if not (self.warm_start and hasattr(self, "coef_")):
            return objective.start()
        coef = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        coef, intercept = np.atleast_2d(coef).T, np.broadcast_to(self.intercept_, (objective.loss.n_outputs,))
        expected = (objective.n_features, objective.loss.n_outputs)
        if coef.shape != expected:
            raise ValueError(
                f"warm_start=True: the former coef_ is for {coef.shape[::-1]} (outputs, features), "
                f"the data need {expected[::-1]}; refit with warm_start=False"
            )
        null = objective.start()
        start = objective.pack(coef, intercept, self._former_constants(objective.unpack(null)[2]))
        values = [objective.value_and_gradient(theta)[0] for theta in (start, null)]
        return start if values[0] <= values[1] else null

    def _advice(self):
        """See `SolvedEstimator._advice`; of flat directions too."""
        verdict, advice = self.convergence_, super()._advice()
        if verdict.status != "optimal":
            return advice
        if verdict.flat_directions and self._warns_of_flat_directions():
            return (
                f"the data do not determine every coefficient: {'; '.join(verdict.flat_directions)}. Predictions are "
                "optimal; coef_ is the solution of least norm. Drop these columns or add a penalty."
            )
        return ""

    def _warns_of_flat_directions(self):
        return True

    def _raw_prediction(self, X):
        """Linear predictor, shape (n,) or (n, k)."""
        return self._linear_predictor(self._checked_rows(X))

    def _linear_predictor(self, X):
        raw = X @ self.coef_.T
        return (raw.toarray() if sparse.issparse(raw) else raw) + self.intercept_


class OffsetModel(LinearModel):
    """Linear models whose fit, predictions and scores take an offset, a known part of the linear predictor."""

    def fit(self, X, y=None, sample_weight=None, offset=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are used as they are, other types converted; a memory map is read in blocks.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative; a row of weight 2 counts like two rows. Where some are zero the other rows of X are copied to
            memory, even of a memory map.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            Added to the linear predictor X @ coef + intercept, so on the scale of the link: of exposures, with a log
            link, the logarithm. A column for each class where they are more than two.

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
            Where ``convergence_.status`` is not "optimal".
        """
        return self._fit_and_tell(X, y, sample_weight, offset=offset)

    def _fit(self, X, y, sample_weight, task, offset):
        self.has_offset_ = offset is not None
        super()._fit(X, y, sample_weight, task, offset=offset)

    def partial_fit(self, X, y, sample_weight=None, offset=None, *, forgetting=1.0):
        """Go on with more rows; see `LinearRegression.partial_fit`, and `fit` for the offset.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
        forgetting : float, default=1.0
            What the weight of all rows before is multiplied with.

        Returns
        -------
        self
        """
        return self._go_on_and_tell(X, y, sample_weight, forgetting, offset=offset)

    def _go_on(self, X, y, sample_weight, forgetting, offset):
        self.has_offset_ = offset is not None
        super()._go_on(X, y, sample_weight, forgetting, offset=offset)

    def fitted_objective(self, X, y=None, sample_weight=None, offset=None):
        """The objective on the rows that the estimator was fitted on, and the fitted parameters.

        What `sk_hessian.inspection` looks at; nothing is kept.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
            Rows of weight zero are left out.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            As of `fit`.

        Returns
        -------
        objective : sk_hessian.objectives.Objective
        theta : ndarray of shape (n_parameters,)

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument; for no offset where the fit had one.
        NotFittedError
        """
        check_is_fitted(self)
        if offset is None and self.has_offset_:
            raise ValueError(f"this {type(self).__name__} was fitted with an offset: pass it as offset")
        return self._objective_and_theta(X, y, sample_weight, offset=offset)

    def d2_score(self, X, y=None, sample_weight=None, offset=None):
        """D^2, the share of the deviance explained: 1 - deviance(model) / deviance(best constant).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
            Rows of weight zero are left out.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            As of `fit`; the constant of least deviance beside it is what the model is compared with.

        Returns
        -------
        float
            At most 1. Where no model can improve on the constant: 1.0 for a model as good, else 0.0. A lazy dask array
            of shape () for dask collections.

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument.
        """
        check_is_fitted(self)
        parts = parts_of(X, y, sample_weight, offset)
        if parts is not None:
            there = self._as_it_is()
            return _validation.score_parts(parts, there._deviances, there._explained)
        options = {"reset": False, "offset": offset, **self._target_options()}
        X, y, weight, offset = _validation.check_training_data(self, X, y, sample_weight, **options)
        y, _, loss = self._encode(y, weight, reset=False)
        raw = self._beside(self._linear_predictor(X), offset).reshape(len(y), -1)
        return loss.explained(y, raw, weight, offset)

    def _deviances(self, X, y, weight):
        y, _, loss = self._encode(y, weight, reset=False)
        return loss.deviance_sums(y, self._raw_prediction(X).reshape(len(y), -1), weight)

    def _explained(self, sums, y, weight):
        y, _, loss = self._encode(y, weight, reset=False)
        return loss.explained_of_sums(sums, y, weight)

    def _as_it_is(self):
        """See `SolvedEstimator._as_it_is`; the warning that there is no offset is given here, not by each partition."""
        self._tell_of_offset()
        there = super()._as_it_is()
        there.has_offset_ = False
        return there

    def _raw_prediction(self, X, offset=None):
        """See `LinearModel._raw_prediction`; plus the offset."""
        X = self._checked_rows(X)
        return self._beside(self._linear_predictor(X), _validation.check_offset(offset, X))

    def _beside(self, raw, offset):
        """Raw predictions plus an offset; a warning where there is none but the fit had one."""
        if offset is not None:
            _validation.check_offset_outputs(offset, 1 if raw.ndim == 1 else raw.shape[1])
            return raw + offset.reshape(raw.shape)
        self._tell_of_offset()
        return raw

    def _tell_of_offset(self):
        if self.has_offset_:
            warnings.warn(
                f"{type(self).__name__} was fitted with an offset, and is used here without: predictions are those for "
                "offset=0. Pass offset, or zeros if that is meant",
                UserWarning,
                stacklevel=6,
            )
