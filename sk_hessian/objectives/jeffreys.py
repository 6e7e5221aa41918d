"""Logistic regression with Jeffreys' prior: finite estimates of less bias, also where the classes are separated.

The objective is the mean loss of `GLMObjective` less half the log-determinant of the information,

    F(theta) = (sum_i w_i loss(y_i, raw_i) - 1/2 log det(Z' V Z)) / sum_i w_i,     V = diag(w_i p_i (1 - p_i)),

with the determinant in standardised coordinates Z of the columns, which differ from the user's by a constant.
"""

from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse.linalg import LinearOperator

from sk_hessian.objectives.evaluation import ROUNDINGS
from sk_hessian.objectives.factors import unit_scale
from sk_hessian.objectives.glm import MOST_COLUMNS, GLMObjective
from sk_hessian.objectives.linear import LinearEvaluation
from sk_hessian.objectives.rows import weighted_grams

#: directions of a Hessian that are summed at once: each needs a matrix of the columns' size
_DIRECTIONS = 32


class JeffreysObjective(GLMObjective):
    """A binary logistic model's mean loss less half the log-determinant of the information: Firth's.

    The "expected" curvature is Fisher's information of the likelihood alone, whose inverse is the covariance that goes
    with these estimates; the "observed" one is the exact second derivative, prior included. Every optimum is finite
    (Kosmidis & Firth), so that `diagnose` finds nothing. Dependent columns have the determinant of the space that they
    span.

    Parameters
    ----------
    X, y, loss
        As of `GLMObjective`, of a loss with one output.
    **options
        As of `GLMObjective`; ``penalty`` must be zero: the prior is the penalty.

    Raises
    ------
    ValueError
        For more than 3000 columns.

    References
    ----------
    .. [1] D. Firth, "Bias reduction of maximum likelihood estimates", Biometrika 80(1), 1993.
    .. [2] I. Kosmidis, D. Firth, "Jeffreys-prior penalty, finiteness and shrinkage in binomial-response generalized
       linear models", Biometrika 108(1), 2021.
    """

    is_sum_over_rows = False
    made_of = "determinant"

    def __init__(self, X, y, loss, **options):
        super().__init__(X, y, loss, **options)
        if self.penalty.any():
            raise ValueError("penalty must be zero: Jeffreys' prior is one")
        if not self.facts.has_matrix:
            raise ValueError(
                f"Jeffreys' prior needs the determinant of a matrix of X's columns: at most {MOST_COLUMNS}, "
                f"X has {self.n_features}"
            )
        self.convex = False
        self.curvature = "expected"
        # the determinant is that of one set of coordinates throughout
        self.settle(self.at(self.start()), "expected")

    def at(self, theta):
        """See `Objective.at`."""
        return JeffreysEvaluation(self, theta, self.design)

    @property
    def standard_design(self):
        """None: the determinant is of the rows as they are."""
        return None

    def is_exact(self, kind):
        """See `Objective.is_exact`: the information leaves the prior out."""
        return kind == "observed"

    # -- what a sum over rows offers, and this is none ----------------------------------------------------------------

    def sample(self, rows):
        """See `Objective.sample`.

        Raises
        ------
        ValueError
            Always: the prior is that of all rows.
        """
        raise ValueError("Jeffreys' prior is no sum over rows: use batch_size=None, and no subsampled Hessian")

    def diagnose(self, theta, direction):
        """See `Objective.diagnose`: no optimum is at infinity."""
        return


class JeffreysEvaluation(LinearEvaluation):
    """The objective at a point, with the information there."""

    def between(self, other, share):
        """See `Evaluation.between`: the information is not linear on the way."""
        return

    # -- the information --------------------------------------------------------------------------------------------

    @cached_property
    def _information_root(self):
        """P with P' I P = 1 for the information I in `columns`, and log det I; None where it is singular."""
        information = self.objective.total * super().sum_curvature("expected", self.objective.columns)
        return _root_and_determinant(information)

    def _bent_rows(self):
        """A function from a block and its weights to rows U under which the information is 1, p, and w p (1 - p)."""
        predict, root, loss, columns = (
            self.predictor(),
            self._information_root[0],
            self.objective.loss,
            self.objective.columns,
        )

        def rows(block, weight):
            raw = predict(block)
            bend = weight * loss.hessian(None, raw, "expected")[:, 0, 0]
            return block.standardised(columns) @ root, loss.inverse_link(raw)[:, 0], bend

        return rows

    # -- value and gradient -----------------------------------------------------------------------------------------

    @cached_property
    def _likelihood(self):
        """The sums without the prior."""
        return LinearEvaluation(self.objective, self.parameters, self.design)

    def sweep(self):
        """See `LinearEvaluation.sweep`: three passes; the value is +inf where the information is singular to rounding.

        The gradient is X'(p - y + h (p - 1/2)) with the leverages h of the rows under the information.
        """
        objective, likelihood = self.objective, self._likelihood
        of = {name: getattr(likelihood, name) for name in ("value", "slope", "bent", "penalty", "raw")}
        vars(self).update(of, gradient=likelihood.slope)
        if np.isfinite(likelihood.value):
            root, determinant = self._information_root
            if root is None:
                nothing = np.zeros_like(self.parameters)
                vars(self).update(value=np.inf, slope=nothing, gradient=nothing)
            else:
                value = likelihood.value - 0.5 * determinant / objective.total
                slope = likelihood.slope + self._pull() / objective.total
                vars(self).update(value=value, slope=slope, gradient=slope)
        return vars(self)

    def _pull(self):
        """The gradient of -1/2 log det I."""
        objective, rows = self.objective, self._bent_rows()

        def terms(block, y, weight):
            U, p, bend = rows(block, weight)
            leverage = bend * np.einsum("ij,ij->i", U, U)
            return (objective.model.adjoint(block, (leverage * (p - 0.5))[:, None]),)

        return objective.rows.fold(terms, objective.columns, width=objective.n_parameters)[0]

    @property
    def noise(self):
        """See `Evaluation.noise`: of the determinant too."""
        own = ROUNDINGS * np.finfo(float).eps * abs(self._information_root[1]) / self.objective.total
        return super().noise + own

    # -- curvature --------------------------------------------------------------------------------------------------

    def hessian(self, kind="observed"):
        """See `Evaluation.hessian`."""
        information, model = super().hessian("expected"), self.objective.model
        if kind == "expected":
            return information

        def product(v):
            change = model.unpack(np.ravel(v))
            prior = self._prior_products(lambda block: model.change(block, change), model.adjoint)
            return information.matvec(np.ravel(v)) + prior

        return LinearOperator((model.n_parameters,) * 2, matvec=product, rmatvec=product, dtype=float)

    def hessian_diagonal(self, kind="observed", factor=None):
        """See `Evaluation.hessian_diagonal`."""
        if kind == "expected":
            return super().hessian_diagonal(kind, factor)
        return self.hessian_matrix(kind, factor).diagonal().copy()

    def sum_curvature(self, kind, columns):
        """See `MeanLossEvaluation.sum_curvature`."""
        H = super().sum_curvature("expected", columns)
        if kind == "expected":
            return H
        unit = np.eye(columns.n_columns)
        for start in range(0, len(unit), _DIRECTIONS):
            some = unit[:, start : start + _DIRECTIONS]
            H[:, start : start + _DIRECTIONS] += self._prior_products(
                lambda block, some=some: block.standardised(columns) @ some,
                lambda block, R: block.standardised(columns).T @ R,
            )
        return 0.5 * (H + H.T)

    def _prior_products(self, change, adjoint):
        """The second derivative of -1/2 log det I, over the total weight, along directions.

        With the rows u of `_bent_rows`, weights b = w p (1 - p), s = b (1 - 2 p), leverages h = b |u|^2 and the rows'
        changes d along a direction it is X'(s u'M u - h (1 - 6 p (1 - p)) d) / 2, with M = sum_i s_i d_i u_i u_i': from
        the second derivative of log det, tr(I^-1 I'') - tr(I^-1 I' I^-1 I').

        Parameters
        ----------
        change : callable
            From a block to the changes (n, n_directions) of its raw predictions.
        adjoint : callable
            From a block and a gradient in raw predictions to one in parameters.
        """
        objective, rows = self.objective, self._bent_rows()

        def thirds(block, y, weight):
            U, p, bend = rows(block, weight)
            return (weighted_grams(U, (bend * (1 - 2 * p))[:, None] * change(block)),)

        def terms(block, y, weight):
            U, p, bend = rows(block, weight)
            leverage = bend * np.einsum("ij,ij->i", U, U)
            forms = np.stack([np.einsum("ij,ij->i", U @ M, U) for M in moments], axis=1)
            R = (bend * (1 - 2 * p))[:, None] * forms
            R -= (leverage * (1 - 6 * p * (1 - p)))[:, None] * change(block)
            return (adjoint(block, 0.5 * R),)

        width = 3 * objective.n_parameters
        moments = objective.rows.fold(thirds, objective.columns, width=width)[0]
        return objective.rows.fold(terms, objective.columns, width=width)[0] / objective.total


def _root_and_determinant(information):
    """P with P'IP = 1 and log det I of a matrix I, by a Cholesky factor in units of its diagonal; None and nan."""
    if not np.isfinite(information).all():
        return None, np.nan
    unit = unit_scale(information)
    try:
        L = cholesky(unit[:, None] * information * unit, lower=True)
    except np.linalg.LinAlgError:
        return None, np.nan
    root = unit[:, None] * solve_triangular(L, np.eye(len(L)), lower=True, trans=1)
    return root, 2 * (np.log(L.diagonal()).sum() - np.log(unit).sum())
