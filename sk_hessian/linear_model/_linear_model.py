"""What the linear models share: the objective of their rows, streams of rows, offsets, the linear predictor."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sk_hessian import _validation
from sk_hessian._base import SolvedEstimator, restored_on_failure
from sk_hessian._keywords import with_advice
from sk_hessian._text import listed
from sk_hessian.objectives import (
    GLMObjective,
    StreamObjective,
    deviance_sums,
    explained,
    explained_of_sums,
    first_memory,
    parts_of,
    row_products,
)
from sk_hessian.solvers import check_solver

#: parameters up to which a stream of rows is remembered by a matrix
_MOST_REMEMBERED = 1000

#: share of what a model can gain that the memory of a stream may cost in silence
_MOST_ERROR = 0.005

#: share above which the memory is mended and the step is made again, and how often
_MENDED = 1e-4
_MOST_MENDINGS = 10


class LinearModel(SolvedEstimator):
    """Fit and raw prediction of all linear models; a subclass says which loss and which penalty."""

    #: what a stream of rows has taught, see `partial_fit`
    _memory: Any = None

    coef_: Any
    intercept_: Any

    #: float64 coefficients and intercepts of a fit whose attributes are float32
    _exact: Any = None

    #: whether the attributes keep float32 of X, as in scikit-learn's class of the same name
    _keeps_float32 = True

    def _fit(self, X, y, sample_weight, task, **row_data):
        self._memory = None
        self.__dict__.pop("t_", None)
        objective = self._objective_of(X, y, sample_weight, reset=True, **row_data)
        result = self._minimize(objective, self._start(objective), _validation.check_seed(self.random_state), task)
        self._set_weights(objective, result.x)
        self._record(result)

    def _set_weights(self, objective, theta):
        self._unpack(objective, *objective.unpack(theta))
        self._exact = None
        if self._keeps_float32 and objective.rows.dtype == np.float32:
            exact = self.coef_, self.intercept_
            rounded = _validation.rounded_to_float32(exact)
            if rounded is not None:
                (self.coef_, self.intercept_), self._exact = rounded, exact

    def _objective_of(self, X, y, sample_weight, reset, offset=None, before=0.0):
        """See `SolvedEstimator._objective_of`; ``before`` is the weight of former rows, which have their penalty."""
        parts = parts_of(X, y, sample_weight, offset)
        if parts is None:
            options = {"reset": reset, "offset": offset, **self._target_options()}
            X, y, weight, offset = _validation.check_training_data(self, X, y, sample_weight, **options)
            y, weight, loss = self._encode(y, weight, reset)
            _validation.check_offset_outputs(offset, loss.n_outputs)
        else:
            X, loss = self._parted(parts, reset)
            y, weight = None, X.targets[1]
        return self._objective_class()(
            X,
            y,
            loss,
            sample_weight=weight,
            fit_intercept=bool(self.fit_intercept),
            penalty=self._penalty(weight.sum(), before),
            offset=offset,
            feature_names=getattr(self, "feature_names_in_", None),
            class_names=getattr(self, "classes_", None),
        )

    def _penalty(self, weight, before):
        """L2 strengths (p, k) or (p, 1) beside the mean loss of rows of this total weight."""
        total = weight + before
        strength = np.atleast_1d(self._strength(total)) * (total / weight)
        return np.outer(self._penalty_weights(self.n_features_in_), strength)

    def _parted(self, parts, reset):
        """Rows that come in parts, checked and encoded, and the loss."""
        scan = _validation.scan_parts(self, parts, reset, **self._target_options())
        try:
            y, weight = scan.targets
            y, weight, loss = self._encode(y, weight, reset)
        except ValueError:
            if not is_classifier(self):
                _validation.name_part(parts, partial(self._encode, reset=reset))
            raise
        encoder = _validation.PartEncoder(parts.noun, loss, type(self).__name__)
        if is_classifier(self):
            encoder = replace(encoder, classes=self.classes_, class_weight=weight / scan.targets[1])
        return _validation.parted_rows(parts, scan, encoder, (y, weight)), loss

    def _fitted_weights(self, n_outputs):
        """Fitted coefficients (p, k) and intercepts (k,) for so many outputs, in float64.

        Those of the fit while the attributes are their roundings, else what a user has made of the attributes.
        """
        coef = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        coef, intercept = _validation.unrounded((coef, self.intercept_), self._exact)
        return np.atleast_2d(coef).T, np.broadcast_to(intercept, (n_outputs,))

    def _fitted_theta(self, objective):
        k = objective.loss.n_outputs
        coef, intercept = self._fitted_weights(k)
        if coef.shape != (objective.n_features, k):
            raise ValueError(f"y has {k} outputs, but the estimator was fitted with {coef.shape[1]}")
        return objective.pack(coef, intercept, self._fitted_constants())

    # -- what a subclass says -------------------------------------------------------------------------------------

    def _objective_class(self):
        return GLMObjective

    def _target_options(self):
        return {"y_numeric": True}

    def _encode(self, y, weight, reset):
        """The target as the loss wants it, the weights, and the loss; ``reset`` as of `_objective_of`."""
        raise NotImplementedError

    def _strength(self, total_weight):
        """L2 strength beside the weighted mean loss, one or one per output."""
        raise NotImplementedError

    def _penalty_weights(self, n_features):
        names = getattr(self, "feature_names_in_", None)
        return _validation.check_penalty_weights(getattr(self, "penalty_weights", None), n_features, names)

    def _unpack(self, objective, coef, intercept, constants):
        """Set the fitted attributes from coefficients (p, k), intercepts (k,) and constants of the loss."""
        self.coef_ = np.ascontiguousarray(coef[:, 0])
        self.intercept_ = intercept[0]

    def _fitted_constants(self):
        """The loss's constants as they were fitted."""
        return []

    # -- streams --------------------------------------------------------------------------------------------------

    @with_advice
    def partial_fit(self, X, y=None, sample_weight=None, *, forgetting=1.0):
        """Go on with more rows: a step whose end is the optimum for them and what is remembered of those before.

        The latest rows, up to 1000, are kept as they are, so that a short stream is a fit on all its rows. The rows
        before those are remembered by their summed curvature about the latest coefficients: as a matrix up to 1000
        parameters; without correlations beyond, or where the solver has ``precondition="diagonal"`` or None. A sample
        of up to 1000 of them mends that memory where the coefficients have moved far. For squared loss the matrix is
        exact, and no row is kept. ``convergence_`` and ``history_`` are of the latest step. After ``fit`` a new stream
        begins.

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
            Where the step did not end at an optimum, or the memory may be wrong by more than 0.5% of what the model can
            gain.
        """
        return self._go_on_and_tell(X, y, sample_weight, forgetting)

    def _go_on_and_tell(self, X, y, sample_weight, forgetting, **row_data):
        with restored_on_failure(self):
            self._go_on(X, y, sample_weight, forgetting, **row_data)
            self._tell(self._advice())
        return self

    def _go_on(self, X, y, sample_weight, forgetting, **row_data):
        self._check_all_parameters()
        forgetting, memory = _validation.check_forgetting(forgetting), self._memory
        before = 0.0 if memory is None else forgetting * memory.total_weight
        rows = self._objective_of(X, y, sample_weight, reset=memory is None, before=before, **row_data)
        is_matrix = self._remembers_matrix(rows.n_parameters)
        if memory is None:
            self._check_first(rows)
            memory, self.t_ = first_memory(rows, is_matrix), 0
        elif memory.centre.size != rows.n_parameters:
            raise ValueError(
                f"the model of these rows has {rows.n_parameters} parameters, that of the rows before "
                f"{memory.centre.size}: y must have as many targets as before, and fit_intercept must not change"
            )
        else:
            memory = memory.faded(forgetting).shaped(is_matrix).told(rows)
        objective, result, error = self._step(StreamObjective(rows, memory))
        self._set_weights(rows, result.x)
        self._record(result)
        self._doubt(error)
        self.t_ += rows.n_rows
        self._memory = objective.remembered(result.x, result.success)

    def _step(self, objective):
        """Go to the optimum for new rows and the memory, and again where the memory proves wrong there and is mended.

        Returns
        -------
        objective : StreamObjective
            With the memory as it was mended.
        result : Result
        error : float
            What the memory may still have spoilt, as a share of what the model can gain.
        """
        solve = partial(self._minimize, random_state=_validation.check_seed(self.random_state))
        result = solve(objective, objective.start())
        errors = objective.memory_error(result.x)
        for _ in range(_MOST_MENDINGS):
            if errors[0] <= _MENDED or not np.isfinite(errors[0]):
                break
            mended = objective.mended(result.x)
            again = solve(mended, result.x)
            left = mended.memory_error(again.x)
            if not left[0] < errors[0]:  # curvature without correlations may be far too small: a mended step too long
                break
            objective, result, errors = mended, again, left
        return objective, result, sum(errors)

    def _doubt(self, error):
        """Call no model optimal whose memory of the rows before may have cost this share of what it can gain."""
        if self.convergence_.status == "optimal" and not error <= _MOST_ERROR:
            message = (
                f"stalled: the step ended at an optimum, but the rows before are remembered by a quadratic, and the "
                f"model has moved so far since that about {min(error, 1):.1%} of what it can gain may be missing. Give "
                "the rows in random order, or call fit with all of them."
            )
            self.convergence_ = replace(self.convergence_, status="stalled", message=message)

    def _check_first(self, rows):
        """Raise where a stream cannot begin with these rows."""

    def _remembers_matrix(self, n_parameters):
        """Whether a stream of rows is remembered by a matrix: where the solver's preconditioner is one."""
        spec = check_solver(self.solver)
        kind = "auto" if spec is None else spec.precondition
        return kind in ("full", "kronecker") or (kind == "auto" and n_parameters <= _MOST_REMEMBERED)

    # -- start, warnings, prediction ------------------------------------------------------------------------------

    def _start(self, objective):
        if not (self.warm_start and hasattr(self, "coef_")):
            return objective.start()
        coef, intercept = self._fitted_weights(objective.loss.n_outputs)
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
                f"the data do not determine every coefficient: {listed(verdict.flat_directions)}. Predictions are "
                "optimal; coef_ is the solution of least norm. Drop these columns or add a penalty."
            )
        return ""

    def _warns_of_flat_directions(self):
        return True

    def _raw_prediction(self, X):
        """Linear predictor, shape (n,) or (n, k)."""
        return self._linear_predictor(self._checked_rows(X))

    def _linear_predictor(self, X):
        return row_products(X, self.coef_.T) + self.intercept_


class OffsetModel(LinearModel):
    """Linear models whose fit, predictions and scores take an offset, a known part of the linear predictor."""

    @with_advice
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
            Where ``convergence_.status`` is not "optimal" or "stopped".
        """
        return self._fit_and_tell(X, y, sample_weight, offset=offset)

    def _fit(self, X, y, sample_weight, task, offset):
        self.has_offset_ = offset is not None
        super()._fit(X, y, sample_weight, task, offset=offset)

    @with_advice
    def partial_fit(self, X, y=None, sample_weight=None, offset=None, *, forgetting=1.0):
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
        if offset is None and self._had_offset:
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
        loss = self._loss_of_predictions(loss)
        raw = self._beside(self._linear_predictor(X), offset).reshape(len(y), -1)
        return explained(loss, y, raw, weight, offset)

    def _deviances(self, X, y, weight):
        """`deviance_sums` of some rows."""
        y, loss = self._encoded(y, weight)
        return deviance_sums(loss, y, self._raw_prediction(X).reshape(len(y), -1), weight)

    def _explained(self, sums, y, weight):
        y, loss = self._encoded(y, weight)
        return explained_of_sums(loss, sums, y, weight)

    def _encoded(self, y, weight):
        y, _, loss = self._encode(y, weight, reset=False)
        return y, self._loss_of_predictions(loss)

    def _as_it_is(self):
        """See `SolvedEstimator._as_it_is`; the warning that there is no offset is given here, not by each partition."""
        self._tell_of_offset()
        there = super()._as_it_is()
        there.has_offset_ = False
        return there

    def _loss_of_predictions(self, loss):
        """The loss as a function of predictions alone, from that of the fit."""
        return loss

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

    @property
    def _had_offset(self):
        """Whether there was a fit with an offset; attributes that were set by hand are of none."""
        return getattr(self, "has_offset_", False)

    def _tell_of_offset(self):
        if self._had_offset:
            self._tell(
                "it was fitted with an offset, and is used here without: predictions are those for offset=0. Pass "
                "offset, or zeros if that is meant",
                category=UserWarning,
            )
