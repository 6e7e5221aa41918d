"""What the linear models share: the objective of their rows, streams of rows, offsets, the linear predictor."""

from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_hessian import _validation
from sk_hessian._base import SolvedEstimator, by_rows, restored_on_failure
from sk_hessian._constraints import feasible_set, given, takes_streams
from sk_hessian._keywords import with_advice
from sk_hessian._parts import rows_of_parts
from sk_hessian._scores import accuracy, d_squared, r_squared
from sk_hessian._strength import choose_linear, chooses, forget_strength, is_chosen
from sk_hessian._text import listed
from sk_hessian._validation import LaterCheck, RowData
from sk_hessian.linear_model._columns import Columned
from sk_hessian.linear_model._streams import Remembering, doubted, step, stream_of
from sk_hessian.objectives import GLMObjective, row_products, start_within

#: attributes of fits with constraints
_OF_CONSTRAINTS = ("active_constraints_", "multipliers_")


class LinearModel(Columned, Remembering, SolvedEstimator):
    """Fit and predictions of all linear models; a subclass says which loss and which penalty."""

    coef_: Any
    intercept_: Any

    #: the attributes that a fit estimates
    _estimates: tuple[str, ...] = ("coef_", "intercept_")

    #: whether the attributes keep float32 of X, as in scikit-learn's class of the same name
    _keeps_float32 = True

    #: options of `validate_data` for y
    _of_targets: ClassVar[dict[str, bool]] = {"y_numeric": True}

    #: where others hold for rows that come in parts
    _of_parts: ClassVar[dict[str, bool]] = {}

    #: attributes that say something of all rows of a fit, which a later `partial_fit` makes untrue
    _of_whole_fits: tuple[str, ...] = ()

    # -- what a subclass says -------------------------------------------------------------------------------------

    def _encode(self, y, weight, reset):
        """The target as the loss wants it, the weights, and the loss; ``reset`` as of `_objective_of`."""
        raise NotImplementedError

    #: what ``penalty_matrix`` is multiplied with, as `_strength` multiplies alpha
    _matrix_factor = 1.0

    #: whether the estimator adds its penalty to the sum of the losses, or to their weighted mean
    _penalises_sum = True

    def _strength(self):
        """The L2 strength in the units of the estimator, one or one per output."""
        raise NotImplementedError

    def _terms(self):
        """What else the objective has, see `GLMObjective`."""
        return ()

    def _unpack(self, objective, coef, intercept, constants):
        """Set the fitted attributes from coefficients (p, k), intercepts (k,) and constants of the loss."""
        single = objective.loss.n_outputs == 1 and objective.rows.targets[0].ndim == 1
        self.coef_ = np.ascontiguousarray(coef[:, 0] if single else coef.T)
        self.intercept_ = intercept[0] if single or not self.fit_intercept else intercept.copy()

    def _fitted_constants(self):
        """The loss's constants as they were fitted."""
        return []

    def _predicted(self, raw):
        """The prediction from the linear predictor."""
        return raw

    def _check_first(self, rows):
        """Raise where a stream cannot begin with the rows of this objective."""

    # -- fit ------------------------------------------------------------------------------------------------------

    @with_advice
    @restored_on_failure
    def fit(self, X, y=None, sample_weight=None, offset=None):
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
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Added to the linear predictor X @ coef + intercept, so on the scale of the link: of exposures, with a log
            link, the logarithm. A column for each class where they are more than two, and for each of several targets.

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
        return self._fit(RowData(X, y, sample_weight, offset))

    def _learn(self, data, task):
        self._memory, self.has_offset_ = None, data.offset is not None
        for name in ("t_", *_OF_CONSTRAINTS):
            self.__dict__.pop(name, None)
        forget_strength(self)
        is_choice = chooses(self)
        check = None if is_choice else LaterCheck.of(self, data, self._of_targets)
        objective = self._objective_of(data, reset=True, check=check)
        start = self._start(objective)
        if is_choice:
            objective, start = choose_linear(self, objective)
        feasible = feasible_set(self, objective)
        start = start if feasible is None else start_within(objective, feasible, start)
        seed = _validation.check_seed(self.random_state)
        result = self._minimize(objective, start, seed, task, bounds=feasible)
        self._set_weights(objective, result.x)
        self._record(result)
        if feasible is not None:
            self.active_constraints_, self.multipliers_ = result.active_constraints, result.multipliers

    def _objective_of(self, data, reset, before=0.0, check=None):
        """See `SolvedEstimator._objective_of`; ``before`` is the weight of former rows, which have their penalty.

        The ``check`` is a `LaterCheck`, for a run whose sums are looked at.
        """
        parts = data.parts
        if parts is None:
            later = check is not None
            X, y, weight, offset = _validation.check_training_data(
                self, data, reset=reset, later=later, **self._of_targets
            )
            y, weight, loss = self._encode(y, weight, reset)
            _validation.check_offset_outputs(offset, loss.n_outputs, hasattr(self, "classes_"))
        else:
            options = self._of_targets | self._of_parts
            X, loss = rows_of_parts(self, parts, reset, partial(self._encode, reset=reset), options)
            y, weight, offset = None, X.targets[1], None
        # what the penalty is multiplied with beside the mean loss of these rows
        per_mean = (1 if self._penalises_sum else weight.sum() + before) / weight.sum()
        return GLMObjective(
            X,
            y,
            loss,
            sample_weight=weight,
            fit_intercept=bool(self.fit_intercept),
            **self._penalties(per_mean),
            offset=offset,
            terms=self._terms(),
            feature_names=self._columns[0],
            class_names=getattr(self, "levels_", getattr(self, "classes_", None)),
            check_rows=check,
        )

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

    def _set_weights(self, objective, theta):
        self._unpack(objective, *objective.unpack(theta))
        if self._keeps_float32:
            rounded = self._rounded([getattr(self, name) for name in self._estimates], objective.rows.dtype)
            for name, values in zip(self._estimates, rounded or (), strict=False):
                setattr(self, name, values)

    def _advice(self):
        """See `SolvedEstimator._advice`; of flat directions too."""
        flat = self.convergence_.flat_directions
        if self.convergence_.status == "optimal" and flat:
            which = "the feasible solution of least norm" if given(self) else "the solution of least norm"
            return (
                f"the data do not determine every coefficient: {listed(flat)}. Predictions are optimal; coef_ is "
                f"{which}. Drop these columns or add a penalty."
            )
        return super()._advice()

    # -- streams --------------------------------------------------------------------------------------------------

    @available_if(takes_streams)
    @with_advice
    @restored_on_failure
    def partial_fit(self, X, y=None, sample_weight=None, offset=None, *, forgetting=1.0):
        """Go on with more rows: a step whose end is the optimum for them and what is remembered of those before.

        The latest rows, up to 1000, are kept as they are, so that a short stream is a fit on all its rows. The rows
        before those are remembered by their summed curvature about the latest coefficients: as a matrix up to 1000
        parameters; without correlations beyond, or where the solver has ``precondition="diagonal"`` or None. A sample
        of up to 1000 of them mends that memory where the coefficients have moved far. For squared loss the matrix is
        exact, and no row is kept. ``convergence_`` and ``history_`` are of the latest step. After ``fit`` a new stream
        begins. A penalty that is to be chosen is that of the last ``fit``, or chosen by the rows of the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            As of `fit`.
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
        self._go_on(RowData(X, y, sample_weight, offset), forgetting)
        return self

    def _go_on(self, data, forgetting):
        """A step of a stream; what all ``partial_fit`` call."""
        self._check_all_parameters()
        forgetting, memory = _validation.check_forgetting(forgetting), self._memory
        before = 0.0 if memory is None else forgetting * memory.total_weight
        is_choice = memory is None and chooses(self) and not is_chosen(self)
        if memory is None:
            self.t_ = 0
        rows = self._objective_of(data, reset=memory is None, before=before)
        if is_choice:
            rows = choose_linear(self, rows)[0]
        if memory is None:
            self._check_first(rows)
        solve = partial(self._minimize, random_state=_validation.check_seed(self.random_state))
        objective, result, error = step(stream_of(rows, memory, forgetting, self.solver), solve)
        self.has_offset_ = data.offset is not None
        self._set_weights(rows, result.x)
        self._record(result)
        self.convergence_ = doubted(self.convergence_, error)
        self.t_ += rows.n_rows
        self._memory = objective.remembered(result.x, result.success)
        for name in (*self._of_whole_fits, *_OF_CONSTRAINTS):
            self.__dict__.pop(name, None)
        self._tell(self._advice())
        if is_choice:
            self._tell(self._choice_message)

    # -- predictions and scores -----------------------------------------------------------------------------------

    @by_rows
    def predict(self, X, offset=None):
        """Predict the target: its mean, or the most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            As of `fit`; without one predictions are those for offset 0, for example of one unit of exposure.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)

        Warns
        -----
        UserWarning
            Without an offset where the fit had one.
        """
        return self._predicted(self._raw_prediction(X, offset))

    def _raw_prediction(self, X, offset=None):
        """Linear predictor plus offset, shape (n,) or (n, k)."""
        if _validation.is_ready(self, X):
            with np.errstate(over="ignore", invalid="ignore"):
                raw = self._linear_predictor(X, _validation.check_offset(offset, X))
                # an entry that is not finite makes its row's prediction so, whatever the coefficient
                if np.isfinite(np.add.reduce(raw, axis=None)):
                    return raw
        X = self._checked_rows(X)
        return self._linear_predictor(X, _validation.check_offset(offset, X))

    def _linear_predictor(self, X, offset=None):
        """`_raw_prediction` of checked rows; a warning where there is no offset but the fit had one."""
        raw = row_products(X, self.coef_.T) + self.intercept_
        if offset is None:
            self._tell_of_offset()
            return raw
        _validation.check_offset_outputs(offset, 1 if raw.ndim == 1 else raw.shape[1], hasattr(self, "classes_"))
        return raw + offset.reshape(raw.shape)

    def _tell_of_offset(self):
        # attributes that were set by hand are of no fit with an offset
        if getattr(self, "has_offset_", False):
            self._tell(
                "it was fitted with an offset, and is used here without: predictions are those for offset=0. Pass "
                "offset, or zeros if that is meant",
                category=UserWarning,
            )

    def _as_it_is(self):
        """See `SolvedEstimator._as_it_is`; the warning that there is no offset is given here, not by each partition."""
        self._tell_of_offset()
        there = super()._as_it_is()
        there.has_offset_ = False
        return there

    # -- the objective of inspection ------------------------------------------------------------------------------

    def fitted_objective(self, X, y=None, sample_weight=None, offset=None):
        """The objective on the rows that the estimator was fitted on, and the fitted parameters.

        What `sk_hessian.inspection` looks at; nothing is kept.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional
            Rows of weight zero are left out.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
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
        if offset is None and getattr(self, "has_offset_", False):
            raise ValueError(f"this {type(self).__name__} was fitted with an offset: pass it as offset")
        return self._objective_and_theta(RowData(X, y, sample_weight, offset))

    def _fitted_theta(self, objective):
        k = objective.loss.n_outputs
        coef, intercept = self._fitted_weights(k)
        if coef.shape != (objective.n_features, k):
            raise ValueError(f"y has {k} outputs, but the estimator was fitted with {coef.shape[1]}")
        return objective.pack(coef, intercept, self._fitted_constants())

    def _fitted_weights(self, n_outputs):
        """Fitted coefficients (p, k) and intercepts (k,) for so many outputs, see `_unrounded`."""
        coef = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        coef, intercept = self._unrounded((coef, self.intercept_))
        return np.atleast_2d(coef).T, np.broadcast_to(intercept, (n_outputs,))


class VarianceExplained(RegressorMixin):
    """What linear models share whose score is R^2."""

    def score(self, X, y=None, sample_weight=None, offset=None):
        """R^2, the share of the variance explained; of several targets the mean.

        Parameters
        ----------
        X, y, sample_weight, offset
            As of `fit`. Predictions, the offset included, are compared with the mean of y.

        Returns
        -------
        float
            A lazy dask array of shape () for dask collections.
        """
        return r_squared(self, RowData(X, y, sample_weight, offset))


class DevianceExplained:
    """What linear models share that have a D^2."""

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
        return d_squared(self, RowData(X, y, sample_weight, offset))


class ClassesPredicted(ClassifierMixin, DevianceExplained):
    """What linear classifiers share: their score is the accuracy, and they have a D^2."""

    def score(self, X, y=None, sample_weight=None, offset=None):
        """Share of the rows whose class is predicted.

        Parameters
        ----------
        X, y, sample_weight, offset
            As of `fit`.

        Returns
        -------
        float
            A lazy dask array of shape () for dask collections.
        """
        return accuracy(self, RowData(X, y, sample_weight, offset))
