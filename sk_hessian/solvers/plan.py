"""The policy of the solvers: every threshold that decides what a run does, in units of the facts of an objective.

No solver is better than another because of a number here, only dearer or cheaper: a verdict does not depend on them.
"""


# -- the solver that "auto" stands for ---------------------------------------------------------------------------

#: rows times parameters beyond which a few more gradients are cheaper than a Hessian at every step
NEWTON_WORK = 4e4

#: parameters up to which a network with a cheap exact Hessian takes it: in fewer seconds to better minima
NEWTON_NETWORK = 250


def choose(objective, n_parameters):
    """The name of the solver that "auto" stands for.

    Newton where forming its Hessian costs less than the calls around it (small tables, plain functions) and for small
    networks of one hidden layer, else L-BFGS, from one factor of the Hessian.
    """
    small = objective.n_rows is None or objective.n_rows * n_parameters <= NEWTON_WORK
    small = small or (objective.exact_follows and n_parameters <= NEWTON_NETWORK)
    return "newton" if small and objective.forms_hessian(n_parameters) else "lbfgs"


# -- samples of the rows -----------------------------------------------------------------------------------------

#: rows below which minibatches save nothing: a full pass costs little more than the calls of a small one
FULL_BATCH_ROWS = 2048

#: rows of the first minibatches: a few per parameter, so that their curvature resembles that of all rows
BATCH_PER_PARAMETER = 4
SMALLEST_BATCH = 256
BATCH_GROWTH = 4

#: share of the rows of a subsampled Hessian, and the fewest rows per parameter
SUBSAMPLE_SHARE = 0.1
SUBSAMPLE_PER_PARAMETER = 5


def first_batch(n_rows, n_coordinates):
    """Rows of the first minibatch, None for all."""
    return affordable_batch(max(SMALLEST_BATCH, BATCH_PER_PARAMETER * n_coordinates), n_rows)


def next_batch(batch, n_rows):
    """Rows of a minibatch once an epoch gains less than its noise, None for all."""
    return affordable_batch(batch * BATCH_GROWTH, n_rows)


def affordable_batch(batch, n_rows):
    """A number of rows, or None for all where that saves less than half of them."""
    return None if n_rows <= FULL_BATCH_ROWS or 2 * batch > n_rows else batch


def subsample_size(n_rows, n_parameters):
    """Rows of a subsampled Hessian, None for all."""
    size = max(int(SUBSAMPLE_SHARE * n_rows), SUBSAMPLE_PER_PARAMETER * n_parameters)
    return None if size >= n_rows else size


# -- refreshing the preconditioner -------------------------------------------------------------------------------

#: iterations after which a factor that no longer makes the decrement fall so far is taken anew
REFRESH_FIRST_ORDER = 5
REFRESH_LBFGS = 10
REFRESH_PRODUCTS = 3
REFRESH_FALL = 0.1
