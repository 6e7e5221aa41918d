"""What networks share: fits from several starts, streams of rows, predictions."""

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from sk_hessian import _validation
from sk_hessian._base import SolvedEstimator, by_rows, restored_on_failure
from sk_hessian._keywords import with_advice
from sk_hessian._strength import check_strength, choose_network, chooses, forget_strength, given_strength, is_chosen
from sk_hessian._validation import RowData
from sk_hessian.neural_network._stopping import EarlyStopping, split
from sk_hessian.neural_network._streams import epoch, stream_of
from sk_hessian.objectives import ACTIVATIONS, MLPObjective, network_predictions
from sk_hessian.solvers import LBFGS, Newton, check_solver


class _Network(SolvedEstimator):
    """Fit and raw prediction of both networks; a subclass says which loss."""

    #: options of `validate_data` for y
    _of_targets: ClassVar[dict[str, bool]] = {"multi_output": True}

    #: the units of the weights that a chosen penalty is of, `Moments`
    _penalty_units: Any = None

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
        check_strength(self)
        if chooses(self) and self.early_stopping:
            raise ValueError(
                f'alpha="{self.alpha}" needs early_stopping=False: the evidence is that of an optimum, which a run '
                "that is stopped does not reach"
            )
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

    @with_advice
    @restored_on_failure
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
        return self._fit(RowData(X, y, sample_weight))

    _criteria: tuple[str, ...] = ("evidence",)

    def _max_subtasks(self):
        return self.n_init if self.n_init > 1 and not chooses(self) else None

    def _learn(self, data, task):
        X, y, weight, loss = self._encoded_rows(data, reset=True)
        generator = np.random.default_rng(_validation.check_seed(self.random_state))
        held = None
        if self.early_stopping:
            train, rest = split(len(y), self.validation_fraction, self._classes_of_rows(y), generator)
            held = X[rest], y[rest], weight[rest]
            X, y, weight = X[train], y[train], weight[train]
        forget_strength(self)
        objective = self._objective(X, y, weight, loss)
        if chooses(self):
            objective, start = choose_network(self, objective, self._starts(objective, generator), generator)
            result, watch = self._run(objective, start, None, generator, task)
        else:
            result, watch = self._best_run(objective, held, generator, task)
        self._set_weights(objective, result.x)
        self._record(result)
        self._set_curves(result, watch, len(y))
        self._generator, self._moments, self._memory = generator, objective.moments, None

    def _encoded_rows(self, data, reset):
        """Checked rows: X, y as the loss wants it, weights, and the loss."""
        if data.parts is not None:
            raise TypeError(
                f"{type(self).__name__} is fitted on rows in memory: X must be an array, a sparse matrix or a data "
                "frame; fit a sample, such as X.partitions[0].compute() of dask, or give each part to partial_fit in "
                "turn"
            )
        X, y, weight, _ = _validation.check_training_data(self, data, reset=reset, **self._of_targets)
        return X, *self._encode(y, weight, reset)

    def _objective_of(self, data, reset):
        return self._objective(*self._encoded_rows(data, reset))

    def _fitted_theta(self, objective):
        if objective.loss.n_outputs != self.n_outputs_:
            raise ValueError(
                f"y has {objective.loss.n_outputs} outputs, but the estimator was fitted with {self.n_outputs_}"
            )
        constants = [np.log(self.scale_)] if objective.loss.n_constants else []
        return objective.pack(*self._exact_layers(), constants)

    def _exact_layers(self):
        """Weights and biases of all layers see `_unrounded`."""
        parts = self._unrounded((*self.coefs_, *self.intercepts_))
        return parts[: len(self.coefs_)], parts[len(self.coefs_) :]

    def _objective(self, X, y, weight, loss):
        objective = MLPObjective(
            X,
            y,
            loss,
            hidden_layer_sizes=self._hidden_sizes(),
            activation=self.activation,
            sample_weight=weight,
            penalty=given_strength(self) / weight.sum(),
            feature_names=getattr(self, "feature_names_in_", None),
        )
        return objective if self._penalty_units is None else objective.penalised_in(self._penalty_units)

    def _starts(self, objective, generator):
        """``n_init`` starts; the first is the former solution with ``warm_start``."""
        is_warm = self.warm_start and hasattr(self, "coefs_")
        first = self._former(objective) if is_warm else objective.start(generator)
        return [first] + [objective.start(generator) for _ in range(self.n_init - 1)]

    def _former(self, objective):
        """The current weights as a start."""
        shapes = [(rows - 1, columns) for _, (rows, columns) in objective.model.layers]
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
        watch = EarlyStopping(
            lambda theta: self._score(objective.raw(theta, X), y, weight), self.tol, self.n_iter_no_change
        )
        return watch.restored(self._minimize(objective, start, generator, task, watch), objective), watch

    def _set_weights(self, objective, theta):
        coefs, intercepts, constants = objective.unpack(theta)
        exact, n_layers = [part.copy() for part in (*coefs, *intercepts)], len(coefs)
        parts = self._rounded(exact, objective.rows.dtype) or exact
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

    def _go_on(self, data):
        """Go on from the current weights, in units of all rows seen so far; what both ``partial_fit`` call."""
        self._check_all_parameters()
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: it holds no rows out")
        is_first = not hasattr(self, "coefs_")
        objective = self._objective_of(data, reset=is_first)
        if is_first:
            self._generator = np.random.default_rng(_validation.check_seed(self.random_state))
        if hasattr(self, "_moments"):
            objective.moments = self._moments.merged(objective.moments)
        self._moments = objective.moments
        theta = objective.start(self._generator) if is_first else self._former(objective)
        is_choice = is_first and chooses(self) and not is_chosen(self)
        if is_choice:
            objective, theta = choose_network(self, objective, [theta], self._generator)
        is_second_order = isinstance(check_solver(self.solver), (Newton, LBFGS))
        if is_second_order:
            stream = stream_of(objective, self._memory, theta)
            result = self._minimize(stream, stream.start(), self._generator)
            theta, self._memory = result.x, stream.remembered(result.x, result.success)
        else:
            theta, result = epoch(objective, theta, self.solver, self.tol, self._generator)
            self._memory = None
        self._set_weights(objective, theta)
        self._append(objective, theta, result, is_first)
        if is_second_order:
            self._tell(self._advice())
        if is_choice:
            self._tell(self._choice_message)

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

    # -- the objective of inspection ------------------------------------------------------------------------------

    def fitted_objective(self, X, y=None, sample_weight=None):
        """The objective on the rows that the estimator was fitted on, and the fitted parameters.

        What `sk_hessian.inspection` looks at; nothing is kept.

        Parameters
        ----------
        X, y, sample_weight
            As of `fit`. Rows of weight zero are left out.

        Returns
        -------
        objective : sk_hessian.objectives.Objective
        theta : ndarray of shape (n_parameters,)
        """
        return self._objective_and_theta(RowData(X, y, sample_weight))
