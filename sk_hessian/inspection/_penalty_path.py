"""Leave-one-out scores for several strengths of a penalty."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._report import Report, column
from sk_hessian._selection import MOST_EXACT_LEVERAGE, Bends, rows_in_memory
from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._leave_one_out import HeldOut
from sk_hessian.objectives import SingleRows
from sk_hessian.solvers import minimize


@dataclass(frozen=True, eq=False, repr=False)
class LeaveOneOutPath(Report):
    """The leave-one-out loss and score for several strengths of the penalty.

    Attributes
    ----------
    parameter : str
        "alpha", or "C" of a logistic regression.
    alphas : ndarray of shape (n_alphas,)
        Its values, in the order in which they were given.
    loss, score : ndarray of shape (n_alphas,)
    best_index : int
        Of the least loss.
    best : float
        The value there.
    """

    parameter: str
    alphas: np.ndarray
    loss: np.ndarray
    score: np.ndarray

    @property
    def best_index(self) -> int:
        """Index of the least loss."""
        return int(np.argmin(self.loss))

    @property
    def best(self) -> float:
        """The value of least loss."""
        return float(self.alphas[self.best_index])

    def _rows(self):
        """One line for each strength, the best one marked."""
        marks = ["best" if i == self.best_index else "" for i in range(len(self.alphas))]
        strengths = [f"{value:g}" for value in self.alphas]
        found = zip(strengths, column(self.loss, 6), column(self.score, 5), marks, strict=True)
        return [[self.parameter, "loss", "score", ""], *found]


def leave_one_out_path(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    alphas: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> LeaveOneOutPath:
    """Leave-one-out loss and score for several strengths of the penalty.

    For a squared loss of one target from one eigendecomposition for all of them; else the model is fitted anew for each
    one, the strongest penalty first, each from the former solution.

    Parameters
    ----------
    estimator : estimator of sk_hessian
        Fitted or not, and it is not modified. With a parameter ``alpha`` or ``C``, whose own value does not matter. A
        network that is fitted goes on from its weights; one that is not begins with a fit of the strongest penalty.
    X, y
        As of `leave_one_out`.
    alphas : array-like of shape (n_alphas,)
        Values of ``alpha``, or of a logistic regression those of ``C``.
    sample_weight, offset
        As of `leave_one_out`.

    Returns
    -------
    LeaveOneOutPath

    Raises
    ------
    ValueError, TypeError
        As of `leave_one_out`, where a fit finds no optimum, or for bad ``alphas``.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import leave_one_out_path
    >>> from sk_hessian.linear_model import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> leave_one_out_path(Ridge(), X, y, [1e-3, 1e-2, 1e-1, 1.0])
    alpha     loss    score
    0.001  1500.33  0.49398
    0.01   1500.20  0.49402  best
    0.1    1502.31  0.49331
    1      1663.83  0.43883
    """
    chain = Chain.of(estimator)
    parameter = "C" if hasattr(chain.estimator, "C") else "alpha"
    if not hasattr(chain.estimator, parameter):
        raise ValueError(f"{type(chain.estimator).__name__} has no penalty whose strength could vary: use Ridge")
    strengths = _checked_strengths(alphas, parameter)
    if not hasattr(chain.estimator, "convergence_"):
        strongest = float(strengths[_strongest_first(strengths, parameter)[0]])
        row_data = {"sample_weight": sample_weight, "offset": offset}
        chain = _fitted(chain, {parameter: strongest}, X, y, row_data)
    fitted = Fitted(chain, X, y, sample_weight, offset=offset)
    fitted.require_sum_over_rows("leave_one_out_path")
    rows_in_memory(fitted.objective)

    def held_out(strength):
        """The rows of the objective with this strength, at the parameters of the estimator."""
        candidate = chain.with_params(**{parameter: float(strength)})
        return HeldOut(Fitted(candidate, X, y, sample_weight, offset=offset), sample_weight)

    if _is_exact(fitted.objective) and (strengths > 0).any():
        losses, scores = _in_one_go(held_out, strengths)
    else:
        losses, scores = _one_by_one(held_out, strengths, parameter)
    return LeaveOneOutPath(parameter, strengths, losses, scores)


def _checked_strengths(alphas, parameter):
    """``alphas`` as a float array."""
    is_inverse = parameter == "C"
    text = f"alphas must be a non-empty sequence of numbers {'> 0, values of C' if is_inverse else '>= 0'}"
    try:
        values = np.array(alphas, dtype=float)
    except (ValueError, TypeError) as error:
        raise TypeError(f"{text}, got {alphas!r}") from error
    inside = values > 0 if is_inverse else (values >= 0) & np.isfinite(values)
    if values.ndim != 1 or not values.size or not inside.all():
        raise ValueError(f"{text}, got {alphas!r}")
    return values


def _strongest_first(strengths, parameter):
    """Positions in the order of falling penalty."""
    return np.argsort(strengths if parameter == "C" else -strengths, kind="stable")


def _fitted(chain, params, X, y, row_data):
    """A fresh copy of a chain, fitted with these parameters of its estimator."""
    chain = chain.fresh(X, y).with_params(**params)
    row_data = {name: values for name, values in row_data.items() if values is not None}
    chain.estimator.fit(chain.transformed(X), y, **row_data)
    return chain


def _is_exact(objective):
    """Whether one eigendecomposition serves: a squared loss of one output, with a penalty of one strength."""
    is_quadratic = objective.model.is_linear and objective.loss.quadratic and objective.loss.n_outputs == 1
    return is_quadratic and not objective.l2.has_matrix


def _one_by_one(held_out, alphas, parameter):
    """Losses and scores from a fit for each strength, the strongest penalty first."""
    losses, scores, theta = np.empty(len(alphas)), np.empty(len(alphas)), None
    for i in _strongest_first(alphas, parameter):
        rows = held_out(alphas[i])
        fitted = rows.fitted
        start = fitted.theta if theta is None else theta
        result = minimize(fitted.objective, start, tol=fitted.estimator.tol)
        if result.status != "optimal":
            raise ValueError(f"alphas: {parameter}={alphas[i]:.6g} has no optimum: {result.message}")
        theta = fitted.theta = result.x
        raw = rows.raw_without_each()
        losses[i], scores[i] = rows.loss_of(raw), rows.score(raw)
    return losses, scores


def _in_one_go(held_out, alphas):
    """The same for a squared loss, from the eigenvalues of the penalty beside the Hessian, see `Bends`."""
    positive = alphas[alphas > 0]
    typical = np.sqrt(positive.min()) * np.sqrt(positive.max())
    rows = held_out(typical)
    fitted, objective = rows.fitted, rows.objective
    # the null model, whose penalty is zero for every strength
    fitted.theta = objective.start()
    factor = fitted.factor("observed")
    here, bends = fitted.here, Bends(objective, factor)
    inverse = bends.inverse(alphas / typical)
    moves = bends.moves(here, alphas / typical, inverse)

    def terms(terms):
        along = terms.along[:, 0]
        leverage = terms.share[:, None] * (along**2 @ inverse)
        left = np.maximum(1 - leverage, 1 - MOST_EXACT_LEVERAGE)
        change = along @ moves
        return terms.raw + change + leverage / left * (terms.slope + change), leverage

    raw, leverage = SingleRows(here, bends.turned, "observed").gather(terms)
    for row, i in np.argwhere(leverage > MOST_EXACT_LEVERAGE):
        theta = fitted.theta + bends.turned.apply(moves[:, i])
        raw[row, i] = held_out(alphas[i]).refit(theta, row)[0]
    columns = raw.T[:, :, None]
    return np.array([rows.loss_of(z) for z in columns]), np.array([rows.score(z) for z in columns])
