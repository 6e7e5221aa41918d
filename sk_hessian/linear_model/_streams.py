"""Streams of rows: a step for new rows and what is remembered of those before, and how far that can be trusted."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_hessian.objectives import GLMObjective, StreamObjective, first_memory
from sk_hessian.solvers import check_solver

#: parameters up to which a stream of rows is remembered by a matrix
_MOST_REMEMBERED = 1000

#: share of what a model can gain that the memory of a stream may cost in silence
_MOST_ERROR = 0.005

#: share above which the memory is mended and the step is made again, and how often
_MENDED = 1e-4
_MOST_MENDINGS = 10


class Remembering:
    """What linear models share that have a memory of a stream: its use without any row."""

    fit_intercept: Any
    _columns: Any
    _memory: Any
    _penalises_sum: bool
    _penalties: Any
    _terms: Any
    _fitted_theta: Any

    def fitted_memory(self):
        """What a stream of `partial_fit` remembers, for inspection; nothing is kept.

        Returns
        -------
        memory : Memory
        objective : GLMObjective
            Of the rows that are kept as they are, with the penalty of all; where none are, of a row of zeros in their
            place, for the names and the penalty alone.
        theta : ndarray of shape (n_parameters,)

        Raises
        ------
        ValueError
            Where it was not fitted by `partial_fit`.
        NotFittedError
        """
        check_is_fitted(self)
        memory = self._memory
        if memory is None:
            raise ValueError(
                f"X and y are needed: the rows that the estimator was fitted on. Only a stream, a "
                f"{type(self).__name__} fitted by partial_fit, remembers what stands for them"
            )
        rows, k = memory.kept, memory.loss.n_outputs
        if rows is None:
            rows = np.zeros((1, self._columns[1]))
        y = np.zeros((1, k) if memory.targets is not None and memory.targets[0].ndim > 1 else 1)
        total = 1.0 if memory.kept is None else memory.kept.total_weight
        per_mean = (1 if self._penalises_sum else memory.total_weight) / total
        objective = GLMObjective(
            rows,
            y,
            memory.loss,
            fit_intercept=bool(self.fit_intercept),
            **self._penalties(per_mean),
            terms=self._terms(),
            feature_names=self._columns[0],
            class_names=getattr(self, "classes_", None),
        )
        return memory, objective, self._fitted_theta(objective)


def stream_of(rows, memory, forgetting, solver):
    """The `StreamObjective` of new ``rows`` and of the ``memory`` of those before, None for the first ones."""
    is_matrix = _remembers_matrix(solver, rows.n_parameters)
    if memory is None:
        return StreamObjective(rows, first_memory(rows, is_matrix))
    if memory.centre.size != rows.n_parameters:
        raise ValueError(
            f"the model of these rows has {rows.n_parameters} parameters, that of the rows before "
            f"{memory.centre.size}: y must have as many targets as before, and fit_intercept must not change"
        )
    return StreamObjective(rows, memory.faded(forgetting).shaped(is_matrix).told(rows))


def _remembers_matrix(solver, n_parameters):
    """Whether a stream of rows is remembered by a matrix: where the solver's preconditioner is one."""
    spec = check_solver(solver)
    kind = "auto" if spec is None else spec.precondition
    return kind in ("full", "kronecker") or (kind == "auto" and n_parameters <= _MOST_REMEMBERED)


def step(objective, solve):
    """Go to the optimum for new rows and the memory, and again where the memory proves wrong there and is mended.

    ``solve(objective, start)`` is a `Result`. Returns the objective with the memory as it was mended, the result, and
    what the memory may still have spoilt, as a share of what the model can gain.
    """
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


def doubted(verdict, error):
    """The verdict, but no model optimal whose memory may have cost this share of what it can gain."""
    if verdict.status != "optimal" or error <= _MOST_ERROR:
        return verdict
    message = (
        f"stalled: the step ended at an optimum, but the rows before are remembered by a quadratic, and the model has "
        f"moved so far since that about {min(error, 1):.1%} of what it can gain may be missing. Give the rows in "
        "random order, or call fit with all of them."
    )
    return replace(verdict, status="stalled", message=message)
