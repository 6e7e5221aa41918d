"""Jeffreys' prior of a logistic regression: finite estimates of less bias, also where the classes are separated.

It adds half the log-determinant of the information, negative, to the sum of the losses,

    -1/2 log det(Z' V Z),     V = diag(w_i p_i (1 - p_i)),

with the determinant in standardised coordinates Z of the columns, which differ from the user's by a constant.
"""

from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from sk_hessian._facts import fact
from sk_hessian.objectives.column_space import MOST_COLUMNS
from sk_hessian.objectives.evaluation import EPS, ROUNDINGS
from sk_hessian.objectives.factors import unit_scale
from sk_hessian.objectives.rows import weighted_grams
from sk_hessian.objectives.terms.term import Term, TermPoint

#: directions of a Hessian that are summed at once: each needs a matrix of the columns' size
_DIRECTIONS = 32


class Jeffreys(Term):
    """Half the log-determinant of the information of a binary logistic model, negative: Firth's penalty.

    Its "expected" curvature is zero: that of the sum is then Fisher's information of the likelihood alone, whose
    inverse is the covariance that goes with these estimates. The "observed" one is the exact second derivative. Every
    optimum is finite (Kosmidis & Firth). Dependent columns have the determinant of the space that they span.

    References
    ----------
    .. [1] D. Firth, "Bias reduction of maximum likelihood estimates", Biometrika 80(1), 1993.
    .. [2] I. Kosmidis, D. Firth, "Jeffreys-prior penalty, finiteness and shrinkage in binomial-response generalized
       linear models", Biometrika 108(1), 2021.
    """

    name = prior = "jeffreys"
    made_of = "determinant"
    is_convex = False
    is_exact = False
    is_sum_over_rows = False
    is_of_predictions = True

    def at(self, here):
        """See `Term.at`."""
        return JeffreysPoint(here)

    def check(self, objective):
        """See `Term.check`; fixes the coordinates, as the determinant is that of one set of them throughout.

        It refuses another penalty beside it, and more than 3000 columns.
        """
        if objective.l2.is_present:
            raise ValueError("penalty must be zero: Jeffreys' prior is one")
        if not objective.facts.has_matrix:
            raise ValueError(
                f"Jeffreys' prior needs the determinant of a matrix of X's columns: at most {MOST_COLUMNS}, "
                f"X has {objective.n_features}"
            )
        objective.space.settle(objective.at(objective.start()), "expected")

    def check_sample(self):
        """See `Term.check_sample`: the prior is that of all rows."""
        raise ValueError("Jeffreys' prior is no sum over rows: use batch_size=None, and no subsampled Hessian")


class JeffreysPoint(TermPoint):
    """The prior at the point of a `LinearEvaluation`, with the information there."""

    def __init__(self, here):
        self._here, self._objective = here, here.objective
        self._columns = here.objective.space.columns

    @cached_property
    def _root_and_determinant(self):
        """P with P'IP = 1 and log det I of the information I, by a Cholesky factor in units of its diagonal.

        None and nan where it is singular to rounding.
        """
        information = self._objective.total * self._here.curvature("expected", self._columns)
        if not np.isfinite(information).all():
            return None, np.nan
        unit = unit_scale(information)
        try:
            L = cholesky(unit[:, None] * information * unit, lower=True)
        except np.linalg.LinAlgError:
            return None, np.nan
        root = unit[:, None] * solve_triangular(L, np.eye(len(L)), lower=True, trans=1)
        return root, 2 * (np.log(L.diagonal()).sum() - np.log(unit).sum())

    def _bent_rows(self):
        """A function from a block and its weights to rows U under which the information is 1, p, and w p (1 - p)."""
        predict, root, loss = self._here.predictor(), self._root_and_determinant[0], self._objective.loss

        def rows(block, weight):
            raw = predict(block)
            bend = weight * loss.hessian(None, raw, "expected")[:, 0, 0]
            return block.standardised(self._columns) @ root, loss.inverse_link(raw)[:, 0], bend

        return rows

    def _fold(self, function):
        return self._objective.rows.fold(function, self._columns, width=3 * self._objective.n_parameters)[0]

    @fact
    def value(self):
        """See `TermPoint`: +inf where the information is singular to rounding."""
        root, determinant = self._root_and_determinant
        return np.inf if root is None else -0.5 * determinant

    @fact
    def gradient(self):
        """See `TermPoint`: X'(h (p - 1/2)) with the leverages h of the rows under the information."""
        objective, rows = self._objective, self._bent_rows()

        def of_block(block, y, weight):
            U, p, bend = rows(block, weight)
            leverage = bend * np.einsum("ij,ij->i", U, U)
            return (objective.model.adjoint(block, (leverage * (p - 0.5))[:, None]),)

        return self._fold(of_block)

    @fact
    def noise(self):
        """See `TermPoint`."""
        return ROUNDINGS * EPS * abs(self._root_and_determinant[1])

    def product(self, v, kind):
        """See `TermPoint.product`."""
        if kind == "expected":
            return np.zeros_like(v)
        model, change = self._objective.model, self._objective.model.unpack(v)
        return self._products(lambda block: model.change(block, change), model.adjoint)

    def matrix(self, columns, kind):
        """See `TermPoint.matrix`."""
        H, unit = np.zeros((columns.n_columns, columns.n_columns)), np.eye(columns.n_columns)
        if kind == "expected":
            return H
        for start in range(0, len(unit), _DIRECTIONS):
            some = unit[:, start : start + _DIRECTIONS]
            H[:, start : start + _DIRECTIONS] = self._products(
                lambda block, some=some: block.standardised(columns) @ some,
                lambda block, R: block.standardised(columns).T @ R,
            )
        return 0.5 * (H + H.T)

    def _products(self, change, adjoint):
        """The second derivative along directions.

        With the rows u of `_bent_rows`, weights b = w p (1 - p), s = b (1 - 2 p), leverages h = b |u|^2 and the rows'
        changes d along a direction it is X'(s u'M u - h (1 - 6 p (1 - p)) d) / 2, with M = sum_i s_i d_i u_i u_i': from
        the second derivative of log det, tr(I^-1 I'') - tr(I^-1 I' I^-1 I'). ``change`` takes a block to the changes
        (n, n_directions) of its raw predictions, ``adjoint`` a block and a gradient in these to one in parameters.
        """
        rows = self._bent_rows()

        def thirds(block, y, weight):
            U, p, bend = rows(block, weight)
            return (weighted_grams(U, (bend * (1 - 2 * p))[:, None] * change(block)),)

        moments = self._fold(thirds)

        def of_block(block, y, weight):
            U, p, bend = rows(block, weight)
            leverage = bend * np.einsum("ij,ij->i", U, U)
            forms = np.stack([np.einsum("ij,ij->i", U @ M, U) for M in moments], axis=1)
            R = (bend * (1 - 2 * p))[:, None] * forms
            R -= (leverage * (1 - 6 * p * (1 - p)))[:, None] * change(block)
            return (adjoint(block, 0.5 * R),)

        return self._fold(of_block)
