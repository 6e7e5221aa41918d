"""Streams of rows of networks: an epoch of first-order steps, or a minimum beside a memory of former rows."""

import numpy as np

from sk_hessian.objectives import StreamObjective, first_memory
from sk_hessian.solvers import SOLVERS, minimize

#: rows of a minibatch, as in scikit-learn
_BATCH = 200

#: parameters up to which second-order solvers go on with a stream of rows
_MOST_REMEMBERED = 2000


def stream_of(rows, memory, theta):
    """The objective of new ``rows`` and of the ``memory`` of those before: None where ``theta`` is all of it."""
    if rows.n_parameters > _MOST_REMEMBERED:
        raise ValueError(
            f"partial_fit with this solver remembers a matrix of all pairs of parameters, at most {_MOST_REMEMBERED}, "
            f'and this network has {rows.n_parameters}: use solver="sgd", or smaller layers'
        )
    return StreamObjective(rows, first_memory(rows, True, theta) if memory is None else memory.told(rows))


def epoch(objective, theta, solver, tol, generator):
    """The weights after one epoch, and the last result: a solver object's own epoch, or one of minibatches.

    A minibatch moves the weights by one iteration of the solver, times rows over rows plus parameters: a few rows do
    not undo what many have taught.
    """

    def iterate(rows, start, spec):
        return minimize(rows, start, spec, tol=tol, max_iter=1, random_state=generator)

    if not isinstance(solver, str):
        result = iterate(objective, theta, solver)
        return result.x, result
    spec = SOLVERS["sgd" if solver == "auto" else solver]()
    if "batch_size" in spec.get_params():
        spec.set_params(batch_size=None)
    order, n_rows = generator.permutation(objective.n_rows), objective.n_rows
    for first in range(0, n_rows, _BATCH):
        rows = np.sort(order[first : first + _BATCH])
        result = iterate(objective.sample(rows) if len(rows) < n_rows else objective, theta, spec)
        theta = theta + len(rows) / (len(rows) + theta.size) * (result.x - theta)
    return theta, result
