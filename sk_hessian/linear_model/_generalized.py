"""A linear model of any loss, also of one that a user has written."""

import numpy as np
from sklearn.base import MultiOutputMixin
from sklearn.utils.metaestimators import available_if

from sk_hessian import _validation
from sk_hessian._constraints import takes_streams
from sk_hessian.linear_model._glm import _DevianceModel
from sk_hessian.objectives import SquaredLoss, check_derivatives


def _can_be_remembered(estimator):
    loss = estimator._loss()
    if loss.n_constants and not loss.convex:
        raise AttributeError(
            f"partial_fit needs a loss that is convex or has no parameters of its own: {loss!r} estimates "
            f"{', '.join(loss.constant_names)}, which depends on all rows at once"
        )
    return takes_streams(estimator)


class GeneralizedLinearRegressor(MultiOutputMixin, _DevianceModel):
    """A linear model of any loss: minimises its weighted mean plus ``alpha |coef|^2 / 2``.

    The loss is an object of `sk_hessian.objectives`, such as ``TweedieLoss(2, "log")``, or of a class of your own that
    derives from ``Loss``. Parameters of the loss itself, such as a scale, are estimated along. When a fit begins, its
    derivatives are compared with differences at a few targets.
    ``fit``, ``predict`` and ``score`` take an ``offset``, on the scale of the link.
    ``partial_fit`` is there where the loss is convex or has no parameters.

    Parameters
    ----------
    loss : Loss or None, default=None
        None for squared errors, of as many targets as y has columns.
    alpha, fit_intercept, solver, max_iter
        As in `PoissonRegressor`.
    tol : float, default=1e-4
        ``optimal`` needs half the squared Newton decrement to be at most ``tol**2`` times the null model's loss above
        the least possible one, and no coefficient to be more than ``100 * tol`` standard errors from the optimum.
    warm_start, verbose, random_state, penalty_weights, penalty_matrix,
    categorical_features
        As in `PoissonRegressor`.
    positive, bounds, constraints, monotone
        As in `PoissonRegressor`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), or (n_outputs, n_features) for several outputs
    intercept_ : numpy scalar, or ndarray of shape (n_outputs,)
    constants_ : ndarray of shape (n_constants,)
        The loss's own parameters as they were estimated, in the order of ``loss.constant_names``; mostly none.
    n_iter_, solver_, convergence_, history_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.
    active_constraints_, multipliers_
        As in `PoissonRegressor`.

    Examples
    --------
    >>> from sk_hessian.linear_model import GeneralizedLinearRegressor
    >>> from sk_hessian.objectives import TweedieLoss
    >>> model = GeneralizedLinearRegressor(TweedieLoss(1, "log"), alpha=0.0)
    >>> model.fit([[1.0], [2.0], [3.0], [4.0]], [1, 2, 4, 8]).coef_.round(4)
    array([0.6931])
    """

    def __init__(
        self,
        loss=None,
        alpha=1.0,
        *,
        fit_intercept=True,
        solver="auto",
        max_iter=1000,
        tol=1e-4,
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
        self.loss = loss
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.penalty_weights = penalty_weights
        self.penalty_matrix = penalty_matrix
        self.positive = positive
        self.bounds = bounds
        self.constraints = constraints
        self.monotone = monotone
        self.categorical_features = categorical_features

    @property
    def _of_targets(self):  # type: ignore[override]
        return {"y_numeric": True, "multi_output": self._takes_several()}

    def _takes_several(self):
        return self.loss is None or self._loss().n_outputs > 1

    def _loss(self):
        """Of any number of outputs where none is given: its predictions are the raw ones."""
        return SquaredLoss() if self.loss is None else _validation.check_loss(self.loss)

    def _check_parameters(self):
        super()._check_parameters()
        self._loss()

    def _encode(self, y, weight, reset):
        loss = self.loss or SquaredLoss(1 if y.ndim == 1 else y.shape[1])
        y = y.astype(float, copy=False)
        _validation.check_targets(loss, y)
        return y, weight, loss

    def _objective_of(self, data, reset, before=0.0, check=None):
        objective = super()._objective_of(data, reset, before, check)
        if reset:
            check_derivatives(objective.loss, objective.rows.targets[0])
        return objective

    def _unpack(self, objective, coef, intercept, constants):
        super()._unpack(objective, coef, intercept, constants)
        self.constants_ = np.array(constants, dtype=float)

    def _fitted_constants(self):
        return self.constants_

    def _former_constants(self, null):
        return self.constants_ if self.constants_.shape == null.shape else null

    def _predicted(self, raw):
        prediction = self._loss().at(self.constants_).inverse_link(raw.reshape(len(raw), -1))
        return prediction[:, 0] if raw.ndim == 1 else prediction

    partial_fit = available_if(_can_be_remembered)(_DevianceModel.partial_fit)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self._takes_several()
        return tags
