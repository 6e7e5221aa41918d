"""The model behind a Laplace approximation: its structure, its precision, its dispersion and its evidence."""

from functools import cached_property
from numbers import Real

import numpy as np
from scipy.optimize import minimize_scalar

from sk_hessian._selection.dispersion import pearson_dispersion
from sk_hessian._selection.precision import STRUCTURES, UndeterminedError, observations
from sk_hessian.objectives import GLMObjective, Linearised

#: parameters whose full posterior "auto" takes whatever else is cheaper; what it costs is taken of others too
_MOST_AUTO = 1000

#: parameters up to which a matrix of them is formed at all
MOST_FULL = 3000

#: numbers that the rows may have where they are fewer than the parameters, 800 MB
_MOST_NUMBERS = 1e8

#: the dispersion of most evidence is looked for within this factor of Pearson's, on the logarithm
_DISPERSION_RANGE = 5.0

#: share of the rows by which rounding may count more parameters than rows
_ROUNDING = 1e-9

#: what an estimate of the dispersion that fails says first
_GIVE_DISPERSION = "laplace: give dispersion= a number, for it cannot be estimated"


class PosteriorModel:
    """A posterior but for its dispersion, of a `Linearised` model and a structure; an improper one is refused."""

    def __init__(self, at, names, structure):
        self.at, self.objective, self.theta, self.names = at, at.objective, at.theta, names
        is_linear = self.objective.model.is_linear
        self.curvature = self.objective.curvature if is_linear else "gauss-newton"
        self.precision = _precision(at, names, structure)
        self._penalty, self._n_outputs = at.penalty, self.objective.loss.n_outputs
        # the targets of a linear model share nothing, those of a network its hidden layers
        separate = is_linear and self.objective.loss.quadratic
        self._n_groups = self._n_outputs if separate else 1
        shrinkage = self.grouped(self.precision.shrinkages) if separate else self.precision.shrinkage
        self.effective_df = self._penalty.size / self._n_groups - np.atleast_1d(shrinkage)
        determined, most = self.effective_df.sum(), observations(self.objective)
        if determined > most * (1 + _ROUNDING):
            raise ValueError(
                f"structure={structure!r} is of no use here: without covariances it has {determined:.6g} parameters "
                f"determined by {most} rows (times outputs); use another structure, or a stronger penalty"
            )

    def grouped(self, values):
        """Sums over the parameters, or the targets, of each dispersion; these are stored by rows."""
        return values.reshape(-1, self._n_groups).sum(axis=0)

    def by_coordinate(self, values):
        """What belongs to each dispersion for each of the identified coordinates."""
        return np.resize(values, self._penalty.size)

    @property
    def _n_observations(self):
        """The weight of the targets of each dispersion together."""
        return self.objective.total_weight * self._n_outputs / self._n_groups

    @cached_property
    def _chi_square(self):
        family = self.objective.loss.family
        return self.grouped(self._summed(lambda y, raw, weight: weight @ family.pearson(y, raw)))

    def _summed(self, of_rows):
        """The sum over all rows of ``of_rows(y, raw, weight)``."""
        predict, width = self.at.here.predictor(), self.objective.model.pass_width
        return self.objective.rows.fold(lambda block, y, weight: (of_rows(y, predict(block), weight),), width=width)[0]

    @property
    def n_penalised(self):
        """Parameters with a prior."""
        return int((self._penalty > 0).sum())

    @property
    def gamma(self):
        """Those of them that the rows determine, MacKay's gamma."""
        return float(np.clip(self.n_penalised - self.precision.shrinkage, 0, None))

    def fixed_point(self, dispersion, features=None):
        """What MacKay's update multiplies the penalty by, inf where it has no effect; for dispersions (n_groups,).

        Of a linear model it may be that of the penalty of some ``features``, (n_features,) of bool.
        """
        if features is None:
            squares = 2 * (self.penalty_value * self.objective.total_weight / dispersion).sum()
            return float(self.gamma / squares) if squares > 0 else np.inf
        if self.objective.l2.has_matrix:
            return self._fixed_point_of(self.objective.l2.chosen(features), dispersion)
        held = np.append(features, [False] * self.objective.model.fit_intercept)
        width = len(self._penalty) // len(held)
        some = np.repeat(held, width) & (self._penalty > 0)
        gamma = max(some.sum() - self.precision.shrinkages[some].sum(), 0.0)
        pull = (self.objective.l2.gradient(self.theta) * self.theta).reshape(len(held), -1)[held].sum(axis=0)
        squares = (pull * self.objective.total_weight / dispersion).sum()
        return float(gamma / squares) if squares > 0 else np.inf

    def _fixed_point_of(self, part, dispersion):
        """The same for a part S_j of a penalty S with matrices: tr(S^- S_j) - tr(H^-1 S_j) over that part's share.

        The update of Fellner and Schall, see S. Wood, M. Fasiolo, "A generalized Fellner-Schall method for smoothing
        parameter optimization", Biometrics 73(4), 2017.
        """
        B, held = self.at.root_of(part), self._penalty > 0
        gamma = (B[:, held] ** 2 / self._penalty[held]).sum() - (self.precision.whiten(B) ** 2).sum()
        pull = (part.gradient(self.theta) * self.theta).reshape(-1, self._n_outputs).sum(axis=0)
        squares = (pull * self.objective.total_weight / dispersion).sum()
        return float(max(gamma, 0.0) / squares) if squares > 0 else np.inf

    def pearson(self):
        """Squared Pearson residuals over what the fit has left, for each dispersion."""
        least = 2 * self.objective.resolution * self.objective.total_weight
        return pearson_dispersion(_GIVE_DISPERSION, self._chi_square, self._n_observations, self.effective_df, least)

    def most_evident(self):
        """The dispersion with the largest evidence."""
        if not self.objective.loss.quadratic:
            centre = np.log(self.pearson()[0])
            bounds = centre - _DISPERSION_RANGE, centre + _DISPERSION_RANGE
            found = minimize_scalar(lambda log: -self.log_evidence(np.exp([log])), bounds=bounds, method="bounded")
            return np.exp([found.x])
        # the evidence is that of sums of squares: -m/2 log(phi) - S / phi but for a constant
        half, left = self.half_squares
        if not ((half > 0).all() and (left > 0).all()):
            raise ValueError("dispersion: the fit is perfect, so that the evidence has no maximum; give a number")
        return 2 * half / left

    @property
    def half_squares(self):
        """Of squared errors half the sum of squares with the penalty, and how many independent ones, of each target."""
        half = 0.5 * self._chi_square + self.objective.total_weight * self.penalty_value
        return half, self._n_observations - self.grouped(self._penalty == 0)

    @property
    def penalty_value(self):
        """The penalty at the fit, of the parameters of each dispersion."""
        return 0.5 * self.grouped(self.objective.l2.gradient(self.theta) * self.theta)

    def _log_likelihood(self, dispersion):
        """Of all rows; weights are repetitions, of proportions numbers of trials."""
        family = self.objective.loss.family
        if family.weights_are_trials:
            return self._summed(lambda y, raw, weight: family.log_likelihood(y, raw, dispersion / weight).sum())
        return self._summed(lambda y, raw, weight: weight @ family.log_likelihood(y, raw, dispersion))

    def log_evidence(self, dispersion):
        """See `LaplacePosterior.log_evidence`; for dispersions of shape (n_groups,)."""
        share, has_prior = self.objective.total_weight / dispersion, self._penalty > 0
        shares = self.by_coordinate(share)
        joint = self._log_likelihood(dispersion) - share @ self.penalty_value
        prior = 0.5 * np.log((shares * self._penalty)[has_prior]).sum()
        flat = np.log(np.sqrt(2 * np.pi)) * (~has_prior).sum() + self.at.flat_volume
        log_det = self.precision.log_det + np.log(shares).sum()
        return float(joint + prior + flat - 0.5 * log_det)

    def dispersion(self, dispersion):
        """The dispersion of each group of targets, and its source; ``dispersion`` as of `laplace`."""
        if not self.objective.loss.family.has_dispersion:
            if dispersion is not None and dispersion != "evidence":
                raise ValueError("dispersion must be None: that of this family is one")
            return np.ones(1), "one, by the family"
        if dispersion is None:
            return self.pearson(), "squared Pearson residuals / (weight - effective degrees of freedom)"
        if isinstance(dispersion, str) and dispersion == "evidence":
            return self.most_evident(), "largest evidence"
        is_number = isinstance(dispersion, Real) and not isinstance(dispersion, bool)
        if not (is_number and 0 < dispersion < np.inf):
            raise ValueError(f'dispersion must be a positive number, "evidence" or None, got {dispersion!r}')
        return np.full(len(self.effective_df), float(dispersion)), "given"


def _precision(at, names, structure):
    """The precision of a structure; an error names what nothing determines."""
    is_linear = at.objective.model.is_linear
    build = STRUCTURES["full" if structure == "last_layer" else structure]
    try:
        return build(at, at.objective.curvature if is_linear else "expected")
    except UndeterminedError as error:
        name = names[at.parameter_of(error.index)]
        advice = (
            "drop a column, or give it a penalty"
            if is_linear
            else 'use hidden_biases="fixed" (they have no penalty, and of a unit without effect nothing else '
            'determines them), structure="last_layer", or fewer units'
        )
        raise ValueError(
            f"the posterior is improper: neither the rows nor the penalty determine {name}, given the others; {advice}"
        ) from error


def resolved(at, structure):
    """The structure of a posterior: "auto" resolved, and one that the model does not have refused."""
    objective, size = at.objective, len(at.penalty)
    is_network = not objective.model.is_linear
    if objective.l2.has_matrix:
        if structure not in ("auto", "full"):
            raise ValueError(f"structure={structure!r} is not available with a penalty_matrix, which needs 'full'")
        _require_full(at, size, ("full",))
        return "full"
    has_kronecker = is_network or objective.loss.shift_invariant
    known = ("auto", "full", *["kronecker"] * has_kronecker, "diagonal", *["last_layer"] * is_network)
    if structure not in known:
        raise ValueError(f"structure={structure!r} is not available for this model: choose from {known}")
    if structure == "auto" and has_kronecker:
        return "full" if _is_full_cheap(at, size) else "kronecker"
    if structure in ("auto", "full"):
        _require_full(at, size, known[1:])
        return "full"
    return structure


def _is_full_cheap(at, size):
    """Whether a full posterior costs no more than that of 1000 parameters does, or than a Kronecker factor.

    In multiplications: the triangle of m rows of d parameters takes m d min(m, d), that of fewer rows than parameters
    is taken within their span; the factors of a layer of q inputs and r outputs take n (q^2 + r^2) + q^3 + r^3.
    """
    rows, n_rows = _determining_rows(at), at.objective.n_rows
    full = rows * size * min(rows, size)
    kronecker = sum(n_rows * (q**2 + r**2) + q**3 + r**3 for q, r in at.coordinates.shapes)
    return size <= _MOST_AUTO or (_is_full_possible(rows, size) and full <= max(_MOST_AUTO**3, kronecker))


def _determining_rows(at):
    """Rows, one for each output, and the coordinates that no penalty determines: what is not the prior's.

    A matrix of a penalty is one of all coordinates.
    """
    if at.objective.l2.has_matrix:
        return len(at.penalty)
    return observations(at.objective) + np.count_nonzero(at.penalty == 0)


def _is_full_possible(rows, size):
    within = min(size, rows)
    return within <= MOST_FULL and (size <= MOST_FULL or within * size <= _MOST_NUMBERS)


def _require_full(at, size, known):
    """Refuse a full posterior of too many parameters and rows."""
    if _is_full_possible(_determining_rows(at), size):
        return
    others = [name for name in known if name != "full"]
    raise ValueError(
        f"a full posterior is for at most {MOST_FULL} parameters, or rows and outputs (then with at most "
        f"{_MOST_NUMBERS:.0e} numbers in all); these are {size} parameters of {at.objective.n_rows} rows. Use "
        f"structure={' or '.join(map(repr, others))}, which leaves out covariances, or fewer columns"
    )


def last_layer(at, names):
    """The last layer of a network as a linear model of the hidden units, and the names of its parameters."""
    network, rows = at.objective, at.objective.rows
    part, shape = network.model.layers[-1]
    penalty = network.l2.diagonal_of(at.theta.size)[part].reshape(shape)[:-1]
    linear = GLMObjective(at.features(), rows.y, network.loss, sample_weight=rows.weight, penalty=penalty)
    return Linearised(linear, at.theta[part]), names[part]
