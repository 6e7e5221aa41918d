"""Robust regression."""

import numpy as np
from sklearn.utils import check_array

from sk_hessian import _validation
from sk_hessian._strength import check_strength, given_strength
from sk_hessian.linear_model._linear_model import LinearModel, VarianceExplained


class HuberRegressor(VarianceExplained, LinearModel):
    """Linear regression that is robust to outliers, with the scale estimated along.

    Minimises ``sum_i w_i (sigma + sigma h((y_i - x_i'coef - intercept) / sigma)) + alpha |coef|^2`` over coef,
    intercept and sigma, with h(z) = z^2 up to epsilon and ``2 epsilon |z| - epsilon^2`` beyond.
    ``fit``, ``predict`` and ``score`` take an ``offset``, a known part of the prediction.

    Parameters
    ----------
    epsilon : float, default=1.35
        Residuals beyond epsilon times the scale count linearly; at least 1.
    max_iter
        As in `PoissonRegressor`.
    alpha : float or "loo", default=0.0001
        Strength of the penalty; "loo" chooses one, see `PoissonRegressor`.
    warm_start, fit_intercept, tol, solver, verbose, random_state, penalty_weights, penalty_matrix,
    categorical_features
        As in `PoissonRegressor`.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
    intercept_ : numpy scalar
    scale_ : float
        sigma.
    outliers_ : ndarray of shape (n_samples,) of bool
        Which rows have a residual beyond ``epsilon * scale_``; not there where the rows came in parts.
    alpha_, penalty_path_, n_iter_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    Examples
    --------
    >>> from sk_hessian.linear_model import HuberRegressor
    >>> X = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]
    >>> model = HuberRegressor().fit(X, [0.2, 0.8, 2.2, 2.8, 4.2, 4.8, 6.2, 50.0])
    >>> model.coef_.round(1), bool(model.outliers_[-1])
    (array([1.]), True)
    """

    def __init__(
        self,
        *,
        epsilon=1.35,
        max_iter=1000,
        alpha=0.0001,
        warm_start=False,
        fit_intercept=True,
        tol=1e-4,
        solver="auto",
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
        self.epsilon = epsilon
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.penalty_weights = penalty_weights
        self.penalty_matrix = penalty_matrix
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features

    _keeps_float32 = False
    _of_whole_fits = ("outliers_",)

    _criteria: tuple[str, ...] = ("loo",)

    def _check_parameters(self):
        _validation.check_number(self, "epsilon", 1)
        check_strength(self)

    def _encode(self, y, weight, reset):
        y = y.astype(float, copy=False)
        loss = _validation.huber_loss(self.epsilon, y)
        _validation.check_range(loss, y, type(self).__name__)
        return y, weight, loss

    _matrix_factor = 2.0

    def _strength(self):
        return 2 * given_strength(self)

    def _unpack(self, objective, coef, intercept, constants):
        super()._unpack(objective, coef, intercept, constants)
        self.scale_ = max(float(np.exp(constants[0])), objective.loss.floor)

    def _fitted_constants(self):
        return [np.log(self.scale_)]

    def _learn(self, data, task):
        self.__dict__.pop("outliers_", None)
        super()._learn(data, task)
        if data.parts is None:
            y = check_array(data.y, ensure_2d=False, dtype=float).ravel()
            self.outliers_ = np.abs(y - self._raw_prediction(data.X, data.offset)) > self.epsilon * self.scale_

    def _check_first(self, rows):
        targets, offset = rows.rows.targets[0], rows.rows.offset
        if np.ptp(targets if offset is None else targets - offset[:, 0]) <= rows.loss.floor:
            raise ValueError(
                "y is constant in the first call of partial_fit, which says nothing of the scale: begin with more rows"
            )
