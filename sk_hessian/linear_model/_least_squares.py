"""Least squares, plain and with an L2 penalty."""

from typing import ClassVar

import numpy as np
from sklearn.base import MultiOutputMixin

from sk_hessian import _validation
from sk_hessian._strength import check_strength, given_strength
from sk_hessian.linear_model._linear_model import LinearModel, VarianceExplained
from sk_hessian.objectives import SquaredLoss

#: what is no array of strengths
_ONE = (str, int, float)


class _LeastSquares(MultiOutputMixin, VarianceExplained, LinearModel):
    """What least squares with and without a penalty share."""

    _of_targets: ClassVar = {"y_numeric": True, "multi_output": True}

    def _encode(self, y, weight, reset):
        loss, y = SquaredLoss(1 if y.ndim == 1 else y.shape[1]), y.astype(float, copy=False)
        _validation.check_range(loss, y, type(self).__name__)
        return y, weight, loss


class LinearRegression(_LeastSquares):
    """Ordinary least squares: minimises ``sum_i w_i (y_i - x_i'coef - intercept)^2``.

    ``fit``, ``predict`` and ``score`` take an ``offset``, a known part of the prediction.

    Parameters
    ----------
    fit_intercept, solver, tol, max_iter, warm_start, verbose, random_state, categorical_features
        As in `PoissonRegressor`.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Where columns are dependent, the solution of least norm.
    intercept_ : numpy scalar or ndarray of shape (n_targets,)
    rank_ : int
        Rank of the (centred) X, the same for every solver; not set beyond 3000 columns, where no factor tells.
    n_iter_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    Examples
    --------
    >>> from sk_hessian.linear_model import LinearRegression
    >>> model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> model.coef_.round(6), round(float(model.intercept_), 6), model.convergence_.status
    (array([2.]), 1.0, 'optimal')
    """

    def __init__(
        self,
        *,
        fit_intercept=True,
        solver="auto",
        tol=1e-4,
        max_iter=1000,
        warm_start=False,
        verbose=0,
        random_state=None,
        positive=False,
        bounds=None,
        constraints=None,
        monotone=None,
        categorical_features="from_dtype",
    ):
        super().__init__(solver, tol, max_iter, warm_start, verbose, random_state)
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features

    _of_whole_fits = ("rank_",)
    _strength_name = ""

    def _strength(self):
        return 0.0

    def _advice(self):
        """See `LinearModel._advice`; the solution of least norm is what least squares are asked for."""
        return "" if self.convergence_.status == "optimal" else super()._advice()

    def _unpack(self, objective, coef, intercept, constants):
        super()._unpack(objective, coef, intercept, constants)
        if objective.space.rank is not None:
            self.rank_ = objective.space.rank


class Ridge(_LeastSquares):
    """Least squares with an L2 penalty: minimises ``sum_i w_i (y_i - x_i'coef - intercept)^2 + alpha |coef|^2``.

    ``fit``, ``predict`` and ``score`` take an ``offset``, a known part of the prediction.

    Parameters
    ----------
    alpha : float, array-like of shape (n_targets,), "evidence" or "loo", default=1.0
        Strength of the penalty, one for all targets or one each; or what chooses one for all, see `PoissonRegressor`.
    fit_intercept, solver, tol, max_iter, warm_start, verbose, random_state, penalty_weights, penalty_matrix,
    categorical_features
        As in `PoissonRegressor`.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
    intercept_ : numpy scalar or ndarray of shape (n_targets,)
    alpha_, penalty_path_, n_iter_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    Examples
    --------
    >>> from sk_hessian.linear_model import Ridge
    >>> Ridge(alpha=2.0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).coef_.round(6)
    array([1.])
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> round(Ridge("evidence").fit(X, y).alpha_, 3), round(Ridge("loo").fit(X, y).alpha_, 3)
    (0.034, 0.004)
    """

    def __init__(
        self,
        alpha=1.0,
        *,
        fit_intercept=True,
        solver="auto",
        tol=1e-4,
        max_iter=1000,
        warm_start=False,
        verbose=0,
        random_state=None,
        penalty_weights=None,
        penalty_matrix=None,
        positive=False,
        bounds=None,
        constraints=None,
        monotone=None,
        categorical_features="from_dtype",
    ):
        super().__init__(solver, tol, max_iter, warm_start, verbose, random_state)
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.penalty_weights = penalty_weights
        self.penalty_matrix = penalty_matrix
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features

    def _check_parameters(self):
        if isinstance(self.alpha, _ONE) or np.ndim(self.alpha) == 0:
            check_strength(self)

    def _encode(self, y, weight, reset):
        if not isinstance(self.alpha, _ONE) and np.ndim(self.alpha) > 0:
            alpha = np.asarray(self.alpha, dtype=float)
            n_targets = 1 if y.ndim == 1 else y.shape[1]
            if alpha.shape != (n_targets,):
                raise ValueError(
                    f"alpha must be a number or have one entry for each of the {n_targets} targets, "
                    f"got shape {alpha.shape}"
                )
            if not (np.isfinite(alpha) & (alpha >= 0)).all():
                raise ValueError(f"alpha must be finite and non-negative, got {self.alpha!r}")
        return super()._encode(y, weight, reset)

    def _strength(self):
        return np.asarray(given_strength(self), dtype=float)
