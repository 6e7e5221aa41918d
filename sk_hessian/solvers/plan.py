"""The policy of the solvers: what a run does, by thresholds on the facts of an objective and the options of a solver.

These numbers decide what a run costs. What counts as optimal does not depend on them (see `verdict`).
"""

import numpy as np

from sk_hessian.objectives.coordinates import PointFactor

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


# -- how Newton's method knows the curvature ---------------------------------------------------------------------

#: conjugate gradients make as many iterations as there are parameters, within these bounds
FEWEST_INNER = 20
MOST_INNER = 200

#: Gauss-Newton is slow when so many steps gain less than this share of what is left; then exact curvature follows
SLOW_STEPS = 4
SLOW_GAIN = 0.02


def inner_iterations(n_parameters):
    """The most iterations of conjugate gradients within one step."""
    return max(FEWEST_INNER, min(n_parameters, MOST_INNER))


def is_slow(values):
    """Whether the last steps have gained little of what is left above the lower bound."""
    return len(values) > SLOW_STEPS and values[-SLOW_STEPS - 1] - values[-1] < SLOW_GAIN * values[-1]


# -- how a run begins --------------------------------------------------------------------------------------------

#: a factor that costs more passes than these is not taken before it is needed: at the worst the work doubles, on easy
#: data it falls by far more
MANY_PASSES = 20

#: the optimum of a sketch is found to a tenth of its statistical error, which is parameters over rows
SKETCH_PRECISION = 0.1
WARM_UP_ITERATIONS = 15

#: where there may be many optima, the number of rows decides little for so many steps
WARM_UP_OF_NETWORKS = 50


def can_wait(objective):
    """Whether a run may begin in units alone, and take a factor once progress is slow."""
    return objective.factor_passes > MANY_PASSES


def warm_up(sketch, n_parameters, tol):
    """The tolerance and the most iterations of a run on a sketch."""
    if not sketch.convex:
        return tol, WARM_UP_OF_NETWORKS
    return np.sqrt(SKETCH_PRECISION * n_parameters / sketch.n_rows), WARM_UP_ITERATIONS


def factor_at(spec, here, counts, in_units=False):
    """The factor of the Hessian at a point that a solver asks for.

    From a sketch of the objective where it has one and that is regular, unless the solver takes exact factors. Where
    the solver wants none, one is taken only if that is how the objective tells what is flat.

    Parameters
    ----------
    spec : Solver
    here : Evaluation
    counts : Counts
    in_units : bool
        Whether units of the parameters are enough.
    """
    objective = here.objective
    kind = "units" if in_units else spec.factor_kind(objective, here.theta.size)
    if kind is None:
        counts.hessians += objective.determine(here)
        return PointFactor.none(here)
    if kind == "units" and objective.n_rows is not None:
        return here.factor(kind)
    sketch = None if spec.exact_factors else objective.sketch()
    if sketch is not None:
        counts.hessians += sketch.n_rows / objective.n_rows
        factor = sketch.at(here.theta).factor(kind, objective.curvature)
        if not sketch.is_dependent:
            return factor.uncertified(objective.inflation(factor)).moved_to(here.place)
    counts.hessians += 1.0
    factor = here.factor(kind, objective.curvature)
    return PointFactor.none(here) if factor is None else factor


# -- when the preconditioner is taken anew -----------------------------------------------------------------------

#: iterations after which a factor that no longer makes the decrement fall tenfold is taken anew: the fewer, the more
#: an iteration costs (conjugate gradients make many products), or the less a method learns by itself
REFRESH_FIRST_ORDER = 5
REFRESH_LBFGS = 10
REFRESH_PRODUCTS = 3
REFRESH_FALL = 0.1


# -- when and how to certify -------------------------------------------------------------------------------------

#: up to so many parameters an exact factor is cheaper than conjugate gradients, where all rows must be read anyway
FEW_PARAMETERS = 200

#: products that conjugate gradients may spend on a certificate
MOST_PRODUCTS = 500

#: most iterations between two looks at the certificate
LONGEST_GAP = 64

#: a step that gains less than this share of what is missing is held back, perhaps by the edge of the domain
HELD_BACK = 1e-2


def certifies_by_factor(problem):
    """Whether a certificate comes from an exact factor rather than from products."""
    objective, size = problem.objective, problem.factor.shape[1]
    if size <= FEW_PARAMETERS and objective.sketch() is None:
        return True
    return not problem.has_full_factor and objective.can_factor(size) and not can_wait(objective)
