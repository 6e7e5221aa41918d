"""What every estimator does: validate, build the objective, minimise, unpack, warn."""

import copy
import warnings
from functools import partial, wraps
from inspect import currentframe
from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from sk_hessian import _validation
from sk_hessian._callbacks import UNTOLD, CallbackSupportMixin, learn_as_task
from sk_hessian._constraints import check_constraints
from sk_hessian._keywords import advice_on, with_advice
from sk_hessian._strength import CRITERIA
from sk_hessian.objectives import held_for, is_distributed, map_distributed
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


#: rows whose probabilities are computed together
_SLICE = 2**14

#: a warm start's scale is at least this share of the null model's
_LEAST_WARM_SCALE = 1e-3

#: relative error of float32 up to which parameters are rounded to it: below its range they would lose their digits
_FLOAT32_ERROR = 1e-6


def restored_on_failure(method):
    """Let a method give its estimator the attributes back if it raises; an interrupt raises too."""

    @wraps(method)
    def restoring(self, *args, **kwargs):
        attributes = vars(self)
        before = dict(attributes)
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            attributes.clear()
            attributes.update(before)
            raise

    return restoring


def warn(text, category):
    """Warn at the line that called into this package, however many functions of the package are between."""
    frame, level = currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


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


def log_probabilities(raw):
    """Logarithms of the probabilities of the classes (n, n_classes), from log odds (n, 1) or logits (n, n_classes)."""
    return np.hstack([log_expit(-raw), log_expit(raw)]) if raw.shape[1] == 1 else log_softmax(raw, axis=1)


def probabilities(raw):
    """Probabilities of the classes (n, n_classes), from log odds (n, 1) or logits (n, n_classes)."""
    n, k = raw.shape
    found = np.empty((n, max(k, 2)), dtype=raw.dtype)
    # in slices that stay in the cache
    for start in range(0, n, _SLICE):
        some, of_some = raw[start : start + _SLICE], found[start : start + _SLICE]
        if k > 1:
            of_some[:] = softmax(some, axis=1)
            continue
        some = some[:, 0]
        total = np.exp(-np.abs(some))
        total += 1
        np.divide(np.exp(np.minimum(some, 0)), total, out=of_some[:, 1])
        np.divide(np.exp(np.minimum(-some, 0)), total, out=of_some[:, 0])
    return found


def by_rows(predict):
    """Let a prediction take a dask collection: it returns a lazy dask array with the same partitions then."""

    @wraps(predict)
    def predicted(self, X, *args, **row_data):
        if not is_distributed(X):
            return predict(self, X, *args, **row_data)
        check_is_fitted(self)
        if any(values is not None for values in (*args, *row_data.values())):
            raise ValueError("offset must be None for a dask collection: predict its partitions by map_partitions")
        there, name = self._as_it_is(), predict.__name__
        return map_distributed(getattr(there, name), X, getattr(there._for_zeros(), name))

    return predicted


class SolvedEstimator(CallbackSupportMixin, BaseEstimator):
    """What all estimators share: parameters, a fit that is restored on failure, the run of a solver, warnings."""

    # where the diagram of scikit-learn links to
    _doc_link_module = "sk_hessian"
    _doc_link_template = (
        "https://sk-hessian.readthedocs.io/en/latest/generated/{estimator_module}.{estimator_name}.html"
    )

    #: the parameter that is the strength of the penalty, and what may choose it; see `_strength`
    _strength_name = "alpha"
    _criteria: tuple[str, ...] = CRITERIA

    #: what a user should know of a strength that the latest fit has chosen, at the end of a search, or beside fits that
    #: failed
    _choice_message = ""

    #: what a stream of rows has taught, see `partial_fit`
    _memory: Any = None

    #: float64 parameters of a fit whose attributes are float32
    _exact: Any = None

    def __init__(self, solver, tol, max_iter, warm_start, verbose, random_state):
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

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

    # -- what a family of models says ---------------------------------------------------------------------------------

    def _check_parameters(self):
        """Check the parameters that are not common to all."""

    def _max_subtasks(self):
        """Parts of a fit that callbacks are told of; None for iterations, whose number is not known before."""
        return

    def _learn(self, data, task):
        """Check the rows of a `RowData`, minimise with callbacks told by ``task``, and set the fitted attributes."""
        raise NotImplementedError

    def _objective_of(self, data, reset):
        """The objective on checked rows; ``reset`` for a fit, which learns the features and the classes."""
        raise NotImplementedError

    def _set_weights(self, objective, theta):
        """Set the fitted attributes that predictions need."""
        raise NotImplementedError

    def _fitted_theta(self, objective):
        """The fitted attributes as parameters of an objective."""
        raise NotImplementedError

    # -- fit ----------------------------------------------------------------------------------------------------------

    def _fit(self, data):
        """Fit to `RowData`, and warn where the user must know something of the fit; what all ``fit`` call."""
        self._check_all_parameters()
        with held_for(data.X):
            if getattr(self, "_skl_callbacks", None):
                learn_as_task(self, data)
            else:
                self._learn(data, UNTOLD)
        self._tell(self._advice())
        self._tell(self._choice_message)
        return self

    def _check_all_parameters(self):
        _validation.check_common(self)
        self._check_parameters()
        check_solver(self.solver)
        check_constraints(self)

    def _minimize(self, objective, start, random_state, task=UNTOLD, watch=None, bounds=None):
        """The `Result` of the solver within bounds; ``watch(state)`` and the callbacks of ``task`` may stop it."""
        before, after = task.iterations(partial(self._attributes_at, objective))
        observers = list(filter(None, (progress_printer(self.verbose), watch, after)))

        def callback(state):
            answers = [see(state) for see in observers]
            return any(answers)

        return minimize(
            objective,
            start,
            self.solver,
            tol=self.tol,
            max_iter=self.max_iter,
            callback=callback if observers else None,
            before=before,
            random_state=random_state,
            bounds=bounds,
        )

    def _attributes_at(self, objective, theta, value):
        """The fitted attributes that predictions at ``theta`` need, None where the objective is not finite."""
        if not np.isfinite(value):
            return None
        there, here = copy.copy(self), vars(self)
        there._set_weights(objective, objective.canonical(theta))
        return {name: value for name, value in vars(there).items() if value is not here.get(name)}

    def _rounded(self, exact, dtype):
        """Fitted parameters, a sequence of float64 arrays or scalars, in float32; ``_exact`` keeps them as they are.

        None where the rows are no float32, or that cannot hold the parameters.
        """
        self._exact = None
        if dtype != np.float32:
            return None
        with np.errstate(over="ignore", under="ignore"):
            rounded = [values.astype(np.float32) for values in exact]
        if not all(np.allclose(near, values, _FLOAT32_ERROR, 0) for near, values in zip(rounded, exact, strict=True)):
            return None
        self._exact = exact
        return rounded

    def _unrounded(self, parameters):
        """Those attributes in float64: the fit's ``_exact`` ones, unless a user has changed the attributes since."""
        parameters = [np.asarray(values) for values in parameters]
        if self._exact is not None and len(self._exact) == len(parameters):
            pairs = zip(self._exact, parameters, strict=True)
            if all(np.array_equal(found.astype(values.dtype), values) for found, values in pairs):
                return self._exact
        return [values.astype(float, copy=False) for values in parameters]

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
            warn(f"{type(self).__name__}: {advice}", category)

    # -- after a fit --------------------------------------------------------------------------------------------------

    def _objective_and_theta(self, data):
        """The objective on rows, and the fitted parameters; what all ``fitted_objective`` return."""
        check_is_fitted(self)
        objective = self._objective_of(data, reset=False)
        return objective, self._fitted_theta(objective)

    def _as_it_is(self):
        """A copy for a lazy prediction, which a later fit does not change."""
        return copy.copy(self)

    def _for_zeros(self):
        """An estimator that predicts a row of zeros as this one does, even where a column has no such level."""
        return self

    def _checked_rows(self, X):
        """X for a prediction, an array, a CSR matrix or a `CodeTable`."""
        check_is_fitted(self)
        return _validation.checked_table(self, X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
