"""The policy of the solvers: what a run does, by thresholds on the facts of an objective and the options of a solver.

An objective states what its curvature is made of and what that costs (``objective.facts``); here it is decided whether
that is too much. These numbers decide what a run costs. What counts as optimal does not depend on them (see `verdict`).
"""

import numpy as np

from sk_hessian.objectives.coordinates import PointFactor

# -- the solver that "auto" stands for ---------------------------------------------------------------------------

#: rows times parameters beyond which a few more gradients are cheaper than a Hessian at every step
NEWTON_WORK = 4e4

#: rows, and multiplications of a Hessian, up to which three or four of these cost less than the optimum of a sample and
#: the gradients that follow: tables of 4,000 to 20,000 rows and 9 to 150 columns take 0.45 to 0.95 of L-BFGS's time, at
#: condition 1,000 up to 1.2; of 40,000 rows 0.9 to 1.5. Pairs of outputs, summed one by one, take so many times longer:
#: Newton's fits of 5,000 to 20,000 rows with 3 to 10 classes take 1.2 to 1.8 of L-BFGS's time
NEWTON_ROWS = 25_000
NEWTON_PRODUCT = 2.5e8
PAIRS_WORK = 25

#: parameters up to which a network with a cheap exact Hessian takes it: in fewer seconds to better minima
NEWTON_NETWORK = 250


def choose(objective, n_parameters):
    """The name of the solver that "auto" stands for.

    Newton where forming its Hessian costs less than the calls around it (small tables, plain functions), where it is
    a small product of few rows, and for small networks of one hidden layer; else L-BFGS, from one factor of it.
    """
    if objective.facts.is_polyhedral:
        # rows enter and leave the curvature, so that a factor is soon that of other rows
        return "newton" if forms_hessian(objective, n_parameters) else "lbfgs"
    small = objective.n_rows is None or objective.n_rows * n_parameters <= NEWTON_WORK
    small = small or (exact_follows(objective) and n_parameters <= NEWTON_NETWORK)
    small = small or (objective.n_rows <= NEWTON_ROWS and _hessian_products(objective) <= NEWTON_PRODUCT)
    return "newton" if small and forms_hessian(objective, n_parameters) else "lbfgs"


def _hessian_products(objective):
    """Multiplications of the Hessian of a linear model that has one at each point; else inf."""
    facts, width = objective.facts, objective.facts.n_outputs + objective.facts.n_constants
    if facts.made_of != "columns" or facts.is_quadratic or facts.is_wide:
        return np.inf
    return objective.n_rows * (facts.n_columns * width) ** 2 * (1 if width == 1 else PAIRS_WORK)


# -- piecewise linear objectives, as limits of smooth ones ----------------------------------------------------------

#: the width of the first smoothed objective, in typical sizes of the residuals: the rate that is best for a smoothed
#: estimate, and the least share (He, Pan, Tan & Zhou 2023, section 4.1)
WIDTH_RATE = 0.4
LEAST_WIDTH = 0.05

#: what a width is multiplied with from one smoothed objective to the next: eight fits of 5,000 x 70 and 442 x 10 take
#: 1.8 s in all, with 0.1, 0.2 and 0.5 they take 2.1, 1.9 and 2.4 s
WIDTH_FALL = 0.3

#: the same at the least, where the residuals have become much smaller than those before
WIDTH_DROP = 0.02

#: rows within the width, for each coordinate, up to which the vertex that they determine is looked at
ROWS_OF_VERTEX = 3

#: share of the rows within the former width above which those within the next one are tied
TIED = 0.5

#: numbers of these rows up to which they are taken as an array, 32 MB
MOST_OF_VERTEX = 4e6

#: a smoothed optimum is found to this share of what its width may hide, and to less with each width: its slopes are the
#: proof of the optimum, and errors of theirs do not fall with the width
WIDTH_PRECISION = 1e-6


def first_width(spread, n_rows, n_parameters):
    """The width of the first smoothed objective, for residuals of a typical size."""
    return spread * max(LEAST_WIDTH, min(1.0, ((np.log(n_rows) + n_parameters) / n_rows) ** WIDTH_RATE))


def next_width(width, spread, n_rows, n_parameters):
    """The width that follows one, where residuals have come to a typical size."""
    return max(WIDTH_DROP * width, min(WIDTH_FALL * width, first_width(spread, n_rows, n_parameters)))


def may_be_vertex(n_near, n_near_before, n_parameters):
    """Whether rows within a width are so few, or so nearly all of those before, that they may be those of a vertex."""
    are_few = n_near <= ROWS_OF_VERTEX * n_parameters or n_near > TIED * n_near_before
    return are_few and n_near * n_parameters <= MOST_OF_VERTEX


def tolerance_of_width(width, first, scale, share):
    """The tolerance of the run on a smoothed objective, whose share of rows within the width is a row a parameter."""
    return float(np.sqrt(WIDTH_PRECISION * share * width * min(1.0, width / first) / scale))


# -- whole Hessians ----------------------------------------------------------------------------------------------

#: parameters up to which the Hessian of a softmax model is formed and factored whole: it has a block for each pair of
#: classes; beyond, a Kronecker product of columns and classes is its factor
MOST_OF_SOFTMAX = 150

#: the same where a sample of the rows tells the curvature: a fit of 100,000 x 54 with 7 classes takes 29 passes in
#: place of 150, one of 50,000 x 50 with 10 classes 11 in place of 43. 30,000 x 60 with 12 classes, 732 parameters, take
#: as long either way
MOST_OF_SAMPLED_SOFTMAX = 600

#: classes for each column up to which that holds: a row's Hessian has the square of their number (20,000 x 16 with 26
#: classes take twice as long)
MOST_CLASSES_PER_COLUMN = 0.5

#: parameters up to which the Hessian of a function is formed: without a formula it takes as many gradients
MOST_OF_FUNCTION = 500

#: parameters up to which a Hessian with a log-determinant is formed: it takes two passes of cubic cost for every 32
MOST_OF_DETERMINANT = 200

#: work of a network's Hessian, in passes, up to which it is worth forming: it takes the time of about a third as many
#: gradients
MOST_OF_NETWORK = 2500

#: outputs whose pairs are summed one by one for an exact factor
MOST_PAIRED_OUTPUTS = 32

#: size of an exact factor of a softmax model, and multiplications that it may cost: beyond, conjugate gradients certify
#: sooner
MOST_FACTOR_SIZE = 3000
MOST_FACTOR_WORK = 1e9


def forms_hessian(objective, n_parameters):
    """Whether a Hessian is formed as a matrix at every step, not used by products; of a restriction as of all."""
    facts = objective.facts
    if not facts.has_matrix:
        return False
    if facts.made_of == "columns":
        is_small = facts.n_outputs == 1 or n_parameters <= MOST_OF_SOFTMAX
        return is_small or (facts.is_sketch and _is_whole_in_samples(facts, n_parameters))
    if facts.made_of == "gradients":
        return facts.hessian_work <= MOST_OF_NETWORK * facts.pass_work
    if facts.made_of == "determinant":
        return n_parameters <= MOST_OF_DETERMINANT
    if facts.made_of == "restriction":
        return forms_hessian(objective.objective, objective.origin.size)
    return facts.made_of == "memory" or n_parameters <= MOST_OF_FUNCTION


def _is_whole_in_samples(facts, n_parameters):
    """Whether the Hessian of a softmax model is taken whole where a sample of the rows tells it."""
    few_classes = facts.n_outputs <= MOST_CLASSES_PER_COLUMN * facts.n_columns
    return few_classes and n_parameters <= MOST_OF_SAMPLED_SOFTMAX and not facts.is_quadratic


def can_factor(objective, n_parameters):
    """Whether a full factor of the exact Hessian is affordable, once."""
    facts, is_formed = objective.facts, forms_hessian(objective, n_parameters)
    if is_formed or facts.made_of != "columns" or facts.n_outputs == 1:
        return is_formed
    size = objective.full_size
    few = facts.n_outputs <= MOST_PAIRED_OUTPUTS and size <= MOST_FACTOR_SIZE
    return few and objective.n_rows * size**2 <= MOST_FACTOR_WORK


# -- the kind of factor that "auto" stands for -------------------------------------------------------------------

#: parameters up to which the factor of a network is that of the whole Gauss-Newton matrix
MOST_WHOLE_NETWORK = 500

#: fan-ins of a network up to which a Kronecker factor is affordable
MOST_FAN_IN = 2000


def best_kind(objective, n_parameters):
    """The kind of factor that ``precondition="auto"`` stands for; None where none is affordable."""
    facts = objective.facts
    if facts.made_of in ("columns", "determinant"):
        if not facts.has_matrix:
            return "diagonal"
        # of a squared loss the Kronecker product is exact, and never more than the whole
        if facts.n_outputs == 1 or (n_parameters <= MOST_OF_SOFTMAX and not facts.is_quadratic):
            return "full"
        is_sampled = facts.is_sketch or sketch_size(objective, n_parameters) is not None
        return "full" if is_sampled and _is_whole_in_samples(facts, n_parameters) else "kronecker"
    if facts.made_of == "gradients":
        if n_parameters <= MOST_WHOLE_NETWORK and forms_hessian(objective, n_parameters):
            return "full"
        return "kronecker" if facts.n_columns <= MOST_FAN_IN else "diagonal"
    if facts.made_of == "restriction" or forms_hessian(objective, n_parameters):
        return "full"
    # the diagonal of a function's Hessian costs as much as all of it
    return None if objective.n_rows is None else "diagonal"


def damping_kind(objective):
    """The kind of factor in whose coordinates Newton's method damps a Hessian that it forms."""
    if objective.convex:
        return "diagonal"
    # functions and networks have natural units, in which a diagonal is cheap
    return "units" if objective.facts.made_of == "derivatives" or objective.facts.has_many_optima else "auto"


# -- exact curvature ---------------------------------------------------------------------------------------------


def exact_follows(objective):
    """Whether Newton's method begins with expected curvature and goes over to exact curvature, as cheap, later."""
    return objective.facts.exact_is_cheap


def exact_is_dear(objective):
    """Whether exact curvature may cost as much as a run, so that a run far from an optimum ends without it."""
    return objective.facts.has_many_optima


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


# -- samples that stand for all rows -----------------------------------------------------------------------------

#: rows times columns squared below which a sampled factor saves nothing
SKETCH_FROM = 2e7

#: share of the rows in a sampled factor, whose cost is then that of a pass or so; and the fewest rows per column
SKETCH_SHARE = 0.1
SKETCH_PER_COLUMN = 10
SKETCH_MOST = 50_000

#: up to so many columns the exact factor that solves a quadratic objective at once costs less than a sketch's passes
FEW_COLUMNS = 200

#: of a network: rows of a sketch per parameter, the fewest, and how many times fewer than all they must be
NETWORK_PER_PARAMETER = 10
NETWORK_LEAST = 1000
NETWORK_SAVES = 4


def sketch_size(objective, n_parameters):
    """Rows of the sketch from which factors and starts come, None where all rows are cheap enough."""
    facts, n_rows = objective.facts, objective.n_rows
    if facts.bends_few:
        return None
    if facts.made_of == "columns":
        p = facts.n_columns
        if n_rows * p**2 < SKETCH_FROM or not facts.has_matrix or (facts.is_quadratic and p <= FEW_COLUMNS):
            return None
        size = max(min(int(n_rows * SKETCH_SHARE), SKETCH_MOST), SKETCH_PER_COLUMN * p)
        return None if size > n_rows // 2 else size
    if facts.made_of == "gradients" and forms_hessian(objective, n_parameters):
        size = max(NETWORK_PER_PARAMETER * n_parameters, NETWORK_LEAST)
        return None if size * NETWORK_SAVES > n_rows else size
    return None


def sketch_of(objective, n_parameters):
    """The sketch, or None."""
    size = sketch_size(objective, n_parameters)
    return None if size is None else objective.sketch(size)


# -- how Newton's method knows the curvature ---------------------------------------------------------------------

#: conjugate gradients make as many iterations as there are parameters, within these bounds
FEWEST_INNER, MOST_INNER = 20, 200

#: Gauss-Newton is slow when so many steps gain less than this share of what is left; then exact curvature follows
SLOW_STEPS = 4
SLOW_GAIN = 0.02


def searches_along(objective):
    """Whether another point along a step is worth its pass: on the way raw predictions are linear, and often kept."""
    return objective.facts.made_of == "columns"


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

#: columns for each row, and rows, from which a quadratic objective may wait: random rows are then nearly orthogonal, so
#: that two dozen gradients are its solution (1,000 x 8,000), where 1,000 x 1,500 take a hundred; at 500 x 5,000 the
#: products of rows take as long
VERY_WIDE = 8
MANY_ROWS = 800

#: multiplications of a symmetric product that take as long as one of a pass: that waits for memory
PASS_WORK = 16

#: multiplications of two eigendecompositions and rotations, times the cube of the size: 500 columns take as long
#: as 45 passes over 2,000 rows with 10 classes
EIGEN_WORK = 50

#: Hessians that the optimum of a sketch takes
WARM_UP_HESSIANS = 5

#: the optimum of a sketch is found to a tenth of its statistical error, which is parameters over rows
SKETCH_PRECISION = 0.1
WARM_UP_ITERATIONS = 15

#: where there may be many optima, the number of rows decides little for so many steps
WARM_UP_OF_NETWORKS = 50


def can_wait(objective, n_parameters):
    """Whether a run may begin in units alone, and take a factor once progress is slow."""
    return factor_passes(objective, n_parameters) > MANY_PASSES


def factor_passes(objective, n_parameters):
    """What the factor of the best kind costs, in passes, and the optimum of the sketch that it comes from.

    It is 0 where a run should not begin without: one factor is the solution, or says what is flat.
    """
    facts, n_rows = objective.facts, objective.n_rows
    is_very_wide = facts.is_wide and facts.pass_work >= VERY_WIDE * facts.factor_size and n_rows >= MANY_ROWS
    if facts.is_quadratic and not is_very_wide:
        return 0.0
    if not facts.is_held or not facts.has_matrix:
        return 0.0
    work = n_rows * facts.hessian_work
    if not facts.is_wide:
        if best_kind(objective, n_parameters) == "kronecker":
            work += EIGEN_WORK * facts.n_columns**3
        else:
            size = sketch_size(objective, n_parameters)
            pairs = facts.n_outputs * (facts.n_outputs + 1) // 2
            work = work if size is None else WARM_UP_HESSIANS * size * facts.hessian_work * pairs
    return work / (PASS_WORK * n_rows * facts.pass_work)


#: passes that a factor of a sketch may cost before it is tried without: on the sketch, in units
EASY_PASSES = 5

#: columns are easy where so many iterations on a sketch, in units, bring the decrement to this share of the scale: of
#: 50,000 x 50 with 10 classes 7, of 100,000 x 54 with 7 more than 60
EASY_ITERATIONS = 9
EASY_SHARE = 1e-4


def may_be_easy(objective, n_parameters):
    """Whether a run may do without a factor of its sketch, which is dear."""
    facts = objective.facts
    return facts.n_outputs > 1 and objective.convex and factor_passes(objective, n_parameters) > EASY_PASSES


def warm_up(sketch, n_parameters, tol):
    """The tolerance and the most iterations of a run on a sketch."""
    if not sketch.convex:
        return tol, WARM_UP_OF_NETWORKS
    return np.sqrt(SKETCH_PRECISION * n_parameters / sketch.n_rows), WARM_UP_ITERATIONS


def factor_at(spec, here, counts, in_units=False):
    """The factor of the Hessian at an `Evaluation` that a solver asks for; ``in_units`` if units are enough.

    From a sketch of the objective where it has one and that is regular, unless the solver takes exact factors. Where
    the solver wants none, one is taken only if that is how the objective tells what is flat.
    """
    objective, n_parameters = here.objective, here.theta.size
    kind = "units" if in_units else spec.factor_kind(objective, n_parameters)
    if kind == "auto":
        kind = best_kind(objective, n_parameters)
    if kind is None:
        counts.hessians += objective.determine(here, sketch_size(objective, n_parameters))
        return PointFactor.none(here)
    if kind == "units" and objective.n_rows is not None:
        return here.factor(kind)
    sketch = None if spec.exact_factors else sketch_of(objective, n_parameters)
    if sketch is not None:
        counts.hessians += sketch.n_rows / objective.n_rows
        factor = sketch.at(here.theta).factor(kind, objective.curvature)
        if not sketch.is_dependent:
            return factor.standing_for(here, objective.inflation(sketch))
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

#: how many times longer the factor that follows one in vain stays, where it is an approximation of a convex objective's
#: curvature: what it lacks is not what has changed, and the steps that a run has learned from are lost. Of 10,000 x 784
#: images with 10 classes 90 passes and 3 factors reach what took 190 and 9
REFRESH_PATIENCE = 2


def patience_after(factor, objective, patience):
    """How many times longer than usual a new factor stays, after one that stayed so many times longer."""
    is_rough = objective.convex and factor.inflation == np.inf
    return REFRESH_PATIENCE * patience if is_rough else 1


#: share of the scale that is left where a run in units is likely to end
_NEAR_THE_END = 1e-8


def is_sooner(objective, n_parameters, decrement, fall):
    """Whether a run in units, each of whose iterations leaves a share of the decrement, ends before a factor pays.

    20,000 x 600 of condition 100 takes a factor after 10 iterations, and 30 passes in place of 290.
    """
    left = np.log(_NEAR_THE_END * objective.scale / decrement) / np.log(fall)
    return left <= factor_passes(objective, n_parameters)


# -- when and how to certify -------------------------------------------------------------------------------------

#: up to so many parameters an exact factor is cheaper than conjugate gradients, where all rows must be read anyway
FEW_PARAMETERS = 200

#: a run whose iterations leave no more than this share of the decrement soon passes by a bound that is ten times too
#: large, for less than the products with all rows that would tell at once
SWIFT = 0.7

#: iterations that a run may still make for a proof by its penalty alone: products take six passes or more. 20,000 x 600
#: independent columns take 10 passes in place of 13.5
STEPS_FOR_PROOF = 3

#: products that conjugate gradients may spend on a certificate
MOST_PRODUCTS = 500

#: most iterations between two looks at the certificate
LONGEST_GAP = 64

#: a step that gains less than this share of what is missing is held back, perhaps by the edge of the domain
HELD_BACK = 1e-2


def certifies_by_factor(problem, slack):
    """Whether a certificate comes from an exact factor rather than from products.

    ``slack`` is how many times the curvature of the problem's factor may be too large: of a sample's factor along rare
    directions. Conjugate gradients need about one product for each of its digits.
    """
    objective, (n_parameters, size) = problem.objective, problem.factor.shape
    if size <= FEW_PARAMETERS and sketch_size(objective, n_parameters) is None:
        return True
    if not can_factor(objective, n_parameters):
        return False
    if not problem.has_full_factor:
        return not can_wait(objective, n_parameters)
    work = objective.facts.hessian_work / (PASS_WORK * objective.facts.pass_work)
    return work <= min(np.log10(10 * slack), MANY_PASSES)
